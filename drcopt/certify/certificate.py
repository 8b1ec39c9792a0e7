"""The judge: recomputes everything from the problem's own arrays, repairs, and alone may say "optimal".

An engine's point is rounded onto the marginals and moved within its budgets (:mod:`drcopt.certify.witness`), which it
then meets in exact arithmetic, or whose excess is said. An engine's multipliers are worth what the dual bound
evaluated at them says.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from drcopt.bounds import Cheapest, DataProcessing, Evidence, bound_of
from drcopt.certify.exactly import meets
from drcopt.certify.witness import Budgets, Spent, inside, law_of
from drcopt.coupling import loosest, round_along_support, round_onto_allowed, round_onto_marginals
from drcopt.formulations import Message, OneShot, Part, Question, SingleLetter
from drcopt.formulations.one_shot import map_coupling
from drcopt.problem import Problem
from drcopt.questions import DISTORTION, RATE, Quantity
from drcopt.questions.output import Free, Near
from drcopt.support.check import FloatArray

#: A mixture's column sums may miss py by this much in total (single couplings are rounded exactly).
MARGINAL_TOLERANCE = 1e-11
#: What a coupling may lack to its marginals and still be meant to have them.
_ROUNDING = 1e-9
#: What is missing goes where the point has mass if elsewhere it would cost this share of E d.
_DEAR = 1e-10
#: A bound this much, relative, above what any point has is no rounding.
_BEYOND = 1e-9
#: Evidence that costs nothing and holds of every problem.
FLOORS: tuple[Evidence, ...] = (DataProcessing(), Cheapest())


@dataclass(frozen=True, eq=False)
class Certificate:
    """What proves an answer: the question, a point that meets its limits, and evidence for the bound.

    ``upper`` is the objective at ``parts`` (inf without a point) and ``lower`` the evaluated bound on it, in the unit
    of d or in nats; inf if it is proved that no point meets the limits. ``spent`` is what the point has of everything,
    and by how much it may exceed its limits. Bounds are those of ``relaxed`` too, the problem with a smaller d, where
    outliers would drown them in rounding.
    """

    formulation: Question
    parts: tuple[Part, ...] | None
    evidence: tuple[Evidence, ...]
    upper: float
    lower: float
    spent: Spent | None = None
    relaxed: Problem | None = None

    @property
    def excess(self) -> float:
        """By how much the point may exceed a limit, in nats or the unit of d; with any ``upper`` bounds nothing."""
        return 0.0 if self.spent is None else self.spent.excess

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
        return self.bound(self.formulation.minimising(quantity))

    def bound(self, question: Question) -> float:
        """The best bound that the evidence gives for a question about the same problem."""
        return best_bound(question, (*FLOORS, *self.evidence), self.relaxed)

    def joined(self, other: Certificate) -> Certificate:
        """The better point and the better bound of two answers to one question, with the evidence of both."""
        point = min((self, other), key=lambda c: (c.parts is None, c.excess > 0.0, c.upper))
        bound = max((self, other), key=lambda c: c.lower)
        evidence = (*bound.evidence, *(self if bound is other else other).evidence)
        return _consistent(replace(bound, parts=point.parts, upper=point.upper, spent=point.spent, evidence=evidence))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything needed to believe this to a JSON file; ``drcopt check`` verifies it independently."""
        from drcopt.certify.proof import save

        save(self, path)


def certify(
    question: Question,
    parts: Sequence[Part] | None,
    *evidence: Evidence,
    budgets: Budgets | None = None,
    relaxed: Problem | None = None,
) -> Certificate:
    """Judge a point and evidence for a question whose problem has no zero-mass letters.

    ``budgets`` are those that the point is held against; the question's must be no smaller (default: the same).
    ``relaxed`` is the problem with a d that is nowhere larger, if bounds are to be evaluated there as well.
    """
    point = repair(question, parts, budgets) if parts else None
    upper = math.inf if point is None else point.spent.values[question.objective.place]
    if relaxed is not None and not (relaxed.d <= question.problem.d).all():
        relaxed = None
    lower = best_bound(question, (*FLOORS, *evidence), relaxed)
    if lower > question.most[question.objective.place] * (1.0 + _BEYOND):
        lower = math.inf  # more than any point has: none meets the limits
    spent = None if point is None else point.spent
    return _consistent(
        Certificate(question, None if point is None else point.parts, evidence, upper, lower, spent, relaxed)
    )


