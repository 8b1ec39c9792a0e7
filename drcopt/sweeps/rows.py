"""A column of a sweep table is one line here: name, meaning, what kind of thing it is, and where its cells come from.

Sweeps read rows off solutions with it, tables know what to hold, rows that speak for each other what to hand over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any, Literal

import numpy as np

from drcopt import words
from drcopt.errors import InputError
from drcopt.information import NATS_PER, from_nats, to_nats
from drcopt.perception import Perception
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, PERCEPTION, RATE, Quantity
from drcopt.questions.output import KINDS
from drcopt.solution import Solution
from drcopt.support import check

#: What an argument of budgets may be.
Budgets = float | None | Iterable[float | None]

#: The budgets of a row, in the order in which a sweep goes through them: the first that is limited fastest.
BUDGETS: Mapping[Quantity, str] = {
    RATE: "rate_budget_bits",
    DISTORTION: "distortion_budget",
    CLASSIFICATION_LOSS: "classification_budget_bits",
    PERCEPTION: "perception_budget",
}

#: What a point has of each quantity; that of what is minimised is the row's ``value``.
MEASURED: Mapping[Quantity, str] = {
    DISTORTION: "distortion",
    RATE: "rate_bits",
    CLASSIFICATION_LOSS: "classification_loss_bits",
    PERCEPTION: "perception",
}


def limited(objective: Quantity) -> tuple[Quantity, Quantity]:
    """Two quantities that a sweep limits: the one that its chains ascend in, then the one they hold."""
    first, second, *_ = (q for q in BUDGETS if q is not objective)
    return first, second


def inside(q: Quantity, perception: Perception | None, units: words.Units) -> float:
    """Nats, or units of d or of a divergence, in a unit of a budget."""
    of_law = q is PERCEPTION and perception is not None and KINDS[perception.kind].informational
    return NATS_PER[units] if q.informational or of_law else 1.0


def outer(objective: Quantity) -> Quantity:
    """The third, which a sweep goes through last."""
    return CLASSIFICATION_LOSS if objective is PERCEPTION else PERCEPTION


@dataclass(frozen=True, eq=False)
class Asked:
    """What a row asks, whatever comes of it: in bits and the unit of d; budgets on what is limited only."""

    problem: Problem
    settings: Mapping[str, Any]
    objective: Quantity
    budgets: Mapping[Quantity, float]
    perception: Perception | None = None

    @property
    def class_loss(self) -> str:
        """What C limits, by name."""
        loss = self.settings.get("class_loss", "entropy")
        return loss if isinstance(loss, str) else "table"

    @property
    def law(self) -> str:
        """What Y's law is held to."""
        if self.perception is not None and math.isfinite(self.budget(PERCEPTION)):
            return "near"
        return "given" if self.perception is None and not self.problem.free else "free"

    def budget(self, quantity: Quantity) -> float:
        """The budget on a quantity; inf: none."""
        return self.budgets.get(quantity, math.inf)


#: "asked" of the question, "point" or "bound" what comes with one, "slope" at the point, "told" of the solve.
Kind = Literal["asked", "point", "bound", "slope", "told"]


@dataclass(frozen=True)
class Column:
    """One column: ``read`` takes an :class:`Asked` if it is "asked", else a Solution.

    ``otherwise`` is its cell where nothing was found, ``text`` whether it holds text (else float64), ``before`` its
    cell in tables written before there was such a column (None: every table has it).
    """

    name: str
    meaning: str
    kind: Kind
    read: Callable[[Any], Any]
    otherwise: Any = math.nan
    text: bool = False
    before: Any = None


def _asked(name: str, meaning: str, read: Callable[[Asked], Any], **more: Any) -> Column:
    return Column(name, meaning, "asked", read, **more)


def _found(kind: Kind, name: str, meaning: str, read: Callable[[Solution], Any], **more: Any) -> Column:
    return Column(name, meaning, kind, read, **more)


