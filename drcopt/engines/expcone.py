"""The reference engine: the single-letter problem as an exponential-cone program in CVXPY.

Rate only, the problem is convex and one program settles it:

  min ⟨d, P⟩ over P ≥ 0 with row sums px, column sums py and Σ P log(P / px pyᵀ) ≤ R.

H(S|Y) ≤ C is reverse-convex, so an active classification budget gets two approximations of one more program,
in T = WᵀP, t ≥ I(X;Y) and a linear form G:

  min c₀⟨d, P⟩ + c₁u  with  a·t + ⟨G, T⟩ ≤ u ≤ b  and  t ≤ R.

- Points: the convex-concave procedure. G = −log τ is the tangent of H(S|Y) at class posteriors τ and lies above
  it, so with a = 0, b = C every step meets the true budget. It only finds local optima; more starts help.
- Bound: a convex relaxation. I(S;Y) ≤ η I(X;Y) with η the channel's contraction coefficient, and η I(X;Y) − I(S;Y)
  is convex in P, so η I(X;Y) + H(S|Y) ≤ ηR + C is a convex constraint that every feasible P meets (for η = 1 it
  reads I(X;Y|S) ≤ R − (H(S) − C)). The same tangent steps with a = η, b = ηR + C solve it to global optimality.
  Chords of H(S|Y) over the range of W add nothing to it: Σ_y py τ_y is fixed, which makes them constant.

The bound is evaluated elsewhere from multipliers (f, α, β), f of the row sums, α of the rate, β of the
classification budget. It is concave in them, so a line search between the multipliers of the relaxation and
those of the best point takes the best of both.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, xlogy

from drcopt.bounds import Leaf, PosteriorTree
from drcopt.bounds.posterior import leaf_bound, whole_box
from drcopt.engines.base import Limits, Proposal
from drcopt.engines.cones import Answer, Program
from drcopt.formulations import Part, Question
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS
from drcopt.support import check
from drcopt.support.check import FloatArray

#: What each solver is asked for. Clarabel rarely reaches 1e-11, but its "almost solved" is closer than its default.
_SETTINGS: dict[str, dict[str, Any]] = {
    "clarabel": {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11, "tol_feas": 1e-11},
    "scs": {"eps_abs": 1e-9, "eps_rel": 1e-9, "max_iters": 10_000},
}
_TIME_LIMIT = {"clarabel": "time_limit", "scs": "time_limit_secs"}
#: Budgets are aimed at with this much to spare, in nats, so that clearing up rounding keeps them met.
_MARGIN = {"clarabel": 1e-9, "scs": 1e-8}
#: Random starts of the convex-concave procedure while the gap is open, and entries of P up to which they are made.
_STARTS, _START_ENTRIES = 6, {"clarabel": 256, "scs": 36}
#: Tangent steps from one start, progress (d is at most 1) at which they stop, programs kept per engine.
_STEPS, _PROGRESS, _PROGRAMS = 60, 1e-9, 4
#: τ is moved this far towards the class prior, so that log τ stays finite; a tangent there is as valid.
_INSET = 1e-10
#: A relaxation's price can be flat in τ where α = ηβ, and pricing it slow; this much convexity costs next to nothing.
_CONVEX = 1.0 + 1e-6
#: Multipliers beyond this are a solver's failure: d lies in [0, 1].
_HUGE = 1e6


def _run(program: Program, solver: str, seconds: float) -> Answer | None:
    """One solve. Whatever the back-end raises becomes a status."""
    settings: dict[str, Any] = dict(_SETTINGS[solver])
    if seconds < math.inf:
        settings[_TIME_LIMIT[solver]] = max(seconds, 1e-3)  # SCS takes 0 for no limit
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program.solve(**settings)
        return program.answer()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as reason:  # a panic in compiled code is no Exception
        return Answer(f"error ({type(reason).__name__})")


@dataclass(frozen=True, eq=False)
class _Point:
    """A coupling on the marginals and within the rate, and the multipliers of the program it came from."""

    P: FloatArray
    distortion: float
    loss: float
    leaf: Leaf

    def posteriors(self, problem: Problem) -> FloatArray:
        """τ = p(s|y), shape (k, m)."""
        T = problem.ps_given_x.T @ self.P
        return np.asarray(T / T.sum(axis=0))


class ExpCone:
    """Proposes for the single-letter problem by cone programs; ``solver`` is "clarabel" or "scs"."""

    name: ClassVar[str] = "clarabel"

    def __init__(self, solver: str = "clarabel") -> None:
        # One class under two names.
        self.name = check.choice("solver", solver, _SETTINGS)  # type: ignore[misc]
        self.compile_seconds = 0.0
        self._programs: dict[tuple[str, bool], Program] = {}

    def propose(self, question: Question, limits: Limits, warm: Any = None) -> Proposal:
        """See :class:`drcopt.engines.base.Engine`."""
        return _Attempt(self, question, limits).proposal(warm)

    def program(self, problem: Problem, *, classification: bool) -> Program:
        """The compiled program for ``problem``, built the first time it is asked for."""
        key = (problem.fingerprint, classification)
        if key not in self._programs:
            while len(self._programs) >= _PROGRAMS:
                del self._programs[next(iter(self._programs))]
            self._programs[key] = Program(problem, self.name, classification=classification)
            self.compile_seconds += self._programs[key].compile_seconds
        return self._programs[key]


class _Attempt:
    """One question: what has been found so far, and what it took."""

    def __init__(self, engine: ExpCone, question: Question, limits: Limits) -> None:
        self.engine, self.question, self.limits = engine, question, limits
        self.problem = problem = question.problem
        self.solver = engine.name
        self.rate = min(question.rate_budget * (1.0 - 1e-9), problem.entropy_x, problem.entropy_y)
        self.budget = question.classification_budget
        self.margin = min(_MARGIN[engine.name], 1e-2 * max(problem.entropy_s - self.budget, 0.0))
        self.point: _Point | None = None  # the best that meets the budgets
        self.least: _Point | None = None  # the least classification loss seen
        self.evidence: Leaf | None = None  # the multipliers with the best bound
        self.convex: Leaf | None = None  # those of the convex relaxation
        self.bound = -math.inf
        self.status = "nothing"
        self.stats = {"programs": 0, "solver_iterations": 0, "starts": 0, "ccp_steps": 0, "compile_seconds": 0.0}
        self._compiled_before = engine.compile_seconds

    def proposal(self, warm: Any) -> Proposal:
        """Rate only first; then, if its loss is over the budget, the two approximations."""
        problem = self.problem
        free = self.solve(classification=False)
        said = f"{self.solver} returned {self.status}"
        if free is not None:
            self.judge(free.leaf)
            if free.loss <= self.budget or self.budget >= problem.entropy_s:
                self.point = free
        if self.point is not None or self.budget >= problem.entropy_s:
            return self.closed(said)
        if problem.contraction * self.rate * _CONVEX < problem.entropy_s - self.budget:
            why = "the rate budget allows less information on the class than the classification budget asks for"
            return self.closed(why, infeasible=True)
        for tau in self.starts(free, warm):
            self.descend(tau)
            if self.limits.expired or (self.point and self.point.distortion - self.bound <= self.limits.tol):
                break
        if self.point is not None and self.convex is not None:
            enough = self.point.distortion - self.limits.tol
            best = self.between(self.convex, self.point.leaf, self.question, enough)
            self.judge(best)
        if self.limits.expired:
            return self.closed("the time limit was reached")
        if self.point is not None:
            return self.closed("the convex-concave procedure converged")
        said = f"{self.solver} last returned {self.status}"
        return self.closed(f"no start led to a point within the classification budget; {said}", infeasible=True)

    def closed(self, why: str, *, infeasible: bool = False) -> Proposal:
        """The proposal as things stand."""
        self.stats["compile_seconds"] = self.engine.compile_seconds - self._compiled_before
        zero = Leaf(np.zeros(self.problem.n), 0.0, 0.0)
        point = self.point
        lowest = (PosteriorTree(self.least_loss_leaf()),) if infeasible else ()
        return Proposal(
            parts=None if point is None else [Part(1.0, point.P)],
            evidence=(PosteriorTree(self.evidence or zero), *lowest),
            termination=why,
            rate_multiplier=math.nan if point is None else point.leaf.rate,
            classification_multiplier=math.nan if point is None else point.leaf.classification,
            stats=dict(self.stats),
            warm=None if point is None else {"posterior": point.posteriors(self.problem)},
        )

    # -- programs ----------------------------------------------------------------------------------------------

    def solve(self, *, classification: bool = True, **parameters: Any) -> _Point | None:
        """One program, its answer cleared up; None if nothing usable came back."""
        if self.limits.expired:
            self.status = "nothing within the time limit"
            return None
        program = self.engine.program(self.problem, classification=classification)
        program.set(R=self.rate, **parameters)
        answer = _run(program, self.solver, self.limits.remaining)
        self.stats["programs"] += 1
        self.status = answer.status if isinstance(answer, Answer) else "nothing"
        if not isinstance(answer, Answer) or "infeasible" in answer.status or "unbounded" in answer.status:
            return None
        if isinstance(answer.iterations, int):
            self.stats["solver_iterations"] += answer.iterations
        n, m = self.problem.n, self.problem.m
        P, f = _finite(answer.coupling, (n, m)), _finite(answer.rows, (n,))
        alpha, beta = _finite(answer.rate, ()), _finite(answer.classification, ())
        if P is None:
            return None
        leaf = Leaf(np.zeros(n), 0.0, 0.0)
        if f is not None and alpha is not None and beta is not None:
            cost = parameters.get("c0", 1.0) * self.problem.d
            if classification:
                cost = cost + float(beta) * (self.problem.ps_given_x @ parameters["G"])
            leaf = self.polished(Leaf(f, max(float(alpha), 0.0), max(float(beta), 0.0)), cost)
        P = self.onto(P)
        return _Point(P, self.problem.distortion(P), self.problem.classification_loss(P), leaf)

    def onto(self, P: FloatArray) -> FloatArray:
        """P scaled onto the marginals, line by line so that tiny atoms keep their shape, and within the rate."""
        p = self.problem
        P = np.maximum(P, np.maximum(1e-18 * p.independent, np.finfo(float).tiny))
        for _ in range(50):
            P = P * (p.px / P.sum(axis=1))[:, None]
            columns = P.sum(axis=0)
            P = P * (p.py / columns)
            if np.abs(columns - p.py).sum() < 1e-14:
                break
        spent = p.rate(P)
        if spent <= self.rate:
            return P
        theta = 1.0 - self.rate / spent  # I is convex, and 0 at the independent coupling
        return (1.0 - theta) * P + theta * p.independent

    def polished(self, leaf: Leaf, cost: FloatArray) -> Leaf:
        """A few Sinkhorn sweeps at fixed α: each raises the dual, most for the rows a solver cares least about."""
        f, alpha = leaf.f, leaf.rate
        if alpha < 1e-9:
            g = (cost - f[:, None]).min(axis=0)
            return replace(leaf, f=(cost - g).min(axis=1), rate=0.0)
        log_px, log_py = np.log(self.problem.px)[:, None], np.log(self.problem.py)
        for _ in range(30):
            g = -alpha * logsumexp(log_px + (f[:, None] - cost) / alpha, axis=0)
            f = -alpha * logsumexp(log_py + (g - cost) / alpha, axis=1)
        return replace(leaf, f=f)

    # -- points ------------------------------------------------------------------------------------------------

    def starts(self, free: _Point | None, warm: Any) -> Iterator[FloatArray]:
        """Class posteriors to take the first tangent at: the rate-only point's, the last answer's, random ones."""
        problem = self.problem
        if free is not None:
            yield free.posteriors(problem)
        tau = _finite(warm.get("posterior"), (problem.k, problem.m)) if isinstance(warm, dict) else None
        if tau is not None and (tau >= 0).all():
            yield tau
        relaxed = self.relax()
        if relaxed is not None:
            yield relaxed.posteriors(problem)
        if problem.n * problem.m > _START_ENTRIES[self.solver]:
            return
        rng = np.random.default_rng(0)
        for _ in range(_STARTS):
            # Sparse pmfs on X: starts near the corners, where the optima of a reverse-convex problem lie.
            yield problem.ps_given_x.T @ rng.dirichlet(np.full(problem.n, 0.3), size=problem.m).T

    def descend(self, tau: FloatArray) -> None:
        """The convex-concave procedure from τ; keeps the point if it is the best so far."""
        self.stats["starts"] += 1
        last = self.step(tau)
        if last is None and (reached := self.reach(tau)) is not None:
            last = self.step(reached)
        if last is None:
            return
        incumbent = math.inf if self.point is None else self.point.distortion
        before = math.inf
        for _ in range(_STEPS):
            point = self.step(last.posteriors(self.problem))
            if point is None or point.distortion >= last.distortion:
                break
            drop, last = last.distortion - point.distortion, point
            # Steps shrink geometrically: leave where three times what seems to be left would not help.
            ratio = min(drop / before, 0.95) if before < math.inf else 0.95
            hope = 3.0 * drop * ratio / (1.0 - ratio)
            if drop < _PROGRESS or point.distortion - hope > incumbent - 0.1 * self.limits.tol:
                break
            before = drop
        if last.distortion < incumbent:
            self.point = last
            self.judge(last.leaf)

    def step(self, tau: FloatArray) -> _Point | None:
        """min ⟨d, P⟩ under the tangent of H(S|Y) at τ, aimed lower if clearing up the answer broke the budget."""
        G = self.tangent(tau)
        for _ in range(3):
            self.stats["ccp_steps"] += 1
            point = self.solve(G=G, a=0.0, b=self.budget - self.margin, c0=1.0, c1=0.0)
            if point is None or point.loss <= self.budget:
                return point
            self.margin = min(self.margin + 2.0 * (point.loss - self.budget), 1e-4)
        return None

    def reach(self, tau: FloatArray) -> FloatArray | None:
        """Lower H(S|Y) from τ by tangent steps until it meets the budget; None if it stops short of it."""
        last = math.inf
        for _ in range(_STEPS):
            G = self.tangent(tau)
            point = self.solve(G=G, a=0.0, b=float(G.max()) + 1.0, c0=0.0, c1=1.0)
            if point is None:
                return None
            if self.least is None or point.loss < self.least.loss:
                self.least = point
            tau = point.posteriors(self.problem)
            if point.loss <= self.budget - 2.0 * self.margin:
                return tau
            if last - point.loss < _PROGRESS:
                return None
            last = point.loss
        return None

    def tangent(self, tau: FloatArray) -> FloatArray:
        """G = −log τ, so that H(S|Y) ≤ ⟨G, T⟩ for every T = WᵀP (a cross-entropy)."""
        tau = (1.0 - _INSET) * tau + _INSET * self.problem.ps[:, None]
        return np.asarray(-np.log(tau / tau.sum(axis=0)))

    # -- bounds ------------------------------------------------------------------------------------------------

    def relax(self) -> _Point | None:
        """The convex relaxation η I(X;Y) + H(S|Y) ≤ ηR + C, from the independent coupling, which meets it."""
        share = self.problem.contraction
        last, tau = None, np.repeat(self.problem.ps[:, None], self.problem.m, axis=1)
        for _ in range(_STEPS):
            point = self.solve(G=self.tangent(tau), a=share, b=share * self.rate + self.budget, c0=1.0, c1=0.0)
            if point is None:
                break
            drop = math.inf if last is None else last.distortion - point.distortion
            last, tau = point, point.posteriors(self.problem)
            if drop < _PROGRESS:
                break
        if last is not None:
            leaf = last.leaf
            self.convex = replace(leaf, rate=max(leaf.rate, share * leaf.classification * _CONVEX))
            self.judge(self.convex)
        return last

    def judge(self, leaf: Leaf) -> None:
        """Keep the multipliers if their bound is the best so far."""
        bound = self.worth(leaf, self.question)
        if self.evidence is None or bound > self.bound:
            self.evidence, self.bound = leaf, bound

    def worth(self, leaf: Leaf, question: Question) -> float:
        """The leaf's bound on the whole box, or −inf past the deadline."""
        if self.limits.expired:
            return -math.inf
        return leaf_bound(question, leaf, whole_box(self.problem))

    def least_loss_leaf(self) -> Leaf:
        """Multipliers for a bound on H(S|Y): between H(S|Y) ≥ H(S) − ηR and H(S|Y) ≥ H(S|X) or the least loss found."""
        p, W = self.problem, self.problem.ps_given_x
        # η D(p‖px) ≥ D(Wᵀp‖ps) = −H(Wᵀp) − ⟨p, W log ps⟩ for every posterior p, and H(Wᵀp) ≥ Σ_x p H(S|X=x).
        processing = Leaf(-W @ np.log(p.ps), p.contraction * _CONVEX, 1.0, 0.0)
        conditional = Leaf(-xlogy(W, W).sum(axis=1), 0.0, 1.0, 0.0)
        lowest = self.question.minimising(CLASSIFICATION_LOSS)
        best = self.between(processing, conditional, lowest, self.budget)
        if self.least is None:
            return best
        seen = replace(self.least.leaf, classification=1.0, distortion=0.0)
        return self.between(best, seen, lowest, self.budget)

    def between(self, one: Leaf, other: Leaf, question: Question, enough: float) -> Leaf:
        """The leaf with the best bound on the segment between two; the bound is concave there."""
        ends = [(self.worth(leaf, question), leaf) for leaf in (one, other)]
        value, best = max(ends, key=lambda end: end[0])
        if value > enough or min(end[0] for end in ends) == -math.inf:
            return best

        def mixed(w: float) -> Leaf:
            return Leaf(
                (1.0 - w) * one.f + w * other.f,
                (1.0 - w) * one.rate + w * other.rate,
                (1.0 - w) * one.classification + w * other.classification,
                (1.0 - w) * one.distortion + w * other.distortion,
            )

        found = minimize_scalar(
            lambda w: -self.worth(mixed(w), question), bounds=(0.0, 1.0), method="bounded", options={"maxiter": 8}
        )
        return mixed(float(found.x)) if -found.fun > value else best


def _finite(value: Any, shape: tuple[int, ...]) -> FloatArray | None:
    """``value`` as a float array of this shape, or None if it is not one or holds absurd numbers (d is at most 1)."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if array.size == math.prod(shape) == 1:
        array = array.reshape(shape)
    return array if array.shape == shape and bool((np.abs(array) < _HUGE).all()) else None
