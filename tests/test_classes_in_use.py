"""Several classes as users meet them: problems, proof files, solutions, sweeps, what is refused."""

from __future__ import annotations

import copy
import itertools
import json
import math
import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from several import LN2, PX, PY, A, B, D, inf, small, toy

import drcopt
from drcopt import export
from drcopt.bounds import Leaf, PosteriorTree
from drcopt.certify.several import SeveralCertificate
from drcopt.cli import main
from drcopt.formulations import Several


class TestOrder:
    def test_one_class_given_twice_changes_nothing(self) -> None:
        one = drcopt.solve(toy().of_class("a"), R=0.5, C=0.84)
        for C in ({"a": 0.84, "b": 0.84}, {"a": 0.84, "b": 0.9}, {"a": 0.9, "b": 0.84}):
            twice = drcopt.solve(toy(a=A, b=A), R=0.5, C=C)
            assert twice.status == "optimal" and twice.distortion == pytest.approx(one.distortion, abs=1e-6)

    def test_a_loose_budget_changes_nothing(self) -> None:
        one = drcopt.solve(toy().of_class("a"), R=0.5, C=0.84)
        for loose in (None, 1.0, inf):
            both = drcopt.solve(toy(), R=0.5, C={"a": 0.84, "b": loose})
            assert both.status == "optimal" and both.distortion == pytest.approx(one.distortion, abs=1e-6)
            assert both.multipliers.classification["b"] == 0.0 < both.multipliers.classification["a"]

    def test_alone_it_is_the_class(self) -> None:
        one = drcopt.solve(toy().of_class("a"), R=0.5, C=0.84)
        alone = drcopt.solve(toy(a=A), R=0.5, C={"a": 0.84})
        assert alone.status == "optimal" and alone.distortion == pytest.approx(one.distortion, abs=1e-6)
        assert alone.multipliers.classification["a"] == pytest.approx(one.multipliers.classification, rel=1e-3)

    def test_both_cost_more_than_each(self) -> None:
        C = {"a": 0.86, "b": 0.71}
        both = drcopt.solve(toy(), R=0.5, C=C)
        each = [drcopt.solve(toy().of_class(name), R=0.5, C=c).distortion for name, c in C.items()]
        assert both.status == "optimal" and both.distortion >= max(each) - 1e-6
        least = drcopt.min_rate(toy(), D=both.distortion + 1e-9, C=C)
        assert least.status == "optimal" and least.rate == pytest.approx(0.5, abs=1e-4)

    def test_letters_without_mass_change_nothing(self) -> None:
        C = {"a": 0.86, "b": 0.71}
        wide = drcopt.Problem(
            [*PX, 0.0], PY, {"a": [*A, [0.5, 0.5]], "b": [[*row, 0] for row in [*B, [0, 1]]]}, [*D, [1, 1, 1]]
        )
        narrow = drcopt.solve(toy(), R=0.6, C=C)
        assert drcopt.solve(wide, R=0.6, C=C).distortion == pytest.approx(narrow.distortion, abs=1e-6)

    def test_units(self) -> None:
        bits = drcopt.solve(toy(), R=0.5, C={"a": 0.84, "b": None})
        nats = drcopt.solve(toy(), R=0.5 * LN2, C={"a": 0.84 * LN2, "b": None}, units="nats")
        assert nats.distortion == pytest.approx(bits.distortion, abs=1e-6)
        assert nats.classification_loss["a"] == pytest.approx(bits.classification_loss["a"] * LN2, abs=1e-6)


