"""The dual bound over posteriors, for the single-letter and the time-sharing problem.

Column y of a coupling is py(y)·p_y with a posterior pmf p_y on X. For multipliers f (rows), α ≥ 0 (rate)
and β ≥ 0 (classification) every coupling that meets the budgets has

  E d ≥ Σ_x f px − αR − βC + Σ_y py(y) · min_p [ ⟨d(·,y) − f, p⟩ + α D(p‖px) + β H(Wᵀp) ],

the minimum over pmfs p whose class posterior τ = Wᵀp lies in a box known to hold τ_y. Splitting boxes and
taking the least over all pieces keeps the bound valid: :class:`Split` and :class:`Leaf` form that tree.
With β = 0 the inner minimum is −α log Σ px exp((f − d)/α), and with α = 0 too it is the c-transform of
optimal transport.

For objective "classification-loss" the same formula with d = 0, β = 1 and no C bounds H(S|Y) from below.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from drcopt import clock
from drcopt._check import FloatArray
from drcopt.bounds.base import effective_budgets, lowered
from drcopt.bounds.pricing import Partition, price
from drcopt.bounds.pricing.gibbs import softmin
from drcopt.formulations import Formulation
from drcopt.problem import Problem

#: How much of a leaf's bound pricing may leave unproved, relative to the range of its costs.
_SHARP, _ROUGH = 1e-9, 1e-6


@dataclass(frozen=True, eq=False)
class Leaf:
    """Multipliers for one box: f of shape (n,) in distortion, α and β in distortion per nat."""

    f: FloatArray
    rate: float
    classification: float


@dataclass(frozen=True, eq=False)
class Split:
    """τ_y(s) ≤ ``at`` in ``low``, ≥ ``at`` in ``high``: two trees that together cover the box."""

    y: int
    s: int
    at: float
    low: Node
    high: Node


Node = Leaf | Split


@dataclass(frozen=True, eq=False)
class PosteriorTree:
    """Evidence: a tree of boxes of class posteriors with multipliers at its leaves.

    ``objective`` is "distortion" or "classification-loss" (then it bounds H(S|Y), in nats).
    """

    root: Node
    objective: str = "distortion"

    def leaves(self, problem: Problem) -> Iterator[tuple[Leaf, FloatArray]]:
        """Every leaf with its box, an array (m, k, 2) of least and greatest τ_y(s)."""
        stack: list[tuple[Node, FloatArray]] = [(self.root, whole_box(problem))]
        while stack:
            node, box = stack.pop()
            if isinstance(node, Leaf):
                yield node, box
                continue
            if not (0 <= node.y < problem.m and 0 <= node.s < problem.k and math.isfinite(node.at)):
                raise ValueError(f"a split must name a letter, a class and a finite place; it is {node}")
            for child, side in ((node.low, 1), (node.high, 0)):
                part = box.copy()
                part[node.y, node.s, side] = node.at
                stack.append((child, part))

    def bound(self, formulation: Formulation) -> float:
        """The least leaf bound. Time-sharing mixes couplings of different leaves, so it asks for one (α, β)."""
        problem = formulation.problem
        try:
            leaves = list(self.leaves(problem))
        except ValueError:
            return -math.inf  # a split of nothing
        if formulation.name == "time-sharing" and len({(leaf.rate, leaf.classification) for leaf, _ in leaves}) > 1:
            return -math.inf
        # Sharp pricing is dear, and only the least bound counts: roughly first, then the least until it is a sharp one.
        heap: list[tuple[float, int, bool]] = []
        cells: list[Partition | None] = [None]
        for i, (leaf, box) in enumerate(leaves):  # neighbours in the tree share the boxes of all letters but one
            if clock.expired() and i > 0:
                return -math.inf  # a leaf without a bound: there is nothing to say of the whole
            bound, partition = _leaf_bound(formulation, leaf, box, self.objective, _ROUGH, cells[-1])
            cells.append(partition)
            heapq.heappush(heap, (bound, i, False))
        while not heap[0][2] and not clock.expired():
            bound, i, _ = heap[0]
            sharp, _ = _leaf_bound(formulation, *leaves[i], self.objective, _SHARP, cells[i + 1])
            heapq.heapreplace(heap, (max(bound, sharp), i, True))
        return heap[0][0]

    def rescaled(self, scale: float, row_offset: FloatArray, column_offset: FloatArray) -> PosteriorTree:
        if self.objective == "classification-loss":
            return self  # does not mention d
        del column_offset  # the minimum over p absorbs it

        def visit(node: Node) -> Node:
            if isinstance(node, Split):
                return replace(node, low=visit(node.low), high=visit(node.high))
            return Leaf(scale * node.f + row_offset, scale * node.rate, scale * node.classification)

        return replace(self, root=visit(self.root))


def whole_box(problem: Problem) -> FloatArray:
    """The box that holds every class posterior: τ(s) between the least and the greatest W(x, s)."""
    W = problem.ps_given_x
    box = np.stack([W.min(axis=0), W.max(axis=0)], axis=-1)
    return np.broadcast_to(box, (problem.m, problem.k, 2)).copy()


def leaf_bound(formulation: Formulation, leaf: Leaf, box: FloatArray, objective: str = "distortion") -> float:
    """The dual bound at one leaf, rounded down; −inf if the multipliers are not usable."""
    return _leaf_bound(formulation, leaf, box, objective, _SHARP, None)[0]


def _leaf_bound(
    formulation: Formulation, leaf: Leaf, box: FloatArray, objective: str, tol: float, start: Partition | None
) -> tuple[float, Partition | None]:
    """The bound, of which pricing may leave ``tol`` unproved, and what the next pricing may start from."""
    problem = formulation.problem
    rate_budget, classification_budget = effective_budgets(formulation)
    f, alpha, beta = np.asarray(leaf.f, dtype=np.float64), float(leaf.rate), float(leaf.classification)
    usable = f.shape == (problem.n,) and np.isfinite(f).all() and 0 <= alpha < math.inf and 0 <= beta < math.inf
    if not usable:
        return -math.inf, None
    if objective == "classification-loss":
        cost, beta, classification_budget = -np.broadcast_to(f[:, None], (problem.n, problem.m)), 1.0, 0.0
    else:
        cost = problem.d - f[:, None]
    room = 0.0 if problem.k == 2 and tol == _SHARP else tol * (float(np.ptp(cost)) + beta)
    partition = None
    if beta == 0 and (box == whole_box(problem)).all():
        least = softmin(cost, np.log(problem.px), alpha)  # what price would say, without the posteriors
    else:
        priced = price(problem, cost, alpha, beta, box, tol=room, start=start)
        least, partition = priced.lower, priced.partition
    if np.isposinf(least).any():
        return math.inf, partition  # an empty box: no coupling has its posteriors there
    terms = (f * problem.px, [-alpha * rate_budget, -beta * classification_budget], problem.py * least)
    total = math.fsum(np.concatenate(terms))
    largest_log = float(-np.log(problem.px.min()))
    bound = lowered(
        total,
        float(np.abs(cost).max()) + float(np.abs(f).max()),
        min(alpha, float(np.ptp(cost))) * (largest_log + 1.0),
        alpha * rate_budget,
        beta * math.log(problem.k + 1.0),
    )
    return bound, partition