def _consistent(certificate: Certificate) -> Certificate:
    """The certificate with its bound no higher than its point, or an error where that is no rounding."""
    question, upper, lower = certificate.formulation, certificate.upper, certificate.lower
    if certificate.excess > 0.0:  # the point proves nothing, and the bound may lie above its value
        return replace(certificate, parts=None, spent=None) if certificate.infeasible else certificate
    if certificate.parts is None:
        return certificate
    place, relaxed = question.objective.place, certificate.relaxed
    size = (question if relaxed is None else question.with_problem(relaxed)).most[place]
    if lower > upper + 1e-9 * size:
        raise ArithmeticError(
            f"drcopt contradicts itself: a point of value {upper!r} meets the budgets, yet the bound is {lower!r}. "
            "This is a bug; please report it with the problem's arrays."
        )
    # Both ends carry rounding of the last digits.
    return replace(certificate, lower=min(lower, upper))


def best_bound(question: Question, evidence: Sequence[Evidence], relaxed: Problem | None = None) -> float:
    """The best of the bounds that the evidence gives, for ``relaxed`` too."""
    asked = [question] if relaxed is None else [question, question.with_problem(relaxed)]
    return max((bound_of(one, each) for each in asked for one in evidence), default=-math.inf)


@dataclass(frozen=True, eq=False)
class Point:
    """A point and what it spends."""

    parts: tuple[Part, ...]
    spent: Spent


def repair(
    formulation: Question, parts: Sequence[Part], budgets: Budgets | None = None, *, lower_loss: bool = True
) -> Point | None:
    """The point moved onto the marginals and within its budgets; None if it misses one by more than rounding."""
    if isinstance(formulation, Message) or (formulation.laws is not None and not isinstance(formulation, OneShot)):
        return _with_own_law(formulation, parts, budgets, lower_loss)
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
        if formulation.laws is not None:
            return _of_own_law(formulation, fixed, budgets)
        fixed = _balanced(formulation, fixed)
        if np.abs(formulation.coupling(fixed).sum(axis=0) - problem.py).sum() > MARGINAL_TOLERANCE:
            return None
    else:
        moved_on = [_onto_marginals(problem, a) for a in arrays]
        fixed = [Part(float(w), a) for a, w in zip(moved_on, weights, strict=True) if a is not None]
        if len(fixed) < len(arrays):
            return None
    moved = inside(formulation, fixed, budgets, lower_loss=lower_loss)
    return None if moved is None else Point(tuple(moved[0]), moved[1])


#: Letters of less mass than this are left out of a law.
_NO_MASS = 1e-14


