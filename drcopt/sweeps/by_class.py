"""Sweeps of problems with several classes: budgets by name, and columns for each class."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from drcopt.class_session import ClassSession
from drcopt.classes import aimed, budgets_of
from drcopt.errors import InputError
from drcopt.information import from_nats, to_nats
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, RATE, Quantity
from drcopt.support import check
from drcopt.sweeps.rows import ALL, Asked, listed

if TYPE_CHECKING:
    import pandas as pd

#: What there is of every class, each in a column of its own: the name of one in brackets.
OF_CLASSES = ("classification_budget_bits", "classification_loss_bits", "classification_multiplier", "accuracy")


def sweep_by_class(
    problem: Problem,
    given: Mapping[str, Any],
    objective: Quantity,
    settings: Mapping[str, Any],
    units: Any,
    unused: Mapping[str, Any],
    progress: bool | None,
) -> pd.DataFrame:
    """A row for every C, in it for every R (or D; where a loss is minimised for every D, in it for every R).

    Columns are as in all tables, those of the loss once for each class. A column "curve" says the budgets of classes in
    words, and names the curves of pictures. The loss that is minimised is that of the class that C says nothing of.
    """
    import pandas as pd

    assert problem.classes is not None
    wrong = [f"{name}={check.shown(value)}" for name, value in unused.items() if value is not None]
    if wrong:
        raise InputError(
            "a sweep over several classes must come with R, C and D alone, no P, executor, checkpoint or verify; "
            f"{', '.join(wrong)} came. Leave that out."
        )
    session = ClassSession(problem, units="bits", **settings)
    session.require(objective)
    loss = objective is CLASSIFICATION_LOSS
    first, second = DISTORTION if objective is RATE else RATE, DISTORTION
    limits = listed(first, given[first.budget], units)
    outer = listed(second, given[second.budget], units) if loss else [math.inf]
    if not loss and given[objective.budget] is not None:
        raise objective.limited_itself(check.shown(given[objective.budget]))
    classes = _listed(given["C"], tuple(problem.classes), units, loss)
    rows = []
    disable = None if progress is None else not progress
    with tqdm(total=len(limits) * len(outer) * len(classes), unit="point", disable=disable) as bar:
        for C, held, limit in product(classes, outer, limits):
            budgets = {second: held, first: limit}
            asked = Asked(problem, settings, objective, {**budgets, CLASSIFICATION_LOSS: math.nan})
            limited = {q.budget: budget for q, budget in budgets.items()}
            solution = session.ask(objective, **limited, C=C, on_failure="return")
            row: dict[str, Any] = {}
            for column in ALL:
                if column.name in OF_CLASSES:
                    row[column.name] = math.nan
                else:
                    row[column.name] = column.read(asked if column.kind == "asked" else solution)
            least = [f"least H({solution.of}|Y)"] * loss
            row["curve"] = (
                ", ".join(least + [f"C[{name}] = {c:.6g}" for name, c in C.items() if c < math.inf]) or "no C"
            )
            names = solution.classification_loss
            accuracy = solution.accuracy if isinstance(solution.accuracy, Mapping) else dict.fromkeys(names, math.nan)
            of = (solution.classification_budget, names, solution.multipliers.classification, accuracy)
            for what, values in zip(OF_CLASSES, of, strict=True):
                row |= {f"{what}[{name}]": float(values[name]) for name in names}
            rows.append(row)
            bar.update()
    return pd.DataFrame(rows)


def _listed(value: Any, names: Sequence[str], units: Any, loss: bool) -> list[dict[str, float]]:
    """The budgets of classes, in bits; of one that is minimised there is none."""
    one = value is None or isinstance(value, (Mapping, str)) or not isinstance(value, Iterable)
    many = [value] if one else [*value]
    if not many:
        raise InputError("C must be a mapping with a budget for each class, or several of them; it is empty. Pass one.")
    limited = [[name for name in names if not loss or name != aimed(each, names)] for each in many]
    found = [budgets_of(each, some) for each, some in zip(many, limited, strict=True)]
    if units == "bits":
        return found
    return [{name: from_nats(to_nats(c, units), "bits") for name, c in each.items()} for each in found]
