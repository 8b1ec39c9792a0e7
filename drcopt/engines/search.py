"""Branch and bound on class posteriors: the tree under the dual ascent, with a better point where one is found.

A node holds a box (m, k, 2) for the class posteriors τ_y. Its bound comes from the ascent; where the relaxed
solution gives a letter several posteriors, the box is cut at their mean and the children start from the
parent's multipliers and columns.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import numpy as np

from drcopt.bounds import Leaf, PosteriorTree, Split
from drcopt.bounds.posterior import Node, whole_box
from drcopt.bounds.pricing import Priced
from drcopt.engines.ascent import Ascent, ascend
from drcopt.engines.base import INTERRUPTED, Limits
from drcopt.engines.cuts import Columns, leaf, multipliers
from drcopt.engines.lagrangian import Lagrangian
from drcopt.problem import Problem
from drcopt.support import clock, watch
from drcopt.support.check import FloatArray

#: How much longer pricing takes that starts anew and is sharper; the least share of the time left that stays for the
#: certificate.
_ANEW, _LEFT = 2.0, 0.04
#: What an ascent may leave to be had, of the gap; its steps in couplings of up to so many pairs, where pricing is cheap
#: and boxes are better cut sooner, and in others.
_ROUGH, _SHORT, _SMALL, _LONG = 3e-2, 8, 40, 25
#: Less than this (for d in [0, 1]) is rounding: with a constant d a gap relative to d's range would never close.
_ROUNDING = 1e-12

#: Called with a coupling (n, m) to start from, multipliers, and whether to try it however like another it is.
Improve = Callable[[FloatArray, FloatArray, bool], None]


@dataclass(eq=False)
class _Open:
    """A node waiting to be cut: its box, what the ascent left there, and where it hangs in the tree."""

    box: FloatArray
    ascent: Ascent
    place: _Place
    cut: tuple[int, int, float]


@dataclass(eq=False)
class _Place:
    """A mutable spot of the tree: a leaf's multipliers until it is split."""

    z: FloatArray
    split: tuple[int, int, float] | None = None
    children: tuple[_Place, _Place] | None = None

    @classmethod
    def of(cls, node: Node, lagrangian: Lagrangian) -> _Place:
        """Spots for a tree as it stands."""
        if isinstance(node, Leaf):
            return cls(lagrangian.clip(multipliers(node)))
        low, high = cls.of(node.low, lagrangian), cls.of(node.high, lagrangian)
        return cls(low.z, (node.y, node.s, node.at), (low, high))

    def leaves(self, box: FloatArray) -> Iterator[tuple[_Place, FloatArray]]:
        """Every leaf under this with its box, given that of this."""
        if self.split is None or self.children is None:
            yield self, box
            return
        for child, side in zip(self.children, (1, 0), strict=True):
            yield from child.leaves(halved(box, *self.split, side))

    def freeze(self, n: int) -> Node:
        """The finished tree, of a problem with n letters of X."""
        if self.split is None or self.children is None:
            return leaf(self.z, n)
        low, high = (child.freeze(n) for child in self.children)
        return Split(*self.split, low, high)


