"""Cuts of the dual bound, the posteriors that pricing found, and multipliers as arrays z = (f, w, α, β)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import rel_entr, xlogy

from drcopt.bounds import Leaf
from drcopt.problem import Problem
from drcopt.support.check import FloatArray


def leaf(z: FloatArray, n: int | None = None) -> Leaf:
    """Multipliers as evidence; with several classes ``n`` says where those of rows end."""
    if n is not None and n < len(z) - 3:
        return Leaf(z[:n].copy(), float(z[n + 1]), z[n + 2 :].copy(), float(z[n]))
    return Leaf(z[:-3].copy(), float(z[-2]), float(z[-1]), float(z[-3]))


def multipliers(leaf: Leaf) -> FloatArray:
    """Evidence as multipliers."""
    return np.concatenate([leaf.f, [leaf.distortion, leaf.rate], np.ravel(leaf.classification)])


@dataclass(eq=False)
class Columns:
    """Posteriors p (J, n) of letters y (J,), their distortion, divergence and entropies of every class (J, classes)."""

    y: np.ndarray
    p: FloatArray
    distortion: FloatArray
    divergence: FloatArray
    entropy: FloatArray

    @classmethod
    def of(cls, problem: Problem, y: np.ndarray, p: FloatArray) -> Columns:
        """Columns for given posteriors."""
        tau = p @ problem.ps_given_x
        entropy = -xlogy(tau, tau).sum(axis=1)[:, None] if problem.classes is None else problem.classes.entropies(p)
        return cls(
            y,
            p,
            np.einsum("ji,ji->j", p, problem.d.T[y]),
            rel_entr(p, problem.px).sum(axis=1),
            entropy,
        )

    @classmethod
    def none(cls, problem: Problem) -> Columns:
        """No columns."""
        return cls.of(problem, np.zeros(0, dtype=np.intp), np.zeros((0, problem.n)))

    def take(self, index: np.ndarray) -> Columns:
        """Some of them."""
        return Columns(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def join(self, other: Columns) -> Columns:
        """All of both."""
        return Columns(
            *(np.concatenate([getattr(self, name), getattr(other, name)]) for name in self.__dataclass_fields__)
        )

    def value(self, z: FloatArray) -> FloatArray:
        """Right-hand side of every cut at z."""
        n = self.p.shape[1]
        paid = z[n] * self.distortion - self.p @ z[:n] + z[n + 1] * self.divergence
        return np.asarray(paid + self.entropy @ z[n + 2 :])
