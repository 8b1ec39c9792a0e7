"""The engine for one-shot codes: column generation over maps, with branching where the classifier sees Y alone."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from drcopt._check import FloatArray
from drcopt.bounds.base import ROUNDING, effective_budgets
from drcopt.bounds.maps import MapLeaf, MapTree
from drcopt.engines.base import Limits, Proposal
from drcopt.engines.map_branching import Branching
from drcopt.engines.map_programs import MapProgram, Mixture, ProgramPoint, Workshop, transport_maps
from drcopt.engines.map_search import TangentSearch
from drcopt.formulations import Formulation, Part
from drcopt.formulations.one_shot import map_coupling
from drcopt.problem import Problem

#: The last price tried for exceeding a budget before a program is called short of a point.
_MOST_PENALTY = 1e9
#: Budgets are met with this much to spare, relative: weights are only good to about as much.
_MARGIN = 1e-11


class OneShotEngine:
    """Mixtures of deterministic maps: a linear program in the maps for "YU", branch and bound for "Y"."""

    name: ClassVar[str] = "one-shot"

    def propose(self, formulation: Formulation, limits: Limits, warm: Any = None) -> Proposal:
        """See :class:`drcopt.engines.base.Engine`."""
        problem = formulation.problem
        shop = Workshop(problem, limits)
        shop.pool.add(transport_maps(problem)[0])
        if warm is not None and warm["maps"].shape[1] == problem.n:
            shop.pool.add(warm["maps"].astype(np.int64))
        free = formulation.classification_budget >= problem.entropy_s - ROUNDING
        if free or formulation.classifier_sees == "YU":
            return _linear(formulation, shop)
        return _branched(formulation, shop)


def _linear(formulation: Formulation, shop: Workshop) -> Proposal:
    """Both budgets are linear in the weights: one program, its duals the evidence."""
    problem, layout, limits = shop.problem, shop.layout, shop.limits
    rate, loss = effective_budgets(formulation)
    forms = np.array([layout.form(rate=1.0), layout.form(loss=1.0)])
    # Constant maps spend nothing; where nothing may be spent there is no room for a margin.
    program = MapProgram(
        shop, layout.form(distortion=1.0), forms, np.array([rate * (1 - _MARGIN), loss * (1 - _MARGIN)])
    )
    point = _solved(program, 0.3 * limits.tol)
    infeasibility = None
    if point.overrun > 1e-9:
        least = MapProgram(shop, layout.form(loss=1.0), forms[:1], np.array([rate])).solve(
            tol=1e-12, cutoff=loss + 1e-9 * problem.entropy_s
        )
        duals = least.ended.duals
        leaf = MapLeaf.linear(problem, duals.equality, float(duals.budgets[0]), 1.0)
        infeasibility = MapTree(leaf, "classification-loss")
    duals = point.ended.duals
    alpha, beta = (float(b) for b in duals.budgets)
    return Proposal(
        parts=None if infeasibility is not None else _parts(problem, point.mixture),
        evidence=MapTree(MapLeaf.linear(problem, duals.equality, alpha, beta)),
        termination={"converged": "the gap is closed", "stopped": "the time limit was reached"}.get(
            point.ended.reason, "no better map was found"
        )
        if infeasibility is None
        else "the least classification loss is above its budget",
        rate_multiplier=float(point.ended.point.duals.budgets[0]),
        classification_multiplier=float(point.ended.point.duals.budgets[1]),
        infeasibility=infeasibility,
        stats=_stats(shop, point.mixture, nodes=0),
        warm=_warm(point.mixture),
    )


def _solved(program: MapProgram, tol: float) -> ProgramPoint:
    """Raise the price of exceeding a budget until it is met or clearly cannot be."""
    penalty = 1e3
    point = program.solve(tol=tol, penalty=penalty)
    while point.overrun > 1e-9 and penalty < _MOST_PENALTY and not program.workshop.limits.expired:
        penalty *= 1e3
        point = program.solve(tol=tol, penalty=penalty)
    return point


def _branched(formulation: Formulation, shop: Workshop) -> Proposal:
    """H(S|Y) of the mixture is concave in the weights: tangents for points, boxes of posteriors for the bound."""
    problem, layout = shop.problem, shop.layout
    rate, loss = effective_budgets(formulation)
    search = TangentSearch(formulation, shop)
    search.explore(_starts(shop, rate, loss))
    infeasibility, nodes = None, 0
    if search.best is None:
        lowest = TangentSearch(formulation, shop, "classification-loss", loss)
        lowest.explore(_starts(shop, rate, loss))
        # Past C by enough that the leaves, priced afresh, still are.
        proof = Branching(lowest, goal=loss + 1e-6 * problem.entropy_s)
        proof.run(shop.limits.node_limit)
        nodes, infeasibility = proof.nodes, proof.evidence
        if proof.lower > loss:
            return Proposal(
                None,
                None,
                "the least classification loss is above its budget",
                infeasibility=infeasibility,
                stats={"nodes": nodes, "columns": len(shop.pool), "pricings": shop.pricings},
            )
        if lowest.best is not None:
            search.start(lowest.best.mixture.posteriors)
    branching = Branching(search)
    branching.run(shop.limits.node_limit)
    best = search.best
    if shop.limits.expired:
        termination = "the time limit was reached"
    else:
        termination = "the gap is closed" if best is not None else "no mixture was found"
    return Proposal(
        parts=None if best is None else _parts(problem, best.mixture),
        evidence=branching.evidence,
        termination=termination,
        rate_multiplier=math.nan if best is None else best.rate_multiplier,
        classification_multiplier=math.nan if best is None else best.classification_multiplier,
        infeasibility=infeasibility,
        stats=_stats(shop, None if best is None else best.mixture, nodes + branching.nodes),
        warm=None if best is None else _warm(best.mixture),
    )


def _starts(shop: Workshop, rate: float, loss: float) -> list[FloatArray]:
    """Posteriors to take tangents at: of the cheapest mixture, and of those that tell U's part of S too."""
    layout, tol = shop.layout, shop.limits.tol
    spend, tell = layout.form(rate=1.0), layout.form(loss=1.0)
    programs = [
        MapProgram(shop, layout.form(distortion=1.0), spend[None], np.array([rate])),
        MapProgram(shop, tell, spend[None], np.array([rate])),
        MapProgram(shop, layout.form(distortion=1.0), np.array([spend, tell]), np.array([rate, loss])),
    ]
    return [program.solve(tol=max(tol, 1e-6)).mixture.posteriors for program in programs]


def _parts(problem: Problem, mixture: Mixture) -> list[Part]:
    maps = mixture.pool.maps[mixture.maps]
    return [
        Part(float(weight), map_coupling(problem, f), np.array(f, dtype=np.intp))
        for weight, f in zip(mixture.weights, maps, strict=True)
    ]


def _stats(shop: Workshop, mixture: Mixture | None, nodes: int) -> dict[str, Any]:
    return {
        "maps": 0 if mixture is None else len(mixture.maps),
        "columns": len(shop.pool),
        "pricings": shop.pricings,
        "nodes": nodes,
    }


def _warm(mixture: Mixture) -> dict[str, FloatArray]:
    return {"maps": mixture.pool.maps[mixture.maps].astype(np.float64)}
