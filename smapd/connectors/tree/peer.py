"""What the tree's side and a remote peer's side of a connector know of each other.

All on the reactor's thread. A kind of peer (``connectors/vantiq``) gives a `Peer` for each source;
the tree gives an `Inbound`, which answers what the peer asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from smapd.values import Json, Outcome

Row = dict[str, Json]


class Peer(Protocol):
    """The link of one source to its server; it connects again by itself."""

    @property
    def is_up(self) -> bool:
        """Whether there is a connection to send on."""

    @property
    def why_down(self) -> str:
        """Why there is none, for the operator."""

    def start(self) -> None:
        """Connect, and stay connected."""

    def stop(self) -> Deferred[None]:
        """End for good; fires when that is done."""

    def send(self, lines: Sequence[bytes]) -> Deferred[Outcome]:
        """Send notifications, each the JSON of one object: Accepted once the server has read them.

        Ends within 30 s; may be cancelled. One at a time from each who sends.
        """

    def status(self) -> dict[str, Json]:
        """For /status; without secrets."""


class Reply(Protocol):
    """Takes the answer to one query."""

    def partial(self, rows: Sequence[Row]) -> Deferred[None]:
        """Some of the answer; fires when it is on its way. Those of one query keep their order."""

    def complete(self, rows: Sequence[Row] = ()) -> Deferred[None]:
        """The rest of it."""


class Inbound(Protocol):
    """What comes from the server, as the tree answers it."""

    async def query(self, message: Mapping[str, Json], reply: Reply) -> None:
        """Answer it; ``reply`` is complete then.

        :raises SmapError: what is to be answered instead of (the rest of) an answer.
        """

    async def publish(self, message: Mapping[str, Json]) -> bool:
        """Do what it says: whether it was meant for the tree. What fails is logged and counted."""

    async def unknown(self, message: Mapping[str, Json]) -> None:
        """Nobody takes this publish."""
