"""Worker processes: a pool for the command line, and an end for those whose parent is gone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache


def cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@contextmanager
def workers(jobs: int) -> Iterator[ProcessPoolExecutor | None]:
    """A pool of worker processes that a Ctrl-C leaves silent and that never outlives this process."""
    if jobs == 1:
        yield None
        return
    # Not forked: a fork copies the locks of threads (BLAS, progress bar) that it does not copy.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=follow_parent) as pool:
        try:
            # Started while SIGINT is ignored, workers inherit that: they leave Ctrl-C to their parent.
            with _sigint_ignored():
                for _ in range(jobs):
                    pool.submit(cores)
            yield pool
        except BaseException:
            _forget_pending(pool)
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def _forget_pending(pool: ProcessPoolExecutor) -> None:
    """Return when the pool's thread has dropped its cancelled futures: it fails on them if a worker dies first."""
    try:
        last = pool.submit(cores)
    except RuntimeError:  # broken already
        return
    pool.shutdown(wait=False, cancel_futures=True)
    for _ in range(100):
        if last.running() or last.done():  # the queue is in order: those before it have been seen to
            return
        time.sleep(0.01)


@contextmanager
def _sigint_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@cache
def follow_parent() -> None:
    """End this worker when its parent ends, however that happens; a pool's workers otherwise wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return  # no worker: a thread's executor, or a cluster's own process

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
