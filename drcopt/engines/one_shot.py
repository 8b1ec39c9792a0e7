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
from drcopt.bounds.base import ROUNDING
from drcopt.bounds.maps import MapLeaf, MapTree
from drcopt.engines.base import Limits, Proposal
from drcopt.engines.cell_programs import cell_bound
from drcopt.engines.columns import MasterError
from drcopt.engines.linear import optimal_transport
from drcopt.engines.map_branching import Branching
from drcopt.engines.map_moves import quantile_maps
from drcopt.engines.map_programs import MapProgram, Mixture, ProgramPoint, Workshop
from drcopt.engines.map_search import MARGIN, TangentSearch
from drcopt.formulations import Formulation, Part
from drcopt.formulations.one_shot import map_coupling

#: A program that exceeds a limit by no more is feasible; prices of exceeding one, in turn.
_OVERRUN, _PENALTIES = 1e-9, (1e3, 1e6, 1e9)
#: Additions of one exact pricing from which the cells' bound is worth having, should time be short.
_DEAR = 1e8
#: How close the least loss is bounded when that decides feasibility, in nats.
_LOSS_GAP = 1e-10


class OneShotEngine:
    """One-shot codes with common randomness, whatever the classifier sees."""

    name: ClassVar[str] = "one-shot"

    def propose(self, formulation: Formulation, limits: Limits, warm: Any = None) -> Proposal:
        """See :class:`drcopt.engines.base.Engine`; ``warm`` holds the "maps" of the last point, as floats."""
        if _constant_maps_only(formulation):
            return _independent(formulation)
        question = _Question(formulation, limits)
        question.take(warm)
        try:
            question.answer()
        except MasterError as reason:
            question.termination = str(reason)
        return question.proposal()

    def least_loss(self, formulation: Formulation, limits: Limits) -> Proposal:
        """The least loss within the rate budget, as the formulation's classifier sees it; ``limits.tol`` in nats."""
        if _constant_maps_only(formulation):
            return _independent(formulation, "classification-loss")
        question = _Question(formulation, limits, "classification-loss")
        try:
            question.answer_loss()
        except MasterError as reason:
            question.termination = str(reason)
        return question.proposal()


def _constant_maps_only(formulation: Formulation) -> bool:
    return formulation.rate_budget == 0 or min(formulation.problem.n, formulation.problem.m) == 1


def _independent(formulation: Formulation, objective: str = "distortion") -> Proposal:
    """Y independent of X: the mixture of constant maps."""
    problem = formulation.problem
    meets = problem.entropy_s <= formulation.classification_budget + ROUNDING
    maps = [np.full(problem.n, y) for y in range(problem.m)]
    parts = [Part(float(w), map_coupling(problem, f), f) for w, f in zip(problem.py, maps, strict=True)]
    return Proposal(
        parts=parts if meets else None,
        evidence=Independent(objective),
        termination="X and Y must be independent",
        infeasibility=None if meets else Independent("classification-loss"),
        stats={"maps": len(parts)},
    )


