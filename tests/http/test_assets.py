"""/assets: assets, events and streamed requests over HTTP, on a twin that a test plays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from smapd.errors import AssetUnknown, EventInvalid, StorageFull, TooLarge


class FakeExchange:
    """What the requester's side did."""

    def __init__(self) -> None:
        self.credited = 0
        self.is_cancelled = False

    def credit(self, size_bytes: int) -> None:
        self.credited += size_bytes

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeTwin:
    """One asset, pump-1, with three events; all else is what the test sets."""

    hub = None

    def __init__(self) -> None:
        self.exchanges = self
        self.published: list[Any] = []
        self.made: list[Any] = []
        self.problem: Any = None
        self.asked: Any = None
        self.receiver: Any = None
        self.exchange = FakeExchange()
        self.give: Any = None
        self.over: Any = None
        self.told: list[str] = []

    def _known(self, asset: str) -> None:
        if asset != "pump-1":
            raise AssetUnknown(f"There is no asset {asset}.")

    def assets(self) -> list[Any]:
        return [self.asset("pump-1")]

    def asset(self, asset: str) -> Any:
        self._known(asset)
        return {"id": asset, "path": "/a", "origin": "http", "base": 0, "next": 3}

    def create(self, body: Any) -> Any:
        self.made.append(body)
        return fail(self.problem) if self.problem else succeed({"id": body["id"]})

    def delete(self, asset: str) -> Any:
        self._known(asset)
        self.made.append(asset)
        return succeed(None)

    def publish(self, asset: str, name: str, data: Any, **more: Any) -> Any:
        if self.problem:
            return fail(self.problem)
        self.published.append((asset, name, data, more))
        return succeed(len(self.published) - 1)

    def events(self, asset: str, offset: int = 0, limit: int = 100) -> Any:
        self._known(asset)
        found = [{"offset": n, "name": "E"} for n in range(offset, min(3, offset + limit))]
        return succeed((found, min(3, offset + limit)))

    def follow(self, asset: str, offset: Any, give: Any, over: Any) -> Any:
        self._known(asset)
        self.asked, self.give, self.over = offset, give, over
        return self

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")

    def stop(self) -> None:
        self.told.append("stop")

    def open(self, *asked: Any) -> FakeExchange:
        if self.problem:
            raise self.problem
        self._known(asked[0])
        self.asked, self.receiver = asked[:-1], asked[-1]
        return self.exchange


@pytest.fixture
def twin() -> FakeTwin:
    return FakeTwin()


@pytest.fixture
def served(serve: Any, twin: FakeTwin) -> Any:
    return serve(twin=twin)


def begin(served: Any, method: str, target: str, body: bytes = b"", **headers: str) -> Any:
    """A request whose answer is still to come; the wire it is on."""
    wire = served.connect()
    lines = {"Host": "localhost:8080", "Content-Length": str(len(body))}
    lines |= {k.replace("_", "-"): v for k, v in headers.items()}
    head = "".join(f"{k}: {v}\r\n" for k, v in lines.items())
    wire.protocol.dataReceived(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body)
    return wire


def body_of(wire: Any) -> bytes:
    """The body so far of a chunked answer."""
    _, _, rest = wire.value().partition(b"\r\n\r\n")
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return body


# --- assets


def test_assets_are_listed_shown_made_and_deleted(served: Any, twin: FakeTwin) -> None:
    """HT: the answers of the route table, with the ids as they are."""
    assert served.get("/assets").json == {"assets": twin.assets()}
    assert served.get("/assets/pump-1").json["path"] == "/a"
    made = served.post("/assets", {"id": "p:2", "path": "/b", "Metadata": {"a": "b"}})
    assert (made.status, made.json) == (201, {"id": "p:2"})
    assert served.ask("DELETE", "/assets/pump-1").status == 204
    assert twin.made == [{"id": "p:2", "path": "/b", "Metadata": {"a": "b"}}, "pump-1"]


