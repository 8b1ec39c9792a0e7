"""How a problem was changed before it is solved, and the way back: letters dropped, d brought to [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drcopt.support.check import FloatArray


@dataclass(frozen=True, eq=False)
class Standard:
    """How :meth:`Problem.standardised` changed d."""

    scale: float
    row: FloatArray
    column: FloatArray


@dataclass(frozen=True, eq=False)
class Support:
    """Indices of the letters of X, Y and S with positive mass, and how to put results back."""

    x: np.ndarray
    y: np.ndarray
    s: np.ndarray
    shape: tuple[int, int]

    def restore(self, coupling: FloatArray) -> FloatArray:
        """A coupling of the reduced problem as one of the full problem, zero elsewhere."""
        if coupling.shape == self.shape:
            return coupling.copy()
        full = np.zeros(self.shape)
        full[np.ix_(self.x, self.y)] = coupling
        return full
