"""Every notebook runs from top to bottom, quickly, and checks what it shows."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path
from typing import Any

import pytest

import drcopt

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
#: Seconds a cell may take before the notebook counts as stuck: each takes about a minute in all where nothing
#: else runs, and a busy machine must not fail it.
LIMIT = 300.0

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return cells


def code(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in read(path) if cell["cell_type"] == "code"]


def test_there_are_notebooks_and_the_list_names_them() -> None:
    listed = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert len(NOTEBOOKS) >= 6
    assert [path.name for path in NOTEBOOKS if f"({path.name})" not in listed] == []


@each
def test_cells_assert(path: Path) -> None:
    # A line that begins with % is for IPython, not Python.
    sources = ["".join(line for line in cell["source"] if not line.startswith("%")) for cell in code(path)]
    asserting = [any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(source))) for source in sources]
    assert sum(asserting) >= 3


@each
def test_stored_without_outputs(path: Path) -> None:
    assert [cell for cell in code(path) if cell["outputs"] or cell["execution_count"] is not None] == []
    assert path.stat().st_size < 200_000
    assert read(path)[0]["source"][0].startswith("# ")


@pytest.mark.slow
@each
# The client's libraries warn of their own deprecations.
@pytest.mark.filterwarnings("default")
def test_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "neural" in path.read_text(encoding="utf-8"):
        pytest.importorskip("torch", reason="the extra neural is not installed")
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    # The package under test, wherever it is; one BLAS thread, as the matrices are small.
    paths = [str(Path(drcopt.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    book = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        book, timeout=LIMIT, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()  # raises what a cell raises

    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "error"] == []
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert list(tmp_path.iterdir()) == []  # nothing is left behind
