"""What Jupyter shows for a problem or a solution: small tables, every text escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

from drcopt import information
from drcopt.problem import Problem
from drcopt.solution import STATUSES, Solution


def solution_html(solution: Solution) -> str:
    """A solution as an HTML table."""
    units, unit = solution.units, solution.units.removesuffix("s")

    def within(value: float, budget: float) -> str:
        return f"{_number(value)} {units} (budget {_number(budget)})"

    sees = {"Y": "H(S|Y)", "YU": "H(S|Y,U)"}[solution.classifier_sees]
    rows = {
        "status": f"{solution.status}: {STATUSES[solution.status]}",
        "distortion": _number(solution.distortion),
        "lower bound": f"{_number(solution.lower_bound)} (gap {solution.gap:.2g})",
        "rate": within(solution.rate, solution.rate_budget),
        f"classification loss {sees}": within(solution.classification_loss, solution.classification_budget),
        "multipliers": (
            f"rate {solution.multipliers.rate:.5g}, classification {solution.multipliers.classification:.5g} "
            f"distortion per {unit}"
        ),
    }
    if solution.mixture is not None:
        rows["mixture"] = f"{len(solution.mixture)} component{'' if len(solution.mixture) == 1 else 's'}"
    rows["engine"] = f"{solution.engine}, {solution.seconds:.3g} s: {solution.termination}"
    return _table(f"Solution, {solution.formulation}", rows)


def problem_html(problem: Problem) -> str:
    """A problem as an HTML table, entropies in bits."""

    def bits(nats: float) -> str:
        return f"{information.from_nats(nats, 'bits'):.6g} bits"

    return _table(
        "Problem",
        {
            "letters": f"n = {problem.n} of X, m = {problem.m} of Y, k = {problem.k} of S",
            "H(X), H(Y)": f"{bits(problem.entropy_x)}, {bits(problem.entropy_y)}",
            "H(S), H(S|X)": f"{bits(problem.entropy_s)}, {bits(problem.entropy_s_given_x)}",
            "d(x,y)": f"from {problem.d.min():.6g} to {problem.d.max():.6g}",
            "E d of independent X, Y": f"{problem.distortion(problem.independent):.6g}",
            "fingerprint": problem.fingerprint,
        },
    )


def _table(title: str, rows: Mapping[str, str]) -> str:
    left = ' style="text-align: left"'
    body = "".join(
        f"<tr><th{left}>{escape(name)}</th><td{left}>{escape(' '.join(text.split()))}</td></tr>"
        for name, text in rows.items()
    )
    return f'<table><thead><tr><th colspan="2"{left}>{escape(title)}</th></tr></thead><tbody>{body}</tbody></table>'


def _number(value: float) -> str:
    return "∞" if value == math.inf else f"{value:.8g}"
