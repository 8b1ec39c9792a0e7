"""One map without common randomness: the best y = f(x) whose output has exactly the law py."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr

from drcopt import words
from drcopt.bounds.subsets import subset_sums
from drcopt.classes import refuse_several
from drcopt.errors import InputError
from drcopt.formulations.decisions import table_of
from drcopt.problem import Problem
from drcopt.support.check import FloatArray

#: Letters of X with mass that all subsets of which can be listed.
MOST_LETTERS = 20
#: Masses of cells may differ from py by this much.
MASS_TOLERANCE = 1e-12

#: Ways to use a set of letters, none worse than another in both: distortions, losses, last cell, way to the rest.
_Front = list[tuple[float, float, int, int]]


def best_map(
    problem: Problem,
    rate_budget: float = math.inf,
    classification_budget: float = math.inf,
    *,
    class_loss: words.ClassLoss | ArrayLike = "entropy",
) -> tuple[NDArray[np.int64], float] | None:
    """The map f of least E d(X, f(X)) with f(X) ~ py, H(f(X)) ≤ R and H(S|f(X)) ≤ C, and its distortion.

    Parameters
    ----------
    problem : Problem
        With at most 20 letters of X that have mass.
    rate_budget, classification_budget : float
        In nats; inf for none. H(f(X)) = H(Y) for every map that qualifies.
    class_loss : {"entropy", "error"} or (k, A) array
        What the second limits, in place of H(S|f(X)) the loss of the best decision, as in :func:`drcopt.solve`.

    Returns
    -------
    (map, distortion) or None
        The map as an (n,) array of letters of Y, or None if no map qualifies: masses of sets of letters must
        match py to 1e-12.

    Raises
    ------
    InputError
        If there are more than 20 letters with mass, or d holds inf.

    Notes
    -----
    Exact, by dynamic programming over y: for every set of letters used so far the ways to use it that no other
    way beats in both distortion and loss.

    Examples
    --------
    >>> problem = Problem([0.5, 0.3, 0.2], [0.5, 0.5], np.eye(3)[:, :2] + [[0, 0], [0, 0], [0, 1]])
    >>> f, distortion = best_map(problem)
    >>> f.tolist(), round(distortion, 12)
    ([0, 1, 1], 0.2)
    >>> f, distortion = best_map(problem, classification_budget=0.3, class_loss="error")
    >>> f.tolist(), round(distortion, 12)
    ([0, 1, 1], 0.2)
    """
    refuse_several(problem.classes)
    letters, outputs = problem.support.x, problem.support.y
    if problem.forbidden.any():
        raise InputError("d must be finite for best_map; it forbids pairs (d = inf). Pass a large number in its place.")
    if len(letters) > MOST_LETTERS:
        raise InputError(
            f"problem must have at most {MOST_LETTERS} letters of X with mass for the best single map; it has "
            f"{len(letters)}. Solve the one-shot problem, which mixes maps."
        )
    if problem.entropy_y > rate_budget + MASS_TOLERANCE:
        return None
    px, joint = problem.px[letters], problem.px[letters, None] * problem.ps_given_x[letters]
    mass, sums = subset_sums(px), subset_sums(joint.T).T
    if isinstance(class_loss, str) and class_loss == "entropy":
        loss = entr(sums).sum(axis=1) - entr(sums.sum(axis=1))
    else:
        loss = (sums @ table_of(class_loss, problem.k)).min(axis=1)
    levels: list[dict[int, _Front]] = [{0: [(0.0, 0.0, 0, 0)]}]
    for y in outputs:
        cells = np.flatnonzero(np.abs(mass - problem.py[y]) <= MASS_TOLERANCE)
        cost = subset_sums(px * problem.d[letters, y])
        levels.append(_extended(levels[-1], cells, cost, loss, classification_budget))
    everything = len(mass) - 1
    if everything not in levels[-1]:
        return None
    f = np.full(problem.n, outputs[0], dtype=np.int64)  # letters without mass go anywhere
    rest, place = everything, 0
    distortion = levels[-1][everything][0][0]
    for y, level in zip(outputs[::-1], levels[:0:-1], strict=True):
        _, _, cell, place = level[rest][place]
        f[letters[[cell >> i & 1 == 1 for i in range(len(letters))]]] = y
        rest ^= cell
    return f, distortion


def _extended(
    level: dict[int, _Front], cells: NDArray[np.int64], cost: FloatArray, loss: FloatArray, budget: float
) -> dict[int, _Front]:
    """Every way of one letter more."""
    ways: dict[int, _Front] = {}
    for used, front in level.items():
        for cell in cells[(cells & used) == 0].tolist():
            for place, (distortion, lost, _, _) in enumerate(front):
                if lost + loss[cell] <= budget + MASS_TOLERANCE:
                    way = (distortion + float(cost[cell]), lost + float(loss[cell]), cell, place)
                    ways.setdefault(used | cell, []).append(way)
    return {used: _unbeaten(front, budget) for used, front in ways.items()}


def _unbeaten(front: _Front, budget: float) -> _Front:
    """The ways that no other beats in both distortion and loss, by distortion; without a budget the first."""
    kept: _Front = []
    for way in sorted(front):
        if not kept or (way[1] < kept[-1][1] and budget < math.inf):
            kept.append(way)
    return kept
