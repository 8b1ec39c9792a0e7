"""Points where Y has no given law: local optima from many starts, and the best of what comes of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import entr

from drcopt.engines.base import Limits
from drcopt.engines.inverse_points import InversePoints
from drcopt.engines.law_descent import LawDescent
from drcopt.engines.points import Points
from drcopt.engines.search import Search
from drcopt.formulations import Part, Question, SingleLetter
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, QUANTITIES
from drcopt.questions.divergences import KINDS
from drcopt.questions.output import Near
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Mass that an interior-point method gives to a letter or an atom without any.
_NOISE = 1e-9
#: Unknowns that a sequential quadratic program may have.
FEW = 150
#: Starts before anything is proved, where the root leaves a gap, and one for so many nodes later; the concentrations of
#: their random p(y|x); and the share of the time that they may take.
_FIRST, _MORE, _SELDOM, _SPREADS, _SHARE = 5, 12, 8, (0.3, 1.0, 0.1), 0.3
#: How far within its limits a program aims (nats and units of d), so that rounding keeps its answer there; and the
#: least entry, where logarithms are finite.
_ROOM, _LEAST = 3e-11, 1e-14
#: How far inside the limit on H(S|Y) points of a given law aim, in nats.
_WITHIN = 1e-13
#: What C may have beyond H(S|X) and count as equal to it, in nats; the weight of the loss there.
_EDGE, _LARGE = 1e-12, 1e2
#: What counts as mass where multipliers are read off a coupling, and how near a limit binds, relative.
_MASS, _SLACK = 1e-7, 1e-5


def admissible(question: Question, law: FloatArray) -> FloatArray:
    """A law of the set, without what is noise."""
    law = np.where(law > _NOISE * law.max(), law, 0.0)
    law = law / law.sum()
    return question.laws.inside(law) if isinstance(question.laws, Near) else law


def wide(P: FloatArray, some: np.ndarray) -> FloatArray:
    """A coupling on some of the letters as one on all of them."""
    full = np.zeros((len(P), len(some)))
    full[:, some] = P
    return full


@dataclass(frozen=True, eq=False)
class _Here:
    """A coupling of unknowns v, clear of 0 where logarithms are taken: its law, p(s, y), and what it spends."""

    v: FloatArray
    Q: FloatArray
    law: FloatArray
    T: list[FloatArray]
    spent: tuple[float, ...]
    problem: Problem

    @classmethod
    def of(cls, problem: Problem, v: FloatArray, size: int) -> _Here:
        Q = np.maximum(v[:size], _LEAST).reshape(problem.n, problem.m)
        rows, law, T = Q.sum(axis=1), Q.sum(axis=0), [W.T @ Q for W in _channels(problem)]
        entropy = float(entr(law).sum())
        rate = float(entr(rows).sum()) + entropy - float(entr(Q).sum())
        losses = (float(entr(each).sum()) - entropy for each in T)
        return cls(v, Q, law, T, (float(np.vdot(problem.d, Q)), rate, *losses), problem)

    def slope(self, place: int) -> FloatArray:
        """∂ of a quantity by the coupling, raveled."""
        if place == 0:
            return np.ravel(self.problem.d)
        if place == 1:
            return np.ravel(np.log(self.Q / self.Q.sum(axis=1)[:, None]) - np.log(self.law))
        return np.ravel(-_channels(self.problem)[place - 2] @ np.log(self.T[place - 2] / self.law))


def _channels(problem: Problem) -> list[FloatArray]:
    """p(s|x) of every class."""
    return [problem.ps_given_x] if problem.classes is None else [*problem.classes.values()]


def kinds(W: FloatArray) -> FloatArray:
    """Which letters of X have equal rows of W, a column of ones and zeros for each kind, shape (n, kinds)."""
    same = np.abs(W[:, None] - W[None]).max(axis=2) <= _EDGE
    return np.asarray(np.unique(same, axis=0).T, dtype=np.float64)


def apart(kinds: FloatArray, P: FloatArray) -> FloatArray | None:
    """Cells that leave every letter of Y one kind of letters of X, that which sends it most, and no kind out.

    None where there are more kinds than letters.
    """
    shares = kinds.T @ P
    if len(shares) > P.shape[1]:
        return None
    of = shares.argmax(axis=0)
    for kind in range(len(shares)):
        if not (of == kind).any():
            spare = np.flatnonzero(np.bincount(of, minlength=len(shares))[of] > 1)
            of[spare[shares[kind, spare].argmax()]] = kind
    return np.asarray(kinds[:, of])


class Program:
    """min of one quantity over p(y|x) within limits on the others and on the law of Y, by quadratic programs in a row.

    Unknown are the coupling, shape (n, m), which is 0 where ``allowed`` (n, m) is 0 and not 1, and where a divergence
    has kinks what it is the least sum of: |q − t| for "tv", a way to move q to t for "wasserstein".
    """

    def __init__(self, question: Question, allowed: FloatArray | None = None) -> None:
        problem = self.problem = question.problem
        self.question, self.near = question, question.laws if isinstance(question.laws, Near) else None
        n, m = problem.n, problem.m
        self.limited = [i for i, (b, most) in enumerate(zip(question.budgets, question.most, strict=True)) if b < most]
        self.size = n * m
        rows, columns = np.kron(np.eye(n), np.ones(m)), np.tile(np.eye(m), n)
        equal, goals = [rows], [problem.px]
        above: list[FloatArray] = []
        least: list[FloatArray] = []
        kind, near = "" if self.near is None else self.near.kind, self.near
        more = {"tv": m, "wasserstein": m * m}.get(kind, 0)
        if near is not None and kind == "tv":
            above = [
                np.hstack([-columns, np.eye(m)]),
                np.hstack([columns, np.eye(m)]),
                np.append(np.zeros(n * m), -np.ones(m))[None],
            ]
            least = [-near.target, near.target, np.array([-2.0 * self._inside(near.budget)])]
        if near is not None and kind == "wasserstein":
            assert near.ground is not None
            out, into = np.kron(np.eye(m), np.ones(m)), np.tile(np.eye(m), m)
            equal += [np.hstack([-columns, out]), np.hstack([np.zeros((m, n * m)), into])[:-1]]
            goals += [np.zeros(m), near.target[:-1]]
            above = [np.append(np.zeros(n * m), -near.ground.ravel())[None]]
            least = [np.array([-self._inside(near.budget)])]
        self.equal = np.vstack([np.pad(A, ((0, 0), (0, n * m + more - A.shape[1]))) for A in equal])
        self.goals = np.concatenate(goals)
        self.above = np.vstack([np.zeros((0, n * m + more)), *above])
        self.least = np.concatenate([np.zeros(0), *least])
        self.aims = [self._inside(b) for b in question.budgets]
        self._slope = None if near is None else KINDS[near.kind].slope
        self._here: _Here | None = None
        cells = np.ones((n, m)) if allowed is None else allowed
        if near is not None and near.confined:
            cells = cells * (near.target > 0)
        self.most = np.concatenate([cells.ravel(), np.full(more, np.inf)])

    @staticmethod
    def _inside(budget: float) -> float:
        return budget - min(_ROOM, 1e-3 * budget)

    def _at(self, v: FloatArray) -> _Here:
        """What there is to know of unknowns v, kept for the calls that follow."""
        if self._here is None or not np.array_equal(self._here.v, v):
            self._here = _Here.of(self.problem, v.copy(), self.size)
        return self._here

    def value(self, v: FloatArray) -> float:
        """What is minimised."""
        return self._at(v).spent[self.question.objective.place]

    def rise(self, v: FloatArray) -> FloatArray:
        """∂ value / ∂ v."""
        rise = np.zeros(len(v))
        rise[: self.size] = self._at(v).slope(self.question.objective.place)
        return rise

    def values(self, v: FloatArray) -> FloatArray:
        """What is left of every limit, not below 0 where they are met."""
        here = self._at(v)
        left = [self.aims[i] - here.spent[i] for i in self.limited]
        if self._slope is not None and self.near is not None:
            left.append(self._inside(self.near.budget) - self.near.divergence(here.law))
        return np.concatenate([left, self.above @ v - self.least])

    def slopes(self, v: FloatArray) -> FloatArray:
        """∂ values / ∂ v."""
        here = self._at(v)
        rows = np.zeros((len(self.limited) + (self._slope is not None) + len(self.above), len(v)))
        for row, i in enumerate(self.limited):
            rows[row, : self.size] = -here.slope(i)
        if self._slope is not None and self.near is not None:
            rows[len(self.limited), : self.size] = np.tile(-self._slope(self.near, here.law), self.problem.n)
        rows[len(rows) - len(self.above) :] = self.above
        return rows

    def run(self, P: FloatArray, limits: Limits) -> FloatArray | None:
        """A local optimum near P, to the method's tolerance; None if it fails."""
        problem = self.problem
        start = np.minimum(np.maximum(P, 1e-9).ravel(), self.most[: self.size])
        if self.near is not None and len(self.most) > self.size:
            law = start.reshape(P.shape).sum(axis=0)
            rest = np.abs(law - self.near.target) if self.near.kind == "tv" else self.near.plan(law / law.sum()).ravel()
            start = np.concatenate([start, rest])
        constraints: list[dict[str, Any]] = [
            {"type": "eq", "fun": lambda v: self.equal @ v - self.goals, "jac": lambda v: self.equal}
        ]
        if self.limited or self.near is not None:
            constraints.append({"type": "ineq", "fun": self.values, "jac": self.slopes})

        def value(v: FloatArray) -> float:
            if limits.expired or clock.expired():
                raise clock.TimeIsUp
            return self.value(v)

        try:
            with np.errstate(all="ignore"):
                answer = minimize(
                    value, start, jac=self.rise, method="SLSQP", bounds=[(0.0, most) for most in self.most],
                    constraints=constraints, options={"maxiter": 400, "ftol": 1e-12},
                )  # fmt: skip
        except (ValueError, FloatingPointError, clock.TimeIsUp):
            return None
        Q = np.maximum(answer.x[: self.size].reshape(P.shape), 0.0)
        if not np.isfinite(Q).all() or not Q.sum(axis=1).all():
            return None
        return np.asarray(Q * (problem.px / Q.sum(axis=1))[:, None])


