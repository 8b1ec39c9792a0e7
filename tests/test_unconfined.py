"""Pricing without boxes: no posterior is below the bound, and where it says that it is settled none is far above."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pricing_cases import Case, case, rivals
from strategies import law

from drcopt import Problem
from drcopt.bounds.posterior import whole_box
from drcopt.bounds.pricing import Priced
from drcopt.bounds.pricing.spatial import price_spatial
from drcopt.bounds.pricing.unconfined import Letters, pattern, price_unconfined


def priced(question: Case, tol: float) -> tuple[Priced, np.ndarray]:
    problem = question.problem
    own = question.cost, question.alpha, question.beta, np.log(problem.px), problem.ps_given_x, whole_box(problem)
    return price_unconfined(*own, tol, problem.contraction)


@law(30)
@given(st.integers(0, 2**31), st.integers(2, 5), st.sampled_from([0.05, 0.3, 0.6, 0.9, 1.0, 1.0 + 1e-7, 1.3, 20.0]))
def test_bounds_hold_and_are_close(seed: int, k: int, times: float) -> None:
    """min φ − 2 tol ≤ lower ≤ min φ, α in parts of what makes φ convex."""
    question = case(seed, k, alphas=(1.0,), widths=(np.inf,))
    question.beta = question.beta or 1.0
    question.alpha = max(times * question.beta * question.problem.contraction, 1e-9)
    tol = 1e-7 * question.scale
    with np.errstate(all="ignore"):
        answer, left = priced(question, tol)
    rng = np.random.default_rng(seed)
    for y in range(question.problem.m):
        best = float(question.phi(y, rivals(question, y, rng, count=30)).min())
        assert answer.lower[y] <= best + 1e-12 * question.scale
        if y not in left:
            own = float(question.phi(y, answer.p[answer.y == y]).min())
            assert own <= best + 1.6 * tol
            assert answer.lower[y] >= own - 1.6 * tol


@law(60)
@given(st.integers(0, 2**31), st.sampled_from([0.05, 0.2, 0.5, 1.0, 3.0]), st.sampled_from([1e-7, 0.003, 0.1]))
def test_what_is_proved_holds_by_itself(seed: int, times: float, coarse: float) -> None:
    """Before it is held against the least value met, and where simplices are wide when they will do."""
    question = case(seed, 3, alphas=(1.0,), widths=(np.inf,))
    question.beta = question.beta or 1.0
    problem = question.problem
    question.alpha = max(times * question.beta * problem.contraction, 1e-9)
    letters = Letters(question.cost, question.alpha, question.beta, np.log(problem.px), problem.ps_given_x)
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        proved = [letters.convex(coarse * question.scale, None)[0]] if times >= 1.0 else []
        if letters.few_dimensions:
            proved.append(
                letters.search(coarse * question.scale, np.zeros(0, dtype=np.intp), np.zeros((0, problem.n)))[0]
            )
    for y in range(problem.m):
        best = float(question.phi(y, rivals(question, y, rng, count=30)).min())
        assert all(lower[y] <= best + 1e-12 * question.scale for lower in proved)


@law(60)
@given(st.integers(0, 2**31), st.integers(2, 4), st.sampled_from([0.1, 0.3, 0.6, 0.95]))
def test_no_posterior_of_a_basin_is_below_it(seed: int, k: int, times: float) -> None:
    """φ is convex as far as a basin is said to reach; and one that is no least of all settles nothing elsewhere."""
    question = case(seed, k, alphas=(1.0,), widths=(np.inf,))
    problem, rng = question.problem, np.random.default_rng(seed)
    question.beta, question.alpha = 1.0, max(times * problem.contraction, 1e-9)
    letters = Letters(question.cost, question.alpha, 1.0, np.log(problem.px), problem.ps_given_x)
    y = np.arange(problem.m)
    p, _ = letters.sharpened(y, rng.dirichlet(np.ones(problem.n), size=problem.m), 5, 20)
    basins = letters.basins(y, p, 1e-6 * question.scale)
    for j, at in enumerate(basins.y):
        tau, own = basins.tau[j], p[at]
        noise = np.exp(rng.uniform(0.0, 1.5, (200, 1)) * rng.normal(size=(200, problem.n)))
        near = own * noise / (own * noise).sum(axis=1, keepdims=True)
        reach = np.log(near / own).max(axis=1) - np.log(near @ problem.ps_given_x / tau).min(axis=1)
        near = near[reach <= basins.room[j]]
        value = letters.value(np.full(len(near), at), near)
        assert (value >= basins.least[j] - 1e-13 * question.scale).all()
        half = letters.value(np.full(len(near), at), 0.5 * (near + near[::-1]))
        assert (half <= 0.5 * (value + value[::-1]) + 1e-12 * question.scale).all()
    if letters.few_dimensions:
        with np.errstate(all="ignore"):
            lower = letters.search(1e-6 * question.scale, y, p)[0]
        for at in range(problem.m):
            assert lower[at] <= float(question.phi(at, rivals(question, at, rng, count=20)).min()) + 1e-12


def test_what_a_basin_holds() -> None:
    """e^room κ μ ≤ 1 by singular values; of a cell that is held no p ∝ a g(q)^κ and no q is farther off than room."""
    rng = np.random.default_rng(0)
    px, W = np.full(3, 1 / 3), rng.dirichlet(np.ones(3), size=3)
    letters = Letters(0.1 * rng.normal(size=(3, 1)), 0.3, 1.0, np.log(px), W)
    y = np.zeros(1, dtype=np.intp)
    basins = letters.basins(y, letters.sharpened(y, px[None], 5, 20)[0], 1e-6)
    own = letters.gibbs(y, np.log(basins.q))[2][0]
    second = np.linalg.svd(np.sqrt(own)[:, None] * W / np.sqrt(own @ W))[1][1] ** 2
    assert len(basins.y) == 1 and np.exp(basins.room[0]) * second / 0.3 <= 1.0
    held = 0
    for width in np.geomspace(0.01, 1.0, 40):
        cell = (1.0 - width) * basins.q + width * rng.dirichlet(np.ones(3), size=3)
        if letters.within(basins, y, cell[None])[0][0]:
            q = rng.dirichlet(np.full(3, 0.3), size=50) @ cell
            p = letters.gibbs(np.zeros(50, dtype=np.intp), np.log(q))[2]
            reach = np.log(p / own).max(axis=1) - np.log(q / basins.q).min(axis=1)
            assert reach.max() <= basins.room[0]
            held += 1
    assert 0 < held < 40


@pytest.mark.parametrize("k", [3, 4])
def test_a_search_over_boxes_says_the_same(k: int) -> None:
    """What simplices settle, price_spatial bounds by the same number."""
    rng = np.random.default_rng(k)
    px, W = np.array([0.3, 0.3, 0.4]), rng.dirichlet(np.full(k, 0.5), size=3)
    problem = Problem(px, [1.0], W, np.zeros((3, 1)))
    cost = 0.3 * rng.normal(size=(3, 1))
    question = Case(problem, cost, 0.3 * problem.contraction, 1.0, whole_box(problem), np.zeros(0))
    answer, left = priced(question, 1e-9)
    boxes = price_spatial(cost, question.alpha, 1.0, np.log(px), W, question.box, 1e-7, problem.contraction)
    assert not len(left)
    assert boxes.lower[0] - 1e-9 <= answer.lower[0] + 1e-9
    assert answer.lower[0] == pytest.approx(boxes.lower[0], abs=3e-7)


@pytest.mark.parametrize("v", [1, 2, 3, 4])
def test_parts_fill_a_simplex(v: int) -> None:
    """Their volumes sum to its own, and no vertex lies outside."""
    parts = pattern(v)
    assert parts.min() >= 0.0 and np.allclose(parts.sum(axis=2), 1.0)
    assert np.abs(np.linalg.det(parts)).sum() == pytest.approx(1.0)
    assert np.ptp(np.abs(np.linalg.det(parts))) <= 1e-12
