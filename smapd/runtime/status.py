"""What ``/status`` and ``smapd status`` show: each room gives a reader for its own section."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from smapd.interfaces import IStatus
from smapd.values import Json

from .guard import attempt
from .words import named

_log = Logger()


@implementer(IStatus)
class Status:
    """The sections by name; on the home thread."""

    def __init__(self) -> None:
        self._readers: dict[str, Callable[[], Json]] = {}

    def section(self, name: str, read: Callable[[], Json]) -> None:
        """Show what ``read()`` gives under this name; a second reader of a name replaces it.

        ``read`` is called at each look and must be quick. It gives plain JSON values, and never a
        secret.
        """
        self._readers[name] = read

    def remove(self, name: str) -> None:
        """Show that section no more."""
        self._readers.pop(name, None)

    def snapshot(self) -> dict[str, Json]:
        """Everything, ready for JSON.

        A reader that fails is shown as ``{"error": …}`` and logged; the others are there.
        """
        shown: dict[str, Json] = {}
        for name, read in list(self._readers.items()):
            value = attempt(read)
            if isinstance(value, Failure):
                _log.failure("status section {name} cannot be read", value, name=name)
                value = {"error": named(value.value)}
            shown[name] = value
        return shown
