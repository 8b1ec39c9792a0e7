"""Closed forms with a free law or a perception budget: Gaussians and vectors of them."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest
from free_forms import BIT, H_S, INF, few, same
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from drcopt.closed_forms import (
    gaussian,
    gaussian_perception,
    vector_gaussian,
)

size = st.floats(0.1, 10.0)


# --- Gaussian, near a target ------------------------------------------------------------------------------------


def zhang_rate(D, P, sigma=1.0):
    """R(D, P) of N(0, σ²) with W₂² ≤ P to its own law, as Zhang et al. (2021) print it, in nats."""
    root = math.sqrt(P)
    if root > sigma - math.sqrt(abs(sigma**2 - D)):
        return max(0.0, 0.5 * math.log(sigma**2 / D))
    own = sigma**2 * (sigma - root) ** 2
    return 0.5 * math.log(own / (own - ((sigma**2 + (sigma - root) ** 2 - D) / 2) ** 2))


def test_gaussian_rate_is_the_printed_one():
    rng = np.random.default_rng(5)
    for _ in range(60):
        sigma = float(rng.uniform(0.3, 3.0))
        D, P = (float(v) for v in rng.uniform(0.01, 1.2, 2) * sigma**2)
        ours = gaussian_perception.rate(D=D, P=P, sigma_x=sigma, units="nats")
        assert ours == pytest.approx(
            zhang_rate(D, P, sigma) if D < sigma**2 + max(0, sigma - P**0.5) ** 2 else 0, abs=1e-12
        )


def moments(kind, R, P, sx, shift, st_):
    """The least distortion over mean, deviation and correlation by SLSQP, nats, in units where mu_t = 0."""
    rho = math.sqrt(1 - math.exp(-2 * R))

    def distance(z):
        if kind == "wasserstein":
            return z[0] ** 2 + (z[1] - st_) ** 2
        return 0.5 * ((z[0] ** 2 + z[1] ** 2) / st_**2 - 1) - math.log(z[1] / st_)

    found = [
        minimize(
            lambda z: (shift - z[0]) ** 2 + sx**2 + z[1] ** 2 - 2 * z[2] * sx * z[1],
            [shift * start, st_, 0.5 * rho],
            bounds=[(None, None), (1e-6, None), (-rho, rho)],
            constraints=[{"type": "ineq", "fun": lambda z: P - distance(z)}],
            options={"ftol": 1e-15, "maxiter": 500},
        )
        for start in (0.0, 0.5)
    ]
    return min(f.fun for f in found if distance(f.x) <= P + 1e-7)


@pytest.mark.parametrize("kind", gaussian_perception.KINDS)
def test_gaussian_against_a_search_over_moments(kind):
    rng = np.random.default_rng(6)
    regimes = set()
    for _ in range(25):
        R, P, shift = float(rng.uniform(0.02, 2)), float(rng.uniform(0.001, 0.6)), float(rng.uniform(-1, 1))
        sx, st_ = (float(v) for v in rng.uniform(0.4, 2.0, 2))
        answer = gaussian_perception.exact(
            R=R, P=P, kind=kind, sigma_x=sx, sigma_t=st_, mu_x=shift, mu_t=0.0, units="nats"
        )
        regimes.add(answer.regime)
        assert answer.distortion == pytest.approx(moments(kind, R, P, sx, shift, st_), abs=2e-6)
    assert regimes == {"perception-limited", "rate-limited"}


kinds = st.sampled_from(gaussian_perception.KINDS)


@few
@given(kinds, st.floats(0, 6), st.floats(0, 6), st.floats(0, 2), st.floats(0, 2), size, st.floats(-2, 2))
def test_gaussian_perception_properties(kind, R, more_R, P, more_P, sigma_t, mu_t):
    """D(R, P) falls in R and P, from D at the target's law to that of a free law; R(D, P) and P(R, D) invert it."""
    near = {"kind": kind, "sigma_t": sigma_t, "mu_t": mu_t}
    (R, more_R), (P, more_P) = sorted((R, more_R)), sorted((P, more_P))
    at = gaussian_perception.exact(R=R, P=P, **near)
    assert gaussian_perception.exact(R=more_R, P=P, **near).distortion <= at.distortion * (1 + 1e-12)
    assert gaussian_perception.exact(R=R, P=more_P, **near).distortion <= at.distortion * (1 + 1e-12)
    free, given_law = math.exp(-2 * R * BIT), gaussian.exact(theta=0, R=R, C=None, sigma_y=sigma_t, mu_y=mu_t)
    assert free * (1 - 1e-12) <= at.distortion <= given_law.distortion * (1 + 1e-12)
    assert gaussian_perception.exact(R=R, P=0, **near).distortion == pytest.approx(given_law.distortion, rel=1e-12)
    assert gaussian_perception.exact(R=R, **near).distortion == pytest.approx(free, rel=1e-15)
    assert gaussian_perception.rate(D=at.distortion * (1 + 1e-9), P=P, **near) <= R + 1e-9
    least = gaussian_perception.perception(R=R, D=at.distortion * (1 + 1e-12), **near)
    # Where D hardly depends on P the inverse is ill-conditioned; the distortion is not.
    assert least <= P + 1e-9
    again = gaussian_perception.exact(R=R, P=least, **near).distortion
    assert again == pytest.approx(at.distortion, rel=1e-9, abs=1e-12)


