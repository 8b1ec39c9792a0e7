"""The least classification loss of many letters and classes: multipliers of the information bottleneck, and one proof.

Where E d has no limit that binds, every letter y asks for the same least of −⟨f, p⟩ + α D(p‖px) + H(Wᵀp), and
the dual bound ⟨f, px⟩ + (that least) − αR is best where f is what the bottleneck min α I(X;Y) + H(S|Y) with a free law
of Y says: with p(y|x) ∝ q(y) exp(Σ_s W(x, s) log p(s|y) / α) and Z(x) the sum of that over y, f(x) = −α log Z(x), and
the least is 0. With many classes a search over boxes of posteriors, letter by letter, raises the bound by nothing to
speak of; one pricing with many cells does.

The iteration is that of Tishby, Pereira and Bialek, "The information bottleneck method" (1999). It may end in a local
optimum, which costs the bound something and never makes it false: it is priced again before anything is claimed.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import logsumexp, xlogy

from drcopt.bounds import Leaf
from drcopt.engines.descent import Descent
from drcopt.formulations import Question
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: From so many classes on, and letters of X and Y times classes, a search over boxes has no prospect.
_CLASSES, _LARGE = 6, 1_000
#: Letters of the bottleneck for every class, starts, steps of each, and change of f that ends them.
_LETTERS, _STARTS, _STEPS, _STILL = 2, 6, 2_000, 1e-9
#: Cells of the pricing, which ends before where the time does.
_CELLS = 150_000


def root(question: Question, best: Descent | None) -> Leaf | None:
    """Multipliers that bound the least loss, to be priced with many cells; None elsewhere."""
    problem = question.problem
    limited = question.budgets[0] < question.most[0]
    if question.objective is not CLASSIFICATION_LOSS or limited or question.name != "single-letter" or best is None:
        return None
    if problem.k < _CLASSES or problem.n * problem.m * problem.k < _LARGE or problem.forbidden.any():
        return None
    alpha = float(best.z[-2] / best.z[-1]) if best.z[-1] > 0 else 0.0
    if question.laws is not None or problem.classes is not None or not 0.0 < alpha < problem.contraction:
        return None
    return Leaf(multipliers(problem, alpha), alpha, 1.0, 0.0, cells=_CELLS)


def multipliers(problem: Problem, alpha: float) -> FloatArray:
    """f (n,) of the best of a few starts, for a weight of the rate α and of the loss 1."""
    px, W = problem.px, problem.ps_given_x
    rng = np.random.default_rng(0)
    least, answer = math.inf, np.zeros(problem.n)
    for start in range(_STARTS):
        if start > 0 and clock.expired():
            break
        f = np.zeros(problem.n)
        Q = rng.dirichlet(np.full(min(_LETTERS * problem.k, problem.n), 0.2), size=problem.n)
        for _ in range(_STEPS):
            before, q = f, px @ Q
            tau = (W.T @ (px[:, None] * Q)) / np.maximum(q, 1e-300)
            logs = np.log(np.maximum(q, 1e-300)) + W @ np.log(np.maximum(tau, 1e-300)) / alpha
            Z = logsumexp(logs, axis=1)
            f, Q = -alpha * Z, np.exp(logs - Z[:, None])
            if np.abs(f - before).max() < _STILL:
                break
        q = px @ Q
        tau = (W.T @ (px[:, None] * Q)) / np.maximum(q, 1e-300)
        value = alpha * float(px @ xlogy(Q, Q / np.maximum(q, 1e-300)).sum(axis=1)) - float(
            q @ xlogy(tau, tau).sum(axis=0)
        )
        if value < least:
            least, answer = value, f
    return answer
