"""Guesses of a bound by local minima: what pricing says where they begin near its minimisers, and never less."""

import numpy as np
import pytest

from benchmarks.instances import random
from drcopt.bounds.posterior import whole_box
from drcopt.bounds.pricing.local import local_minima
from drcopt.engines.cuts import Columns
from drcopt.engines.lagrangian import Lagrangian
from drcopt.engines.search import halved
from drcopt.formulations import SingleLetter


def near_the_edge() -> tuple[Lagrangian, np.ndarray]:
    """A Lagrangian with multipliers at which the inner problem is far from convex."""
    problem = random(6, 6, 4, 0)
    z = np.concatenate([problem.d @ problem.py, [1.0, 0.25, 1.1]])
    return Lagrangian.of(SingleLetter(problem, 0.7, 1.1)), z


@pytest.mark.parametrize("cut", [False, True])
def test_local_minima_are_those_of_pricing_at_other_multipliers(cut):
    lagrangian, z = near_the_edge()
    problem, n = lagrangian.problem, lagrangian.problem.n
    box = whole_box(problem)
    box = halved(halved(box, 1, 0, 0.3, 1), 2, 3, 0.2, 0) if cut else box
    _, known = lagrangian.price(z, box, 1e-8)
    other = z + 0.02 * np.random.default_rng(1).standard_normal(len(z)) * (z != 1.0)
    proved, exact = lagrangian.price(other, box, 1e-8)
    cost = problem.d - other[:n, None]
    found = local_minima(problem, cost, other[-2], other[-1], box, known.y, known.p)
    assert (found.lower >= exact.lower - 1e-12).all()
    assert np.allclose(found.lower, exact.lower, atol=1e-7)
    tau = found.p @ problem.ps_given_x
    assert (tau >= box[found.y, :, 0] - 1e-8).all() and (tau <= box[found.y, :, 1] + 1e-8).all()
    guess = lagrangian.guess(other, box, Columns.of(problem, known.y, known.p))
    assert guess is not None and proved - 1e-12 <= guess[0] <= proved + 1e-6


def test_a_part_of_a_box_is_priced_by_the_letter_that_was_cut():
    lagrangian, z = near_the_edge()
    box = whole_box(lagrangian.problem)
    _, old = lagrangian.price(z, box, 1e-9)
    part = halved(box, 3, 1, 0.25, 1)
    value, priced = lagrangian.reprice(z, part, 1e-9, old, 3)
    whole, exact = lagrangian.price(z, part, 1e-9)
    assert value == pytest.approx(whole, abs=2e-9)
    assert np.allclose(priced.lower, exact.lower, atol=2e-9)
    tau = priced.p[priced.y == 3] @ lagrangian.problem.ps_given_x
    assert (tau[:, 1] <= 0.25 + 1e-8).all()


def test_without_posteriors_of_every_letter_nothing_is_guessed():
    lagrangian, z = near_the_edge()
    problem = lagrangian.problem
    some = Columns.of(problem, np.zeros(1, dtype=np.intp), problem.px[None])
    whole = lagrangian.guess(z, None, some)  # the extremes are tried as well
    assert whole is not None and whole[0] >= lagrangian.price(z, None, 1e-8)[0] - 1e-12
    assert lagrangian.guess(np.where(np.arange(len(z)) == problem.n + 2, 0.0, z), None, some) is None  # cheap to prove
