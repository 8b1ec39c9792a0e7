"""Sweep tables: the columns, and CSV or Parquet files that give back exactly what was written.

Columns of your own may be added and stay; :mod:`drcopt.export` turns tables into LaTeX, pgfplots and long form.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from drcopt.checker.reading import read_bytes
from drcopt.errors import InputError
from drcopt.questions import QUANTITIES
from drcopt.support import check
from drcopt.support.files import atomic_write
from drcopt.sweeps.rows import ALL, MEASURED, PROVED

if TYPE_CHECKING:  # pandas takes half a second to import; only calls need it
    import pandas as pd

#: Every column of a sweep table, in order, and what it means. Information is in bits throughout.
MEANINGS: Mapping[str, str] = {column.name: column.meaning for column in ALL}

#: The columns of a sweep table, in order.
COLUMNS: tuple[str, ...] = tuple(MEANINGS)

#: The columns that follow them in a table of ``sweep(..., verify="interval")``, and what they mean.
VERIFIED_MEANINGS: Mapping[str, str] = {column.name: column.meaning for column in PROVED}

#: All columns of a table of ``sweep(..., verify="interval")``, in order.
VERIFIED_COLUMNS: tuple[str, ...] = (*COLUMNS, *VERIFIED_MEANINGS)

#: The columns that hold text; every other one holds float64.
TEXT_COLUMNS = frozenset(column.name for column in ALL if column.text)
_TEXT = TEXT_COLUMNS | {"verified", "source"}
_KNOWN = {*VERIFIED_COLUMNS, "source"}
#: What tables of before lack, and the cell that they mean.
_BEFORE: Mapping[str, Any] = {column.name: column.before for column in ALL if column.before is not None}

#: What a table was computed from and with: kept in ``table.attrs["drcopt"]`` and in Parquet files too.
PROVENANCE = ("source", "problem_fingerprint", "tol", "drcopt_version", "numpy_version", "scipy_version")

__all__ = [
    "COLUMNS", "MEANINGS", "PROVENANCE", "SUFFIXES", "TEXT_COLUMNS", "VERIFIED_COLUMNS", "VERIFIED_MEANINGS",
    "check_destination", "frame", "print_csv", "provenance", "read_table", "write_table",
]  # fmt: skip

SUFFIXES = (".csv", ".parquet")
#: Most bytes and cells of a table that is read, and rows of Parquet unpacked at once.
_MOST_BYTES, _MOST_CELLS, _ROWS_AT_ONCE = 2**28, 2**24, 64
#: What may separate the cells of a CSV file: spreadsheets of some countries write semicolons, and decimal commas.
_SEPARATORS = ",;\t"


def frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> pd.DataFrame:
    """The sweep table with these ``rows``: the ``columns`` in order, text or float64.

    Examples
    --------
    >>> import drcopt
    >>> table = drcopt.sweep(drcopt.sources.bernoulli(), R=[0.2, 0.5], C=None)
    >>> frame(table.to_dict("records")).equals(table)
    True
    """
    return _from_columns({name: [row[name] for row in rows] for name in columns})


def write_table(table: pd.DataFrame, path: str | os.PathLike[str]) -> Path:
    """Write a sweep table to ``path``, whole or not at all.

    Parameters
    ----------
    table : pandas.DataFrame
        With the columns :data:`COLUMNS`, in any order, and any others of yours. The index is not written.
    path : str or path
        Ends in ``.csv`` or ``.parquet`` (which needs the extra ``parquet``). An existing file is replaced.

    Returns
    -------
    Path
        ``path``, so that ``read_table(write_table(table, path))`` equals ``table`` (in CSV, a column of yours
        comes back as what its text reads as: numbers, booleans or text).

    Raises
    ------
    InputError
        If the suffix is unknown, the folder missing, or ``table`` is not a sweep table.
    MissingExtraError
        If Parquet is asked for and pyarrow is not installed.
    OutputError
        If writing fails half-way, as on a full disk.

    Examples
    --------
    >>> import drcopt
    >>> table = drcopt.sweep(drcopt.sources.bernoulli(), R=[0.2, 0.5], C=None)
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = read_table(write_table(table, f"{folder}/table.csv"))
    >>> again.equals(table)
    True
    """
    path = check_destination(path)
    columns = _columns_of(table)
    if path.suffix.lower() == ".csv":
        with atomic_write(path, "w") as text:
            _print_csv(columns, text)
    else:
        pyarrow, parquet = _pyarrow()
        # From lists, not through pandas, which would turn nan into null.
        data = pyarrow.table({name: pyarrow.array(cells, _type(pyarrow, name)) for name, cells in columns.items()})
        data = data.replace_schema_metadata({"drcopt": json.dumps(provenance(table))})
        with atomic_write(path, "wb") as binary:
            parquet.write_table(data, binary)
    return path


def print_csv(table: pd.DataFrame, handle: IO[str]) -> None:
    """Write a sweep ``table`` as CSV text to ``handle``, an open file or stream.

    Examples
    --------
    >>> import drcopt
    >>> table = drcopt.sweep(drcopt.sources.bernoulli(), R=[0.2, 0.5], C=None)
    >>> import io
    >>> text = io.StringIO()
    >>> print_csv(table, text)
    >>> text.getvalue().split(",")[0]
    'formulation'
    """
    _print_csv(_columns_of(table), handle)


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a table that :func:`write_table` wrote, exactly as it was, or that pandas or a spreadsheet wrote.

    An index column without a name is dropped, other columns stay. A byte-order mark, semicolons or tabs between
    cells, decimal commas (with semicolons) and empty cells (nan, or empty text) are understood.

    Parameters
    ----------
    path : str or path
        A ``.csv`` or ``.parquet`` file.

    Returns
    -------
    pandas.DataFrame
        The same values and dtypes, bit for bit (inf and nan included), on a fresh RangeIndex;
        ``attrs["drcopt"]`` says what all rows have in common of :data:`PROVENANCE`.

    Raises
    ------
    InputError
        If the file is missing or unreadable, has an unknown suffix, or does not hold a sweep table.
    MissingExtraError
        If it is Parquet and pyarrow is not installed.

    Examples
    --------
    >>> import drcopt
    >>> table = drcopt.sweep(drcopt.sources.bernoulli(), R=[0.2, 0.5], C=None)
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table.to_csv(f"{folder}/table.csv", sep=";")
    ...     again = read_table(f"{folder}/table.csv")
    >>> again.equals(table)
    True
    """
    path = Path(path)
    suffix = _suffix(path)
    if suffix == ".parquet":
        _pyarrow()
    try:
        columns = _read_csv(path) if suffix == ".csv" else _read_parquet(path)
    except OSError as reason:
        raise InputError(
            f"path must name a table that can be read; {path} cannot ({reason.strerror or _line(reason)}). "
            f"Write one with drcopt.tables.write_table or `drcopt sweep --out`."
        ) from None
    return _from_columns(_completed(columns))