class Nearest(Program):
    """min φ(pY, t) over p(y|x) within limits on all three quantities."""

    def __init__(self, question: SingleLetter, limits: tuple[float, ...]) -> None:
        super().__init__(question)
        assert self.near is not None
        self.limited = [i for i, (b, most) in enumerate(zip(limits, question.most, strict=True)) if b < most]
        self.aims = [self._inside(b) for b in limits]
        self._steep, self._slope = self._slope, None
        self._last = np.zeros(len(self.most))
        if self._steep is None:  # the last row is the ball's
            self._last, self.above, self.least = -self.above[-1], self.above[:-1], self.least[:-1]

    def value(self, v: FloatArray) -> float:
        assert self.near is not None
        return float(self._last @ v) if self._steep is None else self.near.divergence(self._at(v).law)

    def rise(self, v: FloatArray) -> FloatArray:
        assert self.near is not None
        if self._steep is None:
            return self._last
        return np.tile(self._steep(self.near, self._at(v).law), self.problem.n)


def nearest(
    question: SingleLetter, budgets: tuple[float, ...], P: FloatArray | None, starts: int, limits: Limits
) -> FloatArray | None:
    """The coupling nearest to the target of the question's ball in which quadratic programs end; None if none does.

    They begin at P, if there is one, and all over; within budgets on all three quantities, whatever is minimised.
    """
    if question.problem.d.size > _FEW or not isinstance(question.laws, Near):
        return None
    points, program = LawPoints(question, limits), Nearest(question, budgets)
    others = itertools.islice(points.all_over(), starts)
    best, least = None, math.inf
    for start in others if P is None else itertools.chain([P], others):
        Q = program.run(start, limits)
        if Q is None or any(v > b for v, b in zip(question.values([Part(1.0, Q)]), budgets, strict=True)):
            continue
        if (now := question.laws.divergence(Q.sum(axis=0))) < least:
            best, least = Q, now
    return best


