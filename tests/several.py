"""Problems with several classes, and what couplings spend of their budgets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import rel_entr

import drcopt

inf, LN2 = math.inf, math.log(2)


def loss(W: Any, P: Any) -> Any:
    """H(S|Y) in bits of couplings (N, n, m)."""
    T = np.einsum("xs,nxy->nsy", W, P)
    return rel_entr(T, T.sum(axis=1, keepdims=True)).sum(axis=(1, 2)) / -LN2


def spends(P: Any, Ws: Any, d: Any) -> tuple[Any, Any, Any]:
    """E d, I and the losses in bits of couplings (N, n, m)."""
    rate = rel_entr(P, P.sum(2, keepdims=True) * P.sum(1, keepdims=True)).sum(axis=(1, 2)) / LN2
    return (P * d).sum(axis=(1, 2)), rate, [loss(W, P) for W in Ws]


def channels(rng: np.random.Generator, kind: str, n: int, sizes: tuple[int, ...]) -> list[Any]:
    if kind == "deterministic":
        return [np.eye(k)[rng.integers(k, size=n)] for k in sizes]
    if kind == "useless":
        return [rng.dirichlet(np.ones(sizes[0]), n), *(np.tile(rng.dirichlet(np.ones(k)), (n, 1)) for k in sizes[1:])]
    if kind == "weak":
        return [(1 - 1e-3) / k + 1e-3 * rng.dirichlet(np.ones(k), n) for k in sizes]
    found = [rng.dirichlet(np.full(k, 0.5), n) for k in sizes]
    if kind == "zeros":
        for W in found:
            W[(rng.random(W.shape) < 0.4) & (W < W.max(axis=1, keepdims=True))] = 0.0
            W /= W.sum(axis=1, keepdims=True)
    return found


KINDS = ("random", "deterministic", "useless", "weak", "zeros")


A, B = [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], [[1, 0], [0, 1], [0.5, 0.5]]


D = [[0, 1, 0.6], [0.7, 0, 0.2], [0.1, 0.8, 0]]


PX, PY = [0.5, 0.3, 0.2], [0.4, 0.3, 0.3]


def small(**classes: Any) -> drcopt.Problem:
    two = {"a": [[0.9, 0.1], [0.2, 0.8]], "b": [[0.7, 0.3], [0.4, 0.6]]}
    return drcopt.Problem([0.6, 0.4], [0.5, 0.5], classes or two, [[0, 1], [0.7, 0]])


def toy(**classes: Any) -> drcopt.Problem:
    return drcopt.Problem(PX, PY, classes or {"a": A, "b": B}, D)
