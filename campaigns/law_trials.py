"""Bounds over all laws of Y against points that share no code with them: ``python -m campaigns.law_trials --n 1000``.

A trial draws a small problem, a law (free, or near a target in one of eight divergences), what the classifier sees and
what is minimised, takes budgets from a random channel, and asks for the answer. Points come from sequential quadratic
programming from many starts, with budgets a hair inside, and from a grid of channels; whatever meets the budgets by
the definitions below must not lie below the bound.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import entr, rel_entr

import drcopt
from drcopt import Perception, Problem, words
from drcopt.support import clock

KINDS = ("free", "tv", "kl", "reverse-kl", "chi2", "reverse-chi2", "hellinger", "renyi", "wasserstein")
#: How far inside their budgets the quadratic programs aim.
INSIDE = 1e-7


def divergence(kind: str, q: np.ndarray, t: np.ndarray) -> float:
    """φ(q, t) by its definition, nats; Rényi's of order 2, and a step from letter to letter costs Wasserstein 1."""
    with np.errstate(all="ignore"):
        if kind == "tv":
            return 0.5 * float(np.abs(q - t).sum())
        if kind in ("kl", "reverse-kl"):
            return float(rel_entr(q, t).sum() if kind == "kl" else rel_entr(t, q).sum())
        if kind == "chi2":
            return float(((q - t) ** 2 / t).sum())
        if kind == "reverse-chi2":
            return float(((q - t) ** 2 / q).sum())
        if kind == "hellinger":
            return 1.0 - float(np.sqrt(q * t).sum())
        if kind == "renyi":
            return math.log(float((t * t / q).sum()))
    return float(np.abs(np.cumsum(q - t)).sum())


def steepness(kind: str, q: np.ndarray, t: np.ndarray) -> np.ndarray:
    """∂φ/∂q (m,), at positive q."""
    forms = {
        "tv": lambda: 0.5 * np.sign(q - t),
        "kl": lambda: np.log(q / t) + 1.0,
        "reverse-kl": lambda: -t / q,
        "chi2": lambda: 2.0 * (q - t) / t,
        "reverse-chi2": lambda: 1.0 - (t / q) ** 2,
        "hellinger": lambda: -0.5 * np.sqrt(t / q),
        "renyi": lambda: -((t / q) ** 2) / float((t * t / q).sum()),
        "wasserstein": lambda: np.cumsum(np.sign(np.cumsum(q - t))[::-1])[::-1],
    }
    return np.asarray(forms[kind]())


def quantities(problem: Problem, K: np.ndarray) -> np.ndarray:
    """E d, I(X;Y) and H(S|Y) of channels (..., n, m), in nats."""
    P = problem.px[:, None] * K
    q = P.sum(axis=-2)
    T = np.swapaxes(problem.ps_given_x.T @ P, -1, -2)
    rate = entr(q).sum(axis=-1) - (problem.px[:, None] * entr(K)).sum(axis=(-1, -2))
    return np.stack([(P * problem.d).sum(axis=(-1, -2)), rate, entr(T).sum(axis=(-1, -2)) - entr(q).sum(axis=-1)])


def slopes(problem: Problem, K: np.ndarray) -> np.ndarray:
    """∂ of each by K (n, m), where K need not sum to 1 in every row, (3, n, m)."""
    px, W, q = problem.px[:, None], problem.ps_given_x, problem.px @ K
    T = W.T @ (px * K)
    return np.stack([px * problem.d, px * np.log(K / q), px * (np.log(q) - W @ np.log(T))])


