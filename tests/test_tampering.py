"""Tampered proofs: nothing false is accepted."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from tampering import ALL_TAMPERS, CLASS_TAMPERS, DECISION_TAMPERS, FORBIDDEN_TAMPERS, LAW_TAMPERS, TAMPERS, tampered

import drcopt
from drcopt.errors import InputError

pytest.importorskip("flint")

from honest import CLASS_NAMES, DECISION_NAMES, FORBIDDEN_NAMES, LAW_NAMES, NAMES, Proof, known, one_shot, written

from drcopt.checker import check
from drcopt.checker.question import BUDGETS


def truth(data: Proof, objective: str, seconds: float) -> tuple[float, float]:
    """Bounds on the optimum of a proof's question, from a fresh solve."""

    def numbers(value: Any) -> Any:
        return [numbers(v) for v in value] if isinstance(value, list) else float.fromhex(value)

    try:
        px, d = (np.array(numbers(data["problem"][name])) for name in ("px", "d"))
        several = isinstance(data["problem"]["ps_given_x"], dict)
        channels = data["problem"]["ps_given_x"] if several else {"S": data["problem"]["ps_given_x"]}
        Ws = {name: np.array(numbers(W)) for name, W in channels.items()}
        Ws = {name: W / W.sum(axis=1, keepdims=True) for name, W in Ws.items()}
        py = None if data["problem"]["py"] is None else np.array(numbers(data["problem"]["py"]))
        law = None if py is None else py / py.sum()
        p = drcopt.Problem(px / px.sum(), law, Ws if several else Ws["S"], np.maximum(d, 0.0))
        assert (d >= 0).all()
        budgets = data.get("distortion_budget", "inf"), data["rate_budget"], data["classification_budget"]
        D, R = (math.inf if text == "inf" else float.fromhex(text) for text in budgets[:2])
        C = by_class(budgets[2])
        assert isinstance(C, dict) == several
        settings: dict[str, Any] = {"units": "nats", "on_failure": "return", "time_limit": seconds}
        settings |= {"formulation": data["formulation"], "classifier_sees": data["classifier_sees"]}
        if "losses" in data:
            settings["class_loss"] = np.array(numbers(data["losses"]))
        if "perception" in data:
            near = {key: numbers(value) for key, value in data["perception"].items() if key != "kind"}
            near |= {"kind": data["perception"]["kind"], "target": np.array(near["target"]) / sum(near["target"])}
            if objective == "perception" or data["objective"] == "perception":
                return least_perception(p, data, near, (D, R, C), seconds)
            settings["perception"] = drcopt.Perception(budget=float.fromhex(data["perception_budget"]), **near)
        if data["claim"].get("infeasible") is True and D < math.inf:  # otherwise a budget on E d is none on the least
            solution = drcopt.min_rate(p, D=D, C=C, **settings)
            if solution.status == "infeasible" or solution.lower_bound > R + 1e-9:
                return math.inf, math.inf
            met = not math.isnan(solution.rate) and solution.excess == 0 and solution.rate <= R
            return -math.inf, float(p.px @ p.d.max(axis=1)) if met else math.inf
        if objective != "distortion":
            asked = {"D": D, "C": C} if objective == "rate" else {"D": D, "R": R}
            if objective != "rate" and several:
                assert data["class"] in C
                asked["C"] = {name: limit for name, limit in C.items() if name != data["class"]}
            ask = drcopt.min_rate if objective == "rate" else drcopt.min_classification_loss
            solution = ask(p, **asked, **settings)
            if solution.status == "infeasible":
                return math.inf, math.inf
            known = not math.isnan(solution.value) and solution.excess == 0
            return solution.lower_bound - 1e-9, solution.value + 1e-9 if known else math.inf
        if data["formulation"] == "one-shot":
            assert p.m**p.n < 1000
            certificate, value = one_shot(p, min(R, 50.0), min(C, 50.0), data["classifier_sees"])
            return (value - 1e-9, value + 1e-9) if data["classifier_sees"] == "YU" else (certificate.lower, math.inf)
        solution = drcopt.solve(p, R=R, C=C, **settings)
    except (AssertionError, ValueError, OverflowError):
        return -math.inf, math.inf
    if solution.status == "infeasible":
        return math.inf, math.inf
    room = 1e-9 * p.d_most
    upper = math.inf if math.isnan(solution.distortion) else solution.distortion
    return solution.lower_bound - room, upper + room