def _with_own_law(question: Question, parts: Sequence[Part], budgets: Budgets | None, lower_loss: bool) -> Point | None:
    """A point whose law of Y, or of V, is one of several, in a mixture on average.

    Rows are scaled to px. Where the law lies outside its ball, mixing with px·tᵀ brings it in: every divergence from
    the target t is convex and 0 there, and the rate falls by the same factor. That it is in is then proved with
    rounding against it (:mod:`drcopt.certify.exactly`).
    """
    problem, laws = question.problem, question.laws
    try:
        weights = np.maximum(np.array([part.weight for part in parts], dtype=np.float64), 0.0)
        couplings = [np.maximum(np.asarray(part.coupling, dtype=np.float64), 0.0) for part in parts]
        letters = np.arange(problem.m)
        if isinstance(question, Message):
            letters = np.asarray(parts[0].letters, dtype=np.intp)
    except (AttributeError, TypeError, ValueError):
        return None
    shape = (problem.n, len(letters))
    if not len(letters) or any(P.shape != shape or not np.isfinite(P).all() for P in couplings):
        return None
    if not (weights.sum() > 0 and np.isfinite(weights).all()) or letters.min() < 0 or letters.max() >= problem.m:
        return None
    if len(parts) > 1 and isinstance(question, SingleLetter):
        return None
    weights = weights / weights.sum()
    mixed: list[FloatArray] = []
    for P in couplings:
        P = np.where(problem.forbidden[:, letters] | (P.sum(axis=0) <= (0.0 if laws is None else _NO_MASS)), 0.0, P)
        rows = P.sum(axis=1)
        if not P.any():
            return None
        lost = np.flatnonzero(rows == 0.0)  # what has next to no mass itself, and had a letter of its own
        there = np.flatnonzero(P.any(axis=0))
        P[lost, there[problem.d[np.ix_(lost, letters[there])].argmin(axis=1)]] = rows[lost] = 1.0
        mixed.append(P * (problem.px / rows)[:, None])
    target = False
    if isinstance(laws, Near):
        mixed, letters, target = _drawn_in(laws, problem.px, weights, mixed, letters, isinstance(question, Message))
    elif laws is None:
        law = _law_of(mixed[0].sum(axis=0), letters, problem.m)
        if not law.all():
            return None
        mixed = [P * (problem.py / law)[letters] for P in mixed]
    if laws is not None and problem.forbidden.any() and isinstance(question, SingleLetter):
        P, letters = _within_free(question, mixed[0], letters)
        mixed = [P]
    every = laws.target[letters] if isinstance(laws, Near) and target else _average(weights, mixed)
    letters, mixed, every = letters[every > 0], [P[:, every > 0] for P in mixed], every[every > 0]
    own = None if laws is None else Free()
    fixed: Question
    if isinstance(question, Message):
        fixed = question.of_atoms(letters, every, own)
    else:
        fixed = question.at(_law_of(every, letters, problem.m), own)
    if own is None:
        point = repair(fixed, [Part(1.0, mixed[0])], budgets, lower_loss=lower_loss)
    else:
        found = [Part(float(w), P) for w, P in zip(weights, mixed, strict=True)]
        moved = inside(fixed, found, budgets, lower_loss=lower_loss)
        point = None if moved is None else Point(tuple(moved[0]), moved[1])
    if point is None or (isinstance(laws, Near) and not meets(laws, letters, law_of(fixed, point.parts))):
        return None
    if isinstance(question, Message):
        return replace(point, parts=(replace(point.parts[0], letters=letters),))
    return replace(point, parts=tuple(replace(p, coupling=_wide(p.coupling, letters, problem.m)) for p in point.parts))


def _of_own_law(question: OneShot, parts: list[Part], budgets: Budgets | None) -> Point | None:
    """A mixture of maps whose law is one of several; constant maps, of rate 0, bring it into its ball."""
    laws, problem = question.laws, question.problem
    if isinstance(laws, Near) and not meets(laws, np.arange(problem.m), law_of(question, parts)):
        share = laws.share(question.coupling(parts).sum(axis=0))
        letters = np.flatnonzero(laws.target)
        constants = [np.full(problem.n, y, dtype=np.intp) for y in letters]
        parts = [replace(part, weight=(1.0 - share) * part.weight) for part in parts if share < 1.0]
        weights = share * laws.target[letters]
        parts += [Part(float(w), map_coupling(problem, f), f) for w, f in zip(weights, constants, strict=True)]
        if not meets(laws, np.arange(problem.m), law_of(question, parts)):
            return None
    moved = inside(question, parts, budgets)
    return None if moved is None else Point(tuple(moved[0]), moved[1])


def _wide(P: FloatArray, letters: np.ndarray, m: int) -> FloatArray:
    """A coupling on some letters as one on all."""
    full = np.zeros((len(P), m))
    full[:, letters] = P
    return full


