"""From a user's file to a figure and a LaTeX table, on the command line and in Python; real tables with known facts."""

from __future__ import annotations

import importlib
import io
import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from test_labels import EYES, HAIR, MEN, WOMEN

import drcopt
from drcopt import export, sources
from drcopt.cli import main
from drcopt.errors import InputError
from drcopt.labels import Labels
from drcopt.tables import read_table

#: 592 students, one row a cell: sex, hair, eyes and how many.
STUDENTS = pd.DataFrame(
    [
        (sex, hair, eyes, count)
        for sex, table in (("men", MEN), ("women", WOMEN))
        for hair, row in zip(HAIR, table, strict=True)
        for eyes, count in zip(EYES, row, strict=True)
    ],
    columns=["sex", "hair", "eyes", "n"],
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    STUDENTS.to_csv("students.csv", index=False)
    return tmp_path


def run(capsys, *args, code=0):
    found = main([str(arg) for arg in args])
    out, err = capsys.readouterr()
    assert found == code, err
    return out, err


COLUMNS = ("--x", "hair", "--s", "eyes", "--weights", "n")


class TestCommandLine:
    def test_a_table_of_samples(self, folder, capsys):
        out, _ = run(capsys, "solve", "students.csv", *COLUMNS, "--R", 0.5, "--json")
        said = json.loads(out)
        expected = drcopt.Problem.from_samples("hair", "eyes", py="px", data=STUDENTS, weights="n")
        assert said["problem_fingerprint"] == expected.fingerprint
        assert said["labels"]["x"] == sorted(HAIR) and said["problem"] == {"name": "students", "n": 4, "m": 4, "k": 4}
        assert np.sum(said["coupling"]) == pytest.approx(1) and said["status"] == "optimal"
        assert said["accuracy"] + said["bayes_error"] == pytest.approx(1)

    def test_other_separators_and_stdin(self, folder, capsys, monkeypatch):
        def answer(source):
            said = json.loads(run(capsys, "solve", source, *COLUMNS, "--R", "0.5", "--json")[0])
            return said["problem_fingerprint"], said["labels"], said["distortion"]

        first = answer("students.csv")
        STUDENTS.to_csv("semicolons.csv", index=False, sep=";", encoding="utf-8-sig")
        assert answer("semicolons.csv") == first
        monkeypatch.setattr("sys.stdin", io.StringIO(STUDENTS.to_csv(index=False)))
        assert answer("-") == first

    def test_counts_that_nobody_named_are_mentioned(self, folder, capsys):
        _, err = run(capsys, "solve", "students.csv", *COLUMNS[:4], "--R", "0.5")
        assert err == "drcopt: each row of students.csv counts once; if n says how many there are, pass --weights n\n"
        pd.concat([STUDENTS, STUDENTS]).to_csv("twice.csv", index=False)  # samples, and a number with each
        for letters, name in (
            (COLUMNS, "students.csv"),
            (COLUMNS[:4], "twice.csv"),
            (("--x", "hair,n", "--s", "eyes"), "students.csv"),
        ):
            assert run(capsys, "solve", name, *letters, "--R", "0.5")[1] == ""

    def test_json_on_stdin(self, capsys, monkeypatch):
        problem = {"px": [0.5, 0.5], "py": [0.5, 0.5], "ps_given_x": [[1, 0], [0, 1]], "name": "coin"}
        monkeypatch.setattr("sys.stdin", io.StringIO("\ufeff" + json.dumps(problem)))
        said = json.loads(run(capsys, "solve", "-", "--R", 0.5, "--json")[0])
        assert said["problem"]["name"] == "coin" and said["distortion"] == pytest.approx(0.110028, abs=1e-6)

    @pytest.mark.parametrize(
        ("args", "match"),
        [
            (["students.csv"], "columns of its letters; --x and --s are missing"),
            (["students.csv", "--x", "hair", "--s", "eye"], "s must name a column of data"),
            (["bernoulli", "--x", "hair"], "--x must go with a .csv"),
            (["absent.csv", "--x", "a", "--s", "b"], "could not be read (No such file"),
            (["bernoulli:px=0.3,p2=0.1"], "options of source 'bernoulli' must be among px, py, p1; p2 arrived"),
            (["bernoulli:0.3"], "must read bernoulli:option=value"),
            (["bernoulli:px=zero"], "px must be a number from 0 to 1; it is 'zero'"),
        ],
    )
    def test_refused(self, folder, capsys, args, match):
        out, err = run(capsys, "solve", *args, "--R", 1, code=2)
        assert out == "" and match in err and err.count("\n") == 1

    def test_parameters_of_sources(self, capsys):
        said = json.loads(run(capsys, "solve", "bernoulli:px=0.4,p1=0.1", "--R", 0.3, "--json")[0])
        assert said["problem_fingerprint"] == sources.bernoulli(px=0.4, p1=0.1).fingerprint
        assert sources.named("gaussian:points=5", classes=3).k == 3

    def test_files_are_not_overwritten_unasked(self, folder, capsys):
        command = ["sweep", "bernoulli", "--R", "0.5", "--C", "inf", "--jobs", 1, "--out", "t.csv"]
        assert "wrote 1 row to" in run(capsys, *command)[1]
        assert "t.csv must not exist yet; it does" in run(capsys, *command, code=2)[1]
        run(capsys, *command, "--force")

    def test_the_edge(self, capsys):
        out, _ = run(capsys, "edge", "bernoulli", "--R", "0,0.4", "--units", "nats", "--json")
        first, second = json.loads(out)
        assert first["classification_loss"] == pytest.approx(sources.bernoulli().entropy_s)
        assert second["lower_bound"] <= second["classification_loss"] <= first["lower_bound"]
        assert second["classification_loss"] - second["lower_bound"] < 1e-5

    def test_other_objectives(self, capsys):
        parity = "bernoulli:px=0.3,p1=0.1"
        least = json.loads(run(capsys, "solve", parity, "--minimize", "rate", "--D", 0.15, "--json")[0])
        assert least["objective"] == "rate" and least["distortion_budget"] == 0.15
        back = json.loads(run(capsys, "solve", parity, "--R", least["value"], "--json")[0])
        assert back["distortion"] == pytest.approx(0.15, abs=1e-5)
        out, _ = run(capsys, "solve", parity, "--minimize", "classification-loss", "--R", 0.4)
        assert "bits, of the classification loss" in out

    def test_units_of_a_sweep(self, folder, capsys):
        grid = ["--R", repr(0.5 * math.log(2)), "--C", "inf", "--jobs", 1]
        run(capsys, "sweep", "bernoulli", *grid, "--units", "nats", "--out", "nats.csv")
        assert read_table("nats.csv")["rate_budget_bits"].tolist() == pytest.approx([0.5])

    def test_from_data_to_paper(self, folder, capsys):
        run(
            capsys,
            "sweep",
            "students.csv",
            *COLUMNS,
            "--R",
            "0:1.5:0.5",
            "--C",
            "1.75,inf",
            "--jobs",
            1,
            "--out",
            "t.csv",
        )
        run(capsys, "edge", "students.csv", *COLUMNS, "--R", "0,0.5", "--out", "edge.csv")
        pd.DataFrame({"rate": [1.0], "distortion": [0.5], "loss": [1.8]}).to_csv("codec.csv")
        more = ["--points", "codec.csv", "--edge", "edge.csv", "--size", "3.4x2.6", "--title", r"$\foo"]
        pytest.importorskip("matplotlib")
        run(capsys, "plot", "t.csv", "-o", "figure.pdf", *more, "--style", "dark_background")
        run(capsys, "plot", "t.csv", "-o", "loss.svg", "--x", "C")
        for name in ("table.tex", "curve.tikz", "long.csv"):
            run(capsys, "export", "t.csv", "-o", name)
        assert (folder / "figure.pdf").read_bytes().startswith(b"%PDF")
        assert "\\toprule" in (folder / "table.tex").read_text() and "\\addplot" in (folder / "curve.tikz").read_text()
        assert "must not be a table that is read" in run(capsys, "export", "t.csv", "-o", "t.csv", "--force", code=2)[1]
        assert "WIDTHxHEIGHT" in run(capsys, "plot", "t.csv", "-o", "a.png", "--size", "3", code=2)[1]
        assert "a style of matplotlib" in run(capsys, "plot", "t.csv", "-o", "a.png", "--style", "odd", code=2)[1]

    def test_progress_of_a_long_solve(self, folder, capsys, monkeypatch):
        module = importlib.import_module("drcopt.cli.solve")
        monkeypatch.setattr(module, "PATIENCE", 0.0)
        monkeypatch.setattr(module, "QUIET", 0.0)
        parity = drcopt.Problem([0.25] * 4, [0.25] * 4, [[0.9, 0.1], [0.1, 0.9]] * 2, "squared-error")
        sources.save(parity, folder / "parity.json")
        _, err = run(capsys, "solve", "parity.json", "--R", 1, "--C", 0.7, "--time-limit", 20, "--progress")
        lines = [line for line in err.splitlines() if "proved ≥" in line]
        assert lines and lines[-1].startswith("drcopt: ")


class TestProblemFiles:
    @pytest.mark.parametrize("suffix", [".json", ".npz"])
    def test_names_go_with_the_arrays(self, tmp_path, suffix):
        W = pd.DataFrame([[3, 1], [1, 3]], index=[10, 12], columns=["u", "v"])
        problem = drcopt.Problem.from_joint(W, "px", "squared-error", name="two", units="mm²")
        sources.save(problem, tmp_path / f"p{suffix}")
        back = sources.named(tmp_path / f"p{suffix}")
        assert back == problem and (back.name, back.units) == ("two", "mm²")
        assert back.labels == Labels((10, 12), (10, 12), ("u", "v"))

    def test_unknown_keys_are_named(self, tmp_path):
        text = {"px": [1], "py": [1], "ps_given_x": [[1]], "label": {}}
        (tmp_path / "p.json").write_text(json.dumps(text))
        with pytest.raises(InputError, match=r"and nothing else; it holds label\. Did you mean labels"):
            sources.named(tmp_path / "p.json")

    def test_labels_in_a_file_are_checked(self, tmp_path):
        text = {"px": [1], "py": [1], "ps_given_x": [[1]], "labels": {"x": ["a", "b"]}}
        (tmp_path / "p.json").write_text("\ufeff" + json.dumps(text))
        with pytest.raises(InputError, match=r"p\.json, labels\['x'\] must name the 1 letters of X; it has 2"):
            sources.named(tmp_path / "p.json")


@pytest.fixture(scope="module")
def table():
    return drcopt.sweep(sources.bernoulli(), R=[0.0, 0.4], C=[0.84, None], progress=False)


class TestExport:
    def test_latex(self, table):
        text = export.latex(table, caption="Bernoulli", label="tab:b", units="flips")
        lines = text.splitlines()
        assert lines[0] == r"\begin{table}" and lines[-1] == r"\end{table}" and r"\caption{Bernoulli}" in lines
        assert r"0 & 0.84 & $\infty$ & -- & -- & -- & infeasible \\" in lines
        assert any(line.startswith(r"$R$ (bits) & $C$ (bits) & $D$ (flips)") for line in lines)
        assert text.count("&") % 6 == 0  # every row has as many cells

    def test_latex_of_chosen_columns(self, table):
        text = export.latex(table.assign(note="50 % & more_"), ["note", "gap"], digits=2, headings={"gap": "$g$"})
        assert r"50 \% \& more\_" in text and r"note & $g$ \\" in text
        with pytest.raises(InputError, match="it lacks price"):
            export.latex(table, ["price"])
        with pytest.raises(InputError, match="digits must"):
            export.latex(table, digits=0)

    def test_numbers_in_latex(self, table):
        text = export.latex(table.assign(lower_bound=-math.inf, gap=1.5e-9), ["gap", "lower_bound"])
        assert r"$1.5 \times 10^{-9}$ & $-\infty$ \\" in text

    def test_pgfplots(self, table):
        text = export.pgfplots(table)
        assert text.count(r"\addplot table {") == 2 and r"\addlegendentry{C = $\infty$}" in text
        assert "0.0 nan" in text and "unbounded coords=jump" in text

    def test_long_form(self, table):
        long = export.tidy(table)
        assert len(long) == len(table) * long["quantity"].nunique()
        pivoted = long[long.quantity == "distortion"]["value"].to_numpy()
        np.testing.assert_array_equal(pivoted, table["distortion"])
        assert set(long[long.quantity == "rate"]["unit"]) == {"bits"}

    def test_brief(self, table):
        assert list(export.brief(table).columns) == [
            *("rate_budget_bits", "classification_budget_bits", "distortion", "lower_bound", "status"),
        ]
        two = pd.concat([table, table.assign(formulation="one-shot", problem_fingerprint="x")])
        assert list(export.brief(two).columns)[:2] == ["problem_fingerprint", "formulation"]


class TestRealTables:
    """Known facts about known tables."""

    def test_eyes_tell_of_hair(self):
        """Hair and eye colour of 592 students depend on each other: chi² = 138.29, as R says of HairEyeColor."""
        counts = np.array(MEN) + np.array(WOMEN)
        problem = drcopt.Problem.from_joint(pd.DataFrame(counts, index=HAIR, columns=EYES), "px")
        expected = np.outer(counts.sum(1), counts.sum(0)) / counts.sum()
        assert ((counts - expected) ** 2 / expected).sum() == pytest.approx(138.29, abs=0.01)
        information = problem.entropy_s - problem.entropy_s_given_x  # 2N I is close to chi²
        assert 2 * 592 * information == pytest.approx(146.44, abs=0.01)
        edge = drcopt.min_classification_loss(problem, R=2.0, units="bits")
        assert edge.classification_loss >= problem.entropy_s_given_x / math.log(2) - 1e-9

    def test_a_department_says_more_than_a_sex(self):
        """Berkeley 1973: admission depends on the department, hardly on sex within it (Bickel, Hammel, O'Connell)."""
        admitted = {"A": (512, 313, 89, 19), "B": (353, 207, 17, 8), "C": (120, 205, 202, 391)}
        admitted |= {"D": (138, 279, 131, 244), "E": (53, 138, 94, 299), "F": (22, 351, 24, 317)}
        rows = [
            (dept, sex, outcome, n)
            for dept, counts in admitted.items()
            for (sex, outcome), n in zip((("m", "yes"), ("m", "no"), ("f", "yes"), ("f", "no")), counts, strict=True)
        ]
        data = pd.DataFrame(rows, columns=["dept", "sex", "admitted", "n"])
        assert data["n"].sum() == 4526

        def told(*columns):
            problem = drcopt.Problem.from_samples(list(columns), "admitted", py="px", data=data, weights="n")
            return (problem.entropy_s - problem.entropy_s_given_x) / math.log(2)

        assert told("dept") > 9 * told("sex") and told("dept", "sex") < 1.05 * told("dept")

    def test_a_confusion_matrix(self):
        """Fisher's irises by linear discriminants: 147 of 150 right. A reader of the answers is as often right."""
        confusion = [[50, 0, 0], [0, 48, 2], [0, 1, 49]]
        names = ["setosa", "versicolor", "virginica"]
        answers = pd.DataFrame(confusion, index=names, columns=names).T
        problem = drcopt.Problem.from_joint(answers, "px")
        solution = drcopt.solve(problem)  # no limits: Y = X
        assert solution.distortion == pytest.approx(0, abs=1e-12)
        assert solution.accuracy == pytest.approx(147 / 150)


def test_the_command_is_the_same_in_a_shell(tmp_path):
    """A pipe in, JSON out, and an exit code."""
    text = json.dumps({"px": [0.5, 0.5], "py": [0.5, 0.5], "ps_given_x": [[1, 0], [0, 1]]})
    command = [sys.executable, "-m", "drcopt", "solve", "-", "--R", "0.1", "--C", "0.1", "--json"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    said = json.loads(done.stdout)
    assert done.returncode == 1 and said["status"] == "infeasible"
    assert said["least_classification_loss"] == pytest.approx(0.9, abs=1e-3)
