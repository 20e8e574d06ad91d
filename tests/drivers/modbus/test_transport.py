"""drivers/modbus/transport.py: exchanges over a link that is a text. U-01, U-02, U-05."""

from __future__ import annotations

import builtins
from itertools import count
from random import Random
from typing import Any

import pytest

from smapd.driver import MissingExtra
from smapd.drivers.modbus.codec import Codec
from smapd.drivers.modbus.faults import Garbled, Lost, Refused
from smapd.drivers.modbus.registers import Table
from smapd.drivers.modbus.transport import TcpLink, Transport, load_codec

from .replay import ReplayLink

ASK = "> 00 01 00 00 00 06 01 03 00 00 00 01"
ANSWER = "< 00 01 00 00 00 05 01 03 02 00 07"
AGAIN = "> 00 02 00 00 00 06 01 03 00 00 00 01"
SECOND = "< 00 02 00 00 00 05 01 03 02 00 08"


def transport(link: Any, **options: Any) -> Transport:
    return Transport(link, Codec(), **{"timeout_s": 1.0} | options)


def read(device: Transport, count: int = 1, table: Table = Table.HOLDING) -> list[int]:
    return list(device.read(1, table, 0, count))


def test_connection_is_kept_from_one_read_to_the_next() -> None:
    device = transport(ReplayLink(["connects", ASK, ANSWER, AGAIN, SECOND]))

    assert [read(device), read(device)] == [[7], [8]]


def test_frames_that_answer_nothing_are_counted_and_left_out() -> None:
    other_number = "< 00 09 00 00 00 05 01 03 02 00 42"
    other_unit = "< 00 01 00 00 00 05 02 03 02 00 42"
    link = ReplayLink(["connects", other_number, ASK, other_number, other_unit, ANSWER])
    device = transport(link)

    assert read(device) == [7]
    assert device.strays == 3


def test_after_a_timeout_the_connection_is_closed() -> None:
    link = ReplayLink(["connects", ASK, "silent"])

    with pytest.raises(Lost, match="device:502 gave no answer within 1 s"):
        read(transport(link))

    assert link.closed == 1


def test_half_an_answer_does_not_outlive_its_connection() -> None:
    link = ReplayLink(["connects", ASK, ANSWER[:20], "silent", "connects", AGAIN, SECOND])
    device = transport(link)

    with pytest.raises(Lost):
        read(device)

    assert read(device) == [8]


def test_what_drips_in_for_ever_ends_at_the_timeout() -> None:
    class Dripping(ReplayLink):
        def receive(self, timeout_s: float) -> bytes:
            return super().receive(timeout_s) if self.lines else b"\0"

    link = Dripping(["connects", ASK])
    ticks = count()

    with pytest.raises(Lost, match="gave no answer within 5 s"):
        read(transport(link, timeout_s=5.0, seconds=lambda: float(next(ticks))))

    assert next(ticks) < 20


def test_flood_that_nobody_asked_for_ends_the_connection() -> None:
    frame = "< " + "00 09 00 00 00 05 01 03 02 00 42 " * 1000
    link = ReplayLink(["connects", *[frame] * 6])

    with pytest.raises(Lost, match="it sends without being asked"):
        read(transport(link))

    assert link.closed == 1


def test_pause_is_waited_before_each_request() -> None:
    link = ReplayLink(["connects", ASK, ANSWER, AGAIN, SECOND])
    device = transport(link, pause_s=0.25, seconds=lambda: 100.0)

    read(device), read(device)

    assert link.waited == [0.25, 0.25]


def test_one_lost_connection_of_a_round_is_made_good() -> None:
    third = "> 00 03 00 00 00 06 01 03 00 00 00 01"
    link = ReplayLink(["connects", ASK, ANSWER])
    device = transport(link)
    read(device)
    device.begin()

    link.play(["hangs up", "connects", AGAIN, SECOND])
    assert read(device) == [8]
    link.play([third, "hangs up"])
    with pytest.raises(Lost, match="the device closed the connection"):
        read(device)


