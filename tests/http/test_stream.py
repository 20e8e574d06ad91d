"""Answers that go out in pieces."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from smapd.core import SmapInstance
from smapd.http import stream

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"
GET_ALL = b"GET /data/+ HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def big() -> SmapInstance:
    """A tree of 20,000 series: 4 MB of JSON."""
    tree = SmapInstance(ROOT)
    for c in range(100):
        for s in range(200):
            tree.add_timeseries(f"/c{c}/s{s}", f"{c}.{s}", "kW", timezone="UTC")
    return tree


def body_of(data: bytes) -> bytes:
    """The body of one answer in chunks; None-ending chunks are left to the caller."""
    head, _, rest = data.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return body


def wanted(tree: SmapInstance) -> dict[str, Any]:
    return {p: json.loads(json.dumps(n.as_json(), default=str)) for p, n in tree.walk("/")}


def test_a_large_tree_comes_whole_and_in_order(serve: Any, big: SmapInstance) -> None:
    """SM-20: /+ of more than fits one piece is one JSON object all the same."""
    answer = serve(big).get("/data/+")

    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.json == wanted(big)
    assert list(answer.json)[:3] == ["/", "/c0", "/c0/s0"]


def test_a_small_tree_comes_in_one_piece_with_its_length(served: Any) -> None:
    """SM-20: what is ready at once has a Content-Length."""
    assert served.get("/data/+").headers["content-length"]


def test_it_comes_packed_when_asked(serve: Any, big: SmapInstance) -> None:
    """SM-20: streams are packed too."""
    answer = serve(big).get("/data/+", Accept_Encoding="gzip")

    assert answer.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(answer.body)) == wanted(big)


def test_the_reactor_has_its_turn_between_pieces(serve: Any, big: SmapInstance) -> None:
    """SEC-06: no turn encodes more than a bounded number of nodes, however many clients ask."""
    served = serve(big)
    wires = [served.connect() for _ in range(4)]
    for wire in wires:
        wire.protocol.dataReceived(GET_ALL)
    seen = [len(wire.value()) for wire in wires]

    turns = 0
    while served.site._pacer.running:
        served.turn()
        now = [len(wire.value()) for wire in wires]
        grown = sum(now) - sum(seen)
        most = stream._TURN_PIECES * stream.PIECE_NODES * 250 + len(wires) * stream.WHOLE_BYTES * 2
        assert grown <= most
        seen, turns = now, turns + 1

    assert turns > 4 * 20_000 / (stream._TURN_PIECES * stream.PIECE_NODES) / 2
    assert all(json.loads(body_of(wire.value())) for wire in wires)


def test_a_piece_ends_early_where_nodes_are_heavy(serve: Any) -> None:
    """SEC-06: a series with thousands of readings does not make a piece long in time."""
    served = serve()
    served.site._pacer._clock.seconds = iter(range(10_000)).__next__  # a second at each look

    piece = served.site._pacer.encode_piece(heavy(100), False)

    assert len(json.loads(b"{" + piece + b"}")) == stream._LOOK_EACH


def heavy(count: int) -> Iterator[tuple[str, Any]]:
    class Node:
        def as_json(self, quality: bool) -> dict[str, Any]:
            return {"Readings": []}

    return ((f"/{i}", Node()) for i in range(count))


def test_a_client_that_does_not_read_stops_its_own_answer(serve: Any, big: SmapInstance) -> None:
    """SEC-06: memory for a piece, not for the tree; the others go on."""
    served = serve(big)
    slow, quick = served.connect(), served.connect()
    slow.slow = True
    for wire in (slow, quick):
        wire.protocol.dataReceived(GET_ALL)

    for _ in range(2000):
        served.turn()

    assert json.loads(body_of(quick.value()))
    held = len(slow.value())
    assert held < 3 * stream.WHOLE_BYTES

    slow.producer.resumeProducing()
    served.turn()
    assert len(slow.value()) > held
    slow.slow = False
    slow.producer.resumeProducing()
    for _ in range(2000):
        served.turn()
    assert json.loads(body_of(slow.value())) == wanted(big)


def test_a_client_that_takes_nothing_for_a_minute_is_cut_off(serve: Any, big: SmapInstance) -> None:
    """SEC-06: a stalled answer does not hold its place for ever."""
    served = serve(big)
    wire = served.connect()
    wire.slow = True
    wire.protocol.dataReceived(GET_ALL)
    served.turn()
    assert served.site._pacer.running == 1

    for _ in range(62):
        served.reactor.advance(1)

    assert wire.is_aborted
    assert served.site._pacer.running == 0


def test_a_client_that_goes_away_ends_the_work(serve: Any, big: SmapInstance) -> None:
    """SEC-06: nothing is encoded for nobody."""
    served = serve(big)
    wire = served.connect()
    wire.protocol.dataReceived(GET_ALL)
    served.turn()

    wire.loseConnection()

    assert served.site._pacer.running == 0
    assert not served.reactor.getDelayedCalls() or served.reactor.advance(5) is None
    assert served.reactor.getDelayedCalls() == []
    assert served.site.counts.incidents == 0


def test_too_many_large_answers_at_once_are_busy(serve: Any, big: SmapInstance) -> None:
    """SEC-06: beyond 64 under way the next is 503 with Retry-After; a small one still goes."""
    served = serve(big)
    for _ in range(stream.MOST_STREAMS):
        served.connect().protocol.dataReceived(GET_ALL)
    last = served.connect()

    last.protocol.dataReceived(GET_ALL)

    head, _, body = last.value().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1" in head
    assert json.loads(body)["error"] == "busy"


def test_the_tree_may_change_under_way(serve: Any, big: SmapInstance) -> None:
    """SM-20: nodes that come and go while an answer is sent do not break it."""
    served = serve(big)
    wire = served.connect()
    wire.protocol.dataReceived(GET_ALL)

    big.remove("/c99")
    big.remove("/c50/s7")
    big.add_timeseries("/c98/new", "new", "V")
    while served.site._pacer.running:
        served.turn()

    found = json.loads(body_of(wire.value()))
    assert "/c99/s0" not in found
    assert "/c50/s7" not in found
    assert "/c98/s199" in found


class Broken(SmapInstance):
    """A tree with a node, far down, that cannot be shown."""

    def walk(self, path: str) -> Any:
        for n, pair in enumerate(super().walk(path)):
            if n == 15_000:
                raise RuntimeError("a secret of the inside")
            yield pair


def test_a_bug_under_way_cuts_the_connection(serve: Any) -> None:
    """SEC-06: a piece is never taken for the whole; the log has the incident."""
    tree = Broken(ROOT)
    for s in range(20_000):
        tree.add_timeseries(f"/c{s % 50}/s{s}", f"{s}", "kW")
    served = serve(tree)
    wire = served.connect()
    wire.protocol.dataReceived(GET_ALL)

    for _ in range(1000):
        served.turn()

    assert wire.is_aborted
    assert not wire.value().endswith(b"0\r\n\r\n")
    assert b"secret" not in wire.value()
    assert served.site.counts.incidents == 1
    assert served.site._pacer.running == 0


def test_an_old_client_gets_it_up_to_the_end_of_the_connection(
    serve: Any, big: SmapInstance
) -> None:
    """SM-20: HTTP/1.0 knows no chunks."""
    served = serve(big)
    wire = served.connect()
    wire.protocol.dataReceived(
        b"GET /data/+ HTTP/1.0\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n"
    )

    while served.site._pacer.running:
        served.turn()

    head, _, body = wire.value().partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert b"Connection: close" in head
    assert wire.is_closed
    assert json.loads(zlib.decompress(body, 31)) == wanted(big)


def test_the_next_request_on_the_connection_waits_for_its_turn(
    serve: Any, big: SmapInstance
) -> None:
    """SM-20: answers come in the order of the requests."""
    served = serve(big)
    wire = served.connect()
    wire.protocol.dataReceived(GET_ALL + b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")

    while served.site._pacer.running:
        served.turn()

    first, _, second = wire.value().partition(b"\r\n0\r\n\r\n")
    assert first.count(b"HTTP/1.1 200 OK") == 1
    assert second.startswith(b"HTTP/1.1 200 OK")
    assert second.endswith(b'{"Contents":["data","docs","reports"]}')
