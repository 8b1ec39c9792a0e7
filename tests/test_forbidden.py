"""Forbidden pairs, d = inf: bounds below every coupling that avoids them, points that avoid them, and who refuses."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from grids import couplings, free_couplings
from scipy.optimize import linprog
from scipy.special import rel_entr, xlogy

import drcopt
from drcopt import closed_forms, information
from drcopt.bounds.pricing import price
from drcopt.bounds.stranded import Stranded, stranded
from drcopt.coupling import loosest, round_onto_allowed
from drcopt.formulations import SingleLetter
from drcopt.questions.output import Free

inf = math.inf
ERASURE = [[0, 1, inf], [inf, 1, 0]]
NOISE = [[0.9, 0.1], [0.1, 0.9]]


def some(seeds: int, few: int) -> list[Any]:
    """Seeds, all but a few of them slow."""
    return [*range(few), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(few, seeds))]


def instance(seed: int, n: int, m: int, forbidden: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """px, py, W, d such that some coupling avoids the forbidden pairs."""
    rng = np.random.default_rng(seed)
    d = rng.random((n, m)).round(3)
    d.ravel()[rng.choice(n * m, forbidden, replace=False)] = inf
    while np.isinf(d).all(axis=1).any() or np.isinf(d).all(axis=0).any():
        d = rng.permutation(d.ravel()).reshape(n, m)
    P = np.where(np.isfinite(d), rng.dirichlet(np.ones(n * m)).reshape(n, m), 0.0)
    P /= P.sum()
    return P.sum(axis=1), P.sum(axis=0), rng.dirichlet(np.ones(2), size=n), d


def spends(P: np.ndarray, W: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E d, I and H(S|Y) of couplings (N, n, m), in bits."""
    cost = (P * np.where(np.isfinite(d), d, 0.0)).sum(axis=(1, 2))
    rate = rel_entr(P, P.sum(2, keepdims=True) * P.sum(1, keepdims=True)).sum(axis=(1, 2)) / math.log(2)
    T = np.einsum("xs,nxy->nsy", W, P)
    loss = -rel_entr(T, np.broadcast_to(T.sum(1, keepdims=True), T.shape)).sum(axis=(1, 2)) / math.log(2)
    return cost, rate, loss


def held_against(
    problem: drcopt.Problem, grid: np.ndarray, R: float, C: float | None, near: float, **more: Any
) -> None:
    """The bound is below every coupling of the grid that meets the budgets, and the point is one that does."""
    cost, rate, loss = spends(grid, problem.ps_given_x, problem.d)
    met = (rate <= R) & (loss <= (inf if C is None else C))
    best = cost[met].min(initial=inf)
    found = drcopt.solve(problem, R=R, C=C, on_failure="return", tol=1e-3, **more)
    assert found.lower_bound <= best + 1e-9
    if found.status == "infeasible":
        assert not met.any()
        return
    if found.status == "unknown" and "time_limit" in more:
        return  # on a busy machine
    P = found.coupling
    assert not P[problem.forbidden].any() and np.abs(P.sum(axis=1) - problem.px).max() < 1e-12
    assert found.rate <= R * (1 + 1e-12) and found.classification_loss <= (inf if C is None else C + 1e-12)
    assert found.lower_bound <= found.distortion
    assert found.status != "optimal" or found.distortion <= best + near


