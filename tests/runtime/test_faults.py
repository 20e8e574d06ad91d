"""runtime/faults.py: a repeated fault once on change, and once a day with its count."""

from __future__ import annotations

from typing import Any

from smapd.runtime import FaultLog
from smapd.runtime.guard import failure_of
from smapd.testing import FakeClock


def test_a_fault_is_told_once(logged: Any) -> None:
    faults = FaultLog(FakeClock().seconds)

    told = [faults.fault("disk", "the disk is full", path="/x") for _ in range(100)]

    assert told == [True] + [False] * 99
    assert logged.texts("warn") == ["the disk is full"]
    assert logged[0]["path"] == "/x"


def test_it_is_told_again_when_it_changes(logged: Any) -> None:
    faults = FaultLog(FakeClock().seconds)

    faults.fault("sink", "500 after 3 s", same=500)
    faults.fault("sink", "500 after 4 s", same=500)
    faults.fault("sink", "503 after 4 s", same=503)
    faults.fault("sink", "500 after 5 s", same=500)

    assert logged.texts() == ["500 after 3 s", "503 after 4 s", "500 after 5 s"]


def test_it_is_told_once_a_day_with_its_count(logged: Any) -> None:
    clock = FakeClock()
    faults = FaultLog(clock.seconds)

    for _ in range(24 * 2 + 1):
        faults.fault("sink", "500")
        clock.advance(3600)

    assert logged.texts() == [
        "500",
        "500 (25 times, 24 of them since last told)",
        "500 (49 times, 24 of them since last told)",
    ]


def test_its_end_is_told_with_count_and_time(logged: Any) -> None:
    clock = FakeClock()
    faults = FaultLog(clock.seconds)
    faults.fault("sink", "500")
    clock.advance(30)
    faults.fault("sink", "500")

    faults.cleared("sink", "{sink} takes again, after {count} refusals in {for_s} s", sink="a")
    faults.cleared("sink", "not told: it was well")

    assert logged.texts("info") == ["a takes again, after 2 refusals in 30.0 s"]
    assert faults.status() == []


def test_the_table_is_bounded_and_forgets_what_was_quiet_longest(logged: Any) -> None:
    faults = FaultLog(FakeClock().seconds, most=3)
    for key in "abcd":
        faults.fault(key, key)
    faults.fault("b", "b")
    faults.fault("e", "e")

    assert [one["text"] for one in faults.status()] == ["d", "b", "e"]
    assert faults.fault("b", "b") is False


def test_a_traceback_goes_with_it_and_braces_are_harmless(logged: Any) -> None:
    faults = FaultLog(FakeClock().seconds)

    faults.fault("bug", "odd {braces} {0", failure=failure_of(KeyError("x")))

    assert logged.texts("warn") == ["odd {braces} {0"]
    assert logged[0]["log_failure"].type is KeyError


def test_status_says_how_often_and_how_long() -> None:
    clock = FakeClock()
    faults = FaultLog(clock.seconds)
    faults.fault("a", "gone")
    clock.advance(5)
    faults.fault("a", "gone")

    assert faults.status() == [{"text": "gone", "count": 2, "for_s": 5.0}]
    faults.forget("a")
    assert faults.status() == []
