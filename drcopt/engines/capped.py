"""Points with upper bounds on entries: convex programs, with the tangent of H(S|Y) where C binds.

H(S|Y) is concave, so that its tangent lies above it: every step is feasible, and no worse than the last. The
multipliers of the bounds on entries are what a lower bound is proved with.
"""

from __future__ import annotations

import importlib
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from drcopt.engines.descent import tangent
from drcopt.formulations import Capped
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, QUANTITIES, RATE, Quantity
from drcopt.stakes import Stakes
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: How far inside its limits a point is to lie, first and if that leaves none; the solver's tolerances.
_MARGINS: tuple[float, ...] = (1e-9, 0.0)
_SHARP: dict[str, float] = {"tol_feas": 1e-11, "tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11}
#: Most steps from one start, what one must gain, and starts from all over.
_STEPS, _GAIN, _STARTS = 40, 1e-9, 6


@dataclass(frozen=True, eq=False)
class CappedPoint:
    """A coupling, its value, the multipliers μ of P ≤ U in the unit of the objective, and those of the limits."""

    P: FloatArray
    value: float
    cost: FloatArray
    weights: tuple[float, float, float]


def program(
    question: Capped,
    *,
    slopes: FloatArray | None = None,
    goal: Quantity | None = None,
) -> CappedPoint | None:
    """The least of ``goal`` (what the question minimises) within the limits; None without an answer.

    ``slopes`` (n, m) make the loss linear; without them it has no limit.
    """
    goal = question.objective if goal is None else goal
    for margin in _MARGINS:
        found = _solved(question, slopes, goal, margin)
        if found is not None:
            return found
    return None


def _solved(question: Capped, slopes: FloatArray | None, goal: Quantity, margin: float) -> CappedPoint | None:
    cp = importlib.import_module("cvxpy")
    problem, scale = question.problem, Stakes(question.problem).scale or 1.0
    P = cp.Variable((problem.n, problem.m), nonneg=True)
    costs = np.where(problem.forbidden, 0.0, problem.d) / scale
    linear = np.zeros_like(costs) if slopes is None else slopes
    independent = problem.independent
    forms = [cp.sum(cp.multiply(costs, P)), cp.sum(cp.rel_entr(P, independent)), cp.sum(cp.multiply(linear, P))]
    constraints = [cp.sum(P, axis=1) == problem.px, cp.sum(P, axis=0) == problem.py]
    if problem.forbidden.any():
        constraints.append(cp.multiply(problem.forbidden.astype(float), P) == 0.0)
    x, y = np.nonzero(np.isfinite(question.upper) & ~problem.forbidden)
    upper = question.upper[x, y]
    caps = P[x, y] <= upper - np.minimum(margin, 1e-3 * upper)
    units, limited = (scale, 1.0, 1.0), {}
    for q, budget, most in zip(QUANTITIES, question.budgets, question.most, strict=True):
        if q is goal or budget >= most or (q is CLASSIFICATION_LOSS and slopes is None):
            continue
        limit = budget / units[q.place]
        limited[q.place] = forms[q.place] <= limit - min(margin, 1e-3 * limit)
    asked = cp.Problem(cp.Minimize(forms[goal.place]), [*constraints, caps, *limited.values()])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            asked.solve(solver="CLARABEL", **_SHARP)
        except (cp.SolverError, ArithmeticError, ValueError):
            return None
    if asked.status not in ("optimal", "optimal_inaccurate") or P.value is None:
        return None
    unit = scale if goal is DISTORTION else 1.0
    cost, weights = np.zeros_like(costs), np.zeros(3)
    cost[x, y] = np.maximum(np.ravel(caps.dual_value), 0.0) * unit
    for place, row in limited.items():
        weights[place] = max(0.0, float(np.ravel(row.dual_value)[0])) * unit / units[place]
    weights[goal.place] = 1.0
    w, alpha, beta = weights.tolist()
    return CappedPoint(np.maximum(P.value, 0.0), float(forms[goal.place].value) * unit, cost, (w, alpha, beta))


def descended(question: Capped, start: FloatArray) -> CappedPoint | None:
    """Steps from a coupling: towards C until that is met, then down; None where C is not met."""
    problem, best, low = question.problem, None, start
    last = math.inf
    for _ in range(_STEPS):
        if clock.expired():
            break
        slopes = tangent(problem, low)
        found = program(question, slopes=slopes)
        if found is not None:
            if best is None or found.value < best.value:
                best = found
            if found.value >= last - _GAIN:
                break
            low, last = found.P, found.value
            continue
        if best is not None:
            break
        nearer = program(question, slopes=slopes, goal=CLASSIFICATION_LOSS)
        if nearer is None or problem.classification_loss(nearer.P) >= problem.classification_loss(low) - _GAIN:
            return None
        low = nearer.P
    return best


def starts(question: Capped) -> list[FloatArray]:
    """Couplings to begin with: where C does not count, and towards a class for every letter."""
    problem, rng = question.problem, np.random.default_rng(0)
    found: list[Any] = [program(question), program(question, goal=RATE)]
    for _ in range(_STARTS):
        if clock.expired():
            break
        rows = problem.ps_given_x[rng.integers(problem.n, size=problem.m)]
        toward = -np.log(0.5 * (rows + problem.ps) + 1e-12) @ problem.ps_given_x.T
        found.append(program(question, slopes=toward.T, goal=CLASSIFICATION_LOSS))
    return [point.P for point in found if point is not None]
