"""Newton's method on the atoms of a message: letters, posteriors and weights, and the multipliers they go with.

At the optimum every atom's posterior is a local minimum of L(p) = ⟨w d_y − f, p⟩ + α D(p‖px) + β H(Wᵀp), all these
minima are equal (for each letter of Y, if its law is given), and the weights average the atoms to px within limits that
are tight. Where the minima are smooth in the multipliers that is a square system: with K the derivative of ∇L by the
multipliers and M the Hessian of L, that of the least L is −KᵀM⁻¹K. It knows nothing of posteriors elsewhere: those that
price below the atoms are to be taken in, or the answer is none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from drcopt.bounds.pricing.unconfined import Letters
from drcopt.engines.cuts import Columns
from drcopt.engines.lagrangian import LEAST_ALPHA, Lagrangian
from drcopt.problem import Problem
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Steps, and those without progress that end it; the residual that is rounding.
_STEPS, _STUCK, _ROUNDING = 25, 4, 1e-12
#: Most that a weight of the bound may change in a step, as a factor; steps that bring posteriors to their minima.
_FACTOR, _SHARPENED = 2.0, 2
#: Posteriors nearer to each other than this are one atom; lighter atoms are none.
_SAME = 1e-6
#: A multiplier so much smaller than the others is 0.
_IDLE = 1e-7
_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class Atoms:
    """Multipliers z, atoms, their weights, and by how much the conditions of optimality are missed."""

    z: FloatArray
    columns: Columns
    weights: FloatArray
    missed: float


def settled(
    lagrangian: Lagrangian, z: FloatArray, columns: Columns, weights: FloatArray, limits: FloatArray
) -> Atoms | None:
    """The atoms and multipliers near these that are optimal within ``limits`` on (E d, I, H(S|Y)); None if none are.

    Limits whose multiplier is 0 play no part. Of ``lagrangian`` the laws must be all, or one.
    """
    problem, n = lagrangian.problem, lagrangian.problem.n
    if len(z) != n + 3 or z[n + 1] <= LEAST_ALPHA or z[n + 2] <= 0.0 or problem.forbidden.any():
        return None
    best: Atoms | None = None
    idle = 0
    for _ in range(_STEPS):
        active = [i for i, (low, high) in enumerate(lagrangian.ranges) if low < high and z[n + i] > 0.0]
        columns, weights = _distinct(*_at_minima(problem, z, columns, weights))
        answer = _step(lagrangian, z, columns, weights, limits, active)
        if answer is None or clock.expired():
            break
        now, change, weights = answer
        if best is None or now.missed < 0.5 * best.missed:
            best, idle = now, 0
        else:
            best, idle = min(best, now, key=lambda one: one.missed), idle + 1
        if best.missed <= _ROUNDING or idle >= _STUCK:
            break
        kept = weights > 0.0
        if not kept.any():
            break
        columns, weights = columns.take(np.flatnonzero(kept)), weights[kept]
        heavy = [n + i for i in active]
        with np.errstate(divide="ignore"):
            shrink = float(np.abs(change[heavy] / (z[heavy] * (1.0 - 1.0 / _FACTOR))).max(initial=0.0))
        z = z + change / max(1.0, shrink)
        z[n:] = np.where(z[n:] > _IDLE * z[n:].max(), z[n:], 0.0)  # a limit that is slack
        if z[n + 1] == 0.0 or z[n + 2] == 0.0:
            break
    return best


def _at_minima(problem: Problem, z: FloatArray, columns: Columns, weights: FloatArray) -> tuple[Columns, FloatArray]:
    """The atoms moved to the local minima they are near."""
    n = problem.n
    cost = z[n] * problem.d[:, columns.y] - z[:n, None]
    each = Letters(cost, float(z[n + 1]), float(z[n + 2]), np.log(problem.px), problem.ps_given_x)
    p, _ = each.sharpened(np.arange(len(columns.y)), columns.p, 0, _SHARPENED)
    return Columns.of(problem, columns.y, p), weights


def _distinct(columns: Columns, weights: FloatArray) -> tuple[Columns, FloatArray]:
    """Without atoms that are others again."""
    J = len(weights)
    apart = np.abs(columns.p[:, None, :] - columns.p[None, :, :]).sum(axis=2) > _SAME
    apart |= columns.y[:, None] != columns.y
    if apart.sum() == J * J - J:
        return columns, weights
    twin = (~apart).argmax(axis=1)  # the first that it is near
    total = np.zeros(J)
    np.add.at(total, twin, weights)
    kept = np.flatnonzero(twin == np.arange(J))
    return columns.take(kept), total[kept]


def _step(
    lagrangian: Lagrangian,
    z: FloatArray,
    columns: Columns,
    weights: FloatArray,
    limits: FloatArray,
    active: list[int],
) -> tuple[Atoms, FloatArray, FloatArray] | None:
    """Where this is, Newton's change of z, and the weights after it."""
    problem = lagrangian.problem
    n, J = problem.n, len(columns.y)
    free = np.concatenate([np.arange(n), n + np.array(active, dtype=np.intp)])
    values = np.column_stack([columns.distortion, columns.divergence, columns.entropy])
    slopes = np.hstack([-columns.p, values])[:, free]
    goal = np.concatenate([problem.px, -limits[active]])
    L, several = columns.value(z), lagrangian.laws is None
    letters = np.zeros((J, problem.m - 1 if several else 0))
    level = np.zeros(J)
    if several:  # every letter has a least of its own, less that of the last
        each = np.full(problem.m, math.inf)
        np.minimum.at(each, columns.y, L)
        if not np.isfinite(each).all():
            return None
        level = each[columns.y]
        inner = columns.y < problem.m - 1
        letters[np.flatnonzero(inner), columns.y[inner]] = 1.0
        level = level - each[-1]
        goal = np.concatenate([goal, problem.py[:-1]])
    rest = L - level
    gradient = np.hstack([slopes, -letters])
    missed = float(np.abs(weights @ gradient + goal).max() + np.ptp(rest))
    size = len(goal)
    matrix = np.zeros((size + J, size + J))
    matrix[: len(free), : len(free)] = -_curvature(problem, columns, weights, z)[np.ix_(free, free)]
    matrix[size:, :size], matrix[:size, size:] = gradient, gradient.T
    right = np.concatenate([-goal, -rest])
    try:
        answer = np.linalg.solve(matrix, right)
    except np.linalg.LinAlgError:
        answer = np.linalg.lstsq(matrix, right, rcond=1e-12)[0]
    if not np.isfinite(answer).all():
        return None
    change = np.zeros(len(z))
    change[free] = answer[: len(free)]
    return Atoms(z, columns, weights, missed), change, answer[size:]


