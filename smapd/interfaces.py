"""The interfaces between rooms. Who implements one never imports who calls it; assembly joins them.

Unless a method says otherwise it is called on the tree's home thread: the main thread before the
reactor runs, the reactor's thread after that.
"""

# zope.interface methods have no self.
# mypy: disable-error-code="empty-body"
from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from zope.interface import Attribute, Interface

from smapd.values import (
    Accepted,
    Action,
    ActuationRequest,
    Batch,
    Gap,
    JournalBatch,
    Json,
    Limits,
    Payload,
    Position,
    Principal,
    Quality,
    Reading,
    Refused,
    Retry,
    Start,
    TooLarge,
)

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

T = TypeVar("T")


class INode(Interface):
    """A collection or a timeseries of the tree."""

    path: str = Attribute("absolute path, '/' for the root")
    metadata: dict[str, Json] | None = Attribute("nested, of this node alone; do not change it")
    revision: int = Attribute("the tree's revision at which this node last changed")

    def as_json(quality: bool = False) -> dict[str, Json]:
        """What GET answers for this node: a new dict that orjson can encode."""

    def error() -> str:
        """Why the driver at this place does not run; "" when all is well."""


class IActuator(Interface):
    """What a timeseries that can be set has beside its readings."""

    def as_json(reading: Reading | None) -> dict[str, Json]:
        """The ``Actuator`` key of a GET that shows this reading; shared, do not change it."""


class ITimeseries(INode):
    """A stream of readings."""

    uuid: UUID = Attribute("names the stream for ever")
    data_type: str = Attribute("long, double or string")
    next_seq: int = Attribute("seq of the next reading taken; moves with each reading")
    actuator: IActuator | None = Attribute("what sets it; None for all that cannot be set")

    def showing(reading: Reading | None, error: str = "", quality: bool = False) -> dict[str, Json]:
        """``as_json`` with this one reading in place of those kept, or none, and why not."""

    def with_readings(readings: Sequence[Reading], quality: bool = False) -> dict[str, Json]:
        """``as_json`` with these readings, of its past, in place of those kept."""


class ICollection(INode):
    """An inner node of the tree."""

    asset: str | None = Attribute("the id, if this collection is an asset")


class ITreeListener(Interface):
    """Told of every change of the tree: on its home thread, in order; errors are logged.

    ``attach`` replays ``nodes_added`` for what is there, parents first.
    """

    def nodes_added(nodes: Sequence[INode]) -> None:
        """These are in the tree now, parents first."""

    def nodes_removed(nodes: Sequence[INode]) -> None:
        """These are no longer in the tree, children first."""

    def metadata_changed(node: INode) -> None:
        """Metadata was set on this node (what stands below it inherits, and is not named)."""

    def readings_added(batch: Batch) -> None:
        """Readings were taken; once per drained queue."""


class ITree(Interface):
    """The tree as other rooms see it (``core.SmapInstance``)."""

    revision: int = Attribute("grows by one with each change of nodes or metadata")
    taken: int = Attribute("readings taken since the start")
    boot_id: str = Attribute("random, new with each start; makes ETags of two starts differ")
    has_actuators: bool = Attribute("whether anything in it can be set")

    def get(path: str) -> INode | None:
        """The node of a path (``/a/b``; doubled and trailing slashes are ignored), else None."""

    def by_uuid(uuid: UUID) -> ITimeseries | None:
        """The timeseries of that uuid, else None."""

    def walk(path: str) -> Iterator[tuple[str, INode]]:
        """The node at ``path`` and all below it, parents first, with paths relative to it.

        The place asked for is "/". Lazy: may be drawn in pieces while the tree changes.
        """

    def actuators(path: str) -> Sequence[tuple[str, ITimeseries]]:
        """The actuators at ``path`` and below it, with paths relative to it."""

    def add(
        path: str,
        time_or_value: Any,
        value: Any = ...,
        seqno: int | None = None,
        quality: Quality | None = None,
    ) -> None:
        """Add one reading; from any thread; see ``core.SmapInstance.add``."""

    def attach(listener: ITreeListener) -> None:
        """Call this listener from now on, first with what is there."""

    def detach(listener: ITreeListener) -> None:
        """Call this listener no more."""


class IThreads(Interface):
    """The three doors between threads (``runtime/threads.py``)."""

    def to_pool(name: str, f: Callable[..., T], *a: Any) -> Deferred[T]:
        """Call ``f(*a)`` on a thread of that pool; from the reactor's thread.

        :raises Busy: (as a failure) if the pool's queue is full.
        """

    def to_reactor(f: Callable[..., T], *a: Any, wait: bool = True) -> T | None:
        """Call ``f(*a)`` on the reactor's thread; from any thread.

        With ``wait`` the result comes back, or its exception. Without, None at once. On the
        reactor's own thread, and before the reactor runs, it calls straight through.
        """

    def to_loop(coro: Coroutine[Any, Any, T]) -> Deferred[T]:
        """Run a coroutine on our asyncio loop; from the reactor's thread."""


