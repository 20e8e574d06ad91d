"""The values that cross a wall between two rooms: frozen, without behaviour that needs a room.

Floor 1: imports nothing of smapd. Times are int milliseconds UTC wherever a name ends in ``ms``.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, overload
from uuid import UUID

if TYPE_CHECKING:  # a reading names its stream; only the type checker follows that name
    from smapd.interfaces import ITimeseries

Value: TypeAlias = int | float | str | None
"""What a reading holds; None only when its quality is bad."""

DATA_TYPES = ("long", "double", "string")
"""ReadingType as sMAP spells it."""

LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1


def wall_ms() -> int:
    """Milliseconds since 1970 by this machine's wall clock; any thread."""
    return time.time_ns() // 1_000_000


class Level(enum.IntEnum):
    """How far a reading may be trusted."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2

    @property
    def label(self) -> str:
        """The word used on the wire: good, uncertain or bad."""
        return self.name.lower()


class Quality(NamedTuple):
    """A level, and the reason for it.

    A good reading's reason is empty, or a note that does not lower the trust: around a step of the
    wall clock it names what the other clock says.
    """

    level: Level
    reason: str = ""


GOOD = Quality(Level.GOOD)


def uncertain(reason: str) -> Quality:
    """The quality of a value to be taken with care, for this reason."""
    return Quality(Level.UNCERTAIN, reason)


def bad(reason: str) -> Quality:
    """The quality of a reading without a value, for this reason."""
    return Quality(Level.BAD, reason)


class Reading(NamedTuple):
    """One measured value of one stream.

    A named tuple, not a dataclass: making one is on the path of every reading, and costs a third.

    ``ms``: when it was measured, int milliseconds UTC. ``value``: None only if the quality is bad.
    ``seq``: dense per stream, given when the tree takes the reading; None before that.
    ``seqno``: the driver's own number, ``add``'s last argument.
    """

    ms: int
    value: Value
    quality: Quality = GOOD
    seq: int | None = None
    seqno: int | None = None


class Block(NamedTuple):
    """Readings of one stream in columns, as ``add_many`` takes them.

    ``ms`` and ``values`` have the same length, at least 1; all share one quality. ``seq`` is the
    number of the first reading; the others follow without a gap.
    """

    ms: list[int]
    values: list[Value]
    quality: Quality
    seq: int

    def readings(self) -> Iterator[Reading]:
        """The readings one by one, oldest first."""
        for i, (ms, value) in enumerate(zip(self.ms, self.values, strict=True)):
            yield Reading(ms, value, self.quality, self.seq + i)


Entry: TypeAlias = "tuple[ITimeseries, Reading | Block]"


class Plain(NamedTuple):
    """Good readings without a driver's number, in columns of equal length, in the order of the
    adds: nine in ten batches are nothing else, and columns cost a third of readings one by one.
    """

    streams: list[ITimeseries]
    ms: list[int]
    values: list[Value]
    seqs: list[int]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one drain of the tree's queue took, in the order of the adds.

    ``entries``: (stream, Reading or Block). ``count``: how many readings that is.
    """

    entries: list[Entry]
    count: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[ITimeseries, Reading]]:
        for stream, entry in self.entries:
            if isinstance(entry, Block):
                for reading in entry.readings():
                    yield stream, reading
            else:
                yield stream, entry

    def odd(self) -> set[ITimeseries]:
        """The streams of which something here cannot stand in ``Plain``."""
        return {
            stream
            for stream, entry in self.entries
            if isinstance(entry, Block)
            or entry.seqno is not None
            or entry.seq is None
            or entry.quality != GOOD
        }

    def split(self, odd: set[ITimeseries]) -> tuple[Plain, list[Entry]]:
        """The readings of all streams but these in columns, and what there is of these.

        ``odd``: holds all of ``odd()``, and may hold more.
        """
        plain = Plain([], [], [], [])
        rest: list[Entry] = []
        for stream, entry in self.entries:
            if stream in odd or isinstance(entry, Block) or entry.seq is None:
                rest.append((stream, entry))
            else:
                plain.streams.append(stream)
                plain.ms.append(entry.ms)
                plain.values.append(entry.value)
                plain.seqs.append(entry.seq)
        return plain, rest


