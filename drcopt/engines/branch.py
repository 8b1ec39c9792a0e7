"""The global engine: a certified optimum of the reverse-convex problem.

Upper bounds come from the convex-concave procedure, lower bounds from branch and bound on class posteriors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from drcopt.bounds import Evidence, PosteriorTree
from drcopt.bounds.posterior import Node, packed, unpacked
from drcopt.bounds.pricing.vertices import most_candidates
from drcopt.engines import bottleneck
from drcopt.engines.base import INTERRUPTED, Limits, Proposal
from drcopt.engines.corner_search import CornerSearch
from drcopt.engines.cuts import Columns, leaf
from drcopt.engines.descent import Descent
from drcopt.engines.earlier import Earlier, likely, parted, said
from drcopt.engines.inverse_points import InversePoints
from drcopt.engines.lagrangian import Lagrangian
from drcopt.engines.newton import Newton
from drcopt.engines.points import MARGIN, Points
from drcopt.engines.search import Search
from drcopt.engines.sharing import share
from drcopt.formulations import Part, Question
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, RATE, ROUNDING
from drcopt.support.check import FloatArray

#: A proof that C cannot be met goes this far past it (relative to H(S)), so that the leaves, priced afresh, still do.
_PAST = 1e-7
#: How finely the least loss is searched for when no point is known (relative to H(S)), and the nodes then spent on a
#: bound on E d if there is still neither a point nor a proof that there is none.
_FINE, _AT_THE_EDGE = 1e-9, 30
#: Leaves of a tree that the next point of a sweep starts from: where a few boxes did, one may do next.
_FEWEST_LEAVES, _MOST_LEAVES = 6, 64
#: Trees of linear programs are kept for other points if they have no more leaves.
_SHORT = 16
#: Where the rate binds, linear programs, with tangents of the rate and chords of the loss, are the better search if β
#: is so many times α/η at the best point; in larger couplings than that pricing says more.
_MUCH, _CELLS = 4.0, 40
#: After so many boxes, and whenever there are twice as many, that is asked again where the rate looked slack at first.
_AGAIN = 100
#: Starts before, as the multipliers of a poor point say little; boxes where there is no point yet.
_EXPLORED, _BLIND = 4, 100
#: So many candidate vertices for a letter are priced faster than by a spatial search.
_FEW = 5_000


class Global:
    """Problems with an active classification budget, to a proved gap; time-sharing by :mod:`drcopt.engines.sharing`."""

    name: ClassVar[str] = "global"

    def __init__(self) -> None:
        self._earlier = Earlier()

    def propose(self, question: Question, limits: Limits, warm: Any = None) -> Proposal:
        """See :class:`drcopt.engines.base.Engine`."""
        problem, objective = question.problem, question.objective
        warm, trees = parted(warm)
        unlimited = question.classification_budget >= problem.entropy_s - ROUNDING
        if objective is not CLASSIFICATION_LOSS and unlimited:
            return Newton().propose(question, limits, warm)  # never binds: what is left is convex
        if question.name == "time-sharing":
            return share(question, limits)
        last = _Last.of(warm, problem)
        points, cornered = _begun(question, limits)
        stats: dict[str, Any] = {}
        edge = ""
        if last is not None:
            floor = max((likely(question, one) for one in trees), default=-math.inf)
            points.start(last.coupling, last.z, floor + limits.tol, lambda: _own(question, points) + limits.tol)
        elif points.best is None:
            points.start()
        if cornered is not None and not cornered.slack and _concavity(points) >= _MUCH:
            cornered.explore(_EXPLORED)
        if cornered is not None and points.best is None:
            points.watch(cornered)
            cornered.run(_BLIND)
        evidence: list[Evidence] = []
        if limits.expired:
            return _unsearched(points, PosteriorTree(leaf(points.multipliers())), "the time limit was reached")
        if (tree := self._earlier.proving(question, trees, points.value - limits.tol)) is not None:
            why = "a bound that an earlier point proved suffices here"
            left = _left_by(tree, said(question, points.value - limits.tol), points.best, warm)
            return _unsearched(points, tree, why, left)
        if (root := bottleneck.root(question, points.best)) is not None:
            why = "the multipliers of the information bottleneck were priced"
            return _unsearched(points, PosteriorTree(root), why)
        if points.best is None and objective is not CLASSIFICATION_LOSS:
            least = _least_loss(question, limits, points)
            if least.termination == INTERRUPTED:
                raise KeyboardInterrupt  # before there is anything to hand back
            stats["loss_nodes"] = least.nodes
            evidence.append(least.evidence())
            if least.lower > question.classification_budget:
                why = "the least classification loss is above its budget"
                return Proposal(None, tuple(evidence), why, stats=stats)
            if points.best is None and not limits.expired:
                # Closer to the least loss than can be told apart: a bound is all there is to find.
                limits = replace(limits, node_limit=min(limits.node_limit or _AT_THE_EDGE, _AT_THE_EDGE))
                edge = f"C is within {least.upper - least.lower:.1g} nats of the least classification loss"
        search: CornerSearch | Search | None = None
        if cornered is not None:
            search = _through(cornered, points)
            if search is None:
                stats["programs"] = cornered.nodes
        search = _by_posteriors(question, limits, points, last) if search is None else search
        if cornered is not None and cornered is not search and cornered.lower > search.lower + limits.tol:
            evidence.append(cornered.evidence())  # its thousands of leaves cost the judge seconds
        stats |= {"nodes": search.nodes, "pricings": search.priced, "descents": points.descents}
        best = points.best
        w, alpha, beta = (search.multipliers if best is None else best.z)[-3:].tolist()
        return Proposal(
            parts=None if best is None else [Part(1.0, best.P)],
            evidence=(search.evidence(), *evidence),
            termination=edge if edge and best is None else search.termination,
            distortion_multiplier=w,
            rate_multiplier=alpha,
            classification_multiplier=beta,
            stats=stats,
            warm=_remember(warm, best, search, question),
        )


def _begun(question: Question, limits: Limits) -> tuple[Points | InversePoints, CornerSearch | None]:
    """What looks for points, and a search by linear programs, whose points it has where the rate looks slack; None
    where they do not suit."""
    if question.objective is not DISTORTION:
        return InversePoints(question, limits), None
    problem, points = question.problem, Points(question, limits)
    if not CornerSearch.suits(question):
        return points, None
    search = CornerSearch(question, limits, points.slide, points.settle, points.explore)
    if search.rate_is_slack():
        points.start_from_vertices()
    elif problem.k == 2 or problem.n * problem.m > _CELLS:
        return points, None  # pricing on a line is cheap, and in many letters it says more than tangents of the rate
    return points, search


def _own(question: Question, points: Points | InversePoints) -> float:
    """What the best point's multipliers prove, where that costs less than to look for another point; else −inf."""
    if question.problem.k != 2 or points.best is None:
        return -math.inf
    return PosteriorTree(leaf(points.multipliers())).bound(question)


