"""What a solve returns: always the same fields, whatever happened."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from drcopt import words
from drcopt.components import ByClass as ByClass
from drcopt.components import Component as Component
from drcopt.components import Message, Mixture, ReadOnly, channel_of, draw
from drcopt.errors import InputError
from drcopt.labels import Labels
from drcopt.problem import Problem
from drcopt.support import check, html
from drcopt.support.check import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["STATUSES", "Component", "Message", "Mixture", "Multipliers", "Residuals", "Solution"]

#: Every status and what it promises.
STATUSES: Mapping[words.Status, str] = {
    "optimal": "a coupling that meets every budget, and a proof that none is better by more than tol",
    "feasible": "a coupling that meets every budget and a valid lower bound, further apart than tol",
    "near-feasible": "a coupling that may exceed a budget by the excess shown (rounding), and a valid lower bound",
    "infeasible": "a proof that no coupling meets the budgets",
    "unknown": "neither a coupling that meets the budgets nor a proof that none exists",
}


@dataclass(frozen=True)
class Multipliers:
    """What one more unit of a budget is worth: −d objective / d budget, in the objective's unit per unit of the budget.

    NaN where unknown, and for what is minimised, which has no budget.
    """

    rate: float
    #: With several classes a mapping, by name.
    classification: Any
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
class Solution(ReadOnly):
    """The answer to one problem at one pair of budgets, with its proof.

    Attributes
    ----------
    status : str
        "optimal", "feasible", "near-feasible", "infeasible" or "unknown"; :data:`STATUSES` says what each promises.
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
        What was minimised: "distortion", "rate", "classification_loss" or "perception"; ``value``, ``lower_bound`` and
        ``gap`` are of that, in its unit: that of d, or ``units``.
    coupling : (n, m) array
        The joint pmf of (X, Y); all NaN if there is none.
    rate, classification_loss : float
        What the formulation's two budgets limit, evaluated at the answer, in ``units``. With several classes
        ``classification_loss``, its budget and its multiplier are mappings, by the name of the class.
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
    problem : Problem or None
        Of what problem this is the answer; it brings the names of the letters.
    perception, perception_kind, perception_budget
        The divergence of Y's law from its target, which it is and its budget, where there is one.
    of : str
        With several classes, where a classification loss was minimised, the name of the class that it is of.
    class_loss : str
        What ``classification_loss`` and its budget are: "entropy" H(S|Y), in ``units``; "error" the Bayes error;
        "table" the loss of the best decision, in the unit of the table given.
    message : Message or None
        With ``classifier_sees="message"``: what the decoder decodes.

    Notes
    -----
    Derived from the coupling: ``channel``, ``output_law``, ``accuracy``, ``bayes_error``, ``frame()`` and ``sample()``.
    Arrays are read-only.

    Examples
    --------
    >>> import drcopt
    >>> solution = drcopt.solve(drcopt.sources.bernoulli(), R=0.6, C=0.85)
    >>> solution.status, round(solution.value, 6), round(solution.rate, 6), round(solution.accuracy, 4)
    ('optimal', 0.052532, 0.6, 0.7685)
    >>> round(float(solution.channel[0, 0]), 4), solution.sample([0, 1, 0], rng=1).tolist()
    (0.9982, [0, 1, 0])
    >>> solution.frame().shape
    (2, 2)
    """

    status: words.Status
    termination: str
    distortion: float
    lower_bound: float
    coupling: FloatArray
    rate: float
    classification_loss: Any
    multipliers: Multipliers
    residuals: Residuals
    engine: str
    seconds: float
    formulation: words.Formulation
    classifier_sees: words.ClassifierSees
    rate_budget: float
    classification_budget: Any
    units: words.Units
    objective: words.Objective = "distortion"
    distortion_budget: float = math.inf
    mixture: Mixture | None = None
    certificate: Any = None
    stats: dict[str, Any] = field(default_factory=dict)
    proved_lower_bound: float = math.nan
    proved_distortion: float = math.nan
    verified: bool | None = None
    problem: Problem | None = None
    perception: float = math.nan
    perception_kind: words.Divergence | Literal[""] = ""
    perception_budget: float = math.inf
    message: Message | None = None
    class_loss: str = "entropy"
    of: str = ""

    @property
    def labels(self) -> Labels:
        """Names of the letters of X, Y and S, if the problem has them."""
        return Labels() if self.problem is None else self.problem.labels

    @property
    def channel(self) -> FloatArray:
        """p(y|x), shape (n, m): how to reconstruct. A letter x without mass gets the law of Y, where any would do."""
        return check.freeze(channel_of(self.coupling))

    @property
    def output_law(self) -> FloatArray:
        """p(y), shape (m,)."""
        return check.freeze(self.coupling.sum(axis=0))

    @property
    def law(self) -> Literal["given", "near", "free"]:
        """What Y's law was held to: that of the problem, to lie near a target, or nothing."""
        if math.isfinite(self.perception_budget):
            return "near"
        return "free" if self.perception_kind or (self.problem is not None and self.problem.free) else "given"

    @property
    def accuracy(self) -> Any:
        """How often the best (MAP) classifier is right: Σ_y max_s p(s,y), or given what else C counts (U, a message).

        NaN if there is no point. With several classes a mapping, by name.
        """
        if self.problem is None or np.isnan(self.coupling).any():
            return math.nan
        if self.problem.classes is not None:
            P = self.coupling if self.message is None else (self.message.weights[:, None] * self.message.posteriors).T
            right = {of: (W.T @ P).max(axis=0).sum() for of, W in self.problem.classes.items()}
            return ByClass({of: float(share) for of, share in right.items()})
        parts = [(1.0, self.coupling)]
        if self.mixture is not None and (self.classifier_sees == "YU" or self.formulation == "time-sharing"):
            parts = [(part.weight, part.coupling) for part in self.mixture]
        if self.message is not None:
            return float(self.message.weights @ self.message.classes.max(axis=1))
        W = self.problem.ps_given_x.T
        return float(sum(weight * (W @ coupling).max(axis=0).sum() for weight, coupling in parts))

    @property
    def bayes_error(self) -> Any:
        """1 − accuracy: the least probability of error of a classifier that sees what C is about."""
        found = self.accuracy
        return ByClass({of: 1.0 - a for of, a in found.items()}) if isinstance(found, ByClass) else 1.0 - found

    def frame(self, what: Literal["coupling", "channel"] = "coupling") -> pd.DataFrame:
        """p(x,y) as a DataFrame, or p(y|x) (``what="channel"``): X down, Y across, letters by name if they have any.

        >>> import drcopt
        >>> drcopt.solve(drcopt.sources.bernoulli(), R=0.5).frame("channel").loc[1].round(3).tolist()
        [0.208, 0.792]
        """
        import pandas as pd

        values = getattr(self, check.choice("what", what, ("coupling", "channel")))
        names = [
            pd.Index(letters or range(size), name=axis, tupleize_cols=False)
            for axis, letters, size in zip("xy", (self.labels.x, self.labels.y), values.shape, strict=True)
        ]
        return pd.DataFrame(values, index=names[0], columns=names[1], copy=True)

    def sample(self, x: Any, rng: np.random.Generator | int | None) -> np.ndarray:
        """Reconstruct letters at random, as the solution does: y for each x, of the shape of x.

        Parameters
        ----------
        x : array of letters
            By name if the problem names the letters of X, else by place, 0 to n − 1. So is what comes back.
        rng : numpy.random.Generator or int
            The generator, or a seed for one.

        Raises
        ------
        InputError
            If x holds anything else, or there is no solution to sample.

        Examples
        --------
        >>> import drcopt
        >>> drcopt.solve(drcopt.sources.bernoulli(), R=0.5).sample([0, 0, 1, 1], rng=1)
        array([0, 0, 0, 1])
        """
        if np.isnan(self.coupling).any():
            raise InputError(f"sample must have a point to draw from; this solution is {self.status}.")
        named, letters = self.labels.x is not None, self.labels.y
        places = check.indices("x", self._places(x) if named else x, len(self.coupling))
        if self.mixture is None:
            y = draw(channel_of(self.coupling), places, check.generator(rng))
        else:
            y, _ = self.mixture.sample(places, rng)
        if letters is None:
            return y
        names = np.empty(len(letters), dtype=object)
        names[:] = letters
        chosen = np.empty(y.shape, dtype=object)
        chosen[...] = names[y]
        return np.array(chosen.tolist()) if all(map(np.isscalar, letters)) else chosen

    def _places(self, x: Any) -> np.ndarray:
        where = {name: i for i, name in enumerate(self.labels.x or ())}

        def place(item: Any) -> Any:
            if isinstance(item, Hashable) and item in where:  # a tuple may be a letter
                return where[item]
            if isinstance(item, (list, tuple)):
                return [place(each) for each in item]
            raise InputError(
                f"x must hold letters by name, those of {check.shown(list(where))}; it holds {item!r}. Correct or "
                "drop it."
            )

        return np.array(place(x.tolist() if hasattr(x, "tolist") else x), dtype=np.intp)

    @property
    def excess(self) -> float:
        """By how much the coupling may exceed a budget, in ``units``: 0 unless "near-feasible" (NaN without one)."""
        return max(self.residuals.rate, self.residuals.classification, self.residuals.distortion)

    @property
    def loss_units(self) -> str:
        """The unit of ``classification_loss`` and its budget: ``units``, or "" where it is no information."""
        return self.units if self.class_loss == "entropy" else ""

    @property
    def value(self) -> float:
        """The objective at ``coupling``, in the objective's unit: inf if infeasible, NaN if there is no point."""
        found = getattr(self, self.objective)
        return float(found[self.of] if isinstance(found, ByClass) else found)

    @property
    def gap(self) -> float:
        """value − lower_bound: 0 if infeasible is proved, NaN if there is no point."""
        return 0.0 if self.status == "infeasible" else self.value - self.lower_bound

    def __repr__(self) -> str:
        budgets = (("D", self.distortion_budget), ("R", self.rate_budget), ("C", self.classification_budget))
        limits = [f"{letter}={b:.6g}" for letter, b in budgets if letter != "D" or math.isfinite(b)]
        if math.isfinite(self.perception_budget):
            limits.append(f"P={self.perception_budget:.6g} ({self.perception_kind})")
        unit = "" if self.objective in ("distortion", "perception") else f" {self.units}"
        names = ["distortion", "rate", "classification_loss"]
        if not math.isnan(self.perception) and self.objective != "perception":
            names.insert(0, "perception")
        rest = [f"{name}={getattr(self, name):.6g}" for name in names if name != self.objective]
        of = "" if self.class_loss == "entropy" else f", class_loss={self.class_loss}"
        if of and self.objective == "classification_loss":
            unit = ""
        excess = f"; exceeds a budget by ≤ {self.excess:.2g}" if self.excess > 0 else ""
        if self.of:
            rest.append(f"classification_loss={self.classification_loss:.6g}")
        least = self.objective + f"[{self.of}]" * bool(self.of)
        return (
            f"Solution({self.status}: {least}={self.value:.8g}, lower_bound={self.lower_bound:.8g}, "
            f"gap={self.gap:.2g}{unit}; {', '.join(rest)} {self.units}{excess}; "
            f"{self.formulation}{of}, {', '.join(limits)} {self.units}; engine={self.engine})"
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
        sees = {"Y": "H(S|Y)", "YU": "H(S|Y,U)", "message": "H(S|V)"}[self.classifier_sees]
        of = {"entropy": sees, "error": "(Bayes error)"}.get(self.class_loss, "(of the best decision)")

        def said(name: str, value: float, budget: float, units: str) -> str:
            limit = (
                ""
                if name == self.objective or (not units and math.isinf(budget))
                else f" (budget {html.number(budget)})"
            )
            return f"{html.number(value)}{units}{limit}"

        names = {"distortion": "distortion", "rate": "rate", "classification_loss": f"classification loss {of}"}
        asked = {
            "distortion": (self.distortion_budget, ""),
            "rate": (self.rate_budget, f" {self.units}"),
            "classification_loss": (self.classification_budget, f" {self.loss_units}".rstrip()),
        }
        if self.perception_kind:
            names["perception"] = f"perception φ(pY,t), {self.perception_kind}"
            asked["perception"] = (self.perception_budget, "")
        values = {name: said(name, getattr(self, name), *asked[name]) for name in names}
        least = {names[self.objective]: values.pop(self.objective)}
        rest = {names[name]: text for name, text in values.items()}
        bound = f"{html.number(self.lower_bound)}{asked[self.objective][1]} (gap {self.gap:.2g})"
        rows = {
            "status": f"{self.status}: {STATUSES[self.status]}",
            **least,
            "lower bound": bound,
            **self._proved(),
            **({"exceeds a budget by": f"at most {self.excess:.3g} {self.units}"} if self.excess > 0 else {}),
            **rest,
            "multipliers": (
                f"rate {self.multipliers.rate:.5g}, classification {self.multipliers.classification:.5g} "
                f"{self.objective.replace('_', ' ')} per {unit}"
            ),
        }
        if self.mixture is not None:
            rows["mixture"] = f"{len(self.mixture)} component{'' if len(self.mixture) == 1 else 's'}"
        if self.problem is not None and not np.isnan(self.coupling).any():
            rows["accuracy of the best classifier"] = f"{self.accuracy:.6g} (Bayes error {self.bayes_error:.6g})"
        rows["engine"] = f"{self.engine}, {self.seconds:.3g} s: {self.termination}"
        return html.table(f"Solution, {self.formulation}", rows)
