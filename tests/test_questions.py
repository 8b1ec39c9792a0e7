"""Questions: what a half-space says of each quantity, and R(D, C) and C_min(R, D) against the D(R, C) they invert."""

from __future__ import annotations

import copy
import math
import pickle
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from inverses import BIT, KINDS, hamming, single
from strategies import make

from drcopt import Problem, Solution, min_classification_loss, min_rate, solve
from drcopt.certify.certificate import FLOORS, Certificate, best_bound
from drcopt.closed_forms import bernoulli
from drcopt.errors import InputError
from drcopt.formulations import OneShot, Question, SingleLetter, TimeSharing
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, QUANTITIES, RATE, Piece, Quantity, quantity
from drcopt.session import Session
from drcopt.sources import bernoulli as bernoulli_source

ALL = pytest.mark.parametrize("objective", QUANTITIES, ids=lambda q: q.name)


def question(objective: Quantity = DISTORTION, **limits: float) -> Question:
    """About a fixed small problem; limits that bind unless others are given."""
    budgets = {"distortion_budget": 0.375, "rate_budget": 0.25, "classification_budget": 0.5} | limits
    problem = Problem([0.25, 0.75], [0.5, 0.5], [[0.75, 0.25], [0.25, 0.75]], [[0.0, 1.0], [0.5, 0.0]])
    return SingleLetter(problem, **budgets, objective=objective)


class TestQuantities:
    def test_have_their_places_and_names(self) -> None:
        assert [q.place for q in QUANTITIES] == [0, 1, 2]
        assert [q.budget for q in QUANTITIES] == ["D", "R", "C"]
        assert all(quantity(q.name) is q for q in QUANTITIES)
        with pytest.raises(InputError, match=r"^objective must be one of .*; it is 'loss'\.$"):
            quantity("loss")

    def test_a_copy_is_the_same_object(self) -> None:
        for q in QUANTITIES:
            assert pickle.loads(pickle.dumps(q)) is q and copy.deepcopy(q) is q
        back = pickle.loads(pickle.dumps(question(RATE)))
        assert back.objective is RATE and back.budgets == question(RATE).budgets

    def test_what_is_minimised_is_not_limited(self) -> None:
        session = Session(question().problem)
        with pytest.raises(InputError, match=r"^R must not be given where the rate is minimised; it is 0\.5\. Drop"):
            session.ask(RATE, R=0.5, D=0.2)

    def test_only_information_has_units(self) -> None:
        assert DISTORTION.inside(3.0, "bits") == DISTORTION.outside(3.0, "bits") == 3.0
        for q in (RATE, CLASSIFICATION_LOSS):
            assert q.inside(1.0, "bits") == q.outside(BIT * BIT, "bits") == BIT
            assert q.inside(3.0, "nats") == q.outside(3.0, "nats") == 3.0