def test_an_unknown_asset_is_404_everywhere(served: Any) -> None:
    """IN-16: by a sentence that names it."""
    for method, target in (
        ("GET", "/assets/x"),
        ("DELETE", "/assets/x"),
        ("GET", "/assets/x/events"),
        ("POST", "/assets/x/requests/T"),
    ):
        answer = served.ask(method, target)
        assert (answer.status, answer.json["error"]) == (404, "asset_unknown")
        assert "asset x" in answer.json["message"]


def test_slashes_before_the_address_name_no_other_asset(served: Any, twin: FakeTwin) -> None:
    """What is deleted is what was named."""
    assert served.ask("DELETE", "//assets/pump-1").status == 204
    assert twin.made == ["pump-1"]
    begin(served, "POST", "//assets/pump-1/requests/T")
    assert twin.asked[:2] == ("pump-1", "T")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ([1], "The asset must be an object."),
        ({"id": "a", "Metadate": {}}, "Metadate: no such key of an asset"),
    ],
)
def test_a_wrong_asset_is_told_by_key(served: Any, body: Any, sentence: str) -> None:
    """A key that is misspelt is no key."""
    answer = served.post("/assets", body)
    assert answer.status == 400
    assert sentence in answer.json["message"]


def test_without_a_twin_there_are_no_assets_and_none_can_be_made(serve: Any) -> None:
    """What a program serves without one."""
    served = serve()
    assert served.get("/assets").json == {"assets": []}
    assert served.post("/assets", {"id": "a"}).status == 503


# --- events


def test_events_are_read_from_an_offset_with_a_limit(served: Any) -> None:
    """HT: {"events", "next"}."""
    found = served.get("/assets/pump-1/events?from=1&limit=1").json
    assert found == {"events": [{"offset": 1, "name": "E"}], "next": 2}
    assert len(served.get("/assets/pump-1/events").json["events"]) == 3


@pytest.mark.parametrize("query", ["from=-1", "from=x", "limit=1001", "limit=1e3"])
def test_a_wrong_number_is_told_by_key(served: Any, query: str) -> None:
    """Bad input: which key, and what would do."""
    answer = served.get(f"/assets/pump-1/events?{query}")
    assert answer.status == 400
    assert answer.json["message"].startswith(query.partition("=")[0])


def test_an_event_is_published_with_time_version_source_and_id(served: Any, twin: FakeTwin) -> None:
    """IN-15: its offset, once it is durable."""
    body = {"name": "E", "time": "2026-11-20T10:00:00.5+01:00", "data": {"a": 1}}
    answer = served.post("/assets/pump-1/events", {**body, "version": 2, "source": "s", "id": "i"})
    assert (answer.status, answer.json) == (201, {"offset": 0})
    served.post("/assets/pump-1/events", {"name": "E", "time": 12, "data": None})
    (_, name, data, more), (_, _, none, plain) = twin.published
    assert (name, data, none) == ("E", {"a": 1}, None)
    assert more == {"version": 2, "time_ms": 1795165200500, "source": "s", "dedupe": "i"}
    assert plain == {"version": None, "time_ms": 12, "source": "", "dedupe": None}


def test_an_event_is_not_answered_before_it_is_durable(served: Any, twin: FakeTwin) -> None:
    """FO-23: 201 means that it is on the disk."""
    durable: Deferred[int] = Deferred()
    twin.publish = lambda *a, **k: durable  # type: ignore[method-assign]
    body = json.dumps({"name": "E", "data": {}}).encode()
    wire = begin(served, "POST", "/assets/pump-1/events", body)
    assert wire.value() == b""
    durable.callback(7)
    assert b"201" in wire.value()
    assert wire.value().endswith(b'{"offset":7}')


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"name": "E"}, "The event has no data."),
        ({"data": 1}, "name is missing"),
        ({"data": 1, "name": ""}, "name must be a text"),
        ({"name": "E", "data": 1, "tiem": 2}, "tiem: no such key of an event"),
        ({"name": "E", "data": 1, "time": "2026-11-20T10:00:00"}, "time must be ms of UTC"),
        ({"name": "E", "data": 1, "time": 1.5}, "time must be ms of UTC"),
        ({"name": "E", "data": 1, "version": "2"}, "version must be a whole number"),
        ({"name": "E", "data": 1, "source": "a\nb"}, "source must be a text"),
    ],
)
def test_a_wrong_event_is_told_by_key(
    served: Any, twin: FakeTwin, body: Any, sentence: str
) -> None:
    """Bad input: nothing is published."""
    answer = served.post("/assets/pump-1/events", body)
    assert answer.status == 400
    assert sentence in answer.json["message"]
    assert twin.published == []


