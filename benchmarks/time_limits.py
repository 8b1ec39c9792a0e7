"""Is ``time_limit`` kept on problems too hard for it? ``python -m benchmarks.time_limits``.

Instances with an active C, many letters or classes and a gap asked that nobody closes. For each: by how much the limit
was overrun, and whether the certificate's bounds are proved again by the checker (python-flint; takes its time).
Exits with 1 if the limit is overrun by more than a second or a bound is not valid.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

import drcopt
from benchmarks.instances import random

SIZES = ((8, 8, 3), (12, 12, 2), (6, 6, 4), (16, 16, 2), (5, 9, 5), (24, 24, 2), (4, 4, 3), (12, 10, 6))
FORMULATIONS = ("single-letter", "single-letter", "single-letter", "time-sharing", "one-shot")
#: Seconds by which a limit may be overrun.
GRACE = 1.0


def run(count: int = 50, limit: float = 1.0, check: bool = True) -> Iterator[dict[str, Any]]:
    """A row for each of ``count`` instances."""
    for seed in range(count):
        n, m, k = SIZES[seed % len(SIZES)]
        problem, formulation = random(n, m, k, seed), FORMULATIONS[seed % len(FORMULATIONS)]
        free = drcopt.solve(problem, R=0.8)
        floor = problem.entropy_s_given_x / math.log(2.0)
        C = free.classification_loss - 0.3 * (free.classification_loss - floor)
        started, used = time.monotonic(), time.process_time()
        answer = drcopt.solve(
            problem, R=0.8, C=C, tol=1e-12, formulation=formulation, time_limit=limit, on_failure="return"
        )
        row = {
            "instance": seed, "size": f"{n}x{m}x{k}", "formulation": formulation, "status": answer.status,
            "seconds": time.monotonic() - started, "cpu_seconds": time.process_time() - used,
            "gap": answer.gap / float(problem.d.max()), "termination": answer.termination,
        }  # fmt: skip
        valid = not answer.lower_bound > answer.distortion
        if answer.status in ("optimal", "feasible") and formulation != "one-shot":
            # A coupling that meets less is no worse: without C the optimum is below.
            valid &= answer.distortion >= free.lower_bound
            valid &= bool(np.abs(answer.coupling.sum(axis=0) - problem.py).sum() <= 1e-11)
        row["checked"] = False
        if check:
            verdict = drcopt.certify.proof.verdict(answer.certificate)
            if "out of reach" not in verdict.reason:  # a minimum over more maps than the checker goes through
                valid &= verdict.accepted
                row |= {"checked": True, "rejected": verdict.reason}
        yield row | {"overrun": max(0.0, row["seconds"] - limit), "valid": valid}


def summary(rows: pd.DataFrame) -> str:
    """A line for each size and one for all."""
    lines = [f"{'size':12}{'n':>5}{'cut short':>11}{'overrun 50%':>13}{'max':>8}{'checked':>9}{'not valid':>11}"]
    for name, part in [*rows.groupby("size", sort=False), ("all", rows)]:
        cut = int(part["termination"].str.contains("time").sum())
        over = part["overrun"]
        lines.append(
            f"{name:12}{len(part):5d}{cut:11d}{over.median():13.2f}{over.max():8.2f}{part['checked'].sum():9d}{(~part['valid']).sum():11d}"
        )
    lines += [f"{r.size} #{r.instance}: {r.seconds:.2f} s" for r in rows[rows["overrun"] > GRACE].itertuples()]
    lines += [f"{r.size} #{r.instance}: not valid" for r in rows[~rows["valid"]].itertuples()]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.time_limits", description="Is time_limit kept?")
    parser.add_argument("--n", type=int, default=50, help="instances (default 50)")
    parser.add_argument("--limit", type=float, default=1.0, help="seconds (default 1)")
    parser.add_argument("--no-check", action="store_true", help="do not have the certificates checked")
    parser.add_argument("--out", help="CSV file for every row")
    options = parser.parse_args(arguments)
    rows = pd.DataFrame(run(options.n, options.limit, not options.no_check))
    if options.out:
        rows.to_csv(options.out, index=False)
    print(summary(rows))
    return int((rows["overrun"] > GRACE).any() or not rows["valid"].all())


if __name__ == "__main__":
    raise SystemExit(main())
