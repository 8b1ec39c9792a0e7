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
from strategies import FAMILIES, coupling, law, make, within_rate

from drcopt import Problem, min_classification_loss, solve
from drcopt.bounds import DataProcessing, Independent, Leaf, PosteriorTree, Split
from drcopt.certify.certificate import certify, repair, round_onto_marginals
from drcopt.engines import ENGINES
from drcopt.engines.base import Limits, Proposal
from drcopt.formulations import OneShot, Part, Question, SingleLetter, TimeSharing
from drcopt.problem import Standard
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, RATE, Piece, Quantity

SEEDS = st.integers(0, 2**31)


def information(joint: np.ndarray) -> float:
    """I of a joint pmf from its definition."""
    product = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    return math.fsum(p * math.log(p / q) for p, q in zip(joint.ravel(), product.ravel(), strict=True) if p > 0)


def uncertainty(joint: np.ndarray) -> float:
    """H(S|Y) of T(s, y) from its definition."""
    totals = joint.sum(axis=0)
    return -math.fsum(t * math.log(t / totals[y]) for (_, y), t in np.ndenumerate(joint) if t > 0)


def assert_meets(formulation: Question, P: np.ndarray) -> None:
    """P is a coupling of the marginals within both budgets, by the definitions."""
    problem = formulation.problem
    assert P.shape == (problem.n, problem.m)
    assert P.min() >= 0.0
    assert np.abs(P.sum(axis=1) - problem.px).max() <= 1e-14
    assert np.abs(P.sum(axis=0) - problem.py).max() <= 1e-14
    assert information(P) <= formulation.rate_budget + 1e-12
    assert uncertainty(problem.ps_given_x.T @ P) <= formulation.classification_budget + 1e-12


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


def altered(node: Any, change: Callable[[Leaf], Leaf]) -> Any:
    if isinstance(node, Split):
        return replace(node, low=altered(node.low, change), high=altered(node.high, change))
    return change(node)


MULTIPLIERS: dict[str, Callable[[Leaf], Leaf]] = {
    "as found": lambda leaf: leaf,
    "all flipped": lambda leaf: Leaf(-leaf.f, -leaf.rate, -leaf.classification),
    "distortion flipped": lambda leaf: replace(leaf, distortion=-1.0),
    "no distortion": lambda leaf: replace(leaf, distortion=0.0),
    "distortion halved": lambda leaf: replace(leaf, distortion=0.5),
    "distortion doubled": lambda leaf: replace(leaf, distortion=2.0),
    "huge distortion": lambda leaf: replace(leaf, distortion=1e300),
    "tiny distortion": lambda leaf: replace(leaf, distortion=1e-300),
    "infinite distortion": lambda leaf: replace(leaf, distortion=math.inf),
    "NaN distortion": lambda leaf: replace(leaf, distortion=math.nan),
    "f flipped": lambda leaf: replace(leaf, f=-leaf.f),
    "rate flipped": lambda leaf: replace(leaf, rate=-leaf.rate),
    "classification flipped": lambda leaf: replace(leaf, classification=-leaf.classification),
    "huge f": lambda leaf: replace(leaf, f=1e300 * leaf.f),
    "huge rate": lambda leaf: replace(leaf, rate=1e300),
    "huge classification": lambda leaf: replace(leaf, classification=1e300),
    "infinite": lambda leaf: Leaf(leaf.f + math.inf, math.inf, math.inf),
    "tiny": lambda leaf: Leaf(1e-300 * leaf.f, 1e-300, 1e-300),
    "NaN in f": lambda leaf: replace(leaf, f=np.full_like(leaf.f, math.nan)),
    "NaN rate": lambda leaf: replace(leaf, rate=math.nan),
    "NaN classification": lambda leaf: replace(leaf, classification=math.nan),
    "f too long": lambda leaf: replace(leaf, f=np.append(leaf.f, 1.0)),
    "f too short": lambda leaf: replace(leaf, f=leaf.f[:1]),
    "f a number": lambda leaf: replace(leaf, f=np.float64(3.0)),  # type: ignore[arg-type]
    "swapped": lambda leaf: replace(leaf, rate=leaf.classification, classification=leaf.rate),
    "a thousandfold": lambda leaf: Leaf(1e3 * leaf.f, 1e3 * leaf.rate, 1e3 * leaf.classification),
    "no rate": lambda leaf: replace(leaf, rate=0.0),
    "no classification": lambda leaf: replace(leaf, classification=0.0),
    "classification doubled": lambda leaf: replace(leaf, classification=2.0 * leaf.classification),
    "rate halved": lambda leaf: replace(leaf, rate=0.5 * leaf.rate),
}


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


