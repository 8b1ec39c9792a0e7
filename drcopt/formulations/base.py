"""What the three formulations share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from drcopt._check import FloatArray
from drcopt.problem import Problem


@dataclass(frozen=True, eq=False)
class Part:
    """A weighted coupling of shape (n, m); for one-shot codes with the map f(x), shape (n,), that it comes from."""

    weight: float
    coupling: FloatArray
    map: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Formulation(ABC):
    """A problem with a rate budget and a classification budget, in nats (inf: no such budget).

    A point of a formulation is a sequence of :class:`Part`; a single coupling is one part of weight 1.
    """

    problem: Problem
    rate_budget: float
    classification_budget: float

    name: ClassVar[str]
    classifier_sees: ClassVar[str] = "Y"

    def with_problem(self, problem: Problem) -> Self:
        """The same question about other data."""
        return replace(self, problem=problem)

    def coupling(self, parts: Sequence[Part]) -> FloatArray:
        """The joint pmf of (X, Y), shape (n, m)."""
        if len(parts) == 1 and parts[0].weight == 1.0:
            return parts[0].coupling
        return np.asarray(sum(part.weight * part.coupling for part in parts))

    @abstractmethod
    def rate(self, parts: Sequence[Part]) -> float:
        """What the rate budget limits, in nats."""

    @abstractmethod
    def classification_loss(self, parts: Sequence[Part]) -> float:
        """What the classification budget limits, in nats."""
