"""Run a sweep in a child, SIGKILL it at a random instant, again and again; then let it end.

Usage: kill_loop.py FOLDER KILLS SEED [pool]. With "pool" the sweep runs in two workers, and no life is long enough for
a whole chain. Prints a JSON line. A process of its own because it forks: that is what makes a kill cost milliseconds
instead of a start of Python.
"""

import importlib
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import fakes
import pandas  # noqa: F401 - before the fork, not in every child

from drcopt.problem import Problem


class Marking(fakes.FakeSession):
    """Leaves a file for each worker that solves: one that never did may outlive the pool's owner."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        if multiprocessing.parent_process() is not None:
            Path(os.environ["FAKE_LOG"]).with_name(f"worker-{os.getpid()}").touch()


module = importlib.import_module("drcopt.sweep")
module.Session = Marking
PROBLEM = Problem([0.5, 0.5], [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]])
POOL = sys.argv[4:] == ["pool"]
DELAY = 0.01 if POOL else 0.002
LOSSES = [float("inf")] if POOL else [float("inf"), 0.5]
module.SLICE = 5 * DELAY


def rates(kills):
    """More than the kills leave time for."""
    return [i / 16 for i in range((40 if POOL else 10) * kills)]


def work(folder, kills):
    pool = ProcessPoolExecutor(2, multiprocessing.get_context("fork")) if POOL else nullcontext()
    with pool as executor:
        table = module.sweep(
            PROBLEM,
            R=rates(kills),
            C=LOSSES,
            checkpoint=folder / "rows.jsonl",
            progress=False,
            executor=executor,
        )
    (folder / "resumed.csv").write_text(fakes.without_seconds(table), encoding="utf-8")


def solved(folder):
    """How many points were solved so far."""
    log = folder / "log"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def main(folder, kills, seed):
    rng = random.Random(seed)
    os.environ["FAKE_LOG"] = str(folder / "log")
    os.environ["FAKE_DELAY"] = str(DELAY)
    killed, start = 0, 0.0
    for life in range(kills):
        began, known = time.monotonic(), solved(folder)
        child = os.fork()
        if child == 0:
            work(folder, kills)
            os._exit(0)
        if POOL:  # a few slices, one of each worker at least, and by far no whole chain
            while len(list(folder.glob("worker-*"))) < 2 * life + 2 and not (folder / "resumed.csv").exists():
                time.sleep(0.001)
            time.sleep(rng.uniform(10 * DELAY, 20 * DELAY))
        elif life % 2 == 0:  # two points were solved, so one was recorded, however busy the machine is
            while solved(folder) < known + 2 and not (folder / "resumed.csv").exists():
                time.sleep(0.001)
            start = time.monotonic() - began
            time.sleep(rng.uniform(0, 15 * DELAY))
        else:  # on both sides of the first point
            time.sleep(rng.uniform(0, start + 15 * DELAY))
        os.kill(child, signal.SIGKILL)
        killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    recorded = (folder / "rows.jsonl").read_bytes().count(b"\n") - 1
    os.environ["FAKE_DELAY"] = "0"
    work(folder, kills)
    total = solved(folder)
    del os.environ["FAKE_LOG"]
    whole = module.sweep(PROBLEM, R=rates(kills), C=LOSSES, progress=False)
    (folder / "whole.csv").write_text(fakes.without_seconds(whole), encoding="utf-8")
    print(json.dumps({"killed": killed, "recorded": recorded, "solved": total, "rows": len(whole)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
