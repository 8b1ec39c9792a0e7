"""Good mixtures of maps when the classifier sees Y alone, by linear programs over maps.

H(S|Y) is concave in the mixture, so its tangents lie above it: H(S|Y) ≤ −Σ T(y, s) log q(s|y) for every q, with
equality at q = τ. A program with the cross-entropy in the place of H(S|Y) is a restriction; from a feasible
point, q = τ keeps that point, so repeating it only improves (a convex-concave step). Where such steps end
depends on the side of p(s) on which each posterior lies, so the search also tries the other side, letter by letter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from drcopt.engines.map_programs import Indices, MapProgram, Mixture, ProgramPoint, Workshop
from drcopt.formulations import Question
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, RATE
from drcopt.support.check import FloatArray

#: Budgets of proposed points are met with this much to spare, relative.
MARGIN = 1e-13


@dataclass(frozen=True, eq=False)
class Incumbent:
    """A mixture that meets the limits, its objective, and the weights (w, α, β) of the program that found it."""

    mixture: Mixture
    value: float
    weights: tuple[float, float, float]


@dataclass(eq=False)
class TangentSearch:
    """Small values of what a question minimises within its limits.

    ``target`` is a value that is good enough to stop at.
    """

    question: Question
    workshop: Workshop
    target: float = -math.inf
    best: Incumbent | None = None
    #: The limits, none on what is minimised.
    limits: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self.limits = np.array(self.question.caps)
        self.limits[self.question.objective.place] = math.inf

    @property
    def value(self) -> float:
        """Of the incumbent; inf without one."""
        return math.inf if self.best is None else self.best.value

    @property
    def done(self) -> bool:
        """Whether there is no time or no need to go on."""
        return self.workshop.late or self.value <= self.target

    def offer(self, point: ProgramPoint) -> float:
        """The objective of a program's mixture, kept if it is feasible and better; inf if infeasible."""
        if point.overrun > 1e-9:
            return math.inf
        mixture, objective = point.mixture, self.question.objective
        values = mixture.quantities("Y")
        if any(v > limit for v, limit in zip(values, self.limits, strict=True)):
            return math.inf
        value = values[objective.place]
        if value < self.value:
            duals = point.ended.point.duals.budgets
            weights = duals[:3].tolist()  # in every program here the first rows are those of the limits
            weights[objective.place] = 1.0
            self.best = Incumbent(mixture, value, tuple(weights))
        return value

    def program(self, q: FloatArray) -> MapProgram:
        """The restriction with the cross-entropy relative to ``q`` of shape (m, k)."""
        layout = self.workshop.layout
        # A little of p(s) keeps the logarithm finite.
        entropy = layout.form(joint=-np.log((1 - 1e-12) * q + 1e-12 * self.workshop.problem.ps))
        forms = np.array([layout.of(DISTORTION), layout.of(RATE), entropy])
        return MapProgram(self.workshop, forms[self.question.objective.place], forms, self.limits * (1 - MARGIN))

    def steps(
        self, posteriors: FloatArray, *, start: Indices | None = None, only: Indices | None = None, most: int = 30
    ) -> float:
        """Convex-concave steps from ``posteriors`` (m, k), feasible or not; returns where they ended.

        ``start`` are maps to begin with, or with ``only`` the only ones.
        """
        tol, reached = self.workshop.limits.tol, math.inf
        for _ in range(most):
            program = self.program(posteriors)
            for penalty in (1e3, 1e6):  # the classification multiplier can be large where S is hardly seen
                point = program.solve(tol=0.1 * tol, start=start, only=only, penalty=penalty)
                start = point.maps
                if point.overrun <= 1e-9:
                    break
            value = self.offer(point)
            if not value < reached - 1e-3 * tol or self.done:
                return min(value, reached)
            reached, posteriors = value, point.mixture.posteriors
        return reached

    def restored(self, posteriors: FloatArray) -> FloatArray:
        """Posteriors of steps that lower H(S|Y) from ``posteriors`` until it is within the budget."""
        lowest, target = self.question.minimising(CLASSIFICATION_LOSS), float(self.limits[-1]) * (1 - 1e-6)
        search = TangentSearch(lowest, self.workshop, target)
        search.steps(posteriors, start=self.handy)
        return posteriors if search.best is None else search.best.mixture.posteriors

    def start(self, posteriors: FloatArray) -> float:
        """Steps from ``posteriors``, made feasible first if they are not near a feasible point."""
        value = self.steps(posteriors, start=self.handy)
        if value == math.inf and self.question.objective is not CLASSIFICATION_LOSS and not self.done:
            value = self.steps(self.restored(posteriors), start=self.handy)
        return value

    @property
    def handy(self) -> Indices:
        """The newest maps of the pool and those of the incumbent."""
        count = len(self.workshop.pool)
        newest = np.arange(max(0, count - 200), count)
        return newest if self.best is None else np.union1d(newest, self.best.mixture.maps)

    def explore(self, starts: list[FloatArray]) -> None:
        """Steps from the starts, then from the incumbent with one letter's posterior on the other side of p(s)."""
        for posteriors in starts:
            if not self.done:
                self.start(posteriors)
        improved = self.best is not None
        while improved:
            improved = False
            for y in range(self.workshop.problem.m):
                if self.done or self.best is None:
                    return
                before, posteriors = self.value, self.best.mixture.posteriors.copy()
                posteriors[y] = reflected(posteriors[y], self.workshop.problem.ps)
                self.start(posteriors)
                improved |= self.value < before - 1e-9

    def random_starts(self, count: int) -> list[FloatArray]:
        """Posteriors half-way between p(s) and rows of p(s|x)."""
        p, rng = self.workshop.problem, np.random.default_rng(0)
        return [(p.ps_given_x[rng.integers(p.n, size=p.m)] + p.ps) / 2 for _ in range(count)]


def reflected(posterior: FloatArray, prior: FloatArray) -> FloatArray:
    """The posterior on the other side of the prior, as far away as the simplex allows."""
    step = prior - posterior
    room = np.min(np.where(step < 0, prior / np.maximum(-step, 1e-300), np.inf))
    return np.asarray(prior + min(1.0, float(room)) * step)
