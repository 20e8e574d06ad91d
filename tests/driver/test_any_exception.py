"""Whatever a driver's setup or start raises, or however long it takes, is its section's alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.logger import globalLogPublisher

from smapd.driver import AsyncDriver, SmapDriver
from smapd.errors import DriverFailed, ShutdownRequested
from smapd.runtime.calls import HUNG_S
from smapd.testing import DaemonProcess
from tests.driver.places import Section


class Mute(Exception):
    def __str__(self) -> str:
        raise KeyError("no text")


RAISED: list[Callable[[], BaseException]] = [
    asyncio.CancelledError,
    GeneratorExit,
    KeyboardInterrupt,
    SystemExit,
    Mute,
    lambda: ShutdownRequested("the client was stopped"),
]


def plain(step: str, problem: Callable[[], BaseException]) -> type[Any]:
    class Plain(SmapDriver):
        def setup(self, opts: Any) -> None:
            self.add_timeseries("/n", "n", "V")
            if step == "setup":
                raise problem()

        def start(self) -> None:
            raise problem()

    return Plain


def twisted_code(step: str, problem: Callable[[], BaseException]) -> type[Any]:
    class OnReactor(plain(step, problem)):  # type: ignore[misc]
        ON_REACTOR = True

    return OnReactor


def deferred(step: str, problem: Callable[[], BaseException]) -> type[Any]:
    class Deferring(SmapDriver):
        ON_REACTOR = True

        def setup(self, opts: Any) -> Any:
            return fail(problem()) if step == "setup" else None

        async def start(self) -> None:
            raise problem()

    return Deferring


def asynchronous(step: str, problem: Callable[[], BaseException]) -> type[Any]:
    class Async(AsyncDriver):
        async def setup(self, opts: Any) -> None:
            await AsyncDriver.setup(self, opts)
            if step == "setup":
                raise problem()

        async def start(self) -> None:
            await asyncio.sleep(0)
            raise problem()

    return Async


def run(work: Any) -> None:
    done: list[Any] = []
    Deferred.fromCoroutine(work).addBoth(done.append)
    assert done == [None]


def logged_failures(do: Callable[[], None]) -> list[str]:
    seen: list[dict[str, Any]] = []
    globalLogPublisher.addObserver(seen.append)
    try:
        do()
    finally:
        globalLogPublisher.removeObserver(seen.append)
    return [event["fault"] for event in seen if "fault" in event]


@pytest.mark.parametrize("problem", RAISED)
@pytest.mark.parametrize("step", ["setup", "start"])
@pytest.mark.parametrize("kind", [plain, twisted_code, deferred, asynchronous])
def test_whatever_is_raised_is_shown_logged_and_tried_again(
    kind: Callable[..., type[Any]], step: str, problem: Callable[[], BaseException]
) -> None:
    """SM-36: also what is no Exception, and what cannot even be printed."""
    place = Section(kind(step, problem))

    def both() -> None:
        run(place.section.set_up())
        run(place.section.start())

    faults = logged_failures(both)
    status = place.section.status()
    place.run.advance(1)

    assert (status["state"], status["step"], status["failures"]) == ("failed", step, 1)
    assert place.error().startswith(f"[/meter] {step} failed: ")
    assert [fault.startswith(f"[/meter] {step} failed: ") for fault in faults] == [True]
    assert place.section.status()["failures"] == 2


def test_a_bug_of_ours_after_the_setup_is_shown_too() -> None:
    """It must not leave the section setting up for ever."""
    place = Section(plain("start", KeyError))
    object.__setattr__(place.section._place, "finish", lambda: 1 / 0)

    run(place.section.set_up())

    assert "ZeroDivisionError: division by zero" in place.error()
    assert place.section.status()["state"] == "failed"


def test_an_error_is_bounded_and_on_one_line() -> None:
    """SM-36: in the tree, in /status and in the log."""
    place = Section(plain("setup", lambda: ValueError("first\nsecond\x1b[2J" + "x" * 10_000_000)))

    faults = logged_failures(lambda: run(place.section.set_up()))

    for text in (place.error(), place.section.status()["error"], *faults):
        assert text.startswith("[/meter] setup failed: ValueError: first second\\x1b[2Jxxx")
        assert len(text) <= 1_000


def test_a_failure_that_a_driver_calls_by_our_name_says_where_it_was() -> None:
    class Own(DriverFailed):
        def __init__(self) -> None:
            super(DriverFailed, self).__init__("the map has no line 7.")

    place = Section(plain("setup", Own))

    run(place.section.set_up())

    assert place.error() == "[/meter] setup failed: the map has no line 7."


@pytest.mark.parametrize("step", ["setup", "start"])
def test_a_step_that_hangs_is_named_once_and_shown_until_it_is_back(step: str) -> None:
    """SM-36: only from the moment on that it has a thread."""
    place: Section
    during: list[Any] = []

    def hang() -> None:
        place.run.clock.jump(HUNG_S)
        place.section.look()
        during.append(place.error())
        place.run.clock.jump(1)
        place.section.look()
        place.section.look()
        during.extend([place.error(), place.section.status()])

    class Hangs(SmapDriver):
        def setup(self, opts: Any) -> None:
            if step == "setup":
                hang()

        def start(self) -> None:
            if step == "start":
                hang()

    place = Section(Hangs)
    place.run.threads.hold("setup")
    texts: list[str] = []
    observer = lambda event: texts.append(event.get("log_format") or "")  # noqa: E731
    globalLogPublisher.addObserver(observer)
    Deferred.fromCoroutine(place.section.set_up())
    place.run.advance(60)
    place.section.look()
    waiting = place.error()
    place.run.threads.let_go("setup")
    run(place.section.start())
    globalLogPublisher.removeObserver(observer)

    sentence = f"[/meter] {step} hangs: it has not come back for more than 10 s"
    assert waiting == ""
    assert during[:2] == ["", sentence]
    assert during[2]["error"] == sentence
    assert sum("has not come back" in text for text in texts) == 1
    assert sum("came back after" in text for text in texts) == 1
    assert place.error() == ""
    assert place.section.status()["state"] == "running"


DRIVERS = """
import time
from smapd.driver import SmapDriver


