"""Laws of Y near a target, without a limit on H(S|Y): Newton's method on the dual, whose law comes with it.

A ball Σ t φ₀(q/t) ≤ P has the support function Ψ(g) = max_γ −γP + Σ t ψ(g, γ), ψ(a, γ) = min_r a r + γ φ₀(r), where the
multiplier of Σ q = 1 is taken into f. So the best coupling is at the maximum of the concave

  ⟨f, px⟩ − αR − γP + Σ_y t ψ(g_y, γ),   g_y = −α log Σ px exp((f − w d_y)/α),

over f, γ and α, or w where a distortion is the limit: q = t ψ' is the law, and q_y px exp((f − w d_y + g_y)/α) the
coupling. Where ψ has edges (total variation; q ≥ 0 for χ²; letters off the target) and for α, w, γ ≥ 0 a barrier of
weight μ rounds them, and Newton's method follows μ to 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from drcopt.bounds import Leaf, PosteriorTree
from drcopt.engines.base import Limits, Proposal
from drcopt.engines.law_points import admissible, wide
from drcopt.engines.newton import Newton
from drcopt.formulations import Message, Part, SingleLetter
from drcopt.questions import DISTORTION
from drcopt.questions.divergences import order_and_radius
from drcopt.questions.output import Near
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: The barrier at first and at last (d in [0, 1], nats), by how much it falls, and steps at each weight.
_FIRST, _LAST, _FALL, _STEPS = 0.1, 1e-14, 0.1, 12
#: The barrier at last where ψ has edges.
_EDGES = (1e-11, 1e-9)
#: Newton's decrement, relative to μ, that will do on the way and at the end.
_NEAR, _CLOSE = 0.3, 1e-12
#: With a larger exponent a ball is as good as all laws, and its radius overflows.
_MOST_EXPONENT = 500.0
#: The least α: below, it is a matter of linear programs.
_LEAST = 1e-5
#: What a barrier may leave of a budget, relative, and what is left of it, so that rounding cannot exceed it.
_SHORT, _ROOM = 1e-5, 1e-9
#: By how much marginals and limits may be missed.
_MET = 1e-8
#: How far towards an edge one step may go; values that rounding makes differ by so much are the same.
_EDGE, _SAME = 0.9, 1e-15
#: How far inside the rate the answer stays, relative, for each letter, and inside the distances.
_SPARE, _INSIDE = 4e-14, 2e-12


@dataclass(frozen=True, eq=False)
class _Divergence:
    """φ₀: its first and second derivatives, its slope at infinity, and the r of least a r + γ φ₀(r) − μ log r."""

    kind: str
    power: float = 0.0

    @classmethod
    def of(cls, laws: Near) -> tuple[_Divergence, float] | None:
        """And the budget on Σ t φ₀; None for what is no such sum."""
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
        if self.kind == "tv":
            return 0.5
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
class _State:
    """Multipliers (f, s, γ), s that of the limit, and the dual with its barrier there: value, gradient, −Hessian."""

    x: FloatArray
    value: float
    gradient: FloatArray
    curvature: FloatArray
    p: FloatArray
    law: FloatArray


class NearLaw:
    """Solves min E d over p(y|x) with I(X;Y) ≤ R and φ(pY, t) ≤ P, and its inverse."""

    def propose(self, question: SingleLetter, limits: Limits) -> Proposal | None:
        """None where it does not end in an answer: ends of curves, and divergences of other kinds."""
        problem, laws = question.problem, question.laws
        if not isinstance(laws, Near) or problem.forbidden.any() or problem.classes is not None:
            return None
        chosen = _Divergence.of(laws)
        if chosen is None:
            return None
        kind, budget = chosen
        use = np.flatnonzero(laws.target > 0) if kind.slope == math.inf else np.arange(problem.m)
        by_rate = question.objective is DISTORTION
        spare = _SPARE * (100 + problem.n + problem.m)
        limit = question.rate_budget * (1.0 - spare) if by_rate else question.distortion_budget * (1.0 - _INSIDE)
        if not (math.isfinite(limit) and limit > 0.0 and len(use) > 1 and problem.n > 1):
            return None
        dual = _Dual(problem.px, problem.d[:, use], laws.target[use], kind, budget * (1.0 - _INSIDE), limit, by_rate)
        edges = kind.kind == "tv"  # close to them doubles know a law to few digits
        state = dual.solved(min(max(1e-3 * limits.tol, _EDGES[0]), _EDGES[1]) if edges else _LAST)
        if state is None or (not edges and float(np.abs(state.gradient).max()) > _MET):
            return None
        P = np.zeros((problem.n, problem.m))
        P[:, use] = state.p * state.law
        if edges:
            law = P.sum(axis=0) / P.sum()
            spent = laws.divergence(law)
            if (
                abs(spent - budget) <= _SHORT * budget
            ):  # all but out to the ball's surface, along the ray from the target
                law = np.maximum(laws.target + (1.0 - _ROOM) * budget / spent * (law - laws.target), 0.0)
            law = admissible(question, law)
            fixed, some = question.at(law), law > 0
            if fixed.problem.m == 1:
                return None
            answer = Newton().propose(fixed, limits)
            if answer.parts is None:
                return None
            P = wide(answer.parts[0].coupling, some)
        P *= (problem.px / P.sum(axis=1))[:, None]
        f, s = state.x[:-2], float(state.x[-2])
        alpha, w = (s, 1.0) if by_rate else (1.0, s)
        letters = np.arange(problem.m) if isinstance(question, Message) else None
        return Proposal(
            parts=[Part(1.0, P, letters=letters)],
            evidence=(PosteriorTree(Leaf(f, alpha, 0.0, w)),),
            termination="Newton's method converged",
            distortion_multiplier=w,
            rate_multiplier=alpha,
            classification_multiplier=0.0,
            stats={"steps": dual.steps},
            warm={"multipliers": np.concatenate([f, [w, alpha, 0.0]])},
        )


class _Dual:
    """The concave function, for a limit on I (``by_rate``) or on E d, and Newton's method on it."""

    def __init__(
        self,
        px: FloatArray,
        d: FloatArray,
        target: FloatArray,
        kind: _Divergence,
        budget: float,
        limit: float,
        by_rate: bool,
    ) -> None:
        self.px, self.log_px, self.d, self.t, self.kind = px, np.log(px), d, target, kind
        self.budget, self.limit, self.by_rate, self.steps = budget, limit, by_rate, 0
        #: Letters that mass may come to beyond what ψ gives, with a barrier of their own.
        self.open = np.full(len(target), kind.kind == "tv") if kind.kind == "tv" else target == 0.0
        self.inner = target > 0

    def solved(self, last: float) -> _State | None:
        """The maximum, with what is left of the barrier; None if it is not reached."""
        mean = self.d @ self.t
        x = np.append(mean, [1.0, (2.0 * float(np.ptp(self.d)) + 1.0) / min(self.kind.slope, 1.0)])
        mu = _FIRST
        state = self.evaluate(x, mu)
        while state is not None:
            end = mu <= last
            for _ in range(_STEPS):
                try:
                    factor = cho_factor(state.curvature, lower=True, check_finite=False)
                except np.linalg.LinAlgError:
                    return None
                step = cho_solve(factor, state.gradient, check_finite=False)
                decrement = float(state.gradient @ step)
                self.steps += 1
                if not math.isfinite(decrement) or clock.expired():
                    return None
                if decrement <= (_CLOSE if end else _NEAR) * mu:
                    break
                trial = self._along(state, step, decrement, mu)
                if trial is None:
                    break
                state = trial
            if self.by_rate and state.x[-2] < _LEAST:
                return None
            if end:
                return state
            mu = max(_FALL * mu, last)
            state = self.evaluate(state.x, mu)
        return None

    def _along(self, state: _State, step: FloatArray, decrement: float, mu: float) -> _State | None:
        """As far along a step as the dual rises enough."""
        length = 1.0
        for now, change in zip(state.x[-2:].tolist(), step[-2:].tolist(), strict=True):
            if change < 0:
                length = min(length, -_EDGE * now / change)
        for _ in range(40):
            trial = self.evaluate(state.x + length * step, mu)
            # Near the end rounding decides what is higher; the gradient does not.
            if trial is not None and trial.value >= state.value + 1e-4 * length * decrement - _SAME:
                return trial
            length *= 0.5
        return None

    def evaluate(self, x: FloatArray, mu: float) -> _State | None:
        """None outside the domain."""
        n, (s, gamma) = len(self.px), x[-2:].tolist()
        if not (s > 0.0 and gamma > 0.0):
            return None
        alpha, w = (s, 1.0) if self.by_rate else (1.0, s)
        scores = (x[:n, None] - w * self.d) / alpha + self.log_px[:, None]
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
        # What the limit counts, for every letter: D(p‖px) or ⟨d, p⟩; and its derivative in the posterior.
        slopes = (scores - log_Z - self.log_px[:, None]) if self.by_rate else self.d
        means = np.einsum("xy,xy->y", p, slopes)
        value = float(x[:n] @ self.px) - s * self.limit - gamma * self.budget + worth
        value += mu * (math.log(s) + math.log(gamma))
        if not math.isfinite(value):
            return None
        gradient = np.concatenate(
            [self.px - p @ q, [means @ q - self.limit + mu / s, spent - self.budget + mu / gamma]]
        )
        rest = p * (slopes - means)
        weights = -q_g + 0.0
        H = np.zeros((n + 2, n + 2))
        scaled = p * (weights - q / alpha)
        H[:n, :n] = scaled @ p.T
        H[np.arange(n), np.arange(n)] += (p @ q) / alpha
        H[:n, n] = -(p @ (weights * means)) - (rest @ q) / alpha
        H[n, n] = weights @ (means * means) + float(np.einsum("xy,xy->y", rest, slopes) @ q) / alpha + mu / s**2
        H[:n, n + 1] = p @ q_gamma
        H[n, n + 1] = -(means @ q_gamma)
        H[n + 1, n + 1] = -spent_gamma + mu / gamma**2
        H[n:, :n] = H[:n, n:].T
        H[n + 1, n] = H[n, n + 1]
        return _State(x, value, gradient, H, p, q)

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
