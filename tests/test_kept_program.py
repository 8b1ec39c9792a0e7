"""The linear program that HiGHS keeps: after every addition of columns what a fresh one says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import linprog

from drcopt.engines.columns import Columns, Master
from drcopt.engines.kept import KeptProgram
from drcopt.support import clock


def test_goes_on_from_where_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    p, q = 4, 3
    targets, limits = np.full(p, 0.25), np.full(q, 0.4)
    program = KeptProgram(np.append(targets, np.full(q, -math.inf)), np.append(targets, limits))
    costs, columns = np.full(p, 2.0), np.eye(p, p + q)
    program.add(costs, columns)
    for _ in range(6):
        new, dear = np.hstack([rng.dirichlet(np.ones(p), size=5), rng.random((5, q))]), rng.random(5)
        program.add(dear, new)
        costs, columns = np.append(costs, dear), np.vstack([columns, new])
        solved = program.solve()
        fresh = linprog(costs, columns[:, p:].T, limits, columns[:, :p].T, targets, method="highs")
        assert solved is not None and solved.value == pytest.approx(fresh.fun, abs=1e-9)
        assert np.abs(columns[:, :p].T @ solved.weights - targets).max() < 1e-9
        assert (costs - columns @ solved.duals).min() > -1e-9
    assert capfd.readouterr().out == ""  # what solvers say in passing would spoil a table on stdout


def test_no_time() -> None:
    program = KeptProgram(np.ones(1), np.ones(1))
    program.add(np.ones(2), np.ones((2, 1)))
    with clock.until(clock.now() - 1.0):
        assert program.solve() is None


def test_a_budget_without_a_limit_is_no_row() -> None:
    master = Master(np.ones(1), np.array([math.inf, 0.5]))
    master.add(Columns(np.array([0.0, 1.0]), np.ones((2, 1)), np.array([[9.0, 1.0], [9.0, 0.0]]), [0, 1]))
    point = master.solve()
    assert point.weights.tolist() == pytest.approx([0.5, 0.5]) and point.duals.budgets.tolist() == pytest.approx([0, 1])
