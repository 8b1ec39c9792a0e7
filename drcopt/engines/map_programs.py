"""Linear programs over mixtures of maps, solved by generating maps.

A point has weights λ_f ≥ 0 with Σ_f λ_f P_f^Y = py, and shares z(y) ≥ 0 of a classification loss. Objective and
constraints are linear forms in

  rate Σ λ_f H(f(X)), distortion Σ λ_f E d(X, f(X)), losses Σ λ_f L(f⁻¹(y)), joint T(y, s) = Σ λ_f P_f(y, s), z(y),

with L as in :mod:`drcopt.bounds.maps`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from drcopt.bounds.maps import CellLoss, MapPricing
from drcopt.engines.base import INTERRUPTED, Limits
from drcopt.engines.columns import Columns, Duals, Generated, Master, Priced, generate
from drcopt.engines.map_moves import MapMoves
from drcopt.information import conditional_entropy
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, Near, OutputLaw, Quantity
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Maps asked of one pricing, and maps handed on to a similar program.
_MAPS_PER_PRICING, _HANDED_ON = 8, 90
#: Additions of one exact pricing from which a local search goes first, as long as it finds this much.
_SLOW, _WORTH_ADDING = 2e6, 1e-9
#: Additions a second, at the least; exact pricing is for limits that leave time for this many, certificate included.
_SPEED, _FEWEST = 2e8, 5

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """Where a flat vector of coefficients keeps those of rate, distortion, losses, joint and shares."""

    m: int
    k: int

    @property
    def size(self) -> int:
        """Length of the vector."""
        return 2 + 2 * self.m + self.m * self.k

    @property
    def loss(self) -> slice:
        """Σ λ_f L(f⁻¹(y)) for each y."""
        return slice(2, 2 + self.m)

    @property
    def joint(self) -> slice:
        """T(y, s), y by y."""
        return slice(2 + self.m, 2 + self.m + self.m * self.k)

    @property
    def shares(self) -> slice:
        """z(y) for each y."""
        return slice(self.size - self.m, self.size)

    def form(
        self,
        *,
        rate: float = 0.0,
        distortion: float = 0.0,
        loss: FloatArray | float = 0.0,
        joint: FloatArray | float = 0.0,
        shares: FloatArray | float = 0.0,
    ) -> FloatArray:
        """A linear form from its parts; joint has shape (m, k)."""
        v = np.zeros(self.size)
        v[0], v[1], v[self.loss], v[self.shares] = rate, distortion, loss, shares
        v[self.joint] = np.ravel(joint) if np.ndim(joint) else joint
        return v

    def of(self, quantity: Quantity, value: float = 1.0) -> FloatArray:
        """``value`` times E d, H(Y|U) or H(S|Y,U)."""
        return self.form(**{"loss" if quantity is CLASSIFICATION_LOSS else quantity.name: value})


class MapPool:
    """The maps seen so far, in rows: maps (·, n), column masses (·, m), and values of a layout's quantities."""

    def __init__(self, problem: Problem, loss: CellLoss | None = None) -> None:
        self.problem, self.loss, self.layout = problem, loss, Layout(problem.m, problem.k)
        self._index: dict[bytes, int] = {}
        self.maps = np.empty((0, problem.n), dtype=np.int64)
        self.masses = np.empty((0, problem.m))
        self.values = np.empty((0, self.layout.size))

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
        values = np.zeros((len(maps), self.layout.size))
        values[:, 0] = entr(masses).sum(axis=1).clip(0.0)
        values[:, 1] = p.d[np.arange(p.n), maps] @ p.px
        if self.loss is None:
            values[:, self.layout.loss] = (entr(joint).sum(axis=2) - entr(joint.sum(axis=2))).clip(0.0)
        else:
            values[:, self.layout.loss] = self.loss.of(joint, np.arange(p.m))
        values[:, self.layout.joint] = joint.reshape(len(maps), -1)
        self.maps = np.concatenate([self.maps, maps])
        self.masses = np.concatenate([self.masses, masses])
        self.values = np.concatenate([self.values, values])