class TestBound:
    """w·(E d, I, H(S|Y)) ≥ Λ and limits on two of them, by hand."""

    @ALL
    def test_what_the_limits_leave(self, objective: Quantity) -> None:
        asked, (i, j) = question(objective), [q.place for q in QUANTITIES if q is not objective]
        weights, caps = (2.0, 4.0, 0.5), (0.375, 0.25, 0.5)
        exact = (8.0 - weights[i] * caps[i] - weights[j] * caps[j]) / weights[objective.place]
        assert asked.bound(Piece(weights, 8.0)) == pytest.approx(exact, rel=1e-12)
        assert asked.bound(Piece(weights, 8.0)) < exact

    @ALL
    def test_is_rounded_down(self, objective: Quantity) -> None:
        """Against the same in rational numbers."""
        rng = np.random.default_rng(objective.place)
        for _ in range(300):
            weights = 10.0 ** rng.uniform(-12, 12, size=3) * rng.integers(0, 2, size=3)
            weights[objective.place] = 10.0 ** rng.uniform(-12, 12)
            limits = [q.name.removesuffix("_loss") + "_budget" for q in QUANTITIES]
            asked = question(objective, **{name: float(10.0 ** rng.uniform(-20, 2)) for name in limits})
            level = float(rng.normal() * 10.0 ** rng.uniform(-6, 6))
            paid = [Fraction(w) * Fraction(cap) for w, cap in zip(weights.tolist(), asked.caps, strict=True)]
            exact = (Fraction(level) - sum(paid)) / Fraction(weights[objective.place])
            found = asked.bound(Piece((weights[0], weights[1], weights[2]), level))
            assert Fraction(found) <= exact
            size = (abs(Fraction(level)) + sum(paid)) / Fraction(weights[objective.place])
            assert exact - Fraction(found) <= size / 10**13

    @ALL
    def test_without_a_weight_on_it_all_or_nothing(self, objective: Quantity) -> None:
        """0·objective ≥ rest: no point where the rest is positive, beyond rounding; else nothing is said."""
        weights = tuple(0.0 if q is objective else 1.0 for q in QUANTITIES)
        asked = question(objective)
        paid = sum(w * cap for w, cap in zip(weights, asked.caps, strict=True))
        for level, says in ((paid + 1e-9, math.inf), (paid, -math.inf), (paid * (1 + 2.0**-50), -math.inf)):
            assert asked.bound(Piece(weights, level)) == says
        assert asked.bound(Piece(weights, -5.0)) == -math.inf
        assert asked.bound(Piece((0.0, 0.0, 0.0), 1e-300)) == math.inf
        assert asked.bound(Piece((0.0, 0.0, 0.0), 0.0)) == -math.inf

    @ALL
    def test_of_no_number_and_of_an_empty_part(self, objective: Quantity) -> None:
        for weights in ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)):
            assert question(objective).bound(Piece(weights, math.inf)) == math.inf
            assert question(objective).bound(Piece(weights, -math.inf)) == -math.inf
            assert question(objective).bound(Piece(weights, math.nan)) == -math.inf

    @ALL
    def test_no_limit_is_what_no_point_exceeds(self, objective: Quantity) -> None:
        free = question(objective, distortion_budget=math.inf, rate_budget=math.inf, classification_budget=math.inf)
        piece = Piece((1.0, 1.0, 1.0), 9.0)
        paid = sum(most for q, most in zip(QUANTITIES, free.most, strict=True) if q is not objective)
        assert free.bound(piece) == pytest.approx(9.0 - paid)
        loose = replace(free, distortion_budget=1e300, rate_budget=1e300, classification_budget=1e300)
        assert loose.bound(piece) == free.bound(piece)

    @ALL
    def test_the_limit_on_what_is_minimised_plays_no_part(self, objective: Quantity) -> None:
        name = objective.name.removesuffix("_loss") + "_budget"
        piece = Piece((1.0, 2.0, 3.0), 5.0)
        assert len({question(objective, **{name: limit}).bound(piece) for limit in (0.0, 0.1, math.inf)}) == 1
        assert question(objective).budgets[objective.place] == math.inf
        assert question(objective).caps[objective.place] == 0.0

    def test_minimising_something_else_keeps_the_other_limits(self) -> None:
        asked = question(DISTORTION)
        rate = asked.minimising(RATE, distortion_budget=0.2)
        assert (rate.objective, rate.budgets) == (RATE, (0.2, math.inf, 0.5))
        assert asked.minimising(RATE).budgets == (math.inf, math.inf, 0.5)  # what was minimised has no limit
        assert rate.minimising(DISTORTION, rate_budget=0.25).budgets == asked.budgets
        assert OneShot(asked.problem, 0.1, 0.2, "YU").minimising(RATE).classifier_sees == "YU"


def certificate_of(solution: Solution) -> Certificate:
    assert isinstance(solution.certificate, Certificate)
    return solution.certificate


class TestOneProofForAll:
    """The half-spaces that prove D(R, C) prove R(D, C) and C_min(R, D) as well."""

    @pytest.mark.parametrize(
        ("kind", "seed", "share"),
        [("single-letter", 1, 1.0), ("single-letter", 5, 0.5), ("time-sharing", 2, 1.0), ("one-shot", 3, 0.7)],
    )
    def test_inverted(self, kind: str, seed: int, share: float) -> None:
        """Below the D that is proved no rate and no loss within the budgets is left; at the D that is reached, one."""
        problem, R = make("random", seed, 3, 3, 2), 0.2
        sees = "YU" if kind == "one-shot" else "Y"
        settings: dict[str, Any] = {"formulation": kind, "classifier_sees": sees, "units": "nats", "tol": 1e-7}
        C = math.inf
        if share < 1.0:
            least = min_classification_loss(problem, R=R, **settings).classification_loss
            free = solve(problem, R=R, **settings).classification_loss
            C = least + share * (free - least)
        found = certificate_of(solve(problem, R=R, C=C, **settings))
        assert found.parts is not None
        asked, values = found.formulation, found.formulation.values(found.parts)
        evidence = (*FLOORS, *found.evidence)
        assert best_bound(asked, evidence) == pytest.approx(found.upper, abs=1e-6)
        for objective in (RATE, CLASSIFICATION_LOSS):
            within = asked.minimising(objective, distortion_budget=found.upper)
            assert best_bound(within, evidence) <= values[objective.place] + 1e-12
            below = asked.minimising(objective, distortion_budget=found.lower - 1e-9)
            budget = min(asked.budgets[objective.place], asked.most[objective.place])
            assert best_bound(below, evidence) >= budget - 1e-9


