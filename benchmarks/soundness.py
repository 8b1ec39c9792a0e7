"""A campaign to catch the tool lying: ``python -m benchmarks.soundness --n 10000``.

Random small instances of every family that has broken a solver, in equal shares, with budgets to match. Each answer
is held against what is true, from code that shares nothing with the engines:

========  ======================================================================================================
truth     how
========  ======================================================================================================
line      two letters on each side: couplings are a line, I is convex and H(S|Y) concave on it, so what the budgets
          allow is two intervals, whose ends are found by bisection with 40 digits; E d is least at one of them
product   X and Y must be independent (R = 0 or one letter): one coupling, in exact rationals
flow      no budget binds: a transport problem, by successive shortest paths in exact rationals
maps      one-shot codes of classifiers that see Y and U: the linear program over all maps (HiGHS, 1e-9)
points    anything else: couplings found by SLSQP from random starts and then moved strictly within the budgets, so
          the optimum is no more than their least E d
========  ======================================================================================================

A violation is a lower bound above the truth, a value below it, a coupling that breaks a marginal or a budget,
"infeasible" where a point exists, or a point where none does. A lower bound is forgiven nothing; a value the rounding
of its last digit; a point a budget missed by 1e-14 nats, as happens where the question puts it exactly at the edge
(C = H(S|X) or H(S), rounded to a double). With python-flint installed every certificate is also written out and
checked, and the bounds that the checker proves are forgiven nothing either.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import linprog, minimize

import drcopt
from drcopt import information

FloatArray = np.ndarray
#: Rounding forgiven: of E d relative to max d, of a marginal in total, of a budget in nats.
VALUE_ROUNDING, MARGINAL_ROUNDING, BUDGET_ROUNDING = 2.0**-50, 1e-15, 3e-14

# -- instances -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Instance:
    """A question: arrays, budgets in nats (inf: none) and formulation."""

    family: str
    seed: int
    px: FloatArray
    py: FloatArray
    W: FloatArray
    d: FloatArray
    R: float
    C: float
    formulation: str = "single-letter"
    classifier_sees: str = "Y"

    def problem(self) -> drcopt.Problem:
        return drcopt.Problem(self.px, self.py, self.W, self.d)


Arrays = tuple[FloatArray, FloatArray, FloatArray, FloatArray]


def _arrays(rng: np.random.Generator) -> Arrays:
    n, m, k = (int(v) for v in (rng.choice([2, 2, 2, 3, 4]), rng.choice([2, 2, 2, 3, 4]), rng.choice([2, 2, 3])))
    d = rng.random((n, m))
    if rng.random() < 0.3:
        d = 1.0 - np.eye(n, m)
    return rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m)), rng.dirichlet(np.full(k, 0.6), size=n), d


def _with_zeros(rng: np.random.Generator, a: Arrays) -> Arrays:
    px, py, W, d = a
    px, py = np.append(px, 0.0), np.insert(py, rng.integers(len(py)), 0.0)
    d = rng.random((len(px), len(py)))
    return px, py, np.vstack([W, np.eye(W.shape[1])[0]]), d


def _with_tiny_atoms(rng: np.random.Generator, a: Arrays) -> Arrays:
    px, py, W, d = a
    for p in (px, py)[: 1 + rng.integers(2)]:
        p[rng.integers(len(p))] = 10.0 ** -rng.choice([12, 17, 40, 150, 300])
    return px / px.sum(), py / py.sum(), W, d


def _one_point(rng: np.random.Generator, a: Arrays) -> Arrays:
    p = a[rng.integers(2)]
    p[:] = np.eye(len(p))[rng.integers(len(p))]
    return a


def _deterministic(rng: np.random.Generator, a: Arrays) -> Arrays:
    px, py, W, d = a
    return px, py, np.eye(W.shape[1])[rng.integers(W.shape[1], size=len(W))], d


def _equal_rows(rng: np.random.Generator, a: Arrays) -> Arrays:
    px, py, W, d = a
    return px, py, W[rng.integers(max(1, len(W) - 1), size=len(W))], d


def _useless(rng: np.random.Generator, a: Arrays) -> Arrays:
    px, py, W, d = a
    return px, py, np.repeat(W[:1], len(W), axis=0), d


def _constant(rng: np.random.Generator, a: Arrays) -> Arrays:
    px, py, W, d = a
    return px, py, W, np.full(d.shape, rng.choice([0.0, 1.0, 0.3]))


def _thin(rng: np.random.Generator, a: Arrays) -> Arrays:
    px, py, W, d = a
    if rng.random() < 0.5:
        return np.ones(1), py, W[:1], d[:1]
    return px, np.ones(1), W, d[:, :1]


def _invertible(rng: np.random.Generator, a: Arrays) -> Arrays:
    """Half of the time X and Y have one law, and Y = X meets C = H(S|X)."""
    px, _, W, d = a
    return (px, px.copy(), W, rng.random((len(px), len(px)))) if rng.random() < 0.5 else a


def _scaled(rng: np.random.Generator, a: Arrays) -> Arrays:
    px, py, W, d = a
    return px, py, W, d * 10.0 ** rng.uniform(-8, 8) + rng.choice([0.0, 0.0, 1.0, 1e3])


def _same(rng: np.random.Generator, a: Arrays) -> Arrays:
    return a


#: Name → what it does to random arrays.
FAMILIES: dict[str, Callable[[np.random.Generator, Arrays], Arrays]] = {
    "random": _same,
    "zero atoms": _with_zeros,
    "tiny atoms": _with_tiny_atoms,
    "one point": _one_point,
    "R above H": _same,
    "C = H(S|X)": _invertible,
    "C = H(S)": _same,
    "equal rows": _equal_rows,
    "deterministic W": _deterministic,
    "useless W": _useless,
    "constant d": _constant,
    "1xn, nx1": _thin,
    "scaled d": _scaled,
}


def instance(index: int, seed: int = 0) -> Instance:
    """The same for the same arguments; families take turns."""
    family = list(FAMILIES)[index % len(FAMILIES)]
    rng = np.random.default_rng([seed, index])
    px, py, W, d = FAMILIES[family](rng, _arrays(rng))
    problem = drcopt.Problem(px, py, W, d)
    most, low, high = min(problem.entropy_x, problem.entropy_y), problem.entropy_s_given_x, problem.entropy_s
    R = float(rng.choice([math.inf, 0.0, 1e-6, *(most * rng.uniform(0.02, 1.0, size=6))]))
    # Most of the way to H(S), or few instances would be feasible.
    C = float(rng.choice([math.inf, math.inf, *(low + (high - low) * rng.beta(4, 1, size=5))]))
    if family == "R above H":
        R = most * float(rng.choice([1.0, 1.0 + 1e-15, 1.5, 10.0]))
    elif family == "C = H(S|X)":
        C = low
        R = math.inf if np.array_equal(px, py) else R
    elif family == "C = H(S)":
        C = high
    formulation, sees = "single-letter", "Y"
    if rng.random() < 0.15:
        formulation = "time-sharing"
    elif rng.random() < 0.15:
        formulation, sees = "one-shot", str(rng.choice(["Y", "YU"]))
    return Instance(family, index, px, py, W, d, R, C, formulation, sees)


# -- truth -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Truth:
    """``low`` ≤ optimum ≤ ``high``, inf if no point meets the budgets; ``edge``: one only just does, or does not."""

    how: str
    low: float | Fraction
    high: float | Fraction
    edge: bool = False


def _pmf(p: FloatArray) -> list[Fraction]:
    exact = [Fraction(float(v)) for v in p]
    return [v / sum(exact) for v in exact]


def truth(asked: Instance, rng: np.random.Generator) -> Truth:
    """The strongest statement that applies."""
    p = asked.problem().reduced()
    if asked.formulation == "one-shot":
        if min(p.n, p.m) == 1:
            return product(p, asked)
        return maps(p, asked)
    if asked.R == 0 or min(p.n, p.m) == 1:
        return product(p, asked)
    if (p.n, p.m) == (2, 2) and asked.formulation == "single-letter":
        return line(p, asked)
    if asked.R >= min(p.entropy_x, p.entropy_y) * (1 + 1e-12) and asked.C >= p.entropy_s * (1 + 1e-12):
        value = flow(_pmf(p.px), _pmf(p.py), p.d)
        return Truth("flow", value, value)
    return points(p, asked, rng)


def product(p: drcopt.Problem, asked: Instance) -> Truth:
    """E d of independent X and Y, if H(S) allows it."""
    px, py = _pmf(p.px), _pmf(p.py)
    value = sum((px[x] * py[y] * Fraction(float(p.d[x, y])) for x, y in np.ndindex(p.n, p.m)), Fraction(0))
    edge = abs(p.entropy_s - asked.C) <= BUDGET_ROUNDING
    if p.entropy_s > asked.C and not edge:
        return Truth("product", math.inf, math.inf)
    return Truth("product", value, value, edge)


def flow(px: list[Fraction], py: list[Fraction], d: FloatArray) -> Fraction:
    """The least transport cost, by successive shortest paths in the residual network."""
    n, m = len(px), len(py)
    cost = [[Fraction(float(v)) for v in row] for row in d]
    plan = [[Fraction(0)] * m for _ in range(n)]
    supply, demand = list(px), list(py)
    while any(supply):
        distance: list[Fraction | None] = [Fraction(0) if s else None for s in supply] + [None] * m
        parent: list[int] = [-1] * (n + m)
        for _ in range(n + m):  # Bellman–Ford: residual arcs may have negative costs
            for x, y in np.ndindex(n, m):
                for tail, head, c, room in ((x, n + y, cost[x][y], True), (n + y, x, -cost[x][y], plan[x][y] > 0)):
                    here, there = distance[tail], distance[head]
                    if room and here is not None and (there is None or here + c < there):
                        distance[head], parent[head] = here + c, tail
        ends = [(distance[n + y], y) for y in range(m) if demand[y]]
        node = n + min((e for e in ends if e[0] is not None), key=lambda e: (e[0], e[1]))[1]  # type: ignore[type-var]
        path, amount = [node], demand[node - n]
        while parent[path[-1]] >= 0:
            path.append(parent[path[-1]])
        arcs = list(zip(path[1:], path, strict=False))
        amount = min(amount, supply[path[-1]], *(plan[h][t - n] for t, h in arcs if t >= n))
        for tail, head in arcs:
            if tail < n:
                plan[tail][head - n] += amount
            else:
                plan[head][tail - n] -= amount
        supply[path[-1]] -= amount
        demand[node - n] -= amount
    return sum((cost[x][y] * plan[x][y] for x, y in np.ndindex(n, m)), Fraction(0))


def line(p: drcopt.Problem, asked: Instance) -> Truth:
    """Two letters a side: couplings px pyᵀ + δ (1, −1; −1, 1)."""
    import mpmath as mp

    with mp.workdps(60):
        px, py = ([mp.mpf(v.numerator) / v.denominator for v in _pmf(q)] for q in (p.px, p.py))
        W = [[mp.mpf(v.numerator) / v.denominator for v in _pmf(row)] for row in p.ps_given_x]
        ps = [sum(q * row[s] for q, row in zip(px, W, strict=True)) for s in range(p.k)]
        alone = [[q * r for r in py] for q in px]
        sign = ((1, -1), (-1, 1))
        ends = (-min(alone[0][0], alone[1][1]), min(alone[0][1], alone[1][0]))

        def information_of(pairs: Any) -> Any:
            """Σ u [(1 + r) log(1 + r) − r] over masses u moved to u (1 + r) without changing their sum."""
            total = mp.mpf(0)
            for u, r in pairs:
                if abs(r) < mp.mpf(10) ** -6:  # where the closed form would lose the digits of a small r
                    total += u * sum((-r) ** k / (k * (k - 1)) for k in range(2, 12))
                else:
                    total += u * (((1 + r) * mp.log1p(r) if r > -1 else 0) - r)
            return total

        def rate(delta: Any) -> Any:
            return information_of((alone[x][y], sign[x][y] * delta / alone[x][y]) for x in (0, 1) for y in (0, 1))

        def gain(delta: Any) -> Any:
            """I(S;Y)."""
            return information_of(
                (ps[s] * py[y], sum(W[x][s] * sign[x][y] for x in (0, 1)) * delta / (ps[s] * py[y]))
                for s, y in np.ndindex(p.k, 2)
            )

        def reach(function: Any, level: Any, end: Any) -> tuple[Any, Any]:
            """δ between 0 and ``end`` where the increasing ``function`` passes ``level``, from below and above."""
            if function(end) <= level:
                return end, end
            inner, outer = mp.mpf(0), end
            for _ in range(200):
                middle = (inner + outer) / 2
                inner, outer = (middle, outer) if function(middle) <= level else (inner, middle)
            return inner, outer

        entropy = -sum(v * mp.log(v) for v in ps)
        needed = -mp.inf if math.isinf(asked.C) else entropy - mp.mpf(asked.C)
        base = sum(alone[x][y] * mp.mpf(float(p.d[x, y])) for x in (0, 1) for y in (0, 1))
        slope = sum(sign[x][y] * mp.mpf(float(p.d[x, y])) for x in (0, 1) for y in (0, 1))
        lows, highs = [], []
        margin = mp.inf
        for end in ends:
            inner, outer = (end, end) if math.isinf(asked.R) else reach(rate, mp.mpf(asked.R), end)
            # Between the least |δ| with I(S;Y) ≥ H(S) − C and the most with I ≤ R.
            if needed > 0:
                margin = min(margin, abs(gain(outer) - needed))
                if gain(outer) < needed:
                    continue
                first = reach(gain, needed, outer)
            else:
                margin = min(margin, abs(needed))
                first = (mp.mpf(0), mp.mpf(0))
            # A value is held against the least of points that miss C by no more than is forgiven them.
            nearly = reach(gain, needed - BUDGET_ROUNDING, outer)[0] if needed > BUDGET_ROUNDING else mp.mpf(0)
            for delta in (nearly, outer):
                lows.append(base + slope * delta)
            for delta in (first[1], inner):
                highs.append(base + slope * delta)
        edge = bool(margin <= BUDGET_ROUNDING)
        if not lows:
            return Truth("line", math.inf, math.inf, edge)
        low, high = min(lows), min(highs)
        room = mp.mpf(10) ** -34 * max(abs(base), abs(slope))
        return Truth("line", _fraction(low - room), _fraction(high + room), edge)


def _fraction(x: Any) -> Fraction:
    sign, mantissa, exponent, _ = x._mpf_
    return Fraction(-mantissa if sign else mantissa) * Fraction(2) ** exponent


def maps(p: drcopt.Problem, asked: Instance) -> Truth:
    """The linear program over all mⁿ maps; for classifiers that see Y only its value is a bound from below."""
    every = np.array(list(np.ndindex(*(p.m,) * p.n)))
    masses = np.array([[p.px[f == y].sum() for y in range(p.m)] for f in every])
    joint = np.array([[p.ps_given_x[f == y].T @ p.px[f == y] for y in range(p.m)] for f in every])
    costs = np.array([p.px @ p.d[np.arange(p.n), f] for f in every])
    rates = np.array([information.entropy(v) for v in masses])
    losses = np.array([information.conditional_entropy(T.T) for T in joint])
    rows = [(rates, asked.R), (losses, asked.C)]
    kept = [(row, limit) for row, limit in rows if math.isfinite(limit)]
    scale = float(costs.max()) or 1.0

    def solve(room: float) -> float:
        answer = linprog(
            costs / scale,
            A_ub=np.array([row for row, _ in kept]) if kept else None,
            b_ub=[limit + room for _, limit in kept] if kept else None,
            A_eq=masses.T,
            b_eq=p.py,
            method="highs-ds",
            options={"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-9},
        )
        return float(answer.fun) * scale if answer.status == 0 else math.inf

    low, high = solve(1e-8), solve(-1e-8)  # well beyond what the solver takes for feasible
    edge = math.isinf(high) != math.isinf(low)
    room = 1e-7 * scale
    # H(S|Y,U) ≤ H(S|Y): what is met by seeing U as well may not be met without.
    return Truth("maps", low - room, high + room if asked.classifier_sees == "YU" else math.inf, edge)


def points(p: drcopt.Problem, asked: Instance, rng: np.random.Generator) -> Truth:
    """The least E d of couplings found by SLSQP and moved strictly within the budgets."""
    best = math.inf
    shape = (p.n, p.m)
    equal = np.array([np.ravel(row) for row in [*(np.outer(e, np.ones(p.m)) for e in np.eye(p.n)),
                                               *(np.outer(np.ones(p.n), e) for e in np.eye(p.m))]])  # fmt: skip
    sums = np.concatenate([p.px, p.py])
    equal, sums = equal[:-1], sums[:-1]  # the last follows from the others, and SLSQP gives up where rows depend
    scale = float(np.ptp(p.d)) or 1.0

    def consider(P: FloatArray) -> None:
        nonlocal best
        P = _rounded(np.maximum(P.reshape(shape), 0.0), p.px, p.py)
        spent = information.mutual_information(P)
        if spent > asked.R * (1 - 1e-9):
            keep = asked.R * (1 - 1e-9) / spent
            P = keep * P + (1 - keep) * p.independent
        if information.mutual_information(P) > asked.R or np.abs(P.sum(axis=0) - p.py).sum() > 1e-15:
            return
        if information.conditional_entropy(p.ps_given_x.T @ P) <= asked.C - 1e-11:
            best = min(best, math.fsum(np.ravel(P * p.d)) + 2.0**-50 * float(p.d.max()))

    limits: list[dict[str, Any]] = [{"type": "eq", "fun": lambda v: equal @ v - sums, "jac": lambda v: equal}]
    if math.isfinite(asked.R):
        limits.append({"type": "ineq", "fun": lambda v: asked.R * (1 - 1e-6) - p.rate(np.abs(v.reshape(shape)))})
    if math.isfinite(asked.C):
        limits.append(
            {"type": "ineq", "fun": lambda v: asked.C - 1e-6 - p.classification_loss(np.abs(v.reshape(shape)))}
        )
    consider(p.independent)
    for _ in range(3):
        start = _rounded(rng.random(shape) ** 3 * p.independent, p.px, p.py)
        try:
            with np.errstate(all="ignore"):
                found = minimize(
                    lambda v: float(np.ravel(p.d) @ v) / scale, np.ravel(start), jac=lambda v: np.ravel(p.d) / scale,
                    bounds=[(0.0, 1.0)] * p.n * p.m, constraints=limits, method="SLSQP", options={"maxiter": 60},
                )  # fmt: skip
        except (ValueError, FloatingPointError):
            continue
        if np.isfinite(found.x).all():
            consider(found.x)
    return Truth("points", -math.inf, best)


def _rounded(P: FloatArray, px: FloatArray, py: FloatArray) -> FloatArray:
    """The coupling near P: shrink heavy rows and columns, add what is missing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        P = P * np.nan_to_num(np.minimum(1.0, px / P.sum(axis=1)), nan=1.0)[:, None]
        P = P * np.nan_to_num(np.minimum(1.0, py / P.sum(axis=0)), nan=1.0)
    x, y = px - P.sum(axis=1), py - P.sum(axis=0)
    return P + np.outer(np.maximum(x, 0.0), np.maximum(y, 0.0)) / max(float(y.sum()), 1e-300) if y.sum() > 0 else P


