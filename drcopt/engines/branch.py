"""The global engine: a certified optimum of the reverse-convex problem.

Upper bounds come from the convex-concave procedure, lower bounds from branch and bound on class posteriors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from drcopt._check import FloatArray
from drcopt.bounds import Evidence, Leaf, PosteriorTree, Split
from drcopt.bounds.base import ROUNDING, effective_budgets
from drcopt.bounds.posterior import Node
from drcopt.bounds.pricing.vertices import most_candidates
from drcopt.engines.ascent import Columns, Objective
from drcopt.engines.base import INTERRUPTED, Limits, Proposal
from drcopt.engines.descent import Descent, reduce_loss
from drcopt.engines.newton import Newton
from drcopt.engines.points import MARGIN, Points, lowest_loss
from drcopt.engines.search import Search
from drcopt.engines.sharing import share
from drcopt.formulations import Formulation, Part
from drcopt.problem import Problem

#: A proof that C cannot be met goes this far past it (relative to H(S)), so that the leaves, priced afresh, still do.
_PAST = 1e-7
#: How finely the least loss is searched for when no point is known (relative to H(S)), and the nodes then spent on a
#: bound on E d if there is still neither a point nor a proof that there is none.
_FINE, _AT_THE_EDGE = 1e-9, 30
#: Leaves of a tree that the next point of a sweep starts from: where a few boxes did, one may do next.
_FEWEST_LEAVES, _MOST_LEAVES = 6, 64
#: So many candidate vertices for a letter are priced faster than by a spatial search.
_FEW = 5_000


class Global:
    """Problems with an active classification budget, to a proved gap; time-sharing by :mod:`drcopt.engines.sharing`."""

    name: ClassVar[str] = "global"

    def propose(self, formulation: Formulation, limits: Limits, warm: Any = None) -> Proposal:
        """See :class:`drcopt.engines.base.Engine`."""
        problem = formulation.problem
        if formulation.classification_budget >= problem.entropy_s - ROUNDING:
            return Newton().propose(formulation, limits, warm)  # never binds: what is left is convex
        if formulation.name == "time-sharing":
            return share(formulation, limits)
        rate, budget = effective_budgets(formulation)
        last = _Last.of(warm, problem)
        points = Points(problem, rate, budget, limits)
        stats: dict[str, Any] = {}
        edge = ""
        points.start() if last is None else points.start(last.coupling, last.z)
        infeasibility: Evidence | None = None
        if limits.expired:
            return _late(points)
        if points.best is None:
            fine = replace(limits, tol=min(limits.tol, _FINE * problem.entropy_s))
            least = least_loss_search(
                problem, rate, fine, points.low, stop_above=budget + _PAST * problem.entropy_s, stop_below=budget
            )
            if least.termination == INTERRUPTED:
                raise KeyboardInterrupt  # before there is anything to hand back
            stats["loss_nodes"] = least.nodes
            infeasibility = PosteriorTree(least.tree(), "classification-loss")
            if least.lower > budget:
                return Proposal(
                    None,
                    None,
                    "the least classification loss is above its budget",
                    infeasibility=infeasibility,
                    stats=stats,
                )
            points.start_from(least.found)
            if points.best is None and not limits.expired:
                # Closer to the least loss than can be told apart: a bound is all there is to find.
                limits = replace(limits, node_limit=min(limits.node_limit or _AT_THE_EDGE, _AT_THE_EDGE))
                edge = f"C is within {least.upper - least.lower:.1g} nats of the least classification loss"
        objective = Objective(problem, problem.d, rate, budget, alpha=_rate_multipliers(problem, rate))
        search = Search(objective, limits, points.improve, points.value)
        points.watch(search)
        z = points.multipliers()
        if last is None or not z.any():
            search.run(z)
        else:
            search.run(z, Columns.of(objective, last.letters, last.posteriors), last.tree)
        stats |= {"nodes": search.nodes, "pricings": search.priced, "descents": points.descents}
        best = points.best
        leaf_z = search.root.z
        return Proposal(
            parts=None if best is None else [Part(1.0, best.P)],
            evidence=PosteriorTree(search.tree()),
            termination=edge if edge and best is None else search.termination,
            rate_multiplier=float(leaf_z[-2]) if best is None else best.rate_multiplier,
            classification_multiplier=float(leaf_z[-1]) if best is None else best.classification_multiplier,
            infeasibility=infeasibility,
            stats=stats,
            warm=_remember(warm, best, search),
        )

    def least_loss(self, formulation: Formulation, limits: Limits) -> Proposal:
        """The least H(S|Y) within the rate budget; ``limits.tol`` in nats."""
        problem = formulation.problem
        rate, _ = effective_budgets(formulation)
        search = least_loss_search(problem, rate, limits, problem.independent)
        return Proposal(
            parts=None if search.found is None else [Part(1.0, search.found.P)],
            evidence=PosteriorTree(search.tree(), "classification-loss"),
            termination=search.termination,
            stats={"nodes": search.nodes, "pricings": search.priced},
        )


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


def _remember(warm: Any, best: Descent | None, search: Search) -> Any:
    if best is None:
        return warm
    return (
        (warm if isinstance(warm, dict) else {})
        | {
            "coupling": best.P,
            "multipliers": np.concatenate([best.f, [best.rate_multiplier, best.classification_multiplier]]),
            "letters": search.columns.y.astype(np.float64),
            "posteriors": search.columns.p,
        }
        | _packed(search.tree())
    )


def _packed(tree: Node) -> dict[str, FloatArray]:
    """A tree in preorder: "splits" (N, 3) of y, s and at (y = −1 for a leaf) and the leaves' z (L, n + 2)."""
    splits, leaves, stack = [], [], [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, Leaf):
            splits.append((-1.0, 0.0, 0.0))
            leaves.append(np.concatenate([node.f, [node.rate, node.classification]]))
        else:
            splits.append((node.y, node.s, node.at))
            stack += [node.high, node.low]
    return {"splits": np.array(splits, dtype=np.float64), "leaves": np.array(leaves)}


