"""Tests of the judge: whatever an engine hands over, the interval that comes back holds the truth.

The truth is held from above by a coupling that was checked by hand, formula by formula: a lower bound above it
would be false.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged import MULTIPLIERS, altered, assert_meets, information
from strategies import FAMILIES, coupling, law, make, within_rate

from drcopt import Problem, solve
from drcopt.bounds import DataProcessing, Independent, Leaf, PosteriorTree, Split
from drcopt.certify.certificate import certify, repair, round_onto_marginals
from drcopt.formulations import OneShot, Part, Question, SingleLetter, TimeSharing
from drcopt.problem import Standard
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, RATE, Piece, Quantity

SEEDS = st.integers(0, 2**31)


@dataclass
class Known:
    """A question with an active classification budget, a point that answers it, and the evidence for the bound."""

    formulation: SingleLetter
    point: np.ndarray
    evidence: PosteriorTree
    value: float


@functools.cache
def known(k: int, seed: int = 0) -> Known:
    problem = make("random", seed, 3, 3, k)
    P = within_rate(problem, coupling(problem, np.random.default_rng(5)), 0.35)
    loss = 0.5 * problem.classification_loss(P) + 0.5 * problem.entropy_s
    formulation = SingleLetter(problem, 0.35, loss)
    certificate = solve(problem, R=0.35, C=loss, units="nats", engine="global", tol=1e-5).certificate
    assert certificate.parts is not None
    P = certificate.parts[0].coupling
    assert_meets(formulation, P)
    trees = [one for one in certificate.evidence if isinstance(one, PosteriorTree)]
    return Known(formulation, P, max(trees, key=lambda tree: tree.bound(formulation)), problem.distortion(P))


class TestPoints:
    @law(30)
    @given(SEEDS, st.sampled_from([2, 3]), st.sampled_from([1e-15, 1e-9, 1e-3, 0.3, 10.0]))
    def test_a_disturbed_point_is_repaired_or_dropped(self, seed: int, k: int, size: float) -> None:
        """A point that comes back meets everything, and its value is not below the bound."""
        case, rng = known(k), np.random.default_rng(seed)
        P = case.point + size * rng.normal(size=case.point.shape) * rng.choice([1.0, case.point.mean()])
        certificate = certify(case.formulation, [Part(1.0, P)], case.evidence)
        if certificate.parts is None:
            assert certificate.upper == math.inf
        else:
            Q = certificate.parts[0].coupling
            assert_meets(case.formulation, Q)
            assert certificate.upper == pytest.approx(float((case.formulation.problem.d * Q).sum()), rel=1e-14)
        assert certificate.lower <= min(case.value, certificate.upper)

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda P: np.where(np.arange(P.size).reshape(P.shape) == 4, np.nan, P),
            lambda P: np.where(np.arange(P.size).reshape(P.shape) == 4, np.inf, P),
            lambda P: P[:, :-1],
            lambda P: np.vstack([P, P[:1]]),
            lambda P: P.ravel(),
            lambda P: P[None],
            lambda P: np.zeros((0, 0)),
        ],
        ids=["NaN", "inf", "a column short", "a row long", "flat", "an axis more", "empty"],
    )
    def test_what_is_no_coupling_is_dropped(self, spoil: Callable[[np.ndarray], np.ndarray]) -> None:
        case = known(2)
        certificate = certify(case.formulation, [Part(1.0, spoil(case.point))], case.evidence)
        assert certificate.parts is None
        assert certificate.upper == math.inf
        assert certificate.lower <= case.value

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda P: -P,
            lambda P: np.zeros_like(P),
            lambda P: 1e307 * np.ones_like(P),
            lambda P: P.T.copy(),
            lambda P: P[::-1],
            lambda P: 3.0 * P,
            lambda P: P - 0.05,
            lambda P: np.eye(3) / 3,
        ],
        ids=["negative", "zero", "huge", "transposed", "wrong marginals", "three times", "shifted", "identity"],
    )
    @pytest.mark.parametrize("C", [math.inf, None])
    def test_other_matrices_are_moved_onto_the_marginals(
        self, spoil: Callable[[np.ndarray], np.ndarray], C: float | None
    ) -> None:
        case = known(2)
        budget = case.formulation.classification_budget if C is None else C
        formulation = SingleLetter(case.formulation.problem, 0.35, budget)
        fixed = repair(formulation, [Part(1.0, spoil(case.point))])
        if C == math.inf:
            assert fixed is not None
        if fixed is not None:
            assert_meets(formulation, fixed.parts[0].coupling)

    @pytest.mark.parametrize("weights", [[math.nan, 1.0], [-1.0, 2.0], [0.0, 0.0], [math.inf, 1.0]])
    def test_bad_weights_are_dropped(self, weights: list[float]) -> None:
        problem = known(2).formulation.problem
        parts = [Part(w, problem.independent) for w in weights]
        assert repair(TimeSharing(problem, math.inf, math.inf), parts) is None

    def test_weights_are_normalised(self) -> None:
        problem = known(2).formulation.problem
        fixed = repair(TimeSharing(problem, math.inf, math.inf), [Part(2.0, problem.independent)] * 3)
        assert fixed is not None
        assert sum(part.weight for part in fixed.parts) == pytest.approx(1.0, abs=1e-15)


class TestMaps:
    """One-shot points are mixtures of maps, and nothing else."""

    @staticmethod
    def identity(problem: Problem) -> Part:
        return Part(1.0, np.diag(problem.px), np.arange(problem.n))

    @staticmethod
    def problem() -> Problem:
        return Problem([0.5, 0.3, 0.2], [0.5, 0.3, 0.2], make("random", 1, 3, 3, 2).ps_given_x)

    @pytest.mark.parametrize("sees", ["Y", "YU"])
    def test_a_map_is_taken_within_its_budgets_only(self, sees: str) -> None:
        problem = self.problem()
        part, rate, loss = self.identity(problem), problem.entropy_x, problem.entropy_s_given_x
        assert repair(OneShot(problem, rate, loss, sees), [part]) is not None
        assert repair(OneShot(problem, rate - 1e-9, math.inf, sees), [part]) is None
        assert repair(OneShot(problem, math.inf, loss - 1e-9, sees), [part]) is None

    @pytest.mark.parametrize(
        "change",
        [
            lambda part: replace(part, map=None),
            lambda part: replace(part, map=np.array([0, 1])),
            lambda part: replace(part, map=np.array([0, 1, 3])),
            lambda part: replace(part, map=np.array([0, 1, -1])),
            lambda part: replace(part, map=np.array([1, 1, 2])),
            lambda part: replace(part, coupling=np.outer(part.coupling.sum(axis=1), part.coupling.sum(axis=0))),
        ],
        ids=["none", "too short", "beyond the last letter", "negative", "another map", "no map's coupling"],
    )
    def test_a_coupling_that_is_not_the_maps_is_dropped(self, change: Callable[[Part], Part]) -> None:
        problem = self.problem()
        question = OneShot(problem, math.inf, math.inf, "YU")
        assert repair(question, [self.identity(problem)]) is not None
        assert repair(question, [change(self.identity(problem))]) is None

    def test_too_much_mass_on_a_letter_is_taken_off(self) -> None:
        """A mixture whose letters have masses other than py is shrunk and filled up with constant maps."""
        problem = self.problem()
        fixed = repair(OneShot(problem, math.inf, math.inf, "YU"), [self.identity(problem)])
        assert fixed is not None
        other = Problem(problem.px, [0.3, 0.3, 0.4], problem.ps_given_x)
        fixed = repair(OneShot(other, math.inf, math.inf, "YU"), [self.identity(other)])
        assert fixed is not None
        mixed = OneShot(other, math.inf, math.inf, "YU").coupling(fixed.parts)
        assert np.abs(mixed.sum(axis=0) - other.py).sum() <= 1e-15
        assert np.abs(mixed.sum(axis=1) - other.px).sum() <= 1e-15
        assert min(part.weight for part in fixed.parts) >= 0.0


class TestMixtures:
    """Budgets of a mixture are averages with its weights."""

    @pytest.mark.parametrize("share", [0.0, 0.25, 0.9])
    def test_time_sharing(self, share: float) -> None:
        problem = make("random", 2, 3, 3, 2)
        P, Q = (coupling(problem, np.random.default_rng(seed)) for seed in (1, 2))
        question = TimeSharing(problem, math.inf, math.inf)
        fixed = repair(question, [Part(1.0 - share, P), Part(share, Q)])
        assert fixed is not None
        for found, one in ((fixed.spent.rate, information), (fixed.spent.loss, problem.classification_loss)):
            assert found == pytest.approx((1.0 - share) * one(P) + share * one(Q), abs=1e-12)


class TestRounding:
    @law(150)
    @given(SEEDS, st.sampled_from(list(FAMILIES)))
    def test_marginals_are_exact(self, seed: int, family: str) -> None:
        """|P1 − px| and |Pᵀ1 − py| ≤ 1e-15 a letter, whatever P was; negative entries never come back."""
        problem = make(family, seed, 4, 5, 2).reduced()
        rng = np.random.default_rng(seed)
        P = rng.normal(size=(problem.n, problem.m)) * 10.0 ** rng.uniform(-20, 20)
        rounded = round_onto_marginals(P, problem.px, problem.py)
        assert rounded.min() >= 0.0
        assert np.abs(rounded.sum(axis=1) - problem.px).max() <= 1e-15
        assert np.abs(rounded.sum(axis=0) - problem.py).max() <= 1e-15

    @law(50)
    @given(SEEDS)
    def test_a_coupling_stays_put(self, seed: int) -> None:
        """The rounding of a coupling is itself."""
        problem = make("random", seed, 4, 5, 2)
        P = coupling(problem, np.random.default_rng(seed))
        assert np.abs(round_onto_marginals(P, problem.px, problem.py) - P).sum() <= 1e-15

    @law(50)
    @given(SEEDS, st.floats(1e-14, 0.1))
    def test_it_moves_no_more_than_the_marginals_are_off(self, seed: int, size: float) -> None:
        """‖round(P) − P‖₁ ≤ 2(‖P1 − px‖₁ + ‖Pᵀ1 − py‖₁)."""
        problem = make("random", seed, 4, 5, 2)
        rng = np.random.default_rng(seed)
        P = coupling(problem, rng) + size * rng.random((4, 5))
        off = np.abs(P.sum(axis=1) - problem.px).sum() + np.abs(P.sum(axis=0) - problem.py).sum()
        assert np.abs(round_onto_marginals(P, problem.px, problem.py) - P).sum() <= 2.0 * off + 1e-15

    @law(80)
    @given(SEEDS, st.floats(1e-12, 1.0))
    def test_the_rate_is_repaired(self, seed: int, share: float) -> None:
        """I(repaired) ≤ R for every R > 0, at no more than the straight line's cost."""
        problem = make("random", seed, 4, 4, 2)
        P = coupling(problem, np.random.default_rng(seed))
        rate = share * problem.rate(P)
        fixed = repair(SingleLetter(problem, rate, math.inf), [Part(1.0, P)])
        assert fixed is not None
        Q = fixed.parts[0].coupling
        assert information(Q) <= rate + 1e-14
        straight = share * problem.distortion(P) + (1.0 - share) * problem.distortion(problem.independent)
        assert problem.distortion(Q) == pytest.approx(straight, abs=1e-9)

    def test_rate_zero_leaves_the_independent_coupling(self) -> None:
        problem = make("random", 0, 4, 4, 2)
        P = coupling(problem, np.random.default_rng(0))
        fixed = repair(SingleLetter(problem, 0.0, math.inf), [Part(1.0, P)])
        assert fixed is not None
        np.testing.assert_allclose(fixed.parts[0].coupling, problem.independent, atol=1e-15)


