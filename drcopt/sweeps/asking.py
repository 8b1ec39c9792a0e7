"""Who answers what a refinement wants: a checkpoint, this process or an executor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from drcopt.formulations import Question
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, QUANTITIES, Quantity
from drcopt.stakes import Stakes
from drcopt.support import clock
from drcopt.support.executors import Submits, submitted
from drcopt.sweeps.nodes import Answer, Task, run, run_aside
from drcopt.sweeps.records import Book
from drcopt.sweeps.refine import Axis, Wanted

#: The gap that a whole answer is solved to, relative to the one asked for.
SOLVED = 0.4
#: The accuracy, as a share of the axis, that the edge of what is feasible is solved to.
_EDGE = 0.01
#: Descents that a worker makes in one go.
_CHUNK = 6


class Asking:
    """Answers what a refinement wants: from a checkpoint if it holds it, here or on an executor."""

    def __init__(
        self,
        problem: Problem,
        settings: Mapping[str, Any],
        minimised: Quantity,
        tol: float,
        tolerance: float,
        question: Question,
        axes: Sequence[Axis],
        deadline: float,
        runner: Submits | None,
    ) -> None:
        self.problem, self.settings, self.minimised = problem, settings, minimised
        self.deadline, self.runner = deadline, runner
        self.book: Book | None = None
        self.bar: Any = None
        stake = Stakes(question.problem).stake
        share = tolerance / stake if stake > 0 else tol
        edges = [a.high - a.low for a in axes if a.quantity is CLASSIFICATION_LOSS]
        #: What sessions are asked for, by objective: of E d a share of the stake, else nats.
        self.tols = {q: max(SOLVED * tolerance, 1e-12) for q in QUANTITIES}
        self.tols[CLASSIFICATION_LOSS] = max(_EDGE * min([question.most[2], *edges]), 1e-9)
        if minimised is CLASSIFICATION_LOSS:
            self.tols[CLASSIFICATION_LOSS] = max(SOLVED * tolerance, 1e-12)
        self.tols[DISTORTION] = max(SOLVED * share, 1e-12)

    def __call__(self, wanted: Sequence[Wanted]) -> list[Answer]:
        answers: dict[int, Answer] = {}
        for i, one in enumerate(wanted):
            if self.book is not None and (found := self.book.find(one)) is not None:
                answers[i] = found
        left = [i for i in range(len(wanted)) if i not in answers]
        for i, answer in self._fresh(left, wanted):
            answers[i] = answer
            if self.book is not None and not clock.expired():  # an answer cut short is not worth keeping
                self.book.keep(wanted[i], answer)
            self.bar.update()
        return [answers[i] for i in range(len(wanted))]

    def _task(self, one: Wanted) -> Task:
        limit = None if math.isinf(self.deadline) else max(self.deadline - clock.now(), 0.05)
        settings = {name: v for name, v in self.settings.items() if name != "perception"}
        settings |= {"tol": self.tols[one.objective], "time_limit": limit}
        perception = self.settings["perception"]
        return Task(self.problem, settings, perception, one.objective, one.budgets, one.full, one.starts, one.warm)

    def _fresh(self, left: Sequence[int], wanted: Sequence[Wanted]) -> Iterator[tuple[int, Answer]]:
        """Answers as they come, in order."""
        if self.runner is None:
            for i in left:
                yield i, run([self._task(wanted[i])])[0]
            return
        chunks: list[list[int]] = []
        for i in left:
            if chunks and not wanted[i].full and not wanted[chunks[-1][0]].full and len(chunks[-1]) < _CHUNK:
                chunks[-1].append(i)
            else:
                chunks.append([i])
        waiting: list[tuple[list[int], Future[list[Answer]]]] = []
        try:
            waiting = [
                (chunk, submitted(self.runner, run_aside, [self._task(wanted[i]) for i in chunk])) for chunk in chunks
            ]
            for chunk, future in waiting:
                try:
                    found = future.result()
                except Exception as error:  # its worker is gone
                    found = [Answer(failure=f"{type(error).__name__}: {error}")] * len(chunk)
                yield from zip(chunk, found, strict=True)
        finally:
            for _, future in waiting:
                future.cancel()
