"""Writing files whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal, overload

from drcopt.errors import InputError, OutputError


@overload
def atomic_write(path: str | os.PathLike[str], mode: Literal["w"] = ...) -> AbstractContextManager[IO[str]]: ...
@overload
def atomic_write(path: str | os.PathLike[str], mode: Literal["wb"]) -> AbstractContextManager[IO[bytes]]: ...
@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """Write ``path`` through a temporary file beside it, so that readers see the old file or the new one.

    The temporary file is flushed to disk and renamed onto ``path`` when the block ends; if the block raises,
    it is removed and ``path`` is as it was. Text is UTF-8 with line ends as written. A symbolic link is
    followed, and the permissions of a file that is replaced are kept.

    Raises
    ------
    InputError
        If ``path`` is not a regular file or a new name in an existing, writable folder.
    OutputError
        If writing fails half-way, as on a full disk.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise InputError(
            f"path must name a regular file; {os.fspath(path)} is a folder or a device. Add a file name to it."
        )
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        # Not tempfile: it makes files only their owner can read, and ours would be renamed with that mode.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as reason:
        raise InputError(
            f"path must be writable; {os.fspath(path)} is not ({reason.strerror}). Choose a file in an existing folder."
        ) from None
    try:
        text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
        with open(descriptor, mode, **text) as handle:  # type: ignore[call-overload]
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except BaseException as reason:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if not isinstance(reason, OSError):
            raise
        raise OutputError(
            f"{os.fspath(path)} could not be written ({reason.strerror or reason}). What was there before is "
            f"untouched: make room or choose another place, and write it again."
        ) from None
