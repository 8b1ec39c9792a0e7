"""The convex-concave procedure where Y's law is free or near a target: larger couplings than quadratic programs take.

H(S|Y) is concave in the coupling, so that its tangent lies above it; each step limits or minimises the tangent, and is
convex in coupling and law at once: a cone program (:mod:`drcopt.engines.law_cones`) where the rate has room, else the
dual by Newton's method (:mod:`drcopt.engines.law_dual`), whose barrier leaves all limits room.
"""

from __future__ import annotations

import math

import numpy as np

from drcopt.engines.base import Limits
from drcopt.engines.descent import tangent
from drcopt.engines.law_cones import LawCones
from drcopt.engines.law_dual import Divergence, Dual, State
from drcopt.formulations import Part, SingleLetter
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, RATE
from drcopt.questions.output import Near
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Barriers that steps end with, one after the other; steps with each, and what the least of them gains, in barriers.
_BARRIERS, _MOST, _GAIN = (1e-3, 1e-5, 1e-7, 1e-9), 30, 3.0
#: Weights of the loss that is to come within its limit, and steps with each.
_PRICES, _EACH = (0.3, 1.0, 3.0, 10.0, 100.0, 1000.0), 3
#: How far inside its limits a point is to lie, relative and absolute; and in a ball that a cone solver looks at.
_INSIDE, _ROOM, _SOLVED = 1e-3, 1e-9, 1e-8
#: By how much Newton's method may miss marginals and limits, and that in barriers; the least α, below which it is a
#: matter of linear programs.
_MET, _SHARE, _LEAST = 1e-8, 0.1, 1e-5


class LawDescent:
    """min of one quantity within limits on the others and on the law of Y, from any coupling."""

    def __init__(self, question: SingleLetter) -> None:
        problem, laws = question.problem, question.laws
        assert laws is not None
        self.question, self.problem, self.laws = question, problem, laws
        chosen, near = Divergence.of(laws), laws.budget if isinstance(laws, Near) else math.inf
        self.kind: Divergence | None = None if chosen is None else chosen[0]
        budget = near if chosen is None else chosen[1]
        self.budget = budget - min(_ROOM, _INSIDE * budget)
        target = laws.target if isinstance(laws, Near) else np.full(problem.m, 1.0 / problem.m)
        infinite = self.kind is not None and self.kind.slope == math.inf
        self.use = np.flatnonzero(target > 0) if infinite else np.arange(problem.m)
        self.target = target[self.use]
        self.aims = [b - min(_ROOM, _INSIDE * b) for b in question.budgets]
        self.limited = [b < most for b, most in zip(question.budgets, question.most, strict=True)]
        self._near: State | None = None
        self.cones = LawCones(problem.px, problem.m, laws, near - min(_SOLVED, _INSIDE * near))

    def run(self, P: FloatArray, limits: Limits) -> FloatArray | None:
        """A coupling within the limits where descents end; None if none is found."""
        question, place = self.question, self.question.objective.place
        # A tangent may meet the limit where its own point does not; else the loss comes down by its price.
        there = self._within(P) or self._step(P, _BARRIERS[0]) is not None
        for price in [] if there else [price for price in _PRICES for _ in range(_EACH)]:
            if self._within(P):
                break
            found = self._step(P, _BARRIERS[0], price)
            if found is None or limits.expired:
                return None
            P = found
        best, value = None, math.inf
        for mu in _BARRIERS:
            for _ in range(_MOST):
                found = self._step(P, mu)
                if found is None or limits.expired or clock.expired():
                    break
                now = question.values([Part(1.0, found)])[place]
                if best is None or now < value:
                    best = found
                gained, value, P = value - now, min(value, now), found
                if gained <= _GAIN * mu:
                    break
        return best

    def _within(self, P: FloatArray) -> bool:
        """Whether P meets the limits on quantities."""
        spent = self.question.values([Part(1.0, P)])
        return all(v <= b for v, b in zip(spent, self.aims, strict=True))

    def _step(self, P: FloatArray, last: float, price: float = math.nan) -> FloatArray | None:
        """The best coupling by the tangent at P; with the loss at a price, if one is given, in place of its limit."""
        loss, linear = CLASSIFICATION_LOSS.place, tangent(self.problem, P)
        weights = np.where(self.limited, math.nan, 0.0)
        weights[loss] = price if price == price else weights[loss]
        weights[self.question.objective.place] = 1.0
        newton = self.question.objective is RATE or self._near is not None  # where the rate bound, it mostly does again
        if newton and self.kind is not None and (found := self._with_rate(linear, weights, last)) is not None:
            return found
        if self.question.objective is not RATE:
            found = self._without_rate(linear, weights)
            if found is None or not self.limited[RATE.place] or self.problem.rate(found) <= self.aims[RATE.place]:
                return found
        return None if newton or self.kind is None else self._with_rate(linear, weights, last)

    def _without_rate(self, linear: FloatArray, weights: FloatArray) -> FloatArray | None:
        forms = ((DISTORTION.place, self.problem.d), (CLASSIFICATION_LOSS.place, linear))
        cost = np.sum([weights[i] * form for i, form in forms if weights[i] == weights[i]], axis=0)
        limited = [(form, self.aims[i]) for i, form in forms if math.isnan(weights[i])]
        return self.cones.solve(cost, [form for form, _ in limited], [aim for _, aim in limited])

    def _with_rate(self, linear: FloatArray, weights: FloatArray, last: float) -> FloatArray | None:
        assert self.kind is not None
        forms = [self.problem.d[:, self.use], None, linear[:, self.use]]
        dual = Dual(self.problem.px, forms, weights, np.array(self.aims), self.target, self.kind, self.budget)
        state, size, near = None, len(dual.start()), max(_MET, _SHARE * last)
        if self._near is not None and self._near.mu == last and len(self._near.x) == size:
            state = dual.centred(self._near.x, last, end=True)  # of a tangent close by
        if state is None or not np.abs(state.gradient).max() <= near:
            state = dual.solved(last, _LEAST)
        good = state is not None and dual.alpha(state.x) >= _LEAST and np.abs(state.gradient).max() <= near
        self._near = state if good else None
        if state is None or not good:
            return None
        Q = np.zeros(self.problem.d.shape)
        Q[:, self.use] = state.coupling
        return np.asarray(Q * (self.problem.px / Q.sum(axis=1))[:, None])
