"""The judge where there are several classes: each held against its own budget."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from drcopt.bounds import Cheapest, Evidence, OfClass, bound_of, floors
from drcopt.certify import proof
from drcopt.certify.certificate import repair
from drcopt.certify.witness import CLOSE, Budgets, Spent, spent
from drcopt.formulations import Message, Part, Several, SingleLetter
from drcopt.questions import CLASSIFICATION_LOSS, RATE, Quantity
from drcopt.questions.output import Free

#: A bound this much, relative, above what any point has is no rounding.
_BEYOND = 1e-9


@dataclass(frozen=True, eq=False)
class SeveralCertificate:
    """The question, a point within its limits (of value ``upper``) and evidence for the bound ``lower``.

    ``spent`` says of every class what the point has, with E d and the rate, and by how much limits may be exceeded.
    """

    formulation: Several
    parts: tuple[Part, ...] | None
    evidence: tuple[Evidence, ...]
    upper: float
    lower: float
    spent: tuple[Spent, ...] = ()

    #: There is no problem with costs cut off beside the question's.
    relaxed: ClassVar[None] = None

    @property
    def excess(self) -> float:
        """By how much the point may exceed a limit, in nats or the unit of d; with any ``upper`` bounds nothing."""
        return max((one.excess for one in self.spent), default=0.0)

    @property
    def infeasible(self) -> bool:
        """Whether it is proved that no point meets the limits."""
        return self.lower == math.inf

    def least(self, quantity: Quantity, *, alone: bool = False) -> float:
        """A proved lower bound on what the limits of the others leave of one of ``formulation.quantities``.

        ``alone``: what those of D and R do, whatever the other classes.
        """
        question = self.formulation.minimising(quantity)
        if alone:
            question = replace(question, losses=(math.inf,) * len(question.losses))
        return best_bound(question, self.evidence)

    @property
    def objective(self) -> Quantity:
        """What is minimised."""
        return self.formulation.objective

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a proof file: see :func:`drcopt.certify.proof.save`."""
        proof.save(self, path)


def best_bound(question: Several, evidence: Sequence[Evidence]) -> float:
    """The best of the bounds that the evidence gives, and that need none."""
    known = (*floors(question), OfClass(None, Cheapest()), *evidence)
    return max(bound_of(one, question) for one in known)


class Judge:
    """Moves points onto the marginals and within D and R; holds every class against its budget; keeps the best."""

    def __init__(self, question: Several, budgets: Budgets, losses: Sequence[float]) -> None:
        self.question, self.budgets = question, budgets
        self.each = [
            (question.only(name), Budgets(budgets.distortion, budgets.rate, loss, budgets.units))
            for name, loss in zip(question.classes, losses, strict=True)
        ]
        self.best: tuple[tuple[Part, ...], tuple[Spent, ...]] | None = None
        self._bounds: dict[int, tuple[Evidence, float]] = {}

    def __call__(self, part: Part) -> float | None:
        """By how much the point, moved, may exceed a budget: 0 if it meets all, None if it is none."""
        point = repair(self.question.without(), [part], self.budgets, lower_loss=False)
        if point is None:
            return None
        found = tuple(self._spent(one, point.parts, own) for one, own in self.each)
        if max(s.loss_excess for s in found) > CLOSE:
            return None
        if self.best is None or self._key(found) < self._key(self.best[1]):
            self.best = point.parts, found
        return max(s.excess for s in found)

    @staticmethod
    def _spent(one: SingleLetter, parts: tuple[Part, ...], budgets: Budgets) -> Spent:
        """What a point spends of the budgets with one class: of its own law where none is given, and of its atoms."""
        if one.laws is None and not isinstance(one, Message):
            return spent(one, parts, budgets)
        (part,) = parts
        law = part.coupling.sum(axis=0)
        if isinstance(one, Message):
            assert part.letters is not None
            return spent(one.of_atoms(part.letters, law, None if one.laws is None else Free()), parts, budgets)
        return spent(one.at(law, Free()), [replace(part, coupling=part.coupling[:, law > 0])], budgets)

    def _key(self, found: Sequence[Spent]) -> tuple[bool, float]:
        return any(s.excess > 0.0 for s in found), self.value(found)

    def value(self, found: Sequence[Spent]) -> float:
        """What is minimised, of what a point spends by class."""
        place = self.question.objective.place
        return found[0].values[place] if place <= RATE.place else found[place - CLASSIFICATION_LOSS.place].loss

    def bound(self, evidence: Evidence) -> float:
        """What it proves, evaluated once."""
        if id(evidence) not in self._bounds:
            self._bounds[id(evidence)] = evidence, bound_of(evidence, self.question)
        return self._bounds[id(evidence)][1]

    def certificate(self, evidence: tuple[Evidence, ...]) -> SeveralCertificate:
        """What is proved."""
        question = self.question
        lower, upper = max(best_bound(question, ()), *map(self.bound, evidence), -math.inf), math.inf
        place = question.objective.place
        if lower > question.most[place] * (1.0 + _BEYOND):
            lower = math.inf  # more than any point has: none meets the limits
        if self.best is None:
            return SeveralCertificate(question, None, evidence, upper, lower)
        parts, found = self.best
        upper = self.value(found)
        met = all(s.excess == 0.0 for s in found)
        if not met and lower == math.inf:
            return SeveralCertificate(question, None, evidence, math.inf, lower)
        if met and lower > upper + 1e-9 * question.most[place]:
            raise ArithmeticError(
                f"drcopt contradicts itself: a point of value {upper!r} meets the budgets, yet the bound is {lower!r}. "
                "This is a bug; please report it with the problem's arrays."
            )
        lower = min(lower, upper) if met else lower  # both ends carry rounding of the last digits
        return SeveralCertificate(question, parts, evidence, upper, lower, found)
