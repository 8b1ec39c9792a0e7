"""The slides' theorems with the verdict of each, and the registry that tests may add to."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pandas as pd

from drcopt import theorems
from drcopt.theorems._registry import THEOREMS

#: What each shipped theorem must get, whatever the seed.
VERDICTS = {
    "one-shot-representation": "holds",
    "bernoulli-printed": "holds under: τ_C ≤ R/H(X) ≤ min(py/px, (1−py)/(1−px)), or C < H(S|X)",
    "bernoulli-printed-sees-y": (
        "holds under: R/H(X) ≤ min(py/px, (1−py)/(1−px)) and H(S|Y) ≤ C at P(X=Y=1) = px·py + px(1−px)·R/H(X), "
        "or C < H(S|X)"
    ),
    "bernoulli-printed-feasibility": "holds under: R ≥ H(X) and py between px and 1−px, or C < H(S|X)",
    "bernoulli-printed-rate-limited": "holds under: R/H(X) ≤ min(py/px, (1−py)/(1−px))",
    "bernoulli-printed-classification-limited": "fails",
    "bernoulli-printed-floor": "holds under: R/H(X) ≤ min(py/px, (1−py)/(1−px)), and so τ_C",
    "bernoulli-printed-monotone": "holds under: τ_C ≤ R/H(X)",
    "bernoulli-exact-sees-yu": "holds",
    "bernoulli-exact-sees-y": "holds",
    "bernoulli-exact-single-letter": "holds",
    "asymptotic-single-letter": "holds under: the rate-only optimum meets C (so always without C)",
    "single-letter-convex-in-C": "fails",
    "time-sharing-convex": "holds",
    "gaussian-printed-feasibility": "holds under: R = ∞, or C below that threshold",
    "gaussian-printed-classification-limited": "fails",
    "gaussian-printed-rate-limited": "holds",
    "gaussian-printed-zero": "holds under: R = ∞ and X and Y have one law",
    "gaussian-exact-grid": "holds",
    "perception-single-letter": "holds under: the rate-only optimum meets C (so always without C)",
    "gaussian-rdp-printed-rate-limited": "holds",
    "gaussian-rdp-printed-classification-limited": "fails",
    "gaussian-rdp-printed-zero": "holds under: R = ∞",
    "gaussian-rdc-printed-rate-limited": "holds",
    "gaussian-rdc-printed-classification-limited": "fails",
    "gaussian-rdc-printed-zero": "holds under: R = ∞",
    "gaussian-output-optimal": "holds",
    "binary-free-printed": "holds",
    "rate-is-a-maximum": "holds under: the coupling of R(D) meets C",
    "monotone-in-rate": "holds",
    "monotone-in-classification": "holds",
    "convex-in-rate": "holds",
    "order-time-sharing": "holds",
    "order-one-shot": "holds",
    "order-classifier": "holds",
    "zero-rate": "holds",
    "no-budgets": "holds",
}

INSTANCES, SEED = 1, 1


@cache
def verdicts() -> pd.DataFrame:
    """What they get."""
    return theorems.validate(list(VERDICTS), instances=INSTANCES, seed=SEED).set_index("theorem")


def registry() -> Iterator[dict[str, Any]]:
    """A fixture: the registry, put back afterwards."""
    before = dict(THEOREMS)
    yield THEOREMS
    THEOREMS.clear()
    THEOREMS.update(before)
