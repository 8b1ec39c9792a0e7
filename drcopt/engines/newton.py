"""The native engine for rate-only problems: one smooth concave dual, Newton's method, warm starts along a sweep."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from drcopt._check import FloatArray
from drcopt.bounds import Leaf, PosteriorTree
from drcopt.engines.base import Limits, Proposal
from drcopt.engines.linear import optimal_transport
from drcopt.engines.transport import LEAST_EPSILON, State, Transport
from drcopt.formulations import Formulation, Part
from drcopt.problem import Problem

#: Points of a sweep that the next one is extrapolated from.
_HISTORY = 6
#: Kernel evaluations that an extrapolated start may take before something else is tried.
_PATIENCE = 20
#: Where the path is left for the linear program, for a cost of range 1.
_FLOOR = 3e-4
#: How small ε gets on the way to potentials that a linear program starts from, for a cost of range 1.
_COARSE = 2e-2


@dataclass(frozen=True, eq=False)
class _End:
    """An optimal-transport plan, its row potentials and its information."""

    problem: Problem
    plan: FloatArray
    f: FloatArray
    rate: float


class Newton:
    """Solves min ⟨d, P⟩ over Γ(px, py) with I(P) ≤ R; a classification budget is left to others.

    The row potentials f (or the column potentials, whichever side is smaller), the multiplier ε of the
    rate and nothing else are unknown; see :mod:`drcopt.engines.transport`. Where the rate budget is slack the
    answer is an optimal-transport plan: the path ε → 0 ends in one, and HiGHS is asked where it does not.
    """

    name: ClassVar[str] = "newton"

    def __init__(self) -> None:
        self._end: _End | None = None
        self._limit: _SmallRates | None = None

    def propose(self, formulation: Formulation, limits: Limits, warm: Any = None) -> Proposal:
        """See :class:`drcopt.engines.base.Engine`."""
        problem = formulation.problem
        flipped = problem.n > problem.m
        transport = (
            Transport(problem.py, problem.px, problem.d.T) if flipped else Transport(problem.px, problem.py, problem.d)
        )
        tol = min(limits.tol * 1e-2, 1e-11)
        rate = formulation.rate_budget
        most = min(problem.entropy_x, problem.entropy_y)
        end = self._end_of(problem, transport) if rate >= most else self._known_end(problem)
        if end is not None and rate >= min(end.rate, most):
            return self._slack(end, transport)
        past = _Past(warm, len(transport.px))
        state = transport.evaluate(*past.predict(self._small_rates(problem, transport), rate), 0.0, rate)
        if len(past.rates) or state.error < 0.5:
            state = transport.solve(state, rate, tol, most=_PATIENCE)
        if transport.miss(state, rate) > 50 * tol:
            # Where the budget is slack that is why; where not, the path leads on from the last point.
            end = self._end_of(problem, transport) if len(past.rates) else end
            if end is not None and rate >= end.rate:
                return self._slack(end, transport)
            state = transport.follow(rate, tol, past.last(transport, rate), floor=LEAST_EPSILON if end else _FLOOR)
        slack = state.epsilon == 0.0
        if slack or state.epsilon * (rate - state.rate) > tol:
            end = self._end_of(problem, transport)
            if end is not None and rate >= end.rate:
                return self._slack(end, transport)
            # Among ties the linear program picks a corner; the path goes on to the plan of least information.
            state = state if slack else transport.follow(rate, tol, state)
            slack = state.epsilon * (rate - state.rate) > tol or state.epsilon == 0.0
        f = _row_potentials(transport, state) if flipped else state.f
        return Proposal(
            parts=[Part(1.0, state.P.T if flipped else state.P)],
            evidence=PosteriorTree(Leaf(f, state.epsilon, 0.0)),
            termination=(
                "the rate budget is slack: an optimal-transport plan" if slack else "Newton's method converged"
            )
            if transport.miss(state, rate) <= 50 * tol or slack
            else "Newton's method stalled",
            rate_multiplier=state.epsilon,
            classification_multiplier=0.0,
            stats={"kernel_evaluations": transport.evaluations},
            warm=past.with_point(transport, state, rate) if state.epsilon > 0 else warm,
        )

    def _small_rates(self, problem: Problem, transport: Transport) -> _SmallRates:
        if self._limit is None or self._limit.problem is not problem:
            self._limit = _SmallRates.of(problem, transport)
        return self._limit

    def _known_end(self, problem: Problem) -> _End | None:
        return self._end if self._end is not None and self._end.problem is problem else None

    def _end_of(self, problem: Problem, transport: Transport) -> _End | None:
        """The optimal-transport end of the curve, the same whichever rate asked for it; None if HiGHS gives up."""
        if self._known_end(problem) is None:
            guess = None
            if problem.n * problem.m > 256:
                state = transport.follow(2.0 * min(problem.entropy_x, problem.entropy_y), 1e-9, floor=_COARSE)
                guess = _row_potentials(transport, state) if problem.n > problem.m else state.f
            answer = optimal_transport(problem, guess)
            if answer is None:
                return None
            self._end = _End(problem, *answer, problem.rate(answer[0]))
        return self._end

    def _slack(self, end: _End, transport: Transport) -> Proposal:
        return Proposal(
            parts=[Part(1.0, end.plan)],
            evidence=PosteriorTree(Leaf(end.f, 0.0, 0.0)),
            termination="the rate budget is slack: optimal transport, a linear program solved by HiGHS",
            rate_multiplier=0.0,
            classification_multiplier=0.0,
            stats={"kernel_evaluations": transport.evaluations},
        )


@dataclass(frozen=True, eq=False)
class _SmallRates:
    """The curve at R → 0: f and log ε√R are power series in √R, of which these are the first two terms.

    With s the cost less its row and column means and λ = 1/ε: the potentials are f = E d(x,Y) − λ E s²(x,Y)/2 + …
    and I = λ² E s²/2 − λ³ E s³/3 + …
    """

    problem: Problem
    values: FloatArray
    slopes: FloatArray

    @classmethod
    def of(cls, problem: Problem, transport: Transport) -> _SmallRates:
        px, py = transport.px, transport.py
        rows = transport.cost @ py
        s = transport.cost - rows[:, None]
        s -= px @ s
        square = s * s
        variance = max(float(px @ square @ py), 1e-300)
        slope = math.sqrt(2.0 / variance)  # λ/√R
        bend = float(px @ (square * s) @ py) / (3.0 * variance) * slope
        values = np.append(_centred(rows, px), -math.log(slope))
        return cls(problem, values, np.append(_centred(-0.5 * slope * (square @ py), px), -bend))


class _Past:
    """The last points of a sweep: rates, potentials (centred) and log ε, in the order they were solved."""

    def __init__(self, warm: Any, letters: int) -> None:
        if warm is None or warm["potentials"].shape[1] != letters:
            warm = {"rates": np.empty(0), "potentials": np.empty((0, letters)), "log_epsilon": np.empty(0)}
        self.rates: FloatArray = warm["rates"]
        self.potentials: FloatArray = warm["potentials"]
        self.log_epsilon: FloatArray = warm["log_epsilon"]

    def predict(self, limit: _SmallRates, rate: float) -> tuple[FloatArray, float]:
        """f and ε at a rate: the polynomial in √R through the limit R → 0 (twice) and the last points.

        How many of them is decided by how well as many would have foretold the last one.
        """
        t, at = np.sqrt(self.rates), math.sqrt(rate)
        known = np.column_stack([self.potentials, self.log_epsilon + 0.5 * np.log(self.rates)])
        # What is left of the curve beyond the first two terms.
        rest = (known - limit.values - t[:, None] * limit.slopes) / (t * t)[:, None]
        count, nodes = len(t), t.tolist()
        used = 0
        if count > 1:
            told = np.array(
                [[0.0] * (count - 1 - k) + _lagrange(nodes[count - 1 - k : -1], nodes[-1]) for k in range(count)]
            )
            off = np.abs(told @ rest[:-1] - rest[-1])
            off[:, :-1] *= math.exp(-self.log_epsilon[-1])
            used = int(off.max(axis=1).argmin())
        used += used == count - 1  # the more points, the higher the degree
        while max(map(abs, weights := _lagrange(nodes[count - used :], at)), default=0.0) > 50.0:
            used -= 1
        guess = limit.values + at * limit.slopes + at * at * (np.array(weights) @ rest[count - used :])
        return guess[:-1], math.exp(min(max(guess[-1] - 0.5 * math.log(rate), math.log(LEAST_EPSILON)), 600.0))

    def last(self, transport: Transport, rate: float) -> State | None:
        """The last point as a state; None if there is none, or it is another problem's."""
        if not len(self.rates):
            return None
        state = transport.evaluate(self.potentials[-1], math.exp(self.log_epsilon[-1]), 0.0, rate)
        return state if state.error < 1e-6 else None

    def with_point(self, transport: Transport, state: State, rate: float) -> dict[str, FloatArray]:
        """With one more point, as the engine's ``warm``."""
        kept = np.flatnonzero(np.abs(self.rates - rate) > 1e-9 * rate)[-(_HISTORY - 1) :]
        return {
            "rates": np.append(self.rates[kept], rate),
            "potentials": np.vstack([self.potentials[kept], _centred(state.f, transport.px)]),
            "log_epsilon": np.append(self.log_epsilon[kept], math.log(state.epsilon)),
        }


def _lagrange(nodes: list[float], at: float) -> list[float]:
    """Weights of the values at ``nodes`` in their polynomial's value at ``at``; none for no nodes."""
    return [math.prod((at - b) / (a - b) for b in nodes if b != a) for a in nodes]


def _centred(f: FloatArray, px: FloatArray) -> FloatArray:
    return np.asarray(f - px @ f)


def _row_potentials(transport: Transport, state: State) -> FloatArray:
    """Potentials of the eliminated side: f = −ε log Σ py exp((g − d)/ε), or min(d − g) at ε = 0."""
    g, epsilon = state.f, state.epsilon
    score = g[:, None] - transport.cost
    if epsilon == 0:
        return np.asarray(-score.max(axis=0))
    top = score.max(axis=0)
    return np.asarray(-top - epsilon * np.log(transport.px @ np.exp((score - top) / epsilon)))
