"""The one-shot problem with common randomness U: mixtures of deterministic maps y = f(x)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drcopt import information, words
from drcopt.formulations.base import Part, Question
from drcopt.problem import Problem


@dataclass(frozen=True, eq=False)
class OneShot(Question):
    """Rate Σ λ_f H(f(X)) = H(Y|U); loss H(S|Y) of the mixture ("Y") or Σ λ_f H(S|f(X)) = H(S|Y,U) ("YU")."""

    classifier_sees: words.ClassifierSees = "Y"  # type: ignore[misc]
    name = "one-shot"

    def rate(self, parts: Sequence[Part]) -> float:
        return sum(p.weight * information.entropy(p.coupling.sum(axis=0)) for p in parts)

    def classification_loss(self, parts: Sequence[Part]) -> float:
        if self.classifier_sees == "Y":
            return self.problem.classification_loss(self.coupling(parts))
        return sum(p.weight * self.problem.classification_loss(p.coupling) for p in parts)


def map_coupling(problem: Problem, f: np.ndarray) -> np.ndarray:
    """P_f(x, y) = px(x) 1{y = f(x)}, shape (n, m)."""
    coupling = np.zeros((problem.n, problem.m))
    coupling[np.arange(problem.n), f] = problem.px
    return coupling
