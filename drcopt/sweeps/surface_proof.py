"""The proof file of a surface: a problem, half-spaces, points, and boxes of budgets that these make known."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from typing import Any

import numpy as np

from drcopt.bounds import Leaf
from drcopt.certify.proof import Writer, number, numbers, perception_of
from drcopt.certify.proof import points as written_points
from drcopt.formulations import Question
from drcopt.questions import PERCEPTION, QUANTITIES, Near
from drcopt.support.check import FloatArray
from drcopt.support.files import atomic_write
from drcopt.sweeps.envelopes import Ceiling, Floor, Proved, distance
from drcopt.sweeps.refine import Box, Refinement

VERSION = 1
#: What the cells of a proof may leave unproved of a half-space, as a share of the gap, and where nothing of the
#: objective is in it (nats).
_SHARE, _EDGE = 5e-3, 1e-8
#: The least P of a file: exactly the target's law is more than sums of doubles can have.
_EXACT = 1e-11
#: The gap claimed is larger than the one asked for by this share.
_MORE = 0.02


def save(refinement: Refinement, path: str | os.PathLike[str]) -> None:
    """Write a surface's proof file, whole or not at all; see :meth:`drcopt.Surface.save`."""
    text = json.dumps(to_dict(refinement), separators=(",", ":"))
    with atomic_write(path) as handle:
        handle.write(text + "\n")


def to_dict(refinement: Refinement) -> dict[str, Any]:
    """The contents of the file: only boxes that the checker can follow, and what they need."""
    question = refinement.known.question
    gap = refinement.tol * (1.0 + _MORE)
    boxes = [box for box in (*refinement.done, *refinement.boxes) if box.gap <= refinement.tol]
    known = refinement.known
    ceiling = Ceiling(question)
    for point in known.ceiling.points:  # as the checker will find them: what they spend, whatever they were asked for
        values = np.array([*question.values(point.parts), distance(question, point)]) + 2.0 * point.room
        ceiling.add(replace(point, values=np.maximum(values, point.values)))
    chosen, _ = _judged(refinement, boxes, known.floor, ceiling)
    used = sorted({tree for tree in chosen if tree >= 0 and known.floor.trees[tree].tree is not None})
    evidence: list[dict[str, Any]] = []
    floor, places = Floor(question), dict[int, int]()
    for tree in used:
        places[len(floor.trees)] = len(evidence)
        written, proved = _Writer(question, refinement.tol, known.floor.trees[tree]).written()
        evidence.append(written)
        floor.add(proved)
    for proved in known.floor.trees:
        if proved.tree is None:
            floor.add(proved)
    chosen, gaps = _judged(refinement, boxes, floor, ceiling)
    entries, shares, points = [], [0.0, 0.0], _Points()
    for i, box in enumerate(boxes):
        if not gaps[i] <= gap:
            continue
        entry = _entry(refinement, box, ceiling, points)
        if entry is None:
            continue
        entries.append(entry | {"tree": places.get(chosen[i])})
        shares[0] += box.share
        shares[1] += box.share * box.infeasible
    limits = {}
    for q in QUANTITIES:
        limit = float(refinement.fixed[q.place])
        if limit < math.inf and q is not refinement.objective and all(a.quantity is not q for a in refinement.axes):
            limits[_name(q.name)] = number(limit)
    if isinstance(question.laws, Near) and all(a.quantity is not PERCEPTION for a in refinement.axes):
        limits["perception_budget"] = number(question.laws.budget)
    problem = question.problem
    arrays = {name: numbers(getattr(problem, name)) for name in ("px", "py", "ps_given_x", "d")}
    return {
        "drcopt-surface": VERSION,
        "problem": arrays if question.laws is None else arrays | {"py": None},
        "formulation": question.name,
        "classifier_sees": question.classifier_sees,
        **perception_of(question),
        **limits,
        "objective": refinement.objective.name.replace("_", "-"),
        "ranges": {
            _name(a.quantity.name): numbers([max(a.low, _EXACT) if a.quantity is PERCEPTION else a.low, a.high])
            for a in refinement.axes
        },
        "gap": number(gap),
        **{name: number(max(0.0, s - 1e-9)) for name, s in zip(("known", "infeasible"), shares, strict=True)},
        "points": [written_points(question, ceiling.points[i].parts) for i in points.order],
        "evidence": evidence,
        "boxes": entries,
    }


def _name(quantity: str) -> str:
    return f"{quantity.split('_')[0]}_budget"


