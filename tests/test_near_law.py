"""Rates and perceptions, without classes, by Newton's method: as the ascent says, for all kinds, at every edge."""

from __future__ import annotations

import math

import numpy as np
import pytest

from drcopt import Perception, Problem, min_rate, solve
from drcopt.engines.any_law import NearLaw
from drcopt.engines.law_dual import Divergence, Dual
from drcopt.questions.output import Free, Near

KINDS = ("tv", "kl", "reverse-kl", "chi2", "reverse-chi2", "hellinger", "renyi")


def source(seed: int = 0, n: int = 5, m: int = 4) -> Problem:
    rng = np.random.default_rng(seed)
    px, py = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    return Problem(px, py, np.ones((n, 1)), rng.random((n, m)))


def by_ascent(monkeypatch: pytest.MonkeyPatch, ask):
    with monkeypatch.context() as patch:
        patch.setattr(NearLaw, "propose", lambda self, question, limits: None)
        return ask()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inverse", [False, True])
def test_the_ascent_says_the_same(kind: str, inverse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """D(R, P) and R(D, P): two certified intervals meet, to the gaps that are asked for."""
    problem, tol = source(), 1e-7 if kind == "tv" else 1e-8
    perception = Perception(kind, 0.03, order=0.7)
    if inverse:
        D = 0.8 * problem.distortion(problem.independent)

        def ask():
            return min_rate(problem, D=D, perception=perception, tol=tol)
    else:

        def ask():
            return solve(problem, R=0.4, perception=perception, tol=tol)

    newton, ascent = ask(), by_ascent(monkeypatch, ask)
    assert newton.status == ascent.status == "optimal"
    assert newton.termination == "Newton's method converged" != ascent.termination
    assert newton.lower_bound <= ascent.value + 1e-12 and ascent.lower_bound <= newton.value + 1e-12
    assert newton.value == pytest.approx(ascent.value, abs=tol)
    assert newton.perception <= 0.03 and newton.rate <= (math.inf if inverse else 0.4)


@pytest.mark.parametrize("kind", ["free", *KINDS])
@pytest.mark.parametrize("minimised", [0, 1, 2])
def test_derivatives(kind: str, minimised: int) -> None:
    """The gradient and the Hessian of the dual are those of its values, whatever is minimised and limited."""
    problem = source(1)
    laws = Free() if kind == "free" else Near(kind, problem.py, 0.05, None, 0.7)
    chosen, budget = Divergence.of(laws)
    weights = np.full(3, np.nan)
    weights[minimised] = 1.0
    other = np.random.default_rng(1).random(problem.d.shape)
    forms = [problem.d, None, other]
    dual = Dual(problem.px, forms, weights, np.array([0.4, 0.3, 0.5]), problem.py, chosen, budget)
    x = dual.start()
    x[-3:] *= [0.6, 0.8, 1.1]
    mu, h = 0.05, 1e-6
    at = dual.evaluate(x, mu)
    ends = [[dual.evaluate(x + sign * h * e, mu) for sign in (1.0, -1.0)] for e in np.eye(len(x))]
    gradient = np.array([(up.value - down.value) / (2 * h) for up, down in ends])
    hessian = np.array([(up.gradient - down.gradient) / (2 * h) for up, down in ends])
    assert np.abs(gradient - at.gradient).max() <= 1e-8
    assert np.abs(hessian + at.curvature).max() <= 1e-7


@pytest.mark.parametrize("kind", ["kl", "chi2", "reverse-chi2"])
def test_a_law_that_is_all_but_the_target(kind: str) -> None:
    """A budget that rounding exceeds by a share that counts."""
    rng = np.random.default_rng(0)
    problem = Problem(rng.dirichlet(np.ones(4)), [0.4, 0.4, 0.2, 0.0], np.ones((4, 1)), rng.random((4, 4)).round(2))
    for P in (1e-11, 1e-10, 1e-9):
        found = solve(problem, R=0.3, perception=Perception(kind, P))
        assert found.gap <= 1e-7
        assert found.perception <= P * (1.0 + 1e-9)


@pytest.mark.parametrize(
    "kind", ["kl", *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind != "kl")]
)
def test_edges(kind: str) -> None:
    """Letters without mass, copies, budgets next to nothing and beyond all laws, rates next to 0 and past the end."""
    px, d = (
        np.array([0.5, 0.3, 0.2 - 1e-14, 1e-14]),
        np.array([[0, 1, 1, 0], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 0, 1.0]]),
    )
    for target in ([0.4, 0.4, 0.2, 0.0], [1.0, 0.0, 0.0, 0.0]):
        problem = Problem(px, target, np.ones((4, 1)), d)
        for R in (1e-9, 0.3, 5.0):
            values = []
            for P in (1e-9, 0.05, 0.9):
                found = solve(problem, R=R, perception=Perception(kind, P, order=0.7))
                assert found.status == "optimal" or found.gap <= 2e-5 * (R != 0.3), (target, R, P, found.gap)
                assert found.rate <= R + 1e-12 and found.perception <= P * (1.0 + 1e-9) + 1e-15
                values.append(found.value)
            assert values[0] >= values[1] - 2e-5 and values[1] >= values[2] - 2e-5
