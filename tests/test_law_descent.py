"""Descents where Y's law is free or near a target, in larger couplings: their programs, and what they end with."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from drcopt import Problem
from drcopt.engines.base import Limits
from drcopt.engines.law_cones import LawCones
from drcopt.engines.law_descent import LawDescent
from drcopt.engines.law_points import LawPoints
from drcopt.engines.law_programs import Program
from drcopt.formulations import Part, SingleLetter
from drcopt.questions.output import Free, Near

KINDS = ("tv", "kl", "reverse-kl", "chi2", "reverse-chi2", "hellinger", "renyi", "wasserstein")
GROUND = np.abs(np.subtract.outer(np.arange(4.0), np.arange(4.0)))


def near(kind: str, target: np.ndarray, budget: float = 0.05, order: float = 0.7) -> Near:
    return Near(kind, target, budget, GROUND if kind == "wasserstein" else None, order)


def source(seed: int = 0, n: int = 5, m: int = 4) -> Problem:
    rng = np.random.default_rng(seed)
    px, py = rng.dirichlet(np.ones(n)), 0.8 * rng.dirichlet(np.ones(m)) + 0.2 / m
    return Problem(px, py, rng.dirichlet(np.full(2, 0.5), size=n), rng.random((n, m)))


@pytest.mark.parametrize("order", [0.7, 1.0, 2.5])
@pytest.mark.parametrize("kind", KINDS)
def test_cones_are_the_balls(kind: str, order: float) -> None:
    """Where a pair costs what its letter of Y does, the least cost is Ψ, which has a closed form."""
    if order != 0.7 and kind != "renyi":
        return
    g, px = np.array([0.3, 0.9, 0.1, 0.5]), np.array([0.6, 0.4])
    for target in (np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.5, 0.0, 0.0, 0.5])):
        ball = near(kind, target, order=order)
        P = LawCones(px, 4, ball, ball.budget).solve(np.tile(g, (2, 1)), [], [])
        assert P is not None
        assert np.vdot(g, P.sum(axis=0)) == pytest.approx(ball.least(g), abs=1e-7)
        assert P.sum(axis=1) == pytest.approx(px)


@pytest.mark.parametrize("kind", ["free", *KINDS])
@pytest.mark.parametrize("rate", [math.inf, 0.3])
def test_descents_end_where_quadratic_programs_do(kind: str, rate: float) -> None:
    """Within every limit, at local optima: quadratic programs from there find nothing better."""
    problem = source()
    laws = Free() if kind == "free" else near(kind, problem.py)
    C = problem.entropy_s - 0.4 * min(rate, 1.0) * (problem.entropy_s - problem.entropy_s_given_x)
    question = SingleLetter(problem, rate, C, laws=laws)
    start = np.random.default_rng(1).dirichlet(np.ones(4), size=5) * problem.px[:, None]
    P = LawDescent(question).run(start, Limits(1e-6))
    if kind == "wasserstein" and rate < 1.0:
        assert P is None  # it has no such dual: others look there
        return
    assert P is not None
    spent = question.values([Part(1.0, P)])
    assert spent[1] <= rate and spent[2] <= C + 1e-8
    assert kind == "free" or laws.divergence(P.sum(axis=0)) <= laws.budget + 1e-8
    Q = Program(question).run(P, Limits(1e-6))
    assert Q is not None
    near_by = 2e-4 if rate < 1.0 else 1e-6  # barriers leave a little; descents with the law that is found follow
    assert spent[0] <= question.values([Part(1.0, Q)])[0] + near_by


def test_larger_couplings_have_points() -> None:
    """13×13 letters: too many for quadratic programs; C tight and no rate."""
    problem = source(3, 13, 13)
    C = problem.entropy_s_given_x + 0.1 * (problem.entropy_s - problem.entropy_s_given_x)
    points = LawPoints(SingleLetter(problem, math.inf, C, laws=near("chi2", problem.py, 0.1)), Limits(1e-4))
    points.explore(1)
    assert points.best is not None
    distortion, _, loss = points.question.values([Part(1.0, points.best)])
    assert loss <= C and points.question.laws.share(points.best.sum(axis=0)) == 0.0
    assert distortion <= 0.25  # 0.2026 is proved, and the independent coupling has 0.5154


@pytest.mark.parametrize("kind", ["kl", "tv", "hellinger"])
def test_the_least_loss_is_a_matter_of_assignments(kind: str) -> None:
    """C = H(S|X), all letters of X unlike: Y is a permutation of X, and the best one near the target is found."""
    rng = np.random.default_rng(4)
    px, W = rng.dirichlet(np.full(4, 2.0)), rng.dirichlet(np.full(3, 0.5), size=4)
    target, d = 0.8 * px[[2, 0, 3, 1]] + 0.05, rng.random((4, 4))
    problem = Problem(px, target, W, d)
    ball = near(kind, problem.py, {"kl": 0.1, "tv": 0.2, "hellinger": 0.02}[kind])
    points = LawPoints(SingleLetter(problem, math.inf, problem.entropy_s_given_x, laws=ball), Limits(1e-6))
    points.explore(1)
    best = math.inf
    for way in itertools.permutations(range(4)):
        law = np.zeros(4)
        law[list(way)] = px
        if ball.divergence(law) <= ball.budget:
            best = min(best, float(px @ d[np.arange(4), list(way)]))
    assert points.value == pytest.approx(best, abs=1e-9) and best > px @ d.min(axis=1) + 0.01
