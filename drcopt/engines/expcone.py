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

import importlib
import math
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from drcopt import _check
from drcopt._check import FloatArray
from drcopt.bounds import Leaf, PosteriorTree
from drcopt.bounds.posterior import leaf_bound, whole_box
from drcopt.engines.base import Limits, Proposal
from drcopt.formulations import Formulation, Part
from drcopt.problem import Problem

#: What each solver is asked for. Clarabel rarely reaches 1e-11, but its "almost solved" is closer than its default.
_SETTINGS: dict[str, dict[str, Any]] = {
    "clarabel": {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11, "tol_feas": 1e-11},
    "scs": {"eps_abs": 1e-9, "eps_rel": 1e-9, "max_iters": 10_000},
}
_TIME_LIMIT = {"clarabel": "time_limit", "scs": "time_limit_secs"}
#: Budgets are aimed at with this much to spare, in nats, so that clearing up rounding keeps them met.
_MARGIN = {"clarabel": 1e-9, "scs": 1e-8}
#: Random starts of the convex-concave procedure while the gap is open, and entries of P up to which they are worth it.
_STARTS, _START_ENTRIES = {"clarabel": 6, "scs": 2}, {"clarabel": 1100, "scs": 100}
#: Tangent steps from one start, progress (d is at most 1) at which they stop, programs kept per engine.
_STEPS, _PROGRESS, _PROGRAMS = 60, 1e-9, 4
#: τ is moved this far towards the class prior, so that log τ stays finite; a tangent there is as valid.
_INSET = 1e-10
#: Multipliers beyond this are a solver's failure: d lies in [0, 1].
_HUGE = 1e6


@dataclass(frozen=True, eq=False)
class Answer:
    """What a solver said, unchecked: any of it may be None, NaN, of the wrong shape, or wrong."""

    status: str
    coupling: Any = None
    rows: Any = None
    rate: Any = None
    classification: Any = None
    iterations: Any = None


class _Program:
    """A parametrised program, compiled once; R, G, a, b, c₀, c₁ are set before each solve."""

    def __init__(self, problem: Problem, solver: str, *, classification: bool) -> None:
        cp = importlib.import_module("cvxpy")
        n, m, k = problem.n, problem.m, problem.k
        P, t = cp.Variable((n, m)), cp.Variable()
        R = cp.Parameter()
        # A product of two tiny atoms may underflow; where P has no mass to speak of any floor will do.
        independent = np.maximum(problem.independent, 1e-40)
        self.rows = cp.sum(P, axis=1) == problem.px
        self.information = cp.sum(cp.rel_entr(P, independent)) <= t
        constraints = [self.rows, cp.sum(P, axis=0) == problem.py, self.information, t <= R]
        objective = cp.sum(cp.multiply(problem.d, P))
        self.parameters = {"R": R}
        self.cut: Any = None
        if classification:
            # G on T, not on P: n·m parameter entries take CVXPY a minute to compile at 128 letters.
            T, u = cp.Variable((k, m)), cp.Variable()
            G, a, b = cp.Parameter((k, m)), cp.Parameter(nonneg=True), cp.Parameter()
            c0, c1 = cp.Parameter(nonneg=True), cp.Parameter(nonneg=True)
            self.cut = a * t + cp.sum(cp.multiply(G, T)) <= u
            constraints += [problem.ps_given_x.T @ P == T, self.cut, u <= b]
            objective = c0 * objective + c1 * u
            self.parameters |= {"G": G, "a": a, "b": b, "c0": c0, "c1": c1}
        self.coupling, self.solver = P, solver
        self.problem = cp.Problem(cp.Minimize(objective), constraints)
        if not self.problem.is_dcp(dpp=True):
            raise AssertionError("the program is not DPP: every solve would compile it anew")
        # The newest of CVXPY's compilers is ten times faster on many parameters; older releases lack it.
        backend = getattr(cp.settings, "COO_CANON_BACKEND", None)
        self.options = {"solver": solver.upper()} | ({"canon_backend": backend} if backend else {})
        for parameter in self.parameters.values():
            parameter.value = np.ones(parameter.shape)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.problem.get_problem_data(**self.options)

    def set(self, **values: Any) -> None:
        """Assign parameters by name."""
        for name, value in values.items():
            self.parameters[name].value = value

    def solve(self, **settings: Any) -> None:
        """Solve with the parameters as they are."""
        self.problem.solve(**self.options, **settings)

    def answer(self) -> Answer:
        """The solver's claims after :meth:`solve`."""
        rows = self.rows.dual_value
        return Answer(
            str(self.problem.status),
            self.coupling.value,
            None if rows is None else -rows,  # CVXPY adds dual·(left − right) to the Lagrangian
            self.information.dual_value,
            0.0 if self.cut is None else self.cut.dual_value,
            getattr(self.problem.solver_stats, "num_iters", None),
        )


