"""Laws that hold for every source: monotone, convex, ordered, and what the ends are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from drcopt import information, words
from drcopt.problem import Problem
from drcopt.solution import Solution
from drcopt.solve import solve
from drcopt.sources import bernoulli
from drcopt.theorems._one_shot import program
from drcopt.theorems._registry import Comparison, compare, mean, random_problem, theorem

SLIDES = "slides, implied by the definitions"
Kind = tuple[words.Formulation, words.ClassifierSees]
#: (formulation, classifier_sees)
ALL: tuple[Kind, ...] = (("single-letter", "Y"), ("time-sharing", "Y"), ("one-shot", "Y"), ("one-shot", "YU"))


def answer(problem: Problem, R: float | None, C: float | None, kind: Kind = ALL[0]) -> Solution:
    """Certified, budgets in bits."""
    return solve(problem, R=R, C=C, formulation=kind[0], classifier_sees=kind[1], on_failure="return")


def label(problem: Problem, R: float | None, C: float | None, *kinds: Kind, **more: object) -> dict[str, object]:
    """What an instance was."""
    text = " against ".join(" ".join(kind) if kind[0] == "one-shot" else kind[0] for kind in kinds)
    return {"source": problem, "R": R, "C": C, **more, "formulation": text}


def draw(rng: np.random.Generator, count: int) -> Iterator[tuple[Problem, float, float]]:
    """Problems with R and C in bits: 3×3 without C, 2×2 where C asks for up to a third of what X tells of S."""
    yield bernoulli(0.3, 0.4, 0.1), 0.5, 0.8
    for i in range(count):
        if i % 2:
            yield random_problem(rng, 3, 3), float(rng.integers(3, 11)) / 10, math.inf
        else:
            problem = random_problem(rng, 2, 2)
            low, high = (information.from_nats(h, "bits") for h in (problem.entropy_s_given_x, problem.entropy_s))
            C = math.ceil(1000 * (high - (high - low) * rng.uniform(0.0, 1 / 3))) / 1000
            yield problem, float(rng.integers(3, 11)) / 10, C


@theorem(
    name="monotone-in-rate",
    statement="D(R + 0.2, C) ≤ D(R, C)",
    where=SLIDES,
    definition="every formulation, in bits",
)
def monotone_in_rate(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    for (problem, R, C), kind in itertools.product(draw(rng, instances), ALL):
        more, less = (answer(problem, rate, C, kind) for rate in (round(R + 0.2, 10), R))
        yield compare(more, less, label(problem, R, C, kind), relation="<=")


@theorem(
    name="monotone-in-classification",
    statement="D(R, C + 0.02) ≤ D(R, C)",
    where=SLIDES,
    definition="every formulation, in bits",
)
def monotone_in_classification(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    for (problem, R, C), kind in itertools.product(draw(rng, instances), ALL):
        loose, tight = (answer(problem, R, loss, kind) for loss in (round(C + 0.02, 10), C))
        yield compare(loose, tight, label(problem, R, C, kind), relation="<=")


@theorem(
    name="convex-in-rate",
    statement="Without C, D at the midpoint of two rates is at most the mean of the two D",
    where=SLIDES,
    definition="every formulation, in bits; computed at the midpoint, predicted from the ends",
)
def convex_in_rate(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    for (problem, R, _), kind in itertools.product(draw(rng, instances), ALL):
        low, middle, high = (answer(problem, rate, None, kind) for rate in (R / 2, R, 3 * R / 2))
        yield compare(middle, mean(low, high), label(problem, R, None, kind, ends=[R / 2, 3 * R / 2]), relation="<=")


def _register_order(name: str, lower: Kind, upper: Kind, statement: str) -> None:
    @theorem(name=name, statement=statement, where=SLIDES, definition="at the same R and C, in bits")
    def order(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
        for problem, R, C in draw(rng, instances):
            left, right = answer(problem, R, C, lower), answer(problem, R, C, upper)
            yield compare(left, right, label(problem, R, C, lower, upper), relation="<=")


_register_order("order-time-sharing", ALL[1], ALL[0], "D of time-sharing ≤ D single-letter")
_register_order("order-one-shot", ALL[0], ALL[2], "D single-letter ≤ D one-shot with H(S|Y)")
_register_order("order-classifier", ALL[3], ALL[2], "D one-shot with H(S|Y,U) ≤ D one-shot with H(S|Y)")


@theorem(
    name="zero-rate",
    statement="D(0, C) = Σ px(x) py(y) d(x,y) if C ≥ H(S), else infeasible",
    where=SLIDES,
    definition="every formulation, in bits",
)
def zero_rate(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    for (problem, _, C), kind in itertools.product(draw(rng, instances), ALL):
        independent = math.fsum(np.ravel(problem.independent * problem.d))
        for loss in sorted({math.inf, C}):
            predicted = independent if information.to_nats(loss, "bits") >= problem.entropy_s else math.inf
            yield compare(answer(problem, 0.0, loss, kind), predicted, label(problem, 0.0, loss, kind))


@theorem(
    name="no-budgets",
    statement="D(∞, ∞) is the optimal-transport distortion",
    where=SLIDES,
    definition="every formulation, against a linear program",
)
def no_budgets(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    for (problem, _, _), kind in itertools.product(draw(rng, instances), ALL):
        n, m = problem.n, problem.m
        rows = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
        marginals, target = np.vstack(rows), np.concatenate([problem.px, problem.py])
        transport = program(problem.d.ravel(), np.zeros((1, n * m)), [1.0], marginals, target)
        yield compare(answer(problem, None, None, kind), transport, label(problem, None, None, kind))
