"""The command line. Commands import what they need when they run, so that ``--help`` and errors are quick."""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drcopt.cli.check import check
from drcopt.cli.restore import restore
from drcopt.cli.validate import plot, validate
from drcopt.errors import DrcoptError, InfeasibleError, InputError, NotSolvedError, OutputError
from drcopt.formulations import CLASSIFIER_SEES
from drcopt.formulations import NAMES as FORMULATIONS
from drcopt.questions import CLASSIFICATION_LOSS

if TYPE_CHECKING:
    from drcopt._check import FloatArray
    from drcopt.problem import Problem
    from drcopt.solution import Solution

# What `drcopt sweep SOURCE` does when told nothing else: a table worth plotting within a minute on two cores.
#: Rates from 0 to min(H(X), H(Y)), beyond which the rate budget binds nothing.
SWEEP_RATES = 20
#: Classification budgets at these fractions of the way from H(S|X) to H(S), besides inf.
SWEEP_LOSSES = (0.75, 0.5)
#: Seconds for a point of a sweep that has a finite classification budget.
SWEEP_TIME_LIMIT = 2.0

#: More points than this in a grid is a slip of the pen.
MOST_POINTS = 100_000


def main(args: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 1 (not solved or not written), 2 (bad input) or 130 (interrupted)."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that lacks a letter is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(None if args is None else list(args), prog_name="drcopt", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except _Ended as end:
        return _say(end, str(end), end.code)
    except (BrokenPipeError, _PipeClosed):
        # The reader has left; point stdout elsewhere, or Python complains when it flushes it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except (click.Abort, KeyboardInterrupt) as error:
        return _say(error, "interrupted", 130)
    except click.UsageError as error:
        hint = f" Try '{error.ctx.command_path} --help'." if error.ctx else ""
        return _say(error, error.format_message() + hint, 2)
    except (InfeasibleError, NotSolvedError, OutputError) as error:
        return _say(error, str(error), 1)
    except DrcoptError as error:
        return _say(error, str(error), 2)
    except Exception as error:  # the promise is one line, whatever happens
        hint = "set DRCOPT_DEBUG=1 to see where"
        return _say(error, f"{type(error).__name__}: {error} ({hint})", 1)


class _Ended(Exception):
    """The end of a command, with its exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # click would print an empty line first
            raise _Ended("interrupted", 130) from None
        except BrokenPipeError:  # click would exit with 1
            raise _PipeClosed from None


class _PipeClosed(Exception):
    """The reader of stdout has left."""


def _say(error: BaseException, message: str, code: int) -> int:
    expected = isinstance(error, (DrcoptError, click.ClickException, click.Abort, _Ended))
    if os.environ.get("DRCOPT_DEBUG") and not expected:
        traceback.print_exception(error)
    print(f"drcopt: error: {' '.join(message.split())}", file=sys.stderr)
    return code


def parse_grid(text: str) -> list[float]:
    """The numbers that ``0:2:0.1`` (start:stop:step, stop included), ``0.5,1,inf`` or a mix of both mean.

    Raises
    ------
    InputError
        If it reads otherwise.
    """
    values: list[float] = []
    for part in text.split(","):
        try:
            numbers = [Decimal(number.strip()) for number in part.split(":")]
        except InvalidOperation:
            numbers = []
        if len(numbers) == 1 and not numbers[0].is_nan():
            values.append(float(numbers[0]))
        elif len(numbers) == 3 and all(number.is_finite() for number in numbers):
            values += _steps(part, *numbers)
        else:
            raise InputError(
                f"a grid must read start:stop:step, or numbers with commas between them; {part!r} does not. "
                f"Write e.g. 0:2:0.1 or 0.5,1,inf."
            )
    return values


def _steps(part: str, start: Decimal, stop: Decimal, step: Decimal) -> list[float]:
    if step <= 0 or stop < start:
        raise InputError(f"start:stop:step must go up by a positive step; {part!r} does not. Write e.g. 0:2:0.1.")
    # In decimals, as written: no error accumulates. A step such as 0.333333333 still reaches its stop.
    exact, close = (stop - start) / step, Decimal("1e-6")
    if exact >= MOST_POINTS:
        raise InputError(f"a grid must have at most {MOST_POINTS} points; {part!r} has more. Take a larger step.")
    last = math.floor(exact + close)
    values = [float(start + i * step) for i in range(last + 1)]
    if abs(exact - last) < close:
        values[-1] = float(stop)
    return values


def default_rates(problem: Problem) -> list[float]:
    """Evenly spaced rates in bits from 0 to just past min(H(X), H(Y)), the step rounded up to two digits."""
    from drcopt.information import from_nats

    step = from_nats(min(problem.entropy_x, problem.entropy_y), "bits") / (SWEEP_RATES - 1)
    if step < 1e-9:
        return [0.0]
    unit = Decimal(10) ** (math.floor(math.log10(step)) - 1)
    return [float(i * math.ceil(Decimal(step) / unit) * unit) for i in range(SWEEP_RATES)]


def default_losses(problem: Problem) -> list[float]:
    """No classification budget, then some between H(S|X) and H(S), in bits, that bind harder and harder."""
    from drcopt.information import from_nats

    low, high = (from_nats(h, "bits") for h in (problem.entropy_s_given_x, problem.entropy_s))
    between = [round(low + fraction * (high - low), 3) for fraction in SWEEP_LOSSES]
    return [math.inf, *(C for C in between if low < C < high)]


class _Grid(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic since click 8.5
    name = "grid"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return parse_grid(value) if isinstance(value, str) else value
        except InputError as error:
            self.fail(str(error), param, ctx)


def _settings(command: Callable[..., None]) -> Callable[..., None]:
    """The options that `solve` and `sweep` share."""
    options = [
        click.option("--formulation", type=click.Choice(FORMULATIONS), default=FORMULATIONS[0], show_default=True),
        click.option(
            "--classifier-sees",
            type=click.Choice(CLASSIFIER_SEES),
            default="Y",
            show_default=True,
            help="What the classifier is given; YU with --formulation one-shot only.",
        ),
        click.option("--engine", default="auto", show_default=True, help="Which engine solves."),
        click.option("--tol", type=float, default=1e-6, show_default=True, help="Gap to prove, relative to max d."),
        click.option(
            "--verify",
            type=click.Choice(["interval"]),
            help="Prove every answer again in ball arithmetic, as 'drcopt check' does; exit with 1 if one fails.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--version", is_flag=True, help="Show the version and exit.")
@click.pass_context
def cli(ctx: click.Context, version: bool) -> None:
    """Distortion-rate-classification tradeoffs of discrete sources, with proofs.

    SOURCE is a name (see: drcopt sources) or a .npz or .json file with px, py, ps_given_x and d.

    \b
    Examples:
      drcopt sweep digits:super-resolution --out digits.csv
      drcopt solve bernoulli --R 0.3 --C 0.9
    """
    if version:
        from drcopt.sweep import version as version_of

        click.echo(f"drcopt {version_of('drcopt')}")
    elif ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for command in (check, plot, restore, validate):
    cli.add_command(command)


@cli.command()
def sources() -> None:
    """List the named sources.

    \b
    Example:
      drcopt sources
    """
    from drcopt import sources

    width = max(map(len, sources.NAMES))
    for name, description in sources.NAMES.items():
        click.echo(f"{name:{width}}  {description}")


@cli.command()
@click.argument("source")
@click.option("--R", "R", type=float, help="Rate budget; without it, none.")
@click.option("--C", "C", type=float, help="Classification budget: a limit on H(S|Y); without it, none.")
@_settings
@click.option("--units", type=click.Choice(["bits", "nats"]), default="bits", show_default=True, help="Of R and C.")
@click.option("--time-limit", type=float, help="Seconds; without it, none.")
@click.option("--json", "as_json", is_flag=True, help='Print JSON; nan and inf are written as "nan" and "inf".')
@click.option("--coupling", type=click.Path(path_type=Path), help="Write p(x,y) to this .csv or .npy file.")
@click.option("--certificate", type=click.Path(path_type=Path), help="Write a proof file, for: drcopt check FILE.")
def solve(
    source: str,
    R: float | None,
    C: float | None,
    as_json: bool,
    coupling: Path | None,
    certificate: Path | None,
    **settings: Any,
) -> None:
    """Solve one problem at one pair of budgets.

    Exits with 1 if the budgets cannot be met, or if nothing was found.

    \b
    Example:
      drcopt solve bernoulli --R 0.3 --C 0.9 --coupling coupling.csv
    """
    if coupling is not None and coupling.suffix.lower() not in (".csv", ".npy"):
        raise InputError(f"--coupling must end in .csv or .npy; it is {str(coupling)!r}. Give it one of them.")
    from drcopt import sources
    from drcopt.engines.base import INTERRUPTED
    from drcopt.session import Session

    problem = sources.named(source)
    # JSON has all its fields whatever happened; a person gets the sentence that the exception holds.
    lenient = as_json or certificate is not None
    session = Session(problem, **settings)
    solution = session.solve(R, C, on_failure="return" if lenient else "raise")
    if solution.status == "infeasible":
        solution = session.with_edge(solution)
    found = solution.status in ("optimal", "feasible", "near-feasible")
    if certificate is not None:
        solution.certificate.save(certificate)
    if coupling is not None and found:
        _write_coupling(solution.coupling, coupling)
    click.echo(json.dumps(_fields(solution, problem), indent=2) if as_json else _report(solution))
    if solution.termination.startswith(INTERRUPTED):  # the best known is printed; a script must not take it for more
        raise _Ended("interrupted", 130)
    if not found:
        raise _Ended(f"{solution.status}: {solution.termination}", 1)
    if solution.verified is False:
        raise _Ended(solution.termination, 1)


@cli.command()
@click.argument("source")
@click.option("--R", "R", type=_Grid(), help=f"Rate budgets in bits; default: {SWEEP_RATES} from 0 to min(H(X),H(Y)).")
@click.option("--C", "C", type=_Grid(), help="Classification budgets in bits; default: inf and two that bind.")
@_settings
@click.option(
    "--time-limit",
    type=float,
    help=f"Seconds for each point; inf: none.  [default: {SWEEP_TIME_LIMIT:g} if a C is finite, else inf]",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes.  [default: one for each core]")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Record finished rows here, and resume from it.")
@click.option("--out", type=click.Path(path_type=Path), help="Write this .csv or .parquet; default: CSV on stdout.")
@click.option("--progress/--no-progress", default=None, help="Progress bar on stderr.  [default: on a terminal]")
def sweep(
    source: str,
    R: list[float] | None,
    C: list[float] | None,
    time_limit: float | None,
    jobs: int | None,
    checkpoint: Path | None,
    out: Path | None,
    progress: bool | None,
    **settings: Any,
) -> None:
    """Solve a problem over a grid of budgets and write a table.

    A grid reads start:stop:step, or numbers with commas between them, or both: 0:1:0.1,1.5,inf.
    With --checkpoint, a sweep that was interrupted goes on where it stopped when it is run again.

    \b
    Examples:
      drcopt sweep digits:super-resolution --out digits.csv
      drcopt sweep bernoulli --R 0:1:0.05 --C 0.8,0.9,inf --checkpoint rows.jsonl
    """
    from drcopt import sources, tables
    from drcopt._workers import cores, workers
    from drcopt.sweep import plan
    from drcopt.sweep import sweep as run

    if out is not None:
        tables.check_destination(out)
    problem = sources.named(source)
    R, C = R or default_rates(problem), C or default_losses(problem)
    if time_limit is None and not all(map(math.isinf, C)):
        time_limit = SWEEP_TIME_LIMIT
    if time_limit == math.inf:
        time_limit = None
    jobs = min(jobs or cores(), len(plan(R, C, settings["formulation"])))
    try:
        with workers(jobs) as executor:
            table = run(
                problem,
                R=R,
                C=C,
                time_limit=time_limit,
                executor=executor,
                checkpoint=checkpoint,
                progress=progress,
                **settings,
            )
    except KeyboardInterrupt:
        resume = "the same command resumes" if checkpoint else "use --checkpoint to be able to resume"
        raise _Ended(f"interrupted; {resume}", 130) from None
    if out is None:
        tables.print_csv(table, sys.stdout)
    else:
        tables.write_table(table, out)
        counts = ", ".join(f"{count} {status}" for status, count in table["status"].value_counts().items())
        print(f"drcopt: wrote {len(table)} rows to {out}: {counts}", file=sys.stderr)
    if (table["status"] == "unknown").all():
        raise _Ended(f"none of the {len(table)} points was solved; the first: {table['termination'].iloc[0]}", 1)
    if settings["verify"] and (table["verified"] != "yes").any():
        unproved = table["termination"][table["verified"] != "yes"]
        raise _Ended(f"{len(unproved)} of the {len(table)} rows not verified; the first: {unproved.iloc[0]}", 1)


def _fields(solution: Solution, problem: Problem) -> dict[str, Any]:
    names = ("status", "termination", "distortion", "lower_bound", "gap", "rate", "classification_loss")
    asked = ("formulation", "classifier_sees", "rate_budget", "classification_budget", "units")
    fields = {
        **{name: getattr(solution, name) for name in names},
        "multipliers": vars(solution.multipliers),
        "residuals": vars(solution.residuals),
        **{name: getattr(solution, name) for name in ("engine", "seconds", *asked)},
        "problem_fingerprint": problem.fingerprint,
        "least_classification_loss": _least_loss(solution),
    }
    if solution.verified is not None:
        proved = {name: getattr(solution, name) for name in ("proved_lower_bound", "proved_distortion")}
        fields |= proved | {"verified": "yes" if solution.verified else "no"}

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, str):
            return value
        return float(value) if math.isfinite(value) else str(float(value))

    return {name: plain(value) for name, value in fields.items()}


def _least_loss(solution: Solution) -> float:
    """What H(S|Y) is at least where C cannot be met, proved, in the solution's units; else nan."""
    from drcopt._verify import below

    proved = solution.status == "infeasible" and solution.certificate is not None
    return below(solution.certificate.least(CLASSIFICATION_LOSS), solution.units) if proved else math.nan


def _report(solution: Solution) -> str:
    from drcopt.solution import STATUSES

    units, unit = solution.units, solution.units.rstrip("s")
    multipliers = solution.multipliers
    lines = {
        "status": f"{solution.status}: {STATUSES[solution.status]}",
        "distortion": f"{solution.distortion:.9g}",
        "lower bound": f"{solution.lower_bound:.9g}",
        "gap": f"{solution.gap:.2g}",
        **({"exceeds a budget by": f"{solution.excess:.3g} {units} at most"} if solution.excess > 0 else {}),
        **({} if solution.verified is None else {"verified": _proved(solution)}),
        "rate": f"{solution.rate:.9g} {units} (budget {solution.rate_budget:.9g})",
        "classification loss": (
            f"{solution.classification_loss:.9g} {units} (budget {solution.classification_budget:.9g})"
        ),
        "rate multiplier": f"{multipliers.rate:.6g} distortion per {unit}",
        "classification multiplier": f"{multipliers.classification:.6g} distortion per {unit}",
        "engine": f"{solution.engine}: {' '.join(solution.termination.split())}",
        "seconds": f"{solution.seconds:.3g}",
    }
    return "\n".join(f"{name:27}{value}" for name, value in lines.items())


def _proved(solution: Solution) -> str:
    if not solution.verified:
        return "no"
    return f"yes: the optimum lies in [{solution.proved_lower_bound!r}, {solution.proved_distortion!r}]"


def _write_coupling(coupling: FloatArray, path: Path) -> None:
    import numpy as np

    from drcopt._files import atomic_write

    if path.suffix.lower() == ".npy":
        with atomic_write(path, "wb") as binary:
            np.save(binary, coupling)
    else:
        with atomic_write(path, "w") as text:
            text.writelines(",".join(map(repr, row)) + "\n" for row in coupling.tolist())
