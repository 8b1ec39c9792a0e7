"""Convex-concave descents by small linear programs, for questions whose rate is slack.

H(S|Y) is concave, so that a coupling of least E d has at most one entry more than a vertex of the transport
polytope: it lies where an edge crosses H(S|Y) = C. Linear programs with a tangent of H(S|Y) for a budget end on edges.
"""

from __future__ import annotations

import math

import numpy as np

from drcopt.engines.descent import Descent, tangent
from drcopt.engines.dual_simplex import Columns, first_basis, raised
from drcopt.problem import Problem
from drcopt.support.check import FloatArray

#: Steps of a descent, and what one has to gain.
_STEPS, _GAIN = 40, 1e-9


class VertexDescent:
    """Descents in the couplings of one problem that do not look at the rate."""

    def __init__(self, problem: Problem) -> None:
        self.problem, n, m = problem, problem.n, problem.m
        sums = np.hstack([np.kron(np.eye(n), np.ones((m, 1)))[:, : n - 1], np.kron(np.ones((n, 1)), np.eye(m))])
        self._columns = np.vstack([sums, np.zeros((1, n + m - 1))])
        self._right = np.concatenate([problem.px[:-1], problem.py])

    def least(self, cost: FloatArray, linear: FloatArray | None = None, budget: float = 0.0) -> Descent | None:
        """min ⟨cost, P⟩ with ⟨linear, P⟩ ≤ budget over couplings, a vertex or a point of an edge; None: there is none.

        Its z has the duals of the rows and of the budget.
        """
        n, m = cost.shape
        some = 0 if linear is None else 1
        entries = self._columns[: n * m + some]
        right, costs = self._right, np.append(cost, np.zeros(some))
        if linear is not None:
            entries, right = np.column_stack([entries, np.append(linear, 1.0)]), np.append(right, budget)
        columns = Columns(entries, costs, np.arange(len(costs), dtype=np.float64))
        cheapest = cost.argmin(axis=0) * m + np.arange(m)
        best = np.append(cheapest, np.full(some, n * m))
        basis = first_basis(Columns(entries[best], costs[best], columns.meaning[best]), n - 1)
        found = raised(columns, right, basis)
        if found is None or found.weights is None:
            return None
        flat = np.zeros(n * m + 1)
        flat[basis.meaning[~basis.gone].astype(np.intp)] = found.weights[~basis.gone]
        P = flat[:-1].reshape(n, m)
        beta = 0.0 if linear is None else max(0.0, -float(found.duals[-1]))
        f = np.append(found.duals[: n - 1], 0.0)
        return Descent.at(P, f, (1.0, 0.0, beta), self.problem.classification_loss(P), 0)

    def descend(self, P: FloatArray, budget: float) -> Descent | None:
        """min E d with H(S|Y) ≤ budget, from the tangent at P or, where none meets that, from one of lower H(S|Y)."""
        problem, d = self.problem, self.problem.d
        best = self.least(d, tangent(problem, P), budget)
        last = math.inf
        for _ in range(0 if best is not None else _STEPS):
            lower = self.least(tangent(problem, P))
            if lower is None or (lower.loss > budget and last - lower.loss <= _GAIN):
                return None
            P, last = lower.P, lower.loss
            if last <= budget:
                best = self.least(d, tangent(problem, P), budget)
                break
        value = math.inf
        for _ in range(_STEPS):
            if best is None or value - (now := problem.distortion(best.P)) <= _GAIN:
                break
            value = now
            best = self.least(d, tangent(problem, best.P), budget) or best
        return best
