"""Linear programs over mixtures of maps, solved by generating maps.

  min Σ_f λ_f cost(f)   over λ ≥ 0 with Σ_f λ_f P_f^Y = py, Σ_f λ_f H(f(X)) ≤ R, Σ_f λ_f H(S|f(X)) ≤ C
  and rows ⟨A_j, T⟩ ≤ b_j on T(y, s) = Σ_f λ_f P_f(s, y).

cost(f) is E d(X, f(X)), or, for objective "classification-loss", there is one variable z to be minimised that
takes the place of C (and is added to the b_j of rows marked ``loss``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.special import entr

from drcopt._check import FloatArray
from drcopt.bounds.maps import MapPricing
from drcopt.engines.base import Limits
from drcopt.engines.columns import Column, Duals, Generated, Master, Priced, generate, polished
from drcopt.information import conditional_entropy
from drcopt.problem import Problem

#: Maps asked of one pricing, and maps a program starts from at most.
_MAPS_PER_PRICING, _START = 8, 400


@dataclass(frozen=True, eq=False)
class MapColumn:
    """A map with what the programs need: E d, its column masses (m,), T_f(y, s) (m, k), H(f(X)), H(S|f(X))."""

    map: NDArray[np.int64]
    distortion: float
    masses: FloatArray
    joint: FloatArray
    rate: float
    loss: float

    @property
    def key(self) -> bytes:
        """Equal for equal maps."""
        return self.map.tobytes()


@dataclass(frozen=True, eq=False)
class Row:
    """⟨coefficients, T⟩ ≤ limit, coefficients (m, k); ``loss`` if it bounds the classification loss."""

    coefficients: FloatArray
    limit: float
    loss: bool = False


@dataclass(eq=False)
class Workshop:
    """What all programs of one problem share: the pricing, the maps seen so far, limits and counts."""

    problem: Problem
    limits: Limits
    pricing: MapPricing
    pool: dict[bytes, MapColumn] = field(default_factory=dict)
    pricings: int = 0

    def __post_init__(self) -> None:
        # Constant maps come first: they meet the masses and any rate, so no program lacks a point.
        self.constants = self.columns(np.repeat(np.arange(self.problem.m)[:, None], self.problem.n, axis=1))

    def columns(self, maps: NDArray[np.int64]) -> list[MapColumn]:
        """The maps, shape (count, n), as columns; new ones enter the pool."""
        p = self.problem
        found = []
        for f in np.ascontiguousarray(maps, dtype=np.int64):
            column = self.pool.get(f.tobytes())
            if column is None:
                joint = np.zeros((p.m, p.k))
                np.add.at(joint, f, p.px[:, None] * p.ps_given_x)
                masses = np.bincount(f, weights=p.px, minlength=p.m)
                distortion = float(p.px @ p.d[np.arange(p.n), f])
                loss = max(0.0, float(entr(joint).sum() - entr(joint.sum(axis=1)).sum()))
                column = MapColumn(f, distortion, masses, joint, float(entr(masses).sum()), loss)
                self.pool[column.key] = column
            found.append(column)
        return found


@dataclass(frozen=True, eq=False)
class MapProgram:
    """One linear program over mixtures of maps; budgets of inf are no budgets."""

    workshop: Workshop
    rate: float
    loss: float = math.inf
    rows: Sequence[Row] = ()
    objective: str = "distortion"

    @property
    def budgets(self) -> FloatArray:
        """Right-hand sides: rate, loss, rows."""
        loss = 0.0 if self.objective != "distortion" and self.loss < math.inf else self.loss
        return np.array([self.rate, loss, *(row.limit for row in self.rows)])

    def solve(
        self,
        *,
        tol: float,
        cutoff: float = math.inf,
        near: Duals | None = None,
        penalty: float = 1e3,
        maps: Iterable[MapColumn] | None = None,
    ) -> ProgramPoint:
        """Generate maps until the gap is ``tol`` or the bound passes ``cutoff``; with ``maps``, use only those.

        ``near`` are duals of a similar program: of a large pool, the maps of least reduced cost there start.
        """
        master = Master(self.workshop.problem.py, self.budgets, penalty)
        if self.objective != "distortion":
            slack = np.array([0.0, -1.0, *(-1.0 if row.loss else 0.0 for row in self.rows)])
            master.add([Column(1.0, np.zeros(len(master.targets)), slack, "z")])
        master.add(map(self.column, self.workshop.constants))
        if maps is not None:
            master.add(map(self.column, maps))
            point = master.solve()
            return ProgramPoint(self, master, Generated(point, -math.inf, point.duals, 0, "restricted"))
        start = list(map(self.column, self.workshop.pool.values()))
        if len(start) > _START and near is not None:
            costs = np.array([master.reduced_cost(c, near) for c in start])
            start = [start[i] for i in np.argpartition(costs, _START)[:_START]]
        elif len(start) > 4 * _START:
            start = start[-4 * _START :]
        master.add(start)
        limits = self.workshop.limits
        ended = generate(master, self.oracle, tol=tol, cutoff=cutoff, stop=lambda: limits.expired)
        return ProgramPoint(self, master, ended)

    def column(self, f: MapColumn) -> Column:
        """The map as a column of this program."""
        usage = np.array([f.rate, f.loss, *(float((row.coefficients * f.joint).sum()) for row in self.rows)])
        cost = f.distortion if self.objective == "distortion" else 0.0
        return Column(cost, f.masses, usage, f.key, f)

    def slopes(self, duals: Duals) -> FloatArray:
        """Σ_j μ_j A_j, the cost per unit of T(y, s), shape (m, k)."""
        zero = np.zeros((self.workshop.problem.m, self.workshop.problem.k))
        return sum((mu * row.coefficients for mu, row in zip(duals.budgets[2:], self.rows, strict=True)), zero)

    def oracle(self, duals: Duals) -> Priced:
        """The Lagrangian bound at these duals, and the maps of least reduced cost."""
        shop, p = self.workshop, self.workshop.problem
        linear = p.ps_given_x @ self.slopes(duals).T - duals.equality
        if self.objective == "distortion":
            linear = linear + p.d
        alpha, gamma = float(duals.budgets[0]), float(duals.budgets[1])
        least, maps = shop.pricing.least(
            p.px[:, None] * linear, alpha, gamma, count=_MAPS_PER_PRICING, turn=shop.pricings
        )
        shop.pricings += 1
        paid = [mu * b for mu, b in zip(duals.budgets, self.budgets, strict=True) if mu > 0]
        bound = math.fsum([float(duals.equality @ p.py), least, *(-c for c in paid)])
        if self.objective != "distortion":
            # z costs 1 and relieves the loss rows: the bound holds only while their multipliers sum to at most 1.
            excess = gamma + sum(mu for mu, row in zip(duals.budgets[2:], self.rows, strict=True) if row.loss)
            bound = bound if excess <= 1 + 1e-12 else -math.inf
        return Priced(bound, [self.column(f) for f in shop.columns(maps)])


@dataclass(frozen=True, eq=False)
class MapMixture:
    """Maps and their weights."""

    maps: tuple[MapColumn, ...]
    weights: FloatArray

    def mean(self, values: Iterable[float]) -> float:
        """Σ_f λ_f value(f)."""
        return math.fsum(w * v for w, v in zip(self.weights, values, strict=True))

    @property
    def distortion(self) -> float:
        """E d."""
        return self.mean(f.distortion for f in self.maps)

    @property
    def rate(self) -> float:
        """Σ_f λ_f H(f(X))."""
        return self.mean(f.rate for f in self.maps)

    @property
    def joint(self) -> FloatArray:
        """T(y, s), shape (m, k)."""
        return np.asarray(sum(w * f.joint for w, f in zip(self.weights, self.maps, strict=True)))

    def loss(self, classifier_sees: str) -> float:
        """H(S|Y) for "Y", Σ_f λ_f H(S|f(X)) for "YU"."""
        if classifier_sees == "Y":
            return conditional_entropy(self.joint.T)
        return self.mean(f.loss for f in self.maps)


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

    @cached_property
    def mixture(self) -> MapMixture:
        """The maps in use, with weights that meet the masses to rounding."""
        master = self.master
        weights = polished(master.columns, self.ended.point.weights, master.targets, master.budgets)
        used = [q for q in np.flatnonzero(weights > 0) if master.columns[q].payload is not None]
        return MapMixture(tuple(master.columns[q].payload for q in used), weights[used])


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
