"""Reading files that may have been made to do harm: what they hold is measured before anything is
allocated.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any


def read_bytes(path: str | Path, most: int) -> bytes:
    """The contents of a regular file of at most ``most`` bytes.

    Raises
    ------
    OSError
        If it cannot be read, is no regular file (a pipe is not waited for), or holds more;
        ``strerror`` says which.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags), "rb") as handle:
        found = os.fstat(handle.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        if found.st_size > most:
            raise OSError(
                errno.EFBIG, f"it holds {found.st_size} bytes, more than the {most} that are read"
            )
        content = handle.read(found.st_size + 1)
    if len(content) > found.st_size:
        raise OSError(errno.EFBIG, "it holds more than its size says")
    return content


def strict_json(content: bytes, most: int) -> Any:
    """What JSON text in UTF-8 (with or without a byte-order mark) holds: at most ``most`` values,
    nested or not.

    Raises
    ------
    ValueError
        If it is anything else, holds more, names a key twice in one object, or holds NaN or an
        infinity.
    """
    values = sum(
        map(content.count, (b",", b":", b"[", b"{"))
    )  # at least one of these comes with every value
    if values > most:
        raise ValueError(f"it holds some {values} values, more than the {most} that are read")
    try:
        return json.loads(
            content.decode("utf-8-sig"), object_pairs_hook=_once, parse_constant=_refuse
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except MemoryError:
        raise ValueError("it takes more memory than there is") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {name!r:.40} appears twice in one object")
        found[name] = value
    return found


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")
