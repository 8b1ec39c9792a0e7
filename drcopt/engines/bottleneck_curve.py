"""Many points of one bottleneck curve at once: tangents α I + H(S|T) ≥ Λ and the atoms of the points that touch them.

At slope α a point of least α I + H(S|T) is a lower envelope: its atoms, posteriors p of X, lie on the plane ⟨f, p⟩ that
supports F(p) = α D(p‖px) + H(Wᵀp) from below at px. Simplex steps over posteriors spread evenly find the atoms roughly,
for all slopes together. Then atoms become local minima of F − f, those that are one are made one, and Newton's method
on f and the weights (see :mod:`drcopt.engines.atoms`), and on α where a rate or a loss is asked for, finds the rest.
It proves nothing: minima elsewhere may lie below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from drcopt.bounds.pricing.unconfined import Letters
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Posteriors spread over a simplex, at most; pivots; Newton's steps, and the residual that is rounding.
_SPREAD, _PIVOTS, _STEPS, _ROUNDING = 150, 60, 14, 2e-12
#: Simplex programs with more and more local minima; what of the conditions of optimality may be missed, and how far
#: below a plane columns may lie, relative.
_TURNS, _MISSED, _BELOW = 8, 1e-9, 1e-10
#: Convex-concave and Newton steps from a column to its local minimum, and from a minimum to the next.
_DESCENTS, _SHARPENED, _KEPT = 3, 4, 2
#: Posteriors nearer to each other than this are one atom; the least weight; by what factor α changes in a step at most.
_SAME, _LIGHT, _FACTOR = 1e-6, 1e-12, 2.0
_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class Touching:
    """Slopes (K,), planes f (K, n), and atoms p (K, J, n) with weights (K, J), 0 where there are fewer."""

    alpha: FloatArray
    f: FloatArray
    p: FloatArray
    weights: FloatArray

    def take(self, index: np.ndarray) -> Touching:
        """Some of them."""
        return Touching(self.alpha[index], self.f[index], self.p[index], self.weights[index])

    def joined(self, other: Touching) -> Touching:
        """With others behind."""
        return Touching(
            *(np.concatenate([a, b]) for a, b in zip(vars(self).values(), vars(other).values(), strict=True))
        )


def spread(n: int, px: FloatArray) -> FloatArray:
    """Posteriors (N, n): letters alone first, then as even a spread as there is room for, and px."""
    parts = 1
    while math.comb(parts + n, n - 1) <= _SPREAD and parts < 24:
        parts += 1
    at = [np.bincount(places, minlength=n) / parts for places in combinations_with_replacement(range(n), parts)]
    inner = [p for p in at if p.max() < 1.0]
    return np.vstack([np.eye(n), *inner, px])


def values(px: FloatArray, W: FloatArray, p: FloatArray) -> tuple[FloatArray, FloatArray]:
    """D(p‖px) and H(Wᵀp) of posteriors (…, n)."""
    tau = p @ W
    divergence = (p * np.log(np.maximum(p, _TINY) / px)).sum(axis=-1)
    return np.asarray(divergence), np.asarray(-(tau * np.log(np.maximum(tau, _TINY))).sum(axis=-1))


def at_slopes(px: FloatArray, W: FloatArray, alpha: FloatArray, columns: FloatArray) -> Touching:
    """Where the curve has these slopes (K,), from columns (N, n) of which the first are the letters alone."""
    K, n = len(alpha), len(px)
    found = Touching(alpha, np.zeros((K, n)), np.zeros((K, n + 1, n)), np.zeros((K, n + 1)))
    left = np.arange(K)
    for _ in range(_TURNS):
        divergence, entropy = values(px, W, columns)
        f, basis, weights = _simplex(alpha[left, None] * divergence + entropy, columns, px)
        p = np.concatenate([columns[basis], np.broadcast_to(px, (len(left), 1, n))], axis=1)
        weights = np.concatenate([weights, np.zeros((len(left), 1))], axis=1)
        each = Letters(-f.T, alpha[left], 1.0, np.log(px), W)
        sharp, _ = each.sharpened(np.repeat(np.arange(len(left)), n + 1), p.reshape(-1, n), _DESCENTS, _SHARPENED)
        at, missed = newton(px, W, Touching(alpha[left], f, sharp.reshape(p.shape), weights))
        cost = alpha[left, None] * divergence + entropy
        good = (missed <= _MISSED) & ((cost - at.f @ columns.T).min(axis=1) >= -_BELOW * np.abs(cost).max())
        now = _chosen(good, at, Touching(alpha[left], f, p, weights))
        for old, new in zip(vars(found).values(), vars(now).values(), strict=True):
            old[left] = new
        left = left[~good]
        if not len(left) or clock.expired():
            break
        columns = np.vstack([columns, sharp.reshape(p.shape)[~good].reshape(-1, n)])
    return found


def _simplex(cost: FloatArray, columns: FloatArray, px: FloatArray) -> tuple[FloatArray, np.ndarray, FloatArray]:
    """Multipliers (K, n), bases (K, n) and weights of min Σ w cost with Σ w column = px, for costs (K, N)."""
    K, n = len(cost), len(px)
    rows = np.arange(K)
    basis = np.tile(np.arange(n), (K, 1))
    inverse = np.tile(np.eye(n), (K, 1, 1))
    weights = np.tile(px, (K, 1))
    f = cost[:, :n].copy()
    scale = 1e-12 * np.abs(cost).max()
    for _ in range(_PIVOTS * n):
        reduced = cost - f @ columns.T
        j = reduced.argmin(axis=1)
        least = reduced[rows, j]
        busy = least < -scale
        if not busy.any() or clock.expired():
            break
        along = np.einsum("kij,kj->ki", inverse, columns[j])
        ratio = np.where(along > 1e-11, weights / np.where(along > 1e-11, along, 1.0), np.inf)
        i = ratio.argmin(axis=1)
        step = np.where(busy & np.isfinite(ratio[rows, i]), ratio[rows, i], 0.0)
        moved = busy & np.isfinite(ratio[rows, i])
        pivot = np.where(moved, along[rows, i], 1.0)
        row = inverse[rows, i] / pivot[:, None]
        weights = np.maximum(weights - step[:, None] * along, 0.0)
        f = f + np.where(moved, least, 0.0)[:, None] * row
        inverse = inverse - np.where(moved, 1.0, 0.0)[:, None, None] * along[:, :, None] * row[:, None, :]
        some = rows[moved]
        inverse[some, i[some]], weights[some, i[some]], basis[some, i[some]] = row[some], step[some], j[some]
        if not moved.any():
            break
    return f, basis, weights


def newton(
    px: FloatArray, W: FloatArray, at: Touching, place: int | None = None, goal: FloatArray | None = None
) -> tuple[Touching, FloatArray]:
    """Newton's method from near: at the same slopes, or where the rate (place 0) or the loss (1) is ``goal`` (K,).

    Also by how much the conditions of optimality are missed, inf where it ended in nothing.
    """
    alpha, f, p, weights = at.alpha.copy(), at.f.copy(), at.p.copy(), at.weights.copy()
    K, J, n = p.shape
    log_px, y = np.log(px), np.repeat(np.arange(K), J)
    best, missed = at, np.full(K, np.inf)
    size = n + 1 + J
    unit = np.arange(J)
    with np.errstate(all="ignore"):
        for step in range(_STEPS):
            p = Letters(-f.T, alpha, 1.0, log_px, W).sharpened(y, p.reshape(-1, n), 0, _KEPT)[0].reshape(p.shape)
            weights = _merged(p, weights)
            some = weights > 0.0
            logs = np.log(np.maximum(p, _TINY) / px)
            tau = np.maximum(p @ W, _TINY)
            log_tau = np.log(tau)
            value = np.stack([(p * logs).sum(axis=2), -(tau * log_tau).sum(axis=2)], axis=-1)
            rest = np.where(some, alpha[:, None] * value[:, :, 0] + value[:, :, 1] - np.einsum("kjn,kn->kj", p, f), 0.0)
            off = np.einsum("kj,kjn->kn", weights, p) - px
            over = np.zeros(K) if place is None or goal is None else (weights * value[:, :, place]).sum(axis=1) - goal
            now = np.abs(off).max(axis=1) + np.abs(rest).max(axis=1) + np.abs(over)
            now = np.where(np.isfinite(now), now, np.inf)
            better = now < missed
            missed = np.where(better, now, missed)
            best = _chosen(better, Touching(alpha, f, p, weights), best)
            if (missed <= _ROUNDING).all() or step == _STEPS - 1 or (step > 3 and not better.any()) or clock.expired():
                break
            # Atoms move by −M⁻¹K dz, K the derivative of the slope of F − f by z = (f, α); last are the loss's slopes.
            slopes = np.broadcast_to(-np.eye(n), (K, J, n, n))
            slopes = np.concatenate([slopes, logs[..., None], -(log_tau @ W.T)[..., None]], axis=3)
            curved = slopes.transpose(0, 1, 3, 2) @ (_inverse(p, tau, alpha, W) @ slopes)
            curved = np.einsum("kj,kjab->kab", weights, curved)
            matrix, right = np.zeros((K, size, size)), np.zeros((K, size))
            matrix[:, :n, : n + 1] = curved[:, :n, : n + 1]  # Σ w p = px
            matrix[:, :n, n + 1 :] = np.where(some[:, None, :], p.transpose(0, 2, 1), 0.0)
            right[:, :n], right[:, n + 1 :] = -off, -rest
            matrix[:, n, n] = 1.0
            if place is not None:
                matrix[:, n, : n + 1] = -curved[:, n + place, : n + 1]
                matrix[:, n, n + 1 :] = np.where(some, value[:, :, place], 0.0)
                right[:, n] = -over
            matrix[:, n + 1 :, :n] = np.where(some[:, :, None], -p, 0.0)  # F = f at every atom
            matrix[:, n + 1 :, n] = np.where(some, value[:, :, 0], 0.0)
            matrix[:, n + 1 + unit, n + 1 + unit] += np.where(some, 0.0, 1.0)
            change = _solved(matrix, right)
            shrink = np.maximum(1.0, np.abs(change[:, n] / (alpha * (1.0 - 1.0 / _FACTOR))))[:, None]
            f = f + change[:, :n] / shrink
            alpha = alpha + change[:, n] / shrink[:, 0]
            weights = np.where(some, weights + change[:, n + 1 :] / shrink, 0.0)
            weights = np.where(weights > _LIGHT, weights, 0.0)
    return best, missed


def _merged(p: FloatArray, weights: FloatArray) -> FloatArray:
    """The weights (K, J) once atoms that are others again have given theirs to the first."""
    J = weights.shape[1]
    near = (np.abs(p[:, :, None, :] - p[:, None, :, :]).sum(axis=3) <= _SAME) & (weights > 0.0)[:, None, :]
    first = np.where(weights > 0.0, near.argmax(axis=2), np.arange(J))
    return np.asarray(((first[:, None, :] == np.arange(J)[:, None]) * weights[:, None, :]).sum(axis=2))


def _inverse(p: FloatArray, tau: FloatArray, alpha: FloatArray, W: FloatArray) -> FloatArray:
    """M⁻¹ on δ with Σ δ = 0, M the second derivative of F, at atoms (K, J, n): shape (K, J, n, n)."""
    n, k = W.shape
    p = np.maximum(p, _TINY) / alpha[:, None, None]
    scaled = p[..., None] * W
    small = -(W.T @ scaled)
    small[..., np.arange(k), np.arange(k)] += tau
    try:
        inner = np.linalg.inv(small)
    except np.linalg.LinAlgError:
        inner = np.linalg.pinv(np.where(np.isfinite(small), small, 0.0), rcond=1e-13, hermitian=True)
    inverse = scaled @ inner @ np.swapaxes(scaled, -1, -2)
    inverse[..., np.arange(n), np.arange(n)] += p
    moved = inverse.sum(axis=-1)
    return np.asarray(inverse - moved[..., None] * (moved / moved.sum(axis=-1, keepdims=True))[..., None, :])


def _solved(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """The solutions of square systems; 0 where there is none."""
    sound = np.asarray(np.isfinite(matrix).all(axis=(1, 2)) & np.isfinite(right).all(axis=1))
    matrix = np.where(sound[:, None, None], matrix, np.eye(matrix.shape[1]))
    right = np.where(sound[:, None], right, 0.0)
    try:
        answer = np.linalg.solve(matrix, right[..., None])[..., 0]
    except np.linalg.LinAlgError:
        answer = (np.linalg.pinv(matrix, rcond=1e-12) @ right[..., None])[..., 0]
    return np.asarray(np.where(np.isfinite(answer), answer, 0.0))


def _chosen(which: np.ndarray, one: Touching, other: Touching) -> Touching:
    """One where it is so, else the other."""
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return Touching(*(np.where(which.reshape(-1, *[1] * (a.ndim - 1)), a, b) for a, b in pairs))
