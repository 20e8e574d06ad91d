"""Queries that the tree answers: nodes, the past of a timeseries, assets, and requests of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from zope.interface import implementer

from smapd.connectors.tree.queries import MOST_READINGS, PAGE_NODES, PAGE_READINGS, time_ms
from smapd.connectors.tree.request import ROW_BYTES, WINDOW, Rows, is_textual
from smapd.errors import (
    AssetUnknown,
    BadRequest,
    Forbidden,
    NoSuchPath,
    SmapError,
    T2ResponseException,
    T2Timeout,
)
from smapd.interfaces import IOffer, IProvider
from smapd.values import Action, Principal, bad
from tests.connectors.tree.house import FakeReply, House, Lamp, got, options


def asked(house: House, message: dict[str, Any], reply: FakeReply | None = None) -> FakeReply:
    """The answer to a query that is answered at once."""
    reply = FakeReply() if reply is None else reply
    got(Deferred.fromCoroutine(house.peers["pump"].inbound.query(message, reply)))
    assert reply.completed
    return reply


def failing(house: House, message: dict[str, Any]) -> SmapError:
    with pytest.raises(SmapError) as caught:
        asked(house, message)
    return caught.value


@pytest.fixture
def house() -> House:
    return House(("connector plant", options()), assets=["hall-1"])


# --- the tree


def test_a_path_is_answered_with_its_node(house: House) -> None:
    """VQ-23: the values of WITH are what is asked."""
    house.add("/hall-1/t", 1.5, 2.5)

    (row,) = asked(house, {"path": "/hall-1/t"}).rows

    assert row["path"] == "/hall-1/t"
    assert row["Readings"] == [[2000, 2.5]]
    assert asked(house, {"path": "/hall-1/"}).rows == [{"path": "/hall-1", "Contents": ["t"]}]


def test_all_below_a_path_comes_in_pages(house: House) -> None:
    """VQ-24: PARTIAL pages, and what is left with the end."""
    for n in range(2 * PAGE_NODES):
        house.tree.add_timeseries(f"/hall-1/t{n:04}", "V")
    house.settle()

    reply = asked(house, {"path": "/hall-1/+"})

    assert [len(part) for part in reply.parts] == [PAGE_NODES, PAGE_NODES, 1]
    assert reply.rows[0]["path"] == "/hall-1"
    assert len({row["path"] for row in reply.rows}) == 2 * PAGE_NODES + 1


def test_the_next_page_waits_until_the_last_is_on_its_way(house: House) -> None:
    """Bounded: who does not read holds up what is read for it."""
    for n in range(2 * PAGE_NODES):
        house.tree.add_timeseries(f"/hall-1/t{n:04}", "V")
    house.settle()
    reply = FakeReply(hold=True)
    Deferred.fromCoroutine(house.peers["pump"].inbound.query({"path": "/+"}, reply))
    assert len(reply.parts) == 1

    assert reply.held is not None
    reply.held.pop().callback(None)

    assert len(reply.parts) == 2


def test_an_actuators_device_is_asked(house: House) -> None:
    lamp = Lamp()
    house.tree.add_actuator("/hall-1/lamp", "on/off", lamp)
    lamp.state = 1
    house.settle()

    (row,) = asked(house, {"path": "/hall-1/lamp"}).rows
    assert row["Readings"][0][1] == 1
    lamp.state = 0
    house.settle(1)
    below = asked(house, {"path": "/+"}).rows
    assert [r["Readings"][0][1] for r in below if r["path"] == "/hall-1/lamp"] == [0]


def test_the_past_is_one_row_a_reading(house: House) -> None:
    house.add("/hall-1/t", 1.0, 2.0, 3.0, 4.0)

    reply = asked(house, {"path": "/hall-1/t", "from": 2000, "to": "1970-01-01T00:00:04Z"})

    assert reply.rows == [
        {"path": "/hall-1/t", "time": 2000, "value": 2.0},
        {"path": "/hall-1/t", "time": 3000, "value": 3.0},
    ]
    assert asked(house, {"path": "/hall-1/t", "from": 99_000}).rows == []
    assert [r["value"] for r in asked(house, {"path": "/hall-1/t", "limit": 2}).rows] == [1.0, 2.0]


def test_a_long_past_comes_in_pages_without_a_hole_or_a_double(house: House) -> None:
    count = 3 * PAGE_READINGS + 7
    house.tree.add_timeseries("/hall-1/t", "V", data_type="long", milliseconds=True)
    house.settle()
    stream = house.tree.get_timeseries("/hall-1/t")
    stream.add_many([1000 + n // 3 for n in range(count)], list(range(count)))
    house.settle()

    reply = asked(house, {"path": "/hall-1/t", "from": 0})

    assert [row["value"] for row in reply.rows] == list(range(count))
    assert all(len(part) <= PAGE_READINGS for part in reply.parts)
    limited = asked(house, {"path": "/hall-1/t", "from": 0, "limit": PAGE_READINGS + 10})
    assert [row["value"] for row in limited.rows] == list(range(PAGE_READINGS + 10))


def test_more_readings_of_one_moment_than_a_page_holds_do_not_stop_it(house: House) -> None:
    house.tree.add_timeseries("/hall-1/t", "V", data_type="long", milliseconds=True)
    house.settle()
    many = [5] * (PAGE_READINGS + 50)
    house.tree.get_timeseries("/hall-1/t").add_many([*many, 6, 7], list(range(len(many) + 2)))
    house.settle()

    rows = asked(house, {"path": "/hall-1/t", "from": 0}).rows

    assert [row["time"] for row in rows] == [5] * PAGE_READINGS + [6, 7]


def test_quality_and_what_is_not_finite_are_told(house: House) -> None:
    house.add("/hall-1/t", float("nan"))
    house.tree.add("/hall-1/t", 9000, None, quality=bad("cut"))
    house.settle()

    rows = asked(house, {"path": "/hall-1/t", "from": 0}).rows

    assert rows[0] == {"path": "/hall-1/t", "time": 1000, "value": None, "nonfinite": "NaN"}
    assert rows[1]["quality"] == "bad"
    assert rows[1]["reason"] == "cut"


@pytest.mark.parametrize(
    ("message", "error", "words"),
    [
        ({"path": "/nix"}, NoSuchPath, "/nix"),
        ({"path": "hall"}, BadRequest, "not a path"),
        ({"path": 7}, BadRequest, "not a path"),
        ({"path": "/hall-1", "form": 1}, BadRequest, "form: no such key"),
        ({"path": "/hall-1", "from": 1}, BadRequest, "collection"),
        ({"path": "/hall-1/+", "from": 1}, BadRequest, "one timeseries"),
        ({"path": "/hall-1/t", "from": "yesterday"}, BadRequest, "from: not a time"),
        ({"path": "/hall-1/t", "from": True}, BadRequest, "from: not a time"),
        ({"path": "/hall-1/t", "from": 2, "to": 2}, BadRequest, "empty"),
        ({"path": "/hall-1/t", "limit": 0}, BadRequest, f"from 1 to {MOST_READINGS}"),
        ({"path": "/hall-1/t", "limit": 1.5}, BadRequest, "limit"),
        ({}, BadRequest, "path, from, to and limit"),
        ({"asset": "nix"}, AssetUnknown, "nix"),
        ({"asset": 7}, BadRequest, "asset: not a text"),
        ({"asset": "hall-1", "type": ""}, BadRequest, "type: not a text"),
        ({"asset": "hall-1", "type": "T", "timeout": 0}, BadRequest, "timeout"),
        ({"asset": "hall-1", "type": "T", "timeout": "5"}, BadRequest, "timeout"),
        ({"asset": "hall-1", "type": "T", "base64": "?"}, BadRequest, "not base64"),
        ({"asset": "hall-1", "type": "T", "base64": "", "data": ""}, BadRequest, "only one"),
        ({"asset": "hall-1", "type": "T", "mime": 5}, BadRequest, "mime"),
        ({"asset": "hall-1", "kind": "T"}, BadRequest, "kind: no such key"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(
    house: House, message: dict[str, Any], error: type[SmapError], words: str
) -> None:
    house.add("/hall-1/t", 1.0)
    found = failing(house, message)

    assert isinstance(found, error)
    assert words in found.message
    assert house.status()["sources"][0]["asked"] == {"answered": 0, "refused": 1}


def test_what_the_section_does_not_offer_is_refused() -> None:
    house = House(("connector plant", options(Query="requests")), assets=["hall-1"])
    assert "asset, type and data" in failing(house, {"path": "/hall-1"}).message

    house = House(("connector plant", options(Query="none")), assets=["hall-1"])
    assert failing(house, {"path": "/hall-1"}).message == "A query here has no meaning."
    assert isinstance(failing(house, {"asset": "hall-1"}), BadRequest)


def test_every_query_asks_whether_it_may() -> None:
    class Access:
        def decide(self, who: Principal, what: Action, where: str) -> None:
            seen.append((who.name, what, where))
            raise Forbidden("not you")

    seen: list[tuple[str, Action, str]] = []
    house = House(("connector plant", options()), assets=["hall-1"])
    house.connectors._connectors[0].sources[0].inbound.queries._access = Access()

    for message in (
        {"path": "/hall-1/+"},
        {"asset": "hall-1"},
        {"asset": "hall-1", "type": "T"},
    ):
        assert isinstance(failing(house, message), Forbidden)
    assert seen == [
        ("connector plant", Action.READ, "/hall-1"),
        ("connector plant", Action.READ, "hall-1"),
        ("connector plant", Action.REQUEST, "hall-1"),
    ]


@pytest.mark.parametrize(
    ("value", "ms"), [(None, 5), (7, 7), (7.0, 7), ("1970-01-01T01:00:00+01:00", 0)]
)
def test_times_are_ms_or_iso_8601(value: Any, ms: int) -> None:
    assert time_ms(value, "from", 5) == ms


# --- assets and their requests


def test_an_asset_is_shown(house: House) -> None:
    (row,) = asked(house, {"asset": "hall-1"}).rows

    assert (row["id"], row["path"], row["next"]) == ("hall-1", "/hall-1", 0)


@implementer(IProvider)
class Provider:
    """Serves every asset; the test answers."""

    def __init__(self) -> None:
        self.offers: list[IOffer] = []
        self.credit = 0
        self.cancels: list[str] = []

    def serves(self, asset: str) -> bool:
        return True

    def offered(self, offer: IOffer, credit: int) -> None:
        self.offers.append(offer)
        self.credit += credit

    def credited(self, offer: IOffer, size_bytes: int) -> None:
        self.credit += size_bytes

    def cancelled(self, offer: IOffer, why: str) -> None:
        self.cancels.append(why)


def requested(
    house: House, message: dict[str, Any], hold: bool = False
) -> tuple[Provider, FakeReply, Deferred[None]]:
    provider, reply = Provider(), FakeReply(hold)
    house.twin.exchanges.provide(provider)
    query = house.peers["pump"].inbound.query({"asset": "hall-1", "type": "Bom"} | message, reply)
    done = Deferred.fromCoroutine(query)
    house.settle(0)
    return provider, reply, done


def test_a_request_is_answered_chunk_by_chunk(house: House) -> None:
    provider, reply, done = requested(house, {"data": {"a": [1]}})
    (offer,) = provider.offers
    assert (offer.type_, offer.mime, json.loads(offer.data)) == (
        "Bom",
        "application/json",
        {"a": [1]},
    )

    offer.chunk("text/plain", "ä1".encode())
    offer.chunk("application/pdf", b"\x00\xff")
    assert reply.rows == [
        {"mime": "text/plain", "data": "ä1"},
        {"mime": "application/pdf", "base64": "AP8="},
    ]
    assert not reply.completed
    offer.end()
    house.settle(0)

    got(done)
    assert reply.completed


@pytest.mark.parametrize(
    ("message", "data", "mime"),
    [
        ({}, b"", "application/octet-stream"),
        ({"data": "häl"}, "häl".encode(), "text/plain; charset=utf-8"),
        ({"base64": "AP8="}, b"\x00\xff", "application/octet-stream"),
        ({"data": [1], "mime": "application/x-own"}, b"[1]", "application/x-own"),
    ],
)
def test_the_data_of_a_request(
    house: House, message: dict[str, Any], data: bytes, mime: str
) -> None:
    provider, _reply, _done = requested(house, message)

    assert (provider.offers[0].data, provider.offers[0].mime) == (data, mime)


def test_a_request_that_fails_is_an_error_also_behind_some_of_the_answer(house: House) -> None:
    provider, reply, done = requested(house, {})
    provider.offers[0].chunk("text/plain", b"half")
    provider.offers[0].failed("RESOURCE_UNKNOWN", "no such BOM")
    house.settle(0)

    with pytest.raises(T2ResponseException, match="no such BOM"):
        got(done)
    assert len(reply.rows) == 1


def test_a_request_that_nobody_answers_times_out(house: House) -> None:
    _provider, _reply, done = requested(house, {"timeout": 5})
    house.settle(6)

    with pytest.raises(T2Timeout):
        got(done)


def test_who_answers_waits_for_the_peer(house: House) -> None:
    """Bounded: credit comes back only when rows are on their way."""
    provider, reply, done = requested(house, {}, hold=True)
    offer = provider.offers[0]
    sent = 0
    while provider.credit - sent >= 16_384:
        offer.chunk("application/octet-stream", b"x" * 16_384)
        sent += 16_384
    house.settle(1)
    assert sent <= WINDOW
    stuck = provider.credit

    assert reply.held is not None
    for one in reply.held:
        one.callback(None)
    house.settle(1)

    assert provider.credit > stuck
    assert not done.called


def test_a_peer_that_takes_no_more_ends_the_request(house: House) -> None:
    provider, reply, done = requested(house, {})
    reply.error = SmapError("this query has its final answer already")
    provider.offers[0].chunk("text/plain", b"x")
    house.settle(0)

    assert provider.cancels
    with pytest.raises(SmapError, match="final answer"):
        got(done)


def test_a_query_that_is_cancelled_ends_the_request(house: House) -> None:
    provider, _reply, done = requested(house, {})

    done.addErrback(lambda _: None)
    done.cancel()
    house.settle(0)

    assert provider.cancels


# --- rows


def told(*chunks: tuple[str, bytes]) -> list[dict[str, Any]]:
    rows = Rows()
    return [row for mime, data in chunks for row in rows.of(mime, data)] + list(rows.end())


def test_a_letter_that_two_chunks_share_is_whole() -> None:
    text = "aäb".encode()

    found = told(("text/plain", text[:2]), ("text/plain", text[2:]))

    assert "".join(row["data"] for row in found) == "aäb"


def test_text_that_is_none_goes_as_bytes() -> None:
    found = told(("application/json", b"\xff\xfe"), ("application/json", b"{}"))

    assert [set(row) for row in found] == [{"mime", "base64"}] * 2


def test_half_a_letter_at_the_end_is_not_lost() -> None:
    found = told(("text/plain", b"a\xc3"))

    assert found == [
        {"mime": "text/plain", "data": "a"},
        {"mime": "text/plain", "base64": "ww=="},
    ]


def test_a_large_chunk_is_several_rows() -> None:
    found = told(("application/octet-stream", b"x" * (2 * ROW_BYTES + 1)))

    assert len(found) == 3


@pytest.mark.parametrize(
    ("mime", "is_text"),
    [
        ("text/csv; charset=utf-8", True),
        ("text/plain;charset=latin-1", False),
        ("application/vnd.own+json", True),
        ("Application/JSON", True),
        ("image/png", False),
    ],
)
def test_which_types_are_text(mime: str, is_text: bool) -> None:
    assert is_textual(mime) is is_text
