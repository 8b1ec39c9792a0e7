"""The command ``drcopt check``; :mod:`drcopt.cli` adds it to the others."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("proof", type=click.Path(path_type=Path))
@click.option("--problem", "source", help="Compare the proof's arrays with this .npz or .json file, or named source.")
@click.option(
    "--py",
    type=click.Choice(["given", "free"]),
    default="given",
    show_default=True,
    help="With --problem: whether Y has its law or, as after 'drcopt solve --py free', any.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Accept a claim that falls short by this times max d, or a point this many nats above a budget.",
)
@click.option(
    "--operations",
    type=click.FloatRange(min=0),
    help="Operations on balls that the evidence may ask for.  [default: 67108864, a minute or two]",
)
def check(proof: Path, source: str | None, py: str, tolerance: float, operations: float | None) -> int:
    """Check a proof file with exact and interval arithmetic, and print in words what it proves.

    PROOF is a file written by 'drcopt solve --certificate'. Nothing in it is believed but the problem itself, and
    with --problem not even that: its arrays must be yours to the last digit (on letters with mass).
    Budgets that a bound supposes are printed rounded down, what a point spends rounded up.
    Exits with 0 if the file's claim is proved, 1 if it is not or is about another problem, and 2 if a file cannot be
    read. Needs python-flint: pip install 'drcopt[proof]'.

    \b
    Examples:
      drcopt check point.json
      drcopt check point.json --problem mine.npz
    """
    from drcopt.certify.proof import differences
    from drcopt.checker import check as check_proof
    from drcopt.checker import load
    from drcopt.cli.options import load as problem_of

    problem = None if source is None else problem_of(source, py)
    data = load(proof)
    verdict = check_proof(data, tolerance, operations=operations)
    for statement in verdict.statements:
        click.echo(statement)
    reason = "" if verdict.accepted else verdict.reason
    if problem is not None:
        found = differences(data, problem)
        if found:
            reason = f"the proof is not about {source}: {'; '.join(found)}{'; ' * bool(reason)}{reason}"
        else:
            click.echo(f"its arrays are those of {source}, to the last digit")
    if reason:
        print(f"rejected: {reason}", file=sys.stderr)
        return 1
    click.echo("accepted")
    return 0
