"""Laws of Y in sweeps, in tables and on the command line."""

import json
import math

import numpy as np
import pytest
from fakes import without_seconds

from drcopt import InputError, Problem, cli, min_perception, solve, sweep
from drcopt.errors import CheckpointError
from drcopt.tables import read_table, write_table

PX, W = [0.7, 0.3], [[0.9, 0.1], [0.1, 0.9]]
BINARY, FREE = Problem(PX, PX, W), Problem(PX, None, W)


@pytest.fixture
def run(capfd):
    def run(*args):
        code = cli.main([str(arg) for arg in args])
        return code, *capfd.readouterr()

    return run


def test_rows_say_which_law_they_are_of():
    """R(D, P) of a Bernoulli source: exact, near and free, in the order that is documented."""
    table = sweep(BINARY, D=[0.1, 0.2], P=[0, 0.02, None], objective="rate", tol=1e-8, progress=False)
    assert table["law"].tolist() == ["near"] * 4 + ["free"] * 2
    assert table["perception_budget"].tolist() == [0, 0, 0.02, 0.02, math.inf, math.inf]
    assert table["distortion_budget"].tolist() == [0.1, 0.2] * 3 and set(table["perception_kind"]) == {"tv"}
    rates = [0.426421544088, 0.417674389009, 0.412295305641]  # Blahut and Arimoto's source, in 12 digits
    assert np.abs(table["value"][::2] - rates).max() < 1e-7 and (table["status"] == "optimal").all()
    assert (table["perception"] <= table["perception_budget"]).all()
    free = sweep(FREE, D=[0.1], objective="rate", tol=1e-8, progress=False)
    assert free["law"].tolist() == ["free"] and free["perception_kind"].tolist() == [""]
    assert free["value"][0] == pytest.approx(rates[2], abs=1e-7)
    given = sweep(BINARY, D=[0.1], objective="rate", progress=False)
    assert given["law"].tolist() == ["given"] and math.isnan(given["perception"][0])
    assert given["problem_fingerprint"][0] != free["problem_fingerprint"][0]


def test_the_least_perception_over_budgets():
    table = sweep(BINARY, R=[0.3, 0.5], D=[0.05, 0.12], objective="perception", kind="kl", progress=False)
    assert table["rate_budget_bits"].tolist() == [0.3, 0.5, 0.3, 0.5] and set(table["objective"]) == {"perception"}
    assert table["status"].tolist() == ["infeasible", "infeasible", "infeasible", "optimal"]
    one = min_perception(BINARY, R=0.5, D=0.12, kind="kl")
    assert table["value"][3] == table["perception"][3] == pytest.approx(one.value, abs=2e-6)
    tight = sweep(BINARY, R=[0.417674389], D=[0.1], objective="perception", progress=False)
    assert tight["value"][0] == pytest.approx(0.02, abs=1e-6)


def test_messages_and_the_best_classifier():
    table = sweep(FREE, R=[0.4], C=[0.8, None], classifier_sees="message", progress=False)
    assert set(table["classifier_sees"]) == {"message"} and (table["status"] == "optimal").all()
    one = solve(FREE, R=0.4, C=0.8, classifier_sees="message")
    assert table["accuracy"][0] == pytest.approx(one.accuracy, abs=1e-6)
    assert one.accuracy >= (np.transpose(W) @ one.coupling).max(axis=0).sum() - 1e-9  # of what is read, not of Y only


def test_looser_laws_serve_tighter_rows_and_none_else():
    """A bound at a larger P holds at a smaller one; a free row's point serves none that is near."""
    table = sweep(BINARY, R=[0.2, 0.4], P=[0.01, 0.05, math.inf], progress=False)
    values = table["value"].to_numpy().reshape(3, 2)
    assert (np.diff(values, axis=0) <= 1e-12).all() and (np.diff(values, axis=1) <= 1e-12).all()
    assert (table["perception"] <= table["perception_budget"]).all()
    never = sweep(Problem([0.9, 0.1], [0.1, 0.9], W), D=[0.01], P=[0.05, 0.1, 0.9], objective="rate", progress=False)
    assert never["status"].tolist() == ["infeasible", "infeasible", "optimal"]


