"""Informations of one bit, without the cancellation that differences of entropies have; nats."""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.optimize import brentq
from scipy.special import xlog1py

EPS = 2.0**-52


def phi(t: float) -> float:
    """(1+t) log(1+t) − t ≥ 0, for t ≥ −1."""
    t = max(t, -1.0)
    return max(0.0, float(xlog1py(1.0 + t, t)) - t)


def divergence(shift: float, v: float) -> float:
    """D(Bern(v + shift) ‖ Bern(v)), for v strictly between 0 and 1."""
    return v * phi(shift / v) + (1.0 - v) * phi(-shift / (1.0 - v))


def flip(a: float, b: float) -> float:
    """a * b = a(1−b) + b(1−a): the probability that one of two independent events of these happens, not both."""
    return min(1.0, a * (1.0 - b) + b * (1.0 - a))


def gain(p: float, tilt: float, drop: float) -> float:
    """The rate that brings the Hamming distortion from p, that of no rate, down by ``drop``.

    D(Bern(p − drop) ‖ Bern(p)) + tilt·drop is h(p) − h(p − drop) at tilt = log((1−p)/p), X ~ Bern(p), p ≤ 1/2; and
    at tilt = 0 it is log q − h(D) − D log(q−1), X uniform on q letters, D = p − drop and p = 1 − 1/q.
    """
    return divergence(-drop, p) + tilt * drop


def drop(p: float, tilt: float, rate: float) -> float:
    """The inverse of :func:`gain`: in [0, p], and p where the rate suffices for no distortion at all."""
    return reach(lambda t: gain(p, tilt, t), p, rate)


def tilt(p: float) -> float:
    """log((1−p)/p), which makes :func:`gain` a difference of entropies."""
    return math.log1p(-p) - math.log(p)


def inverse_entropy(value: float) -> float:
    """The b in [0, 1/2] with h(b) = ``value`` nats; 1/2 from log 2 on."""
    return 0.5 - drop(0.5, 0.0, max(0.0, math.log(2.0) - value))


def reach(f: Callable[[float], float], top: float, level: float) -> float:
    """The t in [0, top] with f(t) = level, or top if f(top) ≤ level, for f increasing from f(0) = 0."""
    if f(top) * (1.0 - 8.0 * EPS) <= level:
        return top
    if level <= 0.0:
        return 0.0

    # Informations start quadratically at independence: their square root is nearly linear there.
    def excess(t: float) -> float:
        return math.sqrt(f(t)) - math.sqrt(level)

    return float(brentq(excess, 0.0, top, xtol=1e-300, rtol=4.0 * EPS, maxiter=2000))
