"""The HTTP sink: what it sends, which connections it keeps, where it may go, what it never says."""

from __future__ import annotations

import base64
import ipaddress
from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from smapd.interfaces import ISink
from smapd.sinks import HttpSink, SinkLimits, Targets, judge_location
from smapd.values import Accepted, Payload, Retry
from tests.reports.zoo import Animal, Server, answer
from tests.sinks.net import Net

BODY = Payload(b'{"/a":1}', (("Content-Type", "application/json"), ("Content-Encoding", "gzip")), 1)
WELL = Animal("well", answer("200 OK"), Accepted)


class Reads(Server):
    """Keeps what it is sent as it came."""

    seen = b""

    def dataReceived(self, data: bytes) -> None:
        self.seen += data
        super().dataReceived(data)


class World:
    def __init__(self, animal: Animal = WELL, address: str = "10.0.0.9", **sink: Any) -> None:
        self.net = Net()
        self.animal = animal
        self.servers: list[Reads] = []
        self.net.places[address, 80] = self.make
        self.sink = HttpSink(self.net, self.net.clock, **sink)

    def make(self) -> Reads:
        self.servers.append(Reads(self.animal.behaviour, self.net))
        return self.servers[-1]

    def send(self, url: str = "http://10.0.0.9/add/KEY?x=1", wait_s: float = 1.0) -> Any:
        seen: list[Any] = []
        self.sink.send(BODY, url).addBoth(seen.append)
        self.net.pass_time(wait_s)
        return seen[0] if seen else None


def head(server: Reads) -> tuple[str, dict[str, str]]:
    first, *lines = server.seen.split(b"\r\n\r\n")[0].decode().split("\r\n")
    return first, dict(line.split(": ", 1) for line in lines)


def test_it_is_a_sink() -> None:
    assert verifyObject(ISink, World().sink)


def test_a_post_has_the_query_the_headers_of_its_format_and_its_length() -> None:
    """SM-28: what the format says of its body goes along, and nothing else is added."""
    world = World()

    assert world.send() == Accepted()

    line, headers = head(world.servers[0])
    assert line == "POST /add/KEY?x=1 HTTP/1.1"
    assert headers.pop("User-Agent").startswith("smapd/")
    assert headers == {
        "Host": "10.0.0.9",
        "Content-Type": "application/json",
        "Content-Encoding": "gzip",
        "Content-Length": str(len(BODY.body)),
    }
    assert world.servers[0].bodies == [BODY.body]


def test_an_empty_body_is_sent_too() -> None:
    world = World()
    seen: list[Any] = []

    world.sink.send(Payload(b""), "http://10.0.0.9/").addBoth(seen.append)
    world.net.pass_time(1)

    assert seen == [Accepted()]
    assert world.servers[0].bodies == [b""]


def test_a_big_body_arrives_whole() -> None:
    world = World()
    data = bytes(range(256)) * 20_000
    seen: list[Any] = []

    world.sink.send(Payload(data), "http://10.0.0.9/").addBoth(seen.append)
    world.net.pass_time(2)

    assert seen == [Accepted()]
    assert world.servers[0].bodies == [data]


def test_a_connection_is_kept_for_the_next_post() -> None:
    world = World()

    for _ in range(5):
        assert world.send() == Accepted()

    assert len(world.servers) == 1
    assert world.servers[0].requests == 5


def test_an_idle_connection_is_closed_before_the_consumer_does() -> None:
    world = World()
    world.send()

    world.net.pass_time(4.5)
    assert world.servers[0].gone

    assert world.send() == Accepted()
    assert len(world.servers) == 2


def test_user_and_password_of_the_url_become_a_header() -> None:
    world = World()

    assert world.send("http://jo:s%40fe%3A1@10.0.0.9/x") == Accepted()

    line, headers = head(world.servers[0])
    assert line == "POST /x HTTP/1.1"
    assert headers["Host"] == "10.0.0.9"
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"jo:s@fe:1").decode()


def test_what_a_consumer_echoes_of_the_url_is_not_repeated() -> None:
    """SM-31: an error names the reason, never the key that stands in the URL."""
    secrets = ["KEY-12345", "token99", "passw0rd", base64.b64encode(b"jo:passw0rd").decode()]
    body = " ".join(["bad", *secrets, "/add/KEY-12345?t=token99"]).encode()
    world = World(Animal("echo", answer("400 No KEY-12345", body=body), Retry))

    outcome = world.send("http://jo:passw0rd@10.0.0.9/add/KEY-12345?t=token99")

    assert outcome.why.startswith("it answered 400 No ***: bad ***")
    assert [secret for secret in secrets if secret in outcome.why] == []


@pytest.mark.parametrize(
    "url", ["ftp://h/SECRET1", "http:///SECRET1", "http://h:x/SECRET1", "SECRET1"]
)
def test_what_is_no_url_is_said_without_repeating_it(url: str) -> None:
    outcome = World().send(url)

    assert type(outcome) is Retry
    assert "Write http://host/path" in outcome.why
    assert "SECRET1" not in outcome.why


