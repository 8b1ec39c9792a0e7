"""Arrays in a file, read without executing anything and never taking more memory than the file is long.

A file is: the line :data:`MAGIC`; the length of the header, 8 bytes, little-endian; the header, JSON: ``meta`` (any
JSON) and ``arrays`` (name, type, shape of each); the arrays' bytes, little-endian, in order; the sha256 of all that
precedes it, 32 bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drcopt.errors import CheckpointError
from drcopt.support.files import atomic_write

MAGIC = b"drcopt arrays 1\n"
_TYPES = ("<f4", "<f8", "<i4", "<i8", "|u1")
_LONGEST_HEADER = 2**24

Arrays = Mapping[str, NDArray[Any]]


def write(path: str | os.PathLike[str], arrays: Arrays, meta: Mapping[str, Any]) -> None:
    """Write arrays (float32, float64, int32, int64 or uint8) and JSON-able ``meta``, whole or not at all."""
    little = {name: np.asarray(array, array.dtype.newbyteorder("<"), order="C") for name, array in arrays.items()}
    for name, array in little.items():
        if array.dtype.str not in _TYPES:
            raise TypeError(f"array {name!r} is of type {array.dtype}")
    described = [[name, array.dtype.str, list(array.shape)] for name, array in little.items()]
    header = json.dumps({"meta": meta, "arrays": described}, separators=(",", ":")).encode()
    digest = hashlib.sha256()
    with atomic_write(path, "wb") as file:
        for part in (MAGIC, len(header).to_bytes(8, "little"), header, *(array.tobytes() for array in little.values())):
            digest.update(part)
            file.write(part)
        file.write(digest.digest())


def read(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and ``meta`` of a file that :func:`write` wrote; arrays are read-only.

    Raises
    ------
    CheckpointError
        If the file cannot be read, is something else, or is damaged.
    """
    path = Path(path)
    try:
        # A pipe would be waited for, and a device has no length.
        if not stat.S_ISREG(path.stat().st_mode):
            raise CheckpointError(f"{path} must be a regular file; it is not. Pass a file that drcopt wrote.")
        content = path.read_bytes()
    except OSError as reason:
        raise CheckpointError(
            f"{path} must be a readable file; it is not ({reason.strerror}). Check the path."
        ) from None
    start, end = len(MAGIC) + 8, len(content) - 32
    if not content.startswith(MAGIC) or end < start:
        raise CheckpointError(f"{path} must be a file of arrays that drcopt wrote; it is not one. Check the path.")
    length = int.from_bytes(content[len(MAGIC) : start], "little")
    try:
        if hashlib.sha256(memoryview(content)[:end]).digest() != content[end:]:
            raise ValueError("its checksum is another")
        if length > min(_LONGEST_HEADER, end - start):
            raise ValueError("its header is longer than the file")
        header = json.loads(content[start : start + length])
        meta, entries = header["meta"], header["arrays"]
        if not isinstance(meta, dict):
            raise ValueError("its meta is no object")
        payload = memoryview(content)[start + length : end]
        arrays: dict[str, NDArray[Any]] = {}
        position = 0
        for name, kind, shape in entries:
            if kind not in _TYPES or name in arrays or not all(type(n) is int and n >= 0 for n in shape):
                raise ValueError("it describes an array that cannot be")
            size = math.prod(shape) * np.dtype(kind).itemsize
            if size > len(payload) - position:
                raise ValueError(f"it ends before array {name!r} does")
            arrays[name] = np.frombuffer(payload[position : position + size], kind).reshape(shape)
            position += size
        if position != len(payload):
            raise ValueError("something follows its arrays")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as reason:
        raise CheckpointError(f"{path} is damaged ({reason}). Delete it, and run what wrote it again.") from None
    return arrays, meta
