"""Branch and bound on class posteriors, for one-shot codes whose classifier sees Y alone.

H(S|Y) = Σ_y py Σ_s η(τ_y(s)) is concave in the mixture, so H(S|Y) ≤ C is no linear constraint. On a box of
posteriors the chords of η lie below it: with them a node is a linear program over maps, whose value is a lower
bound, and the chords' error falls with the square of the box. Tangents lie above: a program with H(S|Y) replaced
by the cross-entropy −Σ T log q is a restriction for every q, and q = τ at a feasible point keeps that point, so
repeating it only improves (a convex-concave step).
"""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass, field

import numpy as np
from scipy.special import entr

from drcopt._check import FloatArray
from drcopt.bounds.base import effective_budgets
from drcopt.bounds.maps import MapLeaf, MapNode, MapSplit, MapTree, cut, is_empty, posterior_box
from drcopt.engines.columns import Duals
from drcopt.engines.map_programs import Indices, MapProgram, Mixture, ProgramPoint, Row, Workshop
from drcopt.formulations import Formulation

#: Budgets of proposed points are met with this much to spare, relative.
MARGIN = 1e-13


@dataclass(eq=False)
class Node:
    """A box with the cuts that made it, the best leaf known for it, and its halves once it is split."""

    box: FloatArray
    cuts: dict[tuple[int, int, int], float]
    bound: float
    leaf: MapLeaf
    duals: Duals | None = None
    split: tuple[int, int, float, Node, Node] | None = None

    def frozen(self) -> MapNode:
        """The node as evidence."""
        if self.split is None:
            return self.leaf
        y, s, at, low, high = self.split
        return MapSplit(y, s, at, low.frozen(), high.frozen())

    def halves(self, y: int, s: int, at: float) -> tuple[Node, Node]:
        """Split at τ_y(s) = at; both halves start from this node's leaf."""
        low, high = (
            Node(cut(self.box, y, s, side, at), self.cuts | {(y, s, side): at}, self.bound, self.leaf,
                 self._duals_with(y, s, side))
            for side in (1, 0)
        )
        self.split = (y, s, at, low, high)
        return low, high

    def _duals_with(self, y: int, s: int, side: int) -> Duals | None:
        """The duals with a zero for the row that a new cut adds."""
        if self.duals is None or (y, s, side) in self.cuts:
            return self.duals
        return Duals(self.duals.equality, np.append(self.duals.budgets, 0.0))


@dataclass(frozen=True, eq=False)
class Incumbent:
    """A mixture that meets the budgets, its objective, and the multipliers of the program that found it."""

    mixture: Mixture
    value: float
    rate_multiplier: float
    classification_multiplier: float


