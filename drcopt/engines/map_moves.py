"""Maps by heuristics: from couplings, and by moving one letter at a time where the exact pricing is out of reach."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from drcopt.bounds.maps import CellLoss
from drcopt.problem import Problem
from drcopt.support.check import FloatArray


def quantile_maps(coupling: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
    """A coupling (n, m) as a mixture of maps (count, n) with weights: u uniform, x to the u-quantile of p(y|x).

    There is a map for each distinct value of the rows' distribution functions: for a vertex of the transport
    polytope at most m.
    """
    steps = np.cumsum(coupling / coupling.sum(axis=1, keepdims=True), axis=1)
    ends = np.unique(np.concatenate([[0.0, 1.0], steps[steps < 1 - 1e-12]]))
    ends = ends[np.concatenate([[True], np.diff(ends) > 1e-12])]
    middles = (ends[1:] + ends[:-1]) / 2
    maps = (middles[:, None, None] > steps[None]).sum(axis=2)
    return np.minimum(maps, coupling.shape[1] - 1), np.diff(ends)


class MapMoves:
    """Small values of Σ_x linear(x, f(x)) + α H(f(X)) + Σ_y γ(y) L(f⁻¹(y)), by moving letters one at a time."""

    def __init__(self, problem: Problem, loss: CellLoss | None = None) -> None:
        self.problem, self.loss = problem, loss
        self._every = np.arange(problem.m)
        self._joint = problem.px[:, None] * problem.ps_given_x

    def least(self, linear: FloatArray, alpha: float, gamma: FloatArray, count: int, turn: int) -> NDArray[np.int64]:
        """Up to ``count`` maps, best first; ``turn`` varies the starts."""
        p = self.problem
        rng = np.random.default_rng(turn)
        # Entropy favours few cells: the start after the first has it charged at slopes between two masses.
        charged = linear + alpha * p.px[:, None] * rng.exponential(1.0, size=(count, 1, p.m)) * np.log(p.m + 1.0)
        starts = np.concatenate([linear.argmin(axis=1)[None], charged.argmin(axis=2)[1:]])
        maps = np.unique(self._descended(starts, linear, alpha, gamma), axis=0)
        here = np.arange(p.n)
        values = linear[here, maps].sum(axis=1) + self._cells(self._sums(maps), alpha, gamma, self._every).sum(axis=1)
        return np.asarray(maps[np.argsort(values, kind="stable")])

    def _cells(self, joint: FloatArray, alpha: float, gamma: FloatArray, letters: NDArray[np.int64]) -> FloatArray:
        """α η(mass) + γ L of cells (…, k) sent to these letters."""
        mass = entr(joint.sum(axis=-1))
        loss = entr(joint).sum(axis=-1) - mass if self.loss is None else self.loss.of(joint, letters)
        return np.asarray(alpha * mass + gamma * loss)

    def _sums(self, maps: NDArray[np.int64]) -> FloatArray:
        """P(Y = y, S = s) of every map, shape (…, m, k)."""
        members = maps[..., None, :] == np.arange(self.problem.m)[:, None]
        return np.asarray(members.astype(np.float64) @ self._joint)

    def _descended(
        self, starts: NDArray[np.int64], linear: FloatArray, alpha: float, gamma: FloatArray
    ) -> NDArray[np.int64]:
        """The best single move from each of the starts, shape (…, n), again and again."""
        found = starts.copy()
        here, m = np.arange(found.shape[1]), linear.shape[1]
        size = float(np.abs(linear).sum()) + alpha + float(gamma.max())
        moving = np.arange(len(found))
        for _ in range(20 * len(here)):
            f = found[moving]
            joint = self._sums(f)
            now = self._cells(joint, alpha, gamma, self._every)
            more = joint[:, None] + self._joint[:, None]
            gained = self._cells(more, alpha, gamma, self._every) - now[:, None]
            left = (np.take_along_axis(joint, f[..., None], axis=1) - self._joint).clip(0.0)
            lost = self._cells(left, alpha, gamma[f], f) - np.take_along_axis(now, f, axis=1)
            change = linear - linear[here, f][..., None] + gained + lost[..., None]
            np.put_along_axis(change, f[..., None], 0.0, axis=2)
            change = change.reshape(len(f), -1)
            best = change.argmin(axis=1)
            better = change[np.arange(len(f)), best] < -1e-13 * size
            moving, best = moving[better], best[better]
            if not len(moving):
                break
            found[moving, best // m] = best % m
        return found
