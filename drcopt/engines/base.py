"""What an engine is: it proposes a point and multipliers, and says why it stopped. It proves nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from drcopt import clock
from drcopt.bounds import Evidence, Independent
from drcopt.formulations import Formulation, Part

#: The termination of a search that the user stopped (Ctrl-C) and that hands back what it has.
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Limits:
    """When to stop: the gap wanted (in units of the formulation's distortion) and a wall-clock deadline."""

    tol: float
    deadline: float = math.inf
    node_limit: int | None = None

    @property
    def expired(self) -> bool:
        """Whether the deadline has passed (of :func:`drcopt.clock.now`)."""
        return clock.now() >= self.deadline

    @property
    def remaining(self) -> float:
        """Seconds left, at least 0."""
        return max(0.0, self.deadline - clock.now())


@dataclass(frozen=True, eq=False)
class Proposal:
    """An engine's claim.

    ``parts`` is the proposed point (None if it found none), ``evidence`` whatever a lower bound can be
    recomputed from (None if it has none), ``infeasibility`` evidence that the classification loss cannot
    be brought down to its budget, ``rate_multiplier`` and ``classification_multiplier`` in distortion
    per nat (NaN if unknown), ``warm`` whatever lets the next point of a sweep start from this one.
    """

    parts: Sequence[Part] | None
    evidence: Evidence | None
    termination: str
    rate_multiplier: float = math.nan
    classification_multiplier: float = math.nan
    infeasibility: Evidence | None = None
    stats: dict[str, Any] = field(default_factory=dict)
    warm: Any = None


class Engine(Protocol):
    """Anything with a name and :meth:`propose`; what it takes is said in :data:`drcopt.engines.ENGINES`."""

    @property
    def name(self) -> str:
        """The name it is registered under."""
        ...

    def propose(self, formulation: Formulation, limits: Limits, warm: Any = None) -> Proposal:
        """Propose an answer to ``formulation``, whose problem has no zero-mass letters and d scaled to [0, 1]."""
        ...


def independent(question: Formulation) -> Proposal:
    """With R = 0 or a one-letter alphabet the independent coupling is the only one."""
    coupling = question.problem.independent
    return Proposal(
        parts=[Part(1.0, coupling)],
        evidence=Independent(),
        termination="X and Y must be independent: one coupling is left",
        rate_multiplier=math.inf if question.rate_budget == 0 and min(coupling.shape) > 1 else 0.0,
        classification_multiplier=0.0,
        infeasibility=Independent("classification-loss"),
    )
