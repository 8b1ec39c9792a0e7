"""One file proves a whole surface; what it claims beyond that is rejected."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flint")

import drcopt
from drcopt.checker import check
from drcopt.errors import InputError
from drcopt.sweeps.surface_proof import to_dict
from drcopt.sweeps.surface_reading import surface_of


@pytest.fixture(scope="module")
def surface() -> drcopt.Surface:
    return drcopt.surface(drcopt.sources.bernoulli(), R=(0.3, 0.8), C=(0.75, 0.9), tol=5e-3, resolution=1 / 16)


@pytest.fixture(scope="module")
def proof(surface: drcopt.Surface) -> dict[str, Any]:
    return to_dict(surface.refinement)


def test_the_file_is_accepted_and_says_what_it_proves(surface: drcopt.Surface, tmp_path: Path) -> None:
    path = tmp_path / "surface.json"
    surface.save(path)
    verdict = check(path)
    assert verdict.accepted, verdict.reason
    proved = next(line for line in verdict.statements if line.startswith("proved: in"))
    assert float(proved.split()[2]) > 80
    assert verdict.fingerprint == surface.problem.fingerprint


@pytest.fixture(scope="module")
def places() -> dict[str, Any]:
    grid = drcopt.surface(drcopt.sources.bernoulli(), R=(0.3, 0.8), C=(0.75, 0.9), tol=5e-3, at=(4, 3))
    return to_dict(grid.refinement)


@pytest.mark.parametrize(
    ("source", "arguments"),
    [
        (drcopt.sources.bernoulli(), {"R": (0.1, 0.8)}),
        (drcopt.sources.bernoulli(), {"D": (0.1, 0.3), "C": 0.9, "objective": "rate", "tol": 1e-2}),
        (drcopt.sources.bernoulli(), {"R": (0.2, 0.8), "C": 0.9, "formulation": "time-sharing", "tol": 1e-2}),
        (drcopt.sources.bernoulli(), {"R": (0.2, 0.8), "perception": ("tv", 0.05), "tol": 1e-2}),
    ],
)
def test_curves_and_other_questions(source: drcopt.Problem, arguments: dict[str, Any]) -> None:
    curve = drcopt.surface(source, **arguments)
    verdict = check(to_dict(curve.refinement))
    assert verdict.accepted, verdict.reason
    assert any(line.startswith("proved: in 100 %") for line in verdict.statements)


def known(proof: dict[str, Any]) -> list[dict[str, Any]]:
    return [box for box in proof["boxes"] if box.get("tau") is not None]


class TestTampering:
    """What is changed is found: a claim that is not proved is rejected, or the file refused."""

    def rejected(self, proof: dict[str, Any]) -> bool:
        try:
            return not check(proof).accepted
        except InputError:
            return True

    def test_a_smaller_gap(self, proof: dict[str, Any]) -> None:
        assert self.rejected(proof | {"gap": (float.fromhex(proof["gap"]) / 50).hex()})

    def test_a_larger_share(self, proof: dict[str, Any]) -> None:
        assert self.rejected(proof | {"known": "1"})
        assert self.rejected(proof | {"infeasible": "1/2"})

    def test_a_box_counted_twice(self, proof: dict[str, Any]) -> None:
        assert self.rejected(proof | {"boxes": [*proof["boxes"], proof["boxes"][0]]})

    def test_a_box_that_is_called_infeasible(self, proof: dict[str, Any]) -> None:
        changed = copy.deepcopy(proof)
        box = known(changed)[0]
        del box["tau"], box["corners"]
        assert self.rejected(changed)

    @pytest.mark.parametrize("axis", [0, 1])
    def test_a_box_that_reaches_further(self, proof: dict[str, Any], axis: int) -> None:
        """Down to budgets that its mixtures do not meet."""
        changed = copy.deepcopy(proof)
        changed["boxes"] = [max(known(changed), key=lambda box: float.fromhex(box["low"][axis]))]
        low = changed["boxes"][0]["low"]
        low[axis] = (0.6 * float.fromhex(low[axis])).hex()
        ends = list(changed["ranges"].values())[axis]
        ends[0] = low[axis]
        changed |= {"known": "0", "infeasible": "0"}
        assert self.rejected(changed)

    def test_a_mixture_that_forgets_its_loss(self, proof: dict[str, Any]) -> None:
        """All weight on the point of least E d."""
        changed = copy.deepcopy(proof)
        for box in known(changed):
            box["corners"] = [[[0, "1"]] for _ in box["corners"]]
        assert self.rejected(changed)

    def test_levels_come_from_the_evidence(self, proof: dict[str, Any]) -> None:
        changed = copy.deepcopy(proof)
        changed["evidence"] = [{"kind": "data-processing"}] * len(proof["evidence"])
        assert self.rejected(changed)

    def test_points_are_weighed_anew(self, proof: dict[str, Any]) -> None:
        changed, n, m = copy.deepcopy(proof), 2, 2
        for parts in changed["points"]:
            parts[0]["coupling"] = [[(1.0 / (n * m)).hex()] * m for _ in range(n)]
        assert self.rejected(changed)

    @pytest.mark.parametrize(
        "changes",
        [
            {"drcopt-surface": 2}, {"ranges": {}}, {"ranges": {"distortion_budget": ["0", "1"]}},
            {"ranges": {"rate_budget": ["1", "1/2"]}}, {"rate_budget": "1"}, {"boxes": [{}]}, {"boxes": [3]},
            {"points": [[]]}, {"gap": "-1"}, {"objective": "perception"}, {"formulation": "one-shot"}, {"more": 1},
        ],
    )  # fmt: skip
    def test_what_is_no_surface(self, proof: dict[str, Any], changes: dict[str, Any]) -> None:
        with pytest.raises(InputError, match="proof-format"):
            check(proof | changes)

    def test_an_index_beyond_the_end(self, proof: dict[str, Any]) -> None:
        for name, value in (("tau", 10**6), ("tree", 10**6), ("corners", [[[10**6, "1"]]] * 4)):
            changed = copy.deepcopy(proof)
            known(changed)[0][name] = value
            with pytest.raises(InputError, match="index"):
                check(changed)

    def test_it_is_bounded(self, proof: dict[str, Any]) -> None:
        with pytest.raises(InputError, match="more operations than are allowed"):
            check(proof, operations=1000.0)


class TestPlaces:
    """A grid's file proves what it says of its places, once each."""

    def test_they_are_proved(self, places: dict[str, Any]) -> None:
        verdict = check(places)
        assert verdict.accepted, verdict.reason
        assert any(line.startswith("proved: at 12 places") for line in verdict.statements)
        assert surface_of(places).table().shape[0] == 12

    def test_one_counts_once(self, places: dict[str, Any]) -> None:
        with pytest.raises(InputError, match="overlap"):
            check(places | {"boxes": [*places["boxes"], places["boxes"][0]]})

    def test_one_has_no_share(self, places: dict[str, Any]) -> None:
        verdict = check(places | {"known": "1/100"})
        assert verdict.reason == "it claims larger shares than it proves"

    def test_one_that_is_tighter(self, places: dict[str, Any]) -> None:
        changed = copy.deepcopy(places)
        inside = [b for b in changed["boxes"] if "corners" in b and float.fromhex(b["low"][0]) > 0.3]
        box = min(inside, key=lambda b: float.fromhex(b["low"][0]))
        box["low"][0] = box["high"][0] = (0.9 * float.fromhex(box["low"][0])).hex()
        assert not check(changed).accepted

    def test_a_line_is_neither_place_nor_box(self, places: dict[str, Any]) -> None:
        changed = copy.deepcopy(places)
        box = next(b for b in changed["boxes"] if float.fromhex(b["low"][0]) < 0.5)
        box["high"][0] = (1.01 * float.fromhex(box["low"][0])).hex()
        with pytest.raises(InputError, match="neither a place nor a box"):
            check(changed)


def test_a_common_classifier_bounds_a_mixture(surface: drcopt.Surface) -> None:
    """H(S|Y) of a mixture is more than the mean of its parts: the file must not count it so."""
    question, rng = surface.question, np.random.default_rng(0)
    ceiling = surface.refinement.known.ceiling
    for k in range(len(ceiling.points)):
        for i, j in rng.integers(len(ceiling.points), size=(10, 2)):
            P = 0.5 * sum(ceiling.points[a].parts[0].coupling for a in (i, j))
            counted = 0.5 * float(ceiling.losses(k)[i] + ceiling.losses(k)[j])
            assert question.problem.classification_loss(P) <= counted + 1e-12


def test_the_command_checks_it(surface: drcopt.Surface, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from drcopt.cli import main

    path = tmp_path / "surface.json"
    surface.save(path)
    assert main(["check", str(path), "--problem", "bernoulli"]) == 0
    assert "its arrays are those of bernoulli" in capsys.readouterr().out
    proof = json.loads(path.read_text()) | {"known": "1"}
    path.write_text(json.dumps(proof))
    assert main(["check", str(path)]) == 1
    assert "larger shares" in capsys.readouterr().err
    assert math.isinf(check(proof).upper)
