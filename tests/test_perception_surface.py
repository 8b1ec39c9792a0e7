"""Surfaces over budgets of perception: the law of Y is weighed in floors, and counted in mixtures."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flint")

import drcopt
from drcopt.checker import check
from drcopt.errors import InputError
from drcopt.questions import DISTORTION
from drcopt.sweeps.surface_proof import to_dict
from drcopt.sweeps.surface_reading import surface_of


def problem(seed: int = 1, n: int = 3, m: int = 3, k: int = 2) -> drcopt.Problem:
    rng = np.random.default_rng(seed)
    px, py, W = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m)), rng.dirichlet(np.ones(k), n)
    return drcopt.Problem(px, py, W, rng.random((n, m)))


@pytest.fixture(scope="module")
def sheet() -> drcopt.Surface:
    return drcopt.surface(problem(), R=(0.3, 0.8), P=(0.01, 0.2), tol=1e-2)


@pytest.fixture(scope="module")
def proof(sheet: drcopt.Surface) -> dict[str, Any]:
    return to_dict(sheet.refinement)


def holds(known: drcopt.Surface, answer: drcopt.Solution, *budgets: float) -> None:
    lower, upper = float(known.lower(*budgets)), float(known.upper(*budgets))
    if answer.status == "infeasible":
        assert upper == math.inf
    else:
        assert not answer.value < lower - 1e-12
        assert upper >= answer.lower_bound - 1e-12


class TestWhatIsProved:
    def test_a_solve_lies_between_floor_and_ceiling(self, sheet: drcopt.Surface) -> None:
        rng = np.random.default_rng(0)
        assert sheet.known == 1.0
        for R, P in rng.uniform((0.2, 0.005), (0.9, 0.3), (6, 2)).tolist():
            holds(sheet, drcopt.solve(sheet.problem, R=R, perception=("tv", P)), R, P)

    @pytest.mark.parametrize("kind", ["kl", pytest.param("tv", marks=pytest.mark.slow)])
    def test_descents_near_a_target_are_points_of_it(self, kind: Any) -> None:
        source = problem()
        C = source.entropy_s_given_x + 0.75 * (source.entropy_s - source.entropy_s_given_x)
        known = drcopt.surface(source, R=0.4, P=(0.01, 0.2), C=C, kind=kind, units="nats", tol=5e-3)
        assert known.known == 1.0 and known.descents > 0
        for P in (0.013, 0.12, 0.25):
            holds(known, drcopt.solve(source, R=0.4, C=C, perception=(kind, P), units="nats"), P)
        verdict = check(to_dict(known.refinement))
        assert verdict.accepted, verdict.reason

    @pytest.mark.parametrize(
        ("kind", "limited"), [("tv", False), ("kl", False), pytest.param("tv", True, marks=pytest.mark.slow)]
    )
    def test_from_the_target_itself(self, kind: Any, limited: bool) -> None:
        """At P = 0 the law is the target's, of which what is proved holds at P > 0 once the perception is weighed."""
        source = problem()
        C = source.entropy_s_given_x + 0.75 * (source.entropy_s - source.entropy_s_given_x) if limited else None
        known = drcopt.surface(source, R=0.4, P=(0, 0.1), C=C, kind=kind, units="nats", tol=1e-2)
        assert known.known == 1.0
        for P in (0.0, 1e-6, 1e-3, 0.02, 0.2):
            holds(known, drcopt.solve(source, R=0.4, C=C, perception=(kind, P), units="nats"), P)
        assert float(known.upper(0.0)) - float(known.lower(0.0)) <= known.tolerance
        verdict = check(to_dict(known.refinement))
        assert verdict.accepted, verdict.reason
        assert any(line.startswith("proved: in 100 %") for line in verdict.statements)

    def test_the_gap_is_that_everywhere_in_known_boxes(self, sheet: drcopt.Surface) -> None:
        rng = np.random.default_rng(1)
        for box in sheet.refinement.done:
            budgets = sheet.refinement.budgets([tuple(s) for s in rng.uniform(box.low, box.high, (5, 2)).tolist()])
            lower = sheet.refinement.known.floor.at(DISTORTION, budgets)
            assert (sheet.refinement.ceiling(budgets) - lower <= box.gap + 1e-12).all()

    def test_the_coupling_has_the_ceiling_and_a_law_near_the_target(self, sheet: drcopt.Surface) -> None:
        source = sheet.problem
        for R, P in ((0.47, 0.033), (0.6, 0.15)):
            found = sheet.coupling(R, P)
            assert found is not None
            assert source.distortion(found) <= float(sheet.upper(R, P)) + 1e-12
            assert drcopt.information.mutual_information(found) / drcopt.information.NATS_PER["bits"] <= R + 1e-12
            assert 0.5 * np.abs(found.sum(axis=0) - source.py).sum() <= P + 1e-12

    @pytest.mark.parametrize("kind", ["kl", "reverse-kl", "chi2", "reverse-chi2", "hellinger", "renyi", "wasserstein"])
    def test_every_divergence(self, kind: drcopt.words.Divergence) -> None:
        source = drcopt.sources.bernoulli(px=0.3)
        ground = 1.0 - np.eye(2) if kind == "wasserstein" else None
        curve = drcopt.surface(source, R=0.5, P=(1e-3, 0.05), kind=kind, target=[0.8, 0.2], ground=ground, tol=1e-2)
        assert curve.known == 1.0
        near = drcopt.Perception(kind, 0.01, [0.8, 0.2], ground)
        holds(curve, drcopt.solve(source, R=0.5, perception=near), 0.01)
        verdict = check(to_dict(curve.refinement))
        assert verdict.accepted, verdict.reason

    def test_a_budget_in_bits_is_one_in_bits(self) -> None:
        source = drcopt.sources.bernoulli(px=0.3)
        held = drcopt.surface(source, R=(0.3, 0.6), perception=drcopt.Perception("kl", 0.05, [0.9, 0.1]), tol=1e-2)
        holds(held, drcopt.solve(source, R=0.5, perception=drcopt.Perception("kl", 0.05, [0.9, 0.1])), 0.5)
        assert check(to_dict(held.refinement)).accepted
        other = drcopt.surface(source, R=(0.3, 0.6), P=0.05, kind="kl", target=[0.9, 0.1], tol=1e-2)
        assert float(other.upper(0.5)) == float(held.upper(0.5))

    def test_messages_and_a_class(self) -> None:
        """With a budget on the loss, which is convex where the classifier reads the message; three ranges."""
        sees: Any = {"classifier_sees": "message"}
        known = drcopt.surface(problem(), R=(0.3, 0.8), C=(0.78, 0.84), P=(0.01, 0.2), tol=0.1, resolution=0.25, **sees)
        assert known.known == 1.0
        holds(known, drcopt.solve(problem(), R=0.5, C=0.8, perception=("tv", 0.1), **sees), 0.5, 0.8, 0.1)
        assert check(to_dict(known.refinement)).accepted
        assert len(known.table(2, 2, 2)) == 8
        with pytest.raises(InputError, match="at most two budgets must vary for a picture"):
            known.plot()

    def test_the_least_rate(self) -> None:
        known = drcopt.surface(problem(), D=(0.1, 0.3), P=(0.01, 0.2), objective="rate", tol=5e-2, resolution=1 / 8)
        assert known.infeasible > 0.5
        assert check(to_dict(known.refinement)).accepted
        holds(known, drcopt.min_rate(problem(), D=0.29, perception=("tv", 0.15)), 0.29, 0.15)


