"""What becomes of failures: those of an engine, and a solve that has no point to hand back."""

from __future__ import annotations

import math
import os
from collections.abc import Callable

import numpy as np

from drcopt.certify.certificate import Certificate
from drcopt.engines.base import Proposal
from drcopt.errors import InfeasibleError, MissingExtraError, NotSolvedError
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, PERCEPTION, QUANTITIES, RATE, Quantity
from drcopt.questions.output import KINDS
from drcopt.solution import Solution
from drcopt.support import clock

#: With this environment variable set to 1 what an engine raises is raised, instead of ending in ``termination``.
DEBUG = "DRCOPT_DEBUG"


def raise_failure(solution: Solution, missed: Quantity, least: float, remark: str = "") -> None:
    """Raise if the solution is "infeasible" or "unknown".

    An "infeasible" one names a budget that is missed and the ``least`` that can be met, in nats or the unit of d (a
    perception: in the unit of its budget).
    """
    given = {
        q: b
        for q, b in zip(
            QUANTITIES,
            (solution.distortion_budget, solution.rate_budget, solution.classification_budget),
            strict=True,
        )
        if math.isfinite(b)
    }
    if math.isfinite(solution.perception_budget):
        given[PERCEPTION] = solution.perception_budget

    def said(q: Quantity, value: float, digits: int) -> str:
        of_law = q is PERCEPTION and KINDS[solution.perception_kind].informational
        return f"{value:.{digits}g} {solution.units}" if q.informational or of_law else f"{value:.{digits}g}"

    if solution.status == "infeasible":
        least = missed.outside(least, solution.units)
        others = {q: b for q, b in given.items() if q is not missed}
        where = f"at {' and '.join(f'{q.budget} = {said(q, b, 6)}' for q, b in others.items())}" if others else ""
        if not others and missed.budget == "C":
            where = "at any rate"
        raises = "".join(f", or raise {q.budget}" for q in others)
        raise InfeasibleError(
            f"{missed.budget} = {said(missed, given[missed], 8)} cannot be met{f' {where}' if where else ''}: "
            f"the {missed.words} is at least {said(missed, least, 8)} there (proved). "
            f"Raise {missed.budget} above that{raises}.{remark and ' '}{remark}",
            budget=missed.budget,
            least=least,
            units=solution.units,
        )
    if solution.status == "unknown":
        budgets = ", ".join(f"{q.budget} = {said(q, b, 6)}" for q, b in given.items()) or "the marginals"
        raise NotSolvedError(
            f"no coupling that meets {budgets} was found, and none was proved impossible ({solution.termination}). "
            "Raise time_limit or a budget, or pass on_failure='return' to get the bound."
        )


def guarded(name: str, ask: Callable[[], Proposal]) -> Proposal:
    """What an engine proposes. Whatever it throws, the answer is an interval: perhaps the trivial one."""
    try:
        with np.errstate(all="ignore"):
            proposal = ask()
    except (MissingExtraError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as reason:  # a panic in a solver's compiled core is not an Exception
        if os.environ.get(DEBUG, "") not in ("", "0") and not isinstance(reason, clock.TimeIsUp):
            raise
        return Proposal(None, (), f"engine {name} failed: {type(reason).__name__}: {reason}")
    if not isinstance(proposal, Proposal) or not isinstance(proposal.termination, str):
        return Proposal(None, (), f"engine {name} returned a {type(proposal).__name__} that makes no sense")
    return proposal


def missed_by(solution: Solution) -> tuple[Quantity, float]:
    """For an infeasible question: a budget that cannot be met, and the least that can, proved."""
    certificate: Certificate = solution.certificate
    if solution.status != "infeasible":
        return CLASSIFICATION_LOSS, math.nan
    question = certificate.formulation
    alone = question.minimising(DISTORTION, rate_budget=math.inf, classification_budget=math.inf)
    least = certificate.bound(alone)
    if least > question.budgets[DISTORTION.place]:
        return DISTORTION, least
    if question.problem.forbidden.any() and question.objective is not RATE:  # it may force a rate
        rate = certificate.bound(question.minimising(RATE, distortion_budget=math.inf, classification_budget=math.inf))
        if rate > question.rate_budget:
            return RATE, rate
    if question.objective is CLASSIFICATION_LOSS:
        return DISTORTION, certificate.least(DISTORTION)
    return CLASSIFICATION_LOSS, certificate.least(CLASSIFICATION_LOSS)
