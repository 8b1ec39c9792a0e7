"""Several classes, a budget for each: bounds, points, order and what is refused."""

from __future__ import annotations

import copy
import itertools
import json
import math
import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from grids import couplings
from scipy.special import rel_entr

import drcopt
from drcopt import export
from drcopt.bounds import Cheapest, DataProcessing, Leaf, OfClass, PosteriorTree, Split
from drcopt.bounds.pricing import classes as pricing_of_classes
from drcopt.bounds.pricing import price_weighed
from drcopt.certify.several import Judge, SeveralCertificate
from drcopt.certify.witness import Budgets
from drcopt.cli import main
from drcopt.formulations import Part, Several, SeveralMessages, SingleLetter
from drcopt.questions import RATE

inf, LN2 = math.inf, math.log(2)
some = [5, 9, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(10, 25))]


def loss(W: Any, P: Any) -> Any:
    """H(S|Y) in bits of couplings (N, n, m)."""
    T = np.einsum("xs,nxy->nsy", W, P)
    return rel_entr(T, T.sum(axis=1, keepdims=True)).sum(axis=(1, 2)) / -LN2


def spends(P: Any, Ws: Any, d: Any) -> tuple[Any, Any, Any]:
    """E d, I and the losses in bits of couplings (N, n, m)."""
    rate = rel_entr(P, P.sum(2, keepdims=True) * P.sum(1, keepdims=True)).sum(axis=(1, 2)) / LN2
    return (P * d).sum(axis=(1, 2)), rate, [loss(W, P) for W in Ws]


def channels(rng: np.random.Generator, kind: str, n: int, sizes: tuple[int, ...]) -> list[Any]:
    if kind == "deterministic":
        return [np.eye(k)[rng.integers(k, size=n)] for k in sizes]
    if kind == "useless":
        return [rng.dirichlet(np.ones(sizes[0]), n), *(np.tile(rng.dirichlet(np.ones(k)), (n, 1)) for k in sizes[1:])]
    if kind == "weak":
        return [(1 - 1e-3) / k + 1e-3 * rng.dirichlet(np.ones(k), n) for k in sizes]
    found = [rng.dirichlet(np.full(k, 0.5), n) for k in sizes]
    if kind == "zeros":
        for W in found:
            W[(rng.random(W.shape) < 0.4) & (W < W.max(axis=1, keepdims=True))] = 0.0
            W /= W.sum(axis=1, keepdims=True)
    return found


KINDS = ("random", "deterministic", "useless", "weak", "zeros")


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


