"""Every example in a docstring of the installed package."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import drcopt

MODULES = ["drcopt", *(m.name for m in pkgutil.walk_packages(drcopt.__path__, "drcopt.") if "__main__" not in m.name)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    if name.startswith("drcopt.neural"):
        pytest.importorskip("torch", reason="the extra neural is not installed")
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    # Guards against a walk that finds nothing.
    core = [name for name in MODULES if not name.startswith("drcopt.neural")]
    found = (doctest.DocTestFinder().find(importlib.import_module(name)) for name in core)
    assert sum(bool(test.examples) for tests in found for test in tests) >= 8