def _within_free(question: SingleLetter, P: FloatArray, letters: np.ndarray) -> tuple[FloatArray, np.ndarray]:
    """The coupling with as little as does of one of less distortion, then of less rate, both of laws of their own.

    Of a given law there may be no other coupling that avoids forbidden pairs.
    """
    problem, every = question.problem, np.arange(question.problem.m)
    cheap = np.where(every == problem.d.argmin(axis=1)[:, None], problem.px[:, None], 0.0)
    for quantity, other in ((DISTORTION, cheap), (RATE, loosest(problem.px, None, ~problem.forbidden)[0])):
        now, least = (_ends(problem, Q, at)[quantity.place] for Q, at in ((P, letters), (other, every)))
        limit = question.budgets[quantity.place]
        if not limit < now or least >= now:
            continue
        share = min(1.0, (now - limit) / (now - least) + 1e-13)
        if isinstance(question, Message):
            P, letters = np.hstack([(1.0 - share) * P, share * other]), np.append(letters, every)
        else:
            mixed = share * other.T
            np.add.at(mixed, letters, (1.0 - share) * P.T)
            P, letters = mixed.T, every
        some = P.sum(axis=0) > 0.0
        P, letters = P[:, some], letters[some]
    return P * (problem.px / P.sum(axis=1))[:, None], letters


def _ends(problem: Problem, P: FloatArray, letters: np.ndarray) -> tuple[float, float]:
    """E d and I of a coupling whose columns have these letters."""
    some = P > 0
    return float((problem.d[:, letters][some] * P[some]).sum()), problem.rate(P)


def _drawn_in(
    laws: Near, px: FloatArray, weights: FloatArray, couplings: list[FloatArray], letters: np.ndarray, message: bool
) -> tuple[list[FloatArray], np.ndarray, bool]:
    """The couplings, mixed with a letter of the target until their average law is in the ball, and its letters.

    The last says whether nothing but the target is left.
    """
    every, alone = np.arange(len(laws.target)), np.outer(px, laws.target)
    if meets(laws, letters, _average(weights, couplings)):
        return couplings, letters, False
    share = laws.share(_law_of(_average(weights, couplings), letters, len(every)))
    if share > 0.0 and message:
        couplings = [np.hstack([(1.0 - share) * P, share * alone]) for P in couplings]
        letters = np.append(letters, every)
    elif share > 0.0:
        couplings = [(1.0 - share) * P + share * alone for P in couplings]
    if meets(laws, letters, _average(weights, couplings)):
        return couplings, letters, False
    some = np.flatnonzero(laws.target)  # a ball so small that rounding leaves it
    return [np.outer(px, laws.target[some])] * len(couplings), some, True


def _average(weights: FloatArray, couplings: Sequence[FloatArray]) -> FloatArray:
    """The law of the columns of a mixture."""
    return np.asarray(sum(w * P.sum(axis=0) for w, P in zip(weights, couplings, strict=True)))


def _law_of(weights: FloatArray, letters: np.ndarray, m: int) -> FloatArray:
    """The law of Y of columns with these weights and letters."""
    return np.asarray(np.bincount(letters, weights, m), dtype=np.float64)


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


def _onto_marginals(problem: Problem, P: FloatArray) -> FloatArray | None:
    """The coupling near P; what rounding leaves over goes where P is, if it would be dear elsewhere.

    None if none is found that avoids all forbidden pairs.
    """
    if problem.forbidden.any():
        return round_onto_allowed(P, problem.px, problem.py, ~problem.forbidden)
    rounded = round_onto_marginals(P, problem.px, problem.py)
    if np.abs(rounded - P).sum() > _ROUNDING:  # no rounding: an engine's unfinished point, and it may move
        return rounded
    before, after = problem.distortion(P), problem.distortion(rounded)
    if after - before > _DEAR * abs(before):
        kept = round_along_support(P, problem.px, problem.py)
        if kept is not None and problem.distortion(kept) < after:
            return kept
    return rounded


def best_of(question: Question, points: Sequence[Sequence[Part] | None], budgets: Budgets) -> Sequence[Part] | None:
    """Whichever point, repaired, meets the budgets at the least of the objective; failing that, exceeds them least."""
    if len(points) == 1:
        return points[0]
    found = [repair(question, parts, budgets) if parts else None for parts in points]
    kept = [(p.spent.excess, p.spent.values[question.objective.place], i) for i, p in enumerate(found) if p is not None]
    if not kept:
        return points[0]
    point = found[min(kept)[-1]]
    assert point is not None
    return point.parts


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
