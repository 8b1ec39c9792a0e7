"""The audit table: what a campaign tried, by family. ``python -m campaigns.audit rows.csv [more.csv] [--readme]``.

From the rows that ``python -m campaigns.soundness --out rows.csv`` wrote. ``--readme`` keeps it in results/audit.csv,
from which the table in campaigns/README.md is made.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import pandas as pd

from benchmarks import tables

_COLUMNS = (
    "family", "questions", "certificates checked", "false", "confirmed: optimal", "interval", "infeasible",
    "bound alone", "inconclusive: near-feasible", "rejected", "held against exact truth",
)  # fmt: skip


def table(rows: pd.DataFrame) -> tables.Cells:
    """Cells; "false" are violations of a truth, "rejected" certificates that the checker does not confirm."""
    cells: list[list[str]] = [list(_COLUMNS)]
    said = rows["violation"].astype(object).fillna("").astype(str)
    rows = rows.assign(wrong=said.str.replace(r"certificate rejected: [^;]*(; .*proved)?", "", regex=True).ne(""))
    for name, part in [*rows.groupby("family", sort=False), ("all", rows)]:
        checked = part["accepted"].notna()
        accepted = part["accepted"].map({True: True, "True": True}).eq(True)
        near = part["status"].eq("near-feasible")
        words = [int((accepted & part["status"].eq(s)).sum()) for s in ("optimal", "feasible", "infeasible", "unknown")]
        exact = part["truth"].isin(["line", "groups", "product", "flow"])
        numbers = [len(part), int(checked.sum()), int(part["wrong"].sum()), *words, int(near.sum())]
        numbers += [int((checked & ~accepted & ~near).sum()), int(exact.sum())]
        cells.append([str(name), *(f"{n:,}" for n in numbers)])
    return cells


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, or put it where it is published."""
    parser = argparse.ArgumentParser(prog="python -m campaigns.audit", description="What a campaign tried.")
    parser.add_argument("rows", nargs="+", help="CSV files that campaigns.soundness --out wrote")
    parser.add_argument("--readme", action="store_true", help="put it into campaigns/README.md")
    options = parser.parse_args(arguments)
    cells = table(pd.concat([pd.read_csv(name) for name in options.rows], ignore_index=True))
    if options.readme:
        tables.publish("audit", cells, tables.CAMPAIGNS)
    else:
        print(tables.markdown(cells), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
