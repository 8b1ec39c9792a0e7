"""A point is judged so that rounding errs against it: nothing is "optimal" or verified below the truth."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np
import pytest

from drcopt import Problem, min_classification_loss, solve
from drcopt.certify import rounding
from drcopt.certify.certificate import certify
from drcopt.certify.witness import CLOSE, Budgets, inside, spent
from drcopt.engines.newton import Newton
from drcopt.errors import InputError
from drcopt.formulations import OneShot, Part, SingleLetter, TimeSharing
from drcopt.formulations.one_shot import map_coupling
from drcopt.questions.output import Free
from drcopt.stakes import Stakes
from drcopt.theorems._registry import compare, interval

DIGITS = 60


def weak(label: float) -> Problem:
    """Four letters, two of each class by a hair; D = 0 is reached by the coupling that says nothing of S."""
    W = [[0.5 + label, 0.5 - label]] * 2 + [[0.5 - label, 0.5 + label]] * 2
    return Problem([0.25] * 4, [0.5] * 2, W, [[0, 1], [1, 0]] * 2)


def mpf(v: Any) -> Any:
    """A double, exactly."""
    return mp.mpf(float(v))


def loss_of(P: Any, W: Any) -> Any:
    """H(S|Y) of a coupling and a channel of mpmath numbers, nats."""
    total = mp.mpf(0)
    for y in range(len(P[0])):
        T = [sum(P[x][y] * W[x][s] for x in range(len(P))) for s in range(len(W[0]))]
        total -= sum(t * mp.log(t / sum(T)) for t in T if t)
    return total


def weak_truth(label: float, C: float) -> Any:
    """2/4 of the mass moved by a share θ: E d = θ/2, τ = ½ ± δθ, the least θ with h(½ + δθ) ≤ C; 60 digits."""
    with mp.workdps(DIGITS):
        rows = [[mpf(0.5 + label), mpf(0.5 - label)], [mpf(0.5 - label), mpf(0.5 + label)]]
        high, low = (row[0] / sum(row) for row in rows)

        def loss(theta: Any) -> Any:
            # y = 0 takes (1+θ)/2 of the first two letters and (1−θ)/2 of the others.
            t0 = high * (1 + theta) / 2 + low * (1 - theta) / 2
            t1 = high * (1 - theta) / 2 + low * (1 + theta) / 2
            return -sum(t * mp.log(t) + (1 - t) * mp.log(1 - t) for t in (t0, t1)) / 2

        if loss(mp.mpf(1)) > mpf(C):
            return mp.inf
        left, right = mp.mpf(0), mp.mpf(1)
        if loss(left) <= mpf(C):
            return mp.mpf(0)
        for _ in range(180):
            middle = (left + right) / 2
            left, right = (left, middle) if loss(middle) <= mpf(C) else (middle, right)
        return right / 2


class TestWeakLabels:
    @pytest.mark.parametrize("label", [1e-2, 1e-4, 1e-6])
    @pytest.mark.parametrize("short", [1e-16, 6e-15, 1e-13])
    def test_never_below_the_truth(self, label: float, short: float) -> None:
        C = math.log(2) - short
        truth = weak_truth(label, C)
        answer = solve(weak(label), C=C, units="nats", time_limit=0.5, verify="interval", on_failure="return")
        assert answer.excess == 0.0
        assert answer.verified
        assert answer.lower_bound <= truth
        assert answer.distortion >= truth * (1 - mp.mpf(10) ** -13)
        assert answer.proved_distortion >= truth
        assert answer.distortion <= float(truth) * 1.01 + 1e-15
        assert answer.status == "feasible"  # not "optimal": the gap is D itself, however small

    def test_the_point_that_says_nothing_misses_by_what_is_missing(self) -> None:
        problem = weak(1e-3)
        P = np.array([[0.25, 0.0], [0.0, 0.25]] * 2)
        found = spent(SingleLetter(problem, math.inf, math.log(2) - 6e-15), [Part(1.0, P)])
        with mp.workdps(DIGITS):
            missing = mp.log(2) - mpf(math.log(2) - 6e-15)
        assert found.loss_excess == pytest.approx(float(missing), rel=1e-9)
        assert found.rate_excess == 0.0


class TestExactness:
    def test_a_bit_is_a_bit(self) -> None:
        """H(S) = 1 bit meets C = 1 bit, though not the double nearest to log 2."""
        problem = Problem([0.5, 0.5], [0.5, 0.5], np.eye(2))
        alone, same = [Part(1.0, problem.independent)], [Part(1.0, np.eye(2) / 2)]
        for parts, budgets in (
            (alone, Budgets(math.inf, 0.0, 1.0, "bits")),
            (same, Budgets(math.inf, 1.0, 0.0, "bits")),
        ):
            assert spent(SingleLetter(problem, *budgets.nats[1:]), parts, budgets).excess == 0.0
        assert 0.0 < spent(SingleLetter(problem, 0.0, math.log(2)), alone).loss_excess < 3e-17
        assert solve(problem, R=0.0, C=1.0).status == "optimal"
        assert solve(problem, R=1.0, C=0.0).status == "optimal"

    def test_a_loss_of_nothing_is_nothing(self) -> None:
        """Y tells S for sure: H(S|Y) = 0 meets C = 0 however px and py are rounded."""
        px, py, W = [0.782778, 0.217223], [0.444656, 0.555345], [[1.0, 0.0], [1.0, 0.0]]
        problem = Problem(np.array(px) / sum(px), np.array(py) / sum(py), W, [[0.4, 0.5], [0.8, 0.6]])
        answer = solve(problem, R=0.02, C=0.0, verify="interval")
        assert (answer.status, answer.excess, answer.verified) == ("optimal", 0.0, True)
        code = solve(problem, C=0.0, formulation="one-shot", classifier_sees="YU", verify="interval")
        assert (code.status, code.excess, code.verified) == ("optimal", 0.0, True)

    def test_budgets_in_nats_are_rounded_up(self) -> None:
        with mp.workdps(DIGITS):
            for bits in (1.0, 0.1, 0.7, 1.5, 3e-9):
                for nats in Budgets(math.inf, bits, bits, "bits").nats[1:]:
                    exact = mpf(bits) * mp.log(2)
                    assert 0 <= mpf(nats) - exact <= exact * 2**-52

    @pytest.mark.parametrize("seed", range(20))
    def test_against_256_bits(self, seed: int) -> None:
        """Budgets a hair either side of what a random coupling spends: the verdict is that of exact arithmetic."""
        rng = np.random.default_rng(seed)
        n, m, k = rng.integers(2, 4, 3)
        px = rng.integers(1, 9, n) / 1.0
        py = rng.integers(1, 9, m) / 1.0
        px, py = px / px.sum(), py / py.sum()
        problem = Problem(px, py, rng.dirichlet(np.ones(k), n), rng.random((n, m)))
        P = problem.independent
        with mp.workprec(256):
            W = [[mpf(v) / sum(map(mpf, row)) for v in row] for row in problem.ps_given_x]
            X, Y = ([mpf(v) / sum(map(mpf, p)) for v in p] for p in (problem.px, problem.py))
            truth = loss_of([[x * y for y in Y] for x in X], W)
            for step in (-3, -1, 0, 1, 3):
                C = float(truth) + step * 2.0**-53
                found = spent(SingleLetter(problem, math.inf, C), [Part(1.0, P)])
                assert (found.loss_excess == 0.0) == (truth <= mpf(C))
                assert found.loss_excess == 0.0 or found.loss_excess >= truth - mpf(C)


class TestInside:
    def test_time_sharing_takes_some_of_a_coupling_of_less_loss(self) -> None:
        problem = weak(0.01)
        question = TimeSharing(problem, math.inf, math.log(2) - 1e-10)
        parts, now = inside(question, [Part(1.0, np.array([[0.25, 0.0], [0.0, 0.25]] * 2))]) or ([], None)
        assert now is not None and now.excess == 0.0
        assert len(parts) == 2 and question.classification_loss(parts) <= question.classification_budget

    def test_a_point_too_far_out_is_none(self) -> None:
        problem = weak(0.01)
        question = SingleLetter(problem, math.inf, math.log(2) - 1e-5)
        assert inside(question, [Part(1.0, problem.independent)]) is None

    def test_what_cannot_be_moved_says_its_excess(self) -> None:
        """Y = X is all that reaches H(S|X): a budget a hair below is missed by that hair."""
        problem = Problem([0.3, 0.7], [0.3, 0.7], [[0.9, 0.1], [0.2, 0.8]])
        C = problem.entropy_s_given_x - 1e-15
        parts, now = inside(SingleLetter(problem, math.inf, C), [Part(1.0, np.diag(problem.px))]) or ([], None)
        assert now is not None and 5e-16 < now.loss_excess < CLOSE
        answer = solve(problem, C=C, units="nats", on_failure="return", time_limit=1.0, verify="interval")
        assert answer.status == "near-feasible"
        assert answer.excess == answer.residuals.classification == now.loss_excess
        assert answer.proved_distortion == math.inf

    def test_one_shot_maps_are_judged_too(self) -> None:
        problem = Problem([0.5, 0.5], [0.5, 0.5], np.eye(2))
        swap = np.array([1, 0])
        parts = [Part(1.0, map_coupling(problem, swap), swap)]
        for bits, met in ((1.0, True), (math.nextafter(1.0, 0.0), False)):
            budgets = Budgets(math.inf, bits, 0.0, "bits")
            assert (spent(OneShot(problem, *budgets.nats[1:], "YU"), parts, budgets).excess == 0.0) == met


class TestCredibleWords:
    def test_an_objective_is_shown_as_itself(self) -> None:
        """What is minimised comes with its bound; nothing pairs a distortion with a bound on something else."""
        problem = Problem([0.5, 0.5], [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]])
        edge = min_classification_loss(problem, R=0.5)
        assert edge.value == edge.classification_loss and edge.gap == edge.value - edge.lower_bound
        assert repr(edge).startswith(f"Solution(optimal: classification_loss={edge.value:.8g}, lower_bound=0.69")
        text = edge._repr_html_()
        assert text.index("classification loss H(S|Y)") < text.index("lower bound") < text.index("distortion")
        low, high = interval("computed", edge)
        assert (low, high) == (edge.lower_bound, edge.value) and high - low < 1e-5
        assert compare(edge, 0.69732, "C_min(0.5)").verdict(1e-5) == "holds"
        plain = solve(problem, R=0.5)
        assert plain.value == plain.distortion and "distortion=0.11002786" in repr(plain)

    def test_a_point_outside_bounds_nothing(self) -> None:
        problem = Problem([0.3, 0.7], [0.3, 0.7], [[0.9, 0.1], [0.2, 0.8]])
        answer = solve(problem, C=problem.entropy_s_given_x - 1e-15, units="nats", on_failure="return", time_limit=1.0)
        assert interval("computed", answer) == (answer.lower_bound, math.inf)
        assert "exceeds a budget by" in repr(answer) and "exceeds a budget by" in answer._repr_html_()

    @pytest.mark.slow
    def test_newton_refuses_a_class_budget_that_binds(self) -> None:
        rng = np.random.default_rng(3)
        problem = Problem([0.25] * 4, [0.25] * 4, rng.dirichlet([0.3] * 2, 4), rng.random((4, 4)))
        least = min_classification_loss(problem, R=1.0).value
        with pytest.raises(InputError, match=r"'newton' takes no C that binds.*one of \['global', 'clarabel', 'scs'\]"):
            solve(problem, R=1.0, C=least + 0.01, engine="newton")
        assert solve(problem, R=1.0, C=2.0, engine="newton").status == "optimal"

    def test_our_own_exceptions_are_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: Any, **__: Any) -> Any:
            raise IndexError("list index out of range")

        monkeypatch.setattr(Newton, "propose", broken)
        with pytest.raises(IndexError):
            solve(weak(0.1), R=0.5)
        monkeypatch.delenv("DRCOPT_DEBUG")
        answer = solve(weak(0.1), R=0.5, on_failure="return")
        assert answer.termination == "engine newton failed: IndexError: list index out of range"
        assert answer.lower_bound == 0.0


F1 = json.loads((Path(__file__).parent / "cases" / "F1_huge_cost_POT229.json").read_text(encoding="utf-8"))


class TestOutliers:
    """A big-M neither drowns the other costs nor makes a wide gap "optimal"."""

    @pytest.mark.parametrize("most", [1e7, 1e14, 1e20, 1e32])
    def test_huge_costs_of_a_public_report(self, most: float) -> None:
        problem = Problem(F1["px"], F1["py"], F1["ps_given_x"], np.minimum(F1["d"], most))
        answer = solve(problem, verify="interval")
        assert (answer.status, answer.verified) == ("optimal", True)
        assert answer.distortion == pytest.approx(F1["right_value"], abs=1e-11)
        assert answer.gap < 1e-9

    @pytest.mark.parametrize("big", [1e6, 1e9, 1e15, 1e32])
    def test_a_forbidden_pair(self, big: float) -> None:
        """Against costs that are large enough to forbid and small enough to compute with."""
        third, W = [1 / 3] * 3, [[0.9, 0.1], [0.5, 0.5], [0.1, 0.9]]
        values = []
        for cost in (1e4, big):
            answer = solve(Problem(third, third, W, [[0, 1, cost], [1, 0, 1], [1, 1, 0]]), R=0.3)
            assert answer.status == "optimal" and answer.gap < 1e-6
            values.append(answer.distortion)
        assert values[1] == pytest.approx(values[0], rel=1e-6)

    @pytest.mark.parametrize("big", [1e6, 1e15, 1e300])
    def test_erasures(self, big: float) -> None:
        """R(D) = 1 − D with an erasure letter; H(Y) − H(Y|X) of the one plan that is allowed (closed forms)."""
        erasing = Problem([0.5, 0.5], [0.495, 0.01, 0.495], [[1], [1]], [[0, 1, big], [big, 1, 0]])
        erased = solve(erasing, R=0.99 + 1e-15, verify="interval")
        assert (erased.status, erased.verified) == ("optimal", True)
        assert erased.distortion == pytest.approx(0.01, abs=1e-9)
        # At 0.99 itself the doubles' only plan exceeds the rate by their rounding, and a hair of independence costs.
        exactly = solve(erasing, R=0.99, on_failure="return", time_limit=1.0)
        assert exactly.lower_bound <= 0.01 + 1e-12
        if exactly.excess:
            assert exactly.status == "near-feasible" and exactly.distortion == pytest.approx(0.01, abs=1e-9)
        else:
            assert exactly.distortion >= 0.01
        z = solve(Problem([0.5, 0.5], [0.6, 0.4], [[1], [1]], [[0, big], [1, 0]]), R=0.6099865470109876)
        assert z.status == "optimal" and z.distortion == pytest.approx(0.1, abs=1e-8)

    @pytest.mark.parametrize("big", [1e12, 1e18, 1e30])
    def test_what_a_coupling_lacks_goes_where_it_has_mass(self, big: float) -> None:
        """Sums are off by their rounding: rank-one, 1e-17 of it would pay for the pair that must not be."""
        problem = Problem([0.706919, 0.293081], [0.600638, 0.399362], [[1], [1]], [[0.0, 1.0], [big, 0.0]])
        answer = solve(problem, verify="interval")
        assert (answer.status, answer.verified) == ("optimal", True)
        assert answer.proved_distortion == pytest.approx(0.106281, abs=1e-9)

    def test_a_hair_of_a_stand_in_for_infinity_counts(self) -> None:
        """A code's weights are rounded: constant maps make up for it, and what they cost is said."""
        big, f, g = 1e18, np.array([0, 1]), np.array([1, 1])
        problem = Problem([0.3, 0.7], [0.2, 0.8], [[1], [1]], [[0.0, 1.0], [big, 0.0]])
        parts = [Part(w, map_coupling(problem, each), each) for w, each in ((0.6666, f), (0.3334, g))]
        found = spent(OneShot(problem, math.inf, math.inf, "YU"), parts)
        with mp.workdps(DIGITS):
            px, py = ([mpf(v) / sum(map(mpf, p)) for v in p] for p in (problem.px, problem.py))
            lacks = py[0] - mpf(0.6666) / (mpf(0.6666) + mpf(0.3334)) * px[0]
            least = lacks * px[1] * mpf(big)
        assert found.distortion >= float(least) * (1 - 1e-9) > 1e12

    def test_what_would_leave_an_entry_below_nothing_goes_elsewhere(self) -> None:
        """All that is missing along the support would have to come from an entry too small: it is paid for."""
        problem = Problem([0.51, 0.49], [0.6, 0.4], [[1], [1]], [[0.0, 1.0], [1e18, 0.0]])
        found = spent(SingleLetter(problem, math.inf, math.inf), [Part(1.0, np.array([[0.5, 0.01], [0.0, 0.39]]))])
        assert found.distortion > 0.09e18

    def test_a_letter_of_hardly_any_mass_is_no_trouble(self) -> None:
        """Its posterior is 0/0 where products underflow."""
        question = SingleLetter(Problem([0.5, 0.5], [1.0 - 1e-300, 1e-300], np.eye(2)), math.inf, math.log(2) - 1e-12)
        P = np.array([[0.5, 0.0], [0.5, 0.0]])
        found = inside(question, [Part(1.0, P)])
        assert found is None or found[1].loss_excess <= CLOSE

    def test_optimal_is_close_beside_the_value_too(self) -> None:
        stakes = Stakes(Problem([0.5, 0.5], [0.5, 0.5], np.eye(2), [[0, 1], [1, 0]]))
        assert stakes.stake == 0.5 and stakes.scale == 1.0
        assert stakes.enough(1e-6, 0.2) == 5e-7
        assert stakes.enough(1e-6, 1e-5) == 1e-8
        assert 0.0 < stakes.enough(1e-6, 0.0) < 1e-12
        assert stakes.relaxed is None and not stakes.raised()

    def test_a_larger_d_bounds_nothing(self) -> None:
        problem = Problem([0.5, 0.5], [0.5, 0.5], np.eye(2), [[0, 1], [1, 0]])
        dear = Problem([0.5, 0.5], [0.5, 0.5], np.eye(2), [[9, 9], [9, 9]])
        assert certify(SingleLetter(problem, 1.0, math.inf), None, relaxed=dear).lower <= 0.0

    def test_costs_cut_off_are_nowhere_larger(self) -> None:
        rng = np.random.default_rng(0)
        for _ in range(20):
            problem = Problem(
                [0.25] * 4, [0.25] * 4, np.eye(4), rng.random((4, 4)) * 10.0 ** rng.integers(0, 9, (4, 4))
            )
            stakes = Stakes(problem)
            if stakes.relaxed is not None:
                assert (stakes.relaxed.d <= problem.d).all() and stakes.raised()

    def test_no_bound_below_the_cheapest_letters(self) -> None:
        problem = Problem([0.5, 0.5], [0.5, 0.5], np.eye(2), [[3.0, 5.0], [4.0, 7.0]])
        assert certify(SingleLetter(problem, math.inf, math.inf), None, None).lower == pytest.approx(4.5, rel=1e-12)


