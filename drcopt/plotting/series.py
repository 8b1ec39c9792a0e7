"""Which rows of a table make one curve, and what it is called; nothing here draws."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drcopt import words
from drcopt.errors import InputError
from drcopt.support import check
from drcopt.support.check import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "BUDGETS", "MOST_CURVES", "NEEDED", "OBJECTIVES", "Budget", "Curve", "answered", "axis", "budgets_of", "coincident",
    "column", "curves", "edge_of", "formulation", "minimised", "objective_of", "require", "source",
]  # fmt: skip

RATE, LOSS = "rate_budget_bits", "classification_budget_bits"


@dataclass(frozen=True)
class Budget:
    """A budget that a table has a column for."""

    column: str
    axis: str
    symbol: str
    unit: str


#: The budgets, by the letter that `x=` takes.
BUDGETS: Mapping[words.Budget, Budget] = {
    "R": Budget(RATE, "rate budget R (bits)", "R", "bits"),
    "C": Budget(LOSS, "classification budget C (bits)", "C", "bits"),
    "D": Budget("distortion_budget", "distortion budget D", "D", ""),
    "P": Budget("perception_budget", "perception budget P", "P", ""),
}

#: What was minimised: the axis, and the names under which a table of points of one's own may hold it.
OBJECTIVES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "distortion": ("distortion E d(X,Y)", ("distortion",)),
    "rate": ("rate (bits)", ("rate_bits", "rate")),
    "classification_loss": (
        "classification loss (bits)",
        ("classification_loss_bits", "classification_loss", "loss"),
    ),
    "perception": ("perception", ("perception",)),
}

#: What C limits, and an axis of it, by the column ``class_loss``.
LOSSES: Mapping[str, tuple[str, str]] = {
    "error": ("Bayes error budget C", "Bayes error"),
    "table": ("decision loss budget C", "loss of the best decision"),
}

#: The columns that are read; a sweep table has them.
NEEDED = (RATE, LOSS, "distortion", "lower_bound", "status")
#: More curves than this in one picture cannot be read.
MOST_CURVES = 12


@dataclass(frozen=True, eq=False)
class Curve:
    """The rows of one curve in the order of its axis, what tells it from the others, and its name."""

    label: str
    rows: pd.DataFrame
    #: Source and formulation: curves of one kind share line and marker.
    kind: tuple[Any, ...]
    #: The other budgets: curves of one level share a colour.
    level: tuple[float, ...]
    x: FloatArray
    #: The least value found, nan where there is no point.
    upper: FloatArray
    lower: FloatArray
    infeasible: np.ndarray
    #: "R > …" and the like: where the curve lives.
    domain: str = ""


def curves(table: pd.DataFrame, x: words.Budget = "R") -> tuple[str, list[Curve]]:
    """What was minimised, and the curves of a table over one budget.

    Rows of different problems, formulations or other budgets are different curves.

    Raises
    ------
    InputError
        If the table lacks a column, has no finite budget on that axis, mixes objectives or holds too many curves.
    """
    check.choice("x", x, words.BUDGETS)
    known = budgets_of(table)
    budget = known[x]
    require(table, "table", (*NEEDED, budget.column))
    objective = objective_of(table)
    table = table[np.isfinite(column(table, budget.column))].sort_values(budget.column, kind="stable")
    if len(table) == 0:
        what = budget.axis.split(" budget")[0]
        raise InputError(
            f"table must have a row with a finite {what} budget; it has none. Sweep {budget.symbol} over a grid."
        )
    answered(table)
    named = "curve" in table.columns
    kinds = [name for name in ("problem_fingerprint", "formulation", "classifier_sees") if _varies(table, name)]
    if "classifier_sees" in kinds and "formulation" in table.columns and "formulation" not in kinds:
        kinds.insert(-1, "formulation")
    laws = ["perception_kind"] if _varies(table, "perception_kind") else []
    if "law" in table.columns and {"given", "free"} <= set(table["law"]):  # which no budget tells apart
        laws.append("law")
    kinds += laws
    others = [b for b in known.values() if b is not budget and b.column in table.columns]
    own = {"distortion": "D", "rate": "R", "classification_loss": "C"}.get(objective)
    usual: tuple[words.Budget, ...] = ("R", "D", "C")
    default = next(known[letter] for letter in usual if letter not in (x, own))
    levels = [b for b in others if b is default or _varies(table, b.column)]
    by = ["curve"] if named else [*kinds, *(b.column for b in levels)]
    groups = [rows for _, rows in table.groupby(by, sort=not named, dropna=False)]
    if len(groups) > MOST_CURVES:
        raise InputError(
            f"table must hold at most {MOST_CURVES} curves; it holds {len(groups)}. Select some of its "
            f"{'classification' if default.symbol == 'C' else 'rate'} budgets, or draw a surface."
        )
    measured, made = found(table), []
    for rows in groups:
        first = rows.iloc[0]
        parts = [source(first)] if "problem_fingerprint" in kinds else []
        parts += [formulation(first)] if {"formulation", "classifier_sees"} & set(kinds) else []
        parts += [said for name in laws if (said := f"Y {first[name]}" if name == "law" else str(first[name]))]
        parts += [_limit(b, float(first[b.column])) for b in levels]
        value = column(rows, measured)
        made.append(
            Curve(
                label=str(first["curve"]) if named else ", ".join(parts),
                rows=rows,
                kind=(str(first["curve"]),) if named else tuple(str(first[name]) for name in kinds),
                level=() if named else tuple(float(first[b.column]) for b in levels),
                x=column(rows, budget.column),
                upper=np.where(np.isfinite(value), value, math.nan),
                lower=column(rows, "lower_bound"),
                infeasible=(rows["status"] == "infeasible").to_numpy(),
            )
        )
    return objective, made


def class_loss_of(table: pd.DataFrame) -> str:
    """What C limits in every row of the table: "entropy", "error" or "table"."""
    if "class_loss" not in getattr(table, "columns", ()) or len(table) == 0:
        return "entropy"
    found = sorted({str(name) or "entropy" for name in table["class_loss"]})
    if len(found) > 1:
        raise InputError(
            f"table must hold rows of one class_loss; it holds {', '.join(found)}, whose budgets C are not of one "
            f"unit. Select one first, e.g. table[table.class_loss == {found[0]!r}]."
        )
    return found[0] if found[0] in LOSSES else "entropy"


def budgets_of(table: pd.DataFrame) -> Mapping[words.Budget, Budget]:
    """The budgets, with C as what it limits in the table."""
    loss = class_loss_of(table)
    return BUDGETS if loss == "entropy" else {**BUDGETS, "C": Budget(LOSS, LOSSES[loss][0], "C", "")}


def minimised(table: pd.DataFrame) -> str:
    """The axis of what the table minimised."""
    objective, loss = objective_of(table), class_loss_of(table)
    return LOSSES[loss][1] if objective == "classification_loss" and loss in LOSSES else OBJECTIVES[objective][0]


def axis(table: pd.DataFrame) -> Any:
    """The budget to draw over: the rate's, or the first other one of which the table has finite values."""
    known = [letter for letter, b in BUDGETS.items() if b.column in table.columns]
    return next((letter for letter in known if np.isfinite(column(table, BUDGETS[letter].column)).any()), "R")


