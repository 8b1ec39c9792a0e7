"""The format of proof files: old ones stay readable, and what it does not allow is refused."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from drcopt.certify import proof
from drcopt.errors import InputError

pytest.importorskip("flint")

from honest import written

from drcopt.checker import check, schema


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
        found = schema.number(proof.number(x))
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


class TestUnreadable:
    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("drcopt-proof", 3, "its version is 3, not 1 to 2"),
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
