"""The checker: its parts against other ways to compute them, its guards, and a second interval arithmetic."""

from __future__ import annotations

import itertools
import json
import math
from fractions import Fraction
from typing import Any

import judging
import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.special import xlogy

import drcopt
from drcopt import information
from drcopt.bounds.cells import CellDual
from drcopt.bounds.maps import MapLeaf, MapSplit, MapTree, posterior_box
from drcopt.certify import proof
from drcopt.errors import InputError
from drcopt.formulations import OneShot
from drcopt.formulations.one_shot import map_coupling
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, QUANTITIES, Quantity
from drcopt.questions import RATE as RATE_

pytest.importorskip("flint")

from honest import LN2, NAMES, Proof, bare, between, known, one_shot, problem, shown, solved, written

from drcopt.checker import balls, check, schema
from drcopt.checker.along import along_support

judge = pytest.fixture(judging.judge)


class TestParts:
    """What the checker is made of, against other ways to compute it."""

    def test_a_least_map_beside_a_stand_in_for_infinity(self, judge: Any) -> None:
        """What no least map takes drowns nothing in rounding, and is taken where every map must."""
        mine = judge(written("one-shot"))
        linear, gamma = np.array([[0.1, 1e20], [0.3, 0.2], [1e20, 0.4]]), np.array([0.2, 0.1])
        found = mine.evidence.least_map(linear, 0.1, gamma)
        meant = mine.evidence.least_map(np.minimum(linear, 10.0), 0.1, gamma)
        assert float(found) == pytest.approx(float(meant), abs=1e-12)
        assert float(mine.evidence.least_map(linear + 1e20, 0.1, gamma)) > 2.9e20

    def test_along_the_support_is_exact(self, judge: Any) -> None:
        """What rows and columns lack goes where there is mass, or nowhere."""
        rng, fmpq = np.random.default_rng(0), balls.fmpq
        for _ in range(20):
            goal = np.array([fmpq(int(v), 1000) for v in rng.integers(0, 50, 12)], dtype=object).reshape(3, 4)
            goal[0, 0] += 1
            little = goal.copy()
            for x, y in zip(*np.nonzero(goal), strict=True):
                little[x, y] -= fmpq(int(rng.integers(3)), 10**6)
            short = [(goal - little).sum(axis=axis) for axis in (1, 0)]
            found = along_support(little, *short)
            assert found is not None
            assert (found.sum(axis=1) == goal.sum(axis=1)).all() and (found.sum(axis=0) == goal.sum(axis=0)).all()
            assert all(not f for f, g in zip(found.flat, little.flat, strict=True) if not g)
            assert min(found.flat) >= 0
        two = np.array([[fmpq(1, 2), fmpq(0)], [fmpq(0), fmpq(1, 4)]], dtype=object)
        assert along_support(two, [fmpq(1, 4), fmpq(0)], [fmpq(0), fmpq(1, 4)]) is None  # nothing joins the two
        thin = np.array([[fmpq(1, 2), fmpq(1, 100)], [fmpq(0), fmpq(1, 4)]], dtype=object)
        assert along_support(thin, [fmpq(0), fmpq(1, 10)], [fmpq(1, 10), fmpq(0)]) is None  # one would fall below 0

    @pytest.mark.parametrize("seed", range(6))
    def test_least_map(self, judge: Any, seed: int) -> None:
        p = problem(seed, 4, 1 + seed % 3, 2)
        rng = np.random.default_rng(seed)
        linear, alpha, gamma = rng.normal(size=(p.n, p.m)), float(rng.random()), rng.random(p.m)
        data = written("one-shot") | {"problem": proof.to_dict(solved(p, 0.0, None))["problem"]}
        value = judge(data).evidence.least_map(linear, alpha, gamma)
        best = math.inf
        for f in itertools.product(range(p.m), repeat=p.n):
            P = map_coupling(p, np.array(f))
            joint = p.ps_given_x.T @ P
            losses = [information.conditional_entropy(joint[:, [y]]) for y in range(p.m)]
            entropy = alpha * information.entropy(P.sum(axis=0)) + float(gamma @ losses)
            best = min(best, float(linear[range(p.n), f].sum()) + entropy)
        assert 0 <= best - float(value) <= 1e-12

    def test_min_plus_in_pieces(self) -> None:
        rng = np.random.default_rng(0)
        f, g = rng.random((2, 1, 2**10))
        h = balls.min_plus(f, g)[0]
        for S in rng.integers(2**10, size=40):
            subsets = [A for A in range(S + 1) if A & ~S == 0]
            assert h[S] == min(f[0, S ^ A] + g[0, A] for A in subsets)

    @pytest.mark.parametrize("seed", range(8))
    def test_contraction(self, judge: Any, seed: int) -> None:
        p = problem(seed, 4, 2, 2 + seed % 3)
        eta = float(judge(proof.to_dict(solved(p, 0.0, None))).problem.contractions[0])
        assert p.contraction - 2e-9 <= eta <= p.contraction + 1e-6
        rng = np.random.default_rng(seed)
        for _ in range(200):
            a, b = rng.dirichlet(np.full(p.n, 0.3), size=2)
            W = p.ps_given_x
            assert information.divergence(a @ W, b @ W) <= eta * information.divergence(a, b) + 1e-12

    @pytest.mark.parametrize("seed", range(4))
    def test_reach(self, judge: Any, seed: int) -> None:
        """The least and greatest class posterior of a letter are linear programs."""
        p = problem(seed, 4, 3, 3)
        ours = judge(proof.to_dict(solved(p, 0.0, None))).problem
        for y, s in itertools.product(range(p.m), range(p.k)):
            ends = ours.reach(y)[s]
            for sign, end in zip((1, -1), ends, strict=True):
                least = linprog(
                    sign * p.ps_given_x[:, s], A_eq=[np.ones(p.n)], b_eq=[1.0], bounds=[(0, q / p.py[y]) for q in p.px]
                )
                assert float(end) == pytest.approx(sign * least.fun, abs=1e-9)

    def test_onto_marginals_is_exact(self, judge: Any) -> None:
        rng = np.random.default_rng(0)
        ours = judge(written("rate only")).problem
        for scale in (1.0, 1e-3):
            P = scale * rng.random((ours.n, ours.m))
            texts = [[float(v).hex() for v in row] for row in P]
            Q = sum(ours.onto_marginals(schema.array(texts, None, None), np.arange(ours.m)))
            assert (Q.sum(axis=0) == ours.py).all()
            assert (Q.sum(axis=1) == ours.px).all()
            assert (Q >= 0).all()

    @pytest.mark.parametrize("seed", range(6))
    @pytest.mark.parametrize("objective", QUANTITIES, ids=lambda q: q.name)
    def test_map_trees(self, judge: Any, seed: int, objective: Quantity) -> None:
        """Random multipliers on a random tree: the checker's bound is the package's, and no more than is true."""
        p = problem(seed, 3, 3, 2)
        rng = np.random.default_rng(seed)
        R, C = 0.5 * p.entropy_x, between(p, 0.8) * LN2
        box = posterior_box(p)

        def leaf() -> MapLeaf:
            shares, slopes = rng.dirichlet(np.ones(3), size=p.m), rng.normal(size=(p.m, p.k))
            weight = 1.0 if objective is DISTORTION else float(rng.random())
            return MapLeaf(0.2 * rng.normal(size=p.m), 0.1 * rng.random(), shares[:, 0], shares[:, 1], slopes, weight)

        inner = MapSplit(2, 1, float(box[2, 1].mean()), leaf(), leaf())
        tree = MapTree(MapSplit(0, 0, float(box[0, 0].mean()), leaf(), inner))
        form = OneShot(p, R, C, "Y").minimising(objective, distortion_budget=p.distortion(p.independent))
        data = shown(form, tree)
        mine = judge(data)
        bounds = map(mine.question.bound, mine.region(data["evidence"]).leaves)
        least = min(math.inf if bound is None else float(bound) for bound in bounds)
        assert least == pytest.approx(tree.bound(form), rel=1e-10, abs=1e-11)
        assert float(mine.lower(data["evidence"])) >= least - 1e-11 * max(1.0, abs(least))

    @pytest.mark.parametrize("seed", range(6))
    @pytest.mark.parametrize("objective", QUANTITIES, ids=lambda q: q.name)
    def test_cell_duals(self, judge: Any, seed: int, objective: Quantity) -> None:
        """Each letter's bound is close to the least over its 2ⁿ sets, from below."""
        p = problem(seed, 4, 3, 2 + seed % 2)
        rng = np.random.default_rng(seed)
        alpha, gamma = 0.2 * rng.random(), float(rng.choice([0.0, 0.5, 1.0]))
        weights = w, alpha, gamma = 1.0 if objective is DISTORTION else float(rng.choice([0.0, 0.7])), alpha, gamma
        dual = CellDual(0.3 * rng.normal(size=p.n), 0.3 * rng.normal(size=p.m), alpha, gamma, w)
        form = OneShot(p, 0.5 * p.entropy_x, between(p, 0.8) * LN2, "Y").minimising(
            objective, distortion_budget=p.distortion(p.independent)
        )
        data = shown(form, dual)
        sets = np.array(list(itertools.product([0.0, 1.0], repeat=p.n)))
        joint = sets @ (p.px[:, None] * p.ps_given_x)
        losses = [information.conditional_entropy(row[:, None]) for row in joint]
        masses = sets @ p.px
        cost = w * p.d - dual.f[:, None] - dual.nu
        values = (sets * p.px) @ cost + (alpha * -xlogy(masses, masses) + gamma * np.array(losses))[:, None]
        _, rate, loss = form.caps
        exact = dual.f @ p.px + dual.nu @ p.py + values.min(axis=0).sum() - np.dot(weights, form.caps)
        exact = exact / weights[objective.place] if weights[objective.place] else -math.inf
        trivial = {
            DISTORTION: max(float(p.py @ p.d.min(axis=0)), float(p.px @ p.d.min(axis=1))),
            RATE_: max(0.0, p.entropy_s - loss),
            CLASSIFICATION_LOSS: max(p.entropy_s_given_x, p.entropy_s - rate),
        }[objective]
        value = float(judge(data).lower(data["evidence"]))
        assert value <= max(exact, trivial) + 1e-14
        assert value >= max(min(exact, dual.bound(form)), trivial) - 1e-11

    def test_one_shot_bound_is_the_programs(self) -> None:
        p = problem(0, 3, 2, 2)
        certificate, optimum = one_shot(p, 0.4, between(p, 0.7) * LN2, "YU")
        lower, upper = proof.interval(certificate)
        assert lower - 1e-12 <= optimum <= upper + 1e-9

    def test_leaves_of_a_mixture_must_share_multipliers(self) -> None:
        data = written("tree") | {"formulation": "time-sharing"}
        verdict = check(data)
        assert not verdict.accepted
        assert verdict.lower < float.fromhex(data["claim"]["lower"])


