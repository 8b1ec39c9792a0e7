"""The least of φ(p) = ⟨c, p⟩ + α D(p‖px) + β H(Wᵀp) over posteriors p in a box: the number every bound rests on.

Whatever p is tried, φ(p) must not be below the proved ``lower``. The rivals tried here are random posteriors,
Gibbs posteriors at random slopes, all polished by convex-concave steps inside the box, and for two classes the
cheapest posterior at each of many τ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import rel_entr, xlogy
from strategies import law

from drcopt import Problem
from drcopt.bounds.posterior import whole_box
from drcopt.bounds.pricing import Priced, dispatch, price, spatial
from drcopt.bounds.pricing.gibbs import gibbs
from drcopt.bounds.pricing.line import Line, _Search
from drcopt.questions import lowered

ALPHAS = (0.0, 1e-9, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0, 10.0, 1e3)
BETAS = (0.0, 1e-9, 1e-3, 0.1, 0.3, 1.0, 3.0, 10.0)
WIDTHS = (np.inf, np.inf, 0.5, 0.2, 0.05, 0.01, 1e-3, 1e-6, 1e-9, 0.0)
CHANNELS = ("random", "deterministic", "equal rows", "near rows", "useless", "sparse", "mixed")


@dataclass
class Case:
    problem: Problem
    cost: np.ndarray
    alpha: float
    beta: float
    box: np.ndarray
    inner: np.ndarray  # a posterior in the box for every letter, (m, n)

    @property
    def scale(self) -> float:
        """The largest number that φ is made of."""
        return max(float(np.abs(self.cost).max()) + self.alpha + self.beta, 1e-300)

    def price(self, tol: float = 0.0) -> Priced:
        return price(self.problem, self.cost, self.alpha, self.beta, self.box, tol=tol)

    def phi(self, y: int, p: np.ndarray) -> np.ndarray:
        tau = p @ self.problem.ps_given_x
        divergence = rel_entr(p, self.problem.px).sum(axis=-1)
        return p @ self.cost[:, y] + self.alpha * divergence - self.beta * xlogy(tau, tau).sum(axis=-1)


def channel(rng: np.random.Generator, kind: str, n: int, k: int) -> np.ndarray:
    W = rng.dirichlet(np.full(k, 0.6), size=n)
    if kind == "deterministic":
        return np.eye(k)[rng.integers(k, size=n)]
    if kind in ("equal rows", "near rows"):
        W = W[rng.integers(max(1, n // 2), size=n)]
        if kind == "near rows":
            W = W + rng.choice([1e-3, 1e-7, 1e-10, 1e-13, 1e-15]) * rng.random((n, k))
    elif kind == "useless":
        W = np.repeat(W[:1], n, axis=0)
    elif kind == "sparse":
        W = rng.random((n, k)) ** 40 + np.eye(k)[rng.integers(k, size=n)]
    elif kind == "line":
        share = np.append([0.0, 1.0], rng.random(n)).round(2)[:n, None]  # two letters, or more whose rows are collinear
        return (1.0 - share) * W[0] + share * W[-1]
    elif kind == "mixed":
        W[rng.random(n) < 0.5] = np.eye(k)[rng.integers(k)]
    return W / W.sum(axis=1, keepdims=True)


def case(
    seed: int,
    k: int,
    channels: tuple[str, ...] = CHANNELS,
    alphas: tuple[float, ...] = ALPHAS,
    widths: tuple[float, ...] = WIDTHS,
    atoms: bool = True,
) -> Case:
    rng = np.random.default_rng([seed, k])
    n, m = int(rng.integers(2, 7)), int(rng.integers(1, 4))
    px = rng.dirichlet(np.full(n, rng.choice([0.3, 1.0, 5.0]) if atoms else 5.0)).clip(1e-9)
    if atoms and rng.random() < 0.25:
        px[rng.integers(n)] = rng.choice([1e-12, 1e-17, 1e-60, 1e-300])
    W = channel(rng, str(rng.choice(channels)), n, k)
    problem = Problem(px / px.sum(), np.full(m, 1.0 / m), W, np.zeros((n, m)))
    cost = rng.normal(size=(n, m)) * rng.choice([1e-3, 1.0, 1.0, 10.0]) + rng.choice([0.0, 0.0, 5.0])
    if rng.random() < 0.15:
        cost = np.round(cost)  # ties
    box = whole_box(problem)
    inner = rng.dirichlet(np.ones(n), size=m)
    width = float(rng.choice(widths))
    if np.isfinite(width):
        tau = inner @ problem.ps_given_x
        # Some faces move in, as branching leaves them; the others stay.
        here = rng.random((2, *tau.shape)) < 0.7
        box[..., 0] = np.where(here[0], np.maximum(box[..., 0], tau - width * rng.random(tau.shape)), box[..., 0])
        box[..., 1] = np.where(here[1], np.minimum(box[..., 1], tau + width * rng.random(tau.shape)), box[..., 1])
    return Case(problem, cost, float(rng.choice(alphas)), float(rng.choice(BETAS)), box, inner)


def reach(case: Case, y: int, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The farthest posteriors on the way from ``start`` (in the box of y) to ``end`` that are in it."""
    W, box = case.problem.ps_given_x, case.box[y]
    now = start @ W
    step = end @ W - now
    with np.errstate(all="ignore"):
        high = np.where(step > 0, (box[:, 1] - now) / step, np.inf)
        low = np.where(step < 0, (box[:, 0] - now) / step, np.inf)
    share = np.clip(np.nan_to_num(np.minimum(high, low).min(axis=-1), nan=0.0), 0.0, 1.0)[:, None]
    return (1.0 - share) * start + share * end


