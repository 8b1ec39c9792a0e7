"""What tests of the judge share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from drcopt.bounds import Leaf, Split
from drcopt.formulations import Question


def information(joint: np.ndarray) -> float:
    """I of a joint pmf from its definition."""
    product = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    return math.fsum(p * math.log(p / q) for p, q in zip(joint.ravel(), product.ravel(), strict=True) if p > 0)


def uncertainty(joint: np.ndarray) -> float:
    """H(S|Y) of T(s, y) from its definition."""
    totals = joint.sum(axis=0)
    return -math.fsum(t * math.log(t / totals[y]) for (_, y), t in np.ndenumerate(joint) if t > 0)


def assert_meets(formulation: Question, P: np.ndarray) -> None:
    """P is a coupling of the marginals within both budgets, by the definitions."""
    problem = formulation.problem
    assert P.shape == (problem.n, problem.m)
    assert P.min() >= 0.0
    assert np.abs(P.sum(axis=1) - problem.px).max() <= 1e-14
    assert np.abs(P.sum(axis=0) - problem.py).max() <= 1e-14
    assert information(P) <= formulation.rate_budget + 1e-12
    assert uncertainty(problem.ps_given_x.T @ P) <= formulation.classification_budget + 1e-12


def altered(node: Any, change: Callable[[Leaf], Leaf]) -> Any:
    if isinstance(node, Split):
        return replace(node, low=altered(node.low, change), high=altered(node.high, change))
    return change(node)


MULTIPLIERS: dict[str, Callable[[Leaf], Leaf]] = {
    "as found": lambda leaf: leaf,
    "all flipped": lambda leaf: Leaf(-leaf.f, -leaf.rate, -leaf.classification),
    "distortion flipped": lambda leaf: replace(leaf, distortion=-1.0),
    "no distortion": lambda leaf: replace(leaf, distortion=0.0),
    "distortion halved": lambda leaf: replace(leaf, distortion=0.5),
    "distortion doubled": lambda leaf: replace(leaf, distortion=2.0),
    "huge distortion": lambda leaf: replace(leaf, distortion=1e300),
    "tiny distortion": lambda leaf: replace(leaf, distortion=1e-300),
    "infinite distortion": lambda leaf: replace(leaf, distortion=math.inf),
    "NaN distortion": lambda leaf: replace(leaf, distortion=math.nan),
    "f flipped": lambda leaf: replace(leaf, f=-leaf.f),
    "rate flipped": lambda leaf: replace(leaf, rate=-leaf.rate),
    "classification flipped": lambda leaf: replace(leaf, classification=-leaf.classification),
    "huge f": lambda leaf: replace(leaf, f=1e300 * leaf.f),
    "huge rate": lambda leaf: replace(leaf, rate=1e300),
    "huge classification": lambda leaf: replace(leaf, classification=1e300),
    "infinite": lambda leaf: Leaf(leaf.f + math.inf, math.inf, math.inf),
    "tiny": lambda leaf: Leaf(1e-300 * leaf.f, 1e-300, 1e-300),
    "NaN in f": lambda leaf: replace(leaf, f=np.full_like(leaf.f, math.nan)),
    "NaN rate": lambda leaf: replace(leaf, rate=math.nan),
    "NaN classification": lambda leaf: replace(leaf, classification=math.nan),
    "f too long": lambda leaf: replace(leaf, f=np.append(leaf.f, 1.0)),
    "f too short": lambda leaf: replace(leaf, f=leaf.f[:1]),
    "f a number": lambda leaf: replace(leaf, f=np.float64(3.0)),  # type: ignore[arg-type]
    "swapped": lambda leaf: replace(leaf, rate=leaf.classification, classification=leaf.rate),
    "a thousandfold": lambda leaf: Leaf(1e3 * leaf.f, 1e3 * leaf.rate, 1e3 * leaf.classification),
    "no rate": lambda leaf: replace(leaf, rate=0.0),
    "no classification": lambda leaf: replace(leaf, classification=0.0),
    "classification doubled": lambda leaf: replace(leaf, classification=2.0 * leaf.classification),
    "rate halved": lambda leaf: replace(leaf, rate=0.5 * leaf.rate),
}
