"""Several classes, a budget for each: bounds, points, order and what is refused."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from grids import couplings
from scipy.special import rel_entr
from several import KINDS, LN2, D, channels, inf, spends, toy

import drcopt
from drcopt.bounds import Cheapest, DataProcessing, Leaf, OfClass, PosteriorTree, Split
from drcopt.bounds.pricing import classes as pricing_of_classes
from drcopt.bounds.pricing import price_weighed
from drcopt.certify.several import Judge
from drcopt.certify.witness import Budgets
from drcopt.formulations import Part, Several, SeveralMessages, SingleLetter
from drcopt.questions import RATE

some = [5, 9, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(10, 25))]


class TestAgainstGrids:
    @pytest.mark.parametrize("seed", some)
    def test_it(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n, m, steps = ((2, 2, 2001), (2, 3, 201), (3, 2, 201))[seed % 3]
        kind = KINDS[seed % 5]
        px, py, d = rng.dirichlet(np.ones(n) * 2), rng.dirichlet(np.ones(m) * 2), rng.random((n, m))
        Ws = channels(rng, kind, n, (2, 3))
        grid = couplings(px, py, d, steps)
        cost, rate, losses = spends(grid, Ws, d)
        R = float(np.quantile(rate, rng.uniform(0.4, 0.9)))
        C = [float(np.quantile(one[rate <= R], rng.uniform(0.05, 0.5))) for one in losses]
        met = (rate <= R) & (losses[0] <= C[0]) & (losses[1] <= C[1])
        problem = drcopt.Problem(px, py, {"a": Ws[0], "b": Ws[1]}, d)
        budgets = {"a": C[0] + 1e-9, "b": C[1] + 1e-9}
        found = drcopt.solve(problem, R=R + 1e-9, C=budgets, on_failure="return", time_limit=5)
        assert found.lower_bound <= cost[met].min(initial=inf) + 1e-9
        if found.status != "infeasible" and not np.isnan(found.coupling).any():
            value, spent, each = spends(found.coupling[None], Ws, d)
            assert value[0] == pytest.approx(found.distortion) and spent[0] <= R + 2e-9
            assert all(one[0] <= c + 2e-9 for one, c in zip(each, C, strict=True))
        if found.status == "optimal":
            assert found.distortion <= cost[met].min(initial=inf) + 1e-6


def random_tree(rng: np.random.Generator, n: int, m: int, K: int, J: int, depth: int) -> Any:
    if depth == 0 or rng.random() < 0.3:
        return Leaf(
            rng.normal(size=n) * 0.5,
            float(rng.exponential() * (rng.random() < 0.7)),
            rng.exponential(size=J) * (rng.random(J) < 0.7),
            float(rng.exponential()),
        )
    children = (random_tree(rng, n, m, K, J, depth - 1) for _ in range(2))
    return Split(int(rng.integers(m)), int(rng.integers(K)), float(rng.uniform(0, 1 / J)), *children)


class TestEvidence:
    @pytest.mark.parametrize("seed", [*range(8), *(pytest.param(s, marks=pytest.mark.slow) for s in range(8, 60))])
    def test_any_tree_is_below_every_coupling(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n, m = rng.integers(2, 4, size=2) if seed % 4 else (5, 2)  # many letters of X are priced in another way
        Ws = channels(rng, KINDS[seed % 5], n, (2, 3))
        P = rng.dirichlet(np.full(n * m, 0.5)).reshape(n, m)
        problem = drcopt.Problem(P.sum(1), P.sum(0), {"a": Ws[0], "b": Ws[1]}, rng.random((n, m)))
        cost, rate, *losses = Several(problem, inf, inf, losses=(inf, inf)).values([Part(1.0, P)])
        tree = PosteriorTree(random_tree(rng, n, m, 5, 2, 3))
        room = 1.0 + 1e-13
        held = Several(problem, rate * room, inf, losses=tuple(one * room for one in losses))
        assert tree.bound(held) <= cost + 1e-12
        limits = {"losses": held.losses, "distortion_budget": cost * room}
        assert tree.bound(Several(problem, inf, inf, objective=RATE, **limits)) <= rate + 1e-12
        for j, q in enumerate(held.quantities[2:]):
            assert tree.bound(held.minimising(q)) <= losses[j] + 1e-12 or cost > held.most[0]

    @pytest.mark.parametrize("seed", range(6))
    def test_pricing_is_that_of_the_sum(self, seed: int) -> None:
        """Against a grid of posteriors, in a box and out of it."""
        rng = np.random.default_rng(seed)
        Ws = channels(rng, KINDS[seed % 5], 3, (2, 3))
        problem = drcopt.Problem(rng.dirichlet(np.ones(3)), [1.0], {"a": Ws[0], "b": Ws[1]}, np.zeros((3, 1)))
        side = np.linspace(0, 1, 101)
        p = np.array([(a, b, 1 - a - b) for a, b in itertools.product(side, side) if a + b <= 1 + 1e-12]).clip(0)
        cost, alpha = rng.normal(size=(3, 1)), float(rng.exponential())
        for betas in (rng.exponential(size=2), np.array([0.0, 1.0]), np.array([1e-7, 0.5]), np.zeros(2)):
            entropies = problem.classes.entropies(p)
            value = p @ cost[:, 0] + alpha * rel_entr(p, problem.px).sum(1) + entropies @ betas
            found = price_weighed(problem, cost, alpha, betas, None, tol=1e-6)
            assert value.min() - 5e-3 <= found.lower[0] + 1e-6 and found.lower[0] <= value.min() + 1e-12
            tau = p @ problem.ps_given_x
            box = np.stack([tau.min(0), tau.max(0)], axis=-1)[None].copy()
            s = int(np.ptp(tau, axis=0).argmax())
            box[0, s, 1] = np.median(tau[:, s])
            inside = tau[:, s] <= box[0, s, 1]
            found = price_weighed(problem, cost, alpha, betas, box, tol=1e-6)
            assert found.lower[0] <= value[inside].min() + 1e-12

    @pytest.mark.parametrize("seed", [*range(6), *(pytest.param(s, marks=pytest.mark.slow) for s in range(6, 60))])
    def test_few_letters_are_priced_as_many(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Both ways are below all posteriors in the box, and the new one near the least value that either meets."""
        rng = np.random.default_rng(seed)
        n, m = 2 + seed % 3, 2
        Ws = channels(rng, KINDS[seed % 5], n, (2, 3))
        problem = drcopt.Problem(rng.dirichlet(np.ones(n)), np.full(m, 0.5), {"a": Ws[0], "b": Ws[1]}, np.zeros((n, m)))
        cost, alpha = rng.normal(size=(n, m)), float(rng.exponential() * (rng.random() < 0.8))
        betas = rng.exponential(size=2) * [1.0, rng.choice([0.0, 1e-7, 1.0])]
        p = rng.dirichlet(np.full(n, 0.5), 4000)
        tau = p @ problem.ps_given_x
        value = alpha * rel_entr(p, problem.px).sum(1) + problem.classes.entropies(p) @ betas
        for box in (None, np.sort(tau[rng.integers(4000, size=(m, 2))], axis=1).transpose(0, 2, 1)):
            found = price_weighed(problem, cost, alpha, betas, box, tol=1e-7)
            with monkeypatch.context() as patch:
                patch.setattr(pricing_of_classes, "MOST_LETTERS", 0)
                many = price_weighed(problem, cost, alpha, betas, box, tol=1e-7)
            for y in range(m):
                inside = np.full(len(p), True)
                if box is not None:
                    inside = ((tau >= box[y, :, 0]) & (tau <= box[y, :, 1])).all(axis=1)
                least = (p[inside] @ cost[:, y] + value[inside]).min(initial=inf)
                assert found.lower[y] <= least + 1e-12 and many.lower[y] <= least + 1e-12
                assert found.lower[y] >= many.lower[y] - 1e-5 or found.lower[y] >= least - 1e-5
                assert (found.value[found.y == y] >= found.lower[y]).all()

    def test_an_empty_box(self) -> None:
        problem = toy()
        box = np.tile(np.array([[0.0, 0.1], [0.4, 0.5], [0.4, 0.5], [0.0, 0.1]]), (1, 1, 1))  # a is 2, b is 1
        found = price_weighed(problem, np.zeros((3, 1)), 0.1, np.array([0.1, 0.1]), box)
        assert found.lower[0] == inf and not len(found.y)

    def test_of_messages_a_split_says_nothing(self) -> None:
        leaf = Leaf(np.array(D).min(axis=1) + 0.1, 0.35, np.array([0.19, 0.01]))
        question = SeveralMessages(toy(), 0.5 * LN2, inf, losses=(0.6, 0.5))
        assert PosteriorTree(leaf).bound(question) > 0.0
        assert PosteriorTree(Split(0, 0, 0.2, leaf, leaf)).bound(question) == -inf
        assert (
            question.most[1] == question.problem.entropy_x > Several(toy(), inf, inf, losses=(inf, inf)).most[1] - 1e-12
        )

    def test_of_other_questions_it_says_nothing(self) -> None:
        problem = toy()
        leaf = Leaf(np.zeros(3), 0.1, np.array([0.1, 0.1]), 1.0)
        question = Several(problem, 0.1, inf, losses=(0.1, 0.1))
        assert PosteriorTree(leaf).bound(question) > -inf
        assert PosteriorTree(leaf).bound(SingleLetter(problem.of_class("a"), 0.1, 0.1)) == -inf
        assert PosteriorTree(Leaf(np.zeros(3), 0.1, 0.1, 1.0)).bound(question) == -inf
        assert PosteriorTree(Leaf(np.zeros(3), 0.1, np.array([0.1, -0.1]), 1.0)).bound(question) == -inf


