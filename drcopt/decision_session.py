"""Sessions where C limits the loss of the best decision about S (its Bayes error, say) in place of H(S|Y)."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from drcopt import forbidden, information, words
from drcopt.bounds import Evidence, Stranded, bound_of
from drcopt.bounds.decisions import AtNoRate
from drcopt.capped_session import CappedSession
from drcopt.certify import verify as _verify
from drcopt.certify.certificate import repair
from drcopt.certify.witness import Budgets
from drcopt.class_session import ClassSession
from drcopt.engines.base import Limits, Proposal
from drcopt.engines.decision_sharing import SharedDeciding
from drcopt.engines.decisions import Deciding
from drcopt.engines.map_decisions import MapDeciding
from drcopt.errors import InfeasibleError, InputError, NotSolvedError
from drcopt.failures import guarded
from drcopt.formulations import (
    Decided,
    Decisions,
    MapDecisions,
    Message,
    MessageDecisions,
    OneShot,
    Part,
    Question,
    SharedDecisions,
    SingleLetter,
    TimeSharing,
)
from drcopt.formulations.decisions import table_of
from drcopt.formulations.one_shot import map_coupling
from drcopt.law_session import LawSession, laws_of, session_for
from drcopt.mixtures import mixture
from drcopt.perception import Perception
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, PERCEPTION, QUANTITIES, RATE, Quantity
from drcopt.questions.output import Near, OutputLaw
from drcopt.session import Session
from drcopt.solution import Multipliers, Residuals, Solution
from drcopt.support import check, clock

__all__ = ["DecisionCertificate", "DecisionSession", "session_of"]

#: What a loss may be off by rounding, of the largest ℓ, for each entry summed.
_ROUNDING = 4 * 2.0**-53
#: A point whose loss may exceed C by no more, of the largest ℓ, is "near-feasible".
_CLOSE = 1e-12


@dataclass(frozen=True, eq=False)
class DecisionCertificate:
    """The question, a point within its limits (of value ``upper``) and evidence for the bound ``lower``.

    With an ``excess`` the point may exceed C by that much, and bounds nothing.
    """

    formulation: Question
    parts: tuple[Part, ...] | None
    evidence: tuple[Evidence, ...]
    upper: float
    lower: float
    excess: float = 0.0

    def least(self, quantity: Quantity) -> float:
        """A proved lower bound on what the limits of the others leave of one quantity, from the same evidence."""
        question = self.formulation.minimising(quantity)
        return max((bound_of(one, question) for one in self.evidence), default=-math.inf)

    @property
    def objective(self) -> Quantity:
        """What is minimised."""
        return self.formulation.objective

    @property
    def infeasible(self) -> bool:
        """Whether it is proved that no point meets the limits."""
        return self.lower == math.inf

    @property
    def relaxed(self) -> Problem | None:
        """None: costs are not cut off."""
        return None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything needed to believe this to a JSON file; ``drcopt check`` verifies it independently."""
        from drcopt.certify.proof import save

        save(self, path)


def session_of(
    problem: Problem, *, class_loss: Any = "entropy", perception: Any = None, upper: Any = None, **settings: Any
) -> Session:
    """The session for a problem, for what C limits and for bounds on entries."""
    if upper is not None:
        return CappedSession(problem, upper=upper, class_loss=class_loss, perception=perception, **settings)
    if isinstance(problem, Problem) and problem.classes is not None:
        return ClassSession(problem, class_loss=class_loss, perception=perception, **settings)
    if isinstance(class_loss, str):
        check.choice("class_loss", class_loss, words.CLASS_LOSSES)
    if (isinstance(class_loss, str) and class_loss == "entropy") or not isinstance(problem, Problem):
        return session_for(problem, perception=perception, **settings)
    wanted, law = laws_of(problem, perception, settings.get("units", "bits"))
    return DecisionSession(problem, class_loss=class_loss, law=law, perception=wanted, **settings)


