"""Proof files: honest ones are accepted, what is printed of them is true, and the checker needs no engine."""

from __future__ import annotations

import ast
import json
import math
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from strategies import FAMILIES, make

import drcopt
from drcopt.bounds import Leaf, PosteriorTree
from drcopt.bounds.cells import CellDual
from drcopt.bounds.maps import MapLeaf, MapTree
from drcopt.certify import proof
from drcopt.certify.certificate import Certificate, certify
from drcopt.errors import InputError, MissingExtraError
from drcopt.formulations import OneShot, SingleLetter, TimeSharing

pytest.importorskip("flint")

from honest import LN2, NAMES, Proof, bare, between, honest, known, problem, solved, written

from drcopt import checker
from drcopt.checker import check, evidence


class TestHonest:
    @pytest.mark.parametrize("name", NAMES)
    def test_is_accepted(self, name: str) -> None:
        certificate, verdict = honest()[name], check(written(name))
        assert verdict.accepted, verdict.reason
        assert not verdict.reason
        if certificate.infeasible:
            assert verdict.lower == verdict.upper == math.inf
            return
        size = max(1.0, float(certificate.formulation.problem.d.max()))
        assert verdict.lower >= certificate.lower - 2e-12 * size
        assert verdict.upper == pytest.approx(certificate.upper, abs=1e-12 * size)
        assert proof.interval(certificate) == (verdict.lower, verdict.upper)

    @pytest.mark.parametrize("family", FAMILIES)
    @pytest.mark.parametrize("R", [0.0, 0.2, None])
    def test_of_every_family(self, family: str, R: float | None) -> None:
        p = make(family, 7, 3, 3, 2)
        certificate = solved(p, R, None)
        verdict = check(proof.to_dict(certificate))
        assert verdict.accepted, verdict.reason
        assert verdict.lower <= verdict.upper
        assert verdict.upper - verdict.lower <= 1e-9 * float(p.d.max()) + 1e-300

    def test_survives_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "point.json"
        proof.save(honest()["tree"], path)
        assert check(path) == check(written("tree"))
        assert json.loads(path.read_text()) == written("tree")
        assert list(tmp_path.iterdir()) == [path]

    def test_is_written_nowhere_but_to_a_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="path must name a regular file"):
            proof.save(honest()["tree"], tmp_path)

    def test_numbers_may_be_fractions(self) -> None:
        """A source given as 1/3, 2/3 exactly, no double being either."""
        third = ["1/3", "2/3"]
        data = {
            "drcopt-proof": 1,
            "problem": {"px": third, "py": third, "ps_given_x": [["1"], ["1"]], "d": [["0", "1"], ["1", "0"]]},
            "formulation": "single-letter",
            "classifier_sees": "Y",
            "rate_budget": "inf",
            "classification_budget": "inf",
            "objective": "distortion",
            "claim": {"lower": "0", "upper": "0"},
            "point": [{"weight": "1", "coupling": [["1/3", "0"], ["0", "2/3"]]}],
            "evidence": None,
        }
        verdict = check(data)
        assert verdict.accepted
        assert (verdict.lower, verdict.upper) == (0.0, 0.0)
        data["claim"] = {"lower": "1/1000000", "upper": "inf"}
        assert not check(data).accepted


class TestWords:
    def test_of_a_bound(self) -> None:
        verdict = check(written("tree"))
        name, bound, point, both = verdict.statements
        assert name == f"problem {honest()['tree'].formulation.problem.fingerprint}: 2 letters of X, 2 of Y, 2 classes"
        assert bound.startswith("proved: every coupling with I(X;Y) ≤ 0.346573590279 nats (0.5 bits) and ")
        assert point.startswith("the file's point has E d ≤ ")
        budgets = [written("tree")[f"{name}_budget"] for name in ("rate", "classification")]
        said = "rate_budget {} and classification_budget {} exactly".format(*budgets)
        assert both.startswith(f"so the least E d at {said} lies in [")
        low, high = (float(v) for v in both.split("[")[1].rstrip("]").split(","))
        # Rounded outward, and by no more than twelve digits ask for.
        assert low <= verdict.lower <= verdict.upper <= high
        assert high - low <= verdict.upper - verdict.lower + 1e-11

    def test_of_infeasibility(self) -> None:
        _, least, conclusion = check(written("infeasible tree")).statements
        assert least.startswith("proved: every coupling with I(X;Y) ≤ 0.346573590279 nats (0.5 bits) has ")
        assert conclusion.startswith("so none has H(S|Y) ≤ ")
        assert float(least.split("≥ ")[1].split()[0]) > float(conclusion.split("≤ ")[1].split()[0])

    def test_of_codes(self) -> None:
        assert "every mixture of maps with H(Y|U) ≤ " in check(written("one-shot")).statements[1]
        assert " and H(S|Y,U) ≤ " in check(written("one-shot")).statements[1]
        assert "every mixture of couplings with I(X;Y|Q) ≤ " in check(written("time-sharing")).statements[1]


