"""Checks a proof file (:mod:`drcopt.proof`) with none of the code that made it: exact rationals and balls only.

Upper bound: the file's couplings are moved exactly onto the marginals and, if they spend more than R, mixed with
independence (maps: with constant maps); what is left is evaluated.

Lower bound: for every leaf (f, α, β) and its box of class posteriors τ_y, with c = d(·,y) − f,

  E d ≥ Σ f px − αR − βC + Σ_y py(y) V_y,   V_y = min over pmfs p of ⟨c, p⟩ + α D(p‖px) + β H(Wᵀp).

The file cuts each letter's box into cells l ≤ τ ≤ u with a vector ν each, and β into β₀ + β₁ with β₀ ≤ α/η, η the
largest ratio of divergences after and before W (two inputs reach it: Ordentlich and Polyanskiy, 2021). Then
⟨c,p⟩ + α D(p‖px) + β₀ H(Wᵀp) is convex; its tangent at p₀ ∝ px exp((Wν − c)/α) and chords
a_s + b_s t ≤ −t log t on [l_s, u_s] give, whatever ν is,

  V_y ≥ −α log Σ px exp((Wν − c)/α) + β₁ Σ a_s + min over τ in the cell of Σ_s τ_s (ν_s − β₀ log Wᵀp₀(s) + β₁ b_s).

With d = 0, β = 1 and no C the same bounds the classification loss. One-shot codes: see ``_Judge.map_leaf``.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from dataclasses import dataclass
from decimal import Context
from functools import cached_property, reduce
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from drcopt.errors import InputError, MissingExtraError

#: Bits of the balls; additions and table entries one minimum over maps may take.
BITS, WORK, TABLE = 128, 2e8, 2**22
POINTS = {"single-letter": "coupling", "time-sharing": "mixture of couplings", "one-shot": "mixture of maps"}
RATES = {"single-letter": "I(X;Y)", "time-sharing": "I(X;Y|Q)", "one-shot": "H(Y|U)"}
arb: Any = None  # flint's balls, and its rationals, once check() has loaded them
fmpq: Any = None  # arrays hold either, as objects


@dataclass(frozen=True)
class Verdict:
    """What a proof file proves, whatever it claims: strictly ``lower`` ≤ optimum ≤ ``upper``, rounded outward.

    ``accepted``: that covers its claim; else ``reason`` says why not. ``upper`` is inf unless the file's point is
    proved to meet the budgets; both are inf if it is proved that no point does."""

    accepted: bool
    statements: tuple[str, ...]
    lower: float
    upper: float
    reason: str = ""


def check(proof: str | Path | dict[str, Any], tolerance: float = 0.0, bits: int = BITS) -> Verdict:
    """Check a proof file, or its contents as a dict, in balls of so many bits and then, if rejected, of more.

    A claim is still accepted if its point may exceed a budget by ``tolerance`` nats, or if it is better than what is
    proved by ``tolerance`` times max d. Raises InputError for what is no proof, MissingExtraError without python-flint.
    """
    global arb, fmpq
    try:
        from flint import arb, ctx, fmpq
    except ImportError:
        raise MissingExtraError("checking a proof needs python-flint. Run: pip install 'drcopt[proof]'") from None
    try:
        data = proof if isinstance(proof, dict) else json.loads(Path(proof).read_text(encoding="utf-8"))
        with ctx.workprec(bits), np.errstate(all="ignore"):  # what overflows proves nothing, and is caught
            verdict = _Judge(data, tolerance).verdict()
        return verdict if verdict.accepted or bits > BITS else check(data, tolerance, 20 * BITS)
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, OSError, RecursionError) as error:
        what = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"a proof file must follow the schema in drcopt.proof; {what}. Write it anew.") from None


def _number(text: Any) -> Any:
    """The rational written as "0x1.8p-1", "3/4" or "1"."""
    pattern = r"-?(0x[01](\.[\da-f]+)?p[+-]?\d+|\d+(/\d+)?)"
    if not isinstance(text, str) or len(text) > 2000 or not re.fullmatch(pattern, text):
        raise ValueError(f"{text!r:.40} is not a finite number written as a string")
    return fmpq(*(float.fromhex(text).as_integer_ratio() if "x" in text else map(int, text.split("/"))))


def _exact(values: Any, *shape: int | None, signed: bool = True) -> Any:
    """Numbers in nested lists of this shape (None: any length)."""
    texts = np.array(values, dtype=object)
    if texts.ndim != len(shape) or any(b not in (None, a) for a, b in zip(texts.shape, shape, strict=True)):
        raise ValueError(f"an array has shape {texts.shape} instead of {shape}")
    numbers = np.frompyfunc(_number, 1, 1)(texts)
    if not signed and np.any(numbers < 0):
        raise ValueError("a probability, budget or multiplier is negative")
    return numbers


def _pmf(values: Any, *shape: int | None) -> Any:
    """Rationals divided by their sum along the last axis."""
    p = _exact(values, *shape, signed=False)
    return p / p.sum(axis=-1, keepdims=True)


def _ball(values: Any) -> Any:
    return np.frompyfunc(arb, 1, 1)(values)


def _eta(values: Any) -> Any:
    """−t log t as balls."""
    return np.frompyfunc(lambda t: -t * t.log() if not t.is_zero() else t, 1, 1)(_ball(values))


def _least(balls: Any) -> Any:
    return reduce(lambda u, v: u.min(v), balls)


def _float(x: Any, up: bool) -> float:
    """The upper (lower) end of a ball as a double, rounded outward; ±inf if it is not finite."""
    outward, end = (math.inf, x.upper()) if up else (-math.inf, x.lower())
    value = float(end.mid()) if x.is_finite() else outward
    while x.is_finite() and not (arb(value) >= end if up else arb(value) <= end):
        value = math.nextafter(value, outward)
    return value


def _digits(x: Any, up: bool | None) -> str:
    """Twelve significant decimal digits of a ball, rounded outward (None: to the nearest)."""
    context = Context(12, {True: "ROUND_CEILING", False: "ROUND_FLOOR", None: "ROUND_HALF_EVEN"}[up])
    return f"{context.create_decimal_from_float(_float(x, bool(up))).normalize(context):g}"


def _nats(x: Any, up: bool | None) -> str:
    return f"{_digits(x, up)} nats ({_digits(x / arb(2).log(), up)} bits)"


def _tight(cell: Any) -> Any:
    """Ends (l_s, u_s), shape (k, 2), cut to what Σ τ = 1 leaves of them; None if that is nothing."""
    (low, high), (lows, highs) = cell.T, cell.sum(axis=0)
    cell = np.stack([np.maximum(low, 1 - highs + high), np.minimum(high, 1 - lows + low)], axis=1)
    return cell if (cell[:, 0] <= cell[:, 1]).all() else None


def _leaves(nodes: Any, boxes: list[Any]) -> Any:
    """The leaves of a tree in preorder with their boxes by letter, empty ones left out. Halves cover what is split."""
    stack, left = [boxes], iter(nodes)
    while stack:
        node, boxes = next(left, None), stack.pop()
        if not isinstance(node, dict):
            raise ValueError("a tree lacks a leaf")
        if "at" not in node:
            yield from [(node, boxes)] if all(box is not None for box in boxes) else []
            continue
        y, at = range(len(boxes)).index(node.get("y", 0)), _number(node["at"])
        for side in (0, 1):  # what lies above, then below, which the stack returns first
            part = boxes[y]
            if part is not None:
                part, s = part.copy(), range(len(part)).index(node["s"])
                part[s, side] = min(part[s, 1], at) if side else max(part[s, 0], at)
                part = _tight(part)
            stack.append([*boxes[:y], part, *boxes[y + 1 :]])


def _min_plus(f: Any, g: Any) -> Any:
    """h(S) = min over A ⊆ S of f(S∖A) + g(A), by halves with and without the last letter, for stacks of f and g."""
    half = f.shape[1] // 2
    if half == 0:
        return f + g
    pairs = [(f[:, :half], g[:, :half]), (f[:, half:], g[:, :half]), (f[:, :half], g[:, half:])]
    if f.size > 2**18:
        a, b, c = (_min_plus(u, v) for u, v in pairs)
    else:
        a, b, c = np.split(_min_plus(*map(np.concatenate, zip(*pairs, strict=True))), 3)
    return np.concatenate([a, np.minimum(b, c)], axis=1)


class _Problem:
    def __init__(self, data: dict[str, Any]) -> None:
        self.px, self.py, self.w = _pmf(data["px"], None), _pmf(data["py"], None), _pmf(data["ps_given_x"], None, None)
        (self.n, self.k), self.m = self.w.shape, len(self.py)
        self.d = _exact(data["d"], self.n, self.m)
        if len(self.px) != self.n or not (self.px.all() and self.py.all() and self.w.any(axis=0).all()):
            raise ValueError("ps_given_x needs a row for each letter of px, and no letter may lack mass")
        self.PX, self.PY, self.W, self.D = map(_ball, (self.px, self.py, self.w, self.d))
        self.HX, self.HY, self.HS = (_eta(p).sum() for p in (self.px, self.py, self.px @ self.w))
        self.whole = _tight(np.stack([self.w.min(axis=0), self.w.max(axis=0)], axis=1))

    @cached_property
    def contraction(self) -> Any:
        """η: the largest over pairs of rows a, b and λ of g(λ) = 1 − Σ_s a b/(λa + (1−λ)b), concave; at most 1."""
        most = arb(self.n > 150)  # 1, rather than a search over that many pairs
        for pair in itertools.combinations(self.w, 2) if self.n <= 150 else ():
            A, B = _ball(np.array(pair)[:, [bool(a and b) for a, b in zip(*pair, strict=True)]])
            u, v, how = A.astype(float), B.astype(float), {"bounds": (0, 1), "options": {"xatol": 1e-12}}
            at = arb(float(minimize_scalar(lambda x, u=u, v=v: (u * v / (x * u + (1 - x) * v)).sum(), **how).x))
            mixed = at * A + (1 - at) * B
            value, slope = 1 - (A * B / mixed).sum(), arb(0) + (A * B * (A - B) / mixed**2).sum()
            most = most.max(value + (slope * (1 - at)).max(-slope * at))  # the tangent there, at λ = 0 or 1
        return most.min(arb(1))

    def reach(self, y: int, s: int) -> list[Any]:
        """Least and greatest τ_y(s) of a coupling: p(x) ≤ px(x)/py(y) fills the letters of extreme W(x,s) first."""
        up = np.argsort(self.w[:, s])
        filled = [np.minimum(np.cumsum(self.px[order]) / self.py[y], fmpq(1)) for order in (up, up[::-1])]
        return [self.w[o, s] @ np.diff(f, prepend=fmpq(0)) for o, f in zip((up, up[::-1]), filled, strict=True)]

    @cached_property
    def tables(self) -> tuple[Any, Any]:
        """−t log t for t = P(A), and P(A) H(S|A), of all subsets A of the letters of X, as doubles."""
        rows = np.column_stack([self.PX, self.PX[:, None] * self.W])
        sums = reduce(lambda s, row: np.concatenate([s, s + row]), rows, _ball(np.zeros((1, 1 + self.k))))
        rate, *joint = _eta(sums).T
        return rate.astype(float), (sum(joint) - rate).astype(float)

    def on_cell(self, costs: Any, alpha: Any, beta0: Any, beta1: Any, nu: Any, cell: Any) -> Any:
        """The inequality for V_y of the module's docstring."""
        scores, slopes, (low, high) = self.W @ nu - costs, nu, _ball(cell.T)
        value = _least(-scores)
        if alpha > 0:
            weights = self.PX * np.array([(t / alpha).exp() for t in scores + value])
            value -= alpha * weights.sum().log()
            if beta0 > 0:
                slopes = nu - beta0 * np.array([(t / weights.sum()).log() for t in weights @ self.W])
        if beta1 > 0:
            same = cell[:, 0] == cell[:, 1]
            b = (_eta(high) - _eta(low)) * ~same / (high - low + same)
            value, slopes = value + beta1 * (_eta(low) - b * low).sum(), slopes + beta1 * b
        # As Σ τ = 1, min q·τ is at least σ + Σ min((q − σ)l, (q − σ)u) for every σ; the best is some q_s.
        q, least, most = (v.astype(float) for v in (slopes, low, high))
        x = max(q.tolist(), key=lambda x: x + np.minimum((q - x) * least, (q - x) * most).sum())
        return value + x + sum(map(_least, zip((slopes - x) * low, (slopes - x) * high, strict=True)))

    def onto_marginals(self, P: Any) -> Any:
        """A coupling near P: heavy rows, then columns, are shrunk (by dyadic factors); what is missing is added."""
        for goals in (self.px, self.py):
            factors = [min(fmpq(1), goal / (total or 1)) for goal, total in zip(goals, P.sum(axis=1), strict=True)]
            P = P.T * np.array([fmpq((f * 2**BITS).floor()) / 2**BITS for f in factors])
        x, y = self.px - P.sum(axis=1), self.py - P.sum(axis=0)
        return P + np.outer(x, y) / (x.sum() or 1)

    def map_coupling(self, f: Any) -> Any:
        y = np.array([range(self.m).index(y) for y in f])
        return np.where(y[:, None] == np.arange(self.m), self.px[:, None], fmpq(0))

    def loss(self, P: Any) -> Any:
        joint, total = self.w.T @ P, P.sum(axis=0)
        return sum((-arb(t) * arb(t / u).log() for row in joint for t, u in zip(row, total, strict=True) if t), arb(0))


