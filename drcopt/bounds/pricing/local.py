"""Local minima of letters' inner problem near posteriors that are known: what pricing would say, without a proof.

Newton's method on the conditions of :mod:`.spatial` with β₀ = β, which makes no chords, from where other multipliers
had their minima. Milliseconds where the proof takes tens or hundreds of them.
"""

from __future__ import annotations

import numpy as np

from drcopt.bounds.pricing.gibbs import Partition, Priced
from drcopt.bounds.pricing.polish import candidates, drawn_in
from drcopt.bounds.pricing.spatial import Oracle, unit_of
from drcopt.problem import Problem
from drcopt.support.check import FloatArray

#: Steps of Newton's method, and what is near enough to a stationary point (costs are about 1).
_STEPS, _SLACK = 12, 1e-9
#: Posteriors so far outside are in a box.
_REACH = 1e-9


@np.errstate(all="ignore")  # what overflows is no minimum
def local_minima(
    problem: Problem, cost: FloatArray, alpha: float, beta: float, box: FloatArray, y: np.ndarray, p: FloatArray
) -> Priced:
    """See :func:`drcopt.bounds.pricing.price`; α, β > 0. From posteriors p (J, n), in the boxes of letters y (J,), the
    first of a letter its best.

    ``lower`` are the least values met, inf for letters without posteriors, and prove nothing.
    """
    W, m = problem.ps_given_x, cost.shape[1]
    unit = unit_of(cost, alpha, beta)
    oracle = Oracle(cost.T / unit, alpha / unit, beta / unit, beta / unit, np.log(problem.px), W, _SLACK)
    # From the extremes too: columns know the basins of multipliers past.
    extremes = oracle.corners(m)
    everywhere, starts = np.concatenate([y, extremes[0]]), np.concatenate([p, extremes[1]])
    low, high = box[everywhere, :, 0], box[everywhere, :, 1]
    nu = beta / unit * np.log(np.maximum(starts @ W, 1e-300))
    ends = oracle.relax(
        everywhere, np.maximum(low, W.min(axis=0)), np.minimum(high, W.max(axis=0)), nu, beta / unit, _STEPS
    ).p
    inner = np.zeros((m, len(W)))
    inner[y[::-1]] = p[::-1]
    ends = drawn_in(ends, inner[everywhere], W, box[everywhere], np.asarray(inner.any(axis=1))[everywhere])
    everywhere, both = np.concatenate([y, everywhere]), np.concatenate([p, ends])
    tau = both @ W
    inside = ((tau >= box[everywhere, :, 0] - _REACH) & (tau <= box[everywhere, :, 1] + _REACH)).all(axis=1)
    everywhere, both = everywhere[inside], both[inside]
    least = np.full(m, np.inf)
    np.minimum.at(least, everywhere, oracle.value(everywhere, both))
    none = np.zeros(0, dtype=np.intp), *(np.zeros((0, W.shape[1])),) * 3
    priced = candidates(oracle, everywhere, both, least, box, Partition(box, np.zeros((m, len(W))), *none))
    np.minimum.at(least, priced.y, priced.value)
    return Priced(least * unit, priced.y, priced.p, priced.value * unit)
