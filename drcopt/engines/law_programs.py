"""Local optima over couplings whose law of Y is free or near a target: sequential quadratic programs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import entr

from drcopt.engines.base import Limits
from drcopt.formulations import Part, Question, SingleLetter
from drcopt.problem import Problem
from drcopt.questions.divergences import KINDS
from drcopt.questions.output import Near
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Unknowns that a sequential quadratic program may have.
FEW = 150
#: Concentrations of the random p(y|x) that programs start from.
_SPREADS = (0.3, 1.0, 0.1)
#: How far within its limits a program aims (nats and units of d), so that rounding keeps its answer there; and the
#: least entry, where logarithms are finite.
_ROOM, _LEAST = 3e-11, 1e-14


@dataclass(frozen=True, eq=False)
class Here:
    """A coupling of unknowns v, clear of 0 where logarithms are taken: its law, p(s, y), and what it spends."""

    v: FloatArray
    Q: FloatArray
    law: FloatArray
    T: list[FloatArray]
    spent: tuple[float, ...]
    problem: Problem

    @classmethod
    def of(cls, problem: Problem, v: FloatArray, size: int) -> Here:
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


def all_over(problem: Problem) -> Iterator[FloatArray]:
    """Endlessly many couplings to start from: one of little E d, and random ones."""
    rng = np.random.default_rng(0)
    near = np.where(np.arange(problem.m) == problem.d.argmin(axis=1)[:, None], 1.0, 0.0)
    i = 0
    while True:
        guess = rng.dirichlet(np.full(problem.m, _SPREADS[i % len(_SPREADS)]), size=problem.n)
        yield (0.7 * near + 0.3 * guess if i % 4 == 0 else guess) * problem.px[:, None]
        i += 1


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
        self._here: Here | None = None
        cells = np.ones((n, m)) if allowed is None else allowed
        if near is not None and near.confined:
            cells = cells * (near.target > 0)
        self.most = np.concatenate([cells.ravel(), np.full(more, np.inf)])

    @staticmethod
    def _inside(budget: float) -> float:
        return budget - min(_ROOM, 1e-3 * budget)

    def _at(self, v: FloatArray) -> Here:
        """What there is to know of unknowns v, kept for the calls that follow."""
        if self._here is None or not np.array_equal(self._here.v, v):
            self._here = Here.of(self.problem, v.copy(), self.size)
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
    if question.problem.d.size > FEW or not isinstance(question.laws, Near):
        return None
    program, others = Nearest(question, budgets), itertools.islice(all_over(question.problem), starts)
    best, least = None, math.inf
    for start in others if P is None else itertools.chain([P], others):
        Q = program.run(start, limits)
        if Q is None or any(v > b for v, b in zip(question.values([Part(1.0, Q)]), budgets, strict=True)):
            continue
        if (now := question.laws.divergence(Q.sum(axis=0))) < least:
            best, least = Q, now
    return best
