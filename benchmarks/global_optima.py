"""Active classification budgets: the global engine beside SCIP (with bounds) and DCCP (without)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from benchmarks import peers
from benchmarks.instances import Instance, global_instances
from benchmarks.running import Row, capped, clock, since
from drcopt.solve import Session

PEERS = ("scip", "dccp")
#: Gap wanted of everyone, relative to max d.
TOL = 1e-6


def run(sizes: Sequence[str] = ("4x4x2",), use: Sequence[str] = (), cap: float = 60.0) -> Iterator[Row]:
    """Rows: ``engine="auto"`` on every instance of these sizes and each peer, all with ``cap`` as their time limit."""
    for size in sizes:
        for instance in global_instances(size):
            yield solved(instance, cap)
            if "scip" in use:
                gap = TOL * float(instance.problem.d.max())
                # Its own time limit first; the process's is for what does not look at the clock.
                arguments = instance.problem, instance.R, instance.C, cap, gap
                yield _peer(instance, "scip", capped(peers.scip, *arguments, seconds=1.5 * cap + 5))
            if "dccp" in use:
                yield _peer(instance, "dccp", capped(peers.dccp, instance.problem, instance.R, instance.C, seconds=cap))


def solved(instance: Instance, cap: float, **settings: str) -> Row:
    """The package's answer as a row."""
    session = Session(instance.problem, tol=TOL, time_limit=cap, **settings)  # type: ignore[arg-type]
    started = clock()
    solution = session.solve(instance.R, instance.C, on_failure="return")
    residuals = solution.residuals
    return _named(instance, solution.engine) | {
        **since(started),
        "kernel_evaluations": solution.stats.get("kernel_evaluations", math.nan),
        "nodes": solution.stats.get("nodes", math.nan),
        "columns": solution.stats.get("columns", math.nan),
        "value": solution.distortion,
        "lower_bound": solution.lower_bound,
        "gap": solution.gap / instance.problem.d.max(),
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
    """The columns worth printing, and each value's distance above the engine's bound, which is proved."""
    own = table[~table["solver"].isin(PEERS)].set_index(["instance", "size"])["lower_bound"]
    scale = table["value"] - [own[key] for key in table[["instance", "size"]].itertuples(index=False, name=None)]
    shown = "size instance solver seconds cpu_seconds nodes status gap value above_bound violation note"
    return table.assign(above_bound=scale)[shown.split()]
