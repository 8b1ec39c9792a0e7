"""Sessions with upper bounds on the entries of the coupling, P ≤ U."""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import replace
from typing import Any

import numpy as np

from drcopt import words
from drcopt.bounds import Evidence
from drcopt.bounds.capped import Crowded, Multiplied, crowded, room
from drcopt.certify.certificate import Certificate, certify
from drcopt.certify.witness import Budgets
from drcopt.classes import refuse_several
from drcopt.engines.base import Limits, Proposal
from drcopt.engines.capped import CappedPoint, descended, program, starts
from drcopt.engines.descent import tangent
from drcopt.errors import InfeasibleError, InputError
from drcopt.failures import guarded
from drcopt.formulations import Capped, Part, Question, SingleLetter
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, QUANTITIES, RATE, Quantity
from drcopt.session import Session
from drcopt.solution import Solution
from drcopt.support import check, clock
from drcopt.support.check import FloatArray

__all__ = ["CappedSession", "checked"]

#: An entry may exceed its bound by no more where the point is "near-feasible"; the share of the time for each bound.
_CLOSE, _EACH = 1e-12, 0.3
#: Of the gap wanted, what a bound's own question may leave.
_SHARE = 0.2


def checked(upper: Any, problem: Problem) -> FloatArray:
    """U as an array (n, m) of numbers ≥ 0, inf where there is no bound."""
    if hasattr(upper, "columns"):
        raise InputError(
            "upper must be an array in the order of the letters; a frame with names came. Pass its values in order."
        )
    with contextlib.suppress(TypeError, ValueError):  # what is wrong is said below
        upper = np.where(np.isposinf(np.asarray(upper, dtype=np.float64)), 2.0, upper)  # more than any entry has
    bounds = check.real_array("upper", upper, 2)
    if bounds.shape != problem.d.shape:
        raise InputError(
            f"upper must have a row for each of the {problem.n} letters of X and a column for each of the {problem.m} "
            f"of Y; it has shape {bounds.shape}. Pass inf where there is no bound."
        )
    return bounds


class CappedCertificate(Certificate):
    """A certificate of a question with upper bounds on entries, which proof files do not know."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Refused."""
        raise InputError(
            "upper must be left out for a proof file; this answer has upper bounds on entries, which files do not know."
        )


