"""A linear program over columns, and the loop that generates them.

  min Σ_q w_q cost_q   subject to   Σ_q w_q equality_q = targets,   Σ_q w_q usage_q ≤ budgets,   w ≥ 0.

Columns come from an oracle that, given multipliers, returns those of least reduced cost and a lower bound on
the program over *all* columns. Time-sharing and one-shot codes differ only in their columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linprog, nnls

from drcopt._check import FloatArray

#: HiGHS's tolerances: the smallest it takes.
_TOLERANCE = 1e-10


@dataclass(frozen=True, eq=False)
class Column:
    """What one unit of weight costs, contributes to the equalities and uses of the budgets.

    ``key`` tells columns apart; ``payload`` is whatever the column stands for.
    """

    cost: float
    equality: FloatArray
    usage: FloatArray
    key: Hashable
    payload: Any = None


@dataclass(frozen=True, eq=False)
class Duals:
    """Multipliers: free for the equalities, nonnegative for the budgets."""

    equality: FloatArray
    budgets: FloatArray

    def mixed(self, other: Duals, weight: float) -> Duals:
        """(1 − weight) self + weight other."""
        return Duals(
            (1 - weight) * self.equality + weight * other.equality,
            (1 - weight) * self.budgets + weight * other.budgets,
        )


@dataclass(frozen=True, eq=False)
class MasterPoint:
    """A solution over the columns so far: weights in their order, duals, value, and budget overruns."""

    weights: FloatArray
    duals: Duals
    objective: float
    overrun: FloatArray


class MasterError(Exception):
    """The linear program could not be solved."""


class Master:
    """The linear program over the columns known so far.

    Parameters
    ----------
    targets : (p,) array
        Right-hand sides of the equalities. The first columns added must be able to meet them.
    budgets : (q,) array
        Right-hand sides of the inequalities; inf means none.
    penalty : float
        Price of exceeding a budget by 1. It keeps the program feasible, and its duals at most ``penalty``.
    """

    def __init__(self, targets: FloatArray, budgets: FloatArray, penalty: float = 1e3) -> None:
        self.targets = np.asarray(targets, dtype=np.float64)
        self.budgets = np.asarray(budgets, dtype=np.float64)
        self.penalty = penalty
        self.columns: list[Column] = []
        self._keys: set[Hashable] = set()
        self._costs: list[float] = []
        self._equalities: list[FloatArray] = []
        self._usages: list[FloatArray] = []

    def add(self, columns: Iterable[Column]) -> int:
        """Add the columns whose key is new; returns how many were."""
        before = len(self.columns)
        for column in columns:
            if column.key not in self._keys:
                self._keys.add(column.key)
                self.columns.append(column)
                self._costs.append(column.cost)
                self._equalities.append(column.equality)
                self._usages.append(column.usage)
        return len(self.columns) - before

    def solve(self) -> MasterPoint:
        """Solve the linear program with HiGHS's simplex method.

        Raises
        ------
        MasterError
            If HiGHS gives up.
        """
        finite = np.flatnonzero(np.isfinite(self.budgets))
        q = len(finite)
        costs = np.concatenate([self._costs, np.full(q, self.penalty)])
        equalities = np.concatenate([np.array(self._equalities), np.zeros((q, len(self.targets)))]).T
        usages = np.concatenate([np.array(self._usages)[:, finite], -np.eye(q)]).T
        result: Any = None
        for presolve in (False, True):
            result = linprog(
                costs,
                A_ub=usages if q else None,
                b_ub=self.budgets[finite] if q else None,
                A_eq=equalities,
                b_eq=self.targets,
                method="highs-ds",
                options={
                    "presolve": presolve,
                    "primal_feasibility_tolerance": _TOLERANCE,
                    "dual_feasibility_tolerance": _TOLERANCE,
                },
            )
            if result.status == 0:
                break
        else:
            raise MasterError(f"HiGHS ended with status {result.status}: {result.message}")
        count = len(self.columns)
        multipliers, overrun = np.zeros(len(self.budgets)), np.zeros(len(self.budgets))
        if q:
            multipliers[finite] = np.maximum(-result.ineqlin.marginals, 0.0)
            overrun[finite] = result.x[count:]
        duals = Duals(np.array(result.eqlin.marginals), multipliers)
        return MasterPoint(np.maximum(result.x[:count], 0.0), duals, float(result.fun), overrun)

    def reduced_cost(self, column: Column, duals: Duals) -> float:
        """cost − equality·ν + usage·multipliers."""
        return float(column.cost - column.equality @ duals.equality + column.usage @ duals.budgets)


@dataclass(frozen=True, eq=False)
class Priced:
    """An oracle's answer: a lower bound on the program over all columns, and columns worth adding."""

    bound: float
    columns: Sequence[Column]


