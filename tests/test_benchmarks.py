"""The benchmarks run at their smallest sizes, without peers, and their rows say what they should."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
#: Last on the path, so that an installed drcopt is what is measured.
RUN = "import runpy, sys; sys.path.append({!r}); runpy.run_module('benchmarks', run_name='__main__', alter_sys=True)"


def run(folder: Path, *arguments: str) -> tuple[str, pd.DataFrame]:
    command = [sys.executable, "-c", RUN.format(str(ROOT)), *arguments, "--out", "rows.csv"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout, pd.read_csv(folder / "rows.csv")


def test_rates(tmp_path: Path) -> None:
    text, rows = run(tmp_path, "rates", "--sizes", "8", "--instances", "grid", "random", "--points", "6")
    assert "kernel evals" in text
    assert "1 BLAS thread(s)" in text
    assert set(rows["status"]) == {"optimal"}
    assert rows["gap"].max() <= 1e-9
    for _, curve in rows[rows["part"] == "curve"].groupby("instance"):
        assert len(curve) == 5
        assert curve["value"].is_monotonic_decreasing
    assert (rows["violation"] <= 1e-9).all()


def test_global(tmp_path: Path) -> None:
    _, rows = run(tmp_path, "global", "--sizes", "4x4x2", "--cap", "2")
    assert len(rows) == 4
    assert set(rows["status"]) <= {"optimal", "feasible"}
    assert (rows["lower_bound"] <= rows["value"]).all()


@pytest.mark.parametrize("sees", ["YU", pytest.param("Y", marks=pytest.mark.slow)])
def test_one_shot(tmp_path: Path, sees: str) -> None:
    pytest.importorskip("drcopt.engines.one_shot")
    _, rows = run(tmp_path, "one-shot", "--sizes", "3x3", "--sees", sees, "--cap", "2")
    assert len(rows) == 2
    assert (rows["lower_bound"] <= rows["value"]).all()


def test_tightness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])
    from benchmarks import tightness

    out = tmp_path / "rows.csv"
    assert tightness.main(["--n", "13", "--active", "1", "--time-limit", "0.5", "--out", str(out)]) == 0
    rows = pd.read_csv(out)
    assert list(rows["part"]) == ["rate-only"] * 13 + ["active C"]
    assert "\nrate-only       13      13" in capsys.readouterr().out


def test_time_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])
    from benchmarks import time_limits

    out = tmp_path / "rows.csv"
    monkeypatch.setattr(
        time_limits, "QUESTIONS", [("single-letter", 5, 5, 3), ("edge", 4, 4, 2), ("validate", 0, 0, 0)]
    )
    with monkeypatch.context() as patch:  # main puts the processor's clock in its place
        patch.setattr("drcopt.support.clock.now", time.process_time)
        time_limits.main(["--n", "3", "--limit", "0.2", "--no-check", "--out", str(out)])
    rows = pd.read_csv(out)
    assert rows["valid"].all()
    assert list(rows["kind"]) == ["single-letter", "edge", "validate"]
    assert "not valid" in capsys.readouterr().out


@pytest.mark.slow
def test_laws(tmp_path: Path) -> None:
    text, rows = run(
        tmp_path, "laws", "--sizes", "6", "--instances", "random", "--points", "3", "--peers", "blahut-arimoto"
    )
    assert "blahut-arimoto" in text
    assert set(rows["status"]) == {"optimal"}
    assert rows["gap"].max() <= 1e-9 and rows["error"].max() <= 3e-9
    assert (rows["violation"] <= 1e-12).all()


class TestTables:
    """What benchmarks/README.md shows is what benchmarks/results holds."""

    @pytest.fixture(autouse=True)
    def path(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])

    def test_agree(self) -> None:
        from benchmarks import tables

        text = tables.README.read_text(encoding="utf-8")
        assert text == tables.written(text), "change benchmarks/results, then run: python -m benchmarks.tables"
        shown = [found[1] for found in tables.MARKED.finditer(text)]
        assert sorted(shown) == sorted(path.stem for path in tables.RESULTS.glob("*.csv"))
        assert len(shown) == text.count("<!-- table: ") == text.count("<!-- /table -->")
        for name in shown:
            assert len({len(row) for row in tables.cells_of(name)}) == 1, f"{name}.csv has rows of several lengths"

    def test_a_campaign_is_kept_and_shown(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from benchmarks import audit, tables

        readme, rows = tmp_path / "README.md", tmp_path / "rows.csv"
        readme.write_text("before\n<!-- table: audit -->\n\nold\n\n<!-- /table -->\nbehind\n", encoding="utf-8")
        monkeypatch.setattr(tables, "README", readme)
        monkeypatch.setattr(tables, "RESULTS", tmp_path)
        families = {"family": ["H(S|X)", "b", "b"], "violation": ["", "", "below the truth"]}
        answers = {"accepted": [True, False, True], "status": ["optimal"] * 3, "truth": ["line", "slsqp", "slsqp"]}
        pd.DataFrame(families | answers).to_csv(rows, index=False)
        assert audit.main([str(rows), "--readme"]) == 0
        head, *lines = [line.split(" | ") for line in readme.read_text(encoding="utf-8").splitlines()[3:-3]]
        assert [line[:4] for line in lines[1:]] == [
            ["| H(S\\|X)", "1", "1", "0"], ["| b", "2", "2", "1"], ["| all", "3", "3", "1"],
        ]  # fmt: skip
        assert readme.read_text(encoding="utf-8").endswith("\n\n<!-- /table -->\nbehind\n")
        assert len(head) == len(tables.cells_of("audit")[0]) == 11
