"""The commands ``drcopt plot`` and ``drcopt export``: tables to pictures, LaTeX, pgfplots and long form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drcopt import words
from drcopt.cli.options import force, refuse_existing
from drcopt.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_tables = click.argument("tables", nargs=-1, required=True, metavar="TABLE...", type=click.Path(path_type=Path))


@click.command()
@_tables
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="The .png, .svg or .pdf to write.")
@click.option("--kind", type=click.Choice(words.PICTURES), default="auto", show_default=True)
@click.option("--x", "x", type=click.Choice(words.BUDGETS), help="Horizontal axis of curves.  [default: R, or D or C]")
@click.option(
    "--points", type=click.Path(path_type=Path), help="A CSV with columns rate, distortion, loss, accuracy, name."
)
@click.option("--edge", type=click.Path(path_type=Path), help="What 'drcopt edge --out' wrote.")
@click.option("--title", default=None, help="Above the picture.")
@click.option("--size", default=None, help="Width and height in inches, such as 3.4x2.6.")
@click.option("--style", default=None, help="A style of matplotlib, such as dark_background.")
@force
def plot(
    tables: tuple[Path, ...],
    out: Path,
    kind: Any,
    x: str | None,
    points: Path | None,
    edge: Path | None,
    title: str | None,
    size: str | None,
    style: str | None,
    force: bool,
) -> None:
    """Draw sweep tables: distortion against a budget, or over both.

    TABLE is a .csv or .parquet file that `drcopt sweep` wrote; several are drawn on the same axes, such as one for
    each formulation. Tables over at least 4 rates and 4 classification budgets become a surface, others curves.

    \b
    Examples:
      drcopt plot table.csv -o curve.png
      drcopt plot table.csv -o column.pdf --size 3.4x2.6 --points codec.csv
      drcopt plot table.csv -o surface.svg --kind 3d
    """
    from drcopt import plotting
    from drcopt.support import check

    plotting.check_destination(out)
    refuse_existing(force, out)
    options: dict[str, Any] = {} if x is None else {"x": x}
    options |= {name: read_csv(path) for name, path in (("points", points), ("edge", edge)) if path is not None}
    if size is not None:
        options["size"] = _size(size)
    table = _read(tables)
    styles = check.require("matplotlib.style", "plot", "Plotting")
    if style is not None and style not in styles.available:
        raise InputError(f"--style must be a style of matplotlib; it is {style!r}. Pass e.g. dark_background.")
    with styles.context(style or {}):
        plotting.save(plotting.plot(table, kind, title=title, **options), out)
    click.echo(f"drcopt: wrote {out}", err=True)


@click.command()
@_tables
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="A .tex, .tikz or (long form) .csv file."
)
@click.option("--x", "x", type=click.Choice(words.BUDGETS), help="Of curves in .tikz.  [default: R, or D or C]")
@force
def export(tables: tuple[Path, ...], out: Path, x: Any, force: bool) -> None:
    """Turn sweep tables into LaTeX (booktabs), a pgfplots picture, or long form.

    \b
    Examples:
      drcopt export table.csv -o table.tex
      drcopt export table.csv -o curve.tikz
      drcopt export table.csv -o long.csv
    """
    from drcopt.export import write

    if out.resolve() in {path.resolve() for path in tables}:
        raise InputError(f"--out must not be a table that is read; {out} is. Choose another name.")
    refuse_existing(force, out)
    write(_read(tables), out, x=x)
    click.echo(f"drcopt: wrote {out}", err=True)


def _read(paths: tuple[Path, ...]) -> pd.DataFrame:
    import pandas as pd

    from drcopt.tables import read_table

    return pd.concat([read_table(path) for path in paths], ignore_index=True)


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV file of points."""
    import pandas as pd

    try:
        return pd.read_csv(path, encoding="utf-8-sig")
    except (OSError, ValueError) as reason:
        said = getattr(reason, "strerror", None) or " ".join(str(reason).split())
        raise InputError(f"{path} must be a CSV file; it could not be read ({said}). Correct it there.") from None


def _size(text: str) -> tuple[float, float]:
    try:
        width, height = (float(part) for part in text.lower().split("x"))
    except ValueError:
        width = height = 0.0
    if not (0.5 <= width <= 100 and 0.5 <= height <= 100):
        raise InputError(f"--size must read WIDTHxHEIGHT in inches; it is {text!r}. Write e.g. 3.4x2.6.")
    return width, height
