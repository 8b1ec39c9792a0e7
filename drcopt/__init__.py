"""drcopt: discrete distortion-rate-classification tradeoffs, answered with a proof."""

from drcopt.support import command as _command  # noqa: F401  first: Ctrl-C during the others is heard too

# isort: split
import sys as _sys
from importlib import import_module as _import_module
from types import ModuleType as _ModuleType
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

if _TYPE_CHECKING:  # what type checkers and editors see; the interpreter loads a name when it is first used
    from drcopt import closed_forms as closed_forms
    from drcopt import distortion as distortion
    from drcopt import information as information
    from drcopt import sources as sources
    from drcopt import words as words
    from drcopt.bottleneck_curve import BottleneckCurve as BottleneckCurve
    from drcopt.engines.best_map import best_map as best_map
    from drcopt.errors import CheckpointError as CheckpointError
    from drcopt.errors import DrcoptError as DrcoptError
    from drcopt.errors import InfeasibleError as InfeasibleError
    from drcopt.errors import InputError as InputError
    from drcopt.errors import MissingExtraError as MissingExtraError
    from drcopt.errors import NotSolvedError as NotSolvedError
    from drcopt.errors import OutputError as OutputError
    from drcopt.perception import Perception as Perception
    from drcopt.problem import Problem as Problem
    from drcopt.solution import Solution as Solution
    from drcopt.solve import min_classification_loss as min_classification_loss
    from drcopt.solve import min_perception as min_perception
    from drcopt.solve import min_rate as min_rate
    from drcopt.solve import solve as solve
    from drcopt.solve import solve_drc as solve_drc
    from drcopt.special_cases import information_bottleneck as information_bottleneck
    from drcopt.special_cases import rate_distortion as rate_distortion
    from drcopt.sweep import sweep as sweep
    from drcopt.sweeps.sheet import Surface as Surface
    from drcopt.sweeps.surface import surface as surface

__version__ = "0.2.0"

#: The module of each name; a name without one is a module itself.
_HOME = {
    "best_map": "engines.best_map",
    "CheckpointError": "errors",
    "DrcoptError": "errors",
    "InfeasibleError": "errors",
    "InputError": "errors",
    "MissingExtraError": "errors",
    "NotSolvedError": "errors",
    "OutputError": "errors",
    "Perception": "perception",
    "Problem": "problem",
    "Solution": "solution",
    "min_classification_loss": "solve",
    "min_perception": "solve",
    "min_rate": "solve",
    "solve": "solve",
    "solve_drc": "solve",
    "BottleneckCurve": "bottleneck_curve",
    "information_bottleneck": "special_cases",
    "rate_distortion": "special_cases",
    "sweep": "sweep",
    "Surface": "sweeps.sheet",
    "surface": "sweeps.surface",
}

#: What a user imports; ``dir(drcopt)`` shows this and nothing else.
__all__ = [
    "BottleneckCurve", "CheckpointError", "DrcoptError", "InfeasibleError", "InputError", "MissingExtraError",
    "NotSolvedError", "OutputError", "Perception", "Problem", "Solution", "Surface", "best_map", "checker",
    "closed_forms", "distortion", "explore", "export", "information", "information_bottleneck",
    "min_classification_loss", "min_perception", "min_rate", "neural", "plotting", "proof", "rate_distortion",
    "solve", "solve_drc", "sources", "statistics", "surface", "sweep", "tables", "theorems", "words",
]  # fmt: skip


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def __getattr__(name: str) -> _Any:
    """What is public, and every module, loads when it is first named: numpy and scipy take longer than a command."""
    if name in _HOME:
        value = globals()[name] = getattr(_import_module(f"drcopt.{_HOME[name]}"), name)
        return value
    try:
        if name[0] != "_":
            return _import_module(f"drcopt.{name}")
    except ModuleNotFoundError as missing:
        if missing.name != f"drcopt.{name}":
            raise
    raise AttributeError(f"module 'drcopt' has no attribute {name!r}")


class _Package(_ModuleType):
    """A package with the functions ``solve`` and ``sweep`` in modules of these names.

    Importing a module makes it an attribute of its package, which would hide the function.
    """

    def __setattr__(self, name: str, value: _Any) -> None:
        hides = isinstance(value, _ModuleType) and _HOME.get(name) == name
        super().__setattr__(name, getattr(value, name) if hides else value)


_sys.modules[__name__].__class__ = _Package