@pytest.mark.slow
def test_independent_solves_lie_between_floor_and_ceiling() -> None:
    """A thousand pairs of budgets on fifty surfaces of all divergences, some with a budget on the loss."""
    rng, nats = np.random.default_rng(5), drcopt.information.NATS_PER["bits"]
    kinds = ["tv", "kl", "reverse-kl", "chi2", "reverse-chi2", "hellinger", "renyi", "wasserstein"]
    feasible = 0
    for seed in range(50):
        source = problem(seed, *rng.integers(2, 4, 2).tolist())
        most, kind = min(source.entropy_x, source.entropy_y) / nats, kinds[seed % 8]
        how: dict[str, Any] = {"ground": 1.0 - np.eye(source.m)} if kind == "wasserstein" else {}
        R, P = (0.1 * most, 0.9 * most), (1e-3, float(rng.choice([0.02, 0.2])))
        held: dict[str, Any] = {}
        if seed % 5 == 0:
            held = {"C": 0.2 * source.entropy_s_given_x / nats + 0.8 * source.entropy_s / nats}
            held["classifier_sees"] = "message"
        known = drcopt.surface(source, R=R, P=P, kind=kind, tol=2e-2, resolution=1 / 8, time_limit=1.0, **how, **held)
        for rate, far in rng.uniform((R[0], P[0]), (R[1], P[1]), (20, 2)).tolist():
            near = drcopt.Perception(kind, far, **how)
            answer = drcopt.solve(
                source, R=rate, perception=near, tol=1e-4, time_limit=0.2, on_failure="return", **held
            )
            holds(known, answer, rate, far)
            feasible += answer.status != "infeasible"
    assert feasible > 700


