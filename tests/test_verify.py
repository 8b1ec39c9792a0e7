"""``verify="interval"``: what the independent checker proves is reported, and what it rejects does not stand."""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeSession, without_seconds
from pandas.testing import assert_frame_equal

import drcopt
from drcopt import tables
from drcopt.bounds import DataProcessing
from drcopt.certify.certificate import Certificate
from drcopt.cli import main
from drcopt.errors import CheckpointError, InfeasibleError, InputError, MissingExtraError, NotSolvedError

pytest.importorskip("flint")

solving = importlib.import_module("drcopt.session")
sweeping = importlib.import_module("drcopt.sweep")
BERNOULLI = drcopt.sources.bernoulli()
INTERVAL: dict[str, Any] = {"verify": "interval"}


def solve(**settings: Any) -> drcopt.Solution:
    return drcopt.solve(BERNOULLI, **{"R": 0.6, "C": 0.85, **INTERVAL, **settings})


def corrupted(monkeypatch: pytest.MonkeyPatch, change: Callable[[Certificate], Certificate]) -> None:
    """Has the package believe certificates that are not true."""
    real = solving.certify
    monkeypatch.setattr(solving, "certify", lambda *args, **more: change(real(*args, **more)))


def too_good(certificate: Certificate) -> Certificate:
    return replace(certificate, lower=certificate.lower + 1e-9)


def not_infeasible(certificate: Certificate) -> Certificate:
    return replace(certificate, parts=None, evidence=(DataProcessing(),), lower=math.inf)


class TestSolve:
    @pytest.mark.parametrize(
        "settings",
        [
            {},
            {"C": None},
            {"R": 0.0, "C": None},
            {"R": None, "C": None},
            {"R": 0.7, "C": 0.8, "formulation": "time-sharing"},
            {"R": 0.7, "C": 0.8, "formulation": "one-shot"},
            {"R": 0.7, "C": 0.8, "formulation": "one-shot", "classifier_sees": "YU"},
        ],
        ids=str,
    )
    def test_is_proved(self, settings: dict[str, Any]) -> None:
        solution = solve(**settings)
        assert solution.verified is True
        assert solution.status == "optimal"
        assert solution.proved_lower_bound <= solution.proved_distortion
        assert solution.proved_lower_bound == pytest.approx(solution.lower_bound, abs=1e-12)
        assert solution.proved_distortion == pytest.approx(solution.distortion, abs=1e-12)
        verdict = drcopt.checker.check(drcopt.certify.proof.to_dict(solution.certificate))
        assert (verdict.lower, verdict.upper) == (solution.proved_lower_bound, solution.proved_distortion)

    def test_changes_nothing_else(self) -> None:
        asked, plain = solve(), solve(verify=None)
        for name in ("status", "termination", "distortion", "lower_bound", "gap", "rate", "classification_loss"):
            assert getattr(asked, name) == getattr(plain, name)
        assert (asked.coupling == plain.coupling).all()

    def test_is_not_done_unasked(self) -> None:
        solution = drcopt.solve(BERNOULLI, R=0.6)
        assert solution.verified is None
        assert math.isnan(solution.proved_lower_bound) and math.isnan(solution.proved_distortion)
        assert "verified" not in solution._repr_html_()
        assert "verified" in solve()._repr_html_()

    def test_takes_arrays(self) -> None:
        solution = drcopt.solve_drc([0.5, 0.5], [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], 0.5, None, verify="interval")
        assert solution.verified

    def test_infeasible_is_proved(self) -> None:
        solution = solve(R=0.2, C=0.8, on_failure="return")
        assert (solution.status, solution.verified) == ("infeasible", True)
        assert solution.proved_lower_bound == solution.proved_distortion == math.inf
        with pytest.raises(InfeasibleError):
            solve(R=0.2, C=0.8)

    def test_a_bound_without_a_point_is_proved(self, monkeypatch: pytest.MonkeyPatch) -> None:
        corrupted(monkeypatch, lambda c: replace(c, parts=None, upper=math.inf, spent=None))
        solution = solve(on_failure="return")
        assert (solution.status, solution.verified) == ("unknown", True)
        assert 0 < solution.proved_lower_bound < solution.proved_distortion == math.inf

    @pytest.mark.parametrize("units", ["bits", "nats"])
    def test_least_loss(self, units: str) -> None:
        edge = drcopt.min_classification_loss(BERNOULLI, R=0.35, units=units, verify="interval")
        assert edge.verified
        assert edge.proved_lower_bound == pytest.approx(edge.lower_bound, abs=1e-11)
        lower, _ = drcopt.certify.proof.interval(edge.certificate)
        assert edge.proved_lower_bound * (math.log(2) if units == "bits" else 1) <= lower
        assert math.isnan(edge.proved_distortion)

    def test_seconds_cover_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        plain = replace(solve(verify=None), seconds=5.0)
        clock = iter([10.0, 12.0])
        monkeypatch.setattr("time.monotonic", lambda: next(clock))
        assert drcopt.certify.verify.verified(plain).seconds == 7.0


