"""All reports of a daemon: those of the config file, and those made over HTTP or by a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from twisted.internet.defer import Deferred, DeferredLock
from zope.interface import implementer

from smapd.core import as_uuid
from smapd.errors import BadRequest, Forbidden, NoSuchReport, ReportExists, ShutdownRequested
from smapd.interfaces import IDefinitions, INode, IReports, ITimer, ITreeListener
from smapd.values import Batch, Json, Position

from .definition import INVALID, Definition, Origin, from_body, from_record, from_section
from .subscription import Neighbours, Subscription

KIND: Final = "report"
"""The kind of our rows among the definitions."""

KEPT_S: Final = 7 * 86_400.0
"""How long a report that the config file no longer has is kept, with what is pending."""

STILL_S: Final = 180.0
"""A request under way for longer than this stands still: a sink ends each within 30 s."""

LOOK_S: Final = 60.0
LOOK_AGAIN_S: Final = 1.0  # where a full disk keeps what has expired
MOST_REPORTS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of one report. ``began``: where its cursor began. ``number``: by age.

    ``is_announced``: its first report went out. ``removed_ms``: when the config file was first
    found without it.
    """

    definition: Definition
    began: Position
    number: int
    is_announced: bool = False
    removed_ms: int | None = None

    def as_json(self) -> dict[str, Json]:
        """For the database."""
        return self.definition.as_record() | {
            "began": list(self.began),
            "number": self.number,
            "announced": self.is_announced,
            "removed_ms": self.removed_ms,
        }


