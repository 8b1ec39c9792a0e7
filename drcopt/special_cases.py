"""Two functions of the field by their names: both are questions of drcopt where Y's law is free."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

from drcopt import words
from drcopt.bottleneck_curve import BottleneckCurve, curve, of_messages
from drcopt.errors import InputError
from drcopt.problem import Distortion, Problem
from drcopt.solution import Solution
from drcopt.solve import min_classification_loss, min_rate, solve
from drcopt.support import check
from drcopt.support.check import FloatArray

__all__ = ["information_bottleneck", "rate_distortion"]


def rate_distortion(
    px: ArrayLike,
    d: Distortion = "hamming",
    *,
    R: float | None = None,
    D: float | None = None,
    units: words.Units = "bits",
    tol: float = 1e-6,
    time_limit: float | None = None,
    on_failure: words.OnFailure = "raise",
) -> Solution:
    """Shannon's D(R) = min {E d(X,Y) : I(X;Y) ≤ R}, or R(D) = min {I(X;Y) : E d(X,Y) ≤ D}, with a proof.

    It is :func:`drcopt.solve`, or :func:`drcopt.min_rate`, with ``py=None`` and without classes.

    Parameters
    ----------
    px : (n,) array
        Source pmf.
    d : (n, m) array or "hamming" or "squared-error"
        Distortion d(x, y) ≥ 0.
    R, D : float
        One of them: the rate budget in ``units``, or the distortion budget in the unit of d.
    units, tol, time_limit, on_failure
        As in :func:`drcopt.solve_drc` and :func:`drcopt.min_rate`.

    Returns
    -------
    Solution
        ``value`` and ``lower_bound`` enclose D(R) or R(D); ``channel`` is the test channel p(y|x).

    Raises
    ------
    InputError
        If an argument breaks a rule, or not just one of R and D is given.
    InfeasibleError
        If D is less than any channel has.

    Examples
    --------
    >>> import drcopt
    >>> curve = [drcopt.rate_distortion([0.7, 0.3], D=D).rate for D in (0.05, 0.1, 0.2)]
    >>> [round(rate, 5) for rate in curve]
    [0.59489, 0.4123, 0.15936]
    """
    law, _ = check.pmf("px", px)
    problem = Problem(px, None, np.ones((len(law), 1)), d)
    more: dict[str, Any] = {"units": units, "tol": tol, "time_limit": time_limit, "on_failure": on_failure}
    return _one_of({"R": R, "D": D}, R=lambda: solve(problem, R=R, **more), D=lambda: min_rate(problem, D=D, **more))


@overload
def information_bottleneck(
    pxs: ArrayLike,
    *,
    R: float | None = None,
    C: float | None = None,
    units: words.Units = "bits",
    tol: float = 1e-6,
    time_limit: float | None = None,
    on_failure: words.OnFailure = "raise",
) -> Solution: ...


@overload
def information_bottleneck(
    pxs: ArrayLike,
    *,
    R: Sequence[float] | FloatArray | None = None,
    C: Sequence[float] | FloatArray | None = None,
    beta: Sequence[float] | FloatArray | None = None,
    units: words.Units = "bits",
    tol: float = 1e-6,
    time_limit: float | None = None,
    on_failure: words.OnFailure = "raise",
) -> BottleneckCurve: ...


def information_bottleneck(
    pxs: ArrayLike,
    *,
    R: Any = None,
    C: Any = None,
    beta: Any = None,
    units: words.Units = "bits",
    tol: float = 1e-6,
    time_limit: float | None = None,
    on_failure: words.OnFailure = "raise",
) -> Solution | BottleneckCurve:
    """The information bottleneck min {H(S|T) : I(X;T) ≤ R} over S − X − T, or min {I(X;T) : H(S|T) ≤ C}, with a proof.

    It is :func:`drcopt.min_classification_loss`, or :func:`drcopt.min_rate`, where nothing is reproduced: d = 0 and a
    classifier that sees the message T. T may have any alphabet; n + 1 letters are enough.

    Parameters
    ----------
    pxs : (n, k) array or DataFrame
        p(x, s), or counts of it: X is compressed, S is relevant.
    R, C : float or sequence of floats
        One of them, in ``units``: the limit on I(X;T), or that on H(S|T) = H(S) − I(S;T). A sequence asks for a curve.
    beta : sequence of floats
        In place of R and C: the points of the curve that minimise I(X;T) − β I(S;T), where its slope is 1/β.
    units, tol, time_limit, on_failure
        As in :func:`drcopt.min_classification_loss` and :func:`drcopt.min_rate`; a curve has rows with less than what
        was wanted rather than an error.

    Returns
    -------
    Solution or BottleneckCurve
        ``value`` and ``lower_bound`` enclose the least H(S|T) or I(X;T); ``coupling`` is p(x,t), ``channel`` p(t|x),
        and ``message`` has p(x|t) and p(s|t) of each letter of T. Of a sequence the curve: arrays ``rate``,
        ``classification_loss``, ``relevance`` I(S;T), ``lower_bound``; ``frame()``; ``curve[i]`` is a Solution. All
        points share what proves them, so that many take little longer than one where X or S has few letters.

    Raises
    ------
    InputError
        If an argument breaks a rule, or not just one of R, C and beta is given.
    InfeasibleError
        If C is less than H(S|X).

    Examples
    --------
    >>> import drcopt
    >>> bottleneck = drcopt.information_bottleneck([[1, 0, 1], [0, 0, 1], [0, 1, 1]], R=0.8)
    >>> bottleneck.status, round(1.370951 - bottleneck.classification_loss, 5)
    ('optimal', 0.4)
    >>> curve = drcopt.information_bottleneck([[1, 0, 1], [0, 0, 1], [0, 1, 1]], beta=[1, 2.5, 5, 10])
    >>> curve.rate.round(4).tolist(), curve.relevance.round(4).tolist(), bool(curve.gap.max() < 1e-6)
    ([0.0, 0.8, 1.3298, 1.5129], [0.0, 0.4, 0.5406, 0.5702], True)
    """
    counted = Problem.from_joint(pxs, None, d=np.zeros((len(check.real_array("pxs", pxs, 2)), 1)))
    given: dict[str, Any] = {"R": R, "C": C, "beta": beta}
    if beta is not None or np.ndim(R) > 0 or np.ndim(C) > 0:
        by: Any = _named(given)
        found = curve(counted, by, check.real_array(by, given[by], 1), units, tol, time_limit)
        for i in np.flatnonzero(np.isinf(found.lower_bound))[: on_failure == "raise"]:
            min_rate(counted, C=float(found.asked[i]), units=units, classifier_sees="message")  # an error that says why
        return found
    more: dict[str, Any] = {"units": units, "tol": tol, "time_limit": time_limit, "on_failure": on_failure}
    more |= {"classifier_sees": "message"}
    answer = _one_of(
        {"R": R, "C": C},
        R=lambda: min_classification_loss(counted, R=R, **more),
        C=lambda: min_rate(counted, C=C, **more),
    )
    return of_messages(answer, counted)


def _one_of(given: dict[str, float | None], **ways: Callable[[], Solution]) -> Solution:
    """The answer of the one way whose budget is given."""
    return ways[_named(given)]()


def _named(given: dict[str, Any]) -> str:
    """The one budget that is given."""
    named = [name for name, budget in given.items() if budget is not None]
    if len(named) != 1:
        *rest, last = given
        what = {0: "none is", 2: "both are" if len(given) == 2 else f"{' and '.join(named)} are"}.get(
            len(named), "all are"
        )
        raise InputError(
            f"one of {', '.join(rest)} and {last} must be given; {what}. Pass {rest[0]}= for the least at that "
            f"{rest[0]}, or {rest[-1] if len(rest) > 1 else last}= for its inverse."
        )
    return named[0]
