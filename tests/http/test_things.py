"""GET /things: the WebSocket; the library's own client is at the other end, in memory."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from smapd.errors import BadRequest, Unauthorized
from smapd.http.websocket import MOST_WAITING, PING_S

TOKEN = b"0123456789abcdef0123456789abcdef"


class JsonFrames:
    """A frame is a value; its message is JSON."""

    MESSAGE_BYTES = 1000

    def encode(self, frame: Any) -> str | bytes:
        return frame if isinstance(frame, bytes) else json.dumps(frame)

    def decode(self, message: str | bytes) -> Any:
        if message == "bad":
            raise BadRequest("A frame's head is no JSON.")
        return message if isinstance(message, bytes) else json.loads(message)


class FakeHub:
    """Keeps what came."""

    def __init__(self) -> None:
        self.came: list[Any] = []
        self.lost_why: list[str] = []
        self.peer: Any = None
        self.admit: Any = None

    def connect(self, peer: Any, admit: Any = None) -> FakeHub:
        self.peer, self.admit = peer, admit
        return self

    def receive(self, frame: Any) -> None:
        self.came.append(frame)

    def lost(self, why: str) -> None:
        self.lost_why.append(why)


class FakeTwin:
    """Has a hub."""

    exchanges = None

    def __init__(self) -> None:
        self.hub = FakeHub()


class Client:
    """One that speaks WebSocket over a wire of the test's."""

    def __init__(self, served: Any, **headers: str) -> None:
        self.wire = served.connect()
        self.core = ClientProtocol(parse_uri("ws://localhost:8080/things"))
        request = self.core.connect()
        for name, value in headers.items():
            request.headers[name.replace("_", "-")] = value
        self.core.send_request(request)
        self.seen = 0
        self.frames: list[Frame] = []
        self.flush()

    def flush(self) -> None:
        for data in self.core.data_to_send():
            if data:
                self.wire.protocol.dataReceived(data)
        new = self.wire.value()[self.seen :]
        self.seen += len(new)
        if new:
            self.core.receive_data(new)
        self.frames += [f for f in self.core.events_received() if isinstance(f, Frame)]

    def say(self, data: Any) -> None:
        if isinstance(data, str):
            self.core.send_text(data.encode())
        else:
            self.core.send_binary(data)
        self.flush()

    def messages(self) -> list[Any]:
        """Of those that came: text as JSON, bytes as they are."""
        found = [f for f in self.frames if f.opcode in (Opcode.TEXT, Opcode.BINARY)]
        self.frames = []
        return [json.loads(f.data) if f.opcode is Opcode.TEXT else bytes(f.data) for f in found]


@pytest.fixture
def twin() -> FakeTwin:
    return FakeTwin()


@pytest.fixture
def served(serve: Any, twin: FakeTwin) -> Any:
    return serve(twin=twin, frames=JsonFrames())


def test_frames_go_both_ways(served: Any, twin: FakeTwin) -> None:
    """Text and bytes, in order, and pieces of one message put together."""
    client = Client(served)
    client.say('{"op": "hello"}')
    client.say(b"\x00\x01")
    client.core.send_text(b'{"op"', fin=False)
    client.core.send_continuation(b': "x"}', fin=True)
    client.flush()
    assert twin.hub.came == [{"op": "hello"}, b"\x00\x01", {"op": "x"}]
    twin.hub.peer.send({"op": "ok"})
    twin.hub.peer.send(b"abc")
    client.flush()
    assert client.messages() == [{"op": "ok"}, b"abc"]


def test_a_lost_connection_is_told_once(served: Any, twin: FakeTwin) -> None:
    """Whatever ends it."""
    client = Client(served)
    client.wire.loseConnection()
    assert len(twin.hub.lost_why) == 1
    twin.hub.peer.send({"op": "late"})


def test_a_client_that_closes_is_answered_and_told(served: Any, twin: FakeTwin) -> None:
    """With its close frame back, then the end."""
    client = Client(served)
    client.core.send_close(1000, "done")
    client.flush()
    assert twin.hub.lost_why == ["done"]
    assert client.core.close_rcvd is not None
    assert client.wire.is_closed


def test_the_hub_may_close_with_a_reason(served: Any, twin: FakeTwin) -> None:
    """What was sent before still arrives; a client that does not answer is cut off."""
    client = Client(served)
    twin.hub.peer.send({"op": "bye"})
    twin.hub.peer.close("replaced")
    new = client.wire.value()[client.seen :]
    served.reactor.advance(3)
    assert client.wire.is_closed
    client.core.receive_data(new)
    client.frames += [f for f in client.core.events_received() if isinstance(f, Frame)]
    assert client.messages() == [{"op": "bye"}]
    assert client.core.close_rcvd is not None
    assert client.core.close_rcvd.reason == "replaced"
    assert twin.hub.lost_why == []


def test_a_ping_is_answered_to_who_asked(served: Any, twin: FakeTwin) -> None:
    """By which the hub finds out whether a session is alive."""
    client = Client(served)
    answered: Deferred[None] = twin.hub.peer.ping()
    assert not answered.called
    client.flush()
    client.flush()
    assert answered.called


def test_a_peer_that_does_not_answer_two_pings_is_gone(served: Any, twin: FakeTwin) -> None:
    """A half-open connection is noticed."""
    client = Client(served)
    for _ in range(3):
        assert twin.hub.lost_why == []
        served.reactor.advance(PING_S + 0.1)
    assert twin.hub.lost_why == ["nothing came for 40 s"]
    assert client.wire.is_aborted


