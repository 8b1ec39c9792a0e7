"""The least classification loss of many classes: multipliers of the information bottleneck, priced with many cells."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import rel_entr, xlogy

from drcopt import Problem, min_classification_loss, sources
from drcopt.bounds.posterior import whole_box
from drcopt.bounds.pricing import price
from drcopt.engines import bottleneck
from drcopt.formulations import SingleLetter
from drcopt.questions import CLASSIFICATION_LOSS


def digits(n: int) -> Problem:
    return sources.images("super-resolution", x_letters=n, y_letters=n)


def check_cells(n: int, most: int, draws: int) -> None:
    """More cells prove more, and nothing that a posterior contradicts."""
    problem = digits(n)
    f, alpha = bottleneck.multipliers(problem, 0.8), 0.8
    cost, box = np.tile(-f[:, None], problem.m), whole_box(problem)
    few, many = (price(problem, cost, alpha, 1.0, box, most=cells) for cells in (500, most))
    assert (many.lower >= few.lower - 1e-12).all() and many.lower.max() > few.lower.max()
    assert np.ptp(many.lower) == 0.0  # letters that ask for the same are priced once
    rng = np.random.default_rng(0)
    p = np.concatenate([many.p, *(rng.dirichlet(np.full(n, a), draws) for a in (0.05, 0.3, 1.0))])
    p = np.concatenate([p, 0.9 * p + 0.1 * many.p[0]])
    tau = p @ problem.ps_given_x
    values = -p @ f + alpha * rel_entr(p, problem.px).sum(axis=1) - xlogy(tau, tau).sum(axis=1)
    assert values.min() >= many.lower[0] - 1e-12


def test_more_cells_prove_more() -> None:
    check_cells(12, 4_000, 500)


def test_no_cell_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those set aside while others are cut are priced too: every class posterior lies in some cell."""
    monkeypatch.setattr("drcopt.bounds.pricing.spatial._AT_ONCE", 50)
    problem = digits(12)
    f = bottleneck.multipliers(problem, 0.8)
    one = Problem(problem.px, [1.0], problem.ps_given_x, np.zeros((12, 1)))
    cells = price(one, -f[:, None], 0.8, 1.0, whole_box(one), most=2_000).partition
    assert cells is not None and len(cells.y) > 500
    tau = np.random.default_rng(0).dirichlet(np.full(12, 0.5), 300) @ problem.ps_given_x
    inside = (tau[:, None] >= cells.low - 1e-6) & (tau[:, None] <= cells.high + 1e-6)
    assert inside.all(axis=2).any(axis=1).all()


@pytest.mark.slow
def test_many_cells() -> None:
    check_cells(20, 60_000, 100_000)


def test_the_least_loss_of_ten_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bottleneck, "_CELLS", 3_000)
    problem, R = digits(12), 1.0
    answer = min_classification_loss(problem, R=R)
    assert answer.rate <= R + 1e-12
    assert answer.lower_bound <= answer.classification_loss
    assert answer.lower_bound > problem.entropy_s / math.log(2) - R + 0.01  # more than data processing


def test_it_is_for_many_classes_and_no_limit_on_d() -> None:
    """Elsewhere a search over boxes has something to do."""
    problem = digits(12)
    standard, _ = problem.standardised()
    best = bottleneck.Descent(problem.independent, np.append(np.zeros(12), [0.0, 0.8, 1.0]), 0.0, 1)
    wide = SingleLetter(standard, 0.5, math.inf, objective=CLASSIFICATION_LOSS)
    limited = SingleLetter(standard, 0.5, math.inf, distortion_budget=0.01, objective=CLASSIFICATION_LOSS)
    leaf = bottleneck.root(wide, best)
    assert leaf is not None and leaf.distortion == 0.0 and leaf.cells
    assert bottleneck.root(SingleLetter(standard, 0.5, 1.0), best) is None
    assert bottleneck.root(limited, best) is None
    small = SingleLetter(digits(8).standardised()[0], 0.5, math.inf, objective=CLASSIFICATION_LOSS)
    assert bottleneck.root(small, best) is None
    assert bottleneck.root(wide, None) is None
