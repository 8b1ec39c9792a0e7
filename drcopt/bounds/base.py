"""What every piece of dual evidence can do."""

from __future__ import annotations

import math
from typing import Protocol, Self

import numpy as np

from drcopt.formulations import Question
from drcopt.problem import Standard


class Evidence(Protocol):
    """Multipliers that prove half-spaces, and so a lower bound on whatever a question minimises."""

    def bound(self, question: Question) -> float:
        """A valid lower bound on the question's optimum, rounded down; inf if no point meets its limits."""
        ...

    def framed(self, change: Standard) -> Self:
        """The same evidence, found for a problem in its standard form, for the problem as it was."""
        ...


def bound_of(evidence: Evidence, question: Question) -> float:
    """The bound, or −inf from evidence that cannot be evaluated: it is an engine's word, and may be garbage."""
    try:
        with np.errstate(all="ignore"):
            value = float(evidence.bound(question))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return -math.inf
    return -math.inf if math.isnan(value) else value
