"""``python -m benchmarks rates|laws|global|one-shot|profile``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m benchmarks", description="Small by default; sizes by flag.")
    kinds = top.add_subparsers(dest="kind", required=True)
    for kind, sizes, peers, says in (
        ("rates", "16 64", "clarabel scs sinkhorn emd", "rate sweeps without a classification budget"),
        ("laws", "16 64", "blahut-arimoto clarabel scs dit", "rate-distortion curves, Y's law free"),
        ("global", "4x4x2", "scip discopt dccp", "active classification budgets, to a proved gap"),
        ("one-shot", "3x3 4x4", "enumeration", "mixtures of deterministic maps"),
    ):
        one = kinds.add_parser(kind, help=says, description=says)
        one.add_argument("--sizes", nargs="+", default=sizes.split(), help=f"default: {sizes}")
        one.add_argument("--peers", nargs="*", default=[], choices=peers.split(), help="other tools to run beside")
        one.add_argument("--cap", type=float, default=60.0, help="seconds for a solve, or for a peer on an instance")
        one.add_argument("--threads", default="1", help="BLAS threads (default 1)")
        one.add_argument("--out", help="CSV file for every row")
        if kind in ("rates", "laws"):
            points = 20 if kind == "rates" else 50
            one.add_argument("--points", type=int, default=points, help=f"points of the sweep (default {points})")
            one.add_argument("--instances", nargs="+", choices=("grid", "random", "digits"), help="default: all")
        if kind == "rates":
            one.add_argument("--curve", action="store_true", help="rates to half of min(H(X), H(Y)), without the end")
        if kind == "laws":
            one.add_argument("--peer-points", type=int, default=4, help="points that a peer gets (default 4)")
            one.add_argument(
                "--warm", action="store_true", help="Blahut and Arimoto start at the law of the point before"
            )
        if kind == "global":
            one.add_argument("--reference", metavar="PATH", help="JSON file of instances, instead of --sizes")
            says = "11 rates at one C, by one session and by a session a point"
            one.add_argument("--sweep", action="store_true", help=says)
        if kind == "one-shot":
            one.add_argument("--sees", nargs="+", choices=("Y", "YU"), help="default: both")
    says = "performance profile of rates' or global's tables that have peers"
    draw = kinds.add_parser("profile", help=says, description=says)
    draw.add_argument("tables", nargs="+", help="CSV files that --out wrote")
    draw.add_argument("--out", required=True, help="SVG file")
    draw.add_argument("--table", metavar="NAME", help="publish, too, a table of them as results/NAME.csv (global)")
    draw.set_defaults(threads="1")
    return top


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one benchmark, print its summary, write its rows."""
    options = parser().parse_args(arguments)
    import pandas as pd

    from benchmarks import global_optima, laws, one_shot, profiles, rates, running, tables

    if options.kind == "profile":
        rows_read = pd.concat([pd.read_csv(name) for name in options.tables], ignore_index=True)
        profiles.draw(rows_read, options.out)
        if options.table:
            tables.publish(options.table, profiles.cells(rows_read), tables.BENCHMARKS)
        return
    module = {"rates": rates, "laws": laws, "global": global_optima, "one-shot": one_shot}[options.kind]
    settings = {"sizes": options.sizes, "use": options.peers, "cap": options.cap}
    if options.kind in ("rates", "laws"):
        settings |= {"sizes": [int(size) for size in options.sizes], "points": options.points}
        settings |= {"families": options.instances} if options.instances else {}
        settings |= {"curve": options.curve} if options.kind == "rates" else {}
        settings |= {"peer_points": options.peer_points, "warm": options.warm} if options.kind == "laws" else {}
    elif options.kind == "global":
        settings |= {"reference": options.reference, "sweep": options.sweep}
    elif options.kind == "one-shot" and options.sees:
        settings["sees"] = options.sees
    print(f"# {running.machine()}\n# python -m benchmarks {' '.join(arguments or sys.argv[1:])}", flush=True)
    rows = []
    for row in module.run(**settings):
        rows.append(row)
        if options.out:  # as they come: an interrupted run keeps what it has
            running.frame(rows).to_csv(options.out, index=False)
        if sys.stderr.isatty():
            print("\r", row["size"], row["instance"], row["solver"], end="\033[K", file=sys.stderr)
    table = running.frame(rows)
    with pd.option_context("display.width", 250, "display.max_columns", None, "display.max_colwidth", 60):
        print(module.summary(table).to_string(index=False, float_format=lambda v: f"{v:.3g}", na_rep=""))


if __name__ == "__main__":
    # Before anything imports numpy, which reads these once.
    _threads = parser().parse_args().threads
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[_name] = _threads
    main()
