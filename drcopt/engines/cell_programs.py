"""The linear program behind :mod:`drcopt.bounds.cells`, by generating cells.

min Σ w(y, A) cost(y, A)   subject to   Σ_y Σ_{A∋x} w(y, A) = 1 for every x,   Σ_A w(y, A) = 1 and
Σ_A w(y, A) px(A) = py(y) for every y, and the budgets on rate η(px(A)) and loss L(A).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from drcopt.bounds.cells import CellDual, CellPricing
from drcopt.engines.base import INTERRUPTED, Limits
from drcopt.engines.columns import Columns, Duals, Master, Priced, generate
from drcopt.formulations import Question
from drcopt.questions import QUANTITIES
from drcopt.support.check import FloatArray


@dataclass(frozen=True, eq=False)
class CellPoint:
    """The relaxation's evidence, its bound, the coupling (n, m) of its solution, and whether Ctrl-C cut it short."""

    evidence: CellDual
    bound: float
    coupling: FloatArray
    interrupted: bool


def cell_bound(question: Question, maps: NDArray[np.int64], limits: Limits) -> CellPoint:
    """Bound what a one-shot question minimises, by the weaker program over cells.

    The program starts from the cells of ``maps``, shape (count, n).
    """
    problem, objective = question.problem, question.objective
    n, m = problem.n, problem.m
    pricing = CellPricing(problem)
    costs = problem.px[:, None] * problem.d
    others = [q.place for q in QUANTITIES if q is not objective]

    def columns(letters: NDArray[np.int64], sets: NDArray[np.bool_]) -> Columns:
        covered = sets * problem.px
        mass = covered.sum(axis=1)
        joint = sets @ (problem.px[:, None] * problem.ps_given_x)
        rates = entr(np.minimum(mass, 1.0))
        losses = entr(joint).sum(axis=1) - entr(mass)
        values = np.column_stack([(costs.T[letters] * sets).sum(axis=1), rates, losses])
        unit = np.eye(m)[letters]
        return Columns(
            values[:, objective.place],
            np.hstack([covered, unit, unit * mass[:, None]]),
            values[:, others],
            [(int(y), chosen.tobytes()) for y, chosen in zip(letters, sets, strict=True)],
        )

    def weights(duals: Duals) -> list[float]:
        full = np.ones(3)
        full[others] = duals.budgets
        return [float(v) for v in full]

    def oracle(duals: Duals) -> Priced:
        f, nu = duals.equality[:n], duals.equality[n + m :]
        w, alpha, gamma = weights(duals)
        cost = problem.px[:, None] * (w * problem.d - f[:, None] - nu)
        least, sets = pricing.least(cost, alpha, gamma)
        paid = [-mu * b for mu, b in zip(duals.budgets, budgets, strict=True) if mu > 0]
        bound = math.fsum([float(f @ problem.px), float(nu @ problem.py), *paid, *least])
        return Priced(bound, columns(np.arange(m), sets))

    unlimited = np.array(question.budgets) >= np.array(question.most)
    budgets = np.where(unlimited, math.inf, question.budgets)[others]
    # Each letter with all of X or nothing: independence, at no rate.
    master = Master(np.concatenate([problem.px, np.ones(m), problem.py]), budgets)
    letters = np.arange(m)
    master.add(columns(letters, np.ones((m, n), dtype=bool)))
    master.add(columns(letters, np.zeros((m, n), dtype=bool)))
    for f in maps:
        master.add(columns(letters, f == letters[:, None]))
    ended = generate(master, oracle, tol=0.1 * limits.tol, stop=lambda: limits.expired)
    w, alpha, gamma = weights(ended.duals)
    equality = ended.duals.equality
    evidence = CellDual(equality[:n], equality[n + m :], alpha, gamma, w)
    point = ended.point
    # A column's equalities are px on its set, then the indicator of its letter.
    rows = point.columns.equalities
    coupling = (rows[:, :n] * point.weights[:, None]).T @ rows[:, n : n + m]
    return CellPoint(evidence, ended.bound, coupling, ended.reason == INTERRUPTED)