@few
@given(kinds, st.floats(0.05, 4), st.floats(0.001, 1), size)
def test_gaussian_rate_inverts(kind, R, P, sigma_t):
    """R(D(R, P), P) = R where D falls."""
    D = gaussian_perception.exact(R=R, P=P, kind=kind, sigma_t=sigma_t).distortion
    assert gaussian_perception.rate(D=D, P=P, kind=kind, sigma_t=sigma_t) == pytest.approx(R, abs=1e-6)


@mp.workdps(40)
def test_gaussian_perception_to_forty_digits():
    for R, P, sx, st_, shift in ((0.7, 0.02, 1.3, 0.6, 0.4), (1e-6, 0.5, 1.0, 2.0, 0.0), (9.0, 1e-6, 1.0, 1.0, 0.0)):
        arguments = {"sigma_x": sx, "sigma_t": st_, "mu_x": shift, "mu_t": 0.0, "units": "nats"}
        R, P, sx, st_, shift = map(mp.mpf, (R, P, sx, st_, shift))
        tail = mp.exp(-2 * R)
        start = mp.sqrt(1 - tail) * sx
        excess = max(mp.mpf(0), mp.sqrt(shift**2 + (start - st_) ** 2) - mp.sqrt(P))
        disc = gaussian_perception.exact(R=float(R), P=float(P), **arguments)
        assert disc.distortion == pytest.approx(float(sx**2 * tail + excess**2), rel=1e-14)

        def at(kappa, start=start, st_=st_, shift=shift):
            root = mp.sqrt(start**2 + 4 * (1 + kappa) * kappa * st_**2)
            return shift / (1 + kappa), (start + root) / (2 * (1 + kappa))

        def excess_of(logarithm, at=at, st_=st_, P=P):
            m, s = at(mp.exp(logarithm))
            return ((m**2 + s**2) / st_**2 - 1) / 2 - mp.log(s / st_) - P

        low, high = mp.mpf(-60), mp.mpf(60)
        for _ in range(150):
            middle = (low + high) / 2
            low, high = (middle, high) if excess_of(middle) > 0 else (low, middle)
        m, s = at(mp.exp(low))
        expected = sx**2 * tail + ((m - shift) ** 2 + (s - start) ** 2 if low > -59 else 0)
        ours = gaussian_perception.exact(R=float(R), P=float(P), kind="kl", **arguments)
        assert ours.distortion == pytest.approx(float(expected), rel=1e-12)


def test_gaussian_classes_decide_feasibility_only():
    for R in (0.0, 0.3, 2.0):
        least = gaussian_perception.classification_loss(R, theta=0.8)
        given_law = {"theta": 0.8, "P": 0.02}
        at = gaussian_perception.exact(R=R, C=least, **given_law)
        assert at == gaussian_perception.exact(R=R, **given_law) and at.feasible
        assert not gaussian_perception.exact(R=R, C=least - 1e-9, **given_law).feasible
        assert gaussian_perception.rate(C=least, theta=0.8) == pytest.approx(R, abs=1e-12)
        assert gaussian_perception.rate(D=at.distortion, C=least - 0.01, **given_law) > R + 1e-3
        assert gaussian_perception.perception(R=R, D=at.distortion, C=least - 1e-9, theta=0.8) == INF
        assert gaussian.exact(theta=0.8, R=R, C=least).feasible
    floor = gaussian_perception.classification_loss(None, theta=0.8)
    assert gaussian_perception.rate(C=floor - 1e-9, theta=0.8) == INF
    assert gaussian_perception.classification_loss(None, theta=1.0) == -INF
    assert gaussian_perception.rate(C=-20.0, theta=1.0) == pytest.approx(H_S + 20.0)


