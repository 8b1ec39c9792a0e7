"""Pricing for two classes without a rate term: lower hulls of points, exactly.

At α = 0, ψ(t) = min { ⟨c, p⟩ : ⟨w, p⟩ = t } is the lower convex hull of the points (w(x), c(x)), linear between
its corners, and β h is concave: the least of ψ + β h over an interval is at a corner or at an end.
"""

from __future__ import annotations

import numpy as np

from drcopt._check import FloatArray
from drcopt.bounds.pricing.gibbs import Priced
from drcopt.information import binary_entropy


def price_hull(cost: FloatArray, beta: float, w: FloatArray, low: FloatArray, high: FloatArray) -> Priced:
    """See :func:`drcopt.bounds.pricing.price`; ``low``, ``high`` (m,) bound t for each letter, α = 0."""
    n, m = cost.shape
    order = np.argsort(w, kind="stable")
    lower = np.full(m, np.inf)
    ys, ps, values = [], [], []
    for y in range(m):
        a, b = max(float(low[y]), float(w.min())), min(float(high[y]), float(w.max()))
        if a > b + 1e-12:
            continue
        b = max(a, b)
        corners = _lower_hull(w[order], cost[order, y])
        t, c, letters = w[order][corners], cost[order, y][corners], order[corners]
        inside = np.flatnonzero((t >= a) & (t <= b))
        for i in inside:
            p = np.zeros(n)
            p[letters[i]] = 1.0
            ys.append(y)
            ps.append(p)
            values.append(c[i] + beta * float(binary_entropy(t[i])))
        for end in (a, b):
            if end in t[inside]:
                continue
            j = int(np.clip(np.searchsorted(t, end), 1, max(len(t) - 1, 1)))
            p = np.zeros(n)
            if len(t) == 1:
                p[letters[0]], value = 1.0, float(c[0])
            else:
                share = min(max((end - t[j - 1]) / (t[j] - t[j - 1]), 0.0), 1.0)
                p[letters[j - 1]], p[letters[j]] = 1.0 - share, share
                value = float((1.0 - share) * c[j - 1] + share * c[j])
            ys.append(y)
            ps.append(p)
            values.append(value + beta * float(binary_entropy(end)))
        lower[y] = min(v for v, owner in zip(values, ys, strict=True) if owner == y)
    return Priced(lower, np.array(ys, dtype=np.intp), np.array(ps).reshape(-1, n), np.array(values))


def _lower_hull(t: FloatArray, c: FloatArray) -> list[int]:
    """Indices of the corners of the lower convex hull of points sorted by t (the lowest of equal t)."""
    hull: list[int] = []
    for i in range(len(t)):
        if hull and t[i] == t[hull[-1]]:
            if c[i] >= c[hull[-1]]:
                continue
            hull.pop()
        while len(hull) > 1:
            i0, i1 = hull[-2], hull[-1]
            if (c[i1] - c[i0]) * (t[i] - t[i0]) >= (c[i] - c[i0]) * (t[i1] - t[i0]):
                hull.pop()
            else:
                break
        hull.append(i)
    return hull
