"""Pricing without a rate term: exact, by the vertices of a polytope.

At α = 0 what is left, ⟨c, p⟩ + β H(Wᵀp), is concave in p, so its least value over
{p ≥ 0, Σp = 1, l ≤ Wᵀp ≤ u} is at a vertex. Without faces of the box inside the range of W those are the
letters; with j of them active a vertex mixes at most j + 1 letters and solves j + 1 equations.
"""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
from scipy.special import xlogy

from drcopt.bounds.pricing.gibbs import Priced
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Most candidate vertices of one letter y; beyond it the caller needs another way.
MOST_VERTICES = 200_000

Face = tuple[int, float]


def faces_inside(box: FloatArray, W: FloatArray) -> list[Face]:
    """(class, value) of the faces of one letter's box that cut the range of W."""
    low, high = W.min(axis=0), W.max(axis=0)
    return [
        (s, float(box[s, side]) + (4e-16 if side else -4e-16))  # the classes' sums differ in the last digit
        for s in range(W.shape[1])
        for side in (0, 1)
        if (box[s, 0] > low[s] if side == 0 else box[s, 1] < high[s])
    ]


def count(box: FloatArray, W: FloatArray) -> int:
    """Candidate vertices for one letter's box."""
    return _candidates(len(faces_inside(box, W)), *W.shape)


def most_candidates(n: int, k: int) -> int:
    """Candidate vertices for a box whose faces all lie inside the range of W."""
    return _candidates(2 * k, n, k)


def _candidates(faces: int, n: int, k: int) -> int:
    return sum(comb(faces, j) * comb(n, j + 1) for j in range(min(faces, k - 1) + 1))


def price_vertices(cost: FloatArray, beta: float, W: FloatArray, box: FloatArray) -> Priced:
    """See :func:`drcopt.bounds.pricing.price`; α = 0."""
    m = cost.shape[1]
    lower = np.full(m, np.inf)
    ys, ps, values = [], [], []
    for y in range(m):
        if clock.expired():  # the letters' own entropies are a bound on that of any mixture
            entropy = -xlogy(W, W).sum(axis=1)
            lower[y:] = (cost[:, y:] + beta * (1 - 1e-14) * entropy[:, None]).min(axis=0)
            break
        p = _vertices(faces_inside(box[y], W), W)
        tau = p @ W
        inside = ((tau >= box[y, :, 0] - 1e-9) & (tau <= box[y, :, 1] + 1e-9)).all(axis=1)
        p, tau = p[inside], tau[inside]
        if not len(p):
            continue
        value = p @ cost[:, y] - beta * xlogy(tau, tau).sum(axis=1)
        lower[y] = value.min()
        # The lowest few are worth a cut each.
        best = np.argsort(value, kind="stable")[:6]
        ys.append(np.full(len(best), y))
        ps.append(p[best])
        values.append(value[best])
    if not ys:
        return Priced(lower, np.zeros(0, dtype=np.intp), np.zeros((0, len(W))), np.zeros(0))
    return Priced(lower, np.concatenate(ys), np.concatenate(ps), np.concatenate(values))


def _vertices(faces: list[Face], W: FloatArray) -> FloatArray:
    """Every solution p ≥ 0 of Σp = 1 with j faces active, on j + 1 letters."""
    n, k = W.shape
    found = [np.eye(n)]
    for j in range(1, min(len(faces), k - 1) + 1):
        supports = np.array(list(combinations(range(n), j + 1)), dtype=np.intp).reshape(-1, j + 1)
        for active in combinations(faces, j):
            # Each equation in units of its own largest coefficient, or rows of W close to each other look singular.
            matrix = np.ones((len(supports), j + 1, j + 1))
            for row, (s, value) in enumerate(active, start=1):
                matrix[:, row, :] = W[supports, s] - value
                matrix[:, row, :] /= np.maximum(np.abs(matrix[:, row, :]).max(axis=1, keepdims=True), 1e-300)
            regular = np.abs(np.linalg.det(matrix)) > 1e-14
            rhs = np.eye(j + 1)[0]
            weights = np.linalg.solve(matrix[regular], np.broadcast_to(rhs[:, None], (int(regular.sum()), j + 1, 1)))
            weights = weights[:, :, 0]
            keep = (weights >= -1e-12).all(axis=1)
            p = np.zeros((int(keep.sum()), n))
            np.put_along_axis(p, supports[regular][keep], np.maximum(weights[keep], 0.0), axis=1)
            found.append(p)
    return np.concatenate(found)
