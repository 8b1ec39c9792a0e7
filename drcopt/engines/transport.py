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

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.special import logsumexp

from drcopt._check import FloatArray

#: The smallest ε visited, for a cost of range 1: potentials good to 1e-16 give P good to 1e-10 there.
LEAST_EPSILON = 1e-6


@dataclass(eq=False)
class State:
    """Potentials and multipliers, with what one evaluation of the kernel at them gives."""

    f: FloatArray
    epsilon: float
    beta: float
    P: FloatArray = field(repr=False)
    log_ratio: FloatArray = field(repr=False)
    row_error: FloatArray
    rate: float
    linear: float
    value: float

    @property
    def error(self) -> float:
        """Sum of absolute row errors."""
        return float(np.abs(self.row_error).sum())


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
    evaluations: int = 0

    def __post_init__(self) -> None:
        self.log_px = np.log(self.px)

    def evaluate(self, f: FloatArray, epsilon: float, beta: float, rate: float) -> State:
        """One pass over the kernel."""
        self.evaluations += 1
        log_ratio = f[:, None] - self.cost
        if self.linear is not None and beta:
            log_ratio -= beta * self.linear
        log_ratio /= epsilon
        # Stable log-partition per column; columns of P then sum to py exactly.
        top = log_ratio.max(axis=0)
        P = np.exp(log_ratio - top)
        P *= self.px[:, None]
        total = P.sum(axis=0)
        if not total.min() > 1e-250:  # the largest exponent sits on an atom of almost no mass
            norm = logsumexp(log_ratio + self.log_px[:, None], axis=0)
            P = np.exp(log_ratio + self.log_px[:, None] - norm)
            P *= self.py
        else:
            norm = top + np.log(total)
            P *= self.py / total
        log_ratio -= norm
        information = float(np.einsum("xy,xy->", P, log_ratio))
        linear = 0.0 if self.linear is None else float(np.einsum("xy,xy->", P, self.linear))
        value = float(f @ self.px - epsilon * (self.py @ norm)) - epsilon * rate
        if self.linear is not None:
            value -= beta * self.linear_budget
        return State(f, epsilon, beta, P, log_ratio, self.px - P.sum(axis=1), max(information, 0.0), linear, value)

    def direction(
        self, s: State, rate: float, *, fix_epsilon: bool, fix_beta: bool, drift: bool = False
    ) -> tuple[FloatArray, float, float]:
        """Newton step (Δf, Δ log ε, Δβ) towards px = P1, log I = log R and ⟨ℓ, P⟩ = L.

        With ``drift`` the first is df/d log ε along the path of settled potentials instead.
        """
        root = np.sqrt(self.px)
        P, py = s.P, self.py
        # Scaled by 1/√px on both sides the matrix is I − KKᵀ: tiny atoms do no harm.
        K = P / (root[:, None] * np.sqrt(py))
        H = -(K @ K.T)
        H.flat[:: len(H) + 1] += P.sum(axis=1) / self.px
        H += np.outer(root, root)  # the gauge f → f + const
        columns, gradient = [], []
        if drift:
            columns.append(-s.log_ratio)
        elif not fix_epsilon:
            columns.append(-s.log_ratio)
            gradient.append(s.rate * math.log(s.rate / rate) if s.rate > 0 else -rate)
        if not fix_beta and self.linear is not None:
            columns.append(-self.linear)
            gradient.append(s.linear - self.linear_budget)
        factor = _cholesky(H)
        rhs = np.empty((len(root), 1 + len(columns)))
        rhs[:, 0] = s.row_error / root
        means = []
        for j, a in enumerate(columns):
            Pa = P * a
            mean = Pa.sum(axis=0) / py
            means.append(mean)
            rhs[:, 1 + j] = (Pa.sum(axis=1) - P @ mean) / root
        solved = cho_solve(factor, rhs, check_finite=False)
        if drift:
            return -solved[:, 1] * s.epsilon / root, 0.0, 0.0
        q = len(columns)
        step = np.zeros(q)
        if q:
            M = np.empty((q, q))
            for i in range(q):
                for j in range(q):
                    covariance = np.einsum("xy,xy,xy->", P, columns[i], columns[j]) - (py * means[i]) @ means[j]
                    M[i, j] = covariance - rhs[:, 1 + i] @ solved[:, 1 + j]
            target = s.epsilon * np.array(gradient) - s.epsilon * rhs[:, 1:].T @ solved[:, 0]
            M[np.diag_indices(q)] += 1e-15 * np.abs(np.diag(M)) + 1e-300
            step = np.linalg.lstsq(M, target, rcond=1e-14)[0]
        df = (s.epsilon * solved[:, 0] - solved[:, 1:] @ step) / root
        steps = iter(step)
        d_log = 0.0 if fix_epsilon else float(next(steps)) / s.epsilon
        d_beta = float(next(steps)) if q > (0 if fix_epsilon else 1) else 0.0
        return df, d_log, d_beta

    def solve(self, start: State, rate: float, tol: float, *, steps: int = 100, hold_beta: bool = False) -> State:
        """Damped Newton from ``start`` until the duality gap of the repaired point is about ``tol``.

        ``hold_beta`` leaves the linear budget alone.
        """
        s = start
        rate = max(rate, 1e-300)
        for _ in range(steps):
            if self.miss(s, rate, hold_beta=hold_beta) <= tol:
                break
            # A slack linear budget with β = 0 stays out; otherwise its equation is solved.
            slack = hold_beta or self.linear is None or (s.beta == 0.0 and s.linear <= self.linear_budget)
            trial = self._advance(s, rate, fix_epsilon=False, fix_beta=slack)
            if trial is None:
                break
            s = trial
        return s

    def follow(self, rate: float, tol: float, start: State | None = None, floor: float = LEAST_EPSILON) -> State:
        """Down the path of settled potentials, β held, until the rate is met or turns out slack, or ε is at ``floor``.

        The path starts at a large ε, or at ``start``. Its end (ε → 0) is an optimal-transport plan. On its
        support f(ε) is affine in ε up to terms that vanish exponentially, so f − ε f' is an optimal dual of the
        linear program long before ε underflows; where it closes the gap the state comes back with ε = 0.
        """
        s = self._beginning(rate) if start is None else start
        while s.rate > rate and s.epsilon < 1e12:  # below the rate is where the path goes on from
            s = self.settle(self.evaluate(s.f, 2.0 * s.epsilon, s.beta, rate), rate)
        factor = 0.4
        while s.rate < rate * (1 - 1e-13) and s.epsilon > floor and factor < 0.97:
            drift = self._drift(s)
            if s.epsilon < 0.1 and (end := self._at_zero(s, drift, tol)) is not None:
                return end
            trial = self.settle(self.evaluate(s.f + math.log(factor) * drift, s.epsilon * factor, s.beta, rate), rate)
            if trial.error > 1e-6:
                factor = math.sqrt(factor)
                continue
            if trial.rate > rate:
                return self._bracket(s, trial, rate, tol)
            s, factor = trial, max(0.1, factor**1.2)
        return s

    def _beginning(self, rate: float) -> State:
        """A settled state at the ε that would meet the rate if the cost were Gaussian."""
        spread = self.cost - (self.cost @ self.py)[:, None] - self.px @ self.cost + self.px @ self.cost @ self.py
        size = math.sqrt(float(self.px @ spread**2 @ self.py))
        epsilon = min(max(size / math.sqrt(2.0 * max(rate, 1e-300)), LEAST_EPSILON), 1e12)
        return self.settle(self.evaluate(self.cost @ self.py, epsilon, 0.0, rate), rate)

    def _bracket(self, low: State, high: State, rate: float, tol: float) -> State:
        """Joint Newton from between two settled states, bisecting log ε where it does not converge."""
        for attempt in range(60):
            weight = 0.5
            if (
                attempt < 4 and 0 < low.rate < high.rate
            ):  # near the end of the path log I is flat in log ε: bisect there
                weight = min(max(math.log(rate / low.rate) / math.log(high.rate / low.rate), 0.1), 0.9)
            epsilon = math.exp((1 - weight) * math.log(low.epsilon) + weight * math.log(high.epsilon))
            s = self.settle(self.evaluate(low.f + weight * (high.f - low.f), epsilon, low.beta, rate), rate)
            answer = self.solve(s, rate, tol, steps=25, hold_beta=True)
            if self.miss(answer, rate, hold_beta=True) <= 30 * tol:
                return answer
            low, high = (low, s) if s.rate > rate else (s, high)
        return answer

    def _drift(self, s: State) -> FloatArray:
        """df/d log ε along the path."""
        try:
            return self.direction(s, 1.0, fix_epsilon=True, fix_beta=True, drift=True)[0]
        except LinAlgError:
            return np.zeros_like(s.f)

    def _at_zero(self, s: State, drift: FloatArray, tol: float) -> State | None:
        """The state with ε = 0 if its dual value meets the transport cost of P up to ``tol``."""
        f = s.f - drift
        cost = self.cost if self.linear is None else self.cost + s.beta * self.linear
        value = float(f @ self.px + (cost - f[:, None]).min(axis=0) @ self.py)
        if float(np.einsum("xy,xy->", cost, s.P)) + s.error - value > tol:
            return None
        return replace(s, f=f, epsilon=0.0, value=value)

    def settle(self, s: State, rate: float, *, steps: int = 40) -> State:
        """Newton in f alone at fixed ε and β.

        With a Sinkhorn step where a row is off by a factor: there exp is far from linear.
        """
        for _ in range(steps):
            if s.error <= 1e-10:
                break
            with np.errstate(divide="ignore"):
                off = np.log(self.px) - np.log(self.px - s.row_error)
            trial = self._advance(s, rate, fix_epsilon=True, fix_beta=True) if np.abs(off).max() < 2.0 else None
            if trial is None:
                trial = self.evaluate(s.f + s.epsilon * np.clip(off, -50.0, 50.0), s.epsilon, s.beta, rate)
                if not math.isfinite(trial.value):
                    break
            s = trial
        return s

    def _advance(self, s: State, rate: float, *, fix_epsilon: bool, fix_beta: bool) -> State | None:
        """One damped step, or None if no length of it helps."""
        try:
            df, d_log, d_beta = self.direction(s, rate, fix_epsilon=fix_epsilon, fix_beta=fix_beta)
        except (LinAlgError, ValueError):
            return None
        length = min(1.0, 1.0 / max(abs(d_log), 1e-300))
        before = self._merit(s, rate, fix_epsilon)
        for _ in range(4 if fix_epsilon else 12):
            epsilon = max(s.epsilon * math.exp(length * d_log), LEAST_EPSILON)
            beta = max(0.0, s.beta + length * d_beta)
            trial = self.evaluate(s.f + length * df, epsilon, beta, rate)
            if math.isfinite(trial.value):
                rise = trial.value - s.value
                if self._merit(trial, rate, fix_epsilon) < (1 - 0.1 * length) * before or (
                    rise > 1e-10 * (1.0 + abs(s.value)) and fix_epsilon
                ):
                    return trial
            length *= 0.4
        return None

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


def _cholesky(H: FloatArray) -> tuple[FloatArray, bool]:
    """Cholesky with the least shift that works: blocks of letters decouple when P becomes sparse."""
    diagonal = H.diagonal().copy()
    for shift in (1e-15, 1e-13, 1e-11, 1e-9):
        H.flat[:: len(H) + 1] = diagonal + shift
        try:
            factor: tuple[FloatArray, bool] = cho_factor(H, lower=True, check_finite=False)
            return factor
        except LinAlgError:
            continue
    raise LinAlgError("the Newton matrix is not positive definite")
