"""Theorems as functions: each yields computed and predicted values, and :func:`validate` judges them."""

# The slides' theorems register themselves, in this order.
from drcopt.theorems import _one_shot as _one_shot  # isort: skip
from drcopt.theorems import _bernoulli as _bernoulli  # isort: skip
from drcopt.theorems import _asymptotic as _asymptotic  # isort: skip
from drcopt.theorems import _gaussian as _gaussian  # isort: skip
from drcopt.theorems import _perception as _perception  # isort: skip
from drcopt.theorems import _laws as _laws  # isort: skip
from drcopt.theorems._figures import FIGURES as FIGURES
from drcopt.theorems._figures import bernoulli_figure as bernoulli_figure
from drcopt.theorems._figures import gaussian_figure as gaussian_figure
from drcopt.theorems._gaussian import gaussian_convergence as gaussian_convergence
from drcopt.theorems._registry import Comparison as Comparison
from drcopt.theorems._registry import compare as compare
from drcopt.theorems._registry import describe as describe
from drcopt.theorems._registry import forget as forget
from drcopt.theorems._registry import names as names
from drcopt.theorems._registry import random_problem as random_problem
from drcopt.theorems._registry import select as select
from drcopt.theorems._registry import theorem as theorem
from drcopt.theorems._report import MEANINGS as MEANINGS
from drcopt.theorems._report import check_destination as check_destination
from drcopt.theorems._report import to_csv as to_csv
from drcopt.theorems._report import to_markdown as to_markdown
from drcopt.theorems._report import validate as validate
from drcopt.theorems._report import write_verdicts as write_verdicts

__all__ = [
    "FIGURES", "MEANINGS", "Comparison", "bernoulli_figure", "check_destination", "compare", "describe", "forget",
    "gaussian_convergence", "gaussian_figure", "names", "random_problem", "select", "theorem", "to_csv",
    "to_markdown", "validate", "write_verdicts",
]  # fmt: skip
