"""What sums over couplings may be off for being made of doubles; why is in :mod:`drcopt.certify.witness`."""

from __future__ import annotations

import math
from typing import Any

_UNIT = 2.0**-53


def of_sums(n: int, m: int) -> float:
    """Of sums over couplings of n and m letters, relative."""
    return (n + m + min(n * m, 1024) + 32) * 2 * _UNIT


def of_rate(n: int, m: int, weighed: Any, rate: Any) -> Any:
    """How much more than the doubles say rates can be whose marginals are off by ``weighed``, 2 − log mass each."""
    return 16 * weighed + 20 * _UNIT * (rate + 2.0 + math.log(n * m)) + of_sums(n, m) * rate