def test_checkpoints_and_files(tmp_path):
    path, how = tmp_path / "rows", {"D": [0.1, 0.2], "P": [0.02, 0.1], "objective": "rate", "progress": False}
    whole = sweep(BINARY, **how)
    sweep(BINARY, **how | {"P": 0.02}, checkpoint=path)
    assert without_seconds(sweep(BINARY, **how, checkpoint=path)) == without_seconds(whole)
    with pytest.raises(CheckpointError, match="target"):
        sweep(BINARY, **how, target=[0.5, 0.5], checkpoint=path)
    for suffix in (".csv", ".parquet"):
        assert read_table(write_table(whole, tmp_path / f"t{suffix}")).equals(whole)
    old = whole.drop(columns="law")
    old.to_csv(tmp_path / "old.csv", index=False)
    assert read_table(tmp_path / "old.csv")["law"].tolist() == ["given"] * 4


def test_units_of_a_perception():
    """Those of divergences that are information are the call's; total variation has none."""
    for kind, scale in (("kl", math.log(2)), ("tv", 1.0)):
        bits = sweep(BINARY, R=0.3, P=0.001, kind=kind, progress=False)
        nats = sweep(BINARY, R=0.3 * math.log(2), P=0.001 * scale, kind=kind, units="nats", progress=False)
        assert bits["perception_budget"][0] == pytest.approx(nats["perception_budget"][0], rel=1e-12)
        assert bits["value"][0] == pytest.approx(nats["value"][0], rel=1e-9)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"P": -0.1}, "P must be nonnegative"),
        ({"P": [0.1, math.nan]}, r"P\[1\] must be a number"),
        ({"P": 0.1, "kind": "total"}, "perception kind must be one of"),
        ({"P": 0.1, "kind": "wasserstein"}, "ground must be given"),
        ({"P": 0.1, "target": [1.0]}, "perception target must have one entry per letter of Y"),
        ({"P": 0.1, "target": [0.7, 0.7]}, "target"),
        ({"P": 0.1, "objective": "perception"}, "P must not be given where the perception is minimised"),
        ({"objective": "perceptions"}, "objective must be one of"),
    ],
)
def test_bad_input(more, words):
    with pytest.raises(InputError, match=words):
        sweep(BINARY, R=0.3, **more)


def test_a_target_must_come_from_somewhere():
    with pytest.raises(InputError, match="must have a target where py is None"):
        sweep(FREE, R=0.3, P=0.1)
    with pytest.raises(InputError, match="must have a target where py is None"):
        sweep(FREE, R=0.3, objective="perception")
    near = sweep(FREE, R=0.3, P=0.01, target=PX, progress=False)
    assert near["law"].tolist() == ["near"]


def test_free_laws_need_letters():
    """A name has Y's letters be X's, or those that are named; a function has none without names."""
    assert Problem(PX, None, W, "hamming").m == 2
    assert Problem(PX, None, W, "hamming", labels={"x": ["a", "b"], "y": ["a", "b", "c"]}).m == 3
    with pytest.raises(InputError, match="d must be a name or an array of shape"):
        Problem(PX, None, W, lambda x, y: abs(x - y))


