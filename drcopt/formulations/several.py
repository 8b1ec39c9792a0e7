"""The single-letter problem with several classes: a limit on H(S_j|Y) for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

from drcopt.classes import Classes
from drcopt.formulations.base import Part, Question
from drcopt.formulations.single_letter import Message, SingleLetter, of_letters
from drcopt.information import entropy
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, RATE, Quantity
from drcopt.support.check import FloatArray


@dataclass(frozen=True, eq=False)
class Several(Question):
    """min E d (or I) over couplings with I ≤ R and H(S_j|Y) ≤ C_j: vectors of quantities go on with class after class.

    The budgets of classes, in the order of ``problem.classes``, are ``losses``; ``classification_budget`` is not read.
    """

    losses: tuple[float, ...] = field(kw_only=True)

    name = "single-letter"

    @property
    def classes(self) -> Classes:
        """Those of the problem."""
        assert self.problem.classes is not None
        return self.problem.classes

    @cached_property
    def quantities(self) -> tuple[Quantity, ...]:
        """E d, I and the loss of every class."""
        seen = "V" if self.classifier_sees == "message" else "Y"
        losses = [
            Quantity("classification_loss", 2 + j, f"H({name}|{seen})", f"C[{name!r}]", True)
            for j, name in enumerate(self.classes)
        ]
        return (DISTORTION, RATE, *losses)

    def read(self, parts: Sequence[Part]) -> FloatArray:
        """The joint pmf of X and what the classifier reads."""
        return self.coupling(parts)

    def rate(self, parts: Sequence[Part]) -> float:
        return self.problem.rate(self.read(parts))

    def classification_loss(self, parts: Sequence[Part]) -> float:
        raise NotImplementedError("several classes have several losses")

    def values(self, parts: Sequence[Part]) -> tuple[float, ...]:
        losses = self.classes.losses(self.read(parts))
        return (self.distortion(parts), self.rate(parts), *losses.values())

    @cached_property
    def budgets(self) -> tuple[float, ...]:
        given = (self.distortion_budget, self.rate_budget, *self.losses)
        return tuple(math.inf if place == self.objective.place else b for place, b in enumerate(given))

    @cached_property
    def most(self) -> tuple[float, ...]:
        distortion, rate, _ = self.without().most
        return (distortion, rate, *(entropy(self.problem.px @ W) for W in self.classes.values()))

    def only(self, name: str) -> SingleLetter:
        """The question about one class alone: its bounds hold here, where it minimises what this does."""
        j = list(self.classes).index(name)
        objective = CLASSIFICATION_LOSS if self.objective.place == 2 + j else self.objective
        return self._about(name, self.losses[j], objective)

    def without(self) -> SingleLetter:
        """The question without limits on losses, E d minimised where this minimises a loss."""
        return self._about(None, math.inf, self.objective)

    def _about(self, name: str | None, loss: float, objective: Quantity) -> SingleLetter:
        if objective.place > RATE.place and objective is not CLASSIFICATION_LOSS:
            objective = DISTORTION
        kind = Message if self.classifier_sees == "message" else SingleLetter
        return kind(
            self.problem.of_class(name),
            self.rate_budget,
            loss,
            distortion_budget=self.distortion_budget,
            objective=objective,
            laws=self.laws,
        )

    def minimising(self, objective: Quantity, **limits: Any) -> Self:
        """The same limits, or others, where one of its quantities is minimised, which then has none."""
        return replace(self, objective=objective, **limits)


@dataclass(frozen=True, eq=False)
class SeveralMessages(Several):
    """The same where the classifiers read the message, of which the letter of Y is a function: see :class:`Message`.

    Convex, as with one class: with a budgets that bind an optimal message has n + a atoms at most where Y has any law,
    n + m − 1 + a where it is not.
    """

    classifier_sees = "message"

    def coupling(self, parts: Sequence[Part]) -> FloatArray:
        return of_letters(self.problem, parts)

    def read(self, parts: Sequence[Part]) -> FloatArray:
        return parts[0].coupling
