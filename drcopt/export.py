r"""Tables for papers and other programs: LaTeX, pgfplots, long form, and the few columns that matter on a screen.

Nothing here solves, and nothing needs an extra.

>>> import drcopt
>>> table = drcopt.sweep(drcopt.sources.bernoulli(), R=[0.2, 0.5], C=[0.9, None])
>>> print(latex(table))
\begin{tabular}{rrrrrr}
\toprule
$R$ (bits) & $C$ (bits) & $D$ & rate (bits) & class.\ loss (bits) & accuracy \\
\midrule
0.2 & 0.9 & 0.1856 & 0.2 & 0.8919 & 0.6886 \\
0.5 & 0.9 & 0.07483 & 0.5 & 0.8028 & 0.7551 \\
0.2 & $\infty$ & 0.1856 & 0.2 & 0.8919 & 0.6886 \\
0.5 & $\infty$ & 0.07483 & 0.5 & 0.8028 & 0.7551 \\
\bottomrule
\end{tabular}
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from drcopt import words
from drcopt.errors import InputError
from drcopt.plotting import series
from drcopt.plotting.series import column, require

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMATS", "brief", "latex", "pgfplots", "tidy"]

#: What `drcopt export` writes, by the suffix of the file.
FORMATS: Mapping[str, str] = {".tex": "latex", ".tikz": "pgfplots", ".csv": "tidy"}

#: Columns of numbers, in the order that a reader wants them: heading in LaTeX, quantity, unit.
HEADINGS: Mapping[str, tuple[str, str, str]] = {
    "rate_budget_bits": ("$R$", "rate budget", "bits"),
    "classification_budget_bits": ("$C$", "classification budget", "bits"),
    "distortion_budget": ("$D$ budget", "distortion budget", ""),
    "perception_budget": ("$P$ budget", "perception budget", ""),
    "value": ("value", "value", ""),
    "distortion": ("$D$", "distortion", ""),
    "lower_bound": ("bound", "lower bound", ""),
    "gap": ("gap", "gap", ""),
    "proved_lower_bound": ("proved bound", "proved lower bound", ""),
    "proved_distortion": ("proved $D$", "proved distortion", ""),
    "rate_bits": ("rate", "rate", "bits"),
    "classification_loss_bits": (r"class.\ loss", "classification loss", "bits"),
    "perception": ("perception", "perception", ""),
    "accuracy": ("accuracy", "accuracy", ""),
    "rate_multiplier": (r"$-\partial D/\partial R$", "rate multiplier", "1/bit"),
    "classification_multiplier": (r"$-\partial D/\partial C$", "classification multiplier", "1/bit"),
    "seconds": ("time", "time", "s"),
}
#: Columns that name what a row is of.
NAMES = (
    "source", "problem_fingerprint", "formulation", "classifier_sees", "class_loss", "objective", "perception_kind",
)  # fmt: skip
#: Those in the unit of the classification loss.
_OF_LOSS = ("classification_budget_bits", "classification_loss_bits", "classification_multiplier")
_BUDGETS = tuple(budget.column for budget in series.BUDGETS.values())


def brief(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of a sweep ``table`` that matter on a screen: budgets, what was found, its bound and status.

    Names of problems, formulations and objectives come first where they differ.

    >>> import drcopt
    >>> brief(drcopt.sweep(drcopt.sources.bernoulli(), R=[0.2, 0.5], C=None)).round(4)
       rate_budget_bits  distortion  lower_bound   status
    0               0.2      0.1856       0.1856  optimal
    1               0.5      0.0748       0.0748  optimal
    """
    require(table, "table", series.NEEDED)
    names = [name for name in NAMES if name in table.columns and table[name].nunique() > 1]
    if "source" in names and "problem_fingerprint" in names:
        names.remove("problem_fingerprint")
    budgets = [name for name in _BUDGETS if name in table.columns and np.isfinite(column(table, name)).any()]
    value = "distortion" if series.objective_of(table) == "distortion" else "value"
    return table[[*names, *budgets, value, "lower_bound", "status"]].copy()


