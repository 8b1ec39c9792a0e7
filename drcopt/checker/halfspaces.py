"""Half-spaces w·(E d, I, H, φ) ≥ Λ, those that all points satisfy, and leaves of trees of boxes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flint import arb

from drcopt.checker.balls import ball
from drcopt.checker.problem import Problem, cheapest, tight
from drcopt.checker.schema import Split

#: Boxes by letter, None for one that holds nothing.
Boxes = list[Any]


@dataclass(frozen=True)
class HalfSpace:
    """Σ weights (distortion, rate, loss, perception) ≥ least, balls, the weights ≥ 0."""

    weights: tuple[Any, Any, Any, Any]
    least: Any


@dataclass(frozen=True)
class Region:
    """Half-spaces that all points satisfy, and those of leaves, of which each satisfies one."""

    everywhere: list[HalfSpace]
    leaves: list[HalfSpace]
    note: str = ""


def always(p: Problem) -> list[HalfSpace]:
    """What needs no evidence: letters at their cheapest, H(S|Y) ≥ H(S|X), I(X;Y) ≥ I(S;Y)."""
    zero, one = arb(0), arb(1)
    found = [
        HalfSpace((one, zero, zero, zero), p.PX @ ball(cheapest(p.d, p.allowed))),
        HalfSpace((zero, zero, one, zero), p.HS_given_X),
        HalfSpace((zero, one, one, zero), p.HS),
        HalfSpace((zero, one, zero, zero), zero),
        HalfSpace((zero, zero, zero, one), zero),
    ]
    if p.PY is not None:
        found.append(HalfSpace((one, zero, zero, zero), p.PY @ ball(cheapest(p.d.T, p.allowed.T))))
    return found


def leaves(nodes: list[Any], boxes: Boxes) -> Iterator[tuple[Any, Boxes]]:
    """The leaves of a tree with their boxes by letter, those with an empty one left out.

    The halves of a split cover what is split; a letter without mass is in both.
    """
    stack = [boxes]
    for node in nodes:
        boxes = stack.pop()
        if isinstance(node, Split):
            # What lies below comes first in the file, so last on the stack.
            stack += [half(boxes, node, side) for side in (0, 1)]
        elif all(box is not None for box in boxes):
            yield node, boxes


def half(boxes: Boxes, split: Split, side: int) -> Boxes:
    """The boxes above (``side`` 0) or below (1) a split."""
    part = boxes[split.y]
    if part is not None:
        part = part.copy()
        nearer = min if side else max
        part[split.s, side] = nearer(part[split.s, side], split.at)
        part = tight(part)
    return [*boxes[: split.y], part, *boxes[split.y + 1 :]]
