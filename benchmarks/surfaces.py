"""``python -m benchmarks.surfaces``: surfaces, curves and sweeps beside as many solves, in CPU seconds of one run."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

import drcopt


def source(letters: int, classes: int, seed: int = 0) -> drcopt.Problem:
    """A random problem."""
    rng = np.random.default_rng(seed)
    px, py = rng.dirichlet(np.ones(letters), 2)
    return drcopt.Problem(px, py, rng.dirichlet(np.ones(classes), letters), rng.random((letters, letters)))


def spent(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and its CPU seconds."""
    started = time.process_time()
    return call(), time.process_time() - started


def curve(letters: int = 64) -> None:
    """A curve of 200 points, and 200 solves."""
    problem, ends = source(letters, 2), (0.2, 2.0)
    drcopt.solve(problem, R=1.0)  # imports are paid for
    found, seconds = spent(lambda: drcopt.surface(problem, R=ends, tol=1e-3))
    at = np.linspace(*ends, 200)
    (lower, upper), read = spent(lambda: (found.lower(at), found.upper(at)))
    table, solves = spent(lambda: drcopt.sweep(problem, R=at.tolist(), tol=1e-3, progress=False))
    assert (lower <= table["value"]).all() and (table["lower_bound"] <= upper + 1e-12).all()
    print(
        f"curve {letters}x{letters}: {seconds + read:.3f} s ({found.solves} answers, gap {found.gap:.2g}, "
        f"known {found.known:.1%}); a sweep of 200 points {solves:.2f} s ({solves / (seconds + read):.1f} times)"
    )


def surface(letters: int, classes: int, tol: float, limit: float, every: int) -> None:
    """A surface at a 20 × 20 grid, one everywhere, and every so many of the 400 solves of the grid."""
    problem = source(letters, classes)
    reduced, bits = problem.reduced(), drcopt.information.NATS_PER["bits"]
    low, high = reduced.entropy_s_given_x / bits, reduced.entropy_s / bits
    ranges = {"R": (0.3, 1.2), "C": (0.5 * (low + high), high)}
    drcopt.solve(problem, R=1.0)
    places, first = spent(lambda: drcopt.surface(problem, **ranges, tol=tol, time_limit=limit, at=20))
    found, seconds = spent(lambda: drcopt.surface(problem, **ranges, tol=tol, time_limit=limit))
    grid = found.table(20, 20)
    some = np.random.default_rng(0).choice(len(grid), max(1, len(grid) // every), replace=False)  # of all budgets C
    budgets = grid[["rate_budget_bits", "classification_budget_bits"]].to_numpy()[some]

    def solve() -> None:
        for R, C in budgets.tolist():
            drcopt.solve(problem, R=R, C=C, tol=tol, on_failure="return")

    _, solves = spent(solve)
    solves *= len(grid) / len(budgets)
    met = (grid["gap"] <= found.tolerance).mean()
    print(
        f"surface {letters}x{letters}x{classes} to {tol:g}: 400 solves {solves:.1f} s, from {len(budgets)} of them; "
        f"a 20 x 20 grid {first:.1f} s, {solves / first:.1f} times ({places.solves} answers, {places.descents} "
        f"descents, {places.known:.1%} known); everywhere {seconds:.1f} s, {solves / seconds:.1f} times "
        f"({found.solves} answers, {found.descents} descents, {found.known:.1%} known, {met:.1%} of the grid)"
    )


def rows(tol: float = 1e-3) -> None:
    """A sweep whose rows other rows may settle, and as many solves."""
    problem, bits = source(4, 2), drcopt.information.NATS_PER["bits"]
    low, high = problem.entropy_s_given_x / bits, problem.entropy_s / bits
    budgets = {"R": np.linspace(0.4, 1.0, 4).tolist(), "C": np.linspace(low + 0.55 * (high - low), high, 9).tolist()}
    free = drcopt.Problem(problem.px, None, problem.ps_given_x, problem.d)
    near, message = {"perception": ("tv", 0.05)}, {"classifier_sees": "message"}
    cases: tuple[tuple[str, drcopt.Problem, dict[str, Any]], ...] = (
        ("near a target", problem, near), ("messages", problem, message), ("a free law", free, {}),
    )  # fmt: skip
    for name, asked, how in cases:
        swept = {"P": 0.05} if how is near else how

        def solve(asked: drcopt.Problem = asked, how: dict[str, Any] = how) -> None:
            for R, C in product(budgets["R"], budgets["C"]):
                drcopt.solve(asked, R=R, C=C, tol=tol, on_failure="return", **how)

        _, solves = spent(solve)
        table, seconds = spent(lambda a=asked, s=swept: drcopt.sweep(a, **budgets, tol=tol, progress=False, **s))
        settled = (table["engine"] == "earlier").sum()
        print(
            f"rows, {name}, to {tol:g}: {len(table)} solves {solves:.1f} s, a sweep {seconds:.1f} s "
            f"({solves / seconds:.1f} times; {settled} rows settled by others)"
        )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.surfaces", description=__doc__)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds of wall time for a surface")
    parser.add_argument("--every", type=int, default=20, help="of the 400 solves one of so many is made")
    parser.add_argument("--tol", type=float, nargs="*", default=[1e-3])
    options = parser.parse_args()
    curve()
    rows()
    for tol in options.tol:
        surface(8, 2, tol, options.limit, options.every)


if __name__ == "__main__":
    main()
