"""The least divergence of Y's law from a target within budgets on the other quantities, between two certified sides.

Evidence (f; w_D, α, β) proves of every point within the budgets D, R, C that its law q of Y has
⟨g, q⟩ ≤ w_D·D + α·R + β·C − ⟨f, px⟩. No law within P of the target does where Ψ_P(g) exceeds the right side, so P is
proved to be missed wherever the bound of a question with that ball passes its own budget. Ψ_P falls in P and is convex:
the last P that one piece of evidence excludes is a step of Newton's method from below, and a point within the budgets
bounds the least from above.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from drcopt.certify.certificate import FLOORS, Certificate, best_bound, repair
from drcopt.certify.witness import Budgets
from drcopt.formulations import Part, Question
from drcopt.questions import Near, Quantity
from drcopt.solution import Solution
from drcopt.support import clock

#: Questions asked at most, and evaluations of one piece of evidence.
_ROUNDS, _EVALUATIONS = 40, 24
#: How far past the bound, in gaps wanted, a point is looked for, and what of the gap may be left to evidence.
_AHEAD, _EXACT = 0.4, 0.02
#: Steps before the gap is halved instead.
_STEPS = 6
#: Gaps that the questions are answered to.
_SHARP, _ROUGH = 1e-10, 1e-4
#: Seconds for a question: close to where points begin to exist it may take any time to settle one.
_PATIENCE = 20.0
#: A divergence without a largest value is followed so far, in nats or its unit, by steps of this factor.
_FAR, _STRIDE = 64.0, 8.0
#: How much larger than what a local optimum has P is where it is to be a point, relative.
_BESIDE = 1e-9


@dataclass(frozen=True, eq=False)
class PerceptionCertificate:
    """What proves a least divergence: evidence that no law within ``lower`` of the target meets the budgets.

    ``formulation`` is a question with that ball and ``limit`` the budget on what it minimises, which the bound of the
    ``evidence`` passes; ``parts`` is a point within the budgets whose divergence is ``upper``. In nats.
    """

    formulation: Question
    limit: float
    evidence: tuple[Any, ...]
    parts: tuple[Part, ...] | None
    upper: float
    lower: float
    excess: float = 0.0

    @property
    def infeasible(self) -> bool:
        """Whether it is proved that no law at all does."""
        return self.lower == math.inf

    def least(self, quantity: Quantity) -> float:
        """A proved lower bound on what the other budgets leave of a quantity, from the same evidence."""
        return best_bound(self.formulation.minimising(quantity), (*FLOORS, *self.evidence))

    def holds(self) -> bool:
        """Whether the evidence, evaluated again, proves ``lower``."""
        return self.lower <= 0.0 or best_bound(self.formulation, (*FLOORS, *self.evidence)) > self.limit

    @property
    def relaxed(self) -> None:
        """Bounds are those of the problem's own d."""

    def save(self, path: Any) -> None:
        """Write everything needed to believe this to a JSON file; ``drcopt check`` verifies it independently."""
        from drcopt.certify import proof_of_perception

        proof_of_perception.save(self, path)


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found: the best point with its answer, the bound, and the answer that it is from."""

    point: Solution | None
    last: Solution
    value: float
    lower: float
    slope: float
    certificate: PerceptionCertificate
    termination: str
    asked: int


class Search:
    """Narrows the least P between a bound and a point.

    Parameters
    ----------
    ask : callable
        The answer to the question with this P (0: the target itself, inf: any law), gap wanted (of its ``tol``),
        seconds that it may take, and nodes, if not any number.
    near : Near
        The ball; its budget plays no part.
    budgets : Budgets
        On all three quantities, as they were asked for.
    limit : float
        That on what ``ask`` minimises, in nats or the unit of d, rounded up.
    tol : float
        The gap wanted.
    first : float
        The least P that can be asked for.
    nearest : callable
        The least P that a search of points alone finds, given the best answer so far or None; later questions may start
        from its point. inf where there is none.
    """

    def __init__(
        self,
        ask: Callable[[float, float, float, int | None], Solution],
        near: Near,
        budgets: Budgets,
        limit: float,
        tol: float,
        deadline: float,
        first: float = 0.0,
        nearest: Callable[[Solution | None], float] = lambda point: math.inf,
    ) -> None:
        self._nearest = nearest
        self._ask, self.near, self.budgets, self.limit = ask, near, budgets, limit
        self.tol, self.deadline, self.first = tol, deadline, first
        self.lower, self.value = 0.0, math.inf
        self.point: Solution | None = None
        self.asked, self.slope = 0, math.nan
        self._template: Question | None = None
        self._evidence: tuple[Any, ...] = ()
        #: P and by how much what was minimised exceeds its limit there.
        self._misses: list[tuple[float, float]] = []

    def run(self) -> Found:
        """Until the two sides are as close as wanted, or the time is over."""
        most = self.near.farthest
        confined = self.near.confined
        anything = self._answer(max(most, 1e-9) * (1.0 + 1e-9) if confined else math.inf, _ROUGH)
        if anything.status == "infeasible" or anything.certificate.lower > self.limit:
            what = "law on the target's letters, and any other is infinitely far," if confined else "law of Y"
            return self._found(anything, f"no {what} meets the budgets", math.inf)
        last = self._answer(self.first, _ROUGH)
        above = self._come_near()
        why, since, tried, stuck = "the bound met the point", 0, set[float](), False
        for _ in range(_ROUNDS):
            gap = self.value - self.lower
            if gap <= self.tol:
                break
            if clock.now() >= self.deadline or clock.expired():
                why = "the time limit was reached"
                break
            # Newton's step or that of two misses, whichever is longer; half the gap now and then where they crawl.
            halve = stuck or since >= _STEPS
            P = self._middle(most) if halve else max(self.lower, self._secant()) + _AHEAD * self.tol
            if above:  # a local optimum: perhaps none is nearer
                P = max(self.value - (1.0 - _AHEAD) * self.tol, self.lower)
            if P in tried:
                why = "no other question is worth asking"
                break
            tried.add(P)
            if P >= _FAR and math.isinf(most) and self.point is None:
                why = f"no point within {_FAR:g} of the target was found"
                break
            before, known = self.lower, self.value
            last = self._answer(P, self._gap_wanted(self.tol if above else gap))
            above = self.value < known and self._come_near()
            moved = self.lower > before or self.value - before < gap
            if not moved and (stuck or halve) and last.status not in ("optimal", "infeasible"):
                why = f"whether P = {P:.6g} will do was not settled"
                break
            stuck = not halve and self.lower - before < self.tol  # converged, and still no point there
            since = 0 if halve else since + 1
        else:
            why = "the last questions did not narrow the bound"
        return self._found(last, why, self.lower)

    def _come_near(self) -> bool:
        """Whether a search of points alone finds one that is nearer than any so far."""
        known = self.value
        if known - self.lower <= self.tol or clock.now() >= self.deadline:
            return False
        P = self._nearest(self.point)
        if P < known:
            self._answer(P * (1.0 + _BESIDE), _ROUGH, 1)
        return self.value < known

    def _secant(self) -> float:
        """Where the line through the last two misses says that P begins to do; no further than half the gap."""
        if len(self._misses) < 2 or not math.isfinite(self.value):
            return self.lower
        (P, more), (Q, less) = self._misses[-2:]
        if not (Q > P and more > less):
            return self.lower
        return min(Q + less * (Q - P) / (more - less), 0.5 * (self.lower + self.value))

    def _middle(self, most: float) -> float:
        if math.isfinite(self.value):
            return 0.5 * (self.lower + self.value)
        if math.isfinite(most):
            return 0.5 * (self.lower + most)
        return max(_STRIDE * self.lower, 1e-2)

    def _gap_wanted(self, gap: float) -> float:
        """How close the answer of a question must be to tell points that are so far apart in P."""
        if not self.slope > 0.0:
            return _ROUGH
        wide = gap if math.isfinite(gap) else 1.0
        return min(max(0.1 * self.slope * max(_AHEAD * self.tol, 1e-3 * wide), _SHARP), _ROUGH)

    def _answer(self, P: float, tol: float, nodes: int | None = None) -> Solution:
        """Ask, and learn from the answer on both sides."""
        self.asked += 1
        answer = self._ask(P, tol, min(max(0.0, self.deadline - clock.now()), _PATIENCE), nodes)
        certificate: Certificate = answer.certificate
        if P > 0.0 and self._template is None:
            self._template = certificate.formulation
        if certificate.parts is not None:
            met = repair(certificate.formulation, certificate.parts, self.budgets, lower_loss=False)
            value = 0.0 if P == 0.0 else self.near.divergence(answer.output_law)
            if met is not None and met.spent.excess == 0.0 and value < self.value:
                self.value, self.point = value, answer
            if certificate.upper > self.limit:
                self._misses.append((P, certificate.upper - self.limit))
        self._learn(certificate)
        return answer

    def _bound(self, P: float, certificate: Certificate) -> float:
        assert self._template is not None
        question = replace(self._template, laws=replace(self.near, budget=P))
        return best_bound(question, (*FLOORS, *certificate.evidence), certificate.relaxed) - self.limit

    def _learn(self, certificate: Certificate) -> None:
        """Move the bound up to the last P that the evidence excludes, by false position."""
        if self._template is None or self.value <= self.lower:
            return
        low = self.lower
        start = max(low, 1e-3 * self.tol)
        above = self._bound(start, certificate)
        if not above > 0.0:
            return
        low, high = start, self.value
        if not math.isfinite(high):
            high = max(2.0 * low, 1e-2)
            for _ in range(_EVALUATIONS):
                if not self._bound(high, certificate) > 0.0 or high > _FAR:
                    break
                low, high = high, 2.0 * high
        below, side = self._bound(high, certificate), 0
        above = self._bound(low, certificate)
        if below > 0.0:
            low = high
        slope, there = math.nan, above
        for _ in range(_EVALUATIONS):
            if high - low <= _EXACT * self.tol:
                break
            share = above / (above - below) if math.isfinite(above) and math.isfinite(below) else 0.5
            middle = low + min(max(share, 0.01), 0.99) * (high - low)
            now = self._bound(middle, certificate)
            if math.isfinite(now) and math.isfinite(there):
                slope = (there - now) / (middle - low)
            if now > 0.0:
                low, above, there = middle, now, now
                below = 0.5 * below if side > 0 else below
                side = 1
            else:
                high, below = middle, now
                above = 0.5 * above if side < 0 else above
                side = -1
        if low > self.lower:
            self.lower, self._evidence = low, certificate.evidence
            self.slope = slope if slope > 0.0 else self.slope

    def _found(self, last: Solution, why: str, lower: float) -> Found:
        assert self._template is not None
        question = self._template
        if lower < math.inf:
            question = replace(question, laws=replace(self.near, budget=max(lower, 1e-300)))
        parts = None if self.point is None else self._on_all_letters(self.point.certificate)
        evidence = last.certificate.evidence if lower == math.inf else self._evidence
        certificate = PerceptionCertificate(question, self.limit, evidence, parts, self.value, lower)
        return Found(self.point, last, self.value, lower, self.slope, certificate, why, self.asked)

    def _on_all_letters(self, certificate: Certificate) -> tuple[Part, ...] | None:
        """The parts of a point; one with the target's law may be on the target's letters only."""
        parts, (n, m) = certificate.parts, (certificate.formulation.problem.n, len(self.near.target))
        if parts is None or certificate.formulation.problem.m == m:
            return parts
        letters = np.flatnonzero(self.near.target > 0)
        found = []
        for part in parts:
            if part.letters is not None:
                found.append(replace(part, letters=letters[part.letters]))
                continue
            wide = np.zeros((n, m))
            wide[:, letters] = part.coupling
            found.append(replace(part, coupling=wide, map=None if part.map is None else letters[part.map]))
        return tuple(found)
