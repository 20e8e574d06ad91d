"""The pump: at least once, in order, one at a time, and nothing given up but as a counted gap."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from smapd.interfaces import ICursor, IReadings, ISink
from smapd.storage import DeliveryOptions
from smapd.storage.delivering import Idle, Paused, Sending, Stopped, Waiting
from smapd.testing import MemoryReadings
from smapd.values import Accepted, Limits, Outcome, Refused, Retry, TooLarge

from .pumps import Pump, ScriptedSink

DAY_S = 86_400.0


def poison(*bad: int, kind: type = Refused) -> ScriptedSink:
    """A sink that takes offence at these values."""

    def answer(values: list[int], location: str) -> Outcome:
        if set(bad) & set(values):
            return Retry(None, "it answered 500", 500) if kind is Retry else Refused("no", 400)
        return Accepted()

    return ScriptedSink(answer)


def test_what_is_committed_is_sent_in_order() -> None:
    """SM-30: each stream's readings in the order of the adds."""
    pump = Pump(ScriptedSink())
    pump.delivery.start()

    pump.add(1, 2)
    pump.add(3)

    assert pump.sink.accepted == [1, 2, 3]
    assert pump.cursor.waiting() == 0
    assert isinstance(pump.delivery.state, Idle)


def test_a_failure_keeps_everything_and_backs_off() -> None:
    """SM-30, SM-31: nothing leaves the buffer without 200, 201 or 204; pauses grow."""
    down = [True]
    sink = ScriptedSink(lambda v, _: Retry(None, "500") if down else Accepted())
    pump = Pump(sink)
    pump.delivery.start()
    pump.add(1)
    for second in range(5):
        pump.add(2 + second)
        pump.run.advance(1.0)

    assert isinstance(pump.delivery.state, Waiting)
    assert len(sink.tried) == 4  # at 0, 1, 2.5 and 4.75 s
    assert pump.cursor.waiting() == 6

    down.clear()
    pump.run.advance(60.0)

    assert sink.accepted == [1, 2, 3, 4, 5, 6]
    assert pump.delivery.counters.failures == 4


def test_no_pause_is_longer_than_a_minute() -> None:
    """SM-31: an hour of 500s."""
    sink = ScriptedSink(lambda v, _: Retry(None, "500"))
    pump = Pump(sink)
    pump.delivery.start()
    pump.add(1)
    pump.run.advance(3600.0)

    assert 60 <= len(sink.tried) <= 75


def test_the_cursor_is_durable_before_the_next_send() -> None:
    """SM-30: at most one body is sent twice after a crash."""
    pump = Pump(ScriptedSink())
    pump.journal.hold_acks()
    pump.delivery.start()
    pump.add(1)
    pump.add(2)

    assert pump.sink.accepted == [1]

    pump.journal.release_acks()

    pump.run.advance(0.1)
    assert pump.sink.accepted == [1, 2]


def test_a_cursor_that_cannot_be_written_stops_the_sends_until_it_can() -> None:
    """SM-29: a full disk; what was sent is not sent over and over."""
    pump = Pump(ScriptedSink())
    pump.journal.ack_error = OSError(28, "No space left on device")
    pump.delivery.start()
    pump.add(1)
    pump.add(2)
    pump.run.advance(30.0)

    assert pump.sink.accepted == [1]
    assert "No space" in pump.delivery.counters.last_error

    pump.journal.ack_error = None
    pump.run.advance(60.0)

    assert pump.sink.accepted == [1, 2]


def test_one_request_is_in_flight_at_a_time() -> None:
    """SM-31: ScriptedSink asserts it; what comes meanwhile goes with the next one."""
    answers: list[Deferred[Outcome]] = []

    def answer(values: list[int], location: str) -> Deferred[Outcome]:
        answers.append(Deferred())
        return answers[-1]

    pump = Pump(ScriptedSink(answer))
    pump.delivery.start()
    pump.add(1)
    pump.add(2)
    pump.add(3)

    assert isinstance(pump.delivery.state, Sending)
    assert [values for _, values in pump.sink.tried] == [[1]]
    pump.run.advance(40)
    assert pump.delivery.sending_s() >= 40  # what the watchdog asks

    answers[0].callback(Accepted())

    assert [values for _, values in pump.sink.tried] == [[1], [2, 3]]


def test_fallbacks_are_tried_in_a_ring_and_kept_to() -> None:
    """SM-27: the recorded order: main, zero; then zero, one, seven; then seven, main."""
    refusing: set[str] = set()
    sink = ScriptedSink(lambda v, at: Retry(None, "500") if at in refusing else Accepted())
    pump = Pump(sink, locations=("main", "zero", "one", "seven"))
    pump.delivery.start()
    for value, down in enumerate(([], ["main"], [], ["zero", "one"], ["zero", "one", "seven"])):
        refusing.clear()
        refusing.update(down)
        pump.add(value)
        pump.run.advance(10.0)

    assert [at for at, _ in sink.tried] == [
        *("main", "main", "zero", "zero", "zero", "one", "seven", "seven", "main"),
    ]
    assert sink.accepted == [0, 1, 2, 3, 4]


