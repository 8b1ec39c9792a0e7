"""Pictures of runs: restored images, and curves of what was measured. Needs the extra ``plot``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from drcopt.support.check import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from drcopt.neural.experiments import Results

__all__ = ["MEASURES", "MOST_COLUMNS", "curves", "reconstructions"]

#: Restored images in a row.
MOST_COLUMNS = 12
#: What curves show, with its label.
MEASURES = {
    "accuracy": "accuracy",
    "distortion": "MSE to the input",
    "mse_clean": "MSE to the clean image",
    "sliced_w1": "sliced W₁ to clean images",
}
_STYLES = {"codec": 0, "conditional mean": 1, "untouched input": 2}


def reconstructions(results: Results, *, columns: int = MOST_COLUMNS) -> Figure:
    """The same test images clean, degraded, and as each row of the table (of its first seed) restores them."""
    require("matplotlib", "plot", "A picture")
    from drcopt.plotting.figure import picture

    clean, degraded = results.shown
    strips: list[tuple[str, NDArray[np.uint8]]] = [("clean", clean), ("input", degraded)]
    seen = set()
    for i, row in results.table.iterrows():
        found = results.pictures[int(i)]  # type: ignore[call-overload]
        key = tuple(row[name] for name in ("method", "rate_budget_bits", "lambda_p", "lambda_c", "encoder"))
        if found is None or row["method"] == "untouched input" or key in seen:
            continue
        seen.add(key)
        what = "" if row["method"] == "codec" else " mean"
        strips.append((f"{row['rate_budget_bits']:g} bits{what}\n{row['accuracy']:.2f} right", found))
    columns = min(columns, len(clean))
    figure = picture(1.1 + 0.55 * columns, 0.6 * len(strips))
    for line, (label, images) in enumerate(strips):
        strip = np.concatenate(list(images[:columns].transpose(0, 2, 3, 1)), axis=1)
        ax = figure.add_subplot(len(strips), 1, line + 1)
        ax.imshow(strip.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=7)
        ax.spines[:].set_visible(False)
    return figure


def curves(results: Results, *, measures: tuple[str, ...] = tuple(MEASURES)) -> Figure:
    """Each measure against the bits that were coded, with 95 % bootstrap intervals; baselines beside the codec."""
    require("matplotlib", "plot", "A picture")
    from drcopt.plotting.figure import COLOURS, DASHES, MARKERS, axes, picture

    means = results.summary()
    figure = picture(3.2 * len(measures), 3.0)
    for place, name in enumerate(measures, start=1):
        ax: Any = axes(figure, 1, len(measures), place)
        for method, group in means.groupby("method", sort=False):
            style = _STYLES[str(method)]
            colour = COLOURS[style]
            group = group.sort_values("rate_bits")
            if method == "untouched input":
                ax.axhline(group[name].iloc[0], color=colour, linestyle=DASHES[style], label=method)
                continue
            ax.fill_between(
                group["rate_bits"], group[f"{name}_low"], group[f"{name}_high"], color=colour, alpha=0.2, linewidth=0
            )
            ax.plot(
                group["rate_bits"], group[name], color=colour, linestyle=DASHES[style], marker=MARKERS[style],
                markersize=4, label=method,
            )  # fmt: skip
        if name == "sliced_w1":
            ax.axhline(
                results.table["sliced_w1_floor"].iloc[0], color="0.6", linewidth=0.8, label="floor: clean images"
            )
        ax.set(xlabel="coded bits an image", ylabel=MEASURES.get(name, name))
        if place == len(measures):
            ax.legend(frameon=False, fontsize=7)
    return figure
