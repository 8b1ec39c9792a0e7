"""A stand-in for Session: quick, deterministic, importable by worker processes, and failing on request.

Its answers depend on the warm start down to the last bit, so that a sweep that loses, copies or reorders
one gives other numbers. It logs every point that it solves to the file named by FAKE_LOG.
"""

import math
import multiprocessing
import os
import time

import numpy as np

from drcopt.errors import InfeasibleError, NotSolvedError
from drcopt.other_rows import OtherRows
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, QUANTITIES, RATE
from drcopt.solution import Multipliers, Residuals, Solution
from drcopt.support.check import choice
from drcopt.sweeps.rows import limited

ENGINES = ("auto", "raises", "kills", "interrupts", "slow", "hopeless")


class FakeSession:
    def __init__(self, problem, *, formulation, classifier_sees, units, engine, tol, time_limit, verify=None):
        self.formulation = choice("formulation", formulation, ("single-letter", "time-sharing", "one-shot"))
        self.classifier_sees, self.units, self.tol, self.time_limit = classifier_sees, units, tol, time_limit
        self.engine = choice("engine", engine, ENGINES)
        self.verify = verify
        self.warm = None
        self.rows = OtherRows()
        self._scratch = np.full((2, 2), 0.5)

    def with_edge(self, solution):
        return solution

    def require(self, objective):
        """It minimises anything."""

    def solve(self, R, C, *, on_failure="raise"):
        return self.ask(DISTORTION, R=R, C=C, on_failure=on_failure)

    def ask(self, objective, *, D=None, R=None, C=None, on_failure="raise"):
        """A value that falls in both budgets; nothing meets a second one below 0.1."""
        given = [math.inf if budget is None else budget for budget in (D, R, C)]
        first, second = limited(objective)
        letters, (R, C) = (first.budget, second.budget), (given[first.place], given[second.place])
        time.sleep(float(os.environ.get("FAKE_DELAY", "0")))
        if self.engine == "raises" and R == 0.5:
            raise RuntimeError("the solver\n  fell over")
        if self.engine == "kills" and R == 0.5 and multiprocessing.parent_process() is not None:
            os._exit(9)
        if self.engine == "interrupts" and R == 0.5:
            raise KeyboardInterrupt
        if self.engine == "slow":
            time.sleep(0.3)
        state = self._scratch if self.warm is None else self.warm["state"]
        state = np.sin(3.7 * state + math.atan(R) + 2 * math.atan(C)).T  # not contiguous, on purpose
        self._scratch[...] = state
        self.warm = {"state": self._scratch.T, "count": np.float64(R)}
        if path := os.environ.get("FAKE_LOG"):
            log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(log, f"{C!r} {R!r}\n".encode())
            os.close(log)
        status = "infeasible" if C < 0.1 else "unknown" if self.engine == "hopeless" else "optimal"
        if on_failure == "raise" and status == "infeasible":
            raise InfeasibleError(
                f"{letters[1]} = 0 bits cannot be met", budget=letters[1], least=0.1, units=self.units
            )
        if on_failure == "raise" and status == "unknown":
            raise NotSolvedError("nothing was found")
        falling = 4 - math.atan(R) - math.atan(C)  # as D does in its budgets, whatever the last digits
        value = {"infeasible": math.inf, "unknown": math.nan}.get(status, falling + float(state.sum()) / 3e4)
        lower = {"infeasible": math.inf, "unknown": -math.inf}.get(status, value - 1e-9 / 7)
        measured = {DISTORTION: math.nan, RATE: given[1], CLASSIFICATION_LOSS: math.nan} | {objective: value}
        limits = [math.inf if q is objective else given[q.place] for q in QUANTITIES]
        return Solution(
            status=status,
            termination='fake,\n "quoted" ≤',
            distortion=measured[DISTORTION],
            lower_bound=lower,
            objective=objective.name,
            coupling=np.array([[0.1, 0.2], [0.3, 0.4]]),
            rate=measured[RATE],
            classification_loss=measured[CLASSIFICATION_LOSS],
            multipliers=Multipliers(1 / 3, -0.0),
            residuals=Residuals(0.0, 0.0, 0.0, 0.0, 0.0),
            engine="fake",
            seconds=time.monotonic(),
            formulation=self.formulation,
            classifier_sees=self.classifier_sees,
            distortion_budget=limits[0],
            rate_budget=limits[1],
            classification_budget=limits[2],
            units=self.units,
            **({} if self.verify is None else proved(value, lower)),
        )


def proved(value, lower):
    """What a verified solution has besides."""
    return {"proved_lower_bound": lower - 1e-12 / 7, "proved_distortion": value, "verified": lower > -math.inf}


def without_seconds(table):
    """The table as CSV text, byte for byte, but for the times."""
    from io import StringIO

    from drcopt.tables import print_csv

    handle = StringIO()
    print_csv(table.assign(seconds=0.0), handle)
    return handle.getvalue()