class CappedSession(Session):
    """A session for couplings with P ≤ U; where U is 0 a pair is forbidden."""

    def __init__(
        self,
        problem: Problem,
        *,
        upper: Any,
        class_loss: Any = "entropy",
        perception: Any = None,
        **settings: Any,
    ) -> None:
        check.instance("problem", problem, Problem, "Build one with Problem(px, py, ps_given_x, d).")
        refuse_several(problem.classes)
        wanted = {"formulation": "single-letter", "classifier_sees": "Y", "engine": "auto", "verify": None}
        plain = isinstance(class_loss, str) and class_loss == "entropy" and perception is None and not problem.free
        if not plain or any(settings.get(name, value) != value for name, value in wanted.items()):
            raise InputError(
                "upper must be None but for formulation='single-letter', classifier_sees='Y', class_loss='entropy', "
                "engine='auto', a py that is given, no perception and no verify; it came with something else. Leave "
                "it, or that, out."
            )
        self._given, bounds = problem, checked(upper, problem)
        d = np.where(bounds == 0.0, math.inf, problem.d)
        binding = (bounds > 0.0) & (bounds < np.minimum(problem.px[:, None], problem.py))
        self._whole = np.where(binding, bounds, math.inf)
        super().__init__(
            Problem(problem.px, problem.py, problem.ps_given_x, d, labels=problem.labels, name=problem.name), **settings
        )

    def _enter(self) -> None:
        super()._enter()
        self._upper = self._whole[np.ix_(self._support.x, self._support.y)]
        self._crowded = None if self._stranded is not None else crowded(self._reduced, self._upper)

    def ask(
        self,
        objective: Quantity,
        *,
        D: float | None = None,
        R: float | None = None,
        C: Any = None,
        on_failure: words.OnFailure = "raise",
    ) -> Solution:
        """The least value of a quantity within budgets on the others, of couplings with P ≤ U."""
        check.choice("on_failure", on_failure, words.ON_FAILURE)
        if self._crowded is not None and on_failure == "raise":
            self._raise_crowded(self._crowded)
        return replace(super().ask(objective, D=D, R=R, C=C, on_failure=on_failure), problem=self._given)

    def with_edge(self, solution: Solution, patience: float = math.inf) -> Solution:
        """The solution as it is: the least loss in its certificate will do."""
        return solution

    def _missed(self, solution: Solution, patience: float) -> tuple[Quantity, float, str]:
        """A budget that cannot be met, and the least that can, proved."""
        certificate: Certificate = solution.certificate
        given = {q: b for q, b in zip(QUANTITIES, certificate.formulation.budgets, strict=True) if b < math.inf}
        if solution.status != "infeasible" or not given:
            return super()._missed(solution, patience)
        bounds = {q: certificate.least(q) for q in reversed(given)}
        missed = next((q for q, least in bounds.items() if given[q] < least < math.inf), next(iter(bounds)))
        return missed, bounds[missed], ""

    def _raise_crowded(self, letters: np.ndarray) -> None:
        places = self._support.x[letters].tolist()
        names = self.problem.labels.x
        said = ", ".join(str(x) if names is None else repr(names[x]) for x in places[:8]) + ", …" * (len(places) > 8)
        mass, most = math.fsum(self._reduced.px[letters]), room(self._reduced, self._upper, letters)
        raise InfeasibleError(
            f"upper leaves too little room: x in {{{said}}}, of mass {mass:.8g}, may send at most {most:.8g} (proved). "
            "Raise a bound on one of their pairs.",
            budget="D",
            least=math.inf,
            units="",
        )

    def _settled(self, question: Question, limits: Limits, budgets: Budgets) -> tuple[Proposal, str, Certificate]:
        assert isinstance(question, SingleLetter)
        capped = Capped(
            question.problem,
            question.rate_budget,
            question.classification_budget,
            distortion_budget=question.distortion_budget,
            objective=question.objective,
            upper=self._upper,
        )
        if self._crowded is not None:
            proposal = Proposal(None, (Crowded(self._crowded),), "upper leaves letters too little room")
            return proposal, "analytic", self._judged(capped, None, proposal.evidence, budgets)
        proposal, engine, plain = super()._settled(question, limits, budgets)
        found = self._judged(capped, plain.parts, plain.evidence, budgets)
        if found.infeasible or (found.parts is not None and found.excess == 0.0) or self._stranded is not None:
            return proposal, engine, found
        known, parts = list(plain.evidence), plain.parts
        best: list[CappedPoint] = []

        def search() -> Proposal:
            best.extend(self._points(capped, [] if parts is None else [parts[0].coupling]))
            return Proposal([Part(1.0, best[0].P)] if best else None, (), "the programs' point and its multipliers")

        with clock.until(limits.deadline):
            proposal = guarded("capped", search)
            found = self._judged(capped, proposal.parts, known, budgets)
            for point in self._multipliers_of(capped, best):
                if found.infeasible or self._closed(found) or clock.expired():
                    break
                known += self._proved(capped, point, limits)
                found = self._judged(capped, proposal.parts, known, budgets)
        w, alpha, beta = best[0].weights if best else (math.nan,) * 3
        # A proposal's are of the standardised d.
        size, scale = self._unit(question.objective), self._stakes.standard[1].scale
        return (
            replace(
                proposal,
                distortion_multiplier=w * scale / size,
                rate_multiplier=alpha / size,
                classification_multiplier=beta / size,
            ),
            "capped",
            found,
        )

    def _closed(self, found: Certificate) -> bool:
        """Whether the gap is what is wanted."""
        enough = self._enough(found.objective, found.upper)
        return found.parts is not None and found.upper - found.lower <= enough

    def _points(self, question: Capped, known: list[FloatArray]) -> list[CappedPoint]:
        """Couplings within all limits, the best first."""
        limited = question.classification_budget < question.problem.entropy_s
        if not limited and question.objective is not CLASSIFICATION_LOSS:
            found = [program(question)]
        else:
            found = [descended(question, start) for start in [*known, *starts(question)]]
        return sorted((point for point in found if point is not None), key=lambda point: point.value)

    def _multipliers_of(self, question: Capped, best: list[CappedPoint]) -> list[CappedPoint]:
        """Points whose multipliers may prove something: the best, and where there is none what is in the way."""
        found: list[CappedPoint | None] = [*best[:1], program(question)]
        if not best:
            found.append(program(question, goal=RATE))
            slopes = [tangent(question.problem, start) for start in starts(question)[:2]]
            found += [program(question, goal=CLASSIFICATION_LOSS, slopes=one) for one in slopes]
        return [point for point in found if point is not None]

    def _proved(self, question: Capped, point: CappedPoint, limits: Limits) -> list[Evidence]:
        """What the multipliers of a point prove, by a question about the d that they change."""
        w = point.weights[0]
        cost, weight = (point.cost / w, 1.0) if w > 0.0 else (point.cost, 0.0)
        lifted = Multiplied(cost, weight, Crowded(np.empty(0, dtype=np.intp)))
        left = min(limits.remaining, clock.remaining())
        own = Session(
            lifted.changed(question.problem),
            units="nats",
            tol=_SHARE * self.tol,
            time_limit=_EACH * left if math.isfinite(left) else None,
        )
        distortion, rate, loss = question.budgets
        asked = {"D": (distortion if w > 0.0 else 0.0) + lifted.paid(question.upper), "R": rate, "C": loss}
        asked.pop(question.objective.budget)
        found = own.ask(question.objective, **asked, on_failure="return").certificate
        return [Multiplied(cost, weight, one) for one in found.evidence]

    def _judged(self, question: Capped, parts: Any, evidence: Any, budgets: Budgets) -> Certificate:
        """The judge's word, of a point that keeps the bounds on entries."""
        found = certify(question, parts, *evidence, budgets=budgets)
        values = {name: getattr(found, name) for name in found.__dataclass_fields__}
        if found.parts is not None and found.spent is not None:
            over = float((found.parts[0].coupling - question.upper).max())
            if over > _CLOSE:
                values |= {"parts": None, "spent": None, "upper": math.inf}
            elif over > 0.0:
                values["spent"] = replace(found.spent, distortion_excess=max(found.spent.distortion_excess, over))
        return CappedCertificate(**values)
