"""Laws of Y near a target, without a limit on H(S|Y): Newton's method on the dual, whose law comes with it.

See :mod:`drcopt.engines.law_dual`; of the weights of E d and I one is 1, and the other that of a limit.
"""

from __future__ import annotations

import math

import numpy as np

from drcopt.bounds import Leaf, PosteriorTree
from drcopt.engines.base import Limits, Proposal
from drcopt.engines.law_dual import Divergence, Dual
from drcopt.engines.law_points import admissible, wide
from drcopt.engines.newton import Newton
from drcopt.formulations import Message, Part, SingleLetter
from drcopt.questions import DISTORTION
from drcopt.questions.output import Near

#: The barrier at last, and where ψ has edges.
_LAST, _EDGES = 1e-14, (1e-11, 1e-9)
#: The least α: below, it is a matter of linear programs.
_LEAST = 1e-5
#: What a barrier may leave of a budget, relative, and what is left of it, so that rounding cannot exceed it.
_SHORT, _ROOM = 1e-5, 1e-9
#: By how much marginals and limits may be missed.
_MET = 1e-8
#: How far inside the rate the answer stays, relative, for each letter, and inside the distances.
_SPARE, _INSIDE = 4e-14, 2e-12


class NearLaw:
    """Solves min E d over p(y|x) with I(X;Y) ≤ R and φ(pY, t) ≤ P, and its inverse."""

    def propose(self, question: SingleLetter, limits: Limits) -> Proposal | None:
        """None where it does not end in an answer: ends of curves, and divergences of other kinds."""
        problem, laws = question.problem, question.laws
        if not isinstance(laws, Near) or problem.forbidden.any() or problem.classes is not None:
            return None
        chosen = Divergence.of(laws)
        if chosen is None:
            return None
        kind, budget = chosen
        use = np.flatnonzero(laws.target > 0) if kind.slope == math.inf else np.arange(problem.m)
        by_rate = question.objective is DISTORTION
        spare = _SPARE * (100 + problem.n + problem.m)
        limit = question.rate_budget * (1.0 - spare) if by_rate else question.distortion_budget * (1.0 - _INSIDE)
        if not (math.isfinite(limit) and limit > 0.0 and len(use) > 1 and problem.n > 1):
            return None
        weights = np.array([1.0, math.nan] if by_rate else [math.nan, 1.0])
        dual = Dual(
            problem.px, [problem.d[:, use], None], weights, np.array([limit, limit]), laws.target[use], kind,
            budget * (1.0 - _INSIDE),
        )  # fmt: skip
        edges = kind.kind == "tv"  # close to them doubles know a law to few digits
        state = dual.solved(
            min(max(1e-3 * limits.tol, _EDGES[0]), _EDGES[1]) if edges else _LAST, least=_LEAST * by_rate
        )
        if state is None or (not edges and float(np.abs(state.gradient).max()) > _MET):
            return None
        P = np.zeros((problem.n, problem.m))
        P[:, use] = state.coupling
        law = P.sum(axis=0) / P.sum()
        spent = laws.divergence(law)
        if edges or spent > (1.0 + _ROOM) * budget:
            if (
                abs(spent - budget) <= _SHORT * budget
            ):  # all but out to the ball's surface, along the ray from the target
                law = np.maximum(laws.target + (1.0 - _ROOM) * budget / spent * (law - laws.target), 0.0)
            law = admissible(question, law)
            fixed, some = question.at(law), law > 0
            if fixed.problem.m == 1:
                return None
            answer = Newton().propose(fixed, limits)
            if answer.parts is None:
                return None
            P = wide(answer.parts[0].coupling, some)
        P *= (problem.px / P.sum(axis=1))[:, None]
        f, s = state.x[:-2], float(state.x[-2])
        alpha, w = (s, 1.0) if by_rate else (1.0, s)
        letters = np.arange(problem.m) if isinstance(question, Message) else None
        return Proposal(
            parts=[Part(1.0, P, letters=letters)],
            evidence=(PosteriorTree(Leaf(f, alpha, 0.0, w)),),
            termination="Newton's method converged",
            distortion_multiplier=w,
            rate_multiplier=alpha,
            classification_multiplier=0.0,
            stats={"steps": dual.steps},
            warm={"multipliers": np.concatenate([f, [w, alpha, 0.0]])},
        )
