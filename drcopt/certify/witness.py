"""Whether a point meets its budgets, judged so that rounding errs against it.

The budgets are held against the coupling that is meant: the given doubles moved onto the exact marginals px/Σpx and
py/Σpy (heavy rows and columns shrunk, what is missing added rank-one, or where the point has mass if that would be
dear; for maps, constant maps added), with the rows of p(s|x) divided by their sums: the very problem that
:mod:`drcopt.checker` proves things about. The doubles that a solution shows are that coupling to rounding of their last
digits.

Where a budget is missed or met by more than doubles can err, doubles decide:

- A = the shrunk coupling is ≤ P, and a mass μ is added. H(S|Y) grows with every entry of T = WᵀP, so
  H(S|Y) ≤ H(T) + μ log k + h(μ), and relative errors γ of T change H(T) by γ H(T) at most (it is concave and
  homogeneous).
- I is convex: I ≤ (1 − μ) D(A/(1−μ) ‖ px py) + μ D(rest ‖ px py). As P/(px py) ≤ 1/px and ≤ 1/py, what a letter's sum
  is off changes I by a few times (2 − log of its mass) of that.

Otherwise everything is computed again in decimals of :data:`DIGITS` digits, in the unit that the budget came in, with
the logarithm of a power of two exact in bits: H(S) = 1 bit meets C = 1 bit.

Where Y's law is one of several the coupling that is meant has px, its rows divided by their sums, and the law that this
gives.

Where pairs are forbidden nothing may be added rank-one: what is missing goes where the point has mass, and where its
letters fall apart, so that this cannot be, px and py are met to rounding.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np

from drcopt import information, words
from drcopt.certify import rounding
from drcopt.coupling import leaves_first, loosest, round_onto_allowed, round_onto_marginals, send_along
from drcopt.formulations import Part, Question
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Digits of the careful arithmetic, and what its rounding may come to (nats or bits): sums of fewer than 1e6 terms.
DIGITS, _ALLOWANCE = 60, Decimal("1e-45")
#: Products and logarithms that the careful arithmetic may take: seconds at most.
_PRODUCTS, _LOGARITHMS = 400_000, 6_000
#: What one of them takes: with less time left, doubles must do.
_LOGARITHM_SECONDS = 1e-4
_UNIT = 2.0**-53
#: A loss that is too large by this at most (nats) is worth moving; a point that stays outside by more is no point.
NEAR, CLOSE = 1e-9, 1e-12
#: What is missing goes where the point has mass if rank-one it would cost this share of E d.
_DEAR = Decimal("1e-12")
#: E d is worth more digits where what rounding may have left out could add this share of it, or of the median cost.
_ROUGH = 1e-9
_ZERO: Any = Decimal(0)
_TWO = decimal.Context(prec=DIGITS).ln(Decimal(2))


@dataclass(frozen=True)
class Budgets:
    """Budgets as they were asked for (inf: none), so that no conversion moves them."""

    distortion: float
    rate: float
    loss: float
    units: words.Units = "nats"

    @classmethod
    def of(cls, question: Question) -> Budgets:
        """Those of a question, in nats."""
        distortion, rate, loss = question.budgets
        return cls(distortion, rate, loss)

    @property
    def nats(self) -> tuple[float, float, float]:
        """The least doubles that are no smaller, in nats: a bound for these is a bound for the budgets."""
        return self.distortion, _up(self.rate, self.units), _up(self.loss, self.units)


def _up(value: float, units: words.Units) -> float:
    if units == "nats" or not 0.0 < value < math.inf:
        return value
    exact = decimal.Context(prec=DIGITS).multiply(Decimal(value), _TWO)
    nats = information.to_nats(value, units) * (1.0 - 4 * _UNIT)
    while Decimal(nats) < exact:
        nats = math.nextafter(nats, math.inf)
    return nats


@dataclass(frozen=True)
class Spent:
    """E d, rate and loss to rounding, and by how much each may exceed its budget, rounded up (0: proved to be met).

    In the unit of d and in nats.
    """

    distortion: float
    rate: float
    loss: float
    distortion_excess: float
    rate_excess: float
    loss_excess: float

    @property
    def values(self) -> tuple[float, float, float]:
        """In the order of :data:`drcopt.questions.QUANTITIES`."""
        return self.distortion, self.rate, self.loss

    @property
    def excess(self) -> float:
        """The largest of them."""
        return max(self.distortion_excess, self.rate_excess, self.loss_excess)


def spent(formulation: Question, parts: Sequence[Part], budgets: Budgets | None = None) -> Spent:
    """What a point on the marginals (to rounding) spends of its budgets."""
    budgets = Budgets.of(formulation) if budgets is None else budgets
    values = formulation.values(parts)
    # A budget in bits is a hair off in nats: take the least that it can be.
    limits = [information.to_nats(b, budgets.units) * (1.0 - 4 * _UNIT) for b in (budgets.rate, budgets.loss)]
    limits.insert(0, budgets.distortion)
    room = allowances(formulation, parts, *values)
    rough = room[0] > _ROUGH * values[0] and room[0] > _ROUGH * float(np.median(formulation.problem.d))
    if rough and _affordable(formulation, parts):  # a hair of a stand-in for infinity counts
        values = (max(values[0], _careful_distortion(formulation, parts, budgets)), *values[1:])
    excess = [max(0.0, v + r - b) if b < math.inf else 0.0 for v, r, b in zip(values, room, limits, strict=True)]
    if excess[1] > 0.0 and _apart(formulation, parts):
        excess[1] = 0.0
    # Only what doubles cannot tell is worth more digits.
    unclear = any(0.0 < e <= 2.0 * r + 8 * _UNIT * v for e, r, v in zip(excess, room, values, strict=True))
    if unclear and _affordable(formulation, parts):
        excess = _careful(formulation, parts, budgets)
    return Spent(*values, *excess)


def _apart(formulation: Question, parts: Sequence[Part]) -> bool:
    """Whether the couplings are px pyᵀ to the last digit: that very coupling is meant, whose rate is 0."""
    alone = formulation.problem.independent
    return formulation.name != "one-shot" and all(np.array_equal(part.coupling, alone) for part in parts)


def allowances(
    formulation: Question, parts: Sequence[Part], distortion: float, rate: float, loss: float
) -> tuple[float, float, float]:
    """How much more than the doubles say E d, the rate and the loss of the coupling that is meant can be."""
    p = formulation.problem
    n, m, k = p.n, p.m, p.k
    weighed, missing = _deviations(formulation, parts)
    gamma, more = rounding.of_sums(n, m), float(rounding.of_rate(n, m, weighed, rate))
    stochastic = float(np.abs(p.ps_given_x.sum(axis=1) - 1.0).max()) + k * _UNIT
    spread = missing * math.log(k + 1.0) + float(information.binary_entropy(min(missing, 0.5)))
    cost = (gamma + n * m * _UNIT) * distortion + missing * p.d_most
    return cost, more, spread + (gamma + k * _UNIT + 4 * stochastic) * (loss + 1.0)


def _deviations(formulation: Question, parts: Sequence[Part]) -> tuple[float, float]:
    """What row and column sums are off, weighed by 2 − log of the letter's mass, and a bound on the mass added."""
    p = formulation.problem
    wide = rounding.WIDE
    noise = (p.n + p.m + 4) * float(np.finfo(wide).eps)
    couplings = [formulation.coupling(parts)] if formulation.name == "one-shot" else [part.coupling for part in parts]
    weighed = missing = 0.0
    given = [(1, p.px), (0, p.py)][: 1 if formulation.laws is not None else 2]
    for P in couplings:
        off = [
            np.abs(sums - mass.astype(wide) / math.fsum(mass)) + noise * mass
            for sums, (_, mass) in zip(rounding.sums(P), given, strict=False)
        ]
        missing = max(missing, float(2.0 * sum(o.sum() for o in off)))
        weighed = max(weighed, float(sum(o @ (2.0 - np.log(q)) for o, (_, q) in zip(off, given, strict=True))))
    return weighed, missing


