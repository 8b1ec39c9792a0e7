"""What the rows of one sweep say about each other: the least value of anything falls where a budget is loosened.

A point meets every looser budget, a lower bound holds at every tighter one, and where nothing meets a budget nothing
meets a tighter one. The rows as they were solved stay what they are (a checkpoint holds those); only the table knows
all of them, so that no row depends on the order in which they were solved.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from drcopt.questions import QUANTITIES, quantity
from drcopt.sweeps import rows as columns

#: "optimal" for a row whose point or bound is another's: closer than this, relative to its value, as well.
_CLOSE = 1e-3

Row = Mapping[str, Any]


def agreed(rows: Sequence[Row], tolerance: float) -> list[dict[str, Any]]:
    """The rows, each with the best point of those with tighter budgets and the best bound of those with looser ones.

    All minimise the same. ``tolerance`` is the gap, in its unit, up to which a point is optimal. A point that may
    exceed its budgets ("near-feasible") serves no other row: its excess is not theirs. A row that failed (no bound at
    all) stays visible as such, unless a looser one is infeasible.
    """
    limits = columns.BUDGETS.values()
    budgets = np.array([[row.get(name, math.inf) for name in limits] for row in rows], dtype=np.float64)
    values = np.array([_finite(row["value"], math.inf) for row in rows])
    bounds = np.array([_finite(row["lower_bound"], -math.inf) for row in rows])
    met = np.array([row["status"] != "near-feasible" for row in rows])
    infeasible = np.array([row["status"] == "infeasible" for row in rows])
    answer = []
    for i, row in enumerate(rows):
        looser, tighter = (budgets >= budgets[i]).all(axis=1), (budgets <= budgets[i]).all(axis=1)
        tighter &= met
        tighter[i] = True
        new = dict(row)
        settling = np.flatnonzero(looser & infeasible)
        if len(settling) and values[i] == math.inf:
            if not infeasible[i]:
                new |= infeasible_as(rows[settling[0]])
        elif not infeasible[i] and bounds[i] > -math.inf:
            _improve(new, rows[_least(values, tighter)], rows[_least(-bounds, looser)], tolerance)
        answer.append(new)
    return answer


def infeasible_as(row: Row) -> dict[str, Any]:
    """The answer to a question with budgets no looser than those of a row that is infeasible."""
    return {
        **dict.fromkeys(columns.names("point", "slope"), math.nan),
        **dict.fromkeys(("value", columns.MEASURED[quantity(row["objective"])]), math.inf),
        "lower_bound": math.inf,
        "gap": 0.0,
        "status": "infeasible",
        "termination": f"infeasible already at {_named(row)}",
        "engine": row["engine"],
        **{name: row[name] for name in ("proved_lower_bound", "proved_distortion", "verified") if name in row},
    }


def _improve(new: dict[str, Any], tighter: Row, looser: Row, tolerance: float) -> None:
    """Give a row the point of one with tighter budgets and the bound of one with looser ones, where they are better."""
    optimal, own, why = new["status"] == "optimal", new["value"], [new["termination"]]
    sources = [new]
    if _finite(tighter["value"], math.inf) < _finite(new["value"], math.inf):
        new |= {name: tighter[name] for name in columns.names("point") if name in tighter}
        sources.append(dict(tighter))
        why.append(f"the point is that of {_named(tighter)}")
    value = new["value"]
    # A bound above a point contradicts it, and is left where it can be seen.
    if new["lower_bound"] < looser["lower_bound"] <= value * (1 + 1e-12) or (
        math.isnan(value) and looser["lower_bound"] > new["lower_bound"]
    ):
        new["lower_bound"] = looser["lower_bound"] if math.isnan(value) else min(looser["lower_bound"], value)
        if "proved_lower_bound" in looser:
            new["proved_lower_bound"] = looser["proved_lower_bound"]
        sources.append(dict(looser))
        why.append(f"the bound is that of {_named(looser)}")
    if len(sources) == 1:
        return
    new["gap"] = value - new["lower_bound"]
    new["termination"] = "; ".join(why)
    if "verified" in new:
        new["verified"] = "yes" if all(row["verified"] == "yes" for row in sources) else "no"
    if optimal or (new["status"] == "near-feasible" and value == own):
        return
    new |= dict.fromkeys(columns.names("slope"), math.nan)
    if not math.isnan(value):
        believed = new.get("verified", "yes") == "yes"
        new["status"] = "optimal" if believed and new["gap"] <= min(tolerance, _CLOSE * value) else "feasible"


def _least(values: np.ndarray, among: np.ndarray) -> int:
    """The place of the least of some values; where all of those are inf, still the place of one of them."""
    places = np.flatnonzero(among)
    return int(places[values[places].argmin()])


def _finite(value: float, otherwise: float) -> float:
    return float(value) if math.isfinite(value) else otherwise


def _named(row: Row) -> str:
    of = [(q.budget, row[columns.BUDGETS[q]]) for q in QUANTITIES if q.name != row["objective"]]
    P = row.get("perception_budget", math.inf)
    near = "" if math.isinf(P) else f"P = {P:.6g}, "
    return near + ", ".join(f"{letter} = {budget:.6g}" for letter, budget in of) + " bits"
