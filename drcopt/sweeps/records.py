"""Answers of a surface as records of a checkpoint, and back: all their numbers as arrays, to the last digit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from drcopt.bounds import PosteriorTree
from drcopt.bounds.posterior import packed, unpacked
from drcopt.errors import CheckpointError
from drcopt.formulations import Part
from drcopt.support.check import FloatArray
from drcopt.sweeps.checkpoint import Checkpoint, Record
from drcopt.sweeps.envelopes import Found, Proved
from drcopt.sweeps.nodes import Answer
from drcopt.sweeps.refine import Wanted


class Book:
    """The answers in a checkpoint, by what was asked."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint

    def find(self, wanted: Wanted) -> Answer | None:
        """The answer to this, if there is one."""
        record = self.checkpoint.done.get((_asked(wanted),))
        if record is None:
            return None
        try:
            return _answer(json.loads(record.cells["text"]), dict(record.warm or {}))
        except (IndexError, KeyError, TypeError, ValueError, StopIteration):
            raise CheckpointError(
                f"checkpoint {self.checkpoint.path} is damaged: an answer in it cannot be read. "
                "Delete it and start again."
            ) from None

    def keep(self, wanted: Wanted, answer: Answer) -> None:
        """Add an answer."""
        text, arrays = _arrays(answer)
        cells = {"asked": _asked(wanted), "text": json.dumps(text)}
        self.checkpoint.append(Record(cells, arrays))


def _asked(wanted: Wanted) -> str:
    return json.dumps([wanted.objective.name, *wanted.budgets, wanted.full])


def _arrays(answer: Answer) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    text: dict[str, Any] = {"status": answer.status, "failure": answer.failure}
    arrays: dict[str, FloatArray] = {}
    text["points"] = []
    for i, point in enumerate(answer.points):
        arrays |= {f"p{i}.{name}": getattr(point, name) for name in ("values", "asked", "room")}
        for j, part in enumerate(point.parts):
            arrays[f"p{i}.{j}"] = part.coupling
            if part.letters is not None:
                arrays[f"p{i}.{j}.letters"] = np.asarray(part.letters, dtype=np.float64)
        text["points"].append([float(part.weight) for part in point.parts])
    text["trees"] = len(answer.trees)
    for i, proved in enumerate(answer.trees):
        arrays |= {f"t{i}.weights": proved.weights, f"t{i}.levels": proved.levels, f"t{i}.P": np.array([proved.P])}
        if proved.tree is not None:
            arrays |= {f"t{i}.{name}": array for name, array in packed(proved.tree.root).items()}
    if answer.start is not None:
        arrays |= {"start.P": answer.start[0], "start.z": answer.start[1]}
    if answer.warm is not None:
        arrays |= {f"warm.{name}": np.asarray(array, dtype=np.float64) for name, array in answer.warm.items()}
    return text, arrays


def _answer(text: dict[str, Any], arrays: dict[str, FloatArray]) -> Answer:
    points = []
    for i, weights in enumerate(text["points"]):
        parts = []
        for j, weight in enumerate(weights):
            letters = arrays.get(f"p{i}.{j}.letters")
            named = None if letters is None else letters.astype(np.intp)
            parts.append(Part(weight, arrays[f"p{i}.{j}"], letters=named))
        points.append(Found(tuple(parts), *(arrays[f"p{i}.{name}"] for name in ("values", "asked", "room"))))
    trees = []
    for i in range(text["trees"]):
        splits = arrays.get(f"t{i}.splits")
        tree = (
            None
            if splits is None
            else PosteriorTree(unpacked(splits, arrays[f"t{i}.leaves"], arrays.get(f"t{i}.tangents")))
        )
        weights, levels, P = (arrays[f"t{i}.{name}"] for name in ("weights", "levels", "P"))
        trees.append(Proved(tree, weights, levels, float(P[0])))
    start = (arrays["start.P"], arrays["start.z"]) if "start.P" in arrays else None
    warm = {name.removeprefix("warm."): a for name, a in arrays.items() if name.startswith("warm.")}
    return Answer(tuple(points), tuple(trees), start, warm or None, text["status"], text["failure"])
