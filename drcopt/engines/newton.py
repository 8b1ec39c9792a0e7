"""The native engine for rate-only problems: one smooth concave dual, Newton's method, warm starts along a sweep."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from drcopt.bounds import Leaf, PosteriorTree
from drcopt.coupling import round_onto_marginals
from drcopt.engines.base import Limits, Proposal
from drcopt.engines.least_rate import least_rate
from drcopt.engines.linear import optimal_transport
from drcopt.engines.transport import State, Transport
from drcopt.formulations import Part, Question
from drcopt.problem import Problem
from drcopt.questions import RATE
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Points of a sweep that the next one is extrapolated from.
_HISTORY = 5
#: Kernel evaluations that an extrapolated start may take before it is asked whether the rate is slack.
_PATIENCE = 12
#: How far inside the rate the answer stays, relative, for each letter.
_SPARE = 4e-14
#: How small ε gets on the way to potentials that a linear program starts from, for a cost of range 1.
_COARSE = 2e-2
#: The smallest ε visited: fine grids need little, and potentials good to 1e-17 still give P good to 1e-8 there.
_LEAST = 1e-9


@dataclass(frozen=True, eq=False)
class _End:
    """The optimal-transport plan of least information, its row potentials and that information."""

    problem: Problem
    plan: FloatArray
    f: FloatArray
    rate: float

    @property
    def enough(self) -> float:
        """A rate that is as good as the plan's: repairing what is missing costs less than rounding."""
        return self.rate * (1.0 - 1e-12)


class Newton:
    """Solves min ⟨d, P⟩ over Γ(px, py) with I(P) ≤ R; a classification budget is left to others.

    The row potentials f (or the column potentials, whichever side is smaller), the multiplier ε of the
    rate and nothing else are unknown; see :mod:`drcopt.engines.transport`. A point starts where the points before it
    lead. Where the rate budget is slack the answer is the optimal-transport plan of least information, computed
    once: by HiGHS, and among ties by one more Newton solve.
    """

    name: ClassVar[str] = "newton"

    def __init__(self) -> None:
        # glibc hands every array of more than 128 KiB back to the system and takes a page fault a page for the next,
        # a sixth of a point's time at 256 letters, until it has seen a larger one freed. Show it one, untouched.
        np.empty(31 << 20, dtype=np.uint8)
        self._end: _End | None = None
        self._limit: _SmallRates | None = None

    def propose(self, question: Question, limits: Limits, warm: Any = None) -> Proposal:
        """See :class:`drcopt.engines.base.Engine`."""
        if question.objective is RATE:
            return least_rate(self, question, limits, warm)
        problem = question.problem
        flipped = problem.n > problem.m
        px, py, d = (problem.py, problem.px, problem.d.T) if flipped else (problem.px, problem.py, problem.d)
        transport = Transport(px, py, d, least_epsilon=_LEAST)
        tol = min(limits.tol * 1e-2, 1e-11)
        budget = question.rate_budget
        end = self._end if self._end is not None and self._end.problem is problem else None
        most = min(problem.entropy_x, problem.entropy_y)
        if end is None and budget >= most:
            end = self._end_of(problem, transport, tol)
            budget = most  # as good as none, where there is no end to be had
        if end is not None and budget >= min(end.enough, most):
            return _slack(end, transport, warm)
        past = _Past(warm, len(px))
        # So that sums of doubles show that it is not overspent: repairing it, or looking closer, costs more.
        rate = budget * (1.0 - _SPARE * (100 + problem.n + problem.m))
        state = transport.evaluate(*past.predict(self._small_rates(problem, transport), rate), 0.0, rate)
        if len(past.rates) or state.error < 0.5:
            state = transport.solve(state, rate, tol, most=_PATIENCE)
        if not _solved(transport, state, rate, tol):
            answer = self._by_path(problem, transport, past, state, budget, rate, tol)
            if isinstance(answer, _End):
                return _slack(answer, transport, warm)
            state = answer
        f = _row_potentials(transport, state) if flipped else state.f
        if state.epsilon == 0.0:
            termination = "the rate budget is slack: an optimal-transport plan"
        elif _solved(transport, state, rate, tol):
            termination, warm = "Newton's method converged", past.with_point(transport, state, rate)
        else:
            termination = "the time limit was reached" if clock.expired() else "Newton's method stalled"
        return Proposal(
            parts=[Part(1.0, state.P.T if flipped else state.P)],
            evidence=(PosteriorTree(Leaf(f, state.epsilon, 0.0)),),
            termination=termination,
            rate_multiplier=state.epsilon,
            classification_multiplier=0.0,
            stats={"kernel_evaluations": transport.evaluations},
            warm=warm,
        )

    def _by_path(
        self,
        problem: Problem,
        transport: Transport,
        past: _Past,
        near: State,
        budget: float,
        rate: float,
        tol: float,
    ) -> State | _End:
        """The answer where Newton's method from the extrapolated point led no further than ``near``."""
        coarse = None
        if not len(past.rates):
            coarse = self._coarse(problem, transport, rate, tol)
            if _solved(transport, coarse, rate, tol):
                return coarse
        # Where the budget is slack that is why; where not, a path leads on from one of the points at hand.
        end = self._end_of(problem, transport, tol, coarse if coarse is not None and coarse.rate < rate else None)
        if end is not None and budget >= end.enough:
            return end
        starts: list[Callable[[], State | None]] = [lambda: past.last(transport, rate) or coarse, lambda: None]
        if len(past.rates) and near.error < 0.1 and 0.5 * rate < near.rate < rate:
            starts.insert(0, lambda: near)
        for start in starts:
            state = transport.follow(rate, tol, start(), floor=_LEAST)
            if state.epsilon == 0.0 or _solved(transport, state, rate, tol):
                return state
        # Just short of the end a little of the independent coupling added to its plan is better.
        return end if end is not None and 1.0 - rate / end.rate < transport.miss(state, rate) else state

    def _small_rates(self, problem: Problem, transport: Transport) -> _SmallRates:
        if self._limit is None or self._limit.problem is not problem:
            self._limit = _SmallRates.of(problem, transport)
        return self._limit

    def _coarse(self, problem: Problem, transport: Transport, rate: float, tol: float) -> State:
        """Down the path from the same place whatever the rate, until that is met or ε is small."""
        start = transport.beginning(2.0 * min(problem.entropy_x, problem.entropy_y))
        return transport.follow(rate, tol, start, floor=_COARSE, settled=1e-2)

    def _end_of(self, problem: Problem, transport: Transport, tol: float, coarse: State | None = None) -> _End | None:
        """The optimal-transport end of the curve, the same whichever rate asked for it; None if HiGHS gives up.

        ``coarse`` is where :meth:`_coarse` ends for a rate that it does not meet.
        """
        if self._end is None or self._end.problem is not problem:
            guess, most = None, min(problem.entropy_x, problem.entropy_y)
            if problem.n * problem.m > 256:
                state = self._coarse(problem, transport, 2.0 * most, tol) if coarse is None else coarse
                guess = _row_potentials(transport, state) if problem.n > problem.m else state.f
            # A limit that this does not keep leaves half for the path, which bounds from wherever it ends.
            with clock.until(clock.now() + 0.5 * clock.remaining()):
                answer = optimal_transport(problem, guess)
            if answer is None:
                return None
            plan, f = answer
            plans = [
                round_onto_marginals(P, problem.px, problem.py) for P in (plan, *_ties(problem, plan, f, transport))
            ]
            self._end = min((_End(problem, P, f, problem.rate(P)) for P in plans), key=lambda end: end.rate)
        return self._end


