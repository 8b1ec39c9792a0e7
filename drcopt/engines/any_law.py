"""The engine for questions where Y has no given law, or where the classifier reads the message.

The dual bound is that of :mod:`drcopt.bounds.posterior` with Ψ for the laws that Y may have, raised by
:mod:`drcopt.engines.ascent`; it brings a law along, and for that law points come from the engines for given laws.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import linprog

from drcopt.bounds import PosteriorTree
from drcopt.bounds.pricing.unconfined import Letters
from drcopt.engines.ascent import Ascent, ascend, more_laws
from drcopt.engines.atoms import settled
from drcopt.engines.base import Limits, Proposal
from drcopt.engines.cuts import Columns, leaf
from drcopt.engines.free_law import FreeLaw
from drcopt.engines.lagrangian import Lagrangian
from drcopt.engines.law_points import LawPoints, admissible, wide
from drcopt.engines.near_law import NearLaw
from drcopt.engines.newton import Newton
from drcopt.engines.search import Search
from drcopt.formulations import Message, Part, Question, SeveralMessages, SingleLetter
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION
from drcopt.questions.output import Free, Near
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Steps of an ascent, and how much of the gap wanted it may leave (d in [0, 1], nats).
_STEPS, _SHARE = 200, 1e-2
#: Rounds of the linear program over measures, and how far inside the limits it stays.
_ROUNDS, _MARGINS, _EDGE = 60, (2e-10, 2e-9), 1e-11
#: How much dearer than its multiplier exceeding a limit is, at first and at most; and, multipliers unknown, by steps.
_DEAR = (1.05, 1e4, 10.0)
#: Programs over local minima, columns that each may add, and the least weight of the rate they are sought with.
_TURNS, _COLUMNS, _NEARLY_NONE = 10, 400, 0.02
#: Answers of Newton's method that are priced, and weights of atoms that it begins with.
_TRIES, _LIGHT = 4, 1e-8
#: What a limit that turns out to bind costs at first, beside the others.
_PRICE = 0.1
#: What a point may miss its limits by for the judge to bring it inside.
_CLOSE = 1e-12
#: A bound so far above what any point has proves that there is none.
_PAST = 1e-7


#: Questions about messages.
Messages = Message | SeveralMessages


class AnyLaw:
    """Free laws of Y, laws near a target, and messages."""

    name: ClassVar[str] = "any-law"

    def propose(self, question: Question, limits: Limits, warm: Any = None) -> Proposal:
        """See :class:`drcopt.engines.base.Engine`."""
        problem = question.problem
        lagrangian = Lagrangian.of(question)
        above = question.most[question.objective.place] * (1.0 + _PAST) + _PAST
        if isinstance(question, SeveralMessages):
            start = np.concatenate([problem.d.min(axis=1), [1.0, 0.3], np.full(len(question.losses), 0.1)])
            return self._message(question, lagrangian, start, above, limits, warm)
        assert isinstance(question, SingleLetter)
        start = np.concatenate([problem.d.min(axis=1), [1.0, 0.3, 0.1]])
        if isinstance(warm, dict) and "multipliers" in warm and len(warm["multipliers"]) == len(start):
            start = np.asarray(warm["multipliers"])
        unlimited = question.classification_budget >= problem.entropy_s
        if unlimited and isinstance(question.laws, Free) and question.objective is not CLASSIFICATION_LOSS:
            return FreeLaw().propose(question, limits, warm)
        if unlimited and isinstance(question.laws, Near) and question.objective is not CLASSIFICATION_LOSS:
            found = NearLaw().propose(question, limits)
            if found is not None and _closed(question, found, limits):
                return _within(question, found, limits)
            found = FreeLaw().propose(replace(question, laws=Free()), limits)
            if (
                found.parts
                and question.laws.divergence(question.coupling(found.parts).sum(axis=0)) <= question.laws.budget
            ):
                return found  # near enough by itself
        convex = isinstance(question, Message) or (unlimited and question.objective is not CLASSIFICATION_LOSS)
        if not convex:
            return self._search(question, lagrangian, start, above, limits, warm)
        if isinstance(question, Message):
            return self._message(question, lagrangian, start, above, limits, warm)
        root = ascend(
            lagrangian, start, None, None, target=above, tol=_SHARE * limits.tol, steps=_STEPS, deadline=limits
        )
        part, z = None, root.z
        if root.bound < above:
            part = _convex(question, lagrangian, root, limits)
        late = "the time limit was reached" if limits.expired else "the ascent of the bound converged"
        return _proposed(
            question.problem.n, part, (z,), late, {"steps": root.steps, "pricings": root.priced}, {"multipliers": z}
        )

    def _message(
        self, question: Messages, lagrangian: Lagrangian, z: FloatArray, above: float, limits: Limits, warm: Any
    ) -> Proposal:
        """Newton's method from the atoms of the last point; else the ascent, where pricing is convex first."""
        problem, tol = question.problem, limits.tol
        if isinstance(warm, dict) and "weights" in warm and warm["posteriors"].shape[1] == problem.n:
            columns = Columns.of(problem, warm["letters"].astype(np.intp), warm["posteriors"])
            found = _by_newton(question, lagrangian, z, columns, np.asarray(warm["weights"]), limits)
            if found is not None:
                return found
        if (found := _by_columns(question, lagrangian, limits)) is not None:
            return found
        part, priced, steps = None, 0, 0
        root: Ascent | None = None
        known: Columns | None = None
        convex = problem.k > 2 and problem.classes is None and problem.contraction > 0 and problem.n > 1
        for trial in (replace(lagrangian, cone=problem.contraction), lagrangian)[not convex :]:
            root = ascend(trial, z, None, known, target=above, tol=_SHARE * tol, steps=_STEPS, deadline=limits)
            priced, steps = priced + root.priced, steps + root.steps
            if not root.bound < above:
                break
            found = _by_newton(question, trial, root.z, root.columns, root.weights, limits)
            if found is not None:
                return found
            part, z = _by_programs(question, trial, root, limits)
            if part is not None and question.values([part])[question.objective.place] - root.bound <= tol:
                break
            known = root.columns
        assert root is not None
        late = "the time limit was reached" if limits.expired else "the ascent of the bound converged"
        return _proposed(
            problem.n,
            part,
            (root.z, z)[: 1 + (z is not root.z)],
            late,
            {"steps": steps, "pricings": priced},
            {"multipliers": z},
        )

    def _search(
        self, question: SingleLetter, lagrangian: Lagrangian, z: FloatArray, above: float, limits: Limits, warm: Any
    ) -> Proposal:
        """Branch and bound on class posteriors, as for a given law; first from the last point of a sweep."""
        points = LawPoints(question, limits)
        if isinstance(warm, dict) and "coupling" in warm and warm["coupling"].shape == question.problem.d.shape:
            points.improve(np.asarray(warm["coupling"]), z, True)
            near = points.multipliers()
            if points.best is not None and points.value - PosteriorTree(leaf(near)).bound(question) <= limits.tol:
                why = "a descent from the last point, and a bound by its multipliers"
                stats = {"nodes": 0, "pricings": 1, "descents": points.descents}
                left = {"multipliers": near, "coupling": points.best}
                return _proposed(question.problem.n, Part(1.0, points.best), (near,), why, stats, left)
        points.explore()
        search = Search(lagrangian, limits, points.improve, points.value, above, root_steps=_STEPS)
        points.search = search
        search.run(z if points.best is None else points.multipliers())
        w, alpha, beta = search.multipliers[-3:].tolist()
        tree = PosteriorTree(search.tree())  # which may be priced too late: what the root says by itself as well
        return Proposal(
            parts=None if points.best is None else [Part(1.0, points.best)],
            evidence=(tree,) if search.root.split is None else (PosteriorTree(leaf(search.multipliers)), tree),
            termination=search.termination,
            distortion_multiplier=w,
            rate_multiplier=alpha,
            classification_multiplier=beta,
            stats={"nodes": search.nodes, "pricings": search.priced, "descents": points.descents},
            warm=None if points.best is None else {"multipliers": points.multipliers(), "coupling": points.best},
        )


