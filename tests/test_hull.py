"""The polytope of class posteriors: what is cut off from a box holds no posterior, and "empty" is said of no other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import law

from drcopt.bounds.pricing.hull import deepest, facets, within

SEEDS = st.integers(0, 2**31)


def rows(rng: np.random.Generator) -> np.ndarray:
    """p(s|x) of three to five classes and at least as many letters."""
    k = int(rng.integers(3, 6))
    return rng.dirichlet(np.full(k, rng.choice([0.3, 1.0, 5.0])), size=int(rng.integers(k, 9)))


def box_around(tau: np.ndarray, rng: np.random.Generator, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Boxes that hold τ (J, k), now and then on a face."""
    inner = rng.random((2, *tau.shape)) * width * (rng.random((2, *tau.shape)) < 0.8)
    return np.maximum(tau - inner[0], 0.0), np.minimum(tau + inner[1], 1.0)


class TestFacets:
    @law(60)
    @given(SEEDS)
    def test_hold_for_every_posterior(self, seed: int) -> None:
        """A τ ≤ b for τ = Wᵀp, and some row reaches b."""
        rng = np.random.default_rng(seed)
        W = rows(rng)
        A, b = facets(W)
        assert len(b) > 0
        tau = np.concatenate([W, rng.dirichlet(np.full(len(W), 0.3), size=200) @ W])
        assert (tau @ A.T <= b + 1e-15).all()
        assert (W @ A.T).max(axis=0) == pytest.approx(b, abs=1e-13)

    @pytest.mark.parametrize("shape", [(3, 2), (2, 3), (9, 6)])
    def test_none_where_they_are_not_sought(self, shape: tuple[int, int]) -> None:
        W = np.random.default_rng(0).dirichlet(np.ones(shape[1]), size=shape[0])
        A, b = facets(W)
        low, high = np.zeros((4, shape[1])), np.ones((4, shape[1]))
        assert len(A) == len(b) == 0
        assert within(A, b, low, high) == (low, high)

    @law(60)
    @given(SEEDS, st.sampled_from([0.5, 0.1, 1e-3, 1e-6, 1e-12]))
    def test_what_is_cut_off_holds_no_posterior(self, seed: int, width: float) -> None:
        """τ in the box ⟹ τ in what is left of it."""
        rng = np.random.default_rng(seed)
        W = rows(rng)
        tau = rng.dirichlet(np.full(len(W), rng.choice([0.05, 0.3, 1.0])), size=100) @ W
        low, high = box_around(tau, rng, width)
        left, right = within(*facets(W), low, high)
        assert (left >= low).all() and (right <= high).all()
        assert (tau >= left - 1e-15).all() and (tau <= right + 1e-15).all()

    def test_something_is_cut_off(self) -> None:
        rng = np.random.default_rng(0)
        W = 0.2 * rng.dirichlet(np.ones(3), size=5) + 0.8 / 3
        low, high = within(*facets(W), np.zeros((1, 3)), np.ones((1, 3)))
        assert (low <= W.min(axis=0)).all() and (high >= W.max(axis=0)).all()
        assert (high - low).sum() < 2.5


class TestDeepest:
    @law(60)
    @given(SEEDS, st.sampled_from([0.5, 0.1, 1e-3, 1e-6, 1e-9]))
    def test_a_box_with_a_posterior_is_not_empty(self, seed: int, width: float) -> None:
        rng = np.random.default_rng(seed)
        W = rows(rng)
        tau = rng.dirichlet(np.full(len(W), rng.choice([0.05, 0.3, 1.0]))) @ W
        low, high = (end[0] for end in box_around(tau[None], rng, width))
        found = deepest(W, low, high)
        if found is not None:
            assert not found.empty
            reached = found.p @ W
            assert (reached >= low - 1e-8).all() and (reached <= high + 1e-8).all()

    @law(60)
    @given(SEEDS, st.sampled_from([0.1, 1e-3, 1e-6]))
    def test_what_separates(self, seed: int, width: float) -> None:
        """v τ of the box − v τ' of any posterior ≥ distance > 0."""
        rng = np.random.default_rng(seed)
        W = rows(rng)
        centre = rng.dirichlet(np.full(W.shape[1], 0.5))
        low, high = np.maximum(centre - width, 0.0), np.minimum(centre + width, 1.0)
        found = deepest(W, low, high)
        if found is None:
            return
        v = found.direction
        apart = float(np.minimum(v * low, v * high).sum() - (W @ v).max())
        assert found.empty == (found.distance > 0)
        if found.empty:
            assert apart >= found.distance - 1e-12
            assert apart > 0

    def test_a_box_beyond_all_rows_is_empty(self) -> None:
        W = 0.2 * np.eye(3) + 0.8 / 3
        for s in range(3):
            low, high = np.zeros(3), np.full(3, 0.3)
            low[s], high[s] = 0.6, 0.7
            found = deepest(W, low, high)
            assert found is not None
            assert found.empty
            assert 0 < found.distance <= 0.6 - 0.2 - 0.8 / 3 + 1e-12
