"""The quantities that are minimised or limited: what they are called, written and measured in.

A point of a problem is a vector of them, in the order of :data:`QUANTITIES`; a question minimises one and limits
the others. Inside they are in nats and the unit of d; outside, in the unit asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from drcopt.errors import InputError
from drcopt.information import NATS_PER
from drcopt.words import OBJECTIVES, Objective, Units


@dataclass(frozen=True)
class Quantity:
    """One of them.

    Attributes
    ----------
    name : str
        As in ``solution.objective``, in tables and on the command line.
    place : int
        Where it stands in vectors of all of them.
    symbol : str
        In formulas: "H(S|Y)".
    budget : str
        The letter of its budget: "C".
    informational : bool
        Whether it is measured in bits or nats; else it has the unit of d.
    """

    name: Objective
    place: int
    symbol: str
    budget: str
    informational: bool

    def __reduce__(self) -> tuple[object, ...]:
        # They are told apart by identity; a copy or one that another process sent must be the same object.
        return (quantity, (self.name,))

    @property
    def words(self) -> str:
        """In prose: "classification loss"."""
        return self.name.replace("_", " ")

    def limited_itself(self, given: str) -> InputError:
        """What is said to who limits what he minimises."""
        return InputError(
            f"{self.budget} must not be given where the {self.words} is minimised; it is {given}. "
            "Drop it, or minimise something else."
        )

    def inside(self, value: float, units: Units) -> float:
        """A value in ``units`` in nats, where it is information."""
        return value * NATS_PER[units] if self.informational else value

    def outside(self, value: float, units: Units) -> float:
        """A value in nats in ``units``, where it is information."""
        return value / NATS_PER[units] if self.informational else value


DISTORTION = Quantity("distortion", 0, "E d(X,Y)", "D", False)
RATE = Quantity("rate", 1, "I(X;Y)", "R", True)
CLASSIFICATION_LOSS = Quantity("classification_loss", 2, "H(S|Y)", "C", True)

#: In the order of their places.
QUANTITIES = (DISTORTION, RATE, CLASSIFICATION_LOSS)

#: What Y's law has of a divergence from a target. Where there is none, or several classes, it has no place in vectors:
#: questions limit it as a set of laws, and it is minimised between two sides (drcopt.least_perception).
PERCEPTION = Quantity("perception", 3, "φ(pY,t)", "P", False)

#: With the last, which surfaces have a place for.
EVERY = (*QUANTITIES, PERCEPTION)


def quantity(name: str) -> Quantity:
    """The quantity of this name.

    Raises
    ------
    InputError
        If there is none.
    """
    for one in EVERY:
        if one.name == name:
            return one
    raise InputError(f"objective must be one of {list(OBJECTIVES)}; it is {name!r}.")
