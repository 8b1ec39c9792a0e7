"""The single-letter problem: min E d(X,Y) over P in Γ(px, py) with I(X;Y) ≤ R and H(S|Y) ≤ C."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from drcopt.formulations.base import Part, Question
from drcopt.problem import Problem
from drcopt.questions import OutputLaw
from drcopt.support.check import FloatArray


@dataclass(frozen=True, eq=False)
class SingleLetter(Question):
    """One coupling. The rate is convex in it, the classification loss concave."""

    name = "single-letter"

    def rate(self, parts: Sequence[Part]) -> float:
        return self.problem.rate(self.coupling(parts))

    def classification_loss(self, parts: Sequence[Part]) -> float:
        return self.problem.classification_loss(self.coupling(parts))


def of_letters(problem: Problem, parts: Sequence[Part]) -> FloatArray:
    """The joint pmf of X and Y, of one of X and V."""
    (part,) = parts
    P = np.zeros((problem.m, problem.n))
    assert part.letters is not None
    np.add.at(P, part.letters, part.coupling.T)
    return P.T


@dataclass(frozen=True, eq=False)
class Message(SingleLetter):
    """The classifier reads what the decoder decodes, V, and the letter y is a function of it.

    min E d(X, y(V)) with I(X;V) ≤ R and H(S|V) ≤ C: a linear program over measures on pairs of a letter and a
    posterior of X. One half-space on the whole box of posteriors has no gap. A point is a coupling of X and V, whose
    letters are named by their letters of Y.
    """

    classifier_sees = "message"

    @cached_property
    def most(self) -> tuple[float, ...]:
        """V may have more letters than Y, so that only H(X) limits the rate."""
        problem = self.problem
        return problem.d_most, problem.entropy_x, problem.entropy_s

    def coupling(self, parts: Sequence[Part]) -> FloatArray:
        """The joint pmf of (X, Y)."""
        return of_letters(self.problem, parts)

    def rate(self, parts: Sequence[Part]) -> float:
        return self.problem.rate(parts[0].coupling)

    def classification_loss(self, parts: Sequence[Part]) -> float:
        return self.problem.classification_loss(parts[0].coupling)

    def of_atoms(self, letters: np.ndarray, weights: FloatArray, laws: OutputLaw | None = None) -> SingleLetter:
        """The question about couplings of X and V, the atoms of V having these letters of Y and these weights.

        ``laws``: or weights of which these are one.
        """
        problem = self.problem
        wide = Problem(problem.px, weights / weights.sum(), problem.ps_given_x, problem.d[:, letters])
        return SingleLetter(
            wide,
            self.rate_budget,
            self.classification_budget,
            distortion_budget=self.distortion_budget,
            objective=self.objective,
            laws=laws,
        )
