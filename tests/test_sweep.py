import math
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes import FakeSession, without_seconds
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_cases import LOSSES, PROBLEM, RATES, module, sweep

from drcopt.errors import InputError
from drcopt.problem import Problem
from drcopt.questions import quantity
from drcopt.solve import solve
from drcopt.sources import bernoulli
from drcopt.sweeps.chains import beside, waves
from drcopt.sweeps.checkpoint import Record
from drcopt.tables import COLUMNS

HERE = Path(__file__).parent


@pytest.mark.usefixtures("fake")
class TestRows:
    def test_are_the_product_in_the_order_given(self):
        table = sweep(PROBLEM, R=[1, 0, None, 0.5], C=[0.5, None], progress=False)
        assert tuple(table.columns) == COLUMNS
        assert table["rate_budget_bits"].tolist() == [1, 0, math.inf, 0.5] * 2
        assert table["classification_budget_bits"].tolist() == [0.5] * 4 + [math.inf] * 4
        assert table.index.equals(pd.RangeIndex(8))

    def test_hold_what_the_solution_held_and_where_it_came_from(self):
        table = sweep(PROBLEM, R=0.5, C=0.7, formulation="one-shot", classifier_sees="YU", tol=1e-4, progress=False)
        row = table.iloc[0]
        settings = {"formulation": "one-shot", "classifier_sees": "YU", "units": "bits", "engine": "auto"}
        session = FakeSession(PROBLEM, **settings, tol=1e-4, time_limit=None)
        solution = session.solve(0.5, 0.7)
        assert (row["formulation"], row["classifier_sees"], row["engine"]) == ("one-shot", "YU", "fake")
        assert (row["distortion"], row["lower_bound"]) == (solution.distortion, solution.lower_bound)
        assert row["gap"] == solution.distortion - solution.lower_bound
        assert (row["rate_bits"], row["rate_multiplier"], row["tol"]) == (0.5, 1 / 3, 1e-4)
        assert math.isnan(row["classification_loss_bits"])
        assert row["termination"] == 'fake, "quoted" ≤', "on one line"
        assert row["problem_fingerprint"] == PROBLEM.fingerprint
        assert row["numpy_version"] == np.__version__
        assert row["drcopt_version"]
        text = ("formulation", "status", "termination", "problem_fingerprint", "scipy_version")
        assert all(pd.api.types.is_string_dtype(table[name]) for name in text)
        assert all(table[name].dtype == np.float64 for name in ("distortion", "tol", "rate_budget_bits", "seconds"))

    def test_infeasible_is_a_row(self):
        row = sweep(PROBLEM, R=1, C=0, progress=False).iloc[0]
        assert row[["status", "distortion", "lower_bound", "gap"]].tolist() == ["infeasible", math.inf, math.inf, 0]

    def test_one_value_or_any_sequence(self):
        for R in (0.5, np.float64(0.5), np.array(0.5), [0.5], (0.5,), np.array([0.5]), pd.Series([0.5]), iter([0.5])):
            assert sweep(PROBLEM, R=R, progress=False)["rate_budget_bits"].tolist() == [0.5]
        assert sweep(PROBLEM, progress=False)["rate_budget_bits"].tolist() == [math.inf]

    def test_are_in_bits_whatever_the_units(self):
        nats = sweep(PROBLEM, R=[math.log(2), math.log(4)], C=[None, math.log(2) / 2], units="nats", progress=False)
        bits = sweep(PROBLEM, R=[1, 2], C=[None, 0.5], progress=False)
        assert without_seconds(nats) == without_seconds(bits)

    def test_budgets_in_bits_are_not_touched(self):
        R = [0.1 * i for i in range(50)]
        assert sweep(PROBLEM, R=R, progress=False)["rate_budget_bits"].tolist() == R

    @given(order=st.permutations(range(len(RATES))))
    @settings(derandomize=True, deadline=None, max_examples=10)
    def test_do_not_depend_on_the_order_asked_for(self, order):
        """A row is the same wherever it is asked for: chains go up in R whatever the order."""
        plain = sweep(PROBLEM, R=RATES, C=LOSSES, progress=False)
        mixed = sweep(PROBLEM, R=[RATES[i] for i in order], C=LOSSES, progress=False)
        places = [c * len(RATES) + i for c in range(len(LOSSES)) for i in order]
        assert without_seconds(mixed) == without_seconds(plain.iloc[places])

    def test_a_point_starts_from_the_one_before_it_in_its_chain_only(self, tmp_path, monkeypatch):
        table = sweep(PROBLEM, R=RATES, C=LOSSES, progress=False)
        second = sweep(PROBLEM, R=RATES[8:], C=0.5, progress=False)  # chains of 8: one starts at RATES[8]
        assert without_seconds(table.iloc[28:40]) == without_seconds(second)
        shifted = sweep(PROBLEM, R=RATES[9:], C=0.5, progress=False)
        assert without_seconds(table.iloc[29:40]) != without_seconds(shifted), "the fake does notice its warm start"

    def test_a_point_starts_from_a_neighbour_that_is_feasible(self):
        def block(**statuses):
            known = {int(place[1:]): Record({"status": status}, {place: 1}) for place, status in statuses.items()}
            return module.Block(FakeSession, PROBLEM, {}, quantity("distortion"), math.inf, tuple(range(8)), known)

        assert block().start(4) is None
        assert block(p0="optimal", p2="feasible", p7="optimal").start(4) == {"p2": 1}
        assert block(p0="infeasible", p7="optimal").start(4) == {"p7": 1}
        assert block(p0="infeasible", p7="infeasible").start(4) == {"p0": 1}
        assert block(p7="infeasible").start(4) is None
        sent = block(p0="optimal", p1="optimal", p2="optimal", p6="optimal", p7="optimal").light()
        assert [place for place, record in sent.known.items() if record.warm] == [2, 6]

    def test_chains(self):
        assert [len(points) for _, points in module.plan(RATES, LOSSES, "single-letter")] == [20, 8, 8, 4, 8, 8, 4]
        assert [len(points) for _, points in module.plan(RATES, LOSSES[:1], "one-shot")] == [8, 8, 4]
        assert [len(p) for _, p in module.plan([*range(100)], [math.inf], "single-letter")] == [64, 36]
        chains = module.plan([2.0, 1.0, math.inf, 1.0], [0.5, 0.5], "single-letter")
        assert chains == [(0.5, (1.0, 2.0, math.inf))]


