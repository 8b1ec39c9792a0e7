"""Points: from many starts, at the edge of what is feasible, and between formulations."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from strategies import make

from drcopt import Problem, min_classification_loss, solve, sweep
from drcopt.coupling import round_onto_marginals
from drcopt.engines.base import Limits, Proposal
from drcopt.engines.descent import descend, tangent
from drcopt.engines.interior import local_minima
from drcopt.engines.newton import Newton
from drcopt.engines.points import Points
from drcopt.engines.starts import guesses, jump
from drcopt.formulations import SingleLetter


def weak_labels(strength: float) -> Problem:
    """Four letters, two of each class, and labels that are right with probability ½ + ``strength``."""
    W = [[0.5 + strength, 0.5 - strength]] * 2 + [[0.5 - strength, 0.5 + strength]] * 2
    return Problem([0.25] * 4, [0.5, 0.5], W, [[0, 1], [1, 0]] * 2)


class TestFromTheLastPointOfASweep:
    """Where that, or one descent from it, is proved good enough there is no other start."""

    @pytest.mark.parametrize(
        ("share", "rates", "starts", "descents"), [(0.5, [0.8, 1.2], 0, 0), (0.7, [0.3, 0.32, 0.34], 1, 3)]
    )
    def test_there_is_no_other(
        self, share: float, rates: list[float], starts: int, descents: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[str] = []

        class Rates(Newton):
            def propose(self, *arguments: Any) -> Proposal:
                calls.append("start")
                return super().propose(*arguments)

        descended = Points.try_from
        monkeypatch.setattr("drcopt.engines.points.Newton", Rates)
        monkeypatch.setattr(Points, "try_from", lambda *a, **k: (calls.append("descent"), descended(*a, **k))[1])
        problem = make("random", 4, 4, 4, 2)
        loss = problem.entropy_s_given_x + share * (problem.entropy_s - problem.entropy_s_given_x)
        table = sweep(problem, R=rates, C=loss, units="nats", tol=1e-3, progress=False)
        assert table["status"].eq("optimal").all()
        assert (calls.count("start"), calls.count("descent")) == (starts, descents)
        for R, value in zip(rates, table["distortion"], strict=True):
            alone = solve(problem, R=R, C=loss, units="nats", tol=1e-6)
            assert alone.lower_bound - 1e-12 <= value <= alone.distortion + 1e-3


class TestStarts:
    def test_a_jump_meets_the_budgets_and_falls(self) -> None:
        found = 0
        for seed in range(20):
            problem = make("random", seed, 4, 4, 3)
            P = next(guesses(problem, math.inf, problem.independent, seed))
            P = round_onto_marginals(P, problem.px, problem.py)
            budget, rate = problem.classification_loss(P) + 0.01, problem.rate(P) + 0.05
            Q = jump(problem, rate, budget, P)
            if Q is None:
                continue
            found += 1
            assert Q.min() >= 0
            assert np.abs(Q.sum(axis=1) - problem.px).max() < 1e-15
            assert np.abs(Q.sum(axis=0) - problem.py).max() < 1e-15 or np.abs(P.sum(axis=0) - problem.py).max() > 1e-15
            assert problem.distortion(Q) < problem.distortion(P)
            assert problem.classification_loss(Q) <= budget + 1e-12
            assert problem.rate(Q) <= rate
        assert found >= 10

    def test_are_the_same_each_time(self) -> None:
        problem = make("random", 1, 4, 4, 2)
        starts = [guesses(problem, 0.5, problem.independent) for _ in range(2)]
        for one, other in itertools.islice(zip(*starts, strict=True), 6):
            assert np.array_equal(one, other)

    def test_more_of_them_find_no_worse(self) -> None:
        """And each point meets both budgets as it stands."""
        for seed in range(3):
            problem = make("random", seed, 4, 4, 3)
            rate, budget = 0.6, problem.entropy_s_given_x + 0.6 * (problem.entropy_s - problem.entropy_s_given_x)
            points = Points(SingleLetter(problem, rate, budget), Limits(1e-6))
            points.start()
            for more in (2, 6):
                before = points.value
                points.explore(more)
                assert points.value <= before
            if points.best is not None:
                P = points.best.P
                assert problem.rate(P) <= rate
                assert problem.classification_loss(P) <= budget
                assert problem.distortion(P) == pytest.approx(points.value, abs=1e-15)


class TestLocalMinima:
    """Of random couplings, from which no step of a descent is feasible."""

    problem = make("random", 4, 4, 4, 3)
    rate = 0.5 * min(problem.entropy_x, problem.entropy_y)
    budget = problem.entropy_s_given_x + 0.7 * (problem.entropy_s - problem.entropy_s_given_x)

    def starts(self) -> list[np.ndarray]:
        return list(itertools.islice(guesses(self.problem, self.rate, self.problem.independent, seed=4), 8))

    def test_meet_what_no_tangent_does(self) -> None:
        problem, starts = self.problem, self.starts()
        for guess in starts[:2]:
            P = round_onto_marginals(guess, problem.px, problem.py)
            assert descend(problem, problem.d, self.rate, self.budget, P, Limits(1e-6)) is None
        found = local_minima(problem, self.rate, self.budget, starts)
        for one in found:
            assert one.P.min() > 0
            assert np.abs(one.P.sum(axis=1) - problem.px).max() <= 1e-12
            assert np.abs(one.P.sum(axis=0) - problem.py).max() <= 1e-12
            assert problem.rate(one.P) <= self.rate
            assert problem.classification_loss(one.P) <= self.budget
        assert min(problem.distortion(one.P) for one in found) == pytest.approx(0.6217, abs=1e-3)

    def test_no_direction_leads_down(self) -> None:
        """With their multipliers every entry's cost is f + g or more, and those with mass cost no more than that."""
        problem = self.problem
        for one in local_minima(problem, self.rate, self.budget, self.starts()):
            f, (_, alpha, beta) = one.z[: problem.n], one.z[problem.n :]
            cost = problem.d + alpha * np.log(one.P / problem.independent) + beta * tangent(problem, one.P)
            more = cost - f[:, None] - (cost - f[:, None]).min(axis=0)
            assert (one.P * more).max() < 1e-6
            assert alpha * (self.rate - problem.rate(one.P)) < 1e-7
            assert beta * (self.budget - problem.classification_loss(one.P)) < 1e-7

    def test_starts_are_strangers(self) -> None:
        """Which others there are changes rounding only."""
        starts = self.starts()
        together = local_minima(self.problem, self.rate, self.budget, starts[:1] * 3)
        alone = local_minima(self.problem, self.rate, self.budget, starts[:1])
        values = [[self.problem.distortion(one.P) for one in found] for found in (together, alone)]
        assert all(min(abs(v - w) for w in values[0]) < 1e-6 for v in values[1])

    def test_budgets_that_nothing_meets(self) -> None:
        assert local_minima(self.problem, 1e-3, self.problem.entropy_s_given_x, self.starts()) == []

    def test_is_for_few_entries(self) -> None:
        problem = make("random", 0, 9, 9, 2)
        assert local_minima(problem, 1.0, 1.0, [problem.independent]) == []


