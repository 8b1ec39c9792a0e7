"""Sessions about problems where Y's law is free or near a target, or where the classifier reads the message."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from drcopt import forbidden, information, words
from drcopt.bounds import Independent, stranded
from drcopt.certify.certificate import FLOORS, Certificate, best_bound
from drcopt.certify.verify import verified
from drcopt.certify.witness import Budgets
from drcopt.engines.base import Engine, Limits, Proposal
from drcopt.errors import InputError
from drcopt.failures import guarded, missed_by, raise_failure
from drcopt.formulations import Message, OneShot, Part, Question, SingleLetter, TimeSharing
from drcopt.least_perception import Found, Search
from drcopt.perception import Perception
from drcopt.problem import Problem, Support
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, PERCEPTION, QUANTITIES, Quantity
from drcopt.questions.output import KINDS, Fixed, Free, Near, OutputLaw
from drcopt.session import EDGE_SECONDS, Session
from drcopt.solution import ByClass, Multipliers, Residuals, Solution
from drcopt.solution import Message as Atoms
from drcopt.stakes import Stakes
from drcopt.support import check, clock
from drcopt.support.check import FloatArray

#: Of the gap wanted, how much may be left where nothing is looked for.
_IDLE = 0.1
#: Couplings that points near a target are sought from.
_STARTS = 8
#: Of the gap wanted of a least perception, the least P that mixtures are asked for.
_NEAREST = 0.1


def session_for(problem: Problem, *, perception: Any = None, units: words.Units = "bits", **settings: Any) -> Session:
    """The session for a problem: an ordinary one where Y's law is given and the classifier sees it."""
    wanted, law = laws_of(problem, perception, units)
    return opened(problem, law, wanted, units=units, **settings)


def laws_of(problem: Problem, perception: Any, units: words.Units) -> tuple[Perception | None, OutputLaw | None]:
    """What Y's law is to be near, and the laws that it may have; None: the problem's py."""
    law: OutputLaw | None = None
    wanted = None if perception is None else Perception.of(perception)
    if isinstance(problem, Problem):
        check.choice("units", units, words.UNITS)
        if wanted is not None:
            law = wanted.law(problem, units)
            if not isinstance(law, Fixed):
                forbidden.refuse_perception(problem)
        elif problem.free:
            law = Free()
    return wanted, law


def opened(problem: Problem, law: OutputLaw | None, wanted: Perception | None, **settings: Any) -> Session:
    """The session of :func:`session_for` for laws that are known."""
    if settings.get("classifier_sees") != "message" and wanted is None and law is None:
        return Session(problem, **settings)
    return LawSession(problem, law=law, perception=wanted, **settings)


