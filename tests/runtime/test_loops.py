"""runtime/loops.py: coroutines on asyncio loops of their own, and who blocks one."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from smapd.errors import ShutdownRequested

pytestmark = pytest.mark.real

Make = Callable[..., Any]


def result_of(live: Any, d: Deferred[Any]) -> Any:
    seen: list[Any] = []
    d.addBoth(seen.append)
    live.until(lambda: seen)
    return seen[0]


async def where() -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


async def fails() -> None:
    raise KeyError("x")


async def leaves() -> None:
    raise SystemExit(3)


async def forever() -> None:
    await asyncio.Event().wait()


def test_each_door_has_a_loop_of_its_own(live: Make) -> None:
    here = live()

    assert result_of(here, here.threads.to_loop(where())) == "loop"
    assert result_of(here, here.threads.to_user_loop(where())) == "loop-user"


def test_what_a_coroutine_raises_comes_back(live: Make) -> None:
    here = live()

    assert result_of(here, here.threads.to_loop(fails())).type is KeyError


def test_a_coroutine_that_exits_does_not_end_the_loop(live: Make, logged: Any) -> None:
    here = live()

    assert result_of(here, here.threads.to_loop(leaves())).type is SystemExit
    assert result_of(here, here.threads.to_loop(where())) == "loop"
    assert any("the loop goes on" in text for text in logged.texts())


def test_context_variables_go_along(live: Make) -> None:
    who = contextvars.ContextVar("who", default="nobody")
    here = live()

    async def ask() -> str:
        return who.get()

    who.set("me")

    assert result_of(here, here.threads.to_loop(ask())) == "me"


def test_cancelling_reaches_the_task(live: Make) -> None:
    here = live()
    seen: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    d = here.threads.to_loop(wait())
    result_of(here, here.threads.to_loop(where()))
    d.cancel()

    assert result_of(here, d).type is CancelledError
    here.until(lambda: seen == ["cancelled"])


def test_who_blocks_the_users_loop_is_named_once(live: Make, logged: Any) -> None:
    """ARCHITECTURE 3.2: a block of more than 1 s is reported with the coroutine's name."""
    here = live()
    gate, begun = here.gate(), here.gate()

    async def reads_a_slow_device() -> None:
        begun.set()
        gate.wait()

    d = here.threads.to_user_loop(reads_a_slow_device())
    begun.wait(5)
    here.clock.advance(5)
    gate.set()
    result_of(here, d)

    [text] = logged.texts("warn")
    assert "reads_a_slow_device has blocked every other coroutine for 1." in text
    assert "test_loops.py" in text or "threading.py" in text
    here.until(lambda: here.threads.status()["loop-user"]["worst_block_s"] > 4)


def test_a_loop_that_awaits_is_not_named(live: Make, logged: Any) -> None:
    here = live()
    d = here.threads.to_user_loop(forever())

    for _ in range(5):
        here.clock.advance(0.5)
        here.until(lambda: here.threads._user_loop._pinged_s is None)

    assert logged.texts("warn") == []
    d.cancel()
    assert result_of(here, d).type is CancelledError


def test_stop_cancels_what_is_open(live: Make) -> None:
    here = live()
    d = here.threads.to_loop(forever())
    result_of(here, here.threads.to_loop(where()))

    over = here.threads.stop(4)

    assert result_of(here, d).type is CancelledError
    assert result_of(here, over) == []
    with pytest.raises(ShutdownRequested, match="fails was not begun"):
        here.threads.to_loop(fails())


def test_stop_abandons_by_name_what_does_not_end(live: Make) -> None:
    here = live()
    gate, begun = here.gate(), here.gate()

    async def stubborn() -> None:
        begun.set()
        gate.wait()

    d = here.threads.to_user_loop(stubborn())
    begun.wait(5)
    over = here.threads.stop(4)
    here.clock.advance(4)

    [name] = result_of(here, over)
    assert name.startswith("loop-user: ")
    assert name.endswith("stubborn")
    assert result_of(here, d).type is ShutdownRequested
    gate.set()
