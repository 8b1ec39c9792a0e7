"""Calls the parts of the checker on their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("flint")

from honest import Proof

from drcopt.checker import balls
from drcopt.checker.evidence import region
from drcopt.checker.question import RATE, Question


class Judge:
    """The parts of a check of one proof, to be called in balls."""

    def __init__(self, data: Proof) -> None:
        self.data, self.question = data, Question(data, 2.0**30)
        self.problem, self.evidence = self.question.problem, self.question.evidence

    def lower(self, found: Any) -> Any:
        """A ball whose lower end is what evidence proves of the objective."""
        least = self.question.least(self.region(found))
        return balls.arb("inf") if least is None else least

    def region(self, found: Any) -> Any:
        still = self.question.aim != RATE and self.question.budgets[RATE] == 0
        return region(found, self.evidence, self.question.kind, still)

    def bound(self, leaf: Any, boxes: Any) -> Any:
        """Of the objective at one leaf."""
        piece = (self.evidence.map_leaf if "nu" in leaf else self.evidence.posterior_leaf)(leaf, boxes)
        return self.question.bound(piece)


def judge() -> Iterator[type[Judge]]:
    """The fixture: builds a judge of a proof; its methods may then be called, in balls."""
    import flint

    with flint.ctx.workprec(balls.BITS):
        yield Judge