def random_tree(rng: np.random.Generator, formulation: Question, depth: int, distortion: float = 1.0) -> Any:
    problem = formulation.problem
    if depth == 0 or rng.random() < 0.2:
        size = 10.0 ** rng.uniform(-6, 6)
        rate, classification = 10.0 ** rng.uniform(-6, 3, size=2) * rng.integers(0, 2, size=2)
        return Leaf(size * rng.normal(size=problem.n), float(rate), float(classification), distortion)
    low, high = (random_tree(rng, formulation, depth - 1, distortion) for _ in range(2))
    return Split(int(rng.integers(problem.m)), int(rng.integers(problem.k)), float(rng.uniform(-0.2, 1.2)), low, high)


class TestEvidence:
    @pytest.mark.parametrize("k", [2, 3])
    @pytest.mark.parametrize("change", MULTIPLIERS.values(), ids=MULTIPLIERS)
    def test_corrupted_multipliers_prove_less(self, change: Callable[[Leaf], Leaf], k: int) -> None:
        case = known(k)
        evidence = PosteriorTree(altered(case.evidence.root, change))
        certificate = certify(case.formulation, None, evidence)
        assert math.isfinite(certificate.lower)
        assert certificate.lower <= case.value
        assert not certificate.infeasible

    @law(12)
    @given(SEEDS, st.sampled_from([2, 3]), st.sampled_from([1.0, 1.0, 1e-6, 30.0, 0.0]))
    def test_random_trees(self, seed: int, k: int, weight: float) -> None:
        """bound(any tree of any multipliers) ≤ the value of any point, whatever is minimised."""
        case, rng = known(k), np.random.default_rng(seed)
        tree = PosteriorTree(random_tree(rng, case.formulation, 3, weight))
        assert tree.bound(case.formulation) <= case.value
        values = case.formulation.values([Part(1.0, case.point)])
        for quantity in (RATE, CLASSIFICATION_LOSS):
            question = case.formulation.minimising(quantity, distortion_budget=case.value)
            assert tree.bound(question) <= values[quantity.place]

    @law(25)
    @given(SEEDS, st.sampled_from([2, 3]))
    def test_random_trees_prove_no_infeasibility(self, seed: int, k: int) -> None:
        """bound(any tree) on the loss ≤ the loss of any point within the rate."""
        case, rng = known(k), np.random.default_rng(seed)
        tree = PosteriorTree(random_tree(rng, case.formulation, 2, 0.0))
        certificate = certify(case.formulation, None, tree)
        assert certificate.least(CLASSIFICATION_LOSS) <= case.formulation.problem.classification_loss(case.point)
        assert not certificate.infeasible

    def test_the_tree_of_another_problem(self) -> None:
        for seed in range(1, 4):
            for donor, taker in ((known(2, seed), known(2)), (known(2), known(2, seed)), (known(3), known(2))):
                certificate = certify(taker.formulation, [Part(1.0, taker.point)], donor.evidence)
                assert certificate.lower <= taker.value

    @pytest.mark.parametrize("at", [math.nan, math.inf, -math.inf, -1.0, 2.0, 0.0, 1.0])
    def test_a_split_anywhere_covers_everything(self, at: float) -> None:
        for k in (2, 3):
            case = known(k)
            leaf = Leaf(np.zeros(3), 0.1, 0.1)
            for root in (Split(0, 0, at, leaf, leaf), Split(2, k - 1, at, leaf, Split(0, 0, 0.5, leaf, leaf))):
                assert certify(case.formulation, None, PosteriorTree(root)).lower <= case.value

    @pytest.mark.parametrize(
        ("rough", "sharp", "least"),
        [([0.0, 0.1], [0.5, 0.2], 0.2), ([0.1, 0.0], [0.2, 0.5], 0.2), ([0.0, 0.3], [0.1, 0.9], 0.1)],
    )
    def test_the_least_leaf_counts_whichever_seemed_it(
        self, rough: list[float], sharp: list[float], least: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The least of the sharp bounds, where the roughly least leaf is not the one that has it."""
        case = known(3)
        leaves = [Leaf(np.zeros(3), 0.1, float(i)) for i in range(2)]

        def fake(question: Any, leaf: Leaf, box: Any, tol: float, *others: Any) -> tuple[Piece, None]:
            return Piece((1.0, 0.0, 0.0), (rough if tol > 1e-8 else sharp)[int(leaf.classification)]), None

        monkeypatch.setattr("drcopt.bounds.posterior._leaf_piece", fake)
        for pair in (leaves, leaves[::-1]):
            assert PosteriorTree(Split(0, 0, 0.5, *pair)).bound(case.formulation) == pytest.approx(least, rel=1e-12)

    @pytest.mark.parametrize("k", [2, 3, 4])
    @pytest.mark.parametrize("rate", [1e-14, 1e-16, 1e-18])
    @pytest.mark.parametrize("alpha", [1e6, 1e8, 1e10])
    def test_a_multiplier_that_dwarfs_the_costs(self, k: int, rate: float, alpha: float) -> None:
        """α log Z is known to α's last digit only, which αR need not pay for: E d of independence ≥ bound."""
        for seed in range(8):
            rng = np.random.default_rng([seed, k])
            W = rng.dirichlet(np.ones(k), size=4)
            p = Problem(rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(3)), W, rng.random((4, 3)))
            tree = PosteriorTree(Leaf(p.d @ p.py, alpha, 1.0))
            assert tree.bound(SingleLetter(p, rate, p.entropy_s)) <= p.distortion(p.independent) + 1e-15

    @pytest.mark.parametrize(("y", "s"), [(99, 0), (0, 99), (-1, -1)])
    def test_a_split_of_no_letter_proves_nothing_false(self, y: int, s: int) -> None:
        case = known(2)
        leaf = Leaf(np.zeros(3), 0.1, 0.1)
        certificate = certify(case.formulation, [Part(1.0, case.point)], PosteriorTree(Split(y, s, 0.5, leaf, leaf)))
        assert certificate.lower <= case.value

    def test_time_sharing_refuses_a_different_price_in_every_leaf(self) -> None:
        case = known(2)
        shared = TimeSharing(case.formulation.problem, 0.35, case.formulation.classification_budget)
        low, high = Leaf(np.zeros(3), 0.1, 0.1), Leaf(np.zeros(3), 0.2, 0.1)
        assert PosteriorTree(Split(0, 0, 0.5, low, high)).bound(shared) == -math.inf
        assert PosteriorTree(Split(0, 0, 0.5, low, low)).bound(shared) > -math.inf

    def test_exact_evidence_holds_only_where_it_applies(self) -> None:
        case = known(2)
        problem = case.formulation.problem
        least = case.formulation.minimising(CLASSIFICATION_LOSS)
        assert Independent().bound(case.formulation) == -math.inf
        assert Independent().bound(least) == -math.inf
        assert DataProcessing().bound(case.formulation) == -math.inf
        assert problem.entropy_s_given_x * (1 - 1e-13) <= DataProcessing().bound(least)
        assert DataProcessing().bound(least) <= problem.classification_loss(case.point)
        assert DataProcessing().bound(replace(case.formulation, rate_budget=1e-9)) == math.inf

    def test_without_evidence_there_is_still_a_bound(self) -> None:
        case = known(2)
        certificate = certify(case.formulation, None)
        assert 0.0 <= certificate.lower <= case.value
        assert certificate.parts is None


