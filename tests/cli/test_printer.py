import contextlib
import errno
import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from smapd.cli.printer import POOL, Printer, to_stdout
from smapd.core import SmapInstance
from smapd.runtime import PoolSize
from smapd.testing import FakeRuntime

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"


class Bench:
    """A tree with one stream, and a printer whose reader the test plays."""

    def __init__(self, most: int = 100) -> None:
        runtime = FakeRuntime()
        self.threads = runtime.threads
        self.threads.add_pool(POOL, PoolSize(kept=1, most=1, queue=1))
        self.written: list[bytes] = []
        self.lost: list[OSError] = []
        self.notes: list[str] = []
        self.error: Exception | None = None
        self.printer = Printer(
            self.threads, self.write, lost=self.lost.append, note=self.notes.append, most=most
        )
        self.inst = SmapInstance(ROOT, now=runtime.clock.wall_ms, home=self.threads.to_reactor)
        self.inst.add_timeseries("/x", "x", "V")
        self.inst.attach(self.printer)

    def write(self, data: bytes) -> None:
        if self.error is not None:
            raise self.error
        self.written.append(data)

    def add(self, *values: int) -> None:
        for value in values:
            self.inst.add("/x", value)
        self.inst.drain()

    def values(self) -> list[int]:
        lines = b"".join(self.written).decode().splitlines()
        return [int(line.split("\t")[2]) for line in lines]


def test_each_reading_is_a_line_in_order() -> None:
    """SM-18"""
    bench = Bench()

    bench.add(1, 2)
    bench.add(3)

    assert bench.values() == [1, 2, 3]
    assert b"".join(bench.written).endswith(b"\n")


def test_a_reader_that_stands_still_holds_nobody_up() -> None:
    bench = Bench()
    bench.threads.hold(POOL)

    bench.add(1)
    bench.add(2)
    assert bench.written == []
    bench.threads.let_go(POOL)

    assert bench.values() == [1, 2]


def test_a_reader_that_is_too_slow_misses_readings_and_is_told_how_many() -> None:
    bench = Bench(most=4)
    bench.threads.hold(POOL)
    bench.add(1, 2, 3, 4)
    bench.add(5)
    bench.add(6)
    assert bench.notes == []

    bench.threads.let_go(POOL)
    bench.add(7)

    assert bench.values() == [1, 2, 3, 4, 7]
    assert bench.notes == ["2 readings are not printed: what reads them is too slow."]


def test_a_batch_that_is_larger_than_the_queue_is_printed_when_nothing_waits() -> None:
    bench = Bench(most=2)

    bench.add(1, 2, 3)

    assert bench.values() == [1, 2, 3]


def test_a_reader_that_went_away_is_told_of_once() -> None:
    bench = Bench()
    bench.error = BrokenPipeError(errno.EPIPE, "Broken pipe")

    bench.add(1)
    bench.add(2)

    assert bench.lost == [bench.error]


def test_then_waits_for_what_is_not_printed_yet() -> None:
    bench = Bench()
    done: list[int] = []
    bench.threads.hold(POOL)
    bench.add(1)

    bench.printer.then(lambda: done.append(len(bench.written)))
    assert done == []
    bench.threads.let_go(POOL)
    bench.add(2)

    assert done == [1]


def test_then_with_nothing_to_wait_for_is_now() -> None:
    done: list[int] = []

    Bench().printer.then(lambda: done.append(1))

    assert done == [1]


def test_at_the_end_of_the_daemon_nothing_is_said() -> None:
    bench = Bench()
    bench.threads.stop(1.0)

    bench.add(1)

    assert (bench.lost, bench.notes) == ([], [])


# --- the standard output


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    reading, writing = os.pipe()
    monkeypatch.setattr(sys, "__stdout__", SimpleNamespace(fileno=lambda: writing))
    yield SimpleNamespace(reading=reading, writing=writing)
    for number in (reading, writing):
        with contextlib.suppress(OSError):  # a test closed it
            os.close(number)


def test_bytes_go_out_at_once(pipe: Any) -> None:
    to_stdout()(b"one\n")

    assert os.read(pipe.reading, 100) == b"one\n"


def test_a_closed_pipe_raises(pipe: Any) -> None:
    os.close(pipe.reading)

    with pytest.raises(BrokenPipeError):
        to_stdout()(b"one\n")


@pytest.mark.real
def test_a_pipe_that_does_not_block_gets_it_all(pipe: Any) -> None:
    """A shell may share its terminal with programs that set it so."""
    import threading

    os.set_blocking(pipe.writing, False)
    data = b"x" * 300_000
    got = bytearray()

    def read() -> None:
        while len(got) < len(data):
            got.extend(os.read(pipe.reading, 65536))

    reader = threading.Thread(target=read)
    reader.start()
    to_stdout()(data)
    reader.join(20)

    assert bytes(got) == data


def test_without_a_standard_output_nothing_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stdout__", None)

    to_stdout()(b"one\n")
