"""Upper bounds on the entries of a coupling: grids, forbidden pairs, letters without room, bounds that hold."""

from __future__ import annotations

import math
from typing import Any

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest
from grids import couplings
from scipy.special import entr, rel_entr

import drcopt
from drcopt.bounds import Leaf, PosteriorTree
from drcopt.bounds.capped import Crowded, Multiplied, crowded, room
from drcopt.capped_session import CappedSession
from drcopt.certify.witness import Budgets
from drcopt.errors import InfeasibleError, InputError
from drcopt.formulations import Capped, Part, SingleLetter

inf, LN2 = math.inf, math.log(2)
some = [*range(6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 40))]


def instance(seed: int, n: int = 3, m: int = 2) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    px, py, W = rng.dirichlet(np.full(n, 2.0)), rng.dirichlet(np.full(m, 2.0)), rng.dirichlet([0.6, 0.6], n)
    return px, py, W, rng.random((n, m)), rng


def spends(P: Any, W: Any, d: Any) -> tuple[Any, Any, Any]:
    """E d, I and H(S|Y) in bits, of couplings (N, n, m)."""
    T = np.einsum("xs,nxy->nsy", W, P)
    rate = rel_entr(P, P.sum(2, keepdims=True) * P.sum(1, keepdims=True)).sum(axis=(1, 2))
    return (P * d).sum(axis=(1, 2)), rate / LN2, (entr(T).sum(axis=(1, 2)) - entr(T.sum(axis=1)).sum(axis=1)) / LN2


class TestAgainstGrids:
    @pytest.mark.parametrize("seed", some)
    def test_it(self, seed: int) -> None:
        px, py, W, d, rng = instance(seed, 2 + seed % 2)
        P = couplings(px, py, d, 801)
        cost, rate, loss = spends(P, W, d)
        base = P[rng.integers(len(P))]
        upper = np.where(rng.random(d.shape) < 0.6, base * (1 + 0.5 * rng.random(d.shape)) + 0.01, inf)
        inside = (P <= upper + 1e-12).all(axis=(1, 2))
        R, C = float(np.quantile(rate, rng.uniform(0.2, 0.9))), float(np.quantile(loss, rng.uniform(0.1, 0.9))) + 1e-7
        problem = drcopt.Problem(px, py, W, d)
        for limit in (None, C):
            met = inside & (rate <= R) & (loss <= (inf if limit is None else limit))
            best = cost[met].min(initial=inf)
            found = drcopt.solve(problem, R=R, C=limit, upper=upper, on_failure="return")
            assert found.lower_bound <= best + 1e-9
            if limit is None:  # convex
                assert found.status in ("optimal", "infeasible") and (found.status == "optimal") >= (best < inf)
            if found.status in ("optimal", "feasible"):
                again = spends(found.coupling[None], W, d)
                assert (found.coupling <= upper).all() and again[1][0] <= R + 1e-12 and found.distortion <= best + 1e-6
                assert limit is None or again[2][0] <= limit + 1e-12
                lowest = drcopt.min_rate(problem, D=found.distortion + 1e-3, upper=upper)
                fits = inside & (cost <= found.distortion + 1e-3)
                assert lowest.status == "optimal" and lowest.lower_bound <= rate[fits].min(initial=inf) + 1e-9
                assert lowest.rate <= found.rate + 1e-6 and (lowest.coupling <= upper).all()

    @pytest.mark.parametrize("seed", some[:3])
    def test_rates_by_a_convex_program(self, seed: int) -> None:
        px, py, W, d, rng = instance(seed, 5, 4)
        upper = np.outer(px, py) * (1.0 + 0.4 * rng.random((5, 4)))
        P = cp.Variable((5, 4), nonneg=True)
        rows = [cp.sum(P, axis=1) == px, cp.sum(P, axis=0) == py, P <= upper]
        program = cp.Problem(
            cp.Minimize(cp.sum(cp.multiply(P, d))), [*rows, cp.sum(cp.rel_entr(P, np.outer(px, py))) <= 0.03 * LN2]
        )
        program.solve(solver="CLARABEL")
        found = drcopt.solve(drcopt.Problem(px, py, W, d), R=0.03, upper=upper)
        assert found.status == "optimal" and found.distortion == pytest.approx(program.value, abs=2e-6)
        free = drcopt.solve(drcopt.Problem(px, py, W, d), R=0.03)
        assert free.distortion < found.lower_bound - 1e-3


