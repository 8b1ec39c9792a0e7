"""How many draws a width takes."""

from __future__ import annotations

import math
from collections.abc import Callable

from drcopt import information, words
from drcopt.errors import InputError
from drcopt.statistics.ball import tv_radius
from drcopt.statistics.means import bernstein_excess, level
from drcopt.support import check

__all__ = ["samples_needed"]

#: More draws than anyone has.
_MOST = 2**60


def samples_needed(
    width: float,
    *,
    method: words.SampleCount = "hoeffding",
    span: float = 1.0,
    sd: float | None = None,
    letters: int | None = None,
    multipliers: tuple[float, float] = (0.0, 0.0),
    confidence: float = 0.95,
    units: words.Units = "bits",
) -> int:
    """The least N for which a bound lies within ``width`` of what the draws show.

    Parameters
    ----------
    width : float
        What may be added (or subtracted) for chance, in the unit of what is bounded; for "tv" the radius ε itself.
    method : {"hoeffding", "bernstein", "tv", "concavity"}
        The bound: of :func:`upper_mean`, :func:`tv_radius` or :func:`lower_bound`.
    span : float
        The range of the values ("hoeffding", "bernstein") or of d ("concavity").
    sd : float
        "bernstein": the standard deviation that the draws will show.
    letters : int
        "tv": the number of pairs (x, s).
    multipliers : (α, β)
        "concavity": those of the bound, in the unit of d per ``units``.
    confidence : float
        That of the bound.

    Raises
    ------
    InputError
        If the width is not positive, or what the method needs is missing.

    Examples
    --------
    >>> samples_needed(0.01)
    14979
    >>> samples_needed(0.01, method="bernstein", sd=0.1)
    2109
    >>> samples_needed(0.01, method="tv", letters=6)
    35615
    >>> samples_needed(0.05, method="concavity", multipliers=(0.25, 0.0))
    13797
    """
    check.positive("width", width)
    delta = 1.0 - level(confidence)
    check.choice("method", method, words.SAMPLE_COUNTS)
    check.positive("span", span)
    scale = information.NATS_PER[check.choice("units", units, words.UNITS)]
    need: Callable[[int], float]
    if method == "hoeffding":
        return max(1, math.ceil(span**2 * -math.log(delta) / (2.0 * width**2)))
    if method == "bernstein":
        if sd is None or not 0.0 <= check.real_number("sd", sd, "Pass e.g. 0.1.") <= span:
            raise InputError(f"sd must be between 0 and span = {span:g} for method='bernstein'; it is {sd}. Pass it.")
        variance = float(sd) ** 2

        def need(N: int) -> float:
            return bernstein_excess(N, variance, span, delta)

    elif method == "tv":
        if letters is None:
            raise InputError("letters must be given for method='tv'; it is None. Pass n·k, the number of pairs (x, s).")
        pairs = letters

        def need(N: int) -> float:
            return tv_radius(N, pairs, confidence=confidence)

    else:
        weight = sum(check.real_number("multipliers", w, "Pass (α, β).") for w in multipliers) / scale

        def need(N: int) -> float:
            change = span / N + weight * float(information.binary_entropy(1.0 / N))
            return change * math.sqrt(-N * math.log(delta) / 2.0)

    low, high = 1, 4
    while need(high) > width:
        low, high = high, 2 * high
        if high > _MOST:
            raise InputError(f"width must be within reach; {width:g} takes more than 10^18 draws. Pass a larger one.")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if need(middle) > width else (low, middle)
    return high
