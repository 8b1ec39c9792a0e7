"""Performance profiles of what solvers did with the same questions, and the table beside one about active budgets."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from benchmarks.tables import Cells

#: Solved means: error and gap at most this and, where budgets on the rate and the loss are given, violated by no more
#: than their solvers' own tolerances come to (nats, or mass).
TOLERANCE, _VIOLATED = 1e-6, 1e-5
#: What tells questions apart.
_QUESTION = ["instance", "size", "rate_bits", "classification_bits"]


def seconds(table: pd.DataFrame) -> pd.DataFrame:
    """CPU seconds to solve each question put to peers (lines) by each solver (columns); inf where it was not solved."""
    table = table.assign(classification_bits=table["classification_bits"].fillna(math.inf))
    active = (table["benchmark"] == "global").all()
    own = "global" if active else "newton"
    if not active:  # rates: points of the curve, without what is trivial at R = 0
        table = table[(table["part"] == "curve") & (table["rate_bits"] > 0)]
    asked = table[~table["solver"].isin([own, "auto"])].set_index(_QUESTION).index
    table = table[table.set_index(_QUESTION).index.isin(asked)]
    solved = table["value"].notna() & (table[["error", "gap"]].max(axis=1) <= TOLERANCE)
    solved &= table["violation"] <= (_VIOLATED if active else TOLERANCE)
    took = table.assign(took=table["cpu_seconds"].where(solved, math.inf))
    return took.pivot_table(index=_QUESTION, columns="solver", values="took", aggfunc="min", sort=False).fillna(
        math.inf
    )


def draw(table: pd.DataFrame, path: str) -> None:
    """The share of the questions that each solver solved, by how many times as long as the fastest it took."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    wide = seconds(table)
    fastest = wide.min(axis=1)
    ratios = wide.div(fastest.where(np.isfinite(fastest)), axis=0)
    figure, axes = plt.subplots(figsize=(5.2, 3.2), layout="constrained")
    most = 10.0 ** math.ceil(math.log10(max(np.nanmax(ratios.to_numpy()[np.isfinite(ratios.to_numpy())]), 10.0)))
    for solver in ratios:
        reached = np.sort(ratios[solver][np.isfinite(ratios[solver])])
        share = np.arange(1, len(reached) + 1) / len(ratios)
        x, y = np.append(reached, most), np.append(share, share[-1] if len(share) else 0.0)
        axes.step(x, y, where="post", label=solver)
    axes.set(
        xscale="log", xlim=(0.9, most), ylim=(0, 1.02), xlabel="CPU time / CPU time of the fastest",
        ylabel=f"share of points solved to {TOLERANCE:g}",
    )  # fmt: skip
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    plt.rcParams["svg.hashsalt"] = "drcopt"  # the same picture gives the same file
    figure.savefig(path, format="svg", metadata={"Date": None})
    plt.close(figure)


def cells(table: pd.DataFrame) -> Cells:
    """A line an instance: CPU seconds, or the gap where one is left, and of peers how far their values and bounds are
    from the engine's, relative to max d as gaps are."""
    solvers = list(dict.fromkeys(table["solver"]))
    took = seconds(table)
    lines = [["size, instance"]]
    for solver in solvers:
        lines[0] += [f"{solver}: CPU s"] + ([] if solver == solvers[0] else ["value above", "bound below"])
    for question, group in table.groupby(_QUESTION, sort=False):
        rows = group.set_index("solver")
        ours = rows.loc[solvers[0]]
        unit = (ours["value"] - ours["lower_bound"]) / ours["gap"] if ours["gap"] > 0 else 1.0
        line = [f"{question[1]} {question[0]}"]
        for solver in solvers:
            row = rows.loc[solver]
            time = took.loc[question, solver]
            gap = "no point" if math.isnan(row["gap"]) else f"{row['gap']:.0e}"
            line.append(f"{time:.2g}" if math.isfinite(time) else f"open, {gap}")
            if solver != solvers[0]:
                line += [
                    _apart(row["value"] - ours["value"], unit),
                    _apart(ours["lower_bound"] - row["lower_bound"], unit),
                ]
        lines.append(line)
    return lines


def _apart(difference: float, unit: float) -> str:
    apart = difference / unit
    return "" if math.isnan(apart) else "0" if abs(apart) < 1e-5 else f"{apart:.0e}"
