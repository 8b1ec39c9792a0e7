"""Single-letter questions with upper bounds on the entries of the coupling."""

from __future__ import annotations

from dataclasses import dataclass, field

from drcopt.formulations.single_letter import SingleLetter
from drcopt.support.check import FloatArray


@dataclass(frozen=True, eq=False)
class Capped(SingleLetter):
    """P ≤ ``upper`` (n, m), entry by entry; inf: none."""

    upper: FloatArray = field(kw_only=True)
