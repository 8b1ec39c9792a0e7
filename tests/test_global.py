"""The reverse-convex problem against what is known without it: closed forms, brute force, its own monotonicity."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import coupling, law, make, problems, within_rate

from drcopt import Problem, closed_forms, min_classification_loss, solve
from drcopt.bounds import Leaf, Split
from drcopt.bounds.posterior import Node, packed, unpacked
from drcopt.certify.certificate import certify
from drcopt.engines.ascent import ascend
from drcopt.engines.base import Limits
from drcopt.engines.branch import Global
from drcopt.engines.descent import Descent
from drcopt.engines.lagrangian import Lagrangian
from drcopt.engines.points import Points
from drcopt.formulations import SingleLetter
from drcopt.information import binary_entropy
from drcopt.session import Session
from drcopt.support import clock

SEEDS = st.integers(0, 2**31)
BIT = math.log(2.0)


def bernoulli(px: float, py: float, p1: float) -> Problem:
    return Problem([1 - px, px], [1 - py, py], [[1 - p1, p1], [p1, 1 - p1]], "hamming")


def check_closed_form(px: float, py: float, p1: float, rates: list[float], shares: list[float]) -> int:
    """Solve and formula agree at every (R, C), C at these shares of the way from H(S|X) to H(S)."""
    session = Session(bernoulli(px, py, p1), tol=1e-7, time_limit=5.0)
    ps = px * (1 - p1) + p1 * (1 - px)
    low, high = float(binary_entropy(p1)) / BIT, float(binary_entropy(ps)) / BIT
    infeasible = 0
    for R, share in itertools.product(rates, shares):
        C = max(low + share * (high - low), 0.0)
        exact = closed_forms.bernoulli.exact(px, py, p1, R, C)
        answer = session.solve(R, C, on_failure="return")
        where = f"px={px}, py={py}, p1={p1}, R={R}, C={C!r}"
        if not exact.feasible:
            infeasible += 1
            assert answer.status == "infeasible", where
        elif answer.status == "infeasible":
            # Only rounding of C itself may decide otherwise.
            assert not closed_forms.bernoulli.exact(px, py, p1, R, C - 1e-9).feasible, where
        else:
            assert answer.status in ("optimal", "feasible", "near-feasible"), where
            assert answer.lower_bound <= exact.distortion + 1e-9, where
            assert answer.distortion >= exact.distortion - 1e-9, where
            assert answer.distortion == pytest.approx(exact.distortion, abs=1e-6), where
            assert exact.distortion - 1e-6 <= answer.lower_bound, where
    return infeasible


class TestBernoulli:
    @pytest.mark.parametrize(
        ("px", "py", "p1"), [(0.5, 0.5, 0.1), (0.3, 0.25, 0.2), (0.3, 0.4, 0.1), (0.1, 0.45, 0.05), (0.3, 0.7, 0.0)]
    )
    def test_it_agrees_with_the_closed_form(self, px: float, py: float, p1: float) -> None:
        found = check_closed_form(px, py, p1, [0.0, 0.05, 0.2, 0.45, 0.8, 1.5], [-0.1, 0.03, 0.3, 0.6, 0.85, 0.97, 1.1])
        assert found > 6

    @pytest.mark.slow
    @pytest.mark.parametrize("px", [0.02, 0.15, 0.3, 0.5])
    def test_on_a_finer_grid(self, px: float) -> None:
        for py, p1 in itertools.product([0.05, 0.3, 0.8], [0.0, 0.1, 0.35]):
            check_closed_form(px, py, p1, [0.0, 0.01, 0.1, 0.3, 0.6, 1.0], [-0.05, 0.01, 0.2, 0.5, 0.8, 0.95, 1.05])


def brute_force(problem: Problem, R: float, C: float, points: int) -> float:
    """The least distortion on a grid over Γ(px, py) of a 2×m problem, refined around the best; inf if none is met."""
    px, py, m = problem.px, problem.py, problem.m

    def evaluate(free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distortion (inf where infeasible) of couplings whose first row starts with ``free`` (J, m − 1)."""
        row = np.column_stack([free, px[0] - free.sum(axis=1)])
        P = np.stack([row, py - row], axis=1)
        P = np.where(np.abs(P) < 1e-15, 0.0, P)
        fine = (P >= 0).all(axis=(1, 2))
        P = np.where(fine[:, None, None], P, problem.independent)
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = np.nan_to_num(P * np.log(P / problem.independent)).sum(axis=(1, 2))
            T = np.einsum("xs,jxy->jsy", problem.ps_given_x, P)
            loss = -np.nan_to_num(T * np.log(T / py)).sum(axis=(1, 2))
        fine &= (rate <= R + 1e-12) & (loss <= C + 1e-12)
        return np.where(fine, (problem.d * P).sum(axis=(1, 2)), np.inf), free

    low, high = np.maximum(0.0, py[:-1] - px[1]), np.minimum(py[:-1], px[0])
    axes = [np.linspace(a, b, points) for a, b in zip(low, high, strict=True)]
    values, free = evaluate(np.array(list(itertools.product(*axes))))
    step = (high - low) / (points - 1)
    best = math.inf
    # The feasible set may be several pieces: refine around the best few that are apart.
    for i in values.argsort()[:12]:
        if not np.isfinite(values[i]):
            break
        centre, value, width = free[i], values[i], step.copy()
        for _ in range(30):
            offsets = np.array(list(itertools.product(np.linspace(-1, 1, 9 if m == 3 else 41), repeat=m - 1)))
            trial, where = evaluate(np.clip(centre + offsets * width, low, high))
            j = int(trial.argmin())
            if trial[j] < value:
                centre, value = where[j], trial[j]
            width *= 0.6
        best = min(best, float(value))
    return best


