"""The engine for several classes: branch and bound on the posteriors of all of them, a weight in the bound for each.

Points come from the convex-concave procedure: a tangent of every H(S_j|Y), which lies above it, makes a convex program
with a linear budget for each class. What a tangent exceeds its budget by costs so much that steps lead within it.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from drcopt.bounds import PosteriorTree
from drcopt.coupling import round_along_support
from drcopt.engines.base import Limits, Proposal
from drcopt.engines.lagrangian import Lagrangian
from drcopt.engines.law_points import admissible, wide
from drcopt.engines.law_programs import FEW, Program
from drcopt.engines.search import Search
from drcopt.formulations import Part, Several
from drcopt.problem import Problem
from drcopt.questions import DISTORTION, RATE
from drcopt.questions.output import Near
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: The least weight of a class that could bind: boxes confine only those that have one (d in [0, 1], nats).
_LEAST = 1e-7
#: How far inside their limits points are to lie, first and if that was not enough.
_MARGINS = (1e-9, 1e-7)
#: What exceeding a budget by a nat costs, at first and at most; steps of one descent.
_DEAR, _DEAREST, _STEPS = 10.0, 1e4, 60
#: Random couplings to start from, and descents that nodes may ask for, besides one for every so many of them.
_STARTS, _FROM_NODES, _EVERY = 6, 12, 4
#: Masses that a solver leaves where none belongs: at the least loss of all only couplings without them will do.
_NOISE = 1e-6
#: Tangents stay off the faces by this.
_INSET = 1e-14
_SHARP: dict[str, float] = {"tol_feas": 1e-11, "tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11}
#: A bound so far above what any point has proves that there is none.
_PAST = 1e-7


class SeveralClasses:
    """``judge`` says by how much a point, moved onto the marginals, may exceed a budget (None: by too much to be one),
    and keeps the best."""

    name: ClassVar[str] = "several"

    def __init__(self, question: Several, limits: Limits, judge: Callable[[Part], float | None]) -> None:
        self.question, self.limits, self.judge = question, limits, judge
        self.upper = math.inf
        self.descents = 0
        self._search: Search | None = None
        self._tried: list[FloatArray] = []
        self._program: Any = None

    def propose(self, starts: Sequence[FloatArray], z: FloatArray) -> Proposal:
        """From these couplings, and multipliers (f, w, α, β…)."""
        question = self.question
        problem, place = question.problem, question.objective.place
        lagrangian = Lagrangian.of(question)
        ranges = [
            (_LEAST, high) if i > RATE.place and high > 0.0 else (low, high)
            for i, (low, high) in enumerate(lagrangian.ranges)
        ]
        above = question.most[place] * (1.0 + _PAST) + _PAST
        search = Search(replace(lagrangian, ranges=tuple(ranges)), self.limits, self.improve, math.inf, above)
        self._search = search
        for P in starts:
            self._descend(P)
        search.run(z)
        root = search.multipliers[problem.n :]
        return Proposal(
            None,
            (PosteriorTree(search.tree()),),
            search.termination,
            float(root[0]),
            float(root[1]),
            root[2:].copy(),
            stats={"nodes": search.nodes, "pricings": search.priced, "descents": self.descents},
        )

    def improve(self, P: FloatArray, z: FloatArray, force: bool) -> None:
        """Descend from a node's suggestion, unless one like it was tried."""
        search, problem = self._search, self.question.problem
        if search is not None and search.lower >= search.stop_above:
            return  # there is none
        nodes = 0 if search is None else search.nodes
        if not self._tried:  # now that the root has not settled it
            rng = np.random.default_rng(0)
            for _ in range(_STARTS):
                self._descend(rng.dirichlet(np.full(problem.m, 0.5), problem.n) * problem.px[:, None])
        alike = any(np.abs(P - other).sum() < 1e-3 for other in self._tried)
        if (alike and not force) or len(self._tried) > _FROM_NODES + nodes // _EVERY:
            return
        self._tried.append(P)
        self._descend(P)

    def _descend(self, P: FloatArray) -> None:
        """The convex-concave procedure from P; what it ends at is kept if the judge takes it."""
        self.descents += 1
        if self.question.laws is not None:
            self._descend_in_law(P)
            return
        for margin in _MARGINS:
            found = self._concave(P, margin)
            if found is None:
                break
            P = found
            if self._kept(P):
                return
        bare = round_along_support(np.where(P < _NOISE, 0.0, P), self.question.problem.px, self.question.problem.py)
        if bare is not None:
            self._kept(bare, near=True)

    def _descend_in_law(self, P: FloatArray) -> None:
        """Quadratic programs in a row, the law of Y among the unknowns; else the procedure with the law of P."""
        question, problem = self.question, self.question.problem
        if problem.d.size <= FEW:
            found = Program(question).run(P, self.limits)
            if found is not None and self._within(found) and self._kept(found):
                return
            P = P if found is None else found
        law = admissible(question, P.sum(axis=0))
        some = law > 0
        fixed = Problem(problem.px, law[some], problem.channels, problem.d[:, some])
        engine = SeveralClasses(
            replace(question, problem=fixed, laws=None),
            self.limits,
            lambda part: self.judge(replace(part, coupling=wide(part.coupling, some))),
        )
        engine._descend(P[:, some])
        self._worth(engine.upper)

    def _within(self, P: FloatArray) -> bool:
        """Whether limits are met but for what the judge moves at no cost to speak of."""
        question = self.question
        spent = zip(question.values([Part(1.0, P)]), question.budgets, strict=True)
        near = not isinstance(question.laws, Near) or question.laws.divergence(P.sum(axis=0)) <= question.laws.budget
        return near and all(value <= limit for value, limit in spent)

    def _kept(self, P: FloatArray, near: bool = False) -> bool:
        """Whether the judge takes it (``near``: or all but rounding); if so, the search knows what it is worth."""
        excess = self.judge(Part(1.0, P))
        if excess is None or (excess > 0.0 and not near):
            return False
        self._worth(self.question.values([Part(1.0, P)])[self.question.objective.place])
        return True

    def _worth(self, value: float) -> None:
        """There is a point of this value."""
        self.upper = min(self.upper, value)
        if self._search is not None:
            self._search.upper = min(self._search.upper, value)

    def _concave(self, P: FloatArray, margin: float) -> FloatArray | None:
        dear, last, found = _DEAR, math.inf, None
        for _ in range(_STEPS):
            if self.limits.expired or clock.expired():
                break
            answer = self._step(P, margin, dear)
            if answer is None:
                break
            P, value, over = answer
            found = P if over <= 0.1 * margin else None
            if last - value <= 0.02 * self.limits.tol:
                if found is not None or dear >= _DEAREST:
                    break
                dear, last = 10.0 * dear, math.inf
                continue
            last = value
        return found

    def _step(self, P: FloatArray, margin: float, dear: float) -> tuple[FloatArray, float, float] | None:
        """The convex program with tangents at P: coupling, its value with what excess costs, and the excess."""
        cp = importlib.import_module("cvxpy")
        question, problem = self.question, self.question.problem
        if self._program is None:
            self._program = self._built(cp)
        program, X, over, tangents, margins, price = self._program
        for tangent, W in zip(tangents, question.classes.values(), strict=True):
            T = W.T @ P
            tau = (1 - _INSET) * T / np.maximum(T.sum(axis=0), 1e-300) + _INSET * (problem.px @ W)[:, None]
            tangent.value = -W @ np.log(np.maximum(tau, 1e-300))
        margins.value, price.value = margin, dear
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                program.solve(solver="CLARABEL", **_SHARP)
            except (cp.SolverError, ArithmeticError, ValueError):
                return None
        if program.status not in ("optimal", "optimal_inaccurate") or X.value is None:
            return None
        excess = float(np.maximum(over.value, 0.0).sum())
        return np.maximum(np.asarray(X.value, dtype=np.float64), 0.0), float(program.value), excess

    def _built(self, cp: Any) -> tuple[Any, ...]:
        question, problem = self.question, self.question.problem
        n, m, J = problem.n, problem.m, len(question.classes)
        X, over = cp.Variable((n, m), nonneg=True), cp.Variable(J, nonneg=True)
        tangents = [cp.Parameter((n, m)) for _ in range(J)]
        margin, price = cp.Parameter(nonneg=True), cp.Parameter(nonneg=True)
        distortion, rate = cp.sum(cp.multiply(problem.d, X)), cp.sum(cp.rel_entr(X, problem.independent))
        limits = [cp.sum(X, axis=1) == problem.px, cp.sum(X, axis=0) == problem.py]
        budgets, most = question.budgets, question.most
        for q, form in ((DISTORTION, distortion), (RATE, rate)):
            if budgets[q.place] < most[q.place] * (1.0 - _MARGINS[0]):
                limits.append(form <= budgets[q.place] * (1.0 - 1e-3 * margin) - margin * min(1.0, budgets[q.place]))
        losses = [cp.sum(cp.multiply(tangent, X)) for tangent in tangents]
        for j, loss in enumerate(losses):
            if budgets[2 + j] < most[2 + j]:
                limits.append(loss <= budgets[2 + j] - margin + over[j])
        form = (distortion, rate, *losses)[question.objective.place]
        return cp.Problem(cp.Minimize(form + price * cp.sum(over)), limits), X, over, tangents, margin, price
