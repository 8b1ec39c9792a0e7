"""Branch and bound on class posteriors, for one-shot codes whose classifier sees Y alone.

H(S|Y) has two linear bounds from below, letter by letter: the chords of η on a box of posteriors, and the mixed
loss of the maps, Σ_f λ_f L(f⁻¹(y)). With a share z(y) above both and Σ z ≤ C a node is a linear program over maps,
and the chords' error falls with the square of the box. Ends of a box where no point beats the incumbent are cut
off by programs of the same kind.
"""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass, field

import numpy as np
from scipy.special import entr

from drcopt.bounds.maps import MapLeaf, MapNode, MapSplit, MapTree, cut, is_empty, leaf_bound, posterior_box
from drcopt.engines.columns import Duals
from drcopt.engines.map_programs import Indices, MapProgram, ProgramPoint
from drcopt.engines.map_search import MARGIN, TangentSearch
from drcopt.questions import DISTORTION, QUANTITIES, RATE
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Where the rows of a relaxation are: distortion, rate and Σ z, then m chords, m losses, and the cuts.
_CHORDS = 3
#: A box is tightened where that takes at least this fraction of a width.
_WORTHWHILE = 0.1
#: Maps that a node takes over from each attempt to tighten it.
_MAPS_FROM_PROBE = 30


@dataclass(eq=False)
class Node:
    """A box with the cuts that made it, the best leaf known for it, and its halves once it is split."""

    box: FloatArray
    cuts: dict[tuple[int, int, int], float]
    bound: float
    leaf: MapLeaf
    maps: Indices | None = None
    split: tuple[int, int, float, Node, Node] | None = None

    def frozen(self) -> MapNode:
        """The node as evidence."""
        if self.split is None:
            return self.leaf
        y, s, at, low, high = self.split
        return MapSplit(y, s, at, low.frozen(), high.frozen())

    def halves(self, y: int, s: int, at: float) -> tuple[Node, Node]:
        """Split at τ_y(s) = at; both halves start from this node's leaf."""
        low, high = (self._part(y, s, side, at) for side in (1, 0))
        self.split = (y, s, at, low, high)
        return low, high

    def _part(self, y: int, s: int, side: int, at: float) -> Node:
        return Node(cut(self.box, y, s, side, at), self.cuts | {(y, s, side): at}, self.bound, self.leaf, self.maps)