def budgets(problem: Problem, rng: np.random.Generator) -> tuple[float, float]:
    """R and C in nats that some coupling meets, C below what most do."""
    P = within_rate(problem, coupling(problem, rng), float(rng.uniform(0.05, 0.5)))
    slack = rng.uniform(0.0, 0.3) * (problem.entropy_s - problem.classification_loss(P))
    return problem.rate(P) + float(rng.choice([1e-9, 0.02])), problem.classification_loss(P) + slack + 1e-9


def check_brute_force(m: int, seed: int, points: int, accuracy: float) -> None:
    """Both ends hold against brute force, and the gap closes: in seconds, with a limit far from what any takes."""
    rng = np.random.default_rng([seed, m])
    family = ("random", "deterministic", "hamming", "random", "squared", "uniform")[seed % 6]
    problem = make(family, seed, 2, m, 2)
    if problem.entropy_s < 1e-6:
        return
    R, C = budgets(problem, rng)
    top = max(float(problem.d.max()), 1e-300)
    answer = solve(problem, R=R, C=C, units="nats", tol=1e-7, time_limit=60.0, on_failure="return")
    found = brute_force(problem, R, C, points)
    assert answer.status != "infeasible"
    # The grid's points may exceed a budget by 1e-12, which is worth as much as the multipliers say.
    worth = np.nan_to_num([answer.multipliers.rate, answer.multipliers.classification]).sum()
    assert answer.lower_bound <= found + 1e-9 * top + 1e-12 * worth
    assert answer.gap <= 1e-6 * top, (family, seed, answer)
    # The grid can only be worse, and by no more than its refinement leaves.
    if np.isfinite(found):
        assert found >= answer.distortion - 1e-6 * top
        assert answer.distortion >= found - accuracy * top


class TestBruteForce:
    def test_two_by_two(self) -> None:
        for seed in range(18):
            check_brute_force(2, seed, 4001, 1e-6)

    def test_two_by_three(self) -> None:
        for seed in range(10):
            check_brute_force(3, seed, 161, 2e-3)

    def test_boxes_that_no_cut_closes(self) -> None:
        """Linear programs end with some left, a hair below the tolerance; the search by pricing goes on."""
        problem = make("squared", 136, 2, 3, 2)
        R, C = budgets(problem, np.random.default_rng([136, 3]))
        answer = solve(problem, R=R, C=C, units="nats", tol=1e-7, time_limit=60.0, on_failure="return")
        assert answer.status == "optimal"

    @pytest.mark.slow
    def test_many(self) -> None:
        for seed in range(100, 200):
            check_brute_force(2, seed, 20001, 1e-6)
        for seed in range(100, 150):
            check_brute_force(3, seed, 401, 1e-3)

    def test_the_least_loss(self) -> None:
        for seed in range(4):
            problem = make("random", seed, 2, 2, 2)
            R = 0.1 + 0.05 * seed
            edge = min_classification_loss(problem, R=R, units="nats", tol=1e-8)
            low, high = max(0.0, problem.py[0] - problem.px[1]), min(problem.py[0], problem.px[0])
            best = math.inf
            for a in np.linspace(low, high, 4001):
                P = np.array([[a, problem.px[0] - a], [problem.py[0] - a, problem.px[1] - problem.py[0] + a]]).clip(0.0)
                if problem.classification_loss(P) < best and problem.rate(P) <= R:
                    best = problem.classification_loss(P)
            assert edge.status == "optimal"
            assert edge.objective == "classification_loss"
            assert edge.lower_bound <= best + 1e-12
            assert edge.classification_loss <= best + 1e-8
            assert edge.classification_loss >= best - 1e-3
            assert edge.rate <= R + 1e-12