def _convex(question: SingleLetter, lagrangian: Lagrangian, root: Ascent, limits: Limits) -> Part | None:
    """Without a limit on H(S|Y): the best coupling for the law of the relaxed solution.

    Where a limit leaves all but one law out, a hair beside that none may do: then a local optimum, which is global.
    """
    law = admissible(question, question.problem.py if root.law is None else root.law)
    fixed, some = question.at(law), law > 0
    points = LawPoints(question, limits)
    if fixed.problem.m == 1 or fixed.problem.n == 1:
        points.keep(wide(fixed.problem.independent, some))
    elif (answer := Newton().propose(fixed, limits)).parts is not None:
        points.keep(wide(answer.parts[0].coupling, some))
    if points.value - root.bound > limits.tol:
        points.improve(Search(lagrangian, limits, points.improve).coupling(root), root.z, True)
    return None if points.best is None else Part(1.0, points.best)


def _within(question: SingleLetter, found: Proposal, limits: Limits) -> Proposal:
    """With a point within the limits, from that which misses them by a hair, as where they leave one law."""
    assert found.parts is not None
    spent = question.values(found.parts)
    if all(v <= b + _CLOSE for v, b in zip(spent, question.budgets, strict=True)):
        return found
    points = LawPoints(question, limits)
    points.improve(found.parts[0].coupling, points.multipliers(), True)
    return found if points.best is None else replace(found, parts=[Part(1.0, points.best)])


