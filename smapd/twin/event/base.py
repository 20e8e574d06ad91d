"""What every event is: who it is about, when it happened, and data that fit its type's schema.

A type is a class; its name is the class's name. Each version of its data is an Avro schema::

    class BomBuiltSet(AssetEvent):
        @classmethod
        def _known_versions(cls):
            return {
                1: {
                    "type": "array",
                    "items": {
                        "type": "record",
                        "name": "Part",
                        "fields": [field("Matnr", "string", doc="Material number")],
                    },
                }
            }

Data go as JSON where JSON can hold them, else as Avro binary. They are checked when the event is
published; a handler gets them in the version they were published in.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, Self

import orjson
from fastavro import schemaless_reader, schemaless_writer

from smapd.core.fitting import Unfit
from smapd.core.times import from_seconds
from smapd.errors import EventInvalid
from smapd.values import Json, wall_ms

from .fields import field
from .shapes import Misfit, NotJson, Shape

__all__ = ["AssetEvent", "Event", "UnknownEvent", "at_ms", "field"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class AssetEvent:
    """Something that happened to an asset. Make a subclass for each type of event.

    ``asset``: its id. ``time``: when it happened, an aware datetime in UTC. ``data``: as the
    schema of ``version`` has them. ``source``: who published it, "" before that. ``offset``: its
    place among the asset's events, from 0; -1 before it is published. ``systime``: when the
    daemon took it; None before that.
    """

    _shapes: ClassVar[Mapping[int, Shape]]

    def __init__(
        self,
        asset: str,
        time: datetime | float | str | None = None,
        data: Any = None,
        *,
        version: int | None = None,
    ) -> None:
        """Make an event to be published.

        ``time``: an aware datetime, one without a timezone (UTC is meant), seconds since 1970, or
        text in ISO 8601; now, unless given. ``version``: of the data, the type's default unless
        given. The data are checked when it is published, not here.

        :raises EventInvalid: for a time that is none, or a version that the type does not have.
        """
        self.asset = asset
        self.time = _EPOCH + event_ms(time) * _MILLISECOND
        self.data = data
        self.version = type(self)._default_version() if version is None else version
        self.source = ""
        self.offset = -1
        self.systime: datetime | None = None
        self._sent: tuple[bytes, str] | None = None
        known = type(self).shapes()
        if self.version not in known:
            raise EventInvalid(
                f"{self.name()} has no version {self.version}; it has "
                f"{', '.join(map(str, sorted(known)))}."
            )

    # --- what a type says of itself

    @classmethod
    def _default_version(cls) -> int:
        """The version that new events have; the newest, unless a type says otherwise."""
        return max(cls.shapes())

    @classmethod
    def _known_versions(cls) -> Mapping[int, Json]:
        """The Avro schema of each version's data. Without a word of the type: no data."""
        return {1: "null"}

    def _validate_data(self) -> None:
        """Check what the schema cannot say of ``self.data``; raise ValueError or AssertionError."""

    @classmethod
    def type_name(cls) -> str:
        """The name of the type."""
        return cls.__name__

    @classmethod
    def shapes(cls) -> Mapping[int, Shape]:
        """The schemas of all versions, ready to check data; compiled once.

        :raises EventInvalid: if one of them is no Avro schema.
        """
        known: Mapping[int, Shape] | None = cls.__dict__.get("_shapes")
        return cls._compile() if known is None else known

    @classmethod
    def _compile(cls) -> Mapping[int, Shape]:
        known = {}
        for version, schema in cls._known_versions().items():
            try:
                known[version] = Shape(schema)
            except ValueError as error:
                raise EventInvalid(f"{cls.__name__} version {version}: {error}.") from error
        if not known:
            raise EventInvalid(f"{cls.__name__} has no version: its _known_versions() is empty.")
        cls._shapes = known
        return known

    # --- what an event says

    def name(self) -> str:
        """The name of its type."""
        return type(self).__name__

    @property
    def time_ms(self) -> int:
        """``time`` in milliseconds since 1970."""
        return (self.time - _EPOCH) // _MILLISECOND

    def data_as(self, version: int | None = None) -> Any:
        """The data as another version of the type has them, the default version unless given.

        By Avro's rules: fields are found by name, what the data lack is filled from the default
        of the field, what the version lacks is left out.

        :raises EventInvalid: if the two versions cannot be brought together.
        """
        shapes = type(self).shapes()
        wanted = type(self)._default_version() if version is None else version
        if wanted == self.version:
            return self.data
        if wanted not in shapes:
            raise EventInvalid(f"{self.name()} has no version {wanted}.")
        written = shapes[self.version]
        out = io.BytesIO()
        try:
            schemaless_writer(out, written.schema, written.check_any_float(self.data))
            return schemaless_reader(
                io.BytesIO(out.getvalue()), written.schema, shapes[wanted].schema
            )
        except Exception as error:
            raise EventInvalid(
                f"The data of {self!r} cannot be read as version {wanted}: "
                f"{' '.join(str(error).split()) or type(error).__name__}."
            ) from error

    def encode(self, *, strict: bool = False) -> tuple[str, bytes]:
        """(form, bytes) of the data, checked. ``strict``: refuse fields that the schema lacks.

        :raises EventInvalid: naming the field that does not fit.
        """
        shape = type(self).shapes()[self.version]
        try:
            if type(self)._validate_data is not AssetEvent._validate_data:
                shape.check_any_float(self.data, strict=strict)  # it may rely on the schema
                self._own_check()
            if shape.is_json:
                try:
                    return "json", orjson.dumps(shape.check(self.data, strict=strict))
                except NotJson:
                    pass  # Avro has a word for it
            out = io.BytesIO()
            schemaless_writer(out, shape.schema, shape.check_any_float(self.data, strict=strict))
            return "avro", out.getvalue()
        except Misfit as misfit:
            raise self._unfit(f"{misfit.where}: {misfit.why}") from misfit
        except EventInvalid:
            raise
        except (ValueError, TypeError, RecursionError) as error:  # a half of a surrogate pair
            raise self._unfit(" ".join(str(error).split())) from error

    def _own_check(self) -> None:
        try:
            self._validate_data()
        except (ValueError, AssertionError, TypeError, LookupError) as error:
            why = " ".join(str(error).split()) or f"its own check says {type(error).__name__}"
            raise self._unfit(why) from error

    def _unfit(self, why: str) -> EventInvalid:
        what = f"{self.name()} version {self.version}"
        return EventInvalid(f"The data of {what} do not fit: {why}.")

    def dedupe_id(self, body: bytes, new: Callable[[], str]) -> str:
        """Names this event while it is tried to be published: the same until it succeeds.

        An event that was published, or whose data changed since the last try, gets a ``new`` one.
        """
        if self.offset >= 0 or self._sent is None or self._sent[0] != body:
            self._sent = (body, new())
        return self._sent[1]

    def published(self, offset: int, source: str) -> None:
        """It was published, and this is its place."""
        self.offset, self.source, self._sent = offset, source, None

    @classmethod
    def received(
        cls,
        asset: str,
        *,
        version: int,
        time_ms: int,
        systime_ms: int,
        source: str,
        offset: int,
        data: Any,
    ) -> Self:
        """An event as a follower gets it; nothing is checked again."""
        event = cls.__new__(cls)
        event.asset, event.version, event.source, event.offset = asset, version, source, offset
        event.time = at_ms(time_ms)
        event.systime = at_ms(systime_ms)
        event.data = data
        event._sent = None
        return event

    def __repr__(self) -> str:
        return f"<{self.name()} v{self.version} ({self.asset!r}@{self.offset})>"


