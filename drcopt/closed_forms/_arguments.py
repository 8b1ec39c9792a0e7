"""Checked parameters and budgets of the closed forms."""

from __future__ import annotations

import math
from typing import Any, cast

from drcopt.errors import InputError
from drcopt.support.check import positive, real_number


def probability(name: str, value: Any, event: str) -> float:
    """A number in [0, 1]; ``event`` is what it is the probability of."""
    repair = f"Pass P({event}), a number in [0, 1]."
    number = real_number(name, value, repair)
    if not 0.0 <= number <= 1.0:
        raise InputError(f"{name} must be a probability in [0, 1]; it is {number:.6g}. {repair}")
    return number


def deviation(name: str, value: Any) -> float:
    """A standard deviation: positive and finite."""
    return cast(float, positive(name, value))


def finite(name: str, value: Any) -> float:
    """A finite real number."""
    repair = "Pass a finite number."
    number = real_number(name, value, repair)
    if math.isinf(number):
        raise InputError(f"{name} must be finite; it is {number}. {repair}")
    return number


def letters(name: str, value: Any) -> int:
    """The size of an alphabet: a whole number from 2 to 2**53, where 1 − 1/q is still below 1."""
    repair = "Pass the number of letters."
    number = real_number(name, value, repair)
    if not 2.0 <= number <= 2.0**53 or number != int(number):
        raise InputError(f"{name} must be a whole number from 2 to 2**53; it is {number:.6g}. {repair}")
    return int(number)


def real_budget(name: str, value: Any) -> float:
    """A budget that may be negative; None means none and becomes inf."""
    if value is None:
        return math.inf
    repair = "Pass any real number (h(S|Y) is a differential entropy), or None (or inf) for no budget."
    number = real_number(name, value, repair)
    if number == -math.inf:
        raise InputError(f"{name} must be a real number; it is -inf. {repair}")
    return number