class TestCommands:
    def test_solve_says_the_law(self, run):
        code, out, err = run("solve", "bernoulli:px=0.3", "--R", 0.4, "--py", "free")
        assert (code, err) == (0, "") and "law of Y                   any: 0.7" in out
        out = run("solve", "bernoulli:px=0.3", "--minimize", "rate", "--D", 0.05, "--perception", "tv:0.02")[1]
        assert "near that of the source: " in out and "perception                 0.02, tv (budget 0.02)" in out
        out = run("solve", "bernoulli:px=0.3", "--R", 0.4, "--C", 0.85, "--py", "free", "--classifier-sees", "message")[
            1
        ]
        assert "letters, which the classifier reads" in out
        assert "law of Y" not in run("solve", "bernoulli", "--R", 0.4)[1]

    def test_json(self, run):
        args = ("solve", "bernoulli", "--minimize", "perception", "--perception", "kl", "--json", "--R", 0.4, "--D")
        fields = json.loads(run(*args, 0.2)[1])
        assert fields["objective"] == "perception" and fields["perception_kind"] == "kl" and fields["law"] == "free"
        assert fields["value"] == fields["perception"] >= fields["lower_bound"] and len(fields["output_law"]) == 2
        fields = json.loads(run("solve", "bernoulli", "--py", "free", "--classifier-sees", "message", "--json")[1])
        assert fields["law"] == "free" and set(fields["message"]) == {"letters", "weights", "posteriors", "classes"}
        code, out, _ = run(*args, 0.001)
        assert code == 1 and json.loads(out)["value"] == "inf"

    def test_sweep(self, run, tmp_path):
        path = tmp_path / "t.csv"
        args = ("sweep", "bernoulli:px=0.3", "--C", "inf", "--R", "0.2,0.4", "--jobs", 1, "--out", path)
        assert run(*args, "--perception", "tv:0,0.02,inf")[0] == 0
        table = read_table(path)
        assert table["perception_budget"].tolist() == [0, 0, 0.02, 0.02, math.inf, math.inf]
        assert table["law"].tolist() == ["near"] * 4 + ["free"] * 2
        assert run(*args, "--force", "--py", "free")[0] == 0 and set(read_table(path)["law"]) == {"free"}
        args = (
            "sweep",
            "bernoulli:px=0.3",
            "--minimize",
            "perception",
            "--perception",
            "tv",
            "--R",
            0.4,
            "--out",
            path,
        )
        assert run(*args, "--jobs", 1, "--force")[0] == 0
        table = read_table(path)
        assert len(table) == 20 and (table["value"][:-1].to_numpy() >= table["value"][1:].to_numpy()).all()

    @pytest.mark.parametrize(
        ("args", "words"),
        [
            (("--perception", "tv"), "must have a budget, KIND:P"),
            (("--perception", "tv:x"), "must read kind:budget, such as tv:0.05"),
            (("--perception", "nv:0.1"), "perception kind must be one of"),
            (("--perception", "tv:-1"), "perception budget must be nonnegative"),
            (("--perception", "tv:0.1,0.2"), "must have one budget; it has 2"),
            (("--perception", "tv:0.1", "--py", "free"), "must have a target where py is None"),
            (("--minimize", "perception"), "must come with --perception KIND"),
            (("--minimize", "perception", "--perception", "tv:0.1"), "with a budget, and it is. Drop the budget."),
            (("--classifier-sees", "message", "--formulation", "one-shot"), "needs formulation='single-letter'"),
        ],
    )
    def test_bad_input(self, run, args, words):
        code, out, err = run("solve", "bernoulli", "--R", 0.3, *args)
        assert (code, out) == (2, "") and err.startswith("drcopt: error: ") and words in err


@pytest.mark.parametrize(
    "how",
    [{"P": 0.05}, pytest.param({"classifier_sees": "message"}, marks=pytest.mark.slow)],
    ids=["near", "message"],
)
def test_rows_that_other_rows_settle(how, tmp_path):
    """Whichever engine they would have had: what they say holds, and a resumed sweep says the same."""
    rng = np.random.default_rng(4)
    px, py = rng.dirichlet(np.ones(3), 2)
    problem = Problem(px, py, rng.dirichlet(np.ones(2), 3), rng.random((3, 3)))
    loss = problem.entropy_s_given_x + np.array([0.55, 0.65, 0.75, 0.85, 0.95]) * (
        problem.entropy_s - problem.entropy_s_given_x
    )
    asked = {"R": [0.3, 0.5], "C": (loss / np.log(2)).tolist(), "tol": 1e-2, "progress": False} | how
    table = sweep(problem, **asked, checkpoint=tmp_path / "rows")
    settled = table[table["engine"] == "earlier"]
    assert len(settled) > 0 and set(settled["status"]) == {"optimal"}
    assert (settled["lower_bound"] <= settled["value"]).all()
    fine = asked | {"tol": 1e-4, "C": settled["classification_budget_bits"].unique().tolist()}
    alone = sweep(problem, **fine)
    names = ["rate_budget_bits", "classification_budget_bits"]
    for row in settled.itertuples():
        same = (alone[names].round(9) == [round(getattr(row, name), 9) for name in names]).all(axis=1)
        one = alone[same].iloc[0]
        assert row.lower_bound <= one.value + 1e-9 and one.lower_bound <= row.value + 1e-9
    lines = (tmp_path / "rows").read_bytes().splitlines(keepends=True)
    (tmp_path / "rows").write_bytes(b"".join(lines[:5]))
    assert without_seconds(sweep(problem, **asked, checkpoint=tmp_path / "rows")) == without_seconds(table)
