"""The errors a user can meet; every message names the argument, the rule, what arrived and the repair."""

from __future__ import annotations

__all__ = [
    "CheckpointError", "DrcoptError", "InfeasibleError", "InputError", "MissingExtraError", "NotSolvedError",
    "OutputError",
]  # fmt: skip


class DrcoptError(Exception):
    """Base class of every error raised on purpose by drcopt.

    Examples
    --------
    >>> import drcopt
    >>> try:
    ...     drcopt.Problem([5, 7], [0.5, 0.5], [[1, 0], [0, 1]])
    ... except drcopt.DrcoptError as error:
    ...     print(type(error).__name__)
    InputError
    """


class InputError(DrcoptError, ValueError):
    """An argument breaks a rule; raised before anything is solved.

    Examples
    --------
    >>> import drcopt
    >>> try:
    ...     drcopt.Problem([5, 7], [0.5, 0.5], [[1, 0], [0, 1]])
    ... except drcopt.InputError as error:
    ...     print(error)
    px must sum to 1 (tolerance 1e-06); it sums to 12. Pass px / px.sum() if it is an unnormalised histogram.
    """


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

    Examples
    --------
    >>> import drcopt
    >>> try:
    ...     drcopt.solve(drcopt.sources.bernoulli(), R=0.2, C=0.8)
    ... except drcopt.InfeasibleError as error:
    ...     print(error.budget, round(error.least, 3), error.units)
    C 0.892 bits
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
    """Neither a coupling that meets the budgets nor a proof that none exists was found.

    Examples
    --------
    >>> import drcopt
    >>> issubclass(drcopt.NotSolvedError, drcopt.DrcoptError)
    True
    """


class CheckpointError(DrcoptError):
    """A checkpoint belongs to another problem or other settings, or cannot be used.

    Examples
    --------
    >>> import drcopt
    >>> try:
    ...     drcopt.sweep(drcopt.sources.bernoulli(), R=0.2, checkpoint="nowhere/rows.jsonl")
    ... except drcopt.CheckpointError as error:
    ...     print(str(error).split(";")[0])
    checkpoint must be a file that can be written
    """


class OutputError(DrcoptError, OSError):
    """A file could not be written, as on a full disk; what was there before is untouched.

    Examples
    --------
    >>> import drcopt
    >>> issubclass(drcopt.OutputError, OSError)
    True
    """


class MissingExtraError(DrcoptError, ImportError):
    """An optional dependency is needed; the message names the extra to install.

    Examples
    --------
    >>> import drcopt
    >>> issubclass(drcopt.MissingExtraError, ImportError)
    True
    """
