"""The dual bound over posteriors as a function of its multipliers: proved, or guessed by local minima."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from drcopt.bounds.posterior import whole_box
from drcopt.bounds.pricing import Partition, Priced, price_weighed
from drcopt.bounds.pricing.gibbs import replaced
from drcopt.bounds.pricing.local import local_minima
from drcopt.engines.cuts import Columns
from drcopt.formulations import Question
from drcopt.problem import Problem
from drcopt.questions import RATE, OutputLaw
from drcopt.support.check import FloatArray

#: Below this (for d in [0, 1]) α is taken as 0, where the bound is polyhedral and priced exactly.
LEAST_ALPHA = 1e-6
#: Columns of a letter that local minima are looked for from.
_NEAREST = 5

#: The least and the greatest value that a weight may take.
Range = tuple[float, float]
_FREE: Range = (0.0, math.inf)


@dataclass(frozen=True, eq=False)
class Lagrangian:
    """What the bound is on: ``limits`` on (E d, I, H(S|Y)), 0 for what is minimised, and the ranges of their weights.

    Equal ends fix a weight.
    """

    problem: Problem
    limits: tuple[float, ...]
    ranges: tuple[Range, ...]
    #: With a slope η the ascent stays in β ≤ α/η, where pricing is convex and needs no search.
    cone: float | None = None
    #: The laws that Y may have; None: the problem's py alone.
    laws: OutputLaw | None = None

    @classmethod
    def of(cls, question: Question, *, rate: Range = _FREE) -> Lagrangian:
        """The question's: its objective has the weight 1, and what has no limit that could bind has the weight 0."""
        ranges = [_FREE, rate, *[_FREE] * (len(question.quantities) - 2)]
        for q in question.quantities:
            if q.place == question.objective.place:
                ranges[q.place] = (1.0, 1.0)
            elif q is not RATE and question.budgets[q.place] >= question.most[q.place]:
                ranges[q.place] = (0.0, 0.0)
        return cls(question.problem, question.caps, tuple(ranges), laws=question.laws)

    def clip(self, z: FloatArray) -> FloatArray:
        """z with its weights in range."""
        z, n = z.copy(), self.problem.n
        if self.ranges[RATE.place] != (1.0, 1.0) and z[n + 1] <= LEAST_ALPHA:
            z[n + 1] = 0.0
        for i, (low, high) in enumerate(self.ranges, start=n):
            z[i] = min(max(z[i], low), high)
        if self.cone is not None and z[-2] < self.cone * z[-1]:
            if self.ranges[RATE.place][1] >= self.cone * z[-1] > LEAST_ALPHA:
                z[-2] = self.cone * z[-1]
            else:
                z[-1] = z[-2] / self.cone
        return z

    def price(
        self, z: FloatArray, box: FloatArray | None, tol: float, start: Partition | None = None
    ) -> tuple[float, Priced]:
        """The bound at z and the posteriors that give it."""
        problem, n = self.problem, self.problem.n
        f, (w, alpha) = z[:n], z[n : n + 2].tolist()
        priced = price_weighed(problem, w * problem.d - f[:, None], alpha, z[n + 2 :], box, tol=tol, start=start)
        return self._bound(z, priced), priced

    def reprice(self, z: FloatArray, box: FloatArray, tol: float, old: Priced, y: int) -> tuple[float, Priced]:
        """The same, given what was priced at z in a box that held this one and differs in letter y only."""
        problem, n = self.problem, self.problem.n
        cost = (z[n] * problem.d[:, y] - z[:n])[:, None]
        start = None if old.partition is None else old.partition.part(y, y + 1)
        fresh = price_weighed(problem, cost, float(z[n + 1]), z[n + 2 :], box[y : y + 1], tol=tol, start=start)
        priced = replaced(old, np.array([y]), fresh)
        return self._bound(z, priced), priced

    def guess(self, z: FloatArray, box: FloatArray | None, columns: Columns) -> tuple[float, Priced] | None:
        """The same, by the local minima near columns' posteriors and so perhaps too high; None where a proof is cheap,
        or letters are without columns."""
        problem, (w, alpha), beta = self.problem, z[self.problem.n : self.problem.n + 2].tolist(), z[-1]
        cheap = problem.classes is not None or problem.k == 2 or min(alpha, beta) <= 0 or problem.forbidden.any()
        if cheap or beta * problem.contraction <= alpha:
            return None
        order = np.lexsort((columns.value(z), columns.y))
        first = np.searchsorted(columns.y[order], columns.y[order])
        best = order[np.arange(len(order)) - first < _NEAREST]
        sides = whole_box(problem) if box is None else box
        cost = w * problem.d - z[: problem.n, None]
        priced = local_minima(problem, cost, alpha, beta, sides, columns.y[best], columns.p[best])
        return None if np.isinf(priced.lower).any() else (self._bound(z, priced), priced)

    def _bound(self, z: FloatArray, priced: Priced) -> float:
        n = self.problem.n
        return float(z[:n] @ self.problem.px - z[n:] @ self.limits + self.least(priced.lower))

    def seen(self, z: FloatArray, columns: Columns) -> float:
        """What the bound at z would be if posteriors of each letter's columns were the least."""
        g = np.full(self.problem.m, math.inf)
        np.minimum.at(g, columns.y, columns.value(z))
        n = self.problem.n
        return float(z[:n] @ self.problem.px - z[n:] @ self.limits + self.least(g))

    def least(self, g: FloatArray) -> float:
        """Ψ(g), the least ⟨g, q⟩ over the laws q that Y may have; a letter of infinite g is forbidden."""
        if self.laws is None:
            return float(self.problem.py @ g)
        return math.inf if np.isposinf(g).all() else self.laws.least(finite(g))


def finite(g: FloatArray) -> FloatArray:
    """g with something large in place of infinities."""
    here = np.isfinite(g)
    return g if here.all() else np.where(here, g, g[here].max() + np.ptp(g[here]) + 1.0)
