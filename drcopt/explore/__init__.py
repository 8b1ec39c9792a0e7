"""One self-contained page to explore a table, a surface or an answer with: no network, works from a file.

The pictures are drawn by Observable Plot (``plot.min.js``, its bundle for a browser, built by
``esbuild --bundle --minify --format=iife --global-name=Plot``): it draws SVG, fits the page, and needs no ``eval``. A
content-security policy lets exactly the page's own scripts run. Data stand in a block of JSON in which no ``<``
appears, and are shown as text only, whatever labels say.
"""

from __future__ import annotations

import base64
import decimal
import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drcopt import words
from drcopt.errors import InputError
from drcopt.labels import Labels
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, PERCEPTION, QUANTITIES, Quantity, quantity
from drcopt.solution import Solution
from drcopt.support.check import FloatArray, shown, text
from drcopt.support.files import atomic_write
from drcopt.sweeps.rows import BUDGETS, inside, limited
from drcopt.sweeps.sheet import Surface

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOST_BYTES", "MOST_ROWS", "page", "save"]

#: A page is no larger, and shows no more rows.
MOST_BYTES, MOST_ROWS = 2_000_000, 20_000
#: Budgets along each axis of a surface, and of a curve; numbers in couplings, altogether, and couplings along an axis.
_GRID, _LINE, _NUMBERS, _COUPLINGS = 60, 400, 40_000, 12
_STATUSES = ("known", "open", "optimal", "feasible", "near-feasible", "infeasible", "unknown")
_WORDS = {
    "R": "rate budget",
    "D": "distortion budget",
    "C": "classification budget",
    "P": "perception budget",
}
_CODEC = ("rate", "distortion", "loss")


