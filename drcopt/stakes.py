"""What is at stake in d: its scale with outliers set aside, costs cut off, and the gap that counts as none.

A big-M, the usual stand-in for a pair that must not happen, drowns the rest of d in rounding and makes any gap small
beside max d. Where an avoidable cost exceeds a thousand times the median such cost, engines see costs cut off there:
min(d, M) ≤ d, so a bound for the cut costs holds, and a point that avoids what was cut costs the same. Forbidden
pairs, of infinite cost, are cut off too.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from drcopt.distortion import largest
from drcopt.problem import Problem, Standard
from drcopt.support.check import FloatArray

#: A cost that couplings can avoid and that is this many times the median such cost is an outlier.
_OUTLIER = 1e3
#: Infinite costs are cut off at no more than this many times the scale.
_HIGHEST = 1e9


def _quantile(costs: FloatArray, share: float) -> float:
    """Of the positive costs, from below: with two costs the median is the smaller."""
    costs = costs[(costs > 0) & np.isfinite(costs)]
    return float(np.quantile(costs, share, method="lower")) if costs.size else 0.0


class Stakes:
    """Those of one problem; ``most`` is where costs above row ⊕ column are cut off now (inf: nowhere)."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._levels: dict[float, tuple[Problem, Standard]] = {}
        self.cut()

    @cached_property
    def scale(self) -> float:
        """The largest cost that couplings can avoid, outliers aside."""
        rest = self.problem.avoidable[0]
        most = min(largest(rest), _OUTLIER * _quantile(rest, 0.5))
        return most or float(self.problem.forbidden.any())  # of d in {0, inf} the scale is 1

    @cached_property
    def stake(self) -> float:
        """E d of independent X and Y above what no coupling can avoid, outliers cut off."""
        return float((self.problem.independent * np.minimum(self.problem.avoidable[0], self.scale)).sum())

    @cached_property
    def digit(self) -> float:
        """A distortion below this is 0 to the last digit: of the smaller costs, or there would be no digit."""
        d = self.problem.d
        return 2.0**-44 * min(self.scale, _quantile(d, 0.25))

    def enough(self, tol: float, value: float) -> float:
        """The gap of an answer of this value that is "optimal": small beside what is at stake, and beside the value."""
        return max(min(tol * self.stake, 1e-3 * abs(value)), self.digit + 2.0**-44 * abs(value))

    def cut(self, times: float | None = None) -> None:
        """Cut costs off at so many times the scale if any lies beyond; infinite ones well above all others."""
        if times is None:
            times = _OUTLIER if self.problem.forbidden.any() else 1.0
        most = times * self.scale
        self.most = most if float(self.problem.avoidable[0].max()) > most else math.inf

    def raised(self) -> bool:
        """Cut costs off a thousand times higher; False if none were cut off."""
        if self.most == math.inf or (self.problem.forbidden.any() and self.most >= _HIGHEST * self.scale):
            return False
        self.cut(1e3 * self.most / self.scale)
        return True

    @property
    def standard(self) -> tuple[Problem, Standard]:
        """The standardised problem at the present cut; the same object whenever it is asked for."""
        if self.most not in self._levels:
            self._levels[self.most] = self.problem.standardised(self.most)
        return self._levels[self.most]

    @property
    def relaxed(self) -> Problem | None:
        """The problem with costs cut off, whose bounds hold for the whole; None if none are."""
        if self.most == math.inf:
            return None
        rest, row, column = self.problem.avoidable
        p, cut = self.problem, np.minimum(rest, self.most) + row[:, None] + column
        return Problem(p.px, p.py, p.channels, np.minimum(p.d, cut))
