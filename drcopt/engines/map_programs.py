"""Linear programs over mixtures of maps, solved by generating maps.

  min Σ_f λ_f cost(f)   over λ ≥ 0 with Σ_f λ_f P_f^Y = py, Σ_f λ_f H(f(X)) ≤ R, Σ_f λ_f H(S|f(X)) ≤ C,
  Σ_f λ_f E d(X, f(X)) ≤ D and rows ⟨A_j, T⟩ ≤ b_j on T(y, s) = Σ_f λ_f P_f(y, s).

The cost is E d(X, f(X)), or ⟨A, T_f⟩, or that of one variable z ≥ 0 which is added to C and to the b_j of rows
that bound the classification loss: the least loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.special import entr

from drcopt._check import FloatArray
from drcopt.bounds.maps import MapPricing
from drcopt.engines.base import Limits
from drcopt.engines.columns import Columns, Duals, Generated, Master, Priced, generate
from drcopt.information import conditional_entropy
from drcopt.problem import Problem

#: Maps asked of one pricing, and maps a program starts from at most.
_MAPS_PER_PRICING, _START = 8, 400

Indices = NDArray[np.int64]


class MapPool:
    """The maps seen so far, in rows: E d, H(f(X)), H(S|f(X)), column masses (·, m) and T_f (·, m, k)."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._index: dict[bytes, int] = {}
        self.maps = np.empty((0, problem.n), dtype=np.int64)
        self.distortion, self.rate, self.loss = np.empty(0), np.empty(0), np.empty(0)
        self.masses = np.empty((0, problem.m))
        self.joint = np.empty((0, problem.m, problem.k))

    def __len__(self) -> int:
        return len(self.maps)

    def add(self, maps: NDArray[np.int64]) -> Indices:
        """Where the maps, shape (count, n), are in the pool; new ones are appended."""
        fresh = []
        indices = []
        for f in np.ascontiguousarray(maps, dtype=np.int64):
            key = f.tobytes()
            if key not in self._index:
                self._index[key] = len(self._index)
                fresh.append(f)
            indices.append(self._index[key])
        if fresh:
            self._append(np.array(fresh))
        return np.array(indices, dtype=np.int64)

    def _append(self, maps: NDArray[np.int64]) -> None:
        p = self.problem
        members = (maps[:, :, None] == np.arange(p.m)).astype(np.float64)
        joint = np.einsum("fxy,xs->fys", members, p.px[:, None] * p.ps_given_x)
        masses = np.einsum("fxy,x->fy", members, p.px)
        loss = np.maximum(0.0, entr(joint).sum(axis=(1, 2)) - entr(joint.sum(axis=2)).sum(axis=1))
        self.maps = np.concatenate([self.maps, maps])
        self.distortion = np.concatenate([self.distortion, p.d[np.arange(p.n), maps] @ p.px])
        self.rate = np.concatenate([self.rate, entr(masses).clip(0.0).sum(axis=1)])
        self.loss = np.concatenate([self.loss, loss])
        self.masses = np.concatenate([self.masses, masses])
        self.joint = np.concatenate([self.joint, joint])


class Workshop:
    """What all programs of one problem share: the pricing, the pool of maps, limits and counts."""

    def __init__(self, problem: Problem, limits: Limits) -> None:
        self.problem, self.limits = problem, limits
        self.pricing, self.pool = MapPricing(problem), MapPool(problem)
        self.pricings = self.programs = 0
        # Constant maps meet the masses at no rate: with them no program lacks a point.
        self.constants = self.pool.add(np.repeat(np.arange(problem.m)[:, None], problem.n, axis=1))