def save(
    what: pd.DataFrame | Surface | Solution | Answer,
    path: str | os.PathLike[str],
    *,
    codecs: pd.DataFrame | None = None,
    title: str | None = None,
) -> Path:
    """Write :func:`page` to a file, whole or not at all.

    Parameters
    ----------
    what, codecs, title
        As in :func:`page`.
    path : str or path
        The .html file.

    Raises
    ------
    InputError
        As :func:`page`, or if the file cannot be written.
    OutputError
        If writing fails half-way.

    Examples
    --------
    >>> import tempfile
    >>> import drcopt
    >>> solution = drcopt.solve(drcopt.sources.bernoulli(), R=0.5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(solution, f"{folder}/answer.html").name
    'answer.html'
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"path must end in .html; it is {str(path)!r}. Choose such a name.")
    content = page(what, codecs=codecs, title=title)
    with atomic_write(path) as handle:
        handle.write(content)
    return path


def page(
    what: pd.DataFrame | Surface | Solution | Answer, *, codecs: pd.DataFrame | None = None, title: str | None = None
) -> str:
    """The page as HTML.

    Parameters
    ----------
    what : DataFrame, Surface or Solution
        A sweep's table, what :func:`drcopt.surface` returned, or a single answer. A table holds no couplings, so that
        its page shows none.
    codecs : DataFrame, optional
        Points of codecs, with columns ``rate`` and ``loss`` in bits, ``distortion``, and perhaps ``name`` or ``label``.
    title : str, optional
        Above the page.

    Raises
    ------
    InputError
        If it is none of these, is about several problems or objectives, or is too large for a page.

    Examples
    --------
    >>> import drcopt
    >>> curve = drcopt.surface(drcopt.sources.bernoulli(), R=(0.1, 0.8), tol=1e-2)
    >>> drcopt.explore.page(curve).startswith("<!DOCTYPE html>")
    True
    """
    if isinstance(what, Surface):
        data = _of_surface(what)
    elif isinstance(what, Solution):
        data = _of_solution(what)
    elif isinstance(what, Answer):
        data = _of_answer(what)
    elif hasattr(what, "columns") and hasattr(what, "to_dict"):
        data = _of_table(what)
    else:
        raise InputError(
            f"what to explore must be a table, a Surface or a Solution; it is {shown(what)}. Pass what drcopt.sweep, "
            "drcopt.surface or drcopt.solve returned."
        )
    data["codecs"] = _codecs(codecs, data)
    data["title"] = data["title"] if title is None else text("title", title)
    return _html(data)


# -- what the page holds -----------------------------------------------------------------------------------------------


def _of_surface(surface: Surface) -> dict[str, Any]:
    objective, axes = quantity(surface.objective), [axis.quantity for axis in surface.refinement.axes]
    if len(axes) > 2:
        raise InputError("a surface to explore must vary at most two budgets; this one varies three. Hold one of them.")

    def per(q: Quantity, units: words.Units) -> float:
        return inside(q, surface.settings["perception"], units)

    grid = surface.refinement.grid
    own = bool(grid) and math.prod(grid) <= _GRID**2
    table = surface.table(*(grid if own else [_LINE] if len(axes) == 1 else [_GRID] * 2))
    columns = [BUDGETS[q] for q in axes]
    data = _data(objective, axes, table, columns, [surface.settings["formulation"]])
    held = [
        f"{q.budget} = {float(surface.refinement.fixed[q.place]) / per(q, 'bits'):.6g}"
        for q in BUDGETS
        if q not in (*axes, objective) and math.isfinite(surface.refinement.fixed[q.place])
    ]
    data["notes"] = [
        f"{surface.share}{'' if grid else ' of the budgets'} are known to "
        f"{objective.outside(surface.refinement.tol, 'bits'):.3g}{' bits' if objective.informational else ''}"
        f"{'' if grid else ', proved everywhere, not only at the places shown'}.",
        *([f"Held: {', '.join(held)}."] if held else []),
    ]
    if objective is not CLASSIFICATION_LOSS and axes[1:] == [CLASSIFICATION_LOSS]:
        data["edge"] = _edge(surface, axes[0])
    size = surface.question.problem.d.size
    count = max(2, min(_COUPLINGS, int((_NUMBERS / size) ** (1.0 / len(axes)))))
    units = [per(q, "bits") / per(q, surface.units) for q in axes]
    counts = [n if n <= count else count for n in grid] if own else [count] * len(axes)
    for _, row in surface.table(*counts).iterrows():
        if not math.isfinite(row["value"]):
            continue
        P = surface.coupling(*(float(row[c]) * u for c, u in zip(columns, units, strict=True)))
        if P is not None:
            data["points"].append(_point([float(row[c]) for c in columns], float(row["value"]), P))
    return data | _letters(surface.problem)


def _edge(surface: Surface, axis: Quantity) -> dict[str, Any]:
    """Where feasibility ends: the least loss at budgets on the other axis, in bits."""
    ends = surface.refinement.axes[0]
    at = np.linspace(ends.low, ends.high, 80)
    lower, upper = surface.edge([axis.outside(v, surface.units) for v in at.tolist()])
    unit = CLASSIFICATION_LOSS.outside(CLASSIFICATION_LOSS.inside(1.0, surface.units), "bits")
    least = CLASSIFICATION_LOSS.outside(surface.refinement.axes[1].low, "bits")

    def shown(edge: FloatArray) -> list[float | None]:  # below the map there is nothing to draw it on
        return [_number(float(v) * unit) if float(v) * unit >= least else None for v in edge]

    return {
        "a": [_number(axis.outside(v, "bits")) for v in at.tolist()],
        "lower": shown(lower),
        "upper": shown(upper),
    }


def _of_solution(solution: Solution) -> dict[str, Any]:
    objective = quantity(solution.objective)
    if solution.problem is None:
        raise InputError("a solution to explore must know its problem; this one does not. Solve it with drcopt.solve.")
    given = (solution.distortion_budget, solution.rate_budget, solution.classification_budget)

    def nats(q: Quantity, value: float) -> float:
        return q.inside(value, solution.units)

    found = None if np.isnan(solution.coupling).any() else solution.coupling
    budgets = [nats(q, v) for q, v in zip(QUANTITIES, given, strict=True)]
    ends = nats(objective, solution.lower_bound), nats(objective, solution.value)
    return _of_answer(Answer(solution.problem, objective, budgets, *ends, found, solution.formulation, solution.status))


@dataclass(frozen=True, eq=False)
class Answer:
    """One answer: budgets (D, R, C) and an interval around the least, in nats and the unit of d, and a coupling."""

    problem: Problem
    objective: Quantity
    budgets: Sequence[float]
    lower: float
    upper: float
    coupling: FloatArray | None
    formulation: str
    status: str


def _of_answer(answer: Answer) -> dict[str, Any]:
    import pandas as pd

    objective = answer.objective
    _require_limits(objective)
    axes = list(limited(objective))
    columns = [BUDGETS[q] for q in axes]
    at = [q.outside(answer.budgets[q.place], "bits") for q in axes]
    lower, upper = (objective.outside(v, "bits") for v in (answer.lower, answer.upper))
    row = dict(zip(columns, at, strict=True)) | {"lower_bound": lower, "value": upper}
    table = pd.DataFrame([{**row, "status": answer.status}])
    data = _data(objective, axes, table, columns, [answer.formulation])
    if answer.coupling is not None:
        data["points"].append(_point(at, upper, answer.coupling))
    return data | _letters(answer.problem)


def _require_limits(objective: Quantity) -> None:
    if objective not in QUANTITIES:
        raise InputError(
            f"the objective must be one of {[q.name for q in QUANTITIES]} for a page; it is {objective.name!r}. "
            "Explore another answer."
        )


def _of_table(table: pd.DataFrame) -> dict[str, Any]:
    if BUDGETS[PERCEPTION] not in table.columns:  # one of before
        table = table.assign(**{BUDGETS[PERCEPTION]: math.inf})
    needed = ["objective", "lower_bound", "value", "status", *BUDGETS.values()]
    if missing := [name for name in needed if name not in table.columns]:
        raise InputError(
            f"a table to explore must be one of drcopt.sweep; it lacks the columns {', '.join(missing)}. "
            "Read it with drcopt.tables.read_table, which completes older ones."
        )
    if not 1 <= len(table) <= MOST_ROWS:
        raise InputError(f"a table must have 1 to {MOST_ROWS} rows for a page; it has {len(table)}. Select some.")
    for name, what in (("problem_fingerprint", "problem"), ("objective", "objective")):
        found = [] if name not in table.columns else sorted({str(v) for v in table[name]})
        if len(found) > 1:
            raise InputError(
                f"a table to explore must be about one {what}; it is about {shown(found)}. Select the rows of one."
            )
    objective = quantity(str(table["objective"].iloc[0]))
    _require_limits(objective)
    for name in ("lower_bound", "value", *BUDGETS.values()):
        if table[name].dtype.kind not in "fiu":
            raise InputError(f"the column {name} must hold numbers; it holds {table[name].dtype}. Correct the table.")
    vary = [q for q in BUDGETS if q is not objective and table[BUDGETS[q]].nunique(dropna=False) > 1]
    if len(vary) > 2:  # of which one is P: what is minimised has no budget
        raise InputError(
            "a table to explore must vary at most two budgets; it varies P beside "
            f"{' and '.join(q.budget for q in vary if q is not PERCEPTION)}. Select the rows of one P."
        )
    axes = vary or [limited(objective)[0]]
    columns = [BUDGETS[q] for q in axes]
    groups = [name for name in ("formulation", "classifier_sees") if name in table.columns]
    names: list[Any] = list(zip(*(table[name].astype(str) for name in groups), strict=True)) or [()] * len(table)
    data = _data(objective, axes, table, columns, [", ".join(name) for name in names])
    data["notes"] = ["Bounds hold at the budgets of the table's rows."]
    return data


def _data(
    objective: Quantity, axes: Sequence[Quantity], table: pd.DataFrame, columns: Sequence[str], names: Sequence[str]
) -> dict[str, Any]:
    """Rows by series; a name for each row, or one for all."""
    names = list(names) * (len(table) if len(names) == 1 else 1)
    keys = dict(zip("ab", columns, strict=False))
    kept: dict[str, dict[str, list[Any]]] = {}
    rows = zip(names, *(table[c].tolist() for c in (*columns, "lower_bound", "value", "status")), strict=True)
    for name, *row in rows:
        own = kept.setdefault(name, {key: [] for key in (*keys, "lower", "upper", "status")})
        *budgets, lower, upper, status = row
        if str(status) not in _STATUSES:
            raise InputError(f"status must be one of {list(_STATUSES)}; it is {shown(status)}. Correct the table.")
        for key, budget in zip(keys, budgets, strict=True):
            own[key].append(_number(budget))
        feasible = status != "infeasible"
        own["lower"].append(_number(lower, up=False) if feasible else None)
        own["upper"].append(_number(upper, up=True) if feasible else None)
        own["status"].append(_STATUSES.index(str(status)))
    spans = [[v for v in table[c].tolist() if math.isfinite(v)] or [0.0] for c in columns]
    return {
        "title": f"{objective.words.capitalize()} within budgets: floor and ceiling, proved",
        "notes": [],
        "objective": {
            "words": objective.words,
            "symbol": objective.symbol,
            "unit": "bits" if objective.informational else "",
        },
        "axes": [
            {
                "letter": q.budget,
                "words": _WORDS[q.budget],
                "unit": "bits" if q.informational else "",
                "low": min(span),
                "high": max(span),
            }
            for q, span in zip(axes, spans, strict=True)
        ],
        "statuses": list(_STATUSES),
        "series": [{"name": name, **own} for name, own in kept.items()],
        "edge": None,
        "points": [],
        "classes": [[1.0]],
        "labels": {"x": None, "y": None, "s": None},
    }


def _point(at: Sequence[float], value: float, P: Any) -> dict[str, Any]:
    coupling = [[float(f"{v:.4g}") for v in row] for row in np.maximum(P, 0.0).tolist()]
    return {**dict(zip("ab", map(_number, at), strict=False)), "value": _number(value), "coupling": coupling}


def _letters(problem: Problem) -> dict[str, Any]:
    labels: Labels = problem.labels
    names = {axis: getattr(labels, axis) for axis in "xys"}
    return {
        "classes": [[float(f"{v:.6g}") for v in row] for row in problem.ps_given_x.tolist()],
        "labels": {
            axis: None if found is None else [str(name)[:80] for name in found] for axis, found in names.items()
        },
    }


def _codecs(codecs: pd.DataFrame | None, data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Points of codecs by the page's axes and objective."""
    if codecs is None:
        return []
    if not hasattr(codecs, "columns") or not {"rate", "distortion"} <= set(codecs.columns):
        raise InputError(
            "codecs must be a table with columns rate and distortion, and perhaps loss and name; it is "
            f"{shown(codecs)}. Name them so."
        )
    by_letter = dict(zip("RDC", _CODEC, strict=True))
    by_words = {"rate": "rate", "distortion": "distortion", "classification loss": "loss"}
    found = []
    for i, row in enumerate(codecs.to_dict("records")):
        for name in _CODEC:
            if name in row and not isinstance(row[name], (int, float, np.floating, np.integer)):
                raise InputError(f"codecs must have numbers in {name}; row {i} has {shown(row[name])}. Correct it.")
        axes = {
            key: _number(row.get(by_letter[a["letter"]], math.nan)) for key, a in zip("ab", data["axes"], strict=False)
        }
        value = _number(row.get(by_words[data["objective"]["words"]], math.nan))
        found.append({"name": str(row.get("name", row.get("label", f"codec {i}")))[:80], **axes, "value": value})
    return found


