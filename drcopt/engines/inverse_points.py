"""The best point so far of a question for the least rate or the least classification loss.

Points come from the convex-concave procedure (:mod:`drcopt.engines.descent`), one step for each quantity that may be
minimised. They aim a little inside the limits, so that rounding the marginals keeps them there.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from drcopt.coupling import round_onto_marginals
from drcopt.engines.base import Limits
from drcopt.engines.corner_search import CornerSearch
from drcopt.engines.descent import Descent, lower_rate
from drcopt.engines.newton import Newton
from drcopt.engines.points import MARGIN
from drcopt.engines.search import Search
from drcopt.engines.starts import lower, lowered, lowest_loss
from drcopt.formulations import Question, SingleLetter
from drcopt.questions import CLASSIFICATION_LOSS, QUANTITIES, RATE, ROUNDING
from drcopt.support.check import FloatArray


class InversePoints:
    """The best feasible coupling so far. ``target`` is a value that is good enough."""

    def __init__(self, question: Question, limits: Limits, *, target: float = -math.inf) -> None:
        self.question, self.problem, self.limits, self.target = question, question.problem, limits, target
        caps = tuple(min(b, most) for b, most in zip(question.budgets, question.most, strict=True))
        self.caps = caps
        self.margins = (min(MARGIN, 1e-3 * caps[0]), 0.0, min(MARGIN, 1e-3 * caps[2]))
        self.aims = tuple(cap - margin for cap, margin in zip(caps, self.margins, strict=True))
        self.best: Descent | None = None
        self.value = math.inf
        self.low = self.problem.independent
        self.descents = 0
        self._search: Search | CornerSearch | None = None
        self._tried: list[FloatArray] = []

    @property
    def distortion(self) -> float:
        """The limit on E d to aim at; inf where it cannot bind."""
        limited = self.question.budgets[0] < self.question.most[0]
        return self.aims[0] if limited else math.inf

    def start(
        self,
        coupling: FloatArray | None = None,
        z: FloatArray | None = None,
        enough: float = -math.inf,
        proved: Callable[[], float] = lambda: -math.inf,
    ) -> None:
        """From a coupling, if any, and the rate-only optimum; if these leave no room, from one of small loss.

        A value of ``enough`` or of ``proved()`` will do.
        """
        if coupling is not None:
            self.try_from(coupling)
            if self.value <= max(enough, proved()):
                return
        problem, objective = self.problem, self.question.objective
        if objective is CLASSIFICATION_LOSS:
            # Couplings of least loss may tie: near the least distortion that the rate allows is the better place.
            proposal = Newton().propose(SingleLetter(problem, self.aims[1], math.inf), self.limits)
            P = problem.independent if proposal.parts is None else proposal.parts[0].coupling
            self.start_from(self._lowest(P))
            return
        free = SingleLetter(problem, math.inf, math.inf, distortion_budget=self.distortion, objective=RATE)
        proposal = Newton().propose(free, self.limits)
        P = problem.independent if proposal.parts is None else proposal.parts[0].coupling
        self.try_from(P)
        if self.best is None:
            self.start_from(self._lowest(P))

    def _lowest(self, P: FloatArray) -> Descent | None:
        objective = self.question.objective
        rate = math.inf if objective is RATE else self.aims[1]
        distortion = self.distortion
        target = self.target if objective is CLASSIFICATION_LOSS else self.aims[2]
        return lowest_loss(self.problem, rate, P, self.limits, distortion=distortion, target=target)

    def start_from(self, found: Descent | None) -> None:
        """Descend from a coupling of small loss."""
        if found is None:
            return
        self.low = found.P
        if self.question.objective is not CLASSIFICATION_LOSS and found.loss <= self.aims[2]:
            self.try_from(found.P)
        self._keep(found)

    def try_from(self, P: FloatArray) -> None:
        """One run of the convex-concave procedure."""
        self.descents += 1
        _, rate, loss = self.aims
        distortion = self.distortion
        if self.question.objective is RATE:
            answer = lower_rate(self.problem, distortion, loss, P, self.limits)
        else:
            answer = lowered(self.problem, rate, distortion, P, self.limits, self.target)
        if answer is not None:
            self._keep(answer)

    def _keep(self, answer: Descent) -> None:
        values = self._values(answer.P, answer.loss)
        value = values[self.question.objective.place]
        # At the very edge, as at C = H(S|X), there may be no point with any margin.
        inside = all(
            v <= aim + 0.5 * m for v, aim, m in zip(values, self._limits(self.aims), self.margins, strict=True)
        )
        if not inside and self.best is None:
            rounded = round_onto_marginals(answer.P, self.problem.px, self.problem.py)
            exact = self._values(rounded, self.problem.classification_loss(rounded))
            inside = all(v <= cap + ROUNDING for v, cap in zip(exact, self._limits(self.caps), strict=True))
        if not inside:
            return
        if self.best is None or self.question.objective is not CLASSIFICATION_LOSS:
            better = value < self.value
        else:
            better = lower(self.problem, answer, self.best)
        if better:
            self.best = answer
        if value < self.value:
            self.value = value
            if self._search is not None:
                self._search.upper = value

    def _values(self, P: FloatArray, loss: float) -> tuple[float, float, float]:
        rate = self.problem.rate(P) if self.question.objective is RATE else 0.0  # else within its limit, or repaired
        return float((self.problem.d * P).sum()), rate, loss

    def _limits(self, limits: tuple[float, ...]) -> tuple[float, ...]:
        """With none on what is minimised."""
        return tuple(
            math.inf if q is self.question.objective else limit for q, limit in zip(QUANTITIES, limits, strict=True)
        )

    def watch(self, search: Search | CornerSearch) -> None:
        """Tell ``search`` of every better point."""
        self._search = search

    def improve(self, P: FloatArray, z: FloatArray, force: bool) -> None:
        """Descend from a node's suggestion unless one like it was tried."""
        tau = self.problem.ps_given_x.T @ P
        # Most of what descents can do they do early: from then on one for every few nodes.
        if self._search is not None and self.descents > (40 if force else 4) + self._search.nodes // 4:
            return
        if not force and any(np.abs(tau - other).sum() < 1e-3 for other in self._tried):
            return
        self._tried.append(tau)
        self.try_from(P)

    def multipliers(self) -> FloatArray:
        """Where the ascent starts: the convex step's KKT multipliers."""
        if self.best is None:
            return np.concatenate([self.problem.d @ self.problem.py, [1.0, 0.1, 0.1]])
        return self.best.z
