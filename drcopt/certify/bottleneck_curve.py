"""The judge of a bottleneck curve: what its tangents prove and what its points spend, all of them together.

A tangent says α I + H(S|T) ≥ Λ of every message T, Λ = ⟨f, px⟩ + min φ with φ(p) = α D(p‖px) + H(Wᵀp) − ⟨f, p⟩: the
half-space of a :class:`drcopt.bounds.Leaf`. A point is a coupling of X and T whose rows are scaled to px.
"""

from __future__ import annotations

import math

import numpy as np

from drcopt.bounds import Leaf
from drcopt.bounds.posterior import leaf_piece, whole_box
from drcopt.bounds.pricing.unconfined import Letters
from drcopt.certify import rounding
from drcopt.formulations import Question
from drcopt.questions import ROUNDING
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Cells of posteriors that one tangent may take where simplices do not cover them.
_CELLS = 20_000
_TINY = 1e-300


def levels(
    question: Question, alpha: FloatArray, f: FloatArray, near: tuple[np.ndarray, FloatArray], tol: float
) -> tuple[FloatArray, np.ndarray, FloatArray]:
    """Λ (K,) of tangents with slopes (K,) and planes f (K, n), rounded down, of which ``tol`` may be missing.

    ``near`` are tangents and posteriors (J, n) at which φ is thought to be least; others come back that may be lower.
    """
    problem = question.problem
    W = problem.ps_given_x
    least, y, p = np.full(len(alpha), -math.inf), np.zeros(0, dtype=np.intp), np.zeros((0, problem.n))
    if float(alpha.max(initial=0.0)) <= 1.0:
        letters = Letters(-f.T, alpha, 1.0, np.log(problem.px), W)
        if letters.few_dimensions:
            with np.errstate(all="ignore"):
                least, _, y, p = letters.search(tol, *near)
    left = np.flatnonzero(np.isneginf(least))
    below = _paid(question, alpha, f, least)
    for k in left:
        if not clock.expired():
            leaf = Leaf(f[k], float(alpha[k]), 1.0, 0.0, cells=_CELLS)
            below[k] = leaf_piece(question, leaf, whole_box(problem)).level
    return below, y, p


def _paid(question: Question, alpha: FloatArray, f: FloatArray, least: FloatArray) -> FloatArray:
    """⟨f, px⟩ + least, less what rounding may have added (see :func:`drcopt.bounds.posterior.leaf_piece`)."""
    problem = question.problem
    size = 2.0 * np.abs(f).max(axis=1) + math.log(problem.k + 1.0)
    size = size + alpha * (1.0 - math.log(problem.px.min()))
    total = f @ problem.px + least - ROUNDING * size
    return np.asarray(np.where(np.isnan(total), -math.inf, total))


def spent(question: Question, P: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Couplings (K, n, J) with rows scaled to px, their rates and losses (K,), and what rates may come to at most."""
    problem = question.problem
    n, J = P.shape[1:]
    P = P * (problem.px / P.sum(axis=2))[:, :, None]
    q, T = P.sum(axis=1), np.swapaxes(problem.ps_given_x.T @ P, 1, 2)
    ratio = P / (problem.px[:, None] * np.maximum(q, _TINY)[:, None, :])
    rate = np.maximum((P * np.log(np.maximum(ratio, _TINY))).sum(axis=(1, 2)), 0.0)
    split = T / np.maximum(q, _TINY)[:, :, None]
    loss = np.maximum(-(T * np.log(np.maximum(split, _TINY))).sum(axis=(1, 2)), 0.0)
    off = np.abs(P.sum(axis=2) - problem.px) + (n + J + 4) * 2.0**-52 * problem.px
    weighed = off @ (2.0 - np.log(problem.px))
    return P, rate, loss, rate + rounding.of_rate(n, J, weighed, rate)
