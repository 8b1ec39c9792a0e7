"""What every piece of dual evidence can do."""

from __future__ import annotations

from typing import Protocol, Self

from drcopt.formulations import Question
from drcopt.problem import Standard


class Evidence(Protocol):
    """Multipliers that prove half-spaces, and so a lower bound on whatever a question minimises."""

    def bound(self, question: Question) -> float:
        """A valid lower bound on the question's optimum, rounded down; inf if no point meets its limits."""
        ...

    def framed(self, change: Standard) -> Self:
        """The same evidence, found for a problem in its standard form, for the problem as it was."""
        ...
