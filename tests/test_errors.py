"""Bad input: one InputError that names the argument, states the rule, shows what arrived and gives the repair."""

from __future__ import annotations

import copy
import importlib
import math
import re
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import drcopt
from drcopt import closed_forms, distortion, information, sources
from drcopt.errors import DrcoptError, InputError

solving = importlib.import_module("drcopt.session")
sweep = importlib.import_module("drcopt.sweep").sweep

NAN, INF = math.nan, math.inf
GOOD: dict[str, Any] = {
    "px": [0.5, 0.5],
    "py": [0.2, 0.3, 0.5],
    "ps_given_x": [[0.9, 0.1], [0.1, 0.9]],
    "R": 0.5,
    "C": 0.9,
    "d": [[0.0, 1.0, 2.0], [1.0, 0.0, 1.0]],
}
IMAGES = np.linspace(0, 1, 3 * 8 * 8).reshape(3, 8, 8)


def problem() -> drcopt.Problem:
    return drcopt.Problem(GOOD["px"], GOOD["py"], GOOD["ps_given_x"], GOOD["d"])


def solve_drc(**changes: Any) -> object:
    return drcopt.solve_drc(**{**GOOD, **changes})


def solve(**changes: Any) -> object:
    return drcopt.solve(**{"problem": problem(), "R": 0.5, "C": 0.9, **changes})


def least(**changes: Any) -> object:
    return drcopt.min_classification_loss(**{"problem": problem(), "R": 0.5, **changes})


def table(**changes: Any) -> object:
    return sweep(**{"problem": problem(), "R": [0.1, 0.5], "C": None, **changes})


def bernoulli(**changes: Any) -> object:
    return closed_forms.bernoulli.exact(**{"px": 0.3, "py": 0.4, "p1": 0.1, "R": 0.5, "C": 0.9, **changes})


def gaussian(**changes: Any) -> object:
    return closed_forms.gaussian.exact(**{"theta": 0.6, "R": 0.5, "C": 2.0, **changes})


FLOATS = "Pass a list or NumPy array of floats."
BUDGET = "Pass a nonnegative number, or None (or inf) for no budget."
NEGATIVE = "Pass a nonnegative number, or None for no budget."
ROUNDING = "Clip it at 0 and renormalise if it is rounding error."

