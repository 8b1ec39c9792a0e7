"""Active classification budgets: the global engine beside SCIP and discopt (with bounds) and DCCP (without).

Time limits are CPU seconds, whatever else the machine does: the engine, SCIP and discopt go by their process's clock.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from benchmarks import peers
from benchmarks.instances import Instance, global_instances, reference_instances
from benchmarks.running import Row, capped, clock, since
from drcopt.session import Session
from drcopt.support import clock as deadlines

PEERS = ("scip", "discopt", "dccp")
#: Gap wanted of everyone, relative to max d.
TOL = 1e-6
#: Wall seconds for each CPU second that a peer may have, on a machine with other work.
_PATIENCE = 60.0
#: Bits of a sweep's points.
RATES = [0.8 + 0.04 * i for i in range(11)]


def run(
    sizes: Sequence[str] = ("4x4x2",),
    use: Sequence[str] = (),
    cap: float = 60.0,
    reference: str | None = None,
    sweep: bool = False,
) -> Iterator[Row]:
    """Rows: ``engine="auto"`` on every instance of these sizes, or of a reference file, and each peer, all with
    ``cap`` CPU seconds as their time limit. With ``sweep``: :func:`swept`."""
    deadlines.now = time.process_time
    if sweep:
        yield from swept(sizes, cap)
        return
    for instance in reference_instances(reference) if reference else [i for s in sizes for i in global_instances(s)]:
        ours = solved(instance, session(instance, cap))
        yield ours
        for name in (name for name in PEERS if name in use):
            gap, solver = TOL * float(instance.problem.d.max()), getattr(peers, name)
            given: tuple[object, ...] = (instance.problem, instance.R, instance.C)
            if name == "scip":
                given += (cap, gap)
            if name == "discopt":  # its gap is relative to its value, which is about the engine's
                given += (cap, gap / max(ours["value"], 1e-3) if math.isfinite(ours["value"]) else gap)
            # A peer's own limit first; the process's is for what does not look at the clock.
            yield _peer(instance, name, capped(solver, *given, seconds=_PATIENCE * cap + 10))


def swept(sizes: Sequence[str], cap: float) -> Iterator[Row]:
    """Rows: :data:`RATES` at the C of every instance, by one session (warm) and by a session a point (cold)."""
    for instance in (i for size in sizes for i in global_instances(size)):
        for part in ("warm", "cold"):
            one = session(instance, cap)
            for R in RATES:
                by = one if part == "warm" else session(instance, cap)
                yield solved(replace(instance, R=R), by) | {"part": part}


def session(instance: Instance, cap: float, **settings: str) -> Session:
    """A session about an instance's problem, to the gap wanted."""
    return Session(instance.problem, tol=TOL, time_limit=cap, **settings)  # type: ignore[arg-type]


def solved(instance: Instance, by: Session) -> Row:
    """The package's answer as a row; ``error`` is how far its interval lies from the instance's."""
    started = clock()
    solution = by.solve(instance.R, instance.C, on_failure="return")
    residuals, largest = solution.residuals, float(instance.problem.d.max())
    apart = max(solution.lower_bound - instance.upper, instance.lower - solution.distortion, 0.0) / largest
    return _named(instance, solution.engine) | {
        **since(started),
        "kernel_evaluations": solution.stats.get("kernel_evaluations", math.nan),
        "nodes": solution.stats.get("nodes", math.nan),
        "columns": solution.stats.get("columns", math.nan),
        "value": solution.distortion,
        "lower_bound": solution.lower_bound,
        "error": apart if math.isfinite(instance.upper) else math.nan,
        "gap": solution.gap / largest,
        "violation": max(residuals.row_marginal, residuals.column_marginal, residuals.rate, residuals.classification),
        "status": solution.status,
        "note": solution.termination,
    }


def _named(instance: Instance, solver: str) -> Row:
    return {
        "benchmark": "global",
        "instance": instance.name,
        "size": instance.size,
        "solver": solver,
        "rate_bits": instance.R,
        "classification_bits": instance.C,
    }


def _peer(instance: Instance, solver: str, answers: Iterator[Row]) -> Row:
    # One row a peer: an answer if it gave one, else why not.
    answer = next(answers)
    answers.close()  # type: ignore[attr-defined]
    row = _named(instance, solver) | answer
    row["gap"] = (row.get("value", math.nan) - row.get("lower_bound", math.nan)) / instance.problem.d.max()
    return row


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """The columns worth printing, and each value's distance above the engine's bound, which is proved.

    Of sweeps, a line each.
    """
    if table["part"].notna().any():
        return _sweeps(table)
    own = table[~table["solver"].isin(PEERS)].set_index(["instance", "size"])["lower_bound"]
    scale = table["value"] - [own[key] for key in table[["instance", "size"]].itertuples(index=False, name=None)]
    error = "error " if table["error"].notna().any() else ""
    shown = f"size instance solver seconds cpu_seconds nodes status gap value above_bound {error}violation note"
    return table.assign(above_bound=scale)[shown.split()]


def _sweeps(table: pd.DataFrame) -> pd.DataFrame:
    lines = table.groupby(["size", "instance", "part"], sort=False)
    return lines.agg(
        points=("status", "size"),
        optimal=("status", lambda found: (found == "optimal").sum()),
        infeasible=("status", lambda found: (found == "infeasible").sum()),
        cpu_seconds=("cpu_seconds", "sum"),
        nodes=("nodes", "sum"),
        gap=("gap", "max"),
    ).reset_index()