def _run(program: _Program, solver: str, seconds: float, *, warm: bool = False) -> Answer | None:
    """One solve. Whatever the back-end raises becomes a status."""
    settings: dict[str, Any] = dict(_SETTINGS[solver])
    if seconds < math.inf:
        settings[_TIME_LIMIT[solver]] = max(seconds, 1e-3)  # SCS takes 0 for no limit
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program.solve(warm_start=warm, **settings)
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
    formulations: ClassVar[tuple[str, ...]] = ("single-letter",)
    active_classification: ClassVar[bool] = True

    def __init__(self, solver: str = "clarabel") -> None:
        # One class under two names.
        self.name = _check.choice("solver", solver, _SETTINGS)  # type: ignore[misc]
        self._programs: dict[tuple[str, bool], _Program] = {}

    def propose(self, formulation: Formulation, limits: Limits, warm: Any = None) -> Proposal:
        """See :class:`drcopt.engines.base.Engine`."""
        return _Attempt(self, formulation, limits).proposal(warm)

    def program(self, problem: Problem, *, classification: bool) -> _Program:
        """The compiled program for ``problem``, built the first time it is asked for."""
        key = (problem.fingerprint, classification)
        if key not in self._programs:
            while len(self._programs) >= _PROGRAMS:
                del self._programs[next(iter(self._programs))]
            self._programs[key] = _Program(problem, self.name, classification=classification)
        return self._programs[key]


