"""Optimal transport as a linear program, by HiGHS."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array, issparse

from drcopt.problem import Problem
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Entries of a program that is solved before anyone would miss Ctrl-C.
_LIGHT = 20_000
#: What exceeding a linear budget costs, in ranges of the cost per unit, while entries are missing.
_PRICE = 1e4


def solved(cost: FloatArray, *, method: str = "highs", **program: Any) -> Any:
    """scipy's ``linprog`` with the clock's deadline; None at the deadline, or if HiGHS gives up.

    Keywords as there. Large programs run aside, because HiGHS does not hear Ctrl-C.
    """
    options = dict(program.pop("options", {}))
    sides = [A for A in (program.get("A_eq"), program.get("A_ub")) if A is not None]
    entries = sum(A.nnz if issparse(A) else np.size(A) for A in sides)

    def run(given_up: object = None) -> Any:
        return linprog(cost, bounds=(0, None), method=method, options=options, **program)

    if entries <= _LIGHT:
        answer = run()
    else:
        if clock.remaining() < math.inf:
            options["time_limit"] = clock.remaining()
        answer = clock.aside(run)
    return answer if answer is not None and answer.status == 0 and answer.x is not None else None


def optimal_transport(problem: Problem, guess: FloatArray | None = None) -> tuple[FloatArray, FloatArray] | None:
    """An optimal plan of shape (n, m) and row potentials f of shape (n,), by HiGHS; None if it gives up."""
    answer = least_cost(problem, problem.d, guess)
    return None if answer is None else answer[:2]


def least_cost(
    problem: Problem,
    cost: FloatArray,
    guess: FloatArray | None = None,
    linear: FloatArray | None = None,
    budget: float = math.inf,
) -> tuple[FloatArray, FloatArray, float] | None:
    """min ⟨cost, P⟩ over couplings P with ⟨linear, P⟩ ≤ budget: (P, f, β), by HiGHS; None if there is none to be had.

    Few entries of a plan are positive, so the program starts from the entries of small reduced cost at ``guess``
    (row potentials that are nearly optimal) and takes in those that turn out to be missing.
    """
    if clock.expired():
        return None
    if budget == math.inf:
        linear = None
    n, m = cost.shape
    f = np.zeros(n) if guess is None else guess
    use = _corner_rule(problem)
    few = 8 if n * m > 1024 else max(n, m)
    whole = few >= max(n, m)
    for rows in (cost,) if linear is None or whole else (cost, linear):
        reduced = _reduced_costs(rows, f)
        np.put_along_axis(use, _least(reduced, few, 1), True, axis=1)
        np.put_along_axis(use, _least(reduced, few, 0), True, axis=0)
    # Entries that the budget needs may be among the missing ones: until they are in, it can be exceeded at a price.
    price = _PRICE * max(float(np.ptp(cost)), 1e-300)
    spare = linear is not None and not whole
    b, beta = np.concatenate([problem.px, problem.py]), 0.0
    for _ in range(100):
        x, y = np.nonzero(use)
        columns = np.arange(len(x))
        A = csr_array(
            (np.ones(2 * len(x)), (np.concatenate([x, n + y]), np.concatenate([columns, columns]))),
            (n + m, len(x) + spare),
        )
        row = None if linear is None else np.append(linear[x, y], [-1.0] * spare)[None]
        answer = _run(np.append(cost[x, y], [price] * spare), A, b, row, budget)
        if answer is None:
            return None
        f = np.asarray(answer.eqlin.marginals[:n])
        beta = 0.0 if row is None else max(0.0, -float(answer.ineqlin.marginals[0]))
        missing = cost - f[:, None] - answer.eqlin.marginals[n:]
        if linear is not None:
            missing += beta * linear
        missing[use] = 0.0
        worst = np.argsort(missing, axis=None)[: 5 * (n + m)]
        worst = worst[missing.ravel()[worst] < -1e-12]
        if not len(worst):
            break
        use.flat[worst] = True
    if spare and answer.x[-1] > 1e-9:
        return None
    plan = np.zeros((n, m))
    plan[x, y] = np.maximum(answer.x[: len(x)], 0.0)
    return plan, f, beta


def _run(cost: FloatArray, A: csr_array, b: FloatArray, row: FloatArray | None, budget: float) -> Any:
    """Tight tolerances first; atoms of 1e-12 can make those fail."""
    limit = None if row is None else [budget]
    for options in ({"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}, {"presolve": False}):
        answer = solved(cost, A_ub=row, b_ub=limit, A_eq=A, b_eq=b, options=options)
        if answer is not None:
            return answer
    return None


def _reduced_costs(d: FloatArray, f: FloatArray) -> FloatArray:
    rest = d - f[:, None]
    return np.asarray(rest - rest.min(axis=0))


def _least(values: FloatArray, count: int, axis: int) -> np.ndarray:
    """Indices of the least ``count`` along an axis."""
    if count >= values.shape[axis]:
        return np.argsort(values, axis=axis)
    return np.take(np.argpartition(values, count - 1, axis=axis), np.arange(count), axis=axis)


def _corner_rule(problem: Problem) -> np.ndarray:
    """The support of the north-west corner plan: with it the program is feasible."""
    use = np.zeros((problem.n, problem.m), dtype=bool)
    supply, demand = problem.px.copy(), problem.py.copy()
    x = y = 0
    while x < problem.n and y < problem.m:
        use[x, y] = True
        moved = min(supply[x], demand[y])
        supply[x] -= moved
        demand[y] -= moved
        if supply[x] <= demand[y]:
            x += 1
        else:
            y += 1
    return use
