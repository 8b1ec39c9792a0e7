"""Rate-distortion functions by Newton's method, against Blahut's and Arimoto's, and at their edges."""

import math

import numpy as np
import pytest

from drcopt import Problem, min_rate, solve
from drcopt.engines.law_path import Aim, central_path
from drcopt.law_session import session_for
from drcopt.questions import DISTORTION, RATE

NATS = math.log(2.0)


def source(px, d):
    """A source whose classes say nothing."""
    px = np.asarray(px, dtype=float)
    return Problem(px / px.sum(), None, np.ones((len(px), 1)), d)


def blahut_arimoto(problem, slope, rounds=20_000):
    """Distortion and rate (nats) of the textbook's point of a slope, and the bound on I + slope·E d that it proves."""
    px, d = problem.px, problem.d
    A, q = np.exp(-slope * (d - d.min(axis=1, keepdims=True))), np.full(problem.m, 1.0 / problem.m)
    for _ in range(rounds):
        w = A @ q
        c = (px / w) @ A
        if math.log(c.max()) <= 1e-13:
            break
        q = q * c
    w = A @ q
    P = (px / w)[:, None] * A * q
    level = slope * float(px @ d.min(axis=1)) - float(px @ np.log(w)) - math.log(((px / w) @ A).max())
    return problem.distortion(P), problem.rate(P), level


FAMILIES = ("plain", "tiny", "subnormal", "copies", "integers", "binary", "large", "erasure", "ties")


def instance(family, seed):
    rng = np.random.default_rng(seed)
    n, m = (int(v) for v in rng.integers(2, 8, size=2))
    px, d = rng.dirichlet(np.full(n, 0.5)), rng.random((n, m))
    if family == "tiny":
        px[0] = 1e-300
    elif family == "subnormal":
        px[-1] = 5e-324
    elif family == "copies":
        d[:, -1] = d[:, 0]
    elif family in ("integers", "binary"):
        d = np.round((3 if family == "integers" else 1) * d)
    elif family == "large":
        d = 1e8 * d + 1e6 * rng.random(m)
    elif family == "erasure":
        d = np.column_stack([np.where(np.eye(n), 0.0, 1e3), np.full(n, 0.5)])
    elif family == "ties":
        px, d = np.full(n, 1.0 / n), 1.0 - np.eye(n)
    return source(px, d)


@pytest.mark.parametrize("family", FAMILIES)
def test_blahut_and_arimoto_agree(family):
    """Their points are never below the bound, and their bounds never above the point."""
    for seed in range(2):
        problem = instance(family, seed)
        size = float(problem.d.max())
        for slope in (2.0, 20.0):
            D, R, level = blahut_arimoto(problem, slope / size)
            least = solve(problem, R=R, units="nats", tol=1e-9)
            assert least.status == "optimal"
            assert least.lower_bound <= D + 1e-13 * size
            assert least.value >= (level - R) * size / slope - 1e-13 * size
            rate = min_rate(problem, D=D + 1e-14 * size, units="nats", tol=1e-9)
            assert rate.status == "optimal"
            assert rate.lower_bound <= R + 1e-13
            assert rate.value >= level - slope * (D / size + 1e-14) - 1e-12


@pytest.mark.parametrize("family", FAMILIES)
def test_the_whole_curve(family):
    """From next to no rate to more than all, and from the least distortion to the most."""
    problem = instance(family, 2)
    most = problem.entropy_x / NATS
    for share in (1e-12, 1e-6, 0.3, 1 - 1e-9, 1.0, 2.0):
        answer = solve(problem, R=share * most, tol=1e-9, on_failure="return")
        assert answer.status in ("optimal", "feasible") and answer.gap <= 1e-9 * problem.d.max(), share
        assert answer.rate <= share * most + 1e-15
    least, independent = problem.px @ problem.d.min(axis=1), float((problem.px @ problem.d).min())
    for share in (1e-6, 0.01, 0.3, 0.9, 1 - 1e-9, 1.1):
        D = least + share * (independent - least)
        answer = min_rate(problem, D=D, tol=1e-9, on_failure="return")
        assert answer.status in ("optimal", "feasible") and answer.gap <= 1e-8, share
        assert answer.distortion <= D


