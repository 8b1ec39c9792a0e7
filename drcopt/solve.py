"""The one place that knows problems, formulations, engines and the certificate."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from drcopt import _check, _verify, clock, information
from drcopt._failures import guarded, raise_failure
from drcopt.bounds import DataProcessing, Evidence
from drcopt.certificate import Certificate, better, certify, objective_of, repair
from drcopt.engines import ENGINES, able
from drcopt.engines.base import INTERRUPTED, Engine, Limits, Proposal, independent
from drcopt.errors import InputError
from drcopt.formulations import CLASSIFIER_SEES, NAMES, Formulation, OneShot, Part, SingleLetter, TimeSharing
from drcopt.problem import Problem
from drcopt.solution import Component, Mixture, Multipliers, Residuals, Solution
from drcopt.witness import Budgets

ON_FAILURE = ("raise", "return")

#: Seconds an InfeasibleError may spend on finding the least loss it names.
_EDGE_SECONDS = 5.0
#: Seconds past the deadline after which the judge, too, makes do with what it has.
_JUDGE_SECONDS = 0.2
#: Seconds for each entry of d that the judge surely takes.
_PER_ENTRY = 3e-7


def solve_drc(
    px: ArrayLike,
    py: ArrayLike,
    ps_given_x: ArrayLike,
    R: float | None,
    C: float | None,
    *,
    d: ArrayLike | str = "hamming",
    formulation: str = "single-letter",
    classifier_sees: str = "Y",
    units: str = "bits",
    engine: str = "auto",
    tol: float = 1e-6,
    time_limit: float | None = None,
    verify: str | None = None,
    on_failure: str = "raise",
) -> Solution:
    """The least E d(X,Y) with I(X;Y) ≤ R and H(S|Y) ≤ C, with a coupling and a proved lower bound.

    Parameters
    ----------
    px, py : (n,) and (m,) arrays
        Source and reconstruction pmfs.
    ps_given_x : (n, k) array
        Channel p(s|x) from source letter to class; rows sum to 1.
    R, C : float or None
        Rate and classification budgets in ``units``; None (or inf) for no such budget.
    d : (n, m) array or "hamming" or "squared-error"
        Distortion d(x, y) ≥ 0.
    formulation : {"single-letter", "time-sharing", "one-shot"}
        See :mod:`drcopt.formulations`.
    classifier_sees : {"Y", "YU"}
        One-shot only: whether the budget limits H(S|Y) or H(S|Y,U).
    units : {"bits", "nats"}
        Of budgets, rates, losses and multipliers.
    engine : str
        "auto" chooses; ``drcopt.engines.ENGINES`` lists the names.
    tol : float
        Absolute gap wanted, relative to max d.
    time_limit : float or None
        Seconds; at the limit the best point and the valid bound found so far come back.
    verify : {None, "interval"}
        "interval" has every answer proved again in exact and ball arithmetic by the checker of ``drcopt check``
        (extra ``proof``; takes time of its own). The solution then has ``proved_lower_bound``,
        ``proved_distortion`` and ``verified``; where the checker disagrees "optimal" becomes "feasible" and
        "infeasible" becomes "unknown", and ``termination`` says why.
    on_failure : {"raise", "return"}
        Whether "infeasible" and "unknown" raise or come back as a Solution.

    Raises
    ------
    InputError
        Before anything is solved, if an argument breaks a rule.
    InfeasibleError
        If no coupling meets the budgets; it names the least C that can be met.
    NotSolvedError
        If neither a point nor a proof of infeasibility was found.
    MissingExtraError
        If ``verify`` or the engine needs a package that is not installed.

    Examples
    --------
    >>> solution = solve_drc([0.5, 0.5], [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], R=0.5, C=None)
    >>> solution.status, round(solution.distortion, 6)
    ('optimal', 0.110028)
    """
    return solve(
        Problem(px, py, ps_given_x, d),
        R=R,
        C=C,
        formulation=formulation,
        classifier_sees=classifier_sees,
        units=units,
        engine=engine,
        tol=tol,
        time_limit=time_limit,
        verify=verify,
        on_failure=on_failure,
    )


def solve(
    problem: Problem,
    *,
    R: float | None = None,
    C: float | None = None,
    formulation: str = "single-letter",
    classifier_sees: str = "Y",
    units: str = "bits",
    engine: str = "auto",
    tol: float = 1e-6,
    time_limit: float | None = None,
    verify: str | None = None,
    on_failure: str = "raise",
) -> Solution:
    """:func:`solve_drc` for a :class:`Problem`; keywords as there."""
    session = Session(
        problem,
        formulation=formulation,
        classifier_sees=classifier_sees,
        units=units,
        engine=engine,
        tol=tol,
        time_limit=time_limit,
        verify=verify,
    )
    return session.solve(R, C, on_failure=on_failure)


def min_classification_loss(
    problem: Problem,
    *,
    R: float | None = None,
    units: str = "bits",
    tol: float = 1e-6,
    time_limit: float | None = None,
    verify: str | None = None,
    on_failure: str = "raise",
) -> Solution:
    """The least H(S|Y) that a coupling reaches at rate R: the edge of the feasible set, C_min(R).

    ``classification_loss`` of the solution is reached by its coupling and ``lower_bound`` is proved, both in
    ``units``; ``gap`` is their difference and ``tol`` limits it. Keywords as in :func:`solve_drc`.

    Examples
    --------
    >>> problem = Problem([0.5, 0.5], [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]])
    >>> edge = min_classification_loss(problem, R=0.5)
    >>> edge.status, round(edge.classification_loss, 5)
    ('optimal', 0.69732)
    """
    session = Session(problem, units=units, tol=tol, time_limit=time_limit, verify=verify)
    return session.least_loss(R, on_failure=on_failure)


class Session:
    """Solves one problem at many budgets, letting each point start from the last.

    ``warm`` is what the last point left behind, a dict of small float arrays or None; set it to resume a
    sweep exactly where another process stopped. Settings are the keywords of :func:`solve_drc`.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        formulation: str = "single-letter",
        classifier_sees: str = "Y",
        units: str = "bits",
        engine: str = "auto",
        tol: float = 1e-6,
        time_limit: float | None = None,
        verify: str | None = None,
    ) -> None:
        if not isinstance(problem, Problem):
            raise InputError(
                f"problem must be a drcopt.Problem; it is a {type(problem).__name__}. "
                "Build one with Problem(px, py, ps_given_x, d)."
            )
        self.problem = problem
        self.formulation = _check.choice("formulation", formulation, NAMES)
        self.classifier_sees = _check.choice("classifier_sees", classifier_sees, CLASSIFIER_SEES)
        if classifier_sees == "YU" and formulation != "one-shot":
            raise InputError(
                f'classifier_sees="YU" needs formulation="one-shot"; formulation is {formulation!r}. '
                "Only one-shot codes have common randomness U."
            )
        self.units = _check.choice("units", units, information.NATS_PER)
        self.engine = _check.choice("engine", engine, ("auto", *ENGINES))
        if engine != "auto" and formulation not in ENGINES[engine].formulations:
            raise InputError(f"engine {engine!r} does not take formulation {formulation!r}. {able(formulation)}")
        self.tol = _check.positive("tol", tol) or 0.0
        self.time_limit = _check.positive("time_limit", time_limit, allow_none=True)
        self.verify = _verify.setting(verify)
        self.warm: dict[str, Any] | None = None
        self._reduced = problem.reduced()
        self._standard, self._change = self._reduced.standardised()
        self._engines: dict[str, Engine] = {}
        self._rate_only: Proposal | None = None

    def solve(self, R: float | None, C: float | None, *, on_failure: str = "raise") -> Solution:
        """The solution at one pair of budgets, in the session's units."""
        _check.choice("on_failure", on_failure, ON_FAILURE)
        started = clock.now()
        budgets = Budgets(_check.budget("R", R), _check.budget("C", C), self.units)
        question = self._question(*budgets.nats)
        limits = self._limits(started)
        with clock.until(limits.deadline):
            proposal, engine = self._answer(question, limits)
        certificate = self._certify(question, proposal, limits, budgets)
        solution = self._solution(certificate, proposal, engine, R, C, clock.now() - started)
        if on_failure == "raise":
            solution = self.with_edge(solution, limits.remaining)
            raise_failure(solution, solution.certificate.least_loss)
        return solution

    def with_edge(self, solution: Solution, patience: float = math.inf) -> Solution:
        """An infeasible solution whose certificate proves the largest least loss found in ``patience`` seconds.

        The proof of infeasibility stopped as soon as it passed C; the edge itself is worth a few seconds more.
        """
        patience = min(patience, self.time_limit or math.inf, _EDGE_SECONDS)
        if solution.status != "infeasible" or self.formulation != "single-letter" or patience <= 0:
            return solution
        certificate = solution.certificate
        edge = Session(self._reduced, units="nats", tol=1e-6, time_limit=patience)
        rate = certificate.formulation.rate_budget
        found = edge.least_loss(None if math.isinf(rate) else rate, on_failure="return").certificate
        if not found.lower > certificate.least_loss:
            return solution
        return replace(solution, certificate=replace(certificate, infeasibility=found.evidence, least_loss=found.lower))

    def least_loss(self, R: float | None, *, on_failure: str = "raise") -> Solution:
        """See :func:`min_classification_loss`."""
        _check.choice("on_failure", on_failure, ON_FAILURE)
        started = clock.now()
        budgets = Budgets(_check.budget("R", R), math.inf, self.units)
        question = self._question(*budgets.nats)
        limits = replace(self._limits(started), tol=information.to_nats(self.tol, self.units))
        problem = self._reduced
        if question.rate_budget == 0 or min(problem.n, problem.m) == 1:
            proposal, engine = independent(question), "analytic"
            proposal = replace(proposal, evidence=proposal.infeasibility, infeasibility=None)
        else:
            from drcopt.engines.branch import Global

            with clock.until(limits.deadline):
                proposal, engine = guarded("global", lambda: Global().least_loss(question, limits)), "global"
            if objective_of(proposal.evidence) != "classification-loss":  # or a bound on E d would pass for one on it
                proposal = replace(proposal, evidence=DataProcessing())
        certificate = self._certify(question, proposal, limits, budgets)
        solution = self._solution(certificate, proposal, engine, R, None, clock.now() - started)
        if on_failure == "raise":
            raise_failure(solution, certificate.least_loss)
        return solution

    # -- asking ------------------------------------------------------------------------------------------------

    def _question(self, rate: float, loss: float) -> Formulation:
        if self.formulation == "one-shot":
            return OneShot(self._reduced, rate, loss, self.classifier_sees)
        return (SingleLetter if self.formulation == "single-letter" else TimeSharing)(self._reduced, rate, loss)

    def _limits(self, started: float) -> Limits:
        scale = float(self._reduced.d.max()) / self._change.scale
        if self.time_limit is None:
            return Limits(self.tol * scale)
        # The judge goes over the arrays a few times when the engine is done.
        judge = min(_PER_ENTRY * self._reduced.d.size, 0.5 * self.time_limit)
        return Limits(self.tol * scale, started + self.time_limit - judge)

    def _answer(self, question: Formulation, limits: Limits) -> tuple[Proposal, str]:
        """Settle what needs no engine, then ask one about the standardised problem."""
        problem = self._reduced
        if question.classification_budget < DataProcessing().bound(question):
            return Proposal(None, None, "H(S|X) alone exceeds the budget", infeasibility=DataProcessing()), "analytic"
        only = question.rate_budget == 0 or min(problem.n, problem.m) == 1
        if only and self.formulation != "one-shot":
            return independent(question), "analytic"
        standard = question.with_problem(self._standard)
        name = self.engine
        if name == "auto" or not ENGINES[name].active_classification:
            name, settled = self._choose(standard, limits)
            if settled is not None:
                return settled, name
            if self.engine not in ("auto", name):
                raise InputError(f"engine {self.engine!r} takes no C that binds, and C does. {able(self.formulation)}")
        proposal = self._propose(name, standard, limits)
        self.warm = proposal.warm
        return proposal, name

    def _propose(self, name: str, question: Formulation, limits: Limits) -> Proposal:
        return guarded(name, lambda: self._use(name).propose(question, limits, self.warm))

    def _choose(self, standard: Formulation, limits: Limits) -> tuple[str, Proposal | None]:
        """Rate-only first: its answer is the answer wherever it happens to meet the classification budget."""
        if self.formulation == "one-shot":
            return "one-shot", None
        free = replace(standard, classification_budget=math.inf)
        proposal = self._rate_only = self._propose("newton", free, limits)
        point = repair(standard, proposal.parts, lower_loss=False) if proposal.parts else None
        met = point is not None and point.spent.excess == 0.0
        if met or standard.classification_budget >= standard.problem.entropy_s:
            self.warm = proposal.warm
            return "newton", proposal
        return "global", None

    def _use(self, name: str) -> Engine:
        if name not in self._engines:
            self._engines[name] = ENGINES[name].build()
        return self._engines[name]

    # -- judging -----------------------------------------------------------------------------------------------

    def _certify(self, question: Formulation, proposal: Proposal, limits: Limits, budgets: Budgets) -> Certificate:
        """The judge's word, within a little more than the time limit; the bound without C is always worth having."""
        change = self._change

        def back(evidence: Evidence | None) -> Evidence | None:
            try:
                return None if evidence is None else evidence.rescaled(change.scale, change.row, change.column)
            except (AttributeError, TypeError, ValueError):
                return None  # not evidence at all

        patience = min(limits.deadline, clock.now() if proposal.termination == INTERRUPTED else math.inf)
        floor, self._rate_only = self._rate_only, None
        parts = proposal.parts
        with clock.until(patience + _JUDGE_SECONDS):
            if floor is not None and floor is not proposal:
                parts = better(question, parts, floor.parts, budgets)
            judged = certify(question, parts, back(proposal.evidence), back(proposal.infeasibility), budgets)
        if floor is None or judged.objective != "distortion" or judged.lower == judged.upper:
            return judged
        known = certify(question, parts, back(floor.evidence), None, budgets)
        if not known.lower > judged.lower:
            return judged
        return replace(known, infeasibility=judged.infeasibility, least_loss=judged.least_loss)

    def _solution(
        self,
        certificate: Certificate,
        proposal: Proposal,
        engine: str,
        R: float | None,
        C: float | None,
        seconds: float,
    ) -> Solution:
        question, parts = certificate.formulation, certificate.parts
        problem, support = self.problem, self.problem.support
        loss_is_objective = certificate.objective == "classification-loss"
        if loss_is_objective:
            tol = information.to_nats(self.tol, self.units)
        else:
            tol = self.tol * float(self._reduced.d.max())

        def unit(nats: float) -> float:
            return information.from_nats(nats, self.units)

        if certificate.infeasible:
            status, distortion, lower = "infeasible", math.inf, math.inf
        elif parts is None:
            status, distortion, lower = "unknown", math.nan, certificate.lower
        else:
            distortion, lower = self._reduced.distortion(question.coupling(parts)), certificate.lower
            status = "optimal" if certificate.upper - lower <= tol else "feasible"
            if certificate.excess > 0.0:
                status = "near-feasible"
        if parts is None:
            coupling = np.full((problem.n, problem.m), math.nan)
            rate = loss = math.nan
            residuals = Residuals(math.nan, math.nan, math.nan, math.nan, math.nan)
        else:
            coupling = support.restore(question.coupling(parts))
            rate, loss = certificate.rate, certificate.loss
            residuals = Residuals(
                row_marginal=float(np.abs(coupling.sum(axis=1) - problem.px).sum()),
                column_marginal=float(np.abs(coupling.sum(axis=0) - problem.py).sum()),
                negativity=max(0.0, -float(coupling.min())),
                rate=unit(certificate.rate_excess),
                classification=unit(certificate.loss_excess),
            )
        scale = self._change.scale * information.NATS_PER[self.units]
        if certificate.infeasible:
            scale = math.nan  # there is no slope where there is no value
        solution = Solution(
            status=status,
            termination=proposal.termination,
            distortion=distortion,
            lower_bound=unit(lower) if loss_is_objective else lower,
            objective=certificate.objective,
            coupling=coupling,
            rate=unit(rate),
            classification_loss=unit(loss),
            multipliers=Multipliers(proposal.rate_multiplier * scale, proposal.classification_multiplier * scale),
            residuals=residuals,
            engine=engine,
            seconds=seconds,
            formulation=self.formulation,
            classifier_sees=self.classifier_sees,
            rate_budget=math.inf if R is None else float(R),
            classification_budget=math.inf if C is None else float(C),
            units=self.units,
            mixture=self._mixture(question, parts) if self.formulation != "single-letter" and parts else None,
            certificate=certificate,
            stats=proposal.stats,
            problem=problem,
        )
        return _verify.verified(solution) if self.verify else solution

    def _mixture(self, question: Formulation, parts: tuple[Part, ...]) -> Mixture:
        support = self.problem.support

        def unit(nats: float) -> float:
            return information.from_nats(nats, self.units)

        components = []
        for part in parts:
            full_map = None
            if part.map is not None:
                full_map = np.full(self.problem.n, support.y[part.map[0]], dtype=np.intp)
                full_map[support.x] = support.y[part.map]
            alone = [Part(1.0, part.coupling, part.map)]
            single = replace(question, classification_budget=math.inf)
            components.append(
                Component(
                    weight=part.weight,
                    coupling=support.restore(part.coupling),
                    map=full_map,
                    distortion=self._reduced.distortion(part.coupling),
                    rate=unit(single.rate(alone)),
                    classification_loss=unit(self._reduced.classification_loss(part.coupling)),
                )
            )
        return Mixture(tuple(components))
