"""The Gaussian family: the printed cases against the exact form, and the exact form against fine grids."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drcopt import sources
from drcopt.closed_forms import ClosedForm, gaussian
from drcopt.solve import solve
from drcopt.theorems._registry import Comparison, compare, theorem

if TYPE_CHECKING:
    import pandas as pd

PRINTED = "Theorem 4; slides, Gaussian case"
READING = (
    "single-letter, jointly Gaussian; R and C in bits (the slide typesets 2^{−2R} beside e^{2C−2h}: R in bits, C in "
    "nats; here one unit serves both)"
)
PROOF = "exact argument: |ρ| ≤ √(1 − 2^{−2R}) for every coupling within the rate, reached by the Gaussian one"
FORMULA = "D = (μX−μY)² + σX² + σY² − 2σXσY·"
#: Points of the grids of the convergence table.
POINTS = (11, 21, 41, 81)


@dataclass(frozen=True)
class Instance:
    """Parameters and budgets, in bits."""

    theta: float
    R: float | None
    C: float | None
    sigma_x: float = 1.0
    sigma_y: float = 1.0
    mu_y: float = 0.0

    @property
    def exact(self) -> ClosedForm:
        return gaussian.exact(**asdict(self))

    @property
    def printed(self) -> ClosedForm:
        return gaussian.as_printed(**asdict(self))

    def compare(self, **more: Any) -> Comparison:
        """The exact distortion against the printed one."""
        return compare(float(self.exact), float(self.printed), asdict(self), proof=PROOF, **more)


#: The slide's own example, then C binding and other variances.
SLIDE = [Instance(0.6, R, 2.0) for R in (0.5, 1.0, 2.0, 3.0, 0.1)]
OTHERS = [
    Instance(0.6, None, None),
    Instance(0.8, 1.0, 1.0),
    Instance(0.8, 1.0, 1.8),
    Instance(0.8, 2.5, None),
    Instance(0.8, 2.5, None, 1.0, 2.0),
    Instance(0.8, 1.0, None, 1.0, 2.0, 1.0),
]


def draw(
    rng: np.random.Generator, count: int, accept: Callable[[Instance], bool] = lambda _: True
) -> Iterator[Instance]:
    """Random instances in tenths (R, C, deviations) and hundredths (θ), C on both sides of what r can tell."""
    while count:
        sigma_x, sigma_y = (float(s) for s in rng.integers(5, 21, 2) / 10)
        theta = math.floor(100 * sigma_x * rng.uniform(0.2, 0.95)) / 100
        R, C = float(rng.integers(1, 31)) / 10, float(rng.integers(8, 23)) / 10
        instance = Instance(theta, R, C, sigma_x, sigma_y, float(rng.integers(0, 11)) / 10)
        if accept(instance):
            count -= 1
            yield instance


def _case(regime: str) -> Callable[[Instance], bool]:
    return lambda instance: instance.printed.regime == regime


@theorem(
    name="gaussian-printed-feasibility",
    statement="feasible iff C ≥ h(S) + ½log(1 − r²), r = θ/(σSσX), whatever R (compared as 1: feasible, 0: infeasible)",
    where=f"{PRINTED}, side condition",
    definition=READING,
    condition="R = ∞, or C below that threshold",
    corrected="Feasible iff C ≥ h(S) + ½log(1 − r²(1 − 2^{−2R})).",
)
def printed_feasibility(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    for instance in [*reversed(SLIDE), *OTHERS, *draw(rng, instances)]:
        found, claimed = instance.exact.feasible, instance.printed.feasible
        condition = instance.R is None or not claimed
        yield compare(float(found), float(claimed), asdict(instance), condition=condition, proof=PROOF)


@theorem(
    name="gaussian-printed-classification-limited",
    statement=f"{FORMULA}ρ_C where R ≤ −½log(1 − ρ_C²), ρ_C² = (1 − e^{{2C−2h(S)}})/r², r = θ/(σSσX) (first case)",
    where=f"{PRINTED}, first case",
    definition=READING,
    corrected="Infeasible wherever R < −½log(1 − ρ_C²): the rate does not allow the correlation that C needs.",
)
def printed_classification_limited(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    accept = _case("classification-limited")
    for instance in [*filter(accept, SLIDE + OTHERS), *draw(rng, instances, accept)]:
        yield instance.compare()


@theorem(
    name="gaussian-printed-rate-limited",
    statement=f"{FORMULA}√(1 − 2^{{−2R}}) where −½log(1 − ρ_C²) < R ≤ h(X) (the second case)",
    where=f"{PRINTED}, second case",
    definition=READING,
)
def printed_rate_limited(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    accept = _case("rate-limited")
    for instance in [*filter(accept, SLIDE + OTHERS), *draw(rng, instances, accept)]:
        yield instance.compare()


@theorem(
    name="gaussian-printed-zero",
    statement="D = 0 where R > h(X) (the third case)",
    where=f"{PRINTED}, third case",
    definition=READING,
    condition="R = ∞ and X and Y have one law",
    corrected="The second case goes on: D → (μX−μY)² + (σX−σY)² as R → ∞; h(X) is no threshold for a rate.",
)
def printed_zero(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    accept = _case("zero")
    for instance in [*filter(accept, SLIDE + OTHERS), *draw(rng, instances, accept)]:
        one_law = (instance.sigma_x, instance.mu_y) == (instance.sigma_y, 0.0)
        yield instance.compare(condition=instance.R is None and one_law)


@theorem(
    name="gaussian-exact-grid",
    statement=f"{FORMULA}√(1 − 2^{{−2R}}), C slack",
    where="drcopt.closed_forms.gaussian.exact",
    definition="N(0,1) → N(0,1) on 21 to 81 letters over ±4σ, single-letter, bits; see theorems.gaussian_convergence",
)
def exact_on_grids(rng: np.random.Generator, instances: int) -> Iterator[Comparison]:
    # Grids too coarse for a rate are left to the convergence table, which shows them approach.
    for points, R in ((21, 0.5), (41, 0.5), (41, 1.0), (81, 0.5), (81, 1.0), (81, 2.0)):
        computed = solve(sources.gaussian_grid(points), R=R, on_failure="return")
        yield compare(computed, float(gaussian.exact(theta=0.6, R=R, C=None)), {"points": points, "R": R})


def gaussian_convergence(
    points: Sequence[int] = POINTS, R: Sequence[float] = (0.5, 1.0, 2.0), *, theta: float = 0.6, classes: int = 64
) -> pd.DataFrame:
    """How N(0,1) → N(0,1) on finite grids approaches the exact Gaussian formula.

    Parameters
    ----------
    points : sequence of int
        Letters of X and of Y.
    R : sequence of float
        Rates in bits.
    theta : float
        Cov(X, S), with S ~ N(0,1) in ``classes`` bins over ±4.
    classes : int
        Letters of S.

    Returns
    -------
    pandas.DataFrame
        For each R and number of points: the certified interval of D, the exact D, the relative deviation (of the
        end of the interval that is further off), and the classification loss of the optimum in bits beside the
        threshold h(S) + ½log(1 − r²(1 − 2^{−2R})), less the bits that the bins resolve.

    Examples
    --------
    >>> table = gaussian_convergence([5])
    >>> len(table)
    3
    """
    import pandas as pd

    rows = []
    for rate in R:
        exact = float(gaussian.exact(theta=theta, R=rate, C=None))
        entropy_s = 0.5 * math.log2(2 * math.pi * math.e)
        threshold = entropy_s + 0.5 * math.log2(1 - theta**2 * (1 - 2.0 ** (-2 * rate)))
        for size in points:
            found = solve(sources.gaussian_grid(size, theta=theta, classes=classes), R=rate)
            rows.append(
                {
                    "rate_budget_bits": rate,
                    "points": size,
                    "lower_bound": found.lower_bound,
                    "distortion": found.distortion,
                    "exact": exact,
                    "relative_deviation": max(abs(found.lower_bound - exact), abs(found.distortion - exact)) / exact,
                    "classification_loss_bits": found.classification_loss,
                    "threshold_bits": threshold - math.log2(8.0 / classes),
                }
            )
    return pd.DataFrame(rows)