class TestProblem:
    def test_content(self) -> None:
        problem = toy()
        again = pickle.loads(pickle.dumps(problem))
        assert again == problem and hash(again) == hash(problem) and again.classes is not None
        assert toy(a=B, b=A) != problem and toy(a=A, c=B) != problem
        assert drcopt.Problem(PX, PY, problem.ps_given_x, D) != problem
        assert "k=2+2" in repr(problem) and "H(b)=" in repr(problem) and "H(b)" in problem._repr_html_()
        assert problem.labels.s == (("a", 0), ("a", 1), ("b", 0), ("b", 1))

    def test_files(self, tmp_path: Path) -> None:
        named = pd.DataFrame(A, columns=["no", "yes"])
        for problem in (toy(), drcopt.Problem(PX, None, {"a": named, "b": B}, D, name="two")):
            drcopt.sources.save(problem, tmp_path / "mine.json")
            assert drcopt.sources.named(tmp_path / "mine.json") == problem
            with pytest.raises(drcopt.InputError, match=r"must end in \.json"):
                drcopt.sources.save(problem, tmp_path / "mine.npz")
        for wrong in ('{"a": [["x"]]}', '{"a": {"b": [[1]]}}', "{}", '{"a": 1}'):
            (tmp_path / "bad.json").write_text(f'{{"px": [1], "py": [1], "ps_given_x": {wrong}, "d": [[0]]}}')
            with pytest.raises(drcopt.InputError, match="ps_given_x"):
                drcopt.sources.named(tmp_path / "bad.json")

    def test_command_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        drcopt.sources.save(toy(), tmp_path / "mine.json")
        ask = ["solve", str(tmp_path / "mine.json"), "--R", "0.5"]
        assert main([*ask, "--C", "a=0.84, b=0.9"]) == 0 and "{a: " in capsys.readouterr().out
        assert main([*ask, "--C", "a=0.84,b=inf", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert set(found["classification_loss"]) == {"a", "b"} == set(found["multipliers"]["classification"])
        for wrong, says in (("a=0.84", "class 'b'"), ("0.84", "for each class"), ("a=x,b=1", "not a valid float")):
            assert main([*ask, "--C", wrong]) == 2 and says in capsys.readouterr().err
        for extra in ([], ["--json"]):
            assert main([*ask, "--C", "a=0.1,b=1", *extra]) == 1
        drcopt.sources.save(small(), tmp_path / "mine.json")
        ask += ["--tol", "1e-3"]
        capsys.readouterr()
        for extra in (["--of", "a"], ["--C", "b=0.97"]):
            assert main([*ask, "--minimize", "classification-loss", *extra]) == 0
            assert "of the classification loss of a" in capsys.readouterr().out
        assert main([*ask, "--of", "a"]) == 2 and "--of must come with" in capsys.readouterr().err

    def test_letters_of_classes_without_mass_go(self) -> None:
        wide = drcopt.Problem([1.0, 0.0], [1.0], {"a": [[1, 0, 0], [0, 1, 0]], "b": [[0, 1], [1, 0]]}, [[0], [1]])
        reduced = wide.reduced()
        assert reduced.labels.s == (("a", 0), ("b", 1)) and [W.shape for W in reduced.classes.values()] == [(1, 1)] * 2

    def test_names_travel(self) -> None:
        a = pd.DataFrame(A, index=list("xyz"), columns=["no", "yes"])
        b = pd.DataFrame(B, index=list("xyz"), columns=["even", "odd"]).iloc[::-1]
        problem = drcopt.Problem(pd.Series(PX, index=list("xyz")), PY, {"a": a, "b": b}, D)
        assert problem.labels.s == (("a", "no"), ("a", "yes"), ("b", "even"), ("b", "odd"))
        assert np.array_equal(problem.classes["b"], B)

    def test_losses_by_name(self) -> None:
        problem = toy()
        losses = problem.classification_losses(problem.independent)
        assert losses["a"] == pytest.approx(problem.of_class("a").entropy_s)
        assert toy().of_class("a").classification_losses(problem.independent)["S"] == losses["a"]
        with pytest.raises(drcopt.InputError, match="has several"):
            problem.classification_loss(problem.independent)


class TestProofs:
    """See also those in tests/test_tampering.py."""

    def test_a_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        pytest.importorskip("flint")
        drcopt.sources.save(toy(), tmp_path / "mine.json")
        drcopt.sources.save(toy(a=B, b=A), tmp_path / "other.json")
        drcopt.sources.save(toy().of_class("a"), tmp_path / "one.json")
        file = str(tmp_path / "proof.json")
        ask = ["solve", str(tmp_path / "mine.json"), "--R", "0.5", "--C", "a=0.86,b=0.71", "--certificate", file]
        assert main(ask) == 0 and main(["check", file, "--problem", str(tmp_path / "mine.json")]) == 0
        said = capsys.readouterr().out
        assert "2 of a, 2 of b" in said and "H(a|Y) ≤" in said and toy().fingerprint in said and "accepted" in said
        for other, says in (("other", "ps_given_x['a'][0, 0] is"), ("one", "the classes are ['a', 'b']")):
            assert main(["check", file, "--problem", str(tmp_path / f"{other}.json")]) == 1
            assert says in capsys.readouterr().err

    def test_verify(self) -> None:
        pytest.importorskip("flint")
        least = drcopt.min_classification_loss(small(), R=0.5, of="a", tol=1e-4, verify="interval")
        assert least.verified and least.lower_bound - 1e-9 <= least.proved_lower_bound <= least.value
        C = {"a": 0.86, "b": 0.71}
        found = drcopt.solve(toy(), R=0.5, C=C, verify="interval")
        assert found.verified and found.lower_bound - 1e-9 <= found.proved_lower_bound <= found.proved_distortion
        near = drcopt.solve(toy(), R=0.5, C=C, perception=("kl", 0.02), verify="interval")
        heard = drcopt.min_rate(toy(), D=0.15, C=C, classifier_sees="message", verify="interval")
        assert heard.verified and heard.lower_bound - 1e-9 <= heard.proved_lower_bound <= heard.rate
        assert near.verified and near.lower_bound - 1e-9 <= near.proved_lower_bound <= near.proved_distortion
        with pytest.raises(drcopt.InfeasibleError):
            drcopt.solve(toy(), R=0.2, C={"a": 0.3, "b": 0.9}, verify="interval")

    def test_a_sum_that_is_rounded_up(self) -> None:
        """β₀ in a file is no more than the exact sum of the weights beside it."""
        pytest.importorskip("flint")
        from drcopt.certify.proof import verdict

        rng, weights = np.random.default_rng(0), np.array([0.19, 0.0])
        while Fraction(math.fsum(weights)) <= sum(map(Fraction, weights)):
            weights[1] = rng.uniform(0.001, 0.01)
        question = Several(toy(), 0.5 * LN2, inf, losses=(0.86 * LN2, 0.65 * LN2))
        tree = PosteriorTree(Leaf(np.array(D).min(axis=1) + 0.1, 0.35, weights))
        bound = tree.bound(question)
        found = verdict(SeveralCertificate(question, None, (tree,), inf, bound))
        assert found.accepted and found.lower == pytest.approx(bound, abs=1e-8) and bound > 0.0

    def test_names_not_places_count(self) -> None:
        pytest.importorskip("flint")
        from honest import written

        from drcopt.checker import check

        data = copy.deepcopy(written("classes tree"))
        known = check(data)
        for of in (data, *(node for node in data["evidence"]["nodes"] if "f" in node)):
            name = "classification_budget" if of is data else "classification"
            of[name] = dict(reversed(of[name].items()))
        found = check(data)
        assert (found.lower, found.upper, found.accepted) == (known.lower, known.upper, True)

    @pytest.mark.parametrize("name", ["x|Y) ≥ 9 and H(b", "\x1b[2J", "n" * 99, "{}"])
    def test_a_name_says_no_more_than_a_name(self, name: str) -> None:
        pytest.importorskip("flint")
        from drcopt.certify.proof import verdict

        found = verdict(drcopt.solve(toy(**{name: A, "b": B}), R=0.0).certificate)
        assert found.accepted and "H(class #0|Y)" in " ".join(found.statements)
        assert name == "{}" or name not in " ".join(found.statements)


class TestSolution:
    def test_it_is_by_name(self) -> None:
        found = drcopt.solve(toy(), R=0.5, C={"b": 0.9, "a": 0.84})
        assert list(found.classification_loss) == ["a", "b"] == list(found.multipliers.classification)
        assert found.classification_budget == {"a": 0.84, "b": 0.9}
        assert found.accuracy["a"] + found.bayes_error["a"] == pytest.approx(1.0)
        assert "classification_loss={a: " in repr(found) and "{a: " in found._repr_html_()
        again = pickle.loads(pickle.dumps(found))
        assert again.classification_loss == found.classification_loss
        with pytest.raises(TypeError, match="read-only"):
            found.classification_loss["a"] = 0.0

    def test_what_cannot_be_met_is_named(self) -> None:
        with pytest.raises(drcopt.InfeasibleError, match=r"H\(a\|Y\) is at least 0\.\d+ bits") as caught:
            drcopt.solve(toy(), R=0.2, C={"a": 0.3, "b": 0.9})
        assert caught.value.budget == "C['a']" and 0.3 < caught.value.least < 1

    def test_classes_that_must_be_told_exactly(self) -> None:
        """Two bits of X without error: every y has one x, and the search ends at a point all but rounding."""
        bits = {"a": np.eye(2)[[0, 1, 0, 1]], "b": np.eye(2)[[0, 0, 1, 1]]}
        px, py, d = [0.3, 0.3, 0.2, 0.2], [0.3, 0.15, 0.15, 0.2, 0.2], np.random.default_rng(0).random((4, 5))
        own = [f for f in itertools.product(range(4), repeat=5) if np.allclose(np.bincount(f, py, 4), px)]
        truth = min(sum(p * d[x, y] for y, (x, p) in enumerate(zip(f, py, strict=True))) for f in own)
        found = drcopt.solve(drcopt.Problem(px, py, bits, d), C={"a": 0, "b": 0}, on_failure="return", time_limit=60)
        assert found.status in ("optimal", "near-feasible") and found.distortion == pytest.approx(truth, abs=1e-9)
        assert found.lower_bound <= truth + 1e-12 and found.termination != "the time limit was reached"

    def test_at_rate_zero(self) -> None:
        found = drcopt.solve(toy(), R=0, C={"a": 1.0, "b": None})
        assert found.status == "optimal" and found.rate == 0
        with pytest.raises(drcopt.InfeasibleError):
            drcopt.solve(toy(), R=0, C={"a": 0.9, "b": None})


class TestSweeps:
    def test_a_row_for_each(self) -> None:
        budgets = [{"a": 0.9, "b": None}, {"a": 0.95 * LN2, "b": inf}]
        table = drcopt.sweep(toy(), R=[0.4, 0.6], C=budgets[0], progress=False)
        found = drcopt.solve(toy(), R=0.6, C=budgets[0])
        assert table["distortion"].iloc[1] == pytest.approx(found.distortion, abs=1e-6)
        assert table["classification_loss_bits[a]"].iloc[1] == pytest.approx(found.classification_loss["a"], abs=1e-4)
        assert list(table["classification_budget_bits[a]"]) == [0.9] * 2
        assert list(table["classification_budget_bits[b]"]) == [inf] * 2
        assert set(table["curve"]) == {"C[a] = 0.9"} and list(table["status"]) == ["optimal"] * 2
        nats = drcopt.sweep(toy(), D=0.3, C=[budgets[1], None], units="nats", objective="rate", progress=False)
        assert nats["classification_budget_bits[a]"].iloc[0] == pytest.approx(0.95)
        assert list(nats["curve"])[1] == "no C" and (nats["objective"] == "rate").all()
        _, curves = drcopt.plotting.series.curves(table)
        assert [curve.label for curve in curves] == ["C[a] = 0.9"]
        assert "0.6" in export.latex(table) and len(export.brief(table)) == 2

    def test_of_the_least_loss(self) -> None:
        how: Any = {"objective": "classification_loss", "tol": 1e-3, "progress": False}
        table = drcopt.sweep(small(), R=[0.4, 0.6], D=[0.4], C={"a": 0.9}, **how)
        assert set(table["curve"]) == {"least H(b|Y), C[a] = 0.9"} and set(table["objective"]) == {
            "classification_loss"
        }
        assert list(table["distortion_budget"]) == [0.4, 0.4] and table["value"][1] < table["value"][0]
        assert (table["value"] == table["classification_loss_bits[b]"]).all()

    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            ({"C": [0.9]}, "C must have a budget for each class"),
            ({"C": []}, "it is empty"),
            ({"P": [0.1]}, r"P=\[0\.1\] came"),
            ({"checkpoint": "rows.jsonl"}, r"checkpoint='rows\.jsonl' came"),
            ({"verify": "interval"}, "verify='interval' came"),
            ({"formulation": "one-shot"}, "formulation='one-shot' came"),
            ({"objective": "classification_loss"}, "it says nothing of 'a', 'b'"),
            ({"objective": "perception"}, "'distortion', 'rate' or 'classification_loss'"),
            ({"objective": "rate"}, "R must not be given"),
        ],
    )
    def test_refused(self, wrong: Any, says: str) -> None:
        with pytest.raises(drcopt.InputError, match=says):
            drcopt.sweep(toy(), R=[0.4], **wrong)


