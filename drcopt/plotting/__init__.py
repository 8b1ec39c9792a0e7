"""Pictures of tables and solutions; nothing here solves. Every function returns a matplotlib Figure.

Needs the extra ``plot``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from drcopt import _check
from drcopt._check import FloatArray
from drcopt._files import atomic_write
from drcopt.errors import InputError
from drcopt.solution import Mixture

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

KINDS = ("auto", "curve", "surface")
SUFFIXES = (".png", ".svg", ".pdf")
RATE, LOSS = "rate_budget_bits", "classification_budget_bits"
RATE_LABEL = "rate budget R (bits)"
LOSS_LABEL = "classification budget C (bits)"
DISTORTION_LABEL = "distortion E d(X,Y)"

#: The columns that are read; a sweep table has them.
NEEDED = (RATE, LOSS, "distortion", "lower_bound", "status")
#: More curves than this in one picture cannot be read.
MOST_CURVES = 12
#: Components of a mixture that are drawn; the others are counted.
MOST_COMPONENTS = 8


def curve(table: pd.DataFrame, *, overlays: Mapping[str, pd.DataFrame] | None = None, title: str = "") -> Figure:
    """Distortion against rate: a curve for each classification budget, and each formulation if there are several.

    Where the gap can be seen, a band reaches from ``lower_bound`` to ``distortion``. Rates up to the largest
    infeasible one are shaded (less rate is infeasible too). A hollow triangle is a lower bound without a point.
    Rows without a rate budget have no place on the axis and are left out.

    Parameters
    ----------
    table : pandas.DataFrame
        A sweep table, or any with the columns :data:`NEEDED`; a column ``curve``, if there is one, names the
        curves instead.
    overlays : mapping of str to DataFrame, optional
        Label → table with ``rate_budget_bits`` and ``distortion``, such as a closed form; drawn as grey lines.
    title : str
        Above the picture.

    Raises
    ------
    InputError
        If a table lacks a column, or holds no finite rate or too many curves.
    MissingExtraError
        If matplotlib is not installed.
    """
    draw = _draw()
    curves = _curves(table)
    figure = draw.picture()
    ax = draw.axes(figure)
    ordered = "curve" not in table.columns and _column(table, LOSS).size and table[LOSS].nunique() == len(curves) > 1
    colours = draw.shades(len(curves)) if ordered else draw.COLOURS * 2
    rates = np.concatenate([_column(rows, RATE) for _, rows in curves])
    margin = 0.02 * float(np.ptp(rates)) or 0.02
    left, right = min(0.0, float(rates.min())) - margin, float(rates.max()) + margin
    solved = any(np.isfinite(_column(rows, "distortion")).any() for _, rows in curves)
    shaded = False
    for place, (label, rows) in enumerate(curves):
        dash, marker = (kinds[place % len(kinds)] for kinds in (draw.DASHES, draw.MARKERS))
        R, upper, lower = (_column(rows, name) for name in (RATE, "distortion", "lower_bound"))
        point, barred = np.isfinite(upper), (rows["status"] == "infeasible").to_numpy()
        colour = {"color": colours[place]}
        # Curves often coincide: the first are the widest, so that each can be seen below the next.
        width = 1.6 + 1.8 * (1.0 - place / max(1, len(curves) - 1)) if len(curves) > 1 else 1.8
        style = {"linestyle": dash, "linewidth": width, "marker": marker if len(rows) <= 30 else "", "markersize": 4}
        ax.plot(R, np.where(point, upper, math.nan), label=label + _gap_in(R, barred), **style, **colour)
        ax.fill_between(R, lower, upper, where=point & np.isfinite(lower), alpha=0.25, linewidth=0, **colour)
        bare = ~point & np.isfinite(lower)
        ax.plot(R[bare], lower[bare], linestyle="", marker="^", markerfacecolor="none", **colour)
        if barred.any() and not (barred.all() and solved):
            shaded = True
            ax.axvspan(left, R[barred].max(), alpha=0.12, linewidth=0, **colour)
            ax.axvline(R[barred].max(), linestyle=dash, linewidth=1.0, alpha=0.6, **colour)
    for place, (label, rows) in enumerate((overlays or {}).items()):
        _require(rows, f"overlays[{label!r}]", (RATE, "distortion"))
        rows = rows[np.isfinite(_column(rows, RATE))].sort_values(RATE)
        values = _column(rows, "distortion")
        ax.plot(
            _column(rows, RATE),
            np.where(np.isfinite(values), values, math.nan),
            color=draw.INK,
            linewidth=1.0,
            linestyle=draw.DASHES[(place + 1) % len(draw.DASHES)],
            label=label,
        )
    ax.set(xlim=(left, right), xlabel=RATE_LABEL, ylabel=DISTORTION_LABEL, title=title)
    draw.legend(figure, ax, [draw.shaded("infeasible (by colour)")] if shaded else [])
    return figure  # type: ignore[no-any-return]


def surface(table: pd.DataFrame, *, title: str | None = None) -> Figure:
    """D(R, C) as a heat map with contours; pairs of budgets proved infeasible are hatched.

    Rows where R or C is inf have no place on the axes and are left out.

    Parameters
    ----------
    table : pandas.DataFrame
        A sweep table of one formulation, over at least two finite R and two finite C.
    title : str, optional
        Above the picture; default: the formulation, if the table names it.

    Raises
    ------
    InputError
        If the table lacks a column, repeats a pair of budgets, or spans too few.
    MissingExtraError
        If matplotlib is not installed.
    """
    draw = _draw()
    _require(table, "table", NEEDED)
    rows = table[np.isfinite(_column(table, RATE)) & np.isfinite(_column(table, LOSS))]
    if rows.duplicated([RATE, LOSS]).any():
        raise InputError(
            "table must hold each pair of budgets once; it repeats some. Select one formulation first, e.g. "
            "table[table.formulation == 'single-letter']."
        )
    grids = _answered(rows).pivot(index=LOSS, columns=RATE, values=["distortion", "status"])
    distortion, status = grids["distortion"], grids["status"]
    if min(distortion.shape) < 2:
        raise InputError(
            f"table must span at least two finite R and two finite C; it spans {distortion.shape[1]} and "
            f"{distortion.shape[0]}. Draw a curve, or sweep both budgets."
        )
    R, C = distortion.columns.to_numpy(dtype=np.float64), distortion.index.to_numpy(dtype=np.float64)
    values = np.ma.masked_invalid(distortion.to_numpy(dtype=np.float64))
    infeasible = (status == "infeasible").to_numpy()
    figure = draw.picture(6.4, 4.8)
    ax = draw.axes(figure, grid=False)
    notes = []
    if infeasible.any():
        draw.hatch(ax)
        notes.append(draw.hatched("infeasible"))
    missing = np.ma.getmaskarray(values) & ~infeasible
    if missing.any():
        notes.append(draw.blank(ax, R, C, missing))
    if values.count():
        mesh = ax.pcolormesh(R, C, values, shading="nearest", cmap="cividis", rasterized=True)
        figure.colorbar(mesh, ax=ax, label=DISTORTION_LABEL)
        if values.max() > values.min():
            draw.contours(ax, R, C, values)
    if title is None:
        title = _formulation(rows.iloc[0]) if "formulation" in table.columns else ""
    ax.set(xlim=R[[0, -1]], ylim=C[[0, -1]], xlabel=RATE_LABEL, ylabel=LOSS_LABEL, title=title)
    draw.legend(figure, ax, notes)
    return figure  # type: ignore[no-any-return]


def coupling(coupling: ArrayLike, *, title: str = "") -> Figure:
    """A joint pmf of (X, Y), shape (n, m), as a heat map: x downwards, y to the right; white is zero.

    Raises
    ------
    InputError
        If it is not a nonnegative matrix (a problem without a solution has none).
    MissingExtraError
        If matplotlib is not installed.
    """
    draw = _draw()
    P = _check.real_array("coupling", coupling, 2)
    figure = draw.picture(5.2, 4.4)
    ax = draw.axes(figure, grid=False)
    draw.heat(figure, ax, P, "probability P(x,y)")
    ax.set(xlabel="reconstruction y", ylabel="source letter x", title=title)
    return figure  # type: ignore[no-any-return]


def mixture(mixture: Mixture | None, *, title: str = "") -> Figure:
    """The components of a mixture, the heaviest first: each coupling p(y|x) of its map, with its weight.

    A one-shot component is a map: one square in each row. Rates and losses are in the solution's units.

    Raises
    ------
    InputError
        If there is no mixture: single-letter solutions have none, nor do problems without a solution.
    MissingExtraError
        If matplotlib is not installed.
    """
    draw = _draw()
    if not isinstance(mixture, Mixture) or len(mixture) == 0:
        raise InputError(
            f"mixture must be a drcopt Mixture with a component; it is {mixture!r}. Pass the .mixture of a solution "
            "of formulation 'one-shot' or 'time-sharing', or its .coupling to plotting.coupling."
        )
    parts = sorted(mixture, key=lambda part: -part.weight)
    shown = parts[:MOST_COMPONENTS]
    columns = min(4, len(shown))
    lines = math.ceil(len(shown) / columns)
    figure = draw.picture(1.0 + 2.1 * columns, 0.9 + 2.4 * lines)
    for place, part in enumerate(shown):
        ax = draw.axes(figure, lines, columns, place + 1, grid=False)
        totals = part.coupling.sum(axis=1, keepdims=True)
        given = np.divide(part.coupling, totals, out=np.zeros_like(part.coupling), where=totals > 0)
        draw.heat(figure, ax, given, top=1.0)
        ax.set_title(f"weight {part.weight:.3g}\nd {part.distortion:.3g}, rate {part.rate:.3g}", fontsize=9)
    rest = parts[MOST_COMPONENTS:]
    if rest:
        more = f"{len(rest)} more of total weight {sum(part.weight for part in rest):.2g}"
        title = f"{title} ({more})" if title else f"The heaviest {len(shown)}; {more}"
    if title:
        figure.suptitle(title, fontsize=11)
    figure.supxlabel("reconstruction y", fontsize=10)
    figure.supylabel("source letter x", fontsize=10)
    return figure  # type: ignore[no-any-return]


def plot(table: pd.DataFrame, kind: str = "auto", *, title: str | None = None) -> Figure:
    """`surface` if the table spans at least four finite R and four finite C of one formulation, else `curve`."""
    _require(table, "table", NEEDED)
    if _check.choice("kind", kind, KINDS) == "auto":
        budgets = _column(table, RATE), _column(table, LOSS)
        kind = "surface" if min(len(np.unique(values[np.isfinite(values)])) for values in budgets) >= 4 else "curve"
        kind = "curve" if table.duplicated([RATE, LOSS]).any() else kind
    return surface(table, title=title) if kind == "surface" else curve(table, title=title or "")


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure as .png, .svg or .pdf, whole or not at all.

    Raises
    ------
    InputError
        If the suffix is another, or the file cannot be written.
    OutputError
        If writing fails half-way, as on a full disk.
    """
    target = check_destination(path)
    kind = target.suffix.lower()[1:]
    with atomic_write(target, "wb") as binary:
        _draw().write(figure, binary, kind)
    return target


