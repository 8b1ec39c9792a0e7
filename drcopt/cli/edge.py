"""The command ``drcopt edge``: the least classification loss at each rate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from drcopt import words
from drcopt.cli.options import Ended, Grid, accuracy, columns, force, load, plain, refuse_existing


@click.command()
@click.argument("source")
@click.option("--R", "R", type=Grid(), help="Rate budgets; without it, none.")
@accuracy
@click.option("--time-limit", type=float, help="Seconds for each rate; without it, none.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--out", type=click.Path(path_type=Path), help="Write this .csv, in bits, for: drcopt plot --edge.")
@columns
@force
def edge(
    source: str,
    R: list[float] | None,
    units: words.Units,
    time_limit: float | None,
    as_json: bool,
    out: Path | None,
    force: bool,
    tol: float,
    verify: words.Verify | None,
    **how: Any,
) -> None:
    """Print the edge of the feasible set: the least H(S|Y) at each rate, with its proof.

    No C below the bound can be met; every C from the loss on can. Exits with 1 if a rate has no answer.

    \b
    Examples:
      drcopt edge bernoulli --R 0:0.8:0.2
      drcopt edge bernoulli --R 0:0.8:0.05 --out edge.csv
    """
    from drcopt.information import from_nats, to_nats
    from drcopt.solve import min_classification_loss
    from drcopt.support.files import atomic_write

    refuse_existing(force, out)
    problem = load(source, **how)
    rows: list[dict[str, Any]] = []
    rates: list[float | None] = [*R] if R else [None]
    for rate in rates:
        answer = min_classification_loss(
            problem, R=rate, units=units, tol=tol, time_limit=time_limit, verify=verify, on_failure="return"
        )
        rows.append(
            {
                "rate_budget": float("inf") if rate is None else rate,
                "classification_loss": answer.classification_loss,
                "lower_bound": answer.lower_bound,
                "status": answer.status,
            }
        )

    def bits(value: float) -> str:
        return repr(from_nats(to_nats(value, units), "bits"))

    if out is not None:
        with atomic_write(out) as text:
            text.write("rate_budget_bits,classification_budget_bits,lower_bound_bits,status\n")
            for row in rows:
                numbers = (bits(row[name]) for name in ("rate_budget", "classification_loss", "lower_bound"))
                text.write(",".join([*numbers, str(row["status"])]) + "\n")
        click.echo(f"drcopt: wrote {len(rows)} row{'s' * (len(rows) != 1)} to {out}", err=True)
    elif as_json:
        click.echo(json.dumps(plain(rows), indent=2))
    else:
        click.echo(f"{'R (' + units + ')':>12}  {'least H(S|Y)':>14}  {'proved bound':>14}  status")
        for row in rows:
            shown = f"{row['rate_budget']:12.6g}  {row['classification_loss']:14.9g}  {row['lower_bound']:14.9g}"
            click.echo(f"{shown}  {row['status']}")
    if any(row["status"] not in ("optimal", "feasible") for row in rows):
        raise Ended("a rate has no answer within the time limit", 1)