def _solved(transport: Transport, state: State, rate: float, tol: float) -> bool:
    """Whether another try would find nothing better: up to rounding, which is magnified by 1/ε."""
    return state.epsilon > 0 and transport.miss(state, rate) <= max(50 * tol, 1e-17 / state.epsilon)


def _slack(end: _End, transport: Transport, warm: Any) -> Proposal:
    return Proposal(
        parts=[Part(1.0, end.plan)],
        evidence=(PosteriorTree(Leaf(end.f, 0.0, 0.0)),),
        termination="the rate budget is slack: optimal transport, a linear program solved by HiGHS",
        rate_multiplier=0.0,
        classification_multiplier=0.0,
        stats={"kernel_evaluations": transport.evaluations},
        warm=warm,
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
    """The last points of a sweep, in the order they were solved.

    For each its rate, the vector of its potentials (centred) and log ε√R, and that vector's derivative by √R.
    """

    def __init__(self, warm: Any, letters: int) -> None:
        if warm is None or "points" not in warm or warm["points"].shape[1] != letters + 1:
            none = np.empty((0, letters + 1))
            warm = {"rates": np.empty(0), "points": none, "slopes": none}
        self.rates: FloatArray = warm["rates"]
        self.points: FloatArray = warm["points"]
        self.slopes: FloatArray = warm["slopes"]

    def predict(self, limit: _SmallRates, rate: float) -> tuple[FloatArray, float]:
        """f and ε at a rate: the polynomial in √R with the values and slopes of the limit R → 0 and of the last points.

        How many of them is decided by how well as many would have foretold the last one.
        """
        t, at = np.sqrt(self.rates), math.sqrt(rate)
        # What is left of the curve beyond the first two terms, and its slopes.
        rest = (self.points - limit.values - t[:, None] * limit.slopes) / (t * t)[:, None]
        slopes = (self.slopes - limit.slopes) / (t * t)[:, None] - 2.0 * rest / t[:, None]
        count, nodes = len(t), t.tolist()
        used = 0
        if count > 1:
            told = np.zeros((count, 2 * (count - 1)))
            for k in range(1, count):
                w, v = _hermite(nodes[count - 1 - k : -1], nodes[-1])
                told[k, count - 1 - k : count - 1], told[k, 2 * (count - 1) - k :] = w, v
            off = np.abs(told @ np.vstack([rest[:-1], slopes[:-1]]) - rest[-1])
            off[:, :-1] *= nodes[-1] / math.exp(self.points[-1, -1])
            used = int(off.max(axis=1).argmin())
        used += used == count - 1  # the more points, the higher the degree
        while True:
            near = nodes[count - used :]
            w, v = _hermite(near, at)
            # Potentials are good to a share of ε, which is large where rates are small.
            if all((abs(a) + abs(b) / x) * (at / x) ** 3 <= 1e5 for a, b, x in zip(w, v, near, strict=True)):
                break
            used -= 1
        more = np.array(w) @ rest[count - used :] + np.array(v) @ slopes[count - used :]
        guess = limit.values + at * limit.slopes + at * at * more
        return guess[:-1], math.exp(min(max(guess[-1] - math.log(at), math.log(_LEAST)), 600.0))

    def last(self, transport: Transport, rate: float) -> State | None:
        """The last point as a state; None if there is none, or it is another problem's."""
        if not len(self.rates):
            return None
        *f, log_epsilon = self.points[-1]
        epsilon = math.exp(log_epsilon) / math.sqrt(self.rates[-1])
        state = transport.evaluate(np.array(f), epsilon, 0.0, rate)
        return state if state.error < 1e-6 else None

    def with_point(self, transport: Transport, state: State, rate: float) -> dict[str, FloatArray]:
        """With one more point, as the engine's ``warm``; a point that the past foretold adds nothing to it."""
        points, slopes, rates = self.points, self.slopes, self.rates
        newton = transport.latest
        if newton is not None and abs(math.log(newton.at.epsilon / state.epsilon)) > 0.1:
            newton = transport.linearised(state)
        if newton is not None:
            df, d_log = newton.tangent()
            half = 0.5 * math.log(rate)
            point = np.append(_centred(state.f, transport.px), math.log(state.epsilon) + half)
            slope = np.append(_centred(df, transport.px), d_log + 0.5) * (2.0 / math.sqrt(rate))
            if np.isfinite(slope).all():
                kept = np.flatnonzero(np.abs(rates - rate) > 1e-9 * rate)[-(_HISTORY - 1) :]
                points = np.vstack([points[kept], point])
                slopes = np.vstack([slopes[kept], slope])
                rates = np.append(rates[kept], rate)
        return {"rates": rates, "points": points, "slopes": slopes}


def _hermite(nodes: list[float], at: float) -> tuple[list[float], list[float]]:
    """Weights of the values and of the slopes at ``nodes`` in their polynomial's value at ``at``."""
    values, slopes = [], []
    for a in nodes:
        product, total = 1.0, 0.0
        for b in nodes:
            if b != a:
                product *= (at - b) / (a - b)
                total += 1.0 / (a - b)
        square = product * product
        values.append((1.0 - 2.0 * (at - a) * total) * square)
        slopes.append((at - a) * square)
    return values, slopes


def _centred(f: FloatArray, px: FloatArray) -> FloatArray:
    return np.asarray(f - px @ f)


def _ties(problem: Problem, plan: FloatArray, f: FloatArray, counter: Transport) -> list[FloatArray]:
    """The optimal plan of least information where the linear program has several; none where it has one.

    Optimal plans live where the reduced cost is 0; among them px py exp(f + g) on all that some of them use is the
    one nearest to independence.
    """
    px, py, n = problem.px, problem.py, problem.n
    reduced = problem.d - f[:, None]
    reduced -= reduced.min(axis=0)
    x, y = np.nonzero(reduced <= 1e-11)
    used_x, used_y = np.nonzero(plan > 0)
    # Mass moves round cycles: over a tight entry forwards, back over one that has mass.
    start, stop = np.concatenate([x, n + used_y]), np.concatenate([n + y, used_x])
    moves = csr_array((np.ones(len(start)), (start, stop)), (n + problem.m, n + problem.m))
    _, component = connected_components(moves, connection="strong")
    inside = component[x] == component[n + y]
    if inside.sum() <= len(used_x):
        return []
    away = np.ones_like(plan)
    away[x[inside], y[inside]] = 0.0
    ties = Transport(px, py, away)
    state = ties.settle(ties.evaluate(np.zeros(n), 2e-3, 0.0, 0.0), 0.0, 1e-13, most=60)
    counter.evaluations += ties.evaluations
    cost = float(np.vdot(state.P, problem.d)) - float(np.vdot(plan, problem.d))
    return [state.P] if state.error <= 1e-9 and cost <= 1e-10 else []


def _row_potentials(transport: Transport, state: State) -> FloatArray:
    """Potentials of the eliminated side: f = −ε log Σ py exp((g − d)/ε), or min(d − g) at ε = 0."""
    g, epsilon = state.f, state.epsilon
    score = g[:, None] - transport.cost
    if epsilon == 0:
        return np.asarray(-score.max(axis=0))
    top = score.max(axis=0)
    return np.asarray(-top - epsilon * np.log(transport.px @ np.exp((score - top) / epsilon)))
