"""The README cannot drift: its blocks run from top to bottom in one folder and one namespace.

```python blocks are doctests if they begin with a prompt, else they run as they are; ```console blocks are
commands and what they print; ```bash blocks install, and .ci/run executes them in a fresh environment.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import drcopt
from drcopt.engines import ENGINES
from drcopt.formulations import CLASSIFIER_SEES, NAMES
from drcopt.solution import STATUSES

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Block:
    line: int
    language: str
    text: str


def blocks() -> Iterator[Block]:
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE):
        yield Block(README[: match.start()].count("\n") + 2, match[1], match[2])


BLOCKS = list(blocks())
RUN = [block for block in BLOCKS if block.language in ("python", "console")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readme")


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    return {"__name__": "readme"}


@pytest.mark.parametrize("block", RUN, ids=lambda block: f"line {block.line}, {block.language}")
def test_block(block: Block, folder: Path, namespace: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    if block.language == "console":
        for command, output in transcript(block):
            found = run(command)
            same = doctest.OutputChecker().check_output(output, found, doctest.ELLIPSIS)
            assert same, f"README line {block.line}, {command} printed:\n{found}\ninstead of:\n{output}"
    elif block.text.startswith(">>> "):
        # Globals are shared, not copied: later blocks use earlier names.
        test = doctest.DocTestParser().get_doctest(block.text, namespace, "README", "README.md", block.line - 1)
        test.globs = namespace
        printed: list[str] = []
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        runner.run(test, out=printed.append, clear_globs=False)
        assert runner.summarize(verbose=False).failed == 0, "".join(printed)
    else:
        exec(compile("\n" * (block.line - 1) + block.text, "README.md", "exec"), namespace)


def transcript(block: Block) -> Iterator[tuple[str, str]]:
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def run(command: str) -> str:
    """What a command prints, stdout before stderr."""
    program, *arguments = shlex.split(command)
    assert program == "drcopt", command
    # The package under test, wherever it is, and as a shell would run it.
    environment = {**os.environ, "PYTHONPATH": str(Path(drcopt.__file__).parents[1])}
    environment.pop("DRCOPT_DEBUG", None)
    done = subprocess.run(
        [sys.executable, "-m", program, *arguments], capture_output=True, text=True, env=environment, timeout=300
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def test_every_block_is_of_a_kind_that_is_executed() -> None:
    assert {block.language for block in BLOCKS} == {"python", "console", "bash"}
    assert len(RUN) >= 6


def test_there_are_two_commands_and_ci_runs_them() -> None:
    (install,) = (block for block in BLOCKS if block.language == "bash")
    sweep, tests = install.text.splitlines()
    assert re.search(r"pip install '\.\[images\]' && drcopt sweep digits:super-resolution --out digits\.csv$", sweep)
    assert re.search(r"pip install '\.\[test\]' && pytest -n 2$", tests)
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, header and rule left out."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def test_engine_table_is_the_registry() -> None:
    found = {row[0].strip("`"): (row[1], row[2]) for row in rows("Which engine")}
    assert found == {
        name: (", ".join(kind.formulations), "yes" if kind.active_classification else "no")
        for name, kind in ENGINES.items()
    }


def test_formulation_table_is_complete() -> None:
    table = rows("Which formulation")
    assert [row[0].split("`")[1] for row in table] == list(NAMES)
    assert all(f'"{sees}"' in table[-1][3] for sees in CLASSIFIER_SEES)


def test_status_table_is_complete() -> None:
    assert [row[0].strip("`") for row in rows("What a certificate means")] == list(STATUSES)


def test_links_lead_somewhere() -> None:
    anchors = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.*)", README, re.M)
    }
    for target in re.findall(r"\]\(([^)\s]+)\)", README):
        if target.startswith("#"):
            assert target[1:] in anchors
        elif ":" not in target:
            assert (ROOT / target).exists(), target


def test_extras_are_those_of_the_package() -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    listed = re.search(r"Extras: (.*?)\n\n", README, re.DOTALL)
    assert listed
    named = set(re.findall(r"`(\w+)`", listed[1]))
    assert named <= set(known)
    assert set(re.findall(r"pip install '\.\[(\w+)\]'", README)) <= named
