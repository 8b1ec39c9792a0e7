"""What is asked at one place of a surface: a whole answer with its proof, or only a point, by a short descent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from drcopt.bounds import Leaf, PosteriorTree
from drcopt.certify.certificate import repair
from drcopt.engines.base import INTERRUPTED, Limits
from drcopt.engines.descent import descend, lower_rate, reduce_loss, reduce_loss_within
from drcopt.engines.law_points import LawPoints
from drcopt.engines.law_programs import FEW
from drcopt.formulations import Part, Question, SingleLetter
from drcopt.law_session import session_for
from drcopt.perception import Perception
from drcopt.problem import Problem, Standard
from drcopt.questions import DISTORTION, PERCEPTION, QUANTITIES, RATE, Near, Quantity
from drcopt.session import Session
from drcopt.stakes import Stakes
from drcopt.support import clock
from drcopt.support.check import FloatArray
from drcopt.support.workers import follow_parent
from drcopt.sweeps.envelopes import Found, Proved, found

#: Descents aim this far inside the loss budget, relative to H(S), so that what they find holds there once rounded.
_MARGIN = 1e-11
_SHARPLY = 1e-9
#: Where they stop: at steps of this share of the gap asked for.
_RATHER = 0.01

#: The P that stands for 0 where a half-space weighs the perception: at 0 its best weight may be infinite.
AT_TARGET = 1e-9

_NO_TREE = {"splits": np.full((1, 3), -1.0), "leaves": np.zeros((1, 1))}

#: A coupling of the problem with mass, and the multipliers (f, w, α, β) of the standard form there.
Start = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, eq=False)
class Task:
    """Budgets (D, R, C, P) in nats and the unit of d; ``full``: with a proof, else a descent from ``starts`` alone.

    The budget of ``perception`` is P, whatever it says; if it says more than 0 and P is 0, what is proved of the
    target's own law is priced for all laws, with as much weight on the perception as it is worth at ``AT_TARGET``.
    """

    problem: Problem
    settings: Mapping[str, Any]
    perception: Perception | None
    objective: Quantity
    budgets: tuple[float, ...]
    full: bool
    starts: Sequence[Start] = ()
    warm: Mapping[str, FloatArray] | None = None

    @property
    def at_target(self) -> Perception | None:
        """The perception, if its budgets vary and P is 0."""
        near = self.perception
        return near if near is not None and near.budget > 0.0 == self.budgets[PERCEPTION.place] else None


@dataclass(frozen=True, eq=False)
class Answer:
    """What came of a task: points, trees, what a descent from there starts from, and what a solve does."""

    points: tuple[Found, ...] = ()
    trees: tuple[Proved, ...] = ()
    start: Start | None = None
    warm: Mapping[str, FloatArray] | None = None
    status: str = ""
    failure: str = ""


def session(task: Task) -> Session:
    """The session that answers a task."""
    wanted = task.perception
    if wanted is not None:
        wanted = replace(wanted, budget=task.budgets[PERCEPTION.place])
    return session_for(task.problem, perception=wanted, units="nats", **task.settings)


def run(tasks: Sequence[Task]) -> list[Answer]:
    """Answer tasks one after another; one that fails says so, and the others do not suffer."""
    answers = []
    for task in tasks:
        try:
            answers.append(_solved(task) if task.full else _descended(task))
        except Exception as error:
            answers.append(Answer(failure=f"{type(error).__name__}: {error}"))
    return answers


def run_aside(tasks: Sequence[Task]) -> list[Answer]:
    """:func:`run` in another process, which must not outlive the one that asked."""
    follow_parent()
    return run(tasks)


def _solved(task: Task) -> Answer:
    one = session(task)
    one.coarse = True
    # Not the tree: with all its boxes it would make every place as dear as the worst.
    one.warm = None if task.warm is None or task.at_target else dict(task.warm) | _NO_TREE
    limits = {q.budget: b for q, b in zip(QUANTITIES, task.budgets, strict=False)}
    del limits[task.objective.budget]
    solution = one.ask(task.objective, **limits, on_failure="return")
    if solution.termination.startswith(INTERRUPTED):
        raise KeyboardInterrupt
    certificate = solution.certificate
    question, spent, P = certificate.formulation, certificate.spent, task.budgets[PERCEPTION.place]
    near = None if task.perception is None or not 0.0 < P < math.inf else task.perception.near(task.problem, P)
    points: tuple[Found, ...] = ()
    if certificate.parts is not None and spent is not None:
        excess = (spent.distortion_excess, spent.rate_excess, spent.loss_excess)
        points = (found(question, certificate.parts, spent.values, excess, near),)
    trees = []
    priced, worth = _priced(task, question, P)
    asked = [priced] if certificate.relaxed is None else [priced, priced.with_problem(certificate.relaxed)]
    for evidence in certificate.evidence:
        if isinstance(evidence, PosteriorTree):
            trees += [Proved.of(evidence, pieces, worth) for each in asked if (pieces := evidence.pieces(each))]
    warm, start = one.warm, None
    if isinstance(warm, dict) and "coupling" in warm:
        start = (np.array(warm["coupling"]), np.array(warm["multipliers"]))
    elif points and len(points[0].parts) == 1:
        start = (points[0].parts[0].coupling, np.zeros(question.problem.n + 3))
    return Answer(points, tuple(trees), start, warm, solution.status)


def _priced(task: Task, question: Question, P: float) -> tuple[Question, float]:
    """The question that evidence is priced for, and the P that its weight of the perception is best at."""
    if task.at_target is None:
        return question, P
    return replace(question, laws=task.at_target.near(task.problem, AT_TARGET)), AT_TARGET


def descends(question: Question) -> bool:
    """Whether there are descents for questions like this."""
    laws = question.laws
    return type(question) is SingleLetter and (
        laws is None or (isinstance(laws, Near) and question.problem.d.size <= FEW)
    )


def _descended_near(task: Task, perception: Perception) -> Answer:
    """The same near a target: a local program over p(y|x), and the multipliers of where it ends."""
    one = session(task)
    free = one.question(task.objective)
    limits = {f"{q.name.split('_')[0]}_budget": b for q, b in zip(QUANTITIES, task.budgets, strict=False)}
    del limits[f"{task.objective.name.split('_')[0]}_budget"]
    standard = one.standardised(free.minimising(task.objective, **limits))
    assert isinstance(standard, SingleLetter)
    points = LawPoints(standard, Limits(_SHARPLY, clock.now() + clock.remaining()))
    for P, z in task.starts:
        points.improve(P, z, True)
        if points.best is not None:
            break
    point = None if points.best is None else repair(free, [Part(1.0, points.best)])
    if points.best is None or point is None:
        return Answer()
    spent, near = point.spent, perception.near(task.problem, task.budgets[PERCEPTION.place])
    excess = (spent.distortion_excess, spent.rate_excess, spent.loss_excess)
    z = points.multipliers()
    trees = _proved(free, near.budget, z, Stakes(free.problem).standard[1])
    return Answer((found(free, point.parts, spent.values, excess, near),), trees, (points.best, z), None, "feasible")


def _descended(task: Task) -> Answer:
    if task.perception is not None and task.budgets[PERCEPTION.place] > 0.0:
        return _descended_near(task, task.perception)
    problem = (task.problem if task.perception is None else session(task).problem).reduced()
    distortion, rate, loss, _ = task.budgets
    # What it spends is read off a point, and rounded up: there is no budget to meet to the last digit.
    free = SingleLetter(problem, math.inf, math.inf, objective=task.objective)
    standard, change = Stakes(problem).standard
    offset = float(change.row @ problem.px + change.column @ problem.py)
    limit = (distortion - offset) / change.scale
    rate, loss = (min(b, most) for b, most in zip((rate, loss), free.most[1:], strict=True))
    loss -= min(_MARGIN, 1e-3 * loss)
    limits = Limits(_SHARPLY, clock.now() + clock.remaining())
    tol = max(1e-8, _RATHER * task.settings["tol"])
    best: Answer = Answer()
    value = math.inf
    for P, z in task.starts:
        if best.points:
            break  # the next is for where the first led nowhere
        if task.objective is DISTORTION:
            multipliers = (z[:-3], max(float(z[-2]), 1e-6), float(z[-1])) if z.any() else None
            answer = descend(standard, standard.d, rate, loss, P, limits, multipliers=multipliers, tol=tol)
            if answer is None:
                lower = reduce_loss(standard, rate, P, limits, target=loss)
                answer = descend(standard, standard.d, rate, loss, lower.P, limits, tol=tol)
        elif task.objective is RATE:
            answer = lower_rate(standard, limit * (1.0 - 1e-12), loss, P, limits, tol=tol)
        elif limit >= float(standard.d.max()):
            answer = reduce_loss(standard, rate, P, limits)
        else:
            answer = reduce_loss_within(standard, rate, limit * (1.0 - 1e-12), P, limits)
        if answer is None:
            continue
        point = repair(free, [Part(1.0, within(problem, answer.P, rate))])
        if point is None or not point.spent.values[task.objective.place] < value:
            continue
        spent = point.spent
        value = spent.values[task.objective.place]
        excess = (spent.distortion_excess, spent.rate_excess, spent.loss_excess)
        best = Answer((found(free, point.parts, spent.values, excess),), (), (answer.P, answer.z), None, "feasible")
    return (
        best
        if best.start is None
        else replace(best, trees=_proved(*_priced(task, free, math.inf), best.start[1], change))
    )


def _proved(question: Question, P: float, z: FloatArray, change: Standard) -> tuple[Proved, ...]:
    """What the multipliers of a descent prove of all points: where no box need be split, as much as an answer would."""
    if not np.isfinite(z).all():
        return ()
    leaf = Leaf(z[:-3], max(float(z[-2]), 0.0), max(float(z[-1]), 0.0), max(float(z[-3]), 0.0))
    tree = PosteriorTree(leaf).framed(change)
    pieces = tree.pieces(question)
    return (Proved.of(tree, pieces, P),) if pieces else ()


def within(problem: Problem, P: FloatArray, rate: float) -> FloatArray:
    """P with enough of independence for its rate to be no larger, to rounding."""
    for _ in range(3):
        spent = problem.rate(P)
        if spent <= rate:
            break
        share = 1.0 - rate / spent
        P = (1.0 - share) * P + share * problem.independent
    return P
