"""drivers/modbus: writing, from the actuators of the tree to the bytes. P-01, IM-17."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from twisted.python.failure import Failure

from smapd.actuation import POOL, Actuators
from smapd.drivers.modbus import ModbusDriver
from smapd.drivers.modbus.codec import Codec
from smapd.drivers.modbus.faults import Garbled, Lost, Refused
from smapd.drivers.modbus.registers import Table
from smapd.drivers.modbus.transport import TcpLink, Transport
from smapd.errors import BadState, DeviceFailed
from smapd.runtime import PoolSize
from smapd.testing import DriverCase

from .replay import ReplayLink, map_file

ROWS = """\
/lamp/on,coil,7,,,yes,on/off
/lamp/level,holding,2,uint16,0.1,0..100,%
/fan,holding,3,uint16,,0|1|2,1
/setpoint,holding,4,float32,,5..30,C
/count,holding,6,uint16,10,0..1000,1
"""
HEAD = "path,table,address,type,scale,write,unit\n"
WRITTEN = "> 00 01 00 00 00 06 01 06 00 02 00 37"
ANSWERED = "< 00 01 00 00 00 06 01 06 00 02 00 37"


def device(lines: list[str]) -> tuple[Transport, ReplayLink]:
    link = ReplayLink(lines)
    return Transport(link, Codec(), timeout_s=1.0), link


# --- the transport


@pytest.mark.parametrize(
    ("table", "address", "values", "many", "sent", "answered"),
    [
        (Table.COIL, 7, [1], False, "05 00 07 ff 00", "05 00 07 ff 00"),
        (Table.COIL, 7, [0], False, "05 00 07 00 00", "05 00 07 00 00"),
        (Table.COIL, 7, [1], True, "0f 00 07 00 01 01 01", "0f 00 07 00 01"),
        (Table.COIL, 0, [1, 0, 1], False, "0f 00 00 00 03 01 05", "0f 00 00 00 03"),
        (Table.HOLDING, 2, [0x37], False, "06 00 02 00 37", "06 00 02 00 37"),
        (Table.HOLDING, 2, [0x37], True, "10 00 02 00 01 02 00 37", "10 00 02 00 01"),
        (Table.HOLDING, 2, [1, 2], False, "10 00 02 00 02 04 00 01 00 02", "10 00 02 00 02"),
    ],
)
def test_what_goes_over_the_wire(
    table: Table, address: int, values: list[int], many: bool, sent: str, answered: str
) -> None:
    """Functions 5, 6, 15 and 16."""

    def frame(message: str) -> str:
        length = len(bytes.fromhex(message)) + 1
        return f"00 01 00 00 00 {length:02x} 01 {message}"

    transport, link = device(["connects", f"> {frame(sent)}", f"< {frame(answered)}"])

    transport.write(1, table, address, values, many)

    assert not link.lines


def test_a_device_that_refuses_is_refused() -> None:
    transport, _ = device(["connects", WRITTEN, "< 00 01 00 00 00 03 01 86 03"])

    with pytest.raises(Refused, match="illegal data value"):
        transport.write(1, Table.HOLDING, 2, [0x37])


@pytest.mark.parametrize("answer", ["06 00 02 00 38", "06 00 03 00 37", "10 00 02 00 37", "06 00"])
def test_an_answer_that_says_something_else_is_no_answer(answer: str) -> None:
    length = len(bytes.fromhex(answer)) + 1
    transport, _ = device(["connects", WRITTEN, f"< 00 01 00 00 00 {length:02x} 01 {answer}"])

    with pytest.raises(Garbled):
        transport.write(1, Table.HOLDING, 2, [0x37])


def test_a_write_that_may_have_arrived_is_not_sent_again() -> None:
    transport, link = device(["connects", WRITTEN, "silent"])

    with pytest.raises(Lost, match="no answer within 1 s"):
        transport.write(1, Table.HOLDING, 2, [0x37])

    assert not link.lines


def test_a_connection_that_died_unused_is_made_anew() -> None:
    again = WRITTEN.replace("> 00 01", "> 00 02"), ANSWERED.replace("< 00 01", "< 00 02")
    transport, link = device(["connects", WRITTEN, ANSWERED, "hangs up", "connects", *again])
    transport.write(1, Table.HOLDING, 2, [0x37])

    transport.write(1, Table.HOLDING, 2, [0x37])

    assert not link.lines


# --- the driver and its actuators


class Keeping(ReplayLink):
    """A device with coils and holding registers that keep what is written to them."""

    def __init__(self) -> None:
        super().__init__()
        self.coils = [0] * 16
        self.words = [0] * 16
        self.functions: list[int] = []
        self.stuck = False
        self.refuse = 0
        self.answer = b""

    def open(self, timeout_s: float) -> None:
        self.is_open = True

    def send(self, data: bytes, timeout_s: float) -> None:
        function, first = data[7], int.from_bytes(data[8:10], "big")
        number = int.from_bytes(data[10:12], "big")
        self.functions.append(function)
        message = data[7:12]
        if self.refuse and function > 4:
            message = bytes([function | 0x80, self.refuse])
        elif function == 1:
            message = bytes([1, 1, sum(bit << n for n, bit in enumerate(self.coils[first:][:8]))])
        elif function == 3:
            words = self.words[first : first + number]
            message = bytes([3, 2 * number]) + b"".join(w.to_bytes(2, "big") for w in words)
        elif self.stuck:
            pass
        elif function == 5:
            self.coils[first] = int(number == 0xFF00)
        elif function == 15:
            self.coils[first] = data[13] & 1
        elif function == 6:
            self.words[first] = number
        else:
            values = data[13:]
            for n in range(number):
                self.words[first + n] = int.from_bytes(values[2 * n : 2 * n + 2], "big")
        self.answer = data[:4] + (len(message) + 1).to_bytes(2, "big") + data[6:7] + message

    def receive(self, timeout_s: float) -> bytes:
        answer, self.answer = self.answer, b""
        if not answer:
            raise TimeoutError
        return answer


class Writes(DriverCase):
    """PUT of a state is a write, and what is answered was read from the device."""

    path = "/hall"

    def setUp(self) -> None:
        super().setUp()
        runtime = self.runtime
        runtime.threads.add_pool(POOL, PoolSize(kept=0, most=8))
        self.actuators = Actuators(self.inst, runtime.threads, runtime.clock, runtime.faults)
        self.actuators.open()
        self.device = Keeping()

    def run_map(self, **opts: Any) -> None:
        link = self.device

        class Replayed(ModbusDriver):
            def link(self, host: str, port: int) -> Keeping:
                return link

        folder = map_file("")
        self.addCleanup(folder.cleanup)
        with open(f"{folder.name}/m.csv", "w") as file:
            file.write(HEAD + ROWS)
        self.load(Replayed, Map=f"{folder.name}/m.csv", Address="device", Rate="30s", **opts)
        self.device.functions.clear()

    def set(self, path: str, text: str) -> Any:
        results: list[Any] = []
        self.actuators.set(f"/hall{path}", text).addBoth(results.append)
        self.advance(0)
        assert results, "it has not ended"
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0].value

    def test_each_kind_is_written_and_read_back(self) -> None:
        self.run_map()

        self.assertEqual(self.set("/lamp/on", "on"), 1)
        self.assertEqual(self.set("/lamp/level", "40"), 40.0)
        self.assertEqual(self.set("/fan", "2"), 2)
        self.assertEqual(self.set("/setpoint", "21.5"), 21.5)

        self.assertEqual(self.device.coils[7], 1)
        self.assertEqual(self.device.words[2:6], [400, 2, 0x41AC, 0])
        self.assertEqual(self.device.functions, [5, 1, 6, 3, 6, 3, 16, 3])
        self.assertEqual(self.readings("/lamp/level")[-1][1], 40.0)

    def test_with_write_multiple_only_15_and_16_are_used(self) -> None:
        self.run_map(WriteMultiple="yes")

        self.set("/lamp/on", "1")
        self.set("/fan", "1")

        self.assertEqual(self.device.functions, [15, 1, 16, 3])

    def test_a_state_between_two_steps_becomes_the_nearest(self) -> None:
        self.run_map()

        self.assertEqual(self.set("/lamp/level", "40.04"), 40.0)
        self.assertEqual(self.set("/count", "47"), 50)

    def test_what_is_none_of_its_states_reaches_no_device(self) -> None:
        self.run_map()

        for path, state in (("/lamp/level", "101"), ("/fan", "3"), ("/lamp/on", "7")):
            with self.assertRaises(BadState):
                self.set(path, state)

        self.assertEqual(self.device.functions, [])

    def test_a_device_that_does_not_obey_is_told_with_both_values(self) -> None:
        self.run_map()
        self.device.stuck = True

        with self.assertRaisesRegex(DeviceFailed, "was set to 40.0, but reads 0.0"):
            self.set("/lamp/level", "40")

    def test_a_device_that_refuses_is_told_with_its_reason(self) -> None:
        self.run_map()
        self.device.refuse = 4

        with self.assertRaisesRegex(DeviceFailed, r"holding 2: device failure \(exception 4\)"):
            self.set("/lamp/level", "40")

    def test_what_somebody_else_writes_shows_with_the_next_poll(self) -> None:
        self.run_map()
        self.set("/lamp/level", "40")

        self.device.words[2] = 150
        self.advance(30)

        self.assertEqual(self.readings("/lamp/level")[-1][1], 15.0)

    def test_a_device_for_one_master_at_a_time_is_let_go_after_a_write(self) -> None:
        self.run_map(KeepOpen="no")

        self.set("/fan", "1")

        self.assertFalse(self.device.is_open)


# --- the simulator


@contextmanager
def simulator(*more: str) -> Iterator[int]:
    command = [sys.executable, "-m", "smapd.drivers.modbus.simulator", "--port", "0", *more]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    try:
        yield int(child.stdout.readline().rpartition(b":")[2])
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


@pytest.mark.real
def test_a_map_of_ones_own_is_simulated_and_keeps_what_is_written() -> None:
    """Every function that writes, against pymodbus's own server."""
    with map_file("") as folder:
        with open(f"{folder}/m.csv", "w") as file:
            file.write(HEAD + ROWS)
        begin = ("--map", f"{folder}/m.csv", "--set", "/lamp/level=55.5", "--set", "/lamp/on=1")
        with simulator(*begin) as port:
            link = TcpLink("127.0.0.1", port)
            transport = Transport(link, Codec(), timeout_s=5.0)
            assert list(transport.read(1, Table.HOLDING, 2, 5)) == [555, 0, 0, 0, 0]
            assert list(transport.read(1, Table.COIL, 7, 1)) == [1]

            for many in (False, True):
                for value in (1, 0):
                    transport.write(1, Table.COIL, 7, [value], many)
                    assert list(transport.read(1, Table.COIL, 7, 1)) == [value]
                    transport.write(1, Table.HOLDING, 3, [value], many)
                    assert list(transport.read(1, Table.HOLDING, 3, 1)) == [value]
            transport.write(1, Table.HOLDING, 4, [0x41AC, 7])
            assert list(transport.read(1, Table.HOLDING, 2, 5)) == [555, 0, 0x41AC, 7, 0]
            with pytest.raises(Refused):
                transport.write(1, Table.HOLDING, 99, [1])
            transport.stop()


