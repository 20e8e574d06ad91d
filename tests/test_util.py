"""util.py: the tutorial's periodic calls, and the time in seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from smapd import util
from smapd.runtime import periodic
from smapd.testing import FakeRuntime
from smapd.values import wall_ms

MAKERS = [util.periodicCallInThread, util.periodicSequentialCall]


def run(start: Callable[[], Any], seconds: float) -> Any:
    """Start a call as a program does, then let a daemon run for so long."""
    call = start()
    runtime = FakeRuntime()
    periodic.adopt(runtime.scheduler)
    try:
        runtime.advance(seconds)
    finally:
        periodic.release()
    return call


@pytest.mark.parametrize("make", MAKERS)
def test_call_comes_at_once_and_then_each_interval(make: Callable[..., Any]) -> None:
    """SM-08, SM-09: util.periodicCallInThread(fn, *args).start(seconds)."""
    seen: list[Any] = []

    run(lambda: make(lambda *a: seen.append(a), 1, "x").start(2), 5)

    assert seen == [(1, "x")] * 3


@pytest.mark.parametrize("make", MAKERS)
def test_call_can_be_stopped(make: Callable[..., Any]) -> None:
    seen: list[int] = []

    def once() -> None:
        seen.append(1)
        call.stop()

    call = make(once)
    run(lambda: call.start(1), 5)

    assert seen == [1]


def test_now_is_the_wall_clock_in_whole_seconds() -> None:
    before = wall_ms() // 1000

    found = util.now()

    assert isinstance(found, int)
    assert before <= found <= wall_ms() // 1000
