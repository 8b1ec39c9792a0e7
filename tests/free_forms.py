"""What tests of closed forms share."""

from __future__ import annotations

import math

import pytest
from hypothesis import settings

INF = math.inf


BIT = math.log(2.0)


few = settings(derandomize=True, deadline=None, max_examples=120)


def same(found, expected, tolerance=5e-13):
    assert float(found) == pytest.approx(float(expected), abs=tolerance)


# --- values known in advance, in bits --------------------------------------------------------------------------

H_S = 0.5 * math.log2(2 * math.pi * math.e)
