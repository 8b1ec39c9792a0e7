"""Does the suite notice? ``python -m campaigns.mutants`` breaks the package in one place at a time and runs tests.

Each mutant replaces one text, found exactly once, in a copy of the package; the tests that are to notice it run there,
nearest first, until one fails. A mutant that no test kills survives. Those that could make a bound false must all be
killed, and of all of them 95 %: otherwise this exits with 1. A test that runs past ``--timeout`` counts as a kill.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from campaigns.mutations import MUTANTS, Mutant

ROOT = Path(__file__).parents[1]
#: The least share of mutants that must be killed.
SHARE = 0.95


#: The files about several classes.
CLASSES = ("classes", "classes_in_use", "classes_of_any_law")
#: Tests that are to notice a fault in a file (the longest prefix counts), nearest first.
TESTS: dict[str, tuple[str, ...]] = {
    "information.py": ("information", "problem", "certificate", "engines"),
    "coupling.py": ("forbidden", "certificate", "soundness"),
    "problem.py": ("problem", "engines", "certificate", "soundness"),
    "session.py": ("limits", "verify", "engines", "questions", "certificate", "global", "soundness"),
    "certify/verify.py": ("verify",),
    "certify/bottleneck_curve.py": ("bottleneck_curve",),
    "certify/rounding.py": ("witness", "bottleneck_curve"),
    "bounds/pricing/hull.py": ("hull", "pricing", "cells", "global"),
    "bounds/pricing/classes.py": CLASSES,
    "bounds/several.py": CLASSES,
    "formulations/several.py": CLASSES,
    "certify/several.py": CLASSES,
    "bounds/pricing/dispatch.py": ("limits", "pricing", "certificate"),
    "bounds/": (
        "pricing",
        "certificate",
        "cells",
        "one_shot",
        "one_shot_engine",
        "global",
        "proof",
        "checker",
        "soundness",
    ),
    "bounds/posterior.py": ("certificate", "corners", "pricing", "global", "proof", "checker", "soundness"),
    "bounds/pricing/corners.py": ("corners", "pricing"),
    "bounds/pricing/convexity.py": ("convexity", "pricing"),
    "bounds/pricing/unconfined.py": ("unconfined", "pricing"),
    "bottleneck_curve.py": ("bottleneck_curve",),
    "bounds/pricing/spatial.py": ("bottleneck", "pricing", "cells", "certificate", "global"),
    "questions/": ("questions", "pricing", "certificate", "proof", "checker", "soundness"),
    "questions/divergences.py": ("laws",),
    "bounds/exact.py": ("certificate", "engines", "free_law", "soundness"),
    "bounds/maps.py": ("one_shot", "one_shot_engine", "proof", "checker", "soundness"),
    "bounds/subsets.py": ("one_shot", "one_shot_engine"),
    "bounds/cells.py": ("cells", "one_shot_engine", "proof", "checker"),
    "engines/search.py": ("global", "sweep", "certificate"),
    "engines/branch.py": ("global", "certificate"),
    "engines/map": ("one_shot_engine",),
    "certify/witness.py": ("certificate", "answers", "questions", "witness", "soundness"),
    "stakes.py": ("witness",),
    "engines/points.py": ("global", "certificate"),
    "certify/certificate.py": ("certificate", "one_shot_engine", "proof", "witness", "soundness"),
    "formulations/base.py": ("questions", "laws", "certificate", "engines", "soundness"),
    "formulations/": ("one_shot", "one_shot_engine", "certificate", "engines", "soundness"),
    "certify/proof": ("proof", "proof_format", "law_proofs", "tampering"),
    "certify/exactly.py": ("exactly",),
    "certify/writing.py": (*CLASSES, "proof"),
    "checker/": (
        "own_shares",
        "forbidden_proofs",
        "decision_proofs",
        "map_decisions",
        "shared_decisions",
        "decision_laws",
        "proof",
        "proof_format",
        "checker",
        "law_proofs",
        "tampering",
        *CLASSES,
    ),
    "checker/perception.py": ("law_proofs",),
    "checker/convexity.py": ("own_shares",),
    "checker/point.py": ("forbidden_proofs", "proof", "law_proofs", "checker"),
    "least_perception.py": ("least_perception",),
    "law_session.py": ("laws",),
    "sweeps/checkpoint.py": ("checkpoint",),
    "support/files.py": ("tables", "proof"),
    "sweep.py": ("sweep", "checkpoint", "verify"),
    "sweeps/chains.py": ("sweep", "checkpoint", "verify"),
    "tables.py": ("tables",),
    "statistics/": ("statistics",),
    "bounds/decisions.py": ("decisions", "map_decisions", "shared_decisions", "decision_laws"),
    "decision_session.py": ("decisions", "map_decisions"),
    "bounds/stranded.py": ("forbidden",),
    "bounds/capped.py": ("capped",),
    "capped_session.py": ("capped",),
    "bounds/pricing/allowed.py": ("forbidden",),
    "bounds/pricing/few_letters.py": CLASSES,
    "forbidden.py": ("forbidden",),
    "sweeps/monotone.py": ("monotone",),
    "sweeps/rows.py": ("checkpoint", "sweep"),
    "sweeps/envelopes.py": ("surface", "perception_surface"),
    "sweeps/refine.py": ("surface",),
    "sweeps/nodes.py": ("perception_surface",),
    "sweeps/surface_proof.py": ("surface_proof", "perception_surface"),
    "checker/surface.py": ("surface_proof", "perception_surface"),
    "closed_forms/": ("closed_forms", "closed_forms_free"),
}


#: The second file of tests that are in two.
SECOND = {
    "certificate": "faulty_engines",
    "checker": "checker_twice",
    "checkpoint": "checkpoint_files",
    "closed_forms": "gaussian_closed_form",
    "closed_forms_free": "closed_forms_of_gaussians",
    "one_shot_engine": "one_shot_bounds",
    "pricing": "pricing_ends",
    "questions": "inverse_edges",
    "sweep": "sweep_runners",
}


def tests_of(mutant: Mutant) -> list[str]:
    """The files of the tests that are to notice it, as pytest takes them."""
    key = max((prefix for prefix in TESTS if mutant.file.startswith(prefix)), key=len)
    names = [name for first in TESTS[key] for name in (first, SECOND.get(first)) if name is not None]
    return [f"tests/test_{name}.py" for name in names]


def mutated(mutant: Mutant, package: Path) -> str:
    """The text of the file with the fault in it.

    Raises
    ------
    ValueError
        If what it replaces is not there exactly once, or what comes out is no Python.
    """
    text = (package / mutant.file).read_text(encoding="utf-8")
    count = text.count(mutant.old)
    if count != 1:
        raise ValueError(f"{mutant.name}: {mutant.old!r} is {count} times in {mutant.file} and must be there once")
    text = text.replace(mutant.old, mutant.new)
    try:
        compile(text, mutant.file, "exec")
    except SyntaxError as error:
        raise ValueError(f"{mutant.name}: {mutant.file} would be no Python ({error})") from None
    return text


@dataclass(frozen=True)
class Result:
    """What became of a mutant: "killed" by a test (or by "timeout"), or "survived"."""

    mutant: Mutant
    killer: str
    seconds: float

    @property
    def killed(self) -> bool:
        return bool(self.killer)


def pytest(folder: Path, tests: Sequence[str], timeout: float) -> tuple[int, str]:
    """Exit code (0 passed, 1 failed, −1 past the timeout) and output of pytest in ``folder``, stopping at a failure."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": ""}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "--tb=no", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return -1, ""
    return done.returncode, done.stdout + done.stderr


