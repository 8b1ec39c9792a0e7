"""The one-shot representation theorem, against brute force over every encoder and decoder."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from scipy.optimize import linprog

from drcopt import information
from drcopt.problem import Problem
from drcopt.solve import solve
from drcopt.sources import bernoulli
from drcopt.support.check import FloatArray
from drcopt.theorems._registry import Comparison, Interval, compare, random_problem, theorem


@theorem(
    name="one-shot-representation",
    statement=(
        "min E d(X,Y) over encoders Z = f(X,U) and decoders Y = g(Z,U) with H(Z|U) ≤ R equals the minimum over "
        "maps Y = f(X,U) with H(Y|U) ≤ R, at every C"
    ),
    where="slides and paper, one-shot representation theorem",
    definition="H(S|Y,U) ≤ C, or no C; in bits. With H(S|Y) the same argument: g∘f has H(Y|U) ≤ H(Z|U), same (X,Y,U)",
)
def representation(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    problems = [bernoulli(0.3, 0.25, 0.2), bernoulli(0.3, 0.4, 0.1)]
    problems += [random_problem(rng, int(n), 2, 2) for n in rng.integers(2, 4, instances)]
    for problem in problems:
        R = float(rng.integers(2, 11)) / 10
        low, high = (information.from_nats(h, "bits") for h in (problem.entropy_s_given_x, problem.entropy_s))
        for C in (None, math.ceil(100 * rng.uniform(low, high)) / 100):
            computed = solve(problem, R=R, C=C, formulation="one-shot", classifier_sees="YU", on_failure="return")
            yield compare(computed, encoders_and_decoders(problem, R, C), {"": problem, "R": R, "C": C})


def encoders_and_decoders(problem: Problem, R: float, C: float | None) -> Interval:
    """The least E d over mixtures of all pairs (f, g), Z with as many letters as X; R and C in bits."""
    n, m = problem.n, problem.m
    columns, costs, rates, losses = [], [], [], []
    for f in itertools.product(range(n), repeat=n):
        rate = information.entropy(np.bincount(f, weights=problem.px, minlength=n))
        for g in itertools.product(range(m), repeat=n):
            coupling = np.zeros((n, m))
            coupling[np.arange(n), [g[z] for z in f]] = problem.px
            columns.append(coupling.sum(axis=0))
            costs.append(problem.distortion(coupling))
            rates.append(rate)
            losses.append(problem.classification_loss(coupling))
    cost, loss, marginals = np.array(costs), np.array(losses), np.array(columns).T
    rows, budgets = np.array([rates]), [information.to_nats(R, "bits")]
    if C is not None:
        limit = information.to_nats(C, "bits")
        if program(loss, rows, budgets, marginals, problem.py)[0] > limit + 1e-9:
            return math.inf, math.inf
        rows, budgets = np.vstack([rows, loss]), [*budgets, limit]
    return program(cost, rows, budgets, marginals, problem.py)


def program(
    cost: FloatArray, rows: FloatArray, budgets: list[float], marginals: FloatArray, target: FloatArray
) -> Interval:
    """min cost·λ over pmfs λ with rows λ ≤ budgets and marginals λ = target, with the bound of its dual solution."""
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    found = linprog(cost, rows, budgets, marginals, target, method="highs", options=tight)
    if found.x is None:
        return -math.inf, math.inf
    price, nu = np.minimum(found.ineqlin.marginals, 0.0), found.eqlin.marginals
    # λ sums to 1, so the least reduced cost is all that dual infeasibility can take away.
    lower = float(price @ budgets + nu @ target + (cost - price @ rows - nu @ marginals).min())
    return min(lower, float(found.fun)), float(found.fun)
