"""Trying theorems, and the verdict table as CSV or Markdown."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drcopt.errors import DrcoptError, InputError
from drcopt.sources._arguments import whole
from drcopt.support import clock
from drcopt.support.check import positive
from drcopt.support.files import atomic_write
from drcopt.theorems._registry import Comparison, Theorem, select

if TYPE_CHECKING:  # pandas takes half a second to import; only calls need it
    import pandas as pd

#: Every column of a verdict table, in order, and what it means.
MEANINGS: Mapping[str, str] = {
    "theorem": "name in the registry",
    "verdict": "holds, fails, holds under: a condition, or undecided",
    "statement": "the claim",
    "where_printed": "where it is printed",
    "definition": "the reading under which it was tried",
    "tried": "how many instances, the seed, and how they came out",
    "largest_deviation": "at most this where it holds or is undecided; at least this where it fails (inf: infeasible)",
    "tolerance": "deviation that counts as agreement",
    "counterexample": "the first instance that fails (or is undecided), in bits",
    "relation": "how computed was claimed to relate to predicted there",
    "computed_lower": "proved lower bound of the computed value there",
    "computed_upper": "what the point found attains there (inf: infeasible)",
    "predicted_lower": "the predicted value there",
    "predicted_upper": "the same, or the other end where the prediction is an interval",
    "certificate": "why the computed value may be believed",
    "corrected_statement": "what is true instead",
}

COLUMNS: tuple[str, ...] = tuple(MEANINGS)

SUFFIXES = (".csv", ".md")


def validate(
    names: str | Iterable[str] | None = None,
    *,
    instances: int = 8,
    seed: int = 0,
    time_limit: float | None = None,
    progress: Callable[[Iterable[Theorem]], Iterable[Theorem]] | None = None,
) -> pd.DataFrame:
    """Try theorems against certified computation and say which hold.

    Parameters
    ----------
    names : str or sequence of str, optional
        Theorems or patterns such as ``"bernoulli-*"``; default: every registered theorem.
    instances : int
        Random instances of each theorem, besides its fixed ones.
    seed : int
        Of the random instances. The table depends on it and ``instances`` only, if there is time for them.
    time_limit : float, optional
        Seconds for all of it. What is not finished by then counts for nothing: a theorem that was tried on fewer
        instances says so, and fails or is "undecided".
    progress : callable, optional
        Wraps the iteration over theorems, e.g. ``tqdm.tqdm``.

    Returns
    -------
    pandas.DataFrame
        A row per theorem; :data:`MEANINGS` explains the columns. "fails" means that some certified interval
        excludes the prediction by more than the tolerance; "holds", that every interval lies within the tolerance
        of it; "holds under: A", that it fails, but holds on every instance tried that meets A.

    Raises
    ------
    InputError
        If a name is unknown, or a theorem yields something else than comparisons.

    Examples
    --------
    >>> validate("bernoulli-printed-floor", instances=1)["verdict"].item()
    'holds under: R/H(X) ≤ min(py/px, (1−py)/(1−px)), and so τ_C'
    """
    import pandas as pd

    chosen: Iterable[Theorem] = select(names)
    instances, seed = whole("instances", instances, 1), whole("seed", seed, 0)
    patience = positive("time_limit", time_limit, allow_none=True)
    with clock.until(math.inf if patience is None else clock.now() + patience):
        rows = [
            judge(known, *_tried(known, seed, instances), seed)
            for known in (chosen if progress is None else progress(chosen))
        ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _tried(known: Theorem, seed: int, instances: int) -> tuple[list[Comparison], bool]:
    """The comparisons finished before the deadline, and whether those are all."""
    finished: list[Comparison] = []
    items = known.comparisons(seed, instances)
    try:
        while not clock.expired():
            comparison = next(items, None)
            if clock.expired():
                break
            if comparison is None:
                return finished, True
            finished.append(comparison)
    except (DrcoptError, clock.TimeIsUp):
        if not clock.expired():
            raise
    return finished, False


def judge(known: Theorem, comparisons: Sequence[Comparison], complete: bool, seed: int) -> dict[str, Any]:
    """The row of a theorem; ``complete`` unless time ran out."""
    verdicts = [comparison.verdict(known.tolerance) for comparison in comparisons]
    counts = {kind: verdicts.count(kind) for kind in ("holds", "fails", "undecided")}
    inside = [v for v, comparison in zip(verdicts, comparisons, strict=True) if comparison.condition]
    shown = None
    if counts["fails"]:
        saved = complete and known.condition and inside and set(inside) == {"holds"}
        verdict = f"holds under: {known.condition}" if saved else "fails"
        shown = comparisons[verdicts.index("fails")]
        deviation = max(comparison.least_deviation for comparison in comparisons)
    else:
        verdict = "undecided" if counts["undecided"] or not (comparisons and complete) else "holds"
        shown = comparisons[verdicts.index("undecided")] if counts["undecided"] else None
        deviation = max((comparison.greatest_deviation for comparison in comparisons), default=math.nan)
    tried = (
        f"{len(comparisons)} instances (seed {seed}): {counts['holds']} hold, {counts['fails']} fail, "
        f"{counts['undecided']} undecided{'' if complete else '; the time limit was reached'}"
    )
    return {
        "theorem": known.name,
        "verdict": verdict,
        "statement": known.statement,
        "where_printed": known.where,
        "definition": known.definition,
        "tried": tried,
        "largest_deviation": deviation,
        "tolerance": known.tolerance,
        "counterexample": shown.instance if shown else "",
        "relation": shown.relation if shown else "",
        "computed_lower": shown.computed[0] if shown else math.nan,
        "computed_upper": shown.computed[1] if shown else math.nan,
        "predicted_lower": shown.predicted[0] if shown else math.nan,
        "predicted_upper": shown.predicted[1] if shown else math.nan,
        "certificate": shown.certificate if shown else "",
        "corrected_statement": known.corrected,
    }


def to_markdown(table: pd.DataFrame) -> str:
    """The verdict table as Markdown: a summary, then each theorem with its counterexample and correction.

    Examples
    --------
    >>> import drcopt
    >>> verdicts = drcopt.theorems.validate("no-budgets", instances=1)
    >>> to_markdown(verdicts).startswith("|")
    True
    """
    rows = table.to_dict("records")
    lines = ["| theorem | verdict | tried | largest deviation | tolerance |", "|---|---|---|---|---|"]
    for row in rows:
        cells = [row["theorem"], row["verdict"], row["tried"]]
        cells += [_number(row["largest_deviation"]), _number(row["tolerance"])]
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    for row in rows:
        lines += ["", f"## {row['theorem']}: {row['verdict']}", "", f"- Claim: {row['statement']}"]
        lines += [f"- Printed in: {row['where_printed']}"]
        if row["definition"]:
            lines.append(f"- Read as: {row['definition']}")
        if row["counterexample"]:
            what = "Undecided at" if row["verdict"] == "undecided" else "Counterexample"
            predicted = _span(row["predicted_lower"], row["predicted_upper"])
            lines.append(
                f"- {what}: {row['counterexample']}. Claimed: computed {row['relation']} predicted. "
                f"Predicted {predicted}; computed {_span(row['computed_lower'], row['computed_upper'])} "
                f"({row['certificate']})."
            )
        if row["corrected_statement"]:
            lines.append(f"- True: {row['corrected_statement']}")
    return "\n".join(lines) + "\n"


def to_csv(table: pd.DataFrame) -> str:
    """The verdict table as CSV; numbers read back exactly.

    Examples
    --------
    >>> import drcopt
    >>> verdicts = drcopt.theorems.validate("no-budgets", instances=1)
    >>> len(to_csv(verdicts).splitlines())
    2
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([row[name] for name in COLUMNS] for row in table.to_dict("records"))
    return text.getvalue()