class TestProperties:
    @law(25)
    @given(problems(3, 3, 3), SEEDS)
    def test_no_feasible_point_is_below_the_bound(self, problem: Problem, seed: int) -> None:
        """lower_bound ≤ E d of every coupling that meets the budgets; none is called infeasible."""
        rng = np.random.default_rng(seed)
        R, C = budgets(problem, rng)
        answer = solve(problem, R=R, C=C, units="nats", tol=1e-4, time_limit=2.0, on_failure="return")
        assert answer.status != "infeasible"
        assert "failed" not in answer.termination
        for _ in range(100):
            P = within_rate(problem, coupling(problem, rng), R)
            P = P if rng.random() < 0.5 else within_rate(problem, 0.5 * (P + coupling(problem, rng)), R)
            if problem.classification_loss(P) <= C:
                assert answer.lower_bound <= problem.distortion(P) * (1 + 1e-12)

    def test_falling_in_both_budgets(self) -> None:
        """D(R, C) ≥ D(R', C') for R ≤ R', C ≤ C': no bound at the looser budgets is above a value at the tighter."""
        problem = make("random", 20, 3, 3, 2)
        least = min_classification_loss(problem, R=0.3, tol=1e-4).classification_loss
        top = problem.entropy_s / BIT
        grid = [least + share * (top - least) for share in (0.1, 0.4, 1.0)]
        answers = {(R, C): solve(problem, R=R, C=C, tol=1e-5, time_limit=3.0) for R in (0.3, 0.7) for C in grid}
        for (R, C), tight in answers.items():
            for (R_, C_), loose in answers.items():
                if R <= R_ and C <= C_:
                    assert loose.lower_bound <= tight.distortion

    def test_a_sweep_gives_what_single_solves_give(self) -> None:
        problem = make("random", 22, 3, 4, 2)
        session = Session(problem, tol=1e-4, time_limit=2.0)
        C = 0.5 * (min_classification_loss(problem, R=0.4, tol=1e-4).classification_loss + problem.entropy_s / BIT)
        for R in (0.4, 0.8):
            one, other = session.solve(R, C), solve(problem, R=R, C=C, tol=1e-4, time_limit=2.0)
            assert one.lower_bound <= other.distortion
            assert other.lower_bound <= one.distortion


class TestWarmSweeps:
    """The next point of a sweep starts from the coupling, the posteriors and the tree of the last one."""

    @pytest.mark.slow
    def test_the_same_answers_for_fewer_pricings(self) -> None:
        problem = make("random", 8, 4, 4, 2)
        least = min_classification_loss(problem, R=0.4, tol=1e-4).classification_loss
        C = least + 0.1 * (problem.entropy_s / BIT - least)
        rates = [0.4, 0.405, 0.41, 0.415]
        session = Session(problem, tol=1e-6)
        warm = [session.solve(R, C) for R in rates]
        cold = [Session(problem, tol=1e-6).solve(R, C) for R in rates]
        for one, other in zip(warm, cold, strict=True):
            assert one.status == other.status == "optimal"
            assert one.lower_bound <= other.distortion
            assert other.lower_bound <= one.distortion
        spent = [sum(answer.stats["pricings"] for answer in answers) for answers in (warm, cold)]
        assert sum(answer.stats["nodes"] for answer in cold) > 10 * len(rates), "too easy to show anything"
        assert spent[0] < 0.8 * spent[1]

    def test_any_tree_survives_being_packed(self) -> None:
        rng = np.random.default_rng(0)

        def leaf() -> Leaf:
            return Leaf(rng.normal(size=3), float(rng.random()), float(rng.random()))

        tree: Node = leaf()
        for y in range(9):
            tree = Split(y % 3, y % 2, float(rng.random()), *((tree, leaf()) if y % 2 else (leaf(), tree)))
        once = packed(tree)
        again = packed(unpacked(**once))
        assert once.keys() == again.keys()
        for name in once:
            np.testing.assert_array_equal(once[name], again[name])

    def test_what_another_problem_left_behind_is_ignored(self) -> None:
        session, other = Session(make("random", 3, 4, 4, 2), tol=1e-4), Session(make("random", 4, 3, 4, 2), tol=1e-5)
        loss = min_classification_loss(other.problem, R=0.4, tol=1e-4).classification_loss + 0.02
        alone = other.solve(0.4, loss).distortion
        session.solve(0.4, min_classification_loss(session.problem, R=0.4, tol=1e-4).classification_loss + 0.02)
        other.warm = session.warm
        assert other.solve(0.4, loss).distortion == pytest.approx(alone, abs=1e-5)


def active(problem: Problem, R: float, share: float) -> SingleLetter:
    """A question in nats with C this share of the way from C_min(R) to the loss of the rate-only optimum."""
    free = solve(problem, R=R, units="nats").classification_loss
    least = min_classification_loss(problem, R=R, units="nats", tol=1e-3, time_limit=3.0).classification_loss
    return SingleLetter(problem.standardised()[0], R, least + share * (free - least))


