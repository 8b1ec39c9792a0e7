"""One bit under Hamming distortion, the law of Y within total variation P of that of X: X ~ Bern(p), |p − P(Y=1)| ≤ P.

By relabelling take p at most 1/2; more than P = p is never of use. Without the perception budget the best Y has
P(Y=1) = q* = (p−D)/(1−2D) ≤ p. D(R; q), the least distortion with P(Y=1) = q, is convex in q and least at q*, so
where q* is too far from p the best q is p − P. In terms of D, with h the binary entropy and H that of four masses,

    R(D, P) = h(p) − h(D)                                                          D ≤ D1 = P/(1 − 2(p−P)),
    R(D, P) = h(p) + h(p−P) − H((D−P)/2, (D+P)/2, p − (D+P)/2, 1−p − (D−P)/2)      between,
    R(D, P) = 0                                                                    D ≥ D2 = 2p(1−p) − (1−2p)P,

as Blau and Michaeli print it [1]_. That D(R, P) is operational takes common randomness; with a classification
budget too there is no such formula.

References
----------
.. [1] Blau, Michaeli, "Rethinking Lossy Compression: The Rate-Distortion-Perception Tradeoff", ICML 2019.
"""

from __future__ import annotations

from dataclasses import replace

from drcopt import words
from drcopt.closed_forms import bernoulli
from drcopt.closed_forms._result import ClosedForm
from drcopt.closed_forms.binary import Source
from drcopt.information import from_nats, to_nats
from drcopt.support.check import budget

__all__ = ["exact", "rate"]


def exact(p: float, *, R: float | None = None, P: float | None = None, units: words.Units = "bits") -> ClosedForm:
    """The least P(X≠Y) with I(X;Y) ≤ R and |P(X=1) − P(Y=1)| ≤ P; see the module.

    Parameters
    ----------
    p : float
        P(X=1), in [0, 1].
    R : float or None
        Rate budget in ``units``; None or inf for no budget.
    P : float or None
        Budget on the total variation ½ Σ |px − py|; None or inf for no budget.
    units : {"bits", "nats"}

    Returns
    -------
    ClosedForm
        ``parameter`` is P(Y=1); the regime is "perception-limited" where P binds.

    Raises
    ------
    InputError
        If an argument is out of its range.

    Examples
    --------
    >>> answer = exact(0.3, R=0.417674389009, P=0.02)
    >>> answer.regime, round(answer.distortion, 10), round(answer.parameter, 2)
    ('perception-limited', 0.1, 0.28)
    """
    source, R_nats = Source.checked(p, 0.0), to_nats(budget("R", R), units)
    distance = min(budget("P", P), source.p)
    distortion = source.distortion(R_nats)
    free = replace(source, turned=False).mass_of_y(distortion)
    if source.p - free <= distance:
        regime, formula = ("lossless", "0, as R ≥ h(p)") if distortion == 0.0 else ("rate-limited", "h⁻¹(h(p) − R)")
        return ClosedForm(distortion, True, regime, formula, 1.0 - free if source.turned else free)
    q = source.p - distance
    near = bernoulli.exact(source.p, q, 0.0, R_nats, None, units="nats")
    formula = "p + q − 2a, q = p − P, a the root of I(X;Y) = R above p·q, with p ≤ 1/2"
    return ClosedForm(near.distortion, True, "perception-limited", formula, 1.0 - q if source.turned else q)


def rate(p: float, *, D: float | None = None, P: float | None = None, units: words.Units = "bits") -> float:
    """The least rate, in ``units``, with P(X≠Y) ≤ D and |P(X=1) − P(Y=1)| ≤ P; see the module.

    Parameters
    ----------
    p : float
        P(X=1), in [0, 1].
    D, P : float or None
        Budgets on P(X≠Y) and on the total variation ½ Σ |px − py|; None or inf for no budget.
    units : {"bits", "nats"}

    Raises
    ------
    InputError
        If an argument is out of its range.

    Examples
    --------
    >>> round(rate(0.3, D=0.1, P=0.02), 12)
    0.417674389009
    """
    source, D = Source.checked(p, 0.0), budget("D", D)
    distance = min(budget("P", P), source.p)
    q = source.p - distance
    if D * (1.0 - 2.0 * q) <= distance:
        return from_nats(source.rate(D), units)
    family = bernoulli.Family(source.p, q, 0.0)
    if D >= family.independent:
        return 0.0
    return from_nats(family.rate((family.independent - D) / (2.0 * family.spread)), units)
