"""Balls of laws as constraints of CVXPY programs."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

from drcopt.questions.divergences import order_and_radius
from drcopt.questions.output import Near


def within(near: Near, law: Any) -> list[Any]:
    """φ(q, t) ≤ P for the expression ``law``, shape (m,)."""
    cp = importlib.import_module("cvxpy")
    t, budget = near.target, near.budget
    if near.kind == "wasserstein":
        assert near.ground is not None
        plan = cp.Variable(near.ground.shape, nonneg=True)
        spent = cp.sum(cp.multiply(near.ground, plan))
        return [cp.sum(plan, axis=1) == law, cp.sum(plan, axis=0) == t, spent <= budget]
    if near.kind == "tv":
        return [cp.norm1(law - t) <= 2.0 * budget]
    here = t > 0
    pick = np.eye(len(t))[:, here]
    q, t = law @ pick, t[here]
    off = [law @ np.eye(len(here))[:, ~here] == 0.0] if near.confined else []
    if near.kind == "kl":
        return [*off, cp.sum(cp.rel_entr(q, t)) <= budget]
    if near.kind == "chi2":
        return [*off, cp.sum_squares(cp.multiply(1.0 / np.sqrt(t), q - t)) <= budget]
    order, radius = order_and_radius(near)  # of D_ρ(t‖q)
    if order == 1.0:
        return [cp.sum(cp.rel_entr(t, q)) <= radius]
    power = t**order @ cp.power(q, 1.0 - order, approx=True)
    limit = math.exp((order - 1.0) * radius)
    return [power <= limit] if order > 1.0 else [power >= limit]
