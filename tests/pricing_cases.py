"""Random pricing problems of many kinds, and posteriors to hold the bounds against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import rel_entr, xlogy

from drcopt import Problem
from drcopt.bounds.posterior import whole_box
from drcopt.bounds.pricing import Priced, price
from drcopt.bounds.pricing.gibbs import gibbs

ALPHAS = (0.0, 1e-9, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0, 10.0, 1e3)


BETAS = (0.0, 1e-9, 1e-3, 0.1, 0.3, 1.0, 3.0, 10.0)


WIDTHS = (np.inf, np.inf, 0.5, 0.2, 0.05, 0.01, 1e-3, 1e-6, 1e-9, 0.0)


CHANNELS = ("random", "deterministic", "equal rows", "near rows", "useless", "sparse", "mixed")


@dataclass
class Case:
    problem: Problem
    cost: np.ndarray
    alpha: float
    beta: float
    box: np.ndarray
    inner: np.ndarray  # a posterior in the box for every letter, (m, n)

    @property
    def scale(self) -> float:
        """The largest number that φ is made of."""
        return max(float(np.abs(self.cost).max()) + self.alpha + self.beta, 1e-300)

    def price(self, tol: float = 0.0) -> Priced:
        return price(self.problem, self.cost, self.alpha, self.beta, self.box, tol=tol)

    def phi(self, y: int, p: np.ndarray) -> np.ndarray:
        tau = p @ self.problem.ps_given_x
        divergence = rel_entr(p, self.problem.px).sum(axis=-1)
        return p @ self.cost[:, y] + self.alpha * divergence - self.beta * xlogy(tau, tau).sum(axis=-1)


def channel(rng: np.random.Generator, kind: str, n: int, k: int) -> np.ndarray:
    W = rng.dirichlet(np.full(k, 0.6), size=n)
    if kind == "deterministic":
        return np.eye(k)[rng.integers(k, size=n)]
    if kind in ("equal rows", "near rows"):
        W = W[rng.integers(max(1, n // 2), size=n)]
        if kind == "near rows":
            W = W + rng.choice([1e-3, 1e-7, 1e-10, 1e-13, 1e-15]) * rng.random((n, k))
    elif kind == "useless":
        W = np.repeat(W[:1], n, axis=0)
    elif kind == "sparse":
        W = rng.random((n, k)) ** 40 + np.eye(k)[rng.integers(k, size=n)]
    elif kind == "line":
        share = np.append([0.0, 1.0], rng.random(n)).round(2)[:n, None]  # two letters, or more whose rows are collinear
        return (1.0 - share) * W[0] + share * W[-1]
    elif kind == "mixed":
        W[rng.random(n) < 0.5] = np.eye(k)[rng.integers(k)]
    return W / W.sum(axis=1, keepdims=True)


def case(
    seed: int,
    k: int,
    channels: tuple[str, ...] = CHANNELS,
    alphas: tuple[float, ...] = ALPHAS,
    widths: tuple[float, ...] = WIDTHS,
    atoms: bool = True,
) -> Case:
    rng = np.random.default_rng([seed, k])
    n, m = int(rng.integers(2, 7)), int(rng.integers(1, 4))
    px = rng.dirichlet(np.full(n, rng.choice([0.3, 1.0, 5.0]) if atoms else 5.0)).clip(1e-9)
    if atoms and rng.random() < 0.25:
        px[rng.integers(n)] = rng.choice([1e-12, 1e-17, 1e-60, 1e-300])
    W = channel(rng, str(rng.choice(channels)), n, k)
    problem = Problem(px / px.sum(), np.full(m, 1.0 / m), W, np.zeros((n, m)))
    cost = rng.normal(size=(n, m)) * rng.choice([1e-3, 1.0, 1.0, 10.0]) + rng.choice([0.0, 0.0, 5.0])
    if rng.random() < 0.15:
        cost = np.round(cost)  # ties
    box = whole_box(problem).copy()
    inner = rng.dirichlet(np.ones(n), size=m)
    width = float(rng.choice(widths))
    if np.isfinite(width):
        tau = inner @ problem.ps_given_x
        # Some faces move in, as branching leaves them; the others stay.
        here = rng.random((2, *tau.shape)) < 0.7
        box[..., 0] = np.where(here[0], np.maximum(box[..., 0], tau - width * rng.random(tau.shape)), box[..., 0])
        box[..., 1] = np.where(here[1], np.minimum(box[..., 1], tau + width * rng.random(tau.shape)), box[..., 1])
    return Case(problem, cost, float(rng.choice(alphas)), float(rng.choice(BETAS)), box, inner)


def reach(case: Case, y: int, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The farthest posteriors on the way from ``start`` (in the box of y) to ``end`` that are in it."""
    W, box = case.problem.ps_given_x, case.box[y]
    now = start @ W
    step = end @ W - now
    with np.errstate(all="ignore"):
        high = np.where(step > 0, (box[:, 1] - now) / step, np.inf)
        low = np.where(step < 0, (box[:, 0] - now) / step, np.inf)
    share = np.clip(np.nan_to_num(np.minimum(high, low).min(axis=-1), nan=0.0), 0.0, 1.0)[:, None]
    return (1.0 - share) * start + share * end


