"""The least divergence from a target: known values, round trips, edges, and bounds that evidence proves."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import rel_entr

from drcopt import InfeasibleError, InputError, Perception, Problem, min_perception, min_rate, solve
from drcopt.least_perception import PerceptionCertificate
from drcopt.questions.output import KINDS

TOY = ([0.5, 0.3, 0.2], ((0.9, 0.1), (0.4, 0.6), (0.2, 0.8)), ((0, 1, 0.6), (0.7, 0, 0.2), (0.1, 0.8, 0)))
PLACE = np.arange(3.0)
GROUND = np.abs(PLACE[:, None] - PLACE)


def toy(py=TOY[0]):
    px, W, d = TOY
    return Problem(px, py, W, d)


def wider(certificate, factor):
    """The claim with a larger ball."""
    near = certificate.formulation.laws
    question = replace(certificate.formulation, laws=replace(near, budget=factor * near.budget))
    return replace(certificate, formulation=question)


@pytest.mark.parametrize(
    ("p", "D", "P", "R"),
    [
        (0.3, 0.1, 0.02, 0.417674389009),
        (0.3, 0.2, 0.05, 0.173451358187),
        (0.1, 0.1, 0.02, 0.069004033104),
    ],
)
def test_binary_rate_distortion_perception_read_backwards(p, D, P, R):
    least = min_perception(Problem([1 - p, p], [1 - p, p], np.eye(2)), R=R, D=D)
    assert least.status == "optimal" and least.objective == "perception" and least.perception_kind == "tv"
    assert least.lower_bound <= P + 1e-9 and least.value >= P - 1e-9
    assert least.value == least.perception == pytest.approx(P, abs=1e-6)
    assert least.rate <= R and least.distortion <= D
    certificate = least.certificate
    assert certificate.holds() and not wider(certificate, 1.001).holds()


@pytest.mark.parametrize(
    "kind", [k if k in ("tv", "wasserstein") else pytest.param(k, marks=pytest.mark.slow) for k in KINDS]
)
def test_there_and_back(kind):
    """P → D → P for every divergence, and for the message; the multipliers are the slopes."""
    problem, P = toy([0.2, 0.3, 0.5]), 0.04
    more = {"ground": GROUND} if kind == "wasserstein" else {"order": 0.7} if kind == "renyi" else {}
    sees = "message" if kind in ("kl", "chi2") else "Y"
    limits = {"R": 0.5, "C": 0.88} if sees == "message" else {"R": 0.5}
    there = solve(problem, **limits, perception=Perception(kind, P, **more), classifier_sees=sees, tol=1e-8)
    back = min_perception(problem, kind=kind, **limits, D=there.value, classifier_sees=sees, **more)
    assert back.status == "optimal" and back.certificate.holds()
    assert back.lower_bound <= P + 1e-9 and back.value == pytest.approx(P, abs=3e-6)
    near = solve(problem, **limits, perception=Perception(kind, 1.01 * P, **more), classifier_sees=sees, tol=1e-8)
    slope = (there.value - near.value) / (0.01 * P)
    assert 1.0 / back.multipliers.distortion == pytest.approx(slope, rel=0.02)
    assert back.multipliers.rate == pytest.approx(there.multipliers.rate * back.multipliers.distortion, rel=0.01)


def test_no_channel_does_better():
    """Against a grid of channels on two letters, with all three budgets."""
    problem = Problem([0.6, 0.4], [0.2, 0.8], [[0.9, 0.1], [0.3, 0.7]])
    least = min_perception(problem, R=0.4, D=0.25, C=0.85)
    a, b = (share.ravel()[:, None] for share in np.meshgrid(*[np.linspace(0, 1, 201)] * 2))
    P = problem.px[:, None] * np.stack([np.hstack([a, 1 - a]), np.hstack([b, 1 - b])], axis=1)
    q, T = P.sum(axis=1), np.einsum("xs,axy->asy", problem.ps_given_x, P)
    rate = rel_entr(P, problem.px[:, None] * q[:, None, :]).sum(axis=(1, 2)) / math.log(2)
    loss = -rel_entr(T, np.broadcast_to(q[:, None, :], T.shape)).sum(axis=(1, 2)) / math.log(2)
    met = (P[:, 0, 1] + P[:, 1, 0] <= 0.25) & (rate <= 0.4) & (loss <= 0.85)
    best = 0.5 * np.abs(q - problem.py).sum(axis=1)[met].min()
    assert least.status == "optimal" and least.certificate.holds()
    assert least.lower_bound <= best and best - 0.01 <= least.value <= best + 1e-6


def test_budgets_that_bind_nothing():
    """The target itself will do: no divergence, proved by nothing."""
    for answer in (
        min_perception(toy()),
        min_perception(toy(), R=0.5, D=0.5),
        min_perception(toy(None), target=[1, 0, 0]),
    ):
        assert answer.status == "optimal" and answer.lower_bound == 0.0 and answer.value < 1e-15
        assert answer.certificate.holds() and answer.perception_budget == math.inf


def test_what_no_law_meets():
    with pytest.raises(InfeasibleError, match=r"D = 0.05 cannot be met at R = 0.5 bits and C = 0.85 bits") as raised:
        min_perception(toy(), R=0.5, C=0.85, D=0.05, classifier_sees="message")
    assert raised.value.budget == "D" and raised.value.least > 0.089
    answer = min_perception(toy(), R=0.05, C=0.7, classifier_sees="message", on_failure="return")
    assert answer.status == "infeasible" and answer.value == answer.lower_bound == math.inf and answer.gap == 0.0
    assert np.isnan(answer.coupling).all() and answer.certificate.infeasible


@pytest.mark.parametrize("kind", ["kl", "chi2"])
def test_letters_that_the_target_lacks(kind):
    """They are infinitely far: budgets that need them are infeasible, and it is said why."""
    with pytest.raises(InfeasibleError, match=f"no mass on some letters, and '{kind}' is infinite"):
        min_perception(toy(), kind=kind, D=0.01, target=[0.6, 0.4, 0.0])
    with pytest.raises(InfeasibleError, match="no mass on some letters"):
        min_rate(toy(), D=0.01, perception=Perception(kind, 0.1, target=[0.6, 0.4, 0.0]))
    near = min_perception(toy(), kind="reverse-" + kind, D=0.01, target=[0.6, 0.4, 0.0])
    assert near.status == "optimal" and near.output_law[2] > 0.02


def test_an_infeasible_perception_names_the_least():
    target = [0.1, 0.4, 0.5]
    with pytest.raises(InfeasibleError, match=r"P = 0\.05 cannot be met at D = 0\.02") as raised:
        min_rate(toy(), D=0.02, perception=Perception("tv", 0.05, target=target))
    least = min_perception(toy(), D=0.02, target=target).value
    assert raised.value.budget == "P" and least - 1e-5 <= raised.value.least <= least
    met = min_rate(toy(), D=0.02, perception=Perception("tv", least + 1e-3, target=target))
    assert met.perception <= least + 1e-3
    with pytest.raises(InfeasibleError, match=r"P = 0 bits cannot be met .* at least 0\.65"):
        min_rate(toy(), D=0.02, perception=Perception("kl", 0.0, target=target))
    with pytest.raises(InfeasibleError, match=r"^C = 0.7 bits cannot be met at R = 0.05 bits and P = 0.01 bits"):
        solve(toy(), R=0.05, C=0.7, perception=Perception("kl", 0.01, target=target), classifier_sees="message")


def test_limits_of_time_and_units():
    bits = min_perception(toy(), kind="kl", R=0.5, D=0.15, target=[0.1, 0.4, 0.5])
    nats = min_perception(toy(), kind="kl", R=0.5 * math.log(2), D=0.15, target=[0.1, 0.4, 0.5], units="nats")
    assert nats.value == pytest.approx(bits.value * math.log(2), abs=1e-6)
    soon = min_perception(toy([0.1, 0.1, 0.8]), C=0.8, R=0.9, D=0.4, time_limit=1e-3, on_failure="return")
    assert soon.status in ("optimal", "feasible", "unknown") and soon.lower_bound >= 0.0


def test_refusals():
    with pytest.raises(InputError, match="perception kind must be one of"):
        min_perception(toy(), kind="total")
    with pytest.raises(InputError, match="ground must be given"):
        min_perception(toy(), kind="wasserstein")
    with pytest.raises(InputError, match="must have a target where py is None"):
        min_perception(toy(None), R=0.5)
    with pytest.raises(InputError, match="perception target must have one entry per letter"):
        min_perception(toy(), R=0.5, target=[0.5, 0.5])
    with pytest.raises(InputError, match="D must be nonnegative"):
        min_perception(toy(), D=-1)
    answer = min_perception(toy(), R=0.5, D=0.12)
    assert isinstance(answer.certificate, PerceptionCertificate)
    assert "perception=" in repr(answer) and "φ(pY,t)" in answer._repr_html_()


@pytest.mark.parametrize(
    ("kind", "budgets"),
    [("tv", {"R": 0.25, "D": 0.35}), pytest.param("hellinger", {"R": 0.5, "C": 0.9}, marks=pytest.mark.slow)],
)
def test_mixtures_come_no_less_near(kind, budgets):
    rows = np.random.default_rng(0).dirichlet([1, 1], 3)
    problem = Problem([0.5, 0.3, 0.2], [0.4, 0.35, 0.25], rows, d="hamming")
    single, message, shared = (
        min_perception(problem, kind=kind, **budgets, **how, verify="interval")
        for how in ({}, {"classifier_sees": "message"}, {"formulation": "time-sharing"})
    )
    for one in (single, message, shared):
        assert one.status == "optimal" and one.verified, one
    assert message.lower_bound <= shared.value and shared.lower_bound <= single.value
    seen = min_perception(problem, kind=kind, R=0.5, C=0.9, formulation="one-shot", classifier_sees="YU")
    assert seen.value == pytest.approx(0.0, abs=1e-12)
    assert seen.rate <= 0.5 and seen.classification_loss <= 0.9


@pytest.mark.parametrize(
    ("seed", "kind", "D", "C"),
    [(2, "chi2", 0.428701, 0.441778), pytest.param(0, "kl", 0.351681, 0.687592, marks=pytest.mark.slow)],
)
def test_local_optima_come_first(seed, kind, D, C):
    """D and C both limited: the gap, which questions about P from below alone left at 1.35 (kl) in 5 s, closes."""
    rng = np.random.default_rng(seed)
    px, py = rng.dirichlet(np.ones(3)), 0.9 * rng.dirichlet(np.ones(3)) + 0.1 / 3
    problem = Problem(px, py, 0.98 * rng.dirichlet(np.full(2, 0.5), size=3) + 0.01, rng.random((3, 3)))
    least = min_perception(problem, kind=kind, D=D, C=C, units="nats", time_limit=60.0, tol=1e-5)
    assert least.status == "optimal" and least.gap <= 1e-5 and least.certificate.holds()
    assert least.distortion <= D and least.classification_loss <= C


@pytest.mark.parametrize(
    "how", [{}, {"classifier_sees": "message"}, {"formulation": "one-shot", "classifier_sees": "YU"}], ids=str
)
@pytest.mark.parametrize("py", [(0.0, 0.6, 0.4), (0.6, 0.0, 0.4)])
def test_files_of_targets_without_some_letters(py, how):
    """A point with the target's law is one on fewer letters than the question has."""
    pytest.importorskip("flint")
    problem = Problem(TOY[0], py, TOY[1], np.random.default_rng(1).random((3, 3)))
    least = min_perception(problem, kind="tv", R=0.5, D=0.7, verify="interval", **how)
    assert (least.status, least.value) == ("optimal", 0.0)
    assert least.verified, least
