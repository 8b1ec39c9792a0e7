"""Proof files about forbidden pairs, and what their checker must not believe of them."""

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

from honest import Proof, written

from drcopt.checker import check
from drcopt.checker.evidence import Evidence, region
from drcopt.checker.problem import Problem

inf = math.inf
ERASURE = [[0, 1, inf], [inf, 1, 0]]
NOISE = [[0.9, 0.1], [0.1, 0.9]]


def texts(values: Any) -> Any:
    return proof.numbers(values)


def random_problem(rng: np.random.Generator, n: int, m: int, k: int) -> tuple[Proof, Any, Any, Any]:
    """A problem as a file has it, with W, d and a coupling of its marginals that avoids what is forbidden."""
    d = np.where(rng.random((n, m)) < 0.4, inf, rng.random((n, m)))
    d[np.arange(n), rng.integers(m, size=n)] = 0.5
    d[rng.integers(n, size=m), np.arange(m)] = 0.25
    P = np.where(np.isfinite(d), rng.dirichlet(np.full(n * m, 0.5)).reshape(n, m) + 1e-6, 0.0)
    P /= P.sum()
    W = rng.dirichlet(np.full(k, 0.4), size=n)
    W = np.where(W < 0.2, 0.0, W)
    W = W[:, W.any(axis=0)] / W.sum(axis=1, keepdims=True)
    arrays = {"px": P.sum(axis=1), "py": P.sum(axis=0), "ps_given_x": W, "d": d}
    return {name: texts(a) for name, a in arrays.items()}, W, d, P


def random_tree(rng: np.random.Generator, n: int, m: int, k: int, depth: int) -> list[Any]:
    if depth and rng.random() < 0.7:
        split = {"y": int(rng.integers(m)), "s": int(rng.integers(k)), "at": float(rng.random()).hex()}
        return [split, *(node for _ in range(2) for node in random_tree(rng, n, m, k, depth - 1))]

    def cells(depth: int) -> list[Any]:
        if depth and rng.random() < 0.5:
            at = {"s": int(rng.integers(k)), "at": float(rng.random()).hex()}
            return [at, *cells(depth - 1), *cells(depth - 1)]
        return [{"nu": texts(rng.normal(size=k))}]

    alpha, beta = rng.exponential(size=2) * (rng.random(2) < 0.85)
    leaf = {"f": texts(rng.normal(size=n) * 0.5), "rate": alpha.hex(), "classification": beta.hex()}
    leaf |= {"distortion": float(rng.random()).hex(), "convex": float(beta * rng.random()).hex()}
    return [leaf | {"cells": [None if rng.random() < 0.3 else cells(2) for _ in range(m)]}]


class TestHalfSpaces:
    @pytest.mark.parametrize("seed", [*range(25), *(pytest.param(s, marks=pytest.mark.slow) for s in range(25, 400))])
    def test_any_tree_is_below_every_coupling(self, seed: int) -> None:
        """Whatever a file writes, each coupling that avoids what is forbidden satisfies some leaf."""
        rng = np.random.default_rng(seed)
        n, m, k = (int(v) for v in rng.integers(2, 5, size=3))
        data, W, d, P = random_problem(rng, n, m, k)
        k, free = W.shape[1], bool(rng.random() < 0.5)
        checked = Problem(data | ({"py": None} if free else {}))
        evidence = {"kind": "posterior-tree", "nodes": random_tree(rng, n, m, k, 3)}
        T = W.T @ P
        values = np.array([
            (P * np.where(np.isfinite(d), d, 0.0)).sum(),
            rel_entr(P, np.outer(P.sum(axis=1), P.sum(axis=0))).sum(),
            -rel_entr(T, np.broadcast_to(T.sum(axis=0), T.shape)).sum(),
            0.0,
        ])  # fmt: skip
        reader = Evidence(checked, None, "distortion", "Y", 1e9)
        found = region(evidence, reader, "single-letter", False)

        def missed(piece: Any) -> float:
            weights = np.array([float(w) for w in piece.weights])
            return float(piece.least.lower()) - float(weights @ values)

        assert all(missed(piece) <= 1e-12 for piece in found.everywhere)
        assert min(map(missed, found.leaves), default=-inf) <= 1e-12

    def test_sharp_on_the_letters_that_there_are(self) -> None:
        """−α log Σ px exp(f − d)/α over allowed letters only: for the erasure, with f = 0 and α = 1."""
        data = {"px": texts([0.5, 0.5]), "py": None, "ps_given_x": texts(NOISE), "d": texts(ERASURE)}
        leaf = {"f": ["0", "0"], "rate": "1", "classification": "0", "convex": "0", "cells": [None] * 3}
        reader = Evidence(Problem(data), None, "distortion", "Y", 1e9)
        (piece,) = region({"kind": "posterior-tree", "nodes": [leaf]}, reader, "single-letter", False).leaves
        assert float(piece.least.lower()) == pytest.approx(math.log(2), abs=1e-15)


