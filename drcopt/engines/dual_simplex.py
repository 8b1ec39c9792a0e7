"""A dual simplex for small dense linear programs: min ⟨cost, w⟩ with Σ w_j column_j = right and w ≥ 0.

It starts from any basis whose multipliers leave no reduced cost below 0, keeps that so, and therefore has a valid
lower bound wherever it stops. Members of a basis that are no columns of the program (any longer) have to leave it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Pivots of one program; what counts as 0: a weight, an entry to pivot on, a reduced cost.
_PIVOTS, _ZERO, _PIVOT, _TIE = 500, 1e-10, 1e-8, 1e-10
#: By how much the equations of a solution may be off.
_OFF = 1e-9
#: How far beyond the cutoff the bound of a program without a solution is moved.
_PAST = 1e-3


@dataclass(eq=False)
class Columns:
    """Columns (N, r), one a line, their costs (N,), and what they stand for, (N, …)."""

    entries: FloatArray
    cost: FloatArray
    meaning: FloatArray


@dataclass(eq=False)
class Basis(Columns):
    """r of them, and which have to leave (r,)."""

    gone: np.ndarray

    def take(self, index: np.ndarray) -> Basis:
        """Copies of some."""
        return Basis(self.entries[index], self.cost[index], self.meaning[index], self.gone[index])


@dataclass(frozen=True, eq=False)
class Bounded:
    """A lower bound (inf: no solution) with its multipliers (r,); the weights of the basis if it is optimal."""

    bound: float
    duals: FloatArray
    weights: FloatArray | None = None


def raised(columns: Columns, right: FloatArray, basis: Basis, cutoff: float = math.inf) -> Bounded | None:
    """Pivot until the basis, which changes in place, is optimal or its bound passes ``cutoff``; None if it is singular.

    Without weights and with a bound below ``cutoff`` it was the deadline, or rounding.
    """
    try:
        inverse = np.linalg.inv(basis.entries.T)
    except np.linalg.LinAlgError:
        return None
    weights, duals = inverse @ right, basis.cost @ inverse
    reduced = np.maximum(columns.cost - columns.entries @ duals, 0.0)
    bound = -math.inf
    for _ in range(_PIVOTS):
        bound = float(basis.cost @ weights)
        if bound >= cutoff or clock.expired():
            break
        wrong = np.where(basis.gone, np.abs(weights), -weights)
        # Steepest edge: the row that is farthest off in units of its own length.
        score = np.where(wrong > _ZERO, wrong**2 / np.einsum("ij,ij->i", inverse, inverse), 0.0)
        i = int(score.argmax())
        if score[i] == 0.0:
            weights = inverse @ right  # without what updates left
            weights, duals = np.where(basis.gone, 0.0, np.maximum(weights, 0.0)), basis.cost @ inverse
            exact = float(np.abs(basis.entries.T @ weights - right).max()) <= _OFF
            return Bounded(float(duals @ right), duals, weights if exact else None)
        row = inverse[i] if weights[i] > 0 else -inverse[i]
        along = columns.entries @ row
        able = np.flatnonzero(along > _PIVOT)
        if not len(able):  # the bound grows for ever along this row
            needed = max(min(cutoff, bound + 1.0) - bound, 0.0) + _PAST
            return Bounded(math.inf, basis.cost @ inverse + needed / abs(weights[i]) * row)
        steep, left = along[able], reduced[able]
        # Of those that come first, but for rounding, the largest entry.
        first = ((left + _TIE) / steep).min()
        j = int(able[np.where(left <= first * steep, steep, 0.0).argmax()])
        reduced = np.maximum(reduced - reduced[j] / along[j] * along, 0.0)
        basis.entries[i], basis.cost[i], basis.meaning[i] = columns.entries[j], columns.cost[j], columns.meaning[j]
        basis.gone[i] = False
        rest = inverse @ columns.entries[j]
        pivot, weight = inverse[i] / rest[i], weights[i] / rest[i]
        inverse -= rest[:, None] * pivot
        inverse[i] = pivot
        weights = weights - rest * weight
        weights[i] = weight
    duals = basis.cost @ inverse
    return Bounded(min(bound, float(duals @ right)), duals)


def first_basis(cheapest: Columns, rows: int) -> Basis:
    """One for all multipliers 0 but those of the last rows, one a column of ``cheapest``.

    ``rows`` more come first, met by what has to leave.
    """
    r = rows + len(cheapest.cost)
    entries = np.vstack([cheapest.entries, np.eye(rows, r)])
    none = np.zeros((rows, *cheapest.meaning.shape[1:]))
    gone = np.arange(r) >= len(cheapest.cost)
    return Basis(entries, np.append(cheapest.cost, np.zeros(rows)), np.concatenate([cheapest.meaning, none]), gone)
