"""The convex-concave procedure: feasible couplings of falling distortion, or of falling classification loss.

H(S|Y) is concave in the coupling, so its tangent at any class posteriors τ lies above it:
H(S|Y) ≤ ⟨ℓ, P⟩ with ℓ(x, y) = −Σ_s W(x, s) log τ_y(s). Each step is a rate-constrained transport with that
linear budget, and every step's coupling meets the true one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from drcopt.engines.base import Limits
from drcopt.engines.least_information import Least, least_information
from drcopt.engines.linear import least_cost
from drcopt.engines.transport import LEAST_EPSILON, State, Transport
from drcopt.problem import Problem
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: τ is moved this far towards the class prior, so that log τ stays finite; a tangent there is as valid.
_INSET = 1e-14
#: How far inside the rate, relative, points stay whose distortion is limited.
_SPARE = 1e-10


@dataclass(frozen=True, eq=False)
class Descent:
    """A coupling with its classification loss, and the potentials and multipliers z = (f, w, α, β) of the last step."""

    P: FloatArray
    z: FloatArray
    loss: float
    kernel_evaluations: int

    @classmethod
    def at(
        cls, P: FloatArray, f: FloatArray, weights: tuple[float, float, float], loss: float, evaluations: int
    ) -> Descent:
        """From the rows' potentials and the weights of distortion, rate and classification loss."""
        return cls(P, np.concatenate([f, weights]), loss, evaluations)


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
        guess = None if best is None else best.z[:-3]
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
        best = Descent.at(P, f, (1.0, alpha, beta), problem.classification_loss(P), evaluations)
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
    best = Descent.at(problem.independent, np.zeros(problem.n), (0.0, 0.0, 1.0), problem.entropy_s, 0)
    last: tuple[FloatArray, float] | None = None
    free = rate >= min(problem.entropy_x, problem.entropy_y)
    for _ in range(steps):
        if limits.expired:
            break
        cost = tangent(problem, P)
        plan = least_cost(problem, cost, best.z[:-3]) if free else None
        if plan is not None:  # a vertex, exactly: at C = H(S|X) nothing else will do
            P, new = plan[0], problem.classification_loss(plan[0])
            if new < best.loss:
                best = Descent.at(P, plan[1], (0.0, 0.0, 1.0), new, evaluations)
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
            best = Descent.at(P, scale * state.f, (0.0, scale * state.epsilon, 1.0), new, evaluations)
        if best.loss <= target or loss - new <= 1e-12 or limits.expired:
            break
        loss = new
    return best


def reduce_loss_within(
    problem: Problem,
    rate: float,
    distortion: float,
    P: FloatArray,
    limits: Limits,
    *,
    target: float = -math.inf,
    steps: int = 100,
    tol: float = 1e-12,
) -> Descent | None:
    """:func:`reduce_loss` with E d ≤ distortion besides; None if no step was feasible.

    The least information within E d ≤ distortion and ⟨ℓ, P⟩ ≤ c is convex in c, and its multiplier is the slope:
    Newton's method finds the c that the rate allows.
    """
    best: Descent | None = None
    last = math.inf
    found: Least | None = None
    aim = min(rate, problem.entropy_x, problem.entropy_y) * (1.0 - 2 * _SPARE)
    for _ in range(steps):
        linear = tangent(problem, P)
        # Where the rate is slack there is no such c, and multipliers that run away from one: a linear program first.
        plan = least_cost(problem, linear, None if best is None else best.z[:-3], problem.d, distortion)
        if plan is not None and problem.rate(plan[0]) <= aim:
            P, f, weights = plan[0], plan[1], (plan[2], 0.0, 1.0)
        else:
            # The last coupling is one that meets the limits; where that start fails, as its own rounding may have it,
            # anew.
            found = _least_linear(problem, linear, rate, distortion, found) or _least_linear(
                problem, linear, rate, distortion
            )
            if found is None:
                break
            scale = max(float(found.v[1]), 1e-300)
            P, f, weights = found.P, found.f / scale, (float(found.v[0]) / scale, 1.0 / scale, 1.0)
        new = problem.classification_loss(P)
        if best is None or new < best.loss:
            best = Descent.at(P, f, weights, new, 0)
        if new <= target or last - new <= tol or limits.expired:
            break
        last = new
    return best


def _least_linear(
    problem: Problem, linear: FloatArray, rate: float, distortion: float, near: Least | None = None
) -> Least | None:
    """min ⟨linear, P⟩ with I(P) ≤ rate and E d ≤ distortion, from a point that meets them; None if nothing does."""
    most = min(problem.entropy_x, problem.entropy_y)
    aim = min(rate, most) * (1.0 - 2 * _SPARE)  # mixing with independence, which a rate overspent asks for, costs E d
    forms = np.stack([problem.d, linear])
    start: tuple[FloatArray, FloatArray] | None = None
    found: Least | None = None
    low, level, high = problem.entropy_s_given_x, float(linear.max()), math.inf
    if near is not None:
        start, level = (near.f, near.v), float(np.vdot(linear, near.P))
    for _ in range(60):
        if clock.expired():
            break
        levels = np.array([distortion, level])
        trial = least_information(problem.px, problem.py, forms, levels, start, most=most)
        guess = math.nan
        if trial is None or trial.miss > 1e-9:
            low = level
        else:
            spent, slope, reached = problem.rate(trial.P), float(trial.v[1]), level + float(trial.over[1])
            if slope > 0:
                start = trial.f, trial.v
                guess = reached + (spent - aim) / slope
            if spent <= aim * (1.0 + _SPARE):
                found, high = trial, reached
                if spent >= aim * (1.0 - _SPARE):
                    break
            else:
                low = max(low, level)
        if found is None or high - low <= 1e-13:
            break  # even with the linear form free, or as close as can be told
        level = guess if low < guess < high else 0.5 * (low + high)
    return found


def lower_rate(
    problem: Problem,
    distortion: float,
    budget: float,
    P: FloatArray,
    limits: Limits,
    *,
    steps: int = 100,
    tol: float = 1e-12,
) -> Descent | None:
    """min I(P) with E d ≤ distortion and H(S|Y) ≤ budget, from the tangent at P; None if no step was feasible."""
    most = min(problem.entropy_x, problem.entropy_y)
    levels = np.array([min(distortion, float(problem.d.max())), budget])
    best: Descent | None = None
    start: tuple[FloatArray, FloatArray] | None = None
    value, restored = math.inf, False
    for _ in range(steps):
        forms = np.stack([problem.d, tangent(problem, P)])
        found = least_information(problem.px, problem.py, forms, levels, start, most=most)
        if found is None or found.miss > 1e-9:
            if best is not None or restored or limits.expired:
                break
            # The tangent's limit cannot be met from here: begin where the loss is low.
            restored = True
            lower = reduce_loss_within(problem, math.inf, distortion, P, limits, target=budget)
            if lower is None:
                break
            P = lower.P
            continue
        P, start, now = found.P, (found.f, found.v), problem.rate(found.P)
        best = Descent.at(P, found.f, (float(found.v[0]), 1.0, float(found.v[1])), problem.classification_loss(P), 0)
        if value - now <= tol or limits.expired:
            break
        value = now
    return best