class TestLeastLoss:
    @pytest.mark.parametrize("seed", [113, *(pytest.param(s, marks=pytest.mark.slow) for s in range(30, 38))])
    def test_against_grids(self, seed: int) -> None:
        """The least loss of one class within a budget for the other, R and perhaps D."""
        rng = np.random.default_rng(seed)
        n, m, steps = ((2, 2, 2001), (2, 3, 201), (3, 2, 201))[seed % 3]
        px, py, d = rng.dirichlet(np.ones(n) * 2), rng.dirichlet(np.ones(m) * 2), rng.random((n, m))
        Ws = channels(rng, KINDS[seed % 5], n, (2, 3))
        grid = couplings(px, py, d, steps)
        cost, rate, losses = spends(grid, Ws, d)
        of = int(rng.integers(2))
        R = float(np.quantile(rate, rng.uniform(0.4, 1.0)))
        C = float(np.quantile(losses[1 - of][rate <= R], rng.uniform(0.02, 0.8)))
        most = float(np.quantile(cost[rate <= R], rng.uniform(0.1, 1.0))) if rng.random() < 0.6 else inf
        least = losses[of][(rate <= R) & (losses[1 - of] <= C) & (cost <= most)].min(initial=inf)
        problem = drcopt.Problem(px, py, {"a": Ws[0], "b": Ws[1]}, d)
        budgets = {"ab"[1 - of]: C + 1e-9}
        limits = {"R": R + 1e-9, "D": most + 1e-9, "time_limit": 1.0 if seed > 100 else 2.0}
        found = drcopt.min_classification_loss(problem, C=budgets, on_failure="return", **limits)
        assert found.of == "ab"[of] and found.lower_bound <= least + 1e-9
        if found.status != "infeasible" and not np.isnan(found.coupling).any():
            value, spent, each = spends(found.coupling[None], Ws, d)
            assert value[0] <= most + 2e-9 and spent[0] <= R + 2e-9 and each[1 - of][0] <= C + 2e-9
            assert each[of][0] == pytest.approx(found.value, abs=1e-9)
        if found.status == "optimal":
            assert found.value <= least + 2e-6

    def test_loose_budgets_change_nothing(self) -> None:
        one = drcopt.min_classification_loss(small().of_class("a"), R=0.5, tol=1e-4)
        for how in ({"C": {"b": None}}, {"of": "a", "C": {"a": None, "b": 0.95}}):
            both = drcopt.min_classification_loss(small(), R=0.5, tol=1e-4, **how)
            assert both.status == "optimal" and both.value == pytest.approx(one.value, abs=1e-4)
            assert both.of == "a" and both.value == both.classification_loss["a"]

    def test_one_class_given_twice(self) -> None:
        """The other's budget is a floor or nothing: its loss is that of the first."""
        W = small().classes["a"]
        one = drcopt.min_classification_loss(small().of_class("a"), R=0.5, tol=1e-4)
        twice = drcopt.min_classification_loss(small(a=W, b=W), R=0.5, C={"b": one.value + 1e-4}, tol=1e-4)
        assert twice.status == "optimal" and twice.value == pytest.approx(one.value, abs=1e-4)
        alone = drcopt.min_classification_loss(small(a=W), R=0)
        assert alone.of == "a" and alone.status == "optimal"

    @pytest.mark.slow
    def test_there_and_back(self) -> None:
        """The least loss is met within what it was found at, and the distortion is then what it was."""
        least = drcopt.min_classification_loss(toy(), R=0.5, D=0.2, C={"a": 0.86}, tol=1e-4)
        assert least.status == "optimal" and "classification_loss[b]=" in repr(least)
        assert least.multipliers.classification["a"] > 0 and np.isnan(least.multipliers.classification["b"])
        back = drcopt.solve(toy(), R=0.5, C={"a": 0.86, "b": least.value}, tol=1e-3)
        assert back.lower_bound <= 0.2 + 1e-9 and least.distortion <= 0.2 + 1e-9

    def test_at_rate_zero(self) -> None:
        found = drcopt.min_classification_loss(toy(), R=0, of="b")
        assert found.status == "optimal" and found.value == pytest.approx(toy().of_class("b").entropy_s / LN2)
        assert found.certificate.upper == pytest.approx(found.value * LN2)
        with pytest.raises(drcopt.InfeasibleError):
            drcopt.min_classification_loss(toy(), R=0, of="b", C={"a": 0.9})

    def test_what_cannot_be_met(self) -> None:
        with pytest.raises(drcopt.InfeasibleError, match=r"H\(b\|Y\) is at least"):
            drcopt.min_classification_loss(small(), R=0.5, C={"b": 0.7})
        found = drcopt.min_classification_loss(toy(), R=0.5, D=0.01, C={"b": 0.9}, on_failure="return")
        assert found.status == "infeasible" and found.value == inf and np.isnan(found.classification_loss["b"])

    @pytest.mark.parametrize(
        ("how", "says"),
        [
            ({}, "says nothing of 'a', 'b'"),
            ({"C": {"a": 1, "b": 1}}, "one for each"),
            ({"of": "z"}, "of must be the name of a class"),
            ({"of": "a", "C": {"a": 0.3}}, "no budget for class 'a'"),
            ({"of": "a", "C": 0.3}, "a budget for each class, 'b'"),
            ({"of": "a", "C": {"q": 1}}, "for the classes 'a', 'b' only"),
        ],
    )
    def test_refused(self, how: Any, says: str) -> None:
        with pytest.raises(drcopt.InputError, match=says):
            drcopt.min_classification_loss(toy(), R=0.5, **how)

    def test_refused_of_one_class(self) -> None:
        with pytest.raises(drcopt.InputError, match="it has one class, without a name"):
            drcopt.min_classification_loss(toy().of_class("a"), R=0.5, of="a")
        with pytest.raises(drcopt.InputError, match="C must not be given"):
            drcopt.min_classification_loss(toy().of_class("a"), R=0.5, C=0.3)


def channels_of_y(n: int, m: int, steps: int) -> Any:
    """All p(y|x) of a grid, shape (N, n, m)."""
    law = np.array([c for c in itertools.product(range(steps + 1), repeat=m) if sum(c) == steps]) / steps
    return law[np.array([*itertools.product(range(len(law)), repeat=n)])]


