"""Checks what a file says of a whole rectangle of budgets: see docs/proof-format.md, "surface".

Between its corners a box is known because of convexity. Fix class posteriors τ; the loss of a
mixture Σ λ_i P_i is at most Σ λ_i h_i, h_i = −Σ_sy T_i(s,y) log τ_y(s), T_i = p(s,y) of point i,
H(S|Y) being concave; its rate is at most Σ λ_i I_i and its E d is Σ λ_i (E d)_i. The least of the
objective over mixtures that meet the budgets so counted is convex in the budgets, and what a leaf
of a tree says is affine in them. A divergence of Y's law from a target is convex in the law, so
that a mixture has Σ λ_i φ_i at most. So ceiling − min over leaves is at most what it is at the
worst corner. Without τ, the ceiling at the tightest corner holds all over the box, and so does the
floor at the loosest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from flint import arb, fmpq

from drcopt.checker import point, schema
from drcopt.checker.balls import digits, to_float
from drcopt.checker.balls import least as least_of
from drcopt.checker.evidence import region
from drcopt.checker.halfspaces import HalfSpace, always
from drcopt.checker.question import BUDGETS, LOSS, PERCEPTION, POINTS, RATE, Question, Verdict

VERSION = 1
#: Most boxes of a file.
MOST_BOXES = 2**14
#: How much of the law of S is mixed into τ, so that no logarithm is infinite.
INSET = fmpq(1, 2**46)


class Surface(Question):
    """A rectangle of budgets, boxes or places of which the objective is known at, to a gap."""

    def __init__(self, data: Any, operations: float) -> None:
        schema.record("surface", data)
        version = data["drcopt-surface"]
        if type(version) is not int or version != VERSION:
            raise ValueError(f"its version is {version!r:.20}, not {VERSION}")
        self.surface = data
        names = ("problem", "formulation", "classifier_sees", "objective", "perception", *BUDGETS)
        plain = {name: data[name] for name in names if name in data}
        for name in BUDGETS[RATE : LOSS + 1]:
            plain.setdefault(name, "inf")
        ranges = data["ranges"]
        if not isinstance(ranges, dict) or not 1 <= len(ranges) <= 3:
            raise ValueError("a surface has one to three ranges")
        if BUDGETS[PERCEPTION] in ranges:  # every point is to meet the largest
            plain[BUDGETS[PERCEPTION]] = schema.listed(ranges[BUDGETS[PERCEPTION]], 2)[1]
        rest = {"drcopt-proof": schema.VERSION, "claim": None, "point": None, "evidence": None}
        super().__init__(plain | rest, operations)
        if self.kind not in ("single-letter", "time-sharing") or self.aim == PERCEPTION:
            raise ValueError("a surface is of couplings, and minimises no perception")
        if not self.problem.allowed.all() or self.problem.several:
            raise ValueError("a surface needs a finite d and one class")
        self.axes = [BUDGETS.index(name) for name in ranges]
        if self.aim in self.axes or set(ranges) & set(data):
            raise ValueError("a range is of a budget that is limited, and not fixed as well")
        self.ends = [_pair(end) for end in ranges.values()]
        # Whether the loss of a mixture is the average of its parts'.
        self.linear = self.kind == "time-sharing" or self.message

    def verdict(self, tolerance: float) -> Verdict:
        """The whole check; see :func:`drcopt.checker.check`."""
        p, data = self.problem, self.surface
        gap, known, nothing = (schema.positive(data[n]) for n in ("gap", "known", "infeasible"))
        self.spent, self.joints = [], []
        for parts in schema.listed(data["points"]) if data["points"] else []:
            self.data["point"] = parts
            self.spent.append(self.point_of(parts))
            self.joints.append(None if self.linear else point.joint(p, parts, False))
        self.logs: dict[int, Any] = {}
        self.trees = [
            region(one, self.evidence, self.kind, False).leaves
            for one in (schema.listed(data["evidence"]) if data["evidence"] else [])
        ]
        self.single = [*always(p), *self.evidence.data_processing()]
        boxes = schema.listed(data["boxes"]) if data["boxes"] else []
        if len(boxes) > MOST_BOXES:
            raise ValueError(f"it has {len(boxes)} boxes, more than {MOST_BOXES}")
        corners: list[Any] = []
        total, empty, bad, places = fmpq(0), fmpq(0), 0, 0
        whole = _volume(self.ends)
        for box in boxes:
            infeasible = isinstance(box, dict) and "corners" not in box
            schema.record("infeasible box" if infeasible else "known box", box)
            sides = self.sides(box)
            self.evidence.spend(len(corners))  # all may begin together
            corners.append(sides)
            volume = _volume(sides) / whole
            fine = self.is_empty(box, sides) if infeasible else self.is_known(box, sides, gap)
            bad += not fine
            places += fine and not volume
            total += volume * fine
            empty += volume * (fine and infeasible)
        if _overlap(corners):
            raise ValueError("two of its boxes overlap")
        shares = [f"{100 * to_float(arb(v), False):.4g} %" for v in (total, empty)]
        where = " and ".join(
            f"on {self.names[q]} from {self.show(q, arb(low), True)} "
            f"to {self.show(q, arb(high), False)}"
            for q, (low, high) in zip(self.axes, self.ends, strict=True)
        )
        said: tuple[str, ...] = (
            f"problem {p.fingerprint}: {p.described()}",
            f"budgets {where}",
        )
        least = f"the least {self.names[self.aim]} of a {POINTS[self.kind]}"
        within = f"known to {digits(arb(gap), True)}"
        if places:
            said += (
                f"proved: at {places} places, each with one set of budgets, {least} is {within}, "
                "or that nothing meets them",
            )
        if places < len(boxes) or not boxes:
            said += (
                f"proved: in {shares[0]} of them {least} is {within}",
                f"in {shares[1]} of them, among these, no {POINTS[self.kind]} meets the budgets",
            )
        reasons = [f"{bad} of {len(boxes)} boxes are not proved"] if bad else []
        if total < known or empty < nothing:
            reasons.append("it claims larger shares than it proves")
        lower, upper = float("-inf"), float("inf")
        return Verdict(not reasons, said, lower, upper, "; ".join(reasons), p.fingerprint)

    def point_of(self, parts: Any) -> Any:
        """What a point spends; where a perception is limited it must meet that."""
        many = 1 if self.kind == "single-letter" else None
        schema.listed(parts, many)
        columns = len(parts[0]["coupling"][0]) if self.message else self.problem.m
        size = float(len(parts)) * self.problem.n * (self.problem.m + columns)
        self.evidence.spend(2 * size * (self.problem.k + 4.0))
        spent = point.couplings(
            self.problem, self.perception, parts, (None, None), self.message, self.problem.loss
        )
        limit = self.budgets[PERCEPTION]
        if limit is not None and not spent[PERCEPTION] <= limit:
            raise ValueError("a point exceeds its perception budget")
        return spent

    def sides(self, box: Any) -> list[tuple[Any, Any]]:
        """The ends of a box by axis, within the rectangle."""
        lows, highs = (schema.array(box[name], len(self.axes)) for name in ("low", "high"))
        found = list(zip(lows, highs, strict=True))
        for (low, high), (least, most) in zip(found, self.ends, strict=True):
            if not least <= low <= high <= most:
                raise ValueError("a box is empty or lies outside its rectangle")
        if len({low < high for low, high in found}) > 1:
            raise ValueError("a box is neither a place nor a box of all ranges")
        return found

    def corners(self, sides: list[tuple[Any, Any]]) -> list[list[Any]]:
        """The budgets at all corners, the tightest first and the loosest last; a place has one."""
        found = [list(self.limits)]
        for q, ends in zip(self.axes, sides, strict=True):
            apart = ends if ends[0] < ends[1] else ends[:1]
            found = [[*c[:q], arb(end), *c[q + 1 :]] for c in found for end in apart]
        return found

    def leaf(self, piece: HalfSpace, limits: list[Any]) -> Any:
        """What a half-space says of the objective; None: no point of it meets the limits."""
        rest, own = piece.least, piece.weights[self.aim]
        for q, weight in enumerate(piece.weights):
            if q != self.aim and not weight.is_zero():
                rest -= weight * limits[q]
        if own > 0:
            return rest / own
        return None if rest > 0 else arb("-inf")

    def sets(self, box: Any) -> list[list[HalfSpace]]:
        """The half-spaces of the tree that a box names, and those that hold of all points."""
        tree = box["tree"]
        named = [] if tree is None else [self.trees[schema.index(tree, len(self.trees))]]
        return [found for found in named if found] + [[piece] for piece in self.single]

    def is_empty(self, box: Any, sides: list[tuple[Any, Any]]) -> bool:
        """Whether no point meets the loosest budgets of a box."""
        loosest = self.corners(sides)[-1]
        return any(
            all(self.leaf(piece, loosest) is None for piece in pieces) for pieces in self.sets(box)
        )

    def is_known(self, box: Any, sides: list[tuple[Any, Any]], gap: Any) -> bool:
        """Whether ceiling and floor lie within the gap all over a box."""
        corners, tau = self.corners(sides), box["tau"]
        if tau is not None:
            schema.index(tau, len(self.spent))
        mixtures = schema.listed(box["corners"], 1 if tau is None else len(corners))
        pairs = zip(mixtures, corners, strict=False)
        uppers = [self.ceiling(mixture, tau, limits) for mixture, limits in pairs]
        if any(upper is None for upper in uppers):
            return False
        where = [corners[-1]] if tau is None else corners
        return any(
            all(
                self.within(upper, [self.leaf(piece, limits) for piece in pieces], gap)
                for upper, limits in zip(uppers, where, strict=True)
            )
            for pieces in self.sets(box)
        )

    def within(self, upper: Any, floors: list[Any], gap: Any) -> bool:
        """Whether a ceiling is at most so much above the least of what leaves say."""
        said = [floor for floor in floors if floor is not None]
        return not said or bool(upper - least_of(said) <= gap)

    def ceiling(self, mixture: Any, tau: Any, limits: list[Any]) -> Any:
        """The objective of a mixture, at most; None unless it meets the limits."""
        members = [
            (schema.index(i, len(self.spent)), schema.positive(w))
            for i, w in (schema.listed(pair, 2) for pair in schema.listed(mixture))
        ]
        total = sum((w for _, w in members), fmpq(0))
        if not total or (tau is None and len(members) > 1):
            raise ValueError("a mixture is empty, or has several points and no τ")
        spent = [arb(0)] * 4
        for i, w in members:
            for q in self.measured():
                value = self.loss(i, tau) if q == LOSS else self.spent[i][q]
                spent[q] = spent[q] + arb(w / total) * value
        for q in range(4):
            # Every point meets a perception that is held, and so do mixtures.
            held = q in self.axes or (q != PERCEPTION and self.budgets[q] is not None)
            if q != self.aim and held and not spent[q] <= limits[q]:
                return None
        return spent[self.aim]

    def loss(self, i: int, tau: Any) -> Any:
        """What point i loses to a classifier that believes τ, the posteriors of a point."""
        if self.linear or tau is None:
            return self.spent[i][LOSS]
        if tau not in self.logs:
            joint = self.joints[tau]
            law = joint.sum(axis=0)
            prior = self.problem.PX @ self.problem.W
            inset, rest = arb(INSET), arb(1 - INSET)
            mixed = [[rest * joint[s, y] / law[y] + inset * prior[s]
                      for y in range(self.problem.m)] for s in range(self.problem.k)]  # fmt: skip
            self.logs[tau] = np.array([[-t.log() for t in row] for row in mixed], dtype=object)
        self.evidence.spend(2.0 * self.problem.m * self.problem.k)
        return (self.joints[i] * self.logs[tau]).sum()


def _pair(ends: Any) -> tuple[Any, Any]:
    low, high = schema.array(ends, 2, read=schema.positive)
    if not low < high:
        raise ValueError("a range has its least budget first, and a larger one")
    return low, high


def _volume(sides: list[tuple[Any, Any]]) -> Any:
    product = fmpq(1)
    for low, high in sides:
        product *= high - low
    return product


def _overlap(boxes: list[list[tuple[Any, Any]]]) -> bool:
    """Whether two boxes share more than a side, or two places are one: sorted by their first axis,
    each against those that begin before it ends.
    """
    ordered = sorted(boxes, key=lambda sides: sides[0][0])
    open_: list[list[tuple[Any, Any]]] = []
    for sides in ordered:
        open_ = [other for other in open_ if other[0][1] >= sides[0][0]]
        for other in open_:
            pairs = list(zip(sides, other, strict=True))
            if other == sides or all(a[0] < b[1] and b[0] < a[1] for a, b in pairs):
                return True
        open_.append(sides)
    return False
