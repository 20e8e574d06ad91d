"""Each animal of the zoo, on fake time: every attempt ends, says why, and leaves nothing behind."""

from __future__ import annotations

from typing import Any

import pytest

from smapd.runtime import Backoff
from smapd.sinks import HttpSink
from smapd.values import Accepted, Outcome, Payload, Retry
from tests.reports.zoo import ANIMALS, BLOCK, Animal, Server, answer
from tests.sinks.net import Net

URL = "http://10.0.0.9:80/add/KEY"


class Zoo:
    """A sink and one animal in a network of their own."""

    def __init__(self, animal: Animal | None = None, **sink: Any) -> None:
        self.net = Net()
        self.servers: list[Server] = []
        if animal is not None:
            self.house(animal)
        self.sink = HttpSink(self.net, self.net.clock, **sink)

    def house(self, animal: Animal, address: str = "10.0.0.9", port: int = 80) -> None:
        def make() -> Server:
            self.servers.append(animal.make(self.net))
            return self.servers[-1]

        self.net.places[address, port] = make

    def send(self, size: int = 1000, url: str = URL) -> list[Any]:
        seen: list[Any] = []
        self.sink.send(Payload(b"x" * size, (("Content-Type", "a/b"),), 1), url).addBoth(
            seen.append
        )
        return seen

    def outcome(self, size: int = 1000, url: str = URL, within_s: float = 30.0) -> Outcome:
        seen = self.send(size, url)
        self.net.pass_time(within_s)
        assert len(seen) == 1
        answer: Outcome = seen[0]
        return answer


@pytest.mark.parametrize("animal", ANIMALS, ids=lambda animal: animal.name)
def test_each_attempt_ends_in_time_and_says_why(animal: Animal) -> None:
    """SM-31: whatever a consumer does, an attempt is over within 30 s."""
    zoo = Zoo(animal)

    outcome = zoo.outcome(animal.size, within_s=animal.within_s)

    assert type(outcome) is animal.ends
    assert animal.says in getattr(outcome, "why", "")


@pytest.mark.parametrize("animal", ANIMALS, ids=lambda animal: animal.name)
def test_nothing_is_left_behind(animal: Animal) -> None:
    zoo = Zoo(animal)
    zoo.outcome(animal.size)

    zoo.net.pass_time(10)

    assert zoo.net.getDelayedCalls() == []
    assert zoo.net.open == set()


@pytest.mark.parametrize("animal", ANIMALS, ids=lambda animal: animal.name)
def test_the_next_attempt_finds_a_consumer_that_is_well_again(animal: Animal) -> None:
    zoo = Zoo(animal)
    zoo.outcome(animal.size)
    zoo.house(Animal("well", answer("200 OK"), Accepted))
    if zoo.servers:
        zoo.servers[-1].behaviour = answer("200 OK")  # it may be asked again on the same connection

    assert zoo.outcome(100, within_s=1) == Accepted()


def test_a_consumer_that_never_accepts_costs_10_s() -> None:
    zoo = Zoo()
    zoo.net.places["10.0.0.9", 80] = "silent"

    seen = zoo.send()
    zoo.net.pass_time(9.9)
    assert seen == []
    zoo.net.pass_time(0.2)

    assert seen == [Retry(None, "no connection within 10 s")]


def test_a_name_service_that_fails_is_said() -> None:
    zoo = Zoo()

    assert zoo.outcome(url="http://nowhere.example/") == Retry(
        None, "the host's name is not known to the name service"
    )


def test_a_name_service_that_is_silent_costs_10_s_and_one_look_up() -> None:
    """SM-31: an attempt that gave up leaves its look-up waiting; the next ones join it."""
    zoo = Zoo()
    zoo.net.names["slow.example"] = None

    for _ in range(5):
        assert zoo.outcome(url="http://slow.example/", within_s=10.1) == Retry(
            None, "no connection within 10 s"
        )

    assert zoo.net.asked == ["slow.example"]


def test_an_hour_of_500s_leaves_no_more_behind_than_one() -> None:
    animal = Animal("500", answer("500 Oh", body=BLOCK), Retry)
    zoo = Zoo(animal)
    backoff = Backoff(lambda: 0.5)
    attempts = 0

    while zoo.net.seconds() < 3600:
        assert type(zoo.outcome(within_s=backoff.next())) is Retry
        attempts += 1

    assert 60 < attempts < 75
    assert zoo.net.open == set()
    assert zoo.net.getDelayedCalls() == []


def test_nothing_goes_to_where_a_redirect_points() -> None:
    zoo = Zoo(Animal("r", answer("307 T", "Location: http://127.0.0.1:22/"), Retry))

    zoo.outcome()

    assert zoo.net.dialled == [("10.0.0.9", 80)]