#: Objective → budgets, and the columns of the first and the second.
GRIDS = {
    "rate": ({"D": [0.5, 0.25, None], "C": [0.5, None]}, "distortion_budget", "classification_budget_bits"),
    "classification_loss": ({"R": [0.5, 0.25], "D": [0.5, None]}, "rate_budget_bits", "distortion_budget"),
}


@pytest.mark.usefixtures("fake")
class TestObjectives:
    """The fake has every objective fall in both budgets, and meets none of the second below 0.1."""

    @pytest.mark.parametrize("objective", GRIDS)
    def test_rows_are_over_what_is_limited(self, objective):
        budgets, first, second = GRIDS[objective]
        table = sweep(PROBLEM, **budgets, objective=objective, progress=False)
        wanted = [[math.inf if v is None else v for v in values] for values in budgets.values()]
        if first == "rate_budget_bits":
            assert list(budgets) == ["R", "D"]
        assert table[first].tolist() == wanted[0] * len(wanted[1])
        assert table[second].tolist() == [v for v in wanted[1] for _ in wanted[0]]
        own = {"rate": "rate_budget_bits", "classification_loss": "classification_budget_bits"}[objective]
        assert set(table[own]) == {math.inf} and set(table["objective"]) == {objective}
        assert table["value"].equals(table[f"{objective}_bits"].rename("value"))
        assert np.array_equal(table["gap"], table["value"] - table["lower_bound"])
        assert table["distortion"].isna().all()

    @pytest.mark.parametrize("objective", GRIDS)
    def test_infeasible_settles_the_tighter(self, objective, tmp_path, monkeypatch):
        monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
        (first, second) = GRIDS[objective][0]
        budgets = {first: [0.1, 0.2, 0.3, 0.4], second: 0.05}
        table = sweep(PROBLEM, **budgets, objective=objective, progress=False)
        assert set(table["status"]) == {"infeasible"} and set(table["value"]) == {math.inf}
        assert len((tmp_path / "log").read_text().splitlines()) == 2  # the tightest, and the loosest settles the rest
        named = "D = 0.4, C = 0.05" if objective == "rate" else "D = 0.05, R = 0.4"
        assert table["termination"].tolist().count(f"infeasible already at {named} bits") == 2

    @pytest.mark.parametrize("objective", GRIDS)
    def test_resumed_and_in_processes(self, objective, tmp_path, processes):
        budgets = GRIDS[objective][0]
        whole = without_seconds(sweep(PROBLEM, **budgets, objective=objective, progress=False))
        path = tmp_path / "rows"
        assert without_seconds(sweep(PROBLEM, **budgets, objective=objective, executor=processes)) == whole
        sweep(PROBLEM, **budgets, objective=objective, checkpoint=path, progress=False)
        lines = path.read_bytes().splitlines(keepends=True)
        for rows in range(1, len(lines)):
            path.write_bytes(b"".join(lines[:rows]))
            again = sweep(PROBLEM, **budgets, objective=objective, checkpoint=path, progress=False)
            assert without_seconds(again) == whole
        sweep(PROBLEM, R=0.5, checkpoint=path, progress=False)  # another question, in the same file
        assert len(path.read_bytes().splitlines()) == len(lines) + 1

    def test_a_distortion_has_no_bits(self):
        nats = sweep(PROBLEM, D=[0.5], C=math.log(2) / 2, units="nats", objective="rate", progress=False)
        bits = sweep(PROBLEM, D=[0.5], C=0.5, objective="rate", progress=False)
        assert without_seconds(nats) == without_seconds(bits)

    def test_chains_are_short_where_the_loss_is_minimised(self):
        assert [len(p) for _, p in module.plan([*range(20)], [math.inf], "single-letter", quantity("rate"))] == [20]
        loss = quantity("classification_loss")
        assert [len(p) for _, p in module.plan([*range(20)], [math.inf], "single-letter", loss)] == [8, 8, 4]

    @pytest.mark.parametrize("resumed", [False, True])
    def test_without_a_checker_nothing_is_disbelieved(self, resumed, tmp_path):
        """A row that is better through another's point can be optimal, read back or not."""
        path = tmp_path / "rows"
        for _ in range(1 + resumed):
            table = sweep(PROBLEM, R=RATES, C=LOSSES, checkpoint=path, progress=False)
        assert without_seconds(table) == without_seconds(sweep(PROBLEM, R=RATES, C=LOSSES, progress=False))
        assert "verified" not in table


