"""An append-only file of finished rows, from which a sweep that was killed goes on as if it had not been.

Any sweep of the same problem, solved in the same way, finds in it the rows that it asks for and adds its own: rows are
told apart by what they ask, not by their place in a table.

The file holds JSON lines: a header that says whose rows these are, then one record per finished row with
what its neighbours may start from. Each line ends in a checksum of itself. A line without its line
end is what a kill in the middle of a write leaves behind; it is cut off. Anything else that does not check
is damage, and refused.
"""

from __future__ import annotations

import base64
import json
import os
import stat
import weakref
import zlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from drcopt.errors import CheckpointError
from drcopt.support.check import FloatArray

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has no flock; there, two writers are not kept apart
    fcntl = None  # type: ignore[assignment]

#: Raised whenever the meaning of a line changes; a file of another version is refused.
FORMAT = 3
#: A larger file is not read.
MOST_BYTES = 2**32

Warm = Mapping[str, FloatArray] | None


@dataclass(frozen=True, eq=False)
class Record:
    """A finished row: its cells, and what a neighbour in its chain may start from."""

    cells: dict[str, Any]
    warm: Warm


class Checkpoint:
    """The rows of one problem on disk, locked against a second writer while open.

    Parameters
    ----------
    path : str or path
        Created if missing; its folder must exist.
    header : dict
        What all numbers depend on, as JSON-able values (inf allowed, nan not), plus ``columns``, the names of a row's
        cells in order, and ``identity``, those of the cells that tell one row from another.
    text : collection of str
        The columns whose cells are text; those of all others are numbers.

    Raises
    ------
    CheckpointError
        If the file cannot be opened or locked, is damaged, or was begun with another header.
    """

    def __init__(self, path: str | os.PathLike[str], header: Mapping[str, Any], text: Collection[str]) -> None:
        self.path, self.text = Path(path), text
        self.columns: list[str] = list(header["columns"])
        self.identity: list[str] = list(header["identity"])
        #: Finished rows by their identity.
        self.done: dict[tuple[Any, ...], Record] = {}
        self._descriptor = self._open()
        _OPEN.add(self)
        try:
            self._load({"drcopt_checkpoint": FORMAT, **header})
        except BaseException:
            self.close()
            raise

    def append(self, record: Record) -> None:
        """Add a finished row and force it to disk.

        Raises
        ------
        CheckpointError
            If it cannot be written, e.g. because the disk is full, or is no longer there. What was there before stays.
        """
        self._require_place()
        self._write({"cells": [record.cells[name] for name in self.columns], "warm": _pack(record.warm)})
        self.done[self._key(record)] = record

    def close(self) -> None:
        """Release the file and its lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            descriptor = os.open(self.path, flags, 0o666)
        except OSError as reason:
            raise CheckpointError(
                f"checkpoint must be a file that can be written; {self.path} is not ({reason.strerror}). "
                f"Choose a file in an existing, writable folder."
            ) from None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise CheckpointError(f"checkpoint must be a regular file; {self.path} is not. Choose another name.")
            if fcntl is not None:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise CheckpointError(
                        f"checkpoint {self.path} is in use by another sweep. "
                        f"Wait for it to end, or give this one another file."
                    ) from None
                except OSError as reason:
                    raise CheckpointError(
                        f"checkpoint {self.path} cannot be locked ({reason.strerror}). Choose a file on a local disk."
                    ) from None
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _key(self, record: Record) -> tuple[Any, ...]:
        return tuple(record.cells[name] for name in self.identity)

    def _require_place(self) -> None:
        """Whoever deletes or replaces the file of a running sweep lets another begin there: neither may go unseen."""
        try:
            same = os.path.samestat(os.stat(self.path), os.fstat(self._descriptor))
        except OSError:
            same = False
        if not same:
            raise CheckpointError(
                f"checkpoint {self.path} was deleted or replaced while its sweep ran, so its {len(self.done)} rows are "
                f"in no file any more. Run the sweep again, and leave the file alone until it ends."
            )

    def _load(self, header: Mapping[str, Any]) -> None:
        size = os.fstat(self._descriptor).st_size
        if size > MOST_BYTES:
            raise CheckpointError(
                f"checkpoint {self.path} holds {size} bytes, more than the {MOST_BYTES} that are read. "
                f"Give this sweep another file, and fewer points."
            )
        with os.fdopen(os.dup(self._descriptor), "rb") as handle:
            handle.seek(0)
            content = handle.read(size)
        *lines, torn = content.split(b"\n")
        self._length = len(content) - len(torn)
        if not lines:
            # No whole line: nothing yet, or a header cut short. Anything else is somebody's file.
            if not _line(header).startswith(torn):
                raise CheckpointError(_foreign(self.path))
            self._write(header)
            return
        self._compare(_read(lines[0]), header)
        for number, line in enumerate(lines[1:], start=2):
            record = self._record(_read(line))
            if record is None or self._key(record) in self.done:
                raise CheckpointError(
                    f"checkpoint {self.path} is damaged at line {number} of {len(lines)}. "
                    f"Delete the file from that line on and resume, or delete the file and start again."
                )
            self.done[self._key(record)] = record
        if torn:
            try:
                self._cut()
            except OSError as reason:
                raise self._unwritten(reason) from None

    def _compare(self, found: dict[str, Any] | None, wanted: Mapping[str, Any]) -> None:
        if found is None or "drcopt_checkpoint" not in found:
            raise CheckpointError(_foreign(self.path))
        if found["drcopt_checkpoint"] != FORMAT:
            raise CheckpointError(
                f"checkpoint {self.path} has format version {found['drcopt_checkpoint']}; this drcopt reads "
                f"version {FORMAT}. Resume it with the drcopt that began it, or give this sweep another file."
            )
        differences = [
            _difference(name, found.get(name), wanted.get(name))
            for name in dict.fromkeys([*wanted, *found])
            if found.get(name) != wanted.get(name)
        ]
        if differences:
            raise CheckpointError(
                f"checkpoint {self.path} belongs to another sweep: {'; '.join(differences)}. "
                f"Solve as it was begun (budgets, formulation and objective may differ), or give this sweep another "
                f"file."
            )

    def _record(self, found: dict[str, Any] | None) -> Record | None:
        if found is None:
            return None
        try:
            cells = dict(zip(self.columns, found["cells"], strict=True))
            kinds = [(str,) if name in self.text else (float, int) for name in self.columns]
            if any(type(cell) not in kind for cell, kind in zip(cells.values(), kinds, strict=True)):
                return None
            return Record(cells, _unpack(found["warm"]))
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            return None

    def _write(self, values: Mapping[str, Any]) -> None:
        data = _line(values)
        try:
            # Whatever an interrupted write left behind the last whole record must not survive a shorter one.
            self._cut()
            os.lseek(self._descriptor, self._length, os.SEEK_SET)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except OSError as reason:
            with suppress(OSError):
                self._cut()
            raise self._unwritten(reason) from None
        self._length += len(data)

    def _unwritten(self, reason: OSError) -> CheckpointError:
        return CheckpointError(
            f"checkpoint {self.path} could not be written ({reason.strerror}). The {len(self.done)} rows recorded "
            f"before are safe: make room and run the same sweep again."
        )

    def _cut(self) -> None:
        os.ftruncate(self._descriptor, self._length)


#: A flock is shared by every copy of a descriptor, and a forked worker has one: a worker that outlives a
#: killed parent would keep the file locked. So children close theirs.
_OPEN: weakref.WeakSet[Checkpoint] = weakref.WeakSet()


def _close_in_child() -> None:
    for checkpoint in list(_OPEN):
        checkpoint.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


def _line(values: Mapping[str, Any]) -> bytes:
    # json writes floats as their repr, and nan and inf by name: both read back exactly.
    body = json.dumps(values, separators=(",", ":"))
    return f'{body[:-1]},"crc32":"{zlib.crc32(body.encode()):08x}"}}\n'.encode()


def _read(line: bytes) -> dict[str, Any] | None:
    """The values of a line (without its line end), or None if it is not a line as written."""
    try:
        values = json.loads(line)
        del values["crc32"]
        return values if _line(values) == line + b"\n" else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _pack(warm: Warm) -> dict[str, Any] | None:
    if warm is None:
        return None
    return {
        name: [list(array.shape), base64.b64encode(array.astype("<f8").tobytes()).decode()]
        for name, array in warm.items()
    }


def _unpack(packed: Mapping[str, Any] | None) -> Warm:
    if packed is None:
        return None
    return {
        name: np.frombuffer(base64.b64decode(data), dtype="<f8").astype(np.float64).reshape(shape)
        for name, (shape, data) in packed.items()
    }


def _difference(name: str, there: Any, here: Any) -> str:
    if isinstance(there, list) and isinstance(here, list):
        if len(there) != len(here):
            return f"{name} has {len(there)} values there and {len(here)} here"
        i = next(i for i, pair in enumerate(zip(there, here, strict=True)) if pair[0] != pair[1])
        name, there, here = f"{name}[{i}]", there[i], here[i]
    return f"{name} is {there!r} there and {here!r} here"


def _foreign(path: Path) -> str:
    return f"checkpoint {path} is not a drcopt checkpoint; it was left as it is. Give this sweep another file."
