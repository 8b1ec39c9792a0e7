"""Closed forms of the scalar families: what the paper prints (``as_printed``) and what is true (``exact``)."""

from drcopt.closed_forms import bernoulli as bernoulli
from drcopt.closed_forms import gaussian as gaussian
from drcopt.closed_forms._result import ClosedForm as ClosedForm