Event = AssetEvent
"""The same class by its shorter name."""


class UnknownEvent(AssetEvent):
    """An event of a type, or of a version, that this program does not have.

    ``data``: what was in it as far as can be said without the type: the JSON value, or the bytes
    of an Avro body. ``raw``: the bytes as they are. It goes to ``on_event_unmatched``.
    """

    _name = ""
    form = "json"
    raw = b""

    def name(self) -> str:
        """The name of its type, as its publisher has it."""
        return self._name

    @classmethod
    def of(cls, name: str, form: str, raw: bytes, **known: Any) -> UnknownEvent:
        """An event of that name; ``known``: as ``received`` takes it, but for the data."""
        data: Any = raw
        if form == "json":
            try:
                data = orjson.loads(raw)
            except ValueError:
                data = raw
        event = cls.received(data=data, **known)
        event._name, event.form, event.raw = name, form, raw
        return event


def decode(shape: Shape, form: str, raw: bytes) -> Any:
    """The data in an event's body.

    :raises ValueError: if the body is damaged.
    """
    if form == "json":
        return orjson.loads(raw)
    try:
        return schemaless_reader(io.BytesIO(raw), shape.schema, None)
    except Exception as error:
        raise ValueError(f"the body is no {form} of its type: {error}") from error


def at_ms(ms: int) -> datetime:
    """That time as an aware datetime in UTC; the first or last there is, for one beyond."""
    try:
        return _EPOCH + ms * _MILLISECOND
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if ms > 0 else datetime.min.replace(tzinfo=UTC)


def event_ms(time: datetime | float | str | None) -> int:
    """Milliseconds since 1970 of a time as an event takes it.

    :raises EventInvalid: if it is none.
    """
    if time is None:
        return wall_ms()
    if isinstance(time, str):
        with contextlib.suppress(ValueError):  # else it may be a number
            time = datetime.fromisoformat(time.strip())
    if isinstance(time, datetime) and time.utcoffset() is None:
        time = time.replace(tzinfo=UTC)
    try:
        ms = from_seconds(time)
        _EPOCH + ms * _MILLISECOND
    except (Unfit, OverflowError) as error:
        raise EventInvalid(f"{time!r} is no time of an event: {error}.") from error
    return ms
