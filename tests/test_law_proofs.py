"""Proof files about laws of Y that are not given and about messages, and what their checker must not believe."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import drcopt
from drcopt import Perception
from drcopt.certify import proof, proof_of_perception
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
    @pytest.mark.parametrize("name", ["distortion", "zero rate", "infeasible"])
    def test_messages(self, law: str, name: str) -> None:
        accepted(law, "message", name)

    @pytest.mark.parametrize("law", LAWS)
    def test_without_classes(self, law: str) -> None:
        accepted(law, "Y", "rate only", tol=1e-3)

    @pytest.mark.parametrize("law", ["free", "tv"])
    @pytest.mark.parametrize("name", ["rate", "loss"])
    def test_inverses(self, law: str, name: str) -> None:
        accepted(law, "message", name)

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


def test_old_files_stay_of_version_one(tmp_path: Path) -> None:
    """What a checker of before can read is written so that it can."""
    solution = drcopt.solve(problem(), R=0.3)
    assert file_of(solution)["drcopt-proof"] == 1