def rivals(case: Case, y: int, rng: np.random.Generator, count: int = 90, rounds: int = 12) -> np.ndarray:
    """Posteriors in the box of y with low φ."""
    problem, c = case.problem, case.cost[:, y]
    n, W, log_px = problem.n, problem.ps_given_x, np.log(problem.px)
    temperature = max(case.alpha, 1e-9)  # any posterior is a fair rival

    def cheapest(scores: np.ndarray) -> np.ndarray:
        return gibbs(scores - c, log_px, temperature)[0]

    size = max(case.alpha, case.beta, float(np.ptp(c)))
    slopes = rng.normal(size=(count, problem.k)) * size * 10.0 ** rng.uniform(-2, 1.5, size=(count, 1))
    blind = [rng.dirichlet(np.full(n, a), size=count // 3) for a in (0.2, 1.0)]
    P = np.concatenate([*blind, np.eye(n), problem.px[None], cheapest(slopes @ W.T)])
    P = reach(case, y, np.broadcast_to(case.inner[y], P.shape), P / P.sum(axis=1, keepdims=True))
    shares = np.array([0.0, 1e-3, 0.01, 0.1, 0.3, 0.6, 1.0])[:, None, None]
    for _ in range(rounds):
        Q = reach(case, y, P, cheapest(case.beta * np.log(np.maximum(P @ W, 1e-300)) @ W.T))
        line = (1.0 - shares) * P + shares * Q
        P = line[case.phi(y, line).argmin(axis=0), np.arange(len(P))]
    if problem.k == 2:
        P = np.concatenate([P, cheapest_at(case, y)])
    P = np.concatenate([P, case.inner[y : y + 1]])
    tau = P @ W
    # τ is known to its last digits only: on a face inside the range of W, a rival must be in by more than those.
    low = np.where(case.box[y, :, 0] > W.min(axis=0), case.box[y, :, 0] + 4e-16, -1.0)
    high = np.where(case.box[y, :, 1] < W.max(axis=0), case.box[y, :, 1] - 4e-16, 2.0)
    return P[((tau >= low) & (tau <= high)).all(axis=1)]


def cheapest_at(case: Case, y: int) -> np.ndarray:
    """For two classes: the posterior of least cost at each of many τ of the interval, its ends included."""
    w, box, c = case.problem.ps_given_x[:, 0], case.box[y], case.cost[:, y]
    low, high = max(box[0, 0], 1.0 - box[1, 1]), min(box[0, 1], 1.0 - box[1, 0])
    if not high > low or np.ptp(w) < 1e-9:
        return np.zeros((0, len(w)))
    near = np.geomspace(1e-12, 0.5, 20)
    target = low + (high - low) * np.concatenate([np.linspace(0.0, 1.0, 60), near, 1.0 - near])
    temperature = max(case.alpha, 1e-9)
    far = 50.0 * (np.ptp(c) + 700.0 * temperature) / np.ptp(w)
    below, above = np.full(len(target), -far), np.full(len(target), far)

    def posterior(slope: np.ndarray) -> np.ndarray:
        return gibbs(slope[:, None] * w - c, np.log(case.problem.px), temperature)[0]

    for _ in range(110):
        middle = 0.5 * (below + above)
        short = posterior(middle) @ w < target
        below, above = np.where(short, middle, below), np.where(short, above, middle)
    # Where the slope's last digit moves τ, the target lies between two posteriors.
    P, Q = posterior(below), posterior(above)
    gap = (Q - P) @ w
    share = np.clip(np.where(gap > 0, (target - P @ w) / np.where(gap > 0, gap, 1.0), 0.0), 0.0, 1.0)[:, None]
    return (1.0 - share) * P + share * Q


def check_bound(seed: int, k: int, channels: tuple[str, ...] = CHANNELS) -> None:
    question = case(seed, k, channels)
    priced = question.price(0.0 if k == 2 else 1e-6 * question.scale)
    rng = np.random.default_rng(seed)
    for y in range(question.problem.m):
        P = rivals(question, y, rng)
        if len(P):
            best = float(question.phi(y, P).min())
            assert priced.lower[y] <= best + 1e-12 * question.scale, (
                f"seed {seed}, k = {k}, letter {y}: lower {priced.lower[y]!r} is above φ(p) = {best!r}"
            )


class TestLowerHolds:
    @law(60)
    @given(st.integers(0, 2**31))
    def test_two_classes(self, seed: int) -> None:
        """min over the box ≥ lower."""
        check_bound(seed, 2)

    @law(20)
    @given(st.integers(0, 2**31))
    def test_three_classes(self, seed: int) -> None:
        """min over the box ≥ lower."""
        check_bound(seed, 3)

    @law(15)
    @given(st.integers(0, 2**31))
    def test_four_classes(self, seed: int) -> None:
        """min over the box ≥ lower."""
        check_bound(seed, 4)

    @pytest.mark.parametrize("k", [3, 4])
    def test_classes_on_a_line(self, k: int) -> None:
        for seed in range(60):
            check_bound(seed, k, ("line",))

    @pytest.mark.parametrize("seed", [799, 2789])
    def test_a_minimum_between_cells_that_look_convex(self, seed: int) -> None:
        check_bound(seed, 2)

    @law(40)
    @given(st.integers(0, 2**31))
    def test_chords(self, seed: int) -> None:
        """a + b t ≤ −t log t for l ≤ t ≤ u, with equality at both ends."""
        rng = np.random.default_rng(seed)
        low = rng.random((20, 3)) ** rng.choice([1, 8, 40], size=(20, 1))
        high = np.minimum(low + rng.choice([1e-14, 1e-9, 1e-3, 1.0], size=(20, 1)) * rng.random((20, 3)), 1.0)
        a, b = spatial._chords(low, high)
        for share in np.linspace(0.0, 1.0, 21):
            t = np.clip(low + share * (high - low), low, high)
            above = -xlogy(t, t) - (a + b * t)
            assert above.min() >= -1e-14
            if share in (0.0, 1.0):
                assert above.max() <= 1e-9

    @pytest.mark.parametrize("seed", range(12))
    @pytest.mark.parametrize("k", [2, 3])
    def test_too_many_vertices(self, seed: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """α = 0 by way of a little α, which D(p‖px) ≤ log 1/min px pays for."""
        monkeypatch.setattr(dispatch, "MOST_VERTICES", 0)
        question = case(seed, k, alphas=(0.0,))
        lower = question.price(1e-9 * question.scale).lower
        for y in range(question.problem.m):
            P = rivals(question, y, np.random.default_rng(seed))
            assert not len(P) or lower[y] <= float(question.phi(y, P).min()) + 1e-12 * question.scale

    @pytest.mark.slow
    @pytest.mark.parametrize(("k", "count"), [(2, 600), (3, 150), (4, 120)])
    def test_many(self, k: int, count: int) -> None:
        for seed in range(10**6, 10**6 + count):
            check_bound(seed, k)

    @pytest.mark.parametrize("alpha", [1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3])
    @pytest.mark.parametrize(("low", "high"), [(0.3, 0.85), (0.2, 0.6), (0.45, 0.55)])
    def test_a_small_alpha_in_a_box(self, alpha: float, low: float, high: float) -> None:
        # Far from its price τ has a variance that underflows, which must not pass for a proof of convexity.
        problem = Problem([0.1, 0.8, 0.1], [1.0], [[1, 0], [1, 0], [0, 1]], np.zeros((3, 1)))
        cost = np.array([[7.0], [6.5], [6.0]])
        question = Case(problem, cost, alpha, 3.0, np.array([[[low, high], [1 - high, 1 - low]]]), np.zeros((1, 3)))
        best = min(question.phi(0, np.array([0.0, t, 1.0 - t])) for t in (low, high))
        lower = question.price().lower[0]
        assert lower <= best + 1e-12 * question.scale
        assert lower >= best - 100 * alpha - 1e-9, "loose"

    @pytest.mark.parametrize("apart", [1e-3, 1e-6, 1e-8, 1e-10, 1e-12])
    @pytest.mark.parametrize("alpha", [0.0, 1e-9, 1e-3, 0.1])
    def test_rows_that_almost_agree(self, apart: float, alpha: float) -> None:
        # 1 − W(x, 1) is not W(x, 0) to the last digit; what that moves τ by, cost/apart magnifies.
        rng = np.random.default_rng(0)
        for _ in range(10):
            t = rng.uniform(0.01, 0.98)
            W = np.array([[t, 1.0 - t], [t + apart, 1.0 - (t + apart)]])
            cost = 10.0 * rng.normal(size=(2, 1))
            problem = Problem([0.5, 0.5], [1.0], W, np.zeros((2, 1)))
            question = Case(problem, cost, alpha, 0.3, whole_box(problem), np.array([[0.5, 0.5]]))
            best = float(question.phi(0, np.concatenate([np.eye(2), rng.dirichlet([1, 1], size=50)])).min())
            assert question.price().lower[0] <= best + 1e-12 * question.scale


class TestStart:
    """What an earlier answer leaves behind may make the next one faster, and nothing else."""

    @pytest.mark.parametrize("k", [3, 4])
    def test_cells_of_a_smaller_box_do_not_cover(self, k: int) -> None:
        """min over the whole box ≥ lower, begun with a partition of a part of it."""
        held = 0
        for seed in range(25):
            question = case(seed, k, ("random", "sparse"), (1e-3, 0.01, 0.1), (np.inf,), atoms=False)
            problem, tol = question.problem, 1e-6 * question.scale
            first = question.price(tol)
            if first.partition is None:
                continue
            # A part that leaves out the best posterior.
            part = question.box.copy()
            for y in range(problem.m):
                mine = np.flatnonzero(first.y == y)
                tau = first.p[mine[first.value[mine].argmin()]] @ problem.ps_given_x
                s = int(np.ptp(problem.ps_given_x, axis=0).argmax())
                middle = part[y, s].mean()
                part[y, s, int(tau[s] <= middle) - 1] = middle  # the half without it
            args = problem, question.cost, question.alpha, question.beta
            small = price(*args, part, tol=tol).partition
            again = price(*args, question.box, tol=tol, start=small)
            np.testing.assert_allclose(again.lower, first.lower, atol=2.1 * tol)
            for y in range(problem.m):
                assert again.lower[y] <= first.value[first.y == y].min() + 1e-12 * question.scale
            held += 1
        assert held > 10

    @pytest.mark.parametrize("k", [3, 4])
    def test_other_multipliers(self, k: int) -> None:
        for seed in range(15):
            question = case(seed, k, ("random", "sparse"), (1e-3, 0.01, 0.1), (np.inf, 0.5), atoms=False)
            problem, box, tol = question.problem, question.box, 1e-6 * question.scale
            before = price(problem, 1.3 * question.cost, 2 * question.alpha, 0.7 * question.beta, box, tol=tol)
            args = problem, question.cost, question.alpha, question.beta, box
            cold, warm = price(*args, tol=tol), price(*args, tol=tol, start=before.partition)
            # Either may stop at its most cells, but neither above what a posterior in the box costs.
            y, p = (np.concatenate(both) for both in zip((cold.y, cold.p), (warm.y, warm.p), strict=True))
            tau = p @ problem.ps_given_x
            inside = ((tau >= box[y, :, 0]) & (tau <= box[y, :, 1])).all(axis=1)
            for letter in range(problem.m):
                reached = question.phi(letter, p[inside & (y == letter)]).min(initial=np.inf)
                assert max(cold.lower[letter], warm.lower[letter]) <= reached + 1e-12 * question.scale


class TestCells:
    """The spatial search between its rounds."""

    @pytest.mark.parametrize("k", [3, 4])
    def test_bounds_hold_on_every_cell_and_cells_cover(self, k: int) -> None:
        """Every posterior of a box lies in a cell of its letter, and no cell's bound is above what it costs."""
        for seed in range(12):
            question = case(seed, k, ("random", "sparse"), (0.01, 0.1, 0.3), (np.inf, 0.5), atoms=False)
            problem, W, rng = question.problem, question.problem.ps_given_x, np.random.default_rng(seed)
            if Line.through(W) is not None or question.beta == 0:
                continue
            log_px = np.log(problem.px)
            convex = min(question.beta, question.alpha / problem.contraction)
            oracle = spatial.Oracle(
                question.cost.T, question.alpha, question.beta, convex, log_px, W, 1e-9 * question.scale
            )
            P = [rivals(question, y, rng, 30, 3) for y in range(problem.m)]
            cells = oracle.relax(*spatial._first(question.box, W, oracle.facets, None))
            for _ in range(5):
                for y in range(problem.m):
                    tau, value = P[y] @ W, question.phi(y, P[y])
                    mine = cells.take(cells.y == y)
                    room = 1e-13
                    inside = ((tau[:, None] >= mine.low - room) & (tau[:, None] <= mine.high + room)).all(axis=2)
                    assert inside.any(axis=1).all()
                    least = np.where(inside, value[:, None], np.inf).min(axis=0)
                    assert (mine.bound <= least + 1e-12 * question.scale).all()
                cells = oracle.cut(cells)

    def test_letters_that_are_copies(self) -> None:
        """Each is priced as it is alone, whatever their order."""
        rng = np.random.default_rng(4)
        W = rng.dirichlet(np.ones(3), size=5)
        order = [2, 0, 1, 0, 2, 2]
        problem = Problem(rng.dirichlet(np.ones(5)), np.full(6, 1 / 6), W, np.zeros((5, 6)))
        cost = rng.normal(size=(5, 3)) + 5.0 * np.arange(3)
        box = whole_box(problem)
        priced = price(problem, cost[:, order], 0.05, 1.0, box, tol=1e-8)
        for y, own in enumerate(order):
            alone = price(problem, cost[:, [own]], 0.05, 1.0, box[:1], tol=1e-8)
            assert priced.lower[y] == pytest.approx(alone.lower[0], abs=3e-8)
            assert priced.value[priced.y == y].min() == pytest.approx(alone.value.min(), abs=3e-8)


class TestLine:
    def test_rows_that_almost_lie_on_a_line(self) -> None:
        """Off it by more than rounding they are priced as they are: lower is not above what a posterior costs."""
        rng = np.random.default_rng(0)
        for off in (1e-4, 5e-4):
            for _ in range(8):
                a, b = rng.dirichlet(np.ones(3), size=2)
                W = a + rng.random((5, 1)) * (b - a) + off * rng.normal(size=(5, 3)) * [1, 1, 0]
                W = np.maximum(W, 1e-9) / np.maximum(W, 1e-9).sum(axis=1, keepdims=True)
                assert Line.through(W) is None
                problem = Problem(np.full(5, 0.2), [1.0], W, np.zeros((5, 1)))
                cost = rng.normal(size=(5, 1))
                question = Case(problem, cost, 1e-3, 3.0, whole_box(problem), np.full((1, 5), 0.2))
                best = float(question.phi(0, rivals(question, 0, rng)).min())
                assert question.price(1e-6 * question.scale).lower[0] <= best + 1e-12 * question.scale

    @pytest.mark.parametrize("k", [2, 3])
    @np.errstate(all="ignore")
    def test_bounds_hold_on_every_cell(self, k: int) -> None:
        """No cell's bound is above φ at any of many contact points in it, between rounds too."""
        for seed in range(60):
            kinds = ("random", "sparse", "mixed") if k == 2 else ("line",)
            question = case(seed, k, kinds, (1e-3, 0.01, 0.1, 0.3, 1.0), (np.inf, 0.5, 0.05), atoms=seed % 2 > 0)
            problem, W = question.problem, question.problem.ps_given_x
            line = Line.through(W)
            if line is None or np.ptp(W[:, line.s]) < 1e-3 or question.beta == 0:
                continue
            w = W[:, line.s]
            low, high = line.interval(question.box)
            low, high = np.maximum(low, w.min()), np.minimum(high, w.max())
            letters = np.flatnonzero(high - low > 1e-6)
            if not len(letters):
                continue
            args = question.cost, question.alpha, question.beta, np.log(problem.px), w, line, low, high
            search, other = _Search(*args), _Search(*args)
            cells = search.first_cells(letters)
            for _ in range(4):
                bound = search.bound(cells)
                for share in (0.02, 0.2, 0.4, 0.5, 0.7, 0.9, 0.97):
                    target = cells.a + share * (cells.b - cells.a)
                    mu = other.slopes_at(cells.y, target, np.ones(len(target), dtype=bool))
                    point = other.add(cells.y, mu)
                    t, phi = other.t[point], other.phi[point]
                    inside = (t >= cells.a) & (t <= cells.b)
                    rounding = 1e-15 * np.abs(mu) + 1e-13 * question.scale
                    assert (bound <= phi + rounding)[inside].all(), seed
                cells = search.cut(cells, np.zeros(problem.m))

    @pytest.mark.parametrize("k", [2, 3, 4])
    def test_curvature_is_minus_the_second_derivative(self, k: int) -> None:
        rng = np.random.default_rng(k)
        for _ in range(10):
            a, b = rng.dirichlet(np.ones(k), size=2)
            line = Line.through(np.array([a, b]))
            assert line is not None
            ends = sorted((a[line.s], b[line.s]))
            t = np.linspace(*ends, 9)[1:-1]
            step = 1e-4 * (ends[1] - ends[0])
            h = [line.entropy(t + i * step) for i in (-1, 0, 1)]
            np.testing.assert_allclose(line.curvature(line.at(t)), -(h[0] - 2 * h[1] + h[2]) / step**2, rtol=1e-3)
            np.testing.assert_allclose(line.slope(t), (h[2] - h[0]) / (2 * step), atol=1e-5)
            # By Cauchy–Schwarz.
            assert (line.curvature(line.at(t)) >= np.abs(line.direction).sum() ** 2 * (1 - 1e-12)).all()

    @pytest.mark.parametrize("k", [2, 3, 4])
    def test_the_interval_of_a_box(self, k: int) -> None:
        """τ(t) in the box ⟹ t in the interval."""
        rng = np.random.default_rng(k)
        for _ in range(40):
            a, b = rng.dirichlet(np.ones(k), size=2)
            line = Line.through(np.array([a, b]))
            assert line is not None
            share = rng.random((6, 1))
            tau = a + share * (b - a)
            reach = rng.random((2, 6, k)) * rng.choice([0.0, 1e-9, 0.1])
            low, high = line.interval(np.stack([tau - reach[0], tau + reach[1]], axis=2))
            t = tau[:, line.s]
            assert (low <= t).all() and (t <= high).all()


class TestLowerIsTight:
    """Not needed for soundness; without it branch and bound would not close."""

    @law(40)
    @given(st.integers(0, 2**31))
    def test_two_classes(self, seed: int) -> None:
        """lower ≥ least candidate − 1e-9·range, with no box."""
        self.check_two(case(seed, 2, ("random", "deterministic", "equal rows", "useless", "mixed"), widths=(np.inf,)))

    @law(40)
    @given(st.integers(0, 2**31))
    def test_two_classes_in_a_box(self, seed: int) -> None:
        """lower ≥ least φ − 1e-9·range, in boxes as branching leaves them."""
        kinds = ("random", "deterministic", "equal rows")
        self.check_two(case(seed, 2, kinds, (1e-3, 0.01, 0.1, 0.3, 1.0), (0.5, 0.2, 0.05, 0.01, 1e-3), atoms=False))

    def check_two(self, question: Case) -> None:
        priced = question.price()
        for y in range(question.problem.m):
            candidates = priced.value[priced.y == y]
            best = min([*candidates, *question.phi(y, cheapest_at(question, y))], default=np.inf)
            if np.isfinite(best):
                assert priced.lower[y] >= best - 1e-9 * question.scale

    @pytest.mark.parametrize("k", [3, 4])
    def test_classes_on_a_line(self, k: int) -> None:
        """As tight as with two classes, where the rows of W are collinear."""
        for seed in range(60):
            question = case(seed, k, ("line",), (1e-3, 1e-2, 0.1, 0.3, 1.0), (np.inf, 0.5, 0.05, 1e-3), atoms=False)
            if Line.through(question.problem.ps_given_x) is None:
                continue
            priced = question.price()
            for y in range(question.problem.m):
                best = min(priced.value[priced.y == y], default=np.inf)
                if np.isfinite(best):
                    assert priced.lower[y] >= best - 1e-9 * question.scale

    @pytest.mark.parametrize("k", [3, 4])
    def test_more_classes(self, k: int) -> None:
        for seed in range(12):
            question = case(seed, k, widths=(np.inf,), alphas=(1e-3, 1e-2, 0.1, 0.3, 1.0))
            tol = 1e-6 * question.scale
            priced = question.price(tol)
            for y in range(question.problem.m):
                assert priced.lower[y] >= priced.value[priced.y == y].min() - 1.01 * tol

    @pytest.mark.parametrize("scale", [1e-9, 1e9])
    @pytest.mark.parametrize("k", [2, 3])
    def test_any_scale(self, k: int, scale: float) -> None:
        for seed in range(8):
            question = case(seed, k, alphas=(1e-3, 0.1, 1.0))
            large = replace(
                question, cost=scale * question.cost, alpha=scale * question.alpha, beta=scale * question.beta
            )
            tol = 1e-6 * question.scale
            np.testing.assert_allclose(
                large.price(scale * tol).lower, scale * question.price(tol).lower, atol=2 * scale * tol
            )


class TestCandidates:
    @pytest.mark.parametrize("k", [2, 3, 4])
    def test_are_posteriors_with_the_value_they_claim(self, k: int) -> None:
        for seed in range(12):
            question = case(seed, k, alphas=(1e-3, 0.1, 1.0))
            priced = question.price(1e-6 * question.scale)
            assert priced.p.shape == (len(priced.y), question.problem.n)
            assert (priced.p >= 0).all()
            np.testing.assert_allclose(priced.p.sum(axis=1), 1.0, atol=1e-12)
            for y, p, value in zip(priced.y, priced.p, priced.value, strict=True):
                assert question.phi(y, p) == pytest.approx(value, abs=1e-9 * question.scale)

    @pytest.mark.parametrize("k", [2, 3])
    def test_an_empty_box_costs_inf(self, k: int) -> None:
        problem = Problem([0.5, 0.5], [0.5, 0.5], np.eye(k)[:2], np.zeros((2, 2)))
        box = whole_box(problem)
        box[1, :, 1] = 0.9 / k  # classes that cannot sum to 1
        lower = price(problem, np.zeros((2, 2)), 0.1, 1.0, box).lower
        assert np.isfinite(lower[0])
        assert lower[1] == np.inf

    def test_without_classification_it_is_the_softmin(self) -> None:
        rng = np.random.default_rng(0)
        px, cost = rng.dirichlet(np.ones(5)), rng.normal(size=(5, 3))
        problem = Problem(px, np.full(3, 1 / 3), rng.dirichlet(np.ones(3), size=5), np.zeros((5, 3)))
        lower = price(problem, cost, 0.3, 0.0, None).lower
        np.testing.assert_allclose(lower, -0.3 * np.log(px @ np.exp(-cost / 0.3)), rtol=1e-13)
        np.testing.assert_array_equal(price(problem, cost, 0.0, 0.0, None).lower, cost.min(axis=0))

    @pytest.mark.parametrize("alpha", [1.0, 1e3, 1e8, 1e12])
    def test_a_huge_alpha_leaves_the_mean(self, alpha: float) -> None:
        rng = np.random.default_rng(1)
        px, cost = rng.dirichlet(np.ones(5)), rng.random((5, 3))
        problem = Problem(px, np.full(3, 1 / 3), rng.dirichlet(np.ones(2), size=5), np.zeros((5, 3)))
        lower = price(problem, cost, alpha, 0.0, None).lower
        mean = px @ cost
        assert (lower <= mean).all()
        assert (lower >= mean - 1.0 / alpha).all()


def test_a_sum_that_is_no_number_is_no_bound() -> None:
    assert lowered(np.nan, 1.0) == -np.inf
    assert 1.0 - 1e-13 < lowered(1.0, 1.0, -1.0) < 1.0
