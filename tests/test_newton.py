"""The native engine: sweeps, ends, memory."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog
from strategies import law, make, problems

from drcopt import Problem, solve
from drcopt.distortion import squared_error
from drcopt.engines import factors, transport
from drcopt.session import Session

BIT = math.log(2.0)
#: n×m float64 arrays that a sweep holds at once, the problem's own (d and its kin) not counted.
MOST_ARRAYS = 16


def grid_problem(n: int) -> Problem:
    """Squared error between two different laws on one grid: smooth, with a unique plan."""
    x = np.linspace(-1.0, 1.0, n)
    px, py = np.exp(-4 * x**2), np.exp(-8 * (x - 0.2) ** 2) + 0.3 * np.exp(-20 * (x + 0.5) ** 2)
    W = np.column_stack([1 / (1 + np.exp(-3 * x)), 1 / (1 + np.exp(3 * x))])
    return Problem(px / px.sum(), py / py.sum(), W, squared_error(x, x))


def random_problem(n: int) -> Problem:
    return make("random", 1, n, n, 2)


def transport_cost(problem: Problem) -> float:
    n, m, top = problem.n, problem.m, float(problem.d.max()) or 1.0
    rows = np.vstack([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    answer = linprog(problem.d.ravel() / top, A_eq=rows, b_eq=np.concatenate([problem.px, problem.py]), method="highs")
    return top * float(answer.fun)


class TestTransportEnd:
    @law(40)
    @given(problems(6, 6, 2))
    def test_without_a_budget_it_is_optimal_transport(self, problem: Problem) -> None:
        """D(∞) = min over Γ(px, py) of E d."""
        answer = solve(problem, R=None, engine="newton")
        top = float(problem.d.max())
        assert answer.distortion == pytest.approx(transport_cost(problem), abs=1e-9 * top + 1e-300)
        assert answer.gap <= 1e-9 * top
        assert answer.multipliers.rate == 0.0

    def test_a_rate_just_above_and_below_the_plan(self) -> None:
        for seed in range(5):
            problem = make("random", seed, 5, 6, 2)
            plan = solve(problem, R=None, units="nats")
            for share in (1.2, 1.0 + 1e-6, 1.0 - 1e-6, 0.98):
                answer = solve(problem, R=share * plan.rate, units="nats", engine="newton")
                assert answer.gap <= 1e-9
                assert answer.rate <= share * plan.rate + 1e-12
                assert answer.distortion >= plan.distortion - 1e-12

    @pytest.mark.parametrize("seed", range(8))
    def test_among_optimal_plans_the_one_of_least_information(self, seed: int) -> None:
        """D(R) > D(∞) at every R below the rate of the answer without a budget, however many plans are optimal."""
        rng = np.random.default_rng(seed)
        n, m = (6, 5) if seed % 2 else (20, 24)
        px, py = rng.dirichlet(np.full(n, 2.0)), rng.dirichlet(np.full(m, 2.0))
        problem = Problem(px, py, rng.dirichlet(np.ones(2), size=n), rng.integers(0, 3, (n, m)).astype(float))
        plan = solve(problem, R=None, units="nats")
        assert plan.gap <= 1e-9
        assert plan.rate > 0
        below = solve(problem, R=0.98 * plan.rate, units="nats", tol=1e-9)
        assert below.lower_bound > plan.distortion + 1e-8

    def test_equal_marginals_and_hamming(self) -> None:
        """The identity, at R = H(X) and above, and nothing else."""
        px = np.array([0.4, 0.3, 0.2, 0.1])
        problem = Problem(px, px, np.eye(4))
        for R in (problem.entropy_x, 2 * problem.entropy_x, math.inf):
            answer = solve(problem, R=R, units="nats")
            assert answer.distortion <= 1e-12
            np.testing.assert_allclose(answer.coupling, np.diag(px), atol=1e-12)
        assert solve(problem, R=0.999 * problem.entropy_x, units="nats", tol=1e-9).lower_bound > 1e-6

    def test_the_end_does_not_depend_on_how_a_sweep_came_to_it(self) -> None:
        problem = make("random", 3, 24, 24, 2)
        warm, cold = Session(problem), Session(problem)
        plan = cold.solve(None, None)
        for R in np.linspace(0.1, 1.1, 6) * plan.rate:
            last = warm.solve(float(R), None)
        np.testing.assert_array_equal(last.coupling, plan.coupling)

    def test_costs_of_two_scales(self) -> None:
        """Squared error on 12 close points and one far away: most of the curve is at multipliers around 1e-6 max d."""
        x = np.append(np.linspace(0.0, 1e-3, 12), 1.0)
        rng = np.random.default_rng(2)
        px, py = rng.dirichlet(np.full(13, 5.0)), rng.dirichlet(np.full(13, 5.0))
        problem = Problem(px, py, np.full((13, 1), 1.0), squared_error(x, x))
        most = solve(problem, R=None).rate
        session = Session(problem, tol=1e-9)
        for share in (0.3, 0.6, 0.9, 0.97, 1.0):
            assert session.solve(share * most, None).gap <= 1e-9 * problem.d.max()

    @law(30)
    @given(problems(5, 5, 2), st.floats(0.5, 1.0))
    def test_near_the_end(self, problem: Problem, share: float) -> None:
        """The gap is closed as ε → 0."""
        plan = solve(problem, R=None, units="nats")
        answer = solve(problem, R=share * plan.rate, units="nats")
        assert answer.gap <= 1e-9 * problem.d.max()


class TestSmallRates:
    @law(40)
    @given(problems(5, 5, 2), st.floats(-12.0, -1.0))
    def test_the_square_root_law(self, problem: Problem, exponent: float) -> None:
        """D(0) − D(R) ≤ √(2R)·‖d‖ (the spread of d under px pyᵀ), with the gap closed all the way to R → 0."""
        R = 10.0**exponent
        answer = solve(problem, R=R, units="nats")
        top = float(problem.d.max())
        start = float(problem.px @ problem.d @ problem.py)
        assert answer.gap <= 1e-9 * top
        assert answer.rate <= R + 1e-15
        assert start - answer.distortion <= math.sqrt(R / 2.0) * float(np.ptp(problem.d)) + 1e-12 * top


class TestSweep:
    @pytest.mark.parametrize("family", [grid_problem, random_problem])
    def test_kernel_evaluations(self, family: Callable[[int], Problem]) -> None:
        """At most 6 a point on a 50-point sweep, every point certified to 1e-9."""
        problem = family(32)
        most = min(2.0, 0.8 * solve(problem, R=None).rate)
        session = Session(problem)
        counts = []
        for R in np.linspace(most / 50, most, 50):
            answer = session.solve(R, None)
            assert answer.status == "optimal"
            assert answer.gap <= 1e-9 * problem.d.max()
            counts.append(answer.stats["kernel_evaluations"])
        assert np.mean(counts) <= 6.0, counts

    @pytest.mark.parametrize("family", [grid_problem, random_problem])
    def test_kernel_evaluations_with_the_end(self, family: Callable[[int], Problem]) -> None:
        """At most 6 a point on a 50-point sweep from R = 0 past the optimal-transport plan's information."""
        problem = family(48)
        most = 1.05 * solve(problem, R=None).rate
        session = Session(problem, tol=1e-9)
        answers = [session.solve(float(R), None) for R in np.linspace(0.0, most, 50)]
        assert all(answer.status == "optimal" for answer in answers)
        counts = [answer.stats.get("kernel_evaluations", 0) for answer in answers]
        assert np.mean(counts) <= 6.0, counts
        assert answers[-1].multipliers.rate == 0.0

    @pytest.mark.parametrize("first", [1e-14, 1e-9, 1e-4])
    def test_a_tiny_rate_first(self, first: float) -> None:
        """What rounding leaves of a point at R → 0 must not be magnified into the next points' starts."""
        session = Session(random_problem(8), units="nats", tol=1e-9)
        for R in (first, 1e3 * first, 0.01, 0.1, 0.5):
            answer = session.solve(R, None)
            # At the first rates nearly all of the value is rounding.
            assert answer.gap <= 1e-9
            assert answer.status == "optimal" or R < 0.01

    def test_a_slack_point_does_not_end_the_chain(self) -> None:
        problem = grid_problem(16)
        session = Session(problem)
        session.solve(0.5, None)
        session.solve(None, None)
        warm, cold = session.solve(0.55, None), Session(problem).solve(0.55, None)
        assert warm.stats["kernel_evaluations"] < cold.stats["kernel_evaluations"]

    @pytest.mark.parametrize("family", [grid_problem, random_problem])
    def test_the_order_of_rates_does_not_matter(self, family: Callable[[int], Problem]) -> None:
        problem = family(12)
        rates = np.linspace(0.05, 1.0, 8)
        up, down, mixed = Session(problem), Session(problem), Session(problem)
        upward = {R: up.solve(R, None).distortion for R in rates}
        for session, order in ((down, rates[::-1]), (mixed, rates[[3, 0, 7, 1, 6, 2, 5, 4]])):
            for R in order:
                assert session.solve(R, None).distortion == pytest.approx(upward[R], abs=1e-9)

    def test_a_warm_start_from_elsewhere_does_no_harm(self) -> None:
        one, other = Session(grid_problem(8)), Session(random_problem(8))
        one.solve(0.3, None)
        other.warm = one.warm
        answer = other.solve(0.4, None)
        assert answer.gap <= 1e-9
        assert answer.distortion == pytest.approx(solve(random_problem(8), R=0.4).distortion, abs=1e-9)

    @pytest.mark.parametrize("family", [grid_problem, random_problem])
    def test_sixty_four(self, family: Callable[[int], Problem]) -> None:
        problem = family(64)
        session = Session(problem)
        for R in (0.05, 0.3, 1.0, 1.8):
            answer = session.solve(R, None)
            assert answer.gap <= 1e-9 * problem.d.max()
            assert answer.rate <= R + 1e-12

    @pytest.mark.slow
    @pytest.mark.parametrize("family", [grid_problem, random_problem])
    def test_two_hundred_and_fifty_six(self, family: Callable[[int], Problem]) -> None:
        problem = family(256)
        session = Session(problem)
        for R in np.linspace(0.1, 2.0, 20):
            assert session.solve(R, None).gap <= 1e-9 * problem.d.max()

    @pytest.mark.parametrize(("n", "m"), [(3, 40), (40, 3)])
    def test_the_short_side_is_the_unknown(self, n: int, m: int) -> None:
        problem = make("random", 2, n, m, 2)
        session = Session(problem)
        for R in (0.1, 0.4, 0.8):
            assert session.solve(R, None).gap <= 1e-9
        assert session.warm is not None
        assert session.warm["points"].shape[1] == 3 + 1


