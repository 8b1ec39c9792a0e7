"""Tables of verdicts, and the command that writes them."""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pandas as pd
import pytest
import theorem_verdicts
from theorem_verdicts import INSTANCES, SEED, VERDICTS

from drcopt import theorems
from drcopt.cli import main
from drcopt.problem import Problem
from drcopt.theorems._report import COLUMNS, MEANINGS

verdicts = pytest.fixture(theorem_verdicts.verdicts)
registry = pytest.fixture(theorem_verdicts.registry)


def test_the_table_depends_on_the_seed_and_nothing_else(verdicts):
    some = ["bernoulli-exact-single-letter", "gaussian-printed-zero", "no-budgets"]
    again = theorems.validate(some, instances=INSTANCES, seed=SEED)
    alone = verdicts.loc[some].reset_index()[list(COLUMNS)]
    assert theorems.to_csv(again) == theorems.to_csv(alone)
    other = theorems.validate(some, instances=INSTANCES, seed=SEED + 1)
    assert theorems.to_csv(other) != theorems.to_csv(alone)


def test_more_instances_are_tried_on_demand():
    tried = [theorems.validate("gaussian-printed-rate-limited", instances=n)["tried"].item() for n in (1, 20)]
    counts = [int(text.split()[0]) for text in tried]
    assert counts[1] - counts[0] == 19


def test_random_problems_print_exactly():
    for seed in range(20):
        problem = theorems.random_problem(np.random.default_rng(seed), 3, 4, 2)
        arrays = dict(re.findall(r"(\w+)=(\[.*?\])(?=, \w+=|$)", theorems.describe(problem)))
        read = {name: np.array(eval(text)) for name, text in arrays.items()}
        assert Problem(**read).fingerprint == problem.fingerprint
    free = Problem([0.5, 0.5], None, np.eye(2), "hamming")
    assert theorems.describe(free).startswith("px=[0.5, 0.5], py=free, ps_given_x=")


# -- the table in files ----------------------------------------------------------------------------------------


def test_columns_are_explained(verdicts):
    assert list(verdicts.reset_index().columns) == list(COLUMNS) == list(MEANINGS)


def test_csv_reads_back_exactly(verdicts):
    table = verdicts.reset_index()
    rows = list(csv.reader(io.StringIO(theorems.to_csv(table))))
    assert rows[0] == list(COLUMNS)
    assert len(rows) == len(table) + 1
    at = COLUMNS.index("largest_deviation")
    assert [float(row[at]) for row in rows[1:]] == table["largest_deviation"].tolist()


def test_markdown_has_a_summary_and_a_section_for_each(verdicts):
    text = theorems.to_markdown(verdicts.reset_index())
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == len(VERDICTS) + 2
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {6}
    assert re.findall("^## (.*?): ", text, re.MULTILINE) == list(VERDICTS)
    assert "Predicted -0.0289162" in text
    assert "computed infeasible (one-shot, infeasible (proved: classification loss ≥ 0.8" in text


# -- the command -----------------------------------------------------------------------------------------------


def run(capsys, *args):
    code = main([str(arg) for arg in args])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_validate_prints_markdown(capsys):
    code, out, err = run(capsys, "validate", "gaussian-printed-*", "--instances", 1)
    assert (code, err) == (0, "")
    assert out == theorems.to_markdown(theorems.validate("gaussian-printed-*", instances=1))


@pytest.mark.parametrize("suffix", [".csv", ".md"])
def test_validate_writes_a_file(tmp_path, capsys, suffix):
    target = tmp_path / f"verdicts{suffix}"
    code, out, err = run(capsys, "validate", "gaussian-printed-*", "--instances", 1, "--out", target)
    assert (code, out) == (0, "")
    assert err == f"drcopt: wrote 4 verdicts to {target}: 2 holds under, 1 fails, 1 holds\n"
    render = theorems.to_csv if suffix == ".csv" else theorems.to_markdown
    assert target.read_text(encoding="utf-8") == render(theorems.validate("gaussian-printed-*", instances=1))


def test_validate_lists(capsys):
    code, out, err = run(capsys, "validate", "--list")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == list(VERDICTS)


def test_validate_writes_the_figures(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    folder = tmp_path / "figures"
    code, _, err = run(capsys, "validate", "gaussian-printed-zero", "--figures", folder)
    assert code == 0
    written = sorted(path.name for path in folder.iterdir())
    assert written == ["bernoulli.png", "gaussian.png", "gaussian_convergence.csv"]
    assert err.count("\n") == 3
    table = pd.read_csv(folder / "gaussian_convergence.csv")
    assert table["points"].tolist() == [11, 21, 41, 81] * 3


def test_validate_loads_theorems_of_the_user(tmp_path, capsys, registry):
    file = tmp_path / "own.py"
    file.write_text(
        "from drcopt import theorems\n"
        "@theorems.theorem(name='own', statement='1 = 2', where='nowhere')\n"
        "def own(rng, instances):\n"
        "    yield 1.0, 2.0, 'numbers'\n"
    )
    code, out, _ = run(capsys, "validate", "--load", file, "own")
    assert code == 0
    assert "## own: fails" in out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["fermat"], "names must be theorems or patterns that match some; 'fermat' is none"),
        (["--out", "verdicts.txt"], "path must end in .csv or .md; it is 'verdicts.txt'"),
        (["--out", "missing/verdicts.md"], "path must lie in an existing folder; missing is not one"),
        (["--instances", "0"], "Invalid value for '--instances'"),
        (["--seed", "x"], "Invalid value for '--seed'"),
        (["--time-limit", "0"], "time_limit must be positive and finite; it is 0"),
        (["--load", "missing.py"], "--load must name a Python file; missing.py is not one"),
        (["--load", "broken.py"], "broken.py ended with ZeroDivisionError: division by zero"),
        (["--figures", "missing/folder"], "--figures must name a folder that can be written; missing/folder cannot"),
        (["--figures", "broken.py"], "--figures must name a folder that can be written; broken.py cannot"),
    ],
)
def test_validate_errors_are_one_line(tmp_path, capsys, monkeypatch, args, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    code, out, err = run(capsys, "validate", *args)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("drcopt: error: ")
    assert said in err


def test_verdict_tables_are_frames(verdicts):
    assert isinstance(verdicts, pd.DataFrame)
    assert verdicts["tolerance"].dtype == np.float64
