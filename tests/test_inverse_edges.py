"""Ends of the inverse questions, and multipliers there and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from inverses import BIT, KINDS, hamming, single
from strategies import make

from drcopt import InfeasibleError, Problem, min_classification_loss, min_rate, solve
from drcopt.engines.base import Limits
from drcopt.engines.sharing import Pool
from drcopt.errors import InputError
from drcopt.formulations import TimeSharing
from drcopt.questions import CLASSIFICATION_LOSS


class TestEdges:
    def test_no_rate_is_needed_where_independence_does(self) -> None:
        problem = make("random", 0, 4, 3, 2)
        enough = problem.distortion(problem.independent)
        for D in (None, math.inf, enough * (1 + 1e-12), enough + 1.0):
            answer = min_rate(problem, D=D)
            assert (answer.status, answer.lower_bound) == ("optimal", 0.0)
            assert answer.rate == pytest.approx(0.0, abs=1e-12)
        assert min_rate(problem, D=enough - 1e-3).lower_bound > 0.0

    @pytest.mark.parametrize("px", [[0.5, 0.5], [0.3, 0.7], [0.2, 0.3, 0.5]])
    def test_nothing_lost(self, px: list[float]) -> None:
        """D = 0: Y = X, all of H(X)."""
        answer = min_rate(hamming(px), D=0.0)
        entropy = -sum(p * math.log2(p) for p in px)
        assert answer.status in ("optimal", "near-feasible")  # whether masses off the diagonal are 0 is rounding
        assert answer.rate == pytest.approx(entropy, abs=1e-9)
        assert entropy - 1e-6 <= answer.lower_bound <= entropy + 1e-12

    @pytest.mark.parametrize("seed", range(4))
    def test_the_least_distortion(self, seed: int) -> None:
        """Asked for the D of optimal transport, no more rate than the plan's, and a bound that holds."""
        problem = make("random", seed, 4, 4, 2)
        plan = solve(problem)
        answer = min_rate(problem, D=plan.distortion, on_failure="return")
        assert answer.status in ("optimal", "feasible", "near-feasible")  # D is not a sum of doubles
        assert answer.lower_bound - 1e-9 <= answer.rate <= plan.rate + 1e-6
        assert answer.lower_bound >= min_rate(problem, D=plan.distortion + 1e-4).lower_bound

    def test_a_flat_distortion(self) -> None:
        """Where D(R) is constant the inverse jumps: 0 at it, nothing below."""
        problem = Problem([0.4, 0.6], [0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], np.full((2, 2), 0.7))
        assert min_rate(problem, D=0.7).rate == pytest.approx(0.0, abs=1e-12)
        with pytest.raises(InfeasibleError) as caught:
            min_rate(problem, D=0.69)
        assert caught.value.budget == "D"
        assert caught.value.least == pytest.approx(0.7, abs=1e-9)

    def test_flat_beyond_the_plans_rate(self) -> None:
        """A larger R than the plan of least information needs is not what inverting its D gives back."""
        problem = make("random", 3, 4, 4, 2)
        plan = solve(problem)
        assert solve(problem, R=plan.rate + 0.1).distortion == pytest.approx(plan.distortion, abs=1e-9)
        assert min_rate(problem, D=plan.distortion + 1e-9).rate <= plan.rate + 1e-6

    @pytest.mark.parametrize(
        "family", ["zero-mass", "tiny-atoms", "one-point", "1-by-m", "n-by-1", "large-d", "small-d"]
    )
    def test_families(self, family: str) -> None:
        for seed in range(1):
            problem = make(family, seed, 3, 3, 2)
            forth = solve(problem, R=0.1)
            back = min_rate(problem, D=forth.distortion)
            assert back.coupling.shape == (problem.n, problem.m)
            assert back.lower_bound <= forth.rate + 1e-9
            edge = min_classification_loss(problem, R=0.1, D=forth.distortion, time_limit=0.5)
            assert edge.lower_bound <= forth.classification_loss + 1e-9

    def test_a_distortion_that_cannot_be_met_is_named(self) -> None:
        problem = make("random", 1, 3, 3, 2)
        least = solve(problem).distortion
        for kind, sees in KINDS:
            settings: dict[str, Any] = {"formulation": kind, "classifier_sees": sees}
            for ask in (min_rate, min_classification_loss):
                with pytest.raises(InfeasibleError, match=r"^D = .* cannot be met") as caught:
                    ask(problem, D=least - 1e-3, **settings)
                assert caught.value.budget == "D"
                assert least - 1e-3 < caught.value.least <= least + 1e-12
            answer = min_rate(problem, D=least - 1e-3, on_failure="return", **settings)
            assert (answer.status, answer.rate, answer.lower_bound) == ("infeasible", math.inf, math.inf)

    @pytest.mark.parametrize("units", ["bits", "nats"])
    def test_a_loss_that_cannot_be_met_is_named(self, units: str) -> None:
        problem = make("random", 1, 3, 3, 2)
        floor = problem.entropy_s_given_x / (BIT if units == "bits" else 1.0)
        with pytest.raises(InfeasibleError, match=r"^C = .* cannot be met") as caught:
            min_rate(problem, C=floor - 1e-3, units=units)
        assert (caught.value.budget, caught.value.units) == ("C", units)
        assert floor - 1e-9 <= caught.value.least

    def test_a_rate_too_small_for_the_distortion(self) -> None:
        """C_min(R, D) where D(R) > D: what is missed is D, and D(R) the least that can be met."""
        problem = make("random", 2, 3, 3, 2)
        least = solve(problem, R=0.1).distortion
        with pytest.raises(InfeasibleError) as caught:
            min_classification_loss(problem, R=0.1, D=least - 1e-3)
        assert caught.value.budget == "D"
        assert caught.value.least == pytest.approx(least, abs=1e-6)
        assert caught.value.least <= least + 1e-12

    @pytest.mark.parametrize("D", [-0.1, math.nan, "0.1", [0.1]])
    def test_bad_budgets_are_refused(self, D: Any) -> None:
        problem = make("random", 2, 3, 3, 2)
        for ask in (min_rate, min_classification_loss):
            with pytest.raises(InputError, match=r"^D must "):
                ask(problem, D=D)

    def test_an_engine_that_does_not_minimise_it_is_refused(self) -> None:
        problem = make("random", 2, 3, 3, 2)
        with pytest.raises(InputError, match="engine 'newton' does not minimise the classification loss"):
            min_classification_loss(problem, R=0.1, engine="newton")