# -- moving inside ---------------------------------------------------------------------------------------------------


def inside(
    formulation: Question, parts: Sequence[Part], budgets: Budgets | None = None, *, lower_loss: bool = True
) -> tuple[list[Part], Spent] | None:
    """The parts moved within their budgets, and what they then spend; None if they miss one by more than rounding.

    Too large a rate is mixed with the independent coupling, whose rate is 0 (with what scaling makes of it where pairs
    are forbidden: of couplings that avoid them it has the least rate). A loss that is too large by
    :data:`NEAR` at most is mixed with a coupling of low loss (unless ``lower_loss`` is False): H(S|Y) is concave, so
    along the segment it exceeds C up to one place, which bisection finds. What stays outside by :data:`CLOSE` at most
    comes back with its excess.
    """
    budgets = Budgets.of(formulation) if budgets is None else budgets
    found, now = list(parts), spent(formulation, parts, budgets)
    first = found, now
    problem = formulation.problem
    alone, least = problem.independent, 0.0
    if now.rate_excess > 0.0 and problem.forbidden.any():
        loose, _ = loosest(problem.px, problem.py, ~problem.forbidden)
        rounded = round_onto_allowed(loose, problem.px, problem.py, ~problem.forbidden)
        if rounded is None:
            return None
        alone, least = rounded, problem.rate(rounded)
    for attempt in range(0 if formulation.name == "one-shot" else 12):
        if now.rate_excess == 0.0:
            break
        over = now.rate_excess / max(formulation.rate_budget + now.rate_excess - least, now.rate_excess)
        share = min(1.0, over + 2.0**attempt * (4 * _UNIT + 1e-12 * over))
        found = [_mixed(part, alone, share) for part in found]
        now = spent(formulation, found, budgets)
    if 0.0 < first[1].rate_excess <= CLOSE and _absurd(formulation, first[0], found):
        return first
    if lower_loss and 0.0 < now.loss_excess <= NEAR and now.rate_excess == 0.0 and formulation.name != "one-shot":
        found, now = min(
            ((found, now), *_lower_loss(formulation, found, budgets)),
            key=lambda pair: (pair[1].excess > 0.0, formulation.problem.distortion(formulation.coupling(pair[0]))),
        )
    near = max(now.rate_excess, now.loss_excess, now.distortion_excess / max(formulation.most[0], 1e-300)) <= CLOSE
    return (found, now) if near else None


