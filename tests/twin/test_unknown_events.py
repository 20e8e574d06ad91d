"""An event of a type or version that a follower does not know is never taken for one it knows."""

from __future__ import annotations

from typing import Any

import pytest

from smapd.errors import EventInvalid
from smapd.twin import FollowerCallbacks, NamedEventMixin, UnknownEvent
from smapd.twin.callbacks import leaves_unmatched


class Named(NamedEventMixin, FollowerCallbacks):
    """Has a method for ``Said``, of version 1 as far as it knows."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def do_said(self, event: Any) -> None:
        self.said.append(event)


class Catching(Named):
    def on_event_unmatched(self, event: Any) -> None:
        self.said.append(("unmatched", event.raw))


def unknown() -> UnknownEvent:
    known: dict[str, Any] = {"time_ms": 0, "systime_ms": 0, "source": "s", "offset": 0}
    return UnknownEvent.of("Said", "json", b'{"other":1}', asset="a", version=9, **known)


def test_an_event_of_an_unknown_version_goes_to_unmatched_with_its_raw_data() -> None:
    """FO-07, FO-08: a method of that name counts on a schema that this event does not have."""
    callbacks = Catching()

    callbacks.on_event(unknown())

    assert callbacks.said == [("unmatched", b'{"other":1}')]


def test_one_that_has_a_method_is_not_acknowledged_by_itself() -> None:
    """FO-08: it would be lost."""
    callbacks = Named()

    assert not leaves_unmatched(callbacks, unknown())
    with pytest.raises(EventInvalid, match="EventModules"):
        callbacks.on_event(unknown())
    assert callbacks.said == []