class TestAgainstGrids:
    @pytest.mark.parametrize("seed", some(6, 1))
    @pytest.mark.parametrize(("n", "m", "forbidden"), [(3, 2, 1), (3, 3, 2), (3, 3, 3)])
    def test_given_law(self, n: int, m: int, forbidden: int, seed: int) -> None:
        px, py, W, d = instance(seed, n, m, forbidden)
        problem, grid = drcopt.Problem(px, py, W, d), couplings(px, py, d, 201)
        _, rate, loss = spends(grid, W, d)
        for share in (0.02, 0.4):
            R = float(rate.min() + share * np.ptp(rate)) + 1e-9
            held_against(problem, grid, R, None, 0.02)
        C = float(np.quantile(loss[rate <= R], 0.3)) + 1e-9
        held_against(problem, grid, R, C, 0.02, time_limit=1)

    @pytest.mark.parametrize("seed", some(6, 1))
    def test_free_law(self, seed: int) -> None:
        px, _, W, d = instance(seed, 2, 3, 2)
        problem, grid = drcopt.Problem(px, None, W, d), free_couplings(px, d, 101)
        _, rate, loss = spends(grid, W, d)
        R = float(rate.min() + 0.4 * np.ptp(rate)) + 1e-9
        held_against(problem, grid, R, None, 0.02)
        held_against(problem, grid, R, float(np.quantile(loss[rate <= R], 0.3)) + 1e-9, 0.03, time_limit=2)

    @pytest.mark.parametrize("seed", some(6, 1))
    def test_time_sharing_is_no_more(self, seed: int) -> None:
        px, py, W, d = instance(seed, 3, 3, 2)
        problem, grid = drcopt.Problem(px, py, W, d), couplings(px, py, d, 101)
        cost, rate, loss = spends(grid, W, d)
        R, C = float(np.quantile(rate, 0.4)), float(np.quantile(loss, 0.4))
        shared = drcopt.solve(problem, R=R, C=C, formulation="time-sharing", on_failure="return", time_limit=1)
        assert shared.lower_bound <= cost[(rate <= R) & (loss <= C)].min(initial=inf) + 1e-9
        if not np.isnan(shared.coupling).any():
            assert not any(part.coupling[problem.forbidden].any() for part in shared.mixture or ())

    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.0), (0.3, 0.7), (0.0, 0.5), (0.02, 1.0)])
    def test_pricing(self, alpha: float, beta: float, seed: int) -> None:
        px, _, W, d = instance(seed, 3, 3, 3)
        problem, f = drcopt.Problem(px, np.ones(3) / 3, W, np.zeros((3, 3))), np.random.default_rng(seed).random(3)
        box = np.broadcast_to(np.stack([W.min(0), W.max(0)], -1), (3, 2, 2)).copy()
        box[1, 0, 1] = 0.5 * box[1, 0].sum()
        steps = np.linspace(0, 1, 201)
        p = np.array([(a, b, 1 - a - b) for a in steps for b in steps if a + b <= 1 + 1e-12]).clip(0)
        tau = p @ W
        for asked in (None, box):
            priced = price(problem, d - f[:, None], alpha, beta, asked)
            for y in range(3):
                own = (p[:, np.isinf(d[:, y])] == 0).all(axis=1)
                if asked is not None:
                    own &= ((tau >= asked[y, :, 0] - 1e-12) & (tau <= asked[y, :, 1] + 1e-12)).all(axis=1)
                values = p @ np.where(np.isinf(d[:, y]), 0.0, d[:, y] - f) + alpha * rel_entr(p, px).sum(1)
                values -= beta * xlogy(tau, tau).sum(axis=1)
                least = values[own].min(initial=inf)
                assert priced.lower[y] <= least + 1e-9
                if asked is None:
                    assert priced.lower[y] >= least - 0.02
            assert not priced.p[np.isinf(d.T[priced.y])].any()


class TestErasure:
    @pytest.mark.parametrize("R", [0.01, 0.5, 0.99])
    def test_distortion(self, R: float) -> None:
        found = drcopt.solve_drc([0.5, 0.5], None, [[1], [1]], R, None, d=ERASURE)
        assert found.status == "optimal" and found.distortion == pytest.approx(1 - R, abs=2e-8)

    def test_rate(self) -> None:
        found = drcopt.min_rate(drcopt.Problem([0.5, 0.5], None, [[1], [1]], ERASURE), D=0.3)
        assert found.status == "optimal" and found.rate == pytest.approx(0.7, abs=1e-9)

    def test_ends(self) -> None:
        problem = drcopt.Problem([0.5, 0.5], None, [[1], [1]], ERASURE)
        assert drcopt.solve(problem).distortion == 0.0
        assert drcopt.solve(problem, R=0).distortion == pytest.approx(1.0)
        assert drcopt.min_rate(problem).rate == pytest.approx(0.0, abs=1e-12)

    @pytest.mark.parametrize("C", [0.72, 0.71])
    def test_with_a_class(self, C: float) -> None:
        exact = closed_forms.erasure.exact(0.1, R=0.5, C=C).distortion
        found = drcopt.solve_drc([0.5, 0.5], None, NOISE, 0.5, C, d=ERASURE, classifier_sees="message")
        assert found.status == "optimal" and found.distortion == pytest.approx(exact, abs=1e-6)

    def test_the_textbook_case(self) -> None:
        # The law of Y is the best one for D = 0.01, and leaves one coupling.
        found = drcopt.solve_drc([0.5, 0.5], [0.495, 0.01, 0.495], [[1], [1]], 0.99 + 1e-12, None, d=ERASURE)
        assert found.status == "optimal" and found.distortion == pytest.approx(0.01, abs=1e-12)
        second = drcopt.solve_drc([0.5, 0.5], [0.6, 0.4], [[1], [1]], 0.61, None, d=[[0, inf], [1, 0]])
        assert second.status == "optimal" and second.distortion == pytest.approx(0.1, abs=1e-12)


