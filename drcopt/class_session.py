"""Sessions about problems with several classes, each with a budget of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from drcopt import information, words
from drcopt.bounds import Evidence, Independent, OfClass
from drcopt.bounds.pricing import MOST_LETTERS
from drcopt.certify import verify as _verify
from drcopt.certify.several import Judge, SeveralCertificate
from drcopt.certify.witness import Budgets
from drcopt.classes import aimed, budgets_of
from drcopt.engines.base import Limits, Proposal, independent
from drcopt.errors import InfeasibleError, InputError, NotSolvedError
from drcopt.failures import guarded
from drcopt.formulations import Part, Several, SeveralMessages
from drcopt.law_session import LawSession, laws_of, opened
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, QUANTITIES, RATE, Quantity
from drcopt.solution import ByClass, Multipliers, Residuals, Solution
from drcopt.support import check, clock
from drcopt.support.check import FloatArray

__all__ = ["ClassSession"]

#: Of a time limit: what questions about one class alone may take of it, together.
_ALONE = 0.3
#: Boxes that show whether the best point for one class alone could do for all.
_GLANCE = 1


class ClassSession(LawSession):
    """A session whose C is a mapping, with the same names as the problem's classes.

    Where a loss is minimised, it is that of the class that C says nothing of.
    """

    several = True

    def __init__(
        self, problem: Problem, *, class_loss: Any = "entropy", perception: Any = None, **settings: Any
    ) -> None:
        wanted: dict[str, Any] = {"formulation": "single-letter", "classifier_sees": "Y", "engine": "auto"}
        if _same(settings.get("classifier_sees"), "message"):
            wanted["classifier_sees"] = "message"
        given = {name: settings.get(name, value) for name, value in wanted.items()}
        given |= {"class_loss": class_loss}
        wanted |= {"class_loss": "entropy"}
        wrong = [f"{name}={check.shown(v)}" for name, v in given.items() if not _same(v, wanted[name])]
        wrong += ["d=inf"] if problem.forbidden.any() else []
        if wrong:
            raise InputError(
                "several classes must come with a finite d, formulation='single-letter', classifier_sees='Y' or "
                f"'message', class_loss='entropy' and engine='auto'; {', '.join(wrong)} came. Leave that out, or solve "
                "for one class: problem.of_class(name)."
            )
        near, law = laws_of(problem, perception, settings.get("units", "bits"))
        super().__init__(problem, law=law, perception=near, **settings)
        assert problem.classes is not None
        self._names = tuple(problem.classes)

    def require(self, objective: Quantity) -> None:
        """All but the perception is minimised."""
        if objective not in QUANTITIES:
            raise InputError(
                "objective must be 'distortion', 'rate' or 'classification_loss' with several classes; it is "
                f"{objective.name!r}. Ask about one class: problem.of_class(name)."
            )

    def with_edge(self, solution: Solution, patience: float = math.inf) -> Solution:
        """The solution as it is: what its certificate says of every class will do."""
        return solution

    def ask(
        self,
        objective: Quantity,
        *,
        D: float | None = None,
        R: float | None = None,
        C: Any = None,
        on_failure: words.OnFailure = "raise",
    ) -> Solution:
        """The least value of a quantity within budgets on the others, in the session's units; C by class."""
        check.choice("on_failure", on_failure, words.ON_FAILURE)
        self.require(objective)
        started = clock.now()
        of = aimed(C, self._names) if objective is CLASSIFICATION_LOSS else None
        given = (
            check.budget("D", D),
            check.budget("R", R),
            budgets_of(C if of is None else {**(C or {}), of: None}, self._names),
        )
        if of is None and (limited := given[objective.place]) != math.inf:
            raise objective.limited_itself(check.shown(limited))
        budgets = Budgets(given[0], given[1], math.inf, self.units)
        losses = tuple(Budgets(math.inf, math.inf, loss, self.units).nats[2] for loss in given[2].values())
        kind = SeveralMessages if self.classifier_sees == "message" else Several
        question = kind(
            self._reduced,
            budgets.nats[1],
            math.inf,
            losses=losses,
            distortion_budget=given[0],
            objective=objective,
            laws=self._law,
        )
        if of is not None:
            question = question.minimising(question.quantities[2 + self._names.index(of)])
        judge = Judge(question, budgets, tuple(given[2].values()))
        limits = self._limits(objective, started)
        with clock.until(limits.deadline):
            proposal, name = self._answered(question, judge, limits)
        certificate = judge.certificate(proposal.evidence)
        solution = self._told(certificate, proposal, name, given, clock.now() - started)
        if on_failure == "raise":
            self._raise(solution)
        return solution

    # -- asking ------------------------------------------------------------------------------------------------

    def _answered(self, question: Several, judge: Judge, limits: Limits) -> tuple[Proposal, str]:
        """What needs no search; then each class alone; then all of them."""
        problem = question.problem
        if judge.certificate(()).infeasible:
            return Proposal(None, (), "H(S|X) or the cheapest letters alone exceed a budget"), "analytic"
        message = isinstance(question, SeveralMessages)
        if question.rate_budget == 0 or problem.n == 1 or (problem.m == 1 and not message):
            alone, letters = independent(question), np.arange(problem.m) if message else None
            law = question.law.argmin(problem.px @ problem.d)
            judge(Part(1.0, np.outer(problem.px, law), letters=letters))
            evidence = tuple(OfClass(name, Independent()) for name in problem.classes or ())
            return replace(alone, evidence=evidence, classification_multiplier=np.zeros(len(evidence))), "analytic"
        # With few letters of X a box costs no more for all classes than for one.
        more = () if problem.n <= MOST_LETTERS else (None,)
        known: list[Evidence] = []
        starts: list[FloatArray] = []
        binding = self._binding(question)
        # Without limits on losses; or what is minimised is one.
        first = None if question.objective.place <= RATE.place else self._names[question.objective.place - 2]
        # What is convex needs no other start than itself.
        for name in (first, *binding) if not message or len(binding) == 1 else (first,):
            whole = name is None or (len(binding) == 1 and first is None) or not binding
            for nodes in (None,) if whole else (_GLANCE, *(more if name != first else (None,))):
                settled = self._alone(question, name, judge, limits, len(binding), nodes)
                known.append(settled.evidence[0])
                if settled.parts is not None:
                    starts.append(settled.parts[0].coupling)
                certificate = judge.certificate(tuple(known))
                if certificate.infeasible or self._closed(certificate):
                    return replace(settled, parts=None, evidence=tuple(known)), "global" if name else "newton"
                if settled.parts is None or judge(settled.parts[0]) != 0.0:
                    break  # another class's budget is exceeded: the proof for this one would not be enough
        standard = self._standard(question, binding)
        z = self._start(standard, settled)
        # What they need makes importing drcopt slow.
        from drcopt.engines.any_law import AnyLaw
        from drcopt.engines.several import SeveralClasses

        if message:
            name = AnyLaw.name
            found = guarded(name, lambda: AnyLaw().propose(standard, limits))
            if found.parts:
                judge(found.parts[0])
        else:
            engine = SeveralClasses(standard, limits, judge)
            name, found = engine.name, guarded(engine.name, lambda: engine.propose(starts, z))
        change = self._stakes.standard[1]
        return replace(found, evidence=(*(e.framed(change) for e in found.evidence), *known)), name

    def _closed(self, certificate: SeveralCertificate) -> bool:
        """Whether there is a point, and it is as good as asked for."""
        if certificate.parts is None or certificate.excess > 0.0:
            return False
        enough = self._enough(certificate.formulation.objective, certificate.upper)
        return certificate.upper - certificate.lower <= enough

    def _binding(self, question: Several) -> list[str]:
        """The classes whose budgets could bind: not met by all, nor implied by a tighter one on the same class."""
        found: list[str] = []
        most = question.most[2:]
        order = sorted(range(len(self._names)), key=lambda j: question.losses[j])
        channels = list(question.classes.values())
        for j in order:
            alike = any(np.array_equal(channels[j], question.classes[other]) for other in found)
            if question.losses[j] < most[j] and not alike:
                found.append(self._names[j])
        return found

    def _alone(
        self, question: Several, name: str | None, judge: Judge, limits: Limits, classes: int, nodes: int | None
    ) -> Proposal:
        """The question with one class, or none: what it proves holds here, and its point may do."""
        asked = question.without() if name is None else question.only(name)
        patience = None if math.isinf(limits.remaining) else max(_ALONE * limits.remaining / max(classes, 1), 1e-3)
        tol = asked.objective.inside(self.tol, self.units)
        how: dict[str, Any] = {"units": "nats", "tol": tol, "time_limit": patience, "node_limit": nodes}
        how |= {"classifier_sees": self.classifier_sees}
        session = opened(asked.problem, self._law, None, **how)
        limit = {q.budget: b for q, b in zip(QUANTITIES, asked.budgets, strict=True) if q is not asked.objective}
        found = session.ask(asked.objective, **limit, on_failure="return")
        certificate = found.certificate
        evidence = [OfClass(name, one) for one in certificate.evidence]
        parts = certificate.parts
        if parts is not None:
            judge(parts[0])
        best = max(evidence, key=judge.bound, default=OfClass(name, Independent()))
        scale = self._stakes.standard[1].scale
        worth = found.multipliers
        weights = np.array([worth.distortion * scale, worth.rate, *[0.0] * len(self._names)])
        if name is not None:
            weights[2 + self._names.index(name)] = worth.classification
        weights /= scale if asked.objective is DISTORTION else 1.0
        if question.objective.place <= RATE.place or asked.objective is CLASSIFICATION_LOSS:
            weights[question.objective.place] = 1.0
        return Proposal(
            None if parts is None else parts,
            (best,),
            found.termination,
            float(weights[0]),
            float(weights[1]),
            weights[2:],
            stats=found.stats,
        )

    def _standard(self, question: Several, binding: Sequence[str]) -> Several:
        """The question about the standardised problem, with the budgets that could bind."""
        standard, change = self._stakes.standard
        offset = float(change.row @ question.problem.px + change.column @ question.problem.py)
        losses = tuple(
            loss if name in binding else math.inf for name, loss in zip(self._names, question.losses, strict=True)
        )
        distortion = (question.distortion_budget - offset) / change.scale
        return replace(question, problem=standard, losses=losses, distortion_budget=distortion)

    def _start(self, standard: Several, last: Proposal) -> FloatArray:
        """Multipliers to begin with."""
        problem = standard.problem
        weights = [last.distortion_multiplier, last.rate_multiplier, *np.ravel(last.classification_multiplier)]
        if not all(math.isfinite(w) and 0.0 <= w < 1e3 for w in weights):
            weights = [1.0, 0.1, *[0.1] * len(self._names)]
        rows = problem.d @ problem.py if standard.laws is None else problem.d.min(axis=1)
        return np.concatenate([weights[0] * rows, weights])

    # -- telling -----------------------------------------------------------------------------------------------

    def _told(
        self,
        certificate: SeveralCertificate,
        proposal: Proposal,
        engine: str,
        given: tuple[float, float, dict[str, float]],
        seconds: float,
    ) -> Solution:
        objective, problem = certificate.formulation.objective, self.problem
        per = information.NATS_PER[self.units]
        names = self._names
        coupling = np.full((problem.n, problem.m), math.nan)
        distortion = rate = math.nan
        losses, residuals = [math.nan] * len(names), Residuals(*[math.nan] * 6)
        status: words.Status = "infeasible" if certificate.infeasible else "unknown"
        if certificate.parts is not None:
            coupling = self._support.restore(certificate.formulation.coupling(certificate.parts))
            each = certificate.spent
            distortion, rate = each[0].distortion, each[0].rate
            losses = [one.loss for one in each]
            residuals = Residuals(
                row_marginal=float(np.abs(coupling.sum(axis=1) - problem.px).sum()),
                column_marginal=self._off(coupling),
                negativity=max(0.0, -float(coupling.min())),
                rate=max(one.rate_excess for one in each) / per,
                classification=max(one.loss_excess for one in each) / per,
                distortion=max(one.distortion_excess for one in each),
            )
            closed: words.Status = "optimal" if self._closed(certificate) else "feasible"
            status = "near-feasible" if certificate.excess > 0.0 else closed
        elif certificate.infeasible:  # the least of nothing
            distortion, rate, *losses = [math.inf if i == objective.place else math.nan for i in range(2 + len(names))]
        scale = self._stakes.standard[1].scale
        sizes = (scale, 1.0 / per, *[1.0 / per] * len(names))
        worth = np.array(
            [proposal.distortion_multiplier, proposal.rate_multiplier, *np.ravel(proposal.classification_multiplier)]
        )
        if certificate.infeasible or len(worth) != len(sizes):
            worth = np.full(len(sizes), math.nan)
        worth = worth * sizes[objective.place] / np.array(sizes)
        worth[objective.place] = math.nan
        solution = Solution(
            status=status,
            termination=proposal.termination,
            distortion=distortion,
            lower_bound=objective.outside(certificate.lower, self.units),
            objective=objective.name,
            coupling=coupling,
            rate=rate / per,
            classification_loss=ByClass(zip(names, (loss / per for loss in losses), strict=True)),
            multipliers=Multipliers(
                rate=float(worth[1]),
                classification=ByClass(zip(names, worth[2:].tolist(), strict=True)),
                distortion=float(worth[0]),
            ),
            residuals=residuals,
            engine=engine,
            seconds=seconds,
            formulation=self.formulation,
            classifier_sees=self.classifier_sees,
            distortion_budget=given[0],
            rate_budget=given[1],
            classification_budget=ByClass(given[2]),
            units=self.units,
            certificate=certificate,
            stats=proposal.stats,
            problem=problem,
            of="" if objective.place <= RATE.place else names[objective.place - 2],
        )
        changes = self._perceived(solution)
        if certificate.parts is not None and isinstance(certificate.formulation, SeveralMessages):
            changes["message"] = self._atoms(certificate.parts[0])
        solution = replace(solution, **changes)
        return _verify.verified(solution) if self.verify else solution

    def _raise(self, solution: Solution) -> None:
        """Of an infeasible question the class furthest from its budget is named, or D."""
        certificate: SeveralCertificate = solution.certificate
        question = certificate.formulation
        limits = zip(question.quantities, question.budgets, strict=True)
        limited = [(q, b) for q, b in limits if math.isfinite(b) and q.place != question.objective.place]
        said = ", ".join(
            f"{q.budget} = {q.outside(b, self.units):.8g}" + (f" {self.units}" if q.informational else "")
            for q, b in limited
        )
        near = self._perception
        if near is not None and math.isfinite(near.budget):
            said += f"{', ' * bool(said)}P = {near.budget:.8g} ({near.kind})"
        remark = f" {self._remark()}".rstrip()
        if solution.status == "infeasible":
            found: tuple[Quantity, float, str] | None = None
            for how, alone in (("whatever the other classes", True), ("within the others", False)):
                known = [(q, b, certificate.least(q, alone=alone)) for q, b in limited if q is not RATE]
                over = [(least - b, q, least) for q, b, least in known if b < least < math.inf]
                if over:
                    _, missed, least = max(over, key=lambda one: one[0])
                    found = missed, missed.outside(least, self.units), how
                    break
            if found is None:
                both = f"{said} cannot be met together (proved). Raise one of them, or more.{remark}"
                raise InfeasibleError(both, budget="C", least=math.nan, units=self.units)
            missed, least, how = found
            unit = f" {self.units}" if missed.informational else ""
            what = missed.symbol if missed.name == CLASSIFICATION_LOSS.name else f"the {missed.words}"
            raise InfeasibleError(
                f"{said} cannot be met together: {what} is at least {least:.8g}{unit} {how} (proved). "
                f"Raise {missed.budget} above that, or another budget.{remark}",
                budget=missed.budget,
                least=least,
                units=self.units,
            )
        if solution.status == "unknown":
            raise NotSolvedError(
                f"no coupling that meets {said or 'the marginals'} was found, and none was proved impossible "
                f"({solution.termination}). Raise time_limit or a budget, or pass on_failure='return' to get the bound."
            )


def _same(value: Any, wanted: Any) -> bool:
    return value is wanted or (isinstance(value, str) and value == wanted)
