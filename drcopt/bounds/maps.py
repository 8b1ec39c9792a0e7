"""The dual bound over maps, for the one-shot problem.

A point is a mixture of maps f with weights λ_f whose column masses are py, and T(y, s) = Σ_f λ_f P_f(y, s). Write
L(A) = P(X∈A) H(S|X∈A), so that H(S|f(X)) = Σ_y L(f⁻¹(y)), and η(t) = −t log t. For multipliers ν(y) (masses),
w ≥ 0 (distortion), α ≥ 0 (rate), β(y), γ(y) ≥ 0 and slopes c(y, s), every point whose class posteriors
τ_y(s) = T(y, s)/py(y) lie in a box [l, u] has

  w E d + α H(Y|U) + max_y (β + γ)(y) loss ≥ ν·py + Σ_y py(y) Σ_s min_{t ∈ {l, u}} (β(y) η(t) − c(y, s) t)
        + min_f [ Σ_x px (w d(x,f(x)) − ν(f(x)) + Σ_s W(x,s) c(f(x),s)) + α H(f(X)) + Σ_y γ(y) L(f⁻¹(y)) ],

because py(y) H(S|Y=y) = py Σ_s η(τ_y(s)) is at least both Σ_f λ_f L(f⁻¹(y)) and, η being concave, what c and the
ends of the box say. When the classifier sees Y and U the loss is Σ_f λ_f H(S|f(X)), and β must be 0.
Splitting boxes and taking the least over all pieces keeps the bound valid. Where Y may have one of several laws, what
multiplies py is averaged over the law of the mixture, whichever it is: its least value Ψ stands for the sums over py.

The cost of a map is a sum over its cells A_y = f⁻¹(y), so the minimum over all mⁿ maps is one over ordered
partitions: :func:`drcopt.bounds.subsets.least_partitions` finds it with m·3ⁿ additions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from drcopt.bounds.subsets import least_partitions, subset_sums
from drcopt.formulations import Question
from drcopt.problem import Problem, Standard
from drcopt.questions import Piece, lowered
from drcopt.support.check import FloatArray

#: Most additions one exact minimum over maps may take, and most entries of its tables: seconds, tens of megabytes.
WORK_LIMIT, TABLE_LIMIT = 1e9, 2**22
#: Least values that one pricing remembers.
_REMEMBERED = 1000
#: Boxes are widened by this much, more than rounding can move a posterior.
_SLACK = 1e-13


class CellLoss(Protocol):
    """A loss L_y(A) of cells A that are sent to letters y, in place of P(X∈A) H(S|X∈A)."""

    def of(self, joint: FloatArray, letters: NDArray[np.intp]) -> FloatArray:
        """Of cells with P(X∈A, S=s), shape (…, k), sent to these letters, shape (…) or one that broadcasts."""
        ...

    def table(self, joint: FloatArray) -> FloatArray:
        """Of all cells, joint of shape (k, 2ⁿ), sent to each letter: shape (m, 2ⁿ), or (1, 2ⁿ) where all are alike."""
        ...


class MapPricing:
    """The least of Σ_x linear(x, f(x)) + α H(f(X)) + Σ_y γ(y) L(f⁻¹(y)) over all maps f of one problem."""

    def __init__(self, problem: Problem, loss: CellLoss | None = None) -> None:
        self.problem = problem
        n, m = problem.n, problem.m
        self.work = max(m - 2, 0) * 3.0**n
        self.exact = self.work <= WORK_LIMIT and m * 2.0**n <= TABLE_LIMIT
        #: What was computed here, by the bytes of the multipliers: leaves may share them.
        self._known: dict[bytes, float] = {}
        if self.exact:
            joint = subset_sums((problem.px[:, None] * problem.ps_given_x).T)
            self._rate = entr(np.minimum(joint.sum(axis=0), 1.0))
            self._loss = entr(joint).sum(axis=0) - entr(joint.sum(axis=0)) if loss is None else loss.table(joint)

    def least(
        self, linear: FloatArray, alpha: float, gamma: FloatArray, count: int = 1, turn: int = 0
    ) -> tuple[float, NDArray[np.int64]]:
        """The least value and up to ``count`` good maps (0: the value alone), shape (≤ count, n); linear (n, m)."""
        if alpha == 0 and not gamma.any():  # every letter chooses for itself
            return math.fsum(linear.min(axis=1)), linear.argmin(axis=1)[None]
        if not self.exact:
            return -math.inf, np.empty((0, len(linear)), dtype=np.int64)
        key = np.concatenate([linear.ravel(), gamma, [alpha]]).tobytes()
        if count == 0 and key in self._known:
            return self._known[key], np.empty((0, len(linear)), dtype=np.int64)
        cells = subset_sums(np.ascontiguousarray(linear.T))
        cells += alpha * self._rate
        cells += gamma[:, None] * self._loss
        least, maps = least_partitions(cells, count, turn)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[key] = least
        return least, maps


@dataclass(frozen=True, eq=False)
class MapLeaf:
    """Multipliers for one box: ν, γ and β of shape (m,), α, c of shape (m, k), and the weight w of distortion."""

    nu: FloatArray
    rate: float
    conditional: FloatArray
    posterior: FloatArray
    slopes: FloatArray
    distortion: float = 1.0

    @classmethod
    def linear(
        cls, problem: Problem, nu: FloatArray, rate: float = 0.0, conditional: float = 0.0, distortion: float = 1.0
    ) -> Self:
        """A leaf that needs no box: β = 0, c = 0 and one γ."""
        m, k = problem.m, problem.k
        return cls(nu, rate, np.full(m, conditional), np.zeros(m), np.zeros((m, k)), distortion)

    def scaled(self, scale: float) -> Self:
        """All multipliers and weights times ``scale``."""
        return type(self)(*(scale * getattr(self, name) for name in self.__dataclass_fields__))

    def framed(self, change: Standard) -> Self:
        """For the problem as it was before it was brought to its standard form."""
        if self.distortion == 0:
            return self  # does not mention d
        moved = self.scaled(change.scale)
        return replace(moved, nu=moved.nu + self.distortion * change.column, distortion=self.distortion)


@dataclass(frozen=True, eq=False)
class MapSplit:
    """τ_y(s) ≤ ``at`` in ``low``, ≥ ``at`` in ``high``: two trees that together cover the box."""

    y: int
    s: int
    at: float
    low: MapNode
    high: MapNode


MapNode = MapLeaf | MapSplit


@dataclass(frozen=True, eq=False)
class MapTree:
    """Evidence: a tree of boxes of class posteriors with multipliers at its leaves."""

    root: MapNode

    def leaves(self, problem: Problem, given: bool = True) -> Iterator[tuple[MapLeaf, FloatArray]]:
        """Every leaf with its box (m, k, 2), least and greatest τ_y(s), for the ``given`` law of Y or any."""
        stack: list[tuple[MapNode, FloatArray]] = [(self.root, posterior_box(problem, given))]
        while stack:
            node, box = stack.pop()
            if isinstance(node, MapLeaf):
                yield node, box
            else:
                stack += [(node.low, cut(box, node.y, node.s, 1, node.at))]
                stack += [(node.high, cut(box, node.y, node.s, 0, node.at))]

    def bound(self, question: Question) -> float:
        """The least leaf bound, every minimum over maps computed afresh."""
        pricing = MapPricing(question.problem)
        leaves = self.leaves(question.problem, question.laws is None)
        return min(leaf_bound(question, pricing, leaf, box) for leaf, box in leaves)

    def framed(self, change: Standard) -> MapTree:
        def visit(node: MapNode) -> MapNode:
            if isinstance(node, MapSplit):
                return replace(node, low=visit(node.low), high=visit(node.high))
            return node.framed(change)

        return replace(self, root=visit(self.root))


def posterior_box(problem: Problem, given: bool = True) -> FloatArray:
    """A box (m, k, 2) that holds the class posteriors of every coupling in Γ(px, py), or of any law of Y.

    Column y is py(y)·p with p(x) ≤ px(x)/py(y), so τ_y(s) = Σ_x p(x) W(x,s) is least when p fills the letters
    of least W(x, s) first.
    """
    ends = np.empty((problem.m, problem.k, 2))
    if not given:
        ends[..., 0], ends[..., 1] = problem.ps_given_x.min(axis=0), problem.ps_given_x.max(axis=0)
    for s in range(problem.k if given else 0):
        w = problem.ps_given_x[:, s]
        for side, order in enumerate((np.argsort(w), np.argsort(-w))):
            room = problem.px[order, None] / np.maximum(problem.py, 1e-300)
            filled = np.minimum(np.cumsum(room, axis=0), 1.0)
            ends[:, s, side] = w[order] @ np.diff(filled, axis=0, prepend=0.0)
    ends[..., 0] -= _SLACK
    ends[..., 1] += _SLACK
    return np.clip(ends, 0.0, 1.0)


def cut(box: FloatArray, y: int, s: int, side: int, at: float) -> FloatArray:
    """The part of a box with τ_y(s) ≤ at (side 1) or ≥ at (side 0), tightened by Σ_s τ_y(s) = 1."""
    part = box.copy()
    part[y, s, side] = min(part[y, s, 1], at) if side else max(part[y, s, 0], at)
    low, high = part[y, :, 0], part[y, :, 1]
    spare_low, spare_high = 1.0 - low.sum(), 1.0 - high.sum()
    part[y, :, 0] = np.maximum(low, high + spare_high - _SLACK)
    part[y, :, 1] = np.minimum(high, low + spare_low + _SLACK)
    return part


def is_empty(box: FloatArray) -> bool:
    """Whether no posterior lies in the box, beyond doubt by rounding."""
    return bool((box[..., 0] > box[..., 1] + 1e-11).any())


def leaf_bound(question: Question, pricing: MapPricing, leaf: MapLeaf, box: FloatArray) -> float:
    """The dual bound at one leaf, rounded down; −inf if the multipliers are not usable."""
    return question.bound(leaf_piece(question, pricing, leaf, box))


def leaf_piece(question: Question, pricing: MapPricing, leaf: MapLeaf, box: FloatArray) -> Piece:
    """The half-space that holds for every mixture whose class posteriors lie in the box."""
    problem = question.problem
    if not _usable(leaf, question):
        return Piece((0.0, 0.0, 0.0), -math.inf)
    loss = float((leaf.posterior + leaf.conditional).max())
    weights = (float(leaf.distortion), float(leaf.rate), loss)
    if is_empty(box):
        return Piece(weights, math.inf)
    linear = leaf.distortion * problem.d + problem.ps_given_x @ leaf.slopes.T - leaf.nu
    linear *= problem.px[:, None]
    ends = leaf.posterior[:, None, None] * entr(box) - leaf.slopes[..., None] * box
    letters = leaf.nu + ends.min(axis=-1).sum(axis=-1)  # on average over the law of Y, which is that of the mixture
    least, _ = pricing.least(linear, leaf.rate, leaf.conditional, 0)
    over_laws, perception = question.law.halfspace(letters)
    level = lowered(
        math.fsum([over_laws, least]),
        float(np.abs(linear).max(axis=1).sum()) + float(np.abs(leaf.nu).max()),
        problem.k * float(np.abs(leaf.slopes).max()),
        (leaf.rate + loss) * math.log(problem.n + problem.m + problem.k + 1.0),
    )
    return Piece(weights, level, perception)


def _usable(leaf: MapLeaf, question: Question) -> bool:
    m, k = question.problem.m, question.problem.k
    arrays = [(leaf.nu, (m,)), (leaf.conditional, (m,)), (leaf.posterior, (m,)), (leaf.slopes, (m, k))]
    if not all(np.shape(a) == shape and np.isfinite(a).all() for a, shape in arrays):
        return False
    if not (0 <= leaf.rate < math.inf and 0 <= leaf.distortion < math.inf):
        return False
    if not (leaf.conditional.min() >= 0 and leaf.posterior.min() >= 0):
        return False
    # Where the classifier sees Y and U, H(S|Y) may exceed the budget.
    return question.classifier_sees != "YU" or bool(leaf.posterior.max() <= 0)
