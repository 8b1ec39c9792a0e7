"""Surfaces: a floor and a ceiling that hold everywhere, refined until they lie close together."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import drcopt
from drcopt.bounds import PosteriorTree
from drcopt.errors import CheckpointError, InputError
from drcopt.questions import DISTORTION, QUANTITIES, Piece
from drcopt.session import Session
from drcopt.sweeps.envelopes import Ceiling, Floor, Found, Proved


def problem(seed: int = 1, n: int = 3, m: int = 3, k: int = 2) -> drcopt.Problem:
    rng = np.random.default_rng(seed)
    channel = rng.dirichlet(np.ones(k), n)
    return drcopt.Problem(rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m)), channel, rng.random((n, m)))


@pytest.fixture(scope="module")
def sheet() -> drcopt.Surface:
    source = drcopt.sources.bernoulli()
    return drcopt.surface(source, R=(0.3, 0.8), C=(0.75, 0.9), tol=5e-3, resolution=1 / 16)


@pytest.fixture(scope="module")
def curve() -> drcopt.Surface:
    return drcopt.surface(problem(), R=(0.05, 1.0), tol=1e-3)


class TestWhatIsProved:
    def test_a_solve_lies_between_floor_and_ceiling(self, sheet: drcopt.Surface) -> None:
        rng = np.random.default_rng(0)
        for R, C in rng.uniform((0.2, 0.7), (0.9, 1.0), (6, 2)):
            answer = drcopt.solve(sheet.problem, R=R, C=C, on_failure="return")
            lower, upper = float(sheet.lower(R, C)), float(sheet.upper(R, C))
            if answer.status == "infeasible":
                assert upper == math.inf
            else:
                assert lower <= answer.value + 1e-12
                assert upper >= answer.lower_bound - 1e-12

    def test_the_gap_is_that_everywhere_in_known_boxes(self, sheet: drcopt.Surface) -> None:
        assert sheet.known > 0.8
        assert sheet.infeasible > 0.05
        rng = np.random.default_rng(1)
        for box in sheet.refinement.done:
            if box.gap > sheet.refinement.tol or box.infeasible:
                continue
            shares = rng.uniform(box.low, box.high, (5, 2))
            budgets = sheet.refinement.budgets([tuple(s) for s in shares.tolist()])
            lower = sheet.refinement.known.floor.at(DISTORTION, budgets)
            assert (sheet.refinement.ceiling(budgets) - lower <= box.gap + 1e-12).all()

    def test_the_coupling_has_the_ceiling_and_meets_the_budgets(self, sheet: drcopt.Surface) -> None:
        R, C = 0.61, 0.83
        P = sheet.coupling(R, C)
        assert P is not None
        source = sheet.problem
        bits = drcopt.information.NATS_PER["bits"]
        assert source.distortion(P) <= float(sheet.upper(R, C)) + 1e-12
        assert source.rate(P) / bits <= R + 1e-12
        assert source.classification_loss(P) / bits <= C + 1e-12

    def test_a_grid_is_known_at_its_places_and_holds_everywhere(self) -> None:
        source = drcopt.sources.bernoulli()
        grid = drcopt.surface(source, R=(0.3, 0.8), C=(0.75, 0.9), tol=1e-3, at=(5, 4))
        assert grid.known == 1.0
        assert 0.3 < grid.infeasible < 0.5
        assert "100.0% of 5×4 budgets known to 0.001" in repr(grid)
        table = grid.table()
        assert set(table["status"]) == {"known", "infeasible"}
        for R, C in [*table[["rate_budget_bits", "classification_budget_bits"]].to_numpy()[::3].tolist(), (0.61, 0.83)]:
            answer = drcopt.solve(source, R=R, C=C, on_failure="return")
            lower, upper = float(grid.lower(R, C)), float(grid.upper(R, C))
            assert lower <= answer.value + 1e-12
            assert upper >= answer.lower_bound - 1e-12

    def test_a_curve_is_known_between_its_points(self, curve: drcopt.Surface) -> None:
        assert curve.known == 1.0
        R = np.linspace(0.05, 1.0, 200)
        lower, upper = curve.lower(R), curve.upper(R)
        assert (lower <= upper).all()
        assert (upper - lower <= curve.tolerance).all()
        answer = drcopt.solve(curve.problem, R=0.4321)
        assert float(curve.lower(0.4321)) <= answer.value <= float(curve.upper(0.4321)) + 1e-12

    def test_the_edge_holds_the_least_loss(self, sheet: drcopt.Surface) -> None:
        least = drcopt.min_classification_loss(sheet.problem, R=0.55)
        lower, upper = sheet.edge(0.55)
        assert lower <= least.value + 1e-12
        assert upper >= least.lower_bound - 1e-12

    @pytest.mark.parametrize("objective", ["rate", "classification_loss"])
    def test_the_inverses(self, objective: str) -> None:
        source, limits = problem(), {"D": (0.3, 0.6)} | ({"C": 0.8} if objective == "rate" else {"R": 0.8})
        found = drcopt.surface(source, objective=objective, tol=5e-2, resolution=1 / 8, **limits)
        ask = drcopt.min_rate if objective == "rate" else drcopt.min_classification_loss
        held = {name: value for name, value in limits.items() if not isinstance(value, tuple)}
        answer = ask(source, D=0.45, **held, on_failure="return")
        assert float(found.lower(0.45)) <= answer.value + 1e-12
        assert float(found.upper(0.45)) >= answer.lower_bound - 1e-12

    def test_time_sharing_and_a_free_law(self) -> None:
        source = problem()
        shared = drcopt.surface(source, R=(0.2, 0.8), C=0.7, formulation="time-sharing", tol=1e-2)
        free = drcopt.Problem(source.px, None, source.ps_given_x, source.d)
        loose = drcopt.surface(free, R=(0.2, 0.8), tol=1e-2)
        assert shared.known == loose.known == 1.0
        answer = drcopt.solve(source, R=0.5, C=0.7, formulation="time-sharing")
        assert float(shared.lower(0.5)) <= answer.value + 1e-12
        assert float(shared.upper(0.5)) >= answer.lower_bound - 1e-12
        answer = drcopt.solve(free, R=0.5)
        assert float(loose.lower(0.5)) <= answer.value + 1e-12 <= float(loose.upper(0.5)) + 2e-12


@pytest.mark.slow
def test_independent_solves_lie_between_floor_and_ceiling() -> None:
    """A thousand pairs of budgets on fifty surfaces, of which few were asked about."""
    rng, nats = np.random.default_rng(5), drcopt.information.NATS_PER["bits"]
    feasible = infeasible = 0
    for seed in range(50):
        source = problem(seed, *rng.integers(2, 4, 2).tolist(), 2 if seed % 10 else 3)
        low, high = source.entropy_s_given_x / nats, source.entropy_s / nats
        most = min(source.entropy_x, source.entropy_y) / nats
        R, C = (0.1 * most, 0.9 * most), (low + 0.5 * (high - low), high)
        where = {"at": 6} if seed % 2 else {"resolution": 1 / 8}
        known = drcopt.surface(source, R=R, C=C, tol=3e-2, time_limit=1.0, **where)
        for rate, loss in rng.uniform((R[0], C[0]), (R[1], C[1]), (20, 2)).tolist():
            answer = drcopt.solve(source, R=rate, C=loss, tol=1e-4, time_limit=0.1, on_failure="return")
            lower, upper = float(known.lower(rate, loss)), float(known.upper(rate, loss))
            if answer.status == "infeasible":
                assert upper == math.inf
                infeasible += 1
                continue
            assert not answer.value < lower - 1e-12
            assert upper >= answer.lower_bound - 1e-12
            feasible += 1
    assert feasible > 300
    assert infeasible > 10


class TestFloor:
    def test_it_says_what_a_question_says(self) -> None:
        source, rng = problem(), np.random.default_rng(0)
        question = Session(source, units="nats").question(DISTORTION)
        pieces = [Piece(tuple(w), float(level)) for w, level in zip(rng.random((9, 3)), rng.random(9), strict=True)]
        pieces.append(Piece((0.0, 0.2, 0.5), 0.3))
        floor = Floor(question)
        for piece in pieces:
            floor.add(Proved.of(None, [piece]))
        for objective in QUANTITIES:
            budgets = np.column_stack([rng.random((20, 3)), np.full(20, math.inf)])
            found = floor.by_tree(objective, budgets)
            for j, (D, R, C, _) in enumerate(budgets):
                limits = {"distortion_budget": D, "rate_budget": R, "classification_budget": C}
                del limits[("distortion_budget", "rate_budget", "classification_budget")[objective.place]]
                asked = question.minimising(objective, **limits)
                for i, piece in enumerate(pieces):
                    said, most = asked.bound(piece), asked.most[objective.place]
                    if said > most * (1 + 1e-9):
                        said = math.inf
                    assert found[i, j] == pytest.approx(said, rel=1e-12, abs=1e-12)
                    assert found[i, j] <= said + 1e-14

    def test_a_tree_is_as_good_as_its_worst_leaf(self) -> None:
        question = Session(problem(), units="nats").question(DISTORTION)
        floor = Floor(question)
        floor.add(Proved.of(None, [Piece((1.0, 0.0, 0.0), 0.3), Piece((1.0, 0.0, 0.0), 0.1)]))
        assert floor.at(DISTORTION, np.full((1, 4), math.inf))[0] <= 0.1


class TestCeiling:
    def test_a_mixture_counts_its_own_loss(self) -> None:
        """H(S|Y) is concave: halves of two points can lose more than the mean of what they lose."""
        source = problem(3)
        question = Session(source, units="nats").question(DISTORTION)
        reduced = question.problem
        ceiling = Ceiling(question)
        rng = np.random.default_rng(0)
        for _ in range(12):
            from drcopt.coupling import round_onto_marginals
            from drcopt.formulations import Part

            P = round_onto_marginals(reduced.px[:, None] * rng.dirichlet(np.ones(3) * 0.3, 3), reduced.px, reduced.py)
            values = np.array([*question.values([Part(1.0, P)]), 0.0])
            ceiling.add(Found((Part(1.0, P),), values, np.full(4, math.inf), np.full(4, 1e-14)))
        for k in range(12):
            for _ in range(20):
                budgets = np.array([[math.inf, rng.uniform(0, 1), rng.uniform(0.2, 0.7), math.inf]])
                found = ceiling.mixture(DISTORTION, budgets, k)
                if found is None:
                    continue
                shares, value = found
                P = sum(w * ceiling.points[i].parts[0].coupling for i, w in shares)
                assert reduced.rate(P) <= budgets[0, 1] + 1e-12
                assert reduced.classification_loss(P) <= budgets[0, 2] + 1e-12
                assert reduced.distortion(P) <= value + 1e-12

    def test_a_point_holds_where_it_is_and_at_looser_budgets_alone(self) -> None:
        question = Session(problem(), units="nats").question(DISTORTION)
        ceiling = Ceiling(question)
        from drcopt.formulations import Part

        P = question.problem.independent
        ceiling.add(Found((Part(1.0, P),), np.array([0.5, 0.2, 0.6, 0.1]), np.full(4, math.inf), np.zeros(4)))
        at = np.array([[0, 0.2, 0.6, 1], [0, 0.19, 0.6, 1], [0, 0.2, 0.59, 1], [0, 3.0, 3.0, 0.1], [0, 3.0, 3.0, 0.09]])
        assert ceiling.staircase(DISTORTION, at).tolist() == [0.5, math.inf, math.inf, 0.5, math.inf]


class TestHowItRuns:
    def test_an_executor_changes_nothing(self, curve: drcopt.Surface) -> None:
        with ThreadPoolExecutor(2) as pool:
            other = drcopt.surface(problem(), R=(0.05, 1.0), tol=1e-3, executor=pool)
        R = np.linspace(0.05, 1.0, 50)
        np.testing.assert_array_equal(other.lower(R), curve.lower(R))
        np.testing.assert_array_equal(other.upper(R), curve.upper(R))

    def test_it_resumes(self, tmp_path: Path, curve: drcopt.Surface, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "surface.jsonl"
        first = drcopt.surface(problem(), R=(0.05, 1.0), tol=1e-3, checkpoint=path)
        content = path.read_bytes()
        path.write_bytes(b"\n".join(content.split(b"\n")[:4]) + b"\n")  # killed after three answers
        again = drcopt.surface(problem(), R=(0.05, 1.0), tol=1e-3, checkpoint=path)
        R = np.linspace(0.05, 1.0, 50)
        np.testing.assert_array_equal(again.lower(R), first.lower(R))
        np.testing.assert_array_equal(again.upper(R), first.upper(R))
        assert path.read_bytes() == content
        monkeypatch.setattr("drcopt.sweeps.asking.run", lambda tasks: pytest.fail("answered anew"))
        drcopt.surface(problem(), R=(0.05, 1.0), tol=1e-3, checkpoint=path)
        with pytest.raises(CheckpointError, match=r"tol is 0\.001 there and 0\.01 here"):
            drcopt.surface(problem(), R=(0.05, 1.0), tol=1e-2, checkpoint=path)

    def test_a_time_limit_leaves_what_is_known(self) -> None:
        found = drcopt.surface(problem(), R=(0.05, 1.0), C=(0.5, 0.6), tol=1e-6, time_limit=0.01)
        assert found.termination == "the time limit was reached"
        assert found.known < 1.0
        answer = drcopt.solve(problem(), R=0.7, C=0.65)
        assert float(found.lower(0.7, 0.65)) <= answer.value <= float(found.upper(0.7, 0.65))

    def test_a_table_says_what_is_known(self, sheet: drcopt.Surface) -> None:
        table = sheet.table(4, 3)
        assert len(table) == 12
        assert set(table["status"]) <= {"known", "open", "unknown", "infeasible"}
        known = table[table["status"] == "known"]
        assert (known["lower_bound"] <= known["value"]).all()
        assert (known["gap"] <= sheet.tolerance).all()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "one to three of R, C, D and P must be ranges"),
            ({"R": (0.5,)}, "R must be \\(least, most\\)"),
            ({"R": (0.5, 0.1)}, "R must be \\(least, most\\) with least < most"),
            ({"R": (0.1, math.inf)}, "finite"),
            ({"R": (-0.1, 0.5)}, "R\\[0\\] must be nonnegative"),
            ({"R": (0.1, 0.5), "D": 0.1}, "D must not be given where the distortion is minimised"),
            ({"R": (0.1, 0.5), "formulation": "one-shot"}, "Sweep it instead"),
            ({"R": (0.1, 0.5), "tol": 0.0}, "tol must be positive"),
            ({"R": (0.1, 0.5), "objective": "height"}, "objective must be one of"),
            ({"R": (0.1, 0.5), "at": 1}, "at must be how many budgets along each of 1 axes, at least 2"),
            ({"R": (0.1, 0.5), "at": (3, 3)}, "at must be how many"),
            ({"R": (0.1, 0.5), "at": 2**20}, "16384 places in all"),
        ],
    )
    def test_bad_input(self, arguments: dict[str, object], message: str) -> None:
        with pytest.raises(InputError, match=message):
            drcopt.surface(problem(), **arguments)  # type: ignore[arg-type]

    def test_forbidden_pairs(self) -> None:
        d = np.array([[0.0, np.inf], [1.0, 0.0]])
        with pytest.raises(InputError, match="d must be finite for a surface"):
            drcopt.surface(drcopt.Problem([0.5, 0.5], [0.4, 0.6], np.eye(2), d), R=(0.1, 0.5))

    def test_budgets_asked_for(self, sheet: drcopt.Surface) -> None:
        with pytest.raises(InputError, match="budgets must be given for R and C; there are 1"):
            sheet.lower(0.5)
        with pytest.raises(InputError, match="R must be nonnegative"):
            sheet.upper(-0.5, 0.8)
        assert "known to" in repr(sheet)


def test_the_pieces_of_a_tree_bound_as_it_does() -> None:
    source = problem()
    certificate = drcopt.solve(source, R=0.5, C=0.75).certificate
    for evidence in certificate.evidence:
        assert isinstance(evidence, PosteriorTree)
        question = certificate.formulation
        rough = min(map(question.bound, evidence.pieces(question)))
        assert rough == pytest.approx(evidence.bound(question), abs=1e-5)


class TestPictures:
    @pytest.fixture(autouse=True)
    def matplotlib(self) -> None:
        pytest.importorskip("matplotlib").use("Agg")

    def test_a_map_with_its_edge(self, sheet: drcopt.Surface) -> None:
        from matplotlib.figure import Figure

        figure = sheet.plot(size=(3.4, 2.8))
        ax = figure.axes[0]
        assert ax.get_ylabel() == "classification budget C (bits)"
        assert ax.get_title().endswith("known within 0.005")
        assert [t.get_text() for t in figure.legends[0].get_texts()][:2] == ["edge", "infeasible"]
        (line,) = [line for line in ax.get_lines() if line.get_label() == "edge"]
        R, C = line.get_data()
        lower, upper = sheet.edge(R)
        np.testing.assert_allclose(C, upper)
        assert (lower <= upper).all()
        assert len(ax.collections) >= 3  # the map, its contours and the band of the edge
        mine = Figure().add_subplot()
        assert sheet.plot(ax=mine, title="mine") is mine.figure
        assert mine.get_title() == "mine"

    def test_where_floor_and_ceiling_lie_apart_are_dots(self, sheet: drcopt.Surface) -> None:
        table = sheet.table(6, 6)
        assert "open" not in set(table["status"])
        table.loc[table["status"] == "known", "status"] = "open"
        figure = drcopt.plotting.surface(table)
        assert "floor and ceiling further apart" in [t.get_text() for t in figure.legends[0].get_texts()]

    def test_a_curve(self, curve: drcopt.Surface) -> None:
        ax = curve.plot().axes[0]
        assert ax.get_xlabel() == "rate budget R (bits)"
        assert ax.get_title() == f"100.0% known within {curve.tolerance:.3g}"
        (line,) = [line for line in ax.get_lines() if len(line.get_xdata()) == 400]
        assert np.asarray(line.get_ydata()) == pytest.approx(curve.upper(np.asarray(line.get_xdata())))


class TestTheCommand:
    def run(self, *arguments: object) -> int:
        from drcopt.cli import main

        return main([str(a) for a in ("surface", "bernoulli", *arguments)])

    def test_a_curve(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        table, proof = tmp_path / "curve.csv", tmp_path / "curve.json"
        assert self.run("--R", "0.2:0.6", "--tol", 0.02, "--out", table, "--certificate", proof) == 0
        out, err = capsys.readouterr()
        assert "100.0% known to 0.02" in out and f"drcopt: wrote {proof}" in err
        lines = table.read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("rate_budget_bits,") and len(lines) == 21
        from drcopt.checker import check

        assert check(proof).accepted

    def test_the_time_limit_came_first(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.run("--R", "0.5:0.8", "--C", "0.8:0.9", "--tol", 1e-5, "--time-limit", 0.02) == 1
        assert "the time limit came when" in capsys.readouterr().err

    @pytest.mark.parametrize("text", ["a", "0.1:0.2:0.3"])
    def test_a_range_that_is_none(self, text: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.run("--R", text) == 2
        assert "must be a number, or two with a colon between them" in capsys.readouterr().err
