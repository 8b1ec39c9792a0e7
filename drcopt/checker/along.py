"""A coupling that lacks a little, filled up where it has mass: exactly, and no 0 grows."""

from __future__ import annotations

from typing import Any

import numpy as np


def along_support(P: Any, x: Any, y: Any) -> Any:
    """P and what its rows (x) and columns (y) lack, sent along a spanning forest of its largest
    entries from the leaves inwards; None if that cannot be, or leaves an entry below 0.
    """
    n, missing, kept = len(x), [*x, *y], P.copy()
    edges = _forest(P)
    leaves = [node for node, others in enumerate(edges) if len(others) == 1]
    while leaves:
        leaf = leaves.pop()
        if not edges[leaf]:
            continue
        other = edges[leaf].pop()
        edges[other].remove(leaf)
        kept[min(leaf, other), max(leaf, other) - n] += missing[leaf]
        missing[other], missing[leaf] = missing[other] - missing[leaf], missing[leaf] * 0
        if len(edges[other]) == 1:
            leaves.append(other)
    return None if any(missing) or any(entry < 0 for entry in kept.flat) else kept


def _forest(P: Any) -> list[set[int]]:
    """Rows, then columns, joined by the largest entries that close no circle."""
    n, m = P.shape
    edges: list[set[int]] = [set() for _ in range(n + m)]
    root = list(range(n + m))

    def top(node: int) -> int:
        while root[node] != node:
            root[node] = node = root[root[node]]
        return node

    for cell in np.argsort([-float(entry) for entry in P.flat], kind="stable"):
        x, y = divmod(int(cell), m)
        if P[x, y] and top(x) != top(n + y):
            root[top(x)] = top(n + y)
            edges[x].add(n + y)
            edges[n + y].add(x)
    return edges