@pytest.mark.usefixtures("fake")
class TestFailures:
    def test_are_rows(self):
        table = sweep(PROBLEM, R=[0.25, 0.5, 1], engine="raises", progress=False)
        assert table["status"].tolist() == ["optimal", "unknown", "optimal"]
        row = table.iloc[1]
        assert row["termination"] == "RuntimeError: the solver fell over"
        assert (row["engine"], row["lower_bound"], row["rate_budget_bits"]) == ("raises", -math.inf, 0.5)
        unknown = ["distortion", "gap", "rate_bits", "classification_loss_bits", "rate_multiplier"]
        assert row[[*unknown, "classification_multiplier"]].isna().all()

    def test_the_point_after_one_starts_afresh(self):
        table = sweep(PROBLEM, R=[0.25, 0.5, 1], engine="raises", progress=False)
        alone = sweep(PROBLEM, R=[1], engine="raises", progress=False)
        assert without_seconds(table.iloc[2:]) == without_seconds(alone)

    def test_a_killed_worker_costs_rows_and_a_resume_gets_them(self, tmp_path):
        def run(executor=None):
            return sweep(
                PROBLEM,
                R=[0, 0.5, 1],
                C=[0.5, math.inf],
                engine="kills",
                executor=executor,
                checkpoint=tmp_path / "rows",
                progress=False,
            )

        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            table = run(pool)
            again = sweep(PROBLEM, R=0, executor=pool, progress=False)  # the pool is broken before it starts
        for lost in (table, again):
            assert set(lost["status"]) == {"unknown"}
            assert lost["termination"].str.startswith("BrokenProcessPool: ").all()
            assert lost["seconds"].isna().all()
        assert (tmp_path / "rows").read_bytes().count(b"\n") == 1
        assert run()["status"].tolist() == ["optimal"] * 6

    def test_what_cannot_be_sent_to_a_worker_is_a_row(self, processes, monkeypatch):
        class Local(FakeSession):
            pass

        Local.__qualname__ = "nowhere"
        monkeypatch.setattr(module, "Session", Local)
        table = sweep(PROBLEM, R=0, executor=processes, progress=False)
        assert table["termination"].str.contains("Pickl").all()

    def test_interrupt_keeps_the_chains_that_are_finished(self, tmp_path):
        class Inline(Executor):
            def submit(self, function, /, *args):
                future = Future()
                try:
                    future.set_result(function(*args))
                except KeyboardInterrupt as error:
                    future.set_exception(error)
                return future

        with pytest.raises(KeyboardInterrupt):
            sweep(  # chains of 8 and 4: R = 0.5 is in the first
                PROBLEM,
                R=RATES[:12],
                C=0.7,
                engine="interrupts",
                executor=Inline(),
                checkpoint=tmp_path / "rows",
                progress=False,
            )
        assert (tmp_path / "rows").read_bytes().count(b"\n") == 1 + 4


