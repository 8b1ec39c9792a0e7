"""What every piece of dual evidence can do."""

from __future__ import annotations

import math
from typing import Protocol, Self

from drcopt._check import FloatArray
from drcopt.formulations import Formulation

#: Unit roundoff times a safety factor: bounds are lowered by this much of the largest number in them.
ROUNDING = 64 * 2.0**-53


class Evidence(Protocol):
    """Multipliers from which a lower bound is recomputed."""

    def bound(self, formulation: Formulation) -> float:
        """A valid lower bound on the formulation's optimum, rounded down."""
        ...

    def rescaled(self, scale: float, row_offset: FloatArray, column_offset: FloatArray) -> Self:
        """The same evidence for the distortion ``scale * d + row_offset[:, None] + column_offset[None, :]``."""
        ...


def effective_budgets(formulation: Formulation) -> tuple[float, float]:
    """Budgets no larger than any coupling can need: min(R, H(X), H(Y)) and min(C, H(S)), in nats.

    I(X;Y) ≤ min(H(X), H(Y)) and H(S|Y) ≤ H(S) always, so a bound that uses these is still valid,
    and finite without a budget.
    """
    problem = formulation.problem
    rate = min(formulation.rate_budget, problem.entropy_x, problem.entropy_y)
    return rate, min(formulation.classification_budget, problem.entropy_s)


def lowered(total: float, *magnitudes: float) -> float:
    """``total`` less an allowance for the rounding of a sum of terms of these magnitudes."""
    if math.isnan(total):
        return -math.inf
    return total - ROUNDING * math.fsum(abs(m) for m in magnitudes)
