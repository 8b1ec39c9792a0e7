"""The question of a proof file, what half-spaces say about it, and what the file claims."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb

from drcopt.checker import point, schema
from drcopt.checker.balls import digits, nats, to_float
from drcopt.checker.balls import least as least_of
from drcopt.checker.decisions import Decisions
from drcopt.checker.evidence import Evidence, region
from drcopt.checker.halfspaces import HalfSpace, Region, place
from drcopt.checker.perception import Perception
from drcopt.checker.point import Spent
from drcopt.checker.problem import Problem

DISTORTION, RATE, LOSS, PERCEPTION = range(4)
OBJECTIVES = {
    "distortion": DISTORTION,
    "rate": RATE,
    "classification-loss": LOSS,
    "perception": PERCEPTION,
}
BUDGETS = ("distortion_budget", "rate_budget", "classification_budget", "perception_budget")
POINTS = {
    "single-letter": "coupling",
    "time-sharing": "mixture of couplings",
    "one-shot": "mixture of maps",
}
RATES = {"single-letter": "I(X;Y)", "time-sharing": "I(X;Y|Q)", "one-shot": "H(Y|U)"}
#: What the classifier may read.
VIEWS = {"single-letter": ("Y", "message"), "time-sharing": ("Y",), "one-shot": ("Y", "YU")}


@dataclass(frozen=True)
class Verdict:
    """What a proof file proves, whatever it claims: strictly ``lower`` ≤ optimum ≤ ``upper``.

    ``accepted``: that covers its claim; else ``reason`` says why not. ``upper`` is inf unless the
    file's point is proved to meet the budgets; both are inf if it is proved that no point does.
    ``statements`` are true as printed: budgets that a bound supposes are rounded down, what a point
    spends is rounded up.
    """

    accepted: bool
    statements: tuple[str, ...]
    lower: float
    upper: float
    reason: str = ""
    fingerprint: str = ""


class Question:
    """Minimise one of E d, rate, loss and perception with budgets for the others.

    The losses of further classes come after these (:func:`.halfspaces.place`). The budget of what
    is minimised is used by a claim of infeasibility only.
    """

    def __init__(self, data: Any, operations: float) -> None:
        schema.record("proof", data)
        version = data["drcopt-proof"]
        if type(version) is not int or not 1 <= version <= schema.VERSION:
            raise ValueError(f"its version is {version!r:.20}, not 1 to {schema.VERSION}")
        self.data, self.kind, sees = data, data["formulation"], data["classifier_sees"]
        views = VIEWS.get(self.kind, ()) if isinstance(self.kind, str) else ()
        if not isinstance(sees, str) or sees not in views:
            raise ValueError(
                f"there is no formulation {self.kind!r:.20} whose classifier sees {sees!r:.20}"
            )
        if not isinstance(data["objective"], str) or data["objective"] not in OBJECTIVES:
            raise ValueError(f"there is no objective {data['objective']!r:.40}")
        self.aim = OBJECTIVES[data["objective"]]
        self.message = sees == "message"
        self.problem = p = Problem(data["problem"])
        given = [data.get(name, "inf") for name in BUDGETS]
        given[LOSS], *more = p.by_class(data["classification_budget"])
        self.given = [*given, *more]
        self.budgets = [_budget(text) for text in self.given]
        self.own = self.of_class()
        if self.aim == LOSS:
            self.aim = place(self.own)
        forbidden = not p.allowed.all()
        if version == 1 and (p.PY is None or self.message or "perception" in data or forbidden):
            raise ValueError(
                "its version is 1: laws of Y, messages and forbidden pairs are of version 2"
            )
        if forbidden and (self.kind == "one-shot" or "perception" in data):
            raise ValueError("one-shot codes and perception need a finite d")
        if p.several and (version == 1 or self.kind != "single-letter" or "losses" in data):
            raise ValueError("several classes are of version 2, single-letter and without losses")
        self.perception = None
        if "perception" in data:
            if p.PY is not None or (self.budgets[PERCEPTION] is None and self.aim != PERCEPTION):
                raise ValueError("a perception has py null, and a budget or is minimised")
            self.perception = Perception(data["perception"], p.m)
        elif "perception_budget" in data or self.aim == PERCEPTION:
            raise ValueError("there is no perception")
        self.decisions = None
        if "losses" in data:
            if version == 1 or (self.kind == "time-sharing" and "perception" in data):
                raise ValueError("losses are of version 2, of mixtures without a perception")
            self.decisions = Decisions(data["losses"], p)
        seen = {"time-sharing": "Y,Q"}.get(self.kind, "V" if self.message else ",".join(sees))
        rate = "I(X;V)" if self.message else RATES[self.kind]
        loss, *losses = [f"H({p.shown(j)}|{seen})" for j in range(len(p.names))]
        loss = f"{self.decisions.name} given {seen}" if self.decisions else loss
        self.names = ("E d", rate, loss, self.perception and self.perception.name, *losses)
        # No point needs more; a message may have more letters than Y.
        most_rate = p.HX if self.message else p.HX.min(p.HY)
        most_loss = self.decisions.most if self.decisions else p.HS[0]
        most = (p.PX @ _largest(p.D), most_rate, most_loss, arb("inf"), *p.HS[1:])
        pairs = zip(self.budgets, most, strict=True)
        self.limits = [reach if budget is None else reach.min(budget) for budget, reach in pairs]
        self.evidence = Evidence(
            p, self.perception, data["objective"], sees, operations, version, self.own
        )

    def of_class(self) -> int:
        """The class whose loss is minimised, if one is."""
        p, named = self.problem, "class" in self.data
        if named != (p.several and self.aim == LOSS):
            raise ValueError("a class is named where there are several and the loss is minimised")
        if named and self.data["class"] not in p.names:
            raise ValueError(f"there is no class {self.data['class']!r:.40}")
        return p.names.index(self.data["class"]) if named else 0

    def measured(self) -> list[int]:
        """The quantities of a point."""
        every = range(len(self.budgets))
        return [q for q in every if q != PERCEPTION or self.perception is not None]

    def others(self) -> list[int]:
        """The quantities that have a budget which the points in question meet."""
        every = range(len(self.budgets))
        return [q for q in every if q != self.aim and self.budgets[q] is not None]

    def bound(self, piece: HalfSpace) -> Any:
        """Of the objective in a half-space; None if no point that meets the budgets lies there."""
        rest = piece.least
        for q, weight in enumerate(piece.weights):
            if q != self.aim and not weight.is_zero():
                rest -= weight * self.limits[q]
        own = piece.weights[self.aim] if self.aim < len(piece.weights) else arb(0)
        if own > 0:
            return rest / own
        return None if rest > 0 else arb("-inf")

    def least(self, found: Region) -> Any:
        """A ball whose lower end bounds the objective; None if no point meets the budgets."""
        bounds = [self.bound(piece) for piece in found.everywhere]
        if found.leaves:
            inside = [bound for bound in map(self.bound, found.leaves) if bound is not None]
            bounds.append(least_of(inside) if inside else None)
        if any(bound is None for bound in bounds):
            return None
        finite = [bound for bound in bounds if bound.is_finite()]
        return -least_of([-bound for bound in finite]) if finite else arb("-inf")

    def show(self, q: int, value: Any, up: bool) -> str:
        """A quantity in words, rounded up or down."""
        return nats(value, up) if self.in_nats(q) else digits(value, up)

    def in_nats(self, q: int) -> bool:
        """Whether a quantity is measured in nats."""
        if q == PERCEPTION:
            return self.perception is not None and self.perception.in_nats
        return q != DISTORTION and not (q == LOSS and self.decisions)

    def verdict(self, tolerance: float) -> Verdict:
        """The whole check; see :func:`drcopt.checker.check`."""
        p, q, claim = self.problem, self.aim, self.data["claim"]
        alone = p.n == 1 or (p.m == 1 and not self.message)
        still = alone or (q != RATE and self.budgets[RATE] == 0)
        infeasible = isinstance(claim, dict) and "infeasible" in claim
        schema.record("claim of infeasibility" if infeasible else "claim of bounds", claim)
        evidence = self.data["evidence"]
        if self.decisions:
            found = self.decisions.region(evidence, self.evidence, self.kind, still)
        else:
            found = region(evidence, self.evidence, self.kind, still)
        any_law = " with any law" * (p.PY is None and self.perception is None)
        least, note = self.least(found), found.note
        said = [
            f"problem {p.fingerprint}: {p.described(any_law)}",
            self.proved(least),
        ]
        if infeasible:
            return self.infeasible(claim, least, said, note)
        spent, excess, problems = None, False, []
        if self.data["point"] is not None:
            spent = self.point()
            said.append(
                "the file's point has " + self.each([(i, spent[i], True) for i in self.measured()])
            )
            over = [i for i in self.others() if not spent[i] <= self.budgets[i]]
            excess = bool(over)
            if excess:
                said.append(self.holds_for(spent))
            elif least is not None:
                ends = f"[{self.show(q, least, False)}, {self.show(q, spent[q], True)}]"
                said.append(f"so the least {self.names[q]}{self.exactly()} lies in {ends}")
            problems += [words for i in over if (words := self.exceeds(i, spent[i], tolerance))]
        lower = math.inf if least is None else to_float(least, False)
        upper = math.inf if spent is None else to_float(spent[q], True)
        problems += self.misses(claim, lower, upper, tolerance)
        reason = "; ".join(problems) + note * bool(problems)
        return Verdict(
            not problems, tuple(said), lower, math.inf if excess else upper, reason, p.fingerprint
        )

    def infeasible(self, claim: Any, least: Any, said: list[str], note: str) -> Verdict:
        """Whether the objective's least value exceeds its own budget."""
        if claim["infeasible"] is not True:
            raise ValueError('"infeasible" is true or absent')
        if self.data["point"] is not None:
            raise ValueError("what is infeasible has no point")
        own, mark = self.budgets[self.aim], self.problem.fingerprint
        if least is not None and (own is None or not least > own):
            reason = "the least value proved does not exceed its budget" + note
            return Verdict(False, tuple(said), -math.inf, math.inf, reason, mark)
        if least is not None:
            said.append(f"so none has {self.names[self.aim]} ≤ {self.show(self.aim, own, False)}")
        return Verdict(True, tuple(said), math.inf, math.inf, "", mark)

    def point(self) -> Spent:
        """What the file's point spends."""
        p, many = self.problem, 1 if self.kind == "single-letter" else None
        parts = schema.listed(self.data["point"], many)
        columns = len(parts[0]["coupling"][0]) if self.message else p.m
        self.evidence.spend(float(len(parts)) * p.n * (p.m + columns) * (p.k + 4.0))
        rate, phi = (None if self.aim == i else self.budgets[i] for i in (RATE, PERCEPTION))
        loss = self.decisions.loss if self.decisions else p.losses
        if self.kind == "one-shot":
            one = self.decisions.loss if self.decisions else p.loss
            return point.maps(p, self.perception, parts, (rate, phi), self.evidence.by_part, one)
        spent = point.couplings(p, self.perception, parts, (rate, phi), self.message, loss)
        first, *more = np.atleast_1d(spent[LOSS])
        return (*spent[:LOSS], first, spent[PERCEPTION], *more)

    # -- in words, each true as printed --------------------------------------------------

    def each(self, values: list[tuple[int, Any, bool]]) -> str:
        """Limits on quantities."""
        said = [f"{self.names[q]} ≤ {self.show(q, value, up)}" for q, value, up in values]
        return " and ".join(part for part in (", ".join(said[:-1]), *said[-1:]) if part)

    def proved(self, least: Any) -> str:
        """The bound, for budgets rounded down: fewer points meet these."""
        given = self.each([(q, self.budgets[q], False) for q in self.others()])
        start = f"{POINTS[self.kind]}{' with ' * bool(given)}{given}"
        if least is None:
            return f"proved: there is no {start}"
        bound = self.show(self.aim, least, False)
        return f"proved: every {start} has {self.names[self.aim]} ≥ {bound}"

    def exactly(self) -> str:
        """The budgets as the file gives them, to the last digit."""
        given = [f"{self.called(q)} {self.given[q]}" for q in self.others()]
        return f" at {' and '.join(given)} exactly" if given else ""

    def called(self, q: int) -> str:
        """The field that has the budget of a quantity."""
        own = [j for j in range(len(self.problem.names)) if self.problem.several and place(j) == q]
        return f"{BUDGETS[LOSS]} of {self.problem.shown(own[0])}" if own else BUDGETS[q]

    def holds_for(self, spent: Spent) -> str:
        """What a point that exceeds a budget is good for: budgets that it meets."""
        met = self.each([(q, spent[q], True) for q in self.others()])
        value = self.show(self.aim, spent[self.aim], True)
        return (
            f"it exceeds a budget: with {met} the least {self.names[self.aim]} is at most {value}"
        )

    def exceeds(self, q: int, value: Any, tolerance: float) -> str:
        """What is wrong with a point's excess over a budget, if that is beyond the tolerance."""
        excess = value - self.budgets[q]
        if excess <= tolerance * self.size(q):
            return ""
        by, unit = to_float(excess, True), " nats" * self.in_nats(q)
        start = "the point is not proved to meet the budgets"
        return f"{start}: it may exceed that of {self.names[q]} by {by:.3g}{unit}"

    def misses(self, claim: Any, lower: float, upper: float, tolerance: float) -> list[str]:
        """Bounds that are claimed and not proved."""
        problems = []
        schema.positive(claim.get("excess", "0"))  # a file may admit to one; it is not forgiven
        for name, end, sign in (("lower", lower, 1), ("upper", upper, -1)):
            if claim[name] == ("-inf" if sign > 0 else "inf"):
                continue
            miss = sign * (arb(schema.number(claim[name])) - arb(end))
            if not miss <= tolerance * self.size(self.aim):
                start = f"the {name} bound claimed is better by {float(miss):.3g}"
                problems.append(f"{start} than the {end!r} proved")
        return problems

    def size(self, q: int) -> Any:
        """What a tolerance is relative to."""
        if q == LOSS and self.decisions:
            return self.decisions.table.max()
        return abs(self.problem.D).max() if q == DISTORTION else arb(1)


def _budget(text: Any) -> Any:
    return None if text == "inf" else arb(schema.positive(text))


def _largest(rows: Any) -> Any:
    """Of each row of balls, one that holds the largest."""
    return np.array([-least_of(-row) for row in rows])
