"""Closed forms: what the paper prints (``as_printed``) and what is true (``exact``, and its inverses).

Y's law given: ``bernoulli``, ``gaussian``, ``vector_gaussian``. Free: ``binary``, ``uniform``, ``erasure``,
``vector_gaussian``. Near a target: ``binary_perception``, ``gaussian_perception``.
"""

from drcopt.closed_forms import bernoulli as bernoulli
from drcopt.closed_forms import binary as binary
from drcopt.closed_forms import binary_perception as binary_perception
from drcopt.closed_forms import erasure as erasure
from drcopt.closed_forms import gaussian as gaussian
from drcopt.closed_forms import gaussian_perception as gaussian_perception
from drcopt.closed_forms import uniform as uniform
from drcopt.closed_forms import vector_gaussian as vector_gaussian
from drcopt.closed_forms._result import ClosedForm as ClosedForm

__all__ = [
    "ClosedForm", "bernoulli", "binary", "binary_perception", "erasure", "gaussian", "gaussian_perception",
    "uniform", "vector_gaussian",
]  # fmt: skip