class TestTheEdge:
    def test_a_class_that_is_the_letter(self) -> None:
        """S = X, H(S) − R = C: the rate-only optimum meets C exactly, and nothing meets it with a margin."""
        place = np.arange(4)
        problem = Problem([0.25] * 4, [0.25] * 4, np.eye(4), (place[:, None] - place) ** 2.0)
        answer = solve(problem, R=1.5, C=0.5, time_limit=10.0, on_failure="return")
        assert answer.distortion == pytest.approx(0.0929769596, abs=1e-9)
        assert answer.lower_bound <= answer.distortion

    @pytest.mark.parametrize(("R", "most"), [(0.5, 1.72006), (1.0, 1.5 + 1e-9)])
    def test_couplings_of_least_loss_that_tie(self, R: float, most: float) -> None:
        """The class is the parity: any pairing of letters tells it as well, and some cost twice what others do."""
        place = np.arange(4)
        W = [[0.9, 0.1], [0.1, 0.9]] * 2
        problem = Problem([0.25] * 4, [0.25] * 4, W, (place[:, None] - place) ** 2.0)
        edge = min_classification_loss(problem, R=R).classification_loss
        assert edge == pytest.approx({0.5: 0.697315865270, 1.0: 0.468995593589}[R], abs=1e-11)
        standard, _ = problem.standardised()
        points = Points(SingleLetter(standard, R * math.log(2), edge * math.log(2)), Limits(1e-6))
        points.start()
        assert points.best is not None
        assert problem.distortion(points.best.P) <= most
        assert standard.classification_loss(points.best.P) <= edge * math.log(2) + 1e-14

    def test_the_least_loss_is_met_with_a_point(self) -> None:
        for seed in range(2):
            problem = make("random", seed, 3, 3, 2)
            edge = min_classification_loss(problem, R=0.5, time_limit=5.0)
            answer = solve(problem, R=0.5, C=edge.classification_loss, time_limit=1.0, on_failure="return")
            assert answer.status != "infeasible"
            assert answer.distortion <= edge.distortion + 1e-6


class TestFormulations:
    @pytest.mark.parametrize(
        "strength", [0.0071, *(pytest.param(s, marks=pytest.mark.slow) for s in (0.01, 0.03, 0.2))]
    )
    def test_time_sharing_does_no_worse_than_single_letter(self, strength: float) -> None:
        """C a little below H(S), where weak labels make D(C) as steep as can be."""
        problem = weak_labels(strength)
        asked = {"C": math.log(2) - 1e-4, "units": "nats", "on_failure": "return"}
        single = solve(problem, **asked, time_limit=2.0)
        shared = solve(problem, **asked, formulation="time-sharing")
        assert shared.distortion <= single.distortion + 1e-9
        assert shared.status == "optimal"
