"""Bounds and programs of one-shot codes: pricing, evidence, the best map, the master and subset sums."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from codes import Enumeration, ask, every_map, random_problem
from scipy.optimize import linprog
from scipy.special import entr

from drcopt import Problem
from drcopt.bounds.cells import CellDual, CellPricing
from drcopt.bounds.maps import MapLeaf, MapPricing, MapSplit, MapTree, posterior_box
from drcopt.bounds.subsets import min_plus, submasks
from drcopt.certify.certificate import certify
from drcopt.engines.base import Limits
from drcopt.engines.map_moves import MapMoves, quantile_maps
from drcopt.engines.one_shot import OneShotEngine
from drcopt.formulations import OneShot
from drcopt.formulations.one_shot import map_coupling
from drcopt.problem import Standard
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, RATE, Quantity


class TestPricing:
    def test_min_plus(self) -> None:
        rng = np.random.default_rng(0)
        for n in (0, 1, 5, 10, 12, 13):  # by one gather, without gathers, by halves
            f, g = rng.normal(size=(2, 1 << n))
            h = min_plus(f, g)
            for whole in rng.integers(1 << n, size=20).tolist():
                cells = submasks(whole)
                assert len(cells) == 2 ** whole.bit_count()
                assert h[whole] == (f[whole ^ cells] + g[cells]).min()

    @pytest.mark.parametrize(("n", "m", "k"), [(1, 3, 2), (5, 1, 2), (6, 2, 2), (4, 3, 3), (5, 4, 2)])
    def test_least_map(self, n: int, m: int, k: int) -> None:
        rng = np.random.default_rng(0)
        for seed in range(4):
            problem = random_problem(seed, n, m, k)
            alpha = rng.choice([0.0, rng.random()])
            gamma = rng.choice([0.0, 1.0]) * rng.random(m)
            linear = problem.px[:, None] * rng.normal(size=(n, m))

            def value(f: np.ndarray) -> float:
                joint = (problem.ps_given_x.T @ map_coupling(problem, f)).T  # noqa: B023
                mass = joint.sum(axis=1)
                cells = alpha * entr(mass) + gamma * (entr(joint).sum(axis=1) - entr(mass))  # noqa: B023
                return float(linear[np.arange(n), f].sum() + cells.sum())  # noqa: B023

            least = min(value(f) for f in every_map(n, m))
            found, maps = MapPricing(problem).least(linear, alpha, gamma, 5, seed)
            values = [value(f) for f in maps]
            assert found == pytest.approx(least, abs=1e-13)
            assert values[0] == pytest.approx(least, abs=1e-13)
            assert values == sorted(values)
            moved = MapMoves(problem).least(linear, alpha, gamma, 5, seed)
            assert min(map(value, moved)) >= least - 1e-13

    @pytest.mark.parametrize("k", [1, 2, 3])
    @pytest.mark.parametrize("gamma", [0.0, 0.4])
    def test_least_sets(self, k: int, gamma: float) -> None:
        rng = np.random.default_rng(k)
        for seed in range(5):
            problem = random_problem(seed, 7, 3, k)
            pricing = CellPricing(problem)
            cost = problem.px[:, None] * rng.normal(size=(7, 3))
            lower, sets = pricing.least(cost, 0.3, gamma)
            every = (np.arange(1 << 7)[:, None] >> np.arange(7) & 1).astype(bool)
            for y in range(3):
                least = pricing.value(cost[:, y], 0.3, gamma, every).min()
                assert lower[y] <= least + 1e-14
                assert lower[y] == pytest.approx(least, abs=1e-7)
                assert pricing.value(cost[:, y], 0.3, gamma, sets[y]) == pytest.approx(least, abs=1e-7)

    def test_quantile_maps_mix_to_the_coupling(self) -> None:
        problem = random_problem(0, 5, 4)
        P = problem.independent * np.random.default_rng(0).random((5, 4))
        P *= (problem.px / P.sum(axis=1))[:, None]
        maps, weights = quantile_maps(P)
        mixed = sum(w * map_coupling(problem, f) for w, f in zip(weights, maps, strict=True))
        assert np.abs(mixed - P).max() < 1e-13


class TestEvidence:
    """Any multipliers give a bound that is true."""

    @pytest.mark.parametrize("objective", [DISTORTION, RATE, CLASSIFICATION_LOSS], ids=lambda q: q.name)
    def test_random_multipliers(self, objective: Quantity) -> None:
        rng = np.random.default_rng(0)
        for seed in range(10):
            problem = random_problem(seed, 4, 3)
            every = Enumeration(problem)
            R, share = 0.5 * problem.entropy_y, rng.random(3)
            edge = every.least(every.loss, R, math.inf)
            C = math.inf if objective is CLASSIFICATION_LOSS else 0.5 * (edge + problem.entropy_s)
            question = OneShot(problem, R, C, "YU").minimising(objective)
            value = every.least(every.cost, R, C)
            if objective is CLASSIFICATION_LOSS:
                value = every.least(every.loss, R, C)
            elif objective is RATE:
                question = replace(question, distortion_budget=value)
                value = R  # where the program with the rate R has this value
            for weight in (0.0, 0.3, 1.0):
                nu, f = rng.normal(size=3) * 0.2, rng.normal(size=4) * 0.1
                leaf = MapLeaf.linear(problem, nu, share[0], share[1], weight)
                for evidence in (MapTree(leaf), CellDual(f, nu, share[0], share[1], weight)):
                    assert evidence.bound(question) <= value
            # Multipliers of the optimum, disturbed.
            proposal = OneShotEngine().propose(question, Limits(1e-9))
            tree = max(proposal.evidence, key=lambda one: one.bound(question))
            assert tree.bound(question) == pytest.approx(value, abs=1e-7)
            assert isinstance(tree, MapTree)
            honest = tree.root
            assert isinstance(honest, MapLeaf)
            for scale in (1e-9, 1e-3, 1.0):
                bent = MapLeaf.linear(
                    problem,
                    honest.nu + scale * rng.normal(size=3),
                    abs(honest.rate + scale * rng.normal()),
                    min(1.0, abs(float(honest.conditional[0]) + scale * rng.normal())),
                    abs(honest.distortion + scale * rng.normal()),
                )
                assert MapTree(bent).bound(question) <= value + 1e-12

    def test_trees_for_y(self) -> None:
        rng = np.random.default_rng(3)
        problem = random_problem(4, 4, 3)
        R = 0.7 * problem.entropy_y
        question = OneShot(problem, R, 0.97 * problem.entropy_s, "Y")
        proposal = ask(question, tol=1e-8)
        certificate = certify(question, proposal.parts, *proposal.evidence)
        assert certificate.upper - certificate.lower < 1e-7
        box = posterior_box(problem)
        for _ in range(50):
            leaves = [
                MapLeaf(rng.normal(size=3) * 0.2, rng.random(), rng.random(3), rng.random(3), rng.normal(size=(3, 2)))
                for _ in range(2)
            ]
            y, s = int(rng.integers(3)), int(rng.integers(2))
            tree = MapTree(MapSplit(y, s, float(rng.uniform(*box[y, s])), *leaves))
            assert tree.bound(question) <= certificate.upper
            assert tree.bound(OneShot(problem, R, question.classification_budget, "YU")) == -math.inf

    def test_garbage_proves_nothing(self) -> None:
        problem = random_problem(0, 3, 3)
        question = OneShot(problem, 0.3, 0.9 * problem.entropy_s, "YU")
        good = MapLeaf.linear(problem, np.zeros(3), 0.1, 0.1)
        for bad in (
            MapLeaf.linear(problem, np.full(3, np.nan), 0.1, 0.1),
            MapLeaf.linear(problem, np.zeros(2)),
            MapLeaf.linear(problem, np.zeros(3), -0.1),
            MapLeaf.linear(problem, np.zeros(3), math.inf),
            MapLeaf.linear(problem, np.zeros(3), 0.1, -1.0),
        ):
            assert MapTree(bad).bound(question) == -math.inf
            assert MapTree(MapSplit(0, 0, 0.5, good, bad)).bound(question) == -math.inf
        for weight in (-1.0, math.inf, math.nan):
            assert MapTree(MapLeaf.linear(problem, np.zeros(3), 0.1, 0.1, weight)).bound(question) == -math.inf
            assert CellDual(np.zeros(3), np.zeros(3), 0.1, 0.1, weight).bound(question) == -math.inf
        assert CellDual(np.zeros(3), np.zeros(3), -1.0, 0.0).bound(question) == -math.inf
        assert CellDual(np.zeros(2), np.zeros(3), 0.0, 0.0).bound(question) == -math.inf

    def test_a_weight_on_the_loss_counts_for_what_it_is(self) -> None:
        """(1 + ε) H(S|Y,U) ≥ Λ says Λ/(1 + ε) of the loss, not Λ."""
        problem = random_problem(0, 3, 3)
        question = OneShot(problem, math.inf, math.inf, "YU", objective=CLASSIFICATION_LOSS)
        value = Enumeration(problem).least(Enumeration(problem).loss, math.inf, math.inf)
        bounds = []
        for weight in (1.0, 1.1, 7.0):
            heavy = MapLeaf.linear(problem, np.zeros(3), 0.0, weight, 0.0)
            cells = CellDual(np.zeros(3), np.zeros(3), 0.0, weight, 0.0)
            bounds += [MapTree(heavy).bound(question), cells.bound(question)]
            assert max(bounds) <= value
        assert bounds[0] > 0.0
        assert bounds[0::2] == pytest.approx([bounds[0]] * 3, abs=1e-11)

    def test_framed(self) -> None:
        rng = np.random.default_rng(5)
        problem = random_problem(2, 4, 3)
        row, column = rng.normal(size=4), rng.normal(size=3)
        changed = Problem(problem.px, problem.py, problem.ps_given_x, 3.0 * problem.d + row[:, None] + column + 5.0)
        offset = row @ problem.px + column @ problem.py + 5.0
        box = posterior_box(problem)
        leaf = MapLeaf(rng.normal(size=3), 0.2, rng.random(3), rng.random(3), rng.normal(size=(3, 2)))
        for sees, evidence in (
            ("Y", MapTree(MapSplit(1, 0, float(box[1, 0].mean()), leaf, leaf.scaled(0.5)))),
            ("YU", MapTree(MapLeaf.linear(problem, rng.normal(size=3), 0.2, 0.1))),
            ("YU", CellDual(rng.normal(size=4), rng.normal(size=3), 0.2, 0.1)),
        ):
            question = OneShot(problem, 0.4, 0.6, sees)
            framed = evidence.framed(Standard(3.0, row + 5.0, column))
            there = framed.bound(question.with_problem(changed))
            assert there == pytest.approx(3.0 * evidence.bound(question) + offset, abs=1e-11)

    def test_box_holds_every_posterior(self) -> None:
        rng = np.random.default_rng(6)
        problem = random_problem(9, 5, 3, 3)
        box = posterior_box(problem)
        assert (np.ptp(box, axis=-1) <= np.ptp(problem.ps_given_x, axis=0) + 1e-12).all()
        for _ in range(200):
            rows, columns = np.kron(np.eye(5), np.ones(3)), np.tile(np.eye(3), 5)
            vertex = linprog(
                rng.normal(size=15), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([problem.px, problem.py])
            )
            tau = (vertex.x.reshape(5, 3).T @ problem.ps_given_x) / problem.py[:, None]
            assert (tau >= box[..., 0] - 1e-9).all() and (tau <= box[..., 1] + 1e-9).all()
