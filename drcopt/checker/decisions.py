"""Files whose classification loss is that of the best decision about S, not H(S|Y).

A table ℓ(s, a) ≥ 0 says what action a costs in class s. With ℓ̄(x, a) = Σ_s p(s|x) ℓ(s, a) a
coupling has the loss Σ_y min_a Σ_x P(x, y) ℓ̄(x, a). Choose a best action for every letter: a
tree that asks whether it is a, or another, has a leaf for every coupling, and there

  w E d + α I + β loss ≥ Σ f px + Σ_y py(y) V_y,
  V_y = min over the actions a left to y of the least over pmfs p of
        ⟨w d(·,y) + β ℓ̄(·,a) − f, p⟩ + α D(p‖px) = −α log Σ px exp((f − w d(·,y) − β ℓ̄(·,a))/α).

A mixture of maps f has that as well, and for multipliers ν of letters

  w E d + α H(Y|U) + β loss ≥ Σ_y py(y) ν_y + min_f [ Σ_x px (w d(x,f(x)) − ν(f(x)))
        + α H(f(X)) + β Σ_y min_a Σ_{f(x)=y} px ℓ̄(x,a) ].

Who reads the message, or knows the map, may act differently where Y is the same: there a tree is
one leaf. In time-sharing, where the parts of a mixture may lie in different leaves, these have the
same weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from flint import arb

from drcopt.checker.balls import ball, least
from drcopt.checker.evidence import WEIGHTS, Evidence, kind_of
from drcopt.checker.halfspaces import HalfSpace, Region, always
from drcopt.checker.problem import Problem
from drcopt.checker.schema import Split, array, leaves, positive, tree


class Decisions:
    """The loss of the best decision; ``least`` and ``most`` are what it can be at all."""

    def __init__(self, losses: Any, p: Problem) -> None:
        self.p, table = p, array(losses, p.k, None, read=positive)
        self.table = ball(table)
        self.actions = self.table.shape[1]
        self.expected = p.W @ self.table
        self.least = p.PX @ np.array([least(row) for row in self.expected])
        self.most = arb(min(p.px @ (p.w @ table)))
        error = np.array_equal(self.table, ball(1 - np.eye(p.k, dtype=int)))
        self.name = "Bayes error" if error else "loss of the best decision"

    def loss(self, P: Any) -> Any:
        """Of a coupling of balls; that of one action for all, if it is not known to be less."""
        found = sum((least(column) for column in (self.expected.T @ P).T), arb(0))
        return found if found <= self.most else self.most

    def region(self, evidence: Any, reader: Evidence, kind: str, still: bool) -> Region:
        """What a file's evidence proves; ``still``: the points have X and Y independent."""
        p, name = self.p, kind_of(evidence)
        everywhere = [h for h in always(p) if h.weights[2].is_zero()]
        zero, one = arb(0), arb(1)
        everywhere.append(HalfSpace((zero, zero, one, zero), self.least))
        if name == "stranded":
            everywhere += reader.stranded(evidence)
        if name == "independent" and still:
            everywhere.append(reader.alone(evidence))
            everywhere.append(HalfSpace((zero, zero, one, zero), self.most))
        if name == "action-tree":
            reader.spend(len(evidence["nodes"]) * p.m * self.actions * (p.n + 8.0))
            nodes = self.tree(evidence["nodes"])
            left = list(self.left(nodes))
            reader.maps = sum("nu" in leaf for leaf, _ in left)
            # The letters of a message that are one letter of Y may differ in their best actions.
            mute = (reader.message or reader.by_part) and len(nodes) > 1
            # What is proved of maps is not of couplings.
            mute |= reader.maps > 0 and kind != "one-shot"
            # The parts of a mixture may lie in different leaves, whose weights are then to agree.
            weights = [[leaf.get(key) for key in WEIGHTS] for leaf, _ in left]
            mute |= kind == "time-sharing" and weights[:1] * len(weights) != weights
            if not mute:
                found = [self.half_space(reader, leaf, actions) for leaf, actions in left]
                return Region(everywhere, found, reader.note)
        return Region(everywhere, [])

    def tree(self, nodes: Any) -> list[Any]:
        """The nodes of a tree, every one of them checked."""
        found = tree(nodes, self.p.m, self.actions, "leaf of an action tree", lambda _: None)
        for leaf in leaves(found):
            name, size = ("f", self.p.n) if "f" in leaf else ("nu", self.p.m)
            array(leaf[name], size)
        return found

    def left(self, nodes: list[Any]) -> Iterator[tuple[Any, Any]]:
        """The leaves with the actions (m, A) left to every letter, those without any left out."""
        stack = [np.ones((self.p.m, self.actions), dtype=bool)]
        for node in nodes:
            left = stack.pop()
            if isinstance(node, Split):
                only, without = left.copy(), left.copy()
                only[node.y] &= np.arange(self.actions) == node.s
                without[node.y, node.s] = False
                stack += [without, only]  # what comes first in the file is last on the stack
            elif left.any(axis=1).all():
                yield node, left

    def half_space(self, reader: Evidence, leaf: Any, left: Any) -> HalfSpace:
        """Of a leaf and the actions left to every letter."""
        p = self.p
        multipliers = positive(leaf["rate"]), positive(leaf["classification"])
        share, alpha, beta = weights = [arb(w) for w in (reader.weight(leaf), *multipliers)]
        omega, level = (positive(leaf.get(key, "0")) for key in ("perception", "level"))
        if "nu" in leaf:
            nu = ball(array(leaf["nu"], p.m))
            linear = (p.PX[:, None] * (share * p.D - nu)).astype(float)
            costs = (p.PX[:, None] * self.expected).astype(float)
            gamma = np.full(p.m, float(beta))
            found = nu
            value = reader.least_map(linear, float(alpha), gamma, (costs, left))
        else:
            f = ball(array(leaf["f"], p.n))
            found = self.prices(share * p.D - f[:, None], alpha, beta, left)
            value = f @ p.PX
        value += reader.over_laws(found, omega, level)
        return HalfSpace((*weights, arb(omega)), value)

    def prices(self, costs: Any, alpha: Any, beta: Any, left: Any) -> Any:
        """V of every letter, 0 of those without mass."""
        p, found = self.p, []
        for y, (x, actions) in enumerate(zip(p.origins, left, strict=True)):
            if not len(x):  # without mass, or nothing has any
                found.append(arb(0))
                continue
            each = costs[x, y][:, None] + beta * self.expected[np.ix_(x, actions)]
            found.append(least(softmin(p.PX[x], column, alpha) for column in each.T))
        return np.array(found)


def softmin(px: Any, costs: Any, alpha: Any) -> Any:
    """The least of ⟨c, p⟩ + α D(p‖px) over pmfs p."""
    value = least(costs)
    if alpha > 0:
        weights = px * np.array([((value - c) / alpha).exp() for c in costs])
        value -= alpha * weights.sum().log()
    return value
