"""Questions where C limits what the best decision about S costs, such as its probability of error, in place of H(S|Y).

With a table ℓ(s, a), the loss of action a in class s, the loss of a coupling is Σ_y min_a Σ_s p(s, y) ℓ(s, a): concave
in it, as H(S|Y) is, but linear once every letter has its action. ℓ = 1 − identity gives the Bayes error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from drcopt import words
from drcopt.errors import InputError
from drcopt.formulations.base import Part, Question
from drcopt.formulations.one_shot import OneShot
from drcopt.formulations.single_letter import Message, SingleLetter
from drcopt.formulations.time_sharing import TimeSharing
from drcopt.support import check
from drcopt.support.check import FloatArray


def table_of(class_loss: Any, k: int) -> FloatArray:
    """ℓ(s, a), shape (k, A): of the probability of error for "error", else the table given."""
    if isinstance(class_loss, str):
        check.choice("class_loss", class_loss, words.CLASS_LOSSES)
        return 1.0 - np.eye(k)
    table = check.real_array("class_loss", class_loss, 2)
    if len(table) != k:
        raise InputError(
            f"class_loss must have a row for each of the {k} classes and a column for each action; it has shape "
            f"{table.shape}. "
            + ("Pass its transpose." if table.shape[1] == k else "Pass the loss of every action in every class.")
        )
    return table


@dataclass(frozen=True, eq=False)
class Decided(Question):
    """A question with the table ``losses`` (k, A) ≥ 0; its classification budget is in their unit."""

    losses: FloatArray = field(kw_only=True)

    @property
    def expected(self) -> FloatArray:
        """Σ_s p(s|x) ℓ(s, a), shape (n, A)."""
        return np.asarray(self.problem.ps_given_x @ self.losses)

    def loss_of(self, coupling: FloatArray) -> float:
        """Of the best decision for each letter of one coupling, (n, J)."""
        return float((self.expected.T @ coupling).min(axis=0).sum())

    @cached_property
    def most(self) -> tuple[float, ...]:
        """The loss is at most that of the best action for all."""
        distortion, rate, *_ = super().most
        return distortion, rate, float((self.problem.px @ self.expected).min()) * (1.0 + 1e-12)

    @property
    def split(self) -> bool:
        """Whether who decides knows a letter of Y only, so that each has one best action."""
        return True


@dataclass(frozen=True, eq=False)
class Decisions(Decided, SingleLetter):
    """The single-letter question."""

    def classification_loss(self, parts: Sequence[Part]) -> float:
        return self.loss_of(self.coupling(parts))


@dataclass(frozen=True, eq=False)
class MessageDecisions(Decided, Message):
    """The same where who decides reads the message: convex."""

    def classification_loss(self, parts: Sequence[Part]) -> float:
        return self.loss_of(parts[0].coupling)

    @property
    def split(self) -> bool:
        return False


@dataclass(frozen=True, eq=False)
class MapDecisions(OneShot, Decided):
    """One-shot: who decides knows Y, or Y and which map was used ("YU"), where the program over maps is linear."""

    def classification_loss(self, parts: Sequence[Part]) -> float:
        if self.split:
            return self.loss_of(self.coupling(parts))
        return sum(part.weight * self.loss_of(part.coupling) for part in parts)

    @property
    def split(self) -> bool:
        return self.classifier_sees == "Y"


@dataclass(frozen=True, eq=False)
class SharedDecisions(Decided, TimeSharing):
    """Time-sharing: who decides knows Y and which coupling is used. Convex once every part has its actions."""

    def classification_loss(self, parts: Sequence[Part]) -> float:
        return sum(part.weight * self.loss_of(part.coupling) for part in parts)
