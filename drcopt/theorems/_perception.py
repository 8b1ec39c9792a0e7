"""Y's law free or near a target: what is printed for the Gaussian and for the bit; and R(D, C) as a maximum."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from drcopt import information
from drcopt.closed_forms import ClosedForm, binary, gaussian_perception
from drcopt.problem import Problem
from drcopt.solve import min_classification_loss, min_rate, solve
from drcopt.theorems._asymptotic import ENVELOPE, Instance, active, envelope
from drcopt.theorems._registry import Comparison, compare, random_problem, theorem

EXACT = "exact argument: |corr| ≤ √(1 − 2^{−2R}) within the rate, maximum entropy; reached by a Gaussian pair"
UNITS = "single-letter, jointly Gaussian, KL(pY‖pX), R, C and P in bits (R, C and P share a unit, converted once)"
GERBER = "exact argument: Fano's inequality and Mrs. Gerber's lemma; reached by X = Y ⊕ Bern"
#: Y must have X's law, and costs most where it is X: to tell enough of S, one coupling must guess right all the time.
TURNED = Instance(
    Problem([0.7, 0.3], [0.7, 0.3], np.eye(2), [[1.0, 0.0], [0.0, 1.0]]), None, 0.6, "px=[0.7, 0.3], S=X, d=1−Hamming"
)


@theorem(
    name="perception-single-letter",
    statement=(
        "The least distortion of block codes as n → ∞ is min E d(X,Y) over p(y|x) with I(X;Y) ≤ R, H(S|Y) ≤ C, "
        "φ(pX, pY) ≤ P"
    ),
    where="Theorem 5",
    definition=(
        "at P = 0, where every φ says that Y has X's law; achievable by time-sharing with (1/n) Σ_i H(S_i|Y_i, Q) ≤ C; "
        "in bits"
    ),
    condition="the rate-only optimum meets C (so always without C)",
    corrected=ENVELOPE,
)
def operational(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    yield envelope(TURNED)
    for _ in range(instances):
        R = float(rng.integers(2, 9)) / 10
        yield envelope(Instance(_own_law(random_problem(rng, 3, 3)), R, None))
        yield envelope(active(_own_law(random_problem(rng, 2, 2)), R, -0.02))


def _own_law(problem: Problem) -> Problem:
    return Problem(problem.px, problem.px, problem.channels, problem.d)


@dataclass(frozen=True)
class Gaussian:
    """Parameters and budgets of Theorem 7, in bits; P = None is the poster's RDC."""

    theta: float
    R: float | None
    C: float | None
    P: float | None = None
    sigma_x: float = 1.0

    @property
    def exact(self) -> ClosedForm:
        return gaussian_perception.exact(kind="kl", **asdict(self))

    @property
    def printed(self) -> ClosedForm:
        return gaussian_perception.as_printed(**asdict(self))

    def compare(self, **more: Any) -> Comparison:
        return compare(float(self.exact), float(self.printed), asdict(self), proof=EXACT, **more)


#: One of each case with and without the perception budget binding; h(S) and h(X) are 2.05 bits.
FIXED = [
    Gaussian(0.6, 0.5, 2.0, 0.05),
    Gaussian(0.6, 0.1, 2.0, 0.05),
    Gaussian(0.6, 2.5, None, 0.05),
    Gaussian(0.6, None, None, 0.05),
    Gaussian(0.8, 1.0, 1.7, 1.0),
    Gaussian(0.8, 0.2, 1.7, 1.0),
]


def draw(
    rng: np.random.Generator, count: int, accept: Callable[[Gaussian], bool] = lambda _: True
) -> Iterator[Gaussian]:
    """Random instances in tenths (R, C, σX) and hundredths (θ, P), C on both sides of what r can tell."""
    while count:
        sigma_x = float(rng.integers(5, 21)) / 10
        theta = math.floor(100 * sigma_x * rng.uniform(0.2, 0.95)) / 100
        R, C = float(rng.integers(1, 31)) / 10, float(rng.integers(8, 23)) / 10
        instance = Gaussian(theta, R, C, float(rng.integers(0, 60)) / 100, sigma_x)
        if accept(instance):
            count -= 1
            yield instance


