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
    ActionFilter,
    ActuationRequest,
    Batch,
    EventRecord,
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


# --- the event log


class IEventCursor(Interface):
    """A durable place in one asset's stream of events; on the reactor's thread."""

    name: str = Attribute("with the asset it is unique in the log")
    asset: str = Attribute("whose events")
    place: int = Attribute("offset of the first event that is not acknowledged")

    def ack(place: int) -> None:
        """All before ``place`` are done with; returns at once, and never moves back.

        Durable with the log's commit after it. A place behind the newest durable event counts as
        that one; once the asset was dropped or the cursor forgotten nothing happens.
        """

    def flush() -> Deferred[None]:
        """Fires once all acks made until now are durable.

        Fails with StorageFull while the disk takes nothing, and with ShutdownRequested; they are
        kept all the same, and become durable as soon as they can.
        """


class IEventLog(Interface):
    """The events of all assets, each asset's numbered from 0 without a gap; never used twice.

    On the reactor's thread. What a Deferred fails with: StorageFull while the disk takes nothing,
    Busy if too much waits for it, ShutdownRequested at the stop; what failed was not done.
    """

    def append(
        asset: str, records: Sequence[EventRecord], dedupe_id: str | None = None
    ) -> Deferred[int]:
        """Keep these, all or none: the offset of the first, once they are durable.

        The same ``dedupe_id`` again for that asset, also after a restart: the offset of then, and
        nothing is kept twice. It is known for a day, or while fewer than 100,000 came behind it.
        Cancelling the Deferred does not take the events back. Fails also with TooLarge, and with
        BadRequest for what cannot be kept: no event at all, an unknown ``form``.
        """

    def next_offset(asset: str) -> int:
        """The offset behind the newest durable event; 0 for an asset never seen."""

    def base(asset: str) -> int:
        """The first offset of its present life: 0, or where it went on after ``drop``."""

    def read(
        asset: str, offset: int, limit: int = 1000, limit_bytes: int = 2**22
    ) -> Deferred[list[EventRecord]]:
        """Durable events from ``offset`` on, at most so many and at least one if there is one.

        None from before ``base``, and none that were damaged or are no longer kept: what comes may
        begin behind ``offset`` and have gaps; each event says its offset. Empty: nothing is there.
        """

    def offset_at(asset: str, ms: int) -> Deferred[int]:
        """The first offset whose ``systime_ms`` is at or behind ``ms``; else ``next_offset``."""

    def when_more(asset: str, offset: int) -> Deferred[None]:
        """Fires when the event of that offset is durable, at once if it is; may be cancelled."""

    def cursor(name: str, asset: str, start: Start | int = ...) -> Deferred[IEventCursor]:
        """The cursor of that name on that asset: where it was, or new at ``start``.

        ``start``: an offset, or OLDEST (``base``) or NEWEST. Fires when it is durable. One of each
        name and asset: asking again gives the same object.
        """

    def cursors(name: str | None = None) -> list[tuple[str, str, int]]:
        """(name, asset, place) of all cursors, or of those of that name."""

    def forget(name: str, asset: str | None = None) -> Deferred[None]:
        """Remove that cursor, or all of that name; fires when that is durable."""

    def drop(asset: str) -> Deferred[None]:
        """The asset is gone: ``base`` becomes ``next_offset``, and its cursors are forgotten.

        Fires when that is durable, after the appends made before it.
        """

    def assets() -> list[str]:
        """All streams there ever were an event or a cursor of, sorted."""


# --- streamed requests (Type 2)


class IReceiver(Interface):
    """Who asked: told what the answer is, on the reactor's thread, never from within ``open``.

    Exactly one of ``end``, ``failed`` and ``timed_out`` comes, last; after ``cancel`` nothing.
    """

    def chunk(mime: str, data: bytes) -> None:
        """A piece of the answer, at most 4 MiB; ``credit`` it once it is dealt with.

        Only the first one may be empty.
        """

    def end() -> None:
        """That was the whole answer."""

    def failed(reason: str, message: str) -> None:
        """There is no (further) answer. ``reason``: a value of ``T2ReqFailureReason``."""

    def timed_out() -> None:
        """Who should answer was silent for too long."""


class IExchange(Interface):
    """One streamed request as who asked holds it; on the reactor's thread."""

    def credit(size_bytes: int) -> None:
        """So many bytes of the chunks are dealt with: as many more may come."""

    def cancel() -> None:
        """No more of it; nothing happens if it is over."""


class IOffer(Interface):
    """One streamed request as one of those who may answer it holds it; on the reactor's thread.

    A refusal is ``failed("REQ_UNHANDLED", …)`` before the first chunk. The first chunk, the end or
    any other failure takes the request; the other providers are told ``cancelled``. What comes
    after the end is ignored.
    """

    asset: str = Attribute("of whom it is asked")
    type_: str = Attribute("of the request")
    mime: str = Attribute("of ``data``")
    data: bytes = Attribute("that came with the request")
    is_open: bool = Attribute("whether an answer is still wanted")

    def chunk(mime: str, data: bytes) -> None:
        """A piece of the answer, no larger than the credit there is; more of it is a failure."""

    def end() -> None:
        """That was the whole answer."""

    def failed(reason: str, message: str = "") -> None:
        """There is no (further) answer. ``reason``: a value of ``T2ProviderFailureReason``."""

    def gone(why: str) -> None:
        """Who was asked is not there any more; the others still may answer."""