@dataclass(frozen=True, eq=False)
class Generated:
    """Where column generation ended: the last master point, the best bound and the duals that give it."""

    point: MasterPoint
    bound: float
    duals: Duals
    rounds: int
    reason: str  # "converged", "cutoff", "stopped" or "stalled"

    @property
    def gap(self) -> float:
        """Value of the last master point less the best bound."""
        return self.point.objective - self.bound


def generate(
    master: Master,
    oracle: Callable[[Duals], Priced],
    *,
    tol: float,
    cutoff: float = math.inf,
    stop: Callable[[], bool] = lambda: False,
    smoothing: float = 0.5,
) -> Generated:
    """Generate columns until value − bound ≤ tol, the bound reaches ``cutoff``, or ``stop()``.

    The oracle is asked at a mixture of the best duals so far and the master's (Wentges' smoothing), which
    damps the swings of degenerate masters; where that finds nothing new it is asked at the master's own.
    """
    best, bound, rounds = None, -math.inf, 0
    while True:
        point = master.solve()
        for weight in (0.0,) if best is None else (smoothing, 0.0):
            duals = point.duals if best is None else point.duals.mixed(best, weight)
            priced = oracle(duals)
            rounds += 1
            if best is None or priced.bound > bound:
                best, bound = duals, priced.bound
            useful = [c for c in priced.columns if master.reduced_cost(c, point.duals) < -1e-14]
            new = master.add(useful)
            if point.objective - bound <= tol or bound >= cutoff or stop() or new:
                break
        for reason, ended in (
            ("converged", point.objective - bound <= tol),
            ("cutoff", bound >= cutoff),
            ("stopped", stop()),
            ("stalled", not new),
        ):
            if ended:
                return Generated(point, bound, best, rounds, reason)


def polished(columns: Sequence[Column], weights: FloatArray, targets: FloatArray, budgets: FloatArray) -> FloatArray:
    """``weights`` moved as little as it takes to meet the targets, and budgets they met, to rounding.

    The simplex basis is solved to the solver's tolerance only; least squares in the columns in use takes the
    rest. Where a weight would turn negative, nonnegative least squares decides.
    """
    used = np.flatnonzero(weights > 1e-13)
    w = weights[used]
    A = np.array([columns[q].equality for q in used]).T
    usage = np.array([columns[q].usage for q in used]).T
    tight = np.isfinite(budgets) & (usage @ w > budgets - 1e-8)
    rows = np.vstack([A, usage[tight]])
    aim = np.concatenate([targets, np.minimum(budgets, usage @ w)[tight]])
    for _ in range(3):
        step = np.linalg.lstsq(rows, aim - rows @ w, rcond=1e-12)[0]
        if (w + step >= 0).all() and np.abs(rows @ (w + step) - aim).max() <= np.abs(rows @ w - aim).max():
            w = w + step
    if np.abs(A @ w - targets).max() > 1e-13:
        fitted = nnls(rows, aim)[0]
        if np.abs(rows @ fitted - aim).max() < np.abs(rows @ w - aim).max():
            w = fitted
    full = np.zeros_like(weights)
    full[used] = w
    return full
