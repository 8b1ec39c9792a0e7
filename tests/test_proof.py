"""Proof files: honest ones are accepted, nothing false is, and two other arithmetics agree."""

from __future__ import annotations

import ast
import functools
import itertools
import json
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from scipy.optimize import linprog, minimize_scalar
from scipy.special import xlogy
from strategies import FAMILIES, make
from tampering import TAMPERS, tampered

import drcopt
from drcopt import information
from drcopt.bounds import Leaf, PosteriorTree
from drcopt.bounds.cells import CellDual
from drcopt.bounds.maps import MapLeaf, MapSplit, MapTree, posterior_box
from drcopt.certify import proof
from drcopt.certify.certificate import Certificate, certify
from drcopt.errors import InputError, MissingExtraError
from drcopt.formulations import OneShot, Part, SingleLetter, TimeSharing
from drcopt.formulations.one_shot import map_coupling
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, QUANTITIES, Quantity
from drcopt.questions import RATE as RATE_

pytest.importorskip("flint")

from drcopt import checker
from drcopt.checker import balls, check, evidence, schema
from drcopt.checker.evidence import region
from drcopt.checker.problem import tight
from drcopt.checker.question import BUDGETS, RATE, Question

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
    return proof.to_dict(bare(form, evidence)) | {"evidence": proof._Writer(form, 0.0).evidence(evidence)}


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
def written(name: str) -> Proof:
    return proof.to_dict(honest()[name])


NAMES = [
    "rate only", "no budget", "zero rate", "tree", "another tree", "infeasible tree", "below H(S|X)", "three classes",
    "one-shot", "one-shot, Y", "one-shot, large", "time-sharing", "least loss",
    "rate", "rate, C", "rate, time-sharing", "rate, one-shot", "loss within D",
]  # fmt: skip


class TestHonest:
    @pytest.mark.parametrize("name", NAMES)
    def test_is_accepted(self, name: str) -> None:
        certificate, verdict = honest()[name], check(written(name))
        assert verdict.accepted, verdict.reason
        assert not verdict.reason
        if certificate.infeasible:
            assert verdict.lower == verdict.upper == math.inf
            return
        size = max(1.0, float(certificate.formulation.problem.d.max()))
        assert verdict.lower >= certificate.lower - 2e-12 * size
        assert verdict.upper == pytest.approx(certificate.upper, abs=1e-12 * size)
        assert proof.interval(certificate) == (verdict.lower, verdict.upper)

    @pytest.mark.parametrize("family", FAMILIES)
    @pytest.mark.parametrize("R", [0.0, 0.2, None])
    def test_of_every_family(self, family: str, R: float | None) -> None:
        p = make(family, 7, 3, 3, 2)
        certificate = solved(p, R, None)
        verdict = check(proof.to_dict(certificate))
        assert verdict.accepted, verdict.reason
        assert verdict.lower <= verdict.upper
        assert verdict.upper - verdict.lower <= 1e-9 * float(p.d.max()) + 1e-300

    def test_survives_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "point.json"
        proof.save(honest()["tree"], path)
        assert check(path) == check(written("tree"))
        assert json.loads(path.read_text()) == written("tree")
        assert list(tmp_path.iterdir()) == [path]

    def test_is_written_nowhere_but_to_a_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="path must name a regular file"):
            proof.save(honest()["tree"], tmp_path)

    def test_numbers_may_be_fractions(self) -> None:
        """A source given as 1/3, 2/3 exactly, no double being either."""
        third = ["1/3", "2/3"]
        data = {
            "drcopt-proof": 1,
            "problem": {"px": third, "py": third, "ps_given_x": [["1"], ["1"]], "d": [["0", "1"], ["1", "0"]]},
            "formulation": "single-letter",
            "classifier_sees": "Y",
            "rate_budget": "inf",
            "classification_budget": "inf",
            "objective": "distortion",
            "claim": {"lower": "0", "upper": "0"},
            "point": [{"weight": "1", "coupling": [["1/3", "0"], ["0", "2/3"]]}],
            "evidence": None,
        }
        verdict = check(data)
        assert verdict.accepted
        assert (verdict.lower, verdict.upper) == (0.0, 0.0)
        data["claim"] = {"lower": "1/1000000", "upper": "inf"}
        assert not check(data).accepted


class TestWords:
    def test_of_a_bound(self) -> None:
        verdict = check(written("tree"))
        name, bound, point, both = verdict.statements
        assert name == f"problem {honest()['tree'].formulation.problem.fingerprint}: 2 letters of X, 2 of Y, 2 classes"
        assert bound.startswith("proved: every coupling with I(X;Y) ≤ 0.346573590279 nats (0.5 bits) and ")
        assert point.startswith("the file's point has E d ≤ ")
        budgets = [written("tree")[f"{name}_budget"] for name in ("rate", "classification")]
        said = "rate_budget {} and classification_budget {} exactly".format(*budgets)
        assert both.startswith(f"so the least E d at {said} lies in [")
        low, high = (float(v) for v in both.split("[")[1].rstrip("]").split(","))
        # Rounded outward, and by no more than twelve digits ask for.
        assert low <= verdict.lower <= verdict.upper <= high
        assert high - low <= verdict.upper - verdict.lower + 1e-11

    def test_of_infeasibility(self) -> None:
        _, least, conclusion = check(written("infeasible tree")).statements
        assert least.startswith("proved: every coupling with I(X;Y) ≤ 0.346573590279 nats (0.5 bits) has ")
        assert conclusion.startswith("so none has H(S|Y) ≤ ")
        assert float(least.split("≥ ")[1].split()[0]) > float(conclusion.split("≤ ")[1].split()[0])

    def test_of_codes(self) -> None:
        assert "every mixture of maps with H(Y|U) ≤ " in check(written("one-shot")).statements[1]
        assert " and H(S|Y,U) ≤ " in check(written("one-shot")).statements[1]
        assert "every mixture of couplings with I(X;Y|Q) ≤ " in check(written("time-sharing")).statements[1]


