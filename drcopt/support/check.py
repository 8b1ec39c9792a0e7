"""Validators for user input: copy to float64, check, freeze, and explain what is wrong in one sentence."""

from __future__ import annotations

import difflib
import importlib
import math
from collections.abc import Iterable
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drcopt.errors import InputError, MissingExtraError

#: A pmf whose sum is within this of 1 is normalised (single-precision histograms are); beyond it, refused.
SUM_TOLERANCE = 1e-6

#: Shapes as messages give them, by number of axes.
SHAPES = {1: "(n,)", 2: "(rows, columns)"}

FloatArray = NDArray[np.float64]

Word = TypeVar("Word", bound=str)


def real_array(
    name: str, value: ArrayLike, ndim: int, *, nonnegative: bool = True, infinite: bool = False
) -> FloatArray:
    """A fresh float64 copy of ``value`` with ``ndim`` axes, finite (or ``infinite``: +inf too) and nonnegative."""
    array = _floats(name, value, ndim)
    if array.ndim != ndim:
        raise InputError(
            f"{name} must have shape {SHAPES[ndim]}; it has shape {array.shape}. "
            + ("Flatten it if it is a row or column." if ndim == 1 else "Give one row per letter of X.")
        )
    if array.size == 0:
        raise InputError(f"{name} must not be empty; it has shape {array.shape}. Give it at least one letter.")
    bad = np.argwhere(~(np.isfinite(array) | (infinite & np.isposinf(array))))
    if len(bad):
        raise InputError(
            f"{name} must be finite; {_at(name, bad[0])} is {array[tuple(bad[0])]}. "
            + ("Replace or remove it." if len(bad) == 1 else f"Replace or remove the {len(bad)} non-finite entries.")
        )
    if nonnegative:
        bad = np.argwhere(array < 0)
        if len(bad):
            raise InputError(
                f"{name} must be nonnegative; {_at(name, bad[0])} is {array[tuple(bad[0])]:.6g}. "
                + (
                    "Add a constant to d: it shifts every distortion by that constant."
                    if name == "d"
                    else "Clip it at 0 and renormalise if it is rounding error."
                )
            )
    return array


def _floats(name: str, value: ArrayLike, ndim: int) -> FloatArray:
    def refuse(reason: str) -> InputError:
        return InputError(
            f"{name} must be an array of real numbers, shape {SHAPES[ndim]}; {reason}. "
            "Pass a list or NumPy array of floats."
        )

    if np.ma.is_masked(value):
        raise InputError(
            f"{name} must have a value everywhere; it is a masked array with entries masked out. Fill or remove them."
        )
    try:
        array = np.array(value)
    except (TypeError, ValueError, OverflowError):
        raise refuse("its rows differ in length or are no sequences") from None
    if array.ndim == 0:
        raise refuse(f"it is {shown(value)}")
    # Text would convert, and dates count days; a caller who passes either has picked the wrong column.
    if array.dtype.kind not in "biufO":
        raise refuse(f"its entries are of type {array.dtype.type.__name__}")
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as reason:
        raise refuse(f"it holds something else ({reason})") from None


def pmf(name: str, value: ArrayLike, beside: tuple[str, Any] | None = None) -> tuple[FloatArray, float]:
    """A normalised, read-only pmf and the amount its sum was off 1; ``beside``: where its mass is to go."""
    array = real_array(name, value, 1)
    total = _sum(array)
    if abs(total - 1.0) > SUM_TOLERANCE:
        raise InputError(
            f"{name} must sum to 1 (tolerance {SUM_TOLERANCE:g}); it sums to {total:.10g}. "
            + (
                _unequal(name, total, beside) or f"Pass {name} / {name}.sum() if it is an unnormalised histogram."
                if 0 < total < math.inf
                else "Pass probabilities."
            )
        )
    return freeze(_normalised(array, total)), total - 1.0


def _unequal(name: str, total: float, beside: tuple[str, Any] | None) -> str:
    """What to do about masses that differ; "" where the other is none, or as large."""
    if beside is None:
        return ""
    other, value = beside
    try:
        most = _sum(real_array(other, value, 1))
    except (InputError, TypeError):
        return ""
    if not 0 < most < math.inf or abs(most - 1.0) <= SUM_TOLERANCE or abs(most - total) <= SUM_TOLERANCE * total:
        return ""
    lighter, what = (other, "column") if most < total else (name, "row")
    return (
        f"{other} sums to {most:.10g}, so that no coupling has both. Divide each by its own sum to move all mass in "
        f"proportion; or give {lighter} one more letter, of mass {abs(most - total):.10g}, and d a {what} with what a "
        f"unit left over costs, and divide both by {max(most, total):.10g}."
    )


