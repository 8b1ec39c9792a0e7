"""The command ``drcopt explore``: a table, a surface or a proof as a page for a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drcopt.cli.options import force, refuse_existing
from drcopt.cli.plot import read_csv
from drcopt.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@click.command()
@click.argument("source", metavar="TABLE|PROOF", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="The .html to write.")
@click.option(
    "--points",
    "--codecs",
    "codecs",
    type=click.Path(path_type=Path),
    help="A CSV with columns rate, distortion, loss, name.",
)
@click.option("--title", default=None, help="Above the page.")
@force
def explore(source: Path, out: Path, codecs: Path | None, title: str | None, force: bool) -> None:
    """Write one page that shows a table or a proof in a browser, without a network.

    TABLE is a .csv or .parquet file that 'drcopt sweep' wrote. PROOF is a .json file of a single answer ('drcopt solve
    --certificate') or of a whole surface (Surface.save); it is checked first, and what it does not prove is refused,
    which needs python-flint: pip install 'drcopt[proof]'.

    \b
    Examples:
      drcopt explore table.csv --out page.html
      drcopt explore surface.json --out page.html --points codec.csv
    """
    from drcopt import explore as pages

    refuse_existing(force, out)
    what = _proved(source) if source.suffix.lower() == ".json" else _table(source)
    points = None if codecs is None else read_csv(codecs)
    pages.save(what, out, codecs=points, title=title)
    click.echo(f"wrote {out}")


def _table(path: Path) -> pd.DataFrame:
    from drcopt.tables import read_table

    return read_table(path)


def _proved(path: Path) -> Any:
    """What a proof file is about, once it is proved."""
    from drcopt.checker import check, load
    from drcopt.explore.proofs import answer_of
    from drcopt.sweeps.surface_reading import surface_of

    data = load(path)
    verdict = check(data)
    if not verdict.accepted:
        raise InputError(f"a proof to explore must be accepted; {path} is not: {verdict.reason}. Write it anew.")
    return surface_of(data) if "drcopt-surface" in data else answer_of(data, verdict.lower, verdict.upper)
