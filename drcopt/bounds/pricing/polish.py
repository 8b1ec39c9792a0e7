"""Candidate minimisers of a letter's inner problem, polished: what a spatial search hands on besides its bounds."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from drcopt.bounds.pricing.gibbs import Partition, Priced, gibbs
from drcopt.support import clock
from drcopt.support.check import FloatArray


class Priceable(Protocol):
    """The inner problem of several letters: costs (m, n), weights, log px and W, and its value at posteriors."""

    cost_t: FloatArray
    alpha: float
    beta: float
    log_px: FloatArray
    W: FloatArray

    def value(self, y: np.ndarray, p: FloatArray) -> FloatArray:
        """At posteriors p (J, n) of letters y (J,)."""
        ...


def drawn_in(p: FloatArray, inner: FloatArray, W: FloatArray, box: FloatArray, known: np.ndarray) -> FloatArray:
    """Posteriors (J, n) outside their boxes moved towards ``inner``, where ``known``, until they are inside."""
    tau, goal = p @ W, inner @ W
    low, high = box[:, :, 0], box[:, :, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(tau < low, (low - tau) / (goal - tau), np.where(tau > high, (tau - high) / (tau - goal), 0.0))
    share = np.where(known, np.nan_to_num(share, nan=1.0).max(axis=1).clip(0.0, 1.0), 0.0)[:, None]
    return np.asarray(p + share * (inner - p))


def candidates(
    oracle: Priceable, y: np.ndarray, p: FloatArray, lower: FloatArray, box: FloatArray, partition: Partition
) -> Priced:
    """The lowest posteriors of every letter that are apart from each other, polished."""
    value = oracle.value(y, p)
    tau = p @ oracle.W
    chosen: list[int] = []
    for letter in range(len(lower)):
        mine = np.flatnonzero(y == letter)
        mine, kept = mine[np.argsort(value[mine], kind="stable")][:400], list[int]()
        while len(mine) and len(kept) < 4:
            kept.append(int(mine[0]))
            mine = mine[np.abs(tau[mine] - tau[mine[0]]).sum(axis=1) > 0.05]
        chosen += kept
    index = np.array(chosen, dtype=np.intp)
    y, p, value = y[index], p[index], value[index]
    p, value = _polish(oracle, y, p, value, box)
    return Priced(lower, y, p, value, partition)


def _polish(
    oracle: Priceable, y: np.ndarray, p: FloatArray, value: FloatArray, box: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Newton steps on the stationarity condition ν = β log τ, kept where they help and stay in the box."""
    W, k = oracle.W, oracle.W.shape[1]
    if not len(y):
        return p, value
    nu = oracle.beta * np.log(np.maximum(p @ W, 1e-300))
    for _ in range(6):
        if clock.expired():
            break
        trial, _ = gibbs(nu @ W.T - oracle.cost_t[y], oracle.log_px, oracle.alpha)
        tau = trial @ W
        new = oracle.value(y, trial)
        good = (new < value) & ((tau >= box[y, :, 0]) & (tau <= box[y, :, 1])).all(axis=1)
        p, value = np.where(good[:, None], trial, p), np.where(good, new, value)
        slope = (W.T @ (trial[:, :, None] * W) - tau[:, :, None] * tau[:, None, :]) / oracle.alpha
        r = nu - oracle.beta * np.log(np.maximum(tau, 1e-300))
        matrix = np.eye(k) - oracle.beta * slope / np.maximum(tau, 1e-300)[:, :, None]
        step = -np.einsum("jst,jt->js", np.linalg.pinv(matrix, rcond=1e-12), r)
        nu = nu + np.clip(step, -4 * oracle.alpha, 4 * oracle.alpha)
    return p, value
