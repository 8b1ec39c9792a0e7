"""One suite for every engine of the registry; what an engine is good for is in a table, not in skips."""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strategies import FAMILIES, make

import drcopt
from drcopt import InfeasibleError, Problem, Solution, solve, solve_drc
from drcopt.engines import ENGINES
from drcopt.session import Session

BIT = math.log(2.0)
REFERENCE = json.loads((Path(__file__).parent / "data" / "reference.json").read_text())["instances"]


@dataclass(frozen=True)
class Able:
    """``accuracy``: relative to max d; ``active``: the gap with an active classification budget (None: not taken)."""

    accuracy: float
    active: float | None
    multiplier: float


#: Single-letter engines and what is asked of them.
TABLE = {
    "newton": Able(1e-9, None, 1e-5),
    "global": Able(1e-6, 1e-6, 1e-4),
    "clarabel": Able(1e-6, 0.05, 1e-4),
    "scs": Able(1e-4, 0.05, 1e-2),
}

#: mathematics: single-letter Bernoulli, classification slack, bits.
RATES = (0.05, 0.1, 0.25, 0.5, 0.75)
BERNOULLI = {
    (0.5, 0.5): (0.369127748985, 0.316019346324, 0.214501744860, 0.110027864438, 0.041692690274),
    (0.3, 0.3): (0.307233677896, 0.260362354673, 0.169946421675, 0.077101441689, 0.018630891387),
    (0.3, 0.4): (0.341203887204, 0.292671345928, 0.200585833896, 0.111787009342, 0.1),
}


def bernoulli(px: float, py: float, p1: float = 0.1) -> Problem:
    return Problem([1 - px, px], [1 - py, py], [[1 - p1, p1], [p1, 1 - p1]], "hamming")


@functools.cache
def random_problem(seed: int = 0, n: int = 3, m: int = 4, k: int = 2) -> Problem:
    return make("random", seed, n, m, k)


def check(answer: Solution, problem: Problem, R: float | None, C: float | None) -> None:
    """The answer is one coupling that meets everything, with a bound below it (units of the answer)."""
    unit = BIT if answer.units == "bits" else 1.0
    P = answer.coupling
    assert answer.status in ("optimal", "feasible"), answer.termination
    assert P.shape == (problem.n, problem.m)
    assert P.min() >= 0.0
    assert np.abs(P.sum(axis=1) - problem.px).sum() <= 1e-14
    assert np.abs(P.sum(axis=0) - problem.py).sum() <= 1e-14
    assert answer.distortion == pytest.approx(float((problem.d * P).sum()), rel=1e-12, abs=1e-300)
    assert answer.rate * unit == pytest.approx(problem.rate(P), abs=1e-12)
    assert answer.classification_loss * unit == pytest.approx(problem.classification_loss(P), abs=1e-12)
    assert answer.rate <= (math.inf if R is None else R) + 1e-12
    assert answer.classification_loss <= (math.inf if C is None else C) + 1e-12
    assert answer.lower_bound <= answer.distortion
    assert answer.gap >= 0.0
    assert "failed" not in answer.termination


def test_the_table_covers_the_registry() -> None:
    assert set(TABLE) == {name for name, kind in ENGINES.items() if "single-letter" in kind.formulations}
    for name, able in TABLE.items():
        assert ENGINES[name].active_classification == (able.active is not None)