class TestAgainstLargeNumbers:
    @pytest.mark.parametrize("seed", range(4))
    def test_the_limit(self, seed: int) -> None:
        px, py, W, d = instance(seed, 3, 3, 2)
        rate = information.mutual_information(loosest(px, py, np.isfinite(d))[0]) / math.log(2)
        found = drcopt.solve_drc(px, py, W, rate + 0.05, None, d=d)
        bounds = [
            drcopt.solve_drc(px, py, W, rate + 0.05, None, d=np.where(np.isinf(d), M, d)).lower_bound
            for M in (1.0, 3.0, 10.0, 30.0)
        ]
        assert (np.diff(bounds) >= -1e-7).all() and bounds[-1] <= found.distortion + 1e-9
        assert bounds[-1] == pytest.approx(found.distortion, abs=1e-3)


class TestNowhere:
    def test_hall(self) -> None:
        with pytest.raises(drcopt.InfeasibleError) as caught:
            drcopt.solve_drc([0.5, 0.5], [0.6, 0.4], [[1], [1]], 0.3, None, d=[[0, inf], [inf, 0]])
        assert "x in {1}, of mass 0.5, may become only y in {1} of mass 0.4" in str(caught.value)
        assert caught.value.budget == "D" and caught.value.least == inf

    def test_names(self) -> None:
        problem = drcopt.Problem(
            [0.25, 0.0, 0.75], None, [[1]] * 3, [[0, 1], [0, 0], [inf, inf]], labels={"x": ["a", "b", "c"]}
        )
        with pytest.raises(drcopt.InfeasibleError, match=r"x in \{'c'\}, of mass 0.75, may become only no y at all"):
            drcopt.solve(problem)
        assert drcopt.solve(problem, on_failure="return").status == "infeasible"

    @pytest.mark.parametrize("seed", range(20))
    def test_every_set_of_letters(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        px, py = rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(3))
        d = np.where(rng.random((4, 3)) < 0.45, inf, 0.0)
        d[rng.integers(4), 0] = 0.0
        problem = drcopt.Problem(px, py, [[1.0]] * 4, d)
        short = [
            A for size in range(1, 5) for A in itertools.combinations(range(4), size)
            if px[list(A)].sum() > py[np.isfinite(d[list(A)]).any(axis=0)].sum() + 1e-9
        ]  # fmt: skip
        found = stranded(problem, free=False)
        assert (found is not None) == bool(short)
        if found is not None:
            assert Stranded(found).bound(SingleLetter(problem, inf, inf)) == inf
        elif not short:
            P = round_onto_allowed(problem.independent, px, py, np.isfinite(d))
            assert P is not None and not P[np.isinf(d)].any() and np.abs(P.sum(axis=0) - py).max() < 1e-13

    def test_letters_that_have_somewhere_to_go_prove_nothing(self) -> None:
        problem = drcopt.Problem([0.5, 0.5], [0.5, 0.5], [[1], [1]], [[0, inf], [inf, 0]])
        for letters in ([0], [1], [0, 1]):
            assert Stranded(np.array(letters)).bound(SingleLetter(problem, inf, inf)) == -inf
            assert Stranded(np.array(letters)).bound(SingleLetter(problem, inf, inf, laws=Free())) == -inf

    def test_too_little_rate(self) -> None:
        identity = drcopt.Problem([0.5, 0.5], [0.5, 0.5], NOISE, [[0, inf], [inf, 0]])
        for R in (0.0, 0.3):
            with pytest.raises(drcopt.InfeasibleError, match="the rate is at least 1 bits"):
                drcopt.solve(identity, R=R)
        assert drcopt.solve(identity, R=1.0).distortion == 0.0