def _unpacked(splits: FloatArray, leaves: FloatArray) -> Node | None:
    """What :func:`_packed` made an array of; None where a tree is too small, or has grown too large, to save work."""
    if not _FEWEST_LEAVES <= len(leaves) <= _MOST_LEAVES:
        return None
    rows, zs = iter(splits.tolist()), iter(leaves)

    def node() -> Node:
        y, s, at = next(rows)
        if y < 0:
            z = next(zs)
            return Leaf(z[:-2], float(z[-2]), float(z[-1]))
        low = node()
        return Split(int(y), int(s), at, low, node())

    return node()


def _late(points: Points) -> Proposal:
    """What there is where the starts took all the time."""
    best, z = points.best, points.multipliers()
    return Proposal(
        parts=None if best is None else [Part(1.0, best.P)],
        evidence=PosteriorTree(Leaf(z[:-2], float(z[-2]), float(z[-1]))),
        termination="the time limit was reached",
        rate_multiplier=math.nan if best is None else best.rate_multiplier,
        classification_multiplier=math.nan if best is None else best.classification_multiplier,
        stats={"descents": points.descents},
    )


def _rate_multipliers(problem: Problem, rate: float) -> tuple[float, float]:
    """The range to search for α: 0 alone if the rate never binds and pricing by vertices is cheap."""
    never = rate >= min(problem.entropy_x, problem.entropy_y)
    return (0.0, 0.0 if never and most_candidates(problem.n, problem.k) <= _FEW else math.inf)


class LossSearch(Search):
    """A search for the least classification loss; ``found`` is the best coupling."""

    found: Descent | None = None


def least_loss_search(
    problem: Problem,
    rate: float,
    limits: Limits,
    start: FloatArray,
    *,
    stop_above: float = math.inf,
    stop_below: float = -math.inf,
) -> LossSearch:
    """min H(S|Y) with I(X;Y) ≤ rate, bounded below by branch and bound."""
    nothing = np.zeros((problem.n, problem.m))
    objective = Objective(problem, nothing, rate, 0.0, alpha=_rate_multipliers(problem, rate), beta=(1.0, 1.0))
    tried: list[FloatArray] = []

    def improve(P: FloatArray, z: FloatArray, force: bool) -> None:
        del z
        tau = problem.ps_given_x.T @ P
        if not force and any(np.abs(tau - other).sum() < 1e-2 for other in tried):
            return
        tried.append(tau)
        keep(reduce_loss(problem, rate, P, limits, target=search.stop_below - 2 * MARGIN))

    def keep(found: Descent) -> None:
        if found.loss < search.upper:
            search.found, search.upper = found, found.loss

    search = LossSearch(objective, limits, improve, math.inf, stop_above, stop_below)
    first = lowest_loss(problem, rate, start, limits, target=stop_below)
    keep(first)
    search.run(np.concatenate([first.f, [first.rate_multiplier, 1.0]]))
    return search