class IProvider(Interface):
    """Who may answer streamed requests; all on the reactor's thread, none may block."""

    def serves(asset: str) -> bool:
        """Whether requests of that asset are to be offered to it."""

    def offered(offer: IOffer, credit: int) -> None:
        """A request. It may send ``credit`` bytes of chunks now; must not answer from within."""

    def credited(offer: IOffer, size_bytes: int) -> None:
        """It may send so many bytes more."""

    def cancelled(offer: IOffer, why: str) -> None:
        """No answer is wanted any more; it is told once, and not after an end of its own."""


class IExchanges(Interface):
    """Opens streamed requests (``twin.Exchanges``); on the reactor's thread."""

    def open(
        asset: str,
        type_: str,
        data: bytes,
        mime: str,
        timeout_s: float,
        receiver: IReceiver,
        window: int = 2**22,
    ) -> IExchange:
        """Ask all who serve that asset. ``receiver`` is told what comes, after this has returned.

        ``timeout_s``: how long the answering side may be silent while it may send. ``window``:
        bytes that may be unread, at most 4 MiB.

        :raises AssetUnknown: if there is no such asset.
        :raises Busy: if too many are open.
        :raises TooLarge: if ``data`` has more than 1 MiB.
        :raises BadRequest: for an unfit type, mime or timeout.
        :raises ShutdownRequested: at the stop.
        """

    def provide(provider: IProvider) -> Callable[[], None]:
        """Offer requests to this one too, until what this returns is called.

        Then ``gone`` is said for what it has open, and it is told of nothing any more.
        """

    def status() -> dict[str, Json]:
        """How many are open, unread bytes, and counts by end."""


# --- the twin


class IEventTypes(Interface):
    """The types of events that are known here; any thread."""

    def names() -> Sequence[str]:
        """The names of all types, sorted."""

    def check(name: str, version: int | None, data: Json) -> tuple[int, str, bytes]:
        """(version, form, bytes) of data that fit a type; without a version its default one.

        :raises BadRequest: for a type or version that is not known, naming those that are, and for
            data that do not fit (``EventInvalid``), naming the field.
        """

    def decode(record: EventRecord) -> Json:
        """The data of an event as JSON; ``{"base64"}`` of Avro whose type is not known."""


class IFollowing(Interface):
    """A live look at one asset's events; on the reactor's thread."""

    def pause() -> None:
        """Give no more until ``resume``; at most a page that was being read still comes."""

    def resume() -> None:
        """Go on."""

    def stop() -> None:
        """Give no more; may be repeated."""


class IPeer(Interface):
    """The other end of a thing's connection, as the hub sees it. ``Frame``: ``twin/wire.py``."""

    def send(frame: Any) -> None:
        """Send a frame, in order; never blocks, and does nothing once it is closed."""

    def close(why: str) -> None:
        """End the connection after what was sent; ``lost`` of the session need not be called."""

    def ping() -> Deferred[Any]:
        """Fires when the other end shows that it is alive; may never fire, may be cancelled."""


class IFrames(Interface):
    """The form of frames on a WebSocket (``twin/wire.py``); any thread."""

    MESSAGE_BYTES: int = Attribute("the most that one message holds")

    def encode(frame: Any) -> str | bytes:
        """The message of a frame."""

    def decode(message: str | bytes) -> Any:
        """The frame of a message.

        :raises BadRequest: if it is none.
        """


class ISession(Interface):
    """One thing's connection, as its transport sees it; on the reactor's thread, never raises."""

    def receive(frame: Any) -> None:
        """A frame came."""

    def lost(why: str) -> None:
        """The connection is gone; may be repeated."""


class IHub(Interface):
    """Where integrators and followers connect; on the reactor's thread."""

    def connect(peer: IPeer, admit: Callable[[str, str], None] | None = None) -> ISession:
        """A new connection. ``admit(name, token)`` raises SmapError if that thing may not."""

    def status() -> list[Json]:
        """One entry a session."""


