"""The wire of ``/things``: what a thing's client and the hub say to each other, frame by frame.

A frame is a head, a JSON object whose ``op`` says what it is, and a body of bytes. In one process a
`Frame` is passed as it is. On a WebSocket a frame without a body is a text message, the JSON of the
head; one with a body is a binary message: the head's length as uint32 big endian, the head as JSON,
the body. A message has at most `MESSAGE_BYTES`. ``id`` numbers the client's requests: each is
answered once, by ``ok`` or ``error`` with the same id. The WebSocket's own ping goes every 20 s.

Client to hub
    hello {id, version:1, name, token?, resume?}
        first of all; ok {session, boot}. While a session of that name is open, its peer is pinged:
        if it answers within 2 s this one is refused (name_taken) and closed, else that one gets bye
        and this one its place. ``resume``: the ``session`` of the same client's last connection,
        which is replaced at once.
    start {id, role:"integrator", source, t2?:bool, assets?:[pattern]}
    start {id, role:"follower", t2?:bool, assets?:[pattern], max_unacked?, replay?}
        ok {}, then the assets. ``replay``: null, "oldest", "newest", an offset, {"time_ms": …}:
        where to begin instead of the durable place, in this start (a client that merely comes back
        leaves it out). Without a durable place a follower begins at the oldest. A second start of a
        role in one session replaces the first.
    stop {id, role}                         ok {}; no more of this role's assets, events, requests
    asset_done {role, seq}                  that record is dealt with; moves the thing's place
    publish {id, asset, name, version, time_ms, form, dedupe?, source?} body=data
        ok {offset} once durable. ``form``: "json" or "avro". ``dedupe``: an id of the client's own;
        the same one again gives the same offset, and no second event. ``source``: the
        integrator's, where it is left out.
    ack {asset, offset}                     that event is done with
    open {id, x, asset, type, mime?, timeout_s, window?} body=data
        asks for an exchange (needs role follower with t2); ok {}, then chunks. ``x``: odd, chosen
        by the client, not used twice in a session. ``timeout_s``: how long the provider may be
        silent while it may send. ``window``: bytes that may be unread, at most 4 MiB.
    credit {x, bytes} · cancel {x}          requester: so much was read · no more of it
    chunk {x, mime} body · end {x} · failed {x, reason, message?}
                                            provider: its answer; what comes too late is ignored

Hub to client
    ok {id, …} · error {id, error, message, hint}
        ``error`` is the code of a class of ``smapd.errors``; an ``id`` of null: of a frame that
        has none.
    asset {role, kind:"created"|"deleted", asset, seq}
        in order, at most 1,000 not done. After a start all assets there are come as created,
        in the order they were made, then what has happened since the thing's place. ``seq`` is the
        record's number for ever: a client that comes back leaves out the ``created`` it was told
        before, by (asset, seq), and says asset_done all the same.
    event {asset, offset, name, version, source, time_ms, systime_ms, form} body=data
        at most ``max_unacked`` not acked an asset, and 4 MiB a session
    eof {asset, offset}                     the replay is over; ``offset``: of the next event
    request {x, asset, type, mime, credit} body=data
        for the provider; ``x`` even. ``credit``: how many bytes of chunks it may send for now,
        often 128 KiB at first; more than that ends the exchange. Whoever has some credit left sends
        as much at once, in a smaller piece, and never waits for room for a whole one.
    credit {x, bytes}                       provider: it may send so much more
    cancel {x, why}                         provider: nobody wants its answer any more
    chunk {x, mime} body · end {x} · failed {x, reason, message} · timeout {x}
                                            requester: the answer; one of the last three ends it
    bye {why}                               the daemon stops, or another session took the place

A chunk has at most 1 MiB; whoever has more splits it. Credits count bytes of bodies. Each side
of an exchange sees exactly one end: ``end``, ``failed``, ``timeout``, or a ``cancel`` sent or
received.
"""

from __future__ import annotations

import inspect
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

import orjson

from smapd import errors
from smapd.errors import BadRequest, SmapError
from smapd.values import LONG_MAX, LONG_MIN, Json

VERSION: Final = 1

CHUNK_BYTES: Final = 2**20
"""The most that one chunk holds."""
WINDOW_BYTES: Final = 2**22
"""The most that may be unread of one exchange."""
EVENT_BYTES: Final = 2**20
"""The most that one event's data holds."""
REQUEST_BYTES: Final = 2**20
"""The most that a request's own data holds."""
HEAD_BYTES: Final = 64 * 1024
MESSAGE_BYTES: Final = 2 * 2**20
"""The most that one WebSocket message holds."""
ASSETS_OPEN: Final = 1000
"""Asset records that may be out and not done, a role."""
PING_S: Final = 20.0
MOST_TEXT: Final = 255
MOST_MESSAGE: Final = 4000

_LENGTH = struct.Struct(">I")
T = TypeVar("T")


class Frame(NamedTuple):
    """One frame. ``head``: JSON alone, with a text ``op``; whoever gets it may keep it."""

    head: dict[str, Json]
    body: bytes = b""


