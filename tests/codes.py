"""Small one-shot problems, and every map of them."""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy.optimize import linprog

from drcopt import Problem, information
from drcopt.engines.base import Limits, Proposal
from drcopt.engines.one_shot import OneShotEngine
from drcopt.formulations import OneShot
from drcopt.formulations.one_shot import map_coupling
from drcopt.support import clock


def random_problem(seed: int, n: int, m: int, k: int = 2, classes: str = "random") -> Problem:
    rng = np.random.default_rng([seed, n, m, k])
    W = rng.dirichlet(np.full(k, 0.7), n)
    if classes == "certain":
        W = np.eye(k)[rng.integers(k, size=n)]
    elif classes == "useless":
        W = np.tile(W[:1], (n, 1))
    d = rng.random((n, m))
    return Problem(rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m)), W, d / d.max())


def every_map(n: int, m: int) -> np.ndarray:
    return np.array(list(itertools.product(range(m), repeat=n)))


class Enumeration:
    """Cost, rate, H(S|f(X)) and column masses of every map, and linear programs over them."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.maps = problem, every_map(problem.n, problem.m)
        couplings = [map_coupling(problem, f) for f in self.maps]
        self.masses = np.array([P.sum(axis=0) for P in couplings])
        self.cost = np.array([problem.distortion(P) for P in couplings])
        self.rate = np.array([information.entropy(mass) for mass in self.masses])
        self.loss = np.array([problem.classification_loss(P) for P in couplings])

    def least(self, objective: np.ndarray, rate: float, loss: float) -> float:
        answer = linprog(
            objective,
            A_ub=[self.rate, self.loss],
            b_ub=[min(rate, 50.0), min(loss, 50.0)],
            A_eq=self.masses.T,
            b_eq=self.problem.py,
            method="highs-ds",
            options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
        )
        return float(answer.fun) if answer.status == 0 else math.inf


def ask(formulation: OneShot, tol: float = 1e-10, seconds: float = 20.0) -> Proposal:
    return OneShotEngine().propose(formulation, Limits(tol, clock.now() + seconds))
