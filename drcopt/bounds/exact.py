"""Evidence where no choice is left: one coupling, whose distortion is the bound."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from drcopt._check import FloatArray
from drcopt.bounds.base import lowered
from drcopt.formulations import Formulation


@dataclass(frozen=True, eq=False)
class Independent:
    """With R = 0, or one letter on a side, X and Y are independent: E d = Σ px py d and H(S|Y) = H(S).

    ``objective`` says which of the two is bounded, "distortion" or "classification-loss".
    """

    objective: str = "distortion"

    def bound(self, formulation: Formulation) -> float:
        problem = formulation.problem
        if formulation.rate_budget > 0 and min(problem.n, problem.m) > 1:
            return -math.inf
        if self.objective == "classification-loss":
            return lowered(problem.entropy_s, problem.entropy_s + 1.0)  # a sum of masses is 1 to rounding
        terms = problem.independent * problem.d
        return lowered(math.fsum(np.ravel(terms)), float(problem.d.max()))

    def rescaled(self, scale: float, row_offset: FloatArray, column_offset: FloatArray) -> Independent:
        return self


@dataclass(frozen=True, eq=False)
class DataProcessing:
    """H(S|Y) ≥ H(S|X), since S - X - Y is a Markov chain: bounds the classification loss."""

    objective: str = "classification-loss"

    def bound(self, formulation: Formulation) -> float:
        value = formulation.problem.entropy_s_given_x
        return lowered(value, value + 1.0)  # a sum of masses is 1 to rounding

    def rescaled(self, scale: float, row_offset: FloatArray, column_offset: FloatArray) -> DataProcessing:
        return self