class TestTinyMasses:
    def test_subnormal_letters_of_a_public_example(self) -> None:
        """An output law as Blahut–Arimoto leaves it, with letters down to 1e-323."""
        case = json.loads((Path(__file__).parent / "cases" / "F3b_subnormal_output_law_open.json").read_text("utf-8"))
        x, y = np.array(case["x"]), np.array(case["y"])
        problem = Problem(case["px"], case["py"], np.ones((len(x), 1)), (x[:, None] - y) ** 2)
        answer = solve(problem, R=case["R"])
        assert answer.status == "optimal"
        assert answer.distortion == pytest.approx(case["right_value"], abs=1e-9)

    @pytest.mark.parametrize("tiny", [5e-324, 1e-310, 1e-300, 1e-200])
    def test_as_if_they_were_absent(self, tiny: float) -> None:
        rng = np.random.default_rng(0)
        W, d = rng.dirichlet(np.ones(2), 3), rng.random((3, 3))
        full = Problem([0.3, 0.7, tiny], [tiny, 0.4, 0.6], W, d)
        rest = Problem([0.3, 0.7], [0.4, 0.6], W[:2], d[:2, 1:])
        for R in (0.3, None):
            a, b = solve(full, R=R), solve(rest, R=R)
            assert a.status == b.status == "optimal"
            assert a.distortion == pytest.approx(b.distortion, abs=1e-12)


