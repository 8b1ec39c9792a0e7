"""Checkpoints to resume from, and sweeps that write them."""

import math
from pathlib import Path

from drcopt.sweep import sweep
from drcopt.sweeps.checkpoint import Record

HERE = Path(__file__).parent
TEXT = {"b"}
HEADER = {"problem": "abc", "tol": 1e-6, "identity": ["id"], "columns": ["id", "a", "b"]}


def record(row, a=0.1, b="x", warm=None):
    return Record({"id": row, "a": a, "b": b}, warm)


def run(problem, path=None, R=(0.0, 0.5, 1.0, math.inf), C=(math.inf, 0.5), **settings):
    return sweep(problem, R=R, C=C, checkpoint=path, progress=False, **settings)
