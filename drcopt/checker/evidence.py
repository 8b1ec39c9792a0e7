"""What evidence proves: half-spaces w·(E d, I, H) ≥ Λ that hold for points, leaf by leaf of a tree.

I stands for the rate of the formulation and H for its classification loss. The inequalities are in
the docstring of :mod:`drcopt.checker`; :mod:`.question` turns half-spaces into a bound.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import numpy as np
from flint import arb, fmpq

from drcopt.checker import schema
from drcopt.checker.balls import (
    NOTHING,
    ball,
    chords,
    eta,
    least,
    on_simplex,
    product,
    smaller,
)
from drcopt.checker.convexity import tangent_holds
from drcopt.checker.halfspaces import Boxes, HalfSpace, Region, always, leaves, on_losses
from drcopt.checker.maps import least_of_all
from drcopt.checker.perception import Perception
from drcopt.checker.problem import MOST_ROWS, Problem
from drcopt.checker.schema import array, positive

#: Most steps of a minimum over all maps, for one leaf and for all of them, and its largest table.
STEPS, ALL_STEPS, TABLE = 2e8, 2e10, 2**23
#: The kinds of evidence, and the fields of a posterior leaf that are weights of its half-space.
KINDS = (
    "posterior-tree",
    "map-tree",
    "cell-dual",
    "independent",
    "data-processing",
    "stranded",
    "action-tree",
)
WEIGHTS = ("distortion", "rate", "classification", "perception", "level")


def kind_of(evidence: Any) -> str | None:
    """The kind of a file's evidence, which has the fields of that kind."""
    if evidence is None:
        return None
    name = evidence["kind"] if isinstance(evidence, dict) and "kind" in evidence else evidence
    if name not in KINDS:
        raise ValueError(f"there is no evidence of kind {name!r:.40}")
    schema.record(name, evidence)
    return str(name)


def region(evidence: Any, reader: Evidence, kind: str, still: bool) -> Region:
    """What a file's evidence proves of the points of a formulation (``kind``).

    ``still``: these have X and Y independent.
    """
    p, name = reader.p, kind_of(evidence)
    if name == "independent" and still:
        losses = on_losses([arb(0)] * len(p.HS), p.HS)
        return Region([*always(p), reader.alone(evidence), *losses], [])
    if name == "stranded":
        return Region(always(p) + reader.stranded(evidence), [])
    if name == "data-processing" and kind != "one-shot":
        return Region([*always(p), *reader.data_processing()], [])
    if name == "cell-dual" and kind == "one-shot" and p.PY is not None:
        return Region([*always(p), reader.cell_dual(evidence)], [])
    if name == "map-tree" and kind == "one-shot":
        boxes = [p.whole if p.PY is None else p.reach(y) for y in range(p.m)]
        found = [
            reader.map_leaf(leaf, boxes) for leaf, boxes in leaves(p, reader.tree(evidence), boxes)
        ]
        return Region(always(p), found, reader.note)
    if name == "posterior-tree" and kind != "one-shot":
        nodes = reader.tree(evidence)
        # The posteriors that a message gives one letter may lie in different boxes.
        if not (reader.message and len(nodes) > 1):
            return Region(always(p), reader.half_spaces(nodes, kind == "time-sharing"))
    return Region(always(p), [])  # no evidence that needs more, or none for this formulation


