"""Time-sharing: column generation over couplings, priced by branch and bound at fixed multipliers.

For fixed (α, β) the least of E d + α I(X;Y) + β H(S|Y) over couplings is found by the same search as the
single-letter problem's; the couplings it meets are columns of a linear program with one row for the weights
and one for each budget, so that at most three are mixed. Every search's bound, less αR + βC, is a lower bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from drcopt.bounds import PosteriorTree
from drcopt.coupling import round_onto_marginals
from drcopt.engines.base import INTERRUPTED, Limits, Proposal
from drcopt.engines.columns import Columns, Duals, Generated, LateError, Master, Priced, generate
from drcopt.engines.descent import reduce_loss
from drcopt.engines.inverse_points import InversePoints
from drcopt.engines.lagrangian import LEAST_ALPHA, Lagrangian
from drcopt.engines.linear import optimal_transport
from drcopt.engines.newton import Newton
from drcopt.engines.points import Points
from drcopt.engines.search import Search
from drcopt.engines.starts import descend_penalised, penalised
from drcopt.formulations import Part, Question, SingleLetter
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, QUANTITIES, RATE
from drcopt.support.check import FloatArray

#: Mixtures aim this far inside the classification budget (nats).
_MARGIN = 1e-11
#: Seconds for each entry of d that a last round over the couplings takes.
_PER_ENTRY = 1.5e-6
#: Prices of exceeding a budget, in turn, until none is exceeded by more than this.
_PENALTIES, _OVERRUN = (1e3, 1e6, 1e9), 1e-12
#: Starts from all over for the best single coupling, which time-sharing may not do worse than.
_EXPLORED = 8


#: Weights (w, α, β) of distortion, rate and classification loss.
Weights = tuple[float, float, float]


@dataclass(eq=False)
class Pool:
    """Couplings met so far, for one question; a column's payload is its place here."""

    question: Question
    couplings: list[FloatArray] = field(default_factory=list)
    #: Row multipliers of the last search.
    f: FloatArray | None = field(init=False, default=None)

    @property
    def others(self) -> list[int]:
        """The places of what is limited, not minimised."""
        return [q.place for q in QUANTITIES if q is not self.question.objective]

    @property
    def caps(self) -> FloatArray:
        """The limits on those."""
        return np.array(self.question.caps)[self.others]

    def columns(self, fresh: list[FloatArray]) -> Columns:
        """Columns for new couplings, rounded onto the marginals."""
        start, rounded = len(self.couplings), [self.rounded(P) for P in fresh]
        self.couplings += rounded
        rows = np.array([self.spent(P) for P in rounded]).reshape(-1, 3)
        return Columns(
            rows[:, self.question.objective.place],
            self.shares(rounded),
            rows[:, self.others],
            list(range(start, len(self.couplings))),
        )

    # -- what depends on the laws that Y may have --------------------------------------------------------------

    def rounded(self, P: FloatArray) -> FloatArray:
        """A coupling on the marginals."""
        return round_onto_marginals(P, self.question.problem.px, self.question.problem.py)

    def shares(self, couplings: list[FloatArray]) -> FloatArray:
        """What couplings add to the equalities, of which the first is Σ weights = 1: shape (·, p)."""
        return np.ones((len(couplings), 1))

    @property
    def targets(self) -> FloatArray:
        """What the equalities must come to."""
        return np.ones(1)

    def admits(self, P: FloatArray) -> bool:
        """Whether a coupling alone has a law that Y may have."""
        return True

    def opening(self) -> Columns:
        """Columns with which no program lacks a point, besides those of couplings."""
        return self.columns([])

    def also(self, duals: Duals) -> tuple[float, Columns]:
        """What the other columns add to the bound at these multipliers, and those of least reduced cost."""
        return 0.0, self.columns([])

    def cost(self, duals: Duals) -> FloatArray:
        """What pairs of letters cost, (n, m)."""
        return self.weights(duals)[0] * self.question.problem.d

    def lagrangian(self, duals: Duals) -> tuple[Lagrangian, FloatArray]:
        """The pricing problem, all of whose weights are fixed, and multipliers to start from."""
        problem, (w, alpha, beta) = self.question.problem, self.weights(duals)
        f = problem.d @ problem.py if self.f is None else self.f
        lagrangian = Lagrangian(problem, (0.0, 0.0, 0.0), ((w, w), (alpha, alpha), (beta, beta)))
        return lagrangian, np.concatenate([f, [w, alpha, beta]])

    def evidence(self, search: Search, duals: Duals) -> PosteriorTree:
        """What a search proves."""
        return PosteriorTree(search.tree())

    def descended(self, duals: Duals, P: FloatArray) -> FloatArray:
        """A local optimum of the pricing problem near a coupling."""
        _, alpha, beta = self.weights(duals)
        return descend_penalised(self.question.problem, self.cost(duals), alpha, beta, P)

    def starts(self, limits: Limits) -> list[FloatArray]:
        """Couplings that span what mixtures can do."""
        question = self.question
        return _starts(question.problem, min(question.budgets[1], question.most[1]), limits)

    def points(self, limits: Limits) -> list[FloatArray]:
        """Couplings that meet the limits alone: every single-letter point is one of time-sharing."""
        points: Points | InversePoints
        points = (Points if self.question.objective is DISTORTION else InversePoints)(self.question, limits)
        try:
            points.start()
            if isinstance(points, Points):
                points.explore(_EXPLORED)
        except KeyboardInterrupt:
            if points.best is None:
                raise  # before there is anything to hand back
            raise Interrupted(points.best.P) from None
        return [] if points.best is None else [points.best.P]

    # ----------------------------------------------------------------------------------------------------------

    def spent(self, P: FloatArray) -> tuple[float, float, float]:
        """All quantities of a coupling."""
        p = self.question.problem
        return p.distortion(P), p.rate(P), p.classification_loss(P)

    def alone(self) -> FloatArray | None:
        """The best coupling that keeps within the limits by itself, which no mixture may do worse than."""
        meets = [P for P in self.couplings if (np.array(self.spent(P))[self.others] <= self.caps).all()]
        meets = [P for P in meets if self.admits(P)]
        return min(meets, key=lambda P: self.spent(P)[self.question.objective.place], default=None)

    def weights(self, duals: Duals) -> Weights:
        """Those of a pricing problem: 1 for what is minimised."""
        weights = np.ones(3)
        weights[self.others] = duals.budgets
        if weights[1] <= LEAST_ALPHA:
            weights[1] = 0.0
        w, alpha, beta = weights.tolist()
        return w, alpha, beta


