"""The judge: recomputes everything from the problem's own arrays, repairs, and alone may say "optimal".

An engine's point is rounded onto the marginals and, if it spends more than the rate budget, mixed with the
independent coupling: I is convex, so I((1−θ)P + θ px pyᵀ) ≤ (1−θ) I(P). An engine's multipliers are worth
what the dual bound evaluated at them says.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from drcopt.bounds import Cheapest, DataProcessing, Evidence
from drcopt.coupling import round_onto_marginals
from drcopt.formulations import OneShot, Part, Question
from drcopt.formulations.one_shot import map_coupling
from drcopt.questions import DISTORTION, ROUNDING, Quantity

#: A mixture's column sums may miss py by this much in total (single couplings are rounded exactly).
MARGINAL_TOLERANCE = 1e-11


#: A bound this much, relative, above what any point has is no rounding.
_BEYOND = 1e-9
#: Evidence that costs nothing and holds of every problem.
FLOORS: tuple[Evidence, ...] = (DataProcessing(), Cheapest())


@dataclass(frozen=True, eq=False)
class Certificate:
    """What proves an answer: the question, a point that meets its limits, and evidence for the bound.

    ``upper`` is the objective at ``parts`` (inf without a point) and ``lower`` the evaluated bound on it, in the unit
    of d or in nats; inf if it is proved that no point meets the limits. ``rate`` and ``loss`` are what the
    point spends.
    """

    formulation: Question
    parts: tuple[Part, ...] | None
    evidence: tuple[Evidence, ...]
    upper: float
    lower: float
    rate: float
    loss: float

    @property
    def objective(self) -> Quantity:
        """What is minimised."""
        return self.formulation.objective

    @property
    def infeasible(self) -> bool:
        """Whether it is proved that no point meets the limits."""
        return self.lower == math.inf

    def least(self, quantity: Quantity) -> float:
        """A proved lower bound on what the limits of the others leave of one quantity, from the same evidence."""
        return best_bound(self.formulation.minimising(quantity), (*FLOORS, *self.evidence))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything needed to believe this to a JSON file; ``drcopt check`` verifies it independently."""
        from drcopt.proof import save

        save(self, path)


def certify(question: Question, parts: Sequence[Part] | None, *evidence: Evidence) -> Certificate:
    """Judge a point and evidence for a question whose problem has no zero-mass letters."""
    problem, objective = question.problem, question.objective
    point = repair(question, parts) if parts else None
    fixed = None if point is None else point.parts
    upper = math.inf if fixed is None else question.values(fixed)[objective.place]
    lower = best_bound(question, (*FLOORS, *evidence))
    if lower > question.most[objective.place] * (1.0 + _BEYOND):
        lower = math.inf  # more than any point has: none meets the limits
    certificate = Certificate(
        question,
        fixed,
        evidence,
        upper,
        lower,
        math.nan if point is None else point.rate,
        math.nan if point is None else point.loss,
    )
    size = float(problem.d.max()) if objective is DISTORTION else question.most[objective.place]
    if point is not None and lower > upper + 1e-9 * size:
        raise ArithmeticError(
            f"drcopt contradicts itself: a point of value {upper!r} meets the budgets, yet the bound is {lower!r}. "
            "This is a bug; please report it with the problem's arrays."
        )
    # Both ends carry rounding of the last digits.
    return replace(certificate, lower=lower if point is None else min(lower, upper))


def best_bound(question: Question, evidence: Sequence[Evidence]) -> float:
    """The best of the bounds that the evidence gives."""
    return max((_value(one, question) for one in evidence), default=-math.inf)


def _value(evidence: Evidence, question: Question) -> float:
    """The bound, or −inf from evidence that cannot be evaluated: it is an engine's word, and may be garbage."""
    try:
        with np.errstate(all="ignore"):
            value = float(evidence.bound(question))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return -math.inf
    return -math.inf if math.isnan(value) else value


@dataclass(frozen=True, eq=False)
class Point:
    """A point that meets every budget, with its rate and classification loss in nats."""

    parts: tuple[Part, ...]
    rate: float
    loss: float


def repair(formulation: Question, parts: Sequence[Part]) -> Point | None:
    """The point moved onto the marginals and within the rate; None if it cannot meet every budget."""
    problem = formulation.problem
    try:
        weights = np.array([part.weight for part in parts], dtype=np.float64)
        arrays = [np.asarray(part.coupling, dtype=np.float64) for part in parts]
    except (AttributeError, TypeError, ValueError):
        return None
    shape = (problem.n, problem.m)
    if not np.isfinite(weights).all() or weights.min() < -1e-9 or not weights.sum() > 0:
        return None
    if any(a.shape != shape or not np.isfinite(a).all() for a in arrays):
        return None
    weights = np.maximum(weights, 0.0) / np.maximum(weights, 0.0).sum()
    if isinstance(formulation, OneShot):
        fixed = [replace(part, weight=float(w)) for part, w in zip(parts, weights, strict=True)]
        if not _maps_hold(formulation, fixed):
            return None
        fixed = _balanced(formulation, fixed)
        if np.abs(formulation.coupling(fixed).sum(axis=0) - problem.py).sum() > MARGINAL_TOLERANCE:
            return None
    else:
        fixed = [
            Part(float(w), round_onto_marginals(a, problem.px, problem.py))
            for a, w in zip(arrays, weights, strict=True)
        ]
    spent, budget = formulation.rate(fixed), formulation.rate_budget
    for _ in range(0 if isinstance(formulation, OneShot) else 5):
        if spent <= budget:
            break
        theta = min(1.0, 1.0 - budget / spent + 1e-15 * (1.0 + 1.0 / max(spent, 1e-300) * 1e-3))
        fixed = [replace(part, coupling=(1.0 - theta) * part.coupling + theta * problem.independent) for part in fixed]
        spent = formulation.rate(fixed)
    loss = formulation.classification_loss(fixed)
    if spent > formulation.rate_budget + ROUNDING or loss > formulation.classification_budget + ROUNDING:
        return None
    if formulation.distortion(fixed) > formulation.distortion_budget * (1.0 + ROUNDING):
        return None
    return Point(tuple(fixed), spent, loss)


def _balanced(formulation: OneShot, parts: list[Part]) -> list[Part]:
    """The mixture with column sums py: shrunk until no letter has too much, topped up with constant maps (rate 0)."""
    problem = formulation.problem
    masses = formulation.coupling(parts).sum(axis=0)
    if np.abs(masses - problem.py).sum() <= 1e-14:
        return parts
    with np.errstate(divide="ignore"):
        shrink = min(1.0, float(np.min(problem.py / masses)))
    missing = np.maximum(problem.py - shrink * masses, 0.0)
    letters = np.flatnonzero(missing > 0)
    constants = [np.full(problem.n, y, dtype=np.intp) for y in letters]
    return [replace(part, weight=shrink * part.weight) for part in parts] + [
        Part(float(missing[y]), map_coupling(problem, f), f) for y, f in zip(letters, constants, strict=True)
    ]


def _maps_hold(formulation: Question, parts: Sequence[Part]) -> bool:
    """Every coupling is px(x) 1{y = f(x)} for its map f."""
    px, n = formulation.problem.px, formulation.problem.n
    for part in parts:
        if part.map is None or part.map.shape != (n,) or part.map.min() < 0 or part.map.max() >= formulation.problem.m:
            return False
        expected = np.zeros_like(part.coupling)
        expected[np.arange(n), part.map] = px
        if not np.array_equal(expected, part.coupling):
            return False
    return True