@dataclass(frozen=True, slots=True)
class ClockStep:
    """The wall clock jumped: between two looks it moved by ``step_ms`` more than time went by.

    ``before_ms``: what the wall clock would show at the moment of notice had it not jumped;
    ``after_ms``: what it showed; ``monotonic_s``: the monotonic clock at that moment.
    """

    before_ms: int
    after_ms: int
    monotonic_s: float

    @property
    def step_ms(self) -> int:
        """How far it jumped; negative when it was set back."""
        return self.after_ms - self.before_ms


class Severity(enum.Enum):
    """Whether a problem stops the start."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a config file, and where.

    ``text`` says what is wrong and what would do; ``value`` is what was found for the key, never a
    secret. ``line`` 0 means the file as a whole.
    """

    text: str
    file: str = ""
    line: int = 0
    section: str = ""
    key: str = ""
    severity: Severity = Severity.ERROR
    value: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " * bool(self.file)
        section = f"[{self.section}] " if self.section else ""
        key = f"{self.key} = {self.value}: " if self.value else f"{self.key}: " * bool(self.key)
        warning = "warning: " if self.severity is Severity.WARNING else ""
        return f"{where}{warning}{section}{key}{self.text}"


class Action(enum.Enum):
    """What somebody wants to do; ``IAccess.decide`` answers whether they may."""

    READ = "read"
    STATUS = "status"
    WRITE = "write"
    SUBSCRIBE = "subscribe"
    ACTUATE = "actuate"
    REQUEST = "request"
    DEPLOY = "deploy"


@dataclass(frozen=True, slots=True)
class ActuationRequest:
    """What a driver's ``get_state`` and ``set_state`` may look at of the request behind a call.

    ``method``: GET or PUT. ``args``: the query, as sent. A job has none: they are given None then.
    """

    method: str
    path: str
    args: Mapping[bytes, Sequence[bytes]]
    who: Principal


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    ``loopback``: the request came over a loopback address to a listener that is loopback only.
    ``token``: it presented the listener's token. ``origin``: its Origin header, "" without one.
    """

    name: str = "anonymous"
    loopback: bool = False
    token: bool = False
    origin: str = ""


# --- the readings journal


class Position(NamedTuple):
    """A place in the readings journal: the next record to read.

    ``flush``: the row, dense from 1. ``offset``: how many readings of that row are behind; it
    counts all of the row, whoever selects them.
    """

    flush: int
    offset: int = 0


class Start(enum.Enum):
    """Where a new cursor begins: before the oldest record kept, or behind the newest."""

    OLDEST = "oldest"
    NEWEST = "newest"


class Run(NamedTuple):
    """Readings of one stream in columns, in order; their seqs are dense from ``first_seq``.

    ``number``: the stream's in this journal, never given to another. ``quality``: one a reading,
    None for good; None as a whole: all are good. ``seqnos``: the driver's own numbers; None as a
    whole: none has one. ``path``: where the stream was when last seen. The lists belong to whoever
    read them.
    """

    stream: UUID
    number: int
    first_seq: int
    ms: list[int]
    values: list[Value]
    quality: list[Quality | None] | None = None
    seqnos: list[int | None] | None = None
    path: str = ""


class OneEach(Sequence[Run]):
    """Runs of one good reading each, none with a driver's number, all of different streams.

    In columns of equal length; the runs themselves are made when they are looked at. With a reading
    of each of many series a second most batches are this, and seven objects a reading, all alive at
    once, cost the garbage collector more than all else that is done with them.

    ``written``: what a format has made of exactly this, by its name. Reports that keep pace are
    given the same object, and so it is written once for all of them; on the reactor's thread.
    """

    __slots__ = ("first_seqs", "ms", "numbers", "paths", "streams", "values", "written")

    def __init__(
        self,
        streams: list[UUID],
        numbers: list[int],
        first_seqs: list[int],
        ms: list[int],
        values: list[Value],
        paths: list[str],
    ) -> None:
        self.streams, self.numbers, self.first_seqs = streams, numbers, first_seqs
        self.ms, self.values, self.paths = ms, values, paths
        self.written: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self.ms)

    def is_like(self, other: OneEach) -> bool:
        """Whether the two hold the same readings of the same streams at the same paths."""
        return (
            self.numbers == other.numbers
            and self.ms == other.ms
            and self.first_seqs == other.first_seqs
            and self.paths == other.paths
            and self.values == other.values
            and self.streams == other.streams
        )

    def __iter__(self) -> Iterator[Run]:
        for stream, number, seq, ms, value, path in zip(
            self.streams,
            self.numbers,
            self.first_seqs,
            self.ms,
            self.values,
            self.paths,
            strict=True,
        ):
            yield Run(stream, number, seq, [ms], [value], None, None, path)

    @overload
    def __getitem__(self, at: int) -> Run: ...
    @overload
    def __getitem__(self, at: slice) -> list[Run]: ...
    def __getitem__(self, at: int | slice) -> Run | list[Run]:
        if isinstance(at, slice):
            return list(self)[at]
        return Run(
            self.streams[at],
            self.numbers[at],
            self.first_seqs[at],
            [self.ms[at]],
            [self.values[at]],
            None,
            None,
            self.paths[at],
        )

    def __repr__(self) -> str:
        return f"<OneEach of {len(self)} streams>"


class OneByPath(Mapping[str, Sequence[Run]]):
    """``OneEach`` by path, for a report's body; all paths must differ."""

    __slots__ = ("_made", "each")

    def __init__(self, each: OneEach) -> None:
        self.each = each
        self._made: dict[str, list[Run]] | None = None

    def __len__(self) -> int:
        return len(self.each)

    def __iter__(self) -> Iterator[str]:
        return iter(self.each.paths)

    def __getitem__(self, path: str) -> Sequence[Run]:
        if self._made is None:
            self._made = {run.path: [run] for run in self.each}
        return self._made[path]


