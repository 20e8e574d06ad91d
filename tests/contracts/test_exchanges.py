"""What every ``IExchanges`` promises, whichever engine carries the requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from zope.interface import implementer
from zope.interface.verify import verifyObject

from smapd.errors import AssetUnknown, BadRequest, ShutdownRequested, TooLarge
from smapd.interfaces import IExchange, IExchanges, IOffer, IProvider, IReceiver
from smapd.testing import FakeClock
from smapd.twin.exchanges import Exchanges


class Embedded:
    """``twin.Exchanges`` on fake time; the assets are ``a`` and ``b``."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.exchanges = Exchanges(self.clock, {"a", "b"}.__contains__)

    def wait(self, seconds: float = 0) -> None:
        """Let what is under way happen, and so much time pass."""
        self.clock.advance(seconds)

    def stop(self) -> None:
        self.exchanges.close()


ENGINES = {"embedded": Embedded}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    made = ENGINES[request.param]()
    yield made
    made.stop()


@implementer(IReceiver)
class Asking:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def chunk(self, mime: str, data: bytes) -> None:
        self.heard.append((mime, data))

    def end(self) -> None:
        self.heard.append("end")

    def failed(self, reason: str, message: str) -> None:
        assert message
        self.heard.append(reason)

    def timed_out(self) -> None:
        self.heard.append("timeout")


@implementer(IProvider)
class Answering:
    def __init__(self, *assets: str) -> None:
        self.assets = assets
        self.offers: list[IOffer] = []
        self.credit = 0
        self.cancelled_count = 0

    def serves(self, asset: str) -> bool:
        return asset in self.assets

    def offered(self, offer: IOffer, credit: int) -> None:
        self.offers.append(offer)
        self.credit += credit

    def credited(self, offer: IOffer, size_bytes: int) -> None:
        self.credit += size_bytes

    def cancelled(self, offer: IOffer, why: str) -> None:
        assert why
        self.cancelled_count += 1


def ask(engine: Any, asset: str = "a", timeout_s: float = 10, **more: Any) -> tuple[Any, Asking]:
    asking = Asking()
    exchange = engine.exchanges.open(asset, "T", b"what", "m", timeout_s, asking, **more)
    assert asking.heard == []
    engine.wait()
    return exchange, asking


def provide(engine: Any, *assets: str) -> tuple[Answering, Any]:
    provider = Answering(*assets)
    return provider, engine.exchanges.provide(provider)


def test_it_has_all_that_the_interfaces_name(engine: Any) -> None:
    provider, _ = provide(engine, "a")
    exchange, _ = ask(engine)

    assert verifyObject(IExchanges, engine.exchanges)
    assert verifyObject(IExchange, exchange)
    assert verifyObject(IOffer, provider.offers[0])


def test_an_answer_comes_in_order(engine: Any) -> None:
    provider, _ = provide(engine, "a")
    _, asking = ask(engine)
    [offer] = provider.offers

    assert (offer.asset, offer.type_, offer.mime, offer.data) == ("a", "T", "m", b"what")
    offer.chunk("m", b"1")
    engine.wait()
    assert asking.heard == [("m", b"1")]
    offer.chunk("n", b"2")
    offer.end()
    engine.wait()

    assert asking.heard == [("m", b"1"), ("n", b"2"), "end"]
    assert not offer.is_open


def test_nobody_is_unhandled(engine: Any) -> None:
    provider, _ = provide(engine, "b")

    _, asking = ask(engine)

    assert asking.heard == ["REQ_UNHANDLED"]
    assert provider.offers == []


def test_a_refusal_leaves_it_to_the_others(engine: Any) -> None:
    one, _ = provide(engine, "a")
    two, _ = provide(engine, "a")
    _, asking = ask(engine)

    one.offers[0].failed("REQ_UNHANDLED")
    engine.wait()
    assert asking.heard == []
    two.offers[0].failed("REQ_UNHANDLED")
    engine.wait()

    assert asking.heard == ["REQ_UNHANDLED"]


def test_the_first_chunk_takes_it(engine: Any) -> None:
    one, _ = provide(engine, "a")
    two, _ = provide(engine, "a")
    _, asking = ask(engine)

    two.offers[0].chunk("m", b"x")
    engine.wait()
    one.offers[0].chunk("m", b"y")
    two.offers[0].end()
    engine.wait()

    assert asking.heard == [("m", b"x"), "end"]
    assert (one.cancelled_count, two.cancelled_count) == (1, 0)


