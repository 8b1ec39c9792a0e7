"""The chains of a sweep: what is solved after what, and what a point begins with, whoever solves it and when."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from drcopt.engines.earlier import LEFT, Trees, passed_on, start_of, trees_of
from drcopt.perception import Perception
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, PERCEPTION, Quantity
from drcopt.session import Session
from drcopt.sweeps.checkpoint import Record, Warm
from drcopt.sweeps.monotone import infeasible_as
from drcopt.sweeps.rows import Asked, limited, outer

#: Points in a chain: long where a point is cheap and mostly gains from its neighbour, short where it is not.
LONG_CHAIN, SHORT_CHAIN = 64, 8


@dataclass(frozen=True, eq=False)
class Block:
    """A chain of points and, by their places in it, those that are known; what goes to a worker.

    It ascends in the first of the :func:`drcopt.sweeps.rows.limited` quantities, holds the other at ``limit`` and the
    :func:`drcopt.sweeps.rows.outer` one at ``last``.
    """

    session: Callable[..., Session]
    problem: Problem
    settings: Mapping[str, Any]
    objective: Quantity
    limit: float
    budgets: tuple[float, ...]
    known: Mapping[int, Record] = field(default_factory=dict)
    last: float = math.inf
    perception: Perception | None = None
    #: By place, bounds that chains with other limits found at the same budget: see :func:`drcopt.sweeps.chains.waves`.
    beside: Mapping[int, tuple[Trees, ...]] = field(default_factory=dict)

    def open(self) -> Session:
        """What answers its points."""
        law = {} if self.perception is None else {"perception": self.perception}
        return self.session(self.problem, **self.settings, **law)

    def at(self, place: int) -> tuple[float, float, float]:
        """The budgets of a point: on the outer quantity, the one held and the one it ascends in."""
        return self.last, self.limit, self.budgets[place]

    def asked(self, place: int) -> Asked:
        """What a point of it asks."""
        ascending, held = limited(self.objective)
        budgets = dict(zip((outer(self.objective), held, ascending), self.at(place), strict=True))
        return Asked(self.problem, self.settings, self.objective, budgets, self.perception)

    def with_known(self, records: Mapping[int, Record]) -> Block:
        """It, with these answers too."""
        return replace(self, known={**self.known, **records})

    def next(self) -> int | None:
        """The place to answer next; None: all are answered."""
        rows = (self.known.get(place) for place in range(len(self.budgets)))
        return following([None if row is None else row.cells["status"] for row in rows])

    def start(self, place: int) -> Warm:
        """What a point starts from: its neighbour below, or the one above if there is none below that is feasible.

        The first of a chain starts from one with another limit, if that is known.

        A function of what is known, however that came to be: a resumed chain goes on as it would have.
        """
        below = max((p for p in self.known if p < place), default=None)
        above = min((p for p in self.known if p > place), default=None)
        if above is not None and (below is None or self._infeasible(below)) and not self._infeasible(above):
            below = above
        if below is None:
            return next(filter(None, map(start_of, self.beside.get(place, ()))), None)
        warm = self.known[below].warm
        return None if warm is None else {name: array for name, array in warm.items() if not name.startswith(LEFT)}

    def bounds(self, place: int) -> Trees:
        """The bounds of points near, for the engine to begin with; functions of what is known likewise."""
        below = max((p for p in self.known if p < place), default=None)
        above = min((p for p in self.known if p > place), default=None)
        near = [trees_of(self.known[p].warm) for p in (below, above) if p is not None]
        return passed_on([trees for trees in (*near, *self.beside.get(place, ())) if trees])

    def with_bounds(self, trees: Mapping[tuple[float, float, float], Trees], due: Mapping[float, int]) -> Block:
        """It, with those that chains of earlier waves found at its budgets (``trees`` by :meth:`at`)."""
        limits = beside(self.limit, due)
        found = {p: tuple(trees.get((self.last, v, b), {}) for v in limits) for p, b in enumerate(self.budgets)}
        return replace(self, beside=found)

    def settled(self, place: int) -> Mapping[str, Any] | None:
        """The answer to a point that a looser one proves infeasible."""
        looser = min((p for p in self.known if p > place and self._infeasible(p)), default=None)
        return None if looser is None else infeasible_as(self.known[looser].cells)

    def light(self) -> Block:
        """It, with the starts that a point may need and no others: it is sent to another process."""
        ends = {p for p in self.known if {p - 1, p + 1} & (set(range(len(self.budgets))) - set(self.known))}
        known = {p: r if p in ends else Record(r.cells, None) for p, r in self.known.items()}
        return replace(self, known=known, beside={p: t for p, t in self.beside.items() if p not in self.known})

    def _infeasible(self, place: int) -> bool:
        return bool(self.known[place].cells["status"] == "infeasible")


def plan(
    ascending: list[float], held: list[float], formulation: str, objective: Quantity = DISTORTION
) -> list[tuple[float, tuple[float, ...]]]:
    """The chains of a sweep: for each, the budget that it holds and those that it goes through.

    They depend on what is asked and on nothing else, least of all on how many workers there are: what a
    point starts from, and so its last digits, must not either.
    """
    chains = []
    points = sorted(set(ascending))
    for limit in dict.fromkeys(held):
        dear = objective in (CLASSIFICATION_LOSS, PERCEPTION)
        cheap = not dear and math.isinf(limit) and formulation == "single-letter"
        length = LONG_CHAIN if cheap else SHORT_CHAIN
        chains += [(limit, tuple(points[start : start + length])) for start in range(0, len(points), length)]
    return chains


def following(statuses: list[str | None]) -> int | None:
    """The place in a chain to answer next, given the statuses of those that are answered; None: all are.

    In ascending order, until a point is infeasible: if the loosest is too, it settles all the others, and if it is not
    halving finds where feasibility begins. A function of the answers, so that a resumed chain goes on as it would.
    """
    open_ = [place for place, status in enumerate(statuses) if status is None]
    if not open_:
        return None
    edge = max((place for place, status in enumerate(statuses) if status == "infeasible"), default=-1)
    if edge < 0 or open_[0] < edge:
        return open_[0]
    met = min((p for p, s in enumerate(statuses) if s not in (None, "infeasible")), default=len(statuses))
    if met == len(statuses):
        return open_[-1]
    between = [place for place in open_ if place < met]
    return between[len(between) // 2] if between else open_[0]


def waves(limits: Iterable[float]) -> dict[float, int]:
    """When the chains of each limit are due: first the ends (and those without), then what halves the gaps between.

    Chains of one wave know nothing of each other, so that it does not matter who is first; from the waves before they
    have the bounds at the limits next to theirs (:func:`beside`), which may leave little to prove.
    """
    finite = sorted({limit for limit in limits if math.isfinite(limit)})
    found = dict.fromkeys([math.inf, *finite[:1], *finite[-1:]], 0)
    gaps, wave = [(0, len(finite) - 1)], 0
    while gaps := [(a, b) for a, b in gaps if b - a > 1]:
        wave += 1
        middles = [(a, (a + b) // 2, b) for a, b in gaps]
        found |= {finite[m]: wave for _, m, _ in middles}
        gaps = [pair for a, m, b in middles for pair in ((a, m), (m, b))]
    return found


def beside(limit: float, due: Mapping[float, int]) -> list[float]:
    """The limits next to one whose chains are done when those of this one begin."""
    before = [other for other in due if due[other] < due[limit] and math.isfinite(other)]
    return [*sorted(v for v in before if v < limit)[-1:], *sorted(v for v in before if v > limit)[:1]]