class TestStrictness:
    """C = H(S) with a useless channel: met exactly in the reals, missed by 1e-17 as a double half of the time."""

    @staticmethod
    def edge() -> Proof:
        for seed in range(50):
            p = make("useless", seed, 3, 3, 2)
            data = proof.to_dict(solved(p, 0.2, p.entropy_s / LN2))
            if math.isinf(check(data).upper):
                return data
        raise AssertionError("no double H(S) fell below the true one")

    def test_an_excess_is_not_forgiven(self) -> None:
        data = self.edge()
        for admitted in ("0", (1e-13).hex()):
            data["claim"]["excess"] = admitted
            verdict = check(data)
            assert not verdict.accepted
            assert verdict.upper == math.inf
            assert verdict.reason.startswith(
                "the point is not proved to meet the budgets: it may exceed that of H(S|Y) by "
            )
            assert verdict.statements[3].startswith("it exceeds a budget: with I(X;Y) ≤ 0.13862943611")
            met = float(verdict.statements[3].split("H(S|Y) ≤ ")[1].split()[0])
            assert met >= float.fromhex(data["classification_budget"])
        assert check(data, tolerance=1e-14).accepted

    def test_no_tolerance_is_added_to_bounds(self) -> None:
        data = json.loads(json.dumps(written("rate only")))
        verdict = check(data)
        for name, end, beyond in (("lower", verdict.lower, math.inf), ("upper", verdict.upper, -math.inf)):
            kept = data["claim"][name]
            data["claim"][name] = end.hex()
            assert check(data).accepted
            data["claim"][name] = math.nextafter(end, beyond).hex()
            assert not check(data).accepted
            assert check(data, tolerance=1e-12).accepted
            data["claim"][name] = kept

    @pytest.mark.parametrize(("gap", "short", "claimed"), [(0.1, 5e-5, True), (0.1, 2e-4, False), (0.0, 1e-8, True)])
    def test_where_cells_fall_short(
        self, gap: float, short: float, claimed: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By no more than shows beside the gap, what they prove is what is claimed; beyond that the check must fail."""
        certificate = honest()["tree"]
        certificate = replace(certificate, upper=certificate.lower + gap)
        real = proof._Writer.evidence

        def evidence(self: Any, found: Any) -> Any:
            data, self.reached = real(self, found), certificate.lower - short
            return data

        monkeypatch.setattr(proof._Writer, "evidence", evidence)
        lower = float.fromhex(proof.to_dict(certificate)["claim"]["lower"])
        assert lower == pytest.approx(certificate.lower - short * claimed, abs=1e-11)


class TestVersionOne:
    """Files that drcopt wrote before the checker was split up."""

    @pytest.mark.parametrize("path", sorted((Path(__file__).parent / "proofs").glob("*.json")), ids=lambda p: p.stem)
    def test_stays_readable(self, path: Path) -> None:
        verdict = check(path)
        assert verdict.accepted, verdict.reason

    def test_the_specification_lists_the_same_fields(self) -> None:
        text = (Path(__file__).parents[1] / "docs" / "proof-format.md").read_text(encoding="utf-8")
        assert text.startswith(f"# The proof file, version {schema.VERSION}")
        found = {}
        for section in text.split("\n### ")[1:]:
            kind, _, rest = section.partition("\n")
            rows = re.findall(r"^\| `([^`]+)`( \(optional\))? \|", rest.partition("\n## ")[0], flags=re.MULTILINE)
            found[kind] = {name for name, optional in rows if not optional}, {name for name, o in rows if o}
        assert found == {
            kind: (set(required.split()), set(optional.split()))
            for kind, (required, optional) in schema.OBJECTS.items()
        }


class TestExactly:
    """What the format does not allow is refused, not read as something near."""

    @pytest.mark.parametrize(
        "text",
        [
            "0x1.00000000000001p+0", "0x1.0000000000000fp+0", "0x1p-1080", "0x1p-1074", "0x1.8p-1023", "0x1p+1024",
            "0x1P0", "0X1p0", "0x1.p0", "0x2p0", "1.5", "1e5", "0.75", "+1", " 1", "1 ", "1\n", "١", "1_0", "1/0",
            "1/-2", "--1", "", "0x", "1" * 21, "1/" + "3" * 21, "0x1p+99999", "inf", "nan", "True",
        ],
    )  # fmt: skip
    def test_number(self, text: str) -> None:
        with pytest.raises(ValueError, match="not a finite number written exactly"):
            schema.number(text)

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("0x1.fffffffffffffp+1023", Fraction(1.7976931348623157e308)), ("-0x0.0p+0", Fraction(0)),
            ("0x0.0000000000001p-1022", Fraction(5e-324)), ("0x1.8p-1", Fraction(3, 4)), ("-3/4", Fraction(-3, 4)),
            ("0x1p0", Fraction(1)), ("12", Fraction(12)),
        ],
    )  # fmt: skip
    def test_number_that_is_one(self, text: str, value: Fraction) -> None:
        found = schema.number(text)
        assert Fraction(int(found.p), int(found.q)) == value

    @pytest.mark.parametrize("x", [0.1, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1 / 3, 0.0])
    def test_every_double_is_written_as_one(self, x: float) -> None:
        found = schema.number(proof._number(x))
        assert Fraction(int(found.p), int(found.q)) == Fraction(x)

    CHANGES: tuple[tuple[str, Any, str], ...] = (
        ("a field nobody knows", lambda d: d.update(note="x"), "a proof has no field 'note'"),
        ("in the problem", lambda d: d["problem"].update(pz=[]), "a problem has no field 'pz'"),
        ("in a leaf", lambda d: d["evidence"]["nodes"][-1].update(g=[]), "leaf of a posterior tree has no field 'g'"),
        ("a claim of both kinds", lambda d: d["claim"].update(infeasible=True), "has no field 'lower'"),
        ("true for 1", lambda d: d.update({"drcopt-proof": True}), "its version is True"),
        ("1.0 for 1", lambda d: d.update({"drcopt-proof": 1.0}), "its version is 1.0"),
        ("a list for a text", lambda d: d.update(objective=["distortion"]), "there is no objective"),
        ("a short row", lambda d: d["problem"]["d"][0].pop(), "a list has 1 values instead of 2"),
        ("a short f", lambda d: d["evidence"]["nodes"][-1].update(f=["0"]), "a list has 1 values instead of 2"),
        ("one cell for all", lambda d: d["evidence"]["nodes"][-1].update(cells=[None]), "a list has 1 values"),
        ("a number for a list", lambda d: d["problem"].update(px="1"), "'1' is no list"),
        ("an empty list", lambda d: d["problem"].update(px=[]), "a list has 0 values"),
        ("no mass", lambda d: d["problem"].update(px=["0", "0"]), "probabilities sum to 0"),
        ("a letter without mass", lambda d: d["problem"].update(px=["1", "0"]), "a letter lacks mass"),
        ("two parts", lambda d: d["point"].append(d["point"][0]), "a list has 2 values instead of 1"),
        ("a weight of 0", lambda d: d["point"][0].update(weight="0"), "probabilities sum to 0"),
        ("an excess below 0", lambda d: d["claim"].update(excess="-1"), "is negative"),
        ("half a tree", lambda d: d["evidence"]["nodes"].pop(), "a tree lacks a leaf"),
        ("more than a tree", lambda d: d["evidence"]["nodes"].append({}), "a tree goes on after its last leaf"),
        ("another kind", lambda d: d["evidence"].update(kind="oracle"), "no evidence of kind 'oracle'"),
        ("no kind", lambda d: d.update(evidence=["oracle"]), "no evidence of kind"),
        ("a budget that is no number", lambda d: d.update(distortion_budget="-inf"), "'-inf' is not a finite number"),
        ("feasible", lambda d: d.update(claim={"infeasible": False}), '"infeasible" is true or absent'),
        ("infeasible with a point", lambda d: d.update(claim={"infeasible": True}), "what is infeasible has no point"),
    )

    @pytest.mark.parametrize(("change", "message"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
    def test_schema(self, change: Any, message: str) -> None:
        data = json.loads(json.dumps(written("tree")))
        change(data)
        with pytest.raises(InputError) as caught:
            check(data)
        assert message in str(caught.value)

    @pytest.mark.parametrize("change", [lambda f: f[:1], lambda f: [f[0], True], lambda f: [0.0] * 3, lambda f: 0])
    def test_map(self, change: Any) -> None:
        data = json.loads(json.dumps(written("one-shot")))
        data["point"][0]["map"] = change(data["point"][0]["map"])
        with pytest.raises(InputError):
            check(data)

    def test_index_is_no_truth_value(self) -> None:
        data = json.loads(json.dumps(written("infeasible tree")))
        split = next(node for node in data["evidence"]["nodes"] if "at" in node)
        split["s"] = bool(split["s"])
        with pytest.raises(InputError, match="is no index below 2"):
            check(data)

    @pytest.mark.parametrize("text", ['"formulation":"one-shot","formulation":', '"rate_budget":"inf","rate_budget":'])
    def test_a_key_twice(self, text: str, tmp_path: Path) -> None:
        whole, key = json.dumps(written("tree"), separators=(",", ":")), text.partition(":")[0]
        (tmp_path / "twice.json").write_text(whole.replace(key + ":", text, 1))
        with pytest.raises(InputError, match="appears twice in one object"):
            check(tmp_path / "twice.json")

    def test_a_byte_order_mark_is_no_matter(self, tmp_path: Path) -> None:
        (tmp_path / "bom.json").write_text("\ufeff" + json.dumps(written("tree")), encoding="utf-8")
        assert check(tmp_path / "bom.json").accepted


class TestTrueAsPrinted:
    """A budget that a bound supposes is never printed larger than it is."""

    def test_a_slack_of_a_rounded_budget(self) -> None:
        """With R below H(X) = ln 2 by 2e-13, E d ≥ 2.4e-15; at 1 bit, which is R to twelve digits, it is 0."""
        p = drcopt.Problem([0.5, 0.5], [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]])
        R = LN2 - 2e-13
        alpha = 1.0 / 35.0
        tree = PosteriorTree(Leaf(np.full(2, alpha * (LN2 - math.log1p(math.exp(-35.0)))), alpha, 0.0))
        verdict = check(proof.to_dict(bare(SingleLetter(p, R, math.inf), tree)))
        assert verdict.lower > 2e-15
        given = verdict.statements[1].split("I(X;Y) ≤ ")[1]
        nats, bits = float(given.split()[0]), float(given.split("(")[1].split()[0])
        assert nats <= R and bits <= R / LN2 < 1.0

    @pytest.mark.parametrize("name", NAMES)
    def test_every_number(self, name: str) -> None:
        data = written(name)
        verdict = check(data)
        budgets = [float.fromhex(data[b]) for b in ("rate_budget", "classification_budget") if data[b] != "inf"]
        given, _, bound = verdict.statements[1].partition(" has ")
        for text, budget in zip(re.findall(r"≤ (\S+) nats", given), budgets, strict=False):
            assert budget * (1 - 1e-11) <= float(text) <= budget
        shown = float(bound.split("≥ ")[1].split()[0])
        assert shown <= verdict.lower
        if data["claim"].get("infeasible"):
            assert float(verdict.statements[2].split("≤ ")[1].split()[0]) <= budgets[-1] < shown


class TestHalfSpaces:
    """One tree proves bounds on each of the three quantities."""

    @pytest.mark.parametrize("name", ["tree", "another tree"])
    def test_the_least_rate_from_a_bound_on_the_distortion(self, name: str) -> None:
        """D(R, C) = D turned round: the least rate at (D, C) is R where the curve falls."""
        data = json.loads(json.dumps(written("rate only" if name == "tree" else "time-sharing")))
        low, high = known("rate only")
        R = float.fromhex(data["rate_budget"])
        data |= {"objective": "rate", "distortion_budget": high.hex(), "rate_budget": "inf"}
        data["claim"] = {"lower": "0", "upper": "inf"}
        for leaf in data["evidence"]["nodes"]:
            leaf["distortion"] = "1"
        verdict = check(data)
        assert verdict.accepted, verdict.reason
        assert R - 1e-9 <= verdict.lower <= R
        assert verdict.statements[1].startswith("proved: every ")
        assert f"with E d ≤ {high:.6f}"[:-1] in verdict.statements[1]
        data["point"] = written("rate only")["point"]
        data["distortion_budget"] = (high + 1e-9).hex()
        verdict = check(data)
        assert verdict.accepted, verdict.reason
        assert verdict.lower <= R + 1e-9 and R - 1e-6 <= verdict.upper <= R + 1e-12
        data["distortion_budget"] = (high - 1e-3).hex()
        verdict = check(data)
        assert not verdict.accepted and "it may exceed that of E d by 0.001" in verdict.reason
        data["evidence"]["nodes"][0]["distortion"] = "-1"
        with pytest.raises(InputError, match="is negative"):
            check(data)

    def test_a_rate_out_of_reach(self) -> None:
        """The least rate at D is R: less is infeasible, and so is a distortion below D(R) at R."""
        data = json.loads(json.dumps(written("rate only")))
        low, _ = known("rate only")
        for leaf in data["evidence"]["nodes"]:
            leaf["distortion"] = "1"
        R = float.fromhex(data["rate_budget"])
        data |= {"claim": {"infeasible": True}, "point": None, "distortion_budget": (low - 1e-9).hex()}
        for objective in ("rate", "distortion"):
            verdict = check(data | {"objective": objective})
            assert verdict.accepted, (objective, verdict.reason)
            assert verdict.lower == verdict.upper == math.inf
        data["distortion_budget"] = (low + 1e-9).hex()
        for objective in ("rate", "distortion"):
            assert not check(data | {"objective": objective}).accepted
        assert not check(data | {"objective": "rate", "rate_budget": (R + 1e-9).hex()}).accepted

    def test_cheap_bounds_need_no_evidence(self) -> None:
        p = honest()["tree"].formulation.problem
        data = written("tree") | {"evidence": None, "point": None, "claim": {"lower": "-inf", "upper": "inf"}}
        loss = check(data | {"objective": "classification-loss", "rate_budget": (0.01).hex()})
        assert loss.lower == pytest.approx(max(p.entropy_s - 0.01, p.entropy_s_given_x), abs=1e-12)
        rate = check(data | {"objective": "rate"})
        C = float.fromhex(data["classification_budget"])
        assert rate.lower == pytest.approx(max(p.entropy_s - C, 0.0), abs=1e-12)
        distortion = check(data)
        assert distortion.lower == pytest.approx(max(p.py @ p.d.min(axis=0), p.px @ p.d.min(axis=1)), abs=1e-12)


class TestUnreadable:
    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("drcopt-proof", 2, "its version is 2, not 1"),
            ("formulation", "two-letter", "no formulation 'two-letter'"),
            ("classifier_sees", "YU", "whose classifier sees 'YU'"),
            ("rate_budget", "nan", "'nan' is not a finite number written exactly, as a string"),
            ("rate_budget", 0.5, "0.5 is not a finite number written exactly, as a string"),
            ("rate_budget", "-0x1.0p-1", "a probability, budget or multiplier is negative"),
            ("claim", None, "a claim of bounds is an object, not a NoneType"),
        ],
    )
    def test_field(self, key: str, value: Any, message: str) -> None:
        with pytest.raises(InputError, match=r"a proof file must follow docs/proof-format\.md") as caught:
            check(written("rate only") | {key: value})
        assert message in str(caught.value)

    def test_missing_field(self) -> None:
        data = dict(written("rate only"))
        del data["evidence"]
        with pytest.raises(InputError, match="a proof lacks 'evidence'"):
            check(data)

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", "\x00", "[" * 100_000])
    def test_text(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(InputError):
            check(tmp_path / "bad.json")

    def test_absent(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="No such file"):
            check(tmp_path / "absent.json")

    def test_letters_without_mass(self) -> None:
        data = json.loads(json.dumps(written("rate only")))
        data["problem"]["px"][:2] = ["1", "0"]
        with pytest.raises(InputError):
            check(data)


class TestCommand:
    @staticmethod
    def run(*arguments: str) -> Any:
        from drcopt.cli.check import check as command

        return click.Command.main(command, list(arguments), standalone_mode=False)

    def test_exit_codes(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "point.json"
        proof.save(honest()["tree"], path)
        assert self.run(str(path)) == 0
        printed = capsys.readouterr().out.splitlines()
        assert printed == [*check(path).statements, "accepted"]
        data = json.loads(path.read_text())
        data["claim"]["lower"] = (1.0).hex()
        path.write_text(json.dumps(data))
        assert self.run(str(path)) == 1
        assert capsys.readouterr().err.startswith("rejected: the lower bound claimed is better by ")
        with pytest.raises(InputError):
            self.run(str(tmp_path / "absent.json"))

    def test_whose_problem_it_is(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Compared entry by entry, on letters with mass."""
        p = honest()["tree"].formulation.problem
        path, mine = tmp_path / "point.json", tmp_path / "mine.npz"
        padded = drcopt.Problem([*p.px[:1], 0.0, *p.px[1:]], p.py, p.ps_given_x[[0, 0, 1]], p.d[[0, 1, 1]])
        proof.save(solved(padded, 0.5, between(p, 0.75)), path)
        drcopt.sources.save(padded, mine)
        assert self.run(str(path), "--problem", str(mine)) == 0
        assert capsys.readouterr().out.splitlines()[-2:] == [
            f"its arrays are those of {mine}, to the last digit",
            "accepted",
        ]
        d = np.array(padded.d)
        d[2, 1] = np.nextafter(d[2, 1], 2)
        drcopt.sources.save(drcopt.Problem(padded.px, padded.py, padded.ps_given_x, d), mine)
        assert self.run(str(path), "--problem", str(mine)) == 1
        captured = capsys.readouterr()
        assert captured.err.startswith(f"rejected: the proof is not about {mine}: d[1, 1] is 0x1.")
        assert "accepted" not in captured.out
        assert self.run(str(path), "--problem", "bernoulli") == 1
        d[2, 1] = 5.0
        drcopt.sources.save(drcopt.Problem(padded.px, padded.py, padded.ps_given_x[:, [0, 1, 1]] / [1, 2, 2], d), mine)
        assert self.run(str(path), "--problem", str(mine)) == 1
        assert "ps_given_x has shape (2, 2) in the proof and (2, 3) in the problem" in capsys.readouterr().err

    def test_the_fingerprint_is_the_problems(self) -> None:
        for name in ("tree", "rate only", "one-shot"):
            assert check(written(name)).fingerprint == honest()[name].formulation.problem.fingerprint

    def test_operations(self, tmp_path: Path) -> None:
        path = tmp_path / "point.json"
        proof.save(honest()["tree"], path)
        with pytest.raises(InputError, match="asks for more operations than are allowed"):
            self.run(str(path), "--operations", "10")

    def test_an_infeasible_file_proves_the_least_loss_known(self, tmp_path: Path) -> None:
        from drcopt.cli import main

        path = tmp_path / "edge.json"
        assert main(["solve", "bernoulli", "--R", "0.3", "--C", "0.8", "--certificate", str(path)]) == 1
        edge = drcopt.min_classification_loss(drcopt.sources.bernoulli(), R=0.3)
        least = float(check(path).statements[1].split("H(S|Y) ≥ ")[1].split("(")[1].split()[0])
        assert edge.lower_bound - 1e-6 <= least <= edge.classification_loss
        assert least > 0.85


class TestTooManyMaps:
    """Where a minimum over all maps is out of the checker's reach it says so, and proves what it can without."""

    @pytest.fixture(autouse=True)
    def _none_in_reach(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(evidence, "TABLE", 0)

    @pytest.mark.parametrize("name", ["one-shot", "one-shot, Y"])
    def test_the_trivial_bound_is_left(self, name: str) -> None:
        certificate, verdict = honest()[name], check(written(name))
        p = certificate.formulation.problem
        assert not verdict.accepted
        assert verdict.reason.startswith("the lower bound claimed is better by ")
        assert verdict.reason.endswith("; a minimum over 2^3 maps is out of reach")
        assert p.d.min(axis=0) @ p.py - 1e-12 <= verdict.lower <= certificate.lower
        assert verdict.upper == pytest.approx(certificate.upper)
        weak = written(name) | {"claim": written(name)["claim"] | {"lower": "0"}}
        assert check(weak).accepted and not check(weak).reason

    def test_nor_is_a_loss_shown_out_of_reach(self) -> None:
        p = problem(0, 3, 2, 2)
        leaf = MapLeaf.linear(p, np.zeros(p.m), 0.0, 1.0)
        budget = 0.5 * (p.entropy_s_given_x + p.entropy_s)
        on_the_loss = MapLeaf.linear(p, np.zeros(p.m), 0.0, 1.0, 0.0)
        certificate = certify(OneShot(p, 0.5, budget, "YU"), None, MapTree(leaf), MapTree(on_the_loss))
        data = proof.to_dict(certificate)
        verdict = check(data | {"claim": {"infeasible": True}, "point": None})
        assert not verdict.accepted
        assert "does not exceed its budget" in verdict.reason

    def test_without_rates_and_losses_it_is_not_needed(self) -> None:
        certificate = solved(problem(3, 4, 3, 2), None, None, formulation="one-shot")
        verdict = check(proof.to_dict(certificate))
        assert verdict.accepted, verdict.reason
        assert verdict.lower >= certificate.upper - 1e-11


class TestIndependence:
    def test_shares_no_code_with_what_it_checks(self) -> None:
        for path in Path(checker.__file__).parent.glob("*.py"):
            source = path.read_text(encoding="utf-8")
            assert len(source.splitlines()) <= 400
            assert max(map(len, source.splitlines())) <= 100
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.ImportFrom):
                    own = str(node.module).startswith("drcopt.checker")
                    assert not str(node.module).startswith("drcopt") or own or node.module == "drcopt.errors"
                if isinstance(node, ast.Import):
                    assert not any(alias.name.startswith("drcopt") for alias in node.names)
                if isinstance(node, ast.IfExp):
                    assert not any(isinstance(part, ast.IfExp) for part in (node.body, node.test, node.orelse))

    def test_needs_an_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "flint", None)
        with pytest.raises(MissingExtraError, match=r"pip install 'drcopt\[proof\]'"):
            check(written("rate only"))
        with pytest.raises(MissingExtraError):
            proof.interval(honest()["rate only"])

    def test_leaves_the_precision_as_it_was(self) -> None:
        import flint

        before = flint.ctx.prec
        check(written("rate only"))
        assert flint.ctx.prec == before


