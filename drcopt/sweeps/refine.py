"""Where to ask next: boxes of budgets are halved until what is known pins the objective down in each of them.

:mod:`drcopt.sweeps.envelopes` says why its corners are enough for a box. A corner where ceiling and floor lie apart is
asked about: first by a descent, which is cheap and may lower the ceiling, then by a whole answer, which brings a proof.
A box whose corners are known but which is not is halved: its halves may do with other tangents and trees.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from drcopt.bounds import Cheapest, DataProcessing, Leaf, PosteriorTree
from drcopt.formulations import Question
from drcopt.questions import CLASSIFICATION_LOSS, PERCEPTION, Near, Quantity
from drcopt.support.check import FloatArray
from drcopt.sweeps.envelopes import Ceiling, Floor, Proved
from drcopt.sweeps.nodes import AT_TARGET, Answer, Start

#: Tangents that are tried in a box, and points that a descent starts from.
_TANGENTS, _STARTS = 4, 2
#: A corner is known where its gap is this share of what is asked for.
_CORNER = 0.5
#: Descents and whole answers asked for at once, whoever answers: what is asked next must not depend on that. They lie
#: so far apart, as shares of the axes.
_DESCENTS, _SOLVES, _APART, _FAR = 64, 8, 0.02, 0.08
#: Points are asked for this much inside the budgets, relative, so that they are met beyond doubt.
_INSIDE = 1e-11
#: Near the edge of what is feasible corners of boxes no thinner than this are asked about.
_EDGE = 0.1
#: Shares of an axis that are one but for rounding.
_SAME = 1e-12
#: How far apart places of a grid are asked about, the first time and at most; half as far each time.
_WIDE = 0.4


@dataclass(frozen=True)
class Wanted:
    """What to minimise at which budgets (D, R, C, P), whether with a proof, and what an answer may start from."""

    objective: Quantity
    budgets: tuple[float, ...]
    full: bool
    starts: tuple[Start, ...] = ()
    warm: Mapping[str, FloatArray] | None = None


@dataclass(frozen=True)
class Axis:
    """A quantity whose budget varies from ``low`` to ``high``, in nats, the unit of d or that of a divergence; boxes
    are no thinner than ``resolution`` of that."""

    quantity: Quantity
    low: float
    high: float
    resolution: float

    def at(self, share: float) -> float:
        """The budget at this share of the way."""
        return self.high if share == 1.0 else self.low + share * (self.high - self.low)


@dataclass(eq=False)
class Box:
    """Shares of the axes from ``low`` to ``high``.

    ``gap`` is proved all over it, with the τ of the point ``tangent``, or with the best point at its tightest corner
    where that is −1.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    gap: float = math.inf
    tangent: int = -1
    infeasible: bool = False

    @property
    def share(self) -> float:
        """Of the whole."""
        return math.prod(h - lo for lo, h in zip(self.low, self.high, strict=True))

    @property
    def middle(self) -> tuple[float, ...]:
        """Its middle."""
        return tuple(0.5 * (lo + h) for lo, h in zip(self.low, self.high, strict=True))

    def corners(self) -> list[tuple[float, ...]]:
        """All corners, the tightest first and the loosest last; a place has one."""
        if self.low == self.high:
            return [self.low]
        found: list[tuple[float, ...]] = [()]
        for lo, h in zip(self.low, self.high, strict=True):
            found = [(*c, end) for c in found for end in (lo, h)]
        return found

    def halves(self, axis: int) -> tuple[Box, Box]:
        """Cut across an axis."""
        at = self.middle[axis]
        low, high = list(self.low), list(self.high)
        low[axis] = high[axis] = at
        return Box(self.low, tuple(high)), Box(tuple(low), self.high)


