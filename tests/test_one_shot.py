"""One-shot codes: closed forms, brute force over all maps, the order of the formulations, sampling."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import linprog

from drcopt import InfeasibleError, Problem, solve, sources
from drcopt.bounds.maps import MapPricing
from drcopt.closed_forms import bernoulli
from drcopt.formulations.one_shot import map_coupling
from drcopt.information import conditional_entropy, entropy

BIT = math.log(2.0)


def random_problem(n: int, m: int, k: int, seed: int) -> Problem:
    rng = np.random.default_rng(seed)
    return Problem(
        rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m)), rng.dirichlet(np.ones(k) * 0.7, n), rng.random((n, m))
    )


def all_maps(problem: Problem) -> list[np.ndarray]:
    return [np.array(f) for f in itertools.product(range(problem.m), repeat=problem.n)]


def by_enumeration(problem: Problem, R: float, C: float) -> float:
    """The linear program over every map (classifier sees Y and U); budgets in bits."""
    couplings = [map_coupling(problem, f) for f in all_maps(problem)]
    rate = [entropy(P.sum(axis=0)) / BIT for P in couplings]
    loss = [conditional_entropy(problem.ps_given_x.T @ P) / BIT for P in couplings]
    answer = linprog(
        [problem.distortion(P) for P in couplings],
        A_ub=[rate, loss],
        b_ub=[R, C],
        A_eq=np.array([P.sum(axis=0) for P in couplings]).T,
        b_eq=problem.py,
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    return float(answer.fun) if answer.status == 0 else math.inf


class TestBernoulli:
    @pytest.mark.parametrize("sees", ["Y", "YU"])
    def test_exact_forms(self, sees: str) -> None:
        rng = np.random.default_rng(8)
        infeasible = 0
        for _ in range(80):
            px, py, p1 = rng.random(3)
            R, C = rng.uniform(0.3, 1.0), rng.uniform(0.7, 1.0)
            exact = bernoulli.exact(px, py, p1, R, C, formulation="one-shot", classifier_sees=sees)
            answer = solve(
                sources.bernoulli(px, py, p1),
                R=R,
                C=C,
                formulation="one-shot",
                classifier_sees=sees,
                tol=1e-7,
                on_failure="return",
            )
            assert (answer.status == "infeasible") == (not exact.feasible), (px, py, p1, R, C)
            infeasible += not exact.feasible
            if exact.feasible:
                assert answer.distortion == pytest.approx(exact.distortion, abs=1e-6)
                assert answer.lower_bound <= exact.distortion + 1e-12
        assert 10 < infeasible < 60

    def test_quoted_values(self) -> None:
        problem = sources.bernoulli(0.3, 0.4, 0.1)
        both = solve(problem, R=0.5, C=0.8, formulation="one-shot", classifier_sees="YU")
        assert both.distortion == pytest.approx(0.22171319, abs=1e-8)
        flipped = solve(problem, R=0.5, C=0.8, formulation="one-shot")
        assert flipped.distortion == pytest.approx(0.68990715, abs=1e-6)


class TestEnumeration:
    @pytest.mark.parametrize(("n", "m"), [(3, 3), (4, 3), (5, 3), (6, 4)])
    def test_column_generation_agrees(self, n: int, m: int) -> None:
        problem = random_problem(n, m, 2, 10 * n + m)
        top = problem.entropy_s / BIT
        edge = problem.entropy_s_given_x / BIT
        for R, share in ((0.3, 0.9), (0.8, 0.6), (1.2, 0.4)):
            C = edge + share * (top - edge)
            answer = solve(
                problem, R=R, C=C, formulation="one-shot", classifier_sees="YU", tol=1e-9, on_failure="return"
            )
            value = by_enumeration(problem, R, C)
            if math.isinf(value):
                assert answer.status == "infeasible"
            else:
                assert answer.distortion == pytest.approx(value, abs=2e-9)
                assert answer.lower_bound <= value + 1e-9

    def test_pricing_is_the_least_over_all_maps(self) -> None:
        rng = np.random.default_rng(4)
        for seed in range(12):
            problem = random_problem(4, 3, 3, seed)
            nu = rng.normal(size=3)
            alpha, gamma = rng.random() * (seed % 3 > 0), rng.random() * (seed % 2)
            linear = problem.px[:, None] * (problem.d - nu)
            least, maps = MapPricing(problem).least(linear, alpha, np.full(3, gamma), 3, 0)
            values = {}
            for f in all_maps(problem):
                P = map_coupling(problem, f)
                values[tuple(f)] = (
                    linear[np.arange(4), f].sum()
                    + alpha * entropy(P.sum(axis=0))
                    + gamma * conditional_entropy(problem.ps_given_x.T @ P)
                )
            assert least == pytest.approx(min(values.values()), abs=1e-12)
            assert values[tuple(int(y) for y in maps[0])] == pytest.approx(least, abs=1e-12)


class TestEndsAndOrder:
    @pytest.mark.parametrize("sees", ["Y", "YU"])
    def test_ends(self, sees: str) -> None:
        problem = random_problem(4, 3, 2, 5)
        keywords = {"formulation": "one-shot", "classifier_sees": sees}
        nothing = solve(problem, R=0, **keywords)
        assert nothing.distortion == pytest.approx(problem.distortion(problem.independent), abs=1e-12)
        assert nothing.mixture is not None
        assert all(len(set(part.map)) == 1 for part in nothing.mixture)
        free = solve(problem, **keywords)
        assert free.distortion == pytest.approx(solve(problem).distortion, abs=1e-9)

    def test_order_of_the_formulations(self) -> None:
        """time-sharing ≤ single-letter ≤ one-shot Y, and one-shot YU ≤ one-shot Y."""
        for seed in (0, 1, 2):
            problem = random_problem(3, 3, 2, seed)
            R = 0.6
            C = 0.5 * (problem.entropy_s / BIT + solve(problem, R=R).classification_loss)
            asked = [("time-sharing", "Y"), ("single-letter", "Y"), ("one-shot", "Y"), ("one-shot", "YU")]
            answers = [
                solve(problem, R=R, C=C, formulation=f, classifier_sees=s, on_failure="return", time_limit=20)
                for f, s in asked
            ]
            shared, single, seen, both = (a.distortion for a in answers)
            slack = 2e-6
            assert shared <= single + slack
            assert single <= seen + slack
            assert both <= seen + slack

    def test_infeasible_says_what_would_do(self) -> None:
        with pytest.raises(InfeasibleError, match=r"C = 0\.8 bits cannot be met at R = 0\.3 bits") as caught:
            solve(sources.bernoulli(0.3, 0.25, 0.2), R=0.3, C=0.8, formulation="one-shot", classifier_sees="YU")
        assert caught.value.least > 0.8


def test_a_mixture_can_be_sampled() -> None:
    problem = random_problem(5, 4, 2, 3)
    answer = solve(problem, R=0.7, formulation="one-shot", classifier_sees="YU")
    assert answer.mixture is not None
    assert len(answer.mixture) <= problem.m + 2
    rng = np.random.default_rng(0)
    x = rng.choice(problem.n, size=200_000, p=problem.px)
    y, u = answer.mixture.sample(x, rng)
    assert problem.d[x, y].mean() == pytest.approx(answer.distortion, abs=5e-3)
    assert np.bincount(y, minlength=problem.m) / len(y) == pytest.approx(problem.py, abs=5e-3)
    spent = sum(
        (u == q).mean() * entropy(np.bincount(y[u == q], minlength=problem.m) / (u == q).sum()) for q in set(u.tolist())
    )
    assert spent / BIT == pytest.approx(answer.rate, abs=5e-3)
