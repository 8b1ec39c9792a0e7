"""Entropies, mutual information and divergences, in nats; ``0 log 0 = 0`` lives here and nowhere else.

Every function takes nonnegative arrays and sums over the axes it names. :data:`NATS_PER` and
:func:`to_nats` / :func:`from_nats` are the only places where units are converted.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import rel_entr, xlogy

from drcopt._check import FloatArray, choice

#: Nats in one unit of information.
NATS_PER = {"bits": math.log(2.0), "nats": 1.0}


def to_nats(value: float, units: str) -> float:
    """``value`` given in ``units`` ("bits" or "nats"), in nats."""
    return value * NATS_PER[choice("units", units, NATS_PER)]


def from_nats(value: float, units: str) -> float:
    """``value`` given in nats, in ``units`` ("bits" or "nats")."""
    return value / NATS_PER[choice("units", units, NATS_PER)]


def entropy(p: ArrayLike) -> float:
    """H(p) = −Σ p log p, in nats."""
    p = np.asarray(p, dtype=np.float64)
    return max(0.0, -float(xlogy(p, p).sum()))


def binary_entropy(p: ArrayLike) -> FloatArray:
    """h(p) = −p log p − (1−p) log(1−p), in nats, elementwise."""
    p = np.asarray(p, dtype=np.float64)
    return np.asarray(-xlogy(p, p) - xlogy(1.0 - p, 1.0 - p))


def divergence(p: ArrayLike, q: ArrayLike) -> float:
    """D(p‖q) = Σ p log(p/q), in nats; inf where p has mass that q lacks."""
    p, q = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    return max(0.0, float(rel_entr(p, q).sum()))


def mutual_information(joint: ArrayLike) -> float:
    """I(X;Y) = Σ P(x,y) log P(x,y)/(P(x)P(y)) of a joint pmf of shape (n, m), in nats."""
    joint = np.asarray(joint, dtype=np.float64)
    product = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    # Σ q [(1 + r) log(1 + r) − r] with r = P/q − 1: every term is nonnegative, so nothing cancels at small rates.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        r = (joint - product) / product
        near = product * ((1.0 + r) * np.log1p(r) - r)
    direct = rel_entr(joint, product) - joint + product
    terms = np.where(np.abs(np.nan_to_num(r, nan=np.inf)) < 0.5, near, direct)
    if not np.isfinite(terms).all():  # a product of tiny marginals underflowed: use logarithms
        rows, columns = joint.sum(axis=1, keepdims=True), joint.sum(axis=0, keepdims=True)
        safe = np.where(joint > 0, joint, 1.0)
        log_ratio = np.log(safe) - np.log(np.maximum(rows, 5e-324)) - np.log(np.maximum(columns, 5e-324))
        terms = np.where(joint > 0, joint * log_ratio - joint, 0.0) + product
    return max(0.0, float(terms.sum()))


def conditional_entropy(joint: ArrayLike) -> float:
    """H(S|Y) of a joint pmf T(s, y) of shape (k, m), in nats: −Σ T log(T / Σ_s T)."""
    joint = np.asarray(joint, dtype=np.float64)
    totals = np.broadcast_to(joint.sum(axis=0), joint.shape)
    # rel_entr(t, total) = t log(t/total) with 0 log 0 = 0.
    return max(0.0, -float(rel_entr(joint, totals).sum()))