class IAccess(Interface):
    """One place decides who may do what."""

    def decide(who: Principal, what: Action, where: str) -> None:
        """Return if it is allowed; in memory, from any thread.

        :raises Unauthorized: if a token would help.
        :raises Forbidden: if not.
        """


class IStatus(Interface):
    """Counters and states that ``/status`` and ``smapd status`` show."""

    def section(name: str, read: Callable[[], Json]) -> None:
        """Show what ``read()`` gives under this name; called on the home thread at each look."""

    def snapshot() -> dict[str, Json]:
        """Everything, ready for JSON. No secret is ever in it."""


class IDriver(Interface):
    """What a driver must have; any class with these two serves."""

    def setup(inst: Any, opts: Mapping[str, Any]) -> None:
        """Make timeseries below ``inst``; no I/O. On a work thread."""

    def start() -> None:
        """Begin to read. On a work thread."""


class IIntake(Interface):
    """Takes readings that come from outside (``POST /readings``)."""

    def take(body: Any) -> int:
        """Check the whole body, then add it all, or nothing; the number of readings taken.

        :raises BadRequest: naming the path and the place in the body.
        :raises NoSuchPath: for a stream that is not in the tree.
        """


# --- actuation


class IActuators(Interface):
    """Asks and sets actuators (``actuation.Actuators``); on the reactor's thread.

    Paths are of the whole tree. What a Deferred gives is the state as the device has it; it fails
    with NoSuchPath, NotAnActuator, BadState, RateLimited, DeviceFailed, ActuationTimeout or Busy,
    and with ShutdownRequested at the stop.
    """

    def get(path: str, asked: ActuationRequest | None = None) -> Deferred[Reading]:
        """Ask the device; within ``read_limit`` of the last time, what it said then."""

    def set(path: str, text: str, asked: ActuationRequest | None = None) -> Deferred[Reading]:
        """Set it, read it back, and add what was read to the stream."""

    def release(path: str, asked: ActuationRequest | None = None) -> Deferred[Reading]:
        """Let go of a state that was set; what is read back after that."""

    def check(path: str, text: str) -> None:
        """Return if that could be set there, as far as can be said without the device.

        :raises NoSuchPath: if there is nothing.
        :raises NotAnActuator: if it cannot be set.
        :raises BadState: if that is none of its states.
        """

    def survey(path: str) -> Deferred[Mapping[str, tuple[Reading | None, str]]]:
        """Ask all at and below ``path``: {relative path: (last known reading, why not newer)}.

        Never fails for one that does. Ends within a time limit of its own.
        """


class IJobs(Interface):
    """Sets to be made later (``actuation.Jobs``); on the reactor's thread."""

    def put(body: Any, may: Callable[[str], None]) -> list[str]:
        """Take a list of jobs, all or none; their uuids. ``may(path)``: raises if not allowed.

        :raises BadRequest: naming the job and what is wrong in it.
        :raises Busy: if too many wait.
        """

    def listed(full: bool = False) -> list[Json]:
        """All jobs, oldest first, as sMAP lists them; ``full``: with uuid, State and Error."""

    def cancel(body: Any) -> list[str]:
        """Take the jobs of these uuids off the list; the uuids of those left.

        :raises BadRequest: if it is no list of uuids.
        """


# --- what rooms without a clock are handed


class ITimer(Interface):
    """One call to come."""

    def cancel() -> None:
        """Do not call; an error if it was called or cancelled before."""

    def discard() -> None:
        """Do not call; may be repeated, and said after the call."""


class IClock(Interface):
    """Time and timers (``runtime.Clock``); on the reactor's thread, but the first two on any."""

    def seconds() -> float:
        """Seconds of a clock that only grows."""

    def wall_ms() -> int:
        """Milliseconds since 1970; may jump."""

    def later(seconds: float, f: Callable[..., Any], *a: Any) -> ITimer:
        """Call ``f(*a)`` after so long."""

    def background(d: Deferred[Any], what: str) -> None:
        """Nobody waits for this Deferred: log its failure, with what it was doing."""


class IBackoff(Interface):
    """Pauses that grow (``runtime.Backoff``); one for each thing that may fail."""

    failures: int = Attribute("how often in a row")

    def next() -> float:
        """Count one failure; the seconds to wait after it."""

    def reset() -> None:
        """It worked."""


