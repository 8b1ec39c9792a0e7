"""Proof files about the loss of the best decision, and what their checker must not believe of them."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import rel_entr

import drcopt
from drcopt.certify import proof
from drcopt.cli import main
from drcopt.errors import InputError

pytest.importorskip("flint")

from honest import written
from test_forbidden_proofs import random_problem, texts

from drcopt.checker import check
from drcopt.checker.balls import ball
from drcopt.checker.decisions import Decisions
from drcopt.checker.evidence import Evidence
from drcopt.checker.problem import Problem

inf = math.inf
COSTS = np.array([[0.0, 1.0, 0.4], [2.0, 0.0, 0.4]])


def random_tree(rng: np.random.Generator, n: int, m: int, A: int, depth: int) -> list[Any]:
    if depth and rng.random() < 0.75:
        split = {"y": int(rng.integers(m)), "a": int(rng.integers(A))}
        return [split, *(node for _ in range(2) for node in random_tree(rng, n, m, A, depth - 1))]
    alpha, beta, w = rng.exponential(size=3) * (rng.random(3) < 0.85)
    leaf = {"f": texts(rng.normal(size=n) * 0.5), "rate": alpha.hex(), "classification": beta.hex()}
    return [leaf | {"distortion": w.hex()}]


class TestHalfSpaces:
    @pytest.mark.parametrize("seed", [*range(25), *(pytest.param(s, marks=pytest.mark.slow) for s in range(25, 400))])
    def test_any_tree_is_below_every_coupling(self, seed: int) -> None:
        """Whatever a file writes, each coupling satisfies some leaf, letters without mass and forbidden pairs too."""
        rng = np.random.default_rng(seed)
        n, m, k, A = (int(v) for v in rng.integers(2, 5, size=4))
        data, W, d, P = random_problem(rng, n, m, k)
        free = bool(rng.random() < 0.5)
        table = rng.random((W.shape[1], A)) * 2.0
        if free and rng.random() < 0.5:  # a letter without mass
            some = np.arange(m) > 0
            if np.isfinite(d[:, some]).any(axis=1).all():
                P[:, 0] = 0.0
                P[P.sum(axis=1) == 0] = np.where(np.isfinite(d), some, False)[P.sum(axis=1) == 0] * 1.0
                P *= np.array([float.fromhex(v) for v in data["px"]])[:, None] / P.sum(axis=1, keepdims=True)
        checked = Problem(data | ({"py": None} if free else {}))
        decisions = Decisions(texts(table), checked)
        reader = Evidence(checked, None, "distortion", "Y", 1e9)
        tree = {"kind": "action-tree", "nodes": random_tree(rng, n, m, A, 5)}
        found = decisions.region(tree, reader, "single-letter", False)
        values = np.array([
            (P * np.where(np.isfinite(d), d, 0.0)).sum(),
            rel_entr(P, np.outer(P.sum(axis=1), P.sum(axis=0))).sum(),
            ((W @ table).T @ P).min(axis=0).sum(),
            0.0,
        ])  # fmt: skip
        assert float(decisions.loss(ball(P))) == pytest.approx(values[2])

        def missed(piece: Any) -> float:
            weights = np.array([float(w) for w in piece.weights])
            return float(piece.least.lower()) - float(weights @ values)

        assert all(missed(piece) <= 1e-12 for piece in found.everywhere)
        assert min(map(missed, found.leaves), default=-inf) <= 1e-12


class TestRoundTrips:
    def test_file_and_command(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        problem, path = drcopt.sources.bernoulli(), tmp_path / "it.json"
        asked = ["--R", "0.5", "--C", "0.28", "--class-loss", "error"]
        assert main(["solve", "bernoulli", *asked, "--verify", "interval", "--certificate", str(path)]) == 0
        capsys.readouterr()
        assert main(["check", str(path), "--problem", "bernoulli"]) == 0
        said = capsys.readouterr().out
        assert "Bayes error given Y ≤ 0.28" in said and "nats" not in said.split("Bayes error")[1].split("E d")[0]
        data = json.loads(path.read_text())
        assert data["drcopt-proof"] == 2 and data["losses"] == texts(1 - np.eye(2))
        assert check(data).fingerprint == problem.fingerprint

    def test_verified_losses_are_in_their_own_unit(self) -> None:
        problem = drcopt.sources.bernoulli()
        least = drcopt.min_classification_loss(problem, R=0.3, class_loss=COSTS, verify="interval")
        assert least.verified and least.proved_lower_bound == pytest.approx(least.lower_bound, abs=1e-9)
        table = drcopt.sweep(problem, R=[0.3, 0.6], C=0.28, class_loss="error", verify="interval")
        assert set(table["verified"]) == {"yes"}

    def test_a_budget_that_every_point_meets_is_met(self) -> None:
        """An action that costs 0.4 whatever the class: the loss is 0.4 exactly, not 0.4 and a rounding."""
        problem = drcopt.Problem([0.3, 0.3, 0.4], [0.5, 0.5], [[0.9, 0.1], [0.4, 0.6], [0.1, 0.9]])
        always = [[0.4, 1.0], [0.4, 1.0]]
        solution = drcopt.solve(problem, R=0.3, C=0.4, class_loss=always, verify="interval")
        assert solution.status == "optimal" and solution.verified and solution.proved_distortion < inf


class TestDistrust:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda data: data.update({"drcopt-proof": 1}), "losses are of version 2"),
            (lambda data: data["losses"][0].__setitem__(0, "-0x1.0p-3"), "is negative"),
            (lambda data: data["losses"].pop(), "a list has 1 values instead of 2"),
            (lambda data: data["losses"][0].append("1"), "differ in length|instead of"),
            (lambda data: data["evidence"]["nodes"][0].update(a=2), "2 is no index below 2"),
            (lambda data: data["evidence"]["nodes"][0].update(at="1"), "has no field 'at'"),
            (lambda data: data["evidence"]["nodes"].pop(), "a tree lacks a leaf"),
        ],
    )  # fmt: skip
    def test_refused(self, change: Any, message: str) -> None:
        data = copy.deepcopy(written("error"))
        assert "a" in data["evidence"]["nodes"][0]
        change(data)
        with pytest.raises(InputError, match=message):
            check(data)

    def test_evidence_about_entropy_proves_nothing(self) -> None:
        """H(S|Y) ≥ H(S|X) and what data processing says are not of errors."""
        data = copy.deepcopy(written("error"))
        entropy = proof.to_dict(drcopt.solve(drcopt.sources.bernoulli(), R=0.3).certificate)["evidence"]
        n = len(data["problem"]["px"])
        for evidence in ({"kind": "data-processing"}, entropy, None):
            data["evidence"] = copy.deepcopy(evidence)
            for leaf in (data["evidence"] or {}).get("nodes", []):
                leaf["f"] = ["0"] * n
            assert check(data).lower < float.fromhex(data["claim"]["lower"])

    def test_a_message_knows_no_splits(self) -> None:
        data = copy.deepcopy(written("error"))
        data |= {"classifier_sees": "message", "point": None}
        data["claim"]["upper"] = "inf"
        assert len(data["evidence"]["nodes"]) > 1 and not check(data).accepted

    def test_a_loss_is_that_of_the_file(self) -> None:
        data = copy.deepcopy(written("error"))
        data["losses"] = texts(np.array([[0.0, 3.0], [3.0, 0.0]]))
        verdict = check(data)
        assert not verdict.accepted and "loss of the best decision" in verdict.reason

    def test_independence_is_no_evidence_at_a_positive_rate(self) -> None:
        data = copy.deepcopy(written("error without rate"))
        assert data["evidence"] == {"kind": "independent"}
        data["rate_budget"] = "1/2"
        data["point"], data["claim"]["upper"] = None, "inf"
        assert not check(data).accepted

    def test_a_forbidden_pair_leaves_no_independence(self) -> None:
        problem = drcopt.Problem([0.5, 0.5], [0.5, 0.5], [[1, 0], [0, 1]], [[0, inf], [1, 0]])
        solution = drcopt.solve(problem, R=0.0, class_loss="error", on_failure="return")
        data = proof.to_dict(solution.certificate)
        assert solution.status == "infeasible" and check(data).accepted
        data["problem"]["d"][0][1] = "1"
        assert not check(data).accepted
