"""What every test runs under."""

from __future__ import annotations

import importlib
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor

import pytest

#: Modules whose tests take long together; those of all others are "quick".
LONG = """
answers benchmarks campaigns certificate checker checker_twice checkpoint checkpoint_files cli cli_processes
closed_forms closed_forms_free corners data decisions disk doctests engines expcone explore faulty_engines
forbidden global hostile law_proofs law_references law_sharing law_sweeps least_perception limits monotone mutants
neural neural_command neural_data one_shot_engine pictures pricing pricing_ends questions readme recipes soundness
statistics surface tampering theorem_tables theorems theorems_of_the_user witness
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem.removeprefix("test_") not in LONG.split() and not item.get_closest_marker("slow"):
            item.add_marker("quick")


@pytest.fixture(autouse=True)
def debug(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an engine raises is an error here, not a remark in ``termination``.

    Tests that inject faults are marked ``faults``: they see what users see.
    """
    if request.node.get_closest_marker("faults") is None:
        monkeypatch.setenv("DRCOPT_DEBUG", "1")


@pytest.fixture(scope="session", autouse=True)
def processor_time() -> Iterator[None]:
    """Limits are in seconds of this process's processor: what else the machine does must not decide a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("drcopt.support.clock.now", time.process_time)
        yield


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps and commands ask a stand-in for Session."""
    from fakes import FakeSession

    for name in ("drcopt.sweep", "drcopt.session", "drcopt.law_session"):
        monkeypatch.setattr(importlib.import_module(name), "Session", FakeSession)


@pytest.fixture(scope="session")
def processes() -> Iterator[Executor]:
    """Two workers."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool
