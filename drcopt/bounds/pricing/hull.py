"""The class posteriors Wᵀp: with few letters they fill little of the simplex, and most of a box may hold none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr
from scipy.optimize import linprog
from scipy.spatial import ConvexHull, QhullError

from drcopt.support.check import FloatArray

#: Most classes for which the facets of the posteriors are found, and most facets kept.
_MOST_CLASSES, _MOST_FACETS = 5, 60
#: Posteriors farther from a box than this, in its units and as they are, are surely outside.
_APART, _ROUNDING = 1e-9, 1e-14
#: Rows of W that lie so close to a flat of fewer dimensions are on it for what is worth finding.
_FLAT = 1e-9


@dataclass(frozen=True, eq=False)
class Deepest:
    """The posterior p deepest in a box, or nearest to it; if the box is empty, what separates it from all.

    ``direction`` v has ‖v‖₁ = 1 and Σ v τ at least ``distance`` greater for every τ of the box than for any
    posterior; ``distance`` ≤ 0 if there is no such v.
    """

    p: FloatArray
    direction: FloatArray
    distance: float

    @property
    def empty(self) -> bool:
        """Whether no posterior lies in the box, beyond doubt."""
        return self.distance > 0


def deepest(W: FloatArray, low: FloatArray, high: FloatArray) -> Deepest | None:
    """The posterior that keeps farthest within ``low`` ≤ Wᵀp ≤ ``high`` (k,); None if HiGHS gives up.

    A linear program in units of the box, measured from its middle, because the solver's tolerances are absolute.
    """
    n, k = W.shape
    middle, unit = 0.5 * (low + high), max(float((high - low).max()), 1e-9)
    rows, half = (W - middle).T / unit, 0.5 * (high - low) / unit
    answer = linprog(
        np.append(np.zeros(n), 1.0),  # by how much the worst face is passed
        A_ub=np.block([[rows, -np.ones((k, 1))], [-rows, -np.ones((k, 1))]]),
        b_ub=np.concatenate([half, half]),
        A_eq=np.append(np.ones(n), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * n + [(None, None)],
        method="highs-ds",
    )
    if answer.status != 0:
        return None
    above, below = np.split(answer.ineqlin.marginals, 2)
    away = above - below
    # Recomputed from the rows, so that the solver is not taken at its word.
    distance = -float((away @ rows).max() + np.abs(away) @ half)
    p = np.maximum(answer.x[:n], 0.0)
    return Deepest(p / p.sum(), away, distance * unit if distance > max(_APART, _ROUNDING / unit) else 0.0)


def facets(W: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(A, b) with A τ ≤ b for every class posterior τ: the facets of the hull of the rows of W, each without τ_s
    (which Σ τ = 1 eliminates) for every class s; where the rows fill fewer dimensions, as with few letters or several
    classes, also what ties the coordinates together. Empty where there are none to be had.

    Whatever the directions A are, b is the most any row reaches, so that the inequalities hold.
    """
    n, k = W.shape
    none = np.zeros((0, k)), np.zeros(0)
    _, triangle, order = qr(W - W.mean(axis=0), mode="economic", pivoting=True)
    rank = int((np.abs(np.diag(triangle)) > _FLAT).sum())
    own, rest = order[:rank], order[rank:]
    flat = 2 <= rank < k - 1
    if not flat and (not 3 <= k <= _MOST_CLASSES or n < k):
        return none
    full = np.zeros((0, k))
    if not flat:
        own = np.arange(k - 1)
    if len(own) < _MOST_CLASSES:
        try:
            directions = ConvexHull(W[:, own], qhull_options="QJ Pp").equations[:, :-1]
        except (QhullError, ValueError):
            return none
        if len(directions) <= _MOST_FACETS:
            full = np.zeros((len(directions), k))
            full[:, own] = directions
    if flat:  # the other classes' posteriors are affine in those of a few
        equal = np.zeros((len(rest), k))
        centred = W - W.mean(axis=0)
        equal[:, own] = -np.linalg.lstsq(centred[:, own], centred[:, rest], rcond=None)[0].T
        equal[np.arange(len(rest)), rest] = 1.0
        A = np.concatenate([full, equal, -equal])
    elif len(full):
        A = np.concatenate([full - full[:, s, None] for s in range(k)])
    else:
        return none
    A = A / np.abs(A).max(axis=1, keepdims=True)
    return A, (A @ W.T).max(axis=1) + 4e-15


def within(A: FloatArray, b: FloatArray, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Boxes (J, k) shrunk to what A τ ≤ b leaves of them; low > high where that is nothing."""
    if not len(b):
        return low, high
    # What an inequality has left where every coordinate takes the least of it. Class by class, as (J, rows) arrays.
    room = b - low @ np.maximum(A, 0.0).T - high @ np.minimum(A, 0.0).T
    low, high = low.copy(), high.copy()
    for s, column in enumerate(A.T):
        up, down = column > 1e-9, column < -1e-9
        most = low[:, s] + (room[:, up] / column[up]).min(axis=1, initial=np.inf) + 1e-14
        fewest = high[:, s] + (room[:, down] / column[down]).max(axis=1, initial=-np.inf) - 1e-14
        low[:, s], high[:, s] = np.maximum(low[:, s], fewest), np.minimum(high[:, s], most)
    return low, high


def gradients(W: FloatArray, cost: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(G, h): the least ⟨cost, p⟩ with Wᵀp = τ is about max_f G_f τ + h_f, the lower facets of points (W_x, cost_x).

    About: they are where a search starts, and nothing rests on them. One row of zeros where there are none to be had.
    """
    n, k = W.shape
    size = max(float(np.ptp(cost)), 1e-300)
    G, h = np.zeros((1, k)), np.zeros(1)
    if k > _MOST_CLASSES:
        return G, h
    points = np.column_stack([W[:, :-1], (cost - cost.min()) / size])
    if n <= k:
        plane = np.linalg.lstsq(np.column_stack([points[:, :-1], np.ones(n)]), points[:, -1], rcond=1e-10)[0][None]
    else:
        try:
            equations = ConvexHull(points, qhull_options="QJ Pp").equations
        except (QhullError, ValueError):
            return G, h
        below = equations[equations[:, -2] < -1e-6]
        plane = -np.delete(below, -2, axis=1) / below[:, -2:-1]
    if len(plane):
        G, h = np.column_stack([plane[:, :-1], np.zeros(len(plane))]), plane[:, -1]
    return size * G, size * h + float(cost.min())