class TestSinglePrecision:
    """From 256 letters on Newton's equations are factored in single precision; here with fewer."""

    @pytest.mark.parametrize("family", [grid_problem, random_problem])
    def test_answers_are_the_same(self, family: Callable[[int], Problem], monkeypatch: pytest.MonkeyPatch) -> None:
        problem = family(24)
        rates = np.linspace(0.05, 2.0, 8)
        double = [Session(problem, engine="newton", tol=1e-9).solve(R, math.inf) for R in rates]
        monkeypatch.setattr(factors, "_LARGE", 1)
        used: list[bool] = []
        rough = factors.rough_cholesky

        def counted(K: np.ndarray, diagonal: np.ndarray, root: np.ndarray) -> np.ndarray | None:
            factor = rough(K, diagonal, root)
            used.append(factor is not None)
            return factor

        monkeypatch.setattr(transport, "rough_cholesky", counted)
        session = Session(problem, engine="newton", tol=1e-9)
        single = [session.solve(R, math.inf) for R in rates]
        assert any(used)
        for one, other in zip(double, single, strict=True):
            assert other.status == "optimal"
            assert abs(one.distortion - other.distortion) <= 2e-9 * problem.d.max()

    def test_what_is_nearly_singular_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(factors, "_LARGE", 1)
        P = np.diag([0.2, 0.3, 0.5])  # letters decouple
        root = np.sqrt(P.sum(axis=1))
        K = P / root[:, None] / root
        assert factors.rough_cholesky(K, np.ones(3), root) is None
        assert factors.cholesky(K, np.ones(3), root).dtype == np.float64
        assert factors.rough_cholesky(np.full((3, 3), np.nan), np.full(3, 1e300), root) is None


class TestMemory:
    def test_a_sweep_holds_few_arrays(self) -> None:
        """The peak over 12 points at 256×256 is MOST_ARRAYS·n·m·8 bytes or less, and does not grow along the sweep."""
        problem = grid_problem(256)
        one = 8 * problem.n * problem.m
        session = Session(problem)
        session.solve(0.1, None)  # imports and caches
        peaks = []
        tracemalloc.start()
        try:
            for R in np.linspace(0.15, 2.0, 12):
                tracemalloc.reset_peak()
                session.solve(R, None)
                peaks.append(tracemalloc.get_traced_memory()[1])
            left = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert max(peaks) <= MOST_ARRAYS * one, [round(peak / one, 1) for peak in peaks]
        assert left <= 1.5 * one, "what is left is the last answer's coupling"
