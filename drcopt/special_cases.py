"""Two functions of the field by their names: both are questions of drcopt where Y's law is free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from drcopt import words
from drcopt.errors import InputError
from drcopt.problem import Distortion, Problem
from drcopt.solution import Solution
from drcopt.solve import min_classification_loss, min_rate, solve
from drcopt.support import check

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


def information_bottleneck(
    pxs: ArrayLike,
    *,
    R: float | None = None,
    C: float | None = None,
    units: words.Units = "bits",
    tol: float = 1e-6,
    time_limit: float | None = None,
    on_failure: words.OnFailure = "raise",
) -> Solution:
    """The information bottleneck min {H(S|T) : I(X;T) ≤ R} over S − X − T, or min {I(X;T) : H(S|T) ≤ C}, with a proof.

    It is :func:`drcopt.min_classification_loss`, or :func:`drcopt.min_rate`, where nothing is reproduced: d = 0 and a
    classifier that sees the message T. T may have any alphabet; n + 1 letters are enough.

    Parameters
    ----------
    pxs : (n, k) array or DataFrame
        p(x, s), or counts of it: X is compressed, S is relevant.
    R, C : float
        One of them, in ``units``: the limit on I(X;T), or that on H(S|T) = H(S) − I(S;T).
    units, tol, time_limit, on_failure
        As in :func:`drcopt.min_classification_loss` and :func:`drcopt.min_rate`.

    Returns
    -------
    Solution
        ``value`` and ``lower_bound`` enclose the least H(S|T) or I(X;T); ``coupling`` is p(x,t), ``channel`` p(t|x),
        and ``message`` has p(x|t) and p(s|t) of each letter of T.

    Raises
    ------
    InputError
        If an argument breaks a rule, or not just one of R and C is given.
    InfeasibleError
        If C is less than H(S|X).

    Examples
    --------
    >>> import drcopt
    >>> bottleneck = drcopt.information_bottleneck([[1, 0, 1], [0, 0, 1], [0, 1, 1]], R=0.8)
    >>> bottleneck.status, round(1.370951 - bottleneck.classification_loss, 5)
    ('optimal', 0.4)
    """
    counted = Problem.from_joint(pxs, None, d=np.zeros((len(check.real_array("pxs", pxs, 2)), 1)))
    more: dict[str, Any] = {"units": units, "tol": tol, "time_limit": time_limit, "on_failure": on_failure}
    more |= {"classifier_sees": "message"}
    found = _one_of(
        {"R": R, "C": C},
        R=lambda: min_classification_loss(counted, R=R, **more),
        C=lambda: min_rate(counted, C=C, **more),
    )
    if found.message is None:
        return found
    message = replace(found.message, letters=np.arange(len(found.message.weights)))
    coupling = (message.weights[:, None] * message.posteriors).T
    wide = Problem(
        counted.px,
        None,
        counted.ps_given_x,
        np.zeros(coupling.shape),
        labels={a: v for a in "xs" if (v := getattr(counted.labels, a)) is not None},
        name=counted.name,
    )
    return replace(found, coupling=coupling, message=message, problem=wide)


def _one_of(given: dict[str, float | None], **ways: Callable[[], Solution]) -> Solution:
    """The answer of the one way whose budget is given."""
    named = [name for name, budget in given.items() if budget is not None]
    if len(named) != 1:
        first, second = given
        raise InputError(
            f"one of {first} and {second} must be given; {'both are' if named else 'none is'}. Pass {first}= for the "
            f"least at that {first}, or {second}= for its inverse."
        )
    return ways[named[0]]()
