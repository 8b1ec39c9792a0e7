"""Rows of an array a few at a time: what stays in a processor's cache is gone over several times at little cost."""

from __future__ import annotations

from collections.abc import Iterator

#: Entries at once.
_IN_CACHE = 2**15


def of_rows(n: int, m: int) -> Iterator[slice]:
    """Slices of n rows with m entries each, in order.

    >>> list(of_rows(3, 2**14))
    [slice(0, 2, None), slice(2, 4, None)]
    """
    few = max(1, _IN_CACHE // max(1, m))
    return (slice(i, i + few) for i in range(0, n, few))
