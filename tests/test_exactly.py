"""Whether a law lies within a perception budget: in 60 digits, and against it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from drcopt.certify.certificate import repair
from drcopt.certify.exactly import meets
from drcopt.formulations import Part, SingleLetter
from drcopt.problem import Problem
from drcopt.questions.output import KINDS, Near


@pytest.mark.parametrize("kind", KINDS)
def test_the_budget_is_where_the_divergence_is(kind: str) -> None:
    """A budget a little above φ is met, one a little below is not, next to the target and far from it."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        m = int(rng.integers(1, 6))
        t, q = (rng.dirichlet(np.full(m, rng.choice([0.1, 1.0, 5.0]))) for _ in range(2))
        if rng.random() < 0.5:
            q = t + 10.0 ** rng.uniform(-9, -2) * (q - t)
        if m > 1 and rng.random() < 0.3:
            t[0] = 0.0
            t /= t.sum()
        ground = np.abs(np.subtract.outer(np.arange(m), np.arange(m))) * 1.0 if kind == "wasserstein" else None
        law = Near(kind, t, 1e300, ground, float(rng.choice([0.3, 1.0, 1.0 + 1e-9, 2.0, 50.0])))
        found, letters = law.divergence(q), np.arange(m)
        if math.isinf(found):
            assert not meets(law, letters, q)
            continue
        assert meets(replace(law, budget=found * (1 + 1e-9) + 1e-14), letters, q)
        below = found * (1 - 1e-9) - 1e-14
        assert below <= 0 or not meets(replace(law, budget=below), letters, q)


def test_the_last_digit_counts() -> None:
    """½|q − t| = 1/8 exactly, and the double below it."""
    law, q = Near("tv", np.array([0.5, 0.5]), 0.125), np.array([0.625, 0.375])
    assert meets(law, np.arange(2), q)
    assert not meets(replace(law, budget=math.nextafter(0.125, 0.0)), np.arange(2), q)
    assert meets(replace(law, budget=5e-324), np.arange(2), law.target)  # the target itself is in every ball
    assert meets(law, np.array([0, 1, 0]), np.array([1.0, 3.0, 4.0]))  # weights are divided by their sum


def test_no_digits_are_lost_far_from_the_target() -> None:
    """log(t/q) where q is 1e-12 of t: a budget that doubles of 1 + ratio would have called met is not."""
    t, q = np.array([0.0725167, 0.9274833]), np.array([1.67210101e-12, 1.0 - 1.67210101e-12])
    exact = 0.0725167 * math.log(0.0725167 / 1.67210101e-12) + 0.9274833 * math.log(0.9274833 / (1.0 - 1.67210101e-12))
    law = Near("reverse-kl", t, exact * (1.0 - 1e-10))
    assert law.divergence(q) == pytest.approx(exact, rel=1e-14)
    assert not meets(law, np.arange(2), q) and meets(replace(law, budget=exact * (1.0 + 1e-10)), np.arange(2), q)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("budget", [1e-3, 1e-13, 1e-320])
def test_repaired_points_are_inside(kind: str, budget: float) -> None:
    """Whatever the coupling, however small the ball."""
    rng = np.random.default_rng(3)
    px, t = rng.dirichlet(np.ones(3)), np.array([0.7, 1e-300, 0.3])
    problem = Problem(px, None, np.eye(3), rng.random((3, 3)))
    ground = 1.0 - np.eye(3) if kind == "wasserstein" else None
    law = Near(kind, t, budget, ground)
    question = SingleLetter(Problem(px, t, np.eye(3), problem.d), math.inf, math.inf, laws=law)
    for concentration in (0.1, 1.0):
        P = px[:, None] * rng.dirichlet(np.full(3, concentration), size=3)
        point = repair(question, [Part(1.0, P)])
        assert point is not None
        assert law.divergence(point.parts[0].coupling.sum(axis=0)) <= budget + 1e-15
