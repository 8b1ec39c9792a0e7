"""One quantity over two budgets: from above, or from the side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drcopt import words
from drcopt.errors import InputError
from drcopt.plotting import series
from drcopt.plotting.lines import measured
from drcopt.plotting.series import BUDGETS, LOSS, NEEDED, RATE, column, require
from drcopt.support.check import FloatArray

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Grid:
    """A table as a matrix: a column for each value of the first budget, a row for each of the second."""

    rows: pd.DataFrame
    objective: str
    axes: tuple[words.Budget, words.Budget]
    x: FloatArray
    y: FloatArray
    #: nan where there is no point.
    values: FloatArray
    infeasible: np.ndarray
    #: Where a surface's floor and ceiling lie too far apart.
    open: np.ndarray
    #: What is said of places without a point.
    missing: str


def grid_of(table: pd.DataFrame) -> Grid:
    """The matrix of a sweep table.

    Raises
    ------
    InputError
        If the table lacks a column, repeats a pair of budgets, or spans too few.
    """
    require(table, "table", [name for name in NEEDED if name != "distortion"])
    objective = series.objective_of(table)
    axes = series.limited(table)
    (first, second), (one, two) = axes, (BUDGETS[letter].column for letter in axes)
    require(table, "table", (one, two))
    rows = table[np.isfinite(column(table, one)) & np.isfinite(column(table, two))]
    if rows.duplicated([one, two]).any():
        raise InputError(
            "table must hold each pair of budgets once; it repeats some. Select one formulation first, e.g. "
            "table[table.formulation == 'single-letter']."
        )
    value = series.found(table)
    require(table, "table", [value])
    grids = series.answered(rows).pivot(index=two, columns=one, values=[value, "status"])
    values, status = grids[value], grids["status"]
    if min(values.shape) < 2:
        raise InputError(
            f"table must span at least two finite {first} and two finite {second}; it spans {values.shape[1]} and "
            f"{values.shape[0]}. Draw a curve, or sweep both budgets."
        )
    found = values.to_numpy(dtype=np.float64)
    return Grid(
        rows, objective, axes,
        values.columns.to_numpy(dtype=np.float64), values.index.to_numpy(dtype=np.float64),
        np.where(np.isfinite(found), found, np.nan), (status == "infeasible").to_numpy(), (status == "open").to_numpy(),
        "no point known" if rows["status"].isin(["known", "open"]).any() else "not solved",
    )  # fmt: skip


def draw_surface(
    draw: Any,
    figure: Any,
    ax: Any,
    grid: Grid,
    *,
    view: words.View,
    points: Mapping[str, pd.DataFrame] | pd.DataFrame | None,
    edge: pd.DataFrame | None,
    title: str,
    own: bool,
) -> None:
    """Draw it on axes; ``own`` says whether the figure is ours to put a legend under."""
    if view == "3d" and not hasattr(ax, "plot_surface"):
        raise InputError("ax must be three-dimensional for view='3d'; it is flat. Make it with projection='3d'.")
    first, second = grid.axes
    names = [BUDGETS[first].column, BUDGETS[second].column]
    line = None
    if edge is not None and (names == [RATE, LOSS] or {*names} <= {*edge.columns}):
        require(edge, "edge", names)
        edge = edge.sort_values(names[0])
        line = [column(edge, name) for name in (*names, "lower_bound_bits") if name in edge.columns]
        if not any(((grid.y[0] <= y) & (y <= grid.y[-1])).any() for y in line[1:]):
            line = None
    heights = {"C": "classification_loss", "D": "distortion", "P": "perception"}[second]
    marks = measured(points, first, heights)
    notes = (_relief if view == "3d" else _map)(draw, figure, ax, grid, line)
    for place, (label, x, y, _) in enumerate(marks):
        where = [x, y]
        if view == "3d":
            where.append(
                np.concatenate([z for name, _, z, _ in measured(points, first, grid.objective) if name == label])
            )
        ax.plot(*where, linestyle="", label=label, **draw.point(place))
    known = series.budgets_of(grid.rows)
    ax.set(xlabel=known[first].axis, ylabel=known[second].axis)
    draw.title(ax, title)
    draw.legend(figure if own else None, ax, notes)


def _map(draw: Any, figure: Any, ax: Any, grid: Grid, line: list[FloatArray] | None) -> list[Any]:
    notes = []
    if grid.infeasible.any():
        draw.hatch(ax)
        notes.append(draw.hatched("infeasible"))
    missing = np.isnan(grid.values) & ~grid.infeasible
    if missing.any():
        notes.append(draw.blank(ax, grid.x, grid.y, missing, grid.missing))
    values = np.ma.masked_invalid(grid.values)
    if values.count():
        mesh = ax.pcolormesh(grid.x, grid.y, values, shading="nearest", cmap="cividis", rasterized=True)
        draw.colourbar(figure, ax, mesh, series.minimised(grid.rows))
        if values.max() > values.min():
            draw.contours(ax, grid.x, grid.y, values)
    if grid.open.any():
        notes.append(draw.dotted(ax, grid.x, grid.y, grid.open, "floor and ceiling further apart"))
    if line is not None:
        x, upper, *lower = line
        if lower:
            ax.fill_between(x, lower[0], upper, color=draw.ink(), alpha=0.3, linewidth=0)
        ax.plot(x, upper, color=draw.ink(), linewidth=1.6, label="edge")
    ax.set(xlim=grid.x[[0, -1]], ylim=grid.y[[0, -1]])
    return notes


def _relief(draw: Any, figure: Any, ax: Any, grid: Grid, line: list[FloatArray] | None) -> list[Any]:
    floor = 0.0
    if np.isfinite(grid.values).any():
        x, y = np.meshgrid(grid.x, grid.y)
        floor = min(0.0, float(np.nanmin(grid.values)))
        draw.relief(ax, x, y, grid.values)
    else:
        ax.text2D(0.5, 0.5, "infeasible at every pair of budgets", transform=ax.transAxes, ha="center")
    if line is not None:
        (a, b), (c, d) = grid.x[[0, -1]], grid.y[[0, -1]]
        x, y = line[:2]
        inside = (a <= x) & (x <= b) & (c <= y) & (y <= d)  # three-dimensional axes do not clip
        ax.plot(x[inside], y[inside], np.full(inside.sum(), floor), color=draw.ink(), linewidth=1.6, label="edge")
    ax.set(xlim=grid.x[[0, -1]], ylim=grid.y[[0, -1]])
    ax.zaxis.set_rotate_label(False)
    ax.set_zlabel(series.minimised(grid.rows), rotation=90)
    ax.set_zlim(bottom=floor)
    return []
