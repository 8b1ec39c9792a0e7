"""Points where Y has no given law: local optima from many starts, and the best of what comes of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from drcopt.engines.base import Limits
from drcopt.engines.inverse_points import InversePoints
from drcopt.engines.law_cones import LawCones
from drcopt.engines.law_descent import LawDescent
from drcopt.engines.law_programs import FEW, Here, Program, all_over
from drcopt.engines.points import Points
from drcopt.engines.search import Search
from drcopt.formulations import Part, Question, SingleLetter
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, QUANTITIES
from drcopt.questions.output import Near
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Mass that an interior-point method gives to a letter or an atom without any.
_NOISE = 1e-9
#: Starts before anything is proved, where the root leaves a gap, and one for so many nodes later; and the
#: share of the time that they may take.
_FIRST, _MORE, _SELDOM, _SHARE = 5, 12, 8, 0.3
#: How far inside the limit on H(S|Y) points of a given law aim, in nats.
_WITHIN = 1e-13
#: What C may have beyond H(S|X) and count as equal to it, in nats; the weight of the loss there.
_EDGE, _LARGE = 1e-12, 1e2
#: Ways to give letters of Y kinds of letters of X that are looked through, and how far inside a ball points then aim.
_MOST_WAYS, _ROOM = 50_000, 1e-7
#: What counts as mass where multipliers are read off a coupling, and how near a limit binds, relative.
_MASS, _SLACK = 1e-7, 1e-5


def admissible(question: Question, law: FloatArray) -> FloatArray:
    """A law of the set, without what is noise."""
    law = np.where(law > _NOISE * law.max(), law, 0.0)
    law = law / law.sum()
    return question.laws.inside(law) if isinstance(question.laws, Near) else law


def wide(P: FloatArray, some: np.ndarray) -> FloatArray:
    """A coupling on some of the letters as one on all of them."""
    full = np.zeros((len(P), len(some)))
    full[:, some] = P
    return full


def kinds(W: FloatArray) -> FloatArray:
    """Which letters of X have equal rows of W, a column of ones and zeros for each kind, shape (n, kinds)."""
    same = np.abs(W[:, None] - W[None]).max(axis=2) <= _EDGE
    return np.asarray(np.unique(same, axis=0).T, dtype=np.float64)


def apart(kinds: FloatArray, P: FloatArray) -> FloatArray | None:
    """Cells that leave every letter of Y one kind of letters of X, that which sends it most, and no kind out.

    None where there are more kinds than letters.
    """
    shares = kinds.T @ P
    if len(shares) > P.shape[1]:
        return None
    of = shares.argmax(axis=0)
    for kind in range(len(shares)):
        if not (of == kind).any():
            spare = np.flatnonzero(np.bincount(of, minlength=len(shares))[of] > 1)
            of[spare[shares[kind, spare].argmax()]] = kind
    return np.asarray(kinds[:, of])


class LawPoints:
    """The best coupling within a question's limits that was met, whatever its law of Y."""

    def __init__(self, question: SingleLetter, limits: Limits) -> None:
        self.question, self.limits = question, limits
        self.best: FloatArray | None = None
        self.value = math.inf
        self.descents = 0
        self.search: Search | None = None
        self._tried: list[FloatArray] = []
        self._program: Program | LawDescent | None = None
        if question.problem.d.size <= FEW:
            self._program = Program(question)
        elif question.problem.classes is None:
            self._program = LawDescent(question)
        self._starts, self._explored = all_over(question.problem), 0
        self._begun, self._exploring = clock.now(), 0.0
        problem = question.problem
        self._kinds = None
        if question.classification_budget <= problem.entropy_s_given_x + _EDGE:
            self._kinds = kinds(problem.ps_given_x)

    def explore(self, starts: int = _FIRST) -> None:
        """From so many more couplings from all over."""
        if self._kinds is not None and self._explored == 0:
            self._assigned()
        for _ in range(starts):
            started = clock.now()
            if self._program is None or self.limits.expired or clock.expired():
                return
            if math.isfinite(end := self.limits.deadline) and self._exploring > _SHARE * (end - self._begun):
                return
            self._explored += 1
            self._local(next(self._starts))
            self._exploring += clock.now() - started
            if isinstance(self._program, LawDescent) and self._explored > 1 and self.best is None:
                return  # such descents cost more, and where two find nothing there may be nothing

    def _assigned(self) -> None:
        """Where C is H(S|X) and no rate is limited: every way to give each letter of Y one kind of letters of X.

        The nearest law with those shares of mass is proportional to the target in each kind, so that few ways are left;
        of those the one of least E d comes first, and ends it once no other may do better.
        """
        question, problem, kinds = self.question, self.question.problem, self._kinds
        assert kinds is not None
        count, m, laws = kinds.shape[1], problem.m, question.laws
        if count**m > _MOST_WAYS or question.objective is not DISTORTION or question.rate_budget < question.most[1]:
            return
        ways = np.indices((count,) * m).reshape(m, -1).T
        ways = ways[(np.sort(ways, axis=1)[:, :, None] == np.arange(count)).any(axis=1).all(axis=1)]
        mass = problem.px @ kinds
        if isinstance(laws, Near) and laws.kind != "wasserstein":
            shares = (laws.target[:, None] * (ways[:, :, None] == np.arange(count))).sum(axis=1)
            balls = [replace(laws, target=share) for share in shares]
            ways = ways[[ball.divergence(mass) <= ball.budget for ball in balls]]
        least = [problem.px @ np.where(kinds[:, way] > 0, problem.d, math.inf).min(axis=1) for way in ways]
        budget = laws.budget * (1.0 - _ROOM) if isinstance(laws, Near) else math.inf
        assert laws is not None
        for i in np.argsort(least, kind="stable"):
            if least[i] >= self.value or self.limits.expired or clock.expired():
                return
            cells = kinds[:, ways[i]] > 0
            found = LawCones(problem.px, m, laws, budget, cells).solve(problem.d, [], [])
            self.descents += 1
            if found is not None and (found * cells).sum(axis=1).all():
                Q = found * cells
                self._kept(Q * (problem.px / Q.sum(axis=1))[:, None])

    def improve(self, P: FloatArray, z: FloatArray, force: bool) -> None:
        """From a node's suggestion unless one like it was tried; from all over where a gap stays open."""
        nodes = 0 if self.search is None else self.search.nodes
        if nodes > 1 and self._explored < _FIRST + _MORE + nodes // _SELDOM:
            self.explore(_MORE if self._explored <= _FIRST else 1)
        if self._kinds is not None:
            self._apart(P)
            return
        tau = self.question.problem.ps_given_x.T @ P
        if not force and any(np.abs(tau - other).sum() < 1e-4 for other in self._tried):
            return
        self._tried.append(tau)
        if not self._local(P) or isinstance(self._program, LawDescent):
            self._polish(P, z)

    def multipliers(self) -> FloatArray:
        """z = (f, w, α, β) with w d + α log(P/px q) + β ℓ = f + g where the best point has mass, by least squares."""
        question, problem = self.question, self.question.problem
        if self.best is None:
            return np.concatenate([problem.d.min(axis=1), [1.0, 0.3, 0.1]])
        x, y = np.nonzero(self.best > _MASS)
        place, here = question.objective.place, Here.of(problem, self.best.ravel(), self.best.size)
        forms = [here.slope(q.place).reshape(self.best.shape)[x, y] for q in QUANTITIES]
        spent = question.values([Part(1.0, self.best)])
        limits = zip(spent, question.budgets, question.most, strict=True)
        binding = [i for i, (v, b, most) in enumerate(limits) if b < most and v >= b * (1.0 - _SLACK) - 1e-9]
        given, held = forms[place], 0.0
        if self._kinds is not None:  # C has no multiplier, but any that is large enough
            held = _LARGE
            given, binding = given + held * forms[-1], [i for i in binding if i != CLASSIFICATION_LOSS.place]
        letters = (
            [np.eye(problem.m)[y]] if isinstance(question.laws, Near) else []
        )  # of a free law all are worth the same
        while True:
            free = [np.eye(problem.n)[x], *(-forms[i][:, None] for i in binding), *letters]
            answer = np.linalg.lstsq(np.hstack(free), given, rcond=None)[0]
            weights = answer[problem.n : problem.n + len(binding)]
            if not binding or weights.min() >= 0.0:
                break
            binding.pop(int(weights.argmin()))
        z = np.concatenate([answer[: problem.n], np.zeros(2), [held]])
        z[problem.n + place] = 1.0
        z[[problem.n + i for i in binding]] = weights
        return z

    def _local(self, P: FloatArray) -> bool:
        """Whether a sequential quadratic program from P ends within the limits, or near enough to be brought there."""
        if self._kinds is not None:
            return self._apart(P)
        Q = None if self._program is None else self._program.run(P, self.limits)
        if Q is None:
            return False
        self.descents += 1
        if self._kept(Q):
            if isinstance(self._program, LawDescent) and self.best is Q:
                self._polish(Q, self.multipliers())
            return True
        place = self.question.objective.place
        if self.question.values([Part(1.0, Q)])[place] >= self.value:
            return False
        self._polish(Q, self.multipliers())
        return True

    def _apart(self, P: FloatArray) -> bool:
        """The same where C is H(S|X): a letter of Y takes letters of X of one kind, whichever sends it most."""
        assert self._kinds is not None
        if self._program is None or (cells := apart(self._kinds, P)) is None:
            return True
        if any(np.array_equal(cells, other) for other in self._tried):
            return True
        self._tried.append(cells)
        self.descents += 1
        problem, free = self.question.problem, replace(self.question, classification_budget=math.inf)
        # Of least rate, which may be all that there is: one letter for each kind.
        cost = self._kinds.T @ (problem.px[:, None] * problem.d)
        cost[(self._kinds.T @ cells) == 0.0] = math.inf
        self._kept((self._kinds @ (np.arange(problem.m) == cost.argmin(axis=1)[:, None])) * problem.px[:, None])
        start = P * cells + 1e-3 * cells
        Q = Program(free, cells).run(start * (problem.px / start.sum(axis=1))[:, None], self.limits)
        if Q is not None:
            self._kept(Q)
        return True

    def _kept(self, P: FloatArray) -> bool:
        """Whether P meets the limits as it is; it is kept if it is better."""
        question = self.question
        spent = question.values([Part(1.0, P)])
        room = _WITHIN if self._kinds is None else -_EDGE
        if any(v > b - room for v, b in zip(spent, question.budgets, strict=True)):
            return False
        law = P.sum(axis=0)
        if isinstance(question.laws, Near) and question.laws.share(law) > 0.0:
            return False
        self.keep(P)
        return True

    def keep(self, P: FloatArray) -> None:
        """Take P, which is as near its limits as it will be, for the best point if its value is less."""
        value = self.question.values([Part(1.0, P)])[self.question.objective.place]
        if value < self.value:
            self.best, self.value = P, value
            if self.search is not None:
                self.search.upper = value

    def _polish(self, P: FloatArray, z: FloatArray) -> None:
        """Descents from P with its law of Y, or one near it that is admissible."""
        question, law = self.question, P.sum(axis=0)
        if not law.sum() > 0:
            return
        self.descents += 1
        law = admissible(question, law)
        fixed, some = question.at(law), law > 0
        if fixed.problem.m == 1:
            found: FloatArray | None = fixed.problem.independent
            if question.classification_budget < fixed.problem.entropy_s:
                return
        else:
            within = replace(fixed, classification_budget=fixed.classification_budget - _WITHIN)
            found = _polished(within, P[:, some], z, self.limits)
            if found is None and self.best is None:
                found = _polished(fixed, P[:, some], z, self.limits)
        if found is not None:
            self.keep(wide(found, some))


def _polished(fixed: SingleLetter, P: FloatArray, z: FloatArray, limits: Limits) -> FloatArray | None:
    """A coupling within the limits near P, with its law of Y; None if none is found."""
    if fixed.objective is DISTORTION:
        points = Points(fixed, limits)
        points.try_from(P, z)
        return None if points.best is None else points.best.P
    inverse = InversePoints(fixed, limits)
    inverse.try_from(P)
    return None if inverse.best is None else inverse.best.P
