"""Proof files: everything needed to believe an answer, for ``drcopt check`` and :mod:`drcopt.checker` to verify.

``docs/proof-format.md`` is the specification. A claim's bounds are the certificate's, moved apart by :data:`ROOM` times
max d: the checker adds no tolerance, so room is left for the rounding of doubles. With many classes a lower bound is
weaker by up to :data:`SHORTFALL` times max d, or :data:`SHARE` of the gap.
"""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from drcopt import _cells
from drcopt._check import FloatArray
from drcopt._files import atomic_write
from drcopt.bounds import DataProcessing, Evidence, Independent, Leaf, PosteriorTree
from drcopt.bounds.base import effective_budgets
from drcopt.bounds.cells import CellDual
from drcopt.bounds.maps import MapLeaf, MapTree
from drcopt.bounds.posterior import whole_box
from drcopt.bounds.pricing.gibbs import softmin
from drcopt.formulations import Formulation, Part
from drcopt.problem import Problem

if TYPE_CHECKING:
    from drcopt.checker.question import Verdict

VERSION = 1
#: Each bound claimed is this times max d weaker than the certificate's, a lower bound with more than two classes as
#: much as SHORTFALL, or SHARE of the gap, where cells that prove more are too many.
ROOM, SHORTFALL, SHARE = 1e-12, 2e-8, 1e-3
#: A proof that C cannot be met may prove so much less than the least loss known, in nats.
EDGE_ROOM = 1e-7


class Certificate(Protocol):
    """What a proof is written from: see :class:`drcopt.certificate.Certificate`."""

    @property
    def formulation(self) -> Formulation: ...
    @property
    def parts(self) -> tuple[Part, ...] | None: ...
    @property
    def evidence(self) -> Evidence | None: ...
    @property
    def infeasibility(self) -> Evidence | None: ...
    @property
    def objective(self) -> str: ...
    @property
    def upper(self) -> float: ...
    @property
    def lower(self) -> float: ...
    @property
    def excess(self) -> float: ...
    @property
    def least_loss(self) -> float: ...
    @property
    def infeasible(self) -> bool: ...


def save(certificate: Certificate, path: str | os.PathLike[str]) -> None:
    """Write a proof file, whole or not at all.

    Raises
    ------
    InputError
        If ``path`` cannot be written.
    OutputError
        If writing fails half-way, as on a full disk.
    """
    text = json.dumps(to_dict(certificate), indent=None, separators=(",", ":"))
    with atomic_write(path) as handle:
        handle.write(text + "\n")


def interval(certificate: Certificate) -> tuple[float, float]:
    """Rigorous bounds on the optimum, rounded outward, from :func:`drcopt.checker.check`.

    Returns
    -------
    lower, upper : float
        (inf, inf) if it is proved that no point meets the budgets; ``upper`` is inf without a point that does.

    Raises
    ------
    MissingExtraError
        Without python-flint.
    """
    found = verdict(certificate)
    return found.lower, found.upper


def verdict(certificate: Certificate) -> Verdict:
    """What :func:`drcopt.checker.check` says of the proof file of a certificate, without a file."""
    from drcopt.checker import check

    return check(to_dict(certificate))


def differences(proof: dict[str, Any], problem: Problem) -> list[str]:
    """Where the arrays of a proof differ from a problem's, on letters with mass, entry by entry and exactly.

    An empty list means that the proof is about this problem. A hash that matches is not asked: it could be made to.
    Needs python-flint; ``proof`` must be one that :func:`drcopt.checker.check` could read.
    """
    from drcopt.checker.schema import number

    found, reduced = [], problem.reduced()
    for name in ("px", "py", "ps_given_x", "d"):
        texts, array = np.array(proof["problem"][name], dtype=object), getattr(reduced, name)
        if texts.shape != array.shape:
            found.append(f"{name} has shape {texts.shape} in the proof and {array.shape} in the problem")
            continue
        for where in np.ndindex(texts.shape):
            if number(texts[where]) != number(_number(float(array[where]))):
                entry = f"{name}[{', '.join(map(str, where))}]"
                found.append(f"{entry} is {texts[where]} in the proof and {array[where]!r} in the problem")
                break
    return found