def check_destination(path: str | os.PathLike[str]) -> Path:
    """``path`` as a Path if a table could be written there; callers check before hours of solving, not after.

    Examples
    --------
    >>> check_destination("table.csv").name
    'table.csv'
    """
    path = Path(path)
    if _suffix(path) == ".parquet":
        _pyarrow()
    folder = path.parent
    if not folder.is_dir():
        raise InputError(f"path must lie in an existing folder; {folder} is not one. Create it first.")
    if path.is_dir():
        raise InputError(f"path must name a file; {path} is a folder. Add a file name to it.")
    return path


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"path must end in {' or '.join(SUFFIXES)}; it is {str(path)!r}. Give the file one of these suffixes."
        )
    return suffix


def _pyarrow() -> tuple[Any, Any]:
    purpose = "Reading or writing Parquet"
    return check.require("pyarrow", "parquet", purpose), check.require("pyarrow.parquet", "parquet", purpose)


def provenance(table: pd.DataFrame) -> dict[str, str | float]:
    """What all rows of ``table`` have in common of :data:`PROVENANCE`.

    Examples
    --------
    >>> import drcopt
    >>> table = drcopt.sweep(drcopt.sources.bernoulli(), R=[0.2, 0.5], C=None)
    >>> sorted(provenance(table))
    ['drcopt_version', 'numpy_version', 'problem_fingerprint', 'scipy_version', 'tol']
    """
    found = {name: table[name].unique().tolist() for name in PROVENANCE if name in table.columns}
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def _columns_of(table: pd.DataFrame) -> dict[str, list[Any]]:
    _require_columns("table", list(table.columns))
    columns: dict[str, list[Any]] = {}
    for name in map(str, table.columns):
        values = table[name].tolist()
        if name not in _KNOWN:
            columns[name] = _own(values)
            continue
        text = name in _TEXT
        if text:  # pandas reads an empty cell as nan
            values = ["" if value is None or value != value else value for value in values]
        for i, value in enumerate(values):
            if not isinstance(value, str if text else (float, int)) or isinstance(value, bool):
                raise InputError(
                    f"column {name} must hold {'text' if text else 'float64'}; row {i} holds {value!r}. "
                    f"Pass the table as drcopt.sweep returned it."
                )
        columns[name] = values if text else [float(value) for value in values]
    return _completed(columns)


