"""The least over all maps from letters of X to letters of Y, set by set."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from drcopt.checker.balls import min_plus
from drcopt.checker.problem import Problem


def least_of_all(p: Problem, linear: Any, alpha: float, gamma: Any, actions: Any) -> float:
    """The least Σ_x linear(x, f(x)) + α H(f(X)) + Σ_y γ_y loss over maps f, in doubles.

    The loss of the letters sent to y is P(f = y) H(S|f = y), or the least cost of the ``actions``
    left to y: what they cost, (n, A), and which are left, (m, A).
    """
    cells, losses = of_sets(linear), p.tables[1] if actions is None else 0.0
    if actions is not None:
        costs = of_sets(actions[0])
        losses = np.array([costs[left].min(axis=0) for left in actions[1]])
    cells += alpha * p.tables[0] + gamma[:, None] * losses
    rest = reduce(min_plus, [row[None] for row in cells[1:-1]], cells[:1])[0, ::-1]
    return float((rest + cells[-1]).min() if p.m > 1 else cells[0, -1])


def of_sets(costs: Any) -> Any:
    """The sums of rows (n, ·) over every set of letters, (·, 2ⁿ)."""
    start = np.zeros((costs.shape[1], 1))
    return reduce(lambda c, row: np.concatenate([c, c + row[:, None]], axis=1), costs, start)
