"""Every example in a docstring of the installed package."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import drcopt

MODULES = ["drcopt", *(m.name for m in pkgutil.walk_packages(drcopt.__path__, "drcopt.") if "__main__" not in m.name)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    if name.startswith("drcopt.neural"):
        pytest.importorskip("torch", reason="the extra neural is not installed")
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def public() -> Iterator[tuple[str, Any, str]]:
    """What a user can name, its own documentation, and that of its class."""
    seen: set[Any] = set()

    def walk(module: ModuleType) -> Iterator[tuple[str, Any, str]]:
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, ModuleType):
                if value.__name__.startswith("drcopt") and value.__name__ != "drcopt.neural" and value not in seen:
                    seen.add(value)
                    yield from walk(value)
            elif (inspect.isfunction(value) or inspect.isclass(value)) and value not in seen:
                seen.add(value)
                yield f"{module.__name__}.{name}", value, ""
                if inspect.isclass(value) and not issubclass(value, BaseException):
                    for method, function in vars(value).items():
                        function = getattr(function, "__func__", function)
                        if not method.startswith("_") and inspect.isfunction(function):
                            yield f"{module.__name__}.{name}.{method}", function, inspect.getdoc(value) or ""

    return walk(drcopt)


#: Methods that serve the package and have examples in none but its tests.
INNER = {"drcopt.Problem.standardised"}


def test_every_public_name_has_an_example() -> None:
    """Its own, or for a method one of its class that calls it."""
    names = list(public())
    assert len(names) > 100
    lacking = [
        name
        for name, value, of in names
        if ">>>" not in (inspect.getdoc(value) or "") and f".{name.rpartition('.')[2]}(" not in of and name not in INNER
    ]
    assert lacking == []


def test_every_public_function_says_what_it_takes() -> None:
    """Under Parameters, or (where that would say less) by name in its text."""
    lacking = []
    for name, value, of in public():
        if inspect.isfunction(value):
            doc = (inspect.getdoc(value) or "") + of
            taken = [parameter for parameter in inspect.signature(value).parameters if parameter not in ("self", "cls")]
            missing = [parameter for parameter in taken if not re.search(rf"\b{parameter}\b", doc)]
            lacking += [f"{name}({parameter})" for parameter in missing]
    assert lacking == []


def test_there_are_examples() -> None:
    # Guards against a walk that finds nothing.
    core = [name for name in MODULES if not name.startswith("drcopt.neural")]
    found = (doctest.DocTestFinder().find(importlib.import_module(name)) for name in core)
    assert sum(bool(test.examples) for tests in found for test in tests) >= 8