class TestRejected:
    def test_optimal_becomes_feasible(self, monkeypatch: pytest.MonkeyPatch) -> None:
        corrupted(monkeypatch, too_good)
        assert solve(verify=None).status == "optimal"
        solution = solve()
        assert (solution.status, solution.verified) == ("feasible", False)
        assert solution.termination.startswith("Newton's method converged; not verified: the lower bound claimed is")
        assert solution.proved_lower_bound <= solution.proved_distortion < solution.lower_bound

    def test_infeasible_becomes_unknown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        corrupted(monkeypatch, not_infeasible)
        assert solve(verify=None, on_failure="return").status == "infeasible"
        solution = solve(on_failure="return")
        assert (solution.status, solution.verified) == ("unknown", False)
        assert solution.lower_bound == solution.proved_lower_bound == -math.inf
        assert math.isnan(solution.distortion) and math.isnan(solution.gap)
        with pytest.raises(NotSolvedError, match="not verified: the least value proved does not exceed its budget"):
            solve()

    def test_a_point_off_its_budget(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """P = I would be optimal without a classification budget that it misses; the checker repairs rates only."""
        corrupted(monkeypatch, lambda c: replace(c, formulation=replace(c.formulation, classification_budget=0.5)))
        solution = solve(R=None, C=None)
        assert (solution.status, solution.verified) == ("feasible", False)
        assert "not proved to meet the budgets" in solution.termination
        assert solution.proved_distortion == math.inf

    def test_evidence_that_nobody_can_write(self, monkeypatch: pytest.MonkeyPatch) -> None:
        corrupted(monkeypatch, lambda c: replace(c, evidence=(object(),)))  # type: ignore[arg-type]
        solution = solve()
        assert (solution.status, solution.verified) == ("feasible", False)
        assert "not verified: the lower bound claimed is better by" in solution.termination
        assert solution.proved_lower_bound == 0.0

    def test_an_edge_is_demoted_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        corrupted(monkeypatch, too_good)
        edge = drcopt.min_classification_loss(BERNOULLI, R=0.0, verify="interval")
        assert (edge.status, edge.verified) == ("feasible", False)


class TestAsked:
    @pytest.mark.parametrize("call", [solve, lambda **s: sweeping.sweep(BERNOULLI, R=[0.1], **s)])
    @pytest.mark.parametrize("value", ["intervals", True, 1, "", ["interval"]])
    def test_for_something_else(self, call: Callable[..., Any], value: Any) -> None:
        with pytest.raises(InputError, match=r"verify must be None or 'interval'; it is .*\. Pass one of them\."):
            call(verify=value)

    @pytest.mark.parametrize(
        "call",
        [
            solve,
            lambda **s: sweeping.sweep(BERNOULLI, R=[0.1], **s),
            lambda **s: drcopt.min_classification_loss(BERNOULLI, **s),
        ],
    )
    def test_without_the_extra(self, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "flint", None)
        monkeypatch.setattr(solving.Session, "_answer", None)  # refused before anything is solved
        message = r"verify='interval' needs python-flint, which is not installed\. Run: pip install 'drcopt\[proof\]'"
        with pytest.raises(MissingExtraError, match=message):
            call(verify="interval")


BUDGETS: dict[str, Any] = {"R": [0.2, 0.6, None], "C": [0.8, None]}


class TestSweep:
    def test_adds_columns(self, tmp_path: Path) -> None:
        table = drcopt.sweep(BERNOULLI, **BUDGETS, verify="interval")
        assert tuple(table.columns) == tables.VERIFIED_COLUMNS
        assert tables.VERIFIED_COLUMNS[: len(tables.COLUMNS)] == tables.COLUMNS
        assert (table["verified"] == "yes").all()
        assert set(table["status"]) == {"optimal", "infeasible"}
        assert (table["proved_lower_bound"] <= table["proved_distortion"]).all()
        plain = drcopt.sweep(BERNOULLI, **BUDGETS)
        assert tuple(plain.columns) == tables.COLUMNS
        assert without_seconds(table[list(plain.columns)]) == without_seconds(plain)
        for suffix in (".csv", ".parquet"):
            path = tables.write_table(table, tmp_path / f"table{suffix}")
            assert_frame_equal(tables.read_table(path), table, check_exact=True)

    def test_table_without_one_of_them(self, tmp_path: Path) -> None:
        table = drcopt.sweep(BERNOULLI, R=0.6, verify="interval").drop(columns="verified")
        with pytest.raises(InputError, match="it lacks verified"):
            tables.write_table(table, tmp_path / "table.csv")

    def test_resumes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "rows.jsonl"
        whole = drcopt.sweep(BERNOULLI, **BUDGETS, verify="interval", checkpoint=path)
        lines = path.read_bytes().splitlines(keepends=True)
        for kept in range(1, len(lines)):
            path.write_bytes(b"".join(lines[:kept]) + lines[kept][:9])
            again = drcopt.sweep(BERNOULLI, **BUDGETS, verify="interval", checkpoint=path)
            assert without_seconds(again) == without_seconds(whole)
        monkeypatch.setattr(solving.Session, "solve", None)  # all there: nothing is computed again
        assert drcopt.sweep(BERNOULLI, **BUDGETS, verify="interval", checkpoint=path).equals(again)

    @pytest.mark.parametrize("first", [None, "interval"])
    def test_a_checkpoint_of_the_other_kind_is_refused(
        self, first: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sweeping, "Session", FakeSession)
        second = None if first else "interval"
        sweeping.sweep(BERNOULLI, **BUDGETS, verify=first, checkpoint=tmp_path / "rows")
        with pytest.raises(CheckpointError, match=f"verify is {first!r} there and {second!r} here"):
            sweeping.sweep(BERNOULLI, **BUDGETS, verify=second, checkpoint=tmp_path / "rows")

    def test_a_row_that_failed_is_not_verified(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sweeping, "Session", FakeSession)
        table = sweeping.sweep(BERNOULLI, R=[0.1, 0.5], verify="interval", engine="raises")
        assert table["verified"].tolist() == ["yes", "no"]
        assert table["proved_lower_bound"].iloc[1] == -math.inf
        assert table["proved_distortion"].iloc[1] == math.inf

    def test_a_rejected_row_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        corrupted(monkeypatch, too_good)
        table = drcopt.sweep(BERNOULLI, R=[0.2, 0.6], verify="interval")
        assert table["status"].tolist() == ["feasible"] * 2
        assert table["verified"].tolist() == ["no"] * 2
        assert table["termination"].str.contains("not verified: ").all()

    def test_ctrl_c_still_stops_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = solving.Session.ask

        def interrupted(self: Any, *args: Any, **settings: Any) -> drcopt.Solution:
            solution = real(self, *args, **settings)
            return replace(solution, termination="interrupted; not verified: it was too good")

        monkeypatch.setattr(solving.Session, "ask", interrupted)
        with pytest.raises(KeyboardInterrupt):
            drcopt.sweep(BERNOULLI, R=[0.2], verify="interval")


class TestCommand:
    def test_solve(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["solve", "bernoulli", "--R", "0.6", "--C", "0.85", "--verify", "interval"]) == 0
        line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("verified"))
        low, high = (float(end) for end in line.split("[")[1].rstrip("]").split(", "))
        solution = solve()
        assert (low, high) == (solution.proved_lower_bound, solution.proved_distortion)

    def test_of_a_rate_one_end_is_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        asked = ["--minimize", "rate", "--D", "0.1", "--C", "0.85", "--verify", "interval"]
        assert main(["solve", "bernoulli", *asked]) == 0
        said = capsys.readouterr().out
        assert "yes: the optimum is at least 0.41229" in said and "nan" not in said

    def test_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        for verify in ([], ["--verify", "interval"]):
            assert main(["solve", "bernoulli", "--R", "0.6", "--json", *verify]) == 0
            fields = json.loads(capsys.readouterr().out)
            if not verify:
                assert not set(fields).intersection(tables.VERIFIED_MEANINGS)
        assert fields["verified"] == "yes"
        assert fields["proved_lower_bound"] <= fields["proved_distortion"]

    def test_rejected(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        corrupted(monkeypatch, too_good)
        assert main(["solve", "bernoulli", "--R", "0.6", "--verify", "interval"]) == 1
        out, err = capsys.readouterr()
        assert "\nverified                   no\n" in out
        assert err.startswith("drcopt: error: Newton's method converged; not verified: the lower bound claimed")
        assert main(["sweep", "bernoulli", "--R", "0.2,0.6", "--C", "inf", "--jobs", "1", "--verify", "interval"]) == 1
        out, err = capsys.readouterr()
        assert out.count(",feasible,") == 2
        assert "2 of the 2 rows not verified; the first: Newton's method converged; not verified: " in err

    def test_sweep(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        path = tmp_path / "table.csv"
        command = ["sweep", "bernoulli", "--R", "0.2,0.6", "--C", "inf", "--jobs", "1", "--out", str(path)]
        assert main([*command, "--verify", "interval"]) == 0
        table = tables.read_table(path)
        assert tuple(table.columns) == tables.VERIFIED_COLUMNS
        assert np.array_equal(table["verified"], ["yes", "yes"])

    @pytest.mark.parametrize("command", ["solve", "sweep"])
    def test_mistakes(self, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        assert main([command, "bernoulli", "--verify", "balls"]) == 2
        assert "'balls' is not 'interval'" in capsys.readouterr().err
        monkeypatch.setitem(sys.modules, "flint", None)
        assert main([command, "bernoulli", "--verify", "interval"]) == 2
        assert capsys.readouterr().err.startswith("drcopt: error: verify='interval' needs python-flint")