# -- judgement -------------------------------------------------------------------------------------------------------


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
            "lower_bound": solution.lower_bound, "gap": solution.gap / (float(problem.d.max()) or 1.0),
            "seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - used}  # fmt: skip
    real = truth(asked, np.random.default_rng([asked.seed, 1]))
    row |= {"truth": real.how, "least": float(real.low), "most": float(real.high), "edge": real.edge}
    wrong = list(violations(asked, problem, solution, real))
    row["accepted"], row["proved_lower"], row["proved_upper"] = checked(solution, problem, real, wrong)
    return row | {"violation": "; ".join(wrong)}


def violations(asked: Instance, problem: drcopt.Problem, solution: Any, real: Truth) -> Iterator[str]:
    """What the floats of a solution say that is not so."""
    size = float(problem.d.max())
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
    exact = solution.status != "near-feasible"  # beyond a budget by a rounding, which it says and may be worth more
    if exact and infeasible and not real.edge:
        yield "a point, but none exists"
    if exact and not infeasible and solution.distortion < float(real.low) - VALUE_ROUNDING * size:
        yield f"value {solution.distortion!r} < {float(real.low)!r} by {float(real.low) - solution.distortion:.3g}"
    P = solution.coupling
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


def checked(solution: Any, problem: drcopt.Problem, real: Truth, wrong: list[str]) -> tuple[bool | None, float, float]:
    """The checker's verdict on the certificate, whose bounds are held against the truth without any room."""
    try:
        import flint  # noqa: F401
    except ImportError:
        return None, math.nan, math.nan
    from drcopt.certify import proof
    from drcopt.checker import check

    verdict = check(proof.to_dict(solution.certificate))
    if not verdict.accepted and solution.status != "near-feasible":  # which is refused, and should be
        wrong.append(f"certificate rejected: {verdict.reason}")
    if verdict.lower > real.high and not (real.edge and verdict.lower == math.inf):
        wrong.append(f"proved lower {verdict.lower!r} > {float(real.high)!r}")
    if verdict.upper < real.low:
        wrong.append(f"proved upper {verdict.upper!r} < {float(real.low)!r}")
    return verdict.accepted, verdict.lower, verdict.upper


def _job(arguments: tuple[int, int, float]) -> dict[str, Any]:
    index, seed, limit = arguments
    return run(instance(index, seed), limit)


def campaign(
    count: int, seed: int = 0, jobs: int = 1, time_limit: float = 2.0, start: int = 0
) -> Iterator[dict[str, Any]]:
    """Rows as they come."""
    todo = [(i, seed, time_limit) for i in range(start, start + count)]
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
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soundness", description="A campaign to catch a lie.")
    parser.add_argument("--n", type=int, default=600, help="instances (default 600)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="first instance")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: cores)")
    parser.add_argument("--time-limit", type=float, default=2.0, help="seconds a solve (default 2)")
    parser.add_argument("--out", help="CSV file for every row")
    options = parser.parse_args(arguments)
    from tqdm import tqdm

    found = campaign(options.n, options.seed, options.jobs, options.time_limit, options.start)
    rows = pd.DataFrame(tqdm(found, total=options.n, disable=None))
    if options.out:
        rows.to_csv(options.out, index=False)
    print(summary(rows))
    return int((rows["violation"] != "").any())


if __name__ == "__main__":
    raise SystemExit(main())
