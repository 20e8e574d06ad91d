"""Which resource may run next: a deployment without threads, clock or disk.

Whoever drives it takes what is ready, lets it run somewhere, and tells how it ended; from that the
next become ready. It is told of a result only once that is kept, so what depends on it begins
behind the disk, and a deployment can be made anew from the kept results after a crash.

- A resource is ready when all it requires are deployed, on whatever agent. If one of them ends
  otherwise, it is skipped, and so is what requires it.
- In a dry run nothing waits for anything: each resource is looked at as it is.
- Resources of one *device* run one at a time.
- A newer deployment made ``after`` this one cancels what has not begun here, and holds its own
  resource back while the older one's run of it, or of its device, goes on.
- It stays alive when all is done: ``again`` lets resources run once more, for repair, and what was
  skipped for a requirement's sake follows as soon as that one is good.

Ids are without version everywhere. Not safe for threads: one thread drives it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from smapd.values import Json

from .ids import Id
from .nodes import Device, Node, blocking
from .order import check_order
from .states import Change, Place, ResourceState, Settled

_GOOD: Final = ResourceState.DEPLOYED


class Deployment:
    """One run of one model version over its resources.

    ``resources``: in JSON form. ``device_of``: the name of the device that a resource sits on, ""
    for none. ``finished``: results kept from before a crash; what they say is not done again, but
    what they skipped for a requirement is judged anew.

    :raises BadModel: for a double id, an unknown requirement, a ring; nothing runs then.
    """

    def __init__(
        self,
        resources: Sequence[Mapping[str, Json]],
        version: int,
        *,
        dry_run: bool = False,
        device_of: Callable[[Mapping[str, Json]], str] | None = None,
        finished: Iterable[Settled] = (),
        after: Deployment | None = None,
    ) -> None:
        requires = check_order(resources)
        self.version = version
        self.is_dry_run = dry_run
        self.is_overtaken = False
        self._nodes: dict[str, Node] = {}
        self._ready: dict[str, deque[Node]] = {}
        self._devices: dict[str, Device] = {}
        self._held: dict[str, int] = {}
        self._follower: Deployment | None = None
        self._unsettled = 0
        for resource, (name, wanted) in zip(resources, requires.items(), strict=True):
            device = device_of(resource) if device_of is not None else ""
            self._nodes[name] = Node(name, Id.parse_id(name).agent_name, device, wanted, resource)
        self.resources: Mapping[str, Mapping[str, Json]] = MappingProxyType(
            {name: node.resource for name, node in self._nodes.items()}
        )
        if not dry_run:
            for node in self._nodes.values():
                node.requirements = [self._nodes[name] for name in requires[node.name]]
                node.bad = len(node.requirements)
                for other in node.requirements:
                    other.dependants.append(node)
        self._unsettled = len(self._nodes)
        if after is not None:
            self._hold_for(after)
        self._begin(finished)
        self.skipped_at_start = self._skip_first()
        """What is skipped for the sake of ``finished`` ones that did not go well."""

    # --- driving it

    def take(
        self, agents: str | Collection[str] | None = None, limit: int | None = None
    ) -> list[str]:
        """Ids that may run now, at most ``limit``; from now on they count as running.

        ``agents``: an agent's name, or several; None for all.
        """
        if agents is None:
            names: Iterable[str] = list(self._ready)
        else:
            names = (agents,) if isinstance(agents, str) else agents
        taken: list[str] = []
        for name in names:
            queue = self._ready.get(name)
            while queue and (limit is None or len(taken) < limit):
                node = queue.popleft()
                node.is_queued = False
                if node.place is not Place.READY:
                    self._next_of(node.device)
                elif self._may_run(node):
                    node.place = Place.RUNNING
                    taken.append(node.name)
        return taken

    def settle(
        self, name: str, state: ResourceState | str, change: Change | str = Change.NOCHANGE
    ) -> list[Settled]:
        """A resource has ended so: it, and behind it what is skipped for its sake.

        Also for one that was never taken, as when no agent serves it. Nothing if it is settled or
        cancelled already: a late result changes nothing.

        :raises KeyError: if there is no such resource.
        """
        node = self._nodes[name]
        if node.place is None or node.place is Place.CANCELLED:
            return []
        state = ResourceState(state)
        if node.place is Place.RUNNING:
            self._leave(node)
        node.change = Change(change)
        settled = [Settled(name, state, change=node.change)]
        self._mark(node, state)
        if state is _GOOD and not self.is_overtaken:
            self._free_dependants(node)
        elif not self.is_overtaken:
            self._skip_dependants(node, settled)
        return settled

    def give_back(self, name: str) -> None:
        """Its run never ended, as when its agent died: it is ready once more.

        In a deployment that was overtaken it is cancelled.
        """
        node = self._nodes[name]
        if node.place is not Place.RUNNING:
            return
        self._leave(node)
        if self.is_overtaken:
            self._cancel(node)
        else:
            node.place = Place.WAITING
            self._offer(node)

    def again(self, names: Iterable[str] | None = None) -> list[Settled]:
        """Let these settled ones, all if None, run once more, in order; for repair.

        What they are needed for waits for them if it is to run too, else keeps its state. Those
        whose requirement stands badly, and is not to run, are skipped: they come back from here.
        """
        if self.is_overtaken:
            return []
        wanted = self._nodes.values() if names is None else [self._nodes[n] for n in names]
        fresh = [node for node in wanted if node.place is None]
        for node in fresh:
            self._reopen(node)
        skipped: list[Settled] = []
        for node in fresh:
            if node.place is not Place.WAITING:
                continue
            cause = blocking(node)
            if cause is not None:
                self._skip(node, cause, skipped)
                self._skip_dependants(node, skipped)
            elif not node.bad:
                self._offer(node)
        return skipped

    def set_devices(
        self, device_of: Callable[[Mapping[str, Json]], str], agents: Collection[str]
    ) -> None:
        """Agents have come, and say which field names a device: their resources sit on those.

        What runs stays where it is until it is looked at the next time.
        """
        for node in self._nodes.values():
            if node.agent in agents and node.place is not Place.RUNNING:
                node.device = device_of(node.resource)

    def overtake(self) -> list[str]:
        """A newer version comes: what has not begun is cancelled, and named here.

        What runs ends as usual. Called by making a deployment ``after`` this one.
        """
        self.is_overtaken = True
        cancelled = []
        for node in self._nodes.values():
            if node.place is Place.WAITING or node.place is Place.READY:
                self._cancel(node)
                cancelled.append(node.name)
        return cancelled

    # --- looking at it

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to run, and nothing runs."""
        return self._unsettled == 0

    def running(self) -> list[str]:
        """What was taken and has not ended."""
        return [n.name for n in self._nodes.values() if n.place is Place.RUNNING]

    def state(self, name: str) -> ResourceState | Place:
        """How it ended, or else where it stands."""
        return self._nodes[name].shown()

    def states(self) -> dict[str, ResourceState | Place]:
        """``state`` of each."""
        return {name: node.shown() for name, node in self._nodes.items()}

    def counts(self) -> dict[str, int]:
        """How many stand where; only what there is."""
        counts: dict[str, int] = {}
        for node in self._nodes.values():
            shown = node.shown()
            counts[shown] = counts.get(shown, 0) + 1
        return counts

    def agents(self) -> list[str]:
        """The agents that its resources name."""
        return list(dict.fromkeys(node.agent for node in self._nodes.values()))

    def requires(self, name: str) -> list[str]:
        """What a resource requires."""
        return list(self._nodes[name].wanted)

    def dependency_changed(self, name: str) -> bool:
        """Whether, in its last run, something that it requires was created, updated or purged."""
        return any(o.change is not Change.NOCHANGE for o in self._nodes[name].requirements)

    # --- inside

    def _skip_first(self) -> list[Settled]:
        skipped: list[Settled] = []
        for node in self._nodes.values():
            if node.state is not None and node.state is not _GOOD:
                self._skip_dependants(node, skipped)
        return skipped

    def _begin(self, finished: Iterable[Settled]) -> None:
        for result in finished:
            node = self._nodes.get(result.id)
            if node is None or node.place is None or result.skipped_for:
                continue
            state = ResourceState(result.state)
            self._mark(node, state)
            node.change = Change(result.change)
            if state is _GOOD:
                for dependant in node.dependants:
                    dependant.bad -= 1
        for node in self._nodes.values():
            if node.place is Place.WAITING and not node.bad:
                self._offer(node)

    def _hold_for(self, older: Deployment) -> None:
        older.overtake()
        older._follower = self
        for name in older.running():
            device = older._nodes[name].device
            self._held[name] = self._held.get(name, 0) + 1
            if device:
                self._device(device).foreign += 1
        for name, count in older._held.items():
            self._held[name] = self._held.get(name, 0) + count
        for device, place in older._devices.items():
            if place.foreign:
                self._device(device).foreign += place.foreign

    def _released(self, name: str, device: str) -> None:
        """The run of this resource by an older deployment is over."""
        left = self._held.get(name, 0) - 1
        if left > 0:
            self._held[name] = left
        else:
            self._held.pop(name, None)
            node = self._nodes.get(name)
            if node is not None and node.place is Place.READY:
                self._queue(node)
        if device:
            self._device(device).foreign -= 1
            self._next_of(device)
        if self._follower is not None:
            self._follower._released(name, device)

    def _device(self, name: str) -> Device:
        return self._devices.setdefault(name, Device())

    def _offer(self, node: Node) -> None:
        node.place = Place.READY
        self._queue(node)

    def _queue(self, node: Node) -> None:
        if not node.is_queued:
            node.is_queued = True
            self._ready.setdefault(node.agent, deque()).append(node)

    def _may_run(self, node: Node) -> bool:
        """Else it waits where somebody will queue it again."""
        if node.name in self._held:
            return False
        if node.device:
            place = self._device(node.device)
            if place.foreign or place.holder is not None:
                place.park(node)
                return False
            place.holder = node
        return True

    def _leave(self, node: Node) -> None:
        """It runs no more."""
        if node.device:
            self._device(node.device).holder = None
            self._next_of(node.device)
        if self._follower is not None:
            self._follower._released(node.name, node.device)

    def _next_of(self, device: str) -> None:
        """If the device is free: of each agent the first that waits for it may try again."""
        place = self._devices.get(device)
        if place is None or place.foreign or place.holder is not None:
            return
        for waiting in place.waiting.values():
            while waiting:
                node = waiting.popleft()
                node.is_parked = False
                if node.place is Place.READY:
                    self._queue(node)
                    break

    def _mark(self, node: Node, state: ResourceState) -> None:
        node.place, node.state, node.skipped_for = None, state, ""
        self._unsettled -= 1

    def _cancel(self, node: Node) -> None:
        node.place = Place.CANCELLED
        self._unsettled -= 1

    def _reopen(self, node: Node) -> None:
        was_good = node.state is _GOOD
        node.place, node.state, node.skipped_for = Place.WAITING, None, ""
        node.change = Change.NOCHANGE
        self._unsettled += 1
        if was_good:
            for dependant in node.dependants:
                dependant.bad += 1
                if dependant.place is Place.READY:
                    dependant.place = Place.WAITING

    def _free_dependants(self, node: Node) -> None:
        for dependant in node.dependants:
            dependant.bad -= 1
            if dependant.bad:
                continue
            if dependant.place is Place.WAITING:
                self._offer(dependant)
            elif dependant.skipped_for:
                self._reopen(dependant)
                self._offer(dependant)

    def _skip_dependants(self, node: Node, settled: list[Settled]) -> None:
        behind = [(node, dependant) for dependant in reversed(node.dependants)]
        while behind:
            cause, dependant = behind.pop()
            if dependant.place is Place.WAITING or dependant.place is Place.READY:
                self._skip(dependant, cause, settled)
                behind += [(dependant, further) for further in reversed(dependant.dependants)]

    def _skip(self, node: Node, cause: Node, settled: list[Settled]) -> None:
        self._mark(node, ResourceState.SKIPPED)
        node.skipped_for = cause.name
        reason = f"It requires {cause.name}, which is {cause.state}."
        settled.append(Settled(node.name, ResourceState.SKIPPED, reason, cause.name))
