"""Pricing where no box confines the class posteriors.

With any q > 0 in the place of the class posterior τ = Wᵀp in the entropy, −Σ τ log q ≥ H(τ), with equality at q = τ. So
φ(p) = ⟨c, p⟩ + α D(p‖px) + β H(τ) ≥ −α log F(τ), with

  F(q) = Σ_x a_x g_x(q)^κ,  a = px exp(−c/α),  g_x(q) = Π_s q_s^W(x,s),  κ = β/α,

and the least φ is −α log of the greatest F.

With β ≤ α/η, η the strong data-processing constant of W, φ is convex, and its tangent at p ∝ a g(q)^κ, of posterior τ,
says φ ≥ −α log F(q) − β max_s log (τ_s/q_s): Newton's method makes τ = q.

Else, where posteriors fill few dimensions, simplices cover them. As the rows of W sum to 1, g_x(q) ≤ g_x(q₀) Σ_s W(x,s)
q_s/q₀(s), whatever q₀, and for κ ≥ 1 what this makes of F is convex in q: on a simplex it is greatest at a vertex. With
q₀ in its middle that is F to second order in the simplex's width, so that a few rounds, each of which cuts what is left
into many, come down to the last digits that count.

Near a local minimum p' ∝ a g(q')^κ they need not. Where p ≤ e^ρ p' and τ ≥ e^{−σ} τ', φ is convex if e^{ρ+σ} κ μ ≤ 1, μ
the second eigenvalue of Σ_x p'(x) W(x,s) W(x,t) / √(τ'(s) τ'(t)): its second derivative along δ, Σδ = 0, is
Σ α δ²/p − Σ β (Wᵀδ)²/τ, with Σ α δ²/p ≥ α e^{−ρ} Σ δ²/p' and Σ β (Wᵀδ)²/τ ≤ β e^{σ} Σ (Wᵀδ)²/τ'. The least of φ is at
p ∝ a g(τ)^κ. So a simplex needs no further cuts where its q, and p ∝ a g(q)^κ, are so near to p': if the least is there
φ is above its tangent at p'. With v = log q/q' log p/p' is κ W v − log Σ p' e^{κ W v} ≤ κ W v − κ Σ τ' v.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import permutations, product

import numpy as np
from scipy.special import rel_entr, xlogy

from drcopt.bounds.pricing.gibbs import Partition, Priced
from drcopt.questions import ROUNDING
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Most vertices of a simplex, and least parts that one is cut into.
_VERTICES, _PARTS = 4, 8
#: How many terms of F at vertices a letter may cost: flat valleys of triangles are not closed by more, tetrahedra are.
_MOST = {1: 60_000, 2: 60_000, 3: 60_000, 4: 400_000}
#: β is near α/η up to this factor: then what is missing to α may count for nothing.
_NEARLY = 1.0 + 1e-6
#: Rounds, which halve or quarter widths: there is nothing left to see after so many, and no minimum after so many that
#: found none.
_ROUNDS, _IDLE = 25, 3
#: Letters' local minima worth handing on: at most so many, apart by so much.
_MINIMA, _APART = 4, 0.05
#: Convex-concave and Newton steps that sharpen one, those that find the least of a convex φ, and how far one goes.
_DESCENTS, _STEPS, _PATIENCE, _FAR = 3, 5, 40, 2.0
#: Boxes on which φ is convex: the least radius worth having, what rounding leaves of an eigenvalue at least, and how
#: near each other they are the same.
_SMALL, _SECOND, _SAME = 1e-3, 1e-6, 1e-9
_TINY = 1e-300


def price_unconfined(
    cost: FloatArray,
    alpha: float,
    beta: float,
    log_px: FloatArray,
    W: FloatArray,
    box: FloatArray,
    tol: float,
    contraction: float,
    start: Partition | None = None,
    bare: bool = False,
) -> tuple[Priced, np.ndarray]:
    """See :func:`drcopt.bounds.pricing.price`; α > 0, ``box`` holds all posteriors. Also the letters not settled."""
    letters, m, none = Letters(cost, alpha, beta, log_px, W), cost.shape[1], np.zeros(0, dtype=np.intp)
    tol = max(tol, 2 * ROUNDING * letters.size)
    lower, best, y, p = np.full(m, -np.inf), np.full(m, np.inf), none, np.zeros((0, len(W)))
    enough = max(alpha, beta * contraction)
    if enough <= _NEARLY * alpha:  # α D(p‖px) is the least with a little more of it, less what that can come to
        paid = (enough - alpha) * float(-log_px.min())
        lower, p = Letters(cost, enough, beta, log_px, W).convex(tol, start)
        y, lower = np.arange(m), lower - paid
        best = letters.value(y, p)
    if letters.few_dimensions and not (lower >= best - tol).all():
        some = none if start is None else np.flatnonzero(start.p.any(axis=1))
        found, best, y, p = letters.search(tol, some, np.zeros((0, len(W))) if start is None else start.p[some])
        lower = np.maximum(lower, found)
    left = np.flatnonzero(~(lower >= best - 1.5 * tol))
    if bare:
        return Priced(np.minimum(lower, best), none, np.zeros((0, len(W))), np.zeros(0)), left
    p, value = letters.sharpened(y, p, _DESCENTS, _STEPS)
    best_p = np.zeros((m, len(W)))
    order = np.argsort(-value, kind="stable")  # of one letter's the last, its least, stays
    best_p[y[order]] = p[order]
    np.minimum.at(best, y, value)
    nu = beta * np.log(np.maximum(best_p @ W, _TINY))
    partition = Partition(box, best_p, np.arange(m), box[:, :, 0], box[:, :, 1], nu)
    return Priced(np.minimum(lower, best), y, p, value, partition), left


class Letters:
    """The letters' φ, which differ in c, or in α too."""

    def __init__(
        self, cost: FloatArray, alpha: float | FloatArray, beta: float, log_px: FloatArray, W: FloatArray
    ) -> None:
        self.alpha = np.broadcast_to(np.asarray(alpha, dtype=np.float64), cost.shape[1:])
        self.beta, self.kappa, self.W = beta, beta / self.alpha, W
        self.base = log_px - cost.T / self.alpha[:, None]
        self.size = float(np.abs(cost).max()) + float(self.alpha.max()) * (1.0 - float(log_px.min())) + beta

    @property
    def few_dimensions(self) -> bool:
        """Whether simplices are worth a try."""
        n, k = len(_distinct(self.W)), self.W.shape[1]
        return bool(self.kappa.min() >= 1.0) and (n <= min(k, _VERTICES) or k < _VERTICES)

    def gibbs(
        self, y: np.ndarray, logs: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        """At log q (J, k): logarithms of F's terms (J, n), −α log F, and p ∝ a g(q)^κ with its τ and φ(p)."""
        terms = self.base[y] + self.kappa[y, None] * (logs @ self.W.T)
        top = terms.max(axis=1)
        p = np.exp(terms - top[:, None])
        total = p.sum(axis=1)
        p /= total[:, None]
        tau, least = p @ self.W, -self.alpha[y] * (top + np.log(total))
        return terms, least, p, tau, least - self.beta * (xlogy(tau, tau) - tau * logs).sum(axis=1)

    def value(self, y: np.ndarray, p: FloatArray) -> FloatArray:
        """φ(p): what p has above the Gibbs posterior of its own τ."""
        logs = np.log(np.maximum(p @ self.W, _TINY))
        _, least, own, *_ = self.gibbs(y, logs)
        return np.asarray(least + self.alpha[y] * rel_entr(p, own).sum(axis=1))

    def lost(self, logs: FloatArray) -> FloatArray:
        """What rounding may take: logarithms of what is small lose digits in proportion."""
        return np.asarray(ROUNDING * (self.size + self.beta * np.abs(logs).max(axis=1)))

    def newton(self, y: np.ndarray, p: FloatArray, tau: FloatArray, logs: FloatArray) -> FloatArray:
        """log q after a step towards τ = q."""
        tau = np.maximum(tau, _TINY)
        slope = self.W.T @ (p[:, :, None] * self.W) - tau[:, :, None] * tau[:, None, :]
        matrix = np.eye(tau.shape[1]) - self.kappa[y, None, None] * slope / tau[:, :, None]
        goal = np.log(tau)
        try:
            step = np.linalg.solve(matrix, (goal - logs)[:, :, None])[:, :, 0]
        except np.linalg.LinAlgError:
            return goal
        return np.where(np.isfinite(step).all(axis=1)[:, None], logs + np.clip(step, -_FAR, _FAR), goal)

    def convex(self, tol: float, start: Partition | None) -> tuple[FloatArray, FloatArray]:
        """Where φ is convex: lower bounds, and posteriors (m, n), by Newton's method from convex-concave steps."""
        y = np.arange(len(self.base))
        p = np.exp(self.base - self.base.max(axis=1)[:, None])
        p /= p.sum(axis=1)[:, None]
        if start is not None:
            p = np.where(np.asarray(start.p.any(axis=1))[:, None], start.p, p)
        logs = np.log(np.maximum(p @ self.W, _TINY))
        lower, best, best_p = np.full(len(y), -np.inf), np.full(len(y), np.inf), p
        for step in range(_PATIENCE):
            _, least, p, tau, value = self.gibbs(y, logs)
            bound = least - self.beta * np.log((tau / np.exp(logs)).max(axis=1)) - self.lost(logs)
            stuck = bool(np.any(bound <= lower))
            lower, best_p = np.fmax(lower, bound), np.where((value < best)[:, None], p, best_p)
            best = np.fmin(best, value)
            if (lower >= best - 0.5 * tol).all() or clock.expired():
                break
            plain = step < _DESCENTS or (stuck and step % 2 == 0)
            logs = np.log(np.maximum(tau, _TINY)) if plain else self.newton(y, p, tau, logs)
        return lower, best_p

    def search(
        self, tol: float, known: np.ndarray, p: FloatArray
    ) -> tuple[FloatArray, FloatArray, np.ndarray, FloatArray]:
        """Where it is not: simplices, down to ``tol`` or until there are too many; p (J, n) of letters (J,) are known.

        Lower bounds, the least values met, and posteriors (J, n) of letters y (J,) near local minima.
        """
        m, W = len(self.base), self.W
        first = _first(W)
        cells, y, parts = np.repeat(first[None], m, axis=0), np.arange(m), pattern(len(first))
        lower, best, seen, idle = np.full(m, np.inf), np.full(m, np.inf), 0, 0
        basins = self.basins(known, p, tol)
        found = [(known, *self.gibbs(known, np.log(np.maximum(p @ W, _TINY)))[2:5:2])]
        np.minimum.at(best, known, found[0][2])
        for round_ in range(_ROUNDS):
            cells = np.einsum("cij,Jjs->Jcis", parts, cells).reshape(-1, *first.shape)
            y = np.repeat(y, len(parts))
            seen += len(y) * len(first) * len(W)
            q = np.maximum(cells.mean(axis=1), _TINY)
            logs = np.log(q)
            terms, _, p, _, value = self.gibbs(y, logs)
            np.minimum.at(best, y, value)
            ratios = (cells / q[:, None, :]).reshape(-1, W.shape[1]) @ W.T
            ends = np.log(np.maximum(ratios, _TINY)).reshape(len(y), len(first), -1)
            ends = terms[:, None, :] + self.kappa[y, None, None] * ends
            top = ends.max(axis=(1, 2))
            most = np.exp(ends - top[:, None, None]).sum(axis=2).max(axis=1)
            bound = -self.alpha[y] * (top + np.log(most)) - self.lost(logs)
            if round_ < 2:
                found.append((y, p, value))
            shut = bound >= best[y] - tol
            left = np.flatnonzero(~shut)
            held, far = self.within(basins, y[left], cells[left])
            left, far = left[~held], far[~held]
            if seen > _MOST[len(first)] * m or round_ == _ROUNDS - 1 or clock.expired():
                shut[left], left = True, left[:0]
            np.minimum.at(lower, y[shut], np.where(np.isnan(bound), -np.inf, bound)[shut])
            if not len(left):
                break
            if round_ > 0 and idle < _IDLE:  # a letter's lowest and farthest lead to minima
                some = left[np.concatenate([_least(y[left], value[left]), _least(y[left], -far)])]
                low, value = self.sharpened(y[some], p[some], _DESCENTS, _STEPS)
                found.append((y[some], low, value))
                np.minimum.at(best, y[some], value)
                before, basins = len(basins.y), basins.joined(self.basins(y[some], low, tol))
                idle = 0 if len(basins.y) > before else idle + 1
            cells, y = cells[left], y[left]
        np.minimum.at(lower, basins.y, basins.least)
        y, p, value = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        return lower, best, *apart(y, p, value, p @ W, m)

    def basins(self, y: np.ndarray, p: FloatArray, tol: float) -> Basins:
        """Boxes around p (J, n) of letters y, or rather p ∝ a g(q)^κ with their q, on which φ is convex."""
        with np.errstate(all="ignore"):
            logs = np.log(np.maximum(p @ self.W, _TINY))
            terms, _, p, tau, value = self.gibbs(y, logs)
            there = np.log(np.maximum(tau, _TINY))
            slope = np.ptp(terms - self.gibbs(y, there)[0], axis=1) * self.alpha[y]  # what that of φ differs by at most
            root = np.sqrt(np.maximum(tau, _TINY))
            scaled = self.W / root[:, None, :]
            matrix = scaled.transpose(0, 2, 1) @ (p[:, :, None] * scaled) - root[:, :, None] * root[:, None, :]
            sound = np.isfinite(matrix).all(axis=(1, 2)) & (p > _TINY).all(axis=1)
            matrix[~sound] = 0.0
            second = np.maximum(np.linalg.eigvalsh(matrix)[:, -1], _SECOND)
            room = -np.log(self.kappa[y] * second * _NEARLY) - np.abs(there - logs).max(axis=1)
            least = value - 2.0 * slope - self.lost(there) - self.lost(logs)
            kept = sound & (room > _SMALL) & (least >= value - tol)
        return Basins(y[kept], np.exp(logs[kept]), tau[kept], room[kept], least[kept])

    def within(self, basins: Basins, y: np.ndarray, cells: FloatArray) -> tuple[np.ndarray, FloatArray]:
        """Whether q in cells (J, v, k) of letters y, and p ∝ a g(q)^κ, lie in the nearest basin, and how far it is."""
        if not len(basins.y) or not len(y):
            return np.zeros(len(y), dtype=bool), np.full(len(y), np.inf)
        far = np.abs(cells.mean(axis=1)[:, None, :] - basins.q).sum(axis=2)
        far = np.where(basins.y == y[:, None], far, np.inf)
        j = far.argmin(axis=1)
        ratios = np.maximum(cells / basins.q[j, None, :], _TINY)
        logs = np.log(ratios)
        most = np.log((ratios @ self.W.T).max(axis=(1, 2)))  # of W v, by Jensen's inequality
        mean = (logs @ basins.tau[j, :, None]).min(axis=(1, 2))  # Σ τ' v is concave, least at a vertex
        near = self.kappa[y] * (most - mean) - np.minimum(logs.min(axis=(1, 2)), 0.0) <= basins.room[j]
        far = far[np.arange(len(y)), j]
        return np.isfinite(far) & near, far

    def sharpened(self, y: np.ndarray, p: FloatArray, descents: int, steps: int) -> tuple[FloatArray, FloatArray]:
        """Local minima of letters y (J,) and their values, from posteriors p (J, n) near them."""
        value = np.full(len(y), np.inf)
        logs = np.log(np.maximum(p @ self.W, _TINY))
        for step in range(descents + steps + 1):
            _, _, trial, tau, new = self.gibbs(y, logs)
            better = new < value
            p, value = np.where(better[:, None], trial, p), np.where(better, new, value)
            if step < descents + steps:
                logs = np.log(np.maximum(tau, _TINY)) if step < descents else self.newton(y, trial, tau, logs)
        return p, value


@dataclass(frozen=True, eq=False)
class Basins:
    """Of letters y (J,): q' and τ' of minima p' ∝ a g(q')^κ, (J, k), what ρ + σ may be, and the least of φ there."""

    y: np.ndarray
    q: FloatArray
    tau: FloatArray
    room: FloatArray
    least: FloatArray

    def joined(self, other: Basins) -> Basins:
        """With those of another that are new."""
        near = np.abs(other.q[:, None, :] - self.q).sum(axis=2) <= _SAME
        new = ~(near & (other.y[:, None] == self.y)).any(axis=1)
        return Basins(*(np.concatenate([getattr(self, a), getattr(other, a)[new]]) for a in vars(self)))


def _least(y: np.ndarray, value: FloatArray) -> np.ndarray:
    """The place of each letter's least value."""
    order = np.lexsort((value, y))
    return np.asarray(order[np.unique(y[order], return_index=True)[1]])


def _distinct(W: FloatArray) -> FloatArray:
    """Its rows, those that are equal once."""
    return np.asarray(W[np.sort(np.unique(W, axis=0, return_index=True)[1])])


def _first(W: FloatArray) -> FloatArray:
    """The vertices (v, k) of a simplex that holds all class posteriors: the rows themselves where they are few."""
    k, rows = W.shape[1], _distinct(W)
    if len(rows) <= k:
        return rows
    least = W.min(axis=0)
    return np.asarray(least + (1.0 - least.sum()) * np.eye(k))


@cache
def pattern(v: int) -> FloatArray:
    """Barycentric coordinates (parts, v, v) of the vertices of the parts of a simplex, all of a few shapes.

    Freudenthal's: paths of unit steps along the axes, one after the other, fill {2 ≥ x₁ ≥ … ≥ x_d ≥ 0}.
    """
    once = []
    for corner in product((0.0, 1.0), repeat=v - 1):
        for order in permutations(range(v - 1)):
            points = np.tile(corner, (v, 1))
            for step, axis in enumerate(order, start=1):
                points[step:, axis] += 1.0
            if points.max(initial=0.0) <= 2.0 and (np.diff(points, axis=1) <= 0.0).all():
                points = np.column_stack([np.full(v, 2.0), points, np.zeros(v)])
                once.append(-0.5 * np.diff(points, axis=1))
    parts = np.array(once)
    while 1 < len(parts) < _PARTS:
        parts = np.einsum("cij,ejl->ceil", once, parts).reshape(-1, v, v)
    return parts


def apart(y: np.ndarray, p: FloatArray, value: FloatArray, tau: FloatArray, m: int) -> tuple[np.ndarray, FloatArray]:
    """The posteriors of low value that are apart from each other, letter by letter."""
    chosen = []
    for letter in range(m):
        left = np.flatnonzero(y == letter) if m > 1 else np.arange(len(y))
        for _ in range(_MINIMA):
            if not len(left):
                break
            least = left[value[left].argmin()]
            chosen.append(least)
            left = left[np.abs(tau[left] - tau[least]).sum(axis=1) > _APART]
    index = np.array(chosen)
    return y[index], p[index]
