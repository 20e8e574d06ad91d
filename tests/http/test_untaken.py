"""A client that asks and does not read: what it costs, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from smapd.http import channel as limits
from smapd.http import site as site_limits

WHOLE = b"GET /data/a/b/t HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /data HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def slow(served: Any) -> Any:
    """A connection whose client takes nothing until ``take`` is called."""
    wire = served.connect()
    wire.slow = True
    return wire


def take(wire: Any) -> None:
    """The client takes all that was written so far."""
    wire.protocol.resumeProducing()


def answers(wire: Any) -> int:
    return int(wire.value().count(b"HTTP/1.1 "))


def untaken(served: Any) -> int:
    return int(served.status.snapshot()["http"]["untaken_bytes"])


def tick(served: Any, seconds: int) -> None:
    for _ in range(seconds):
        served.reactor.advance(1)


def test_the_next_request_waits_until_the_answer_is_taken(served: Any) -> None:
    """SEC-06: requests in one piece are answered one by one, as the client reads; none is lost."""
    wire = slow(served)

    wire.protocol.dataReceived(WHOLE * 20)
    found = [answers(wire)]
    for _ in range(5):
        take(wire)
        found.append(answers(wire))
    wire.slow = False
    take(wire)

    assert found == [1, 2, 3, 4, 5, 6]
    assert answers(wire) == 20
    assert untaken(served) == 0


def test_requests_that_come_one_by_one_wait_too(served: Any) -> None:
    """SEC-06: the bound holds however the bytes come."""
    wire = slow(served)

    for at in range(0, len(WHOLE) * 20, 7):
        wire.protocol.dataReceived((WHOLE * 20)[at : at + 7])
    assert answers(wire) == 1
    wire.slow = False
    take(wire)

    assert answers(wire) == 20


@pytest.mark.parametrize(
    "first", [WHOLE, WHOLE.replace(b"/data/a/b/t", b"/data/+")], ids=["series", "below"]
)
def test_what_is_sent_ahead_is_read_up_to_a_bound(serve: Any, first: bytes) -> None:
    """SEC-06: beside an answer not taken the socket is not read; afterwards it is again."""
    served = serve()
    wire = slow(served)
    wire.protocol.dataReceived(first)

    read = 0
    while wire.producerState == "producing":
        wire.protocol.dataReceived(WHOLE * 100)
        read += len(WHOLE) * 100
        assert read < 100_000
    assert answers(wire) == 1

    wire.slow = False
    take(wire)
    for _ in range(100):
        served.turn()
    assert wire.producerState == "producing"
    assert answers(wire) == 1 + read // len(WHOLE)


def test_a_client_that_takes_nothing_is_cut_off(served: Any) -> None:
    """SEC-06: after a minute, though its answer is written and done."""
    wire = slow(served)
    wire.protocol.dataReceived(WHOLE * 2)

    tick(served, limits.STALL_S - 2)
    assert not wire.is_aborted
    tick(served, 4)

    assert wire.is_aborted
    assert answers(wire) == 1
    assert untaken(served) == 0
    assert served.reactor.getDelayedCalls() == []


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"], ids=["kept", "closed"])
def test_a_long_answer_has_time_for_a_slow_line(served: Any, close: bytes) -> None:
    """SM-20: 32 KiB a second are enough to get it whole."""
    served.tree.add("/s", "x" * 65_000)
    served.tree.drain()
    wire = slow(served)
    wire.protocol.dataReceived(b"GET /data/s HTTP/1.1\r\nHost: localhost\r\n" + close + b"\r\n")
    if close:
        wire.is_closed = False  # a real one stays open until all is sent

    assert wire.protocol.deadline_s == pytest.approx(limits.STALL_S + 65_000 / 32_768, abs=0.1)


def test_the_next_request_has_its_own_time(served: Any) -> None:
    """SM-20: what a slow client was given for one answer does not stay."""
    wire = slow(served)
    wire.protocol.dataReceived(WHOLE)
    tick(served, limits.STALL_S - 5)

    take(wire)
    tick(served, limits.IDLE_S - 5)

    assert wire.protocol.is_idle
    assert not wire.is_closed


def test_a_connection_lost_with_an_answer_on_it_leaves_nothing(served: Any) -> None:
    """SEC-06: neither bytes in the count, nor a timer, nor a request told twice."""
    wire = slow(served)
    wire.protocol.dataReceived(WHOLE * 3)
    assert untaken(served) > 0

    wire.loseConnection()

    assert untaken(served) == 0
    assert wire.protocol.requests == []
    assert served.reactor.getDelayedCalls() == []
    assert served.site.counts.incidents == 0


def test_an_answer_that_ends_its_connection_counts_until_it_is_gone(serve: Any) -> None:
    """SEC-06: a client cannot leave answers lying by asking for each on a connection of its own."""
    served = serve()
    wire = slow(served)
    wire.loseConnection = lambda: None  # what is unsent holds a real one open
    wire.protocol.dataReceived(LAST + WHOLE)

    assert answers(wire) == 1
    assert untaken(served) > 0
    tick(served, limits.STALL_S + 3)
    assert wire.is_aborted
    assert untaken(served) == 0


def test_of_all_answers_not_taken_the_oldest_give_way(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SEC-06: a thousand clients that do not read hold no more than the bound for all."""
    served = serve()
    served.tree.add("/s", "x" * 10_000)
    served.tree.drain()
    monkeypatch.setattr(site_limits, "MOST_UNTAKEN", 35_000)
    ask = WHOLE.replace(b"/a/b/t", b"/s")
    wires = [slow(served) for _ in range(5)]

    for wire in wires:
        wire.protocol.dataReceived(ask)

    assert [wire.is_aborted for wire in wires] == [True, True, False, False, False]
    assert 30_000 < untaken(served) < 35_000
    assert served.status.snapshot()["http"]["cut_off"] == 2
    for wire in wires[2:]:
        take(wire)
    assert untaken(served) == 0


def test_one_answer_larger_than_the_bound_is_sent(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SM-20: what a tree shows can be read, however large it is."""
    served = serve()
    monkeypatch.setattr(site_limits, "MOST_UNTAKEN", 10)
    wire = slow(served)
    wire.protocol.dataReceived(WHOLE)

    take(wire)

    assert not wire.is_closed
    assert answers(wire) == 1


def test_closing_waits_for_an_answer_to_be_taken(served: Any) -> None:
    """SEC-06: open answers finish; what was sent behind them is not begun."""
    wire = slow(served)
    wire.protocol.dataReceived(WHOLE * 3)
    ended: list[None] = []

    served.site.close(1.0).addCallback(ended.append)
    assert not ended
    take(wire)

    assert ended == [None]
    assert wire.is_closed
    assert not wire.is_aborted
    assert answers(wire) == 1