def _closed(question: SingleLetter, found: Proposal, limits: Limits) -> bool:
    """Whether the point is within the gap wanted of the bound, and within what no mixture would bring it."""
    assert found.parts is not None and isinstance(question.laws, Near)
    values, place = question.values(found.parts), question.objective.place
    if values[place] - found.evidence[0].bound(question) > limits.tol:
        return False
    spent = question.laws.divergence(question.coupling(found.parts).sum(axis=0))
    return question.objective is DISTORTION or (values[0] <= question.budgets[0] and spent <= question.laws.budget)


def _proposed(
    n: int, part: Part | None, proving: tuple[FloatArray, ...], termination: str, stats: dict[str, Any], warm: Any
) -> Proposal:
    """A point, and multipliers of which the last are the answer's."""
    z = proving[-1]
    w, alpha, beta = z[n], z[n + 1], float(z[-1]) if len(z) == n + 3 else z[n + 2 :].copy()
    return Proposal(
        parts=None if part is None else [part],
        evidence=tuple(PosteriorTree(leaf(z, n)) for z in proving),
        termination=termination,
        distortion_multiplier=float(w),
        rate_multiplier=float(alpha),
        classification_multiplier=beta,
        stats=stats,
        warm=warm,
    )


def _by_newton(
    question: Messages, lagrangian: Lagrangian, z: FloatArray, columns: Columns, weights: FloatArray, limits: Limits
) -> Proposal | None:
    """Newton's method on the atoms, and those that price below them; None if that does not end in an answer."""
    if not _smooth(question):
        return None
    margin = min(_EDGE, 1e-2 * limits.tol)
    caps = np.array(lagrangian.limits)
    within = caps - np.minimum(margin, 1e-3 * caps)
    heavy = np.flatnonzero(weights > _LIGHT)
    columns, weights = columns.take(heavy), weights[heavy]
    for tries in range(1, _TRIES + 1):
        found = settled(lagrangian, z, columns, weights, within)
        if found is None or found.missed > margin or clock.expired():
            return None
        z, columns, weights = found.z, found.columns, found.weights
        values = np.array([columns.distortion, columns.divergence, columns.entropy[:, 0]]) @ weights
        over = np.array([low < high for low, high in lagrangian.ranges]) & (values > caps)
        if over.any():  # limits that were thought to be slack
            z = z.copy()
            z[len(z) - 3 :][over] = _PRICE * z[-3:].max()
            continue
        bound, priced = lagrangian.price(z, None, 0.05 * limits.tol)
        if float(values[question.objective.place]) - bound <= 0.5 * limits.tol:
            part = _point(question.problem, columns, weights)
            warm = {"multipliers": z, "letters": columns.y.astype(np.float64), "posteriors": columns.p}
            return _proposed(
                question.problem.n,
                part,
                (z,),
                "Newton's method converged",
                {"pricings": tries},
                warm | {"weights": weights},
            )
        more = Columns.of(question.problem, priced.y, priced.p)
        columns = columns.join(more)
        weights = np.concatenate([weights, np.zeros(len(more.y))])
    return None


