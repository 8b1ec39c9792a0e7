"""The campaigns run at their smallest sizes, and what they publish is what they found."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("mpmath")

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))  # last, so that an installed drcopt is what is tried

from benchmarks import tables  # noqa: E402
from campaigns import audit, tightness, time_limits  # noqa: E402


def test_tightness(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "rows.csv"
    assert tightness.main(["--n", "13", "--active", "1", "--time-limit", "0.5", "--out", str(out)]) == 0
    rows = pd.read_csv(out)
    assert list(rows["part"]) == ["rate-only"] * 13 + ["active C"]
    assert "\nrate-only       13      13" in capsys.readouterr().out


def test_time_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_a_campaign_is_kept_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme, rows = tmp_path / "README.md", tmp_path / "rows.csv"
    (tmp_path / "results").mkdir()
    readme.write_text("before\n<!-- table: audit -->\n\nold\n\n<!-- /table -->\nbehind\n", encoding="utf-8")
    monkeypatch.setattr(tables, "CAMPAIGNS", tmp_path)
    families = {"family": ["H(S|X)", "b", "b"], "violation": ["", "", "below the truth"]}
    answers = {"accepted": [True, False, True], "status": ["optimal"] * 3, "truth": ["line", "slsqp", "slsqp"]}
    pd.DataFrame(families | answers).to_csv(rows, index=False)
    assert audit.main([str(rows), "--readme"]) == 0
    head, *lines = [line.split(" | ") for line in readme.read_text(encoding="utf-8").splitlines()[3:-3]]
    assert [line[:4] for line in lines[1:]] == [
        ["| H(S\\|X)", "1", "1", "0"], ["| b", "2", "2", "1"], ["| all", "3", "3", "1"],
    ]  # fmt: skip
    assert readme.read_text(encoding="utf-8").endswith("\n\n<!-- /table -->\nbehind\n")
    assert len(head) == len(tables.cells_of("audit", tmp_path)[0]) == 11
