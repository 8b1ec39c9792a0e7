"""The cone programs of :mod:`drcopt.engines.expcone` in CVXPY, compiled once and solved at many parameters.

  min c₀⟨d, P⟩ + c₁u  over P in Γ(px, py), T = WᵀP  with  Σ P log(P / px pyᵀ) ≤ t ≤ R  and  a·t + ⟨G, T⟩ ≤ u ≤ b,

and without T, u and their constraints where no classification budget is active.
"""

from __future__ import annotations

import importlib
import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from drcopt.problem import Problem

#: SCS's status when SIGINT, whose handler it replaces, ended its loop.
_SCS_INTERRUPTED = -5


@dataclass(frozen=True, eq=False)
class Answer:
    """What a solver said, unchecked: any of it may be None, NaN, of the wrong shape, or wrong."""

    status: str
    coupling: Any = None
    rows: Any = None
    rate: Any = None
    classification: Any = None
    iterations: Any = None


class Program:
    """A parametrised program, compiled once; R, G, a, b, c₀, c₁ are set before each solve."""

    def __init__(self, problem: Problem, solver: str, *, classification: bool) -> None:
        started = time.monotonic()
        cp = importlib.import_module("cvxpy")
        n, m, k = problem.n, problem.m, problem.k
        P, t = cp.Variable((n, m)), cp.Variable()
        R = cp.Parameter()
        # A product of two tiny atoms may underflow; where P has no mass to speak of any floor will do.
        independent = np.maximum(problem.independent, 1e-40)
        self.rows = cp.sum(P, axis=1) == problem.px
        self.information = cp.sum(cp.rel_entr(P, independent)) <= t
        constraints = [self.rows, cp.sum(P, axis=0) == problem.py, self.information, t <= R]
        objective = cp.sum(cp.multiply(problem.d, P))
        self.parameters = {"R": R}
        self.cut: Any = None
        if classification:
            # G on T, not on P: n·m parameter entries take CVXPY a minute to compile at 128 letters.
            T, u = cp.Variable((k, m)), cp.Variable()
            G, a, b = cp.Parameter((k, m)), cp.Parameter(nonneg=True), cp.Parameter()
            c0, c1 = cp.Parameter(nonneg=True), cp.Parameter(nonneg=True)
            self.cut = a * t + cp.sum(cp.multiply(G, T)) <= u
            constraints += [problem.ps_given_x.T @ P == T, self.cut, u <= b]
            objective = c0 * objective + c1 * u
            self.parameters |= {"G": G, "a": a, "b": b, "c0": c0, "c1": c1}
        self.coupling, self.solver = P, solver
        self.problem = cp.Problem(cp.Minimize(objective), constraints)
        if not self.problem.is_dcp(dpp=True):
            raise AssertionError("the program is not DPP: every solve would compile it anew")
        # The newest of CVXPY's compilers is ten times faster on many parameters; older releases lack it.
        backend = getattr(cp.settings, "COO_CANON_BACKEND", None)
        self.options = {"solver": solver.upper()} | ({"canon_backend": backend} if backend else {})
        for parameter in self.parameters.values():
            parameter.value = np.ones(parameter.shape)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.problem.get_problem_data(**self.options)
        self.compile_seconds = time.monotonic() - started

    def set(self, **values: Any) -> None:
        """Assign parameters by name."""
        for name, value in values.items():
            self.parameters[name].value = value

    def solve(self, **settings: Any) -> None:
        """Solve with the parameters as they are. What SCS makes of Ctrl-C, one more failure, is an interrupt."""
        data, chain, inverse = self.problem.get_problem_data(**self.options, solver_opts=settings)
        # A warm start would make answers depend on what was asked before (and saved SCS nothing).
        raw = chain.solve_via_data(self.problem, data, warm_start=False, verbose=False, solver_opts=settings)
        if self.solver == "scs" and raw["info"]["status_val"] == _SCS_INTERRUPTED:
            raise KeyboardInterrupt
        self.problem.unpack_results(raw, chain, inverse)

    def answer(self) -> Answer:
        """The solver's claims after :meth:`solve`."""
        rows = self.rows.dual_value
        return Answer(
            str(self.problem.status),
            self.coupling.value,
            None if rows is None else -rows,  # CVXPY adds dual·(left − right) to the Lagrangian
            self.information.dual_value,
            0.0 if self.cut is None else self.cut.dual_value,
            getattr(self.problem.solver_stats, "num_iters", None),
        )