class Panic(BaseException):
    """How a panic in compiled code arrives."""


def _raises(error: BaseException) -> Callable[..., Proposal]:
    def fault(*_: Any) -> Proposal:
        raise error

    return fault


def _with_point(change: Callable[[np.ndarray], Any]) -> Callable[..., Proposal]:
    def fault(honest: Proposal, formulation: Question, limits: Limits) -> Proposal:
        P = formulation.problem.independent if honest.parts is None else honest.parts[0].coupling
        return replace(honest, parts=[Part(1.0, change(np.array(P)))])

    return fault


def _with_leaves(change: Callable[[Leaf], Leaf]) -> Callable[..., Proposal]:
    def fault(honest: Proposal, formulation: Question, limits: Limits) -> Proposal:
        assert all(isinstance(one, PosteriorTree) for one in honest.evidence)
        return replace(honest, evidence=tuple(PosteriorTree(altered(tree.root, change)) for tree in honest.evidence))

    return fault


def _infeasible_lie(honest: Proposal, formulation: Question, limits: Limits) -> Proposal:
    n = formulation.problem.n
    lies = PosteriorTree(Leaf(np.full(n, 1e6), 1e-9, 1.0, 0.0)), PosteriorTree(Leaf(np.full(n, 1e6), 0.0, 0.0, 0.0))
    return Proposal(None, lies, "infeasible")


def _unbounded_lie(honest: Proposal, formulation: Question, limits: Limits) -> Proposal:
    return Proposal(None, (PosteriorTree(Leaf(np.full(formulation.problem.n, -1e300), 0.0, 0.0)),), "unbounded")


def _inaccurate(honest: Proposal, formulation: Question, limits: Limits) -> Proposal:
    rng = np.random.default_rng(0)
    noisy = _with_point(lambda P: P + 1e-3 * rng.normal(size=P.shape))(honest, formulation, limits)
    return _with_leaves(lambda leaf: replace(leaf, f=leaf.f + 1e-3 * rng.normal(size=leaf.f.shape)))(
        noisy, formulation, limits
    )


def _hang(honest: Proposal, formulation: Question, limits: Limits) -> Proposal:
    while not limits.expired:  # busy: the tests' clock is the processor's
        pass
    return honest


def _garbage(honest: Proposal, formulation: Question, limits: Limits) -> Proposal:
    return Proposal(["a coupling"], "a bound", termination=None, stats=None, warm=object())  # type: ignore[arg-type]


def _no_evidence(honest: Proposal, formulation: Question, limits: Limits) -> Proposal:
    return replace(honest, evidence=("a bound", None, 3.0, {}, *honest.evidence))  # type: ignore[arg-type]


FAULTS: dict[str, Callable[..., Any]] = {
    "error": _raises(RuntimeError("the solver fell over")),
    "crash": _raises(Panic("called `Option::unwrap()` on a `None` value")),
    "inaccurate": _inaccurate,
    "infeasible lie": _infeasible_lie,
    "unbounded lie": _unbounded_lie,
    "NaN": lambda *a: _with_leaves(lambda leaf: Leaf(leaf.f * math.nan, math.nan, math.nan))(
        _with_point(lambda P: P * math.nan)(*a), *a[1:]
    ),
    "None": lambda *a: None,
    "wrong shape": lambda *a: _with_leaves(lambda leaf: replace(leaf, f=leaf.f[:-1]))(
        _with_point(lambda P: P[:, :-1])(*a), *a[1:]
    ),
    "hang past the limit": _hang,
    "garbage": _garbage,
    "what is no evidence": _no_evidence,
    "sign-flipped duals": _with_leaves(MULTIPLIERS["all flipped"]),
    "huge duals": _with_leaves(lambda leaf: Leaf(1e290 * (1.0 + leaf.f), 1e290, 1e290)),
}


class Faulty:
    """An engine whose answer is spoilt on the way out."""

    formulations = ("single-letter",)
    active_classification = True

    def __init__(self, honest: Any, fault: Callable[..., Any]) -> None:
        self.honest, self.fault, self.name = honest, fault, honest.name

    def propose(self, formulation: Question, limits: Limits, warm: Any = None) -> Proposal:
        patient = Limits(limits.tol)
        return self.fault(self.honest.propose(formulation, patient, None), formulation, limits)


