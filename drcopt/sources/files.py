"""Problems by name, from files and to files."""

from __future__ import annotations

import difflib
import inspect
import io
import json
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np

from drcopt import words
from drcopt.checker.reading import read_bytes, strict_json
from drcopt.errors import InputError
from drcopt.problem import Problem
from drcopt.sources._arguments import parsed
from drcopt.sources.bernoulli import bernoulli
from drcopt.sources.gaussian import gaussian_grid
from drcopt.sources.images import images
from drcopt.support import check
from drcopt.support.files import atomic_write

__all__ = ["NAMES", "named", "read_json", "save"]

#: Every named source and what it is, in a line.
NAMES: dict[str, str] = {
    "bernoulli": "X ~ Bern(px), Y ~ Bern(py), S = X xor Bern(p1); Hamming distortion",
    "gaussian": "jointly Gaussian X and S, Gaussian Y, on finite grids; squared error",
    "digits:super-resolution": "8x8 digits from their 2x2 block averages; S the digit; squared error per pixel",
    "digits:denoising": "8x8 digits from copies with Gaussian noise; S the digit; squared error per pixel",
    "digits:inpainting": "8x8 digits from copies with a masked centre; S the digit; squared error per pixel",
}

_BUILDERS: dict[str, Callable[..., Problem]] = {
    "bernoulli": bernoulli,
    "gaussian": gaussian_grid,
    **{f"digits:{task}": partial(images, task) for task in words.DEGRADATIONS},
}

_KEYS = ("px", "py", "ps_given_x", "d")
#: Most bytes of a file and of an array in it, most members of an archive and most values in JSON text.
_MOST_BYTES, _MOST_MEMBERS, _MOST_VALUES = 2**26, 64, 2**22
#: What a file may say beside: the names of the letters of each alphabet go by these in .npz files.
_NOTES = ("name", "labels", "units")
_LABELS = {f"labels_{axis}": axis for axis in "xys"}


def named(source: str | os.PathLike[str], **options: Any) -> Problem:
    """The problem that a name or a file means.

    Parameters
    ----------
    source : str or path
        A name from :data:`NAMES`, perhaps with options (``"bernoulli:px=0.3,p1=0.1"``), or a file ending in ``.npz``
        or ``.json`` that holds ``px``, ``py``, ``ps_given_x`` and optionally ``d`` (an array or a name; "hamming" if
        absent), ``name``, ``labels`` (of x, y and s) and ``units`` (of d). In JSON ``ps_given_x`` may be an object with
        the channels of several classes by name.
    **options
        Those of :func:`~drcopt.sources.bernoulli`, :func:`~drcopt.sources.gaussian_grid` or
        :func:`~drcopt.sources.images`; none for a file.

    Raises
    ------
    InputError
        If there is no such name, file or option, or the file does not hold a problem.

    Examples
    --------
    >>> named("bernoulli", px=0.5)
    Problem(n=2, m=2, k=2, H(X)=1.0000 bits, H(Y)=0.8113 bits, H(S)=1.0000 bits, max d=1)
    """
    if not isinstance(source, (str, os.PathLike)):
        raise InputError(f"source must be a name or a path; it is {source!r}. Pass one of {_known()}.")
    if isinstance(source, str) and source in _BUILDERS:
        return _build(source, options)
    if isinstance(source, str) and (found := parsed(source, _BUILDERS)) is not None:
        return _build(found[0], {**found[1], **options})
    path = Path(source)
    if path.suffix.lower() not in _READERS:
        raise InputError(
            f"source must be a known name or a file ending in .npz or .json; it is {os.fspath(source)!r}. "
            f"Pass one of {_known()}, or such a file; a .csv of samples with --x and --s, or to Problem.from_samples."
        )
    if options:
        raise InputError(f"a source read from a file takes no options; {', '.join(options)} arrived. Leave them out.")
    return _read(path)