def write_verdicts(table: pd.DataFrame, path: str | os.PathLike[str]) -> Path:
    """Write the verdict table as .csv or .md, whole or not at all.

    Parameters
    ----------
    table : pandas.DataFrame
        What :func:`validate` returned.
    path : str or path
        The file.

    Raises
    ------
    InputError
        If the suffix is another, or the file cannot be written.

    Examples
    --------
    >>> import drcopt
    >>> verdicts = drcopt.theorems.validate("no-budgets", instances=1)
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_verdicts(verdicts, f"{folder}/verdicts.md").name
    'verdicts.md'
    """
    target = check_destination(path)
    with atomic_write(target, "w") as text:
        text.write(to_csv(table) if target.suffix.lower() == ".csv" else to_markdown(table))
    return target


def check_destination(path: str | os.PathLike[str]) -> Path:
    """``path`` as a Path, if a verdict table could be written there; asked before an hour of solving, not after.

    Examples
    --------
    >>> check_destination("verdicts.md").name
    'verdicts.md'
    """
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"path must end in {' or '.join(SUFFIXES)}; it is {str(target)!r}. Give the file one of these suffixes."
        )
    if not target.parent.is_dir():
        raise InputError(f"path must lie in an existing folder; {target.parent} is not one. Create it first.")
    return target


def _span(low: float, high: float) -> str:
    if math.isinf(low) and low > 0:
        return "infeasible"
    return _number(low) if low == high else f"in [{_number(low)}, {_number(high)}]"


def _number(value: float) -> str:
    return f"{value:.8g}"


def _cell(text: Any) -> str:
    """Text that cannot end its cell."""
    return str(text).replace("|", "\\|")
