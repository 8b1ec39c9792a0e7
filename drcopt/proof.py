"""Proof files: everything needed to believe an answer, for ``drcopt check`` and :mod:`drcopt.checker` to verify.

A proof file is a JSON object. Every number but an index is a string: a hexadecimal float such as ``"0x1.8p-1"``
(exactly that double) or a rational such as ``"3/4"`` or ``"0.75"``. All information is in nats.

``drcopt-proof``
    1, the version of this schema.
``problem``
    ``px``, ``py``, ``ps_given_x``, ``d``: letters with mass only. What is proved is about the exact rationals
    px/Σpx, py/Σpy and the rows of ps_given_x divided by their sums, which differ from 1 by rounding at most.
``formulation``, ``classifier_sees``
    "single-letter", "time-sharing" or "one-shot"; "Y", or "YU" for one-shot codes.
``rate_budget``, ``classification_budget``
    A number, or "inf".
``objective``
    "distortion", or "classification-loss": what the claim is about, and what the evidence bounds.
``claim``
    ``{"lower": number or "-inf", "upper": number or "inf", "excess": number}``: every point that meets the budgets
    has an objective ≥ lower, and the point below has one ≤ upper and exceeds no budget by more than ``excess`` nats.
    Or ``{"infeasible": true}``: the objective is the classification loss, and its least value exceeds its budget.
    The checker adds no tolerance, so :func:`to_dict` leaves room for the rounding of doubles: a claim's bounds are
    the certificate's, moved apart by :data:`ROOM` times max d (with many classes a lower bound by up to
    :data:`SHORTFALL` times max d, or :data:`SHARE` of the gap). The excess is always 0: a point that is not proved to
    meet its budgets is left out, and the upper bound is then "inf".
``point``
    null, or the parts of a mixture, each ``{"weight", "coupling"}`` (one-shot: ``{"weight", "map"}``, the map as
    indices of letters of Y). One part for single-letter. The checker repairs what misses the marginals.
``evidence``
    null or evidence for the lower bound, with ``kind``:

    ``"posterior-tree"``
        ``nodes``, a binary tree in preorder. A node is a split ``{"y", "s", "at"}``, followed by the trees for
        τ_y(s) ≤ at and for τ_y(s) ≥ at, or a leaf ``{"f", "rate", "classification", "convex", "cells"}`` with
        multipliers f (n numbers), α and β, the part β₀ of β and, for each letter y, null or a tree of cells in
        preorder: ``{"s", "at"}`` splits, ``{"nu"}`` leaves with k slopes.
    ``"map-tree"``
        The same for one-shot codes, leaves ``{"nu", "rate", "conditional", "posterior", "slopes"}``:
        ν, α, γ, β, c of :mod:`drcopt.bounds.maps`.
    ``"cell-dual"``
        ``f``, ``nu``, ``rate`` and ``conditional``: f, ν, α, γ of :mod:`drcopt.bounds.cells`, and ``cells`` for
        each letter, whose leaves ``{"slopes"}`` hold those of k chords.
    ``"independent"``, ``"data-processing"``
        No numbers: X and Y must be independent; H(S|Y) ≥ H(S|X), and but for one-shot codes
        ηI(X;Y) + H(S|Y) ≥ H(S), η the contraction of p(s|x).
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
from drcopt.bounds.cells import CellDual
from drcopt.bounds.maps import MapLeaf, MapTree
from drcopt.bounds.posterior import whole_box
from drcopt.bounds.pricing.gibbs import softmin
from drcopt.formulations import Part, Question
from drcopt.questions import DISTORTION, QUANTITIES, Quantity

if TYPE_CHECKING:
    from drcopt.checker.question import Verdict

VERSION = 1
#: Each bound claimed is this times max d weaker than the certificate's, a lower bound with more than two classes as
#: much as SHORTFALL, or SHARE of the gap, where cells that prove more are too many.
ROOM, SHORTFALL, SHARE = 1e-12, 2e-8, 1e-3


class Certificate(Protocol):
    """What a proof is written from: see :class:`drcopt.certificate.Certificate`."""

    @property
    def formulation(self) -> Question: ...
    @property
    def parts(self) -> tuple[Part, ...] | None: ...
    @property
    def evidence(self) -> tuple[Evidence, ...]: ...
    @property
    def objective(self) -> Quantity: ...
    @property
    def upper(self) -> float: ...
    @property
    def lower(self) -> float: ...
    @property
    def excess(self) -> float: ...
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


def to_dict(certificate: Certificate) -> dict[str, Any]:
    """The contents of a proof file."""
    formulation, infeasible = certificate.formulation, certificate.infeasible
    problem = formulation.problem
    question, goal = _missed(certificate) if infeasible else (formulation, certificate.lower)
    room = ROOM * (float(problem.d.max()) if question.objective is DISTORTION else 1.0)
    writer = _Writer(question, goal if infeasible else goal - 0.5 * room)
    evidence = writer.evidence(_best(question, certificate.evidence))
    claim: dict[str, Any] = {"infeasible": True}
    parts = None
    if not infeasible:
        lower = certificate.lower
        gap = certificate.upper - lower
        most = max(SHORTFALL / ROOM * room, SHARE * gap if math.isfinite(gap) else 0.0)
        if 0.0 < lower - writer.reached <= most:
            lower = writer.reached
        claim = {
            "lower": _number(lower - room),
            "upper": _number(math.inf if certificate.excess else certificate.upper + room),
            "excess": _number(0.0),
        }
    if certificate.parts is not None and not certificate.excess:
        parts = [
            {"weight": _number(part.weight)}
            | ({"coupling": _numbers(part.coupling)} if part.map is None else {"map": part.map.tolist()})
            for part in certificate.parts
        ]
    limits = {} if formulation.distortion_budget == math.inf else {"distortion_budget": formulation.distortion_budget}
    limits |= {"rate_budget": formulation.rate_budget, "classification_budget": formulation.classification_budget}
    return {
        "drcopt-proof": VERSION,
        "problem": {name: _numbers(getattr(problem, name)) for name in ("px", "py", "ps_given_x", "d")},
        "formulation": formulation.name,
        "classifier_sees": formulation.classifier_sees,
        **{name: _number(limit) for name, limit in limits.items()},
        "objective": question.objective.name.replace("_", "-"),
        "claim": claim,
        "point": parts,
        "evidence": evidence,
    }


def _missed(certificate: Certificate) -> tuple[Question, float]:
    """For a question whose limits cannot be met: one for the least value of a limited quantity, and that limit."""
    asked = certificate.formulation
    ways = [(asked.minimising(q), b) for q, b in zip(QUANTITIES, asked.budgets, strict=True) if math.isfinite(b)]
    for question, limit in reversed(ways):  # the classification loss where it will do
        if _best(question, certificate.evidence).bound(question) > limit:
            return question, limit
    return ways[-1]


def _best(question: Question, evidence: tuple[Evidence, ...]) -> Evidence:
    """The evidence that bounds the question's objective best, what holds of every problem included."""
    problem = question.problem
    floors: list[Evidence] = [DataProcessing()]
    if question.name != "one-shot":
        floors += [PosteriorTree(Leaf(f, 0.0, 0.0)) for f in (np.zeros(problem.n), problem.d.min(axis=1))]
    return max((*evidence, *floors), key=lambda one: one.bound(question))


