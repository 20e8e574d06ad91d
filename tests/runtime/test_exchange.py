"""One streamed request: exactly one end for each side, under every order of what can happen."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface import implementer

from smapd.interfaces import IOffer, IProvider, IReceiver
from smapd.runtime.exchange import (
    ALL_BYTES,
    FIRST_BYTES,
    MANY,
    MOST_BYTES,
    MOST_CHUNKS,
    Budget,
    End,
    Exchange,
)
from smapd.testing import FakeClock


@implementer(IReceiver)
class Requester:
    def __init__(self) -> None:
        self.chunks: list[tuple[str, bytes]] = []
        self.ends: list[Any] = []

    def chunk(self, mime: str, data: bytes) -> None:
        assert not self.ends, "a chunk after the end"
        self.chunks.append((mime, data))

    def end(self) -> None:
        self.ends.append("end")

    def failed(self, reason: str, message: str) -> None:
        self.ends.append(("failed", reason, message))

    def timed_out(self) -> None:
        self.ends.append("timeout")

    @property
    def data(self) -> bytes:
        return b"".join(data for _, data in self.chunks)


@implementer(IProvider)
class Provider:
    def __init__(self) -> None:
        self.offer: IOffer | None = None
        self.credit = 0
        self.cancelled_why: list[str] = []
        self.ended_itself = False

    def serves(self, asset: str) -> bool:
        return True

    def offered(self, offer: IOffer, credit: int) -> None:
        assert self.offer is None
        self.offer, self.credit = offer, credit

    def credited(self, offer: IOffer, size_bytes: int) -> None:
        assert offer is self.offer
        assert size_bytes > 0
        assert not self.cancelled_why, "credit after a cancel"
        self.credit += size_bytes

    def cancelled(self, offer: IOffer, why: str) -> None:
        assert offer is self.offer
        assert not self.ended_itself, "cancelled after an end of its own"
        self.cancelled_why.append(why)

    # the provider's own moves

    def chunk(self, data: bytes, mime: str = "m") -> None:
        self.credit -= len(data)
        self.offer.chunk(mime, data)

    def end(self) -> None:
        if not self.cancelled_why:
            self.ended_itself = True
        self.offer.end()

    def fail(self, reason: str) -> None:
        if not self.cancelled_why:
            self.ended_itself = True
        self.offer.failed(reason, "why")

    def gone(self) -> None:
        if not self.cancelled_why:
            self.ended_itself = True
        self.offer.gone("it died")


class Case:
    def __init__(self, providers: int = 1, timeout_s: float = 10, window: int = MOST_BYTES) -> None:
        self.clock = FakeClock()
        self.requester = Requester()
        self.providers = [Provider() for _ in range(providers)]
        self.budget = Budget()
        self.closed: list[End] = []
        self.exchange = Exchange(
            "a",
            "Type",
            "text/plain",
            b"question",
            receiver=self.requester,
            timeout_s=timeout_s,
            window=window,
            budget=self.budget,
            clock=self.clock,
            closed=lambda _, end: self.closed.append(end),
        )
        self.exchange.begin(self.providers)


def test_an_answer_comes_in_order_and_ends_once() -> None:
    """FO-27, FO-28: the first chunk is there before the last one was sent."""
    case = Case()
    [provider] = case.providers

    provider.chunk(b"one")

    assert case.requester.chunks == [("m", b"one")]
    provider.chunk(b"two", "n")
    provider.end()
    assert case.requester.chunks == [("m", b"one"), ("n", b"two")]
    assert case.requester.ends == ["end"]
    assert case.closed == [End.END]


def test_an_offer_says_what_was_asked() -> None:
    """IN-24."""
    offer = Case().providers[0].offer

    assert (offer.asset, offer.type_, offer.mime, offer.data) == (
        "a",
        "Type",
        "text/plain",
        b"question",
    )


def test_nobody_there_is_unhandled() -> None:
    case = Case(providers=0)

    assert case.requester.ends[0][:2] == ("failed", "REQ_UNHANDLED")


def test_a_refusal_leaves_it_with_the_others() -> None:
    """IN-34."""
    case = Case(providers=2)

    case.providers[0].fail("REQ_UNHANDLED")
    case.providers[1].chunk(b"x")
    case.providers[1].end()

    assert case.requester.data == b"x"
    assert case.requester.ends == ["end"]


def test_all_refusals_are_unhandled() -> None:
    """IN-34, FO-33."""
    case = Case(providers=3)

    for provider in case.providers:
        provider.fail("REQ_UNHANDLED")

    assert case.requester.ends == [
        ("failed", "REQ_UNHANDLED", "Nobody answers requests of type Type for a.")
    ]


def test_the_first_chunk_takes_it() -> None:
    case = Case(providers=2)

    case.providers[1].chunk(b"mine")
    case.providers[0].chunk(b"late")
    case.providers[0].end()
    case.providers[1].end()

    assert case.providers[0].cancelled_why == ["another one answers it"]
    assert case.requester.data == b"mine"
    assert case.requester.ends == ["end"]


def test_any_other_error_takes_it() -> None:
    """FO-32, FO-33: a reason arrives as it was sent."""
    case = Case(providers=2)

    case.providers[0].fail("RESOURCE_UNKNOWN")

    assert case.requester.ends == [("failed", "RESOURCE_UNKNOWN", "why")]
    assert len(case.providers[1].cancelled_why) == 1


def test_an_answer_of_nothing_is_an_answer() -> None:
    case = Case()

    case.providers[0].chunk(b"", "text/plain")
    case.providers[0].end()

    assert case.requester.chunks == [("text/plain", b"")]
    assert case.requester.ends == ["end"]


def test_a_failure_after_chunks_is_no_end() -> None:
    """IN-30: a broken answer does not look complete."""
    case = Case()

    case.providers[0].chunk(b"half")
    case.providers[0].fail("PROVIDER_FAILED")

    assert case.requester.ends == [("failed", "PROVIDER_FAILED", "why")]


def test_an_unhandled_after_chunks_is_a_failure_too() -> None:
    case = Case(providers=2)

    case.providers[0].chunk(b"half")
    case.providers[0].fail("REQ_UNHANDLED")

    assert case.requester.ends == [("failed", "REQ_UNHANDLED", "why")]


def test_a_dead_owner_is_a_failure() -> None:
    case = Case()

    case.providers[0].chunk(b"half")
    case.providers[0].gone()

    assert case.requester.ends == [("failed", "PROVIDER_FAILED", "it died")]


def test_a_dead_one_that_did_not_own_it_leaves_the_others() -> None:
    case = Case(providers=2)

    case.providers[0].gone()
    assert case.requester.ends == []
    case.providers[1].fail("REQ_UNHANDLED")

    assert case.requester.ends[0][:2] == ("failed", "PROVIDER_FAILED")


def test_silence_is_a_timeout_on_time() -> None:
    """FO-34: about ``timeout`` seconds after the call."""
    case = Case(timeout_s=10)

    case.clock.advance(9.9)
    assert case.requester.ends == []
    case.clock.advance(0.2)

    assert case.requester.ends == ["timeout"]
    assert case.providers[0].cancelled_why == ["it was not answered in time"]


def test_each_chunk_gives_the_provider_its_time_anew() -> None:
    case = Case(timeout_s=10)

    for _ in range(5):
        case.clock.advance(9)
        case.providers[0].chunk(b"x")
    case.clock.advance(9)
    assert case.requester.ends == []
    case.clock.advance(2)

    assert case.requester.ends == ["timeout"]


def test_a_slow_reader_is_not_the_providers_timeout() -> None:
    case = Case(timeout_s=10)
    [provider] = case.providers
    provider.chunk(bytes(provider.credit))

    case.clock.advance(1000)

    assert case.requester.ends == []
    case.exchange.credit(len(case.requester.data))
    case.clock.advance(11)
    assert case.requester.ends == ["timeout"]


def test_cancel_is_silent_to_who_cancels_and_told_to_who_answers() -> None:
    case = Case(providers=2)

    case.exchange.cancel()
    case.exchange.cancel()
    case.providers[0].chunk(b"late")
    case.clock.advance(100)

    assert case.requester.ends == []
    assert case.requester.chunks == []
    assert [len(provider.cancelled_why) for provider in case.providers] == [1, 1]
    assert case.closed == [End.CANCEL]


def test_a_stop_fails_it() -> None:
    case = Case()

    case.exchange.abort("SHUTDOWN", "smapd is stopping.")

    assert case.requester.ends == [("failed", "SHUTDOWN", "smapd is stopping.")]
    assert len(case.providers[0].cancelled_why) == 1


def test_more_than_the_credit_is_refused() -> None:
    case = Case()

    case.providers[0].chunk(bytes(case.providers[0].credit + 1))

    assert case.requester.ends[0][:2] == ("failed", "PROVIDER_FAILED")
    assert "credit" in case.requester.ends[0][2]
    assert len(case.providers[0].cancelled_why) == 1


def test_the_grant_grows_while_there_is_room() -> None:
    case = Case()
    [provider] = case.providers
    assert provider.credit == FIRST_BYTES

    for _ in range(20):
        size = provider.credit
        provider.chunk(bytes(size))
        case.exchange.credit(size)

    assert provider.credit == MOST_BYTES
    assert case.exchange.granted == MOST_BYTES


def test_the_window_of_who_asks_is_the_most() -> None:
    case = Case(window=1000)
    [provider] = case.providers

    for _ in range(10):
        provider.chunk(bytes(provider.credit))
        case.exchange.credit(2000)

    assert provider.credit <= 1000


def test_what_is_unread_of_all_stays_in_its_bound() -> None:
    budget = Budget()
    sizes = []
    while size := budget.first(MOST_BYTES):
        sizes.append(size)

    assert sum(sizes) <= ALL_BYTES
    assert len(sizes) >= 500  # that many requests at once each have a start
    assert min(sizes[:500]) >= 16 * 1024


def test_the_budget_is_given_back() -> None:
    case = Case()
    assert case.budget.granted > 0

    case.providers[0].end()

    assert case.budget.granted == 0


def test_small_chunks_to_a_slow_reader_are_joined() -> None:
    case = Case()
    [provider] = case.providers
    for n in range(20_000):
        provider.chunk(b"%05d" % n)
    case.clock.advance(1)
    while len(case.requester.data) < 100_000:
        case.exchange.credit(len(case.requester.data))
        case.clock.advance(1)
    provider.end()

    assert case.requester.data == b"".join(b"%05d" % n for n in range(20_000))
    assert len(case.requester.chunks) < MANY + 100


def test_a_small_chunk_does_not_wait_for_ever_to_be_joined() -> None:
    case = Case()
    for _ in range(MANY + 1):
        case.providers[0].chunk(b"x")
    assert len(case.requester.chunks) == MANY

    case.clock.advance(0.3)

    assert len(case.requester.chunks) == MANY + 1


def test_no_number_of_small_pieces_fills_the_memory() -> None:
    case = Case(window=MOST_BYTES)
    [provider] = case.providers

    for n in range(3 * MOST_CHUNKS):
        provider.chunk(b"x", f"mime/{n}")

    assert len(case.requester.chunks) <= MOST_CHUNKS + 1
    assert case.requester.ends[0][:2] == ("failed", "PROVIDER_FAILED")


def test_empty_chunks_cost_nothing() -> None:
    case = Case()

    for _ in range(1000):
        case.providers[0].chunk(b"")

    assert len(case.requester.chunks) == 1


def test_more_credit_than_was_read_is_worth_what_was_read() -> None:
    case = Case()
    [provider] = case.providers
    provider.chunk(bytes(FIRST_BYTES))

    case.exchange.credit(10**12)

    assert provider.credit <= 2 * FIRST_BYTES


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("chunk"), st.integers(0, 2), st.integers(0, 40_000)),
        st.tuples(st.sampled_from(["end", "refuse", "fail", "gone"]), st.integers(0, 2)),
        st.tuples(st.just("credit"), st.integers(0, 100_000)),
        st.tuples(st.just("wait"), st.floats(0.01, 12)),
        st.tuples(st.sampled_from(["cancel", "abort"])),
    ),
    max_size=40,
)


@settings(max_examples=400)
@given(st.integers(0, 3), MOVES)
def test_every_order_has_exactly_one_end_for_each_side(
    providers: int, moves: list[tuple[Any, ...]]
) -> None:
    """FO-30 and invariant 5: whatever comes in whatever order, nobody hears two ends, or none."""
    case = Case(providers=providers, timeout_s=10)
    sent: dict[int, bytes] = dict.fromkeys(range(providers), b"")
    cancelled = False
    for name, *more in moves:
        if name == "chunk" and more[0] < providers:
            provider = case.providers[more[0]]
            data = bytes([more[0]]) * min(more[1], max(0, provider.credit))
            if provider.offer.is_open:
                sent[more[0]] += data
            provider.chunk(data)
        elif name in ("end", "refuse", "fail", "gone") and more[0] < providers:
            provider = case.providers[more[0]]
            {
                "end": provider.end,
                "gone": provider.gone,
                "refuse": lambda p=provider: p.fail("REQ_UNHANDLED"),
                "fail": lambda p=provider: p.fail("BUSY"),
            }[name]()
        elif name == "credit":
            case.exchange.credit(more[0])
        elif name == "wait":
            case.clock.advance(more[0])
        elif name == "cancel":
            cancelled = cancelled or case.exchange.outcome is None
            case.exchange.cancel()
        elif name == "abort":
            case.exchange.abort("SHUTDOWN", "stop")
        assert case.exchange.unread <= case.exchange.granted or case.exchange.outcome
    case.exchange.credit(10**9)
    case.clock.advance(1000)  # the rest is silence
    if case.exchange.outcome is None:  # the reader was slow: let it read
        for _ in range(100):
            case.exchange.credit(10**9)
            case.clock.advance(20)

    assert len(case.requester.ends) == (0 if cancelled else 1)
    assert len(case.closed) == 1
    assert case.budget.granted == 0
    assert case.clock.pending == 0
    for provider in case.providers:
        assert len(provider.cancelled_why) + provider.ended_itself == 1
        assert not provider.offer.is_open
    data = case.requester.data
    if data:  # of one provider alone, and a prefix of what it sent
        assert len(set(data)) == 1
        assert sent[data[0]].startswith(data)
        if case.requester.ends == ["end"]:
            assert sent[data[0]] == data


def test_a_requester_may_cancel_within_a_chunk() -> None:
    case = Case()
    case.requester.chunk = lambda mime, data: case.exchange.cancel()

    case.providers[0].chunk(b"x")
    case.providers[0].end()

    assert case.requester.ends == []
    assert case.closed == [End.CANCEL]


def test_a_provider_may_refuse_at_once() -> None:
    clock, requester, closed = FakeClock(), Requester(), []
    exchange = Exchange(
        "a",
        "t",
        "m",
        b"",
        receiver=requester,
        timeout_s=1,
        window=1,
        budget=Budget(),
        clock=clock,
        closed=lambda _, end: closed.append(end),
    )
    one, other = Provider(), Provider()
    one.offered = lambda offer, credit: offer.failed("REQ_UNHANDLED")

    exchange.begin([one, other])
    assert requester.ends == []
    other.fail("REQ_UNHANDLED")

    assert requester.ends[0][:2] == ("failed", "REQ_UNHANDLED")


@pytest.mark.parametrize("size", [1, 100, 65_536, 2**20, 5 * 2**20])
def test_joined_chunks_equal_what_was_sent(size: int) -> None:
    """FO-29."""
    case = Case()
    [provider] = case.providers
    data = bytes(n % 251 for n in range(1000)) * (size // 1000 + 1)
    data = data[:size]
    at = 0
    while at < size:
        piece = data[at : at + min(provider.credit, 2**20)]
        provider.chunk(piece)
        at += len(piece)
        case.exchange.credit(len(piece))
    provider.end()

    assert case.requester.data == data
