"""Time-sharing where Y may have one of several laws: the parts any, their average one of those.

Columns are couplings of any law, so that the pricing problem, at multipliers ν of the average law, is that of a free
law and the costs w d(x, y) − ν(y). Where the law must lie near a target, laws of its ball are columns as well, which
the average has to match. With h(y) = Σ f px + g(y) the tree of a search proves Ψ(h) (:mod:`drcopt.bounds.posterior`),
at least what it found at ν plus Ψ(ν).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from drcopt.bounds import Leaf, PosteriorTree
from drcopt.bounds.posterior import Node
from drcopt.engines.any_law import AnyLaw
from drcopt.engines.ascent import Ascent, ascend
from drcopt.engines.base import Limits, Proposal
from drcopt.engines.columns import Columns, Duals
from drcopt.engines.cuts import leaf
from drcopt.engines.descent import tangent
from drcopt.engines.free_law import FreeLaw
from drcopt.engines.lagrangian import Lagrangian
from drcopt.engines.law_points import LawPoints
from drcopt.engines.search import Search
from drcopt.engines.sharing import Pool, share
from drcopt.engines.starts import penalised
from drcopt.formulations import Part, Question, SingleLetter
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS
from drcopt.questions.output import Free, Near
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Steps of the ascent of the message bound, how much of the gap wanted it may leave, and past what a bound is one too
#: high for any point.
_STEPS, _SHARE, _PAST = 200, 1e-2, 1e-7
#: The share of the time that looking for one coupling may take, and nodes.
_FIRST, _NODES = 0.2, 3
#: Convex-concave steps, and what one must gain (d in [0, 1]).
_DESCENTS, _GAIN = 60, 1e-12
#: Mass of the prior that a law to start from has everywhere.
_EVERYWHERE = 1e-3


class LawSharing:
    """Time-sharing with free laws of Y and laws near a target."""

    name: ClassVar[str] = "any-law"

    def propose(self, question: Question, limits: Limits, warm: Any = None) -> Proposal:
        """See :class:`drcopt.engines.base.Engine`."""
        problem, objective = question.problem, question.objective
        alone = single(question)
        if question.classification_budget >= problem.entropy_s and objective is not CLASSIFICATION_LOSS:
            return AnyLaw().propose(alone, limits, warm)  # convex: nothing is gained by mixing
        lagrangian = Lagrangian.of(question)
        above = question.most[objective.place] * (1.0 + _PAST) + _PAST
        start = np.concatenate([problem.d.min(axis=1), [1.0, 0.3, 0.1]])
        points = LawPoints(alone, limits)
        points.explore()
        if isinstance(warm, dict) and len(warm.get("multipliers", ())) == len(start):
            start = np.asarray(warm["multipliers"])
        elif points.best is not None:
            start = points.multipliers()
        root = ascend(
            lagrangian, start, None, None, target=above, tol=_SHARE * limits.tol, steps=_STEPS, deadline=limits
        )
        found = self._of(question, lagrangian, root, above, points, limits)
        return replace(found, evidence=(PosteriorTree(leaf(root.z)), *found.evidence), warm={"multipliers": root.z})

    def _of(
        self,
        question: Question,
        lagrangian: Lagrangian,
        root: Ascent,
        above: float,
        points: LawPoints,
        limits: Limits,
    ) -> Proposal:
        """The answer, besides what messages prove."""
        if root.bound >= above:
            return Proposal(None, (), "the bound passed its target")
        search = Search(lagrangian, limits, points.improve)
        points.improve(search.coupling(root), root.z, True)
        w, alpha, beta = root.z[-3:].tolist()
        if points.value - root.bound > limits.tol:  # the best coupling alone, which no mixture may do worse than
            some = min(limits.deadline, clock.now() + _FIRST * limits.remaining)
            tried = AnyLaw().propose(single(question), replace(limits, deadline=some, node_limit=_NODES))
            for part in tried.parts or ():
                points.improve(part.coupling, root.z, True)
        if points.best is not None and points.value - root.bound <= limits.tol:
            why = "one coupling does as well as messages"
            return Proposal([Part(1.0, points.best)], (), why, w, alpha, beta, {"descents": points.descents})
        known = [] if points.best is None else [points.best]
        pool = LawPool(question, [], known)
        g = lagrangian.price(root.z, None, _SHARE * limits.tol)[1].lower
        duals = Duals(np.append(0.0, g if pool.near else ()), root.z[-3:][pool.others])
        return share(question, limits, lambda q, met=(): LawPool(q, list(met), known), duals)


def single(question: Question) -> SingleLetter:
    """The same for one coupling."""
    return SingleLetter(
        question.problem,
        question.rate_budget,
        question.classification_budget,
        distortion_budget=question.distortion_budget,
        objective=question.objective,
        laws=question.laws,
    )


@dataclass(eq=False)
class LawPool(Pool):
    """Couplings of any law, and laws that their average may be."""

    #: Couplings that are known to meet the limits.
    known: list[FloatArray] = field(default_factory=list)

    @property
    def near(self) -> Near | None:
        """The ball that the average must lie in, if it must."""
        laws = self.question.laws
        return laws if isinstance(laws, Near) else None

    def rounded(self, P: FloatArray) -> FloatArray:
        P, px = np.maximum(P, 0.0), self.question.problem.px
        rows = P.sum(axis=1)
        return np.asarray(np.where(rows[:, None] > 0, P, 1.0) * (px / np.where(rows > 0, rows, P.shape[1]))[:, None])

    def shares(self, couplings: list[FloatArray]) -> FloatArray:
        """The law as well where it counts; each letter's row then says average = law of the ball."""
        if self.near is None:
            return super().shares(couplings)
        laws = np.array([P.sum(axis=0) for P in couplings]).reshape(-1, self.question.problem.m)
        return np.hstack([np.ones((len(laws), 1)), laws])

    @property
    def targets(self) -> FloatArray:
        return np.append(1.0, np.zeros(self.question.problem.m if self.near else 0))

    def admits(self, P: FloatArray) -> bool:
        return self.near is None or self.near.divergence(P.sum(axis=0)) <= self.near.budget

    def _laws(self, laws: list[FloatArray]) -> Columns:
        """Columns that take a law away."""
        rows = np.array(laws).reshape(-1, self.question.problem.m)
        names = [("law", *np.round(q, 14).tolist()) for q in laws]
        zero = np.zeros((len(rows), 1))
        return Columns(zero[:, 0], np.hstack([zero, -rows]), np.zeros((len(rows), len(self.others))), names)

    def opening(self) -> Columns:
        """Every letter by itself, independent of X, and the target."""
        problem = self.question.problem
        alone = self.columns([np.outer(problem.px, letter) for letter in np.eye(problem.m)])
        return alone if self.near is None else alone.joined(self._laws([self.near.target]))

    def also(self, duals: Duals) -> tuple[float, Columns]:
        if self.near is None:
            return super().also(duals)
        nu = duals.equality[1:]
        return self.near.least(nu) + self._offset(duals), self._laws([self.near.argmin(nu)])

    def _offset(self, duals: Duals) -> float:
        """What every pair costs at least."""
        return float((super().cost(duals) - duals.equality[1:]).min())

    def cost(self, duals: Duals) -> FloatArray:
        if self.near is None:
            return super().cost(duals)
        return np.asarray(np.maximum(super().cost(duals) - duals.equality[1:] - self._offset(duals), 0.0))

    def lagrangian(self, duals: Duals) -> tuple[Lagrangian, FloatArray]:
        """Of a problem with those costs and a free law."""
        problem, (_, alpha, beta), cost = self.question.problem, self.weights(duals), self.cost(duals)
        priced = Problem(problem.px, problem.py, problem.ps_given_x, cost)
        f = cost.min(axis=1) if self.f is None else self.f
        ranges = ((1.0, 1.0), (alpha, alpha), (beta, beta))
        return Lagrangian(priced, (0.0, 0.0, 0.0), ranges, laws=Free()), np.append(f, (1.0, alpha, beta))

    def evidence(self, search: Search, duals: Duals) -> PosteriorTree:
        """The tree with the weight of E d itself: the rest of the costs is a letter's, and ν is not written."""
        w = self.weights(duals)[0]

        def visit(node: Node) -> Node:
            if isinstance(node, Leaf):
                return replace(node, distortion=w)
            return replace(node, low=visit(node.low), high=visit(node.high))

        return PosteriorTree(visit(search.tree()))

    def descended(self, duals: Duals, P: FloatArray) -> FloatArray:
        """Convex-concave steps: each solves a rate-distortion problem with the tangent of H(S|Y)."""
        problem, (_, alpha, beta), cost = self.question.problem, self.weights(duals), self.cost(duals)
        P, value = self.rounded(P), math.inf
        for _ in range(_DESCENTS):
            if clock.expired():
                break
            whole = cost + beta * tangent(problem, P)
            if alpha > 0.0:
                law = (1.0 - _EVERYWHERE) * P.sum(axis=0) + _EVERYWHERE / problem.m
                trial = self.rounded(FreeLaw().penalised(problem.px, whole, alpha, law))
            else:
                trial = np.where(whole.argmin(axis=1)[:, None] == np.arange(problem.m), problem.px[:, None], 0.0)
            now = penalised(problem, cost, alpha, beta, trial)
            if value - now <= _GAIN:
                return trial if now < value else P
            P, value = trial, now
        return P

    def starts(self, limits: Limits) -> list[FloatArray]:
        """Every letter at its cheapest, and at the likeliest letter for its class; and what is known."""
        problem, every = self.question.problem, np.arange(self.question.problem.m)
        some = [
            problem.d.argmin(axis=1),
            problem.ps_given_x.argmax(axis=1) % problem.m,
            np.arange(problem.n) % problem.m,
        ]
        return [*(np.where(f[:, None] == every, problem.px[:, None], 0.0) for f in some), *self.known]

    def points(self, limits: Limits) -> list[FloatArray]:
        return []
