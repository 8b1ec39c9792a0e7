"""The single-letter formula against time-sharing, which is what block codes achieve."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from drcopt import information, words
from drcopt.problem import Problem
from drcopt.solution import Solution
from drcopt.solve import solve
from drcopt.sources import bernoulli
from drcopt.theorems._registry import Comparison, compare, mean, random_problem, theorem

PRINTED = "Theorem 3; slides, asymptotic regime"
ENVELOPE = (
    "Mixtures λ_q of couplings in Γ(px, py) with Σ λ_q I_q(X;Y) ≤ R and Σ λ_q H_q(S|Y) ≤ C: "
    "the lower convex envelope of the single-letter D(R, C)."
)


@dataclass(frozen=True)
class Instance:
    """A problem and budgets in bits."""

    problem: Problem
    R: float | None
    C: float | None
    name: str = ""

    def solve(self, formulation: words.Formulation) -> Solution:
        return solve(self.problem, R=self.R, C=self.C, formulation=formulation, on_failure="return")

    @property
    def label(self) -> dict[str, object]:
        return {"source": self.name or self.problem, "R": self.R, "C": self.C}


#: With Y forced to differ from X, one coupling that tells enough of S must guess the flipped letter.
FLIPPED = Instance(bernoulli(0.3, 0.7, 0.0), None, 0.6, "bernoulli(px=0.3, py=0.7, p1=0)")


def active(problem: Problem, R: float, fraction: float) -> Instance:
    """A classification budget that asks for this much more than the rate-only optimum tells of S."""
    loss = solve(problem, R=R).classification_loss
    told = information.from_nats(problem.entropy_s, "bits") - loss
    return Instance(problem, R, math.floor(1000 * (loss - fraction * told)) / 1000)


@theorem(
    name="asymptotic-single-letter",
    statement="The least distortion of block codes as n → ∞ is min E d(X,Y) over couplings with I(X;Y) ≤ R, H(S|Y) ≤ C",
    where=PRINTED,
    definition="achievable by time-sharing with (1/n) Σ_i H(S_i|Y_i, Q) ≤ C; in bits",
    condition="the rate-only optimum meets C (so always without C)",
    corrected=ENVELOPE,
)
def operational(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    yield envelope(FLIPPED)
    for _ in range(instances):
        R = float(rng.integers(2, 9)) / 10
        yield envelope(Instance(random_problem(rng, 3, 3), R, None))
        yield envelope(active(random_problem(rng, 2, 2), R, 0.02))


def envelope(instance: Instance) -> Comparison:
    free = solve(instance.problem, R=instance.R)
    slack = instance.C is None or free.classification_loss <= instance.C
    return compare(instance.solve("time-sharing"), instance.solve("single-letter"), instance.label, condition=slack)


@theorem(
    name="single-letter-convex-in-C",
    statement="The single-letter D(R, ·) is convex: D at the midpoint of two C is at most the mean of the two D",
    where=f"{PRINTED}; needed for it to be the operational limit",
    definition="H(S|Y) ≤ C, in bits; computed at the midpoint, predicted from the ends",
    corrected=f"H(S|Y) is concave in the coupling, so nothing makes D convex in C. {ENVELOPE}",
)
def convex_in_classification(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    yield _midpoint(FLIPPED.problem, None, 0.58, 0.7, FLIPPED.name)
    for _ in range(instances):
        problem, R = random_problem(rng, 2, 2), float(rng.integers(2, 9)) / 10
        low, high = (active(problem, R, fraction).C for fraction in (0.03, 0.0))
        yield _midpoint(problem, R, low or 0.0, high or 0.0, "")


@theorem(
    name="time-sharing-convex",
    statement="D of time-sharing is jointly convex: at the midpoint of two pairs (R, C), at most the mean of the two D",
    where="drcopt.formulations.TimeSharing; what an operational limit must be",
    definition="Σ λ_q I_q(X;Y) ≤ R and Σ λ_q H_q(S|Y) ≤ C, in bits; computed at the midpoint, predicted from the ends",
)
def time_sharing_convex(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    for problem in [FLIPPED.problem, *(random_problem(rng, 2, 2) for _ in range((instances + 1) // 2))]:
        told = information.from_nats(problem.entropy_s - problem.entropy_s_given_x, "bits")
        high = information.from_nats(problem.entropy_s, "bits")
        ends = [(0.8, round(high - 0.05 * told, 3)), (0.2, round(high, 3) + 0.001)]
        R, C = (round(sum(pair) / 2, 10) for pair in zip(*ends, strict=True))
        bound = mean(*(Instance(problem, *end).solve("time-sharing") for end in ends))
        middle = Instance(problem, R, C)
        yield compare(middle.solve("time-sharing"), bound, {**middle.label, "ends": ends}, relation="<=")


def _midpoint(problem: Problem, R: float | None, low: float, high: float, name: str) -> Comparison:
    ends = [Instance(problem, R, C, name).solve("single-letter") for C in (low, high)]
    middle = Instance(problem, R, round((low + high) / 2, 10), name)
    label = {**middle.label, "ends": [low, high]}
    return compare(middle.solve("single-letter"), mean(*ends), label, relation="<=")
