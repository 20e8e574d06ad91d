"""Threads and waits of programs without a reactor."""

from __future__ import annotations

import asyncio

import pytest

from smapd.runtime.program import (
    Flag,
    Mailbox,
    Monitor,
    ProgramLoop,
    Reply,
    seconds,
    spawn,
)

pytestmark = pytest.mark.real


def test_a_flag_wakes_who_waits() -> None:
    flag = Flag()
    assert flag.wait(0.001) is False

    waiting = spawn("waits", flag.wait)
    flag.set()

    assert waiting.join(10)
    assert flag.is_set()
    flag.clear()
    assert flag.wait(0) is False


def test_the_first_reply_counts() -> None:
    reply: Reply[int] = Reply()
    spawn("gives", lambda: reply.give(1)).join()
    reply.give(2)
    reply.fail(ValueError())

    assert reply.take(10) == 1


def test_a_reply_may_be_a_failure_or_too_late() -> None:
    failed: Reply[int] = Reply()
    failed.fail(ValueError("no"))

    with pytest.raises(ValueError, match="no"):
        failed.take(1)
    with pytest.raises(TimeoutError):
        Reply[int]().take(0.001)


def test_a_mailbox_keeps_the_order() -> None:
    box: Mailbox[int] = Mailbox()
    for n in range(3):
        box.put(n)

    assert (len(box), [box.take() for _ in range(3)]) == (3, [0, 1, 2])
    with pytest.raises(TimeoutError):
        box.take(0.001)


def test_a_monitor_wakes_all_who_wait() -> None:
    monitor, there = Monitor(), []

    def wait() -> None:
        with monitor:
            while not there:
                assert monitor.wait(10)

    waiting = [spawn(f"waits {n}", wait) for n in range(3)]
    with monitor:
        there.append(1)
        monitor.wake()

    assert all(one.join(10) for one in waiting)
    with monitor:
        assert monitor.wait(0.001) is False


def test_a_thread_knows_itself_and_does_not_wait_for_its_own_end() -> None:
    box: Mailbox[object] = Mailbox()
    thread = spawn("me", lambda: box.put((box.take(), thread.is_current(), thread.join(5))))
    assert thread.is_alive()
    box.put("go")

    assert thread.join(10)
    assert box.take(1) == ("go", True, False)
    assert (thread.name, thread.is_current(), thread.is_alive()) == ("me", False, False)


def test_a_loop_runs_its_coroutine_and_takes_calls_until_it_ends() -> None:
    loop, over = ProgramLoop("loop"), asyncio.Event()
    assert loop.call(over.set) is False
    where: Mailbox[bool] = Mailbox()

    loop.start(over.wait)
    assert loop.call(lambda: where.put(loop.is_current()))
    assert loop.call(over.set)

    assert loop.join(10)
    assert where.take(1) is True
    assert loop.call(over.set) is False


def test_a_loop_that_was_never_begun_ends_at_once() -> None:
    began_s = seconds()

    assert ProgramLoop("loop").join(10)
    assert seconds() - began_s < 5
