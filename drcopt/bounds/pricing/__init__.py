"""The least of ⟨c, p⟩ + α D(p‖px) + β H(Wᵀp) over posteriors p: what every dual bound is made of."""

from drcopt.bounds.pricing.classes import price_weighed as price_weighed
from drcopt.bounds.pricing.dispatch import price as price
from drcopt.bounds.pricing.gibbs import Partition as Partition
from drcopt.bounds.pricing.gibbs import Priced as Priced