class Workshop:
    """What all programs of one problem share: the pricing, the pool of maps, limits and counts.

    Where the exact pricing is slow, a local search goes first; where it is out of reach, or of the time limit's
    (not ``exact``), programs have no bound. ``reserve`` are the seconds that judging the evidence will take, and
    ``hurried`` says that for lack of more a program went without a bound.
    """

    def __init__(
        self, problem: Problem, limits: Limits, laws: OutputLaw | None = None, loss: CellLoss | None = None
    ) -> None:
        self.problem, self.limits, self.laws = problem, limits, laws
        #: Laws near the target, that the average of maps has to match.
        self.averages: list[FloatArray] = [laws.target] if isinstance(laws, Near) else []
        self.pricing, self.moves = MapPricing(problem, loss), MapMoves(problem, loss)
        self.pool = MapPool(problem, loss)
        self.layout = self.pool.layout
        self.pricings = self.programs = 0
        slow = self.pricing.work / _SPEED if self.pricing.work > _SLOW else 0.0
        self.exact = self.pricing.exact and limits.remaining >= _FEWEST * slow
        self._longest = slow * self.exact
        self.reserve = self._longest
        self.hurried = self.interrupted = False
        # Constant maps meet the masses at no rate: with them no program lacks a point.
        self.constants = self.pool.add(np.repeat(np.arange(problem.m)[:, None], problem.n, axis=1))

    # -- the law of Y ------------------------------------------------------------------------------------------

    @property
    def targets(self) -> FloatArray:
        """What the equalities must come to: masses py; or Σ weights = 1, and masses equal to a law near the target."""
        if self.laws is None:
            return self.problem.py
        return np.append(np.zeros(self.problem.m if isinstance(self.laws, Near) else 0), 1.0)

    def equalities(self, maps: Indices) -> FloatArray:
        """What maps of the pool add to them."""
        masses = self.pool.masses[maps]
        if self.laws is None:
            return masses
        return np.hstack([masses[:, : len(self.targets) - 1], np.ones((len(maps), 1))])

    def nu(self, duals: Duals) -> FloatArray:
        """Multipliers of the masses, shape (m,)."""
        return duals.equality if self.laws is None else np.resize(np.append(duals.equality[:-1], 0.0), self.problem.m)

    def average(self, nu: FloatArray) -> float:
        """The least ⟨ν, q⟩ over the laws that Y may have; a law that attains it is kept."""
        if isinstance(self.laws, Near):
            self.averages.append(self.laws.argmin(nu))
        return float(nu @ self.problem.py) if self.laws is None else self.laws.least(nu)

    def interrupt(self) -> None:
        """Let all programs end as at a deadline, because the user says so."""
        self.interrupted, self.limits = True, replace(self.limits, deadline=-math.inf)

    @property
    def late(self) -> bool:
        """Whether the time left is what judging the evidence takes."""
        return self.limits.remaining <= self.reserve

    @property
    def has_time(self) -> bool:
        """Whether there is time for one more exact pricing before it is late."""
        return self.exact and self.limits.remaining > self.reserve + self._longest

    def least(self, linear: FloatArray, alpha: float, gamma: FloatArray, turn: int) -> tuple[float, NDArray[np.int64]]:
        """The exact pricing, timed: what it takes now the judge's will take again."""
        started = clock.now()
        answer = self.pricing.least(linear, alpha, gamma, _MAPS_PER_PRICING, turn)
        self._longest = max(self._longest, clock.now() - started)
        self.reserve = max(self.reserve, self._longest)
        return answer


@dataclass(frozen=True, eq=False)
class Mixture:
    """Maps of a pool and their weights."""

    pool: MapPool
    maps: Indices
    weights: FloatArray

    @cached_property
    def values(self) -> FloatArray:
        """The quantities of the layout."""
        return np.asarray(self.weights @ self.pool.values[self.maps])

    @property
    def rate(self) -> float:
        """Σ_f λ_f H(f(X))."""
        return float(self.values[0])

    @property
    def distortion(self) -> float:
        """E d."""
        return float(self.values[1])

    @property
    def posteriors(self) -> FloatArray:
        """τ_y(s), shape (m, k); the prior for a letter of so little mass that no map in use sends it any."""
        joint = self._joint
        total = joint.sum(axis=1, keepdims=True)
        return np.where(total > 0, joint / np.where(total > 0, total, 1.0), self.pool.problem.ps)

    @property
    def law(self) -> FloatArray:
        """Of Y, shape (m,)."""
        return np.asarray(self._joint.sum(axis=1))

    @property
    def _joint(self) -> FloatArray:
        p = self.pool.problem
        return self.values[self.pool.layout.joint].reshape(p.m, p.k)

    def loss(self, classifier_sees: str) -> float:
        """H(S|Y) for "Y", Σ_f λ_f H(S|f(X)) for "YU"."""
        if classifier_sees == "Y":
            return conditional_entropy(self._joint.T)
        return float(self.values[self.pool.layout.loss].sum())

    def quantities(self, classifier_sees: str) -> tuple[float, float, float]:
        """E d, H(Y|U) and that loss."""
        return self.distortion, self.rate, self.loss(classifier_sees)


