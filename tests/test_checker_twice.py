"""The checker's leaves against a second arithmetic: lines and chords in mpmath's intervals."""

from __future__ import annotations

import itertools
import math
from typing import Any

import judging
import numpy as np
import pytest
from scipy.optimize import linprog, minimize_scalar

pytest.importorskip("flint")

from honest import Proof, written

from drcopt.checker import evidence
from drcopt.checker.problem import tight

judge = pytest.fixture(judging.judge)


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
        leaves = list(evidence.leaves(p, ours.evidence.tree(data["evidence"]), [box] * p.m))
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
