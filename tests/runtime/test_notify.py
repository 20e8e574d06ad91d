"""runtime/notify.py: what the supervisor is told, and when its watchdog is petted."""

from __future__ import annotations

import pathlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from smapd.runtime import Notifier, PoolSize, Watchdog, watchdog_interval_s
from smapd.testing import FakeRuntime

Supervisor = Callable[[], list[str]]


@pytest.fixture(params=["path", "abstract"])
def supervisor(request: Any, tmp_path: pathlib.Path) -> Iterator[tuple[str, Supervisor]]:
    """An address, and what came there."""
    name = str(tmp_path / "notify")
    abstract = request.param == "abstract"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name if abstract else name)
        listener.setblocking(False)

        def read() -> list[str]:
            seen = []
            while True:
                try:
                    seen.append(listener.recv(4096).decode())
                except BlockingIOError:
                    return seen

        yield "@" + name if abstract else name, read


@pytest.mark.real
def test_the_supervisor_is_told_each_state(supervisor: tuple[str, Supervisor]) -> None:
    """P-18: READY, STOPPING, STATUS, WATCHDOG."""
    address, read = supervisor
    notifier = Notifier(address)

    notifier.ready("http://127.0.0.1:8080\nREADY=0")
    notifier.status("3 sections failed")
    notifier.alive()
    notifier.stopping()
    notifier.close()
    notifier.alive()

    assert read() == [
        "READY=1\nSTATUS=http://127.0.0.1:8080 READY=0",
        "STATUS=3 sections failed",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


@pytest.mark.parametrize("address", [None, ""])
def test_without_a_supervisor_nothing_is_sent(address: str | None, logged: Any) -> None:
    notifier = Notifier(address)

    notifier.ready()
    notifier.close()

    assert (notifier.active, list(logged)) == (False, [])


def test_an_address_that_is_none_is_one_warning(logged: Any) -> None:
    notifier = Notifier("tcp:1.2.3.4")

    notifier.ready()

    assert not notifier.active
    assert logged.texts("warn") == [
        "NOTIFY_SOCKET=tcp:1.2.3.4 is neither a path nor @name; the supervisor is told nothing"
    ]


@pytest.mark.real
def test_a_supervisor_that_is_gone_is_a_warning_and_no_error(
    tmp_path: pathlib.Path, logged: Any
) -> None:
    notifier = Notifier(str(tmp_path / "gone"))

    notifier.ready()
    notifier.close()

    assert logged.texts("warn")[0].startswith("the supervisor could not be told READY=1: ")


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_half_of_the_supervisors_patience(
    environ: dict[str, str], interval_s: float | None
) -> None:
    assert watchdog_interval_s(environ, 7) == interval_s


class Pets(Notifier):
    """Counts."""

    def __init__(self) -> None:
        super().__init__(None)
        self.count = 0

    def alive(self) -> None:
        self.count += 1


class Watched:
    def __init__(self) -> None:
        self.runtime = FakeRuntime({"disk-readings": PoolSize(1, 1), "disk-events": PoolSize(1, 1)})
        self.pets = Pets()
        self.dumps: list[float | None] = []
        self.still: list[str] = []
        self.watchdog = Watchdog(
            self.runtime.clock,
            self.runtime.threads,
            self.pets,
            10,
            ("disk-readings", "disk-events"),
            consumers=lambda: self.still,
            dump_later=self.dumps.append,
            cancel_dump=lambda: self.dumps.append(None),
            stacks=lambda: "STACKS",
        )


def test_petted_each_interval_while_all_moves() -> None:
    """P-18: only when loop and disk threads have moved."""
    watched = Watched()

    watched.watchdog.start()
    watched.runtime.advance(50)

    assert watched.pets.count == 6
    assert watched.dumps == [20.0] * 6


def test_a_consumer_whose_delivery_stands_still_is_not_petted_for(logged: Any) -> None:
    """P-18: and petted for again once it moves."""
    watched = Watched()
    watched.watchdog.start()
    watched.still.append("the report A")
    watched.runtime.advance(30)
    assert watched.pets.count == 1
    assert watched.watchdog.stuck == ("the report A",)
    assert "the report A has not moved" in logged.texts("error")[0]

    watched.still.clear()
    watched.runtime.advance(10)

    assert watched.pets.count == 2


def test_a_disk_thread_that_stands_still_is_not_petted_for_and_its_stack_is_logged_once(
    logged: Any,
) -> None:
    """P-18: stacks are logged before the kill."""
    watched = Watched()
    watched.watchdog.start()
    watched.runtime.advance(10)
    watched.runtime.threads.hold("disk-readings")

    watched.runtime.advance(50)

    assert watched.pets.count == 3
    assert watched.watchdog.stuck == ("disk-readings",)
    assert logged.texts("error") == [
        "the watchdog is not petted: disk-readings has not moved for 10.0 s\nSTACKS"
    ]


def test_when_it_moves_again_it_is_petted_again(logged: Any) -> None:
    watched = Watched()
    watched.watchdog.start()
    watched.runtime.threads.hold("disk-readings")
    watched.runtime.advance(30)
    before = watched.pets.count

    watched.runtime.threads.let_go("disk-readings")
    watched.runtime.advance(20)

    assert watched.pets.count == before + 2
    assert logged.texts("warn") == ["the watchdog is petted again: disk-readings moves"]


def test_a_busy_disk_thread_that_moves_is_petted_for() -> None:
    watched = Watched()
    watched.watchdog.start()

    for _ in range(5):
        watched.runtime.threads.to_pool("disk-readings", int)
        watched.runtime.threads.full = {"disk-readings"}
        watched.runtime.advance(10)
        watched.runtime.threads.full = set()

    assert watched.pets.count == 6


def test_stop_pets_no_more_and_takes_back_the_dump() -> None:
    watched = Watched()
    watched.watchdog.start()

    watched.watchdog.stop()
    watched.watchdog.stop()
    watched.runtime.advance(100)

    assert (watched.pets.count, watched.dumps) == (1, [20.0, None])
