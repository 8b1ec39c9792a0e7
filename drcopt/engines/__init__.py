"""Engines propose a point and multipliers; they prove nothing.

:data:`ENGINES` is the registry: name → what the engine takes and how to build it. Building imports what
the engine needs, so that importing drcopt stays light.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from drcopt.engines.base import Engine
from drcopt.questions import DISTORTION, QUANTITIES, RATE, Quantity

__all__ = ["ENGINES", "Kind", "able"]


@dataclass(frozen=True)
class Kind:
    """An engine's capabilities, and its constructor."""

    formulations: tuple[str, ...]
    active_classification: bool
    objectives: tuple[Quantity, ...]
    build: Callable[[], Engine]


def _newton() -> Engine:
    from drcopt.engines.newton import Newton

    return Newton()


def _clarabel() -> Engine:
    from drcopt.engines.expcone import ExpCone

    engine: Engine = ExpCone("clarabel")
    return engine


def _scs() -> Engine:
    from drcopt.engines.expcone import ExpCone

    return ExpCone("scs")


def _global() -> Engine:
    from drcopt.engines.branch import Global

    return Global()


def _one_shot() -> Engine:
    from drcopt.engines.one_shot import OneShotEngine

    return OneShotEngine()


ENGINES: Mapping[str, Kind] = {
    "newton": Kind(("single-letter", "time-sharing"), False, (DISTORTION, RATE), _newton),
    "global": Kind(("single-letter", "time-sharing"), True, QUANTITIES, _global),
    "one-shot": Kind(("one-shot",), True, QUANTITIES, _one_shot),
    "clarabel": Kind(("single-letter",), True, (DISTORTION,), _clarabel),
    "scs": Kind(("single-letter",), True, (DISTORTION,), _scs),
}


def able(formulation: str) -> str:
    """The engines that take every question of a formulation, as a message recommends them."""
    names = [n for n, kind in ENGINES.items() if formulation in kind.formulations and kind.active_classification]
    return f"Pass engine='auto' or one of {names}."