def test_the_pause_a_sink_asks_for_is_kept() -> None:
    """SM-31: Retry-After."""
    sink = ScriptedSink(lambda v, _: Retry(120.0, "429"))
    pump = Pump(sink)
    pump.delivery.start()
    pump.add(1)
    pump.run.advance(119.0)
    assert len(sink.tried) == 1

    pump.run.advance(1.0)
    assert len(sink.tried) == 2


def test_the_pause_one_place_asks_for_does_not_hold_up_another() -> None:
    """SM-27, SM-31."""
    sink = ScriptedSink(lambda v, at: Retry(600.0, "429") if at == "main" else Accepted())
    pump = Pump(sink, locations=("main", "zero"))
    pump.delivery.start()
    pump.add(1)
    pump.run.advance(1.0)

    assert sink.accepted == [1]


def test_too_large_is_halved_at_once_until_it_fits() -> None:
    """SM-31: 413 halves, without a pause and without a failure."""
    sink = ScriptedSink(lambda v, _: TooLarge() if len(v) > 3 else Accepted())
    pump = Pump(sink)
    pump.delivery.start()
    pump.add(*range(10))

    assert sink.accepted == list(range(10))
    assert [len(values) for _, values in sink.tried] == [10, 5, 2, 2, 2, 2, 2]
    assert pump.delivery.counters.failures == 0


@pytest.mark.parametrize(
    ("bad", "kind"), [*((bad, Refused) for bad in (0, 1, 37, 98, 99)), (0, Retry), (37, Retry)]
)
def test_one_bad_record_is_found_and_set_aside_as_a_gap(bad: int, kind: type) -> None:
    """SM-31: wherever it stands, first and last included; its neighbours are delivered once."""
    sink = poison(bad, kind=kind)
    pump = Pump(sink)
    pump.delivery.start()
    pump.add(*range(100))
    pump.run.advance(10.0)

    assert sink.accepted == [value for value in range(100) if value != bad]
    assert [(gap.from_seq, gap.to_seq, gap.count, gap.why) for gap in pump.missing] == [
        (bad, bad, 1, "refused")
    ]
    assert [gap["why"] for gap in sink.gaps] == ["refused"]
    assert len(sink.tried) < 40


def test_the_last_record_that_only_gets_500_waits_for_one_behind_it() -> None:
    """SM-31: it may be the sink that went down just then."""
    sink = poison(99, kind=Retry)
    pump = Pump(sink)
    pump.delivery.start()
    pump.add(*range(100))
    pump.run.advance(60.0)
    assert pump.missing == []

    pump.add(100, 101)
    pump.run.advance(700.0)

    assert sink.accepted == [*range(99), 100, 101]
    assert sum(gap.count for gap in pump.missing) == 1


def test_bad_records_side_by_side_are_each_found() -> None:
    """SM-31."""
    sink = poison(40, 41, 42)
    pump = Pump(sink, gaps=False)
    pump.delivery.start()
    pump.add(*range(100))
    pump.run.advance(10.0)

    assert sink.accepted == [value for value in range(100) if value not in (40, 41, 42)]
    assert sum(gap.count for gap in pump.missing) == 3


def test_a_sink_that_refuses_everything_loses_nothing() -> None:
    """SM-31: then it is the sink that is down, and not the readings that are bad."""
    down = [True]
    sink = ScriptedSink(lambda v, _: Refused("400") if down and v else Accepted())
    pump = Pump(sink)
    pump.delivery.start()
    pump.add(*range(50))
    pump.run.advance(3600.0)

    assert pump.missing == []
    assert pump.cursor.waiting() == 50
    assert len(sink.tried) < 600
    assert "400" in pump.delivery.counters.last_error

    down.clear()
    pump.run.advance(61.0)

    assert sink.accepted == list(range(50))


def test_a_single_reading_that_is_refused_waits_for_a_witness() -> None:
    """SM-31: only a neighbour that was accepted makes a refused record guilty."""
    sink = poison(1)
    pump = Pump(sink)
    pump.delivery.start()
    pump.add(1)
    pump.run.advance(120.0)
    assert pump.missing == []

    pump.add(2, 3)
    pump.run.advance(61.0)

    assert sink.accepted == [2, 3]
    assert sum(gap.count for gap in pump.missing) == 1


