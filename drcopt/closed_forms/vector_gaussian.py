"""Gaussian vectors under squared error: X ~ N(mean_x, Σx), and Y ~ N(mean_y, Σy) or free.

**Y's law given.** Let K = Cov(X, Y) = Σx^{1/2} M Σy^{1/2}. As both are Gaussian, I(X;Y) is at least that of a jointly
Gaussian pair with this K, −½ log det(I − M Mᵀ) = −½ Σ log(1 − s_i²), s_i the singular values of M, all at most 1; and
E d = |mean_x − mean_y|² + tr Σx + tr Σy − 2 tr K, where tr K = tr(Σy^{1/2} Σx^{1/2} M) is at most Σ σ_i s_i, σ_i the
singular values of Σx^{1/2} Σy^{1/2} (von Neumann), and attains it. What is left is convex, Σ σ_i s_i as large as
−½ Σ log(1 − s_i²) ≤ R allows:

    s_i = 2σ_i / (λ + √(λ² + 4σ_i²)),        D = |mean_x − mean_y|² + tr Σx + tr Σy − 2 Σ σ_i s_i.

No component is ever switched off: each with σ_i > 0 has rate, however small R is. Where Σx and Σy commute, σ_i is the
product of the deviations along their common axis i. At R = ∞, s_i = 1: D is the squared Wasserstein distance.

**Free** (cov_y=None): D = Σ min(θ, σ_i²), R = Σ max(0, ½ log(σ_i²/θ)) with the eigenvalues σ_i² of Σx: reverse
water-filling, which does switch off the components below the water level θ.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from drcopt import words
from drcopt.closed_forms._binary import EPS
from drcopt.closed_forms._result import ClosedForm
from drcopt.errors import InputError
from drcopt.information import from_nats, to_nats
from drcopt.support.check import FloatArray, budget, real_array

__all__ = ["exact", "rate"]

#: How far a covariance may be from symmetric, and its eigenvalues below 0, relative to its largest: rounding.
_ROUNDING = 1e-10


def exact(
    cov_x: ArrayLike,
    cov_y: ArrayLike | None = None,
    *,
    R: float | None,
    mean_x: ArrayLike | None = None,
    mean_y: ArrayLike | None = None,
    units: words.Units = "bits",
) -> ClosedForm:
    """The least E|X−Y|² with I(X;Y) ≤ R, for Y ~ N(mean_y, cov_y), or for any Y; see the module.

    Parameters
    ----------
    cov_x : array of shape (n, n)
        Covariance of X; a vector is taken for its diagonal.
    cov_y : array of shape (n, n), or None
        Covariance of Y, likewise; None for a free law.
    R : float or None
        Rate budget in ``units``; None or inf for no budget.
    mean_x, mean_y : array of shape (n,), or None
        Means; None for 0.
    units : {"bits", "nats"}

    Returns
    -------
    ClosedForm
        ``parameter`` is the multiplier λ (Y's law given) or the water level θ; inf at R = 0 with Y's law given.

    Raises
    ------
    InputError
        If an argument is out of its range, or the sizes differ.

    Examples
    --------
    >>> round(float(exact([4.0, 1.0], [1.0, 1.0], R=1.0)), 6)
    2.676846
    >>> round(float(exact([4.0, 1.0], R=0.5)), 6)
    3.0
    """
    variances, shares, least = _components(cov_x, cov_y, mean_x, mean_y)
    rate = to_nats(budget("R", R), units)
    if shares is None:
        level = _water_level(variances, rate)
        D = math.fsum(np.minimum(variances, level))
        return ClosedForm(D, True, "rate-limited" if D > 0.0 else "lossless", "Σ min(θ, σi²)", level)
    formula = "|μX−μY|² + tr ΣX + tr ΣY − 2 Σ σi si"
    # From 250 nats a component on, no digit of D is left to gain; below 1e-280, none to lose.
    if rate > 250.0 * shares.size:
        return ClosedForm(least, True, "optimal-transport floor", formula, 0.0)
    if rate < 1e-280:
        return ClosedForm(least + 2.0 * math.fsum(shares), True, "rate-limited", formula, math.inf)
    scale = float(shares[0])
    weight = _solve(lambda weight: _rate(shares / scale, weight), rate)
    D = least + scale * _distortion(shares / scale, weight)
    return ClosedForm(D, True, "rate-limited", formula, scale * weight)


def rate(
    cov_x: ArrayLike,
    cov_y: ArrayLike | None = None,
    *,
    D: float | None,
    mean_x: ArrayLike | None = None,
    mean_y: ArrayLike | None = None,
    units: words.Units = "bits",
) -> float:
    """The least rate, in ``units``, with E|X−Y|² ≤ D, for Y ~ N(mean_y, cov_y), or for any Y; see the module.

    Parameters
    ----------
    D : float or None
        Budget on E|X−Y|²; None or inf for no budget.
    cov_x, cov_y, mean_x, mean_y, units
        As for `exact`.

    Returns
    -------
    float
        inf where no finite rate suffices.

    Raises
    ------
    InputError
        If an argument is out of its range, or the sizes differ.

    Examples
    --------
    >>> round(rate([4.0, 1.0], D=3.0), 12)
    0.5
    """
    variances, shares, least = _components(cov_x, cov_y, mean_x, mean_y)
    distortion = budget("D", D)
    if shares is None:
        if distortion >= math.fsum(variances):
            return 0.0
        level = _level_of(variances, distortion)
        above = variances[variances > level]
        return from_nats(math.fsum(0.5 * (np.log(above) - np.log(level))) if level > 0.0 else math.inf, units)
    if distortion >= least + 2.0 * math.fsum(shares):
        return 0.0
    scale = float(shares[0]) if shares.size else 0.0
    # Closer than this to the least distortion counts as there: the multiplier would underflow.
    if distortion - least <= 1e-280 * scale:
        return math.inf
    weight = _solve(lambda weight: _distortion(shares / scale, weight), (distortion - least) / scale)
    return from_nats(_rate(shares / scale, weight), units)


def _components(
    cov_x: ArrayLike, cov_y: ArrayLike | None, mean_x: ArrayLike | None, mean_y: ArrayLike | None
) -> tuple[FloatArray, FloatArray | None, float]:
    """Eigenvalues of Σx, the positive σ_i (None: Y free), and the squared Wasserstein distance."""
    values, root_x = _root("cov_x", cov_x)
    size = len(values)
    shift = _mean("mean_x", mean_x, size) - _mean("mean_y", mean_y, size)
    if cov_y is None:
        if mean_y is not None:
            raise InputError("mean_y must be None where cov_y is: the law of Y is free. Leave it out, or pass cov_y.")
        return values, None, 0.0
    others, root_y = _root("cov_y", cov_y)
    if len(others) != size:
        raise InputError(
            f"cov_y must be of the size of cov_x, ({size}, {size}); it has {len(others)} rows. "
            "Pass covariances of vectors of one length."
        )
    shares: FloatArray = np.asarray(np.linalg.svd(root_x @ root_y, compute_uv=False), dtype=np.float64)
    apart = math.fsum(values) + math.fsum(others) - 2.0 * math.fsum(shares)
    # What is forty decades smaller moves no digit.
    return values, shares[shares > 1e-40 * shares[0]], math.fsum(shift * shift) + max(0.0, apart)


def _root(name: str, value: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues and symmetric square root of a covariance matrix."""
    array = real_array(name, value, 1 if np.ndim(value) == 1 else 2, nonnegative=False)
    if array.ndim == 1:
        array = np.diag(array)
    if array.shape[0] != array.shape[1]:
        raise InputError(
            f"{name} must be square; it has shape {array.shape}. Pass a covariance matrix, or its diagonal."
        )
    scale = float(np.abs(array).max())
    worst = float(np.abs(array - array.T).max())
    if worst > _ROUNDING * scale:
        raise InputError(
            f"{name} must be symmetric; two entries differ by {worst:.6g}. Pass (A + A.T) / 2 if that is rounding."
        )
    values, axes = np.linalg.eigh((array + array.T) / 2.0)
    if values[0] < -_ROUNDING * scale:
        raise InputError(
            f"{name} must have no negative eigenvalue; its least is {values[0]:.6g}. Pass a covariance matrix."
        )
    values = np.maximum(values, 0.0)
    return values, (axes * np.sqrt(values)) @ axes.T


def _mean(name: str, value: ArrayLike | None, size: int) -> FloatArray:
    if value is None:
        return np.zeros(size)
    array = real_array(name, value, 1, nonnegative=False)
    if len(array) != size:
        raise InputError(
            f"{name} must have {size} entries, as cov_x has rows; it has {len(array)}. Pass one mean a row."
        )
    return array


def _water_level(variances: FloatArray, rate: float) -> float:
    """The θ with Σ max(0, ½ log(σ_i²/θ)) = R."""
    ordered = np.sort(variances[variances > 0.0])[::-1]
    if not ordered.size or math.isinf(rate):
        return 0.0
    logs = np.log(ordered)
    # With the k largest above the water their logarithms, less 2R, share out evenly.
    levels = (np.cumsum(logs) - 2.0 * rate) / np.arange(1, len(logs) + 1)
    # Too few above: the next is still above that level. The level of the right number is the largest of all.
    return math.exp(float(levels.max()))


def _level_of(variances: FloatArray, distortion: float) -> float:
    """The θ with Σ min(θ, σ_i²) = D, for D below Σ σ_i²."""
    ordered = np.sort(variances)
    below = np.concatenate([[0.0], np.cumsum(ordered)[:-1]])
    # With the k smallest under water the rest share what is left evenly; too few or too many give less.
    return float(((distortion - below) / np.arange(len(ordered), 0, -1)).max())


def _lost(shares: FloatArray, weight: float) -> FloatArray:
    """u_i = −log s_i at the multiplier λ: s_i = 2σ_i/(λ + √(λ² + 4σ_i²)) is exp(−asinh(λ/2σ_i))."""
    return np.asarray(np.arcsinh(weight / (2.0 * shares)))


def _rate(shares: FloatArray, weight: float) -> float:
    """−½ Σ log(1 − s_i²)."""
    lost = _lost(shares, weight)
    # Whichever form of log(1 − e^{−2u}) does not cancel.
    near, far = np.minimum(lost, 0.4), np.maximum(lost, 0.4)
    terms = np.where(lost < 0.4, np.log(-np.expm1(-2.0 * near)), np.log1p(-np.exp(-2.0 * far)))
    return -0.5 * math.fsum(terms)


def _distortion(shares: FloatArray, weight: float) -> float:
    """2 Σ σ_i (1 − s_i), above the least."""
    return 2.0 * math.fsum(-shares * np.expm1(-_lost(shares, weight)))


def _solve(value: Callable[[float], float], level: float) -> float:
    """The λ > 0 with value(λ) = ``level``, for a monotone value; both are searched on a logarithmic scale."""

    def excess(logarithm: float) -> float:
        return math.log(value(math.exp(logarithm))) - math.log(level)

    low = high = 0.0
    falls = excess(low) > excess(low + 1.0)
    while (excess(low) < 0.0) == falls and excess(low) != 0.0:
        low -= 3.0
    while (excess(high) > 0.0) == falls and excess(high) != 0.0:
        high += 3.0
    return math.exp(float(brentq(excess, low, high, xtol=4.0 * EPS, rtol=4.0 * EPS, maxiter=500)))
