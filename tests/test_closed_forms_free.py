"""Closed forms with Y free, near a target, or a Gaussian vector: known values, 40 digits, brute force, properties."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest
from free_forms import BIT, H_S, INF, few, same
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.special import xlogy

from drcopt.closed_forms import (
    bernoulli,
    binary,
    binary_perception,
    erasure,
    gaussian_perception,
    uniform,
    vector_gaussian,
)
from drcopt.errors import InputError

unit = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0.0, 1.0, allow_subnormal=False))


amount = st.one_of(st.sampled_from([0.0, 1.0, INF]), st.floats(0.0, 1.2))


def h(p):
    """Binary entropy in bits."""
    p = np.asarray(p, dtype=float)
    return -(xlogy(p, p) + xlogy(1 - p, 1 - p)) / BIT


@pytest.fixture
def digits():
    with mp.workdps(40):
        yield


def h40(*masses):
    """Entropy in bits, 40 digits; of one number, that of (p, 1 − p)."""
    masses = [mp.mpf(m) for m in masses]
    masses = [*masses, 1 - masses[0]] if len(masses) == 1 else masses
    return -sum(m * mp.log(m, 2) for m in masses if m > 0)


def inverse40(value, top=0.5):
    """b ≤ 1/2 with h(b) = value, by bisection on 40 digits."""
    low, high = mp.mpf(0), mp.mpf(top)
    for _ in range(140):
        middle = (low + high) / 2
        low, high = (middle, high) if h40(middle) < value else (low, middle)
    return low


def star(a, b):
    return a * (1 - b) + b * (1 - a)


VALUES = [
    (lambda: [binary.rate(0.3, D=D) for D in (0.05, 0.1, 0.2)], (0.594893942115, 0.412295305641, 0.159362804343)),
    (lambda: [binary.rate(0.5, D=D) for D in (0.05, 0.1, 0.25)], (0.713603042884, 0.531004406411, 0.188721875541)),
    (
        lambda: [binary.exact(0.3, R=R) for R in (0.1, 0.25, 0.5, 0.75)],
        (0.231889666035, 0.158741747239, 0.074168591373, 0.018213862443),
    ),
    (lambda: [uniform.rate(4, D=D) for D in (0.1, 0.25, 0.5)], (1.372508156339, 0.792481250361, 0.207518749639)),
    (lambda: [uniform.rate(3, D=D) for D in (0.2, 0.4)], (0.663034405834, 0.214011906266)),
    (
        lambda: [
            binary.classification_loss(*a)
            for a in ((0.5, 0.1, 0.5), (0.5, 0.1, 0.25), (0.3, 0.2, 0.25), (0.3, 0.2, 0.5))
        ],
        (0.697315865270, 0.843753164705, 0.875400581828, 0.802445756537),
    ),
    (
        lambda: [
            binary.rate(p, D=D, C=C, p1=p1)
            for p, p1, D, C in (
                (0.5, 0.1, 0.2, 0.8),
                (0.5, 0.1, 0.2, 0.9),
                (0.3, 0.2, 0.15, 0.85),
                (0.3, 0.2, 0.15, 0.9),
            )
        ],
        (0.322654540815, 0.278071905113, 0.332875972005, 0.271450594514),
    ),
    (
        lambda: [
            binary_perception.rate(p, D=D, P=P)
            for p, D, P in ((0.3, 0.1, 0.02), (0.3, 0.2, 0.05), (0.3, 0.3, 0.05), (0.1, 0.1, 0.02), (0.3, 0.1, 0.0))
        ],
        (0.417674389009, 0.173451358187, 0.043458188617, 0.069004033104, 0.426421544088),
    ),
    (
        lambda: [
            erasure.exact(0.1, R=R, C=C) for R, C in ((0.5, 0.72), (0.5, 0.71), (0.5, 0.7), (0.7, 0.625), (0.7, 0.61))
        ],
        (0.652479587143, 0.785588073790, 0.949527838826, 0.331804118533, 0.527779556331),
    ),
    (
        lambda: [gaussian_perception.exact(R=R, P=P) for R, P in ((0.5, 0.01), (1, 0.01), (1, 0.1), (2, 1e-4))],
        (0.537207793864, 0.251154273188, 0.25, 0.062973243627),
    ),
    (lambda: [gaussian_perception.exact(R=1, P=0.25, mu_t=0.5, sigma_t=2)], (0.796584709935,)),
    (
        lambda: [gaussian_perception.exact(R=R, P=0.01 / BIT, kind="kl") for R in (0.5, 1)],
        (0.537875633737, 0.251274347928),
    ),
    (
        lambda: [gaussian_perception.rate(C=H_S - told, theta=math.sqrt(0.8)) for told in (0.25, 0.5)],
        (0.328855216654, 0.707518749639),
    ),
]


@pytest.mark.parametrize(("compute", "values"), VALUES)
def test_values(compute, values):
    for found, value in zip(compute(), values, strict=True):
        same(found, value, 6e-13)


# --- one bit, Y free --------------------------------------------------------------------------------------------


def channels(steps=201):
    """All 2×2 channels of a grid: p(Y=1|X=0), p(Y=1|X=1)."""
    return np.meshgrid(*[np.linspace(0.0, 1.0, steps)] * 2, indexing="ij")


def facts(p, p1, steps=201):
    """D, I, H(S|Y) and P(Y=1) of those channels."""
    u, v = channels(steps)
    joint = np.array([[(1 - p) * (1 - u), (1 - p) * u], [p * (1 - v), p * v]])
    q = joint.sum(axis=0)
    entropy = lambda t: -xlogy(t, t).sum(axis=(0, 1)) / BIT  # noqa: E731
    classes = np.einsum("xs,xyuv->syuv", [[1 - p1, p1], [p1, 1 - p1]], joint)
    of_y = -xlogy(q, q).sum(axis=0) / BIT
    return joint[0, 1] + joint[1, 0], float(h(p)) + of_y - entropy(joint), entropy(classes) - of_y, q[1]


def test_binary_against_all_channels_of_a_grid():
    rng = np.random.default_rng(1)
    reached = 0
    for _ in range(25):
        p, p1 = rng.uniform(0.05, 0.95, 2)
        D, R = 0.6 * min(p, 1 - p) * rng.random(), rng.random() * float(h(p))
        C = float(h(p1) + (h(star(p, p1)) - h(p1)) * rng.uniform(0.2, 1.1))
        cost, told, loss, _ = facts(p, p1)
        for inside, values, exact in (
            ((cost <= D) & (loss <= C), told, binary.rate(p, D=D, C=C, p1=p1)),
            ((told <= R) & (loss <= C), cost, float(binary.exact(p, R=R, C=C, p1=p1))),
            (told <= R, loss, binary.classification_loss(p, p1, R)),
        ):
            best = values[inside].min(initial=INF)
            assert best >= exact - 1e-12
            reached += best < exact + 0.03
    assert reached > 55


def test_binary_to_forty_digits(digits):
    rng = np.random.default_rng(2)
    for _ in range(15):
        p, p1 = (float(v) for v in rng.uniform(0.02, 0.49, 2))
        D = p * float(rng.random())
        same(binary.rate(p, D=D), h40(p) - h40(D))
        R = 0.98 * float(rng.random()) * float(h(p))
        least = inverse40(h40(p) - mp.mpf(R), p)
        same(binary.exact(p, R=R), least)
        same(binary.classification_loss(p, p1, R), h40(star(mp.mpf(p1), least)))
        C = float(h(p1) + (h(star(p, p1)) - h(p1)) * rng.uniform(0.05, 0.95))
        limit = (inverse40(mp.mpf(C)) - mp.mpf(p1)) / (1 - 2 * mp.mpf(p1))
        same(binary.rate(p, D=D, C=C, p1=p1), h40(p) - h40(min(mp.mpf(D), limit)), 1e-12)


def test_small_rates_keep_their_digits(digits):
    for p in (0.5, 0.3, 0.499, 1e-3):
        for R in (1e-20, 1e-12, 1e-6):
            low, high = mp.mpf(0), mp.mpf(p)
            for _ in range(140):
                drop = (low + high) / 2
                low, high = (drop, high) if h40(p) - h40(mp.mpf(p) - drop) < R else (low, drop)
            same(p - float(binary.exact(p, R=R)), drop, 2e-16)
    for D in (0.3 - 1e-9, 0.3 - 1e-5):
        assert binary.rate(0.3, D=D) == pytest.approx(float(h40(0.3) - h40(D)), rel=1e-12)


@few
@given(unit, unit, amount, amount, amount)
def test_binary_properties(p, p1, R, C, more):
    """D(R, C) falls in R and C; R(D, C) inverts it and is max(R(D), R(C)); relabelling changes nothing."""
    at = binary.exact(p, R=R, C=C, p1=p1)
    less, most = sorted((R, more))
    assert float(binary.exact(p, R=most, C=C, p1=p1)) <= float(binary.exact(p, R=less, C=C, p1=p1)) + 1e-15
    tight, loose = sorted((C, more))
    assert float(binary.exact(p, R=R, C=loose, p1=p1)) <= float(binary.exact(p, R=R, C=tight, p1=p1))
    assert at.feasible == math.isfinite(at.distortion) == (not math.isnan(at.parameter))
    needed = binary.rate(p, D=at.distortion, C=C, p1=p1)
    assert needed <= R + 1e-12 if at.feasible else binary.rate(p, C=C, p1=p1) >= R - 1e-9
    assert needed == max(binary.rate(p, D=at.distortion), binary.rate(p, C=C, p1=p1))
    assert binary.exact(p, R=R * BIT, C=C * BIT, p1=p1, units="nats") == at
    if at.feasible:
        assert 0.0 <= at.distortion <= min(p, 1 - p) and -1e-12 <= at.parameter <= 1 + 1e-12
        turned = binary.exact(1 - p, R=R, C=C + 1e-9, p1=1 - p1)
        assert turned.distortion == pytest.approx(at.distortion, abs=1e-7)


def test_binary_ends():
    assert binary.exact(0.3, R=0.0).distortion == 0.3 and binary.exact(0.3, R=None).regime == "lossless"
    assert binary.exact(0.7, R=0.5).parameter == pytest.approx(1 - binary.exact(0.3, R=0.5).parameter)
    assert binary.rate(0.3, D=0.3) == 0.0 == binary.rate(0.3) == binary.rate(0.0, D=0.0) == binary.rate(1.0, D=0.0)
    same(binary.rate(0.3, D=0.0), h(0.3), 1e-15)
    same(binary.classification_loss(0.3, 0.2, 0.0), h(star(0.3, 0.2)), 1e-15)
    same(binary.classification_loss(0.3, 0.2, None), h(0.2), 1e-15)
    assert binary.rate(0.3, C=float(h(0.2)) - 1e-9, p1=0.2) == INF
    same(binary.rate(0.3, C=float(h(0.2)), p1=0.2), h(0.3), 1e-12)
    # S independent of X: C is met by all or by none.
    assert binary.rate(0.3, D=0.1, C=1.0, p1=0.5) == binary.rate(0.3, D=0.1)
    assert binary.rate(0.3, C=0.999, p1=0.5) == INF and not binary.exact(0.3, C=0.999, p1=0.5).feasible
    # The free law is at least as good as every given one.
    for q in np.linspace(0.0, 1.0, 21):
        assert binary.exact(0.3, R=0.4).distortion <= bernoulli.exact(0.3, q, 0.1, 0.4, None).distortion + 1e-15


# --- one bit, Y near the law of X -------------------------------------------------------------------------------


def test_binary_perception_against_all_channels_of_a_grid():
    rng = np.random.default_rng(3)
    binds = 0
    for _ in range(25):
        p = float(rng.uniform(0.05, 0.95))
        P, D, R = 0.3 * p * rng.random(), 0.8 * min(p, 1 - p) * rng.random(), rng.random() * float(h(p))
        cost, told, _, q = facts(p, 0.0)
        near = abs(q - p) <= P
        best = told[near & (cost <= D)].min(initial=INF)
        exact = binary_perception.rate(p, D=D, P=P)
        assert exact - 1e-12 <= best
        answer = binary_perception.exact(p, R=R, P=P)
        least = cost[near & (told <= R)].min(initial=INF)
        assert answer.distortion - 1e-12 <= least <= answer.distortion + 0.05
        binds += answer.regime == "perception-limited"
    assert 5 < binds < 25


def test_binary_perception_to_forty_digits(digits):
    rng = np.random.default_rng(4)
    for _ in range(30):
        p = mp.mpf(float(rng.uniform(0.02, 0.5)))
        P = p * mp.mpf(float(rng.random()))
        first, last = P / (1 - 2 * (p - P)), 2 * p * (1 - p) - (1 - 2 * p) * P
        for part in map(mp.mpf, rng.random(2)):
            D = first + (last - first) * part
            middle = h40(p) + h40(p - P) - h40((D - P) / 2, (D + P) / 2, p - (D + P) / 2, 1 - p - (D - P) / 2)
            same(binary_perception.rate(float(p), D=float(D), P=float(P)), middle, 1e-12)
            same(binary_perception.rate(float(p), D=float(first * part), P=float(P)), h40(p) - h40(first * part), 1e-12)
        assert binary_perception.rate(float(p), D=float(last) + 1e-15, P=float(P)) < 1e-15


@few
@given(unit, amount, amount, amount)
def test_binary_perception_properties(p, R, P, more):
    """D(R, P) falls in R and P, between D(R) and D(R; px); R(D, P) inverts it; P = p is no budget."""
    at = binary_perception.exact(p, R=R, P=P)
    less, most = sorted((R, more))
    low, high = (binary_perception.exact(p, R=rate, P=P).distortion for rate in (most, less))
    assert low <= high + 1e-15
    less, most = sorted((P, more))
    low, high = (binary_perception.exact(p, R=R, P=distance).distortion for distance in (most, less))
    assert low <= high + 1e-12
    assert binary.exact(p, R=R).distortion - 1e-12 <= at.distortion
    assert at.distortion <= bernoulli.exact(p, p, 0.0, R, None).distortion + 1e-12
    assert abs(at.parameter - p) <= P + 1e-12
    assert binary_perception.rate(p, D=at.distortion, P=P) <= R + 1e-12
    assert binary_perception.rate(p, D=at.distortion + 1e-9, P=P) <= R
    assert binary_perception.exact(p, R=R, P=min(p, 1 - p)).distortion == binary.exact(p, R=R).distortion
    same(binary_perception.exact(p, R=R, P=0.0).distortion, bernoulli.exact(p, p, 0.0, R, None).distortion, 1e-12)


# --- uniform letters --------------------------------------------------------------------------------------------


@few
@given(st.integers(2, 300), st.floats(0.0, 1.0), amount)
def test_uniform_properties(q, D, R):
    """R(D) = log q − h(D) − D log(q−1), its inverse, and two letters are a fair bit."""
    if D <= 1 - 1 / q:
        assert uniform.rate(q, D=D) == pytest.approx(
            max(0.0, math.log2(q) - float(h(D)) - D * math.log2(q - 1)), abs=1e-13
        )
    else:
        assert uniform.rate(q, D=D) == 0.0
    answer = uniform.exact(q, R=R)
    assert 0.0 <= answer.distortion <= 1 - 1 / q
    assert uniform.rate(q, D=answer.distortion) == pytest.approx(min(R, math.log2(q)), abs=1e-12)
    assert uniform.exact(2, R=R).distortion == pytest.approx(binary.exact(0.5, R=R).distortion, abs=1e-15)
    assert answer.parameter * (q - 1) == pytest.approx(answer.distortion)


# --- erasure ----------------------------------------------------------------------------------------------------


def message_program(p1, R, C, steps=1200):
    """The least mass of the erasure over measures on its posteriors of a grid (a linear program)."""
    b = np.linspace(0.0, 1.0, steps + 1)
    # Columns: the letters 0 and 1, then the erasure with posterior b.
    point, cost = np.concatenate([[0.0, 1.0], b]), np.concatenate([[0.0, 0.0], np.ones(steps + 1)])
    rows = np.array([1.0 - h(point), h(star(p1, point))])
    found = linprog(cost, rows, [R, C], np.array([np.ones(len(point)), point]), [1.0, 0.5])
    return found.fun if found.status == 0 else INF


def one_erasure(p1, R, C, steps=800):
    """The least mass of the erasure over channels of a grid, p(erased|0) ≥ p(erased|1)."""
    u, v = channels(steps + 1)
    D = (u + v) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        b = np.where(D > 0, v / 2 / D, 0.5)
    inside = (1.0 - D * h(b) <= R) & ((1 - D) * h(p1) + D * h(star(p1, b)) <= C)
    return D[inside].min(initial=INF)


@pytest.mark.parametrize(
    ("R", "C"), [(0.5, 0.75), (0.5, 0.72), (0.5, 0.7), (0.7, 0.625), (0.7, 0.61), (0.3, 0.8), (0.3, 0.76)]
)
def test_erasure_against_a_linear_program_and_a_grid(R, C):
    exact = float(erasure.exact(0.1, R=R, C=C))
    assert exact - 1e-7 <= message_program(0.1, R, C) <= exact + 1e-4
    one = erasure.exact(0.1, R=R, C=C, classifier_sees="Y").distortion
    grid = one_erasure(0.1, R, C)
    assert one <= grid and (grid <= one + 1e-2 or one == INF)
    assert one == INF or one == pytest.approx(exact, abs=1e-14)


def test_one_erasure_is_infeasible_where_two_are_not():
    # At R = 1/2 and p1 = 0.1, the least classification loss with one posterior an erasure, and with two.
    for C, sees in ((0.720465311500, "Y"), (0.697315865270, "message")):
        assert erasure.exact(0.1, R=0.5, C=C + 1e-11, classifier_sees=sees).feasible
        assert not erasure.exact(0.1, R=0.5, C=C - 1e-11, classifier_sees=sees).feasible


@few
@given(unit, amount, amount, amount, st.sampled_from(erasure.SEES))
def test_erasure_properties(p1, R, C, more, sees):
    """D(R, C) falls in R and C and is at least 1 − R; message ≤ Y; R(D, C) inverts it; bits and nats agree."""
    at = erasure.exact(p1, R=R, C=C, classifier_sees=sees)
    less, most = sorted((R, more))
    low, high = (erasure.exact(p1, R=rate, C=C, classifier_sees=sees).distortion for rate in (most, less))
    assert low <= high + 1e-9
    less, most = sorted((C, more))
    low, high = (erasure.exact(p1, R=R, C=loss, classifier_sees=sees).distortion for loss in (most, less))
    assert low <= high + 1e-12
    assert max(0.0, 1.0 - R) - 1e-15 <= at.distortion
    assert erasure.exact(p1, R=R, C=C).distortion <= erasure.exact(p1, R=R, C=C, classifier_sees="Y").distortion + 1e-9
    nats = erasure.exact(p1, R=R * BIT, C=C * BIT, classifier_sees=sees, units="nats")
    assert nats.distortion == pytest.approx(at.distortion, abs=1e-9)
    if at.feasible:
        assert erasure.rate(p1, D=at.distortion + 1e-9, C=C + 1e-9, classifier_sees=sees) <= R + 1e-6


@few
@given(st.floats(0.01, 0.45), st.floats(0.01, 1.0), st.floats(0.01, 0.99), st.sampled_from(erasure.SEES))
def test_erasure_rate_inverts(p1, D, part, sees):
    """At R = R(D, C) the least distortion is at most D; below it, more than D."""
    C = float(h(p1)) + part * D * (1.0 - float(h(p1)))
    R = erasure.rate(p1, D=D, C=C, classifier_sees=sees)
    assert erasure.exact(p1, R=R + 1e-9, C=C, classifier_sees=sees).distortion <= D + 1e-6
    assert erasure.exact(p1, R=R - 1e-6, C=C, classifier_sees=sees).distortion > D - 1e-12 if R > 1e-6 else True


def test_erasure_ends():
    assert erasure.exact(0.1).distortion == 0.0 and erasure.exact(0.1, R=0.0).distortion == 1.0
    assert float(erasure.exact(0.1, R=0.25)) == 0.75 and erasure.rate(0.1, D=0.75) == pytest.approx(0.25)
    assert not erasure.exact(0.1, R=0.0, C=0.99).feasible and erasure.exact(0.1, R=0.0, C=1.0).feasible
    assert erasure.rate(0.1, C=float(h(0.1)) - 1e-9) == INF
    same(erasure.rate(0.1, C=float(h(0.1))), 1.0, 1e-7)
    assert erasure.rate(0.5, D=0.3, C=1.0) == pytest.approx(0.7) and erasure.rate(0.5, C=0.9) == INF


def test_extremes_give_numbers():
    """Zero and tiny masses, scales and budgets: no warning, no NaN, nothing negative."""
    rng = np.random.default_rng(8)
    masses, budgets = [0.0, 1e-300, 1e-9, 0.3, 0.5, 1.0], [None, 0.0, 5e-324, 1e-300, 1e-12, 0.469, 1.0, 1e3, 1e308]
    scales = [1e-150, 1e-8, 1.0, 1e8, 1e150]
    pick = lambda values: values[rng.integers(len(values))]  # noqa: E731
    for _ in range(600):
        p, p1, one, two = pick(masses), pick(masses), pick(budgets), pick(budgets)
        sees, kind, covariances = (
            pick(erasure.SEES),
            pick(gaussian_perception.KINDS),
            ([pick(scales), 1.0], [0.0, 1e-300]),
        )
        values = [
            binary.exact(p, R=one, C=two, p1=p1),
            binary.rate(p, D=one, C=two, p1=p1),
            binary_perception.exact(p, R=one, P=two),
            binary_perception.rate(p, D=one, P=two),
            erasure.exact(p1, R=one, C=two, classifier_sees=sees),
            erasure.rate(p1, D=one, C=two, classifier_sees=sees),
            uniform.exact(10**15, R=one),
            uniform.rate(10**15, D=one),
            vector_gaussian.exact(*covariances, R=one),
            vector_gaussian.exact(covariances[0], covariances[0], R=one),
            vector_gaussian.rate(covariances[0], covariances[0], D=one),
            vector_gaussian.rate(covariances[0], D=one),
        ]
        near = {"kind": kind, "sigma_x": pick(scales[1:4]), "sigma_t": pick(scales[1:4]), "mu_t": 1.0}
        values += [
            gaussian_perception.exact(R=one, P=two, **near),
            gaussian_perception.rate(D=one, P=two, **near),
            gaussian_perception.perception(R=one, D=two, **near),
        ]
        assert all(float(value) >= 0.0 for value in values)


# --- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: binary.exact(1.2), r"p must be a probability in \[0, 1\]; it is 1\.2\. Pass P\(X = 1\)"),
        (lambda: binary.exact(0.3, R=1, C=1, p1=-1), r"p1 must be a probability.*it is -1\. Pass P\(S1 = 1\)"),
        (lambda: binary.exact(0.3, R=-1), r"R must be nonnegative; it is -1\."),
        (lambda: binary.rate(0.3, D=-0.1), r"D must be nonnegative; it is -0\.1\."),
        (lambda: binary.rate("0.3", D=0.1), r"p must be a number; it is '0\.3'"),
        (lambda: binary.classification_loss(0.3, 0.1, 1, units="bytes"), "units must be one of"),
        (lambda: binary_perception.exact(0.3, R=1, P=-0.1), r"P must be nonnegative; it is -0\.1\."),
        (lambda: binary_perception.rate(math.nan, D=1), r"p must be a number; it is nan\."),
        (
            lambda: uniform.exact(1, R=1),
            r"q must be a whole number from 2 to 2\*\*53; it is 1\. Pass the number of letters",
        ),
        (lambda: uniform.rate(2.5, D=0.1), r"q must be a whole number from 2 to 2\*\*53; it is 2\.5\."),
        (lambda: uniform.rate(INF, D=0.1), r"q must be a whole number from 2 to 2\*\*53; it is inf\."),
        (lambda: erasure.exact(0.1, R=1, classifier_sees="YU"), r"classifier_sees must be one of 'message', 'Y'"),
        (lambda: erasure.rate(3.0), r"p1 must be a probability"),
        (
            lambda: gaussian_perception.exact(R=1, P=1, kind="tv"),
            r"kind must be one of 'wasserstein', 'kl'; it is 'tv'",
        ),
        (lambda: gaussian_perception.exact(R=1, sigma_t=0), r"sigma_t must be positive and finite; it is 0\."),
        (lambda: gaussian_perception.exact(R=1, mu_t=INF), r"mu_t must be finite; it is inf\."),
        (lambda: gaussian_perception.exact(R=1, theta=2), r"theta = Cov\(X, S\) must be at most"),
        (
            lambda: gaussian_perception.exact(R=1, P=1, kind="kl", sigma_t=1e-300),
            r"sigma_t must be at least 1e-100 of sigma_x and of mu_x − mu_t for 'kl'; it is 1e-300\. Pass",
        ),
        (lambda: gaussian_perception.rate(D=-1), r"D must be nonnegative"),
        (lambda: gaussian_perception.perception(R=1, D=1, C=-INF), r"C must be a real number; it is -inf\."),
        (lambda: gaussian_perception.as_printed(R=1, C=1, theta=0.5, P=-1), r"P must be nonnegative"),
        (lambda: vector_gaussian.exact([[1, 2]], R=1), r"cov_x must be square; it has shape \(1, 2\)\."),
        (lambda: vector_gaussian.exact([[1, 2], [0, 1]], R=1), r"cov_x must be symmetric; two entries differ by 2\."),
        (
            lambda: vector_gaussian.exact([[1, 2], [2, 1]], R=1),
            r"cov_x must have no negative eigenvalue; its least is -1",
        ),
        (lambda: vector_gaussian.exact([1, -1], R=1), r"cov_x must have no negative eigenvalue; its least is -1"),
        (
            lambda: vector_gaussian.exact([1, 1], [1], R=1),
            r"cov_y must be of the size of cov_x, \(2, 2\); it has 1 rows",
        ),
        (lambda: vector_gaussian.exact([1], R=1, mean_y=[0]), r"mean_y must be None where cov_y is"),
        (lambda: vector_gaussian.exact([1], [1], R=1, mean_x=[0, 1]), r"mean_x must have 1 entries.*it has 2\."),
        (lambda: vector_gaussian.exact([math.nan], R=1), r"cov_x must be finite; cov_x\[0\] is nan"),
        (lambda: vector_gaussian.exact(1.0, R=1), r"cov_x must be an array of real numbers"),
    ],
)
def test_messages(call, message):
    with pytest.raises(InputError, match=message):
        call()
