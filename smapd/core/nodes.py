"""The nodes of the tree: `Collection` and `Timeseries`.

A hundred thousand of them may stand in memory: slots, shared shapes and shared metadata, and no
more than a pointer for what most have not. The tree alone writes to them, on its home thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from zope.interface import implementer

from smapd.errors import NoSuchPath
from smapd.interfaces import ICollection, ITimeseries
from smapd.values import Json, Quality, Reading, Value

from .batches import Row, reading_of, row_of
from .wire import put_readings

if TYPE_CHECKING:  # nodes hand their readings in; only the type checker follows that name
    from .actuator import Actuator
    from .inbox import Inbox
    from .shape import Shape


@implementer(ITimeseries)
class Timeseries:
    """A stream of readings: named for ever by ``uuid``, found at ``path``.

    Made by ``SmapInstance.add_timeseries``. Read from any thread. ``key``: as it was given, None if
    the uuid was given instead. ``revision``: the tree's, when anything here last changed;
    ``meta_revision``: when metadata or description last did. ``next_seq``: of the next reading.
    """

    __slots__ = (
        "_error",
        "_held",
        "_inbox",
        "_shape",
        "_uuid",
        "actuator",
        "description",
        "key",
        "meta_revision",
        "metadata",
        "next_seq",
        "path",
        "revision",
    )

    def __init__(
        self,
        path: str,
        uuid: str,
        key: str | None,
        shape: Shape,
        description: str | None,
        inbox: Inbox,
        revision: int,
        actuator: Actuator | None = None,
    ) -> None:
        self.path = path
        self._uuid = uuid  # as text: GET sends it, and the garbage collector passes it over
        self.key = key
        self.description = description
        self.actuator = actuator
        self.metadata: dict[str, Json] | None = None
        self.next_seq = 0
        self.revision = self.meta_revision = revision
        self._shape = shape
        self._inbox: Inbox | None = inbox  # None once removed
        self._error = ""
        # One reading is kept as it is: a deque costs 600 bytes, and most streams show only one.
        self._held: Row | deque[Row] | None = (
            None if shape.buffersz == 1 else deque(maxlen=shape.buffersz)
        )

    @property
    def uuid(self) -> UUID:
        """Names the stream for ever."""
        return UUID(self._uuid)

    @property
    def unit(self) -> str | None:
        """UnitofMeasure; None if none was given."""
        return self._shape.unit

    @property
    def data_type(self) -> str:
        """ReadingType: long, double or string."""
        return self._shape.data_type

    @property
    def timezone(self) -> str:
        """Name of the zone in which this stream's times are shown."""
        return self._shape.timezone

    @property
    def timezone_given(self) -> bool:
        """Whether that zone was given; else it is the tree's default of that moment."""
        return self._shape.timezone_given

    @property
    def buffersz(self) -> int:
        """How many of the last readings are kept, and shown by GET."""
        return self._shape.buffersz

    @property
    def milliseconds(self) -> bool:
        """Whether numbers given to ``add`` as times are milliseconds."""
        return self._shape.milliseconds

    @property
    def properties(self) -> dict[str, str]:
        """As GET shows them; shared, do not change it."""
        return self._shape.properties

    @property
    def attached(self) -> bool:
        """Whether it is in the tree; False once it was removed."""
        return self._inbox is not None

    def add(
        self,
        time_or_value: Any,
        value: Any = ...,
        seqno: int | None = None,
        quality: Quality | None = None,
    ) -> None:
        """``add(value)``, ``add(time, value)`` or ``add(time, value, seqno)``.

        From any thread; see ``SmapInstance.add``.

        :raises NoSuchPath: if it was removed from the tree.
        """
        inbox = self._inbox
        if inbox is None:
            raise self._gone()
        if seqno is None and quality is None:
            inbox.put(self, time_or_value, value)
        else:
            inbox.put_qualified(self, time_or_value, value, seqno, quality)

    def add_many(self, times: Any, values: Any, quality: Quality | None = None) -> None:
        """A block of readings in two columns; from any thread; see ``SmapInstance.add_many``.

        :raises NoSuchPath: if it was removed from the tree.
        """
        inbox = self._inbox
        if inbox is None:
            raise self._gone()
        inbox.put_many(self, times, values, quality)

    def readings(self) -> list[Reading]:
        """The readings kept, oldest first, bad ones too; a new list."""
        return [reading_of(row) for row in self._rows()]

    def last(self) -> Reading | None:
        """The last reading, else None."""
        rows = self._rows()
        return reading_of(rows[-1]) if rows else None

    def error(self) -> str:
        """Why the driver of this stream does not run; "" when all is well."""
        return self._error

    def as_json(self, quality: bool = False) -> dict[str, Json]:
        """What GET answers: a new dict that orjson can encode; what is in it is shared."""
        held = self._held
        answer: dict[str, Json] = {"uuid": self._uuid, "Properties": self._shape.properties}
        if held.__class__ is tuple and not quality:
            ms, value, _, _, seqno = held
            if value is None or (value.__class__ is float and value - value != 0.0):
                put_readings(answer, (held,), False)
            else:
                answer["Readings"] = [[ms, value, seqno] if seqno else [ms, value]]
        else:
            put_readings(answer, self._rows(), quality)
        if self.description is not None:
            answer["Description"] = self.description
        if self.metadata is not None:
            answer["Metadata"] = self.metadata
        if self.actuator is not None:
            answer["Actuator"] = self.actuator.as_json(self.last())
        if self._error:
            answer["Error"] = self._error
        return answer

    def showing(
        self, reading: Reading | None, error: str = "", quality: bool = False
    ) -> dict[str, Json]:
        """`as_json` with this one reading in place of those kept, or none, and why not."""
        answer = self.as_json()
        answer.pop("NonFinite", None)
        rows = () if reading is None else (row_of(reading),)
        put_readings(answer, rows, quality)
        if self.actuator is not None:
            answer["Actuator"] = self.actuator.as_json(reading)
        if error:
            answer["Error"] = error
        return answer

    def with_readings(self, readings: Sequence[Reading], quality: bool = False) -> dict[str, Json]:
        """`as_json` with these readings, of its past, in place of those kept."""
        answer = self.as_json()
        answer.pop("NonFinite", None)
        put_readings(answer, [row_of(reading) for reading in readings], quality)
        return answer

    def fitted(self, value: Any) -> Value:
        """The value as a reading of this stream has it; any thread.

        :raises ValueError: saying why it does not fit.
        """
        fitted: Value = self._shape.fit(value)
        return fitted

    def __getitem__(self, key: str) -> Json:
        """One value of what GET answers: ``ts["Readings"]``; KeyError if GET has no such key."""
        return self.as_json()[key]

    def __repr__(self) -> str:
        return f"<Timeseries {self.path} {self._uuid}>"

    def _rows(self) -> list[Row]:
        """The readings kept, as they are kept; one step for the interpreter, so any thread."""
        held = self._held
        if held is None:
            return []
        return list(held) if isinstance(held, deque) else [held]

    def _gone(self) -> NoSuchPath:
        return NoSuchPath(f"No such timeseries or collection: {self.path}; it was removed.")