@pytest.mark.real
@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--map", "nowhere.csv"), "simulator: Map = nowhere.csv: cannot be read"),
        (("--set", "/x=1"), "simulator: --set /x=1: the map has no /x."),
        (("--set", "/l1/voltage=x"), "simulator: --set /l1/voltage=x: could not convert"),
    ],
)
def test_what_the_simulator_cannot_do_is_one_sentence(more: tuple[str, ...], said: str) -> None:
    command = [sys.executable, "-m", "smapd.drivers.modbus.simulator", "--port", "0", *more]

    done = subprocess.run(command, capture_output=True, text=True, timeout=20)

    assert done.returncode == 2
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.real
def test_threads_share_one_connection_without_meeting_each_others_answers() -> None:
    """Polls and writes of one section run on different threads."""
    with map_file("") as folder:
        with open(f"{folder}/m.csv", "w") as file:
            file.write(HEAD + "".join(f"/r{n},holding,{n},uint16,,yes,1\n" for n in range(8)))
        with simulator("--map", f"{folder}/m.csv") as port:
            transport = Transport(TcpLink("127.0.0.1", port), Codec(), timeout_s=5.0)
            wrong: list[Any] = []

            def work(n: int) -> None:
                try:
                    for k in range(40):
                        transport.write(1, Table.HOLDING, n, [100 * n + k])
                        found = list(transport.read(1, Table.HOLDING, n, 1))
                        if found != [100 * n + k]:
                            wrong.append((n, k, found))
                except (Lost, Garbled, Refused, OSError) as e:
                    wrong.append(e)

            threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            transport.stop()
    assert wrong == []
    assert transport.strays == 0