@dataclass(eq=False)
class Search:
    """One branch and bound.

    ``upper`` is the best value known; whoever finds a better point lowers it. ``improve(P, z, force)`` is called with
    the coupling a node's relaxed solution suggests and the multipliers there, and may lower ``upper``.
    ``stop_above``: the search ends once the bound passes this (used to prove a budget cannot be met).
    """

    lagrangian: Lagrangian
    limits: Limits
    improve: Improve
    upper: float = math.inf
    stop_above: float = math.inf
    stop_below: float = -math.inf
    #: Steps that the first ascent may take.
    root_steps: int = 25
    nodes: int = 0
    priced: int = 0
    _spent: float = field(init=False, default=0.0)
    root: _Place = field(init=False)
    columns: Columns = field(init=False)
    lower: float = field(init=False, default=-math.inf)
    termination: str = field(init=False, default="")

    def run(self, z: FloatArray, columns: Columns | None = None, tree: Node | None = None) -> None:
        """Search from multipliers z and perhaps columns and a tree of a like problem.

        Leaves ``lower``, ``termination``, the tree and the root's ``columns``, also when interrupted.
        """
        self.columns = Columns.none(self.lagrangian.problem) if columns is None else columns
        self.root = _Place(self.lagrangian.clip(z)) if tree is None else _Place.of(tree, self.lagrangian)
        try:
            self._run()
        except KeyboardInterrupt:
            # Every place of the tree holds multipliers that are valid in its box, visited or not.
            self.termination = INTERRUPTED

    @property
    def _tol(self) -> float:
        return max(self.limits.tol, _ROUNDING)

    def _run(self) -> None:
        tol = self._tol
        ticket = itertools.count()
        heap: list[tuple[float, int, _Open]] = []
        closed = math.inf  # the least bound of leaves that will not be cut again

        def visit(
            box: FloatArray, parent: Ascent, place: _Place, floor: float, letter: int | None = None
        ) -> Priced | None:
            """Bound a node, whose ``letter`` was cut, and queue it if it must be; what the next pricing starts from."""
            nonlocal closed
            node = self._bound(box, parent, letter)
            if self.nodes == 1:
                self.columns = node.columns
            # The parent's multipliers hold in the smaller box too, if the ascent did no better.
            place.z = node.z if node.bound >= floor else parent.z
            bound = max(node.bound, floor)
            cut = None
            if bound < self.upper - 0.5 * tol:
                if place is self.root:
                    self.lower = bound
                cut = self._cut(node, box)
                # Without letters that split, the relaxed solution is a point of the problem: never pass it by.
                self.improve(self.coupling(node), node.z, cut is None)
                if cut is None:
                    cut = self._widest(node, box)
                if bound >= self.upper - 0.5 * tol:
                    cut = None
            if cut is None or bound >= self.stop_above:
                closed = min(closed, bound)
            else:
                heapq.heappush(heap, (bound, next(ticket), _Open(box, node, place, cut)))
            return node.answer

        problem = self.lagrangian.problem
        if self.root.split is None:
            start = self._convex_start(self.root.z, self.columns)
            self.root.z = start.z
            if start.bound >= self.upper - 0.5 * tol:
                self.nodes, self.lower, self.termination = 1, start.bound, "the gap is closed"
                return
        else:
            start = Ascent(self.root.z, -math.inf, self.columns, np.zeros(len(self.columns.y)))
        self.lower = start.bound
        for place, box in self.root.leaves(whole_box(problem)):
            parent = start if place is self.root else replace(start, z=place.z, bound=-math.inf)
            with self._in_time():
                start = replace(start, answer=visit(box, parent, place, start.bound))
        while True:
            self.lower = min(closed, heap[0][0] if heap else math.inf)
            watch.tell(self.upper, self.lower)
            if not heap:
                self.termination = "the tree is exhausted"
                break
            if self.lower >= self.upper - tol or self.lower >= self.stop_above:
                self.termination = (
                    "the gap is closed" if self.lower < self.stop_above else "the bound passed its target"
                )
                break
            if self.upper <= self.stop_below:
                self.termination = "a point good enough was found"
                break
            if self.limits.remaining <= self._reckoning or clock.expired():
                self.termination = "the time limit was reached"
                break
            if self.limits.node_limit is not None and self.nodes >= self.limits.node_limit:
                self.termination = "the node limit was reached"
                break
            bound, _, node = heapq.heappop(heap)
            if bound >= self.upper - 0.5 * tol:
                closed = min(closed, bound)
                continue
            node.place.split = node.cut
            node.place.children = (_Place(node.ascent.z), _Place(node.ascent.z))
            for child, side in zip(node.place.children, (1, 0), strict=True):
                with self._in_time():
                    visit(halved(node.box, *node.cut, side), node.ascent, child, bound, node.cut[0])

    @property
    def multipliers(self) -> FloatArray:
        """Those of the root."""
        return self.root.z

    def tree(self) -> Node:
        """The tree so far, with the multipliers of every leaf."""
        return self.root.freeze(self.lagrangian.problem.n)

    def evidence(self) -> PosteriorTree:
        """The tree."""
        return PosteriorTree(self.tree())

    def _convex_start(self, z: FloatArray, columns: Columns) -> Ascent:
        """The best multipliers that need no search, β ≤ α/η: cheap, valid, and often already optimal.

        Only with three classes or more is pricing expensive enough to make this worth a step of its own. Multipliers z
        that close the gap as they are stay.
        """
        lagrangian, problem = self.lagrangian, self.lagrangian.problem
        _, alpha, beta, *_ = lagrangian.ranges
        held = alpha == (0.0, 0.0) or (alpha[0] == alpha[1] and beta[0] == beta[1])
        if problem.k == 2 or held or problem.classes is not None or problem.contraction == 0:
            return Ascent(z, -math.inf, columns, np.zeros(len(columns.y)))
        target = min(self.upper - 0.5 * self._tol, self.stop_above)
        if self.upper < math.inf and z.any():  # the best point's multipliers may do as they are
            bound, priced = lagrangian.price(z, None, 0.1 * self._tol)
            self.priced += 1
            if bound >= target:
                return Ascent(z, bound, columns, np.zeros(len(columns.y)), answer=priced)
        convex = replace(lagrangian, cone=problem.contraction)
        return ascend(convex, z, None, columns, target=target, tol=0.1 * self._tol, deadline=self.limits)

    def _bound(self, box: FloatArray, parent: Ascent, letter: int | None) -> Ascent:
        self.nodes += 1
        columns = _inside(parent.columns, box, self.lagrangian.problem)
        gap = self.upper - self.lower if math.isfinite(self.lower) else math.inf
        tol = max(0.02 * self._tol, min(_ROUGH * gap, 1e-4)) if math.isfinite(gap) else 0.1 * self._tol
        target = min(self.upper - 0.5 * self._tol, self.stop_above)
        node = ascend(
            self.lagrangian,
            parent.z,
            box,
            columns,
            target=target,
            tol=tol,
            steps=self.root_steps if self.nodes == 1 else self._steps,
            deadline=replace(self.limits, deadline=self.limits.deadline - self._reckoning),
            answer=parent.answer,
            letter=letter,
            laws=parent.laws,
        )
        self.priced += node.priced
        self._spent += node.seconds
        return node

    @property
    def _steps(self) -> int:
        problem = self.lagrangian.problem
        return _SHORT if problem.n * problem.m <= _SMALL else _LONG

    def _in_time(self) -> AbstractContextManager[None]:
        """Within it the time ends where what is left is for the certificate."""
        return clock.until(self.limits.deadline - self._reckoning)

    @property
    def _reckoning(self) -> float:
        """Seconds that the certificate will take to price every leaf once more, and one now, by what it took so far."""
        leaves = 0.5 * (self.nodes + 1) + 1
        least = _LEFT * self.limits.remaining if self.limits.deadline < math.inf else 0.0
        return max(leaves * _ANEW * self._spent / max(self.priced, 1), least)

    def coupling(self, node: Ascent) -> FloatArray:
        """The relaxed solution with every letter's posteriors averaged, shape (n, m)."""
        problem = self.lagrangian.problem
        P = np.zeros((problem.m, problem.n))
        np.add.at(P, node.columns.y, node.weights[:, None] * node.columns.p)
        total, law = P.sum(axis=1, keepdims=True), self._law(node)[:, None]
        P = np.where(total > 0.5 * law, P / np.maximum(total, 1e-300), problem.px) * law
        return P.T

    def _law(self, node: Ascent) -> FloatArray:
        """The law of Y, or that of the relaxed solution."""
        return self.lagrangian.problem.py if node.law is None else node.law

    def _cut(self, node: Ascent, box: FloatArray) -> tuple[int, int, float] | None:
        """The letter whose posteriors differ most in entropy, cut where they average; None if none do."""
        problem, c = self.lagrangian.problem, node.columns
        W, law = problem.ps_given_x, self._law(node)
        prices = self._prices(node)
        best, answer = 0.0, None
        tau = c.p @ W
        for y in range(problem.m):
            mine = np.flatnonzero((c.y == y) & (node.weights > 1e-9 * law[y]))
            if len(mine) < 2:
                continue
            w = node.weights[mine] / node.weights[mine].sum()
            mean = w @ tau[mine]
            lost = Columns.of(problem, np.array([y]), (w @ c.p[mine])[None]).entropy[0] - w @ c.entropy[mine]
            spread = float(np.maximum(lost, 0.0) @ prices) * law[y]
            if spread <= best:
                continue
            variance = w @ (tau[mine] - mean) ** 2 / np.maximum(mean * (1 - mean), 1e-12)
            if problem.classes is not None:
                variance = variance * (np.maximum(lost, 1e-15) * prices)[problem.classes.of]
            s = int(variance.argmax())
            low, high = box[y, s]
            if high - low < 1e-5:
                continue  # what is wrong here is not this letter's box
            values = tau[mine, s]
            # Between the two clouds, not hugging either end of the box.
            at = float(np.clip(mean[s], low + 0.05 * (high - low), high - 0.05 * (high - low)))
            at = float(np.clip(at, values.min() + 0.1 * np.ptp(values), values.max() - 0.1 * np.ptp(values)))
            if not low < at < high:
                continue
            best, answer = spread, (y, s, at)
        if best <= 1e-13:
            return None
        return answer

    def _prices(self, node: Ascent) -> FloatArray:
        """The weights of classes, 0 where the loss has no limit that could bind."""
        z, most = node.z[self.lagrangian.problem.n + 2 :], [high for _, high in self.lagrangian.ranges[2:]]
        return np.where(np.array(most) > 0.0, np.maximum(z, 1e-3), 0.0)

    def _widest(self, node: Ascent, box: FloatArray) -> tuple[int, int, float] | None:
        """Where no letter splits but the bound still lags: the box whose chord of the entropy errs most."""
        problem, c = self.lagrangian.problem, node.columns
        tau = np.full((problem.m, problem.k), np.nan)
        for y in range(problem.m):
            mine = np.flatnonzero((c.y == y) & (node.weights > 0))
            if len(mine):
                tau[y] = node.weights[mine] @ (c.p[mine] @ problem.ps_given_x) / node.weights[mine].sum()
        low, high = box[:, :, 0], box[:, :, 1]
        tau = np.clip(
            np.where(np.isnan(tau), 0.5 * (low + high), tau), low + 0.2 * (high - low), high - 0.2 * (high - low)
        )
        error = self._law(node)[:, None] * (high - low) ** 2 / np.maximum(tau, 1e-9)
        if problem.classes is not None:
            error *= self._prices(node)[problem.classes.of]
        error[high - low < 1e-7] = 0.0
        y, s = divmod(int(error.argmax()), problem.k)
        return None if error[y, s] <= 0 else (y, s, float(tau[y, s]))


def halved(box: FloatArray, y: int, s: int, at: float, side: int) -> FloatArray:
    """The box (m, k, 2) with τ_y(s) at most (``side`` 1) or at least (0) ``at``."""
    box = box.copy()
    box[y, s, side] = at
    if box.shape[1] == 2:  # the other class mirrors it
        box[y, 1 - s, 1 - side] = 1.0 - at
    return box


def _inside(columns: Columns, box: FloatArray, problem: Problem) -> Columns:
    """Columns whose class posterior lies in the box of their letter."""
    tau = columns.p @ problem.ps_given_x
    own = box[columns.y]
    keep = ((tau >= own[:, :, 0] - 1e-12) & (tau <= own[:, :, 1] + 1e-12)).all(axis=1)
    return columns.take(np.flatnonzero(keep))
