"""Time-sharing: mixtures of couplings, each with the given marginals; what block codes achieve as n → ∞."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drcopt.formulations.base import Part, Question


@dataclass(frozen=True, eq=False)
class TimeSharing(Question):
    """Budgets hold on average over the components: the lower convex envelope of the single-letter problem."""

    name = "time-sharing"

    def rate(self, parts: Sequence[Part]) -> float:
        return sum(p.weight * self.problem.rate(p.coupling) for p in parts)

    def classification_loss(self, parts: Sequence[Part]) -> float:
        return sum(p.weight * self.problem.classification_loss(p.coupling) for p in parts)
