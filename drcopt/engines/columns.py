"""A linear program over columns, and the loop that generates them.

  min Σ_q w_q cost_q   subject to   Σ_q w_q equality_q = targets,   Σ_q w_q usage_q ≤ budgets,   w ≥ 0.

Columns come from an oracle that, given multipliers, returns those of least reduced cost and a lower bound on
the program over *all* columns. Time-sharing and one-shot codes differ only in their columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

from drcopt.engines.base import INTERRUPTED
from drcopt.engines.kept import KeptProgram
from drcopt.support import clock
from drcopt.support.check import FloatArray


@dataclass(frozen=True, eq=False)
class Columns:
    """c columns: what one unit of weight costs (c,), adds to the equalities (c, p), uses of the budgets (c, q).

    ``payloads`` are what the columns stand for; two columns with equal payloads are the same column.
    """

    costs: FloatArray
    equalities: FloatArray
    usages: FloatArray
    payloads: Sequence[Hashable]

    def __len__(self) -> int:
        return len(self.payloads)

    def __getitem__(self, chosen: Any) -> Columns:
        chosen = np.atleast_1d(chosen)
        payloads = [self.payloads[q] for q in chosen]
        return Columns(self.costs[chosen], self.equalities[chosen], self.usages[chosen], payloads)

    def joined(self, other: Columns) -> Columns:
        """Those of both."""
        return Columns(
            np.concatenate([self.costs, other.costs]),
            np.concatenate([self.equalities, other.equalities]),
            np.concatenate([self.usages, other.usages]),
            [*self.payloads, *other.payloads],
        )

    def reduced_costs(self, duals: Duals) -> FloatArray:
        """cost − equality·ν + usage·multipliers of each column."""
        return np.asarray(self.costs - self.equalities @ duals.equality + self.usages @ duals.budgets)


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
    """A solution over the columns of the moment: weights, duals, value, and how far budgets are exceeded."""

    columns: Columns
    weights: FloatArray
    duals: Duals
    objective: float
    overrun: FloatArray


class MasterError(Exception):
    """The linear program could not be solved."""


class LateError(MasterError, clock.TimeIsUp):
    """Time was up before one was solved."""

    def __init__(self) -> None:
        super().__init__("the time limit was reached")


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
        p, q = len(self.targets), len(self.budgets)
        self.columns = Columns(np.empty(0), np.empty((0, p)), np.empty((0, q)), [])
        self._known: set[Hashable] = set()
        # Budgets without a limit are no rows; what exceeds one comes first among the columns.
        self._limited = np.flatnonzero(np.isfinite(self.budgets))
        limits, no = self.budgets[self._limited], np.full(len(self._limited), -math.inf)
        self._program = KeptProgram(np.concatenate([self.targets, no]), np.concatenate([self.targets, limits]))
        self._program.add(np.full(len(no), penalty), np.eye(len(no), p + len(no), p) * -1.0)

    def add(self, batch: Columns) -> int:
        """Add the columns whose payload is new; returns how many were."""
        fresh = []
        for q, payload in enumerate(batch.payloads):
            if payload not in self._known:
                self._known.add(payload)
                fresh.append(q)
        if fresh:
            new = batch[fresh]
            self.columns = self.columns.joined(new)
            self._program.add(new.costs, np.hstack([new.equalities, new.usages[:, self._limited]]))
        return len(fresh)

    def solve(self) -> MasterPoint:
        """Solve the linear program with HiGHS, from where it was.

        Raises
        ------
        MasterError
            If HiGHS gives up.
        """
        solved = self._program.solve()
        if solved is None:
            raise LateError if clock.expired() else MasterError("HiGHS could not solve a program")
        p, q = len(self.targets), len(self._limited)
        multipliers, overrun = np.zeros(len(self.budgets)), np.zeros(len(self.budgets))
        multipliers[self._limited] = np.maximum(-solved.duals[p:], 0.0)
        overrun[self._limited] = np.maximum(solved.weights[:q], 0.0)
        duals = Duals(solved.duals[:p], multipliers)
        return MasterPoint(self.columns, np.maximum(solved.weights[q:], 0.0), duals, solved.value, overrun)

    def polished(self, point: MasterPoint) -> FloatArray:
        """The point's weights moved to meet the targets, and the budgets they use up, to rounding.

        The simplex method solves for its basis to its own tolerance only; least squares over the columns in
        use takes the rest. Where a weight would turn negative, nonnegative least squares decides.
        """
        used = np.flatnonzero(point.weights > 1e-13)
        w, columns = point.weights[used], point.columns[used]
        usage = columns.usages.T
        tight = np.isfinite(self.budgets) & (usage @ w > self.budgets - 1e-8) & (point.overrun < 1e-9)
        rows = np.vstack([columns.equalities.T, usage[tight]])
        aim = np.concatenate([self.targets, np.minimum(self.budgets, usage @ w)[tight]])

        def error(v: FloatArray) -> float:
            return float(np.abs(rows @ v - aim).max())

        for _ in range(3):
            step = w + np.linalg.lstsq(rows, aim - rows @ w, rcond=1e-12)[0]
            if (step >= 0).all() and error(step) < error(w):
                w = step
        if error(w) > 1e-13:
            fitted = nnls(rows, aim)[0]
            w = fitted if error(fitted) < error(w) else w
        full = np.zeros_like(point.weights)
        full[used] = w
        return full


@dataclass(frozen=True, eq=False)
class Priced:
    """An oracle's answer: a lower bound on the program over all columns, and columns worth adding."""

    bound: float
    columns: Columns