@dataclass(eq=False)
class Known:
    """All that has been learnt about a problem: it serves every objective and all budgets."""

    question: Question
    floor: Floor = field(init=False)
    ceiling: Ceiling = field(init=False)
    starts: list[tuple[FloatArray, Start]] = field(default_factory=list)
    warms: list[tuple[FloatArray, Mapping[str, FloatArray]]] = field(default_factory=list)
    asked: set[tuple[Quantity, tuple[float, ...], bool]] = field(default_factory=set)
    solves: int = 0
    descents: int = 0
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.floor, self.ceiling = Floor(self.question), Ceiling(self.question)
        for always in (DataProcessing(), Cheapest()):
            for piece in always.pieces(self.question):
                if piece.perception == 0:  # others are worth a tree: a proof needs what they weigh it with
                    self.floor.add(Proved.of(None, [piece]))

    def cheapest(self, P: float) -> None:
        """Every letter of X at its cheapest, with what Y's law then pays within P of the target."""
        question, d = self.question, self.question.problem.d
        tree = PosteriorTree(Leaf(d.min(axis=1), 0.0, 0.0))
        assert isinstance(question.laws, Near)
        self.floor.add(Proved.of(tree, tree.pieces(replace(question, laws=replace(question.laws, budget=P))), P))

    def learn(self, wanted: Wanted, answer: Answer) -> None:
        """Take in an answer."""
        budgets = np.array(wanted.budgets)
        self.solves += wanted.full
        self.descents += not wanted.full
        if answer.failure:
            self.failures.append(answer.failure)
        for tree in answer.trees:
            self.floor.add(tree)
        for point in answer.points:
            self.ceiling.add(point)
        if answer.start is not None:
            self.starts.append((budgets, answer.start))
        if answer.warm is not None:
            self.warms.append((budgets, answer.warm))

    def nearest(self, places: FloatArray, at: FloatArray, count: int) -> list[int]:
        """Those of some budgets (N, 4) that lie nearest, in units of the most that any point needs."""
        most = np.where(np.isfinite(self.floor.most), self.floor.most, 1.0)
        apart = (np.minimum(places, most) - np.minimum(at, most))[:, most > 0] / most[most > 0]
        order = np.argsort((apart**2).sum(axis=1), kind="stable")
        return [int(i) for i in order[:count]]


Ask = Callable[[Sequence[Wanted]], list[Answer]]
Node = tuple[float, ...]


