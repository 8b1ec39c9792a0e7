"""One-shot codes: column generation beside the linear program over all maps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from benchmarks import peers
from benchmarks.global_optima import session, solved
from benchmarks.instances import one_shot_instances
from benchmarks.running import Row, capped

PEERS = ("enumeration",)
#: Largest number of maps that the peer is given.
ENUMERATED = 100_000


def run(
    sizes: Sequence[str] = ("3x3", "4x4"),
    use: Sequence[str] = (),
    cap: float = 60.0,
    sees: Sequence[str] = ("YU", "Y"),
) -> Iterator[Row]:
    """Rows: each size without a classification budget and with one that binds, for either classifier."""
    for size in sizes:
        n, m = map(int, size.split("x"))
        for classifier_sees, instance in ((s, i) for s in sees for i in one_shot_instances(n, m, s)):
            row = solved(instance, session(instance, cap, formulation="one-shot", classifier_sees=classifier_sees))
            row |= {"benchmark": "one-shot", "part": classifier_sees}
            yield row
            if "enumeration" in use and classifier_sees == "YU" and m**n <= ENUMERATED:
                budgets = instance.R, instance.C
                for answer in capped(peers.enumeration, instance.problem, *budgets, classifier_sees, seconds=cap):
                    beside = {key: row[key] for key in ("benchmark", "instance", "size", "part")} | answer
                    beside |= {"solver": "enumeration", "rate_bits": instance.R, "classification_bits": instance.C}
                    value = answer.get("value", math.nan)
                    yield beside | {"error": abs(value - row["value"]) / instance.problem.d.max()}


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """The columns worth printing."""
    shown = "size instance part solver columns nodes seconds cpu_seconds status gap value error note"
    return table[shown.split()].rename(columns={"part": "classifier sees"})
