"""The one-shot engine: mixtures of maps with common randomness, by column generation.

When the classifier sees Y and U, or there is no classification budget, the problem is a linear program over maps.
When it sees Y alone, that program is a relaxation and :mod:`drcopt.engines.map_branching` closes the gap.
Where alphabets are too large for the exact pricing the bound is that of :mod:`drcopt.bounds.cells`.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from drcopt.bounds import Evidence, Independent
from drcopt.bounds.maps import MapLeaf, MapTree
from drcopt.engines.base import INTERRUPTED, Limits, Proposal
from drcopt.engines.cell_programs import cell_bound
from drcopt.engines.columns import Duals, MasterError
from drcopt.engines.linear import optimal_transport
from drcopt.engines.map_branching import Branching
from drcopt.engines.map_moves import quantile_maps
from drcopt.engines.map_programs import MapProgram, Mixture, ProgramPoint, Workshop
from drcopt.engines.map_search import MARGIN, TangentSearch
from drcopt.formulations import Part, Question
from drcopt.formulations.one_shot import map_coupling
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, QUANTITIES, ROUNDING, Quantity

#: Points that exceed a limit by no more are shown to the judge.
_ROUNDING = 1e-14
#: A program that exceeds a limit by no more is feasible; prices of exceeding one, in turn.
_OVERRUN, _PENALTIES = 1e-9, (1e3, 1e6, 1e9)
#: Additions of one exact pricing from which the cells' bound is worth having, should time be short.
_DEAR = 1e8
#: How close the least loss is bounded when that decides feasibility, in nats.
_LOSS_GAP = 1e-10


class OneShotEngine:
    """One-shot codes with common randomness, whatever the classifier sees."""

    name: ClassVar[str] = "one-shot"

    def propose(self, question: Question, limits: Limits, warm: Any = None) -> Proposal:
        """See :class:`drcopt.engines.base.Engine`; ``warm`` holds the "maps" of the last point, as floats."""
        if _constant_maps_only(question):
            return _independent(question)
        attempt = _Attempt(question, limits)
        attempt.take(warm)
        try:
            attempt.answer()
        except MasterError as reason:
            attempt.termination = str(reason)
        except KeyboardInterrupt:
            if attempt.evidence is None and attempt.mixture is None:
                raise  # before there is anything to hand back
            attempt.shop.interrupt()
        return attempt.proposal()


def _constant_maps_only(question: Question) -> bool:
    return question.rate_budget == 0 or min(question.problem.n, question.problem.m) == 1


def _independent(question: Question) -> Proposal:
    """Y independent of X: the mixture of constant maps."""
    problem = question.problem
    law = question.law.argmin(problem.px @ problem.d)
    letters = [y for y in range(problem.m) if law[y] > 0]
    maps = [np.full(problem.n, y) for y in letters]
    parts = [Part(float(law[y]), map_coupling(problem, f), f) for y, f in zip(letters, maps, strict=True)]
    meets = all(v <= b + ROUNDING for v, b in zip(question.values(parts), question.budgets, strict=True))
    return Proposal(
        parts=parts if meets else None,
        evidence=(Independent(),),
        termination="X and Y must be independent",
        stats={"maps": len(parts)},
    )


class _Attempt:
    """One question, and the best answer so far: a mixture, and evidence with its bound."""

    def __init__(self, question: Question, limits: Limits) -> None:
        self.question, self.problem, self.limits = question, question.problem, limits
        self.objective = question.objective
        self.shop = Workshop(self.problem, limits, question.laws)
        # Budgets that cannot bind are none: H(Y|U) ≤ H(Y) and H(S|Y) ≤ H(S).
        pairs = zip(question.budgets, question.most, strict=True)
        self.budgets = np.array([math.inf if budget >= most - ROUNDING else budget for budget, most in pairs])
        self.mixture: Mixture | None = None
        self.weights = (math.nan, math.nan, math.nan)
        self.evidence: Evidence | None = None
        self.lower = -math.inf
        self.infeasibility: Evidence | None = None
        self.termination = ""
        self.late = False
        self.nodes = 0

    def take(self, warm: Any) -> None:
        """Start from the maps of another point, if that is what ``warm`` holds."""
        maps = np.asarray(warm["maps"]) if isinstance(warm, dict) and "maps" in warm else np.empty((0, 0))
        if maps.ndim == 2 and maps.shape[1] == self.problem.n and ((maps >= 0) & (maps < self.problem.m)).all():
            self.shop.pool.add(maps.astype(np.int64))

    # -- what is known -----------------------------------------------------------------------------------------

    @property
    def value(self) -> float:
        """The objective of the mixture; inf without one."""
        if self.mixture is None:
            return math.inf
        return self.mixture.quantities(self.question.classifier_sees)[self.objective.place]

    @property
    def loss(self) -> float:
        """The limit on the classification loss."""
        return float(self.budgets[CLASSIFICATION_LOSS.place])

    def offer(self, mixture: Mixture, weights: tuple[float, float, float]) -> bool:
        """Keep a mixture if it meets the limits and none better is known; says whether it meets them."""
        values = mixture.quantities(self.question.classifier_sees)
        meets = all(v <= b + _ROUNDING * max(b, 1.0) for v, b in zip(values, self.budgets, strict=True) if b < math.inf)
        if meets and values[self.objective.place] <= self.value:
            self.mixture, self.weights = mixture, weights
        return meets

    def raise_to(self, evidence: Evidence, lower: float) -> None:
        """Keep evidence if its bound is better."""
        if lower > self.lower or self.evidence is None:
            self.evidence, self.lower = evidence, lower

    def proposal(self) -> Proposal:
        """What the engine says."""
        if not self.termination:
            closed = self.value - self.lower <= self.limits.tol
            late = self.late or self.shop.late or self.shop.hurried
            why_not = "the time limit was reached" if late else "no better map was found"
            if not late and self.shop.pricing.exact and not self.shop.exact:
                why_not = "the time limit is too short for a closer bound"
            if self.shop.interrupted:
                why_not = INTERRUPTED
            self.termination = "the gap is closed" if closed else why_not
        stats: dict[str, Any] = {
            "columns": len(self.shop.pool),
            "pricings": self.shop.pricings,
            "programs": self.shop.programs,
            "nodes": self.nodes,
        }
        parts = warm = None
        if self.mixture is not None:
            maps = self.shop.pool.maps[self.mixture.maps]
            stats["maps"] = len(maps)
            warm = {"maps": maps.astype(np.float64)}
            weights = zip(self.mixture.weights, maps, strict=True)
            parts = [Part(float(w), map_coupling(self.problem, f), f) for w, f in weights]
        return Proposal(
            parts=parts,
            evidence=tuple(e for e in (self.evidence, self.infeasibility) if e is not None),
            termination=self.termination,
            distortion_multiplier=self.weights[0],
            rate_multiplier=self.weights[1],
            classification_multiplier=self.weights[2],
            stats=stats,
            warm=warm,
        )

    # -- answering ---------------------------------------------------------------------------------------------

    def answer(self) -> None:
        """Find the least value within the limits, or show that there is none."""
        p = self.problem
        if self.question.laws is not None:
            self.shop.pool.add(np.array([p.d.argmin(axis=1), p.ps_given_x.argmax(axis=1) % p.m]))
            self.search()
            return
        plan, f = optimal_transport(p) or (p.independent, np.zeros(p.n))
        maps, weights = quantile_maps(plan)
        mixture = Mixture(self.shop.pool, self.shop.pool.add(maps), weights)
        nu = (p.d - f[:, None]).min(axis=0)
        transport, least = MapTree(MapLeaf.linear(p, nu)), float(f @ p.px + nu @ p.py)
        if self.objective is DISTORTION:
            self.raise_to(transport, least)
            if np.abs(plan.sum(axis=0) - p.py).sum() < 1e-13 and self.offer(mixture, (1.0, 0.0, 0.0)):
                self.termination = "optimal transport meets the budgets"
                return
        elif transport.bound(self.question) == math.inf:
            self.infeasibility = transport
            self.termination = "the least distortion is above its budget"
            return
        if not self.shop.exact or self.shop.pricing.work > _DEAR:
            cells = cell_bound(self.question, maps, self.limits)
            self.raise_to(cells.evidence, cells.bound)
            if cells.interrupted:
                raise KeyboardInterrupt
            self.shop.pool.add(quantile_maps(cells.coupling)[0])
        self.search()

    def search(self) -> None:
        """By programs over maps, and where H(S|Y) counts by branch and bound."""
        p = self.problem
        if self.question.classifier_sees == "YU" or (
            self.objective is not CLASSIFICATION_LOSS and self.loss == math.inf
        ):
            self.solve_linear(self.loss)
            return
        if self.objective is CLASSIFICATION_LOSS:
            search = TangentSearch(self.question, self.shop)
            point = self.solve_linear(math.inf)
            search.explore([point.mixture.posteriors, *search.random_starts(2 * p.m)])
            self.branch(search)
            return
        free = self.solve_linear(math.inf)
        if free.overrun > _OVERRUN or self.mixture is None:  # without it, nothing less than C will do
            self.answer_with_y(free)

    def solve_linear(self, loss: float) -> ProgramPoint:
        """The program over maps with Σ_f λ_f H(S|f(X)) ≤ ``loss``; keeps what it finds."""
        forms = np.array([self.shop.layout.of(q) for q in QUANTITIES])
        limits = np.array([*self.budgets[:2], loss]) * (1 - MARGIN)
        program = MapProgram(self.shop, forms[self.objective.place], forms, limits)
        for penalty in _PENALTIES:
            point = program.solve(tol=0.05 * self.limits.tol, penalty=penalty)
            self.raise_to(*self.linear_evidence(point, self.objective))
            if point.overrun <= _OVERRUN:
                self.offer(point.mixture, _weights(point.ended.point.duals, self.objective))
                break
            if self.shop.late:
                break
            limited = penalty == _PENALTIES[0] and math.isfinite(self.loss)
            if limited and self.shows_infeasible(self.least_conditional()):
                break
        return point

    def linear_evidence(self, point: ProgramPoint, objective: Quantity) -> tuple[Evidence, float]:
        """What a program over maps proves of its objective, and the bound it said it has."""
        w, alpha, gamma = _weights(point.ended.duals, objective)
        leaf = MapLeaf.linear(self.problem, self.shop.nu(point.ended.duals), alpha, gamma, w)
        return MapTree(leaf), point.ended.bound

    @property
    def lowest(self) -> Question:
        """The question for the least loss within the other limits."""
        return self.question.minimising(CLASSIFICATION_LOSS)

    def least_conditional(self) -> ProgramPoint:
        """The least Σ_f λ_f H(S|f(X)) within the other limits."""
        forms = np.array([self.shop.layout.of(q) for q in QUANTITIES])
        limits = np.array([*self.budgets[:2], math.inf]) * (1 - MARGIN)
        return MapProgram(self.shop, forms[-1], forms, limits).solve(tol=_LOSS_GAP)

    def shows_infeasible(self, point: ProgramPoint) -> bool:
        """Whether the least loss is above the budget."""
        evidence, lower = self.linear_evidence(point, CLASSIFICATION_LOSS)
        if not self.shop.exact and self.question.laws is None:
            maps = self.shop.pool.maps[point.maps[: self.problem.m]]
            cells = cell_bound(self.lowest, maps, self.limits)
            evidence, lower = cells.evidence, cells.bound
        if lower <= self.loss:
            return False
        self.infeasibility, self.termination = evidence, "the least classification loss is above its budget"
        return True

    # -- when the classifier sees Y alone ----------------------------------------------------------------------

    def answer_with_y(self, free: ProgramPoint) -> None:
        """H(S|Y) ≤ C binds: ``free`` is the answer without it."""
        relaxed = self.solve_linear(self.loss)  # H(S|Y,U) ≤ C asks for less
        if self.infeasibility is not None or self.value - self.lower <= self.limits.tol:
            return
        search = TangentSearch(self.question, self.shop)
        search.explore([free.mixture.posteriors, relaxed.mixture.posteriors])
        if search.best is None:
            self.reach_the_loss(search)
        if self.infeasibility is None:
            self.branch(search)

    def reach_the_loss(self, search: TangentSearch) -> None:
        """Find a start for ``search`` where H(S|Y) ≤ C, or show that there is none."""
        lowest = TangentSearch(self.lowest, self.shop, self.loss * (1 - 1e-9))
        lowest.explore([self.least_conditional().mixture.posteriors, *lowest.random_starts(2 * self.problem.m)])
        if not lowest.done and self.shop.exact:
            branching = Branching(lowest, goal=self.loss + 1e-9)
            branching.run(self.limits.node_limit)
            self.nodes, self.late = self.nodes + branching.nodes, branching.late
            if branching.lower > self.loss:
                self.infeasibility = branching.evidence
                self.termination = "the least classification loss is above its budget"
        if lowest.best is not None and self.infeasibility is None:
            search.steps(lowest.best.mixture.posteriors)

    def branch(self, search: TangentSearch) -> None:
        """Close the gap between the search's incumbent and the bound."""
        if self.shop.exact:
            branching = Branching(search)
            if isinstance(self.evidence, MapTree) and isinstance(self.evidence.root, MapLeaf):
                branching.root.leaf, branching.root.bound = self.evidence.root, self.lower
            try:
                branching.run(self.limits.node_limit)
            except KeyboardInterrupt:  # every leaf of the tree holds, visited or not
                self.shop.interrupt()
            self.nodes, self.late = self.nodes + branching.nodes, branching.late
            self.raise_to(branching.evidence, branching.lower)
        if search.best is not None:
            self.offer(search.best.mixture, search.best.weights)


def _weights(duals: Duals, objective: Quantity) -> tuple[float, float, float]:
    """Of distortion, rate and loss: the duals of their limits, and 1 for what is minimised."""
    w, alpha, gamma = (1.0 if q is objective else float(v) for q, v in zip(QUANTITIES, duals.budgets, strict=True))
    return w, alpha, gamma
