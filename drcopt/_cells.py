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

from drcopt._check import FloatArray
from drcopt.bounds.pricing.gibbs import gibbs
from drcopt.problem import Problem

#: Rounds of cutting, most cells of one leaf; rounds of multipliers for a cell and Newton steps in each.
_ROUNDS, _MOST_CELLS, _OUTER, _STEPS = 80, 8_000, 10, 6

#: A tree in preorder: {"s": class, "at": τ_s} followed by the trees below and above, or {"nu": slopes}.
CellTree = list[dict[str, Any]]


@dataclass(eq=False)
class _Node:
    """A cell, by its slopes ν or by its halves."""

    nu: FloatArray | None = None
    cut: tuple[int, float] | None = None
    halves: tuple[_Node, _Node] | None = None


def convex_share(problem: Problem, alpha: float, beta: float) -> float:
    """β₀ ≤ β that leaves ⟨c, p⟩ + α D(p‖px) + β₀ H(Wᵀp) convex, a little less than it might be."""
    room = 1.0 + 1e-6  # the checker's η is a little larger
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
) -> list[CellTree]:
    """Cells for rows of ``costs`` (J, n) with one α, β and β₀ (``convex``) on ``boxes`` (J, k, 2).

    They are cut until ``enough``, asked with the bounds (J,), says so, or no bound can rise by more than ``tol``.
    """
    oracle = _Oracle(problem, costs, alpha, beta, convex)
    J = len(costs)
    roots = [_Node(nu=np.zeros(problem.k)) for _ in range(J)]
    best, closed = oracle.corners(boxes), np.full(J, math.inf)
    row, low, high = np.arange(J), boxes[:, :, 0].copy(), boxes[:, :, 1].copy()
    nodes = np.array(roots, dtype=object)
    row, low, high, nodes = _tightened(row, low, high, nodes)
    count = 0
    for turn in range(_ROUNDS):
        start = np.array([node.nu for node in nodes]).reshape(low.shape)
        nu, tau, bound, value, empty = oracle.relax(row, low, high, start)
        for node, slopes in zip(nodes, nu, strict=True):
            node.nu = slopes
        inside = ((tau >= low - 1e-9) & (tau <= high + 1e-9)).all(axis=1)
        np.minimum.at(best, row[inside], value[inside])
        least = closed.copy()
        np.minimum.at(least, row, bound)
        count += len(row)
        if turn == _ROUNDS - 1 or count > _MOST_CELLS or enough(least):
            break
        keep = (bound < best[row] - max(tol, 1e-14 * oracle.scale)) & ((high - low).max(axis=1) > 1e-13) & ~empty
        np.minimum.at(closed, row[~keep], bound[~keep])
        if not keep.any():
            break
        # At α = 0 minima sit at corners: a cut through one makes its chords exact there. Elsewhere keep off the ends.
        margin = 1e-9 if alpha == 0 else 0.15
        row, low, high, nodes = _halves(row[keep], low[keep], high[keep], nodes[keep], tau[keep], margin)
    return [_preorder(root) for root in roots]


def _preorder(root: _Node) -> CellTree:
    tree: CellTree = []
    stack = [root]
    while stack:
        node = stack.pop()
        if node.cut is None or node.halves is None:
            tree.append({"nu": node.nu})
            continue
        tree.append({"s": node.cut[0], "at": node.cut[1]})
        stack += [node.halves[1], node.halves[0]]
    return tree


