"""Curves of the information bottleneck: what single answers say, and no message below what is claimed of all."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import entr, rel_entr

from drcopt import BottleneckCurve, InfeasibleError, InputError, Problem, information_bottleneck
from drcopt.bottleneck_curve import _Pool
from drcopt.certify.bottleneck_curve import levels
from drcopt.formulations import Message
from drcopt.information import conditional_entropy, entropy, mutual_information
from drcopt.questions import CLASSIFICATION_LOSS, Free

#: The bottleneck of dit's documentation, p(x, s).
JOINT = np.array([[0.2, 0.0, 0.2], [0.0, 0.0, 0.2], [0.0, 0.2, 0.2]])
KINDS = ("any", "sparse", "zeros", "equal rows", "deterministic", "independent", "nearly independent", "light")


def joint(kind: str, rng: np.random.Generator) -> np.ndarray:
    """A law p(x, s) of two to four letters each."""
    n, k = rng.integers(2, 5, size=2)
    p = rng.dirichlet(np.full(n * k, 1.0)).reshape(n, k)
    if kind == "sparse":
        p = rng.dirichlet(np.full(n * k, 0.2)).reshape(n, k)
    elif kind == "zeros":
        p[rng.random((n, k)) < 0.4] = 0.0
        p[0, 0] = 1.0
    elif kind == "equal rows":
        p[-1] = 0.5 * p[0]
    elif kind == "deterministic":
        p = p.sum(axis=1)[:, None] * np.eye(k)[rng.integers(0, k, size=n)]
    elif kind == "independent":
        p = np.outer(p.sum(axis=1), p.sum(axis=0))
    elif kind == "nearly independent":
        p = np.outer(p.sum(axis=1), p.sum(axis=0)) + 1e-4 * p
    elif kind == "light":
        p[0] *= 1e-12
    return np.asarray(p / p.sum())


def messages(p: np.ndarray, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rates and losses (bits) of messages: at random, and after steps of Tishby, Pereira and Bialek's iteration."""
    px, spent = p.sum(axis=1), []
    some = px > 0
    px, W = px[some], p[some] / px[some, None]
    for _ in range(count):
        given = rng.dirichlet(np.full(len(px) + 1, rng.choice([0.1, 1.0])), size=len(px))
        beta = rng.uniform(1.0, 20.0)
        for _ in range(30):
            q = px @ given + 1e-300
            tau = (W.T @ (px[:, None] * given)) / q
            scores = np.log(q) + beta * (W @ np.log(np.maximum(tau, 1e-300)))
            given = np.exp(scores - scores.max(axis=1, keepdims=True))
            given /= given.sum(axis=1, keepdims=True)
            P = px[:, None] * given
            spent.append((mutual_information(P), conditional_entropy(W.T @ P)))
    rates, losses = np.array(spent).T / math.log(2.0)
    return rates, losses


def check(p: np.ndarray, curve: BottleneckCurve, rng: np.random.Generator, count: int) -> None:
    rates, losses = messages(p, rng, count)
    for rate, loss, bound, budget in zip(
        curve.rate, curve.classification_loss, curve.lower_bound, curve.budget, strict=True
    ):
        if curve.by == "C":
            assert (rates[losses <= budget] >= bound - 1e-12).all() and rate >= bound and loss <= budget + 1e-15
        else:
            assert (losses[rates <= budget] >= bound - 1e-12).all() and loss >= bound and rate <= budget


