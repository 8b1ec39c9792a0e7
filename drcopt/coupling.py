"""Couplings: joint pmfs of shape (n, m) with given marginals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dger
from scipy.optimize import linprog
from scipy.sparse import csr_array, hstack
from scipy.sparse.csgraph import minimum_spanning_tree

from drcopt.support import blocks
from drcopt.support.check import FloatArray

__all__ = ["leaves_first", "loosest", "round_along_support", "round_onto_allowed", "round_onto_marginals", "send_along"]

#: How far sums may be off for what is missing to go along the entries there are; what may be left; turns of a scaling.
_NEARLY, _REST, _TURNS = 1e-7, 1e-14, 500


def round_onto_marginals(P: FloatArray, px: FloatArray, py: FloatArray) -> FloatArray:
    """The coupling in Γ(px, py) near P: shrink rows, then columns, that are too heavy; add the rest rank-one."""
    P, columns = np.maximum(P, 0.0, order="C"), np.zeros_like(py)
    for some in blocks.of_rows(*P.shape):
        part = P[some]
        part *= _shrinking(part.sum(axis=1), px[some])[:, None]
        columns += part.sum(axis=0)
    factor, rows, columns = _shrinking(columns, py), np.empty_like(px), np.zeros_like(py)
    for some in blocks.of_rows(*P.shape):
        part = P[some]
        part *= factor
        part.sum(axis=1, out=rows[some])
        columns += part.sum(axis=0)
    missing_x, missing_y = np.maximum(px - rows, 0.0), np.maximum(py - columns, 0.0)
    total = missing_y.sum()
    if total > 0:
        P = np.asarray(dger(1.0, missing_y / total, missing_x, a=P.T, overwrite_a=1)).T
    return P


def _shrinking(sums: FloatArray, most: FloatArray) -> FloatArray:
    """Factors that bring sums down to ``most`` where they are more."""
    return np.divide(most, sums, out=np.ones_like(most), where=sums > most)


def round_onto_allowed(P: FloatArray, px: FloatArray, py: FloatArray, allowed: NDArray[np.bool_]) -> FloatArray | None:
    """A coupling near P that is 0 wherever it must be; None if none is found.

    Scaling rows and columns keeps zeros; where P has too few other entries for that, a linear program adds as little
    as does.
    """
    P = np.where(allowed, np.maximum(P, 0.0), 0.0)
    if _off(P, px, py) <= _NEARLY and (found := round_along_support(P, px, py, _REST)) is not None:
        return found
    scaled = scaled_onto(P, px, py)
    if _off(scaled, px, py) <= _NEARLY and (found := round_along_support(scaled, px, py, _REST)) is not None:
        return found
    x, y = np.nonzero(allowed)
    n, m, J = len(px), len(py), len(x)
    sums = csr_array((np.ones(2 * J), (np.concatenate([x, n + y]), np.tile(np.arange(J), 2))), (n + m, J))
    # What is kept of P costs nothing, what is added 1.
    answer = linprog(
        np.repeat([0.0, 1.0], J),
        A_eq=hstack([sums, sums]),
        b_eq=np.concatenate([px, py]),
        bounds=[*((0.0, v) for v in P[x, y].tolist()), *((0.0, None) for _ in range(J))],
        method="highs",
    )
    if answer.status != 0:
        return None
    P = np.zeros((n, m))
    P[x, y] = np.maximum(answer.x[:J], 0.0) + np.maximum(answer.x[J:], 0.0)
    return round_along_support(P, px, py, _REST)


def loosest(px: FloatArray, py: FloatArray | None, allowed: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Of couplings on the allowed pairs the one of least I(X;Y), P = px a q b there, and f = log a, which proves it.

    ``py`` None: with any law q. By scaling in turns (then Blahut-Arimoto), to rounding where that converges so fast.
    """
    q = np.full(allowed.shape[1], 1.0 / allowed.shape[1]) if py is None else py
    a, b = np.ones(len(px)), np.ones(len(q))
    for _ in range(_TURNS):
        sums = (px * a) @ allowed
        if py is None:
            q = q * sums / max(float(q @ sums), 1e-300)
        else:
            b = 1.0 / np.maximum(sums, 1e-300)
        before, a = a, 1.0 / np.maximum(allowed @ (q * b), 1e-300)
        if float(np.abs(a - before).max()) <= 1e-15 * float(a.max()):
            break
    return (px * a)[:, None] * (q * b) * allowed, np.log(a)


def scaled_onto(P: FloatArray, px: FloatArray, py: FloatArray) -> FloatArray:
    """P with rows and columns scaled in turns towards px and py: of couplings with its zeros the nearest in D(·‖P)."""
    P = P.copy()
    for _ in range(_TURNS):
        for axis, goal in ((1, px), (0, py)):
            sums = P.sum(axis=axis)
            factor = np.divide(goal, sums, out=np.zeros_like(goal), where=sums > 0)
            P *= factor[:, None] if axis == 1 else factor
        if _off(P, px, py) <= _REST:
            break
    return P


def _off(P: FloatArray, px: FloatArray, py: FloatArray) -> float:
    """How far sums are from px and py."""
    return float(np.abs(P.sum(axis=1) - px).sum() + np.abs(P.sum(axis=0) - py).sum())


def round_along_support(P: FloatArray, px: FloatArray, py: FloatArray, rest: float = 1e-15) -> FloatArray | None:
    """The coupling near P that is positive only where P is (by more than rounding); None if P is not that near.

    Sums that no entry reaches may stay off by ``rest`` in all.
    What the sums of P lack is sent along a spanning forest of its largest entries, from the leaves inwards.
    """
    P = np.where(P > 1e-13 * np.minimum(px[:, None], py), P, 0.0)
    lacking = [(goal - P.sum(axis=axis, dtype=np.longdouble)).astype(np.float64) for goal, axis in ((px, 1), (py, 0))]
    for among in (_main_entries(P), None):  # sorting all entries takes long, and few will do
        kept, missing = P.copy(), np.concatenate(lacking).tolist()
        send_along(kept, missing, leaves_first(P, among))
        if kept.min() >= 0.0 and float(np.abs(missing).sum()) <= rest:
            return kept
    return None


def _main_entries(P: FloatArray) -> tuple[np.ndarray, np.ndarray]:
    """The largest entry of every row and column, and all of the row and of the column that have the largest sums."""
    n, m = P.shape
    x, y = P.sum(axis=1).argmax(), P.sum(axis=0).argmax()
    rows, columns = np.arange(n), np.arange(m)
    places = np.unique(
        np.concatenate([rows * m + P.argmax(axis=1), P.argmax(axis=0) * m + columns, rows * m + y, x * m + columns])
    )
    places = places[P.ravel()[places] > 0.0]
    return places // m, places % m


def leaves_first(P: FloatArray, among: tuple[np.ndarray, np.ndarray] | None = None) -> Iterator[tuple[int, int]]:
    """A spanning forest of the largest entries of P, each edge as (leaf, its one neighbour) once leaves before are cut.

    Nodes are the n rows, then the columns. ``among``: of these entries, by row and column.
    """
    n, m = P.shape
    # The indices that every scipy's spanning trees take.
    x, y = (v.astype(np.int32) for v in (np.nonzero(P) if among is None else among))
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
