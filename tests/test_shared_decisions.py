"""Time-sharing with a budget on the loss of the best decision: one convex program, order, trees of one weight."""

from __future__ import annotations

import copy
import itertools
import json
import math
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from test_map_decisions import random_tree

import drcopt
from drcopt.bounds import Leaf
from drcopt.bounds.decisions import ActionSplit, ActionTree
from drcopt.formulations import Part, SharedDecisions
from drcopt.questions.output import Free

inf, LN2 = math.inf, math.log(2)
HOW: dict[str, Any] = {"formulation": "time-sharing", "on_failure": "return"}
some = [1, 3, 6, 9, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(10, 40))]


def instance(seed: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    n, m = [(2, 2), (3, 3), (4, 3), (3, 2), (4, 2)][seed % 5]
    px, py, W = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m)), rng.dirichlet([0.6, 0.6], n)
    table = 1.0 - np.eye(2) if seed % 3 else rng.random((2, 2))
    problem = drcopt.Problem(px, None if seed % 4 == 3 else py, W, rng.random((n, m)))
    least, most = float(px @ (W @ table).min(axis=1)), float((px @ W @ table).min())
    return (
        problem,
        table,
        rng.uniform(0.2, 0.6) * problem.entropy_x / LN2,
        least + rng.uniform(0.2, 1.0) * (most - least) + 1e-9,
    )


def whole(problem: Any, table: Any, R: float, C: float) -> float:
    """A part for every choice of actions: the least E d of their mixtures."""
    px, W, d, (n, m) = problem.px, problem.ps_given_x, problem.d, (problem.n, problem.m)
    choices = list(itertools.product(range(table.shape[1]), repeat=m))
    parts, shares = [cp.Variable((n, m), nonneg=True) for _ in choices], cp.Variable(len(choices), nonneg=True)
    rows, rate, loss, cost = [cp.sum(shares) == 1], 0, 0, 0
    for P, share, actions in zip(parts, shares, choices, strict=True):
        rows += [cp.sum(P, axis=1) == share * px]
        rows += [] if problem.free else [cp.sum(P, axis=0) == share * problem.py]
        rate += cp.sum(cp.rel_entr(P, px[:, None] @ cp.reshape(cp.sum(P, axis=0), (1, m), order="C")))
        loss += cp.sum(cp.multiply(P, (W @ table)[:, list(actions)]))
        cost += cp.sum(cp.multiply(P, d))
    program = cp.Problem(cp.Minimize(cost), [*rows, rate <= R * LN2, loss <= C])
    program.solve(solver="CLARABEL")
    return float(program.value) if program.status == "optimal" else inf


def where_mixing_gains() -> tuple[drcopt.Problem, float]:
    rng = np.random.default_rng(2)
    (px, py), W, d = rng.dirichlet(np.ones(3), 2), rng.dirichlet([0.6, 0.6], 3), rng.random((3, 3))
    return drcopt.Problem(px, py, W, d), float(0.2 * (1 - px @ W.max(axis=1)) + 0.8 * (1 - (px @ W).max()))


class TestAnswers:
    @pytest.mark.parametrize("seed", some)
    def test_it_is_the_convex_program(self, seed: int) -> None:
        problem, table, R, C = instance(seed)
        found = drcopt.solve(problem, R=R, C=C, class_loss=table, **HOW)
        right = whole(problem, table, R, C)
        single, message = (
            drcopt.solve(problem, R=R, C=C, class_loss=table, classifier_sees=sees, on_failure="return")
            for sees in ("Y", "message")
        )
        assert message.lower_bound <= found.distortion + 1e-7 or found.status == "infeasible"
        assert found.lower_bound <= (inf if single.status == "infeasible" else single.distortion) + 1e-7
        if right == inf:
            assert found.status == "infeasible"
            return
        assert found.status == "optimal" and found.distortion == pytest.approx(right, abs=5e-6)
        assert found.classification_loss <= C and found.rate <= R + 1e-12
        assert found.mixture is not None and sum(part.weight for part in found.mixture) == pytest.approx(1.0)
        expected = sum(
            part.weight * float(((problem.ps_given_x @ table).T @ part.coupling).min(axis=0).sum())
            for part in found.mixture
        )
        assert found.classification_loss == pytest.approx(expected, abs=1e-12)
        least = drcopt.min_classification_loss(problem, R=R, D=found.distortion + 1e-4, class_loss=table, **HOW)
        assert least.status == "optimal" and least.classification_loss <= C + 1e-7
        lowest = drcopt.min_rate(problem, D=found.distortion + 1e-4, C=C, class_loss=table, **HOW)
        assert lowest.status == "optimal" and lowest.rate <= R + 1e-7

    def test_mixing_gains(self) -> None:
        problem, C = where_mixing_gains()
        mixed, single = (
            drcopt.solve(problem, R=0.6, C=C, class_loss="error", formulation=formulation)
            for formulation in ("time-sharing", "single-letter")
        )  # fmt: skip
        assert mixed.status == "optimal" and mixed.distortion < single.lower_bound - 0.01

    def test_no_rate(self) -> None:
        problem = drcopt.sources.bernoulli()
        found = drcopt.solve(problem, R=0, class_loss="error", formulation="time-sharing")
        assert found.status == "optimal" and found.distortion == pytest.approx(drcopt.solve(problem, R=0).distortion)
        assert drcopt.solve(problem, R=0, C=0.1, class_loss="error", **HOW).status == "infeasible"

    def test_forbidden_pairs(self) -> None:
        rng = np.random.default_rng(1)
        px, py, W, d = (
            rng.dirichlet(np.ones(3)),
            rng.dirichlet(np.ones(3)),
            rng.dirichlet([0.6, 0.6], 3),
            rng.random((3, 3)),
        )
        d[0, 1] = inf
        C = 0.9 - 0.9 * float((px @ W).max()) + 0.1 * float(1 - px @ W.max(axis=1))
        found = drcopt.solve(drcopt.Problem(px, py, W, d), R=0.8, C=C, class_loss="error", **HOW)
        assert found.status == "optimal" and found.coupling[0, 1] == 0.0
        with pytest.raises(drcopt.InputError, match="d must be finite"):
            drcopt.solve(drcopt.Problem(px, None, W, d), R=0.8, C=C, class_loss="error", **HOW)