class Judge:
    """The parts of a check of one proof, to be called in balls."""

    def __init__(self, data: Proof) -> None:
        self.data, self.question = data, Question(data, 2.0**30)
        self.problem, self.evidence = self.question.problem, self.question.evidence

    def lower(self, found: Any) -> Any:
        """A ball whose lower end is what evidence proves of the objective."""
        least = self.question.least(self.region(found))
        return balls.arb("inf") if least is None else least

    def region(self, found: Any) -> Any:
        still = self.question.aim != RATE and self.question.budgets[RATE] == 0
        return region(found, self.evidence, self.question.kind, still)

    def bound(self, leaf: Any, boxes: Any) -> Any:
        """Of the objective at one leaf."""
        piece = (self.evidence.map_leaf if "nu" in leaf else self.evidence.posterior_leaf)(leaf, boxes)
        return self.question.bound(piece)


@pytest.fixture
def judge() -> Iterator[Any]:
    """Builds a judge of a proof; its methods may then be called, in balls."""
    import flint

    with flint.ctx.workprec(balls.BITS):
        yield Judge


class TestParts:
    """What the checker is made of, against other ways to compute it."""

    @pytest.mark.parametrize("seed", range(6))
    def test_least_map(self, judge: Any, seed: int) -> None:
        p = problem(seed, 4, 1 + seed % 3, 2)
        rng = np.random.default_rng(seed)
        linear, alpha, gamma = rng.normal(size=(p.n, p.m)), float(rng.random()), rng.random(p.m)
        data = written("one-shot") | {"problem": proof.to_dict(solved(p, 0.0, None))["problem"]}
        value = judge(data).evidence.least_map(linear, alpha, gamma)
        best = math.inf
        for f in itertools.product(range(p.m), repeat=p.n):
            P = map_coupling(p, np.array(f))
            joint = p.ps_given_x.T @ P
            losses = [information.conditional_entropy(joint[:, [y]]) for y in range(p.m)]
            entropy = alpha * information.entropy(P.sum(axis=0)) + float(gamma @ losses)
            best = min(best, float(linear[range(p.n), f].sum()) + entropy)
        assert 0 <= best - float(value) <= 1e-12

    def test_min_plus_in_pieces(self) -> None:
        rng = np.random.default_rng(0)
        f, g = rng.random((2, 1, 2**10))
        h = evidence.min_plus(f, g)[0]
        for S in rng.integers(2**10, size=40):
            subsets = [A for A in range(S + 1) if A & ~S == 0]
            assert h[S] == min(f[0, S ^ A] + g[0, A] for A in subsets)

    @pytest.mark.parametrize("seed", range(8))
    def test_contraction(self, judge: Any, seed: int) -> None:
        p = problem(seed, 4, 2, 2 + seed % 3)
        eta = float(judge(proof.to_dict(solved(p, 0.0, None))).problem.contraction)
        assert p.contraction - 2e-9 <= eta <= p.contraction + 1e-6
        rng = np.random.default_rng(seed)
        for _ in range(200):
            a, b = rng.dirichlet(np.full(p.n, 0.3), size=2)
            W = p.ps_given_x
            assert information.divergence(a @ W, b @ W) <= eta * information.divergence(a, b) + 1e-12

    @pytest.mark.parametrize("seed", range(4))
    def test_reach(self, judge: Any, seed: int) -> None:
        """The least and greatest class posterior of a letter are linear programs."""
        p = problem(seed, 4, 3, 3)
        ours = judge(proof.to_dict(solved(p, 0.0, None))).problem
        for y, s in itertools.product(range(p.m), range(p.k)):
            ends = ours.reach(y)[s]
            for sign, end in zip((1, -1), ends, strict=True):
                least = linprog(
                    sign * p.ps_given_x[:, s], A_eq=[np.ones(p.n)], b_eq=[1.0], bounds=[(0, q / p.py[y]) for q in p.px]
                )
                assert float(end) == pytest.approx(sign * least.fun, abs=1e-9)

    def test_onto_marginals_is_exact(self, judge: Any) -> None:
        rng = np.random.default_rng(0)
        ours = judge(written("rate only")).problem
        for scale in (1.0, 1e-3):
            P = scale * rng.random((ours.n, ours.m))
            Q = ours.onto_marginals(schema.array([[float(v).hex() for v in row] for row in P], None, None))
            assert (Q.sum(axis=0) == ours.py).all()
            assert (Q.sum(axis=1) == ours.px).all()
            assert (Q >= 0).all()

    @pytest.mark.parametrize("seed", range(6))
    @pytest.mark.parametrize("objective", QUANTITIES, ids=lambda q: q.name)
    def test_map_trees(self, judge: Any, seed: int, objective: Quantity) -> None:
        """Random multipliers on a random tree: the checker's bound is the package's, and no more than is true."""
        p = problem(seed, 3, 3, 2)
        rng = np.random.default_rng(seed)
        R, C = 0.5 * p.entropy_x, between(p, 0.8) * LN2
        box = posterior_box(p)

        def leaf() -> MapLeaf:
            shares, slopes = rng.dirichlet(np.ones(3), size=p.m), rng.normal(size=(p.m, p.k))
            weight = 1.0 if objective is DISTORTION else float(rng.random())
            return MapLeaf(0.2 * rng.normal(size=p.m), 0.1 * rng.random(), shares[:, 0], shares[:, 1], slopes, weight)

        inner = MapSplit(2, 1, float(box[2, 1].mean()), leaf(), leaf())
        tree = MapTree(MapSplit(0, 0, float(box[0, 0].mean()), leaf(), inner))
        form = OneShot(p, R, C, "Y").minimising(objective, distortion_budget=p.distortion(p.independent))
        data = shown(form, tree)
        mine = judge(data)
        bounds = map(mine.question.bound, mine.region(data["evidence"]).leaves)
        least = min(math.inf if bound is None else float(bound) for bound in bounds)
        assert least == pytest.approx(tree.bound(form), rel=1e-10, abs=1e-11)
        assert float(mine.lower(data["evidence"])) >= least - 1e-11 * max(1.0, abs(least))

    @pytest.mark.parametrize("seed", range(6))
    @pytest.mark.parametrize("objective", QUANTITIES, ids=lambda q: q.name)
    def test_cell_duals(self, judge: Any, seed: int, objective: Quantity) -> None:
        """Each letter's bound is close to the least over its 2ⁿ sets, from below."""
        p = problem(seed, 4, 3, 2 + seed % 2)
        rng = np.random.default_rng(seed)
        alpha, gamma = 0.2 * rng.random(), float(rng.choice([0.0, 0.5, 1.0]))
        weights = w, alpha, gamma = 1.0 if objective is DISTORTION else float(rng.choice([0.0, 0.7])), alpha, gamma
        dual = CellDual(0.3 * rng.normal(size=p.n), 0.3 * rng.normal(size=p.m), alpha, gamma, w)
        form = OneShot(p, 0.5 * p.entropy_x, between(p, 0.8) * LN2, "Y").minimising(
            objective, distortion_budget=p.distortion(p.independent)
        )
        data = shown(form, dual)
        sets = np.array(list(itertools.product([0.0, 1.0], repeat=p.n)))
        joint = sets @ (p.px[:, None] * p.ps_given_x)
        losses = [information.conditional_entropy(row[:, None]) for row in joint]
        masses = sets @ p.px
        cost = w * p.d - dual.f[:, None] - dual.nu
        values = (sets * p.px) @ cost + (alpha * -xlogy(masses, masses) + gamma * np.array(losses))[:, None]
        _, rate, loss = form.caps
        exact = dual.f @ p.px + dual.nu @ p.py + values.min(axis=0).sum() - np.dot(weights, form.caps)
        exact = exact / weights[objective.place] if weights[objective.place] else -math.inf
        trivial = {
            DISTORTION: max(float(p.py @ p.d.min(axis=0)), float(p.px @ p.d.min(axis=1))),
            RATE_: max(0.0, p.entropy_s - loss),
            CLASSIFICATION_LOSS: max(p.entropy_s_given_x, p.entropy_s - rate),
        }[objective]
        value = float(judge(data).lower(data["evidence"]))
        assert value <= max(exact, trivial) + 1e-14
        assert value >= max(min(exact, dual.bound(form)), trivial) - 1e-11

    def test_one_shot_bound_is_the_programs(self) -> None:
        p = problem(0, 3, 2, 2)
        certificate, optimum = one_shot(p, 0.4, between(p, 0.7) * LN2, "YU")
        lower, upper = proof.interval(certificate)
        assert lower - 1e-12 <= optimum <= upper + 1e-9

    def test_leaves_of_a_mixture_must_share_multipliers(self) -> None:
        data = written("tree") | {"formulation": "time-sharing"}
        verdict = check(data)
        assert not verdict.accepted
        assert verdict.lower < float.fromhex(data["claim"]["lower"])


