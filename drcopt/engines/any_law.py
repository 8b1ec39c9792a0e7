"""The engine for questions where Y has no given law, or where the classifier reads the message.

The dual bound is that of :mod:`drcopt.bounds.posterior` with Ψ for the laws that Y may have, raised by
:mod:`drcopt.engines.ascent`; it brings a law along, and for that law points come from the engines for given laws.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import linprog, minimize
from scipy.special import rel_entr

from drcopt.bounds import PosteriorTree
from drcopt.engines.ascent import Ascent, Lagrangian, ascend, more_laws
from drcopt.engines.base import Limits, Proposal
from drcopt.engines.cuts import Columns, leaf
from drcopt.engines.free_law import FreeLaw
from drcopt.engines.inverse_points import InversePoints
from drcopt.engines.newton import Newton
from drcopt.engines.points import Points
from drcopt.engines.search import Search
from drcopt.formulations import Message, Part, Question, SingleLetter
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION
from drcopt.questions.output import Free, Near
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Steps of an ascent, and how much of the gap wanted it may leave (d in [0, 1], nats).
_STEPS, _SHARE = 200, 1e-2
#: Mass that an interior-point method gives to a letter or an atom without any.
_NOISE = 1e-9
#: Rounds of the linear program over measures, and how far inside the limits it stays.
_ROUNDS, _MARGINS, _EDGE = 60, (2e-10, 2e-9), 1e-11
#: How much dearer than its multiplier exceeding a limit is, at first and at most.
_DEAR = (1.05, 1e4)
#: Unknowns that a sequential quadratic program may have, and couplings it starts from besides what a node suggests.
_FEW, _STARTS = 150, 12
#: How far inside the limit on H(S|Y) points aim, in nats, so that no rounding is left over; and their laws before.
_WITHIN, _ROOM = 1e-13, 3e-11
#: A bound so far above what any point has proves that there is none.
_PAST = 1e-7


class AnyLaw:
    """Free laws of Y, laws near a target, and messages."""

    name: ClassVar[str] = "any-law"

    def propose(self, question: Question, limits: Limits, warm: Any = None) -> Proposal:
        """See :class:`drcopt.engines.base.Engine`."""
        assert isinstance(question, SingleLetter)
        problem = question.problem
        lagrangian = Lagrangian.of(question)
        above = question.most[question.objective.place] * (1.0 + _PAST) + _PAST
        start = np.concatenate([problem.d.min(axis=1), [1.0, 0.3, 0.1]])
        if isinstance(warm, dict) and "multipliers" in warm and len(warm["multipliers"]) == len(start):
            start = np.asarray(warm["multipliers"])
        unlimited = question.classification_budget >= problem.entropy_s
        if unlimited and isinstance(question.laws, Free) and question.objective is not CLASSIFICATION_LOSS:
            return FreeLaw().propose(question, limits, warm)
        convex = isinstance(question, Message) or (unlimited and question.objective is not CLASSIFICATION_LOSS)
        if not convex:
            return self._search(question, lagrangian, start, above, limits)
        root = ascend(
            lagrangian, start, None, None, target=above, tol=_SHARE * limits.tol, steps=_STEPS, deadline=limits
        )
        part, z = None, root.z
        if root.bound < above:
            if isinstance(question, Message):
                part, z = _message(question, lagrangian, root, limits)
            else:
                part = _convex(question, root, limits)
        w, alpha, beta = z[-3:].tolist()
        late = "the time limit was reached" if limits.expired else "the ascent of the bound converged"
        return Proposal(
            parts=None if part is None else [part],
            evidence=(PosteriorTree(leaf(root.z)), PosteriorTree(leaf(z)))[: 1 + (z is not root.z)],
            termination=late,
            distortion_multiplier=w,
            rate_multiplier=alpha,
            classification_multiplier=beta,
            stats={"steps": root.steps, "pricings": root.priced},
            warm={"multipliers": z},
        )

    def _search(
        self, question: SingleLetter, lagrangian: Lagrangian, z: FloatArray, above: float, limits: Limits
    ) -> Proposal:
        """Branch and bound on class posteriors, as for a given law."""
        points = LawPoints(question, limits)
        search = Search(lagrangian, limits, points.improve, math.inf, above)
        points.search = search
        # What messages can do, to the end: no node below may be worth less.
        root = ascend(lagrangian, z, None, None, target=above, tol=_SHARE * limits.tol, steps=_STEPS, deadline=limits)
        search.run(root.z, root.columns)
        w, alpha, beta = search.root.z[-3:].tolist()
        return Proposal(
            parts=None if points.best is None else [Part(1.0, points.best)],
            evidence=(PosteriorTree(search.tree()),),
            termination=search.termination,
            distortion_multiplier=w,
            rate_multiplier=alpha,
            classification_multiplier=beta,
            stats={"nodes": search.nodes, "pricings": search.priced, "descents": points.descents},
        )


def _admissible(question: Question, law: FloatArray) -> FloatArray:
    """A law of the set, without what is noise."""
    law = np.where(law > _NOISE * law.max(), law, 0.0)
    law = law / law.sum()
    return question.laws.inside(law) if isinstance(question.laws, Near) else law


def _convex(question: SingleLetter, root: Ascent, limits: Limits) -> Part | None:
    """Without a limit on H(S|Y): the best coupling for the law of the relaxed solution."""
    law = _admissible(question, question.problem.py if root.law is None else root.law)
    fixed, some = question.at(law), law > 0
    if fixed.problem.m == 1 or fixed.problem.n == 1:
        P = fixed.problem.independent
    else:
        answer = Newton().propose(fixed, limits)
        if answer.parts is None:
            return None
        P = answer.parts[0].coupling
    return Part(1.0, _wide(P, some))


def _wide(P: FloatArray, some: np.ndarray) -> FloatArray:
    """A coupling on some of the letters as one on all of them."""
    full = np.zeros((len(P), len(some)))
    full[:, some] = P
    return full


def _message(question: Message, lagrangian: Lagrangian, root: Ascent, limits: Limits) -> tuple[Part | None, FloatArray]:
    """Atoms within the limits, and multipliers: the linear program over measures, by columns from where root ends."""
    problem, px = question.problem, question.problem.px
    ends, letters = np.vstack([np.eye(problem.n), px]), np.arange(problem.m)
    corners = Columns.of(problem, np.repeat(letters, len(ends)), np.tile(ends, (problem.m, 1)))
    columns, laws = root.columns.join(corners), root.laws
    z, best, part, value = root.z, root.bound, None, math.inf
    # The judge moves what a solver's tolerance leaves outside: better to be inside, but at the very edge.
    margin = min(max(_SHARE * limits.tol, _MARGINS[0]), _MARGINS[1])
    idle, least, dear = 0, math.inf, _DEAR[0]
    for _ in range(_ROUNDS):
        answer = _master(question, columns, laws, margin, root.z[-3:], dear)
        if answer is None:
            break
        weights, trial, now, over = answer
        idle, least = (idle + 1 if now >= least - 1e-3 * limits.tol else 0), min(now, least)
        if over == 0.0 and now < value:
            part, value = _point(problem, columns, weights), now
        if value - best <= 0.1 * limits.tol or limits.expired or clock.expired():
            break
        if idle > 3:
            if over == 0.0 or dear > _DEAR[1]:
                break
            margin, dear, idle, least = _EDGE, 10.0 * dear, 0, math.inf  # at the very edge of what can be met
        trial = lagrangian.clip(trial)
        for step in (0.5 * (trial + z), trial):
            bound, priced = lagrangian.price(step, None, _SHARE * limits.tol)
            columns = columns.join(Columns.of(problem, priced.y, priced.p))
            laws = more_laws(lagrangian, laws, priced.lower)
            if bound > best:
                z, best = step, bound
    return part, z


def _master(
    question: Message, columns: Columns, laws: FloatArray | None, margin: float, prices: FloatArray, dear: float
) -> tuple[FloatArray, FloatArray, float, float] | None:
    """Weights of the columns, multipliers, the value of the linear program, and by how much it exceeds its limits.

    Exceeding one costs ``dear`` times its price, so that there always are multipliers, and columns to be had for them.
    """
    problem, J = question.problem, len(columns.y)
    n, m = problem.n, problem.m
    values = (columns.distortion, columns.divergence, *columns.entropy.T)
    L = 0 if laws is None else len(laws)
    limited = [i for i, (b, most) in enumerate(zip(question.budgets, question.most, strict=True)) if b < most]
    S = len(limited)
    equal = np.zeros((n + m, J + L + S))
    equal[:n, :J] = columns.p.T
    equal[n + columns.y, np.arange(J)] = 1.0
    goals = np.concatenate([problem.px, problem.py])
    if laws is not None:
        equal[n:, J : J + L], goals[n:] = -laws.T, 0.0
    above = np.zeros((S, J + L + S))
    for row, i in enumerate(limited):
        above[row, :J], above[row, J + L + row] = values[i], -1.0
    most = [question.budgets[i] - min(margin, 1e-3 * question.budgets[i]) for i in limited]
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    cost = np.concatenate([values[question.objective.place], np.zeros(L), dear * prices[limited] + 1e-3 * (dear - 1.0)])
    bounded = {"A_ub": above, "b_ub": most} if limited else {}
    answer = linprog(cost, A_eq=equal, b_eq=goals, **bounded, method="highs-ds", options=tight)
    if answer.status != 0:
        return None
    z = np.zeros(n + 3)
    z[:n] = answer.eqlin.marginals[:n]
    z[n + question.objective.place] = 1.0
    for row, i in enumerate(limited):
        z[n + i] = max(0.0, -answer.ineqlin.marginals[row])
    over = float(np.maximum(answer.x[J + L :], 0.0).sum())
    return np.maximum(answer.x[:J], 0.0), z, float(answer.fun), over


def _point(problem: Problem, columns: Columns, weights: FloatArray) -> Part:
    """Columns with weight as a coupling of X and V."""
    some = np.flatnonzero(weights > 0.0)
    return Part(1.0, (weights[some, None] * columns.p[some]).T, letters=columns.y[some])


def _polished(fixed: SingleLetter, P: FloatArray, z: FloatArray, limits: Limits) -> FloatArray | None:
    """A coupling within the limits near P, with its law of Y or better; None if none is found."""
    if fixed.objective is DISTORTION:
        points = Points(fixed, limits)
        points.try_from(P, z)
        return None if points.best is None else points.best.P
    inverse = InversePoints(fixed, limits)
    inverse.try_from(P)
    return None if inverse.best is None else inverse.best.P


class LawPoints:
    """The best coupling within a question's limits that was met, whatever its law of Y."""

    def __init__(self, question: SingleLetter, limits: Limits) -> None:
        self.question, self.limits = question, limits
        self.best: FloatArray | None = None
        self.value = math.inf
        self.descents = 0
        self.search: Search | None = None
        self._tried: list[FloatArray] = []
        self._explored = False

    def _explore(self) -> None:
        """From couplings all over."""
        problem, rng = self.question.problem, np.random.default_rng(0)
        if problem.n * problem.m > _FEW:
            return
        for _ in range(_STARTS):
            if self.limits.expired or clock.expired():
                return
            guess = rng.dirichlet(np.full(problem.m, rng.choice([0.2, 0.5, 1.0])), size=problem.n) * problem.px[:, None]
            if (better := local(self.question, guess)) is not None:
                self.descents += 1
                self._keep(better, np.concatenate([problem.d.min(axis=1), [1.0, 0.3, 0.3]]))

    def improve(self, P: FloatArray, z: FloatArray, force: bool) -> None:
        """From a node's suggestion unless one like it was tried; from all over where the root leaves a gap."""
        if self.search is not None and self.search.nodes > 1 and not self._explored:
            self._explored = True
            self._explore()
        tau = self.question.problem.ps_given_x.T @ P
        if not force and any(np.abs(tau - other).sum() < 1e-4 for other in self._tried):
            return
        self._tried.append(tau)
        self._try(P, z)

    def _try(self, P: FloatArray, z: FloatArray) -> None:
        self.descents += 1
        self._keep(P, z)
        if P.size <= _FEW and (better := local(self.question, P)) is not None:
            self._keep(better, z)

    def _keep(self, P: FloatArray, z: FloatArray) -> None:
        question, law = self.question, P.sum(axis=0)
        if not law.sum() > 0:
            return
        law = _admissible(question, law)
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
        if found is None:
            return
        value = fixed.values([Part(1.0, found)])[question.objective.place]
        if value < self.value:
            self.best, self.value = _wide(found, some), value
            if self.search is not None:
                self.search.upper = value