def _register(prefix: str, where: str, definition: str, given: bool) -> None:
    """The printed cases, with the perception budget (Theorem 7) or without (the poster)."""
    end = " if σ(P) ≤ a, else σX² + σ(P)² − 2σ(P)a" if given else ""

    def cases(
        rng: np.random.Generator, instances: int, accept: Callable[[Gaussian], bool] = lambda _: True
    ) -> Iterator[Gaussian]:
        known = FIXED if given else [replace(instance, P=None) for instance in FIXED]
        yield from filter(accept, known)
        for instance in draw(rng, instances, lambda drawn: accept(drawn if given else replace(drawn, P=None))):
            yield instance if given else replace(instance, P=None)

    def regime(name: str) -> Callable[[Gaussian], bool]:
        return lambda instance: instance.printed.regime == name

    @theorem(
        name=f"{prefix}-rate-limited",
        statement=f"D = σX² − a²{end}, a = σX√(1 − 2^{{−2R}}), where C > h(S) + ½log(1 − r²(1 − 2^{{−2R}}))",
        where=f"{where}, first case",
        definition=definition,
    )
    def rate_limited(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
        for instance in cases(rng, instances, regime("rate-limited")):
            yield instance.compare()

    @theorem(
        name=f"{prefix}-classification-limited",
        statement=f"D = σX² − a²{end}, a = (σX/r)√(1 − 2^{{2C−2h(S)}}), where C < h(S) + ½log(1 − r²(1 − 2^{{−2R}}))",
        where=f"{where}, second case",
        definition=f"{definition}; C ≥ h(S) + ½log(1 − r²), as Theorem 4 asks",
        corrected="Infeasible: a would be a correlation that C needs, and the rate does not allow it.",
    )
    def classification_limited(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
        for instance in cases(rng, instances, regime("classification-limited")):
            yield instance.compare()

    @theorem(
        name=f"{prefix}-zero",
        statement="D = 0 where C > h(S) and R > h(X)",
        where=f"{where}, last case",
        definition=definition,
        condition="R = ∞",
        corrected="The first case goes on: D > 0 at every finite rate; h(X) is no threshold for a rate.",
    )
    def zero(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
        for instance in cases(rng, instances, regime("zero")):
            yield instance.compare(condition=instance.R is None)


_register("gaussian-rdp-printed", "Theorem 7", UNITS, given=True)
_register(
    "gaussian-rdc-printed",
    "poster, Gaussian RDC",
    "single-letter, jointly Gaussian, Y's law free; R and C in bits (the poster has e^{−2R}: nats; one unit for both)",
    given=False,
)


@theorem(
    name="gaussian-output-optimal",
    statement="A Gaussian Y attains the least E(X−Y)² with I(X;Y) ≤ R and φ ≤ P, φ = W₂² or KL(pY‖pX)",
    where="Theorem 6",
    definition=(
        "without C; every law of Y against Gaussian ones; near a Gaussian target, not only pX; R and KL in bits. The "
        "σ(P) of Theorem 7 makes it KL(pY‖pX); KL(pX‖pY) is not decided by two moments"
    ),
)
def gaussian_output(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    fixed: list[tuple[gaussian_perception.Kind, float, float, float]]
    fixed = [("wasserstein", 0.5, 0.01, 1.0), ("kl", 0.5, 0.01, 1.0), ("kl", 1.0, 0.01, 1.0), ("kl", 1.0, 0.1, 0.5)]
    drawn = [
        (kind, float(rng.integers(1, 31)) / 10, float(rng.integers(1, 40)) / 100, float(rng.integers(4, 21)) / 10)
        for _ in range(instances)
        for kind in gaussian_perception.KINDS
    ]
    for kind, R, P, sigma_t in fixed + drawn:
        among_gaussians = gaussian_perception.exact(R=R, P=P, kind=kind, sigma_t=sigma_t)
        least = over_all_laws(kind, R, P, sigma_t, among_gaussians.parameter)
        yield compare(
            (min(least, among_gaussians.distortion), among_gaussians.distortion),
            among_gaussians,
            {"phi": kind, "R": R, "P": P, "sigma_t": sigma_t},
            proof="Csiszár's dual at explicit multipliers, valid for every law of Y; reached by a Gaussian pair",
        )


def over_all_laws(kind: str, R: float, P: float, sigma_t: float, s: float) -> float:
    """A lower bound on E(X−Y)², X ~ N(0, 1), over **every** law of Y within P of N(0, sigma_t²), R and KL in bits.

    E d + α I ≥ E f(X) + min_q E g(Y), g(y) = −α log E exp((f(X) − (X−y)²)/α), for every f and α > 0. At
    f(x) = (1 − ρs) x², α = 2s(1 − ρ²)/ρ it is g(y) = k y² + αR, k = 1 − ρ/s. The minimum over the laws q near the
    target is one over γ ≥ 0 of E_t min_y [k y² + γ(y − Y')²] − γP, or of −γ log E_t exp(−k y²/γ) − γP.

    Any s > 0 gives a bound; the deviation of the best Gaussian Y gives the best one.
    """
    rho = math.sqrt(-math.expm1(-2.0 * information.to_nats(R, "bits")))
    k, variance = 1.0 - rho / s, sigma_t * sigma_t
    if abs(k) < 1e-12:  # P does not bind; at s = ρ, g is constant
        return 1.0 - rho * rho
    if kind == "wasserstein":
        gamma, budget = max(0.0, sigma_t * abs(k) / math.sqrt(P) - k), P
        near = variance * k * gamma / (k + gamma)
    else:
        # The stationary γ tilts the target to the deviation s: 1/s² = 1/σt² + 2k/γ.
        gamma, budget = 2.0 * k / (1.0 / (s * s) - 1.0 / variance), information.to_nats(P, "bits")
        if gamma <= 0.0:  # no tilt has that deviation; γ = 0 is the least g
            return 1.0 - rho * s if k > 0.0 else -math.inf
        near = 0.5 * gamma * math.log1p(2.0 * k * variance / gamma)
    return 1.0 - rho * s + near - gamma * budget


@theorem(
    name="binary-free-printed",
    statement="R(D, C) = [h(p) − h(min{D, C₁, p})]⁺, C₁ = (h⁻¹(C) − p1)/(1 − 2p1), for p1 < 1/2 and C ≥ h(p1)",
    where="a public script on rate-distortion-classification",
    definition="X ~ Bern(p), S = X ⊕ Bern(p1), Hamming, Y's law free; single-letter, in bits",
)
def binary_free(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    fixed = [(0.5, 0.1, 0.2, 0.8), (0.5, 0.1, 0.2, 0.9), (0.3, 0.2, 0.15, 0.85), (0.3, 0.2, 0.4, 1.0)]
    drawn = []
    for _ in range(2 * instances):
        p, p1 = float(rng.integers(5, 96)) / 100, float(rng.integers(1, 41)) / 100
        least = information.from_nats(float(information.binary_entropy(p1)), "bits")
        drawn.append((p, p1, float(rng.integers(0, 60)) / 100, math.ceil(100 * rng.uniform(least, 1.0)) / 100))
    for p, p1, D, C in fixed + drawn:
        instance = {"p": p, "p1": p1, "D": D, "C": C}
        yield compare(binary.rate(p, D=D, C=C, p1=p1), _script(p, p1, D, C), instance, proof=GERBER)


def _script(p: float, p1: float, D: float, C: float) -> float:
    """The printed form as it stands; h⁻¹ is D(R) of a fair bit at R = 1 − C."""

    def h(value: float) -> float:
        return information.from_nats(float(information.binary_entropy(value)), "bits")

    limit = (float(binary.exact(0.5, R=max(0.0, 1.0 - C))) - p1) / (1.0 - 2.0 * p1)
    return max(0.0, h(p) - h(min(D, max(0.0, limit), p)))


#: More rate is needed for both budgets than for either.
TOY = Problem(
    [0.5, 0.3, 0.2],
    [0.5, 0.3, 0.2],
    [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]],
    [[0, 1, 0.6], [0.7, 0, 0.2], [0.1, 0.8, 0]],
)


#: Far above rounding, far below the tolerance.
MARGIN = 1e-9
PROVED = "single-letter: drcopt.min_rate, recomputed bounds; the coupling meets both budgets"


@theorem(
    name="rate-is-a-maximum",
    statement="R(D, C) = max{R(D), R(C)}",
    where="a rule that the closed forms of the bit and of the Gaussian suggest, and obey",
    definition="Y's law given, single-letter, in bits; computed R(D, C), predicted the larger of R(D) and R(C)",
    condition="the coupling of R(D) meets C",
    corrected="R(D, C) ≥ max{R(D), R(C)}: one coupling must meet both budgets, and what serves d need not serve S.",
)
def rate_is_a_maximum(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    yield _maximum(TOY, 0.1224, 0.85)
    yield _maximum(TOY, 0.1264, 0.84)
    for _ in range(instances):
        problem, part = random_problem(rng, 3, 2), float(rng.integers(2, 9)) / 10
        # Between the least distortion and that of no rate, where R(D) falls.
        ends = solve(problem).distortion, problem.distortion(problem.independent)
        yield _maximum(problem, math.ceil(1e4 * ((1.0 - part) * ends[0] + part * ends[1])) / 1e4)


def _maximum(problem: Problem, D: float, C: float | None = None) -> Comparison:
    """C = None for a budget that the coupling of R(D) meets."""
    alone = min_rate(problem, D=D - MARGIN)
    C = math.ceil(1e3 * alone.classification_loss + 1.0) / 1e3 if C is None else C
    both, meets = _least_rate(problem, D, C), alone.classification_loss <= C
    # R(C) ≤ R wherever some coupling within R meets C; the coupling of R(D), or the one of the least loss halfway.
    limit = alone.rate
    if not meets:
        halfway = (alone.rate + both[0]) / 2.0
        limit = halfway if min_classification_loss(problem, R=halfway).value <= C else math.inf
    predicted = _least_rate(problem, D, math.inf)[0], limit
    return compare(both, predicted, {"source": problem, "D": D, "C": C}, condition=meets, proof=PROVED)


def _least_rate(problem: Problem, D: float, C: float) -> tuple[float, float]:
    """A proved bound, and the rate of a coupling that meets both budgets by a margin that rounding cannot use up."""
    point = min_rate(problem, D=D - MARGIN, C=C - MARGIN, on_failure="return")
    meets = point.distortion <= D and point.classification_loss <= C
    return min_rate(problem, D=D, C=C, on_failure="return").lower_bound, point.rate if meets else math.inf
