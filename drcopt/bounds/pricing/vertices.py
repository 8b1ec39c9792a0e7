"""Pricing without a rate term: exact, by the vertices of a polytope.

At α = 0 what is left, ⟨c, p⟩ + β H(Wᵀp), is concave in p, so its least value over {p ≥ 0, Σp = 1, l ≤ Wᵀp ≤ u} is at a
vertex (:mod:`.corners`). Without faces of the box inside the range of W those are the
letters; with j of them active a vertex mixes at most j + 1 letters and solves j + 1 equations.
"""

from __future__ import annotations

from math import comb

import numpy as np
from scipy.special import xlogy

from drcopt.bounds.pricing.corners import Face, Known
from drcopt.bounds.pricing.gibbs import Priced
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Most candidate vertices of one letter y; beyond it the caller needs another way.
MOST_VERTICES = 200_000


def faces_inside(box: FloatArray, W: FloatArray) -> tuple[Face, ...]:
    """The faces of one letter's box that cut the range of W."""
    low, high = W.min(axis=0), W.max(axis=0)
    return tuple(
        face(s, side, float(box[s, side]))
        for s in range(W.shape[1])
        for side in (0, 1)
        if (box[s, 0] > low[s] if side == 0 else box[s, 1] < high[s])
    )


def face(s: int, side: int, at: float) -> Face:
    """τ_s at least (``side`` 0) or at most (1) ``at``, moved outwards: the classes' sums differ in the last digit."""
    return s, side, at + (4e-16 if side else -4e-16)


def count(box: FloatArray, W: FloatArray) -> int:
    """Candidate vertices for one letter's box."""
    return _candidates(len(faces_inside(box, W)), *W.shape)


def most_candidates(n: int, k: int) -> int:
    """Candidate vertices for a box whose faces all lie inside the range of W."""
    return _candidates(2 * k, n, k)


def _candidates(faces: int, n: int, k: int) -> int:
    return sum(comb(faces, j) * comb(n, j + 1) for j in range(min(faces, k - 1) + 1))


def price_vertices(cost: FloatArray, beta: float, W: FloatArray, box: FloatArray, known: Known | None = None) -> Priced:
    """See :func:`drcopt.bounds.pricing.price`; α = 0."""
    m = cost.shape[1]
    W, known = np.ascontiguousarray(W), Known() if known is None else known
    lower = np.full(m, np.inf)
    ys, ps, values = [], [], []
    for y in range(m):
        try:
            found = known.corners(W, faces_inside(box[y], W))
        except clock.TimeIsUp:  # the letters' own entropies are a bound on that of any mixture
            entropy = -xlogy(W, W).sum(axis=1)
            lower[y:] = (cost[:, y:] + beta * (1 - 1e-14) * entropy[:, None]).min(axis=0)
            break
        if not len(found.p):
            continue
        value = found.p @ cost[:, y] + beta * found.entropy
        lower[y] = value.min()
        # The lowest few are worth a cut each.
        best = np.argsort(value, kind="stable")[:6]
        ys.append(np.full(len(best), y))
        ps.append(found.p[best])
        values.append(value[best])
    if not ys:
        return Priced(lower, np.zeros(0, dtype=np.intp), np.zeros((0, len(W))), np.zeros(0))
    return Priced(lower, np.concatenate(ys), np.concatenate(ps), np.concatenate(values))
