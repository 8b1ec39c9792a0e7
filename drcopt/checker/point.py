"""What the point of a proof file spends, once it is moved exactly onto the marginals and within the
rate and the perception.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from flint import arb, fmpq

from drcopt.checker import schema
from drcopt.checker.balls import ball, eta, rational, to_float
from drcopt.checker.perception import Perception
from drcopt.checker.problem import Problem, by_letter

#: E d, rate, classification loss, perception and losses of further classes as balls.
Spent = tuple[Any, ...]


def couplings(
    p: Problem,
    perception: Perception | None,
    point: Any,
    limits: tuple[Any, Any],
    message: bool,
    loss_of: Callable[[Any], Any],
) -> Spent:
    """Of a mixture of couplings, mixed with an independent letter if rate or perception exceeds its
    limit (None: none): one of the target, or of the law that Y has. ``loss_of`` a coupling is its
    classification loss, or an array of those of several classes.
    """
    parts = [schema.record("part with a coupling", part) for part in point]
    weights = ball(_weights(parts))
    moved = [_moved(p, part, message) for part in parts]
    rate = sum((w * _information(p, P) for w, (P, _) in zip(weights, moved, strict=True)), arb(0))
    pairs = zip(weights, moved, strict=True)
    law = sum(w * by_letter(P, letters, p.m).sum(axis=0) for w, (P, letters) in pairs)
    most, farthest = limits
    phi = arb(0)
    if perception is not None:
        phi = perception.spent(law, _plan(perception, parts[0], p.m))
        if farthest is not None and not phi <= farthest:
            keep = _share(farthest, phi)
            # At most, as both are convex and 0 at the target, X being independent.
            rate, phi = arb(keep) * rate, arb(keep) * phi if keep else arb(0)
            law = arb(keep) * law + arb(1 - keep) * perception.t
            moved = [_mixed(p, P, letters, keep, perception.t, message) for P, letters in moved]
    law = law if p.PY is None else p.PY
    if most is not None and not rate <= most and _free(p, law):
        keep = _share(most, rate)
        rate *= arb(keep)
        moved = [_mixed(p, P, letters, keep, law, message) for P, letters in moved]
    mixed = sum(w * by_letter(P, of, p.m) for w, (P, of) in zip(weights, moved, strict=True))
    loss = sum((w * loss_of(P) for w, (P, _) in zip(weights, moved, strict=True)), arb(0))
    return (p.D * mixed).sum(), rate, loss, phi


def joint(p: Problem, point: Any, message: bool) -> Any:
    """p(s, y) of a mixture of couplings, moved onto the marginals."""
    weights = ball(_weights(point))
    moved = [_moved(p, part, message) for part in point]
    pairs = zip(weights, moved, strict=True)
    return p.W.T @ sum(w * by_letter(P, letters, p.m) for w, (P, letters) in pairs)


def _moved(p: Problem, part: Any, message: bool) -> tuple[Any, Any]:
    """A coupling in balls with px, and with py where that is given, and its columns' letters."""
    letters = np.arange(p.m)
    if message:
        found = schema.listed(part["letters"])
        letters = np.array([schema.index(y, p.m) for y in found])
    elif "letters" in part:
        raise ValueError("a coupling of X and Y names no letters")
    P = schema.array(part["coupling"], p.n, len(letters), read=schema.positive)
    if any(P[~p.allowed[:, letters]]):
        raise ValueError("a coupling has mass on a forbidden pair")
    schema.total_of(P.flat)
    if p.py is not None:
        P, rest = p.onto_marginals(P, letters)
        return _added(ball(P), letters, ball(rest), np.arange(p.m), message)
    rows = P.sum(axis=1)
    if not rows.all():
        raise ValueError("a row of a coupling lacks mass")
    return ball(P) * (p.PX / ball(rows))[:, None], letters


def _mixed(p: Problem, P: Any, of: Any, keep: Any, law: Any, message: bool) -> tuple[Any, Any]:
    """So much of a coupling, and for the rest a letter of that law, independent of X."""
    alone = np.outer(p.PX, arb(1 - keep) * law)
    return _added(arb(keep) * P, of, alone, np.arange(p.m), message)


def _free(p: Problem, law: Any) -> bool:
    """Whether a letter of that law may be independent of X: it has no mass or no forbidden pair."""
    return all(mass.is_zero() for mass in law[~np.all(p.allowed, axis=0)])


def _added(P: Any, letters: Any, more: Any, of: Any, message: bool) -> tuple[Any, Any]:
    """Two couplings as one: a message tells their columns apart, a letter of Y does not."""
    if message:
        return np.hstack([P, more]), np.append(letters, of)
    return P + more, letters


def maps(
    p: Problem,
    perception: Perception | None,
    point: Any,
    limits: tuple[Any, Any],
    by_part: bool,
    loss_of: Callable[[Any], Any],
) -> Spent:
    """Of a mixture of maps; constant maps, which need no rate, make up for column masses that miss
    py, or bring the law that Y then has near enough to the target.
    """
    parts = [schema.record("part with a map", part) for part in point]
    weights = _weights(parts)
    found = [
        np.array([schema.index(y, p.m) for y in schema.listed(part["map"], p.n)]) for part in parts
    ]
    masses = np.array([[p.px[f == y].sum() or fmpq(0) for y in range(p.m)] for f in found])
    totals = weights @ masses
    keep, share, (most, farthest), phi = fmpq(1), fmpq(1), limits, arb(0)
    if p.py is not None:
        keep = min(goal / total for goal, total in zip(p.py, totals, strict=True) if total)
    missing = np.array([arb(0)] * p.m) if p.py is None else ball(p.py - keep * totals)
    if perception is not None:
        phi = perception.spent(ball(totals), _plan(perception, parts[0], p.m))
        if farthest is not None and not phi <= farthest:
            keep = _share(farthest, phi)
            phi = arb(keep) * phi if keep else arb(0)
            missing = arb(1 - keep) * perception.t
    rate = arb(keep) * (ball(weights) @ eta(masses).sum(axis=1))
    if most is not None and not rate <= most:
        share = _share(most, rate)
        rate *= arb(share)
    law = ball(keep * totals) + missing
    weights, constant = keep * share * weights, arb(share) * missing + arb(1 - share) * law
    mixed = np.outer(p.PX, constant)
    for w, f in zip(weights, found, strict=True):
        mixed[np.arange(p.n), f] += arb(w) * p.PX
    loss = loss_of(mixed)
    if by_part:
        losses = [loss_of((f[:, None] == np.arange(p.m)) * p.PX[:, None]) for f in found]
        loss = ball(weights) @ np.array(losses) + loss_of(np.outer(p.PX, constant))
    return (p.D * mixed).sum(), rate, loss, phi


def _plan(perception: Perception, part: Any, m: int) -> Any:
    """How the law is moved to the target, where that must be shown."""
    if perception.kind != "wasserstein":
        return None
    return schema.array(part["plan"], m, m, read=schema.positive)


def _weights(parts: list[dict[str, Any]]) -> Any:
    return schema.pmf([part["weight"] for part in parts], len(parts))


def _information(p: Problem, P: Any) -> Any:
    return p.HX + eta(P.sum(axis=0)).sum() - eta(P).sum()


def _share(limit: Any, rate: Any) -> Any:
    """How much of a point may stay, at most limit/rate: a double."""
    return rational(arb(max(0.0, to_float(limit / rate.upper(), False))))
