"""Are ``time_limit`` and Ctrl-C kept on questions of every kind and size? ``python -m campaigns.time_limits``.

200 questions: to 1024 × 1024 letters and 64 classes, codes to 24 letters, edges, inverse functions, theorems, and small
ones with gaps asked for that nobody closes. For each: by how much the limit was overrun, in seconds of the wall and of
the processor. Other programs stretch the former, so that the limit is kept on the processor's clock and judged there
(``--wall`` on a machine of one's own). Both ends of what comes back must hold: no bound above its point, none below
that without C in a third of the time or below H(S|X), and small proofs are checked (python-flint; takes its time).
``--interrupt 20`` sends Ctrl-C to a program that has begun on so many of the questions, and measures how long it takes
to end. Exits with 1 if a limit is overrun, an interrupt unheard, or an answer not valid.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

import drcopt
from drcopt import theorems
from drcopt.support import clock

#: Kind, n, m, k.
QUESTIONS = (
    ("single-letter", 1024, 1024, 64), ("single-letter", 1024, 1024, 2), ("single-letter", 700, 700, 3),
    ("single-letter", 256, 256, 4), ("single-letter", 64, 64, 10), ("single-letter", 5, 5, 3),
    ("single-letter", 100, 100, 2), ("single-letter", 30, 1024, 8), ("single-letter", 1024, 16, 32),
    ("single-letter", 12, 12, 2), ("single-letter", 6, 6, 4),
    ("rate-only", 1024, 1024, 2), ("rate-only", 512, 900, 2), ("no budget", 1024, 1024, 2), ("no budget", 300, 300, 2),
    ("edge", 1024, 1024, 64), ("edge", 200, 200, 5), ("edge", 24, 24, 3),
    ("loss within D", 512, 512, 3), ("loss within D", 24, 24, 3),
    ("least rate", 1024, 1024, 2), ("least rate", 300, 300, 4), ("least rate with C", 300, 300, 4),
    ("least rate with C", 12, 12, 2),
    ("time-sharing", 1024, 1024, 2), ("time-sharing", 128, 128, 6), ("time-sharing", 12, 12, 3),
    ("one-shot", 24, 24, 2), ("one-shot", 24, 3, 8), ("one-shot", 18, 3, 2), ("one-shot", 21, 2, 3),
    ("clarabel", 32, 32, 3), ("scs", 24, 24, 2), ("validate", 0, 0, 0),
)  # fmt: skip
#: Seconds by which a limit may be overrun, or that may pass after Ctrl-C.
GRACE = 0.5
#: Entries of d up to which proofs are checked.
_CHECKED = 64


def question(i: int, limit: float | None) -> tuple[drcopt.Problem | None, dict[str, Any], Callable[[], Any]]:
    """The problem, its budgets, and what asks."""
    kind, n, m, k = QUESTIONS[i % len(QUESTIONS)]
    if kind == "validate":
        names = [theorem.name for theorem in theorems.select(None)]
        name = names[(i // len(QUESTIONS)) % len(names)]
        return None, {"theorem": name}, lambda: theorems.validate([name], instances=2, seed=i, time_limit=limit)
    rng = np.random.default_rng(i)
    W = rng.dirichlet(np.full(k, rng.choice([0.2, 1.0])), n)
    problem = drcopt.Problem(rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m)), W, rng.random((n, m)))
    low, high = (h / math.log(2.0) for h in (problem.entropy_s_given_x, problem.entropy_s))
    R, C = float(rng.choice([0.3, 1.0, 3.0])), low + float(rng.choice([0.5, 0.9])) * (high - low)
    least = max(problem.px @ problem.d.min(axis=1), problem.py @ problem.d.min(axis=0))
    D = 0.5 * (float(least) + problem.distortion(problem.independent))
    asked: dict[str, Any] = {"R": R, "C": C, "time_limit": limit, "tol": 1e-9, "on_failure": "return"}
    ask: Callable[..., Any] = drcopt.solve
    if kind in ("time-sharing", "one-shot"):
        asked["formulation"] = kind
    elif kind in ("clarabel", "scs"):
        asked["engine"] = kind
    elif kind in ("rate-only", "no budget"):
        asked |= {"C": None, "R": R if kind == "rate-only" else None}
    elif kind in ("edge", "loss within D"):
        ask, asked["D"] = drcopt.min_classification_loss, D if kind == "loss within D" else None
        del asked["C"]
    elif kind.startswith("least rate"):
        ask, asked["D"], asked["C"] = drcopt.min_rate, D, C if kind.endswith("C") else None
        del asked["R"]
    return problem, asked, lambda: ask(problem, **asked)


def valid(problem: drcopt.Problem, asked: dict[str, Any], answer: Any, check: bool) -> bool:
    """Whether an answer is no worse than what is known of the question anyway, and is what it says."""
    holds = not answer.lower_bound > answer.value
    if answer.objective == "classification_loss":
        holds &= answer.lower_bound >= problem.entropy_s_given_x / math.log(2.0) - 1e-9
    elif answer.objective == "distortion" and asked["C"] is not None and not {"formulation", "engine"} & set(asked):
        free = drcopt.solve(problem, R=asked["R"], time_limit=0.3 * asked["time_limit"], on_failure="return")
        holds &= answer.status == "infeasible" or answer.lower_bound >= free.lower_bound - 1e-6
    if check and problem.d.size <= _CHECKED:
        verdict = drcopt.certify.proof.verdict(answer.certificate)
        holds &= verdict.accepted or answer.excess > 0 or "out of reach" in verdict.reason
    return bool(holds)


def run(count: int, limit: float, check: bool) -> Iterator[dict[str, Any]]:
    """A row for each question."""
    drcopt.solve(drcopt.sources.bernoulli(), R=0.3, C=0.9)  # modules are loaded where they are first needed
    threads = threading.active_count()
    for i in range(count):
        kind, n, m, k = QUESTIONS[i % len(QUESTIONS)]
        problem, asked, ask = question(i, limit)
        while threading.active_count() > threads:  # solvers given up at the last question's limit
            time.sleep(0.02)
        started, used = time.monotonic(), time.process_time()
        answer = ask()
        wall, cpu = time.monotonic() - started, time.process_time() - used
        row = {"question": i, "kind": kind, "size": f"{n}x{m}x{k}", "wall": wall, "cpu": cpu}
        if problem is None:
            row |= {"size": asked["theorem"], "status": answer["verdict"].iloc[0], "termination": "", "valid": True}
        else:
            row |= {"status": answer.status, "termination": answer.termination}
            row["valid"] = valid(problem, asked, answer, check)
        yield row | {"late": wall - limit, "late_cpu": cpu - limit}


def interrupts(count: int, after: float) -> Iterator[dict[str, Any]]:
    """A row for each of some questions, in a program that is sent SIGINT so many seconds after it began to solve."""
    spread = [round(j * (len(QUESTIONS) - 2) / max(1, count - 1)) for j in range(count)]
    for i in spread:
        kind, n, m, k = QUESTIONS[i]
        program = (
            "import resource, sys, time\n"
            "from campaigns.time_limits import question\n"
            f"_, _, ask = question({i}, None)\n"
            "print('begun', flush=True)\n"
            "try:\n    answer = ask()\nexcept KeyboardInterrupt:\n    sys.exit(130)\n"
            "print(answer.termination, flush=True)\n"
        )
        child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=os.environ)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(after)
        before, used = time.monotonic(), _processor(child.pid)
        child.send_signal(signal.SIGINT)
        said, last = "", used
        while child.poll() is None and time.monotonic() - before < 60.0:
            time.sleep(0.01)
            last = _processor(child.pid, last)
        child.kill()
        wall, said = time.monotonic() - before, child.stdout.read().strip()
        done = used is None or said not in ("", "interrupted")  # it had an answer before it was interrupted
        yield {
            "question": i, "kind": kind, "size": f"{n}x{m}x{k}", "wall": wall, "cpu": (last or 0.0) - (used or 0.0),
            "status": "done before" if done else f"interrupted: {'an answer' if said else 'nothing known'}",
        }  # fmt: skip


def _processor(pid: int, otherwise: float | None = None) -> float | None:
    """Processor seconds that a process has used, from Linux's table of processes."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as table:
            fields = table.read().rpartition(")")[2].split()
    except OSError:
        return otherwise
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def summary(rows: pd.DataFrame) -> str:
    """A line for each kind and one for all, then what is late or not valid."""
    lines = [f"{'kind':18}{'n':>5}{'cut short':>11}{'late: wall':>12}{'processor':>11}{'not valid':>11}"]
    for name, part in [*rows.groupby("kind", sort=False), ("all", rows)]:
        cut = int(part["termination"].str.contains("time limit").sum())
        worst = max(0.0, part["late"].max()), max(0.0, part["late_cpu"].max())
        lines.append(f"{name:18}{len(part):5d}{cut:11d}{worst[0]:12.2f}{worst[1]:11.2f}{(~part['valid']).sum():11d}")
    over = rows[(rows["late_cpu"] > GRACE) | ~rows["valid"]]
    lines += [f"{r.kind} {r.size} #{r.question}: {r.cpu:.2f} s, valid {r.valid}" for r in over.itertuples()]
    lines.append(f"{(rows['late_cpu'] <= GRACE).sum()} of {len(rows)} within {GRACE} s of the limit, processor's clock")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial."""
    parser = argparse.ArgumentParser(prog="python -m campaigns.time_limits", description="Are limits kept?")
    parser.add_argument("--n", type=int, default=200, help="questions (default 200)")
    parser.add_argument("--limit", type=float, default=1.0, help="seconds (default 1)")
    parser.add_argument("--interrupt", type=int, default=0, metavar="N", help="interrupt so many instead")
    parser.add_argument("--wall", action="store_true", help="limits on the wall's clock, for a machine of one's own")
    parser.add_argument("--no-check", action="store_true", help="do not have small proofs checked")
    parser.add_argument("--out", help="CSV file for every row")
    options = parser.parse_args(arguments)
    if not options.wall:
        clock.now = time.process_time
    if options.interrupt:
        rows = pd.DataFrame(interrupts(options.interrupt, options.limit))
        print(rows.to_string(index=False, float_format=lambda v: f"{v:.2f}"))
    else:
        rows = pd.DataFrame(run(options.n, options.limit, not options.no_check))
        print(summary(rows))
    if options.out:
        rows.to_csv(options.out, index=False)
    if options.interrupt:
        return int((rows["wall" if options.wall else "cpu"] > GRACE).any())
    return int((rows["late" if options.wall else "late_cpu"] > GRACE).any() or not rows["valid"].all())


if __name__ == "__main__":
    raise SystemExit(main())
