"""Measures against their definitions, term by term in exact or high precision arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import coupling, law, make, problems

from drcopt import Problem, information
from drcopt.errors import InputError

SEEDS = st.integers(0, 2**31)


def direct_information(joint: np.ndarray) -> float:
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    return math.fsum(p * math.log(p / (rows[x] * columns[y])) for (x, y), p in np.ndenumerate(joint) if p > 0)


def direct_conditional(joint: np.ndarray) -> float:
    totals = joint.sum(axis=0)
    return -math.fsum(t * math.log(t / totals[y]) for (_, y), t in np.ndenumerate(joint) if t > 0)


def joint_pmf(seed: int, n: int = 4, m: int = 3, zeros: bool = True) -> np.ndarray:
    rng = np.random.default_rng(seed)
    joint = rng.dirichlet(np.full(n * m, rng.choice([0.2, 1.0, 5.0]))).reshape(n, m)
    if zeros:
        joint[rng.random((n, m)) < 0.3] = 0.0
        joint[0, 0] += 0.1
    return joint / joint.sum()


class TestAgainstDefinitions:
    @law(100)
    @given(SEEDS)
    def test_entropy(self, seed: int) -> None:
        """H(p) = −Σ p log p."""
        p = joint_pmf(seed).ravel()
        assert information.entropy(p) == pytest.approx(-math.fsum(a * math.log(a) for a in p if a > 0), rel=1e-13)

    @law(100)
    @given(SEEDS)
    def test_mutual_information(self, seed: int) -> None:
        """I(X;Y) = Σ P log P/(PxPy) ≥ 0."""
        joint = joint_pmf(seed)
        value = information.mutual_information(joint)
        assert value == pytest.approx(direct_information(joint), rel=1e-11, abs=1e-15)
        assert information.mutual_information(joint.T) == pytest.approx(value, rel=1e-13)

    @law(100)
    @given(SEEDS)
    def test_conditional_entropy(self, seed: int) -> None:
        """H(S|Y) = H(S,Y) − H(Y) = H(S) − I(S;Y)."""
        joint = joint_pmf(seed)
        given_y = information.conditional_entropy(joint)
        assert given_y == pytest.approx(direct_conditional(joint), rel=1e-12, abs=1e-15)
        total = information.entropy(joint.ravel()) - information.entropy(joint.sum(axis=0))
        assert given_y == pytest.approx(total, abs=1e-13)
        rest = information.entropy(joint.sum(axis=1)) - information.mutual_information(joint)
        assert given_y == pytest.approx(rest, abs=1e-13)

    @law(100)
    @given(SEEDS)
    def test_divergence(self, seed: int) -> None:
        """D(p‖q) = Σ p log p/q ≥ 0, and = inf where q lacks mass."""
        p, q = joint_pmf(seed).ravel(), joint_pmf(seed + 1, zeros=False).ravel()
        direct = math.fsum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)
        assert information.divergence(p, q) == pytest.approx(direct, rel=1e-11, abs=1e-14)
        assert information.divergence(p, p) == 0.0
        assert information.divergence([0.5, 0.5], [1.0, 0.0]) == math.inf

    def test_binary_entropy(self) -> None:
        p = np.linspace(0.0, 1.0, 21)
        expected = [information.entropy([a, 1 - a]) for a in p]
        np.testing.assert_allclose(information.binary_entropy(p), expected, atol=1e-15)


class TestEdges:
    def test_zero_log_zero_is_zero(self) -> None:
        assert information.entropy([1.0, 0.0]) == 0.0
        assert information.mutual_information([[1.0, 0.0], [0.0, 0.0]]) == 0.0
        assert information.conditional_entropy([[0.5, 0.0], [0.5, 0.0]]) == pytest.approx(math.log(2))
        assert information.divergence([0.0, 1.0], [0.0, 1.0]) == 0.0
        assert information.binary_entropy([0.0, 1.0]).tolist() == [0.0, 0.0]

    def test_nothing_is_negative_zero_or_below(self) -> None:
        for seed in range(50):
            px = np.random.default_rng(seed).dirichlet(np.ones(7))
            product = np.outer(px, px)
            assert 0.0 <= information.mutual_information(product) <= 1e-16
            assert math.copysign(1.0, information.entropy([1.0])) == 1.0

    @pytest.mark.parametrize("size", [1e-2, 1e-4, 1e-6, 1e-7])
    def test_tiny_rates_keep_their_digits(self, size: float) -> None:
        # ½ ± e on a diagonal: I = Σ (1 ± r)/4·log(1 ± r) with r = 4e, r² / 2 to first order; exact in fractions.
        r = Fraction(size)
        exact = float(sum((r ** (2 * j)) / (2 * j * (2 * j - 1)) for j in range(1, 8)))
        joint = np.array([[1 + size, 1 - size], [1 - size, 1 + size]]) / 4
        assert information.mutual_information(joint) == pytest.approx(exact, rel=1e-8)

    @pytest.mark.parametrize("tiny", [1e-12, 1e-60, 1e-160, 1e-300])
    def test_tiny_atoms(self, tiny: float) -> None:
        """I = Σ P log P/(PxPy) of letters with almost no mass, though the product of two such underflows."""
        joint = np.array([[1.0 - tiny, 0.0], [0.0, tiny]])
        expected = tiny * math.log(1.0 / tiny) + tiny  # (1 − t) log 1/(1 − t) ≈ t
        assert information.mutual_information(joint) == pytest.approx(expected, rel=1e-3)
        independent = np.outer([1.0 - tiny, tiny], [1.0 - tiny, tiny])
        assert information.mutual_information(independent) <= 1e-15

    def test_units(self) -> None:
        assert information.to_nats(1.0, "bits") == math.log(2.0)
        assert information.from_nats(math.log(2.0), "bits") == 1.0
        assert information.to_nats(0.7, "nats") == information.from_nats(0.7, "nats") == 0.7
        assert information.to_nats(math.inf, "bits") == math.inf
        with pytest.raises(InputError, match="units must be one of 'bits', 'nats'"):
            information.to_nats(1.0, "bit")


class TestLaws:
    @law(60)
    @given(problems(), SEEDS)
    def test_data_processing(self, problem: Problem, seed: int) -> None:
        """I(S;Y) ≤ η I(X;Y) ≤ I(X;Y), and H(S|X) ≤ H(S|Y) ≤ H(S)."""
        rng = np.random.default_rng(seed)
        P = 0.7 * coupling(problem, rng) + 0.3 * problem.independent
        told = information.mutual_information(problem.ps_given_x.T @ P)
        assert told <= problem.contraction * problem.rate(P) + 1e-14
        loss = problem.classification_loss(P)
        assert problem.entropy_s_given_x - 1e-14 <= loss <= problem.entropy_s + 1e-14

    @law(60)
    @given(problems(), SEEDS, st.floats(0.0, 1.0))
    def test_curvature(self, problem: Problem, seed: int, weight: float) -> None:
        """I is convex in P and H(S|Y) concave, the marginals fixed."""
        rng = np.random.default_rng(seed)
        P, Q = coupling(problem, rng), coupling(problem, rng)
        mixed = weight * P + (1 - weight) * Q
        assert problem.rate(mixed) <= weight * problem.rate(P) + (1 - weight) * problem.rate(Q) + 1e-14
        both = weight * problem.classification_loss(P) + (1 - weight) * problem.classification_loss(Q)
        assert problem.classification_loss(mixed) >= both - 1e-14


class TestContractionCoefficient:
    @pytest.mark.parametrize("family", ["random", "deterministic", "equal-rows", "useless"])
    def test_no_ratio_of_divergences_is_above_it(self, family: str) -> None:
        rng = np.random.default_rng(0)
        for seed in range(8):
            W = make(family, seed, 4, 2, 3).ps_given_x
            eta = information.contraction_coefficient(W)
            assert 0.0 <= eta <= 1.0
            for _ in range(150):
                q = rng.dirichlet(np.ones(4))
                p = q + 10.0 ** rng.uniform(-3, 0) * (rng.dirichlet(np.full(4, 0.3)) - q)
                below = information.divergence(p, q)
                if below > 1e-7:
                    assert information.divergence(p @ W, q @ W) <= eta * below * (1 + 1e-6) + 1e-12

    def test_it_is_attained(self) -> None:
        # The binary symmetric channel: (1 − 2p)².
        for p in (0.0, 0.1, 0.3, 0.5):
            W = [[1 - p, p], [p, 1 - p]]
            assert information.contraction_coefficient(W) == pytest.approx((1 - 2 * p) ** 2, abs=2e-9)

    def test_two_letter_inputs_come_close_to_it(self) -> None:
        for seed in range(5):
            W = make("random", seed, 4, 2, 3).ps_given_x
            best = 0.0
            for x in range(4):
                for z in range(x):
                    for lam in np.linspace(0.01, 0.99, 99):
                        q = np.zeros(4)
                        q[[x, z]] = lam, 1 - lam
                        p = q.copy()
                        p[[x, z]] += 1e-4 * np.array([1, -1]) * min(lam, 1 - lam)
                        best = max(best, information.divergence(p @ W, q @ W) / information.divergence(p, q))
            assert information.contraction_coefficient(W) == pytest.approx(best, rel=1e-3)

    def test_every_pair_of_many_classes(self) -> None:
        W = np.random.default_rng(0).dirichlet(np.full(20, 0.3), 12)
        lam = np.linspace(0.0, 1.0, 2001)[1:-1, None]
        most = max(
            float((lam[:, 0] * (1 - lam[:, 0]) * ((a - b) ** 2 / (lam * a + (1 - lam) * b)).sum(axis=1)).max())
            for i, a in enumerate(W)
            for b in W[:i]
        )
        assert most <= information.contraction_coefficient(W) <= most + 1e-6

    def test_more_pairs_or_classes_than_are_searched(self) -> None:
        rng = np.random.default_rng(0)
        for shape in ((300, 2), (150, 1700)):
            assert information.contraction_coefficient(rng.dirichlet(np.ones(shape[1]), shape[0])) == 1.0

    def test_ends(self) -> None:
        assert information.contraction_coefficient(np.eye(3)) == 1.0
        assert information.contraction_coefficient(np.full((4, 2), 0.5)) == 0.0
        assert information.contraction_coefficient([[1.0]]) == 0.0