@dataclass(eq=False)
class Search:
    """Minimise E d, or for objective "classification-loss" H(S|Y), over mixtures of maps within the budgets."""

    formulation: Formulation
    workshop: Workshop
    objective: str = "distortion"
    best: Incumbent | None = None
    nodes: int = 0
    lower: float = -math.inf
    root: Node | None = None
    stop_at: float = -math.inf
    passes: int = 5
    _budgets: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        self._budgets = effective_budgets(self.formulation)

    @property
    def tol(self) -> float:
        """The gap wanted."""
        return self.workshop.limits.tol

    @property
    def value(self) -> float:
        """Of the incumbent; inf without one."""
        return math.inf if self.best is None else self.best.value

    @property
    def evidence(self) -> MapTree | None:
        """The tree so far."""
        return None if self.root is None else MapTree(self.root.frozen(), self.objective)

    @property
    def minimise(self) -> str:
        return "distortion" if self.objective == "distortion" else "loss"

    # Upper bounds

    def tangent_steps(self, posteriors: FloatArray, only: Indices | None = None, steps: int = 30) -> None:
        """Convex-concave steps from ``posteriors`` (m, k), feasible or not; with ``only``, among those maps."""
        p = self.workshop.problem
        rate, loss = (b * (1 - MARGIN) for b in self._budgets)
        before = math.inf
        for _ in range(steps):
            q = (1 - 1e-12) * posteriors + 1e-12 * p.ps
            row = Row(-np.log(q), loss if self.objective == "distortion" else 0.0, loss=True)
            program = MapProgram(self.workshop, rate, rows=[row], minimise=self.minimise)
            point = program.solve(tol=0.1 * self.tol, only=only)
            value = self.offer(point)
            if not value < before - 1e-3 * self.tol or self.workshop.limits.expired:
                break
            if only is not None and value > self.value + 0.1:
                break
            before = value
            posteriors = point.mixture.posteriors

    def offer(self, point: ProgramPoint) -> float:
        """The objective of a program's mixture, kept if it is feasible and better; inf if infeasible."""
        if point.overrun > 1e-9:
            return math.inf
        mixture = point.mixture
        if mixture.rate > self._budgets[0]:
            return math.inf
        value = loss = mixture.loss("Y")
        if self.objective == "distortion":
            value = mixture.distortion if loss <= self._budgets[1] else math.inf
        if value < self.value:
            alpha, *losses = point.ended.point.duals.budgets
            self.best = Incumbent(mixture, value, float(alpha), float(sum(losses)))
        return value

    # Lower bounds

    def rows(self, node: Node, loss: float) -> list[Row]:
        """The chords of η on the node's box, to sum to at most ``loss``, and its cuts."""
        p = self.workshop.problem
        low, high = node.box[..., 0], node.box[..., 1]
        width = high - low
        rise = entr(high) - entr(low)
        slopes = np.where(width > 1e-12, rise / np.where(width > 1e-12, width, 1.0), 0.0)
        heights = np.where(width > 1e-12, entr(low) - slopes * low, np.minimum(entr(low), entr(high)))
        rows = [Row(slopes, loss - float(p.py @ heights.sum(axis=1)), loss=True)]
        for (y, s, side), at in node.cuts.items():
            unit = np.zeros((p.m, p.k))
            unit[y, s] = 1.0 if side else -1.0
            rows.append(Row(unit, (at if side else -at) * p.py[y]))
        return rows

    def program(self, node: Node) -> MapProgram:
        """The relaxation on the node's box."""
        rate, loss = self._budgets
        rows = self.rows(node, loss if self.objective == "distortion" else 0.0)
        return MapProgram(self.workshop, rate, loss, rows, self.minimise)

    def relax(self, node: Node, cutoff: float) -> ProgramPoint:
        """Solve the node's relaxation and keep its multipliers."""
        penalty = 1e3
        while True:
            point = self.program(node).solve(tol=0.02 * self.tol, cutoff=cutoff, near=node.duals, penalty=penalty)
            if point.ended.bound > node.bound:
                node.bound, node.duals = point.ended.bound, point.ended.duals
                node.leaf = leaf_of(point.program, node.duals, 1.0)
            done = point.overrun <= 1e-9 or node.bound >= cutoff or penalty >= 1e9
            if done or self.workshop.limits.expired:
                return point
            penalty *= 1e3  # the box may hold no point at all: a price high enough shows it

    def tighten(self, node: Node) -> Node:
        """Cut off the ends of the box where no point can be better than the incumbent.

        The most of ±T(y, s) subject to the relaxation and to the objective being at most the cutoff bounds
        τ_y(s); divided by the multiplier of that last row, the multipliers prove that the objective is at
        least the cutoff beyond it.
        """
        p = self.workshop.problem
        rate, loss = self._budgets
        for y in range(p.m):
            for s in range(1 if p.k == 2 else p.k):
                for side in (1, 0):
                    low, high = node.box[y, s]
                    unit = np.zeros((p.m, p.k))
                    unit[y, s] = -1.0 if side else 1.0
                    if self.objective == "distortion":
                        program = MapProgram(self.workshop, rate, loss, self.rows(node, loss), unit, self.cutoff)
                    else:
                        program = MapProgram(self.workshop, rate, self.cutoff, self.rows(node, self.cutoff), unit)
                    near = None
                    point = program.solve(tol=0.02 * p.py[y] * (high - low), near=near)
                    duals = point.ended.duals
                    theta = float(duals.budgets[2] if self.objective == "distortion" else duals.budgets[[1, 3]].sum())
                    used = max(theta, 1e-6)
                    end = point.ended.bound - (used - theta) * self.cutoff - 1e-9
                    at = (-end if side else end) / p.py[y]
                    if (high - at if side else at - low) < 0.1 * (high - low):
                        continue
                    at = min(max(at, low), high)
                    inner, outer = node.halves(y, s, at)[:: 1 if side else -1]
                    outer.leaf, outer.bound = leaf_of(program, duals, 1 / used), self.cutoff
                    node = inner
                    if is_empty(node.box):
                        return node
        return node

    def run(self, node_limit: int | None = None) -> None:
        """Best-first search until the gap is ``tol``, the limits are reached or ``stop_at`` is settled.

        With ``stop_at`` the search ends once the incumbent is at most that.
        """
        p = self.workshop.problem
        # With ν = 0 and no budgets the bound is E min_y d ≥ 0 (or H(S|·) ≥ 0).
        self.root = Node(posterior_box(p), {}, 0.0, MapLeaf(np.zeros(p.m), 0.0, 0.0))
        order = itertools.count()
        closed = math.inf
        start = self.root
        if self.best is not None:
            for _ in range(self.passes):
                width = np.ptp(start.box, axis=-1).sum()
                start = self.tighten(start)
                closed = min(closed, self.cutoff)
                if VERBOSE: print('   tighten', width, np.ptp(start.box, axis=-1).sum(), self.workshop.pricings)
                if np.ptp(start.box, axis=-1).sum() > 0.8 * width:
                    break
        heap = [(0.0, next(order), start)]
        while heap and self.value > self.stop_at:
            self.lower = min(closed, heap[0][0])
            out_of_nodes = node_limit is not None and self.nodes >= node_limit
            if self.value - self.lower <= self.tol or self.workshop.limits.expired or out_of_nodes:
                return
            node = heapq.heappop(heap)[2]
            if node.bound >= self.cutoff:
                closed = min(closed, node.bound)
                continue
            self.nodes += 1
            point = self.relax(node, self.cutoff)
            if VERBOSE and self.nodes<4: print('   node', node.bound, self.value)
            if node.bound < self.cutoff:
                self.improve(point)
            if node.bound >= self.cutoff:
                closed = min(closed, node.bound)
                continue
            for child in self.branch(node, point.mixture.posteriors):
                if not is_empty(child.box):
                    heapq.heappush(heap, (child.bound, next(order), child))
        self.lower = min([closed, *(entry[0] for entry in heap)])

    @property
    def cutoff(self) -> float:
        """A node whose bound reaches this needs no further work."""
        if self.best is not None:
            return self.best.value - 0.5 * self.tol
        worst = float(self.workshop.problem.d.max()) if self.objective == "distortion" else math.inf
        return worst * (1 + 1e-9) + self.tol  # above it, nothing is feasible there

    def improve(self, point: ProgramPoint) -> None:
        """Look for a better incumbent near a relaxation's solution."""
        before = self.value
        self.offer(point)
        if self.nodes > 10 and self.nodes % 8:
            return
        # Among the maps at hand first: a linear program, no pricing.
        self.tangent_steps(point.mixture.posteriors, point.maps)
        if self.best is not None and self.value < before - 1e-3 * self.tol:
            self.tangent_steps(self.best.mixture.posteriors)

    def branch(self, node: Node, posteriors: FloatArray) -> tuple[Node, Node]:
        """Split where the chords are furthest below η at the relaxation's solution."""
        low, high = node.box[..., 0], node.box[..., 1]
        width = np.maximum(high - low, 1e-300)
        share = np.clip((posteriors - low) / width, 0.0, 1.0)
        inside = low + share * width
        error = entr(inside) - (1 - share) * entr(low) - share * entr(high)
        letters = self.workshop.problem.py * error.sum(axis=1)
        y = int(np.argmax(letters))
        if letters[y] < 1e-13:  # the box's corner: halve the widest instead
            y = int(np.argmax(self.workshop.problem.py * width.max(axis=1)))
            s, part = int(np.argmax(width[y])), 0.5
        else:
            s = int(np.argmax(error[y]))
            part = min(max(float(share[y, s]), 0.15), 0.85)
        return node.halves(y, s, float(low[y, s] + part * width[y, s]))

VERBOSE=False
def leaf_of(program: MapProgram, duals: Duals, scale: float) -> MapLeaf:
    """A program's duals as evidence: rate, loss and chord rows come first."""
    alpha, gamma, _, beta = (scale * float(mu) for mu in duals.budgets[:4])
    return MapLeaf(scale * duals.equality, alpha, gamma, beta, scale * program.slopes(duals))
