"""Couplings: joint pmfs of shape (n, m) with given marginals."""

from __future__ import annotations

import numpy as np

from drcopt._check import FloatArray


def round_onto_marginals(P: FloatArray, px: FloatArray, py: FloatArray) -> FloatArray:
    """The coupling in Γ(px, py) near P: shrink rows, then columns, that are too heavy; add the rest rank-one."""
    P = np.maximum(P, 0.0)
    for axis, target in ((1, px), (0, py)):
        sums = P.sum(axis=axis)
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where(sums > target, target / sums, 1.0)
        P *= factor[:, None] if axis == 1 else factor
    missing_x = np.maximum(px - P.sum(axis=1), 0.0)
    missing_y = np.maximum(py - P.sum(axis=0), 0.0)
    total = missing_y.sum()
    if total > 0:
        P += np.outer(missing_x, missing_y / total)
    return P