class TestRoundTrips:
    def test_erasure(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        solution = drcopt.solve_drc([0.5, 0.5], None, NOISE, 0.7, None, d=ERASURE, verify="interval")
        assert solution.verified and solution.proved_lower_bound == pytest.approx(0.3, abs=1e-6)
        assert solution.proved_distortion >= 0.3
        path = tmp_path / "it.json"
        solution.certificate.save(path)
        data = json.loads(path.read_text())
        assert data["drcopt-proof"] == 2 and data["problem"]["d"][1][0] == "inf"
        problem = tmp_path / "problem.json"
        drcopt.sources.save(drcopt.Problem([0.5, 0.5], None, NOISE, ERASURE), problem)
        assert main(["check", str(path), "--problem", str(problem)]) == 0
        assert "proved" in capsys.readouterr().out

    def test_about_which_problem(self) -> None:
        data, finite = written("forbidden"), copy.deepcopy(written("forbidden"))
        d = np.array([[float.fromhex(v) for v in row] for row in data["problem"]["d"]])
        px, py, W = (
            np.array([[float.fromhex(v) for v in np.atleast_1d(row)] for row in data["problem"][name]]).squeeze()
            for name in ("px", "py", "ps_given_x")
        )
        assert proof.differences(data, drcopt.Problem(px, py, W, d)) == []
        assert check(data).fingerprint == drcopt.Problem(px, py, W, d).fingerprint
        finite["problem"]["d"] = texts(np.where(np.isinf(d), 9.0, d))
        (said,) = proof.differences(finite, drcopt.Problem(px, py, W, d))
        assert "in the problem" in said and "inf" in said
        (said,) = proof.differences(data, drcopt.Problem(px, py, W, np.where(np.isinf(d), 9.0, d)))
        assert "is inf in the proof" in said

    def test_letters_that_fall_apart(self) -> None:
        """Where px and py agree on a part to rounding only, there is no exact coupling to show: a bound remains."""
        px, d = [0.1, 0.2, 0.7], [[0.5, inf], [0.25, inf], [inf, 0.0]]
        solution = drcopt.solve_drc(px, [0.1 + 0.2, 0.7], [[1], [1], [1]], None, None, d=d)
        data = proof.to_dict(solution.certificate)
        assert data["point"] is None and data["claim"]["upper"] == "inf" and check(data).accepted
        exact = drcopt.solve_drc([0.25, 0.25, 0.5], [0.5, 0.5], [[1], [1], [1]], None, None, d=d)
        assert check(proof.to_dict(exact.certificate)).upper == pytest.approx(0.1875, abs=1e-11)

    def test_messages_of_a_given_law(self) -> None:
        problem = drcopt.Problem([0.5, 0.3, 0.2], [0.4, 0.3, 0.3], [[1, 0], [0.5, 0.5], [0.1, 0.9]],
                                 [[0, 1, inf], [1, 0, 1], [inf, 1, 0]])  # fmt: skip
        solution = drcopt.solve(problem, R=0.6, C=0.7, classifier_sees="message", verify="interval")
        assert solution.verified and solution.proved_distortion < inf


class TestDistrust:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda data: data.update({"drcopt-proof": 1}), "forbidden pairs are of version 2"),
            (lambda data: data.update(formulation="one-shot", evidence=None), "need a finite d"),
            (lambda data: data["problem"]["d"][0].__setitem__(0, "-inf"), "'-inf' is not a finite number"),
            (lambda data: data["problem"]["px"].__setitem__(0, "inf"), "'inf' is not a finite number"),
            (lambda data: data["point"][0]["coupling"][0].__setitem__(1, "0x1.0p-60"), "mass on a forbidden pair"),
            (lambda data: data["point"][0].update(coupling=[["1", "0", "0"]] * 3), "forbidden pair"),
        ],
    )  # fmt: skip
    def test_refused(self, change: Any, message: str) -> None:
        data = copy.deepcopy(written("forbidden"))
        assert data["problem"]["d"][0][1] == "inf"
        change(data)
        with pytest.raises(InputError, match=message):
            check(data)

    def test_surfaces_and_perception(self) -> None:
        data = copy.deepcopy(written("forbidden"))
        data["problem"]["py"] = None
        data |= {"perception": {"kind": "tv", "target": data["problem"]["px"]}, "perception_budget": "0"}
        with pytest.raises(InputError, match="need a finite d"):
            check(data)

    @pytest.mark.parametrize("letters", [[0], [1], [0, 1]])
    def test_letters_that_have_somewhere_to_go(self, letters: list[int]) -> None:
        data = copy.deepcopy(written("stranded"))
        data["evidence"]["letters"] = letters
        stuck = letters == [1]
        assert check(data).accepted == stuck
        data["problem"]["py"] = texts([0.5, 0.5])  # just enough
        assert not check(data).accepted

    def test_of_any_law_some_letter_must_be_reached(self) -> None:
        data = copy.deepcopy(written("stranded"))
        data["problem"]["py"] = None
        assert not check(data).accepted
        data["problem"]["d"][1] = ["inf", "inf"]
        assert check(data).accepted

    def test_a_point_beyond_the_rate_is_not_mixed_with_independence(self) -> None:
        data = copy.deepcopy(written("forbidden"))
        data["rate_budget"] = float(0.5 * float.fromhex(data["rate_budget"])).hex()
        verdict = check(data)
        assert not verdict.accepted and verdict.upper == inf and "may exceed that of I(X;Y)" in verdict.reason

    def test_what_a_point_lacks_fills_no_forbidden_pair(self) -> None:
        """Where d costs nothing a coupling of half the mass must be filled up along its own pairs all the same."""
        problem = drcopt.Problem([0.5, 0.5], [0.4, 0.6], [[1], [1]], [[0, 0], [inf, 0]])  # which leaves one coupling
        data = proof.to_dict(drcopt.min_rate(problem).certificate)
        honest = check(data)
        (part,) = data["point"]
        part["coupling"] = [[(0.5 * float.fromhex(v)).hex() for v in row] for row in part["coupling"]]
        assert honest.accepted and check(data).upper == pytest.approx(honest.upper, abs=1e-12)
