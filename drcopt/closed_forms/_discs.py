"""Means and deviations within a relative entropy of a Gaussian target; nats."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy.optimize import brentq

from drcopt.closed_forms._binary import EPS


@dataclass(frozen=True)
class Path:
    """The projections of (mu_x, ρ sigma_x) on all discs {D(N(m, s²) ‖ target) ≤ P}, in units of the target.

    With the target N(0, 1), v the mean and 1 + w the deviation of Y, and κ half the multiplier of the divergence
    ½((1+w)² − 1 + v²) − log(1+w), the projection of (v0, w0) is v = v0/(1+κ), (1+κ)(1+w)² − (1+w0)(1+w) = κ. ``part``
    is 1/(1+κ): 1 at the start, 0 at the target.
    """

    v0: float
    w0: float

    def at(self, part: float) -> tuple[float, float]:
        a = part * (1.0 + self.w0)
        b, root = 2.0 - a, math.sqrt(a * a + 4.0 * (1.0 - part))
        # Whichever form of the root of w² + b w − part·w0 = 0 does not cancel.
        w = 2.0 * part * self.w0 / (b + root) if b > 0.0 else 0.5 * (root - b)
        return part * self.v0, max(-1.0, w)

    def divergence(self, part: float) -> float:
        v, w = self.at(part)
        return divergence_from_target(v, w)

    def moved(self, part: float) -> float:
        v, w = self.at(part)
        return math.hypot(v - self.v0, w - self.w0)


def divergence_from_target(v: float, w: float) -> float:
    """D(N(v, (1+w)²) ‖ N(0, 1)) in nats; inf at w = −1."""
    return 0.5 * (v * v + w * w) + (w - math.log1p(w)) if w > -1.0 else math.inf


def narrowest(radius: float) -> float:
    """The w in [−1, 0] with D(N(0, (1+w)²) ‖ N(0, 1)) = ``radius``."""
    return -crossing(lambda t: divergence_from_target(0.0, -t), radius) if radius < math.inf else -1.0


def crossing(f: Callable[[float], float], level: float) -> float:
    """The t in [0, 1] with f(t) = ``level``, for f increasing from f(0) = 0, quadratic there, perhaps to inf."""
    if f(0.0) >= level:  # more than 0 by rounding, perhaps
        return 0.0
    if f(1.0) <= level:
        return 1.0

    def bounded(value: float) -> float:
        return math.sqrt(value / (1.0 + value)) if value < math.inf else 1.0

    target = bounded(level)
    return float(brentq(lambda t: bounded(f(t)) - target, 0.0, 1.0, xtol=1e-300, rtol=4.0 * EPS, maxiter=2000))