@dataclass(eq=False)
class _Attempt:
    """One question: what has been found so far, and what it took."""

    engine: ExpCone
    formulation: Formulation
    limits: Limits
    point: _Point | None = None
    evidence: Leaf | None = None
    bound: float = -math.inf
    least: _Point | None = None
    status: str = "no program was solved"
    stats: dict[str, Any] = field(
        default_factory=lambda: {
            "programs": 0, "solver_iterations": 0, "starts": 0, "ccp_steps": 0, "compile_seconds": 0.0
        }
    )

    def __post_init__(self) -> None:
        self.problem, self.solver = self.formulation.problem, self.engine.name
        p, self.margin = self.problem, _MARGIN[self.solver]
        self.rate = min(self.formulation.rate_budget * (1.0 - 1e-9), p.entropy_x, p.entropy_y)
        self.budget = min(self.formulation.classification_budget, p.entropy_s)

    def proposal(self, warm: Any) -> Proposal:
        """Rate only first; then, if its loss is over the budget, the two approximations."""
        free = self.solve(classification=False, R=self.rate)
        if free is None:
            free_status = f"{self.solver} returned {self.status}"
            free = self.as_point(self.problem.independent.copy(), np.zeros(self.problem.n), 0.0, 0.0)
        else:
            free_status = ""
        self.judge(free.leaf)
        if free.loss <= self.budget:
            self.point = None if free_status else free
            return self.closed(free_status or f"{self.solver} returned {self.status}", free)
        contraction = self.problem.contraction
        if contraction * self.rate < self.problem.entropy_s - self.budget:
            infeasibility = Leaf(np.zeros(self.problem.n), contraction, 0.0)
            why = "the rate budget allows less information on the class than the classification budget asks for"
            return self.closed(why, free, infeasibility)
        for tau in self.starts(free, warm):
            self.descend(tau)
            if self.limits.expired or (self.point and self.point.distortion - self.bound <= self.limits.tol):
                break
        if self.point is not None:
            why = "the convex-concave procedure converged"
            return self.closed("the time limit was reached" if self.limits.expired else why, self.point)
        why = free_status or f"no start led to a point within the classification budget; {self.solver}'s last answer " \
            f"was {self.status}"
        return self.closed("the time limit was reached" if self.limits.expired else why, free, self.least_loss_leaf())

    def closed(self, why: str, point: _Point, infeasibility: Leaf | None = None) -> Proposal:
        """The proposal; ``point`` is where multipliers and a warm start come from."""
        found = self.point is not None
        return Proposal(
            parts=[Part(1.0, self.point.P)] if self.point is not None else None,
            evidence=PosteriorTree(self.evidence or Leaf(np.zeros(self.problem.n), 0.0, 0.0)),
            termination=why,
            rate_multiplier=point.leaf.rate if found else math.nan,
            classification_multiplier=point.leaf.classification if found else math.nan,
            infeasibility=PosteriorTree(infeasibility, "classification-loss") if infeasibility else None,
            stats=self.stats,
            warm={"posterior": point.posteriors(self.problem)},
        )

    # -- programs ----------------------------------------------------------------------------------------------

    def solve(self, *, classification: bool, **parameters: Any) -> _Point | None:
        """One program, its answer cleared up; None if nothing usable came back."""
        if self.limits.expired:
            self.status = "nothing: the time limit was reached"
            return None
        started = time.monotonic()
        program = self.engine.program(self.problem, classification=classification)
        if self.stats["programs"] == 0 or "tangent_programs" not in self.stats:
            self.stats["compile_seconds"] += time.monotonic() - started
        program.set(**parameters)
        # SCS may start from this question's previous answer, never from another question's: answers would
        # depend on what was asked before.
        warm = self.solver == "scs" and classification and "tangent_programs" in self.stats
        answer = _run(program, self.solver, self.limits.remaining, warm=warm)
        self.stats["programs"] += 1
        if classification:
            self.stats["tangent_programs"] = self.stats.get("tangent_programs", 0) + 1
        if not isinstance(answer, Answer):
            self.status = "nothing"
            return None
        self.status = answer.status
        if isinstance(answer.iterations, (int, np.integer)):
            self.stats["solver_iterations"] += int(answer.iterations)
        if "infeasible" in self.status or "unbounded" in self.status:
            return None
        shape = (self.problem.n, self.problem.m)
        P = _finite(answer.coupling, shape)
        if P is None:
            return None
        f = _finite(answer.rows, shape[:1])
        alpha, beta = (_finite(value, ()) for value in (answer.rate, answer.classification))
        if f is None or alpha is None or beta is None or max(np.abs(f).max(), abs(alpha), abs(beta)) > _HUGE:
            f, alpha, beta = np.zeros(shape[0]), np.zeros(()), np.zeros(())
        cost = parameters.get("c0", 1.0) * self.problem.d
        if classification:
            cost = cost + float(beta) * (self.problem.ps_given_x @ parameters["G"])
        f, alpha = self.polished(f, cost, max(float(alpha), 0.0))
        return self.as_point(self.onto(P), f, alpha, max(float(beta), 0.0))

    def as_point(self, P: FloatArray, f: FloatArray, alpha: float, beta: float) -> _Point:
        return _Point(P, self.problem.distortion(P), self.problem.classification_loss(P), Leaf(f, alpha, beta))

    def onto(self, P: FloatArray) -> FloatArray:
        """P scaled onto the marginals, row by row so that tiny atoms keep their shape, and within the rate."""
        p = self.problem
        P = np.maximum(P, 1e-18 * p.independent)
        P = np.maximum(P, np.finfo(float).tiny)
        for _ in range(50):
            P = P * (p.px / P.sum(axis=1))[:, None]
            columns = P.sum(axis=0)
            P = P * (p.py / columns)
            if np.abs(columns - p.py).sum() < 1e-14:
                break
        spent = p.rate(P)
        if spent > self.rate:
            theta = min(1.0, 1.0 - self.rate / spent)
            P = (1.0 - theta) * P + theta * p.independent
        return P

    def polished(self, f: FloatArray, cost: FloatArray, alpha: float) -> tuple[FloatArray, float]:
        """A few Sinkhorn sweeps at fixed α: each raises the dual, most for the rows a solver cares least about."""
        if alpha < 1e-9:
            return -np.asarray((-cost + (cost - f[:, None]).min(axis=0)).max(axis=1)), 0.0
        p = self.problem
        log_px, log_py = np.log(p.px)[:, None], np.log(p.py)
        for _ in range(30):
            g = -alpha * logsumexp(log_px + (f[:, None] - cost) / alpha, axis=0)
            f = -alpha * logsumexp(log_py + (g - cost) / alpha, axis=1)
        return f, alpha

    # -- points ------------------------------------------------------------------------------------------------

    def starts(self, free: _Point, warm: Any) -> Iterator[FloatArray]:
        """Class posteriors to take the first tangent at: the rate-only point's, the last answer's, random ones."""
        problem = self.problem
        yield free.posteriors(problem)
        tau = warm.get("posterior") if isinstance(warm, dict) else None
        if tau is not None and np.shape(tau) == (problem.k, problem.m):
            yield np.asarray(tau)
        if self.point is None or self.point.distortion - self.bound > self.limits.tol:
            relaxed = self.relax()
            if relaxed is not None:
                yield relaxed.posteriors(problem)
        if problem.n * problem.m > _START_ENTRIES[self.solver]:
            return
        rng = np.random.default_rng(0)
        for _ in range(_STARTS[self.solver]):
            # Sparse pmfs on X: starts near the corners, where the optima of a reverse-convex problem lie.
            yield problem.ps_given_x.T @ rng.dirichlet(np.full(problem.n, 0.3), size=problem.m).T

    def descend(self, tau: FloatArray) -> None:
        """The convex-concave procedure from τ; keeps the point if it is the best so far."""
        self.stats["starts"] += 1
        last = self.step(tau)
        if last is None or last.loss > self.budget:
            reached = self.reach(tau)
            last = None if reached is None else self.step(reached)
        for _ in range(_STEPS):
            if last is None or last.loss > self.budget or self.limits.expired:
                break
            point = self.step(last.posteriors(self.problem))
            if point is None or point.loss > self.budget or point.distortion >= last.distortion:
                break
            drop, last = last.distortion - point.distortion, point
            if drop < _PROGRESS:
                break
            # Steps shrink; one that would have to grow twentyfold to matter is not worth following.
            if self.point is not None and point.distortion - 20.0 * drop > self.point.distortion:
                break
        if last is None or last.loss > self.budget:
            return
        if self.point is None or last.distortion < self.point.distortion:
            self.point = last
            self.judge(last.leaf)

    def step(self, tau: FloatArray) -> _Point | None:
        """min ⟨d, P⟩ under the tangent of H(S|Y) at τ, aimed lower if clearing up the answer broke the budget."""
        point = None
        for _ in range(3):
            self.stats["ccp_steps"] += 1
            point = self.solve(
                classification=True, R=self.rate, G=self.tangent(tau), a=0.0, b=self.budget - self.margin, c0=1.0, c1=0.0
            )
            if point is None or point.loss <= self.budget:
                break
            self.margin += 2.0 * (point.loss - self.budget)
        return point

    def reach(self, tau: FloatArray) -> FloatArray | None:
        """Lower H(S|Y) from τ by tangent steps until it meets the budget; None if it stops short of it."""
        last = math.inf
        for _ in range(_STEPS):
            G = self.tangent(tau)
            point = self.solve(classification=True, R=self.rate, G=G, a=0.0, b=float(G.max()) + 1.0, c0=0.0, c1=1.0)
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
        last = None
        tau = np.repeat(self.problem.ps[:, None], self.problem.m, axis=1)
        for _ in range(_STEPS):
            point = self.solve(
                classification=True, R=self.rate, G=self.tangent(tau), a=share, b=share * self.rate + self.budget,
                c0=1.0, c1=0.0,
            )
            if point is None:
                break
            drop = math.inf if last is None else last.distortion - point.distortion
            last, tau = point, point.posteriors(self.problem)
            if drop < _PROGRESS:
                break
        if last is not None:
            self.judge(last.leaf)
        return last

    def judge(self, leaf: Leaf) -> None:
        """Keep the multipliers that give the best bound: these, the best so far, or a mixture of the two."""
        self.evidence, self.bound = self.best_leaf((leaf, self.evidence), "distortion")

    def least_loss_leaf(self) -> Leaf:
        """Multipliers for a lower bound on H(S|Y): of the least found, of η I(X;Y) + H(S|Y) ≥ H(S), or between."""
        data_processing = Leaf(np.zeros(self.problem.n), self.problem.contraction, 0.0)
        leaf, _ = self.best_leaf((self.least.leaf if self.least else None, data_processing), "classification-loss")
        return leaf or data_processing

    def best_leaf(self, leaves: Iterable[Leaf | None], objective: str) -> tuple[Leaf | None, float]:
        """The best of one or two leaves and of the segment between them; the bound is concave on it."""
        known = [leaf for leaf in leaves if leaf is not None]
        box = whole_box(self.problem)

        def bound(leaf: Leaf) -> float:
            return -math.inf if self.limits.expired else leaf_bound(self.formulation, leaf, box, objective)

        bounds = [bound(leaf) for leaf in known]
        if not known:
            return None, -math.inf
        best = int(np.argmax(bounds))
        upper = self.point.distortion if self.point is not None else math.inf
        closed = objective == "distortion" and upper - bounds[best] <= self.limits.tol
        if len(known) < 2 or closed or not np.isfinite(bounds).all():
            return known[best], bounds[best]
        other, one = known

        def mixed(w: float) -> Leaf:
            return Leaf(
                (1 - w) * one.f + w * other.f,
                (1 - w) * one.rate + w * other.rate,
                (1 - w) * one.classification + w * other.classification,
            )

        found = minimize_scalar(lambda w: -bound(mixed(w)), bounds=(0.0, 1.0), method="bounded", options={"maxiter": 10})
        between = -float(found.fun)
        return (mixed(float(found.x)), between) if between > bounds[best] else (known[best], bounds[best])


def _finite(value: Any, shape: tuple[int, ...]) -> FloatArray | None:
    """``value`` as a finite float array of this shape, or None."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if array.shape != shape and array.size == math.prod(shape) == 1:
        array = array.reshape(shape)
    return array if array.shape == shape and bool(np.isfinite(array).all()) else None
