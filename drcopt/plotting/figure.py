"""The one module that imports matplotlib: figures drawn through its object interface, with no global state."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from textwrap import fill
from typing import IO, Any

from matplotlib import colormaps, rc_context, rcParams
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.mathtext import MathTextParser
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator
from numpy import ma

#: Okabe and Ito's colours, apart for every kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
#: Lines and markers differ too, for print without colour.
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (6, 2, 1, 2)), (0, (2, 1.5)), (0, (10, 3)), (0, (1, 1)))
MARKERS = ("o", "s", "D", "v", "P", "h")
#: Markers of points that are not ours.
POINTS = ("*", "X", "p", "d", ">", "<")
INK, PALE, HATCH = "#333333", "#E3E3E3", "#B5B5B5"

#: A figure narrower than this, in inches, is for a column of a paper: its text is smaller.
NARROW = 4.5


def dark() -> bool:
    """Whether the caller's style has a dark background."""
    return sum(to_rgb(rcParams["figure.facecolor"])) < 1.5


def faint() -> float:
    """How opaque a shade is that must leave curves and grid to be seen."""
    return 0.25 if dark() else 0.12


def ink() -> str:
    """The colour of text, softened where it is matplotlib's black."""
    colour = str(rcParams["text.color"])
    return INK if colour == "black" else colour