class Refinement:
    """Boxes over some axes, other budgets fixed (``fixed``, (4,)), refined until the gap is ≤ ``tol``.

    With a ``grid``, so many budgets along each axis, only what is known at its places counts.
    """

    def __init__(
        self,
        known: Known,
        objective: Quantity,
        axes: Sequence[Axis],
        fixed: FloatArray,
        tol: float,
        grid: Sequence[int] = (),
    ) -> None:
        self.known, self.objective, self.axes, self.fixed, self.tol = known, objective, tuple(axes), fixed, tol
        self.grid, self._wide = tuple(grid), _WIDE
        self.boxes = [Box((0.0,) * len(axes), (1.0,) * len(axes))]
        if grid:  # boxes that are no larger than a place
            places = product(*(np.linspace(0.0, 1.0, count).tolist() for count in grid))
            self.boxes = [Box(place, place) for place in places]
        for axis in self.axes:
            if axis.quantity is PERCEPTION:
                for share in (0.0, 0.5, 1.0):
                    known.cheapest(max(axis.at(share), AT_TARGET))
        self.done: list[Box] = []

    def budgets(self, nodes: Sequence[Node]) -> FloatArray:
        """Of nodes given by shares, (Q, 4)."""
        found = np.tile(self.fixed, (len(nodes), 1))
        for j, axis in enumerate(self.axes):
            found[:, axis.quantity.place] = [axis.at(node[j]) for node in nodes]
        return found

    def run(self, ask: Ask, enough: Callable[[], bool]) -> None:
        """Until every box is closed or no larger than the resolution, or ``enough``."""
        for share in (1.0, 0.5, 0.0):
            self._ask(ask, self._new([self._at((share,) * len(self.axes), True)]))
        while True:
            self._judge()
            if enough() or not self.boxes:
                return
            self._ask(ask, self._places() if self.grid else self._turn())

    def _ask(self, ask: Ask, wanted: list[Wanted]) -> None:
        for one, answer in zip(wanted, ask(wanted) if wanted else [], strict=True):
            self.known.learn(one, answer)

    # -- judging -------------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        """Find each open box's gap; close those that are known, or as small as they get."""
        known, boxes = self.known, self.boxes
        places: dict[Node, int] = {}
        corners = np.array([[places.setdefault(c, len(places)) for c in box.corners()] for box in boxes])
        self.nodes = list(places)
        budgets = self.budgets(self.nodes)
        lower = known.floor.by_tree(self.objective, budgets)
        best = known.ceiling.staircase(self.objective, budgets)
        self.lower, self.upper = lower.max(axis=0), best.copy()
        with np.errstate(invalid="ignore"):
            # The tightest corner's best point against the loosest corner's floor.
            gaps = best[corners[:, 0]] - self.lower[corners[:, -1]]
        gaps = np.where(np.isnan(gaps), np.inf, gaps)
        tangents = np.full(len(boxes), -1)
        by_box = lower[:, corners]  # (T, B, c)
        nearest = self._nearest(self.budgets([box.middle for box in boxes]))
        for k in np.unique(nearest):
            mine = np.flatnonzero((nearest == k).any(axis=1))
            nodes = np.unique(corners[mine])
            upper = np.full(len(places), np.inf)
            upper[nodes] = known.ceiling.mixed(self.objective, budgets[nodes], int(k), rough=True)
            self.upper = np.minimum(self.upper, upper)
            with np.errstate(invalid="ignore"):
                trial = (upper[corners[mine]] - by_box[:, mine]).max(axis=2)
            trial = np.where(np.isnan(trial), np.inf, trial).min(axis=0)
            better = trial < gaps[mine]
            gaps[mine[better]], tangents[mine[better]] = trial[better], k
        # A bound above a point would be a contradiction; both carry rounding of the last digits.
        infeasible = np.isposinf(self.lower[corners[:, -1]])
        open_, left = [], []
        for i, box in enumerate(boxes):
            box.gap, box.tangent = max(0.0, float(gaps[i])), int(tangents[i])
            box.infeasible = bool(infeasible[i])
            if box.infeasible:
                box.gap = 0.0
            small = not self.grid and all(
                h - lo <= a.resolution for lo, h, a in zip(box.low, box.high, self.axes, strict=True)
            )
            if box.gap <= self.tol or small:
                self.done.append(box)
            else:
                open_.append(box)
                left.append(i)
        self.boxes, self._corners = open_, corners[left]

    def _nearest(self, middles: FloatArray) -> np.ndarray:
        """The points whose posteriors are tried near each place (B, t)."""
        points = self.known.ceiling.points
        if not points or self.known.ceiling.linear:
            return np.zeros((len(middles), min(1, len(points))), dtype=int)
        at = self.known.ceiling.values
        distance = np.zeros((len(middles), len(points)))
        for axis in self.axes:
            j = axis.quantity.place
            distance += ((middles[:, j, None] - at[:, j]) / (axis.high - axis.low)) ** 2
        return np.argsort(distance, axis=1, kind="stable")[:, :_TANGENTS]

    def share(self, boxes: Iterable[Box]) -> float:
        """Of all boxes or places that there are."""
        return len(list(boxes)) / math.prod(self.grid) if self.grid else math.fsum(box.share for box in boxes)

    # -- answering -----------------------------------------------------------------------------------------------

    def ceiling(self, budgets: FloatArray) -> FloatArray:
        """What points are known to reach within budgets (Q, 4)."""
        found, ceiling = self.known.ceiling.staircase(self.objective, budgets), self.known.ceiling
        if ceiling.points:
            tangents = np.column_stack([self._of_box(budgets), self._nearest(budgets)[:, :1]])
            for k in np.unique(tangents[tangents >= 0]):
                mine = (tangents == k).any(axis=1)
                found[mine] = np.minimum(found[mine], ceiling.mixed(self.objective, budgets[mine], int(k)))
        return found

    def mixture(self, budgets: FloatArray) -> list[tuple[int, float]] | None:
        """Points and their shares of a mixture that has the ceiling at one place (1, 4); None if there is none."""
        ceiling = self.known.ceiling
        best, value = ceiling.best(self.objective, budgets)
        shares = [(best, 1.0)] if best >= 0 else None
        for k in {int(self._of_box(budgets)[0]), *(self._nearest(budgets)[0, :1].tolist() if ceiling.points else [])}:
            if k >= 0 and (found := ceiling.mixture(self.objective, budgets, k)) is not None and found[1] < value:
                shares, value = found
        return shares

    def _of_box(self, budgets: FloatArray) -> np.ndarray:
        """The tangent of the box that each place lies in; −1 where there is none."""
        shares = np.column_stack([(budgets[:, a.quantity.place] - a.low) / (a.high - a.low) for a in self.axes])
        tangents = np.full(len(budgets), -1)
        for box in (*self.boxes, *self.done):
            if box.tangent >= 0:
                low, high = np.array(box.low) - _SAME, np.array(box.high) + _SAME
                tangents[((shares >= low) & (shares <= high)).all(axis=1)] = box.tangent
        return tangents

    # -- asking --------------------------------------------------------------------------------------------------

    def _turn(self) -> list[Wanted]:
        """What to ask next; boxes with nothing to ask at their corners are halved."""
        with np.errstate(invalid="ignore"):
            gaps = self.upper - self.lower
        gaps[np.isposinf(self.lower)] = 0.0
        unknown = gaps > _CORNER * self.tol
        open_, descents, solves, edges = [], {}, {}, {}
        for box, corners in zip(self.boxes, self._corners, strict=True):
            size = max(h - lo for lo, h in zip(box.low, box.high, strict=True))
            asking = False
            for i in corners:
                if not unknown[i] or (math.isinf(gaps[i]) and size < _EDGE):
                    continue
                node, gap = self.nodes[i], float(gaps[i])
                if math.isinf(gap) and (edge := self._edge(node)) is not None:
                    edges[node] = edge
                    asking = True
                elif (self.descending and math.isfinite(gap)) and self._fresh(one := self._at(node, False)):
                    descents[node] = (gap, one)
                    asking = True
                elif self._fresh(one := self._at(node, True)):
                    solves[node] = (gap, one)
                    asking = True
            open_ += [box] if asking else list(self._cut(box))
        self.boxes = open_
        chosen = self._apart(descents, _DESCENTS, _APART)
        if not chosen:
            chosen = [*list(edges.values())[:1], *self._apart(solves, _SOLVES, _FAR)]
        return self._new(chosen)

    def _places(self) -> list[Wanted]:
        """What to ask next of a grid: where gaps are large, few and far between at first; then there is less to ask.

        A place where all was asked stays as it is.
        """
        left, descents, solves, edges = [], {}, {}, {}
        for box in self.boxes:
            node, descent, full = box.low, self._at(box.low, False), self._at(box.low, True)
            if math.isinf(box.gap) and (edge := self._edge(node)) is not None:
                edges[node] = edge
            elif self.descending and self.known.starts and self._fresh(descent):
                descents[node] = (box.gap, descent)
            elif self._fresh(full):
                solves[node] = (box.gap, full)
            else:
                self.done.append(box)
                continue
            left.append(box)
        self.boxes = left
        chosen = self._apart(descents, _DESCENTS, self._wide)
        self._wide *= 0.5
        if not chosen:
            chosen = [*list(edges.values())[:1], *self._apart(solves, _SOLVES, _FAR)]
        return self._new(chosen)

    descending = True

    def _apart(self, wanted: dict[Node, tuple[float, Wanted]], most: int, apart: float) -> list[Wanted]:
        """Those of the largest gaps, none too near another."""
        chosen: list[Node] = []
        for node in sorted(wanted, key=lambda node: -wanted[node][0]):
            if all(max(abs(a - b) for a, b in zip(node, other, strict=True)) >= apart for other in chosen):
                chosen.append(node)
                if len(chosen) == most:
                    break
        return [wanted[node][1] for node in chosen]

    def _edge(self, node: Node) -> Wanted | None:
        """The least loss at the other budget of a node, if the edge is known to lie below it and it was not asked."""
        if self.objective is CLASSIFICATION_LOSS:
            return None
        lowest = tuple(0.0 if a.quantity is CLASSIFICATION_LOSS else v for v, a in zip(node, self.axes, strict=True))
        if math.isfinite(self.known.floor.at(self.objective, self.budgets([lowest]))[0]):
            return None  # for all that is known everything down there is feasible
        budgets = self.budgets([node])[0]
        budgets[CLASSIFICATION_LOSS.place] = math.inf
        one = self._wanted(CLASSIFICATION_LOSS, budgets, True)
        return one if self._fresh(one) else None

    def _cut(self, box: Box) -> tuple[Box, Box]:
        """Across the axis along which the ceiling falls more, or the longer."""
        able = [j for j, a in enumerate(self.axes) if box.high[j] - box.low[j] > a.resolution]
        sizes = [(box.high[j] - box.low[j], -j, j) for j in able]
        return box.halves(max(sizes)[-1])

    def _at(self, node: Node, full: bool) -> Wanted:
        return self._wanted(self.objective, self.budgets([node])[0], full)

    def _wanted(self, objective: Quantity, budgets: FloatArray, full: bool) -> Wanted:
        return Wanted(objective, tuple((budgets * (1.0 - _INSIDE)).tolist()), full)

    def _new(self, wanted: list[Wanted]) -> list[Wanted]:
        """Those that were not asked before, with what they may start from."""
        known, new = self.known, []
        started, warmed = (np.array([at for at, _ in found]).reshape(-1, 4) for found in (known.starts, known.warms))
        for one in wanted:
            if not self._fresh(one):
                continue
            known.asked.add((one.objective, one.budgets, one.full))
            at = np.array(one.budgets)
            near = tuple(known.starts[i][1] for i in known.nearest(started, at, _STARTS))
            warms = known.nearest(warmed, at, 1)
            warm = dict(known.warms[warms[0]][1]) if warms else None
            if warm is not None and "coupling" in warm and near and near[0][1].any():
                warm["coupling"], warm["multipliers"] = near[0]  # a descent may have been here before
            new.append(replace(one, starts=near, warm=warm))
        return new

    def _fresh(self, one: Wanted) -> bool:
        asked = self.known.asked
        return not any((one.objective, one.budgets, full) in asked for full in {one.full, True})