def _concavity(points: Points | InversePoints) -> float:
    """How many times α/η the best point's β is: above 1 αI + βH need not be convex; inf if α = 0 or there is none."""
    if points.best is None:
        return math.inf
    alpha, beta = points.best.z[-2:].tolist()
    return float(beta * points.problem.contraction / alpha) if alpha > 0 else math.inf


def _through(search: CornerSearch, points: Points | InversePoints) -> CornerSearch | None:
    """The search, once it has come to an end; None if another does better."""
    search.upper = points.value
    points.watch(search)
    if search.nodes <= 1 and _concavity(points) < _MUCH:
        return None
    boxes = _AGAIN
    while search.run(boxes):
        if search.slack and _concavity(points) < _MUCH:
            return None
        boxes *= 2
    return None if search.gave_up else search


def _by_posteriors(question: Question, limits: Limits, points: Points | InversePoints, last: _Last | None) -> Search:
    """A search that prices posteriors at every node, from the last point's tree where that is worth it."""
    search = Search(
        Lagrangian.of(question, rate=_rate_weights(question)), limits, points.improve, points.value, _above(question)
    )
    points.watch(search)
    z = points.multipliers()
    if last is None or not z.any():
        search.run(z)
    else:
        search.run(z, Columns.of(question.problem, last.letters, last.posteriors), last.tree)
    return search


