"""Pairs that must not occur (d = inf): what they settle without an engine, and who takes none.

Engines see d cut off above its other entries (:mod:`drcopt.stakes`), which can only lower what is proved; the judge
prices every letter on what it may come from, and moves points along allowed pairs only.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from drcopt.bounds import Leaf, PosteriorTree, Stranded
from drcopt.certify.certificate import best_bound
from drcopt.classes import refuse_several
from drcopt.coupling import loosest
from drcopt.engines.base import Proposal
from drcopt.errors import InfeasibleError, InputError
from drcopt.formulations import Part, Question
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, RATE, Quantity

#: How far inside its budgets a point is to lie, relative, where it could not be moved there.
_INSIDE = 1e-11


def refuse(problem: Problem, formulation: str, several: bool = False) -> None:
    """One-shot codes need a finite d; but for ``several`` one class is what budgets are about."""
    if not several:
        refuse_several(problem.classes)
    if formulation == "one-shot":
        _refused(problem, "for formulation='one-shot'", "Pass 'single-letter' or 'time-sharing'")


def refuse_objective(problem: Problem, objective: Quantity) -> None:
    """Where only the classification loss counts, engines do not look at d."""
    if objective is CLASSIFICATION_LOSS:
        _refused(problem, "to minimise the classification loss", "Pass C to drcopt.solve")


def refuse_perception(problem: Problem) -> None:
    """Mixing with a target fills every pair."""
    _refused(problem, "with a perception budget", "Leave perception out")


def refuse_mixed_laws(problem: Problem) -> None:
    """Engines mix couplings of any law with no eye for pairs."""
    _refused(problem, "for formulation='time-sharing' where Y's law is not given", "Leave formulation out")


def refuse_surface(problem: Problem) -> None:
    """Its floors and ceilings are those of a finite d."""
    _refused(problem, "for a surface", "Sweep it with drcopt.sweep")


def _refused(problem: Problem, where: str, repair: str) -> None:
    if problem.forbidden.any():
        raise InputError(
            f"d must be finite {where}; it forbids pairs (d = inf). {repair}, or a large number in place of inf."
        )


def aimed(question: Question) -> Question:
    """The question as engines are asked it, who see large numbers in place of inf.

    E d is limited to what couplings without forbidden pairs have at most. A law of Y may leave no second coupling to
    mix with, so that points aim inside the budgets; what is proved is proved for those that were asked for.
    """
    problem = question.problem
    if not problem.forbidden.any():
        return question
    question = replace(question, distortion_budget=min(question.distortion_budget, problem.d_most))
    if question.laws is None:
        return question
    loss = question.classification_budget - _INSIDE * problem.entropy_s
    return replace(question, rate_budget=(1.0 - _INSIDE) * question.rate_budget, classification_budget=loss)


def nowhere(letters: np.ndarray) -> Proposal:
    """The answer where letters of X have more mass than all that they may become."""
    return Proposal(None, (Stranded(letters),), "every coupling has a forbidden pair")


def ends(question: Question) -> tuple[list[Proposal], Proposal | None]:
    """Points at either end and the least rate that forbidden pairs force; which of them settles the question."""
    problem, free, letters = question.problem, question.laws is not None, np.arange(question.problem.m)
    P, f = loosest(problem.px, None if free else problem.py, ~problem.forbidden)
    why = "of couplings without forbidden pairs none has a lower rate"
    known = {RATE: Proposal([Part(1.0, P, letters=letters)], (PosteriorTree(Leaf(f, 1.0, 0.0, 0.0)),), why)}
    if free:
        P = np.where(letters == problem.d.argmin(axis=1)[:, None], problem.px[:, None], 0.0)
        why = "every letter has its cheapest"
        known[DISTORTION] = Proposal([Part(1.0, P, letters=letters)], (), why, 0.0, 0.0, 0.0)
    everything, end = list(known.values()), known.get(question.objective)
    if best_bound(question, known[RATE].evidence) == math.inf:
        return everything, replace(known[RATE], parts=None, termination="forbidden pairs force a larger rate")
    if end is None or end.parts is None:
        return everything, None
    met = all(v <= b for v, b in zip(question.values(end.parts), question.budgets, strict=True))
    return everything, end if met else None


def raise_stranded(problem: Problem, x: np.ndarray, stranded: np.ndarray | None) -> None:
    """Say which letters of X, ``stranded`` among ``x``, have more mass than what they may become."""
    if stranded is None:
        return
    letters = x[stranded]
    reached = np.flatnonzero(~problem.forbidden[letters].all(axis=0))

    def named(axis: str, places: np.ndarray) -> str:
        names = getattr(problem.labels, axis)
        found = [repr(names[i]) if names is not None else str(i) for i in places.tolist()]
        return ", ".join(found[:8]) + (f", … ({len(found)} in all)" if len(found) > 8 else "")

    held = f"y in {{{named('y', reached)}}}" if len(reached) else "no y at all"
    room = f" of mass {problem.py[reached].sum():.8g}" if len(reached) and not problem.free else ""
    raise InfeasibleError(
        f"d forbids too much: x in {{{named('x', letters)}}}, of mass {problem.px[letters].sum():.8g}, may become only "
        f"{held}{room} (d is inf elsewhere), so every coupling has E d = inf (proved). Allow another pair, or give "
        "those letters of Y more mass.",
        budget="D",
        least=math.inf,
        units="",
    )
