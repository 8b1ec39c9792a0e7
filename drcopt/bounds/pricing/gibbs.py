"""What the pricing oracles share: the result type and Gibbs posteriors p ∝ px exp(score/α)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drcopt.support import blocks
from drcopt.support.check import FloatArray


@dataclass(frozen=True, eq=False)
class Priced:
    """What pricing found.

    ``lower`` (m,) is proved: no posterior of letter y in its box goes below it (inf: the box is empty).
    The rest are candidate minimisers, the best of every basin that was found: letter ``y`` (J,), posterior
    ``p`` (J, n) and its ``value`` (J,). ``partition``, if there is one, lets the next pricing start where this ended.
    """

    lower: FloatArray
    y: np.ndarray
    p: FloatArray
    value: FloatArray
    partition: Partition | None = None


@dataclass(frozen=True, eq=False)
class Partition:
    """Cells low ≤ τ ≤ high (J, k) of letters y (J,) that cover what posteriors there are in ``box`` (m, k, 2), and ν.

    ``p`` (m, n) are the best posteriors of the letters, 0 where none is known.
    """

    box: FloatArray
    p: FloatArray
    y: np.ndarray
    low: FloatArray
    high: FloatArray
    nu: FloatArray

    def part(self, first: int, last: int) -> Partition:
        """That of letters first … last − 1, counted from 0 again."""
        mine = (self.y >= first) & (self.y < last)
        own = (self.low[mine], self.high[mine], self.nu[mine])
        return Partition(self.box[first:last], self.p[first:last], self.y[mine] - first, *own)


def joined(parts: list[Priced]) -> Priced:
    """The answers for letters priced in turns as one."""
    starts = np.cumsum([0, *(len(part.lower) for part in parts)])

    def all_of(arrays: list[FloatArray]) -> FloatArray:
        return np.concatenate(arrays)

    partitions = [part.partition for part in parts if part.partition is not None]
    partition = None
    if len(partitions) == len(parts):
        letters = [q.y + first for q, first in zip(partitions, starts, strict=False)]
        partition = Partition(
            all_of([q.box for q in partitions]),
            all_of([q.p for q in partitions]),
            np.concatenate(letters),
            all_of([q.low for q in partitions]),
            all_of([q.high for q in partitions]),
            all_of([q.nu for q in partitions]),
        )
    return Priced(
        all_of([part.lower for part in parts]),
        np.concatenate([part.y + first for part, first in zip(parts, starts, strict=False)]),
        all_of([part.p for part in parts]),
        all_of([part.value for part in parts]),
        partition,
    )


def replaced(priced: Priced, letters: np.ndarray, other: Priced) -> Priced:
    """An answer in which that for some letters is another, where it proves more."""
    lower = priced.lower.copy()
    lower[letters] = np.maximum(lower[letters], other.lower)
    kept = ~np.isin(priced.y, letters)
    own = [getattr(priced, name)[kept] for name in ("y", "p", "value")]
    y, p, value = (np.concatenate(both) for both in zip(own, (letters[other.y], other.p, other.value), strict=True))
    first, last = priced.partition, other.partition
    if first is None or last is None:
        return Priced(lower, y, p, value, last if len(letters) == len(lower) else None)
    best = first.p.copy()
    best[letters] = last.p
    kept = ~np.isin(first.y, letters)
    own = [getattr(first, name)[kept] for name in ("y", "low", "high", "nu")]
    cells = zip(own, (letters[last.y], last.low, last.high, last.nu), strict=True)
    return Priced(lower, y, p, value, Partition(first.box, best, *(np.concatenate(both) for both in cells)))


def gibbs(scores: FloatArray, log_px: FloatArray, alpha: float) -> tuple[FloatArray, FloatArray]:
    """Softmin over the last axis: posteriors p ∝ px exp(scores/α) and α log Σ px exp(scores/α), α > 0."""
    exponent = log_px + scores / alpha
    top = exponent.max(axis=-1)
    p = np.exp(exponent - top[..., None])
    total = p.sum(axis=-1)
    p /= total[..., None]
    return p, alpha * (top + np.log(total))


def softmin(cost: FloatArray, log_px: FloatArray, alpha: float) -> FloatArray:
    """min over p of ⟨c, p⟩ + α D(p‖px) for each column of ``cost`` (n, m); α = 0 gives the plain minimum."""
    low = cost.min(axis=0)
    if alpha == 0:
        return np.asarray(low)
    high, px, total = cost.max(axis=0), np.exp(log_px), np.zeros(cost.shape[1])
    # Near the mean −α log Σ px exp(−c/α) would lose all digits of c to a large α.
    flat = float((high - low).max()) < alpha
    top = 0.5 * (low + high) if flat else low
    for some in blocks.of_rows(*cost.shape):
        exponent = top - cost[some]
        if flat:
            exponent /= alpha
            np.expm1(exponent, out=exponent)
        else:
            exponent *= 1.0 / alpha
            # exp is slow where it underflows; this can only raise the sum, which lowers the bound.
            np.maximum(exponent, -600.0, out=exponent)
            np.exp(exponent, out=exponent)
        total += px[some] @ exponent
    if flat:
        return np.asarray(top - alpha * np.log1p(total))
    if total.min() > 1e-250:
        return np.asarray(top - alpha * np.log(total))
    exponent = cost * (-1.0 / alpha)  # what is cheapest has almost no mass
    exponent += log_px[:, None]
    top = exponent.max(axis=0)
    return np.asarray(-alpha * (top + np.log(np.exp(exponent - top).sum(axis=0))))
