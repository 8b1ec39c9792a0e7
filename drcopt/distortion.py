"""Distortion matrices d(x, y) of shape (n, m), from a name, an array or a function of two alphabets."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from drcopt import words
from drcopt.errors import InputError
from drcopt.support.check import FloatArray, choice, freeze, real_array, shown

__all__ = ["LARGEST", "NAMES", "from_function", "hamming", "matrix", "squared_error"]

NAMES = words.DISTORTIONS

#: Distortions above this could overflow where they are multiplied by a multiplier.
LARGEST = 1e300


def hamming(n: int, m: int) -> FloatArray:
    """d(x, y) = 1 if x ≠ y else 0, letters compared by position; shape (n, m).

    Examples
    --------
    >>> hamming(2, 2).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    return 1.0 - np.eye(n, m)


def squared_error(x: ArrayLike, y: ArrayLike) -> FloatArray:
    """d(x, y) = ‖x − y‖² for alphabets of numbers, shape (n,), or of vectors, shape (n, dim).

    Raises
    ------
    InputError
        If an alphabet is not finite, or the two have vectors of different lengths.

    Examples
    --------
    >>> squared_error([0.0, 1.0], [0.0, 0.5]).tolist()
    [[0.0, 0.25], [1.0, 0.25]]
    """
    flat = [
        real_array(name, np.reshape(a, (-1, 1)) if _is_flat(a) else a, 2, nonnegative=False)
        for name, a in (("x", x), ("y", y))
    ]
    if flat[0].shape[1] != flat[1].shape[1]:
        raise InputError(
            f"x and y must hold vectors of one length; theirs are {flat[0].shape[1]} and {flat[1].shape[1]}. "
            "Describe both alphabets in the same space."
        )
    difference = flat[0][:, None, :] - flat[1][None, :, :]
    return np.asarray(np.einsum("xyi,xyi->xy", difference, difference))


def from_function(d: Callable[[Any, Any], float], x: Sequence[Any], y: Sequence[Any]) -> FloatArray:
    """d(x, y) evaluated on every pair of two alphabets of any objects; shape (n, m).

    >>> from_function(lambda a, b: abs(a - b), [0, 1], [0, 1, 2])
    array([[0., 1., 2.],
           [1., 0., 1.]])
    """
    if not callable(d):
        raise InputError(f"d must be a function of two letters; it is {shown(d)}. Pass e.g. lambda a, b: abs(a - b).")
    letters = {"x": list(x), "y": list(y)}
    for name, alphabet in letters.items():
        if not alphabet:
            raise InputError(f"alphabet {name} must not be empty; it has no letters. Give it at least one.")
    return real_array("d", [[d(a, b) for b in letters["y"]] for a in letters["x"]], 2, infinite=True)


def matrix(
    d: ArrayLike | words.Distortion | Callable[[Any, Any], float],
    n: int,
    m: int,
    x: Sequence[Any] | None = None,
    y: Sequence[Any] | None = None,
) -> FloatArray:
    """The read-only (n, m) matrix that ``d`` means: a name from :data:`NAMES`, an array, or a function of two letters.

    A name compares the letters' names where both alphabets have them (``x`` and ``y``), else their indices;
    a function needs them. An entry may be inf: x must not become y.

    Examples
    --------
    >>> matrix("squared-error", 2, 3).tolist()
    [[0.0, 1.0, 4.0], [1.0, 0.0, 1.0]]
    """
    named = x is not None and y is not None
    if isinstance(d, str):
        name = choice("d", d, NAMES)
        if not named:
            return freeze(hamming(n, m) if name == "hamming" else squared_error(np.arange(n), np.arange(m)))
        return freeze(_of_names(name, list(x or ()), list(y or ())))
    if callable(d):
        if not named:
            raise InputError(
                f"d must be a name or an array of shape ({n}, {m}) where letters have no names; it is a function. "
                "Pass drcopt.distortion.from_function(d, x, y) with the two alphabets, or labels for X and Y."
            )
        d = from_function(d, x or (), y or ())
    array = real_array("d", d, 2, infinite=True)
    most = largest(array)
    if most > LARGEST:
        raise InputError(
            f"d must be at most {LARGEST:g}, or inf for a pair that is forbidden; its largest entry is {most:.6g}. "
            "Divide it by that."
        )
    if array.shape != (n, m):
        turned = array.shape == (m, n)
        raise InputError(
            f"d must have shape (len(px), len(py)) = ({n}, {m}); it has shape {array.shape}. "
            + ("Pass its transpose." if turned else "Give one row per letter of X, one column per letter of Y.")
        )
    return freeze(array)


def largest(d: FloatArray) -> float:
    """The largest finite entry; 0 if there is none."""
    return float(np.max(d, initial=0.0, where=np.isfinite(d)))


def any_law(
    d: ArrayLike | words.Distortion | Callable[[Any, Any], float], n: int, y: Sequence[Any] | None
) -> FloatArray:
    """A law of Y that is not given, NaN for every letter: those named, else those of d, else as many as X has."""
    if isinstance(d, str) or callable(d):
        return freeze(np.full(n if y is None else len(y), math.nan))
    return freeze(np.full(real_array("d", d, 2, infinite=True).shape[1], math.nan))


def _of_names(name: str, x: list[Any], y: list[Any]) -> FloatArray:
    """The distortion of that name between named letters."""
    if name == "hamming":
        equal = np.array([[a == b for b in y] for a in x])
        if not equal.any():
            raise InputError(
                f"d='hamming' must compare letters of one alphabet; X has {shown(x)}, Y has {shown(y)}, and none is in "
                "both. Name Y's letters as X's, or pass d as an array."
            )
        return 1.0 - equal
    try:
        return squared_error(np.array(x), np.array(y))
    except (InputError, ValueError):
        raise InputError(
            f"d='squared-error' must compare numbers, or vectors of one length; X has {shown(x)}, Y has {shown(y)}. "
            "Name the letters by their values, or pass d=drcopt.distortion.squared_error(values_of_x, values_of_y)."
        ) from None


def _is_flat(alphabet: ArrayLike) -> bool:
    try:
        return np.ndim(alphabet) == 1
    except ValueError:  # ragged: real_array explains
        return False
