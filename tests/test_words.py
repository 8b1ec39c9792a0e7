"""Options have one set of words each: the type and the check at run time are made of it, and registries hold it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import typing

import pytest

import drcopt
from drcopt import words
from drcopt.engines import ENGINES
from drcopt.information import NATS_PER
from drcopt.plotting import series
from drcopt.questions import PERCEPTION, QUANTITIES
from drcopt.questions.output import KINDS
from drcopt.solution import STATUSES
from drcopt.sources.images import TASKS


@pytest.mark.parametrize(
    ("known", "registered"),
    [
        (words.UNITS, NATS_PER),
        (words.ENGINES, ["auto", *ENGINES]),
        (words.OBJECTIVES, [quantity.name for quantity in (*QUANTITIES, PERCEPTION)]),
        (words.STATUSES, STATUSES),
        (words.DIVERGENCES, KINDS),
        (words.BUDGETS, series.BUDGETS),
        (words.DEGRADATIONS, TASKS),
    ],
)
def test_registries_hold_the_words(known, registered):
    assert list(known) == list(registered)


#: Options that take a few words, wherever they are called so.
OPTIONS = {
    "units", "formulation", "classifier_sees", "engine", "verify", "on_failure", "objective", "relation", "task", "x",
    "kind", "method",
}  # fmt: skip
#: Names that mean something else there.
OTHER = {
    "Problem": {"units"},  # of d, any text
    "images": {"x"},
}


def functions():
    skipped = ("checker", "neural", "cli", "bounds", "engines", "certify", "support", "questions", "formulations")
    for module in pkgutil.walk_packages(drcopt.__path__, "drcopt."):
        parts = module.name.split(".")
        if parts[1] in skipped or any(part.startswith("_") for part in parts):
            continue
        loaded = importlib.import_module(module.name)
        for name in getattr(loaded, "__all__", ()):
            value = getattr(loaded, name)
            if inspect.isfunction(value):
                yield f"{module.name}.{name}", value


def test_options_are_typed_with_them():
    """No option of a few words is a plain str: an editor completes it, and a type checker refuses a slip."""
    plain, seen = [], 0
    for name, function in {value: name for name, value in functions()}.items():
        for option, parameter in inspect.signature(name).parameters.items():
            if option in OPTIONS and isinstance(parameter.default, str) and parameter.default:
                seen += 1
                if parameter.annotation in ("str", "str | None"):
                    plain.append(f"{function}({option})")
    assert seen > 40
    assert plain == []


def test_the_words_are_their_types():
    for name in words.__all__:
        if name.isupper():
            assert all(isinstance(word, str) for word in getattr(words, name))
        else:
            assert typing.get_args(getattr(words, name))
