"""The one place that knows problems, questions, engines and the certificate: enter, ask, judge, report."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from drcopt import forbidden, information, words
from drcopt.bounds import Evidence, stranded
from drcopt.certify import verify as _verify
from drcopt.certify.certificate import FLOORS, Certificate, best_bound, best_of, certify, repair
from drcopt.certify.witness import Budgets
from drcopt.engines import ENGINES, able
from drcopt.engines.base import INTERRUPTED, Engine, Limits, Proposal, independent
from drcopt.errors import InputError
from drcopt.failures import guarded, missed_by, raise_failure
from drcopt.formulations import CLASSIFIER_SEES, OneShot, Question, SingleLetter, TimeSharing
from drcopt.mixtures import mixture
from drcopt.other_rows import OtherRows
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, QUANTITIES, RATE, Quantity
from drcopt.solution import Multipliers, Residuals, Solution
from drcopt.stakes import Stakes
from drcopt.support import check, clock
from drcopt.support.check import FloatArray

#: Seconds an InfeasibleError may spend on finding the least loss it names.
EDGE_SECONDS = 5.0
#: Nodes for a second try, at a gap relative to a small D.
_MORE_NODES = 500
#: Share of the time for the question without one of its limits.
_WITHOUT = 0.3
#: Seconds past the deadline after which the judge, too, makes do with what it has.
_JUDGE_SECONDS = 0.2
#: Seconds for each entry of d that the judge surely takes.
_PER_ENTRY = 3e-7
#: Up to so many entries, and seconds for each, where it may count in more digits than a double has.
_CAREFUL, _CAREFUL_SECONDS = 10_000, 1e-4


class Session:
    """Solves one problem at many budgets, letting each point start from the last.

    ``warm`` is what the last point left behind, a dict of small float arrays or None; set it to resume a
    sweep exactly where another process stopped. Settings are the keywords of :func:`solve_drc`.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        formulation: words.Formulation = "single-letter",
        classifier_sees: words.ClassifierSees = "Y",
        units: words.Units = "bits",
        engine: words.Engine = "auto",
        tol: float = 1e-6,
        time_limit: float | None = None,
        verify: words.Verify | None = None,
        node_limit: int | None = None,
    ) -> None:
        check.instance("problem", problem, Problem, "Build one with Problem(px, py, ps_given_x, d).")
        self.problem = problem
        self.formulation = check.choice("formulation", formulation, words.FORMULATIONS)
        self.classifier_sees = self._reader(classifier_sees)
        if classifier_sees == "YU" and formulation != "one-shot":
            raise InputError(
                f'classifier_sees="YU" needs formulation="one-shot"; formulation is {formulation!r}. '
                "Only one-shot codes have common randomness U."
            )
        self.units = check.choice("units", units, words.UNITS)
        self.engine = check.choice("engine", engine, words.ENGINES)
        if engine != "auto" and formulation not in ENGINES[engine].formulations:
            raise InputError(f"engine {engine!r} does not take formulation {formulation!r}. {able(formulation)}")
        self.tol = check.positive("tol", tol) or 0.0
        self.time_limit = check.positive("time_limit", time_limit, allow_none=True)
        self.verify = _verify.setting(verify)
        forbidden.refuse(problem, self.formulation, getattr(self, "several", False))
        self.warm: dict[str, Any] | None = None
        self.rows = OtherRows()
        #: Whether a gap of ``tol`` will do however small the value is; most nodes of a search.
        self.coarse, self.node_limit = False, node_limit
        self._enter()
        self._engines: dict[str, Engine] = {}
        #: What was proposed for a question with fewer limits: its bounds hold, and its point may do.
        self._known: list[Proposal] = []

    def _reader(self, classifier_sees: words.ClassifierSees) -> words.ClassifierSees:
        """What the classifier sees, and whether this session can do that."""
        if self.problem.free:
            raise InputError(
                "py must be given here; it is None. Free laws of Y are for drcopt.solve, min_rate and "
                "min_classification_loss with formulation='single-letter'."
            )
        if classifier_sees == "message":
            raise InputError(
                "classifier_sees='message' is for drcopt.solve, min_rate and min_classification_loss with "
                "formulation='single-letter'. Pass 'Y' here."
            )
        return check.choice("classifier_sees", classifier_sees, CLASSIFIER_SEES)

    def _enter(self) -> None:
        """The problem on the letters that have mass, and what is at stake in it."""
        self._support = self.problem.support
        self._reduced = self.problem.reduced()
        self._stakes = Stakes(self._reduced)
        self._stranded = stranded(self._reduced, free=False)

    def solve(self, R: float | None, C: Any, *, on_failure: words.OnFailure = "raise") -> Solution:
        """The least distortion at one pair of budgets, in the session's units."""
        return self.ask(DISTORTION, R=R, C=C, on_failure=on_failure)

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
        check.choice("on_failure", on_failure, words.ON_FAILURE)
        self.require(objective)
        started = clock.now()
        given = [check.budget(q.budget, v) for q, v in zip(QUANTITIES, (D, R, C), strict=True)]
        if given[objective.place] != math.inf:
            raise objective.limited_itself(check.shown(given[objective.place]))
        budgets = Budgets(given[0], given[1], given[2], self.units)
        question = self._question(objective, budgets.nats)
        limits = self._limits(objective, started)
        proposal, engine, certificate = self._settled(question, limits, budgets)
        self.rows.leave(self.standardised(question), certificate, proposal.evidence, self.counted(objective))
        solution = self._solution(certificate, proposal, engine, given, clock.now() - started)
        if on_failure == "raise":
            forbidden.raise_stranded(self.problem, self._support.x, self._stranded)
            solution = self.with_edge(solution, limits.remaining)
            raise_failure(solution, *self._missed(solution, limits.remaining))
        return solution

    def _missed(self, solution: Solution, patience: float) -> tuple[Quantity, float, str]:
        """What :func:`missed_by` says, or more that is found in so many seconds, and a remark."""
        return *missed_by(solution), ""

    def require(self, objective: Quantity) -> None:
        """Refuse a quantity that the session's engine does not minimise."""
        forbidden.refuse_objective(self.problem, objective)
        if self.engine != "auto" and objective not in ENGINES[self.engine].objectives:
            able = [name for name, kind in ENGINES.items() if objective in kind.objectives]
            raise InputError(
                f"engine {self.engine!r} does not minimise the {objective.words}. Pass engine='auto' or one of {able}."
            )

    def with_edge(self, solution: Solution, patience: float = math.inf) -> Solution:
        """An infeasible solution whose certificate proves the largest least loss found in ``patience`` seconds.

        The proof of infeasibility stopped as soon as it passed C; the edge itself is worth a few seconds more.
        """
        patience = min(patience, self.time_limit or math.inf, EDGE_SECONDS)
        certificate: Certificate = solution.certificate
        distortion, rate, loss = certificate.formulation.budgets
        asked = solution.status == "infeasible" and self.formulation == "single-letter" and loss < math.inf
        asked = asked and not self.problem.forbidden.any()
        if not asked or patience <= 0 or missed_by(solution)[0] is not CLASSIFICATION_LOSS:
            return solution
        edge = Session(self._reduced, units="nats", tol=1e-6, time_limit=patience)
        found = edge.ask(CLASSIFICATION_LOSS, D=distortion, R=rate, on_failure="return").certificate
        if not found.lower > certificate.least(CLASSIFICATION_LOSS):
            return solution
        return replace(solution, certificate=replace(certificate, evidence=(*certificate.evidence, *found.evidence)))

    def _settled(self, question: Question, limits: Limits, budgets: Budgets) -> tuple[Proposal, str, Certificate]:
        """Ask and judge; again where outliers in d were cut off too low, or the gap is small but D is too."""
        self._stakes.cut()
        best: Certificate | None = None
        while True:
            with clock.until(limits.deadline):
                proposal, engine = self._answer(question, limits)
            found = self._certify(question, proposal, limits, budgets)
            best = found if best is None else best.joined(found)
            gap, enough = best.upper - best.lower, self._enough(question.objective, best.upper)
            done = best.infeasible or (best.parts is not None and gap <= enough)
            if done or limits.expired or proposal.termination == INTERRUPTED:
                return proposal, engine, best
            if self._stakes.raised():
                continue
            unit = self._unit(question.objective)
            if limits.node_limit is None and gap <= 1.01 * limits.tol * unit:
                # Without a time limit the second try must end too.
                limits = replace(limits, tol=0.3 * enough / unit, node_limit=_MORE_NODES)
                continue
            return proposal, engine, best

    # -- asking ------------------------------------------------------------------------------------------------

    def question(self, objective: Quantity) -> Question:
        """What is asked, about letters with mass, where nothing is limited."""
        return self._question(objective, (math.inf, math.inf, math.inf))

    def restored(self, coupling: FloatArray) -> FloatArray:
        """A coupling of letters with mass as one of all letters."""
        return self._support.restore(coupling)

    def _question(self, objective: Quantity, budgets: tuple[float, float, float]) -> Question:
        distortion, rate, loss = budgets
        if self.formulation == "one-shot":
            return OneShot(
                self._reduced, rate, loss, self.classifier_sees, distortion_budget=distortion, objective=objective
            )
        kind = SingleLetter if self.formulation == "single-letter" else TimeSharing
        return kind(self._reduced, rate, loss, distortion_budget=distortion, objective=objective)

    def _limits(self, objective: Quantity, started: float) -> Limits:
        if objective is DISTORTION:
            tol = max(self.tol * self._stakes.stake, self._stakes.digit) / self._unit(objective)
        else:
            tol = objective.inside(self.tol, self.units)
        if self.time_limit is None:
            return Limits(tol, started + clock.remaining(), self.node_limit)
        # The judge goes over the arrays a few times when the engine is done.
        size = self._reduced.d.size
        judge = min(_PER_ENTRY * size if size > _CAREFUL else _CAREFUL_SECONDS * size, 0.4 * self.time_limit)
        return Limits(tol, started + min(self.time_limit - judge, clock.remaining()), self.node_limit)

    def _enough(self, objective: Quantity, value: float) -> float:
        """The gap of an answer of this value that is "optimal", in nats or the unit of d."""
        if objective is DISTORTION:
            stakes = self._stakes
            return max(self.tol * stakes.stake, stakes.digit) if self.coarse else stakes.enough(self.tol, value)
        return objective.inside(self.tol, self.units)

    def _unit(self, objective: Quantity) -> float:
        """What a unit of an engine's objective is, in nats or the unit of d."""
        return self._stakes.standard[1].scale if objective is DISTORTION else 1.0

    def standardised(self, question: Question) -> Question:
        """The question about letters with mass as one about the standardised problem, which engines are asked."""
        (standard, change), problem = self._stakes.standard, self._reduced
        offset = float(change.row @ problem.px + change.column @ problem.py)
        question = forbidden.aimed(question)
        distortion = (question.distortion_budget - offset) / change.scale
        return replace(question, problem=standard, distortion_budget=distortion)

    def _answer(self, question: Question, limits: Limits) -> tuple[Proposal, str]:
        """Settle what needs no engine, then ask one about the standardised problem."""
        problem = self._reduced
        if (settled := self._forbidden(question)) is not None:
            return settled, "analytic"
        # The rate alone excludes nothing.
        limited = question.classification_budget < problem.entropy_s or question.distortion_budget < math.inf
        if limited and best_bound(question, FLOORS) == math.inf:
            return Proposal(None, (), "H(S|X) or the cheapest letters alone exceed a budget"), "analytic"
        only = question.rate_budget == 0 or min(problem.n, problem.m) == 1
        if only and self.formulation != "one-shot":
            return independent(question), "analytic"
        standard = self.standardised(question)
        if (known := self.rows.settling(standard, self.warm, limits)) is not None:
            return known, self.rows.name
        name: str = self.engine
        if name == "auto" or not ENGINES[name].active_classification:
            name, settled = self._choose(standard, limits)
            if settled is not None:
                return settled, name
            if self.engine not in ("auto", name):
                raise InputError(f"engine {self.engine!r} takes no C that binds, and C does. {able(self.formulation)}")
        try:
            proposal = self._propose(name, standard, limits)
        except KeyboardInterrupt:
            if not self._known:
                raise  # before there is anything to hand back
            proposal = Proposal(None, (), INTERRUPTED)
        self.warm = proposal.warm
        return proposal, name

    def _forbidden(self, question: Question) -> Proposal | None:
        """What forbidden pairs settle, if there are any; what else they tell is kept."""
        if self._stranded is not None:
            return forbidden.nowhere(self._stranded)
        if not question.problem.forbidden.any():
            return None
        known, settled = forbidden.ends(question)
        self._known += known
        return settled

    def _propose(self, name: str, question: Question, limits: Limits) -> Proposal:
        return guarded(name, lambda: self._use(name).propose(question, limits, self.warm))

    def _choose(self, standard: Question, limits: Limits) -> tuple[str, Proposal | None]:
        """Rate-only first: its answer is the answer wherever it happens to meet the classification budget."""
        if self.formulation == "one-shot":
            return "one-shot", None
        if standard.objective is CLASSIFICATION_LOSS:
            if standard.distortion_budget < standard.most[DISTORTION.place]:
                proposal = self._propose("newton", standard.minimising(DISTORTION), limits)
                self._known.append(proposal)
                if best_bound(standard, proposal.evidence) == math.inf:
                    return "newton", replace(proposal, parts=None, termination="the rate allows no such distortion")
                # Without D first: where its answer happens to meet D that settles it, and its bound holds in any case.
                free = replace(standard, distortion_budget=math.inf)
                some = replace(limits, deadline=clock.now() + _WITHOUT * limits.remaining)
                proposal = self._propose("global", free, some)
                self._known.append(proposal)
                point = repair(standard, proposal.parts) if proposal.parts else None
                met = point is not None and point.spent.excess == 0.0
                if met or proposal.termination == INTERRUPTED:
                    return "global", proposal
            return "global", None
        free = replace(standard, classification_budget=math.inf)
        first = "newton" if self.engine == "auto" else self.engine
        proposal = self._propose(first, free, limits)
        self._known.append(proposal)
        settled = standard.classification_budget >= standard.problem.entropy_s
        if not settled:
            point = repair(standard, proposal.parts, lower_loss=False) if proposal.parts else None
            met = point is not None and point.spent.excess == 0.0
            settled = met or best_bound(standard, proposal.evidence) == math.inf
        if settled:
            self.warm = proposal.warm
            return first, proposal
        return "global", None

    def _use(self, name: str) -> Engine:
        if name not in self._engines:
            self._engines[name] = ENGINES[name].build()
        return self._engines[name]

    def counted(self, objective: Quantity) -> tuple[float, float]:
        """What an engine's unit of an objective is in the caller's, and where its 0 is."""
        if objective.informational:
            return objective.outside(1.0, self.units), 0.0
        change, problem = self._stakes.standard[1], self._reduced
        return change.scale, float(problem.px @ change.row + problem.py @ change.column)

    # -- judging -----------------------------------------------------------------------------------------------

    def _certify(self, question: Question, proposal: Proposal, limits: Limits, budgets: Budgets) -> Certificate:
        """The judge's word, within a little more than the time limit; what is known without C is worth having."""

        def back(evidence: Evidence) -> Evidence | None:
            try:
                return evidence.framed(self._stakes.standard[1])
            except (AttributeError, TypeError, ValueError):
                return None  # not evidence at all

        known, self._known = [p for p in self._known if p is not proposal], []
        found = [e for p in (proposal, *known) if isinstance(p.evidence, tuple) for e in p.evidence]
        patience = min(limits.deadline, clock.now() if proposal.termination == INTERRUPTED else math.inf)
        with clock.until(patience + _JUDGE_SECONDS):
            parts = best_of(question, [p.parts for p in (proposal, *known)], budgets)
            evidence = (e for e in map(back, found) if e is not None)
            return certify(question, parts, *evidence, budgets=budgets, relaxed=self._stakes.relaxed)

    def _solution(
        self, certificate: Certificate, proposal: Proposal, engine: str, given: list[float], seconds: float
    ) -> Solution:
        question, parts = certificate.formulation, certificate.parts
        problem, support, objective = self.problem, self._support, question.objective

        def unit(nats: float) -> float:
            return information.from_nats(nats, self.units)

        status: words.Status
        if certificate.infeasible:
            status, distortion = "infeasible", math.inf if objective is DISTORTION else math.nan
        elif parts is None:
            status, distortion = "unknown", math.nan
        else:
            distortion = self._reduced.distortion(question.coupling(parts))
            enough = self._enough(objective, certificate.upper)
            status = "optimal" if certificate.upper - certificate.lower <= enough else "feasible"
            if certificate.excess > 0.0:
                status = "near-feasible"
        spent = certificate.spent
        if parts is None or spent is None:
            coupling = np.full((problem.n, problem.m), math.nan)
            rate = loss = math.nan
            residuals = Residuals(*[math.nan] * 6)
        else:
            coupling = support.restore(question.coupling(parts))
            rate, loss = spent.rate, spent.loss
            residuals = Residuals(
                row_marginal=float(np.abs(coupling.sum(axis=1) - problem.px).sum()),
                column_marginal=self._off(coupling),
                negativity=max(0.0, -float(coupling.min())),
                rate=unit(spent.rate_excess),
                classification=unit(spent.loss_excess),
                distortion=spent.distortion_excess,
            )
        if certificate.infeasible:  # the least of nothing
            if objective is RATE:
                rate = math.inf
            elif objective is CLASSIFICATION_LOSS:
                loss = math.inf
        shared = self.formulation != "single-letter"
        solution = Solution(
            status=status,
            termination=proposal.termination,
            distortion=distortion,
            lower_bound=objective.outside(certificate.lower, self.units),
            objective=objective.name,
            coupling=coupling,
            rate=unit(rate),
            classification_loss=unit(loss),
            multipliers=self._multipliers(certificate, proposal),
            residuals=residuals,
            engine=engine,
            seconds=seconds,
            formulation=self.formulation,
            classifier_sees=self.classifier_sees,
            distortion_budget=given[DISTORTION.place],
            rate_budget=given[RATE.place],
            classification_budget=given[CLASSIFICATION_LOSS.place],
            units=self.units,
            mixture=mixture(support, question, parts, self.units) if shared and parts else None,
            certificate=certificate,
            stats=proposal.stats,
            problem=problem,
        )
        return _verify.verified(solution) if self.verify else solution

    def _off(self, coupling: FloatArray) -> float:
        """How far the law of Y is from what it must be."""
        return float(np.abs(coupling.sum(axis=0) - self.problem.py).sum())

    def _multipliers(self, certificate: Certificate, proposal: Proposal) -> Multipliers:
        """What a unit of each budget is worth of the objective, back in the caller's units."""
        objective, scale = certificate.objective, self._stakes.standard[1].scale
        given = (proposal.distortion_multiplier, proposal.rate_multiplier, proposal.classification_multiplier)
        sizes = [scale, *(1.0 / information.NATS_PER[self.units] for _ in range(2))]
        worth = [m * sizes[objective.place] / size for m, size in zip(given, sizes, strict=True)]
        if certificate.infeasible:
            worth = [math.nan] * 3  # there is no slope where there is no value
        worth[objective.place] = math.nan
        distortion, rate, classification = worth
        return Multipliers(rate=rate, classification=classification, distortion=distortion)