def copied(folder: Path) -> Path:
    """The package, its tests and what they need, in ``folder``."""
    skip = shutil.ignore_patterns("__pycache__", "*.svg")
    for name in ("drcopt", "tests", "benchmarks", "campaigns", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def trial(mutant: Mutant, folder: Path, timeout: float) -> Result:
    """Put the fault into the copy in ``folder``, run the tests and take it out again."""
    path = folder / "drcopt" / mutant.file
    whole, started = path.read_text(encoding="utf-8"), time.monotonic()
    path.write_text(mutated(mutant, folder / "drcopt"), encoding="utf-8")
    try:
        code, output = pytest(folder, tests_of(mutant), timeout)
    finally:
        path.write_text(whole, encoding="utf-8")
    if code not in (-1, 0, 1, 2):
        raise RuntimeError(f"pytest could not run ({code}): {output[-2000:]}")
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    killer = "timeout" if code == -1 else "" if code == 0 else found[1] if found else "import"
    return Result(mutant, killer.removeprefix("tests/"), time.monotonic() - started)


def judged(results: Sequence[Result]) -> int:
    """The exit code: 0 if at least :data:`SHARE` of the mutants and all that touch a bound are killed."""
    killed = sum(result.killed for result in results)
    missed = [result for result in results if result.mutant.bound and not result.killed]
    return int(killed < SHARE * len(results) or bool(missed))


def main(arguments: Sequence[str] | None = None) -> int:
    """Try all mutants, or those whose names contain what is given."""
    parser = argparse.ArgumentParser(prog="python -m campaigns.mutants", description="Does the suite notice?")
    parser.add_argument("names", nargs="*", help="only mutants whose names contain one of these")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for a mutant's tests (default 600)")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    options = parser.parse_args(arguments)
    chosen = [m for m in MUTANTS if not options.names or any(part in m.name for part in options.names)]
    for mutant in chosen:
        mutated(mutant, ROOT / "drcopt")
    if options.list:
        for mutant in chosen:
            print(f"{mutant.name:42}{mutant.file:30}{'bound' if mutant.bound else ''}")
        return 0
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = copied(Path(temporary))
        code, output = pytest(folder, sorted({test for m in chosen for test in tests_of(m)}), 10 * options.timeout)
        if code != 0:
            print(f"without a fault the tests must pass; they do not:\n{output[-2000:]}", file=sys.stderr)
            return 1
        for mutant in chosen:
            results.append(trial(mutant, folder, options.timeout))
            last = results[-1]
            fate = f"killed by {last.killer}" if last.killed else "SURVIVED"
            print(f"{mutant.name:42}{'bound' if mutant.bound else '':7}{last.seconds:6.1f} s  {fate}", flush=True)
    bounds = [result for result in results if result.mutant.bound]
    print(
        f"{sum(r.killed for r in results)} of {len(results)} mutants killed; "
        f"of those that touch a bound {sum(r.killed for r in bounds)} of {len(bounds)}"
    )
    return judged(results)


if __name__ == "__main__":
    raise SystemExit(main())