def test_refusal_says_why() -> None:
    refusal = "< 00 01 00 00 00 03 01 83 02"
    link = ReplayLink(["connects", ASK, refusal])

    with pytest.raises(Refused, match=r"illegal data address \(exception 2\)") as caught:
        read(transport(link))

    assert caught.value.code == 2
    assert link.is_open


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("00 01 00 00 00 03 01 03 00", "0 bytes where 2 belong"),
        ("00 01 00 00 00 07 01 03 04 00 01 00 02", "4 bytes where 2 belong"),
        ("00 01 00 00 00 05 01 03 04 00 01", "2 bytes where 2 belong"),
        ("00 01 00 00 00 05 01 04 02 00 01", "function 4 to a request of 3"),
        ("00 01 00 00 00 03 01 84 02", "function 132 to a request of 3"),
        ("00 01 00 00 00 04 01 83 02 02", "function 131 to a request of 3"),
    ],
)
def test_answer_that_does_not_fit_its_request_is_garbled(message: str, said: str) -> None:
    link = ReplayLink(["connects", ASK, "< " + message])

    with pytest.raises(Garbled, match=said):
        read(transport(link))


@pytest.mark.parametrize("header", ["00 01 00 01 00 05 01", "00 01 00 00 00 02 01", "ff " * 7])
def test_what_is_no_frame_ends_the_connection(header: str) -> None:
    link = ReplayLink(["connects", ASK, "< " + header])

    with pytest.raises(Lost, match="what came is no Modbus frame"):
        read(transport(link))

    assert link.closed == 1


def test_bits_come_lowest_first() -> None:
    ask = "> 00 01 00 00 00 06 01 01 00 00 00 0a"
    link = ReplayLink(["connects", ask, "< 00 01 00 00 00 05 01 01 02 05 02"])

    assert read(transport(link), 10, Table.COIL) == [1, 0, 1, 0, 0, 0, 0, 0, 0, 1]


def test_numbers_of_requests_go_round() -> None:
    link = ReplayLink(["connects"])
    device = transport(link)
    device._number = 0xFFFF
    link.lines.extend([ASK.replace("00 01", "00 00", 1), ANSWER.replace("00 01", "00 00", 1)])

    assert read(device) == [7]


class Mischief(ReplayLink):
    """A device whose holding registers count requests; answers come late, twice and out of turn."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.random = random
        self.asked = 0
        self.late: list[bytes] = []
        self.due: list[bytes] = []

    def open(self, timeout_s: float) -> None:
        self.is_open = True
        if self.random.random() < 0.5:  # a gateway may remember who asked
            self.late.clear()

    def send(self, data: bytes, timeout_s: float) -> None:
        self.asked += 1
        answer = data[:4] + b"\0\5" + data[6:8] + b"\2" + (self.asked & 0xFFFF).to_bytes(2, "big")
        match self.random.randrange(8):
            case 0:  # too late
                self.late.append(answer)
            case 1:  # twice
                self.due += [answer, answer]
            case 2:  # behind what was late
                self.due += [*self.late, answer]
                self.late.clear()
            case 3:  # in two pieces, one of them after the next request
                self.due += [answer + answer[:5]]
                self.late.append(answer[5:])
            case 4:  # of another unit, then right
                self.due += [answer[:6] + b"\x09" + answer[7:], answer]
            case _:
                self.due += [answer]

    def receive(self, timeout_s: float) -> bytes:
        if timeout_s == 0 and self.late and self.random.random() < 0.5:
            return self.late.pop(0)
        if not self.due:
            raise TimeoutError
        return self.due.pop(0)

    def close(self) -> None:
        self.is_open = False
        self.due.clear()


def test_late_doubled_and_swapped_answers_are_never_another_ones_value() -> None:
    """U-02: no wrong attribution, and back in step within one round."""
    link = Mischief(Random(1))
    device = transport(link)
    wrong = lost = 0
    in_a_row = worst = 0

    for _ in range(100_000):
        try:
            (value,) = device.read(1, Table.HOLDING, 0, 1)
        except Lost:
            lost += 1
            in_a_row += 1
            worst = max(worst, in_a_row)
            continue
        in_a_row = 0
        wrong += value != link.asked & 0xFFFF

    assert wrong == 0
    assert lost > 5000
    assert device.strays > 5000
    assert worst < 10  # that many dice in a row, not a line out of step


def test_stopped_transport_reads_no_more() -> None:
    link = TcpLink("127.0.0.1", 9)
    device = transport(link)

    device.stop()

    with pytest.raises(Lost, match="stopped"):
        read(device)


def test_missing_pymodbus_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *a: Any) -> Any:
        if name == "codec":
            raise ModuleNotFoundError("No module named 'pymodbus'")
        return real(name, *a)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(MissingExtra) as caught:
        load_codec()

    assert caught.value.message == (
        "Modbus needs the package pymodbus 3.16 (No module named 'pymodbus')."
    )
    assert caught.value.hint == "Install it: pip install 'smapd[modbus]'"
