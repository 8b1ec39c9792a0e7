"""Evidence about questions with several classes that speaks of one of them, or of none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from drcopt.bounds.base import Evidence
from drcopt.bounds.exact import DataProcessing
from drcopt.bounds.posterior import Leaf, Node, PosteriorTree, Split
from drcopt.classes import Classes
from drcopt.formulations import Question, Several
from drcopt.problem import Standard
from drcopt.questions import CLASSIFICATION_LOSS, RATE


@dataclass(frozen=True, eq=False)
class OfClass:
    """Evidence about the question with one class alone (None: with none), which limits less."""

    name: str | None
    evidence: Evidence

    def bound(self, question: Question) -> float:
        """Its bound; where a loss of another class is minimised, only whether the limits can be met."""
        if not isinstance(question, Several):
            return -math.inf
        if self.name is not None and self.name not in question.classes:
            return -math.inf
        asked = question.without() if self.name is None else question.only(self.name)
        bound = self.evidence.bound(asked)
        same = question.objective.place <= RATE.place or asked.objective is CLASSIFICATION_LOSS
        return bound if same or bound == math.inf else -math.inf

    def framed(self, change: Standard) -> OfClass:
        return replace(self, evidence=self.evidence.framed(change))


def among(evidence: Evidence, classes: Classes) -> Evidence:
    """A tree about one class, or none, as one about all of them; other evidence as it is."""
    if not isinstance(evidence, OfClass) or not isinstance(evidence.evidence, PosteriorTree):
        return evidence
    names: Sequence[str | None] = [*classes]
    own = np.array([name == evidence.name for name in names], dtype=np.float64)
    first = 0 if evidence.name is None else int(np.searchsorted(classes.of, names.index(evidence.name)))

    def visit(node: Node) -> Node:
        if isinstance(node, Leaf):
            return replace(node, classification=float(node.classification) * own)
        return Split(node.y, first + node.s, node.at / len(names), visit(node.low), visit(node.high))

    return replace(evidence.evidence, root=visit(evidence.evidence.root))


def floors(question: Several) -> list[OfClass]:
    """Data processing, for every class."""
    return [OfClass(name, DataProcessing()) for name in question.classes]
