"""Bounds that earlier points of a sweep left behind: a half-space holds at all budgets, so one of them may do here too.

They come to an engine as arrays beside what else it starts from, and leave what it remembers again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from drcopt.bounds import PosteriorTree
from drcopt.bounds.posterior import unpacked
from drcopt.formulations import Question
from drcopt.problem import Problem
from drcopt.questions import Piece
from drcopt.support.check import FloatArray

#: What the names of such arrays begin with: "earlier0.splits" and so on.
EARLIER = "earlier"
#: Larger trees are not looked at: every leaf is priced once.
_MOST_LEAVES = 16

#: A tree as :func:`drcopt.bounds.posterior.packed` makes arrays of it, with "said" (4,): what it proved, and at which
#: budgets (D, R, C); and, where a coupling was found, that and its multipliers.
Trees = Mapping[str, FloatArray]


def trees_of(warm: Mapping[str, Any] | None) -> Trees:
    """The tree that a point left behind; empty if it left none, or one too large."""
    if warm is None or "said" not in warm or not 1 <= len(warm["leaves"]) <= _MOST_LEAVES:
        return {}
    names = ("splits", "leaves", "tangents", "said", "coupling", "multipliers")
    return {name: warm[name] for name in names if name in warm}


def start_of(trees: Trees) -> dict[str, FloatArray]:
    """What another point starts from where it has but these; empty if no coupling was found."""
    if "coupling" not in trees:
        return {}
    rest = {name: array for name, array in trees.items() if name != "said"}
    return rest | {"letters": np.zeros(0), "posteriors": np.zeros((0, len(trees["coupling"])))}


def parted(warm: Any) -> tuple[Any, list[Trees]]:
    """What a point starts from without the bounds of others, and these."""
    if not isinstance(warm, dict):
        return warm, []
    trees: dict[str, dict[str, FloatArray]] = {}
    for name, array in warm.items():
        if name.startswith(EARLIER):
            which, _, part = name.partition(".")
            trees.setdefault(which, {})[part] = array
    rest = {name: array for name, array in warm.items() if not name.startswith(EARLIER)}
    return rest or None, list(trees.values())


def said(question: Question, lower: float) -> FloatArray:
    """The array of that name."""
    return np.array([lower, *question.budgets])


def likely(question: Question, trees: Trees) -> float:
    """What a tree says at a question's budgets, going by what it said at others.

    A leaf that proved Σ w·(E d, I, H) ≥ Λ where all of them said ``lower`` has Λ ≥ w lower + Σ weights · limits there.
    """
    lower, then = float(trees["said"][0]), trees["said"][1:]
    place, weights = question.objective.place, trees["leaves"][:, -3:]
    own, others = weights[:, place], np.delete(weights, place, axis=1)
    nearer = np.delete(then - np.array(question.budgets), place)
    with np.errstate(invalid="ignore", divide="ignore"):
        gained = np.where(others > 0, others * nearer, 0.0).sum(axis=1)
        found = np.where(own > 0, lower + gained / own, np.where(gained >= 0, np.inf, -np.inf))
    return float(np.nan_to_num(found, nan=-np.inf).min())


class Earlier:
    """Looks for a tree that does; one that is likely to is priced, once, however many points it serves."""

    def __init__(self) -> None:
        self._problem: Problem | None = None
        self._priced: dict[bytes, list[Piece]] = {}

    def proving(self, question: Question, trees: list[Trees], least: float) -> PosteriorTree | None:
        """One of the trees that proves the objective to be at least that."""
        if question.problem is not self._problem:
            self._problem, self._priced = question.problem, {}
        for arrays in trees:
            if not likely(question, arrays) >= least:
                continue
            tree = PosteriorTree(unpacked(arrays["splits"], arrays["leaves"], arrays.get("tangents")))
            key = b"".join(np.ascontiguousarray(arrays[name]).tobytes() for name in ("splits", "leaves"))
            if key not in self._priced:
                self._priced[key] = tree.pieces(question)
            pieces = self._priced[key]
            if pieces and min(map(question.bound, pieces)) >= least:
                return tree
        return None
