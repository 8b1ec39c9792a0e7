"""One quantity against one budget: a curve for each of the others, with what is proved and what is not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from drcopt import words
from drcopt.errors import InputError
from drcopt.plotting import series
from drcopt.plotting.series import BUDGETS, OBJECTIVES, RATE, Curve, column, require

if TYPE_CHECKING:
    import pandas as pd

#: The names under which a table of points of one's own may hold what a budget limits.
MEASURED: Mapping[words.Budget, tuple[str, ...]] = {
    "R": ("rate_bits", "rate"),
    "C": ("classification_loss_bits", "classification_loss", "loss"),
    "D": ("distortion",),
    "P": ("perception",),
}


def draw_curves(
    draw: Any,
    figure: Any,
    ax: Any,
    table: pd.DataFrame,
    *,
    x: words.Budget,
    overlays: Mapping[str, pd.DataFrame] | None,
    points: Mapping[str, pd.DataFrame] | pd.DataFrame | None,
    edge: pd.DataFrame | None,
    title: str,
    own: bool,
) -> None:
    """Draw the curves of a table on axes; ``own`` says whether the figure is ours to put a legend under."""
    objective, curves = series.curves(table, x)
    if edge is not None:
        require(edge, "edge", (RATE, BUDGETS["C"].column))
    everything = np.concatenate([curve.x for curve in curves])
    marks = measured(points, x, objective)
    extent = np.concatenate([everything, *(places for _, places, _, _ in marks)])
    margin = 0.02 * float(np.ptp(extent)) or 0.1 * abs(float(extent[0])) or 0.1
    left, right = float(extent.min()) - margin, float(extent.max()) + margin
    if x != "C":
        left = min(left, -margin)
    same = series.coincident(curves)
    styles = _styles(draw, curves)
    notes: dict[str, Any] = {}
    span = _span(curves)
    for place, (curve, style) in enumerate(zip(curves, styles, strict=True)):
        exact = series.edge_of(curve, edge, x)
        label = curve.label + _domain(curve, x, exact)
        if place in same:
            label += f" (coincides with {curves[same[place]].label})"
        _one(draw, ax, curve, {**style, "label": label}, place / max(1, len(curves) - 1), span, notes)
        if exact is None and curve.infeasible.any() and not curve.infeasible.all():
            exact = float(curve.x[curve.infeasible].max())
        if exact is not None:
            ax.axvspan(left, exact, alpha=draw.faint(), linewidth=0, color=style["color"])
            ax.axvline(exact, linestyle=style["linestyle"], linewidth=1.0, alpha=0.6, color=style["color"])
            notes["shaded"] = draw.shaded("infeasible (by colour)")
    _overlay(draw, ax, overlays, x)
    for place, (label, places, heights, said) in enumerate(marks):
        label += " (with accuracy)" * any(said)
        ax.plot(places, heights, linestyle="", label=label, **draw.point(place))
        for a, b, text in zip(places, heights, said, strict=True):
            if text:
                ax.annotate(text, (a, b), xytext=(6, 5), textcoords="offset points", fontsize=8 if own else "small")
    _room(ax, span, curves)
    if all(curve.infeasible.all() for curve in curves):
        draw.note(ax, f"infeasible at every {BUDGETS[x].symbol} of the table")
    ax.set(xlim=(left, right), xlabel=series.budgets_of(table)[x].axis, ylabel=series.minimised(table))
    draw.title(ax, title)
    draw.legend(figure if own else None, ax, list(notes.values()))


def _one(draw: Any, ax: Any, curve: Curve, style: dict[str, Any], rank: float, span: float, notes: Any) -> None:
    """A curve, its band, and the marks of its points without an answer."""
    colour = {"color": style["color"]}
    # Curves often coincide: the first are the widest, so that each can be seen below the next.
    width = 1.6 + 1.8 * (1.0 - rank)
    ax.plot(curve.x, curve.upper, linewidth=width, markersize=4, **style)
    point = np.isfinite(curve.upper)
    bounded = np.isfinite(curve.lower)
    ax.fill_between(
        curve.x, curve.lower, curve.upper, where=point & bounded, alpha=2 * draw.faint(), linewidth=0, **colour
    )
    wide = point & bounded & (np.nan_to_num(curve.upper - curve.lower) > 2e-3 * span)
    ax.vlines(curve.x[wide], curve.lower[wide], curve.upper[wide], linewidth=1.0, alpha=0.5, **colour)
    if wide.any():
        notes["band"] = draw.shaded("from the proved bound to the best point", alpha=2 * draw.faint())
    bare = ~point & bounded & ~curve.infeasible
    ax.plot(curve.x[bare], curve.lower[bare], linestyle="", marker="^", markerfacecolor="none", **colour)
    if bare.any():
        notes["bare"] = draw.sample("^", "proved bound, no point found")
    blank = ~point & ~bounded & ~curve.infeasible
    if blank.any():
        ax.plot(curve.x[blank], np.zeros(blank.sum()), "x", transform=ax.get_xaxis_transform(), clip_on=False, **colour)
        notes["blank"] = draw.sample("x", "not solved")


def _styles(draw: Any, curves: list[Curve]) -> list[dict[str, Any]]:
    """Colour by the other budgets, line and marker by source and formulation; by both where there is one kind."""
    levels = sorted({curve.level for curve in curves})
    kinds = list(dict.fromkeys(curve.kind for curve in curves))
    ordered = len(levels) > 1
    palette = draw.shades(len(levels)) if ordered else draw.COLOURS * 2
    styles = []
    for place, curve in enumerate(curves):
        turn = kinds.index(curve.kind) if len(kinds) > 1 else place
        styles.append(
            {
                "color": palette[levels.index(curve.level) if ordered else place],
                "linestyle": draw.DASHES[turn % len(draw.DASHES)],
                "marker": draw.MARKERS[turn % len(draw.MARKERS)] if len(curve.rows) <= 30 else "",
            }
        )
    return styles


def _domain(curve: Curve, x: words.Budget, exact: float | None) -> str:
    """What the legend says of the budgets at which a curve does not exist."""
    if exact is not None:
        return f" ({x} ≥ {exact:.4g})"
    if not curve.infeasible.any():
        return ""
    return " (infeasible)" if curve.infeasible.all() else f" (none at {x} ≤ {curve.x[curve.infeasible].max():.3g})"


def _room(ax: Any, span: float, curves: list[Curve]) -> None:
    """Not an axis of roundings: where all values are one, it stands in the middle."""
    values = np.concatenate([curve.upper for curve in curves])
    values = values[np.isfinite(values)]
    if len(values) and np.ptp(ax.get_ylim()) < 2 * span:
        middle = 0.5 * float(values.min() + values.max())
        half = max(span, 0.1 * abs(middle)) or 0.1
        if np.ptp(values) < 0.1 * half:
            ax.set_ylim(middle - half, middle + half)


def _span(curves: list[Curve]) -> float:
    values = np.concatenate([np.concatenate([curve.upper, curve.lower]) for curve in curves])
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return 0.0
    return max(float(np.ptp(values)), 1e-3 * float(np.abs(values).max()))  # what is constant has a rounding's span


def _overlay(draw: Any, ax: Any, overlays: Mapping[str, pd.DataFrame] | None, x: words.Budget) -> None:
    where = BUDGETS[x].column
    for place, (label, rows) in enumerate((overlays or {}).items()):
        require(rows, f"overlays[{label!r}]", (where, "distortion"))
        rows = rows[np.isfinite(column(rows, where))].sort_values(where)
        values = column(rows, "distortion")
        ax.plot(
            column(rows, where),
            np.where(np.isfinite(values), values, math.nan),
            color=draw.ink(),
            linewidth=1.0,
            linestyle=draw.DASHES[(place + 1) % len(draw.DASHES)],
            label=label,
        )


def measured(points: Any, x: words.Budget, objective: str) -> list[tuple[str, Any, Any, list[str]]]:
    """Label, places, heights and texts of points that others have reached."""
    if points is None:
        return []
    if hasattr(points, "columns"):
        named = next((name for name in ("label", "name") if name in points.columns), None)
        points = {"points": points} if named is None else dict(list(points.groupby(named, sort=False)))
    found = []
    for label, rows in points.items():
        places = _named(rows, label, MEASURED[x])
        heights = _named(rows, label, OBJECTIVES[objective][1])
        said = [f"{value:.3g}" for value in rows["accuracy"]] if "accuracy" in rows.columns else [""] * len(rows)
        found.append((str(label), places, heights, said))
    return found


def _named(rows: Any, label: Any, names: tuple[str, ...]) -> Any:
    for name in names:
        if name in getattr(rows, "columns", ()):
            return column(rows, name)
    have = ", ".join(map(str, getattr(rows, "columns", [type(rows).__name__])))
    raise InputError(
        f"{label if label == 'points' else f'points {label!r}'} must be a table with a column {' or '.join(names)}; "
        f"it has {have}. Rename the column that holds it."
    )
