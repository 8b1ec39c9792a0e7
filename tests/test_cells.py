"""The cells written into proof files: never above a value that some posterior reaches, and close below the least."""

from __future__ import annotations

import math

import numpy as np
import pytest
from strategies import make

import drcopt
from drcopt import information
from drcopt.bounds.posterior import whole_box
from drcopt.bounds.pricing.gibbs import gibbs
from drcopt.certify import cells

FAMILIES = ("random", "deterministic", "useless", "equal-rows", "tiny-atoms", "uniform")


def values(p: drcopt.Problem, costs: np.ndarray, alpha: float, beta: float, posteriors: np.ndarray) -> np.ndarray:
    """⟨c, p⟩ + α D(p‖px) + β H(Wᵀp), shape (posteriors, letters)."""
    divergence = [information.divergence(q, p.px) if alpha > 0 else 0.0 for q in posteriors]
    entropy = [information.entropy(q @ p.ps_given_x) for q in posteriors]
    return np.asarray(posteriors @ costs.T + (alpha * np.array(divergence) + beta * np.array(entropy))[:, None])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("alpha", [0.0, 1e-4, 0.05, 1.0])
def test_bounds(family: str, k: int, alpha: float) -> None:
    p = make(family, 5, 4, 3, k).reduced()
    rng = np.random.default_rng([k, int(1e5 * alpha)])
    costs, beta = rng.normal(size=(p.m, p.n)), 0.6
    convex = cells.convex_share(p, alpha, beta)
    _, least = cells.choose(p, costs, alpha, beta, convex, whole_box(p), 1e-9, lambda _: False)
    # Posteriors of every sharpness, Gibbs posteriors for random tilts, then some around the best.
    parts = [rng.dirichlet(np.full(p.n, a), size=400) for a in (0.05, 0.3, 1.0)]
    for c in costs if alpha > 0 else ():
        tilts = rng.normal(size=(2000, p.k)) * rng.choice([0.1, 1.0, 3.0], size=(2000, 1))
        parts.append(gibbs(tilts @ p.ps_given_x.T - c, np.log(p.px), alpha)[0])
    sample = np.concatenate([*parts, np.eye(p.n)])
    for spread in (0.0, 0.1, 0.01, 1e-3):
        near = sample[values(p, costs, alpha, beta, sample).argmin(axis=0)]
        blends = near[:, None] * (1 - spread) + spread * rng.dirichlet(np.full(p.n, 0.5), size=(len(near), 300))
        sample = np.concatenate([sample, blends.reshape(-1, p.n)])
    reached = values(p, costs, alpha, beta, sample).min(axis=0)
    assert (least <= reached + 1e-12).all()
    assert (least >= reached - 0.01).all()


def test_stops_when_told() -> None:
    p = make("random", 1, 4, 3, 2)
    costs = np.random.default_rng(0).normal(size=(p.m, p.n))
    trees, _ = cells.choose(p, costs, 0.01, 1.0, 0.0, whole_box(p), 1e-9, lambda _: True)
    assert [len(tree) for tree in trees] == [1] * p.m
    trees, _ = cells.choose(p, costs, 0.01, 1.0, 0.0, whole_box(p), 1e-9, lambda _: False)
    assert max(len(tree) for tree in trees) > 1


@pytest.mark.parametrize("k", [2, 3])
def test_an_empty_box_has_an_infinite_bound(k: int) -> None:
    p = make("random", 1, 4, 3, k)
    boxes = whole_box(p).copy()
    boxes[0, 0] = [boxes[0, 0, 1] + 0.01, 1.0]
    costs = np.zeros((p.m, p.n))
    trees, least = cells.choose(p, costs, 0.1, 1.0, 0.0, boxes, 1e-9, lambda _: False)
    assert least[0] == math.inf if k == 2 else least[0] > 5.0
    assert np.isfinite(least[1:]).all()
    assert len(trees[0]) == 1


@pytest.mark.parametrize("alpha", [0.0, 0.01])
def test_a_box_between_posteriors_is_found_empty(alpha: float) -> None:
    """With two letters and three classes the posteriors are a line, which most boxes miss."""
    p = make("random", 3, 2, 2, 3)
    W = p.ps_given_x
    boxes = np.stack([W.min(axis=0), W.max(axis=0)], axis=1)[None].repeat(2, axis=0)
    middle = 0.5 * (W[0] + W[1])
    shift = np.array([0.2, -0.2, 0.0]) * np.abs(W[0] - W[1]).min()
    boxes[0] = np.stack([middle + shift - 1e-3, middle + shift + 1e-3], axis=1)
    _, least = cells.choose(p, np.zeros((2, 2)), alpha, 1.0, 0.0, boxes, 1e-9, lambda _: False)
    assert least[0] > 5.0
    assert least[1] < 2.0
