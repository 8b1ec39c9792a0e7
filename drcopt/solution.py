"""What a solve returns: always the same fields, whatever happened."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drcopt import _html
from drcopt._check import FloatArray

#: Every status and what it promises.
STATUSES: Mapping[str, str] = {
    "optimal": "a coupling that meets every budget, and a proof that none is better by more than tol",
    "feasible": "a coupling that meets every budget and a valid lower bound, further apart than tol",
    "infeasible": "a proof that no coupling meets the budgets",
    "near-feasible": "a coupling that may exceed a budget by the excess shown (rounding), and a valid lower bound",
    "unknown": "neither a coupling that meets the budgets nor a proof that none exists",
}


@dataclass(frozen=True)
class Multipliers:
    """What one more unit of a budget is worth: −d objective / d budget, in the objective's unit per unit of the budget.

    NaN where unknown, and for what is minimised, which has no budget.
    """

    rate: float
    classification: float
    distortion: float = math.nan
    perception: float = math.nan


@dataclass(frozen=True)
class Residuals:
    """How far the returned coupling is from meeting each condition, recomputed from the caller's arrays.

    Marginal residuals are the sum of absolute errors; ``rate``, ``classification`` and ``distortion`` are the amount by
    which the budget may be exceeded, rounded up, in the solution's units: 0 when it is proved to be met by the
    coupling moved onto the exact marginals px/Σpx and py/Σpy, a matter of its last digits.
    """

    row_marginal: float
    column_marginal: float
    negativity: float
    rate: float
    classification: float
    distortion: float = 0.0


@dataclass(frozen=True, eq=False)
class Component:
    """One part of a mixture: its weight, its coupling and, for one-shot codes, its map.

    ``map`` holds f(x) for each x, or is None for time-sharing. ``distortion`` is E d under this component,
    ``rate`` is I_q(X;Y) (time-sharing) or H(f(X)) (one-shot), ``classification_loss`` is H_q(S|Y).
    """

    weight: float
    coupling: FloatArray
    map: np.ndarray | None
    distortion: float
    rate: float
    classification_loss: float


@dataclass(frozen=True, eq=False)
class Mixture:
    """The components shared by encoder and decoder through the common randomness U (or Q)."""

    components: tuple[Component, ...]

    def __len__(self) -> int:
        return len(self.components)

    def __iter__(self) -> Iterator[Component]:
        return iter(self.components)

    @property
    def weights(self) -> FloatArray:
        """Probabilities of the components."""
        return np.array([c.weight for c in self.components])

    def sample(self, x: Any, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw U and reconstruct: for letters ``x`` return (y, u), u the index of the component used.

        A one-shot code applies the map of component u; time-sharing draws y from its coupling.
        """
        x = np.asarray(x, dtype=np.intp)
        weights = self.weights
        u = rng.choice(len(weights), size=x.shape, p=weights / weights.sum())
        y = np.empty(x.shape, dtype=np.intp)
        for q, component in enumerate(self.components):
            here = u == q
            if component.map is not None:
                y[here] = component.map[x[here]]
                continue
            rows = component.coupling / component.coupling.sum(axis=1, keepdims=True).clip(1e-300)
            y[here] = (rng.random((int(here.sum()), 1)) > np.cumsum(rows[x[here]], axis=1)).sum(axis=1)
        return np.minimum(y, self.components[0].coupling.shape[1] - 1), u


