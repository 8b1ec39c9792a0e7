"""Pricing for three or more classes: a spatial search over boxes of class posteriors.

φ(p) = ⟨c, p⟩ + α D(p‖px) + β H(Wᵀp) is split as a convex part and a remainder,

  G(p) = ⟨c, p⟩ + α D(p‖px) + β₀ H(Wᵀp),  β₀ = min(β, α/η),   and (β − β₀) H(Wᵀp),

η the strong data-processing constant of W. On a box l ≤ τ ≤ u the remainder, concave and separable in
τ, lies above its chords, Σ_s η(τ_s) ≥ Σ_s a_s + b_s τ_s. At any ν the Gibbs posterior
p ∝ px exp((−c − (β−β₀)Wb + Wν)/α) has a gradient of G + chords that depends on x through Wr only,
r = ν − β₀ log τ(p), so that for every q in the box

  G(q) + chords(q) ≥ G(p) + chords(p) + Σ_s min(r_s (l_s − τ_s), r_s (u_s − τ_s)).

Newton's method on ν makes that tight; cells whose bound stays too low are cut where the chords are worst.
With β ≤ α/η nothing is left for chords and one cell settles it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import rel_entr, xlogy

from drcopt.bounds.pricing.convexity import Basins, concave
from drcopt.bounds.pricing.gibbs import Partition, Priced, gibbs
from drcopt.bounds.pricing.hull import deepest, facets, gradients, within
from drcopt.bounds.pricing.polish import candidates, drawn_in
from drcopt.bounds.pricing.steps import Interior, by_faces
from drcopt.questions import ROUNDING
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Cells in all before the search settles for the bound it has (fewer with more classes: a cell costs k²), of so many
#: letters; more of them have more, as the square of their number. Posteriors of cells, in numbers, at most.
_MOST_CELLS, _LETTERS, _MOST_NUMBERS = 60_000, 8, 2e7
#: Newton steps a cell: by its faces; the last ones where α is all but 0; of an interior-point method where these did
#: not do; where no chords are left, so that one cell settles it.
_STEPS, _LAST, _INNER, _LONG = 5, 6, 12, 60
#: Of what a cell's bound lacks, how much these steps may leave to its halves.
_LITTLE = 0.1
#: Shares of what chords leave of β that are tried as convex in effect.
_SHARES = (1.0, 0.6, 0.3)
#: β is near α/η up to this factor: then large cells may be convex in effect. Steps of a descent to a stationary point
#: in the midst of one, and cells of a letter and class that may be spent on what lies around it.
_NEARLY, _SETTLING, PEELS = 1.25, 300, 150
#: Cells that are cut at once, where there are more.
_AT_ONCE = 2000
#: Of a few cells there are so many parts at least, as these take no longer than halves.
_AT_LEAST = 32
#: Cells of a letter worth keeping for the next pricing: more of them are left over from multipliers long gone.
_MOST_KEPT = 120


def unit_of(costs: FloatArray, alpha: float, beta: float) -> float:
    """A power of two, which rounds nothing, of the costs' size: Newton's method here knows numbers of about 1 only."""
    return float(2.0 ** round(math.log2(max(float(np.ptp(costs)), beta) or alpha)))


@dataclass(eq=False)
class _Cells:
    """Boxes of letter y: least and greatest τ (J, k), bound, and the Gibbs posterior, ν and β₀ that gave it."""

    y: np.ndarray
    low: FloatArray
    high: FloatArray
    bound: FloatArray
    p: FloatArray
    tau: FloatArray
    nu: FloatArray
    convex: FloatArray

    def join(self, other: _Cells) -> _Cells:
        return _Cells(
            *(np.concatenate([getattr(c, name) for c in (self, other)]) for name in self.__dataclass_fields__)
        )

    def take(self, where: np.ndarray) -> _Cells:
        return _Cells(*(getattr(self, name)[where] for name in self.__dataclass_fields__))


#: What a partition keeps of cells.
_KEPT = ("y", "low", "high", "nu")


def price_spatial(
    cost: FloatArray,
    alpha: float,
    beta: float,
    log_px: FloatArray,
    W: FloatArray,
    box: FloatArray,
    tol: float,
    contraction: float,
    start: Partition | None = None,
    most: int | None = None,
) -> Priced:
    """See :func:`drcopt.bounds.pricing.price`; α > 0, ``contraction`` an upper bound on η, ``most`` cells."""
    m = cost.shape[1]
    size = float(np.abs(cost).max()) + min(alpha, float(np.ptp(cost))) * (1.0 - float(log_px.min())) + beta
    slack = max(tol, ROUNDING * size)
    convex = beta if contraction <= 0 else min(beta, alpha / contraction)
    oracle = Oracle(cost.T, alpha, beta, convex, log_px, W, slack)
    lower, best = np.full(m, np.inf), np.full(m, np.inf)
    found: list[tuple[np.ndarray, FloatArray]] = []
    reach = 1e-9 + 2.0 * slack
    best_p = np.zeros((m, len(log_px)))

    def consider(y: np.ndarray, p: FloatArray) -> None:
        # A posterior on a face meets it only as sharply as its cell was solved: draw it in, towards the best so far.
        p = drawn_in(p, best_p[y], W, box[y], np.isfinite(best[y]))
        tau = p @ W
        inside = ((tau >= box[y, :, 0] - reach) & (tau <= box[y, :, 1] + reach)).all(axis=1)
        y, p = y[inside], p[inside]
        value = oracle.value(y, p)
        order = np.argsort(-value, kind="stable")  # of one letter's the last, its least, stays
        order = order[value[order] < best[y[order]]]
        best[y[order]], best_p[y[order]] = value[order], p[order]
        oracle.enough = best - slack
        found.append((y, p))

    if start is not None:
        known = np.flatnonzero(start.p.any(axis=1))
        consider(known, start.p[known])
        consider(known, oracle.descend(known, start.p[known]))
    cells = oracle.lifted(oracle.relax(*_first(box, W, oracle.facets, start)))
    lowest = cells.take(_lowest(cells.y, cells.bound))
    for y, p in ((lowest.y, lowest.p), oracle.corners(m)):
        consider(y, p)
        consider(y, oracle.descend(y, p))
    for letter in np.flatnonzero(np.isinf(best)):
        inmost = None if clock.expired() else deepest(W, *box[letter].T)
        if inmost is not None and inmost.empty:
            cells = cells.take(cells.y != letter)
        elif inmost is not None:
            consider(np.array([letter]), inmost.p[None])
    if oracle.nearly and (cells.bound < best[cells.y] - slack).any():
        known = np.flatnonzero(np.isfinite(best))
        oracle.settle(known, best_p[known])
    done: list[_Cells] = []
    count = len(cells.y)
    share = min(1.0, 9.0 / W.shape[1] ** 2) * max(1.0, m / _LETTERS) ** 2
    affordable = min(_MOST_CELLS * share, _MOST_NUMBERS / len(W))
    enough = most or affordable + PEELS * W.shape[1] * len(oracle.basins.boxes)
    later = cells.take(np.zeros(0, dtype=np.intp))
    while len(cells.y) + len(later.y):
        consider(cells.y, cells.p)
        cells = cells.join(later) if len(later.y) else cells
        open_ = (cells.bound < best[cells.y] - slack) & ((cells.high - cells.low).max(axis=1) > 1e-9)
        if convex == beta or count > enough or clock.expired():
            open_[:] = False
        done.append(cells.take(~open_))
        np.minimum.at(lower, done[-1].y, done[-1].bound)
        cells, later = _first_of(cells.take(np.flatnonzero(open_)))
        cells = oracle.cut(cells)
        count += len(cells.y)
    reached = np.flatnonzero(np.isfinite(best))
    lower[reached] = np.minimum(lower[reached], best[reached])
    return candidates(
        oracle,
        np.concatenate([y for y, _ in found]),
        np.concatenate([p for _, p in found]),
        lower - ROUNDING * size,
        box,
        Partition(box, best_p, *(np.concatenate([getattr(c, name) for c in done or [cells]]) for name in _KEPT)),
    )


def _first(
    box: FloatArray, W: FloatArray, hull: tuple[FloatArray, FloatArray], start: Partition | None
) -> tuple[np.ndarray, FloatArray, FloatArray, FloatArray | None]:
    """Letters, ends and ν of the cells to begin with: those of ``start`` where it covers a letter's box, or the box."""
    m = len(box)
    y, low, high, nu = np.arange(m), box[:, :, 0], box[:, :, 1], None
    if start is not None:
        covered = (low >= start.box[:, :, 0]).all(axis=1) & (high <= start.box[:, :, 1]).all(axis=1)
        covered &= np.bincount(start.y, minlength=m) <= _MOST_KEPT
        old, fresh = np.flatnonzero(covered[start.y]), np.flatnonzero(~covered)
        y = np.concatenate([start.y[old], fresh])
        low = np.concatenate([np.maximum(start.low[old], low[start.y[old]]), low[fresh]])
        high = np.concatenate([np.minimum(start.high[old], high[start.y[old]]), high[fresh]])
        nu = np.concatenate([start.nu[old], np.zeros((len(fresh), W.shape[1]))])
    kept, low, high = _tightened(np.maximum(low, W.min(axis=0)), np.minimum(high, W.max(axis=0)), hull)
    return y[kept], low, high, None if nu is None else nu[kept]