class TestOutward:
    """Not a last digit is given away."""

    def test_ends_of_a_ball(self, judge: Any) -> None:
        rng = np.random.default_rng(0)
        for p, q in rng.integers(1, 10**9, size=(200, 2)).tolist():
            exact, ball = Fraction(p, q), balls.arb(p) / q
            low, high = (balls.to_float(sign * ball, up) for sign in (1,) for up in (False, True))
            assert Fraction(low) <= exact <= Fraction(high)
            assert high <= math.nextafter(low, math.inf)
            assert Fraction(balls.to_float(-ball, False)) <= -exact <= Fraction(balls.to_float(-ball, True))
        assert balls.to_float(balls.arb("nan"), True) == math.inf
        assert balls.to_float(balls.arb("nan"), False) == -math.inf

    @pytest.mark.parametrize("name", NAMES)
    def test_ends_of_a_verdict(self, judge: Any, name: str) -> None:
        data = written(name)
        if "infeasible" in data["claim"]:
            return
        mine = judge(data)
        least = mine.lower(data["evidence"])
        verdict = mine.question.verdict(0.0)
        assert balls.arb(verdict.lower) <= least.lower()
        if data["point"] is not None:
            value = mine.question.point()[mine.question.aim]
            assert balls.arb(verdict.upper) >= value.upper()

    def test_a_minimum_over_maps_in_doubles(self, judge: Any) -> None:
        """Against the same minimum in balls: an allowance for its roundings is needed, and covers them."""
        p = problem(0, 4, 3, 2)
        mine = judge(written("one-shot") | {"problem": proof.to_dict(solved(p, 0.0, None))["problem"]})
        ours, rng = mine.problem, np.random.default_rng(0)
        for _ in range(20):
            linear, alpha, gamma = rng.normal(size=(p.n, p.m)), float(rng.random()), rng.random(p.m)
            least = None
            for f in itertools.product(range(p.m), repeat=p.n):
                value = balls.arb(0)
                for y in range(p.m):
                    letters = [x for x in range(p.n) if f[x] == y]
                    value += sum(balls.arb(linear[x, y]) for x in letters)
                    mass = sum((ours.px[x] for x in letters), balls.fmpq(0))
                    joint = [sum((ours.px[x] * ours.w[x, s] for x in letters), balls.fmpq(0)) for s in range(p.k)]
                    rate = balls.eta(np.array([mass]))[0]
                    value += alpha * rate + balls.arb(gamma[y]) * (balls.eta(np.array(joint)).sum() - rate)
                least = value if least is None else least.min(value)
            assert mine.evidence.least_map(linear, alpha, gamma) <= least