@pytest.mark.parametrize("name", TABLE)
class TestRateOnly:
    @pytest.mark.parametrize("marginals", BERNOULLI)
    def test_bernoulli_values(self, name: str, marginals: tuple[float, float]) -> None:
        session = Session(bernoulli(*marginals), engine=name, tol=1e-6)
        accuracy = TABLE[name].accuracy
        for R, value in zip(RATES, BERNOULLI[marginals], strict=True):
            answer = session.solve(R, None)
            check(answer, session.problem, R, None)
            assert answer.engine == name
            assert answer.distortion == pytest.approx(value, abs=max(accuracy, 2e-12))
            assert answer.lower_bound == pytest.approx(value, abs=max(accuracy, 2e-12))
            assert answer.lower_bound <= value + 1e-12 <= answer.distortion + 2e-12

    @pytest.mark.parametrize("shape", [(3, 4, 2), (5, 3, 2), (6, 6, 3)])
    def test_the_gap_is_closed(self, name: str, shape: tuple[int, int, int]) -> None:
        problem = random_problem(1, *shape)
        session = Session(problem, engine=name)
        for R in (0.05, 0.3, 0.8):
            answer = session.solve(R, None)
            check(answer, problem, R, None)
            assert answer.gap <= TABLE[name].accuracy * problem.d.max()

    def test_kkt(self, name: str) -> None:
        """P ∝ px py exp((f + g − d)/ε): log P/(px pyᵀ) + d/ε is a sum of a function of x and one of y."""
        problem = random_problem(2)
        answer = solve(problem, R=0.1, units="nats", engine=name)
        epsilon = answer.multipliers.rate
        score = np.log(answer.coupling / problem.independent) + problem.d / epsilon
        centred = score - score.mean(axis=0) - score.mean(axis=1, keepdims=True) + score.mean()
        assert np.abs(centred).max() <= 1e3 * TABLE[name].accuracy
        assert answer.rate == pytest.approx(0.1, abs=10 * TABLE[name].accuracy), "ε > 0 with R slack"

    def test_the_multiplier_is_minus_the_slope(self, name: str) -> None:
        """multipliers.rate = −dD/dR, in distortion per unit of information."""
        problem = random_problem(3)
        for units, R in (("bits", 0.2), ("nats", 0.1)):
            session = Session(problem, engine=name, units=units)
            slope = (reference(problem, R + 1e-4, units) - reference(problem, R - 1e-4, units)) / 2e-4
            answer = session.solve(R, None)
            assert answer.multipliers.rate == pytest.approx(-slope, rel=TABLE[name].multiplier)
            assert answer.multipliers.classification == pytest.approx(0.0, abs=TABLE[name].accuracy)

    def test_a_slack_classification_budget_changes_nothing(self, name: str) -> None:
        problem = random_problem(4)
        free = solve(problem, R=0.3, engine=name)
        for C in (problem.entropy_s / BIT, 1.0, 0.5 * (free.classification_loss + problem.entropy_s / BIT)):
            answer = solve(problem, R=0.3, C=C, engine=name)
            check(answer, problem, 0.3, C)
            assert answer.distortion == pytest.approx(free.distortion, abs=3 * TABLE[name].accuracy)

    def test_convex_and_falling_in_the_rate(self, name: str) -> None:
        session = Session(random_problem(5), engine=name)
        values = np.array([session.solve(R, None).distortion for R in np.linspace(0.0, 1.2, 9)])
        slack = 3 * TABLE[name].accuracy
        assert (np.diff(values) <= slack).all()
        assert (np.diff(values, 2) >= -2 * slack).all()

    def test_ends(self, name: str) -> None:
        problem = random_problem(6)
        at_zero = solve(problem, R=0.0, engine=name)
        assert at_zero.distortion == pytest.approx(float(problem.px @ problem.d @ problem.py), rel=1e-14)
        np.testing.assert_allclose(at_zero.coupling, problem.independent, atol=1e-16)
        assert at_zero.status == "optimal"
        assert math.isinf(at_zero.multipliers.rate)
        floor = transport_cost(problem)
        for R in (None, math.inf, min(problem.entropy_x, problem.entropy_y) / BIT, 40.0):
            answer = solve(problem, R=R, engine=name)
            check(answer, problem, R, None)
            assert answer.distortion == pytest.approx(floor, abs=TABLE[name].accuracy)
            assert answer.multipliers.rate == pytest.approx(0.0, abs=1e3 * TABLE[name].accuracy)

    @pytest.mark.parametrize("family", FAMILIES)
    def test_every_family(self, name: str, family: str) -> None:
        problem = make(family, 7, 3, 3, 2)
        top = float(problem.d.max())
        answer = solve(problem, R=0.2, engine=name, on_failure="return")
        check(answer, problem, 0.2, None)
        assert answer.gap <= max(TABLE[name].accuracy, 1e-9) * top


