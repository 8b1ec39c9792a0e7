"""The recipes of docs/contributing hold: each is followed on a copy of the package, and its example runs there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import drcopt

RECIPES = sorted((Path(__file__).resolve().parents[1] / "docs" / "contributing").glob("add-*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_there_are_recipes() -> None:
    assert len(RECIPES) >= 6


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe(path: Path, tmp_path: Path) -> None:
    shutil.copytree(
        Path(drcopt.__file__).parent, tmp_path / "drcopt", ignore=shutil.ignore_patterns("__pycache__", "neural")
    )
    examples = []
    for language, text in BLOCK.findall(path.read_text(encoding="utf-8")):
        if language == "diff":
            edit(tmp_path, text)
        elif text.startswith(">>> "):
            examples.append(text)
        else:
            name = re.match(r"# (drcopt/\S+\.py)\n", text)
            assert name, f"{path.name}: a file must begin with its name in a comment; this begins {text[:60]!r}"
            (tmp_path / name[1]).write_text(text[name.end() :], encoding="utf-8")
    assert examples, f"{path.name} has no example"
    (tmp_path / "example.txt").write_text("\n".join(examples), encoding="utf-8")
    run = "import doctest, sys; sys.exit(doctest.testfile('example.txt', False, optionflags=doctest.ELLIPSIS).failed)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", run],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_files_that_a_recipe_names_are_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    own = {name[1] for _, block in BLOCK.findall(text) if (name := re.match(r"# (drcopt/\S+\.py)\n", block))}
    for name in {*re.findall(r"`(drcopt/\S+?\.py)`", text)} - own:
        assert (Path(drcopt.__file__).parents[1] / name).is_file(), name


def edit(folder: Path, text: str) -> None:
    """One change below the file's name: a line of context and lines to add before or behind it, or words to replace."""
    head, *lines = text.splitlines()
    target = folder / head.removeprefix("--- ")
    source = target.read_text(encoding="utf-8")
    (old,) = (line[1:] for line in lines if not line.startswith("+"))
    added = "\n".join(line[1:] for line in lines if line.startswith("+"))
    assert source.count(old) >= 1, f"{target.name} has no line {old!r}"
    start = source.index(old)
    if not lines[0].startswith("-"):
        old = ""
        added += "\n"
        start = source.rindex("\n", 0, start) + 1 if lines[0].startswith("+") else source.index("\n", start) + 1
    target.write_text(source[:start] + added + source[start + len(old) :], encoding="utf-8")