#: Makes a pool for a question, with couplings in it.
Kind = Callable[..., Pool]


class Interrupted(Exception):
    """Ctrl-C where a coupling that meets the limits was known, its only argument."""


def share(question: Question, limits: Limits, kind: Kind = Pool, duals: Duals | None = None) -> Proposal:
    """Solve the time-sharing problem; see the module's text. ``kind``: of columns; ``duals``: where to begin."""
    limits = replace(limits, deadline=limits.deadline - _PER_ENTRY * question.problem.d.size)
    starts = kind(question).starts(limits)
    stats = {"searches": 0, "nodes": 0}
    try:
        # A round of columns, of many letters, takes longer than what may be overrun.
        shared = None if limits.expired else _shared(question, limits, kind, duals, starts, stats)
    except LateError:
        shared = None
    if shared is not None:
        return shared
    met = kind(question, starts[1:]).alone()
    return Proposal(None if met is None else [Part(1.0, met)], (), "the time limit was reached", stats=stats)


def _shared(
    question: Question,
    limits: Limits,
    kind: Kind,
    duals: Duals | None,
    starts: list[FloatArray],
    stats: dict[str, int],
) -> Proposal:
    """By column generation, from couplings to begin with."""
    budget = question.classification_budget
    if question.objective is not CLASSIFICATION_LOSS:
        pool = kind(question.minimising(CLASSIFICATION_LOSS))
        master = Master(pool.targets, pool.caps)
        master.add(pool.opening())
        master.add(pool.columns(starts))
        if master.solve().objective > budget - _MARGIN:
            trees: Trees = {}
            least = generate(
                master,
                _oracle(pool, limits, trees, stats),
                tol=_MARGIN,
                cutoff=budget + 1e-9,
                stop=lambda: limits.expired or master.solve().objective < budget - _MARGIN,
            )
            if least.reason == INTERRUPTED:
                return Proposal(None, _known(pool, least, trees), INTERRUPTED, stats=stats)
            if master.solve().objective > budget:
                return Proposal(
                    None,
                    _known(pool, least, trees),
                    "the least classification loss is above its budget"
                    if least.bound > budget
                    else "no mixture was found",
                    stats=stats,
                )
            starts = pool.couplings
    pool = kind(question)
    try:
        starts = [*starts, *pool.points(limits)]
    except Interrupted as point:
        return Proposal([Part(1.0, point.args[0])], (), INTERRUPTED, stats=stats)
    inside = pool.caps - _MARGIN * (np.array(pool.others) != RATE.place)
    first, opening, trees = pool.columns(starts), pool.opening(), {}
    oracle = _oracle(pool, limits, trees, stats)
    for penalty in _PENALTIES:
        master = Master(pool.targets, inside, penalty)
        master.add(opening)
        master.add(first)
        answer = generate(master, oracle, tol=0.5 * limits.tol, stop=lambda: limits.expired, start=duals)
        if answer.point.overrun.max() <= _OVERRUN or limits.expired or answer.reason == INTERRUPTED:
            break
        first, duals = master.columns, None
    return _proposal(answer, master, pool, trees, stats)


