"""What tests of inverse questions share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from drcopt import Problem

BIT = math.log(2.0)


#: What can be asked for: formulation and what the classifier sees.
KINDS = [("single-letter", "Y"), ("time-sharing", "Y"), ("one-shot", "Y"), ("one-shot", "YU")]


def hamming(px: list[float], py: list[float] | None = None) -> Problem:
    """A source under Hamming distortion whose classes say nothing."""
    return Problem(px, px if py is None else py, np.full((len(px), 2), 0.5), "hamming")


def single(**settings: Any) -> dict[str, Any]:
    return {"units": "nats", "tol": 1e-9} | settings
