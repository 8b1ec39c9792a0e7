"""Validators for user input: copy to float64, check, freeze, and explain what is wrong in one sentence."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drcopt.errors import InputError, MissingExtraError

#: A pmf whose sum is within this of 1 is normalised (single-precision histograms are); beyond it, refused.
SUM_TOLERANCE = 1e-6

FloatArray = NDArray[np.float64]


def real_array(name: str, value: ArrayLike, ndim: int, *, nonnegative: bool = True) -> FloatArray:
    """A fresh float64 copy of ``value`` with ``ndim`` axes, finite and (by default) nonnegative."""
    try:
        array = np.array(value)
        if np.iscomplexobj(array):
            raise TypeError("complex entries")
        array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as reason:
        raise InputError(
            f"{name} must be an array of real numbers; it could not be read as one ({reason}). "
            f"Pass a list or NumPy array of floats."
        ) from None
    if array.ndim != ndim:
        shape = {1: "(n,)", 2: "(rows, columns)"}[ndim]
        raise InputError(
            f"{name} must have {ndim} ax{'is' if ndim == 1 else 'es'}, shape {shape}; "
            f"it has shape {array.shape}. Reshape it."
        )
    if array.size == 0:
        raise InputError(f"{name} must not be empty; it has shape {array.shape}. Give it at least one letter.")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        raise InputError(
            f"{name} must be finite; {_at(name, bad[0])} is {array[tuple(bad[0])]}. "
            f"Replace or remove the {len(bad)} non-finite entr{'y' if len(bad) == 1 else 'ies'}."
        )
    if nonnegative:
        bad = np.argwhere(array < 0)
        if len(bad):
            raise InputError(
                f"{name} must be nonnegative; {_at(name, bad[0])} is {array[tuple(bad[0])]:.6g}. "
                + ("Add a constant to d: it shifts every distortion by that constant." if name == "d"
                   else "Clip it at 0 and renormalise if it is rounding error.")
            )
    return array


def pmf(name: str, value: ArrayLike) -> tuple[FloatArray, float]:
    """A normalised, read-only pmf and the amount its sum was off 1."""
    array = real_array(name, value, 1)
    total = math.fsum(array)
    if abs(total - 1.0) > SUM_TOLERANCE:
        raise InputError(
            f"{name} must sum to 1 (tolerance {SUM_TOLERANCE:g}); it sums to {total:.10g}. "
            f"Pass {name} / {name}.sum() if it is an unnormalised histogram."
        )
    return freeze(_normalised(array, total)), total - 1.0


def channel(name: str, value: ArrayLike, rows: int) -> tuple[FloatArray, float]:
    """A normalised, read-only row-stochastic matrix with ``rows`` rows, and its largest row-sum error."""
    array = real_array(name, value, 2)
    if array.shape[0] != rows:
        turned = array.ndim == 2 and array.shape[1] == rows
        raise InputError(
            f"{name} must have one row per letter of px, shape ({rows}, k); it has shape {array.shape}. "
            + ("Pass its transpose." if turned else "Give one row p(s|x) for each x.")
        )
    totals = np.array([math.fsum(row) for row in array])
    worst = int(np.argmax(np.abs(totals - 1.0)))
    if abs(totals[worst] - 1.0) > SUM_TOLERANCE:
        raise InputError(
            f"each row of {name} must sum to 1 (tolerance {SUM_TOLERANCE:g}); row {worst} sums to "
            f"{totals[worst]:.10g}. Pass W / W.sum(axis=1, keepdims=True) if it holds counts."
        )
    return freeze(_normalised(array, totals[:, None])), float(np.abs(totals - 1.0).max())


def budget(name: str, value: Any) -> float:
    """A budget as a nonnegative float; None means no such budget and becomes inf."""
    if value is None:
        return math.inf
    number = _number(name, value, "Pass a nonnegative number, or None (or inf) for no budget.")
    if number < 0:
        raise InputError(
            f"{name} must be nonnegative; it is {number:.6g}. Pass a nonnegative number, or None for no budget."
        )
    return number


def positive(name: str, value: Any, *, allow_none: bool = False) -> float | None:
    """A positive finite number (or None where allowed)."""
    if value is None and allow_none:
        return None
    repair = f"Pass a positive number{' or None' if allow_none else ''}."
    number = _number(name, value, repair)
    if not 0 < number < math.inf:
        raise InputError(f"{name} must be positive and finite; it is {number:.6g}. {repair}")
    return number


def choice(name: str, value: Any, options: Iterable[str]) -> str:
    """One of a few names."""
    known = list(options)
    if not isinstance(value, str) or value not in known:
        raise InputError(f"{name} must be one of {', '.join(map(repr, known))}; it is {value!r}. Pass one of them.")
    return value


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency, or say which extra installs it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtraError(
            f"{purpose} needs {module.split('.')[0]}, which is not installed. "
            f"Run: pip install 'drcopt[{extra}]'"
        ) from None


def freeze(array: FloatArray) -> FloatArray:
    """The same array, read-only."""
    array.flags.writeable = False
    return array


def _normalised(array: FloatArray, total: float | FloatArray) -> FloatArray:
    # Sums that are 1 to rounding are left alone, so that normalising twice changes nothing.
    return array / np.where(np.abs(np.asarray(total) - 1.0) <= 1e-14, 1.0, total)


def _number(name: str, value: Any, repair: str) -> float:
    try:
        if isinstance(value, (bool, str)):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} must be a number; it is {value!r}. {repair}") from None
    if math.isnan(number):
        raise InputError(f"{name} must be a number; it is nan. {repair}")
    return number


def _at(name: str, index: Any) -> str:
    return f"{name}[{', '.join(str(int(i)) for i in index)}]"