def test_cancelling_cuts_the_connection() -> None:
    world = World(Animal("silent", lambda s: None, Retry))
    seen: list[Any] = []
    sent = world.sink.send(BODY, "http://10.0.0.9/").addBoth(seen.append)
    world.net.pass_time(1)

    sent.cancel()
    world.net.pass_time(0.1)

    assert isinstance(seen[0], Failure)
    assert seen[0].check(CancelledError)
    assert world.servers[0].gone
    assert world.net.getDelayedCalls() == []


@pytest.mark.parametrize("busy", [True, False])
def test_close_leaves_no_connection_and_no_timer(busy: bool) -> None:
    world = World(Animal("silent", lambda s: None, Retry) if busy else WELL)
    seen: list[Any] = []
    world.sink.send(BODY, "http://10.0.0.9/").addBoth(seen.append)
    world.net.pass_time(1)

    world.sink.close()
    world.net.pass_time(0.1)

    assert world.servers[0].gone
    assert world.net.getDelayedCalls() == []
    assert world.send() == Retry(None, "smapd is stopping")


def test_two_at_once_are_a_mistake() -> None:
    world = World(Animal("silent", lambda s: None, Retry))
    world.send()

    with pytest.raises(RuntimeError, match="one payload at a time"):
        world.sink.send(BODY, "http://10.0.0.9/")


def test_no_attempt_may_be_given_more_than_30_s() -> None:
    with pytest.raises(ValueError, match="up to 30 s"):
        SinkLimits(whole_s=31)
    with pytest.raises(ValueError, match="above 0"):
        SinkLimits(connect_s=0)


# --- where it may go


def test_a_config_files_report_goes_anywhere() -> None:
    assert World(address="127.0.0.1").send("http://127.0.0.1/") == Accepted()


def test_a_forbidden_address_is_never_dialled() -> None:
    world = World(address="127.0.0.1", targets=Targets())

    outcome = world.send("http://127.0.0.1/")

    assert outcome == Retry(
        None, "127.0.0.1 is 127.0.0.1: it is a loopback address, which AllowTargets does not name"
    )
    assert world.net.dialled == []


def test_a_name_is_judged_by_its_address_at_each_connect() -> None:
    """A name that was public when the report was made and points inside now gets nowhere."""
    world = World(address="93.184.216.34", targets=Targets())
    world.net.names["sink.example"] = ["93.184.216.34"]
    assert world.send("http://sink.example/") == Accepted()
    world.net.pass_time(10)

    world.net.names["sink.example"] = ["169.254.169.254", "10.0.0.9"]
    outcome = world.send("http://sink.example/")

    assert type(outcome) is Retry
    assert "10.0.0.9" in outcome.why
    assert world.net.dialled == [("93.184.216.34", 80)]


def test_the_allowed_ones_among_a_names_addresses_are_used() -> None:
    world = World(address="10.1.2.3", targets=Targets([ipaddress.ip_network("10.1.0.0/16")]))
    world.net.names["sink.example"] = ["192.168.0.1", "10.1.2.3"]

    assert world.send("http://sink.example/") == Accepted()
    assert world.net.dialled == [("10.1.2.3", 80)]


def test_the_second_address_is_tried_when_the_first_refuses() -> None:
    world = World(address="10.0.0.9")
    world.net.names["sink.example"] = ["10.0.0.8", "10.0.0.9"]

    assert world.send("http://sink.example/", wait_s=3) == Accepted()


def test_an_ipv6_address_is_reached() -> None:
    world = World(address="fd00::9")

    assert world.send("http://[fd00::9]/x") == Accepted()
    assert head(world.servers[0])[1]["Host"] in ("[fd00::9]", "fd00::9")


@pytest.mark.parametrize(
    ("addresses", "says"),
    [
        (["93.184.216.34"], ""),
        (["10.0.0.1", "93.184.216.34"], ""),
        (["10.0.0.1"], "sink.example is 10.0.0.1: it is a private address"),
        (["169.254.169.254"], "metadata"),
        ([], ""),
        (None, ""),
    ],
)
def test_a_report_asked_for_over_http_is_judged_before_it_is_made(
    addresses: list[str] | None, says: str
) -> None:
    """SM-24: AllowTargets holds from the POST on, and again at each connect."""
    net = Net()
    net.names["sink.example"] = addresses
    seen: list[str] = []

    judge_location(net, net.clock, Targets(), "https://sink.example/x").addBoth(seen.append)
    net.pass_time(5)

    assert len(seen) == 1
    assert seen[0].startswith(says) if says[:4] == "sink" else says in seen[0]
    assert (seen[0] == "") is (says == "")
    assert net.getDelayedCalls() == []


def test_what_is_no_url_is_not_judged() -> None:
    net = Net()

    with pytest.raises(ValueError, match="Write http://host/path"):
        judge_location(net, net.clock, Targets(), "gopher://h/")
