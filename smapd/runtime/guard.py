"""The one place where an exception of any class is caught, so that it can be told to somebody.

Everything that calls code it does not own (a driver's poll, a callback of another room) calls it
through ``attempt`` and then logs, counts or hands on the failure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.python.failure import Failure

T = TypeVar("T")


def attempt(f: Callable[..., T], *a: object) -> T | Failure:
    """Call ``f(*a)``: its result, or what it raised as a Failure; any thread.

    Also what is no ``Exception``: a driver that calls ``sys.exit()`` in a poll, or lets an
    asyncio cancellation through, must not take a thread of ours with it.
    """
    try:
        return f(*a)
    except BaseException:  # noqa: BLE001 - the caller logs or counts it
        return Failure()  # type: ignore[no-untyped-call]


def failure_of(problem: BaseException) -> Failure:
    """This exception as a Failure, with the traceback it has."""
    return Failure(problem)  # type: ignore[no-untyped-call]