class TestTampering:
    def rejected(self, proof: dict[str, Any]) -> bool:
        try:
            return not check(proof).accepted
        except InputError:
            return True

    def test_the_file_is_accepted_and_says_what_it_proves(self, proof: dict[str, Any]) -> None:
        verdict = check(proof)
        assert verdict.accepted, verdict.reason
        assert any("on TV(pY,t) from" in line for line in verdict.statements)
        assert any(line.startswith("proved: in 100 %") for line in verdict.statements)

    def test_it_is_read_as_it_was_written(self, sheet: drcopt.Surface, proof: dict[str, Any]) -> None:
        read, nats = surface_of(proof), drcopt.information.NATS_PER["bits"]
        for R, P in ((0.4, 0.05), (0.7, 0.02)):
            assert float(read.lower(R * nats, P)) == pytest.approx(float(sheet.lower(R, P)), abs=1e-3)
            assert float(read.lower(R * nats, P)) <= float(read.upper(R * nats, P)) + 1e-12

    def test_laws_that_lie_farther(self, proof: dict[str, Any]) -> None:
        """Points are held against the largest budget, and mixtures against that of their corner."""
        ends = proof["ranges"]["perception_budget"]
        assert self.rejected(proof | {"ranges": proof["ranges"] | {"perception_budget": [ends[0], "1/20"]}})
        target = np.array([float.fromhex(v) for v in proof["perception"]["target"]])
        tried = 0
        for i, (part,) in enumerate(proof["points"]):
            law = np.array([[float.fromhex(v) for v in row] for row in part["coupling"]]).sum(axis=0)
            if 0.5 * np.abs(law - target).sum() > 0.1:
                changed = copy.deepcopy(proof)
                tightest = min(changed["boxes"], key=lambda box: float.fromhex(box["low"][1]))
                tightest["corners"] = [[[i, "1"]] for _ in tightest["corners"]]
                assert self.rejected(changed)
                tried += 1
        assert tried >= 2

    def test_another_target(self, proof: dict[str, Any]) -> None:
        target = proof["perception"]["target"]
        assert self.rejected(proof | {"perception": proof["perception"] | {"target": target[1:] + target[:1]}})

    @pytest.mark.parametrize("weight", ["0", "1/1000", "3"])
    def test_another_weight_of_the_perception(self, proof: dict[str, Any], weight: str) -> None:
        changed = copy.deepcopy(proof)
        for tree in changed["evidence"]:
            for node in tree["nodes"]:
                node["perception"] = weight
        assert self.rejected(changed)

    def test_a_box_that_reaches_down_to_a_smaller_budget(self, proof: dict[str, Any]) -> None:
        changed = copy.deepcopy(proof)
        changed["ranges"]["perception_budget"][0] = "1/1000"
        lowest = min(changed["boxes"], key=lambda box: float.fromhex(box["low"][1]))
        lowest["low"][1] = "1/1000"
        assert self.rejected(changed | {"known": "0"})

    def test_a_range_that_is_held_too_or_has_no_target(self, proof: dict[str, Any]) -> None:
        assert self.rejected(proof | {"perception_budget": "1/5"})
        assert self.rejected({name: value for name, value in proof.items() if name != "perception"})


