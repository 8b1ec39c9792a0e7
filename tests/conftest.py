"""What every test runs under."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest


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
