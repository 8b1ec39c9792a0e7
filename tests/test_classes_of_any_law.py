"""Several classes: the least loss of one, any law of Y, and classifiers that read the message."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import pytest
from grids import couplings
from several import KINDS, LN2, PX, PY, A, B, D, channels, inf, small, spends, toy

import drcopt


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