class TestMultipliers:
    @pytest.mark.parametrize("units", ["bits", "nats"])
    @pytest.mark.parametrize("scale", [1.0, 1e4])
    def test_of_the_distortion(self, units: str, scale: float) -> None:
        """−∂R/∂D by central differences, and 1/(−∂D/∂R)."""
        base = make("random", 4, 4, 3, 2)
        problem = Problem(base.px, base.py, base.ps_given_x, scale * base.d)
        forth = solve(problem, R=0.2, units=units)
        D, step = forth.distortion, 1e-4 * scale
        low, middle, high = (min_rate(problem, D=D + shift, units=units, tol=1e-9) for shift in (-step, 0.0, step))
        slope = (low.rate - high.rate) / (2 * step)
        assert middle.multipliers.distortion == pytest.approx(slope, rel=1e-4)
        assert middle.multipliers.distortion == pytest.approx(1.0 / forth.multipliers.rate, rel=1e-4)
        assert math.isnan(middle.multipliers.rate)

    def test_of_both_budgets(self) -> None:
        """Where C binds: w_D = 1/α and w_C = β/α with the α, β of the least distortion, at the same point."""
        problem, R = make("random", 5, 2, 2, 2), 0.15
        settings = single(tol=1e-8, time_limit=20.0)
        least = min_classification_loss(problem, R=R, **settings).classification_loss
        free = solve(problem, R=R, **settings).classification_loss
        C = least + 0.5 * (free - least)
        forth = solve(problem, R=R, C=C, **settings)
        back = min_rate(problem, D=forth.distortion, C=C, **settings)
        assert back.lower_bound <= R + 1e-9
        alpha, beta = forth.multipliers.rate, forth.multipliers.classification
        if alpha > 1e-3:  # else C alone decides, and less rate does
            assert back.rate == pytest.approx(R, abs=1e-5)
            assert back.multipliers.distortion == pytest.approx(1.0 / alpha, rel=0.05)
            assert back.multipliers.classification == pytest.approx(beta / alpha, rel=0.05, abs=0.05)

    def test_both_budgets_cost_no_less_than_either(self) -> None:
        """R(D, C) ≥ R(D) and ≥ R(C). It may exceed the larger of them, so nothing more is asked."""
        problem = make("random", 6, 3, 3, 2)
        forth = solve(problem, R=0.3, units="nats")
        C = 0.5 * (forth.classification_loss + problem.entropy_s)
        settings = single(tol=1e-5, time_limit=20.0)
        both = min_rate(problem, D=forth.distortion, C=C, **settings)
        for alone in (min_rate(problem, D=forth.distortion, **settings), min_rate(problem, C=C, **settings)):
            assert alone.lower_bound <= both.rate


def test_time_sharing_knows_the_points_of_one_coupling() -> None:
    rng = np.random.default_rng(0)
    p = Problem([0.5, 0.3, 0.2], [0.4, 0.35, 0.25], rng.dirichlet([1, 1], 3), d="hamming")
    question = TimeSharing(p, 0.2, math.inf, distortion_budget=0.4, objective=CLASSIFICATION_LOSS)
    (P,) = Pool(question).points(Limits(1e-6))
    spent = p.distortion(P), p.rate(P)
    assert spent[0] <= 0.4 and spent[1] <= 0.2 + 1e-9
    assert p.classification_loss(P) < 0.97 * p.entropy_s
