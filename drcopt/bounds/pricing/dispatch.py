"""Chooses the oracle: closed form without classification, a line search where class posteriors lie on a line, vertices
without a rate term, a spatial search for the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.special import xlogy

from drcopt.bounds.pricing.allowed import price_allowed
from drcopt.bounds.pricing.corners import Known
from drcopt.bounds.pricing.gibbs import Partition, Priced, gibbs, joined, replaced, softmin
from drcopt.bounds.pricing.line import Line, price_line
from drcopt.bounds.pricing.spatial import price_spatial, unit_of
from drcopt.bounds.pricing.unconfined import price_unconfined
from drcopt.bounds.pricing.vertices import MOST_VERTICES, count, price_vertices
from drcopt.problem import Problem
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: How many entries the arrays of letters priced together have: n for each letter on a line, n times k² and n elsewhere.
#: More at once are no faster, and leave less time to look at the clock.
_LINE_ENTRIES, _SPATIAL_ENTRIES, _SPATIAL_POSTERIORS = 5e4, 2e7, 2e5


@np.errstate(all="ignore")  # what overflows is bounded by something else, and NaN never passes for a bound
def price(
    problem: Problem,
    cost: FloatArray,
    alpha: float,
    beta: float,
    box: FloatArray | None,
    *,
    tol: float = 0.0,
    start: Partition | None = None,
    known: Known | None = None,
    most: int | None = None,
    bare: bool = False,
) -> Priced:
    """min over pmfs p with Wᵀp in ``box[y]`` of ⟨cost[:, y], p⟩ + α D(p‖px) + β H(Wᵀp), for every letter y.

    Parameters
    ----------
    problem : Problem
        Without zero-mass letters.
    cost : (n, m) array
        d − f, in distortion; inf where letter y must not come from x.
    alpha, beta : float
        Multipliers ≥ 0, in distortion per nat.
    box : (m, k, 2) array or None
        Least and greatest τ_y(s); None (or a box no smaller than the range of W) for no restriction.
    tol : float
        How far below the least value the proved bound may stay (0: as close as arithmetic allows).
    start : Partition or None
        That of an earlier answer, for other multipliers or a larger box.
    known : Known or None
        Corners of boxes of the same problem, for α = 0; it takes in those that were missing.
    most : int or None
        How many cells a spatial search may go through, if not as many as pay in a search over boxes.
    bare : bool
        Whether the bounds are all that is wanted: minimisers may be missing.
    """
    if np.isposinf(cost).any():
        return price_allowed(price, problem, cost, alpha, beta, box, tol)
    if box is not None and beta > 0:
        rank: dict[bytes, int] = {}
        rows = np.column_stack([cost.T, box.reshape(len(box), -1)])
        copies = np.array([rank.setdefault(row.tobytes(), len(rank)) for row in rows])
        if len(rank) < len(copies):  # as when only the classification loss counts, in boxes not yet cut
            first = np.unique(copies, return_index=True)[1]
            return _expanded(
                price(problem, cost[:, first], alpha, beta, box[first], tol=tol, known=known, most=most, bare=bare),
                copies,
            )
    log_px = np.log(problem.px)
    W = problem.ps_given_x
    free = box is None or bool((box[:, :, 0] <= W.min(axis=0)).all() and (box[:, :, 1] >= W.max(axis=0)).all())
    if free and (beta == 0 or problem.k == 1):
        value = softmin(cost, log_px, alpha)
        y = np.arange(cost.shape[1])
        if alpha > 0:
            p = gibbs(-cost.T, log_px, alpha)[0]
        else:
            p = np.eye(problem.n)[cost.argmin(axis=0)]
        return Priced(value, y, p, value)
    if box is None:
        box = np.broadcast_to(np.stack([W.min(axis=0), W.max(axis=0)], axis=-1), (cost.shape[1], problem.k, 2))
    if alpha == 0:
        if max(count(own, W) for own in box) * max(1.0, problem.n / 100) <= MOST_VERTICES:
            return price_vertices(cost, beta, W, box, known)
        # D(p‖px) ≤ log 1/min px: pay for a little entropy instead of visiting that many vertices.
        alpha = 1e-8 * max(float(np.ptp(cost)), beta)
        priced = price(problem, cost, alpha, beta, box, tol=tol)
        return Priced(priced.lower + alpha * float(log_px.min()), priced.y, priced.p, priced.value)
    line = Line.through(W)
    if line is not None:
        return _in_turns(
            lambda y, _: price_line(cost[:, y], alpha, beta, log_px, W, line, box[y], tol),
            int(_LINE_ENTRIES / problem.n),
            cost,
            alpha,
            beta,
            problem,
            None,
        )
    unit = unit_of(cost, alpha, beta)
    if start is not None:
        start = replace(start, nu=start.nu / unit)
    sizes = cost / unit, alpha / unit, beta / unit
    fine = tol / unit

    def ask(y: slice, old: Partition | None) -> Priced:
        own, costs = box[y], sizes[0][:, y]
        found, left = None, np.arange(len(own))
        if free:
            found, left = price_unconfined(costs, *sizes[1:], log_px, W, own, fine, problem.contraction, old, bare)
            old = old if len(left) == len(own) else None
        if found is not None and not len(left):
            return found
        rest = price_spatial(costs[:, left], *sizes[1:], log_px, W, own[left], fine, problem.contraction, old, most)
        return rest if found is None else replaced(found, left, rest)

    priced = _in_turns(
        ask,
        int(min(_SPATIAL_ENTRIES / problem.k**2, _SPATIAL_POSTERIORS) / problem.n),
        *sizes,
        problem,
        start,
    )
    partition = None if priced.partition is None else replace(priced.partition, nu=priced.partition.nu * unit)
    return Priced(priced.lower * unit, priced.y, priced.p, priced.value * unit, partition)


def _in_turns(
    ask: Callable[[slice, Partition | None], Priced],
    most: int,
    cost: FloatArray,
    alpha: float,
    beta: float,
    problem: Problem,
    start: Partition | None,
) -> Priced:
    """What ``ask`` says of the letters (columns of ``cost``), ``most`` of them at a time, until the deadline.

    Those left then get what H(Wᵀp) ≥ Σ p H(W_x) bounds, the entropy being concave, and no posteriors.
    """
    m = cost.shape[1]
    parts: list[Priced] = []
    done = 0
    while done < m and not clock.expired():
        last = min(done + max(most, 1), m)
        try:
            parts.append(ask(slice(done, last), None if start is None else start.part(done, last)))
        except clock.TimeIsUp:
            break
        done = last
    if done < m:
        entropy = -xlogy(problem.ps_given_x, problem.ps_given_x).sum(axis=1)
        # The entropy is computed to a few digits in the last place.
        floor = softmin(cost[:, done:] + beta * (1 - 1e-14) * entropy[:, None], np.log(problem.px), alpha)
        none = np.zeros(0)
        parts.append(Priced(floor, np.zeros(0, dtype=np.intp), np.zeros((0, problem.n)), none))
    return joined(parts) if len(parts) > 1 else parts[0]


def _expanded(priced: Priced, copies: np.ndarray) -> Priced:
    """The same for letters that are copies (m,) of those priced."""
    rows = [np.flatnonzero(priced.y == y) for y in copies]
    own, index = np.repeat(np.arange(len(copies)), [len(r) for r in rows]), np.concatenate(rows)
    return Priced(priced.lower[copies], own, priced.p[index], priced.value[index])