def there_and_back(seed: int) -> None:
    """D(R) → R(D) → D."""
    rng = np.random.default_rng([seed, 1])
    problem = make("random", seed, *rng.integers(2, 7, size=2), 2)
    reach = solve(problem, units="nats").rate
    R = float(rng.uniform(0.02, 0.9)) * reach
    forth = solve(problem, R=R, **single())
    back = min_rate(problem, D=forth.distortion, **single(tol=1e-7))
    assert back.objective == "rate"
    assert back.status in ("optimal", "near-feasible")  # D is met to a rounding, which says by how much
    assert back.rate == pytest.approx(R, abs=1e-6)
    assert back.lower_bound <= R + 1e-12
    assert problem.distortion(back.coupling) <= forth.distortion * (1 + 1e-12) + back.excess
    assert problem.rate(back.coupling) == pytest.approx(back.rate, abs=1e-12)
    again = solve(problem, R=back.rate, **single())
    assert again.distortion == pytest.approx(forth.distortion, abs=1e-6)
    # −dR/dD and −dD/dR are of the same curve.
    assert back.multipliers.distortion * forth.multipliers.rate == pytest.approx(1.0, rel=1e-4)


def through_the_loss(seed: int) -> bool:
    """D → C_min(R, D) → D; whether there was room between the least distortion and that of the least loss."""
    rng = np.random.default_rng([seed, 2])
    problem = make("random", seed, 2, 2 + seed % 2, 2)
    R = float(rng.uniform(0.2, 0.8)) * min(problem.entropy_x, problem.entropy_y)
    free = solve(problem, R=R, **single())
    edge = min_classification_loss(problem, R=R, **single(tol=1e-8))
    if edge.distortion - free.distortion < 1e-3:
        return False
    D = free.distortion + float(rng.uniform(0.2, 0.8)) * (edge.distortion - free.distortion)
    forth = min_classification_loss(problem, R=R, D=D, **single(tol=1e-7, time_limit=20.0))
    assert (forth.status, forth.objective) == ("optimal", "classification_loss")
    assert forth.distortion <= D * (1 + 1e-12)
    assert edge.lower_bound <= forth.classification_loss
    # A little room: at the end of a branch the last digit of C decides whether the point is met at all, and D jumps.
    back = solve(problem, R=R, C=forth.classification_loss + 1e-9, **single(tol=1e-8, time_limit=20.0))
    assert back.lower_bound <= D + 1e-9
    assert back.distortion <= D + 1e-6  # less where C_min(R, ·) is flat: it jumps from branch to branch
    again = min_classification_loss(problem, R=R, D=back.distortion, **single(tol=1e-7, time_limit=20.0))
    assert again.classification_loss == pytest.approx(forth.classification_loss, abs=1e-6)
    return True


