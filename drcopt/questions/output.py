"""The laws that Y may have. A bound meets them in one place only: Ψ_Q(g) = min {⟨g, q⟩ : q ∈ Q}."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from drcopt.questions.divergences import KINDS as KINDS
from drcopt.questions.divergences import Ball, cost_of, plan, unit
from drcopt.support.check import FloatArray

#: Laws aim this far inside their ball, relative and absolute, so that rounding keeps them there.
_INSIDE, _ROOM = 1e-12, 1e-14


class OutputLaw(Protocol):
    """A set Q of pmfs on the letters of Y."""

    def least(self, g: FloatArray) -> float:
        """Ψ_Q(g), the least ⟨g, q⟩ over the set, for g of shape (m,), or something below it."""
        ...

    def argmin(self, g: FloatArray) -> FloatArray:
        """A law of the set that all but attains it, shape (m,)."""
        ...

    def halfspace(self, g: FloatArray) -> tuple[float, float]:
        """Λ and ω ≥ 0 with ⟨g, q⟩ + ω φ(q, t) ≥ Λ for every law: Λ − ωP is :meth:`least`. ω is 0 where t is none."""
        ...


@dataclass(frozen=True, eq=False)
class Fixed:
    """Q = {py}: Y has the given law."""

    py: FloatArray

    def least(self, g: FloatArray) -> float:
        """⟨g, py⟩."""
        return math.fsum(np.asarray(self.py * g))

    def argmin(self, g: FloatArray) -> FloatArray:
        """The law itself."""
        return self.py

    def halfspace(self, g: FloatArray) -> tuple[float, float]:
        """⟨g, py⟩."""
        return self.least(g), 0.0


@dataclass(frozen=True, eq=False)
class Free:
    """Every pmf: Y may have any law."""

    def least(self, g: FloatArray) -> float:
        """The least entry of g."""
        return float(g.min())

    def argmin(self, g: FloatArray) -> FloatArray:
        """All mass on the letter of least g."""
        return unit(len(g), int(g.argmin()))

    def halfspace(self, g: FloatArray) -> tuple[float, float]:
        """The least entry of g."""
        return self.least(g), 0.0


@dataclass(frozen=True, eq=False)
class Near(Ball):
    """Q = {q : φ(q, t) ≤ P}: Y has a law near the target t."""

    def least(self, g: FloatArray) -> float:
        """Ψ_Q(g), rounded down."""
        return self.answer(g).value

    def argmin(self, g: FloatArray) -> FloatArray:
        """A law of the ball that all but attains it."""
        return self.inside(self.answer(g).law)

    def halfspace(self, g: FloatArray) -> tuple[float, float]:
        """Λ and ω, which hold at every P and are best at this one: P ↦ Ψ(g) is convex, and this is a tangent."""
        answer = self.answer(g)
        return self.priced(g, answer.weight, answer.level), answer.weight

    def plan(self, q: FloatArray) -> FloatArray:
        """What a cheap way to move q to the target moves from letter to letter, shape (m, m), for "wasserstein"."""
        found = plan(self, q)
        return np.outer(q, self.target) if found is None else found

    @property
    def confined(self) -> bool:
        """Whether some letters are infinitely far: those without mass in the target, for "kl" and "chi2"."""
        return self.kind in ("kl", "chi2") and not bool(self.target.all())

    @property
    def farthest(self) -> float:
        """What no law exceeds of which the divergence is finite; inf where there is no such number."""
        least = float(self.target[self.target > 0].min())
        if self.kind == "wasserstein":
            return float(cost_of(self).max())
        return {"tv": 1.0, "hellinger": 1.0, "kl": -math.log(least), "chi2": 1.0 / least - 1.0}.get(self.kind, math.inf)

    def inside(self, q: FloatArray) -> FloatArray:
        """The law nearest to q on the way to the target that lies in the ball: φ(·, t) is convex and 0 at t."""
        share = self.share(q)
        return q if share == 0.0 else np.asarray((1.0 - share) * q + share * self.target)

    def share(self, q: FloatArray) -> float:
        """How much of the target must be mixed into q for it to lie in the ball; 0: none."""
        aim = max(self.budget * (1.0 - _INSIDE) - _ROOM, 0.5 * self.budget)
        if (now := self.divergence(q)) <= aim:
            return 0.0
        low, high = 0.0, 1.0
        if self.kind == "wasserstein":  # convexity says so much, and a transport problem for each guess is dear
            return min(1.0, 1.0 - aim / now + 1e-15) if math.isfinite(now) else 1.0
        for _ in range(80):
            middle = 0.5 * (low + high)
            if self.divergence((1.0 - middle) * q + middle * self.target) <= aim:
                high = middle
            else:
                low = middle
            if high - low <= 1e-16 + 1e-13 * high:
                break
        return high