class TestStrictness:
    """C = H(S) with a useless channel: met exactly in the reals, missed by 1e-17 as a double half of the time."""

    @staticmethod
    def edge() -> Proof:
        for seed in range(50):
            p = make("useless", seed, 3, 3, 2)
            data = proof.to_dict(solved(p, 0.2, p.entropy_s / LN2))
            if math.isinf(check(data).upper):
                return data
        raise AssertionError("no double H(S) fell below the true one")

    def test_an_excess_is_not_forgiven(self) -> None:
        data = self.edge()
        for admitted in ("0", (1e-13).hex()):
            data["claim"]["excess"] = admitted
            verdict = check(data)
            assert not verdict.accepted
            assert verdict.upper == math.inf
            assert verdict.reason.startswith(
                "the point is not proved to meet the budgets: it may exceed that of H(S|Y) by "
            )
            assert verdict.statements[3].startswith("it exceeds a budget: with I(X;Y) ≤ 0.13862943611")
            met = float(verdict.statements[3].split("H(S|Y) ≤ ")[1].split()[0])
            assert met >= float.fromhex(data["classification_budget"])
        assert check(data, tolerance=1e-14).accepted

    def test_no_tolerance_is_added_to_bounds(self) -> None:
        data = json.loads(json.dumps(written("rate only")))
        verdict = check(data)
        for name, end, beyond in (("lower", verdict.lower, math.inf), ("upper", verdict.upper, -math.inf)):
            kept = data["claim"][name]
            data["claim"][name] = end.hex()
            assert check(data).accepted
            data["claim"][name] = math.nextafter(end, beyond).hex()
            assert not check(data).accepted
            assert check(data, tolerance=1e-12).accepted
            data["claim"][name] = kept

    @pytest.mark.parametrize(("gap", "short", "claimed"), [(0.1, 5e-5, True), (0.1, 2e-4, False), (0.0, 1e-8, True)])
    def test_where_cells_fall_short(
        self, gap: float, short: float, claimed: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By no more than shows beside the gap, what they prove is what is claimed; beyond that the check must fail."""
        certificate = honest()["tree"]
        certificate = replace(certificate, upper=certificate.lower + gap)
        real = proof.Writer.evidence

        def evidence(self: Any, found: Any) -> Any:
            data, self.reached = real(self, found), certificate.lower - short
            return data

        monkeypatch.setattr(proof.Writer, "evidence", evidence)
        lower = float.fromhex(proof.to_dict(certificate)["claim"]["lower"])
        assert lower == pytest.approx(certificate.lower - short * claimed, abs=1e-11)


class TestTrueAsPrinted:
    """A budget that a bound supposes is never printed larger than it is."""

    def test_a_slack_of_a_rounded_budget(self) -> None:
        """With R below H(X) = ln 2 by 2e-13, E d ≥ 2.4e-15; at 1 bit, which is R to twelve digits, it is 0."""
        p = drcopt.Problem([0.5, 0.5], [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]])
        R = LN2 - 2e-13
        alpha = 1.0 / 35.0
        tree = PosteriorTree(Leaf(np.full(2, alpha * (LN2 - math.log1p(math.exp(-35.0)))), alpha, 0.0))
        verdict = check(proof.to_dict(bare(SingleLetter(p, R, math.inf), tree)))
        assert verdict.lower > 2e-15
        given = verdict.statements[1].split("I(X;Y) ≤ ")[1]
        nats, bits = float(given.split()[0]), float(given.split("(")[1].split()[0])
        assert nats <= R and bits <= R / LN2 < 1.0

    @pytest.mark.parametrize("name", NAMES)
    def test_every_number(self, name: str) -> None:
        data = written(name)
        verdict = check(data)
        budgets = [float.fromhex(data[b]) for b in ("rate_budget", "classification_budget") if data[b] != "inf"]
        given, _, bound = verdict.statements[1].partition(" has ")
        for text, budget in zip(re.findall(r"≤ (\S+) nats", given), budgets, strict=False):
            assert budget * (1 - 1e-11) <= float(text) <= budget
        shown = float(bound.split("≥ ")[1].split()[0])
        assert shown <= verdict.lower
        if data["claim"].get("infeasible"):
            assert float(verdict.statements[2].split("≤ ")[1].split()[0]) <= budgets[-1] < shown


class TestHalfSpaces:
    """One tree proves bounds on each of the three quantities."""

    @pytest.mark.parametrize("name", ["tree", "another tree"])
    def test_the_least_rate_from_a_bound_on_the_distortion(self, name: str) -> None:
        """D(R, C) = D turned round: the least rate at (D, C) is R where the curve falls."""
        data = json.loads(json.dumps(written("rate only" if name == "tree" else "time-sharing")))
        low, high = known("rate only")
        R = float.fromhex(data["rate_budget"])
        data |= {"objective": "rate", "distortion_budget": high.hex(), "rate_budget": "inf"}
        data["claim"] = {"lower": "0", "upper": "inf"}
        for leaf in data["evidence"]["nodes"]:
            leaf["distortion"] = "1"
        verdict = check(data)
        assert verdict.accepted, verdict.reason
        assert R - 1e-9 <= verdict.lower <= R
        assert verdict.statements[1].startswith("proved: every ")
        assert f"with E d ≤ {high:.6f}"[:-1] in verdict.statements[1]
        data["point"] = written("rate only")["point"]
        data["distortion_budget"] = (high + 1e-9).hex()
        verdict = check(data)
        assert verdict.accepted, verdict.reason
        assert verdict.lower <= R + 1e-9 and R - 1e-6 <= verdict.upper <= R + 1e-12
        data["distortion_budget"] = (high - 1e-3).hex()
        verdict = check(data)
        assert not verdict.accepted and "it may exceed that of E d by 0.001" in verdict.reason
        data["evidence"]["nodes"][0]["distortion"] = "-1"
        with pytest.raises(InputError, match="is negative"):
            check(data)

    def test_a_rate_out_of_reach(self) -> None:
        """The least rate at D is R: less is infeasible, and so is a distortion below D(R) at R."""
        data = json.loads(json.dumps(written("rate only")))
        low, _ = known("rate only")
        for leaf in data["evidence"]["nodes"]:
            leaf["distortion"] = "1"
        R = float.fromhex(data["rate_budget"])
        data |= {"claim": {"infeasible": True}, "point": None, "distortion_budget": (low - 1e-9).hex()}
        for objective in ("rate", "distortion"):
            verdict = check(data | {"objective": objective})
            assert verdict.accepted, (objective, verdict.reason)
            assert verdict.lower == verdict.upper == math.inf
        data["distortion_budget"] = (low + 1e-9).hex()
        for objective in ("rate", "distortion"):
            assert not check(data | {"objective": objective}).accepted
        assert not check(data | {"objective": "rate", "rate_budget": (R + 1e-9).hex()}).accepted

    def test_cheap_bounds_need_no_evidence(self) -> None:
        p = honest()["tree"].formulation.problem
        data = written("tree") | {"evidence": None, "point": None, "claim": {"lower": "-inf", "upper": "inf"}}
        loss = check(data | {"objective": "classification-loss", "rate_budget": (0.01).hex()})
        assert loss.lower == pytest.approx(max(p.entropy_s - 0.01, p.entropy_s_given_x), abs=1e-12)
        rate = check(data | {"objective": "rate"})
        C = float.fromhex(data["classification_budget"])
        assert rate.lower == pytest.approx(max(p.entropy_s - C, 0.0), abs=1e-12)
        distortion = check(data)
        assert distortion.lower == pytest.approx(max(p.py @ p.d.min(axis=0), p.px @ p.d.min(axis=1)), abs=1e-12)


class TestCommand:
    @staticmethod
    def run(*arguments: str) -> Any:
        from drcopt.cli.check import check as command

        return click.Command.main(command, list(arguments), standalone_mode=False)

    def test_exit_codes(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "point.json"
        proof.save(honest()["tree"], path)
        assert self.run(str(path)) == 0
        printed = capsys.readouterr().out.splitlines()
        assert printed == [*check(path).statements, "accepted"]
        data = json.loads(path.read_text())
        data["claim"]["lower"] = (1.0).hex()
        path.write_text(json.dumps(data))
        assert self.run(str(path)) == 1
        assert capsys.readouterr().err.startswith("rejected: the lower bound claimed is better by ")
        with pytest.raises(InputError):
            self.run(str(tmp_path / "absent.json"))

    def test_whose_problem_it_is(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Compared entry by entry, on letters with mass."""
        p = honest()["tree"].formulation.problem
        path, mine = tmp_path / "point.json", tmp_path / "mine.npz"
        padded = drcopt.Problem([*p.px[:1], 0.0, *p.px[1:]], p.py, p.ps_given_x[[0, 0, 1]], p.d[[0, 1, 1]])
        proof.save(solved(padded, 0.5, between(p, 0.75)), path)
        drcopt.sources.save(padded, mine)
        assert self.run(str(path), "--problem", str(mine)) == 0
        assert capsys.readouterr().out.splitlines()[-2:] == [
            f"its arrays are those of {mine}, to the last digit",
            "accepted",
        ]
        d = np.array(padded.d)
        d[2, 1] = np.nextafter(d[2, 1], 2)
        drcopt.sources.save(drcopt.Problem(padded.px, padded.py, padded.ps_given_x, d), mine)
        assert self.run(str(path), "--problem", str(mine)) == 1
        captured = capsys.readouterr()
        assert captured.err.startswith(f"rejected: the proof is not about {mine}: d[1, 1] is 0x1.")
        assert "accepted" not in captured.out
        assert self.run(str(path), "--problem", "bernoulli") == 1
        d[2, 1] = 5.0
        drcopt.sources.save(drcopt.Problem(padded.px, padded.py, padded.ps_given_x[:, [0, 1, 1]] / [1, 2, 2], d), mine)
        assert self.run(str(path), "--problem", str(mine)) == 1
        assert "ps_given_x has shape (2, 2) in the proof and (2, 3) in the problem" in capsys.readouterr().err

    def test_the_fingerprint_is_the_problems(self) -> None:
        for name in ("tree", "rate only", "one-shot"):
            assert check(written(name)).fingerprint == honest()[name].formulation.problem.fingerprint

    def test_operations(self, tmp_path: Path) -> None:
        path = tmp_path / "point.json"
        proof.save(honest()["tree"], path)
        with pytest.raises(InputError, match="asks for more operations than are allowed"):
            self.run(str(path), "--operations", "10")

    def test_an_infeasible_file_proves_the_least_loss_known(self, tmp_path: Path) -> None:
        from drcopt.cli import main

        path = tmp_path / "edge.json"
        assert main(["solve", "bernoulli", "--R", "0.3", "--C", "0.8", "--certificate", str(path)]) == 1
        edge = drcopt.min_classification_loss(drcopt.sources.bernoulli(), R=0.3)
        least = float(check(path).statements[1].split("H(S|Y) ≥ ")[1].split("(")[1].split()[0])
        assert edge.lower_bound - 1e-6 <= least <= edge.classification_loss
        assert least > 0.85


class TestTooManyMaps:
    """Where a minimum over all maps is out of the checker's reach it says so, and proves what it can without."""

    @pytest.fixture(autouse=True)
    def _none_in_reach(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(evidence, "TABLE", 0)

    @pytest.mark.parametrize("name", ["one-shot", "one-shot, Y"])
    def test_the_trivial_bound_is_left(self, name: str) -> None:
        certificate, verdict = honest()[name], check(written(name))
        p = certificate.formulation.problem
        assert not verdict.accepted
        assert verdict.reason.startswith("the lower bound claimed is better by ")
        assert verdict.reason.endswith("; a minimum over 2^3 maps is out of reach")
        assert p.d.min(axis=0) @ p.py - 1e-12 <= verdict.lower <= certificate.lower
        assert verdict.upper == pytest.approx(certificate.upper)
        weak = written(name) | {"claim": written(name)["claim"] | {"lower": "0"}}
        assert check(weak).accepted and not check(weak).reason

    def test_nor_is_a_loss_shown_out_of_reach(self) -> None:
        p = problem(0, 3, 2, 2)
        leaf = MapLeaf.linear(p, np.zeros(p.m), 0.0, 1.0)
        budget = 0.5 * (p.entropy_s_given_x + p.entropy_s)
        on_the_loss = MapLeaf.linear(p, np.zeros(p.m), 0.0, 1.0, 0.0)
        certificate = certify(OneShot(p, 0.5, budget, "YU"), None, MapTree(leaf), MapTree(on_the_loss))
        data = proof.to_dict(certificate)
        verdict = check(data | {"claim": {"infeasible": True}, "point": None})
        assert not verdict.accepted
        assert "does not exceed its budget" in verdict.reason

    def test_without_rates_and_losses_it_is_not_needed(self) -> None:
        certificate = solved(problem(3, 4, 3, 2), None, None, formulation="one-shot")
        verdict = check(proof.to_dict(certificate))
        assert verdict.accepted, verdict.reason
        assert verdict.lower >= certificate.upper - 1e-11


class TestIndependence:
    def test_shares_no_code_with_what_it_checks(self) -> None:
        for path in Path(checker.__file__).parent.glob("*.py"):
            source = path.read_text(encoding="utf-8")
            assert len(source.splitlines()) <= 400
            assert max(map(len, source.splitlines())) <= 100
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.ImportFrom):
                    own = str(node.module).startswith("drcopt.checker")
                    assert not str(node.module).startswith("drcopt") or own or node.module == "drcopt.errors"
                if isinstance(node, ast.Import):
                    assert not any(alias.name.startswith("drcopt") for alias in node.names)
                if isinstance(node, ast.IfExp):
                    assert not any(isinstance(part, ast.IfExp) for part in (node.body, node.test, node.orelse))

    def test_needs_an_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "flint", None)
        with pytest.raises(MissingExtraError, match=r"pip install 'drcopt\[proof\]'"):
            check(written("rate only"))
        with pytest.raises(MissingExtraError):
            proof.interval(honest()["rate only"])

    def test_leaves_the_precision_as_it_was(self) -> None:
        import flint

        before = flint.ctx.prec
        check(written("rate only"))
        assert flint.ctx.prec == before


