"""The judge: recomputes everything from the problem's own arrays, repairs, and alone may say "optimal".

An engine's point is rounded onto the marginals and moved within its budgets (:mod:`drcopt.witness`), which it then
meets in exact arithmetic, or whose excess is said. An engine's multipliers are worth what the dual bound evaluated at
them says.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from drcopt.bounds import DataProcessing, Evidence, Leaf, PosteriorTree
from drcopt.bounds.base import ROUNDING
from drcopt.bounds.cells import CellDual
from drcopt.coupling import round_onto_marginals
from drcopt.formulations import Formulation, OneShot, Part
from drcopt.formulations.one_shot import map_coupling
from drcopt.problem import Problem
from drcopt.witness import Budgets, Spent, inside

#: A mixture's column sums may miss py by this much in total (single couplings are rounded exactly).
MARGINAL_TOLERANCE = 1e-11


@dataclass(frozen=True, eq=False)
class Certificate:
    """What proves an answer: the formulation, a point that meets it, and evidence for the bound.

    ``upper`` is the objective at ``parts`` (inf without a point) and ``lower`` the evaluated bound: distortion, or
    for evidence with objective "classification-loss" that, in nats. ``rate`` and ``loss`` are what the point spends;
    ``least_loss`` is a proved lower bound on the reachable classification loss, in nats (−inf if none was needed).
    ``rate_excess`` and ``loss_excess`` are by how many nats the point may exceed its budgets, rounded up: 0 where it is
    proved that it does not.
    """

    formulation: Formulation
    parts: tuple[Part, ...] | None
    evidence: Evidence | None
    upper: float
    lower: float
    rate: float
    loss: float
    infeasibility: Evidence | None = None
    least_loss: float = -math.inf
    rate_excess: float = 0.0
    loss_excess: float = 0.0

    @property
    def excess(self) -> float:
        """By how many nats the point may exceed a budget; with any ``upper`` bounds nothing."""
        return max(self.rate_excess, self.loss_excess)

    @property
    def objective(self) -> str:
        """ "distortion", or "classification-loss" where the evidence bounds that."""
        return objective_of(self.evidence)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything needed to believe this to a JSON file; ``drcopt check`` verifies it independently."""
        from drcopt.proof import save

        save(self, path)

    @property
    def infeasible(self) -> bool:
        """Whether it is proved that no point meets the budgets."""
        return self.least_loss > self.formulation.classification_budget


def certify(
    formulation: Formulation,
    parts: Sequence[Part] | None,
    evidence: Evidence | None,
    infeasibility: Evidence | None = None,
    budgets: Budgets | None = None,
) -> Certificate:
    """Judge a point and evidence for ``formulation``, whose problem has no zero-mass letters.

    ``budgets`` are those that the point is held against; the formulation's must be no smaller (default: the same).
    """
    problem = formulation.problem
    point = repair(formulation, parts, budgets) if parts else None
    fixed = None if point is None else point.parts
    if objective_of(evidence) == "classification-loss":
        upper = math.inf if point is None else point.spent.loss
        lower, size = _value(DataProcessing(), formulation), problem.entropy_s
    else:
        upper = math.inf if fixed is None else float((problem.d * formulation.coupling(fixed)).sum())
        lower, size = -math.inf, float(problem.d.max())
    if evidence is not None:
        lower = max(lower, _value(evidence, formulation))
    if objective_of(evidence) == "distortion" and lower < (floor := _floor(problem)):
        f = problem.d.min(axis=1)
        none = CellDual(f, np.zeros(problem.m), 0.0, 0.0)
        lower, evidence = floor, none if isinstance(formulation, OneShot) else PosteriorTree(Leaf(f, 0.0, 0.0))
    least = -math.inf if infeasibility is None else _value(infeasibility, formulation)
    certificate = Certificate(
        formulation,
        fixed,
        evidence,
        upper,
        lower,
        math.nan if point is None else point.spent.rate,
        math.nan if point is None else point.spent.loss,
        infeasibility,
        least,
        0.0 if point is None else point.spent.rate_excess,
        0.0 if point is None else point.spent.loss_excess,
    )
    if certificate.excess > 0.0:  # the point proves nothing, and the bound may lie above its value
        return replace(certificate, parts=None) if certificate.infeasible else certificate
    if point is not None and (lower > upper + 1e-9 * size or certificate.infeasible):
        raise ArithmeticError(
            f"drcopt contradicts itself: a point of value {upper!r} meets the budgets, yet the bound is {lower!r} "
            f"(least classification loss {least!r} nats). This is a bug; please report it with the problem's arrays."
        )
    # Both ends carry rounding of the last digits.
    return replace(certificate, lower=min(lower, upper))


def _floor(problem: Problem) -> float:
    """Every letter x at its cheapest y, and what that leaves to every y: f = min_y d and no other multiplier."""
    f = problem.d.min(axis=1)
    rest = problem.py * (problem.d - f[:, None]).min(axis=0)
    return (math.fsum(problem.px * f) + math.fsum(rest)) * (1.0 - ROUNDING)


def _value(evidence: Evidence, formulation: Formulation) -> float:
    """The bound, or −inf from evidence that cannot be evaluated: it is an engine's word, and may be garbage."""
    try:
        with np.errstate(all="ignore"):
            value = float(evidence.bound(formulation))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return -math.inf
    return -math.inf if math.isnan(value) else value


def objective_of(evidence: Evidence | None) -> str:
    """What a piece of evidence bounds: "distortion" or "classification-loss"."""
    return getattr(evidence, "objective", "distortion")


@dataclass(frozen=True, eq=False)
class Point:
    """A point and what it spends."""

    parts: tuple[Part, ...]
    spent: Spent


def repair(
    formulation: Formulation, parts: Sequence[Part], budgets: Budgets | None = None, *, lower_loss: bool = True
) -> Point | None:
    """The point moved onto the marginals and within its budgets; None if it misses one by more than rounding."""
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
    moved = inside(formulation, fixed, budgets, lower_loss=lower_loss)
    return None if moved is None else Point(tuple(moved[0]), moved[1])


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


def better(
    formulation: Formulation, first: Sequence[Part] | None, second: Sequence[Part] | None, budgets: Budgets
) -> Sequence[Part] | None:
    """Whichever point meets the budgets at less E d once repaired; the first where neither does."""
    found = [repair(formulation, parts, budgets) if parts else None for parts in (first, second)]
    met = [point.parts for point in found if point is not None and point.spent.excess == 0.0]
    return min(met, key=lambda parts: formulation.problem.distortion(formulation.coupling(parts)), default=first)


def _maps_hold(formulation: Formulation, parts: Sequence[Part]) -> bool:
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
