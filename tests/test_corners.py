"""Boxes by their corners: the pricing that rests on them, the linear programs over them, and the search of these."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import linprog
from strategies import make

from drcopt import Problem, solve
from drcopt.bounds import Leaf, PosteriorTree, Split
from drcopt.bounds.posterior import leaf_bound, packed, unpacked, whole_box
from drcopt.bounds.pricing.corners import Known
from drcopt.bounds.pricing.vertices import face, faces_inside, price_vertices
from drcopt.coupling import round_onto_marginals
from drcopt.engines.base import INTERRUPTED, Limits
from drcopt.engines.branch import Global
from drcopt.engines.corner_program import Program
from drcopt.engines.corner_search import CornerSearch
from drcopt.engines.linear import least_cost
from drcopt.engines.points import Points
from drcopt.engines.vertex_descent import VertexDescent
from drcopt.formulations import SingleLetter

#: What a test draws: p(s|x) of letters that agree, that tell the class, that lie between others, or of any kind.
KINDS = ("any", "equal", "sure", "between", "close")


def channel(rng: np.random.Generator, kind: str) -> np.ndarray:
    n, k = int(rng.integers(2, 7)), int(rng.integers(2, 5))
    W = rng.dirichlet(np.full(k, rng.choice([0.1, 0.5, 2.0])), size=n)
    if kind == "equal":
        W[-1] = W[0]
    elif kind == "sure":
        W = np.eye(k)[rng.integers(k, size=n)]
    elif kind == "between":
        W[-1] = 0.5 * (W[0] + W[n // 2])
    elif kind == "close":
        W[-1] = np.abs(W[0] + 1e-13 * rng.standard_normal(k))
    return W / W.sum(axis=1, keepdims=True)


def boxed(rng: np.random.Generator, W: np.ndarray) -> np.ndarray:
    """A box (k, 2) with some of its faces inside the range of W, now and then at a row of it."""
    low, high = W.min(axis=0), W.max(axis=0)
    a = low + (high - low) * 0.6 * rng.random(len(low)) * (rng.random(len(low)) < 0.6)
    if rng.random() < 0.3:
        a = np.where(rng.random(len(low)) < 0.4, W[0], a)
    b = high - (high - a) * 0.8 * rng.random(len(low)) * (rng.random(len(low)) < 0.6)
    return np.stack([a, np.maximum(a, b)], axis=-1)


class TestCorners:
    def test_faces_along_which_edges_all_but_run(self) -> None:
        """Letters that hardly differ in one class and much in others: a face may cut such an edge anywhere."""
        rng = np.random.default_rng(11)
        for _ in range(400):
            n, near = int(rng.integers(2, 6)), 10.0 ** rng.uniform(-14, -6)
            W = rng.dirichlet([1.0, 1.0, 1.0], size=n)
            level = rng.uniform(0.1, 0.5)
            W[:2, 0] = level + near * rng.uniform(-1, 1, size=2)
            if rng.random() < 0.5:  # all others lie beyond the face
                W[2:, 0] = np.minimum(W[2:, 0], 0.5 * level)
            W[:, 1:] *= ((1.0 - W[:, 0]) / W[:, 1:].sum(axis=1))[:, None]
            cost, beta = 4.0 * rng.standard_normal((n, 1)), 10.0 ** rng.uniform(-3, 1)
            p = np.zeros(n)
            p[:2] = (share := rng.random()), 1.0 - share
            tau = p @ W
            box = np.stack([W.min(axis=0), W.max(axis=0)], axis=-1)
            side = int(rng.integers(2))
            box[0, side] = tau[0] + (2e-16 if side else -2e-16)  # so that p is in it, however tau was rounded
            value = p @ cost[:, 0] - beta * np.sum(tau * np.log(tau))
            assert price_vertices(cost, beta, W, box[None]).lower[0] <= value + 1e-12 * np.abs(cost).max()

    @pytest.mark.parametrize("kind", KINDS)
    def test_hold_the_least_of_anything_linear(self, kind: str) -> None:
        """And of what is concave besides, as no posterior of the box goes below them."""
        rng = np.random.default_rng([KINDS.index(kind), 7])
        for _ in range(12):
            W = channel(rng, kind)
            box, costs, beta = boxed(rng, W), rng.random(len(W)), float(rng.choice([0.0, 1.5]))
            found = price_vertices(costs[:, None], beta, W, box[None])
            program = {"A_ub": np.vstack([W.T, -W.T]), "b_ub": np.concatenate([box[:, 1], -box[:, 0]])}
            ps = []
            for c in (costs, *rng.standard_normal((6, len(W)))):
                answer = linprog(c, **program, A_eq=np.ones((1, len(W))), b_eq=[1.0], method="highs-ds")
                ps += [answer.x] if answer.status == 0 else []
            if not ps:
                continue
            mixed = rng.dirichlet(np.ones(len(ps)), size=20) @ np.array(ps)
            values = [
                p @ costs - beta * float((t * np.log(np.maximum(t, 1e-300))).sum())
                for p in (*ps, *mixed)
                for t in [p @ W]
            ]
            assert found.lower[0] <= min(values) + 1e-8  # the other solver's tolerance
            if beta == 0.0:
                assert found.lower[0] == pytest.approx(values[0], abs=1e-8)

    def test_of_a_box_without_posteriors(self) -> None:
        W = np.array([[0.9, 0.1], [0.8, 0.2]])
        assert not len(Known().corners(W, faces_inside(np.array([[0.0, 0.5], [0.5, 1.0]]), W)).p)

    def test_are_found_once(self) -> None:
        W = np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.3, 0.3, 0.4]])
        known, faces = Known(), ((0, 1, 0.5), (1, 0, 0.3))
        assert known.corners(W, faces) is known.corners(W, faces)

    @pytest.mark.parametrize("kind", KINDS)
    def test_are_the_same_however_they_were_cut(self, kind: str) -> None:
        """Along a path of faces, some of them looser than those that they replace, as a file's tree may have it."""
        rng = np.random.default_rng([KINDS.index(kind), 11])
        for _ in range(12):
            W = channel(rng, kind)
            known, box = Known(), np.stack([W.min(axis=0), W.max(axis=0)], axis=-1)
            for _ in range(8):
                s, side = int(rng.integers(W.shape[1])), int(rng.integers(2))
                low, high = W[:, s].min(), W[:, s].max()
                at = float(low + (high - low) * (rng.random() if side == 0 else rng.random() ** 0.3))
                known.descends(faces_inside(box, W), face(s, side, at))
                box[s, side] = at
                faces, costs = faces_inside(box, W), rng.standard_normal((len(W), 5))
                told, anew = known.corners(W, faces), Known().corners(W, faces)
                assert len(told.p) == len(anew.p) == 0 or (len(told.p) and len(anew.p))
                if len(anew.p):
                    least = [(one.p @ costs + one.entropy[:, None]).min(axis=0) for one in (told, anew)]
                    assert least[0] == pytest.approx(least[1], abs=1e-7)


