"""Events as bytes: a row holds events of one asset, dense from the offset of its first one.

::

    head    magic "SME1", size of all, flags, commit, asset's number, first offset, events,
            latest time of publication
    body    by event: time, time of publication, version, size of data, of name, of source, form;
            then name, source, data; all of it packed with zlib if that is shorter
    crc32   of all that

All integers are little-endian. A row whose flag says LOST has no body: its events were damaged.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Final

from smapd.errors import BadRequest
from smapd.values import EVENT_FORMS, EventRecord

from ..rows import Damaged

MAGIC: Final = b"SME1"
HEAD: Final = struct.Struct("<4sIIQIQIq")
CRC: Final = struct.Struct("<I")
ROW_BYTES: Final = 128 * 1024
"""How large a row becomes, but for one event that is larger: reading one event reads its row."""

_EVENT: Final = struct.Struct("<qqIIHHB")
_PACKED, _LOST = 1, 2
_ZLIB_FROM, _ZLIB_TO = 400, 64 * 1024
"""Below, nothing is gained. A row above is of a burst, and there the processor counts."""


class Row:
    """A row's head, checked against its checksum."""

    __slots__ = ("_body", "asset", "commit", "count", "first", "flags", "size", "t_max")
    asset: int
    commit: int
    count: int
    first: int
    t_max: int

    def __init__(self, data: bytes) -> None:
        """:raises Damaged: if it does not pass its checksum."""
        if not isinstance(data, bytes) or len(data) < HEAD.size + CRC.size:
            raise Damaged("a row of events has no head")
        (
            magic,
            self.size,
            self.flags,
            self.commit,
            self.asset,
            self.first,
            self.count,
            self.t_max,
        ) = HEAD.unpack_from(data)
        whole = memoryview(data)
        if (
            magic != MAGIC
            or self.size != len(data)
            or zlib.crc32(whole[: -CRC.size]) != CRC.unpack_from(data, len(data) - CRC.size)[0]
        ):
            raise Damaged("a row of events does not pass its checksum")
        self._body = whole[HEAD.size : -CRC.size]

    @property
    def end(self) -> int:
        """The offset behind its last event."""
        return self.first + self.count

    @property
    def is_lost(self) -> bool:
        """Whether it only says that its events were damaged."""
        return bool(self.flags & _LOST)

    def events(self) -> list[EventRecord]:
        """Its events, in order; none if they are lost."""
        if self.flags & _LOST:
            return []
        body = zlib.decompress(self._body) if self.flags & _PACKED else bytes(self._body)
        found = []
        at = 0
        for offset in range(self.first, self.first + self.count):
            time_ms, systime_ms, version, size, name_size, source_size, form = _EVENT.unpack_from(
                body, at
            )
            at += _EVENT.size
            name = body[at : at + name_size].decode()
            at += name_size
            source = body[at : at + source_size].decode()
            at += source_size
            data = body[at : at + size]
            at += size
            found.append(
                EventRecord(
                    name, version, source, time_ms, systime_ms, EVENT_FORMS[form], data, offset
                )
            )
        return found


def pack_event(record: EventRecord) -> bytes:
    """One event as a row's body has it.

    :raises BadRequest: naming what of it cannot be kept.
    """
    name, version, source, time_ms, systime_ms, form, data, _offset = record
    try:
        named, from_ = name.encode(), source.encode()
        sizes = (len(data), len(named), len(from_), EVENT_FORMS.index(form))
        return _EVENT.pack(time_ms, systime_ms, version, *sizes) + named + from_ + data
    except (struct.error, ValueError, TypeError, AttributeError) as error:
        raise BadRequest(f"An event cannot be kept: {_why(record)}.") from error


def seal(
    commit: int, asset: int, first: int, events: Sequence[bytes], t_max: int, *, lost: int = 0
) -> bytes:
    """The row of these packed events; or, with none, of so many that are ``lost``."""
    body, flags = b"".join(events), 0
    if lost:
        flags = _LOST
    elif _ZLIB_FROM <= len(body) <= _ZLIB_TO:
        short = zlib.compress(body, 1)
        if len(short) < len(body):
            body, flags = short, _PACKED
    size = HEAD.size + len(body) + CRC.size
    head = HEAD.pack(MAGIC, size, flags, commit, asset, first, lost or len(events), t_max)
    return b"".join((head, body, CRC.pack(zlib.crc32(body, zlib.crc32(head)))))


def _why(record: EventRecord) -> str:
    if record.form not in EVENT_FORMS:
        return f"its form is {record.form!r}, and there are {' and '.join(EVENT_FORMS)}"
    for what in ("name", "source"):
        text = getattr(record, what)
        if not isinstance(text, str):
            return f"its {what} is {type(text).__name__}, not str"
        if len(text.encode(errors="replace")) > 0xFFFF:
            return f"its {what} is longer than 65535 bytes"
    if not isinstance(record.data, bytes):
        return f"its data are {type(record.data).__name__}, not bytes"
    if not isinstance(record.version, int) or not 0 <= record.version < 2**32:
        return f"its version is {record.version!r}, and 0 to {2**32 - 1} are possible"
    for what in ("time_ms", "systime_ms"):
        at = getattr(record, what)
        if not isinstance(at, int) or not -(2**63) <= at < 2**63:
            return f"its {what} is {at!r}, not a time in ms"
    return "its name or source is no text that UTF-8 can hold"