class _Oracle:
    """Good slopes for many cells at once, in doubles."""

    def __init__(self, problem: Problem, costs: FloatArray, alpha: float, beta: float, convex: float) -> None:
        self.W, self.costs, self.log_px = problem.ps_given_x, costs, np.log(problem.px)
        self.beta, self.first, self.rest = beta, convex, beta - convex
        self.scale = float(np.ptp(costs)) + beta
        self.alpha = alpha

    def relax(
        self, row: np.ndarray, low: FloatArray, high: FloatArray, start: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, np.ndarray]:
        """ν of every cell, the posterior's τ there, the bound, the value that this posterior reaches, and whether
        no posterior lies in the cell."""
        empty = np.zeros(len(row), dtype=bool)
        eta_low, eta_high, width = _eta(low), _eta(high), high - low
        with np.errstate(divide="ignore", invalid="ignore"):
            b = self.rest * np.where(width > 1e-13, (eta_high - eta_low) / width, 0.0)
        a = (self.rest * eta_low - b * low).sum(axis=1)
        if self.alpha == 0:
            nu, tau, value = self._linear(row, low, high, b)
            empty = self._separate(nu, low, high, tau)
            total = (nu @ self.W.T - self.costs[row]).max(axis=1)
            tau = np.where(np.isnan(tau), 0.5 * (low + high), tau)
            bound, value = a - total + _least_linear(nu + b, low, high), value + self.beta * _eta(tau).sum(axis=1)
            return nu, tau, bound, value, empty
        if low.shape[1] == 2:
            nu = self._bisect(row, low, high, b)
        else:
            nu = self._newton(row, low, high, a, b, start)
            tau = gibbs(nu @ self.W.T - self.costs[row], self.log_px, self.alpha)[0] @ self.W
            empty = self._separate(nu, low, high, tau)
        tau, bound, total = self._bound(row, low, high, a, b, nu)
        return nu, tau, bound, (nu * tau).sum(axis=1) - total + self.beta * _eta(tau).sum(axis=1), empty

    def corners(self, boxes: FloatArray) -> FloatArray:
        """The least value of the letters (all mass on one) whose posterior lies in the box; inf if none does."""
        values = self.costs - self.alpha * self.log_px + self.beta * _eta(self.W).sum(axis=1)
        inside = (self.W >= boxes[:, None, :, 0] - 1e-12) & (self.W <= boxes[:, None, :, 1] + 1e-12)
        return np.asarray(np.where(inside.all(axis=2), values, math.inf).min(axis=1))

    def _separate(self, nu: FloatArray, low: FloatArray, high: FloatArray, tau: FloatArray) -> np.ndarray:
        """Where no posterior lies in a cell: ν along a direction that separates the cell from all of them.

        With few letters the posteriors Wᵀp fill little of the simplex, and most cells are empty.
        """
        n, k = self.W.shape
        ones = np.ones((k, 1))
        rows = np.block([[self.W.T, -ones], [-self.W.T, -ones]])
        outside = np.maximum(low - tau, tau - high).max(axis=1)
        empty = np.zeros(len(nu), dtype=bool)
        for j in np.flatnonzero(~(outside <= 1e-7)):
            answer = linprog(
                np.append(np.zeros(n), 1.0),  # the least distance
                A_ub=rows,
                b_ub=np.concatenate([high[j], -low[j]]),
                A_eq=np.append(np.ones(n), 0.0)[None],
                b_eq=[1.0],
                method="highs-ds",
            )
            if answer.status == 0 and answer.fun > 1e-9:
                above, below = np.split(answer.ineqlin.marginals, 2)
                nu[j], empty[j] = (above - below) * 10.0 * self.scale / answer.fun, True
        return empty

    def _linear(
        self, row: np.ndarray, low: FloatArray, high: FloatArray, b: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """α = 0: the least of ⟨c + Wb, p⟩ with τ in the cell, a linear program; its ν, its τ and ⟨c, p⟩."""
        nu, tau, value = -b.copy(), np.full_like(low, math.nan), np.full(len(row), math.inf)
        rows, unit = np.concatenate([self.W.T, -self.W.T]), self.scale or 1.0  # the solver's tolerances are absolute
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
                tau[j], value[j] = answer.x @ self.W, answer.x @ self.costs[y]
        return nu, tau, value

    def _bound(
        self, row: np.ndarray, low: FloatArray, high: FloatArray, a: FloatArray, b: FloatArray, nu: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """τ, the checker's bound and α log Σ px exp((Wν − c)/α)."""
        p, total = gibbs(nu @ self.W.T - self.costs[row], self.log_px, self.alpha)
        tau = p @ self.W
        return tau, a - total + _least_linear(self._slopes(nu, tau, b), low, high), total

    def _slopes(self, nu: FloatArray, tau: FloatArray, b: FloatArray) -> FloatArray:
        return np.asarray(nu - self.first * np.log(np.maximum(tau, 1e-300)) + b)

    def _bisect(self, row: np.ndarray, low: FloatArray, high: FloatArray, b: FloatArray) -> FloatArray:
        """Two classes: bisection on ν = (μ, 0) for a level tangent, or one that touches at an end of the cell."""
        left, right = np.full(len(row), -60.0), np.full(len(row), 60.0)
        unit = 1e-6 * (self.scale + self.alpha)
        for _ in range(75):
            x = 0.5 * (left + right)
            nu = np.stack([unit * np.sinh(x), np.zeros_like(x)], axis=1)
            tau = gibbs(nu @ self.W.T - self.costs[row], self.log_px, self.alpha)[0] @ self.W
            q = self._slopes(nu, tau, b)
            beyond = (tau[:, 0] > high[:, 0]) | ((tau[:, 0] >= low[:, 0]) & (q[:, 0] > q[:, 1]))
            left, right = np.where(beyond, left, x), np.where(beyond, x, right)
        return nu

    def _newton(
        self, row: np.ndarray, low: FloatArray, high: FloatArray, a: FloatArray, b: FloatArray, nu: FloatArray
    ) -> FloatArray:
        """Any number of classes: the method of multipliers for l ≤ τ ≤ u, by Newton steps on ν.

        Its minimiser is a Gibbs posterior with ν = β₀ log τ − b + z, z the multipliers of the faces. Newton's
        direction on that equation descends (the problem is convex), so steps are halved until they do. A small α
        is approached from a larger one.
        """
        best, best_nu = np.full(len(row), -math.inf), nu.copy()
        z, pull = np.zeros_like(low), np.full((len(row), 1), 10.0 * self.scale)
        cooling = 0.05 * self.scale * 0.3 ** np.arange(40)
        for alpha in [*cooling[cooling > self.alpha], *[self.alpha] * _OUTER]:
            for _ in range(_STEPS if alpha == self.alpha else 3):
                step, slope = self._step(row, low, high, b, nu, z, pull, alpha)
                trials = nu + np.array([1.0, 0.5, 0.25, 0.06, 0.01, 0.0])[:, None, None] * step
                values = np.array([self._lagrangian(row, low, high, b, trial, z, pull, alpha) for trial in trials])
                nu = trials[values.argmin(axis=0), np.arange(len(row))]
                if float(np.abs(slope).max(initial=0.0)) < 1e-15 * self.scale:
                    break
            _, bound, _ = self._bound(row, low, high, a, b, nu)
            better = bound > best
            best, best_nu = np.where(better, bound, best), np.where(better[:, None], nu, best_nu)
            tau = gibbs(nu @ self.W.T - self.costs[row], self.log_px, alpha)[0] @ self.W
            z = self._force(tau, low, high, z, pull)
            pull = np.minimum(4.0 * pull, 1e6 * self.scale)
        return best_nu

    def _force(self, tau: FloatArray, low: FloatArray, high: FloatArray, z: FloatArray, pull: FloatArray) -> FloatArray:
        """Multipliers after a step of the method: up from the lower face, down from the upper."""
        up, down = np.maximum(z + pull * (low - tau), 0.0), np.minimum(z + pull * (high - tau), 0.0)
        return np.asarray(up + down)

    def _lagrangian(
        self,
        row: np.ndarray,
        low: FloatArray,
        high: FloatArray,
        b: FloatArray,
        nu: FloatArray,
        z: FloatArray,
        pull: FloatArray,
        alpha: float,
    ) -> FloatArray:
        p, total = gibbs(nu @ self.W.T - self.costs[row], self.log_px, alpha)
        tau = p @ self.W
        force = self._force(tau, low, high, z, pull)
        return np.asarray(((nu + b) * tau + self.first * _eta(tau) + force**2 / (2.0 * pull)).sum(axis=1) - total)

    def _step(
        self,
        row: np.ndarray,
        low: FloatArray,
        high: FloatArray,
        b: FloatArray,
        nu: FloatArray,
        z: FloatArray,
        pull: FloatArray,
        alpha: float,
    ) -> tuple[FloatArray, FloatArray]:
        """Newton's step and what the equation misses by."""
        W, k = self.W, low.shape[1]
        p, _ = gibbs(nu @ W.T - self.costs[row], self.log_px, alpha)
        tau = np.maximum(p @ W, 1e-300)
        force = self._force(tau, low, high, z, pull)
        miss = nu - self.first * np.log(tau) + b - force
        slope = (np.einsum("ji,is,it->jst", p, W, W) - tau[:, :, None] * tau[:, None, :]) / alpha
        bend = self.first / tau - pull * (force != 0)
        # ν matters up to a constant.
        matrix = np.eye(k) - bend[:, :, None] * slope
        centred = miss - (tau * miss).sum(axis=1, keepdims=True)
        step = -np.nan_to_num(np.linalg.solve(matrix + 1e-14 * np.eye(k), miss[:, :, None])[:, :, 0])
        return step, centred


def _least_linear(q: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """min q·τ over low ≤ τ ≤ high, Σ τ = 1, by duality: the best shift of q is one of its entries."""
    moved = q[:, None, :] - q[:, :, None]
    least = np.minimum(moved * low[:, None, :], moved * high[:, None, :]).sum(axis=2)
    return np.asarray((q + least).max(axis=1))


def _eta(t: FloatArray) -> FloatArray:
    return np.asarray(-t * np.log(np.maximum(t, 1e-300)))


def _tightened(
    row: np.ndarray, low: FloatArray, high: FloatArray, nodes: np.ndarray
) -> tuple[np.ndarray, FloatArray, FloatArray, np.ndarray]:
    """Cells cut to Σ τ = 1; those that are empty beyond doubt dropped (the checker drops them too, or takes ν = 0)."""
    for _ in range(2):
        high = np.minimum(high, 1.0 - (low.sum(axis=1, keepdims=True) - low))
        low = np.maximum(low, 1.0 - (high.sum(axis=1, keepdims=True) - high))
    keep = (low <= high + 1e-12).all(axis=1)
    low, high = np.minimum(low, high).clip(0.0, 1.0), np.maximum(low, high).clip(0.0, 1.0)
    return row[keep], low[keep], high[keep], nodes[keep]


def _halves(
    row: np.ndarray, low: FloatArray, high: FloatArray, nodes: np.ndarray, tau: FloatArray, margin: float
) -> tuple[np.ndarray, FloatArray, FloatArray, np.ndarray]:
    """Every cell in two, across the class whose chord errs most at τ."""
    tau, width = tau.clip(low, high), np.maximum(high - low, 1e-300)
    error = _eta(tau) - _eta(low) - (_eta(high) - _eta(low)) * (tau - low) / width
    j = np.arange(len(row))
    s = np.where(error.max(axis=1) > 1e-15, error.argmax(axis=1), width.argmax(axis=1))
    at = tau[j, s].clip((low + margin * width)[j, s], (high - margin * width)[j, s])
    left, right = high.copy(), low.copy()
    left[j, s], right[j, s] = at, at
    children = np.empty((2, len(row)), dtype=object)
    for i, node in enumerate(nodes):
        node.cut = (int(s[i]), float(at[i]))
        node.halves = (_Node(nu=node.nu), _Node(nu=node.nu))
        children[:, i] = node.halves
    return _tightened(np.tile(row, 2), np.concatenate([low, right]), np.concatenate([left, high]), children.reshape(-1))
