"""Local minima by an interior-point method from many couplings at once: points that no tangent of H(S|Y) reaches.

A convex-concave step asks for the tangent's budget, which is stronger than the true one: where both budgets bind there
may be no coupling that meets it and the rate as well, though one that meets the true budgets lies close by. Here both
budgets may be exceeded at a price τ for each nat (no start is too far off), every entry of the coupling is kept
positive, and

  F(P) = ⟨d, P⟩ − μ Σ log P + Σ_i ψ(c_i(P)),   ψ(c) = min { τe − μ log s − μ log e : c + s = e },  c = (I − R, H − C),

falls along primal-dual Newton steps over couplings, while μ is lowered. The arrays of all starts are one: a step of 16
starts costs little more than a step of one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from drcopt.coupling import round_onto_marginals
from drcopt.engines.descent import Descent
from drcopt.problem import Problem
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Entries of a coupling beyond which a step, cubic in them, is no longer cheap; and most steps.
MOST_ENTRIES, _STEPS = 64, 100
#: What a nat above a budget costs (d in [0, 1]); the first μ, in turns: a small one stays near its start, a
#: large one leads far from it; and the last.
_PRICE, _FIRST, _LAST = 30.0, (1e-2, 1e-1, 1e-3), 1e-9
#: Starts are mixed with so much of independence, at whose every entry logarithms are finite.
_INSET = 0.01
#: Steps end where the equations are met to so many times μ; a step may go so far towards where something is 0.
_MET, _TOWARDS = 10.0, 0.99
#: Halvings of a step, and how often in a row they may be in vain.
_HALVINGS, _VAIN = 12, 2
#: So much of β/P is added to the Hessian where a step is no descent; β W diag(1/T) Wᵀ is less than all of it.
_SHIFTS = (0.0, 0.03, 0.3, 1.0)
#: What counts as positive.
_LEAST = 1e-300


@dataclass(eq=False)
class _Batch:
    """Starts on their way: couplings (B, n·m), multipliers of their entries, of the budgets and of the marginals, μ,
    and how often in a row a step was in vain."""

    P: FloatArray
    z: FloatArray
    prices: FloatArray
    nu: FloatArray
    mu: FloatArray
    vain: FloatArray

    def take(self, some: np.ndarray) -> _Batch:
        """Some of them."""
        return _Batch(*(getattr(self, one.name)[some] for one in fields(self)))


@dataclass(frozen=True, eq=False)
class _Spent:
    """By how much couplings exceed the budgets (B, 2), the slopes of that (B, 2, n·m), and masses T (B, k, m)."""

    over: FloatArray
    slopes: FloatArray
    T: FloatArray


def local_minima(
    problem: Problem, rate: float, budget: float, starts: list[FloatArray], below: float = math.inf
) -> list[Descent]:
    """Local minima of E d with I ≤ rate and H(S|Y) ≤ budget, from joint pmfs; fewer than ``starts`` as a rule.

    Those that will hardly come ``below`` a value are given up on their way.

    They are on the marginals but for rounding, within the budgets, and carry their multipliers.
    """
    n, m = problem.n, problem.m
    if n * m > MOST_ENTRIES or not starts or clock.expired():
        return []
    return _Method(problem, rate, budget).run(starts, below)


class _Method:
    """One problem and its budgets."""

    def __init__(self, problem: Problem, rate: float, budget: float) -> None:
        n, m = problem.n, problem.m
        self.problem, self.limits = problem, np.array([rate, budget])
        self.d, self.log_independent = problem.d.ravel(), np.log(problem.independent.ravel())
        # One of the n + m sums follows from the rest.
        self.sums = np.concatenate([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])[:-1]
        outer = np.einsum("xs,ws->sxw", problem.ps_given_x, problem.ps_given_x)
        self.outer = outer.reshape(problem.k, n * n)

    def run(self, starts: list[FloatArray], below: float) -> list[Descent]:
        """See :func:`local_minima`."""
        problem = self.problem
        inside = [(1 - _INSET) * np.maximum(P, 0.0) + _INSET * problem.independent for P in starts]
        P = np.array([round_onto_marginals(one, problem.px, problem.py).ravel() for one in inside])
        mu = np.resize(_FIRST, len(P))
        spent = self._spent(P)
        batch = _Batch(P, mu[:, None] / P, _prices(spent.over, mu), np.zeros((len(P), len(self.sums))), mu, 0.0 * mu)
        found: list[Descent] = []
        for _ in range(_STEPS):
            error = self._error(batch, spent)
            met = error <= _MET * batch.mu
            ended = met & (batch.mu <= _LAST)
            found += [self._descent(batch, i) for i in np.flatnonzero(ended & (spent.over.max(axis=1) <= 0.0)).tolist()]
            # Were it a convex program, this would be a bound.
            least = batch.P @ self.d + _PRICE * np.maximum(spent.over, 0.0).sum(axis=1) - (len(self.d) + 4) * batch.mu
            on = ~(ended | (batch.vain >= _VAIN) | (met & (least > below)))
            if not on.any() or clock.expired():
                break
            batch = batch.take(on)
            spent = _Spent(spent.over[on], spent.slopes[on], spent.T[on])
            batch.mu = np.where(met[on], np.maximum(_LAST, np.minimum(0.2 * batch.mu, batch.mu**1.5)), batch.mu)
            spent = self._step(batch, spent)
        return found

    def _spent(self, P: FloatArray) -> _Spent:
        problem = self.problem
        logs = np.log(P) - self.log_independent
        cube = P.reshape(-1, problem.n, problem.m)
        T = problem.ps_given_x.T @ cube
        tau = np.log(T / problem.py)
        over = np.stack([(P * logs).sum(axis=1), -(T * tau).sum(axis=(1, 2))], axis=1) - self.limits
        return _Spent(over, np.stack([logs, (-problem.ps_given_x @ tau).reshape(P.shape)], axis=1), T)

    def _gradient(self, batch: _Batch, spent: _Spent) -> FloatArray:
        """That of the Lagrangian without the signs of P."""
        return np.asarray(self.d + batch.nu @ self.sums + np.einsum("bi,bij->bj", batch.prices, spent.slopes))

    def _error(self, batch: _Batch, spent: _Spent) -> FloatArray:
        """By how much a batch misses the equations of its μ."""
        mu, rest = batch.mu[:, None], _PRICE - batch.prices
        s, e = mu / _prices(spent.over, batch.mu), mu / _prices(-spent.over, batch.mu)
        off = [self._gradient(batch, spent) - batch.z, batch.z * batch.P - mu, batch.prices * s - mu, rest * e - mu]
        return np.asarray(np.max([np.abs(one).max(axis=1) for one in off], axis=0))

    def _value(self, P: FloatArray, over: FloatArray, mu: FloatArray) -> FloatArray:
        """F."""
        s, e = mu[:, None] / _prices(over, mu), mu[:, None] / _prices(-over, mu)
        return np.asarray(
            P @ self.d - mu * np.log(P).sum(axis=1) + (_PRICE * e - mu[:, None] * np.log(s * e)).sum(axis=1)
        )

    def _step(self, batch: _Batch, spent: _Spent) -> _Spent:
        """One for each of a batch, which changes in place."""
        N, mu = len(self.d), batch.mu[:, None]
        wanted, over = _prices(spent.over, batch.mu), spent.over
        s, e, rest = mu / wanted, mu / _prices(-over, batch.mu), _PRICE - batch.prices
        give = s / batch.prices + e / rest
        left = self._matrix(batch, spent, give)
        right = np.zeros(left.shape[:2])
        right[:, :N] = mu / batch.P - self._gradient(batch, spent)
        right[:, -2:] = s - mu / batch.prices + mu / rest - e
        steepest = self.d - mu / batch.P + np.einsum("bi,bij->bj", wanted, spent.slopes)
        step, slope = _descents(left, right, steepest, spent.slopes, give, batch.prices[:, 1:] / batch.P)
        dP, d_prices = step[:, :N], step[:, -2:]
        dz = mu / batch.P - batch.z - batch.z / batch.P * dP
        length = _most(batch.P, dP)
        dual = np.minimum(_most(batch.z, dz), np.minimum(_most(batch.prices, d_prices), _most(rest, -d_prices)))
        before = self._value(batch.P, over, batch.mu)
        for _ in range(_HALVINGS):
            P = np.maximum(batch.P + length[:, None] * dP, _LEAST)
            after = self._spent(P)
            value = self._value(P, after.over, batch.mu)
            good = value <= before + 1e-4 * length * slope + 1e-12 * np.maximum(np.abs(before), 1.0)
            if good.all():
                break
            length = np.where(good, length, 0.5 * length)
        batch.vain = np.where(good, 0.0, batch.vain + 1.0)
        batch.P = P
        batch.nu = batch.nu + length[:, None] * step[:, N:-2]
        batch.z = np.clip(batch.z + dual[:, None] * dz, 1e-10 * mu / P, 1e10 * mu / P)
        prices = np.where(good[:, None], batch.prices + dual[:, None] * d_prices, _prices(after.over, batch.mu))
        batch.prices = np.clip(prices, 1e-12, _PRICE * (1.0 - 1e-12))
        return after

    def _matrix(self, batch: _Batch, spent: _Spent, give: FloatArray) -> FloatArray:
        """Newton's equations in the steps of P, of the multipliers of the sums and of the prices."""
        n, m, b, q = self.problem.n, self.problem.m, len(batch.P), len(self.sums)
        N = n * m
        left = np.zeros((b, N + q + 2, N + q + 2))
        hessian = np.zeros((b, n, m, n, m))
        inverse = (batch.prices[:, 1, None, None] / spent.T).transpose(0, 2, 1)
        letters = (inverse @ self.outer).reshape(b, m, n, n)
        for y in range(m):  # −β W diag(1/T_y) Wᵀ; what the marginals fix has no slope
            hessian[:, :, y, :, y] = -letters[:, y]
        left[:, :N, :N] = hessian.reshape(b, N, N)
        diagonal = np.arange(N)
        left[:, diagonal, diagonal] += (batch.z + batch.prices[:, :1]) / batch.P
        left[:, :N, N:-2], left[:, N:-2, :N] = self.sums.T, self.sums
        left[:, :N, -2:], left[:, -2:, :N] = spent.slopes.transpose(0, 2, 1), spent.slopes
        left[:, [-2, -1], [-2, -1]] = -give
        return left

    def _descent(self, batch: _Batch, i: int) -> Descent:
        problem, nu = self.problem, batch.nu[i]
        P = batch.P[i].reshape(problem.n, problem.m)
        weights = (1.0, float(batch.prices[i, 0]), float(batch.prices[i, 1]))
        return Descent.at(P, -nu[: problem.n], weights, problem.classification_loss(P), 0)


