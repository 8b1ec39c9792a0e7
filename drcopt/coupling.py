"""Couplings: joint pmfs of shape (n, m) with given marginals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import minimum_spanning_tree

from drcopt.support.check import FloatArray

__all__ = ["leaves_first", "round_along_support", "round_onto_marginals", "send_along"]


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
    P = np.where(P > 1e-13 * np.minimum(px[:, None], py), P, 0.0)
    missing = [math.fsum([p, *(-row).tolist()]) for p, row in ((*zip(px, P, strict=True), *zip(py, P.T, strict=True)))]
    send_along(P, missing, leaves_first(P))
    return P if P.min() >= 0.0 and float(np.abs(missing).sum()) <= 1e-15 else None


def leaves_first(P: FloatArray) -> Iterator[tuple[int, int]]:
    """A spanning forest of the largest entries of P, each edge as (leaf, its one neighbour) once leaves before are cut.

    Nodes are the n rows, then the columns.
    """
    n, m = P.shape
    x, y = (v.astype(np.int32) for v in np.nonzero(P))  # the indices that every scipy's spanning trees take
    graph = csr_array((1.0 - np.log(P[x, y]), (x, n + y)), (n + m, n + m))
    edges: list[set[int]] = [set() for _ in range(n + m)]
    for a, b in zip(*(v.tolist() for v in minimum_spanning_tree(graph).nonzero()), strict=True):
        edges[a].add(b)
        edges[b].add(a)
    leaves = [node for node, others in enumerate(edges) if len(others) == 1]
    while leaves:
        leaf = leaves.pop()
        if not edges[leaf]:
            continue
        other = edges[leaf].pop()
        edges[other].remove(leaf)
        if len(edges[other]) == 1:
            leaves.append(other)
        yield leaf, other


def send_along(P: Any, missing: list[Any], edges: Iterable[tuple[int, int]]) -> None:
    """Add to P, in place, what rows and columns lack, as :func:`leaves_first` orders edges; roots lack what is left."""
    for leaf, other in edges:
        P[min(leaf, other), max(leaf, other) - len(P)] += missing[leaf]
        missing[other] -= missing[leaf]
        missing[leaf] -= missing[leaf]
