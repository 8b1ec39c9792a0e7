"""A weaker dual bound for one-shot codes, for alphabets too large to minimise over all maps.

The cells A_y = f⁻¹(y) of a map partition the letters of X. Relax that: every letter y has a mixture of sets of
its own, and each x lies in one set on average, over y. With multipliers f(x) for that, ν(y) (masses), α, γ ≥ 0,

  w E d + α H(Y|U) + γ loss ≥ f·px + ν·py + Σ_y min_A [ Σ_{x∈A} px (w d(x,y) − f(x) − ν(y)) + α η(px(A)) + γ L(A) ],

η(t) = −t log t, L(A) = P(X∈A) H(S|X∈A). H(S|Y) ≥ H(S|Y,U) = Σ λ_f Σ_y L(f⁻¹(y)), so it holds whatever the
classifier sees. For γ = 0 the least over sets is exact: η is concave, so the best set takes the letters whose
cost per mass is below some level, in order. With γ > 0 that is applied with chords of η in the place of the
entropies of P(s|A), on boxes of these that are halved where the bound is too low.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from drcopt.formulations import Question
from drcopt.problem import Problem, Standard
from drcopt.questions import Piece, lowered
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Rounds of halving, boxes at once and letters of X in them, at most.
_ROUNDS, _BOXES, _ENTRIES = 40, 20_000, 4e6
#: How close to the least value the bound should come, relative.
_CLOSE = 1e-8


class CellPricing:
    """The least of Σ_{x∈A} cost(x, y) + α η(px(A)) + γ L(A) over the sets A of letters of X, for every y."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._joint = problem.px[:, None] * problem.ps_given_x

    def least(self, cost: FloatArray, alpha: float, gamma: float) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Bounds from below (m,) and good sets (m, n), for costs of shape (n, m)."""
        rows = np.ascontiguousarray(cost.T)
        if gamma == 0 or self.problem.k == 1:
            return self._prefixes(rows, alpha)
        return self._by_boxes(rows, alpha, gamma)

    def value(self, cost: FloatArray, alpha: float, gamma: float, sets: NDArray[np.bool_]) -> FloatArray:
        """The quantity itself for costs (…, n) and sets (…, n)."""
        joint = sets @ self._joint
        mass = entr(np.minimum(joint.sum(axis=-1), 1.0))
        return np.asarray((cost * sets).sum(axis=-1) + alpha * mass + gamma * (entr(joint).sum(axis=-1) - mass))

    def _prefixes(self, cost: FloatArray, alpha: float) -> tuple[FloatArray, NDArray[np.bool_]]:
        """γ = 0: exact least values and sets for each row of costs, letters taken in order of cost per mass."""
        order = np.argsort(cost / self.problem.px, axis=-1)
        mass = np.minimum(np.cumsum(self.problem.px[order], axis=-1), 1.0)
        mass[..., -1] = 1.0
        totals = np.cumsum(np.take_along_axis(cost, order, axis=-1), axis=-1) + alpha * entr(mass)
        last = np.argmin(totals, axis=-1)
        best = np.take_along_axis(totals, last[..., None], axis=-1)[..., 0]
        taken = (np.arange(cost.shape[-1]) <= last[..., None]) & (best < 0)[..., None]
        sets = np.zeros(cost.shape, dtype=bool)
        np.put_along_axis(sets, order, taken, axis=-1)
        return np.minimum(best, 0.0), sets

    def _by_boxes(self, cost: FloatArray, alpha: float, gamma: float) -> tuple[FloatArray, NDArray[np.bool_]]:
        """γ > 0: where every P(s|A) is in [l, u], L(A) is at least P(A) Σ_s chord, which is linear in A."""
        p, m = self.problem, len(cost)
        W = p.ps_given_x
        letter = np.arange(m)
        low, high = (np.tile(ends, (m, 1)) for ends in (W.min(axis=0), W.max(axis=0)))
        closed, best, sets = np.zeros(m), np.zeros(m), np.zeros(cost.shape, dtype=bool)
        close = _CLOSE * (float(np.abs(cost).sum(axis=1).max()) + alpha + gamma)
        for step in range(_ROUNDS + 1):
            wide = high - low > 1e-14
            slope = np.where(wide, (entr(high) - entr(low)) / np.where(wide, high - low, 1.0), 0.0)
            base = np.where(wide, entr(low) - slope * low, np.minimum(entr(low), entr(high))).sum(axis=1)
            bounds, found = self._prefixes(cost[letter] + gamma * p.px * (base[:, None] + slope @ W.T), alpha)
            values = self.value(cost[letter], alpha, gamma, found)
            for i in np.flatnonzero(values < best[letter]):
                if values[i] < best[letter[i]]:
                    best[letter[i]], sets[letter[i]] = values[i], found[i]
            open_ = np.flatnonzero(bounds < best[letter] - close)
            if step == _ROUNDS or len(open_) > min(_BOXES, _ENTRIES / self.problem.n) or clock.expired():
                open_ = open_[:0]
            shut = np.ones(len(letter), dtype=bool)
            shut[open_] = False
            np.minimum.at(closed, letter[shut], bounds[shut])
            if not len(open_):
                return closed, sets
            joint = found[open_] @ self._joint
            letter, low, high = letter[open_], low[open_], high[open_]
            letter, low, high = _halved(letter, low, high, joint / np.maximum(joint.sum(axis=1), 1e-300)[:, None])
        raise AssertionError("unreachable")


def _halved(
    letter: NDArray[np.int64], low: FloatArray, high: FloatArray, at: FloatArray
) -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
    """Boxes [low, high] (count, k) split where the chords are furthest below η at the posteriors ``at``."""
    width = np.maximum(high - low, 1e-300)
    share = np.clip((at - low) / width, 0.0, 1.0)
    error = entr(low + share * width) - (1 - share) * entr(low) - share * entr(high)
    rows = np.arange(len(letter))
    s = np.where(error.max(axis=1) > 1e-12, error.argmax(axis=1), width.argmax(axis=1))
    cut = low[rows, s] + np.clip(share[rows, s], 0.2, 0.8) * width[rows, s]
    first, second = high.copy(), low.copy()
    first[rows, s] = second[rows, s] = cut
    letter, low, high = np.tile(letter, 2), np.concatenate([low, second]), np.concatenate([first, high])
    # What the other coordinates leave of each, widened by more than rounding.
    least = 1.0 - high.sum(axis=1, keepdims=True) + high - 1e-14
    most = 1.0 - low.sum(axis=1, keepdims=True) + low + 1e-14
    low, high = np.maximum(low, least), np.minimum(high, most)
    held = (low <= high + 1e-12).all(axis=1)
    return letter[held], low[held], np.maximum(low, high)[held]


@dataclass(frozen=True, eq=False)
class CellDual:
    """Evidence: multipliers f (n,) and ν (m,), and the weights α, γ and w."""

    f: FloatArray
    nu: FloatArray
    rate: float
    conditional: float
    distortion: float = 1.0

    def bound(self, question: Question) -> float:
        problem = question.problem
        w, alpha, gamma = weights = (float(self.distortion), float(self.rate), float(self.conditional))
        fits = np.shape(self.f) == (problem.n,) and np.shape(self.nu) == (problem.m,)
        if question.laws is not None:
            return -math.inf  # it is about a given law
        if not fits or not all(np.isfinite(a).all() for a in (self.f, self.nu, weights)) or min(weights) < 0:
            return -math.inf
        cost = problem.px[:, None] * (w * problem.d - self.f[:, None] - self.nu)
        least, _ = CellPricing(problem).least(cost, alpha, gamma)
        level = lowered(
            math.fsum([float(self.f @ problem.px), float(self.nu @ problem.py), *least]),
            problem.m * float(np.abs(cost).sum(axis=0).max()),
            float(np.abs(self.f) @ problem.px + np.abs(self.nu) @ problem.py),
            problem.m * (alpha + gamma) * math.log(problem.k + 2.0),
        )
        return question.bound(Piece(weights, level))

    def framed(self, change: Standard) -> CellDual:
        if self.distortion == 0:
            return self  # does not mention d
        w, scale = self.distortion, change.scale
        return CellDual(
            scale * self.f + w * change.row,
            scale * self.nu + w * change.column,
            scale * self.rate,
            scale * self.conditional,
            w,
        )
