"""Rate sweeps without a classification budget: the native engine beside cone solvers and Sinkhorn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from benchmarks import peers
from benchmarks.instances import FAMILIES, Instance, rate_instance
from benchmarks.running import Row, capped, clock, since
from drcopt import Problem, information
from drcopt.session import Session
from drcopt.solution import Solution

PEERS = ("clarabel", "scs", "sinkhorn", "emd")
#: Gap wanted of the engine, relative to max d.
TOL = 1e-9


def run(
    sizes: Sequence[int] = (16, 64),
    points: int = 20,
    use: Sequence[str] = (),
    cap: float = 60.0,
    families: Sequence[str] = FAMILIES,
    curve: bool = False,
) -> Iterator[Row]:
    """Rows: the engine's sweep on every instance and then, at some of its points, each peer in ``use``."""
    for size in sizes:
        for family in families:
            instance = rate_instance(family, size)
            rows, epsilons = sweep(instance, points, curve)
            yield from rows
            for peer in use:
                yield from beside(instance, rows, epsilons, peer, cap)


def sweep(instance: Instance, points: int, curve: bool = False) -> tuple[list[Row], dict[float, float]]:
    """The engine from R = 0 to the transport end, and its rate multipliers ε (nats).

    The end is what a budget just below min(H(X), H(Y)) gives: a part of its own, as it is another problem (a
    linear program) that costs more than the curve. The curve's points lie evenly before it, and the part "last" is
    the end again, as the sweep's last point. ``curve`` leaves the end out, and goes to half of min(H(X), H(Y)).
    """
    problem = instance.problem
    largest = information.from_nats(min(problem.entropy_x, problem.entropy_y), "bits")
    end, end_took = (None, {}) if curve else _timed(Session(problem, engine="newton", tol=TOL), 0.9999 * largest)
    session = Session(problem, engine="newton", tol=TOL)
    rows, epsilons = [], {}
    for R in np.linspace(0.0, 0.5 * largest if end is None else end.rate, points):
        solution, took = _timed(session, float(R))
        rows.append(
            _row(instance, "newton", "curve" if end is None or end.rate > R else "last", float(R), took, solution)
        )
        epsilons[float(R)] = information.to_nats(1.0, "bits") ** -1 * solution.multipliers.rate
    if end is not None:
        rows.append(_row(instance, "newton", "end", math.inf, end_took, end))
    return rows, epsilons


def beside(
    instance: Instance, rows: list[Row], epsilons: dict[float, float], peer: str, cap: float, points: int = 4
) -> Iterator[Row]:
    """A peer at ``points`` of the curve (``emd``: at its end).

    A point that it does not reach in ``cap`` seconds is a row that says so.
    """
    problem = instance.problem
    known = {row["rate_bits"]: row["value"] for row in rows}
    if peer == "emd":
        rates, part, answers = [math.inf], "end", capped(peers.network_simplex, problem, seconds=cap)
    else:
        curve = [row["rate_bits"] for row in rows if row["part"] == "curve" and row["rate_bits"] > 0]
        rates = [curve[i] for i in np.unique(np.linspace(0, len(curve) - 1, points).round().astype(int))]
        part = "curve"
        if peer == "sinkhorn":
            answers = capped(peers.sinkhorn, problem, rates, [epsilons[R] for R in rates], seconds=cap)
        else:
            answers = capped(peers.cone, problem, rates, peer, seconds=cap)
    left = list(rates)
    for answer in answers:
        row = {"benchmark": "rates", "instance": instance.name, "size": instance.size, "solver": peer, "part": part}
        row |= {"rate_bits": left[0] if left else math.nan} | answer
        if "value" in answer:
            row["error"] = abs(answer["value"] - known[row["rate_bits"]]) / problem.d.max()
        left = left[1:]
        yield row
        if answer["status"] in ("did not finish", "error"):
            for rate in left:
                yield row | {"rate_bits": rate, "note": "not reached"}
            return


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One line for each instance, part and solver; ``ratio`` is of CPU time, to the engine's mean over the whole part.

    The engine's time at a point depends on the points before it, so only a sweep's mean says what a point costs.
    """
    table = table.assign(letters=table["size"].str.split("x").str[0].astype(int))
    at = ["instance", "letters", "part"]
    engine = table[table["solver"] == "newton"].groupby(at)["cpu_seconds"].mean()
    lines = []
    for (instance, letters, part, solver), group in table.groupby([*at, "solver"], sort=False):
        done = group[group["value"].notna()]
        mean = done["cpu_seconds"].mean()
        lines.append(
            {
                "instance": instance,
                "letters": letters,
                "part": part,
                "solver": solver,
                "points": f"{len(done)}/{len(group)}",
                "s/point": done["seconds"].mean(),
                "cpu s/point": mean,
                "peak MiB": group["peak_mib"].max(),
                "ratio": mean / engine[instance, letters, part] if solver != "newton" else math.nan,
                "kernel evals": done["kernel_evaluations"].mean(),
                "error": done["error"].max(),
                "gap": done["gap"].max(),
                "violation": done["violation"].max(),
                "status": ", ".join(f"{n} {s}" for s, n in group["status"].value_counts().items()),
            }
        )
    return pd.DataFrame(lines).sort_values(["letters", "instance", "part"], kind="stable", ignore_index=True)


def _timed(session: Session, R: float) -> tuple[Solution, Row]:
    started = clock()
    solution = session.solve(R, None, on_failure="return")
    return solution, since(started)


def _row(instance: Instance, solver: str, part: str, R: float, took: Row, solution: Solution) -> Row:
    problem: Problem = instance.problem
    return {
        "benchmark": "rates",
        "instance": instance.name,
        "size": instance.size,
        "solver": solver,
        "part": part,
        "rate_bits": R,
        **took,
        "kernel_evaluations": solution.stats.get("kernel_evaluations", math.nan),
        "value": solution.distortion,
        "lower_bound": solution.lower_bound,
        "gap": solution.gap / problem.d.max(),
        "error": 0.0 if solution.status == "optimal" else math.nan,  # by proof, up to the gap
        "violation": max(solution.residuals.row_marginal, solution.residuals.column_marginal, solution.residuals.rate),
        "status": solution.status,
        "note": solution.termination,
    }