def check_destination(path: str | os.PathLike[str]) -> Path:
    """``path`` if its suffix says what to draw."""
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"path must end in {', '.join(SUFFIXES)}; it is {str(target)!r}. Give the picture one of these suffixes."
        )
    return target


def _draw() -> Any:
    """The drawing helpers, if matplotlib is there."""
    _check.require("matplotlib", "plot", "Plotting")
    return _check.require("drcopt.plotting.figure", "plot", "Plotting")


def _curves(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Label and rows of each curve, by rate."""
    _require(table, "table", NEEDED)
    table = table[np.isfinite(_column(table, RATE))].sort_values(RATE, kind="stable")
    if len(table) == 0:
        raise InputError("table must have a row with a finite rate budget; it has none. Sweep R over a grid.")
    _answered(table)
    kinds = [name for name in ("formulation", "classifier_sees") if name in table.columns and table[name].nunique() > 1]
    by = ["curve"] if "curve" in table.columns else [*kinds, LOSS]
    if kinds and kinds != ["formulation"]:
        kinds = ["formulation", "classifier_sees"]
    groups = list(table.groupby(by, sort="curve" not in table.columns))
    if len(groups) > MOST_CURVES:
        raise InputError(
            f"table must hold at most {MOST_CURVES} curves; it holds {len(groups)}. Select some of its classification "
            "budgets, or draw a surface."
        )
    labels = []
    for _, rows in groups:
        first = rows.iloc[0]
        if "curve" in table.columns:
            labels.append(str(first["curve"]))
        else:
            C = float(first[LOSS])
            limit = "C = ∞" if math.isinf(C) else f"C = {C:.4g} bits"
            labels.append(f"{_formulation(first)}, {limit}" if kinds else limit)
    return list(zip(labels, (rows for _, rows in groups), strict=True))


def _gap_in(R: FloatArray, barred: Any) -> str:
    """What the legend says of the rates at which a curve does not exist."""
    if not barred.any():
        return ""
    return " (infeasible)" if barred.all() else f" (R > {R[barred].max():.3g})"


def _formulation(row: Any) -> str:
    if row["formulation"] != "one-shot":
        return str(row["formulation"])
    return f"one-shot, {'H(S|Y)' if row['classifier_sees'] == 'Y' else 'H(S|Y,U)'}"


def _answered(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, if any of them has something to show."""
    if (rows["status"] == "unknown").all() and not np.isfinite(_column(rows, "lower_bound")).any():
        raise InputError(
            f"table must have an answer to draw; all of its {len(rows)} rows within the axes are unknown. Its column "
            "termination says why."
        )
    return rows


def _column(table: pd.DataFrame, name: str) -> FloatArray:
    return table[name].to_numpy(dtype=np.float64)


def _require(table: Any, what: str, columns: Iterable[str]) -> None:
    missing = [name for name in columns if name not in getattr(table, "columns", ())]
    if missing:
        raise InputError(
            f"{what} must be a table with the columns of a sweep; it lacks {', '.join(missing)}. "
            f"Pass what drcopt.sweep or tables.read_table returned."
        )
