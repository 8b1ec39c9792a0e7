"""Upper bounds on the entries of a coupling, P ≤ U: what their multipliers prove, and whether any coupling is left.

For μ ≥ 0 on pairs every coupling within the bounds has ⟨μ, P⟩ ≤ ⟨μ, U⟩. With d′ = w d + μ, E d′ ≤ w E d + ⟨μ, U⟩, so
that what holds of all couplings with a distortion d′ holds of these: a limit D on E d is one of w D + ⟨μ, U⟩ on E d′,
and E d ≥ (E d′ − ⟨μ, U⟩)/w.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drcopt.bounds.base import Evidence, bound_of
from drcopt.bounds.stranded import without_room
from drcopt.formulations import Capped, Question, SingleLetter
from drcopt.problem import Problem, Standard
from drcopt.questions import DISTORTION
from drcopt.support.check import FloatArray

#: What rounding may come to, relative; mass that must be too much.
_ROUNDING, _SURELY = 64 * 2.0**-53, 1e-12


@dataclass(frozen=True, eq=False)
class Multiplied:
    """Evidence about a problem whose d is w d + μ (``cost``), as evidence about couplings with P ≤ U.

    ``cost`` is μ ≥ 0, shape (n, m), and ``weight`` is w, 1 or 0.
    """

    cost: FloatArray
    weight: float
    evidence: Evidence

    def paid(self, upper: FloatArray) -> float:
        """⟨μ, U⟩, rounded up."""
        some = self.cost > 0.0
        return math.fsum(self.cost[some] * upper[some]) * (1.0 + _ROUNDING)

    def changed(self, problem: Problem) -> Problem:
        """The problem with w d + μ, which is nowhere rounded up."""
        base = problem.d if self.weight > 0.0 else np.where(problem.forbidden, math.inf, 0.0)
        total = base + self.cost
        d = np.where((self.cost > 0.0) & np.isfinite(total), np.maximum(np.nextafter(total, 0.0), base), base)
        return Problem(problem.px, problem.py, problem.ps_given_x, d)

    def bound(self, question: Question) -> float:
        """What it proves of a question with upper bounds; −inf of any other."""
        if not isinstance(question, Capped) or self.cost.shape != question.upper.shape or self.weight not in (0.0, 1.0):
            return -math.inf
        if not (np.isfinite(self.cost).all() and self.cost.min() >= 0.0):
            return -math.inf
        paid = self.paid(question.upper)
        if not math.isfinite(paid):
            return -math.inf
        limit = (question.distortion_budget if self.weight > 0.0 else 0.0) + paid
        asked = SingleLetter(
            self.changed(question.problem),
            question.rate_budget,
            question.classification_budget,
            distortion_budget=limit * (1.0 + _ROUNDING),
            objective=question.objective,
        )
        value = bound_of(self.evidence, asked)
        if question.objective is not DISTORTION:
            return value
        rest = value - paid - _ROUNDING * (abs(value) + paid) if math.isfinite(value) else value
        if self.weight > 0.0:
            return rest
        return math.inf if rest > 0.0 else -math.inf

    def framed(self, change: Standard) -> Multiplied:
        """Found for the problem as it is: itself."""
        return self


@dataclass(frozen=True, eq=False)
class Crowded:
    """Evidence: letters of X with more mass than their pairs have room for.

    px(A) > Σ_y min(py(y), U(A, y)): no coupling is within the bounds.
    """

    letters: NDArray[np.intp]

    def bound(self, question: Question) -> float:
        if not isinstance(question, Capped):
            return -math.inf
        mass = math.fsum(question.problem.px[self.letters])
        return math.inf if mass - room(question.problem, question.upper, self.letters) > _SURELY else -math.inf

    def framed(self, change: Standard) -> Crowded:
        return self


def room(problem: Problem, upper: FloatArray, letters: NDArray[np.intp]) -> float:
    """What these letters of X may send at most: Σ_y min(py(y), U(A, y))."""
    most = np.where(problem.forbidden, 0.0, upper)[letters].sum(axis=0)
    return math.fsum(np.minimum(problem.py, most))


def crowded(problem: Problem, upper: FloatArray) -> NDArray[np.intp] | None:
    """Letters of X, by place, whose pairs have no room for their mass, from a least cut; None if all have."""
    return without_room(problem, np.minimum(np.where(problem.forbidden, 0.0, upper), 1.0))
