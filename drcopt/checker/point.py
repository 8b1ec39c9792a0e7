"""What the point of a proof file spends, once it is moved exactly onto the marginals and within the
rate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from flint import arb, fmpq

from drcopt.checker import schema
from drcopt.checker.balls import ball, eta, rational, to_float
from drcopt.checker.problem import Problem

#: E d, rate and classification loss as balls.
Spent = tuple[Any, Any, Any]


def couplings(p: Problem, point: Any, limit: Any, by_part: bool) -> Spent:
    """Of a mixture of couplings, mixed with independence if its rate exceeds ``limit`` (None: no
    such limit).
    """
    parts = [schema.record("part with a coupling", part) for part in point]
    weights = _weights(parts)
    read = [schema.array(part["coupling"], p.n, p.m, read=schema.positive) for part in parts]
    for P in read:
        schema.total_of(P.flat)
    moved = [p.onto_marginals(P) for P in read]
    rate = sum((w * _information(p, P) for w, P in zip(ball(weights), moved, strict=True)), arb(0))
    if limit is not None and not rate <= limit:
        keep = _share(limit, rate)
        moved = [keep * P + (1 - keep) * np.outer(p.px, p.py) for P in moved]
        rate *= arb(keep)  # at most, I being convex and 0 for independent X and Y
    mixed = ball(sum(w * P for w, P in zip(weights, moved, strict=True)))
    if by_part:
        loss = sum((w * p.loss(ball(P)) for w, P in zip(ball(weights), moved, strict=True)), arb(0))
    else:
        loss = p.loss(mixed)
    return (p.D * mixed).sum(), rate, loss


def maps(p: Problem, point: Any, limit: Any, by_part: bool) -> Spent:
    """Of a mixture of maps; constant maps, which need no rate, make up for column masses that miss
    py.
    """
    parts = [schema.record("part with a map", part) for part in point]
    weights = _weights(parts)
    found = [
        np.array([schema.index(y, p.m) for y in schema.listed(part["map"], p.n)]) for part in parts
    ]
    masses = np.array([[p.px[f == y].sum() or fmpq(0) for y in range(p.m)] for f in found])
    totals = weights @ masses
    keep = min(goal / total for goal, total in zip(p.py, totals, strict=True) if total)
    rate = arb(keep) * (ball(weights) @ eta(masses).sum(axis=1))
    if limit is not None and not rate <= limit:
        share = _share(limit, rate)
        keep, rate = keep * share, rate * arb(share)
    weights = keep * weights
    constant = p.py - weights @ masses
    mixed = np.outer(p.px, constant)
    for w, f in zip(weights, found, strict=True):
        mixed[np.arange(p.n), f] += w * p.px
    loss = p.loss(ball(mixed))
    if by_part:
        losses = [p.loss((f[:, None] == np.arange(p.m)) * p.PX[:, None]) for f in found]
        loss = ball(weights) @ np.array(losses) + arb(1 - weights.sum()) * p.HS
    return (p.D * ball(mixed)).sum(), rate, loss


def _weights(parts: list[dict[str, Any]]) -> Any:
    return schema.pmf([part["weight"] for part in parts], len(parts))


def _information(p: Problem, P: Any) -> Any:
    return p.HX + p.HY - eta(P).sum()


def _share(limit: Any, rate: Any) -> Any:
    """How much of a point may stay, at most limit/rate: a double."""
    return rational(arb(max(0.0, to_float(limit / rate.upper(), False))))
