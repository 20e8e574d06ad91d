"""One connection of a thing: its roles, its events, its requests. What is said: ``wire.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from smapd.errors import BadRequest, Busy, SmapError, T2Unavailable
from smapd.interfaces import IPeer, ISession, ITimer
from smapd.runtime import attempt
from smapd.values import Json

from . import wire
from .requests import Provider, Requester
from .roles import FOLLOWER, INTEGRATOR, Role, role_of
from .wire import Frame

if TYPE_CHECKING:
    from .hub import Hub

_log = Logger()

HELLO_S: Final = 10.0
"""How long a connection may take to say who it is."""
MOST_PUBLISHING: Final = 1000
PUBLISHING_BYTES: Final = 16 * 2**20


@implementer(ISession)
class Session:
    """One connection; on the reactor's thread."""

    def __init__(self, hub: Hub, peer: IPeer, admit: Callable[[str, str], None] | None) -> None:
        self.id = uuid4().hex
        self.name = ""
        self.since_ms = hub.clock.wall_ms()
        self.received = self.sent = 0
        self.is_closed = False
        self.is_known = False
        self.peer = peer
        self._hub, self._admit = hub, admit
        self._roles: dict[str, Role] = {}
        self._starting: dict[str, Role] = {}
        self._requester = Requester(hub.exchanges, self._send)
        self._publishing = self._publishing_bytes = 0
        self._even = 0
        self._hello_timer: ITimer | None = hub.clock.later(HELLO_S, self._no_hello)
        self._ops: dict[str, Callable[[dict[str, Json], bytes], object]] = {
            "hello": self._hello,
            "start": self._start,
            "stop": self._stop,
            "asset_done": self._asset_done,
            "publish": self._publish,
            "ack": self._ack,
            "open": self._open,
            "credit": lambda head, _: self._requester.credit(head),
            "cancel": lambda head, _: self._requester.cancel(head),
            "chunk": self._chunk,
            "end": self._end,
            "failed": self._failed,
        }

    # --- the transport's side

    def receive(self, frame: Frame) -> None:
        """A frame came."""
        if self.is_closed:
            return
        self.received += 1
        head = frame.head
        op = self._ops.get(str(head.get("op")))
        if op is None:
            known = ", ".join(sorted(self._ops))
            self._refuse(head, BadRequest(f"{str(head.get('op'))[:40]!r} is none of {known}."))
            return
        if not self.is_known and head["op"] != "hello":
            self._refuse(head, BadRequest(f"{head['op']}: say hello first."))
            return
        result = attempt(op, head, frame.body)
        if isinstance(result, Failure):
            self._refuse(head, result)

    def lost(self, why: str) -> None:
        """The connection is gone; may be repeated."""
        if self.is_closed:
            return
        self.is_closed = True
        if self._hello_timer is not None:
            self._hello_timer.discard()
        for role in list(self._roles.values()) + list(self._starting.values()):
            role.leave()
        self._roles.clear()
        self._starting.clear()
        self._requester.close()
        self._hub.gone(self)

    # --- the hub's side

    def bye(self, why: str) -> None:
        """Say why, and end it."""
        if not self.is_closed:
            self._send(Frame({"op": "bye", "why": why}))
            self.lost(why)
            self.peer.close(why)

    def welcome(self, request_id: int) -> None:
        """The name is this session's."""
        self.is_known = True
        self._send(wire.ok(request_id, session=self.id, boot=self._hub.boot))

    def refuse(self, request_id: int, error: SmapError) -> None:
        """The name is not; end it."""
        self._send(wire.error(request_id, error))
        self.lost(error.message)
        self.peer.close(error.message)

    def status(self) -> dict[str, Json]:
        """What /status shows of it."""
        roles = {kind: role.status() for kind, role in self._roles.items()}
        return {
            "name": self.name,
            "since_ms": self.since_ms,
            "roles": roles,
            "asking": len(self._requester),
            "publishing": self._publishing,
            "frames_in": self.received,
            "frames_out": self.sent,
        }

    # --- frames

    def _hello(self, head: dict[str, Json], _body: bytes) -> None:
        request_id = wire.whole(head, "id")
        if self.name:
            raise BadRequest("hello: it was said before.")
        version = wire.whole(head, "version")
        if version != wire.VERSION:
            raise BadRequest(
                f"hello: this smapd speaks version {wire.VERSION}, not {version}.",
                hint="Install the same version of smapd on both sides.",
            )
        name = wire.text(head, "name", most=128)
        token = wire.text(head, "token", "", most=1000)
        if self._admit is not None:
            try:
                self._admit(name, token)
            except SmapError as error:
                self.refuse(request_id, error)
                return
        self.name = name
        if self._hello_timer is not None:
            self._hello_timer.discard()
            self._hello_timer = None
        self._hub.arrived(self, request_id, wire.text(head, "resume", ""))

    def _start(self, head: dict[str, Json], _body: bytes) -> None:
        request_id = wire.whole(head, "id")
        role = Role(head, self.name, self._send, self._hub.standing)
        self._end_role(role.kind)
        self._starting[role.kind] = role
        started = Deferred.fromCoroutine(role.begin(self._hub.assets, self._hub.streams))
        started.addCallbacks(
            lambda _: self._started(role, request_id),
            lambda failure: self._not_started(role, head, failure),
        )

    def _started(self, role: Role, request_id: int) -> None:
        if not role.is_over:
            del self._starting[role.kind]
            self._roles[role.kind] = role
            self._send(wire.ok(request_id))
            role.start(self._hub.exchanges, self._next_even)

    def _not_started(self, role: Role, head: dict[str, Json], failure: Failure) -> None:
        if not role.is_over:
            del self._starting[role.kind]
            self._refuse(head, failure)

    def _stop(self, head: dict[str, Json], _body: bytes) -> None:
        request_id = wire.whole(head, "id")
        kind = role_of(head)
        self._end_role(kind)
        if kind == FOLLOWER:
            self._requester.close()
        self._send(wire.ok(request_id))

    def _asset_done(self, head: dict[str, Json], _body: bytes) -> None:
        role = self._roles.get(role_of(head))
        seq = wire.whole(head, "seq")
        if role is not None:
            role.done(seq)

    def _publish(self, head: dict[str, Json], body: bytes) -> None:
        request_id = wire.whole(head, "id")
        if (
            self._publishing >= MOST_PUBLISHING
            or self._publishing_bytes + len(body) > PUBLISHING_BYTES
        ):
            raise Busy(f"{self._publishing} events of {self.name} wait for the disk already.")
        dedupe = wire.text(head, "dedupe", "")
        integrator = self._roles.get(INTEGRATOR)
        source = integrator.source if integrator is not None else self.name
        done = self._hub.publisher.publish(
            wire.text(head, "asset"),
            wire.text(head, "name"),
            wire.whole(head, "version"),
            wire.text(head, "form"),
            body,
            source=wire.text(head, "source", source),
            time_ms=wire.whole(head, "time_ms"),
            dedupe=f"{self.name}/{dedupe}" if dedupe else None,
        )
        self._publishing += 1
        self._publishing_bytes += len(body)
        done.addBoth(self._published, head, request_id, len(body))

    def _published(
        self, result: int | Failure, head: dict[str, Json], request_id: int, size: int
    ) -> None:
        self._publishing -= 1
        self._publishing_bytes -= size
        if isinstance(result, Failure):
            self._refuse(head, result)
        else:
            self._send(wire.ok(request_id, offset=result))

    def _ack(self, head: dict[str, Json], _body: bytes) -> None:
        asset, offset = wire.text(head, "asset"), wire.whole(head, "offset")
        role = self._roles.get(FOLLOWER)
        feed = None if role is None else role.events.get(asset)
        if feed is not None:
            feed.ack(offset)
        elif asset not in self._hub.assets and self._hub.assets.was(asset):
            pass  # it was deleted meanwhile
        else:
            raise BadRequest(f"ack: this session was given no events of {asset}.")

    def _open(self, head: dict[str, Json], body: bytes) -> None:
        request_id = wire.whole(head, "id")
        role = self._roles.get(FOLLOWER)
        if role is None or not role.t2:
            raise T2Unavailable(f"{self.name} has no follower with T2 = yes.")
        self._requester.open(head, body)
        self._send(wire.ok(request_id))

    def _chunk(self, head: dict[str, Json], body: bytes) -> None:
        provider = self._provider()
        if provider is not None:
            provider.chunk(head, body)

    def _end(self, head: dict[str, Json], _body: bytes) -> None:
        provider = self._provider()
        if provider is not None:
            provider.end(head)

    def _failed(self, head: dict[str, Json], _body: bytes) -> None:
        provider = self._provider()
        if provider is not None:
            provider.failed(head)

    # --- within

    def _end_role(self, kind: str) -> None:
        for role in (self._roles.pop(kind, None), self._starting.pop(kind, None)):
            if role is not None:
                role.leave()

    def _provider(self) -> Provider | None:
        role = self._roles.get(INTEGRATOR)
        return None if role is None else role.provider

    def _next_even(self) -> int:
        self._even += 2
        return self._even

    def _send(self, frame: Frame) -> None:
        if not self.is_closed:
            self.sent += 1
            self.peer.send(frame)

    def _refuse(self, head: dict[str, Json], why: SmapError | Failure) -> None:
        error: Any = why.value if isinstance(why, Failure) else why
        if isinstance(why, Failure) and not isinstance(error, SmapError):
            _log.failure("{op} of {name} failed", why, op=head.get("op"), name=self.name)
            error = SmapError(f"{head.get('op')}: something went wrong inside smapd; see its log.")
        request_id = head.get("id")
        self._send(wire.error(request_id if type(request_id) is int else None, error))

    def _no_hello(self) -> None:
        self._hello_timer = None
        self.bye(f"no hello came in {HELLO_S:g} s")
