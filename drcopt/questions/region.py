"""Half-spaces: what every lower bound is made of.

Whatever an engine finds, what it proves of the achievable points (E d, I, H(S|Y)) is that those of some part of the
region, the points whose class posteriors lie in a box, say, have

  w_D·E d + w_R·I + w_C·H(S|Y) ≥ Λ,

and where Y's law q is to lie near a target t that w_D·E d + w_R·I + w_C·H(S|Y) + w_P·φ(q, t) ≥ Λ, whatever q.

Nothing in that speaks of budgets or of an objective: a question turns it into a bound on what it minimises
(:meth:`drcopt.formulations.base.Question.bound`), and the same half-space serves every question.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Unit roundoff times a safety factor: bounds are lowered by this much of the largest number in them.
ROUNDING = 64 * 2.0**-53


@dataclass(frozen=True)
class Piece:
    """``weights`` (w_D, w_R, w_C) ≥ 0 and the ``level`` Λ that they cannot fall below; inf: the part is empty.

    With several classes there is a w_C for each. ``perception`` is w_P, 0 where there is no target.
    """

    weights: tuple[float, ...]
    level: float
    perception: float = 0.0


def lowered(total: float, *magnitudes: float) -> float:
    """``total`` less an allowance for the rounding of a sum of terms of these magnitudes."""
    if math.isnan(total):
        return -math.inf
    return total - ROUNDING * math.fsum(abs(m) for m in magnitudes)
