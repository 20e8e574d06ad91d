"""Definitions without a disk."""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from smapd.interfaces import IDefinitions
from smapd.values import Json


@implementer(IDefinitions)
class MemoryDefinitions:
    """Keeps definitions as JSON text, so that what is no JSON fails here too.

    ``error``: what every change fails with, while set. A second part given the same object finds
    what the first one left, as after a restart.
    """

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], str] = {}
        self.error: Exception | None = None

    def load(self, kind: str) -> Deferred[list[Json]]:
        """All of a kind, in the order they were made."""
        return succeed([json.loads(text) for (of, _), text in self.rows.items() if of == kind])

    def put(self, kind: str, key: str, value: Json) -> Deferred[None]:
        """Add or replace one."""
        if self.error is not None:
            return fail(self.error)
        self.rows[kind, key] = json.dumps(value, allow_nan=False)
        return succeed(None)

    def delete(self, kind: str, key: str) -> Deferred[None]:
        """Remove one; nothing happens if there is none."""
        if self.error is not None:
            return fail(self.error)
        self.rows.pop((kind, key), None)
        return succeed(None)