def limited(table: pd.DataFrame) -> tuple[words.Budget, words.Budget]:
    """The two budgets that a surface of a table spans."""
    pairs: Mapping[str, tuple[words.Budget, words.Budget]] = {"rate": ("D", "C"), "classification_loss": ("R", "D")}
    first, second = pairs.get(objective_of(table), ("R", "C"))
    varies: dict[words.Budget, bool] = {}
    for letter in (first, second, "P"):
        values = column(table, BUDGETS[letter].column) if BUDGETS[letter].column in table.columns else np.zeros(0)
        varies[letter] = len(np.unique(values[np.isfinite(values)])) > 1
    if varies["P"] and varies[first] != varies[second]:
        return (first if varies[first] else second), "P"
    return first, second


def found(table: pd.DataFrame) -> str:
    """The column of what was minimised: tables of before have distortions only, and surfaces values only."""
    return "distortion" if objective_of(table) == "distortion" and "distortion" in table.columns else "value"


def objective_of(table: pd.DataFrame) -> str:
    """What every row of the table minimised."""
    if "objective" not in table.columns or len(table) == 0:
        return "distortion"
    found = sorted({str(name).replace("-", "_") or "distortion" for name in table["objective"]})
    if len(found) > 1:
        raise InputError(
            f"table must hold rows that minimised one thing; it holds {', '.join(found)}. Select one first, "
            f"e.g. table[table.objective == {found[0]!r}]."
        )
    return found[0] if found[0] in OBJECTIVES else "distortion"