def with_weights(node: Any, weights: Any) -> Any:
    """The tree with these weights at every leaf."""
    if isinstance(node, ActionSplit):
        return ActionSplit(node.y, node.a, with_weights(node.only, weights), with_weights(node.without, weights))
    return Leaf(node.f, *weights)


def mixture(rng: np.random.Generator, px: Any, m: int, free: bool) -> tuple[Any, list[Part]]:
    """Couplings of one law of Y, or of any."""
    law, parts = rng.dirichlet(np.ones(m)), []
    for weight in rng.dirichlet(np.ones(3)):
        P = rng.dirichlet(np.full(len(px) * m, 0.3)).reshape(len(px), m) + 1e-12
        for _ in range(1 if free else 2000):
            P = P * (1.0 if free else law / P.sum(axis=0))
            P = P * (px / P.sum(axis=1))[:, None]
        parts.append(Part(float(weight), P))
    return law, parts


class TestEvidence:
    @pytest.mark.parametrize("seed", [*range(12), *(pytest.param(s, marks=pytest.mark.slow) for s in range(12, 150))])
    def test_trees_of_one_weight_are_below_every_mixture(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n, m, k, A = (int(v) for v in rng.integers(2, 4, size=4))
        px, W, d, table = (
            rng.dirichlet(np.ones(n)),
            rng.dirichlet(np.ones(k), n),
            rng.random((n, m)),
            rng.random((k, A)),
        )
        free = seed % 2 == 0
        law, parts = mixture(rng, px, m, free)
        problem = drcopt.Problem(px, law, W, d)
        asked = SharedDecisions(problem, inf, inf, laws=Free() if free else None, losses=table)
        values = [v + 1e-9 for v in asked.values(parts)]
        tree = random_tree(rng, n, m, A, 4, 0.0)
        one = ActionTree(with_weights(tree, [float(w) for w in rng.exponential(size=3)]))
        for objective in drcopt.questions.QUANTITIES:
            limits = dict(zip(("distortion_budget", "rate_budget", "classification_budget"), values, strict=True))
            held = asked.minimising(objective, **limits)
            assert one.bound(held) <= values[objective.place] + 1e-9
            several = isinstance(tree, ActionSplit)
            assert not several or ActionTree(tree).bound(held) == -inf


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    pytest.importorskip("flint")
    from drcopt.certify import proof

    problem, C = where_mixing_gains()
    found = drcopt.solve(problem, R=0.6, C=C, class_loss="error", formulation="time-sharing")
    return dict(json.loads(json.dumps(proof.to_dict(found.certificate))))


class TestProofFiles:
    def test_it_is_accepted_and_its_weights_agree(self, written: Any) -> None:
        from drcopt.checker import check

        nodes = written["evidence"]["nodes"]
        assert len(nodes) > 1 and check(written).accepted
        data = copy.deepcopy(written)
        leaf = next(node for node in data["evidence"]["nodes"] if "f" in node)
        leaf["rate"] = (float.fromhex(leaf["rate"]) + 1e-9).hex()
        assert not check(data).accepted

    @pytest.mark.parametrize("seed", some[:2])
    def test_verified(self, seed: int) -> None:
        pytest.importorskip("flint")
        problem, table, R, C = instance(seed)
        for found in (
            drcopt.solve(problem, R=R, C=C, class_loss=table, verify="interval", **HOW),
            drcopt.min_classification_loss(problem, R=R, class_loss=table, verify="interval", **HOW),
        ):
            assert found.verified and found.status in ("optimal", "infeasible")
