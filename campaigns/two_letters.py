"""Is a distortion ever below the truth? ``python -m campaigns.two_letters``.

1,437 questions with two letters on each side and two to four classes: couplings are a line, so that the least E d is
found to 80 digits (more than 256 bits) by bisection (:func:`campaigns.truth.line`). Half of the channels are weak, so
that H(S) − H(S|X) is 1e-15 to 1e-3 nats and D(C) steep; budgets lie on a grid from the edges inwards, and within 1e-12
to 1e-16 of H(S), H(S|X) and the least loss. A value may be below the truth by the rounding of a sum of doubles, 1e-13
of the largest cost; a bound may not be above it at all. "near-feasible" answers say that they miss a budget, and their
values are no claim; what a point's excess may be is held against 1e-12. Exits with 1 otherwise.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

import drcopt
from campaigns.families import Instance, least_loss
from campaigns.truth import line
from drcopt.support import clock

COUNT, DIGITS, ROUNDING = 1437, 80, 1e-13
#: Shares of the way of R to H and of C from the edge to H(S), and what is taken off the edges themselves (nats).
SHARES, SHORT = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98), (1e-16, 6e-15, 1e-13, 1e-12)


def asked(index: int, seed: int = 0) -> Instance:
    """The same for the same arguments."""
    rng = np.random.default_rng([seed, index])
    px, py, k = rng.dirichlet([1, 1]), rng.dirichlet([1, 1]), int(rng.integers(2, 5))
    if index % 5 == 0:
        py = px.copy()
    W = rng.dirichlet(np.full(k, 0.6), size=2)
    if index % 2 == 0:
        label = 10.0 ** -rng.uniform(1, 8)
        W = (1.0 - label) * rng.dirichlet(np.ones(k)) + label * W
    d = 1.0 - np.eye(2) if rng.random() < 0.5 else rng.random((2, 2))
    problem = drcopt.Problem(px, py, W, d)
    R = math.inf if rng.random() < 0.4 else rng.choice(SHARES) * min(problem.entropy_x, problem.entropy_y)
    least, most = least_loss(problem, R if R < math.inf else 10.0), problem.entropy_s
    C = rng.choice([least + share * (most - least) for share in SHARES])
    if index % 3 == 0:
        edge = rng.choice([least, most, problem.entropy_s_given_x])
        C = max(edge + rng.choice([-1.0, 1.0]) * rng.choice(SHORT), 0.0)
    return Instance("two letters", index, px, py, W, d, float(R), float(C))


def run(count: int = COUNT, seed: int = 0, time_limit: float = 0.5) -> Iterator[dict[str, Any]]:
    """A row for each question."""
    for index in range(count):
        one = asked(index, seed)
        problem, used = one.problem(), time.process_time()
        answer = drcopt.solve(problem, R=one.R, C=one.C, units="nats", time_limit=time_limit, on_failure="return")
        used, real = time.process_time() - used, line(problem.reduced(), one, DIGITS)
        exact, feasible = answer.status in ("optimal", "feasible"), real.high < math.inf
        size = float(problem.d.max())
        below = float(Fraction(real.low) - Fraction(answer.distortion)) / size if exact and feasible else math.nan
        above = float(Fraction(answer.lower_bound) - Fraction(real.high)) if feasible else -math.inf
        if answer.status == "infeasible":
            above = math.inf if feasible else -math.inf
        false = above > 0 or below > ROUNDING or (exact and not feasible) or answer.excess > 1e-12
        yield {
            "index": index, "k": problem.k, "status": answer.status, "distortion": answer.distortion,
            "truth": float(real.low), "below": below, "above": above, "excess": answer.excess,
            "high": (answer.distortion - float(real.high)) / size if exact and feasible else math.nan,
            "cpu_seconds": used, "false": false,
        }  # fmt: skip


def summary(rows: pd.DataFrame) -> str:
    """Counts and worst cases."""
    words = ", ".join(f"{count} {word}" for word, count in rows["status"].value_counts().items())
    lines = [
        f"{len(rows)} questions: {words}",
        f"below the truth by {max(0.0, rows['below'].max()):.1e} of the largest cost at most ({ROUNDING:.0e} allowed), "
        f"bounds above it: {(rows['above'] > 0).sum()}",
        f"above the truth by {rows['high'].quantile(0.99):.1e} at 99 %, {rows['high'].max():.1e} at most; "
        f"largest excess {rows['excess'].max():.1e} nats",
        f"false: {rows['false'].sum()}",
    ]
    return "\n".join([*lines, *(str(row) for row in rows[rows["false"]].to_dict("records"))])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial."""
    parser = argparse.ArgumentParser(prog="python -m campaigns.two_letters", description="Ever below the truth?")
    parser.add_argument("--n", type=int, default=COUNT, help=f"questions (default {COUNT})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--time-limit", type=float, default=0.5, help="processor seconds (default 0.5)")
    parser.add_argument("--out", help="CSV file for every row")
    options = parser.parse_args(arguments)
    clock.now = time.process_time
    rows = pd.DataFrame(run(options.n, options.seed, options.time_limit))
    print(summary(rows))
    if options.out:
        rows.to_csv(options.out, index=False)
    return int(rows["false"].any())


if __name__ == "__main__":
    raise SystemExit(main())
