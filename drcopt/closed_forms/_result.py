"""What a closed form returns, and the budget rule that they share."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: A classification budget short by at most this many nats counts as met: entropies in float64 carry no more.
SLACK = 1e-14


@dataclass(frozen=True, eq=False)
class ClosedForm:
    """The value of a closed form at one pair of budgets; ``float(result)`` is the distortion.

    Attributes
    ----------
    distortion : float
        The least distortion; inf where no scheme meets the budgets.
    feasible : bool
        Whether the formula says that the budgets can be met.
    regime : str
        Which case applied: "optimal-transport floor", "lossless" (distortion 0, Y free), "rate-limited",
        "classification-limited", "perception-limited", "label-flipped", "infeasible", or "zero" (printed Gaussian
        formulas only).
    formula : str
        The expression that was evaluated.
    parameter : float
        The scalar that attains it (named by the function that returns it); nan where infeasible.

    Examples
    --------
    >>> from drcopt.closed_forms import bernoulli
    >>> least = bernoulli.exact(0.3, 0.25, 0.2, 0.7, 0.8, formulation="one-shot", classifier_sees="YU")
    >>> round(float(least), 4), least.regime
    (0.0664, 'rate-limited')
    """

    distortion: float
    feasible: bool
    regime: str
    formula: str
    parameter: float

    def __eq__(self, other: object) -> bool:
        """Of all fields; the nan of what is infeasible equals itself, as fields compared by Python 3.13 do not."""
        return isinstance(other, ClosedForm) and self._known() == other._known()

    def __hash__(self) -> int:
        return hash(self._known())

    def _known(self) -> tuple[object, ...]:
        return tuple(value for value in vars(self).values() if value == value)

    def __float__(self) -> float:
        return self.distortion


def infeasible(rule: str) -> ClosedForm:
    """The answer where the budgets cannot be met; ``rule`` is the inequality that fails."""
    return ClosedForm(math.inf, False, "infeasible", f"infeasible unless {rule}", math.nan)
