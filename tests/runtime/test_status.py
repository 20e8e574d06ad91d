"""runtime/status.py: what each room shows of itself."""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from smapd.interfaces import IStatus
from smapd.runtime import Status


def test_snapshot_asks_each_section_anew() -> None:
    status = Status()
    seen: list[int] = []
    status.section("a", lambda: (seen.append(1), len(seen))[1])

    assert [status.snapshot(), status.snapshot()] == [{"a": 1}, {"a": 2}]
    assert verifyObject(IStatus, status)


def test_a_section_that_fails_is_shown_and_logged_and_the_others_are_there(logged: Any) -> None:
    status = Status()
    status.section("bad", lambda: 1 / 0)
    status.section("good", lambda: "well")

    assert status.snapshot() == {
        "bad": {"error": "ZeroDivisionError: division by zero"},
        "good": "well",
    }
    assert logged.texts() == ["status section bad cannot be read"]


def test_a_later_reader_replaces_an_earlier_one_and_may_be_taken_away() -> None:
    status = Status()
    status.section("a", lambda: 1)
    status.section("a", lambda: 2)
    first = status.snapshot()

    status.remove("a")
    status.remove("a")

    assert (first, status.snapshot()) == ({"a": 2}, {})
