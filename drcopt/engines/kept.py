"""A linear program that HiGHS keeps between solves: columns are added, and it goes on from the basis that it had."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from drcopt.support import clock
from drcopt.support.check import FloatArray

#: HiGHS's tolerances: the smallest it takes, and its own.
_TOLERANCE, _OWN = 1e-10, 1e-7
#: Entries of a program that is solved before anyone would miss Ctrl-C.
_LIGHT = 20_000


@dataclass(frozen=True, eq=False)
class Solved:
    """Weights of the columns, duals of the rows, value."""

    weights: FloatArray
    duals: FloatArray
    value: float


class KeptProgram:
    """min ⟨cost, w⟩ with low ≤ Σ_j w_j column_j ≤ high and w ≥ 0, columns to be added; ±inf: no limit."""

    def __init__(self, low: FloatArray, high: FloatArray) -> None:
        import highspy

        class Quiet(highspy.Highs):
            """Without callbacks, which greet on stdout."""

            def enableCallbacks(self) -> None:
                pass

        self._optimal = highspy.HighsModelStatus.kOptimal
        self._solver: Any = Quiet()  # type: ignore[no-untyped-call]
        self._solver.setOptionValue("output_flag", False)
        self._solver.setOptionValue("parallel", "off")
        self._rows = len(low)
        none = np.empty(0, dtype=np.int32)
        self._solver.addRows(self._rows, low, high, 0, np.zeros(self._rows, dtype=np.int32), none, np.empty(0))
        self._columns = 0

    def add(self, costs: FloatArray, columns: FloatArray) -> None:
        """Columns, one a line of shape (rows,)."""
        x, y = np.nonzero(columns)
        starts = np.searchsorted(x, np.arange(len(costs))).astype(np.int32)
        least, most = np.zeros(len(costs)), np.full(len(costs), math.inf)
        self._solver.addCols(len(costs), costs, least, most, len(x), starts, y.astype(np.int32), columns[x, y])
        self._columns += len(costs)

    def solve(self) -> Solved | None:
        """By the dual simplex method; None at the deadline, or if HiGHS gives up. Large programs run aside."""
        solver = self._solver
        # Tight tolerances can make it lose its way; its own are better than none.
        for presolve, tolerance in (("off", _TOLERANCE), ("on", _TOLERANCE), ("on", _OWN)):
            if presolve == "on":
                solver.clearSolver()
            solver.setOptionValue("presolve", presolve)
            solver.setOptionValue("primal_feasibility_tolerance", tolerance)
            solver.setOptionValue("dual_feasibility_tolerance", tolerance)
            if clock.remaining() < math.inf:
                solver.setOptionValue("time_limit", solver.getRunTime() + clock.remaining())
            if self._rows * self._columns <= _LIGHT:
                solver.run()
            elif clock.aside(lambda _: solver.run()) is None:
                return None
            if solver.getModelStatus() == self._optimal:
                found = solver.getSolution()
                value = float(solver.getInfo().objective_function_value)
                return Solved(np.array(found.col_value), np.array(found.row_dual), value)
            if clock.expired():
                return None
        return None
