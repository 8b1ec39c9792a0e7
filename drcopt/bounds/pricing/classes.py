"""Pricing where several classes are weighed: one of a class drawn at random and its letter (:mod:`drcopt.classes`).

Σ β_j H(W_jᵀp) = B [H(W̃ᵀp) − H(w)] with B = Σ β_j, w = β/B and W̃ = [w₁W₁ | … | w_JW_J]: the one pricing for all, on
boxes whose sides are w_j times as long.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from drcopt.bounds.pricing.corners import Known
from drcopt.bounds.pricing.dispatch import price
from drcopt.bounds.pricing.few_letters import MOST_LETTERS, price_few
from drcopt.bounds.pricing.gibbs import Partition, Priced
from drcopt.problem import Problem
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Simplices that leave so many times as much unproved as was asked for are not all that is tried.
_BLUNT = 10.0
#: Boxes are widened by so many roundings, that none of their posteriors is lost to one.
_OUT = 8 * 2.0**-53


@dataclass(frozen=True, eq=False)
class Drawn:
    """One class in place of several: one drawn at random by their weights, with its letter.

    Column i of ``problem.ps_given_x`` is ``weights[i]`` times that of the letter ``columns[i]``, and its H(S|Y) is
    ``entropy``, that of the draw, more than the mean of the losses. With one class all is as it was.
    """

    problem: Problem
    columns: NDArray[np.intp]
    weights: FloatArray
    entropy: float
    #: The class of each column; None where there is one.
    own: NDArray[np.intp] | None = None

    @classmethod
    def of(cls, problem: Problem, betas: FloatArray) -> Drawn:
        """By weights (J,), some of them positive."""
        classes = problem.classes
        if classes is None:
            return cls(problem, np.arange(problem.k), np.ones(problem.k), 0.0)
        weights = np.asarray(betas / math.fsum(betas))
        some = np.flatnonzero(weights[classes.of] > 0)
        label = Problem(problem.px, np.ones(1), classes.weighed(weights)[:, some], np.zeros((problem.n, 1)))
        # D(pW̃‖qW̃) is the mean of D(pW_j‖qW_j).
        label.__dict__["contraction"] = min(1.0, float(weights @ contractions(problem)) + 1e-12)
        return cls(label, some, weights[classes.of[some]], float(-xlogy(weights, weights).sum()), classes.of[some])

    @property
    def sums(self) -> tuple[tuple[slice, float], ...]:
        """The columns of each class, and what posteriors of them add up to."""
        if self.own is None:
            return ((slice(None), 1.0),)
        ends = [0, *(np.flatnonzero(np.diff(self.own)) + 1).tolist(), len(self.own)]
        return tuple((slice(a, b), float(self.weights[a])) for a, b in itertools.pairwise(ends))

    def box(self, box: FloatArray, problem: Problem) -> FloatArray:
        """A box (…, K, 2) of posteriors of the columns of the whole problem's ``ps_given_x`` as one of the draw's."""
        if problem.classes is None:
            return box
        weights = np.zeros(len(problem.classes))
        weights[problem.classes.of[self.columns]] = self.weights
        return _scaled(box, weights, problem.classes.of)[:, self.columns]


def price_weighed(
    problem: Problem,
    cost: FloatArray,
    alpha: float,
    betas: FloatArray,
    box: FloatArray | None,
    *,
    tol: float = 0.0,
    start: Partition | None = None,
    known: Known | None = None,
    most: int | None = None,
    bare: bool = False,
) -> Priced:
    """As :func:`drcopt.bounds.pricing.price`, with the weight of every class: (1,) where there is one.

    ``box`` (m, K, 2) holds posteriors of the columns of ``problem.ps_given_x``. Beside classes that have a weight
    others do not confine what is priced; where none has, each does alone. With several classes ``start`` and ``known``,
    which are of other weights, are not used.
    """
    classes = problem.classes
    if classes is None:
        return price(
            problem, cost, alpha, float(betas[0]), box, tol=tol, start=start, known=known, most=most, bare=bare
        )
    total = math.fsum(betas)
    if problem.n <= MOST_LETTERS and (total > 0.0 or len(cut_classes(problem, box))):
        J, W = len(classes), np.hstack([*classes.values()])
        sides = np.tile(np.stack([W.min(axis=0), W.max(axis=0)], axis=-1), (cost.shape[1], 1, 1))
        if box is not None:  # of the classes at equal weights
            sides = np.stack([J * box[..., 0] * (1.0 - _OUT), J * box[..., 1] * (1.0 + _OUT)], axis=-1)
        few = price_few(cost, alpha, betas[classes.of], np.log(problem.px), W, sides, tol)
        least = np.full(len(few.lower), np.inf)
        np.minimum.at(least, few.y, few.value)
        enough = _BLUNT * max(tol, 1e-10 * (float(np.ptp(cost)) + total))
        if clock.expired() or not (few.lower < least - enough).any():
            return few
        return _sharper(few, _drawn(problem, cost, alpha, betas, box, tol))
    return _drawn(problem, cost, alpha, betas, box, tol)


def _drawn(
    problem: Problem, cost: FloatArray, alpha: float, betas: FloatArray, box: FloatArray | None, tol: float
) -> Priced:
    """By a class drawn at random."""
    total = math.fsum(betas)
    if total == 0.0:
        return _unweighed(problem, cost, alpha, box, tol)
    drawn = Drawn.of(problem, betas)
    priced = price(drawn.problem, cost, alpha, total, None if box is None else drawn.box(box, problem), tol=tol)
    constant = total * drawn.entropy
    return replace(priced, lower=priced.lower - constant, value=priced.value - constant, partition=None)


def cut_classes(problem: Problem, box: FloatArray | None) -> NDArray[np.intp]:
    """Those of which a box (m, K, 2) does not hold all posteriors."""
    classes = problem.classes
    if box is None or classes is None:
        return np.zeros(0, dtype=np.intp)
    W = problem.ps_given_x
    inside = (box[..., 0] > W.min(axis=0)) | (box[..., 1] < W.max(axis=0))
    return np.unique(classes.of[inside.any(axis=0)])


def _unweighed(problem: Problem, cost: FloatArray, alpha: float, box: FloatArray | None, tol: float) -> Priced:
    """The largest of what the boxes of one class say, if any says something."""
    priced = price(problem.of_class(None), cost, alpha, 0.0, None, tol=tol)
    for j in cut_classes(problem, box):
        drawn = Drawn.of(problem, np.eye(len(problem.classes or ()))[j])
        assert box is not None
        priced = _sharper(priced, price(drawn.problem, cost, alpha, 0.0, drawn.box(box, problem), tol=tol))
    return priced


def _sharper(one: Priced, other: Priced) -> Priced:
    """Of two answers, letter by letter, the larger bound with its posteriors."""
    better = one.lower > other.lower
    some, rest = better[one.y], ~better[other.y]
    y, p, value = (np.concatenate([getattr(one, v)[some], getattr(other, v)[rest]]) for v in ("y", "p", "value"))
    return Priced(np.maximum(one.lower, other.lower), y, p, value)


def contractions(problem: Problem) -> FloatArray:
    """The strong data-processing constant of every class, rounded up, shape (J,)."""
    if "contractions" not in problem.__dict__:
        names = [None] if problem.classes is None else [*problem.classes]
        each = [problem if name is None else problem.of_class(name) for name in names]
        problem.__dict__["contractions"] = np.array([one.contraction for one in each])
    return np.asarray(problem.__dict__["contractions"])


def _scaled(box: FloatArray, weights: FloatArray, of: np.ndarray) -> FloatArray:
    """A box of posteriors of the equally weighed classes as one for these weights, cut to Σ_s τ_j(s) = w_j."""
    J = len(weights)
    sides = np.clip(J * box, 0.0, 1.0)
    low, high = sides[:, :, 0] * (1.0 - _OUT), sides[:, :, 1] * (1.0 + _OUT)
    for j in range(J):
        mine = of == j
        least, most = low[:, mine], high[:, mine]
        low[:, mine] = np.maximum(least, 1.0 - (most.sum(axis=1, keepdims=True) - most) - _OUT * len(of))
        high[:, mine] = np.minimum(most, 1.0 - (least.sum(axis=1, keepdims=True) - least) + _OUT * len(of))
    scale = weights[of]
    return np.stack([low * scale * (1.0 - _OUT), high * scale * (1.0 + _OUT)], axis=2)
