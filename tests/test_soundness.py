"""A share of the campaign of ``python -m benchmarks.soundness``: no false claim on any family."""

from __future__ import annotations

import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mpmath")

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))  # last, so that an installed drcopt is what is tried

from benchmarks import soundness  # noqa: E402
from benchmarks.soundness import FAMILIES, Instance  # noqa: E402

#: Instances in each part, and of them those that a time limit this short (seconds) settles or not: both must hold.
PARTS, SIZE, LIMIT = 10, 52, 0.15


@pytest.mark.parametrize("part", range(PARTS))
def test_no_violations(part: int) -> None:
    rows = list(soundness.campaign(SIZE, seed=0, jobs=1, time_limit=LIMIT, start=part * SIZE))
    assert [f"{row['family']} #{row['index']}: {row['violation']}" for row in rows if row["violation"]] == []
    assert set(Counter(row["family"] for row in rows).values()) == {SIZE // len(FAMILIES)}


@pytest.mark.slow
def test_two_thousand() -> None:  # ten thousand on demand: python -m benchmarks.soundness --n 10000
    rows = soundness.campaign(2_000, seed=1, jobs=2, time_limit=1.0)
    assert [f"{row['family']} #{row['index']}: {row['violation']}" for row in rows if row["violation"]] == []


class TestTruth:
    """The references themselves, where two of them apply."""

    @pytest.mark.parametrize("seed", range(10))
    def test_line_is_the_flow_without_budgets(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        asked = Instance(
            "",
            0,
            rng.dirichlet([1, 1]),
            rng.dirichlet([1, 1]),
            rng.dirichlet([1, 1], 2),
            rng.random((2, 2)),
            np.inf,
            np.inf,
        )
        p = asked.problem()
        line, flow = soundness.line(p, asked), soundness.truth(asked, rng)
        exact = soundness.flow(soundness._pmf(p.px), soundness._pmf(p.py), p.d)
        assert line.low <= exact <= line.high
        assert Fraction(line.high) - Fraction(line.low) < Fraction(1, 10**30)
        assert flow.how == "line"

    @pytest.mark.parametrize("seed", range(10))
    def test_line_at_a_rate_of_zero_is_the_product(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        asked = Instance(
            "",
            0,
            rng.dirichlet([1, 1]),
            rng.dirichlet([1, 1]),
            rng.dirichlet([1, 1], 2),
            rng.random((2, 2)),
            0.0,
            np.inf,
        )
        p = asked.problem()
        line, product = soundness.line(p, asked), soundness.product(p, asked)
        assert line.low <= product.low <= line.high

    def test_line_knows_bernoulli(self) -> None:
        """mathematics.md's value at R = 0.25 bits."""
        half, noisy = np.array([0.5, 0.5]), np.array([[0.8, 0.2], [0.2, 0.8]])
        asked = Instance("", 0, half, half, noisy, 1.0 - np.eye(2), 0.25 * np.log(2.0), np.inf)
        assert float(soundness.line(asked.problem(), asked).low) == pytest.approx(0.214501744860, abs=1e-12)

    @pytest.mark.parametrize("seed", range(5))
    def test_flow_is_the_linear_program(self, seed: int) -> None:
        from scipy.optimize import linprog

        rng = np.random.default_rng(seed)
        n, m = 4, 5
        px, py, d = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m)), rng.random((n, m))
        rows = [np.kron(row, np.ones(m)) for row in np.eye(n)] + [np.kron(np.ones(n), row) for row in np.eye(m)]
        answer = linprog(d.ravel(), A_eq=rows, b_eq=np.concatenate([px, py]))
        assert float(soundness.flow(soundness._pmf(px), soundness._pmf(py), d)) == pytest.approx(answer.fun, abs=1e-9)


class TestJudgement:
    """A campaign that could not fail would prove nothing."""

    @staticmethod
    def asked() -> Instance:
        rng = np.random.default_rng(3)
        px, py, W = rng.dirichlet([1, 1]), rng.dirichlet([1, 1]), rng.dirichlet([1, 1], 2)
        return Instance("", 0, px, py, W, rng.random((2, 2)), 0.1, np.inf)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"lower_bound": 1.0}, "lower bound 1.0 >"),
            ({"distortion": 0.0}, "value 0.0 <"),
            ({"status": "infeasible"}, "infeasible, but a coupling has"),
            ({"coupling": np.full((2, 2), 0.25)}, "marginals off by"),
        ],
    )
    def test_a_lie_is_seen(self, change: dict[str, object], said: str) -> None:
        from dataclasses import replace

        asked = self.asked()
        problem = asked.problem()
        solution = soundness.drcopt.solve(problem, R=asked.R, units="nats")
        real = soundness.truth(asked, np.random.default_rng(0))
        assert list(soundness.violations(asked, problem, solution, real)) == []
        found = list(soundness.violations(asked, problem, replace(solution, **change), real))
        assert any(text.startswith(said) for text in found)

    def test_an_overrun_budget_is_seen(self) -> None:
        from dataclasses import replace

        asked = self.asked()
        solution = soundness.drcopt.solve(asked.problem(), R=asked.R, units="nats")
        tighter = replace(asked, R=0.5 * asked.R)
        real = soundness.truth(tighter, np.random.default_rng(0))
        found = list(soundness.violations(tighter, asked.problem(), solution, real))
        assert any(text.startswith("budgets exceeded by") for text in found)

    def test_summary(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        assert (
            soundness.main(["--n", "13", "--jobs", "1", "--time-limit", "0.1", "--out", str(tmp_path / "rows.csv")])
            == 0
        )
        printed = capsys.readouterr().out
        assert all(f"\n{name} " in f"\n{printed}" for name in FAMILIES)
        assert "held against:" in printed
        assert len((tmp_path / "rows.csv").read_text().splitlines()) == 14
