"""The best feasible coupling so far, and the search for better ones beside the search for bounds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from drcopt.coupling import round_onto_marginals
from drcopt.engines.base import Limits
from drcopt.engines.corner_search import CornerSearch
from drcopt.engines.descent import Descent, descend, reduce_loss
from drcopt.engines.interior import local_minima
from drcopt.engines.newton import Newton
from drcopt.engines.search import Search
from drcopt.engines.starts import guesses, jump, lowest_loss
from drcopt.engines.vertex_descent import VertexDescent
from drcopt.formulations import Question, SingleLetter
from drcopt.questions import CLASSIFICATION_LOSS, RATE, ROUNDING
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Points aim this far inside the classification budget (nats), so that rounding the marginals keeps them feasible.
MARGIN = 1e-11
#: A point this far inside (relative to H(S)) meets its budget however the sums of its entropies are rounded.
_SAFE = 32 * 2.0**-53
#: Starts from all over while a gap is open: a few, and more the more was priced (the more so the more classes, which
#: make pricing dear), until so many found nothing better (or were made in all); then one for every so many nodes.
_FIRST, _PRICINGS, _IDLE, _MANY, _SELDOM = 2, 24, 24, 120, 8
#: Starts where C is the least loss, as far as can be told (relative to H(S)): couplings that tie differ in E d.
_TIED, _AT_THE_EDGE = 24, 1e-6
#: Starts take no more than this share of a time limit.
_SHARE = 0.4
#: Jumps that follow one descent.
_JUMPS = 10
#: Starts by small linear programs, and the concentrations of the random p(y|x) that they begin with.
_VERTICES, _SPREADS = 20, (0.1, 0.3, 1.0)
#: Starts of an interior-point method that are made together.
_TOGETHER = 8
#: They begin where class posteriors differ by so much from where others did.
_ALIKE = 0.02
#: After so many that led to nothing better one of so many is made.
_VAIN = 4
#: How far within its budgets, relative, an interior-point method aims, which meets them but for rounding.
_WITHIN = 1e-10
#: Where a descent stops: at steps of 1e-11, or of this share of the gap asked for.
_SHARP, _SHARPER = 1e-11, 1e-5
#: Where a descent from afar stops, and how near the best value it must be to be taken to its end (d in [0, 1]).
_ROUGH, _NEAR = 1e-5, 2e-3


class Points:
    """The best coupling within a question's limits that was met, where it asks for the least distortion."""

    def __init__(self, question: Question, limits: Limits) -> None:
        problem = question.problem
        rate, budget = question.caps[RATE.place], question.caps[CLASSIFICATION_LOSS.place]
        self.margin = min(MARGIN, 1e-3 * budget)
        self.problem, self.rate, self.budget, self.limits = problem, rate, budget - self.margin, limits
        self.edge = budget + ROUNDING
        self.safe = budget - _SAFE * problem.entropy_s
        self.best: Descent | None = None
        self.value = math.inf
        self.low = problem.independent
        self.descents = self.suggested = 0
        self._search: Search | CornerSearch | None = None
        self._vertices: VertexDescent | None = None
        self._rng, self._waiting, self._begun_from = np.random.default_rng(0), list[FloatArray](), list[FloatArray]()
        self._drawn = self._batches = self._vain = 0
        self._tried: list[FloatArray] = []
        self._best_is_safe = False
        self._polished: FloatArray | None = None
        self._guesses = guesses(problem, rate, problem.independent)
        self._explored, self._idle, self._exploring, self._begun = 0, 0, 0.0, clock.now()

    def start(
        self,
        coupling: FloatArray | None = None,
        z: FloatArray | None = None,
        enough: float = -math.inf,
        proved: Callable[[], float] = lambda: -math.inf,
    ) -> None:
        """From a coupling with multipliers, if any, and the rate-only optimum; failing those, from a small loss.

        A value of ``enough`` will do, after a descent one of ``proved()``.
        """
        if coupling is not None and z is not None:
            if self.problem.rate(coupling) <= self.rate:
                self._keep(Descent(coupling, z, self.problem.classification_loss(coupling), 0))
            if self.value <= enough and self._best_is_safe:
                return  # the point of tighter budgets
            self.try_from(coupling, z)
            if self._best_is_safe and self.value <= max(enough, proved()):
                return
        free = SingleLetter(self.problem, self.rate, math.inf)
        proposal = Newton().propose(free, self.limits)
        P = self.problem.independent if proposal.parts is None else proposal.parts[0].coupling
        known = self.best
        if known is None:
            answer = self.try_from(P)
        else:  # whether it leads to another, and better
            answer = self.try_from(P, known.z, _ROUGH, walks=False)
            if answer is not None and self.problem.distortion(answer.P) <= self.value:
                self.try_from(answer.P, answer.z)
        if answer is None:
            f, rate = self.problem.d @ self.problem.py, proposal.rate_multiplier
            weights = (1.0, rate if math.isfinite(rate) else 0.1, 0.0)
            self._keep(Descent.at(P, f, weights, math.nan, 0))
        self._guesses = guesses(self.problem, self.rate, P)
        if self.best is None and not self.limits.expired:
            self.start_from(lowest_loss(self.problem, self.rate, P, self.limits, target=self.budget))
            least = self.problem.classification_loss(self.low)
            if abs(least - self.edge) <= _AT_THE_EDGE * self.problem.entropy_s:
                self.explore(_TIED)
        elif self.best is not None and not self._best_is_safe:
            self.explore(_TIED)

    def start_from_vertices(self) -> None:
        """From random couplings by small linear programs, which do not look at the rate."""
        for _ in range(_VERTICES):
            self.slide(self._random())

    def slide(self, P: FloatArray) -> None:
        """A descent from P by small linear programs; where it exceeds the rate its end is a start for others."""
        if self._vertices is None:
            self._vertices = VertexDescent(self.problem)
        found = None if self.limits.expired else self._vertices.descend(P, self.budget)
        if found is None:
            return
        if self.problem.rate(found.P) <= self.rate:
            self._keep(found)
            return
        self._waiting.append(found.P)
        if len(self._waiting) >= _TOGETHER:
            self.settle([])

    def settle(self, starts: list[FloatArray], at_random: int = 0) -> None:
        """Local minima from what waits, from ``starts`` and from random couplings; on from the best if it is better."""
        known = self.value
        best = self._settled([*starts, *(self._random() for _ in range(at_random))], always=True)
        if best is not None and self.value < known:
            self._follow(best)

    def _random(self) -> FloatArray:
        """The next of a series of joint pmfs with random p(y|x)."""
        self._drawn += 1
        spread = _SPREADS[self._drawn % len(_SPREADS)]
        return self._rng.dirichlet(np.full(self.problem.m, spread), size=self.problem.n) * self.problem.px[:, None]

    def start_from(self, found: Descent | None) -> None:
        """Descend from a coupling that meets the budget, and keep it."""
        if found is None:
            return
        self.low = found.P
        self._keep(found)
        if found.loss <= self.budget:
            self.try_from(found.P)

    def explore(self, starts: int) -> None:
        """Descend from so many more couplings from all over, and jump on from where each descent ends.

        Several are no longer made once two dozen in a row found nothing better.
        """
        for guess in itertools.islice(self._guesses, max(0, starts)):
            started = clock.now()
            if math.isfinite(self.limits.deadline):
                available = self.limits.deadline - self._begun
                if self._exploring > _SHARE * available or self.limits.expired:
                    return
            self._explored += 1
            known = self.value
            found = reduce_loss(self.problem, self.rate, guess, self.limits, target=self.budget)
            self._keep(found)
            P = found.P if found.loss <= self.budget else self._later(guess)
            if P is not None:
                self._follow(P)
                self._idle = self._idle + 1 if self.value >= known - self.limits.tol else 0
            self._exploring += clock.now() - started
            if starts > 1 and self._idle >= _IDLE:
                return

    def _follow(self, P: FloatArray) -> None:
        """Descend roughly and jump while the distortion falls; to the end only where that may be the best point."""
        value = math.inf
        for _ in range(_JUMPS):
            answer = self.try_from(P, tol=_ROUGH)
            if answer is None or self.limits.expired:
                return
            P, now = answer.P, self.problem.distortion(answer.P)
            further = jump(self.problem, self.rate, self.budget, P) if now < value else None
            if further is None:
                break
            self._keep(replace(answer, P=further, loss=self.problem.classification_loss(further)))
            P, value = further, now
        if self.problem.distortion(P) <= self.value + _NEAR and not self._is_best(P):
            self.try_from(P)

    def _is_best(self, P: FloatArray) -> bool:
        """Whether P lies where the best point was descended to with full accuracy."""
        W = self.problem.ps_given_x
        return self._polished is not None and float(np.abs(W.T @ (P - self._polished)).sum()) < 1e-2

    def try_from(
        self, P: FloatArray, z: FloatArray | None = None, tol: float | None = None, *, walks: bool = True
    ) -> Descent | None:
        """One run of the convex-concave procedure, from multipliers z if they are known.

        Where no tangent at P meets the budgets an interior-point method may come to where one does (``walks``).
        """
        self.descents += 1
        tol = max(_SHARP, _SHARPER * self.limits.tol) if tol is None else tol
        multipliers = None if z is None else (z[:-3], max(float(z[-2]), 1e-6), float(z[-1]))
        problem, known = self.problem, self.value
        answer = descend(problem, problem.d, self.rate, self.budget, P, self.limits, multipliers=multipliers, tol=tol)
        if answer is None:
            near = self._settled([P]) if walks else None
            if near is not None:
                answer = descend(problem, problem.d, self.rate, self.budget, near, self.limits, tol=tol)
        if answer is not None:
            self._keep(answer)
            if tol < _ROUGH and self.value < known:
                self._polished = answer.P
        return answer

    def _later(self, P: FloatArray) -> FloatArray | None:
        """P waits for others; once there are enough, what :meth:`_settled` says."""
        self._waiting.append(P)
        return self._settled([]) if len(self._waiting) >= _TOGETHER else None

    def _settled(self, starts: list[FloatArray], always: bool = False) -> FloatArray | None:
        """The best local minimum near what waits and ``starts``, kept; those like others before are left out."""
        fresh: list[FloatArray] = []
        for P in (*self._waiting, *starts):
            tau = self.problem.ps_given_x.T @ P
            if not any(np.abs(tau - other).sum() < _ALIKE for other in self._begun_from):
                self._begun_from.append(tau)
                fresh.append(P)
        self._waiting, self._batches = [], self._batches + 1
        if not fresh or (self._vain >= _VAIN and self._batches % _VAIN and not always):
            return None
        rate, budget = self.rate * (1 - _WITHIN), self.budget * (1 - _WITHIN)
        found = local_minima(self.problem, rate, budget, fresh, self.value)
        best = min(found, key=lambda one: self.problem.distortion(one.P), default=None)
        known = self.value
        if best is not None:  # it may be the only coupling within its tangent's budget: no descent from here
            self._keep(best)
        self._vain = 0 if self.value < known - self.limits.tol else self._vain + 1
        return None if best is None else best.P

    def _keep(self, answer: Descent) -> None:
        P = self._repaired(answer.P)
        loss = self.problem.classification_loss(P)
        if loss > self.edge:
            return
        # At the very edge, as at C = H(S|X), there may be no point with any margin.
        safe = loss <= self.safe
        value = float((self.problem.d * P).sum())
        if self.best is None or (not safe, value) < (not self._best_is_safe, self.value):
            self.best, self.value, self._best_is_safe = replace(answer, P=P, loss=loss), value, safe
            if self._search is not None:
                self._search.upper = value

    def _repaired(self, P: FloatArray) -> FloatArray:
        """On the marginals and within the rate, as the judge will have it: what counts is the loss after that."""
        problem, rate = self.problem, self.rate * (1 - _SAFE)
        P = round_onto_marginals(P, problem.px, problem.py)
        for _ in range(5):
            spent = problem.rate(P)
            if spent <= self.rate:
                break
            theta = min(1.0, 1.0 - rate / spent)
            P = (1.0 - theta) * P + theta * problem.independent
        if problem.classification_loss(P) > self.safe:
            P = self._stretched(P)
        return P

    def _stretched(self, P: FloatArray) -> FloatArray:
        """P moved away from independence until it spends the rate to the last digit, as C may ask for.

        I and H(S|Y) are convex and concave with their least and largest value at independence, so that beyond P the
        one rises and the other falls. No further than the last digits of a convex program's answer.
        """
        problem, P_ = self.problem, P
        rate, away = problem.rate(P), P - problem.independent
        if not 0 < self.rate - rate <= 1e-9 * self.rate:
            return P
        low, high = 0.0, 1e-8
        for _ in range(60):
            if clock.expired():
                break
            middle = 0.5 * (low + high)
            trial = P + middle * away
            if trial.min() >= 0 and problem.rate(trial) <= self.rate:
                low, P_ = middle, trial
            else:
                high = middle
        return P_

    def watch(self, search: Search | CornerSearch) -> None:
        """Tell ``search`` of every better point."""
        self._search = search

    def improve(self, P: FloatArray, z: FloatArray, force: bool) -> None:
        """Descend from a node's suggestion unless one like it was tried; where the gap stays open, from elsewhere."""
        search = self._search
        tau = self.problem.ps_given_x.T @ P
        alike = not force and any(np.abs(tau - other).sum() < 1e-3 for other in self._tried)
        # Most of what descents from nodes can do they do early: from then on one for every few nodes.
        often = self.suggested > (40 if force else 4) + (1 if search is None else search.nodes) // 4
        if not alike and not often:
            self._tried.append(tau)
            self.suggested += 1
            self.try_from(P, z)
        if search is not None and search.lower < self.value - self.limits.tol:
            self.explore(self._due(search))

    def _due(self, search: Search | CornerSearch) -> int:
        """How many starts to make now."""
        if self._idle >= _IDLE or self._explored >= _MANY:
            return int(search.nodes % _SELDOM == 0)
        return _FIRST + search.priced * (self.problem.k - 1) ** 2 // _PRICINGS - self._explored

    def multipliers(self) -> FloatArray:
        """Where the ascent starts: the convex step's KKT multipliers."""
        if self.best is None:
            return np.concatenate([self.problem.d @ self.problem.py, [1.0, 0.1, 0.1]])
        if self.value <= float(self.problem.py @ self.problem.d.min(axis=0)) + 1e-14:
            return np.zeros(self.problem.n + 3)  # every letter at its cheapest, as with a constant d: no need for more
        return self.best.z
