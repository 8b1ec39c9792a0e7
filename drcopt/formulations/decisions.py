"""Questions where C limits what the best decision about S costs, such as its probability of error, in place of H(S|Y).

With a table ℓ(s, a), the loss of action a in class s, the loss of a coupling is Σ_y min_a Σ_s p(s, y) ℓ(s, a): concave
in it, as H(S|Y) is, but linear once every letter has its action. ℓ = 1 − identity gives the Bayes error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from drcopt.formulations.base import Part
from drcopt.formulations.single_letter import Message, SingleLetter
from drcopt.support.check import FloatArray


@dataclass(frozen=True, eq=False)
class Decisions(SingleLetter):
    """A single-letter question with the table ``losses`` (k, A) ≥ 0; its classification budget is in their unit."""

    losses: FloatArray = field(kw_only=True)

    @property
    def expected(self) -> FloatArray:
        """Σ_s p(s|x) ℓ(s, a), shape (n, A)."""
        return np.asarray(self.problem.ps_given_x @ self.losses)

    def classification_loss(self, parts: Sequence[Part]) -> float:
        return float((self.expected.T @ self.coupling(parts)).min(axis=0).sum())

    @cached_property
    def most(self) -> tuple[float, ...]:
        """The loss is at most that of the best action for all."""
        distortion, rate, *_ = super().most
        return distortion, rate, float((self.problem.px @ self.expected).min()) * (1.0 + 1e-12)


@dataclass(frozen=True, eq=False)
class MessageDecisions(Message):
    """The same where who decides reads the message: convex."""

    losses: FloatArray = field(kw_only=True)

    @property
    def expected(self) -> FloatArray:
        """Σ_s p(s|x) ℓ(s, a), shape (n, A)."""
        return np.asarray(self.problem.ps_given_x @ self.losses)

    def classification_loss(self, parts: Sequence[Part]) -> float:
        return float((self.expected.T @ parts[0].coupling).min(axis=0).sum())

    @cached_property
    def most(self) -> tuple[float, ...]:
        """The loss is at most that of the best action for all."""
        distortion, rate, *_ = super().most
        return distortion, rate, float((self.problem.px @ self.expected).min()) * (1.0 + 1e-12)