class LawPoints:
    """The best coupling within a question's limits that was met, whatever its law of Y."""

    def __init__(self, question: SingleLetter, limits: Limits) -> None:
        self.question, self.limits = question, limits
        self.best: FloatArray | None = None
        self.value = math.inf
        self.descents = 0
        self.search: Search | None = None
        self._tried: list[FloatArray] = []
        self._program: Program | LawDescent | None = None
        if question.problem.d.size <= FEW:
            self._program = Program(question)
        elif question.problem.classes is None:
            self._program = LawDescent(question)
        self._starts, self._explored = self.all_over(), 0
        self._begun, self._exploring = clock.now(), 0.0
        problem = question.problem
        self._kinds = None
        if question.classification_budget <= problem.entropy_s_given_x + _EDGE:
            self._kinds = kinds(problem.ps_given_x)

    def all_over(self) -> Iterator[FloatArray]:
        """Endlessly many couplings to start from: one of little E d, and random ones."""
        problem, rng = self.question.problem, np.random.default_rng(0)
        near = np.where(np.arange(problem.m) == problem.d.argmin(axis=1)[:, None], 1.0, 0.0)
        i = 0
        while True:
            guess = rng.dirichlet(np.full(problem.m, _SPREADS[i % len(_SPREADS)]), size=problem.n)
            yield (0.7 * near + 0.3 * guess if i % 4 == 0 else guess) * problem.px[:, None]
            i += 1

    def explore(self, starts: int = _FIRST) -> None:
        """From so many more couplings from all over."""
        for _ in range(starts):
            started = clock.now()
            if self._program is None or self.limits.expired or clock.expired():
                return
            if math.isfinite(end := self.limits.deadline) and self._exploring > _SHARE * (end - self._begun):
                return
            self._explored += 1
            self._local(next(self._starts))
            self._exploring += clock.now() - started
            if isinstance(self._program, LawDescent) and self._explored > 1 and self.best is None:
                return  # such descents cost more, and where two find nothing there may be nothing

    def improve(self, P: FloatArray, z: FloatArray, force: bool) -> None:
        """From a node's suggestion unless one like it was tried; from all over where a gap stays open."""
        nodes = 0 if self.search is None else self.search.nodes
        if nodes > 1 and self._explored < _FIRST + _MORE + nodes // _SELDOM:
            self.explore(_MORE if self._explored <= _FIRST else 1)
        if self._kinds is not None:
            self._apart(P)
            return
        tau = self.question.problem.ps_given_x.T @ P
        if not force and any(np.abs(tau - other).sum() < 1e-4 for other in self._tried):
            return
        self._tried.append(tau)
        if not self._local(P) or isinstance(self._program, LawDescent):
            self._polish(P, z)

    def multipliers(self) -> FloatArray:
        """z = (f, w, α, β) with w d + α log(P/px q) + β ℓ = f + g where the best point has mass, by least squares."""
        question, problem = self.question, self.question.problem
        if self.best is None:
            return np.concatenate([problem.d.min(axis=1), [1.0, 0.3, 0.1]])
        x, y = np.nonzero(self.best > _MASS)
        place, here = question.objective.place, _Here.of(problem, self.best.ravel(), self.best.size)
        forms = [here.slope(q.place).reshape(self.best.shape)[x, y] for q in QUANTITIES]
        spent = question.values([Part(1.0, self.best)])
        limits = zip(spent, question.budgets, question.most, strict=True)
        binding = [i for i, (v, b, most) in enumerate(limits) if b < most and v >= b * (1.0 - _SLACK) - 1e-9]
        given, held = forms[place], 0.0
        if self._kinds is not None:  # C has no multiplier, but any that is large enough
            held = _LARGE
            given, binding = given + held * forms[-1], [i for i in binding if i != CLASSIFICATION_LOSS.place]
        letters = (
            [np.eye(problem.m)[y]] if isinstance(question.laws, Near) else []
        )  # of a free law all are worth the same
        while True:
            free = [np.eye(problem.n)[x], *(-forms[i][:, None] for i in binding), *letters]
            answer = np.linalg.lstsq(np.hstack(free), given, rcond=None)[0]
            weights = answer[problem.n : problem.n + len(binding)]
            if not binding or weights.min() >= 0.0:
                break
            binding.pop(int(weights.argmin()))
        z = np.concatenate([answer[: problem.n], np.zeros(2), [held]])
        z[problem.n + place] = 1.0
        z[[problem.n + i for i in binding]] = weights
        return z

    def _local(self, P: FloatArray) -> bool:
        """Whether a sequential quadratic program from P ends within the limits, or near enough to be brought there."""
        if self._kinds is not None:
            return self._apart(P)
        Q = None if self._program is None else self._program.run(P, self.limits)
        if Q is None:
            return False
        self.descents += 1
        if self._kept(Q):
            if isinstance(self._program, LawDescent) and self.best is Q:
                self._polish(Q, self.multipliers())
            return True
        place = self.question.objective.place
        if self.question.values([Part(1.0, Q)])[place] >= self.value:
            return False
        self._polish(Q, self.multipliers())
        return True

    def _apart(self, P: FloatArray) -> bool:
        """The same where C is H(S|X): a letter of Y takes letters of X of one kind, whichever sends it most."""
        assert self._kinds is not None
        if self._program is None or (cells := apart(self._kinds, P)) is None:
            return True
        if any(np.array_equal(cells, other) for other in self._tried):
            return True
        self._tried.append(cells)
        self.descents += 1
        problem, free = self.question.problem, replace(self.question, classification_budget=math.inf)
        # Of least rate, which may be all that there is: one letter for each kind.
        cost = self._kinds.T @ (problem.px[:, None] * problem.d)
        cost[(self._kinds.T @ cells) == 0.0] = math.inf
        self._kept((self._kinds @ (np.arange(problem.m) == cost.argmin(axis=1)[:, None])) * problem.px[:, None])
        start = P * cells + 1e-3 * cells
        Q = Program(free, cells).run(start * (problem.px / start.sum(axis=1))[:, None], self.limits)
        if Q is not None:
            self._kept(Q)
        return True

    def _kept(self, P: FloatArray) -> bool:
        """Whether P meets the limits as it is; it is kept if it is better."""
        question = self.question
        spent = question.values([Part(1.0, P)])
        room = _WITHIN if self._kinds is None else -_EDGE
        if any(v > b - room for v, b in zip(spent, question.budgets, strict=True)):
            return False
        law = P.sum(axis=0)
        if isinstance(question.laws, Near) and question.laws.share(law) > 0.0:
            return False
        self.keep(P)
        return True

    def keep(self, P: FloatArray) -> None:
        """Take P, which is as near its limits as it will be, for the best point if its value is less."""
        value = self.question.values([Part(1.0, P)])[self.question.objective.place]
        if value < self.value:
            self.best, self.value = P, value
            if self.search is not None:
                self.search.upper = value

    def _polish(self, P: FloatArray, z: FloatArray) -> None:
        """Descents from P with its law of Y, or one near it that is admissible."""
        question, law = self.question, P.sum(axis=0)
        if not law.sum() > 0:
            return
        self.descents += 1
        law = admissible(question, law)
        fixed, some = question.at(law), law > 0
        if fixed.problem.m == 1:
            found: FloatArray | None = fixed.problem.independent
            if question.classification_budget < fixed.problem.entropy_s:
                return
        else:
            within = replace(fixed, classification_budget=fixed.classification_budget - _WITHIN)
            found = _polished(within, P[:, some], z, self.limits)
            if found is None and self.best is None:
                found = _polished(fixed, P[:, some], z, self.limits)
        if found is not None:
            self.keep(wide(found, some))


def _polished(fixed: SingleLetter, P: FloatArray, z: FloatArray, limits: Limits) -> FloatArray | None:
    """A coupling within the limits near P, with its law of Y; None if none is found."""
    if fixed.objective is DISTORTION:
        points = Points(fixed, limits)
        points.try_from(P, z)
        return None if points.best is None else points.best.P
    inverse = InversePoints(fixed, limits)
    inverse.try_from(P)
    return None if inverse.best is None else inverse.best.P
