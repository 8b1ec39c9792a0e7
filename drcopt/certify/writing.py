"""How the evidence of a proof file is written, with the cells that let a checker prove as much in balls."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr

from drcopt.bounds import DataProcessing, Evidence, Independent, Leaf, OfClass, PosteriorTree, Stranded
from drcopt.bounds.cells import CellDual
from drcopt.bounds.decisions import ActionSplit, ActionTree, AtNoRate, MapActions, letter_prices
from drcopt.bounds.maps import MapLeaf, MapNode, MapTree, cut, posterior_box
from drcopt.bounds.posterior import weights_of, whole_box
from drcopt.bounds.pricing import Drawn, cut_classes
from drcopt.bounds.pricing.gibbs import softmin
from drcopt.certify import cells as _cells
from drcopt.certify.cells_of_sets import choose_for_sets
from drcopt.formulations import Decided, Question
from drcopt.problem import Problem
from drcopt.questions import DISTORTION, Near, Quantity
from drcopt.stakes import Stakes
from drcopt.support.check import FloatArray

#: A bound claimed is weaker than the one known by this times max d at least: room for rounding.
ROOM = 1e-12
#: A rate that counts for no more than this, relative to costs and multipliers, is left out.
_NO_RATE = 1e-15


def _normalised(leaf: Leaf, objective: Quantity) -> Leaf:
    """The leaf with a weight of 1 for the objective, if it has any."""
    weight = weights_of(leaf)[objective.place]
    if weight in (0.0, 1.0):
        return leaf
    return Leaf(leaf.f / weight, leaf.rate / weight, leaf.classification / weight, leaf.distortion / weight)


def number(value: float) -> str:
    """A double as the format writes it."""
    return float(value).hex() if math.isfinite(value) else str(float(value))


def numbers(values: ArrayLike) -> Any:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0:
        return number(float(array))
    return [numbers(row) for row in array] if array.ndim > 1 else [number(v) for v in array.tolist()]


@dataclass(frozen=True, eq=False)
class _Sharing:
    """Letters of Y that may come from the same letters of X, and the problem of these alone."""

    letters: np.ndarray
    origins: np.ndarray
    problem: Problem
    #: Of px on the origins: D(p‖px) is larger than in that problem by minus this.
    log_mass: float

    def within(self, boxes: FloatArray) -> FloatArray:
        """Boxes (J, k, 2) cut to the posteriors that there are."""
        whole = whole_box(self.problem)[:1]
        return np.stack([np.maximum(boxes, whole)[..., 0], np.minimum(boxes, whole)[..., 1]], axis=-1)


def _sharing(problem: Problem, drawn: Problem) -> Iterator[_Sharing]:
    """The letters of Y by where they may come from: all of them at once where nothing is forbidden."""
    if not problem.forbidden.any():
        yield _Sharing(np.arange(problem.m), np.arange(problem.n), drawn, 0.0)
        return
    patterns, which = np.unique(~problem.forbidden, axis=1, return_inverse=True)
    for place, allowed in enumerate(patterns.T):
        letters, x = np.flatnonzero(np.ravel(which) == place), np.flatnonzero(allowed)
        if len(x):
            mass = float(problem.px[x].sum())
            law = np.full(len(letters), 1.0 / len(letters))
            alone = Problem(problem.px[x] / mass, law, drawn.ps_given_x[x], np.zeros((len(x), len(letters))))
            yield _Sharing(letters, x, alone, math.log(mass))


def _written(tree: _cells.CellTree, drawn: Drawn | None = None, k: int = 0) -> list[dict[str, Any]]:
    """A tree of cells with its numbers as text; of a class drawn at random as one of those it is drawn from."""

    def cell(name: str, value: Any) -> Any:
        if drawn is None or name != "nu":
            return numbers(value)
        nu = np.zeros(k)
        nu[drawn.columns] = drawn.weights * value
        return numbers(nu)

    def split(s: int, at: float) -> dict[str, Any]:
        own, share = (s, 1.0) if drawn is None else (int(drawn.columns[s]), float(drawn.weights[s]))
        return {"s": own, "at": number(at / share)}

    return [
        split(node["s"], node["at"]) if "at" in node else {name: cell(name, value) for name, value in node.items()}
        for node in tree
    ]


def has_own_shares(evidence: dict[str, Any] | None) -> bool:
    """Whether a cell has a β₀ of its own, which is of version 2."""
    letters = [cells for node in (evidence or {}).get("nodes", []) for cells in node.get("cells", ())]
    return any("convex" in cell for cells in letters for cell in cells or ())


def by_class(problem: Problem, values: Sequence[float] | FloatArray) -> Any:
    """A number for every class: by name where there are several."""
    if problem.classes is None:
        return number(float(values[0]))
    return {name: number(float(value)) for name, value in zip(problem.classes, values, strict=True)}


class Writer:
    """Writes evidence with the cells that let the checker prove a bound of ``goal`` if there is one.

    ``reached`` is what the cells give, in doubles (inf where the checker needs none). Cells are chosen for a d that is
    nowhere larger (``relaxed``) if there is one: outliers would drown the rest in rounding, and prove no less.
    """

    def __init__(self, formulation: Question, goal: float, relaxed: Problem | None = None) -> None:
        self.formulation, self.problem, self.goal = formulation, formulation.problem, goal
        self.d = np.where(self.problem.forbidden, math.inf, (relaxed or self.problem).d)
        self.reached = math.inf
        #: Whether the parts of a point may lie in different leaves, and their laws differ; and of every leaf of the
        #: tree being written Σ f px with what each letter costs (m,).
        self.mixes = formulation.name == "time-sharing" and formulation.laws is not None
        self.costs: list[FloatArray] = []
        #: The weight of E d that a file need not say.
        self.unsaid = float(formulation.objective is DISTORTION)
        #: Where the budget on what is minimised is ``limit``: the perception that leaves prove to be missed.
        self.limit, self.farther = 0.0, math.inf

    def bound(self, weights: tuple[float, ...], level: float) -> float:
        """What a half-space says of the objective, without the care for rounding that a proof takes."""
        rest = level - float(np.dot(weights, self.formulation.caps))
        weight = weights[self.formulation.objective.place]
        return rest / weight if weight > 0 else math.copysign(math.inf, rest)

    def share(self, weight: float) -> dict[str, str]:
        """The weight of E d, where it is not the one that a file about this objective need not say."""
        return {} if weight == self.unsaid else {"distortion": number(weight)}

    def law(self, weights: tuple[float, ...], rest: float, g: FloatArray) -> dict[str, str]:
        """The multipliers with which perception bounds ⟨g, q⟩ in a half-space with these weights."""
        laws, question = self.formulation.laws, self.formulation
        if not isinstance(laws, Near) or not np.isfinite(g).all():
            return {}
        answer = laws.answer(g)
        if not answer.weight > 0:
            return {}
        terms = [rest, answer.value, *(-w * cap for w, cap in zip(weights, question.caps, strict=True))]
        terms += [answer.weight * laws.budget, -weights[question.objective.place] * self.limit]
        slack = 1e-13 * sum(map(abs, terms))
        self.farther = min(self.farther, (math.fsum(terms) - slack) / answer.weight)
        return {"perception": number(answer.weight), "level": number(answer.level)}

    def evidence(self, evidence: Evidence | None) -> dict[str, Any] | None:
        """Evidence of any kind."""
        if evidence is None:
            return None
        if isinstance(evidence, OfClass):  # of no class in particular, once its trees are about all of them
            return self.evidence(evidence.evidence)
        if isinstance(evidence, PosteriorTree):
            return self.posterior_tree(evidence)
        if isinstance(evidence, MapTree):
            return self.map_tree(evidence)
        if isinstance(evidence, CellDual):
            return self.cell_dual(evidence)
        if isinstance(evidence, DataProcessing):
            return {"kind": "data-processing"}
        if isinstance(evidence, Stranded):
            return {"kind": "stranded", "letters": evidence.letters.tolist()}
        if isinstance(evidence, ActionTree):
            return self.action_tree(evidence)
        if isinstance(evidence, (AtNoRate, Independent)):
            return {"kind": "independent", **self.law((1.0, 0.0, 0.0), 0.0, self.problem.px @ self.problem.d)}
        raise TypeError(f"there is no way to write evidence of type {type(evidence).__name__}")

    def map_tree(self, tree: MapTree) -> dict[str, Any]:
        """Multipliers only; the checker's minimum over maps loses a few digits of the largest."""
        n, m, largest = self.problem.n, self.problem.m, 0.0
        nodes: list[dict[str, Any]] = []
        stack: list[tuple[MapNode, FloatArray]] = [
            (tree.root, posterior_box(self.problem, self.formulation.laws is None))
        ]
        while stack:
            node, box = stack.pop()
            if isinstance(node, MapLeaf):
                ends = node.posterior[:, None, None] * entr(box) - node.slopes[..., None] * box
                letters = node.nu + ends.min(axis=-1).sum(axis=-1)
                law = self.law((node.distortion, node.rate, 0.0), 0.0, letters)
                vectors = {name: numbers(getattr(node, name)) for name in ("nu", "conditional", "posterior", "slopes")}
                nodes.append(vectors | {"rate": number(node.rate)} | self.share(node.distortion) | law)
                sizes = np.abs(node.nu), np.abs(node.slopes), node.conditional, node.posterior, np.array([node.rate])
                largest = max(largest, sum(float(v.max(initial=0.0)) for v in sizes))
            else:
                nodes.append({"y": int(node.y), "s": int(node.s), "at": number(node.at)})
                for child, side in ((node.high, 0), (node.low, 1)):
                    stack.append((child, cut(box, node.y, node.s, side, node.at)))
        self.reached = min(self.reached, self.goal - (2 * n + 8 * m + 16) * 2.0**-50 * largest)
        return {"kind": "map-tree", "nodes": nodes}

    def cell_dual(self, dual: CellDual) -> dict[str, Any]:
        """Multipliers, and for each letter cells of class posteriors of sets."""
        problem = self.problem
        weights = (dual.distortion, dual.rate, dual.conditional)
        costs = problem.px * (dual.distortion * self.d - dual.f[:, None] - dual.nu).T
        rest = float(dual.f @ problem.px + dual.nu @ problem.py)

        def bound(least: FloatArray) -> float:
            return self.bound(weights, rest + float(least.sum()))

        trees, least = choose_for_sets(
            problem, costs, dual.rate, dual.conditional, lambda least: bound(least) >= self.goal
        )
        self.reached = min(self.reached, bound(least))
        return {
            "kind": "cell-dual",
            "f": numbers(dual.f),
            "nu": numbers(dual.nu),
            "rate": number(dual.rate),
            "conditional": number(dual.conditional),
            **self.share(dual.distortion),
            "cells": [_written(tree) for tree in trees],
        }

    def action_tree(self, tree: ActionTree) -> dict[str, Any]:
        """Multipliers only: the checker needs no more, and its minimum over maps loses a few digits of the largest."""
        nodes: list[dict[str, Any]] = []
        largest, n, m = 0.0, self.problem.n, self.problem.m
        asked = self.formulation
        assert isinstance(asked, Decided)
        most = float(asked.expected.max())
        for node, allowed in tree.nodes(asked):
            if isinstance(node, MapActions):
                leaf = {"nu": numbers(node.nu), "rate": number(node.rate)}
                leaf["classification"] = number(node.classification)
                leaf |= self.law((node.distortion, node.rate, node.classification), 0.0, node.nu)
                nodes.append(leaf | self.share(node.distortion))
                sizes = float(np.abs(node.nu).max()), node.rate, node.classification * most, node.distortion
                largest = max(largest, sum(sizes))
            elif not isinstance(node, ActionSplit):
                leaf = {"f": numbers(node.f), "rate": number(node.rate), "classification": number(node.classification)}
                weights, rest = (node.distortion, node.rate, node.classification), float(node.f @ self.problem.px)
                leaf |= self.law(weights, rest, letter_prices(asked, node, allowed)[0])
                nodes.append(leaf | self.share(node.distortion))
            else:
                nodes.append({"y": int(node.y), "a": int(node.a)})
        if largest > 0.0:
            self.reached = min(self.reached, self.goal - (2 * n + 8 * m + 16) * 2.0**-50 * largest)
        return {"kind": "action-tree", "nodes": nodes}

    def posterior_tree(self, tree: PosteriorTree) -> dict[str, Any]:
        """Splits, and leaves with their cells.

        The parts of a mixture may lie in different leaves: what bounds its law then bounds what a letter costs in the
        cheapest, with one multiplier for all.
        """
        nodes: list[dict[str, Any]] = []
        self.costs = []
        stack = [(tree.root, whole_box(self.problem))]
        while stack:
            node, box = stack.pop()
            if isinstance(node, Leaf):
                nodes.append(self.posterior_leaf(node, box))
                continue
            at = node.at * (1 if self.problem.classes is None else len(self.problem.classes))
            nodes.append({"y": int(node.y), "s": int(node.s), "at": number(at)})
            for child, side in ((node.high, 0), (node.low, 1)):
                part = box.copy()
                part[node.y, node.s, side] = (min if side else max)(part[node.y, node.s, side], node.at)
                stack.append((child, part))
        if self.mixes and len(self.costs) > 1:
            one = _normalised(next(leaf for leaf, _ in tree.leaves(self.problem)), self.formulation.objective)
            weights, g = weights_of(one), np.min(self.costs, axis=0)
            shared = self.law(weights, 0.0, g)
            level = self.formulation.law.least(g) if np.isfinite(g).all() else math.inf
            self.reached = self.bound(weights, level - 1e-13 * float(np.abs(g).max()))
            for written in nodes:
                if "f" in written:
                    written |= {"perception": "0", "level": "0"} | shared if shared or "perception" in written else {}
        return {"kind": "posterior-tree", "nodes": nodes}

    def posterior_leaf(self, leaf: Leaf, box: FloatArray) -> dict[str, Any]:
        """Multipliers, and for each letter cells of its class posterior unless the checker can do without."""
        problem = self.problem
        leaf = _normalised(leaf, self.formulation.objective)
        f, largest = np.asarray(leaf.f, dtype=np.float64), float(np.where(problem.forbidden, 0.0, self.d).max())
        if leaf.rate * -math.log(problem.px.min()) <= _NO_RATE * (leaf.distortion * largest + float(np.abs(f).max())):
            leaf = replace(leaf, rate=0.0)  # cells then end at corners, which with so little of the rate they miss
        weights = weights_of(leaf)
        alpha, betas = float(leaf.rate), np.array(weights[2:])
        # No more than the sum of what is written: a β₀ that exceeds it counts as 0.
        beta = math.fsum(betas) if len(betas) == 1 else math.nextafter(math.fsum(betas), 0.0)
        finite = leaf.distortion * np.where(problem.forbidden, 0.0, self.d).T - f
        size = Stakes(problem).scale if self.formulation.objective is DISTORTION else 1.0
        cells: list[Any] = [None] * problem.m
        prices = np.full(problem.m, math.inf)
        free = (box == whole_box(problem)).all(axis=(1, 2)) & (beta == 0 or problem.k == 1)
        cut = np.isin(np.arange(len(betas)), cut_classes(problem, box)).astype(np.float64)
        shares = betas if beta > 0 else cut
        drawn = Drawn.of(problem, shares if shares.any() else np.ones(len(betas)))
        convex, constant = _cells.convex_share(drawn.problem, alpha, beta), beta * drawn.entropy
        rest = float(f @ problem.px)
        room = 1e-13 * (abs(rest) + float(np.abs(finite).max()))
        parts = list(_sharing(problem, drawn.problem))
        for part in parts:
            costs = finite[np.ix_(part.letters, part.origins)]
            prices[part.letters] = softmin(costs.T, np.log(part.problem.px), alpha) - alpha * part.log_mass
        for part in parts:
            rows = part.letters[~free[part.letters]]
            if not len(rows):
                continue

            def bound(least: FloatArray, rows: Any = rows, paid: float = alpha * part.log_mass) -> float:
                prices[rows] = least - paid - constant
                empty = np.isposinf(least).any()  # a box without a posterior: no point lies there
                level = math.inf if empty else rest + self.formulation.law.least(prices) - room
                return self.bound(weights, level)

            trees, least = _cells.choose(
                part.problem,
                finite[np.ix_(rows, part.origins)],
                alpha,
                beta,
                convex,
                part.within(drawn.box(box[rows], problem)),
                0.25 * ROOM * size,
                # What one leaf of several proves by itself says nothing of a mixture: its cells are to be sharp.
                lambda least, bound=bound: not self.mixes and bound(least) >= self.goal,  # type: ignore[misc]
                drawn.sums,
            )
            self.reached = min(self.reached, bound(least)) if part is parts[-1] else self.reached
            for y, tree in zip(rows, trees, strict=True):
                cells[y] = _written(tree, drawn, problem.k)
        self.costs.append(rest + prices)
        return {
            "f": numbers(f),
            "rate": number(alpha),
            "classification": by_class(problem, betas),
            **self.share(leaf.distortion),
            **self.law(weights, rest, prices),
            "convex": number(convex),
            "cells": cells,
        }
