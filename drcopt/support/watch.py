"""Who is told how a long search is getting on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

#: Takes the best value found and the bound proved so far, as the search counts them.
Listener = Callable[[float, float], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have searches within the block tell ``listener`` of every step.

    >>> import drcopt
    >>> steps = []
    >>> problem = drcopt.Problem([0.5, 0.5], [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]])
    >>> with listening(lambda upper, lower: steps.append((upper, lower))):
    ...     edge = drcopt.min_classification_loss(problem, R=0.5)
    >>> all(upper >= lower for upper, lower in steps)
    True
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(upper: float, lower: float) -> None:
    """Say what is known, if anyone listens."""
    listener = _listener.get()
    if listener is not None:
        listener(upper, lower)
