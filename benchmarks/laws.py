"""Y's law free: curves R(D) beside Blahut and Arimoto's algorithm and cone solvers, and messages."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import peers, rates
from benchmarks.instances import FAMILIES, Instance, rate_instance
from benchmarks.running import Row, capped, clock, since
from drcopt import Problem, information_bottleneck
from drcopt.law_session import session_for
from drcopt.questions import CLASSIFICATION_LOSS

PEERS = ("blahut-arimoto", "clarabel", "scs", "dit")
#: p(x, s) of dit's documentation, its slopes and what is asked of each answer (bits).
BOTTLENECK, SLOPES, SHARP = np.array([[0.2, 0.0, 0.2], [0.0, 0.0, 0.2], [0.0, 0.2, 0.2]]), 21, 1e-7
#: Divergences and budgets of laws near the target, points of each, and the sizes that cone solvers take.
NEAR, NEAR_POINTS, NEAR_SIZE = (("tv", 0.02), ("kl", 0.02)), 5, 64
#: Gap wanted, relative to max d, of the engine and of Blahut and Arimoto.
TOL = 1e-9


def run(
    sizes: Sequence[int] = (16, 64),
    points: int = 50,
    use: Sequence[str] = (),
    cap: float = 60.0,
    families: Sequence[str] = FAMILIES,
    peer_points: int = 4,
    warm: bool = False,
) -> Iterator[Row]:
    """Rows: the engine's curve of every instance and then, at some of its points, each peer in ``use``."""
    for size in sizes:
        for family in families:
            given = rate_instance(family, size).problem
            instance = Instance(family, Problem(given.px, None, given.ps_given_x, given.d))
            rows = curve(instance, points)
            yield from rows
            for peer in use:
                if peer != "dit":
                    yield from beside(instance, rows, peer, cap, peer_points, warm)
            if "clarabel" in use and size <= NEAR_SIZE:
                for near in NEAR:
                    yield from perceived(Instance(family, given), near, cap)
    if "dit" in use:
        yield from bottleneck()


def bottleneck() -> Iterator[Row]:
    """dit's information bottleneck: its curve, and I(S;T) proved at the rates of its points, in one session."""
    problem = Problem.from_joint(BOTTLENECK, None, d=np.zeros((3, 1)))
    instance = Instance("bottleneck", problem)
    head = {"benchmark": "laws", "instance": instance.name, "size": instance.size, "part": "bottleneck"}
    theirs = list(capped(peers.dit_bottleneck, BOTTLENECK, SLOPES, seconds=300.0))
    entropy = problem.entropy_s / math.log(2.0)
    for turn in (0, 1):  # the first includes what is imported on the way
        session = session_for(problem, classifier_sees="message", tol=SHARP)
        for row in theirs:
            if "value" not in row or turn == 0:
                session.ask(CLASSIFICATION_LOSS, R=row.get("rate_bits", 0.5), on_failure="return")
                continue
            started = clock()
            found = session.ask(CLASSIFICATION_LOSS, R=row["rate_bits"], on_failure="return")
            ours = {"solver": "newton", "rate_bits": row["rate_bits"], **since(started), "value": entropy - found.value}
            yield head | ours | {"gap": found.gap, "status": found.status, "note": found.termination}
    for row in theirs:
        yield head | {"solver": "dit"} | row
    for _ in range(2):  # the slopes as one question
        started = clock()
        curve = information_bottleneck(BOTTLENECK, beta=np.linspace(0.0, 10.0, SLOPES), tol=SHARP)
        took = {name: value / SLOPES for name, value in since(started).items()}
    part = {"part": "bottleneck curve", "note": "all slopes at once"}
    for i, status in enumerate(curve.status):
        ours = {"solver": "newton", "rate_bits": curve.rate[i], "value": curve.relevance[i], "gap": curve.gap[i]}
        yield head | part | ours | took | {"status": status}
    for row in theirs:
        yield head | part | {"solver": "dit"} | row