@dataclass(frozen=True, slots=True)
class Gap:
    """Readings of one stream that are missing from here on, and why.

    ``count``: how many were lost, exactly; 0 if that cannot be known, and then at most the numbers
    from ``from_seq`` to ``to_seq``. ``from_ms``, ``to_ms``: times of the first and last one, or of
    when it was noticed. ``why``: one of ``GAP_CAUSES``.
    """

    stream: UUID
    path: str
    from_seq: int | None
    to_seq: int | None
    from_ms: int
    to_ms: int
    count: int
    why: str


GAP_CAUSES = {
    "queue": "more readings came at once than may wait to be taken into the tree",
    "disk": "the disk did not take them in time, and no more may wait in memory",
    "bounds": "more were waiting for this consumer than it may keep",
    "age": "they were older than this consumer wants",
    "damage": "the file that held them is damaged",
    "tail": "the end of the journal is missing",
    "refused": "the consumer refused them",
}
"""Why readings are missing: the words of ``Gap.why``, each with its sentence."""


@dataclass(frozen=True, slots=True)
class JournalBatch:
    """What one read of a cursor gives.

    ``runs``: in the journal's order, so each stream's are in order; a stream may have several.
    ``gaps``: what is missing for this cursor between ``first`` and ``end``, or just before.
    ``count``: readings in ``runs``. ``first``: the cursor's position. ``end``: what to ack when all
    of it is delivered; beyond ``first`` even without runs if all was skipped. ``size_bytes``: of
    the readings, as they are stored.
    """

    runs: Sequence[Run]
    gaps: list[Gap]
    count: int
    first: Position
    end: Position
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait for one cursor; what is beyond is a gap, oldest first. None: no limit.

    ``max_readings``: per stream, exact. ``max_bytes``: of the journal's files behind the cursor.
    ``max_age_s``: older readings are skipped, by their own time. ``keep_s``: files whose newest
    reading is older go.
    """

    max_readings: int | None = 10_000
    max_bytes: int | None = None
    max_age_s: float | None = None
    keep_s: float | None = None


# --- reports


class NodePart(NamedTuple):
    """What a report says of one node beside its readings: the node whole.

    ``uuid``: of a timeseries; None for a collection. ``fields``: of a collection Contents and
    Metadata, of a timeseries Properties, Description, Metadata, Actuator, each only if it has it,
    as GET shows them; without uuid and Readings. The mapping may be the tree's own: it is read at
    once, and never kept or changed.
    """

    uuid: UUID | None
    fields: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class ReportBody:
    """One report before it is written in a format. Paths are absolute.

    ``runs``: the readings, by path; each list in the stream's order, never empty, all of one
    stream. ``nodes``: what goes out whole: collections, and timeseries, each with the runs of its
    path, or with empty Readings. A path in ``runs`` alone goes as ``{uuid, Readings}``.
    ``gaps``: for a report with ``Gaps = yes``, else empty; each stands at its own path.
    ``sequence``: say of each stream the seq of its first reading. ``quality``: say of each reading
    how far it is to be trusted; without either, bad readings are left out.
    """

    runs: Mapping[str, Sequence[Run]]
    nodes: Mapping[str, NodePart] = field(default_factory=dict)
    gaps: Sequence[Gap] = ()
    sequence: bool = False
    quality: bool = False


# --- sinks


@dataclass(frozen=True, slots=True)
class Payload:
    """One body ready to be sent, made by a format of ``smapd.sinks.FORMATS``.

    ``headers``: Content-Type and, where it is packed, Content-Encoding. ``count``: readings in it.
    """

    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    count: int = 0


@dataclass(frozen=True, slots=True)
class Accepted:
    """The sink has it."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Not now; nothing is said about the body.

    ``after_s``: the pause that the sink asked for, at most an hour. ``why``: for the operator, and
    never with a secret. ``status``: what an HTTP sink answered; None when no answer came.
    """

    after_s: float | None
    why: str
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The sink took offence at this body. ``why``, ``status``: as in ``Retry``."""

    why: str
    status: int | None = None


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The sink wants smaller bodies, or this one did not get through in time."""

    why: str = ""


Outcome: TypeAlias = Accepted | Retry | Refused | TooLarge
"""What became of one send."""


# --- the event log

ASSET_LOG = "$assets"
"""The one stream of the event log that is no asset's: it says which assets came and went.

