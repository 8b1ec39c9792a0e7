"""The dual bound over posteriors, for the single-letter and the time-sharing problem.

Column y of a coupling is q(y)·p_y with a posterior pmf p_y on X. For multipliers f (rows) and weights w (distortion),
α (rate) and β (classification), all ≥ 0, every coupling has

  w E d + α I(X;Y) + β H(S|Y) ≥ Σ_x f px + Ψ(g),   g_y = min_p [ ⟨w d(·,y) − f, p⟩ + α D(p‖px) + β H(Wᵀp) ],

the minimum over pmfs p whose class posterior τ = Wᵀp lies in a box known to hold τ_y, and Ψ(g) the least Σ q g over the
laws q that Y may have. Near a target t it has w E d + α I + β H(S|Y) + ω φ(q, t) ≥ Σ f px + min over all q of
Σ q g + ω φ(q, t), which speaks of no P. Splitting boxes covers all couplings by pieces: :class:`Split` and
:class:`Leaf` form that tree. With β = 0 the inner minimum is −α log Σ px exp((f − w d)/α), and with α = 0 too it is
the c-transform of optimal transport.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from drcopt.bounds.pricing import Partition, price_weighed
from drcopt.bounds.pricing.corners import Known
from drcopt.bounds.pricing.gibbs import softmin
from drcopt.bounds.pricing.vertices import face, faces_inside
from drcopt.formulations import Question
from drcopt.problem import Problem, Standard
from drcopt.questions import Piece, lowered
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: How much of a leaf's bound pricing may leave unproved, relative to the range of its costs.
_SHARP, _ROUGH = 1e-9, 1e-6
#: Of many leaves first the last of these, then of what is least the ones before.
_SHARPER = (_SHARP, _ROUGH, 1e-4)


@dataclass(frozen=True, eq=False)
class Leaf:
    """Multipliers for one box: f of shape (n,), and the weights of rate, classification loss and distortion.

    With several classes ``classification`` has the weight of each, shape (J,).

    With ``tangents``, a pmf t_y on X for every letter, shape (n, m), the rate counts by D(p‖px) ≥ Σ p log(t_y/px): a
    weaker bound, but what is left to minimise is concave, and its least value at a corner of the box.
    """

    f: FloatArray
    rate: float
    classification: Any
    distortion: float = 1.0
    tangents: FloatArray | None = None
    #: How many cells of posteriors its pricing may go through, if not as many as pay where there are many leaves.
    cells: int | None = None


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

    Nothing else of a search: that its cells cover a box, say, would have to be believed.
    """

    root: Node

    def leaves(self, problem: Problem) -> Iterator[tuple[Leaf, FloatArray]]:
        """Every leaf with its box, an array (m, k, 2) of least and greatest τ_y(s)."""
        return ((node, box) for node, box in self._boxes(problem) if isinstance(node, Leaf))

    def _boxes(self, problem: Problem) -> Iterator[tuple[Node, FloatArray]]:
        """Every node with its box."""
        stack: list[tuple[Node, FloatArray]] = [(self.root, whole_box(problem))]
        while stack:
            node, box = stack.pop()
            yield node, box
            if isinstance(node, Leaf):
                continue
            if not (0 <= node.y < problem.m and 0 <= node.s < problem.k and math.isfinite(node.at)):
                raise ValueError(f"a split must name a letter, a class and a finite place; it is {node}")
            for child, side in ((node.low, 1), (node.high, 0)):
                part = box.copy()
                part[node.y, node.s, side] = node.at
                stack.append((child, part))

    def bound(self, question: Question) -> float:
        """The least leaf bound."""
        leaves = self._proving(question)
        if not leaves:
            return -math.inf
        if _mixes_laws(question, leaves):
            return question.bound(_mixed_piece(question, leaves))
        # Sharp pricing is dear, and only the least bound counts: roughly first, then the least until it is a sharp one.
        heap: list[tuple[float, int, int]] = []
        cells: list[Partition | None] = [None]
        known = self._cuts(question.problem) if len(leaves) > 1 else Known()
        for i, (leaf, box) in enumerate(leaves):  # neighbours in the tree share the boxes of all letters but one
            if clock.expired() and i > 0:
                return -math.inf  # a leaf without a bound: there is nothing to say of the whole
            left = len(_SHARPER) - 1 if len(leaves) > 1 else 0
            piece, partition = _leaf_piece(question, leaf, box, _SHARPER[left], cells[-1], known)
            cells.append(partition)
            heapq.heappush(heap, (question.bound(piece), i, left))
        while heap[0][2] > 0 and not clock.expired():
            bound, i, left = heap[0]
            piece, cells[i + 1] = _leaf_piece(question, *leaves[i], _SHARPER[left - 1], cells[i + 1], known)
            heapq.heapreplace(heap, (max(bound, question.bound(piece)), i, left - 1))
        return heap[0][0]

    def pieces(self, question: Question) -> list[Piece]:
        """A half-space for every leaf, priced roughly: each point of the problem lies in one; [] if one is missing.

        They hold at all budgets, and the least of what they say of an objective is a bound on it.
        """
        found: list[Piece] = []
        cells: Partition | None = None
        leaves = self._proving(question)
        if _mixes_laws(question, leaves):
            return [] if clock.expired() else [_mixed_piece(question, leaves)]
        for leaf, box in leaves:
            if clock.expired():
                return []
            piece, cells = _leaf_piece(question, leaf, box, _ROUGH, cells)
            found.append(piece)
        return found

    def _cuts(self, problem: Problem) -> Known:
        """How the boxes of single letters are cut out of each other."""
        known = Known()
        for node, box in self._boxes(problem):
            if isinstance(node, Leaf):
                continue
            faces = faces_inside(box[node.y], problem.ps_given_x)
            for side in (1, 0):
                known.descends(faces, face(node.s, side, node.at))
        return known

    def _proving(self, question: Question) -> list[tuple[Leaf, FloatArray]]:
        """The leaves with their boxes; none where they prove nothing of the question.

        Time-sharing mixes couplings of different leaves, so it asks for one direction.
        """
        try:
            leaves = list(self.leaves(question.problem))
        except ValueError:
            return []  # a split of nothing
        if question.classifier_sees == "message" and isinstance(self.root, Split):
            return []  # the posteriors of one letter may lie in several boxes
        if question.name == "time-sharing" and len({weights_of(leaf) for leaf, _ in leaves}) > 1:
            return []
        return leaves

    def framed(self, change: Standard) -> PosteriorTree:
        def visit(node: Node) -> Node:
            if isinstance(node, Split):
                return replace(node, low=visit(node.low), high=visit(node.high))
            if node.distortion == 0:
                return node  # does not mention d
            # The minimum over p absorbs the columns' part.
            f = change.scale * node.f + node.distortion * change.row
            return replace(node, f=f, rate=change.scale * node.rate, classification=change.scale * node.classification)

        return replace(self, root=visit(self.root))