@functools.cache
def instances(count: int) -> tuple[tuple[Problem, float, float, float], ...]:
    """(problem, R, C, the distortion of a point that meets them) in nats, half of them with C active."""
    found: list[tuple[Problem, float, float, float]] = []
    seed = 0
    while len(found) < count:
        seed += 1
        family = ("random", "hamming", "zero-mass", "deterministic", "equal-rows", "large-d")[seed % 6]
        problem = make(family, seed, 3, 3, 2)
        rng = np.random.default_rng(seed)
        P = within_rate(problem, coupling(problem, rng), float(rng.uniform(0.05, 0.6)))
        R = problem.rate(P) + 1e-9
        free = solve(problem, R=R, C=None, units="nats")
        least = problem.classification_loss(P)
        C = math.inf
        if len(found) % 2:
            # Between what P has and what the rate-only optimum has: active, and met by P.
            if least > free.classification_loss - 1e-3:
                continue
            C = 0.5 * (least + free.classification_loss)
        found.append((problem, R, C, problem.distortion(P) if C < math.inf else free.distortion))
    return tuple(found)


def try_fault(monkeypatch: pytest.MonkeyPatch, fault: str, count: int) -> int:
    """How many instances were answered in spite of the fault, by ``auto`` and by the faulty engine alike."""
    honest, cases = dict(ENGINES), instances(count)
    for name in ("newton", "global"):
        kind = honest[name]
        monkeypatch.setitem(
            ENGINES,  # type: ignore[arg-type]
            name,
            replace(kind, build=lambda k=kind: Faulty(k.build(), FAULTS[fault])),
        )
    time_limit = 0.05 if fault == "hang past the limit" else None
    tried = 0
    for problem, R, C, value in cases:
        for engine in ("auto", "newton" if C == math.inf else "global"):
            answer = solve(
                problem, R=R, C=C, units="nats", engine=engine, tol=1e-4, time_limit=time_limit, on_failure="return"
            )
            assert answer.status in ("optimal", "feasible", "unknown"), (fault, engine, answer)
            assert answer.lower_bound <= value * (1 + 1e-12) + 1e-300, (fault, engine, answer)
            assert isinstance(answer.termination, str)
            if answer.status == "unknown":
                assert math.isnan(answer.distortion)
            else:
                question = SingleLetter(problem, R, C)
                assert_meets(question, answer.coupling)
                assert answer.distortion == pytest.approx(problem.distortion(answer.coupling), rel=1e-12)
                assert answer.lower_bound <= answer.distortion
            if answer.status == "optimal":
                assert answer.distortion - answer.lower_bound <= 1e-4 * problem.d.max()
        tried += 1
    return tried


@pytest.mark.faults
class TestFaultyEngines:
    @pytest.mark.parametrize("fault", FAULTS)
    def test_the_interval_stays_valid(self, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
        assert try_fault(monkeypatch, fault, 4) == 4

    @pytest.mark.slow
    @pytest.mark.parametrize("fault", FAULTS)
    def test_on_fifty_instances(self, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
        assert len(FAULTS) == 13  # 650 in all
        tried = try_fault(monkeypatch, fault, 50)
        print(f"{fault}: {tried} instances, no false claim")
        assert tried == 50

    def test_an_interrupt_is_the_users(self, monkeypatch: pytest.MonkeyPatch) -> None:
        problem, kind = instances(6)[0][0], ENGINES["newton"]
        stub = replace(kind, build=lambda: Faulty(kind.build(), _raises(KeyboardInterrupt())))
        monkeypatch.setitem(ENGINES, "newton", stub)  # type: ignore[arg-type]
        with pytest.raises(KeyboardInterrupt):
            solve(problem, R=0.1, C=None)

    @pytest.mark.parametrize("fault", ["error", "crash", "None", "garbage"])
    def test_the_edge_is_guarded_too(self, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """C_min(R) from an engine that fails is what data processing says, not a bound on the distortion."""
        problem = make("large-d", 3, 3, 3, 2)
        monkeypatch.setattr("drcopt.engines.branch.Global.propose", lambda *a: FAULTS[fault](*a[:3]))
        edge = min_classification_loss(problem, R=0.3, units="nats", on_failure="return")
        assert (edge.status, edge.objective) == ("unknown", "classification_loss")
        assert edge.lower_bound == pytest.approx(problem.entropy_s_given_x, abs=1e-12)

    @pytest.mark.parametrize("seed", range(6))
    def test_no_warning_leaks_from_the_edge(self, seed: int) -> None:
        problem = make("useless", seed, 3, 3, 2)
        edge = min_classification_loss(problem, R=0.05, units="nats", time_limit=2.0)
        assert edge.lower_bound == pytest.approx(problem.entropy_s, abs=1e-9)
