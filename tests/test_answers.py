"""What an answer offers beside its numbers: the channel, its law, samples, accuracy, frames; all read-only."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pandas as pd
import pytest

import drcopt
from drcopt.errors import InputError
from drcopt.solution import Solution

BERNOULLI = drcopt.sources.bernoulli()
NAMED = drcopt.Problem.from_joint([[3, 1], [1, 3], [0, 0]], "px", labels={"x": ["a", "b", "c"], "s": ["u", "v"]})
KINDS = {
    "single-letter": {},
    "time-sharing": {"formulation": "time-sharing"},
    "one-shot": {"formulation": "one-shot"},
    "one-shot, YU": {"formulation": "one-shot", "classifier_sees": "YU"},
}


@pytest.fixture(scope="module", params=KINDS)
def answer(request: pytest.FixtureRequest) -> Solution:
    return drcopt.solve(BERNOULLI, R=0.7, C=0.82, **KINDS[request.param])


class TestEachFormulation:
    def test_the_channel_makes_the_coupling(self, answer: Solution) -> None:
        np.testing.assert_allclose(answer.channel.sum(axis=1), 1)
        np.testing.assert_allclose(BERNOULLI.px[:, None] * answer.channel, answer.coupling, atol=1e-12)
        np.testing.assert_allclose(answer.output_law, BERNOULLI.py, atol=1e-12)

    def test_samples_follow_it(self, answer: Solution) -> None:
        x = np.random.default_rng(0).choice(2, size=40_000, p=BERNOULLI.px)
        y = answer.sample(x, rng=1)
        assert y.shape == x.shape
        np.testing.assert_array_equal(y, answer.sample(x, rng=np.random.default_rng(1)))
        counts = np.array([[((x == a) & (y == b)).mean() for b in (0, 1)] for a in (0, 1)])
        np.testing.assert_allclose(counts, answer.coupling, atol=0.01)

    def test_accuracy_is_that_of_the_best_classifier(self, answer: Solution) -> None:
        W = BERNOULLI.ps_given_x
        rules = [[a, b] for a in (0, 1) for b in (0, 1)]  # every classifier of Y

        def best(P: np.ndarray) -> float:
            return max(sum(P[x, y] * W[x, rule[y]] for x in (0, 1) for y in (0, 1)) for rule in rules)

        shared = answer.formulation == "time-sharing" or answer.classifier_sees == "YU"
        parts = [(c.weight, c.coupling) for c in answer.mixture] if shared else [(1.0, answer.coupling)]
        assert answer.accuracy == pytest.approx(sum(w * best(P) for w, P in parts), abs=1e-12)
        assert answer.accuracy + answer.bayes_error == 1
        loss = answer.classification_loss * math.log(2)  # Fano for two classes, and its counterpart
        assert -np.log(1 - answer.bayes_error) <= loss + 1e-9
        assert answer.bayes_error <= answer.classification_loss / 2 + 1e-9

    def test_nothing_can_be_written(self, answer: Solution) -> None:
        for twin in (answer, pickle.loads(pickle.dumps(answer)), copy.deepcopy(answer)):
            arrays = [twin.coupling, twin.channel, twin.output_law, *(c.coupling for c in twin.mixture or ())]
            for array in arrays:
                with pytest.raises(ValueError, match="read-only"):
                    array[0] = 0

    @pytest.mark.parametrize(
        ("x", "rng", "match"),
        [
            ([-1, 0], 0, r"x\[0\] is -1"),
            ([0, 3], 0, r"whole numbers from 0 to 1; x\[1\] is 3"),
            ([2.7], 0, "holds float64, 2.7 first"),
            ([True], 0, "holds bool"),
            ([0], 2.5, "a numpy.random.Generator or a seed; it is 2.5"),
            ([0], -1, "or a seed; it is -1"),
        ],
    )
    def test_bad_letters_and_seeds(self, answer: Solution, x: object, rng: object, match: str) -> None:
        with pytest.raises(InputError, match=match):
            answer.sample(x, rng)  # type: ignore[arg-type]
        if answer.mixture is not None:
            with pytest.raises(InputError, match=match):
                answer.mixture.sample(x, rng)  # type: ignore[arg-type]


def test_letters_without_mass_are_never_drawn() -> None:
    problem = drcopt.Problem([0.5, 0.5, 0], [0.5, 0, 0.5, 0], np.eye(3), np.ones((3, 4)))
    y = drcopt.solve(problem).sample(np.tile([0, 1, 2], 500), rng=0)
    assert set(y) == {0, 2}


def test_names_go_in_and_come_out() -> None:
    solution = drcopt.solve(NAMED, R=0.3)
    frame = solution.frame()
    assert list(frame.index) == list(frame.columns) == ["a", "b", "c"]
    np.testing.assert_array_equal(frame, solution.coupling)
    assert solution.frame("channel").loc["a"].sum() == pytest.approx(1)
    x = np.array([["a", "b"], ["b", "a"]])
    y = solution.sample(x, rng=2)
    assert y.shape == (2, 2) and set(y.flat) <= {"a", "b"}
    assert solution.sample("a", rng=2) in ("a", "b")
    assert solution.sample(pd.Series(["a", "b"]), rng=2).shape == (2,)
    for wrong in (["z"], [0], [["a"], [1]]):
        with pytest.raises(InputError, match="letters by name"):
            solution.sample(wrong, rng=0)


def test_frames_of_letters_without_names() -> None:
    frame = drcopt.solve(BERNOULLI, R=0.3).frame()
    assert (frame.index.name, frame.columns.name) == ("x", "y") and list(frame.index) == [0, 1]
    with pytest.raises(InputError, match="what must be one of"):
        drcopt.solve(BERNOULLI, R=0.3).frame("law")  # type: ignore[arg-type]


def test_without_a_point_there_is_nothing_to_sample() -> None:
    solution = drcopt.solve(BERNOULLI, R=0.1, C=0.75, on_failure="return")
    assert solution.status == "infeasible" and math.isnan(solution.accuracy) and np.isnan(solution.channel).all()
    with pytest.raises(InputError, match="this solution is infeasible"):
        solution.sample([0], rng=0)


def test_quantities_of_a_coupling_in_bits() -> None:
    P = drcopt.solve(BERNOULLI, R=0.4).coupling
    assert BERNOULLI.rate(P, "bits") == pytest.approx(0.4, abs=1e-9)
    assert BERNOULLI.classification_loss(P, "bits") * math.log(2) == pytest.approx(BERNOULLI.classification_loss(P))