def rivals(case: Case, y: int, rng: np.random.Generator, count: int = 90, rounds: int = 12) -> np.ndarray:
    """Posteriors in the box of y with low φ."""
    problem, c = case.problem, case.cost[:, y]
    n, W, log_px = problem.n, problem.ps_given_x, np.log(problem.px)
    temperature = max(case.alpha, 1e-9)  # any posterior is a fair rival

    def cheapest(scores: np.ndarray) -> np.ndarray:
        return gibbs(scores - c, log_px, temperature)[0]

    size = max(case.alpha, case.beta, float(np.ptp(c)))
    slopes = rng.normal(size=(count, problem.k)) * size * 10.0 ** rng.uniform(-2, 1.5, size=(count, 1))
    blind = [rng.dirichlet(np.full(n, a), size=count // 3) for a in (0.2, 1.0)]
    P = np.concatenate([*blind, np.eye(n), problem.px[None], cheapest(slopes @ W.T)])
    P = reach(case, y, np.broadcast_to(case.inner[y], P.shape), P / P.sum(axis=1, keepdims=True))
    shares = np.array([0.0, 1e-3, 0.01, 0.1, 0.3, 0.6, 1.0])[:, None, None]
    for _ in range(rounds):
        Q = reach(case, y, P, cheapest(case.beta * np.log(np.maximum(P @ W, 1e-300)) @ W.T))
        line = (1.0 - shares) * P + shares * Q
        P = line[case.phi(y, line).argmin(axis=0), np.arange(len(P))]
    if problem.k == 2:
        P = np.concatenate([P, cheapest_at(case, y)])
    P = np.concatenate([P, case.inner[y : y + 1]])
    tau = P @ W
    # τ is known to its last digits only: on a face inside the range of W, a rival must be in by more than those.
    low = np.where(case.box[y, :, 0] > W.min(axis=0), case.box[y, :, 0] + 4e-16, -1.0)
    high = np.where(case.box[y, :, 1] < W.max(axis=0), case.box[y, :, 1] - 4e-16, 2.0)
    return P[((tau >= low) & (tau <= high)).all(axis=1)]


def cheapest_at(case: Case, y: int) -> np.ndarray:
    """For two classes: the posterior of least cost at each of many τ of the interval, its ends included."""
    w, box, c = case.problem.ps_given_x[:, 0], case.box[y], case.cost[:, y]
    low, high = max(box[0, 0], 1.0 - box[1, 1]), min(box[0, 1], 1.0 - box[1, 0])
    if not high > low or np.ptp(w) < 1e-9:
        return np.zeros((0, len(w)))
    near = np.geomspace(1e-12, 0.5, 20)
    target = low + (high - low) * np.concatenate([np.linspace(0.0, 1.0, 60), near, 1.0 - near])
    temperature = max(case.alpha, 1e-9)
    far = 50.0 * (np.ptp(c) + 700.0 * temperature) / np.ptp(w)
    below, above = np.full(len(target), -far), np.full(len(target), far)

    def posterior(slope: np.ndarray) -> np.ndarray:
        return gibbs(slope[:, None] * w - c, np.log(case.problem.px), temperature)[0]

    for _ in range(110):
        middle = 0.5 * (below + above)
        short = posterior(middle) @ w < target
        below, above = np.where(short, middle, below), np.where(short, above, middle)
    # Where the slope's last digit moves τ, the target lies between two posteriors.
    P, Q = posterior(below), posterior(above)
    gap = (Q - P) @ w
    share = np.clip(np.where(gap > 0, (target - P @ w) / np.where(gap > 0, gap, 1.0), 0.0), 0.0, 1.0)[:, None]
    return (1.0 - share) * P + share * Q
