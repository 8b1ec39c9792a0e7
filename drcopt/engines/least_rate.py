"""The least rate for a distortion, R(D): Newton's method on D(R) = D, each D(R) by the engine for that.

D(R) is convex and its slope, −ε, comes with it. In √R it is nearly straight where R is small. The half-space that
proves D(R), E d + ε I(X;Y) ≥ Λ, proves R ≥ (Λ − D)/ε as well.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from drcopt.bounds import Evidence, Leaf, PosteriorTree
from drcopt.engines.base import Engine, Limits, Proposal
from drcopt.formulations import Part, Question
from drcopt.questions import DISTORTION

#: The distortion aimed at lies this far inside its budget (d in [0, 1]), so that rounding the marginals keeps it there.
_MARGIN = 1e-12
#: Distortions so near the least are met by the transport plan of least information.
_CLOSE = 1e-9
#: Rates, relative to that of the transport plan of least information, whose half-spaces bound the rate that needs.
_NEAR_THE_END = (1.0 - 1e-3, 1.0 - 1e-6, 1.0 - 1e-9)


def least_rate(engine: Engine, question: Question, limits: Limits, warm: Any = None) -> Proposal:
    """What ``engine``, which takes rate-only questions for the least distortion, makes of the inverse one."""
    problem, budget = question.problem, question.distortion_budget
    free = question.minimising(DISTORTION)
    nothing = PosteriorTree(Leaf(np.zeros(problem.n), 1.0, 0.0, 0.0))  # I ≥ 0
    start = problem.distortion(problem.independent)
    if budget >= start:
        why = "the independent coupling meets the distortion budget: no rate is needed"
        return Proposal([Part(1.0, problem.independent)], (nothing,), why, 0.0, math.nan, 0.0)
    most = min(problem.entropy_x, problem.entropy_y)
    end = engine.propose(replace(free, rate_budget=math.inf), limits)
    if end.parts is None:
        return Proposal(None, (nothing, *end.evidence), end.termination)
    plan = end.parts[0].coupling
    floor, reach = problem.distortion(plan), min(problem.rate(plan), most)
    if budget < floor - _MARGIN:
        return Proposal(None, (nothing, *end.evidence), "the least distortion is above its budget")
    margin = min(_MARGIN, 0.5 * max(budget - floor, 0.0))
    aim = budget - margin
    low, high = 0.0, reach
    root = math.sqrt(reach) * (start - aim) / max(start - floor, 1e-300)
    best, evidence, slope, evaluations = end, list(end.evidence), 0.0, 0
    for _ in range(60 if budget - floor > _CLOSE else 0):  # closer, the plan itself will do
        rate = root * root
        if not low < rate < high or limits.expired:
            break
        answer = engine.propose(replace(free, rate_budget=rate), limits, warm)
        evaluations += int(answer.stats.get("kernel_evaluations", 0))
        warm = answer.warm or warm
        if answer.parts is None:
            break
        short, slope = problem.distortion(answer.parts[0].coupling) - aim, answer.rate_multiplier
        evidence = [*answer.evidence, *end.evidence]
        if short <= 0.5 * margin:  # within the budget, with half of the margin left
            high, best = rate, answer
        else:
            low = rate
        if abs(short) <= 0.5 * margin or high - low <= 1e-15 * high or slope <= 0.0:
            break
        root += short / (2.0 * root * slope)
        if not low < root * root < high:
            root = math.sqrt(0.5 * (low + high))
    if best is end:  # no rate below the plan's will do
        for share in _NEAR_THE_END:
            answer = engine.propose(replace(free, rate_budget=share * reach), limits)
            evidence, slope = [*evidence, *answer.evidence], math.inf
    return Proposal(
        parts=best.parts,
        evidence=(nothing, *_distinct(evidence)),
        termination="Newton's method on D(R) converged",
        distortion_multiplier=math.inf if best is end else 1.0 / slope if slope > 0 else math.nan,
        classification_multiplier=0.0,
        stats={"kernel_evaluations": evaluations},
        warm=warm,
    )


def _distinct(evidence: list[Evidence]) -> list[Evidence]:
    return list({id(one): one for one in evidence}.values())
