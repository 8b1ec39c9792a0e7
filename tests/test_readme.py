"""The README and the guide cannot drift: their blocks run from top to bottom, each page in a folder and a namespace.

```python blocks are doctests if they begin with a prompt, else they run as they are; ```console blocks are
commands and what they print; ```bash blocks install, and .ci/run executes them in a fresh environment.
"""

from __future__ import annotations

import doctest
import io
import re
import shlex
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from drcopt import cli
from drcopt.engines import ENGINES
from drcopt.formulations import CLASSIFIER_SEES, NAMES
from drcopt.solution import STATUSES

ROOT = Path(__file__).resolve().parents[1]
PAGES = {path.stem: path for path in (ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md")))}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items()}
README = TEXTS["README"]


@dataclass(frozen=True)
class Block:
    line: int
    language: str
    text: str


def blocks(text: str) -> Iterator[Block]:
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        yield Block(text[: match.start()].count("\n") + 2, match[1], match[2])


BLOCKS = list(blocks(README))
#: What runs of each page, in order; a block in braces is the site's.
RUN = {name: [b for b in blocks(text) if b.language in ("python", "console")] for name, text in TEXTS.items()}


@pytest.mark.parametrize("page", [name for name, found in RUN.items() if found])
def test_page(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "readme"}
    for block in RUN[page]:
        execute(block, page, namespace)


def execute(block: Block, page: str, namespace: dict[str, Any]) -> None:
    where = f"{PAGES[page].name} line {block.line}"
    if block.language == "console":
        for command, output in transcript(block):
            found = run(command)
            same = doctest.OutputChecker().check_output(output, found, doctest.ELLIPSIS)
            assert same, f"{where}, {command} printed:\n{found}\ninstead of:\n{output}"
    elif block.text.startswith(">>> "):
        # Globals are shared, not copied: later blocks use earlier names.
        test = doctest.DocTestParser().get_doctest(block.text, namespace, page, str(PAGES[page]), block.line - 1)
        test.globs = namespace
        printed: list[str] = []
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        runner.run(test, out=printed.append, clear_globs=False)
        assert runner.summarize(verbose=False).failed == 0, "".join(printed)
    else:
        exec(compile("\n" * (block.line - 1) + block.text, PAGES[page].name, "exec"), namespace)


def transcript(block: Block) -> Iterator[tuple[str, str]]:
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def run(command: str) -> str:
    """What a command prints, stdout before stderr. Not in a process of its own, which takes a second to begin."""
    program, *arguments = shlex.split(command)
    assert program == "drcopt", command
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.delenv("DRCOPT_DEBUG", raising=False)
        cli.main(arguments)
    assert "Traceback" not in err.getvalue(), err.getvalue()
    return out.getvalue() + err.getvalue()


def test_every_block_is_of_a_kind_that_is_executed() -> None:
    assert {block.language for block in BLOCKS} <= {"python", "console", "bash"}
    assert {block.language for text in TEXTS.values() for block in blocks(text)} <= {"python", "console", "bash"}
    assert sum(map(len, RUN.values())) >= 12


def test_there_are_two_commands_and_ci_runs_them() -> None:
    (install,) = (block for block in BLOCKS if block.language == "bash")
    sweep, tests = install.text.splitlines()
    assert re.search(r"pip install '\.\[images\]' && drcopt sweep digits:super-resolution --out digits\.csv$", sweep)
    assert re.search(r"pip install '\.\[test\]' && pytest -n 2$", tests)
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the table under a heading, header and rule left out."""
    section = re.split(rf"^#+ {heading}\n", TEXTS[page], flags=re.MULTILINE)[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def test_engine_table_is_the_registry() -> None:
    found = {row[0].strip("`"): (row[1], row[2]) for row in rows("choices", "Which engine")}
    assert found == {
        name: (", ".join(kind.formulations), "yes" if kind.active_classification else "no")
        for name, kind in ENGINES.items()
    }


def test_formulation_table_is_complete() -> None:
    table = rows("choices", "Which formulation")
    assert [row[0].split("`")[1] for row in table] == list(NAMES)
    assert all(f'"{sees}"' in table[-1][3] for sees in CLASSIFIER_SEES)


def test_status_table_is_complete() -> None:
    assert [row[0].strip("`") for row in rows("certificates", "What a certificate means")] == list(STATUSES)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    headings = re.findall(r"^#+ (.*)", TEXTS[page], re.M)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page]):
        # Notebooks are copied into the site when it is built.
        path = PAGES[page].parent / target.replace("../_generated/", "../../")
        if target.startswith("#"):
            assert target[1:] in anchors
        elif ":" not in target:
            assert path.exists(), target


def test_extras_are_those_of_the_package() -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    listed = re.search(r"Extras: (.*?)\n\n", README, re.DOTALL)
    assert listed
    named = set(re.findall(r"`(\w+)`", listed[1]))
    assert named <= set(known)
    assert set(re.findall(r"pip install '\.\[(\w+)\]'", README)) <= named
