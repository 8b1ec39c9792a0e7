"""The Gaussian family under squared error: X ~ N(mu_x, sigma_x²), Y ~ N(mu_y, sigma_y²), Cov(X, S) = theta.

With ρ the correlation of X and Y, and r = theta / (sigma_s sigma_x) that of X and S, in nats:

    D = (mu_x − mu_y)² + sigma_x² + sigma_y² − 2 ρ sigma_x sigma_y,
    I(X;Y) = −½ log(1 − ρ²),        h(S|Y) = h(S) + ½ log(1 − ρ² r²),        h(S) = ½ log(2πe sigma_s²).

The classification loss is a differential entropy: its budget may be negative, and depends on the scale of S.

References
----------
.. [1] Nguyen, Nguyen, Bose, "Cross-Domain Lossy Compression via Rate- and Classification-Constrained
   Optimal Transport", ICLR 2026, Theorem 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from drcopt import words
from drcopt.closed_forms._arguments import deviation, finite, real_budget
from drcopt.closed_forms._result import SLACK, ClosedForm, infeasible
from drcopt.errors import InputError
from drcopt.information import to_nats
from drcopt.support.check import budget

__all__ = ["FEASIBLE", "as_printed", "exact"]

FEASIBLE = "C ≥ h(S) + ½ log(1 − r²(1 − e^{−2R}))"


def exact(
    *,
    theta: float,
    R: float | None,
    C: float | None,
    sigma_x: float = 1.0,
    sigma_y: float = 1.0,
    sigma_s: float = 1.0,
    mu_x: float = 0.0,
    mu_y: float = 0.0,
    units: words.Units = "bits",
) -> ClosedForm:
    """The true distortion-rate-classification function of jointly Gaussian X and S, Gaussian Y.

    Feasible iff C ≥ h(S) + ½ log(1 − r² (1 − e^{−2R})), and then (nats)

        D = (mu_x − mu_y)² + sigma_x² + sigma_y² − 2 sigma_x sigma_y √(1 − e^{−2R}).

    The classification budget decides feasibility only. Rates are asymptotic (single-letter).

    Parameters
    ----------
    theta : float
        Cov(X, S), at most sigma_x sigma_s in size.
    R : float or None
        Rate budget in ``units``; None or inf for no budget.
    C : float or None
        Budget on the differential entropy h(S|Y), in ``units``: any real number; None or inf for no budget.
    sigma_x, sigma_y, sigma_s : float
        Standard deviations, positive.
    mu_x, mu_y : float
        Means.
    units : {"bits", "nats"}
        The unit of R and of C, converted once.

    Returns
    -------
    ClosedForm
        ``parameter`` is ρ.

    Raises
    ------
    InputError
        If an argument is out of its range.

    Notes
    -----
    A classification budget missed by at most 1e-14 nats (relative to its size) counts as met. Corrects
    Theorem 4 of [1]_.

    Examples
    --------
    >>> round(float(exact(theta=0.8, R=1.0, C=None)), 8)
    0.26794919
    >>> float(exact(theta=0.8, R=1.0, C=1.0))
    inf
    """
    family = Family.checked(theta, sigma_x, sigma_y, sigma_s, mu_x, mu_y)
    rate, loss = to_nats(budget("R", R), units), to_nats(real_budget("C", C), units)
    tail = math.exp(-2.0 * rate)
    if not family.meets(rate, loss):
        return infeasible(FEASIBLE)
    rho = math.sqrt(-math.expm1(-2.0 * rate))
    # 1 − ρ, without the cancellation at high rates.
    distortion = family.floor + 2.0 * family.sigma_x * family.sigma_y * tail / (1.0 + rho)
    if math.isinf(rate):
        return ClosedForm(distortion, True, "optimal-transport floor", "(μX−μY)² + (σX−σY)²", rho)
    formula = "(μX−μY)² + σX² + σY² − 2σXσY√(1 − e^{−2R})"
    return ClosedForm(distortion, True, "rate-limited", formula, rho)


def as_printed(
    *,
    theta: float,
    R: float | None,
    C: float | None,
    sigma_x: float = 1.0,
    sigma_y: float = 1.0,
    sigma_s: float = 1.0,
    mu_x: float = 0.0,
    mu_y: float = 0.0,
    units: words.Units = "bits",
) -> ClosedForm:
    """The three printed cases of [1]_, evaluated as they stand; they are not the optimum (see `exact`).

    For C ≥ h(S) + ½ log(1 − r²), with ρ_C² = (1 − e^{2C − 2h(S)}) / r² the correlation that C needs (nats):

        D = 0                                                                  where R > h(X),
        D = (mu_x − mu_y)² + sigma_x² + sigma_y² − 2 sigma_x sigma_y ρ_C       where R ≤ −½ log(1 − ρ_C²),
        D = (mu_x − mu_y)² + sigma_x² + sigma_y² − 2 sigma_x sigma_y √(1 − e^{−2R})    otherwise.

    The second line takes a correlation that the rate does not allow; the first is right only where X and Y
    have one law and R is infinite, and h(X) = ½ log(2πe sigma_x²) is no threshold for a rate.

    Parameters
    ----------
    theta, R, C, sigma_x, sigma_y, sigma_s, mu_x, mu_y, units
        As for `exact`.

    Returns
    -------
    ClosedForm
        ``parameter`` is the ρ that the case uses (nan in the case R > h(X)).

    Raises
    ------
    InputError
        If an argument is out of its range.

    Notes
    -----
    The slides write 2^{−2R} beside e^{2C − 2h(S)}: R in bits, C in nats. Here one unit serves both, and is
    converted once. The order of the cases is not printed where they overlap; R > h(X) is taken first.

    Examples
    --------
    >>> float(as_printed(theta=0.8, R=2.5, C=None))
    0.0
    >>> round(float(exact(theta=0.8, R=2.5, C=None)), 6)
    0.031498
    """
    family = Family.checked(theta, sigma_x, sigma_y, sigma_s, mu_x, mu_y)
    rate, loss = to_nats(budget("R", R), units), to_nats(real_budget("C", C), units)
    # 1 − e^{2C − 2h(S)}; nothing is needed once C reaches h(S).
    needed = -math.expm1(min(0.0, 2.0 * (loss - family.entropy_s)))
    if needed > family.r**2 + SLACK:
        return infeasible("C ≥ h(S) + ½ log(1 − r²)")
    if rate > family.entropy_x:
        return ClosedForm(0.0, True, "zero", "0, as R > h(X)", math.nan)
    squared_R = -math.expm1(-2.0 * rate)
    squared_C = min(1.0, needed / family.r**2) if family.r != 0.0 else 0.0
    formula = "(μX−μY)² + σX² + σY² − 2σXσY"
    if squared_R <= squared_C:
        regime, rho, formula = "classification-limited", math.sqrt(squared_C), formula + "√((1 − e^{2C−2h(S)})/r²)"
    else:
        regime, rho, formula = "rate-limited", math.sqrt(squared_R), formula + "√(1 − e^{−2R})"
    return ClosedForm(family.floor + 2.0 * family.sigma_x * family.sigma_y * (1.0 - rho), True, regime, formula, rho)


@dataclass(frozen=True)
class Family:
    """The checked parameters, and what follows from them in nats."""

    r: float
    sigma_x: float
    sigma_y: float
    sigma_s: float
    #: (mu_x − mu_y)² + (sigma_x − sigma_y)², the squared Wasserstein distance.
    floor: float

    @classmethod
    def checked(cls, theta: Any, sigma_x: Any, sigma_y: Any, sigma_s: Any, mu_x: Any, mu_y: Any) -> Family:
        sx, sy, ss = (
            deviation(name, value) for name, value in (("sigma_x", sigma_x), ("sigma_y", sigma_y), ("sigma_s", sigma_s))
        )
        covariance = finite("theta", theta)
        r = covariance / sx / ss
        # Rounding alone may take |r| past 1 where S is a multiple of X.
        if abs(r) > 1.0 + 1e-12:
            raise InputError(
                f"theta = Cov(X, S) must be at most sigma_x * sigma_s = {sx * ss:.6g} in size (Cauchy-Schwarz); "
                f"it is {covariance:.6g}. Pass a smaller covariance or larger deviations."
            )
        shift = finite("mu_x", mu_x) - finite("mu_y", mu_y)
        # Products, not powers: a float power raises OverflowError.
        floor = shift * shift + (sx - sy) * (sx - sy)
        return cls(max(-1.0, min(1.0, r)), sx, sy, ss, floor)

    def least_loss(self, rate: float) -> float:
        """The least h(S|Y) within a rate: h(S) + ½ log(1 − r² (1 − e^{−2R})), without its cancellation."""
        unknown = (1.0 - self.r) * (1.0 + self.r) + self.r**2 * math.exp(-2.0 * rate)
        return self.entropy_s + 0.5 * math.log(unknown) if unknown > 0.0 else -math.inf

    def meets(self, rate: float, loss: float) -> bool:
        """Whether some Y within the rate has h(S|Y) at most ``loss``."""
        return loss >= self.least_loss(rate) - SLACK * max(1.0, abs(loss))

    @property
    def entropy_s(self) -> float:
        return _entropy(self.sigma_s)

    @property
    def entropy_x(self) -> float:
        return _entropy(self.sigma_x)


def _entropy(sigma: float) -> float:
    """h of N(0, sigma²) in nats: ½ log(2πe sigma²)."""
    return 0.5 * math.log(2.0 * math.pi * math.e) + math.log(sigma)
