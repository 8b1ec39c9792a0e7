"""Evidence that needs no multipliers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from drcopt.formulations import Question
from drcopt.problem import Standard
from drcopt.questions import DISTORTION, Piece, lowered


@dataclass(frozen=True, eq=False)
class Independent:
    """Where X and Y must be independent, at R = 0 or with a letter alone, what the one point there has."""

    def bound(self, question: Question) -> float:
        problem = question.problem
        alone = question.rate_budget == 0 or problem.n == 1 or (problem.m == 1 and question.classifier_sees == "Y")
        if not alone:
            return -math.inf
        if question.laws is None:
            distortion, perception = math.fsum(np.ravel(problem.independent * problem.d)), 0.0
        else:
            distortion, perception = question.laws.halfspace(problem.px @ problem.d)
        loss = problem.entropy_s
        return max(
            question.bound(Piece((0.0, 1.0, 0.0), 0.0)),
            question.bound(Piece((1.0, 0.0, 0.0), lowered(distortion, problem.d_most), perception)),
            question.bound(Piece((0.0, 0.0, 1.0), lowered(loss, loss + 1.0))),
        )

    def framed(self, change: Standard) -> Independent:
        return self


@dataclass(frozen=True, eq=False)
class DataProcessing:
    """S - X - Y is a Markov chain: H(S|Y) ≥ H(S|X), and ηI(X;Y) + H(S|Y) ≥ H(S) with p(s|x)'s contraction η."""

    def bound(self, question: Question) -> float:
        if question.objective is DISTORTION and question.classification_budget >= question.problem.entropy_s:
            return -math.inf  # it weighs no distortion, and there is no loss to be refused
        return max(map(question.bound, self.pieces(question)))

    def pieces(self, question: Question) -> list[Piece]:
        """Half-spaces of all points."""
        problem = question.problem
        least, all_of_it = problem.entropy_s_given_x, problem.entropy_s
        pieces = [Piece((0.0, 0.0, 1.0), lowered(least, least + 1.0))]
        if question.name != "one-shot":  # time-sharing averages the inequality over a variable independent of X
            pieces.append(Piece((0.0, problem.contraction, 1.0), lowered(all_of_it, all_of_it + 1.0)))
        return pieces

    def framed(self, change: Standard) -> DataProcessing:
        return self


@dataclass(frozen=True, eq=False)
class Cheapest:
    """Every letter x at its cheapest y, and what that leaves to every y; and the same from the other side."""

    def bound(self, question: Question) -> float:
        return max(map(question.bound, self.pieces(question)))

    def pieces(self, question: Question) -> list[Piece]:
        """Half-spaces of all points."""
        found = []
        for level, rest in question.problem.floors:
            over_laws, perception = question.law.halfspace(rest)
            found.append(Piece((1.0, 0.0, 0.0), lowered(level + over_laws, level, over_laws), perception))
        return found

    def framed(self, change: Standard) -> Cheapest:
        return self