def coincident(found: list[Curve]) -> dict[int, int]:
    """For each curve that lies on another wherever it exists, to the width of a line, which one that is."""
    values = np.concatenate([curve.upper for curve in found])
    close = 1e-3 * float(np.nanmax(values) - np.nanmin(values)) if np.isfinite(values).any() else 0.0
    same: dict[int, int] = {}
    for j, curve in enumerate(found):
        here = np.isfinite(curve.upper)
        for i, other in enumerate(found):
            if i == j or not here.any() or not np.array_equal(curve.x, other.x):
                continue
            there = np.isfinite(other.upper)
            if not there[here].all() or (j < i and here[there].all()):  # of equals the later one says so
                continue
            if np.abs(curve.upper - other.upper)[here].max() <= close:
                same[j] = i
                break
    return same


def edge_of(curve: Curve, edge: pd.DataFrame | None, x: words.Budget) -> float | None:
    """Where the curve begins exactly, if a row of ``edge`` has its budget."""
    if edge is None or len(curve.level) != 1 or x not in ("R", "C"):
        return None
    other = BUDGETS["C" if x == "R" else "R"].column
    at = np.isclose(column(edge, other), curve.level[0], rtol=1e-9, atol=0)
    return float(column(edge, BUDGETS[x].column)[at].min()) if at.any() else None


def source(row: Any) -> str:
    """The name of the problem that a row is of."""
    name = str(row["source"]) if "source" in row.index and row["source"] == row["source"] else ""
    return name or f"problem {str(row['problem_fingerprint'])[:6]}"


def formulation(row: Any) -> str:
    """The formulation of a row, and what the classifier is given where that is not settled by it."""
    if row["formulation"] != "one-shot":
        return f"{row['formulation']}, H(S|V)" if row["classifier_sees"] == "message" else str(row["formulation"])
    return f"one-shot, {'H(S|Y)' if row['classifier_sees'] == 'Y' else 'H(S|Y,U)'}"


def answered(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, if any of them has something to show."""
    if (rows["status"] == "unknown").all() and not np.isfinite(column(rows, "lower_bound")).any():
        raise InputError(
            f"table must have an answer to draw; all of its {len(rows)} rows within the axes are unknown. Its column "
            "termination says why."
        )
    return rows


def column(table: pd.DataFrame, name: str) -> FloatArray:
    """A column as floats."""
    return table[name].to_numpy(dtype=np.float64)


def require(table: Any, what: str, columns: Iterable[str]) -> None:
    """Refuse what is not a table with these columns."""
    missing = [name for name in columns if name not in getattr(table, "columns", ())]
    if missing:
        raise InputError(
            f"{what} must be a table with the columns of a sweep; it lacks {', '.join(missing)}. "
            f"Pass what drcopt.sweep or tables.read_table returned."
        )


def _varies(table: pd.DataFrame, name: str) -> bool:
    return name in table.columns and table[name].nunique(dropna=False) > 1


def _limit(budget: Budget, value: float) -> str:
    if not math.isfinite(value):
        return f"{budget.symbol} = ∞"
    unit = budget.unit.rstrip("s") if value == 1.0 else budget.unit
    return f"{budget.symbol} = {value:.4g} {unit}".strip()