class Trial:
    """One question with budgets that some channel meets."""

    def __init__(self, seed: int, sizes: tuple[int, int, int] | None = None) -> None:
        rng = self.rng = np.random.default_rng(seed)
        n, m, k = sizes or tuple(int(v) for v in rng.integers(2, 5, size=3))
        px, W = rng.dirichlet(np.full(n, 1.5)), 0.98 * rng.dirichlet(np.full(k, 0.5), size=n) + 0.02 / k
        d, t = rng.random((n, m)) + rng.random(m), 0.9 * rng.dirichlet(np.ones(m)) + 0.1 / m
        self.kind = KINDS[seed % len(KINDS)]
        self.objective = int(rng.integers(3))
        self.problem = Problem(px, None if self.kind == "free" else t, W, d)
        K = rng.dirichlet(np.full(m, rng.choice([0.3, 1.0])), size=n)
        self.ground, self.target = np.abs(np.subtract.outer(np.arange(m), np.arange(m))) * 1.0, t
        self.budgets = quantities(self.problem, K) + 1e-6
        self.limited = [i != self.objective and bool(rng.random() < 0.8) for i in range(3)]
        self.near = math.inf if self.kind == "free" else divergence(self.kind, px @ K, t) + 1e-6

    def solve(self, seconds: float, formulation: words.Formulation = "single-letter") -> drcopt.Solution:
        """The answer."""
        ask = (drcopt.solve, drcopt.min_rate, drcopt.min_classification_loss)[self.objective]
        pairs = zip("DRC", self.budgets, self.limited, strict=True)
        given = {name: float(b) for name, b, used in pairs if used}
        perception = None
        if self.kind != "free":
            ground = self.ground if self.kind == "wasserstein" else None
            perception = Perception(self.kind, self.near, ground=ground)
        kept = {"units": "nats", "time_limit": seconds, "on_failure": "return"}
        return ask(self.problem, perception=perception, formulation=formulation, **given, **kept)

    def met(self, K: np.ndarray) -> np.ndarray:
        """Values of the channels (N, n, m) that meet every budget."""
        found = quantities(self.problem, K)
        here: Any = np.ones(len(K), dtype=bool)
        for i in range(3):
            if self.limited[i]:
                here &= found[i] <= self.budgets[i]
        here = np.flatnonzero(here)
        values = found[self.objective][here]
        if self.kind == "free":
            return values
        order = np.argsort(values)[:200]  # the least of them that is near enough is what counts
        laws = self.problem.px @ K[here[order]]
        near = [divergence(self.kind, q, self.target) <= self.near for q in laws]
        return values[order][near]

    def grid(self, steps: int) -> np.ndarray:
        """All channels into two letters, (N, n, 2), on a grid."""
        axes = np.meshgrid(*[np.linspace(0.0, 1.0, steps)] * self.problem.n, indexing="ij")
        a = np.stack([axis.ravel() for axis in axes], axis=-1)
        return np.stack([a, 1.0 - a], axis=-1)

    def programs(self, starts: int) -> Iterator[np.ndarray]:
        """Channels where sequential quadratic programs end."""
        n, m = self.problem.n, self.problem.m

        def channel(v: np.ndarray) -> np.ndarray:
            K = np.maximum(v.reshape(n, m), 1e-15)
            return np.asarray(K / K.sum(axis=1, keepdims=True))

        def inside(v: np.ndarray) -> np.ndarray:
            return np.maximum(v.reshape(n, m), 1e-15)

        def value(v: np.ndarray, i: int) -> float:
            return float(quantities(self.problem, inside(v))[i])

        def slope(v: np.ndarray, i: int) -> np.ndarray:
            return np.ravel(slopes(self.problem, inside(v))[i])

        def law(v: np.ndarray) -> np.ndarray:
            return np.asarray(self.problem.px @ inside(v))

        def away(v: np.ndarray) -> np.ndarray:
            return np.ravel(np.outer(self.problem.px, steepness(self.kind, law(v), self.target)))

        limits: list[dict[str, Any]] = [
            {
                "type": "ineq",
                "fun": lambda v, i=i: self.budgets[i] - INSIDE - value(v, i),
                "jac": lambda v, i=i: -slope(v, i),
            }
            for i in range(3)
            if self.limited[i]
        ]
        rows = np.kron(np.eye(n), np.ones(m))
        limits.append({"type": "eq", "fun": lambda v: rows @ v - 1.0, "jac": lambda v: rows})
        if self.kind != "free":
            limits.append(
                {
                    "type": "ineq",
                    "fun": lambda v: self.near - INSIDE - divergence(self.kind, law(v), self.target),
                    "jac": lambda v: -away(v),
                }
            )
        for _ in range(starts):
            start = self.rng.dirichlet(np.full(m, self.rng.choice([0.3, 1.0])), size=n)
            with np.errstate(all="ignore"):
                answer = minimize(
                    value, start.ravel(), jac=slope, args=(self.objective,), method="SLSQP", constraints=limits,
                    bounds=[(0.0, 1.0)] * (n * m), options={"maxiter": 100, "ftol": 1e-10},
                )  # fmt: skip
            if np.isfinite(answer.x).all():
                yield channel(answer.x)


def trial(
    seed: int,
    seconds: float,
    starts: int,
    sizes: tuple[int, int, int] | None = None,
    formulation: words.Formulation = "single-letter",
) -> dict[str, Any]:
    """What a trial found: "below" is by how much a point lies below the bound, more than rounding a violation."""
    one = Trial(seed, sizes)
    answer = one.solve(seconds, formulation)
    channels = list(one.programs(starts))
    values = one.met(np.array(channels)) if channels else np.empty(0)
    if one.problem.m == 2 and one.problem.n <= 3:
        values = np.append(values, one.met(one.grid(201 if one.problem.n == 2 else 41)))
    best = float(values.min()) if len(values) else math.inf
    below = answer.lower_bound - best
    return {
        "seed": seed, "kind": one.kind, "objective": one.objective, "status": answer.status, "value": answer.value,
        "lower_bound": answer.lower_bound, "best": best, "below": below, "violation": below > 1e-12,
        "poorer": answer.value - best,
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials and say what they found; 1 if a point lay below a bound."""
    parser = argparse.ArgumentParser(prog="python -m campaigns.law_trials", description=__doc__)
    parser.add_argument("--n", type=int, default=20, help="trials (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="the first (default 0)")
    parser.add_argument("--starts", type=int, default=6, help="quadratic programs a trial (default 6)")
    parser.add_argument("--time-limit", type=float, default=1.0, help="seconds an answer may take (default 1)")
    parser.add_argument("--processor-time", action="store_true", help="limits in this process's seconds")
    kinds = ("single-letter", "time-sharing")
    parser.add_argument("--formulation", choices=kinds, default=kinds[0], help="a channel is a point of either")
    options = parser.parse_args(arguments)
    if options.processor_time:
        clock.now = time.process_time
    wrong, words, poorer = 0, {}, 0
    for seed in range(options.seed, options.seed + options.n):
        row = trial(seed, options.time_limit, options.starts, formulation=options.formulation)
        words[row["status"]] = words.get(row["status"], 0) + 1
        poorer += row["poorer"] > 1e-6
        if row["violation"]:
            wrong += 1
            print(row, flush=True)
    print(f"{options.n} trials from seed {options.seed}: {wrong} bounds above a point; {words}; "
          f"a better point than the answer's in {poorer}")  # fmt: skip
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
