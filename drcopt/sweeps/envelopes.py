"""A floor and a ceiling of everything that can be asked of one problem, from what a few answers prove.

**Floor.** A leaf of a tree of evidence proves w·(E d, I, H) ≥ Λ for the points of its box, whatever the budgets; a tree
says of an objective the least of what its leaves say, and the floor is the greatest over trees.

**Ceiling.** A point holds at all looser budgets. Mixtures of points are points too: E d is linear in the coupling and I
convex, and H(S|Y), which is concave, lies below its tangent at any class posteriors τ,

  H(S|Y) ≤ ⟨ℓ_τ, P⟩,  ℓ_τ(x, y) = −Σ_s W(x, s) log τ_y(s),

the loss of a classifier that believes τ. For one τ that is linear: with h_i = ⟨ℓ_τ, P_i⟩ the objective is at most

  U_τ(D, R, C) = min Σ λ_i v_i  over pmfs λ with Σ λ_i (E d)_i ≤ D, Σ λ_i I_i ≤ R, Σ λ_i h_i ≤ C,

v the objective's column: a lower convex hull. Where the loss is an average over parts (time-sharing, a classifier that
reads the message) h_i is the loss itself. With a target t a budget P limits φ(q, t) of Y's law as well: it is convex in
the law, so that a mixture has Σ λ_i φ_i at most, and a leaf's half-space weighs it.

**Between them.** U_τ is convex in the budgets and what a leaf says is affine, or +∞ on a half-plane; so for one τ and
one tree U_τ − min over leaves = max over leaves (U_τ − leaf) is convex, and in a box of budgets at most what it is at
the worst corner. As everything falls where a budget is loosened, it is also at most the ceiling at the tightest corner
less the floor at the loosest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from drcopt.bounds import PosteriorTree
from drcopt.certify.exactly import meets
from drcopt.certify.witness import allowances, law_of
from drcopt.engines.descent import tangent
from drcopt.formulations import Message, Part, Question
from drcopt.questions import CLASSIFICATION_LOSS, EVERY, PERCEPTION, ROUNDING, Near, Piece, Quantity
from drcopt.support.check import FloatArray

#: Queries times pieces, points or facets that are gone through at once.
_AT_ONCE = 2**21
#: A bound this much, relative, above what any point has is no rounding.
_BEYOND = 1e-9
#: Points near the one whose τ serves that a rough mixture is of, and the corners of the last such.
_NEAR = 24
#: How much more, relative and absolute, than doubles say it is tried to prove a divergence not to exceed.
_ABOUT = 1e-12
#: How far inside the budgets mixtures aim, relative to the range of the points.
_INSIDE = 1e-12
_LAST_DIGITS = 4 * 2.0**-53
#: Facets of a hull that are tried at a place.
_FACETS = 3


@dataclass(frozen=True, eq=False)
class Proved:
    """A tree, and what its leaves prove: ``weights`` (L, 4) and ``levels`` (L,) of half-spaces, one of which holds.

    What they weigh the perception with is best at the budget ``P``; without a target they do not weigh it.
    """

    tree: PosteriorTree | None
    weights: FloatArray
    levels: FloatArray
    P: float = math.inf

    @classmethod
    def of(cls, tree: PosteriorTree | None, pieces: Sequence[Piece], P: float = math.inf) -> Proved:
        """From half-spaces; without a tree those that hold of every problem."""
        weights = np.array([[*p.weights, p.perception] for p in pieces]).reshape(-1, 4)
        return cls(tree, weights, np.array([p.level for p in pieces]), P)


@dataclass(frozen=True, eq=False)
class Found:
    """A point: its parts, the most that it spends of each quantity, and the budgets that it was found for (4,).

    ``room`` (4,) is how much more than doubles say that may be, which ``values`` allow for where it is not proved that
    the budgets are met.
    """

    parts: tuple[Part, ...]
    values: FloatArray
    asked: FloatArray
    room: FloatArray


def found(
    question: Question, parts: Sequence[Part], spent: Sequence[float], excess: Sequence[float], near: Near | None = None
) -> Found:
    """A repaired point of a question, with what it spends rounded up; budgets that it is proved to meet it meets.

    ``near`` is the ball of laws that it lies in, where there is a target.
    """
    asked, about, whole = np.array([*question.budgets, math.inf]), question, list(parts)
    letters = np.arange(question.problem.m)
    if isinstance(question, Message):
        (part,) = parts
        assert part.letters is not None
        letters = part.letters
        about, whole = question.of_atoms(letters, part.coupling.sum(axis=0)), [Part(1.0, part.coupling)]
    elif question.laws is not None:
        law = question.coupling(parts).sum(axis=0)
        letters = np.flatnonzero(law > 0)
        about, whole = question.at(law), [Part(part.weight, part.coupling[:, letters]) for part in parts]
    far = 0.0
    if near is not None:
        asked[PERCEPTION.place], far = near.budget, _far(near, letters, about, whole)
    room = np.array([*allowances(about, whole, spent[0], spent[1], spent[2]), 0.0])
    values = (np.array([*spent, far]) + room) * (1.0 + _LAST_DIGITS)
    met = np.array([*excess, 0.0]) == 0.0
    return Found(tuple(parts), np.where(met, np.minimum(values, asked), values), asked, room)


def distance(question: Question, point: Found) -> float:
    """No less than the divergence of the law of a point that is taken to have the target's, as sums of doubles have it;
    0 without a target."""
    laws = question.laws
    if not isinstance(laws, Near) or point.values[PERCEPTION.place] > 0.0:
        return 0.0
    return float(found(question, point.parts, question.values(point.parts), (0.0,) * 3, laws).values[PERCEPTION.place])


def _far(near: Near, letters: np.ndarray, about: Question, parts: Sequence[Part]) -> float:
    """No less than the divergence of the law of a point that is proved to lie in the ball."""
    law = law_of(about, parts)
    weights = np.bincount(letters, np.asarray(law, dtype=np.float64), len(near.target))
    value = near.divergence(weights / weights.sum()) * (1.0 + _ABOUT) + _ABOUT
    return value if value < near.budget and meets(replace(near, budget=value), letters, law) else near.budget


class Floor:
    """The greatest of what trees prove."""

    def __init__(self, question: Question) -> None:
        laws = question.laws
        self.most = np.array([*question.most, laws.farthest * (1.0 + _LAST_DIGITS) if isinstance(laws, Near) else 0.0])
        self.trees: list[Proved] = []
        self._whole: tuple[FloatArray, FloatArray, np.ndarray] | None = None

    def add(self, proved: Proved) -> None:
        """One more tree."""
        if len(proved.levels):
            self.trees.append(proved)
            self._whole = None

    def _arrays(self) -> tuple[FloatArray, FloatArray, np.ndarray]:
        if self._whole is None:
            starts = np.cumsum([0, *(len(t.levels) for t in self.trees[:-1])])
            weights, levels = (np.concatenate([getattr(t, name) for t in self.trees]) for name in ("weights", "levels"))
            self._whole = weights, levels, starts
        return self._whole

    def by_tree(self, objective: Quantity, budgets: FloatArray) -> FloatArray:
        """What every tree says (T, Q) of the objective within budgets (Q, 4) in nats, rounded down; inf: no point."""
        weights, levels, starts = self._arrays()
        caps = np.minimum(budgets, self.most)
        caps[:, objective.place] = 0.0
        answer = np.empty((len(self.trees), len(budgets)))
        step = max(1, _AT_ONCE // len(levels))
        own = weights[:, objective.place, None]
        for i in range(0, len(budgets), step):
            with np.errstate(invalid="ignore"):
                paid = weights[:, :, None] * caps[i : i + step].T  # (L, 4, q)
            paid[np.isnan(paid)] = 0.0  # no weight on what has no limit
            size = np.abs(levels)[:, None] + paid.sum(axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                rest = levels[:, None] - paid.sum(axis=1) - ROUNDING * np.where(np.isfinite(size), size, 0.0)
                value = rest / own
                value = np.where(own > 0, value - _LAST_DIGITS * np.abs(value), np.where(rest > 0, np.inf, -np.inf))
            value[np.isnan(value)] = -np.inf
            value[np.broadcast_to(np.isposinf(levels)[:, None], value.shape)] = np.inf  # an empty part
            value[value > self.most[objective.place] * (1.0 + _BEYOND)] = np.inf
            answer[:, i : i + step] = np.minimum.reduceat(value, starts, axis=0)
        return answer

    def at(self, objective: Quantity, budgets: FloatArray) -> FloatArray:
        """The floor (Q,)."""
        if not len(self.trees):
            return np.full(len(budgets), -np.inf)
        return np.asarray(self.by_tree(objective, budgets).max(axis=0))


class Ceiling:
    """The least that mixtures of points are known to have."""

    def __init__(self, question: Question) -> None:
        self.question = question
        #: Whether the loss of a mixture is the average of its parts'.
        self.linear = question.name == "time-sharing" or isinstance(question, Message)
        self.points: list[Found] = []
        self._values: FloatArray | None = None
        self._losses: FloatArray | None = None
        self._tangents: list[FloatArray] = []
        self._hulls: dict[Any, _Hull | None] = {}
        self._rough: dict[Any, tuple[int, np.ndarray, _Hull | None]] = {}

    def add(self, point: Found) -> None:
        """One more point; its class posteriors serve as τ."""
        self.points.append(point)
        self._values, self._losses, self._hulls = None, None, {}
        if not self.linear:
            self._tangents.append(tangent(self.question.problem, self.question.coupling(point.parts)))

    @property
    def values(self) -> FloatArray:
        """The most that each point spends (N, 4)."""
        if self._values is None:
            self._values = np.array([p.values for p in self.points]).reshape(-1, 4)
        return self._values

    def losses(self, k: int) -> FloatArray:
        """h of every point for the τ of point k, rounded up."""
        if self.linear:
            return self.values[:, 2]
        if self._losses is None:
            flat = np.array([self.question.coupling(p.parts).ravel() for p in self.points])
            ell = np.array([t.ravel() for t in self._tangents])
            room = [p.room[2] for p in self.points]
            rounding = flat.shape[1] * 2.0**-52
            found = ell @ flat.T
            self._losses = found * (1.0 + rounding) + (1.0 + ell.max(axis=1, keepdims=True)) * (np.array(room) + 1e-15)
        return np.asarray(self._losses[k])

    def staircase(self, objective: Quantity, budgets: FloatArray) -> FloatArray:
        """The best point that meets the budgets (Q,)."""
        answer = np.full(len(budgets), np.inf)
        others = [q.place for q in EVERY if q is not objective]
        step = max(1, _AT_ONCE // max(1, 2 * len(self.points)))
        for i in range(0, len(budgets), step):
            part = budgets[i : i + step]
            met = (self.values[None, :, others] <= part[:, None, others]).all(axis=2)
            answer[i : i + step] = np.where(met, self.values[:, objective.place], np.inf).min(axis=1, initial=np.inf)
        return answer

    def best(self, objective: Quantity, budgets: FloatArray) -> tuple[int, float]:
        """The point that is the staircase at one place (1, 4), −1 if there is none, and its value."""
        others = [q.place for q in EVERY if q is not objective]
        met = (self.values[:, others] <= budgets[0, others]).all(axis=1)
        if not met.any():
            return -1, math.inf
        place = int(np.where(met, self.values[:, objective.place], np.inf).argmin())
        return place, float(self.values[place, objective.place])

    def mixed(self, objective: Quantity, budgets: FloatArray, k: int, *, rough: bool = False) -> FloatArray:
        """U_τ (Q,) for the τ of point k, rounded up; inf: no mixture is known to meet the budgets.

        ``rough``: of points near k, and of those that made up the last such: more, never less.
        """
        hull, limited = self._hull_of(objective, budgets, k, rough)
        return np.full(len(budgets), np.inf) if hull is None else hull.at(budgets[:, limited])[0]

    def mixture(self, objective: Quantity, budgets: FloatArray, k: int) -> tuple[list[tuple[int, float]], float] | None:
        """The points of the mixture that has U_τ at one place (1, 4), with their shares, and U_τ."""
        hull, limited = self._hull_of(objective, budgets, k)
        if hull is None:
            return None
        (value,), (members,), (shares,) = hull.at(budgets[:, limited])
        if value == math.inf:
            return None
        return [(int(i), float(w)) for i, w in zip(members, shares, strict=True) if w > 0], float(value)

    def _hull_of(
        self, objective: Quantity, budgets: FloatArray, k: int, rough: bool = False
    ) -> tuple[_Hull | None, tuple[int, ...]]:
        spare = budgets.min(axis=0, initial=np.inf)
        # What no point exceeds limits no mixture; but where the loss is limited τ counts more of it than there is.
        largest = self.values.max(axis=0, initial=0.0)
        limited = tuple(
            q.place
            for q in EVERY
            if q is not objective and spare[q.place] < (math.inf if q is CLASSIFICATION_LOSS else largest[q.place])
        )
        plain = self.linear or not _of_losses(objective.place, limited)
        key = (objective.place, 0 if plain else k, limited)
        if rough and not plain:
            return self._rough_hull(key), limited
        if key not in self._hulls:
            self._hulls[key] = _hull(*self._table(key))
        return self._hulls[key], limited

    def _rough_hull(self, key: Any) -> _Hull | None:
        count, corners, hull = self._rough.get(key, (0, np.zeros(0, dtype=int), None))
        if count < len(self.points):
            x, z = self._table(key)
            size = np.maximum(np.ptp(x, axis=0), 1e-300)
            near = np.argsort((((x - x[key[1]]) / size) ** 2).sum(axis=1), kind="stable")[:_NEAR]
            if (near >= count).any():
                among = np.union1d(near, corners)
                hull = _hull(x[among], z[among])
                corners = among if hull is None else among[np.unique(hull.members)]
            self._rough[key] = len(self.points), corners, hull
        return hull

    def _table(self, key: tuple[int, int, tuple[int, ...]]) -> tuple[FloatArray, FloatArray]:
        place, k, limited = key
        table = self.values.copy()
        if _of_losses(place, limited):
            table[:, CLASSIFICATION_LOSS.place] = self.losses(k)
        return table[:, limited], table[:, place]


def _of_losses(place: int, limited: tuple[int, ...]) -> bool:
    """Whether mixtures are asked for their loss, which is concave in them: one τ at a time."""
    return CLASSIFICATION_LOSS.place in (place, *limited)


@dataclass(frozen=True, eq=False)
class _Hull:
    """Simplices of points (F, b + 1) whose lower side is the hull; ``inverses`` (F, b + 1, b + 1) give the shares of
    their corners in a place (x, 1)."""

    x: FloatArray
    z: FloatArray
    least: FloatArray
    most: FloatArray
    members: np.ndarray
    inverses: FloatArray

    def at(self, budgets: FloatArray) -> tuple[FloatArray, np.ndarray, FloatArray]:
        """The least mean of z over mixtures whose mean of x is ≤ the budgets (Q, b), each mixture checked.

        With the points of each mixture, and their shares, (Q, b + 1).
        """
        corners = self.members.shape[1]
        answer, points = np.full(len(budgets), np.inf), np.zeros((len(budgets), corners), dtype=int)
        shares = np.zeros(points.shape)
        aim = np.minimum((budgets - self.least) / (self.most - self.least), 1.0) - _INSIDE
        step = max(1, _AT_ONCE // self.inverses.size)
        for i in range(0, len(budgets), step):
            right = np.column_stack([aim[i : i + step], np.ones(len(aim[i : i + step]))])
            share = np.einsum("fab,qb->qfa", self.inverses, right)
            # One facet is over a place; where two are, to rounding, either may miss a budget by a hair.
            tried = np.argsort(-share.min(axis=2), axis=1, kind="stable")[:, :_FACETS]
            share = np.maximum(np.take_along_axis(share, tried[:, :, None], axis=1), 0.0)
            share /= np.maximum(share.sum(axis=2, keepdims=True), 1e-300)
            members = self.members[tried]
            spent = (share[..., None] * self.x[members]).sum(axis=2) * (1.0 + 2 * _LAST_DIGITS)
            value = (share * self.z[members]).sum(axis=2) * (1.0 + 2 * _LAST_DIGITS)
            met = (spent <= budgets[i : i + step, None]).all(axis=2) & np.isfinite(value)
            value = np.where(met, value, np.inf)
            best = np.arange(len(value)), value.argmin(axis=1)
            answer[i : i + step] = value[best]
            points[i : i + step], shares[i : i + step] = members[best], share[best]
        return answer, points, shares


def _hull(x: FloatArray, z: FloatArray) -> _Hull | None:
    """The lower hull of z over x (N, b), closed towards larger x; None where there is no volume to it."""
    from scipy.spatial import ConvexHull, QhullError

    n, b = x.shape
    if n == 0:
        return None
    if b == 0:  # nothing is limited: the best point
        return _Hull(x, z, np.zeros(0), np.zeros(0), np.array([[z.argmin()]]), np.ones((1, 1, 1)))
    most, least = x.max(axis=0), x.min(axis=0)
    owner, shifted = [np.arange(n)], [x]
    for bits in range(1, 2**b):  # a point that spends more than it does
        more = x.copy()
        for j in range(b):
            if bits >> j & 1:
                more[:, j] = most[j]
        shifted.append(more)
        owner.append(np.arange(n))
    corners, owners = np.concatenate(shifted), np.concatenate(owner)
    heights = np.tile(z, 2**b)
    spread, tall = most - least, max(float(np.ptp(z)), 1e-300)
    if (spread <= 0).any():
        return None
    lifted = np.column_stack([(corners - least) / spread, (heights - z.min()) / tall])
    top = np.append(np.ones(b), 2.0)[None]
    try:
        hull = ConvexHull(np.concatenate([lifted, top]))
    except QhullError:
        return None
    below = (hull.equations[:, b] < -1e-12) & (hull.simplices < len(lifted)).all(axis=1)
    simplices = hull.simplices[below]
    systems = np.concatenate([np.swapaxes(lifted[simplices, :b], 1, 2), np.ones((len(simplices), 1, b + 1))], axis=1)
    solid = np.abs(np.linalg.det(systems)) > 1e-12  # else there is nothing over it
    if not solid.any():
        return None
    return _Hull(x, z, least, most, owners[simplices[solid]], np.linalg.inv(systems[solid]))
