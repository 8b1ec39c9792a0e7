"""Sequential quadratic programming from one coupling: finds points that no tangent of H(S|Y) reaches.

A convex-concave step asks for the tangent's budget, which is stronger than the true one: where both budgets bind there
may be no coupling that meets it and the rate as well, though one that meets the true budgets lies close by.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from drcopt.engines.descent import tangent
from drcopt.problem import Problem
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Entries of a coupling beyond which a step, cubic in them, is no longer cheap; and most steps.
MOST_ENTRIES, _STEPS = 64, 60
#: Where it starts from is mixed with so much of independence, at whose every entry logarithms are finite.
_INSET, _LEAST = 0.01, 1e-15
#: How far from the marginals an answer may lie.
_OFF = 1e-9
#: What counts as mass where slopes are read off a coupling, and how much of the rate, relative, as slack.
_MASS, _SLACK = 1e-7, 1e-5


def step_by_step(problem: Problem, rate: float, budget: float, P: FloatArray, steps: int = _STEPS) -> FloatArray | None:
    """A local minimum of E d with I ≤ rate and H(S|Y) ≤ budget, by SLSQP from P; None if it ends off the marginals.

    The budgets are met to the method's tolerance only.
    """
    n, m = problem.n, problem.m
    if n * m > MOST_ENTRIES or clock.expired():
        return None
    cost, independent = problem.d.ravel(), problem.independent
    # One of the n + m sums follows from the rest.
    sums = np.concatenate([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])[:-1]
    masses = np.concatenate([problem.px, problem.py])[:-1]

    def positive(v: FloatArray) -> FloatArray:
        return np.maximum(v.reshape(n, m), _LEAST)

    constraints = [
        {"type": "eq", "fun": lambda v: sums @ v - masses, "jac": lambda v: sums},
        {
            "type": "ineq",
            "fun": lambda v: rate - problem.rate(positive(v)),
            "jac": lambda v: -np.log(positive(v) / independent).ravel(),
        },
        {
            "type": "ineq",
            "fun": lambda v: budget - problem.classification_loss(positive(v)),
            "jac": lambda v: -tangent(problem, positive(v)).ravel(),
        },
    ]
    answer = minimize(
        lambda v: cost @ v,
        ((1 - _INSET) * P + _INSET * independent).ravel(),
        jac=lambda v: cost,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * (n * m),
        constraints=constraints,
        options={"maxiter": steps, "ftol": 1e-10},
    )
    Q = np.maximum(answer.x.reshape(n, m), 0.0)
    off = max(np.abs(Q.sum(axis=1) - problem.px).max(), np.abs(Q.sum(axis=0) - problem.py).max())
    return Q if off <= _OFF else None


def slopes(problem: Problem, rate: float, P: FloatArray) -> FloatArray:
    """Multipliers z = (f, 1, α, β) with d + α log(P/px pyᵀ) + βℓ = f + g where P has mass, by least squares.

    α = 0 where the rate is slack.
    """
    x, y = np.nonzero(P > _MASS)
    forms = [-np.log(P / problem.independent, where=P > 0, out=np.zeros_like(P)), -tangent(problem, P)]
    rows = np.column_stack([np.eye(problem.n)[x], np.eye(problem.m)[y], *(form[x, y] for form in forms)])
    free = np.ones(rows.shape[1], dtype=bool)
    free[-2] = problem.rate(P) > rate * (1 - _SLACK)
    while True:
        v = np.zeros(len(free))
        v[free] = np.linalg.lstsq(rows[:, free], problem.d[x, y], rcond=None)[0]
        if v[-2:].min() >= 0:
            return np.concatenate([v[: problem.n], [1.0], v[-2:]])
        free[len(v) - 2 + int(v[-2:].argmin())] = False
