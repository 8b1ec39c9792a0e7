"""The Gaussian source on a finite grid."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from drcopt.distortion import squared_error
from drcopt.errors import InputError
from drcopt.problem import Problem
from drcopt.sources._arguments import number, whole
from drcopt.support.check import FloatArray

__all__ = ["gaussian_grid", "standard_grid"]


def standard_grid(points: int, span: float) -> tuple[FloatArray, FloatArray]:
    """Letters z and masses p, each of shape (points,), of N(0, 1) on equal bins over ±span.

    The end bins reach to ±∞. A letter is the conditional mean of its bin, E[Z | bin], and all letters are
    then stretched by one factor so that Σ p z² = 1; Σ p z = 0 by symmetry.

    >>> z, p = standard_grid(4, 2.0)
    >>> z.round(4), p.round(4)
    (array([-1.6235, -0.4895,  0.4895,  1.6235]), array([0.1587, 0.3413, 0.3413, 0.1587]))
    """
    edges = np.linspace(-span, span, points + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    edges[0], edges[-1] = -np.inf, np.inf
    density = np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi)
    p = np.diff(ndtr(edges))
    # Differences of ndtr lose the upper tail to rounding: mirror the lower half, which is exact.
    p = np.where(np.arange(points) < points / 2, p, p[::-1])
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(p > 0, (density[:-1] - density[1:]) / p, centres)
    # Far out the quotient is of numbers near underflow; a conditional mean lies in its bin in any case.
    z = np.clip(z, edges[:-1], edges[1:])
    z = (z - z[::-1]) / 2
    p = p / p.sum()
    return z / np.sqrt(p @ z**2), p


def gaussian_grid(
    points: int = 41,
    *,
    sigma_x: float = 1.0,
    sigma_y: float = 1.0,
    mu_x: float = 0.0,
    mu_y: float = 0.0,
    sigma_s: float = 1.0,
    theta: float = 0.6,
    span: float = 4.0,
    classes: int = 2,
) -> Problem:
    """X ~ N(μX, σX²), Y ~ N(μY, σY²), S Gaussian with Cov(X, S) = θ, all made finite; squared error.

    Parameters
    ----------
    points : int
        Letters of X and of Y, at least 2.
    sigma_x, sigma_y, sigma_s : float
        Standard deviations, positive.
    mu_x, mu_y : float
        Means. That of S does not matter.
    theta : float
        Cov(X, S), with |theta| < sigma_x · sigma_s.
    span : float
        The bins are equal over mean ± span standard deviations, and the end bins reach to infinity.
    classes : int
        Letters of S, at least 2: its equal bins over ±span·sigma_s, end bins to infinity (for 2, its sign).

    Returns
    -------
    Problem
        ``d[i, j] = (x_i − y_j)²`` with ``x_i = mu_x + sigma_x z_i`` and ``y_j = mu_y + sigma_y z_j``, where
        ``z, p = drcopt.sources.standard_grid(points, span)``; px = py = p.

    Raises
    ------
    InputError
        If an argument is out of its range.

    Notes
    -----
    As the grid grows, the distortion at rate R bits tends to Theorem 4 of [1]_ with its exact rate term,
    (μX − μY)² + σX² + σY² − 2σXσY √(1 − 2^{−2R}).

    Letters are conditional means of their bins, stretched to the exact variance, and p(s|x) is that of the
    Gaussian S given X equal to the letter: the means, variances and Cov(X, S) are exact on every grid, and so
    is the distortion at R = 0. Bin centres have a variance too large by Δ²/12, plain conditional means one too
    small by as much: at 41 points over ±4σ and R = 1 bit they miss D(R) by 0.3 %, the stretched ones by
    0.0005 %.

    The classification loss is H(S|Y) of the binned S, between 0 and log2(classes) bits. To hold it against a
    formula in differential entropy h(S|Y), which may be negative, take many classes: H(S|Y) of bins of width
    w = 2·span·sigma_s/classes tends to h(S|Y) − log2 w bits as w shrinks.

    References
    ----------
    .. [1] Nguyen, Nguyen, Bose, "Cross-Domain Lossy Compression via Rate- and Classification-Constrained
       Optimal Transport", ICLR 2026.

    Examples
    --------
    >>> problem = gaussian_grid(21, mu_y=1.0)
    >>> round(problem.distortion(problem.independent), 12)
    3.0
    """
    points, classes = whole("points", points, 2), whole("classes", classes, 2)
    sigma_x, sigma_y, sigma_s, span = (
        number(name, value, 0)
        for name, value in (("sigma_x", sigma_x), ("sigma_y", sigma_y), ("sigma_s", sigma_s), ("span", span))
    )
    mu_x, mu_y, theta = (number(name, value) for name, value in (("mu_x", mu_x), ("mu_y", mu_y), ("theta", theta)))
    if abs(theta) >= sigma_x * sigma_s:
        raise InputError(
            f"theta must be less than sigma_x * sigma_s = {sigma_x * sigma_s:.6g} in absolute value; "
            f"it is {theta:.6g}. Pass a smaller covariance."
        )
    z, p = standard_grid(points, span)
    # S / sigma_s given X = x is normal with mean rho z and variance 1 - rho^2.
    rho = theta / (sigma_x * sigma_s)
    edges = np.linspace(-span, span, classes + 1)[1:-1]
    below = ndtr((edges[None, :] - rho * z[:, None]) / np.sqrt((1 - rho) * (1 + rho)))
    ps_given_x = np.diff(below, axis=1, prepend=0.0, append=1.0)
    return Problem(p, p, ps_given_x, squared_error(mu_x + sigma_x * z, mu_y + sigma_y * z))