def test_any_other_error_ends_it(engine: Any) -> None:
    one, _ = provide(engine, "a")
    two, _ = provide(engine, "a")
    _, asking = ask(engine)

    one.offers[0].failed("RESOURCE_UNKNOWN", "no file")
    engine.wait()

    assert asking.heard == ["RESOURCE_UNKNOWN"]
    assert two.cancelled_count == 1


def test_silence_is_a_timeout(engine: Any) -> None:
    provider, _ = provide(engine, "a")
    _, asking = ask(engine, timeout_s=2)

    engine.wait(1.5)
    assert asking.heard == []
    engine.wait(1)

    assert asking.heard == ["timeout"]
    assert provider.cancelled_count == 1


def test_cancel_ends_it_in_silence(engine: Any) -> None:
    provider, _ = provide(engine, "a")
    exchange, asking = ask(engine)

    exchange.cancel()
    engine.wait(20)
    exchange.cancel()

    assert asking.heard == []
    assert provider.cancelled_count == 1


def test_cancel_before_it_was_offered(engine: Any) -> None:
    provider, _ = provide(engine, "a")
    asking = Asking()

    engine.exchanges.open("a", "T", b"", "m", 1, asking).cancel()
    engine.wait(5)

    assert asking.heard == []
    assert provider.cancelled_count == len(provider.offers)


def test_a_provider_that_leaves_ends_its_own_alone(engine: Any) -> None:
    one, leave = provide(engine, "a")
    two, _ = provide(engine, "a", "b")
    _, asking = ask(engine)
    _, other = ask(engine, "b")
    one.offers[0].chunk("m", b"x")

    leave()
    engine.wait()

    assert asking.heard[-1] == "PROVIDER_FAILED"
    assert other.heard == []
    assert len(two.offers) == 2
    assert ask(engine)[1].heard == []  # it is offered to the other


def test_no_more_than_the_window_is_unread(engine: Any) -> None:
    provider, _ = provide(engine, "a")
    exchange, asking = ask(engine, window=100_000)
    [offer] = provider.offers
    unread = total = 0
    while total < 2_000_000:
        assert 0 < provider.credit <= 100_000
        size, provider.credit = provider.credit, 0
        offer.chunk("m", bytes(size))
        engine.wait()
        unread, total = unread + size, total + size
        assert unread <= 100_000
        exchange.credit(unread)
        unread = 0
        engine.wait()
    offer.end()
    engine.wait()

    assert sum(len(one[1]) for one in asking.heard[:-1]) == total
    assert asking.heard[-1] == "end"


def test_five_hundred_at_once(engine: Any) -> None:
    """FO-30."""
    provider, _ = provide(engine, "a")
    asked = [ask(engine)[1] for _ in range(500)]

    for n, offer in enumerate(provider.offers):
        offer.chunk("m", b"%d" % n)
        offer.end()
    engine.wait()

    assert [one.heard for one in asked] == [[("m", b"%d" % n), "end"] for n in range(500)]


def test_a_stop_ends_all(engine: Any) -> None:
    provider, _ = provide(engine, "a")
    _, asking = ask(engine)

    engine.stop()
    engine.wait()

    assert asking.heard == ["SHUTDOWN"]
    assert provider.cancelled_count == 1
    with pytest.raises(ShutdownRequested):
        ask(engine)


@pytest.mark.parametrize(
    ("head", "error"),
    [
        ({"asset": "nowhere"}, AssetUnknown),
        ({"type_": ""}, BadRequest),
        ({"mime": "a\nb"}, BadRequest),
        ({"timeout_s": 0}, BadRequest),
        ({"data": bytes(2**20 + 1)}, TooLarge),
        ({"window": 0}, BadRequest),
    ],
)
def test_what_cannot_be_asked_is_refused_at_once(
    engine: Any, head: dict[str, Any], error: type[Exception]
) -> None:
    asked = {"asset": "a", "type_": "T", "data": b"", "mime": "m", "timeout_s": 1.0}

    with pytest.raises(error):
        engine.exchanges.open(**{**asked, **head}, receiver=Asking())


def test_status_counts_how_they_ended(engine: Any) -> None:
    provider, _ = provide(engine, "a")
    ask(engine)[0].cancel()
    _, asking = ask(engine)
    provider.offers[-1].end()
    engine.wait()

    status = engine.exchanges.status()

    assert asking.heard == ["end"]
    assert (status["open"], status["opened"]) == (0, 2)
    assert (status["ended_end"], status["ended_cancel"]) == (1, 1)
