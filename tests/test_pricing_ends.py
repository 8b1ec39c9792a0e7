"""Pricing where classes lie on a line, how tight its bounds are, and the candidates it hands back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pricing_cases import Case, case, cheapest_at, rivals
from strategies import law

from drcopt import Problem
from drcopt.bounds.posterior import whole_box
from drcopt.bounds.pricing import price
from drcopt.bounds.pricing.line import Line, _Search
from drcopt.questions import lowered


class TestLine:
    def test_rows_that_almost_lie_on_a_line(self) -> None:
        """Off it by more than rounding they are priced as they are: lower is not above what a posterior costs."""
        rng = np.random.default_rng(0)
        for off in (1e-4, 5e-4):
            for _ in range(8):
                a, b = rng.dirichlet(np.ones(3), size=2)
                W = a + rng.random((5, 1)) * (b - a) + off * rng.normal(size=(5, 3)) * [1, 1, 0]
                W = np.maximum(W, 1e-9) / np.maximum(W, 1e-9).sum(axis=1, keepdims=True)
                assert Line.through(W) is None
                problem = Problem(np.full(5, 0.2), [1.0], W, np.zeros((5, 1)))
                cost = rng.normal(size=(5, 1))
                question = Case(problem, cost, 1e-3, 3.0, whole_box(problem), np.full((1, 5), 0.2))
                best = float(question.phi(0, rivals(question, 0, rng)).min())
                assert question.price(1e-6 * question.scale).lower[0] <= best + 1e-12 * question.scale

    @pytest.mark.parametrize("k", [2, 3])
    @np.errstate(all="ignore")
    def test_bounds_hold_on_every_cell(self, k: int) -> None:
        """No cell's bound is above φ at any of many contact points in it, between rounds too."""
        for seed in range(60):
            kinds = ("random", "sparse", "mixed") if k == 2 else ("line",)
            question = case(seed, k, kinds, (1e-3, 0.01, 0.1, 0.3, 1.0), (np.inf, 0.5, 0.05), atoms=seed % 2 > 0)
            problem, W = question.problem, question.problem.ps_given_x
            line = Line.through(W)
            if line is None or np.ptp(W[:, line.s]) < 1e-3 or question.beta == 0:
                continue
            w = W[:, line.s]
            low, high = line.interval(question.box)
            low, high = np.maximum(low, w.min()), np.minimum(high, w.max())
            letters = np.flatnonzero(high - low > 1e-6)
            if not len(letters):
                continue
            args = question.cost, question.alpha, question.beta, np.log(problem.px), w, line, low, high
            search, other = _Search(*args), _Search(*args)
            cells = search.first_cells(letters)
            for _ in range(4):
                bound = search.bound(cells)
                for share in (0.02, 0.2, 0.4, 0.5, 0.7, 0.9, 0.97):
                    target = cells.a + share * (cells.b - cells.a)
                    mu = other.slopes_at(cells.y, target, np.ones(len(target), dtype=bool))
                    point = other.add(cells.y, mu)
                    t, phi = other.t[point], other.phi[point]
                    inside = (t >= cells.a) & (t <= cells.b)
                    rounding = 1e-15 * np.abs(mu) + 1e-13 * question.scale
                    assert (bound <= phi + rounding)[inside].all(), seed
                cells = search.cut(cells, np.zeros(problem.m))

    @pytest.mark.parametrize("k", [2, 3, 4])
    def test_curvature_is_minus_the_second_derivative(self, k: int) -> None:
        rng = np.random.default_rng(k)
        for _ in range(10):
            a, b = rng.dirichlet(np.ones(k), size=2)
            line = Line.through(np.array([a, b]))
            assert line is not None
            ends = sorted((a[line.s], b[line.s]))
            t = np.linspace(*ends, 9)[1:-1]
            step = 1e-4 * (ends[1] - ends[0])
            h = [line.entropy(t + i * step) for i in (-1, 0, 1)]
            np.testing.assert_allclose(line.curvature(line.at(t)), -(h[0] - 2 * h[1] + h[2]) / step**2, rtol=1e-3)
            np.testing.assert_allclose(line.slope(t), (h[2] - h[0]) / (2 * step), atol=1e-5)
            # By Cauchy–Schwarz.
            assert (line.curvature(line.at(t)) >= np.abs(line.direction).sum() ** 2 * (1 - 1e-12)).all()

    @pytest.mark.parametrize("k", [2, 3, 4])
    def test_the_interval_of_a_box(self, k: int) -> None:
        """τ(t) in the box ⟹ t in the interval."""
        rng = np.random.default_rng(k)
        for _ in range(40):
            a, b = rng.dirichlet(np.ones(k), size=2)
            line = Line.through(np.array([a, b]))
            assert line is not None
            share = rng.random((6, 1))
            tau = a + share * (b - a)
            reach = rng.random((2, 6, k)) * rng.choice([0.0, 1e-9, 0.1])
            low, high = line.interval(np.stack([tau - reach[0], tau + reach[1]], axis=2))
            t = tau[:, line.s]
            assert (low <= t).all() and (t <= high).all()


