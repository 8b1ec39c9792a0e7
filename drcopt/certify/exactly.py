"""Whether a law lies within a perception budget, in arithmetic of so many digits that what it cannot tell is no excess.

The law is the rational pmf that doubles become when they are divided by their sum, as :mod:`drcopt.checker` reads them.
"""

from __future__ import annotations

import decimal
from decimal import Decimal
from typing import Any

import numpy as np

from drcopt.certify.witness import DIGITS, decimal_pmf, decimals
from drcopt.questions.output import KINDS, Near
from drcopt.support.check import FloatArray

#: What rounding may come to, relative and absolute; and how much a budget may have been rounded up on its way to nats.
_ALLOWANCE, _UNIT = Decimal("1e-30"), Decimal(2) ** -50
_ZERO, _INFINITE = Decimal(0), Decimal("Infinity")


def meets(laws: Near, letters: np.ndarray, weights: FloatArray) -> bool:
    """Whether the law with these weights (J,), doubles or decimals, on these letters is proved to lie in the ball."""
    with decimal.localcontext(decimal.Context(prec=DIGITS, Emin=-999_999, Emax=999_999)) as context:
        q = np.full(len(laws.target), _ZERO)
        np.add.at(q, letters, decimal_pmf(weights))
        t, budget = decimal_pmf(laws.target), Decimal(laws.budget)
        if (q == t).all():
            return True
        spent = _spent(laws, q, t)
        if context.flags[decimal.Inexact]:
            spent += _ALLOWANCE * (1 + spent)
        if KINDS[laws.kind].informational:
            budget *= 1 - _UNIT
        return bool(spent <= budget)


def _spent(laws: Near, q: Any, t: Any) -> Decimal:
    """φ(q, t), or for transport no less."""
    kind = laws.kind
    if kind == "tv":
        return sum(abs(q - t), _ZERO) / 2
    if kind == "wasserstein":
        return _moved(laws, q, t)
    if kind in ("kl", "chi2"):
        if q[t == 0].any():
            return _INFINITE
        pairs = [(a, b) for a, b in zip(q, t, strict=True) if b]
        if kind == "chi2":
            return sum(((a - b) ** 2 / b for a, b in pairs), _ZERO)
        return sum((a * (a / b).ln() for a, b in pairs if a), _ZERO)
    if kind == "hellinger":
        return sum(((a.sqrt() - b.sqrt()) ** 2 for a, b in zip(q, t, strict=True)), _ZERO) / 2
    order = {"reverse-kl": 1.0, "reverse-chi2": 2.0}.get(kind, laws.order)
    if order >= 1.0 and t[q == 0].any():
        return _INFINITE
    pairs = [(a, b) for a, b in zip(q, t, strict=True) if a and b]
    if kind == "reverse-chi2":
        return sum(((a - b) ** 2 / a for a, b in zip(q, t, strict=True) if a), _ZERO)
    if order == 1.0:
        return sum((b * (b / a).ln() for a, b in pairs), _ZERO)
    rho = Decimal(order)
    total = sum(((rho * b.ln() + (1 - rho) * a.ln()).exp() for a, b in pairs), _ZERO)
    return total.ln() / (rho - 1) if total else _INFINITE


def _moved(laws: Near, q: Any, t: Any) -> Decimal:
    """What a plan costs once it moves no more than there is: the rest stays where it can, else at the dearest cost."""
    plan = decimals(laws.plan(np.array(q, dtype=np.float64)))
    cost = decimals(laws.ground) if laws.ground is not None else plan
    np.fill_diagonal(plan, _ZERO)
    for goals in (q, t):
        sums = plan.sum(axis=1)
        factors = [goal / total if total > goal else Decimal(1) for goal, total in zip(goals, sums, strict=True)]
        plan = (plan * np.array(factors)[:, None]).T
    rest = 1 - plan.sum() - np.minimum(q - plan.sum(axis=1), t - plan.sum(axis=0)).sum()
    return Decimal((cost * plan).sum() + max(rest, _ZERO) * cost.max())
