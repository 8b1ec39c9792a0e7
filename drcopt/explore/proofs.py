"""The answer that a proof file is about, for a page."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from drcopt.errors import InputError
from drcopt.explore import Answer
from drcopt.problem import Problem
from drcopt.questions import QUANTITIES, quantity
from drcopt.support.check import FloatArray
from drcopt.sweeps.surface_reading import array, double


def answer_of(data: Any, lower: float, upper: float) -> Answer:
    """From a file's contents that :func:`drcopt.checker.check` accepted, and the interval that it proved.

    Raises
    ------
    InputError
        If it is about the least perception.
    """
    objective = quantity(data["objective"].replace("-", "_"))
    if objective not in QUANTITIES:
        raise InputError(f"a proof to explore must not minimise the {objective.words}; this one does. Take another.")
    arrays = {name: None if rows is None else array(rows) for name, rows in data["problem"].items()}
    d = arrays["d"]
    assert d is not None
    py = np.full(d.shape[1], 1.0 / d.shape[1]) if arrays["py"] is None else arrays["py"]
    problem = Problem(arrays["px"], py, arrays["ps_given_x"], d)  # type: ignore[arg-type]
    names = [f"{q.name.split('_')[0]}_budget" for q in QUANTITIES]
    budgets = [math.inf if data.get(name, "inf") == "inf" else double(data[name]) for name in names]
    P: FloatArray | None = None
    if data["point"] is not None:
        total = sum(double(part["weight"]) for part in data["point"])
        P = np.zeros(d.shape)
        for part in data["point"]:
            found = np.zeros(d.shape)
            if "map" in part:
                found[np.arange(len(d)), part["map"]] = problem.px
            else:
                coupling = array(part["coupling"])
                np.add.at(found.T, part.get("letters", range(d.shape[1])), coupling.T)
            P += double(part["weight"]) / total * found
    infeasible = lower == math.inf
    status = "infeasible" if infeasible else "feasible"
    return Answer(problem, objective, budgets, lower, upper, P, data["formulation"], status)
