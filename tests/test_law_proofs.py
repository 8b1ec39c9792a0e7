"""Proof files about laws of Y that are not given and about messages, and what their checker must not believe."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import drcopt
from drcopt import Perception
from drcopt.certify import proof, proof_of_perception
from drcopt.cli import main
from drcopt.questions.output import KINDS, Near

pytest.importorskip("flint")

from honest import Proof, between

from drcopt.checker import balls, check
from drcopt.checker.perception import Perception as Checked


def problem(seed: int = 0, free: bool = False) -> drcopt.Problem:
    """Three letters of X, three of Y whose columns differ by constants, two classes."""
    rng = np.random.default_rng(seed)
    px, py = rng.dirichlet(np.full(3, 2.0)), rng.dirichlet(np.full(3, 2.0))
    W, d = 0.98 * rng.dirichlet([0.5, 0.5], size=3) + 0.01, rng.random((3, 3)) + 2.0 * rng.random(3)
    return drcopt.Problem(px, None if free else py, W, d)


def ground(m: int) -> Any:
    return np.abs(np.subtract.outer(np.arange(m), np.arange(m))) * 1.0


def near(kind: str, budget: float = 0.02, **more: Any) -> Perception:
    return Perception(kind, budget, ground=ground(3) if kind == "wasserstein" else None, **more)


def file_of(solution: drcopt.Solution) -> Proof:
    return json.loads(json.dumps(proof.to_dict(solution.certificate)))  # type: ignore[arg-type,no-any-return]


LAWS = ["free", *KINDS]
ASKED = {
    "distortion": lambda p, **how: drcopt.solve(p, R=0.3, C=between(p, 0.8), **how),
    "rate only": lambda p, **how: drcopt.solve(p, R=0.3, **how),
    "zero rate": lambda p, **how: drcopt.solve(p, R=0, **how),
    "rate": lambda p, **how: drcopt.min_rate(p, D=1.05 * drcopt.solve(p, R=0.3, **how).distortion, **how),
    "loss": lambda p, **how: drcopt.min_classification_loss(p, R=0.3, **how),
    "infeasible": lambda p, **how: drcopt.solve(p, R=0.05, C=between(p, 0.1), **how),
}


def accepted(law: str, sees: str, name: str, **how: Any) -> None:
    p = problem(free=law == "free")
    how |= {"perception": None if law in ("free", "given") else near(law), "classifier_sees": sees}
    solution = ASKED[name](p, on_failure="return", **how)
    data = file_of(solution)
    assert data["drcopt-proof"] == 2
    verdict = check(data)
    assert verdict.accepted, verdict.reason
    if solution.status == "infeasible":
        assert verdict.lower == verdict.upper == math.inf
        return
    unit = 1.0 if solution.objective == "distortion" else math.log(2.0)
    assert verdict.lower == pytest.approx(solution.lower_bound * unit, abs=1e-8)
    assert verdict.upper == pytest.approx(solution.value * unit, abs=1e-11)
    if law in KINDS:
        assert " and " in verdict.statements[1]  # the perception budget is said


class TestRoundTrips:
    @pytest.mark.parametrize("law", [*LAWS, "given"])
    @pytest.mark.parametrize("name", ["zero rate", "infeasible"])
    def test_messages(self, law: str, name: str) -> None:
        accepted(law, "message", name)

    @pytest.mark.parametrize("law", LAWS)
    def test_without_classes(self, law: str) -> None:
        accepted(law, "Y", "rate only", tol=1e-3)

    @pytest.mark.parametrize(("law", "name"), [("given", "distortion"), ("free", "loss"), ("tv", "rate")])
    def test_messages_with_all_they_spend(self, law: str, name: str) -> None:
        accepted(law, "message", name, tol=1e-4)

    def test_a_tree(self) -> None:
        accepted("kl", "Y", "distortion", tol=3e-2, time_limit=3.0)

    @pytest.mark.slow
    @pytest.mark.parametrize("law", LAWS)
    @pytest.mark.parametrize("sees", ["Y", "message"])
    @pytest.mark.parametrize("name", ASKED)
    def test_all(self, law: str, sees: str, name: str) -> None:
        accepted(law, sees, name, tol=1e-3, time_limit=5.0)


class TestPerceptionInBalls:
    """The checker's inequality and its φ against the package's, for every kind."""

    @staticmethod
    def draw(rng: np.random.Generator, kind: str) -> tuple[Near, Checked, Any]:
        m = int(rng.integers(1, 6))
        t = rng.dirichlet(np.full(m, rng.choice([0.3, 1.0, 5.0])))
        if m > 1 and rng.random() < 0.4:
            t[rng.integers(m)] = 0.0
            t /= t.sum()
        cost = ground(m) ** rng.choice([1.0, 2.0]) if kind == "wasserstein" else None
        most = -0.05 if kind in ("tv", "hellinger") else 2.0
        law = Near(kind, t, float(10.0 ** rng.uniform(-6, most)), cost, float(rng.choice([0.3, 0.5, 1.0, 1.5, 7.0])))
        data: dict[str, Any] = {"kind": kind, "target": [v.hex() for v in t.tolist()]}
        if cost is not None:
            data["ground"] = [[v.hex() for v in row] for row in cost.tolist()]
        if kind == "renyi":
            data["order"] = law.order.hex()
        return law, Checked(data, m), rng.normal(size=m) * 10.0 ** rng.uniform(-3, 3)

    @pytest.mark.parametrize("kind", KINDS)
    def test_bounds(self, kind: str) -> None:
        """At the multipliers found it is Ψ; at any other it is below what every law has."""
        rng = np.random.default_rng(0)
        for _ in range(15 if kind == "wasserstein" else 40):
            law, ours, g = self.draw(rng, kind)
            answer, size = law.answer(g), float(np.abs(g).max())
            weight, level = (balls.arb(v) for v in (answer.weight, answer.level))
            found = balls.to_float(ours.least(balls.ball(g), weight, level) - weight * law.budget, False)
            assert found >= answer.value - 1e-12 * size
            for turn in range(5):
                q = law.inside(rng.dirichlet(np.full(len(g), rng.choice([0.2, 1.0, 5.0]))))
                some, x = abs(rng.normal(size=2)) * size * 10.0 ** rng.uniform(-3, 1)
                if turn == 0:
                    q, some, x = answer.law, answer.weight, answer.level
                bound = balls.to_float(ours.least(balls.ball(g), balls.arb(some), balls.arb(x)), False)
                assert bound <= g @ q + some * law.divergence(q) + 1e-12 * (size + some)

    @pytest.mark.parametrize("kind", KINDS)
    def test_divergences(self, kind: str) -> None:
        rng = np.random.default_rng(1)
        for _ in range(10):
            law, ours, _ = self.draw(rng, kind)
            q = rng.dirichlet(np.full(len(law.target), 0.4))
            for one in (q, law.target, np.eye(len(q))[0]):
                plan = balls.ball(law.plan(one)) if kind == "wasserstein" else None
                spent, known = ours.spent(balls.ball(one), plan), law.divergence(one)
                if math.isinf(known):
                    assert not spent.is_finite()
                else:
                    assert float(spent) == pytest.approx(known, abs=1e-14, rel=1e-9)


class TestLeastPerception:
    """Files that say how far Y's law must be from the target."""

    @staticmethod
    def least(kind: str, **limits: Any) -> tuple[drcopt.Solution, Any]:
        solution = drcopt.min_perception(
            problem(), kind=kind, ground=ground(3) if kind == "wasserstein" else None, on_failure="return", **limits
        )
        return solution, check(proof_of_perception.to_dict(solution.certificate))  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "kind",
        [k if k in ("tv", "hellinger", "wasserstein") else pytest.param(k, marks=pytest.mark.slow) for k in KINDS],
    )
    @pytest.mark.parametrize("limits", [{"D": 1.6, "R": 0.5}, {"D": 1.7, "R": 0}])
    def test_is_accepted(self, kind: str, limits: Any) -> None:
        solution, verdict = self.least(kind, **limits)
        assert verdict.accepted, verdict.reason
        unit = math.log(2.0) if KINDS[kind].informational else 1.0
        assert verdict.lower == pytest.approx(solution.lower_bound * unit, abs=1e-7)
        assert verdict.upper == pytest.approx(solution.value * unit, abs=1e-11)

    @pytest.mark.parametrize("limits", [{"D": 1.7, "R": 0}, {"D": 0.5, "R": 0.1}])
    def test_verify(self, limits: Any) -> None:
        """The proof of the least divergence, or that no law meets the budgets, is read back."""
        how: Any = {"kind": "kl", "on_failure": "return"} | limits
        plain, solution = (drcopt.min_perception(problem(), verify=verify, **how) for verify in (None, "interval"))
        assert plain.verified is None and solution.verified and solution.status == plain.status
        assert solution.proved_lower_bound == pytest.approx(solution.lower_bound, abs=1e-7)
        assert math.isnan(solution.proved_distortion) and solution.proved_lower_bound <= solution.perception

    def test_what_no_law_meets(self) -> None:
        solution, verdict = self.least("kl", D=0.5, R=0.1)
        assert solution.status == "infeasible" and verdict.accepted and verdict.lower == math.inf

    def test_survives_a_file(self, tmp_path: Path) -> None:
        solution, verdict = self.least("tv", D=1.6, R=0.5)
        solution.certificate.save(tmp_path / "proof.json")
        assert check(tmp_path / "proof.json") == verdict


