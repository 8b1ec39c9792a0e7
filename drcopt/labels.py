"""Names of the letters of X, Y and S: taken from what carries them, brought into one order, checked."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from drcopt.errors import InputError
from drcopt.samples import Counted
from drcopt.support.check import shown

__all__ = ["AXES", "Labels", "Letters", "align", "carried", "check_lengths", "given", "names"]

#: The names of an alphabet's letters, in order; None where they have none.
Letters = tuple[Hashable, ...] | None

#: Which alphabet each axis of an argument runs over.
AXES: Mapping[str, tuple[str, ...]] = {
    "px": ("x",),
    "py": ("y",),
    "ps_given_x": ("x", "s"),
    "pxs": ("x", "s"),
    "d": ("x", "y"),
}


@dataclass(frozen=True)
class Labels:
    """Names of the letters of X, Y and S, in the order of the arrays; None where they have none.

    >>> Labels(x=("Black", "Blond"))
    Labels(x=('Black', 'Blond'), y=None, s=None)
    """

    x: Letters = None
    y: Letters = None
    s: Letters = None

    def __bool__(self) -> bool:
        return any(letters is not None for letters in (self.x, self.y, self.s))

    def take(self, x: Iterable[int], y: Iterable[int], s: Iterable[int]) -> Labels:
        """Those of some letters, by index."""
        pairs = ((self.x, x), (self.y, y), (self.s, s))
        return Labels(*(None if letters is None else tuple(letters[int(i)] for i in at) for letters, at in pairs))


def given(labels: Any) -> dict[str, tuple[Hashable, ...]]:
    """What a ``labels=`` argument says: a mapping with some of x, y and s, or a :class:`Labels`."""
    if labels is None:
        return {}
    if isinstance(labels, Labels):
        labels = {axis: letters for axis in "xys" if (letters := getattr(labels, axis)) is not None}
    if not isinstance(labels, Mapping) or not set(labels) <= set("xys"):
        raise InputError(
            f"labels must be a mapping with the keys x, y and s, or some of them; it is {shown(labels)}. Pass e.g. "
            f'{{"x": ["low", "high"], "s": ["sick", "well"]}}.'
        )
    return {axis: names(f"labels[{axis!r}]", letters) for axis, letters in labels.items()}


def names(what: str, letters: Any) -> tuple[Hashable, ...]:
    """The letters of one alphabet, each once."""
    if isinstance(letters, (str, bytes)) or not isinstance(letters, Iterable):
        raise InputError(f"{what} must be a list of names; it is {shown(letters)}. Give one for each letter.")
    found = tuple(tuple(v) if isinstance(v, list) else v.item() if isinstance(v, np.generic) else v for v in letters)
    seen: set[Hashable] = set()
    for name in found:
        try:
            twice = name in seen
            seen.add(name)
        except TypeError:
            raise InputError(f"{what} must hold names such as text or numbers; {shown(name)} is none.") from None
        if twice or name != name or name is None:
            rule = "occurs twice" if twice else "is missing"
            raise InputError(f"{what} must name each letter once; {shown(name)} {rule}. Rename or merge the letters.")
    return found


def carried(value: Any) -> list[Letters]:
    """The names on each axis of a Series or DataFrame; None for plain arrays and for pandas' own 0, 1, 2 …"""
    if isinstance(value, Counted):
        return list(value.letters)
    if not hasattr(value, "iloc"):
        return []
    axes = [value.index, *([value.columns] if hasattr(value, "columns") else [])]
    counted = [type(index).__name__ == "RangeIndex" and (index.start, index.step) == (0, 1) for index in axes]
    return [None if plain else tuple(index) for plain, index in zip(counted, axes, strict=True)]


def align(arguments: Mapping[str, Any], labels: Any = None, *, alike: bool = False) -> tuple[dict[str, Any], Labels]:
    """The arguments as they are, but in one order of letters, and that order.

    ``labels`` decides the order, else the first argument that carries names does: its order is kept and the others
    are brought into it. ``alike`` says that X and Y are letters of one kind: Y takes the order of X if they have the
    same ones.

    Raises
    ------
    InputError
        If two of them name different letters; the message shows both.
    """
    order = given(labels)
    source = {axis: f"labels[{axis!r}]" for axis in order}
    aligned = dict(arguments)
    for argument, value in arguments.items():
        for place, letters in enumerate(carried(value)):
            if letters is None:
                continue
            axis, what = AXES.get(argument, ("x", "s"))[place], f"the {('index', 'columns')[place]} of {argument}"
            letters = names(what, letters)
            if axis not in order:
                order[axis], source[axis] = letters, what
            elif letters != order[axis]:
                aligned[argument] = _reordered(aligned[argument], place, order[axis], letters, what, source[axis])
    x, y = order.get("x"), order.get("y")
    if alike and x and y and x != y and set(x) == set(y) and "y" not in given(labels):
        return align(arguments, {**order, "y": x})
    return aligned, Labels(**order)


def _reordered(value: Any, place: int, order: tuple[Any, ...], letters: tuple[Any, ...], what: str, first: str) -> Any:
    if set(letters) != set(order):
        missing = [name for name in order if name not in letters]
        extra = [name for name in letters if name not in order]
        parts = [f"lacks {_listed(missing)}"] if missing else []
        parts += [f"also has {_listed(extra)}"] if extra else []
        raise InputError(
            f"{what} must hold the letters of {first}, in any order: {first} has {_listed(order)}; {what} has "
            f"{_listed(letters)}, so it {' and '.join(parts)}. Reindex one like the other, or pass .to_numpy() to "
            "match letters by position."
        )
    where = {name: i for i, name in enumerate(letters)}
    at = [where[name] for name in order]
    if isinstance(value, Counted):
        return value.take(at, place)
    return value.iloc[at] if place == 0 else value.iloc[:, at]


def check_lengths(labels: Labels, sizes: Mapping[str, int]) -> None:
    """Refuse names that are more or fewer than the letters."""
    for axis, size in sizes.items():
        letters = getattr(labels, axis)
        if letters is not None and len(letters) != size:
            raise InputError(
                f"labels[{axis!r}] must name the {size} letters of {axis.upper()}; it has {len(letters)} names: "
                f"{_listed(letters)}. Give one for each letter."
            )


def _listed(letters: Iterable[Any]) -> str:
    found = list(letters)
    text = ", ".join(map(shown, found[:8]))
    return f"{text}, … ({len(found)} in all)" if len(found) > 8 else text
