"""Optimal transport as a linear program, for HiGHS."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array, eye_array, kron, vstack

from drcopt._check import FloatArray
from drcopt.problem import Problem


def transport_rows(n: int, m: int) -> csr_array:
    """The n + m equations P1 = px, Pᵀ1 = py on P.ravel()."""
    return vstack([kron(eye_array(n), np.ones((1, m))), kron(np.ones((1, n)), eye_array(m))], format="csr")


def optimal_transport(problem: Problem, guess: FloatArray | None = None) -> tuple[FloatArray, FloatArray] | None:
    """An optimal plan of shape (n, m) and row potentials f of shape (n,), by HiGHS; None if it gives up.

    Few entries of a plan are positive, so the program starts from the entries of small reduced cost at ``guess``
    (row potentials that are nearly optimal) and takes in those that turn out to be missing.
    """
    n, m, d = problem.n, problem.m, problem.d
    f = np.zeros(n) if guess is None else guess
    use = _corner_rule(problem)
    few = 8 if n * m > 1024 else max(n, m)
    reduced = _reduced_costs(d, f)
    np.put_along_axis(use, np.argsort(reduced, axis=1)[:, :few], True, axis=1)
    np.put_along_axis(use, np.argsort(reduced, axis=0)[:few], True, axis=0)
    for _ in range(100):
        x, y = np.nonzero(use)
        columns = np.arange(len(x))
        A = csr_array(
            (np.ones(2 * len(x)), (np.concatenate([x, n + y]), np.concatenate([columns, columns]))), (n + m, len(x))
        )
        answer = _run(d[x, y], A, np.concatenate([problem.px, problem.py]))
        if answer is None:
            return None
        f = np.asarray(answer.eqlin.marginals[:n])
        missing = d - f[:, None] - answer.eqlin.marginals[n:]
        missing[use] = 0.0
        worst = np.argsort(missing, axis=None)[: 5 * (n + m)]
        worst = worst[missing.ravel()[worst] < -1e-12]
        if not len(worst):
            break
        use.flat[worst] = True
    plan = np.zeros((n, m))
    plan[x, y] = np.maximum(answer.x, 0.0)
    return plan, f


def _run(cost: FloatArray, A: csr_array, b: FloatArray) -> Any:
    """Tight tolerances first; atoms of 1e-12 can make those fail."""
    for options in ({"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}, {"presolve": False}):
        answer = linprog(cost, A_eq=A, b_eq=b, bounds=(0, None), method="highs", options=options)
        if answer.status == 0 and answer.x is not None:
            return answer
    return None


def _reduced_costs(d: FloatArray, f: FloatArray) -> FloatArray:
    rest = d - f[:, None]
    return np.asarray(rest - rest.min(axis=0))


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
