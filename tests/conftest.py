"""What every test runs under."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

#: Modules whose tests take long together; those of all others are "quick".
LONG = {
    *(
        "answers",
        "benchmarks",
        "campaigns",
        "certificate",
        "checker",
        "checkpoint",
        "cli",
        "closed_forms",
        "closed_forms_free",
    ),
    *("corners", "data", "decisions", "disk", "doctests", "engines", "expcone", "explore", "forbidden", "global"),
    *("hostile", "law_proofs", "law_references", "law_sweeps", "least_perception", "limits", "monotone", "mutants"),
    *("neural", "neural_data", "one_shot_engine", "pricing", "questions", "readme", "recipes", "soundness"),
    *("statistics", "surface", "tampering", "theorems", "witness"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem.removeprefix("test_") not in LONG and not item.get_closest_marker("slow"):
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
