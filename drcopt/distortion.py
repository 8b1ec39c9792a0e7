"""Distortion matrices d(x, y) of shape (n, m), from a name, an array or a function of two alphabets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from drcopt._check import FloatArray, choice, freeze, real_array
from drcopt.errors import InputError

NAMES = ("hamming", "squared-error")


def hamming(n: int, m: int) -> FloatArray:
    """d(x, y) = 1 if x ≠ y else 0, letters compared by position; shape (n, m)."""
    return 1.0 - np.eye(n, m)


def squared_error(x: ArrayLike, y: ArrayLike) -> FloatArray:
    """d(x, y) = ‖x − y‖² for alphabets of numbers, shape (n,), or of vectors, shape (n, dim).

    Raises
    ------
    InputError
        If an alphabet is not finite, or the two have vectors of different lengths.
    """
    points = [np.asarray(a, dtype=np.float64) for a in (x, y)]
    flat = [
        real_array(name, a.reshape(-1, 1) if a.ndim == 1 else a, 2, nonnegative=False)
        for name, a in zip(("x", "y"), points, strict=True)
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
    return real_array("d", [[d(a, b) for b in y] for a in x], 2)


def matrix(d: ArrayLike | str, n: int, m: int) -> FloatArray:
    """The read-only (n, m) matrix that ``d`` means: a name from :data:`NAMES` or an array.

    "squared-error" compares letters by their index, (x − y)².
    """
    if isinstance(d, str):
        name = choice("d", d, NAMES)
        return freeze(hamming(n, m) if name == "hamming" else squared_error(np.arange(n), np.arange(m)))
    array = real_array("d", d, 2)
    if array.shape != (n, m):
        turned = array.shape == (m, n)
        raise InputError(
            f"d must have shape (len(px), len(py)) = ({n}, {m}); it has shape {array.shape}. "
            + ("Pass its transpose." if turned else "Give one row per letter of X, one column per letter of Y.")
        )
    return freeze(array)
