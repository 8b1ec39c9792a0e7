"""Time-sharing where Y may have one of several laws: the parts any, their average one of those."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from drcopt import InputError, Problem, min_classification_loss, min_rate, solve
from drcopt.bounds import Leaf, PosteriorTree, Split
from drcopt.bounds.posterior import Node, leaf_bound, whole_box
from drcopt.certify import proof
from drcopt.certify.certificate import repair
from drcopt.engines.ascent import ascend
from drcopt.engines.cuts import leaf
from drcopt.engines.lagrangian import Lagrangian
from drcopt.engines.search import halved
from drcopt.formulations import Part, TimeSharing
from drcopt.questions import CLASSIFICATION_LOSS
from drcopt.questions.output import Free, Near

#: Three letters of X, two of Y, any law: message, time-sharing and single-letter differ.
PX = [0.33120058, 0.47625923, 0.19254019]
W = [[0.56220846, 0.43779154], [0.44129478, 0.55870522], [0.33436821, 0.66563179]]
D = [[0.29971189, 0.42268722], [0.02831967, 0.12428328], [0.67062441, 0.64718951]]
BUDGETS: dict[str, Any] = {"R": 0.518237, "C": 0.681659, "units": "nats", "formulation": "time-sharing"}


def accepted(solution: Any) -> None:
    """By the checker, with the bounds that the solution has; of many classes it may prove a little less, or more."""
    pytest.importorskip("flint")
    from drcopt.checker import check

    verdict = check(proof.to_dict(solution.certificate))
    assert verdict.accepted, verdict.reason
    room = 1e-7 + 2e-3 * (solution.value - solution.lower_bound)
    assert solution.lower_bound - room <= verdict.lower <= verdict.upper
    assert verdict.upper == pytest.approx(solution.value, abs=1e-11)


def test_between_messages_and_one_coupling() -> None:
    """0.237466 < 0.2493 < 0.2745 nats, with proofs."""
    shared = solve(Problem(PX, None, W, D), **BUDGETS, tol=3e-2)
    assert shared.formulation == "time-sharing" and shared.mixture is not None
    assert 0.245 < shared.lower_bound <= shared.value < 0.251
    accepted(shared)


def test_the_average_is_near_the_target() -> None:
    """The parts may have any law."""
    shared = solve(Problem(PX, [0.5, 0.5], W, D), **BUDGETS, perception=("tv", 0.1), tol=3e-2)
    law = shared.output_law
    assert shared.perception == pytest.approx(abs(law[0] - 0.5)) and shared.perception <= 0.1
    assert shared.mixture is not None
    assert max(abs(part.coupling.sum(axis=0)[0] - 0.5) for part in shared.mixture.components) > 0.11
    accepted(shared)


def random_tree(rng: np.random.Generator, problem: Problem, depth: int, weights: tuple[float, float, float]) -> Node:
    """Splits anywhere, and multipliers whatever."""
    if depth == 0:
        f = problem.d.min(axis=1) + rng.normal(size=problem.n)
        return Leaf(f, weights[1], weights[2], weights[0])
    y, s = int(rng.integers(problem.m)), int(rng.integers(problem.k))
    at = float(problem.ps_given_x[:, s] @ rng.dirichlet(np.ones(problem.n)))
    low, high = (random_tree(rng, problem, depth - 1, weights) for _ in range(2))
    return Split(y, s, at, low, high)


def test_no_mixture_lies_below_a_tree() -> None:
    """Of any multipliers."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        px = rng.dirichlet(np.full(2, 3.0))
        problem = Problem(px, [0.5, 0.5], np.eye(2), rng.random((2, 2)))
        share = rng.random()
        parts = [Part(w, px[:, None] * rng.dirichlet(np.full(2, 0.2), size=2)) for w in (share, 1.0 - share)]
        law = sum(part.weight * part.coupling for part in parts).sum(axis=0)
        tree = PosteriorTree(random_tree(rng, problem, 2, (1.0, 0.1, 0.05 * rng.random())))
        for laws in (Near("tv", law / law.sum(), 1e-3), Free()):
            asked = TimeSharing(problem, math.inf, math.inf, laws=laws)
            E, R, C = asked.values(parts)
            question = TimeSharing(problem, R, C, laws=laws)
            assert tree.bound(question) <= E + 1e-12
            assert all(question.bound(piece) <= E + 1e-12 for piece in tree.pieces(question))


