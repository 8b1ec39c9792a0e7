"""Balls (intervals with a midpoint) in arrays of objects, and how they are rounded and printed:
always outward.
"""

from __future__ import annotations

import math
from decimal import Context
from functools import reduce
from typing import Any

import numpy as np
from flint import arb, arb_mat, fmpq, fmpz

#: Bits of the balls at first.
BITS = 128
UNIT = fmpz(2) ** BITS
#: What proves nothing.
NOTHING = arb("-inf")


def ball(values: Any) -> Any:
    """Rationals or doubles as balls that hold them."""
    return np.frompyfunc(arb, 1, 1)(values)


def eta(values: Any) -> Any:
    """−t log t as balls; 0 at 0."""
    return np.frompyfunc(lambda t: -t * t.log() if not t.is_zero() else t, 1, 1)(ball(values))


def matrix(rows: Any) -> Any:
    """An array of balls as a matrix for :func:`product`."""
    return arb_mat(rows.tolist())


def product(matrix: Any, vector: Any) -> Any:
    """A matrix times a vector of balls, in compiled code."""
    column = arb_mat(len(vector), 1, vector.tolist())
    return np.array((matrix * column).entries(), dtype=object)


def least(balls: Any) -> Any:
    """A ball that holds the least."""
    return reduce(lambda u, v: u.min(v), balls)


def grid(value: Any, up: bool) -> Any:
    """A rational, or an end of a ball, rounded to a multiple of 2^−BITS, so that no number grows
    without end.
    """
    if isinstance(value, fmpq):
        if UNIT % value.q == 0:
            return value
        scaled = value.p * UNIT
        return fmpq(-(-scaled // value.q) if up else scaled // value.q, UNIT)
    return grid(rational(value.upper() if up else value.lower()), up)


def rational(end: Any) -> Any:
    """An exact ball as a rational."""
    mantissa, exponent = (int(part) for part in end.man_exp())
    return fmpq(mantissa) * fmpq(2) ** exponent


def to_float(x: Any, up: bool) -> float:
    """The upper (lower) end of a ball as a double, rounded outward; ±inf if it is not finite."""
    outward = math.inf if up else -math.inf
    if not x.is_finite():
        return outward
    end = x.upper() if up else x.lower()
    value = float(end.mid())
    while not (arb(value) >= end if up else arb(value) <= end):
        value = math.nextafter(value, outward)
    return value


def digits(x: Any, up: bool) -> str:
    """Twelve significant decimal digits of a ball, rounded up or down."""
    context = Context(12, "ROUND_CEILING" if up else "ROUND_FLOOR")
    return f"{context.create_decimal_from_float(to_float(x, up)).normalize(context):g}"


def nats(x: Any, up: bool) -> str:
    """The same with its unit, and in bits."""
    return f"{digits(x, up)} nats ({digits(x / arb(2).log(), up)} bits)"


def smaller(x: Any, y: Any) -> Any:
    """A ball that holds the smaller of two."""
    return x.min(y)


def on_simplex(slopes: Any, low: Any, high: Any) -> Any:
    """Something below q·τ for the slopes q and all pmfs low ≤ τ ≤ high: σ + Σ min((q − σ)l,
    (q − σ)u), whatever σ is; the best is some q_s.
    """
    q, fewest, most = (v.astype(float) for v in (slopes, low, high))
    moved = q - q[:, None]
    x = float(q[(q + np.minimum(moved * fewest, moved * most).sum(axis=1)).argmax()])
    return x + sum(map(smaller, (slopes - x) * low, (slopes - x) * high))


def chords(low: Any, high: Any) -> tuple[Any, Any]:
    """a, b with a_s + b_s t ≤ −t log t on [l_s, u_s]: for any b a concave function is least at an
    end.
    """
    at_low, at_high = eta(low), eta(high)
    slopes = (at_high - at_low) / (high - low)
    b = np.array([slope.mid() if slope.is_finite() else arb(0) for slope in slopes])
    return np.array(list(map(smaller, at_low - b * low, at_high - b * high))), b


def min_plus(f: Any, g: Any) -> Any:
    """h(S) = min over A ⊆ S of f(S∖A) + g(A), by halves with and without the last letter, for
    stacks of f and g.
    """
    half = f.shape[1] // 2
    if half == 0:
        return f + g
    pairs = [(f[:, :half], g[:, :half]), (f[:, half:], g[:, :half]), (f[:, :half], g[:, half:])]
    if f.size > 2**18:
        a, b, c = (min_plus(u, v) for u, v in pairs)
    else:
        a, b, c = np.split(min_plus(*map(np.concatenate, zip(*pairs, strict=True))), 3)
    return np.concatenate([a, np.minimum(b, c)], axis=1)
