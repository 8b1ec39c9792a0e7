"""The ball of total variation around the empirical law: crude, two-sided, and true of everything at once.

The probability that N draws from a law on A letters are further than ε from it in total variation is at most
(2^A − 2) exp(−2Nε²) (Weissman et al., 2003). Let laws p, p̂ of (X, S) be that near: p = (1 − ε)c + εa,
p̂ = (1 − ε)c + εb. For one channel, as in :mod:`drcopt.statistics.below`,

  E d changes by ≤ ε (max d − min d), I by ≤ r = h(ε) + ε log min(n, m), H(S|Y) by ≤ c = h(ε) + ε log k,

so D_p̂(R + r, C + c) − ε range ≤ D_p(R, C) ≤ D_p̂(R − r, C − c) + ε range. Where Y must have a given law, its letter
is drawn anew with probability ≤ ε to mend the law: c and ε range count twice, r once (data processing).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from drcopt import information, words
from drcopt.errors import InputError
from drcopt.problem import Distortion, Problem
from drcopt.solve import solve
from drcopt.statistics.means import Interval, level, whole
from drcopt.support import check

__all__ = ["tv_interval", "tv_radius"]


def tv_radius(samples: int, letters: int, *, confidence: float = 0.95) -> float:
    """How far the empirical law may lie from the true one in total variation: √((log(2^A − 2) + log 1/δ)/2N).

    Parameters
    ----------
    samples : int
        N, the number of draws.
    letters : int
        A, the number of pairs (x, s) that can occur.

    Examples
    --------
    >>> round(tv_radius(5000, 6, confidence=0.95), 4)
    0.0267
    """
    for name, value in (("samples", samples), ("letters", letters)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise InputError(f"{name} must be a positive whole number; it is {check.shown(value)}. Pass a count.")
    if letters == 1:
        return 0.0
    # log(2^A − 2), which overflows where A is large
    events = letters * math.log(2.0) + math.log1p(-(2.0 ** (1 - letters))) if letters > 1 else 0.0
    return min(1.0, math.sqrt((events - math.log(1.0 - level(confidence))) / (2.0 * samples)))


def tv_interval(
    counts: ArrayLike,
    d: Distortion,
    *,
    R: float | None = None,
    C: float | None = None,
    py: ArrayLike | None = None,
    confidence: float = 0.95,
    units: words.Units = "bits",
    **settings: Any,
) -> Interval:
    """An interval for D(R, C) of the law that the pairs (x, s) were drawn from, single-letter.

    Parameters
    ----------
    counts : (n, k) array of whole numbers
        How often each (x, s) was drawn; a row or column that stayed empty is a letter all the same.
    d, py
        As in :class:`drcopt.Problem`; py = None leaves Y's law free.
    R, C : float or None
        Budgets in ``units``.
    settings
        Further keywords of :func:`drcopt.solve`: ``classifier_sees``, ``tol``, ``time_limit``.

    Returns
    -------
    Interval
        ``lower`` is inf where, with this confidence, the budgets cannot be met; ``upper`` is inf where the tightened
        budgets cannot. ``estimate`` is the plug-in's distortion (inf or NaN without a point).

    Raises
    ------
    InputError
        If the counts are not whole, or ``formulation`` asks for another than the single-letter problem.

    Examples
    --------
    >>> found = tv_interval([[40000, 10000], [10000, 40000]], "hamming", R=0.5)
    >>> round(found.lower, 3), round(found.estimate, 3), round(found.upper, 3)
    (0.088, 0.11, 0.134)
    """
    if settings.get("formulation", "single-letter") != "single-letter":
        raise InputError(
            f"formulation must be 'single-letter' here; it is {settings['formulation']!r}. Leave it out, or bound the "
            "mixture's parts with drcopt.statistics.holdout."
        )
    table = whole("counts", counts)
    problem = Problem.from_joint(table, py, d)
    if problem.forbidden.any():
        raise InputError("d must be finite here; it holds inf, and a pair that is forbidden has no bounded difference.")
    N = int(table.sum())
    radius = tv_radius(N, table.size, confidence=confidence)
    letters = problem.n if settings.get("classifier_sees") == "message" else min(problem.n, problem.m)
    scale = information.NATS_PER[check.choice("units", units, words.UNITS)]
    times = 1.0 if py is None else 2.0
    spread = times * radius * float(np.ptp(problem.d))
    budgets = np.array([check.budget("R", R), check.budget("C", C)])
    shifts = np.array([_shift(radius, letters), times * _shift(radius, problem.k)]) / scale
    settings = {"units": units, "on_failure": "return"} | settings
    looser, tighter = budgets + shifts, budgets - shifts
    low = solve(problem, R=looser[0], C=looser[1], **settings)
    plug_in = solve(problem, R=R, C=C, **settings)
    upper = math.inf
    if (tighter >= 0.0).all():
        high = solve(problem, R=tighter[0], C=tighter[1], **settings)
        if high.status in ("optimal", "feasible"):
            upper = high.distortion + spread
    return Interval(
        max(low.lower_bound - spread, float(problem.d.min())),
        upper,
        plug_in.distortion,
        confidence,
        N,
        "total variation",
        True,
    )


def _shift(radius: float, letters: int) -> float:
    """h(ε) + ε log A, nondecreasing in ε, in nats."""
    return float(information.binary_entropy(min(radius, 0.5))) + radius * math.log(letters)
