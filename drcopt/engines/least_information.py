"""The coupling of least information within linear limits, by Newton's method on its smooth dual.

  min I(P)  over P in Γ(px, py) with ⟨a_j, P⟩ ≤ b_j for each of a few forms a_j of shape (n, m).

The optimal P has columns py(y)·p_y with p_y ∝ px exp(f − Σ v_j a_j). Eliminating the column potentials leaves the
concave function

  Ψ(f, v) = f·px − v·b − Σ_y py(y) log Σ_x px exp(f − Σ v_j a_j),   v ≥ 0,

with ∂Ψ/∂f = px − P1 and ∂Ψ/∂v = ⟨a, P⟩ − b, and minus the py-average of covariances under p_y as its Hessian.
Ψ at any point is a lower bound on the optimum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from drcopt.support import clock
from drcopt.support.check import FloatArray


@dataclass(frozen=True, eq=False)
class Least:
    """Potentials f (n,) and multipliers v of the forms, the coupling they give, and Ψ there."""

    f: FloatArray
    v: FloatArray
    P: FloatArray
    value: float
    row_error: FloatArray
    over: FloatArray

    @property
    def miss(self) -> float:
        """How far from optimal: rows, limits exceeded, and limits that cost something but are slack."""
        slack = np.where(self.v > 0, np.abs(self.over), np.maximum(self.over, 0.0))
        return float(np.abs(self.row_error).sum() + slack.sum())


def least_information(
    px: FloatArray,
    py: FloatArray,
    forms: FloatArray,
    limits: FloatArray,
    start: tuple[FloatArray, FloatArray] | None = None,
    *,
    most: float,
    tol: float = 1e-13,
    steps: int = 80,
) -> Least | None:
    """The dual optimum from ``start`` (f, v), forms of shape (q, n, m); None if no coupling meets the limits.

    ``most`` is an information that no coupling exceeds: a dual value above it shows that there is none. At the deadline
    it is the last iterate, with what it misses.
    """
    f, v = (np.zeros(len(px)), np.zeros(len(forms))) if start is None else start
    now = _evaluate(px, py, forms, limits, f, v)
    for _ in range(steps):
        if now.value > most * (1 + 1e-9) + 1e-9:
            return None
        if now.miss <= tol or clock.expired():
            break
        step = _newton(px, py, forms, now)
        trial = None if step is None else _search(px, py, forms, limits, now, *step)
        if trial is None:
            break
        now = trial
    return now


def _evaluate(
    px: FloatArray, py: FloatArray, forms: FloatArray, limits: FloatArray, f: FloatArray, v: FloatArray
) -> Least:
    E = f[:, None] - np.tensordot(v, forms, axes=1) + np.log(px)[:, None]
    top = E.max(axis=0)
    P = np.exp(E - top)
    total = P.sum(axis=0)
    P *= py / total
    value = float(f @ px - v @ limits - py @ (top + np.log(total)))
    return Least(f, v, P, value, px - P.sum(axis=1), np.tensordot(forms, P, axes=2) - limits)


def _newton(px: FloatArray, py: FloatArray, forms: FloatArray, now: Least) -> tuple[FloatArray, FloatArray] | None:
    """Steps in f and v; limits that are slack and cost nothing stay out."""
    free = np.flatnonzero((now.v > 0) | (now.over > 0))
    root, n, q = np.sqrt(px), len(px), len(free)
    K = now.P / root[:, None] / np.sqrt(py)
    H = np.zeros((n + q, n + q))
    H[:n, :n] = np.diag(now.P.sum(axis=1) / px) - K @ K.T + np.outer(root, root)
    means = np.einsum("qxy,xy->qy", forms[free], now.P) / py
    centred = forms[free] - means[:, None, :]
    H[n:, :n] = -np.einsum("qxy,xy->qx", centred, now.P) / root
    H[:n, n:] = H[n:, :n].T
    H[n:, n:] = np.einsum("pxy,qxy,xy->pq", centred, centred, now.P)
    size = np.sqrt(np.maximum(np.diag(H)[n:], 1e-300))
    H[n:] /= size[:, None]
    H[:, n:] /= size
    H[np.diag_indices(n + q)] += 1e-14
    gradient = np.concatenate([now.row_error / root, now.over[free] / size])
    try:
        step = np.linalg.solve(H, gradient)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(step).all():
        return None
    dv = np.zeros(len(now.v))
    dv[free] = step[n:] / size
    return step[:n] / root, dv


def _search(
    px: FloatArray,
    py: FloatArray,
    forms: FloatArray,
    limits: FloatArray,
    now: Least,
    df: FloatArray,
    dv: FloatArray,
) -> Least | None:
    """The point along a step that raises Ψ, or, where that is rounding, brings the gradient down."""
    slope = float(df @ now.row_error + dv @ now.over)
    length = min(1.0, 20.0 / max(float(np.abs(df).max()), 1e-300))
    for _ in range(40):
        if clock.expired():
            break
        trial = _evaluate(px, py, forms, limits, now.f + length * df, np.maximum(now.v + length * dv, 0.0))
        if math.isfinite(trial.value):
            rise = trial.value - now.value
            if rise > 0.1 * length * max(slope, 0.0) and rise > 1e-15:
                return trial
            if trial.miss < 0.9 * now.miss and rise > -1e-13:
                return trial
        length *= 0.4
    return None
