"""Perception budgets: how far Y's law may be from a target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from drcopt import information, words
from drcopt.errors import InputError
from drcopt.problem import Problem
from drcopt.questions.output import KINDS, Fixed, Free, Near, OutputLaw
from drcopt.support import check

__all__ = ["Perception"]


@dataclass(frozen=True, eq=False)
class Perception:
    """φ(pY, t) ≤ P: Y's law lies within P of a target t.

    Parameters
    ----------
    kind : str
        "tv" ½ Σ|pY − t|; "kl" D(pY‖t) and "reverse-kl" D(t‖pY); "chi2" Σ (pY − t)²/t and "reverse-chi2"
        Σ (pY − t)²/pY; "hellinger" 1 − Σ √(pY t); "renyi" D_ρ(t‖pY) with ρ = ``order``; "wasserstein" the least
        E ground(Y, T) over couplings of pY and t: W₁ where ``ground`` is a metric, W₂² (not W₂) where its square.
    budget : float
        P ≥ 0; in the ``units`` of the call for "kl", "reverse-kl" and "renyi".
    target : (m,) array, optional
        t; the problem's py where it is not given.
    ground : (m, m) array, optional
        For "wasserstein": what moving mass between two letters costs, 0 on the diagonal.
    order : float
        For "renyi": ρ > 0.

    Raises
    ------
    InputError
        If an argument breaks a rule.

    Examples
    --------
    >>> import drcopt
    >>> problem = drcopt.Problem([0.7, 0.3], [0.7, 0.3], [[1, 0], [0, 1]])
    >>> near = drcopt.min_rate(problem, D=0.1, perception=("tv", 0.02))
    >>> round(near.rate, 6), near.output_law.round(6).tolist()
    (0.417674, [0.72, 0.28])
    """

    kind: words.Divergence
    budget: float
    target: ArrayLike | None = None
    ground: ArrayLike | None = None
    order: float = 2.0

    def __post_init__(self) -> None:
        check.choice("perception kind", self.kind, words.DIVERGENCES)
        object.__setattr__(self, "budget", check.budget("perception budget", self.budget))
        if self.target is not None:
            object.__setattr__(self, "target", check.pmf("perception target", self.target)[0])
        if (self.ground is None) == (self.kind == "wasserstein"):
            raise InputError(
                "ground must be given for kind 'wasserstein', and for no other; kind is "
                f"{self.kind!r} and ground is {'missing' if self.ground is None else 'given'}. "
                "Pass the (m, m) costs of moving mass, e.g. |y − y'|, or leave it out."
            )
        if self.ground is not None:
            ground = check.freeze(check.real_array("ground", self.ground, 2))
            if ground.shape[0] != ground.shape[1] or np.diag(ground).any():
                raise InputError(
                    "ground must be square with zeros on its diagonal; it has shape "
                    f"{ground.shape} and trace {float(np.trace(ground)):.6g}. Pass a distance between letters of Y."
                )
            object.__setattr__(self, "ground", ground)
        check.positive("order", self.order)

    @classmethod
    def of(cls, value: Any) -> Perception:
        """A Perception, or one from a pair such as ("tv", 0.05).

        Parameters
        ----------
        value : Perception or (kind, budget)
            What it means.

        Raises
        ------
        InputError
            If it is neither.

        Examples
        --------
        >>> Perception.of(("tv", 0.05)).budget
        0.05
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, tuple | list) and len(value) == 2:
            return cls(*value)
        raise InputError(
            f"perception must be a drcopt.Perception or a pair of kind and budget; it is {check.shown(value)}. "
            "Pass e.g. ('tv', 0.05)."
        )

    def target_of(self, problem: Problem) -> np.ndarray:
        """The target, that of the problem where this has none.

        Parameters
        ----------
        problem : Problem
            Its py is the target where this has none.

        Examples
        --------
        >>> import drcopt
        >>> Perception("tv", 0.05).target_of(drcopt.sources.bernoulli()).tolist()
        [0.75, 0.25]
        """
        if self.target is None:
            if problem.free:
                raise InputError(
                    "perception must have a target where py is None. Pass py, or drcopt.Perception(kind, budget, "
                    "target=law)."
                )
            return problem.py
        target = np.asarray(self.target)
        if len(target) != problem.m:
            raise InputError(
                f"perception target must have one entry per letter of Y, shape ({problem.m},); it has shape "
                f"{target.shape}. Give one probability per column of d."
            )
        return target

    def law(self, problem: Problem, units: words.Units) -> OutputLaw:
        """The laws that it allows.

        Parameters
        ----------
        problem : Problem
            Whose letters Y has.
        units : {"bits", "nats"}
            Of the budget, where it is information.

        Examples
        --------
        >>> import drcopt
        >>> type(Perception("tv", 0.05).law(drcopt.sources.bernoulli(), "bits")).__name__
        'Near'
        """
        target = self.target_of(problem)
        budget = self.budget * information.NATS_PER[units] if KINDS[self.kind].informational else self.budget
        if self.ground is not None and len(np.asarray(self.ground)) != problem.m:
            raise InputError(
                f"ground must have one row per letter of Y, shape ({problem.m}, {problem.m}); it has shape "
                f"{np.shape(self.ground)}. Give the cost between every two letters."
            )
        if math.isinf(budget) or (self.kind in ("tv", "hellinger") and budget >= 1.0):
            return Free()
        if budget == 0.0:
            return Fixed(target)
        return self.near(problem, budget)

    def near(self, problem: Problem, budget: float) -> Near:
        """The ball of this radius, in nats where it is information.

        Parameters
        ----------
        problem : Problem
            Whose letters Y has.
        budget : float
            How far, in nats where it is information.

        Examples
        --------
        >>> import drcopt
        >>> Perception("tv", 0.05).near(drcopt.sources.bernoulli(), 0.05).budget
        0.05
        """
        ground = None if self.ground is None else np.asarray(self.ground)
        return Near(self.kind, self.target_of(problem), budget, ground, float(self.order))
