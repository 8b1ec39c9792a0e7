"""The rows of one sweep agree with each other: D(R, C) never rises where a budget is loosened."""

from __future__ import annotations

import math

import numpy as np
import pytest

from drcopt import Problem, solve, sweep
from drcopt.engines.base import Limits
from drcopt.engines.branch import Global
from drcopt.formulations import SingleLetter
from drcopt.sweep import following
from drcopt.sweeps.monotone import agreed

#: Hair and eye colour of men (rows) and women of one survey, by hair and eye colour: 592 people.
MEN = np.array([[32, 11, 10, 3], [53, 50, 25, 15], [10, 10, 7, 7], [3, 30, 5, 8]])
WOMEN = np.array([[36, 9, 5, 2], [66, 34, 29, 14], [16, 7, 7, 7], [4, 64, 5, 8]])


def men_to_women() -> Problem:
    """Hair colour of men to hair colour of women, classes their eye colour."""
    men, women = MEN.sum(axis=1), WOMEN.sum(axis=1)
    return Problem(men / men.sum(), women / women.sum(), MEN / men[:, None], "hamming")


def row(R: float, C: float, value: float, lower: float, status: str = "feasible", **more: object) -> dict[str, object]:
    return {
        "objective": "distortion",
        "rate_budget_bits": R,
        "classification_budget_bits": C,
        "distortion_budget": math.inf,
        "value": value,
        "distortion": value,
        "lower_bound": lower,
        "gap": value - lower,
        "rate_bits": R,
        "classification_loss_bits": C,
        "rate_multiplier": 1.0,
        "classification_multiplier": 1.0,
        "status": status,
        "termination": "done",
        "engine": "some",
        **more,
    }


def check(table, slack: float = 0.0) -> None:
    """Every pair of rows of a table: values fall, bounds fall, bounds are below values, infeasibility is inherited."""
    R, C = table["rate_budget_bits"].to_numpy(), table["classification_budget_bits"].to_numpy()
    value = table["distortion"].fillna(math.inf).to_numpy()
    lower = table["lower_bound"].to_numpy()
    tighter = (R[:, None] <= R[None]) & (C[:, None] <= C[None])  # [i, j]: i is at most j
    assert (value[:, None] >= value[None] - slack)[tighter].all()
    assert (lower[:, None] >= lower[None] - slack)[tighter].all()
    assert (lower <= value).all()
    assert (table["gap"].dropna() >= 0).all()  # a row without a point has no gap