class _Placeholder(Problem):
    """A problem whose py stands for one of many: what only rows of d share costs every coupling the same."""

    @cached_property
    def avoidable(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        row = np.where(np.isfinite(self.d.min(axis=1)), self.d.min(axis=1), 0.0)
        rest = self.d - row[:, None]
        if float(rest.max()) <= 4e-16 * self.d_most:  # what is left is rounding
            rest = np.zeros_like(rest)
        return rest, row, np.zeros(self.m)


class LawSession(Session):
    """A session whose Y has one of several laws (None: the problem's py), or whose classifier reads the message."""

    def __init__(
        self, problem: Problem, *, law: OutputLaw | None, perception: Perception | None, **settings: Any
    ) -> None:
        self._perception, self._given = perception, (problem, dict(settings))
        if isinstance(law, Fixed):
            problem = Problem(
                problem.px,
                law.py,
                problem.channels,
                problem.d,
                labels=problem.labels,
                name=problem.name,
                units=problem.units,
            )
            law = None
        self._law = law
        super().__init__(problem, **settings)
        self._plain = law is None and self.classifier_sees != "message"
        what = (
            "classifier_sees='message'"
            if self.classifier_sees == "message"
            else "a free law of Y or a perception budget"
        )
        if self.formulation != "single-letter" and self.classifier_sees == "message":
            raise InputError(
                f"{what} needs formulation='single-letter'; formulation is {self.formulation!r}. Leave it out."
            )
        if self.formulation != "single-letter":
            self._shared(perception)
        if self._plain:
            return
        if self.engine != "auto":
            raise InputError(f"{what} needs engine='auto'; engine is {self.engine!r}. Leave it out.")

    def _shared(self, perception: Perception | None) -> None:
        """Mixtures, whose law is that of their average."""
        if self._law is None and self.formulation == "time-sharing":
            raise InputError(
                "perception must be more than 0 with formulation='time-sharing': its law is that of the average, and "
                f"no two doubles average to a law exactly; it is {perception and perception.budget}. Leave perception "
                "out for parts that each have the law py, or pass a small budget such as 1e-9."
            )

    def _reader(self, classifier_sees: words.ClassifierSees) -> words.ClassifierSees:
        return check.choice("classifier_sees", classifier_sees, ("Y", "YU", "message"))

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
            problem.ps_given_x[np.ix_(support.x, support.s)]
            if problem.classes is None
            else problem.classes.take(support.x, support.s),
            problem.d[support.x],
        )
        self._stakes = Stakes(self._reduced)
        self._stranded = stranded(self._reduced, free=True)

    def with_edge(self, solution: Solution, patience: float = math.inf) -> Solution:
        """The solution as it is: the least loss in its certificate will do."""
        return super().with_edge(solution, patience) if self._plain else solution

    def ask(
        self,
        objective: Quantity,
        *,
        D: float | None = None,
        R: float | None = None,
        C: Any = None,
        on_failure: words.OnFailure = "raise",
    ) -> Solution:
        """The least value of a quantity within budgets on the others, in the session's units."""
        if objective is not PERCEPTION:
            return super().ask(objective, D=D, R=R, C=C, on_failure=on_failure)
        check.choice("on_failure", on_failure, words.ON_FAILURE)
        solution, missed, least = self._least_perception((D, R, C))
        if on_failure == "raise":
            raise_failure(solution, missed, least, self._remark())
        return solution

    def _missed(self, solution: Solution, patience: float) -> tuple[Quantity, float, str]:
        """P, where some law of Y would do and none within P of the target."""
        wanted = self._perception
        if solution.status != "infeasible" or wanted is None:
            return super()._missed(solution, patience)
        limits = (solution.distortion_budget, solution.rate_budget, solution.classification_budget)
        if math.isfinite(wanted.budget):
            found, *_ = self._least_perception(limits, min(patience, EDGE_SECONDS))
            if wanted.budget < found.lower_bound < math.inf:
                return PERCEPTION, found.lower_bound, ""
        return *missed_by(solution), self._remark()

    def _remark(self) -> str:
        """What a target without some letters forbids."""
        wanted = self._perception
        if wanted is None or not wanted.near(self._given[0], 1.0).confined:
            return ""
        return (
            f"The target has no mass on some letters, and {wanted.kind!r} is infinite where Y uses one: give them "
            "some, or take another kind."
        )

    def _least_perception(
        self, given: tuple[float | None, float | None, float | None], patience: float = math.inf
    ) -> tuple[Solution, Quantity, float]:
        """The least divergence from the target within budgets (D, R, C); which is missed, and the least that can be."""
        wanted, started = self._perception, clock.now()
        if wanted is None:
            raise InputError(
                "a kind must be given where perception is minimised; this session has none. Use drcopt.min_perception."
            )
        spent = [check.budget(q.budget, v) for q, v in zip(QUANTITIES, given, strict=True)]
        budgets = Budgets(spent[0], spent[1], spent[2], self.units)
        # What is minimised at a given P: that of the budgets of which most is known.
        inner = next((q for q in QUANTITIES if math.isfinite(spent[q.place])), DISTORTION)
        others = {q.budget: b for q, b in zip(QUANTITIES, spent, strict=True) if q is not inner}
        problem, settings = self._given
        share = self._stakes.stake if inner is DISTORTION else information.NATS_PER[self.units]

        start: list[FloatArray] = []

        def ask(P: float, tol: float, seconds: float, nodes: int | None) -> Solution:
            asked = {**settings, "tol": tol / share if share > 0 else tol, "time_limit": max(seconds, 1e-3)}
            asked["verify"] = None  # the answer is, not the questions on the way
            near = replace(wanted, budget=P / self._per_nat)
            session = session_for(problem, perception=near, node_limit=nodes, **asked)
            if start and P > 0.0:
                session.warm = {"coupling": start[-1]}
            return session.ask(inner, **others, on_failure="return")

        size = 1.0 if wanted.ground is None else float(np.max(np.asarray(wanted.ground))) or 1.0
        deadline = started + min(patience, self.time_limit or math.inf, clock.remaining())
        near = wanted.near(self.problem, 1.0)
        tol = self.tol * size * self._per_nat
        # No two doubles average to a law exactly: mixtures of laws can only come near the target.
        first = _NEAREST * tol if self.formulation == "time-sharing" else 0.0

        def nearest(point: Solution | None) -> float:
            if self.classifier_sees == "message" or self.formulation != "single-letter":
                return math.inf
            from drcopt.engines.law_programs import nearest as found  # it imports scipy's optimisers

            ball = wanted.near(self.problem, near.farthest if near.farthest < math.inf else 1.0)
            distortion, rate, loss = budgets.nats
            whole = SingleLetter(self._reduced, rate, loss, distortion_budget=distortion, laws=ball)
            question = self.standardised(whole)
            limits = (question.distortion_budget, rate, loss)
            known = None if point is None else point.coupling[self._support.x]
            assert isinstance(question, SingleLetter)
            P = found(question, limits, known, _STARTS, Limits(self.tol, deadline))
            start.extend([] if P is None else [P])
            return math.inf if P is None else ball.divergence(P.sum(axis=0))

        found = Search(ask, near, budgets, budgets.nats[inner.place], tol, deadline, first, nearest).run()
        missed, least = inner, found.last.certificate.lower
        if found.last.status == "infeasible":
            missed, least = missed_by(found.last)
        return self._of_least(found, inner, budgets, size, clock.now() - started), missed, least

    def judged(
        self, objective: Quantity, proposal: Proposal, engine: str, *, R: float | None = None, C: float | None = None
    ) -> Solution:
        """What the judge makes of an answer that is known already."""
        started = clock.now()
        given = [check.budget(q.budget, v) for q, v in zip(QUANTITIES, (None, R, C), strict=True)]
        budgets = Budgets(given[0], given[1], given[2], self.units)
        question = self._question(objective, budgets.nats)
        certificate = self._certify(question, proposal, self._limits(objective, started), budgets)
        return self._solution(certificate, proposal, engine, given, clock.now() - started)

    @property
    def _per_nat(self) -> float:
        """Nats, or units of the divergence, in a unit of perception."""
        assert self._perception is not None
        return information.NATS_PER[self.units] if KINDS[self._perception.kind].informational else 1.0

    def _of_least(self, found: Found, inner: Quantity, budgets: Budgets, size: float, seconds: float) -> Solution:
        """The solution of what a search found."""
        wanted, point, last = self._perception, found.point, found.last
        assert wanted is not None
        lower = found.lower / self._per_nat * (1.0 - 2.0**-50)  # the division is rounded
        base = last if point is None else point
        value = math.nan if point is None else point.perception
        if math.isinf(found.lower):
            status: words.Status = "infeasible"
            value = math.inf
        elif point is None:
            status = "unknown"
        else:
            lower = min(lower, value)
            status = "optimal" if value - lower <= self.tol * size else "feasible"
        # −d P / d budget is −d (what was minimised at P) / d budget over the same of P.
        gamma = inner.outside(found.slope * self._per_nat, self.units)
        names = ("distortion", "rate", "classification")
        slopes = [
            1.0 if q is inner else getattr(base.multipliers, name) for q, name in zip(QUANTITIES, names, strict=True)
        ]
        limits = (budgets.distortion, budgets.rate, budgets.loss)
        worth = {
            name: 0.0 if math.isinf(limit) else slope / gamma if gamma > 0 else math.nan
            for name, slope, limit in zip(names, slopes, limits, strict=True)
        }
        changes: dict[str, Any] = {}
        if point is None:
            nothing = math.nan
            changes = {
                "coupling": np.full((self.problem.n, self.problem.m), nothing),
                "distortion": nothing, "rate": nothing, "classification_loss": nothing, "message": None,
                "residuals": Residuals(*[nothing] * 6),
            }  # fmt: skip
        solution = replace(
            base,
            status=status,
            termination=found.termination,
            objective=PERCEPTION.name,
            lower_bound=lower,
            perception=value,
            perception_kind=wanted.kind,
            perception_budget=math.inf,
            multipliers=Multipliers(**worth),
            seconds=seconds,
            distortion_budget=budgets.distortion,
            rate_budget=budgets.rate,
            classification_budget=budgets.loss,
            certificate=found.certificate,
            stats={"questions": found.asked},
            problem=self._given[0],
            **changes,
        )
        return verified(solution) if self.verify else solution

    def _question(self, objective: Quantity, budgets: tuple[float, float, float]) -> Question:
        if self._plain:
            return super()._question(objective, budgets)
        distortion, rate, loss = budgets
        kind: type[Question] = Message if self.classifier_sees == "message" else SingleLetter
        if self.formulation == "time-sharing":
            kind = TimeSharing
        if self.formulation == "one-shot":
            return OneShot(
                self._reduced,
                rate,
                loss,
                self.classifier_sees,
                distortion_budget=distortion,
                objective=objective,
                laws=self._law,
            )
        return kind(self._reduced, rate, loss, distortion_budget=distortion, objective=objective, laws=self._law)

    def _answer(self, question: Question, limits: Limits) -> tuple[Proposal, str]:
        if self._plain:
            return super()._answer(question, limits)
        floor = best_bound(question, FLOORS)
        if floor == math.inf:
            return Proposal(None, (), "H(S|X) or the cheapest letters alone exceed a budget"), "analytic"
        problem, message, shared = question.problem, isinstance(question, Message), isinstance(question, TimeSharing)
        if (settled := self._forbidden(question)) is not None:
            return settled, "analytic"
        maps = isinstance(question, OneShot)
        alone = question.rate_budget == 0 or problem.n == 1 or (problem.m == 1 and not message)
        # H(S) is the loss of independent X and Y, and so small a rate takes next to nothing from it.
        idle = question.objective is CLASSIFICATION_LOSS and problem.entropy_s - floor <= _IDLE * limits.tol
        if not maps and (alone or idle):
            law = question.law.argmin(problem.px @ problem.d)
            part = Part(1.0, np.outer(problem.px, law), letters=np.arange(problem.m) if message else None)
            if alone:
                why = "X and Y must be independent: of those couplings the least distortion"
                return Proposal([part], (Independent(),), why), "analytic"
            if question.distortion([part]) <= question.distortion_budget:
                return Proposal([part], (), "independent X and Y: the rate is too small to tell the class"), "analytic"
        # What they need makes importing drcopt slow.
        from drcopt.engines.any_law import AnyLaw
        from drcopt.engines.law_sharing import LawSharing

        standard = self.standardised(question)
        if (known := self.rows.settling(standard, self.warm, limits)) is not None:
            return known, self.rows.name
        engine: Engine = LawSharing() if shared else self._use("one-shot") if maps else AnyLaw()
        proposal = guarded(engine.name, lambda: engine.propose(standard, limits, self.warm))
        self.warm = proposal.warm
        return proposal, engine.name

    def _solution(self, certificate: Certificate, proposal: Proposal, *rest: Any) -> Solution:
        solution = super()._solution(certificate, proposal, *rest)
        changes = self._perceived(solution)
        if certificate.parts is not None and isinstance(certificate.formulation, Message):
            changes["message"] = self._atoms(certificate.parts[0])
        return replace(solution, **changes)

    def _perceived(self, solution: Solution) -> dict[str, Any]:
        """The fields of a solution about perception, where there is a target."""
        if (wanted := self._perception) is None:
            return {}
        fields: dict[str, Any] = {"perception_kind": wanted.kind, "perception_budget": wanted.budget}
        if np.isnan(solution.coupling).any():
            return fields
        # The coupling that is meant has the target's law exactly where the budget is 0.
        spent = 0.0 if wanted.budget == 0.0 else self._divergence(wanted, solution.output_law)
        return fields | {"perception": spent}

    def _divergence(self, wanted: Perception, law: FloatArray) -> float:
        target = wanted.target_of(self.problem)
        ground = None if wanted.ground is None else np.asarray(wanted.ground)
        found = Near(wanted.kind, target, 1.0, ground, float(wanted.order)).divergence(law / math.fsum(law))
        return information.from_nats(found, self.units) if KINDS[wanted.kind].informational else found

    def _atoms(self, part: Part) -> Atoms:
        P, letters, support = part.coupling, part.letters, self._support
        assert letters is not None
        weights = P.sum(axis=0)
        posteriors = np.zeros((len(weights), self.problem.n))
        posteriors[:, support.x] = (P / weights).T
        channels: Any = self.problem.channels
        several = self.problem.classes is not None
        classes = posteriors @ channels if not several else ByClass({of: posteriors @ W for of, W in channels.items()})
        return Atoms(support.y[letters], weights, posteriors, classes)

    def _off(self, coupling: FloatArray) -> float:
        return super()._off(coupling) if self._law is None else 0.0
