"""A share of the campaign of ``python -m campaigns.soundness``: no false claim on any family."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import drcopt

pytest.importorskip("mpmath")

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))  # last, so that an installed drcopt is what is tried

from campaigns import soundness, two_letters  # noqa: E402
from campaigns.families import COUNTS, FAMILIES, FIRST, Instance, instance, least_loss  # noqa: E402
from campaigns.truth import _pmf, flow, groups, line, product, truth  # noqa: E402

#: Instances in each part, and of them those that a time limit this short (seconds) settles or not: both must hold.
PARTS, SIZE, LIMIT = 10, 52, 0.15


def violations(rows: Iterable[dict[str, Any]]) -> list[str]:
    return [f"{row['family']} #{row['index']}: {row['violation']}" for row in rows if row["violation"]]


@pytest.mark.parametrize("part", [p if p < 4 else pytest.param(p, marks=pytest.mark.slow) for p in range(PARTS)])
def test_no_violations(part: int) -> None:
    rows = list(soundness.campaign(SIZE, seed=0, jobs=1, time_limit=LIMIT, start=part * SIZE, families=FIRST))
    assert violations(rows) == []
    assert set(Counter(row["family"] for row in rows).values()) == {SIZE // len(FIRST)}


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in FIRST])
def test_no_violations_of_a_newer_family(family: str) -> None:
    assert violations(soundness.campaign(16, seed=0, jobs=1, time_limit=LIMIT, families=[family])) == []


@pytest.mark.slow
def test_two_thousand() -> None:  # ten thousand on demand: python -m campaigns.soundness --n 10000
    assert violations(soundness.campaign(2_000, seed=1, jobs=2, time_limit=1.0)) == []


class TestFamilies:
    def test_old_seeds_give_old_instances(self) -> None:
        """Of the first thirteen alone: the question that a table of before names by its number."""
        asked = instance(1055, 2, FIRST)
        assert (asked.family, asked.W.shape, asked.d.shape) == ("tiny atoms", (4, 3), (4, 2))
        assert instance(27, 0, FIRST).px == pytest.approx(instance(27, 0, FIRST).px, abs=0.0)

    def test_weak_labels_are_weak(self) -> None:
        for i in range(20):
            p = instance(i, 0, ["weak label"]).problem()
            assert p.entropy_s - p.entropy_s_given_x < 0.02

    def test_least_loss_of_two_letters(self) -> None:
        """Without a rate the extreme couplings are the corners; with one, the roots of I = R."""
        rng = np.random.default_rng(0)
        for _ in range(5):
            p = drcopt.Problem(rng.dirichlet([1, 1]), rng.dirichlet([1, 1]), rng.dirichlet([1, 1], 2), np.eye(2))
            assert least_loss(p) == pytest.approx(least_loss(p, 10.0), abs=1e-12)
            edge = drcopt.min_classification_loss(p, R=0.1, units="nats", tol=1e-9)
            assert least_loss(p, 0.1) == pytest.approx(edge.classification_loss, abs=1e-7)

    def test_subnormal_masses_are_kept(self) -> None:
        asked = [instance(i, 0, ["subnormal mass"]) for i in range(12)]
        least = [min(v[v > 0].min() for v in (a.px, a.py, a.W)) for a in asked]
        assert min(least) < 1e-307 and all(value <= 1e-200 for value in least)

    def test_tables_have_the_totals_that_are_published(self) -> None:
        totals = {name: sum(map(sum, rows)) for name, rows in COUNTS.items()}
        assert totals == {
            "hair and eyes, men": 279, "hair and eyes, women": 313, "Titanic": 2201, "Berkeley": 2691,
            "Caithness": 5387, "eyesight": 7477, "lung": 2714, "tea": 8, "iris": 150,
        }  # fmt: skip


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
        found, exact = line(p, asked), flow(_pmf(p.px), _pmf(p.py), p.d)
        assert found.low <= exact <= found.high
        assert Fraction(found.high) - Fraction(found.low) < Fraction(1, 10**30)
        assert truth(asked, rng).how == "line"

    @pytest.mark.parametrize("seed", range(10))
    def test_groups_are_the_line_and_the_flow(self, seed: int) -> None:
        """Two letters a side with a budget; any number of letters without one."""
        rng = np.random.default_rng(seed)
        W, two = rng.dirichlet([1, 1, 1], 2), [1.0, 1.0]
        asked = Instance("", 0, rng.dirichlet(two), rng.dirichlet(two), W, rng.random((2, 2)), np.inf, 0.0)
        p = asked.problem()
        asked = replace(asked, C=p.entropy_s - 0.5 * rng.random() * (p.entropy_s - least_loss(p)))
        mine, other = groups(p, asked), line(p, asked)
        assert float(mine.low) == pytest.approx(float(other.low), abs=1e-30)
        assert float(mine.high) == pytest.approx(float(other.high), abs=1e-30)
        more = replace(asked, px=rng.dirichlet([1.0] * 5), W=W[[0, 1, 1, 0, 1]], d=rng.random((5, 2)), C=np.inf)
        p = more.problem()
        assert groups(p, more).low <= flow(_pmf(p.px), _pmf(p.py), p.d) <= groups(p, more).high

    @pytest.mark.parametrize("short", [6e-15, 1e-13, 1e-9])
    def test_groups_know_the_weakest_labels(self, short: float) -> None:
        """h(½ + λθ) = C to the second order: E d = θ/2 with 2 (λθ)² = log 2 − C."""
        label, half = 1e-4, np.full(2, 0.5)
        W = np.array([[0.5 + label, 0.5 - label]] * 2 + [[0.5 - label, 0.5 + label]] * 2)
        d = np.array([[0.0, 1.0], [1.0, 0.0]] * 2)
        asked = Instance("", 0, np.full(4, 0.25), half, W, d, np.inf, float(np.log(2.0)) - short)
        if short > 2 * label**2:
            return
        theta = np.sqrt(short / 2) / label
        assert float(groups(asked.problem(), asked).low) == pytest.approx(theta / 2, rel=0.01)

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
        found = line(p, asked)
        assert found.low <= product(p, asked).low <= found.high

    def test_line_knows_bernoulli(self) -> None:
        """mathematics.md's value at R = 0.25 bits."""
        half, noisy = np.array([0.5, 0.5]), np.array([[0.8, 0.2], [0.2, 0.8]])
        asked = Instance("", 0, half, half, noisy, 1.0 - np.eye(2), 0.25 * np.log(2.0), np.inf)
        assert float(line(asked.problem(), asked).low) == pytest.approx(0.214501744860, abs=1e-12)

    @pytest.mark.parametrize("seed", range(5))
    def test_flow_is_the_linear_program(self, seed: int) -> None:
        from scipy.optimize import linprog

        rng = np.random.default_rng(seed)
        n, m = 4, 5
        px, py, d = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m)), rng.random((n, m))
        rows = [np.kron(row, np.ones(m)) for row in np.eye(n)] + [np.kron(np.ones(n), row) for row in np.eye(m)]
        answer = linprog(d.ravel(), A_eq=rows, b_eq=np.concatenate([px, py]))
        assert float(flow(_pmf(px), _pmf(py), d)) == pytest.approx(answer.fun, abs=1e-9)


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
        asked = self.asked()
        problem = asked.problem()
        solution = drcopt.solve(problem, R=asked.R, units="nats")
        real = truth(asked, np.random.default_rng(0))
        assert list(soundness.violations(asked, problem, solution, real)) == []
        found = list(soundness.violations(asked, problem, replace(solution, **change), real))
        assert any(text.startswith(said) for text in found)

    def test_an_overrun_budget_is_seen(self) -> None:
        asked = self.asked()
        solution = drcopt.solve(asked.problem(), R=asked.R, units="nats")
        tighter = replace(asked, R=0.5 * asked.R)
        real = truth(tighter, np.random.default_rng(0))
        found = list(soundness.violations(tighter, asked.problem(), solution, real))
        assert any(text.startswith("budgets exceeded by") for text in found)

    def test_summary(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        assert (
            soundness.main(["--n", "18", "--jobs", "1", "--time-limit", "0.1", "--out", str(tmp_path / "rows.csv")])
            == 0
        )
        printed = capsys.readouterr().out
        assert all(f"\n{name} " in f"\n{printed}" for name in FAMILIES)
        assert "held against:" in printed
        assert len((tmp_path / "rows.csv").read_text().splitlines()) == 19


class TestTwoLetters:
    """Half of them with weak labels, budgets to 1e-16 of an edge, against 80 digits."""

    def test_twenty(self) -> None:
        rows = pd.DataFrame(two_letters.run(20, seed=1, time_limit=0.1))
        assert not rows["false"].any(), two_letters.summary(rows)
        assert (rows["below"].dropna() <= 1e-15).all()

    @pytest.mark.slow
    def test_all(self) -> None:  # all 1,437 by hand: python -m campaigns.two_letters
        rows = pd.DataFrame(two_letters.run(300, time_limit=0.2))
        assert not rows["false"].any(), two_letters.summary(rows)

    def test_a_lie_is_seen(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        solve = drcopt.solve

        def lying(*arguments: Any, **settings: Any) -> Any:
            answer = solve(*arguments, **settings)
            return replace(answer, status="optimal", distortion=answer.distortion - 1e-12)

        monkeypatch.setattr(drcopt, "solve", lying)
        assert two_letters.main(["--n", "2", "--time-limit", "0.1"]) == 1
        assert "\nfalse: 2\n" in capsys.readouterr().out