@dataclass(frozen=True, eq=False)
class Solution:
    """The answer to one problem at one pair of budgets, with its proof.

    Attributes
    ----------
    status : str
        "optimal", "feasible", "infeasible" or "unknown"; :data:`STATUSES` says what each promises.
    termination : str
        Why the engine stopped, in words.
    distortion : float
        E d(X,Y) of ``coupling``: an upper bound on the optimum. inf if infeasible, NaN if unknown.
    lower_bound : float
        A proved lower bound on the objective's optimum; −inf if none is known, inf if infeasible.
    value, gap : float
        The objective at ``coupling``, and value − lower_bound.
    excess : float
        By how much the coupling may exceed a budget, in ``units``: 0 unless the status is "near-feasible".
    objective : str
        What was minimised: "distortion", "rate" or "classification_loss"; ``value``, ``lower_bound`` and ``gap`` are
        of that, in its unit: that of d, or ``units``.
    coupling : (n, m) array
        The joint pmf of (X, Y); all NaN if there is none.
    rate, classification_loss : float
        What the formulation's two budgets limit, evaluated at the answer, in ``units``.
    multipliers : Multipliers
        −d distortion / d budget of the dual solution.
    residuals : Residuals
        Recomputed from the caller's arrays.
    engine : str
        Which engine proposed the answer.
    seconds : float
        Wall-clock time.
    stats : dict
        Counts the engine kept (iterations, kernel evaluations, nodes, columns ...).
    mixture : Mixture or None
        Components for "time-sharing" and "one-shot"; None for "single-letter".
    certificate : object or None
        The dual evidence behind ``lower_bound``.
    proved_lower_bound, proved_distortion : float
        With ``verify="interval"``: an interval around the optimum, rounded outward, that the independent checker
        proved from the certificate in exact and ball arithmetic; for ``distortion`` as the objective both in
        the unit of d. The upper end is inf if the point is not proved to meet the budgets strictly; both are inf if
        it is proved that no point does. For a classification loss the lower end is in ``units``, the upper NaN.
        NaN where it was not asked for.
    verified : bool or None
        Whether the checker accepted the certificate; None if it was not asked to.
    formulation, classifier_sees, distortion_budget, rate_budget, classification_budget, units
        What was asked, budgets on information in ``units``.
    """

    status: str
    termination: str
    distortion: float
    lower_bound: float
    coupling: FloatArray
    rate: float
    classification_loss: float
    multipliers: Multipliers
    residuals: Residuals
    engine: str
    seconds: float
    formulation: str
    classifier_sees: str
    rate_budget: float
    classification_budget: float
    units: str
    objective: str = "distortion"
    distortion_budget: float = math.inf
    mixture: Mixture | None = None
    certificate: Any = None
    stats: dict[str, Any] = field(default_factory=dict)
    proved_lower_bound: float = math.nan
    proved_distortion: float = math.nan
    verified: bool | None = None

    @property
    def excess(self) -> float:
        """By how much the coupling may exceed a budget, in ``units``: 0 unless "near-feasible" (NaN without one)."""
        return max(self.residuals.rate, self.residuals.classification, self.residuals.distortion)

    @property
    def value(self) -> float:
        """The objective at ``coupling``, in the objective's unit: inf if infeasible, NaN if there is no point."""
        return float(getattr(self, self.objective))

    @property
    def gap(self) -> float:
        """value − lower_bound: 0 if infeasible is proved, NaN if there is no point."""
        return 0.0 if self.status == "infeasible" else self.value - self.lower_bound

    def __repr__(self) -> str:
        budgets = (("D", self.distortion_budget), ("R", self.rate_budget), ("C", self.classification_budget))
        limits = [f"{letter}={b:.6g}" for letter, b in budgets if math.isfinite(b) or letter != "D"]
        unit = "" if self.objective == "distortion" else f" {self.units}"
        names = ("distortion", "rate", "classification_loss")
        rest = [f"{name}={getattr(self, name):.6g}" for name in names if name != self.objective]
        excess = f"; exceeds a budget by ≤ {self.excess:.2g}" if self.excess > 0 else ""
        return (
            f"Solution({self.status}: {self.objective}={self.value:.8g}, lower_bound={self.lower_bound:.8g}, "
            f"gap={self.gap:.2g}{unit}; {', '.join(rest)} {self.units}{excess}; "
            f"{self.formulation}, {', '.join(limits)} {self.units}; engine={self.engine})"
        )

    def _proved(self) -> dict[str, str]:
        if self.verified is None:
            return {}
        ends = f"[{self.proved_lower_bound:.12g}, {self.proved_distortion:.12g}]"
        if self.objective != "distortion":
            ends = f"[{self.proved_lower_bound:.12g}, ∞) {self.units}"
        return {"verified": f"{'yes' if self.verified else 'no'}: the optimum lies in {ends}"}

    def _repr_html_(self) -> str:
        unit = self.units.removesuffix("s")
        sees = {"Y": "H(S|Y)", "YU": "H(S|Y,U)"}[self.classifier_sees]

        def within(value: float, budget: float) -> str:
            return f"{_html.number(value)} {self.units} (budget {_html.number(budget)})"

        of_distortion = self.objective == "distortion"
        loss = f"classification loss {sees}"
        bound = f"{_html.number(self.lower_bound)}{'' if of_distortion else ' ' + self.units} (gap {self.gap:.2g})"
        least = {"distortion": _html.number(self.distortion)}
        rest = {loss: within(self.classification_loss, self.classification_budget)}
        if not of_distortion:
            least, rest = {loss: f"{_html.number(self.classification_loss)} {self.units}"}, least
        rows = {
            "status": f"{self.status}: {STATUSES[self.status]}",
            **least,
            "lower bound": bound,
            **self._proved(),
            **({"exceeds a budget by": f"at most {self.excess:.3g} {self.units}"} if self.excess > 0 else {}),
            "rate": within(self.rate, self.rate_budget),
            **rest,
            "multipliers": (
                f"rate {self.multipliers.rate:.5g}, classification {self.multipliers.classification:.5g} "
                f"distortion per {unit}"
            ),
        }
        if self.mixture is not None:
            rows["mixture"] = f"{len(self.mixture)} component{'' if len(self.mixture) == 1 else 's'}"
        rows["engine"] = f"{self.engine}, {self.seconds:.3g} s: {self.termination}"
        return _html.table(f"Solution, {self.formulation}", rows)
