"""Pricing where the class posteriors lie on a line: a one-dimensional search with a proof between the grid points.

So it is with two classes, with two letters in X, and wherever the rows of W are collinear: τ is an affine function
of t = τ(s) for some class s. For letter y let ψ(t) = min { ⟨c, p⟩ + α D(p‖px) : ⟨w, p⟩ = t } with w = W(·, s). It is
convex, and for any slope μ the line μ t − Λ(μ), Λ(μ) = α log Σ px exp((μ w − c)/α), supports it at t(μ) = Λ'(μ).
The price is the least of φ(t) = ψ(t) + β h(t) over an interval, h the (concave) entropy along the line. The interval
is cut into cells whose ends are contact points; on a cell φ is bounded below by the best of

- the supporting lines of ψ plus the chord of h,
- the tangents of φ where φ is proved convex, and its ends where it is proved concave.

Convexity is proved from ψ'' = α / Var_μ(w): the variance changes by at most a factor exp(r |Δμ| / α) between
two slopes, r the range of w, because a third central moment is at most r times the second.
Cells whose bound is too low are cut again, all letters at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from drcopt.bounds.pricing.gibbs import Priced, gibbs, softmin
from drcopt.questions import ROUNDING
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Cells an interval starts with, rounds of refinement and contact points (per letter) at most: where φ is flat
#: without being convex or concave, refining would never end.
_CELLS, _ROUNDS, _POINTS = 8, 60, 400
#: Posteriors handed back for each letter: where φ is flat there is no end of local minima.
_MOST_MINIMA = 8
#: Rows of W this close to a line are on it.
_STRAIGHT = 4e-16


@dataclass(frozen=True, eq=False)
class Line:
    """Class posteriors on a line: τ(t) = base + t · direction with t = τ(s), both of shape (k,)."""

    s: int
    base: FloatArray
    direction: FloatArray

    @classmethod
    def through(cls, W: FloatArray) -> Line | None:
        """The line through the rows of W (n, k), or None if they lie on none."""
        if W.shape[1] == 2:
            return cls(0, np.array([0.0, 1.0]), np.array([1.0, -1.0]))
        s = int(np.ptp(W, axis=0).argmax())
        first, last = W[W[:, s].argmin()], W[W[:, s].argmax()]
        direction = (last - first) / max(float(last[s] - first[s]), 1e-300)
        direction[s] = 1.0
        base = first - first[s] * direction
        off = np.abs(W - base - W[:, s, None] * direction).max()
        return cls(s, base, direction) if off <= _STRAIGHT else None

    def error(self) -> float:
        """How far the entropy along the line may be from that of the posterior: a class at 0 costs most."""
        return 0.0 if len(self.base) == 2 else len(self.base) * 2e-14

    def at(self, t: FloatArray) -> FloatArray:
        """τ(t), shape (..., k)."""
        return np.asarray((self.base + np.asarray(t)[..., None] * self.direction).clip(0.0, 1.0))

    def entropy(self, t: FloatArray) -> FloatArray:
        """h(t) = H(τ(t))."""
        tau = self.at(t)
        return np.asarray(-xlogy(tau, tau).sum(axis=-1))

    def slope(self, t: FloatArray) -> FloatArray:
        """h'(t)."""
        return np.asarray(-np.log(self.at(t).clip(1e-300, 1.0)) @ self.direction)

    def curvature(self, tau: FloatArray) -> FloatArray:
        """−h'' = Σ direction² / τ: largest on a cell at one of its ends, and falling in τ."""
        used = self.direction != 0
        return np.asarray((self.direction[used] ** 2 / np.maximum(tau[..., used], 1e-300)).sum(axis=-1))

    def interval(self, box: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Least and greatest t in every box (m, k, 2), widened by rounding."""
        along = np.abs(self.direction) > 1e-9  # a class that hardly moves restricts t to within rounding only
        g = self.direction[along, None]
        ends = np.sort((box[:, along] - self.base[along, None]) / g, axis=2)
        room = _STRAIGHT / np.abs(g[:, 0])
        return (ends[:, :, 0] - room).max(axis=1), (ends[:, :, 1] + room).min(axis=1)


def price_line(
    cost: FloatArray,
    alpha: float,
    beta: float,
    log_px: FloatArray,
    W: FloatArray,
    line: Line,
    box: FloatArray,
    tol: float,
) -> Priced:
    """See :func:`drcopt.bounds.pricing.price`; the rows of W lie on ``line``, α > 0."""
    m, w = cost.shape[1], W[:, line.s]
    least_w, greatest_w = float(w.min()), float(w.max())
    low, high = line.interval(box)
    low, high = np.maximum(low, least_w), np.minimum(high, greatest_w)
    size = float(np.abs(cost).max()) + alpha * (1.0 - float(log_px.min())) + beta
    slack = max(tol, ROUNDING * size)
    # A row whose sum rounds to 1 ± 1e-16 must not make its own posterior's box empty.
    empty = low > high + 1e-12
    high = np.maximum(high, low)
    letters = np.flatnonzero(~empty)
    lower = np.full(m, np.inf)
    # H(Wᵀp) is concave, so never below that of the rows: all there is to say where they hardly differ.
    floor = np.full(m, -np.inf)
    if greatest_w - least_w < 1e-5:
        floor = softmin(cost, log_px, alpha) + beta * float((-xlogy(W, W)).sum(axis=1).min())
    if greatest_w - least_w < 1e-13:
        p = gibbs(-cost.T, log_px, alpha)[0]
        lower[letters] = floor[letters]
        return Priced(lower, letters, p[letters], lower[letters])

    search = _Search(cost, alpha, beta, log_px, w, line, low, high)
    cells = search.first_cells(letters)
    best = np.full(m, np.inf)
    closed = np.full(m, np.inf)
    for _ in range(_ROUNDS):
        np.minimum.at(best, search.y, search.phi)
        bound = search.bound(cells)
        # Halving the distance to tol leaves room for the next rounds' better "best".
        todo = (bound < best[cells.y] - slack) & (cells.b - cells.a > 1e-14)
        np.minimum.at(closed, cells.y[~todo], bound[~todo])
        if not todo.any():
            break
        if len(search.y) > _POINTS * len(letters) or clock.expired():
            np.minimum.at(closed, cells.y, bound)
            break
        cells = search.cut(cells.take(todo), best)
    else:
        np.minimum.at(closed, cells.y, search.bound(cells))
    # A supporting line of slope μ is only known to rounding times |μ|.
    steepest = np.zeros(m)
    np.maximum.at(steepest, search.y, np.abs(search.mu))
    found = np.minimum(closed, best) - 4 * 2.0**-53 * steepest - beta * line.error()
    lower[letters] = np.maximum(found, floor)[letters]
    return search.minimisers(lower, best)


@dataclass(eq=False)
class _Cells:
    """Intervals [a, b] of letter y with the points (indices) whose lines support ψ at either end.

    ``open_a`` (``open_b``) marks an end at the extreme of w, where the supporting line would be vertical.
    """

    y: np.ndarray
    a: FloatArray
    b: FloatArray
    left: np.ndarray
    right: np.ndarray
    open_a: np.ndarray
    open_b: np.ndarray

    def take(self, where: np.ndarray) -> _Cells:
        return _Cells(*(getattr(self, name)[where] for name in self.__dataclass_fields__))


class _Search:
    """Contact points found so far, growing arrays of letter, slope, contact, value."""

    def __init__(
        self,
        cost: FloatArray,
        alpha: float,
        beta: float,
        log_px: FloatArray,
        w: FloatArray,
        line: Line,
        low: FloatArray,
        high: FloatArray,
    ) -> None:
        self.cost_t, self.alpha, self.beta, self.log_px, self.w = cost.T, alpha, beta, log_px, w
        self.on, self.low, self.high = line, low, high
        self.least, self.greatest = float(w.min()), float(w.max())
        self.y = np.zeros(0, dtype=np.intp)
        self.mu = self.t = self.var = self.line = self.phi = self.slope = np.zeros(0)
        # Posteriors of the two extremes of w, where μ → ∓∞; a column per letter.
        self.extreme: list[tuple[FloatArray, FloatArray]] = []
        for end in (self.least, self.greatest):
            there = w == end
            p = np.zeros((cost.shape[1], len(w)))
            p[:, there], total = gibbs(-cost.T[:, there], log_px[there], alpha)
            self.extreme.append((p, -total + beta * line.entropy(np.array(end))))

    def posterior(self, y: np.ndarray, mu: FloatArray) -> tuple[FloatArray, FloatArray]:
        return gibbs(mu[:, None] * self.w - self.cost_t[y], self.log_px, self.alpha)

    def moments(self, y: np.ndarray, mu: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Λ(μ), t(μ), Var_μ(w)."""
        p, total = self.posterior(y, mu)
        t = p @ self.w
        return total, t, np.einsum("ji,ji->j", p, (self.w[None, :] - t[:, None]) ** 2)

    def add(self, y: np.ndarray, mu: FloatArray) -> np.ndarray:
        """Evaluate new slopes; returns the indices of the new points."""
        total, t, var = self.moments(y, mu)
        first = len(self.y)
        inside = (t >= self.low[y] - 1e-13) & (t <= self.high[y] + 1e-13)
        phi = np.where(inside, mu * t - total + self.beta * self.on.entropy(t), np.inf)
        slope = mu + self.beta * self.on.slope(t)
        for name, new in (
            ("y", y),
            ("mu", mu),
            ("t", t),
            ("var", var),
            ("line", -total),
            ("phi", phi),
            ("slope", slope),
        ):
            setattr(self, name, np.concatenate([getattr(self, name), new]))
        return np.arange(first, len(self.y))

    def slopes_at(self, y: np.ndarray, target: FloatArray, sharp: np.ndarray) -> FloatArray:
        """μ with t(μ) ≈ target, by Newton kept inside a bracket; to 1e-11 where ``sharp``."""
        r = self.greatest - self.least
        mu = np.zeros(len(y))
        below, above = np.full(len(y), -np.inf), np.full(len(y), np.inf)
        reach = np.full(len(y), self.alpha / r)
        for attempt in range(140):
            p, _ = self.posterior(y, mu)
            t = p @ self.w
            var = np.einsum("ji,ji->j", p, (self.w[None, :] - t[:, None]) ** 2)
            # Distances from the ends summed directly: t alone cancels when p all but sits on an end.
            ta, tb = p @ (self.w - self.least), p @ (self.greatest - self.w)
            miss = t - target
            below, above = np.where(miss < 0, mu, below), np.where(miss > 0, mu, above)
            room = np.minimum(target - self.least, self.greatest - target)
            done = np.abs(miss) <= np.where(sharp, 1e-11, 0.05) * np.maximum(room, 1e-14)
            done |= above - below <= 4e-16 * np.abs(mu)  # t jumps over the target between two doubles
            if done.all():
                break
            clock.check()  # contacts elsewhere than at the ends would prove nothing near them
            # Newton on the log-odds of t within its range, which is close to linear in μ at both ends.
            ta, tb = np.maximum(ta, 1e-300), np.maximum(tb, 1e-300)
            goal = np.log((target - self.least) / (self.greatest - target))
            step = (goal - np.log(ta / tb)) * ta * tb / r * self.alpha / np.maximum(var, 1e-300)
            step = np.clip(np.nan_to_num(step), -1e3 * reach, 1e3 * reach)
            bracketed = np.isfinite(below) & np.isfinite(above)
            middle = np.where(bracketed, 0.5 * (below + above), np.inf)
            # Without a bracket the step at least doubles: far out t sits on an end and says nothing of how far.
            step = np.where(bracketed, step, np.where(miss > 0, np.minimum(step, -reach), np.maximum(step, reach)))
            trial = mu + step
            # Nor does Newton's step, where the variance underflows: halve the bracket every other time.
            outside = (trial <= below) | (trial >= above) | ((attempt > 12) & (attempt % 2 == 0))
            reach = np.where(bracketed, reach, 2.0 * reach)
            trial = np.where(outside & np.isfinite(middle), middle, trial)
            mu = np.where(done, mu, trial)
        return mu

    def first_cells(self, letters: np.ndarray) -> _Cells:
        """Cut every letter's interval into equal cells."""
        low, high = self.low[letters], self.high[letters]
        r = self.greatest - self.least
        grid = low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, _CELLS + 1)
        open_low, open_high = low <= self.least + 1e-12 * r, high >= self.greatest - 1e-12 * r
        inset = np.minimum(0.02 * (high - low), 0.01 * r)
        targets = grid.copy()
        targets[:, 0] = np.where(open_low, np.maximum(low + inset, self.least + 1e-9 * r), low)
        targets[:, -1] = np.where(open_high, np.minimum(high - inset, self.greatest - 1e-9 * r), high)
        targets = np.clip(targets, self.least + 1e-10 * r, self.greatest - 1e-10 * r)
        sharp = np.zeros_like(targets, dtype=bool)
        sharp[:, 0], sharp[:, -1] = ~open_low, ~open_high
        y = np.repeat(letters, _CELLS + 1)
        mu = self.slopes_at(y, targets.ravel(), sharp.ravel()).reshape(targets.shape)
        # Inner contacts are only roughly where they were aimed; none may lie beyond the ends.
        mu = np.sort(np.clip(mu, mu[:, :1], mu[:, -1:]), axis=1)
        index = self.add(y, mu.ravel()).reshape(targets.shape)
        cuts = np.clip(self.t[index], low[:, None], high[:, None])
        parts = []
        no = np.zeros(len(letters), dtype=bool)
        for j in range(_CELLS):
            a, b = cuts[:, j], cuts[:, j + 1]
            # A pinned end belongs to the cell exactly, wherever its line touches.
            a = low if j == 0 else a
            b = high if j == _CELLS - 1 else b
            parts.append(_Cells(letters, a, np.maximum(a, b), index[:, j], index[:, j + 1], no, no))
        # Between an extreme of w and the outermost contact there is one more cell with a single line.
        for mask, side in ((open_low, 0), (open_high, -1)):
            edge = index[mask, side]
            end = low[mask] if side == 0 else high[mask]
            a, b = (end, cuts[mask, 0]) if side == 0 else (cuts[mask, -1], end)
            flag = np.ones(int(mask.sum()), dtype=bool)
            parts.append(
                _Cells(letters[mask], a, np.maximum(a, b), edge, edge, flag & (side == 0), flag & (side == -1))
            )
        parts[0] = _replace_end(parts[0], a=np.where(open_low, cuts[:, 0], low))
        parts[_CELLS - 1] = _replace_end(parts[_CELLS - 1], b=np.where(open_high, cuts[:, -1], high))
        return _join(parts)

    def bound(self, cells: _Cells) -> FloatArray:
        """A lower bound on φ over every cell."""
        i, j, a, b = cells.left, cells.right, cells.a, cells.b
        ha, hb = self.beta * self.on.entropy(a), self.beta * self.on.entropy(b)
        at_a = np.maximum(self.mu[i] * a + self.line[i], self.mu[j] * a + self.line[j])
        at_b = np.maximum(self.mu[i] * b + self.line[i], self.mu[j] * b + self.line[j])
        width = np.maximum(b - a, 1e-300)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            cross = np.clip(np.nan_to_num((self.line[i] - self.line[j]) / (self.mu[j] - self.mu[i])), a, b)
            middle = np.maximum(self.mu[i] * cross + self.line[i], self.mu[j] * cross + self.line[j])
            middle = middle + ha + (hb - ha) * ((cross - a) / width)
            chord = np.minimum(np.minimum(at_a + ha, at_b + hb), middle)
            # Between two slopes Var lies within exp(± r Δμ / 2α) of the geometric mean of its ends.
            spread = np.exp((self.greatest - self.least) * (self.mu[j] - self.mu[i]) / (2.0 * self.alpha))
            mean = np.sqrt(self.var[i] * self.var[j])
            # Those slopes' contacts, which need not be the cell's own ends, bound where that holds.
            ti, tj = self.t[i], self.t[j]
            first, last = np.minimum(a, ti), np.maximum(b, tj)
            ends = self.on.at(first), self.on.at(last)
            most = np.maximum(*(self.on.curvature(tau) for tau in ends))
            # At least Σ direction² / τ for the greatest τ, and by Cauchy–Schwarz (Σ |direction|)².
            least = np.maximum(self.on.curvature(np.maximum(*ends)), np.abs(self.on.direction).sum() ** 2)
            convex = self.alpha >= self.beta * mean * spread * most
            concave = self.alpha * spread <= self.beta * mean * least
            # Convex: tangents of φ at the contacts; where the cell reaches past a contact, ψ's line plus β h is
            # concave, so the cell's end settles that part.
            si, sj = self.slope[i], self.slope[j]
            fi = self.mu[i] * ti + self.line[i] + self.beta * self.on.entropy(ti)
            fj = self.mu[j] * tj + self.line[j] + self.beta * self.on.entropy(tj)
            cross = np.clip(np.nan_to_num((fj - sj * tj - fi + si * ti) / (si - sj)), a, b)
            tangent = np.full(len(a), np.inf)
            for at in (a, cross, b):
                tangent = np.minimum(tangent, np.maximum(fi + si * (at - ti), fj + sj * (at - tj)))
            tangent = np.where(a < ti, np.minimum(tangent, self.mu[i] * a + self.line[i] + ha), tangent)
            tangent = np.where(b > tj, np.minimum(tangent, self.mu[j] * b + self.line[j] + hb), tangent)
        closed = ~(cells.open_a | cells.open_b)
        bound = np.where(closed & convex, np.fmax(chord, tangent), chord)
        at_ends = np.minimum(at_a + ha, at_b + hb)
        return np.asarray(np.where(closed & concave & (ti <= a) & (tj >= b), np.maximum(bound, at_ends), bound))

    def cut(self, cells: _Cells, best: FloatArray) -> _Cells:
        """Two cells for each one."""
        del best
        i, j = cells.left, cells.right
        reach = np.maximum(np.abs(self.mu[i]), self.alpha / (self.greatest - self.least))
        mu = 0.5 * (self.mu[i] + self.mu[j])
        # Where φ' changes sign its zero is the point to try, kept off the ends.
        sa, sb = self.slope[i], self.slope[j]
        span = self.mu[j] - self.mu[i]
        with np.errstate(divide="ignore", invalid="ignore"):
            secant = self.mu[i] + np.clip(np.nan_to_num(-sa / (sb - sa), nan=0.5), 0.01, 0.99) * span
        mu = np.where((sa < 0) & (sb > 0), secant, mu)
        mu = np.where(cells.open_a, self.mu[i] - reach, np.where(cells.open_b, self.mu[j] + reach, mu))
        k = self.add(cells.y, mu)
        c = np.clip(self.t[k], cells.a, cells.b)
        low = _Cells(cells.y, cells.a, c, np.where(cells.open_a, k, i), k, cells.open_a, np.zeros_like(cells.open_b))
        high = _Cells(cells.y, c, cells.b, k, np.where(cells.open_b, k, j), np.zeros_like(cells.open_a), cells.open_b)
        return _join([low, high])

    def minimisers(self, lower: FloatArray, best: FloatArray) -> Priced:
        """The best points of the lowest basins: local minima among the contact points, and the extremes of w."""
        order = np.lexsort((self.t, self.y))
        y, phi = self.y[order], self.phi[order]
        before = np.concatenate([[np.inf], np.where(y[1:] == y[:-1], phi[:-1], np.inf)])
        after = np.concatenate([np.where(y[1:] == y[:-1], phi[1:], np.inf), [np.inf]])
        keep = np.isfinite(phi) & (phi <= before) & (phi < after)
        chosen = order[keep]
        chosen = chosen[np.lexsort((self.phi[chosen], self.y[chosen]))]
        letter = self.y[chosen]
        chosen = chosen[np.arange(len(chosen)) - np.searchsorted(letter, letter) < _MOST_MINIMA]
        ys, ps, values = [self.y[chosen]], [self.posterior(self.y[chosen], self.mu[chosen])[0]], [self.phi[chosen]]
        for (p, value), end in zip(self.extreme, (self.least, self.greatest), strict=True):
            here = np.flatnonzero((self.low <= end) & (self.high >= end) & np.isfinite(lower))
            here = here[value[here] <= best[here]]
            ys.append(here)
            ps.append(p[here])
            values.append(value[here])
        return Priced(lower, np.concatenate(ys), np.concatenate(ps), np.concatenate(values))


def _replace_end(cells: _Cells, *, a: FloatArray | None = None, b: FloatArray | None = None) -> _Cells:
    a = cells.a if a is None else a
    b = cells.b if b is None else b
    return _Cells(cells.y, a, np.maximum(a, b), cells.left, cells.right, cells.open_a, cells.open_b)


def _join(parts: list[_Cells]) -> _Cells:
    return _Cells(*(np.concatenate([getattr(p, name) for p in parts]) for name in _Cells.__dataclass_fields__))
