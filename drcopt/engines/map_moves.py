"""Maps by heuristics: from couplings, and by moving one letter at a time where the exact pricing is out of reach."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

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

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._joint = problem.px[:, None] * problem.ps_given_x

    def least(self, linear: FloatArray, alpha: float, gamma: FloatArray, count: int, turn: int) -> NDArray[np.int64]:
        """Up to ``count`` maps, best first; ``turn`` varies the starts."""
        p = self.problem
        rng = np.random.default_rng(turn)
        # Entropy favours few cells: the start after the first has it charged at slopes between two masses.
        charged = linear + alpha * p.px[:, None] * rng.exponential(1.0, size=(count, 1, p.m)) * np.log(p.m + 1.0)
        starts = [linear.argmin(axis=1), *charged.argmin(axis=2)[1:]]
        found: dict[bytes, tuple[float, NDArray[np.int64]]] = {}
        for f in starts:
            f = self._descend(f.astype(np.int64), linear, alpha, gamma)
            found[f.tobytes()] = (self._value(f, linear, alpha, gamma), f)
        ranked = sorted(found.values(), key=lambda pair: pair[0])
        return np.array([f for _, f in ranked])

    def _cells(self, joint: FloatArray, alpha: float, gamma: FloatArray) -> FloatArray:
        """α η(mass) + γ L of cells (…, m, k)."""
        mass = entr(joint.sum(axis=-1))
        return np.asarray(alpha * mass + gamma * (entr(joint).sum(axis=-1) - mass))

    def _sums(self, f: NDArray[np.int64]) -> FloatArray:
        joint = np.zeros((self.problem.m, self.problem.k))
        np.add.at(joint, f, self._joint)
        return joint

    def _value(self, f: NDArray[np.int64], linear: FloatArray, alpha: float, gamma: FloatArray) -> float:
        return float(linear[np.arange(len(f)), f].sum() + self._cells(self._sums(f), alpha, gamma).sum())

    def _descend(self, f: NDArray[np.int64], linear: FloatArray, alpha: float, gamma: FloatArray) -> NDArray[np.int64]:
        """The best single move, again and again."""
        here = np.arange(len(f))
        size = float(np.abs(linear).sum()) + alpha + float(gamma.max())
        for _ in range(20 * len(f)):
            joint = self._sums(f)
            now = self._cells(joint, alpha, gamma)
            gained = self._cells(joint[None] + self._joint[:, None], alpha, gamma) - now
            lost = self._cells((joint[f] - self._joint).clip(0.0), alpha, gamma[f]) - now[f]
            change = linear - linear[here, f][:, None] + gained + lost[:, None]
            change[here, f] = 0.0
            x, y = divmod(int(change.argmin()), change.shape[1])
            if change[x, y] >= -1e-13 * size:
                break
            f[x] = y
        return f