class TestOutward:
    """Not a last digit is given away."""

    def test_ends_of_a_ball(self, judge: Any) -> None:
        rng = np.random.default_rng(0)
        for p, q in rng.integers(1, 10**9, size=(200, 2)).tolist():
            exact, ball = Fraction(p, q), balls.arb(p) / q
            low, high = (balls.to_float(sign * ball, up) for sign in (1,) for up in (False, True))
            assert Fraction(low) <= exact <= Fraction(high)
            assert high <= math.nextafter(low, math.inf)
            assert Fraction(balls.to_float(-ball, False)) <= -exact <= Fraction(balls.to_float(-ball, True))
        assert balls.to_float(balls.arb("nan"), True) == math.inf
        assert balls.to_float(balls.arb("nan"), False) == -math.inf

    @pytest.mark.parametrize("name", NAMES)
    def test_ends_of_a_verdict(self, judge: Any, name: str) -> None:
        data = written(name)
        if "infeasible" in data["claim"]:
            return
        mine = judge(data)
        least = mine.lower(data["evidence"])
        verdict = mine.question.verdict(0.0)
        assert balls.arb(verdict.lower) <= least.lower()
        if data["point"] is not None:
            value = mine.question.point()[mine.question.aim]
            assert balls.arb(verdict.upper) >= value.upper()

    def test_a_minimum_over_maps_in_doubles(self, judge: Any) -> None:
        """Against the same minimum in balls: an allowance for its roundings is needed, and covers them."""
        p = problem(0, 4, 3, 2)
        mine = judge(written("one-shot") | {"problem": proof.to_dict(solved(p, 0.0, None))["problem"]})
        ours, rng = mine.problem, np.random.default_rng(0)
        for _ in range(20):
            linear, alpha, gamma = rng.normal(size=(p.n, p.m)), float(rng.random()), rng.random(p.m)
            least = None
            for f in itertools.product(range(p.m), repeat=p.n):
                value = balls.arb(0)
                for y in range(p.m):
                    letters = [x for x in range(p.n) if f[x] == y]
                    value += sum(balls.arb(linear[x, y]) for x in letters)
                    mass = sum((ours.px[x] for x in letters), balls.fmpq(0))
                    joint = [sum((ours.px[x] * ours.w[x, s] for x in letters), balls.fmpq(0)) for s in range(p.k)]
                    rate = balls.eta(np.array([mass]))[0]
                    value += alpha * rate + balls.arb(gamma[y]) * (balls.eta(np.array(joint)).sum() - rate)
                least = value if least is None else least.min(value)
            assert mine.evidence.least_map(linear, alpha, gamma) <= least


