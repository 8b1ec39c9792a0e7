"""Pictures of tables and solutions; nothing here solves. Every function returns a matplotlib Figure.

Needs the extra ``plot``. With ``ax`` a picture is drawn on axes of yours, in their size and style; without it, on a
figure of ``size`` inches (a column of a paper is about 3.4 wide). Colours of text and background are matplotlib's.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from drcopt import words
from drcopt.errors import InputError
from drcopt.plotting import series
from drcopt.plotting.series import MOST_CURVES, NEEDED, column, require
from drcopt.solution import Mixture, Solution
from drcopt.support import check
from drcopt.support.files import atomic_write

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "KINDS", "MOST_COMPONENTS", "MOST_CURVES", "NEEDED", "SUFFIXES", "check_destination", "coupling", "curve",
    "mixture", "plot", "save", "surface",
]  # fmt: skip

KINDS = words.PICTURES
SUFFIXES = (".png", ".svg", ".pdf")
#: Components of a mixture that are drawn; the others are counted.
MOST_COMPONENTS = 8

Size = tuple[float, float]


def curve(
    table: pd.DataFrame,
    *,
    x: words.Budget = "R",
    overlays: Mapping[str, pd.DataFrame] | None = None,
    points: Mapping[str, pd.DataFrame] | pd.DataFrame | None = None,
    edge: pd.DataFrame | None = None,
    title: str = "",
    ax: Axes | None = None,
    size: Size | None = None,
) -> Figure:
    """What was minimised against one budget: a curve for each value of the other budgets.

    Problems and formulations are told apart by line and marker and are never joined; budgets by colour. Where the gap
    can be seen, a band reaches from ``lower_bound`` to the value found. Budgets up to the edge (or the largest
    infeasible one: less is infeasible too) are shaded. A hollow triangle is a lower bound without a point, a cross a
    point that was not solved. The legend says where a curve coincides with another.

    Parameters
    ----------
    table : pandas.DataFrame
        A sweep table, or any with the columns :data:`NEEDED`; a column ``curve``, if there is one, names the
        curves instead. Rows without a finite budget ``x`` have no place on the axis and are left out.
    x : {"R", "C", "D", "P"}
        The budget on the horizontal axis.
    overlays : mapping of str to DataFrame, optional
        Label → table with the budget column of ``x`` and ``distortion``, such as a closed form; drawn as grey lines.
    points : DataFrame or mapping of str to DataFrame, optional
        Points that something else has reached, such as a codec: columns ``rate`` and ``distortion`` (or
        ``classification_loss`` where that is on an axis), in bits; a column ``accuracy`` is written beside them, a
        column ``label`` or ``name`` names them.
    edge : pandas.DataFrame, optional
        The exact edge of the feasible set: pairs ``rate_budget_bits``, ``classification_budget_bits``.
    title : str
        Above the picture; mathematics between dollar signs where it can be read as such.
    ax : matplotlib Axes, optional
        Where to draw.
    size : (width, height), optional
        Of the figure, in inches.

    Raises
    ------
    InputError
        If a table lacks a column, or holds no finite budget or too many curves.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import drcopt
    >>> table = drcopt.sweep(drcopt.sources.bernoulli(), R=[0.2, 0.5], C=None)
    >>> curve(table, size=(3.4, 2.6)).axes[0].get_xlabel()
    'rate budget R (bits)'
    """
    draw = _draw()
    from drcopt.plotting.lines import draw_curves

    figure, axes = draw.place(ax, size or (6.4, 4.4))
    draw_curves(
        draw, figure, axes, table, x=x, overlays=overlays, points=points, edge=edge, title=title, own=ax is None
    )
    return figure  # type: ignore[no-any-return]


def surface(
    table: pd.DataFrame,
    *,
    view: words.View = "map",
    points: Mapping[str, pd.DataFrame] | pd.DataFrame | None = None,
    edge: pd.DataFrame | None = None,
    title: str | None = None,
    ax: Axes | None = None,
    size: Size | None = None,
) -> Figure:
    """D(R, C) as a heat map with contours, or as a relief; pairs of budgets proved infeasible are hatched, or left out.

    Of a table that minimised the rate it is R(D, C), of one that minimised the loss C(R, D). Rows where one of the two
    budgets is inf have no place on the axes and are left out.

    Parameters
    ----------
    table : pandas.DataFrame
        A sweep table of one formulation, over at least two finite values of either budget; also that of
        ``drcopt.surface(...).table()``: dots lie where its floor and ceiling are too far apart.
    view : {"map", "3d"}
        From above or from the side. ``ax`` must then be three-dimensional.
    points : DataFrame or mapping of str to DataFrame, optional
        Points that something else has reached, with columns ``rate`` and ``classification_loss`` (or ``distortion``),
        in bits. In 3-D they need the column of what was minimised too.
    edge : pandas.DataFrame, optional
        The edge of the feasible set, as in :func:`curve`, over the two budgets of the map; drawn as a line, with a band
        from ``lower_bound_bits`` where there is such a column (``drcopt edge --out`` writes it).
    title : str, optional
        Above the picture; default: the formulation, if the table names it.
    ax, size
        As in :func:`curve`.

    Raises
    ------
    InputError
        If the table lacks a column, repeats a pair of budgets, or spans too few.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import drcopt
    >>> table = drcopt.sweep(drcopt.sources.bernoulli(), R=[0.5, 0.7], C=[0.85, 0.9])
    >>> surface(table, size=(3.4, 2.6)).axes[0].get_ylabel()
    'classification budget C (bits)'
    """
    draw = _draw()
    from drcopt.plotting.surfaces import draw_surface, grid_of

    check.choice("view", view, words.VIEWS)
    grid = grid_of(table)
    figure, axes = draw.place(ax, size or (6.4, 4.8), grid=False, deep=view == "3d")
    if title is None:
        title = series.formulation(grid.rows.iloc[0]) if "formulation" in table.columns else ""
    draw_surface(draw, figure, axes, grid, view=view, points=points, edge=edge, title=title, own=ax is None)
    return figure  # type: ignore[no-any-return]


def coupling(
    coupling: ArrayLike | Solution,
    *,
    x: Sequence[Any] | None = None,
    y: Sequence[Any] | None = None,
    title: str = "",
    ax: Axes | None = None,
    size: Size | None = None,
) -> Figure:
    """A joint pmf of (X, Y), shape (n, m), as a heat map: x downwards, y to the right; white is zero.

    Parameters
    ----------
    coupling : (n, m) array, DataFrame or Solution
        A solution or a DataFrame brings the names of the letters.
    x, y : sequence, optional
        Names of the letters.
    title, ax, size
        As in :func:`curve`.

    Raises
    ------
    InputError
        If it is not a nonnegative matrix (a problem without a solution has none).
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import drcopt
    >>> coupling(drcopt.solve(drcopt.sources.bernoulli(), R=0.5), size=(3.4, 2.8)).axes[0].get_xlabel()
    'reconstruction y'
    """
    draw = _draw()
    values: Any = coupling
    if isinstance(values, Solution):
        names = values.labels
        x, y, values = x or names.x, y or names.y, values.coupling
    elif hasattr(values, "iloc"):
        x, y = x or list(values.index), y or list(values.columns)
    P = check.real_array("coupling", values, 2)
    figure, axes = draw.place(ax, size or (5.2, 4.4), grid=False)
    draw.heat(figure, axes, P, "probability P(x,y)")
    draw.letters(axes, x, y)
    axes.set(xlabel="reconstruction y", ylabel="source letter x")
    draw.title(axes, title)
    return figure  # type: ignore[no-any-return]


def mixture(
    mixture: Mixture | Solution | None,
    *,
    x: Sequence[Any] | None = None,
    y: Sequence[Any] | None = None,
    title: str = "",
    size: Size | None = None,
) -> Figure:
    """The components of a mixture, the heaviest first: each coupling p(y|x) of its map, with its weight.

    A one-shot component is a map: one square in each row. Rates and losses are in the solution's units. A solution
    brings the names of the letters; ``x`` and ``y`` give others. ``title`` and ``size`` as in :func:`curve`.

    Raises
    ------
    InputError
        If there is no mixture: single-letter solutions have none, nor do problems without a solution.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import drcopt
    >>> code = drcopt.solve(drcopt.sources.bernoulli(), R=0.7, C=0.8, formulation="one-shot", classifier_sees="YU")
    >>> len(mixture(code).axes) == len(code.mixture)
    True
    """
    draw = _draw()
    if isinstance(mixture, Solution):
        x, y, mixture = x or mixture.labels.x, y or mixture.labels.y, mixture.mixture
    if not isinstance(mixture, Mixture) or len(mixture) == 0:
        raise InputError(
            f"mixture must be a drcopt Mixture with a component; it is {mixture!r}. Pass the .mixture of a solution "
            "of formulation 'one-shot' or 'time-sharing', or its .coupling to plotting.coupling."
        )
    parts = sorted(mixture, key=lambda part: -part.weight)
    shown = parts[:MOST_COMPONENTS]
    columns = min(4, len(shown))
    lines = math.ceil(len(shown) / columns)
    figure = draw.picture(*(size or (1.0 + 2.1 * columns, 0.9 + 2.4 * lines)))
    for place, part in enumerate(shown):
        ax = draw.axes(figure, lines, columns, place + 1, grid=False)
        totals = part.coupling.sum(axis=1, keepdims=True)
        given = np.divide(part.coupling, totals, out=np.zeros_like(part.coupling), where=totals > 0)
        draw.heat(figure, ax, given, top=1.0)
        draw.letters(ax, x, y)
        between = ", " if figure.get_figwidth() >= 1.7 * columns else "\n"
        about = f"weight {part.weight:.3g}\nd {part.distortion:.3g}{between}rate {part.rate:.3g}"
        ax.set_title(about, fontsize=9 if figure.get_figwidth() >= draw.NARROW else 7)
    rest = parts[MOST_COMPONENTS:]
    if rest:
        more = f"{len(rest)} more of total weight {sum(part.weight for part in rest):.2g}"
        title = f"{title} ({more})" if title else f"The heaviest {len(shown)}; {more}"
    if title:
        draw.title(figure, title)
    text = 10 if figure.get_figwidth() >= draw.NARROW else 8
    figure.supxlabel("reconstruction y", fontsize=text)
    figure.supylabel("source letter x", fontsize=text)
    return figure  # type: ignore[no-any-return]


def plot(table: pd.DataFrame, kind: words.Picture = "auto", *, title: str | None = None, **options: Any) -> Figure:
    """:func:`surface` if the table spans four finite values of both budgets of one formulation, else :func:`curve`.

    Parameters
    ----------
    table : pandas.DataFrame
        A sweep table.
    kind : {"auto", "curve", "surface", "3d"}
        What to draw; "3d" is a surface seen from the side. With the option ``x``, "auto" is a curve.
    title, **options
        As in the function that draws.

    Examples
    --------
    >>> import drcopt
    >>> table = drcopt.sweep(drcopt.sources.bernoulli(), R=[0.2, 0.5], C=None)
    >>> plot(table).axes[0].get_ylabel()
    'distortion E d(X,Y)'
    """
    require(table, "table", NEEDED)
    if check.choice("kind", kind, KINDS) == "auto":
        pair = [series.BUDGETS[letter].column for letter in series.limited(table)]
        budgets = [column(table, name) for name in pair]
        wide = min(len(np.unique(values[np.isfinite(values)])) for values in budgets) >= 4
        kind = "surface" if wide and "x" not in options and not table.duplicated(pair).any() else "curve"
    if kind in ("surface", "3d"):
        return surface(table, title=title, view="3d" if kind == "3d" else "map", **options)
    return curve(table, title=title or "", **{"x": series.axis(table), **options})


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write ``figure`` to ``path``, a .png, .svg or .pdf file, whole or not at all.

    Raises
    ------
    InputError
        If the suffix is another, or the file cannot be written.
    OutputError
        If writing fails half-way, as on a full disk.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = save(coupling([[0.5, 0.0], [0.0, 0.5]]), f"{folder}/coupling.svg")
    >>> written.name
    'coupling.svg'
    """
    target = check_destination(path)
    kind = target.suffix.lower()[1:]
    with atomic_write(target, "wb") as binary:
        _draw().write(figure, binary, kind)
    return target


def check_destination(path: str | os.PathLike[str]) -> Path:
    """``path`` if its suffix says what to draw.

    Examples
    --------
    >>> check_destination("curve.pdf").suffix
    '.pdf'
    """
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"path must end in {', '.join(SUFFIXES)}; it is {str(target)!r}. Give the picture one of these suffixes."
        )
    return target


def _draw() -> Any:
    """The drawing helpers, if matplotlib is there."""
    check.require("matplotlib", "plot", "Plotting")
    return check.require("drcopt.plotting.figure", "plot", "Plotting")