def _first_of(cells: _Cells) -> tuple[_Cells, _Cells]:
    """Of many cells those of least bounds, and the others: where cells run out, the least bound counts."""
    order = np.arange(len(cells.y)) if len(cells.y) <= _AT_ONCE else np.argsort(cells.bound, kind="stable")
    return cells.take(order[:_AT_ONCE]), cells.take(order[_AT_ONCE:])


def _lowest(y: np.ndarray, bound: FloatArray) -> np.ndarray:
    """The index of every letter's cell of least bound."""
    order = np.lexsort((bound, y))
    return order[np.unique(y[order], return_index=True)[1]]


def _tightened(
    low: FloatArray, high: FloatArray, hull: tuple[FloatArray, FloatArray]
) -> tuple[np.ndarray, FloatArray, FloatArray]:
    """Boxes shrunk by Σ τ = 1 and to the hull of the rows of W, and which of them (indices) are not empty."""
    for _ in range(2):
        low, high = within(*hull, low, high)
        high = np.minimum(high, 1.0 - (low.sum(axis=1, keepdims=True) - low))
        low = np.maximum(low, 1.0 - (high.sum(axis=1, keepdims=True) - high))
    keep = (low <= high + 1e-12).all(axis=1)
    return np.flatnonzero(keep), low[keep], np.maximum(low, high)[keep]