class TestEvidenceThatCannotBeEvaluated:
    @pytest.mark.parametrize("infeasible", [False, True])
    def test_what_holds_of_every_problem_is_written_instead(self, infeasible: bool) -> None:
        p = problem(0, 3, 3, 2)
        loss = 0.5 * p.entropy_s_given_x if infeasible else math.inf
        form = SingleLetter(p, 0.3, loss)
        garbage = PosteriorTree(Leaf(np.zeros(p.n + 1), 0.0, 0.0)), None, CellDual("f", None, 0.0, 0.0)  # type: ignore[arg-type]
        certificate = certify(form, None, *garbage)  # type: ignore[arg-type]
        assert certificate.infeasible == infeasible
        assert check(proof.to_dict(certificate)).accepted


def test_every_kind_of_evidence_is_written() -> None:
    class Strange:
        def bound(self, question: Any) -> float:
            return 9.0

    form = SingleLetter(problem(0, 2, 2, 2), 0.1, math.inf)
    with pytest.raises(TypeError, match="Strange"):
        proof.to_dict(Certificate(form, None, (Strange(),), math.inf, 0.0))  # type: ignore[arg-type]
    assert any(isinstance(one, PosteriorTree) for one in honest()["tree"].evidence)
    assert isinstance(honest()["time-sharing"].formulation, TimeSharing)
