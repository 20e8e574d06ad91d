"""``control.db`` for the reactor's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from zope.interface import implementer

from smapd.errors import StorageFull
from smapd.interfaces import IDefinitions, IThreads
from smapd.values import Json

from .control import Control
from .recovery import is_disk

T = TypeVar("T")


@implementer(IDefinitions)
class Definitions:
    """Hands each call to the one thread of ``pool``, so they keep their order."""

    def __init__(self, control: Control, threads: IThreads, pool: str) -> None:
        self._control, self._threads, self._pool = control, threads, pool

    def load(self, kind: str) -> Deferred[list[Json]]:
        """All of a kind, in the order they were made."""
        return self._on_disk(lambda: list(self._control.all(kind).values()))

    def put(self, kind: str, key: str, value: Json) -> Deferred[None]:
        """Add or replace one; fires when it is durable. Fails with StorageFull."""
        return self._on_disk(self._control.put, kind, key, value)

    def delete(self, kind: str, key: str) -> Deferred[None]:
        """Remove one; fires when that is durable. Fails with StorageFull."""
        return self._on_disk(self._control.delete, kind, key)

    def _on_disk(self, f: Callable[..., T], *a: Any) -> Deferred[T]:
        return self._threads.to_pool(self._pool, f, *a).addErrback(_as_ours)


def _as_ours(failure: Any) -> Any:
    if is_disk(failure.value):
        raise StorageFull(f"It could not be written: {failure.value}.") from failure.value
    return failure