def _absurd(formulation: Question, before: Sequence[Part], after: Sequence[Part]) -> bool:
    """Whether a hair of independence, which rounding alone asks for, costs much beside the pairs that were in use.

    E d as a function of the rate is never that steep: a stand-in for infinity got mass.
    """
    problem, coupling = formulation.problem, formulation.coupling(before)
    used = float(problem.d[coupling > NEAR].max(initial=0.0))
    return problem.distortion(formulation.coupling(after)) - problem.distortion(coupling) > 1e-3 * used > 0.0


def _mixed(part: Part, coupling: FloatArray, share: float) -> Part:
    return replace(part, coupling=coupling if share == 1.0 else (1.0 - share) * part.coupling + share * coupling)


def _lower_loss(formulation: Question, parts: Sequence[Part], budgets: Budgets) -> Iterator[tuple[list[Part], Spent]]:
    """The parts with as little as does of a coupling that sorts letters by how likely a class is."""
    problem = formulation.problem
    T = problem.ps_given_x.T @ formulation.coupling(parts)
    tau = T / np.maximum(T.sum(axis=0), 1e-300)  # a letter of hardly any mass may go anywhere
    for s in range(min(problem.k, 8) if problem.k > 2 else 1):
        x, y = np.argsort(problem.ps_given_x[:, s], kind="stable"), np.argsort(tau[s], kind="stable")
        for order in (y, y[::-1]):
            low = _corner(problem.px, problem.py, x, order)
            if low[problem.forbidden].any():
                continue

            def mixed(share: float, low: FloatArray = low) -> tuple[list[Part], Spent]:
                if formulation.name == "time-sharing":
                    some = [replace(part, weight=(1.0 - share) * part.weight) for part in parts] + [Part(share, low)]
                else:
                    some = [_mixed(part, low, share) for part in parts]
                return some, spent(formulation, some, budgets)

            least, most = -54.0, 0.0  # exponents of 2
            if mixed(1.0)[1].loss_excess > 0.0:
                continue
            for _ in range(16):
                middle = 0.5 * (least + most)
                least, most = (least, middle) if mixed(2.0**middle)[1].loss_excess == 0.0 else (middle, most)
            found = mixed(2.0**most)
            if found[1].excess == 0.0:
                yield found


def _corner(px: FloatArray, py: FloatArray, x: Any, y: Any) -> FloatArray:
    """The north-west corner coupling, letters in these orders: the first of X with the first of Y."""
    ends_x, ends_y = np.cumsum(px[x]), np.cumsum(py[y])
    ends_x[-1] = ends_y[-1] = max(ends_x[-1], ends_y[-1])
    low = np.maximum((ends_x - px[x])[:, None], (ends_y - py[y])[None, :])
    P = np.zeros((len(px), len(py)))
    P[np.ix_(x, y)] = np.maximum(np.minimum(ends_x[:, None], ends_y[None, :]) - low, 0.0)
    return round_onto_marginals(P, px, py)


# -- careful arithmetic ----------------------------------------------------------------------------------------------


