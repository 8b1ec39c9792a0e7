"""C as a limit on the Bayes error or on another loss of decisions: sweeps, tables, pictures, the command line."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import drcopt
from drcopt import cli, export, plotting, tables
from drcopt.errors import CheckpointError, InputError

TABLE = np.array([[0.0, 1.0, 0.4], [2.0, 0.0, 0.4]])
rng = np.random.default_rng(5)
PROBLEM = drcopt.Problem(rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(2)), rng.dirichlet(np.ones(2), 3))
GUESS = 1.0 - float((PROBLEM.px @ PROBLEM.ps_given_x).max())


@pytest.fixture(scope="module")
def table() -> Any:
    return drcopt.sweep(PROBLEM, R=[0.1, 0.4], C=[0.5 * GUESS, 0.97 * GUESS, None], class_loss="error")


class TestSweep:
    def test_rows_are_the_answers_of_solve(self, table: Any) -> None:
        assert list(table.columns) == list(tables.COLUMNS) and set(table["class_loss"]) == {"error"}
        for _, row in table.iterrows():
            C = row["classification_budget_bits"]
            one = drcopt.solve(PROBLEM, R=row["rate_budget_bits"], C=C, class_loss="error", on_failure="return")
            assert (row["status"] == "infeasible") == (one.status == "infeasible")
            if one.status != "infeasible":
                assert row["distortion"] == pytest.approx(one.distortion, abs=1e-6)
                assert row["classification_loss_bits"] <= C and row["lower_bound"] <= one.distortion
                assert 1.0 - row["accuracy"] == pytest.approx(row["classification_loss_bits"], abs=1e-12)

    def test_budgets_in_nats_are_rates_alone(self) -> None:
        bits, nats = (
            drcopt.sweep(PROBLEM, R=R, C=0.97 * GUESS, class_loss="error", units=units)
            for R, units in ((0.4, "bits"), (0.4 * math.log(2), "nats"))
        )
        assert bits["distortion"][0] == pytest.approx(nats["distortion"][0], abs=1e-9)
        assert nats["classification_budget_bits"][0] == 0.97 * GUESS

    def test_the_identity_as_a_table_is_the_error(self, table: Any) -> None:
        again = drcopt.sweep(PROBLEM, R=0.4, C=0.97 * GUESS, class_loss=1 - np.eye(2))
        row = table[(table.rate_budget_bits == 0.4) & (table.classification_budget_bits == 0.97 * GUESS)]
        assert again["distortion"][0] == row["distortion"].iloc[0] and set(again["class_loss"]) == {"table"}

    def test_a_checkpoint_tells_losses_apart(self, tmp_path: Any) -> None:
        path, how = tmp_path / "rows", {"R": 0.4, "C": 0.97 * GUESS}
        first = drcopt.sweep(PROBLEM, **how, class_loss="error", checkpoint=path)
        entropy = drcopt.sweep(PROBLEM, R=0.4, C=0.97 * GUESS, checkpoint=path)  # rows of another kind beside it
        assert set(entropy["class_loss"]) == {"entropy"}
        again = drcopt.sweep(PROBLEM, **how, class_loss="error", checkpoint=path)
        assert again.equals(first)  # the seconds too: they were read
        other = tmp_path / "table"
        drcopt.sweep(PROBLEM, **how, class_loss=TABLE, checkpoint=other)
        with pytest.raises(CheckpointError, match="losses"):
            drcopt.sweep(PROBLEM, **how, class_loss=2 * TABLE, checkpoint=other)

    @pytest.mark.parametrize(
        ("how", "match"),
        [
            ({"class_loss": "accuracy"}, "class_loss must be one of"),
            ({"class_loss": [[0.0, 1.0]]}, "a row for each of the 2 classes"),
        ],
    )
    def test_what_it_refuses(self, how: Any, match: str) -> None:
        with pytest.raises(InputError, match=match):
            drcopt.sweep(PROBLEM, R=0.4, C=0.2, **how)

    def test_files_keep_it_and_old_tables_are_about_entropy(self, table: Any, tmp_path: Any) -> None:
        path = tables.write_table(table, tmp_path / "table.csv")
        assert tables.read_table(path).equals(table)
        old = tables.write_table(table, tmp_path / "old.csv")
        lines = [line.rsplit(",", 1)[0] for line in old.read_text().splitlines()]
        old.write_text("\n".join(lines) + "\n")
        assert set(tables.read_table(old)["class_loss"]) == {"entropy"}


class TestPictures:
    def test_axes_and_labels_are_of_the_error(self, table: Any) -> None:
        axes = plotting.curve(table, x="C").axes[0]
        assert axes.get_xlabel() == "Bayes error budget C"
        labels = [text.get_text() for text in plotting.curve(table).legends[0].get_texts()]
        assert any(label.startswith(f"C = {0.5 * GUESS:.4g}") and "bit" not in label for label in labels)
        least = drcopt.sweep(PROBLEM, R=[0.1, 0.4], objective="classification_loss", class_loss=TABLE)
        assert plotting.curve(least).axes[0].get_ylabel() == "loss of the best decision"
        assert plotting.surface(table).axes[0].get_ylabel() == "Bayes error budget C"

    def test_losses_are_not_mixed(self, table: Any) -> None:
        entropy = drcopt.sweep(PROBLEM, R=[0.1, 0.4])
        with pytest.raises(InputError, match="one class_loss"):
            plotting.curve(__import__("pandas").concat([table, entropy]))

    def test_papers(self, table: Any) -> None:
        assert "$C$ (bits)" not in export.latex(table) and "$C$ &" in export.latex(table)
        long = export.tidy(table)
        assert set(long[long.quantity == "classification loss"].unit) == {""}
        assert "Bayes error budget C" in export.pgfplots(table, x="C")


class TestCommandLine:
    def test_solve(self, capfd: Any) -> None:
        assert cli.main(["solve", "bernoulli", "--R", "0.5", "--C", "0.25", "--class-loss", "error"]) == 0
        lines = dict(line.split("  ", 1) for line in capfd.readouterr().out.splitlines())
        assert lines["classification loss"].strip().endswith("(budget 0.25, on the Bayes error)")
        assert cli.main(["solve", "bernoulli", "--R", "0.1", "--C", "0.05", "--class-loss", "error", "--json"]) == 1
        told = json.loads(capfd.readouterr().out)
        assert told["class_loss"] == "error" and told["least_classification_loss"] > 0.05
        how = ["--minimize", "classification-loss", "--R", "0.5", "--class-loss", "error"]
        assert cli.main(["solve", "bernoulli", *how]) == 0 and "bits, of the" not in capfd.readouterr().out

    def test_sweep_has_usual_budgets_for_errors(self, tmp_path: Any, capfd: Any) -> None:
        out = tmp_path / "table.csv"
        how = ["--R", "0.2,0.5", "--class-loss", "error", "--jobs", "1", "--out", str(out)]
        assert cli.main(["sweep", "bernoulli", *how]) == 0
        found = tables.read_table(out)
        problem = drcopt.sources.bernoulli()
        budgets = [c for c in found["classification_budget_bits"].unique() if math.isfinite(c)]
        assert len(budgets) == 2 and set(found["class_loss"]) == {"error"}
        least = 1.0 - float((problem.px[:, None] * problem.ps_given_x).max(axis=1).sum())
        assert all(least < c < 1.0 - float((problem.px @ problem.ps_given_x).max()) for c in budgets)
        assert cli.main(["sweep", "bernoulli", "--class-loss", "wrong"]) == 2


def test_a_solution_says_what_its_loss_is() -> None:
    solution = drcopt.solve(PROBLEM, R=0.4, C=0.97 * GUESS, class_loss="error")
    shown = solution._repr_html_()
    assert "Bayes error)" in shown and solution.loss_units == ""
    assert drcopt.solve(PROBLEM, R=0.4).loss_units == "bits"
