"""The two links: within the daemon, and over a WebSocket to a hub that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from smapd.errors import BadRequest, Busy, NotConnected, Unauthorized
from smapd.options import Secret
from smapd.runtime.program import Flag, Mailbox, ProgramLoop, spawn
from smapd.twin import Client, EventPublishFailure, Integrator
from smapd.twin.links import MOST_FRAMES, DirectLink, Outbox
from smapd.twin.weblink import WebSocketLink, things_url
from smapd.twin.wire import Frame, decode, encode, ok
from tests.twin.programs import Heard, Said, no_thread, until
from tests.twin.things import House

# --- the outbox


def test_the_outbox_is_bounded_for_who_can_wait() -> None:
    """Bounded: frames and bytes."""
    box: Outbox[int] = Outbox()
    assert box.put(1, 0, patient=False) is False
    box.open()
    for n in range(MOST_FRAMES + 1):
        assert box.put(n, 0, patient=False)

    assert box.take(3) == [0, 1, 2]
    assert len(box) == MOST_FRAMES - 2
    box.close()
    assert box.put(1, 0, patient=True) is False
    assert box.take(1) == [3]


@pytest.mark.real
def test_a_patient_one_waits_for_room() -> None:
    """Bounded: 8 MiB."""
    box: Outbox[int] = Outbox()
    box.open()
    box.put(1, 2**24, patient=False)
    done = Flag()

    waiting = spawn("puts", lambda: box.put(2, 1, patient=True) and done.set())
    assert not waiting.join(0.02)
    box.take(1)

    assert waiting.join(10)
    assert done.is_set()


# --- in the daemon


def direct(house: House, name: str = "x") -> tuple[Client, DirectLink]:
    run = house.run
    link = DirectLink(house.twin.hub, run.threads.to_reactor, run.clock, run.backoff())
    return Client(name=name, link=link, spawn=no_thread), link


def test_a_direct_link_connects_and_ends() -> None:
    """IN-13: without a socket."""
    house = House(assets=("a",))
    client, _link = direct(house)

    client.open()
    assert client.is_connected
    assert [one["name"] for one in house.twin.hub.status()] == ["x"]
    assert client.close()
    assert not client.is_connected
    assert house.twin.hub.status() == []


def test_a_direct_link_that_is_dropped_comes_back_after_a_pause() -> None:
    """IN-17: 1 s, then 1.5 s."""
    house = House()
    client, link = direct(house)
    client.open()

    link.drop()
    assert not client.is_connected
    with pytest.raises(NotConnected, match="x is not connected: the connection was|gave it up"):
        client.ask({"op": "stop", "role": "follower"})
    house.run.advance(1.0)

    assert client.is_connected
    assert client.lost_count == 1


def test_what_an_answer_makes_the_client_send_keeps_its_order() -> None:
    """Frames of one client reach the hub in the order they were sent."""
    house = House(assets=("a", "b"))
    seen: list[str] = []
    client, _link = direct(house)
    client.open()
    session = next(iter(house.twin.hub._sessions))
    receive = session.receive
    session.receive = lambda frame: (seen.append(frame.head["op"]), receive(frame))  # type: ignore[method-assign,assignment,func-returns-value]

    Integrator({}, client, Heard()).start()
    house.run.advance(0)
    client.run_calls()

    assert seen == ["start", "asset_done", "asset_done"]


def test_a_daemon_that_drowns_refuses_frames() -> None:
    """Bounded: what the reactor has no room for is said at once."""

    def full(f: Any, *a: Any, wait: bool = True) -> None:
        raise Busy

    house = House()
    link = DirectLink(house.twin.hub, full, house.run.clock, house.run.backoff())
    link.open(Client(name="x", link=link, spawn=no_thread))

    assert link.send(Frame({"op": "hello"})) is False


def test_a_link_whose_daemon_drowned_once_is_not_silent_for_ever() -> None:
    """Nothing hangs: the next frame takes those that wait along."""
    house = House(assets=("a",))
    busy = False

    def reactor(f: Any, *a: Any, wait: bool = True) -> Any:
        if busy:
            raise Busy
        return house.run.threads.to_reactor(f, *a, wait=wait)

    link = DirectLink(house.twin.hub, reactor, house.run.clock, house.run.backoff())
    client = Client(name="x", link=link, spawn=no_thread)
    client.open()
    follower = {"op": "start", "id": 7, "role": "follower"}

    busy = True
    assert link.send(Frame(dict(follower))) is False
    busy = False
    assert link.send(Frame({**follower, "id": 8})) is True

    (shown,) = house.twin.hub.status()
    assert shown["frames_in"] == 3  # with the hello


# --- over a WebSocket


@pytest.mark.parametrize(
    ("url", "things"),
    [
        ("http://h:8080", "ws://h:8080/things"),
        ("https://h/", "wss://h/things"),
        ("wss://h/plant/", "wss://h/plant/things"),
        ("ws://h/things", "ws://h/things"),
    ],
)
def test_the_url_of_the_websocket_follows_from_the_daemons(url: str, things: str) -> None:
    """IN-13."""
    assert things_url(url) == things


class Server:
    """Answers as a hub does when all goes well; says what came."""

    def __init__(self) -> None:
        self.frames: Mailbox[Frame] = Mailbox()
        self.headers: Mailbox[str] = Mailbox()
        self.url = ""
        self.status = 0
        self._ready = Flag()
        self._loop = ProgramLoop("server")
        self._over: asyncio.Event | None = None
        self._open: set[ServerConnection] = set()
        self._loop.start(self._main)
        assert self._ready.wait(10)

    def cut(self) -> None:
        """Cut every connection."""
        self._loop.call(lambda: [one.transport.abort() for one in self._open])

    def say(self, message: str | bytes) -> None:
        self._loop.call(lambda: [asyncio.ensure_future(one.send(message)) for one in self._open])

    def stop(self) -> None:
        assert self._over is not None
        self._loop.call(self._over.set)
        assert self._loop.join(10)

    async def _main(self) -> None:
        self._over = asyncio.Event()
        async with serve(self._serve, "127.0.0.1", 0, process_request=self._look) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            self.url = f"http://127.0.0.1:{port}"
            self._ready.set()
            await self._over.wait()

    def _look(self, socket: ServerConnection, request: Any) -> Any:
        self.headers.put(request.headers.get("Authorization", ""))
        return socket.respond(self.status, "no") if self.status else None

    async def _serve(self, socket: ServerConnection) -> None:
        self._open.add(socket)
        try:
            async for message in socket:
                frame = decode(message)
                self.frames.put(frame)
                if "id" in frame.head:
                    more = {"offset": 0} if frame.head["op"] == "publish" else {"session": "s"}
                    await socket.send(encode(ok(frame.head["id"], **more)))
        finally:
            self._open.discard(socket)


@contextmanager
def server() -> Iterator[Server]:
    one = Server()
    try:
        yield one
    finally:
        one.stop()


def web(url: str, token: str | None = None) -> Client:
    link = WebSocketLink(url, Secret(token) if token else None, name="w", rng=lambda: 0.5)
    link._backoff._pause_s = link._backoff._first_s = 0.02  # type: ignore[attr-defined]
    return Client(name="w", link=link)


@pytest.mark.real
def test_a_client_speaks_over_a_websocket() -> None:
    """IN-13, IN-15: hello, start, publish; the token goes in the header."""
    with server() as hub:
        client = web(hub.url, "open sesame")
        integrator = Integrator({}, client, Heard())
        integrator.start()
        assert integrator.publish_event(Said("a", data={"words": "x"})) == 0
        assert client.close()
        ops = [hub.frames.take(1) for _ in range(len(hub.frames))]

    assert [frame.head["op"] for frame in ops][:3] == ["hello", "start", "publish"]
    assert ops[2].body == b'{"words":"x"}'
    assert hub.headers.take(1) == "Bearer open sesame"


@pytest.mark.real
def test_a_lost_websocket_comes_back_and_starts_the_role_again() -> None:
    """IN-17, IN-18: over an outage; the client says who it was."""
    with server() as hub:
        client = web(hub.url)
        integrator = Integrator({}, client, Heard())
        integrator.start()
        hub.cut()
        until(lambda: client.lost_count)
        offset = integrator.publish_event(Said("a", data={"words": "x"}), retry=True)
        assert client.close()
        heads = [hub.frames.take(1).head for _ in range(len(hub.frames))]

    assert offset == 0
    assert [head["op"] for head in heads[:4]] == ["hello", "start", "hello", "start"]
    assert heads[2]["resume"] == "s"


@pytest.mark.real
def test_without_a_daemon_the_start_goes_on_and_publish_fails_soon(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """IN-17: the sentence names the address; said once in the log."""
    monkeypatch.setattr("smapd.twin.client.START_S", 0.1)
    client = web("http://127.0.0.1:1")
    integrator = Integrator({}, client, Heard())
    integrator.start()

    with pytest.raises(EventPublishFailure, match=r"ws://127.0.0.1:1/things cannot be reached"):
        integrator.publish_event(Said("a", data={"words": "x"}))
    assert client.close()

    assert "goes on without a connection" in caplog.text
    assert caplog.text.count("cannot be reached: ") <= 2


@pytest.mark.real
def test_a_token_that_is_refused_is_an_error_at_start() -> None:
    """IN-14: Unauthorized says what to do."""
    with server() as hub:
        hub.status = 401
        client = web(hub.url, "wrong")
        with pytest.raises(Unauthorized, match="wants a token that fits"):
            Integrator({}, client, Heard()).start()
        assert client.close()


@pytest.mark.real
@pytest.mark.parametrize(
    "nonsense", ["{", '{"no": 1}', b"\x00", b"\xff\xff\xff\xff", '"text"', '{"op":"request"}']
)
def test_a_server_that_talks_nonsense_is_left_and_tried_again(nonsense: str | bytes) -> None:
    """Hostile: nothing hangs, nothing breaks."""
    with server() as hub:
        client = web(hub.url)
        integrator = Integrator({}, client, Heard())
        integrator.start()
        hub.say(nonsense)
        until(lambda: client.lost_count)
        assert integrator.publish_event(Said("a", data={"words": "x"}), retry=True) == 0
        assert client.close()


def test_a_frame_that_is_too_large_is_refused_where_it_is_sent() -> None:
    """Bounded: a message has at most 2 MiB."""
    link = WebSocketLink("http://h")
    link._loop = ProgramLoop("never")

    with pytest.raises(BadRequest, match="too large"):
        link.send(Frame({"op": "publish"}, bytes(2**21)))
    assert link.close(0)
