"""One-shot codes where Y may have one of several laws: maps of any, their average one of those."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.special import entr

from drcopt import Perception, Problem, min_classification_loss, min_rate, solve
from drcopt.bounds.cells import CellDual
from drcopt.bounds.maps import MapLeaf, MapNode, MapSplit, MapTree
from drcopt.certify import proof
from drcopt.certify.certificate import repair
from drcopt.formulations import OneShot, Part
from drcopt.formulations.one_shot import map_coupling
from drcopt.questions import CLASSIFICATION_LOSS
from drcopt.questions.output import Free, Near


def problem(seed: int, n: int, m: int, free: bool) -> Problem:
    rng = np.random.default_rng(seed)
    py = None if free else 0.8 * rng.dirichlet(np.full(m, 2.0)) + 0.2 / m
    W = 0.98 * rng.dirichlet([0.5, 0.5], size=n) + 0.01
    return Problem(rng.dirichlet(np.full(n, 2.0)), py, W, rng.random((n, m)))


def by_all_maps(p: Problem, R: float, C: float, P: float | None) -> float:
    """The linear program over all maps where the classifier sees Y and U; P limits the total variation to py."""
    maps = list(itertools.product(range(p.m), repeat=p.n))
    couplings = np.array([map_coupling(p, np.array(f)) for f in maps])
    q = couplings.sum(axis=1)
    rows = [(entr(q).sum(axis=1), R), (np.array([p.classification_loss(K) for K in couplings]), C)]
    rows = [(np.append(row, np.zeros(p.m)), most) for row, most in rows]
    for y, sign in itertools.product(range(p.m), (1.0, -1.0)) if P is not None else ():
        rows.append((np.append(sign * q[:, y], -np.eye(p.m)[y]), sign * p.py[y]))
    rows.append((np.append(np.zeros(len(maps)), np.ones(p.m)), 2.0 * (P or 1.0)))
    cost = np.append((couplings * p.d).sum(axis=(1, 2)), np.zeros(p.m))
    total = np.append(np.ones(len(maps)), np.zeros(p.m))[None]
    return float(linprog(cost, [row for row, _ in rows], [most for _, most in rows], total, [1.0]).fun)


def accepted(solution: Any) -> None:
    pytest.importorskip("flint")
    from drcopt.checker import check

    verdict = check(proof.to_dict(solution.certificate))
    assert verdict.accepted, verdict.reason
    assert verdict.lower == pytest.approx(solution.lower_bound, abs=1e-8)
    assert verdict.upper == pytest.approx(solution.value, abs=1e-10)


@pytest.mark.parametrize(("n", "m", "P"), [(4, 3, None), (4, 3, 0.05)])
def test_against_all_maps(n: int, m: int, P: float | None) -> None:
    p = problem(1, n, m, P is None)
    R, C = 0.4, 0.75 * p.entropy_s + 0.25 * p.entropy_s_given_x
    how: Any = {"R": R, "C": C, "units": "nats", "formulation": "one-shot", "tol": 1e-4}
    how["perception"] = None if P is None else ("tv", P)
    best = by_all_maps(p, R, C, P)
    seen = solve(p, **how, classifier_sees="YU")
    assert seen.lower_bound <= best + 1e-12 and seen.value == pytest.approx(best, abs=1e-4)
    accepted(seen)
    blind = solve(p, **how)
    assert blind.status == "optimal" and seen.lower_bound <= blind.value
    accepted(blind)


def test_two_limits_that_bind_are_met_with_room() -> None:
    rows = np.random.default_rng(0).dirichlet([1, 1], 3)
    p, R, D = Problem([0.5, 0.3, 0.2], None, rows, d="hamming"), 0.3, 0.4
    found = min_classification_loss(p, R=R, D=D, formulation="one-shot")
    assert found.status == "optimal", found
    assert found.distortion <= D and found.rate <= R


def random_tree(rng: np.random.Generator, p: Problem, depth: int) -> MapNode:
    """Multipliers whatever, in boxes anywhere."""
    if depth == 0:
        gamma, beta = 0.3 * rng.random((2, p.m))
        return MapLeaf(rng.normal(size=p.m), 0.2 * rng.random(), gamma, beta, rng.normal(size=(p.m, p.k)))
    y, s = int(rng.integers(p.m)), int(rng.integers(p.k))
    at = float(p.ps_given_x[:, s] @ rng.dirichlet(np.ones(p.n)))
    return MapSplit(y, s, at, random_tree(rng, p, depth - 1), random_tree(rng, p, depth - 1))


def test_no_mixture_lies_below_a_tree() -> None:
    """Of a law that is free or near the mixture's own, whatever the problem's place holder for it says."""
    rng = np.random.default_rng(0)
    for seed in range(60):
        p = problem(seed, 3, 2, False)
        maps = rng.integers(p.m, size=(3, p.n))
        parts = [Part(float(w), map_coupling(p, f), f) for w, f in zip(rng.dirichlet(np.ones(3)), maps, strict=True)]
        law = sum(part.weight * part.coupling for part in parts).sum(axis=0)
        tree = MapTree(random_tree(rng, p, 2))
        for laws in (Near("tv", law / law.sum(), 1e-3), Free()):
            E, R, C = OneShot(p, math.inf, math.inf, laws=laws).values(parts)
            assert tree.bound(OneShot(p, R, C, laws=laws)) <= E + 1e-12


def test_the_place_holder_for_the_law_says_nothing() -> None:
    """Neither what letters cost on average over py, nor what posteriors couplings of py could have."""
    px, zero = np.array([0.5, 0.5]), np.zeros(2)
    d = np.array([[1.0, 3.0], [1.0, 3.0]])
    costs = MapTree(MapLeaf.linear(Problem(px, [0.5, 0.5], np.eye(2), d), np.array([1.0, 3.0])))
    assert costs.bound(OneShot(Problem(px, [0.5, 0.5], np.eye(2), d), 1.0, 1.0, laws=Free())) == pytest.approx(1.0)
    p = Problem(px, [0.9, 0.1], np.eye(2), d)
    loss = OneShot(p, math.inf, math.inf, objective=CLASSIFICATION_LOSS, laws=Near("tv", p.py, 0.41))
    identity = np.array([0, 1])
    assert loss.values([Part(1.0, map_coupling(p, identity), identity)])[2] == 0.0
    everywhere = MapTree(MapLeaf(zero, 0.0, zero, np.ones(2), np.zeros((2, 2)), 0.0))
    assert everywhere.bound(loss) <= 0.0 < everywhere.bound(OneShot(p, 9.0, 9.0, objective=CLASSIFICATION_LOSS))


def test_duals_over_cells_are_of_a_given_law() -> None:
    p = problem(0, 3, 2, False)
    dual = CellDual(p.d.min(axis=1), np.zeros(2), 0.0, 0.0)
    assert math.isfinite(dual.bound(OneShot(p, 1.0, 1.0)))
    assert dual.bound(OneShot(p, 1.0, 1.0, laws=Free())) == -math.inf


@pytest.mark.parametrize("kind", ["tv", "kl"])
def test_mixtures_are_drawn_in(kind: str) -> None:
    """With constant maps, by the law of the average."""
    p = Problem([0.5, 0.5], [0.5, 0.5], np.eye(2), [[0.0, 1.0], [1.0, 0.0]])
    near = Near(kind, p.py, 0.01)
    zero, one = np.array([0, 0]), np.array([0, 1])
    point = repair(
        OneShot(p, math.inf, math.inf, laws=near),
        [Part(0.9, map_coupling(p, zero), zero), Part(0.1, map_coupling(p, one), one)],
    )
    assert point is not None and len(point.parts) == 4
    law = sum(part.weight * part.coupling for part in point.parts).sum(axis=0)
    assert near.divergence(law) == pytest.approx(0.01)


def test_a_tree_of_any_law_is_checked_as_one() -> None:
    """ν·py would be 2, and no bound."""
    pytest.importorskip("flint")
    from drcopt.checker import check

    p = Problem([0.5, 0.5], None, np.eye(2), [[1.0, 3.0], [1.0, 3.0]])
    data = proof.to_dict(solve(p, R=0.0, formulation="one-shot").certificate)  # type: ignore[arg-type]
    leaf = {
        "nu": ["1", "3"],
        "rate": "0",
        "conditional": ["0", "0"],
        "posterior": ["0", "0"],
        "slopes": [["0", "0"]] * 2,
    }
    verdict = check(data | {"rate_budget": "inf", "evidence": {"kind": "map-tree", "nodes": [leaf]}})
    assert verdict.lower == pytest.approx(1.0) and verdict.lower <= 1.0 == verdict.upper


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("law", [None, "tv", "kl", "wasserstein", "reverse-chi2", "renyi"])
def test_proofs(seed: int, law: str | None) -> None:
    n, m = [(3, 2), (4, 3), (3, 3)][seed % 3]
    p = problem(seed, n, m, law is None)
    C = p.entropy_s_given_x + 0.6 * (p.entropy_s - p.entropy_s_given_x)
    ground = np.abs(np.subtract.outer(np.arange(m), np.arange(m))) * 1.0 if law == "wasserstein" else None
    perception = None if law is None else Perception(law, 0.05, ground=ground)  # type: ignore[arg-type]
    asked: Any = [(solve, {"R": 0.4, "C": C}), (solve, {"R": 0.0}), (min_rate, {"D": 0.5, "C": C})]
    for sees, (ask, given) in itertools.product(("YU", "Y"), [*asked, (min_classification_loss, {"R": 0.4})]):
        how: Any = {"units": "nats", "formulation": "one-shot", "classifier_sees": sees, "perception": perception}
        how |= {"on_failure": "return", "tol": 1e-4, "time_limit": 5.0}
        solution = ask(p, **given, **how)
        single = ask(p, **given, **how | {"formulation": "single-letter", "classifier_sees": "Y"})
        if sees == "Y" and not math.isnan(solution.value):  # I(X;Y) ≤ H(Y|U)
            assert single.lower_bound <= solution.value + 1e-9
        if solution.status in ("optimal", "feasible"):
            accepted(solution)


@pytest.mark.parametrize("formulation", ["one-shot", "time-sharing"])
def test_parts_use_letters_that_the_target_lacks(formulation: Any) -> None:
    p = Problem([0.5, 0.5], [0.0, 1.0], np.eye(2))
    found = solve(p, R=1.0, perception=("tv", 0.25), formulation=formulation, tol=1e-4)
    assert found.mixture is not None
    average = sum(part.weight * part.coupling for part in found.mixture)
    assert average == pytest.approx(found.coupling, abs=1e-12)
    assert found.output_law[0] == pytest.approx(0.25, abs=1e-3)
