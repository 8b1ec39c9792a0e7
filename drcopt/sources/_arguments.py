"""Scalar arguments of the sources, checked in the manner of :mod:`drcopt.support.check`."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Iterable
from typing import Any

from drcopt.errors import InputError


def number(name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, ends: bool = False) -> float:
    """A finite float strictly between ``low`` and ``high``, or (``ends``) between them."""
    if ends:
        rule = f"be a number from {low:g} to {high:g}"
    elif math.isinf(low) and math.isinf(high):
        rule = "be a finite number"
    elif math.isinf(high):
        rule = f"be a finite number greater than {low:g}"
    else:
        rule = f"be a number strictly between {low:.6g} and {high:.6g}"
    try:
        if isinstance(value, (bool, str)):
            raise TypeError
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} must {rule}; it is {value!r}. Pass such a number.") from None
    if not (low < result < high or (ends and result in (low, high))):
        raise InputError(f"{name} must {rule}; it is {result:.6g}. Pass such a number.")
    return result


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """An integer at least ``least`` and at most ``most``."""
    rule = f"be a whole number of at least {least}" if most is None else f"be a whole number from {least} to {most}"
    try:
        if isinstance(value, bool):
            raise TypeError
        result = operator.index(value)
    except TypeError:
        raise InputError(f"{name} must {rule}; it is {value!r}. Pass such an integer.") from None
    if result < least or (most is not None and result > most):
        raise InputError(f"{name} must {rule}; it is {result}. Pass such an integer.")
    return result


def parsed(source: str, names: Iterable[str]) -> tuple[str, dict[str, Any]] | None:
    """The name and the options that ``name:option=value,option=value`` means; None if it reads otherwise.

    >>> parsed("bernoulli:px=0.3,p1=0.1", ["bernoulli"])
    ('bernoulli', {'px': 0.3, 'p1': 0.1})
    """
    name = max((name for name in names if source.startswith(f"{name}:")), key=len, default=None)
    if name is None:
        return None
    options: dict[str, Any] = {}
    for part in source[len(name) + 1 :].split(","):
        key, sign, text = (piece.strip() for piece in part.partition("="))
        if not (key.isidentifier() and sign and text) or key in options:
            raise InputError(
                f"a source with options must read {name}:option=value,…, each option once; {part!r} does not fit. "
                "Write e.g. bernoulli:px=0.3,p1=0.1."
            )
        try:
            options[key] = json.loads(text)
        except ValueError:  # text, such as the name of a dataset
            options[key] = text
    return name, options
