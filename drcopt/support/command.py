"""Ctrl-C while the command line is still being imported: one line and 130, as afterwards."""

import os
import sys
from pathlib import Path
from types import TracebackType


def is_command() -> bool:
    """Whether this process is the command (``-m`` stands there while Python looks for the module to run)."""
    return Path(sys.argv[0] if sys.argv else "").name in ("drcopt", "drcopt.exe", "-m")


def hush(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    """What becomes of an exception that nothing caught."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, where)
        return
    print("drcopt: error: interrupted", file=sys.stderr, flush=True)
    os._exit(130)


if is_command():
    sys.excepthook = hush