@dataclass(frozen=True, eq=False)
class Generated:
    """Where column generation ended: the last master point, the best bound and the duals that give it."""

    point: MasterPoint
    bound: float
    duals: Duals
    rounds: int
    reason: str  # "converged", "cutoff", "enough", "stopped", "stalled" or "interrupted" (Ctrl-C)


def generate(
    master: Master,
    oracle: Callable[[Duals], Priced],
    *,
    tol: float,
    cutoff: float = math.inf,
    enough: float = -math.inf,
    stop: Callable[[], bool] = lambda: False,
    smoothing: float = 0.5,
    start: Duals | None = None,
) -> Generated:
    """Generate columns until value − bound ≤ tol, bound ≥ ``cutoff``, value ≤ ``enough``, or ``stop()``.

    The oracle is asked at a mixture of the best duals so far and the master's (Wentges' smoothing), which
    damps the swings of degenerate masters; where that finds nothing new it is asked at the master's own.
    The first duals so far are ``start``. Ctrl-C ends it like ``stop``, once there is anything to hand back.
    """
    best, bound, rounds = start, -math.inf, 0
    last: MasterPoint | None = None
    while True:
        try:
            point = master.solve()
        except MasterError:
            if last is None or not clock.expired():
                raise
            return Generated(last, bound, last.duals if best is None else best, rounds, "stopped")
        except KeyboardInterrupt:
            if last is None:
                raise
            return Generated(last, bound, last.duals if best is None else best, rounds, INTERRUPTED)
        last, new = point, 0
        try:
            for weight in (0.0,) if best is None else (smoothing, 0.0):
                if point.objective <= enough:
                    break
                duals = point.duals if best is None else point.duals.mixed(best, weight)
                priced = oracle(duals)
                rounds += 1
                if priced.bound > bound:
                    best, bound = duals, priced.bound
                useful = priced.columns.reduced_costs(point.duals) < -1e-14
                new = master.add(priced.columns[np.flatnonzero(useful)])
                if point.objective - bound <= tol or bound >= cutoff or stop() or new:
                    break
        except KeyboardInterrupt:
            return Generated(point, bound, point.duals if best is None else best, rounds, INTERRUPTED)
        for reason, ended in (
            ("converged", point.objective - bound <= tol),
            ("cutoff", bound >= cutoff),
            ("enough", point.objective <= enough),
            ("stopped", stop()),
            ("stalled", not new),
        ):
            if ended:
                return Generated(point, bound, point.duals if best is None else best, rounds, reason)
