"""The command ``drcopt check``; :mod:`drcopt.cli` adds it to the others."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("proof", type=click.Path(path_type=Path))
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Accept a claim that falls short by this times max d, or a point this many nats above a budget.",
)
def check(proof: Path, tolerance: float) -> int:
    """Check a proof file with exact and interval arithmetic, and print in words what it proves.

    PROOF is a file written by 'drcopt solve --certificate'. Nothing in it is believed but the problem itself.
    Exits with 0 if the file's claim is proved, 1 if it is not, and 2 if the file cannot be read. Needs python-flint:
    pip install 'drcopt[proof]'.

    \b
    Example:
      drcopt check point.json
    """
    from drcopt.checker import check as check_proof

    verdict = check_proof(proof, tolerance)
    for statement in verdict.statements:
        click.echo(statement)
    if verdict.accepted:
        click.echo("accepted")
        return 0
    print(f"rejected: {verdict.reason}", file=sys.stderr)
    return 1