@implementer(IReports, ITreeListener)
class Reports:
    """The reports; on the tree's home thread.

    ``open`` with the config file's sections, then attach it to the tree behind the journal, then
    ``start`` once the drivers are set up; ``close`` before the journal stops. ``root``: the tree's
    uuid, of which the uuids of the file's reports are made.
    """

    def __init__(self, neighbours: Neighbours, definitions: IDefinitions, root: UUID) -> None:
        self._near, self._definitions, self._root = neighbours, definitions, root
        self._subscriptions: dict[UUID, Subscription] = {}
        self._records: dict[UUID, Record] = {}
        self._numbers = 0
        self._lock = DeferredLock()
        self._timer: ITimer | None = None
        self._is_started = self._is_closed = False
        self.damaged = 0
        """Definitions that could not be read at the start."""

    # --- life

    async def open(self, sections: Sequence[tuple[str, Mapping[str, Any]]] = ()) -> None:
        """Take up what was kept, and the config file's reports.

        ``sections``: (name, options) in the order of the file, secrets resolved.
        """
        kept: dict[UUID, Record] = {}
        for row in await self._definitions.load(KIND):
            try:
                record = _read(row)
            except (KeyError, TypeError, ValueError) as error:
                self.damaged += 1
                self._near.faults.fault(
                    ("report record", str(row)[:200]),
                    f"a report's definition cannot be read, and is left alone: {error}",
                )
                continue
            kept[record.definition.uuid] = record
        self._numbers = max([record.number for record in kept.values()], default=0)
        for name, options in sections:
            await self._open_section(from_section(self._root, name, options), kept)
        for record in sorted(kept.values(), key=lambda one: one.number):
            if record.definition.origin is Origin.CONFIG:
                await self._open_removed(record)
            else:
                self._begin(record)

    def open_late(self, name: str, options: Mapping[str, Any]) -> Deferred[None]:
        """Take up a report of the config file whose secret could not be read at ``open``.

        Until then it stood there as one that was removed: nothing that it waits for is lost.
        """
        return self._alone(self._open_late, from_section(self._root, name, options))

    def start(self) -> None:
        """Begin to deliver."""
        self._is_started = True
        for subscription in list(self._subscriptions.values()):
            subscription.start()
        self._look()

    async def close(self) -> None:
        """Stop delivering; what is pending stays."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.discard()
        ends = [Deferred.fromCoroutine(one.stop()) for one in self._subscriptions.values()]
        for end in ends:
            await end

    # --- IReports

    def uuids(self) -> list[UUID]:
        """All reports, those of the config file first, then by age."""
        return list(self._subscriptions)

    def get(self, uuid: UUID) -> dict[str, Json]:
        """One report as GET shows it.

        :raises NoSuchReport: if there is none.
        """
        return self._subscription(uuid).definition.as_json()

    def body(self, uuid: UUID) -> dict[str, Json]:
        """One report with every key that a body may have.

        :raises NoSuchReport: if there is none.
        """
        return self._subscription(uuid).definition.as_body()

    def add(self, body: Any, *, local: bool = False, by_program: bool = False) -> Deferred[UUID]:
        """Make a report; fires when it is durable.

        ``local``: asked over loopback, without an Origin. ``by_program``: it may go anywhere.
        Fails with BadRequest, ReportExists, or Forbidden for a place it may not go to.
        """
        return self._alone(self._add, body, local, by_program)

    def update(
        self, uuid: UUID, body: Any, *, local: bool = False, by_program: bool = False
    ) -> Deferred[bool]:
        """Change a report, or make it if there is none: whether it was made; as ``add``."""
        return self._alone(self._update, uuid, body, local, by_program)

    def delete(self, uuid: UUID) -> Deferred[bool]:
        """Remove a report with what is pending: whether there was one; fires when durable."""
        return self._alone(self._delete, uuid)

    def set_paused(self, uuid: UUID, paused: bool) -> Deferred[bool]:
        """Pause or resume a report; fires when that is durable, with False."""
        return self._alone(self._update, uuid, {"Paused": paused}, None, True)

    def standing_still(self) -> list[str]:
        """The reports whose request has outlived every time limit: their pump does not move."""
        return [
            f"the report {uuid}"
            for uuid, subscription in self._subscriptions.items()
            if subscription.delivery is not None and subscription.delivery.sending_s() > STILL_S
        ]

    def status(self) -> list[Json]:
        """For /status."""
        shown = []
        for uuid, subscription in self._subscriptions.items():
            one = subscription.status()
            removed_ms = self._records[uuid].removed_ms
            if removed_ms is not None:
                one["removed_ms"] = removed_ms
                one["kept_until_ms"] = removed_ms + round(KEPT_S * 1000)
            if subscription.definition.expires_s is not None:
                one["expires_ms"] = round(subscription.definition.expires_s * 1000)
            shown.append(one)
        return shown

    def subscriptions(self) -> list[Subscription]:
        """All of them, for metrics."""
        return list(self._subscriptions.values())

    # --- ITreeListener

    def nodes_added(self, nodes: Sequence[INode]) -> None:
        """Each report takes what it selects."""
        self._near.known.add(nodes)
        for subscription in list(self._subscriptions.values()):
            subscription.nodes_added(nodes)

    def nodes_removed(self, nodes: Sequence[INode]) -> None:
        """What is pending of them is delivered."""
        for subscription in list(self._subscriptions.values()):
            subscription.nodes_removed(nodes)

    def metadata_changed(self, node: INode) -> None:
        """It goes out with the next readings."""
        for subscription in list(self._subscriptions.values()):
            subscription.metadata_changed(node)

    def readings_added(self, batch: Batch) -> None:
        """They come through the journal."""

    # --- inside

    async def _add(self, body: Any, local: bool, by_program: bool) -> UUID:
        asked = from_body(body, origin=_origin(by_program), local=local)
        if asked.uuid in self._subscriptions:
            raise ReportExists("Report instance already exists!")
        self._check(asked, body)
        await self._create(asked)
        return asked.uuid

    async def _update(self, uuid: UUID, body: Any, local: bool | None, by_program: bool) -> bool:
        if not isinstance(body, Mapping):
            raise BadRequest(f"{INVALID}: it is no object.")
        if "uuid" in body:
            try:
                uuid = as_uuid(body["uuid"], "The uuid")
            except ValueError as error:
                raise BadRequest(f"{INVALID}: {error}") from None
        before = self._subscriptions.get(uuid)
        if before is None:
            if local is None:
                raise NoSuchReport(f"There is no report {uuid}.")
            await self._add({**body, "uuid": str(uuid)}, local, by_program)
            return True
        known = before.definition
        changed = from_body(body, known, origin=_origin(by_program), local=bool(local))
        if changed.urls != known.urls or changed.resource.text != known.resource.text:
            self._check(changed, body)
        record = replace(self._records[uuid], definition=changed)
        if changed.urls != known.urls:
            record = replace(record, is_announced=False, removed_ms=None)
        await self._definitions.put(KIND, str(uuid), record.as_json())
        self._records[uuid] = record
        before.change(changed)
        self._look_later()
        return False

    async def _delete(self, uuid: UUID) -> bool:
        subscription = self._subscriptions.get(uuid)
        if subscription is None:
            return False
        await self._definitions.delete(KIND, str(uuid))
        self._subscriptions.pop(uuid, None)
        self._records.pop(uuid, None)
        await subscription.remove()
        return True

    async def _create(self, definition: Definition) -> None:
        if len(self._subscriptions) >= MOST_REPORTS:
            raise BadRequest(f"There are {MOST_REPORTS} reports already; delete one first.")
        self._numbers += 1
        record = Record(definition, self._near.readings.newest, self._numbers)
        await self._definitions.put(KIND, str(definition.uuid), record.as_json())
        self._begin(record)

    def _begin(self, record: Record) -> Subscription:
        uuid = record.definition.uuid
        self._records[uuid] = record
        subscription = self._subscriptions[uuid] = Subscription(
            record.definition,
            self._near,
            record.began,
            is_new=not record.is_announced,
            announced=lambda: self._announced(uuid),
        )
        if self._is_started:
            subscription.start()
            self._look_later()
        return subscription

    async def _open_section(self, definition: Definition, kept: dict[UUID, Record]) -> None:
        before = kept.pop(definition.uuid, None)
        if before is None:
            await self._create(definition)
            return
        paused = before.definition.paused
        record = replace(before, definition=replace(definition, paused=paused), removed_ms=None)
        if record.as_json() != before.as_json():
            await self._definitions.put(KIND, str(definition.uuid), record.as_json())
        self._begin(record)

    async def _open_late(self, definition: Definition) -> None:
        before = self._subscriptions.get(definition.uuid)
        if before is None:
            await self._create(definition)
            return
        record = self._records[definition.uuid]
        definition = replace(definition, paused=record.definition.paused)
        record = replace(record, definition=definition, removed_ms=None)
        await self._definitions.put(KIND, str(definition.uuid), record.as_json())
        self._records[definition.uuid] = record
        before.change(definition)

    async def _open_removed(self, record: Record) -> None:
        now_ms = self._near.clock.wall_ms()
        uuid = record.definition.uuid
        if record.removed_ms is None:
            record = replace(record, removed_ms=now_ms)
            await self._definitions.put(KIND, str(uuid), record.as_json())
        self._begin(record)

    def _announced(self, uuid: UUID) -> None:
        record = self._records.get(uuid)
        if record is not None and not record.is_announced:
            record = self._records[uuid] = replace(record, is_announced=True)
            kept = self._definitions.put(KIND, str(uuid), record.as_json())
            self._near.clock.background(kept, f"noting the first report of {uuid}")

    def _check(self, asked: Definition, body: Any) -> None:
        if (
            isinstance(body, Mapping)
            and body.get("Strict")
            and not asked.resource.exists(self._near.tree)
        ):
            raise BadRequest(
                f"{INVALID}: there is no {asked.resource.text[:200]}. "
                "Without Strict the report waits for it."
            )
        if asked.origin is Origin.HTTP:
            for one in asked.urls:
                why = self._near.refusal(one, asked.local and self._near.loopback_only)
                if why:
                    raise Forbidden(
                        f"A report made over HTTP may not go there: {why}.",
                        hint="Name its network in [server] AllowTargets.",
                    )

    def _subscription(self, uuid: UUID) -> Subscription:
        found = self._subscriptions.get(uuid)
        if found is None:
            raise NoSuchReport(f"There is no report {uuid}.")
        return found

    def _alone(self, f: Any, *a: Any) -> Deferred[Any]:
        """One change at a time: two of one report must not cross."""

        def run() -> Deferred[Any]:
            if self._is_closed:
                raise ShutdownRequested("smapd is stopping")
            return Deferred.fromCoroutine(f(*a))

        return self._lock.run(run)

    def _look(self) -> None:
        """Let go of what has expired."""
        now_ms = self._near.clock.wall_ms()
        for uuid, record in list(self._records.items()):
            if (due_ms := _due_ms(record)) is not None and due_ms <= now_ms:
                gone = self._alone(self._expire, uuid)
                self._near.clock.background(gone, f"removing the expired report {uuid}")
        self._look_later()

    def _look_later(self) -> None:
        """When the first one expires; within a minute, since the wall clock may be set."""
        if self._timer is not None:
            self._timer.discard()
            self._timer = None
        dues = [_due_ms(record) for record in self._records.values()]
        first_ms = min([due for due in dues if due is not None], default=None)
        if first_ms is not None and self._is_started and not self._is_closed:
            wait_s = (first_ms - self._near.clock.wall_ms()) / 1000
            wait_s = min(max(wait_s, LOOK_AGAIN_S), LOOK_S)
            self._timer = self._near.clock.later(wait_s, self._look)

    async def _expire(self, uuid: UUID) -> None:
        record = self._records.get(uuid)  # it may have been renewed, or deleted, meanwhile
        due_ms = None if record is None else _due_ms(record)
        if due_ms is not None and due_ms <= self._near.clock.wall_ms():
            await self._delete(uuid)


def _due_ms(record: Record) -> float | None:
    """When it is to go; None: never."""
    dues = []
    if record.definition.expires_s is not None:
        dues.append(record.definition.expires_s * 1000)
    if record.removed_ms is not None:
        dues.append(record.removed_ms + KEPT_S * 1000)
    return min(dues, default=None)


def _origin(by_program: bool) -> Origin:
    return Origin.PROGRAM if by_program else Origin.HTTP


def _read(row: Any) -> Record:
    return Record(
        from_record(row),
        Position(*row["began"]),
        int(row["number"]),
        bool(row["announced"]),
        row["removed_ms"],
    )