class TestPieces:
    def test_loosest(self) -> None:
        for seed in range(5):
            px, py, _, d = instance(seed, 3, 3, 3)
            allowed = np.isfinite(d)
            P, f = loosest(px, py, allowed)
            assert not P[~allowed].any() and np.abs(P.sum(axis=1) - px).max() < 1e-12
            rate = information.mutual_information(P)
            assert f @ px - py @ np.log((px * np.exp(f)) @ allowed) == pytest.approx(rate, abs=1e-8)
            other = round_onto_allowed(np.random.default_rng(seed).random((3, 3)), px, py, allowed)
            assert other is not None and information.mutual_information(other) >= rate - 1e-9

    def test_a_plan_whose_letters_have_no_other_entries(self) -> None:
        px = py = np.array([0.5, 0.3, 0.2])
        allowed = ~np.eye(3, dtype=bool)
        P = round_onto_allowed(np.eye(3) * px + 1e-18, px, py, allowed)
        assert P is not None and not np.diag(P).any() and np.abs(P.sum(axis=1) - px).max() < 1e-13

    def test_tiny_masses(self) -> None:
        px, py = np.array([1 - 1e-9, 1e-9]), np.array([0.5, 0.5 - 1e-12, 1e-12])
        found = drcopt.solve_drc(px, py, NOISE, None, 0.4999, d=[[0, 1, 2], [inf, 0, 1]], on_failure="return")
        assert not found.coupling[1, 0] > 0 and found.lower_bound <= 1.0

    def test_a_sweep(self) -> None:
        problem = drcopt.Problem([0.5, 0.5], [0.3, 0.4, 0.3], NOISE, ERASURE)
        table = drcopt.sweep(problem, R=[0.3, 0.7, 1.0], C=[None], progress=False)
        assert table["status"].tolist() == ["infeasible", "optimal", "optimal"]
        assert table["distortion"].iloc[1:].to_numpy() == pytest.approx([0.4, 0.4])

    @pytest.mark.parametrize("ending", ["json", "npz"])
    @pytest.mark.parametrize("py", [None, [0.3, 0.4, 0.3]])
    def test_files(self, tmp_path: Any, py: Any, ending: str) -> None:
        problem, path = drcopt.Problem([0.5, 0.5], py, NOISE, ERASURE), tmp_path / f"it.{ending}"
        drcopt.sources.save(problem, path)
        again = drcopt.sources.named(str(path))
        assert again.free == problem.free and again.fingerprint == problem.fingerprint

    def test_what_is_shown(self) -> None:
        problem = drcopt.Problem([0.5, 0.5], None, NOISE, ERASURE)
        assert "max d=1, 2 pairs forbidden" in repr(problem) and "2 pairs forbidden" in problem._repr_html_()
        assert problem.distortion(np.full((2, 3), 1 / 6)) == inf

    def test_a_distortion_as_a_function(self) -> None:
        d = drcopt.distortion.from_function(lambda a, b: abs(a - b) if abs(a - b) < 2 else inf, [0, 1, 2], [0, 1, 2])
        assert np.isinf(d).sum() == 2


def test_mixtures_of_laws() -> None:
    """Time-sharing, py free: no mixture of channels that avoid the pairs is below the bound; one alone is worse."""
    rng = np.random.default_rng(3)
    px, W = rng.dirichlet(np.ones(3)), 0.95 * rng.dirichlet(np.full(2, 0.5), size=3) + 0.025
    d, f = rng.random((3, 3)), rng.random((3, 3)) < 0.3
    f[np.arange(3), rng.integers(3, size=3)] = False
    problem = drcopt.Problem(px, None, W, np.where(f, inf, d))
    C = 0.5 * (problem.entropy_s_given_x + problem.entropy_s)
    mixed = drcopt.solve(problem, C=C, units="nats", formulation="time-sharing")
    alone = drcopt.solve(problem, C=C, units="nats")
    assert mixed.status == alone.status == "optimal" and f.sum() == 2
    assert mixed.distortion < alone.lower_bound - 1e-3 and not mixed.coupling[f].any()
    K = rng.dirichlet(np.full(3, 0.3), size=(1000, 3)) * ~f
    K = np.concatenate([K / K.sum(axis=2, keepdims=True), np.eye(3)[list(itertools.product(range(3), repeat=3))]])
    P = px[:, None] * K[(K[:, f] == 0).all(axis=1)]
    losses = [problem.classification_loss(each) for each in P]
    costs = (P * np.where(f, 0.0, d)).sum(axis=(1, 2))
    best = linprog(costs, A_ub=[losses], b_ub=[C], A_eq=np.ones((1, len(P))), b_eq=[1.0]).fun
    assert mixed.lower_bound <= best <= mixed.distortion + 0.01


WRONG: dict[str, tuple[Any, str]] = {
    "nan": (lambda p: drcopt.Problem([1.0], [1.0], [[1]], [[math.nan]]), "d must be finite"),
    "minus inf": (lambda p: drcopt.Problem([1.0], [1.0], [[1]], [[-inf]]), "d must be finite"),
    "px": (lambda p: drcopt.Problem([inf, 0], [1.0], [[1], [1]], [[0], [0]]), "px must be finite"),
    "one-shot": (lambda p: drcopt.solve(p, formulation="one-shot"), "d must be finite for formulation='one-shot'"),
    "perception": (lambda p: drcopt.solve(p, perception=("tv", 0.1)), "d must be finite with a perception budget"),
    "loss": (lambda p: drcopt.min_classification_loss(p, R=0.5), "d must be finite to minimise the classification"),
    "surface": (lambda p: drcopt.surface(p, R=(0.3, 0.9)), "d must be finite for a surface"),
    "best_map": (lambda p: drcopt.best_map(p), "d must be finite"),
    "samples": (lambda p: drcopt.statistics.tv_interval([[1, 1], [1, 1]], ERASURE), "d must be finite"),
}


@pytest.mark.parametrize("name", WRONG)
def test_refused(name: str) -> None:
    ask, message = WRONG[name]
    problem = drcopt.Problem([0.5, 0.5], [0.3, 0.4, 0.3], NOISE, ERASURE)
    with pytest.raises(drcopt.InputError) as caught:
        ask(problem)
    assert message in str(caught.value)
