"""Proofs of every kind, as drcopt writes them, for the tests of proof files and of their checker."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.optimize import linprog

import drcopt
from drcopt import Perception, information
from drcopt.bounds import PosteriorTree, Split, among
from drcopt.bounds.cells import CellDual
from drcopt.bounds.maps import MapLeaf, MapTree
from drcopt.certify import proof, proof_of_perception
from drcopt.certify.certificate import Certificate, certify
from drcopt.checker import check
from drcopt.formulations import OneShot, Part
from drcopt.formulations.one_shot import map_coupling

LN2 = math.log(2.0)

Proof = dict[str, Any]


def problem(seed: int, n: int, m: int, k: int) -> drcopt.Problem:
    rng = np.random.default_rng([seed, n, m, k])
    px, py = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    return drcopt.Problem(px, py, rng.dirichlet(np.full(k, 0.5), size=n), rng.random((n, m)))


def between(p: drcopt.Problem, fraction: float) -> float:
    """A loss in bits this fraction of the way from H(S|X) to H(S)."""
    return (p.entropy_s_given_x + fraction * (p.entropy_s - p.entropy_s_given_x)) / LN2


def solved(p: drcopt.Problem, R: float | None, C: float | None, **settings: Any) -> Certificate:
    solution = drcopt.solve(p, R=R, C=C, on_failure="return", time_limit=10, **settings)
    assert isinstance(solution.certificate, Certificate)
    return solution.certificate


def one_shot(p: drcopt.Problem, R: float, C: float, sees: str) -> tuple[Certificate, float]:
    """The linear program over all maps (for "Y" a bound only), budgets in nats."""
    maps = np.array(list(itertools.product(range(p.m), repeat=p.n)))
    couplings = [map_coupling(p, f) for f in maps]
    costs = [p.distortion(P) for P in couplings]
    usage = [[information.entropy(P.sum(axis=0)) for P in couplings], [p.classification_loss(P) for P in couplings]]
    masses = np.array([P.sum(axis=0) for P in couplings]).T
    answer = linprog(costs, A_ub=usage, b_ub=[R, C * (1 - 1e-12)], A_eq=masses, b_eq=p.py, method="highs-ds")
    assert answer.status == 0
    alpha, gamma = np.maximum(-answer.ineqlin.marginals, 0.0)
    leaf = MapLeaf.linear(p, np.array(answer.eqlin.marginals), float(alpha), float(gamma))
    parts = [Part(answer.x[i], couplings[i], maps[i]) for i in np.flatnonzero(answer.x > 0)]
    form = OneShot(p, R, C, sees)
    return certify(form, parts if sees == "YU" else None, MapTree(leaf)), float(answer.fun)


def large_one_shot() -> Certificate:
    """Evidence that does without a minimum over all maps, with multipliers taken from nowhere in particular."""
    p = problem(2, 5, 3, 3)
    rng = np.random.default_rng(0)
    f, nu = p.d.min(axis=1) + 0.05 * rng.normal(size=p.n), 0.05 * rng.normal(size=p.m)
    constants = [np.full(p.n, y) for y in range(p.m)]
    parts = [Part(float(w), map_coupling(p, g), g) for w, g in zip(p.py, constants, strict=True)]
    form = OneShot(p, 0.5 * p.entropy_x, p.entropy_s + 0.01, "YU")
    return certify(form, parts, CellDual(f, nu, 0.05, 0.2))


def bare(form: Any, evidence: Any) -> Certificate:
    """Evidence without a point, as it is."""
    return Certificate(form, None, (evidence,), math.inf, evidence.bound(form))


def shown(form: Any, evidence: Any) -> Proof:
    """The file of a bare bound, with this evidence even where something simpler proves more."""
    return proof.to_dict(bare(form, evidence)) | {"evidence": proof.Writer(form, 0.0).evidence(evidence)}


def least_loss(p: drcopt.Problem, R: float) -> Certificate:
    solution = drcopt.min_classification_loss(p, R=R, time_limit=10)
    assert isinstance(solution.certificate, Certificate)
    return solution.certificate


def certificate_of(solution: drcopt.Solution) -> Certificate:
    assert isinstance(solution.certificate, Certificate)
    return solution.certificate


def least_rate(p: drcopt.Problem, **asked: Any) -> Certificate:
    return certificate_of(drcopt.min_rate(p, **asked, time_limit=10, on_failure="return"))


def least_d(p: drcopt.Problem) -> float:
    """The least E d at any rate."""
    return solved(p, None, None).upper


@functools.cache
def honest() -> dict[str, Certificate]:
    """A certificate of every kind."""
    small, lopsided, square = problem(1, 2, 2, 2), problem(5, 2, 2, 2), problem(0, 3, 4, 3)
    codes = problem(0, 3, 2, 2)
    return {
        "rate only": solved(square, 0.3, None),
        "no budget": solved(square, None, None),
        "zero rate": solved(square, 0.0, None),
        "tree": solved(small, 0.5, between(small, 0.75)),
        "another tree": solved(lopsided, 0.5, between(lopsided, 0.9)),
        "infeasible tree": solved(lopsided, 0.5, between(lopsided, 0.75)),
        "below H(S|X)": solved(small, 0.5, 0.9 * small.entropy_s_given_x / LN2),
        "three classes": solved(problem(1, 3, 3, 3), 0.3, between(problem(1, 3, 3, 3), 0.6)),
        "one-shot": one_shot(codes, 0.4, between(codes, 0.7) * LN2, "YU")[0],
        "one-shot, Y": one_shot(codes, 0.4, between(codes, 0.7) * LN2, "Y")[0],
        "one-shot, large": large_one_shot(),
        "time-sharing": solved(square, 0.3, None, formulation="time-sharing"),
        "least loss": least_loss(small, 0.5),
        "rate": least_rate(small, D=0.5 * (least_d(small) + small.distortion(small.independent))),
        "rate, C": least_rate(lopsided, C=between(lopsided, 0.95), tol=0.02),
        "rate, time-sharing": least_rate(
            square, D=0.2 * least_d(square) + 0.8 * square.distortion(square.independent), formulation="time-sharing"
        ),
        "rate, one-shot": least_rate(
            codes, D=0.5 * (least_d(codes) + codes.distortion(codes.independent)), formulation="one-shot"
        ),
        "loss within D": certificate_of(
            drcopt.min_classification_loss(
                small,
                R=0.5,
                D=0.3 * least_d(small) + 0.7 * small.distortion(small.independent),
                time_limit=10,
                tol=0.02,
                on_failure="return",
            )
        ),
    }


@functools.cache
def about_laws() -> dict[str, Proof]:
    """Files of version 2 of every kind, with how the law of Y is not given."""
    rng = np.random.default_rng(0)
    px, py, d = rng.dirichlet(np.full(3, 2.0)), rng.dirichlet(np.full(3, 2.0)), rng.random((3, 3)) + rng.random(3)
    W = 0.98 * rng.dirichlet([0.5, 0.5], size=3) + 0.01
    given, free = drcopt.Problem(px, py, W, d), drcopt.Problem(px, None, W, d)
    small = drcopt.Problem(px[:2] / px[:2].sum(), [0.4, 0.6], W[:2], d[:2, :2])
    lacking = np.array([0.6, 0.4, 0.0])
    ground = np.abs(np.subtract.outer(np.arange(3), np.arange(3))) * 1.0
    C = between(given, 0.8)
    message, fast = {"classifier_sees": "message"}, {"tol": 1e-3}
    found = {
        "message": solved(given, 0.3, C, **message),
        "free message": solved(free, 0.3, C, **message),
        "tv": solved(given, 0.3, None, perception=("tv", 0.05)),
        "kl message": solved(given, 0.3, C, perception=("kl", 0.02), **message),
        "kl tree": solved(small, 0.5, between(small, 0.85), perception=("kl", 0.02), tol=1e-2),
        "chi2 lacking": solved(given, 0.3, None, perception=Perception("chi2", 0.1, target=lacking), **fast),
        "reverse-chi2": solved(given, 0.0, None, perception=("reverse-chi2", 0.03)),
        "hellinger rate": least_rate(given, D=1.3 * least_d(free), perception=("hellinger", 0.02), **fast),
        "renyi": solved(given, 0.4, None, perception=Perception("renyi", 0.02, order=0.7), **fast),
        "wasserstein": solved(given, 0.3, None, perception=Perception("wasserstein", 0.05, ground=ground), **fast),
        "reverse-kl none": solved(given, 0.05, between(given, 0.1), perception=("reverse-kl", 0.02)),
    }
    files = {name: proof.to_dict(certificate) for name, certificate in found.items()}
    least = drcopt.min_perception(given, R=0.4, D=1.2 * least_d(free), kind="tv", tol=1e-4, on_failure="return")
    return files | {"least tv": proof_of_perception.to_dict(least.certificate)}


LAW_NAMES = [
    "message", "free message", "tv", "kl message", "kl tree", "chi2 lacking", "reverse-chi2", "hellinger rate", "renyi",
    "wasserstein", "reverse-kl none", "least tv",
]  # fmt: skip


@functools.cache
def about_forbidden() -> dict[str, Proof]:
    """Files about a d that forbids pairs, of every kind."""
    rng = np.random.default_rng(7)
    px, py, W = rng.dirichlet(np.full(3, 2.0)), rng.dirichlet(np.full(3, 2.0)), rng.dirichlet(np.ones(2), size=3)
    d = np.where(np.roll(np.eye(3, dtype=bool), 1, axis=1), math.inf, rng.random((3, 3)))
    given, free = drcopt.Problem(px, py, W, d), drcopt.Problem(px, None, W, d)
    sure = drcopt.Problem(px, py, [[1, 0], [1, 0], [0, 1]], d)  # letters without a class
    stuck = drcopt.Problem([0.5, 0.5], [0.6, 0.4], W[:2], [[0, math.inf], [math.inf, 0]])
    message = {"classifier_sees": "message"}
    found = {
        "forbidden": solved(given, 0.8, None),
        "forbidden tree": solved(given, 0.9, 0.79, tol=1e-3),
        "forbidden, sure": solved(sure, 0.9, 0.447, tol=1e-3),
        "forbidden, free": solved(free, 0.9, None),
        "forbidden message": solved(free, 0.9, 0.79, **message),
        "forbidden, shared": solved(given, 0.9, None, formulation="time-sharing"),
        "forbidden rate": least_rate(given, D=0.9 * solved(given, 0.8, None).upper),
        "forbidden, too little rate": solved(given, 0.4, None),
        "stranded": solved(stuck, 0.5, None),
    }
    return {name: proof.to_dict(certificate) for name, certificate in found.items()}


FORBIDDEN_NAMES = [
    "forbidden", "forbidden tree", "forbidden, sure", "forbidden, free", "forbidden message", "forbidden, shared",
    "forbidden rate", "forbidden, too little rate", "stranded",
]  # fmt: skip


@functools.cache
def about_decisions() -> dict[str, Proof]:
    """Files about the loss of the best decision, of every kind."""
    rng = np.random.default_rng(1)
    px, py, W, d = (
        rng.dirichlet(np.ones(3)),
        rng.dirichlet(np.ones(2)),
        rng.dirichlet(np.ones(2), 3),
        rng.random((3, 2)),
    )
    given, free = drcopt.Problem(px, py, W, d), drcopt.Problem(px, None, W, d)
    costs = np.array([[0.0, 1.0, 0.4], [2.0, 0.0, 0.4]])
    least = drcopt.min_classification_loss(given, R=0.4, class_loss="error").classification_loss
    C = 0.5 * (least + 1.0 - float((px @ W).max()))
    error, message = {"class_loss": "error"}, {"classifier_sees": "message"}
    D = 1.05 * drcopt.solve(given, R=0.4, C=C, **error).distortion
    cheap = drcopt.min_classification_loss(given, R=0.4, class_loss=costs)
    barred = drcopt.Problem(px, None, W, [[0.1, 0.4, math.inf], [0.5, 0.0, 0.3], [0.2, math.inf, 0.6]])
    found = {
        "error": drcopt.solve(given, R=0.4, C=C, **error),
        "error, free message": drcopt.solve(free, R=0.4, C=C, **error, **message),
        "error rate": drcopt.min_rate(given, D=D, C=C, **error),
        "error too small": drcopt.solve(given, R=0.05, C=0.8 * least, **error, on_failure="return"),
        "error without rate": drcopt.solve(given, R=0.0, **error),
        "costs": cheap,
        "costs, barred": drcopt.min_classification_loss(barred, R=0.4, D=0.5, class_loss=costs),
    }
    return {name: proof.to_dict(solution.certificate) for name, solution in found.items()}


DECISION_NAMES = [
    "error", "error, free message", "error rate", "error too small", "error without rate", "costs", "costs, barred",
]  # fmt: skip


@functools.cache
def about_classes() -> dict[str, Proof]:
    """Files about several classes, of every kind."""
    px, py, d = [0.5, 0.3, 0.2], [0.4, 0.3, 0.3], [[0, 1, 0.6], [0.7, 0, 0.2], [0.1, 0.8, 0]]
    a, b = [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], [[1, 0], [0, 1], [0.5, 0.5]]
    given = drcopt.Problem(px, py, {"a": a, "even or odd": b}, d)
    rng = np.random.default_rng(6)
    px, py, d = rng.dirichlet(np.full(3, 2.0)), rng.dirichlet(np.full(2, 2.0)), rng.random((3, 2))
    two = {"a": rng.dirichlet(np.full(2, 0.5), 3), "b": rng.dirichlet(np.full(2, 0.5), 3)}
    slack = drcopt.Problem(px, py, two, d)  # a tree for one of them will do
    free = drcopt.Problem(px, None, {"a": a, "b": b}, d)
    W = {"a": [[0.9, 0.1], [0.2, 0.8]], "b": [[0.7, 0.3], [0.4, 0.6]]}
    pair = drcopt.Problem([0.6, 0.4], [0.5, 0.5], W, [[0, 1], [0.7, 0]])
    C = {"a": 0.86, "even or odd": 0.71}
    found = {
        "classes": drcopt.solve(given, R=0.5, C=C),
        "classes, one of them": drcopt.solve(slack, R=0.4, C={"a": 0.456, "b": None}, tol=1e-3),
        "classes rate": drcopt.min_rate(given, D=0.15, C=C),
        "classes too small": drcopt.solve(given, R=0.2, C={"a": 0.3, "even or odd": 0.9}, on_failure="return"),
        "classes and D": drcopt.min_rate(given, D=0.05, C={"a": 0.8, "even or odd": None}, on_failure="return"),
        "classes without rate": drcopt.solve(given, R=0.0),
        "classes least loss": drcopt.min_classification_loss(pair, R=0.5, D=0.36, of="b", C={"a": 0.74}, tol=1e-3),
        "classes, free": drcopt.min_rate(free, D=0.15, C={"a": 0.86, "b": 0.65}, tol=1e-4),
        "classes, message": drcopt.min_rate(
            free, D=0.15, C={"a": 0.82, "b": 0.61}, classifier_sees="message", tol=1e-4
        ),
        "classes, near": drcopt.solve(pair, R=0.5, C={"a": 0.74, "b": 0.945}, perception=("kl", 0.02)),
        "classes least loss, D": drcopt.min_classification_loss(pair, R=0.4, D=0.1, of="a", on_failure="return"),
    }
    files = {name: proof.to_dict(solution.certificate) for name, solution in found.items()}
    joint = found["classes"].certificate
    alone = among(joint.evidence[-1], given.classes).root  # of the one that binds; the other has a weight as well
    leaf = replace(alone, classification=alone.classification + 0.1)
    tree = PosteriorTree(Split(0, 1, 0.2, leaf, Split(2, 2, 0.25, leaf, leaf)))
    return files | {
        "classes tree": proof.to_dict(replace(joint, evidence=(tree,), lower=tree.bound(joint.formulation)))
    }


CLASS_NAMES = [
    "classes tree", "classes", "classes, one of them", "classes rate", "classes too small", "classes and D",
    "classes without rate", "classes least loss", "classes least loss, D", "classes, free",
    "classes, near", "classes, message",
]  # fmt: skip


@functools.cache
def written(name: str) -> Proof:
    if name in CLASS_NAMES:
        return about_classes()[name]
    if name in DECISION_NAMES:
        return about_decisions()[name]
    if name in FORBIDDEN_NAMES:
        return about_forbidden()[name]
    return about_laws()[name] if name in LAW_NAMES else proof.to_dict(honest()[name])


NAMES = [
    "rate only", "no budget", "zero rate", "tree", "another tree", "infeasible tree", "below H(S|X)", "three classes",
    "one-shot", "one-shot, Y", "one-shot, large", "time-sharing", "least loss",
    "rate", "rate, C", "rate, time-sharing", "rate, one-shot", "loss within D",
]  # fmt: skip


@functools.cache
def known(name: str) -> tuple[float, float]:
    verdict = check(written(name))
    return verdict.lower, verdict.upper
