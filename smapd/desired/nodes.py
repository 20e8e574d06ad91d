"""A deployment's resources as a graph, and the devices that they share."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from smapd.values import Json

from .states import Change, Place, ResourceState


class Node:
    """A resource's place; ``place`` None: it has its ``state``. ``bad``: requirements not good."""

    __slots__ = (
        "agent",
        "bad",
        "change",
        "dependants",
        "device",
        "is_parked",
        "is_queued",
        "name",
        "place",
        "requirements",
        "resource",
        "skipped_for",
        "state",
        "wanted",
    )

    def __init__(
        self, name: str, agent: str, device: str, wanted: list[str], resource: Mapping[str, Json]
    ) -> None:
        self.name, self.agent, self.device = name, agent, device
        self.wanted, self.resource = wanted, resource
        self.requirements: list[Node] = []
        self.dependants: list[Node] = []
        self.bad = 0
        self.place: Place | None = Place.WAITING
        self.state: ResourceState | None = None
        self.skipped_for = ""
        self.change = Change.NOCHANGE
        self.is_queued = False
        self.is_parked = False

    def shown(self) -> ResourceState | Place:
        """Its state, or else its place."""
        if self.place is not None:
            return self.place
        assert self.state is not None
        return self.state


class Device:
    """Who runs on it, how many of an older deployment do, and who waits for it."""

    __slots__ = ("foreign", "holder", "waiting")

    def __init__(self) -> None:
        self.holder: Node | None = None
        self.foreign = 0
        self.waiting: dict[str, deque[Node]] = {}

    def park(self, node: Node) -> None:
        """It waits until the device is free; its agent's others wait behind it."""
        if not node.is_parked:
            node.is_parked = True
            self.waiting.setdefault(node.agent, deque()).append(node)


def blocking(node: Node) -> Node | None:
    """A requirement that has ended otherwise than well, if there is one."""
    for other in node.requirements:
        if other.place is None and other.state is not ResourceState.DEPLOYED:
            return other
    return None