def _setting(name: str, meaning: str, **more: Any) -> Column:
    return _asked(name, meaning, lambda asked: asked.settings[name], **more)


def _limit(quantity: Quantity, meaning: str, **more: Any) -> Column:
    return _asked(BUDGETS[quantity], meaning, lambda asked: asked.budget(quantity), **more)


def _version(package: str, title: str) -> Column:
    # Asked where the point is solved, which may be another machine, and kept through a resume.
    return _asked(f"{package}_version", f"{title} that computed the row", lambda _: version(package), text=True)


#: Every column of a sweep table, in order. Information is in bits throughout.
ALL: tuple[Column, ...] = (
    _setting("formulation", "single-letter, time-sharing or one-shot", text=True),
    _setting("classifier_sees", "Y, YU or message: what the classifier is given", text=True),
    _limit(RATE, "R; inf: no such budget"),
    _limit(CLASSIFICATION_LOSS, "C; inf: no such budget"),
    _found("point", "distortion", "E d(X,Y) of the best point found; nan: none found, inf: infeasible, "
           "where it is the objective", lambda s: float(s.distortion)),
    _found("bound", "lower_bound", "proved lower bound on the least value, in its unit; -inf: none known, inf: "
           "infeasible", lambda s: float(s.lower_bound), otherwise=-math.inf),
    _found("told", "gap", "value - lower_bound", lambda s: float(s.gap)),
    _found("point", "rate_bits", "rate of the point found", lambda s: float(s.rate)),
    _found("point", "classification_loss_bits", "classification loss of the point found",
           lambda s: float(s.classification_loss)),
    _found("slope", "rate_multiplier", "-d value / d R, in the unit of value per bit; nan where the rate is the "
           "objective", lambda s: float(s.multipliers.rate)),
    _found("slope", "classification_multiplier", "-d value / d C, likewise",
           lambda s: float(s.multipliers.classification)),
    _found("told", "status", "optimal, feasible, near-feasible, infeasible or unknown (drcopt.solution.STATUSES)",
           lambda s: s.status, otherwise="unknown", text=True),
    _found("told", "termination", "why the engine stopped, on one line", lambda s: one_line(s.termination), text=True),
    _found("point", "engine", 'engine that proposed the point (the one asked for, if it failed; "earlier": other rows)',
           lambda s: s.engine, text=True),
    _found("told", "seconds", "wall-clock time of the point", lambda s: float(s.seconds)),
    _asked("problem_fingerprint", "hash of the problem's arrays", lambda asked: asked.problem.fingerprint, text=True),
    _setting("tol", "gap asked for: a share of what is at stake in d for a distortion, in bits for a rate or loss"),
    _version("drcopt", "drcopt"),
    _version("numpy", "NumPy"),
    _version("scipy", "SciPy"),
    _asked("objective", "what was minimised: distortion, rate, classification_loss or perception",
           lambda asked: asked.objective.name, text=True, before="distortion"),
    _found("point", "value", "the objective at the point found, an upper bound on the least: in the unit of d, or in "
           "bits; inf: infeasible, nan: none found", lambda s: s.value, before=math.nan),
    _limit(DISTORTION, "D, in the unit of d; inf: no such budget", before=math.inf),
    _asked("perception_kind", "how perception was measured; empty: it was not limited",
           lambda asked: "" if asked.perception is None else asked.perception.kind, text=True, before=""),
    _limit(PERCEPTION, "P, in bits for kl, reverse-kl and renyi; inf: no such budget",
           before=math.inf),
    _found("point", "perception", "perception of the point found; nan: not measured", lambda s: float(s.perception),
           before=math.nan),
    _found("point", "accuracy", "how often the best classifier of the point found is right: sum over y of "
           "max_s p(s,y)", lambda s: s.accuracy, before=math.nan),
    _asked("law", "Y's law: given, near the target, or free", lambda asked: asked.law, text=True, before="given"),
    _found("slope", "distortion_multiplier", "-d value / d D, in bits per unit of d",
           lambda s: float(s.multipliers.distortion), before=math.nan),
    _asked("class_loss", "what the classification loss and its budget are: entropy, H(S|Y); error, the Bayes error; "
           "table, the loss of the best decision (the last two in their own unit, not in bits)",
           lambda asked: asked.class_loss, text=True, before="entropy"),
)  # fmt: skip