class TestRows:
    def test_a_point_serves_looser_budgets(self) -> None:
        rows = agreed([row(1, 0.5, 0.3, 0.1), row(1, 0.6, 0.4, 0.1), row(0.9, 0.7, 0.5, 0.1)], 1e-6)
        assert [r["distortion"] for r in rows] == [0.3, 0.3, 0.5]
        assert rows[1]["classification_loss_bits"] == 0.5
        assert rows[1]["termination"] == "done; the point is that of R = 1, C = 0.5 bits"
        assert math.isnan(rows[1]["rate_multiplier"])
        assert rows[2]["rate_multiplier"] == 1.0

    def test_no_point_among_the_tighter_is_no_point(self) -> None:
        """A row without a point takes none from a row that is no tighter, whichever comes first."""
        rows = agreed([row(2, 0.6, 0.3, 0.1), row(1, 0.6, math.nan, 0.2, "unknown")], 1e-6)
        assert math.isnan(rows[1]["value"])
        assert (rows[1]["status"], rows[1]["lower_bound"]) == ("unknown", 0.2)

    def test_a_bound_serves_tighter_ones(self) -> None:
        rows = agreed([row(1, 0.5, 0.3, 0.1), row(2, 0.5, 0.3, 0.2), row(2, 0.4, 0.35, 0.15)], 1e-6)
        assert [r["lower_bound"] for r in rows] == [0.2, 0.2, 0.2]
        assert rows[0]["gap"] == pytest.approx(0.1)

    def test_both_may_close_a_gap(self) -> None:
        optimal = row(1, 0.5, 0.3, 0.3 - 1e-9, "optimal")
        loose = row(3, 0.7, 0.3 + 1e-9, 0.3 - 2e-9, "optimal")
        middle = agreed([optimal, row(2, 0.6, 0.4, 0.1), loose], 1e-6)[1]
        assert (middle["status"], middle["distortion"], middle["lower_bound"]) == ("optimal", 0.3, 0.3 - 2e-9)
        assert agreed([optimal, row(2, 0.6, 0.4, 0.1), loose], 1e-9)[1]["status"] == "feasible"

    def test_a_small_distortion_needs_a_smaller_gap(self) -> None:
        tight, loose = row(1, 0.5, 1e-7, 0.0), row(3, 0.7, 2e-7, 0.0)
        assert agreed([tight, loose], 1e-6)[1]["status"] == "feasible"

    def test_infeasible_settles_what_is_tighter(self) -> None:
        nothing = row(2, 0.5, math.inf, math.inf, "infeasible")
        unknown = row(1, 0.4, math.nan, 0.1, "unknown")
        other = row(3, 0.4, math.nan, 0.1, "unknown")
        rows = agreed([nothing, unknown, other], 1e-6)
        assert [r["status"] for r in rows] == ["infeasible", "infeasible", "unknown"]
        assert rows[1]["termination"] == "infeasible already at R = 2, C = 0.5 bits"
        assert rows[1]["gap"] == 0.0

    def test_a_point_is_never_declared_infeasible(self) -> None:
        nothing, point = row(2, 0.5, math.inf, math.inf, "infeasible"), row(1, 0.4, 0.3, 0.1)
        assert agreed([nothing, point], 1e-6)[1]["status"] == "feasible"

    def test_a_bound_above_a_point_is_not_carried(self) -> None:
        rows = agreed([row(1, 0.5, 0.3, 0.1), row(2, 0.6, 0.5, 0.4)], 1e-6)
        assert rows[0]["lower_bound"] == 0.1

    def test_a_point_with_an_excess_serves_no_other_row(self) -> None:
        near = row(1, 0.5, 0.3, 0.04, "near-feasible")
        rows = agreed([near, row(2, 0.5, 0.4, 0.03), row(0.5, 0.5, 0.1, 0.05)], 1e-6)
        assert [r["distortion"] for r in rows] == [0.1, 0.1, 0.1]
        assert rows[0]["status"] == "feasible"
        rows = agreed([row(2, 0.5, 0.1, 0.01, "feasible"), near, row(1, 0.6, 0.35, 0.3)], 1e-6)
        assert [r["distortion"] for r in rows] == [0.1, 0.3, 0.35]
        assert [r["status"] for r in rows] == ["feasible", "near-feasible", "feasible"]
        assert rows[1]["lower_bound"] == 0.3
        assert rows[1]["termination"].endswith("the bound is that of R = 1, C = 0.6 bits")

    def test_a_row_that_failed_shows_it(self) -> None:
        rows = agreed([row(1, 0.5, 0.3, 0.1), row(2, 0.5, math.nan, -math.inf, "unknown")], 1e-6)
        assert rows[1]["status"] == "unknown"

    def test_what_is_verified_of_both_is_verified(self) -> None:
        def proved(yes: str) -> dict[str, object]:
            return {"proved_lower_bound": 0.09, "proved_distortion": 0.31, "verified": yes}

        for one, other in (("yes", "yes"), ("yes", "no"), ("no", "yes")):
            rows = agreed([row(1, 0.5, 0.3, 0.1, **proved(one)), row(2, 0.6, 0.4, 0.1, **proved(other))], 1.0)
            assert rows[1]["verified"] == ("yes" if one == other == "yes" else "no")
            assert rows[1]["status"] == "feasible"
            assert rows[1]["proved_distortion"] == 0.31