def save(problem: Problem, path: str | os.PathLike[str]) -> None:
    """Write ``problem``, with its name, labels and units, to ``path``, a ``.npz`` or ``.json`` file for :func:`named`.

    The file is written whole or not at all, and replaces one that is there.

    Raises
    ------
    InputError
        If the name ends otherwise, or its folder is missing or not writable.

    Examples
    --------
    >>> import tempfile
    >>> problem = named("bernoulli:px=0.3")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(problem, f"{folder}/mine.json")
    ...     again = named(f"{folder}/mine.json")
    >>> again == problem
    True
    """
    arrays = {key: getattr(problem, key) for key in _KEYS}
    if problem.classes is not None and Path(path).suffix.lower() == ".npz":
        raise InputError("path must end in .json for a problem with several classes; it ends in .npz. Change that.")
    notes = {key: text for key in ("name", "units") if (text := getattr(problem, key))}
    names = {axis: list(letters) for axis in "xys" if (letters := getattr(problem.labels, axis)) is not None}
    suffix = Path(path).suffix.lower()
    if suffix == ".npz":
        with atomic_write(path, "wb") as binary:
            flat = {f"labels_{axis}": np.array(_plain(letters)) for axis, letters in names.items()}
            contents: dict[str, Any] = {**arrays, **notes, **flat}
            np.savez_compressed(binary, **contents)
    elif suffix == ".json":
        with atomic_write(path) as text:
            labels = {"labels": {axis: _plain(letters) for axis, letters in names.items()}} if names else {}
            plain = {key: array.tolist() for key, array in arrays.items()}
            plain["d"] = [["inf" if v == math.inf else v for v in row] for row in plain["d"]]
            if problem.free:
                plain["py"] = None
            if problem.classes is not None:
                plain["ps_given_x"] = {name: W.tolist() for name, W in problem.classes.items()}
            json.dump({**plain, **notes, **labels}, text)
            text.write("\n")
    else:
        raise InputError(f"path must end in .npz or .json; it is {os.fspath(path)!r}. Add one of them.")


def read_json(text: str, what: str) -> Problem:
    """The problem that JSON text holds, as :func:`named` reads it from a file; ``what`` names it in messages.

    >>> read_json('{"px": [1, 0], "py": [1], "ps_given_x": [[1], [1]], "d": [[0], [1]]}', "mine").n
    2
    """
    return _problem(_parsed_json(text.encode("utf-8", "surrogatepass"), what), what)


def _plain(letters: list[Any]) -> list[Any]:
    """Names as a file can hold them: numbers or text of one kind, tuples of them, else text."""
    kinds = {type(letter) for letter in letters}
    return letters if len(kinds) == 1 and kinds <= {str, int, float, tuple} else list(map(str, letters))


def _known() -> str:
    return ", ".join(NAMES)


def _build(name: str, options: dict[str, Any]) -> Problem:
    builder = _BUILDERS[name]
    known = list(inspect.signature(builder).parameters)
    for key in options:
        if key not in known:
            raise InputError(
                f"options of source {name!r} must be among {', '.join(known)}; {key} arrived. Check its spelling."
            )
    return builder(**options)


def _read(path: Path) -> Problem:
    try:
        found = _READERS[path.suffix.lower()](path)
    except OSError as reason:
        raise InputError(
            f"source must be a readable file; {path} is not ({reason.strerror or reason}). "
            f"Check the path, or pass one of {_known()}."
        ) from None
    return _problem(found, str(path))


def _problem(found: Mapping[str, Any], path: str) -> Problem:
    missing = [key for key in _KEYS[:3] if key not in found]
    if missing:
        raise InputError(
            f"{path} must hold px, py and ps_given_x; it lacks {', '.join(missing)} and holds "
            f"{', '.join(found) or 'nothing'}. Add what is missing."
        )
    unknown = [key for key in found if key not in (*_KEYS, *_NOTES)]
    if unknown:
        # Ignoring "distortion" or "D" would quietly solve the Hamming problem instead.
        near = difflib.get_close_matches(unknown[0], ["ps_given_x", *_NOTES], n=1)
        raise InputError(
            f"{path} must hold {', '.join(_KEYS)} and nothing else; it holds {', '.join(unknown)}. "
            f"{f'Did you mean {near[0]}' if near else 'Rename or remove it'} ({', '.join(_NOTES)} may be there too)."
        )
    notes = {key: found[key] for key in _NOTES if key in found}
    py = found["py"]
    if isinstance(py, np.ndarray) and py.dtype.kind == "f" and py.size and np.isnan(py).all():
        py = None  # any law, as save writes it
    try:
        return Problem(found["px"], py, found["ps_given_x"], found.get("d", "hamming"), **notes)
    except InputError as reason:
        raise InputError(f"in {path}, {reason}") from None
    except OverflowError:
        raise InputError(f"{path} must hold numbers that fit a float; one does not. Rescale it.") from None


