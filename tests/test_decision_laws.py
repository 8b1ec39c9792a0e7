"""Budgets on the loss of decisions where Y's law lies near a target."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from drcopt import InputError, Perception, Problem, min_classification_loss, min_rate, solve
from drcopt.certify import proof
from drcopt.checker import check
from drcopt.questions.output import KINDS, Near

PX, PY, W = [0.5, 0.3, 0.2], [0.4, 0.35, 0.25], np.random.default_rng(3).dirichlet([0.4, 0.4], 3)
COSTS = np.array([[0.0, 1.0, 0.4], [2.0, 0.0, 0.4]])
GROUND = np.abs(np.subtract.outer(np.arange(3.0), np.arange(3.0)))
WAYS: list[dict[str, Any]] = [
    {},
    {"classifier_sees": "message"},
    {"formulation": "one-shot"},
    {"formulation": "one-shot", "classifier_sees": "YU"},
]


def near(kind: str, P: float) -> Perception:
    return Perception(kind, P, None, GROUND if kind == "wasserstein" else None, 3.0)


def accepted(solution: Any) -> None:
    verdict = check(proof.to_dict(solution.certificate))
    assert verdict.accepted, verdict.reason
    assert verdict.lower == pytest.approx(solution.lower_bound, abs=1e-7)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(way.values()) or "single")
def test_a_ball_lies_between_one_law_and_all(way: dict[str, Any]) -> None:
    ask: dict[str, Any] = {"R": 0.4, "C": 0.25, "class_loss": "error", **way}
    given, free = (solve(Problem(PX, py, W, "hamming"), **ask, on_failure="return") for py in (PY, None))
    some = [solve(Problem(PX, PY, W, "hamming"), perception=("tv", P), **ask, on_failure="return") for P in (0.05, 0.2)]
    order = [free, *reversed(some), given]
    for one in order:
        assert one.status in ("optimal", "infeasible"), one
        accepted(one)
    for less, more in itertools.pairwise(order):
        assert less.lower_bound <= more.value
    assert some[0].perception <= 0.05 and some[0].perception_kind == "tv"
    exact = solve(Problem(PX, PY, W, "hamming"), perception=("tv", 0.0), **ask, on_failure="return")
    assert exact.value == pytest.approx(given.value, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_no_point_of_slsqp_lies_below(kind: str) -> None:
    problem, P, R = Problem(PX, PY, W, np.random.default_rng(5).random((3, 3))), near(kind, 0.03), 0.3
    least = min_classification_loss(problem, R=R, class_loss=COSTS, perception=P)
    C = least.value + 0.3 * (1.0 - least.value) * float((np.array(PX) @ W @ COSTS).min())
    found = solve(problem, R=R, C=C, class_loss=COSTS, perception=P, units="nats")
    assert found.status == "optimal"
    assert found.perception <= 0.03 * (1 + 1e-12)
    accepted(found)
    ball = Near(kind, np.array(PY), 0.03, GROUND, 3.0)

    def of(z: Any) -> Any:
        rows = np.exp(z.reshape(3, 3))
        return np.array(PX)[:, None] * rows / rows.sum(axis=1, keepdims=True)

    def room(z: Any) -> Any:
        Q = of(z)
        loss = float((COSTS.T @ W.T @ Q).min(axis=0).sum())
        return np.array([R - problem.rate(Q), C - loss, min(9.0, 0.03 - ball.divergence(Q.sum(axis=0)))])

    rng = np.random.default_rng(1)
    for _ in range(0 if kind == "wasserstein" else 3):  # each of its values is a linear program
        at = minimize(
            lambda z: (of(z) * problem.d).sum(), rng.normal(size=9), constraints={"type": "ineq", "fun": room}
        ).x
        if room(at).min() >= -1e-9:
            assert (of(at) * problem.d).sum() >= found.lower_bound - 1e-6


def test_without_rate_a_law_of_the_ball_is_best() -> None:
    problem = Problem(PX, PY, W, "hamming")
    found = solve(problem, R=0.0, class_loss="error", perception=("tv", 0.1))
    assert found.status == "optimal" and found.output_law == pytest.approx([0.5, 0.35, 0.15], abs=1e-9)
    accepted(found)
    assert min_rate(problem, D=found.distortion, class_loss="error", perception=("tv", 0.1)).value <= 1e-9


def test_what_is_refused() -> None:
    barred = np.where(np.eye(3) > 0, np.inf, 1.0)
    with pytest.raises(InputError, match="perception"):
        solve(Problem(PX, PY, W, barred), R=0.4, C=0.3, class_loss="error", perception=("tv", 0.1))
