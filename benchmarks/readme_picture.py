"""The picture at the top of the README: ``python -m benchmarks.readme_picture`` writes docs/main.png.

8×8 digits, to be restored from their 4×4 block averages; the class is whether the digit is even. At every point drawn a
band reaches from the proved lower bound to what is reached, and left of a dotted line budgets were proved infeasible.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

#: Budgets in bits: a curve each on the left, and on the right.
LOSSES = (0.5, 0.6, 0.7, 0.8, None)
RATES = (0.5, 1.0, 1.5, 2.5)
TARGET = Path(__file__).parents[1] / "docs" / "main.png"


def problem() -> Any:
    """Super-resolution on 16 × 16 letters with two classes."""
    from sklearn.datasets import load_digits

    from drcopt import sources

    digits = load_digits()
    return sources.images(x_letters=16, y_letters=16, data=digits.images / 16, labels=digits.target % 2)


def against_rate(ax: Any, source: Any, colours: Any) -> None:
    """D versus R for each C, and the largest rate that was proved too small."""
    import drcopt

    for C, colour in zip(LOSSES, colours, strict=True):
        table = drcopt.sweep(source, R=np.arange(1, 65) / 20, C=C, tol=1e-3, time_limit=1.5, progress=False)
        R, barred = table["rate_budget_bits"], table["status"] == "infeasible"
        label = "no C" if C is None else f"C = {C:g} bits"
        band(ax, R, table, colour, label)
        if barred.any():
            ax.axvline(R[barred].max(), color=colour, linestyle=":", linewidth=1)
    ax.set(xlabel="rate budget R (bits)", ylabel="squared error per pixel, E d(X,Y)", xlim=(0, 3.2), ylim=(0, 0.075))


def against_loss(ax: Any, source: Any, colours: Any) -> None:
    """D versus C for each R, and the proved edge of the feasible set."""
    import drcopt

    for R, colour in zip(RATES, colours, strict=True):
        edge = drcopt.min_classification_loss(source, R=R, tol=1e-3, time_limit=3, on_failure="return")
        low, high = edge.classification_loss, 0.95
        C = np.unique(np.append(low + (high - low) * np.linspace(0.06, 1, 24) ** 2.5, high))
        table = drcopt.sweep(source, R=R, C=C, tol=1e-3, time_limit=1.5, progress=False)
        band(ax, C, table, colour, f"R = {R:g} bit{'' if R == 1 else 's'}")
        ax.axvline(edge.lower_bound, color=colour, linestyle=":", linewidth=1)
    ax.set(xlabel="classification budget C on H(S|Y) (bits)", xlim=(0.38, 0.95), ylim=(0, 0.075))
    ax.tick_params(labelleft=False)


def band(ax: Any, x: Any, table: Any, colour: Any, label: str) -> None:
    """The certified interval and its upper end; what meets a budget meets every larger one, so neither end rises."""
    upper = np.fmin.accumulate(table["distortion"].to_numpy())
    lower = np.fmax.accumulate(table["lower_bound"].to_numpy()[::-1])[::-1]
    there = np.isfinite(upper)
    ax.fill_between(x, lower, upper, where=there, color=colour, alpha=0.25, linewidth=0)
    ax.plot(x, np.where(there, upper, np.nan), color=colour, linewidth=1.8, label=label)


def main(target: Path = TARGET) -> None:
    """Solve, draw, write."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    source = problem()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2), layout="constrained")
    shades = plt.get_cmap("viridis")
    against_rate(left, source, [shades(v) for v in np.linspace(0, 0.85, len(LOSSES))])
    against_loss(right, source, [plt.get_cmap("plasma")(v) for v in np.linspace(0.0, 0.75, len(RATES))])
    titles = "Less doubt about the class costs rate …", "… or distortion. Left of a dotted line: impossible"
    for ax, title in zip((left, right), titles, strict=True):
        ax.set_title(title, fontsize=11)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color="#E3E3E3", linewidth=0.7)
        ax.set_axisbelow(True)
        ax.legend(frameon=False, fontsize=9)
    figure.suptitle("8×8 digits restored from their 4×4 block averages; the class S: is the digit even?", fontsize=12)
    target.parent.mkdir(exist_ok=True)
    figure.savefig(target, dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