class TestTheEdge:
    def test_what_counts_is_the_loss_once_rounded(self) -> None:
        """A point without any margin is kept if it meets the budget as the certificate sees it, whatever is said."""
        problem = make("random", 20, 3, 3, 2)
        P = coupling(problem, np.random.default_rng(0))
        loss = problem.classification_loss(P)
        for said, budget, kept in ((loss - 1e-10, loss - 1e-10, False), (loss + 1e-10, loss, True)):
            points = Points(SingleLetter(problem, math.inf, budget), Limits(1e-6))
            points._keep(Descent(P, np.append(np.zeros(3), [1.0, 0.0, 1.0]), said, 1))
            assert (points.best is not None) == kept

    def test_every_letter_told_apart(self) -> None:
        """C = H(S|X) to the last digit: Y = X, or another permutation, is found."""
        for seed in range(5):
            rng = np.random.default_rng(seed)
            W = rng.dirichlet(np.ones(2), size=3)
            problem = Problem([1 / 3] * 3, [1 / 3] * 3, W, rng.random((3, 3)))
            answer = solve(problem, C=problem.entropy_s_given_x, units="nats", time_limit=5.0)
            best = min(problem.d[range(3), f].mean() for f in itertools.permutations(range(3)))
            assert answer.distortion == pytest.approx(best, abs=1e-9)
            assert answer.lower_bound >= best - 1e-6


class TestInterruptions:
    """Wherever the search stops, both ends hold."""

    @pytest.mark.parametrize(("shape", "seed"), [((4, 4, 2), 31), ((3, 4, 3), 32)])
    def test_a_node_limit(self, shape: tuple[int, int, int], seed: int) -> None:
        question = active(make("random", seed, *shape), 0.4, 0.5)
        best = certify(question, *self.proposed(question, Limits(1e-5, clock.now() + 5.0)))
        for nodes in (1, 2, 3, 6):
            partial = certify(question, *self.proposed(question, Limits(1e-7, node_limit=nodes)))
            assert partial.lower <= best.upper
            assert partial.upper >= best.lower
            assert not partial.infeasible
            assert partial.parts is not None

    def test_a_deadline(self) -> None:
        question = active(make("random", 32, 3, 4, 3), 0.4, 0.5)
        best = certify(question, *self.proposed(question, Limits(1e-5, clock.now() + 5.0)))
        for seconds in (0.0, 0.01, 0.1):
            partial = certify(question, *self.proposed(question, Limits(1e-7, clock.now() + seconds)))
            assert partial.lower <= best.upper
            assert partial.upper >= best.lower
            assert not partial.infeasible

    def proposed(self, question: SingleLetter, limits: Limits) -> tuple:
        proposal = Global().propose(question, limits)
        return proposal.parts, *proposal.evidence

    def test_a_time_limit_leaves_a_valid_answer(self) -> None:
        problem = make("random", 34, 8, 8, 3)
        free = solve(problem, R=0.8)
        C = free.classification_loss - 0.25 * (free.classification_loss - problem.entropy_s_given_x / BIT)
        answer = solve(problem, R=0.8, C=C, tol=1e-9, time_limit=2.0, on_failure="return")
        assert answer.status in ("optimal", "feasible", "unknown", "infeasible")
        assert answer.status == "infeasible" or answer.lower_bound >= free.lower_bound - 1e-3
        assert not answer.distortion < free.lower_bound


def test_an_ascent_in_a_small_box_goes_on() -> None:
    """Where posteriors can hardly move the bound is as straight as its cuts; a model that bends promises nothing."""
    rng = np.random.default_rng(7)
    rng.integers(2, 4)
    px, py = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3))
    problem = Problem(px, py, rng.dirichlet(np.ones(2), size=3), rng.random((3, 3)))
    lagrangian = Lagrangian(problem, (1.0, 0.057254036, 0.0), ((0.0, 0.0), (0.0, math.inf), (1.0, 1.0)))
    low = np.array([0.8300116706760614, 0.49682775806857776, 0.8300083350774892])
    high = np.array([0.830011963769529, 0.4968278843240825, 0.8300106574403946])
    box = np.stack([np.column_stack([low, high]), np.column_stack([1.0 - high, 1.0 - low])], axis=1)
    z = np.array([0.8466202991940113, 0.8387647780600378, 0.8371117941348475, 0.0, 1.3736257e-6, 1.0])
    found = ascend(lagrangian, z, box, None, target=0.67886107, tol=2e-8)
    assert found.bound >= 0.67886107, "no coupling has its posteriors in this box and so small a loss"
