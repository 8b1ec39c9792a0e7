"""The problem of a proof file in exact rationals and in balls."""

from __future__ import annotations

import hashlib
import itertools
from fractions import Fraction
from functools import cached_property, reduce
from typing import Any

import numpy as np
from flint import arb, fmpq
from scipy.optimize import minimize_scalar

from drcopt.checker import schema
from drcopt.checker.along import along_support
from drcopt.checker.balls import ball, eta, grid, matrix

#: Pairs of rows of W whose contraction is worked out are those of so many rows at most.
MOST_ROWS = 150
#: Letters of X whose subsets are gone through at once.
AT_ONCE = 12
#: What a coupling lacks is dear if it costs one part in so many of E d.
DEAR = 10**12


def tight(cell: Any) -> Any:
    """Ends (l_s, u_s) of one class, shape (k, 2), cut to what Σ τ = 1 leaves of them and widened to
    a grid; None if that is nothing.

    A wider box holds whatever the other did.
    """
    (low, high), (lows, highs) = cell.T, cell.sum(axis=0)
    low, high = np.maximum(low, 1 - highs + high), np.minimum(high, 1 - lows + low)
    if not (low <= high).all():
        return None
    ends = [[grid(a, False), grid(b, True)] for a, b in zip(low, high, strict=True)]
    return np.array(ends, dtype=object)


class Origins:
    """The letters of X that a letter of Y may come from: px and W on them, W and Wᵀ as matrices,
    which classes they have.
    """

    def __init__(self, p: Problem, allowed: Any) -> None:
        self.x = np.flatnonzero(allowed)
        self.PX, self.W = p.PX[self.x], p.W[self.x]
        self.classes = p.w[self.x].any(axis=0)
        if len(self.x):
            self.rows, self.columns = matrix(self.W), matrix(self.W.T)


