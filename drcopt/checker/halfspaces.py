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
    """Σ weights (distortion, rate, loss, perception, further losses…) ≥ least, balls, the weights
    ≥ 0; those left out are 0.
    """

    weights: tuple[Any, ...]
    least: Any


@dataclass(frozen=True)
class Region:
    """Half-spaces that all points satisfy, and those of leaves, of which each satisfies one."""

    everywhere: list[HalfSpace]
    leaves: list[HalfSpace]
    note: str = ""


def place(j: int) -> int:
    """Where the loss of class j stands among the weights."""
    return 2 if j == 0 else 3 + j


def on_losses(alpha: list[Any], level: list[Any]) -> list[HalfSpace]:
    """α I + H ≥ level, for every class."""
    found = []
    for j, (weight, least) in enumerate(zip(alpha, level, strict=True)):
        weights = [arb(0), weight, *[arb(0)] * max(place(j) - 1, 2)]
        weights[place(j)] = arb(1)
        found.append(HalfSpace(tuple(weights), least))
    return found


def always(p: Problem) -> list[HalfSpace]:
    """What needs no evidence: letters at their cheapest, H(S|Y) ≥ H(S|X), I(X;Y) ≥ I(S;Y)."""
    zero, one = arb(0), arb(1)
    found = [
        HalfSpace((one, zero, zero, zero), p.PX @ ball(cheapest(p.d, p.allowed))),
        *on_losses([zero] * len(p.HS), p.HS_given_X),
        *on_losses([one] * len(p.HS), p.HS),
        HalfSpace((zero, one, zero, zero), zero),
        HalfSpace((zero, zero, zero, one), zero),
    ]
    if p.PY is not None:
        found.append(HalfSpace((one, zero, zero, zero), p.PY @ ball(cheapest(p.d.T, p.allowed.T))))
    return found


def leaves(p: Problem, nodes: list[Any], boxes: Boxes) -> Iterator[tuple[Any, Boxes]]:
    """The leaves of a tree with their boxes by letter, those with an empty one left out.

    The halves of a split cover what is split; a letter without mass is in both.
    """
    stack = [boxes]
    for node in nodes:
        boxes = stack.pop()
        if isinstance(node, Split):
            # What lies below comes first in the file, so last on the stack.
            stack += [half(p, boxes, node, side) for side in (0, 1)]
        elif all(box is not None for box in boxes):
            yield node, boxes


def half(p: Problem, boxes: Boxes, split: Split, side: int) -> Boxes:
    """The boxes above (``side`` 0) or below (1) a split."""
    part = boxes[split.y]
    if part is not None:
        part = part.copy()
        nearer = min if side else max
        part[split.s, side] = nearer(part[split.s, side], split.at)
        own = next(c for c in p.columns if split.s < c.stop)
        cut = tight(part[own])
        if cut is None:
            part = None
        else:
            part[own] = cut
    return [*boxes[: split.y], part, *boxes[split.y + 1 :]]
