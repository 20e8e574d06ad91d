"""Programs for tests: an integrator, a follower, their types, and a home thread for the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from smapd.runtime.program import Flag, Mailbox, ProgramThread, Reply, spawn
from smapd.testing import FakePeer
from smapd.twin import (
    AssetEvent,
    Client,
    Follower,
    FollowerCallbacks,
    Integrator,
    IntegratorCallbacks,
    T2Request,
    field,
)
from smapd.twin.links import DirectLink
from tests.twin.things import House


class Said(AssetEvent):
    """Somebody said something."""

    @classmethod
    def _known_versions(cls) -> dict[int, Any]:
        words = field("words", "string", doc="What was said")
        return {1: {"type": "record", "name": "Said", "fields": [words]}}


class NoThread(ProgramThread):
    """In place of the call thread: the test calls ``client.run_calls()``."""

    def __init__(self) -> None:
        pass

    def is_alive(self) -> bool:
        return False

    def is_current(self) -> bool:
        return False

    def join(self, timeout_s: float | None = None) -> bool:
        return True


def no_thread(name: str, f: Callable[[], object]) -> ProgramThread:
    return NoThread()


class Heard(IntegratorCallbacks):
    """An integrator's callbacks that keep what they hear."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        self.requests: list[T2Request] = []

    def on_asset_created(self, asset_id: str) -> None:
        self.heard.append(("created", asset_id))

    def on_asset_deleted(self, asset_id: str) -> None:
        self.heard.append(("deleted", asset_id))

    def on_t2_request(self, request: T2Request) -> None:
        self.requests.append(request)


class Followed(FollowerCallbacks):
    """A follower's callbacks that keep what they hear."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        self.events: list[AssetEvent] = []
        self.internal: list[AssetEvent] = []

    def on_asset_created(self, asset_id: str) -> None:
        self.heard.append(("created", asset_id))

    def on_asset_deleted(self, asset_id: str) -> None:
        self.heard.append(("deleted", asset_id))

    def on_event(self, event: AssetEvent) -> None:
        self.events.append(event)

    def on_event_internal(self, event: AssetEvent) -> None:
        self.internal.append(event)


class Played:
    """A client whose hub is the test, without a thread."""

    def __init__(self, name: str = "bom", **config: Any) -> None:
        self.peer = FakePeer(online=config.pop("online", True))
        self.client = Client(name=name, link=self.peer, spawn=no_thread)
        self.heard, self.followed = Heard(), Followed()
        self.config = config

    def integrator(self, **config: Any) -> Integrator:
        made = Integrator(config, self.client, self.heard)
        made.start()
        return made

    def follower(self, **config: Any) -> Follower:
        made = Follower(config, self.client, self.followed)
        made._types.add(Said)
        made.start()
        return made

    def asset(self, role: str, kind: str, asset: str, seq: int) -> None:
        self.peer.say("asset", role=role, kind=kind, asset=asset, seq=seq)
        self.client.run_calls()

    def event(self, asset: str, offset: int, words: str = "hi", **more: Any) -> None:
        head: dict[str, Any] = {
            "name": "Said",
            "version": 1,
            "source": "radio",
            "time_ms": 1_700_000_000_000,
            "systime_ms": 1_700_000_001_000,
            "form": "json",
        }
        body = more.pop("body", b'{"words":"%s"}' % words.encode())
        self.peer.say("event", body, **{**head, **more}, asset=asset, offset=offset)
        self.client.run_calls()

    def request(self, x: int, type_: str = "Sum", data: bytes = b"", credit: int = 2**22) -> None:
        head = {"asset": "a", "type": type_, "mime": "text/plain", "credit": credit}
        self.peer.say("request", data, x=x, **head)
        self.client.run_calls()


class Home:
    """A thread that is the reactor's for a ``House``; its fake time goes with the real one."""

    TICK_S = 0.01

    def __init__(self, house: House) -> None:
        self.house = house
        self._mail: Mailbox[Callable[[], object] | None] = Mailbox()
        self._stopped = Flag()
        self._thread = spawn("home", self._run)

    def to_reactor(self, f: Callable[..., Any], *a: Any, wait: bool = True) -> Any:
        """As ``IThreads`` has it."""
        if self._thread.is_current():
            return f(*a)
        if not wait:
            self._mail.put(lambda: f(*a))
            return None
        reply: Reply[Any] = Reply()
        self._mail.put(lambda: reply.give(f(*a)))
        return reply.take(10)

    def link(self) -> DirectLink:
        run = self.house.run
        return DirectLink(self.house.twin.hub, self.to_reactor, run.clock, run.backoff())

    def client(self, name: str) -> Client:
        return Client(name=name, link=self.link())

    def stop(self) -> None:
        self._mail.put(None)
        assert self._thread.join(10)

    def _run(self) -> None:
        while True:
            try:
                job = self._mail.take(self.TICK_S)
            except TimeoutError:
                self.house.run.advance(self.TICK_S)
                continue
            if job is None:
                return
            job()
            self.house.run.advance(0.0)


@contextmanager
def home(*assets: str, **more: Any) -> Iterator[Home]:
    """A house with these assets, on a thread of its own."""
    at = Home(House(assets=assets, **more))
    try:
        yield at
    finally:
        at.stop()


def until(what: Callable[[], object], limit_s: float = 10.0) -> None:
    """Wait until it is true: for another thread, which tells nobody."""
    waits = Flag()
    for _ in range(round(limit_s / 0.005)):
        if what():
            return
        waits.wait(0.005)
    raise AssertionError("it did not become true in time")