class _Question:
    """One question, and the best answer so far: a mixture, and evidence with its bound."""

    def __init__(self, formulation: Formulation, limits: Limits, objective: str = "distortion") -> None:
        problem = formulation.problem
        self.formulation, self.problem, self.limits, self.objective = formulation, problem, limits, objective
        self.shop = Workshop(problem, limits)
        # Budgets that cannot bind are none: H(Y|U) ≤ H(Y) and H(S|Y) ≤ H(S).
        rate, loss = formulation.rate_budget, formulation.classification_budget
        self.rate = rate if rate < min(problem.entropy_x, problem.entropy_y) else math.inf
        self.loss = loss if loss < problem.entropy_s - ROUNDING else math.inf
        self.mixture: Mixture | None = None
        self.multipliers = (math.nan, math.nan)
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
        if self.objective == "distortion":
            return self.mixture.distortion
        return self.mixture.loss(self.formulation.classifier_sees)

    def offer(self, mixture: Mixture, rate_multiplier: float, loss_multiplier: float) -> bool:
        """Keep a mixture if it meets the budgets and none better is known; says whether it meets them."""
        meets = mixture.rate <= self.rate + 1e-15
        if self.objective == "distortion":
            meets = meets and mixture.loss(self.formulation.classifier_sees) <= self.loss
        before, known, multipliers = self.value, self.mixture, self.multipliers
        if meets:
            self.mixture, self.multipliers = mixture, (rate_multiplier, loss_multiplier)
            if self.value > before:
                self.mixture, self.multipliers = known, multipliers
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
            evidence=self.evidence,
            termination=self.termination,
            rate_multiplier=self.multipliers[0],
            classification_multiplier=self.multipliers[1],
            infeasibility=self.infeasibility,
            stats=stats,
            warm=warm,
        )

    # -- answering ---------------------------------------------------------------------------------------------

    def answer(self) -> None:
        """Find the least distortion within the budgets, or show that there is none."""
        p = self.problem
        plan, f = optimal_transport(p) or (p.independent, np.zeros(p.n))
        maps, weights = quantile_maps(plan)
        mixture = Mixture(self.shop.pool, self.shop.pool.add(maps), weights)
        nu = (p.d - f[:, None]).min(axis=0)
        self.raise_to(MapTree(MapLeaf.linear(p, nu)), float(f @ p.px + nu @ p.py))
        if np.abs(plan.sum(axis=0) - p.py).sum() < 1e-13 and self.offer(mixture, 0.0, 0.0):
            self.termination = "optimal transport meets the budgets"
            return
        if not self.shop.exact or self.shop.pricing.work > _DEAR:
            cells = cell_bound(p, self.rate, self.loss, maps, self.limits)
            self.raise_to(cells.evidence, cells.bound)
            self.shop.pool.add(quantile_maps(cells.coupling)[0])
        if self.formulation.classifier_sees == "YU" or self.loss == math.inf:
            self.solve_linear(self.loss)
            return
        free = self.solve_linear(math.inf)
        if free.overrun > _OVERRUN or self.mixture is None:  # without it, nothing less than C will do
            self.answer_with_y(free)

    def solve_linear(self, loss: float) -> ProgramPoint:
        """The program over maps with Σ_f λ_f H(S|f(X)) ≤ ``loss``; keeps what it finds."""
        layout = self.shop.layout
        forms = np.array([layout.form(rate=1.0), layout.form(loss=1.0)])
        limits = np.array([self.rate, loss]) * (1 - MARGIN)
        program = MapProgram(self.shop, layout.form(distortion=1.0), forms, limits)
        for penalty in _PENALTIES:
            point = program.solve(tol=0.05 * self.limits.tol, penalty=penalty)
            duals = point.ended.duals
            leaf = MapLeaf.linear(self.problem, duals.equality, float(duals.budgets[0]), float(duals.budgets[1]))
            self.raise_to(MapTree(leaf), point.ended.bound)
            if point.overrun <= _OVERRUN:
                self.offer(point.mixture, *map(float, point.ended.point.duals.budgets))
                break
            if self.shop.late or (penalty == _PENALTIES[0] and self.shows_infeasible(self.least_conditional())):
                break
        return point

    def least_conditional(self) -> ProgramPoint:
        """The least Σ_f λ_f H(S|f(X)) within the rate."""
        layout = self.shop.layout
        forms, limits = layout.form(rate=1.0)[None], np.array([self.rate]) * (1 - MARGIN)
        tol = _LOSS_GAP if self.objective == "distortion" else 0.5 * self.limits.tol
        return MapProgram(self.shop, layout.form(loss=1.0), forms, limits).solve(tol=tol)

    def conditional_evidence(self, point: ProgramPoint) -> tuple[Evidence, float]:
        """What bounds the least loss from below, and where it does."""
        if self.shop.exact:
            duals = point.ended.duals
            leaf = MapLeaf.linear(self.problem, duals.equality, float(duals.budgets[0]), 1.0)
            return MapTree(leaf, "classification-loss"), point.ended.bound
        maps = self.shop.pool.maps[point.maps[: self.problem.m]]
        cells = cell_bound(self.problem, self.rate, math.inf, maps, self.limits, "classification-loss")
        return cells.evidence, cells.bound

    def shows_infeasible(self, point: ProgramPoint) -> bool:
        """Whether the least loss is above the budget."""
        evidence, lower = self.conditional_evidence(point)
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
        search = TangentSearch(self.formulation, self.shop)
        search.explore([free.mixture.posteriors, relaxed.mixture.posteriors])
        if search.best is None:
            self.reach_the_loss(search)
        if self.infeasibility is None:
            self.branch(search)

    def reach_the_loss(self, search: TangentSearch) -> None:
        """Find a start for ``search`` where H(S|Y) ≤ C, or show that there is none."""
        lowest = TangentSearch(self.formulation, self.shop, "classification-loss", self.loss * (1 - 1e-9))
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
            branching.run(self.limits.node_limit)
            self.nodes, self.late = self.nodes + branching.nodes, branching.late
            self.raise_to(branching.evidence, branching.lower)
        if search.best is not None:
            best = search.best
            self.offer(best.mixture, best.rate_multiplier, best.classification_multiplier)

    def answer_loss(self) -> None:
        """Find the least loss within the rate."""
        self.loss = math.inf
        point = self.least_conditional()
        self.raise_to(*self.conditional_evidence(point))
        rate_multiplier = float(point.ended.point.duals.budgets[0])
        self.offer(point.mixture, rate_multiplier, math.nan)
        if self.formulation.classifier_sees == "YU":
            return
        search = TangentSearch(self.formulation, self.shop, self.objective)
        search.explore([point.mixture.posteriors, *search.random_starts(2 * self.problem.m)])
        self.branch(search)