class TestLaws:
    """Y's law free, or near a target."""

    @pytest.mark.parametrize("seed", [1, *(pytest.param(s, marks=pytest.mark.slow) for s in (0, 5, 8, 14, 20))])
    def test_against_grids(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n, m, steps = ((2, 2, 200), (2, 3, 24), (3, 2, 48))[seed % 3]
        px, py, d = rng.dirichlet(np.ones(n) * 2), rng.dirichlet(np.ones(m) * 2), rng.random((n, m))
        Ws = channels(rng, KINDS[seed % 5], n, (2, 3))
        grid, P = channels_of_y(n, m, steps) * px[:, None], float(rng.uniform(0.02, 0.1))
        near = seed % 2 == 1
        if near:
            grid = grid[0.5 * np.abs(grid.sum(axis=1) - py).sum(axis=1) <= P]
        cost, rate, losses = spends(grid, Ws, d)
        values, met, limits = [cost, rate, *losses], np.full(len(grid), True), [inf] * 4
        aim = int(rng.integers(4))
        for q in rng.permutation(4):
            if q != aim and (q > 1 or rng.random() < 0.7):
                limits[q] = float(np.quantile(values[q][met], rng.uniform(0.1, 0.8)))
                met &= values[q] <= limits[q]
        D, R, *C = (limit + 1e-9 for limit in limits)
        budgets = dict(zip("ab", C, strict=True))
        problem = drcopt.Problem(px, py if near else None, {"a": Ws[0], "b": Ws[1]}, d)
        how: Any = {"perception": ("tv", P) if near else None, "time_limit": 1.0, "on_failure": "return"}
        if aim == 0:
            found = drcopt.solve(problem, R=R, C=budgets, **how)
        elif aim == 1:
            found = drcopt.min_rate(problem, D=D, C=budgets, **how)
        else:
            found = drcopt.min_classification_loss(
                problem, D=D, R=R, of="ab"[aim - 2], C=budgets | {"ab"[aim - 2]: None}, **how
            )
        least = values[aim][met].min()
        assert found.lower_bound <= least + 1e-9 and found.status != "infeasible"
        if not np.isnan(found.coupling).any():
            value, spent, each = spends(found.coupling[None], Ws, d)
            have = [value[0], spent[0], each[0][0], each[1][0]]
            assert have[aim] == pytest.approx(found.value) and not found.perception > P
            assert all(v <= limit + 2e-9 for q, (v, limit) in enumerate(zip(have, limits, strict=True)) if q != aim)
        if found.status == "optimal":
            assert found.value <= least + 3e-6

    def test_order_and_ends(self) -> None:
        C = {"a": 0.86, "b": None}
        free = drcopt.Problem(PX, None, {"a": A, "b": B}, D)
        given, any_law = drcopt.solve(toy(), R=0.5, C=C), drcopt.solve(free, R=0.5, C=C)
        near = drcopt.solve(toy(), R=0.5, C=C, perception=("tv", 0.05))
        assert any_law.distortion < near.distortion < given.distortion
        assert (any_law.law, near.law, given.law) == ("free", "near", "given") and near.perception <= 0.05
        for budget, end in ((0.0, given), (2.0, any_law)):
            found = drcopt.solve(toy(), R=0.5, C=C, perception=("tv", budget))
            assert found.status == "optimal" and found.distortion == pytest.approx(end.distortion, abs=1e-6)
        assert drcopt.solve(free, R=0, C={"a": 1, "b": 1}).status == "optimal"

    def test_one_class(self) -> None:
        """Given twice, or with another whose budget is loose, it is the class alone."""
        free = drcopt.Problem(PX, None, {"a": A, "b": A, "c": B}, D)
        one = drcopt.min_rate(free.of_class("a"), D=0.15, C=0.86)
        for C in ({"a": 0.86, "b": 0.86, "c": None}, {"a": 1.0, "b": 0.86, "c": 1.0}):
            many = drcopt.min_rate(free, D=0.15, C=C)
            assert many.status == "optimal" and many.rate == pytest.approx(one.rate, abs=2e-6)

    def test_what_cannot_be_met(self) -> None:
        with pytest.raises(drcopt.InfeasibleError, match=r"P = 0\.05 \(tv\) cannot be met together: the distortion"):
            drcopt.min_rate(toy(), D=0.02, C={"a": 0.8, "b": 0.9}, perception=("tv", 0.05))
        with pytest.raises(drcopt.InputError, match="ground must be given"):
            drcopt.solve(toy(), R=0.5, C={"a": 1, "b": 1}, perception=("wasserstein", 0.05))

    def test_sweep(self) -> None:
        free = drcopt.Problem(PX, None, {"a": A, "b": B}, D)
        table = drcopt.sweep(free, R=[0.4, 0.6], C={"a": 0.9, "b": None}, progress=False, tol=1e-4)
        assert set(table["law"]) == {"free"} and list(table["status"]) == ["optimal"] * 2


class TestMessages:
    """The classifiers read the message."""

    def test_order(self) -> None:
        C = {"a": 0.86, "b": 0.607}
        free = drcopt.Problem(PX, None, {"a": A, "b": B}, D)
        how: Any = {"R": 0.5, "C": C, "classifier_sees": "message", "tol": 1e-4}
        given, any_law = drcopt.solve(toy(), **how), drcopt.solve(free, **how)
        assert any_law.value < given.value and {given.status, any_law.status} == {"optimal"}
        loose: Any = {"R": 0.5, "C": {"a": 0.86, "b": None}, "tol": 1e-4}
        heard = drcopt.solve(toy(), classifier_sees="message", **loose)
        assert heard.lower_bound <= drcopt.solve(toy(), **loose).distortion
        for found, py in ((given, PY), (any_law, None)):
            message = found.message
            P = (message.weights[:, None] * message.posteriors).T
            assert P.sum(axis=1) == pytest.approx(PX, abs=1e-12) and len(message.weights) <= 3 + 3 - 1 + 3
            cost, rate, losses = spends(P[None], (A, B), np.array(D)[:, message.letters])
            assert cost[0] == pytest.approx(found.distortion) and rate[0] <= 0.5 + 1e-9
            assert all(one[0] <= c + 1e-9 for one, c in zip(losses, C.values(), strict=True))
            assert py is None or found.output_law == pytest.approx(py, abs=1e-12)
            assert message.classes["b"] == pytest.approx(message.posteriors @ np.array(B))
            with pytest.raises(ValueError, match="read-only"):
                pickle.loads(pickle.dumps(found)).message.classes["b"][0, 0] = 1.0
            right = message.weights @ message.classes["a"].max(axis=1)
            assert found.accuracy["a"] == pytest.approx(right)

    @pytest.mark.parametrize("seed", [0, 4, 7, *(pytest.param(s, marks=pytest.mark.slow) for s in range(8, 20))])
    def test_below_every_message(self, seed: int) -> None:
        """Bounds, against random messages: three copies of every letter of Y."""
        rng = np.random.default_rng(seed)
        n, m = ((2, 2), (2, 3), (3, 2))[seed % 3]
        px, d = rng.dirichlet(np.ones(n) * 2), rng.random((n, m))
        Ws = channels(rng, KINDS[seed % 5], n, (2, 3))
        P = rng.dirichlet(np.full(3 * m, 0.3), size=(4000, n)) * px[:, None]
        cost, rate, losses = spends(P, Ws, np.repeat(d, 3, axis=1))
        values, met, limits = [cost, rate, *losses], np.full(len(P), True), [inf] * 4
        aim = seed % 4
        for q in rng.permutation(4):
            if q != aim:
                limits[q] = float(np.quantile(values[q][met], rng.uniform(0.1, 0.8)))
                met &= values[q] <= limits[q]
        D, R, *C = (limit + 1e-9 for limit in limits)
        budgets: Any = dict(zip("ab", C, strict=True))
        problem = drcopt.Problem(px, None, {"a": Ws[0], "b": Ws[1]}, d)
        how: Any = {"classifier_sees": "message", "time_limit": 2.0, "on_failure": "return"}
        if aim == 0:
            found = drcopt.solve(problem, R=R, C=budgets, **how)
        elif aim == 1:
            found = drcopt.min_rate(problem, D=D, C=budgets, **how)
        else:
            del budgets["ab"[aim - 2]]
            found = drcopt.min_classification_loss(problem, D=D, R=R, C=budgets, **how)
        least = values[aim][met].min()
        assert found.status != "infeasible" and found.lower_bound <= least + 1e-9
        if found.status == "optimal":
            assert found.value <= least + 2e-6

    def test_one_class(self) -> None:
        """Given twice, or beside a loose budget, it is the class alone."""
        how: Any = {"D": 0.15, "classifier_sees": "message"}
        one = drcopt.min_rate(toy().of_class("a"), C=0.82, **how)
        for C in ({"a": 0.82, "b": 0.82, "c": None}, {"a": 0.9, "b": 0.82, "c": 1.0}):
            many = drcopt.min_rate(toy(a=A, b=A, c=B), C=C, **how)
            assert many.status == "optimal" and many.rate == pytest.approx(one.rate, abs=2e-6)

    def test_ends(self) -> None:
        one = drcopt.Problem(
            [0.5, 0.5], [1.0], {"a": [[0.9, 0.1], [0.1, 0.9]], "b": [[0.8, 0.2], [0.1, 0.9]]}, [[0], [0]]
        )
        how: Any = {"classifier_sees": "message"}
        assert drcopt.solve(one, R=0.5, C={"a": 0.75, "b": 0.85}, **how).status == "optimal"  # with one letter of Y
        assert drcopt.solve(toy(), R=0, C={"a": 1, "b": 1}, **how).status == "optimal"
        with pytest.raises(drcopt.InfeasibleError, match=r"H\(a\|V\) is at least"):
            drcopt.solve(toy(), R=0.2, C={"a": 0.3, "b": 0.9}, **how)


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


A, B = [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], [[1, 0], [0, 1], [0.5, 0.5]]
D = [[0, 1, 0.6], [0.7, 0, 0.2], [0.1, 0.8, 0]]
PX, PY = [0.5, 0.3, 0.2], [0.4, 0.3, 0.3]


def small(**classes: Any) -> drcopt.Problem:
    two = {"a": [[0.9, 0.1], [0.2, 0.8]], "b": [[0.7, 0.3], [0.4, 0.6]]}
    return drcopt.Problem([0.6, 0.4], [0.5, 0.5], classes or two, [[0, 1], [0.7, 0]])


def toy(**classes: Any) -> drcopt.Problem:
    return drcopt.Problem(PX, PY, classes or {"a": A, "b": B}, D)


class TestOrder:
    def test_one_class_given_twice_changes_nothing(self) -> None:
        one = drcopt.solve(toy().of_class("a"), R=0.5, C=0.84)
        for C in ({"a": 0.84, "b": 0.84}, {"a": 0.84, "b": 0.9}, {"a": 0.9, "b": 0.84}):
            twice = drcopt.solve(toy(a=A, b=A), R=0.5, C=C)
            assert twice.status == "optimal" and twice.distortion == pytest.approx(one.distortion, abs=1e-6)

    def test_a_loose_budget_changes_nothing(self) -> None:
        one = drcopt.solve(toy().of_class("a"), R=0.5, C=0.84)
        for loose in (None, 1.0, inf):
            both = drcopt.solve(toy(), R=0.5, C={"a": 0.84, "b": loose})
            assert both.status == "optimal" and both.distortion == pytest.approx(one.distortion, abs=1e-6)
            assert both.multipliers.classification["b"] == 0.0 < both.multipliers.classification["a"]

    def test_alone_it_is_the_class(self) -> None:
        one = drcopt.solve(toy().of_class("a"), R=0.5, C=0.84)
        alone = drcopt.solve(toy(a=A), R=0.5, C={"a": 0.84})
        assert alone.status == "optimal" and alone.distortion == pytest.approx(one.distortion, abs=1e-6)
        assert alone.multipliers.classification["a"] == pytest.approx(one.multipliers.classification, rel=1e-3)

    def test_both_cost_more_than_each(self) -> None:
        C = {"a": 0.86, "b": 0.71}
        both = drcopt.solve(toy(), R=0.5, C=C)
        each = [drcopt.solve(toy().of_class(name), R=0.5, C=c).distortion for name, c in C.items()]
        assert both.status == "optimal" and both.distortion >= max(each) - 1e-6
        least = drcopt.min_rate(toy(), D=both.distortion + 1e-9, C=C)
        assert least.status == "optimal" and least.rate == pytest.approx(0.5, abs=1e-4)

    def test_letters_without_mass_change_nothing(self) -> None:
        C = {"a": 0.86, "b": 0.71}
        wide = drcopt.Problem(
            [*PX, 0.0], PY, {"a": [*A, [0.5, 0.5]], "b": [[*row, 0] for row in [*B, [0, 1]]]}, [*D, [1, 1, 1]]
        )
        narrow = drcopt.solve(toy(), R=0.6, C=C)
        assert drcopt.solve(wide, R=0.6, C=C).distortion == pytest.approx(narrow.distortion, abs=1e-6)

    def test_units(self) -> None:
        bits = drcopt.solve(toy(), R=0.5, C={"a": 0.84, "b": None})
        nats = drcopt.solve(toy(), R=0.5 * LN2, C={"a": 0.84 * LN2, "b": None}, units="nats")
        assert nats.distortion == pytest.approx(bits.distortion, abs=1e-6)
        assert nats.classification_loss["a"] == pytest.approx(bits.classification_loss["a"] * LN2, abs=1e-6)


class TestProblem:
    def test_content(self) -> None:
        problem = toy()
        again = pickle.loads(pickle.dumps(problem))
        assert again == problem and hash(again) == hash(problem) and again.classes is not None
        assert toy(a=B, b=A) != problem and toy(a=A, c=B) != problem
        assert drcopt.Problem(PX, PY, problem.ps_given_x, D) != problem
        assert "k=2+2" in repr(problem) and "H(b)=" in repr(problem) and "H(b)" in problem._repr_html_()
        assert problem.labels.s == (("a", 0), ("a", 1), ("b", 0), ("b", 1))

    def test_files(self, tmp_path: Path) -> None:
        named = pd.DataFrame(A, columns=["no", "yes"])
        for problem in (toy(), drcopt.Problem(PX, None, {"a": named, "b": B}, D, name="two")):
            drcopt.sources.save(problem, tmp_path / "mine.json")
            assert drcopt.sources.named(tmp_path / "mine.json") == problem
            with pytest.raises(drcopt.InputError, match=r"must end in \.json"):
                drcopt.sources.save(problem, tmp_path / "mine.npz")
        for wrong in ('{"a": [["x"]]}', '{"a": {"b": [[1]]}}', "{}", '{"a": 1}'):
            (tmp_path / "bad.json").write_text(f'{{"px": [1], "py": [1], "ps_given_x": {wrong}, "d": [[0]]}}')
            with pytest.raises(drcopt.InputError, match="ps_given_x"):
                drcopt.sources.named(tmp_path / "bad.json")

    def test_command_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        drcopt.sources.save(toy(), tmp_path / "mine.json")
        ask = ["solve", str(tmp_path / "mine.json"), "--R", "0.5"]
        assert main([*ask, "--C", "a=0.84, b=0.9"]) == 0 and "{a: " in capsys.readouterr().out
        assert main([*ask, "--C", "a=0.84,b=inf", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert set(found["classification_loss"]) == {"a", "b"} == set(found["multipliers"]["classification"])
        for wrong, says in (("a=0.84", "class 'b'"), ("0.84", "for each class"), ("a=x,b=1", "not a valid float")):
            assert main([*ask, "--C", wrong]) == 2 and says in capsys.readouterr().err
        for extra in ([], ["--json"]):
            assert main([*ask, "--C", "a=0.1,b=1", *extra]) == 1
        drcopt.sources.save(small(), tmp_path / "mine.json")
        ask += ["--tol", "1e-3"]
        capsys.readouterr()
        for extra in (["--of", "a"], ["--C", "b=0.97"]):
            assert main([*ask, "--minimize", "classification-loss", *extra]) == 0
            assert "of the classification loss of a" in capsys.readouterr().out
        assert main([*ask, "--of", "a"]) == 2 and "--of must come with" in capsys.readouterr().err

    def test_letters_of_classes_without_mass_go(self) -> None:
        wide = drcopt.Problem([1.0, 0.0], [1.0], {"a": [[1, 0, 0], [0, 1, 0]], "b": [[0, 1], [1, 0]]}, [[0], [1]])
        reduced = wide.reduced()
        assert reduced.labels.s == (("a", 0), ("b", 1)) and [W.shape for W in reduced.classes.values()] == [(1, 1)] * 2

    def test_names_travel(self) -> None:
        a = pd.DataFrame(A, index=list("xyz"), columns=["no", "yes"])
        b = pd.DataFrame(B, index=list("xyz"), columns=["even", "odd"]).iloc[::-1]
        problem = drcopt.Problem(pd.Series(PX, index=list("xyz")), PY, {"a": a, "b": b}, D)
        assert problem.labels.s == (("a", "no"), ("a", "yes"), ("b", "even"), ("b", "odd"))
        assert np.array_equal(problem.classes["b"], B)

    def test_losses_by_name(self) -> None:
        problem = toy()
        losses = problem.classification_losses(problem.independent)
        assert losses["a"] == pytest.approx(problem.of_class("a").entropy_s)
        assert toy().of_class("a").classification_losses(problem.independent)["S"] == losses["a"]
        with pytest.raises(drcopt.InputError, match="has several"):
            problem.classification_loss(problem.independent)


class TestProofs:
    """See also those in tests/test_tampering.py."""

    def test_a_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        pytest.importorskip("flint")
        drcopt.sources.save(toy(), tmp_path / "mine.json")
        drcopt.sources.save(toy(a=B, b=A), tmp_path / "other.json")
        drcopt.sources.save(toy().of_class("a"), tmp_path / "one.json")
        file = str(tmp_path / "proof.json")
        ask = ["solve", str(tmp_path / "mine.json"), "--R", "0.5", "--C", "a=0.86,b=0.71", "--certificate", file]
        assert main(ask) == 0 and main(["check", file, "--problem", str(tmp_path / "mine.json")]) == 0
        said = capsys.readouterr().out
        assert "2 of a, 2 of b" in said and "H(a|Y) ≤" in said and toy().fingerprint in said and "accepted" in said
        for other, says in (("other", "ps_given_x['a'][0, 0] is"), ("one", "the classes are ['a', 'b']")):
            assert main(["check", file, "--problem", str(tmp_path / f"{other}.json")]) == 1
            assert says in capsys.readouterr().err

    def test_verify(self) -> None:
        pytest.importorskip("flint")
        least = drcopt.min_classification_loss(small(), R=0.5, of="a", tol=1e-4, verify="interval")
        assert least.verified and least.lower_bound - 1e-9 <= least.proved_lower_bound <= least.value
        C = {"a": 0.86, "b": 0.71}
        found = drcopt.solve(toy(), R=0.5, C=C, verify="interval")
        assert found.verified and found.lower_bound - 1e-9 <= found.proved_lower_bound <= found.proved_distortion
        near = drcopt.solve(toy(), R=0.5, C=C, perception=("kl", 0.02), verify="interval")
        heard = drcopt.min_rate(toy(), D=0.15, C=C, classifier_sees="message", verify="interval")
        assert heard.verified and heard.lower_bound - 1e-9 <= heard.proved_lower_bound <= heard.rate
        assert near.verified and near.lower_bound - 1e-9 <= near.proved_lower_bound <= near.proved_distortion
        with pytest.raises(drcopt.InfeasibleError):
            drcopt.solve(toy(), R=0.2, C={"a": 0.3, "b": 0.9}, verify="interval")

    def test_a_sum_that_is_rounded_up(self) -> None:
        """β₀ in a file is no more than the exact sum of the weights beside it."""
        pytest.importorskip("flint")
        from drcopt.certify.proof import verdict

        rng, weights = np.random.default_rng(0), np.array([0.19, 0.0])
        while Fraction(math.fsum(weights)) <= sum(map(Fraction, weights)):
            weights[1] = rng.uniform(0.001, 0.01)
        question = Several(toy(), 0.5 * LN2, inf, losses=(0.86 * LN2, 0.65 * LN2))
        tree = PosteriorTree(Leaf(np.array(D).min(axis=1) + 0.1, 0.35, weights))
        bound = tree.bound(question)
        found = verdict(SeveralCertificate(question, None, (tree,), inf, bound))
        assert found.accepted and found.lower == pytest.approx(bound, abs=1e-8) and bound > 0.0

    def test_names_not_places_count(self) -> None:
        pytest.importorskip("flint")
        from honest import written

        from drcopt.checker import check

        data = copy.deepcopy(written("classes tree"))
        known = check(data)
        for of in (data, *(node for node in data["evidence"]["nodes"] if "f" in node)):
            name = "classification_budget" if of is data else "classification"
            of[name] = dict(reversed(of[name].items()))
        found = check(data)
        assert (found.lower, found.upper, found.accepted) == (known.lower, known.upper, True)

    @pytest.mark.parametrize("name", ["x|Y) ≥ 9 and H(b", "\x1b[2J", "n" * 99, "{}"])
    def test_a_name_says_no_more_than_a_name(self, name: str) -> None:
        pytest.importorskip("flint")
        from drcopt.certify.proof import verdict

        found = verdict(drcopt.solve(toy(**{name: A, "b": B}), R=0.0).certificate)
        assert found.accepted and "H(class #0|Y)" in " ".join(found.statements)
        assert name == "{}" or name not in " ".join(found.statements)


class TestSolution:
    def test_it_is_by_name(self) -> None:
        found = drcopt.solve(toy(), R=0.5, C={"b": 0.9, "a": 0.84})
        assert list(found.classification_loss) == ["a", "b"] == list(found.multipliers.classification)
        assert found.classification_budget == {"a": 0.84, "b": 0.9}
        assert found.accuracy["a"] + found.bayes_error["a"] == pytest.approx(1.0)
        assert "classification_loss={a: " in repr(found) and "{a: " in found._repr_html_()
        again = pickle.loads(pickle.dumps(found))
        assert again.classification_loss == found.classification_loss
        with pytest.raises(TypeError, match="read-only"):
            found.classification_loss["a"] = 0.0

    def test_what_cannot_be_met_is_named(self) -> None:
        with pytest.raises(drcopt.InfeasibleError, match=r"H\(a\|Y\) is at least 0\.\d+ bits") as caught:
            drcopt.solve(toy(), R=0.2, C={"a": 0.3, "b": 0.9})
        assert caught.value.budget == "C['a']" and 0.3 < caught.value.least < 1

    def test_classes_that_must_be_told_exactly(self) -> None:
        """Two bits of X without error: every y has one x, and the search ends at a point all but rounding."""
        bits = {"a": np.eye(2)[[0, 1, 0, 1]], "b": np.eye(2)[[0, 0, 1, 1]]}
        px, py, d = [0.3, 0.3, 0.2, 0.2], [0.3, 0.15, 0.15, 0.2, 0.2], np.random.default_rng(0).random((4, 5))
        own = [f for f in itertools.product(range(4), repeat=5) if np.allclose(np.bincount(f, py, 4), px)]
        truth = min(sum(p * d[x, y] for y, (x, p) in enumerate(zip(f, py, strict=True))) for f in own)
        found = drcopt.solve(drcopt.Problem(px, py, bits, d), C={"a": 0, "b": 0}, on_failure="return", time_limit=60)
        assert found.status in ("optimal", "near-feasible") and found.distortion == pytest.approx(truth, abs=1e-9)
        assert found.lower_bound <= truth + 1e-12 and found.termination != "the time limit was reached"

    def test_at_rate_zero(self) -> None:
        found = drcopt.solve(toy(), R=0, C={"a": 1.0, "b": None})
        assert found.status == "optimal" and found.rate == 0
        with pytest.raises(drcopt.InfeasibleError):
            drcopt.solve(toy(), R=0, C={"a": 0.9, "b": None})


class TestSweeps:
    def test_a_row_for_each(self) -> None:
        budgets = [{"a": 0.9, "b": None}, {"a": 0.95 * LN2, "b": inf}]
        table = drcopt.sweep(toy(), R=[0.4, 0.6], C=budgets[0], progress=False)
        found = drcopt.solve(toy(), R=0.6, C=budgets[0])
        assert table["distortion"].iloc[1] == pytest.approx(found.distortion, abs=1e-6)
        assert table["classification_loss_bits[a]"].iloc[1] == pytest.approx(found.classification_loss["a"], abs=1e-4)
        assert list(table["classification_budget_bits[a]"]) == [0.9] * 2
        assert list(table["classification_budget_bits[b]"]) == [inf] * 2
        assert set(table["curve"]) == {"C[a] = 0.9"} and list(table["status"]) == ["optimal"] * 2
        nats = drcopt.sweep(toy(), D=0.3, C=[budgets[1], None], units="nats", objective="rate", progress=False)
        assert nats["classification_budget_bits[a]"].iloc[0] == pytest.approx(0.95)
        assert list(nats["curve"])[1] == "no C" and (nats["objective"] == "rate").all()
        _, curves = drcopt.plotting.series.curves(table)
        assert [curve.label for curve in curves] == ["C[a] = 0.9"]
        assert "0.6" in export.latex(table) and len(export.brief(table)) == 2

    def test_of_the_least_loss(self) -> None:
        how: Any = {"objective": "classification_loss", "tol": 1e-3, "progress": False}
        table = drcopt.sweep(small(), R=[0.4, 0.6], D=[0.4], C={"a": 0.9}, **how)
        assert set(table["curve"]) == {"least H(b|Y), C[a] = 0.9"} and set(table["objective"]) == {
            "classification_loss"
        }
        assert list(table["distortion_budget"]) == [0.4, 0.4] and table["value"][1] < table["value"][0]
        assert (table["value"] == table["classification_loss_bits[b]"]).all()

    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            ({"C": [0.9]}, "C must have a budget for each class"),
            ({"C": []}, "it is empty"),
            ({"P": [0.1]}, r"P=\[0\.1\] came"),
            ({"checkpoint": "rows.jsonl"}, r"checkpoint='rows\.jsonl' came"),
            ({"verify": "interval"}, "verify='interval' came"),
            ({"formulation": "one-shot"}, "formulation='one-shot' came"),
            ({"objective": "classification_loss"}, "it says nothing of 'a', 'b'"),
            ({"objective": "perception"}, "'distortion', 'rate' or 'classification_loss'"),
            ({"objective": "rate"}, "R must not be given"),
        ],
    )
    def test_refused(self, wrong: Any, says: str) -> None:
        with pytest.raises(drcopt.InputError, match=says):
            drcopt.sweep(toy(), R=[0.4], **wrong)


class TestRefused:
    @pytest.mark.parametrize(
        ("C", "says"),
        [
            (0.5, "C must have a budget for each class, 'a', 'b'; it is 0.5"),
            ({"a": 1}, "there is none for class 'b'"),
            ({"a": 1, "b": 1, "c": 1}, "it has one for 'c'"),
            ({"a": 1, "b": -1}, r"C\['b'\] must be nonnegative"),
            ({"a": 1, "b": "x"}, r"C\['b'\] must be a number"),
        ],
    )
    def test_budgets(self, C: Any, says: str) -> None:
        with pytest.raises(drcopt.InputError, match=says):
            drcopt.solve(toy(), R=0.5, C=C)

    def test_a_mapping_for_one_class(self) -> None:
        with pytest.raises(drcopt.InputError, match="C must be a number"):
            drcopt.solve(toy().of_class("a"), R=0.5, C={"a": 0.5})

    @pytest.mark.parametrize(
        ("classes", "says"),
        [
            ({}, "arrays by the name of their class"),
            ({1: A}, "arrays by the name of their class"),
            ({"a": A, "b": [[1.0]]}, r"ps_given_x\['b'\] must have one row per letter"),
            ({"a": A, "b": [[0.5, 0.4]] * 3}, r"each row of ps_given_x\['b'\] must sum to 1"),
        ],
    )
    def test_channels(self, classes: Any, says: str) -> None:
        with pytest.raises(drcopt.InputError, match=says):
            drcopt.Problem(PX, PY, classes, D)

    def test_labels(self) -> None:
        with pytest.raises(drcopt.InputError, match="must not be given with several classes"):
            drcopt.Problem(PX, PY, {"a": A}, D, labels={"s": ["u", "v"]})

    @pytest.mark.parametrize(
        "settings",
        [
            {"formulation": "one-shot"},
            {"formulation": "time-sharing"},
            {"classifier_sees": "YU"},
            {"class_loss": "error"},
            {"engine": "global"},
        ],
    )
    def test_settings(self, settings: Any) -> None:
        with pytest.raises(drcopt.InputError, match=r"several classes must come with .* came\. Leave that out"):
            drcopt.solve(toy(), R=0.5, C={"a": 1, "b": 1}, **settings)

    def test_problems(self) -> None:
        C = {"a": 1, "b": 1}
        with pytest.raises(drcopt.InputError, match="d=inf came"):
            drcopt.solve(drcopt.Problem(PX, PY, {"a": A, "b": B}, [[0, inf, 1], [1, 0, 1], [1, 1, 0]]), R=0.5, C=C)

    def test_questions(self) -> None:
        for ask in (
            lambda: drcopt.surface(toy(), R=(0.1, 0.2)),
            lambda: drcopt.min_perception(toy(), R=0.1),
            lambda: drcopt.best_map(toy()),
        ):
            with pytest.raises(drcopt.InputError, match="one class here"):
                ask()
