"""Until when work may go on: one deadline that whatever runs below it can ask about, however deep.

Loops ask :func:`expired` at cheap intervals and stop with what they have; calls into compiled code that cannot ask are
made :func:`aside`. Without a deadline nothing here changes what is computed.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import TypeVar

T = TypeVar("T")

_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)

#: Seconds between two looks at the deadline while a call runs aside.
_GLANCE = 0.05


class TimeIsUp(Exception):
    """The deadline passed inside a computation that is worth nothing unless it is finished."""


def now() -> float:
    """Seconds on a clock that only goes forward; tests put another in its place."""
    return time.monotonic()


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """Let what runs inside go on until ``deadline`` (of :func:`now`), or an earlier one that holds already.

    >>> with until(now() - 1.0):
    ...     expired()
    True
    >>> expired()
    False
    """
    token = _deadline.set(min(deadline, _deadline.get()))
    try:
        yield
    finally:
        _deadline.reset(token)


def expired() -> bool:
    """Whether the deadline has passed."""
    deadline = _deadline.get()
    return deadline < math.inf and now() >= deadline


def remaining() -> float:
    """Seconds left, at least 0; inf without a deadline."""
    deadline = _deadline.get()
    return max(0.0, deadline - now()) if deadline < math.inf else math.inf


def check() -> None:
    """Raise :class:`TimeIsUp` if the deadline has passed."""
    if expired():
        raise TimeIsUp


def aside(call: Callable[[Callable[[], bool]], T]) -> T | None:
    """``call(given_up)`` in a thread of its own; None at the deadline, and Ctrl-C is heard meanwhile.

    For solvers that let other threads run but hear nothing themselves. One that is given up may go on for a while, its
    answer unheard: ``given_up()`` tells it, if it can ask, and limits of its own should end it.
    """
    if expired():
        return None
    answers: list[T] = []
    failures: list[BaseException] = []
    finished, leave = threading.Event(), threading.Event()

    def run() -> None:
        try:
            answers.append(call(leave.is_set))
        except BaseException as reason:  # a panic in compiled code is not an Exception
            failures.append(reason)
        finally:
            finished.set()

    threading.Thread(target=copy_context().run, args=(run,), daemon=True).start()
    try:
        while not finished.wait(min(_GLANCE, remaining() + 1e-3)):
            if expired():
                return None
    finally:
        leave.set()
    if failures:
        raise failures[0]
    return answers[0]
