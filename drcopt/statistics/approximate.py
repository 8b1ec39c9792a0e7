"""The delta method: what a statistician would write behind ±, and not a proof.

Where D is smooth, moving the law moves D by the mean of the influence of a draw,

  ψ(x, s) = Σ_y K(y|x) [d(x, y) + α log K(y|x)/q(y) − β log t(s|y)],

as the channel is optimal and its own change counts nothing (envelope theorem). So D̂ is about normal around D with
standard error sd(ψ)/√N. Nothing is proved: it fails where D jumps, where multipliers change, and it forgets that the
plug-in is low in the mean.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from drcopt import information
from drcopt.errors import InputError
from drcopt.labels import align
from drcopt.solution import Solution
from drcopt.statistics.means import Interval, level, whole

__all__ = ["delta_interval"]


def delta_interval(solution: Solution, counts: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """D(R, C) ± z standard errors, an **approximation** for many draws.

    Parameters
    ----------
    solution : Solution
        Of the problem of these counts, Y's law free, single-letter: the plug-in.
    counts : (n, k) array of whole numbers
        How often each (x, s) was drawn.
    confidence : float
        The nominal confidence, about that for many draws.

    Returns
    -------
    Interval
        With ``proved`` False.

    Raises
    ------
    InputError
        If the solution has no point, no finite multipliers, or a given law of Y, whose multipliers it does not keep.

    Examples
    --------
    >>> import drcopt
    >>> counts = [[400, 100], [100, 400]]
    >>> plug_in = drcopt.solve(drcopt.Problem.from_joint(counts, None, "hamming"), R=0.5, C=0.9)
    >>> found = delta_interval(plug_in, counts)
    >>> round(found.estimate, 3), found.proved
    (0.11, False)
    """
    problem = solution.problem
    if problem is None or np.isnan(solution.coupling).any() or solution.objective != "distortion":
        raise InputError(
            f"solution must be the least distortion of a problem, with a point; this one is {solution.status}, its "
            f"objective {solution.objective}. Pass what drcopt.solve returns."
        )
    if not problem.free or solution.message is not None or solution.perception_kind:
        raise InputError(
            "solution must have a free law of Y and a classifier that sees Y; this one has not. Use tv_interval, or "
            "holdout."
        )
    aligned, _ = align({"pxs": counts}, problem.labels)
    table = whole("counts", aligned["pxs"], (problem.n, problem.k))
    weights = [w if math.isfinite(b) else 0.0 for w, b in (
        (solution.multipliers.rate, solution.rate_budget),
        (solution.multipliers.classification, solution.classification_budget),
    )]  # fmt: skip
    if not np.isfinite(weights).all():
        raise InputError(
            f"solution must have finite multipliers; they are {solution.multipliers}. At such an edge the delta method "
            "says nothing: use tv_interval."
        )
    (alpha, beta), scale = weights, information.NATS_PER[solution.units]
    K, q = solution.channel, solution.output_law
    T = problem.ps_given_x.T @ solution.coupling
    some = K > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(some, np.log(np.where(some, K, 1.0) / np.where(q > 0, q, 1.0)), 0.0)
        cross = -np.log(np.where((T > 0) & (q > 0), T / np.where(q > 0, q, 1.0), 1.0))
    psi = (K * (np.where(some, problem.d, 0.0) + alpha * ratio / scale)).sum(axis=1)[:, None] + beta * (
        K @ cross.T
    ) / scale
    N = int(table.sum())
    mean = float((table * psi).sum()) / N
    error = math.sqrt(float((table * (psi - mean) ** 2).sum()) / max(N - 1, 1) / N)
    half = float(ndtri(0.5 + 0.5 * level(confidence))) * error
    value = solution.distortion
    return Interval(value - half, value + half, value, confidence, N, "delta method", False)
