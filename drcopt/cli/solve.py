"""The command ``drcopt solve``: one problem, one pair of budgets."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drcopt.cli.options import (
    Ended,
    LossBudget,
    Near,
    accuracy,
    columns,
    force,
    load,
    minimize,
    perceived,
    plain,
    refuse_existing,
    settings,
)
from drcopt.errors import InputError

if TYPE_CHECKING:
    from drcopt.problem import Problem
    from drcopt.questions.quantities import Quantity
    from drcopt.session import Session
    from drcopt.solution import Solution

#: What a budget C is of, where it is not of H(S|Y).
_LIMITED = {"error": ", on the Bayes error", "table": ", on the loss of the best decision"}
#: Seconds before the first line of progress, and between two where stderr is no terminal.
PATIENCE, QUIET = 1.0, 10.0


@click.command()
@click.argument("source")
@minimize
@click.option("--D", "D", type=float, help="Distortion budget; without it, none.")
@click.option("--R", "R", type=float, help="Rate budget; without it, none.")
@click.option(
    "--C",
    "C",
    type=LossBudget(),
    help="Classification budget, on what --class-loss says; without it, none. Several classes: digit=0.9,even=0.3.",
)
@click.option("--of", help="With --minimize classification-loss and several classes: the class that it is of.")
@click.option("--perception", type=Near(), help="KIND:P, such as tv:0.05: Y's law lies within P of the source's.")
@settings
@accuracy
@click.option("--time-limit", type=float, help="Seconds; without it, none.")
@columns
@click.option("--json", "as_json", is_flag=True, help='Print JSON; nan and inf are written as "nan" and "inf".')
@click.option("--coupling", type=click.Path(path_type=Path), help="Write p(x,y) to this .csv or .npy file.")
@click.option("--certificate", type=click.Path(path_type=Path), help="Write a proof file, for: drcopt check FILE.")
@force
@click.option("--progress/--no-progress", default=None, help="Bound and gap on stderr.  [default: on a terminal]")
def solve(
    source: str,
    minimize: str,
    D: float | None,
    R: float | None,
    C: Any,
    of: str | None,
    perception: tuple[str, list[float] | None] | None,
    py: str,
    as_json: bool,
    coupling: Path | None,
    certificate: Path | None,
    force: bool,
    progress: bool | None,
    x: str | None,
    s: str | None,
    y: str | None,
    weights: str | None,
    d: str | None,
    **how: Any,
) -> None:
    """Solve one problem within budgets: the least distortion, or the least rate, classification loss or perception.

    A table of samples needs the columns of its letters: people.csv --x hair --s eyes.

    Exits with 0 if there is a point, with 1 if the budgets cannot be met or nothing was found, with 2 if the input is
    wrong, with 130 if it was interrupted.

    \b
    Examples:
      drcopt solve bernoulli --R 0.3 --C 0.9 --coupling coupling.csv
      drcopt solve bernoulli:px=0.3,p1=0.1 --R 0.5
      drcopt solve bernoulli --minimize rate --D 0.1 --C 0.9
      drcopt solve bernoulli --R 0.5 --py free --classifier-sees message
      drcopt solve bernoulli --R 0.5 --C 0.28 --class-loss error
      drcopt solve bernoulli --R 0.5 --perception tv:0.05
      drcopt solve bernoulli --minimize perception --perception kl --R 0.2 --D 0.2
    """
    if coupling is not None and coupling.suffix.lower() not in (".csv", ".npy"):
        raise InputError(f"--coupling must end in .csv or .npy; it is {str(coupling)!r}. Give it one of them.")
    refuse_existing(force, coupling, certificate)
    from drcopt.classes import others
    from drcopt.decision_session import session_of
    from drcopt.engines.base import INTERRUPTED
    from drcopt.questions.quantities import quantity

    problem = load(source, py, x=x, s=s, y=y, weights=weights, d=d)
    session = session_of(problem, perception=_perception(problem, perception, minimize), **how)
    # JSON has all its fields whatever happened; a person gets the sentence that the exception holds.
    lenient = as_json or certificate is not None
    objective = quantity(minimize)
    if of is not None and minimize != "classification_loss":
        raise InputError(f"--of must come with --minimize classification-loss; it is {of!r}. Leave it out.")
    C = others(problem, of, C)
    with _reported(session, objective, progress):
        solution = session.ask(objective, D=D, R=R, C=C, on_failure="return" if lenient else "raise")
        if solution.status == "infeasible":
            solution = session.with_edge(solution)
    found = solution.status not in ("infeasible", "unknown")
    if certificate is not None:
        solution.certificate.save(certificate)
    if coupling is not None and found:
        _write_coupling(solution, coupling)
    click.echo(json.dumps(plain(_fields(solution, problem)), indent=2) if as_json else _report(solution))
    if solution.termination.startswith(INTERRUPTED):  # the best known is printed; a script must not take it for more
        raise Ended(INTERRUPTED, 130)
    if not found:
        least = _least_loss(solution)
        missed = (
            f" (C must be at least {f'{least:.8g} {solution.loss_units}'.strip()})"
            if not math.isnan(least) and least > solution.classification_budget
            else ""
        )
        raise Ended(f"{solution.status}: {solution.termination}{missed}", 1)
    if solution.verified is False:
        raise Ended(solution.termination, 1)


def _perception(problem: Problem, near: Any, objective: str) -> Any:
    """The drcopt.Perception that is asked for; None: none."""
    how = perceived(problem, near, objective)
    if not how:
        return None
    from drcopt.perception import Perception

    budgets = how["budgets"] or [math.inf]
    if len(budgets) > 1:
        raise InputError(f"--perception must have one budget; it has {len(budgets)}. Use drcopt sweep for several.")
    return Perception(how["kind"], budgets[0], ground=how["ground"])


@contextmanager
def _reported(session: Session, objective: Quantity, progress: bool | None) -> Iterator[None]:
    """Say on stderr how far a long solve is: the best point, the bound and the gap, after the first second."""
    terminal = sys.stderr.isatty()
    if not (terminal if progress is None else progress) or objective.name == "perception":  # asked in other words
        yield
        return
    from drcopt.support import watch

    scale, offset = session.counted(objective)  # a search counts in its units
    started, last, said = time.monotonic(), 0.0, False

    def tell(upper: float, lower: float) -> None:
        nonlocal last, said
        now = time.monotonic() - started
        if now < PATIENCE or now - last < (0.2 if terminal else QUIET):
            return
        last, said = now, True
        upper, lower = (scale * value + offset for value in (upper, lower))
        found = f"{objective.symbol} ≤ {upper:.6g}" if math.isfinite(upper) else "no point yet"
        text = f"drcopt: {now:.0f} s: {found}, proved ≥ {lower:.6g}" + (
            f", gap {upper - lower:.2g}" if math.isfinite(upper) and math.isfinite(lower) else ""
        )
        print(f"\r{text:<79}" if terminal else text, end="" if terminal else "\n", file=sys.stderr, flush=True)

    try:
        with watch.listening(tell):
            yield
    finally:
        if said and terminal:
            print(f"\r{'':79}\r", end="", file=sys.stderr, flush=True)


def _fields(solution: Solution, problem: Problem) -> dict[str, Any]:
    names = ["status", "termination", "objective", "value", "distortion", "lower_bound", "gap", "excess"]
    names += ["rate", "classification_loss", "perception", "accuracy", "bayes_error"]
    asked = [
        "formulation",
        "classifier_sees",
        "class_loss",
        "distortion_budget",
        "rate_budget",
        "classification_budget",
        "units",
    ]
    asked += ["law", "perception_kind", "perception_budget", *["of"] * bool(solution.of)]
    fields = {
        **{name: getattr(solution, name) for name in names},
        "multipliers": vars(solution.multipliers),
        "residuals": vars(solution.residuals),
        **{name: getattr(solution, name) for name in ("engine", "seconds", *asked)},
        "problem_fingerprint": problem.fingerprint,
        "least_classification_loss": _least_loss(solution),
        "problem": {"name": problem.name, "n": problem.n, "m": problem.m, "k": problem.k},
        "labels": {axis: letters for axis in "xys" if (letters := getattr(problem.labels, axis)) is not None},
        "output_law": solution.output_law,
        "coupling": solution.coupling,
        "stats": dict(solution.stats),
    }
    if solution.mixture is not None:
        fields["mixture"] = [vars(part) for part in solution.mixture]
    if solution.message is not None:
        fields["message"] = vars(solution.message)
    if solution.verified is not None:
        proved = {name: getattr(solution, name) for name in ("proved_lower_bound", "proved_distortion")}
        fields |= proved | {"verified": "yes" if solution.verified else "no"}
    return fields


def _least_loss(solution: Solution) -> float:
    """What the classification loss is at least where C cannot be met, proved, in its unit; else nan."""
    from drcopt.certify.verify import below
    from drcopt.questions import CLASSIFICATION_LOSS

    certificate = solution.certificate
    if solution.status != "infeasible" or certificate is None or not isinstance(solution.classification_budget, float):
        return math.nan
    least: float = certificate.least(CLASSIFICATION_LOSS)
    return below(least, solution.units) if solution.loss_units else least


def _report(solution: Solution) -> str:
    from drcopt.solution import STATUSES

    units, unit = solution.units, solution.units.rstrip("s")
    multipliers = solution.multipliers
    what = solution.objective.replace("_", " ") + f" of {solution.of}" * bool(solution.of)
    least = f"{solution.distortion:.9g}"
    bound = f"{solution.lower_bound:.9g}"
    if math.isfinite(solution.distortion_budget):
        least += f" (budget {solution.distortion_budget:.9g})"
    if solution.objective != "distortion":
        named = {"perception": "", "classification_loss": solution.loss_units}.get(solution.objective, units)
        bound += f" {named}".rstrip() + f", of the {what}"
    guessed = f"{solution.accuracy:.6g}, of the best classifier (Bayes error {solution.bayes_error:.6g})"
    worths = [
        ("distortion", multipliers.distortion, "unit of d"),
        ("rate", multipliers.rate, unit),
        ("classification", multipliers.classification, unit if solution.loss_units else "unit of C"),
    ]
    lines = {
        "status": f"{solution.status}: {STATUSES[solution.status]}",
        "distortion": least,
        "lower bound": bound,
        "gap": f"{solution.gap:.2g}",
        **({"exceeds a budget by": f"{solution.excess:.3g} {units} at most"} if solution.excess > 0 else {}),
        **({} if solution.verified is None else {"verified": _proved(solution)}),
        "rate": f"{solution.rate:.9g} {units} (budget {solution.rate_budget:.9g})",
        "classification loss": (
            f"{f'{solution.classification_loss:.9g} {solution.loss_units}'.rstrip()} "
            f"(budget {solution.classification_budget:.9g}{_LIMITED.get(solution.class_loss, '')})"
        ),
        **_of_law(solution),
        **({} if solution.problem is None or math.isnan(solution.coupling[0, 0]) else {"accuracy": guessed}),
        **{
            f"{name} multiplier": f"{worth:.6g} {what} per {each}"
            for name, worth, each in worths
            if name not in what or solution.of
        },
        "engine": f"{solution.engine}: {' '.join(solution.termination.split())}",
        "seconds": f"{solution.seconds:.3g}",
    }
    return "\n".join(f"{name:27}{value}" for name, value in lines.items())


def _of_law(solution: Solution) -> dict[str, str]:
    """What the report says of a law of Y that is not just given, and of messages."""
    lines = {}
    if solution.law != "given":
        text = {"near": "near that of the source", "free": "any"}[solution.law]
        law = solution.output_law
        shown = f": {', '.join(f'{q:.6g}' for q in law)}" if len(law) <= 8 and not math.isnan(float(law[0])) else ""
        lines["law of Y"] = text + shown
    if solution.perception_kind:
        limit = solution.perception_budget
        budget = f" (budget {limit:.9g})" if math.isfinite(limit) else ""
        lines["perception"] = f"{solution.perception:.9g}, {solution.perception_kind}{budget}"
    if solution.message is not None:
        lines["message"] = f"{len(solution.message.weights)} letters, which the classifier reads"
    return lines


def _proved(solution: Solution) -> str:
    if not solution.verified:
        return "no"
    if solution.objective != "distortion":  # the checker's other end is one of the distortion only
        return f"yes: the optimum is at least {solution.proved_lower_bound!r}"
    return f"yes: the optimum lies in [{solution.proved_lower_bound!r}, {solution.proved_distortion!r}]"


def _write_coupling(solution: Solution, path: Path) -> None:
    import numpy as np

    from drcopt.support.files import atomic_write

    if path.suffix.lower() == ".npy":
        with atomic_write(path, "wb") as binary:
            np.save(binary, solution.coupling)
        return
    with atomic_write(path, "w") as text:
        if solution.labels.x is not None or solution.labels.y is not None:
            solution.frame().rename_axis(index=None, columns=None).to_csv(text, lineterminator="\n")
        else:
            text.writelines(",".join(map(repr, row)) + "\n" for row in solution.coupling.tolist())