@pytest.mark.usefixtures("fake")
class TestInput:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"problem": [0.5, 0.5]}, "problem must be a drcopt.Problem; it is a list. Build one with Problem(px"),
            ({"R": -1}, "R must be nonnegative; it is -1"),
            ({"R": [0, 1, -0.5]}, "R[2] must be nonnegative; it is -0.5"),
            ({"C": [0, math.nan]}, "C[1] must be a number; it is nan"),
            ({"R": "0.5"}, "R must be a number; it is '0.5'"),
            ({"R": ["0.5"]}, "R[0] must be a number; it is '0.5'"),
            ({"R": []}, "R must be one budget or a flat sequence of at least one; it is []. Pass e.g. R=[0.5, 1.0]."),
            ({"C": np.ones((1, 1))}, "C must be one budget or a flat sequence of at least one; it is array([[1.]])"),
            ({"units": "bytes"}, "units must be one of 'bits', 'nats'; it is 'bytes'"),
            ({"tol": 0}, "tol must be positive and finite; it is 0"),
            ({"time_limit": -1}, "time_limit must be positive and finite; it is -1"),
            ({"engine": "steam"}, "engine must be one of"),
            ({"formulation": "letters"}, "formulation must be one of"),
            ({"D": 0.1}, "D must not be given where the distortion is minimised; it is 0.1. Drop it, or minimise"),
            ({"objective": "rate"}, "R must not be given where the rate is minimised; it is 1. Drop it"),
            ({"objective": "loss"}, "objective must be one of ['distortion', 'rate', 'classification_loss'"),
            ({"executor": 4}, "executor must be a concurrent.futures.Executor or None; it is 4"),
        ],
    )
    def test_is_refused_before_anything_is_solved_or_written(self, change, message, tmp_path, monkeypatch):
        monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
        arguments = {"problem": PROBLEM, "R": 1, "checkpoint": tmp_path / "rows", "progress": False, **change}
        with pytest.raises(InputError) as error:
            sweep(**arguments)
        assert str(error.value).startswith(message)
        assert not list(tmp_path.iterdir())

    def test_arrays_are_not_touched(self):
        R = np.array([1.0, 0.5])
        R.flags.writeable = False
        sweep(PROBLEM, R=R, progress=False)


@pytest.mark.usefixtures("fake")
class TestProgress:
    def test_is_off_when_stderr_is_not_a_terminal(self, capsys):
        sweep(PROBLEM, R=RATES)
        assert capsys.readouterr() == ("", "")

    def test_can_be_forced(self, capsys, tmp_path):
        for _ in range(2):
            sweep(PROBLEM, R=RATES, progress=True, checkpoint=tmp_path / "rows")
            out, err = capsys.readouterr()
            assert out == ""
            assert "20/20" in err


