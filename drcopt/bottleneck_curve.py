"""The information bottleneck's curve: many points of it found at once, each with a proof.

A curve is more than its points. A tangent α I + H(S|T) ≥ Λ holds at every rate, so that one proves all of a straight
part; and mixtures of messages are messages, so that chords are met. Points and tangents are therefore held in common:
what is asked for and not settled yet is asked again at the slope of the chord above it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from drcopt import information, words
from drcopt.bounds import DataProcessing, Leaf, PosteriorTree
from drcopt.certify.bottleneck_curve import levels, spent
from drcopt.components import ReadOnly
from drcopt.engines.base import Proposal
from drcopt.engines.bottleneck_curve import Touching, at_slopes, newton, spread
from drcopt.formulations import Part, Question
from drcopt.law_session import LawSession
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, RATE, Free
from drcopt.solution import Solution
from drcopt.support import check, clock
from drcopt.support.check import FloatArray

if TYPE_CHECKING:
    import pandas as pd

#: Slopes to begin with, from the steepest down by so much, and rounds of chords.
_SLOPES, _LEAST, _ROUNDS = 10, 3e-2, 12
#: How far inside a budget points aim, what is missed at most where Newton's method ended well, and the share of the gap
#: wanted that a tangent may leave.
_INSIDE, _MISSED, _SHARE = 1e-12, 1e-9, 0.3
#: What tangents of hardly any slope may leave all the same.
_SHARPEST = 1e-11
#: A loss so far inside its limit is so whatever rounding does.
_CLEAR = 3e-13
#: The least slope beside the steepest, what is none, and what products, quotients and sums are lowered by, relative.
_FLAT, _NONE, _UNIT = 1e-6, 1e-12, 2.0**-50
#: Atoms nearer to each other than this are one.
_ALIKE = 1e-9

#: What points are asked for by: rates, losses, or slopes.
By = Literal["R", "C", "beta"]


@dataclass(frozen=True, eq=False)
class BottleneckCurve(ReadOnly):
    """Points of the curve of least H(S|T) over I(X;T), each with its proof: ``curve[i]`` is a :class:`Solution`.

    Attributes
    ----------
    by : {"R", "C", "beta"}
        What was asked for, and ``asked`` (K,) its values in the order given.
    rate, classification_loss : (K,) arrays
        I(X;T) and H(S|T) of the points, in ``units``.
    lower_bound : (K,) array
        Proved: with ``by="C"`` on I(X;T), else on H(S|T), of every message that meets the budget; with ``by="beta"``
        of every message whose rate is at most the point's.
    slope : (K,) array
        α of a tangent α I(X;T) + H(S|T) ≥ Λ that proves the bound: −dH(S|T)/dI(X;T), 1/β.
    units, tol, problem, relevant
        Of rates and losses, the gap asked for, the problem, and H(S).

    Examples
    --------
    >>> import drcopt
    >>> curve = drcopt.information_bottleneck([[1, 0, 1], [0, 0, 1], [0, 1, 1]], R=[0.4, 0.8, 1.2])
    >>> curve.relevance.round(5).tolist(), bool(curve.gap.max() < 1e-6)
    ([0.2, 0.4, 0.51209], True)
    >>> curve[1].status, bool(curve[1].rate <= 0.8)
    ('optimal', True)
    """

    by: By
    asked: FloatArray
    budget: FloatArray
    rate: FloatArray
    classification_loss: FloatArray
    lower_bound: FloatArray
    slope: FloatArray
    units: words.Units
    tol: float
    relevant: float
    problem: Problem
    couplings: tuple[FloatArray, ...]
    planes: FloatArray
    seconds: float

    @property
    def relevance(self) -> FloatArray:
        """I(S;T) of the points, in ``units``."""
        return check.freeze(self.relevant - self.classification_loss)

    @property
    def gap(self) -> FloatArray:
        """What the points have above the bound, in ``units``."""
        value = self.rate if self.by == "C" else self.classification_loss
        met = np.isfinite(self.lower_bound)
        return check.freeze(np.where(met, value - np.where(met, self.lower_bound, 0.0), math.nan))

    @property
    def status(self) -> list[str]:
        """Of each point, as :class:`Solution` has it."""
        words = {True: "optimal", False: "feasible"}
        return [
            "infeasible" if b == math.inf else words[bool(g <= self.tol)]
            for g, b in zip(self.gap, self.lower_bound, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.asked)

    def __iter__(self) -> Iterator[Solution]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i: int) -> Solution:
        """The point as a solution with its certificate, judged by itself when it is asked for."""
        i = range(len(self))[i]
        session = _session(self.problem, self.units, self.tol)
        objective, limit = (
            (RATE, {"C": self.budget[i]}) if self.by == "C" else (CLASSIFICATION_LOSS, {"R": self.budget[i]})
        )
        P, alpha, f = self.couplings[i], float(self.slope[i]), self.planes[i]
        if not P.size:
            return of_messages(session.ask(objective, **limit, on_failure="return"), self.problem)
        proposal = Proposal(
            [Part(1.0, P, letters=np.zeros(P.shape[1], dtype=np.intp))],
            (PosteriorTree(Leaf(f, alpha, 1.0, 0.0)),) if f.any() else (),
            "a tangent of the curve proves the bound",
            rate_multiplier=alpha,
            classification_multiplier=1.0 / alpha if alpha > 0.0 else math.inf,
            stats={"points of the curve": len(self)},
        )
        return of_messages(session.judged(objective, proposal, "bottleneck-curve", **limit), self.problem)

    def frame(self) -> pd.DataFrame:
        """A row for each point: what was asked, I(X;T), H(S|T), I(S;T), the bound, the gap, the slope, the status.

        Examples
        --------
        >>> import drcopt
        >>> drcopt.information_bottleneck([[1, 0, 1], [0, 0, 1], [0, 1, 1]], R=[0.4, 0.8]).frame()["R"].tolist()
        [0.4, 0.8]
        """
        import pandas as pd

        names = ("rate", "classification_loss", "relevance", "lower_bound", "gap", "slope", "status")
        return pd.DataFrame({self.by: self.asked} | {name: getattr(self, name) for name in names})


def curve(
    problem: Problem, by: By, asked: FloatArray, units: words.Units, tol: float, time_limit: float | None
) -> BottleneckCurve:
    """Points of the curve at these rates, losses or slopes 1/β; ``problem`` has d = 0 on one letter of Y."""
    started = clock.now()
    session = _session(problem, units, tol)
    question = session.question(CLASSIFICATION_LOSS)
    unit = information.NATS_PER[units]
    with clock.until(started + (time_limit or math.inf)):
        pool = _Pool(question, tol * unit, by == "C")
        if by == "beta":
            with np.errstate(divide="ignore"):
                found = pool.touched(1.0 / asked)
        else:
            found = pool.within("RC".index(by), asked * unit)
    rates, losses, lower, couplings = found.rate.copy(), found.loss.copy(), found.lower.copy(), found.couplings
    for i in np.flatnonzero((losses > asked * unit - _CLEAR) & (by == "C")):  # the loss that is left, to rounding
        alone = session.ask(RATE, C=float(asked[i]), on_failure="return")
        rates[i], losses[i], lower[i] = alone.rate * unit, alone.classification_loss * unit, alone.lower_bound * unit
        couplings[i] = couplings[i][:, :0]
    return BottleneckCurve(
        by=by,
        asked=check.freeze(asked),
        budget=found.most / unit * (1.0 + _UNIT) if by == "beta" else asked,
        rate=rates / unit,
        classification_loss=losses / unit,
        lower_bound=lower / unit * (1.0 - _UNIT),
        slope=found.slope,
        units=units,
        tol=tol,
        relevant=question.problem.entropy_s / unit,
        problem=problem,
        couplings=tuple(couplings),
        planes=found.planes,
        seconds=clock.now() - started,
    )


def of_messages(found: Solution, problem: Problem) -> Solution:
    """An answer about messages as one about couplings of X and T, whose letters are those of the message."""
    if found.message is None:
        return found
    message = replace(found.message, letters=np.arange(len(found.message.weights)))
    coupling = (message.weights[:, None] * message.posteriors).T
    labels = {a: v for a in "xs" if (v := getattr(problem.labels, a)) is not None}
    wide = Problem(problem.px, None, problem.ps_given_x, np.zeros(coupling.shape), labels=labels, name=problem.name)
    return replace(found, coupling=coupling, message=message, problem=wide)


def _session(problem: Problem, units: words.Units, tol: float) -> LawSession:
    return LawSession(problem, law=Free(), perception=None, classifier_sees="message", units=units, tol=tol)


@dataclass(frozen=True, eq=False)
class _Found:
    """Points (K,): couplings, rates, losses, what rates may come to; bounds, with slopes and planes behind them."""

    couplings: list[FloatArray]
    rate: FloatArray
    loss: FloatArray
    most: FloatArray
    lower: FloatArray
    slope: FloatArray
    planes: FloatArray


class _Pool:
    """Points of one curve and half-spaces α I + H(S|T) ≥ Λ of all of it, in nats."""

    def __init__(self, question: Question, tol: float, by_loss: bool = False) -> None:
        problem = question.problem
        self.question, self.tol, self.px, self.W = question, tol, problem.px, problem.ps_given_x
        self.columns, self.by_loss = spread(problem.n, self.px), by_loss
        floors = DataProcessing().pieces(question)
        n = problem.n
        #: Half-spaces: what needs no plane has none.
        self.alpha, self.level = (
            np.array([values[i] for values in v])
            for i, v in ((1, [p.weights for p in floors]), (0, [(p.level,) for p in floors]))
        )
        self.f = np.zeros((len(floors), n))
        #: Points, the ends of the curve first: nothing of X, and all of it.
        ends = np.zeros((2, n, n + 1))
        ends[0, :, 0], ends[1, :, :n] = self.px, np.diag(self.px)
        self.P, self.rate, self.loss, self.most = spent(question, ends)
        self.rate[0] = self.most[0] = 0.0

    def add(self, at: Touching, judged: bool = True) -> tuple[np.ndarray, FloatArray]:
        """Take in points and, ``judged``, their tangents: where those points are among all, and the levels (K,)."""
        P = np.swapaxes(at.weights[:, :, None] * at.p, 1, 2)
        sound = np.isfinite(P).all(axis=(1, 2)) & (P.sum(axis=2) > 0.0).all(axis=1)
        P = np.where(sound[:, None, None], np.maximum(P, 0.0), self.P[0])
        found = spent(self.question, P)
        index = len(self.rate) + np.arange(len(P))
        self.P, self.rate, self.loss, self.most = (
            np.concatenate([a, b]) for a, b in zip((self.P, self.rate, self.loss, self.most), found, strict=True)
        )
        below = np.full(len(P), -math.inf)
        if judged:
            f = np.where(np.isfinite(at.f), at.f, 0.0)
            rows, j = np.nonzero(at.weights > 0.0)
            sharp = max(_SHARE * self.tol * (float(at.alpha.min()) if self.by_loss else 1.0), _SHARPEST)
            below, y, p = levels(self.question, at.alpha, f, (rows, at.p[rows, j]), sharp)
            self.alpha, self.level = np.append(self.alpha, at.alpha), np.append(self.level, below)
            self.f = np.vstack([self.f, f])
            wrong = found[1] * at.alpha + found[2] - below > 2.0 * sharp
            if wrong.any():
                self.columns = np.vstack([self.columns, p[wrong[y]]])
        return index, below

    # -- at slopes ---------------------------------------------------------------------------------------------

    def touched(self, alpha: FloatArray) -> _Found:
        """Points of the least α I + H(S|T): where the curve has these slopes."""
        place = np.zeros(len(alpha), dtype=np.intp)  # nothing of X, where no message tells enough of S
        entropy = self.question.problem.entropy_x
        left = np.flatnonzero((self.alpha[1] - alpha) * entropy > self.tol)
        place[left[alpha[left] < _FLAT * self.alpha[1]]] = 1
        left = left[alpha[left] >= _FLAT * self.alpha[1]]
        for _ in range(_ROUNDS):
            if not len(left) or clock.expired():
                break
            index, below = self.add(at_slopes(self.px, self.W, alpha[left], self.columns))
            value = alpha[left] * self.rate[index] + self.loss[index]
            old = alpha[left] * self.rate[place[left]] + self.loss[place[left]]
            place[left] = np.where((value < old) | (place[left] == 0), index, place[left])
            left = left[~(value - below <= self.tol)]
        lower, best = self.bounds(0, self.most[place])
        own = self.level - np.multiply.outer(self.most[place], self.alpha)  # what other tangents add is rounding
        own = np.where(self.alpha == np.minimum(alpha, self.alpha[1])[:, None], own, -math.inf)
        best = np.where(own.max(axis=1) >= lower - self.tol, own.argmax(axis=1), best)
        lower = np.minimum(lower, self.loss[place])
        return _Found(
            [_slim(self.P[i]) for i in place], self.rate[place], self.loss[place], self.most[place], lower,
            self.alpha[best], self.f[best],
        )  # fmt: skip

    # -- within budgets ----------------------------------------------------------------------------------------

    def within(self, place: int, limits: FloatArray) -> _Found:
        """The least loss at rates (place 0), or the least rate at losses (1)."""
        aims = limits - np.minimum(_INSIDE, 1e-3 * limits)
        alpha = self.alpha[1] * np.geomspace(0.98, _LEAST, _SLOPES)
        if self.alpha[1] <= _NONE:  # S is independent of X
            return self.answers(place, aims, limits)
        first = at_slopes(self.px, self.W, alpha, self.columns)
        start, _ = self.add(first, judged=False)
        spends = (self.rate, self.loss)[place]
        found = self.answers(place, aims, limits)  # a straight part needs no points of its own
        settled = (found.rate if place else found.loss) - found.lower <= self.tol
        inner = np.flatnonzero(~settled & (aims > spends[:2].min()) & (aims < spends[:2].max()))
        two = np.abs(spends[start][None, :] - aims[inner, None]).argsort(axis=1, kind="stable")[:, :2]
        atoms = (first.weights > 0.0).sum(axis=1)[two]
        near = two[np.arange(len(inner)), atoms.argmax(axis=1)]  # atoms leave more easily than they come
        if len(inner):
            at, missed = newton(self.px, self.W, first.take(near), place, aims[inner])
            good = np.flatnonzero((missed <= _MISSED) & (at.alpha < self.alpha[1]) & (at.alpha > _FLAT * self.alpha[1]))
            if len(good):
                self.add(at.take(good))
        for _ in range(_ROUNDS):
            found = self.answers(place, aims, limits)
            value = found.rate if place else found.loss
            open_ = np.flatnonzero(~(value - found.lower <= self.tol))
            if not len(open_) or clock.expired():
                break
            slopes = np.unique(self.chords(place, aims[open_])[2])
            slopes = slopes[(slopes > _FLAT * self.alpha[1]) & (slopes < self.alpha[1])]
            if not len(slopes):
                break
            self.add(at_slopes(self.px, self.W, slopes, self.columns))
        return found

    def bounds(self, place: int, limits: FloatArray) -> tuple[FloatArray, np.ndarray]:
        """What half-spaces say of the loss at rates, or of the rate at losses, and the best of them."""
        paid = limits[:, None] * (self.alpha if place == 0 else 1.0)
        rest = self.level - paid - _UNIT * (np.abs(self.level) + np.abs(paid))
        if place == 1:
            with np.errstate(all="ignore"):
                rest = np.where(self.alpha > 0.0, rest / self.alpha, np.where(rest > 0.0, math.inf, -math.inf))
            rest = rest - _UNIT * np.where(np.isfinite(rest), np.abs(rest), 0.0)
        best = rest.argmax(axis=1)
        return np.maximum(rest[np.arange(len(limits)), best], 0.0), best

    def chords(self, place: int, aims: FloatArray) -> tuple[np.ndarray, np.ndarray, FloatArray, FloatArray]:
        """Neighbours on the lower hull of the points, left and right of aims; slopes there, the right ones' shares."""
        order = np.lexsort((self.loss, self.rate))
        hull: list[int] = []
        x, y = self.rate, self.loss
        for i in order.tolist():
            while hull and (
                x[i] <= x[hull[-1]]
                or (
                    len(hull) > 1
                    and (y[hull[-1]] - y[hull[-2]]) * (x[i] - x[hull[-2]])
                    >= (y[i] - y[hull[-2]]) * (x[hull[-1]] - x[hull[-2]])
                )
            ):
                if x[i] <= x[hull[-1]]:
                    break
                hull.pop()
            if not hull or (x[i] > x[hull[-1]] and y[i] < y[hull[-1]]):
                hull.append(i)
        at = np.array(hull)
        along = x[at] if place == 0 else -y[at]
        goal = aims if place == 0 else -aims
        if len(at) == 1:
            none = np.zeros(len(aims), dtype=np.intp)
            return at[none], at[none], np.zeros(len(aims)), np.zeros(len(aims))
        right = np.clip(np.searchsorted(along, goal), 1, len(at) - 1)
        a, b = at[right - 1], at[right]
        slope = (y[a] - y[b]) / (x[b] - x[a])
        share = np.clip((goal - along[right - 1]) / (along[right] - along[right - 1]), 0.0, 1.0)
        return a, b, slope, share

    def answers(self, place: int, aims: FloatArray, limits: FloatArray) -> _Found:
        """Mixtures of neighbours that meet the limits, and the bounds there."""
        a, b, _, share = self.chords(place, aims)
        P = np.concatenate([(1.0 - share)[:, None, None] * self.P[a], share[:, None, None] * self.P[b]], axis=2)
        P, rate, loss, most = spent(self.question, P)
        lower, best = self.bounds(place, limits)
        if place == 0:  # nothing of X has rate 0 exactly
            over = np.flatnonzero((most > limits * (1.0 - _UNIT)) & ~((b == 1) & (share == 1.0) & (limits >= most)))
            P[over] = 0.0
            P[over, :, 0], rate[over], loss[over], most[over] = self.px, 0.0, self.loss[0], 0.0
            lower = np.minimum(lower, loss)
        else:
            lower = np.minimum(lower, rate)
        return _Found([_slim(p) for p in P], rate, loss, most, lower, self.alpha[best], self.f[best])


def _slim(P: FloatArray) -> FloatArray:
    """Without letters of no mass, and with those of one posterior as one."""
    P = P[:, P.sum(axis=0) > 0.0]
    posteriors = P / P.sum(axis=0)
    near = np.abs(posteriors[:, :, None] - posteriors[:, None, :]).sum(axis=0) <= _ALIKE
    first = near.argmax(axis=0)
    return np.asarray(P @ (first[:, None] == np.unique(first)).astype(np.float64))
