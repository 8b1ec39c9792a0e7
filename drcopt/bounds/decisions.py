"""The dual bound where C limits the loss of the best decision: k softmins a letter, exact.

For multipliers f and weights w, α, β ≥ 0 every coupling has

  w E d + α I + β Σ_y min_a Σ_x P(x, y) ℓ̄(x, a) ≥ Σ_x f px + Ψ(g),
  g_y = min_a min_p [ ⟨w d(·,y) + β ℓ̄(·,a) − f, p⟩ + α D(p‖px) ],

ℓ̄(x, a) = Σ_s p(s|x) ℓ(s, a), the inner minimum −α log Σ px exp(−·/α). Every letter has some best action, so a tree that
restricts letter y to action a, or to any but a, covers all couplings. Without a split the bound holds where the message
is read too, and is its exact value.

Mixtures of maps with weights λ_f have that as well, as H(Y|U) ≥ I(X;Y); sharper is, for multipliers ν of letters,

  w E d + α H(Y|U) + β loss ≥ Ψ(ν) + min_f [ Σ_x px (w d(x,f(x)) − ν(f(x))) + α H(f(X)) + β Σ_y L_y(f⁻¹(y)) ],
  L_y(A) = min_a Σ_{x∈A} px ℓ̄(x, a),

over the actions left to y: the loss of the average is no less than the average of the losses. Where who decides knows
the map, the loss is that average, and without a split nothing is lost.

In time-sharing every part satisfies the inequality of some leaf: where all have the same weights, so does the average.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drcopt.bounds.maps import MapPricing
from drcopt.bounds.posterior import Leaf
from drcopt.bounds.pricing import price
from drcopt.formulations import Decided, MapDecisions, Question, SharedDecisions
from drcopt.problem import Standard
from drcopt.questions import Piece, lowered
from drcopt.support.check import FloatArray

Actions = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class MapActions:
    """Multipliers for maps: ν of letters, shape (m,), and the weights α of the rate, β of the loss and w of E d."""

    nu: FloatArray
    rate: float
    classification: float
    distortion: float = 0.0


@dataclass(frozen=True, eq=False)
class ActionSplit:
    """Points where ``a`` is a best action for letter ``y`` in ``only``, those where another is in ``without``."""

    y: int
    a: int
    only: ActionNode
    without: ActionNode


ActionNode = Leaf | MapActions | ActionSplit


@dataclass(frozen=True, eq=False)
class ActionTree:
    """Evidence: a tree of actions that letters may have, with multipliers at its leaves."""

    root: ActionNode

    def bound(self, question: Question) -> float:
        """The least leaf bound."""
        if not isinstance(question, Decided):
            return -math.inf
        if isinstance(self.root, ActionSplit) and not question.split:
            return -math.inf  # one letter may have several actions
        pieces: list[Piece] = []
        for node, allowed in self.nodes(question):
            if not isinstance(node, ActionSplit):
                pieces.append(action_piece(question, node, allowed))
            elif not (0 <= node.y < allowed.shape[0] and 0 <= node.a < allowed.shape[1]):
                return -math.inf  # a split of nothing
        if isinstance(question, SharedDecisions) and len({p.weights for p in pieces if p.level < math.inf}) > 1:
            return -math.inf  # the parts of a mixture may lie in different leaves
        return min(map(question.bound, pieces))

    def nodes(self, question: Decided) -> Iterator[tuple[ActionNode, Actions]]:
        """The nodes with the actions (m, A) left to letters there, a split before what it splits into."""
        every = np.full((question.problem.m, question.losses.shape[1]), True)
        stack: list[tuple[ActionNode, Actions]] = [(self.root, every)]
        while stack:
            node, allowed = stack.pop()
            yield node, allowed
            if isinstance(node, ActionSplit):
                only, without = allowed.copy(), allowed.copy()
                only[node.y] &= np.arange(allowed.shape[1]) == node.a
                without[node.y, node.a] = False
                stack += [(node.without, without), (node.only, only)]

    def framed(self, change: Standard) -> ActionTree:
        """Found for the problem as it is: itself."""
        return self


def action_piece(question: Decided, leaf: Leaf | MapActions, allowed: Actions) -> Piece:
    """The half-space of all points whose letters have a best action among those ``allowed`` (m, A)."""
    if isinstance(leaf, MapActions):
        return map_piece(question, leaf, allowed)
    problem, f = question.problem, np.asarray(leaf.f, dtype=np.float64)
    w, alpha, beta = weights = float(leaf.distortion), float(leaf.rate), float(leaf.classification)
    if not (f.shape == (problem.n,) and np.isfinite(f).all() and all(0 <= v < math.inf for v in weights)):
        return Piece((0.0, 0.0, 0.0), -math.inf)
    least, most = letter_prices(question, leaf, allowed)
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


def letter_prices(question: Decided, leaf: Leaf, allowed: Actions) -> tuple[FloatArray, float]:
    """g of every letter, inf where no action is left, and the largest of what it is the least of."""
    problem, expected = question.problem, question.expected
    finite = leaf.distortion * np.where(problem.forbidden, 0.0, problem.d) - np.asarray(leaf.f)[:, None]
    cost = np.where(problem.forbidden, math.inf, finite)
    least = np.full(problem.m, math.inf)
    for a in range(expected.shape[1]):
        y = np.flatnonzero(allowed[:, a])
        if len(y):
            priced = price(
                problem, cost[:, y] + leaf.classification * expected[:, a : a + 1], float(leaf.rate), 0.0, None
            )
            least[y] = np.minimum(least[y], priced.lower)
    return least, float(np.abs(finite).max()) + float(leaf.classification) * float(np.abs(expected).max())


@dataclass(frozen=True, eq=False)
class ActionLoss:
    """L_y(A) = min_a P(X∈A) E[ℓ(S, a)|X∈A] over the actions ``allowed`` (m, A) for y; ``losses`` (k, A)."""

    losses: FloatArray
    allowed: Actions

    def of(self, joint: FloatArray, letters: NDArray[np.intp]) -> FloatArray:
        """See :class:`drcopt.bounds.maps.CellLoss`."""
        return np.asarray(np.where(self.allowed[letters], joint @ self.losses, math.inf).min(axis=-1))

    def table(self, joint: FloatArray) -> FloatArray:
        """See :class:`drcopt.bounds.maps.CellLoss`."""
        costs = self.losses.T @ joint
        alike = (self.allowed == self.allowed[:1]).all()
        return np.array([costs[row].min(axis=0) for row in (self.allowed[:1] if alike else self.allowed)])


def map_piece(question: Decided, leaf: MapActions, allowed: Actions, pricing: MapPricing | None = None) -> Piece:
    """The same from multipliers for maps; ``pricing``: of this problem with the losses of these actions."""
    problem, nu = question.problem, np.asarray(leaf.nu, dtype=np.float64)
    w, alpha, beta = float(leaf.distortion), float(leaf.rate), float(leaf.classification)
    usable = nu.shape == (problem.m,) and np.isfinite(nu).all() and all(0 <= v < math.inf for v in (w, alpha, beta))
    if not (usable and isinstance(question, MapDecisions) and not problem.forbidden.any()):
        return Piece((0.0, 0.0, 0.0), -math.inf)
    if not allowed.any(axis=1).all():
        return Piece((w, alpha, beta), math.inf)  # every letter has some best action
    if pricing is None:
        pricing = MapPricing(problem, ActionLoss(question.losses, allowed))
    linear = problem.px[:, None] * (w * problem.d - nu)
    least, _ = pricing.least(linear, alpha, np.full(problem.m, beta), 0)
    level = lowered(
        math.fsum([question.law.least(nu), least]),
        float(np.abs(linear).max(axis=1).sum()) + float(np.abs(nu).max()),
        alpha * math.log(problem.n + problem.m + 1.0),
        beta * float(np.abs(question.expected).max()),
    )
    return Piece((w, alpha, beta), level)


@dataclass(frozen=True, eq=False)
class AtNoRate:
    """Evidence: at R = 0 E d is that of one letter for all, or of the given law, and the loss that of one action."""

    def bound(self, question: Question) -> float:
        if not isinstance(question, Decided) or question.rate_budget > 0.0:
            return -math.inf
        problem = question.problem
        each = problem.px @ problem.d
        distortion = question.law.least(each)
        values = distortion, 0.0, float((problem.px @ question.expected).min())
        slack = [v * (1.0 - 64 * 2.0**-53 * (problem.n + 4)) for v in values]
        if any(v > b for v, b in zip(slack, question.budgets, strict=True)):
            return math.inf
        return slack[question.objective.place]

    def framed(self, change: Standard) -> AtNoRate:
        return self