def _descents(
    left: FloatArray, right: FloatArray, steepest: FloatArray, slopes: FloatArray, give: FloatArray, more: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Newton's steps, with as much of ``more`` added to the Hessian as makes each a descent of F, and F's slopes there.

    The inertia of the equations is not asked for: what counts is the curvature along the step.
    """
    b, N = more.shape
    diagonal = np.arange(N)
    step, slope, todo = np.zeros(right.shape), np.zeros(b), np.arange(b)
    for shift in _SHIFTS:
        matrix = left[todo]
        matrix[:, diagonal, diagonal] += shift * more[todo]
        try:
            x = np.linalg.solve(matrix, right[todo][:, :, None])[:, :, 0]
        except np.linalg.LinAlgError:
            x = np.zeros((len(todo), right.shape[1]))
        dP = x[:, :N]
        bend = np.einsum("bi,bij,bj->b", dP, matrix[:, :N, :N], dP)
        bend += (np.einsum("bij,bj->bi", slopes[todo], dP) ** 2 / give[todo]).sum(axis=1)
        falls = np.einsum("bj,bj->b", steepest[todo], dP)
        good = np.isfinite(x).all(axis=1) & (bend >= 0.0) & (falls < 0.0)
        step[todo[good]], slope[todo[good]] = x[good], falls[good]
        todo = todo[~good]
        if not len(todo):
            break
    return step, slope


def _prices(over: FloatArray, mu: FloatArray) -> FloatArray:
    """ψ'(c), between 0 and τ: the root of c = μ/(τ − ψ') − μ/ψ'. What it lacks of τ is the same for −c."""
    reach, u = -over * _PRICE, 2.0 * mu[:, None]
    # With either sign of c no difference of two like numbers.
    root = np.hypot(reach, u)
    return np.asarray(np.where(reach > 0, u * _PRICE / (reach + u + root), _PRICE * (1.0 - u / (root - reach + u))))


def _most(v: FloatArray, step: FloatArray) -> FloatArray:
    """How far to go, 1 at most, for v to stay positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.where(step < 0, -_TOWARDS * v / step, np.inf)
    return np.asarray(np.minimum(1.0, far.min(axis=1)))
