"""What a mutant is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One fault: in ``file`` (of the package) ``old`` becomes ``new``; ``bound`` if a claim could become false."""

    name: str
    file: str
    old: str
    new: str
    bound: bool = True
