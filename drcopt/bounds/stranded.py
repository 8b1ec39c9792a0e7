"""Forbidden pairs (d = inf): whether any coupling avoids them.

One exists iff px(A) ≤ py(N(A)) for all sets A of letters of X, N(A) the letters of
Y that some x in A may become (Hall's condition); a set that breaks it comes from a least cut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from drcopt.formulations import Question
from drcopt.problem import Problem, Standard
from drcopt.support.check import FloatArray

#: Mass that must be too much for letters to have nowhere to go; what the flow counts in.
_SURELY, _GRAIN = 1e-12, 2**30


@dataclass(frozen=True, eq=False)
class Stranded:
    """Evidence: letters of X (by place) with more mass than all that they may become; no coupling is finite."""

    letters: NDArray[np.intp]

    def bound(self, question: Question) -> float:
        problem = question.problem
        reached = ~problem.forbidden[self.letters].all(axis=0)
        mass = math.fsum(problem.px[self.letters])
        if question.laws is not None:  # the law may put any mass there, but some letter must be reached
            return math.inf if mass > 0 and not reached.any() else -math.inf
        room = math.fsum(problem.py[reached])
        return math.inf if mass - room > _SURELY * max(mass, 1e-300) + 1e-15 else -math.inf

    def framed(self, change: Standard) -> Stranded:
        return self


def stranded(problem: Problem, free: bool) -> NDArray[np.intp] | None:
    """Letters of X that have nowhere to go, by place; None if every letter has (or it is a matter of rounding)."""
    if not problem.forbidden.any():
        return None
    lost = np.flatnonzero(problem.forbidden.all(axis=1))
    if len(lost) or free:
        return lost if len(lost) else None
    return without_room(problem, np.where(problem.forbidden, 0.0, 1.0))


def without_room(problem: Problem, most: FloatArray) -> NDArray[np.intp] | None:
    """Letters of X, by place, whose mass does not fit into pairs that take ``most`` (n, m) each, from a least cut."""
    n, m = problem.n, problem.m
    source, sink = n + m, n + m + 1
    x, y = np.nonzero(most)
    # Masses rounded down leave, and rounded up arrive: a cut of the counts is one of the masses, but for the grain.
    leaving, arriving = np.floor(problem.px * _GRAIN), np.ceil(problem.py * _GRAIN)
    tails = np.concatenate([np.full(n, source), x, n + np.arange(m)])
    heads = np.concatenate([np.arange(n), n + y, np.full(m, sink)])
    sizes = np.concatenate([leaving, np.ceil(most[x, y] * _GRAIN), arriving]).astype(np.int32)
    graph = csr_array((sizes, (tails, heads)), (n + m + 2, n + m + 2))
    flow = maximum_flow(graph, source, sink)
    if flow.flow_value >= leaving.sum():
        return None
    left = graph - flow.flow
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    reached = breadth_first_order(left, source, return_predecessors=False)
    found = np.sort(reached[reached < n])
    return found if len(found) else None