def _read_npz(path: Path) -> Mapping[str, Any]:
    content = read_bytes(path, _MOST_BYTES)
    if content.startswith(b"\x93NUMPY"):
        return {}  # an .npy file under this name: one array without a name
    try:
        found = _arrays(content)
    except (ArithmeticError, EOFError, LookupError, MemoryError, RuntimeError, SyntaxError, TypeError, ValueError,
            struct.error, zipfile.BadZipFile, zlib.error, TokenError) as reason:  # fmt: skip
        raise InputError(
            f"{path} must be an .npz archive of numeric arrays; it could not be read ({_line(reason)}). "
            "Write it with numpy.savez or drcopt.sources.save."
        ) from None
    # A name for d arrives as an array of one string.
    read: dict[str, Any] = {key: str(a) if a.ndim == 0 and a.dtype.kind == "U" else a for key, a in found.items()}
    labels = {axis: read.pop(key).tolist() for key, axis in _LABELS.items() if isinstance(read.get(key), np.ndarray)}
    return {**read, "labels": labels} if labels else read


def _arrays(content: bytes) -> dict[str, Any]:
    """The arrays of an .npz archive, each measured before it is unpacked; members that are none (a README) left out."""
    if content.count(b"PK\x01\x02") > _MOST_MEMBERS:
        raise ValueError(f"it has more than {_MOST_MEMBERS} members")
    found: dict[str, Any] = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.infolist():
            name, dot, suffix = member.filename.rpartition(".")
            if dot + suffix != ".npy":
                continue
            if name in found:
                raise ValueError(f"it holds {name} twice")
            if member.file_size > _MOST_BYTES:
                raise ValueError(
                    f"{name} unpacks to {member.file_size} bytes, more than the {_MOST_BYTES} that are read"
                )
            with archive.open(member) as handle:
                found[name] = _array(handle, name, member.file_size)
    return found


def _array(handle: IO[bytes], name: str, size: int) -> Any:
    version = np.lib.format.read_magic(handle)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, columns, dtype = header(handle)
    expected = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or expected > size:
        raise ValueError(f"{name} holds objects" if dtype.hasobject else f"{name} ends before its array does")
    data = handle.read(expected)
    if len(data) != expected:
        raise ValueError(f"{name} ends before its array does")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if columns else "C")


def _read_json(path: Path) -> Mapping[str, Any]:
    return _parsed_json(read_bytes(path, _MOST_BYTES), str(path))


def _parsed_json(content: bytes, path: str) -> Mapping[str, Any]:
    try:
        found = strict_json(content, _MOST_VALUES)
    except (ValueError, RecursionError) as reason:
        raise InputError(
            f"{path} must be valid JSON in UTF-8; it could not be read ({_line(reason)}). Correct it there."
        ) from None
    if not isinstance(found, dict):
        raise InputError(
            f"{path} must hold a JSON object with px, py, ps_given_x and d; it holds a {type(found).__name__}. "
            'Write {"px": [...], "py": [...], "ps_given_x": [[...]]}.'
        )
    d = found.get("d")
    if isinstance(d, list) and all(isinstance(row, list) for row in d):  # JSON has no infinite number
        found["d"] = [[math.inf if v == "inf" else v for v in row] for row in d]
    for key, value in found.items():
        if key in _KEYS and not (key == "d" and isinstance(value, str)):
            _only_numbers(path, key, value)
    return found


def _only_numbers(path: str, name: str, value: Any) -> None:
    """Refuse text and truth values, which NumPy would convert where they stand among numbers."""
    if isinstance(value, list):
        for i, entry in enumerate(value):
            _only_numbers(path, f"{name}[{i}]", entry)
    elif isinstance(value, dict) and name == "ps_given_x":  # several classes
        for of, W in value.items():
            _only_numbers(path, f"ps_given_x[{of!r}]", W)
    elif isinstance(value, bool | str):
        raise InputError(f"{path} must hold numbers; {name} is {check.shown(value)}. Write it as a number.")


def _line(reason: Exception) -> str:
    return " ".join(str(reason).split()) or type(reason).__name__


_READERS: dict[str, Callable[[Path], Mapping[str, Any]]] = {".npz": _read_npz, ".json": _read_json}
