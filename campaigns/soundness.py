"""A campaign to catch the tool lying: ``python -m campaigns.soundness --n 10000``.

Random small instances of every family that has broken a solver (:mod:`campaigns.families`), in equal shares, with
budgets to match. Each answer is held against what is true (:mod:`campaigns.truth`).

A violation is a lower bound above the truth, a value below it, a coupling that breaks a marginal or a budget,
"infeasible" where a point exists, or a point where none does. A lower bound is forgiven nothing; a value the rounding
of its last digit. With python-flint installed every certificate is also written out and checked, and the bounds that
the checker proves are forgiven nothing either.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

import drcopt
from campaigns.families import FAMILIES, Instance, instance
from campaigns.truth import Truth, truth
from drcopt import information
from drcopt.stakes import Stakes
from drcopt.support import clock

#: Rounding forgiven: of E d relative to the largest cost in use, of a marginal in total, of a budget in nats.
VALUE_ROUNDING, MARGINAL_ROUNDING, BUDGET_ROUNDING = 2.0**-50, 1e-15, 3e-14
COLUMNS = [
    "family", "index", "n", "m", "k", "formulation", "classifier_sees", "rate_budget_nats",
    "classification_budget_nats", "status", "engine", "distortion", "lower_bound", "excess", "gap", "seconds",
    "cpu_seconds", "truth", "least", "most", "edge", "accepted", "reason", "proved_lower", "proved_upper", "violation",
]  # fmt: skip


def run(asked: Instance, time_limit: float = 2.0) -> dict[str, Any]:
    """One row: the answer, the truth, and what is wrong."""
    problem = asked.problem()
    started, used = time.perf_counter(), time.process_time()
    row: dict[str, Any] = {
        "family": asked.family, "index": asked.seed, "n": problem.n, "m": problem.m, "k": problem.k,
        "formulation": asked.formulation, "classifier_sees": asked.classifier_sees,
        "rate_budget_nats": asked.R, "classification_budget_nats": asked.C,
    }  # fmt: skip
    try:
        solution = drcopt.solve(
            problem, R=asked.R, C=asked.C, units="nats", formulation=asked.formulation,
            classifier_sees=asked.classifier_sees, time_limit=time_limit, on_failure="return",
        )  # fmt: skip
    except Exception as error:  # whatever it is, it goes into the table
        return row | {"status": "error", "violation": f"{type(error).__name__}: {error}"[:300]}
    row |= {"status": solution.status, "engine": solution.engine, "distortion": solution.distortion,
            "lower_bound": solution.lower_bound, "gap": solution.gap / (Stakes(problem).scale or 1.0),
            "seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - used}  # fmt: skip
    real = truth(asked, np.random.default_rng([asked.seed, 1]))
    row |= {"truth": real.how, "least": float(real.low), "most": float(real.high), "edge": real.edge}
    wrong = list(violations(asked, problem, solution, real))
    row["accepted"], row["reason"], row["proved_lower"], row["proved_upper"] = checked(solution, problem, real, wrong)
    return row | {"violation": "; ".join(wrong)}


def violations(asked: Instance, problem: drcopt.Problem, solution: Any, real: Truth) -> Iterator[str]:
    """What the floats of a solution say that is not so."""
    infeasible = real.low == math.inf
    if solution.status == "infeasible":
        if real.high < math.inf and not real.edge:
            yield f"infeasible, but a coupling has E d = {float(real.high)!r}"
        return
    if not infeasible and solution.lower_bound > real.high:
        excess = float(Fraction(solution.lower_bound) - Fraction(real.high))
        yield f"lower bound {solution.lower_bound!r} > {float(real.high)!r} by {excess:.3g}"
    if solution.status == "unknown":
        return
    P = solution.coupling
    size = float(problem.d[P > 0].max())
    exact = solution.status != "near-feasible"  # beyond a budget by a rounding, which it says and may be worth more
    if exact and infeasible and not real.edge:
        yield "a point, but none exists"
    if exact and not infeasible and solution.distortion < float(real.low) - VALUE_ROUNDING * size:
        yield f"value {solution.distortion!r} < {float(real.low)!r} by {float(real.low) - solution.distortion:.3g}"
    if solution.status == "optimal" and solution.gap > 1e-3 * abs(solution.distortion) + 1e-9 * Stakes(problem).scale:
        yield f"optimal, with a gap of {solution.gap!r} beside {solution.distortion!r}"
    off = np.abs(P.sum(axis=1) - problem.px).sum() + np.abs(P.sum(axis=0) - problem.py).sum()
    if off > (MARGINAL_ROUNDING * (problem.n + problem.m) if asked.formulation != "one-shot" else 2e-11) or P.min() < 0:
        yield f"marginals off by {off:.3g}, least entry {P.min():.3g}"
    if abs(math.fsum(np.ravel(P * problem.d)) - solution.distortion) > VALUE_ROUNDING * size:
        yield "the coupling's E d is not the distortion"
    if asked.formulation == "single-letter":
        over = information.mutual_information(P) - asked.R
        loss = information.conditional_entropy(problem.ps_given_x.T @ P) - asked.C
        room = BUDGET_ROUNDING + information.to_nats(solution.excess, solution.units)
        if over > room or loss > room:
            yield f"budgets exceeded by {over:.3g} and {loss:.3g} nats"


def checked(
    solution: Any, problem: drcopt.Problem, real: Truth, wrong: list[str]
) -> tuple[bool | None, str, float, float]:
    """The checker's verdict on the certificate, whose bounds are held against the truth without any room."""
    try:
        import flint  # noqa: F401
    except ImportError:
        return None, "", math.nan, math.nan
    from drcopt.certify import proof
    from drcopt.checker import check

    verdict = check(proof.to_dict(solution.certificate))
    if not verdict.accepted and solution.status != "near-feasible":  # which is refused, and should be
        wrong.append(f"certificate rejected: {verdict.reason}")
    if verdict.lower > real.high and not (real.edge and verdict.lower == math.inf):
        wrong.append(f"proved lower {verdict.lower!r} > {float(real.high)!r}")
    if verdict.upper < real.low:
        wrong.append(f"proved upper {verdict.upper!r} < {float(real.low)!r}")
    return verdict.accepted, verdict.reason, verdict.lower, verdict.upper


