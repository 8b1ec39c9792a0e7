"""Problems to try things on: every family that has broken a solver, by seed or as a Hypothesis strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from drcopt import Problem
from drcopt.distortion import hamming, squared_error

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def law(max_examples: int) -> settings:
    """Settings of a property: the same examples on every run, slow machines forgiven."""
    return settings(
        derandomize=True,
        deadline=None,
        max_examples=max_examples,
        phases=[Phase.explicit, Phase.generate],  # most examples are seeds: there is nothing to shrink
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


def arrays(rng: np.random.Generator, n: int, m: int, k: int) -> Arrays:
    """px, py, W, d without any structure."""
    return (
        rng.dirichlet(np.ones(n)),
        rng.dirichlet(np.ones(m)),
        rng.dirichlet(np.full(k, 0.6), size=n),
        rng.random((n, m)),
    )


def _random(rng: np.random.Generator, n: int, m: int, k: int) -> Arrays:
    return arrays(rng, n, m, k)


def _deterministic(rng: np.random.Generator, n: int, m: int, k: int) -> Arrays:
    px, py, _, d = arrays(rng, n, m, k)
    return px, py, np.eye(k)[rng.integers(k, size=n)], d


def _useless(rng: np.random.Generator, n: int, m: int, k: int) -> Arrays:
    px, py, W, d = arrays(rng, n, m, k)
    return px, py, np.repeat(W[:1], n, axis=0), d


def _equal_rows(rng: np.random.Generator, n: int, m: int, k: int) -> Arrays:
    px, py, W, d = arrays(rng, n, m, k)
    return px, py, W[rng.integers(max(1, n // 2), size=n)], d


def _zero_mass(rng: np.random.Generator, n: int, m: int, k: int) -> Arrays:
    px, py, W, d = arrays(rng, n, m, k)
    px[rng.integers(n)] *= float(n == 1)
    py[rng.integers(m)] *= float(m == 1)
    return px / px.sum(), py / py.sum(), W, d


def _tiny_atoms(rng: np.random.Generator, n: int, m: int, k: int) -> Arrays:
    px, py, W, d = arrays(rng, n, m, k)
    for p in (px, py):
        p[rng.integers(len(p))] = rng.choice([1e-12, 1e-17, 1e-60, 1e-300])
    return px / px.sum(), py / py.sum(), W, d


def _one_point(rng: np.random.Generator, n: int, m: int, k: int) -> Arrays:
    px, py, W, d = arrays(rng, n, m, k)
    side = px if rng.random() < 0.5 else py
    side[:] = np.eye(len(side))[rng.integers(len(side))]
    return px, py, W, d


def _large_d(rng: np.random.Generator, n: int, m: int, k: int) -> Arrays:
    px, py, W, d = arrays(rng, n, m, k)
    return px, py, W, 1e8 * d


def _small_d(rng: np.random.Generator, n: int, m: int, k: int) -> Arrays:
    px, py, W, d = arrays(rng, n, m, k)
    return px, py, W, 1e-8 * d


def _offset_d(rng: np.random.Generator, n: int, m: int, k: int) -> Arrays:
    px, py, W, d = arrays(rng, n, m, k)
    return px, py, W, 1e3 + d


def _constant_d(rng: np.random.Generator, n: int, m: int, k: int) -> Arrays:
    px, py, W, _ = arrays(rng, n, m, k)
    return px, py, W, np.full((n, m), rng.choice([0.0, 0.7]))


def _hamming(rng: np.random.Generator, n: int, m: int, k: int) -> Arrays:
    px, py, W, _ = arrays(rng, n, m, k)
    return px, py, W, hamming(n, m)


def _squared(rng: np.random.Generator, n: int, m: int, k: int) -> Arrays:
    px, py, W, _ = arrays(rng, n, m, k)
    return px, py, W, squared_error(np.arange(n), np.arange(m))


def _one_by_m(rng: np.random.Generator, n: int, m: int, k: int) -> Arrays:
    return arrays(rng, 1, m, k)


def _n_by_one(rng: np.random.Generator, n: int, m: int, k: int) -> Arrays:
    return arrays(rng, n, 1, k)


def _uniform(rng: np.random.Generator, n: int, m: int, k: int) -> Arrays:
    _, _, W, d = arrays(rng, n, m, k)
    return np.full(n, 1.0 / n), np.full(m, 1.0 / m), W, np.round(4.0 * d) / 4.0  # ties on every side


#: Name → generator of (px, py, W, d) for sizes n, m, k (the sizes that the family does not itself fix).
FAMILIES: dict[str, Callable[[np.random.Generator, int, int, int], Arrays]] = {
    "random": _random,
    "deterministic": _deterministic,
    "useless": _useless,
    "equal-rows": _equal_rows,
    "zero-mass": _zero_mass,
    "tiny-atoms": _tiny_atoms,
    "one-point": _one_point,
    "large-d": _large_d,
    "small-d": _small_d,
    "offset-d": _offset_d,
    "constant-d": _constant_d,
    "hamming": _hamming,
    "squared": _squared,
    "1-by-m": _one_by_m,
    "n-by-1": _n_by_one,
    "uniform": _uniform,
}


def make(family: str, seed: int, n: int, m: int, k: int) -> Problem:
    """One problem of a family; the same for the same arguments."""
    return Problem(*FAMILIES[family](np.random.default_rng([seed, n, m, k]), n, m, k))


@st.composite
def problems(draw: st.DrawFn, n: int = 4, m: int = 4, k: int = 3, families: Iterable[str] = tuple(FAMILIES)) -> Problem:
    """Problems of any family with up to n, m, k letters (two at least, but for the families 1×m and n×1)."""
    return make(
        draw(st.sampled_from(list(families))),
        draw(st.integers(0, 2**31)),
        draw(st.integers(2, n)),
        draw(st.integers(2, m)),
        draw(st.integers(2, k)),
    )


@st.composite
def couplings(draw: st.DrawFn, problem: Problem) -> np.ndarray:
    """A coupling of the problem's marginals: a random plan blended with the independent one."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    return blend(coupling(problem, rng), problem.independent, draw(st.floats(0.0, 1.0)))


def coupling(problem: Problem, rng: np.random.Generator) -> np.ndarray:
    """A vertex of Γ(px, py), exact to rounding: masses matched greedily in a random order."""
    P = np.zeros((problem.n, problem.m))
    left_x, left_y = problem.px.copy(), problem.py.copy()
    rows, columns = list(rng.permutation(problem.n)), list(rng.permutation(problem.m))
    while rows and columns:
        x, y = rows[0], columns[0]
        mass = min(left_x[x], left_y[y])
        P[x, y] += mass
        left_x[x] -= mass
        left_y[y] -= mass
        # Whichever line is full is done; on a tie the longer list gives way, so that neither ends early.
        if left_x[x] < left_y[y] or (left_x[x] == left_y[y] and len(rows) >= len(columns)):
            rows.pop(0)
        else:
            columns.pop(0)
    return P


def blend(P: np.ndarray, Q: np.ndarray, weight: float) -> np.ndarray:
    """weight·P + (1 − weight)·Q."""
    return weight * P + (1.0 - weight) * Q


def within_rate(problem: Problem, P: np.ndarray, rate: float) -> np.ndarray:
    """P mixed with the independent coupling until I ≤ rate (nats); I is convex, so a share of the excess does."""
    spent = problem.rate(P)
    for _ in range(60):
        if spent <= rate:
            break
        P = blend(P, problem.independent, 0.999 * rate / spent)
        spent = problem.rate(P)
    return P
