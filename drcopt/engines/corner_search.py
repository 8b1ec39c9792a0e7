"""Branch and bound on class posteriors with linear programs: for questions whose rate is slack, or nearly.

There the best multipliers are α = 0, the root's bound is about that of optimal transport, since splitting letters meets
C for free, and only branching helps: many cheap boxes (:mod:`drcopt.engines.corner_program`), each a part of a
millisecond, in place of the few dear ones of :mod:`drcopt.engines.search`. Best bound first; the letter whose
entropy the program undercounts most is cut.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.special import xlogy

from drcopt.bounds import Leaf, PosteriorTree, Split
from drcopt.bounds.posterior import Node
from drcopt.engines.base import INTERRUPTED, Limits
from drcopt.engines.corner_program import Program, Relaxed
from drcopt.engines.cuts import multipliers
from drcopt.formulations import Question
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, RATE
from drcopt.support import clock, watch
from drcopt.support.check import FloatArray

#: Corners of one box in all beyond which its program is no longer cheap, and masses of X and Y.
MOST_CORNERS, MOST_LETTERS = 3_000, 64
#: Rows for the rate that a box may add, the first one and one where nothing else is left to do.
_ROWS, _FIRST, _LAST = 3, 12, 30
#: An entropy undercounted by less is not worth a cut, where the loss is worth 1.
_LITTLE = 1e-11
#: Where a box is cut: so much of the way from its middle to the solution, and so far from its ends.
_TOWARDS, _INSET = 0.7, 0.1
#: The least gap asked for.
_ROUNDING = 1e-12
#: Of the first boxes every solution is a start for a descent, then one of so many; for more there is a start from
#: elsewhere. Where the rate binds these starts, which are dear there, get rarer while a small gap stays what it is.
_EACH, _SOME, _SELDOM, _RARELY, _SMALL = 20, 8, 64, 512, 1e-2
#: Starts of an interior-point method: random ones to begin with, where the rate binds, and with others; solutions.
_RANDOM, _AT_RANDOM, _SOLUTIONS = 24, 4, 8
#: So many boxes that only more rows for the rate could close: the search by pricing is the one for this question.
_MOST_STUCK = 10
#: After so many boxes, and whenever there are twice as many, the gap has to shrink as if that took no more in all; what
#: fewer boxes than enough foretell is less to be believed.
_LOOK, _MOST_BOXES, _ENOUGH = 125, 1_600, 500
#: The certificate prices a box in so much of the time that the search took for it.
_RECKONED = 0.3


@dataclass(eq=False)
class _Spot:
    """A place in the tree: a leaf until it is split."""

    leaf: Leaf
    split: tuple[int, int, float] | None = None
    children: tuple[_Spot, _Spot] | None = None

    def freeze(self) -> Node:
        """The finished tree."""
        if self.split is None or self.children is None:
            return self.leaf
        low, high = (child.freeze() for child in self.children)
        return Split(*self.split, low, high)


@dataclass(eq=False)
class CornerSearch:
    """One branch and bound, of a question about the least distortion.

    ``upper`` and what :meth:`run` leaves: see :class:`drcopt.engines.search.Search`. ``slide``, called
    with a solution, ``settle``, with some and a number of starts besides, and ``explore``, with a number of starts, may
    lower ``upper``. ``stuck``
    counts boxes that only more rows for the rate could close; ``gave_up``: it is not the search for this question.
    """

    question: Question
    limits: Limits
    slide: Callable[[FloatArray], None]
    settle: Callable[[list[FloatArray], int], None]
    explore: Callable[[int], None]
    upper: float = math.inf
    nodes: int = 0
    stuck: int = 0
    slack: bool = field(init=False, default=False)
    gave_up: bool = field(init=False, default=False)
    lower: float = field(init=False, default=-math.inf)
    termination: str = field(init=False, default="")

    def __post_init__(self) -> None:
        rate, budget = self.question.caps[RATE.place], self.question.caps[CLASSIFICATION_LOSS.place]
        self.program = Program(self.question.problem, rate, budget)
        self._root = self.program.whole()
        self._spot = _Spot(self._root.leaf)
        self._spent = 0.0
        self._ticket = itertools.count()
        self._heap: list[tuple[float, int, Relaxed, _Spot]] = []
        self._next_look, self._seen = _LOOK, (0, -math.inf)
        self._due, self._interval = _EACH, _SELDOM
        self._closed = math.inf  # the least bound of boxes that will not be cut again
        #: Of the last solutions those whose loss is undercounted least, by how much it is.
        self._nearest: list[tuple[float, int, FloatArray]] = []

    @classmethod
    def suits(cls, question: Question) -> bool:
        """Whether the programs are small."""
        problem = question.problem
        few = problem.n + problem.m <= MOST_LETTERS and problem.n * problem.m <= MOST_CORNERS
        return few and question.objective is DISTORTION and question.laws is None and question.name == "single-letter"

    @property
    def priced(self) -> int:
        """Nothing is priced but by linear programs."""
        return 0

    def rate_is_slack(self) -> bool:
        """Whether the root's solution meets the budget on the rate."""
        self.program.solve(self._root, self._cutoff, 0)
        self._spot.leaf, self.lower, self.nodes = self._root.leaf, self._root.bound, 1
        P = self._root.P
        self.slack = P is None or self.program.spent(P) <= self.program.rate
        return self.slack

    @property
    def multipliers(self) -> FloatArray:
        """Those of the root."""
        return multipliers(self._root.leaf)

    @property
    def _cutoff(self) -> float:
        return self.upper - 0.5 * max(self.limits.tol, _ROUNDING)

    def run(self, most: float = math.inf) -> bool:
        """Search on until there are so many boxes; whether only that ended it. Also when interrupted the tree holds."""
        try:
            return self._run(most)
        except KeyboardInterrupt:
            self.termination = INTERRUPTED
            return False

    def tree(self) -> Node:
        """The tree so far."""
        return self._spot.freeze()

    def evidence(self) -> PosteriorTree:
        """The tree."""
        return PosteriorTree(self.tree())

    def _visit(self, node: Relaxed, spot: _Spot, rows: int) -> None:
        started = clock.now()
        self.program.solve(node, self._cutoff, rows)
        self._spent += clock.now() - started
        spot.leaf = node.leaf
        if node.P is not None and node.lost is not None and node.bound < self._cutoff:
            if self.nodes <= _EACH or (self.slack and self.nodes % _SOME == 0):
                self.slide(node.P)
            self._nearest.append((float(node.lost.sum()), self.nodes, node.P))
        if self.slack and self.nodes % _SELDOM == 0:
            self.explore(1)
        if not self.slack and self.nodes >= self._due and self._nearest:
            self._look()
        if node.P is None or node.bound >= self._cutoff:
            self._closed = min(self._closed, node.bound)
        else:
            heapq.heappush(self._heap, (node.bound, next(self._ticket), node, spot))

    def _look(self) -> None:
        """For a better point, from solutions and elsewhere; less often the longer there is none and the gap small."""
        known, near = self.upper, [P for *_, P in heapq.nsmallest(_SOLUTIONS, self._nearest)]
        self._nearest = []
        self.slide(near[0])
        self.settle(near, _AT_RANDOM)
        self.explore(1)
        idle = self.upper == known and self.upper - self.lower < _SMALL
        self._interval = min(2 * self._interval, _RARELY) if idle else _SELDOM
        self._due = self.nodes + self._interval

    def _run(self, most: float) -> bool:
        heap = self._heap
        if self.nodes <= 1:
            self.nodes = 1
            if not self.slack:
                self.settle([], _RANDOM)
            self._visit(self._root, self._spot, _FIRST)
        while True:
            self.lower = max(self.lower, min(self._closed, heap[0][0] if heap else math.inf))
            watch.tell(self.upper, self.lower)
            if self.lower >= self.upper - max(self.limits.tol, _ROUNDING):
                self.termination = "the gap is closed"
                break
            if not heap:
                self.gave_up, self.termination = self.stuck > 0, "the tree is exhausted"
                break
            if self.limits.remaining <= _RECKONED * self._spent or clock.expired():
                self.termination = "the time limit was reached"
                break
            if self.limits.node_limit is not None and self.nodes >= self.limits.node_limit:
                self.gave_up, self.termination = not self.slack, "the node limit was reached"
                break
            if self.stuck >= _MOST_STUCK or self._slow():
                self.gave_up, self.termination = True, "the rate binds"
                break
            if self.nodes >= most:
                return True
            bound, _, node, spot = heapq.heappop(heap)
            where = self._where(node) if bound < self._cutoff else None
            if where is None and bound < self._cutoff:
                self.program.solve(node, self._cutoff, _LAST)
                spot.leaf = node.leaf
                where = self._where(node)
                if where is None and node.P is not None:
                    self.settle([node.P], 0)
            if where is None or node.bound >= self._cutoff:
                self.stuck += node.bound < self._cutoff
                self._closed = min(self._closed, node.bound)
                continue
            spot.split = where
            spot.children = _Spot(spot.leaf), _Spot(spot.leaf)
            for child, side in zip(spot.children, (1, 0), strict=True):
                part = self.program.cut(node, *where, side)
                if part is not None:
                    self.nodes += 1
                    self._visit(part, child, _ROWS)
        return False

    def _slow(self) -> bool:
        """Whether the gap will, as it has shrunk since there were half as many boxes, take too many of them.

        Where the rate binds another search may do better.
        """
        if self.slack or self.nodes < self._next_look:
            return False
        (seen, lower), self._seen = self._seen, (self.nodes, self.lower)
        self._next_look = 2 * self.nodes

        def too_many() -> bool:
            gap = self.upper - self.lower
            if gap <= 0 or not math.isfinite(gap) or seen == 0:
                return False
            decades = math.log(gap / max(self.limits.tol, _ROUNDING))
            left = _MOST_BOXES * max(1.0, _ENOUGH / self.nodes) ** 2 - self.nodes
            return decades * (self.nodes - seen) > left * math.log((self.upper - lower) / gap)

        if too_many() and self._nearest:  # the point, not the bound, may be what is wrong
            self._look()
        return too_many()

    def _where(self, node: Relaxed) -> tuple[int, int, float] | None:
        """The letter that the program undercounts most, cut across the class whose chord does; None if none."""
        if node.P is None or node.lost is None or node.lost.max() <= _LITTLE:
            return None
        y = int(node.lost.argmax())
        T = self.program.W.T @ node.P[:, y]
        ends = node.corners[y].tau
        low, high = ends.min(axis=0), ends.max(axis=0)
        width, tau = np.maximum(high - low, 1e-15), (T / T.sum()).clip(low, high)
        chord = xlogy(low, low) + (xlogy(high, high) - xlogy(low, low)) * (tau - low) / width
        s = int((chord - xlogy(tau, tau)).argmax())
        if high[s] - low[s] < 1e-9:
            return None
        at = _TOWARDS * tau[s] + (1.0 - _TOWARDS) * 0.5 * (low[s] + high[s])
        return y, s, float(at.clip(low[s] + _INSET * width[s], high[s] - _INSET * width[s]))
