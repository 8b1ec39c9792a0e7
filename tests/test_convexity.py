"""Cells that are convex in effect: the test itself, and the pricing that relies on it."""

from __future__ import annotations

import numpy as np
import pytest
from strategies import make

from drcopt.bounds.posterior import whole_box
from drcopt.bounds.pricing import convexity, price, spatial
from drcopt.bounds.pricing.convexity import Basins, concave


def posteriors(rng: np.random.Generator, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.dirichlet(np.ones(n), size=1), rng.dirichlet(np.full(k, rng.choice([0.3, 1.0])), size=n)


def logarithm(p: np.ndarray, W: np.ndarray, kappa: float, tau: np.ndarray, q: np.ndarray) -> np.ndarray:
    """log F(q)^(1/κ) up to a constant, p being the weights at q = τ."""
    return np.asarray(np.log(np.exp(kappa * (np.log(q / tau) @ W.T)) @ p) / kappa)


class TestConcave:
    @pytest.mark.parametrize("kappa", [1.02, 1.2, 2.0])
    @pytest.mark.parametrize("k", [2, 3, 5])
    def test_what_it_certifies_lies_below_its_chords_nowhere(self, kappa: float, k: int) -> None:
        rng = np.random.default_rng([k, int(100 * kappa)])
        found = 0
        for _ in range(60):
            p, W = posteriors(rng, int(rng.integers(2, 6)), k)
            tau = p @ W
            width = float(rng.choice([0.05, 0.3, 1.0]))
            low, high = tau * np.exp(-width * rng.random(k)), tau * np.exp(width * rng.random(k))
            if not concave(p, tau, kappa, W, low, high, np.zeros(1))[0]:
                continue
            found += 1
            one, other = low + (high - low) * rng.random((2, 40, k))
            ends = np.exp(logarithm(p[0], W, kappa, tau, one)), np.exp(logarithm(p[0], W, kappa, tau, other))
            middle = np.exp(logarithm(p[0], W, kappa, tau, 0.5 * (one + other)))
            assert (middle >= 0.5 * (ends[0] + ends[1]) - 1e-13).all()
            # So that no posterior of the box has more than τ, where p is the posterior of its own weights.
            q = one / one.sum(axis=1, keepdims=True)
            inside = ((q >= low) & (q <= high)).all(axis=1)
            assert (logarithm(p[0], W, kappa, tau, q[inside]) <= 1e-13).all()
        assert found >= 2

    def test_what_is_not_so_is_not_certified(self) -> None:
        """Two sure classes: F^(1/κ) = (a q₁^κ + b q₂^κ)^(1/κ) is convex for κ > 1, on however small a box."""
        p, W = np.array([[0.5, 0.5]]), np.eye(2)
        tau = p @ W
        for width in (0.0, 1e-9, 1e-3):
            assert not concave(p, tau, 1.0 + 1e-6, W, tau - width, tau + width, np.zeros(1))[0]
        assert concave(p, tau, 1.0, W, 0 * tau, tau + 1, np.zeros(1))[0]

    def test_nothing_that_overflows(self) -> None:
        p, W = np.array([[0.5, 0.5]]), np.array([[0.6, 0.4], [0.4, 0.6]])
        tau = p @ W
        assert concave(p, tau, 1.01, W, 0.9 * tau, 1.1 * tau, np.zeros(1))[0]
        assert not concave(p, tau, 1.01, W, 0 * tau, 1.1 * tau, np.zeros(1))[0]
        assert not concave(p, tau, 1e6, W, 0.9 * tau, 1.1 * tau, np.zeros(1))[0]
        assert not concave(np.array([[0.5, np.nan]]), tau, 1.01, W, 0.9 * tau, 1.1 * tau, np.zeros(1))[0]
        assert not concave(p, tau, 1.01, W, 0.9 * tau, 1.1 * tau, np.full(1, 1e15))[0], "all digits lost"

    def test_basins_are_certified_and_cut_at_their_faces(self) -> None:
        rng = np.random.default_rng(0)
        p, W = posteriors(rng, 5, 3)
        basins = Basins.around(np.array([7]), p, 1.05, W, np.zeros(1))
        tau, low, high = basins.boxes[7]
        assert concave(p, tau[None], 1.05, W, low[None], high[None], np.zeros(1))[0]
        index, s, at = basins.faces(np.array([7, 7, 3]), np.array([low * 0.5, low, low * 0.5]), np.array([high] * 3))
        assert index.tolist() == [0]
        assert at[0] == low[s[0]]


class TestPricing:
    @pytest.mark.parametrize("seed", range(10))
    def test_no_posterior_goes_below(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """β a little above what is convex, where cells are certified."""
        certified = []

        def watched(*arguments: np.ndarray) -> np.ndarray:
            found = concave(*arguments)  # type: ignore[arg-type]
            certified.append(bool(found.any()))
            return found

        monkeypatch.setattr(spatial, "concave", watched)
        monkeypatch.setattr(convexity, "concave", watched)
        rng = np.random.default_rng(seed)
        problem = make("random", seed, int(rng.integers(5, 9)), 3, 4 + seed % 2)
        cost, alpha = rng.random(problem.d.shape), 0.3
        beta = alpha / problem.contraction * float(rng.uniform(1.02, 1.24))
        priced = price(problem, cost, alpha, beta, whole_box(problem), tol=1e-9)
        W = problem.ps_given_x
        p = np.concatenate([rng.dirichlet(np.full(problem.n, a), size=1500) for a in (0.1, 0.5, 2.0)] + [priced.p])
        for y in range(problem.m):
            # Descents from random posteriors end at minima.
            q = p.copy()
            for _ in range(40):
                score = np.log(problem.px) + (beta * np.log(np.maximum(q @ W, 1e-300)) @ W.T - cost[:, y]) / alpha
                q = np.exp(score - score.max(axis=1, keepdims=True))
                q /= q.sum(axis=1, keepdims=True)
            tau = q @ W
            value = q @ cost[:, y] + alpha * (q * np.log(np.maximum(q, 1e-300) / problem.px)).sum(axis=1)
            value -= beta * (tau * np.log(np.maximum(tau, 1e-300))).sum(axis=1)
            assert priced.lower[y] <= value.min() + 1e-12
            assert priced.lower[y] >= value.min() - 1e-6
        assert certified