class Oracle:
    """Relaxations of many cells at once."""

    def __init__(
        self,
        cost_t: FloatArray,
        alpha: float,
        beta: float,
        convex: float,
        log_px: FloatArray,
        W: FloatArray,
        slack: float,
    ) -> None:
        self.cost_t, self.alpha, self.beta, self.convex, self.log_px, self.W = cost_t, alpha, beta, convex, log_px, W
        self.slack = slack
        #: A cell whose bound is this is settled, whatever else might be proved of it.
        self.enough = np.full(len(cost_t), np.inf)
        self.nearly = convex < beta <= _NEARLY * convex
        self.basins = Basins({})
        self._gradients: dict[int, tuple[FloatArray, FloatArray]] = {}

    @cached_property
    def facets(self) -> tuple[FloatArray, FloatArray]:
        """Inequalities that all class posteriors meet."""
        return facets(self.W)

    def value(self, y: np.ndarray, p: FloatArray) -> FloatArray:
        """φ(p)."""
        tau = p @ self.W
        divergence = rel_entr(p, np.exp(self.log_px)).sum(axis=1)
        return np.asarray(
            np.einsum("ji,ji->j", p, self.cost_t[y]) + self.alpha * divergence - self.beta * xlogy(tau, tau).sum(axis=1)
        )

    def relax(
        self,
        y: np.ndarray,
        low: FloatArray,
        high: FloatArray,
        nu: FloatArray | None = None,
        convex: float | None = None,
        steps: int | None = None,
    ) -> _Cells:
        """The best bound that a few Newton steps on ν give for every cell, with β₀ = ``convex``.

        So many ``steps``, if given, all from ν.
        """
        convex = self.convex if convex is None else convex
        rest = self.beta - convex
        a, b = _chords(low, high)
        base = -self.cost_t[y] - rest * (b @ self.W.T)
        constant = rest * a.sum(axis=1)
        fresh = nu is None
        if nu is None:
            nu = convex * np.log(np.maximum(0.5 * (low + high), 1e-12))
        J, n = len(y), len(self.log_px)
        none = np.full(J, -np.inf), np.zeros((J, n)), np.zeros_like(low)
        cells = _Cells(y, low, high, *none, nu.copy(), np.full(J, convex))

        def evaluate(todo: np.ndarray, nu: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
            """Score, τ, gradient r and what r costs, at ν; keeps the bound if it is the best so far."""
            score = base[todo] + nu @ self.W.T
            p, total = gibbs(score, self.log_px, self.alpha)
            tau = p @ self.W
            r = nu - convex * np.log(np.maximum(tau, 1e-300))
            # G(p) + chords(p) = ⟨ν, τ⟩ − α log Z + β₀ H(τ) + constant.
            height = np.einsum("js,js->j", nu, tau) - total - convex * xlogy(tau, tau).sum(axis=1) + constant[todo]
            loss = _least_linear(r, low[todo] - tau, high[todo] - tau)
            # ⟨ν, τ⟩ and α log Z cancel: what is lost there is in proportion to ν.
            bound = height + loss - 16 * 2.0**-53 * (self.alpha + np.abs(nu).max(axis=1) + np.abs(r).max(axis=1))
            better = bound > cells.bound[todo]
            at = todo[better]
            cells.bound[at], cells.p[at] = bound[better], p[better]
            cells.tau[at], cells.nu[at] = tau[better], nu[better]
            return score, tau, r, loss

        def rough(todo: np.ndarray, tau: FloatArray, loss: FloatArray) -> np.ndarray:
            """Not there yet: the gradient still costs, or τ is outside the box. What is to be cut need not be sharp."""
            outside = np.maximum(low[todo] - tau, tau - high[todo]).max(axis=1)
            missing = self.enough[y[todo]] - cells.bound[todo]
            fine = np.maximum(self.slack, little * np.where(np.isinf(missing), 0.0, missing))
            return np.asarray((missing > 0) & ((loss < -0.2 * fine) | (outside > 0.1 * fine)))

        little = _LITTLE if rest > 0 else 0.0
        todo = np.arange(J)
        if steps is None:
            evaluate(todo, self.starts(y, low, high) + rest * b)
        evaluate(todo, nu)
        nu = cells.nu.copy()
        on_low, on_high = np.zeros_like(low, dtype=bool), np.zeros_like(low, dtype=bool)
        for smooth in self.schedule(fresh, steps or (_STEPS if rest > 0 else _LONG)):
            score, tau, r, loss = evaluate(todo, nu)
            more = rough(todo, tau, loss)
            if not more.any() or clock.expired():
                return cells
            p, _ = gibbs(score, self.log_px, smooth)
            if smooth > self.alpha:  # steps follow the smoother problem, bounds the true one
                tau = p @ self.W
                r = nu - convex * np.log(np.maximum(tau, 1e-300))
                more = cells.bound[todo] < self.enough[y[todo]]
            # A face is entered by leaving the box and left when its multiplier changes sign.
            on_low = (tau < low[todo]) | (on_low & (r > 0))
            on_high = (tau > high[todo]) | (on_high & (r < 0))
            target = np.where(on_low, low[todo] - tau, np.where(on_high, high[todo] - tau, 0.0))
            nu = nu + by_faces(self.W, p, tau, r, on_low | on_high, target, smooth, convex)
            todo, nu, on_low, on_high = todo[more], nu[more], on_low[more], on_high[more]
        inner = Interior(self.W, low[todo], high[todo], cells.tau[todo], float(np.ptp(self.cost_t)) + self.beta)
        for _ in range(_INNER if rest > 0 else 0):
            score, tau, r, loss = evaluate(todo, nu)
            if not rough(todo, tau, loss).any() or clock.expired():
                break
            p, _ = gibbs(score, self.log_px, self.alpha)
            nu = nu + inner.step(p, tau, r, max(self.alpha, 1e-9), convex)
        return cells

    def lifted(self, cells: _Cells) -> _Cells:
        """Cells that are not settled with a larger β₀, where that is proved to be convex in effect."""
        if not self.nearly:
            return cells
        for share in _SHARES:
            convex = self.convex + share * (self.beta - self.convex)
            todo = np.flatnonzero(cells.bound < self.enough[cells.y])
            todo = todo[self._concave(cells.take(todo), convex)]
            if not len(todo) or clock.expired():
                continue
            some = cells.take(todo)
            trial = self.relax(some.y, some.low, some.high, some.nu, convex)
            held = (trial.bound > some.bound) & self._concave(trial, convex)
            for name in ("bound", "p", "tau", "nu", "convex"):
                getattr(cells, name)[todo[held]] = getattr(trial, name)[held]
        return cells

    def settle(self, y: np.ndarray, p: FloatArray) -> None:
        """Find basins around the stationary points that descents from posteriors p lead to."""
        p = self.descend(y, p, _SETTLING)
        self.basins = Basins.around(y, p, self.beta / self.alpha, self.W, self._size(np.zeros((len(y), 1))))

    def _size(self, nu: FloatArray) -> FloatArray:
        """Of the logarithms behind Gibbs posteriors."""
        return np.asarray((float(np.ptp(self.cost_t)) + np.ptp(nu, axis=1)) / self.alpha - float(self.log_px.min()))

    def _concave(self, cells: _Cells, convex: float) -> np.ndarray:
        own = cells.low, cells.high, self._size(cells.nu)
        return concave(cells.p, cells.tau, convex / self.alpha, self.W, *own)

    def starts(self, y: np.ndarray, low: FloatArray, high: FloatArray) -> FloatArray:
        """ν less the chords' slopes that is right in the middle of every cell if α is all but 0."""
        middle, nu = 0.5 * (low + high), np.zeros_like(low)
        for letter in np.unique(y):
            if letter not in self._gradients:
                if clock.expired():
                    break
                self._gradients[letter] = gradients(self.W, self.cost_t[letter])
            G, h = self._gradients[letter]
            mine = y == letter
            nu[mine] = G[(middle[mine] @ G.T + h).argmax(axis=1)]
        return nu

    def schedule(self, fresh: bool, steps: int) -> list[float]:
        """The α of every Newton step: from a smooth problem down to the true one where that is all but polyhedral."""
        gentle = 0.02 * float(np.ptp(self.cost_t) + self.beta)
        if self.alpha >= gentle:
            return [self.alpha] * steps
        if not fresh:
            gentle = max(self.alpha, 1e-3 * gentle)
        path = gentle * 0.3 ** np.arange(math.ceil(math.log(gentle / max(self.alpha, 1e-9)) / math.log(1 / 0.3)))
        return [max(float(a), self.alpha) for a in np.repeat(path, 2)] + [max(self.alpha, 1e-9)] * max(
            _LAST, steps // 2
        )

    def descend(self, y: np.ndarray, p: FloatArray, steps: int = 12) -> FloatArray:
        """Convex-concave steps on φ from p: each moves to the Gibbs posterior of the entropy's tangent."""
        for _ in range(0 if clock.expired() else steps):
            log_tau = np.log(np.maximum(p @ self.W, 1e-300))
            p, _ = gibbs(self.beta * (log_tau @ self.W.T) - self.cost_t[y], self.log_px, self.alpha)
        return p

    def corners(self, m: int) -> tuple[np.ndarray, FloatArray]:
        """Letters and posteriors on the extremes: all mass where p(s|x) is greatest, for every y and s."""
        ys, ps = [], []
        for s in range(self.W.shape[1]):
            there = self.W[:, s] == self.W[:, s].max()
            p = np.zeros((m, len(self.log_px)))
            p[:, there], _ = gibbs(-self.cost_t[:, there], self.log_px[there], self.alpha)
            ys.append(np.arange(m))
            ps.append(p)
        return np.concatenate(ys), np.concatenate(ps)

    def cut(self, cells: _Cells) -> _Cells:
        """Every cell in two, or a few cells in more parts, across the class whose chord errs most at the posterior."""
        if not len(cells.y):
            return cells
        parts = self._halves(cells)
        while 0 < len(parts.y) < _AT_LEAST:
            parts = self._halves(parts)
        found = self.lifted(self.relax(parts.y, parts.low, parts.high, parts.nu))
        found.bound = np.maximum(found.bound, parts.bound)  # what holds on the whole holds on it
        return found

    def _halves(self, cells: _Cells) -> _Cells:
        """Both halves of every cell, with what is known of the whole."""
        tau = np.clip(cells.tau, cells.low, cells.high)
        a, b = _chords(cells.low, cells.high)
        error = -xlogy(tau, tau) - (a + b * tau)
        rows = np.arange(len(tau))
        s = error.argmax(axis=1)
        flat = error[rows, s] <= 1e-15
        s = np.where(flat, (cells.high - cells.low).argmax(axis=1), s)
        bottom, top = cells.low[rows, s], cells.high[rows, s]
        inset = 0.15 * (top - bottom)
        at = np.clip(tau[rows, s], bottom + inset, top - inset)
        peeled, classes, places = self.basins.faces(cells.y, cells.low, cells.high)
        s[peeled], at[peeled] = classes, places
        below, above = cells.high.copy(), cells.low.copy()
        below[rows, s], above[rows, s] = at, at
        both = np.concatenate([cells.low, above]), np.concatenate([below, cells.high])
        kept, low, high = _tightened(*both, self.facets)
        return replace(cells.take(np.tile(rows, 2)[kept]), low=low, high=high)


def _chords(low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    """a, b with a + b t ≤ −t log t on [low, high], tight at both ends."""
    at_low, at_high = -xlogy(low, low), -xlogy(high, high)
    width = high - low
    with np.errstate(divide="ignore", invalid="ignore"):
        # Where the ends (all but) meet any line through the lower end value and slope 0 is below.
        b = np.where(width > 1e-12, (at_high - at_low) / width, 0.0)
    a = np.minimum(at_low - b * low, at_high - b * high)
    return a, b


def _least_linear(r: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Lower bound on r·δ over low ≤ δ ≤ high with Σ δ = 0: the best over shifts of r by one of its entries."""
    shifts = np.concatenate([np.zeros((len(r), 1)), r], axis=1)
    moved = r[:, None, :] - shifts[:, :, None]
    value = np.minimum(moved * low[:, None, :], moved * high[:, None, :]).sum(axis=2)
    return np.asarray(value.max(axis=1))