def test_gaussian_perception_ends():
    assert gaussian_perception.exact().distortion == 0.0 and gaussian_perception.exact(R=0.0).distortion == 1.0
    assert gaussian_perception.exact(R=0.0, P=0.0).distortion == 2.0
    assert gaussian_perception.rate(D=0.0) == INF and gaussian_perception.rate(D=1.0) == 0.0
    assert gaussian_perception.rate(D=0.2, P=0.0, sigma_t=0.5) == INF  # (1 − 0.5)² is the least
    assert gaussian_perception.rate(D=0.25 + 1e-12, P=0.0, sigma_t=0.5) < 40
    assert gaussian_perception.perception(R=1.0, D=0.2) == INF
    assert gaussian_perception.perception(R=1.0, D=0.25, kind="kl") > 0
    assert gaussian_perception.perception(R=0.0, D=1.0, kind="kl") == INF  # a constant Y
    assert gaussian_perception.perception(R=1.0) == 0.0 == gaussian_perception.perception(R=1.0, kind="kl")


# --- Gaussian vectors -------------------------------------------------------------------------------------------


def draw_covariance(rng, size):
    root = rng.normal(size=(size, size))
    return root @ root.T + 0.05 * np.eye(size)


def square_root(matrix):
    values, axes = np.linalg.eigh(matrix)
    return (axes * np.sqrt(values)) @ axes.T


@pytest.mark.parametrize("n", [2, 3])
def test_given_law_against_a_search_over_cross_covariances(n):
    rng = np.random.default_rng(n)
    for _ in range(4):
        cov_x, cov_y = draw_covariance(rng, n), draw_covariance(rng, n)
        R = float(rng.uniform(0.05, 3.0))
        roots = square_root(cov_y) @ square_root(cov_x)
        exact = float(vector_gaussian.exact(cov_x, cov_y, R=R, units="nats"))

        # M = (I + AAᵀ)^{−1/2} A runs through all contractions, and −½ log det(I − MMᵀ) = ½ log det(I + AAᵀ).
        def told(z, n=n):
            return 0.5 * np.linalg.slogdet(np.eye(n) + z.reshape(n, n) @ z.reshape(n, n).T)[1]

        def kept(z, roots=roots, n=n):
            a = z.reshape(n, n)
            return -np.trace(roots @ np.linalg.inv(square_root(np.eye(n) + a @ a.T)) @ a)

        found = [
            minimize(
                kept,
                0.3 * rng.normal(size=n * n),
                constraints=[{"type": "ineq", "fun": lambda z, R=R, told=told: R - told(z)}],
                options={"ftol": 1e-14, "maxiter": 400},
            )
            for _ in range(3)
        ]
        best = min(f.fun for f in found if told(f.x) <= R + 1e-8)
        assert np.trace(cov_x + cov_y) + 2 * best == pytest.approx(exact, abs=2e-6)


def test_given_law_is_attained():
    """The s_i of the multiplier meet the rate, and give the distortion, to 40 digits."""
    with mp.workdps(40):
        for a, b, R in (
            ((4.0, 1.0), (1.0, 1.0), 1.0),
            ((9.0, 0.01, 1.0), (2.0, 3.0, 1e-8), 0.01),
            ((1.0, 1.0), (1.0, 4.0), 30),
        ):
            answer = vector_gaussian.exact(a, b, R=R, units="nats")
            shares = [mp.sqrt(mp.mpf(x) * mp.mpf(y)) for x, y in zip(a, b, strict=True)]
            weight = mp.mpf(answer.parameter)
            kept = [2 * s / (weight + mp.sqrt(weight**2 + 4 * s**2)) for s in shares]
            assert float(-sum(mp.log(1 - s**2) for s in kept) / 2) == pytest.approx(R, rel=1e-12)
            D = sum(map(mp.mpf, (*a, *b))) - 2 * sum(s * k for s, k in zip(shares, kept, strict=True))
            assert answer.distortion == pytest.approx(float(D), rel=1e-13)