class TestAboutWhichProblem:
    """A target stands for py."""

    def test_of_its_own(self) -> None:
        p = problem()
        data = file_of(drcopt.solve(p, R=0.3, perception=near("tv")))
        assert proof.differences(data, p) == []
        assert proof.differences(data, problem(free=True)) == []
        other = drcopt.Problem(p.px, p.py[::-1], p.ps_given_x, p.d)
        assert proof.differences(data, other)[0].startswith("py[0] is 0x")

    def test_of_any_law(self) -> None:
        data = file_of(drcopt.solve(problem(free=True), R=0.3))
        assert proof.differences(data, problem(free=True)) == []
        assert proof.differences(data, problem()) == ["Y has any law in the proof and a given law in the problem"]
        given = file_of(drcopt.solve(problem(), R=0.3))
        assert proof.differences(given, problem(free=True)) == [
            "Y has a given law in the proof and any law in the problem"
        ]
        assert len(proof.differences(data, problem(1, free=True))) == 3


class TestCommandLine:
    @pytest.mark.parametrize(
        "asked", [["--perception", "tv:0.05"], ["--py", "free", "--classifier-sees", "message"], ["--py", "free"]]
    )
    def test_there_and_back(self, asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = str(tmp_path / "proof.json")
        assert main(["solve", "bernoulli", "--R", "0.5", *asked, "--certificate", path]) == 0
        law = ["--py", "free"] if "free" in asked else []
        assert main(["check", path, "--problem", "bernoulli", *law]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == "accepted"
        if law:
            assert main(["check", path, "--problem", "bernoulli"]) == 1
            assert "Y has any law in the proof and a given law in the problem" in capsys.readouterr().err


def texts(values: Any) -> Any:
    """Numbers as the format writes them."""
    return [texts(v) for v in values] if np.ndim(values) else float(values).hex()


def bare(p: drcopt.Problem, **changes: Any) -> Proof:
    """A file without evidence about a problem of any law."""
    return {
        "drcopt-proof": 2,
        "problem": {"px": texts(p.px), "py": None, "ps_given_x": texts(p.ps_given_x), "d": texts(p.d)},
        "formulation": "single-letter",
        "classifier_sees": "Y",
        "rate_budget": "inf",
        "classification_budget": "inf",
        "objective": "distortion",
        "claim": {"lower": "-inf", "upper": "inf"},
        "point": None,
        "evidence": None,
    } | changes


def leaf(p: drcopt.Problem, f: Any, **weights: float) -> dict[str, Any]:
    numbers = {"rate": 0.0, "classification": 0.0, "convex": 0.0} | weights
    return {"f": texts(f), "cells": [None] * p.m} | {name: texts(v) for name, v in numbers.items()}


def tree(*nodes: Any) -> dict[str, Any]:
    return {"kind": "posterior-tree", "nodes": list(nodes)}


BSC = [[0.9, 0.1], [0.1, 0.9]]


class TestTraps:
    """What holds of a given law that a classifier sees, and of nothing else."""

    @pytest.mark.parametrize("py", [None, ["1"]])
    def test_a_message_may_have_more_letters_than_y(self, py: Any) -> None:
        """One letter of Y, X told by the message: H(S|V) = H(S|X), though I(X;V) > H(Y) = 0."""
        p = drcopt.Problem([0.5, 0.5], [1.0], BSC, [[0.0], [0.0]])
        data = bare(p, classifier_sees="message", objective="classification-loss")
        data["problem"]["py"] = py
        data["point"] = [{"weight": "1", "coupling": [["1/2", "0"], ["0", "1/2"]], "letters": [0, 0]}]
        for evidence in (None, {"kind": "independent"}, {"kind": "data-processing"}):
            verdict = check(data | {"evidence": evidence})
            assert verdict.lower == pytest.approx(p.entropy_s_given_x)
            assert verdict.lower <= verdict.upper == pytest.approx(p.entropy_s_given_x)

    def test_of_any_law_the_rate_is_capped_by_the_letters(self) -> None:
        """I + H ≥ H(S) with I ≤ log m."""
        p = drcopt.Problem([0.25] * 4, [0.5, 0.5], np.eye(4), np.zeros((4, 2)))
        data = bare(p, objective="classification-loss")
        data["point"] = [{"weight": "1", "coupling": [["1/4", "0"], ["1/4", "0"], ["0", "1/4"], ["0", "1/4"]]}]
        verdict = check(data)
        assert verdict.lower <= verdict.upper and verdict.lower == pytest.approx(math.log(2.0))

    def test_what_a_column_costs_is_not_taken_off(self) -> None:
        """d = 1 and 3 whatever x: a law that is free takes the cheaper, no mean of the two."""
        p = drcopt.Problem([0.5, 0.5], [0.5, 0.5], BSC, [[1.0, 3.0], [1.0, 3.0]])
        data = bare(p, evidence=tree(leaf(p, [0.0, 0.0])))
        data["point"] = [{"weight": "1", "coupling": [["1/2", "0"], ["1/2", "0"]]}]
        verdict = check(data)
        assert verdict.lower == verdict.upper == 1.0
        solution = drcopt.solve(drcopt.Problem(p.px, None, BSC, [[1.0, 3.0], [1.5, 3.0]]), R=0.2)
        assert solution.status == "optimal" and solution.distortion == pytest.approx(1.25)

    def test_messages_know_no_halves(self) -> None:
        """Leaves for τ(0) ≤ ½ and τ(0) ≥ ½ say H(S|Y) ≥ H(S) of one letter's posterior, but not of a message's two."""
        p = drcopt.Problem([0.5, 0.5], [1.0], BSC, [[0.0], [0.0]])
        data = bare(p, objective="classification-loss")
        low, high = (
            leaf(p, [2.0 * sign, -2.0 * sign], classification=1.0)
            | {"cells": [[{"nu": texts([-2.5 * sign, 2.5 * sign])}]]}
            for sign in (1, -1)
        )
        data["evidence"] = tree({"y": 0, "s": 0, "at": "1/2"}, low, high)
        assert check(data | {"rate_budget": "1"}).lower == pytest.approx(math.log(2.0))
        data["point"] = [{"weight": "1", "coupling": [["1/2", "0"], ["0", "1/2"]], "letters": [0, 0]}]
        verdict = check(data | {"classifier_sees": "message"})
        assert verdict.lower <= verdict.upper == pytest.approx(p.entropy_s_given_x)
        alone = check(data | {"classifier_sees": "message", "evidence": tree(low)})
        assert alone.lower <= verdict.upper

    def test_a_mixture_may_take_letters_from_different_leaves(self) -> None:
        """Time-sharing with a free law: the cheapest of every letter over the leaves, not a leaf's least."""
        p = drcopt.Problem([0.5, 0.5], [0.5, 0.5], BSC, [[0.0, 1.0], [1.0, 0.0]])
        data = bare(p, formulation="time-sharing", rate_budget="1/10")
        # Different f: each leaf is right about its half, and neither about points of the other.
        some, other = leaf(p, [0.6, 0.4], rate=0.5), leaf(p, [-3.0, -3.0], rate=0.5)
        split = {"y": 0, "s": 0, "at": "1/2"}
        both = [check(data | {"evidence": tree(split, *pair)}).lower for pair in ((some, other), (other, some))]
        alone = [check(data | {"evidence": tree(one)}).lower for one in (some, other)]
        assert both == pytest.approx([min(alone)] * 2)
        data["point"] = [{"weight": "1", "coupling": [["1/2", "0"], ["0", "1/2"]]}] * 2
        verdict = check(data)
        assert verdict.lower <= verdict.upper

    def test_mass_off_the_target(self) -> None:
        """Total variation lets it there, and a bound knows; D(pY‖t) does not, and a point there has none."""
        p = drcopt.Problem([0.5, 0.5], None, BSC, [[1.0, 0.0], [1.0, 0.0]])
        point = [{"weight": "1", "coupling": [["1/4", "1/4"], ["1/4", "1/4"]]}]
        for kind, weight, bounds in (("tv", 1.0, (0.5, 0.5)), ("kl", 0.0, (1.0, 1.0))):
            data = bare(p, perception={"kind": kind, "target": ["1", "0"]}, perception_budget="1/2", point=point)
            verdict = check(data | {"evidence": tree(leaf(p, [0.0, 0.0], perception=weight))})
            assert (verdict.lower, verdict.upper) == pytest.approx(bounds)

    def test_a_plan_is_paid_for(self) -> None:
        """What it leaves unmoved costs the most there is; what costs nothing to keep is kept."""
        p = drcopt.Problem([0.5, 0.5], None, BSC, [[0.0, 1.0], [0.0, 1.0]])
        near = {"kind": "wasserstein", "target": ["1/2", "1/2"], "ground": [["0", "2"], ["5", "0"]]}
        data = bare(p, perception=near, objective="perception", distortion_budget="1/4")
        part = {"weight": "1", "coupling": [["3/8", "1/8"], ["3/8", "1/8"]]}
        nothing, much = [["0", "0"], ["0", "0"]], [["9", "9"], ["9", "9"]]
        for plan, cost in (([["0", "1/4"], ["0", "0"]], 0.5), (nothing, 1.25), (much, 2.25)):
            assert check(data | {"point": [part | {"plan": plan}]}).upper == pytest.approx(cost)
        with pytest.raises(drcopt.InputError, match="keeping a letter costs something"):
            check(data | {"perception": near | {"ground": [["1", "2"], ["1", "0"]]}})
        with pytest.raises(drcopt.InputError, match="'plan'"):
            check(data | {"point": [part]})

    def test_a_point_too_far_is_drawn_in(self) -> None:
        """Mixed with the target, and what that is worth is what is proved."""
        p = drcopt.Problem([0.5, 0.5], None, BSC, [[0.0, 1.0], [0.0, 1.0]])
        data = bare(p, perception={"kind": "tv", "target": ["0", "1"]}, perception_budget="1/4")
        verdict = check(data | {"point": [{"weight": "1", "coupling": [["1/2", "0"], ["1/2", "0"]]}]})
        assert verdict.upper == pytest.approx(0.75) and verdict.upper >= 0.75
        assert "TV(pY,t) ≤ 0.25" in verdict.statements[2]


def both_by_default(some: Any, others: Any, *default: tuple[Any, Any]) -> list[Any]:
    """All pairs, those that are not named marked slow."""
    pairs = itertools.product(some, others)
    return [pair if pair in default else pytest.param(*pair, marks=pytest.mark.slow) for pair in pairs]


class TestEdges:
    """The ends of what may be asked, through the package and its checker."""

    @pytest.mark.parametrize(
        ("kind", "budget"), both_by_default(KINDS, [0.0, 1e-320, 1e-9, 1e6, math.inf], ("tv", 1e-320), ("chi2", 1e6))
    )
    def test_budgets(self, kind: str, budget: float) -> None:
        solution = drcopt.solve(problem(), R=0.3, perception=near(kind, budget), tol=1e-4, on_failure="return")
        verdict = check(file_of(solution))
        assert verdict.accepted, verdict.reason

    @pytest.mark.parametrize(
        ("kind", "mass"), both_by_default(KINDS, [0.0, 5e-324, 1e-300, 1e-17], ("tv", 1e-300), ("kl", 0.0))
    )
    def test_targets_with_next_to_nothing(self, kind: str, mass: float) -> None:
        target = np.array([0.6, mass, 0.4])
        solution = drcopt.solve(
            problem(), R=0.3, perception=near(kind, 0.05, target=target), tol=1e-3, on_failure="return"
        )
        verdict = check(file_of(solution))
        assert verdict.accepted, verdict.reason
        assert solution.status in ("optimal", "feasible")

    @pytest.mark.parametrize("sees", ["Y", "message"])
    @pytest.mark.parametrize("py", [None, [1.0]])
    def test_one_letter(self, sees: str, py: Any) -> None:
        p = drcopt.Problem([0.5, 0.5, 0.0], py, [*BSC, [0.5, 0.5]], [[1.0], [2.0], [9.0]])
        solution = drcopt.solve(p, R=0.3, classifier_sees=sees)
        verdict = check(file_of(solution))
        assert verdict.accepted and verdict.lower == pytest.approx(1.5) == verdict.upper

    def test_next_to_no_mass(self) -> None:
        px, py = np.array([0.5, 0.5, 1e-310]), np.array([0.7, 0.3, 1e-320])
        for perception in (None, ("tv", 0.05), ("reverse-kl", 0.05)):
            p = drcopt.Problem(px, None if perception is None else py, [*BSC, [0.3, 0.7]])
            for sees in ("Y", "message"):
                solution = drcopt.solve(p, R=0.3, perception=perception, classifier_sees=sees, tol=1e-3)
                verdict = check(file_of(solution))
                assert verdict.accepted, (perception, sees, verdict.reason)

    @pytest.mark.parametrize("perception", [None, ("tv", 0.05), ("kl", 0.05)])
    def test_verify(self, perception: Any) -> None:
        p = problem(free=perception is None)
        solution = drcopt.solve(p, R=0.3, perception=perception, verify="interval", tol=1e-3)
        assert solution.verified and solution.status == "optimal"
        assert solution.proved_lower_bound == pytest.approx(solution.lower_bound, abs=1e-9)
        assert solution.proved_distortion == pytest.approx(solution.distortion, abs=1e-9)


def test_old_files_stay_of_version_one(tmp_path: Path) -> None:
    """What a checker of before can read is written so that it can."""
    solution = drcopt.solve(problem(), R=0.3)
    assert file_of(solution)["drcopt-proof"] == 1