class _Points:
    """The points that boxes need, by their place in the file."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self._places: dict[int, int] = {}

    def place(self, i: int) -> int:
        """The place of a point, a new one if it has none."""
        if i not in self._places:
            self._places[i] = len(self.order)
            self.order.append(i)
        return self._places[i]


def _corners(refinement: Refinement, box: Box) -> FloatArray:
    found = refinement.budgets(box.corners())
    found[:, PERCEPTION.place] = np.maximum(found[:, PERCEPTION.place], _EXACT)
    return found


def _judged(refinement: Refinement, boxes: list[Box], floor: Floor, ceiling: Ceiling) -> tuple[list[int], list[float]]:
    """The tree that does best in each box, −1 if none does, and the gap with it."""
    chosen, gaps = [], []
    for box in boxes:
        at = _corners(refinement, box)
        lower = floor.by_tree(refinement.objective, at)
        if box.infeasible:
            fits = np.flatnonzero(np.isposinf(lower[:, -1]))
            chosen.append(int(fits[0]) if len(fits) else -1)
            gaps.append(0.0 if len(fits) else math.inf)
            continue
        if box.tangent < 0:
            found = ceiling.best(refinement.objective, at[:1])[1] - lower[:, -1]
        else:
            with np.errstate(invalid="ignore"):
                found = (ceiling.mixed(refinement.objective, at, box.tangent) - lower).max(axis=1)
        found = np.where(np.isnan(found), np.inf, found)
        chosen.append(int(found.argmin()))
        gaps.append(float(found.min()))
    return chosen, gaps


def _entry(refinement: Refinement, box: Box, ceiling: Ceiling, points: _Points) -> dict[str, Any] | None:
    """A box of the file, but for its tree."""
    at = _corners(refinement, box)
    places = [axis.quantity.place for axis in refinement.axes]
    entry: dict[str, Any] = {"low": numbers(at[0, places]), "high": numbers(at[-1, places])}
    if box.infeasible:
        return entry
    if box.tangent < 0:
        best, _ = ceiling.best(refinement.objective, at[:1])
        return entry | {"tau": None, "corners": [[[points.place(best), "1"]]]} if best >= 0 else None
    mixtures = []
    for corner in at:
        found = ceiling.mixture(refinement.objective, corner[None], box.tangent)
        if found is None:
            return None
        mixtures.append([[points.place(i), number(w)] for i, w in found[0]])
    return entry | {"tau": points.place(box.tangent), "corners": mixtures}


class _Writer(Writer):
    """Writes a tree with cells that prove each leaf's half-space, whatever the question."""

    def __init__(self, question: Question, tol: float, proved: Proved) -> None:
        if isinstance(question.laws, Near):  # at whose budget the leaves were to be best
            question = replace(question, laws=replace(question.laws, budget=min(proved.P, question.laws.farthest)))
        super().__init__(question, -math.inf)
        assert proved.tree is not None
        self.tol, self.proved, self.tree, self.P = tol, proved, proved.tree, question.perception_budget
        self._weights, self._levels = proved.weights.copy(), proved.levels.copy()
        self._leaves = [leaf for leaf, _ in self.tree.leaves(self.problem)]
        self._shared = self.mixes and len(self._leaves) > 1  # one half-space for all leaves
        self._places = {id(leaf): 0 if self._shared else i for i, leaf in enumerate(self._leaves)}

    def bound(self, weights: tuple[float, ...], level: float) -> float:
        """The level itself: a surface asks at all budgets."""
        return level

    def written(self) -> tuple[dict[str, Any], Proved]:
        """The tree as it is written, and what its cells prove."""
        written = self.posterior_tree(self.tree)
        if self._shared:
            self._learn(self._leaves[0], next(node for node in written["nodes"] if "f" in node))
        return written, replace(self.proved, weights=self._weights, levels=self._levels)

    def posterior_leaf(self, leaf: Leaf, box: FloatArray) -> dict[str, Any]:
        """With cells for its own half-space, at the budget P."""
        level = self._level(leaf)
        own = self._own(leaf)
        self.goal = level / (own or 1.0) - (_SHARE * self.tol if own else _EDGE)
        self.reached = math.inf
        written = super().posterior_leaf(leaf, box)
        if not self._shared:
            self._learn(leaf, written)
        return written

    def _own(self, leaf: Leaf) -> float:
        """Its weight of the objective, which is written as 1 if it is none."""
        return float((leaf.distortion, leaf.rate, leaf.classification)[self.formulation.objective.place])

    def _level(self, leaf: Leaf) -> float:
        """Of its half-space, less what the budget P may add."""
        place = self._places[id(leaf)]
        weight = float(self.proved.weights[place, PERCEPTION.place])
        return float(self.proved.levels[place]) - (weight * self.P if weight > 0 else 0.0)

    def _learn(self, leaf: Leaf, written: dict[str, Any]) -> None:
        """What has been proved of its half-space, with the weight of the perception that is written."""
        unit, place = self._own(leaf) or 1.0, self._places[id(leaf)]
        level = min(self._level(leaf), (self.reached - 1e-12 * (1.0 + abs(self.goal))) * unit)
        weight = float.fromhex(written["perception"]) * unit if "perception" in written else 0.0
        self._weights[place, PERCEPTION.place] = weight
        self._levels[place] = level + (weight * self.P if weight > 0 else 0.0)
