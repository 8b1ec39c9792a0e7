"""Time-sharing where C limits the loss of the best decision: one convex program over choices of actions.

Parts of a mixture that have the same action for every letter are as good as their average, and with given actions the
loss is linear: the question is a convex program with a block for each choice of actions, of which a few are in use. The
others are priced: at the multipliers of the program the least of w E d + α I + β loss over all couplings is found by
branches on the actions of letters, and its tree proves the bound.
"""

from __future__ import annotations

import heapq
import importlib
import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drcopt.bounds.decisions import ActionTree, action_piece
from drcopt.bounds.posterior import Leaf
from drcopt.engines.base import Limits, Proposal
from drcopt.engines.decisions import MARGINS, SHARP, USED, Deciding, Node
from drcopt.formulations import Part, SharedDecisions
from drcopt.questions import QUANTITIES, RATE
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Parts of less weight are left out; of what is wanted, the gap that pricing may leave.
_LEAST, _SHARE = 1e-10, 0.2
#: How far beyond its limits, relative to these, a mixture is not within them.
_BEYOND = 1e-10
#: How far inside its limits a point is to lie, if less was not enough: multipliers may be large.
_MARGINS = (1e-11, *MARGINS)

Weights = tuple[float, float, float]
Actions = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class _Mixed:
    """A solved program: parts, multipliers (w, α, β), and the least of w E d + α I + β loss that these pay for."""

    parts: list[Part]
    weights: Weights
    paid: float
    value: float