def weights_of(leaf: Leaf) -> tuple[float, ...]:
    """Those of E d, I and the loss of every class."""
    return float(leaf.distortion), float(leaf.rate), *np.ravel(leaf.classification).tolist()


def packed(tree: Node) -> dict[str, FloatArray]:
    """A tree in preorder: "splits" (N, 3) of y, s and at (y = −1: a leaf), "leaves" (L, n + 3) of f, w, α and β, and
    "tangents" (L, n, m), 0 where a leaf has none, if any has."""
    splits, leaves, tangents, stack = [], [], [], [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, Leaf):
            splits.append((-1.0, 0.0, 0.0))
            leaves.append(np.concatenate([node.f, weights_of(node)]))
            tangents.append(node.tangents)
        else:
            splits.append((node.y, node.s, node.at))
            stack += [node.high, node.low]
    found = {"splits": np.array(splits, dtype=np.float64), "leaves": np.array(leaves)}
    some = [t for t in tangents if t is not None]
    if some:
        found["tangents"] = np.array([np.zeros_like(some[0]) if t is None else t for t in tangents])
    return found


def unpacked(splits: FloatArray, leaves: FloatArray, tangents: FloatArray | None = None) -> Node:
    """What :func:`packed` made arrays of."""
    rows, zs = iter(splits.tolist()), iter(leaves)
    extra = iter([None] * len(leaves) if tangents is None else [t if t.any() else None for t in tangents])

    def node() -> Node:
        y, s, at = next(rows)
        if y < 0:
            z = next(zs)
            return Leaf(z[:-3].copy(), float(z[-2]), float(z[-1]), float(z[-3]), next(extra))
        low = node()
        return Split(int(y), int(s), at, low, node())

    return node()