def _job(arguments: tuple[int, int, float, tuple[str, ...]]) -> dict[str, Any]:
    index, seed, limit, families = arguments
    clock.now = time.process_time  # what else the machine does must not decide how far an answer gets
    return run(instance(index, seed, families), limit)


def campaign(
    count: int,
    seed: int = 0,
    jobs: int = 1,
    time_limit: float = 2.0,
    start: int = 0,
    families: Sequence[str] = tuple(FAMILIES),
) -> Iterator[dict[str, Any]]:
    """Rows as they come."""
    todo = [(i, seed, time_limit, tuple(families)) for i in range(start, start + count)]
    if jobs == 1:
        yield from map(_job, todo)
        return
    with ProcessPoolExecutor(jobs) as executor:
        yield from executor.map(_job, todo, chunksize=4)


def summary(rows: pd.DataFrame) -> str:
    """A table by family, then what is wrong."""
    found = rows["status"].isin(["optimal", "feasible"])
    lines = [
        f"{'family':16}{'n':>6}{'optimal':>9}{'feasible':>9}{'infeas.':>9}{'unknown':>9}{'wrong':>7}{'rejected':>9}"
        f"{'gap 50%':>10}{'90%':>10}{'99%':>10}{'max':>10}{'cpu s':>8}{'max s':>8}"
    ]
    for name, part in [*rows.groupby("family", sort=False), ("all", rows)]:
        gaps = part.loc[found & part["gap"].notna(), "gap"] if found.any() else part["gap"].iloc[:0]
        quantiles = [gaps.quantile(q) if len(gaps) else math.nan for q in (0.5, 0.9, 0.99, 1.0)]
        counts = [(part["status"] == s).sum() for s in ("optimal", "feasible", "infeasible", "unknown")]
        lines.append(
            f"{name:16}{len(part):6d}" + "".join(f"{c:9d}" for c in counts)
            + f"{(part['violation'] != '').sum():7d}{(part['accepted'] == False).sum():9d}"  # noqa: E712
            + "".join(f"{q:10.1e}" for q in quantiles)
            + f"{part['cpu_seconds'].mean():8.3f}{part['seconds'].max():8.2f}"
        )  # fmt: skip
    kinds = ", ".join(f"{c} {how}" for how, c in rows["truth"].value_counts().items())
    lines.append(f"held against: {kinds}")
    lines += [f"{r.family} #{r.index}: {r.violation}" for r in rows[rows["violation"] != ""].itertuples()]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign; exits with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m campaigns.soundness", description="A campaign to catch a lie.")
    parser.add_argument("--n", type=int, default=600, help="instances (default 600)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="first instance")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: cores)")
    parser.add_argument("--time-limit", type=float, default=2.0, help="seconds a solve (default 2)")
    parser.add_argument("--out", help="CSV file for every row")
    parser.add_argument(
        "--families",
        nargs="+",
        choices=tuple(FAMILIES),
        default=tuple(FAMILIES),
        metavar="NAME",
        help="only these, in turn; the first 13 alone give the instances of before there were more",
    )
    options = parser.parse_args(arguments)
    from tqdm import tqdm

    found = campaign(options.n, options.seed, options.jobs, options.time_limit, options.start, options.families)
    rows = []
    for row in tqdm(found, total=options.n, disable=None):
        rows.append(row)
        if row["violation"]:
            print(f"{row['family']} #{row['index']}: {row['violation']}", file=sys.stderr, flush=True)
        if options.out:  # as they come: what is cut short keeps what it has
            pd.DataFrame([row], columns=COLUMNS).to_csv(
                options.out, mode="w" if len(rows) == 1 else "a", header=len(rows) == 1, index=False
            )
    table = pd.DataFrame(rows, columns=COLUMNS)
    print(summary(table))
    return int((table["violation"] != "").any())


if __name__ == "__main__":
    raise SystemExit(main())
