"""Rate-distortion functions: Newton's method on a free law of Y and on the slope of the curve, with an active set.

For d with least entry 0 in every row and a slope −1/β let A = exp(−βd) and w = Aq. Where the law q of Y minimises

  F(q) = −Σ_x px log w + Σ_y q  over q ≥ 0,

the coupling px q A/w has the least E d + I(X;Y)/β. With c = Aᵀ(px/w), the gradient 1 − c is 0 on the letters in use
and not below 0 elsewhere, and whatever q is, log max c − Σ q c log c is how far the coupling may be above the bound
that f = −log w proves. A step solves the quadratic model of F on q ≥ 0, whose Hessian is BᵀB, B = A √px/w, by Lawson
and Hanson's method from the letters in use, together with the linear equation that moves β to a distortion or a rate.
Blahut's and Arimoto's step q ← q c is first order in the same quantities.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs

from drcopt.bounds import Leaf, PosteriorTree
from drcopt.engines.base import Limits, Proposal
from drcopt.engines.law_path import REACH, ROUNDING, Aim, Seen, central_path, kernel_of
from drcopt.formulations import Message, Part, SingleLetter
from drcopt.questions import DISTORTION
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Rounds of Newton's method, and those that may take chances.
_ROUNDS, _HASTY = 500, 60
#: The least mass of a letter of X.
_ATOM = 1e-60
#: β beyond which the curve has ended (d in [0, 1]).
_STEEP = 1e9
#: How far inside the rate the answer stays, relative, for each letter; and inside the distortion, for each cell.
_SPARE, _UNIT = 4e-14, 2.0**-52
#: With a gap so small beside what β is off it may rise.
_SETTLED = 1e-2
#: Gradients that are no reason to take a letter in.
_FLAT = 1e-14
#: What is missing, in nats, from where the active set goes on alone; entries of d from which it is not tried first, and
#: its rounds before the central path where there are fewer.
_NEAR, _MANY, _TRIED = 1e-6, 2**14, 8
#: What rounding may take from a bound, for d in [0, 1].
_TAKEN = 2e-14
#: A quadratic model is minimised to this share of the gap.
_ROUGH = 0.1


@dataclass(frozen=True, eq=False)
class _State:
    """A law, an inverse slope β, and what they imply."""

    law: FloatArray
    beta: float
    kernel: FloatArray
    w: FloatArray
    c: FloatArray
    by_row: FloatArray
    distortion: float
    rate: float
    #: What E d + I/β is at least, in nats.
    level: float
    #: F, and how far the coupling is from optimal at this β, in nats.
    value: float
    gap: float

    @property
    def seen(self) -> Seen:
        """What an aim looks at."""
        return Seen(self.beta, self.distortion, self.rate, self.gap)

    def proved(self, aim: Aim) -> float:
        """The bound that this gives, less what rounding may take."""
        level = self.level - _TAKEN * self.beta
        if aim.distortion is not None:
            return level - self.beta * aim.distortion
        assert aim.rate is not None
        return (level - aim.rate) / self.beta


@dataclass(frozen=True, eq=False)
class _Step:
    """The law that minimises the model, and how it moves with β: its derivative is −``drift`` on ``letters``."""

    law: FloatArray
    letters: np.ndarray
    drift: FloatArray
    slope: FloatArray


class FreeLaw:
    """Solves min E d over all p(y|x) with I(X;Y) ≤ R, and its inverse; H(S|Y) is left to others."""

    def propose(self, question: SingleLetter, limits: Limits, warm: Any = None) -> Proposal:
        """See :class:`drcopt.engines.base.Engine`."""
        problem, limits_rate = question.problem, question.objective is DISTORTION
        # Of what has no mass to speak of some letter must be near all the same.
        self.px, self.rows, self.evaluations = np.maximum(problem.px, _ATOM), problem.d.min(axis=1), 0
        self.d = problem.d - self.rows[:, None]
        budget = question.distortion_budget - float(self.px @ self.rows)
        start = int((self.px @ self.d).argmin())
        alone = np.zeros(problem.m)
        alone[start] = 1.0
        if float(self.px @ self.d[:, start]) <= (0.0 if limits_rate else budget):
            leaf = self._leaf(np.zeros(problem.n), float(not limits_rate), float(limits_rate))
            return self._proposal(question, [np.outer(self.px, alone)], leaf, "one letter of Y will do", 0.0, warm)
        end = self._end(limits, warm)
        if limits_rate and question.rate_budget >= end.rate * (1.0 - 1e-12):
            leaf = self._leaf(np.zeros(problem.n), 0.0, 1.0)
            return self._proposal(question, [self._coupling(end)], leaf, "the rate budget is slack", 0.0, warm)
        s = self._start(alone, warm)
        sharp = 1e-2 * limits.tol
        if limits_rate:
            spare = _SPARE * (100 + problem.n + problem.m)
            fine = max(0.5 * spare * question.rate_budget, ROUNDING)
            s = self._reach(s, Aim(question.rate_budget * (1.0 - spare), None, sharp, fine), limits)
        else:
            for share in (problem.d.size, 0):  # what doubles can tell; closer, digits are counted where that pays
                room = share * question.distortion_budget + 4 * sum(problem.d.shape)
                margin = min(_UNIT * room, 0.5 * budget)
                s = self._reach(s, Aim(None, budget - margin, sharp, 0.5 * margin), limits)
                if s.beta * margin <= 0.1 * limits.tol:
                    break
        couplings, best = [self._coupling(s), self._coupling(end)], self.best  # near the end its own will do
        if limits_rate:
            leaf = self._leaf(-np.log(best.w) / best.beta, 1.0 / best.beta, 1.0)
        else:
            leaf = self._leaf(-np.log(best.w), 1.0, best.beta)
        late = "the time limit was reached" if limits.expired or clock.expired() else "Newton's method converged"
        multiplier = 1.0 / s.beta if limits_rate else s.beta
        warm = {"law": s.law, "end": end.law, "beta": np.array([s.beta])}
        return self._proposal(question, couplings, leaf, late, multiplier, warm)

    def penalised(self, px: FloatArray, cost: FloatArray, alpha: float, law: FloatArray) -> FloatArray:
        """The coupling of least ⟨cost, P⟩ + αI(X;Y), α > 0, over all laws of Y, from one of them."""
        self.px, self.rows, self.evaluations = np.maximum(px, _ATOM), cost.min(axis=1), 0
        self.d = cost - self.rows[:, None]
        s = self._evaluate(law / law.sum(), 1.0 / alpha)
        for _ in range(_ROUNDS):
            if s.gap <= ROUNDING or clock.expired():
                break
            trial = self._descended(s, self._step(s))
            if trial is None or (s.gap < 1e-9 and trial.gap > 0.5 * s.gap):
                break
            s = trial
        return self._coupling(s)

    def _proposal(
        self,
        question: SingleLetter,
        couplings: list[FloatArray],
        leaf: Leaf,
        termination: str,
        multiplier: float,
        warm: Any,
    ) -> Proposal:
        """With the first coupling that meets the distortion, or the last."""
        problem = question.problem
        met = [P for P in couplings if problem.distortion(P) <= question.distortion_budget] or couplings[-1:]
        letters = np.arange(problem.m) if isinstance(question, Message) else None
        nothing = PosteriorTree(Leaf(np.zeros(problem.n), 1.0, 0.0, 0.0))  # I ≥ 0
        limits_rate = question.objective is DISTORTION
        return Proposal(
            parts=[Part(1.0, met[0], letters=letters)],
            evidence=(PosteriorTree(leaf), nothing),
            termination=termination,
            distortion_multiplier=1.0 if limits_rate else multiplier,
            rate_multiplier=multiplier if limits_rate else 1.0,
            classification_multiplier=0.0,
            stats={"kernel_evaluations": self.evaluations},
            warm=warm,
        )

    def _coupling(self, s: _State) -> FloatArray:
        return np.asarray(s.kernel * (self.px / s.w)[:, None] * s.law)

    def _leaf(self, f: FloatArray, rate: float, distortion: float) -> Leaf:
        """Multipliers for d as it was."""
        return Leaf(f + distortion * self.rows, rate, 0.0, distortion)

    # -- points on the curve -----------------------------------------------------------------------------------

    def _start(self, alone: FloatArray, warm: Any) -> _State:
        """The last point, or one letter at a small β."""
        if _fits(warm, len(alone)):
            law, beta = np.asarray(warm["law"]), float(warm["beta"][0])
            if 0.0 < beta < _STEEP and math.isfinite((s := self._evaluate(law, beta)).value):
                return s
        return self._evaluate(alone, 1.0)

    def _end(self, limits: Limits, warm: Any) -> _State:
        """The coupling of least rate among those of least distortion, β = ∞."""
        kernel = (self.d == 0.0).astype(np.float64)
        law = np.bincount(self.d.argmin(axis=1), self.px, self.d.shape[1])
        if _fits(warm, len(law)):
            law = np.asarray(warm["end"])
        s = self._evaluate(law / law.sum(), math.inf, kernel)
        for _ in range(_ROUNDS):
            if s.gap <= ROUNDING or limits.expired or clock.expired():
                break
            trial = self._descended(s, self._step(s))
            if trial is None or (s.gap < 1e-9 and trial.gap > 0.5 * s.gap):
                break
            s = trial
        return s

    def _reach(self, s: _State, aim: Aim, limits: Limits) -> _State:
        """The point of the curve that meets the aim."""
        low: _State | None = None
        high: _State | None = None
        self.best, least, coarse = s, math.inf, 0.0
        turn = 0 if self.d.size >= _MANY else _TRIED
        for done in range(_ROUNDS):
            if done == turn and aim.merit(s.seen) > _NEAR:
                law, beta, steps = central_path(
                    self.px, self.d, s.law, s.beta, aim, lambda: limits.expired or clock.expired()
                )
                self.evaluations += steps
                s = min(s, self._evaluate(law, beta), key=lambda one: aim.merit(one.seen))
            self.best = max(s, self.best, key=lambda one: one.proved(aim))
            off, tol = aim.off(s.seen), max(aim.tol(s.beta), coarse)
            if (s.gap <= tol and abs(off) <= aim.fine) or limits.expired or clock.expired():
                break
            step, careful = self._step(s), done > _HASTY
            if s.gap <= 0.1:
                merit, trial = aim.merit(s.seen), self._joint(s, step, aim, low, high)
                least = min(least, merit) if careful else merit  # what goes round in circles must not go on
                if trial is not None and aim.merit(trial.seen) <= 0.7 * least:
                    s = trial
                    continue
                settled, rising = s.gap <= tol, off > 0 and high is None and not careful
                if settled:  # at this β there is nothing left to do
                    low, high = (s, high) if off > 0 else (low, s)
                    if low is not None and high is not None and high.beta - low.beta <= 1e-12 * high.beta:
                        return self._between(low, high, aim)
                if settled or (rising and s.gap <= _SETTLED * s.beta * aim.miss(s.seen)):
                    if s.beta > _STEEP:
                        break
                    s = self._moved(s, None if careful else trial, low, high)
                    continue
            found = self._descended(s, step)
            if found is None or (found.gap > 0.5 * s.gap and s.value - found.value <= 1e-15):
                coarse = max(tol, 1.01 * s.gap)  # rounding, where letters are all but alike
                if coarse > 1e-6:
                    break
                continue
            s = found
        return s

    def _joint(self, s: _State, step: _Step, aim: Aim, low: _State | None, high: _State | None) -> _State | None:
        """Newton's step in law and β, on what has weight there."""
        d, A = self.d[:, step.letters], s.kernel[:, step.letters]
        used = s.law[step.letters]
        rest = d - s.by_row[:, None]
        spread = float((self.px / s.w) @ ((A * rest * rest) @ used))
        curvature = spread + float(step.slope @ step.drift)
        change = (step.law - s.law)[step.letters]
        if not curvature > 0.0:
            return None
        move = (aim.miss(s.seen) + float(step.slope @ change)) / curvature
        beta = s.beta * math.exp(min(max(math.log1p(max(move / s.beta, -0.9)), -REACH), REACH))
        if (low is not None and beta <= low.beta) or (high is not None and beta >= high.beta):
            return None
        law = np.zeros_like(s.law)
        law[step.letters] = np.maximum(step.law[step.letters] - step.drift * (beta - s.beta), 0.0)
        if not law.sum() > 0:
            return None
        trial = self._evaluate(law, beta)
        return trial if math.isfinite(trial.value) else None

    def _moved(self, s: _State, trial: _State | None, low: _State | None, high: _State | None) -> _State:
        """Another β to look at: the step's if it leads anywhere, else between what is known."""
        if low is not None and high is not None:
            beta = math.sqrt(low.beta * high.beta)
            near = trial is not None and low.beta < trial.beta < high.beta
            narrow = high.beta <= low.beta * 1.01
            if near and not narrow and trial is not None:
                return trial
            return self._evaluate(0.5 * (low.law + high.law), beta)
        if trial is not None and abs(math.log(trial.beta / s.beta)) > 1e-3:
            return min(trial, self._evaluate(s.law, trial.beta), key=lambda one: one.gap)
        return self._evaluate(s.law, s.beta * (4.0 if low is s else 0.25))

    def _between(self, low: _State, high: _State, aim: Aim) -> _State:
        """On a straight part of the curve β says nothing: mixtures of the laws at its ends lie on it."""
        a, b = 0.0, 1.0
        best = high
        for _ in range(60):
            share = 0.5 * (a + b)
            best = self._evaluate((1.0 - share) * low.law + share * high.law, high.beta)
            if aim.miss(best.seen) > 0:
                a = share
            else:
                b = share
        return best

    # -- steps -------------------------------------------------------------------------------------------------

    def _evaluate(self, law: FloatArray, beta: float, kernel: FloatArray | None = None) -> _State:
        px = self.px
        self.evaluations += kernel is None
        if kernel is None:
            kernel = kernel_of(self.d, beta)
        some = np.flatnonzero(law)
        q, A = law[some], kernel[:, some]
        w = A @ q
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            r = px / w
            c = r @ kernel
            A *= self.d[:, some]
            by_row = (A @ q) / w
            distortion, log_w = float(px @ by_row), float(px @ np.log(w))
            used = q * c[some]
            slack = float(used @ np.log(c[some]))
            most = math.log(float(c.max())) if np.isfinite(c).all() else math.inf
        rate = -log_w - slack - (beta * distortion if distortion > 0 else 0.0)
        value = float(q.sum()) - 1.0 - log_w
        level, gap = -log_w - most, max(most - slack, 0.0)
        return _State(law, beta, kernel, w, c, by_row, distortion, max(rate, 0.0), level, value, gap)

    def _step(self, s: _State) -> _Step:
        """The quadratic model minimised over laws: least squares with nonnegative unknowns."""
        root = np.sqrt(self.px)
        B = s.kernel * (root / s.w)[:, None]
        law, letters, factor = _least_squares(B, 2.0 * (root @ B) - 1.0, s.law, max(_FLAT, _ROUGH * s.gap))
        rest = self.d[:, letters] - s.by_row[:, None]
        slope = np.asarray((self.px / s.w) @ (s.kernel[:, letters] * rest))
        return _Step(law, letters, np.asarray(dpotrs(factor, slope, lower=1)[0]), slope)

    def _descended(self, s: _State, step: _Step) -> _State | None:
        """Along the step as far as F falls enough; None if it does not."""
        change = step.law - s.law
        slope, length = float((1.0 - s.c) @ change), 1.0
        for _ in range(40):
            trial = self._evaluate(s.law + length * change, s.beta, s.kernel)
            enough = s.value + 1e-4 * length * slope
            if trial.value <= enough or (trial.value <= s.value + 1e-15 and trial.gap < 0.5 * s.gap):
                return trial
            length *= 0.5
        return None


