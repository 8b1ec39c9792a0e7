"""What no solution can undercut: the Lagrangian is concave in the law of (X, S).

With Y's law free and multipliers α, β ≥ 0 fixed beforehand,

  L(p) = min over channels of E d + α I(X;Y) + β H(S|Y),

and D(R, C) ≥ L(p) − αR − βC. For one channel E d is linear in p, I and H(S|Y) are concave, so L is concave: by Jensen
E L(p̂) ≤ L(p), the plug-in is low in the mean. Changing one of N draws changes L(p̂) by at most

  c = (max d − min d)/N + (α + β) h(1/N),

h the binary entropy in nats: write p̂ = (1 − 1/N) r + δ/N; then (1 − 1/N) I_r ≤ I ≤ (1 − 1/N) I_r + h(1/N), as I is
concave and knowing which part a letter is from tells no more than h(1/N), and likewise for H(S|Y), which is 0 for one
draw. McDiarmid's inequality: P(L(p̂) > E L(p̂) + t) ≤ exp(−2t²/Nc²), so with probability 1 − δ

  D(R, C) ≥ L(p̂) − αR − βC − c √(N log(1/δ)/2).

No alphabet enters. The classifier may even read the message, whose problem has the same Lagrangian.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog
from scipy.special import rel_entr, xlogy

from drcopt import information, words
from drcopt.bounds.posterior import Leaf, leaf_piece, whole_box
from drcopt.bounds.pricing import price
from drcopt.errors import InputError
from drcopt.formulations import SingleLetter
from drcopt.problem import Distortion, Problem
from drcopt.questions.output import Free
from drcopt.solution import Multipliers
from drcopt.statistics.means import Bound, level, whole
from drcopt.support import check

__all__ = ["lower_bound", "plug_in"]

#: Rounds of column generation, and the gap that ends them, relative to the range of d.
_ROUNDS, _GAP = 200, 1e-6


def lower_bound(
    counts: ArrayLike,
    d: Distortion,
    multipliers: Multipliers | tuple[float, float],
    *,
    R: float | None = None,
    C: float | None = None,
    confidence: float = 0.95,
    units: words.Units = "bits",
) -> Bound:
    """A lower bound on D(R, C) of the law that N pairs (x, s) were drawn from, Y's law free.

    Parameters
    ----------
    counts : (n, k) array of whole numbers
        How often each (x, s) was drawn.
    d : (n, m) array or str
        Distortion, as in :class:`drcopt.Problem`.
    multipliers : Multipliers or (α, β)
        Of rate and classification, in the unit of d per ``units``: **not found from these draws**, but guessed, or
        those of a solution on other data. Any are valid; those of the optimum give the best bound.
    R, C : float or None
        The budgets, in ``units``; None for none, whose multiplier must then be 0.
    confidence : float
        The least probability that the bound holds.

    Returns
    -------
    Bound
        ``estimate`` is the bound of the plug-in at these multipliers, before anything is subtracted for chance.

    Raises
    ------
    InputError
        If a multiplier is negative, infinite or without its budget, or the counts are not whole.

    Examples
    --------
    >>> bound = lower_bound([[4000, 1000], [1000, 4000]], "hamming", (0.25, 0.0), R=0.5)
    >>> round(bound.value, 3), round(bound.estimate, 3)
    (0.046, 0.103)
    """
    table = whole("counts", counts)
    N, scale = int(table.sum()), information.NATS_PER[check.choice("units", units, words.UNITS)]
    budgets = [check.budget(name, value) for name, value in (("R", R), ("C", C))]
    alpha, beta = _weights(multipliers, budgets)
    problem = Problem.from_joint(table, None, d)
    if problem.forbidden.any():
        raise InputError("d must be finite here; it holds inf, and a pair that is forbidden has no bounded difference.")
    L = plug_in(problem, alpha / scale, beta / scale)
    spent = sum(w * b for w, b in zip((alpha, beta), budgets, strict=True) if w > 0)
    change = float(np.ptp(problem.d)) / N + (alpha + beta) / scale * float(information.binary_entropy(1.0 / N))
    chance = change * math.sqrt(-N * math.log(1.0 - level(confidence)) / 2.0)
    return Bound(max(L - spent - chance, float(problem.d.min())), L - spent, confidence, N, "concavity")


def _weights(multipliers: Any, budgets: list[float]) -> tuple[float, float]:
    if isinstance(multipliers, Multipliers):
        both = (multipliers.rate, multipliers.classification)
        multipliers = tuple(w if b < math.inf else 0.0 for w, b in zip(both, budgets, strict=True))
    try:
        pair = [check.real_number("multipliers", v, "Pass (α, β).") for v in multipliers]
        alpha, beta = pair
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"multipliers must be a pair (α, β), of rate and classification; it is {check.shown(multipliers)}. Pass "
            "solution.multipliers of a solution on other data."
        ) from None
    for name, weight, budget in (("R", alpha, budgets[0]), ("C", beta, budgets[1])):
        if not (0.0 <= weight < math.inf and (weight == 0.0 or budget < math.inf)):
            raise InputError(
                f"multipliers must be ≥ 0 and finite, and 0 where there is no budget; that of {name} is {weight:g}, "
                f"{name} is {budget:g}. Pass another, or the budget."
            )
    return alpha, beta


def plug_in(problem: Problem, alpha: float, beta: float) -> float:
    """L(p), proved from below, multipliers per nat: columns are pairs of a letter and a posterior."""
    problem = problem.reduced()
    d, px, W = problem.d, problem.px, problem.ps_given_x
    n, m = problem.n, problem.m
    uniform = Problem(px, np.full(m, 1.0 / m), W, d)  # pricing reads no law of Y
    y, p = np.tile(np.arange(m), n + 1), np.repeat(np.vstack([np.eye(n), px]), m, axis=0)
    f = best = d.min(axis=1)
    value, goal = -math.inf, _GAP * max(float(np.ptp(d)), 1e-300)
    for _ in range(_ROUNDS):
        priced = price(uniform, d - f[:, None], alpha, beta, None)
        if (bound := float(f @ px + priced.lower.min())) > value:
            best, value = f, bound
        y, p = np.concatenate([y, priced.y]), np.vstack([p, priced.p])
        tau = p @ W
        cost = (p * d.T[y]).sum(axis=1) + alpha * rel_entr(p, px).sum(axis=1) - beta * xlogy(tau, tau).sum(axis=1)
        answer = linprog(cost, A_eq=p.T, b_eq=px, method="highs")
        if answer.status != 0 or answer.fun - value <= goal:
            break
        f = answer.eqlin.marginals
        keep = np.argsort(cost - p @ f, kind="stable")[: 20 * n + 200]  # those of least reduced cost
        y, p = y[keep], p[keep]
    question = SingleLetter(uniform, math.inf, math.inf, laws=Free())
    return leaf_piece(question, Leaf(best, alpha, beta), whole_box(uniform)).level
