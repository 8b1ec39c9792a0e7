"""Bounds and points that earlier rows of a sweep left: a half-space holds at all budgets, so one may do here too.

They come as arrays beside what else an engine starts from. Where a bound comes near enough to a point, or to a mixture
of two, no engine is asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from drcopt.bounds import Evidence, PosteriorTree
from drcopt.bounds.posterior import packed, unpacked
from drcopt.engines.base import Proposal
from drcopt.formulations import Message, Part, Question, SingleLetter
from drcopt.questions import Piece
from drcopt.support.check import FloatArray

#: What the names of such arrays begin with: "earlier0.splits" and so on.
EARLIER = "earlier"
#: And of those that any row leaves, whichever engine it had, beside what that remembers.
LEFT = "left."
#: Larger trees are not looked at: every leaf is priced once.
_MOST_LEAVES = 16
#: Points of more numbers than this are not kept.
_MOST_NUMBERS = 2048
#: Halvings of the shares of a mixture of two points.
_HALVINGS = 20

#: A tree as :func:`drcopt.bounds.posterior.packed` makes arrays of it, with "said" (4,): what it proved, and at which
#: budgets (D, R, C); where a coupling was found, that and its multipliers; and the row's point: "shares" (N,) and
#: couplings "parts" (N, n, ·), whose "letters" are those of a message.
Trees = Mapping[str, FloatArray]
_TREE = ("splits", "leaves", "tangents", "said")
_POINT = ("shares", "parts", "letters")


def trees_of(warm: Mapping[str, Any] | None) -> Trees:
    """The tree and the point that a row left behind; empty if it left none, or one too large."""
    if warm is None:
        return {}
    left = {name.removeprefix(LEFT): array for name, array in warm.items() if name.startswith(LEFT)}
    if "said" in warm and 1 <= len(warm["leaves"]) <= _MOST_LEAVES:
        left = {name: array for name, array in left.items() if name in _POINT}
        left |= {name: warm[name] for name in _TREE if name in warm}
    return left | {name: warm[name] for name in ("coupling", "multipliers") if left and name in warm}


def left_by(question: Question, parts: Sequence[Part] | None, evidence: Sequence[Evidence], lower: float) -> Trees:
    """What :func:`trees_of` finds, of a point and evidence for ``lower``; all names begin with ``LEFT``."""
    found: dict[str, FloatArray] = {}
    trees = [packed(e.root) for e in evidence if isinstance(e, PosteriorTree)]
    if trees and len(trees[0]["leaves"]) <= _MOST_LEAVES and math.isfinite(lower):
        found |= trees[0] | {"said": said(question, lower)}
    if parts and sum(part.coupling.size for part in parts) <= _MOST_NUMBERS:
        found["shares"] = np.array([part.weight for part in parts])
        found["parts"] = np.array([part.coupling for part in parts])
        if parts[0].letters is not None:
            found["letters"] = np.asarray(parts[0].letters, dtype=np.float64)
    return {LEFT + name: array for name, array in found.items()}


def start_of(trees: Trees) -> dict[str, FloatArray]:
    """What another point starts from where it has but these; empty if no coupling was found."""
    if "coupling" not in trees:
        return {}
    rest = {name: array for name, array in trees.items() if name not in ("said", *_POINT)}
    return rest | {"letters": np.zeros(0), "posteriors": np.zeros((0, len(trees["coupling"])))}


def passed_on(found: Sequence[Trees]) -> dict[str, FloatArray]:
    """What rows left, as :func:`parted` takes it apart."""
    return {f"{EARLIER}{i}.{name}": t[name] for i, t in enumerate(found) for name in (*_TREE, *_POINT) if name in t}


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
    if "said" not in trees:
        return -math.inf
    lower, then = float(trees["said"][0]), trees["said"][1:]
    place, weights = question.objective.place, trees["leaves"][:, -3:]
    own, others = weights[:, place], np.delete(weights, place, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):  # inf − inf: without a limit, then as now
        nearer = np.delete(then - np.array(question.budgets), place)
        gained = np.where(others > 0, others * nearer, 0.0).sum(axis=1)
        found = np.where(own > 0, lower + gained / own, np.where(gained >= 0, np.inf, -np.inf))
    return float(np.nan_to_num(found, nan=-np.inf).min())


class Earlier:
    """Looks for a tree that does; one that is likely to is priced, once, however many points it serves."""

    def __init__(self) -> None:
        self._asked: Question | None = None
        self._priced: dict[bytes, list[Piece]] = {}

    def _pieces(self, question: Question, arrays: Trees) -> tuple[PosteriorTree, list[Piece]]:
        last = self._asked
        if last is None or last.problem is not question.problem or last.laws is not question.laws:
            self._asked, self._priced = question, {}
        tree = PosteriorTree(unpacked(arrays["splits"], arrays["leaves"], arrays.get("tangents")))
        key = b"".join(np.ascontiguousarray(arrays[name]).tobytes() for name in ("splits", "leaves"))
        if key not in self._priced:
            self._priced[key] = tree.pieces(question)
        return tree, self._priced[key]

    def proving(self, question: Question, trees: Sequence[Trees], least: float) -> PosteriorTree | None:
        """One of the trees that proves the objective to be at least that."""
        for arrays in trees:
            if likely(question, arrays) >= least:
                tree, pieces = self._pieces(question, arrays)
                if pieces and min(map(question.bound, pieces)) >= least:
                    return tree
        return None

    def settling(self, question: Question, rows: Sequence[Trees], tol: float) -> Proposal | None:
        """The best point of rows, or mixture of two, if one of their trees proves it to be within ``tol``."""
        floor = max((likely(question, one) for one in rows), default=-math.inf)
        if floor == -math.inf:
            return None
        parts, value = _best(question, [points for one in rows if (points := _parts(one))], floor + tol)
        if not value <= floor + tol or (tree := self.proving(question, rows, value - tol)) is None:
            return None
        place, arrays = question.objective.place, packed(tree.root)
        weights = min(self._pieces(question, arrays)[1], key=question.bound).weights
        w, alpha, beta = (weight / weights[place] for weight in weights) if weights[place] > 0 else [math.nan] * 3
        why = "a point and a bound that other rows found suffice here"
        return Proposal(parts, (tree,), why, w, alpha, beta, {}, None)


def _parts(row: Trees) -> list[Part]:
    """The point of a row; empty if it left none."""
    if "shares" not in row:
        return []
    letters = row["letters"].astype(np.intp) if "letters" in row else None
    pairs = zip(row["shares"].tolist(), row["parts"], strict=True)
    return [Part(share, np.asarray(P), letters=letters) for share, P in pairs]


def _best(question: Question, points: Sequence[Sequence[Part]], enough: float) -> tuple[Sequence[Part] | None, float]:
    """The point of least value, or mixture of two of which only one is within the limits, and that value."""
    place, limits = question.objective.place, question.budgets

    def value(parts: Sequence[Part]) -> float:
        spent = question.values(parts)
        within = all(v <= b for v, b in zip(spent, limits, strict=True))
        return spent[place] if within else math.inf

    values = [value(parts) for parts in points]
    found: list[tuple[float, Sequence[Part]]] = [(v, p) for v, p in zip(values, points, strict=True) if v < math.inf]
    best = min(found, key=lambda pair: pair[0], default=(math.inf, None))
    if best[0] <= enough or best[1] is None:
        return best[1], best[0]
    beyond = [p for v, p in zip(values, points, strict=True) if v == math.inf]
    for other in beyond:
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            share = 0.5 * (low + high)
            low, high = (share, high) if value(_mixed(question, best[1], other, share)) < math.inf else (low, share)
        mixture = _mixed(question, best[1], other, low)
        found.append((value(mixture), mixture))
    least, parts = min(found, key=lambda pair: pair[0])
    return parts, least


def _mixed(question: Question, one: Sequence[Part], other: Sequence[Part], share: float) -> list[Part]:
    """So much of the other point and the rest of the one: of couplings their mean, else both beside each other."""
    if isinstance(question, Message):
        P = np.hstack([(1.0 - share) * one[0].coupling, share * other[0].coupling])
        assert one[0].letters is not None and other[0].letters is not None
        return [Part(1.0, P, letters=np.concatenate([one[0].letters, other[0].letters]))]
    if isinstance(question, SingleLetter):
        return [Part(1.0, (1.0 - share) * one[0].coupling + share * other[0].coupling)]
    both = [replace(p, weight=w * p.weight) for w, point in ((1.0 - share, one), (share, other)) for p in point]
    return [part for part in both if part.weight > 0.0]