class TestChains:
    """Which point of a chain comes next: as few as are needed where the first is infeasible."""

    @pytest.mark.parametrize("edge", range(9))
    def test_the_edge_is_halved(self, edge: int) -> None:
        statuses: list[str | None] = [None] * 8
        solved = 0
        while (place := following(statuses)) is not None:
            settled = any(s == "infeasible" for s in statuses[place:])
            solved += not settled
            assert not settled or place < edge
            statuses[place] = "infeasible" if place < edge else "optimal"
        assert solved == {0: 8, 8: 2}.get(edge, solved)
        assert solved - (8 - edge) <= 4
        assert statuses == ["infeasible"] * edge + ["optimal"] * (8 - edge)

    def test_without_infeasible_points_it_ascends(self) -> None:
        statuses: list[str | None] = [None] * 4
        for place in range(4):
            assert following(statuses) == place
            statuses[place] = "unknown"
        assert following(statuses) is None


def test_hair_and_eye_colour() -> None:
    """A table that one descent leaves far from monotone; it is solved in no more than a few seconds."""
    problem = men_to_women()
    table = sweep(problem, R=1.2, C=[1.785, 1.775, 1.757], time_limit=0.4, progress=False)
    check(table)


@pytest.mark.slow
def test_hair_and_eye_colour_where_one_descent_is_far_off() -> None:
    """Nodes are counted, not seconds: what is found must not depend on how fast the machine is."""
    problem = men_to_women()
    question = SingleLetter(problem.standardised()[0], 1.2 * math.log(2), 1.775 * math.log(2))
    proposal = Global().propose(question, Limits(1e-6, node_limit=24))
    assert proposal.parts is not None
    assert problem.distortion(proposal.parts[0].coupling) <= 0.333515


def test_infeasible_rows_are_settled_by_the_loosest(tmp_path) -> None:
    problem = Problem([0.5, 0.5], [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]])
    budgets = {"R": [0.1, 0.2, 0.3, 0.9], "C": [0.6, 0.55]}
    table = sweep(problem, **budgets, progress=False)
    assert table["status"].tolist() == ["infeasible"] * 3 + ["optimal"] + ["infeasible"] * 3 + ["optimal"]
    assert (
        table["termination"].str.startswith("infeasible already at R = 0.3").tolist() == [False, True, False, False] * 2
    )
    path = tmp_path / "rows"
    assert len(sweep(problem, **budgets, checkpoint=path, progress=False)) == 8
    lines = path.read_bytes().splitlines(keepends=True)
    for kept in range(1, len(lines)):
        path.write_bytes(b"".join(lines[:kept]))
        again = sweep(problem, **budgets, checkpoint=path, progress=False)
        assert again.drop(columns="seconds").equals(table.drop(columns="seconds"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_random_sweeps(seed: int) -> None:
    """Monotone with little time and with much, and what a row says holds when it is asked alone."""
    rng = np.random.default_rng([9, seed])
    n, m, k = rng.integers(2, 5, size=3)
    px, py = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    problem = Problem(px, py, rng.dirichlet(np.full(k, 0.5), size=n), rng.random((n, m)))
    edge = problem.entropy_s_given_x / math.log(2)
    C = edge + rng.uniform(0.0, 1.0, size=4) * (problem.entropy_s / math.log(2) - edge)
    table = sweep(problem, R=rng.uniform(0.05, 1.5, size=4), C=C, time_limit=0.5, progress=False)
    check(table)
    at = table.iloc[int(rng.integers(len(table)))]
    alone = solve(
        problem,
        R=float(at["rate_budget_bits"]),
        C=float(at["classification_budget_bits"]),
        time_limit=2.0,
        on_failure="return",
    )
    if at["status"] == "infeasible":
        assert alone.status in ("infeasible", "unknown")
    elif not math.isnan(alone.distortion):
        assert alone.distortion >= at["lower_bound"] - 1e-9
        assert not at["distortion"] < alone.lower_bound - 1e-9