def latex(
    table: pd.DataFrame,
    columns: Sequence[str] | None = None,
    *,
    digits: int = 4,
    units: str = "",
    headings: Mapping[str, str] | None = None,
    caption: str = "",
    label: str = "",
) -> str:
    r"""A LaTeX table with the rules of booktabs (``\usepackage{booktabs}``).

    Parameters
    ----------
    table : pandas.DataFrame
        A sweep table.
    columns : sequence of str, optional
        Which columns; default: names where they differ, budgets that are set, the value found, its bound where the
        gap shows, rate and loss spent, and the status where a row is not optimal.
    digits : int
        Significant digits.
    units : str
        Unit of d, for the headings.
    headings : mapping, optional
        Column → heading in LaTeX, instead of ours.
    caption, label : str
        With either, a ``table`` environment is put around.

    Raises
    ------
    InputError
        If the table lacks a column.

    Examples
    --------
    >>> import drcopt
    >>> table = drcopt.sweep(drcopt.sources.bernoulli(), R=[0.2], C=None)
    >>> print(latex(table, ["rate_budget_bits", "distortion"], digits=3))
    \begin{tabular}{rr}
    \toprule
    $R$ (bits) & $D$ \\
    \midrule
    0.2 & 0.186 \\
    \bottomrule
    \end{tabular}
    """
    require(table, "table", series.NEEDED)
    if isinstance(digits, bool) or not isinstance(digits, int) or not 1 <= digits <= 17:
        raise InputError(f"digits must be a whole number from 1 to 17; it is {digits!r}. Pass e.g. 4.")
    chosen = list(columns) if columns is not None else _chosen(table, digits)
    loss = series.class_loss_of(table) != "entropy"  # in a unit of its own
    require(table, "table", chosen)

    def heading(name: str) -> str:
        if headings and name in headings:
            return headings[name]
        text, _, unit = HEADINGS.get(name, (_escaped(name.replace("_", " ")), "", ""))
        unit = "" if name in _OF_LOSS and loss else unit
        unit = _escaped(units) if text.endswith("$D$") or name in ("lower_bound", "gap") else unit
        return f"{text} ({unit})" if unit else text

    numeric = [table[name].dtype.kind in "iuf" for name in chosen]
    lines = [
        f"\\begin{{tabular}}{{{''.join('r' if number else 'l' for number in numeric)}}}",
        r"\toprule",
        " & ".join(map(heading, chosen)) + r" \\",
        r"\midrule",
    ]
    for values in zip(*(table[name].tolist() for name in chosen), strict=True):
        cells = (
            _number(float(value), digits) if number else _escaped(str(value))
            for value, number in zip(values, numeric, strict=True)
        )
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    if caption or label:
        tail = [f"\\caption{{{caption}}}"] if caption else []
        tail += [f"\\label{{{label}}}"] if label else []
        lines = [r"\begin{table}", r"\centering", *lines, *tail, r"\end{table}"]
    return "\n".join(lines)


def pgfplots(table: pd.DataFrame, *, x: words.Budget | None = None) -> str:
    r"""The curves of a sweep ``table`` as a ``tikzpicture`` with its data (``\usepackage{pgfplots}``).

    ``x`` is the budget on the horizontal axis (default: as in :func:`drcopt.plotting.plot`). Points without a value
    break the line.

    Examples
    --------
    >>> import drcopt
    >>> table = drcopt.sweep(drcopt.sources.bernoulli(), R=[0.2, 0.5], C=None)
    >>> print(pgfplots(table).splitlines()[0])
    \begin{tikzpicture}
    """
    require(table, "table", series.NEEDED)
    x = x or series.axis(table)
    objective, curves = series.curves(table, x)
    # Not drcopt's labels as they stand: LaTeX reads them.
    lines = [
        r"\begin{tikzpicture}",
        f"\\begin{{axis}}[xlabel={{{_escaped(series.budgets_of(table)[x].axis)}}}, "
        f"ylabel={{{_escaped(series.minimised(table))}}}, unbounded coords=jump, legend pos=outer north east]",
    ]
    for curve in curves:
        lines.append(r"\addplot table {")
        lines += [f"{a!r} {b!r}" for a, b in zip(curve.x.tolist(), curve.upper.tolist(), strict=True)]
        lines += ["};", f"\\addlegendentry{{{_escaped(curve.label)}}}"]
    return "\n".join([*lines, r"\end{axis}", r"\end{tikzpicture}"])