def _by_columns(question: Messages, lagrangian: Lagrangian, limits: Limits) -> Proposal | None:
    """Newton's method from linear programs over atoms that are local minima for the multipliers of the last."""
    problem, n = question.problem, question.problem.n
    if not _smooth(question) or (n + 1) * problem.m > _COLUMNS:
        return None
    starts = np.vstack([0.9 * np.eye(n) + 0.1 * problem.px, problem.px])
    letters = np.repeat(np.arange(problem.m), n + 1)
    columns = Columns.of(problem, letters, np.tile(np.vstack([np.eye(n), problem.px]), (problem.m, 1)))
    laws, dear = more_laws(lagrangian, None, np.zeros(problem.m)), _DEAR[2]
    for round_ in range(_TURNS):
        answer = _master(question, columns, laws, _EDGE, np.ones(3), dear)
        if answer is None or limits.expired or clock.expired():
            break
        weights, z, _, over = answer
        z = lagrangian.clip(z)
        dear *= _DEAR[2] if over > 0.0 else 1.0
        if over == 0.0 and (round_ > 0 or n <= 3):
            found = _by_newton(question, lagrangian, z, columns, weights, limits)
            if found is not None:
                return found
        near = max(float(z[n + 1]), _NEARLY_NONE * float(z[n : n + 3].max()))
        each = Letters(
            z[n] * problem.d[:, letters] - z[:n, None], near, float(z[n + 2]), np.log(problem.px), problem.ps_given_x
        )
        p, _ = each.sharpened(np.arange(len(letters)), np.tile(starts, (problem.m, 1)), 3, 4)
        columns = columns.join(Columns.of(problem, letters, p))
    return None


def _smooth(question: Messages) -> bool:
    """Whether Newton's method takes it: of Y's law all or nothing is known, and there is one class."""
    free = question.laws is None or isinstance(question.laws, Free)
    return free and question.problem.classes is None and not question.problem.forbidden.any()


def _by_programs(
    question: Messages, lagrangian: Lagrangian, root: Ascent, limits: Limits
) -> tuple[Part | None, FloatArray]:
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
        answer = _master(question, columns, laws, margin, root.z[problem.n :], dear)
        if answer is None:
            break
        weights, trial, now, over = answer
        idle, least = (idle + 1 if now >= least - 1e-3 * limits.tol else 0), min(now, least)
        if over == 0.0 and now < value:
            part, value = _point(problem, columns, weights), now
        if value - best <= 0.1 * limits.tol or limits.expired or clock.expired():
            break
        if idle > (0 if lagrangian.cone else 3):
            if lagrangian.cone or over == 0.0 or dear > _DEAR[1]:
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
    question: Messages, columns: Columns, laws: FloatArray | None, margin: float, prices: FloatArray, dear: float
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
    z = np.zeros(n + len(values))
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
