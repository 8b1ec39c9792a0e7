"""The one module that imports matplotlib: figures drawn through its object interface, with no global state."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import IO, Any

from matplotlib import colormaps, rc_context
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator
from numpy import ma

#: Okabe and Ito's colours, apart for every kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
#: Lines and markers differ too, for print without colour.
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (6, 2, 1, 2)), (0, (2, 1.5)), (0, (10, 3)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P")
INK, PALE, HATCH = "#333333", "#E3E3E3", "#B5B5B5"


class Picture(Figure):
    """A figure that a notebook shows although pyplot never heard of it."""

    def _repr_png_(self) -> bytes:
        data = io.BytesIO()
        self.savefig(data, format="png", dpi=110)
        return data.getvalue()


def picture(width: float = 6.4, height: float = 4.4) -> Picture:
    """An empty figure, in inches."""
    return Picture(figsize=(width, height), layout="constrained", facecolor="white")


def write(figure: Figure, file: IO[bytes], kind: str) -> None:
    """Print a figure; the same figure gives the same bytes."""
    undated: dict[str, dict[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with rc_context({"svg.hashsalt": "drcopt"}):
        figure.savefig(file, format=kind, dpi=200, metadata=undated[kind])


def axes(figure: Figure, *place: int, grid: bool = True) -> Any:
    """Axes with two spines and a pale grid behind the data."""
    ax = figure.add_subplot(*place)
    ax.spines[["top", "right"]].set_visible(False)
    if grid:
        ax.grid(color=PALE, linewidth=0.7)
        ax.set_axisbelow(True)
    return ax


def shades(count: int) -> Sequence[Any]:
    """Colours for an ordered parameter, light enough to print and dark enough to see."""
    return [colormaps["viridis"](0.85 * i / max(1, count - 1)) for i in range(count)]


def legend(figure: Figure, ax: Any, extra: Sequence[Any] = ()) -> None:
    """Below the axes, where it can cover no data."""
    handles = [*ax.get_legend_handles_labels()[0], *extra]
    if handles:
        longest = max(len(str(handle.get_label())) for handle in handles)
        columns = max(1, min(len(handles), int(100 / (longest + 8))))
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)


def shaded(label: str) -> Patch:
    """The legend's sample of a shaded range."""
    return Patch(facecolor=INK, alpha=0.15, linewidth=0.0, label=label)


def hatched(label: str, face: str = "white") -> Patch:
    """The legend's sample of a region without solutions."""
    return Patch(facecolor=face, edgecolor=HATCH, hatch="////", linewidth=0.0, label=label)


def hatch(ax: Any) -> None:
    """Hatch the whole background of the axes; what is drawn later covers it."""
    ax.add_patch(
        Rectangle(
            (0, 0), 1, 1, transform=ax.transAxes, facecolor="white", edgecolor=HATCH, hatch="////", linewidth=0.0,
            zorder=-1,
        )
    )  # fmt: skip


def blank(ax: Any, x: Any, y: Any, where: Any) -> Patch:
    """Cover cells in pale grey; returns the legend's sample of it."""
    cells = ma.masked_where(~where, where.astype(float))
    ax.pcolormesh(x, y, cells, shading="nearest", cmap=ListedColormap([PALE]))
    return Patch(facecolor=PALE, linewidth=0.0, label="not solved")


def contours(ax: Any, x: Any, y: Any, values: Any) -> None:
    """Labelled contours that can be read on light and dark."""
    lines = ax.contour(x, y, values, levels=8, colors="white", linewidths=1.0)
    for text in ax.clabel(lines, fontsize=8, fmt="%.3g"):
        text.set_path_effects([Stroke(linewidth=2.0, foreground=INK), Normal()])


def heat(figure: Figure, ax: Any, values: Any, label: str = "", top: float | None = None) -> None:
    """A matrix as a heat map, first index downwards, from white at zero to dark at ``top`` (the largest entry)."""
    image = ax.imshow(values, cmap="Blues", vmin=0.0, vmax=top, aspect="auto", interpolation="nearest")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, nbins=10))
    if label:
        figure.colorbar(image, ax=ax, label=label)
