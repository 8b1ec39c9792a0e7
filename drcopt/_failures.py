"""What becomes of failures: those of an engine, and a solve that has no point to hand back."""

from __future__ import annotations

import math
import os
from collections.abc import Callable

import numpy as np

from drcopt import clock, information
from drcopt.engines.base import Proposal
from drcopt.errors import InfeasibleError, MissingExtraError, NotSolvedError
from drcopt.solution import Solution

#: With this environment variable set to 1 what an engine raises is raised, instead of ending in ``termination``.
DEBUG = "DRCOPT_DEBUG"


def raise_failure(solution: Solution, least_loss: float) -> None:
    """Raise if the solution is "infeasible", naming the least loss that can be met (in nats), or "unknown"."""
    units = solution.units
    if solution.status == "infeasible":
        least = information.from_nats(least_loss, units)
        limited = math.isfinite(solution.rate_budget)
        limit = f"at R = {solution.rate_budget:g} {units}" if limited else "at any rate"
        raise InfeasibleError(
            f"C = {solution.classification_budget:.8g} {units} cannot be met {limit}: the classification loss "
            f"is at least {least:.8g} {units} there (proved). Raise C above that"
            f"{', or raise R' if limited else ''}.",
            budget="C",
            least=least,
            units=units,
        )
    if solution.status == "unknown":
        raise NotSolvedError(
            f"no coupling that meets R = {solution.rate_budget:g}, C = {solution.classification_budget:g} "
            f"{units} was found, and none was proved impossible ({solution.termination}). "
            "Raise time_limit or C, or pass on_failure='return' to get the bound."
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
        return Proposal(None, None, f"engine {name} failed: {type(reason).__name__}: {reason}")
    if not isinstance(proposal, Proposal) or not isinstance(proposal.termination, str):
        return Proposal(None, None, f"engine {name} returned a {type(proposal).__name__} that makes no sense")
    return proposal