def _number(value: Any, up: bool | None = None) -> float | None:
    """Nine digits, rounded up or down where that is said; None for what is not finite."""
    value = float(value)
    if not math.isfinite(value):
        return None
    how = {None: decimal.ROUND_HALF_EVEN, True: decimal.ROUND_CEILING, False: decimal.ROUND_FLOOR}[up]
    return float(decimal.Context(9, how).create_decimal_from_float(value))


# -- the page ----------------------------------------------------------------------------------------------------------


def _html(data: Mapping[str, Any]) -> str:
    folder = resources.files(__name__)
    parts = {name: (folder / file).read_text(encoding="utf-8") for name, file in _FILES.items()}
    scripts = " ".join(_hash(parts[name]) for name in ("plot", "page"))
    block = json.dumps(data, separators=(",", ":"), allow_nan=False)
    # Nothing in the block can end it, or begin a comment; the same JSON all the same.
    block = block.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    content = _filled(parts["html"], parts | {"scripts": scripts, "data": block})
    size = len(content.encode("utf-8", "replace"))
    if size > MOST_BYTES:
        raise InputError(
            f"a page must be no larger than {MOST_BYTES} bytes; this one has {size}. "
            "Select fewer rows, or shorten labels."
        )
    return content


_FILES = {"html": "page.html", "style": "style.css", "plot": "plot.min.js", "page": "page.js"}


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _filled(template: str, parts: Mapping[str, str]) -> str:
    """The template with its parts, in one go: what a part holds is no place for another."""
    names: Iterable[str] = ("scripts", "style", "data", "plot", "page")
    places = sorted((template.index("{" + name + "}"), name) for name in names)
    pieces, last = [], 0
    for at, name in places:
        pieces += [template[last:at], parts[name]]
        last = at + len(name) + 2
    return "".join([*pieces, template[last:]])
