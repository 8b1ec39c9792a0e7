"""Steps of ν in the cells of :mod:`.spatial`: Newton's by faces, and those of an interior-point method."""

from __future__ import annotations

import numpy as np

from drcopt.support.check import FloatArray

#: What a step aims at, of the mean product of slacks and multipliers; how near a bound it goes; the first slacks, of
#: the cell's width, and the first multipliers, of the costs' size.
_AIM, _NEAR, _SLACK, _PRICE = 0.1, 0.9, 0.1, 0.01
#: No score over α changes by more in one step.
_FARTHEST = 4.0


def by_faces(
    W: FloatArray,
    p: FloatArray,
    tau: FloatArray,
    r: FloatArray,
    face: np.ndarray,
    target: FloatArray,
    alpha: float,
    convex: float,
) -> FloatArray:
    """A step of ν towards r = 0 off the faces and dτ = target on them."""
    k = W.shape[1]
    slope = _slope(W, p, tau, alpha)
    free_rows = np.eye(k) - convex * slope / np.maximum(tau, 1e-300)[:, :, None]
    matrix = np.where(face[:, :, None], slope, free_rows)
    rhs = np.where(face, target, -r)
    # Σ τ = 1, so with no free coordinate ν is determined up to a constant only.
    adrift = np.asarray(face.all(axis=1))[:, None]
    largest = 1.0 + np.abs(slope).max(axis=(1, 2))[:, None, None]
    # The ridge is small: towards letters of weight ε the slope is ε, and that is the way a step has to find.
    matrix = matrix + largest * (adrift[:, :, None] / k + 1e-12 * np.eye(k))
    try:
        step = np.linalg.solve(matrix, rhs[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:  # one is singular to the last digit
        step = (np.linalg.pinv(np.nan_to_num(matrix)) @ rhs[:, :, None])[:, :, 0]
    step = np.nan_to_num(step)
    step -= step.mean(axis=1, keepdims=True) * adrift
    # The posterior is exponential in scores over α: no weight changes by more than e⁴ against another. A direction
    # that would go farther is cut off alone: towards a letter of weight ε steps are 1/ε, others must not wait.
    limit = _FARTHEST * alpha
    far = np.flatnonzero(np.ptp(step @ W.T, axis=1) > limit)
    if len(far):
        left, size, right = np.linalg.svd(np.nan_to_num(matrix[far]))
        along = np.einsum("jst,js->jt", left, rhs[far]) / np.maximum(size, 1e-300)
        most = limit / np.maximum(np.ptp(right @ W.T, axis=2), 1e-9)
        step[far] = np.einsum("jts,jt->js", right, np.clip(along, -most, most))
        step[far] -= step[far].mean(axis=1, keepdims=True) * adrift[far]
    return step


def _slope(W: FloatArray, p: FloatArray, tau: FloatArray, alpha: float) -> FloatArray:
    """dτ/dν of Gibbs posteriors (J, n)."""
    return np.asarray((W.T @ (p[:, :, None] * W) - tau[:, :, None] * tau[:, None, :]) / alpha)


class Interior:
    """Slacks (J, 2k) of the lower and the upper faces of cells, and multipliers λ > 0, whose difference r is to be.

    For cells that hold hardly any posterior: there faces and p ≥ 0 together leave no way to go by faces alone, and ν,
    the logarithm of a p all but 0, is far.
    """

    def __init__(self, W: FloatArray, low: FloatArray, high: FloatArray, tau: FloatArray, scale: float) -> None:
        self.W = W
        self.ends = np.concatenate([low, -high], axis=1)
        width = np.tile(np.maximum(high - low, 1e-12), 2)
        self.slack = np.maximum(np.concatenate([tau, -tau], axis=1) - self.ends, _SLACK * width)
        self.price = np.full_like(self.slack, _PRICE * scale)

    def step(self, p: FloatArray, tau: FloatArray, r: FloatArray, alpha: float, convex: float) -> FloatArray:
        """Of ν (J, k), given the posteriors, τ, r = ν − β₀ log τ, α and β₀; slacks and multipliers take theirs."""
        slope = _slope(self.W, p, tau, alpha)
        k = tau.shape[1]
        slack, price = self.slack, self.price
        off = np.concatenate([tau, -tau], axis=1) - self.ends - slack
        weight = price / slack
        # λ after the step, but for what the change of τ does to it.
        rest = _AIM * (slack * price).mean(axis=1, keepdims=True) / slack - weight * off
        bend = weight[:, :k] + weight[:, k:] - convex / np.maximum(tau, 1e-300)
        matrix = np.eye(k) + bend[:, :, None] * slope
        right = rest[:, :k] - rest[:, k:] - r
        try:
            step = np.linalg.solve(matrix, right[:, :, None])[:, :, 0]
        except np.linalg.LinAlgError:  # one is singular to the last digit
            step = (np.linalg.pinv(np.nan_to_num(matrix)) @ right[:, :, None])[:, :, 0]
        step = np.nan_to_num(step)
        moved = np.einsum("jst,jt->js", slope, step)
        moved = np.concatenate([moved, -moved], axis=1)
        share = np.minimum(1.0, _FARTHEST * alpha / np.maximum(np.ptp(step @ self.W.T, axis=1), 1e-300))
        changes = moved + off, rest - price - weight * moved
        for value, change in zip((slack, price), changes, strict=True):
            share = np.minimum(share, (_NEAR * value / np.maximum(-change, 1e-300)).min(axis=1))
        share = share[:, None]
        self.slack, self.price = slack + share * changes[0], price + share * changes[1]
        return np.asarray(share * step)