class ITwin(Interface):
    """Assets and their events, as http and connectors see them; on the reactor's thread."""

    hub: IHub = Attribute("where integrators and followers connect")
    exchanges: IExchanges = Attribute("opens streamed requests")

    def assets() -> list[dict[str, Json]]:
        """All assets, oldest first; each as ``asset`` gives it."""

    def asset(asset: str) -> dict[str, Json]:
        """One: ``{"id", "path", "origin", "created_ms", "base", "next"}``.

        ``path``: null while its driver has not made it; ``origin``: config, http, program or
        driver:PATH; ``base``, ``next``: its first and next event's offsets.

        :raises AssetUnknown: if there is none.
        """

    def create(body: Any) -> Deferred[dict[str, Json]]:
        """Make an asset of ``{"id", "path"?, "Metadata"?, "Description"?}``; fires once durable.

        Fails with BadRequest, BadPath, PathExists, AssetExists, StorageFull.
        """

    def delete(asset: str) -> Deferred[None]:
        """Delete an asset that ``create`` made; fires once that is durable.

        Fails with AssetUnknown, AssetHeld (not made by ``create``), StorageFull.
        """

    def publish(
        asset: str,
        name: str,
        data: Json,
        *,
        version: int | None = None,
        time_ms: int | None = None,
        source: str = "",
        dedupe: str | None = None,
    ) -> Deferred[int]:
        """Check ``data`` against the type and publish it: the offset, once it is durable.

        Fails with AssetUnknown, BadRequest, EventInvalid, TooLarge, Busy, StorageFull.
        """

    def events(
        asset: str, offset: int = 0, limit: int = 100
    ) -> Deferred[tuple[list[dict[str, Json]], int]]:
        """Events from an offset on, as JSON, and the offset to ask for next. At most 1,000, 4 MiB.

        Each: ``{"offset", "name", "version", "source", "time", "systime", "data"}``, times in ms.
        Fails with AssetUnknown.
        """

    def follow(
        asset: str,
        offset: int | None,
        give: Callable[[dict[str, Json]], None],
        over: Callable[[str], None],
    ) -> IFollowing:
        """Give each event from ``offset`` on (None: only new ones), as ``events`` does, and wait.

        ``over(why)`` is called once if there will be no more: the asset is gone, or a stop.

        :raises AssetUnknown: if there is none.
        :raises Busy: if a thousand look already.
        """

    def status() -> dict[str, Json]:
        """What /status shows: assets, events, sessions, requests."""


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

    def body(uuid: UUID) -> dict[str, Json]:
        """One report with every key that a body may have.

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


# --- the desired state


class IWatching(Interface):
    """A live look at the actions on a resource; on the reactor's thread."""

    def stop() -> None:
        """Give no more; may be repeated."""


class IDesired(Interface):
    """The versions, their deploys and what came of them (``desired.Orchestrator``).

    On the reactor's thread. A Deferred fails with StorageFull while the disk takes nothing.
    """

    def versions() -> Deferred[list[Json]]:
        """Every version without its resources, oldest first."""

    def add(body: Any, *, token: bool) -> Deferred[int]:
        """Keep a version; its number, once it is durable. ``token``: one was presented.

        Fails with BadRequest, VersionConflict, NoSuchVersion, or Forbidden for code without token.
        """

    def version(n: int, after: int, limit: int) -> Deferred[dict[str, Json]]:
        """A version with resources ``after`` to ``after + limit``, and what became of each.

        Fails with NoSuchVersion.
        """

    def difference(n: int, other: int | None) -> Deferred[dict[str, Json]]:
        """What version ``n`` changes beside ``other``, None for the one that is deployed."""

    def deploy(n: int, *, dry_run: bool, token: bool) -> Deferred[int]:
        """Begin to deploy a version; the deploy's number, once it is durable.

        Fails with NoSuchVersion, VersionConflict, or Forbidden for code without token.
        """

    def deploys() -> list[Json]:
        """The deploys known, newest first, without their results."""

    def deployed(d: int, after: int, limit: int) -> Deferred[dict[str, Json]]:
        """A deploy with up to ``limit`` results behind the first ``after``, as they came.

        Fails with NoSuchDeploy.
        """

    def put_blob(sha256: str, data: bytes) -> Deferred[bool]:
        """Keep a file; whether it was new. Fails with BadRequest if that is not its sha256."""

    def blob(sha256: str) -> Deferred[bytes]:
        """A file's bytes. Fails with NoSuchBlob."""

    def resources(states: Sequence[str], after: int, limit: int) -> dict[str, Json]:
        """The resources that are deployed, each with its state, and how many stand where.

        ``states``: only those that stand so; empty for all.
        """

    def resource(id: str) -> Deferred[dict[str, Json]]:
        """One resource: what is desired, its state, its facts. Fails with NoSuchResource."""

    def check_facts(id: str) -> Deferred[dict[str, Json]]:
        """Have the handler find out what it can about a resource; that is kept, and given.

        Fails with NoSuchResource, Busy, NotReady without an agent, or DeviceFailed with the reason.
        """

    def actions(id: str, asked: ActionFilter) -> Deferred[list[Json]]:
        """What was done to a resource, with the handler's log. Fails with NoSuchResource."""

    def follow(id: str, asked: ActionFilter, give: Callable[[Json], None]) -> IWatching:
        """Give each action that comes from now on, once it is durable.

        :raises NoSuchResource: if no version has it.
        """

    def agents() -> list[Json]:
        """Every agent: its names, handlers, and what it does."""

    def work(agent: str, body: Any) -> Deferred[Json]:
        """What an agent elsewhere is to do next; fires when there is something, or after a while.

        Cancel it when the agent has gone. Fails with BadRequest.
        """

    def results(agent: str, body: Any) -> Deferred[Json]:
        """What an agent elsewhere has done; fires once it is durable. Fails with BadRequest."""

    def status() -> dict[str, Json]:
        """What /status shows."""