def tidy(table: pd.DataFrame) -> pd.DataFrame:
    """Long form, one number a row: what it is of (names and budgets), ``quantity``, ``value`` and ``unit``.

    >>> import drcopt
    >>> table = drcopt.sweep(drcopt.sources.bernoulli(), R=[0.2, 0.5], C=None)
    >>> long = tidy(table)
    >>> long[long.quantity == "distortion"][["rate_budget_bits", "quantity", "value"]].round(4)
       rate_budget_bits    quantity   value
    0               0.2  distortion  0.1856
    1               0.5  distortion  0.0748
    """
    import pandas as pd

    require(table, "table", series.NEEDED)
    loss = series.class_loss_of(table) != "entropy"
    of = [name for name in (*NAMES, *_BUDGETS, "status") if name in table.columns]
    measured = [name for name in HEADINGS if name in table.columns and name not in _BUDGETS]
    parts = []
    for name in measured:
        _, quantity, unit = HEADINGS[name]
        unit = "" if name in _OF_LOSS and loss else unit
        if name == "value":  # the quantity that was minimised has a column of its own
            continue
        parts.append(table[of].assign(quantity=quantity, value=column(table, name), unit=unit))
    return pd.concat(parts, ignore_index=True)


def write(table: pd.DataFrame, path: Any, *, x: words.Budget | None = None) -> None:
    """Write ``table`` in the format that the suffix of ``path`` names (:data:`FORMATS`), whole or not at all."""
    from pathlib import Path

    from drcopt.support.files import atomic_write

    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(
            f"path must end in {', '.join(FORMATS)}; it is {str(path)!r}. Give the file one of these suffixes."
        )
    with atomic_write(path) as text:
        if suffix == ".csv":
            tidy(table).to_csv(text, index=False, lineterminator="\n")
        else:
            text.write((latex(table) if suffix == ".tex" else pgfplots(table, x=x)) + "\n")


def _chosen(table: pd.DataFrame, digits: int) -> list[str]:
    chosen = [*brief(table).columns]
    value = chosen[-3]
    found, bound = column(table, value), column(table, "lower_bound")
    point = np.isfinite(found)
    if not (found[point] - bound[point] > 0.5 * 10.0**-digits * np.abs(found[point])).any():
        chosen.remove("lower_bound")
    if (table["status"] == "optimal").all():
        chosen.remove("status")
    spent = [name for name in ("rate_bits", "classification_loss_bits", "accuracy") if name in table.columns]
    at = chosen.index("status") if "status" in chosen else len(chosen)
    return [*chosen[:at], *(name for name in spent if np.isfinite(column(table, name)).any()), *chosen[at:]]


def _number(value: float, digits: int) -> str:
    if math.isnan(value):
        return "--"
    if math.isinf(value):
        return r"$\infty$" if value > 0 else r"$-\infty$"
    text = f"{value:.{digits}g}"
    mantissa, e, exponent = text.partition("e")
    if e:
        return f"${mantissa} \\times 10^{{{int(exponent)}}}$"
    return f"${text}$" if text.startswith("-") else text


def _escaped(text: str) -> str:
    """Text as LaTeX prints it."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {"∞": r"$\infty$", "≤": r"$\le$", "≥": r"$\ge$", "|": r"$|$"} | {c: f"\\{c}" for c in "&%$#_{}"}
    return "".join(special.get(letter, letter) for letter in " ".join(text.split()))
