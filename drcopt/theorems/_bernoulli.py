"""The Bernoulli family: the printed formula case by case, and the corrected closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from drcopt import information, sources, words
from drcopt.closed_forms import ClosedForm, bernoulli
from drcopt.problem import Problem
from drcopt.solution import Solution
from drcopt.solve import solve
from drcopt.theorems._registry import Comparison, certificate, compare, theorem

PRINTED = "Theorem 2; slide “Case Study: Bernoulli”"
YU = "one-shot, classifier sees Y and U: H(S|Y,U) ≤ C; any one unit, tried in bits"
Y = "one-shot, classifier sees Y: H(S|Y) ≤ C, as the slides define it; tried in bits"

FORMULA = "D = px(1−py) + py(1−px) − 2px(1−px)·"
NEEDED = "τ_C = (H(S)−C)/(H(S)−H(S|X))"
SLOPE = "min(py/px, (1−py)/(1−px))"
CORRECTED = (
    f"With px ≤ 1/2, {NEEDED}: {FORMULA}min(τ, (2(1−py) − τ)/(1−2px)), where τ is the point of [τ_C, τ_max] nearest to "
    "(1−py)/(1−px) and τ_max = min(1, R/H(X), py/px, (1−py)/px); infeasible iff τ_C > τ_max."
)


@dataclass(frozen=True)
class Instance:
    """Parameters and budgets, in bits."""

    px: float
    py: float
    p1: float
    R: float | None
    C: float | None

    @property
    def problem(self) -> Problem:
        return sources.bernoulli(self.px, self.py, self.p1)

    @property
    def most_active(self) -> float:
        """τ_R = R/H(X), not capped."""
        return math.inf if self.R is None else information.to_nats(self.R, "bits") / self.problem.entropy_x

    @property
    def needed(self) -> float:
        """τ_C = (H(S) − C) / (H(S) − H(S|X))."""
        problem = self.problem
        loss = math.inf if self.C is None else information.to_nats(self.C, "bits")
        return (problem.entropy_s - loss) / (problem.entropy_s - problem.entropy_s_given_x)

    @property
    def greatest_slope(self) -> float:
        return min(self.py / self.px, (1 - self.py) / (1 - self.px))

    @property
    def out_of_reach(self) -> bool:
        """C < H(S|X): nothing meets it, and the printed formula says so."""
        return self.needed > 1.0

    @property
    def right_if_seen_with_U(self) -> bool:
        """Where the printed formula is right if the classifier sees Y and U."""
        return self.needed <= self.most_active <= self.greatest_slope or self.out_of_reach

    @property
    def right_if_alone(self) -> bool:
        """Where the printed formula is right if the classifier sees Y alone."""
        if self.most_active > self.greatest_slope:
            return self.out_of_reach
        px, py, problem = self.px, self.py, self.problem
        a = px * py + px * (1 - px) * self.most_active
        loss = problem.classification_loss(np.array([[1 - px - py + a, py - a], [px - a, a]]))
        return information.from_nats(loss, "bits") <= (self.C or 0.0) or self.out_of_reach

    def solve(
        self, formulation: words.Formulation = "one-shot", classifier_sees: words.ClassifierSees = "YU"
    ) -> Solution:
        """Certified."""
        return solve(
            self.problem,
            R=self.R,
            C=self.C,
            formulation=formulation,
            classifier_sees=classifier_sees,
            on_failure="return",
        )

    def exact(self, formulation: words.Formulation = "one-shot", classifier_sees: words.ClassifierSees = "YU") -> float:
        """The corrected closed form."""
        return float(
            bernoulli.exact(
                self.px, self.py, self.p1, self.R, self.C, formulation=formulation, classifier_sees=classifier_sees
            )
        )

    @property
    def printed(self) -> ClosedForm:
        return bernoulli.as_printed(self.px, self.py, self.p1, self.R, self.C)

    def compare(
        self,
        computed: Solution | float | tuple[float, float],
        predicted: float,
        **more: Any,
    ) -> Comparison:
        return compare(computed, predicted, asdict(self), **more)


#: The slide's own example.
SLIDE = [Instance(0.3, 0.25, 0.2, R, 0.8) for R in (0.9, 0.7, 0.65, 0.5, 0.2)]
#: One of each regime with py > px, the last where classification costs distortion.
OTHERS = [
    Instance(0.3, 0.4, 0.1, 0.8, 0.99),
    Instance(0.3, 0.4, 0.1, 0.5, 0.8),
    Instance(0.3, 0.4, 0.1, 0.5, 0.6),
    Instance(0.3, 0.6, 0.1, 0.8, 0.6),
    Instance(0.7, 0.4, 0.1, 0.8, 0.6),
]


def draw(
    rng: np.random.Generator, count: int, accept: Callable[[Instance], bool] = lambda _: True
) -> Iterator[Instance]:
    """Random instances in hundredths, C from just below H(S|X) to just above H(S)."""
    while count:
        px, py = (float(p) for p in rng.integers(5, 96, 2) / 100)
        p1 = float(rng.integers(1, 41)) / 100
        problem = sources.bernoulli(px, py, p1)
        low, high = (information.from_nats(h, "bits") for h in (problem.entropy_s_given_x, problem.entropy_s))
        C = max(0.0, round(float(rng.uniform(low - 0.1 * (high - low), high + 0.05)), 2))
        instance = Instance(px, py, p1, float(rng.integers(1, 21)) / 20, C)
        # In hundredths a budget can lie within 1e-4 of a threshold, where rounding decides; take another.
        thresholds = (instance.most_active, instance.greatest_slope, 1.0)
        if min(abs(instance.needed - t) for t in thresholds) > 1e-4 and accept(instance):
            count -= 1
            yield instance


def _printed_case(regime: str) -> Callable[[Instance], bool]:
    return lambda instance: instance.printed.regime == regime


@theorem(
    name="bernoulli-printed",
    statement=f"{FORMULA}max(R/H(X), τ_C) if C ≥ H(S|X), {NEEDED}",
    where=PRINTED,
    definition=YU,
    condition=f"τ_C ≤ R/H(X) ≤ {SLOPE}, or C < H(S|X)",
    corrected=CORRECTED,
)
def printed(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    right = draw(rng, instances, lambda instance: instance.right_if_seen_with_U)
    for instance in [*SLIDE, *OTHERS, *draw(rng, instances), *right]:
        condition = instance.right_if_seen_with_U
        yield instance.compare(instance.solve(), float(instance.printed), condition=condition)


@theorem(
    name="bernoulli-printed-sees-y",
    statement=f"{FORMULA}max(R/H(X), τ_C) if C ≥ H(S|X), {NEEDED}, as the one-shot problem is defined",
    where=PRINTED,
    definition=Y,
    condition=f"R/H(X) ≤ {SLOPE} and H(S|Y) ≤ C at P(X=Y=1) = px·py + px(1−px)·R/H(X), or C < H(S|X)",
    corrected=(
        "D = px + py − 2a with the largest a = P(X=Y=1), |a − px·py| ≤ px(1−px)·min(R/H(X), 1), whose H(S|Y) ≤ C: "
        "the upper end if it meets C, else a point below px·py (Y guesses the flipped letter), else infeasible."
    ),
)
def printed_sees_y(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    right = draw(rng, instances, lambda instance: instance.right_if_alone)
    for instance in [*SLIDE, *OTHERS, *draw(rng, instances), *right]:
        condition = instance.right_if_alone
        yield instance.compare(instance.solve(classifier_sees="Y"), float(instance.printed), condition=condition)


@theorem(
    name="bernoulli-printed-feasibility",
    statement="feasible iff C ≥ H(S|X) (compared as 1: feasible, 0: infeasible)",
    where=f"{PRINTED}, side condition",
    definition=YU,
    condition="R ≥ H(X) and py between px and 1−px, or C < H(S|X)",
    corrected=("Feasible iff C ≥ C_min(R) = H(S) − (H(S) − H(S|X))·min(1, R/H(X), py/px, (1−py)/px), with px ≤ 1/2."),
)
def printed_feasibility(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    free = [replace(instance, R=None) for instance in [*OTHERS, *draw(rng, max(1, instances // 2))]]
    for instance in [*reversed(SLIDE), *OTHERS, *free, *draw(rng, instances)]:
        px, py = instance.px, instance.py
        condition = instance.most_active >= 1.0 and min(px, 1 - px) <= py <= max(px, 1 - px)
        answer = instance.solve()
        found = {"infeasible": (0.0, 0.0), "unknown": (0.0, 1.0)}.get(answer.status, (1.0, 1.0))
        yield instance.compare(
            found,
            float(instance.printed.feasible),
            condition=condition or instance.out_of_reach,
            proof=certificate(answer),
        )


@theorem(
    name="bernoulli-printed-rate-limited",
    statement=f"{FORMULA}R/H(X) where R > τ_C·H(X), {NEEDED} (the second case)",
    where=f"{PRINTED}, second case",
    definition=YU,
    condition=f"R/H(X) ≤ {SLOPE}",
    corrected=CORRECTED,
)
def printed_rate_limited(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    accept = _printed_case("rate-limited")
    for instance in [*filter(accept, SLIDE + OTHERS), *draw(rng, instances, accept)]:
        condition = instance.most_active <= instance.greatest_slope
        yield instance.compare(instance.solve(), float(instance.printed), condition=condition)


@theorem(
    name="bernoulli-printed-classification-limited",
    statement=f"{FORMULA}τ_C where R ≤ τ_C·H(X) and C ≥ H(S|X), {NEEDED} (the first case)",
    where=f"{PRINTED}, first case",
    definition=YU,
    corrected=(
        "Infeasible wherever R < τ_C·H(X): a map that tells enough of S costs more rate. Classification costs "
        "distortion elsewhere: where py > px (px ≤ 1/2) and τ_C > (1−py)/(1−px)."
    ),
)
def printed_classification_limited(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    accept = _printed_case("classification-limited")
    for instance in [*filter(accept, SLIDE + OTHERS), *draw(rng, instances, accept)]:
        yield instance.compare(instance.solve(), float(instance.printed))


@theorem(
    name="bernoulli-printed-floor",
    statement=f"The printed D is reached by some coupling: D ≥ |px − py|, the optimal-transport distortion; {NEEDED}",
    where=f"{PRINTED}, D_min",
    definition="both cases; no reading of C matters",
    condition=f"R/H(X) ≤ {SLOPE}, and so τ_C",
    corrected="D ≥ |px − py| always; D = |px − py| where τ = (1−py)/(1−px) or py/px is allowed.",
)
def printed_floor(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    for instance in [*SLIDE, *OTHERS, *draw(rng, instances)]:
        condition = max(instance.most_active, instance.needed) <= instance.greatest_slope
        unlimited = solve(instance.problem, on_failure="return")
        yield instance.compare(unlimited, float(instance.printed), relation="<=", condition=condition)


@theorem(
    name="bernoulli-printed-monotone",
    statement=f"The printed D does not rise when C is loosened (from C to C + 0.05 bits), where {NEEDED}",
    where=f"{PRINTED}, first case",
    definition="the formula against itself: what meets C meets any larger budget, so D is nonincreasing in C",
    condition="τ_C ≤ R/H(X)",
    corrected="D is nonincreasing in R and in C; below C_min(R) it is infinite.",
)
def printed_monotone(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    for tight in [*reversed(SLIDE), *OTHERS, *draw(rng, instances)]:
        loose = Instance(tight.px, tight.py, tight.p1, tight.R, round((tight.C or 0.0) + 0.05, 10))
        yield tight.compare(
            float(loose.printed),
            float(tight.printed),
            relation="<=",
            condition=tight.needed <= tight.most_active,
            proof="exact argument: computed and predicted are the formula at C + 0.05 and at C",
        )


def _register_exact(
    name: str, statement: str, definition: str, formulation: words.Formulation, classifier_sees: words.ClassifierSees
) -> None:
    @theorem(name=name, statement=statement, where="drcopt.closed_forms.bernoulli.exact", definition=definition)
    def exact(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
        for instance in [*SLIDE, *OTHERS, *draw(rng, instances)]:
            yield instance.compare(
                instance.solve(formulation, classifier_sees), instance.exact(formulation, classifier_sees)
            )


_register_exact("bernoulli-exact-sees-yu", CORRECTED, YU, "one-shot", "YU")
_register_exact(
    "bernoulli-exact-sees-y",
    "D = px + py − 2a with the largest a = P(X=Y=1), |a − px·py| ≤ px(1−px)·min(R/H(X), 1), whose H(S|Y) ≤ C",
    Y,
    "one-shot",
    "Y",
)
_register_exact(
    "bernoulli-exact-single-letter",
    "D = px + py − 2a with the largest a = P(X=Y=1) whose I(X;Y) ≤ R and H(S|Y) ≤ C",
    "single-letter: I(X;Y) ≤ R, H(S|Y) ≤ C; tried in bits",
    "single-letter",
    "Y",
)
