"""Couplings: joint pmfs of shape (n, m) with given marginals."""

from __future__ import annotations

import math

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import minimum_spanning_tree

from drcopt.support.check import FloatArray


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


def round_along_support(P: FloatArray, px: FloatArray, py: FloatArray) -> FloatArray | None:
    """The coupling near P that is positive only where P is (by more than rounding); None if P is not that near.

    What the sums of P lack is sent along a spanning forest of its largest entries, from the leaves inwards.
    """
    n = len(px)
    P = np.where(P > 1e-13 * np.minimum(px[:, None], py), P, 0.0)
    x, y = np.nonzero(P)
    graph = csr_array((1.0 - np.log(P[x, y]), (x, n + y)), (n + len(py), n + len(py)))
    forest = minimum_spanning_tree(graph)
    edges: list[set[int]] = [set() for _ in range(n + len(py))]
    for a, b in zip(*(v.tolist() for v in forest.nonzero()), strict=True):
        edges[a].add(b)
        edges[b].add(a)
    missing = [math.fsum([p, *(-row).tolist()]) for p, row in ((*zip(px, P, strict=True), *zip(py, P.T, strict=True)))]
    leaves = [node for node, others in enumerate(edges) if len(others) == 1]
    while leaves:
        leaf = leaves.pop()
        if not edges[leaf]:
            continue
        other = edges[leaf].pop()
        P[min(leaf, other), max(leaf, other) - n] += missing[leaf]
        missing[other] -= missing[leaf]
        missing[leaf] = 0.0
        edges[other].remove(leaf)
        if len(edges[other]) == 1:
            leaves.append(other)
    return P if P.min() >= 0.0 and float(np.abs(missing).sum()) <= 1e-15 else None
