"""``verify="interval"``: what saving a certificate and ``drcopt check`` do, in memory, for every answer."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

from drcopt import information, words
from drcopt.certify.proof import verdict
from drcopt.errors import InputError, MissingExtraError
from drcopt.questions.output import KINDS
from drcopt.solution import Solution
from drcopt.support import check


def setting(value: Any) -> str | None:
    """None or "interval", refused before anything is solved if it could not be honoured afterwards."""
    if value is None:
        return None
    if not isinstance(value, str) or value != "interval":
        raise InputError(f"verify must be None or 'interval'; it is {check.shown(value)}. Pass one of them.")
    try:
        check.require("flint", "proof", "")
    except MissingExtraError:
        raise MissingExtraError(
            "verify='interval' needs python-flint, which is not installed. Run: pip install 'drcopt[proof]'"
        ) from None
    return value


def verified(solution: Solution) -> Solution:
    """The solution with the bounds that the independent checker proves, and its status lowered if they do not do.

    A rejected "optimal" is "feasible" and a rejected "infeasible" is "unknown"; ``termination`` says why.
    """
    started = time.monotonic()
    try:
        found = _of_perception(solution) if solution.objective == "perception" else verdict(solution.certificate)
        lower, upper, reason = found.lower, found.upper, "" if found.accepted else found.reason
    except Exception as error:  # evidence that cannot be written, or too much of it, proves nothing
        lower, upper, reason = -math.inf, math.inf, f"{type(error).__name__}: {error}"
    if solution.objective != "distortion":
        of = solution.objective
        nats = of != "perception" or KINDS[solution.perception_kind or ""].informational
        nats &= of != "classification_loss" or bool(solution.loss_units)  # else in its own unit
        lower, upper = below(lower, solution.units) if nats else lower, math.nan
    changes: dict[str, Any] = {}
    if reason:
        changes["termination"] = f"{solution.termination}; not verified: {reason}"
        if solution.status == "optimal":
            changes["status"] = "feasible"
        elif solution.status == "infeasible":
            changes |= {"status": "unknown", solution.objective: math.nan, "lower_bound": -math.inf}
    return replace(
        solution,
        proved_lower_bound=lower,
        proved_distortion=upper,
        verified=not reason,
        seconds=solution.seconds + time.monotonic() - started,
        **changes,
    )


def _of_perception(solution: Solution) -> Any:
    from drcopt.certify.proof_of_perception import to_dict
    from drcopt.checker import check as checked

    return checked(to_dict(solution.certificate))


def below(nats: float, units: words.Units) -> float:
    """``nats`` in ``units``, rounded down: the unit and the quotient are each off by half a last digit at most."""
    value = information.from_nats(nats, units)
    if units != "nats" and math.isfinite(value):
        for _ in range(2):
            value = math.nextafter(value, -math.inf)
    return value