class SharedDeciding:
    """The search; ``judge`` says what a proposed point has of the objective, None unless it is within the limits."""

    name = "decisions"

    def __init__(
        self, question: SharedDecisions, limits: Limits, judge: Callable[[Sequence[Part]], float | None]
    ) -> None:
        self.question, self.limits, self.judge = question, limits, judge
        self.alone = Deciding(question, limits, judge)
        self.upper, self.best = math.inf, None  # type: tuple[float, Sequence[Part] | None]
        self.lower, self.evidence = -math.inf, []  # type: tuple[float, list[ActionTree]]
        self.multipliers: Weights = (math.nan,) * 3
        self.choices: dict[bytes, Actions] = {}
        self.nodes = self.rounds = 0

    def propose(self) -> Proposal:
        """The best mixture found, and the trees that prove most."""
        why = self._search()
        stats = {"nodes": self.nodes, "rounds": self.rounds, "choices": len(self.choices)}
        return Proposal(self.best, tuple(self.evidence), why, *self.multipliers, stats=stats)

    def _search(self) -> str:
        self._start()
        aimed = True
        while True:
            if self.limits.expired or clock.expired():
                return "the time limit was reached"
            self.rounds += 1
            mixed = self._program(aimed)
            if mixed is None:
                if not aimed:
                    return "a program could not be solved"
                aimed = False  # the choices at hand may not meet the limits
                continue
            if aimed or mixed.value <= 0.0:
                self._offer(mixed)
            known = len(self.choices)
            self._priced(mixed, aimed)
            if self.lower == math.inf:
                return "the limits cannot be met"
            if self.upper - self.lower <= self.limits.tol:
                return "the gap is closed"
            if aimed and known == len(self.choices):
                return "no better choice of actions was found"
            if not aimed and known == len(self.choices):
                return "no choice of actions is known to meet the limits"
            aimed = True

    def _start(self) -> None:
        """One action for all letters, and those of the relaxation in which letters may have several."""
        m, A = self.question.problem.m, self.question.losses.shape[1]
        for a in range(A):
            self._add(np.full(m, a))
        columns = np.argwhere(np.ones((m, A), dtype=bool))
        answer = self.alone.program(columns) or self.alone.program(columns, least_loss=True)
        if answer is not None:
            P, leaf = answer
            self._keep(ActionTree(leaf))
            self._add(P.sum(axis=0).reshape(m, A).argmax(axis=1))

    def _add(self, actions: Actions) -> None:
        self.choices.setdefault(np.asarray(actions, dtype=np.intp).tobytes(), np.asarray(actions, dtype=np.intp))

    def _keep(self, tree: ActionTree) -> None:
        bound = tree.bound(self.question)
        if bound > self.lower or not self.evidence:
            self.lower, self.evidence = max(bound, self.lower), [tree, *self.evidence][:2]

    def _offer(self, mixed: _Mixed) -> None:
        value, margins = self.judge(mixed.parts), list(_MARGINS[1:])
        while value is None and margins and (again := self._program(True, margins.pop(0))) is not None:
            value, mixed = self.judge(again.parts), again
        if value is not None and value < self.upper:
            self.upper, self.best, self.multipliers = value, mixed.parts, mixed.weights

    # -- the program -------------------------------------------------------------------------------------------

    def _program(self, aimed: bool, margin: float = _MARGINS[0]) -> _Mixed | None:
        """The best mixture with the choices at hand, or the one least beyond the limits; None without an answer."""
        cp = importlib.import_module("cvxpy")
        question, problem, scale = self.question, self.question.problem, self.alone.scale
        n, m, choices = problem.n, problem.m, list(self.choices.values())
        J = len(choices)
        costs = np.tile(np.where(problem.forbidden, 0.0, problem.d) / scale, J)
        losses = question.expected[:, np.concatenate(choices)]
        P, shares = cp.Variable((n, J * m), nonneg=True), cp.Variable(J, nonneg=True)
        masses = cp.sum(P, axis=0)
        independent = problem.px[:, None] @ cp.reshape(masses, (1, J * m), order="C")
        forms = [cp.sum(cp.multiply(costs, P)), cp.sum(cp.rel_entr(P, independent)), cp.sum(cp.multiply(losses, P))]
        blocks = np.repeat(np.eye(J), m, axis=0)
        constraints = [P @ blocks == problem.px[:, None] @ cp.reshape(shares, (1, J), order="C"), cp.sum(shares) == 1.0]
        if question.laws is None:
            constraints.append(masses == shares @ np.kron(np.eye(J), problem.py))
        if problem.forbidden.any():
            constraints.append(cp.multiply(np.tile(problem.forbidden, J).astype(float), P) == 0.0)
        excess, limited = cp.Variable(), {}
        units = (scale, 1.0, 1.0)
        for q, budget, most in zip(QUANTITIES, question.budgets, question.most, strict=True):
            if q is question.objective or budget >= most * (1.0 - MARGINS[0]):
                continue
            limit = budget / units[q.place]
            limit -= min(margin, 1e-3 * limit) if aimed else 0.0
            limited[q.place] = limit, forms[q.place] <= limit + (0.0 if aimed else excess)
        goal = forms[question.objective.place] if aimed else excess
        program = cp.Problem(cp.Minimize(goal), [*constraints, *(row for _, row in limited.values())])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                program.solve(solver="CLARABEL", **SHARP)
            except (cp.SolverError, ArithmeticError, ValueError):
                return None
        if program.status not in ("optimal", "optimal_inaccurate") or P.value is None:
            return None
        worth, paid = np.zeros(3), float(goal.value)
        worth[question.objective.place] = float(aimed)
        for place, (limit, row) in limited.items():
            worth[place] = max(0.0, float(np.ravel(row.dual_value)[0]))
            paid += worth[place] * limit
        unit = scale if aimed and question.objective.place == 0 else 1.0
        worth, paid = worth * unit, paid * unit
        worth[0] /= scale
        if worth[RATE.place] < 1e-9 * scale:
            worth[RATE.place] = 0.0
        w, alpha, beta = worth.tolist()
        return _Mixed(self._parts(P.value, shares.value), (w, alpha, beta), paid, float(goal.value) * unit)

    def _parts(self, P: FloatArray, shares: FloatArray) -> list[Part]:
        used = np.flatnonzero(shares > _LEAST)
        m, total = self.question.problem.m, float(shares[used].sum())
        return [
            Part(float(shares[j]) / total, np.maximum(P[:, j * m : (j + 1) * m], 0.0) / float(shares[j])) for j in used
        ]

    # -- pricing -----------------------------------------------------------------------------------------------

    def _priced(self, mixed: _Mixed, aimed: bool) -> None:
        """The least of w E d + α I + β loss over couplings: what it proves is kept, and the actions that are better."""
        if not max(mixed.weights) > 0.0:
            return
        tol = _SHARE * self.limits.tol if aimed else _BEYOND * max(1.0, abs(mixed.paid))
        w, alpha, beta = mixed.weights
        shape = self.question.problem.m, self.question.losses.shape[1]
        root = Node(np.ones(shape, dtype=bool), -math.inf, Leaf(np.zeros(self.question.problem.n), alpha, beta, w))
        count, opened = itertools.count(), [root]
        heap: list[tuple[float, int, Node]] = []
        goal = mixed.paid - tol
        while opened:
            for node in opened:
                if self._opened(node, mixed.weights, goal):
                    heapq.heappush(heap, (node.bound, next(count), node))
            if not heap or heap[0][0] >= goal or self.limits.expired or clock.expired():
                break
            split = heapq.heappop(heap)[-1].split
            assert split is not None
            opened = list(split[2:])
        self._keep(ActionTree(root.evidence()))

    def _opened(self, node: Node, weights: Weights, goal: float) -> bool:
        """Bound a node, and split it where it may hold better couplings than those of the choices known."""
        self.nodes += 1
        columns = np.argwhere(node.allowed)
        answer = self.alone.program(columns, weights=weights)
        if answer is None:
            return False
        P, leaf = answer
        level = action_piece(self.question, leaf, node.allowed).level
        if level > node.bound:
            node.bound, node.leaf = level, leaf
        if node.bound >= goal:
            return False
        masses = np.zeros(node.allowed.shape)
        masses[columns[:, 0], columns[:, 1]] = P.sum(axis=0)
        self._add(np.where(node.allowed, masses, -1.0).argmax(axis=1))
        if not ((masses > USED).sum(axis=1) > 1).any():
            return False
        node.branch(masses)
        return True