# call, what it is given, and the four parts of the message
CASES = [
    # pmfs
    (solve_drc, {"px": None}, "px", "must be an array of real numbers, shape (n,)", "it is None", FLOATS),
    (solve_drc, {"px": 1.0}, "px", "must be an array of real numbers, shape (n,)", "it is 1.0", FLOATS),
    (solve_drc, {"px": "half"}, "px", "must be an array of real numbers", "it is 'half'", FLOATS),
    (solve_drc, {"px": {0: 0.5, 1: 0.5}}, "px", "must be an array of real numbers", "it is {0: 0.5, 1: 0.5}", FLOATS),
    (solve_drc, {"px": ["0.5", "0.5"]}, "px", "must be an array of real", "its entries are of type str_", FLOATS),
    (solve_drc, {"px": [0.5, 0.5j]}, "px", "must be an array of real", "its entries are of type complex128", FLOATS),
    (solve_drc, {"px": [[0.5], [0.2, 0.3]]}, "px", "must be an array", "its rows differ in length", FLOATS),
    (solve_drc, {"px": [10**400, 1]}, "px", "must be an array of real", "int too large to convert to float", FLOATS),
    (solve_drc, {"px": [[0.5, 0.5]]}, "px", "must have shape (n,)", "it has shape (1, 2)", "Flatten it"),
    (solve_drc, {"px": []}, "px", "must not be empty", "it has shape (0,)", "Give it at least one letter."),
    (solve_drc, {"px": [NAN, 0.5]}, "px", "must be finite", "px[0] is nan", "Replace or remove it."),
    (solve_drc, {"px": [INF, NAN]}, "px", "must be finite", "px[0] is inf", "remove the 2 non-finite entries."),
    (solve_drc, {"px": [1.5, -0.5]}, "px", "must be nonnegative", "px[1] is -0.5", ROUNDING),
    (solve_drc, {"px": [0.5, 0.4]}, "px", "must sum to 1 (tolerance", "it sums to 0.9", "Pass px / px.sum() if"),
    (solve_drc, {"px": [5, 7]}, "px", "must sum to 1", "it sums to 12", "Pass px / px.sum() if it is an unnormalised"),
    (
        solve_drc,
        {"px": [1, 2], "py": [2, 0]},
        "px",
        "must sum to 1",
        "it sums to 3",
        "py sums to 2, so that no coupling",
    ),
    (
        solve_drc,
        {"px": [1, 1], "py": [2, 1]},
        "px",
        "must sum to 1",
        "it sums to 2",
        "give px one more letter, of mass 1,",
    ),
    (solve_drc, {"px": [1, 2], "py": [2, 1]}, "px", "must sum to 1", "it sums to 3", "Pass px / px.sum() if it is"),
    (solve_drc, {"px": [0, 0]}, "px", "must sum to 1", "it sums to 0", "Pass probabilities."),
    (solve_drc, {"px": [1e308, 1e308]}, "px", "must sum to 1", "it sums to inf", "Pass probabilities."),
    (solve_drc, {"px": pd.Series([0.5, 0.4])}, "px", "must sum to 1", "it sums to 0.9", "Pass px / px.sum()"),
    (
        solve_drc,
        {"px": np.ma.array([0.5, 0.5], mask=[0, 1])},
        "px",
        "must have a value everywhere",
        "it is a masked array",
        "Fill or remove them.",
    ),
    (solve_drc, {"py": [0.5, 0.6]}, "py", "must sum to 1", "it sums to 1.1", "Pass py / py.sum()"),
    (solve_drc, {"py": [0.5, 0.5, NAN]}, "py", "must be finite", "py[2] is nan", "Replace or remove it."),
    # the channel
    (
        solve_drc,
        {"ps_given_x": [0, 1]},
        "ps_given_x",
        "must have shape (rows, columns)",
        "it has shape (2,)",
        "Give one row per letter of X.",
    ),
    (
        solve_drc,
        {"ps_given_x": [[1.0]]},
        "ps_given_x",
        "must have one row per letter of px, shape (2, k)",
        "it has shape (1, 1)",
        "Give one row p(s|x) for each x.",
    ),
    (
        solve_drc,
        {"ps_given_x": [[0.9, 0.1]] * 3},
        "ps_given_x",
        "must have one row per letter of px",
        "it has shape (3, 2)",
        "Pass its transpose.",
    ),
    (
        solve_drc,
        {"ps_given_x": [[9, 1], [1, 9]]},
        "each row of ps_given_x",
        "must sum to 1",
        "row 0 sums to 10",
        "Pass ps_given_x / ps_given_x.sum(axis=1, keepdims=True) if it holds counts.",
    ),
    (
        solve_drc,
        {"ps_given_x": [[0.9, 0.3], [0.1, 0.7]]},
        "each row of ps_given_x",
        "must sum to 1",
        "row 1 sums to 0.8",
        "Its columns do: pass its transpose.",
    ),
    (
        solve_drc,
        {"ps_given_x": [[1.1, -0.1], [0, 1]]},
        "ps_given_x",
        "nonnegative",
        "ps_given_x[0, 1] is -0.1",
        ROUNDING,
    ),
    (solve_drc, {"ps_given_x": [[], []]}, "ps_given_x", "must not be empty", "it has shape (2, 0)", "Give it at least"),
    # the distortion
    (solve_drc, {"d": "Haming"}, "d", "must be one of 'hamming', 'squared-error'", "it is 'Haming'", "mean 'hamming'?"),
    (solve_drc, {"d": "mse"}, "d", "must be one of 'hamming', 'squared-error'", "it is 'mse'", "Pass one of them."),
    (solve_drc, {"d": None}, "d", "must be an array of real numbers", "it is None", FLOATS),
    (
        solve_drc,
        {"d": lambda x, y: abs(x - y)},
        "d",
        "must be a name or an array of shape (2, 3)",
        "it is a function",
        "Pass drcopt.distortion.from_function(d, x, y)",
    ),
    (
        solve_drc,
        {"d": [[0, 1], [1, 0], [1, 1]]},
        "d",
        "must have shape (len(px), len(py)) = (2, 3)",
        "it has shape (3, 2)",
        "Pass its transpose.",
    ),
    (
        solve_drc,
        {"d": [[0, 1], [1, 0]]},
        "d",
        "must have shape (len(px), len(py)) = (2, 3)",
        "it has shape (2, 2)",
        "Give one row per letter of X, one column per letter of Y.",
    ),
    (solve_drc, {"d": [[0, 1, 2], [-1, 0, 1]]}, "d", "must be nonnegative", "d[1, 0] is -1", "Add a constant to d"),
    (solve_drc, {"d": [[0, 1, NAN], [1, 0, 1]]}, "d", "must be finite", "d[0, 2] is nan", "Replace or remove it."),
    (solve_drc, {"d": [[0, 1, 1e308], [1, 0, 1]]}, "d", "must be at most 1e+300", "entry is 1e+308", "Divide it by"),
    (
        distortion.squared_error,
        {"x": [0, 1], "y": [[0, 1]]},
        "x and y",
        "must hold vectors of one length",
        "theirs are 1 and 2",
        "Describe both alphabets in the same space.",
    ),
    (distortion.squared_error, {"x": ["a"], "y": [0]}, "x", "must be an array of real", "type str_", FLOATS),
    (distortion.squared_error, {"x": [[0], [0, 1]], "y": [0]}, "x", "must be an array", "its rows differ", FLOATS),
    (distortion.squared_error, {"x": [0], "y": [NAN]}, "y", "must be finite", "y[0, 0] is nan", "Replace or remove"),
    (
        distortion.from_function,
        {"d": "hamming", "x": [0], "y": [0]},
        "d",
        "must be a function of two letters",
        "it is 'hamming'",
        "Pass e.g. lambda a, b: abs(a - b).",
    ),
    (
        distortion.from_function,
        {"d": lambda a, b: a - b, "x": [0, 1], "y": [0, 1]},
        "d",
        "must be nonnegative",
        "d[0, 1] is -1",
        "Add a constant to d",
    ),
    (
        distortion.from_function,
        {"d": lambda a, b: 0.0, "x": [], "y": [0]},
        "alphabet x",
        "must not be empty",
        "it has no letters",
        "Give it at least one.",
    ),
    # budgets
    (solve_drc, {"R": -1}, "R", "must be nonnegative", "it is -1", NEGATIVE),
    (solve_drc, {"R": -INF}, "R", "must be nonnegative", "it is -inf", NEGATIVE),
    (solve_drc, {"R": NAN}, "R", "must be a number", "it is nan", BUDGET),
    (solve_drc, {"R": "0.5"}, "R", "must be a number", "it is '0.5'", BUDGET),
    (solve_drc, {"R": True}, "R", "must be a number", "it is True", BUDGET),
    (solve_drc, {"R": np.array([0.5])}, "R", "must be a number", "it is array([0.5])", BUDGET),
    (solve_drc, {"R": [0.5] * 1000}, "R", "must be a number", "it is [0.5, 0.5, 0.5", BUDGET),
    (solve_drc, {"C": -1e-9}, "C", "must be nonnegative", "it is -1e-09", NEGATIVE),
    (solve_drc, {"C": 1j}, "C", "must be a number", "it is 1j", BUDGET),
    (least, {"R": -1}, "R", "must be nonnegative", "it is -1", NEGATIVE),
    (table, {"R": [0.1, -0.1]}, "R[1]", "must be nonnegative", "it is -0.1", NEGATIVE),
    (table, {"C": ["inf"]}, "C[0]", "must be a number", "it is 'inf'", BUDGET),
    (table, {"R": []}, "R", "must be one budget or a flat sequence of at least one", "it is []", "Pass e.g. R=[0.5"),
    (
        table,
        {"R": [[0.1], [0.2]]},
        "R",
        "must be one budget or a flat sequence",
        "it is [[0.1], [0.2]]",
        "Pass e.g. R=",
    ),
    # settings
    (solve_drc, {"formulation": "oneshot"}, "formulation", "must be one of", "it is 'oneshot'", "mean 'one-shot'?"),
    (solve_drc, {"formulation": None}, "formulation", "must be one of", "it is None", "Pass one of them."),
    (solve_drc, {"verify": "balls"}, "verify", "must be None or 'interval'", "it is 'balls'", "Pass one of them."),
    (table, {"verify": True}, "verify", "must be None or 'interval'", "it is True", "Pass one of them."),
    (solve_drc, {"classifier_sees": "X"}, "classifier_sees", "must be one of 'Y', 'YU'", "it is 'X'", "Pass one"),
    (
        solve_drc,
        {"classifier_sees": "YU"},
        "classifier_sees",
        "needs formulation",
        "formulation is 'single-letter'",
        "Only one-shot codes have common randomness U.",
    ),
    (solve_drc, {"units": "bit"}, "units", "must be one of 'bits', 'nats'", "it is 'bit'", "Did you mean 'bits'?"),
    (solve_drc, {"engine": "mosek"}, "engine", "must be one of 'auto', 'newton'", "it is 'mosek'", "Pass one of them."),
    (solve_drc, {"engine": "one-shot"}, "engine", "does not take formulation", "'single-letter'", "Pass engine='auto'"),
    (solve_drc, {"tol": 0}, "tol", "must be positive and finite", "it is 0", "Pass a positive number."),
    (solve_drc, {"tol": None}, "tol", "must be a number", "it is None", "Pass a positive number."),
    (solve_drc, {"time_limit": -1}, "time_limit", "must be positive", "it is -1", "Pass a positive number or None."),
    (solve_drc, {"time_limit": "60s"}, "time_limit", "must be a number", "it is '60s'", "a positive number or None."),
    (
        solve_drc,
        {"on_failure": "ignore"},
        "on_failure",
        "must be one of 'raise', 'return'",
        "it is 'ignore'",
        "Pass one",
    ),
    (solve, {"problem": {"px": [1.0]}}, "problem", "must be a drcopt.Problem", "dict", "Build one"),
    (least, {"problem": None}, "problem", "must be a drcopt.Problem", "None", "Build one"),
    (table, {"problem": [0.5, 0.5]}, "problem", "must be a drcopt.Problem", "list", "Build one"),
    (table, {"units": "trits"}, "units", "must be one of 'bits', 'nats'", "it is 'trits'", "Did you mean 'bits'?"),
    (table, {"tol": "small"}, "tol", "must be a number", "it is 'small'", "Pass a positive number."),
    (table, {"engine": "steam"}, "engine", "must be one of 'auto'", "it is 'steam'", "Pass one of them."),
    (table, {"executor": 4}, "executor", "must be a concurrent.futures.Executor or None", "it is 4", "Pass e.g."),
    # sources and closed forms
    (sources.bernoulli, {"px": 1.5}, "px", "must be a number from 0 to 1", "it is 1.5", "Pass such a number."),
    (sources.gaussian_grid, {"points": 1}, "points", "must be a whole number of at least 2", "it is 1", "Pass such an"),
    (
        sources.gaussian_grid,
        {"theta": 1},
        "theta",
        "must be less than sigma_x * sigma_s = 1",
        "it is 1",
        "Pass a smaller",
    ),
    (sources.images, {"task": "denoise"}, "task", "must be one of", "it is 'denoise'", "Did you mean 'denoising'?"),
    (sources.images, {"data": IMAGES}, "data and labels", "must be given together", "only data arrived", "Pass both"),
    (
        sources.images,
        {"data": 255 * IMAGES, "labels": [0, 1, 2]},
        "data",
        "must lie in [0, 1]",
        "entries are 0 and 255",
        "Divide it by its largest possible value.",
    ),
    (
        sources.images,
        {"data": IMAGES, "labels": [0, 1]},
        "labels",
        "must be one integer or string per image, shape (3,)",
        "they have shape (2,)",
        "Pass the class of each image.",
    ),
    (sources.named, {"source": "digit"}, "source", "must be a known name or a file", "it is 'digit'", "Pass one of"),
    (
        sources.named,
        {"source": "bernoulli", "p": 0.1},
        "options of source",
        "must be among",
        "p arrived",
        "its spelling",
    ),
    (bernoulli, {"px": 1.5}, "px", "must be a probability in [0, 1]", "it is 1.5", "Pass P(X = 1)"),
    (bernoulli, {"R": -1}, "R", "must be nonnegative", "it is -1", NEGATIVE),
    (gaussian, {"theta": 2}, "theta", "must be at most sigma_x * sigma_s = 1", "it is 2", "Pass a smaller covariance"),
    (
        information.to_nats,
        {"value": 1.0, "units": "hartleys"},
        "units",
        "must be one of 'bits', 'nats'",
        "it is 'hartleys'",
        "Pass one of them.",
    ),
]


