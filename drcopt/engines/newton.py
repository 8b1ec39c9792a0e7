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
from drcopt.engines.transport import State, Transport
from drcopt.formulations import Formulation, Part
from drcopt.problem import Problem

#: Points of a sweep that the next one is extrapolated from.
_HISTORY = 4
#: Where the path is left for the linear program, for a cost of range 1.
_FLOOR = 3e-4


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

    def propose(self, formulation: Formulation, limits: Limits, warm: Any = None) -> Proposal:
        """See :class:`drcopt.engines.base.Engine`."""
        problem = formulation.problem
        flipped = problem.n > problem.m
        transport = (
            Transport(problem.py, problem.px, problem.d.T) if flipped else Transport(problem.px, problem.py, problem.d)
        )
        tol = min(limits.tol * 1e-3, 1e-11)
        rate = formulation.rate_budget
        stats: dict[str, Any] = {}
        most = min(problem.entropy_x, problem.entropy_y)
        end = self._end_of(problem) if rate >= most else self._end
        if end is not None and end.problem is problem and rate >= min(end.rate, most):
            return self._slack(end, stats)
        start = _extrapolate(transport, rate, warm)
        state = transport.solve(start, rate, tol, steps=15) if start is not None else None
        if state is None or transport.miss(state, rate) > 50 * tol:
            state = transport.follow(rate, tol, floor=_FLOOR)
        slack = state.epsilon == 0.0
        if slack or state.epsilon * (rate - state.rate) > tol:
            end = self._end_of(problem)
            if end is not None and rate >= end.rate:
                return self._slack(end, stats | {"kernel_evaluations": transport.evaluations})
            # Among ties the linear program picks a corner; the path goes on to the plan of least information.
            state = state if slack else transport.follow(rate, tol, state)
            slack = state.epsilon * (rate - state.rate) > tol or state.epsilon == 0.0
        stats["kernel_evaluations"] = transport.evaluations
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
            stats=stats,
            warm=_remember(state, rate, warm) if state.epsilon > 0 else warm,
        )

    def _end_of(self, problem: Problem) -> _End | None:
        """The optimal-transport end of the curve, the same whichever rate asked for it; None if HiGHS gives up."""
        if self._end is None or self._end.problem is not problem:
            guess = None
            if problem.n * problem.m > 256:
                transport = Transport(problem.px, problem.py, problem.d)
                guess = transport.follow(2.0 * min(problem.entropy_x, problem.entropy_y), 1e-9, floor=_FLOOR).f
            answer = optimal_transport(problem, guess)
            if answer is None:
                return None
            self._end = _End(problem, *answer, problem.rate(answer[0]))
        return self._end

    def _slack(self, end: _End, stats: dict[str, Any]) -> Proposal:
        return Proposal(
            parts=[Part(1.0, end.plan)],
            evidence=PosteriorTree(Leaf(end.f, 0.0, 0.0)),
            termination="the rate budget is slack: optimal transport, a linear program solved by HiGHS",
            rate_multiplier=0.0,
            classification_multiplier=0.0,
            stats={"kernel_evaluations": 0} | stats,
        )


def _row_potentials(transport: Transport, state: State) -> FloatArray:
    """Potentials of the eliminated side: f = −ε log Σ py exp((g − d)/ε), or min(d − g) at ε = 0."""
    g, epsilon = state.f, state.epsilon
    score = g[:, None] - transport.cost
    if epsilon == 0:
        return np.asarray(-score.max(axis=0))
    top = score.max(axis=0)
    return np.asarray(-top - epsilon * np.log(transport.px @ np.exp((score - top) / epsilon)))


def _remember(state: State, rate: float, warm: Any) -> dict[str, FloatArray]:
    new = {
        "rates": np.array([rate]),
        "potentials": state.f[None, :],
        "log_epsilon": np.array([math.log(state.epsilon)]),
    }
    if warm is None or warm["potentials"].shape[1] != len(state.f):
        return new
    return {key: np.concatenate([warm[key], value])[-_HISTORY:] for key, value in new.items()}


def _extrapolate(transport: Transport, rate: float, warm: Any) -> State | None:
    """The polynomial in log R through the last points, evaluated at the next rate."""
    if warm is None or warm["potentials"].shape[1] != len(transport.px):
        return None
    x, at = np.log(warm["rates"]), math.log(rate)
    # Only points that are not far away compared with the step say anything about the next one.
    weights = [np.prod([(at - b) / (a - b) for b in x if b != a]) for a in x]
    if len(set(x)) < len(x) or np.abs(weights).max() > 50:
        x, weights = x[-1:], [1.0]
    used = slice(-len(x), None)
    f = np.asarray(weights) @ warm["potentials"][used]
    log_epsilon = float(np.asarray(weights) @ warm["log_epsilon"][used])
    return transport.evaluate(f, math.exp(log_epsilon), 0.0, rate)
