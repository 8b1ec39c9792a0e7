"""The least of a set function summed over the cells of a partition, exactly, by dynamic programming.

Subsets of n letters are bit masks 0 … 2ⁿ − 1; set functions are arrays of length 2ⁿ.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from drcopt.support.check import FloatArray

#: Subsets of so many letters are combined by one gather; of so many without gathers; larger ones are cut in halves.
_FEW, _BASE = 9, 12
#: Of these, letters whose subsets are gone through one by one.
_LOW = 5


def subset_sums(values: FloatArray) -> FloatArray:
    """Σ_{x∈A} values[…, x] for every subset A, shape (…, 2ⁿ)."""
    sums = np.zeros((*values.shape[:-1], 1))
    for x in range(values.shape[-1]):
        sums = np.concatenate([sums, sums + values[..., x, None]], axis=-1)
    return sums


@lru_cache(maxsize=1 << _BASE)
def submasks(mask: int) -> NDArray[np.int64]:
    """Every subset of ``mask``, itself and the empty set included, in increasing order."""
    if not mask:
        return np.zeros(1, dtype=np.int64)
    top = 1 << (mask.bit_length() - 1)
    rest = submasks(mask ^ top)
    return np.concatenate([rest, rest | top])


def min_plus(f: FloatArray, g: FloatArray) -> FloatArray:
    """h(S) = min over A ⊆ S of f(S∖A) + g(A), in 3ⁿ additions.

    Halves with and without the last letter: h₀ = f₀*g₀ and h₁ = min(f₁*g₀, f₀*g₁).
    """
    n = len(f).bit_length() - 1
    if n <= _FEW:
        rest, cell, starts = _pairs(n)
        return np.asarray(np.minimum.reduceat(f[rest] + g[cell], starts))
    if n <= _BASE:
        return _by_low_cells(f, g)
    half = len(f) // 2
    f0, f1, g0, g1 = f[:half], f[half:], g[:half], g[half:]
    return np.concatenate([min_plus(f0, g0), np.minimum(min_plus(f1, g0), min_plus(f0, g1))])


def _by_low_cells(f: FloatArray, g: FloatArray) -> FloatArray:
    """The same, all pairs of subsets of the high letters at once, for the parts of A among the low ones in turn.

    For such a part the sets S∖A are a subcube, and so are the sets S: no gather is needed.
    """
    rest, cell, starts = _pairs(len(f).bit_length() - 1 - _LOW)
    # One row for each subset of the low letters.
    rows = (np.ascontiguousarray(v.reshape(-1, 1 << _LOW).T) for v in (f, g))
    F, G = (np.take(v, pick, axis=1) for v, pick in zip(rows, (rest, cell), strict=True))
    H, sums = F + G[0], np.empty_like(F)
    cube = (2,) * _LOW + (len(rest),)
    F, Hs, sums = F.reshape(cube), H.reshape(cube), sums.reshape(cube)
    for A, (without, holding) in enumerate(_subcubes()):
        if A:
            h, trial = Hs[holding], sums[holding]
            np.add(F[without], G[A], out=trial)
            np.minimum(h, trial, out=h)
    return np.minimum.reduceat(H, starts, axis=1).T.ravel()


@lru_cache(maxsize=1)
def _subcubes() -> list[tuple[tuple[int | slice, ...], tuple[int | slice, ...]]]:
    """For each set A of low letters where the sets that miss A are in a cube, and where those are that hold it."""
    axes = [[A >> x & 1 for x in reversed(range(_LOW))] for A in range(1 << _LOW)]
    return [(tuple(0 if a else slice(None) for a in A), tuple(1 if a else slice(None) for a in A)) for A in axes]


@lru_cache(maxsize=_BASE + 1)
def _pairs(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """All pairs (S∖A, A) with A ⊆ S, grouped by S, and where each group starts."""
    whole = np.zeros(1, dtype=np.int64)
    cell = np.zeros(1, dtype=np.int64)
    for x in range(n):
        bit = 1 << x
        whole, cell = np.concatenate([whole, whole | bit, whole | bit]), np.concatenate([cell, cell | bit, cell])
    order = np.argsort(whole, kind="stable")
    whole, cell = whole[order], cell[order]
    return whole ^ cell, cell, np.searchsorted(whole, np.arange(1 << n))


def least_partitions(cells: FloatArray, count: int, turn: int = 0) -> tuple[float, NDArray[np.int64]]:
    """The least of Σ_y cells[y, A_y] over partitions (A_0 … A_{m−1}) of the n letters, cells of shape (m, 2ⁿ).

    Returns the least value and up to ``count`` maps, 0 or more, shape (≤ count, n), f(x) = y for x in A_y: a best one,
    then the best for other cells of the last letter taken. ``turn`` rotates which letter that is.
    """
    m, size = cells.shape
    order = [(y + turn) % m for y in range(m)]
    prefixes = [cells[order[0]]]
    for y in order[1:-1]:
        prefixes.append(min_plus(prefixes[-1], cells[y]))
    # S∖A of the full set is the bitwise complement, the same array read backwards.
    last = cells[order[0]][-1:] if m == 1 else prefixes[-1][::-1] + cells[order[-1]]
    if m == 1:
        return float(last[0]), np.zeros((1, size.bit_length() - 1), dtype=np.int64)
    count = min(count, size)
    if count == 0:
        return float(last.min()), np.empty((0, size.bit_length() - 1), dtype=np.int64)
    tops = np.argpartition(last, count - 1)[:count]
    tops = tops[np.argsort(last[tops], kind="stable")]
    maps = [_trace(cells, prefixes, order, int(A)) for A in tops]
    return float(last[tops[0]]), np.array(maps)


def _trace(cells: FloatArray, prefixes: list[FloatArray], order: list[int], last: int) -> NDArray[np.int64]:
    """The map whose last cell is ``last`` and whose others are best for what is left."""
    n = cells.shape[1].bit_length() - 1
    f = np.empty(n, dtype=np.int64)
    rest = cells.shape[1] - 1
    for step in range(len(order) - 1, -1, -1):
        if step == len(order) - 1:
            cell = last
        elif step == 0:
            cell = rest
        else:
            options = submasks(rest)
            cell = int(options[np.argmin(prefixes[step - 1][rest ^ options] + cells[order[step]][options])])
        f[[x for x in range(n) if cell >> x & 1]] = order[step]
        rest ^= cell
    return f
