"""Problem: copied, frozen, the same after pickling; support and scale taken out and put back."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from strategies import FAMILIES, coupling, law, make, problems

from drcopt import Problem, information, solve
from drcopt.errors import InputError

ARRAYS = ("px", "py", "ps_given_x", "d")


def example() -> Problem:
    W = [[1, 0, 0], [0, 0, 1], [0.2, 0.8, 0]]
    return Problem([0.3, 0.0, 0.7], [0.5, 0.5, 0.0], W, np.arange(9.0).reshape(3, 3))


class TestFrozen:
    def test_arrays_are_read_only(self) -> None:
        problem = example()
        for array in (*(getattr(problem, name) for name in ARRAYS), problem.ps, problem.independent):
            assert array.dtype == np.float64
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0.0

    def test_attributes_cannot_be_set(self) -> None:
        with pytest.raises(AttributeError, match="frozen"):
            example().px = np.array([1.0])  # type: ignore[misc]

    def test_the_caller_keeps_their_arrays(self) -> None:
        given_ = {"px": np.array([0.5, 0.5]), "py": np.array([0.5, 0.5]), "ps_given_x": np.eye(2), "d": 1 - np.eye(2)}
        before = {name: array.copy() for name, array in given_.items()}
        problem = Problem(**given_)
        for name, array in given_.items():
            assert array.flags.writeable
            assert not np.shares_memory(array, getattr(problem, name))
            np.testing.assert_array_equal(array, before[name])
            array[:] = 7.0
            np.testing.assert_array_equal(getattr(problem, name), before[name])

    @pytest.mark.parametrize("twin", [lambda p: pickle.loads(pickle.dumps(p)), copy.copy, copy.deepcopy])
    def test_copies_are_the_same_problem(self, twin) -> None:
        for family in FAMILIES:
            problem = make(family, 3, 4, 3, 2)
            other = twin(problem)
            assert other.fingerprint == problem.fingerprint
            for name in ARRAYS:
                np.testing.assert_array_equal(getattr(other, name), getattr(problem, name))
                assert not getattr(other, name).flags.writeable

    def test_the_fingerprint_sees_every_array_and_its_shape(self) -> None:
        problem = example()
        prints = {problem.fingerprint}
        changes = {
            "px": [0.3, 0.1, 0.6],
            "py": [0.4, 0.6, 0.0],
            "ps_given_x": np.eye(3),
            "d": np.ones((3, 3)),
        }
        for name, value in changes.items():
            arrays = {key: getattr(problem, key) for key in ARRAYS} | {name: value}
            prints.add(Problem(**arrays).fingerprint)
        prints.add(Problem([1.0], [0.5, 0.5], [[1.0]], [[0.0, 0.0]]).fingerprint)
        prints.add(Problem([0.5, 0.5], [1.0], [[1.0], [1.0]], [[0.0], [0.0]]).fingerprint)
        assert len(prints) == 7
        assert example().fingerprint == problem.fingerprint


class TestDerived:
    @law(60)
    @given(problems())
    def test_measures(self, problem: Problem) -> None:
        """pS = Wᵀpx; H(S|X) = Σ px H(W(x, ·)); the independent coupling has I = 0 and H(S|Y) = H(S)."""
        np.testing.assert_allclose(problem.ps, problem.px @ problem.ps_given_x, rtol=1e-15)
        rows = sum(p * information.entropy(row) for p, row in zip(problem.px, problem.ps_given_x, strict=True))
        assert problem.entropy_s_given_x == pytest.approx(rows, abs=1e-14)
        assert problem.rate(problem.independent) <= 1e-15
        assert problem.classification_loss(problem.independent) == pytest.approx(problem.entropy_s, abs=1e-14)
        mean = float(problem.px @ problem.d @ problem.py)
        assert problem.distortion(problem.independent) == pytest.approx(mean, rel=1e-13, abs=1e-300)

    def test_normalisation_is_recorded(self) -> None:
        problem = Problem([0.5, 0.5 + 4e-7], [0.5, 0.5], [[0.5, 0.5 - 3e-7], [0.5, 0.5]], "hamming")
        assert problem.px.sum() == pytest.approx(1.0, abs=1e-15)
        assert problem.ps_given_x.sum(axis=1) == pytest.approx(1.0, abs=1e-15)
        assert problem.normalisation["px"] == pytest.approx(4e-7, rel=1e-6)
        assert problem.normalisation["py"] == 0.0
        assert problem.normalisation["ps_given_x"] == pytest.approx(3e-7, rel=1e-6)
        with pytest.raises(InputError, match="px must sum to 1"):
            Problem([0.5, 0.5 + 2e-6], [0.5, 0.5], np.eye(2))

    def test_normalising_twice_changes_nothing(self) -> None:
        for seed in range(100):
            rng = np.random.default_rng(seed)
            p = rng.random(7).astype(np.float32)
            p = (p / p.sum()).astype(np.float64)
            once = Problem(p, [1.0], np.ones((7, 1)), np.zeros((7, 1)))
            assert pickle.loads(pickle.dumps(once)).fingerprint == once.fingerprint


class TestSupport:
    def test_letters_without_mass_go_and_come_back(self) -> None:
        problem = example()
        reduced = problem.reduced()
        assert (reduced.n, reduced.m, reduced.k) == (2, 2, 2)
        np.testing.assert_array_equal(reduced.d, [[0, 1], [6, 7]])
        np.testing.assert_array_equal(reduced.ps_given_x, [[1, 0], [0.2, 0.8]])
        restored = problem.support.restore(reduced.independent)
        np.testing.assert_allclose(restored, problem.independent, atol=1e-16)
        assert (restored[1] == 0).all()
        assert (restored[:, 2] == 0).all()

    def test_a_problem_with_full_support_is_its_own_reduction(self) -> None:
        problem = make("random", 0, 3, 4, 2)
        assert problem.reduced() is problem

    @law(60)
    @given(problems())
    def test_measures_survive(self, problem: Problem) -> None:
        """E d, I and H(S|Y) of a restored coupling are those of the reduced one."""
        reduced = problem.reduced()
        assert (reduced.px > 0).all()
        assert (reduced.py > 0).all()
        assert (reduced.ps > 0).all()
        P = coupling(reduced, np.random.default_rng(0))
        full = problem.support.restore(P)
        assert full.shape == (problem.n, problem.m)
        assert problem.distortion(full) == pytest.approx(reduced.distortion(P), rel=1e-14)
        assert problem.rate(full) == pytest.approx(reduced.rate(P), abs=1e-14)
        assert problem.classification_loss(full) == pytest.approx(reduced.classification_loss(P), abs=1e-14)


class TestStandardised:
    @law(100)
    @given(problems())
    def test_it_is_the_same_problem(self, problem: Problem) -> None:
        """d = scale·d' + row ⊕ column with d' in [0, 1]: costs of couplings differ by the same affine map."""
        standard, change = problem.standardised()
        assert standard.d.min() == 0.0
        assert standard.d.max() in (0.0, 1.0)
        back = change.scale * standard.d + change.row[:, None] + change.column
        np.testing.assert_allclose(back, problem.d, rtol=1e-14, atol=1e-15 * problem.d.max())
        for name in ("px", "py", "ps_given_x"):
            np.testing.assert_allclose(getattr(standard, name), getattr(problem, name), rtol=0, atol=1e-250)
        offset = float(problem.px @ change.row + change.column @ problem.py)
        for seed in range(3):
            P = coupling(problem, np.random.default_rng(seed))
            cost = change.scale * standard.distortion(P) + offset
            assert problem.distortion(P) == pytest.approx(cost, rel=1e-12, abs=1e-14 * problem.d.max())

    def test_what_couplings_cannot_change_goes(self) -> None:
        rng = np.random.default_rng(0)
        row, column = 1e8 * rng.random(4), 1e6 * rng.random(3)
        problem = Problem(np.full(4, 0.25), np.full(3, 1 / 3), np.full((4, 2), 0.5), row[:, None] + column)
        standard, change = problem.standardised()
        assert change.scale == 1.0
        assert not standard.d.any()

    @pytest.mark.parametrize("factor", [1e-300, 1e-8, 1e8, 1e290])
    def test_scale_and_offset_leave_d_prime_alone(self, factor: float) -> None:
        problem = make("random", 1, 4, 4, 2)
        standard, _ = problem.standardised()
        scaled, _ = Problem(problem.px, problem.py, problem.ps_given_x, factor * problem.d).standardised()
        np.testing.assert_allclose(scaled.d, standard.d, atol=1e-13)


def test_unequal_masses_as_the_refusal_says():
    """Three units onto two: one is left over, at the price of the column that is added."""
    px, py, price = np.array([1.0, 1.0, 1.0]), np.array([2.0, 0.0, 0.0]), 0.5
    with pytest.raises(InputError, match=r"py one more letter, of mass 1, and d a column .* divide both by 3\."):
        Problem(px, py, [[1]] * 3, np.zeros((3, 3)))
    d = np.column_stack([np.zeros((3, 3)), np.full(3, price)])
    found = solve(Problem(px / 3, np.append(py, 1.0) / 3, [[1]] * 3, d))
    assert 3 * found.distortion == pytest.approx(price)
