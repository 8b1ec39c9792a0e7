"""Tables and mixtures to draw."""

from __future__ import annotations

import math

import numpy as np

from drcopt.problem import Problem
from drcopt.solution import Component
from drcopt.tables import COLUMNS, TEXT_COLUMNS, frame

PROBLEM = Problem([0.7, 0.3], [0.6, 0.4], [[0.9, 0.1], [0.1, 0.9]])
R_GRID, C_GRID = [0.0, 0.25, 0.5, 0.75, 1.0], [0.6, 0.7, 0.8, 0.9]


def row(R, C, distortion, lower=None, status="optimal", formulation="single-letter", classifier_sees="Y"):
    values = {name: "" if name in TEXT_COLUMNS else math.nan for name in COLUMNS}
    return {
        **values,
        "formulation": formulation,
        "classifier_sees": classifier_sees,
        "rate_budget_bits": float(R),
        "classification_budget_bits": float(C),
        "distortion": float(distortion),
        "lower_bound": float(distortion if lower is None else lower),
        "status": status,
    }


def grid(**more):
    """A made-up sweep: R above 0.9 − C is feasible."""
    rows = []
    for C in [*C_GRID, math.inf]:
        for R in R_GRID:
            bad = R < 0.9 - C
            D = math.inf if bad else 0.4 * math.exp(-R) + 0.1 * (1 - min(C, 1))
            rows.append(row(R, C, D, status="infeasible" if bad else "optimal", **more))
    return frame(rows)


def component(weight, f=(0, 1)):
    P = np.zeros((2, 2))
    P[[0, 1], list(f)] = [0.7, 0.3]
    return Component(weight, P, np.array(f), 0.25, 0.5, 0.75)
