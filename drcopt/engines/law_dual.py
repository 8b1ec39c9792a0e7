"""The dual of couplings whose law of Y lies near a target, or is free, within limits on what is linear and on the rate.

A ball Σ t φ₀(q/t) ≤ P has the support function Ψ(g) = max_γ −γP + Σ t ψ(g, γ), ψ(a, γ) = min_r a r + γ φ₀(r), where the
multiplier of Σ q = 1 is taken into f. With weights w of costs c₁ … (of what is minimised 1) and α of the rate the best
coupling is at the maximum of the concave

  ⟨f, px⟩ − Σ weights · limits − γP + Σ_y t ψ(g_y, γ),   g_y = −α log Σ px exp((f − Σ w c_y)/α),

over f, γ and the weights of what is limited: q = t ψ' is the law, and q_y px exp((f − Σ w c_y + g_y)/α) the coupling.
Where ψ has edges (total variation; q ≥ 0 for χ²; letters off the target; every letter of a free law) and for the
weights and γ ≥ 0 a barrier of weight μ rounds them, and Newton's method follows μ to 0. On the way every limit is met,
with μ/weight to spare.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from drcopt.questions.divergences import order_and_radius
from drcopt.questions.output import Near, OutputLaw
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: The barrier at first (d in [0, 1], nats), by how much it falls, and steps at each weight.
_FIRST, _FALL, _STEPS = 0.1, 0.1, 12
#: Newton's decrement, relative to μ, that will do on the way and at the end.
_NEAR, _CLOSE = 0.3, 1e-12
#: With a larger exponent a ball is as good as all laws, and its radius overflows.
_MOST_EXPONENT = 500.0
#: How far towards an edge one step may go; values that rounding makes differ by so much are the same.
_EDGE, _SAME = 0.9, 1e-15


@dataclass(frozen=True, eq=False)
class Divergence:
    """φ₀: its first and second derivatives, its slope at infinity, and the r of least a r + γ φ₀(r) − μ log r."""

    kind: str
    power: float = 0.0

    @classmethod
    def of(cls, laws: OutputLaw) -> tuple[Divergence, float] | None:
        """And the budget on Σ t φ₀; None for what is no such sum."""
        if not isinstance(laws, Near):
            return cls("free"), 1.0
        if laws.kind in ("tv", "kl", "chi2"):
            return cls(laws.kind), laws.budget
        if laws.kind == "wasserstein":
            return None
        order, radius = order_and_radius(laws)
        if order == 1.0:
            return cls("power", 0.0), radius
        exponent = (order - 1.0) * radius
        return None if exponent > _MOST_EXPONENT else (cls("power", order - 1.0), abs(math.expm1(exponent)))

    @property
    def slope(self) -> float:
        """At infinity."""
        if self.kind in ("tv", "free"):
            return 0.5 * (self.kind == "tv")
        return math.inf if self.kind in ("kl", "chi2") else abs(self.power) or 1.0

    def ratio(self, a: FloatArray, gamma: float, mu: float) -> FloatArray:
        """r of least a r + γ φ₀(r), with −μ log r for χ²."""
        if self.kind == "kl":
            return np.exp(-a / gamma)
        if self.kind == "chi2":
            b = 2.0 * gamma - a
            root = np.sqrt(b * b + 8.0 * gamma * mu)
            return np.where(b > 0, (b + root) / (4.0 * gamma), 2.0 * mu / np.maximum(root - b, 1e-300))
        c = gamma * self.slope
        return np.asarray((c / (c + a)) ** (1.0 / (1.0 + self.power)))

    def values(self, r: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """φ₀ and its derivatives."""
        if self.kind == "kl":
            log = np.log(np.maximum(r, 1e-300))
            return r * log - r + 1.0, log, 1.0 / np.maximum(r, 1e-300)
        if self.kind == "chi2":
            return (r - 1.0) ** 2, 2.0 * (r - 1.0), np.full(len(r), 2.0)
        k = self.power
        if k == 0.0:
            return r - 1.0 - np.log(r), 1.0 - 1.0 / r, r**-2.0
        sign = math.copysign(1.0, k)
        return (
            sign * (r**-k - 1.0 + k * (r - 1.0)),
            sign * k * (1.0 - r ** (-k - 1.0)),
            sign * k * (k + 1.0) * r ** (-k - 2.0),
        )


@dataclass(frozen=True, eq=False)
class State:
    """Multipliers (f, weights of what is limited, γ); the dual with its barrier there: value, gradient, −Hessian."""

    x: FloatArray
    mu: float
    value: float
    gradient: FloatArray
    curvature: FloatArray
    p: FloatArray
    law: FloatArray

    @property
    def coupling(self) -> FloatArray:
        """The primal, shape (n, m)."""
        return self.p * self.law


class Dual:
    """The concave function and Newton's method on it.

    ``forms`` are costs, shape (n, m) each, and None for the rate, once; ``weights`` theirs, NaN where ``limits`` has a
    limit instead.
    """

    def __init__(
        self,
        px: FloatArray,
        forms: list[FloatArray | None],
        weights: FloatArray,
        limits: FloatArray,
        target: FloatArray,
        kind: Divergence,
        budget: float,
    ) -> None:
        self.px, self.log_px, self.forms, self.weights = px, np.log(px), forms, weights
        self.rate = next(i for i, form in enumerate(forms) if form is None)
        self.limited = np.flatnonzero(np.isnan(weights))
        self.limits, self.t, self.kind, self.budget, self.steps = limits[self.limited], target, kind, budget, 0
        #: Letters that mass may come to beyond what ψ gives, with a barrier of their own.
        self.open = np.full(len(target), True) if kind.kind in ("tv", "free") else target == 0.0
        self.inner = target > 0 if kind.kind != "free" else np.full(len(target), False)

    def cost(self, weights: FloatArray) -> FloatArray:
        """What a pair costs, (n, m), besides the rate."""
        return np.asarray(sum(w * form for w, form in zip(weights, self.forms, strict=True) if form is not None))

    def start(self) -> FloatArray:
        """Multipliers in the domain."""
        cost = self.cost(np.where(np.isnan(self.weights), 1.0, self.weights))
        gamma = (2.0 * float(np.ptp(cost)) + 1.0) / min(self.kind.slope or 1.0, 1.0)
        f = cost.min(axis=1) - 1.0 if self.kind.kind == "free" else cost @ self.t
        return np.concatenate([f, np.ones(len(self.limited)), [gamma]])

    def solved(self, last: float, least: float = 0.0) -> State | None:
        """The maximum, with what is left of the barrier; None if it is not reached, or α falls below ``least``."""
        state, mu = self.centred(self.start(), _FIRST, _FIRST <= last), _FIRST
        while state is not None and self.alpha(state.x) >= least:
            if mu <= last:
                return state
            mu = max(_FALL * mu, last)
            state = self.centred(state.x, mu, mu <= last)
        return None

    def centred(self, x: FloatArray, mu: float, end: bool = False) -> State | None:
        """The maximum with a barrier of weight μ, nearly or, at the ``end``, all but; None if it is not reached."""
        state = self.evaluate(x, mu)
        for _ in range(_STEPS):
            if state is None or clock.expired():
                return None
            try:
                factor = cho_factor(state.curvature, lower=True, check_finite=False)
            except np.linalg.LinAlgError:
                return None
            step = cho_solve(factor, state.gradient, check_finite=False)
            decrement = float(state.gradient @ step)
            self.steps += 1
            if not math.isfinite(decrement):
                return None
            if decrement <= (_CLOSE if end else _NEAR) * mu:
                break
            trial = self._along(state, step, decrement, mu)
            if trial is None:
                break
            state = trial
        return state

    def _along(self, state: State, step: FloatArray, decrement: float, mu: float) -> State | None:
        """As far along a step as the dual rises enough."""
        length = 1.0
        n = len(self.px)
        for now, change in zip(state.x[n:].tolist(), step[n:].tolist(), strict=True):
            if change < 0:
                length = min(length, -_EDGE * now / change)
        for _ in range(40):
            trial = self.evaluate(state.x + length * step, mu)
            # Near the end rounding decides what is higher; the gradient does not.
            if trial is not None and trial.value >= state.value + 1e-4 * length * decrement - _SAME:
                return trial
            length *= 0.5
        return None

    def _weights(self, x: FloatArray) -> FloatArray:
        """With those of what is limited."""
        weights = self.weights.copy()
        weights[self.limited] = x[len(self.px) : -1]
        return weights

    def alpha(self, x: FloatArray) -> float:
        """The weight of the rate."""
        return float(self._weights(x)[self.rate])

    def evaluate(self, x: FloatArray, mu: float) -> State | None:
        """None outside the domain."""
        n, s, gamma = len(self.px), x[len(self.px) : -1], float(x[-1])
        if not (gamma > 0.0 and (s > 0.0).all()):
            return None
        weights = self._weights(x)
        alpha = float(weights[self.rate])
        scores = (x[:n, None] - self.cost(weights)) / alpha + self.log_px[:, None]
        top = scores.max(axis=0)
        p = np.exp(scores - top)
        total = p.sum(axis=0)
        p /= total
        log_Z = top + np.log(total)
        g = -alpha * log_Z
        own = self._laws(g, gamma, mu)
        if own is None:
            return None
        worth, q, spent, q_g, q_gamma, spent_gamma = own
        # What the limits count, for every letter: D(p‖px) or ⟨c, p⟩; and its derivative in the posterior.
        forms = [self.forms[i] for i in self.limited]
        slopes = np.array([scores - log_Z - self.log_px[:, None] if form is None else form for form in forms])
        slopes = slopes.reshape(-1, *p.shape)
        means = np.einsum("xy,ixy->iy", p, slopes)
        value = float(x[:n] @ self.px) - float(s @ self.limits) - gamma * self.budget + worth
        value += mu * (float(np.log(s).sum()) + math.log(gamma))
        if not math.isfinite(value):
            return None
        gradient = np.concatenate(
            [self.px - p @ q, means @ q - self.limits + mu / s, [spent - self.budget + mu / gamma]]
        )
        rest = p * (slopes - means[:, None])
        pull = -q_g + 0.0
        e = n + len(s)  # where γ is
        H = np.zeros((e + 1, e + 1))
        scaled = p * (pull - q / alpha)
        H[:n, :n] = scaled @ p.T
        H[np.arange(n), np.arange(n)] += (p @ q) / alpha
        H[:n, n:e] = -(p @ (pull * means).T) - (rest @ q).T / alpha
        H[n:e, n:e] = (pull * means) @ means.T + (rest * q).reshape(len(s), p.size) @ slopes.reshape(
            len(s), p.size
        ).T / alpha
        H[np.arange(n, e), np.arange(n, e)] += mu / s**2
        H[:n, e] = p @ q_gamma
        H[n:e, e] = -(means @ q_gamma)
        H[e, e] = -spent_gamma + mu / gamma**2
        H[n:e, :n] = H[:n, n:e].T
        H[e, :e] = H[:e, e]
        return State(x, mu, value, gradient, H, p, q)

    def _laws(self, g: FloatArray, gamma: float, mu: float) -> tuple[Any, ...] | None:
        """Σ t ψ with its barrier, q and φ(q), and their derivatives by g and γ."""
        t, kind = self.t, self.kind
        q, q_g, q_gamma = np.zeros(len(t)), np.zeros(len(t)), np.zeros(len(t))
        worth = spent = spent_gamma = 0.0
        share = mu / len(t)
        if self.open.any():  # mass b ≥ 0 at g + γ φ₀'(∞) each
            edge = g[self.open] + gamma * kind.slope
            if not (edge > 0).all():
                return None
            b = share / edge
            worth += float(share * np.log(edge).sum())
            spent += kind.slope * float(b.sum())
            curve = share / edge**2
            q[self.open] += b
            q_g[self.open] -= curve
            q_gamma[self.open] -= kind.slope * curve
            spent_gamma -= kind.slope**2 * float(curve.sum())
        some = self.inner
        a, mass = g[some], t[some]
        if kind.kind == "tv":  # of t a share u goes, at γ/2 − g
            dear = (0.5 * gamma - a) / mu
            # u is the root of dear u² − (dear + 2) u + 1 in (0, 1), and 1 − u that for −dear.
            less = 2.0 / (np.abs(dear) + 2.0 + np.sqrt(dear * dear + 4.0))
            u, kept = np.where(dear > 0, less, 1.0 - less), np.where(dear > 0, 1.0 - less, less)
            curve = 1.0 / (mu * (u**-2.0 + kept**-2.0))
            worth += float(mass @ (a + (0.5 * gamma - a) * u - mu * (np.log(u) + np.log(kept))))
            q[some] += mass * kept
            q_g[some] -= mass * curve
            q_gamma[some] += 0.5 * mass * curve
            spent += 0.5 * float(mass @ u)
            spent_gamma -= 0.25 * float(mass @ curve)
        else:
            if math.isfinite(kind.slope) and not (a + gamma * kind.slope > 0).all():
                return None
            extra = mu if kind.kind == "chi2" else 0.0
            r = kind.ratio(a, gamma, mu)
            if not (np.isfinite(r).all() and (r > 0).all()):
                return None
            phi, slope, bend = kind.values(r)
            h = gamma * bend + extra / r**2
            worth += float(mass @ (a * r + gamma * phi - extra * np.log(r)))
            q[some] += mass * r
            q_g[some] -= mass / h
            q_gamma[some] -= mass * slope / h
            spent += float(mass @ phi)
            spent_gamma -= float(mass @ (slope * slope / h))
        return worth, q, spent, q_g, q_gamma, spent_gamma