@pytest.mark.parametrize(
    ("problem", "status"),
    [(EventInvalid("a.b: not a number"), 400), (TooLarge("x"), 413), (StorageFull("x"), 507)],
)
def test_what_the_twin_refuses_has_its_status(
    served: Any, twin: FakeTwin, problem: Any, status: int
) -> None:
    """FO-24: a 400 names the field."""
    twin.problem = problem
    answer = served.post("/assets/pump-1/events", {"name": "E", "data": {}})
    assert (answer.status, answer.json["message"]) == (status, problem.message)


# --- live


def test_events_come_live_each_with_its_offset_as_id(served: Any, twin: FakeTwin) -> None:
    """HT: Server-Sent Events."""
    wire = begin(served, "GET", "/assets/pump-1/events", Accept="text/event-stream")
    assert twin.asked is None
    assert b"Content-Type: text/event-stream" in wire.value()
    twin.give({"offset": 5, "name": "E"})
    assert body_of(wire).endswith(b'id: 5\nevent: event\ndata: {"offset":5,"name":"E"}\n\n')
    wire.loseConnection()
    assert twin.told == ["stop"]


def test_a_client_that_comes_back_goes_on_behind_what_it_has(served: Any, twin: FakeTwin) -> None:
    """Last-Event-ID beats the query."""
    begin(served, "GET", "/assets/pump-1/events?from=0", Accept="text/event-stream")
    assert twin.asked == 0
    headers = {"Accept": "text/event-stream", "Last_Event_ID": "41"}
    begin(served, "GET", "/assets/pump-1/events?from=0", **headers)
    assert twin.asked == 42


def test_a_client_that_does_not_take_events_pauses_its_own_look_alone(
    served: Any, twin: FakeTwin
) -> None:
    """Nothing is gathered for it here."""
    wire = begin(served, "GET", "/assets/pump-1/events", Accept="text/event-stream")
    wire.protocol.pauseProducing()
    wire.protocol.resumeProducing()
    assert twin.told == ["pause", "resume"]


def test_the_end_of_an_asset_ends_its_stream(served: Any, twin: FakeTwin) -> None:
    """With the reason as an event."""
    wire = begin(served, "GET", "/assets/pump-1/events", Accept="text/event-stream")
    twin.over("pump-1 was deleted")
    assert b'event: end\ndata: {"why":"pump-1 was deleted"}' in body_of(wire)
    assert wire.value().endswith(b"0\r\n\r\n")


# --- requests


def test_an_answer_streams_as_it_comes(served: Any, twin: FakeTwin) -> None:
    """FO-28: of the first chunk's kind, each piece at once."""
    wire = begin(
        served, "POST", "/assets/pump-1/requests/Doc/a?timeout=5", b"q", Content_Type="a/b"
    )
    assert twin.asked == ("pump-1", "Doc/a", b"q", "a/b", 5.0)
    twin.receiver.chunk("application/pdf", b"one")
    assert b"Content-Type: application/pdf\r\n" in wire.value()
    assert body_of(wire) == b"one"
    twin.receiver.chunk("application/pdf", b"two")
    twin.receiver.end()
    assert body_of(wire) == b"onetwo"
    assert twin.exchange.credited == 6


def test_an_empty_answer_is_one(served: Any, twin: FakeTwin) -> None:
    """No chunk at all is an empty body."""
    wire = begin(served, "POST", "/assets/pump-1/requests/T")
    twin.receiver.end()
    assert b"HTTP/1.1 200" in wire.value()
    assert body_of(wire) == b""