def test_least_distortion_is_the_end_of_the_curve():
    """At D = 0 the rate is that of the letters that cost nothing, ties going to the fewest of them."""
    problem = source([0.4, 0.35, 0.25], [[0, 1, 0, 1], [1, 0, 0, 1], [1, 1, 1, 0]])
    answer = min_rate(problem, D=0.0, tol=1e-9)
    assert answer.status == "optimal" and answer.distortion == 0.0
    entropy = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert answer.value == pytest.approx(entropy, abs=1e-9)
    assert solve(problem, R=entropy + 1e-12).distortion == 0.0


def test_straight_parts_of_a_curve():
    """Erasures: R(D) = (1 − 2D) log n is a straight line, on which the slope does not say where one is."""
    problem = source(np.ones(4), np.column_stack([np.where(np.eye(4), 0.0, 1e3), np.full(4, 0.5)]))
    for D in (0.1, 0.25, 0.49):
        assert min_rate(problem, D=D, tol=1e-9).value == pytest.approx(2 * (1 - 2 * D), abs=1e-8)
        assert solve(problem, R=2 * (1 - 2 * D), tol=1e-9).value == pytest.approx(D, abs=1e-8)


@pytest.mark.parametrize("objective", [DISTORTION, RATE])
def test_warm_answers_are_cold_answers(objective):
    """A sweep's points are those of one solve each, and what it leaves behind is a dict of small arrays."""
    problem = instance("plain", 3)
    low, high = problem.px @ problem.d.min(axis=1), float((problem.px @ problem.d).min())
    session = session_for(problem, tol=1e-9)
    for value in (0.3, 0.25, 0.2, 0.15, 0.05):
        budget = {"R": 3 * value} if objective is DISTORTION else {"D": low + value * (high - low)}
        warm, cold = session.ask(objective, **budget), session_for(problem, tol=1e-9).ask(objective, **budget)
        assert warm.value == pytest.approx(cold.value, abs=1e-9)
        assert warm.status == cold.status == "optimal"
        assert set(session.warm) == {"law", "end", "beta"} and all(
            isinstance(v, np.ndarray) for v in session.warm.values()
        )


def test_one_letter():
    """With a letter of X or of Y alone nothing is sent, and that is proved."""
    for problem in (source([1.0], [[0.3, 0.1]]), source([0.2, 0.8], [[0.3], [0.1]])):
        answer = min_rate(problem, D=0.5)
        assert answer.status == "optimal" and answer.value == answer.lower_bound == 0.0
    flat = source([0.2, 0.8], np.full((2, 3), 2.5))
    assert solve(flat, R=0.5).distortion == 2.5
    assert min_rate(flat, D=2.6).value == 0.0


def test_sensitivity_is_the_slope():
    """dD/dR is minus the multiplier of the rate, and dR/dD minus that of the distortion."""
    problem = instance("plain", 4)
    step = 1e-4
    below, here, above = (solve(problem, R=R, units="nats", tol=1e-10) for R in (0.3 - step, 0.3, 0.3 + step))
    slope = (above.value - below.value) / (2 * step)
    assert here.multipliers.rate == pytest.approx(-slope, rel=1e-5)
    inverse = min_rate(problem, D=here.value, units="nats", tol=1e-10)
    assert inverse.multipliers.distortion == pytest.approx(-1.0 / slope, rel=1e-5)


@pytest.mark.parametrize("rate", [0.5, 2.0, 3.2])
def test_letters_all_but_alike(rate):
    """The interior-point method alone, cold, where many letters close together share the law."""
    x = (np.arange(40) + 0.5) / 40
    px = np.exp(-0.5 * ((x - 0.4) / 0.2) ** 2)
    px, d = px / px.sum(), (x[:, None] - x) ** 2
    aim = Aim(rate, None, 1e-11, 1e-11)
    law, beta, _ = central_path(px, d, np.eye(40)[20], 1.0, aim, lambda: False)
    A = np.exp(-beta * d)
    w = A @ law
    P = (px / w)[:, None] * A * law
    least = float((A.T @ (px / w)).max())
    bound = (-float(px @ np.log(w)) - math.log(least) - rate) / beta
    assert source(px, d).rate(P) == pytest.approx(rate, abs=1e-10)
    assert 0.0 <= float((d * P).sum()) - bound + 1e-14 <= 1e-11
    other = Aim(None, float((d * P).sum()), 1e-10, 1e-13)
    law, beta, _ = central_path(px, d, law, 0.5 * beta, other, lambda: False)
    A = np.exp(-beta * d)
    P = (px / (A @ law))[:, None] * A * law
    assert source(px, d).rate(P) == pytest.approx(rate, abs=1e-9)
