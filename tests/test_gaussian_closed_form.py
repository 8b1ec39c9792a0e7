"""The printed closed form for Gaussians."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drcopt import information
from drcopt.closed_forms import gaussian
from drcopt.errors import InputError

INF = math.inf

# --- Gaussian --------------------------------------------------------------------------------------------------


def test_gaussian_values():
    for R, D in ((0.5, 0.5857864376), (1.0, 0.2679491924), (2.0, 0.0635083269)):
        assert float(gaussian.exact(theta=0.5, R=R, C=None)) == pytest.approx(D, abs=5e-11)


GAUSSIAN = {"sigma_x": 1.3, "sigma_y": 0.7, "sigma_s": 2.0, "mu_x": 0.4, "mu_y": -0.3, "theta": -1.9}


def test_gaussian_result_attains_its_budgets():
    """ρ gives back D, the rate and, at the feasibility threshold, the classification loss (nats)."""
    g = GAUSSIAN
    h_s = 0.5 * math.log(2 * math.pi * math.e * g["sigma_s"] ** 2)
    r2 = (g["theta"] / g["sigma_x"] / g["sigma_s"]) ** 2
    for R in (0.0, 0.1, 0.7, 3.0):
        rho2 = gaussian.exact(**g, R=R, C=None, units="nats").parameter ** 2
        assert -0.5 * math.log1p(-rho2) == pytest.approx(R, abs=1e-13)
        least = h_s + 0.5 * math.log(1 - rho2 * r2)
        at = gaussian.exact(**g, R=R, C=least, units="nats")
        assert at.feasible and at.regime == "rate-limited"
        assert not gaussian.exact(**g, R=R, C=least - 1e-9, units="nats").feasible
        covariance = math.sqrt(rho2) * g["sigma_x"] * g["sigma_y"]
        moments = (g["mu_x"] - g["mu_y"]) ** 2 + g["sigma_x"] ** 2 + g["sigma_y"] ** 2 - 2 * covariance
        assert float(at) == pytest.approx(moments, abs=1e-14)


def test_gaussian_ends():
    g = GAUSSIAN
    floor = 0.7**2 + 0.6**2
    assert float(gaussian.exact(**g, R=None, C=None)) == pytest.approx(floor, abs=1e-15)
    assert gaussian.exact(**g, R=INF, C=None).regime == "optimal-transport floor"
    assert float(gaussian.exact(**g, R=0, C=None)) == pytest.approx(0.7**2 + 1.3**2 + 0.7**2, abs=1e-15)
    # R = 0: feasible iff C ≥ h(S).
    h_s = information.from_nats(0.5 * math.log(2 * math.pi * math.e * 4.0), "bits")
    assert gaussian.exact(**g, R=0, C=h_s).feasible and not gaussian.exact(**g, R=0, C=h_s - 1e-9).feasible
    # S a multiple of X: any loss can be met, negative ones too, at a rate.
    loud = {"theta": 0.1, "sigma_s": 0.1}
    assert gaussian.exact(**loud, R=None, C=-1e6).feasible
    assert gaussian.exact(**loud, R=10, C=-5).feasible and not gaussian.exact(**loud, R=1, C=-5).feasible
    # S independent of X: nothing beyond h(S) helps.
    assert not gaussian.exact(theta=0.0, R=None, C=2.0).feasible and gaussian.exact(theta=0.0, R=0, C=2.05).feasible


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.floats(0, 8), st.floats(0, 8), st.floats(-4, 4), st.floats(-4, 4), st.floats(-1, 1))
def test_gaussian_monotone(R, more_R, C, more_C, theta):
    """D is nonincreasing in R and in C, and at least the squared Wasserstein distance."""
    (R, more_R), (C, more_C) = sorted((R, more_R)), sorted((C, more_C))
    at = gaussian.exact(theta=theta, R=R, C=C, sigma_y=0.5).distortion
    assert 0.25 <= gaussian.exact(theta=theta, R=more_R, C=C, sigma_y=0.5).distortion <= at + 1e-15
    assert gaussian.exact(theta=theta, R=R, C=more_C, sigma_y=0.5).distortion <= at
    nats = gaussian.exact(theta=theta, R=R * math.log(2), C=C * math.log(2), sigma_y=0.5, units="nats")
    assert nats.distortion == at


def test_printed_gaussian_cases():
    h_s = 0.5 * math.log(2 * math.pi * math.e)
    # Second case: the true one.
    middle = gaussian.as_printed(theta=0.8, R=1.0, C=None)
    assert middle.regime == "rate-limited"
    assert float(middle) == pytest.approx(float(gaussian.exact(theta=0.8, R=1.0, C=None)), abs=1e-15)
    # First case: a correlation that the rate does not allow.
    C = h_s + 0.5 * math.log(1 - 0.64 * 0.9)
    first = gaussian.as_printed(theta=0.8, R=0.1, C=C, units="nats")
    assert first.regime == "classification-limited" and first.parameter == pytest.approx(math.sqrt(0.9))
    assert float(first) == pytest.approx(2 - 2 * math.sqrt(0.9))
    assert not gaussian.exact(theta=0.8, R=0.1, C=C, units="nats").feasible
    # Third case: 0 for R > h(X), though the laws of X and Y differ.
    assert gaussian.as_printed(theta=0.8, R=2.0, C=None, sigma_y=0.5).regime == "rate-limited"
    third = gaussian.as_printed(theta=0.8, R=2.1, C=None, sigma_y=0.5)
    assert third.regime == "zero" and third.distortion == 0.0
    assert float(gaussian.exact(theta=0.8, R=2.1, C=None, sigma_y=0.5)) > 0.25
    # Feasibility ignores R.
    least = h_s + 0.5 * math.log(1 - 0.64)
    assert gaussian.as_printed(theta=0.8, R=0.0, C=least, units="nats").feasible
    assert not gaussian.as_printed(theta=0.8, R=0.0, C=least - 1e-9, units="nats").feasible
    assert gaussian.as_printed(theta=0.0, R=0.5, C=h_s, units="nats").regime == "rate-limited"


@pytest.mark.parametrize("call", [gaussian.exact, gaussian.as_printed])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sigma_x": 0}, r"sigma_x must be positive and finite; it is 0\."),
        ({"sigma_s": -1}, r"sigma_s must be positive"),
        ({"theta": 1.1}, r"theta = Cov\(X, S\) must be at most sigma_x \* sigma_s = 1 in size.*it is 1\.1\."),
        ({"theta": INF}, r"theta must be finite; it is inf\."),
        ({"mu_x": "a"}, r"mu_x must be a number; it is 'a'\. Pass a finite number"),
        ({"R": -0.1}, r"R must be nonnegative; it is -0\.1\."),
        ({"C": -INF}, r"C must be a real number; it is -inf\. Pass any real number"),
        ({"C": math.nan}, r"C must be a number; it is nan\. Pass any real number"),
        ({"units": "bytes"}, r"units must be one of 'bits', 'nats'; it is 'bytes'\."),
    ],
)
def test_gaussian_messages(call, changed, message):
    with pytest.raises(InputError, match=message):
        call(**{"theta": 0.5, "R": 1.0, "C": 1.0, **changed})