@implementer(ICollection)
class Collection:
    """An inner node of the tree.

    Made by ``SmapInstance.add_collection``. Read from any thread. ``contents_revision``: the tree's
    revision when a child last came or went; ``meta_revision``: when metadata last changed here.
    """

    __slots__ = (
        "_attached",
        "_children",
        "_error",
        "asset",
        "contents_revision",
        "description",
        "meta_revision",
        "metadata",
        "path",
        "revision",
    )

    def __init__(self, path: str, asset: str | None, revision: int) -> None:
        self.path = path
        self.asset = asset
        self.description: str | None = None
        self.metadata: dict[str, Json] | None = None
        self.revision = self.meta_revision = self.contents_revision = revision
        self._children: dict[str, Node] = {}
        self._error = ""
        self._attached = True

    @property
    def children(self) -> list[str]:
        """Names in order of creation; a new list."""
        return list(self._children)

    @property
    def attached(self) -> bool:
        """Whether it is in the tree; False once it was removed."""
        return self._attached

    def nodes(self) -> list[Node]:
        """The children in order of creation; a new list."""
        return list(self._children.values())

    def error(self) -> str:
        """Why the driver at this place does not run; "" when all is well."""
        return self._error

    def as_json(self, quality: bool = False) -> dict[str, Json]:
        """What GET answers: a new dict that orjson can encode; its metadata is shared."""
        answer: dict[str, Json] = {"Contents": list(self._children)}
        if self.metadata is not None:
            answer["Metadata"] = self.metadata
        if self.description is not None:
            answer["Description"] = self.description
        if self._error:
            answer["Error"] = self._error
        return answer

    def __getitem__(self, key: str) -> Json:
        """One value of what GET answers: ``collection["Contents"]``."""
        return self.as_json()[key]

    def __repr__(self) -> str:
        return f"<Collection {self.path} of {len(self._children)}>"


Node: TypeAlias = Timeseries | Collection