def to_dict(certificate: Certificate) -> dict[str, Any]:
    """The contents of a proof file."""
    formulation, infeasible = certificate.formulation, certificate.infeasible
    problem = formulation.problem
    objective = "classification-loss" if infeasible else certificate.objective
    room = ROOM * (float(problem.d.max()) if objective == "distortion" else 1.0)
    goal = certificate.lower - 0.5 * room
    if infeasible:  # the least loss known, but not to its last digits
        goal = max(formulation.classification_budget, certificate.least_loss - EDGE_ROOM)
    writer = _Writer(formulation, goal)
    evidence = writer.evidence(certificate.infeasibility if infeasible else certificate.evidence)
    claim: dict[str, Any] = {"infeasible": True}
    parts = None
    if not infeasible:
        lower = certificate.lower
        gap = certificate.upper - lower
        most = max(SHORTFALL / ROOM * room, SHARE * gap if math.isfinite(gap) else 0.0)
        if 0.0 < lower - writer.reached <= most:
            lower = writer.reached
        # A point that exceeds a budget is shown for what it is worth, and the checker says so; it bounds nothing.
        upper = math.inf if certificate.excess else certificate.upper + room
        claim = {"lower": _number(lower - room), "upper": _number(upper)}
    if certificate.parts is not None:
        parts = [
            {"weight": _number(part.weight)}
            | ({"coupling": _numbers(part.coupling)} if part.map is None else {"map": part.map.tolist()})
            for part in certificate.parts
        ]
    return {
        "drcopt-proof": VERSION,
        "problem": {name: _numbers(getattr(problem, name)) for name in ("px", "py", "ps_given_x", "d")},
        "formulation": formulation.name,
        "classifier_sees": formulation.classifier_sees,
        "rate_budget": _number(formulation.rate_budget),
        "classification_budget": _number(formulation.classification_budget),
        "objective": objective,
        "claim": claim,
        "point": parts,
        "evidence": evidence,
    }


def _number(value: float) -> str:
    return float(value).hex() if math.isfinite(value) else str(float(value))


def _numbers(values: ArrayLike) -> Any:
    array = np.asarray(values, dtype=np.float64)
    return [_numbers(row) for row in array] if array.ndim > 1 else [_number(v) for v in array.tolist()]


def _written(tree: _cells.CellTree) -> list[dict[str, Any]]:
    """A tree of cells with its numbers as text."""
    return [
        {"s": node["s"], "at": _number(node["at"])} if "at" in node else {k: _numbers(v) for k, v in node.items()}
        for node in tree
    ]