class DecisionSession(LawSession):
    """A session with a table of losses (k, A)."""

    def __init__(
        self,
        problem: Problem,
        *,
        class_loss: Any,
        law: OutputLaw | None,
        perception: Perception | None = None,
        **settings: Any,
    ) -> None:
        if settings.get("formulation") == "time-sharing" and isinstance(law, Near):
            raise InputError(
                "class_loss must be 'entropy' with a perception budget and formulation='time-sharing'; another came. "
                "Leave one of them out: with classifier_sees='message' the lower bound of 'single-letter' holds for "
                "time-sharing too."
            )
        super().__init__(problem, law=law, perception=perception, **settings)
        if self.engine != "auto":
            raise InputError(
                f"class_loss must be 'entropy' with an engine of your choice; it came with engine={self.engine!r}. "
                "Leave that out."
            )
        self.class_loss = class_loss if isinstance(class_loss, str) else "table"
        self._losses = table_of(class_loss, problem.k)

    def with_edge(self, solution: Solution, patience: float = math.inf) -> Solution:
        """The solution as it is: its tree says what the least loss is."""
        return solution

    def _shared(self, perception: Any) -> None:
        if self._law is not None:
            forbidden.refuse_mixed_laws(self.problem)

    def require(self, objective: Quantity) -> None:
        """Every quantity is minimised, forbidden pairs or not."""

    def ask(
        self,
        objective: Quantity,
        *,
        D: float | None = None,
        R: float | None = None,
        C: Any = None,
        on_failure: words.OnFailure = "raise",
    ) -> Solution:
        """The least value of a quantity within budgets on the others; C is in the unit of the table of losses."""
        check.choice("on_failure", on_failure, words.ON_FAILURE)
        if objective is PERCEPTION:
            raise InputError("class_loss must be 'entropy' where perception is minimised; another came. Leave it out.")
        started = clock.now()
        given = [check.budget(q.budget, v) for q, v in zip(QUANTITIES, (D, R, C), strict=True)]
        if given[objective.place] != math.inf:
            raise objective.limited_itself(check.shown(given[objective.place]))
        budgets = Budgets(given[0], given[1], math.inf, self.units)
        kinds = {"one-shot": MapDecisions, "time-sharing": SharedDecisions}
        kind: Any = kinds.get(self.formulation, MessageDecisions if self.classifier_sees == "message" else Decisions)
        sees = {"classifier_sees": self.classifier_sees} if kind is MapDecisions else {}
        question: Decided = kind(
            self._reduced,
            budgets.nats[RATE.place],
            given[CLASSIFICATION_LOSS.place],
            **sees,
            distortion_budget=given[DISTORTION.place],
            objective=objective,
            laws=self._law,
            losses=self._losses[self._support.s],
        )
        enough = self.tol if objective is CLASSIFICATION_LOSS else objective.inside(self.tol, self.units)
        limits = self._limits(objective, started)
        if objective is DISTORTION:
            enough = max(self.tol * self._stakes.stake, self._stakes.digit)
        limits = replace(limits, tol=0.5 * enough)
        held = _Judge(question, budgets)
        with clock.until(limits.deadline):
            proposal = self._proposed(question, held, limits)
        lower = max((bound_of(one, question) for one in proposal.evidence), default=-math.inf)
        if lower == math.inf and held.excess > 0.0:
            held.parts = None
        elif held.excess == 0.0:
            lower = min(lower, held.upper)  # both carry rounding
        upper = held.upper if held.parts is not None else math.inf
        certificate = DecisionCertificate(question, held.parts, proposal.evidence, upper, lower, held.excess)
        solution = self._told(certificate, proposal, given, enough, clock.now() - started)
        if self.verify:
            solution = _verify.verified(solution)
        if on_failure == "raise":
            self._raise(solution)
        return solution

    def _proposed(self, question: Decided, held: _Judge, limits: Limits) -> Proposal:
        if self._stranded is not None:
            return Proposal(None, (Stranded(self._stranded),), "every coupling has a forbidden pair")
        if question.rate_budget == 0.0:
            return self._independent(question, held)
        engines = {MapDecisions: MapDeciding, SharedDecisions: SharedDeciding}
        search: Any = engines.get(type(question), Deciding)
        return guarded(Deciding.name, lambda: search(question, limits, held).propose())

    def _independent(self, question: Decided, held: _Judge) -> Proposal:
        """At R = 0 the best letter for all, or the given law, and the best action for all."""
        problem = question.problem
        law = question.law.argmin(problem.px @ problem.d)
        if isinstance(question, MapDecisions):
            maps = [np.full(problem.n, y) for y in range(problem.m)]
            held([Part(float(law[f[0]]), map_coupling(problem, f), f) for f in maps if law[f[0]] > 0.0])
        else:
            held([Part(1.0, np.outer(problem.px, law), letters=np.arange(problem.m))])
        return Proposal(None, (AtNoRate(),), "X and Y must be independent", 0.0, math.inf, 0.0)

    def _told(
        self, certificate: DecisionCertificate, proposal: Proposal, given: list[float], enough: float, seconds: float
    ) -> Solution:
        question, objective = certificate.formulation, certificate.formulation.objective
        problem = self.problem
        values = [math.nan] * 3
        coupling = np.full((problem.n, problem.m), math.nan)
        residuals, message, shared = Residuals(*[math.nan] * 6), None, None
        if certificate.parts is not None:
            coupling = self._support.restore(question.coupling(certificate.parts))
            values = list(question.values(certificate.parts))
            off = float(np.abs(coupling.sum(axis=1) - problem.px).sum())
            residuals = Residuals(off, self._off(coupling), 0.0, 0.0, certificate.excess)
            status: words.Status = "optimal" if certificate.upper - certificate.lower <= enough else "feasible"
            if certificate.excess > 0.0:
                status = "near-feasible"
            if isinstance(question, Message):
                message = self._atoms(certificate.parts[0])
            if self.formulation != "single-letter":
                shared = mixture(self._support, question, certificate.parts, self.units)
        elif certificate.lower == math.inf:
            status = "infeasible"
            values[objective.place] = math.inf
        else:
            status = "unknown"
        scale = 1.0 / information.NATS_PER[self.units]
        sizes = (1.0, scale, 1.0)
        given_worth = (
            proposal.distortion_multiplier,
            proposal.rate_multiplier,
            proposal.classification_multiplier,
        )
        unit = sizes[objective.place]
        worth = [w * unit / size for w, size in zip(given_worth, sizes, strict=True)]
        worth[objective.place] = math.nan
        if status == "infeasible":
            worth = [math.nan] * 3
        solution = Solution(
            status=status,
            termination=proposal.termination,
            distortion=values[0],
            lower_bound=certificate.lower * unit,
            objective=objective.name,
            coupling=coupling,
            rate=values[1] * scale,
            classification_loss=values[2],
            multipliers=Multipliers(rate=worth[1], classification=worth[2], distortion=worth[0]),
            residuals=residuals,
            engine=Deciding.name,
            seconds=seconds,
            formulation=self.formulation,
            classifier_sees=self.classifier_sees,
            distortion_budget=given[0],
            rate_budget=given[1],
            classification_budget=given[2],
            units=self.units,
            certificate=certificate,
            stats=proposal.stats,
            problem=problem,
            message=message,
            mixture=shared,
            class_loss=self.class_loss,
        )
        return replace(solution, **self._perceived(solution))

    def _raise(self, solution: Solution) -> None:
        certificate: DecisionCertificate = solution.certificate
        pairs = zip(
            QUANTITIES, (solution.distortion_budget, solution.rate_budget, solution.classification_budget), strict=True
        )
        given = {q: b for q, b in pairs if math.isfinite(b)}
        limits = [f"{q.budget} = {b:.8g}" for q, b in given.items()]
        if (wanted := self._perception) is not None and math.isfinite(wanted.budget):
            limits.append(f"P = {wanted.budget:.8g}")
        said = ", ".join(limits) or "the marginals"
        if solution.status == "infeasible":
            forbidden.raise_stranded(self.problem, self._support.x, self._stranded)
            bounds = {q: certificate.least(q) for q in reversed(QUANTITIES) if q in given}
            missed = next((q for q, v in bounds.items() if given[q] < v < math.inf), next(iter(bounds)))
            least = bounds[missed]
            least = missed.outside(least, self.units) if missed is RATE else least
            what = "loss of the best decision" if missed is CLASSIFICATION_LOSS else missed.words
            raise InfeasibleError(
                f"{said} cannot be met: the {what} is at least {least:.8g} there (proved). Raise {missed.budget} above "
                "that, or another budget.",
                budget=missed.budget,
                least=least,
                units=self.units if missed is RATE else "",
            )
        if solution.status == "unknown":
            raise NotSolvedError(
                f"no coupling that meets {said} was found, and none was proved impossible ({solution.termination}). "
                "Raise time_limit or a budget, or pass on_failure='return' to get the bound."
            )