def trial(kind: str, seed: int, count: int) -> None:
    """All of it for one law: bounds, order, concavity, ends, and what two single answers say."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    p = joint(kind, rng)
    H = entropy(p.sum(axis=1)) / math.log(2.0)
    S, left = entropy(p.sum(axis=0)) / math.log(2.0), conditional_entropy(p.T) / math.log(2.0)
    by_rate = information_bottleneck(p, R=H * np.linspace(0.0, 1.0, 9), tol=1e-7)
    by_loss = information_bottleneck(p, C=left + (S - left) * np.linspace(0.1, 1.0, 5) + 1e-12, tol=1e-7)
    by_slope = information_bottleneck(p, beta=[0.0, 0.5, 1.0, 1.5, 3.0, 8.0, 30.0, 1e9], tol=1e-7)
    for curve in (by_rate, by_loss, by_slope):
        check(p, curve, rng, count)
        if curve.by != "C" or "independent" not in kind:  # where a hair of the loss is all of the rate
            assert curve.gap.max() <= 1e-4 and curve.status.count("optimal") >= len(curve) - 2
    relevance = by_rate.relevance
    assert (np.diff(relevance) >= -1e-12).all() and (np.diff(relevance, 2) <= 4e-7).all()
    assert abs(relevance[0]) <= 1e-12 and relevance[-1] == pytest.approx(S - left, abs=2e-7)
    assert (np.diff(by_slope.rate) >= -1e-6).all() and by_slope.rate[0] == 0.0


@pytest.mark.parametrize("kind", ["any", "zeros"])
def test_random_laws(kind: str) -> None:
    trial(kind, 0, 4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_more_random_laws(kind: str) -> None:
    for seed in range(2):
        trial(kind, seed, 10)


def test_single_answers_say_the_same() -> None:
    """Within both gaps, of curves by rate, by loss and by slope; and every point is a solution that holds by itself."""
    by_rate = information_bottleneck(JOINT, R=[0.0, 0.8, 1.2], tol=1e-7)
    for point, R in zip(by_rate, by_rate.asked, strict=True):
        alone = information_bottleneck(JOINT, R=float(R), tol=1e-7)
        assert point.status == "optimal" and point.rate <= R and point.rate_budget == R
        assert alone.lower_bound <= point.value + 1e-12 and point.lower_bound <= alone.value + 1e-12
        assert point.problem.rate(point.coupling) / math.log(2.0) == pytest.approx(point.rate, abs=1e-12)
    loss = by_rate.classification_loss[1:]
    back = information_bottleneck(JOINT, C=loss, tol=1e-7)
    assert back.rate == pytest.approx([0.8, 1.2], abs=1e-6)
    assert [point.status for point in back] == ["optimal"] * 2 and back[-1].objective == "rate"
    slope = information_bottleneck(JOINT, beta=[2.5, 5.0])
    assert slope.slope == pytest.approx([0.4, 0.2], abs=1e-6) and len(slope.frame()) == 2
    assert slope[0].multipliers.rate == pytest.approx(slope.slope[0])
    assert [point.status for point in slope] == ["optimal"] * 2


def test_a_straight_part_needs_one_tangent() -> None:
    """I(S;T) = I(X;T)/2 up to 0.8 bit: all of it from the strong data-processing inequality and its ends."""
    curve = information_bottleneck(JOINT, R=np.linspace(0.0, 0.8, 30), tol=1e-8)
    assert curve.relevance == pytest.approx(0.5 * curve.asked, abs=1e-8) and curve.gap.max() <= 1e-8
    assert np.ptp(curve.slope) <= 1e-6


def test_letters_without_mass_units_and_ends() -> None:
    table = np.array([[0.2, 0.0, 0.2], [0.0, 0.0, 0.0], [0.0, 0.3, 0.3]])
    H = entropy(np.array([0.4, 0.6]))
    nats = information_bottleneck(table, R=[0.1, H, 5.0], units="nats")
    bits = information_bottleneck(table, R=np.array([0.1, H, 5.0]) / math.log(2.0))
    assert nats.rate == pytest.approx(bits.rate * math.log(2.0), abs=1e-9)
    assert nats.classification_loss[-1] == pytest.approx(conditional_entropy(table.T), abs=1e-12)
    assert nats[0].message.posteriors.shape[1] == 3 and not nats[0].message.posteriors[:, 1].any()
    sure = information_bottleneck(np.diag([0.5, 0.3, 0.2]), C=[0.0, 0.5])
    assert sure.status == ["optimal"] * 2 and sure[0].classification_loss == 0.0
    none = information_bottleneck(np.outer([0.5, 0.5], [0.3, 0.7]), R=[0.0, 0.5], tol=1e-9)
    assert none.relevance == pytest.approx([0.0, 0.0], abs=1e-12) and none.status == ["optimal"] * 2


def test_a_tangent_holds_whatever_its_plane() -> None:
    """Planes that no optimum has prove less, and what they prove is so: Λ ≤ α I + H(S|T) of all messages."""
    rng = np.random.default_rng(0)
    for kind in ("any", "zeros", "sparse"):
        p = joint(kind, rng)
        problem = Problem.from_joint(p, None, d=np.zeros((len(p), 1))).reduced()
        question = Message(problem, math.inf, math.inf, laws=Free(), objective=CLASSIFICATION_LOSS)
        alpha = rng.uniform(0.1, 0.9, 6) * problem.contraction
        f = rng.normal(0.5, 0.2, (6, problem.n))
        at = np.repeat(np.arange(6), 2), rng.dirichlet(np.ones(problem.n), 12)
        level, *_ = levels(question, alpha, f, at, 1e-8)
        spent = messages(p, rng, 20)
        value = (alpha * spent[0][:, None] + spent[1][:, None]) * math.log(2.0)
        assert (value >= level - 1e-12).all() and np.isfinite(level).all()
        posteriors = rng.dirichlet(np.ones(problem.n), 3000)
        tau = posteriors @ problem.ps_given_x
        phi = np.multiply.outer(rel_entr(posteriors, problem.px).sum(axis=1), alpha) + entr(tau).sum(axis=1)[:, None]
        assert (level <= f @ problem.px + (phi - posteriors @ f.T).min(axis=0) + 1e-12).all()


def test_what_tangents_say_within_a_limit() -> None:
    """No more than Λ − αR of the loss, and no more than (Λ − C)/α of the rate."""
    problem = Problem.from_joint(JOINT, None, d=np.zeros((3, 1)))
    pool = _Pool(Message(problem, math.inf, math.inf, laws=Free(), objective=CLASSIFICATION_LOSS), 1e-8)
    at = np.array([0.05, 0.1, 0.2])
    assert (pool.bounds(0, at)[0] <= (pool.level - np.multiply.outer(at, pool.alpha)).max(axis=1)).all()
    alpha, level = pool.alpha[1], pool.level[1]
    assert (pool.bounds(1, level - at)[0] <= at / alpha + 1e-15).all()


def test_refusals() -> None:
    with pytest.raises(InfeasibleError, match=r"C = 0\.1 bits cannot be met"):
        information_bottleneck(JOINT, C=[0.9, 0.1])
    returned = information_bottleneck(JOINT, C=[0.9, 0.1], on_failure="return")
    assert returned.status == ["optimal", "infeasible"] and returned[1].status == "infeasible"
    for wrong in ({"R": [0.1], "beta": [2.0]}, {"R": [0.1], "C": 0.9}, {"R": 0.1, "C": [0.9], "beta": [1.0]}):
        with pytest.raises(InputError, match="one of R, C and beta must be given"):
            information_bottleneck(JOINT, **wrong)
    for wrong, said in ({"beta": [-1.0]}, "beta must be nonnegative"), ({"R": [[0.1]]}, "R must have shape"):
        with pytest.raises(InputError, match=said):
            information_bottleneck(JOINT, **wrong)
