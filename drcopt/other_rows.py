"""What the other rows of a sweep found, to a session: judged, an answer without an engine."""

from __future__ import annotations

from typing import Any

from drcopt.certify.certificate import Certificate, repair
from drcopt.engines.base import Limits, Proposal
from drcopt.engines.earlier import Earlier, Trees, left_by, parted
from drcopt.formulations import Question
from drcopt.questions import DISTORTION


class OtherRows:
    """Answers from what rows before left, and what the last one leaves, whichever engine it had."""

    name = "earlier"

    def __init__(self) -> None:
        self._last: tuple[Question, Certificate, Any, tuple[float, float]] | None = None
        self._earlier = Earlier()

    def settling(self, standard: Question, warm: Any, limits: Limits) -> Proposal | None:
        """A point and a bound within ``limits.tol`` of each other for the standardised question, if there are any."""
        rows = parted(warm)[1]
        found = self._earlier.settling(standard, rows, limits.tol) if rows else None
        if found is None or found.parts is None:
            return None
        point = repair(standard, found.parts)
        if point is None or point.spent.excess > 0.0:
            return None
        value = point.spent.values[standard.objective.place]
        return found if value - found.evidence[0].bound(standard) <= limits.tol else None

    def leave(self, standard: Question, certificate: Certificate, evidence: Any, counted: tuple[float, float]) -> None:
        """Keep the answer to a standardised question, and evidence about that; ``counted``: see the session's."""
        self._last = standard, certificate, evidence, counted

    @property
    def left(self) -> Trees:
        """What the last answer leaves."""
        if self._last is None:
            return {}
        standard, certificate, evidence, counted = self._last
        scale, zero = counted if certificate.objective is DISTORTION else (1.0, 0.0)
        parts = certificate.parts if certificate.excess == 0.0 else None
        found = evidence if isinstance(evidence, tuple) else ()
        return left_by(standard, parts, found, (certificate.lower - zero) / scale)