class TestGuards:
    """Evidence that would prove too much if one thing were not looked at."""

    @staticmethod
    def changed(name: str, **changes: Any) -> Proof:
        return json.loads(json.dumps(written(name) | changes))  # type: ignore[no-any-return]

    def test_unnormalised_numbers(self) -> None:
        """px ∝ (1, 3), py ∝ (2, 2), rows of W ∝ (3, 1): their sums are divided out, exactly."""
        third = {"px": ["1/4", "3/4"], "py": ["1/2", "1/2"], "ps_given_x": [["3/4", "1/4"], ["1/2", "1/2"]]}
        whole = {"px": ["1", "3"], "py": ["2", "2"], "ps_given_x": [["3", "1"], ["5", "5"]]}
        verdicts = []
        for numbers in (third, whole):
            data = self.changed("rate only", problem=numbers | {"d": [["0", "1"], ["1", "0"]]})
            data["point"] = [{"weight": "1", "coupling": [["1/4", "0"], ["1/4", "1/2"]]}]
            data |= {"evidence": None, "rate_budget": "inf", "claim": {"lower": "0", "upper": "1/4"}}
            verdicts.append(check(data))
        assert [v.statements[1:] for v in verdicts] == [verdicts[0].statements[1:]] * 2
        assert verdicts[0].lower == verdicts[1].lower == 0
        assert verdicts[0].accepted and verdicts[1].accepted
        assert verdicts[0].upper == 0.25

    def test_independence_is_no_evidence_at_a_positive_rate(self) -> None:
        verdict = check(self.changed("rate only", evidence={"kind": "independent"}))
        assert not verdict.accepted
        assert verdict.lower < known("rate only")[0]

    @pytest.mark.parametrize("name", ["rate only", "tree", "another tree", "one-shot", "one-shot, Y", "least loss"])
    @pytest.mark.parametrize("objective", ["distortion", "classification-loss"])
    def test_nothing_feasible_passes_for_infeasible(self, name: str, objective: str) -> None:
        verdict = check(self.changed(name, claim={"infeasible": True}, objective=objective, point=None))
        assert not verdict.accepted
        assert verdict.lower == -math.inf
        assert verdict.reason == "the least value proved does not exceed its budget"

    @pytest.mark.parametrize("field", ["rate", "classification", "convex"])
    def test_negative_multipliers(self, field: str) -> None:
        data = self.changed("tree")
        leaf = next(node for node in data["evidence"]["nodes"] if "f" in node)
        leaf[field] = "-0x1.0p-3"
        with pytest.raises(InputError, match="multiplier is negative"):
            check(data)

    @pytest.mark.parametrize("name", ["tree", "another tree", "infeasible tree", "three classes", "least loss"])
    def test_the_convex_share_is_limited(self, judge: Any, name: str) -> None:
        """With β₀ = β and next to no α the tangent of something not convex would pass for a bound."""
        data = self.changed(name)
        infeasible = "infeasible" in data["claim"]
        distortion = not infeasible and data["objective"] == "distortion"
        high = float.fromhex(data["classification_budget"]) + 1.0 if infeasible else known(name)[1]
        for node in data["evidence"]["nodes"]:
            if "f" in node:
                beta = float.fromhex(node["classification"]) if distortion else 1.0
                node |= {"rate": (1e-3 * beta).hex(), "convex": beta.hex()}
        mine = judge(data)
        honest_share = [node | {"convex": "0"} if "f" in node else node for node in data["evidence"]["nodes"]]
        with_share = mine.lower(data["evidence"])
        without = mine.lower({"kind": "posterior-tree", "nodes": honest_share})
        assert with_share.lower() <= high
        assert with_share.lower() == without.lower()  # what may not be used is not

    def test_a_point_beyond_the_rate_is_repaired(self) -> None:
        data = self.changed("rate only", point=written("no budget")["point"])
        data["claim"]["upper"] = "inf"
        verdict = check(data)
        assert verdict.accepted
        assert known("rate only")[0] <= verdict.upper < math.inf
        spent = float(verdict.statements[2].split("I(X;Y) ≤ ")[1].split()[0])
        assert spent == pytest.approx(float.fromhex(data["rate_budget"]), rel=1e-9)

    @pytest.mark.parametrize("many", [1.0, 3.0])
    @pytest.mark.parametrize("kind", ["map-tree", "cell-dual"])
    def test_a_loss_is_not_counted_more_than_once(self, judge: Any, kind: str, many: float) -> None:
        p = drcopt.Problem([0.5, 0.5], [0.5, 0.5], [[0.6, 0.4], [0.4, 0.6]])
        form = OneShot(p, 0.5, math.inf, "Y", objective=CLASSIFICATION_LOSS)
        nothing = np.zeros(2)
        if kind == "map-tree":
            leaf = MapLeaf(nothing, 0.0, np.full(2, many), nothing, np.zeros((2, 2)), 0.0)
            evidence: Any = MapTree(leaf)
        else:
            evidence = CellDual(nothing, nothing, 0.0, many, 0.0)
        assert evidence.bound(form) <= p.entropy_s_given_x
        data = shown(form, evidence)
        value = judge(data).lower(data["evidence"])
        assert float(value) == pytest.approx(p.entropy_s_given_x, abs=1e-12)

    def test_a_classifier_that_sees_u_has_no_posterior_budget(self, judge: Any) -> None:
        p = problem(0, 3, 2, 2)
        leaf = MapLeaf(np.zeros(2), 0.0, np.zeros(2), np.ones(2), np.ones((2, 2)))
        form = OneShot(p, 0.5, 0.9 * p.entropy_s, "YU")
        assert MapTree(leaf).bound(form) == -math.inf
        assert MapTree(leaf).bound(OneShot(p, 0.5, 0.9 * p.entropy_s, "Y")) > -math.inf
        data = proof.to_dict(bare(form, MapTree(leaf)))
        assert float(judge(data).bound(data["evidence"]["nodes"][0], [None] * 2)) == -math.inf