class TestLowerIsTight:
    """Not needed for soundness; without it branch and bound would not close."""

    @law(40)
    @given(st.integers(0, 2**31))
    def test_two_classes(self, seed: int) -> None:
        """lower ≥ least candidate − 1e-9·range, with no box."""
        self.check_two(case(seed, 2, ("random", "deterministic", "equal rows", "useless", "mixed"), widths=(np.inf,)))

    @law(40)
    @given(st.integers(0, 2**31))
    def test_two_classes_in_a_box(self, seed: int) -> None:
        """lower ≥ least φ − 1e-9·range, in boxes as branching leaves them."""
        kinds = ("random", "deterministic", "equal rows")
        self.check_two(case(seed, 2, kinds, (1e-3, 0.01, 0.1, 0.3, 1.0), (0.5, 0.2, 0.05, 0.01, 1e-3), atoms=False))

    def check_two(self, question: Case) -> None:
        priced = question.price()
        for y in range(question.problem.m):
            candidates = priced.value[priced.y == y]
            best = min([*candidates, *question.phi(y, cheapest_at(question, y))], default=np.inf)
            if np.isfinite(best):
                assert priced.lower[y] >= best - 1e-9 * question.scale

    @pytest.mark.parametrize("k", [3, 4])
    def test_classes_on_a_line(self, k: int) -> None:
        """As tight as with two classes, where the rows of W are collinear."""
        for seed in range(60):
            question = case(seed, k, ("line",), (1e-3, 1e-2, 0.1, 0.3, 1.0), (np.inf, 0.5, 0.05, 1e-3), atoms=False)
            if Line.through(question.problem.ps_given_x) is None:
                continue
            priced = question.price()
            for y in range(question.problem.m):
                best = min(priced.value[priced.y == y], default=np.inf)
                if np.isfinite(best):
                    assert priced.lower[y] >= best - 1e-9 * question.scale

    @pytest.mark.parametrize("k", [3, 4])
    def test_more_classes(self, k: int) -> None:
        for seed in range(12):
            question = case(seed, k, widths=(np.inf,), alphas=(1e-3, 1e-2, 0.1, 0.3, 1.0))
            tol = 1e-6 * question.scale
            priced = question.price(tol)
            for y in range(question.problem.m):
                assert priced.lower[y] >= priced.value[priced.y == y].min() - 1.01 * tol

    @pytest.mark.parametrize("scale", [1e-9, 1e9])
    @pytest.mark.parametrize("k", [2, 3])
    def test_any_scale(self, k: int, scale: float) -> None:
        for seed in range(8):
            question = case(seed, k, alphas=(1e-3, 0.1, 1.0))
            large = replace(
                question, cost=scale * question.cost, alpha=scale * question.alpha, beta=scale * question.beta
            )
            tol = 1e-6 * question.scale
            np.testing.assert_allclose(
                large.price(scale * tol).lower, scale * question.price(tol).lower, atol=2 * scale * tol
            )


class TestCandidates:
    @pytest.mark.parametrize("k", [2, 3, pytest.param(4, marks=pytest.mark.slow)])
    def test_are_posteriors_with_the_value_they_claim(self, k: int) -> None:
        for seed in range(12):
            question = case(seed, k, alphas=(1e-3, 0.1, 1.0))
            priced = question.price(1e-6 * question.scale)
            assert priced.p.shape == (len(priced.y), question.problem.n)
            assert (priced.p >= 0).all()
            np.testing.assert_allclose(priced.p.sum(axis=1), 1.0, atol=1e-12)
            for y, p, value in zip(priced.y, priced.p, priced.value, strict=True):
                assert question.phi(y, p) == pytest.approx(value, abs=1e-9 * question.scale)

    @pytest.mark.parametrize("k", [2, 3])
    def test_an_empty_box_costs_inf(self, k: int) -> None:
        problem = Problem([0.5, 0.5], [0.5, 0.5], np.eye(k)[:2], np.zeros((2, 2)))
        box = whole_box(problem).copy()
        box[1, :, 1] = 0.9 / k  # classes that cannot sum to 1
        lower = price(problem, np.zeros((2, 2)), 0.1, 1.0, box).lower
        assert np.isfinite(lower[0])
        assert lower[1] == np.inf

    def test_without_classification_it_is_the_softmin(self) -> None:
        rng = np.random.default_rng(0)
        px, cost = rng.dirichlet(np.ones(5)), rng.normal(size=(5, 3))
        problem = Problem(px, np.full(3, 1 / 3), rng.dirichlet(np.ones(3), size=5), np.zeros((5, 3)))
        lower = price(problem, cost, 0.3, 0.0, None).lower
        np.testing.assert_allclose(lower, -0.3 * np.log(px @ np.exp(-cost / 0.3)), rtol=1e-13)
        np.testing.assert_array_equal(price(problem, cost, 0.0, 0.0, None).lower, cost.min(axis=0))

    @pytest.mark.parametrize("alpha", [1.0, 1e3, 1e8, 1e12])
    def test_a_huge_alpha_leaves_the_mean(self, alpha: float) -> None:
        rng = np.random.default_rng(1)
        px, cost = rng.dirichlet(np.ones(5)), rng.random((5, 3))
        problem = Problem(px, np.full(3, 1 / 3), rng.dirichlet(np.ones(2), size=5), np.zeros((5, 3)))
        lower = price(problem, cost, alpha, 0.0, None).lower
        mean = px @ cost
        assert (lower <= mean).all()
        assert (lower >= mean - 1.0 / alpha).all()


def test_a_sum_that_is_no_number_is_no_bound() -> None:
    assert lowered(np.nan, 1.0) == -np.inf
    assert 1.0 - 1e-13 < lowered(1.0, 1.0, -1.0) < 1.0
