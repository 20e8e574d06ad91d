"""Threads and waits of programs without a reactor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from smapd.runtime.program import (
    Flag,
    Mailbox,
    Monitor,
    ProgramLoop,
    ProgramThread,
    Reply,
    Turns,
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


# --- turns


def in_turn(turns: Turns) -> Reply[str]:
    reply: Reply[str] = Reply()
    reply.turns = turns
    return reply


def waits(turns: Turns, log: list[str], name: str) -> tuple[Reply[str], ProgramThread]:
    """A reply, and a thread that waits for it and then says what it got."""
    reply = in_turn(turns)
    thread = spawn(name, lambda: log.append(reply.take(30)))
    until(lambda: reply.is_awaited)
    return reply, thread


def until(f: Callable[[], bool]) -> None:
    end_s = seconds() + 10
    while not f():
        assert seconds() < end_s


class Held(Turns):
    """Turns that are passed on only when the test says so, as by a thread that cannot go on."""

    def __init__(self) -> None:
        super().__init__()
        self.left_by: list[Reply[Any]] = []

    def left(self, reply: Reply[Any], came: bool) -> None:
        self.left_by.append(reply)

    def pass_on(self) -> None:
        super().left(self.left_by.pop(0), True)


def test_who_is_told_goes_on_in_its_turn() -> None:
    """Publishers that share a commit go on one after another."""
    turns, log = Held(), list[str]()
    waiting = [waits(turns, log, name) for name in "abc"]

    for (reply, _), name in zip(waiting, "abc", strict=True):
        reply.give(name)
    assert waiting[0][1].join(10)
    assert log == ["a"]
    assert waiting[1][1].is_alive()
    turns.pass_on()
    assert waiting[1][1].join(10)
    assert log == ["a", "b"]
    assert waiting[2][1].is_alive()
    turns.pass_on()

    assert waiting[2][1].join(10)
    assert log == ["a", "b", "c"]


def test_whoever_waits_for_a_turn_too_long_is_let_go() -> None:
    """A thread that computes does not keep the others from their answers."""
    turns, log = Held(), list[str]()
    waiting = [waits(turns, log, name) for name in "abc"]
    for (reply, _), name in zip(waiting, "abc", strict=True):
        reply.give(name)

    turns.release()

    assert all(thread.join(10) for _, thread in waiting)
    assert sorted(log) == ["a", "b", "c"]


def test_threads_pass_their_turns_on_by_themselves() -> None:
    turns, log = Turns(), list[str]()
    for _ in range(50):
        waiting = [waits(turns, log, name) for name in "abc"]
        for reply, thread in waiting:
            reply.give(thread.name)
        assert all(thread.join(10) for _, thread in waiting)

    assert sorted(log) == sorted("abc" * 50)


def test_an_answer_nobody_waits_for_yet_takes_no_turn() -> None:
    """Its thread may never wait for it: nobody may wait for that thread."""
    turns, log = Turns(), list[str]()
    early = in_turn(turns)
    later, thread = waits(turns, log, "later")

    early.give("early")
    later.give("later")

    assert thread.join(10)
    assert early.take(0) == "early"


def test_one_that_gave_up_is_left_out() -> None:
    """A publisher that ran out of time breaks no chain."""
    turns, log = Turns(), list[str]()
    gone = in_turn(turns)
    with pytest.raises(TimeoutError):
        gone.take(0)
    first, one = waits(turns, log, "first")
    second, two = waits(turns, log, "second")

    gone.give("too late")
    first.give("first")
    second.give("second")

    assert one.join(10)
    assert two.join(10)
    assert sorted(log) == ["first", "second"]


def test_one_whose_time_ends_before_its_turn_has_its_answer() -> None:
    turns, log = Held(), list[str]()
    first, one = waits(turns, log, "first")
    first.give("first")
    assert one.join(10)
    brief = in_turn(turns)
    brief.is_awaited = True
    brief.give("brief")

    assert brief.take(0) == "brief"
