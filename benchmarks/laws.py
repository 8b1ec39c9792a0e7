"""Y's law free: curves R(D) beside Blahut and Arimoto's algorithm and cone solvers, and messages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from benchmarks import peers, rates
from benchmarks.instances import FAMILIES, Instance, rate_instance
from benchmarks.running import Row, capped, clock, since
from drcopt import Problem
from drcopt.law_session import session_for

PEERS = ("blahut-arimoto", "clarabel", "scs")
#: Gap wanted, relative to max d, of the engine and of Blahut and Arimoto.
TOL = 1e-9


def run(
    sizes: Sequence[int] = (16, 64),
    points: int = 50,
    use: Sequence[str] = (),
    cap: float = 60.0,
    families: Sequence[str] = FAMILIES,
) -> Iterator[Row]:
    """Rows: the engine's curve of every instance and then, at some of its points, each peer in ``use``."""
    for size in sizes:
        for family in families:
            given = rate_instance(family, size).problem
            instance = Instance(family, Problem(given.px, None, given.ps_given_x, given.d))
            rows = curve(instance, points)
            yield from rows
            for peer in use:
                yield from beside(instance, rows, peer, cap)


def curve(instance: Instance, points: int) -> list[Row]:
    """Rates evenly from above 0 to below that of the least distortion; the "end", where rates begin to be slack."""
    problem, rows = instance.problem, []
    end = session_for(problem, tol=TOL).solve(None, None)
    session = session_for(problem, tol=TOL)
    for R in np.linspace(0.0, end.rate, points + 2)[1:-1]:
        started = clock()
        solution = session.solve(float(R), None, on_failure="return")
        took = since(started)
        violation = max(solution.residuals.row_marginal, solution.residuals.rate)
        multiplier = solution.multipliers.rate  # of a bit
        row = rates._row(instance, "newton", "curve", float(R), took, solution)
        rows.append(row | {"violation": violation, "slope": math.log(2.0) / multiplier})
    return rows


def beside(instance: Instance, rows: list[Row], peer: str, cap: float, points: int = 4) -> Iterator[Row]:
    """A peer at ``points`` of the curve; Blahut and Arimoto's is told the slopes, which the engine had to find."""
    problem = instance.problem
    chosen = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, points).round().astype(int))]
    at = [row["rate_bits"] for row in chosen]
    if peer == "blahut-arimoto":
        answers = capped(
            peers.blahut_arimoto, problem, at, [row["slope"] for row in chosen], TOL, cap, seconds=40.0 * len(at) * cap
        )
    else:
        answers = capped(peers.cone, problem, at, peer, seconds=cap)
    left = list(chosen)
    for answer in answers:
        row = {"benchmark": "laws", "instance": instance.name, "size": instance.size, "solver": peer, "part": "curve"}
        row |= {"rate_bits": left[0]["rate_bits"] if left else math.nan} | answer
        if "value" in answer:
            row["error"] = abs(answer["value"] - left[0]["value"]) / problem.d.max()
        left = left[1:]
        yield row
        if answer["status"] in ("did not finish", "error") and peer != "blahut-arimoto":
            for other in left:
                yield row | {"rate_bits": other["rate_bits"], "note": "not reached"}
            return


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """As of rates: one line for each instance and solver, times per point and their ratio to the engine's mean."""
    return rates.summary(table)
