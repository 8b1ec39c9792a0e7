"""The letter of a proof file (docs/proof-format.md): its fields, numbers, shapes and sizes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import fmpq

#: The latest version; a file whose law of Y is given and read by the classifier is of version 1.
VERSION = 2
#: Most entries of an array, and operations on balls that a file may ask for.
MOST_ENTRIES, MOST_OPERATIONS = 2**18, 2**26
#: Most bits of a sum of probabilities. Doubles need 2,200.
MOST_BITS = 2**13

#: Every kind of object: the fields it must have, and those it may have.
OBJECTS: dict[str, tuple[str, str]] = {
    "proof": (
        "drcopt-proof problem formulation classifier_sees rate_budget classification_budget "
        "objective claim point evidence",
        "distortion_budget perception perception_budget losses class",
    ),
    "surface": (
        "drcopt-surface problem formulation classifier_sees objective ranges gap known infeasible "
        "points evidence boxes",
        "distortion_budget rate_budget classification_budget perception perception_budget",
    ),
    "known box": ("low high tree tau corners", ""),
    "infeasible box": ("low high tree", ""),
    "perception": ("kind target", "ground order"),
    "problem": ("px py ps_given_x d", ""),
    "claim of bounds": ("lower upper", "excess"),
    "claim of infeasibility": ("infeasible", ""),
    "part with a coupling": ("weight coupling", "letters plan"),
    "part with a map": ("weight map", "plan"),
    "posterior-tree": ("kind nodes", ""),
    "map-tree": ("kind nodes", ""),
    "cell-dual": ("kind f nu rate conditional cells", "distortion"),
    "independent": ("kind", "perception level"),
    "data-processing": ("kind", ""),
    "stranded": ("kind letters", ""),
    "action-tree": ("kind nodes", ""),
    "split of actions": ("y a", ""),
    "leaf of an action tree": ("f rate classification", "distortion perception level"),
    "leaf of an action tree of maps": ("nu rate classification", "distortion perception level"),
    "split of a tree": ("y s at", ""),
    "leaf of a posterior tree": (
        "f rate classification convex cells",
        "distortion perception level",
    ),
    "leaf of a map tree": ("nu rate conditional posterior slopes", "distortion perception level"),
    "split of a cell": ("s at", ""),
    "cell of posteriors": ("nu", "convex"),
    "cell of sets": ("slopes", ""),
}

_HEX = re.compile(r"-?0x[01](\.[0-9a-f]{1,13})?p([+-]?[0-9]{1,4})")
_RATIO = re.compile(r"(-?[0-9]{1,20})(?:/([0-9]{1,20}))?")


def record(kind: str, value: Any) -> dict[str, Any]:
    """An object with the fields of its kind and no other."""
    required, optional = (names.split() for names in OBJECTS[kind])
    if not isinstance(value, dict):
        raise ValueError(f"a {kind} is an object, not a {type(value).__name__}")
    for name in required:
        if name not in value:
            raise ValueError(f"a {kind} lacks {name!r}")
    for name in value:
        if name not in required and name not in optional:
            raise ValueError(f"a {kind} has no field {name!r:.40}")
    return value


def number(text: Any) -> Any:
    """The rational written as "0x1.8p-1" (a double to the last digit), "3/4" or "1"."""
    if isinstance(text, str) and len(text) <= 50:
        double = _HEX.fullmatch(text)
        # With 13 digits and such an exponent nothing is rounded and nothing underflows.
        if double and -1022 <= int(double[2]) <= 1023:
            return fmpq(*float.fromhex(text).as_integer_ratio())
        ratio = _RATIO.fullmatch(text)
        if ratio and int(ratio[2] or 1):
            return fmpq(int(ratio[1]), int(ratio[2] or 1))
    raise ValueError(f"{text!r:.40} is not a finite number written exactly, as a string")


def distortion(text: Any) -> Any:
    """A number, or None for "inf": a forbidden pair."""
    return None if text == "inf" else number(text)


def positive(text: Any) -> Any:
    """A number ≥ 0."""
    value = number(text)
    if value < 0:
        raise ValueError("a probability, budget or multiplier is negative")
    return value


def index(value: Any, size: int) -> int:
    """An index below ``size``."""
    if type(value) is not int or not 0 <= value < size:
        raise ValueError(f"{value!r:.40} is no index below {size}")
    return value


def listed(value: Any, size: int | None = None) -> list[Any]:
    """A list of ``size`` values (None: of one or more)."""
    if not isinstance(value, list):
        raise ValueError(f"{value!r:.40} is no list")
    if not value or size not in (None, len(value)):
        raise ValueError(f"a list has {len(value)} values instead of {size or 'some'}")
    return value


def array(values: Any, *shape: int | None, read: Callable[[Any], Any] = number) -> Any:
    """Numbers in lists of this shape, one or two deep, as an array of objects."""
    rows = (
        [listed(row, shape[-1]) for row in listed(values, shape[0])]
        if len(shape) == 2
        else [listed(values, *shape)]
    )
    if any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("the rows of a matrix differ in length")
    if len(rows) * len(rows[0]) > MOST_ENTRIES:
        raise ValueError(
            f"an array has {len(rows) * len(rows[0])} entries, more than {MOST_ENTRIES}"
        )
    found = np.empty((len(rows), len(rows[0])), dtype=object)
    for i, row in enumerate(rows):
        found[i] = [read(text) for text in row]
    return found if len(shape) == 2 else found[0]


def total_of(numbers: Any) -> Any:
    """Their sum; denominators that have little in common are refused before they make it long."""
    total = fmpq(0)
    for value in numbers:
        total += value
        if total.height_bits() > MOST_BITS:
            raise ValueError(
                f"probabilities have denominators whose sum takes more than {MOST_BITS} bits"
            )
    return total


def pmf(values: Any, *shape: int | None) -> Any:
    """Rationals divided by their sum along the last axis."""
    rows = np.atleast_2d(array(values, *shape, read=positive))
    found, size = np.empty_like(rows), 0
    for i, row in enumerate(rows):
        total = total_of(row)
        if not total:
            raise ValueError("probabilities sum to 0")
        found[i] = row / total
        size = max(size, max(entry.height_bits() for entry in found[i]))
        if size * rows.size > 2**30:
            raise ValueError("probabilities take too many bits once they sum to 1")
    return found if len(shape) == 2 else found[0]


@dataclass(frozen=True)
class Split:
    """The trees for τ_y(s) ≤ at and for τ_y(s) ≥ at follow; of actions (``at`` None), those for s
    and for any but s.
    """

    y: int
    s: int
    at: Any


def tree(nodes: Any, m: int, k: int, leaf: str, read: Callable[[Any], object]) -> list[Any]:
    """A binary tree in preorder as splits and leaves, whole and with nothing after it.

    ``read`` checks a leaf. Splits of a tree of cells (whose leaves are cells) name no letter.
    """
    found, missing = [], 1
    split = "split of a cell" if leaf.startswith("cell") else "split of a tree"
    acts = leaf == "leaf of an action tree"
    for node in listed(nodes):
        if not missing:
            raise ValueError("a tree goes on after its last leaf")
        if acts and isinstance(node, dict) and "a" in node:
            record("split of actions", node)
            found.append(Split(index(node["y"], m), index(node["a"], k), None))
            missing += 1
        elif not acts and isinstance(node, dict) and "at" in node:
            record(split, node)
            found.append(Split(index(node.get("y", 0), m), index(node["s"], k), number(node["at"])))
            missing += 1
        else:
            maps = acts and isinstance(node, dict) and "nu" in node
            read(record(f"{leaf} of maps" if maps else leaf, node))
            found.append(node)
            missing -= 1
    if missing:
        raise ValueError("a tree lacks a leaf")
    return found


def leaves(nodes: Sequence[Any]) -> list[Any]:
    """The leaves of a tree."""
    return [node for node in nodes if not isinstance(node, Split)]