def frozen(value: Any) -> Any:
    """What a caller could see of an argument: type, values, shape."""
    if isinstance(value, (np.ndarray, pd.Series)):
        return type(value), np.asarray(value).tobytes(), value.shape
    return repr(value)


@pytest.mark.parametrize(
    ("call", "given", "argument", "rule", "arrived", "repair"),
    CASES,
    ids=[f"{i}-{case[0].__name__}-{'-'.join(case[1])}" for i, case in enumerate(CASES)],
)
def test_bad_input(
    call: Any,
    given: dict[str, Any],
    argument: str,
    rule: str,
    arrived: str,
    repair: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(solving, "certify", lambda *_: pytest.fail("something was solved"))
    before = {name: frozen(value) for name, value in given.items()}
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        with pytest.raises(InputError) as caught:
            call(**given)
    message = str(caught.value)
    assert not leaked
    assert isinstance(caught.value, DrcoptError)
    assert isinstance(caught.value, ValueError)
    assert caught.value.__cause__ is None, "the user did not call what failed inside"
    # In this order, each after the last.
    assert re.search(".*".join(map(re.escape, (argument, rule, arrived, repair))), message), message
    assert message.startswith(argument)
    assert message.endswith((".", "?"))
    assert "\n" not in message
    assert "  " not in message
    assert len(message) <= 300
    assert {name: frozen(value) for name, value in given.items()} == before


def test_there_are_enough() -> None:
    assert len(CASES) >= 40
    assert len({case[2] for case in CASES}) >= 20


def test_good_input_is_copied_and_left_alone() -> None:
    arrays = {name: np.array(GOOD[name]) for name in ("px", "py", "ps_given_x", "d")}
    before = copy.deepcopy(arrays)
    found = drcopt.Problem(**arrays)
    for name, array in arrays.items():
        assert array.flags.writeable
        assert not np.shares_memory(array, getattr(found, name))
        np.testing.assert_array_equal(array, before[name])
        array[...] = NAN
        np.testing.assert_array_equal(getattr(found, name), before[name])
        with pytest.raises(ValueError, match="read-only"):
            getattr(found, name)[...] = 0.0


def test_read_only_and_strided_input_is_taken() -> None:
    px = np.array([0.5, 9.0, 0.5, 9.0])[::2]
    W = np.asfortranarray(GOOD["ps_given_x"])
    px.flags.writeable = W.flags.writeable = False
    same = drcopt.Problem(px, tuple(GOOD["py"]), W, pd.DataFrame(GOOD["d"]))
    assert same.fingerprint == problem().fingerprint


def test_a_problem_is_frozen() -> None:
    with pytest.raises(AttributeError, match=r"Problem is frozen: cannot set 'px'\. Build a new Problem\."):
        problem().px = np.array([1.0])


@pytest.mark.parametrize("off", [1e-7, -1e-7, 5e-16])
def test_sums_off_by_rounding_are_normalised_and_recorded(off: float) -> None:
    found = drcopt.Problem([0.5, 0.5 + off], GOOD["py"], GOOD["ps_given_x"], GOOD["d"])
    assert math.fsum(found.px) == pytest.approx(1.0, abs=1e-15)
    assert found.normalisation["px"] == pytest.approx(off, abs=2e-16)
    with pytest.raises(InputError, match=r"^px must sum to 1"):
        drcopt.Problem([0.5, 0.5 + 2e-6], GOOD["py"], GOOD["ps_given_x"], GOOD["d"])


def test_values_that_look_odd_and_are_fine() -> None:
    drcopt.Problem([True, False], GOOD["py"], GOOD["ps_given_x"], GOOD["d"])
    drcopt.Problem(np.float32([0.1, 0.9]), GOOD["py"], GOOD["ps_given_x"], GOOD["d"])
    for R in (0, np.float32(0.5), np.int64(1), np.array(0.5), INF, None):
        assert drcopt.solve_drc(**{**GOOD, "R": R, "C": None}).status == "optimal"