def _completed(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """With the columns that tables of before lack, behind those that they have: they hold least distortions."""
    missing = [name for name in _BEFORE if name not in columns]
    if not missing:
        return columns
    size = len(columns[COLUMNS[0]])
    new = {name: [_BEFORE[name]] * size for name in missing}
    if "value" in new:
        objectives = columns.get("objective") or new["objective"]
        measured = {q.name: columns[MEASURED[q]] for q in QUANTITIES}
        new["value"] = [measured[name][i] if name in measured else math.nan for i, name in enumerate(objectives)]
    at = 1 + max(i for i, name in enumerate(columns) if name in COLUMNS)
    items = list(columns.items())
    return dict([*items[:at], *new.items(), *items[at:]])


def _own(values: list[Any]) -> list[Any]:
    """A column of the user's: numbers and truth values as they are, anything else as text."""
    plain = all(isinstance(value, (bool, int, float)) for value in values)
    return values if plain else ["" if value is None or value != value else str(value) for value in values]


def _type(pyarrow: Any, name: str) -> Any:
    if name not in _KNOWN:
        return None  # as its values say
    return pyarrow.string() if name in _TEXT else pyarrow.float64()


def _from_columns(columns: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    import pandas as pd

    def dtype(name: str, values: Sequence[Any]) -> str | None:
        if name in _KNOWN:
            return "str" if name in _TEXT else "float64"
        return "str" if any(isinstance(value, str) for value in values) else None

    table = pd.DataFrame({name: pd.Series(values, dtype=dtype(name, values)) for name, values in columns.items()})
    table.attrs["drcopt"] = provenance(table)
    return table


def _print_csv(columns: Mapping[str, list[Any]], handle: IO[str]) -> None:
    handle.write(",".join(columns) + "\n")
    for cells in zip(*columns.values(), strict=True):
        # The repr of a float is the shortest text that reads back as the same float.
        handle.write(",".join(_quoted(cell) if isinstance(cell, str) else repr(cell) for cell in cells) + "\n")


def _quoted(text: str) -> str:
    # Not csv.writer, which may leave a lone carriage return unquoted, which csv.reader takes for a line end.
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text


def _read_csv(path: Path) -> dict[str, list[Any]]:
    with io.TextIOWrapper(io.BytesIO(read_bytes(path, _MOST_BYTES)), encoding="utf-8-sig", newline="") as handle:
        try:
            head = handle.readline()
            handle.seek(0)
            separator = max(_SEPARATORS, key=head.count)
            reader = csv.reader(handle, strict=True, delimiter=separator)
            names = next(reader, [])
            _require_columns(str(path), [name for name in names if not _is_index(name)])
            columns: dict[str, list[Any]] = {name: [] for name in names}
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(names):
                    raise InputError(
                        f"{path}, line {reader.line_num}: a row must have {len(names)} cells; it has {len(cells)}. "
                        f"Was the file cut short or edited?"
                    )
                for name, cell in zip(names, cells, strict=True):
                    if name in _KNOWN and name not in _TEXT:
                        columns[name].append(_number(name, cell, path, reader.line_num, separator))
                    else:
                        columns[name].append(cell)
        except (UnicodeDecodeError, csv.Error) as reason:
            raise _not_a_table(path, reason) from None
    return {
        name: cells if name in _KNOWN else _guessed(cells) for name, cells in columns.items() if not _is_index(name)
    }


def _is_index(name: str) -> bool:
    """Whether pandas wrote the column without being asked to."""
    return name == "" or name.startswith(("Unnamed: ", "__index_level_"))


def _guessed(cells: list[str]) -> list[Any]:
    """A column of the user's: the simplest kind that all its cells are."""
    kinds: tuple[Callable[[str], Any], ...] = (
        lambda cell: {"True": True, "False": False}[cell],
        int,
        lambda cell: float(cell or "nan"),
    )
    for kind in kinds:
        with suppress(ValueError, KeyError):
            return [kind(cell) for cell in cells]
    return cells


def _number(name: str, cell: str, path: Path, line: int, separator: str) -> float:
    if separator == ";" and "." not in cell:
        cell = cell.replace(",", ".")
    try:
        return float(cell) if cell else math.nan
    except ValueError:
        raise InputError(
            f"{path}, line {line}: {name} must be a number; it is {cell!r}. Was the file edited?"
        ) from None


def _read_parquet(path: Path) -> dict[str, list[Any]]:
    pyarrow, parquet = _pyarrow()
    content = io.BytesIO(read_bytes(path, _MOST_BYTES))
    try:
        file = parquet.ParquetFile(content)
        if file.metadata.num_rows * file.metadata.num_columns > _MOST_CELLS:
            raise OSError(f"it has more than the {_MOST_CELLS} cells that are read")
        unpacked = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
        if unpacked > _MOST_BYTES:
            raise OSError(f"it holds {unpacked} bytes, more than the {_MOST_BYTES} that are read")
        batches, size = [], 0
        for batch in file.iter_batches(_ROWS_AT_ONCE):  # packed text may be of any length
            batches.append(batch)
            size += batch.nbytes
            if size > _MOST_BYTES:
                raise OSError(f"it holds more than the {_MOST_BYTES} bytes that are read")
        data = pyarrow.Table.from_batches(batches, file.schema_arrow)
    except (pyarrow.ArrowException, OSError) as reason:
        raise _not_a_table(path, reason) from None
    except MemoryError:
        raise _not_a_table(path, MemoryError("it takes more memory than there is")) from None
    names = [name for name in data.column_names if not _is_index(name)]
    _require_columns(str(path), names)
    for field in data.schema:
        text = field.name in _TEXT
        allowed = (pyarrow.string(), pyarrow.large_string()) if text else (pyarrow.float64(), pyarrow.int64())
        if field.name in _KNOWN and field.type not in allowed:
            raise InputError(
                f"{path}: column {field.name} must hold {'text' if text else 'float64'}; it holds {field.type}. "
                f"Write it with drcopt.tables.write_table."
            )
    columns: dict[str, list[Any]] = data.to_pydict()
    # Other writers turn nan, and perhaps empty text, into null.
    nulls = {name: "" if name in _TEXT else math.nan for name in names if name in _KNOWN}
    return {name: [nulls.get(name) if value is None else value for value in columns[name]] for name in names}


def _require_columns(what: str, found: Iterable[Any]) -> None:
    """Refuse what lacks a column of a sweep, or has one twice."""
    found = [str(name) for name in found]
    twice = sorted({name for name in found if found.count(name) > 1})
    wanted = VERIFIED_COLUMNS if set(VERIFIED_MEANINGS).intersection(found) else COLUMNS
    missing = [name for name in wanted if name not in found and name not in _BEFORE]
    if not missing and not twice:
        return
    extra = [name for name in found if name not in wanted]
    parts = [f"lacks {', '.join(missing)}"] if missing else []
    parts += [f"also has {', '.join(extra)}"] if missing and extra else []
    parts += [f"has {', '.join(twice)} twice"] if twice else []
    raise InputError(
        f"{what} must have the columns of a sweep (drcopt.tables.COLUMNS); it {' and '.join(parts)}. "
        f"Pass a table that drcopt.sweep returned."
    )


def _not_a_table(path: Path, reason: Exception) -> InputError:
    return InputError(f"{path} must hold a sweep table; it does not ({_line(reason)}). Write it with write_table.")


def _line(reason: Exception) -> str:
    return " ".join(str(reason).split())