class _Judge:
    """Moves points onto the marginals and within the rate; keeps the best whose loss, rounded up, is within C."""

    def __init__(self, question: Decided, budgets: Budgets) -> None:
        self.question, self.budgets = question, budgets
        kind: Any = next(kind for kind in (Message, OneShot, TimeSharing, SingleLetter) if isinstance(question, kind))
        self.plain: Question = kind(
            question.problem,
            question.rate_budget,
            math.inf,
            distortion_budget=question.distortion_budget,
            objective=question.objective,
            laws=question.laws,
        )
        self.always = _one_action(question) <= question.budgets[CLASSIFICATION_LOSS.place]
        self.upper = self.excess = math.inf
        self.parts: tuple[Part, ...] | None = None

    def __call__(self, parts: Sequence[Part]) -> float | None:
        point = repair(self.plain, parts, self.budgets, lower_loss=False)
        if point is None or point.spent.excess > 0.0:
            return None
        question = self.question
        loss = question.classification_loss(point.parts)
        size = question.problem.n * question.problem.m + question.problem.k
        loss += _ROUNDING * size * float(question.losses.max(initial=0.0))
        value = loss if question.objective is CLASSIFICATION_LOSS else point.spent.values[question.objective.place]
        excess = 0.0 if self.always else max(0.0, loss - question.budgets[CLASSIFICATION_LOSS.place])
        if excess > _CLOSE * float(question.losses.max(initial=0.0)):
            return None
        if (excess > 0.0, value) < (self.excess > 0.0, self.upper):
            self.upper, self.parts, self.excess = value, point.parts, excess
        return value if excess == 0.0 else None


def _one_action(question: Decided) -> Fraction:
    """The loss of the best action for all, exactly: no point has more."""
    problem = question.problem
    pmfs = [problem.px.tolist(), *problem.ps_given_x.tolist()]
    px, *rows = ([Fraction(v) / sum(map(Fraction, p)) for v in p] for p in pmfs)
    classes = [sum(p * row[s] for p, row in zip(px, rows, strict=True)) for s in range(problem.k)]
    columns = question.losses.T.tolist()
    return min(sum((p * Fraction(v) for p, v in zip(classes, column, strict=True)), Fraction(0)) for column in columns)