def test_a_client_that_does_not_read_holds_the_provider_up(served: Any, twin: FakeTwin) -> None:
    """T2: no credit while it takes nothing, all of it once it does."""
    wire = begin(served, "POST", "/assets/pump-1/requests/T")
    twin.receiver.chunk("a/b", b"x")
    wire.protocol.pauseProducing()
    twin.receiver.chunk("a/b", b"y" * 1000)
    twin.receiver.chunk("a/b", b"z" * 1000)
    assert twin.exchange.credited == 1
    wire.protocol.resumeProducing()
    assert twin.exchange.credited == 2001


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("REQ_UNHANDLED", 501),
        ("RESOURCE_UNKNOWN", 404),
        ("PROVIDER_FAILED", 502),
        ("BUSY", 503),
        ("SHUTDOWN", 503),
        ("SOMETHING_NEW", 502),
    ],
)
def test_a_failure_before_the_answer_is_an_error_with_its_reason(
    served: Any, twin: FakeTwin, reason: str, status: int
) -> None:
    """FO-32, FO-33: over HTTP as for a follower."""
    wire = begin(served, "POST", "/assets/pump-1/requests/T")
    twin.receiver.failed(reason, "so it is")
    assert wire.value().startswith(b"HTTP/1.1 %d " % status)
    told = json.loads(wire.value().partition(b"\r\n\r\n")[2])
    assert told["message"] == "so it is"
    assert told["reason"] == ("PROVIDER_FAILED" if status == 502 else reason)


def test_silence_is_504(served: Any, twin: FakeTwin) -> None:
    """FO-34: nobody hangs."""
    wire = begin(served, "POST", "/assets/pump-1/requests/T")
    twin.receiver.timed_out()
    assert wire.value().startswith(b"HTTP/1.1 504 ")


def test_a_late_failure_cuts_the_connection(served: Any, twin: FakeTwin) -> None:
    """IN-30: half an answer is not taken for a whole one."""
    wire = begin(served, "POST", "/assets/pump-1/requests/T")
    twin.receiver.chunk("a/b", b"half")
    twin.receiver.failed("PROVIDER_FAILED", "")
    assert wire.is_aborted
    assert not wire.value().endswith(b"0\r\n\r\n")


def test_lines_tell_of_each_chunk_and_of_the_end(served: Any, twin: FakeTwin) -> None:
    """HT: application/x-ndjson."""
    wire = begin(served, "POST", "/assets/pump-1/requests/T", Accept="application/x-ndjson")
    twin.receiver.chunk("text/plain", b"hi")
    twin.receiver.end()
    lines = [json.loads(line) for line in body_of(wire).splitlines()]
    assert lines == [{"mime": "text/plain", "data": "aGk="}, {"end": True}]


def test_lines_tell_of_a_late_failure(served: Any, twin: FakeTwin) -> None:
    """With its reason, as the last line."""
    wire = begin(served, "POST", "/assets/pump-1/requests/T", Accept="application/x-ndjson")
    twin.receiver.chunk("text/plain", b"hi")
    twin.receiver.failed("RESOURCE_UNKNOWN", "gone")
    last = json.loads(body_of(wire).splitlines()[-1])
    assert last == {"error": "t2_failed", "message": "gone", "reason": "RESOURCE_UNKNOWN"}


def test_a_client_that_leaves_cancels_the_request(served: Any, twin: FakeTwin) -> None:
    """T2: the provider is told."""
    wire = begin(served, "POST", "/assets/pump-1/requests/T")
    twin.receiver.chunk("a/b", b"x")
    wire.loseConnection()
    assert twin.exchange.is_cancelled


@pytest.mark.parametrize("mime", ["text/html\r\nX: y", "nonsense", "ä/b", "a/b\n"])
def test_what_a_provider_calls_its_chunks_cannot_break_the_head(
    served: Any, twin: FakeTwin, mime: str
) -> None:
    """An odd kind is bytes."""
    wire = begin(served, "POST", "/assets/pump-1/requests/T")
    twin.receiver.chunk(mime, b"x")
    assert b"Content-Type: application/octet-stream\r\n" in wire.value()


@pytest.mark.parametrize("timeout", ["0", "x", "3601", "-1", "nan"])
def test_a_wrong_timeout_is_told(served: Any, timeout: str) -> None:
    """Bad input: what would do."""
    answer = served.ask("POST", f"/assets/pump-1/requests/T?timeout={timeout}")
    assert answer.status == 400
    assert answer.json["message"].startswith("timeout = ")
