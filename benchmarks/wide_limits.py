"""Is ``time_limit`` kept on questions of every kind and size? ``python -m benchmarks.wide_limits``.

200 questions: single-letter and rate-only to 1024 × 1024 letters and 64 classes, time-sharing, one-shot to 24 letters,
the least classification loss, other engines. For each: by how much the limit was overrun, in seconds of the wall and,
because other programs on the machine stretch those, of the processor: the limit is kept on the processor's clock too.
A limited answer must be no worse than the bound without C and than H(S|X). Exits with 1 otherwise.
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
from drcopt.support import clock

#: Kind, n, m, k.
QUESTIONS = (
    ("single-letter", 1024, 1024, 64), ("single-letter", 1024, 1024, 2), ("single-letter", 700, 700, 3),
    ("single-letter", 256, 256, 4), ("single-letter", 64, 64, 10), ("single-letter", 5, 5, 3),
    ("single-letter", 100, 100, 2), ("single-letter", 30, 1024, 8), ("single-letter", 1024, 16, 32),
    ("rate-only", 1024, 1024, 2), ("rate-only", 512, 900, 2), ("no budget", 1024, 1024, 2), ("no budget", 300, 300, 2),
    ("edge", 1024, 1024, 64), ("edge", 200, 200, 5), ("edge", 24, 24, 3),
    ("time-sharing", 1024, 1024, 2), ("time-sharing", 128, 128, 6), ("time-sharing", 12, 12, 3),
    ("one-shot", 24, 24, 2), ("one-shot", 24, 3, 8), ("one-shot", 18, 3, 2), ("one-shot", 21, 2, 3),
    ("clarabel", 32, 32, 3), ("scs", 24, 24, 2),
)  # fmt: skip
#: Seconds by which a limit may be overrun.
GRACE = 0.5


def run(count: int, limit: float) -> Iterator[dict[str, Any]]:
    """A row for each question."""
    for i in range(count):
        kind, n, m, k = QUESTIONS[i % len(QUESTIONS)]
        rng = np.random.default_rng(i)
        W = rng.dirichlet(np.full(k, rng.choice([0.2, 1.0])), n)
        problem = drcopt.Problem(rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m)), W, rng.random((n, m)))
        low, high = (h / math.log(2.0) for h in (problem.entropy_s_given_x, problem.entropy_s))
        R, C = rng.choice([0.3, 1.0, 3.0]), low + rng.choice([0.5, 0.9]) * (high - low)
        settings: dict[str, Any] = {"R": R, "time_limit": limit, "tol": 1e-9, "on_failure": "return"}
        if kind in ("time-sharing", "one-shot"):
            settings["formulation"] = kind
        if kind in ("clarabel", "scs"):
            settings["engine"] = kind
        if kind not in ("rate-only", "no budget", "edge"):
            settings["C"] = C
        if kind == "no budget":
            settings["R"] = None
        ask = drcopt.min_classification_loss if kind == "edge" else drcopt.solve
        started, used = time.monotonic(), time.process_time()
        answer = ask(problem, **settings)
        wall, cpu = time.monotonic() - started, time.process_time() - used
        if kind == "edge":
            valid = not answer.classification_loss < answer.lower_bound - 1e-9 and answer.lower_bound >= low - 1e-9
        else:
            valid = not answer.lower_bound > answer.distortion
        if kind == "single-letter":
            free = drcopt.solve(problem, R=R, time_limit=limit, on_failure="return")
            valid &= answer.status == "infeasible" or answer.lower_bound >= free.lower_bound - 1e-6
        yield {
            "question": i, "kind": kind, "size": f"{n}x{m}x{k}", "status": answer.status, "wall": wall, "cpu": cpu,
            "late": wall - limit, "late_cpu": cpu - limit, "valid": valid, "termination": answer.termination,
        }  # fmt: skip


def summary(rows: pd.DataFrame) -> str:
    """A line for each kind and one for all."""
    lines = [f"{'kind':16}{'n':>5}{'cut short':>11}{'late: wall':>12}{'processor':>11}{'not valid':>11}"]
    for name, part in [*rows.groupby("kind", sort=False), ("all", rows)]:
        cut = int(part["termination"].str.contains("time limit").sum())
        worst = max(0.0, part["late"].max()), max(0.0, part["late_cpu"].max())
        lines.append(f"{name:16}{len(part):5d}{cut:11d}{worst[0]:12.2f}{worst[1]:11.2f}{(~part['valid']).sum():11d}")
    over = rows[(rows["late_cpu"] > GRACE) | ~rows["valid"]]
    lines += [f"{r.kind} {r.size} #{r.question}: {r.cpu:.2f} s, valid {r.valid}" for r in over.itertuples()]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wide_limits", description="Is time_limit kept?")
    parser.add_argument("--n", type=int, default=200, help="questions (default 200)")
    parser.add_argument("--limit", type=float, default=1.0, help="seconds (default 1)")
    parser.add_argument("--wall", action="store_true", help="limits on the wall's clock, for a machine of one's own")
    parser.add_argument("--out", help="CSV file for every row")
    options = parser.parse_args(arguments)
    if not options.wall:
        clock.now = time.process_time
    rows = pd.DataFrame(run(options.n, options.limit))
    if options.out:
        rows.to_csv(options.out, index=False)
    print(summary(rows))
    late = rows["late"] if options.wall else rows["late_cpu"]
    return int((late > GRACE).any() or not rows["valid"].all())


if __name__ == "__main__":
    raise SystemExit(main())