class TestGuards:
    """Evidence that would prove too much if one thing were not looked at."""

    @staticmethod
    def changed(name: str, **changes: Any) -> Proof:
        return json.loads(json.dumps(written(name) | changes))  # type: ignore[no-any-return]

    def test_unnormalised_numbers(self) -> None:
        """px ∝ (1, 3), py ∝ (2, 2), rows of W ∝ (3, 1): their sums are divided out, exactly."""
        third = {"px": ["1/4", "3/4"], "py": ["1/2", "1/2"], "ps_given_x": [["3/4", "1/4"], ["1/2", "1/2"]]}
        whole = {"px": ["1", "3"], "py": ["2", "2"], "ps_given_x": [["3", "1"], ["5", "5"]]}
        verdicts = []
        for numbers in (third, whole):
            data = self.changed("rate only", problem=numbers | {"d": [["0", "1"], ["1", "0"]]})
            data["point"] = [{"weight": "1", "coupling": [["1/4", "0"], ["1/4", "1/2"]]}]
            data |= {"evidence": None, "rate_budget": "inf", "claim": {"lower": "0", "upper": "1/4"}}
            verdicts.append(check(data))
        assert [v.statements[1:] for v in verdicts] == [verdicts[0].statements[1:]] * 2
        assert verdicts[0].lower == verdicts[1].lower == 0
        assert verdicts[0].accepted and verdicts[1].accepted
        assert verdicts[0].upper == 0.25

    def test_independence_is_no_evidence_at_a_positive_rate(self) -> None:
        verdict = check(self.changed("rate only", evidence={"kind": "independent"}))
        assert not verdict.accepted
        assert verdict.lower < known("rate only")[0]

    @pytest.mark.parametrize("name", ["rate only", "tree", "another tree", "one-shot", "one-shot, Y", "least loss"])
    @pytest.mark.parametrize("objective", ["distortion", "classification-loss"])
    def test_nothing_feasible_passes_for_infeasible(self, name: str, objective: str) -> None:
        verdict = check(self.changed(name, claim={"infeasible": True}, objective=objective, point=None))
        assert not verdict.accepted
        assert verdict.lower == -math.inf
        assert verdict.reason == "the least value proved does not exceed its budget"

    @pytest.mark.parametrize("field", ["rate", "classification", "convex"])
    def test_negative_multipliers(self, field: str) -> None:
        data = self.changed("tree")
        leaf = next(node for node in data["evidence"]["nodes"] if "f" in node)
        leaf[field] = "-0x1.0p-3"
        with pytest.raises(InputError, match="multiplier is negative"):
            check(data)

    @pytest.mark.parametrize("name", ["tree", "another tree", "infeasible tree", "three classes", "least loss"])
    def test_the_convex_share_is_limited(self, judge: Any, name: str) -> None:
        """With β₀ = β and next to no α the tangent of something not convex would pass for a bound."""
        data = self.changed(name)
        infeasible = "infeasible" in data["claim"]
        distortion = not infeasible and data["objective"] == "distortion"
        high = float.fromhex(data["classification_budget"]) + 1.0 if infeasible else known(name)[1]
        for node in data["evidence"]["nodes"]:
            if "f" in node:
                beta = float.fromhex(node["classification"]) if distortion else 1.0
                node |= {"rate": (1e-3 * beta).hex(), "convex": beta.hex()}
        mine = judge(data)
        honest_share = [node | {"convex": "0"} if "f" in node else node for node in data["evidence"]["nodes"]]
        with_share = mine.lower(data["evidence"])
        without = mine.lower({"kind": "posterior-tree", "nodes": honest_share})
        assert with_share.lower() <= high
        assert with_share.lower() == without.lower()  # what may not be used is not

    def test_a_point_beyond_the_rate_is_repaired(self) -> None:
        data = self.changed("rate only", point=written("no budget")["point"])
        data["claim"]["upper"] = "inf"
        verdict = check(data)
        assert verdict.accepted
        assert known("rate only")[0] <= verdict.upper < math.inf
        spent = float(verdict.statements[2].split("I(X;Y) ≤ ")[1].split()[0])
        assert spent == pytest.approx(float.fromhex(data["rate_budget"]), rel=1e-9)

    @pytest.mark.parametrize("many", [1.0, 3.0])
    @pytest.mark.parametrize("kind", ["map-tree", "cell-dual"])
    def test_a_loss_is_not_counted_more_than_once(self, judge: Any, kind: str, many: float) -> None:
        p = drcopt.Problem([0.5, 0.5], [0.5, 0.5], [[0.6, 0.4], [0.4, 0.6]])
        form = OneShot(p, 0.5, math.inf, "Y", objective=CLASSIFICATION_LOSS)
        nothing = np.zeros(2)
        if kind == "map-tree":
            leaf = MapLeaf(nothing, 0.0, np.full(2, many), nothing, np.zeros((2, 2)), 0.0)
            evidence: Any = MapTree(leaf)
        else:
            evidence = CellDual(nothing, nothing, 0.0, many, 0.0)
        assert evidence.bound(form) <= p.entropy_s_given_x
        data = shown(form, evidence)
        value = judge(data).lower(data["evidence"])
        assert float(value) == pytest.approx(p.entropy_s_given_x, abs=1e-12)

    def test_a_classifier_that_sees_u_has_no_posterior_budget(self, judge: Any) -> None:
        p = problem(0, 3, 2, 2)
        leaf = MapLeaf(np.zeros(2), 0.0, np.zeros(2), np.ones(2), np.ones((2, 2)))
        form = OneShot(p, 0.5, 0.9 * p.entropy_s, "YU")
        assert MapTree(leaf).bound(form) == -math.inf
        assert MapTree(leaf).bound(OneShot(p, 0.5, 0.9 * p.entropy_s, "Y")) > -math.inf
        data = proof.to_dict(bare(form, MapTree(leaf)))
        assert float(judge(data).bound(data["evidence"]["nodes"][0], [None] * 2)) == -math.inf


