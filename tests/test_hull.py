"""The hull of the class posteriors: what is said to be empty is, and nothing that holds a posterior is cut away."""

from __future__ import annotations

import numpy as np
import pytest

from drcopt.bounds.pricing.hull import deepest, facets, gradients, within


def channel(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    return rng.dirichlet(np.full(k, 0.5), size=n)


@pytest.mark.parametrize(("n", "k"), [(3, 3), (6, 3), (4, 4), (9, 4), (8, 5)])
class TestFacets:
    def test_hold_for_every_posterior(self, n: int, k: int) -> None:
        rng = np.random.default_rng([n, k])
        W = channel(rng, n, k)
        A, b = facets(W)
        assert len(b)
        tau = np.concatenate([rng.dirichlet(np.full(n, a), size=300) for a in (0.1, 1.0)]) @ W
        assert (tau @ A.T <= b).all()
        assert (W @ A.T).max(axis=0) == pytest.approx(b, abs=1e-13)  # and none is farther away than it need be

    def test_cut_no_posterior_from_a_box(self, n: int, k: int) -> None:
        rng = np.random.default_rng([n, k])
        W = channel(rng, n, k)
        A, b = facets(W)
        tau = rng.dirichlet(np.full(n, 0.3), size=400) @ W
        width = 10.0 ** rng.uniform(-8, 0, size=(400, 1))
        low, high = tau - width * rng.random(tau.shape), tau + width * rng.random(tau.shape)
        tighter_low, tighter_high = within(A, b, low.clip(0.0), high.clip(0.0, 1.0))
        assert (tighter_low <= tau).all()
        assert (tighter_high >= tau).all()
        assert (tighter_high - tighter_low).sum() < (high.clip(0.0, 1.0) - low.clip(0.0)).sum()

    def test_deepest_is_inside_where_there_is_an_inside(self, n: int, k: int) -> None:
        rng = np.random.default_rng([n, k])
        W = channel(rng, n, k)
        for width in (0.3, 1e-2, 1e-5, 1e-8):
            tau = rng.dirichlet(np.ones(n)) @ W
            low, high = tau - width * rng.random(k), tau + width * rng.random(k)
            found = deepest(W, low, high)
            assert found is not None
            assert not found.empty
            assert ((found.p @ W >= low - 1e-9 * width) & (found.p @ W <= high + 1e-9 * width)).all()

    def test_what_is_apart_is_empty(self, n: int, k: int) -> None:
        """Boxes beyond a facet, by much or by little."""
        rng = np.random.default_rng([n, k])
        W = channel(rng, n, k)
        for width in (1e-2, 1e-5, 1e-7):
            A, b = facets(W)
            j = rng.integers(len(b))
            edge = W[(A @ W.T)[j].argmax()]  # on the facet; beyond it no posterior lies
            outward = A[j] - A[j].mean()
            tau = edge + 3.0 * width * outward / np.abs(outward).max()
            found = deepest(W, tau - width / k, tau + width / k)
            assert found is not None
            if (A[j] @ tau - b[j]) > 3.0 * width / k * np.abs(A[j]).sum():
                assert found.empty
            if found.empty:
                box = tau + width / k * rng.uniform(-1, 1, size=(200, k))
                assert (box @ found.direction).min() > (W @ found.direction).max()


@pytest.mark.parametrize(("n", "k"), [(3, 2), (2, 3), (9, 6)])
def test_no_facets_where_they_are_not_sought(n: int, k: int) -> None:
    A, b = facets(channel(np.random.default_rng(0), n, k))
    low, high = np.zeros((4, k)), np.ones((4, k))
    assert len(A) == len(b) == 0
    assert within(A, b, low, high) == (low, high)


@pytest.mark.parametrize(("n", "k"), [(2, 3), (3, 3), (8, 3), (6, 4)])
def test_gradients_support_the_least_cost(n: int, k: int) -> None:
    rng = np.random.default_rng([n, k])
    W, cost = channel(rng, n, k), rng.normal(size=n)
    G, h = gradients(W, cost)
    p = rng.dirichlet(np.full(n, 0.5), size=200)
    # A lower hull: below the cost of every posterior, and touching that of some letters.
    assert (((p @ W) @ G.T + h).max(axis=1) <= p @ cost + 1e-9).all()
    assert np.abs((W @ G.T + h).max(axis=1) - cost).min() < 1e-9
