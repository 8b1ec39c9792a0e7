"""What is true of a question, from code that shares nothing with the engines.

========  ======================================================================================================
truth     how
========  ======================================================================================================
line      two letters on each side: couplings are a line, I is convex and H(S|Y) concave on it, so what the budgets
          allow is two intervals, whose ends are found by bisection with 60 digits; E d is least at one of them
groups    two letters of Y, two different rows of p(s|x), no rate: H(S|Y) is a matter of one number, likewise
product   X and Y must be independent (R = 0 or one letter): one coupling, in exact rationals
flow      no budget binds: a transport problem, by successive shortest paths in exact rationals
maps      one-shot codes of classifiers that see Y and U: the linear program over all maps (HiGHS, 1e-9)
points    anything else: couplings found by SLSQP from random starts and then moved strictly within the budgets, so
          the optimum is no more than their least E d
========  ======================================================================================================
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath as mp
import numpy as np
from scipy.optimize import linprog, minimize

import drcopt
from campaigns.families import FloatArray, Instance
from drcopt import information

#: Digits of roots, and what is too close to a budget for them to tell.
DIGITS, ROUNDING = 60, mp.mpf(10) ** -45


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
    no_rate = asked.R >= min(p.entropy_x, p.entropy_y) * (1 + 1e-12)
    if (
        no_rate
        and p.m == 2
        and len({tuple(_pmf(row)) for row in p.ps_given_x}) == 2
        and asked.formulation == "single-letter"
    ):
        return groups(p, asked)
    if no_rate and asked.C >= p.entropy_s * (1 + 1e-12):
        value = flow(_pmf(p.px), _pmf(p.py), p.d)
        return Truth("flow", value, value)
    return points(p, asked, rng)


def product(p: drcopt.Problem, asked: Instance) -> Truth:
    """E d of independent X and Y, if H(S) allows it."""
    px, py = _pmf(p.px), _pmf(p.py)
    value = sum((px[x] * py[y] * Fraction(float(p.d[x, y])) for x, y in np.ndindex(p.n, p.m)), Fraction(0))
    with mp.workdps(DIGITS):
        X, _, W = _numbers(p)
        needed = _needed([sum(q * row[s] for q, row in zip(X, W, strict=True)) for s in range(p.k)], asked)
        edge = bool(abs(needed) <= ROUNDING)
    if needed > 0 and not edge:
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


def line(p: drcopt.Problem, asked: Instance, digits: int = DIGITS) -> Truth:
    """Two letters a side: couplings px pyᵀ + δ (1, −1; −1, 1)."""
    with mp.workdps(digits):
        px, py, W = _numbers(p)
        ps = [sum(q * row[s] for q, row in zip(px, W, strict=True)) for s in range(p.k)]
        alone = [[q * r for r in py] for q in px]
        sign = ((1, -1), (-1, 1))

        def rate(delta: Any) -> Any:
            return _information((alone[x][y], sign[x][y] * delta / alone[x][y]) for x in (0, 1) for y in (0, 1))

        def gain(delta: Any) -> Any:
            """I(S;Y)."""
            return _information(
                (ps[s] * py[y], sum(W[x][s] * sign[x][y] for x in (0, 1)) * delta / (ps[s] * py[y]))
                for s, y in np.ndindex(p.k, 2)
            )

        needed = _needed(ps, asked)
        base = sum(alone[x][y] * _mpf(p.d[x, y]) for x in (0, 1) for y in (0, 1))
        slope = sum(sign[x][y] * _mpf(p.d[x, y]) for x in (0, 1) for y in (0, 1))
        lows, highs = [], []
        margin = abs(needed)
        for end in (-min(alone[0][0], alone[1][1]), min(alone[0][1], alone[1][0])):
            inner, outer = (end, end) if math.isinf(asked.R) else _reach(rate, mp.mpf(asked.R), end)
            # Between the least |δ| with I(S;Y) ≥ H(S) − C and the most with I ≤ R.
            near, far = mp.mpf(0), mp.mpf(0)
            if needed > 0:
                margin = min(margin, abs(gain(outer) - needed))
                if gain(outer) < needed:
                    continue
                near, far = _reach(gain, needed, outer)
            lows += [base + slope * delta for delta in (near, outer)]
            highs += [base + slope * delta for delta in (far, inner)]
        return _between("line", lows, highs, margin, max(abs(base), abs(slope)))


def groups(p: drcopt.Problem, asked: Instance) -> Truth:
    """Two letters of Y, two kinds of letters of X as rows of p(s|x) go, and no limit on the rate.

    H(S|Y) depends on v = P(first kind, y = 0) alone, and given v the least E d sends to y = 0 the letters of either
    kind for which it is cheapest: convex in v, so that it is least where it is free to be, or where C stops it.
    """
    with mp.workdps(DIGITS):
        px, py, W = _numbers(p)
        kinds = [[x for x in range(p.n) if same == (W[x] == W[0])] for same in (True, False)]
        masses = [sum(px[x] for x in kind) for kind in kinds]
        rows = [W[kind[0]] for kind in kinds]
        ps = [sum(q * row[s] for q, row in zip(masses, rows, strict=True)) for s in range(p.k)]
        alone = masses[0] * py[0]
        sign = (1, -1)

        def gain(delta: Any) -> Any:
            return _information(
                (ps[s] * py[y], sign[y] * (rows[0][s] - rows[1][s]) * delta / (ps[s] * py[y]))
                for s, y in np.ndindex(p.k, 2)
            )

        saved = [sorted((_mpf(p.d[x, 0]) - _mpf(p.d[x, 1]), px[x]) for x in kind) for kind in kinds]
        base = sum(px[x] * _mpf(p.d[x, 1]) for x in range(p.n))

        def cost(delta: Any) -> Any:
            total = base
            for room, letters in zip((alone + delta, py[0] - alone - delta), saved, strict=True):
                for worth, mass in letters:
                    taken = min(mass, max(room, mp.mpf(0)))
                    total, room = total + taken * worth, room - taken
            return total

        # Where one kind's letters change, and the ends of what there is.
        low, high = max(-alone, masses[0] + py[0] - 1 - alone), min(masses[0], py[0]) - alone
        breaks = [low, high, mp.mpf(0)]
        for first, letters in enumerate(saved):
            for i in range(len(letters)):
                mass = sum(m for _, m in letters[: i + 1])
                breaks.append((py[0] - mass if first else mass) - alone)
        needed = _needed(ps, asked)
        lows, highs = [], []
        margin = abs(needed)
        for end in (low, high):
            near, far = mp.mpf(0), mp.mpf(0)
            if needed > 0:
                margin = min(margin, abs(gain(end) - needed))
                if gain(end) < needed:
                    continue
                near, far = _reach(gain, needed, end)
            inside = [delta for delta in breaks if min(far, end) <= delta <= max(far, end)]
            lows += [cost(delta) for delta in (near, *inside)]
            highs += [cost(delta) for delta in (far, *inside)]
        return _between("groups", lows, highs, margin, max(abs(cost(delta)) for delta in breaks))


def _mpf(x: Any) -> Any:
    """A double or a fraction, to the present digits."""
    x = Fraction(x) if isinstance(x, Fraction) else Fraction(float(x))
    return mp.mpf(x.numerator) / x.denominator


def _numbers(p: drcopt.Problem) -> tuple[list[Any], list[Any], list[list[Any]]]:
    px, py = ([_mpf(v) for v in _pmf(q)] for q in (p.px, p.py))
    return px, py, [[_mpf(v) for v in _pmf(row)] for row in p.ps_given_x]


def _needed(ps: list[Any], asked: Instance) -> Any:
    """The I(S;Y) that C asks for."""
    return -mp.inf if math.isinf(asked.C) else -sum(v * mp.log(v) for v in ps if v) - mp.mpf(asked.C)


def _information(pairs: Any) -> Any:
    """Σ u [(1 + r) log(1 + r) − r] over masses u moved to u (1 + r) without changing their sum."""
    total = mp.mpf(0)
    for u, r in pairs:
        if abs(r) < mp.mpf(10) ** -6:  # where the closed form would lose the digits of a small r
            total += u * sum((-r) ** k / (k * (k - 1)) for k in range(2, 12))
        else:
            total += u * (((1 + r) * mp.log1p(r) if r > -1 else 0) - r)
    return total


def _reach(function: Any, level: Any, end: Any) -> tuple[Any, Any]:
    """δ between 0 and ``end`` where the increasing ``function`` passes ``level``, from below and above."""
    if function(end) <= level:
        return end, end
    inner, outer = mp.mpf(0), end
    for _ in range(200):
        middle = (inner + outer) / 2
        inner, outer = (middle, outer) if function(middle) <= level else (inner, middle)
    return inner, outer


def _between(how: str, lows: list[Any], highs: list[Any], margin: Any, size: Any) -> Truth:
    edge = bool(margin <= ROUNDING)
    if not lows:
        return Truth(how, math.inf, math.inf, edge)
    room = mp.mpf(10) ** -34 * size
    return Truth(how, _fraction(min(lows) - room), _fraction(max(min(highs), min(lows)) + room), edge)


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