def _fits(warm: Any, letters: int) -> bool:
    """Whether it is this engine's, of a problem of this size."""
    return isinstance(warm, dict) and {"law", "end", "beta"} <= set(warm) and warm["end"].shape == (letters,)


def _least_squares(
    B: FloatArray, linear: FloatArray, start: FloatArray, flat: float
) -> tuple[FloatArray, np.ndarray, FloatArray]:
    """min ½ zᵀBᵀBz − ⟨linear, z⟩ over z ≥ 0 by Lawson and Hanson: z, its letters, and the factor of BᵀB on them."""
    m, z = len(start), start.copy()
    letters = np.flatnonzero(z > 0)
    gram = np.zeros((m, m))
    gram[np.ix_(letters, letters)] = B[:, letters].T @ B[:, letters]
    shift = 1e-13 * float(np.einsum("xy,xy->y", B, B).max())
    barred: set[int] = set()
    taken = -1
    for _ in range(3 * m + 10):
        while len(letters):
            here = gram[np.ix_(letters, letters)]
            residual = linear[letters] - here @ z[letters]
            for more in (1.0, 1e2, 1e4, 1e6):
                H = here.copy()
                H.flat[:: len(letters) + 1] += more * shift
                factor, failed = dpotrf(H, lower=1)
                if not failed:
                    break
            new = z[letters] + dpotrs(factor, residual, lower=1)[0]
            if new.min() > 0.0:
                z[letters] = new
                break
            old = z[letters]
            falling = new <= 0.0
            reach = float((old[falling] / np.maximum(old[falling] - new[falling], 1e-300)).min())
            moved = old + reach * (new - old)
            out = falling & (moved <= 1e-15 * moved.max())
            if not out.any():
                out = falling & (moved <= moved[falling].min())
            if taken >= 0 and out[-1] and letters[-1] == taken:
                barred.add(taken)
            moved[out] = 0.0
            z[letters] = np.maximum(moved, 0.0)
            letters = letters[~out]
        gradient = linear - B.T @ (B[:, letters] @ z[letters])
        gradient[letters] = 0.0
        gradient[list(barred)] = 0.0
        taken = int(gradient.argmax())
        if gradient[taken] <= flat:
            break
        letters = np.append(letters, taken)
        gram[letters, taken] = gram[taken, letters] = B[:, letters].T @ B[:, taken]
    return z, letters, factor
