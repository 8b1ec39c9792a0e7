"""Couplings all over a polytope, for truths by exhaustion."""

from __future__ import annotations

import itertools

import numpy as np


def couplings(px: np.ndarray, py: np.ndarray, d: np.ndarray, steps: int) -> np.ndarray:
    """A grid over Γ(px, py) without the forbidden pairs, shape (N, n, m)."""
    n, m = d.shape
    cells = list(zip(*np.nonzero(np.isfinite(d)), strict=True))
    A = np.zeros((n + m, len(cells)))
    for j, (x, y) in enumerate(cells):
        A[x, j] = A[n + y, j] = 1.0
    start = np.linalg.lstsq(A, np.concatenate([px, py]), rcond=None)[0]
    directions = np.linalg.svd(A)[2][np.linalg.matrix_rank(A) :]
    axes = [np.linspace(-1.5, 1.5, steps)] * len(directions)
    moves = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(directions))
    found = start + moves @ directions if len(directions) else start[None]
    found = found[(found >= -1e-12).all(axis=1)]
    P = np.zeros((len(found), n, m))
    for j, (x, y) in enumerate(cells):
        P[:, x, y] = np.maximum(found[:, j], 0.0)
    return P


def free_couplings(px: np.ndarray, d: np.ndarray, steps: int) -> np.ndarray:
    """A grid over couplings with any law of Y."""
    rows = []
    for x, row in enumerate(d):
        allowed = np.flatnonzero(np.isfinite(row))
        grid = [c for c in itertools.product(np.linspace(0, 1, steps), repeat=len(allowed) - 1) if sum(c) <= 1 + 1e-12]
        one = np.zeros((len(grid), d.shape[1]))
        one[:, allowed[:-1]] = np.array(grid).reshape(len(grid), -1)
        one[:, allowed[-1]] = 1 - one.sum(axis=1)
        rows.append(px[x] * np.maximum(one, 0.0))
    index = np.stack(np.meshgrid(*[np.arange(len(r)) for r in rows], indexing="ij"), -1).reshape(-1, len(rows))
    return np.stack([r[index[:, i]] for i, r in enumerate(rows)], axis=1)