class TestInverse:
    @pytest.mark.parametrize("seed", range(12))
    def test_there_and_back(self, seed: int) -> None:
        there_and_back(seed)

    def test_through_the_loss(self) -> None:
        assert sum(through_the_loss(seed) for seed in (0, 2, 8)) >= 1

    @pytest.mark.slow
    def test_through_the_loss_of_more(self) -> None:
        assert sum(through_the_loss(seed) for seed in [1, *range(3, 18)]) >= 8

    @pytest.mark.slow
    def test_two_hundred(self) -> None:
        for seed in range(100, 300):
            there_and_back(seed)

    @pytest.mark.parametrize(
        ("px", "py", "D", "bits"),
        [
            ([0.5, 0.5], None, 0.05, 0.713603042884),
            ([0.5, 0.5], None, 0.1, 0.531004406411),
            ([0.5, 0.5], None, 0.25, 0.188721875541),
            # Where Y has the law that a free one would choose: P(Y=1) = (p − D)/(1 − 2D).
            ([0.7, 0.3], 0.25 / 0.9, 0.05, 0.594893942115),
            ([0.7, 0.3], 0.2 / 0.8, 0.1, 0.412295305641),
            ([0.7, 0.3], 0.1 / 0.6, 0.2, 0.159362804343),
            ([0.25] * 4, None, 0.1, 1.372508156339),
            ([0.25] * 4, None, 0.25, 0.792481250361),
            ([0.25] * 4, None, 0.5, 0.207518749639),
            ([1 / 3] * 3, None, 0.2, 0.663034405834),
            ([1 / 3] * 3, None, 0.4, 0.214011906266),
        ],
    )
    def test_rate_distortion_functions(self, px: list[float], py: float | None, D: float, bits: float) -> None:
        answer = min_rate(hamming(px, None if py is None else [1.0 - py, py]), D=D, tol=1e-9)
        assert answer.status == "optimal"
        assert answer.rate == pytest.approx(bits, abs=1e-9)
        assert answer.lower_bound == pytest.approx(bits, abs=2e-9)
        assert answer.value == answer.rate

    @pytest.mark.parametrize(("sees", "formulation"), [("Y", "single-letter"), ("Y", "one-shot"), ("YU", "one-shot")])
    def test_closed_form_of_bernoulli(self, sees: str, formulation: str) -> None:
        """Its D(R) inverted, and its D(R, C) for C."""
        px, py, p1, kind = 0.3, 0.4, 0.1, {"formulation": formulation, "classifier_sees": sees}
        problem = bernoulli_source(px, py, p1)
        for R in (0.1, 0.3, 0.5):
            D = bernoulli.exact(px, py, p1, R, math.inf, **kind).distortion
            assert min_rate(problem, D=D, **kind).rate == pytest.approx(R, abs=2e-6)
        R = 0.6
        least = min_classification_loss(problem, R=R, time_limit=20.0, **kind).classification_loss
        free = solve(problem, R=R, **kind).classification_loss
        C = least + 0.5 * (free - least)
        D = bernoulli.exact(px, py, p1, R, C, **kind).distortion
        assert min_classification_loss(problem, R=R, D=D, time_limit=3.0, **kind).classification_loss <= C + 2e-6

    @pytest.mark.parametrize("C", [None, 0.93])
    def test_all_formulations(self, C: float | None) -> None:
        """Mixing helps and codes without blocks do not; every answer meets what it was asked to."""
        problem, D = bernoulli_source(0.4, 0.5, 0.2), 0.2
        rates, losses = {}, {}
        for kind, sees in KINDS:
            settings: dict[str, Any] = {"formulation": kind, "classifier_sees": sees, "tol": 1e-5, "time_limit": 20.0}
            rate = min_rate(problem, D=D, C=C, **settings)
            assert rate.status == "optimal"
            assert rate.distortion <= D * (1 + 1e-9) + 1e-12
            assert rate.classification_loss <= (math.inf if C is None else C) + 1e-12
            assert solve(problem, R=rate.rate, C=C, **settings).lower_bound <= D + 1e-9
            rates[kind, sees] = rate
            loss = min_classification_loss(problem, R=0.7, D=D, **settings)
            assert loss.status == "optimal"
            assert loss.distortion <= D * (1 + 1e-9) + 1e-12
            assert loss.rate <= 0.7 + 1e-12
            losses[kind, sees] = loss
        for found in (rates, losses):
            shared, single_letter, codes, both = found.values()
            shared, single_letter = single_letter, shared
            assert shared.lower_bound <= single_letter.value
            assert single_letter.lower_bound <= codes.value
            assert both.lower_bound <= codes.value


def test_time_sharing_mixes_nothing_of_different_directions() -> None:
    """The same tree may prove something of one coupling and nothing of a mixture, whatever is minimised."""
    from drcopt.bounds import Leaf, PosteriorTree, Split

    problem = make("random", 1, 3, 3, 2)
    tree = PosteriorTree(Split(0, 0, 0.5, Leaf(np.zeros(3), 0.1, 0.1), Leaf(np.zeros(3), 0.1, 0.1, 0.5)))
    for objective in QUANTITIES:
        asked = [
            kind(problem, 0.1, 0.1, distortion_budget=0.1, objective=objective) for kind in (SingleLetter, TimeSharing)
        ]
        assert tree.bound(asked[0]) > -math.inf
        assert tree.bound(asked[1]) == -math.inf