class TestTangents:
    @pytest.mark.parametrize("seed", range(6))
    def test_bound_every_coupling_and_less_than_the_rate_itself(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        problem = make("random", seed, 4, 3, 3)
        question = SingleLetter(problem, 0.3, 0.9 * problem.entropy_s)
        f, alpha, beta = 0.3 * rng.random(4), 0.3, 0.4
        tangents = rng.dirichlet(np.ones(4), size=3).T
        leaf = Leaf(f, alpha, beta, tangents=tangents)
        bound = leaf_bound(question, leaf, whole_box(problem))
        assert bound <= leaf_bound(question, Leaf(f, alpha, beta), whole_box(problem)) + 1e-9
        # At their own coupling the tangents lose nothing but what the rest of the bound does.
        for P in (tangents * problem.py, *rng.dirichlet(np.ones(12), size=30).reshape(-1, 4, 3)):
            P = round_onto_marginals(P, problem.px, problem.py)
            value = problem.distortion(P) + alpha * (problem.rate(P) - 0.3)
            value += beta * (problem.classification_loss(P) - question.caps[2])
            assert bound <= value + 1e-12

    def test_need_not_be_normalised(self) -> None:
        problem = make("random", 1, 4, 3, 3)
        question, tangents = SingleLetter(problem, 0.3, 0.9 * problem.entropy_s), np.full((4, 3), 0.25)
        bounds = [
            leaf_bound(question, Leaf(np.zeros(4), 0.3, 0.2, tangents=t * tangents), whole_box(problem))
            for t in (1.0, 1e6)
        ]
        assert bounds[0] == pytest.approx(bounds[1], abs=1e-12)

    def test_survive_being_packed(self) -> None:
        some = np.full((4, 3), 0.25)
        tree = Split(1, 0, 0.5, Leaf(np.arange(4.0), 0.3, 0.2, tangents=some), Leaf(np.zeros(4), 0.0, 0.1))
        again = packed(unpacked(**packed(tree)))
        assert again["tangents"].shape == (2, 4, 3)
        for name, array in packed(tree).items():
            np.testing.assert_array_equal(again[name], array)
        assert "tangents" not in packed(tree.high)

    @pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
    def test_that_are_garbage_prove_nothing(self, value: float) -> None:
        problem = make("random", 1, 4, 3, 3)
        question, tangents = SingleLetter(problem, 0.3, 0.9 * problem.entropy_s), np.full((4, 3), 0.25)
        tangents[1, 2] = value
        for some in (tangents, tangents[:3], np.ones(3)):
            tree = PosteriorTree(Leaf(np.zeros(4), 0.3, 0.2, tangents=some))
            assert tree.bound(question) == -math.inf


class TestPrograms:
    @pytest.mark.parametrize("seed", range(8))
    def test_agree_with_another_solver(self, seed: int) -> None:
        problem = make("random", seed, 2 + seed % 4, 2 + seed % 3, 2)
        rng, small = np.random.default_rng(seed), VertexDescent(problem)
        linear = rng.random(problem.d.shape)
        plain, other = small.least(problem.d), least_cost(problem, problem.d)
        assert plain is not None
        assert other is not None
        assert problem.distortion(plain.P) == pytest.approx(float((problem.d * other[0]).sum()), abs=1e-12)
        least = least_cost(problem, linear)
        assert least is not None
        lowest = float((linear * least[0]).sum())
        for budget in (lowest - 1e-3, lowest + 1e-3, 0.5 * (lowest + float((linear * plain.P).sum()))):
            one, two = small.least(problem.d, linear, budget), least_cost(problem, problem.d, None, linear, budget)
            assert (one is None) == (two is None)
            if one is not None and two is not None:
                assert problem.distortion(one.P) == pytest.approx(float((problem.d * two[0]).sum()), abs=1e-9)
                assert one.z[-1] == pytest.approx(two[2], rel=1e-6, abs=1e-6)
                assert np.abs(one.P.sum(axis=0) - problem.py).max() < 1e-12
                assert np.abs(one.P.sum(axis=1) - problem.px).max() < 1e-12


def tight(problem: Problem, share: float) -> float:
    """C this share of the way from H(S|X) to H(S)."""
    return problem.entropy_s_given_x + share * (problem.entropy_s - problem.entropy_s_given_x)


class TestRate:
    def test_a_row_counts_what_its_coupling_spends(self) -> None:
        """Of an optimal plan, which has zeros where logarithms are infinite: a row at it is all but the rate there."""
        problem = make("random", 0, 4, 5, 3)
        program = Program(problem, math.inf, problem.entropy_s)
        node = program.whole()
        program.solve(node, math.inf, 0)
        plan = node.P
        assert plan is not None
        assert (plan == 0).any()
        program.rate = program.spent(plan) * (1.0 - 1e-9)
        program.solve(node, math.inf, 1)
        assert len(node.rows) == 1
        counted = float((plan * node.rows[0]).sum())
        assert program.spent(plan) - 3e-6 <= counted <= program.spent(plan)


class TestSearch:
    @pytest.mark.parametrize(
        ("seed", "k", "share"),
        [(2, 2, 0.3), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((1, 3, 0.5), (3, 3, 0.3)))],
    )
    def test_agrees_with_the_other_search(
        self, seed: int, k: int, share: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        problem = make("random", seed, 4, 4, k)
        asked = {"C": tight(problem, share), "units": "nats", "time_limit": 60.0}
        answer = solve(problem, **asked)
        assert answer.status == "optimal"
        assert answer.stats["pricings"] == 0, "not by linear programs"
        monkeypatch.setattr(CornerSearch, "suits", lambda question: False)
        other = solve(problem, **asked | {"tol": 1e-4})
        assert other.lower_bound <= answer.distortion
        assert answer.lower_bound <= other.distortion

    @pytest.mark.parametrize("seed", [1, 4])
    def test_its_tree_proves_its_bound_where_the_rate_binds(self, seed: int) -> None:
        problem = make("random", seed, 4, 4, 3)
        question = SingleLetter(problem, 0.5 * problem.entropy_y, tight(problem, 0.75))
        points = Points(question, Limits(1e-6))
        points.start()
        limits = Limits(1e-6, node_limit=150)
        search = CornerSearch(question, limits, points.slide, points.settle, points.explore, points.value)
        points.watch(search)
        search.run()
        assert search.lower > -math.inf
        assert any(leaf.tangents is not None for leaf, _ in PosteriorTree(search.tree()).leaves(problem))
        bound = PosteriorTree(search.tree()).bound(question)
        assert bound >= search.lower - 1e-9
        assert bound <= points.value + 1e-9

    def test_a_point_that_no_descent_leads_on_from_is_kept(self) -> None:
        """Both budgets bind, and at the optimum no other coupling is within its tangent's budget."""
        rng = np.random.default_rng(100)
        px, py = rng.dirichlet(np.full(4, 2.0)), rng.dirichlet(np.full(4, 2.0))
        problem = Problem(px, py, rng.dirichlet(np.full(3, 0.5), size=4), np.round(rng.random((4, 4)), 3))
        answer = solve(problem, R=0.6065, C=1.1349, units="bits")
        assert answer.status == "optimal"
        assert answer.distortion <= 0.260978
        assert answer.stats["pricings"] == 0, "not by linear programs"

    def test_a_budget_that_cannot_be_met(self) -> None:
        """No point is known, and none exists: every box ends without a coupling."""
        problem = make("random", 2, 4, 4, 3)
        question = SingleLetter(problem, math.inf, tight(problem, 0.02))
        search = CornerSearch(question, Limits(1e-6), lambda P: None, lambda P, more: None, lambda starts: None)
        search.run()
        assert search.lower == math.inf
        assert PosteriorTree(search.tree()).bound(question) > 1.0

    def test_stops_when_told(self) -> None:
        problem = make("random", 0, 5, 5, 3)
        question = SingleLetter(problem, math.inf, tight(problem, 0.5))

        def interrupt(P: np.ndarray) -> None:
            raise KeyboardInterrupt

        search = CornerSearch(question, Limits(1e-6), interrupt, lambda P, more: None, lambda starts: None)
        search.run()
        assert search.termination == INTERRUPTED
        assert math.isfinite(PosteriorTree(search.tree()).bound(question))
        late = Global().propose(question, Limits(1e-6, deadline=-math.inf))
        assert late.termination == "the time limit was reached"

    def test_is_for_small_questions_about_the_distortion(self) -> None:
        problem = make("random", 0, 40, 40, 2)
        assert not CornerSearch.suits(SingleLetter(problem, 1.0, 0.5))
