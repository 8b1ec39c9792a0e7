"""The least of ⟨c, p⟩ + α D(p‖px) + β H(Wᵀp) over posteriors p: what every dual bound is made of."""

from drcopt.bounds.pricing.classes import Drawn as Drawn
from drcopt.bounds.pricing.classes import cut_classes as cut_classes
from drcopt.bounds.pricing.classes import price_weighed as price_weighed
from drcopt.bounds.pricing.dispatch import price as price
from drcopt.bounds.pricing.few_letters import MOST_LETTERS as MOST_LETTERS
from drcopt.bounds.pricing.gibbs import Partition as Partition
from drcopt.bounds.pricing.gibbs import Priced as Priced
