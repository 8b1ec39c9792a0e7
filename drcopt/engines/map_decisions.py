"""One-shot codes where C limits the loss of the best decision: linear programs over maps, and branches on actions.

At a node every letter may have some of the actions, and the program's loss is that of the best of these for every map
by itself. Where who decides knows the map that is the loss; where he knows Y alone it is no more than the loss, and
equal where every letter has one best action for all maps in use. Else a letter branches: one action, or any but it.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from drcopt.bounds.decisions import ActionLoss, ActionNode, Actions, ActionSplit, ActionTree, MapActions, map_piece
from drcopt.engines.base import INTERRUPTED, Limits, Proposal
from drcopt.engines.columns import Duals, MasterError
from drcopt.engines.decisions import Deciding
from drcopt.engines.linear import optimal_transport
from drcopt.engines.map_moves import quantile_maps
from drcopt.engines.map_programs import MapProgram, Mixture, ProgramPoint, Workshop
from drcopt.formulations import MapDecisions, MessageDecisions, Part
from drcopt.formulations.one_shot import map_coupling
from drcopt.problem import Problem
from drcopt.questions import QUANTITIES
from drcopt.stakes import Stakes
from drcopt.support.check import FloatArray

#: How far inside its limits a point is to lie, relative; the most by which a program may exceed one.
_MARGIN, _OVERRUN = 1e-12, 1e-9
#: Prices of exceeding a limit, in turn; maps handed on to later nodes.
_PENALTIES, _HANDED_ON = (1e3, 1e6, 1e9), 400
#: A loss that one action for all maps adds to that of the best for each, relative, which counts as none.
_ALIKE = 1e-13


@dataclass(eq=False)
class _Node:
    allowed: Actions
    bound: float
    leaf: MapActions
    split: tuple[int, int, _Node, _Node] | None = None

    def evidence(self) -> ActionNode:
        if self.split is None:
            return self.leaf
        y, a, only, without = self.split
        return ActionSplit(y, a, only.evidence(), without.evidence())


class MapDeciding:
    """The search; ``judge`` says what a proposed point has of the objective, None unless it is within the limits."""

    name = "decisions"

    def __init__(self, question: MapDecisions, limits: Limits, judge: Callable[[Sequence[Part]], float | None]) -> None:
        self.asked, self.limits, self.judge = question, limits, judge
        self.scale = Stakes(question.problem).scale or 1.0
        p = question.problem
        unit = Problem(p.px, p.py, p.ps_given_x, p.d / self.scale)
        self.problem, self.question = (
            unit,
            replace(question, problem=unit, distortion_budget=question.distortion_budget / self.scale),
        )
        self.unit = self.scale if question.objective.place == 0 else 1.0
        self.size = float(question.losses.max(initial=0.0))
        self.upper, self.best = math.inf, None  # type: tuple[float, Sequence[Part] | None]
        self.multipliers = (math.nan,) * 3
        self.maps = self._first()
        self.nodes, self.why, self.exact = 0, "", True
        self._tried: set[bytes] = set()

    def _first(self) -> NDArray[np.int64]:
        """Maps to begin with: of least cost, and those that tell classes apart."""
        p = self.problem
        maps = [p.d.argmin(axis=1), p.ps_given_x.argmax(axis=1) % p.m, self.question.expected.argmin(axis=1) % p.m]
        if self.question.laws is None and (answer := optimal_transport(p)) is not None:
            maps = [*maps, *quantile_maps(answer[0])[0]]
        return np.array(maps, dtype=np.int64)

    def propose(self) -> Proposal:
        """The best point found, and a tree that covers all."""
        nothing = MapActions(np.zeros(self.problem.m), 0.0, 0.0)
        root = _Node(np.ones((self.problem.m, self.question.losses.shape[1]), dtype=bool), -math.inf, nothing)
        try:
            self._search(root)
        except MasterError as reason:
            self.why = str(reason)
        evidence = [ActionTree(root.evidence())]
        if not self.exact:  # what holds of couplings and messages holds of maps
            evidence += self._of_messages()
        return Proposal(self.best, tuple(evidence), self.why, *self.multipliers, stats={"nodes": self.nodes})

    def _search(self, root: _Node) -> None:
        """Best nodes first."""
        heap: list[tuple[float, int, _Node]] = []
        count = itertools.count()
        opened = [root]
        while True:
            for node in opened:
                if self._open(node):
                    heapq.heappush(heap, (node.bound, next(count), node))
                if self.why:
                    return
            if not heap:
                self.why = "the tree is exhausted" if self.exact else "the maps are too many to price in time"
                return
            if heap[0][0] >= self.upper - self.limits.tol:
                self.why = "the gap is closed"
                return
            if self.limits.node_limit is not None and self.nodes >= self.limits.node_limit:
                self.why = "the node limit was reached"
                return
            _, _, node = heapq.heappop(heap)
            assert node.split is not None
            opened = list(node.split[2:])

    def _of_messages(self) -> list[ActionTree]:
        """One leaf for messages, whose bound needs no maps."""
        asked = self.asked
        wider = MessageDecisions(
            asked.problem,
            asked.rate_budget,
            asked.classification_budget,
            distortion_budget=asked.distortion_budget,
            objective=asked.objective,
            laws=asked.laws,
            losses=asked.losses,
        )
        found = Deciding(wider, self.limits, lambda parts: None).propose().evidence
        return [tree for tree in found if isinstance(tree, ActionTree)]

    def _open(self, node: _Node) -> bool:
        """Solve a node and split it; whether it must go on."""
        self.nodes += 1
        point = self._bounded(node)
        if point is None:
            return False
        if self.why or not self.question.split:
            self._propose(point.mixture, point)
            return False
        if node.bound >= self.upper - self.limits.tol:
            return False
        mixture, allowed = point.mixture, node.allowed
        costs = self._costs(mixture, allowed)
        together = costs.sum(axis=0)
        excess = together.min(axis=1) - costs.min(axis=2).sum(axis=0)
        alike = bool((excess <= _ALIKE * self.size).all())
        if alike and self._propose(mixture, point):
            return False
        self._fixed(together.argmin(axis=1))
        if not self.exact or self.why or alike:
            return False  # without bounds there is no telling which of so many nodes is worth opening
        y = int(excess.argmax())
        masses = mixture.weights * mixture.pool.masses[mixture.maps, y]
        a = int(np.bincount(costs[:, y].argmin(axis=1), masses, allowed.shape[1]).argmax())
        only, without = allowed.copy(), allowed.copy()
        only[y] = np.arange(only.shape[1]) == a
        without[y, a] = False
        node.split = (y, a, _Node(only, node.bound, node.leaf), _Node(without, node.bound, node.leaf))
        return True

    def _costs(self, mixture: Mixture, allowed: Actions) -> FloatArray:
        """What every action allowed for a letter costs the maps in use, (maps, m, A)."""
        p = self.problem
        joint = mixture.pool.values[mixture.maps][:, mixture.pool.layout.joint].reshape(-1, p.m, p.k)
        return np.asarray(mixture.weights[:, None, None] * np.where(allowed, joint @ self.question.losses, math.inf))

    def _fixed(self, actions: NDArray[np.intp]) -> None:
        """The best point where these are the actions, then where the best for that point are, and so on."""
        while actions.tobytes() not in self._tried:
            self._tried.add(actions.tobytes())
            allowed = actions[:, None] == np.arange(self.question.losses.shape[1])
            point = self._solved(allowed)
            if point is None or self.why or not self._propose(point.mixture, point):
                return
            actions = self._costs(point.mixture, np.ones_like(allowed)).sum(axis=0).argmin(axis=1)

    def _propose(self, mixture: Mixture, point: ProgramPoint) -> bool:
        """Whether the mixture is within the limits; it is kept if it is the best."""
        pairs = zip(mixture.weights, mixture.pool.maps[mixture.maps], strict=True)
        parts = [Part(float(w), map_coupling(self.problem, f), f) for w, f in pairs]
        value = self.judge(parts)
        if value is not None and value < self.upper:
            self.upper, self.best = value, parts
            leaf = self._leaf(np.zeros(self.problem.m), point.ended.point.duals, True)
            self.multipliers = (leaf.distortion, leaf.rate, leaf.classification)
        return value is not None

    # -- programs ----------------------------------------------------------------------------------------------

    def _bounded(self, node: _Node) -> ProgramPoint | None:
        """The node's program and bound; None where no point is known to be in it."""
        shop = self._shop(node.allowed)
        for penalty in _PENALTIES:
            point = self._program(shop, True, penalty, self.upper / self.unit)
            self._raise(node, shop, point, True)
            if point.overrun <= _OVERRUN or self.why or node.bound >= self.upper:
                break
            if penalty == _PENALTIES[0]:
                self._raise(node, shop, self._program(shop, False, 1.0), False)
        return point if point.overrun <= _OVERRUN else None

    def _solved(self, allowed: Actions) -> ProgramPoint | None:
        """A point where letters have these actions, which is not bounded."""
        shop = self._shop(allowed)
        for penalty in _PENALTIES:
            point = self._program(shop, True, penalty)
            if point.overrun <= _OVERRUN or self.why:
                break
        return point if point.overrun <= _OVERRUN else None

    def _shop(self, allowed: Actions) -> Workshop:
        loss = ActionLoss(self.question.losses, allowed)
        shop = Workshop(self.problem, self.limits, self.question.laws, loss)
        shop.pool.add(self.maps)
        self.exact &= shop.exact
        return shop

    def _program(self, shop: Workshop, aimed: bool, penalty: float, cutoff: float = math.inf) -> ProgramPoint:
        """The least of the objective, or of what exceeds the limits."""
        question = self.question
        forms = np.array([shop.layout.of(q) for q in QUANTITIES])
        sizes = (0.0, 0.0, self.size)  # what the judge's rounding is relative to
        limits = [
            budget - min(_MARGIN * max(budget, size), 1e-3 * budget) if budget < most * (1.0 - _MARGIN) else math.inf
            for budget, most, size in zip(question.budgets, question.most, sizes, strict=True)
        ]
        goal = forms[question.objective.place] if aimed else np.zeros(shop.layout.size)
        tol = 0.1 * self.limits.tol / self.unit
        program = MapProgram(shop, goal, forms, np.array(limits))
        point = program.solve(tol=tol if aimed else _OVERRUN, cutoff=cutoff, penalty=penalty)
        if shop.interrupted:
            self.why = INTERRUPTED
        elif shop.late:
            self.why = "the time limit was reached"
        self.maps = np.concatenate([self.maps, shop.pool.maps[point.maps]])
        _, last = np.unique(self.maps[::-1], axis=0, return_index=True)
        self.maps = self.maps[::-1][np.sort(last)[:_HANDED_ON]]
        return point

    def _raise(self, node: _Node, shop: Workshop, point: ProgramPoint, aimed: bool) -> None:
        """Keep what a program proves, if it proves more."""
        leaf = self._leaf(shop.nu(point.ended.duals), point.ended.duals, aimed)
        bound = self.asked.bound(map_piece(self.asked, leaf, node.allowed, shop.pricing))
        if bound > node.bound or node.bound == -math.inf:
            node.bound, node.leaf = max(bound, node.bound), leaf

    def _leaf(self, nu: FloatArray, duals: Duals, aimed: bool) -> MapActions:
        """Multipliers of a program for d as it was."""
        own = self.question.objective
        w, alpha, beta = (
            float(aimed) if q is own else float(v) for q, v in zip(QUANTITIES, duals.budgets, strict=True)
        )
        return MapActions(self.unit * nu, self.unit * alpha, self.unit * beta, self.unit * w / self.scale)