class TestOrder:
    def test_no_bound_that_binds_changes_nothing(self) -> None:
        px, py, W, d, _ = instance(1)
        problem = drcopt.Problem(px, py, W, d)
        plain = drcopt.solve(problem, R=0.3, C=0.9 * problem.entropy_s / LN2, on_failure="return")
        for upper in (np.full((3, 2), inf), np.ones((3, 2)), np.minimum(px[:, None], py)):
            found = drcopt.solve(problem, R=0.3, C=0.9 * problem.entropy_s / LN2, upper=upper, on_failure="return")
            assert (found.status, found.lower_bound) == (plain.status, plain.lower_bound)
            assert np.array_equal(found.coupling, plain.coupling, equal_nan=True)

    def test_none_is_forbidden(self) -> None:
        px, py, W, d, _ = instance(2)
        upper, far = np.full((3, 2), inf), d.copy()
        upper[0, 1], far[0, 1] = 0.0, inf
        one = drcopt.solve(drcopt.Problem(px, py, W, d), R=1.0, upper=upper)
        other = drcopt.solve(drcopt.Problem(px, py, W, far), R=1.0)
        assert one.distortion == other.distortion and one.coupling[0, 1] == 0.0 and np.isfinite(one.problem.d).all()
        upper[1, 0] = 0.9 * other.coupling[1, 0]  # both kinds at once
        both = drcopt.solve(drcopt.Problem(px, py, W, d), R=1.0, upper=upper)
        assert both.status == "optimal" and both.coupling[0, 1] == 0.0 and both.coupling[1, 0] <= upper[1, 0]
        assert both.lower_bound >= other.distortion - 1e-9

    def test_lower_bounds_on_the_diagonal(self) -> None:
        """Of a public report: at most 0.3 of the mass may stay where it is, so that 0.4 moves."""
        upper = [[0.3, 1.0], [1.0, 0.3]]
        found = drcopt.solve_drc([0.5, 0.5], [0.5, 0.5], np.eye(2), None, None, upper=upper)
        assert found.status == "optimal" and found.distortion == pytest.approx(0.4, abs=1e-8)
        tighter = drcopt.solve_drc([0.5, 0.5], [0.5, 0.5], np.eye(2), None, None, upper=[[0.2, 1.0], [1.0, 0.3]])
        assert tighter.distortion == pytest.approx(0.6, abs=1e-8)


class TestNoRoom:
    def test_letters_are_named(self) -> None:
        problem = drcopt.Problem([0.3, 0.7], [0.4, 0.6], np.eye(2), labels={"x": ["a", "b"], "y": ["a", "b"]})
        with pytest.raises(InfeasibleError, match=r"x in \{'b'\}, of mass 0.7, may send at most 0.6"):
            drcopt.solve(problem, upper=[[1, 1], [1, 0.2]])
        found = drcopt.solve(problem, upper=[[1, 1], [1, 0.2]], on_failure="return")
        assert found.status == "infeasible" and found.lower_bound == inf

    def test_a_rate_that_is_too_small(self) -> None:
        with pytest.raises(InfeasibleError):
            drcopt.solve_drc([0.5, 0.5], [0.5, 0.5], np.eye(2), 0.02, None, upper=[[0.3, 1.0], [1.0, 0.1]])

    @pytest.mark.parametrize("seed", range(20))
    def test_they_have_no_room(self, seed: int) -> None:
        px, py, W, d, rng = instance(seed, 4, 3)
        upper = np.where(rng.random((4, 3)) < 0.8, rng.random((4, 3)) * px[:, None], inf)
        problem = drcopt.Problem(px, py, W, d)
        letters = crowded(problem, upper)
        P = cp.Variable((4, 3), nonneg=True)
        caps = [P[x, y] <= upper[x, y] for x, y in zip(*np.nonzero(np.isfinite(upper)), strict=True)]
        program = cp.Problem(cp.Minimize(0), [cp.sum(P, axis=1) == px, cp.sum(P, axis=0) == py, *caps])
        program.solve(solver="HIGHS")
        assert (letters is None) == (program.status == "optimal")
        asked = Capped(problem, inf, inf, upper=upper)
        if letters is not None:
            assert px[letters].sum() > room(problem, upper, letters)
            assert (
                Crowded(letters).bound(asked) == inf and Crowded(letters).bound(SingleLetter(problem, inf, inf)) == -inf
            )