class TestRefused:
    @pytest.mark.parametrize(
        ("C", "says"),
        [
            (0.5, "C must have a budget for each class, 'a', 'b'; it is 0.5"),
            ({"a": 1}, "there is none for class 'b'"),
            ({"a": 1, "b": 1, "c": 1}, "it has one for 'c'"),
            ({"a": 1, "b": -1}, r"C\['b'\] must be nonnegative"),
            ({"a": 1, "b": "x"}, r"C\['b'\] must be a number"),
        ],
    )
    def test_budgets(self, C: Any, says: str) -> None:
        with pytest.raises(drcopt.InputError, match=says):
            drcopt.solve(toy(), R=0.5, C=C)

    def test_a_mapping_for_one_class(self) -> None:
        with pytest.raises(drcopt.InputError, match="C must be a number"):
            drcopt.solve(toy().of_class("a"), R=0.5, C={"a": 0.5})

    @pytest.mark.parametrize(
        ("classes", "says"),
        [
            ({}, "arrays by the name of their class"),
            ({1: A}, "arrays by the name of their class"),
            ({"a": A, "b": [[1.0]]}, r"ps_given_x\['b'\] must have one row per letter"),
            ({"a": A, "b": [[0.5, 0.4]] * 3}, r"each row of ps_given_x\['b'\] must sum to 1"),
        ],
    )
    def test_channels(self, classes: Any, says: str) -> None:
        with pytest.raises(drcopt.InputError, match=says):
            drcopt.Problem(PX, PY, classes, D)

    def test_labels(self) -> None:
        with pytest.raises(drcopt.InputError, match="must not be given with several classes"):
            drcopt.Problem(PX, PY, {"a": A}, D, labels={"s": ["u", "v"]})

    @pytest.mark.parametrize(
        "settings",
        [
            {"formulation": "one-shot"},
            {"formulation": "time-sharing"},
            {"classifier_sees": "YU"},
            {"class_loss": "error"},
            {"engine": "global"},
        ],
    )
    def test_settings(self, settings: Any) -> None:
        with pytest.raises(drcopt.InputError, match=r"several classes must come with .* came\. Leave that out"):
            drcopt.solve(toy(), R=0.5, C={"a": 1, "b": 1}, **settings)

    def test_problems(self) -> None:
        C = {"a": 1, "b": 1}
        with pytest.raises(drcopt.InputError, match="d=inf came"):
            drcopt.solve(drcopt.Problem(PX, PY, {"a": A, "b": B}, [[0, inf, 1], [1, 0, 1], [1, 1, 0]]), R=0.5, C=C)

    def test_questions(self) -> None:
        for ask in (
            lambda: drcopt.surface(toy(), R=(0.1, 0.2)),
            lambda: drcopt.min_perception(toy(), R=0.1),
            lambda: drcopt.best_map(toy()),
        ):
            with pytest.raises(drcopt.InputError, match="one class here"):
                ask()
