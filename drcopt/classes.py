"""Several class variables S₁ … S_J of one source: their channels by name, stacked into one.

Drawn at random with weights w, class and letter together are one variable, whose channel is W̃ = [w₁W₁ | … | w_JW_J]:
H(W̃ᵀp) = H(w) + Σ w_j H(W_jᵀp). So Σ β_j H(S_j|Y) is Σ β_j times the loss of one class, less a constant.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from drcopt import information
from drcopt.errors import InputError
from drcopt.labels import Letters, names
from drcopt.support import check
from drcopt.support.check import FloatArray, channel, freeze, shown

__all__ = ["Classes", "aimed", "arguments", "budgets_of", "labelled", "others", "read", "refuse_several"]


class Classes(Mapping[str, FloatArray]):
    """Channels p(s|x), shape (n, k_j), by the name of their class; read-only, in the order given."""

    def __init__(self, channels: Mapping[str, FloatArray]) -> None:
        self._channels = dict(channels)
        sizes = [W.shape[1] for W in self._channels.values()]
        #: Of which class each column of :attr:`stacked` is, shape (K,).
        self.of: NDArray[np.intp] = np.repeat(np.arange(len(sizes)), sizes)
        self.of.flags.writeable = False
        #: The channel of a class drawn at random and its letter, shape (n, K).
        self.stacked = freeze(np.hstack([W / len(sizes) for W in self._channels.values()]))

    def __getitem__(self, name: str) -> FloatArray:
        return self._channels[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._channels)

    def __len__(self) -> int:
        return len(self._channels)

    def take(self, x: np.ndarray, columns: np.ndarray) -> Classes:
        """Those of some letters of X, and of some columns of :attr:`stacked`."""
        starts = np.searchsorted(self.of, np.arange(len(self)))
        own = [columns[self.of[columns] == j] - start for j, start in enumerate(starts)]
        return Classes({name: self[name][np.ix_(x, s)] for (name, s) in zip(self, own, strict=True)})

    def weighed(self, weights: FloatArray) -> FloatArray:
        """W̃ for these weights (J,), shape (n, K)."""
        return np.hstack([w * W for w, W in zip(weights, self.values(), strict=True)])

    def entropies(self, posteriors: FloatArray) -> FloatArray:
        """H(W_jᵀp) in nats of posteriors p (N, n), shape (N, J)."""
        taus = [posteriors @ W for W in self.values()]
        return np.stack([-xlogy(tau, tau).sum(axis=1) for tau in taus], axis=1)

    def losses(self, coupling: FloatArray) -> dict[str, float]:
        """H(S_j|Y) in nats of a coupling (n, m), by class."""
        return {name: information.conditional_entropy(W.T @ coupling) for name, W in self.items()}


def refuse_several(classes: Classes | None) -> None:
    """Where budgets and losses are about one class."""
    if classes is not None:
        raise InputError(
            f"problem must have one class here; it has {len(classes)}. Several are for drcopt.solve, solve_drc, "
            "min_rate and sweep; else pass problem.of_class(name)."
        )


def arguments(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Letters]]:
    """The channels by the names that messages have for them, and what their columns are called, taken off them."""
    if not given or not all(isinstance(name, str) and name for name in given):
        raise InputError(
            f"ps_given_x must be an array, or arrays by the name of their class; it is {shown(dict(given))}. Pass "
            'e.g. {"digit": W1, "even": W2}.'
        )
    bare: dict[str, Any] = {}
    letters: dict[str, Letters] = {}
    for name, W in given.items():
        what = f"ps_given_x[{name!r}]"
        letters[name] = None
        if hasattr(W, "iloc") and hasattr(W, "columns"):
            letters[name] = names(f"the columns of {what}", W.columns)
            W = W.copy()
            W.columns = range(W.shape[1])
        bare[what] = W
    return bare, letters


def read(given: Mapping[str, Any], aligned: Mapping[str, Any], px: FloatArray) -> tuple[Classes, float]:
    """The classes, checked, and by how much a row was off 1 at most."""
    checked = {name: channel(f"ps_given_x[{name!r}]", aligned[f"ps_given_x[{name!r}]"], px) for name in given}
    return Classes({name: W for name, (W, _) in checked.items()}), max(off for _, off in checked.values())


def labelled(classes: Classes, letters: Mapping[str, Letters], given: Letters) -> tuple[tuple[str, Any], ...]:
    """A pair of class and letter for every column of the stacked channel; ``given``, if that is what it holds."""
    pairs = tuple((name, letter) for name, W in classes.items() for letter in (letters.get(name) or range(W.shape[1])))
    if given is None:
        return pairs
    fits = len(given) == len(pairs) and all(
        isinstance(one, tuple) and len(one) == 2 and one[0] == name for one, (name, _) in zip(given, pairs, strict=True)
    )
    if not fits:
        raise InputError(
            f"labels['s'] must not be given with several classes; it is {shown(list(given))}. Pass DataFrames in "
            "ps_given_x, whose columns name the letters."
        )
    return given  # type: ignore[return-value]


# -- budgets by name ----------------------------------------------------------------------------------------------


def budgets_of(C: Any, names: Sequence[str]) -> dict[str, float]:
    """A budget for every class, inf where there is none."""
    if C is None:
        return dict.fromkeys(names, math.inf)
    example = "{" + ", ".join(f"{name!r}: 1.0" for name in names) + "}"
    if not isinstance(C, Mapping):
        raise InputError(
            f"C must have a budget for each class, {', '.join(map(repr, names))}; it is {shown(C)}. Pass e.g. "
            f"C={example}; None in it is no budget."
        )
    for name in names:
        if name not in C:
            raise InputError(
                f"C must have a budget for each class; there is none for class {name!r} in {shown(dict(C))}. "
                f"Pass e.g. C={example}; None in it is no budget."
            )
    for name in C:
        if name not in names:
            raise InputError(
                f"C must have budgets for the classes {', '.join(map(repr, names))} only; it has one for {name!r}. "
                f"Pass e.g. C={example}."
            )
    return {name: check.budget(f"C[{name!r}]", C[name]) for name in names}


def aimed(C: Any, names: Sequence[str]) -> str:
    """The class whose loss is minimised: the one that C says nothing of."""
    left = [name for name in names if not isinstance(C, Mapping) or name not in C]
    if len(left) != 1:
        said = f"it says nothing of {', '.join(map(repr, left))}" if left else "it has one for each"
        raise InputError(
            f"C must have a budget for each class but the one whose loss is minimised; {said}. Name that class, "
            f"of={names[0]!r}, and give C budgets for the others; None in it is no budget."
        )
    return left[0]


def others(problem: Any, of: str | None, C: Any) -> Any:
    """C as :meth:`ClassSession.ask` takes it where the loss of class ``of`` is minimised: budgets on all others."""
    names = tuple(getattr(problem, "classes", None) or ())
    if of is None:
        return C
    if of not in names:
        known = f"it has {', '.join(map(repr, names))}" if names else "it has one class, without a name"
        raise InputError(f"of must be the name of a class of the problem; it is {shown(of)}, and {known}.")
    budgets = dict.fromkeys(names) if C is None else C
    if not isinstance(budgets, Mapping):
        budgets_of(C, [name for name in names if name != of])
    if C is not None and of in budgets and budgets[of] not in (None, math.inf):
        raise InputError(
            f"C must have no budget for class {of!r}, whose loss is minimised; it is {shown(budgets[of])}. "
            "Drop it, or minimise something else."
        )
    return dict.fromkeys(name for name in names if name != of) | {n: c for n, c in budgets.items() if n != of}
