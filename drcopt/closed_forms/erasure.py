"""A fair bit that may be erased but not changed: X ~ Bern(1/2), S = X ⊕ S1 with S1 ~ Bern(p1), Y in {0, erased, 1}.

d(x, y) is 0 for y = x, 1 for the erasure and ∞ for the other letter, so E d = P(erased) and R(D) = 1 − D bits. With h
the binary entropy in bits, a * b = a(1−b) + b(1−a), b = h⁻¹((1−R)/D) and p1 at most 1/2 by relabelling S: a letter
that is not erased tells X, so the least classification loss at R and at D ≥ 1−R is

    L(D) = (1−D) h(p1) + D h(p1 * b),

by Mrs. Gerber's lemma within the erasure, and L decreases: D v ↦ D h(p1 * h⁻¹(v)) is the perspective of a convex
function. Where the classifier reads the **message** (an index of which Y is a function; the erasure comes in two
kinds, X|erased ~ Bern(b) and its mirror image), D(R, C) is the least D ≥ 1−R with L(D) ≤ C.

Where it reads **Y**, there is one erasure: X|erased ~ Bern(b), and the letter that is erased more often has mass for
it only while D(1−b) ≤ 1/2. The same D is the answer there. Beyond, b is at least 1 − 1/(2D), and
(1−D) h(p1) + D h(p1 * (1 − 1/(2D))) increases with D; so beyond, no D meets the budgets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from scipy.optimize import brentq

from drcopt import words
from drcopt.closed_forms._arguments import probability
from drcopt.closed_forms._binary import EPS, flip, inverse_entropy
from drcopt.closed_forms._result import SLACK, ClosedForm, infeasible
from drcopt.information import binary_entropy, from_nats, to_nats
from drcopt.support.check import budget, choice

__all__ = ["SEES", "Sees", "exact", "rate"]

#: What the classifier may read here.
Sees = Literal["message", "Y"]
SEES: tuple[Sees, ...] = get_args(Sees)
_BIT = math.log(2.0)


def exact(
    p1: float,
    *,
    R: float | None = None,
    C: float | None = None,
    classifier_sees: Sees = "message",
    units: words.Units = "bits",
) -> ClosedForm:
    """The least P(erased) with I(X;V) ≤ R and H(S|V) ≤ C, V the message or Y; see the module.

    Parameters
    ----------
    p1 : float
        P(S1=1), in [0, 1].
    R, C : float or None
        Budgets on the rate and on the classification loss, in ``units``; None or inf for no budget.
    classifier_sees : {"message", "Y"}
    units : {"bits", "nats"}

    Returns
    -------
    ClosedForm
        ``parameter`` is b, the probability of the less likely letter given the erasure (and its kind).

    Raises
    ------
    InputError
        If an argument is out of its range.

    Notes
    -----
    A classification budget missed by at most 1e-14 nats counts as met.

    Examples
    --------
    >>> round(float(exact(0.1, R=0.5, C=0.72)), 12)
    0.652479587143
    >>> exact(0.1, R=0.5, C=0.72, classifier_sees="Y").feasible
    False
    """
    channel = _Channel.checked(p1)
    unknown = max(0.0, _BIT - to_nats(budget("R", R), units))
    loss = to_nats(budget("C", C), units)
    most = 1.0 if choice("classifier_sees", classifier_sees, SEES) == "message" else channel.turn(unknown)
    if loss < channel.loss(most, unknown) - SLACK:
        rule = "C ≥ h(p1 * h⁻¹(1−R))" if most == 1.0 else "C ≥ the least L(D), at D(1−b) = 1/2"
        return infeasible(rule)
    least = min(most, unknown / _BIT)
    if unknown == 0.0:
        return ClosedForm(0.0, True, "lossless", "0, as R ≥ 1 bit", 0.5)
    if channel.loss(least, unknown) <= loss + SLACK:
        return ClosedForm(least, True, "rate-limited", "1 − R", 0.5)
    D = least
    if channel.loss(most, unknown) >= loss:
        D = most
    else:
        D = float(brentq(lambda D: channel.loss(D, unknown) - loss, least, most, xtol=1e-300, rtol=4.0 * EPS))
    formula = "the least D ≥ 1−R with (1−D) h(p1) + D h(p1 * h⁻¹((1−R)/D)) ≤ C"
    return ClosedForm(D, True, "classification-limited", formula, inverse_entropy(min(_BIT, unknown / D)))


def rate(
    p1: float,
    *,
    D: float | None = None,
    C: float | None = None,
    classifier_sees: Sees = "message",
    units: words.Units = "bits",
) -> float:
    """The least rate, in ``units``, with P(erased) ≤ D and H(S|V) ≤ C, V the message or Y.

    Solved for R, L(D) = C reads R = 1 − D h(b) bits, b = (h⁻¹((C − (1−D) h(p1))/D) − p1)/(1 − 2p1). Where the
    classifier reads Y, D is lowered until D(1−b) ≤ 1/2.

    Parameters
    ----------
    p1 : float
        P(S1=1), in [0, 1].
    D : float or None
        Budget on P(erased); None or inf for no budget.
    C : float or None
        Budget on the classification loss, in ``units``; None or inf for no budget.
    classifier_sees : {"message", "Y"}
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
    >>> round(rate(0.1, D=0.652479587143, C=0.72), 10)
    0.5
    """
    channel = _Channel.checked(p1)
    most, loss = min(1.0, budget("D", D)), to_nats(budget("C", C), units)
    sees = choice("classifier_sees", classifier_sees, SEES)
    if loss < channel.told - SLACK:
        return math.inf
    if sees == "Y" and channel.short(most, loss) > 0.0:
        most = float(brentq(lambda D: channel.short(D, loss), 0.5, most, xtol=1e-300, rtol=4.0 * EPS))
    h_b = float(binary_entropy(channel.largest(most, loss)))
    return from_nats(max(0.0, _BIT - most * h_b), units)


@dataclass(frozen=True)
class _Channel:
    """p1, relabelled to at most 1/2; nats."""

    p1: float

    @classmethod
    def checked(cls, p1: float) -> _Channel:
        number = probability("p1", p1, "S1 = 1")
        return cls(min(number, 1.0 - number))

    @property
    def told(self) -> float:
        """H(S|X)."""
        return float(binary_entropy(self.p1))

    def loss(self, D: float, unknown: float) -> float:
        """L(D) where D h(b) = ``unknown``."""
        b = inverse_entropy(min(_BIT, unknown / D)) if D > 0.0 else 0.5
        return (1.0 - D) * self.told + D * float(binary_entropy(flip(self.p1, b)))

    def largest(self, D: float, loss: float) -> float:
        """The largest b with L ≤ ``loss``; 1/2 from independence on."""
        if D <= 0.0 or loss >= (1.0 - D) * self.told + D * _BIT - SLACK:
            return 0.5
        given = inverse_entropy(self.told + max(0.0, loss - self.told) / D)
        return min(0.5, max(0.0, (given - self.p1) / (1.0 - 2.0 * self.p1)))

    def short(self, D: float, loss: float) -> float:
        """How much mass the letter that is erased more often lacks; at most 0 while D ≤ 1/2."""
        return D * (1.0 - self.largest(D, loss)) - 0.5

    @staticmethod
    def turn(unknown: float) -> float:
        """The D with D(1−b) = 1/2, D h(b) = ``unknown``: up to it one erasure serves. 1/2 at b = 0, 1 at b = 1/2."""

        def excess(D: float) -> float:
            return D * float(binary_entropy(1.0 - 0.5 / D)) - unknown

        if unknown <= 0.0:
            return 0.5
        return float(brentq(excess, 0.5, 1.0, xtol=1e-300, rtol=4.0 * EPS)) if excess(1.0) > 0.0 else 1.0