def _least_loss(question: Question, limits: Limits, points: Points | InversePoints) -> Search:
    """Whether the budget on the classification loss can be met: a search for the least that the other limits allow.

    It ends as soon as that is known; what it finds on the way goes to ``points``.
    """
    problem, budget = question.problem, question.classification_budget
    ask = question.minimising(CLASSIFICATION_LOSS)
    fine = replace(limits, tol=min(limits.tol, _FINE * problem.entropy_s))
    lowest = InversePoints(ask, fine, target=budget - 2 * MARGIN)
    lowest.start(points.low, np.zeros(problem.n + 3))
    search = Search(
        Lagrangian.of(ask, rate=_rate_weights(ask)),
        fine,
        lowest.improve,
        lowest.value,
        stop_above=budget + _PAST * problem.entropy_s,
        stop_below=budget,
    )
    lowest.watch(search)
    search.run(lowest.multipliers())
    points.start_from(lowest.best)
    return search


def _above(question: Question) -> float:
    """A bound that no point could have: where the search gets there none meets the limits."""
    return (1.0 + _PAST) * question.most[question.objective.place] + _PAST


def _rate_weights(question: Question) -> tuple[float, float]:
    """The range to search for α: 0 alone if the rate never binds and pricing by vertices is cheap."""
    problem = question.problem
    never = question.budgets[RATE.place] >= question.most[RATE.place]
    return (0.0, 0.0 if never and most_candidates(problem.n, problem.k) <= _FEW else math.inf)


@dataclass(frozen=True, eq=False)
class _Last:
    """What the last point of a sweep left behind: coupling, multipliers z, posteriors priced at the root, tree."""

    coupling: FloatArray
    z: FloatArray
    letters: np.ndarray
    posteriors: FloatArray
    tree: Node | None

    @classmethod
    def of(cls, warm: Any, problem: Problem) -> _Last | None:
        """From what :func:`_remember` wrote, if it did, for a problem of this size."""
        if not isinstance(warm, dict) or "coupling" not in warm:
            return None
        last = cls(
            warm["coupling"],
            warm["multipliers"],
            warm["letters"].astype(np.intp),
            warm["posteriors"],
            _unpacked(warm["splits"], warm["leaves"]),
        )
        return last if last.coupling.shape == (problem.n, problem.m) else None


def _remember(warm: Any, best: Descent | None, search: Search | CornerSearch, question: Question) -> Any:
    if best is None:
        return warm
    tree, lower = packed(search.tree()), search.lower
    if not isinstance(search, Search) and len(tree["leaves"]) > _SHORT:  # of linear programs, and there are thousands
        tree, lower = packed(leaf(best.z)), -math.inf
    return (
        {name: array for name, array in (warm if isinstance(warm, dict) else {}).items() if name != "tangents"}
        | {
            "coupling": best.P,
            "multipliers": best.z,
            "letters": search.columns.y.astype(np.float64) if isinstance(search, Search) else np.zeros(0),
            "posteriors": search.columns.p if isinstance(search, Search) else np.zeros((0, len(best.P))),
            "said": said(question, lower),
        }
        | tree
    )


def _left_by(tree: PosteriorTree, of: FloatArray, best: Descent | None, warm: Any) -> Any:
    """What a point leaves behind for which an earlier tree did; ``of``: what that says here."""
    if best is None:
        return warm
    start = {"letters": np.zeros(0), "posteriors": np.zeros((0, len(best.P)))} | (warm or {})
    return start | {"coupling": best.P, "multipliers": best.z, "said": of} | packed(tree.root)


def _unpacked(splits: FloatArray, leaves: FloatArray) -> Node | None:
    """The tree, unless it is too small, or has grown too large, to save work."""
    return unpacked(splits, leaves) if _FEWEST_LEAVES <= len(leaves) <= _MOST_LEAVES else None


def _unsearched(points: Points | InversePoints, proved: PosteriorTree, termination: str, warm: Any = None) -> Proposal:
    """The best point, with evidence that no search was spent on."""
    best = points.best
    w, alpha, beta = (math.nan,) * 3 if best is None else best.z[-3:].tolist()
    return Proposal(
        parts=None if best is None else [Part(1.0, best.P)],
        evidence=(proved,),
        termination=termination,
        distortion_multiplier=w,
        rate_multiplier=alpha,
        classification_multiplier=beta,
        stats={"nodes": 0, "descents": points.descents},
        warm=warm,
    )