def whole_box(problem: Problem) -> FloatArray:
    """The box that holds every class posterior: τ(s) between the least and the greatest W(x, s), for all y; frozen."""
    return np.broadcast_to(problem.posterior_range, (problem.m, problem.k, 2))


def leaf_bound(question: Question, leaf: Leaf, box: FloatArray) -> float:
    """The dual bound at one leaf, rounded down; −inf if the multipliers are not usable."""
    return question.bound(leaf_piece(question, leaf, box))


def leaf_piece(question: Question, leaf: Leaf, box: FloatArray) -> Piece:
    """The half-space that holds for every point whose class posteriors lie in the box."""
    return _leaf_piece(question, leaf, box, _SHARP, None)[0]


#: Says nothing.
_NOTHING = Piece((0.0, 0.0, 0.0), -math.inf)


def _leaf_piece(
    question: Question,
    leaf: Leaf,
    box: FloatArray,
    tol: float,
    start: Partition | None,
    known: Known | None = None,
) -> tuple[Piece, Partition | None]:
    """The half-space, of which pricing may leave ``tol`` unproved, and what the next pricing may start from."""
    priced = _price_letters(question, leaf, box, tol, start, known)
    if priced is None:
        return _NOTHING, None
    weights, least = weights_of(leaf), priced.least
    if (empty := np.isposinf(least)).any():
        if question.laws is None or empty.all():
            return Piece(weights, math.inf), priced.partition  # an empty box: no coupling has its posteriors there
        least = _some_number(least)
    value = np.asarray(leaf.f, dtype=np.float64) * question.problem.px
    over_laws, perception = question.law.halfspace(least)
    return Piece(weights, lowered(math.fsum([*value, over_laws]), *priced.magnitudes), perception), priced.partition


@dataclass(frozen=True, eq=False)
class _Priced:
    """What every letter costs at least, inf where its box is empty, and how large the numbers behind it are."""

    least: FloatArray
    magnitudes: tuple[float, float, float]
    partition: Partition | None


