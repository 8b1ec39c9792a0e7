"""Rows, their summary, and peers in a process of their own that can be stopped."""

from __future__ import annotations

import multiprocessing
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from typing import Any

import pandas as pd

Row = dict[str, Any]

#: Every table has these columns, whatever was run; NaN or "" where a solver does not say.
COLUMNS = (
    "benchmark", "instance", "size", "solver", "part", "rate_bits", "classification_bits",
    "seconds", "cpu_seconds", "peak_mib", "setup_seconds", "kernel_evaluations", "nodes", "columns",
    "value", "lower_bound", "error", "gap", "violation", "status", "note",
)  # fmt: skip


def _work(pipe: Any, memory: int, generate: Callable[..., Iterator[Row]], args: tuple[Any, ...]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    try:
        for row in generate(*args):
            pipe.send(row)
    except BaseException as error:  # MemoryError, a solver's panic: a result like any other
        pipe.send({"status": "error", "note": f"{type(error).__name__}: {error}"[:200].replace("\n", " ")})
    pipe.close()


def capped(
    generate: Callable[..., Iterator[Row]], *args: Any, seconds: float, memory_gib: float = 12.0
) -> Iterator[Row]:
    """What ``generate(*args)`` yields in a child process until it ends or ``seconds`` of its own have passed.

    A last row with status "did not finish" or "error" says if it was cut short. A solver deep in compiled code
    ignores everything gentler than the end of its process.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, int(memory_gib * 2**30), generate, args), daemon=True)
    process.start()
    sender.close()
    deadline = time.monotonic() + seconds
    try:
        while True:
            if not receiver.poll(max(0.0, deadline - time.monotonic())):
                yield {"status": "did not finish", "note": f"stopped after {seconds:g} s"}
                return
            try:
                yield receiver.recv()
            except EOFError:
                process.join(10)
                if process.exitcode:
                    yield {"status": "error", "note": f"its process ended with code {process.exitcode}"}
                return
    finally:
        process.kill()
        process.join()
        receiver.close()


def clock() -> tuple[float, float]:
    """Wall and processor time, to hand to :func:`since`."""
    return time.perf_counter(), time.process_time()


def since(start: tuple[float, float]) -> Row:
    """Seconds of either kind, and the most memory so far. On a shared machine only the processor's seconds say much."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "seconds": time.perf_counter() - start[0],
        "cpu_seconds": time.process_time() - start[1],
        "peak_mib": peak if sys.platform == "linux" else peak / 1024,
    }


def frame(rows: Iterable[Row]) -> pd.DataFrame:
    """Rows as a table with every column."""
    return pd.DataFrame(list(rows)).reindex(columns=list(COLUMNS))


def machine() -> str:
    """One line: processor, cores, threads allowed, versions."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    versions = []
    for package in ("drcopt", "numpy", "scipy", "cvxpy", "clarabel", "scs", "POT", "PySCIPOpt", "discopt", "dccp"):
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    threads = os.environ.get("OMP_NUM_THREADS", "any number of")
    versions.insert(0, f"Python {platform.python_version()}")
    return f"{name}, {cores} cores, {threads} BLAS thread(s){load}; {', '.join(versions)}"
