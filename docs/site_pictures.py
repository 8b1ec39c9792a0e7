"""The pictures of the site; each is a function that solves a little and draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import drcopt
from drcopt import plotting
from drcopt.closed_forms import bernoulli, binary_perception

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = (4.8, 3.5)
#: Four letters; the class is their parity, seen through 10 % noise.
PARITY = drcopt.Problem([0.25] * 4, [0.25] * 4, [[0.9, 0.1], [0.1, 0.9]] * 2, "squared-error", name="parity")


def tradeoff() -> Figure:
    """D against R for three C."""
    table = drcopt.sweep(
        PARITY, R=np.arange(0.2, 2.01, 0.15), C=[0.6, 0.7, None], tol=1e-4, time_limit=3, progress=False
    )
    return plotting.curve(table, size=SIZE)


def budgets() -> Figure:
    """D over R and C, with the proved edge."""
    R = np.round(np.linspace(0.3, 1.5, 9), 3)
    table = drcopt.sweep(PARITY, R=R, C=np.round(np.linspace(0.55, 0.95, 9), 3), tol=1e-3, time_limit=2, progress=False)
    edge = drcopt.sweep(PARITY, R=R, objective="classification_loss", tol=1e-4, progress=False)
    line = edge.assign(classification_budget_bits=edge["value"])[["rate_budget_bits", "classification_budget_bits"]]
    return plotting.surface(table, edge=line, size=SIZE, title="")


def three_problems() -> Figure:
    """A step in C for one coupling, what mixing makes of it, and what reading the message buys."""
    flip = drcopt.sources.bernoulli(0.3, 0.7, 0.0)  # X is its own class, and Y must often differ from it
    C = np.round(np.arange(0.5, 0.801, 0.02), 2)
    settings: dict[str, Any] = {"C": C, "tol": 1e-4, "time_limit": 4, "progress": False}
    figure, ax = _axes()
    single = drcopt.sweep(flip, **settings)
    mixed = drcopt.sweep(flip, **settings, formulation="time-sharing")
    message = [drcopt.solve(flip, C=x, classifier_sees="message", tol=1e-4, time_limit=4).distortion for x in C]
    ax.step(C, single["distortion"], "o-", where="post", markersize=3.5, label="one coupling (single-letter)")
    ax.plot(C, mixed["distortion"], "s--", markersize=3.5, label="mixtures (time-sharing)")
    ax.plot(C, message, "^:", markersize=3.5, label="the classifier reads the message")
    ax.set(xlabel="classification budget C (bits)", ylabel="P(X ≠ Y)")
    ax.legend(frameon=False, fontsize=8)
    return figure


def printed() -> Figure:
    """The printed closed form beside the exact one and what is computed."""
    grid, solved = np.linspace(0.4, 0.88, 97), np.round(np.arange(0.62, 0.88, 0.05), 2)
    settings: dict[str, Any] = {"formulation": "one-shot", "classifier_sees": "YU"}
    figure, ax = _axes()
    ax.plot(grid, [float(bernoulli.as_printed(0.3, 0.25, 0.2, R, 0.8)) for R in grid], "--", label="as printed")
    exact = [float(bernoulli.exact(0.3, 0.25, 0.2, R, 0.8, **settings)) for R in grid]
    ax.plot(grid, np.where(np.isfinite(exact), exact, np.nan), label="exact")
    found = [drcopt.solve(drcopt.sources.bernoulli(), R=R, C=0.8, **settings).distortion for R in solved]
    ax.plot(solved, found, "o", markersize=4, label="computed, with proof")
    ax.axvspan(0.4, grid[np.isfinite(exact).argmax()], color="#DDDDDD", linewidth=0, label="no code meets C")
    ax.axhline(0, color="#333333", linewidth=0.8)
    ax.set(xlabel="rate R (bits)", ylabel="P(X ≠ Y), C = 0.8 bits", xlim=(0.4, 0.88))
    ax.legend(frameon=False, fontsize=8)
    return figure


def perception() -> Figure:
    """What a perception budget costs: a binary source, total variation."""
    figure, ax = _axes()
    D = np.linspace(0.005, 0.3, 60)
    for P in (0.0, 0.05, 0.1, 0.3):
        rates = [binary_perception.rate(0.3, D=float(x), P=P) for x in D]
        ax.plot(D, rates, label={0.0: "Y distributed as X", 0.3: "Y free"}.get(P, f"within {P:g} of it (TV)"))
    source = drcopt.Problem([0.7, 0.3], [0.7, 0.3], [[1, 0], [0, 1]])
    for P in (0.05, 0.1):
        points = [drcopt.min_rate(source, D=float(x), perception=("tv", P)).rate for x in D[5::12]]
        ax.plot(D[5::12], points, "o", color="#333333", markersize=3)
    ax.set(xlabel="P(X ≠ Y) ≤ D", ylabel="rate (bits), X ~ Bern(0.3)")
    ax.legend(frameon=False, fontsize=8)
    return figure


def _axes() -> tuple[Any, Any]:
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=SIZE, layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color="#E3E3E3", linewidth=0.7)
    ax.set_axisbelow(True)
    return figure, ax


ALL = {f.__name__: f for f in (tradeoff, budgets, three_problems, printed, perception)}
