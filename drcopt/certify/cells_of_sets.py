"""Cells of class posteriors of sets, and slopes that let :mod:`drcopt.checker` prove the minima of a cell dual."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from drcopt.certify.cells import MOST_CELLS, NO_FACES, ROUNDS, CellNode, CellTree, eta, halves, preorder
from drcopt.problem import Problem
from drcopt.support.check import FloatArray


def choose_for_sets(
    problem: Problem, costs: FloatArray, alpha: float, gamma: float, enough: Callable[[FloatArray], bool]
) -> tuple[list[CellTree], FloatArray]:
    """Cells of P(s|A), leaves {"slopes": of the chords}, for the least over sets A of rows of ``costs`` (J, n).

    Returns the bounds (J,) too.

    The quantity is Σ_{x∈A} costs + α η(P(A)) + γ P(A) H(S|A); see :mod:`drcopt.bounds.cells`.
    """
    J, W, px = len(costs), problem.ps_given_x, problem.px
    roots = [CellNode(np.zeros(problem.k), px) for _ in range(J)]
    row, nodes = np.arange(J), np.array(roots, dtype=object)
    low, high = (np.tile(ends, (J, 1)) for ends in (W.min(axis=0), W.max(axis=0)))
    best, closed, count = np.zeros(J), np.zeros(J), 0
    joint = px[:, None] * W
    scale = float(np.abs(costs).sum(axis=1).max()) + alpha + gamma
    for turn in range(ROUNDS):
        width = high - low
        with np.errstate(divide="ignore", invalid="ignore"):
            b = np.where(width > 1e-13, (eta(high) - eta(low)) / width, 0.0)
        base = np.minimum(eta(low) - b * low, eta(high) - b * high).sum(axis=1)
        linear = costs[row] + gamma * px * (base[:, None] + b @ W.T)
        order = np.argsort(linear / px, axis=1)
        mass = np.minimum(np.cumsum(px[order], axis=1), 1.0)
        totals = np.cumsum(np.take_along_axis(linear, order, axis=1), axis=1) + alpha * eta(mass)
        bound = np.minimum(totals.min(axis=1), 0.0)
        sets = np.zeros(linear.shape, dtype=bool)
        np.put_along_axis(sets, order, np.arange(problem.n) <= totals.argmin(axis=1)[:, None], axis=1)
        inside = sets @ joint
        total = inside.sum(axis=1)
        value = (costs[row] * sets).sum(axis=1) + (alpha - gamma) * eta(total) + gamma * eta(inside).sum(axis=1)
        np.minimum.at(best, row, value)
        for node, slopes in zip(nodes, b, strict=True):
            node.nu = slopes
        least = closed.copy()
        np.minimum.at(least, row, bound)
        count += len(row)
        keep = (bound < best[row] - 1e-14 * scale) & (width.max(axis=1) > 1e-13)
        if not keep.any() or turn == ROUNDS - 1 or count > MOST_CELLS or enough(least):
            break
        np.minimum.at(closed, row[~keep], bound[~keep])
        tau = inside / total[:, None]
        row, low, high, nodes = halves(row[keep], low[keep], high[keep], nodes[keep], tau[keep], 0.15, NO_FACES)
    return [preorder(root, "slopes") for root in roots], least
