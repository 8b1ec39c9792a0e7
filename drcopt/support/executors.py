"""What may run a sweep's chains: executors, and clients that have one."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import Any, Protocol

from drcopt.errors import InputError
from drcopt.support.check import shown

_NEEDS = (
    "It needs submit(function, *arguments) that returns a concurrent.futures.Future, as MPI, Ray and Dask have, "
    "or to be a Dask client. Pass e.g. concurrent.futures.ProcessPoolExecutor()."
)


class Submits(Protocol):
    """Anything with the ``submit`` of :class:`concurrent.futures.Executor`."""

    def submit(self, function: Any, /, *arguments: Any) -> Any:
        """Run ``function(*arguments)`` somewhere; a future of its result."""
        ...


def executor_of(value: Any) -> Submits | None:
    """The executor that an argument means: itself, or a Dask client's.

    Raises
    ------
    InputError
        If it can run nothing; the message says what is needed.
    """
    if value is None or isinstance(value, Executor):
        return value
    get = getattr(value, "get_executor", None)
    found = get() if callable(get) and not isinstance(value, type) else value
    if isinstance(found, type) or not callable(getattr(found, "submit", None)):
        raise InputError(f"executor must be a concurrent.futures.Executor or None; it is {shown(value)}. {_NEEDS}")
    return found  # type: ignore[no-any-return]


def submitted(executor: Submits, function: Any, *arguments: Any) -> Future[Any]:
    """The future of a call, if the executor makes futures that can be waited for."""
    future = executor.submit(function, *arguments)
    if not isinstance(future, Future):
        raise InputError(f"executor must make futures to wait for; its submit returned {shown(future)}. {_NEEDS}")
    return future