class _Writer:
    """Writes evidence with the cells that let the checker prove a bound of ``goal`` if there is one.

    ``reached`` is what the cells give, in doubles (inf where the checker needs none).
    """

    def __init__(self, formulation: Formulation, goal: float) -> None:
        self.formulation, self.problem, self.goal = formulation, formulation.problem, goal
        self.reached = math.inf

    def evidence(self, evidence: Evidence | None) -> dict[str, Any] | None:
        """Evidence of any kind."""
        if evidence is None:
            return None
        if isinstance(evidence, PosteriorTree):
            return self.posterior_tree(evidence)
        if isinstance(evidence, MapTree):
            return self.map_tree(evidence)
        if isinstance(evidence, CellDual):
            return self.cell_dual(evidence)
        if isinstance(evidence, Independent | DataProcessing):
            return {"kind": "independent" if isinstance(evidence, Independent) else "data-processing"}
        raise TypeError(f"there is no way to write evidence of type {type(evidence).__name__}")

    def map_tree(self, tree: MapTree) -> dict[str, Any]:
        """Multipliers only; the checker's minimum over maps loses a few digits of the largest."""
        n, m, largest = self.problem.n, self.problem.m, 0.0
        nodes: list[dict[str, Any]] = []
        stack = [tree.root]
        while stack:
            node = stack.pop()
            if isinstance(node, MapLeaf):
                vectors = {name: _numbers(getattr(node, name)) for name in ("nu", "conditional", "posterior", "slopes")}
                nodes.append(vectors | {"rate": _number(node.rate)})
                sizes = np.abs(node.nu), np.abs(node.slopes), node.conditional, node.posterior, np.array([node.rate])
                largest = max(largest, sum(float(v.max(initial=0.0)) for v in sizes))
            else:
                nodes.append({"y": node.y, "s": node.s, "at": _number(node.at)})
                stack += [node.high, node.low]
        self.reached = min(self.reached, self.goal - (2 * n + 8 * m + 16) * 2.0**-50 * largest)
        return {"kind": "map-tree", "nodes": nodes}

    def cell_dual(self, dual: CellDual) -> dict[str, Any]:
        """Multipliers, and for each letter cells of class posteriors of sets."""
        problem, distortion = self.problem, dual.objective == "distortion"
        rate, loss = effective_budgets(self.formulation)
        costs = problem.px * (distortion * problem.d - dual.f[:, None] - dual.nu).T
        rest = float(dual.f @ problem.px + dual.nu @ problem.py)
        rest -= dual.rate * rate + distortion * dual.conditional * loss

        def bound(least: FloatArray) -> float:
            return rest + float(least.sum())

        trees, least = _cells.choose_for_sets(
            problem, costs, dual.rate, dual.conditional, lambda least: bound(least) >= self.goal
        )
        self.reached = min(self.reached, bound(least))
        return {
            "kind": "cell-dual",
            "f": _numbers(dual.f),
            "nu": _numbers(dual.nu),
            "rate": _number(dual.rate),
            "conditional": _number(dual.conditional),
            "cells": [_written(tree) for tree in trees],
        }

    def posterior_tree(self, tree: PosteriorTree) -> dict[str, Any]:
        """Splits, and leaves with their cells."""
        nodes: list[dict[str, Any]] = []
        stack = [(tree.root, whole_box(self.problem))]
        while stack:
            node, box = stack.pop()
            if isinstance(node, Leaf):
                nodes.append(self.posterior_leaf(node, box, tree.objective == "distortion"))
                continue
            nodes.append({"y": node.y, "s": node.s, "at": _number(node.at)})
            for child, side in ((node.high, 0), (node.low, 1)):
                part = box.copy()
                part[node.y, node.s, side] = (min if side else max)(part[node.y, node.s, side], node.at)
                stack.append((child, part))
        return {"kind": "posterior-tree", "nodes": nodes}

    def posterior_leaf(self, leaf: Leaf, box: FloatArray, distortion: bool) -> dict[str, Any]:
        """Multipliers, and for each letter cells of its class posterior unless the checker can do without."""
        problem = self.problem
        rate, loss = effective_budgets(self.formulation)
        f, alpha, beta = np.asarray(leaf.f, dtype=np.float64), float(leaf.rate), float(leaf.classification)
        costs, size = problem.d.T - f, float(problem.d.max())
        if not distortion:
            costs, beta, loss, size = np.broadcast_to(-f, costs.shape), 1.0, 0.0, 1.0
        cells: list[Any] = [None] * problem.m
        free = (box == whole_box(problem)).all(axis=(1, 2)) & (beta == 0 or problem.k == 1)
        rows = np.flatnonzero(~free)
        convex = _cells.convex_share(problem, alpha, beta)
        if len(rows):
            rest = float(f @ problem.px) - alpha * rate - beta * loss
            rest += float(problem.py[free] @ softmin(costs[free].T, np.log(problem.px), alpha)) if free.any() else 0.0
            room = 1e-13 * (abs(rest) + float(np.abs(costs).max()))

            def bound(least: FloatArray) -> float:
                return rest + float(problem.py[rows] @ least) - room

            trees, least = _cells.choose(
                problem,
                costs[rows],
                alpha,
                beta,
                convex,
                box[rows],
                0.25 * ROOM * size,
                lambda least: bound(least) >= self.goal,
            )
            self.reached = min(self.reached, bound(least))
            for y, tree in zip(rows, trees, strict=True):
                cells[y] = _written(tree)
        return {
            "f": _numbers(f),
            "rate": _number(alpha),
            "classification": _number(float(leaf.classification)),
            "convex": _number(convex),
            "cells": cells,
        }
