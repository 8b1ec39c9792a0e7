"""Branch and bound on what is decided for each letter, where C limits the loss of the best decision.

At a node every letter y may have some of the actions, and the relaxed point has a column for each pair (y, a): a convex
program whose loss is linear. Merging the columns of a letter lowers the rate and may raise the loss. Where no letter
uses two actions nothing is relaxed; else one of them branches: action a, or any but a.
"""

from __future__ import annotations

import heapq
import importlib
import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drcopt.bounds.decisions import ActionNode, Actions, ActionSplit, ActionTree, action_piece
from drcopt.bounds.posterior import Leaf
from drcopt.engines.balls import within
from drcopt.engines.base import Limits, Proposal
from drcopt.formulations import Decisions, MessageDecisions, Part, SharedDecisions
from drcopt.questions import CLASSIFICATION_LOSS, QUANTITIES, RATE
from drcopt.questions.output import Free, Near
from drcopt.stakes import Stakes
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: How far inside its limits a point is to lie, first and if that was not enough; mass of a column that is used.
MARGINS, USED = (1e-9, 1e-7), 1e-7
#: The solver's tolerances: points must be on the marginals to less than a margin.
SHARP: dict[str, float] = {"tol_feas": 1e-11, "tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11}

Ask = Decisions | MessageDecisions | SharedDecisions


@dataclass(eq=False)
class Node:
    """Actions that letters may have, (m, A), with what is known of the points that have such."""

    allowed: Actions
    bound: float
    leaf: Leaf
    split: tuple[int, int, Node, Node] | None = None

    def evidence(self) -> ActionNode:
        """Of it and all below."""
        if self.split is None:
            return self.leaf
        y, a, only, without = self.split
        return ActionSplit(y, a, only.evidence(), without.evidence())

    def branch(self, masses: FloatArray) -> None:
        """Split the letter whose mass (m, A) is most spread over actions: the one with most of it, or any other."""
        y = int((masses.sum(axis=1) - masses.max(axis=1)).argmax())
        a = int(masses[y].argmax())
        only, without = self.allowed.copy(), self.allowed.copy()
        only[y] = np.arange(only.shape[1]) == a
        without[y, a] = False
        self.split = (y, a, Node(only, self.bound, self.leaf), Node(without, self.bound, self.leaf))


class Deciding:
    """The search; ``judge`` says what a proposed point has of the objective, None unless it is within the limits."""

    name = "decisions"

    def __init__(self, question: Ask, limits: Limits, judge: Callable[[Sequence[Part]], float | None]) -> None:
        self.question, self.limits, self.judge = question, limits, judge
        self.upper, self.best = math.inf, None  # type: tuple[float, Part | None]
        self.scale = Stakes(question.problem).scale or 1.0
        self.nodes = 0
        self._tried: set[bytes] = set()

    def propose(self) -> Proposal:
        """The best point found, and a tree that covers all."""
        question = self.question
        shape = question.problem.m, question.losses.shape[1]
        nothing = Leaf(np.zeros(question.problem.n), 0.0, 0.0, 0.0)
        root = Node(np.ones(shape, dtype=bool), -math.inf, nothing)
        heap: list[tuple[float, int, Node]] = []
        count = itertools.count()
        why = "the tree is exhausted"
        for node in self._open(root):
            heapq.heappush(heap, (node.bound, next(count), node))
        multipliers = root.leaf
        while heap:
            if heap[0][0] >= self.upper - self.limits.tol:
                why = "the gap is closed"
                break
            if self.limits.expired or clock.expired():
                why = "the time limit was reached"
                break
            _, _, node = heapq.heappop(heap)
            assert node.split is not None
            for child in node.split[2:]:
                for branched in self._open(child):
                    heapq.heappush(heap, (branched.bound, next(count), branched))
        return Proposal(
            None if self.best is None else [self.best],
            (ActionTree(root.evidence()),),
            why,
            multipliers.distortion,
            multipliers.rate,
            multipliers.classification,
            stats={"nodes": self.nodes},
        )

    def _open(self, node: Node) -> list[Node]:
        """Solve a node; itself, split, if it must go on."""
        self.nodes += 1
        question = self.question
        columns = np.argwhere(node.allowed)
        answer = self.program(columns) or self.program(columns, margin=0.0)
        if answer is None:  # it may be empty: the least loss there says so, if anything does
            answer = self.program(columns, least_loss=True) or self.program(columns, beyond=True)
            if answer is None:
                return []
            self._bounded(node, answer[1])
            return []
        P, leaf = answer
        self._bounded(node, leaf)
        if isinstance(question, MessageDecisions):
            for margin in MARGINS:
                if answer is None or self._propose(self._atoms(answer[0], columns)):
                    break
                answer = self.program(columns, margin=margin)
            return []
        if node.bound >= self.upper - self.limits.tol:
            return []
        weights = np.zeros(node.allowed.shape)
        weights[columns[:, 0], columns[:, 1]] = P.sum(axis=0)
        met = self._propose(Part(1.0, self._merged(P, columns)))
        mixed = (weights > USED).sum(axis=1) > 1
        if mixed.any() or not met:
            self._fixed(np.where(node.allowed, weights, -1.0).argmax(axis=1))
        if not mixed.any():
            return []
        node.branch(weights)
        return [node]

    def _bounded(self, node: Node, leaf: Leaf) -> None:
        bound = self.question.bound(action_piece(self.question, leaf, node.allowed))
        if bound > node.bound or node.bound == -math.inf:
            node.bound, node.leaf = max(bound, node.bound), leaf

    def _fixed(self, actions: NDArray[np.intp]) -> None:
        """The best point where these are the actions."""
        if actions.tobytes() in self._tried:
            return
        self._tried.add(actions.tobytes())
        columns = np.column_stack([np.arange(len(actions)), actions])
        for margin in MARGINS:
            answer = self.program(columns, margin=margin)
            if answer is not None and self._propose(Part(1.0, answer[0])):
                return

    def _propose(self, part: Part) -> bool:
        """Whether the point is within the limits; it is kept if it is the best."""
        value = self.judge([part])
        if value is not None and value < self.upper:
            self.upper, self.best = value, part
        return value is not None

    def _atoms(self, P: FloatArray, columns: NDArray[np.intp]) -> Part:
        used = P.sum(axis=0) > 0.0
        return Part(1.0, P[:, used], letters=columns[used, 0])

    def _merged(self, P: FloatArray, columns: NDArray[np.intp]) -> FloatArray:
        merged = np.zeros((self.question.problem.m, self.question.problem.n))
        np.add.at(merged, columns[:, 0], P.T)
        return merged.T

    def program(
        self,
        columns: NDArray[np.intp],
        *,
        least_loss: bool = False,
        beyond: bool = False,
        margin: float = MARGINS[0],
        weights: tuple[float, float, float] | None = None,
    ) -> tuple[FloatArray, Leaf] | None:
        """The relaxed point, (n, J) for these pairs (y, a), and multipliers; None without an answer.

        Of the objective, of the loss, of how far ``beyond`` its limits a point must be, or without limits of the sum
        with these ``weights`` of distortion, rate and loss.
        """
        cp = importlib.import_module("cvxpy")
        question = self.question
        problem, letters, actions = question.problem, columns[:, 0], columns[:, 1]
        n, J = problem.n, len(columns)
        costs = np.where(problem.forbidden, 0.0, problem.d)[:, letters] / self.scale
        losses = question.expected[:, actions]
        P = cp.Variable((n, J), nonneg=True)
        masses = cp.sum(P, axis=0)
        independent = problem.px[:, None] @ cp.reshape(masses, (1, J), order="C")
        forms = [cp.sum(cp.multiply(costs, P)), cp.sum(cp.rel_entr(P, independent)), cp.sum(cp.multiply(losses, P))]
        rows = cp.sum(P, axis=1) == problem.px
        constraints = [rows]
        if (bad := problem.forbidden[:, letters]).any():
            constraints.append(cp.multiply(bad.astype(float), P) == 0.0)
        if not isinstance(question.laws, Free):
            of_letter = np.zeros((J, problem.m))
            of_letter[np.arange(J), letters] = 1.0
            law = masses @ of_letter
            near = question.laws
            constraints += within(near, law) if isinstance(near, Near) else [law == problem.py]
        objective = CLASSIFICATION_LOSS if least_loss else question.objective
        excess: Any = cp.Variable()
        limited: dict[int, Any] = {}
        units = (self.scale, 1.0, 1.0)
        for q, budget, most in zip(QUANTITIES, question.budgets, question.most, strict=True):
            if q is objective or weights is not None or budget >= most * (1.0 - MARGINS[0]):
                continue
            limit = budget / units[q.place]
            limit -= min(margin, 1e-3 * limit) if not (least_loss or beyond) else 0.0
            limited[q.place] = forms[q.place] <= limit + (excess if beyond else 0.0)
        goal = excess if beyond else forms[objective.place]
        if weights is not None:
            sizes = [w * unit for w, unit in zip(weights, units, strict=True)]
            goal = sum(size / max(sizes) * form for size, form in zip(sizes, forms, strict=True) if size > 0.0)
        program = cp.Problem(cp.Minimize(goal), [*constraints, *limited.values()])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                program.solve(solver="CLARABEL", **SHARP)
            except (cp.SolverError, ArithmeticError, ValueError):
                return None
        if program.status not in ("optimal", "optimal_inaccurate") or P.value is None or rows.dual_value is None:
            return None
        worth = np.zeros(3)
        worth[objective.place] = float(not beyond)
        for place, constraint in limited.items():
            worth[place] = max(0.0, float(np.ravel(constraint.dual_value)[0]))
        f, found = (
            -np.asarray(rows.dual_value, dtype=np.float64),
            np.maximum(np.asarray(P.value, dtype=np.float64), 0.0),
        )
        if weights is not None:
            w, alpha, beta = weights
            return found, Leaf(f * max(sizes), alpha, beta, w)
        worth[0] /= self.scale
        if objective.place == 0 and not beyond:
            f, worth = f * self.scale, worth * self.scale
        if worth[RATE.place] < 1e-9 * self.scale:
            worth[RATE.place] = 0.0
        return found, Leaf(f, float(worth[1]), float(worth[2]), float(worth[0]))
