"""What commands share: grids, options, where a problem comes from, and files that are not overwritten unasked."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drcopt.errors import InputError
from drcopt.words import CLASS_LOSSES, CLASSIFIER_SEES, FORMULATIONS

if TYPE_CHECKING:
    from drcopt.problem import Problem

#: More points than this in a grid is a slip of the pen.
MOST_POINTS = 100_000


class Ended(Exception):
    """The end of a command, with its exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


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


class LossBudget(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic since click 8.5
    """The type of an option that takes a number, or NAME=NUMBER of several classes with commas between them."""

    name = "budget"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or numbers by name."""
        number: Any = click.FLOAT
        if not isinstance(value, str) or "=" not in value:
            return number.convert(value, param, ctx)
        named = [part.rpartition("=") for part in value.split(",")]
        return {name.strip(): number.convert(text, param, ctx) for name, _, text in named}


class Grid(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic since click 8.5
    """The type of an option that takes a grid."""

    name = "grid"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The numbers, or a usage error that says how grids read."""
        try:
            return parse_grid(value) if isinstance(value, str) else value
        except InputError as error:
            self.fail(str(error), param, ctx)


def with_options(*options: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that adds options in this order."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


#: As drcopt.questions.QUANTITIES, which import NumPy; either spelling of the last.
OBJECTIVES = ("distortion", "rate", "classification-loss", "perception", "classification_loss")

#: What to solve for: `solve` and `sweep` share it, and hand on the name that the package uses.
minimize = click.option(
    "--minimize",
    type=click.Choice(OBJECTIVES),
    default=OBJECTIVES[0],
    callback=lambda _context, _option, name: name.replace("-", "_"),
    metavar=f"[{'|'.join(OBJECTIVES[:4])}]",
    help=f"What to minimise; the others can be limited.  [default: {OBJECTIVES[0]}]",
)

#: How to solve: `solve` and `sweep` share these.
settings = with_options(
    click.option("--formulation", type=click.Choice(FORMULATIONS), default=FORMULATIONS[0], show_default=True),
    click.option(
        "--classifier-sees",
        type=click.Choice(CLASSIFIER_SEES),
        default="Y",
        show_default=True,
        help="What the classifier is given; YU with --formulation one-shot only, message with single-letter only.",
    ),
    click.option(
        "--class-loss",
        type=click.Choice(CLASS_LOSSES),
        default=CLASS_LOSSES[0],
        show_default=True,
        help="What C limits: H(S|Y), or the Bayes error of a classifier.",
    ),
    click.option(
        "--py",
        "py",
        type=click.Choice(["given", "free"]),
        default="given",
        show_default=True,
        help="Whether Y has the source's law or any.",
    ),
    click.option("--engine", default="auto", show_default=True, help="Which engine solves."),
)

#: How well, and in what units.
accuracy = with_options(
    click.option(
        "--tol",
        type=float,
        default=1e-6,
        show_default=True,
        help="Gap to prove: for a distortion a share of what is at stake in d, for a rate or loss in --units.",
    ),
    click.option(
        "--verify",
        type=click.Choice(["interval"]),
        help="Prove every answer again in ball arithmetic, as 'drcopt check' does; exit with 1 if one fails.",
    ),
    click.option("--units", type=click.Choice(["bits", "nats"]), default="bits", show_default=True, help="Of budgets."),
)


class Near(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """The type of ``--perception``: a kind of divergence, perhaps with a budget or a grid of them after a colon."""

    name = "kind:P"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """(kind, budgets), or a usage error."""
        if not isinstance(value, str):
            return value
        kind, _, budgets = value.partition(":")
        try:
            return kind, parse_grid(budgets) if budgets else None
        except InputError:
            self.fail(f"{value!r} must read kind:budget, such as tv:0.05.", param, ctx)


def perceived(problem: Problem, near: tuple[str, list[float] | None] | None, objective: str) -> dict[str, Any]:
    """What ``--perception`` says of how perception is measured: kind, ground and budgets (None: it is minimised)."""
    if near is None:
        if objective == "perception":
            raise InputError("--minimize perception must come with --perception KIND; it is missing. Add e.g. tv.")
        return {}
    kind, budgets = near
    if (budgets is None) != (objective == "perception"):
        raise InputError(
            f"--perception must have a budget, KIND:P, unless it is minimised; it is {kind!r}"
            f"{'' if budgets is None else ' with a budget, and it is'}. "
            + ("Write e.g. tv:0.05." if budgets is None else "Drop the budget.")
        )
    # Moving mass costs what d says of the two letters.
    return {"kind": kind, "budgets": budgets, "ground": problem.d if kind == "wasserstein" else None}


#: Where a problem in a table of samples has its letters.
columns = with_options(
    click.option("--x", "x", help="SOURCE is a CSV: the column of source letters (several: a,b)."),
    click.option("--s", "s", help="The column of classes."),
    click.option("--y", "y", help="The column whose law Y must have.  [default: that of --x]"),
    click.option("--weights", help="The column that says how often each row counts."),
    click.option("--d", "d", help="Distortion of a CSV: hamming or squared-error.  [default: hamming]"),
)

force = click.option("--force", is_flag=True, help="Overwrite files that exist.")


def load(source: str, py: str = "given", **how: Any) -> Problem:
    """The problem that SOURCE means: a name, perhaps with parameters, a file, or "-" for stdin; ``py`` "free": any law.

    Raises
    ------
    InputError
        If there is no such source, or columns are named where there are none.
    """
    problem = _load(source, **how)
    if py == "given":
        return problem
    from drcopt.problem import Problem

    p = problem
    return Problem(p.px, None, p.channels, p.d, labels=p.labels, name=p.name, units=p.units)


def _load(source: str, **how: Any) -> Problem:
    from drcopt import sources

    how = {name: value for name, value in how.items() if value is not None}
    table = source if source == "-" else Path(source).suffix.lower()
    if table == "-" and not how:
        return sources.read_json(sys.stdin.read().removeprefix("\ufeff"), "stdin")
    if table not in ("-", ".csv", ".tsv"):
        if how:
            raise InputError(
                f"{', '.join('--' + name for name in how)} must go with a .csv or .tsv file (or - for stdin); SOURCE "
                f"is {source!r}. Leave them out."
            )
        return sources.named(source)
    missing = [name for name in ("x", "s") if name not in how]
    if missing:
        raise InputError(
            f"{source} must come with the columns of its letters; {' and '.join('--' + m for m in missing)} "
            f"{'are' if len(missing) > 1 else 'is'} missing. Write e.g. --x hair --s eyes."
        )
    return _from_table(source, **how)


def _from_table(
    source: str, *, x: str, s: str, y: str | None = None, weights: str | None = None, d: str = "hamming"
) -> Problem:
    import pandas as pd

    from drcopt.problem import Problem

    try:
        handle: Any = io.StringIO(sys.stdin.read().removeprefix("\ufeff")) if source == "-" else source
        with_separator: dict[str, Any] = {"sep": None, "engine": "python"}
        data = pd.read_csv(handle, encoding="utf-8-sig", skipinitialspace=True, **with_separator)
    except (OSError, ValueError, pd.errors.ParserError) as reason:
        said = getattr(reason, "strerror", None) or " ".join(str(reason).split())
        raise InputError(f"{source} must be a table of samples in CSV; it could not be read ({said}).") from None

    def one(text: str) -> Any:
        return text if text in data.columns else [part.strip() for part in text.split(",")] if "," in text else text

    try:
        problem = Problem.from_samples(
            one(x), one(s), None if y is None else one(y), py="px" if y is None else None, d=d, data=data,
            weights=weights, name="" if source == "-" else Path(source).stem,
        )  # fmt: skip
    except InputError as reason:
        raise InputError(f"in {source}, {reason}") from None
    columns = [one(name) for name in (x, s, y) if name is not None]
    letters = [name for column in columns for name in (column if isinstance(column, list) else [column])]
    numbers = [name for name in data.select_dtypes("number") if name not in letters]
    if weights is None and numbers and not data.drop(columns=numbers).duplicated().any():  # counts, it seems
        click.echo(
            f"drcopt: each row of {source} counts once; if {numbers[0]} says how many there are, pass "
            f"--weights {numbers[0]}",
            err=True,
        )
    return problem


def refuse_existing(force: bool, *paths: Path | None) -> None:
    """Refuse to overwrite what exists, before anything is solved."""
    for path in paths:
        if path is not None and not force and path.is_file():
            raise InputError(f"{path} must not exist yet; it does. Choose another name, or pass --force to overwrite.")


def plain(value: Any) -> Any:
    """What JSON can hold: arrays as lists, nan and inf as text."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)) or hasattr(value, "tolist"):
        return [plain(item) for item in (value.tolist() if hasattr(value, "tolist") else value)]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return str(value)
