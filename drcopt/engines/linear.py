"""Optimal transport as a linear program, for HiGHS."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array, eye_array, kron, vstack

from drcopt._check import FloatArray
from drcopt.problem import Problem


def transport_rows(n: int, m: int) -> csr_array:
    """The n + m equations P1 = px, Pᵀ1 = py on P.ravel()."""
    return vstack([kron(eye_array(n), np.ones((1, m))), kron(np.ones((1, n)), eye_array(m))], format="csr")


def optimal_transport(problem: Problem) -> tuple[FloatArray, FloatArray]:
    """An optimal plan of shape (n, m) and row potentials f of shape (n,), by HiGHS."""
    n, m = problem.n, problem.m
    answer = linprog(
        problem.d.ravel(),
        A_eq=transport_rows(n, m),
        b_eq=np.concatenate([problem.px, problem.py]),
        bounds=(0, None),
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if answer.x is None:
        return problem.independent.copy(), np.zeros(n)
    return np.maximum(answer.x.reshape(n, m), 0.0), np.asarray(answer.eqlin.marginals[:n])