class _Judge:
    def __init__(self, data: dict[str, Any], tolerance: float) -> None:
        if data["drcopt-proof"] != 1:
            raise ValueError(f"its version is {data['drcopt-proof']!r:.20}, not 1")
        self.data, self.tolerance, self.problem, self.note = data, tolerance, _Problem(data["problem"]), ""
        self.kind, sees = data["formulation"], data["classifier_sees"]
        if self.kind not in POINTS or sees not in (("Y", "YU") if self.kind == "one-shot" else ("Y",)):
            raise ValueError(f"there is no formulation {self.kind!r:.20} whose classifier sees {sees!r:.20}")
        self.by_part = self.kind == "time-sharing" or sees == "YU"  # the loss is an average over the parts
        self.names = RATES[self.kind], "H(S|Y,Q)" if self.kind == "time-sharing" else f"H(S|{','.join(sees)})"
        texts = data["rate_budget"], data["classification_budget"]
        R, C = self.budgets = [None if text == "inf" else arb(_exact(text, signed=False)) for text in texts]
        most, loss = self.problem.HX.min(self.problem.HY), self.problem.HS  # no point needs more
        self.rate, self.loss = most if R is None else most.min(R), loss if C is None else loss.min(C)

    def verdict(self) -> Verdict:
        claim, C, excess, problems = self.data["claim"], self.budgets[1], 0.0, []
        distortion, infeasible = self.data["objective"] == "distortion", claim.get("infeasible") is True
        aim, show = ("E d", _digits) if distortion else (self.names[1], _nats)
        limits = list(zip(self.names, self.budgets, strict=True))[: 1 + distortion]
        given = " and ".join(f"{name} ≤ {_nats(b, None)}" for name, b in limits if b is not None)
        least = self.lower(self.data["evidence"], distortion)
        said = [f"proved: every {POINTS[self.kind]}{' with ' * bool(given)}{given} has {aim} ≥ {show(least, False)}"]
        if infeasible and (distortion or C is None or not least > C):
            reason = "the least loss proved does not exceed its budget" + self.note
            return Verdict(False, tuple(said), -math.inf, math.inf, reason)
        if infeasible:
            return Verdict(True, (*said, f"so none has {aim} ≤ {_nats(C, None)}"), math.inf, math.inf)
        ends = [_float(least, False), math.inf]
        if self.data["point"] is not None:
            value, loss, excess, words = self.upper()
            most = value if distortion else loss
            both = f"so the least {aim} lies in [{show(least, False)}, {show(most, True)}]"
            said += [words, f"it may exceed a budget by {excess:.3g} nats" if excess else both]
            ends[1] = _float(most, True)
            if not excess <= self.tolerance + arb(_number(claim.get("excess", "0"))):
                problems.append(f"the point is not proved to meet the budgets: it may exceed one by {excess:.3g} nats")
        for name, end, sign in zip(("lower", "upper"), ends, (1, -1), strict=True):
            if claim[name] != ("-inf" if sign > 0 else "inf"):
                miss = sign * (arb(_number(claim[name])) - arb(end))
                if not miss <= self.tolerance * (abs(self.problem.D).max() if distortion else 1):
                    problems.append(f"the {name} bound claimed is better by {float(miss):.3g} than the {end!r} proved")
        reason = "; ".join(problems) + self.note * bool(problems)
        return Verdict(not problems, tuple(said), ends[0], math.inf if excess else ends[1], reason)

    def upper(self) -> tuple[Any, Any, float, str]:
        """E d and loss of the file's point once repaired, by how much it may still exceed a budget, and in words."""
        p, (R, C), point, one_shot = self.problem, self.budgets, self.data["point"], self.kind == "one-shot"
        weights = _pmf([part["weight"] for part in point], 1 if self.kind == "single-letter" else None)
        if one_shot:
            # Constant maps, which need no rate, make up for column masses that miss py.
            maps = [part["map"] for part in point] + [[y] * p.n for y in range(p.m)]
            parts = np.array([p.map_coupling(f) for f in maps])
            masses = weights @ parts[: len(point)].sum(axis=1)
            keep = min(goal / mass for goal, mass in zip(p.py, masses, strict=True) if mass)
            weights = np.append(keep * weights, p.py - keep * masses)
        else:
            parts = np.array([p.onto_marginals(_exact(part["coupling"], p.n, p.m, signed=False)) for part in point])
        HY = _eta(parts.sum(axis=1)).sum(axis=1)
        rate = _ball(weights) @ (HY if one_shot else p.HX + HY - _eta(parts).sum(axis=(1, 2)))
        if R is not None and not rate <= R:
            keep = fmpq(*max(0.0, _float(R / rate.upper(), False)).as_integer_ratio())
            if one_shot:
                weights = keep * weights + np.append([fmpq(0)] * len(point), (1 - keep) * p.py)
            else:
                parts = keep * parts + (1 - keep) * np.outer(p.px, p.py)
            rate *= arb(keep)  # at most, I being convex and 0 for independent X and Y
        mixed = np.tensordot(weights, parts, 1)
        loss = _ball(weights) @ np.array(list(map(p.loss, parts))) if self.by_part else p.loss(mixed)
        value = (p.D * _ball(mixed)).sum()
        excess = max([0.0, *(_float(v - b, True) for v, b in ((rate, R), (loss, C)) if b is not None and not v <= b)])
        words = f"the file's point has E d ≤ {_digits(value, True)}, {self.names[0]} ≤ {_nats(rate, True)} and "
        return value, loss, excess, f"{words}{self.names[1]} ≤ {_nats(loss, True)}"

    def lower(self, evidence: Any, distortion: bool) -> Any:
        """A ball whose lower end bounds E d, or else the classification loss, from below."""
        p, kind = self.problem, evidence and evidence["kind"]
        # Every letter y at its cheapest x; H(S|Y) ≥ H(S|X).
        best = p.PY @ _ball(p.d.min(axis=0)) if distortion else p.PX @ _eta(p.w).sum(axis=1)
        if kind == "independent" and (min(p.n, p.m) == 1 or self.budgets[0] == 0):
            return p.PX @ p.D @ p.PY if distortion else p.HS
        if kind == "cell-dual" and self.kind == "one-shot":
            return best.max(self.cell_dual(evidence, distortion))
        if kind != ("map-tree" if self.kind == "one-shot" else "posterior-tree"):
            return best  # no evidence that needs more, or none for this formulation
        if self.kind == "one-shot":
            boxes = [_tight(np.array([p.reach(y, s) for s in range(p.k)])) for y in range(p.m)]
            return best.max(_least(self.map_leaf(leaf, b, distortion) for leaf, b in _leaves(evidence["nodes"], boxes)))
        leaves = list(_leaves(evidence["nodes"], [p.whole] * p.m))
        if self.kind == "time-sharing" and len({(leaf["rate"], leaf["classification"]) for leaf, _ in leaves}) > 1:
            return best  # the parts of a mixture may lie in different leaves, which must then share α and β
        return best.max(_least(self.posterior_leaf(leaf, b, distortion) for leaf, b in leaves))

    def posterior_leaf(self, leaf: Any, boxes: list[Any], distortion: bool) -> Any:
        """The module docstring's bound at one leaf."""
        p, f = self.problem, _ball(_exact(leaf["f"], self.problem.n))
        texts = [leaf["rate"], leaf["classification"] if distortion else "1", leaf["convex"]]
        alpha, beta, beta0 = _ball(_exact(texts, 3, signed=False))
        beta0 = beta0 if beta0 == 0 or (beta0 <= beta and beta0 * p.contraction <= alpha) else arb(0)
        value = f @ p.PX - alpha * self.rate - (beta * self.loss if distortion else 0)
        for y, (box, nodes) in enumerate(zip(boxes, leaf["cells"], strict=True)):
            costs, cells = distortion * p.D[:, y] - f, _leaves(nodes or [{"nu": ["0"] * p.k}], [box])
            slopes = [(_ball(_exact(node["nu"], p.k)), cell) for node, (cell,) in cells]
            value += p.PY[y] * _least(p.on_cell(costs, alpha, beta0, beta - beta0, nu, cell) for nu, cell in slopes)
        return value

    def map_leaf(self, leaf: Any, boxes: list[Any], distortion: bool) -> Any:
        """The bound in :mod:`drcopt.bounds.maps` at one leaf (ν, α, γ, β, c); with d = 0, divided by max(β + γ)."""
        p, nu, alpha = self.problem, _exact(leaf["nu"], self.problem.m), arb(_exact(leaf["rate"], signed=False))
        gamma, beta = (_ball(_exact(leaf[name], p.m, signed=False)) for name in ("conditional", "posterior"))
        slopes = _exact(leaf["slopes"], p.m, p.k)
        if self.by_part and any(b > 0 for b in beta):
            return arb(-math.inf)  # a classifier that sees U has no budget for H(S|Y)
        most = -_least(-beta - gamma)
        value = p.PY @ _ball(nu) - alpha * self.rate - (most * self.loss if distortion else 0)
        for y, box in enumerate(boxes):
            value += p.PY[y] * sum(map(_least, beta[y] * _eta(box) - _ball(slopes[y, :, None] * box)))
        linear = p.px[:, None] * (distortion * p.d - nu + p.w @ slopes.T)
        value += self.least_map(_ball(linear).astype(float), float(alpha), gamma.astype(float))
        return value if distortion else value.min(value / most.max(arb(1)))

    def cell_dual(self, dual: Any, distortion: bool) -> Any:
        """The bound in :mod:`drcopt.bounds.cells`: given the slopes b, the best sets go by cost per mass."""
        p, f, nu = self.problem, _exact(dual["f"], self.problem.n), _exact(dual["nu"], self.problem.m)
        alpha, gamma = _exact([dual["rate"], dual["conditional"]], 2, signed=False)
        value = p.PX @ _ball(f) + p.PY @ _ball(nu) - alpha * self.rate - (gamma * self.loss if distortion else 0)
        for y, nodes in zip(range(p.m), dual["cells"], strict=True):
            values = [arb(0)]
            for node, (cell,) in _leaves(nodes, [p.whole]):
                b = _exact(node["slopes"], p.k)
                base = sum(map(_least, _eta(cell) - _ball(b[:, None] * cell)))
                ratios = distortion * p.d[:, y] - f - nu[y] + gamma * (p.w @ b)
                order = np.argsort(ratios)
                mass, total = np.cumsum(p.px[order]), np.cumsum((p.px * ratios)[order])
                values += list(_ball(total) + gamma * base * _ball(mass) + alpha * _eta(mass))
            value += _least(values)
        return value if distortion else value.min(value / arb(gamma).max(arb(1)))

    def least_map(self, linear: Any, alpha: float, gamma: Any) -> Any:
        """The least over all mⁿ maps, in doubles: no sum exceeds ``size``, and 4n + 16m + 32 roundings come off."""
        p = self.problem
        size = np.abs(linear).max(axis=1).sum() + alpha * math.log(p.n + 2) + gamma.max() * math.log(p.k + 2) + 1e-290
        if max(p.m - 2, 0) * 3.0**p.n > WORK or p.m * 2.0**p.n > TABLE:
            self.note = f"; a minimum over {p.m}^{p.n} maps is out of reach" * bool(alpha > 0 or gamma.any())
            least = linear.min(axis=1).sum()  # what it is without rates and losses, which are ≥ 0
        else:
            cells = reduce(lambda c, row: np.concatenate([c, c + row[:, None]], axis=1), linear, np.zeros((p.m, 1)))
            cells += alpha * p.tables[0] + gamma[:, None] * p.tables[1]
            rest = reduce(_min_plus, [row[None] for row in cells[1:-1]], cells[:1])[0, ::-1]
            least = (rest + cells[-1]).min() if p.m > 1 else cells[0, -1]
        return arb(float(least)) - (2 * p.n + 8 * p.m + 16) * arb(float(size)) / 2**52