def channel(name: str, value: ArrayLike, px: FloatArray) -> tuple[FloatArray, float]:
    """A normalised, read-only row-stochastic matrix with a row for each letter of X, and its largest row-sum error.

    A letter that px gives no mass may have an empty row (all zero, or with NaN), as counts leave it. Any row would
    do there; it gets the law of S, which changes no quantity.
    """
    rows = len(px)
    array = _floats(name, value, 2)
    idle = np.zeros(len(array), dtype=bool)
    if array.ndim == 2 and array.size and len(array) == rows:
        idle = (px == 0) & (np.isnan(array).any(axis=1) | (array == 0).all(axis=1))
        array[idle] = 1.0 / array.shape[1]
    array = real_array(name, array, 2)
    if array.shape[0] != rows:
        turned = array.shape[1] == rows
        raise InputError(
            f"{name} must have one row per letter of px, shape ({rows}, k); it has shape {array.shape}. "
            + ("Pass its transpose." if turned else "Give one row p(s|x) for each x.")
        )
    totals = np.array([_sum(row) for row in array])
    worst = int(np.argmax(np.abs(totals - 1.0)))
    if abs(totals[worst] - 1.0) > SUM_TOLERANCE:
        turned = len(array) == array.shape[1] and all(abs(_sum(column) - 1.0) <= SUM_TOLERANCE for column in array.T)
        raise InputError(
            f"each row of {name} must sum to 1 (tolerance {SUM_TOLERANCE:g}); row {worst} sums to "
            f"{totals[worst]:.10g}. "
            + (
                "Its columns do: pass its transpose."
                if turned
                else f"Pass {name} / {name}.sum(axis=1, keepdims=True) if it holds counts."
            )
        )
    array = _normalised(array, totals[:, None])
    if idle.any():
        array[idle] = px @ array
    return freeze(array), float(np.abs(totals - 1.0).max())


def budget(name: str, value: Any) -> float:
    """A budget as a nonnegative float; None means no such budget and becomes inf."""
    if value is None:
        return math.inf
    number = real_number(name, value, "Pass a nonnegative number, or None (or inf) for no budget.")
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
    number = real_number(name, value, repair)
    if not 0 < number < math.inf:
        raise InputError(f"{name} must be positive and finite; it is {number:.6g}. {repair}")
    return number


def instance(name: str, value: Any, kind: type, repair: str) -> None:
    """Refuse what is not one of the package's own kind."""
    if not isinstance(value, kind):
        raise InputError(f"{name} must be a drcopt.{kind.__name__}; it is a {type(value).__name__}. {repair}")


def choice(name: str, value: Any, options: Iterable[Word]) -> Word:
    """One of a few names."""
    known = list(options)
    if not isinstance(value, str) or value not in known:
        near = difflib.get_close_matches(str(value).lower(), known, n=1)
        repair = f"Did you mean {near[0]!r}?" if near else "Pass one of them."
        raise InputError(f"{name} must be one of {', '.join(map(repr, known))}; it is {shown(value)}. {repair}")
    return value


def indices(name: str, value: Any, size: int) -> NDArray[np.intp]:
    """Letters by place, whole numbers from 0 to size − 1, of any shape."""
    array = np.asarray(value)
    rule = f"{name} must hold letters by place, whole numbers from 0 to {size - 1}"
    if array.size == 0:
        return array.astype(np.intp)
    if array.dtype.kind not in "iu":
        raise InputError(f"{rule}; it holds {array.dtype.name}, {shown(array.flat[0].item())} first. Pass integers.")
    bad = np.argwhere((array < 0) | (array >= size))
    if len(bad):
        raise InputError(f"{rule}; {_at(name, bad[0])} is {array[tuple(bad[0])]}. Correct or drop it.")
    return array.astype(np.intp)


def generator(value: Any) -> np.random.Generator:
    """A NumPy generator, or one made from a seed; the same seed gives the same numbers."""
    if isinstance(value, np.random.Generator):
        return value
    try:
        if isinstance(value, bool):
            raise TypeError
        return np.random.default_rng(value)
    except (TypeError, ValueError):
        raise InputError(
            f"rng must be a numpy.random.Generator or a seed; it is {shown(value)}. Pass e.g. 0."
        ) from None


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency, or say which extra installs it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtraError(
            f"{purpose} needs {module.split('.')[0]}, which is not installed. Run: pip install 'drcopt[{extra}]'"
        ) from None


def shown(value: Any) -> str:
    """``value`` as a message can show it: its repr on one line, cut where it gets long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:59]}…"


def text(what: str, value: Any) -> str:
    """Text on one line."""
    if not isinstance(value, str):
        raise InputError(f"{what} must be text; it is {shown(value)}. Pass a string.")
    return " ".join(value.split())


def freeze(array: FloatArray) -> FloatArray:
    """The same array, read-only."""
    array.flags.writeable = False
    return array


def _normalised(array: FloatArray, total: float | FloatArray) -> FloatArray:
    # Sums that are 1 to rounding are left alone, so that normalising twice changes nothing.
    return array / np.where(np.abs(np.asarray(total) - 1.0) <= 1e-14, 1.0, total)


def real_number(name: str, value: Any, repair: str) -> float:
    try:
        # float() takes text, and warns of arrays with one entry.
        if isinstance(value, (bool, np.bool_, str, bytes)) or np.ndim(value):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} must be a number; it is {shown(value)}. {repair}") from None
    if math.isnan(number):
        raise InputError(f"{name} must be a number; it is nan. {repair}")
    return number


def _sum(array: FloatArray) -> float:
    """A sum correctly rounded; inf where it overflows."""
    try:
        return math.fsum(array)
    except OverflowError:
        return math.inf


def _at(name: str, index: Any) -> str:
    return f"{name}[{', '.join(str(int(i)) for i in index)}]"
