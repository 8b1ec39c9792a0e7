"""X uniform on q letters under Hamming distortion, the law of Y free: R(D) = log q − h(D) − D log(q−1), D ≤ 1 − 1/q.

Fano's inequality is H(X|Y) ≤ h(D) + D log(q−1); the channel that keeps a letter with probability 1 − D, and else takes
any other alike, has equality.
"""

from __future__ import annotations

from drcopt import words
from drcopt.closed_forms import _binary
from drcopt.closed_forms._arguments import letters
from drcopt.closed_forms._result import ClosedForm
from drcopt.information import from_nats, to_nats
from drcopt.support.check import budget

__all__ = ["exact", "rate"]


def exact(q: int, *, R: float | None, units: words.Units = "bits") -> ClosedForm:
    """The least P(X≠Y) with I(X;Y) ≤ R: the D with log q − h(D) − D log(q−1) = R, 0 from R = log q on.

    Parameters
    ----------
    q : int
        Letters, at least 2.
    R : float or None
        Rate budget in ``units``; None or inf for no budget.
    units : {"bits", "nats"}

    Returns
    -------
    ClosedForm
        ``parameter`` is each p(y|x) with y ≠ x.

    Raises
    ------
    InputError
        If an argument is out of its range.

    Examples
    --------
    >>> round(float(exact(4, R=0.792481250361)), 10)
    0.25
    """
    size = letters("q", q)
    most = 1.0 - 1.0 / size
    D = most - _binary.drop(most, 0.0, to_nats(budget("R", R), units))
    regime, formula = ("lossless", "0, as R ≥ log q") if D == 0.0 else ("rate-limited", "log q − h(D) − D log(q−1) = R")
    return ClosedForm(D, True, regime, formula, D / (size - 1))


def rate(q: int, *, D: float | None, units: words.Units = "bits") -> float:
    """The least rate, in ``units``, with P(X≠Y) ≤ D: log q − h(D) − D log(q−1), 0 from D = 1 − 1/q on.

    Parameters
    ----------
    q : int
        Letters, at least 2.
    D : float or None
        Budget on P(X≠Y); None or inf for no budget.
    units : {"bits", "nats"}

    Raises
    ------
    InputError
        If an argument is out of its range.

    Examples
    --------
    >>> round(rate(4, D=0.25), 12)
    0.792481250361
    """
    size, D = letters("q", q), budget("D", D)
    most = 1.0 - 1.0 / size
    return from_nats(_binary.gain(most, 0.0, max(0.0, most - D)), units)
