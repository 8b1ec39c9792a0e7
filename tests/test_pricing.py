"""The least of φ(p) = ⟨c, p⟩ + α D(p‖px) + β H(Wᵀp) over posteriors p in a box: the number every bound rests on.

Whatever p is tried, φ(p) must not be below the proved ``lower``. The rivals tried here are random posteriors,
Gibbs posteriors at random slopes, all polished by convex-concave steps inside the box, and for two classes the
cheapest posterior at each of many τ.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pricing_cases import CHANNELS, Case, case, rivals
from scipy.special import xlogy
from strategies import law

from drcopt import Problem
from drcopt.bounds.posterior import whole_box
from drcopt.bounds.pricing import dispatch, price, spatial
from drcopt.bounds.pricing.line import Line


def check_bound(seed: int, k: int, channels: tuple[str, ...] = CHANNELS) -> None:
    question = case(seed, k, channels)
    priced = question.price(0.0 if k == 2 else 1e-6 * question.scale)
    rng = np.random.default_rng(seed)
    for y in range(question.problem.m):
        P = rivals(question, y, rng)
        if len(P):
            best = float(question.phi(y, P).min())
            assert priced.lower[y] <= best + 1e-12 * question.scale, (
                f"seed {seed}, k = {k}, letter {y}: lower {priced.lower[y]!r} is above φ(p) = {best!r}"
            )


class TestLowerHolds:
    @law(60)
    @given(st.integers(0, 2**31))
    def test_two_classes(self, seed: int) -> None:
        """min over the box ≥ lower."""
        check_bound(seed, 2)

    @law(10)
    @given(st.integers(0, 2**31))
    def test_three_classes(self, seed: int) -> None:
        """min over the box ≥ lower."""
        check_bound(seed, 3)

    @law(8)
    @given(st.integers(0, 2**31))
    def test_four_classes(self, seed: int) -> None:
        """min over the box ≥ lower."""
        check_bound(seed, 4)

    @pytest.mark.parametrize("k", [3, 4])
    def test_classes_on_a_line(self, k: int) -> None:
        for seed in range(60):
            check_bound(seed, k, ("line",))

    @pytest.mark.parametrize("seed", [799, 2789])
    def test_a_minimum_between_cells_that_look_convex(self, seed: int) -> None:
        check_bound(seed, 2)

    @law(40)
    @given(st.integers(0, 2**31))
    def test_chords(self, seed: int) -> None:
        """a + b t ≤ −t log t for l ≤ t ≤ u, with equality at both ends."""
        rng = np.random.default_rng(seed)
        low = rng.random((20, 3)) ** rng.choice([1, 8, 40], size=(20, 1))
        high = np.minimum(low + rng.choice([1e-14, 1e-9, 1e-3, 1.0], size=(20, 1)) * rng.random((20, 3)), 1.0)
        a, b = spatial._chords(low, high)
        for share in np.linspace(0.0, 1.0, 21):
            t = np.clip(low + share * (high - low), low, high)
            above = -xlogy(t, t) - (a + b * t)
            assert above.min() >= -1e-14
            if share in (0.0, 1.0):
                assert above.max() <= 1e-9

    @pytest.mark.parametrize("seed", [0, 1, pytest.param(2, marks=pytest.mark.slow), *range(3, 12)])
    @pytest.mark.parametrize("k", [2, 3])
    def test_too_many_vertices(self, seed: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """α = 0 by way of a little α, which D(p‖px) ≤ log 1/min px pays for."""
        monkeypatch.setattr(dispatch, "MOST_VERTICES", 0)
        question = case(seed, k, alphas=(0.0,))
        lower = question.price(1e-9 * question.scale).lower
        for y in range(question.problem.m):
            P = rivals(question, y, np.random.default_rng(seed))
            assert not len(P) or lower[y] <= float(question.phi(y, P).min()) + 1e-12 * question.scale

    @pytest.mark.slow
    @pytest.mark.parametrize(("k", "count"), [(2, 600), (3, 150), (4, 120)])
    def test_many(self, k: int, count: int) -> None:
        for seed in range(10**6, 10**6 + count):
            check_bound(seed, k)

    @pytest.mark.parametrize("alpha", [1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3])
    @pytest.mark.parametrize(("low", "high"), [(0.3, 0.85), (0.2, 0.6), (0.45, 0.55)])
    def test_a_small_alpha_in_a_box(self, alpha: float, low: float, high: float) -> None:
        # Far from its price τ has a variance that underflows, which must not pass for a proof of convexity.
        problem = Problem([0.1, 0.8, 0.1], [1.0], [[1, 0], [1, 0], [0, 1]], np.zeros((3, 1)))
        cost = np.array([[7.0], [6.5], [6.0]])
        question = Case(problem, cost, alpha, 3.0, np.array([[[low, high], [1 - high, 1 - low]]]), np.zeros((1, 3)))
        best = min(question.phi(0, np.array([0.0, t, 1.0 - t])) for t in (low, high))
        lower = question.price().lower[0]
        assert lower <= best + 1e-12 * question.scale
        assert lower >= best - 100 * alpha - 1e-9, "loose"

    @pytest.mark.parametrize("apart", [1e-3, 1e-6, 1e-8, 1e-10, 1e-12])
    @pytest.mark.parametrize("alpha", [0.0, 1e-9, 1e-3, 0.1])
    def test_rows_that_almost_agree(self, apart: float, alpha: float) -> None:
        # 1 − W(x, 1) is not W(x, 0) to the last digit; what that moves τ by, cost/apart magnifies.
        rng = np.random.default_rng(0)
        for _ in range(10):
            t = rng.uniform(0.01, 0.98)
            W = np.array([[t, 1.0 - t], [t + apart, 1.0 - (t + apart)]])
            cost = 10.0 * rng.normal(size=(2, 1))
            problem = Problem([0.5, 0.5], [1.0], W, np.zeros((2, 1)))
            question = Case(problem, cost, alpha, 0.3, whole_box(problem), np.array([[0.5, 0.5]]))
            best = float(question.phi(0, np.concatenate([np.eye(2), rng.dirichlet([1, 1], size=50)])).min())
            assert question.price().lower[0] <= best + 1e-12 * question.scale


class TestStart:
    """What an earlier answer leaves behind may make the next one faster, and nothing else."""

    @pytest.mark.parametrize("k", [3, 4])
    def test_cells_of_a_smaller_box_do_not_cover(self, k: int) -> None:
        """min over the whole box ≥ lower, begun with a partition of a part of it."""
        held = 0
        for seed in range(25):
            question = case(seed, k, ("random", "sparse"), (1e-3, 0.01, 0.1), (np.inf,), atoms=False)
            problem, tol = question.problem, 1e-6 * question.scale
            first = question.price(tol)
            if first.partition is None:
                continue
            # A part that leaves out the best posterior.
            part = question.box.copy()
            for y in range(problem.m):
                mine = np.flatnonzero(first.y == y)
                tau = first.p[mine[first.value[mine].argmin()]] @ problem.ps_given_x
                s = int(np.ptp(problem.ps_given_x, axis=0).argmax())
                middle = part[y, s].mean()
                part[y, s, int(tau[s] <= middle) - 1] = middle  # the half without it
            args = problem, question.cost, question.alpha, question.beta
            small = price(*args, part, tol=tol).partition
            again = price(*args, question.box, tol=tol, start=small)
            np.testing.assert_allclose(again.lower, first.lower, atol=2.1 * tol)
            for y in range(problem.m):
                assert again.lower[y] <= first.value[first.y == y].min() + 1e-12 * question.scale
            held += 1
        assert held > 10

    @pytest.mark.parametrize("k", [3, 4])
    def test_other_multipliers(self, k: int) -> None:
        for seed in range(15):
            question = case(seed, k, ("random", "sparse"), (1e-3, 0.01, 0.1), (np.inf, 0.5), atoms=False)
            problem, box, tol = question.problem, question.box, 1e-6 * question.scale
            before = price(problem, 1.3 * question.cost, 2 * question.alpha, 0.7 * question.beta, box, tol=tol)
            args = problem, question.cost, question.alpha, question.beta, box
            cold, warm = price(*args, tol=tol), price(*args, tol=tol, start=before.partition)
            # Either may stop at its most cells, but neither above what a posterior in the box costs.
            y, p = (np.concatenate(both) for both in zip((cold.y, cold.p), (warm.y, warm.p), strict=True))
            tau = p @ problem.ps_given_x
            inside = ((tau >= box[y, :, 0]) & (tau <= box[y, :, 1])).all(axis=1)
            for letter in range(problem.m):
                reached = question.phi(letter, p[inside & (y == letter)]).min(initial=np.inf)
                assert max(cold.lower[letter], warm.lower[letter]) <= reached + 1e-12 * question.scale


class TestCells:
    """The spatial search between its rounds."""

    @pytest.mark.parametrize("k", [3, 4])
    def test_bounds_hold_on_every_cell_and_cells_cover(self, k: int) -> None:
        """Every posterior of a box lies in a cell of its letter, and no cell's bound is above what it costs."""
        for seed in range(12):
            question = case(seed, k, ("random", "sparse"), (0.01, 0.1, 0.3), (np.inf, 0.5), atoms=False)
            problem, W, rng = question.problem, question.problem.ps_given_x, np.random.default_rng(seed)
            if Line.through(W) is not None or question.beta == 0:
                continue
            log_px = np.log(problem.px)
            convex = min(question.beta, question.alpha / problem.contraction)
            oracle = spatial.Oracle(
                question.cost.T, question.alpha, question.beta, convex, log_px, W, 1e-9 * question.scale
            )
            P = [rivals(question, y, rng, 30, 3) for y in range(problem.m)]
            cells = oracle.relax(*spatial._first(question.box, W, oracle.facets, None))
            for _ in range(5):
                for y in range(problem.m):
                    tau, value = P[y] @ W, question.phi(y, P[y])
                    mine = cells.take(cells.y == y)
                    room = 1e-13
                    inside = ((tau[:, None] >= mine.low - room) & (tau[:, None] <= mine.high + room)).all(axis=2)
                    assert inside.any(axis=1).all()
                    least = np.where(inside, value[:, None], np.inf).min(axis=0)
                    assert (mine.bound <= least + 1e-12 * question.scale).all()
                cells = oracle.cut(cells)

    def test_letters_that_are_copies(self) -> None:
        """Each is priced as it is alone, whatever their order."""
        rng = np.random.default_rng(4)
        W = rng.dirichlet(np.ones(3), size=5)
        order = [2, 0, 1, 0, 2, 2]
        problem = Problem(rng.dirichlet(np.ones(5)), np.full(6, 1 / 6), W, np.zeros((5, 6)))
        cost = rng.normal(size=(5, 3)) + 5.0 * np.arange(3)
        box = whole_box(problem).copy()
        priced = price(problem, cost[:, order], 0.05, 1.0, box, tol=1e-8)
        for y, own in enumerate(order):
            alone = price(problem, cost[:, [own]], 0.05, 1.0, box[:1], tol=1e-8)
            assert priced.lower[y] == pytest.approx(alone.lower[0], abs=3e-8)
            assert priced.value[priced.y == y].min() == pytest.approx(alone.value.min(), abs=3e-8)