class TestEvidence:
    @pytest.mark.parametrize("seed", range(30))
    def test_any_multipliers_are_below_every_coupling(self, seed: int) -> None:
        px, _, W, d, rng = instance(seed, 3, 3)
        P = px[:, None] * rng.dirichlet(np.ones(3), 3)
        problem = drcopt.Problem(px, P.sum(axis=0), W, d)
        upper = np.where(rng.random((3, 3)) < 0.7, P, inf)
        cost = np.where(np.isfinite(upper), rng.exponential(size=(3, 3)), 0.0)
        asked = Capped(problem, inf, inf, upper=upper)
        values = asked.values([Part(1.0, P)])
        limits = dict(zip(("distortion_budget", "rate_budget", "classification_budget"), values, strict=True))
        for weight in (0.0, 1.0):
            tree = PosteriorTree(Leaf(0.5 * rng.normal(size=3), *map(float, rng.exponential(size=3))))
            for objective in drcopt.questions.QUANTITIES:
                bound = Multiplied(cost, weight, tree).bound(asked.minimising(objective, **limits))
                assert bound <= values[objective.place] + 1e-12
            assert Multiplied(cost, weight, tree).bound(SingleLetter(problem, inf, inf)) == -inf
            assert Multiplied(cost - 1.0, weight, tree).bound(asked) == -inf
            assert Multiplied(np.ones((3, 3)), weight, tree).bound(asked) == -inf or np.isfinite(upper).all()


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "shape": ({"upper": [[1.0]]}, "upper must have a row for each of the 2 letters of X"),
    "negative": ({"upper": [[1, -1], [1, 1]]}, "upper must be nonnegative"),
    "nan": ({"upper": [[1, math.nan], [1, 1]]}, "upper"),
    "words": ({"upper": "all"}, "upper"),
    "frame": ({"upper": pd.DataFrame(np.ones((2, 2)))}, "a frame with names came"),
    "message": ({"classifier_sees": "message"}, "upper must be None but for"),
    "one-shot": ({"formulation": "one-shot"}, "upper must be None but for"),
    "error": ({"class_loss": "error"}, "upper must be None but for"),
    "perception": ({"perception": ("tv", 0.1)}, "upper must be None but for"),
    "verify": ({"verify": "interval"}, "upper must be None but for"),
}


@pytest.mark.parametrize("name", WRONG)
def test_refused(name: str) -> None:
    how, message = WRONG[name]
    with pytest.raises(InputError) as caught:
        drcopt.solve(drcopt.sources.bernoulli(), R=0.5, **({"upper": np.full((2, 2), 0.9)} | how))
    assert message in str(caught.value)


def test_no_free_law_and_no_file(tmp_path: Any) -> None:
    with pytest.raises(InputError, match="a py that is given"):
        drcopt.solve(drcopt.Problem([0.5, 0.5], None, np.eye(2)), R=0.5, upper=np.ones((2, 2)))
    found = drcopt.solve(drcopt.sources.bernoulli(), R=0.5, upper=np.full((2, 2), 0.5))
    with pytest.raises(InputError, match="upper must be left out for a proof file"):
        found.certificate.save(tmp_path / "it.json")


def test_a_point_beyond_its_bounds_is_none() -> None:
    problem = drcopt.Problem([0.5, 0.5], [0.5, 0.5], np.eye(2))
    upper = np.array([[0.3, inf], [inf, inf]])
    asked, session = Capped(problem, inf, inf, upper=upper), CappedSession(problem, upper=upper)
    for stays, kept in ((0.25, True), (0.4, False)):
        P = np.array([[stays, 0.5 - stays], [0.5 - stays, stays]])
        assert (session._judged(asked, [Part(1.0, P)], (), Budgets.of(asked)).parts is not None) == kept