@few
@given(st.lists(size, min_size=1, max_size=4), st.floats(0, 8), st.floats(0, 8), st.floats(-3, 3))
def test_vector_properties(variances, R, more, shift):
    """D falls in R, free ≤ given; R(D) inverts both; one component is the scalar form; rotations change nothing."""
    n = len(variances)
    others = [1.0 + i for i in range(n)]
    R, more = sorted((R, more))
    given_law, free = vector_gaussian.exact(variances, others, R=R), vector_gaussian.exact(variances, R=R)
    assert vector_gaussian.exact(variances, others, R=more).distortion <= given_law.distortion + 1e-12
    assert vector_gaussian.exact(variances, R=more).distortion <= free.distortion + 1e-12
    assert free.distortion <= given_law.distortion + 1e-12
    if R > 0.01:
        assert vector_gaussian.rate(variances, others, D=given_law.distortion) == pytest.approx(R, abs=1e-6)
        assert vector_gaussian.rate(variances, D=free.distortion) == pytest.approx(R, abs=1e-9)
    means = {"mean_x": [shift] * n, "mean_y": [0.0] * n}
    moved = vector_gaussian.exact(variances, others, R=R, **means)
    assert moved.distortion == pytest.approx(given_law.distortion + n * shift**2, rel=1e-12)
    axes = np.linalg.qr(np.random.default_rng(n).normal(size=(n, n)))[0]
    turned = [axes @ np.diag(v) @ axes.T for v in (variances, others)]
    assert float(vector_gaussian.exact(*turned, R=R)) == pytest.approx(given_law.distortion, abs=1e-9)
    scalar = gaussian.exact(theta=0, R=R, C=None, sigma_x=math.sqrt(variances[0]), sigma_y=1.0)
    assert float(vector_gaussian.exact(variances[:1], [1.0], R=R)) == pytest.approx(scalar.distortion, rel=1e-9)


def test_reverse_water_filling():
    # By hand: above the water the rates are ½ log(σ²/θ).
    same(vector_gaussian.exact([4.0, 1.0], R=0.5), 3.0, 1e-14)  # only the first: 4·2^{−1} + 1
    same(vector_gaussian.exact([4.0, 1.0], R=1.0), 2.0, 1e-14)
    same(vector_gaussian.exact([4.0, 1.0], R=2.0), 1.0, 1e-14)  # θ = 1/2 for both
    assert vector_gaussian.exact([4.0, 1.0], R=None).distortion == 0.0
    assert vector_gaussian.rate([4.0, 1.0], D=5.0) == 0.0 and vector_gaussian.rate([4.0, 1.0], D=0.0) == INF
    # With Y's law given the weaker component has rate as well, however small R is.
    weight = vector_gaussian.exact([4.0, 1.0], [4.0, 1.0], R=1e-3).parameter
    assert 2 / (weight + math.sqrt(weight**2 + 4)) > 0.005


def test_vector_ends():
    a, b = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, -0.3], [-0.3, 3.0]])
    root = square_root(a)
    bures = np.trace(a + b) - 2 * np.trace(square_root(root @ b @ root))
    answer = vector_gaussian.exact(a, b, R=None)
    assert answer.distortion == pytest.approx(bures, abs=1e-12) and answer.regime == "optimal-transport floor"
    assert float(vector_gaussian.exact(a, b, R=0.0)) == pytest.approx(np.trace(a + b))
    assert vector_gaussian.rate(a, b, D=bures - 1e-9) == INF and vector_gaussian.rate(a, b, D=np.trace(a + b)) == 0.0
    assert vector_gaussian.rate(a, b, D=None) == 0.0
    assert float(vector_gaussian.exact(a, a, R=60)) == pytest.approx(0.0, abs=1e-12)
    # A constant Y, and a component without variance.
    assert float(vector_gaussian.exact([1.0, 2.0], [0.0, 0.0], R=1.0)) == 3.0
    same(vector_gaussian.exact([1.0, 0.0], [1.0, 2.0], R=1.0), 2.0 + float(gaussian.exact(theta=0, R=1, C=None)))
    same(vector_gaussian.exact([1.0, 0.0], R=1.0), 0.25)