def _normalised(leaf: Leaf, objective: Quantity) -> Leaf:
    """The leaf with a weight of 1 for the objective, if it has any."""
    weight = (leaf.distortion, leaf.rate, leaf.classification)[objective.place]
    if weight in (0.0, 1.0):
        return leaf
    return Leaf(leaf.f / weight, leaf.rate / weight, leaf.classification / weight, leaf.distortion / weight)


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

    def __init__(self, formulation: Question, goal: float) -> None:
        self.formulation, self.problem, self.goal = formulation, formulation.problem, goal
        self.reached = math.inf

    def bound(self, weights: tuple[float, float, float], level: float) -> float:
        """What a half-space says of the objective, without the care for rounding that a proof takes."""
        rest = level - float(np.dot(weights, self.formulation.caps))
        weight = weights[self.formulation.objective.place]
        return rest / weight if weight > 0 else math.copysign(math.inf, rest)

    def share(self, weight: float) -> dict[str, str]:
        """The weight of E d, where it is not the one that a file about this objective need not say."""
        return {} if weight == float(self.formulation.objective is DISTORTION) else {"distortion": _number(weight)}

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
                nodes.append(vectors | {"rate": _number(node.rate)} | self.share(node.distortion))
                sizes = np.abs(node.nu), np.abs(node.slopes), node.conditional, node.posterior, np.array([node.rate])
                largest = max(largest, sum(float(v.max(initial=0.0)) for v in sizes))
            else:
                nodes.append({"y": int(node.y), "s": int(node.s), "at": _number(node.at)})
                stack += [node.high, node.low]
        self.reached = min(self.reached, self.goal - (2 * n + 8 * m + 16) * 2.0**-50 * largest)
        return {"kind": "map-tree", "nodes": nodes}

    def cell_dual(self, dual: CellDual) -> dict[str, Any]:
        """Multipliers, and for each letter cells of class posteriors of sets."""
        problem = self.problem
        weights = (dual.distortion, dual.rate, dual.conditional)
        costs = problem.px * (dual.distortion * problem.d - dual.f[:, None] - dual.nu).T
        rest = float(dual.f @ problem.px + dual.nu @ problem.py)

        def bound(least: FloatArray) -> float:
            return self.bound(weights, rest + float(least.sum()))

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
            **self.share(dual.distortion),
            "cells": [_written(tree) for tree in trees],
        }

    def posterior_tree(self, tree: PosteriorTree) -> dict[str, Any]:
        """Splits, and leaves with their cells."""
        nodes: list[dict[str, Any]] = []
        stack = [(tree.root, whole_box(self.problem))]
        while stack:
            node, box = stack.pop()
            if isinstance(node, Leaf):
                nodes.append(self.posterior_leaf(node, box))
                continue
            nodes.append({"y": int(node.y), "s": int(node.s), "at": _number(node.at)})
            for child, side in ((node.high, 0), (node.low, 1)):
                part = box.copy()
                part[node.y, node.s, side] = (min if side else max)(part[node.y, node.s, side], node.at)
                stack.append((child, part))
        return {"kind": "posterior-tree", "nodes": nodes}

    def posterior_leaf(self, leaf: Leaf, box: FloatArray) -> dict[str, Any]:
        """Multipliers, and for each letter cells of its class posterior unless the checker can do without."""
        problem = self.problem
        leaf = _normalised(leaf, self.formulation.objective)
        f, alpha, beta = np.asarray(leaf.f, dtype=np.float64), float(leaf.rate), float(leaf.classification)
        costs = leaf.distortion * problem.d.T - f
        size = float(problem.d.max()) if self.formulation.objective is DISTORTION else 1.0
        cells: list[Any] = [None] * problem.m
        free = (box == whole_box(problem)).all(axis=(1, 2)) & (beta == 0 or problem.k == 1)
        rows = np.flatnonzero(~free)
        convex = _cells.convex_share(problem, alpha, beta)
        if len(rows):
            rest = float(f @ problem.px)
            rest += float(problem.py[free] @ softmin(costs[free].T, np.log(problem.px), alpha)) if free.any() else 0.0
            room = 1e-13 * (abs(rest) + float(np.abs(costs).max()))

            def bound(least: FloatArray) -> float:
                return self.bound((leaf.distortion, alpha, beta), rest + float(problem.py[rows] @ least) - room)

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
            "classification": _number(beta),
            **self.share(leaf.distortion),
            "convex": _number(convex),
            "cells": cells,
        }
