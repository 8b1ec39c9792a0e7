"""The dual bound where C limits the loss of the best decision: k softmins a letter, exact.

For multipliers f and weights w, α, β ≥ 0 every coupling has

  w E d + α I + β Σ_y min_a Σ_x P(x, y) ℓ̄(x, a) ≥ Σ_x f px + Ψ(g),
  g_y = min_a min_p [ ⟨w d(·,y) + β ℓ̄(·,a) − f, p⟩ + α D(p‖px) ],

ℓ̄(x, a) = Σ_s p(s|x) ℓ(s, a), the inner minimum −α log Σ px exp(−·/α). Every letter has some best action, so a tree that
restricts letter y to action a, or to any but a, covers all couplings. Without a split the bound holds where the message
is read too, and is its exact value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drcopt.bounds.posterior import Leaf
from drcopt.bounds.pricing import price
from drcopt.formulations import Decisions, MessageDecisions, Question
from drcopt.problem import Standard
from drcopt.questions import Piece, lowered
from drcopt.questions.output import Free


@dataclass(frozen=True, eq=False)
class ActionSplit:
    """Points where ``a`` is a best action for letter ``y`` in ``only``, those where another is in ``without``."""

    y: int
    a: int
    only: ActionNode
    without: ActionNode


ActionNode = Leaf | ActionSplit


@dataclass(frozen=True, eq=False)
class ActionTree:
    """Evidence: a tree of actions that letters may have, with multipliers at its leaves."""

    root: ActionNode

    def bound(self, question: Question) -> float:
        """The least leaf bound."""
        message = isinstance(question, MessageDecisions)
        if not message and not isinstance(question, Decisions):
            return -math.inf
        if message and isinstance(self.root, ActionSplit):
            return -math.inf  # one letter may have several actions
        assert isinstance(question, (Decisions, MessageDecisions))
        stack: list[tuple[ActionNode, NDArray[np.bool_]]] = [
            (self.root, np.full((question.problem.m, question.losses.shape[1]), True))
        ]
        least = math.inf
        while stack:
            node, allowed = stack.pop()
            if isinstance(node, Leaf):
                least = min(least, question.bound(action_piece(question, node, allowed)))
                continue
            if not (0 <= node.y < allowed.shape[0] and 0 <= node.a < allowed.shape[1]):
                return -math.inf  # a split of nothing
            only, without = allowed.copy(), allowed.copy()
            only[node.y] &= np.arange(allowed.shape[1]) == node.a
            without[node.y, node.a] = False
            stack += [(node.only, only), (node.without, without)]
        return least

    def framed(self, change: Standard) -> ActionTree:
        """Found for the problem as it is: itself."""
        return self


def action_piece(question: Question, leaf: Leaf, allowed: NDArray[np.bool_]) -> Piece:
    """The half-space of all points whose letters have a best action among those ``allowed`` (m, A)."""
    assert isinstance(question, (Decisions, MessageDecisions))
    problem, expected = question.problem, question.expected
    f, weights = np.asarray(leaf.f, dtype=np.float64), (leaf.distortion, leaf.rate, leaf.classification)
    w, alpha, beta = map(float, weights)
    if not (f.shape == (problem.n,) and np.isfinite(f).all() and all(0 <= v < math.inf for v in (w, alpha, beta))):
        return Piece((0.0, 0.0, 0.0), -math.inf)
    finite = w * np.where(problem.forbidden, 0.0, problem.d) - f[:, None]
    cost = np.where(problem.forbidden, math.inf, finite)
    least = np.full(problem.m, math.inf)
    for a in range(expected.shape[1]):
        y = np.flatnonzero(allowed[:, a])
        if len(y):
            priced = price(problem, cost[:, y] + beta * expected[:, a : a + 1], alpha, 0.0, None)
            least[y] = np.minimum(least[y], priced.lower)
    most = float(np.abs(finite).max()) + beta * float(np.abs(expected).max())
    if (empty := np.isposinf(least)).any():
        if question.laws is None or empty.all():
            return Piece((w, alpha, beta), math.inf)  # no point has such actions
        least = np.where(empty, float(least[~empty].max()) + 2.0 * most + 1.0, least)  # or less mass there
    level = lowered(
        math.fsum([*(f * problem.px), question.law.least(least)]),
        most + float(np.abs(f).max()),
        alpha * (float(-np.log(problem.px.min())) + 1.0) if problem.forbidden.any() else min(alpha, 2.0 * most),
        min(alpha, 2.0 * most) * float(-np.log(problem.px.min())),
    )
    return Piece((w, alpha, beta), level)


@dataclass(frozen=True, eq=False)
class AtNoRate:
    """Evidence: at R = 0 E d is that of one letter for all, or of the given law, and the loss that of one action."""

    def bound(self, question: Question) -> float:
        assert isinstance(question, (Decisions, MessageDecisions))
        if question.rate_budget > 0.0:
            return -math.inf
        problem = question.problem
        each = problem.px @ problem.d
        distortion = question.law.least(each) if isinstance(question.laws, Free) else math.fsum(problem.py * each)
        values = distortion, 0.0, float((problem.px @ question.expected).min())
        slack = [v * (1.0 - 64 * 2.0**-53 * (problem.n + 4)) for v in values]
        if any(v > b for v, b in zip(slack, question.budgets, strict=True)):
            return math.inf
        return slack[question.objective.place]

    def framed(self, change: Standard) -> AtNoRate:
        return self