def test_the_least_of_the_leaves_own_bounds_is_no_bound() -> None:
    """Half Y = X, half Y = 0: laws (½, ½) and (1, 0) average to (¾, ¼), of which one coupling has H(X|Y) ≥ ¾ h(⅓)."""
    px, t = np.array([0.5, 0.5]), np.array([0.75, 0.25])
    problem = Problem(px, t, np.eye(2), np.ones((2, 2)))
    question = TimeSharing(problem, math.inf, math.inf, objective=CLASSIFICATION_LOSS, laws=Near("tv", t, 1e-3))
    lagrangian = Lagrangian(problem, (0.0, 0.0, 0.0), ((0.0, 0.0), (0.0, 0.0), (1.0, 1.0)), laws=question.laws)

    def tree(box: Any, depth: int) -> Node:
        if depth == 0:
            return leaf(ascend(lagrangian, np.eye(5)[4], box, None, target=9.0, tol=1e-4).z)
        y, at = depth % 2, float(box[depth % 2, 0].mean())
        return Split(y, 0, at, *(tree(halved(box, y, 0, at, side), depth - 1) for side in (1, 0)))

    evidence, half = PosteriorTree(tree(whole_box(problem), 4)), 0.5 * math.log(2.0)
    parts = [Part(0.5, np.diag(px)), Part(0.5, np.outer(px, [1.0, 0.0]))]
    assert question.values(parts)[2] == pytest.approx(half)
    assert np.array_equal(question.coupling(parts).sum(axis=0), t)
    assert min(leaf_bound(question, *pair) for pair in evidence.leaves(problem)) > half + 0.1
    assert evidence.bound(question) <= half
    assert evidence.pieces(question)[0].level <= half


def test_leaves_of_different_directions_prove_nothing() -> None:
    problem = Problem(PX, [0.5, 0.5], W, D)
    question = TimeSharing(problem, 1.0, 1.0, laws=Near("tv", problem.py, 0.1))
    leaves = [Leaf(problem.d.min(axis=1), 0.1, beta) for beta in (0.1, 0.2)]
    assert PosteriorTree(Split(0, 0, 0.5, *leaves)).bound(question) == -math.inf


@pytest.mark.parametrize("kind", ["tv", "kl"])
def test_mixtures_are_drawn_in(kind: str) -> None:
    """By the law of their average, which alone counts."""
    px, d = np.array([0.5, 0.5]), np.array([[0.0, 1.0], [1.0, 0.0]])
    problem = Problem(px, [0.5, 0.5], np.eye(2), d)
    question = TimeSharing(problem, math.inf, math.inf, laws=Near(kind, problem.py, 0.01))
    alone = [Part(w, np.outer(px, letter)) for w, letter in zip((0.5, 0.5), np.eye(2), strict=True)]
    kept = repair(question, alone)
    assert kept is not None and np.array_equal(kept.parts[0].coupling, alone[0].coupling)
    moved = repair(question, [Part(0.9, alone[0].coupling), Part(0.1, alone[1].coupling)])
    assert moved is not None
    law = question.coupling(moved.parts).sum(axis=0)
    assert question.laws is not None and Near(kind, problem.py, 1.0).divergence(law) == pytest.approx(0.01)


def test_what_it_does_not_take() -> None:
    problem = Problem(PX, [0.5, 0.5], W, D)
    with pytest.raises(InputError, match="perception must be more than 0"):
        solve(problem, **BUDGETS, perception=("tv", 0.0))
    with pytest.raises(InputError, match="d must be finite with a perception budget"):
        solve(Problem(PX, [0.5, 0.5], W, [[0, math.inf], [0, 1], [1, 0]]), **BUDGETS, perception=("tv", 0.1))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 3])
@pytest.mark.parametrize("law", ["free", "tv", "kl", "reverse-chi2"])
def test_in_order(seed: int, law: str) -> None:
    """D_msg ≤ D_ts ≤ D_single, R and C likewise."""
    rng = np.random.default_rng(seed)
    n, m, k = (int(v) for v in rng.integers(2, 4, size=3))
    px, t = rng.dirichlet(np.full(n, 2.0)), 0.9 * rng.dirichlet(np.ones(m)) + 0.1 / m
    problem = Problem(
        px, None if law == "free" else t, 0.98 * rng.dirichlet(np.full(k, 0.5), n) + 0.02 / k, rng.random((n, m))
    )
    P = px[:, None] * rng.dirichlet(np.full(m, 0.5), size=n)
    q = P.sum(axis=0)
    perception = None if law == "free" else (law, Near(law, t, 1.0).divergence(q) + 1e-6)
    budgets = {"D": problem.distortion(P), "R": problem.rate(P), "C": problem.classification_loss(P)}
    how: dict[str, Any] = {
        "units": "nats",
        "on_failure": "return",
        "perception": perception,
        "time_limit": 4.0,
        "tol": 1e-4,
    }
    for ask, left in ((solve, "D"), (min_rate, "R"), (min_classification_loss, "C")):
        given = {name: value + 1e-6 for name, value in budgets.items() if name != left}
        message, shared, single = (
            ask(problem, **given, **how, **more)  # type: ignore[operator]
            for more in ({"classifier_sees": "message"}, {"formulation": "time-sharing"}, {})
        )
        for low, high in ((message, shared), (shared, single), (message, single)):
            assert math.isnan(high.value) or low.lower_bound <= high.value + 1e-9
        if shared.status == single.status == "optimal":
            assert shared.value <= single.value + 2e-4
        assert shared.lower_bound <= budgets[left] + 1e-12
        accepted(shared)