@functools.cache
def _session(problem: Problem, units: str) -> Session:
    return Session(problem, engine="newton", units=units)


def reference(problem: Problem, R: float, units: str = "bits") -> float:
    """D(R) with both ends certified to 1e-10."""
    answer = _session(problem, units).solve(R, None)
    assert answer.gap <= 1e-10
    return answer.distortion


def transport_cost(problem: Problem) -> float:
    from scipy.optimize import linprog

    n, m = problem.n, problem.m
    rows = np.vstack([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    return float(linprog(problem.d.ravel(), A_eq=rows, b_eq=np.concatenate([problem.px, problem.py])).fun)


@pytest.mark.parametrize("name", TABLE)
class TestInvariance:
    """The same question in other words."""

    R = 0.15

    def value(self, name: str, problem: Problem, **changes: Any) -> float:
        answer = solve(problem, **({"R": self.R, "engine": name} | changes))
        check(answer, problem, changes.get("R", self.R), changes.get("C"))
        return answer.distortion

    def test_zero_mass_letters(self, name: str) -> None:
        p = random_problem(8)
        px, py = np.insert(p.px, 1, 0.0), np.append(p.py, 0.0)
        W = np.insert(np.insert(p.ps_given_x, 1, 0.5, axis=0), 0, [0.0, 0.7, 0.0, 0.0], axis=1)
        W /= W.sum(axis=1, keepdims=True)
        d = np.append(np.insert(p.d, 1, 9.0, axis=0), np.full((4, 1), 0.0), axis=1)
        inserted = Problem(px, py, W, d)
        answer = solve(inserted, R=self.R, engine=name)
        check(answer, inserted, self.R, None)
        assert answer.distortion == pytest.approx(self.value(name, p), abs=TABLE[name].accuracy)
        assert not answer.coupling[1].any()
        assert not answer.coupling[:, -1].any()

    def test_duplicate_letters_merge(self, name: str) -> None:
        p = random_problem(9)
        twice = Problem(
            np.append(p.px[:-1], [0.3 * p.px[-1], 0.7 * p.px[-1]]),
            np.append(p.py[:-1], [0.6 * p.py[-1], 0.4 * p.py[-1]]),
            p.ps_given_x[[0, 1, 2, 2]],
            p.d[np.ix_([0, 1, 2, 2], [0, 1, 2, 3, 3])],
        )
        assert self.value(name, twice) == pytest.approx(self.value(name, p), abs=2 * TABLE[name].accuracy)

    def test_transposition(self, name: str) -> None:
        p = random_problem(10)
        turned = Problem(p.py, p.px, np.full((4, 2), 0.5), p.d.T)
        assert self.value(name, turned) == pytest.approx(self.value(name, p), abs=2 * TABLE[name].accuracy)

    def test_relabelling(self, name: str) -> None:
        p, rng = random_problem(11), np.random.default_rng(0)
        x, y, s = rng.permutation(3), rng.permutation(4), rng.permutation(2)
        mixed = Problem(p.px[x], p.py[y], p.ps_given_x[np.ix_(x, s)], p.d[np.ix_(x, y)])
        assert self.value(name, mixed) == pytest.approx(self.value(name, p), abs=2 * TABLE[name].accuracy)

    @pytest.mark.parametrize("a", [1e-8, 1.0, 1e8])
    @pytest.mark.parametrize("b", [0.0, 3.0])
    def test_affine_distortion(self, name: str, a: float, b: float) -> None:
        p = random_problem(12)
        moved = Problem(p.px, p.py, p.ps_given_x, a * p.d + a * b)
        expected = a * self.value(name, p) + a * b
        assert self.value(name, moved) == pytest.approx(expected, abs=2 * a * (1 + b) * TABLE[name].accuracy)

    def test_units(self, name: str) -> None:
        p = random_problem(13)
        C = math.inf if TABLE[name].active is None else 0.99 * p.entropy_s
        bits = solve(p, R=0.3, C=C / BIT, engine=name)
        nats = solve(p, R=0.3 * BIT, C=C, engine=name, units="nats")
        assert bits.distortion == pytest.approx(nats.distortion, abs=1e-12)
        assert bits.rate * BIT == pytest.approx(nats.rate, abs=1e-12)
        assert bits.classification_loss * BIT == pytest.approx(nats.classification_loss, abs=1e-12)
        assert bits.multipliers.rate == pytest.approx(nats.multipliers.rate * BIT, rel=1e-9)
        assert (bits.units, nats.units) == ("bits", "nats")

    def test_arrays_are_nobody_elses(self, name: str) -> None:
        p = random_problem(14)
        arrays = {"px": p.px.copy(), "py": p.py.copy(), "ps_given_x": p.ps_given_x.copy(), "d": p.d.copy()}
        before = {key: a.copy() for key, a in arrays.items()}
        answer = solve_drc(**arrays, R=self.R, C=None, engine=name)
        for key, a in arrays.items():
            np.testing.assert_array_equal(a, before[key])
            assert a.flags.writeable
            assert not np.shares_memory(a, answer.coupling)
        first = answer.coupling.copy()
        again = solve_drc(**arrays, R=self.R, C=None, engine=name)
        assert not np.shares_memory(answer.coupling, again.coupling)
        np.testing.assert_array_equal(again.coupling, first)

    def test_session_answers_do_not_share_memory(self, name: str) -> None:
        session = Session(random_problem(15), engine=name)
        first = session.solve(0.3, None)
        kept = first.coupling.copy()
        session.solve(0.35, None)
        np.testing.assert_array_equal(first.coupling, kept)


@pytest.mark.parametrize("name", [name for name, able in TABLE.items() if able.active is not None])
class TestActiveClassification:
    @pytest.mark.parametrize(
        "case",
        [
            pytest.param(c, marks=[pytest.mark.slow] * (i % 2), id=f"{c['name']}-C={c['C']}")
            for i, c in enumerate(REFERENCE)
        ],
    )
    def test_reference_values(self, name: str, case: dict[str, Any]) -> None:
        problem = Problem(case["px"], case["py"], case["W"], case["d"])
        answer = solve(problem, R=case["R"], C=case["C"], engine=name, time_limit=20.0)
        check(answer, problem, case["R"], case["C"])
        active = TABLE[name].active
        assert active is not None
        # The stored point may exceed its budgets by 1e-6, hence 1e-5.
        assert answer.lower_bound <= case["upper"] + 1e-5
        assert answer.distortion >= case["lower"] - 1e-5
        assert answer.gap <= max(active, 1e-6) * problem.d.max()

    @pytest.mark.parametrize("R", [0.3, None])
    def test_below_the_markov_floor(self, name: str, R: float | None) -> None:
        problem = random_problem(16)
        floor = problem.entropy_s_given_x / BIT
        with pytest.raises(InfeasibleError, match="C = ") as caught:
            solve(problem, R=R, C=floor - 1e-6, engine=name)
        assert caught.value.budget == "C"
        assert caught.value.units == "bits"
        least = drcopt.min_classification_loss(problem, R=R).classification_loss
        assert floor - 1e-12 <= caught.value.least <= least + 1e-12

    def test_below_what_the_rate_allows(self, name: str) -> None:
        problem = bernoulli(0.5, 0.5)
        least = drcopt.min_classification_loss(problem, R=0.5).classification_loss
        with pytest.raises(InfeasibleError, match=r"C = .* bits cannot be met at R = 0\.5 bits") as caught:
            solve(problem, R=0.5, C=least - 1e-3, engine=name)
        assert caught.value.budget == "C"
        assert least - 1e-3 < caught.value.least <= least + 1e-9
        answer = solve(problem, R=0.5, C=least - 1e-3, engine=name, on_failure="return")
        assert answer.status == "infeasible"
        assert answer.distortion == math.inf == answer.lower_bound
        assert np.isnan(answer.coupling).all()
        assert answer.gap == 0.0

    def test_above_what_the_rate_allows(self, name: str) -> None:
        problem = random_problem(17)
        least = drcopt.min_classification_loss(problem, R=0.3).classification_loss
        C = least + 0.3 * (problem.entropy_s / BIT - least)
        answer = solve(problem, R=0.3, C=C, engine=name, on_failure="return")
        assert answer.status in ("optimal", "feasible")
        check(answer, problem, 0.3, C)

    def test_independence_meets_the_class_entropy(self, name: str) -> None:
        problem = random_problem(18)
        C = problem.entropy_s / BIT * (1 + 1e-12)
        assert solve(problem, R=0.0, C=C, engine=name).status == "optimal"
        with pytest.raises(InfeasibleError):
            solve(problem, R=0.0, C=C * (1 - 1e-6), engine=name)

    def test_just_above_the_markov_floor(self, name: str) -> None:
        """C = H(S|X) is met by Y = X where the marginals and the rate allow it."""
        problem = bernoulli(0.3, 0.3)
        C = problem.entropy_s_given_x / BIT + 1e-9
        answer = solve(problem, R=None, C=C, engine=name, on_failure="return")
        assert answer.status != "infeasible"
        if answer.status in ("optimal", "feasible"):
            check(answer, problem, None, C)
            assert answer.distortion <= 1e-6

    def test_the_multiplier_is_minus_the_slope(self, name: str) -> None:
        """multipliers.classification = −dD/dC where the curve is smooth."""
        case = REFERENCE[0]
        problem = Problem(case["px"], case["py"], case["W"], case["d"])
        values = [solve(problem, R=case["R"], C=case["C"] + step, engine="global").distortion for step in (1e-3, -1e-3)]
        answer = solve(problem, R=case["R"], C=case["C"], engine=name)
        slope = (values[0] - values[1]) / 2e-3
        assert answer.multipliers.classification == pytest.approx(-slope, rel=0.02)

    def test_a_scaled_distortion(self, name: str) -> None:
        case = REFERENCE[0]
        for a in (1e-8, 1e8):
            problem = Problem(case["px"], case["py"], case["W"], a * np.array(case["d"]))
            answer = solve(problem, R=case["R"], C=case["C"], engine=name)
            assert answer.distortion == pytest.approx(a * case["upper"], abs=a * 1e-4)


class TestAuto:
    def test_it_says_which_engine_answered(self) -> None:
        problem = random_problem(19)
        assert solve(problem, R=0.0).engine == "analytic"
        assert solve(problem, R=0.3).engine == "newton"
        free = solve(problem, R=0.3)
        least = drcopt.min_classification_loss(problem, R=0.3).classification_loss
        assert solve(problem, R=0.3, C=0.5 * (least + free.classification_loss)).engine == "global"

    def test_newton_alone_does_not_pretend(self) -> None:
        """An active C that the rate-only optimum misses is refused, never "infeasible"."""
        problem = random_problem(19)
        free = solve(problem, R=0.3)
        least = drcopt.min_classification_loss(problem, R=0.3).classification_loss
        C = 0.5 * (least + free.classification_loss)
        with pytest.raises(drcopt.InputError, match="takes no C that binds"):
            solve(problem, R=0.3, C=C, engine="newton")
