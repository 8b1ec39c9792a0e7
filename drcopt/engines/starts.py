"""Where descents start: couplings from all over the transport polytope, and jumps out of where a descent ended.

H(S|Y) is concave, so a convex-concave descent ends in whatever corner its start leads to; one start finds the best
corner in some problems and one twice as bad in others. Everything here is seeded: a question has the same starts
whenever it is asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.special import xlogy

from drcopt.coupling import round_onto_marginals
from drcopt.engines.base import Limits
from drcopt.engines.descent import Descent, reduce_loss, reduce_loss_within, tangent
from drcopt.engines.linear import optimal_transport
from drcopt.engines.transport import Transport
from drcopt.problem import Problem
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Concentrations of the random posteriors p(y|x): from nearly deterministic to spread out.
_CONCENTRATIONS = (0.1, 0.3, 1.0)
#: How much of a random coupling is mixed into one of small E d: a little decides which way a tie goes.
_SHARES = (0.05, 0.2, 0.5)
#: Descents for a small loss, and what is a tie between two losses (nats).
_TRIES, _TIE = 7, 1e-12
#: The ends of exchanges whose rate is looked at for one jump.
_LOOKS = 5
#: Exchanges of pairs of letters beyond which listing them all takes too long, and too much memory.
_MOST_EXCHANGES = 5e6


def guesses(problem: Problem, rate: float, near: FloatArray, seed: int = 0) -> Iterator[FloatArray]:
    """Endlessly many joint pmfs (n, m) to descend from; they need meet neither py nor a budget.

    In turn: ``near``, a coupling of small E d, with something random mixed in; random posteriors; and couplings of
    little a·E d + b·I + H(S|Y) for random a and b, which lie near what is wanted, but fewer corners are reached from
    them.
    """
    rng = np.random.default_rng(seed)
    slack = rate >= min(problem.entropy_x, problem.entropy_y)
    i = 0
    while True:
        concentration = _CONCENTRATIONS[i // 3 % len(_CONCENTRATIONS)]
        guess = rng.dirichlet(np.full(problem.m, concentration), size=problem.n) * problem.px[:, None]
        if i % 3 == 0:
            share = _SHARES[i // 3 % len(_SHARES)]
            guess = (1 - share) * near + share * guess
        elif i % 3 == 2:
            a, b = 2.0 * rng.random(), 0.0 if slack else 0.3 * rng.random()
            guess = descend_penalised(problem, a * problem.d, b, 1.0, guess, steps=int(rng.integers(1, 5)))
        i += 1
        yield guess


def lowest_loss(
    problem: Problem,
    rate: float,
    near: FloatArray,
    limits: Limits,
    *,
    distortion: float = math.inf,
    target: float = -math.inf,
) -> Descent | None:
    """The best of a few descents of H(S|Y); of two that tie, the one of less E d. It ends at ``target``.

    They start from ``near``, from couplings near it, and from random posteriors.
    """
    rng = np.random.default_rng(0)
    best: Descent | None = None
    for i in range(_TRIES):
        guess = near
        if i > 0:
            guess = rng.dirichlet(np.full(problem.m, 0.3), size=problem.n) * problem.px[:, None]
            share = 1.0 if i % 2 else _SHARES[i // 2 % len(_SHARES) - 1]
            guess = (1 - share) * near + share * guess
        found = lowered(problem, rate, distortion, guess, limits, target)
        if found is not None and (best is None or lower(problem, found, best)):
            best = found
        if (best is not None and best.loss <= target) or limits.expired:
            break
    return best


def lowered(
    problem: Problem, rate: float, distortion: float, P: FloatArray, limits: Limits, target: float
) -> Descent | None:
    """A descent of H(S|Y) from P within I ≤ rate and E d ≤ distortion (inf: no limit)."""
    if distortion == math.inf:
        return reduce_loss(problem, rate, P, limits, target=target)
    return reduce_loss_within(problem, rate, distortion, P, limits, target=target)


def lower(problem: Problem, one: Descent, other: Descent) -> bool:
    """Whether a coupling has the smaller loss or, where the two tie, the smaller distortion."""
    if abs(one.loss - other.loss) > _TIE:
        return one.loss < other.loss
    return problem.distortion(one.P) < problem.distortion(other.P)


def penalised(problem: Problem, d: FloatArray, alpha: float, beta: float, P: FloatArray) -> float:
    """E d + αI(X;Y) + βH(S|Y)."""
    return float((d * P).sum()) + alpha * problem.rate(P) + beta * problem.classification_loss(P)


def descend_penalised(
    problem: Problem, d: FloatArray, alpha: float, beta: float, P: FloatArray, steps: int = 60
) -> FloatArray:
    """Convex-concave steps on E d + αI + βH: each solves a transport problem with the tangent of H."""
    value, f = np.inf, d @ problem.py
    for _ in range(steps):
        if clock.expired():
            break
        cost = d + beta * tangent(problem, P)
        if alpha > 0:
            transport = Transport(problem.px, problem.py, cost)
            state = transport.settle(transport.evaluate(f, alpha, 0.0, 0.0), 0.0)
            trial, f = round_onto_marginals(state.P, problem.px, problem.py), state.f
        else:
            answer = optimal_transport(Problem(problem.px, problem.py, problem.ps_given_x, cost - cost.min()))
            trial = P if answer is None else round_onto_marginals(answer[0], problem.px, problem.py)
        now = penalised(problem, d, alpha, beta, trial)
        if value - now <= 1e-12:
            return trial if now < value else P
        P, value = trial, now
    return P


def jump(problem: Problem, rate: float, budget: float, P: FloatArray) -> FloatArray | None:
    """A coupling within the budgets and of less E d, across what a descent from P cannot cross; None if none is near.

    Two letters x and x' exchange what they send to y and y' until one has no more to give. On the way H(S|Y) may
    rise above the budget, as long as it ends below: the segment's ends, not its inside, have to be met.
    """
    n, m, W, d = problem.n, problem.m, problem.ps_given_x, problem.d
    if n * n * m * m > _MOST_EXCHANGES:
        return None
    x, x2 = (v[:, None] for v in np.triu_indices(n, 1))
    y, y2 = (v[None] for v in np.nonzero(~np.eye(m, dtype=bool)))
    amount = np.minimum(P[x, y], P[x2, y2])
    change = amount * (d[x, y2] - d[x, y] + d[x2, y] - d[x2, y2])
    x, x2, y, y2 = (np.broadcast_to(v, amount.shape)[change < -1e-9] for v in (x, x2, y, y2))
    amount, change = amount[change < -1e-9], change[change < -1e-9]
    T = W.T @ P
    letter = xlogy(problem.py, problem.py) - xlogy(T, T).sum(axis=0)  # py·H(S|Y=y)
    moved = amount[:, None] * (W[x2] - W[x])
    loss = np.full(len(amount), letter.sum())
    for to, sign in ((y, 1.0), (y2, -1.0)):
        now = np.maximum(T[:, to].T + sign * moved, 0.0)
        loss += xlogy(problem.py[to], problem.py[to]) - xlogy(now, now).sum(axis=1) - letter[to]
    within = np.flatnonzero(loss <= budget)
    for i in within[np.argsort(change[within], kind="stable")][:_LOOKS]:
        Q = P.copy()
        Q[x[i], y[i]] -= amount[i]
        Q[x2[i], y2[i]] -= amount[i]
        Q[x[i], y2[i]] += amount[i]
        Q[x2[i], y[i]] += amount[i]
        if problem.rate(Q) <= rate:
            return Q
    return None
