"""What the three formulations share: a question about a problem."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from drcopt.problem import Problem
from drcopt.questions import DISTORTION, QUANTITIES, Fixed, Near, OutputLaw, Piece, Quantity
from drcopt.questions.region import lowered
from drcopt.support.check import FloatArray


@dataclass(frozen=True, eq=False)
class Part:
    """A weighted coupling of shape (n, m); for one-shot codes with the map f(x), shape (n,), that it comes from.

    For messages it is one of X and V, shape (n, J), with the letter of Y of each letter of V, shape (J,).
    """

    weight: float
    coupling: FloatArray
    map: np.ndarray | None = None
    letters: np.ndarray | None = None


#: What a sum and a quotient may be rounded up by, relative.
_LAST_DIGITS = 4 * 2.0**-53

#: The fields of a question that hold its limits, in the order of the quantities.
_LIMITS = ("distortion_budget", "rate_budget", "classification_budget")


@dataclass(frozen=True, eq=False)
class Question(ABC):
    """Minimise one quantity of a problem and limit the others, in nats and the unit of d (inf: no limit).

    A point is a sequence of :class:`Part`; a single coupling is one part of weight 1. The formulation, a subclass,
    says how rate and classification loss are counted. The limit on what is minimised plays no part.
    """

    problem: Problem
    rate_budget: float
    classification_budget: float
    distortion_budget: float = field(default=math.inf, kw_only=True)
    objective: Quantity = field(default=DISTORTION, kw_only=True)
    #: The laws that Y may have; None: the problem's py alone. With any other, py is a place holder.
    laws: OutputLaw | None = field(default=None, kw_only=True)

    name: ClassVar[str]
    classifier_sees: ClassVar[str] = "Y"

    def with_problem(self, problem: Problem) -> Self:
        """The same question about other data."""
        return replace(self, problem=problem)

    def at(self, law: FloatArray, laws: OutputLaw | None = None) -> Self:
        """The same question where Y must have this law, on the letters that have mass; ``laws``: or one of those."""
        problem, y = self.problem, np.flatnonzero(law > 0)
        fixed = Problem(problem.px, law[y] / law[y].sum(), problem.ps_given_x, problem.d[:, y])
        return replace(self, problem=fixed, laws=laws)

    @property
    def law(self) -> OutputLaw:
        """The laws that Y may have."""
        return Fixed(self.problem.py) if self.laws is None else self.laws

    # -- points ------------------------------------------------------------------------------------------------

    def coupling(self, parts: Sequence[Part]) -> FloatArray:
        """The joint pmf of (X, Y), shape (n, m)."""
        if len(parts) == 1 and parts[0].weight == 1.0:
            return parts[0].coupling
        return np.asarray(sum(part.weight * part.coupling for part in parts))

    def distortion(self, parts: Sequence[Part]) -> float:
        """E d(X,Y)."""
        return self.problem.distortion(self.coupling(parts))

    @abstractmethod
    def rate(self, parts: Sequence[Part]) -> float:
        """What the rate budget limits, in nats."""

    @abstractmethod
    def classification_loss(self, parts: Sequence[Part]) -> float:
        """What the classification budget limits, in nats."""

    def values(self, parts: Sequence[Part]) -> tuple[float, ...]:
        """All quantities of a point, in the order of :data:`drcopt.questions.QUANTITIES`."""
        return self.distortion(parts), self.rate(parts), self.classification_loss(parts)

    # -- limits ------------------------------------------------------------------------------------------------

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """Those that points have, in the order of their places."""
        return QUANTITIES

    @cached_property
    def budgets(self) -> tuple[float, ...]:
        """The limit on each quantity; inf for the one that is minimised."""
        given = (getattr(self, name) for name in _LIMITS)
        return tuple(math.inf if q is self.objective else b for q, b in zip(QUANTITIES, given, strict=True))

    @cached_property
    def most(self) -> tuple[float, ...]:
        """What no point exceeds: the largest d, min(H(X), H(Y)) and H(S)."""
        problem = self.problem
        entropy_y = problem.entropy_y if self.laws is None else math.log(problem.m)
        return problem.d_most, min(problem.entropy_x, entropy_y), problem.entropy_s

    @cached_property
    def caps(self) -> tuple[float, ...]:
        """Limits no larger than any point can need; 0 for what is minimised, which has none."""
        pairs = zip(self.quantities, self.budgets, self.most, strict=True)
        return tuple(0.0 if q.place == self.objective.place else min(b, most) for q, b, most in pairs)

    @property
    def perception_budget(self) -> float:
        """The limit on φ(pY, t), where Y's law is to lie near a target; inf: none."""
        return self.laws.budget if isinstance(self.laws, Near) else math.inf

    def minimising(self, objective: Quantity, **limits: float) -> Self:
        """The same problem and limits for another objective, ``limits`` changed; what was minimised has none."""
        free = {_LIMITS[self.objective.place]: math.inf, _LIMITS[objective.place]: math.inf}
        return replace(self, objective=objective, **(free | limits))  # type: ignore[arg-type]

    # -- bounds ------------------------------------------------------------------------------------------------

    def bound(self, piece: Piece) -> float:
        """What a half-space says of the objective within the limits, rounded down; inf: no point of it meets them."""
        caps = self.caps
        if len(piece.weights) != len(caps):
            return -math.inf  # about other quantities
        weight = piece.weights[self.objective.place]
        paid = [w * cap for w, cap in zip(piece.weights, caps, strict=True)]
        if piece.perception > 0:
            paid.append(piece.perception * self.perception_budget)
        rest = lowered(math.fsum([piece.level, *(-p for p in paid)]), *paid)
        if weight > 0:
            value = rest / weight
            return value if math.isinf(value) else value - _LAST_DIGITS * abs(value)
        return math.inf if rest > 0 else -math.inf


#: The name of before: a formulation is a question put in its way.
Formulation = Question
