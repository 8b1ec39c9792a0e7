"""Every seeded fault still applies, and the trial of them tells a kill from a survivor."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))  # last, so that an installed drcopt is what is tried

from campaigns import mutants  # noqa: E402
from campaigns.mutants import MUTANTS, Mutant, Result, mutated  # noqa: E402

if not (ROOT / "drcopt").is_dir():
    pytest.skip("the source tree is away", allow_module_level=True)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_applies(mutant: Mutant) -> None:
    text = (ROOT / "drcopt" / mutant.file).read_text(encoding="utf-8")
    assert mutated(mutant, ROOT / "drcopt") != text
    for name in mutants.tests_of(mutant):
        assert (ROOT / name).is_file()


def test_there_are_enough() -> None:
    assert len(MUTANTS) >= 25
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1
    assert sum(mutant.bound for mutant in MUTANTS) >= 20


@pytest.mark.parametrize(("old", "count"), [("import", 0), ("nowhere to be found", 0), ("bits", 2)])
def test_what_is_not_there_once_is_an_error(old: str, count: int, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("bits = 'bits'\n")
    with pytest.raises(ValueError, match=f"is {count} times in a.py and must be there once"):
        mutated(Mutant("m", "a.py", old, ""), tmp_path)


def test_what_is_no_python_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("bits = 1\n")
    with pytest.raises(ValueError, match="would be no Python"):
        mutated(Mutant("m", "a.py", "= 1", "= ="), tmp_path)


def test_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that a test sees, one that none can, one that hangs; the copy is whole again after each."""
    for name in ("drcopt", "tests"):
        (tmp_path / name).mkdir()
    (tmp_path / "drcopt" / "__init__.py").write_text("")
    (tmp_path / "drcopt" / "a.py").write_text("ONE = 1  # one\n")
    (tmp_path / "tests" / "test_a.py").write_text(
        "def test_one():\n    from drcopt.a import ONE\n    assert ONE == 1\n"
    )
    monkeypatch.setattr(mutants, "TESTS", {"a.py": ("a",)})
    seen, unseen, hangs = (
        mutants.trial(Mutant("m", "a.py", old, new), tmp_path, timeout)
        for old, new, timeout in (("= 1", "= 2", 60), ("# one", "# 1", 60), ("= 1", "= __import__('time').sleep(9)", 2))
    )
    assert (seen.killer, seen.killed) == ("test_a.py::test_one", True)
    assert not unseen.killed
    assert hangs.killer == "timeout"
    assert (tmp_path / "drcopt" / "a.py").read_text() == "ONE = 1  # one\n"


@pytest.mark.parametrize(
    ("killed", "survived", "code"),
    [([True] * 20, [], 0), ([True] * 19, [False], 0), ([True] * 18, [False] * 2, 1), ([True] * 99, [True], 1)],
)
def test_judgement(killed: list[bool], survived: list[bool], code: int) -> None:
    """95 % of all must be killed, and each that touches a bound (True)."""
    results = [Result(Mutant("m", "", "", "", bound), "a test", 0.0) for bound in killed]
    results += [Result(Mutant("m", "", "", "", bound), "", 0.0) for bound in survived]
    assert mutants.judged(results) == code