def truth(data: Proof, objective: str, seconds: float) -> tuple[float, float]:
    """Bounds on the optimum of a proof's question, from a fresh solve."""

    def numbers(value: Any) -> Any:
        return [numbers(v) for v in value] if isinstance(value, list) else float.fromhex(value)

    try:
        px, py, W, d = (np.array(numbers(data["problem"][name])) for name in ("px", "py", "ps_given_x", "d"))
        p = drcopt.Problem(px / px.sum(), py / py.sum(), W / W.sum(axis=1, keepdims=True), np.maximum(d, 0.0))
        assert (d >= 0).all()
        budgets = data.get("distortion_budget", "inf"), data["rate_budget"], data["classification_budget"]
        D, R, C = (math.inf if text == "inf" else float.fromhex(text) for text in budgets)
        settings: dict[str, Any] = {"units": "nats", "on_failure": "return", "time_limit": seconds}
        settings |= {"formulation": data["formulation"], "classifier_sees": data["classifier_sees"]}
        if data["claim"].get("infeasible") is True and D < math.inf:  # otherwise a budget on E d is none on the least
            solution = drcopt.min_rate(p, D=D, C=C, **settings)
            if solution.status == "infeasible" or solution.lower_bound > R + 1e-9:
                return math.inf, math.inf
            met = not math.isnan(solution.rate) and solution.excess == 0 and solution.rate <= R
            return -math.inf, float(p.px @ p.d.max(axis=1)) if met else math.inf
        if objective != "distortion":
            asked = {"D": D, "C": C} if objective == "rate" else {"D": D, "R": R}
            ask = drcopt.min_rate if objective == "rate" else drcopt.min_classification_loss
            solution = ask(p, **asked, **settings)
            if solution.status == "infeasible":
                return math.inf, math.inf
            known = not math.isnan(solution.value) and solution.excess == 0
            return solution.lower_bound - 1e-9, solution.value + 1e-9 if known else math.inf
        del settings["formulation"], settings["classifier_sees"]
        if data["formulation"] == "one-shot":
            assert p.m**p.n < 1000
            certificate, value = one_shot(p, min(R, 50.0), min(C, 50.0), data["classifier_sees"])
            return (value - 1e-9, value + 1e-9) if data["classifier_sees"] == "YU" else (certificate.lower, math.inf)
        solution = drcopt.solve(p, R=R, C=C, formulation=data["formulation"], **settings)
    except (AssertionError, ValueError, OverflowError):
        return -math.inf, math.inf
    if solution.status == "infeasible":
        return math.inf, math.inf
    room = 1e-9 * float(p.d.max())
    upper = math.inf if math.isnan(solution.distortion) else solution.distortion
    return solution.lower_bound - room, upper + room


