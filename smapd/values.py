"""The values that cross a wall between two rooms: frozen, without behaviour that needs a room.

Floor 1: imports nothing of smapd. Times are int milliseconds UTC wherever a name ends in ``ms``.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

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
class Principal:
    """Who asks.

    ``loopback``: the request came over a loopback address to a listener that is loopback only.
    ``token``: it presented the listener's token. ``origin``: its Origin header, "" without one.
    """

    name: str = "anonymous"
    loopback: bool = False
    token: bool = False
    origin: str = ""


Json: TypeAlias = Any
"""A value that JSON can hold."""