def test_no_more_than_ten_records_an_hour_are_set_aside() -> None:
    """SM-31: beyond that the sink counts as down, and everything is kept."""
    sink = ScriptedSink(lambda v, _: Refused("odd") if any(x % 2 for x in v) else Accepted())
    pump = Pump(sink)
    pump.delivery.start()
    pump.add(*range(60))
    pump.run.advance(3000.0)

    assert sum(gap.count for gap in pump.missing) == 10
    assert sink.accepted == list(range(0, 21, 2))
    kept = pump.cursor.waiting()
    assert kept == 60 - 21

    pump.run.advance(2 * 3600.0)

    assert sum(gap.count for gap in pump.missing) == 29
    assert sink.accepted == list(range(0, 60, 2))
    assert pump.cursor.waiting() == 1  # 59 is the last one: nothing behind it speaks against it


def test_a_sink_of_several_places_judges_by_the_same_place() -> None:
    """SM-31: a witness that another place accepted counts for nothing."""
    seen: list[str] = []

    def answer(values: list[int], location: str) -> Outcome:
        seen.append(location)
        return Refused("no") if location == "main" else Accepted()

    pump = Pump(ScriptedSink(answer), locations=("main", "zero"))
    pump.delivery.start()
    pump.add(*range(20))
    pump.run.advance(10.0)

    assert pump.sink.accepted == list(range(20))
    assert pump.missing == []


def test_min_period_is_kept_and_what_came_meanwhile_goes_in_one_round() -> None:
    """SM-28: MinPeriod, from a config file too."""
    pump = Pump(ScriptedSink(), options=DeliveryOptions(min_period_s=5.0))
    pump.delivery.start()
    for value in range(10):
        pump.add(value)
        pump.run.advance(1.0)

    assert [values for _, values in pump.sink.tried] == [[0], [1, 2, 3, 4], [5, 6, 7, 8, 9]]

    assert pump.delivery.counters.bodies == 3


def test_max_period_sends_an_empty_body_when_nothing_else_comes() -> None:
    """SM-28: MaxPeriod."""
    pump = Pump(ScriptedSink(), options=DeliveryOptions(max_period_s=60.0))
    pump.delivery.start()
    pump.add(1)
    pump.run.advance(125.0)

    assert [values for _, values in pump.sink.tried] == [[1], [], []]


def test_catch_up_rate_bounds_a_backlog_only() -> None:
    """U-04: 10,000 readings at once, and no more than 1,000 a second after that."""
    pump = Pump(
        ScriptedSink(),
        options=DeliveryOptions(catch_up_rate=1000.0),
        limits=Limits(max_readings=None),
    )
    pump.add(*range(25_000))
    pump.delivery.start()
    assert len(pump.sink.accepted) == 10_000

    pump.run.advance(9.9)
    assert len(pump.sink.accepted) == 10_000

    pump.run.advance(10.2)
    assert len(pump.sink.accepted) == 25_000

    pump.add(25_000)
    assert len(pump.sink.accepted) == 25_001


def test_bytes_of_a_day_are_capped_and_the_next_day_goes_on() -> None:
    """U-04: the rest waits, and nothing is lost."""
    pump = Pump(ScriptedSink(), options=DeliveryOptions(bytes_per_day=1))
    pump.delivery.start()
    pump.add(1)
    pump.add(2)
    assert pump.sink.accepted == [1]
    assert isinstance(pump.delivery.state, Waiting)

    pump.run.advance(DAY_S)
    assert pump.sink.accepted == [1, 2]


def test_paused_sends_nothing_and_resumed_goes_on() -> None:
    """SM-31."""
    pump = Pump(ScriptedSink())
    pump.delivery.start()
    pump.delivery.pause("somebody said so")
    pump.add(1)
    assert pump.delivery.state == Paused("somebody said so")
    assert pump.sink.tried == []

    pump.delivery.resume()
    assert pump.sink.accepted == [1]


def test_stop_cuts_what_is_in_flight_and_leaves_it_pending() -> None:
    """SM-30."""
    sink = ScriptedSink(lambda values, location: Deferred())
    pump = Pump(sink)
    pump.delivery.start()
    pump.add(1)
    done: list[None] = []

    pump.delivery.stop().addCallback(done.append)

    assert done == [None]
    assert pump.delivery.state == Stopped()
    assert pump.cursor.waiting() == 1
    assert pump.run.clock.pending == 0


def test_news_go_first_and_readings_wait_for_them() -> None:
    """SM-26: metadata before readings."""
    order: list[int] = []

    def answer(values: list[int], location: str) -> Outcome:
        order.append(len(values))
        return Accepted() if len(order) > 2 else Retry(None, "500")

    pump = Pump(ScriptedSink(answer))
    pump.source.news = 1
    pump.add(7)
    pump.delivery.start()
    pump.run.advance(10.0)

    assert order == [0, 0, 0, 1]