def aim(data: Proof) -> str:
    """What a proof's claim is about: that no point meets the budgets is about E d too."""
    return "distortion" if data["claim"].get("infeasible") is True else str(data["objective"])


@functools.cache
def known(name: str) -> tuple[float, float]:
    verdict = check(written(name))
    return verdict.lower, verdict.upper


def lies(data: Proof, name: str, seconds: float) -> tuple[bool, str]:
    """Whether a tampered proof is accepted, and what false thing it got past the checker, if any."""
    try:
        verdict = check(data)
    except InputError:
        return False, ""
    if not verdict.accepted and math.isinf(verdict.lower) and math.isinf(verdict.upper):
        return False, ""
    base, claim, found = written(name), data["claim"], []
    question = ("problem", "formulation", "classifier_sees", *BUDGETS)
    same = aim(data) == aim(base) and all(data.get(key, "inf") == base.get(key, "inf") for key in question)
    low, high = known(name) if same else truth(data, aim(data), seconds)
    if verdict.lower > high:
        found.append(f"lower {verdict.lower!r} > {high!r}")
    if verdict.upper < low:
        found.append(f"upper {verdict.upper!r} < {low!r}")
    if verdict.accepted and claim.get("infeasible") is not True:
        if claim["lower"] != "-inf" and float.fromhex(claim["lower"]) > high:
            found.append(f"claim {claim} above {high!r}")
        exceeds = "excess" in claim and float.fromhex(claim["excess"]) > 0
        if claim["upper"] != "inf" and not exceeds and float.fromhex(claim["upper"]) < low:
            found.append(f"claim {claim} below {low!r}")
    return verdict.accepted, "; ".join(found)