@dataclass(frozen=True, eq=False)
class Mixture:
    """Maps of a pool and their weights."""

    pool: MapPool
    maps: Indices
    weights: FloatArray

    @property
    def distortion(self) -> float:
        """E d."""
        return math.fsum(self.weights * self.pool.distortion[self.maps])

    @property
    def rate(self) -> float:
        """Σ_f λ_f H(f(X))."""
        return math.fsum(self.weights * self.pool.rate[self.maps])

    @cached_property
    def joint(self) -> FloatArray:
        """T(y, s), shape (m, k)."""
        return np.asarray(np.tensordot(self.weights, self.pool.joint[self.maps], axes=1))

    @property
    def posteriors(self) -> FloatArray:
        """τ_y(s), shape (m, k)."""
        return self.joint / self.joint.sum(axis=1, keepdims=True)

    def loss(self, classifier_sees: str) -> float:
        """H(S|Y) for "Y", Σ_f λ_f H(S|f(X)) for "YU"."""
        if classifier_sees == "Y":
            return conditional_entropy(self.joint.T)
        return math.fsum(self.weights * self.pool.loss[self.maps])


@dataclass(frozen=True, eq=False)
class Row:
    """⟨coefficients, T⟩ ≤ limit, coefficients (m, k); ``loss`` if it bounds the classification loss."""

    coefficients: FloatArray
    limit: float
    loss: bool = False


@dataclass(frozen=True, eq=False)
class MapProgram:
    """One linear program over mixtures of maps; limits of inf are no limits.

    ``minimise`` is "distortion", "loss" (then the limits of loss rows are added to the least loss z, and
    ``loss`` other than inf asks that z be at least H(S|Y,U)), or an array A of shape (m, k) for ⟨A, T⟩.
    """

    workshop: Workshop
    rate: float
    loss: float = math.inf
    rows: Sequence[Row] = ()
    minimise: str | FloatArray = "distortion"
    distortion: float = math.inf

    @cached_property
    def budgets(self) -> FloatArray:
        """Right-hand sides: rate, loss, distortion, rows."""
        loss = 0.0 if self._least_loss and self.loss < math.inf else self.loss
        return np.array([self.rate, loss, self.distortion, *(row.limit for row in self.rows)])

    @cached_property
    def _least_loss(self) -> bool:
        return isinstance(self.minimise, str) and self.minimise == "loss"

    @cached_property
    def _coefficients(self) -> FloatArray:
        """(rows, m, k)."""
        p = self.workshop.problem
        return np.array([row.coefficients for row in self.rows]).reshape(len(self.rows), p.m, p.k)

    def solve(
        self,
        *,
        tol: float,
        cutoff: float = math.inf,
        near: Duals | None = None,
        penalty: float = 1e3,
        only: Indices | None = None,
    ) -> ProgramPoint:
        """Generate maps until the gap is ``tol`` or the bound passes ``cutoff``; with ``only``, use those alone.

        ``near`` are duals of a similar program: of a large pool, the maps of least reduced cost there start.
        """
        shop = self.workshop
        shop.programs += 1
        master = Master(shop.problem.py, self.budgets, penalty)
        if self._least_loss:
            relief = np.array([0.0, -1.0, 0.0, *(-1.0 if row.loss else 0.0 for row in self.rows)])
            master.add(Columns(np.ones(1), np.zeros((1, shop.problem.m)), relief[None], ["z"]))
        master.add(self.columns(shop.constants))
        if only is not None:
            master.add(self.columns(only))
            point = master.solve()
            return ProgramPoint(self, master, Generated(point, -math.inf, point.duals, 0, "restricted"))
        start = self.columns(np.arange(len(shop.pool)))
        if len(start) > _START and near is not None:
            start = start[np.argpartition(start.reduced_costs(near), _START)[:_START]]
        master.add(start)
        ended = generate(master, self.oracle, tol=tol, cutoff=cutoff, stop=lambda: shop.limits.expired)
        return ProgramPoint(self, master, ended)

    def columns(self, maps: Indices) -> Columns:
        """Maps of the pool as columns of this program."""
        pool = self.workshop.pool
        if not isinstance(self.minimise, str):
            costs = np.tensordot(pool.joint[maps], self.minimise, axes=2)
        else:
            costs = np.zeros(len(maps)) if self._least_loss else pool.distortion[maps]
        rows = np.einsum("fys,jys->fj", pool.joint[maps], self._coefficients)
        usages = np.column_stack([pool.rate[maps], pool.loss[maps], pool.distortion[maps], rows])
        return Columns(costs, pool.masses[maps], usages, maps.tolist())

    def slopes(self, duals: Duals) -> FloatArray:
        """The cost per unit of T(y, s) at these duals, shape (m, k)."""
        slopes = np.tensordot(duals.budgets[3:], self._coefficients, axes=1)
        return np.asarray(slopes if isinstance(self.minimise, str) else slopes + self.minimise)

    def oracle(self, duals: Duals) -> Priced:
        """The Lagrangian bound at these duals, and the maps of least reduced cost."""
        shop, p = self.workshop, self.workshop.problem
        alpha, gamma, theta = (float(mu) for mu in duals.budgets[:3])
        if isinstance(self.minimise, str) and not self._least_loss:
            theta += 1.0
        linear = theta * p.d + p.ps_given_x @ self.slopes(duals).T - duals.equality
        least, maps = shop.pricing.least(p.px[:, None] * linear, alpha, gamma, _MAPS_PER_PRICING, shop.pricings)
        shop.pricings += 1
        paid = [-mu * b for mu, b in zip(duals.budgets, self.budgets, strict=True) if mu > 0]
        bound = math.fsum([float(duals.equality @ p.py), least, *paid])
        if self._least_loss:
            # z costs 1 and relieves the loss rows: their multipliers may sum to at most 1.
            charged = gamma + sum(mu for mu, row in zip(duals.budgets[3:], self.rows, strict=True) if row.loss)
            bound = bound if charged <= 1 + 1e-12 else -math.inf
        return Priced(bound, self.columns(shop.pool.add(maps)))


