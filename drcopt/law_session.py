"""Sessions about problems where Y's law is free or near a target, or where the classifier reads the message."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from drcopt import information
from drcopt.bounds import Independent
from drcopt.certify.certificate import FLOORS, Certificate, best_bound
from drcopt.engines.base import Limits, Proposal
from drcopt.errors import InputError
from drcopt.failures import guarded
from drcopt.formulations import Message, Part, Question, SingleLetter
from drcopt.perception import Perception
from drcopt.problem import Problem, Support
from drcopt.questions import Quantity
from drcopt.questions.output import KINDS, Fixed, Free, Near, OutputLaw
from drcopt.session import Session
from drcopt.solution import Message as Atoms
from drcopt.solution import Solution
from drcopt.stakes import Stakes
from drcopt.support import check
from drcopt.support.check import FloatArray


def session_for(problem: Problem, *, perception: Any = None, units: str = "bits", **settings: Any) -> Session:
    """The session for a problem: an ordinary one where Y's law is given and the classifier sees it."""
    message = settings.get("classifier_sees") == "message"
    law: OutputLaw | None = None
    wanted = None if perception is None else Perception.of(perception)
    if isinstance(problem, Problem):
        check.choice("units", units, information.NATS_PER)
        if wanted is not None:
            law = wanted.law(problem, units)
        elif problem.free:
            law = Free()
    if not message and wanted is None and law is None:
        return Session(problem, units=units, **settings)
    return LawSession(problem, law=law, perception=wanted, units=units, **settings)


class _Placeholder(Problem):
    """A problem whose py stands for one of many: what only rows of d share costs every coupling the same."""

    @cached_property
    def avoidable(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        row = self.d.min(axis=1)
        rest = self.d - row[:, None]
        if float(rest.max()) <= 4e-16 * float(self.d.max()):  # what is left is rounding
            rest = np.zeros_like(rest)
        return rest, row, np.zeros(self.m)


class LawSession(Session):
    """A session whose Y has one of several laws (None: the problem's py), or whose classifier reads the message."""

    def __init__(
        self, problem: Problem, *, law: OutputLaw | None, perception: Perception | None, **settings: Any
    ) -> None:
        self._perception = perception
        if isinstance(law, Fixed):
            problem = Problem(
                problem.px,
                law.py,
                problem.ps_given_x,
                problem.d,
                labels=problem.labels,
                name=problem.name,
                units=problem.units,
            )
            law = None
        self._law = law
        super().__init__(problem, **settings)
        self._plain = law is None and self.classifier_sees == "Y"
        what = (
            "classifier_sees='message'"
            if self.classifier_sees == "message"
            else "a free law of Y or a perception budget"
        )
        if self.formulation != "single-letter":
            raise InputError(
                f"{what} needs formulation='single-letter'; formulation is {self.formulation!r}. Leave it out."
            )
        if self._plain:
            return
        if self.engine != "auto":
            raise InputError(f"{what} needs engine='auto'; engine is {self.engine!r}. Leave it out.")
        if self.verify is not None:
            raise InputError(
                f"verify='interval' needs a given law of Y and a classifier that sees Y; it came with {what}. "
                "Pass verify=None."
            )

    def _reader(self, classifier_sees: str) -> str:
        return check.choice("classifier_sees", classifier_sees, ("Y", "message"))

    def _enter(self) -> None:
        if self._law is None:
            super()._enter()
            return
        problem = self.problem
        own = problem.support
        self._support = support = Support(own.x, np.arange(problem.m), own.s, (problem.n, problem.m))
        self._reduced = _Placeholder(
            problem.px[support.x],
            np.full(problem.m, 1.0 / problem.m),  # in place of a law: no bound reads it
            problem.ps_given_x[np.ix_(support.x, support.s)],
            problem.d[support.x],
        )
        self._stakes = Stakes(self._reduced)

    def with_edge(self, solution: Solution, patience: float = math.inf) -> Solution:
        """The solution as it is: the least loss in its certificate will do."""
        return super().with_edge(solution, patience) if self._plain else solution

    def _question(self, objective: Quantity, budgets: tuple[float, float, float]) -> Question:
        if self._plain:
            return super()._question(objective, budgets)
        distortion, rate, loss = budgets
        kind = Message if self.classifier_sees == "message" else SingleLetter
        return kind(self._reduced, rate, loss, distortion_budget=distortion, objective=objective, laws=self._law)

    def _answer(self, question: Question, limits: Limits) -> tuple[Proposal, str]:
        if self._plain:
            return super()._answer(question, limits)
        assert isinstance(question, SingleLetter)
        if best_bound(question, FLOORS) == math.inf:
            return Proposal(None, (), "H(S|X) or the cheapest letters alone exceed a budget"), "analytic"
        problem, message = question.problem, isinstance(question, Message)
        if question.rate_budget == 0 or problem.n == 1 or (problem.m == 1 and not message):
            law = question.law.argmin(problem.px @ problem.d)
            part = Part(1.0, np.outer(problem.px, law), letters=np.arange(problem.m) if message else None)
            why = "X and Y must be independent: of those couplings the least distortion"
            return Proposal([part], (Independent(),), why), "analytic"
        from drcopt.engines.any_law import AnyLaw  # what it needs makes importing drcopt slow

        standard = self._standardised(question)
        assert isinstance(standard, SingleLetter)
        return guarded(AnyLaw.name, lambda: AnyLaw().propose(standard, limits)), AnyLaw.name

    def _solution(self, certificate: Certificate, proposal: Proposal, *rest: Any) -> Solution:
        solution = super()._solution(certificate, proposal, *rest)
        changes: dict[str, Any] = {}
        if (wanted := self._perception) is not None:
            changes |= {"perception_kind": wanted.kind, "perception_budget": wanted.budget}
            if not np.isnan(solution.coupling).any():
                changes["perception"] = self._divergence(wanted, solution.output_law)
        if certificate.parts is not None and isinstance(certificate.formulation, Message):
            changes["message"] = self._atoms(certificate.parts[0])
        return replace(solution, **changes)

    def _divergence(self, wanted: Perception, law: FloatArray) -> float:
        target = wanted.target_of(self.problem)
        ground = None if wanted.ground is None else np.asarray(wanted.ground)
        found = Near(wanted.kind, target, 1.0, ground, float(wanted.order)).divergence(law)
        return information.from_nats(found, self.units) if KINDS[wanted.kind].informational else found

    def _atoms(self, part: Part) -> Atoms:
        P, letters, support = part.coupling, part.letters, self._support
        assert letters is not None
        weights = P.sum(axis=0)
        posteriors = np.zeros((len(weights), self.problem.n))
        posteriors[:, support.x] = (P / weights).T
        return Atoms(support.y[letters], weights, posteriors, posteriors @ self.problem.ps_given_x)

    def _off(self, coupling: FloatArray) -> float:
        return super()._off(coupling) if self._law is None else 0.0
