"""Rate-constrained optimal transport by Newton's method on its smooth semi-dual.

  min ⟨c, P⟩  over P in Γ(px, py) with I(P) ≤ R and, optionally, ⟨ℓ, P⟩ ≤ L.

The optimal P has columns py(y)·p_y with p_y ∝ px exp((f − c − βℓ)/ε). Eliminating the column potentials
leaves a concave function of the row potentials f and the multipliers ε (rate) and β,

  Φ(f, ε, β) = f·px − εR − βL − ε Σ_y py(y) log Σ_x px exp((f − c − βℓ)/ε),

with ∂Φ/∂f = px − P1, ∂Φ/∂ε = I(P) − R, ∂Φ/∂β = ⟨ℓ, P⟩ − L, and Hessian −1/ε times the py-average of the
covariances under p_y of (e_x, −log p_y/px, −ℓ). Φ at any point is a lower bound on the optimum.
The rate equation is solved as log I = log R in log ε: I falls like 1/ε² at small rates, where that is linear.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy.linalg import LinAlgError
from scipy.special import logsumexp

from drcopt.engines.factors import backsolved, cholesky, rough_cholesky
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: The smallest ε visited, for a cost of range 1: potentials good to 1e-16 give P good to 1e-10 there.
LEAST_EPSILON = 1e-6

#: Kernel evaluations that a step down the path may take before a shorter one is tried.
_PATIENCE = 16
#: e to the least exponent that is taken seriously.
_SMALL = float(np.exp(np.full(16, -600.0)).min())


@dataclass(eq=False)
class State:
    """Potentials and multipliers, with what one evaluation of the kernel at them gives."""

    f: FloatArray
    epsilon: float
    beta: float
    P: FloatArray = field(repr=False)
    log_ratio: FloatArray = field(repr=False)
    rows: FloatArray
    row_error: FloatArray
    rate: float
    linear: float
    value: float

    @cached_property
    def error(self) -> float:
        """Sum of absolute row errors."""
        return float(np.abs(self.row_error).sum())


@dataclass(frozen=True, eq=False)
class Step:
    """A Newton step; ``z`` is √px Δf/ε and ``size`` a norm that does not depend on how the equations are scaled."""

    z: FloatArray
    f: FloatArray
    log_epsilon: float
    beta: float
    size: float


@dataclass(frozen=True, eq=False)
class Linearised:
    """Newton's equations at a state, factored once: they give its step, and good steps for states near it.

    The size of the step that they give at another state says how much nearer the solution that state is, in units
    in which the equations are well scaled however small ε is (the natural level function).
    """

    root: FloatArray
    budget: float
    at: State
    factor: FloatArray
    right: FloatArray
    solved: FloatArray
    moments: FloatArray
    fix_epsilon: bool
    fix_beta: bool

    def step(self, s: State, rate: float) -> Step:
        """Towards px = P1, log I = log R and ⟨ℓ, P⟩ = L from the residuals of ``s``."""
        root, epsilon = self.root, self.at.epsilon
        z = backsolved(self.factor, s.row_error / root)
        gradient = []
        if not self.fix_epsilon:
            gradient.append(self.at.rate * math.log(s.rate / rate) if s.rate > 0 else -rate)
        if not self.fix_beta:
            gradient.append(s.linear - self.budget)
        d_log = d_beta = spread = 0.0
        if gradient:
            M, target = self.left, np.array(gradient) - self.right.T @ z
            step = target / M[0] if len(M) == 1 else np.linalg.lstsq(M, target, rcond=1e-14)[0]
            z = z - self.solved @ step
            d_log = 0.0 if self.fix_epsilon else float(step[0])
            if not self.fix_beta:
                d_beta = epsilon * float(step[-1])
                spread = abs(float(step[-1])) * math.sqrt(max(float(self.moments[-1, -1]), 0.0))
        with np.errstate(over="ignore"):
            size = math.sqrt(float(z @ z)) + abs(d_log) + spread  # inf is what a hopeless step deserves
        return Step(z, epsilon * z / root, d_log, d_beta, size)

    @cached_property
    def left(self) -> FloatArray:
        """What the equations of the multipliers are once f is eliminated, a hair from singular at worst."""
        M = self.moments - self.right.T @ self.solved
        M.flat[:: len(M) + 1] += 1e-15 * np.abs(M.diagonal()) + 1e-300
        return np.asarray(M)

    def tangent(self) -> tuple[FloatArray, float]:
        """df and d log ε by d log R along the curve of solutions, β held; NaN where the rate does not depend on ε."""
        left = float(self.moments[0, 0] - self.right[:, 0] @ self.solved[:, 0])
        per = -self.at.rate / left if left > 0 else math.nan
        return -self.at.epsilon * per * self.solved[:, 0] / self.root, per

    def drift(self) -> FloatArray:
        """df/d log ε along the path of settled potentials."""
        return np.asarray(-self.solved[:, 0] * self.at.epsilon / self.root)


@dataclass(eq=False)
class Transport:
    """One instance: cost of shape (n, m) and, with ``linear`` ℓ of the same shape, a budget ``linear_budget``.

    ``evaluations`` counts kernel evaluations: passes of exp over the n×m array.
    """

    px: FloatArray
    py: FloatArray
    cost: FloatArray
    linear: FloatArray | None = None
    linear_budget: float = math.inf
    least_epsilon: float = LEAST_EPSILON
    evaluations: int = 0
    #: Where Newton's equations in f and ε were last set up.
    latest: Linearised | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.log_px, self.root = np.log(self.px), np.sqrt(self.px)

    def evaluate(self, f: FloatArray, epsilon: float, beta: float, rate: float) -> State:
        """One pass over the kernel."""
        self.evaluations += 1
        log_ratio = f[:, None] - self.cost
        if self.linear is not None and beta:
            log_ratio -= beta * self.linear
        log_ratio *= 1.0 / epsilon
        # Stable log-partition per column; columns of P then sum to py exactly.
        top = log_ratio.max(axis=0)
        log_ratio -= top
        P = np.maximum(log_ratio, -600.0)  # exp is slow where it underflows; what would, becomes 0
        np.exp(P, out=P)
        P -= _SMALL
        total = self.px @ P
        if not total.min() > 1e-250:  # the largest exponent sits on an atom of almost no mass
            log_total = logsumexp(log_ratio + self.log_px[:, None], axis=0)
            P = np.exp(log_ratio + self.log_px[:, None] - log_total)
            P *= self.py
        else:
            log_total = np.log(total)
            P *= self.px[:, None]
            P *= self.py / total
        log_ratio -= log_total
        information = float(np.vdot(P, log_ratio))
        linear = 0.0 if self.linear is None else float(np.vdot(P, self.linear))
        value = float(f @ self.px - epsilon * (self.py @ (top + log_total))) - epsilon * rate
        if self.linear is not None:
            value -= beta * self.linear_budget
        rows = P.sum(axis=1)
        return State(f, epsilon, beta, P, log_ratio, rows, self.px - rows, max(information, 0.0), linear, value)

    def linearise(self, s: State, *, fix_epsilon: bool, fix_beta: bool) -> Linearised:
        """Newton's equations at a state, factored."""
        root = self.root
        P, py = s.P, self.py
        # Scaled by 1/√px on both sides the matrix is I − KKᵀ: tiny atoms do no harm.
        K = P / root[:, None]
        K /= np.sqrt(py)
        diagonal = s.rows / self.px
        factor = rough_cholesky(K, diagonal, root)
        if factor is None:
            factor = cholesky(K, diagonal, root)
        columns = [] if fix_epsilon else [s.log_ratio]
        if not fix_beta and self.linear is not None:
            columns.append(self.linear)
        q, work = len(columns), K
        right, means, moments = np.empty((len(root), q)), [], np.empty((q, q))
        for j, a in enumerate(columns):
            Pa = np.multiply(P, a, out=work)
            mean = Pa.sum(axis=0) / py
            means.append(mean)
            right[:, j] = (P @ mean - Pa.sum(axis=1)) / root
            for i in range(j + 1):
                moments[i, j] = moments[j, i] = float(np.vdot(Pa, columns[i])) - float((py * means[i]) @ mean)
        solved = backsolved(factor, right) if q else right
        return Linearised(
            root, self.linear_budget, s, factor, right, solved, moments, fix_epsilon, fix_beta or self.linear is None
        )

    def solve(
        self, start: State, rate: float, tol: float, *, steps: int = 100, most: int = 10_000, hold_beta: bool = False
    ) -> State:
        """Damped Newton from ``start`` until the duality gap of the repaired point is about ``tol``.

        ``most`` limits kernel evaluations (roughly); ``hold_beta`` leaves the linear budget alone.
        """
        s = start
        rate = max(rate, 1e-300)
        most += self.evaluations
        for _ in range(steps):
            if self.miss(s, rate, hold_beta=hold_beta) <= tol or self.evaluations >= most or clock.expired():
                break
            # A slack linear budget with β = 0 stays out; otherwise its equation is solved.
            free = hold_beta or self.linear is None
            slack = free or (s.beta == 0.0 and s.linear <= self.linear_budget)
            trial = self._advance(s, rate, tol, fix_epsilon=False, fix_beta=slack, signed=not free)
            if trial is None:
                break
            s = trial
        return s

    def follow(
        self,
        rate: float,
        tol: float,
        start: State | None = None,
        *,
        floor: float = LEAST_EPSILON,
        settled: float = 1e-10,
    ) -> State:
        """Down the path of settled potentials, β held, until the rate is met or turns out slack, or ε is at ``floor``.

        The path starts at a large ε, or at ``start``. Its end (ε → 0) is an optimal-transport plan. On its
        support f(ε) is affine in ε up to terms that vanish exponentially, so f − ε f' is an optimal dual of the
        linear program long before ε underflows; where it closes the gap the state comes back with ε = 0.
        ``settled`` is the row error that counts as on the path.
        """
        s = self.settle(self.beginning(rate) if start is None else start, rate, settled)
        # Below the rate is where the path goes on from.
        while s.rate > rate and s.epsilon < 1e12 and not clock.expired():
            s = self.settle(self.evaluate(s.f, 2.0 * s.epsilon, s.beta, rate), rate, settled)
        factor = 0.4
        while s.rate < rate * (1 - 1e-13) and s.epsilon > floor and factor < 0.97 and not clock.expired():
            newton = self.linearised(s)
            drift = np.zeros_like(s.f) if newton is None else newton.drift()
            if s.epsilon < 0.1 and (end := self._at_zero(s, drift, tol)) is not None:
                return end
            trial = self.evaluate(s.f + math.log(factor) * drift, s.epsilon * factor, s.beta, rate)
            trial = self.settle(trial, rate, settled, most=_PATIENCE)
            if trial.error > max(1e-6, settled):
                factor = math.sqrt(factor)
                continue
            if trial.rate > rate:
                return self._bracket(s, trial, rate, tol)
            s, factor = trial, max(0.1, factor**1.2)
        return s

    def beginning(self, rate: float) -> State:
        """The path's start: at the ε that would meet the rate if the cost were Gaussian."""
        spread = self.cost - (self.cost @ self.py)[:, None] - self.px @ self.cost + self.px @ self.cost @ self.py
        size = math.sqrt(float(self.px @ spread**2 @ self.py))
        epsilon = min(max(size / math.sqrt(2.0 * max(rate, 1e-300)), LEAST_EPSILON), 1e12)
        return self.evaluate(self.cost @ self.py, epsilon, 0.0, rate)

    def _bracket(self, low: State, high: State, rate: float, tol: float) -> State:
        """Joint Newton from between two settled states, bisecting log ε where it does not converge."""
        for attempt in range(16):
            weight = 0.5
            if (
                attempt < 4 and 0 < low.rate < high.rate
            ):  # near the end of the path log I is flat in log ε: bisect there
                weight = min(max(math.log(rate / low.rate) / math.log(high.rate / low.rate), 0.1), 0.9)
            epsilon = math.exp((1 - weight) * math.log(low.epsilon) + weight * math.log(high.epsilon))
            s = self.settle(self.evaluate(low.f + weight * (high.f - low.f), epsilon, low.beta, rate), rate)
            answer = self.solve(s, rate, tol, most=_PATIENCE, hold_beta=True)
            if self.miss(answer, rate, hold_beta=True) <= 30 * tol:
                return answer
            low, high = (low, s) if s.rate > rate else (s, high)
            if abs(high.rate - low.rate) <= 1e-13 * rate or clock.expired():
                break
        return answer

    def linearised(self, s: State) -> Linearised | None:
        """Newton's equations in f and ε at a state; None where they are not positive definite."""
        try:
            return self.linearise(s, fix_epsilon=False, fix_beta=True)
        except LinAlgError:
            return None

    def _at_zero(self, s: State, drift: FloatArray, tol: float) -> State | None:
        """The state with ε = 0 if its dual value meets the transport cost of P up to ``tol``."""
        f = s.f - drift
        cost = self.cost if self.linear is None else self.cost + s.beta * self.linear
        value = float(f @ self.px + (cost - f[:, None]).min(axis=0) @ self.py)
        if float(np.einsum("xy,xy->", cost, s.P)) + s.error - value > tol:
            return None
        return replace(s, f=f, epsilon=0.0, value=value)

    def settle(self, s: State, rate: float, tol: float = 1e-10, *, most: int = 160) -> State:
        """Newton in f alone at fixed ε and β.

        With a Sinkhorn step where a row is off by a factor: there exp is far from linear.
        """
        most += self.evaluations
        errors = [math.inf] * 4
        while self.evaluations < most and s.error > tol and not clock.expired():
            if s.error > 0.5 * errors[-4] and s.error < 1e-7:
                break  # what is left is rounding
            errors.append(s.error)
            with np.errstate(divide="ignore"):
                off = np.log(self.px) - np.log(self.px - s.row_error)
            trial = self._advance(s, rate, tol, fix_epsilon=True, fix_beta=True) if np.abs(off).max() < 2.0 else None
            if trial is None:
                trial = self.evaluate(s.f + s.epsilon * np.clip(off, -50.0, 50.0), s.epsilon, s.beta, rate)
                if not math.isfinite(trial.value):
                    break
            s = trial
        return s

    def _advance(
        self, s: State, rate: float, tol: float, *, fix_epsilon: bool, fix_beta: bool, signed: bool = False
    ) -> State | None:
        """One damped Newton step, and further ones from the same factors while they are about to reach ``tol``.

        None if no length of step helps.
        """
        if clock.expired():
            return None
        try:
            newton = self.linearise(s, fix_epsilon=fix_epsilon, fix_beta=fix_beta)
            self.latest = self.latest if fix_epsilon else newton
            step = newton.step(s, rate)
        except (LinAlgError, ValueError):
            return None
        if not math.isfinite(step.size):
            return None
        length = min(1.0, 1.0 / max(abs(step.log_epsilon), 1e-300))
        before = self._merit(s, rate, fix_epsilon)
        slope = s.epsilon * float(step.z @ (s.row_error / self.root))
        # exp is linear over a few e-folds only: a step that fails is cut to that at once.
        reach = 8.0 * s.epsilon / max(float(np.abs(step.f).max()), 1e-300)
        for _ in range(6 if fix_epsilon else 12):
            if clock.expired():
                return None
            trial = self._moved(s, step, length, rate)
            shorter = 0.4 * length
            if math.isfinite(trial.value):
                less = self._merit(trial, rate, fix_epsilon) < (1 - 0.1 * length) * before
                rise = trial.value - s.value
                if signed:  # β ≥ 0 may come and go: the steps' sizes are no measure
                    if less:
                        return trial
                else:
                    after = newton.step(trial, rate)
                    less = less or after.size <= (1 - 0.25 * length) * step.size
                    # At fixed ε the dual value must rise.
                    if (less and (rise > -1e-14 or not fix_epsilon)) or (fix_epsilon and rise > 0.1 * length * slope):
                        break
                    bend = float(np.linalg.norm(after.z - (1 - length) * step.z))
                    bend += abs(after.log_epsilon - (1 - length) * step.log_epsilon)
                    shorter = length * min(max(0.5 * length * step.size / max(bend, 1e-300), 0.2), 0.5)
            if reach < shorter:
                shorter, reach = reach, math.inf
            length = shorter
        else:
            return None
        # With the old factors the error falls by a constant, about twice the first step's: worth up to two passes.
        while length == 1.0 and after.size * min(2 * after.size / step.size, 1.0) ** 2 <= tol:
            if (trial.error if fix_epsilon else self.miss(trial, rate, hold_beta=True)) <= tol:
                break
            again = self._moved(trial, after, 1.0, rate)
            if not math.isfinite(again.value):
                break
            step, after = after, newton.step(again, rate)
            if not after.size < 0.5 * step.size:
                break
            trial = again
        return trial

    def _moved(self, s: State, step: Step, length: float, rate: float) -> State:
        epsilon = max(s.epsilon * math.exp(length * step.log_epsilon), self.least_epsilon)
        return self.evaluate(s.f + length * step.f, epsilon, max(0.0, s.beta + length * step.beta), rate)

    def miss(self, s: State, rate: float, *, hold_beta: bool = False) -> float:
        """About how much the repaired point of this state costs above Φ (for a cost of range 1)."""
        # Rate to spare costs ε; rate overspent is bought back by mixing with the independent coupling, far dearer.
        over = s.rate - rate
        miss = s.error + (max(s.epsilon, 0.3 / max(rate, 1e-300)) * over if over > 0 else -s.epsilon * over)
        if self.linear is not None and not hold_beta:
            spare = self.linear_budget - s.linear
            miss += abs(s.beta * spare) + max(-spare, 0.0)
        return miss

    def _merit(self, s: State, rate: float, fix_epsilon: bool) -> float:
        merit = s.error
        if not fix_epsilon:
            merit += abs(math.log(max(s.rate, 1e-300) / rate)) * min(s.epsilon * rate, 1.0)
            if self.linear is not None and (s.beta or s.linear > self.linear_budget):
                merit += abs(s.linear - self.linear_budget)
        return merit
