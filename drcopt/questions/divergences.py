"""The divergences that perception budgets limit, and the support functions of their balls.

Ψ_Q(g) = min {⟨g, q⟩ : φ(q, t) ≤ P} is a concave maximum over one or two multipliers (Lagrange, Hölder), and *every*
value of those is a lower bound: they are found to a few digits, and what they prove is rounded down. For a multiplier ω
of φ ≤ P that is min over all q of ⟨g, q⟩ + ω φ(q, t), less ωP: what is minimised there holds at every P.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from drcopt.coupling import round_onto_marginals
from drcopt.questions.region import lowered
from drcopt.support.check import FloatArray


@dataclass(frozen=True, eq=False)
class Ball:
    """{q : φ(q, t) ≤ P} around a target t.

    ``kind`` is one of :data:`KINDS`; ``budget`` P > 0 is in nats for "kl", "reverse-kl" and "renyi"; ``ground`` (m, m)
    is the cost of moving mass from letter to letter, for "wasserstein"; ``order`` is that of "renyi".
    """

    kind: str
    target: FloatArray
    budget: float
    ground: FloatArray | None = None
    order: float = 2.0

    def divergence(self, q: FloatArray) -> float:
        """φ(q, t); inf where it is infinite."""
        with np.errstate(over="ignore"):  # where the target has hardly any mass, a divergence may be no double
            return max(0.0, KINDS[self.kind].value(self, q))

    def answer(self, g: FloatArray) -> Answer:
        """Ψ(g) with a law that all but attains it, and the multipliers that prove it."""
        law, weight, level = KINDS[self.kind].best(self, g)
        value = self.priced(g, weight, level) - weight * self.budget
        value, low = lowered(value, value, weight * self.budget), self.priced(g)
        return Answer(value, law, weight, level) if value > low else Answer(low, law)

    def priced(self, g: FloatArray, weight: float = 0.0, level: float = 0.0) -> float:
        """Something below ⟨g, q⟩ + weight · φ(q, t) for every pmf q of finite φ, rounded down.

        It holds whatever ``level`` is, and whatever P.
        """
        some = self.target > 0 if self.kind in ("kl", "chi2") else np.full(len(g), True)
        g, t = g[some], self.target[some]
        low = float(g.min())
        alone = lowered(low, low)
        if not weight > 0.0:
            return alone
        c = g - low
        with np.errstate(all="ignore"):
            more, *sizes = KINDS[self.kind].priced(self, c, weight, level, t)
        more = lowered(low + more, abs(low), float(c.max()), *sizes)
        return more if alone < more < math.inf else alone


class Answer(NamedTuple):
    """A bound on Ψ_Q(g), and a law that all but attains it.

    With the multipliers ω of φ(q, t) ≤ P and λ of Σ q = 1, it is the least ⟨g + λ, q⟩ + ω (φ(q, t) − P) − λ over q ≥ 0;
    ``level`` is |λ + min g|, the least over the letters that the kind allows, where λ is not the best by itself.
    """

    value: float
    law: FloatArray
    weight: float = 0.0
    level: float = 0.0


#: A law, ω and ``level`` of :class:`Answer`.
Best = tuple[FloatArray, float, float]
#: What ω φ adds to the least of costs, for what each letter costs more than that (c), and how large the terms are.
Priced = tuple[float, ...]


@dataclass(frozen=True)
class Divergence:
    """φ(q, t), the multipliers that are best for a ball, what they prove, and whether φ is measured in bits or nats.

    ``priced(ball, c, ω, level, t)`` is below Σ q c + ω φ(q, t) for c ≥ 0 of least entry 0, on the letters that the kind
    allows.
    """

    words: str
    value: Callable[[Ball, FloatArray], float]
    best: Callable[[Ball, FloatArray], Best]
    priced: Callable[[Ball, FloatArray, float, float, FloatArray], Priced]
    #: ∂φ/∂q at positive q, (m,); None where φ has kinks.
    slope: Callable[[Ball, FloatArray], FloatArray] | None = None
    informational: bool = False


def unit(m: int, y: int) -> FloatArray:
    """All mass on one letter."""
    q = np.zeros(m)
    q[y] = 1.0
    return q


def _root(rises: Callable[[float], bool], low: float, high: float) -> tuple[float, float]:
    """The bracket (low, high] of positive numbers where ``rises`` turns from True to False, by bisecting logarithms."""
    a, b = math.log(low), math.log(high)
    for _ in range(100):
        middle = 0.5 * (a + b)
        if rises(math.exp(middle)):
            a = middle
        else:
            b = middle
        if b - a <= 1e-15 * max(1.0, abs(a)):
            break
    return math.exp(a), math.exp(b)


# -- total variation, and transport -----------------------------------------------------------------------------------


def _tv(law: Ball, q: FloatArray) -> float:
    return 0.5 * math.fsum(np.abs(q - law.target))


def _tv_best(law: Ball, g: FloatArray) -> Best:
    """Mass P moves from the largest g to the least: ω is the difference where it ends."""
    t, best = law.target, int(g.argmin())
    q, left, gamma = t.copy(), law.budget, 0.0
    for y in np.argsort(-g, kind="stable"):
        if g[y] <= g[best]:
            gamma = 0.0
            break
        moved = min(q[y], left)
        q[y] -= moved
        q[best] += moved
        left -= moved
        gamma = float(g[y] - g[best])
        if left <= 0:
            break
    return q, gamma, 0.0


def _tv_priced(law: Ball, c: FloatArray, weight: float, level: float, t: FloatArray) -> Priced:
    """Σ t min(c, ω)."""
    return math.fsum(t * np.minimum(c, weight)), weight


def cost_of(law: Ball) -> FloatArray:
    """The ground cost, which "wasserstein" has."""
    assert law.ground is not None
    return law.ground


def plan(law: Ball, q: FloatArray) -> FloatArray | None:
    """A cheapest way to move q to the target, shape (m, m); None if the solver fails."""
    from scipy.optimize import linprog
    from scipy.sparse import eye_array, kron, vstack

    m = len(q)
    ones, eye = np.ones((1, m)), eye_array(m)
    goals = np.concatenate([q, law.target * (q.sum() / law.target.sum())])
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    answer = linprog(
        cost_of(law).ravel(), A_eq=vstack([kron(eye, ones), kron(ones, eye)]).tocsr(), b_eq=goals, options=tight
    )
    return None if answer.status != 0 else round_onto_marginals(np.maximum(answer.x, 0).reshape(m, m), q, law.target)


def _wasserstein(law: Ball, q: FloatArray) -> float:
    moved = plan(law, q)
    return math.inf if moved is None else math.fsum(np.ravel(moved * cost_of(law)))


def _wasserstein_best(law: Ball, g: FloatArray) -> Best:
    """Every letter of the target goes where that is cheapest; ω decides how far."""
    t, cost = law.target, cost_of(law)
    letters = np.arange(len(t))

    def plan(gamma: float) -> np.ndarray:
        return np.asarray((g[:, None] + gamma * cost).argmin(axis=0))

    def spent(to: np.ndarray) -> float:
        return float(t @ cost[to, letters])

    def law_of(to: np.ndarray) -> FloatArray:
        return np.asarray(np.bincount(to, t, len(t)), dtype=np.float64)

    least = g == g.min()
    near = np.flatnonzero(least)[cost[least].argmin(axis=0)]  # of the letters of least g the nearest
    if spent(near) <= law.budget:
        return law_of(near), 0.0, 0.0
    positive = cost[cost > 0].min()
    gamma_low, gamma_high = _root(
        lambda gamma: spent(plan(gamma)) > law.budget,
        1e-12 * (float(np.ptp(g)) or 1.0) / float(cost.max()),
        2.0 * (float(np.ptp(g)) or 1.0) / float(positive),
    )
    dear, cheap = plan(gamma_low), plan(gamma_high)
    much, little = spent(dear), spent(cheap)
    share = 0.0 if much <= little else min(max((law.budget - little) / (much - little), 0.0), 1.0)
    q = share * law_of(dear) + (1.0 - share) * law_of(cheap)
    return q, max(gamma_low, gamma_high, key=lambda gamma: law.priced(g, gamma) - gamma * law.budget), 0.0


def _wasserstein_priced(law: Ball, c: FloatArray, weight: float, level: float, t: FloatArray) -> Priced:
    """Σ t(y') min_y (c(y) + ω ground(y, y'))."""
    return (math.fsum(t * (c[:, None] + weight * cost_of(law)).min(axis=0)),)


# -- Kullback and Leibler, Rényi --------------------------------------------------------------------------------------


def _relative(p: FloatArray, q: FloatArray) -> float:
    """D(p‖q) in nats."""
    here = p > 0
    if (q[here] <= 0).any():
        return math.inf
    # p log(p/q) − p + q has no negative terms: what is small is not lost in what cancels.
    ratio = (q[here] - p[here]) / p[here]
    # Far from 1 the quotient has the digits that 1 + ratio has lost.
    logs = np.where(np.abs(ratio) < 0.5, np.log1p(np.maximum(ratio, -0.5)), np.log(q[here]) - np.log(p[here]))
    return math.fsum([*(p[here] * (ratio - logs)), *q[~here], math.fsum(p) - math.fsum(q)])


def _kl(law: Ball, q: FloatArray) -> float:
    return _relative(q, law.target)


def _kl_best(law: Ball, g: FloatArray) -> Best:
    """The law is t e^{−g/ω}, scaled."""
    here = law.target > 0
    t, cost = law.target[here], g[here]
    low, width = float(cost.min()), float(np.ptp(cost))

    def tilted(gamma: float) -> FloatArray:
        q = np.zeros(len(g))
        q[here] = t * np.exp(-(cost - low) / gamma)
        return np.asarray(q / q.sum())

    least = np.where(here & (g == low), law.target, 0.0)
    if width == 0.0 or -math.log(math.fsum(least)) <= law.budget:
        return least / least.sum(), 0.0, 0.0
    _, gamma = _root(lambda gamma: _kl(law, tilted(gamma)) > law.budget, 1e-6 * width, 1e12 * width)
    return tilted(gamma), gamma, 0.0


def _kl_priced(law: Ball, c: FloatArray, weight: float, level: float, t: FloatArray) -> Priced:
    """−ω log Σ t e^{−c/ω}."""
    return -weight * math.log(math.fsum(t * np.exp(-c / weight))), weight


def order_and_radius(law: Ball) -> tuple[float, float]:
    """Order ρ and radius of the ball as one in D_ρ(t‖q)."""
    if law.kind == "reverse-kl":
        return 1.0, law.budget
    if law.kind == "reverse-chi2":
        return 2.0, math.log1p(law.budget)
    if law.kind == "hellinger":
        return 0.5, -2.0 * math.log1p(-law.budget)
    return law.order, law.budget


def _renyi(law: Ball, q: FloatArray) -> float:
    t = law.target
    if law.kind == "reverse-kl":
        return _relative(t, q)
    here = t > 0
    if law.kind == "hellinger":
        return 0.5 * math.fsum((np.sqrt(q) - np.sqrt(t)) ** 2)
    rho = order_and_radius(law)[0]
    if (q[here] <= 0).any() and rho >= 1:
        return math.inf
    if law.kind == "reverse-chi2":
        return math.fsum([*((q - t)[here] ** 2 / q[here]), *q[~here]])
    if rho == 1.0:
        return _relative(t, q)
    with np.errstate(divide="ignore"):
        terms = t[here] * np.expm1((1.0 - rho) * (np.log(q[here]) - np.log(t[here])))
    total = math.fsum(terms)
    return math.inf if total <= -1.0 else math.log1p(total) / (rho - 1.0)


def _mean(a: FloatArray, t: FloatArray, r: float) -> float:
    """The power mean of order r of a ≥ 0, weighted by t."""
    if r <= 0 and (a <= 0).any():
        return 0.0
    top = float(a.max())
    if r == 0:
        return top * math.exp(math.fsum(t * np.log(a / top)))
    return top * float(math.fsum(t * (a / top) ** r) ** (1.0 / r))


def _renyi_best(law: Ball, g: FloatArray) -> Best:
    """With λ ≥ −min g the bound is e^{−P} M(g + λ) − λ, M the t-weighted power mean of order 1 − 1/ρ; ω its slope."""
    rho, radius = order_and_radius(law)
    ball = replace(law, kind="renyi", budget=radius, order=rho)
    t, here = law.target, law.target > 0
    low, width = float(g.min()), float(np.ptp(g))
    if width == 0.0:
        return t, 0.0, 0.0

    def best(x: float, q: FloatArray) -> Best:
        ends = math.exp(-radius) * _mean((g[here] - low) + x, t[here], 1.0 - 1.0 / rho)  # −d bound / d radius
        weight = {"reverse-chi2": ends / (1.0 + law.budget), "hellinger": 2.0 * ends / (1.0 - law.budget)}
        return q, weight.get(law.kind, ends), x

    def tilted(x: float) -> FloatArray:
        q = np.zeros(len(g))
        a = (g[here] - low) + x
        q[here] = t[here] * (a / a.min()) ** (-1.0 / rho)
        return np.asarray(q / q.sum())

    outside = g[here].min() > low  # the least g is off the target's support: mass may go there
    least = np.flatnonzero(g == low)
    if outside:
        q = tilted(0.0)
        there = ball.divergence(q)
        if there < radius:
            keep = math.exp(there - radius)
            return best(0.0, keep * q + (1.0 - keep) * unit(len(g), int(least[0])))
    elif rho < 1:
        q = np.where(here & (g == low), t, 0.0)
        if ball.divergence(q / q.sum()) <= radius:
            return q / q.sum(), 0.0, 0.0
    _, x = _root(lambda x: ball.divergence(tilted(x)) > radius, 1e-14 * width, 1e12 * width)
    return best(x, tilted(x))


def _renyi_priced(law: Ball, c: FloatArray, weight: float, level: float, t: FloatArray) -> Priced:
    """With a = c + level and M their mean: 2√(ωM) − ω, or ω − ω²/4M, or ω (1 + log(M/ω)), each less level."""
    rho, _ = order_and_radius(law)
    r = 1.0 - 1.0 / rho
    mean = _mean(c[t > 0] + level, t[t > 0], r)
    if not mean > 0.0:
        return (0.0,)
    size = 1.0 + (1.0 / abs(r) if r else 1.0)
    if law.kind == "reverse-chi2":
        root = 2.0 * math.sqrt(weight) * math.sqrt(mean)
        return root - weight - level, size * root, weight, level
    if law.kind == "hellinger":
        part = weight * (weight / mean) / 4.0
        return weight - part - level, weight, size * part, level
    logarithm = math.log(mean) - math.log(weight)
    return weight * (1.0 + logarithm) - level, weight * (size + abs(math.log(mean)) + abs(math.log(weight))), level


# -- χ² ---------------------------------------------------------------------------------------------------------------


def _chi2(law: Ball, q: FloatArray) -> float:
    here = law.target > 0
    if (q[~here] > 0).any():
        return math.inf
    return math.fsum((q - law.target)[here] ** 2 / law.target[here])


def _chi2_best(law: Ball, g: FloatArray) -> Best:
    """The law is t(1 − (g − λ)/2γ) on the letters of least g: with mass T and variance V of g there,
    2γ = √(TV/(1 + P − 1/T)).
    """
    support = np.flatnonzero(law.target > 0)
    order = support[np.argsort(g[support], kind="stable")]
    low = float(g[order[0]])
    t, cost = law.target[order], g[order] - low
    mass, first, second = np.cumsum(t), np.cumsum(t * cost), np.cumsum(t * cost * cost)
    mean = first / mass
    spread = np.maximum(second / mass - mean * mean, 0.0)
    q = np.zeros(len(g))
    for size in range(len(order), 0, -1):
        T = min(float(mass[size - 1]), 1.0)
        room = 1.0 + law.budget - 1.0 / T
        if spread[size - 1] <= 0.0 and room >= 0.0:  # all of equal g
            q[order[:size]] = t[:size] / mass[size - 1]
            return q, 0.0, 0.0
        if room <= 0.0:
            break
        twice = math.sqrt(T * float(spread[size - 1]) / room)
        inner = 1.0 / T - (cost[:size] - mean[size - 1]) / twice
        if inner[-1] >= 0.0:
            q[order[:size]] = t[:size] * inner
            return q / q.sum(), 0.5 * twice, float(mean[size - 1]) + twice * (1.0 / T - 1.0)
    q[order[0]] = 1.0
    return q, 0.0, 0.0


def _chi2_priced(law: Ball, c: FloatArray, weight: float, level: float, t: FloatArray) -> Priced:
    """level + Σ t h(c − level), h(a) = a − a²/4ω for a ≤ 2ω, else ω."""
    a = c - level
    h = np.where(a <= 2.0 * weight, a - a * (a / (4.0 * weight)), weight)
    largest = float(np.abs(a).max())
    return math.fsum([level, *(t * h)]), largest, largest * (largest / (4.0 * weight)), abs(level), weight


# -- slopes -----------------------------------------------------------------------------------------------------------


def _kl_slope(law: Ball, q: FloatArray) -> FloatArray:
    here = law.target > 0
    return np.where(here, np.log(q / np.where(here, law.target, 1.0)) + 1.0, 0.0)


def _chi2_slope(law: Ball, q: FloatArray) -> FloatArray:
    here = law.target > 0
    return np.where(here, 2.0 * (q - law.target) / np.where(here, law.target, 1.0), 0.0)


def _renyi_slope(law: Ball, q: FloatArray) -> FloatArray:
    """−(t/q)^ρ / Σ t (t/q)^(ρ−1) for D_ρ(t‖q) itself."""
    ratio = law.target / q
    if law.kind == "reverse-chi2":
        return np.asarray(1.0 - ratio**2)
    if law.kind == "hellinger":
        return np.asarray(0.5 - 0.5 * np.sqrt(ratio))
    rho = order_and_radius(law)[0]
    return np.asarray(-(ratio**rho) / float(law.target @ ratio ** (rho - 1.0)))


#: Every divergence by name.
KINDS = {
    "tv": Divergence("total variation ½ Σ|q − t|", _tv, _tv_best, _tv_priced),
    "kl": Divergence("D(pY‖t)", _kl, _kl_best, _kl_priced, _kl_slope, True),
    "reverse-kl": Divergence("D(t‖pY)", _renyi, _renyi_best, _renyi_priced, _renyi_slope, True),
    "chi2": Divergence("Σ (q − t)²/t", _chi2, _chi2_best, _chi2_priced, _chi2_slope),
    "reverse-chi2": Divergence("Σ (q − t)²/q", _renyi, _renyi_best, _renyi_priced, _renyi_slope),
    "hellinger": Divergence("1 − Σ √(qt)", _renyi, _renyi_best, _renyi_priced, _renyi_slope),
    "renyi": Divergence("the Rényi divergence of t from pY", _renyi, _renyi_best, _renyi_priced, _renyi_slope, True),
    "wasserstein": Divergence("the least E ground(Y, T)", _wasserstein, _wasserstein_best, _wasserstein_priced),
}
