"""The errors a user can meet; every message names the argument, the rule, what arrived and the repair."""

from __future__ import annotations

__all__ = [
    "CheckpointError", "DrcoptError", "InfeasibleError", "InputError", "MissingExtraError", "NotSolvedError",
    "OutputError",
]  # fmt: skip


class DrcoptError(Exception):
    """Base class of every error raised on purpose by drcopt."""


class InputError(DrcoptError, ValueError):
    """An argument breaks a rule; raised before anything is solved."""


class InfeasibleError(DrcoptError):
    """No coupling meets the budgets, and that is proved.

    Attributes
    ----------
    budget : str
        The budget that cannot be met: ``"C"``, ``"D"``, or ``"P"`` where some law of Y would do and none so near.
    least : float
        A certified lower bound on the least value of that budget that can be met, in ``units``.
    units : str
        ``"bits"`` or ``"nats"``.
    """

    def __init__(self, message: str, *, budget: str, least: float, units: str) -> None:
        super().__init__(message)
        self.budget = budget
        self.least = least
        self.units = units

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions pickle by their args alone; worker processes must hand this one back whole.
        return (_rebuild_infeasible, (str(self), self.budget, self.least, self.units))


def _rebuild_infeasible(message: str, budget: str, least: float, units: str) -> InfeasibleError:
    return InfeasibleError(message, budget=budget, least=least, units=units)


class NotSolvedError(DrcoptError):
    """Neither a coupling that meets the budgets nor a proof that none exists was found."""


class CheckpointError(DrcoptError):
    """A checkpoint belongs to another problem or other settings, or cannot be used."""


class OutputError(DrcoptError, OSError):
    """A file could not be written, as on a full disk; what was there before is untouched."""


class MissingExtraError(DrcoptError, ImportError):
    """An optional dependency is needed; the message names the extra to install."""