def place(ax: Any, size: tuple[float, float], *, grid: bool = True, deep: bool = False) -> tuple[Any, Any]:
    """The caller's axes and their figure, or new ones of that size; ``deep``: with a third dimension."""
    if ax is not None:
        return ax.figure, ax
    figure = picture(*size)
    made = figure.add_subplot(projection="3d") if deep else axes(figure, grid=grid)
    if deep:
        for axis in (made.xaxis, made.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    if size[0] < NARROW:
        made.tick_params(labelsize=7 if deep else 8, **({"pad": -1} if deep else {}))
        for axis in (made.xaxis, made.yaxis, *([made.zaxis] if deep else [])):
            axis.label.set_fontsize(7 if deep else 8)
            axis.set_major_locator(MaxNLocator(nbins=4 if deep else 6, steps=[1, 2, 5, 10]))
    if deep:
        made.set_box_aspect(None, zoom=0.72 if size[0] < NARROW else 0.85)  # or its labels leave the figure
    return figure, made


def title(where: Any, text: str) -> None:
    """A title of any characters: mathematics where it can be read as such, else as it stands."""
    if not text:
        return
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    math_ = _is_mathematics(text)
    if isinstance(where, Figure):
        where.suptitle(text, fontsize=11, parse_math=math_)
    else:
        narrow = where.figure.get_figwidth() < NARROW and rcParams["axes.titlesize"] == "large"
        where.set_title(text, parse_math=math_, fontsize=9 if narrow else None)


def _is_mathematics(text: str) -> bool:
    try:
        MathTextParser("path").parse(text)
    except Exception:  # whatever it cannot read is text
        return False
    return True


def note(ax: Any, text: str) -> None:
    """A sentence where there is nothing to draw."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=ink())
    ax.set_yticks([])


def letters(ax: Any, x: Sequence[Any] | None, y: Sequence[Any] | None) -> None:
    """Name rows and columns of a heat map; of many letters every so many."""
    for axis, names in ((ax.yaxis, x), (ax.xaxis, y)):
        if names is None:
            continue
        step = max(1, math.ceil(len(names) / 16))
        texts = [str(name) for name in names[::step]]
        axis.set_ticks(range(0, len(names), step), [text if len(text) <= 14 else text[:13] + "…" for text in texts])
        for label in axis.get_ticklabels():
            label.set_parse_math(False)
    if y is not None and max(len(str(name)) for name in y) > 3 and len(y) > 3:
        ax.tick_params(axis="x", rotation=45)


def point(turn: int) -> dict[str, Any]:
    """How points that are not ours are marked."""
    return {
        "marker": POINTS[turn % len(POINTS)],
        "markersize": 9,
        "markeredgecolor": ink(),
        "markeredgewidth": 0.8,
        "markerfacecolor": COLOURS[(turn + 1) % len(COLOURS)],
        "zorder": 5,
    }


class Picture(Figure):
    """A figure that a notebook shows although pyplot never heard of it."""

    def _repr_png_(self) -> bytes:
        data = io.BytesIO()
        self.savefig(data, format="png", dpi=110)
        return data.getvalue()


def picture(width: float = 6.4, height: float = 4.4) -> Picture:
    """An empty figure, in inches."""
    return Picture(figsize=(width, height), layout="constrained")


def write(figure: Figure, file: IO[bytes], kind: str) -> None:
    """Print a figure; the same figure gives the same bytes."""
    undated: dict[str, dict[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    # Text stays text, which can be searched and set in the fonts of a paper.
    with rc_context({"svg.hashsalt": "drcopt", "svg.fonttype": "none", "pdf.fonttype": 42}):
        figure.savefig(file, format=kind, dpi=200, metadata=undated[kind])


def axes(figure: Figure, *place: int, grid: bool = True) -> Any:
    """Axes with two spines and a pale grid behind the data."""
    ax = figure.add_subplot(*place)
    ax.spines[["top", "right"]].set_visible(False)
    if grid:
        ax.grid(color="#4A4A4A" if dark() else PALE, linewidth=0.7)
        ax.set_axisbelow(True)
    return ax


def shades(count: int) -> Sequence[Any]:
    """Colours for an ordered parameter, light enough to print and dark enough to see."""
    low, high = (0.3, 1.0) if dark() else (0.0, 0.85)
    return [colormaps["viridis"](low + (high - low) * i / max(1, count - 1)) for i in range(count)]


def legend(figure: Figure | None, ax: Any, extra: Sequence[Any] = ()) -> None:
    """Below the axes, where it can cover no data; within them if the figure is not ours."""
    handles = [*ax.get_legend_handles_labels()[0], *extra]
    if not handles:
        return
    if figure is None:
        made = ax.legend(handles=handles, fontsize="small")
    else:
        longest = max(len(str(handle.get_label())) for handle in handles)
        size = 6.5 if figure.get_figwidth() < NARROW else 9
        columns = max(1, min(len(handles), int(140 / size * figure.get_figwidth() / (longest + 8))))
        made = figure.legend(
            handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=size, labelspacing=0.3
        )
    for text in made.get_texts():
        text.set_parse_math(False)
        if figure is not None:  # as many letters as fit beside the sample of the line
            text.set_text(fill(text.get_text(), int(figure.get_figwidth() * 72 / (0.55 * size)) - 8))


def shaded(label: str, alpha: float = 0.15) -> Patch:
    """The legend's sample of a shaded range."""
    return Patch(facecolor=ink(), alpha=alpha, linewidth=0.0, label=label)


def sample(marker: str, label: str) -> Line2D:
    """The legend's sample of a marker that stands for itself."""
    return Line2D([], [], linestyle="", marker=marker, color=ink(), markerfacecolor="none", label=label)


def hatched(label: str) -> Patch:
    """The legend's sample of a region without solutions."""
    return Patch(facecolor="none", edgecolor=HATCH, hatch="////", linewidth=0.0, label=label)


def hatch(ax: Any) -> None:
    """Hatch the whole background of the axes; what is drawn later covers it."""
    ax.add_patch(
        Rectangle(
            (0, 0), 1, 1, transform=ax.transAxes, facecolor="none", edgecolor=HATCH, hatch="////", linewidth=0.0,
            zorder=-1,
        )
    )  # fmt: skip


def blank(ax: Any, x: Any, y: Any, where: Any, label: str) -> Patch:
    """Cover cells in pale grey; returns the legend's sample of it."""
    cells = ma.masked_where(~where, where.astype(float))
    ax.pcolormesh(x, y, cells, shading="nearest", cmap=ListedColormap([PALE]))
    return Patch(facecolor=PALE, linewidth=0.0, label=label)


def dotted(ax: Any, x: Any, y: Any, where: Any, label: str) -> Patch:
    """Dots over cells of a map; returns the legend's sample of them."""
    dots = ax.contourf(x, y, where.astype(float), levels=[0.5, 1.5], colors="none", hatches=["...."])
    dots.set(edgecolor=PALE, linewidth=0.0)
    return Patch(facecolor="none", edgecolor=INK if not dark() else PALE, hatch="....", linewidth=0.0, label=label)


def contours(ax: Any, x: Any, y: Any, values: Any) -> None:
    """Labelled contours that can be read on light and dark."""
    narrow = ax.figure.get_figwidth() < NARROW
    lines = ax.contour(x, y, values, levels=5 if narrow else 8, colors="white", linewidths=1.0)
    for text in ax.clabel(lines, fontsize=7 if narrow else 8, fmt="%.3g"):
        text.set_path_effects([Stroke(linewidth=2.0, foreground=INK), Normal()])


def heat(figure: Figure, ax: Any, values: Any, label: str = "", top: float | None = None) -> None:
    """A matrix as a heat map, first index downwards, from white at zero to dark at ``top`` (the largest entry)."""
    image = ax.imshow(values, cmap="Blues", vmin=0.0, vmax=top, aspect="auto", interpolation="nearest")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, nbins=10))
    if label:
        colourbar(figure, ax, image, label)


def colourbar(figure: Figure, ax: Any, of: Any, label: str) -> None:
    """What the colours of a map mean, in the text size of its axes."""
    bar = figure.colorbar(of, ax=ax)
    bar.set_label(label, fontsize=ax.yaxis.label.get_fontsize())
    bar.ax.tick_params(labelsize=ax.yaxis.get_ticklabels()[0].get_fontsize())


def relief(ax: Any, x: Any, y: Any, z: Any) -> None:
    """A surface in three dimensions, with holes where it is nan; colours as in a map."""
    ax.plot_surface(x, y, ma.masked_invalid(z), cmap="cividis", rstride=1, cstride=1, linewidth=0.3, edgecolor=INK)
    ax.view_init(elev=28, azim=35)
