"""The IDX format of MNIST and its relatives."""

from __future__ import annotations

import gzip
import io
import math
import os
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drcopt.checker.reading import read_bytes
from drcopt.errors import InputError

__all__ = ["read"]

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MOST_AXES = 32
#: Most bytes of a file.
_MOST_BYTES = 2**30


def read(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The array in an IDX file, plain or gzip-compressed (told apart by content), in native byte order.

    The format [1]_: two zero bytes, a byte for the type of the entries, a byte for the number of axes, one
    big-endian 32-bit length per axis, then the entries, big-endian, last axis fastest.

    Parameters
    ----------
    path : path
        For example ``train-images-idx3-ubyte.gz``.

    Returns
    -------
    ndarray
        Shape and type as the file says: (N, 28, 28) and (N,) uint8 for MNIST's images and labels.

    Raises
    ------
    InputError
        If the file cannot be read, is not IDX, or holds fewer or more bytes than its header says.

    References
    ----------
    .. [1] Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "labels-idx1-ubyte")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     read(path)
    array([7, 2, 1], dtype=uint8)
    """
    try:
        content = read_bytes(os.fspath(path), _MOST_BYTES)
    except OSError as reason:
        raise InputError(f"path must be a readable file; {path} is not ({reason.strerror}). Check the path.") from None
    if content[:2] == b"\x1f\x8b":
        try:
            content = _unpacked(content)
        except (OSError, EOFError, MemoryError, zlib.error) as reason:
            raise InputError(f"{path} must be a whole gzip file; it is damaged ({reason}). Fetch it again.") from None
    if len(content) < 4 or content[:2] != b"\0\0":
        raise InputError(
            f"{path} must be an IDX file, beginning with two zero bytes, a type and a number of axes; "
            f"it begins with {content[:4].hex(' ') or 'nothing'}. Pass an IDX file such as train-images-idx3-ubyte.gz."
        )
    code, axes = content[2], content[3]
    if code not in _DTYPES:
        known = ", ".join(f"0x{known:02x}" for known in _DTYPES)
        raise InputError(
            f"{path} must have an IDX type code among {known}; its third byte is 0x{code:02x}. Check that it is IDX."
        )
    if not 1 <= axes <= _MOST_AXES:
        raise InputError(f"{path} must have 1 to {_MOST_AXES} axes; its fourth byte says {axes}. Check that it is IDX.")
    start = 4 + 4 * axes
    if len(content) < start:
        raise InputError(
            f"{path} must hold a header of {start} bytes for its {axes} axes; it ends after {len(content)}. "
            "Fetch it again."
        )
    shape = struct.unpack(f">{axes}I", content[4:start])
    dtype = np.dtype(_DTYPES[code])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise InputError(
            f"{path} must hold {expected} bytes for shape {shape} of {dtype.newbyteorder('=').name}; it holds "
            f"{len(content)}. "
            + ("It is truncated: fetch it again." if len(content) < expected else "Remove what follows the array.")
        )
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _unpacked(content: bytes) -> bytes:
    """A gzip file's content, up to a byte more than its own header asks for: a small file can unpack to gigabytes."""
    with gzip.open(io.BytesIO(content)) as stream:
        start = stream.read(4)
        axes = start[3] if len(start) == 4 and start[3] <= _MOST_AXES and start[2] in _DTYPES else 0
        start += stream.read(4 * axes)
        if not axes or len(start) < 4 + 4 * axes:
            return start
        size = math.prod(struct.unpack(f">{axes}I", start[4:])) * np.dtype(_DTYPES[start[2]]).itemsize
        # Deflate shrinks nothing by more: what is not there need not be made room for.
        return start + stream.read(min(size, 1032 * len(content)) + 1)