def test_news_that_come_while_the_journal_is_read_are_not_overlooked() -> None:
    """SM-26: nobody rings twice."""
    pump = Pump(ScriptedSink())
    reading: Deferred[object] = Deferred()
    real = pump.cursor.read
    pump.cursor.read = lambda *a: reading.addCallback(lambda _: real(*a))  # type: ignore[method-assign,assignment]
    pump.delivery.start()
    pump.source.news = 1
    pump.delivery.nudge()

    reading.callback(None)

    assert [values for _, values in pump.sink.tried] == [[]]


def test_news_that_are_refused_three_times_do_not_block_the_readings() -> None:
    """SM-31: a sink that takes no body without readings."""
    sink = ScriptedSink(lambda v, _: Accepted() if v else Refused("empty"))
    pump = Pump(sink)
    pump.source.news = 1
    pump.add(7)
    pump.delivery.start()
    pump.run.advance(20.0)

    assert sink.accepted == [7]
    assert pump.source.skipped == 1


def test_readings_beyond_the_limit_are_told_as_a_gap_once() -> None:
    """SM-29: 10,000 values a stream, the oldest dropped first, and the drop counted."""
    down = [True]
    sink = ScriptedSink(lambda v, _: Retry(None, "500") if down else Accepted())
    pump = Pump(sink, limits=Limits(max_readings=10))
    pump.delivery.start()
    pump.add(*range(25))
    pump.run.advance(30.0)
    down.clear()
    pump.run.advance(60.0)

    assert sink.accepted == list(range(15, 25))
    assert sum(gap.count for gap in pump.missing) == 15
    assert [gap["count"] for gap in sink.gaps] == [15]


def test_a_gap_that_grows_while_the_sink_is_away_is_counted_whole() -> None:
    """SM-29: exact, however often it was read."""
    down = [True]
    sink = ScriptedSink(lambda v, _: Retry(None, "500") if down else Accepted())
    pump = Pump(sink, limits=Limits(max_readings=10))
    pump.delivery.start()
    for value in range(100):
        pump.add(value)
        pump.run.advance(1.0)
    down.clear()
    pump.run.advance(60.0)

    assert sink.accepted == list(range(90, 100))
    assert sum(gap.count for gap in pump.missing) == 90


def test_a_sink_that_goes_down_with_500_in_a_hunt_loses_nothing() -> None:
    """SM-31: 500 is no proof against a record, if nothing behind it goes through."""
    state = ["poison"]

    def answer(values: list[int], location: str) -> Outcome:
        if state[0] == "poison" and 70 in values:
            if len(values) == 1:
                state[0] = "down"
            return Refused("no", 400)
        return Retry(None, "500", 500) if state[0] == "down" else Accepted()

    pump = Pump(ScriptedSink(answer))
    pump.delivery.start()
    pump.add(*range(100))
    pump.run.advance(600.0)
    assert pump.missing == []

    state[0] = "well"
    pump.run.advance(61.0)
    assert pump.sink.accepted == list(range(100))


def test_a_mistake_of_the_sink_is_logged_and_the_delivery_goes_on() -> None:
    """SM-31."""
    broken = [True]

    def answer(values: list[int], location: str) -> Outcome:
        if broken:
            raise RuntimeError("a bug")
        return Accepted()

    pump = Pump(ScriptedSink(answer))
    pump.delivery.start()
    pump.add(1)
    assert "RuntimeError: a bug" in pump.delivery.counters.last_error

    broken.clear()
    pump.run.advance(2.0)
    assert pump.sink.accepted == [1]


def test_what_nobody_selects_is_passed_over_without_a_send() -> None:
    """SM-25."""
    pump = Pump(ScriptedSink())
    pump.cursor.change({99}.__contains__, Limits())
    pump.delivery.start()
    pump.add(1)

    assert pump.sink.tried == []
    assert pump.cursor.position == pump.journal.newest


def test_a_cursor_taken_up_again_goes_on_where_it_was() -> None:
    """SM-29: delivered after a restart."""
    journal = MemoryReadings()
    first = Pump(ScriptedSink(lambda v, _: Retry(None, "500")), journal=journal)
    first.delivery.start()
    first.add(1, 2)
    first.delivery.stop()

    second = Pump(ScriptedSink(), journal=journal)
    second.delivery.start()

    assert second.sink.accepted == [1, 2]


def test_what_stands_in_for_the_journal_has_its_interfaces() -> None:
    """SM-29: a test over it means something."""
    pump = Pump(ScriptedSink())

    assert verifyObject(IReadings, pump.journal)
    assert verifyObject(ICursor, pump.cursor)
    assert verifyObject(ISink, pump.sink)
