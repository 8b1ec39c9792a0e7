"""Entropies, mutual information and divergences, in nats; ``0 log 0 = 0`` lives here and nowhere else.

Every function takes nonnegative arrays and sums over the axes it names. :data:`NATS_PER` and
:func:`to_nats` / :func:`from_nats` are the only places where units are converted.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import rel_entr, xlogy

from drcopt.support import blocks
from drcopt.support.check import FloatArray, choice
from drcopt.words import UNITS, Units

__all__ = [
    "NATS_PER",
    "Units",
    "binary_entropy",
    "conditional_entropy",
    "contraction_coefficient",
    "divergence",
    "entropy",
    "from_nats",
    "mutual_information",
    "to_nats",
]

#: Nats in one unit of information.
NATS_PER: dict[Units, float] = {"bits": math.log(2.0), "nats": 1.0}

#: Pairs of rows, and entries of these, over which a contraction coefficient is searched; entries at once.
_PAIRS, _ENTRIES, _AT_ONCE = 20_000, 10**7, 2**18


def to_nats(value: float, units: Units) -> float:
    """``value`` given in ``units`` ("bits" or "nats"), in nats.

    Examples
    --------
    >>> round(to_nats(1.0, "bits"), 4)
    0.6931
    """
    return value * NATS_PER[choice("units", units, UNITS)]


def from_nats(value: float, units: Units) -> float:
    """``value`` given in nats, in ``units`` ("bits" or "nats").

    Examples
    --------
    >>> from_nats(to_nats(0.5, "bits"), "bits")
    0.5
    """
    return value / NATS_PER[choice("units", units, UNITS)]


def entropy(p: ArrayLike) -> float:
    """H(p) = −Σ p log p, in nats.

    Examples
    --------
    >>> round(entropy([0.5, 0.5]), 4)
    0.6931
    """
    p = np.asarray(p, dtype=np.float64)
    return max(0.0, -float(xlogy(p, p).sum()))


def binary_entropy(p: ArrayLike) -> FloatArray:
    """h(p) = −p log p − (1−p) log(1−p), in nats, elementwise.

    Examples
    --------
    >>> binary_entropy([0.0, 0.5]).round(4).tolist()
    [-0.0, 0.6931]
    """
    p = np.asarray(p, dtype=np.float64)
    return np.asarray(-xlogy(p, p) - xlogy(1.0 - p, 1.0 - p))


def divergence(p: ArrayLike, q: ArrayLike) -> float:
    """D(p‖q) = Σ p log(p/q), in nats; inf where p has mass that q lacks.

    Examples
    --------
    >>> divergence([0.5, 0.5], [0.5, 0.5]), divergence([1.0, 0.0], [0.0, 1.0])
    (0.0, inf)
    """
    p, q = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    return max(0.0, float(rel_entr(p, q).sum()))


def mutual_information(joint: ArrayLike) -> float:
    """I(X;Y) = Σ P(x,y) log P(x,y)/(P(x)P(y)) of a joint pmf of shape (n, m), in nats.

    Examples
    --------
    >>> P = np.array([[0.5, 0.0], [0.0, 0.5]])
    >>> round(from_nats(mutual_information(P), "bits"), 4)
    1.0
    """
    joint = np.asarray(joint, dtype=np.float64)
    rows, columns = joint.sum(axis=1, keepdims=True), joint.sum(axis=0)
    total = 0.0
    # Σ P log(1 + r) − (P − q) with r = P/q − 1: every term is nonnegative, so nothing cancels at small rates.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for some in blocks.of_rows(*joint.shape):
            terms = rows[some] * columns
            more = joint[some] - terms
            np.divide(more, terms, out=terms)
            np.maximum(terms, -1.0 + 2.0**-53, out=terms)  # 0 log 0 = 0
            np.log1p(terms, out=terms)
            terms *= joint[some]
            terms -= more
            total += float(terms.sum())
    if not math.isfinite(total):  # a product of tiny marginals underflowed: use logarithms
        safe = np.where(joint > 0, joint, 1.0)
        log_ratio = np.log(safe) - np.log(np.maximum(rows, 5e-324)) - np.log(np.maximum(columns, 5e-324))
        total = float((np.where(joint > 0, joint * log_ratio - joint, 0.0) + rows * columns).sum())
    return max(0.0, total)


def conditional_entropy(joint: ArrayLike) -> float:
    """H(S|Y) of a joint pmf T(s, y) of shape (k, m), in nats: −Σ T log(T / Σ_s T).

    Examples
    --------
    >>> P = np.array([[0.5, 0.0], [0.0, 0.5]])
    >>> conditional_entropy(P)
    0.0
    """
    joint = np.asarray(joint, dtype=np.float64)
    # rel_entr(t, total) = t log(t/total) with 0 log 0 = 0.
    return max(0.0, -float(rel_entr(joint, joint.sum(axis=0)).sum()))


def contraction_coefficient(W: ArrayLike) -> float:
    """η_KL(W): the largest D(pW‖qW) / D(p‖q), an upper bound accurate to 1e-9, at most 1.

    The strong data-processing constant: I(S;Y) ≤ η I(X;Y) for S - X - Y with p(s|x) = W. It is reached by
    inputs on two letters: the largest over rows a, b and λ of λ(1−λ) Σ_s (a − b)² / (λa + (1−λ)b), which
    is concave in λ.

    Examples
    --------
    >>> 0.64 <= contraction_coefficient(np.array([[0.9, 0.1], [0.1, 0.9]])) <= 0.8
    True
    """
    W = np.unique(np.asarray(W, dtype=np.float64), axis=0)
    first, second = np.triu_indices(len(W), 1)
    if len(first) == 0:
        return 0.0
    if len(first) > _PAIRS or len(first) * W.shape[1] > _ENTRIES:
        return 1.0  # valid, and not worth a search over that many pairs
    best, step = 0.0, max(1, _AT_ONCE // W.shape[1])
    for i in range(0, len(first), step):
        best = _most_told(W[first[i : i + step]], W[second[i : i + step]], best)
    return min(1.0, best + 1e-9)


def _most_told(a: FloatArray, b: FloatArray, best: float) -> float:
    """The most of λ(1−λ) Σ_s (a − b)² / (λa + (1−λ)b) over λ and rows of a, b (pairs, k); ``best`` if that is more.

    Bisection by the slope; rows whose tangent stays below the best value known are let go.
    """
    low, high = np.zeros(len(a)), np.ones(len(a))
    for _ in range(40):
        lam = 0.5 * (low + high)
        mix = np.maximum(lam[:, None] * a + (1.0 - lam)[:, None] * b, 1e-300)
        difference = a - b
        ratio = difference / mix
        terms = difference * ratio
        weight, square = lam * (1.0 - lam), terms.sum(axis=1)
        value = weight * square
        slope = (1.0 - 2.0 * lam) * square - weight * (terms * ratio).sum(axis=1)
        best = max(best, float(value.max()))
        rising = slope > 0
        low, high = np.where(rising, lam, low), np.where(rising, high, lam)
        open_ = value + np.abs(slope) * (high - low) > best
        if not open_.any():
            break
        a, b, low, high = a[open_], b[open_], low[open_], high[open_]
    return best
