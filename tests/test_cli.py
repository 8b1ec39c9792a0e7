import importlib
import json
import math
from io import StringIO

import click
import numpy as np
import pytest
from fakes import FakeSession

from drcopt import cli, formulations, sources
from drcopt.errors import InputError
from drcopt.questions import quantity
from drcopt.tables import COLUMNS, read_table


@pytest.fixture
def run(capfd):
    def run(*args):
        code = cli.main([str(arg) for arg in args])
        return code, *capfd.readouterr()

    return run


def refused(run, *args, code=2):
    """The message of a command that must end in one line on stderr and nothing on stdout."""
    found, out, err = run(*args)
    assert (found, out) == (code, "")
    assert err.startswith("drcopt: error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err.removeprefix("drcopt: error: ").rstrip("\n")


class TestGrid:
    @pytest.mark.parametrize(
        ("text", "values"),
        [
            ("0.3", [0.3]),
            ("inf", [math.inf]),
            ("0.5,1,inf", [0.5, 1, math.inf]),
            ("0:2:0.1", [i / 10 for i in range(21)]),
            ("0:1:0.333333333", [0, 0.333333333, 0.666666666, 1]),
            ("0:1:0.33333333333", [0, 0.33333333333, 0.66666666666, 1]),
            ("0:1:0.3", [0, 0.3, 0.6, 0.9]),
            ("0.1:0.1:5", [0.1]),
            ("1e-3:3e-3:1e-3", [0.001, 0.002, 0.003]),
            (" 1 , 0:0.2:0.1 ,inf", [1, 0, 0.1, 0.2, math.inf]),
            ("2,1,1", [2, 1, 1]),
            ("-1", [-1]),  # refused as a budget, with the message of budgets
        ],
    )
    def test_reads(self, text, values):
        assert cli.parse_grid(text) == values

    def test_does_not_accumulate_error(self):
        assert cli.parse_grid("0:1000:0.1") == [i / 10 for i in range(10001)]

    @pytest.mark.parametrize("text", ["", "a", "1:2", "1:2:3:4", "0:inf:1", "nan", "0:1:nan", "1,,2", "0..2", "0:1:1:"])
    def test_refuses(self, text):
        with pytest.raises(InputError, match="a grid must read start:stop:step, or numbers with commas between them"):
            cli.parse_grid(text)

    @pytest.mark.parametrize("text", ["2:0:0.1", "0:1:0", "0:1:-0.1"])
    def test_refuses_to_go_down(self, text):
        with pytest.raises(InputError, match=f"must go up by a positive step; '{text}' does not"):
            cli.parse_grid(text)

    def test_refuses_slips_of_the_pen(self):
        with pytest.raises(InputError, match="must have at most 100000 points"):
            cli.parse_grid("0:1:1e-9")


class TestDefaults:
    @pytest.mark.parametrize("name", sources.NAMES)
    def test_cover_what_the_source_can_do(self, name):
        problem = sources.named(name)
        rates, losses = cli.default_rates(problem), cli.default_losses(problem)
        top = min(problem.entropy_x, problem.entropy_y) / math.log(2)
        assert len(rates) == cli.SWEEP_RATES
        assert rates[0] == 0
        assert top <= rates[-1] <= 1.1 * top
        assert all(len(repr(rate)) <= 6 for rate in rates), "a person should be able to read them"
        assert np.diff(rates) == pytest.approx(rates[1])
        assert losses[0] == math.inf
        assert len(losses) == 1 + len(cli.SWEEP_LOSSES)
        for C in losses[1:]:
            assert problem.entropy_s_given_x < C * math.log(2) < problem.entropy_s

    def test_of_sources_with_nothing_to_choose(self):
        still = sources.named("bernoulli", px=0.0)
        assert cli.default_rates(still) == [0.0]
        assert cli.default_losses(sources.named("bernoulli", p1=0.5)) == [math.inf]


@pytest.mark.usefixtures("fake")
class TestSolve:
    def test_reports(self, run):
        code, out, err = run("solve", "bernoulli", "--R", "0.5", "--C", "0.9")
        assert (code, err) == (0, "")
        lines = {line[:27].rstrip(): line[27:] for line in out.splitlines()}
        promise = "a coupling that meets every budget, and a proof that none is better by more than tol"
        distortion = FakeSession(None, **SETTINGS).solve(0.5, 0.9).distortion
        assert list(lines.pop("seconds"))
        assert lines == {
            "status": f"optimal: {promise}",
            "distortion": f"{distortion:.9g}",
            "lower bound": f"{distortion - 1e-9 / 7:.9g}",
            "gap": "1.4e-10",
            "rate": "0.5 bits (budget 0.5)",
            "classification loss": "nan bits (budget 0.9)",
            "rate multiplier": "0.333333 distortion per bit",
            "classification multiplier": "-0 distortion per bit",
            "engine": 'fake: fake, "quoted" ≤',
        }

    def test_json_has_every_field_and_no_bare_nan(self, run):
        code, out, err = run("solve", "bernoulli", "--R", "0.5", "--units", "nats", "--json")
        assert (code, err) == (0, "")

        def refuse(constant):
            raise AssertionError(constant)

        fields = json.loads(out, parse_constant=refuse)
        assert fields["classification_budget"] == "inf"
        assert fields["classification_loss"] == "nan"
        assert fields["multipliers"] == {"rate": 1 / 3, "classification": 0.0, "distortion": "nan", "perception": "nan"}
        assert fields["units"] == "nats"
        assert fields["distortion"] - fields["lower_bound"] == fields["gap"]

    def test_infeasible(self, run):
        message = refused(run, "solve", "bernoulli", "--R", "1", "--C", "0", code=1)
        assert message == "C = 0 bits cannot be met"
        code, out, err = run("solve", "bernoulli", "--R", "1", "--C", "0", "--json")
        assert (code, err.count("\n")) == (1, 1), err
        assert json.loads(out)["distortion"] == "inf"

    def test_not_solved(self, run):
        assert refused(run, "solve", "bernoulli", "--engine", "hopeless", code=1) == "nothing was found"

    @pytest.mark.parametrize("suffix", [".csv", ".npy"])
    def test_writes_the_coupling(self, run, tmp_path, suffix):
        path = tmp_path / f"coupling{suffix}"
        assert run("solve", "bernoulli", "--coupling", path)[0] == 0
        coupling = np.load(path) if suffix == ".npy" else np.loadtxt(path, delimiter=",")
        assert coupling.tolist() == [[0.1, 0.2], [0.3, 0.4]]

    def test_refuses_a_coupling_of_another_kind(self, run, tmp_path):
        path = tmp_path / "coupling.txt"
        assert refused(run, "solve", "bernoulli", "--coupling", path) == (
            f"--coupling must end in .csv or .npy; it is {str(path)!r}. Give it one of them."
        )


SETTINGS = {
    "formulation": "single-letter",
    "classifier_sees": "Y",
    "units": "bits",
    "engine": "auto",
    "tol": 1e-6,
    "time_limit": None,
}


@pytest.mark.usefixtures("fake")
class TestSweep:
    def test_prints_csv(self, run, tmp_path):
        code, out, err = run("sweep", "bernoulli", "--R", "0:1:0.25", "--C", "inf,0.9", "--jobs", 1)
        assert (code, err) == (0, "")
        (tmp_path / "t.csv").write_text(out, encoding="utf-8", newline="")
        table = read_table(tmp_path / "t.csv")
        assert table["rate_budget_bits"].tolist() == [0, 0.25, 0.5, 0.75, 1] * 2
        assert table["classification_budget_bits"].tolist() == [math.inf] * 5 + [0.9] * 5

    @pytest.mark.parametrize("name", ["classification-loss", "classification_loss"])
    def test_minimises_what_it_is_told(self, run, tmp_path, name):
        code, _, err = run("sweep", "bernoulli", "--minimize", "rate", "--D", "0.1,0.2", "--C", "inf", "--jobs", 1)
        assert (code, err) == (0, "")
        out = tmp_path / "t.csv"
        code, _, err = run("sweep", "bernoulli", "--minimize", name, "--R", "0.1,0.2", "--jobs", 1, "--out", out)
        assert (code, err) == (0, f"drcopt: wrote 2 rows to {out}: 2 optimal\n")
        assert set(read_table(out)["objective"]) == {"classification_loss"}
        wrong = refused(run, "sweep", "bernoulli", "--minimize", "rate", "--R", "0.1", "--jobs", 1)
        assert wrong.startswith("R must not be given where the rate is minimised; it is [0.1].")

    def test_usual_grids_of_each_objective(self):
        problem, sweeping = sources.named("bernoulli"), importlib.import_module("drcopt.cli.sweep")
        none = dict.fromkeys("DRC")
        rate = sweeping.grids(problem, quantity("rate"), none, "bits")
        assert rate["R"] is None and len(rate["D"]) == 20 and len(rate["C"]) == 3
        assert rate["D"][0] == 0.0 and rate["D"][-1] == pytest.approx(problem.distortion(problem.independent))
        loss = sweeping.grids(problem, quantity("classification_loss"), none, "bits")
        assert loss["C"] is None and loss["D"] == [math.inf] and len(loss["R"]) == 20

    @pytest.mark.parametrize("suffix", [".csv", ".parquet"])
    def test_writes_a_table_and_says_what_is_in_it(self, run, tmp_path, suffix):
        path = tmp_path / f"t{suffix}"
        code, out, err = run("sweep", "bernoulli", "--R", "0,1", "--C", "0,0.9", "--out", path, "--jobs", 1)
        assert (code, out) == (0, "")
        assert err == f"drcopt: wrote 4 rows to {path}: 2 infeasible, 2 optimal\n"
        assert tuple(read_table(path).columns) == COLUMNS

    def test_settings_reach_every_row(self, run, tmp_path):
        settings = ("--formulation", "one-shot", "--classifier-sees", "YU", "--tol", "1e-3")
        run("sweep", "bernoulli", "--R", "0,1", *settings, "--out", tmp_path / "t.csv", "--jobs", 1)
        table = read_table(tmp_path / "t.csv")
        assert set(zip(table["formulation"], table["classifier_sees"], table["tol"], strict=True)) == {
            ("one-shot", "YU", 1e-3)
        }

    @pytest.mark.parametrize(
        ("args", "limit"),
        [
            ((), cli.SWEEP_TIME_LIMIT),
            (("--C", "inf"), None),
            (("--C", "0.9"), cli.SWEEP_TIME_LIMIT),
            (("--C", "0.9", "--time-limit", "7"), 7.0),
            (("--C", "0.9", "--time-limit", "inf"), None),
        ],
    )
    def test_time_limit(self, run, tmp_path, args, limit):
        run("sweep", "bernoulli", "--jobs", 1, "--checkpoint", tmp_path / "rows", *args)
        assert json.loads((tmp_path / "rows").read_text(encoding="utf-8").splitlines()[0])["time_limit"] == limit

    def test_progress(self, run):
        assert "2/2" in run("sweep", "bernoulli", "--R", "0,1", "--C", "inf", "--progress")[2]
        assert run("sweep", "bernoulli", "--R", "0,1", "--C", "inf", "--no-progress")[2] == ""

    def test_says_so_if_nothing_was_solved(self, run, tmp_path):
        path = tmp_path / "t.csv"
        code, _, err = run("sweep", "bernoulli", "--R", "0.5", "--C", "inf", "--engine", "raises", "--out", path)
        assert code == 1
        assert err.splitlines() == [
            f"drcopt: wrote 1 row to {path}: 1 unknown",
            "drcopt: error: none of the 1 points was solved; the first: RuntimeError: the solver fell over",
        ]

    def test_where_the_table_goes_is_checked_before_solving(self, run, tmp_path, monkeypatch):
        monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
        out = tmp_path / "nowhere" / "t.csv"
        assert refused(run, "sweep", "bernoulli", "--out", out) == (
            f"path must lie in an existing folder; {out.parent} is not one. Create it first."
        )
        assert refused(run, "sweep", "bernoulli", "--out", tmp_path / "t.txt").startswith("path must end in .csv or")
        assert not (tmp_path / "log").exists()

    def test_errors(self, run, tmp_path):
        assert refused(run, "sweep", "bernoulli", "--R", "-1").startswith("R[0] must be nonnegative; it is -1. ")
        assert refused(run, "sweep", "bernoulli", "--R", "0:1") == (
            "Invalid value for '--R': a grid must read start:stop:step, or numbers with commas between them; "
            "'0:1' does not. Write e.g. 0:2:0.1 or 0.5,1,inf. Try 'drcopt sweep --help'."
        )
        (tmp_path / "rows").write_text("notes\n")
        assert refused(run, "sweep", "bernoulli", "--jobs", 1, "--checkpoint", tmp_path / "rows") == (
            f"checkpoint {tmp_path / 'rows'} is not a drcopt checkpoint; it was left as it is. "
            f"Give this sweep another file."
        )
        assert refused(run, "sweep", "bernoulli", "--tol", "0").startswith("tol must be positive and finite; it is 0")

    def test_ctrl_c(self, run, tmp_path):
        args = ("sweep", "bernoulli", "--R", "0.5", "--C", "inf", "--engine", "interrupts")
        assert refused(run, *args, code=130) == "interrupted; use --checkpoint to be able to resume"
        resumable = (*args, "--checkpoint", tmp_path / "rows")
        assert refused(run, *resumable, code=130) == "interrupted; the same command resumes"
        assert refused(run, "solve", "bernoulli", "--R", "0.5", "--engine", "interrupts", code=130) == "interrupted"

    def test_an_output_that_cannot_be_written_in_the_end(self, run, tmp_path, monkeypatch):
        def fail(descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", fail)
        message = refused(run, "sweep", "bernoulli", "--R", "1", "--C", "inf", "--out", tmp_path / "t.csv", code=1)
        assert "No space left on device" in message
        assert not list(tmp_path.iterdir())


class TestErrors:
    def test_of_usage_are_one_line_with_a_hint(self, run):
        for args, command in [
            (("solve", "bernoulli", "--nope"), "drcopt solve"),
            (("solve",), "drcopt solve"),
            (("bake",), "drcopt"),
            (("sweep", "bernoulli", "--jobs", "0"), "drcopt sweep"),
            (("solve", "bernoulli", "--formulation", "letters"), "drcopt solve"),
            (("solve", "bernoulli", "--R", "much"), "drcopt solve"),
        ]:
            assert refused(run, *args).endswith(f" Try '{command} --help'.")

    def test_unknown_source(self, run):
        message = refused(run, "solve", "nothing")
        assert message.startswith("source must be a known name or a file ending in .npz or .json; it is 'nothing'.")

    def test_bugs_are_one_line_unless_asked_for(self, run, monkeypatch):
        def fail(*args, **kwargs):
            raise ZeroDivisionError("two\nlines")

        monkeypatch.setattr(sources, "named", fail)
        monkeypatch.delenv("DRCOPT_DEBUG", raising=False)
        message = refused(run, "solve", "bernoulli", code=1)
        assert message == "ZeroDivisionError: two lines (set DRCOPT_DEBUG=1 to see where)"
        monkeypatch.setenv("DRCOPT_DEBUG", "1")
        code, out, err = run("solve", "bernoulli")
        assert (code, out) == (1, "")
        assert err.startswith("Traceback (most recent call last)")
        assert err.splitlines()[-1].startswith("drcopt: error: ZeroDivisionError: two lines")

    def test_a_missing_extra_is_an_input_error(self, run, tmp_path, monkeypatch):
        from drcopt.support import check

        def without(module):
            raise ImportError(module)

        monkeypatch.setattr(check.importlib, "import_module", without)
        message = refused(run, "sweep", "bernoulli", "--out", tmp_path / "t.parquet")
        assert message.endswith("Run: pip install 'drcopt[parquet]'")


class TestHelp:
    def test_every_command_and_option_is_explained(self, run):
        assert set(cli.cli.commands) == {
            *(
                "check",
                "edge",
                "explore",
                "export",
                "plot",
                "restore",
                "solve",
                "sources",
                "surface",
                "sweep",
                "validate",
            )
        }
        for name, command in cli.cli.commands.items():
            code, out, err = run(name, "--help")
            assert (code, err) == (0, "")
            assert "Example" in out
            assert f"  drcopt {name}" in out
            for option in command.params:
                explained = isinstance(option, click.Argument) or option.help or isinstance(option.type, click.Choice)
                assert explained, f"{name} {option.name}"
                assert option.opts[0] in out or isinstance(option, click.Argument)

    def test_without_a_command(self, run):
        assert run() == run("--help") == run("-h")
        assert "Example" in run()[1]

    @pytest.mark.usefixtures("fake")
    def test_examples_run(self, run, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        examples = set()
        for command in ("", "solve", "sources", "sweep"):  # the others have tests of their own, on real answers
            out = run(*command.split(), "--help")[1]
            examples |= {line.strip() for line in out.splitlines() if line.startswith("    drcopt ")}
        assert len(examples) >= 4
        for example in examples:
            args = example.split()[1:]
            code, _, err = run(*args, *(["--jobs", 1] if args[0] == "sweep" else []))
            assert code == 0, (example, err)
        assert (tmp_path / "digits.csv").exists()

    def test_formulations_are_the_ones_there_are(self):
        assert cli.options.FORMULATIONS is formulations.NAMES

    def test_version(self, run):
        code, out, err = run("--version")
        assert (code, err) == (0, "")
        assert out.startswith("drcopt ")

    def test_sources(self, run):
        code, out, err = run("sources")
        assert (code, err) == (0, "")
        assert [line.split()[0] for line in out.splitlines()] == list(sources.NAMES)
        assert all(description in out for description in sources.NAMES.values())


class TestRealEngine:
    def test_solve(self, run):
        code, out, err = run("solve", "bernoulli", "--R", "0.3")
        assert (code, err) == (0, "")
        assert out.startswith("status                     optimal: ")

    def test_infeasible(self, run):
        message = refused(run, "solve", "bernoulli", "--R", "1", "--C", "0.1", code=1)
        assert message.startswith("C = 0.1 bits cannot be met")
        code, out, _ = run("solve", "bernoulli", "--R", "1", "--C", "0.1", "--json")
        least = json.loads(out)["least_classification_loss"]
        assert code == 1
        assert f"is at least {least:.8g} bits there" in message

    def test_sweep(self, run):
        code, out, _ = run("sweep", "bernoulli", "--R", "0:1:0.1", "--C", "inf", "--jobs", 1)
        assert code == 0
        header, *rows = StringIO(out).read().splitlines()
        assert header == ",".join(COLUMNS)
        assert len(rows) == 11
        assert all(",optimal," in row for row in rows)
