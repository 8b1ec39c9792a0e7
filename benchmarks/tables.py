"""The tables of a folder's README.md, made from its results/*.csv: ``python -m benchmarks.tables``.

A table stands between ``<!-- table: NAME -->`` and ``<!-- /table -->``; its cells are those of results/NAME.csv, as
they are shown. So a figure is changed there, by hand or by what measured it (:func:`publish`), and nowhere else.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from drcopt.support.files import atomic_write

#: The folders whose README.md shows what their results/ hold.
BENCHMARKS, CAMPAIGNS = FOLDERS = tuple(Path(__file__).parents[1] / name for name in ("benchmarks", "campaigns"))
MARKED = re.compile(r"(?<=<!-- table: )(\S+)( -->\n\n).*?(?=\n<!-- /table -->)", re.DOTALL)

Cells = Sequence[Sequence[str]]


def markdown(cells: Cells) -> str:
    """A table whose first row is its head.

    >>> print(markdown([["size", "H(S|Y)"], ["3x3", "0.5"]]), end="")
    | size | H(S\\|Y) |
    |---|---|
    | 3x3 | 0.5 |
    """
    lines = ["".join("| " + (f"{cell} ".replace("|", r"\|") if cell else "") for cell in row) + "|\n" for row in cells]
    lines.insert(1, "|---" * len(cells[0]) + "|\n")
    return "".join(lines)


def cells_of(name: str, folder: Path) -> Cells:
    """The cells of a result."""
    with open(folder / "results" / f"{name}.csv", encoding="utf-8", newline="") as handle:
        return list(csv.reader(handle))


def written(folder: Path) -> str:
    """The folder's README with every table in it made anew."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    return MARKED.sub(lambda found: found[1] + found[2] + markdown(cells_of(found[1], folder)), text)


def publish(name: str, cells: Cells, folder: Path) -> None:
    """Keep a result, and put it where it is shown."""
    with atomic_write(folder / "results" / f"{name}.csv") as handle:
        csv.writer(handle, lineterminator="\n").writerows(cells)
    write(folder)


def write(folder: Path) -> None:
    """Every table of the folder's README from its file."""
    text = written(folder)
    with atomic_write(folder / "README.md") as handle:
        handle.write(text)


if __name__ == "__main__":
    for _folder in FOLDERS:
        write(_folder)
