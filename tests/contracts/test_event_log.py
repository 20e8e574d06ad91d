"""What every event log promises, whichever engine keeps it (``IEventLog``)."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from zope.interface.verify import verifyObject

from smapd.errors import BadRequest, Busy, ShutdownRequested, StorageFull, TooLarge
from smapd.interfaces import IEventCursor, IEventLog
from smapd.values import ASSET_LOG, EventRecord, Start


def event(n: int = 0, at_ms: int = 0, **more: Any) -> EventRecord:
    made = EventRecord("Built", 1, "plant", n, at_ms, "json", b'{"n":%d}' % n)
    return made._replace(**more)


def publish(engine: Any, asset: str, *numbers: int) -> int:
    """Publish one event for each number; the offset of the first."""
    return engine.result(engine.log.append(asset, [event(n, 1000 * n) for n in numbers]))


def read(engine: Any, asset: str, offset: int = 0, **more: Any) -> list[tuple[int, int]]:
    """(offset, number) of what is read."""
    found = engine.result(engine.log.read(asset, offset, **more))
    assert all(one.data == b'{"n":%d}' % one.time_ms for one in found)
    return [(one.offset, one.time_ms) for one in found]


def errors(d: Any) -> list[type[BaseException]]:
    """The class of what it failed with; nothing while it has not fired."""
    found: list[type[BaseException]] = []
    d.addErrback(lambda failure: found.append(failure.type))
    return found


def test_it_has_all_that_the_interface_names(engine: Any) -> None:
    assert verifyObject(IEventLog, engine.log)
    assert verifyObject(IEventCursor, engine.result(engine.log.cursor("f", "a")))


# --- publishing


def test_offsets_begin_at_zero_and_are_dense_per_asset(engine: Any) -> None:
    """FO-14."""
    assert [publish(engine, "a", 0), publish(engine, "a", 1, 2), publish(engine, "b", 7)] == [
        0,
        1,
        0,
    ]
    assert publish(engine, "a", 3) == 3

    assert engine.log.next_offset("a") == 4
    assert read(engine, "a") == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert read(engine, "b") == [(0, 7)]


def test_an_event_comes_back_as_it_was(engine: Any) -> None:
    """FO-13."""
    given = [
        EventRecord("Ä", 3, "quelle ß", -5, 2**40, "json", b"{}"),
        EventRecord("Avro", 2**32 - 1, "", 0, 0, "avro", bytes(range(256)) * 40),
        EventRecord("Empty", 0, "s", 1, 1, "json", b""),
    ]

    engine.result(engine.log.append("a", given))
    now = engine.result(engine.log.read("a", 0))
    engine.restart()
    later = engine.result(engine.log.read("a", 0))

    assert now == later == [one._replace(offset=i) for i, one in enumerate(given)]


def test_nothing_counts_before_it_is_durable(engine: Any) -> None:
    """FO-23."""
    engine.hold()
    first = engine.log.append("a", [event(0)])

    assert not first.called
    assert engine.log.next_offset("a") == 0
    assert not engine.log.when_more("a", 0).called

    engine.let_go()
    assert engine.result(first) == 0
    assert engine.log.next_offset("a") == 1


def test_what_arrives_during_a_commit_keeps_its_order(engine: Any) -> None:
    """FO-17."""
    engine.hold()
    appends = [engine.log.append("a", [event(n)]) for n in range(20)]
    engine.let_go()

    assert [engine.result(one) for one in appends] == list(range(20))
    assert read(engine, "a") == [(n, n) for n in range(20)]


def test_events_survive_a_restart_and_offsets_go_on(engine: Any) -> None:
    """FO-23, FO-40."""
    publish(engine, "a", 0, 1)
    publish(engine, ASSET_LOG, 5)

    engine.restart()

    assert engine.log.assets() == [ASSET_LOG, "a"]
    assert publish(engine, "a", 2) == 2
    assert read(engine, "a") == [(0, 0), (1, 1), (2, 2)]


def test_a_cancelled_append_is_kept_all_the_same(engine: Any) -> None:
    engine.hold()
    first = engine.log.append("a", [event(0)])
    failed = errors(first)
    first.cancel()
    engine.let_go()

    assert failed == [CancelledError]
    assert read(engine, "a") == [(0, 0)]


@pytest.mark.parametrize(
    ("asset", "records", "why"),
    [
        ("a", [], "no event"),
        ("", [event()], "id"),
        ("a" * 201, [event()], "id"),
        ("a", [event(form="xml")], "form"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    engine: Any, asset: str, records: list[EventRecord], why: str
) -> None:
    with pytest.raises(BadRequest, match=why):
        engine.result(engine.log.append(asset, records))

    assert engine.log.assets() == []


def test_too_large_an_append_is_refused_whole(engine: Any) -> None:
    with pytest.raises(TooLarge):
        engine.result(engine.log.append("a", [event(0), event(1, data=bytes(9 * 2**20))]))

    assert read(engine, "a") == []


def test_more_than_may_wait_is_busy_and_the_rest_is_kept(engine: Any) -> None:
    engine.hold()
    big = bytes(4 * 2**20 - 10_000)
    waiting = [engine.log.append("a", [event(n, data=big)]) for n in range(4)]
    failed = errors(engine.log.append("a", [event(4, data=big)]))
    engine.let_go()

    assert failed == [Busy]
    assert [engine.result(one) for one in waiting] == [0, 1, 2, 3]
    assert engine.result(engine.log.append("a", [event(4, data=big)])) == 4


# --- dedupe


def test_the_same_id_again_gives_the_offset_of_then(engine: Any) -> None:
    """FO-20: a publisher that does not know whether it was heard asks again."""
    publish(engine, "a", 9)
    first = engine.result(engine.log.append("a", [event(0), event(1)], "x"))
    again = engine.result(engine.log.append("a", [event(0), event(1)], "x"))
    engine.restart()
    later = engine.result(engine.log.append("a", [event(0), event(1)], "x"))

    assert first == again == later == 1
    assert engine.log.next_offset("a") == 3


def test_the_same_id_while_the_first_is_under_way_waits_for_it(engine: Any) -> None:
    engine.hold()
    both = [engine.log.append("a", [event(0)], "x") for _ in range(2)]
    assert not both[1].called
    engine.let_go()

    assert [engine.result(one) for one in both] == [0, 0]
    assert engine.log.next_offset("a") == 1


def test_ids_of_two_assets_do_not_mix(engine: Any) -> None:
    for asset in "ab":
        assert engine.result(engine.log.append(asset, [event(0)], "x")) == 0

    assert read(engine, "b") == [(0, 0)]


def test_an_id_whose_append_failed_may_be_used_again(engine: Any) -> None:
    engine.fill()
    with pytest.raises(StorageFull):
        engine.result(engine.log.append("a", [event(0)], "x"))
    engine.free()

    assert engine.result(engine.log.append("a", [event(0)], "x")) == 0
    assert engine.log.next_offset("a") == 1


# --- a full disk


def test_a_full_disk_refuses_at_once_and_keeps_nothing_of_it(engine: Any) -> None:
    publish(engine, "a", 0)
    engine.fill()
    with pytest.raises(StorageFull):
        publish(engine, "a", 1, 2)

    assert engine.log.next_offset("a") == 1
    assert read(engine, "a") == [(0, 0)]
    engine.free()
    assert publish(engine, "a", 3) == 1
    engine.restart()
    assert read(engine, "a") == [(0, 0), (1, 3)]


# --- reading


def test_reading_begins_anywhere_and_is_bounded(engine: Any) -> None:
    publish(engine, "a", *range(10))

    assert read(engine, "a", 7) == [(7, 7), (8, 8), (9, 9)]
    assert read(engine, "a", 3, limit=2) == [(3, 3), (4, 4)]
    assert read(engine, "a", 4, limit_bytes=1) == [(4, 4)]
    assert read(engine, "a", 4, limit_bytes=14) == [(4, 4), (5, 5)]
    assert read(engine, "a", 10) == read(engine, "a", 99) == read(engine, "other") == []


def test_reading_after_a_restart_begins_anywhere_too(engine: Any) -> None:
    publish(engine, "a", *range(10))
    publish(engine, "b", *range(3))
    publish(engine, "a", *range(10, 20))
    engine.restart()

    assert read(engine, "a", 8, limit=4) == [(n, n) for n in range(8, 12)]
    assert read(engine, "a", 4, limit_bytes=1) == [(4, 4)]
    assert read(engine, "a", 19) == [(19, 19)]


def test_the_offset_of_a_time_is_the_first_one_published_then_or_later(engine: Any) -> None:
    publish(engine, "a", 1, 2)
    publish(engine, "a", 4)
    publish(engine, "a", 3)

    for _ in range(2):
        found = [
            engine.result(engine.log.offset_at("a", ms))
            for ms in (-5, 1000, 1001, 2500, 4000, 4001)
        ]
        assert found == [0, 0, 1, 2, 2, 4]
        assert engine.result(engine.log.offset_at("other", 0)) == 0
        engine.restart()


def test_who_waits_for_more_is_told_once_it_is_durable(engine: Any) -> None:
    publish(engine, "a", 0)
    there = engine.log.when_more("a", 0)
    next_, later = engine.log.when_more("a", 1), engine.log.when_more("a", 2)
    other, cancelled = engine.log.when_more("b", 0), engine.log.when_more("a", 1)
    failed = errors(cancelled)
    cancelled.cancel()

    publish(engine, "a", 1)

    assert (there.called, next_.called, later.called, other.called) == (True, True, False, False)
    assert failed == [CancelledError]
    errors(later), errors(other)


def test_an_event_may_be_published_by_who_is_told_of_one(engine: Any) -> None:
    """FO-43: order holds when a callback publishes."""
    order: list[int] = []

    def again(offset: int) -> None:
        order.append(offset)
        if offset < 5:
            engine.log.append("a", [event(offset + 1)]).addCallback(again)

    engine.log.append("a", [event(0)]).addCallback(again)

    assert order == list(range(6))


# --- cursors


def test_a_new_cursor_begins_where_it_is_told(engine: Any) -> None:
    """FO-18."""
    publish(engine, "a", 0, 1, 2)
    places = {
        name: engine.result(engine.log.cursor(name, "a", start)).place
        for name, start in {
            "oldest": Start.OLDEST,
            "newest": Start.NEWEST,
            "one": 1,
            "before": -7,
            "beyond": 99,
        }.items()
    }

    assert places == {"oldest": 0, "newest": 3, "one": 1, "before": 0, "beyond": 3}
    assert engine.result(engine.log.cursor("early", "nowhere")).place == 0
    assert "nowhere" in engine.log.assets()


def test_a_cursor_of_a_name_and_asset_is_one(engine: Any) -> None:
    engine.hold()
    both = [engine.log.cursor("f", "a") for _ in range(2)]
    assert not both[0].called
    engine.let_go()

    first, second = (engine.result(one) for one in both)
    assert first is second
    assert engine.result(engine.log.cursor("f", "a", Start.NEWEST)) is first


def test_a_cursor_goes_on_where_it_was(engine: Any) -> None:
    """FO-19, FO-22, FO-40."""
    publish(engine, "a", 0, 1, 2, 3)
    for name, place in (("f", 2), ("g", 3)):
        cursor = engine.result(engine.log.cursor(name, "a"))
        cursor.ack(place)
        engine.result(cursor.flush())

    engine.restart()

    assert engine.log.cursors() == [("f", "a", 2), ("g", "a", 3)]
    assert engine.log.cursors("g") == [("g", "a", 3)]
    assert engine.result(engine.log.cursor("f", "a", Start.NEWEST)).place == 2


def test_an_ack_is_durable_with_the_commit_after_it(engine: Any) -> None:
    """FO-19."""
    publish(engine, "a", 0, 1)
    cursor = engine.result(engine.log.cursor("f", "a"))
    cursor.ack(1)
    publish(engine, "b", 0)

    engine.restart()

    assert engine.log.cursors() == [("f", "a", 1)]


def test_an_ack_never_moves_back_nor_beyond_what_there_is(engine: Any) -> None:
    """FO-21."""
    publish(engine, "a", 0, 1, 2)
    cursor = engine.result(engine.log.cursor("f", "a"))

    cursor.ack(2)
    cursor.ack(1)
    assert cursor.place == 2
    cursor.ack(50)
    assert cursor.place == 3


def test_a_flush_fires_when_the_ack_is_durable(engine: Any) -> None:
    publish(engine, "a", 0)
    cursor = engine.result(engine.log.cursor("f", "a"))
    engine.hold()
    cursor.ack(1)
    flushed = cursor.flush()
    assert not flushed.called
    engine.let_go()

    engine.result(flushed)
    engine.result(cursor.flush())


def test_a_forgotten_cursor_begins_anew(engine: Any) -> None:
    publish(engine, "a", 0)
    publish(engine, "b", 0)
    for name, asset in (("f", "a"), ("f", "b"), ("g", "a")):
        engine.result(engine.log.cursor(name, asset)).ack(1)
    old = engine.result(engine.log.cursor("f", "a"))

    engine.result(engine.log.forget("f", "a"))
    old.ack(1)
    assert engine.log.cursors() == [("f", "b", 1), ("g", "a", 1)]
    engine.result(engine.log.forget("f"))
    engine.result(engine.log.forget("f"))
    assert engine.log.cursors() == [("g", "a", 1)]
    engine.restart()

    assert engine.log.cursors() == [("g", "a", 1)]
    assert engine.result(engine.log.cursor("f", "a")).place == 0


def test_a_cursor_that_is_not_durable_is_not_there(engine: Any) -> None:
    engine.fill()
    made = engine.log.cursor("f", "a")
    if errors(made) == [StorageFull]:  # an engine may have room for a cursor still
        assert engine.log.cursors() == []
    engine.free()

    assert engine.result(engine.log.cursor("f", "a")).place == 0


# --- assets that go


def test_a_dropped_asset_goes_on_behind_its_events(engine: Any) -> None:
    publish(engine, "a", 0, 1)
    publish(engine, "b", 0)
    cursor = engine.result(engine.log.cursor("f", "a"))
    engine.result(engine.log.cursor("f", "b"))

    engine.result(engine.log.drop("a"))
    cursor.ack(2)

    for _ in range(2):
        assert (engine.log.base("a"), engine.log.next_offset("a")) == (2, 2)
        assert read(engine, "a") == []
        assert engine.log.cursors() == [("f", "b", 0)]
        engine.restart()
    assert publish(engine, "a", 7) == 2
    assert read(engine, "a") == [(2, 7)]
    assert engine.result(engine.log.offset_at("a", 0)) == 2
    assert engine.result(engine.log.cursor("f", "a")).place == 2


def test_a_drop_takes_its_turn_between_appends(engine: Any) -> None:
    engine.hold()
    publishing = [engine.log.append("a", [event(n)]) for n in (0, 1)]
    dropping = engine.log.drop("a")
    publishing.append(engine.log.append("a", [event(2)]))
    making = engine.log.cursor("f", "a")
    engine.let_go()

    assert [engine.result(one) for one in publishing] == [0, 1, 2]
    engine.result(dropping)
    assert engine.log.base("a") == 2
    assert read(engine, "a") == [(2, 2)]
    assert engine.result(making).place == 2


def test_an_asset_never_seen_may_be_dropped(engine: Any) -> None:
    engine.result(engine.log.drop("never"))

    assert engine.log.base("never") == 0


def test_many_assets_do_not_mix(engine: Any) -> None:
    for n in range(300):
        publish(engine, f"a{n % 100}", n)
    engine.restart()

    for n in range(100):
        assert read(engine, f"a{n}") == [(0, n), (1, 100 + n), (2, 200 + n)]


# --- the end


def test_after_the_stop_nothing_is_taken_and_who_waits_is_told(engine: Any) -> None:
    """FO-35."""
    publish(engine, "a", 0)
    cursor = engine.result(engine.log.cursor("f", "a"))
    log, waiting = engine.log, errors(engine.log.when_more("a", 1))
    engine.restart()

    assert waiting == [ShutdownRequested]
    cursor.ack(1)
    for late in (
        log.append("a", [event(1)]),
        log.read("a", 0),
        log.offset_at("a", 0),
        log.when_more("a", 1),
        log.cursor("g", "a"),
        log.forget("f"),
        log.drop("a"),
        cursor.flush(),
    ):
        assert errors(late) == [ShutdownRequested]
    assert engine.log.cursors() == [("f", "a", 0)]