def _affordable(formulation: Question, parts: Sequence[Part]) -> bool:
    p = formulation.problem
    cells = p.n * p.m * (1 if formulation.classifier_sees == "Y" and formulation.name == "one-shot" else len(parts))
    logarithms = cells + p.m * p.k * len(parts)
    in_time = logarithms * _LOGARITHM_SECONDS <= clock.remaining()
    return cells * p.k <= _PRODUCTS and logarithms <= _LOGARITHMS and in_time


def _careful(formulation: Question, parts: Sequence[Part], budgets: Budgets) -> list[float]:
    """By how much E d, the rate and the loss exceed their budgets, rounded up; 0 where they do not."""
    with decimal.localcontext(decimal.Context(prec=DIGITS, Emin=-999_999, Emax=999_999)) as context:
        meant = _Meant(formulation, parts, budgets.units)
        rounded = context.flags[decimal.Inexact]
        excess = []
        nats_per = information.NATS_PER[budgets.units]
        for budget, value, unit in (
            (budgets.distortion, meant.distortion, 1.0),
            (budgets.rate, meant.rate, nats_per),
            (budgets.loss, meant.loss, nats_per),
        ):
            nothing = meant.independent if value == meant.rate else value == meant.loss and meant.certain()
            if budget == math.inf or nothing:
                excess.append(0.0)
                continue
            context.clear_flags()
            over = value() - Decimal(budget)
            if rounded or context.flags[decimal.Inexact]:
                over += _ALLOWANCE * max(Decimal(1), Decimal(budget))
            nats = float(over) * unit * (1.0 + 4 * _UNIT)
            excess.append(math.nextafter(nats, math.inf) if over > 0 else 0.0)
        return excess


def _careful_distortion(formulation: Question, parts: Sequence[Part], budgets: Budgets) -> float:
    """E d, rounded up."""
    with decimal.localcontext(decimal.Context(prec=DIGITS, Emin=-999_999, Emax=999_999)):
        return math.nextafter(float(_Meant(formulation, parts, budgets.units).distortion()), math.inf)


def law_of(formulation: Question, parts: Sequence[Part]) -> Any:
    """The law of Y of the couplings that are meant, where it is their own; doubles where decimals take long."""
    if formulation.problem.d.size * len(parts) > _PRODUCTS:
        return formulation.coupling(parts).sum(axis=0)
    with decimal.localcontext(decimal.Context(prec=DIGITS, Emin=-999_999, Emax=999_999)):
        return _Meant(formulation, parts, "nats").law()


