"""Bounds on what a client sends, and on how long it takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from smapd.http import channel as limits

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
GET = HEAD + b"\r\n"
POST = b"POST /readings HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
IDENTITY = b"Transfer-Encoding: identity\r\n"


def status(wire: Any) -> int:
    """The status of the first answer on this wire."""
    assert wire.value().startswith(b"HTTP/1.1 "), wire.value()
    return int(wire.value().split(b" ")[1])


def error(wire: Any) -> str:
    """The error code in the first answer; checks that the answer is ours, and whole."""
    head, _, body = wire.value().partition(b"\r\n\r\n")
    assert b"Content-Type: application/json" in head
    assert b"Connection: close" in head
    assert f"Content-Length: {len(body)}\r\n".encode() in head + b"\r\n"
    told = json.loads(body)
    assert set(told) == {"error", "message", "hint"}
    return str(told["error"])


def tick(served: Any, seconds: int) -> None:
    """Let this time go by."""
    for _ in range(seconds):
        served.reactor.advance(1)


# --- sizes


@pytest.mark.parametrize(
    ("sent", "code", "told"),
    [
        (b"GET /" + b"x" * 20_000, 414, "uri_too_long"),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", 414, "uri_too_long"),
        (HEAD + b"X: " + b"x" * 20_000, 431, "headers_too_long"),
        (HEAD + b"X: " + b"x" * 20_000 + b"\r\n\r\n", 431, "headers_too_long"),
        (HEAD + b"X: yyyyyyyyyyyyyyyyy\r\n" * 900 + b"\r\n", 431, "headers_too_long"),
        (HEAD + b"X: y\r\n" * 600 + b"\r\n", 431, "headers_too_long"),
        (b"nonsense\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", None, None),
        (b"GET  / HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (HEAD + b"no colon\r\n\r\n", 400, "bad_request"),
        (HEAD + b"no colon\r\nmore: x\r\n\r\n", 400, "bad_request"),
        (HEAD + b"Bad Name: x\r\n\r\n", 400, "bad_request"),
        (HEAD + b"X: a\0b\r\n\r\n", 400, "bad_request"),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400, "bad_request"),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400, "bad_request"),
        (HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "bad_request"),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 400, "bad_request"),
        (HEAD + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n", 400, "bad_request"),
        (HEAD + IDENTITY + CHUNKED + b"\r\n0\r\n\r\n", 400, "bad_request"),
        (HEAD + CHUNKED + IDENTITY + b"\r\n0\r\n\r\n", 400, "bad_request"),
        (HEAD + IDENTITY + IDENTITY + b"\r\n", 400, "bad_request"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "bad_request"),
        (POST + b"Content-Length: 16777217\r\n\r\n", 413, "too_large"),
        (POST + b"Content-Length: 99999999999999999999\r\n\r\n", 413, "too_large"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "bad_request"),
    ],
)
def test_what_is_too_long_or_malformed_is_told_so(
    served: Any, sent: bytes, code: int | None, told: str | None
) -> None:
    """SEC-06: head, body and form have bounds; over them is 4xx with our JSON, never a hang."""
    for step in (len(sent), 1000, 7):
        wire = served.connect()

        for at in range(0, len(sent), step):
            wire.protocol.dataReceived(sent[at : at + step])

        if code is None:
            assert status(wire) < 500
        else:
            assert (status(wire), error(wire)) == (code, told)
            assert wire.value().count(b"HTTP/1.1 ") == 1
            tick(served, limits.DRAIN_S + 1)
            assert wire.is_closed
    assert served.site.counts.incidents == 0


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (HEAD + b"X: y\r\n" * 600 + b"\r\n", b"HTTP/1.1 431 Request Header Fields Too Large\r\n"),
        (b"GET /" + b"x" * 20_000, b"HTTP/1.1 414 Request-URI Too Long\r\n"),
    ],
)
def test_a_refusal_names_its_status(served: Any, sent: bytes, line: bytes) -> None:
    """SEC-06: in the words of its RFC."""
    wire = served.connect()

    wire.protocol.dataReceived(sent)

    assert wire.value().startswith(line)


def test_a_head_that_is_refused_has_no_body(served: Any) -> None:
    """SM-20: as every answer to HEAD."""
    wire = served.connect()

    wire.protocol.dataReceived(
        b"HEAD / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1\r\n\r\nx"
    )

    assert status(wire) == 403
    assert wire.value().endswith(b"\r\n\r\n")


def test_a_body_that_grows_too_large_is_stopped_on_its_way(serve: Any) -> None:
    """SEC-06: 413 also for a body in chunks, which does not say how long it will be."""
    served = serve(max_body=1000)
    wire = served.connect()
    wire.protocol.dataReceived(POST + b"Transfer-Encoding: chunked\r\n\r\n")

    for _ in range(20):
        wire.protocol.dataReceived(b"64\r\n" + b"x" * 100 + b"\r\n")

    assert (status(wire), error(wire)) == (413, "too_large")
    assert wire.value().count(b"HTTP/1.1 ") == 1
    assert served.site._bodies.used == 0


def test_after_a_refusal_what_still_comes_is_thrown_away(served: Any) -> None:
    """SEC-06: a client that is still sending gets to read its answer, for a few seconds."""
    wire = served.connect()
    wire.protocol.dataReceived(POST + b"Content-Length: 99999999\r\n\r\n")
    wire.protocol.dataReceived(b"x" * 1_000_000 + GET)

    assert not wire.is_closed
    assert wire.value().count(b"HTTP/1.1 ") == 1

    tick(served, limits.DRAIN_S + 1)
    assert wire.is_closed


def test_all_bodies_together_have_a_bound(serve: Any) -> None:
    """SEC-06: a thousand connections cannot hold a thousand bodies; 503, and nothing is taken."""
    served = serve(max_body=1000)
    wires = [served.connect() for _ in range(5)]
    for wire in wires:
        wire.protocol.dataReceived(POST + b"Content-Length: 1000\r\n\r\n" + b" " * 999)

    assert [wire.value()[:13] for wire in wires] == [b""] * 4 + [b"HTTP/1.1 503 "]
    assert b"Retry-After: 1\r\n" in wires[4].value()
    assert served.site._bodies.used == 4 * 999

    wires[0].loseConnection()
    wires[1].protocol.dataReceived(b" ")
    assert status(wires[1]) == 400
    assert served.site._bodies.used == 2 * 999


def test_expect_is_answered_when_the_body_is_wanted(served: Any) -> None:
    """SEC-06: 100 first, then the answer."""
    wire = served.connect()
    wire.protocol.dataReceived(POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert wire.value() == b"HTTP/1.1 100 Continue\r\n\r\n"

    wire.protocol.dataReceived(b"{}")

    assert wire.value().endswith(b'{"Readings":0}')


# --- times


@pytest.mark.parametrize("begun", [b"G", HEAD, HEAD + b"X: y\r\n", b"\r\n"])
def test_a_head_that_does_not_end_is_408(served: Any, begun: bytes) -> None:
    """SEC-06: 30 seconds for all of the head, however slowly it trickles."""
    wire = served.connect()
    wire.protocol.dataReceived(begun)

    for _ in range(limits.HEADERS_S - 2):
        tick(served, 1)
        wire.protocol.dataReceived(b"X")
    assert wire.value() == b""
    tick(served, 3)

    assert (status(wire), error(wire)) == (408, "too_slow")


def test_a_body_that_does_not_come_is_408(served: Any) -> None:
    """SEC-06: time for a body is bounded, by its length."""
    wire = served.connect()
    wire.protocol.dataReceived(POST + b"Content-Length: 320000\r\n\r\n")

    tick(served, limits.HEADERS_S + 5)
    assert wire.value() == b""
    tick(served, 8)

    assert (status(wire), error(wire)) == (408, "too_slow")
    assert served.site._bodies.used == 0


@pytest.mark.parametrize("first", [b"", GET])
def test_an_idle_connection_is_closed(served: Any, first: bytes) -> None:
    """SEC-06: after a minute without a request, silently."""
    wire = served.connect()
    if first:
        wire.protocol.dataReceived(first)
    answered = wire.value()

    tick(served, limits.IDLE_S - 2)
    assert not wire.is_closed
    tick(served, 4)

    assert wire.is_closed
    assert wire.value() == answered


def test_a_connection_in_use_stays_open(served: Any) -> None:
    """SM-20: each request begins the minute anew."""
    wire = served.connect()

    for _ in range(10):
        wire.protocol.dataReceived(GET)
        tick(served, limits.IDLE_S - 5)

    assert not wire.is_closed
    assert wire.value().count(b"HTTP/1.1 200 OK") == 10


def test_a_client_that_does_not_close_is_broken_off(served: Any) -> None:
    """SEC-06: a peer that never takes our goodbye does not keep the connection."""
    wire = served.connect()
    wire.loseConnection = lambda: None  # what is unsent holds a real one open

    tick(served, limits.IDLE_S + limits.ABORT_S + 3)

    assert wire.is_aborted


def test_without_connections_no_timer_runs(served: Any) -> None:
    """SEC-06: an idle server does not wake up."""
    wire = served.connect()
    assert served.reactor.getDelayedCalls()

    wire.loseConnection()

    assert served.reactor.getDelayedCalls() == []


# --- connections


def test_connections_beyond_the_most_are_503(serve: Any) -> None:
    """SEC-06: told so, then closed; one that ends makes room."""
    served = serve(max_connections=2)
    wires = [served.connect() for _ in range(3)]

    assert (status(wires[2]), error(wires[2])) == (503, "busy")
    assert wires[2].is_closed
    assert served.site.counts.surplus == 1

    wires[0].loseConnection()
    again = served.connect()
    again.protocol.dataReceived(GET)
    assert status(again) == 200


def test_requests_may_come_in_one_piece(served: Any) -> None:
    """SM-20: pipelined requests are answered in order, on one connection."""
    wire = served.connect()

    wire.protocol.dataReceived(GET * 50 + HEAD + b"Connection: close\r\n\r\n" + GET)

    assert wire.value().count(b"HTTP/1.1 200 OK") == 51
    assert wire.value().count(b"Connection: close") == 1
    assert wire.is_closed


def test_closing_ends_idle_connections_and_waits_for_the_rest(served: Any) -> None:
    """SEC-06: at stop, open answers finish and nothing new is taken."""
    idle, busy = served.connect(), served.connect()
    busy.protocol.dataReceived(POST + b"Content-Length: 2\r\n\r\n")
    ended: list[None] = []

    served.site.close(1.0).addCallback(ended.append)

    assert idle.is_closed
    assert served.site.buildProtocol(idle.getPeer()) is None
    assert not ended
    busy.protocol.dataReceived(b"{}")
    assert busy.value().endswith(b'{"Readings":0}')
    assert b"Connection: close" in busy.value()
    assert busy.is_closed
    assert ended == [None]
    assert served.reactor.getDelayedCalls() == []


def test_closing_breaks_off_what_does_not_end(served: Any) -> None:
    """SEC-06: after its deadline nothing is waited for."""
    wire = served.connect()
    wire.protocol.dataReceived(HEAD)
    ended: list[None] = []

    served.site.close(1.0).addCallback(ended.append)
    served.reactor.advance(1.1)

    assert wire.is_aborted
    assert ended == [None]


def test_closing_with_no_connections_is_over_at_once(served: Any) -> None:
    """SEC-06: nothing to wait for."""
    ended: list[None] = []

    served.site.close().addCallback(ended.append)

    assert ended == [None]


def test_a_peer_of_another_machine_is_not_loopback(serve: Any) -> None:
    """SEC-01: where the connection comes from counts too."""
    served = serve()

    assert served.ask("GET", "/", peer="192.0.2.1").status == 403
    assert served.ask("GET", "/", peer="127.0.0.9").status == 200