def _proposal(
    answer: Generated,
    master: Master,
    pool: Pool,
    trees: Trees,
    stats: dict[str, int],
) -> Proposal:
    weights = master.polished(answer.point)
    places = master.columns.payloads  # those of couplings are their places
    used = [q for q in range(len(weights)) if weights[q] > 1e-12 and isinstance(places[q], int)]
    parts = [Part(float(weights[q]), pool.couplings[int(places[q])]) for q in used]  # type: ignore[call-overload]
    alone = pool.alone()
    if alone is not None:
        over, mixed = answer.point.overrun.max() > _OVERRUN, float(weights @ answer.point.columns.costs)
        if over or mixed > pool.spent(alone)[pool.question.objective.place]:
            parts = [Part(1.0, alone)]
    w, alpha, beta = pool.weights(answer.point.duals)
    reasons = {"converged": "the gap is closed", "stopped": "the time limit was reached", INTERRUPTED: INTERRUPTED}
    return Proposal(
        parts=parts,
        evidence=_known(pool, answer, trees),
        termination=reasons.get(answer.reason, "no better coupling was found"),
        distortion_multiplier=w,
        rate_multiplier=alpha,
        classification_multiplier=beta,
        stats={**stats, "columns": len(master.columns), "rounds": answer.rounds},
    )


def _known(pool: Pool, answer: Generated, trees: Trees) -> tuple[PosteriorTree, ...]:
    """The tree at the best multipliers; if all that there is was cut short, that."""
    best = _key(answer.duals)
    return (trees[best],) if best in trees else tuple(trees.values())[-1:]


def _starts(problem: Problem, rate: float, limits: Limits) -> list[FloatArray]:
    """Couplings that span what mixtures can do: nothing sent, least distortion, least loss."""
    answer = optimal_transport(problem)
    plan = problem.independent if answer is None else answer[0]
    couplings = [problem.independent, plan]
    proposal = Newton().propose(SingleLetter(problem, rate, math.inf), limits)
    if proposal.parts is not None:
        couplings.append(np.asarray(proposal.parts[0].coupling))
    most = min(problem.entropy_x, problem.entropy_y)
    for start in () if limits.expired else (couplings[-1], plan):
        couplings += [reduce_loss(problem, r, start, limits).P for r in {rate, most}]
    return couplings


#: Trees by the multipliers that they are for.
Trees = dict[tuple[bytes, bytes], PosteriorTree]


def _key(duals: Duals) -> tuple[bytes, bytes]:
    return duals.equality[1:].tobytes(), duals.budgets.tobytes()


def _oracle(pool: Pool, limits: Limits, trees: Trees, stats: dict[str, int]) -> Callable[[Duals], Priced]:
    """min over couplings of wE d + αI + βH by branch and bound, less the limits' share."""
    problem = pool.question.problem

    def price(duals: Duals) -> Priced:
        weights, cost = pool.weights(duals), pool.cost(duals)
        _, alpha, beta = weights
        values = [penalised(problem, cost, alpha, beta, P) for P in pool.couplings]
        fresh: list[FloatArray] = []

        def improve(P: FloatArray, z: FloatArray, force: bool) -> None:
            found = pool.descended(duals, P)
            value = penalised(problem, cost, alpha, beta, found)
            if value < search.upper - 1e-12 or force:
                fresh.append(found)
            search.upper = min(search.upper, value)

        lagrangian, z = pool.lagrangian(duals)
        search = Search(lagrangian, replace(limits, tol=0.2 * limits.tol), improve, min(values))
        improve(pool.couplings[int(np.argmin(values))], np.zeros(0), False)
        search.run(z)
        pool.f = search.root.z[:-3]
        trees[_key(duals)] = pool.evidence(search, duals)
        if search.termination == INTERRUPTED:
            raise KeyboardInterrupt  # of many searches the best counts
        stats["searches"] += 1
        stats["nodes"] += search.nodes
        more, others = pool.also(duals)
        paid = float(np.array(weights)[pool.others] @ pool.caps)
        return Priced(search.lower + more - paid, pool.columns(fresh).joined(others))

    return price