def by_class(text: Any) -> Any:
    """A budget, or one for each class."""
    if isinstance(text, dict):
        return {name: by_class(one) for name, one in text.items()}
    return math.inf if text == "inf" else float.fromhex(text)


def least_perception(
    p: drcopt.Problem, data: Proof, near: dict[str, Any], budgets: tuple[float, float, float], seconds: float
) -> tuple[float, float]:
    """The same of the least divergence from a target; of no use where P has a budget of its own."""
    D, R, C = budgets
    if data["claim"].get("infeasible") is True or data["objective"] != "perception":
        return -math.inf, math.inf
    settings: dict[str, Any] = {"units": "nats", "on_failure": "return", "time_limit": seconds}
    solution = drcopt.min_perception(p, D=D, R=R, C=C, classifier_sees=data["classifier_sees"], **near, **settings)
    if solution.status == "infeasible":
        return math.inf, math.inf
    return solution.lower_bound - 1e-9, math.inf if math.isnan(solution.value) else solution.value + 1e-9


def aim(data: Proof) -> str:
    """What a proof's claim is about: that no point meets the budgets is about E d too."""
    return "distortion" if data["claim"].get("infeasible") is True else str(data["objective"])


def lies(data: Proof, name: str, seconds: float) -> tuple[bool, str]:
    """Whether a tampered proof is accepted, and what false thing it got past the checker, if any."""
    try:
        verdict = check(data)
    except InputError:
        return False, ""
    if not verdict.accepted and math.isinf(verdict.lower) and math.isinf(verdict.upper):
        return False, ""
    base, claim, found = written(name), data["claim"], []
    question = ("problem", "formulation", "classifier_sees", "perception", "losses", "class", *BUDGETS)
    same = aim(data) == aim(base) and all(data.get(key, "inf") == base.get(key, "inf") for key in question)
    if "distortion_budget" in data:  # which limits what is claimed to be infeasible only, where E d is the aim
        same = same and ("infeasible" in claim) == ("infeasible" in base["claim"])
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


def campaign(
    count: int, start: int, seconds: float, names: list[str] = NAMES, tampers: dict[str, Any] = TAMPERS
) -> tuple[int, list[str]]:
    """How many of ``count`` tampered proofs are rejected, and what was wrong with those accepted."""
    rejected, tried, wrong, kinds = 0, 0, [], list(tampers)
    for i in itertools.count(start):
        if tried == count:
            break
        name, kind = names[i % len(names)], kinds[(i // len(names) * 7 + i) % len(kinds)]
        data = tampered(written(name), kind, i)
        if data == written(name):
            continue  # there was nothing of that kind to tamper with
        tried += 1
        accepted, said = lies(data, name, seconds)
        rejected += not accepted
        if said:
            wrong.append(f"{i}: {kind} of {name!r}: {said}")
    return rejected, wrong


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


#: What else there are files about, and what only they can be tampered with.
ABOUT = {
    "laws": (LAW_NAMES, LAW_TAMPERS),
    "forbidden pairs": (FORBIDDEN_NAMES, FORBIDDEN_TAMPERS),
    "decisions": (DECISION_NAMES, DECISION_TAMPERS),
    "several classes": (CLASS_NAMES, CLASS_TAMPERS),
}


class TestTamperingWithMore:
    @pytest.mark.parametrize("name", [name for names, _ in ABOUT.values() for name in names])
    def test_honest_files_are_accepted(self, name: str) -> None:
        verdict = check(written(name))
        assert verdict.accepted, verdict.reason

    @pytest.mark.parametrize("about", ABOUT)
    def test_thirty_of_what_is_new(self, about: str) -> None:
        rejected, wrong = campaign(30, 0, 0.3, *ABOUT[about])
        assert not wrong
        assert rejected >= 10

    @pytest.mark.slow
    @pytest.mark.parametrize("about", ABOUT)
    def test_a_thousand(self, about: str) -> None:
        rejected, wrong = campaign(1000, 30, 2.0, ABOUT[about][0], ALL_TAMPERS)
        print(f"1000 tampered proofs about {about}: {rejected} claims rejected, {len(wrong)} false ones accepted")
        assert not wrong
