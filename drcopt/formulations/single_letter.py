"""The single-letter problem: min E d(X,Y) over P in Γ(px, py) with I(X;Y) ≤ R and H(S|Y) ≤ C."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drcopt.formulations.base import Part, Question


@dataclass(frozen=True, eq=False)
class SingleLetter(Question):
    """One coupling. The rate is convex in it, the classification loss concave."""

    name = "single-letter"

    def rate(self, parts: Sequence[Part]) -> float:
        return self.problem.rate(self.coupling(parts))

    def classification_loss(self, parts: Sequence[Part]) -> float:
        return self.problem.classification_loss(self.coupling(parts))
