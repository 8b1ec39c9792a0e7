"""The benchmarks run at their smallest sizes, without peers, and their rows say what they should."""

from __future__ import annotations

import math
import subprocess
import sys
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


@pytest.mark.slow
def test_laws(tmp_path: Path) -> None:
    text, rows = run(
        tmp_path, "laws", "--sizes", "6", "--instances", "random", "--points", "3", "--peers", "blahut-arimoto"
    )
    assert "blahut-arimoto" in text
    assert set(rows["status"]) == {"optimal"}
    assert rows["gap"].max() <= 1e-9 and rows["error"].max() <= 3e-9
    assert (rows["violation"] <= 1e-12).all()


def test_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two questions about active budgets, one of which a peer solved, and one both left open."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])
    from benchmarks import profiles, running

    rows = [
        {"instance": name, "solver": solver, "cpu_seconds": seconds, "value": 0.5, "lower_bound": 0.5 - gap, "gap": gap}
        for name, solver, seconds, gap in (
            ("a", "global", 2.0, 1e-7), ("a", "scip", 1.0, 1e-7), ("b", "global", 3.0, 1e-7), ("b", "scip", 5.0, 1e-2),
            ("c", "global", 5.0, 1e-3), ("c", "scip", 5.0, 1e-2),
        )
    ]  # fmt: skip
    same = {"benchmark": "global", "size": "4x4x2", "rate_bits": 1.0, "classification_bits": 0.5, "violation": 0.0}
    table = running.frame([row | same for row in rows])
    took = profiles.seconds(table)
    assert took["global"].tolist() == [2.0, 3.0, math.inf] and took["scip"].tolist() == [1.0, math.inf, math.inf]
    _, *lines = profiles.cells(table)
    assert lines[0] == ["4x4x2 a", "2", "1", "0", "0"]
    assert lines[2] == ["4x4x2 c", "open, 1e-03", "open, 1e-02", "0", "9e-03"]
    profiles.draw(table, str(tmp_path / "profile.svg"))
    assert (tmp_path / "profile.svg").read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.parametrize("folder", ["benchmarks", "campaigns"])
def test_tables(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the folder's README.md shows is what its results/ hold."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])
    from benchmarks import tables

    place = ROOT / folder
    assert place in tables.FOLDERS
    text = (place / "README.md").read_text(encoding="utf-8")
    assert text == tables.written(place), "change the folder's results, then run: python -m benchmarks.tables"
    shown = [found[1] for found in tables.MARKED.finditer(text)]
    assert sorted(shown) == sorted(path.stem for path in (place / "results").glob("*.csv"))
    assert len(shown) == text.count("<!-- table: ") == text.count("<!-- /table -->")
    for name in shown:
        assert len({len(row) for row in tables.cells_of(name, place)}) == 1, f"{name}.csv has rows of several lengths"