class TestHowItRuns:
    def test_it_resumes(self, tmp_path: Path, sheet: drcopt.Surface, monkeypatch: pytest.MonkeyPatch) -> None:
        path, asked = tmp_path / "surface.jsonl", {"R": (0.3, 0.8), "P": (0.01, 0.2), "tol": 1e-2}
        drcopt.surface(problem(), checkpoint=path, **asked)
        monkeypatch.setattr("drcopt.sweeps.asking.run", lambda tasks: pytest.fail("answered anew"))
        again = drcopt.surface(problem(), checkpoint=path, **asked)
        assert float(again.lower(0.5, 0.05)) == float(sheet.lower(0.5, 0.05))
        assert float(again.upper(0.5, 0.05)) == float(sheet.upper(0.5, 0.05))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"P": (0.0, 0.1), "target": [0.5, 0.5, 0.0]}, "where the target has letters without mass"),
            ({"P": (0.0, 0.1), "formulation": "time-sharing"}, "P must begin above 0 with formulation='time-sharing'"),
            ({"P": (1.5, 2.0)}, "P must begin below 1"),
            ({"P": (0.1, 0.2), "perception": ("tv", 0.1)}, "perception must not be given where P is"),
            ({"P": (0.1, 0.2), "kind": "near"}, "perception kind must be one of"),
            ({"P": (0.1,)}, "P must be \\(least, most\\)"),
        ],
    )
    def test_bad_input(self, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(InputError, match=message):
            drcopt.surface(problem(), **arguments)

    def test_the_command(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        from drcopt.cli import main

        out, proof, page = tmp_path / "near.csv", tmp_path / "near.json", tmp_path / "near.html"
        asked = ["--R", "0.2:0.6", "--perception", "tv:0.01:0.2", "--tol", "0.02", "--out", str(out)]
        assert main(["surface", "bernoulli", *asked, "--certificate", str(proof)]) == 0
        assert "P=(0.01, 0.2)" in capsys.readouterr().out
        assert "perception_budget" in out.read_text(encoding="utf-8").splitlines()[0]
        assert main(["check", str(proof)]) == 0
        assert main(["explore", str(proof), "-o", str(page)]) == 0
        assert "perception budget" in page.read_text(encoding="utf-8")
        assert main(["surface", "bernoulli", "--perception", "tv:a"]) == 2

    def test_pages_of_tables(self) -> None:
        from drcopt import explore

        table = drcopt.sweep(drcopt.sources.bernoulli(), R=[0.3, 0.5], P=[0.01, 0.1])
        assert '"letter":"P"' in explore.page(table)
        more = drcopt.sweep(drcopt.sources.bernoulli(), R=[0.3, 0.5], C=[0.8, None], P=[0.01, 0.1], tol=1e-2)
        with pytest.raises(InputError, match="it varies P beside R and C"):
            explore.page(more)

    def test_a_map_over_the_perception(self, sheet: drcopt.Surface) -> None:
        pytest.importorskip("matplotlib").use("Agg")
        ax = sheet.plot(size=(3.4, 2.8)).axes[0]
        assert ax.get_xlabel() == "rate budget R (bits)"
        assert ax.get_ylabel() == "perception budget P"

    def test_what_needs_a_held_budget(self, sheet: drcopt.Surface) -> None:
        with pytest.raises(InputError, match="edge must be asked of a surface that holds P"):
            sheet.edge(0.5)