def campaign(count: int, start: int, seconds: float) -> tuple[int, list[str]]:
    """How many of ``count`` tampered proofs are rejected, and what was wrong with those accepted."""
    rejected, tried, wrong, kinds = 0, 0, [], list(TAMPERS)
    for i in itertools.count(start):
        if tried == count:
            break
        name, kind = NAMES[i % len(NAMES)], kinds[(i // len(NAMES) * 7 + i) % len(kinds)]
        data = tampered(written(name), kind, i)
        if data == written(name):
            continue  # there was nothing of that kind to tamper with
        tried += 1
        accepted, said = lies(data, name, seconds)
        rejected += not accepted
        if said:
            wrong.append(f"{i}: {kind} of {name!r}: {said}")
    return rejected, wrong


class TestEvidenceThatCannotBeEvaluated:
    @pytest.mark.parametrize("infeasible", [False, True])
    def test_what_holds_of_every_problem_is_written_instead(self, infeasible: bool) -> None:
        p = problem(0, 3, 3, 2)
        loss = 0.5 * p.entropy_s_given_x if infeasible else math.inf
        form = SingleLetter(p, 0.3, loss)
        garbage = PosteriorTree(Leaf(np.zeros(p.n + 1), 0.0, 0.0)), None, CellDual("f", None, 0.0, 0.0)  # type: ignore[arg-type]
        certificate = certify(form, None, *garbage)  # type: ignore[arg-type]
        assert certificate.infeasible == infeasible
        assert check(proof.to_dict(certificate)).accepted


class TestTampering:
    def test_fifty(self) -> None:
        rejected, wrong = campaign(50, start=0, seconds=0.3)
        assert not wrong
        assert rejected >= 20  # the tampering does something

    @pytest.mark.slow
    def test_a_thousand(self) -> None:
        rejected, wrong = campaign(1000, start=50, seconds=2.0)
        print(f"1000 tampered proofs: {rejected} claims rejected, {len(wrong)} false ones accepted")
        assert not wrong


class TestSecondArithmetic:
    """mpmath's interval context agrees with the balls on leaves with two classes."""

    @pytest.mark.parametrize("name", ["rate only", "zero multipliers", "tree", "infeasible tree", "another tree"])
    def test_leaves(self, judge: Any, name: str) -> None:
        mpmath = pytest.importorskip("mpmath")
        iv = mpmath.iv
        iv.dps = 40
        key = "rate only" if name == "zero multipliers" else name
        data = written(key)
        ours = judge(data)
        infeasible = data["claim"].get("infeasible") is True
        p = ours.problem
        box = tight(np.array([p.w.min(axis=0), p.w.max(axis=0)]).T)
        leaves = list(evidence.leaves(ours.evidence.tree(data["evidence"]), [box] * p.m))
        goal = float.fromhex(data["classification_budget"] if infeasible else data["claim"]["lower"])
        for leaf, boxes in leaves[:: max(1, len(leaves) // 3)]:
            if name == "zero multipliers":
                leaf, goal = leaf | {"rate": "0"}, math.inf
            ours_is = ours.bound(leaf, boxes)
            low, high = IntervalLeaf(iv, data, leaf, boxes, infeasible).bounds()
            # The balls' bound is below every posterior's value. Where the claim needs it to be, it is as good as
            # what fixed cells give.
            assert float(ours_is.lower()) <= math.nextafter(float(high.b), math.inf)
            assert float(ours_is.upper()) >= min(float(low.a), goal) - 1e-12
            scale = 1.0 + max(abs(float.fromhex(v)) for v in [*leaf["f"], leaf["classification"]])
            assert float(high.b) - float(low.a) <= 0.05 * scale


class IntervalLeaf:
    """One leaf of a posterior tree in mpmath's intervals: lines under ψ and chords of h on a fixed grid."""

    def __init__(self, iv: Any, data: Proof, leaf: Any, boxes: Any, infeasible: bool) -> None:
        self.iv, self.boxes = iv, boxes
        P = data["problem"]

        def numbers(values: Any) -> Any:
            return [numbers(v) for v in values] if isinstance(values, list) else iv.mpf(float.fromhex(values))

        px, py, W, d = (numbers(P[name]) for name in ("px", "py", "ps_given_x", "d"))
        self.px, self.py = [v / sum(px) for v in px], [v / sum(py) for v in py]
        self.W = [[v / sum(row) for v in row] for row in W]
        self.f = numbers(leaf["f"])
        self.alpha = numbers(leaf["rate"]) if "x" in leaf["rate"] else iv.mpf(leaf["rate"])
        self.beta = iv.mpf(1) if infeasible else numbers(leaf["classification"])
        self.d = [[iv.mpf(0)] * len(py) for _ in px] if infeasible else d
        entropies = [sum((self.eta(v) for v in p), iv.mpf(0)) for p in (self.px, self.py)]
        joint = [sum((q * row[s] for q, row in zip(self.px, self.W, strict=True)), iv.mpf(0)) for s in range(len(W[0]))]
        R = [numbers(data["rate_budget"])] if data["rate_budget"] != "inf" else []
        C = [numbers(data["classification_budget"])] if data["classification_budget"] != "inf" else []
        self.R = self.least([*entropies, *R])
        self.C = iv.mpf(0) if infeasible else self.least([sum(map(self.eta, joint), iv.mpf(0)), *C])

    def eta(self, t: Any) -> Any:
        return self.iv.mpf(0) if t == 0 else -t * self.iv.log(t)

    def least(self, values: Any) -> Any:
        return self.iv.mpf([min(v.a for v in values), min(v.b for v in values)])

    def bounds(self) -> tuple[Any, Any]:
        """Intervals whose lower (upper) end is below (above) the leaf's bound."""
        base = sum((a * b for a, b in zip(self.f, self.px, strict=True)), self.iv.mpf(0))
        base -= self.alpha * self.R + self.beta * self.C
        ends = [self.price(y) for y in range(len(self.py))]
        return tuple(base + sum((q * e[i] for q, e in zip(self.py, ends, strict=True)), self.iv.mpf(0)) for i in (0, 1))

    def price(self, y: int) -> tuple[Any, Any]:
        iv = self.iv
        costs = [row[y] - f for row, f in zip(self.d, self.f, strict=True)]
        if len(self.W[0]) > 2:
            assert self.beta == 0
            value = self.line(costs, [iv.mpf(0)] * len(costs))
            return value, value
        w = [row[0] for row in self.W]
        low, high = (float(v) for v in self.boxes[y][0])
        below, above = [], []
        for a, b in itertools.pairwise(np.linspace(low, high, 80)):
            a, b = max(math.nextafter(a, -1), 0.0), min(math.nextafter(b, 2), 1.0)
            mu, p = self.choose(costs, a, b)
            line = self.line(costs, [-iv.mpf(mu) * v for v in w])
            below.append(self.least([line + iv.mpf(mu) * t + self.entropy(iv.mpf(t)) for t in (a, b)]))
            above.append(self.value(costs, [iv.mpf(v) for v in p], low, high))
        return self.least(below), self.least([v for v in above if v is not None])

    def entropy(self, t: Any) -> Any:
        return self.beta * (self.eta(t) + self.eta(1 - t))

    def line(self, costs: Any, tilt: Any) -> Any:
        """min over p of ⟨c + tilt, p⟩ + α D(p‖px)."""
        scores = [c + t for c, t in zip(costs, tilt, strict=True)]
        if self.alpha == 0:
            return self.least(scores)
        top = max(-float(v.mid) for v in scores)
        terms = [q * self.iv.exp((-v - top) / self.alpha) for q, v in zip(self.px, scores, strict=True)]
        return -top - self.alpha * self.iv.log(sum(terms, self.iv.mpf(0)))

    def value(self, costs: Any, p: Any, low: float, high: float) -> Any:
        """The objective at a posterior; None outside the box."""
        p = [v / sum(p) for v in p]
        t = sum((v * row[0] for v, row in zip(p, self.W, strict=True)), self.iv.mpf(0))
        if not low <= float(t.a) or not float(t.b) <= high:
            return None
        logs = [v * self.iv.log(v / q) for v, q in zip(p, self.px, strict=True) if v.a > 0]
        cost = sum((v * c for v, c in zip(p, costs, strict=True)), self.iv.mpf(0))
        return cost + self.alpha * sum(logs, self.iv.mpf(0)) + self.entropy(t)

    def choose(self, costs: Any, a: float, b: float) -> tuple[float, np.ndarray]:
        """In doubles: the best slope for the cell [a, b], and a good posterior whose t is its middle."""
        c, w = np.array([float(v.mid) for v in costs]), np.array([float(row[0].mid) for row in self.W])
        px, alpha, t = np.array([float(v.mid) for v in self.px]), float(self.alpha.mid), np.array([a, b])
        h = np.array([float(self.entropy(self.iv.mpf(v)).mid) for v in t])

        def loss(mu: float) -> float:
            z = mu * w - c
            smooth = alpha * math.log((px * np.exp((z - z.max()) / alpha)).sum()) if alpha > 0 else 0.0
            return float(z.max() + smooth - (mu * t + h).min())

        rows = np.array([np.ones(len(w)), w])
        if alpha == 0:
            return float(minimize_scalar(loss).x), linprog(c, A_eq=rows, b_eq=[1.0, t.mean()]).x
        low, high = -1e6, 1e6
        for _ in range(200):
            mu = 0.5 * (low + high)
            p = px * np.exp((mu * w - c - (mu * w - c).max()) / alpha)
            p /= p.sum()
            low, high = (mu, high) if p @ w < t.mean() else (low, mu)
        return float(minimize_scalar(loss, bracket=(mu - 0.1, mu + 0.1)).x), p


def test_every_kind_of_evidence_is_written() -> None:
    class Strange:
        def bound(self, question: Any) -> float:
            return 9.0

    form = SingleLetter(problem(0, 2, 2, 2), 0.1, math.inf)
    with pytest.raises(TypeError, match="Strange"):
        proof.to_dict(Certificate(form, None, (Strange(),), math.inf, 0.0))  # type: ignore[arg-type]
    assert any(isinstance(one, PosteriorTree) for one in honest()["tree"].evidence)
    assert isinstance(honest()["time-sharing"].formulation, TimeSharing)