class Liar:
    """Evidence that returns whatever it is told to."""

    def __init__(self, value: float, objective: Quantity = DISTORTION) -> None:
        self.value, self.objective = value, objective

    def bound(self, question: Question) -> float:
        return self.value if question.objective is self.objective else -math.inf

    def framed(self, change: Standard) -> Liar:
        return self


class TestContradictions:
    def test_a_bound_above_the_value_is_not_reported(self) -> None:
        case = known(2)
        with pytest.raises(ArithmeticError, match="contradicts itself"):
            certify(case.formulation, [Part(1.0, case.point)], Liar(case.value + 1e-6))

    def test_nor_is_a_proof_that_the_point_does_not_exist(self) -> None:
        case = known(2)
        with pytest.raises(ArithmeticError, match="contradicts itself"):
            certify(case.formulation, [Part(1.0, case.point)], Liar(math.inf))

    @pytest.mark.parametrize("quantity", [CLASSIFICATION_LOSS, RATE])
    def test_a_bound_above_what_else_is_minimised_is_not_reported(self, quantity: Quantity) -> None:
        case = known(2)
        question, point = case.formulation.minimising(quantity), [Part(1.0, case.point)]
        least = question.values(point)[quantity.place]
        assert certify(question, point, Liar(least, quantity)).upper == pytest.approx(least, abs=1e-12)
        with pytest.raises(ArithmeticError, match="contradicts itself"):
            certify(question, point, Liar(least + 1e-6, quantity))

    @pytest.mark.parametrize("value", [math.nan, -math.inf])
    def test_a_bound_that_is_no_number_is_ignored(self, value: float) -> None:
        case = known(2)
        certificate = certify(case.formulation, [Part(1.0, case.point)], Liar(value))
        assert 0.0 <= certificate.lower <= case.value

    def test_rounding_is_no_contradiction(self) -> None:
        case = known(2)
        certificate = certify(case.formulation, [Part(1.0, case.point)], Liar(case.value + 1e-13))
        assert certificate.lower == certificate.upper
