"""drivers/modbus over sockets: the simulated meter, which is pymodbus's server, and others."""

from __future__ import annotations

import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from smapd.driver import DeviceUnavailable, DriverFailed
from smapd.drivers.modbus import ModbusDriver, SimulatedMeter
from smapd.drivers.modbus.codec import Codec
from smapd.drivers.modbus.faults import Lost, Refused
from smapd.drivers.modbus.maps import load_map
from smapd.drivers.modbus.meter import shown
from smapd.drivers.modbus.registers import Table
from smapd.drivers.modbus.transport import TcpLink, Transport
from smapd.testing import DaemonProcess, DriverCase

from .replay import map_file

pytestmark = pytest.mark.real

CONF = pathlib.Path(__file__).parents[3] / "conf"
METER = "three-phase-meter"
ENOUGH_S = 20.0


@contextmanager
def simulator(port: int = 0) -> Iterator[int]:
    """The simulator as a reader of its docs would start it; its port."""
    command = [sys.executable, "-m", "smapd.drivers.modbus.simulator", "--port", str(port)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    try:
        line = child.stdout.readline().decode()
        found = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
        assert found is not None, line
        yield int(found[1])
        child.terminate()
        assert child.wait(ENOUGH_S) == 0
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server whose every connection is given to ``answer``; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(ENOUGH_S)


@contextmanager
def transport(port: int, timeout_s: float = 5.0) -> Iterator[Transport]:
    found = Transport(TcpLink("127.0.0.1", port), Codec(), timeout_s=timeout_s)
    try:
        yield found
    finally:
        found.stop()


def eventually(what: Callable[[], Any]) -> Any:
    """What it answers as soon as that is true; processes start and end in their own time."""
    for _ in range(int(ENOUGH_S / 0.05)):
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError("it never came")


class TheSimulator(DriverCase):
    """P-01: the driver against pymodbus's own server."""

    def status(self) -> Any:
        (status,) = self.runtime.scheduler.status()
        return status

    def test_meter_is_read_as_it_shows_itself(self) -> None:
        with simulator() as port:
            self.load(ModbusDriver, Map=METER, Address="127.0.0.1", Port=port)
            expected = shown(time.time())

            for register in load_map(pathlib.Path(METER)):
                ((_, value),) = self.readings(register.path)
                if register.path in expected:
                    assert value is not None
                    self.assertLess(abs(value - expected[register.path]), 50)  # a second on
            self.assertEqual(self.readings("/serial_number")[0][1], 20_230_017)
            self.assertEqual(self.readings("/current_ratio")[0][1], 20)
            self.assertEqual(self.status()["runs"], 1)
            self.assertNotIn("error", self.status())
            self.unload()

    def test_register_that_the_device_lacks_is_found(self) -> None:
        rows = "".join(f"/r{n},input,{n},uint16,1\n" for n in range(24, 40))
        with map_file(rows) as folder, simulator() as port:
            self.load(ModbusDriver, Map=f"{folder}/m.csv", Address="127.0.0.1", Port=port)

            good = [n for n in range(24, 40) if self.readings(f"/r{n}")[0][1] is not None]
            self.assertEqual(good, list(range(24, 32)))
            self.unload()

    def test_device_that_went_away_is_read_again_when_it_is_back(self) -> None:
        """U-01: nothing needs a restart."""
        with simulator() as port:
            self.load(ModbusDriver, Map=METER, Address="127.0.0.1", Port=port, Timeout="5s")
        self.advance(30)
        self.advance(30)
        self.assertEqual(self.status()["failed"], 2)
        with simulator(port):
            self.advance(30)
            values = [v for _, v in self.readings("/frequency")]
            self.unload()

        self.assertEqual(len(values), 3)
        self.assertEqual([v is None for v in values], [False, True, False])

    def test_restart_between_two_polls_costs_no_reading(self) -> None:
        with simulator() as port:
            self.load(ModbusDriver, Map=METER, Address="127.0.0.1", Port=port)
        with simulator(port):
            self.advance(30)
            self.unload()

        self.assertEqual([v is None for _, v in self.readings("/frequency")], [False, False])

    def test_stop_frees_the_connection(self) -> None:
        closed = threading.Event()

        def answer(connection: socket.socket) -> None:
            while request := connection.recv(100):
                connection.sendall(request[:4] + b"\0\5" + request[6:8] + b"\2\0\7")
            closed.set()

        with map_file("/a,holding,0,int16,V\n") as folder, server(answer) as port:
            self.load(ModbusDriver, Map=f"{folder}/m.csv", Address="127.0.0.1", Port=port)
            self.assertEqual([v for _, v in self.readings("/a")], [7])
            self.assertFalse(closed.is_set())

            self.unload()

            self.assertTrue(closed.wait(ENOUGH_S))


def test_unit_that_is_not_there_is_refused() -> None:
    with simulator() as port, transport(port) as device, pytest.raises(Refused):
        device.read(9, Table.INPUT, 0, 2)


def test_stop_ends_a_read_that_hangs() -> None:
    asked = threading.Event()

    def hang(connection: socket.socket) -> None:
        connection.recv(100)
        asked.set()
        connection.recv(100)

    outcome: list[BaseException] = []
    with server(hang) as port, transport(port, timeout_s=60.0) as device:

        def read() -> None:
            try:
                device.read(1, Table.INPUT, 0, 2)
            except Lost as e:
                outcome.append(e)

        thread = threading.Thread(target=read)
        thread.start()
        assert asked.wait(ENOUGH_S)

        device.stop()
        thread.join(ENOUGH_S)

    assert not thread.is_alive()
    assert len(outcome) == 1


def test_a_thousand_open_files_are_no_matter() -> None:
    """select() ends at 1023."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    files = []
    try:
        with simulator() as port:
            files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
            with transport(port) as device:
                assert list(device.read(1, Table.HOLDING, 100, 1)) == [20]
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_coil_keeps_what_is_written() -> None:
    with simulator() as port:
        with socket.create_connection(("127.0.0.1", port), 5) as other:
            other.sendall(bytes.fromhex("000100000006 01 05 0000 ff00"))
            assert other.recv(100)[7] == 5
        with transport(port) as device:
            assert list(device.read(1, Table.COIL, 0, 1)) == [1]


def test_taken_port_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "smapd.drivers.modbus.simulator", "--port", str(port)]

        done = subprocess.run(command, capture_output=True, text=True, timeout=ENOUGH_S)

    assert done.returncode == 1
    said = f"simulator: cannot listen on 127.0.0.1:{port}: "
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1


class TheSimulatedMeter(DriverCase):
    """The driver that runs the simulator for a demo."""

    def meter(self) -> SimulatedMeter:
        meter = self.load(SimulatedMeter, Port=0)
        assert isinstance(meter, SimulatedMeter)
        return meter

    def test_who_connects_before_it_runs_is_answered(self) -> None:
        with transport(self.meter().port, ENOUGH_S) as device:
            self.assertEqual(list(device.read(1, Table.HOLDING, 100, 1)), [20])

    def test_it_ends_with_the_driver(self) -> None:
        meter = self.meter()
        child = meter.child
        assert child is not None

        self.unload()

        self.assertIsNotNone(child.returncode)
        with self.assertRaises(OSError):
            socket.create_connection(("127.0.0.1", meter.port), 1)

    def test_it_is_started_again_when_it_ends(self) -> None:
        meter = self.meter()
        first = meter.child
        assert first is not None
        first.kill()
        first.wait(ENOUGH_S)

        self.advance(2)

        (status,) = self.runtime.scheduler.status()
        self.assertIn("the simulator ended with status -9; started again", status["error"])
        with transport(meter.port, ENOUGH_S) as device:
            self.assertEqual(list(device.read(1, Table.HOLDING, 100, 1)), [20])

    def test_taken_port_is_one_sentence(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]

            with self.assertRaises(DriverFailed) as caught:
                self.load(SimulatedMeter, Port=port)

        self.assertIsInstance(caught.exception.__cause__, DeviceUnavailable)
        text = f"setup failed: cannot listen on 127.0.0.1:{port}: Address already in use"
        self.assertIn(text, str(caught.exception))


@pytest.mark.parametrize(
    ("name", "path", "least", "most"),
    [("demo", "/meter/frequency", 49, 51), ("modbus", "/main/power", 3, 10)],
)
def test_example_reads_the_simulated_meter(name: str, path: str, least: int, most: int) -> None:
    """conf/NAME.ini as it stands, but for the port and the directory it is started from."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = re.sub(r"Port = 150\d\d", f"Port = {port}", (CONF / f"{name}.ini").read_text())
    with DaemonProcess(config.replace("conf/", f"{CONF}/")) as daemon:
        reading = eventually(lambda: daemon.get(f"/data{path}").json()["Readings"])
        (child,) = psutil.Process(daemon.pid).children()
        assert daemon.stop() == 0
        said = daemon.text()

    assert least < reading[0][1] < most
    assert "does not answer" not in said
    assert "Traceback" not in said
    assert is_gone(child)


def test_killed_daemon_leaves_no_simulator_behind() -> None:
    config = (
        "[/]\nuuid = 2b2d4a3e-51c3-4a0a-8f0e-6a4be0f5d3c4\n"
        "[/simulator]\ntype = smapd.drivers.modbus.SimulatedMeter\nPort = 0\n"
    )
    with DaemonProcess(config) as daemon:
        (child,) = eventually(lambda: psutil.Process(daemon.pid).children())

        os.kill(daemon.pid, signal.SIGKILL)
        daemon.wait()

        eventually(lambda: is_gone(child))


def is_gone(process: psutil.Process) -> bool:
    """Whether it has ended, be it not reaped yet by who adopted it."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