def test_a_peer_that_answers_pings_stays(served: Any, twin: FakeTwin) -> None:
    """For as long as it does."""
    client = Client(served)
    for _ in range(10):
        served.reactor.advance(PING_S + 0.1)
        client.flush()
        client.flush()
    assert twin.hub.lost_why == []


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"x" * 1001, "1001 bytes"), ("bad", "A frame's head is no JSON.")],
)
def test_what_is_too_large_or_no_frame_ends_it(
    served: Any, twin: FakeTwin, data: Any, why: str
) -> None:
    """Bad input: nothing of it reaches the hub, and the other end is told."""
    client = Client(served)
    client.say(data)
    assert twin.hub.came == []
    assert client.core.close_rcvd is not None
    assert why in twin.hub.lost_why[0] or "1000" in twin.hub.lost_why[0]


def test_bytes_that_are_no_websocket_end_it(served: Any, twin: FakeTwin) -> None:
    """Bad input."""
    client = Client(served)
    client.wire.protocol.dataReceived(b"\xff" * 20)
    assert len(twin.hub.lost_why) == 1
    assert client.wire.is_closed


def test_a_peer_that_does_not_read_is_cut_off_at_a_bound(served: Any, twin: FakeTwin) -> None:
    """Bounded memory."""
    client = Client(served)
    client.wire.protocol.pauseProducing()
    for _ in range(MOST_WAITING // 2**20 + 1):
        twin.hub.peer.send(b"x" * 2**20)
    assert client.wire.is_aborted
    assert len(twin.hub.lost_why) == 1


def test_a_peer_that_reads_again_is_kept(served: Any, twin: FakeTwin) -> None:
    """Only what waits counts."""
    client = Client(served)
    for _ in range(MOST_WAITING // 2**20 + 1):
        client.wire.protocol.pauseProducing()
        twin.hub.peer.send(b"x" * 2**20)
        client.wire.protocol.resumeProducing()
    assert not client.wire.is_aborted


def test_what_is_no_handshake_is_an_error_of_http(served: Any) -> None:
    """Bad input: by a sentence."""
    answer = served.get("/things")
    assert answer.status == 400
    assert "no WebSocket handshake" in answer.json["message"]


def test_a_page_of_another_origin_is_refused(served: Any, twin: FakeTwin) -> None:
    """A browser would send the visitor's own loopback along."""
    client = Client(served, Origin="http://evil.example")
    assert client.wire.value().startswith(b"HTTP/1.1 403 ")
    assert twin.hub.peer is None
    Client(served, Origin="http://localhost:8080")
    assert twin.hub.peer is not None


def test_the_token_may_come_in_the_head_or_in_the_hello(serve: Any, twin: FakeTwin) -> None:
    """SEC-02: without the right one nobody is admitted."""
    served = serve(twin=twin, frames=JsonFrames(), token=TOKEN)
    Client(served)
    for wrong in ("", "x", TOKEN.decode()[:-1]):
        with pytest.raises(Unauthorized):
            twin.hub.admit("pump", wrong)
    twin.hub.admit("pump", TOKEN.decode())
    Client(served, Authorization=f"Bearer {TOKEN.decode()}")
    twin.hub.admit("pump", "")


def test_a_stop_of_the_server_ends_it(served: Any, twin: FakeTwin) -> None:
    """It does not hold the stop up."""
    client = Client(served)
    done = served.site.close(1.0)
    assert done.called
    assert client.wire.is_closed
    assert len(twin.hub.lost_why) == 1


def test_a_message_in_pieces_without_end_holds_no_memory(served: Any, twin: FakeTwin) -> None:
    """Bounded: pieces are counted by their bytes, and empty ones are nothing."""
    client = Client(served)
    socket = twin.hub.peer._socket
    client.core.send_text(b'{"op": ', fin=False)
    client.flush()
    before = _size_of(socket)
    for _ in range(2_000):
        client.core.send_continuation(b"", fin=False)
    client.flush()
    assert _size_of(socket) == before
    client.core.send_continuation(b'"x"}', fin=True)
    client.flush()
    assert twin.hub.came == [{"op": "x"}]


def _size_of(socket: Any) -> int:
    kept = [v for v in vars(socket).values() if isinstance(v, list | bytearray | bytes)]
    return sum(map(sys.getsizeof, kept))


def test_a_flood_of_small_frames_is_looked_at_in_turns(served: Any, twin: FakeTwin) -> None:
    """A flood of one touches no neighbour: reading is held meanwhile, and nothing is lost."""
    client = Client(served)
    clock = served.site.clock
    clock.seconds = _Steps(clock.seconds)
    for n in range(20_000):
        client.core.send_text(b'{"n": %d}' % n)
    client.wire.protocol.dataReceived(b"".join(client.core.data_to_send()))
    first = len(twin.hub.came)
    assert 0 < first < 10_000
    assert client.wire.producerState == "paused"
    served.turn()
    assert first < len(twin.hub.came) < 20_000
    for _ in range(200):
        served.turn()
    assert [one["n"] for one in twin.hub.came] == list(range(20_000))
    assert client.wire.producerState == "producing"


def test_what_was_said_before_the_connection_went_counts(served: Any, twin: FakeTwin) -> None:
    """An ack that came with the end of a connection is not forgotten."""
    client = Client(served)
    clock = served.site.clock
    clock.seconds = _Steps(clock.seconds)
    for n in range(5_000):
        client.core.send_text(b'{"n": %d}' % n)
    client.wire.protocol.dataReceived(b"".join(client.core.data_to_send()))
    assert len(twin.hub.came) < 5_000
    client.wire.loseConnection()
    assert len(twin.hub.came) == 5_000
    assert len(twin.hub.lost_why) == 1


class _Steps:
    """A clock on which 10 ms pass between two looks."""

    def __init__(self, seconds: Any) -> None:
        self._seconds, self._looks = seconds, 0

    def __call__(self) -> float:
        self._looks += 1
        return float(self._seconds()) + self._looks * 0.01
