"""The command ``drcopt surface``: a floor and a ceiling everywhere in a rectangle of budgets."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import click

from drcopt import words
from drcopt.cli.options import Ended, columns, force, load, minimize, refuse_existing


class Range(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic since click 8.5
    """The type of an option that takes a number or two with a colon between them."""

    name = "low:high"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A float, or a pair of them, or a usage error."""
        if not isinstance(value, str):
            return value
        try:
            numbers = tuple(float(part) for part in value.split(":"))
        except ValueError:
            numbers = ()
        if len(numbers) not in (1, 2):
            self.fail(f"{value!r} must be a number, or two with a colon between them, such as 0.2:1.5.", param, ctx)
        return numbers if len(numbers) == 2 else numbers[0]


class NearRange(Range):
    """The type of ``--perception`` here: a kind of divergence and, after a colon, what :class:`Range` takes."""

    name = "kind:low:high"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """(kind, a float or a pair of them), or a usage error."""
        if not isinstance(value, str):
            return value
        kind, _, budgets = value.partition(":")
        return kind, super().convert(budgets, param, ctx)


@click.command()
@click.argument("source")
@click.option("--R", "R", type=Range(), help="Rates from low to high, or one.")
@click.option("--C", "C", type=Range(), help="Budgets on H(S|Y) likewise.")
@click.option("--D", "D", type=Range(), help="Distortions likewise, where something else is minimised.")
@click.option(
    "--perception",
    type=NearRange(),
    help="KIND:LOW:HIGH, such as tv:0.01:0.2, or KIND:P: Y's law is near the source's.",
)
@minimize
@click.option("--tol", type=float, default=1e-3, show_default=True, help="How far floor and ceiling may lie apart.")
@click.option("--at", type=int, help="Know it at so many budgets an axis, not everywhere: cheaper.")
@click.option("--units", type=click.Choice(["bits", "nats"]), default="bits", show_default=True, help="Of budgets.")
@click.option("--time-limit", type=float, help="Seconds for all of it; without it, none.")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Keep what is found here, and go on from it.")
@click.option("--out", type=click.Path(path_type=Path), help="Write a grid of it, --at or 20 budgets an axis, as .csv.")
@click.option("--certificate", type=click.Path(path_type=Path), help="Write one proof of all of it as .json.")
@columns
@force
def surface(
    source: str,
    R: Any,
    C: Any,
    D: Any,
    perception: Any,
    minimize: words.Objective,
    tol: float,
    at: int | None,
    units: words.Units,
    time_limit: float | None,
    checkpoint: Path | None,
    out: Path | None,
    certificate: Path | None,
    force: bool,
    **how: Any,
) -> None:
    """Know a tradeoff everywhere between budgets, with proof: a floor and a ceiling within --tol of each other.

    What the time limit leaves open lies further apart, and so do the smallest boxes along an edge. Exits with 1 if the
    time limit came first. --certificate is for 'drcopt check' and 'drcopt explore'.

    \b
    Examples:
      drcopt surface bernoulli --R 0.2:0.6
      drcopt surface bernoulli --R 0.5:0.8 --C 0.8:0.9 --tol 0.01 --out surface.csv --certificate surface.json
      drcopt surface bernoulli --R 0.2:0.6 --perception tv:0.01:0.2
    """
    from drcopt.support.files import atomic_write
    from drcopt.sweeps.surface import surface as known_everywhere

    refuse_existing(force, out, certificate)
    problem = load(source, **how)
    kind, P = cast("tuple[words.Divergence, Any]", perception or ("tv", None))
    found = known_everywhere(
        problem,
        R=R,
        C=C,
        D=D,
        P=P,
        kind=kind,
        ground=problem.d if kind == "wasserstein" else None,
        objective=minimize,
        tol=tol,
        at=at,
        units=units,
        time_limit=time_limit,
        checkpoint=checkpoint,
    )
    click.echo(repr(found))
    if out is not None:
        with atomic_write(out) as text:
            text.write(found.table().to_csv(index=False, lineterminator="\n"))
    if certificate is not None:
        found.save(certificate)
    for path in (out, certificate):
        if path is not None:
            click.echo(f"drcopt: wrote {path}", err=True)
    if "time limit" in found.termination:
        raise Ended(f"the time limit came when {1.0 - found.known:.2%} was not known to --tol {tol:g}", 1)
