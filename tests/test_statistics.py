"""Bounds from samples hold as often as they say, and their constants are those that were derived."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

import drcopt
from drcopt import statistics
from drcopt.statistics import below
from drcopt.statistics.ball import _shift

PXS = np.array([[0.32, 0.08], [0.1, 0.2], [0.06, 0.24]])
D = np.array([[0.0, 1.0, 0.6], [0.7, 0.0, 0.2], [0.1, 0.8, 0.0]])
MANY = [pytest.param(40, id="some"), pytest.param(1000, id="many", marks=pytest.mark.slow)]


def drawn(rng: np.random.Generator, N: int, law: np.ndarray = PXS) -> np.ndarray:
    return rng.multinomial(N, law.ravel()).reshape(law.shape)


def random_law(rng: np.random.Generator, n: int = 3, k: int = 2) -> np.ndarray:
    return rng.dirichlet(np.full(n * k, 0.7)).reshape(n, k)


def h(p: float) -> float:
    return float(drcopt.information.binary_entropy(p))


def of_channel(K: np.ndarray, pxs: np.ndarray) -> tuple[float, float, float]:
    """E d, I, H(S|Y) of a channel, in nats."""
    P = pxs.sum(axis=1)[:, None] * K
    return (
        float((P * D[:, : K.shape[1]]).sum()),
        drcopt.information.mutual_information(P),
        drcopt.information.conditional_entropy(pxs.T @ K),
    )


class TestMeans:
    def test_constants(self) -> None:
        hoeffding = statistics.upper_mean([0.0, 2.0], 0, 2, counts=[30, 70], method="hoeffding", confidence=0.9)
        assert hoeffding.value == pytest.approx(1.4 + 2 * math.sqrt(math.log(10) / 200))
        bernstein = statistics.upper_mean([0.0, 2.0], 0, 2, counts=[30, 70], method="bernstein", confidence=0.9)
        V, L = 0.84 * 100 / 99, math.log(20)
        assert bernstein.value == pytest.approx(
            min(2.0, 1.4 + math.sqrt(2 * V * L / 100) + 2 * (2 * L / math.sqrt(9900) + L / 300))
        )
        assert bernstein.value <= 1.4 + math.sqrt(2 * V * L / 100) + 2 * 7 * L / (3 * 99)

    def test_counts_are_draws(self) -> None:
        one = statistics.upper_mean([0.1, 0.4], 0, 1, counts=[3, 5])
        other = statistics.upper_mean([0.1] * 3 + [0.4] * 5, 0, 1)
        assert one.value == pytest.approx(other.value, rel=1e-14) and one.samples == other.samples == 8

    def test_a_small_variance_pays(self) -> None:
        calm = np.full(1000, 0.5)
        bernstein, hoeffding = (statistics.upper_mean(calm, 0, 1, method=m).value for m in ("bernstein", "hoeffding"))
        assert bernstein < hoeffding and statistics.upper_mean(calm, 0, 1).value < hoeffding

    def test_one_draw_and_a_constant(self) -> None:
        assert statistics.upper_mean([0.2], 0, 1, method="bernstein").value == 1.0
        assert statistics.upper_mean([0.2], 0.2, 0.2).value == pytest.approx(0.2)

    @pytest.mark.parametrize("draws", MANY)
    @pytest.mark.parametrize("N", [5, 50, 500])
    @pytest.mark.parametrize("method", ["best", "bernstein", "hoeffding"])
    def test_coverage(self, method: str, N: int, draws: int) -> None:
        rng = np.random.default_rng(N)
        for p in (0.01, 0.5, 0.97):
            values = (rng.random((draws, N)) < p).astype(float)
            held = [statistics.upper_mean(v, 0, 1, method=method, confidence=0.8).value >= p for v in values]
            assert np.mean(held) >= 0.8


class TestHoldout:
    @pytest.mark.parametrize("draws", MANY)
    @pytest.mark.parametrize("N", [20, 300, 5000])
    def test_coverage(self, N: int, draws: int) -> None:
        rng = np.random.default_rng(N)
        W = PXS / PXS.sum(axis=1, keepdims=True)
        held = 0
        for _ in range(draws):
            train = drawn(rng, 60) + 0.5
            problem = drcopt.Problem.from_joint(train, None, D)
            K = rng.dirichlet(np.ones(3), size=3)
            found = statistics.holdout(problem, K, drawn(rng, N), confidence=0.8, units="nats")
            true = of_channel(K, PXS)
            error = 1 - (PXS.T @ K).max(axis=0).sum()
            bounds = (found.distortion, found.rate, found.classification_loss)
            assert found.error.confidence == pytest.approx(0.95)  # four that hold together
            held += all(b.value >= t for b, t in zip(bounds, true, strict=True)) and found.error.value >= error
        assert W.shape == (3, 2) and held >= 0.8 * draws

    def test_many_draws_find_the_truth(self) -> None:
        problem = drcopt.Problem.from_joint(PXS, None, D)
        solution = drcopt.solve(problem, R=0.4, C=0.93)
        found = statistics.holdout(problem, solution, np.round(PXS * 1e8), confidence=0.99)
        for name in ("distortion", "rate", "classification_loss"):
            bound = getattr(found, name)
            assert bound.estimate == pytest.approx(getattr(solution, name), abs=1e-6)
            assert bound.estimate <= bound.value <= bound.estimate + 1e-3
        assert found.error.estimate == pytest.approx(solution.bayes_error, abs=1e-6)

    def test_the_message(self) -> None:
        problem = drcopt.Problem.from_joint(PXS, None, D)
        solution = drcopt.solve(problem, R=0.4, C=0.92, classifier_sees="message")
        found = statistics.holdout(problem, solution, np.round(PXS * 1e8))
        assert found.classification_loss.estimate == pytest.approx(solution.classification_loss, abs=1e-6)
        assert found.distortion.estimate == pytest.approx(solution.distortion, abs=1e-6)

    def test_names_of_letters(self) -> None:
        names = {"x": ["a", "b", "c"], "s": [0, 1]}
        problem = drcopt.Problem.from_joint(PXS, None, D, labels=names)
        table = pd.DataFrame(np.round(PXS * 100).astype(int), index=["a", "b", "c"], columns=[0, 1])
        K = np.eye(3)
        turned = table.loc[["c", "a", "b"], [1, 0]]
        assert statistics.holdout(problem, K, turned) == statistics.holdout(problem, K, table)

    def test_a_letter_never_seen_costs_what_the_floor_says(self) -> None:
        problem = drcopt.Problem.from_joint([[5, 0], [0, 5], [0, 0]], None, D)
        found = statistics.holdout(problem, np.eye(3), [[10, 0], [0, 10], [0, 1]], floor=0.01, units="nats")
        assert math.isfinite(found.rate.value) and found.classification_loss.value <= math.log(1.01 / 0.01)


class TestFromBelow:
    def test_the_lagrangian(self) -> None:
        # Shannon's D(R) of a fair bit: D + αR at the slope α = −D'(R) = D log(1/D − 1)… in nats: α = 1/log((1−D)/D).
        problem = drcopt.Problem.from_joint([[0.4, 0.1], [0.1, 0.4]], None, "hamming")
        distortion = 0.11
        alpha = 1 / math.log((1 - distortion) / distortion)
        value = distortion + alpha * (math.log(2) - h(distortion))
        assert below.plug_in(problem, alpha, 0.0) == pytest.approx(value, abs=2e-6)

    def test_it_is_the_message_problem(self) -> None:
        problem = drcopt.Problem.from_joint(PXS, None, D)
        solution = drcopt.solve(problem, R=0.3, C=0.64, classifier_sees="message", units="nats", tol=1e-7)
        alpha, beta = solution.multipliers.rate, solution.multipliers.classification
        value = below.plug_in(problem, alpha, beta) - alpha * solution.rate_budget - beta * 0.64
        assert min(alpha, beta) > 0.01 and solution.distortion - 2e-5 <= value <= solution.distortion + 1e-9

    def test_concave(self) -> None:
        rng = np.random.default_rng(1)
        for _ in range(4):
            a, b, t = random_law(rng), random_law(rng), rng.random()
            alpha, beta = rng.exponential(0.3, 2)
            L = [below.plug_in(drcopt.Problem.from_joint(p, None, D), alpha, beta) for p in (a, b, t * a + (1 - t) * b)]
            assert L[2] >= t * L[0] + (1 - t) * L[1] - 1e-6

    def test_one_draw_moves_it_by_no_more(self) -> None:
        rng = np.random.default_rng(2)
        for N in (2, 5, 20):
            for _ in range(2):
                table, alpha, beta = drawn(rng, N, random_law(rng)), *rng.exponential(0.3, 2)
                other = table.copy()
                other[tuple(rng.choice(np.argwhere(table > 0)))] -= 1
                other[rng.integers(3), rng.integers(2)] += 1
                L = [below.plug_in(drcopt.Problem.from_joint(t, None, D), alpha, beta) for t in (table, other)]
                assert abs(L[0] - L[1]) <= 1.0 / N + (alpha + beta) * h(1 / N) + 1e-6

    @pytest.mark.parametrize("N", [50, 400])
    @pytest.mark.parametrize(
        "draws", [pytest.param(5, id="some"), pytest.param(300, id="many", marks=pytest.mark.slow)]
    )
    def test_coverage_and_optimism(self, N: int, draws: int) -> None:
        rng = np.random.default_rng(N)
        R, C, alpha, beta = 0.25, 0.6, 0.5, 0.4
        truth = below.plug_in(drcopt.Problem.from_joint(PXS, None, D), alpha, beta) - alpha * R - beta * C
        found = [
            statistics.lower_bound(drawn(rng, N), D, (alpha, beta), R=R, C=C, confidence=0.8, units="nats")
            for _ in range(draws)
        ]
        assert np.mean([bound.value <= truth for bound in found]) >= 0.8
        assert np.mean([bound.estimate for bound in found]) <= truth + 3 * 0.3 / math.sqrt(N * draws)

    def test_what_chance_takes(self) -> None:
        bound = statistics.lower_bound(np.full((3, 2), 500), D, (0.3, 0.1), R=0.1, C=0.1, units="nats", confidence=0.9)
        change = 1.0 / 3000 + 0.4 * h(1 / 3000)
        assert bound.estimate - 0.1 > change  # so that no other floor is met
        assert bound.estimate - bound.value == pytest.approx(change * math.sqrt(3000 * math.log(10) / 2))

    def test_what_was_not_drawn_counts(self) -> None:
        # Three draws, all of one letter: the other letter's d is what a draw may change.
        bound = statistics.lower_bound([[3], [0]], [[0.0], [1000.0]], (0.0, 0.0), confidence=0.9)
        assert bound.estimate == pytest.approx(0.0) and bound.value == 0.0


class TestBall:
    def test_changes_of_a_fixed_channel(self) -> None:
        rng = np.random.default_rng(3)
        for _ in range(300):
            p, K, t = random_law(rng), rng.dirichlet(np.full(3, 0.4), size=3), rng.random() ** 3
            q = (1 - t) * p + t * random_law(rng)
            tv = 0.5 * np.abs(p - q).sum()
            one, other = of_channel(K, p), of_channel(K, q)
            for a, b, room in zip(one, other, (tv, _shift(tv, 3), _shift(tv, 2)), strict=True):
                assert abs(a - b) <= room + 1e-12

    def test_shift(self) -> None:
        assert _shift(0.1, 3) == pytest.approx(h(0.1) + 0.1 * math.log(3))
        assert _shift(0.9, 3) == pytest.approx(h(0.5) + 0.9 * math.log(3))

    def test_radius(self) -> None:
        assert statistics.tv_radius(5000, 6) == pytest.approx(math.sqrt((math.log(62) + math.log(20)) / 10000))
        assert statistics.tv_radius(10, 1) == 0.0 and statistics.tv_radius(1, 10**6) == 1.0

    @pytest.mark.parametrize("draws", MANY)
    @pytest.mark.parametrize("N", [10, 200])
    def test_coverage_of_the_radius(self, N: int, draws: int) -> None:
        rng = np.random.default_rng(N)
        radius = statistics.tv_radius(N, 6, confidence=0.8)
        held = [0.5 * np.abs(drawn(rng, N) / N - PXS).sum() <= radius for _ in range(draws)]
        assert np.mean(held) >= 0.8

    @pytest.mark.parametrize("py", [None, [0.5, 0.3, 0.2]])
    def test_the_truth_lies_inside(self, py: Any) -> None:
        true = drcopt.solve(drcopt.Problem.from_joint(PXS, py, D), R=0.5)
        found = statistics.tv_interval(drawn(np.random.default_rng(4), 20000), D, R=0.5, py=py)
        assert found.lower <= true.lower_bound and true.distortion <= found.upper and found.proved
        assert found.width < 0.5

    def test_no_room(self) -> None:
        found = statistics.tv_interval([[3, 1], [1, 3]], "hamming", R=0.1)
        assert found.upper == math.inf and found.lower == 0.0


class TestDelta:
    def test_about_right_for_many_draws(self) -> None:
        rng = np.random.default_rng(5)
        truth = drcopt.solve(drcopt.Problem.from_joint(PXS, None, D), R=0.4).distortion
        held = []
        for _ in range(40):
            table = drawn(rng, 1000)
            plug_in = drcopt.solve(drcopt.Problem.from_joint(table, None, D), R=0.4, tol=1e-4)
            found = statistics.delta_interval(plug_in, table)
            held.append(found.lower <= truth <= found.upper)
        assert not found.proved and 0.85 <= np.mean(held) <= 1.0

    def test_the_mean_of_the_influence_is_the_value(self) -> None:
        table = np.round(PXS * 1000)
        plug_in = drcopt.solve(drcopt.Problem.from_joint(table, None, D), R=0.4)
        assert statistics.delta_interval(plug_in, table).estimate == plug_in.distortion


class TestNeeded:
    @pytest.mark.parametrize("width", [0.3, 0.03])
    def test_the_least(self, width: float) -> None:
        N = statistics.samples_needed(width)
        half = [statistics.upper_mean([0], 0, 1, counts=[n], method="hoeffding").value for n in (N, N - 1)]
        assert half[0] <= width < half[1]
        N = statistics.samples_needed(width, method="tv", letters=6)
        assert statistics.tv_radius(N, 6) <= width < statistics.tv_radius(N - 1, 6)
        N = statistics.samples_needed(width, method="bernstein", sd=0.0)
        assert statistics.upper_mean([0], 0, 1, counts=[N], method="bernstein").value <= width

    def test_concavity(self) -> None:
        N = statistics.samples_needed(0.2, method="concavity", multipliers=(0.3, 0.1), units="nats")
        table = np.full((2, 2), N // 4 + 1)
        bound = statistics.lower_bound(table, [[0, 1], [1, 0]], (0.3, 0.1), R=0, C=0, units="nats")
        assert bound.estimate - bound.value <= 0.2


WRONG: dict[str, tuple[Any, str]] = {
    "frequencies": (lambda: statistics.lower_bound(PXS, D, (0, 0)), "counts must be whole numbers"),
    "nothing": (lambda: statistics.lower_bound([[0, 0]], "hamming", (0, 0)), "counts must hold at least one draw"),
    "confidence": (lambda: statistics.upper_mean([0], 0, 1, confidence=95), "confidence must lie strictly between"),
    "range": (lambda: statistics.upper_mean([2], 0, 1), "values must lie in"),
    "method": (lambda: statistics.upper_mean([0], 0, 1, method="normal"), "method must be one of"),
    "multiplier without budget": (
        lambda: statistics.lower_bound([[1], [1]], "hamming", (0.3, 0.0)),
        "0 where there is no budget; that of R is 0.3",
    ),
    "one multiplier": (lambda: statistics.lower_bound([[1], [1]], "hamming", (0.3,)), "must be a pair"),
    "radius": (lambda: statistics.tv_radius(0, 3), "samples must be a positive whole number"),
    "formulation": (
        lambda: statistics.tv_interval([[1], [1]], "hamming", formulation="one-shot"),
        "formulation must be 'single-letter'",
    ),
    "width": (lambda: statistics.samples_needed(0), "width must be positive"),
    "letters": (lambda: statistics.samples_needed(0.1, method="tv"), "letters must be given"),
    "sd": (lambda: statistics.samples_needed(0.1, method="bernstein"), "sd must be between"),
    "too many": (lambda: statistics.samples_needed(1e-30, method="tv", letters=3), "width must be within reach"),
    "a mixture": (
        lambda: statistics.holdout(
            problem := drcopt.sources.bernoulli(),
            drcopt.solve(problem, R=0.5, formulation="one-shot"),
            [[1, 1], [1, 1]],
        ),
        "channel must be a single-letter solution",
    ),
    "channel": (
        lambda: statistics.holdout(drcopt.sources.bernoulli(), np.eye(3)[:2], [[1, 1], [1, 1]]),
        "channel must be p(y|x), shape (2, 2)",
    ),
    "counts": (
        lambda: statistics.holdout(drcopt.sources.bernoulli(), np.eye(2), [[1], [1]]),
        "counts must have shape (2, 2)",
    ),
    "floor": (
        lambda: statistics.holdout(drcopt.sources.bernoulli(), np.eye(2), [[1, 1], [1, 1]], floor=0.7),
        "floor must lie between",
    ),
    "given law": (
        lambda: statistics.delta_interval(drcopt.solve(drcopt.sources.bernoulli(), R=0.5), [[1, 1], [1, 1]]),
        "solution must have a free law of Y",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong(name: str) -> None:
    ask, message = WRONG[name]
    with pytest.raises(drcopt.InputError) as caught:
        ask()
    assert message in str(caught.value)