class Problem:
    """Letters with mass: px (n,), py (m,), W (n, k) and d (n, m), rationals in small and balls in
    capital letters; py is None where Y may have any law on the columns of d.

    ``allowed`` (n, m) says which pairs may occur: d is 0 where it is infinite, no point has mass
    there, and letter y of Y comes from the letters ``origins[y]`` of X only.

    The columns of W are those of one class, or of several one after the other: ``columns[j]`` has
    those of class j, H(S_j) is ``HS[j]`` and H(S_j|X) ``HS_given_X[j]``.
    """

    py: Any
    PY: Any

    def __init__(self, data: Any) -> None:
        data = schema.record("problem", data)
        self.px, self.py, given = schema.pmf(data["px"], None), None, data["py"] is not None
        if given:
            self.py = schema.pmf(data["py"], None)
        self.n = len(self.px)
        self.several = isinstance(data["ps_given_x"], dict)
        channels = data["ps_given_x"] if self.several else {"S": data["ps_given_x"]}
        if not channels:
            raise ValueError("there is no class")
        self.names = list(channels)
        each = [schema.pmf(channel, self.n, None) for channel in channels.values()]
        self.w = np.hstack(each)
        ends = np.cumsum([0, *(w.shape[1] for w in each)])
        self.columns = [slice(a, b) for a, b in itertools.pairwise(ends)]
        columns = len(self.py) if given else None
        self.d = schema.array(data["d"], self.n, columns, read=schema.distortion)
        self.m, self.k = self.d.shape[1], self.w.shape[1]
        self.allowed = np.array([[v is not None for v in row] for row in self.d])
        self.d[~self.allowed] = fmpq(0)
        self.origins = [np.flatnonzero(column) for column in self.allowed.T]
        if not (self.px.all() and self.w.any(axis=0).all() and (not given or self.py.all())):
            raise ValueError("a letter lacks mass")
        self.PX, self.W, self.D = map(ball, (self.px, self.w, self.d))
        self.PY = ball(self.py) if given else None
        self.HX, letters = eta(self.PX).sum(), eta(self.PX @ self.W)
        self.HY = eta(self.PY).sum() if given else arb(self.m).log()
        left = self.PX @ eta(self.W)
        self.HS, self.HS_given_X = ([h[c].sum() for c in self.columns] for h in (letters, left))
        self.whole = self.span(self.w)
        # A letter that comes from none has no posterior: any box will do.
        self.boxes = [self.span(self.w[x]) if len(x) else self.whole for x in self.origins]
        self.fingerprint = fingerprint(data)
        patterns = {column.tobytes(): Origins(self, column) for column in self.allowed.T}
        self.behind = [patterns[column.tobytes()] for column in self.allowed.T]

    def by_class(self, value: Any) -> list[Any]:
        """What is said of every class: by name where there are several."""
        if not self.several:
            return [value]
        if not isinstance(value, dict) or set(value) != set(self.names):
            raise ValueError(f"{value!r:.40} does not say something of every class, by its name")
        return [value[name] for name in self.names]

    def described(self, any_law: str = "") -> str:
        """How many letters there are."""
        classes = f"{self.k} classes"
        if self.several:
            sizes = [f"{c.stop - c.start} of {self.shown(j)}" for j, c in enumerate(self.columns)]
            classes = ", ".join(sizes)
        return f"{self.n} letters of X, {self.m} of Y{any_law}, {classes}"

    def shown(self, j: int) -> str:
        """The name of a class, unless what it says could be taken for more than a name."""
        name = self.names[j]
        plain = 0 < len(name) <= 60 and all(c.isalnum() or c in " _-." for c in name)
        return name if plain else f"class #{j}"

    def span(self, rows: Any) -> Any:
        """The box of all mixtures of rows of W."""
        ends = np.stack([rows.min(axis=0), rows.max(axis=0)], axis=1)
        return np.concatenate([tight(ends[c]) for c in self.columns])

    @cached_property
    def contractions(self) -> list[Any]:
        """η of every class."""
        return [contraction(self.w[:, c]) for c in self.columns]

    def reach(self, y: int) -> Any:
        """The box of τ_y over couplings: p(x) ≤ px(x)/py(y) fills the letters of extreme W(x,s)
        first.
        """
        ends = []
        for s in range(self.k):
            up = np.argsort(self.w[:, s])
            pair = []
            for order in (up, up[::-1]):
                filled = [(t / self.PY[y]).min(arb(1)) for t in np.cumsum(self.PX[order])]
                steps = np.array(filled) - np.array([arb(0), *filled[:-1]])
                pair.append(self.W[order, s] @ steps)
            ends.append([grid(pair[0], False), grid(pair[1], True)])
        return tight(np.array(ends, dtype=object))

    @cached_property
    def tables(self) -> tuple[Any, Any]:
        """−t log t for t = P(A), and P(A) H(S|A), of all sets A of letters of X, as doubles."""

        def sums(rows: Any) -> Any:
            nothing = ball(np.zeros((1, 1 + self.k)))
            return reduce(lambda s, row: np.concatenate([s, s + row]), rows, nothing)

        rows = np.column_stack([self.PX, self.PX[:, None] * self.W])
        few, found = sums(rows[:AT_ONCE]), []
        for rest in sums(rows[AT_ONCE:]):
            rate, *joint = eta(few + rest).T
            found.append([rate.astype(float), (sum(joint) - rate).astype(float)])
        rates, losses = np.array(found).transpose(1, 0, 2).reshape(2, -1)
        return rates, losses

    def onto_marginals(self, P: Any, letters: Any) -> tuple[Any, Any]:
        """A coupling of px and py near P, whose columns have these letters, in two terms.

        Heavy rows, then letters, are shrunk (by dyadic factors); what is missing is the other term
        (n, m), but goes where the point has mass if it is dear and each letter has one column.
        Where pairs are forbidden all that is missing, or too much, goes where the point has mass.
        """
        if not self.allowed.all():
            return self.along_allowed(P, letters), np.zeros((self.n, self.m), dtype=int) * P[0, 0]

        def factors(goals: Any, totals: Any) -> Any:
            pairs = zip(goals, totals, strict=True)
            return np.array([grid(min(fmpq(1), a / (b or 1)), False) for a, b in pairs])

        P = P * factors(self.px, P.sum(axis=1))[:, None]
        P = P * factors(self.py, by_letter(P, letters, self.m).sum(axis=0))[letters]
        x, y = self.px - P.sum(axis=1), self.py - by_letter(P, letters, self.m).sum(axis=0)
        spread = np.outer(x, y / (x.sum() or 1))
        dear = (spread * self.d).sum() * DEAR > (P * self.d[:, letters]).sum()
        if dear and np.array_equal(letters, np.arange(self.m)):
            kept = along_support(P, x, y)
            if kept is not None:
                return kept, 0 * spread
        return P, spread

    def along_allowed(self, P: Any, letters: Any) -> Any:
        """The coupling of px and py on the pairs of P; of a letter's columns the largest entries
        change.
        """
        Q = by_letter(P, letters, self.m)
        kept = along_support(Q, self.px - Q.sum(axis=1), self.py - Q.sum(axis=0))
        if kept is None:
            raise ValueError("a coupling cannot be moved onto the marginals along its own pairs")
        P = P.copy()
        for x, y in zip(*np.nonzero(kept != Q), strict=True):
            column = max(np.flatnonzero(letters == y), key=lambda v: P[x, v])
            P[x, column] += kept[x, y] - Q[x, y]
        if any(entry < 0 for entry in P.flat):
            raise ValueError("a coupling cannot be moved onto the marginals along its own pairs")
        return P

    def losses(self, P: Any) -> Any:
        """H(S_j|Y) of every class, of a coupling of balls."""
        return np.array([self.loss(P, c) for c in self.columns])

    def loss(self, P: Any, columns: slice = slice(None)) -> Any:
        """H(S|Y) of a coupling of balls. Where Y tells S for sure it is exactly 0."""
        joint, value = self.W[:, columns].T @ P, arb(0)
        for column in joint.T:
            classes = [t for t in column if not t.is_zero()]
            if len(classes) > 1:
                total = sum(classes, arb(0))
                value -= sum((t * (t / total).log() for t in classes), arb(0))
        return value


