"""Messages by Newton's method on their atoms: it says what the ascent says, and holds at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from drcopt import Problem, information_bottleneck, min_classification_loss, min_rate, solve
from drcopt.bounds.pricing import price
from drcopt.engines import any_law
from drcopt.engines.atoms import settled
from drcopt.engines.lagrangian import Lagrangian
from drcopt.law_session import session_for
from drcopt.questions import CLASSIFICATION_LOSS

#: The bottleneck of dit's documentation, p(x, s).
JOINT = np.array([[0.2, 0.0, 0.2], [0.0, 0.0, 0.2], [0.0, 0.2, 0.2]])


def toy(k: int, m: int = 3, seed: int = 0) -> Problem:
    rng = np.random.default_rng([seed, k])
    return Problem(rng.dirichlet(np.full(4, 3.0)), None, rng.dirichlet(np.full(k, 0.5), size=4), rng.random((4, m)))


def test_conditions_of_optimality() -> None:
    """Σ μ p = px, the limit is met with equality, every atom is a local minimum and all are of one value."""
    R = 1.3 * math.log(2.0)
    problem = Problem.from_joint(JOINT, None, d=np.zeros((3, 1)))
    session = session_for(problem, classifier_sees="message", units="nats")
    found = session.ask(CLASSIFICATION_LOSS, R=R)
    assert found.termination == "Newton's method converged"
    lagrangian = Lagrangian.of(found.certificate.formulation)
    warm = session.warm
    columns = any_law.Columns.of(problem, warm["letters"].astype(int), warm["posteriors"] + 1e-4)
    z, limits = lagrangian.clip(warm["multipliers"] * (1.0 + 1e-3)), np.array(lagrangian.limits)
    answer = settled(lagrangian, z, columns, warm["weights"], limits)
    assert answer is not None and answer.missed <= 1e-10
    weights, columns = answer.weights, answer.columns
    assert weights.min() > 0.0 and np.abs(weights @ columns.p - problem.px).max() <= 1e-10
    assert weights @ columns.divergence == pytest.approx(R, abs=1e-10)
    assert np.ptp(columns.value(answer.z)) <= 1e-10
    assert np.abs(answer.z - warm["multipliers"]).max() <= 1e-6


@pytest.mark.parametrize("k", [2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("ask", ["distortion", "rate", "loss"])
def test_the_ascent_says_the_same(k: int, ask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two intervals for one number, and both short."""
    problem = toy(k)
    C = 0.85 * problem.entropy_s
    asked = {
        "distortion": lambda: solve(problem, R=0.9, C=C, classifier_sees="message", units="nats"),
        "rate": lambda: min_rate(problem, D=0.3, C=C, classifier_sees="message", units="nats"),
        "loss": lambda: min_classification_loss(problem, D=0.4, R=0.5, classifier_sees="message", units="nats"),
    }[ask]
    newton = asked()
    assert newton.status == "optimal"
    monkeypatch.setattr(any_law, "_smooth", lambda question: False)
    ascent = asked()
    assert ascent.status == "optimal" and ascent.termination == "the ascent of the bound converged"
    assert ascent.lower_bound <= newton.value + 1e-12 and newton.lower_bound <= ascent.value + 1e-12
    assert newton.value == pytest.approx(ascent.value, abs=3e-6)


@pytest.mark.parametrize(
    "pxs",
    [
        [[0.3, 0.0, 0.1], [0.0, 0.2, 0.0], [0.0, 0.0, 0.4]],
        np.diag([0.5, 0.3, 0.2]),
        [[0.2, 0.1, 0.1], [0.2, 0.1, 0.1], [0.05, 0.05, 0.1]],
        pytest.param([[0.5, 0.0, 0.0], [0.25, 0.25, 0.0], [0.0, 0.0, 1e-14]], marks=pytest.mark.slow),
        pytest.param([[0.3, 0.2, 0.0], [0.1, 0.1, 0.3 - 1e-300], [1e-300, 0.0, 0.0]], marks=pytest.mark.slow),
    ],
    ids=["zeros", "deterministic", "equal rows", "light", "subnormal"],
)
def test_hostile_bottlenecks(pxs) -> None:
    """From R = 0 to beyond H(X), and back from C at its ends; a straight part of the curve is no obstacle."""
    pxs = np.array(pxs) / np.sum(pxs)
    px, ps = pxs.sum(axis=1), pxs.sum(axis=0)
    H = [float(-(p[p > 0] @ np.log2(p[p > 0]))) for p in (px, ps, pxs.ravel())]
    for R in (0.0, 1e-13, 0.05, 0.5 * H[0], 0.9 * H[0], H[0] + 1.0):
        found = information_bottleneck(pxs, R=R)
        assert found.status == "optimal" and found.rate <= R
        assert H[2] - H[0] - 1e-9 <= found.lower_bound <= found.value <= H[1] + 1e-12
    for C in (H[1] * (1.0 + 1e-15), 0.5 * (H[1] + H[2] - H[0]), H[2] - H[0] + 1e-6):
        found = information_bottleneck(pxs, C=C)
        assert found.status == "optimal" and found.classification_loss <= C + 1e-15
        assert -1e-12 <= found.lower_bound <= found.value <= H[0] + 1e-9


def test_along_a_straight_part() -> None:
    """I(S;T) = R/2 for dit's bottleneck up to 0.8 bit, where atoms are not unique, and past it."""
    loss = -sum(p * np.log2(p) for p in (0.2, 0.2, 0.6))
    for R in (0.01, 0.4, 0.8):
        found = information_bottleneck(JOINT, R=R, tol=1e-7)
        assert found.status == "optimal" and loss - found.value == pytest.approx(0.5 * R, abs=1e-7)


def test_bounds_alone_are_the_same_bounds() -> None:
    """Without minimisers price says nothing else."""
    problem = toy(3)
    cost = problem.d - 0.2
    both = [price(problem, cost, 0.05, 0.4, None, tol=1e-8, bare=bare) for bare in (False, True)]
    assert not len(both[1].y)
    assert np.abs(both[0].lower - both[1].lower).max() <= 3e-8