class Evidence:
    """Reads evidence about a problem; ``note`` says what it could not do.

    ``sees``: what the classifier reads; the loss is an average over the parts of a mixture if that
    is "YU". ``budget``: operations on balls it may still ask for. ``own``: of which class the loss
    is, if one is minimised.
    """

    def __init__(
        self,
        p: Problem,
        perception: Perception | None,
        objective: str,
        sees: str,
        budget: float,
        version: int = schema.VERSION,
        own: int = 0,
    ) -> None:
        self.p, self.perception, self.objective = p, perception, objective
        self.by_part, self.message = sees == "YU", sees == "message"
        self.budget, self.note, self.version = budget, "", version
        self.own = own if objective == "classification-loss" else None
        self.maps = 0  # minima over maps that will be asked for

    def spend(self, operations: float) -> None:
        """Refuse evidence that asks for too much before any of it is done."""
        self.budget -= operations
        if self.budget < 0:
            raise ValueError("its evidence asks for more operations than are allowed")

    def tree(self, evidence: Any) -> list[Any]:
        """The nodes of a tree, every one of them checked."""
        p, kind = self.p, evidence["kind"]
        posterior = kind == "posterior-tree"
        name, read = ("posterior", self.multipliers) if posterior else ("map", self.map_multipliers)
        self.spend(len(schema.listed(evidence["nodes"])) * (p.m + 16.0 * p.k))
        nodes = schema.tree(evidence["nodes"], p.m, p.k, f"leaf of a {name} tree", read)
        found = schema.leaves(nodes)
        if posterior:
            letters = [letter for leaf in found for letter in leaf["cells"]]
            cells = sum(len(letter or [0]) for letter in letters)
            lifted = sum("convex" in node for letter in letters for node in letter or ())
            self.spend(cells * p.n * (p.k + 6.0) + len(found) * p.m * (p.n + 16.0))
            if lifted and self.version == 1:
                raise ValueError("its version is 1: a cell's own β₀ is of version 2")
            self.spend(lifted * (p.n * (2.0 * p.k**2 + 4.0 * p.k) + p.k**3))
            if self.perception is not None and self.perception.kind == "wasserstein":
                self.spend(len(found) * p.m**2)
            if any(positive(leaf["convex"]) for leaf in found):
                self.spend_on_contractions()
        else:
            self.maps = len(found)
            self.spend(len(found) * p.m * (p.n * (p.k + 4.0) + 4.0 * p.k))
        return nodes

    def spend_on_contractions(self) -> None:
        """What η of every class takes."""
        if self.p.n <= MOST_ROWS:
            self.spend(self.p.n**2 * (4.0 * self.p.k + 200.0 * len(self.p.names)))

    def data_processing(self) -> list[HalfSpace]:
        """η I + H ≥ H(S), for every class."""
        self.spend_on_contractions()
        return on_losses(self.p.contractions, self.p.HS)

    def cells(self, nodes: Any, leaf: str, name: str) -> list[Any]:
        """A tree of cells, likewise."""

        def read(node: Any) -> None:
            array(node[name], self.p.k)
            positive(node.get("convex", "0"))

        return schema.tree(nodes, 1, self.p.k, leaf, read)

    def weight(self, leaf: Any) -> Any:
        """Of E d in a leaf's half-space. A file about the distortion, or the loss, need not say 1,
        or 0.
        """
        return positive(leaf.get("distortion", "1" if self.objective == "distortion" else "0"))

    def alone(self, evidence: Any) -> HalfSpace:
        """What E d is at least where X and Y are independent, and letters have all pairs allowed;
        0 ≥ 1 where letters that must have mass do not.
        """
        p, zero, some = self.p, arb(0), self.p.allowed.all(axis=0)
        omega, x = (positive(evidence.get(key, "0")) for key in ("perception", "level"))
        if not some.any() or not (p.PY is None or some.all()):
            return HalfSpace((zero, zero, zero, zero), arb(1))
        cost = self.over_laws(p.PX @ p.D, omega, x, some)
        return HalfSpace((arb(1), zero, zero, arb(omega)), cost)

    def stranded(self, evidence: Any) -> list[HalfSpace]:
        """Letters of X with more mass than all that they may become: no point is left, 0 ≥ 1."""
        p = self.p
        letters = sorted({schema.index(x, p.n) for x in schema.listed(evidence["letters"])})
        reached = p.allowed[letters].any(axis=0)
        zero, one = arb(0), arb(1)
        if p.py is None:  # its law may put any mass there
            nowhere = not reached.any()
        else:
            nowhere = p.px[letters].sum() > sum(p.py[reached], fmpq(0))
        return [HalfSpace((zero, zero, zero, zero), one)] if nowhere else []

    def over_laws(self, g: Any, omega: Any, x: Any, some: Any = None) -> Any:
        """Something below ⟨g, q⟩ + ω φ(q, t) for every law q that Y may have, all of it on ``some``
        letters (by default those that come from any).
        """
        if self.p.PY is not None:
            return self.p.PY @ g
        used = self.p.allowed.any(axis=0) if some is None else some
        g = np.array([v.lower() for v in g[used]])
        if not len(g) or not all(v.is_finite() for v in g):
            return NOTHING
        return least(g) if self.perception is None else self.perception.least(g, arb(omega), arb(x))

    def multipliers(self, leaf: Any) -> tuple[Any, Any, Any, Any, Any, list[Any]]:
        """f, the weights of E d, I and the loss of every class, β₀ and the cells of each letter."""
        p = self.p
        alpha, beta0 = (positive(leaf[name]) for name in ("rate", "convex"))
        betas = [positive(text) for text in p.by_class(leaf["classification"])]
        if self.own is not None:
            betas[self.own] = fmpq(1)  # whatever is written
        trees = [
            nodes and self.cells(nodes, "cell of posteriors", "nu")
            for nodes in schema.listed(leaf["cells"], p.m)
        ]
        return ball(array(leaf["f"], p.n)), self.weight(leaf), alpha, betas, beta0, trees

    def half_spaces(self, nodes: list[Any], mixtures: bool) -> list[HalfSpace]:
        """Those of the leaves of a tree, of which each point satisfies one."""
        found = list(leaves(self.p, nodes, self.p.boxes))
        if not mixtures:
            return [self.posterior_leaf(leaf, boxes) for leaf, boxes in found]
        # The parts of a mixture may lie in different leaves: with shared weights, its law pays for
        # each letter at least what that costs in the cheapest.
        weights = [[leaf.get(key) for key in WEIGHTS] for leaf in schema.leaves(nodes)]
        if weights.count(weights[0]) < len(weights):
            return []
        if self.p.PY is not None:  # so does each of them
            return [self.posterior_leaf(leaf, boxes) for leaf, boxes in found]
        costs = [self.letters(leaf, boxes) for leaf, boxes in found]
        sums = [value + np.array(g) for _, value, g in costs]
        cheapest = reduce(np.frompyfunc(smaller, 2, 1), sums) if sums else None
        return [self.half_space(found[0][0], costs[0][0], arb(0), cheapest)] if sums else []

    def posterior_leaf(self, leaf: Any, boxes: Boxes) -> HalfSpace:
        """The bound of :mod:`drcopt.checker` at one leaf."""
        return self.half_space(leaf, *self.letters(leaf, boxes))

    def half_space(self, leaf: Any, weights: Any, value: Any, g: Any) -> HalfSpace:
        """``value`` and what the letters cost, with the weights of a leaf."""
        omega, x = (positive(leaf.get(key, "0")) for key in ("perception", "level"))
        *own, more = weights
        weights = (*own, arb(omega), *more)
        return HalfSpace(weights, value + self.over_laws(g, omega, x))

    def letters(self, leaf: Any, boxes: Boxes) -> tuple[Any, Any, Any]:
        """The weights of E d, I, H and (in a list) of further losses, Σ f px, and the V_y of
        :mod:`drcopt.checker`.
        """
        p, (f, weight, rate, betas, convex, trees) = self.p, self.multipliers(leaf)
        share, alpha, beta, beta0 = map(arb, (weight, rate, sum(betas, fmpq(0)), convex))
        # β and β₀ are those of all classes, of which each has its share.
        shares = ball([b / sum(betas, fmpq(0)) if b else fmpq(0) for b in betas])
        if not beta0 <= beta or (beta0 > 0 and not beta0 * (shares @ p.contractions) <= alpha):
            beta0 = arb(0)
        by_column = np.repeat(shares, [c.stop - c.start for c in p.columns])
        found: list[Any] = []
        for y, (box, nodes) in enumerate(zip(boxes, trees, strict=True)):
            if not len(p.origins[y]):  # without mass, or nothing has any
                found.append(arb(0))
                continue
            costs, cells = share * p.D[:, y] - f, leaves(p, nodes or [{"nu": ["0"] * p.k}], [box])
            found.append(
                least(
                    self.on_cell(p.behind[y], costs, alpha, (beta0, beta, by_column), node, cell)
                    for node, (cell,) in cells
                )
            )
        return (share, alpha, arb(betas[0]), ball(betas[1:])), f @ p.PX, np.array(found)

    def on_cell(self, come: Any, costs: Any, alpha: Any, losses: Any, node: Any, cell: Any) -> Any:
        """The inequality for V_y of :mod:`drcopt.checker`, for a letter with these origins.

        ``losses``: β₀, β, and for every column of W the share of these that its class has.
        """
        (beta0, beta, shares), (low, high) = losses, ball(cell.T)
        nu = ball(array(node["nu"], self.p.k))
        scores, slopes = product(come.rows, nu) - costs[come.x], nu
        value = least(-scores)
        if alpha > 0:
            weights = come.PX * np.array([(t / alpha).exp() for t in scores + value])
            total = weights.sum()
            value -= alpha * total.log()
            own = arb(positive(node.get("convex", "0")))
            some = come.classes & (shares > 0)
            if beta0 < own <= beta:
                # A class drawn at random has the channel W times the shares.
                drawn, lows, highs = (v[..., some] * shares[some] for v in (come.W, low, high))
                if tangent_holds(drawn, weights / total, own / alpha, lows, highs):
                    beta0 = own
            if beta0 > 0:
                # A class that none of the letters has is 0 on the cell: its slope does not count.
                pairs = zip(product(come.columns, weights) / total, some, strict=True)
                logs = np.array([t.log() if here else arb(0) for t, here in pairs])
                slopes = nu - beta0 * shares * logs
        if beta > beta0:
            a, b = chords(low, high)
            rest = (beta - beta0) * shares
            value, slopes = value + rest @ a, slopes + rest * b
        for c in self.p.columns:
            value += on_simplex(slopes[c], low[c], high[c])
        return value

    def map_multipliers(self, leaf: Any) -> tuple[Any, ...]:
        """The weight of E d, then ν, α, γ, β and c of :mod:`drcopt.bounds.maps`."""
        p = self.p
        gamma, beta = (
            array(leaf[name], p.m, read=positive) for name in ("conditional", "posterior")
        )
        slopes = array(leaf["slopes"], p.m, p.k)
        return (
            self.weight(leaf),
            array(leaf["nu"], p.m),
            positive(leaf["rate"]),
            gamma,
            beta,
            slopes,
        )

    def map_leaf(self, leaf: Any, boxes: Boxes) -> HalfSpace:
        """The bound in :mod:`drcopt.bounds.maps` at one leaf."""
        p, (share, *vectors) = self.p, self.map_multipliers(leaf)
        nu, alpha, gamma, beta, slopes = map(ball, vectors)
        share, alpha, most = arb(share), arb(vectors[1]), -least(-beta - gamma)
        if self.by_part and any(b > 0 for b in beta):
            return HalfSpace(
                (share, alpha, most, arb(0)), NOTHING
            )  # a classifier that sees U has no budget for H(S|Y)
        letters = nu.copy()
        for y, box in enumerate(boxes):
            ends = beta[y] * eta(box) - slopes[y][:, None] * ball(box)
            letters[y] += sum(map(smaller, *ends.T))
        omega, x = (positive(leaf.get(key, "0")) for key in ("perception", "level"))
        value = self.over_laws(letters, omega, x)
        linear = p.PX[:, None] * (share * p.D - nu + p.W @ slopes.T)
        value += self.least_map(linear.astype(float), float(alpha), gamma.astype(float))
        return HalfSpace((share, alpha, most, arb(omega)), value)

    def least_map(self, linear: Any, alpha: float, gamma: Any, actions: Any = None) -> Any:
        """The least over all mⁿ maps, in doubles: no sum exceeds ``size``, and 4n + 16m + 32
        roundings come off.

        ``actions``: what they cost, (n, A), and which are left to letters, (m, A), if the loss of a
        cell is that of the best of them in place of an entropy.

        Costs beyond a row's least by more than all rates and losses weigh, which no least map
        takes, are lowered to that: it lowers nothing but what rounding comes to.
        """
        p = self.p
        most, wide = math.log(p.k + 2), p.k + 1
        if actions is not None:
            most, wide = actions[0].max(axis=1).sum(), actions[0].shape[1]
        weigh = alpha * math.log(p.n + 2) + gamma.max() * most
        linear = np.minimum(linear, linear.min(axis=1, keepdims=True) + weigh)
        size = np.abs(linear).max(axis=1).sum() + weigh + 1e-290
        steps = max(p.m - 2, 0) * 3.0**p.n
        if (
            steps > STEPS
            or steps * self.maps > ALL_STEPS
            or max(p.m, wide, p.k + 1) * 2.0**p.n > TABLE
        ):
            self.note = f"; a minimum over {p.m}^{p.n} maps is out of reach" * bool(
                alpha > 0 or gamma.any()
            )
            found = linear.min(axis=1).sum()  # what it is without rates and losses, which are ≥ 0
        else:
            found = least_of_all(p, linear, alpha, gamma, actions)
        return arb(float(found)) - (2 * p.n + 8 * p.m + 16) * arb(float(size)) / 2**52

    def cell_dual(self, dual: Any) -> HalfSpace:
        """The bound in :mod:`drcopt.bounds.cells`: given the slopes b, the best sets go by cost per
        mass.
        """
        p, f, nu = self.p, ball(array(dual["f"], self.p.n)), ball(array(dual["nu"], self.p.m))
        share, alpha, gamma = map(
            arb, (self.weight(dual), positive(dual["rate"]), positive(dual["conditional"]))
        )
        self.spend(sum(map(len, dual["cells"])) * p.n * (p.k + 16.0) + p.n * p.m)
        value = p.PX @ f + p.PY @ nu
        for y, nodes in enumerate(schema.listed(dual["cells"], p.m)):
            values = [arb(0)]
            for node, (cell,) in leaves(p, self.cells(nodes, "cell of sets", "slopes"), [p.whole]):
                b = ball(array(node["slopes"], p.k))
                base = sum(map(smaller, *(eta(cell) - b[:, None] * ball(cell)).T))
                # Cost per mass, rounded down so that their order is known.
                ratios = np.array(
                    [c.lower() for c in share * p.D[:, y] - f - nu[y] + gamma * (p.W @ b)]
                )
                order = np.argsort(ratios)
                mass, total = np.cumsum(p.PX[order]), np.cumsum((p.PX * ratios)[order])
                values += list(total + gamma * base * mass + alpha * eta(mass))
            value += least(values)
        return HalfSpace((share, alpha, gamma, arb(0)), value)
