"""Where the tangent of :mod:`drcopt.checker` holds on a cell though β₀ > α/η.

Let G(p) = ⟨c,p⟩ + α D(p‖px) + β₀ H(τ), τ = Wᵀp, κ = β₀/α, p₀ and τ₀ as there, and take from c what
is linear in τ: c' = c − W(ν − β₀ log τ₀). For q > 0 let F(q) = Σ_x a_x g_x(q)^κ with
a = px exp(−c'/α) and g_x(q) = Π_s q_s^W(x,s). For every p with τ > 0 Gibbs's inequality says

  G(p) − ⟨ν − β₀ log τ₀, τ⟩ = ⟨c' − β₀ W log τ, p⟩ + α D(p‖px) ≥ −α log F(τ).

N = F^(1/κ) is homogeneous of degree 1, as the rows of W sum to 1. If it is concave on a box that
holds the cell and τ₀, then N(τ) ≤ ⟨∇N(τ₀), τ⟩ there (Euler). a_x g_x(τ₀)^κ is F(τ₀) p₀(x), so
∂N/∂q_s at τ₀ is N(τ₀) Σ_x p₀(x) W(x,s) / τ₀(s) = N(τ₀), and Σ τ = 1: N(τ) ≤ N(τ₀), that is

  G(p) ≥ −α log F(τ₀) + ⟨ν − β₀ log τ₀, τ⟩,

which is the tangent; where some τ_s is 0 by continuity. Now let w_x = a_x g_x(q)^κ, and E and Cov
be of W_x under w/Σw. The Hessian of N, times q_s q_t, is N times

  κ Cov − diag E + E Eᵀ = (κ − 1) Cov − E(diag W_x − W_x W_xᵀ).

Cov is ⪯ the second moment about τ₀, diag W_x − W_x W_xᵀ is ⪰ 0, and g_x grows with every q_s. So N
is concave on the box l ≤ q ≤ u if, with the weights at its ends (those at τ₀ are p₀, up to Σw),

  Σ_x w_x(l) (diag W_x − W_x W_xᵀ) − (κ − 1) Σ_x w_x(u) (W_x − τ₀)(W_x − τ₀)ᵀ ⪰ 0.

Both sums send the vector of ones to 0, so it is enough that what is left without the last class is
positive definite: that every pivot is positive.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from flint import arb


def tangent_holds(W: Any, p: Any, kappa: Any, low: Any, high: Any) -> bool:
    """Whether N is proved concave on a box that holds low ≤ τ ≤ high and the posterior of p, balls.

    What is not a number, or too wide a ball, proves nothing: no comparison with it is true.
    """
    if kappa <= 1:
        return True
    tau = p @ W
    if not all(t > 0 for t in tau):
        return False
    least = [w * _least_power(row, kappa, low, tau) for w, row in zip(p, W, strict=True)]
    logs = np.array([(u.max(t) / t).log() for u, t in zip(high, tau, strict=True)])
    most = [w * (kappa * g).exp() for w, g in zip(p, W @ logs, strict=True)]
    rows, centred = W[:, :-1], (W - tau)[:, :-1]
    weighted = np.array(least)[:, None] * rows
    matrix = np.diag(weighted.sum(axis=0)) - weighted.T @ rows
    return positive_definite(matrix - (kappa - 1) * (np.array(most)[:, None] * centred).T @ centred)


def _least_power(row: Any, kappa: Any, low: Any, tau: Any) -> Any:
    """Π (l_s/τ₀(s))^(κ W(x,s)) for l ≤ τ₀, or 0, which is less, unless it is known to be more."""
    total = arb(0)
    for share, end, t in zip(row, low, tau, strict=True):
        if not share.is_zero():
            if not end > 0:
                return arb(0)
            total += share * (end.min(t) / t).log()
    return (kappa * total).exp()


def positive_definite(matrix: Any) -> bool:
    """Whether every symmetric matrix in one of balls is: the pivots of elimination are positive."""
    rest = matrix.copy()
    for i in range(len(rest)):
        if not rest[i, i] > 0:
            return False
        rest[i + 1 :, i + 1 :] -= np.outer(rest[i + 1 :, i] / rest[i, i], rest[i, i + 1 :])
    return True