def perceived(instance: Instance, near: tuple[str, float], cap: float) -> Iterator[Row]:
    """Y's law near py, without classes: the engine's answers and a cone solver's at the same rates."""
    problem, (kind, budget) = instance.problem, near
    end = session_for(problem, tol=TOL).solve(None, None).rate
    at = [float(R) for R in np.linspace(0.0, end, NEAR_POINTS + 2)[1:-1]]
    head = {"benchmark": "laws", "instance": f"{instance.name} {kind}", "size": instance.size, "part": "perception"}
    session, values = session_for(problem, perception=near, tol=1e-7), []
    session.solve(at[0], None, on_failure="return")  # imports
    for R in at:
        started = clock()
        found = session.solve(R, None, on_failure="return")
        took = since(started)
        values.append(found.value)
        ours = {"solver": "newton", "rate_bits": R, **took, "value": found.value, "status": found.status}
        yield head | ours | {"gap": found.gap / problem.d.max(), "note": found.termination}
    nats = budget * (math.log(2.0) if kind == "kl" else 1.0)
    answers = capped(peers.cone, problem, at, "clarabel", (kind, nats), seconds=cap)
    for R, value, row in zip(at, values, answers, strict=False):  # fewer answers where it is stopped
        if "value" in row:
            row["error"] = abs(row["value"] - value) / problem.d.max()
        yield head | {"solver": "clarabel", "rate_bits": R} | row


def curve(instance: Instance, points: int) -> list[Row]:
    """Rates evenly from above 0 to below that of the least distortion; the "end", where rates begin to be slack."""
    problem, rows = instance.problem, []
    law = np.full(problem.m, 1.0 / problem.m)
    end = session_for(problem, tol=TOL).solve(None, None)
    session = session_for(problem, tol=TOL)
    for R in np.linspace(0.0, end.rate, points + 2)[1:-1]:
        started = clock()
        solution = session.solve(float(R), None, on_failure="return")
        took = since(started)
        violation = max(solution.residuals.row_marginal, solution.residuals.rate)
        multiplier = solution.multipliers.rate  # of a bit
        row = rates._row(instance, "newton", "curve", float(R), took, solution)
        # "before" is the law of the point before, for a peer that starts there.
        rows.append(row | {"violation": violation, "slope": math.log(2.0) / multiplier, "before": law})
        law = solution.output_law
    return rows


def beside(
    instance: Instance, rows: list[Row], peer: str, cap: float, points: int = 4, warm: bool = False
) -> Iterator[Row]:
    """A peer at ``points`` of the curve; Blahut and Arimoto's is told the slopes, which the engine had to find.

    That algorithm's points run side by side, a process for each core, from a uniform law or (``warm``) from the
    engine's at the point before, of which a thousandth is spread over all letters.
    """
    problem = instance.problem
    chosen = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, points).round().astype(int))]
    at = [row["rate_bits"] for row in chosen]
    if peer == "blahut-arimoto":
        even = np.full(problem.m, 1.0 / problem.m)
        given = [
            ([R], [r["slope"]], [0.999 * r["before"] + 0.001 * even if warm else even])
            for R, r in zip(at, chosen, strict=True)
        ]

        def one(what: Any) -> list[Row]:
            return list(capped(peers.blahut_arimoto, problem, *what, TOL, cap, seconds=40.0 * cap))

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            answers = itertools.chain.from_iterable(pool.map(one, given))
    else:
        answers = capped(peers.cone, problem, at, peer, seconds=cap)
    left = list(chosen)
    for answer in answers:
        row = {"benchmark": "laws", "instance": instance.name, "size": instance.size, "solver": peer, "part": "curve"}
        row |= {"rate_bits": left[0]["rate_bits"] if left else math.nan} | answer
        if "value" in answer:
            row["error"] = abs(answer["value"] - left[0]["value"]) / problem.d.max()
        left = left[1:]
        yield row
        if answer["status"] in ("did not finish", "error") and peer != "blahut-arimoto":
            for other in left:
                yield row | {"rate_bits": other["rate_bits"], "note": "not reached"}
            return


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """As of rates: one line for each instance and solver, times per point and their ratio to the engine's mean."""
    return rates.summary(table)
