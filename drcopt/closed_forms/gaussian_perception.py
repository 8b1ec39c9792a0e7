"""The Gaussian family under squared error with the law of Y near a target: X ~ N(mu_x, sigma_x²), Cov(X, S) = theta.

The target is N(mu_t, sigma_t²), by default the law of X, and the budget one of (nats, ρ = √(1 − e^{−2R}))

    "wasserstein":  W₂²(pY, target) ≤ P, the *squared* 2-Wasserstein distance, in the unit of the distortion;
    "kl":           D(pY ‖ target) ≤ P, a relative entropy, in ``units``.

With m and s the mean and the deviation of Y, E d = sigma_x²(1 − corr²) + (m − mu_x)² + (s − corr·sigma_x)², and
|corr| ≤ ρ for every Y within the rate, as X is Gaussian. Both distances are least, among laws of these moments, at the
Gaussian one (Gelbrich; maximum entropy), so that

    D(R, P) = sigma_x² e^{−2R} + dist²((mu_x, ρ sigma_x), {(m, s): distance of N(m, s²) from the target ≤ P}),

a jointly Gaussian Y attains it, and a jointly Gaussian class decides feasibility only, as in
`drcopt.closed_forms.gaussian`. For "wasserstein" the set is a disc:

    D(R, P) = sigma_x² e^{−2R} + max(0, √((mu_x−mu_t)² + (ρ sigma_x − sigma_t)²) − √P)²

The other relative entropy, D(target ‖ pY), is not decided by two moments, and has no such form. Rates are asymptotic;
that D(R, P) is operational takes common randomness.

References
----------
.. [1] Nguyen, Nguyen, Bose, "Cross-Domain Lossy Compression via Rate- and Classification-Constrained
   Optimal Transport", ICLR 2026, Theorems 5 to 7, and a poster of the same authors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from scipy.optimize import brentq

from drcopt import words
from drcopt.closed_forms._arguments import deviation, finite, real_budget
from drcopt.closed_forms._binary import EPS
from drcopt.closed_forms._discs import Path, crossing, narrowest
from drcopt.closed_forms._result import SLACK, ClosedForm, infeasible
from drcopt.closed_forms.gaussian import FEASIBLE, Family
from drcopt.errors import InputError
from drcopt.information import from_nats, to_nats
from drcopt.support.check import budget, choice

__all__ = ["KINDS", "Kind", "as_printed", "classification_loss", "exact", "perception", "rate"]

#: Distances of the law of Y from its target.
Kind = Literal["wasserstein", "kl"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def exact(
    *,
    R: float | None = None,
    P: float | None = None,
    C: float | None = None,
    kind: Kind = "wasserstein",
    theta: float = 0.0,
    sigma_x: float = 1.0,
    sigma_s: float = 1.0,
    mu_x: float = 0.0,
    sigma_t: float | None = None,
    mu_t: float | None = None,
    units: words.Units = "bits",
) -> ClosedForm:
    """The least E(X−Y)² with I(X;Y) ≤ R, the law of Y within P of its target, and h(S|Y) ≤ C; see the module.

    Parameters
    ----------
    R : float or None
        Rate budget in ``units``; None or inf for no budget.
    P : float or None
        Perception budget: W₂² in the unit of the distortion (if a source bounds W₂ by p, pass p²), or D(pY ‖ target)
        in ``units``; 0 for Y with the target's law, None or inf for no budget.
    C : float or None
        Budget on the differential entropy h(S|Y), in ``units``: any real number; None or inf for no budget.
    kind : {"wasserstein", "kl"}
        Which distance P limits.
    theta : float
        Cov(X, S), at most sigma_x sigma_s in size; it and sigma_s matter beside C only.
    sigma_x, sigma_s : float
        Standard deviations, positive.
    mu_x : float
        Mean of X.
    sigma_t, mu_t : float or None
        Standard deviation and mean of the target; None for those of X.
    units : {"bits", "nats"}

    Returns
    -------
    ClosedForm
        ``parameter`` is the standard deviation of Y; the regime is "perception-limited" where P binds.

    Raises
    ------
    InputError
        If an argument is out of its range.

    Notes
    -----
    A classification budget missed by at most 1e-14 nats (relative to its size) counts as met.

    Examples
    --------
    >>> round(float(exact(R=1.0, P=0.01)), 12)
    0.251154273188
    >>> round(float(exact(R=0.5 * math.log(2), P=0.01, kind="kl", units="nats")), 12)
    0.537875633737
    >>> exact(R=1.0, P=0.1).regime
    'rate-limited'
    """
    family = _Family.checked(kind, theta, sigma_x, sigma_s, mu_x, sigma_t, mu_t)
    rate, loss = to_nats(budget("R", R), units), to_nats(real_budget("C", C), units)
    radius = family.radius(P, units)
    if not family.classes.meets(rate, loss):
        return infeasible(FEASIBLE)
    distortion, s, binds = family.distortion(rate, radius)
    if binds:
        formula = "σX² e^{−2R} + dist²((μX, ρσX), {(m, s): N(m, s²) within P of the target}), ρ² = 1 − e^{−2R}"
        return ClosedForm(distortion, True, "perception-limited", formula, s)
    return ClosedForm(distortion, True, "lossless" if math.isinf(rate) else "rate-limited", "σX² e^{−2R}", s)


def rate(
    *,
    D: float | None = None,
    P: float | None = None,
    C: float | None = None,
    kind: Kind = "wasserstein",
    theta: float = 0.0,
    sigma_x: float = 1.0,
    sigma_s: float = 1.0,
    mu_x: float = 0.0,
    sigma_t: float | None = None,
    mu_t: float | None = None,
    units: words.Units = "bits",
) -> float:
    """The least rate, in ``units``, with E(X−Y)² ≤ D, the law of Y within P of its target, and h(S|Y) ≤ C.

    The larger of R(D, P), the root of D(R, P) = D, and R(C) = −½ log(1 − (1 − e^{2C − 2h(S)})/r²), r = theta /
    (sigma_s sigma_x).

    Parameters
    ----------
    D : float or None
        Budget on E(X−Y)²; None or inf for no budget.
    P, C, kind, theta, sigma_x, sigma_s, mu_x, sigma_t, mu_t, units
        As for `exact`.

    Returns
    -------
    float
        inf where no finite rate suffices.

    Raises
    ------
    InputError
        If an argument is out of its range.

    Examples
    --------
    >>> round(rate(D=0.25, P=0.1), 12)
    1.0
    """
    family = _Family.checked(kind, theta, sigma_x, sigma_s, mu_x, sigma_t, mu_t)
    distortion, loss = budget("D", D), to_nats(real_budget("C", C), units)
    radius = family.radius(P, units)
    needed = max(family.rate(distortion, radius), family.rate_of_classes(loss))
    return from_nats(needed, units)


def perception(
    *,
    R: float | None = None,
    D: float | None = None,
    C: float | None = None,
    kind: Kind = "wasserstein",
    theta: float = 0.0,
    sigma_x: float = 1.0,
    sigma_s: float = 1.0,
    mu_x: float = 0.0,
    sigma_t: float | None = None,
    mu_t: float | None = None,
    units: words.Units = "bits",
) -> float:
    """The least distance of the law of Y from its target with I(X;Y) ≤ R, E(X−Y)² ≤ D and h(S|Y) ≤ C.

    For "wasserstein", max(0, √((mu_x−mu_t)² + (ρ sigma_x − sigma_t)²) − √(D − sigma_x² e^{−2R}))²; for "kl", in
    ``units``, the least D(N(m, s²) ‖ target) within √(D − sigma_x² e^{−2R}) of (mu_x, ρ sigma_x).

    Parameters
    ----------
    R, C, kind, theta, sigma_x, sigma_s, mu_x, sigma_t, mu_t, units
        As for `exact`.
    D : float or None
        Budget on E(X−Y)²; None or inf for no budget.

    Returns
    -------
    float
        inf where D or C cannot be met at R.

    Raises
    ------
    InputError
        If an argument is out of its range.

    Examples
    --------
    >>> round(perception(R=1.0, D=0.251154273188), 9)
    0.01
    """
    family = _Family.checked(kind, theta, sigma_x, sigma_s, mu_x, sigma_t, mu_t)
    rate, loss = to_nats(budget("R", R), units), to_nats(real_budget("C", C), units)
    distortion = budget("D", D)
    if not family.classes.meets(rate, loss):
        return math.inf
    least = family.nearest(rate, distortion)
    return least if kind == "wasserstein" else from_nats(least, units)


def classification_loss(
    R: float | None,
    *,
    theta: float,
    sigma_x: float = 1.0,
    sigma_s: float = 1.0,
    units: words.Units = "bits",
) -> float:
    """The Gaussian information bottleneck, the least h(S|Y) with I(X;Y) ≤ R: h(S) + ½ log(1 − r²(1 − e^{−2R})).

    Parameters
    ----------
    R, theta, sigma_x, sigma_s, units
        As for `exact`.

    Returns
    -------
    float
        In ``units``; −inf where S is a multiple of X and R is infinite.

    Raises
    ------
    InputError
        If an argument is out of its range.

    Examples
    --------
    >>> round(classification_loss(1.0, theta=0.8), 6)
    1.575387
    """
    classes = Family.checked(theta, sigma_x, sigma_x, sigma_s, 0.0, 0.0)
    return from_nats(classes.least_loss(to_nats(budget("R", R), units)), units)


def as_printed(
    *,
    R: float | None,
    C: float | None,
    theta: float,
    P: float | None = None,
    sigma_x: float = 1.0,
    sigma_s: float = 1.0,
    units: words.Units = "bits",
) -> ClosedForm:
    """Theorem 7 of [1]_ (relative entropy to the law of X), and the poster's form (P = None); not the optimum.

    With σ(P) ≤ sigma_x the root of log(sigma_x/σ) + (σ² − sigma_x²)/(2 sigma_x²) = P (0 without P), evaluated as it
    stands, in nats:

        D = 0                                       where C > h(S) and R > h(X);
        a = sigma_x √(1 − e^{−2R})                  where C > h(S) + ½ log(1 − r²(1 − e^{−2R})),
        a = (sigma_x/|r|) √(1 − e^{2C − 2h(S)})     below;
        D = sigma_x² − a² if σ(P) ≤ a, else sigma_x² + σ(P)² − 2 σ(P) a.

    The second a is that of a correlation which C needs and the rate does not allow: there the budgets are infeasible.
    D = 0 is wrong at every finite rate.

    Parameters
    ----------
    R, C, theta, P, sigma_x, sigma_s, units
        As for `exact`, of which this is kind="kl" with the law of X for a target.

    Returns
    -------
    ClosedForm
        ``parameter`` is a (nan in the first case).

    Raises
    ------
    InputError
        If an argument is out of its range.

    Notes
    -----
    Theorem 7 has 2^{−2R} and 2^{2C − 2h(S)}, the poster e^{…}: here one unit serves R, C and P, and is converted once.
    C below h(S|X), where the second a exceeds sigma_x, is infeasible here as Theorem 4 of [1]_ says; for this theorem
    the side condition is not known to us. The order of the cases is not printed where they overlap.

    Examples
    --------
    >>> as_printed(R=0.1, C=2.0, theta=0.6).regime, exact(R=0.1, C=2.0, theta=0.6, kind="kl").regime
    ('classification-limited', 'infeasible')
    """
    family = _Family.checked("kl", theta, sigma_x, sigma_s, 0.0, None, None)
    classes, rate = family.classes, to_nats(budget("R", R), units)
    loss, radius = to_nats(real_budget("C", C), units), family.radius(P, units)
    if loss < classes.least_loss(math.inf) - SLACK:
        return infeasible("C ≥ h(S) + ½ log(1 − r²)")
    if loss > classes.entropy_s and rate > classes.entropy_x:
        return ClosedForm(0.0, True, "zero", "0, as C > h(S) and R > h(X)", math.nan)
    if loss > classes.least_loss(rate):
        regime, a = "rate-limited", family.sigma_x * math.sqrt(-math.expm1(-2.0 * rate))
    else:
        needed = -math.expm1(min(0.0, 2.0 * (loss - classes.entropy_s)))
        regime = "classification-limited"
        a = family.sigma_x * math.sqrt(needed) / abs(classes.r) if classes.r != 0.0 else 0.0
    sigma = family.sigma_t * (1.0 + narrowest(radius))
    if sigma <= a:
        return ClosedForm(family.sigma_x**2 - a * a, True, regime, "σX² − a²", a)
    distortion = family.sigma_x**2 + sigma**2 - 2.0 * sigma * a
    return ClosedForm(distortion, True, regime, "σX² + σ(P)² − 2σ(P)a", a)


@dataclass(frozen=True)
class _Family:
    """The checked parameters; information in nats."""

    kind: Kind
    sigma_x: float
    sigma_t: float
    #: mu_x − mu_t.
    shift: float
    #: What C decides.
    classes: Family

    @classmethod
    def checked(cls, kind: Any, theta: Any, sigma_x: Any, sigma_s: Any, mu_x: Any, sigma_t: Any, mu_t: Any) -> _Family:
        choice("kind", kind, KINDS)
        sx, mean = deviation("sigma_x", sigma_x), finite("mu_x", mu_x)
        st = sx if sigma_t is None else deviation("sigma_t", sigma_t)
        shift = 0.0 if mu_t is None else mean - finite("mu_t", mu_t)
        if kind == "kl" and max(sx, abs(shift)) > 1e100 * st:
            raise InputError(
                f"sigma_t must be at least 1e-100 of sigma_x and of mu_x − mu_t for 'kl'; it is {st:.6g}. "
                "Pass a target nearer to X."
            )
        return cls(kind, sx, st, shift, Family.checked(theta, sx, sx, sigma_s, 0.0, 0.0))

    def radius(self, P: Any, units: words.Units) -> float:
        number = budget("P", P)
        return to_nats(number, units) if self.kind == "kl" else number

    def start(self, rate: float) -> tuple[float, float]:
        """e^{−2R}, and ρ sigma_x − sigma_t without the cancellation of 1 − ρ."""
        tail = math.exp(-2.0 * rate)
        rho = math.sqrt(-math.expm1(-2.0 * rate))
        return tail, (self.sigma_x - self.sigma_t) - self.sigma_x * tail / (1.0 + rho)

    def distortion(self, rate: float, radius: float) -> tuple[float, float, bool]:
        """D(R, P), the deviation of Y, and whether P binds."""
        tail, gap = self.start(rate)
        base = self.sigma_x * self.sigma_x * tail
        if self.kind == "wasserstein":
            length, root = math.hypot(self.shift, gap), math.sqrt(radius)
            if length <= root:
                return base, self.sigma_t + gap, False
            excess = length - root
            return base + excess * excess, self.sigma_t + gap * (root / length), True
        path = Path(self.shift / self.sigma_t, gap / self.sigma_t)
        if path.divergence(1.0) <= radius:
            return base, self.sigma_t + gap, False
        part = crossing(path.divergence, radius)
        moved = self.sigma_t * path.moved(part)
        return base + moved * moved, self.sigma_t * (1.0 + path.at(part)[1]), True

    def rate(self, distortion: float, radius: float) -> float:
        """R(D, P): D(R, P) decreases in R."""

        def excess(rate: float) -> float:
            return self.distortion(rate, radius)[0] - distortion

        if excess(0.0) <= 0.0:
            return 0.0
        if excess(math.inf) >= 0.0:
            return math.inf
        high = 1.0
        while excess(high) > 0.0:
            high *= 2.0
        return float(brentq(excess, 0.0, high, xtol=1e-300, rtol=4.0 * EPS, maxiter=2000))

    def rate_of_classes(self, loss: float) -> float:
        """R(C); 1 − ρ² = (e^{2C − 2h(S)} − (1 − r²))/r² of the correlation that C needs."""
        if loss >= self.classes.entropy_s:
            return 0.0
        if not self.classes.meets(math.inf, loss):
            return math.inf
        r = self.classes.r
        needed = -math.expm1(2.0 * (loss - self.classes.entropy_s)) / (r * r)
        if needed < 0.5:
            return -0.5 * math.log1p(-needed)
        left = math.exp(2.0 * (loss - self.classes.entropy_s)) - (1.0 - r) * (1.0 + r)
        return -0.5 * math.log(left / (r * r)) if left > 0.0 else math.inf

    def nearest(self, rate: float, distortion: float) -> float:
        """P(R, D)."""
        tail, gap = self.start(rate)
        base = self.sigma_x * self.sigma_x * tail
        if distortion < base * (1.0 - SLACK):
            return math.inf
        reach = math.sqrt(max(0.0, distortion - base))
        if self.kind == "wasserstein":
            excess = max(0.0, math.hypot(self.shift, gap) - reach)
            return excess * excess
        path = Path(self.shift / self.sigma_t, gap / self.sigma_t)
        if self.sigma_t * path.moved(0.0) <= reach:
            return 0.0
        # The way from the start grows as the part that is left falls.
        part = 1.0 - crossing(lambda done: self.sigma_t * path.moved(1.0 - done), reach)
        return path.divergence(part)
