"""Upper confidence bounds on the mean of a bounded quantity, and the records of what is proved.

With N independent values in an interval of length b, L = log(1/δ):

- Hoeffding: P(μ > mean + t) ≤ exp(−2 N t²/b²), so t = b √(L/2N).
- Bernstein, with the variance σ² known: t = √(2σ²L/N) + bL/3N. The sample variance V (divisor N − 1) is self-bounding:
  P(σ > √V + b√(2L/(N−1))) ≤ δ (Maurer and Pontil, 2009). Half of δ for each, L = log(2/δ):
  t = √(2VL/N) + b (2L/√(N(N−1)) + L/3N), which is below their b·7L/3(N−1).
- best: the lesser of the two, at δ/2 each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from drcopt import words
from drcopt.errors import InputError
from drcopt.support import check
from drcopt.support.check import FloatArray

__all__ = ["Bound", "Interval", "bernstein_excess", "level", "upper_mean", "whole"]


@dataclass(frozen=True)
class Bound:
    """A number that holds with a confidence.

    Attributes
    ----------
    value : float
        The bound.
    estimate : float
        What the draws themselves show.
    confidence : float
        The least probability, over draws, that the bound holds.
    samples : int
        How many draws.
    method : str
        What proves it.

    Examples
    --------
    >>> bound = upper_mean([0.0, 1.0], 0.0, 1.0, counts=[60, 40], confidence=0.9)
    >>> bound.estimate, bound.samples, bound.value > bound.estimate
    (0.4, 100, True)
    """

    value: float
    estimate: float
    confidence: float
    samples: int
    method: str

    def __repr__(self) -> str:
        return (
            f"Bound({self.value:.6g}, estimate={self.estimate:.6g}, confidence={self.confidence:g}, "
            f"samples={self.samples}, method={self.method!r})"
        )


@dataclass(frozen=True)
class Interval:
    """Two ends that hold together with a confidence; ``proved`` is False where that is an approximation.

    Examples
    --------
    >>> Interval(0.4, 0.6, 0.5, 0.95, 100, "tv", True).proved
    True
    """

    lower: float
    upper: float
    estimate: float
    confidence: float
    samples: int
    method: str
    proved: bool

    @property
    def width(self) -> float:
        """upper − lower."""
        return self.upper - self.lower


def upper_mean(
    values: ArrayLike,
    low: float,
    high: float,
    *,
    counts: ArrayLike | None = None,
    confidence: float = 0.95,
    method: words.Inequality = "best",
) -> Bound:
    """An upper bound on the mean of independent draws that lie in [low, high].

    Parameters
    ----------
    values : array
        The draws, or with ``counts`` the values that they can have.
    low, high : float
        The least and the greatest value a draw could have had; not those of the draws that were made.
    counts : array of whole numbers, optional
        How often each value was drawn, of the shape of ``values``.
    confidence : float
        1 − δ, the least probability that the bound holds, between 0 and 1.
    method : {"best", "bernstein", "hoeffding"}
        "hoeffding" needs no variance, "bernstein" pays for a small one, "best" takes the lesser at half of δ each.

    Raises
    ------
    InputError
        If a value lies outside [low, high], or an argument is none of these.

    Examples
    --------
    >>> upper_mean([0, 1, 0, 0] * 25, 0, 1, method="hoeffding")
    Bound(0.372387, estimate=0.25, confidence=0.95, samples=100, method='hoeffding')
    """
    v = np.ravel(np.asarray(values, dtype=np.float64))
    weights = np.ones(len(v)) if counts is None else np.ravel(whole("counts", counts, np.shape(values)))
    drawn = v[weights > 0]
    if not len(drawn):
        raise InputError("values must hold at least one draw; there is none. Pass the draws.")
    low, high = (check.real_number(name, end, "Pass a number.") for name, end in (("low", low), ("high", high)))
    if not (low <= drawn.min() and drawn.max() <= high):
        raise InputError(
            f"values must lie in [low, high] = [{low:g}, {high:g}]; they run from {drawn.min():g} to {drawn.max():g}. "
            "Pass the least and the greatest value that a draw could have."
        )
    delta = 1.0 - level(confidence)
    check.choice("method", method, words.INEQUALITIES)
    N, b = int(weights.sum()), high - low
    mean = float(weights @ v) / N
    if method == "best":
        excess = min(_hoeffding(N, b, delta / 2), _bernstein(v, weights, mean, N, b, delta / 2))
    elif method == "hoeffding":
        excess = _hoeffding(N, b, delta)
    else:
        excess = _bernstein(v, weights, mean, N, b, delta)
    return Bound(min(high, mean + excess), mean, confidence, N, method)


def _hoeffding(N: int, b: float, delta: float) -> float:
    return b * math.sqrt(-math.log(delta) / (2 * N))


def _bernstein(v: FloatArray, weights: FloatArray, mean: float, N: int, b: float, delta: float) -> float:
    if N < 2:
        return b
    variance = float(weights @ (v - mean) ** 2) / (N - 1)
    return bernstein_excess(N, variance, b, delta)


def bernstein_excess(N: int, variance: float, b: float, delta: float) -> float:
    """How far above the sample mean the mean can lie, with sample variance ``variance`` and N ≥ 2 draws."""
    L = math.log(2.0 / delta)
    return math.sqrt(2.0 * variance * L / N) + b * (2.0 * L / math.sqrt(N * (N - 1)) + L / (3 * N))


def level(confidence: float) -> float:
    """A confidence, strictly between 0 and 1."""
    value = check.real_number("confidence", confidence, "Pass e.g. 0.95.")
    if not 0.0 < value < 1.0:
        raise InputError(f"confidence must lie strictly between 0 and 1; it is {value:g}. Pass e.g. 0.95.")
    return value


def whole(name: str, counts: ArrayLike, shape: tuple[int, ...] | None = None) -> FloatArray:
    """A table of whole numbers, some of them positive."""
    array = check.real_array(name, np.atleast_2d(np.asarray(counts)), 2)
    if shape is not None and np.shape(counts) != shape:
        raise InputError(f"{name} must have shape {shape}; it has shape {np.shape(counts)}. Count every pair (x, s).")
    if (array != np.floor(array)).any():
        raise InputError(
            f"{name} must be whole numbers, how often each pair was drawn; they hold {array[array % 1 != 0][0]:g}. "
            "Pass counts, not frequencies or weights: confidence needs to know how many draws there were."
        )
    if not array.any():
        raise InputError(f"{name} must hold at least one draw; all its entries are 0. Pass counts of (x, s).")
    return array
