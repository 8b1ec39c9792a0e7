"""A free law of Y and the slope of R(D) together, by Mehrotra's predictor–corrector interior-point method.

As in :mod:`drcopt.engines.free_law` A = exp(−βd), w = Aq, c = Aᵀ(px/w). On the central path the law q and z = 1 − c
are positive with q z = μ, and the distortion or the rate is what it should be: a Newton step solves, with
B = A √px/w and s = ∂(1 − c)/∂β,

  (BᵀB + diag z/q) Δq + s Δβ = c − 1 + μ/q,   sᵀΔq − v Δβ = −(how far E d is too large).

Where the kernel is smooth and many letters are all but alike, the path stays clear of the choice between them, at which
an active set changes one letter at a time. A letter that plainly goes to 0 is left out of what follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpotrf, dpotrs

from drcopt.support.check import FloatArray

#: exp is slow where it underflows; what would, is 0.
LEAST = 600.0
#: The least gap that doubles can tell (nats).
ROUNDING = 4e-15
#: By how much β may change in one step.
REACH = math.log(4.0)
#: Steps, and how many of them may bring nothing.
_STEPS, _VAIN = 80, 8
#: At the start: the share of the law that is spread over all letters, and the least z.
_SPREAD, _CLEAR = 0.05, 1e-3
#: A letter is left out where z > √μ·this and q < √μ/this, with others: gathering what is left takes time.
_PLAIN, _WORTH = 100.0, 0.8


class Seen(NamedTuple):
    """A law's inverse slope, distortion, rate (nats) and how far its coupling is from optimal at this β (nats)."""

    beta: float
    distortion: float
    rate: float
    gap: float


@dataclass(frozen=True)
class Aim:
    """A rate, or a distortion, to be met: to ``fine``, with a gap of ``sharp`` in units of the distortion or nats."""

    rate: float | None
    distortion: float | None
    sharp: float
    fine: float

    def miss(self, s: Seen) -> float:
        """How much too large the distortion is, or what the rate that is left is worth; β should rise if positive."""
        if self.distortion is not None:
            return s.distortion - self.distortion
        assert self.rate is not None
        return (self.rate - s.rate) / s.beta

    def off(self, s: Seen) -> float:
        """The same as distortion, or as rate."""
        return self.miss(s) * (s.beta if self.rate is not None else 1.0)

    def merit(self, s: Seen) -> float:
        """What is missing, in nats."""
        return s.gap + s.beta * abs(self.miss(s))

    def tol(self, beta: float) -> float:
        """The gap that is small enough at this β, in nats."""
        return max(self.sharp * (beta if self.rate is not None else 1.0), ROUNDING)

    def met(self, s: Seen) -> bool:
        """Whether there is nothing left to do."""
        return s.gap <= self.tol(s.beta) and abs(self.off(s)) <= self.fine


def kernel_of(d: FloatArray, beta: float) -> FloatArray:
    """exp(−βd), 0 where that is less than exp(−600)."""
    kernel = np.maximum(d * -beta, -LEAST)
    np.exp(kernel, out=kernel)
    kernel -= math.exp(-LEAST)
    return kernel


def central_path(
    px: FloatArray, d: FloatArray, law: FloatArray, beta: float, aim: Aim, stop: Callable[[], bool]
) -> tuple[FloatArray, float, int]:
    """The law and β that meet an aim as well as they could be found from these, and the number of steps.

    ``d`` of shape (n, m) has least entry 0 in every row; px > 0.
    """
    n, m = d.shape
    q, letters, costs = (1.0 - _SPREAD) * law + _SPREAD / m, np.arange(m), d
    best, found, vain, root = math.inf, (law, beta), 0, np.sqrt(px)
    z = np.empty(0)
    for step in range(_STEPS):
        A = kernel_of(costs, beta)
        w = A @ q
        with np.errstate(all="ignore"):
            r = px / w
            c = r @ A
            Ad = A * costs
            by_row = (Ad @ q) / w
            distortion, log_w = float(px @ by_row), float(px @ np.log(w))
            slack = float((q * c) @ np.log(c))
            seen = Seen(beta, distortion, -log_w - beta * distortion - slack, math.log(float(c.max())) - slack)
            missed = aim.miss(seen._replace(rate=seen.rate + slack))
        if not math.isfinite(seen.gap + seen.rate):
            break
        merit, vain = aim.merit(seen), vain + 1
        if merit < best:
            best, vain = merit, 0
            whole = np.zeros(m)
            whole[letters] = q
            found = whole, beta
        if aim.met(seen) or vain > _VAIN or stop():
            break
        if step == 0:
            z = np.maximum(1.0 - c, _CLEAR)
        H = dsyrk(1.0, (A * (root / w)[:, None]).T, lower=1)
        H.flat[:: len(q) + 1] += z / q
        factor, failed = dpotrf(H, lower=1, overwrite_a=1, clean=0)
        if failed:
            break
        slope = r @ Ad - (r * by_row) @ A
        spread = float(r @ ((Ad * costs) @ q) - px @ (by_row * by_row))
        drift = dpotrs(factor, slope, lower=1)[0]
        curvature = spread + float(slope @ drift)
        if not curvature > 0.0:
            break
        mu, part = float(q @ z) / len(q), 0.0
        dq = dz = np.zeros(len(q))
        for corrector in (False, True):
            wanted = part * mu - dq * dz if corrector else np.zeros(len(q))
            dq = dpotrs(factor, c - 1.0 + wanted / q, lower=1)[0]
            move = (missed + float(slope @ dq)) / curvature
            dq -= drift * move
            dz = (wanted - z * dq) / q - z
            length = 1.0 / max(1.0, float((-dq / q).max()), float((-dz / z).max()))
            if not corrector:
                part = (float((q + length * dq) @ (z + length * dz)) / (len(q) * mu)) ** 3
        length = min(1.0, max(0.9, 1.0 - math.sqrt(mu)) * length)
        beta *= math.exp(min(max(length * move / beta, -REACH), REACH))
        q, z = q + length * dq, z + length * dz
        if not (math.isfinite(beta) and q.min() > 0.0 and z.min() > 0.0):
            break
        edge = math.sqrt(float(q @ z) / len(q))
        kept = (z <= _PLAIN * edge) | (q >= edge / _PLAIN)
        if 0 < kept.sum() < _WORTH * len(q):
            q, z, letters = q[kept], z[kept], letters[kept]
            costs = np.ascontiguousarray(d[:, letters])
    return *found, step + 1