@dataclass(frozen=True, eq=False)
class ProgramPoint:
    """A solved program."""

    program: MapProgram
    master: Master
    ended: Generated

    @property
    def value(self) -> float:
        """Objective of the last master, penalties included."""
        return self.ended.point.objective

    @property
    def overrun(self) -> float:
        """The most by which a budget or row is exceeded."""
        return float(self.ended.point.overrun.max(initial=0.0))

    @property
    def maps(self) -> Indices:
        """The maps in the last master."""
        return np.array([q for q in self.ended.point.columns.payloads if q != "z"], dtype=np.int64)

    @cached_property
    def mixture(self) -> Mixture:
        """The maps in use, with weights that meet the masses to rounding."""
        weights = self.master.polished(self.ended.point)
        payloads = self.ended.point.columns.payloads
        used = [q for q in np.flatnonzero(weights > 0) if payloads[q] != "z"]
        return Mixture(self.program.workshop.pool, np.array([payloads[q] for q in used]), weights[used])


def transport_maps(problem: Problem) -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
    """Optimal transport as a mixture of maps: maps (count, n), weights, and the column potentials ν (m,).

    Any coupling is the mixture, over u uniform on [0, 1], of the maps that send x to the u-quantile of
    p(y|x); a vertex of the transport polytope needs at most m of them.
    """
    n, m = problem.n, problem.m
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.tile(np.eye(m), n)
    result = linprog(
        problem.d.ravel(),
        A_eq=np.vstack([rows, columns]),
        b_eq=np.concatenate([problem.px, problem.py]),
        method="highs-ds",
    )
    coupling = result.x.reshape(n, m).clip(0.0)
    steps = np.cumsum(coupling / coupling.sum(axis=1, keepdims=True), axis=1)
    ends = np.unique(np.concatenate([[0.0, 1.0], steps[steps < 1 - 1e-12]]))
    ends = ends[np.concatenate([[True], np.diff(ends) > 1e-12])]
    middles, weights = (ends[1:] + ends[:-1]) / 2, np.diff(ends)
    maps = (middles[:, None, None] > steps[None]).sum(axis=2).clip(0, m - 1)
    return maps, weights, np.array(result.eqlin.marginals[n:])
