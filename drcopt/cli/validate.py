"""The command ``drcopt validate``; :mod:`drcopt.cli` adds it to the others."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from drcopt.errors import InputError


@click.command()
@click.argument("names", nargs=-1, metavar="[THEOREM]...")
@click.option("--instances", type=click.IntRange(min=1), default=8, show_default=True, help="Random ones per theorem.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the random instances.")
@click.option("--time-limit", type=float, help="Seconds for the trials; what is not done by then is left out.")
@click.option("--out", type=click.Path(path_type=Path), help="Write this .csv or .md; default: Markdown on stdout.")
@click.option(
    "--figures",
    type=click.Path(path_type=Path),
    help="Write the slides' example figures, and how grids approach the Gaussian, to this folder.",
)
@click.option("--load", type=click.Path(path_type=Path), help="Run this .py file first: it registers your theorems.")
@click.option("--list", "listing", is_flag=True, help="List the theorems and exit.")
@click.option("--progress/--no-progress", default=None, help="Progress bar on stderr.  [default: on a terminal]")
def validate(
    names: tuple[str, ...],
    instances: int,
    seed: int,
    time_limit: float | None,
    out: Path | None,
    figures: Path | None,
    load: Path | None,
    listing: bool,
    progress: bool | None,
) -> None:
    """Try theorems against certified computation and print a verdict on each.

    THEOREM is a name or a pattern such as 'bernoulli-*'; default: all.

    \b
    Examples:
      drcopt validate --out verdicts.md --figures .
      drcopt validate 'gaussian-*' --instances 50 --seed 1
      drcopt validate --load my_theorems.py my-zero-rate
    """
    from tqdm import tqdm

    from drcopt import theorems
    from drcopt.support import check

    if load is not None:
        _run(load)
    if listing:
        for known in theorems.select(names or None):
            click.echo(f"{known.name:46}{known.where}")
        return
    theorems.select(names or None)
    check.positive("time_limit", time_limit, allow_none=True)
    if out is not None:
        theorems.check_destination(out)
    if figures is not None:
        _draw(figures)
    table = theorems.validate(
        names or None,
        instances=instances,
        seed=seed,
        time_limit=time_limit,
        progress=lambda items: tqdm(items, unit="theorem", disable=None if progress is None else not progress),
    )
    if out is None:
        click.echo(theorems.to_markdown(table), nl=False)
        return
    theorems.write_verdicts(table, out)
    kinds = table["verdict"].str.split(":").str[0].value_counts()
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    click.echo(f"drcopt: wrote {len(table)} verdicts to {out}: {counts}", err=True)


def _draw(folder: Path) -> None:
    from drcopt import plotting, theorems
    from drcopt.support.files import atomic_write

    try:
        folder.mkdir(exist_ok=True)
    except OSError as reason:
        raise InputError(
            f"--figures must name a folder that can be written; {folder} cannot ({reason.strerror}). Choose another."
        ) from None
    for name, (title, build) in theorems.FIGURES.items():
        written = plotting.save(plotting.curve(build(), title=title), folder / f"{name}.png")
        click.echo(f"drcopt: wrote {written}", err=True)
    convergence = folder / "gaussian_convergence.csv"
    with atomic_write(convergence) as text:
        theorems.gaussian_convergence().to_csv(text, index=False, lineterminator="\n")
    click.echo(f"drcopt: wrote {convergence}", err=True)


def _run(path: Path) -> None:
    """Run a Python file; its errors are its own, but named in one line."""
    import runpy

    if not path.is_file():
        raise InputError(f"--load must name a Python file; {path} is not one. Give the file that registers them.")
    sys.path.insert(0, str(path.resolve().parent))
    try:
        runpy.run_path(str(path))
    except Exception as error:
        raise InputError(
            f"--load must name a Python file that runs; {path} ended with {type(error).__name__}: {error}. "
            f"Run it with python first."
        ) from error
    finally:
        sys.path.pop(0)
