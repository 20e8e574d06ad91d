"""The queue: stamped and checked at once, taken whole by one wake-up, nothing lost in silence."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from smapd.core import SmapInstance
from smapd.core.batches import Drained
from smapd.errors import NoSuchPath, ShutdownRequested
from smapd.values import GOOD, Batch, Block, Level, Quality, Reading, bad, uncertain
from tests.core.support import NOW, Later, Recorder, tree


def made(**options: Any) -> tuple[SmapInstance, Later, Recorder]:
    """A tree with a long /a and a double /d, whose home waits to be run, and a listener on it."""
    home = Later()
    inst = tree(home=home, **options)
    inst.add_timeseries("/a", "V")
    inst.add_timeseries("/d", "d", "V", data_type="double")
    listener = Recorder()
    inst.attach(listener)
    return inst, home, listener


def test_many_adds_are_one_wake_up_and_one_batch() -> None:
    """SM-05"""
    inst, home, listener = made()
    for i in range(10):
        inst.add("/a", i)
    assert home.wakes == 1
    assert inst.taken == 0

    home.run()

    assert [len(batch) for batch in listener.batches] == [10]
    assert [r.value for _, r in listener.readings] == list(range(10))
    assert inst.taken == 10
    inst.add("/a", 10)
    assert home.wakes == 2


def test_without_a_time_a_reading_is_stamped_in_ms() -> None:
    """SM-05: add(path, value) stamps now, in ms."""
    inst, home, listener = made()
    inst.add("/a", 5)
    home.run()

    assert listener.readings == [("/a", Reading(NOW, 5, GOOD, 0, None))]


def test_all_forms_of_add() -> None:
    """SM-05"""
    inst, home, listener = made()
    stream = inst.get_timeseries("/a")
    assert stream is not None
    inst.add("/a", 1300000000, 1)
    inst.add("a/", "1300000000.25", 2, 42)
    stream.add(3)
    stream.add(1300000001.5, 4)
    stream.add(1300000002, 5, 43)
    home.run()

    assert [tuple(r) for _, r in listener.readings] == [
        (1300000000000, 1, GOOD, 0, None),
        (1300000000250, 2, GOOD, 1, 42),
        (NOW, 3, GOOD, 2, None),
        (1300000001500, 4, GOOD, 3, None),
        (1300000002000, 5, GOOD, 4, 43),
    ]


def test_seq_is_dense_in_each_stream() -> None:
    """U-03: singles and blocks alike."""
    inst, home, listener = made()
    inst.add("/a", 1)
    inst.add("/d", 1)
    inst.add_many("/a", [1, 2, 3], [1, 2, 3])
    inst.add("/a", 1, 2, quality=uncertain("warm-up"))
    home.run()
    inst.add("/a", 3)
    home.run()

    seqs: dict[str, list[int | None]] = {}
    for path, reading in listener.readings:
        seqs.setdefault(path, []).append(reading.seq)
    assert seqs == {"/a": [0, 1, 2, 3, 4, 5], "/d": [0]}
    stream = inst.get_timeseries("/a")
    assert stream is not None
    assert stream.next_seq == 6


def test_quality_goes_with_the_reading_and_a_bad_one_has_no_value() -> None:
    """U-03"""
    inst, home, listener = made()
    inst.add("/d", 1, 2.5, quality=uncertain("drift"))
    inst.add("/d", None, quality=bad("no answer"))
    inst.add("/d", 1, 7.5, quality=bad("out of range"))
    inst.add("/d", "not a number", quality=bad("garbled"))
    inst.add("/d", 1.5, quality=Quality(Level.GOOD, "calibrated"))
    home.run()

    assert [(r.value, r.quality) for _, r in listener.readings] == [
        (2.5, uncertain("drift")),
        (None, bad("no answer")),
        (None, bad("out of range")),
        (None, bad("garbled")),
        (1.5, Quality(Level.GOOD, "calibrated")),
    ]


@pytest.mark.parametrize(
    ("args", "quality", "why"),
    [
        ((1.5,), None, "a long takes whole numbers, not float 1.5"),
        ((1, "x"), None, "a long takes whole numbers, not the text 'x'"),
        ((None,), None, "a long takes whole numbers, not None (a reading without a value needs"),
        (("noon", 1), None, "a time is a number of seconds or a datetime, not the text 'noon'"),
        (("noon", None), bad("x"), "a time is a number of seconds or a datetime"),
        ((1, 2, "x"), None, "a sequence number is a whole number, not the text 'x'"),
        ((1,), "good", "a quality is one of smapd.values, not the text 'good'"),
        ((1.5,), uncertain("x"), "a long takes whole numbers, not float 1.5"),
    ],
)
def test_what_does_not_fit_is_counted_and_never_raised(
    args: tuple[Any, ...], quality: Any, why: str
) -> None:
    """SM-05, SM-06"""
    inst, home, listener = made()
    inst.add("/a", *args, quality=quality)
    home.run()

    assert listener.readings == []
    assert (inst.refused, inst.taken) == (1, 0)
    assert inst.refusals()["/a"]["count"] == 1
    assert inst.refusals()["/a"]["last"].startswith(why)


def test_the_first_refusal_of_a_stream_is_logged_and_the_rest_counted() -> None:
    """SM-06: counted, logged once a stream."""
    logged: list[str] = []
    inst, home, _ = made(log=lambda sentence, error: logged.append(sentence))
    for value in (1.5, 2.5, "x"):
        inst.add("/a", value)
    inst.add("/d", "x")
    home.run()
    inst.add("/a", 1j)
    home.run()

    assert logged == [
        "/a: a reading was refused: a long takes whole numbers, not float 1.5. More of this stream "
        "are counted, and not logged.",
        "/d: a reading was refused: a double takes numbers, not the text 'x'. More of this stream "
        "are counted, and not logged.",
    ]
    assert {path: r["count"] for path, r in inst.refusals().items()} == {"/a": 4, "/d": 1}
    assert inst.refusals()["/a"]["last"] == "a long takes whole numbers, not complex 1j"


def test_an_unknown_path_raises() -> None:
    """SM-05"""
    inst, home, _ = made()
    inst.add_collection("/c")
    for add in (lambda p: inst.add(p, 1), lambda p: inst.add_many(p, [1], [1])):
        with pytest.raises(NoSuchPath, match="^No such timeseries or collection: /nope$"):
            add("/nope/")
        with pytest.raises(NoSuchPath, match="^No such timeseries: /c is a collection.$"):
            add("/c")
    assert home.wakes == 0


def test_a_block_is_one_entry() -> None:
    """SM-05: add_many"""
    inst, home, listener = made()
    inst.add_many("/d", np.arange(1000), np.arange(1000) / 2)
    inst.add_many("/d", [], [])
    inst.add_many("/d", [5, 6], None, quality=bad("down"))
    inst.add_many("/d", [5, 6], [1, 2], quality=bad("down"))
    home.run()

    assert [(b.seq, len(b.ms)) for b in listener.blocks] == [(0, 1000), (1000, 2), (1002, 2)]
    first = listener.blocks[0]
    assert (first.ms[999], first.values[999], first.quality) == (999000, 499.5, GOOD)
    assert [b.values for b in listener.blocks[1:]] == [[None, None], [None, None]]
    assert inst.taken == len(listener.batches[0]) == 1004


def test_columns_of_different_lengths_are_an_error_of_the_call() -> None:
    inst, home, _ = made()
    with pytest.raises(ValueError, match=r"^/a: 2 times for 3 values; give as many of each\.$"):
        inst.add_many("/a", [1, 2], [1, 2, 3])
    with pytest.raises(TypeError, match="Values are a column"):
        inst.add_many("/a", [1, 2], "12")
    with pytest.raises(TypeError, match="Values are a column"):
        inst.add_many("/a", [1, 2], None)
    assert home.wakes == 0


def test_what_does_not_fit_in_a_block_is_counted() -> None:
    """SM-06"""
    inst, home, listener = made()
    inst.add_many("/a", [1, 2, 3], [1, 2.5, 3])
    inst.add_many("/a", [1, 2], [1, 2], quality="good")  # type: ignore[arg-type]
    home.run()

    assert [r.value for _, r in listener.readings] == [1, 3]
    assert inst.refused == 3


def test_what_the_queue_cannot_hold_is_counted_and_leaves_a_gap_in_seq() -> None:
    """SM-06: never silently dropped."""
    logged: list[str] = []
    inst, home, listener = made(queue_limit=3, log=lambda sentence, error: logged.append(sentence))
    for i in range(5):
        inst.add("/a", i)
    inst.add("/d", 1.0)
    inst.add("/d", 1.0, quality=uncertain("x"))
    inst.add("/a", 1.5)
    assert inst.taken == 0
    home.run()
    inst.add("/a", 9)
    home.run()

    assert [(p, r.value, r.seq) for p, r in listener.readings] == [
        ("/a", 0, 0),
        ("/a", 1, 1),
        ("/a", 2, 2),
        ("/a", 9, 6),
    ]
    assert inst.dropped == 5
    assert logged == [
        "5 readings were lost so far: 3 were waiting to be taken into the tree, and no more may."
    ]


def test_a_block_weighs_as_many_readings_as_it_has() -> None:
    inst, home, listener = made(queue_limit=10)
    inst.add_many("/a", range(8), range(8))
    inst.add("/a", 8)
    inst.add_many("/a", range(2), range(2))
    inst.add("/a", 9)
    inst.add("/a", 10)
    home.run()
    assert inst.dropped == 3
    assert inst.taken == 10

    inst.add_many("/a", range(10), range(10))
    home.run()

    assert inst.taken == 20
    assert [b.seq for b in listener.blocks] == [0, 13]


def test_readings_queued_for_a_stream_that_goes_are_taken_first() -> None:
    """SM-37"""
    inst, home, listener = made()
    stream = inst.get_timeseries("/a")
    assert stream is not None
    inst.add("/a", 1)

    inst.remove("/a")

    assert listener.told[-2:] == [("readings", [("/a", 1)]), ("removed", ["/a"])]
    with pytest.raises(NoSuchPath, match="/a; it was removed"):
        stream.add(2)
    with pytest.raises(NoSuchPath, match="/a; it was removed"):
        stream.add_many([2], [2])


def test_what_comes_too_late_for_a_removed_stream_is_counted() -> None:
    """SM-06: a thread that was past the check when the stream went."""
    inst, home, listener = made()
    stream = inst.get_timeseries("/a")
    assert stream is not None
    inst.remove("/a")
    inst._inbox.put(stream, 1)
    inst._inbox.put(stream, 1.5)
    inst._inbox.put_many(stream, [1, 2], [1, 2])
    home.run()

    assert listener.readings == []
    assert (inst.dropped, inst.refused) == (3, 1)


def test_a_note_goes_with_what_was_stamped_and_is_good() -> None:
    """N-05: readings around a step of the clock carry both clocks."""
    inst, home, listener = made()
    note = Quality(Level.GOOD, "clock stepped by +3600.000 s")
    asked = []
    inst.stamp_note = lambda: asked.append(1) or note  # type: ignore[func-returns-value]
    inst.add("/a", 1)
    inst.add("/a", 2, quality=GOOD)
    inst.add("/a", 1700000000, 3)
    inst.add("/a", 4, quality=uncertain("x"))
    home.run()
    assert asked == [1]
    inst.stamp_note = lambda: None
    inst.add("/a", 6)
    home.run()

    assert [(r.value, r.quality) for _, r in listener.readings] == [
        (1, note),
        (2, note),
        (3, GOOD),
        (4, uncertain("x")),
        (6, GOOD),
    ]
    stream = inst.get_timeseries("/a")
    assert stream is not None
    assert inst.stamp_note is not None


def test_a_batch_can_be_looked_at_in_both_ways_and_again() -> None:
    """The readings of a batch are made when they are looked at, equal each time."""
    inst, home, listener = made()
    inst.stamp_note = lambda: Quality(Level.GOOD, "note")
    inst.add("/a", 1)
    inst.add("/a", 1.5)
    inst.add_many("/a", [1, 2], [1, 2])
    inst.add("/a", 1, 2, 7)
    home.run()
    batch = listener.batches[0]

    assert isinstance(batch, Batch)
    assert type(batch) is Drained
    assert [type(entry) for _, entry in batch.entries] == [Reading, Block, Reading]
    assert batch.entries is batch.entries
    plain = Batch(batch.entries, batch.count)
    assert list(batch) == list(plain)
    assert list(batch) == list(batch)
    assert len(list(batch)) == len(batch) == 4
    assert repr(batch) == "<Batch of 4 readings>"


def test_a_listener_may_add_and_its_readings_come_in_a_batch_of_their_own() -> None:
    """A derived stream, with a home that calls straight through."""
    inst = tree()
    inst.add_timeseries("/a", "V")
    inst.add_timeseries("/twice", "V")

    def act(what: str, of: Any) -> None:
        if what == "readings" and of[0][0] == "/a":
            inst.add("/twice", 2 * of[0][1])

    first, last = Recorder(act), Recorder()
    inst.attach(first)
    inst.attach(last)
    inst.add("/a", 4)

    assert last.told[1:] == [("readings", [("/a", 4)]), ("readings", [("/twice", 8)])]
    assert first.told == last.told


def test_a_listener_that_answers_every_reading_does_not_hold_the_thread() -> None:
    inst = tree()
    inst.add_timeseries("/a", "V")
    listener = Recorder(lambda what, of: inst.add("/a", 1) if what == "readings" else None)
    inst.attach(listener)

    inst.add("/a", 1)

    assert 1 < inst.taken < 100
    assert inst._inbox.waiting() == 1


def test_a_home_that_is_closed_says_so_and_does_not_stay_closed() -> None:
    """After the stop of the daemon add raises; a tree that settles elsewhere takes what waits."""

    def closed(f: Any, *args: Any, wait: bool = True) -> None:
        raise ShutdownRequested

    inst = tree()
    inst.add_timeseries("/a", "V")
    inst.settle(closed)
    for value in (1, 2):
        with pytest.raises(ShutdownRequested):
            inst.add("/a", value)

    home = Later()
    inst.settle(home)
    home.run()

    assert inst.taken == 2


def test_settle_wakes_the_new_home_only_if_something_waits() -> None:
    old, new = Later(), Later()
    inst = tree(home=old)
    inst.add_timeseries("/a", "V")
    inst.settle(new)
    assert new.wakes == 0
    inst.add("/a", 1)
    assert (old.wakes, new.wakes) == (0, 1)


@pytest.mark.real
def test_adds_from_four_threads_all_arrive_in_each_threads_order() -> None:
    """SM-05: safe to call from any thread."""
    inst = tree()
    for name in ("/shared", "/0", "/1", "/2", "/3"):
        inst.add_timeseries(name, "V")
    wakes = threading.Semaphore(0)
    calls: list[Any] = []

    def home(f: Any, *args: Any, wait: bool = True) -> Any:
        if wait:
            return f(*args)
        calls.append(f)
        wakes.release()
        return None

    listener = Recorder()
    inst.attach(listener)
    inst.settle(home)

    def work(n: int) -> None:
        for i in range(5000):
            inst.add("/shared", n * 10_000 + i)
            inst.add(f"/{n}", i)
            if i % 1000 == 0:
                inst.add_many(f"/{n}", [1, 2], [i, i])
                inst.add("/shared", 0.5)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    total = 4 * (5000 * 2 + 5 * 2)
    while inst.taken < total:
        assert wakes.acquire(timeout=10)
        calls.pop()()
    for thread in threads:
        thread.join()
    inst.drain()

    assert inst.taken == total
    assert (inst.refused, inst.dropped) == (20, 0)
    seqs: dict[str, list[Any]] = {}
    shared: dict[int, list[Any]] = {}
    for path, reading in listener.readings:
        seqs.setdefault(path, []).append(reading.seq)
        if path == "/shared":
            assert isinstance(reading.value, int)
            shared.setdefault(reading.value // 10_000, []).append(reading.value % 10_000)
    assert all(found == list(range(len(found))) for found in seqs.values())
    assert shared == {n: list(range(5000)) for n in range(4)}


@pytest.mark.real
def test_threads_that_add_before_there_is_a_reactor_lose_nothing() -> None:
    """SM-05: with a home that calls straight through, one thread drains at a time."""
    inst = tree()
    inst.add_timeseries("/a", "V")
    listener = Recorder()
    inst.attach(listener)
    threads = [
        threading.Thread(target=lambda: [inst.add("/a", i) for i in range(5000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    inst.drain()

    assert inst.taken == 20_000
    assert sorted(r.seq or 0 for _, r in listener.readings) == list(range(20_000))