class IFaults(Interface):
    """Says once that something fails, and once that it is well again (``runtime.FaultLog``)."""

    def fault(key: Any, text: str, **fields: Any) -> Any:
        """This fails now; logged at the first time."""

    def cleared(key: Any, text: str, **fields: Any) -> Any:
        """It is well again; logged if it had failed."""


# --- the readings journal and who reads it


class ICursor(Interface):
    """One consumer's place in the journal; on the reactor's thread."""

    name: str = Attribute("unique in the journal")
    position: Position = Attribute("the last one acked, durable")
    limits: Limits = Attribute("as given")

    def read(
        limit_readings: int = 10_000, limit_bytes: int = 2**22, until: Position | None = None
    ) -> Deferred[JournalBatch]:
        """What comes next, from ``position`` on; the same again until it is acked.

        At most so much, but at least one reading if there is one; nothing at or behind ``until``.
        Empty, with ``end == first``, if nothing is there. One read at a time.
        """

    def ack(position: Position) -> Deferred[None]:
        """All before this is done with; fires when that is durable.

        An ack of what was acked before fires at once.
        """

    def waiting() -> int:
        """How many committed readings it still has to read, those in flight included."""

    def when_more() -> Deferred[None]:
        """Fires when something is committed at or behind ``position``; at once if it is."""

    def change(selects: Callable[[int], bool] | None, limits: Limits) -> Deferred[None]:
        """From now on these streams and limits; ``waiting`` is counted again."""


class IReadings(Interface):
    """The readings journal (``storage.Readings``); on the reactor's thread."""

    newest: Position = Attribute("behind all that is committed")
    error: str = Attribute("why the last commit failed; '' while the disk takes what comes")

    def append(batch: Batch) -> None:
        """Keep these; returns at once, durable with the next commit."""

    def durable() -> Deferred[None]:
        """Fires once all that was appended until now is on the disk; a commit begins for it.

        Fails with StorageFull while the disk takes nothing, and with ShutdownRequested.
        """

    def number(stream: UUID) -> int | None:
        """The number a stream has in this journal; None if it has none."""

    def cursor(
        name: str,
        selects: Callable[[int], bool] | None,
        start: Start | Position | int,
        limits: Limits = ...,
    ) -> ICursor:
        """The cursor of that name: where it was, or new at ``start`` (an int is ms UTC).

        ``selects``: by stream number, None for all; called on the disk's thread, so a set's
        ``__contains__`` or the like. A cursor that was asked for once is kept until ``forget``:
        ask for it at each start.
        """

    def cursors() -> list[str]:
        """The names of all cursors there are, asked for in this run or not."""

    def forget(name: str) -> Deferred[None]:
        """Remove that cursor; fires when that is durable. Nothing happens if there is none."""

    def read_range(
        stream: UUID, from_ms: int, to_ms: int, limit: int, newest_first: bool = False
    ) -> Deferred[tuple[list[Reading], list[Gap]]]:
        """The readings of one stream with ``from_ms <= ms < to_ms``, at most ``limit``, by time.

        With the gaps that touch the range.
        """


class IDefinitions(Interface):
    """Definitions made at run time (``storage.Definitions``); on the reactor's thread."""

    def load(kind: str) -> Deferred[list[Json]]:
        """All of a kind, in the order they were made."""

    def put(kind: str, key: str, value: Json) -> Deferred[None]:
        """Add or replace one; fires when it is durable. Fails with StorageFull."""

    def delete(kind: str, key: str) -> Deferred[None]:
        """Remove one; fires when that is durable. Fails with StorageFull."""


class IReports(Interface):
    """The reports (``reports.Reports``); on the reactor's thread."""

    def uuids() -> list[UUID]:
        """All reports, those of the config file first, then by age."""

    def get(uuid: UUID) -> dict[str, Json]:
        """One report as GET shows it.

        :raises NoSuchReport: if there is none.
        """

    def add(body: Any, *, local: bool = False, by_program: bool = False) -> Deferred[UUID]:
        """Make a report; fires when it is durable.

        ``local``: asked over loopback, without an Origin. ``by_program``: it may go anywhere.
        Fails with BadRequest, ReportExists, StorageFull, or Forbidden for a place it may not go to.
        """

    def update(
        uuid: UUID, body: Any, *, local: bool = False, by_program: bool = False
    ) -> Deferred[bool]:
        """Change a report, or make it if there is none: whether it was made; as ``add``."""

    def delete(uuid: UUID) -> Deferred[bool]:
        """Remove a report with what is pending: whether there was one; fires when durable."""


class ISink(Interface):
    """Sends one body to one place, and says what happened; holds no queue."""

    def send(payload: Payload, location: str) -> Deferred[Accepted | Retry | Refused | TooLarge]:
        """Try once; ends within 30 s, and fails only by a mistake of ours."""