def test_a_class_told_for_certain_costs_nothing_and_a_hair_of_another_does() -> None:
    """C = 0: met where every letter of Y leaves one class, missed where 1e-300 of another is left."""
    x = np.arange(4)
    question = SingleLetter(Problem(np.full(4, 0.25), None, np.eye(2)[x % 2], np.eye(4)[:, :2]), 1.0, 0.0, laws=Free())
    told = 0.25 * np.eye(2)[x % 2]
    assert spent(question, [Part(1.0, told)], Budgets(math.inf, 1.0, 0.0, "bits")).loss_excess == 0.0
    told[0] = (0.25, 1e-300)
    assert spent(question, [Part(1.0, told)], Budgets(math.inf, 1.0, 0.0, "bits")).loss_excess > 0.0


def test_independence_is_no_rate_however_many_letters() -> None:
    """Too many for decimals: the coupling px pyᵀ itself is meant."""
    rng = np.random.default_rng(0)
    px, py = rng.dirichlet(np.ones(100)), rng.dirichlet(np.ones(90))
    solution = solve(Problem(px, py, np.ones((100, 1)), rng.random((100, 90))), R=0.0)
    assert solution.status == "optimal" and solution.residuals.rate == 0.0


def test_sums_of_large_arrays_are_good_to_more_digits_than_doubles_have() -> None:
    """Against exact fractions, with masses of all sizes, none and the smallest double."""
    rng = np.random.default_rng(0)
    P = rng.random((100, 90)) ** 20 * 10.0 ** rng.uniform(-30, 0, (100, 1))
    P[3], P[:, 5], P[7] = 0.0, 0.0, 5e-324
    assert P.size > rounding._LARGE
    for sums, lines in zip(rounding.sums(P), (P, P.T), strict=True):
        for got, line in zip(sums, lines.tolist(), strict=True):
            exact = sum(map(Fraction, line))
            near = Fraction(float(got)) + Fraction(float(got - np.longdouble(float(got))))
            assert abs(near - exact) <= 200 * Fraction(float(np.finfo(np.longdouble).eps)) * exact