def _price_letters(
    question: Question, leaf: Leaf, box: FloatArray, tol: float, start: Partition | None, known: Known | None = None
) -> _Priced | None:
    """g of the module's text, of which ``tol`` may be missing; None if the multipliers are not usable."""
    problem = question.problem
    f, weights = np.asarray(leaf.f, dtype=np.float64), weights_of(leaf)
    if not (f.shape == (problem.n,) and np.isfinite(f).all() and all(0 <= v < math.inf for v in weights)):
        return None
    if len(weights) != 2 + (1 if problem.classes is None else len(problem.classes)):
        return None
    w, alpha, betas = *weights[:2], np.array(weights[2:])
    beta = math.fsum(betas)
    forbidden = problem.forbidden if problem.forbidden.any() else None  # of infinite cost, even where d has no weight
    d = problem.d if forbidden is None else np.where(forbidden, 0.0, problem.d)
    finite = (d if w == 1.0 else w * d) - f[:, None]
    curved = alpha  # the weight of D(p‖px) itself
    if leaf.tangents is not None and alpha > 0:
        tangents = np.asarray(leaf.tangents, dtype=np.float64)
        if tangents.shape != finite.shape or not (np.isfinite(tangents).all() and tangents.min() > 0):
            return None
        finite, curved = finite + alpha * np.log(tangents / (tangents.sum(axis=0) * problem.px[:, None])), 0.0
    least_cost, most_cost = float(finite.min()), float(finite.max())
    cost = finite if forbidden is None else np.where(forbidden, math.inf, finite)
    room = 0.0 if problem.k == 2 and tol == _SHARP else tol * (most_cost - least_cost + beta)
    partition = None
    if beta == 0 and forbidden is None and (box == problem.posterior_range).all():
        least = softmin(cost, np.log(problem.px), curved)  # what price would say, without the posteriors
    else:
        priced = price_weighed(
            problem, cost, curved, betas, box, tol=room, start=start, known=known, most=leaf.cells, bare=True
        )
        least, partition = priced.lower, priced.partition
    largest_log = -math.log(problem.px.min())
    magnitudes = (
        max(most_cost, -least_cost) + float(np.abs(f).max()),
        (min(alpha, most_cost - least_cost) if forbidden is None else alpha) * (largest_log + 1.0),
        beta * math.log(problem.k + 1.0),
    )
    return _Priced(np.asarray(least), magnitudes, partition)


def _some_number(g: FloatArray) -> FloatArray:
    """Costs with a number in place of infinities: what costs so much has no mass, and any number will do."""
    finite = g[~np.isposinf(g)]
    return np.where(np.isposinf(g), float(finite.max()) + float(np.ptp(finite)) + 1.0, g)


def _mixes_laws(question: Question, leaves: list[tuple[Leaf, FloatArray]]) -> bool:
    """Whether the parts of a point may lie in different leaves, and their laws differ."""
    return question.name == "time-sharing" and question.laws is not None and len(leaves) > 1


def _mixed_piece(question: Question, leaves: list[tuple[Leaf, FloatArray]]) -> Piece:
    """The half-space for mixtures of couplings, each of a law of its own, on average one of those that Y may have.

    A coupling of law q in a leaf has at least Σ f px + Σ q g there, and so Σ_y q(y) h(y) with h the least over the
    leaves of Σ f px + g, letter by letter; on average that is ⟨h, q⟩ of the average law, Ψ(h) at least. The least of
    the leaves' own Σ f px + Ψ(g) would be wrong: laws that none of them may have average to one that Y may have.
    """
    weights = weights_of(leaves[0][0])
    priced: list[_Priced] = []
    for leaf, box in leaves:
        if clock.expired():
            return _NOTHING
        found = _price_letters(question, leaf, box, _ROUGH, priced[-1].partition if priced else None)
        if found is None:
            return _NOTHING
        priced.append(found)
    shifts = np.array([math.fsum(np.asarray(leaf.f) * question.problem.px) for leaf, _ in leaves])
    rough = np.full(len(leaves), True)
    while True:
        sums = shifts[:, None] + np.array([p.least for p in priced])
        h = sums.min(axis=0)
        if np.isposinf(h).all():
            return Piece(weights, math.inf)
        counts = np.flatnonzero(rough & ((sums == h) & np.isfinite(h)).any(axis=1))
        if not len(counts) or clock.expired():
            break
        for i in counts:  # what the least is made of is worth sharp pricing
            sharp = _price_letters(question, *leaves[i], _SHARP, priced[i].partition)
            if sharp is not None:
                priced[i] = replace(sharp, least=np.maximum(sharp.least, priced[i].least))
        rough[counts] = False
    magnitudes = np.max([p.magnitudes for p in priced], axis=0)
    over_laws, perception = question.law.halfspace(_some_number(h))
    return Piece(weights, lowered(over_laws, float(np.abs(shifts).max()), *magnitudes), perception)
