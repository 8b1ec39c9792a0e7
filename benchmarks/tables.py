"""The tables of benchmarks/README.md, made from benchmarks/results/*.csv: ``python -m benchmarks.tables``.

A table stands between ``<!-- table: NAME -->`` and ``<!-- /table -->``; its cells are those of results/NAME.csv, as
they are shown. So a figure is changed there, by hand or by what measured it (:func:`publish`), and nowhere else.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from drcopt.support.files import atomic_write

README = Path(__file__).parent / "README.md"
RESULTS = Path(__file__).parent / "results"
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


def cells_of(name: str) -> Cells:
    """The cells of a result."""
    with open(RESULTS / f"{name}.csv", encoding="utf-8", newline="") as handle:
        return list(csv.reader(handle))


def written(text: str) -> str:
    """The text with every table in it made anew."""
    return MARKED.sub(lambda found: found[1] + found[2] + markdown(cells_of(found[1])), text)


def publish(name: str, cells: Cells) -> None:
    """Keep a result, and put it where it is shown."""
    with atomic_write(RESULTS / f"{name}.csv") as handle:
        csv.writer(handle, lineterminator="\n").writerows(cells)
    main()


def main() -> None:
    """Every table of the README from its file."""
    text = written(README.read_text(encoding="utf-8"))
    with atomic_write(README) as handle:
        handle.write(text)


if __name__ == "__main__":
    main()
