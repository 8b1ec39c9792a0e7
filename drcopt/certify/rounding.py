"""What sums over couplings may be off for being made of doubles; why is in :mod:`drcopt.certify.witness`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from drcopt.support import blocks
from drcopt.support.check import FloatArray

_UNIT = 2.0**-53
#: No more than double on some machines: its own rounding is to be allowed for.
WIDE = np.longdouble
#: Arrays of more entries are summed in doubles: others are slow.
_LARGE = 2**13


def of_sums(n: int, m: int) -> float:
    """Of sums over couplings of n and m letters, relative."""
    return (n + m + min(n * m, 1024) + 32) * 2 * _UNIT


def of_rate(n: int, m: int, weighed: Any, rate: Any) -> Any:
    """How much more than the doubles say rates can be whose marginals are off by ``weighed``, 2 − log mass each."""
    return 16 * weighed + 20 * _UNIT * (rate + 2.0 + math.log(n * m)) + of_sums(n, m) * rate


def sums(P: FloatArray) -> tuple[Any, Any]:
    """Of the rows and the columns of a nonnegative array (n, m), to (n + m) roundings of ``WIDE``, relative.

    Every entry is cut at the last digit that a number σ of twice its row's sum has: (P + σ) − σ and P less that are
    exact, the former add up without rounding in any order, and what rounding does to the sum of the latter is
    4 m² 2^-106 of the whole, less than that of ``WIDE``.
    """
    if P.size <= _LARGE:
        return P.sum(axis=1, dtype=WIDE), P.sum(axis=0, dtype=WIDE)
    x, y = (np.ldexp(1.0, np.maximum(np.frexp(P.sum(axis=axis))[1] + 1, -900)) for axis in (1, 0))
    heads, tails = (np.zeros(P.shape[0]), np.zeros(P.shape[1])), (np.zeros(P.shape[0]), np.zeros(P.shape[1]))
    for some in blocks.of_rows(*P.shape):
        part = P[some]
        for sigma, axis, place in ((x[some, None], 1, some), (y, 0, slice(None))):
            head = part + sigma
            head -= sigma
            heads[1 - axis][place] += head.sum(axis=axis)
            np.subtract(part, head, out=head)
            tails[1 - axis][place] += head.sum(axis=axis)
    rows, columns = (head.astype(WIDE) + tail for head, tail in zip(heads, tails, strict=True))
    return rows, columns