class Hangs(SmapDriver):
    def setup(self, opts):
        time.sleep(3600)


class Good(SmapDriver):
    def setup(self, opts):
        self.add_timeseries("/n", "n", "V")

    def start(self):
        self.add("/n", 1)
"""

ROOT = "[/]\nuuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92\n"


def eventually(what: Callable[[], bool], limit_s: float = 20.0) -> None:
    """Wait for the world; a fixed number of looks, each 50 ms apart."""
    for _ in range(int(limit_s / 0.05)):
        if what():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def stands(daemon: DaemonProcess, path: str) -> bool:
    answer = daemon.get(f"/data{path}/n")
    return bool(answer.status == 200 and answer.json()["Readings"])


@pytest.mark.real
def test_only_the_setup_that_hangs_is_named(tmp_path: Path) -> None:
    """SM-36: it costs the others a second."""
    (tmp_path / "site_hangs.py").write_text(DRIVERS)
    config = ROOT + (
        "[/a]\ntype = site_hangs.Hangs\n[/b]\ntype = site_hangs.Good\n"
        "[/c]\ntype = site_hangs.Hangs\n[/d]\ntype = site_hangs.Good\n"
    )
    with DaemonProcess(config, path=[tmp_path]) as daemon:
        eventually(lambda: stands(daemon, "/b") and stands(daemon, "/d"))
        text = daemon.text()

        assert "/a: setup has not returned yet" in text
        assert "/c: setup has not returned yet" in text
        assert "/b: setup" not in text
        assert "/d: setup" not in text
        assert daemon.stop(12) == 0


@pytest.mark.real
def test_many_setups_that_hang_keep_no_good_one_from_running(tmp_path: Path) -> None:
    """SM-36: more of them than the pool has threads; they are counted."""
    (tmp_path / "site_hangs.py").write_text(DRIVERS)
    config = ROOT + "".join(f"[/hung{n}]\ntype = site_hangs.Hangs\n" for n in range(80))
    with DaemonProcess(config + "[/good]\ntype = site_hangs.Good\n", path=[tmp_path]) as daemon:
        eventually(lambda: stands(daemon, "/good"))
        eventually(lambda: daemon.get("/status").json()["threads"]["setup"]["hung"] == 80)

        assert "/good: setup" not in daemon.text()
        assert daemon.stop(12) == 0
