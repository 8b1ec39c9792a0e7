"""From samples to counts: columns of letters, of whatever kind, to a contingency table and its alphabets."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from contextlib import suppress
from typing import Any

import numpy as np

from drcopt.errors import InputError
from drcopt.support.check import FloatArray, real_array, shown

#: A column of samples: its alphabet, and the place of each sample in it.
Coded = tuple[tuple[Hashable, ...], np.ndarray]


class Counted:
    """An array with names on its axes, where importing pandas would cost more than the counting."""

    def __init__(self, array: FloatArray, *letters: tuple[Hashable, ...]) -> None:
        self.array, self.letters = array, letters

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> FloatArray:
        return np.array(self.array, dtype=dtype)

    def take(self, at: list[int], axis: int) -> Counted:
        """Some letters of one axis, in that order."""
        letters = tuple(tuple(own[i] for i in at) if place == axis else own for place, own in enumerate(self.letters))
        return Counted(self.array.take(at, axis=axis), *letters)


def column(name: str, value: Any, data: Any = None) -> Any:
    """The samples that an argument means: themselves, or what it names in ``data``."""
    if data is None:
        if isinstance(value, str):
            raise InputError(
                f"{name} must be a sequence of letters; it is the text {shown(value)}. To name a column, pass the "
                "table too: data=frame."
            )
        return value
    known = list(getattr(data, "columns", data))
    if isinstance(value, (list, tuple)) and value and all(isinstance(v, str) and v in known for v in value):
        if hasattr(data, "iloc"):
            return data[list(value)]
        return list(zip(*(data[v] for v in value), strict=True))
    if isinstance(value, Hashable) and value in known:
        return data[value]
    if isinstance(value, str):
        raise InputError(
            f"{name} must name a column of data, which has {', '.join(map(shown, known))}; it is {shown(value)}. "
            "Check its spelling."
        )
    return value


def code(name: str, values: Any) -> Coded:
    """The alphabet of a column and each sample as an index into it.

    Letters come sorted; those of a pandas categorical keep their order, and those that never occur stay. Rows of a
    table with several columns are tuples.
    """
    categories = getattr(getattr(values, "cat", None), "categories", None)
    if categories is not None:
        _complete(name, int((values.cat.codes < 0).sum()))
        return tuple(categories.tolist()), values.cat.codes.to_numpy(dtype=np.intp)
    items = _items(name, values)
    array = np.array(items) if len({type(item) for item in items}) == 1 and np.isscalar(items[0]) else None
    if array is not None and array.dtype.kind in "biufUS":
        _complete(name, int((array != array).sum()))
        letters, places = np.unique(array, return_inverse=True)
        return tuple(letters.tolist()), places.astype(np.intp)
    _complete(name, sum(item is None or item != item for item in items))
    try:
        alphabet = list(dict.fromkeys(items))
    except TypeError:
        raise InputError(
            f"{name} must hold letters such as text, numbers or tuples; it does not. Convert it."
        ) from None
    with suppress(TypeError):  # letters without an order keep that of their appearance
        alphabet = sorted(alphabet)
    where = {letter: i for i, letter in enumerate(alphabet)}
    return tuple(alphabet), np.array([where[item] for item in items], dtype=np.intp)


def count(x: Coded, s: Coded, weights: Any) -> FloatArray:
    """The contingency table of two columns, shape (letters of x, letters of s)."""
    if len(x[1]) != len(s[1]):
        raise InputError(
            f"x and s must be samples of pairs, of one length; theirs are {len(x[1])} and {len(s[1])}. Pass them row "
            "by row."
        )
    table = np.zeros((len(x[0]), len(s[0])))
    np.add.at(table, (x[1], s[1]), _weights(weights, len(x[1])))
    return table


def law(y: Coded, weights: Any) -> FloatArray:
    """How often each letter occurs, as a pmf."""
    counts = np.bincount(y[1], _weights(weights, len(y[1])), minlength=len(y[0]))
    total = counts.sum()
    if not total > 0:
        raise InputError("y must hold a sample of positive weight; it holds none. Pass samples of the reconstruction.")
    return np.asarray(counts / total)


def law_given(py: Any, aligned: Any, px: FloatArray) -> FloatArray | None:
    """The law of Y that an argument means: "px", None for any, else one in proportion to what it holds."""
    if py is None:
        return None
    if isinstance(py, str):
        if py != "px":
            raise InputError(f"py must be the law of Y, or 'px' for the law of X; it is {shown(py)}. Pass one of them.")
        return px
    law = real_array("py", aligned, 1)
    if not law.any():
        raise InputError("py must hold some mass; all its entries are 0. Pass the law of Y, or counts of it.")
    law = law / law.max()
    return np.asarray(law / math.fsum(law))


def _weights(weights: Any, length: int) -> FloatArray:
    if weights is None:
        return np.ones(length)
    found = real_array("weights", weights, 1)
    if len(found) != length:
        raise InputError(f"weights must be one for each sample, {length}; it has {len(found)}. Pass them row by row.")
    return found


def _items(name: str, values: Any) -> list[Any]:
    if hasattr(values, "iloc"):
        values = values.to_numpy()
        values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if isinstance(values, np.ndarray):
        values = [tuple(row) for row in values.tolist()] if values.ndim == 2 else values.tolist()
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InputError(f"{name} must be a sequence of letters, one a sample; it is {shown(values)}. Pass a column.")
    items = [tuple(v) if isinstance(v, list) else v.item() if isinstance(v, np.generic) else v for v in values]
    if not items:
        raise InputError(f"{name} must hold at least one sample; it is empty. Pass a column with rows.")
    return items


def _complete(name: str, missing: int) -> None:
    if missing:
        raise InputError(
            f"{name} must have a letter in every sample; of {missing} it is missing. Drop those rows, or give them a "
            "letter of their own."
        )
