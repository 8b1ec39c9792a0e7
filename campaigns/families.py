"""Questions of every family that has broken a solver, the same for the same seed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

import drcopt
from drcopt import information

FloatArray = np.ndarray


@dataclass(frozen=True, eq=False)
class Instance:
    """A question: arrays, budgets in nats (inf: none) and formulation."""

    family: str
    seed: int
    px: FloatArray
    py: FloatArray
    W: FloatArray
    d: FloatArray
    R: float
    C: float
    formulation: str = "single-letter"
    classifier_sees: str = "Y"

    def problem(self) -> drcopt.Problem:
        return drcopt.Problem(self.px, self.py, self.W, self.d)


Arrays = tuple[FloatArray, FloatArray, FloatArray, FloatArray]


def _arrays(rng: np.random.Generator) -> Arrays:
    n, m, k = (int(v) for v in (rng.choice([2, 2, 2, 3, 4]), rng.choice([2, 2, 2, 3, 4]), rng.choice([2, 2, 3])))
    d = rng.random((n, m))
    if rng.random() < 0.3:
        d = 1.0 - np.eye(n, m)
    return rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m)), rng.dirichlet(np.full(k, 0.6), size=n), d


def _with_zeros(rng: np.random.Generator, a: Arrays) -> Arrays:
    px, py, W, d = a
    px, py = np.append(px, 0.0), np.insert(py, rng.integers(len(py)), 0.0)
    d = rng.random((len(px), len(py)))
    return px, py, np.vstack([W, np.eye(W.shape[1])[0]]), d


def _with_tiny_atoms(rng: np.random.Generator, a: Arrays) -> Arrays:
    px, py, W, d = a
    for p in (px, py)[: 1 + rng.integers(2)]:
        p[rng.integers(len(p))] = 10.0 ** -rng.choice([12, 17, 40, 150, 300])
    return px / px.sum(), py / py.sum(), W, d


def _one_point(rng: np.random.Generator, a: Arrays) -> Arrays:
    p = a[rng.integers(2)]
    p[:] = np.eye(len(p))[rng.integers(len(p))]
    return a


def _deterministic(rng: np.random.Generator, a: Arrays) -> Arrays:
    px, py, W, d = a
    return px, py, np.eye(W.shape[1])[rng.integers(W.shape[1], size=len(W))], d


def _equal_rows(rng: np.random.Generator, a: Arrays) -> Arrays:
    px, py, W, d = a
    return px, py, W[rng.integers(max(1, len(W) - 1), size=len(W))], d


def _useless(rng: np.random.Generator, a: Arrays) -> Arrays:
    px, py, W, d = a
    return px, py, np.repeat(W[:1], len(W), axis=0), d


def _constant(rng: np.random.Generator, a: Arrays) -> Arrays:
    px, py, W, d = a
    return px, py, W, np.full(d.shape, rng.choice([0.0, 1.0, 0.3]))


def _thin(rng: np.random.Generator, a: Arrays) -> Arrays:
    px, py, W, d = a
    if rng.random() < 0.5:
        return np.ones(1), py, W[:1], d[:1]
    return px, np.ones(1), W, d[:, :1]


def _invertible(rng: np.random.Generator, a: Arrays) -> Arrays:
    """Half of the time X and Y have one law, and Y = X meets C = H(S|X)."""
    px, _, W, d = a
    return (px, px.copy(), W, rng.random((len(px), len(px)))) if rng.random() < 0.5 else a


def _scaled(rng: np.random.Generator, a: Arrays) -> Arrays:
    px, py, W, d = a
    return px, py, W, d * 10.0 ** rng.uniform(-8, 8) + rng.choice([0.0, 0.0, 1.0, 1e3])


def _same(rng: np.random.Generator, a: Arrays) -> Arrays:
    return a


def _weak_label(rng: np.random.Generator, a: Arrays) -> Arrays:
    """Rows of p(s|x) that differ by λ, or groups of letters that do, so that H(S) − H(S|X) is of the order λ²."""
    px, py, W, d = a
    label = 10.0 ** -rng.uniform(1, 8)
    if rng.random() < 0.4:  # two classes of letters, and d that is indifferent to them
        px, py = (np.full(4, 0.25), np.full(2, 0.5)) if rng.random() < 0.5 else (rng.dirichlet([2] * 4), py)
        py = py if len(py) == 2 else rng.dirichlet([1, 1])
        W = np.array([[0.5 + label, 0.5 - label]] * 2 + [[0.5 - label, 0.5 + label]] * 2)
        return px, py, W, np.array([[0.0, 1.0], [1.0, 0.0]] * 2) if rng.random() < 0.5 else rng.random((4, 2))
    W = (1.0 - label) * rng.dirichlet(np.ones(W.shape[1])) + label * W
    return px, py, W, d


def _outlier(rng: np.random.Generator, a: Arrays) -> Arrays:
    """One or two costs that stand for pairs that must not happen."""
    d = a[3].copy()
    for _ in range(rng.integers(1, 3)):
        d[rng.integers(d.shape[0]), rng.integers(d.shape[1])] = 10.0 ** rng.uniform(3, 32)
    return *a[:3], d


def _subnormal(rng: np.random.Generator, a: Arrays) -> Arrays:
    """One or two masses, of letters or of classes, that doubles barely hold; their sum is not divided out again."""
    px, py, W, d = (v.copy() for v in a)
    rows = [px, py, W[rng.integers(len(W))]]
    for row in rng.permutation(3)[: rng.integers(1, 3)]:
        p = rows[row]
        at = rng.integers(len(p))
        p[at] = 0.0
        p /= p.sum()
        p[at] = rng.choice([5e-324, 1e-323, 3e-320, 1e-310, 2.3e-308, 1e-300, 1e-200])
    return px, py, W, d


#: Counts of x (rows) by s. Hair and eyes: Snee 1974, men and women; Titanic: class and survival, Dawson 1995; Berkeley:
#: department and admission of men, Bickel et al. 1975; Caithness: eyes and hair, Fisher 1940; eyesight: right and left
#: eye of women, Stuart 1953; lung: smoking and cancer, Doll and Hill 1950; tea: Fisher 1935; iris: species read by a
#: linear discriminant and true, Fisher 1936.
COUNTS: dict[str, tuple[tuple[int, ...], ...]] = {
    "hair and eyes, men": ((32, 11, 10, 3), (53, 50, 25, 15), (10, 10, 7, 7), (3, 30, 5, 8)),
    "hair and eyes, women": ((36, 9, 5, 2), (66, 34, 29, 14), (16, 7, 7, 7), (4, 64, 5, 8)),
    "Titanic": ((203, 122), (118, 167), (178, 528), (212, 673)),
    "Berkeley": ((512, 313), (353, 207), (120, 205), (138, 279), (53, 138), (22, 351)),
    "Caithness": ((326, 38, 241, 110, 3), (688, 116, 584, 188, 4), (343, 84, 909, 412, 26), (98, 48, 403, 681, 85)),
    "eyesight": ((1520, 266, 124, 66), (234, 1512, 432, 78), (117, 362, 1772, 205), (36, 82, 179, 492)),
    "lung": ((1350, 1296), (7, 61)),
    "tea": ((3, 1), (1, 3)),
    "iris": ((50, 0, 0), (0, 48, 1), (0, 2, 49)),
}


def _real(rng: np.random.Generator, a: Arrays) -> Arrays:
    """A table of counts: X its rows, S its columns; Y has its law, an even one, or that of the other table of hair."""
    name = str(rng.choice(list(COUNTS)))
    counts = np.array(COUNTS[name], dtype=np.float64)
    px, n = counts.sum(axis=1) / counts.sum(), len(counts)
    laws = [px.copy(), np.full(n, 1.0 / n), np.full(2, 0.5)]
    if name.startswith("hair"):
        other = np.array(COUNTS["hair and eyes, women"], dtype=np.float64).sum(axis=1)
        laws.append(other / other.sum())
    py = laws[rng.integers(len(laws))]
    place_x, place_y = np.linspace(0.0, 1.0, n), np.linspace(0.0, 1.0, len(py))
    d = 1.0 - np.eye(n, len(py)) if rng.random() < 0.5 else (place_x[:, None] - place_y) ** 2
    return px, py, counts / counts.sum(axis=1, keepdims=True), d


#: Name → what it does to random arrays. The first thirteen alone give the instances of before there were more.
FAMILIES: dict[str, Callable[[np.random.Generator, Arrays], Arrays]] = {
    "random": _same,
    "zero atoms": _with_zeros,
    "tiny atoms": _with_tiny_atoms,
    "one point": _one_point,
    "R above H": _same,
    "C = H(S|X)": _invertible,
    "C = H(S)": _same,
    "equal rows": _equal_rows,
    "deterministic W": _deterministic,
    "useless W": _useless,
    "constant d": _constant,
    "1xn, nx1": _thin,
    "scaled d": _scaled,
    "weak label": _weak_label,
    "near an edge": _invertible,
    "outlier cost": _outlier,
    "real table": _real,
    "subnormal mass": _subnormal,
}
FIRST = tuple(FAMILIES)[:13]


def instance(index: int, seed: int = 0, families: Sequence[str] = tuple(FAMILIES)) -> Instance:
    """The same for the same arguments; families take turns."""
    family = families[index % len(families)]
    rng = np.random.default_rng([seed, index])
    px, py, W, d = FAMILIES[family](rng, _arrays(rng))
    problem = drcopt.Problem(px, py, W, d)
    most, low, high = min(problem.entropy_x, problem.entropy_y), problem.entropy_s_given_x, problem.entropy_s
    R = float(rng.choice([math.inf, 0.0, 1e-6, *(most * rng.uniform(0.02, 1.0, size=6))]))
    # Most of the way to H(S), or few instances would be feasible.
    C = float(rng.choice([math.inf, math.inf, *(low + (high - low) * rng.beta(4, 1, size=5))]))
    if family == "R above H":
        R = most * float(rng.choice([1.0, 1.0 + 1e-15, 1.5, 10.0]))
    elif family == "C = H(S|X)":
        C = low
        R = math.inf if np.array_equal(px, py) else R
    elif family == "C = H(S)":
        C = high
    elif family == "weak label":
        R = R if rng.random() < 0.3 else math.inf
        C = float(rng.choice([high - 10.0 ** -rng.uniform(12, 16), high - (high - low) * rng.random(), C]))
    elif family == "near an edge":
        R = R if problem.n == problem.m == 2 and rng.random() < 0.5 else math.inf
        edges = [low, high, least_loss(problem, R)]
        C = max(edges[rng.integers(3)] + float(rng.choice([-1, 1])) * 10.0 ** -rng.uniform(12, 16), 0.0)
    formulation, sees = "single-letter", "Y"
    if rng.random() < 0.15:
        formulation = "time-sharing"
    elif rng.random() < 0.15:
        formulation, sees = "one-shot", str(rng.choice(["Y", "YU"]))
    return Instance(family, index, px, py, W, d, R, C, formulation, sees)


def least_loss(problem: drcopt.Problem, R: float = math.inf) -> float:
    """The least H(S|Y) (nats, to rounding) of two classes without R, or of two letters a side; H(S|X) otherwise."""
    if math.isfinite(R):
        found = [information.conditional_entropy(problem.ps_given_x.T @ P) for P in _farthest(problem, R)]
        return float(min(found))
    if problem.k != 2:
        return problem.entropy_s_given_x
    # H(S|Y) is concave, and the extreme laws of (S, Y) are those of letters sorted by class, cut up in any order of Y.
    order = np.argsort(problem.ps_given_x[:, 0])
    ends_x = np.append(0.0, np.cumsum(problem.px[order]))
    least = math.inf
    for letters in itertools.permutations(range(problem.m)):
        ends_y = np.append(0.0, np.cumsum(problem.py[list(letters)]))
        left, right = np.maximum(ends_x[:-1, None], ends_y[:-1]), np.minimum(ends_x[1:, None], ends_y[1:])
        P = np.maximum(right - left, 0.0)
        least = min(least, float(information.conditional_entropy(problem.ps_given_x[order].T @ P)))
    return least


def _farthest(problem: drcopt.Problem, R: float) -> list[FloatArray]:
    """The two couplings of two letters each that are farthest from independence within R."""
    found, corner = [], np.array([[1.0, -1.0], [-1.0, 1.0]])
    alone = problem.independent
    for end in (-min(alone[0, 0], alone[1, 1]), min(alone[0, 1], alone[1, 0])):
        inner, outer = 0.0, float(end)
        for _ in range(100):
            middle = 0.5 * (inner + outer)
            met = information.mutual_information(np.maximum(alone + middle * corner, 0.0)) <= R
            inner, outer = (middle, outer) if met else (inner, middle)
        found.append(np.maximum(alone + inner * corner, 0.0))
    return found
