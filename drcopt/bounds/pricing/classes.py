"""Pricing where several classes are weighed: one of a class drawn at random and its letter (:mod:`drcopt.classes`).

Σ β_j H(W_jᵀp) = B [H(W̃ᵀp) − H(w)] with B = Σ β_j, w = β/B and W̃ = [w₁W₁ | … | w_JW_J]: the one pricing for all, on
boxes whose sides are w_j times as long.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy.special import xlogy

from drcopt.bounds.pricing.corners import Known
from drcopt.bounds.pricing.dispatch import price
from drcopt.bounds.pricing.gibbs import Partition, Priced
from drcopt.problem import Problem
from drcopt.support.check import FloatArray

#: Boxes are widened by so many roundings, that none of their posteriors is lost to one.
_OUT = 8 * 2.0**-53


def price_weighed(
    problem: Problem,
    cost: FloatArray,
    alpha: float,
    betas: FloatArray,
    box: FloatArray | None,
    *,
    tol: float = 0.0,
    start: Partition | None = None,
    known: Known | None = None,
    most: int | None = None,
    bare: bool = False,
) -> Priced:
    """As :func:`drcopt.bounds.pricing.price`, with the weight of every class: (1,) where there is one.

    ``box`` (m, K, 2) holds posteriors of the columns of ``problem.ps_given_x``. Classes without a weight do not confine
    what is priced. With several classes ``start`` and ``known``, which are of other weights, are not used.
    """
    classes = problem.classes
    if classes is None:
        return price(
            problem, cost, alpha, float(betas[0]), box, tol=tol, start=start, known=known, most=most, bare=bare
        )
    total = math.fsum(betas)
    if total == 0.0:
        return price(problem.of_class(None), cost, alpha, 0.0, None, tol=tol)
    weights = np.asarray(betas / total)
    some = weights[classes.of] > 0
    label = Problem(problem.px, np.ones(1), classes.weighed(weights)[:, some], np.zeros((problem.n, 1)))
    # D(pW̃‖qW̃) is the mean of D(pW_j‖qW_j).
    label.__dict__["contraction"] = min(1.0, float(weights @ contractions(problem)) + 1e-12)
    if box is not None:
        box = _scaled(box, weights, classes.of)[:, some]
    priced = price(label, cost, alpha, total, box, tol=tol)
    constant = total * float(-xlogy(weights, weights).sum())
    return replace(priced, lower=priced.lower - constant, value=priced.value - constant, partition=None)


def contractions(problem: Problem) -> FloatArray:
    """The strong data-processing constant of every class, rounded up, shape (J,)."""
    if "contractions" not in problem.__dict__:
        names = [None] if problem.classes is None else [*problem.classes]
        each = [problem if name is None else problem.of_class(name) for name in names]
        problem.__dict__["contractions"] = np.array([one.contraction for one in each])
    return np.asarray(problem.__dict__["contractions"])


def _scaled(box: FloatArray, weights: FloatArray, of: np.ndarray) -> FloatArray:
    """A box of posteriors of the equally weighed classes as one for these weights, cut to Σ_s τ_j(s) = w_j."""
    J = len(weights)
    sides = np.clip(J * box, 0.0, 1.0)
    low, high = sides[:, :, 0] * (1.0 - _OUT), sides[:, :, 1] * (1.0 + _OUT)
    for j in range(J):
        mine = of == j
        least, most = low[:, mine], high[:, mine]
        low[:, mine] = np.maximum(least, 1.0 - (most.sum(axis=1, keepdims=True) - most) - _OUT * len(of))
        high[:, mine] = np.minimum(most, 1.0 - (least.sum(axis=1, keepdims=True) - least) + _OUT * len(of))
    scale = weights[of]
    return np.stack([low * scale * (1.0 - _OUT), high * scale * (1.0 + _OUT)], axis=2)
