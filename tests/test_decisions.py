"""C as a limit on the Bayes error, or on the loss of the best decision: bounds, points, order and limits of it."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from grids import couplings, free_couplings
from scipy.optimize import minimize_scalar
from scipy.special import rel_entr

import drcopt
from drcopt.bounds import Leaf
from drcopt.bounds.decisions import ActionSplit, ActionTree, action_piece
from drcopt.formulations import Decisions, MessageDecisions, Part, SingleLetter
from drcopt.questions.output import Free

inf, LN2 = math.inf, math.log(2)
COSTS = np.array([[0.0, 1.0, 0.4], [2.0, 0.0, 0.4]])
some = [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 20))]


def instance(seed: int, n: int, m: int, k: int = 2) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m)), rng.dirichlet(np.full(k, 0.6), n), rng.random((n, m))


def spends(P: Any, W: Any, d: Any, table: Any) -> tuple[Any, Any, Any]:
    """E d, I in bits and the loss of the best decisions, of couplings (N, n, m)."""
    rate = rel_entr(P, P.sum(2, keepdims=True) * P.sum(1, keepdims=True)).sum(axis=(1, 2)) / LN2
    loss = np.einsum("xa,nxy->nay", W @ table, P).min(axis=1).sum(axis=1)
    return (P * np.where(np.isfinite(d), d, 0.0)).sum(axis=(1, 2)), rate, loss


def table_of(class_loss: Any, k: int) -> Any:
    return 1 - np.eye(k) if isinstance(class_loss, str) else class_loss


class TestAgainstGrids:
    @pytest.mark.parametrize("seed", some)
    @pytest.mark.parametrize("class_loss", ["error", COSTS], ids=["error", "costs"])
    @pytest.mark.parametrize(("n", "m", "free"), [(2, 2, False), (3, 2, False), (2, 2, True), (3, 2, True)])
    def test_it(self, n: int, m: int, free: bool, class_loss: Any, seed: int) -> None:
        px, py, W, d = instance(seed, n, m)
        table = table_of(class_loss, 2)
        grid = free_couplings(px, d, 41) if free else couplings(px, py, d, 801)
        cost, rate, loss = spends(grid, W, d, table)
        problem = drcopt.Problem(px, None if free else py, W, d)
        R = float(np.quantile(rate, 0.5))
        C = float(np.quantile(loss[rate <= R], 0.2))
        met = (rate <= R) & (loss <= C + 1e-12)
        found = drcopt.solve(problem, R=R, C=C + 1e-9, class_loss=class_loss, on_failure="return")
        assert found.lower_bound <= cost[met].min() + 1e-9
        assert found.status == "optimal" and found.distortion <= cost[met].min() + 1e-7
        again = spends(found.coupling[None], W, d, table)
        assert again[0][0] == pytest.approx(found.distortion) and again[1][0] <= R + 1e-12 and again[2][0] <= C + 1e-9
        least = drcopt.min_classification_loss(problem, R=R, class_loss=class_loss)
        assert least.status == "optimal" and least.lower_bound <= loss[rate <= R].min() + 1e-9
        D = found.distortion + 0.01
        lowest = drcopt.min_rate(problem, D=D, C=C + 1e-9, class_loss=class_loss)
        assert lowest.lower_bound <= rate[(cost <= D) & (loss <= C)].min(initial=inf) + 1e-9
        assert lowest.rate <= found.rate + 1e-6

    @pytest.mark.parametrize("seed", range(2))
    def test_forbidden_pairs(self, seed: int) -> None:
        px, _, W, d = instance(seed, 2, 3)
        d[0, 2] = d[1, 0] = inf
        grid = free_couplings(px, d, 101)
        cost, rate, loss = spends(grid, W, d, 1 - np.eye(2))
        R, C = float(np.quantile(rate, 0.6)), float(np.quantile(loss, 0.4))
        found = drcopt.solve(drcopt.Problem(px, None, W, d), R=R, C=C, class_loss="error", on_failure="return")
        assert found.lower_bound <= cost[(rate <= R) & (loss <= C)].min(initial=inf) + 1e-9
        assert found.status in ("optimal", "near-feasible", "infeasible") and not found.coupling[np.isinf(d)].any()


def random_tree(rng: np.random.Generator, n: int, m: int, A: int, depth: int) -> Any:
    if depth == 0 or rng.random() < 0.3:
        f, w = rng.normal(size=n) * 0.5, rng.exponential(size=3) * (rng.random(3) < 0.8)
        return Leaf(f, *map(float, w))
    children = (random_tree(rng, n, m, A, depth - 1) for _ in range(2))
    return ActionSplit(int(rng.integers(m)), int(rng.integers(A)), *children)


class TestEvidence:
    @pytest.mark.parametrize("seed", range(30))
    def test_any_tree_is_below_every_coupling(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n, m, k = rng.integers(2, 5, size=3)
        px, _, W, d = instance(seed, n, m, k)
        table = rng.random((k, 3))
        P = rng.dirichlet(np.full(n * m, 0.3)).reshape(n, m)
        P *= (px / P.sum(axis=1))[:, None]
        free = seed % 2 == 0
        py = np.full(m, 1 / m) if free else P.sum(axis=0)
        problem = drcopt.Problem(px, py, W, d)
        question = Decisions(problem, inf, inf, laws=Free() if free else None, losses=table)
        cost, rate, loss = question.values([Part(1.0, P)])
        tree = ActionTree(random_tree(rng, n, m, 3, 4))
        held = Decisions(problem, rate, loss, laws=question.laws, losses=table)
        assert tree.bound(held) <= cost + 1e-12
        for objective in drcopt.questions.QUANTITIES:
            values = [cost, rate, loss]
            limits = {"distortion_budget": cost, "rate_budget": rate, "classification_budget": loss}
            asked = Decisions(
                problem, limits["rate_budget"], limits["classification_budget"],
                distortion_budget=cost, objective=objective, laws=question.laws, losses=table,
            )  # fmt: skip
            assert tree.bound(asked) <= values[objective.place] + 1e-12

    def test_of_other_questions_it_says_nothing(self) -> None:
        px, py, W, d = instance(0, 3, 2)
        problem = drcopt.Problem(px, py, W, d)
        leaf = Leaf(np.zeros(3), 0.1, 0.1, 1.0)
        assert ActionTree(leaf).bound(SingleLetter(problem, 0.1, 0.1)) == -inf
        split = ActionTree(ActionSplit(0, 0, leaf, leaf))
        message = MessageDecisions(problem, 0.1, 0.1, losses=1 - np.eye(2))
        assert split.bound(message) == -inf and ActionTree(leaf).bound(message) > -inf
        wrong = ActionTree(ActionSplit(7, 0, leaf, leaf))
        assert wrong.bound(Decisions(problem, 0.1, 0.1, losses=1 - np.eye(2))) == -inf
        bad = action_piece(
            Decisions(problem, 0.1, 0.1, losses=1 - np.eye(2)), Leaf(np.zeros(2), 0.1, 0.1), np.full((2, 2), True)
        )
        assert bad.level == -inf


class TestOrder:
    @pytest.mark.parametrize("seed", some[:5])
    def test_label_maps(self, seed: int) -> None:
        """The least over label maps of rate-limited transport with one more linear budget, dual in its multiplier."""
        px, py, W, d = instance(seed, 3, 2)
        problem = drcopt.Problem(px, py, W, d)
        least = drcopt.min_classification_loss(problem, R=0.4, class_loss="error").classification_loss
        C = 0.5 * (least + 1 - (px @ W).max()) + 1e-9
        found = drcopt.solve(problem, R=0.4, C=C, class_loss="error")
        best = inf
        for labels in itertools.product(range(2), repeat=2):
            wrong = 1 - W[:, list(labels)]

            def dual(beta: float, wrong: Any = wrong) -> float:
                return drcopt.solve_drc(px, py, W, 0.4, None, d=d + beta * wrong).distortion - beta * C

            # Concave in β: flat where it is greatest.
            top = minimize_scalar(lambda beta, dual=dual: -dual(beta), bounds=(0.0, 64.0), options={"xatol": 1e-3})
            best = min(best, -top.fun if top.x < 63 else inf)
        assert found.status == "optimal" and found.distortion == pytest.approx(best, abs=1e-5)

    @pytest.mark.parametrize("seed", some[:6])
    def test_error_and_entropy(self, seed: int) -> None:
        px, py, W, d = instance(seed, 3, 2)
        problem = drcopt.Problem(px, py, W, d)
        loss = drcopt.min_classification_loss(problem, R=0.4).classification_loss
        C = 0.5 * (loss + problem.entropy_s / LN2)
        entropy = drcopt.solve(problem, R=0.4, C=C)
        # P(error) ≤ H(S|Y)/2 in bits (Hellman and Raviv), so its limit is the weaker one.
        error = drcopt.solve(problem, R=0.4, C=C / 2, class_loss="error")
        assert error.lower_bound <= entropy.distortion + 1e-7
        assert 1 - error.accuracy <= C / 2 + 1e-9
        # Fano with two classes: H(S|Y) ≤ h(P(error)), so that what meets the one meets the other.
        fano = float(drcopt.information.binary_entropy(min(C / 2, 0.5))) / LN2
        assert drcopt.solve(problem, R=0.4, C=fano + 1e-9).lower_bound <= error.distortion + 1e-7
        e = float(1 - entropy.accuracy)
        limit = drcopt.information.binary_entropy(min(e, 0.5)) / LN2
        assert drcopt.solve(problem, R=0.4, C=float(limit) + 1e-9).lower_bound <= entropy.distortion + 1e-7

    @pytest.mark.parametrize("seed", some[:5])
    def test_message_and_monotone(self, seed: int) -> None:
        px, _, W, d = instance(seed, 4, 2, 3)
        problem = drcopt.Problem(px, None, W, d)
        edge = drcopt.min_classification_loss(problem, R=0.6, class_loss="error")
        prior = 1 - (px @ W).max()
        last = inf
        for share in (0.1, 0.5, 0.9, 1.0):
            C = edge.classification_loss + share * (prior - edge.classification_loss) + 1e-9
            single = drcopt.solve(problem, R=0.6, C=C, class_loss="error")
            message = drcopt.solve(problem, R=0.6, C=C, class_loss="error", classifier_sees="message")
            assert single.status == message.status == "optimal"
            assert message.lower_bound <= single.distortion + 1e-9 and single.distortion <= last + 1e-7
            assert message.message is not None and message.message.weights.sum() == pytest.approx(1.0)
            last = single.distortion
        slack = drcopt.solve(problem, R=0.6)
        assert last == pytest.approx(slack.distortion, abs=1e-6)

    def test_a_table_for_error_is_error(self) -> None:
        px, py, W, d = instance(3, 3, 3, 3)
        problem = drcopt.Problem(px, py, W, d)
        C = 0.97 * (1 - (px @ W).max())
        one = drcopt.solve(problem, R=1.0, C=C, class_loss="error")
        other = drcopt.solve(problem, R=1.0, C=C, class_loss=1 - np.eye(3))
        assert one.distortion == other.distortion and (one.class_loss, other.class_loss) == ("error", "table")
        assert "class_loss=error" in repr(one)


class TestEdges:
    def test_at_the_edge_of_rounding(self) -> None:
        px, py, W, d = instance(2, 3, 2)
        prior = float(1 - (px @ W).max())
        found = drcopt.solve(drcopt.Problem(px, py, W, d), R=0.4, C=prior, class_loss="error", on_failure="return")
        assert found.status in ("optimal", "near-feasible") and found.excess <= 1e-12

    def test_no_rate(self) -> None:
        px, py, W, d = instance(1, 3, 2)
        for law in (py, None):
            problem = drcopt.Problem(px, law, W, d)
            prior = float(1 - (px @ W).max())
            found = drcopt.solve(problem, R=0, C=prior + 1e-9, class_loss="error")
            assert found.status == "optimal" and found.distortion == pytest.approx(
                drcopt.solve(problem, R=0).distortion
            )
            with pytest.raises(drcopt.InfeasibleError):
                drcopt.solve(problem, R=0, C=prior - 1e-6, class_loss="error")

    def test_infeasible(self) -> None:
        problem = drcopt.Problem([0.5, 0.5], [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]])
        with pytest.raises(drcopt.InfeasibleError) as caught:
            drcopt.solve(problem, R=0.2, C=0.11, class_loss="error")
        least = drcopt.min_classification_loss(problem, R=0.2, class_loss="error").classification_loss
        assert caught.value.budget == "C" and 0.11 < caught.value.least <= least + 1e-9

    def test_binary(self) -> None:
        # Y sees X through a channel of rate R at best: the error of S is that of X, through p(s|x).
        problem = drcopt.Problem([0.5, 0.5], None, [[0.9, 0.1], [0.1, 0.9]])
        found = drcopt.min_classification_loss(problem, R=0.5, class_loss="error")
        D = drcopt.solve(problem, R=0.5).distortion
        assert found.classification_loss == pytest.approx(0.1 + 0.8 * D, abs=1e-7)

    def test_letters_without_mass(self) -> None:
        px, py, W, d = instance(2, 3, 2)
        wide = drcopt.Problem(
            [*px, 0.0], [*py, 0.0], np.column_stack([np.vstack([W, [0.5, 0.5]]), np.zeros(4)]),
            np.pad(d, ((0, 1), (0, 1))),
        )  # fmt: skip
        C = float(0.95 * (1 - (px @ W).max()))
        values = [
            drcopt.solve(p, R=0.5, C=C, class_loss="error", on_failure="return")
            for p in (wide, drcopt.Problem(px, py, W, d))
        ]
        assert values[0].status == values[1].status
        assert values[0].lower_bound == pytest.approx(values[1].lower_bound, abs=1e-8)

    def test_the_clock(self) -> None:
        px, py, W, d = instance(5, 8, 8, 4)
        problem = drcopt.Problem(px, py, W, d)
        edge = 0.9 * (1 - (px @ W).max())
        found = drcopt.solve(problem, R=1.0, C=edge, class_loss="error", time_limit=0.5, on_failure="return")
        assert found.status in ("optimal", "feasible", "unknown", "infeasible")
        assert not found.lower_bound > found.distortion


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "name": ({"class_loss": "accuracy"}, "class_loss must be one of 'entropy', 'error'"),
    "rows": ({"class_loss": [[0, 1]]}, "class_loss must have a row for each of the 2 classes"),
    "negative": ({"class_loss": [[0, -1], [1, 0]]}, "class_loss must be nonnegative"),
    "engine": ({"class_loss": "error", "engine": "newton"}, "class_loss must be 'entropy'"),
    "perception": (
        {"class_loss": "error", "perception": ("tv", 0.1), "formulation": "time-sharing"},
        "with a perception budget",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_refused(name: str) -> None:
    how, message = WRONG[name]
    with pytest.raises(drcopt.InputError) as caught:
        drcopt.solve(drcopt.sources.bernoulli(), R=0.5, C=0.3, **how)
    assert message in str(caught.value)
