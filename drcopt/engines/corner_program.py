"""The linear program of a box of class posteriors whose rate does not count, or hardly, over the corners of the box.

At α = 0 the dual bound of :mod:`drcopt.bounds.posterior` is a linear program's: the inner minimum of a letter is at a
corner p of its box, so that the best multipliers are the duals of

  min Σ w ⟨d(·,y), p⟩  with  Σ w p = px,  Σ_p w = py(y) for every y,  Σ w H(Wᵀp) ≤ C,  w ≥ 0 on corners (y, p).

Where its solution P spends too much rate, rows ⟨P, log(P₀/(px pyᵀ))⟩ ≤ R with a pmf P₀ are added, which I ≤ R implies.
A dual simplex solves it from the parent's basis: corners that a cut has removed have to leave the basis, and the new
ones lie in the old box, where the parent's multipliers hold. So whatever basis it stops at proves a bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import rel_entr, xlogy

from drcopt.bounds import Leaf
from drcopt.bounds.pricing.corners import Corners
from drcopt.engines.dual_simplex import Basis, Columns, first_basis, raised
from drcopt.problem import Problem
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: How much of independence P₀ has, so that its logarithms are finite.
_INSET = 1e-6
#: A row for the rate is followed by another only if the bound rose by this share of what is missing.
_WORTH = 0.05
#: Places between independence and a coupling where the rate is looked at.
_SHARES = np.linspace(0.0, 1.0, 33)


@dataclass(eq=False)
class Relaxed:
    """A box: the corners of every letter and their columns without rows for the rate, the logarithms (n, m) in these,
    the bound, and what proves it.

    ``P`` (n, m) solves the program, and ``lost`` (m,) is by how much the entropies of its letters exceed what they
    count there; both None where the bound passed the cutoff.
    """

    corners: tuple[Corners, ...]
    letters: tuple[Columns, ...]
    rows: tuple[FloatArray, ...]
    basis: Basis
    bound: float
    leaf: Leaf
    P: FloatArray | None = None
    lost: FloatArray | None = None


class Program:
    """The programs of one problem with budgets on rate and loss."""

    def __init__(self, problem: Problem, rate: float, budget: float) -> None:
        self.problem, self.rate, self.budget = problem, rate, budget
        self.W = np.ascontiguousarray(problem.ps_given_x)

    def whole(self) -> Relaxed:
        """The box of all posteriors, not solved yet."""
        corners = (Corners.whole(self.W),) * self.problem.m
        letters = tuple(self._letter(y, mine) for y, mine in enumerate(corners))
        leaf = Leaf(np.zeros(self.problem.n), 0.0, 0.0)
        return Relaxed(corners, letters, (), self._first(letters), -math.inf, leaf)

    def _first(self, letters: tuple[Columns, ...]) -> Basis:
        """Every letter's cheapest corner, and the slack of the loss."""
        columns = self._columns(letters, ())
        firsts = np.cumsum([0, *(len(mine.cost) for mine in letters[:-1])])
        best = np.array([*(int(at + mine.cost.argmin()) for at, mine in zip(firsts, letters, strict=True)), -1])
        some = Columns(columns.entries[best], columns.cost[best], columns.meaning[best])
        return first_basis(some, self.problem.n - 1)

    def cut(self, parent: Relaxed, y: int, s: int, at: float, side: int) -> Relaxed | None:
        """The part of a solved box with τ_y(s) at most (``side`` 1) or at least (0) ``at``; None if it is empty."""
        mine = parent.corners[y].cut(self.W, (s, side, at))
        if not len(mine.p):
            return None
        basis = parent.basis.take(np.arange(len(parent.basis.cost)))
        tau = basis.meaning[:, :-1] @ self.W[:, s]
        basis.gone |= (basis.meaning[:, -1] == y) & ((tau - at if side else at - tau) > 1e-12)
        corners = (*parent.corners[:y], mine, *parent.corners[y + 1 :])
        letters = (*parent.letters[:y], self._letter(y, mine), *parent.letters[y + 1 :])
        return Relaxed(corners, letters, parent.rows, basis, parent.bound, parent.leaf)

    def solve(self, node: Relaxed, cutoff: float, more: int) -> None:
        """Raise a box's bound to its program's value, or past ``cutoff``, with up to so many more rows for the rate."""
        for turn in range(more + 1):
            before = node.bound
            self._simplex(node, cutoff)
            if node.P is None and node.bound < cutoff and not clock.expired():  # the basis was a poor one
                node.rows, node.basis = (), self._first(node.letters)
                self._simplex(node, cutoff)
            if node.P is None or self.spent(node.P) <= self.rate:
                break
            if turn == more or (turn > 1 and node.bound - before < _WORTH * (cutoff - node.bound)):
                break
            self._limit_rate(node, node.P)

    def _simplex(self, node: Relaxed, cutoff: float) -> None:
        problem = self.problem
        right = np.concatenate([problem.px[:-1], problem.py, [self.budget, *[self.rate] * len(node.rows)]])
        node.P = node.lost = None
        found = raised(self._columns(node.letters, node.rows), right, node.basis, cutoff)
        if found is None:
            return
        if found.bound >= node.bound:
            node.bound, node.leaf = found.bound, self._leaf(node, found.duals)
        if found.weights is None:
            return
        basis, P, counted = node.basis, np.zeros((problem.m, problem.n)), np.zeros(problem.m)
        mine = np.flatnonzero(basis.meaning[:, -1] >= 0)
        letter = basis.meaning[mine, -1].astype(np.intp)
        np.add.at(P, letter, found.weights[mine, None] * basis.meaning[mine, :-1])
        np.add.at(counted, letter, found.weights[mine] * basis.entries[mine, problem.n + problem.m - 1])
        T = P @ self.W
        tau = T / np.maximum(T.sum(axis=1, keepdims=True), 1e-300)
        node.P, node.lost = P.T, -(T * np.log(np.maximum(tau, 1e-300))).sum(axis=1) - counted

    def spent(self, P: FloatArray) -> float:
        """The rate of a coupling."""
        return float(rel_entr(P, self.problem.independent).sum())

    def _letter(self, y: int, corners: Corners) -> Columns:
        """The columns of one letter's corners; what they stand for is a posterior and the letter."""
        n, m, p = self.problem.n, self.problem.m, corners.p
        entries = np.zeros((len(p), n + m))
        entries[:, : n - 1], entries[:, n - 1 + y], entries[:, -1] = p[:, :-1], 1.0, corners.entropy
        return Columns(entries, p @ self.problem.d[:, y], np.column_stack([p, np.full(len(p), float(y))]))

    def _columns(self, letters: tuple[Columns, ...], rows: tuple[FloatArray, ...]) -> Columns:
        """Of all corners, and of the slacks of the budgets, which stand for the letter −1."""
        first, budgets = self.problem.n + self.problem.m, 1 + len(rows)
        ends = np.cumsum([0, *(len(mine.cost) for mine in letters)]).tolist()
        J = ends[-1]
        entries = np.zeros((J + budgets, first - 1 + budgets))
        entries[J:, first - 1 :] = np.eye(budgets)
        meaning = np.zeros((J + budgets, self.problem.n + 1))
        meaning[J:, -1] = -1.0
        cost = np.zeros(J + budgets)
        slopes = np.array(rows).reshape(len(rows), *self.problem.d.shape)
        for y, mine in enumerate(letters):
            part = slice(ends[y], ends[y + 1])
            entries[part, :first], meaning[part], cost[part] = mine.entries, mine.meaning, mine.cost
            entries[part, first:] = mine.meaning[:, :-1] @ slopes[:, :, y].T
        return Columns(entries, cost, meaning)

    def _leaf(self, node: Relaxed, duals: FloatArray) -> Leaf:
        n, m, px = self.problem.n, self.problem.m, self.problem.px
        beta, *weights = np.maximum(-duals[n + m - 1 :], 0.0).tolist()
        alpha, f = sum(weights), np.append(duals[: n - 1], 0.0)
        if alpha == 0:
            return Leaf(f, 0.0, beta)
        logs = sum(weight / alpha * row for weight, row in zip(weights, node.rows, strict=True))
        return Leaf(f, alpha, beta, tangents=px[:, None] * np.exp(logs))

    def _limit_rate(self, node: Relaxed, P: FloatArray) -> None:
        """A row for the rate, at P₀ on the way from independence to P where the rate is R; idle rows go."""
        problem, basis, first = self.problem, node.basis, self.problem.n + self.problem.m
        # Slacks of these rows in the basis; what stands in for masses of X has 0 there.
        idle = (basis.entries[:, first:] == 1.0) & (basis.meaning[:, -1:] < 0)
        if idle.any():
            slacks, rows = np.nonzero(idle)
            basis = basis.take(np.delete(np.arange(len(basis.cost)), slacks))
            basis.entries = np.delete(basis.entries, first + rows, axis=1)
            node.rows = tuple(row for i, row in enumerate(node.rows) if i not in rows)
        # The rate is convex along the way: between two places it lies below the chord.
        density = P / problem.independent
        ways = _SHARES[:, None] * (density.ravel() - 1.0) + 1.0
        spent = xlogy(ways, ways) @ problem.independent.ravel()
        share = (1.0 - _INSET) * float(np.interp(self.rate, spent, _SHARES))
        logs = np.log(share * density + (1.0 - share))
        mine = np.einsum("jx,jx->j", basis.meaning[:, :-1], logs.T[basis.meaning[:, -1].astype(np.intp)])  # slacks: 0
        r = len(basis.cost)
        entries = np.zeros((r + 1, r + 1))
        entries[:r, :r], entries[:r, r], entries[r, r] = basis.entries, mine, 1.0
        meaning = np.zeros((r + 1, problem.n + 1))
        meaning[:r], meaning[r, -1] = basis.meaning, -1.0
        node.rows = (*node.rows, logs)
        node.basis = Basis(entries, np.append(basis.cost, 0.0), meaning, np.append(basis.gone, False))