def local(question: SingleLetter, P: FloatArray) -> FloatArray | None:
    """A local optimum near P by sequential quadratic programming, to its tolerance; None if it fails."""
    problem, laws = question.problem, question.laws
    n, m, px, W = problem.n, problem.m, problem.px, problem.ps_given_x
    tiny = 1e-14

    def rate(v: FloatArray) -> float:
        Q = np.maximum(v.reshape(n, m), 0.0)
        return float(rel_entr(Q, np.outer(Q.sum(axis=1), Q.sum(axis=0))).sum())

    def rate_slope(v: FloatArray) -> FloatArray:
        Q = np.maximum(v.reshape(n, m), tiny)
        return np.ravel(np.log(Q) - np.log(np.outer(Q.sum(axis=1), Q.sum(axis=0))))

    def loss(v: FloatArray) -> float:
        T = W.T @ np.maximum(v.reshape(n, m), 0.0)
        return -float(rel_entr(T, np.broadcast_to(T.sum(axis=0), T.shape)).sum())

    def loss_slope(v: FloatArray) -> FloatArray:
        T = np.maximum(W.T @ np.maximum(v.reshape(n, m), tiny), tiny)
        return np.ravel(-W @ (np.log(T) - np.log(T.sum(axis=0))))

    def distortion(v: FloatArray) -> float:
        return float(np.ravel(problem.d) @ v)

    def distortion_slope(v: FloatArray) -> FloatArray:
        return np.ravel(problem.d)

    ways = ((distortion, distortion_slope), (rate, rate_slope), (loss, loss_slope))
    objective = ways[question.objective.place]
    rows = np.kron(np.eye(n), np.ones(m))
    constraints: list[dict[str, Any]] = [
        {"type": "eq", "fun": lambda v: v.reshape(n, m).sum(axis=1) - px, "jac": lambda v: rows}
    ]
    for place, (value, slope) in enumerate(ways):
        limit = question.budgets[place] - _ROOM
        if limit + _ROOM < question.most[place]:
            constraints.append(
                {
                    "type": "ineq",
                    "fun": lambda v, value=value, limit=limit: limit - value(v),
                    "jac": lambda v, slope=slope: -slope(v),
                }
            )
    if isinstance(laws, Near):
        # The law moves towards that of P only: whatever the divergence, that stays in the ball.
        columns = np.tile(np.eye(m), n)
        law = laws.inside(P.sum(axis=0) / P.sum())
        constraints.append({"type": "eq", "fun": lambda v: (columns @ v - law)[:-1], "jac": lambda v: columns[:-1]})
    start = np.ravel(np.maximum(P, 1e-9))
    try:
        with np.errstate(all="ignore"):
            answer = minimize(
                objective[0],
                start,
                jac=objective[1],
                constraints=constraints,
                bounds=[(0.0, 1.0)] * (n * m),
                method="SLSQP",
                options={"maxiter": 200, "ftol": 1e-13},
            )
    except (ValueError, FloatingPointError):
        return None
    Q = np.maximum(answer.x.reshape(n, m), 0.0)
    if not np.isfinite(Q).all() or not Q.sum(axis=1).all():
        return None
    return np.asarray(Q * (px / Q.sum(axis=1))[:, None])