#: The columns that follow them in a table of ``sweep(..., verify="interval")``.
PROVED: tuple[Column, ...] = (
    _found("bound", "proved_lower_bound", "lower bound on the least value, in its unit, proved in ball arithmetic and "
           "rounded down; -inf: none", lambda s: float(s.proved_lower_bound), otherwise=-math.inf),
    _found("point", "proved_distortion", "upper bound in the unit of d, likewise, rounded up; inf: point exceeds a "
           "budget, or none; nan: something else was minimised", lambda s: float(s.proved_distortion),
           otherwise=math.inf),
    _found("told", "verified", "yes if the independent checker proved the row's certificate, else no (termination "
           "says why)", lambda s: "yes" if s.verified else "no", otherwise="no", text=True),
)  # fmt: skip


#: What tells the rows of one problem and one way of solving apart: all that is asked, but for where it came from.
IDENTITY: tuple[Column, ...] = tuple(
    column
    for column in ALL
    if column.kind == "asked" and column.name not in ("problem_fingerprint", "tol") and "_version" not in column.name
)


def listed(of: Quantity, value: Budgets, units: words.Units) -> list[float]:
    """The budgets on a quantity, in bits, that an argument means."""
    name = of.budget
    if not isinstance(value, Iterable) or isinstance(value, str) or (isinstance(value, np.ndarray) and not value.ndim):
        budgets = [check.budget(name, value)]
    else:
        items = list(value)
        if not items or any(np.ndim(item) for item in items):  # type: ignore[arg-type]
            raise InputError(
                f"{name} must be one budget or a flat sequence of at least one; it is {value!r}. "
                f"Pass e.g. {name}=[0.5, 1.0]."
            )
        budgets = [check.budget(f"{name}[{i}]", item) for i, item in enumerate(items)]
    return (
        budgets
        if units == "bits" or not of.informational
        else [from_nats(to_nats(budget, units), "bits") for budget in budgets]
    )


def names(*kinds: Kind) -> tuple[str, ...]:
    """The columns of these kinds."""
    return tuple(column.name for column in (*ALL, *PROVED) if column.kind in kinds)


def table(verify: words.Verify | None) -> tuple[Column, ...]:
    """The columns of a sweep's table."""
    return ALL if verify is None else (*ALL, *PROVED)


def answered(solution: Solution) -> dict[str, Any]:
    """The cells that a solution fills."""
    return {column.name: column.read(solution) for column in (*ALL, *PROVED) if column.kind != "asked"}


def unanswered(asked: Asked, why: str, seconds: float) -> dict[str, Any]:
    """Those cells where there is no solution."""
    cells = {column.name: column.otherwise for column in (*ALL, *PROVED) if column.kind != "asked"}
    return cells | {"termination": one_line(why), "engine": str(asked.settings["engine"]), "seconds": seconds}


def cells(asked: Asked, answer: Mapping[str, Any]) -> dict[str, Any]:
    """A whole row, of the columns that the table will have and no others: a resumed sweep knows no more."""
    columns = table(asked.settings.get("verify"))
    return {c.name: c.read(asked) if c.kind == "asked" else answer[c.name] for c in columns}


def identity(asked: Asked) -> tuple[Any, ...]:
    """What a row that asks this has in the columns of :data:`IDENTITY`."""
    return tuple(column.read(asked) for column in IDENTITY)


@cache
def version(package: str) -> str:
    """The installed version of a package; "unknown" in a source tree that is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def one_line(text: str) -> str:
    """Text as a cell can hold it."""
    # A lone surrogate (from an undecodable file name, say) could not be written to a file.
    return " ".join(text.split()).encode("utf-8", "backslashreplace").decode()
