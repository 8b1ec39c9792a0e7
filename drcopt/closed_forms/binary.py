"""One bit under Hamming distortion, the law of Y free: X ~ Bern(p), S = X ⊕ S1 with S1 ~ Bern(p1).

By relabelling X, and S, take p and p1 at most 1/2. With h the binary entropy and a * b = a(1−b) + b(1−a):

    R(D, C) = max(0, h(p) − h(min(D, D_C))),        D_C = (h⁻¹(C) − p1)/(1 − 2p1) while h(p1) ≤ C < H(S),

D_C = ∞ from H(S) = h(p * p1) on, infeasible below h(p1). Fano: h(D) ≥ H(X|Y). Mrs. Gerber [1]_:
H(S|Y) ≥ h(p1 * h⁻¹(H(X|Y))). The backward channel X = Y ⊕ Bern(D) has equality in both, so that

- the classification budget decides feasibility only: D(R, C) = D(R) if C ≥ h(p1 * D(R));
- the information bottleneck, the least H(S|Y) within a rate, is h(p1 * D(R));
- R(D, C) is the larger of R(D) and R(C) (not so in general: ``drcopt validate rate-is-a-maximum``).

That the classifier reads the message instead of Y changes nothing here, as Mrs. Gerber's function is convex.

References
----------
.. [1] Wyner, Ziv, "A theorem on the entropy of certain binary sequences and applications", IEEE Trans. IT 1973.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from drcopt import words
from drcopt.closed_forms._arguments import probability
from drcopt.closed_forms._binary import drop, flip, gain, inverse_entropy, tilt
from drcopt.closed_forms._result import SLACK, ClosedForm, infeasible
from drcopt.information import binary_entropy, from_nats, to_nats
from drcopt.support.check import budget

__all__ = ["classification_loss", "exact", "rate"]


def exact(
    p: float, *, R: float | None = None, C: float | None = None, p1: float = 0.0, units: words.Units = "bits"
) -> ClosedForm:
    """The least P(X≠Y) with I(X;Y) ≤ R and H(S|Y) ≤ C, the law of Y free: h⁻¹(h(p) − R) if C ≥ h(p1 * that).

    Parameters
    ----------
    p, p1 : float
        P(X=1) and P(S1=1), in [0, 1]; p1 matters beside C only.
    R, C : float or None
        Budgets on the rate and on the classification loss, in ``units``; None or inf for no budget.
    units : {"bits", "nats"}

    Returns
    -------
    ClosedForm
        ``parameter`` is P(Y=1).

    Raises
    ------
    InputError
        If an argument is out of its range.

    Notes
    -----
    A classification budget missed by at most 1e-14 nats counts as met.

    Examples
    --------
    >>> round(float(exact(0.3, R=0.5)), 12)
    0.074168591373
    >>> float(exact(0.3, R=0.5, C=0.75, p1=0.2))
    inf
    """
    source = Source.checked(p, p1)
    rate, loss = to_nats(budget("R", R), units), to_nats(budget("C", C), units)
    distortion = source.distortion(rate)
    if loss < source.least_loss(rate) - SLACK:
        return infeasible("C ≥ h(p1 * h⁻¹(h(p) − R))")
    regime, formula = ("lossless", "0, as R ≥ h(p)") if distortion == 0.0 else ("rate-limited", "h⁻¹(h(p) − R)")
    return ClosedForm(distortion, True, regime, formula, source.mass_of_y(distortion))


def rate(
    p: float, *, D: float | None = None, C: float | None = None, p1: float = 0.0, units: words.Units = "bits"
) -> float:
    """The least rate, in ``units``, with P(X≠Y) ≤ D and H(S|Y) ≤ C: max(0, h(p) − h(min(D, D_C))); see the module.

    Parameters
    ----------
    p, p1 : float
        P(X=1) and P(S1=1), in [0, 1]; p1 matters beside C only.
    D : float or None
        Budget on P(X≠Y); None or inf for no budget.
    C : float or None
        Budget on the classification loss, in ``units``; None or inf for no budget.
    units : {"bits", "nats"}

    Returns
    -------
    float
        inf where no rate suffices, as C < H(S|X).

    Raises
    ------
    InputError
        If an argument is out of its range.

    Examples
    --------
    >>> round(rate(0.3, D=0.1), 12)
    0.412295305641
    >>> round(rate(0.3, D=0.15, C=0.85, p1=0.2), 12)
    0.332875972005
    """
    source = Source.checked(p, p1)
    least = min(budget("D", D), source.allowed(to_nats(budget("C", C), units)))
    return from_nats(source.rate(least), units) if least >= 0.0 else math.inf


def classification_loss(p: float, p1: float, R: float | None, *, units: words.Units = "bits") -> float:
    """The information bottleneck, the least H(S|Y) with I(X;Y) ≤ R, in ``units``: h(p1 * h⁻¹(h(p) − R)).

    Parameters
    ----------
    p, p1 : float
        P(X=1) and P(S1=1), in [0, 1].
    R : float or None
        Rate budget in ``units``; None or inf for no budget.
    units : {"bits", "nats"}

    Raises
    ------
    InputError
        If an argument is out of its range.

    Examples
    --------
    >>> round(classification_loss(0.5, 0.1, 0.5), 10)
    0.6973158653
    """
    source = Source.checked(p, p1)
    return from_nats(source.least_loss(to_nats(budget("R", R), units)), units)


@dataclass(frozen=True)
class Source:
    """p and p1, relabelled to at most 1/2; nats."""

    p: float
    p1: float
    #: Whether the letters of X were exchanged.
    turned: bool = False

    @classmethod
    def checked(cls, p: Any, p1: Any) -> Source:
        p, p1 = probability("p", p, "X = 1"), probability("p1", p1, "S1 = 1")
        return cls(min(p, 1.0 - p), min(p1, 1.0 - p1), p > 0.5)

    def distortion(self, rate: float) -> float:
        """D(R)."""
        return self.p - drop(self.p, tilt(self.p), rate) if self.p > 0.0 else 0.0

    def rate(self, distortion: float) -> float:
        """R(D)."""
        return gain(self.p, tilt(self.p), self.p - distortion) if distortion < self.p else 0.0

    def least_loss(self, rate: float) -> float:
        """The least H(S|Y) within a rate."""
        return float(binary_entropy(flip(self.p1, self.distortion(rate))))

    def allowed(self, loss: float) -> float:
        """D_C: the largest D with h(p1 * D) ≤ ``loss``; inf if independence meets it, −inf if nothing does."""
        if loss >= float(binary_entropy(flip(self.p, self.p1))) - SLACK:
            return math.inf
        if loss < float(binary_entropy(self.p1)) - SLACK:
            return -math.inf
        return max(0.0, (inverse_entropy(loss) - self.p1) / (1.0 - 2.0 * self.p1))

    def mass_of_y(self, distortion: float) -> float:
        """P(Y=1) of the backward channel X = Y ⊕ Bern(D), in the letters that were given."""
        q = (self.p - distortion) / (1.0 - 2.0 * distortion) if distortion < 0.5 else 0.5
        return 1.0 - q if self.turned else q