def contraction(w: Any) -> Any:
    """η: the largest over pairs of rows a, b of w and λ of g(λ) = 1 − Σ_s a b/(λa + (1−λ)b),
    concave; at most 1.
    """
    if len(w) > MOST_ROWS:
        return arb(1)
    most = arb(0)
    for pair in itertools.combinations(w, 2):
        A, B = ball(np.array(pair)[:, [bool(a and b) for a, b in zip(*pair, strict=True)]])
        u, v, how = (
            A.astype(float),
            B.astype(float),
            {"bounds": (0, 1), "options": {"xatol": 1e-12}},
        )
        found = minimize_scalar(lambda x, u=u, v=v: (u * v / (x * u + (1 - x) * v)).sum(), **how)
        at = arb(float(found.x))
        mixed = at * A + (1 - at) * B
        value, slope = 1 - (A * B / mixed).sum(), arb(0) + (A * B * (A - B) / mixed**2).sum()
        most = most.max(
            value + (slope * (1 - at)).max(-slope * at)
        )  # the tangent there, at λ = 0 or 1
    return most.min(arb(1))


def cheapest(d: Any, allowed: Any) -> Any:
    """The least allowed entry of each row; 0 where there is none."""
    pairs = zip(d, allowed, strict=True)
    return np.array([min(row[some], default=fmpq(0)) for row, some in pairs])


def by_letter(P: Any, letters: Any, m: int) -> Any:
    """Columns of the same letter added up, (n, m); exact zeros where a letter has none."""
    found = np.full((m, len(P)), P[0, 0] * 0)
    np.add.at(found, letters, P.T)
    return found.T


def fingerprint(data: dict[str, Any]) -> str:
    """The hash that names the problem in tables too, of the doubles written in the file (of a
    rational the nearest); m NaNs where no law of Y is given.
    """
    digest, channels = hashlib.sha256(), data["ps_given_x"]
    each = [*channels.values()] if isinstance(channels, dict) else [channels]
    law = ["nan"] * len(data["d"][0]) if data["py"] is None else data["py"]
    for values in (data["px"], law, *each, data["d"]):
        numbers = np.array(values, dtype=object)
        doubles = np.array([_double(text) for text in numbers.flat], dtype="<f8").reshape(
            numbers.shape
        )
        digest.update(repr(doubles.shape).encode())
        digest.update(doubles.tobytes())
    return digest.hexdigest()[:16]


def _double(text: str) -> float:
    hexadecimal = "x" in text or text in ("nan", "inf")
    return float.fromhex(text) if hexadecimal else float(Fraction(text))