@dataclass(frozen=True, eq=False)
class MapProgram:
    """Minimise a linear form subject to linear forms (rows of ``forms``) being at most ``limits`` (inf: free)."""

    workshop: Workshop
    objective: FloatArray
    forms: FloatArray
    limits: FloatArray

    def solve(
        self,
        *,
        tol: float,
        cutoff: float = math.inf,
        enough: float = -math.inf,
        penalty: float = 1e3,
        start: Indices | None = None,
        only: Indices | None = None,
    ) -> ProgramPoint:
        """Generate maps until the gap is ``tol``, the bound reaches ``cutoff`` or the value ``enough``.

        ``start`` are maps to begin with: those of a similar program, or the whole pool if None. With ``only``,
        those maps are all there is.
        """
        shop = self.workshop
        shop.programs += 1
        master = Master(shop.targets, self.limits, penalty)
        master.add(self.laws())
        if self.objective[shop.layout.shares].any() or self.forms[:, shop.layout.shares].any():
            units = np.eye(shop.layout.size)[shop.layout.shares]
            zero = np.zeros((len(units), len(shop.targets)))
            master.add(Columns(units @ self.objective, zero, units @ self.forms.T, range(-len(units), 0)))
        master.add(self.columns(shop.constants))
        if only is not None:
            master.add(self.columns(only))
            point = master.solve()
            return ProgramPoint(self, master, Generated(point, -math.inf, point.duals, 0, "restricted"))
        master.add(self.columns(np.arange(len(shop.pool)) if start is None else start))
        ended = generate(master, self.oracle, tol=tol, cutoff=cutoff, enough=enough, stop=lambda: shop.late)
        if ended.reason == INTERRUPTED:
            shop.interrupt()
        return ProgramPoint(self, master, ended)

    def columns(self, maps: Indices) -> Columns:
        """Maps of the pool as columns of this program."""
        pool = self.workshop.pool
        values = pool.values[maps]
        equalities = self.workshop.equalities(maps)
        return Columns(values @ self.objective, equalities, values @ self.forms.T, maps.tolist())

    def laws(self) -> Columns:
        """Laws that the average of the maps may have, as columns: they come after those of the shares."""
        shop, laws = self.workshop, np.array(self.workshop.averages).reshape(-1, self.workshop.problem.m)
        rows = np.hstack([-laws, np.zeros((len(laws), 1))])
        names = range(-shop.problem.m - 1, -shop.problem.m - 1 - len(laws), -1)
        nothing = np.zeros((len(laws), len(shop.targets)))
        return Columns(nothing[:, 0], rows if len(laws) else nothing, np.zeros((len(laws), len(self.forms))), names)

    def lagrangian(self, duals: Duals) -> FloatArray:
        """Objective plus multipliers times forms."""
        return np.asarray(self.objective + duals.budgets @ self.forms)

    def oracle(self, duals: Duals) -> Priced:
        """The Lagrangian bound at these duals (−inf if it was not computed), and maps of small reduced cost."""
        shop, p = self.workshop, self.workshop.problem
        form = self.lagrangian(duals)
        slopes = form[shop.layout.joint].reshape(p.m, p.k)
        nu = shop.nu(duals)
        linear = p.px[:, None] * (form[1] * p.d + p.ps_given_x @ slopes.T - nu)
        gamma, turn = form[shop.layout.loss], shop.pricings
        shop.pricings += 1
        if shop.pricing.work > _SLOW:
            columns = self.columns(shop.pool.add(shop.moves.least(linear, form[0], gamma, _MAPS_PER_PRICING, turn)))
            found = columns.reduced_costs(duals).min() < -_WORTH_ADDING
            shop.hurried |= not found and shop.exact and not shop.has_time
            if found or not shop.has_time:
                return Priced(-math.inf, columns)
        least, maps = shop.least(linear, form[0], gamma, turn)
        paid = [-mu * b for mu, b in zip(duals.budgets, self.limits, strict=True) if mu > 0]
        # A share is at most H(S), which pays for coefficients that are below zero by rounding.
        shares = p.entropy_s * float(np.minimum(form[shop.layout.shares], 0.0).sum())
        bound = math.fsum([shop.average(nu), least, shares, *paid])
        return Priced(bound, self.columns(shop.pool.add(maps)).joined(self.laws()))


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
        """The most by which a limit is exceeded."""
        return float(self.ended.point.overrun.max(initial=0.0))

    @cached_property
    def maps(self) -> Indices:
        """Maps of the master worth handing on: those of least reduced cost."""
        columns = self.master.columns
        payloads = np.array(columns.payloads)[np.argsort(columns.reduced_costs(self.ended.point.duals), kind="stable")]
        return np.asarray(payloads[payloads >= 0][:_HANDED_ON])

    @property
    def shares(self) -> FloatArray:
        """z, shape (m,), of a program that has shares."""
        m, places = self.program.workshop.problem.m, self.ended.point.columns.payloads
        return np.array([self.ended.point.weights[places.index(y - m)] for y in range(m)])

    @cached_property
    def mixture(self) -> Mixture:
        """The maps in use, with weights that meet the masses to rounding."""
        weights = self.master.polished(self.ended.point)
        payloads = np.array(self.ended.point.columns.payloads)
        used = (weights > 0) & (payloads >= 0)
        return Mixture(self.program.workshop.pool, payloads[used], weights[used])