def _curvature(problem: Problem, columns: Columns, weights: FloatArray, z: FloatArray) -> FloatArray:
    """Σ μ_j KᵀM⁻¹K, M⁻¹ on posteriors: steps v with Σ v = 0."""
    n, W, p = problem.n, problem.ps_given_x, np.maximum(columns.p, _TINY)
    alpha, beta = float(z[n + 1]), float(z[n + 2])
    tau = np.maximum(columns.p @ W, _TINY)
    scaled = (p / alpha)[:, :, None] * W
    small = -(W.T @ scaled)
    small[:, np.arange(W.shape[1]), np.arange(W.shape[1])] += tau / beta
    inverse = scaled @ np.linalg.pinv(small, rcond=1e-13, hermitian=True) @ scaled.transpose(0, 2, 1)
    inverse[:, np.arange(n), np.arange(n)] += p / alpha
    moved = inverse.sum(axis=2)
    inverse -= moved[:, :, None] * (moved / moved.sum(axis=1)[:, None])[:, None, :]
    K = np.zeros((len(p), n, n + 3))
    K[:, np.arange(n), np.arange(n)] = -1.0
    K[:, :, n] = problem.d.T[columns.y]
    K[:, :, n + 1] = np.log(p / problem.px)
    K[:, :, n + 2] = -np.log(tau) @ W.T
    return np.asarray((weights[:, None, None] * (K.transpose(0, 2, 1) @ inverse @ K)).sum(axis=0))
