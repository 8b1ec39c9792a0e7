"""What an engine is: it proposes a point and multipliers, and says why it stopped. It proves nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from drcopt.bounds import Evidence, Independent
from drcopt.formulations import Part, Question
from drcopt.support import clock

#: The termination of a search that the user stopped (Ctrl-C) and that hands back what it has.
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Limits:
    """When to stop: the gap wanted (in units of what is minimised) and a wall-clock deadline."""

    tol: float
    deadline: float = math.inf
    node_limit: int | None = None

    @property
    def expired(self) -> bool:
        """Whether the deadline has passed (of :func:`drcopt.support.clock.now`)."""
        return clock.now() >= self.deadline

    @property
    def remaining(self) -> float:
        """Seconds left, at least 0."""
        return max(0.0, self.deadline - clock.now())


@dataclass(frozen=True, eq=False)
class Proposal:
    """An engine's claim.

    ``parts`` is the proposed point (None if it found none), ``evidence`` all that a lower bound, or that no point
    meets the limits, can be recomputed from, the multipliers what a unit of a limit is worth of what is minimised
    (NaN if unknown), ``warm`` whatever lets the next point of a sweep start from this one.
    """

    parts: Sequence[Part] | None
    evidence: tuple[Evidence, ...]
    termination: str
    distortion_multiplier: float = math.nan
    rate_multiplier: float = math.nan
    #: With several classes an array, one for each.
    classification_multiplier: Any = math.nan
    stats: dict[str, Any] = field(default_factory=dict)
    warm: Any = None


class Engine(Protocol):
    """Anything with a name and :meth:`propose`; what it takes is said in :data:`drcopt.engines.ENGINES`."""

    @property
    def name(self) -> str:
        """The name it is registered under."""
        ...

    def propose(self, question: Question, limits: Limits, warm: Any = None) -> Proposal:
        """Propose an answer to ``question``, whose problem has no zero-mass letters and d scaled to [0, 1]."""
        ...


def independent(question: Question) -> Proposal:
    """With R = 0 or a one-letter alphabet the independent coupling is the only one."""
    coupling = question.problem.independent
    return Proposal(
        parts=[Part(1.0, coupling)],
        evidence=(Independent(),),
        termination="X and Y must be independent: one coupling is left",
        distortion_multiplier=0.0,
        rate_multiplier=math.inf if question.rate_budget == 0 and min(coupling.shape) > 1 else 0.0,
        classification_multiplier=0.0,
    )
