"""What a fixed solution really has: means over a hold-out.

A channel K = p(y|x), a law q on Y and a soft classifier t(s|y) that are fixed beforehand have, whatever the law of X
and S is,

  E d(X,Y) = E[Σ_y K d],   I(X;Y) ≤ E[D(K_X‖q)],   H(S|Y) ≤ E[−Σ_y K log t(S|y)],
  P(ŝ(Y) ≠ S) = E[Σ_y K 1{ŝ(y) ≠ S}],

the first inequality because E D(K_X‖q) = I + D(p_Y‖q), the second because it is a cross-entropy. Right-hand sides are
means of a bounded function of one draw (x, s), its bounds known beforehand: so Hoeffding's and Bernstein's
inequalities hold, with no constant that grows with an alphabet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from drcopt import information, words
from drcopt.errors import InputError
from drcopt.labels import align
from drcopt.problem import Problem
from drcopt.solution import Solution
from drcopt.statistics.means import Bound, level, upper_mean, whole
from drcopt.support import check
from drcopt.support.check import FloatArray

__all__ = ["Holdout", "holdout"]


@dataclass(frozen=True)
class Holdout:
    """Upper bounds that hold together with probability ≥ ``confidence``: D(rate, classification_loss) ≤ distortion.

    ``distortion`` is in the unit of d, ``rate`` and ``classification_loss`` in ``units``; ``error`` is that of the
    fixed classifier ŝ(y), so that the Bayes error is no larger.

    Examples
    --------
    >>> import drcopt
    >>> problem = drcopt.sources.bernoulli()
    >>> solution = drcopt.solve(problem, R=0.5)
    >>> held = holdout(problem, solution, [[50, 12], [12, 26]])
    >>> held.confidence, held.distortion.value > solution.distortion
    (0.95, True)
    """

    distortion: Bound
    rate: Bound
    classification_loss: Bound
    error: Bound
    confidence: float
    units: words.Units


def holdout(
    problem: Problem,
    channel: Solution | ArrayLike,
    counts: ArrayLike,
    *,
    floor: float = 0.01,
    confidence: float = 0.95,
    method: words.Inequality = "best",
    units: words.Units = "bits",
) -> Holdout:
    """What a channel found on other data has at most of distortion, rate, classification loss and error.

    Parameters
    ----------
    problem : Problem
        That of the training data: its d, and the law of Y and the classifier p(s|y) that the channel has there.
    channel : Solution or (n, m) array
        A single-letter solution, or p(y|x), found without the hold-out.
    counts : (n, k) array or DataFrame of whole numbers
        How often each (x, s) occurs in the hold-out, N draws in all.
    floor : float
        The least p(s|y), and law of Y, that the bounds are computed with: log-losses lie below log 1/floor.
    confidence, method
        As in :func:`upper_mean`; the confidence is that of all four bounds at once.
    units : {"bits", "nats"}
        Of rate and classification loss.

    Raises
    ------
    InputError
        If shapes do not fit, the counts are not whole, or the solution has no single channel.

    Examples
    --------
    >>> import drcopt
    >>> problem = drcopt.Problem.from_joint([[30, 10], [8, 32]], None, "hamming")
    >>> found = holdout(problem, drcopt.solve(problem, R=0.5), [[450, 150], [120, 480]])
    >>> round(found.rate.estimate, 3), round(found.rate.value, 3)
    (0.5, 0.5)
    """
    check.instance("problem", problem, Problem, "Pass the training one.")
    K, d = _channel(problem, channel)
    check.choice("units", units, words.UNITS)
    if not 0.0 < check.real_number("floor", floor, "Pass e.g. 0.01.") < 1.0 / max(problem.k, 2):
        raise InputError(f"floor must lie between 0 and 1/k = {1 / max(problem.k, 2):.3g}; it is {floor}. Pass 0.01.")
    aligned, _ = align({"pxs": counts}, problem.labels)
    table = whole("counts", aligned["pxs"], (problem.n, problem.k))
    each = 1.0 - (1.0 - level(confidence)) / 4.0
    check.choice("method", method, words.INEQUALITIES)
    joint = problem.px[:, None] * K
    law = joint.sum(axis=0)
    T = problem.ps_given_x.T @ joint
    posterior = np.divide(T, law, out=np.repeat(problem.ps[:, None], len(law), axis=1), where=law > 0)
    posterior = _floored(posterior, floor)
    q = _floored(law[:, None], floor / len(law))[:, 0]
    scale = information.NATS_PER[units]
    divergence = np.where(K > 0, K * np.log(np.where(K > 0, K, 1.0) / q), 0.0).sum(axis=1) / scale
    wrong = 1.0 - np.eye(problem.k)[:, posterior.argmax(axis=0)]
    tables = {
        "distortion": (K * np.where(K > 0, d, 0.0)).sum(axis=1)[:, None],
        "rate": divergence[:, None],
        "classification_loss": -K @ np.log(posterior).T / scale,
        "error": K @ wrong.T,
    }
    found = {name: _bounded(np.broadcast_to(v, table.shape), table, each, method) for name, v in tables.items()}
    return Holdout(confidence=confidence, units=units, **found)


def _bounded(values: FloatArray, counts: FloatArray, confidence: float, method: words.Inequality) -> Bound:
    return upper_mean(
        values, float(values.min()), float(values.max()), counts=counts, confidence=confidence, method=method
    )


def _floored(laws: FloatArray, floor: float) -> FloatArray:
    """Columns with no entry below about ``floor``."""
    raised = np.maximum(laws, floor)
    return np.asarray(raised / raised.sum(axis=0))


def _channel(problem: Problem, channel: Any) -> tuple[FloatArray, FloatArray]:
    """p(v|x) and d(x, v): of Y, or of the message where the classifier reads that."""
    if not isinstance(channel, Solution):
        K, _ = check.channel("channel", channel, np.ones(problem.n))
        if K.shape[1] != problem.m:
            raise InputError(
                f"channel must be p(y|x), shape ({problem.n}, {problem.m}); it has shape {K.shape}. Pass "
                "solution.channel."
            )
        return K, problem.d
    if channel.mixture is not None:
        raise InputError(
            f"channel must be a single-letter solution; this one is {channel.formulation}, a mixture. Pass "
            "solution.channel to judge it as one channel."
        )
    if np.isnan(channel.coupling).any() or channel.coupling.shape != (problem.n, problem.m):
        raise InputError(
            f"channel must be a solution with a point, of the problem given; this one is {channel.status}, of shape "
            f"{channel.coupling.shape}. Pass the problem that was solved."
        )
    if channel.message is None:
        return channel.channel, problem.d
    atoms = channel.message
    joint = (atoms.weights[:, None] * atoms.posteriors).T
    rows = joint.sum(axis=1, keepdims=True)
    return np.where(rows > 0, joint / np.where(rows > 0, rows, 1.0), atoms.weights), problem.d[:, atoms.letters]