class _Meant:
    """The weighted couplings that are meant, in decimals, with Wᵀ and the law of X and Y normalised."""

    independent = False  # whether every one is exactly px pyᵀ, of rate 0

    def __init__(self, formulation: Question, parts: Sequence[Part], units: str) -> None:
        problem = formulation.problem
        self.bits, self.formulation = units == "bits", formulation
        self.px, self.py = decimal_pmf(problem.px), decimal_pmf(problem.py)
        self.W = np.array([decimal_pmf(row) for row in problem.ps_given_x])
        self.d = decimals(np.where(problem.forbidden, 0.0, problem.d))  # no mass lies there
        weights = decimal_pmf(np.array([part.weight for part in parts]))
        if formulation.name == "one-shot":
            self._maps(weights, parts)
        else:
            alone = np.outer(self.px, self.py)
            self.apart = [_apart(formulation, [part]) for part in parts]
            self.weights = weights
            self.couplings = [
                alone if a else self._onto(part.coupling) for a, part in zip(self.apart, parts, strict=True)
            ]
            self.independent = all(self.apart)

    def _onto(self, coupling: FloatArray) -> Any:
        P = decimals(coupling)
        if self.formulation.laws is not None:
            return P * (self.px / P.sum(axis=1))[:, None]
        if self.formulation.problem.forbidden.any():
            return self._along(coupling)
        for goals in (self.px, self.py):
            sums = P.sum(axis=1)
            factors = [goal / total if total > goal else Decimal(1) for goal, total in zip(goals, sums, strict=True)]
            P = (P * np.array(factors)[:, None]).T
        x, y = (np.maximum(goal - sums, _ZERO) for goal, sums in ((self.px, P.sum(1)), (self.py, P.sum(0))))
        total = x.sum()
        if not total > 0:
            return P
        spread = np.outer(x, y) / total
        if (spread * self.d).sum() <= _DEAR * (P * self.d).sum():
            return P + spread
        kept, missing = P.copy(), [*x, *y]
        send_along(kept, missing, leaves_first(coupling))
        near = max(map(abs, missing)) <= _ALLOWANCE
        return kept if near and min(kept.ravel()) >= 0 else P + spread

    def _along(self, coupling: FloatArray) -> Any:
        """The coupling on the pairs in use; where its letters fall apart px and py are met to rounding only."""
        P = decimals(coupling)
        kept, missing = P.copy(), [*(self.px - P.sum(axis=1)), *(self.py - P.sum(axis=0))]
        send_along(kept, missing, leaves_first(coupling))
        near = max(map(abs, missing)) <= _ALLOWANCE
        return kept if near and min(kept.ravel()) >= 0 else P / P.sum()

    def _maps(self, weights: Any, parts: Sequence[Part]) -> None:
        """Maps as couplings; constant maps make up for column masses that miss py."""
        m, own = len(self.py), self.formulation.laws is not None
        maps = [part.map for part in parts] + [np.full(len(self.px), y) for y in range(0 if own else m)]
        self.independent = all((f == f[0]).all() for f in maps)  # type: ignore[index]
        self.couplings = [np.where(f[:, None] == np.arange(m), self.px[:, None], _ZERO) for f in maps]  # type: ignore[index]
        self.weights, self.apart = weights, [False] * len(maps)
        if own:
            return
        masses = sum(w * P.sum(axis=0) for w, P in zip(weights, self.couplings, strict=False))
        keep = min([Decimal(1), *(goal / mass for goal, mass in zip(self.py, masses, strict=True) if mass > goal)])
        self.weights = np.append(keep * weights, np.maximum(self.py - keep * masses, _ZERO))

    def distortion(self) -> Any:
        return sum((w * (P * self.d).sum() for w, P in zip(self.weights, self.couplings, strict=True)), _ZERO)

    def rate(self) -> Any:
        one_shot, own = self.formulation.name == "one-shot", self.formulation.laws is not None
        alone = np.outer(self.px, self.py)
        total = _ZERO
        for weight, P in zip(self.weights, self.couplings, strict=True):
            if own:
                alone = np.outer(self.px, P.sum(axis=0))
            pairs = [(t, 1 / t) for t in P.sum(axis=0) if t] if one_shot else _ratios(P, alone)
            total += weight * self._sum(pairs)
        return total

    def law(self) -> Any:
        """Of Y, on average over the couplings."""
        laws = [self.py if a else P.sum(axis=0) for a, P in zip(self.apart, self.couplings, strict=True)]
        return sum((w * q for w, q in zip(self.weights, laws, strict=True)), _ZERO)

    def _read(self) -> list[tuple[Any, Any]]:
        """p(s, y) of what the classifier reads, with weights."""
        pairs = zip(self.weights, self.couplings, strict=True)
        if self.formulation.name == "one-shot" and self.formulation.classifier_sees == "Y":
            return [(Decimal(1), self.W.T @ sum(w * P for w, P in pairs))]
        return [(weight, self.W.T @ P) for weight, P in pairs]

    def certain(self) -> bool:
        """Whether a letter of Y leaves one class at most: H(S|Y) = 0, however things are rounded."""
        return all(((T != 0).sum(axis=0) <= 1).all() for _, T in self._read())

    def loss(self) -> Any:
        return -sum((w * self._sum(_ratios(T, np.broadcast_to(T.sum(0), T.shape))) for w, T in self._read()), _ZERO)

    def _sum(self, pairs: Iterable[tuple[Decimal, Decimal]]) -> Any:
        """Σ t log r."""
        return sum((t * self._log(r) for t, r in pairs), _ZERO)

    def _log(self, x: Decimal) -> Any:
        if not self.bits:
            return x.ln()
        power = round(math.log2(float(x))) if Decimal("1e-99") < x < Decimal("1e99") else 0
        return Decimal(power) if x == Decimal(2) ** power else x.ln() / _TWO


def _ratios(P: Any, Q: Any) -> Iterator[tuple[Decimal, Decimal]]:
    return ((t, t / u) for t, u in zip(P.ravel(), Q.ravel(), strict=True) if t)


def decimals(array: FloatArray) -> Any:
    """Doubles as decimals, unrounded."""
    found = np.empty(array.size, dtype=object)
    found[:] = [Decimal(v) for v in np.ravel(array).tolist()]
    return found.reshape(array.shape)


def decimal_pmf(p: FloatArray) -> Any:
    """Doubles as decimals, divided by their sum."""
    exact = decimals(p)
    total = exact.sum()
    return exact if total == 1 else exact / total
