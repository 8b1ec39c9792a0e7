"""The Bernoulli family under Hamming distortion: X ~ Bern(px), Y ~ Bern(py), S = X ⊕ S1 with S1 ~ Bern(p1).

Every coupling of two bits is one number, the slope s = P(Y=1|X=1) − P(Y=1|X=0) in [−1, 1]:

    P(X=1, Y=1) = px py + px(1−px) s,        P(X≠Y) = px(1−py) + py(1−px) − 2 px(1−px) s,

and I(X;Y) and I(S;Y) = H(S) − H(S|Y) are 0 at s = 0 and increase with |s| on each side. In the one-shot
problems s = P(identity map) − P(flip map) and the rate is H(X)·P(map not constant).

References
----------
.. [1] Nguyen, Nguyen, Bose, "Cross-Domain Lossy Compression via Rate- and Classification-Constrained
   Optimal Transport", ICLR 2026, Theorem 2 (one-shot) and Theorem 3 (single-letter).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from drcopt import words
from drcopt.closed_forms._arguments import probability
from drcopt.closed_forms._binary import divergence, flip, reach
from drcopt.closed_forms._result import SLACK, ClosedForm, infeasible
from drcopt.errors import InputError
from drcopt.information import binary_entropy, to_nats
from drcopt.support.check import budget, choice

__all__ = ["as_printed", "exact"]


def exact(
    px: float,
    py: float,
    p1: float,
    R: float | None,
    C: float | None,
    *,
    formulation: words.Formulation = "single-letter",
    classifier_sees: words.ClassifierSees = "Y",
    units: words.Units = "bits",
) -> ClosedForm:
    """The true distortion-rate-classification function of the Bernoulli family, for all px, py, p1 in [0, 1].

    single-letter, and one-shot where the classifier sees Y: the least px + py − 2a over a = P(X=1, Y=1) with
    H(S|Y) ≤ C and I(X;Y) ≤ R, or |a − px py| ≤ px(1−px) min(R/H(X), 1) one-shot. The largest such a is optimal
    if H(S|Y) ≤ C there; otherwise the largest a below px py with H(S|Y) ≤ C is (Y guesses the flipped letter);
    otherwise the budgets are infeasible.

    one-shot where the classifier sees Y and U: with τ the probability that the map is not constant and, by
    relabelling, px ≤ 1/2,

        D = px(1−py) + py(1−px) − 2 px(1−px) min(τ, (2(1−py) − τ) / (1 − 2px)),

    with τ as close to (1−py)/(1−px) as [τ_C, τ_max] allows, where τ_max = min(1, R/H(X), py/px, (1−py)/px) and
    τ_C = max(0, H(S) − C) / (H(S) − H(S|X)); infeasible if τ_C > τ_max.

    Parameters
    ----------
    px, py, p1 : float
        P(X=1), P(Y=1) and P(S1=1), in [0, 1].
    R, C : float or None
        Budgets on the rate and on the classification loss, in ``units``; None or inf for no budget.
    formulation : {"single-letter", "one-shot"}
    classifier_sees : {"Y", "YU"}
        "YU" (the shared randomness too) belongs to the one-shot problem only.
    units : {"bits", "nats"}

    Returns
    -------
    ClosedForm
        ``parameter`` is τ where the classifier sees Y and U, and a = P(X=1, Y=1) otherwise.

    Raises
    ------
    InputError
        If an argument is out of its range, or "YU" is asked of the single-letter problem.

    Notes
    -----
    A classification budget missed by at most 1e-14 nats counts as met. Corrects Theorem 2 of [1]_.

    Examples
    --------
    >>> answer = exact(0.3, 0.4, 0.1, R=0.5, C=None)
    >>> answer.regime, round(answer.distortion, 8)
    ('rate-limited', 0.11178701)
    >>> answer = exact(0.3, 0.4, 0.1, R=0.5, C=0.8, formulation="one-shot", classifier_sees="YU")
    >>> answer.regime, round(answer.distortion, 8)
    ('rate-limited', 0.22171319)
    >>> answer = exact(0.3, 0.4, 0.1, R=0.5, C=0.8, formulation="one-shot")
    >>> answer.regime, round(answer.distortion, 8)
    ('label-flipped', 0.68990715)
    >>> float(exact(0.3, 0.4, 0.1, R=0.1, C=0.5))
    inf
    """
    family = Family(_probability("px", px), _probability("py", py), _probability("p1", p1))
    rate = to_nats(budget("R", R), units)
    # What Y must tell of S.
    needed = family.entropy_s - to_nats(budget("C", C), units)
    one_shot = choice("formulation", formulation, ("single-letter", "one-shot")) == "one-shot"
    if choice("classifier_sees", classifier_sees, ("Y", "YU")) == "YU":
        if not one_shot:
            raise InputError(
                "classifier_sees must be 'Y' in the single-letter formulation, where there is no shared randomness "
                "U to see; it is 'YU'. Pass formulation='one-shot', or classifier_sees='Y'."
            )
        return _one_shot_with_randomness(family, rate, needed)
    return _one_parameter(family, rate, needed, one_shot)


def as_printed(
    px: float, py: float, p1: float, R: float | None, C: float | None, *, units: words.Units = "bits"
) -> ClosedForm:
    """The formula printed in the talk on [1]_, evaluated as it stands; it is not the optimum (see `exact`).

    With D_ind = px(1−py) + py(1−px), τ_R = R/H(X) and τ_C = (H(S) − C) / (H(S) − H(S|X)), for C ≥ H(S|X):

        D = D_ind − 2 px(1−px) τ_C    where R ≤ τ_C H(X),
        D = D_ind − 2 px(1−px) τ_R    otherwise,

    that is D_ind − 2 px(1−px) max(τ_R, τ_C), with no cap at τ = 1 or at the optimal-transport floor |px − py|.

    Parameters
    ----------
    px, py, p1 : float
        P(X=1), P(Y=1) and P(S1=1), in [0, 1]; px not 0 or 1, where the formula divides by H(X) = 0.
    R, C : float or None
        Budgets in ``units``; None or inf for no budget (with R = inf the printed formula is −inf).
    units : {"bits", "nats"}

    Returns
    -------
    ClosedForm
        ``parameter`` is max(τ_R, τ_C), which may exceed 1.

    Raises
    ------
    InputError
        If an argument is out of its range.

    Notes
    -----
    The formula was recovered from values quoted from the slides, all of which it reproduces, in bits. At
    C = 0.8, px = 0.3, py = 0.25, p1 = 0.2: 0.1189 for every R ≤ 0.59, where no scheme meets C; it crosses the
    floor 0.05 at R = 0.7344, and is −0.0289 at R = 0.9 and −0.0766 at R = 1. At px = 0.3, py = 0.4, p1 = 0.1,
    R = 0.8, C = 0.99: 0.07874110, below the floor 0.1. In the first case a smaller C lowers D.
    At p1 = 1/2, where τ_C is 0/0 for the only budgets called feasible, the second case is taken.

    Examples
    --------
    >>> round(float(as_printed(0.3, 0.25, 0.2, R=0.9, C=0.8)), 4)
    -0.0289
    >>> exact(0.3, 0.25, 0.2, R=0.9, C=0.8, formulation="one-shot", classifier_sees="YU").regime
    'optimal-transport floor'
    """
    family = Family(_probability("px", px), _probability("py", py), _probability("p1", p1))
    if family.entropy_x == 0.0:
        raise InputError(
            f"px must be strictly between 0 and 1 in the printed formula, which divides by H(X); it is {family.px:g}. "
            f"Use bernoulli.exact, which covers it."
        )
    rate = to_nats(budget("R", R), units)
    loss = to_nats(budget("C", C), units)
    if loss < family.entropy_s_given_x - SLACK:
        return infeasible("C ≥ H(S|X)")
    needed, available = family.entropy_s - loss, family.told_by_x
    tau_R = rate / family.entropy_x
    tau_C = needed / available if available > 0.0 else -math.inf
    if tau_R <= tau_C:
        tau, regime, formula = tau_C, "classification-limited", "(H(S) − C) / (H(S) − H(S|X))"
    else:
        tau, regime, formula = tau_R, "rate-limited", "R/H(X)"
    formula = f"px(1−py) + py(1−px) − 2px(1−px)·{formula}"
    return ClosedForm(family.independent - 2.0 * family.spread * tau, True, regime, formula, tau)


@dataclass(frozen=True)
class Family:
    """px, py, p1 and what follows from them; information in nats, couplings by their slope s."""

    px: float
    py: float
    p1: float

    @property
    def independent(self) -> float:
        """P(X≠Y) of independent X and Y."""
        return self.px * (1.0 - self.py) + self.py * (1.0 - self.px)

    @property
    def floor(self) -> float:
        """The least P(X≠Y) of any coupling."""
        return abs(self.px - self.py)

    @property
    def spread(self) -> float:
        """The variance of X."""
        return self.px * (1.0 - self.px)

    @property
    def ps(self) -> float:
        """P(S=1)."""
        return flip(self.px, self.p1)

    @property
    def entropy_x(self) -> float:
        return float(binary_entropy(self.px))

    @property
    def entropy_s(self) -> float:
        return float(binary_entropy(self.ps))

    @property
    def entropy_s_given_x(self) -> float:
        return float(binary_entropy(self.p1))

    @property
    def told_by_x(self) -> float:
        """I(S;X)."""
        return _information(self.px, self.ps, 1.0 - 2.0 * self.p1)

    @property
    def greatest_slope(self) -> float:
        return min(_ratio(self.py, self.px), _ratio(1.0 - self.py, 1.0 - self.px))

    @property
    def least_slope(self) -> float:
        return -min(_ratio(self.py, 1.0 - self.px), _ratio(1.0 - self.py, self.px))

    def most_active(self, rate: float) -> float:
        """The largest probability of a non-constant map that a one-shot rate pays for."""
        return min(1.0, _ratio(rate, self.entropy_x))

    def rate(self, slope: float) -> float:
        """I(X;Y)."""
        return _information(self.px, self.py, slope)

    def told(self, slope: float) -> float:
        """I(S;Y) = H(S) − H(S|Y)."""
        variance_y = self.py * (1.0 - self.py)
        if variance_y == 0.0:
            return 0.0
        return _information(self.py, self.ps, (1.0 - 2.0 * self.p1) * (self.spread * slope / variance_y))

    def distortion(self, slope: float) -> float:
        """P(X≠Y); exactly |px − py| at the greatest slope."""
        if self.at_floor(slope):
            return self.floor
        return max(self.floor, self.independent - 2.0 * self.spread * slope)

    def at_floor(self, slope: float) -> bool:
        return self.spread == 0.0 or slope >= self.greatest_slope

    def both_ones(self, slope: float) -> float:
        """a = P(X=1, Y=1), within the bounds that px and py set."""
        if self.at_floor(slope):
            return min(self.px, self.py)
        a = self.px * self.py + self.spread * slope
        return min(max(a, 0.0, self.px + self.py - 1.0), self.px, self.py)


def _one_parameter(family: Family, rate: float, needed: float, one_shot: bool) -> ClosedForm:
    """The classifier sees Y alone: rate and classification loss are functions of the slope."""
    greatest, least = family.greatest_slope, family.least_slope
    if one_shot:
        active = family.most_active(rate)
        high, low = min(greatest, active), max(least, -active)
        limit = "px(1−py) + py(1−px) − 2px(1−px)·R/H(X)"
    else:
        high = reach(family.rate, greatest, rate)
        low = -reach(lambda t: family.rate(-t), -least, rate)
        limit = "px + py − 2a, a the root of I(X;Y) = R above px·py"
    if family.told(high) >= needed - SLACK:
        regime, formula = ("optimal-transport floor", "|px − py|") if family.at_floor(high) else ("rate-limited", limit)
        return ClosedForm(family.distortion(high), True, regime, formula, family.both_ones(high))
    # H(S|Y) decreases away from s = 0 on both sides, so no slope in [0, high] will do.
    if family.told(low) >= needed - SLACK:
        slope = -reach(lambda t: family.told(-t), -low, needed)
        formula = "px + py − 2a, a the root of H(S|Y) = C below px·py"
        return ClosedForm(family.distortion(slope), True, "label-flipped", formula, family.both_ones(slope))
    return infeasible("some a = P(X=1, Y=1) within the rate has H(S|Y) ≤ C")


def _one_shot_with_randomness(family: Family, rate: float, needed: float) -> ClosedForm:
    """The classifier sees Y and U: a linear program in the probabilities of the identity and the flip."""
    given = family
    if given.px > 0.5:
        # Relabelling the letters of X and Y alike changes neither the distortion nor any entropy.
        family = Family(1.0 - family.px, 1.0 - family.py, family.p1)
    px, py, told = family.px, family.py, family.told_by_x
    if family.spread == 0.0:
        tau_max = turn = 0.0
    else:
        tau_max = min(family.most_active(rate), _ratio(py, px), _ratio(1.0 - py, px))
        # Beyond this τ the marginal of Y forces some maps to be flips.
        turn = (1.0 - py) / (1.0 - px)
    if tau_max * told < needed - SLACK:
        return infeasible("(H(S) − C) / (H(S) − H(S|X)) ≤ min(1, R/H(X), py/px, (1−py)/px), with px ≤ 1/2")
    tau_C = needed / told if needed > SLACK and told > 0.0 else 0.0
    tau = min(max(turn, tau_C), tau_max)
    formula = "px(1−py) + py(1−px) − 2px(1−px)·"
    if tau > turn:
        slope = max(-tau, turn - (tau - turn) / (1.0 - 2.0 * px))
        regime = "classification-limited"
        formula += "(2(1−py) − τ) / (1 − 2px), τ = (H(S) − C) / (H(S) − H(S|X)), with px ≤ 1/2"
    else:
        slope = tau
        regime, formula = (
            ("optimal-transport floor", "|px − py|") if family.at_floor(slope) else ("rate-limited", formula + "R/H(X)")
        )
    return ClosedForm(given.distortion(slope), True, regime, formula, tau)


def _information(u: float, v: float, slope: float) -> float:
    """I(U;V) in nats of bits with P(U=1) = u, P(V=1) = v and P(V=1|U=1) − P(V=1|U=0) = slope.

    The error is of the order of 1e-16 |slope|, not 1e-16: a small rate still finds its slope to full precision.
    """
    if v in (0.0, 1.0):
        return 0.0
    return u * divergence((1.0 - u) * slope, v) + (1.0 - u) * divergence(-u * slope, v)


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0.0 else math.inf


def _probability(name: str, value: Any) -> float:
    return probability(name, value, f"{name[1:].upper().replace('1', 'S1')} = 1")
