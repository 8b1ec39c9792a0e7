"""Cells and slopes that let :mod:`drcopt.checker` prove the inner minima of a posterior bound.

For a letter with costs c the checker needs cells l ≤ τ ≤ u that cover the letter's box, and for each a vector ν
such that the inequality in its docstring is strong. Nothing here has to be right: a poor choice makes the
proved bound weaker, never wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linprog

from drcopt.bounds.pricing.gibbs import gibbs
from drcopt.bounds.pricing.hull import deepest
from drcopt.bounds.pricing.line import Line
from drcopt.bounds.pricing.spatial import PEELS, Oracle, unit_of
from drcopt.problem import Problem
from drcopt.support.check import FloatArray

#: Rounds of cutting, most cells of one leaf; rounds of multipliers for a cell and Newton steps in each.
ROUNDS, MOST_CELLS, _OUTER, _STEPS = 80, 8_000, 10, 6
#: Widths of a cell that the posterior found for it may lie outside of it before the cell is suspected to be empty.
_NEAR = 0.25

#: A tree in preorder: {"s": class, "at": τ_s} followed by the trees below and above, or {"nu": ν}, with a β₀ of its own
#: ("convex") where that is proved to be convex in effect.
CellTree = list[dict[str, Any]]

#: Least and greatest τ of cells, (J, k) each.
Ends = tuple[FloatArray, FloatArray]
#: Columns whose posteriors add up to a number: all of them to 1, those of one of several classes to its weight.
Sums = tuple[tuple[slice, float], ...]
_ONE: Sums = ((slice(None), 1.0),)
#: Cells (indices) to be cut along a face, its classes and places.
Faces = tuple[np.ndarray, np.ndarray, FloatArray]
NO_FACES: Faces = (np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp), np.zeros(0))


@dataclass(eq=False)
class CellNode:
    """A cell, by its slopes ν and β₀ if that is its own (else 0), or by its halves."""

    nu: FloatArray
    p: FloatArray
    own: float = 0.0
    cut: tuple[int, float] | None = None
    halves: tuple[CellNode, CellNode] | None = None


def convex_share(problem: Problem, alpha: float, beta: float) -> float:
    """β₀ ≤ β that leaves ⟨c, p⟩ + α D(p‖px) + β₀ H(Wᵀp) convex, a little less than it might be."""
    room = 1.0 + 1e-6  # the checker's η is a little larger
    if alpha == 0:
        return 0.0
    return beta if beta * problem.contraction * room <= alpha else alpha / (problem.contraction * room)


def choose(
    problem: Problem,
    costs: FloatArray,
    alpha: float,
    beta: float,
    convex: float,
    boxes: FloatArray,
    tol: float,
    enough: Callable[[FloatArray], bool],
    sums: Sums = _ONE,
) -> tuple[list[CellTree], FloatArray]:
    """Cells for rows of ``costs`` (J, n) with one α, β and β₀ (``convex``) on ``boxes`` (J, k, 2), and the bounds (J,).

    They are cut until ``enough``, asked with the bounds (J,), says so, or no bound can rise by more than ``tol``.
    """
    oracle = _Oracle(problem, costs, alpha, beta, convex, sums)
    J = len(costs)
    roots = [CellNode(np.zeros(problem.k), problem.px) for _ in range(J)]
    best, closed = oracle.corners(boxes), np.full(J, math.inf)
    row, low, high = np.arange(J), boxes[:, :, 0].copy(), boxes[:, :, 1].copy()
    nodes = np.array(roots, dtype=object)
    row, low, high, nodes = _tightened(row, low, high, nodes, sums)
    count, most = 0, MOST_CELLS * min(1.0, 9.0 / problem.k**2)
    for turn in range(ROUNDS):
        start = np.array([node.p for node in nodes]).reshape(len(nodes), problem.n)
        oracle.enough(best - max(tol, 1e-14 * oracle.scale))
        last = np.array([node.nu for node in nodes]).reshape(len(nodes), problem.k) if turn else None
        nu, own, tau, bound, value, empty, p = oracle.relax(row, low, high, start, last)
        for node, slopes, share, posterior in zip(nodes, nu, own.tolist(), p, strict=True):
            node.nu, node.own, node.p = slopes, share, posterior
        inside = ((tau >= low - 1e-9) & (tau <= high + 1e-9)).all(axis=1)
        np.minimum.at(best, row[inside], value[inside])
        least = closed.copy()
        np.minimum.at(least, row, bound)
        count += len(row)
        if turn == ROUNDS - 1 or count > most or enough(least):
            break
        keep = (bound < best[row] - max(tol, 1e-14 * oracle.scale)) & ((high - low).max(axis=1) > 1e-13) & ~empty
        np.minimum.at(closed, row[~keep], bound[~keep])
        if not keep.any():
            break
        if turn == 0:
            most += oracle.settle(row, p)
        # At α = 0 minima sit at corners: a cut through one makes its chords exact there. Elsewhere keep off the ends.
        margin = 1e-9 if alpha == 0 else 0.15
        faces = oracle.faces(row[keep], low[keep], high[keep])
        row, low, high, nodes = halves(row[keep], low[keep], high[keep], nodes[keep], tau[keep], margin, faces, sums)
    return [preorder(root, "nu") for root in roots], least


def preorder(root: CellNode, name: str) -> CellTree:
    tree: CellTree = []
    stack = [root]
    while stack:
        node = stack.pop()
        if node.cut is None or node.halves is None:
            tree.append({name: node.nu} | ({"convex": node.own} if node.own else {}))
            continue
        tree.append({"s": node.cut[0], "at": node.cut[1]})
        stack += [node.halves[1], node.halves[0]]
    return tree


class _Oracle:
    """Good slopes for many cells at once, in doubles."""

    def __init__(
        self, problem: Problem, costs: FloatArray, alpha: float, beta: float, convex: float, sums: Sums = _ONE
    ) -> None:
        self.sums = sums
        self.W, self.costs, self.log_px = problem.ps_given_x, costs, np.log(problem.px)
        self.alpha, self.beta, self.first = alpha, beta, convex
        self.scale = float(np.ptp(costs)) + beta
        self.line = Line.through(self.W)
        self.settled = np.full(len(costs), math.inf)
        #: Where there are many classes the search for prices, in a unit of its own, knows slopes too.
        self.search: Oracle | None = None
        if alpha > 0 and self.line is None:
            self.unit = unit_of(costs, alpha, beta)
            sizes = (costs / self.unit, alpha / self.unit, beta / self.unit, convex / self.unit)
            self.search = Oracle(*sizes, self.log_px, self.W, 1e-12)

    def enough(self, bound: FloatArray) -> None:
        """A cell whose bound is that of its row is settled."""
        self.settled = bound
        if self.search is not None:
            self.search.enough = bound / self.unit

    def settle(self, row: np.ndarray, p: FloatArray) -> int:
        """Look for what is convex in effect around stationary points: how many cells more that may take."""
        search = self.search
        if search is None or not search.nearly:
            return 0
        y, corners = search.corners(len(self.costs))
        y, p = np.concatenate([row, y]), search.descend(np.concatenate([row, y]), np.concatenate([p, corners]))
        lowest = np.lexsort((search.value(y, p), y))
        lowest = lowest[np.unique(y[lowest], return_index=True)[1]]
        search.settle(y[lowest], p[lowest])
        return int(PEELS * self.W.shape[1] * len(search.basins.boxes))

    def faces(self, row: np.ndarray, low: FloatArray, high: FloatArray) -> Faces:
        """Where cells are cut along what is convex in effect."""
        return NO_FACES if self.search is None else self.search.basins.faces(row, low, high)

    def relax(
        self, row: np.ndarray, low: FloatArray, high: FloatArray, p: FloatArray, last: FloatArray | None
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, np.ndarray, FloatArray]:
        """ν of every cell, β₀ where it has its own, τ of a posterior, the bound, that posterior's value, whether no
        posterior lies in the cell, and the posteriors; from p and ν on, those of the cell that was cut."""
        first = np.full((len(row), 1), self.first)
        a, b = self._chords(low, high, first)
        if self.alpha == 0:
            nu, p = self._linear(row, low, high, b)
        elif self.line is not None:
            nu, p = self._bisect(row, low, high, b, self.line)
        else:
            nu, p, first = self._spatial(row, (low, high), a, b, p, last)
            a, b = self._chords(low, high, first)
        tau = p @ self.W
        bound = self._bound(row, (low, high), a, b, nu, first)
        # Of a cell that was cut from others next to none is empty where a posterior came that near to it.
        near = 1e-6 if last is None else _NEAR
        empty = self._separate(nu, low, high, tau, near, bound < self.settled[row])
        bound = np.where(empty, self._bound(row, (low, high), a, b, nu, first), bound)
        divergence = (p * (np.log(np.maximum(p, 1e-300)) - self.log_px)).sum(axis=1)
        value = (p * self.costs[row]).sum(axis=1) + self.alpha * divergence + self.beta * eta(tau).sum(axis=1)
        own = np.where(first > self.first, first, 0.0)[:, 0]
        return nu, own, tau, bound, value, empty, p

    def _chords(self, low: FloatArray, high: FloatArray, first: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What chords give of the part of β beyond ``first`` (J, 1): a (J,) and slopes b (J, k)."""
        rest, eta_low, eta_high, width = self.beta - first, eta(low), eta(high), high - low
        with np.errstate(divide="ignore", invalid="ignore"):
            b = rest * np.where(width > 1e-13, (eta_high - eta_low) / width, 0.0)
        return (rest * eta_low - b * low).sum(axis=1), b

    def _spatial(
        self, row: np.ndarray, ends: Ends, a: FloatArray, b: FloatArray, p: FloatArray, last: FloatArray | None
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """ν, posteriors and β₀ (J, 1) of cells: the better of two ways, or a larger β₀ that is convex in effect."""
        assert self.search is not None
        start = None if last is None or not self.search.nearly else (last + b) / self.unit
        cells = self.search.lifted(self.search.relax(row, *ends, start))
        own = self.unit * cells.convex[:, None]
        first = np.where(own > self.first, own, self.first)
        nu, q = self.unit * cells.nu - self._chords(*ends, first)[1], np.maximum(cells.p, 1e-290)
        if self.search.nearly:  # too many cells for the slower way
            return nu, q, first
        other, p = self._newton(row, *ends, a, b, p)
        # The search's own way is the better one where a cell holds hardly any posterior.
        better = self._bound(row, ends, a, b, nu, first) > self._bound(row, ends, a, b, other, first)
        return np.where(better[:, None], nu, other), np.where(better[:, None], q, p), first

    def corners(self, boxes: FloatArray) -> FloatArray:
        """The least value of the letters (all mass on one) whose posterior lies in the box; inf if none does."""
        values = self.costs - self.alpha * self.log_px + self.beta * eta(self.W).sum(axis=1)
        inside = (self.W >= boxes[:, None, :, 0] - 1e-12) & (self.W <= boxes[:, None, :, 1] + 1e-12)
        return np.asarray(np.where(inside.all(axis=2), values, math.inf).min(axis=1))

    def _separate(
        self, nu: FloatArray, low: FloatArray, high: FloatArray, tau: FloatArray, near: float, open_: np.ndarray
    ) -> np.ndarray:
        """Where no posterior lies in an open cell: ν along a direction that separates the cell from all of them.

        One whose τ is within ``near`` of its width is not asked about: a linear program each.
        """
        outside, width = np.maximum(low - tau, tau - high).max(axis=1), (high - low).max(axis=1)
        empty = np.zeros(len(nu), dtype=bool)
        for j in np.flatnonzero(open_ & ~(outside <= near * width + 1e-15)):
            found = deepest(self.W, low[j], high[j])
            if found is not None and found.empty:
                nu[j], empty[j] = found.direction * 10.0 * self.scale / found.distance, True
        return empty

    def _linear(
        self, row: np.ndarray, low: FloatArray, high: FloatArray, b: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """α = 0: ν and p of the least ⟨c + Wb, p⟩ with τ in the cell, a linear program."""
        nu, ps = -b.copy(), np.full((len(row), len(self.log_px)), 1.0 / len(self.log_px))
        # The solver's tolerance on reduced costs is absolute, 1e-10 at the least.
        rows, unit = np.concatenate([self.W.T, -self.W.T]), 1e-4 * self.scale or 1.0
        for j, y in enumerate(row):
            answer = linprog(
                (self.costs[y] + self.W @ b[j]) / unit,
                A_ub=rows,
                b_ub=np.concatenate([high[j], -low[j]]),
                A_eq=np.ones((1, len(self.log_px))),
                b_eq=[1.0],
                method="highs-ds",
                options={"presolve": False, "primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
            )
            if answer.status == 0:
                above, below = np.split(answer.ineqlin.marginals, 2)
                nu[j] += unit * (above - below)
                ps[j] = answer.x
        return nu, ps

    def _bound(
        self, row: np.ndarray, ends: Ends, a: FloatArray, b: FloatArray, nu: FloatArray, first: FloatArray | float
    ) -> FloatArray:
        """The checker's, with β₀ = ``first``, a number or (J, 1)."""
        scores = nu @ self.W.T - self.costs[row]
        if self.alpha == 0:
            return np.asarray(a - scores.max(axis=1) + _least_linear(nu + b, *ends, self.sums))
        p, total = gibbs(scores, self.log_px, self.alpha)
        return np.asarray(a - total + _least_linear(self._slopes(nu, p @ self.W, b, first), *ends, self.sums))

    def _slopes(self, nu: FloatArray, tau: FloatArray, b: FloatArray, first: FloatArray | float) -> FloatArray:
        return np.asarray(nu - first * np.log(np.maximum(tau, 1e-300)) + b)

    def _bisect(
        self, row: np.ndarray, low: FloatArray, high: FloatArray, b: FloatArray, line: Line
    ) -> tuple[FloatArray, FloatArray]:
        """Posteriors on a line: bisection on the slope along it, for a level tangent or one that touches at an end."""
        left, right = np.full(len(row), -60.0), np.full(len(row), 60.0)
        unit, t = 1e-6 * (self.scale + self.alpha), self.W[:, line.s]
        least, most = line.interval(np.stack([low, high], axis=2))
        for _ in range(75):
            x = 0.5 * (left + right)
            slope = unit * np.sinh(x)
            p, _ = gibbs(slope[:, None] * t - self.costs[row], self.log_px, self.alpha)
            tau = p @ self.W
            level = self.first * np.log(np.maximum(tau, 1e-300)) - b  # ν where the slopes on the cell are level
            steeper = slope > level @ line.direction
            at = tau[:, line.s]
            beyond = (at > most) | ((at >= least) & steeper)
            left, right = np.where(beyond, left, x), np.where(beyond, x, right)
        level[:, line.s] += slope - level @ line.direction
        return level, p

    def _newton(
        self, row: np.ndarray, low: FloatArray, high: FloatArray, a: FloatArray, b: FloatArray, p: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Any number of classes: the method of multipliers for l ≤ τ ≤ u, by damped Newton steps on p.

        The multipliers z of the faces give ν = β₀ log τ − b + z. Returns it and the posteriors.
        """
        W, costs = self.W, self.costs[row]
        J, n = p.shape
        best, best_nu = np.full(J, -math.inf), np.zeros_like(low)
        z, pull = np.zeros_like(low), np.full((J, 1), 10.0 * self.scale)

        def push(p: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
            """τ, multipliers after a step of the method (up from the lower face, down from the upper), value."""
            tau = np.maximum(p @ W, 1e-300)
            force = np.maximum(z + pull * (low - tau), 0.0) + np.minimum(z + pull * (high - tau), 0.0)
            value = (p * (costs + self.alpha * (np.log(p) - self.log_px))).sum(axis=1)
            return tau, force, value + (b * tau + self.first * eta(tau) + force**2 / (2.0 * pull)).sum(axis=1)

        for _ in range(_OUTER):
            for _ in range(_STEPS):
                tau, force, value = push(p)
                slope = costs + self.alpha * (np.log(p) - self.log_px) + (b - self.first * np.log(tau) - force) @ W.T
                # In units of √p the Hessian is well conditioned however small an entry is.
                root = np.sqrt(p)
                bend = pull * (force != 0) - self.first / tau
                matrix = np.zeros((J, n + 1, n + 1))
                scaled = root[:, :, None] * W
                matrix[:, :n, :n] = np.einsum("jis,js,jts->jit", scaled, bend, scaled) + self.alpha * np.eye(n)
                matrix[:, :n, n] = matrix[:, n, :n] = root
                right = np.concatenate([-root * slope, np.zeros((J, 1))], axis=1)
                try:
                    move = np.nan_to_num(np.linalg.solve(matrix + 1e-15 * np.eye(n + 1), right[:, :, None])[:, :n, 0])
                except np.linalg.LinAlgError:  # one is singular to the last digit, as at a tiny α
                    break
                if float(np.abs((move * root * slope).sum(axis=1)).max(initial=0.0)) < 1e-17 * self.scale:
                    break
                relative = move / root
                longest = np.minimum(1.0, 0.95 / np.maximum(-relative.min(axis=1), 1e-300))
                sizes = np.array([1.0, 0.5, 0.2, 0.05, 0.01, 0.0])[:, None] * longest
                trials = p * np.maximum(1.0 + sizes[:, :, None] * relative, 1e-3)
                trials = np.maximum(trials / trials.sum(axis=2, keepdims=True), 1e-290)
                values = np.array([push(trial)[2] for trial in trials])
                p = trials[values.argmin(axis=0), np.arange(J)]
            tau, z, _ = push(p)
            nu = self.first * np.log(tau) - b + z
            bound = self._bound(row, (low, high), a, b, nu, self.first)
            better = bound > best
            best, best_nu = np.where(better, bound, best), np.where(better[:, None], nu, best_nu)
            pull = np.minimum(4.0 * pull, 1e7 * self.scale)
        return self._polished(row, low, high, a, b, best, best_nu), p

    def _polished(
        self,
        row: np.ndarray,
        low: FloatArray,
        high: FloatArray,
        a: FloatArray,
        b: FloatArray,
        best: FloatArray,
        best_nu: FloatArray,
    ) -> FloatArray:
        """A few Newton steps on ν itself, kept where they help: slopes level off the faces, τ on them.

        The bound loses an uneven slope times the width of the cell, so digits of ν count in full.
        """
        W, nu = self.W, best_nu
        for _ in range(4):
            p, _ = gibbs(nu @ W.T - self.costs[row], self.log_px, self.alpha)
            tau = np.maximum(p @ W, 1e-300)
            q = self._slopes(nu, tau, b, self.first)
            level = (tau * q).sum(axis=1, keepdims=True)
            on_low, on_high = (tau <= low + 1e-9) & (q > level), (tau >= high - 1e-9) & (q < level)
            face = on_low | on_high
            slope = (np.einsum("ji,is,it->jst", p, W, W) - tau[:, :, None] * tau[:, None, :]) / self.alpha
            matrix = np.where(face[:, :, None], slope, np.eye(len(tau[0])) - (self.first / tau)[:, :, None] * slope)
            right = np.where(on_low, low - tau, np.where(on_high, high - tau, level - q))
            step = np.linalg.pinv(matrix, rcond=1e-13) @ right[:, :, None]
            nu = nu + np.nan_to_num(step[:, :, 0])
            bound = self._bound(row, (low, high), a, b, nu, self.first)
            better = bound > best
            best, best_nu = np.where(better, bound, best), np.where(better[:, None], nu, best_nu)
        return best_nu


def _least_linear(q: FloatArray, low: FloatArray, high: FloatArray, sums: Sums = _ONE) -> FloatArray:
    """min q·τ over low ≤ τ ≤ high of these sums, by duality: the best shift of q is one of its entries."""
    found = np.zeros(len(q))
    for c, total in sums:
        moved = q[:, None, c] - q[:, c, None]
        least = np.minimum(moved * low[:, None, c], moved * high[:, None, c]).sum(axis=2)
        found += (total * q[:, c] + least).max(axis=1)
    return found


def eta(t: FloatArray) -> FloatArray:
    return np.asarray(-t * np.log(np.maximum(t, 1e-300)))


def _tightened(
    row: np.ndarray, low: FloatArray, high: FloatArray, nodes: np.ndarray, sums: Sums = _ONE
) -> tuple[np.ndarray, FloatArray, FloatArray, np.ndarray]:
    """Cells cut to Σ τ = 1; those that are empty beyond doubt dropped (the checker drops them too, or takes ν = 0)."""
    low, high = low.copy(), high.copy()
    for c, total in sums:
        for _ in range(2):
            high[:, c] = np.minimum(high[:, c], total - (low[:, c].sum(axis=1, keepdims=True) - low[:, c]))
            low[:, c] = np.maximum(low[:, c], total - (high[:, c].sum(axis=1, keepdims=True) - high[:, c]))
    keep = (low <= high + 1e-12).all(axis=1)
    low, high = np.minimum(low, high).clip(0.0, 1.0), np.maximum(low, high).clip(0.0, 1.0)
    return row[keep], low[keep], high[keep], nodes[keep]


def halves(
    row: np.ndarray,
    low: FloatArray,
    high: FloatArray,
    nodes: np.ndarray,
    tau: FloatArray,
    margin: float,
    faces: Faces,
    sums: Sums = _ONE,
) -> tuple[np.ndarray, FloatArray, FloatArray, np.ndarray]:
    """Every cell in two: along its face, or across the class whose chord errs most at τ."""
    tau, width = tau.clip(low, high), np.maximum(high - low, 1e-300)
    error = eta(tau) - eta(low) - (eta(high) - eta(low)) * (tau - low) / width
    j = np.arange(len(row))
    s = np.where(error.max(axis=1) > 1e-15, error.argmax(axis=1), width.argmax(axis=1))
    at = tau[j, s].clip((low + margin * width)[j, s], (high - margin * width)[j, s])
    peeled, classes, places = faces
    s[peeled], at[peeled] = classes, places
    left, right = high.copy(), low.copy()
    left[j, s], right[j, s] = at, at
    children = np.empty((2, len(row)), dtype=object)
    for i, node in enumerate(nodes):
        node.cut = (int(s[i]), float(at[i]))
        node.halves = (CellNode(node.nu, node.p), CellNode(node.nu, node.p))
        children[:, i] = node.halves
    low, high = np.concatenate([low, right]), np.concatenate([left, high])
    return _tightened(np.tile(row, 2), low, high, children.reshape(-1), sums)