Its events are ``AssetCreated`` and ``AssetDeleted``; data is JSON ``{"asset", "origin", "base"}``.
"""


class EventRecord(NamedTuple):
    """One event as the event log keeps it.

    ``name``, ``version``: of its type. ``source``: who published it. ``time_ms``: when it happened;
    ``systime_ms``: when it was published, by the daemon's clock. ``form``: how ``data`` is
    written, json or avro. ``offset``: its place in its asset's stream, dense from 0; given by the
    log, so -1 before that.
    """

    name: str
    version: int
    source: str
    time_ms: int
    systime_ms: int
    form: str
    data: bytes
    offset: int = -1


EVENT_FORMS = ("json", "avro")
"""What ``EventRecord.form`` may be."""


# --- streamed requests


class T2ProviderFailureReason(enum.Enum):
    """Why an integrator does not answer a request; what ``t2_respond_error`` sends.

    REQ_UNHANDLED is a refusal: the request is offered to the next integrator, if there is one.
    """

    REQ_UNHANDLED = "REQ_UNHANDLED"
    RESOURCE_UNKNOWN = "RESOURCE_UNKNOWN"
    PROVIDER_FAILED = "PROVIDER_FAILED"
    BUSY = "BUSY"


class T2ReqFailureReason(enum.Enum):
    """Why a request was not answered, as who asked sees it: all that an integrator may send, and
    SHUTDOWN when the integrator or the daemon stops.
    """

    REQ_UNHANDLED = "REQ_UNHANDLED"
    RESOURCE_UNKNOWN = "RESOURCE_UNKNOWN"
    PROVIDER_FAILED = "PROVIDER_FAILED"
    BUSY = "BUSY"
    SHUTDOWN = "SHUTDOWN"


# --- the desired state

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
"""The levels of a handler's log, the least first."""


@dataclass(frozen=True, slots=True)
class ActionFilter:
    """Which actions on a resource are wanted; times in ms UTC, ``to_ms`` not among them.

    ``level``: those with a record of at least this level, and of each only such records.
    ``kinds``, ``statuses``: empty for all. ``after``, ``before``: numbers of actions, exclusive.
    """

    level: str = "debug"
    kinds: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    from_ms: int | None = None
    to_ms: int | None = None
    after: int = 0
    before: int | None = None
    limit: int = 100
    newest_first: bool = True


Json: TypeAlias = Any
"""A value that JSON can hold."""