@dataclass(eq=False)
class Branching:
    """Best-first search that proves how good ``search``'s incumbent is, and improves it on the way.

    ``goal`` is a bound that is high enough: nodes that reach it are closed.
    """

    search: TangentSearch
    goal: float = math.inf
    nodes: int = 0
    lower: float = -math.inf
    root: Node = field(init=False)
    _leaves: int = 1
    _longest: float = 0.0

    def __post_init__(self) -> None:
        self.workshop = self.search.workshop
        self.problem = self.workshop.problem
        self.question = self.search.question
        # With ν = 0 and no limits the bound is E min_y d ≥ 0, or I ≥ 0, or H(S|Y) ≥ 0.
        leaf = MapLeaf.linear(self.problem, np.zeros(self.problem.m), *self._unit_weights())
        self.root = Node(posterior_box(self.problem, self.workshop.laws is None), {}, 0.0, leaf)

    def _unit_weights(self) -> tuple[float, float, float]:
        """Of rate, loss and distortion: 1 for what is minimised."""
        w, alpha, gamma = (float(q is self.question.objective) for q in QUANTITIES)
        return alpha, gamma, w

    @property
    def evidence(self) -> MapTree:
        """The tree so far."""
        return MapTree(self.root.frozen())

    @property
    def cutoff(self) -> float:
        """A node whose bound reaches this needs no further work."""
        if self.search.best is not None:
            return min(self.goal, self.search.value - 0.5 * self.workshop.limits.tol)
        # Above the largest value nothing is feasible.
        worst = self.question.most[self.question.objective.place]
        return min(self.goal, worst * (1 + 1e-9) + self.workshop.limits.tol)

    def run(self, node_limit: int | None = None) -> None:
        """Search until the gap is closed, the goal or the search's target is reached, or the limits are."""
        order = itertools.count()
        heap = [(self.root.bound, next(order), self.root)]
        closed = math.inf
        while True:
            self.lower = min([closed, *(entry[0] for entry in heap[:1])])
            enough = min(self.goal, self.search.value - self.workshop.limits.tol)
            out_of_nodes = node_limit is not None and self.nodes >= node_limit
            if not heap or self.lower >= enough or self.search.done or out_of_nodes or self.late:
                return
            node = heapq.heappop(heap)[2]
            if node.bound < self.cutoff:
                self.nodes += 1
                point = self.relax(node)
                if node.bound < self.cutoff:
                    self.improve(point)
            if node.bound >= self.cutoff:
                closed = min(closed, node.bound)
                continue
            inner = self.tightened(node, point.mixture.posteriors)
            if inner is node:
                children: tuple[Node, ...] = self.branch(node, point)
            else:  # relax it again before anything else
                children = (inner,)
                closed = min(closed, self.cutoff)
            for child in children:
                if not is_empty(child.box):
                    heapq.heappush(heap, (child.bound, next(order), child))

    def improve(self, point: ProgramPoint) -> None:
        """Look for a better incumbent near a relaxation's solution."""
        before = self.search.value
        self.search.offer(point)
        if self.nodes > 8 and self.nodes % 3:
            return
        # Among the maps at hand first: linear programs without pricing.
        self.search.steps(point.mixture.posteriors, only=point.maps)
        if self.search.best is not None and self.search.value < before:
            self.search.steps(self.search.best.mixture.posteriors, start=point.maps)
        elif self.search.best is None:
            self.search.start(point.mixture.posteriors)

    def program(self, node: Node, objective: FloatArray, cutoff: float = math.inf) -> MapProgram:
        """Minimise a form over the relaxation on the node's box, with the question's objective at most ``cutoff``."""
        p, layout = self.problem, self.workshop.layout
        low, high = node.box[..., 0], node.box[..., 1]
        wide = high - low > 1e-12
        slopes = np.where(wide, (entr(high) - entr(low)) / np.where(wide, high - low, 1.0), 0.0)
        heights = np.where(wide, entr(low) - slopes * low, np.minimum(entr(low), entr(high)))
        letters = np.eye(p.m)
        forms = self._totals()
        limits = (self.search.limits * (1 - MARGIN)).tolist()
        limits[self.question.objective.place] = cutoff
        # A mass that is not given is Σ_s T(y, s), and what multiplies it stands on the left.
        given = self.workshop.laws is None
        rows = slopes if given else slopes + heights.sum(axis=1, keepdims=True)
        forms += [layout.form(joint=unit[:, None] * rows, shares=-unit) for unit in letters]
        limits += list(-p.py * heights.sum(axis=1) if given else np.zeros(p.m))
        forms += [layout.form(loss=unit, shares=-unit) for unit in letters]
        limits += [0.0] * p.m
        for (y, s, side), at in node.cuts.items():
            sign = 1.0 if side else -1.0
            mass = 0.0 if given else sign * at * letters[y][:, None]
            forms.append(layout.form(joint=self._unit(y, s, sign) - mass))
            limits.append(sign * at * p.py[y] if given else 0.0)
        return MapProgram(self.workshop, objective, np.array(forms), np.array(limits))

    def _totals(self) -> list[FloatArray]:
        """The relaxation's E d, H(Y|U) and H(S|Y)."""
        layout = self.workshop.layout
        return [layout.of(DISTORTION), layout.of(RATE), layout.form(shares=1.0)]

    def _unit(self, y: int, s: int, value: float) -> FloatArray:
        unit = np.zeros((self.problem.m, self.problem.k))
        unit[y, s] = value
        return unit

    def leaf(self, program: MapProgram, duals: Duals, least: float = 1.0, box: FloatArray | None = None) -> MapLeaf:
        """A relaxation's duals as evidence; ``least`` is the least weight of the objective's own row."""
        p, layout = self.problem, self.workshop.layout
        form, chords = program.lagrangian(duals), duals.budgets[_CHORDS : _CHORDS + p.m]
        distortion, rate = (
            max(float(form @ layout.of(q)), least * (q is self.question.objective)) for q in (DISTORTION, RATE)
        )
        conditional, slopes = form[layout.loss], form[layout.joint].reshape(p.m, p.k)
        nu = self.workshop.nu(duals)
        if self.workshop.laws is not None and box is not None:
            shared = _shared(chords, slopes, box)
            nu, slopes = nu - shared, slopes - shared[:, None]
        return MapLeaf(nu, rate, conditional, chords, slopes, distortion)

    def leaf_bound(self, leaf: MapLeaf, box: FloatArray) -> float:
        """What the leaf proves: the solver's own figure is off by rounding times its multipliers."""
        started = clock.now()
        bound = leaf_bound(self.question, self.workshop.pricing, leaf, box)
        self._longest = max(self._longest, clock.now() - started)
        self.workshop.reserve = max(self.workshop.reserve, self._longest * self._leaves)
        return bound

    @property
    def late(self) -> bool:
        """Whether the time left is what it takes to evaluate the evidence once more, leaf by leaf."""
        return self.workshop.late

    def relax(self, node: Node) -> ProgramPoint:
        """Solve the node's relaxation and keep its multipliers."""
        limits = self.workshop.limits
        program = self.program(node, self._totals()[self.question.objective.place])
        penalty = 1e3
        while True:
            point = program.solve(tol=0.02 * limits.tol, cutoff=self.cutoff, start=node.maps, penalty=penalty)
            node.maps = point.maps
            if point.ended.bound > node.bound:
                leaf = self.leaf(program, point.ended.duals, box=node.box)
                if (bound := self.leaf_bound(leaf, node.box)) > node.bound:
                    node.bound, node.leaf = bound, leaf
            done = point.overrun <= 1e-9 or node.bound >= self.cutoff or penalty >= 1e9
            if done or self.workshop.late:
                return point
            penalty *= 1e3  # the box may hold no point at all: a price high enough shows it

    def tightened(self, node: Node, posteriors: FloatArray) -> Node:
        """The part of a node left after cutting off ends of its box that hold nothing better than the cutoff.

        ``posteriors`` are those of the relaxation's solution: the box need not be tried closer than that.
        """
        if (self.search.best is None and self.cutoff < self.goal) or self.workshop.laws is not None:
            return node
        p = self.problem
        error = p.py[:, None] * (entr(node.box.mean(axis=-1)) - entr(node.box).mean(axis=-1))
        reached = np.stack([posteriors, posteriors], axis=-1)
        for y, s in np.argwhere(error > 0.05 * error.max()):
            for side in (1, 0):
                low, high = node.box[y, s]
                if (s == 1 and p.k == 2) or high - low < 1e-9:  # s = 1 is the complement of s = 0
                    continue
                room = high - reached[y, s, 1] if side else reached[y, s, 0] - low
                if room > _WORTHWHILE * (high - low):
                    node = self._probe(node, y, s, side, reached)
                if is_empty(node.box) or self.late:
                    return node
        return node

    def _probe(self, node: Node, y: int, s: int, side: int, reached: FloatArray) -> Node:
        """The node with one end cut off, or as it was if that is not worthwhile; extends ``reached``.

        The most of ±T(y, s) over the relaxation with the objective at most the cutoff bounds τ_y(s). Divided by
        the multiplier θ of that last condition, the multipliers prove that the objective is at least the cutoff
        beyond; at θ = 0 any large multiple does.
        """
        cutoff, py, (low, high) = self.cutoff, self.problem.py[y], node.box[y, s]
        sign = -1.0 if side else 1.0
        objective = self.workshop.layout.form(joint=self._unit(y, s, sign))
        program, row = self.program(node, objective, cutoff), self.question.objective.place
        least = _WORTHWHILE * (high - low)
        enough = sign * py * (high - least if side else low + least)
        point = program.solve(tol=0.02 * py * (high - low), enough=enough, start=node.maps)
        if node.maps is not None:
            node.maps = np.union1d(node.maps, point.maps[:_MAPS_FROM_PROBE])
        if point.overrun <= 1e-9:
            seen = point.mixture.posteriors
            np.minimum(reached[..., 0], seen, out=reached[..., 0])
            np.maximum(reached[..., 1], seen, out=reached[..., 1])
        ended = point.ended
        theta = float(ended.duals.budgets[row])
        used = max(theta, 1e-5)
        at = sign * (ended.bound - (used - theta) * cutoff - 1e-9 * used) / py
        if ended.reason == "enough" or (high - at if side else at - low) < least:
            return node
        at = min(max(at, low), high)
        leaf = self.leaf(program, ended.duals, used)
        bound = self.leaf_bound(leaf, cut(node.box, y, s, 1 - side, at))
        if bound < cutoff:
            return node
        self._leaves += 1
        low_half, high_half = node.halves(y, s, at)
        inner, outer = (low_half, high_half) if side else (high_half, low_half)
        outer.leaf, outer.bound = leaf, bound
        return inner

    def branch(self, node: Node, point: ProgramPoint) -> tuple[Node, Node]:
        """Split the letter whose share of the loss is furthest below H(S|Y=y) at the relaxation's solution."""
        low, high = node.box[..., 0], node.box[..., 1]
        py = self.problem.py if self.workshop.laws is None else point.mixture.law
        width = np.maximum(high - low, 1e-300)
        share = np.clip((point.mixture.posteriors - low) / width, 0.0, 1.0)
        inside = low + share * width
        missing = py * entr(inside).sum(axis=1) - point.shares
        y = int(np.argmax(missing))
        if missing[y] > 1e-13:
            error = entr(inside[y]) - (1 - share[y]) * entr(low[y]) - share[y] * entr(high[y])
            s = int(np.argmax(error))
            part = min(max(float(share[y, s]), 0.15), 0.85)
        else:  # a corner of the box: halve the widest instead
            y = int(np.argmax((py if self.workshop.laws is None else 1.0) * width.max(axis=1)))
            s, part = int(np.argmax(width[y])), 0.5
        self._leaves += 1
        return node.halves(y, s, float(low[y, s] + part * width[y, s]))


def _shared(beta: FloatArray, slopes: FloatArray, box: FloatArray) -> FloatArray:
    """What of every letter's slopes (m, k) is better paid as Σ_s τ = 1, shape (m,): a box prices them end by end."""
    low, high = box[..., 0], box[..., 1]
    chords = (entr(high) - entr(low)) / np.maximum(high - low, 1e-300)
    best = np.zeros(len(slopes))
    for y in range(len(slopes)):
        tried = slopes[y] - beta[y] * chords[y]
        ends = beta[y] * entr(box[y]) - (slopes[y] - tried[:, None])[..., None] * box[y]
        best[y] = tried[int(np.argmax(ends.min(axis=-1).sum(axis=-1) - tried))]
    return best