def encode(frame: Frame) -> str | bytes:
    """The WebSocket message of a frame: text or binary. Any thread.

    :raises BadRequest: if it is larger than a message may be.
    """
    head = orjson.dumps(frame.head)
    if len(head) > HEAD_BYTES or len(head) + len(frame.body) + _LENGTH.size > MESSAGE_BYTES:
        size = len(head) + len(frame.body)
        raise BadRequest(f"A frame of {size} bytes is too large; {MESSAGE_BYTES} is the limit.")
    if not frame.body:
        return head.decode()
    return b"".join((_LENGTH.pack(len(head)), head, frame.body))


def decode(message: str | bytes) -> Frame:
    """The frame of a WebSocket message. Any thread.

    :raises BadRequest: if it is none.
    """
    if len(message) > MESSAGE_BYTES:
        raise BadRequest(f"A frame of {len(message)} bytes; {MESSAGE_BYTES} is the limit.")
    if isinstance(message, str):
        return Frame(_head(message))
    if len(message) < _LENGTH.size:
        raise BadRequest("A binary frame begins with the length of its head in four bytes.")
    (length,) = _LENGTH.unpack_from(message)
    end = _LENGTH.size + length
    if length > HEAD_BYTES or end > len(message):
        raise BadRequest(f"A binary frame of {len(message)} bytes has no head of {length} bytes.")
    return Frame(_head(message[_LENGTH.size : end]), message[end:])


def _head(text: str | bytes) -> dict[str, Json]:
    try:
        head = orjson.loads(text)
    except ValueError:
        raise BadRequest("A frame's head is no JSON.") from None
    if not isinstance(head, dict) or not isinstance(head.get("op"), str):
        raise BadRequest('A frame\'s head is a JSON object with a text "op".')
    return head


# --- what a head says, checked


def _need(head: Mapping[str, Json], key: str, default: object) -> Any:
    value = head.get(key)
    if value is None:
        if default is ...:
            raise BadRequest(f"{head.get('op')}: {key} is missing.")
        return default
    return value


def text(head: Mapping[str, Json], key: str, default: Any = ..., most: int = MOST_TEXT) -> str:
    """A text of 1 to ``most`` printable letters. A default of ``...``: it must be there.

    :raises BadRequest: naming op and key.
    """
    value = head.get(key)
    if value is None:
        return str(_need(head, key, default))
    if not isinstance(value, str) or not 0 < len(value) <= most or not value.isprintable():
        raise BadRequest(f"{head.get('op')}: {key} is a text of 1 to {most} printable letters.")
    return value


def whole(
    head: Mapping[str, Json],
    key: str,
    default: Any = ...,
    least: int = LONG_MIN,
    most: int = LONG_MAX,
) -> int:
    """A whole number from ``least`` to ``most``.

    :raises BadRequest: naming op and key.
    """
    value = head.get(key)
    if value is None:
        return int(_need(head, key, default))
    if type(value) is not int or not least <= value <= most:
        raise BadRequest(f"{head.get('op')}: {key} is a whole number from {least} to {most}.")
    return value


def seconds(head: Mapping[str, Json], key: str, most: float) -> float:
    """A number of seconds above 0, at most ``most``.

    :raises BadRequest: naming op and key.
    """
    value = _need(head, key, ...)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise BadRequest(f"{head.get('op')}: {key} is a number above 0, at most {most:g}.")
    return float(value)


def flag(head: Mapping[str, Json], key: str, default: bool = False) -> bool:
    """True or false.

    :raises BadRequest: naming op and key.
    """
    value = _need(head, key, default)
    if not isinstance(value, bool):
        raise BadRequest(f"{head.get('op')}: {key} is true or false.")
    return value


def texts(head: Mapping[str, Json], key: str, default: list[str], most: int) -> list[str]:
    """A list of at most ``most`` texts.

    :raises BadRequest: naming op and key.
    """
    value = _need(head, key, default)
    if (
        not isinstance(value, list)
        or len(value) > most
        or not all(isinstance(one, str) and 0 < len(one) <= MOST_TEXT for one in value)
    ):
        raise BadRequest(f"{head.get('op')}: {key} is a list of at most {most} texts.")
    return value


# --- answers


def ok(request_id: int | None, **more: Json) -> Frame:
    """The answer to a request that did what it should."""
    return Frame({"op": "ok", "id": request_id, **more})


def error(request_id: int | None, problem: SmapError) -> Frame:
    """The answer to a request that failed."""
    message = problem.message[:MOST_MESSAGE]
    told = {"error": problem.code, "message": message, "hint": problem.hint}
    return Frame({"op": "error", "id": request_id, **told})


def raised(frame: Frame) -> SmapError:
    """The exception that an ``error`` frame stands for, ready to be raised by a client."""
    code = str(frame.head.get("error"))
    message, hint = str(frame.head.get("message") or code), str(frame.head.get("hint") or "")
    kind = _by_code(code)
    try:
        return kind(message, hint=hint)
    except TypeError:  # one that is made of something else
        return SmapError(message, hint=hint)


def _by_code(code: str) -> Callable[..., SmapError]:
    for found in vars(errors).values():
        if inspect.isclass(found) and issubclass(found, SmapError) and found.code == code:
            return found
    return SmapError
