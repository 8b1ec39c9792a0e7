"""Time-sharing: column generation over couplings, priced by branch and bound at fixed multipliers.

For fixed (α, β) the least of E d + α I(X;Y) + β H(S|Y) over couplings is found by the same search as the
single-letter problem's; the couplings it meets are columns of a linear program with one row for the weights
and one for each budget, so that at most three are mixed. Every search's bound, less αR + βC, is a lower bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from drcopt._check import FloatArray
from drcopt.bounds import PosteriorTree
from drcopt.bounds.base import effective_budgets
from drcopt.coupling import round_onto_marginals
from drcopt.engines.ascent import LEAST_ALPHA, Objective
from drcopt.engines.base import INTERRUPTED, Limits, Proposal
from drcopt.engines.columns import Columns, Duals, Generated, Master, Priced, generate
from drcopt.engines.descent import reduce_loss
from drcopt.engines.linear import optimal_transport
from drcopt.engines.newton import Newton
from drcopt.engines.search import Search
from drcopt.engines.starts import descend_penalised, penalised
from drcopt.formulations import Formulation, Part, SingleLetter
from drcopt.problem import Problem

#: Mixtures aim this far inside the classification budget (nats).
_MARGIN = 1e-11
#: Seconds for each entry of d that a last round over the couplings takes.
_PER_ENTRY = 1e-6


@dataclass(eq=False)
class Pool:
    """Couplings met so far; a column's payload is its place here."""

    problem: Problem
    couplings: list[FloatArray]
    loss_is_cost: bool = False

    def columns(self, fresh: list[FloatArray]) -> Columns:
        """Columns for new couplings, rounded onto the marginals."""
        start = len(self.couplings)
        rounded = [round_onto_marginals(P, self.problem.px, self.problem.py) for P in fresh]
        self.couplings += rounded
        p = self.problem
        rows = [(p.distortion(P), p.rate(P), p.classification_loss(P)) for P in rounded]
        distortion, rate, loss = np.array(rows).reshape(-1, 3).T
        return Columns(
            loss if self.loss_is_cost else distortion,
            np.ones((len(rows), 1)),
            rate[:, None] if self.loss_is_cost else np.column_stack([rate, loss]),
            list(range(start, len(self.couplings))),
        )


def share(formulation: Formulation, limits: Limits) -> Proposal:
    """Solve the time-sharing problem; see the module's text."""
    problem = formulation.problem
    rate, budget = effective_budgets(formulation)
    limits = replace(limits, deadline=limits.deadline - _PER_ENTRY * problem.d.size)
    starts = _starts(problem, rate, limits)
    stats = {"searches": 0, "nodes": 0}
    pool = Pool(problem, [], loss_is_cost=True)
    master = Master(np.ones(1), np.array([rate]))
    master.add(pool.columns(starts))
    if master.solve().objective > budget - _MARGIN:
        trees: dict[tuple[float, float], PosteriorTree] = {}
        least = generate(
            master,
            _oracle(problem, pool, rate, 0.0, limits, trees, stats),
            tol=_MARGIN,
            cutoff=budget + 1e-9,
            stop=lambda: limits.expired or master.solve().objective < budget - _MARGIN,
        )
        if master.solve().objective > budget:
            return Proposal(
                None,
                None,
                "the least classification loss is above its budget" if least.bound > budget else "no mixture was found",
                infeasibility=trees[_key(least.duals)],
                stats=stats,
            )
        starts = pool.couplings
    pool = Pool(problem, [])
    master = Master(np.ones(1), np.array([rate, budget - _MARGIN]))
    master.add(pool.columns(starts))
    trees = {}
    oracle = _oracle(problem, pool, rate, budget, limits, trees, stats)
    answer = generate(master, oracle, tol=0.5 * limits.tol, stop=lambda: limits.expired)
    return _proposal(answer, master, pool, trees, stats)


def _proposal(
    answer: Generated,
    master: Master,
    pool: Pool,
    trees: dict[tuple[float, float], PosteriorTree],
    stats: dict[str, int],
) -> Proposal:
    weights = master.polished(answer.point)
    used = [q for q in range(len(weights)) if weights[q] > 1e-12]
    alpha, beta = answer.point.duals.budgets
    reasons = {"converged": "the gap is closed", "stopped": "the time limit was reached"}
    return Proposal(
        parts=[Part(float(weights[q]), pool.couplings[int(master.columns.payloads[q])]) for q in used],  # type: ignore[call-overload]
        evidence=trees[_key(answer.duals)],
        termination=reasons.get(answer.reason, "no better coupling was found"),
        rate_multiplier=float(alpha),
        classification_multiplier=float(beta),
        stats={**stats, "columns": len(master.columns), "rounds": answer.rounds},
    )


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


def _key(duals: Duals) -> tuple[float, float]:
    """(α, β) of a pricing problem; without a second budget the loss itself is the objective."""
    alpha = float(duals.budgets[0])
    beta = float(duals.budgets[1]) if len(duals.budgets) > 1 else 1.0
    return (alpha if alpha > LEAST_ALPHA else 0.0), beta


def _oracle(
    problem: Problem,
    pool: Pool,
    rate: float,
    budget: float,
    limits: Limits,
    trees: dict[tuple[float, float], PosteriorTree],
    stats: dict[str, int],
) -> Callable[[Duals], Priced]:
    """min over couplings of E d + αI + βH (or αI + H) by branch and bound, less the budgets' share."""
    d = np.zeros((problem.n, problem.m)) if pool.loss_is_cost else problem.d
    last_f = [d @ problem.py]

    def price(duals: Duals) -> Priced:
        alpha, beta = key = _key(duals)
        values = [penalised(problem, d, alpha, beta, P) for P in pool.couplings]
        fresh: list[FloatArray] = []

        def improve(P: FloatArray, z: FloatArray, force: bool) -> None:
            found = descend_penalised(problem, d, alpha, beta, P)
            value = penalised(problem, d, alpha, beta, found)
            if value < search.upper - 1e-12 or force:
                fresh.append(found)
            search.upper = min(search.upper, value)

        objective = Objective(problem, d, 0.0, 0.0, alpha=(alpha, alpha), beta=(beta, beta))
        inner = replace(limits, tol=0.2 * limits.tol)
        search = Search(objective, inner, improve, min(values))
        best = pool.couplings[int(np.argmin(values))]
        improve(best, np.zeros(0), False)
        search.run(np.concatenate([last_f[0], [alpha, beta]]))
        if search.termination == INTERRUPTED:
            raise KeyboardInterrupt  # one of many searches: what it has is no answer
        last_f[0] = search.root.z[:-2]
        trees[key] = PosteriorTree(search.tree(), "classification-loss" if pool.loss_is_cost else "distortion")
        stats["searches"] += 1
        stats["nodes"] += search.nodes
        return Priced(search.lower - alpha * rate - (0.0 if pool.loss_is_cost else beta * budget), pool.columns(fresh))

    return price
