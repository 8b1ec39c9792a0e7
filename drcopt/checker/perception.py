"""How far Y's law is from a target: what a weight on that adds to a bound, what a law spends.

For costs g of the letters, ω > 0, a pmf q and any x ≥ 0, ⟨g, q⟩ + ω φ(q, t) − min g is at least

  tv              Σ t min(c, ω)           wasserstein   Σ_y' t(y') min_y (c(y) + ω ground(y, y'))
  kl              −ω log Σ t exp(−c/ω)    chi2          x + Σ t h(c − x)
  reverse-chi2    2 Σ t √(ωa) − ω − x     hellinger     ω − ω² Σ t/4a − x
  reverse-kl, renyi   ω (1 + log(M(a)/ω)) − x

with c = g − min g, a = c + x, h(u) = u − u²/4ω up to u = 2ω and ω from there on, and M the power
mean of order 1 − 1/ρ weighted by t. That is the least over q ≥ 0 letter by letter, λ = x − min g
(chi2: −λ) the multiplier of Σ q = 1; for Rényi's divergences it is Hölder's inequality. For kl and
chi2 a finite φ leaves the support of t alone, and min g is the least there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from flint import arb

from drcopt.checker import schema
from drcopt.checker.balls import ball, least

#: What each is called in print, and whether it is measured in nats.
KINDS = {
    "tv": ("TV(pY,t)", False),
    "kl": ("D(pY‖t)", True),
    "reverse-kl": ("D(t‖pY)", True),
    "chi2": ("χ²(pY‖t)", False),
    "reverse-chi2": ("χ²(t‖pY)", False),
    "hellinger": ("1 − Σ √(pY t)", False),
    "renyi": ("Rényi's D(t‖pY)", True),
    "wasserstein": ("W(pY,t)", False),
}


class Perception:
    """φ(·, t) for a target t on m letters."""

    def __init__(self, data: Any, m: int) -> None:
        data = schema.record("perception", data)
        kind = data["kind"]
        if not isinstance(kind, str) or kind not in KINDS:
            raise ValueError(f"there is no perception of kind {kind!r:.40}")
        for name, needed in (("ground", kind == "wasserstein"), ("order", kind == "renyi")):
            if (name in data) != needed:
                raise ValueError(f"a perception of kind {kind!r} has {'no ' * (not needed)}{name}")
        self.kind, (self.name, self.in_nats) = kind, KINDS[kind]
        self.t = ball(schema.pmf(data["target"], m))
        self.there = np.array([not t.is_zero() for t in self.t])
        self.order = arb(schema.positive(data.get("order", "1")))
        if not self.order > 0:
            raise ValueError("an order is 0")
        if kind == "wasserstein":
            self.ground = ball(schema.array(data["ground"], m, m, read=schema.positive))
            if not all(cost.is_zero() for cost in np.diag(self.ground)):
                raise ValueError("keeping a letter costs something")

    def least(self, g: Any, weight: Any, x: Any) -> Any:
        """Something below ⟨g, q⟩ + weight · φ(q, t) for all pmfs q of finite φ."""
        some = self.there if self.kind in ("kl", "chi2") else np.full(len(g), True)
        low = least(g[some])
        if weight > 0:
            more = self._above(g[some] - low, weight, x, self.t[some], self.there[some])
            if more.is_finite():
                return low + more.max(arb(0))
        return low

    def _above(self, c: Any, w: Any, x: Any, t: Any, there: Any) -> Any:
        if self.kind == "tv":
            return t @ [v.min(w) for v in c]
        if self.kind == "wasserstein":
            return t @ [least(c + w * to) for to in self.ground.T]
        if self.kind == "kl":
            return -w * (t @ [(-v / w).exp() for v in c]).log()
        if self.kind == "chi2":
            # The parabola is below its top: where balls cannot tell, it will do.
            a = c - x
            return x + t @ [w if v > 2 * w else v - v * v / (4 * w) for v in a]
        t, a = t[there], c[there] + x
        if self.kind == "reverse-chi2":
            return 2 * (t @ [(w * v).sqrt() for v in a]) - w - x
        if self.kind == "hellinger":
            return w - w * w * (t @ [1 / (4 * v) for v in a]) - x
        return w * (1 + self._log_mean(t, a) - w.log()) - x

    def _log_mean(self, t: Any, a: Any) -> Any:
        """log of the power mean of order 1 − 1/ρ."""
        logs = np.array([v.log() for v in a])
        r = 1 - 1 / (self.order if self.kind == "renyi" else arb(1))
        return t @ logs if r.is_zero() else (t @ [(r * v).exp() for v in logs]).log() / r

    def spent(self, q: Any, plan: Any) -> Any:
        """φ(q, t) or more, of a law in balls, with exact zeros where it has no mass."""
        t, has = self.t, np.array([not v.is_zero() for v in q])
        both, infinite = has & self.there, arb("inf")
        pairs = list(zip(q[both], t[both], strict=True))
        if self.kind == "tv":
            return sum((abs(v) for v in q - t), arb(0)) / 2
        if self.kind == "wasserstein":
            return self._moved(q, plan)
        if self.kind in ("kl", "chi2"):
            if (has & ~self.there).any():
                return infinite
            if self.kind == "kl":
                return sum((u * (u / v).log() for u, v in pairs), arb(0))
            return sum((u * u / v for u, v in pairs), arb(0)) - 1
        if self.kind == "hellinger":
            return 1 - sum(((u * v).sqrt() for u, v in pairs), arb(0))
        order = {"reverse-kl": arb(1), "reverse-chi2": arb(2)}.get(self.kind, self.order)
        if not pairs or ((self.there & ~has).any() and not order < 1):
            return infinite
        if self.kind == "reverse-chi2":
            return sum((v * v / u for u, v in pairs), arb(0)) - 1
        if (order - 1).is_zero():
            return sum((v * (v / u).log() for u, v in pairs), arb(0))
        total = sum(((order * v.log() + (1 - order) * u.log()).exp() for u, v in pairs), arb(0))
        return total.log() / (order - 1)

    def _moved(self, q: Any, plan: Any) -> Any:
        """What a plan costs once it moves no more than there is; of the rest, what can stays, the
        other moves at the dearest cost.
        """
        moved = ball(plan)
        np.fill_diagonal(moved, arb(0))
        for goals in (q, self.t):
            factors = [
                arb(1) if total.is_zero() else (goal / total).min(arb(1))
                for goal, total in zip(goals, moved.sum(axis=1), strict=True)
            ]
            moved = (moved * np.array(factors)[:, None]).T
        left = zip(q - moved.sum(axis=1), self.t - moved.sum(axis=0), strict=True)
        rest = 1 - moved.sum() - sum((a.min(b) for a, b in left), arb(0))
        return (self.ground * moved).sum() + rest.max(arb(0)) * -least(-self.ground.ravel())
