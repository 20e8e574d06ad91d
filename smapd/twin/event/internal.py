"""Events that no integrator publishes: the twin's own words to a follower.

They go to ``on_event_internal``, and need no acknowledgement.
"""

from __future__ import annotations

from .base import AssetEvent

__all__ = ["IntTwinEofReplay", "InternalEvent"]


class InternalEvent(AssetEvent):
    """A word of the twin itself."""


class IntTwinEofReplay(InternalEvent):
    """The past of an asset was told; what comes next is new.

    Once an asset and connection, also for an asset without events. ``offset``: the offset of the
    first event that was not there yet when the replay began.
    """
