"""The command ``drcopt sweep``: a grid of budgets to a table."""

from __future__ import annotations

import math
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drcopt import words
from drcopt.cli.options import (
    Ended,
    Grid,
    Near,
    accuracy,
    columns,
    force,
    load,
    minimize,
    perceived,
    refuse_existing,
    settings,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from drcopt.problem import Problem
    from drcopt.questions import Quantity

# What `drcopt sweep SOURCE` does when told nothing else: a table worth plotting within a minute on two cores.
#: Rates from 0 to min(H(X), H(Y)), beyond which the rate budget binds nothing.
SWEEP_RATES = 20
#: Classification budgets at these fractions of the way from H(S|X) to H(S), besides inf.
SWEEP_LOSSES = (0.75, 0.5)
#: Seconds for a point of a sweep that has a finite classification budget.
SWEEP_TIME_LIMIT = 2.0


def default_rates(problem: Problem, units: words.Units = "bits") -> list[float]:
    """Evenly spaced rates from 0 to just past min(H(X), H(Y)), the step rounded up to two digits."""
    from drcopt.information import from_nats

    most = problem.entropy_x if problem.free else min(problem.entropy_x, problem.entropy_y)
    step = from_nats(most, units) / (SWEEP_RATES - 1)
    if step < 1e-9:
        return [0.0]
    unit = Decimal(10) ** (math.floor(math.log10(step)) - 1)
    return [float(i * math.ceil(Decimal(step) / unit) * unit) for i in range(SWEEP_RATES)]


def default_losses(
    problem: Problem, units: words.Units = "bits", class_loss: words.ClassLoss = "entropy"
) -> list[float]:
    """No classification budget, then some between the loss given X and that of a guess that bind harder and harder."""
    from drcopt.information import from_nats

    if class_loss == "error":
        joint = problem.px[:, None] * problem.ps_given_x
        low, high = 1.0 - float(joint.max(axis=1).sum()), 1.0 - float(joint.sum(axis=0).max())
    else:
        low, high = (from_nats(h, units) for h in (problem.entropy_s_given_x, problem.entropy_s))
    between = [round(low + fraction * (high - low), 3) for fraction in SWEEP_LOSSES]
    return [math.inf, *(C for C in between if low < C < high)]


def default_distortions(problem: Problem) -> list[float]:
    """Evenly spaced distortions from what the cheapest letters cost to that of independent X and Y."""
    low = float(problem.px @ problem.d.min(axis=1))
    high = float((problem.px @ problem.d).min()) if problem.free else problem.distortion(problem.independent)
    steps = SWEEP_RATES - 1
    return [low + (high - low) * i / steps for i in range(steps + 1)] if high > low else [low]


def grids(
    problem: Problem,
    objective: Quantity,
    given: dict[str, list[float] | None],
    units: words.Units,
    class_loss: words.ClassLoss = "entropy",
) -> dict[str, Any]:
    """The budgets given, and where there are none those of before: none on what is minimised."""
    from drcopt.sweeps.rows import limited

    first, _ = limited(objective)
    law = objective.budget == "P"
    usual: dict[str, Callable[[], list[float]]] = {
        "R": lambda: [math.inf] if law else default_rates(problem, units),
        "D": lambda: default_distortions(problem) if law or first.budget == "D" else [math.inf],
        "C": lambda: [math.inf] if law else default_losses(problem, units, class_loss),
    }
    return {
        letter: given[letter] or (None if letter == objective.budget else default())
        for letter, default in usual.items()
    }


@click.command()
@click.argument("source")
@minimize
@click.option("--D", "D", type=Grid(), help=f"Distortion budgets; for a rate {SWEEP_RATES} by default, else none.")
@click.option("--R", "R", type=Grid(), help=f"Rate budgets; default: {SWEEP_RATES} from 0 to min(H(X),H(Y)).")
@click.option("--C", "C", type=Grid(), help="Classification budgets; default: inf and two that bind.")
@click.option(
    "--perception", type=Near(), help="KIND:GRID, such as tv:0,0.05,inf: Y's law lies within P of the source's."
)
@settings
@accuracy
@click.option(
    "--time-limit",
    type=float,
    help=f"Seconds for each point; inf: none.  [default: {SWEEP_TIME_LIMIT:g} if H(S|Y) matters, else inf]",
)
@columns
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes.  [default: one for each core]")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Record finished rows here, and resume from it.")
@click.option("--out", type=click.Path(path_type=Path), help="Write this .csv or .parquet; default: CSV on stdout.")
@force
@click.option("--progress/--no-progress", default=None, help="Progress bar on stderr.  [default: on a terminal]")
def sweep(
    source: str,
    minimize: words.Objective,
    D: list[float] | None,
    R: list[float] | None,
    C: list[float] | None,
    perception: tuple[str, list[float] | None] | None,
    py: str,
    time_limit: float | None,
    jobs: int | None,
    checkpoint: Path | None,
    out: Path | None,
    force: bool,
    progress: bool | None,
    x: str | None,
    s: str | None,
    y: str | None,
    weights: str | None,
    d: str | None,
    units: words.Units,
    **how: Any,
) -> None:
    """Solve a problem over a grid of budgets and write a table.

    A grid reads start:stop:step, or numbers with commas between them, or both: 0:1:0.1,1.5,inf.
    With --checkpoint, a sweep that was interrupted goes on where it stopped when it is run again.
    The table is in bits whatever the --units of the grids. What is minimised takes no grid.

    \b
    Examples:
      drcopt sweep digits:super-resolution --out digits.csv
      drcopt sweep bernoulli --R 0:1:0.05 --C 0.8,0.9,inf --checkpoint rows.jsonl
      drcopt sweep bernoulli --minimize rate --D 0.05:0.3:0.05 --C 0.85,inf
      drcopt sweep bernoulli --class-loss error --R 0.2:0.8:0.2 --C 0.26,0.28
      drcopt sweep bernoulli:px=0.3 --minimize rate --C inf --perception tv:0,0.02,inf
    """
    from drcopt import tables
    from drcopt.questions import quantity
    from drcopt.support.workers import cores, workers
    from drcopt.sweep import plan
    from drcopt.sweep import sweep as run
    from drcopt.sweeps.rows import limited

    if out is not None:
        tables.check_destination(out)
        refuse_existing(force, out)
    problem = load(source, py, x=x, s=s, y=y, weights=weights, d=d)
    near = perceived(problem, perception, minimize)
    many = near.pop("budgets", None)
    objective = quantity(minimize)
    budgets = grids(problem, objective, {"D": D, "R": R, "C": C}, units, how["class_loss"])
    if time_limit is None and not all(map(math.isinf, budgets["C"] or [0.0])):
        time_limit = SWEEP_TIME_LIMIT
    if time_limit == math.inf:
        time_limit = None
    ascending, held = (budgets[q.budget] for q in limited(objective))
    more = budgets["C"] if minimize == "perception" else many or [math.inf]
    jobs = min(jobs or cores(), len(more) * len(plan(ascending, held, how["formulation"], objective)))
    try:
        with workers(jobs) as executor:
            table = run(
                problem,
                **budgets,
                P=many,
                objective=minimize,
                **near,
                units=units,
                time_limit=time_limit,
                executor=executor,
                checkpoint=checkpoint,
                progress=progress,
                **how,
            )
    except KeyboardInterrupt:
        resume = "the same command resumes" if checkpoint else "use --checkpoint to be able to resume"
        raise Ended(f"interrupted; {resume}", 130) from None
    if out is None:
        tables.print_csv(table, sys.stdout)
    else:
        tables.write_table(table, out)
        counts = ", ".join(f"{count} {status}" for status, count in table["status"].value_counts().items())
        print(f"drcopt: wrote {len(table)} row{'s' * (len(table) != 1)} to {out}: {counts}", file=sys.stderr)
    if (table["status"] == "unknown").all():
        raise Ended(f"none of the {len(table)} points was solved; the first: {table['termination'].iloc[0]}", 1)
    if how["verify"] and (table["verified"] != "yes").any():
        unproved = table["termination"][table["verified"] != "yes"]
        raise Ended(f"{len(unproved)} of the {len(table)} rows not verified; the first: {unproved.iloc[0]}", 1)