class TestJudge:
    def test_every_class_is_held_against_its_budget(self) -> None:
        problem = toy()
        P = drcopt.solve(problem, R=0.6).coupling
        losses = [*problem.classification_losses(P, "bits").values()]
        tight = 0.6 * LN2, inf
        for j in range(2):
            budgets = [one + (0.01 if i != j else -0.01) for i, one in enumerate(losses)]
            question = Several(problem, *tight, losses=tuple(b * LN2 for b in budgets))
            judge = Judge(question, Budgets(inf, 0.7, inf, "bits"), budgets)
            assert judge(Part(1.0, P)) is None and judge.best is None
        question = Several(problem, *tight, losses=tuple((one + 0.01) * LN2 for one in losses))
        assert Judge(question, Budgets(inf, 0.7, inf, "bits"), [one + 0.01 for one in losses])(Part(1.0, P)) == 0.0

    def test_evidence_about_one_class_says_nothing_of_another(self) -> None:
        question = Several(toy(), 0.1, inf, losses=(0.65, 0.65), distortion_budget=0.5)
        _, _, a, b = question.quantities
        of_a = OfClass("a", DataProcessing())
        assert of_a.bound(question.minimising(a)) > 0.3 and of_a.bound(question.minimising(b)) == -inf
        of_d = OfClass("a", Cheapest())  # of E d, where another class's loss is minimised
        assert of_d.bound(question) > -inf and of_d.bound(question.minimising(b)) == -inf
        assert OfClass("c", DataProcessing()).bound(question) == -inf
        assert of_a.bound(SingleLetter(toy().of_class("a"), 0.1, 0.1)) == -inf
