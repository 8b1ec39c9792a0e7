"""What an engine raises is an error here, not a remark in ``termination``."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def debug(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that inject faults are marked ``faults``: they see what users see."""
    if request.node.get_closest_marker("faults") is None:
        monkeypatch.setenv("DRCOPT_DEBUG", "1")
