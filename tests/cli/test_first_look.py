"""A whole daemon on fake time, with the driver of a test at its root."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smapd.assembly import TABLES, Settings, build
from smapd.cli.first_look import FirstLook
from smapd.cli.printer import POOL, Printer
from smapd.config import load_text
from smapd.driver import BadReading, DeviceUnavailable, SmapDriver, bad
from smapd.runtime import PoolSize
from smapd.testing import FakeRuntime
from smapd.util import periodicCallInThread
from tests.cli.switch import Switch

CONFIG = """\
[/]
type = a.Driver
uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92
"""


class Two(SmapDriver):
    """Two streams, read by one call."""

    OPTIONS = ()

    def setup(self, opts: Any) -> None:
        self.add_timeseries("/a", "V")
        self.add_timeseries("/b", "V")

    def start(self) -> None:
        periodicCallInThread(self.read).start(1)

    def read(self) -> None:
        self.add("/a", 1)
        self.add("/b", 2)


class Look:
    """``run-driver --once`` without a process: what it printed, said and ended with."""

    def __init__(self, driver: type[Any], tmp_path: Path, limit_s: float = 60.0) -> None:
        self.runtime = FakeRuntime()
        plan = load_text(CONFIG, "run-driver", tables=TABLES, drivers=lambda _: driver)
        settings = Settings(data_dir=tmp_path / "data", serve_http=False)
        self.daemon = build(plan, self.runtime, None, settings)
        self.runtime.threads.add_pool(POOL, PoolSize(kept=1, most=1, queue=1))
        self.printed: list[bytes] = []
        self.ended: list[int] = []
        self.notes: list[str] = []
        printer = Printer(
            self.runtime.threads, self.printed.append, lost=pytest.fail, note=self.notes.append
        )
        look = FirstLook(self.daemon, printer, self.ended.append, self.notes.append, limit_s)
        self.daemon.inst.attach(look)
        self.daemon.start()

    def after(self, seconds: float) -> tuple[list[int], list[str], list[str]]:
        """(statuses, sentences, printed path=value) after so many seconds; then all is stopped."""
        for _ in range(round(seconds / 0.05)):
            self.runtime.advance(0.05)
        self.daemon.stop()
        self.runtime.advance(5)
        rows = [row.split("\t") for row in b"".join(self.printed).decode().splitlines()]
        return self.ended, self.notes, [f"{row[0]}={row[2]}" for row in rows]


Run = Callable[..., tuple[list[int], list[str], list[str]]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(
        driver: type[Any], seconds: float = 3.0, limit_s: float = 60.0
    ) -> tuple[list[int], list[str], list[str]]:
        return Look(driver, tmp_path, limit_s).after(seconds)

    return run


def test_it_ends_well_after_the_first_reading_of_each_stream(run: Run) -> None:
    """SM-18: each once, though polls go on meanwhile."""
    assert run(Two) == ([0], [], ["/a=1", "/b=2"])


def test_a_setup_that_fails_ends_it(run: Run) -> None:
    class Fails(Two):
        def setup(self, opts: Any) -> None:
            raise DeviceUnavailable("no port")

    assert run(Fails) == ([1], ["its setup failed."], [])


def test_a_start_that_fails_ends_it(run: Run) -> None:
    class Fails(Two):
        def start(self) -> None:
            raise DeviceUnavailable("no port")

    assert run(Fails) == ([1], ["its start failed."], [])


@pytest.mark.parametrize("error", [DeviceUnavailable("gone"), BadReading("nonsense")])
def test_a_poll_that_fails_ends_it_with_1(run: Run, error: Exception) -> None:
    class Fails(Two):
        def read(self) -> None:
            self.add("/a", 1)
            raise error

    ended, (note,), printed = run(Fails)

    assert (ended, printed) == ([1], ["/a=1"])
    assert note.startswith("the first poll failed: a.Driver ")


def test_a_bad_reading_is_no_reading(run: Run) -> None:
    class Broken(Two):
        def read(self) -> None:
            self.add("/a", 1)
            self.add("/b", None, quality=bad("no sensor"))

    assert run(Broken) == ([1], ["bad: /b (no sensor)."], ["/a=1", "/b=-"])


def test_one_call_of_each_poll_is_enough(run: Run) -> None:
    """Rates need two polls, and some values come only when they change."""

    class Half(Two):
        def read(self) -> None:
            self.add("/a", 1)

    assert run(Half) == ([0], ["no reading came of the first poll for /b."], ["/a=1"])


def test_a_call_that_comes_later_is_not_waited_for_when_all_streams_have_a_reading(
    run: Run,
) -> None:
    class Housekeeping(Two):
        def start(self) -> None:
            super().start()
            periodicCallInThread(self.read).start(3600, now=False)

    assert run(Housekeeping) == ([0], [], ["/a=1", "/b=2"])


def test_streams_that_come_while_it_runs_are_waited_for_and_those_that_go_are_not(
    run: Run,
) -> None:
    class Changes(Two):
        def start(self) -> None:
            periodicCallInThread(self.read).start(1, now=False)

        def read(self) -> None:
            self.remove("/b")
            self.add_timeseries("/c", "V")
            self.add("/a", 1)
            self.add("/c", 3)

    assert run(Changes) == ([0], [], ["/a=1", "/c=3"])


def test_what_can_be_set_is_not_waited_for(run: Run) -> None:
    """SM-33"""

    class Lamp(SmapDriver):
        OPTIONS = ()

        def setup(self, opts: Any) -> None:
            self.add_actuator("/lamp", None, Switch(), data_type="long")

    assert run(Lamp) == ([0], [], [])


def test_a_driver_without_polls_is_waited_for_until_time_is_up(run: Run) -> None:
    class Silent(Two):
        def start(self) -> None:
            self.add("/a", 1)

    ended, notes, _ = run(Silent, limit_s=2.0)

    assert (ended, notes) == ([1], ["no reading within 2 s for /b."])


def test_a_poll_that_hangs_ends_with_the_time(tmp_path: Path) -> None:
    look = Look(Two, tmp_path, limit_s=2.0)
    look.runtime.threads.hold("poll")

    assert look.after(3) == ([1], ["no reading within 2 s for /a, /b."], [])


def test_a_setup_that_hangs_ends_with_the_time(tmp_path: Path) -> None:
    class Slow(Two):
        pass

    look = Look.__new__(Look)
    original = FakeRuntime.__init__

    def held(runtime: FakeRuntime, *a: Any, **k: Any) -> None:
        original(runtime, *a, **k)
        runtime.threads.hold("setup")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeRuntime, "__init__", held)
        look.__init__(Slow, tmp_path, 2.0)  # type: ignore[misc]

    assert look.after(3)[:2] == ([1], ["not running within 2 s: setting up."])


def test_many_names_are_cut_short(run: Run) -> None:
    class Many(SmapDriver):
        OPTIONS = ()

        def setup(self, opts: Any) -> None:
            for n in range(9):
                self.add_timeseries(f"/s{n}", "V")

        def start(self) -> None:
            periodicCallInThread(print).start(1)

    _, (note,), _ = run(Many)

    assert note.endswith(" for /s0, /s1, /s2, /s3, /s4 and 4 more.")
