"""The convex-concave procedure: feasible couplings of falling distortion, or of falling classification loss.

H(S|Y) is concave in the coupling, so its tangent at any class posteriors τ lies above it:
H(S|Y) ≤ ⟨ℓ, P⟩ with ℓ(x, y) = −Σ_s W(x, s) log τ_y(s). Each step is a rate-constrained transport with that
linear budget, and every step's coupling meets the true one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from drcopt._check import FloatArray
from drcopt.engines.base import Limits
from drcopt.engines.linear import least_cost
from drcopt.engines.transport import LEAST_EPSILON, State, Transport
from drcopt.problem import Problem

#: τ is moved this far towards the class prior, so that log τ stays finite; a tangent there is as valid.
_INSET = 1e-14


@dataclass(frozen=True, eq=False)
class Descent:
    """A coupling with the potentials and multipliers of the last convex step."""

    P: FloatArray
    f: FloatArray
    rate_multiplier: float
    classification_multiplier: float
    loss: float
    kernel_evaluations: int


def tangent(problem: Problem, P: FloatArray) -> FloatArray:
    """ℓ (n, m) at the class posteriors of P."""
    T = problem.ps_given_x.T @ P
    tau = T / np.maximum(T.sum(axis=0), 1e-300)
    tau = (1 - _INSET) * tau + _INSET * problem.ps[:, None]
    return np.asarray(-problem.ps_given_x @ np.log(np.maximum(tau, 1e-300)))


def descend(
    problem: Problem,
    cost: FloatArray,
    rate: float,
    budget: float,
    P: FloatArray,
    limits: Limits,
    *,
    multipliers: tuple[FloatArray, float, float] | None = None,
    steps: int = 200,
    tol: float = 1e-11,
) -> Descent | None:
    """min ⟨cost, P⟩ with I(P) ≤ rate and H(S|Y) ≤ budget, from the tangent at P; None if no step was feasible."""
    best: Descent | None = None
    state: State | None = None
    value, evaluations = math.inf, 0
    slack = rate >= min(problem.entropy_x, problem.entropy_y)
    for _ in range(steps):
        if limits.expired:
            break
        linear = tangent(problem, P)
        # A linear program answers where the rate is slack, and costs less than finding that out: ask it first there.
        guess = None if best is None else best.f
        plan = least_cost(problem, cost, guess, linear, budget) if slack else None
        if plan is None or problem.rate(plan[0]) > rate:
            plan = None
            transport = Transport(problem.px, problem.py, cost, linear, budget)
            state = _convex_step(transport, rate, state, multipliers)
            evaluations += transport.evaluations
            if _misses(state, rate, budget) or state.epsilon <= 2 * LEAST_EPSILON:
                # Either the tangent's budget cannot be met from here, or the rate is slack after all.
                plan = None if slack else least_cost(problem, cost, _finite(state.f), linear, budget)
                if plan is not None and problem.rate(plan[0]) > rate:
                    plan = None
                if plan is None and _misses(state, rate, budget):
                    break
        multipliers = None
        slack = plan is not None
        if plan is None:
            assert state is not None
            P, f, alpha, beta = state.P, state.f, state.epsilon, state.beta
        else:
            P, f, beta = plan
            alpha, state = 0.0, None
        now = float(np.einsum("xy,xy->", cost, P))
        best = Descent(P, f, alpha, beta, problem.classification_loss(P), evaluations)
        if value - now <= tol or limits.expired:
            break
        value = now
    return best


def _convex_step(
    transport: Transport, rate: float, last: State | None, multipliers: tuple[FloatArray, float, float] | None
) -> State:
    """Solve one tangent problem from the best start at hand, falling back on the path from large ε."""
    if last is not None:
        multipliers = (last.f, last.epsilon, last.beta)
    if multipliers is not None:
        f, epsilon, beta = multipliers
        state = transport.solve(transport.evaluate(f, max(epsilon, 1e-3), beta, rate), rate, 1e-13, steps=40)
        if not _misses(state, rate, transport.linear_budget):
            return state
    state = transport.follow(rate, 1e-9)
    if state.epsilon == 0.0:
        state = transport.evaluate(state.f, 1e-2, 0.0, rate)
    return transport.solve(state, rate, 1e-13, steps=60)


def _finite(f: FloatArray) -> FloatArray | None:
    return f if np.isfinite(f).all() else None


def _misses(state: State, rate: float, budget: float) -> bool:
    return (
        not math.isfinite(state.value)
        or state.linear > budget + 1e-9
        or state.error > 1e-7
        or state.rate > rate * (1 + 1e-7) + 1e-12
    )


def reduce_loss(
    problem: Problem, rate: float, P: FloatArray, limits: Limits, *, target: float = -math.inf, steps: int = 100
) -> Descent:
    """min H(S|Y) with I(P) ≤ rate, from the tangent at P, until it is below ``target`` or stops falling.

    P itself need not meet the marginals or the rate; failing all else the independent coupling comes back.
    """
    loss, evaluations = math.inf, 0
    best = Descent(problem.independent, np.zeros(problem.n), 0.0, 1.0, problem.entropy_s, 0)
    last: tuple[FloatArray, float] | None = None
    free = rate >= min(problem.entropy_x, problem.entropy_y)
    for _ in range(steps):
        if limits.expired:
            break
        cost = tangent(problem, P)
        plan = least_cost(problem, cost, best.f) if free else None
        if plan is not None:  # a vertex, exactly: at C = H(S|X) nothing else will do
            P, new = plan[0], problem.classification_loss(plan[0])
            if new < best.loss:
                best = Descent(P, plan[1], 0.0, 1.0, new, evaluations)
            if best.loss <= target or loss - new <= 1e-15 or limits.expired:
                break
            loss = new
            continue
        scale = max(float(np.ptp(cost)), 1e-300)
        transport = Transport(problem.px, problem.py, cost / scale)
        state = None
        if last is not None:
            state = transport.solve(
                transport.evaluate(last[0] / scale, last[1] / scale, 0.0, rate), rate, 1e-12, steps=20
            )
        if state is None or transport.miss(state, rate) > 1e-9:
            state = transport.follow(rate, 1e-12)
        last = (scale * state.f, scale * state.epsilon) if state.epsilon > 0 else None
        evaluations += transport.evaluations
        if state.error > 1e-7 or state.rate > rate * (1 + 1e-7) + 1e-12:
            break
        P = state.P
        new = problem.classification_loss(P)
        if new < best.loss:
            best = Descent(P, scale * state.f, scale * state.epsilon, 1.0, new, evaluations)
        if best.loss <= target or loss - new <= 1e-12 or limits.expired:
            break
        loss = new
    return best
