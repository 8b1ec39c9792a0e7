"""Cells on which the inner problem is convex in effect though β exceeds α/η.

With q in the place of the class posterior in the entropy, −Σ τ log q ≥ H(τ) with equality at q = τ, so that
⟨c, p⟩ + α D(p‖px) + β H(τ) ≥ −α log F(τ) for every p of posterior τ, F(q) = Σ_x a_x g_x(q)^κ, a = px exp(−c/α),
g_x(q) = Π_s q_s^W(x,s), κ = β/α. F^(1/κ) is homogeneous of degree 1; where it is concave, it lies below its tangent at
a q₀ which is the posterior of p₀ ∝ a g(q₀)^κ, and that is F(q₀)^(1/κ): no p has less than p₀. Its Hessian is ≤ 0
on a box l ≤ q ≤ u if, g increasing in q, for some w with Σ w = 1

  Σ_x a_x g_x(l)^κ (diag W_x − W_x W_xᵀ) − (κ − 1) Σ_x a_x g_x(u)^κ (W_x − w)(W_x − w)ᵀ ⪰ 0.

Both sums send the vector of ones to 0. A gradient Wr of what is linear in τ besides only changes c.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drcopt.support.check import FloatArray

#: The farthest that a basin's box reaches from its middle (logarithm), the least worth having, halvings to find out.
_FARTHEST, _NEAREST, _HALVINGS = 5.0, 1e-3, 12
#: How far above 0 the least eigenvalue has to be, relative to the traces of both sums, and how much of what rounding
#: may have changed in the weights.
_MARGIN, _CARE = 1e-11, 64 * 2.0**-53


def concave(
    p: FloatArray, tau: FloatArray, kappa: float, W: FloatArray, low: FloatArray, high: FloatArray, size: FloatArray
) -> np.ndarray:
    """Whether F^(1/κ) is proved concave on the hull of each cell (J, k) and the posterior τ of p₀, a row of p (J, n).

    ``size`` (J,) is that of the logarithms that p was computed from, which lose digits in proportion.
    """
    if kappa <= 1.0:
        return np.ones(len(p), dtype=bool)
    with np.errstate(all="ignore"):
        tau = np.maximum(tau, 1e-300)
        down = np.log(np.minimum(low, tau) / tau)
        up = np.log(np.maximum(high, tau) / tau)
        # W(x, s) = 0 takes no part, be q_s 0 or not.
        least = p * np.exp(kappa * (np.maximum(down, -1e300) @ W.T))
        most = p * np.exp(kappa * (up @ W.T))
        covariances = -np.einsum("xs,xt->xst", W, W)
        squares = -covariances
        covariances[:, np.arange(W.shape[1]), np.arange(W.shape[1])] += W
        root = 1.0 / np.sqrt(tau)
        first = np.tensordot(least, covariances, 1) * root[:, :, None] * root[:, None, :]
        sums, total = most @ W, most.sum(axis=1)
        second = (
            np.tensordot(most, squares, 1) - sums[:, :, None] * tau[:, None, :] - tau[:, :, None] * sums[:, None, :]
        )
        second = (
            (second + total[:, None, None] * tau[:, :, None] * tau[:, None, :]) * root[:, :, None] * root[:, None, :]
        )
        second *= kappa - 1.0
        trace = np.trace(first, axis1=1, axis2=2) + (kappa - 1.0) * (
            np.einsum("jx,js,xs->j", most, root**2, W**2) + total
        )
        null = np.sqrt(tau)
        matrix = first - second + trace[:, None, None] * null[:, :, None] * null[:, None, :]
        sound = np.isfinite(matrix).all(axis=(1, 2)) & np.isfinite(trace)
        matrix[~sound] = 0.0
        blur = _CARE * (size + kappa * (np.abs(np.maximum(down, -700.0)).max(axis=1) + up.max(axis=1)) + 16.0)
        return np.asarray(sound & (np.linalg.eigvalsh(matrix)[:, 0] > (_MARGIN + blur) * trace))


@dataclass(frozen=True, eq=False)
class Basins:
    """By letter, a posterior τ (k,) with the least and the greatest of a box around it that is proved concave."""

    boxes: dict[int, tuple[FloatArray, FloatArray, FloatArray]]

    @classmethod
    def around(cls, y: np.ndarray, p: FloatArray, kappa: float, W: FloatArray, size: FloatArray) -> Basins:
        """The largest boxes [τ/t, τt] around the posteriors of p (J, n) of letters y; ``size``: see :func:`concave`."""
        tau, least, most = p @ W, W.min(axis=0), W.max(axis=0)
        near, far = np.zeros(len(y)), np.full(len(y), _FARTHEST)
        for _ in range(_HALVINGS):
            reach = 0.5 * (near + far)
            wide = np.exp(reach)[:, None]
            held = concave(p, tau, kappa, W, np.maximum(tau / wide, least), np.minimum(tau * wide, most), size)
            near, far = np.where(held, reach, near), np.where(held, far, reach)
        boxes = {}
        for i in np.flatnonzero(near > _NEAREST):
            wide = np.exp(near[i])
            boxes[int(y[i])] = tau[i], np.maximum(tau[i] / wide, least), np.minimum(tau[i] * wide, most)
        return cls(boxes)

    def faces(self, y: np.ndarray, low: FloatArray, high: FloatArray) -> tuple[np.ndarray, np.ndarray, FloatArray]:
        """Cells (indices) that reach beyond the basin within them, and the class and place of its face to cut at."""
        index, classes, places = [], [], []
        for i, letter in enumerate(y.tolist()):
            if letter not in self.boxes:
                continue
            tau, bottom, top = self.boxes[letter]
            if (tau < low[i]).any() or (tau > high[i]).any():
                continue
            above = np.where(high[i] > top * (1 + 1e-9), (high[i] - top) ** 2 / top, 0.0)
            below = np.where(low[i] < bottom * (1 - 1e-9), (bottom - low[i]) ** 2 / bottom, 0.0)
            s = int(np.maximum(above, below).argmax())
            if max(above[s], below[s]) > 0:
                index.append(i)
                classes.append(s)
                places.append(top[s] if above[s] >= below[s] else bottom[s])
        return np.array(index, dtype=np.intp), np.array(classes, dtype=np.intp), np.array(places)
