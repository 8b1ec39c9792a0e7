"""Pricing of several classes where X has few letters: simplices of posteriors p, cut until their bounds will do.

On a simplex with vertices v_i the losses, concave in p, are at least the affine function that equals them at the v_i.
What is left is convex, and above its tangent at any p₀ > 0. So for p = Σ t_i v_i

  ⟨c, p⟩ + α D(p‖px) + Σ β_j H(W_jᵀp) ≥ Σ t_i (⟨c + α log(p₀/px), v_i⟩ + Σ β_j H(W_jᵀv_i)),

which is least at a vertex, or where a face of the letter's box cuts an edge. Two p₀ are tried: the middle, and, where
the affine function is ⟨g, p⟩, the minimiser of ⟨c + g, p⟩ + α D(p‖px) over all pmfs, −α log Σ px e^(−(c+g)/α). Both
bounds are right to second order in the simplex's width, and no class is too light to confine posteriors.
"""

from __future__ import annotations

import numpy as np
from scipy.special import rel_entr, xlogy

from drcopt.bounds.pricing.gibbs import Priced, gibbs
from drcopt.bounds.pricing.unconfined import apart, pattern
from drcopt.questions import ROUNDING
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Most letters of X; rounds, each of which makes many simplices of one; simplices in all, for each letter of Y.
MOST_LETTERS, _ROUNDS, _MOST = 4, 26, 20_000
#: Boxes are taken to be wider by this, and posteriors to lie in them if they are hardly outside.
_OUT, _NEAR = 1e-15, 1e-10
#: Rounds whose posteriors are handed on: the first and the last.
_FIRST, _LAST = 2, 3
_TINY = 1e-300


def price_few(
    cost: FloatArray, alpha: float, betas: FloatArray, log_px: FloatArray, W: FloatArray, box: FloatArray, tol: float
) -> Priced:
    """As :func:`drcopt.bounds.pricing.price`, with a weight for each column of W (n, k), β of its class, (k,).

    Columns of one class sum to 1 in every row, and ``box`` (m, k, 2) is of their posteriors.
    """
    (n, m), px = cost.shape, np.exp(log_px)
    size = float(np.abs(cost).max()) + min(alpha, float(np.ptp(cost))) * (1.0 - float(log_px.min())) + 40.0 * alpha
    lost = ROUNDING * (size + float(betas.max()) * len(betas))
    tol = max(tol, 4.0 * lost)
    cuts = np.flatnonzero(
        np.concatenate([(box[:, :, 1] < W.max(axis=0)).any(axis=0), (box[:, :, 0] > W.min(axis=0)).any(axis=0)])
    )

    def outside(y: np.ndarray, tau: FloatArray) -> FloatArray:
        """By how much posteriors (…, k) of letters are beyond each face that cuts; at most 0 inside."""
        ends = box[y].reshape(len(y), *[1] * (tau.ndim - 2), len(betas), 2)
        return np.concatenate([tau - ends[..., 1], ends[..., 0] - tau], axis=-1)[..., cuts] - _OUT

    def value(y: np.ndarray, p: FloatArray) -> FloatArray:
        """φ(p), inf outside the box."""
        tau = p @ W
        found = np.einsum("ji,ij->j", p, cost[:, y]) + alpha * rel_entr(p, px).sum(axis=1) - xlogy(tau, tau) @ betas
        return np.asarray(np.where((outside(y, tau) <= _NEAR).all(axis=1), found, np.inf))

    parts, cells, y = pattern(n), np.tile(np.eye(n), (m, 1, 1)), np.arange(m)
    lower, best, seen = np.full(m, np.inf), np.full(m, np.inf), 0
    found: list[tuple[np.ndarray, FloatArray, FloatArray]] = []
    for round_ in range(_ROUNDS):
        cells = np.einsum("cij,Jjx->Jcix", parts, cells).reshape(-1, n, n)
        y = np.repeat(y, len(parts))
        tau = cells @ W
        beyond = outside(y, tau)
        some = (beyond.min(axis=1) <= 0.0).all(axis=1)
        cells, y, tau, beyond = cells[some], y[some], tau[some], beyond[some]
        if not len(y):
            break
        seen += len(y)
        loss, costs, middle = -xlogy(tau, tau) @ betas, cost.T[y], cells.mean(axis=1)
        tangent = costs if alpha == 0 else costs + alpha * (np.log(np.maximum(middle, _TINY)) - log_px)
        bound, p = _least(np.einsum("Jix,Jx->Ji", cells, tangent) + loss, beyond, cells)
        points = [middle, p]
        if alpha > 0:
            slopes = np.linalg.solve(cells, loss[:, :, None])[:, :, 0]
            slopes = np.where(np.isfinite(slopes), slopes, 0.0)
            short = (loss - np.einsum("Jix,Jx->Ji", cells, slopes)).min(axis=1)
            p, total = gibbs(-costs - slopes, log_px, alpha)
            room = ROUNDING * np.abs(slopes).max(axis=1)
            bound = np.fmax(bound, short - total - room)
            points.append(p)
        bound = np.where(np.isnan(bound), -np.inf, bound) - lost
        every = np.tile(y, len(points)), np.concatenate(points)
        values = value(*every)
        np.minimum.at(best, every[0], values)
        inside = np.isfinite(values)
        found.append((every[0][inside], every[1][inside], values[inside]))
        if len(found) > _FIRST + _LAST:
            del found[_FIRST]
        open_ = ~(bound >= best[y] - tol)
        if seen > _MOST * m or round_ == _ROUNDS - 1 or clock.expired():
            open_[:] = False
        np.minimum.at(lower, y[~open_], bound[~open_])
        cells, y = cells[open_], y[open_]
    found.append((np.zeros(0, dtype=np.intp), np.zeros((0, n)), np.zeros(0)))
    y, p, values = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    y, p = apart(y, p, values, p @ W, m) if len(y) else (y, p)
    return Priced(np.minimum(lower, best), y, p, value(y, p))


def _least(ends: FloatArray, beyond: FloatArray, cells: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The least of affine functions with these values at vertices (J, v), on what faces leave, and where (J, n) it is.

    ``beyond`` (J, v, F) is by how much vertices are outside a face: each face alone counts, the largest of their least.
    """
    rows = np.arange(len(ends))
    if not beyond.shape[2]:
        i = ends.argmin(axis=1)
        return ends[rows, i], cells[rows, i]
    a = beyond.transpose(0, 2, 1)  # (J, F, v)
    inward, outward = np.maximum(-a, 0.0)[..., :, None], np.maximum(a, 0.0)[..., None, :]
    # From vertex i inside towards j, as far as the face; a vertex inside is where i = j.
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(outward > 0.0, inward / (inward + outward), 0.0)
    value = ends[:, None, :, None] * (1.0 - share) + ends[:, None, None, :] * share
    value = np.where((a <= 0.0)[..., :, None], value, np.inf)
    flat = value.reshape(len(ends), value.shape[1], -1)
    least = flat.min(axis=2)
    f = least.argmax(axis=1)
    i, j = np.divmod(flat[rows, f].argmin(axis=1), ends.shape[1])
    t = share[rows, f, i, j][:, None]
    return least[rows, f], cells[rows, i] * (1.0 - t) + cells[rows, j] * t
