"""Pricing where pairs are forbidden: a posterior of letter y lives on its allowed letters A = {x : cost(x, y) < ∞}.

There D(p‖px) = D(p‖px|A) − log px(A): the pricing of a smaller problem, and α log px(A) less.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from drcopt import information
from drcopt.bounds.pricing.gibbs import Priced
from drcopt.problem import Problem
from drcopt.support.check import FloatArray


def price_allowed(
    ask: Callable[..., Priced],
    problem: Problem,
    cost: FloatArray,
    alpha: float,
    beta: float,
    box: FloatArray | None,
    tol: float,
) -> Priced:
    """See :func:`drcopt.bounds.pricing.price`, which is ``ask``: for every set of allowed letters once."""
    lower = np.full(cost.shape[1], np.inf)
    ys, ps, values = [np.zeros(0, dtype=np.intp)], [np.zeros((0, problem.n))], [np.zeros(0)]
    patterns, which = np.unique(np.isfinite(cost), axis=1, return_inverse=True)
    for place, allowed in enumerate(patterns.T):
        own = np.flatnonzero(which == place)
        if not allowed.any():
            continue
        x = np.flatnonzero(allowed)
        mass = problem.px[x].sum()
        paid = -alpha * float(np.log(mass))
        W = problem.ps_given_x[x]
        s = np.flatnonzero(W.any(axis=0))
        rest = np.setdiff1d(np.arange(problem.k), s)
        if box is not None:  # classes that none of the letters has have the posterior 0
            own = own[(box[own][:, rest, 0] <= 0.0).all(axis=1)]
        if not len(own):
            continue
        inner = None if box is None else box[own][:, s]
        if len(x) == 1:
            found = _alone(cost[x][:, own], beta * information.entropy(W), W[0, s], inner)
        else:
            part = Problem(
                problem.px[x] / mass, np.full(len(own), 1.0 / len(own)), W[:, s], np.zeros((len(x), len(own)))
            )
            found = ask(part, cost[np.ix_(x, own)], alpha, beta, inner, tol=tol)
        lower[own] = found.lower + paid - 8 * 2.0**-53 * (abs(paid) + alpha)
        p = np.zeros((len(found.y), problem.n))
        p[:, x] = found.p
        ys.append(own[found.y])
        ps.append(p)
        values.append(found.value + paid)
    return Priced(lower, np.concatenate(ys), np.concatenate(ps), np.concatenate(values))


def _alone(cost: FloatArray, entropy: float, tau: FloatArray, box: FloatArray | None) -> Priced:
    """With one letter there is one posterior."""
    value = cost[0] + entropy * (1 - 1e-14)
    inside = np.ones(len(value), dtype=bool)
    if box is not None:
        inside &= ((box[:, :, 0] <= tau + 1e-12) & (tau - 1e-12 <= box[:, :, 1])).all(axis=1)
    y = np.flatnonzero(inside)
    return Priced(np.where(inside, value, np.inf), y, np.ones((len(y), 1)), value[y])