class TestRealEngine:
    def test_bernoulli_curve_falls_and_is_proved(self):
        table = sweep(bernoulli(), R=np.linspace(0, 1, 12), C=[None, 0.9, 0.7], progress=False)
        rate_only, active, impossible = (table.iloc[i : i + 12] for i in (0, 12, 24))
        assert (rate_only["status"] == "optimal").all()
        assert (rate_only["distortion"].diff().dropna() <= 1e-9).all()
        assert (rate_only["rate_bits"] <= rate_only["rate_budget_bits"] + 1e-9).all()
        feasible = active["status"].isin(["optimal", "feasible"])
        assert (active["classification_loss_bits"][feasible] <= 0.9 + 1e-9).all()
        assert set(impossible["status"]) == {"infeasible"}, "H(S|X) is 0.72 bits"

    def test_processes_resumes_and_serial_agree(self, processes, tmp_path):
        budgets = {"R": np.linspace(0, 0.9, 10), "C": [None, 0.8], "progress": False}
        whole = without_seconds(sweep(bernoulli(), **budgets, checkpoint=tmp_path / "rows"))
        assert without_seconds(sweep(bernoulli(), **budgets, executor=processes)) == whole
        lines = (tmp_path / "rows").read_bytes().splitlines(keepends=True)
        for rows in (1, 5, 10, 11, 15, 19):
            (tmp_path / "rows").write_bytes(b"".join(lines[: 1 + rows]))
            assert without_seconds(sweep(bernoulli(), **budgets, checkpoint=tmp_path / "rows")) == whole, rows


def test_round_trips():
    """D(R, C) to R(D, C) to D(R, C), and to C(R, D) and back, through tables."""
    problem, short = bernoulli(), {"time_limit": 1.0, "progress": False}
    there = sweep(problem, R=[0.2, 0.5], C=[None, 0.9], **short)
    assert set(there["status"]) == {"optimal"}
    for _, row in there.iterrows():
        R, C, D = row["rate_budget_bits"], row["classification_budget_bits"], row["distortion"]
        back = sweep(problem, D=D + 1e-8, C=C, objective="rate", **short).iloc[0]
        assert back["lower_bound"] <= row["rate_bits"] + 1e-12
        assert back["value"] == pytest.approx(R, abs=1e-5)
        again = sweep(problem, R=back["value"], C=C, **short).iloc[0]
        assert again["distortion"] == pytest.approx(D, abs=2e-6)
        edge = sweep(problem, R=R, D=D + 1e-6, objective="classification_loss", **short).iloc[0]
        assert edge["lower_bound"] <= row["classification_loss_bits"] + 1e-12
        assert edge["value"] <= row["classification_loss_bits"] + 1e-4


def test_import_is_light():
    program = "import drcopt.sweep, drcopt.tables, sys; print({'pandas', 'cvxpy', 'pyarrow'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert ran.stdout == "set()\n"


class TestBoundsOfEarlierPoints:
    """What one point proves holds at all budgets: chains of later waves begin with it."""

    def test_waves_halve_the_gaps(self):
        due = waves([0.5, math.inf, 0.1, 0.3, 0.2, 0.4])
        assert due == {math.inf: 0, 0.1: 0, 0.5: 0, 0.3: 1, 0.2: 2, 0.4: 2}
        assert beside(0.2, due) == [0.1, 0.3]
        assert beside(0.1, due) == []
        assert waves([math.inf]) == {math.inf: 0}

    @pytest.mark.slow
    def test_rows_that_they_prove(self, tmp_path):
        rng = np.random.default_rng(0)
        px, py = rng.dirichlet(np.ones(5), 2)
        problem = Problem(px, py, rng.dirichlet(np.ones(2), 5), rng.random((5, 5)))
        loosest = solve(problem, R=0.9).classification_loss
        budgets = {
            "R": np.linspace(0.5, 0.9, 6).tolist(),
            "C": [loosest - v for v in (0.004, 0.008, 0.012)],
            "tol": 1e-2,
        }
        whole = sweep(problem, **budgets, progress=False)
        words = "a bound that an earlier point proved|a point and a bound that other rows found"
        proved = whole[whole["termination"].str.match(words)]
        assert len(proved) > 0
        assert set(proved["status"]) == {"optimal"}
        for row in proved.itertuples():
            alone = solve(problem, R=row.rate_budget_bits, C=row.classification_budget_bits)
            assert row.lower_bound <= alone.value + 1e-12
            assert alone.lower_bound <= row.value + 1e-12
        with ThreadPoolExecutor(2) as pool:
            assert without_seconds(sweep(problem, **budgets, executor=pool)) == without_seconds(whole)
        path = tmp_path / "rows"
        sweep(problem, **budgets, checkpoint=path, progress=False)
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:8]))
        again = sweep(problem, **budgets, checkpoint=path, progress=False)
        assert without_seconds(again) == without_seconds(whole)
