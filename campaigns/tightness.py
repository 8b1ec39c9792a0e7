"""How tight are the intervals? ``python -m campaigns.tightness``.

Rate-only questions of up to 16×16 letters, in equal shares from the families of :mod:`campaigns.soundness`, and
questions of up to 4×4 letters and 3 classes with a C between the least that R allows and what the rate-only optimum
has. Gaps are relative to the range of d; one below 1e-14 of max d is rounding, and counts as closed. Exits with 1 if
fewer than 99.9 % of the former are within 1e-9 (of the latter how many are within 1e-6 is printed).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

import drcopt
from campaigns.soundness import FAMILIES

#: Gap wanted, and the share of rate-only questions that must reach it.
RATE_GAP, ACTIVE_GAP, SHARE = 1e-9, 1e-6, 0.999
#: Of max d: what the rounding of doubles leaves open.
ROUNDING = 1e-14


def problem(index: int, seed: int, most: int, kinds: int) -> tuple[str, drcopt.Problem, np.random.Generator]:
    """Up to ``most`` letters a side and ``kinds`` classes; families take turns."""
    family = list(FAMILIES)[index % len(FAMILIES)]
    rng = np.random.default_rng([seed, index, most])
    n, m, k = (int(v) for v in (*rng.integers(2, most + 1, size=2), rng.integers(2, kinds + 1)))
    d = 1.0 - np.eye(n, m) if rng.random() < 0.3 else rng.random((n, m))
    arrays = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m)), rng.dirichlet(np.full(k, 0.6), size=n), d
    return family, drcopt.Problem(*FAMILIES[family](rng, arrays)), rng


def rate_only(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Rows of ``count`` questions without C."""
    for index in range(count):
        family, p, rng = problem(index, seed, 16, 2)
        R = float(rng.uniform(0.0, 1.1)) * min(p.entropy_x, p.entropy_y)
        yield row("rate-only", index, family, p, R, None, RATE_GAP, 20.0)


def active(count: int, seed: int, limit: float) -> Iterator[dict[str, Any]]:
    """Rows of ``count`` questions whose C binds."""
    found = index = 0
    while found < count:
        index += 1
        family, p, rng = problem(index, seed, 4, 3)
        R = float(rng.uniform(0.05, 0.9)) * min(p.entropy_x, p.entropy_y)
        if R < 1e-3:
            continue
        free = drcopt.solve(p, R=R, units="nats").classification_loss
        edge = drcopt.min_classification_loss(p, R=R, units="nats", time_limit=2.0, on_failure="return")
        if not free - edge.classification_loss > 1e-3:
            continue
        share = float(rng.uniform(0.05, 0.95))
        C = edge.classification_loss + share * (free - edge.classification_loss)
        found += 1
        yield row("active C", index, family, p, R, C, ACTIVE_GAP, limit)


def row(
    part: str, index: int, family: str, p: drcopt.Problem, R: float, C: float | None, gap: float, limit: float
) -> dict[str, Any]:
    """One answer and its gap."""
    spread, largest = float(np.ptp(p.reduced().d)), float(p.reduced().d.max())
    started, used = time.monotonic(), time.process_time()
    # A constant d has no range.
    tol = 0.5 * gap * spread / largest if spread > 1e-12 * largest else gap
    answer = drcopt.solve(p, R=R, C=C, units="nats", tol=tol, time_limit=limit, on_failure="return")
    relative = answer.gap / spread if spread > 1e-12 * largest else 0.0
    return {
        "part": part, "index": index, "family": family, "size": f"{p.n}x{p.m}x{p.k}", "R_nats": R, "C_nats": C,
        "status": answer.status, "gap": relative, "within": relative <= gap or answer.gap <= ROUNDING * largest,
        "seconds": time.monotonic() - started, "cpu_seconds": time.process_time() - used,
    }  # fmt: skip


def summary(rows: pd.DataFrame) -> str:
    """A line for each part, and each question that stayed open."""
    lines = [f"{'part':12}{'n':>6}{'within':>8}{'gap 50%':>10}{'99%':>10}{'max':>10}{'cpu s 50%':>11}{'max s':>8}"]
    for part, some in rows.groupby("part", sort=False):
        gaps = "".join(f"{some['gap'].fillna(np.inf).quantile(q, 'higher'):10.1e}" for q in (0.5, 0.99, 1.0))
        lines.append(
            f"{part:12}{len(some):6d}{some['within'].sum():8d}{gaps}"
            f"{some['cpu_seconds'].median():11.4f}{some['seconds'].max():8.2f}"
        )
    for r in rows[~rows["within"]].itertuples():
        lines.append(f"{r.part} #{r.index}, {r.family}, {r.size}: {r.status}, gap {r.gap:.1e}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial."""
    parser = argparse.ArgumentParser(prog="python -m campaigns.tightness", description="How tight are the intervals?")
    parser.add_argument("--n", type=int, default=1000, help="rate-only questions (default 1000)")
    parser.add_argument("--active", type=int, default=50, help="questions with an active C (default 50)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--time-limit", type=float, default=10.0, help="seconds for one with an active C (default 10)")
    parser.add_argument("--out", help="CSV file for every row")
    options = parser.parse_args(arguments)
    rows = [*rate_only(options.n, options.seed), *active(options.active, options.seed, options.time_limit)]
    table = pd.DataFrame(rows)
    if options.out:
        table.to_csv(options.out, index=False)
    print(summary(table))
    rates = table[table["part"] == "rate-only"]
    return int(rates["within"].sum() < SHARE * len(rates))


if __name__ == "__main__":
    raise SystemExit(main())
