"""The laws that Y may have. A bound meets them in one place only: Ψ_Q(g) = min {⟨g, q⟩ : q ∈ Q}."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from drcopt._check import FloatArray


class OutputLaw(Protocol):
    """A set Q of pmfs on the letters of Y."""

    def least(self, g: FloatArray) -> float:
        """Ψ_Q(g), the least ⟨g, q⟩ over the set, for g of shape (m,)."""
        ...


@dataclass(frozen=True, eq=False)
class Fixed:
    """Q = {py}: Y has the given law."""

    py: FloatArray

    def least(self, g: FloatArray) -> float:
        """⟨g, py⟩."""
        return math.fsum(np.asarray(self.py * g))
