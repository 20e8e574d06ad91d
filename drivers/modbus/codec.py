"""Frames of Modbus/TCP, made and read by pymodbus; what comes is checked here before it reads it.

A frame is a header of seven bytes and a message::

    number 2 | protocol 2, always 0 | length 2 | unit 1 | function 1 | data

``length`` counts from the unit on. A request to read has the address and the count as data. The
answer has the number, unit and function of its request, a byte that says how many follow, and
these: two a word, or one for each eight bits, the lowest first. A refusal has the function with its
top bit set, and one byte that says why. A request to write has the address and the value as data,
or the address, the count, and the values; the answer repeats its first five bytes, from the
function on.

Needs the package pymodbus: import this file by ``transport.load_codec``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pymodbus.framer import FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    WriteMultipleCoilsRequest,
    WriteSingleCoilRequest,
)
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from .faults import Garbled, Refused
from .registers import Table

_HEADER = 7
_LENGTHS = range(3, 255)  # unit, function and a byte at least; 253 bytes of message at most
_REFUSED = 0x80
_ECHO = slice(_HEADER, _HEADER + 5)
_REQUESTS: dict[Table, type[ModbusPDU]] = {
    Table.COIL: ReadCoilsRequest,
    Table.DISCRETE: ReadDiscreteInputsRequest,
    Table.HOLDING: ReadHoldingRegistersRequest,
    Table.INPUT: ReadInputRegistersRequest,
}


@dataclass(frozen=True, slots=True)
class Frame:
    """What came in one frame: to which request, of which unit, and the message."""

    number: int
    unit: int
    message: bytes


class Codec:
    """Requests into bytes, bytes into answers; keeps nothing between two calls."""

    def __init__(self) -> None:
        self._decoder = DecodePDU(False)
        self._framer = FramerSocket(self._decoder)

    def request(self, number: int, unit: int, table: Table, address: int, count: int) -> bytes:
        """The frame that asks for ``count`` words or bits."""
        request = _REQUESTS[table](dev_id=unit, transaction_id=number, address=address, count=count)
        return self._framer.buildFrame(request)

    def write_request(
        self,
        number: int,
        unit: int,
        table: Table,
        address: int,
        values: Sequence[int],
        many: bool = False,
    ) -> bytes:
        """The frame that writes these words, or bits: by function 5 or 6 if it is one, else by 15
        or 16, as always with ``many``."""
        request: ModbusPDU
        if table is Table.COIL:
            bits = [bool(value) for value in values]
            if len(bits) == 1 and not many:
                request = WriteSingleCoilRequest(
                    dev_id=unit, transaction_id=number, address=address, bits=bits
                )
            else:
                request = WriteMultipleCoilsRequest(
                    dev_id=unit, transaction_id=number, address=address, bits=bits
                )
        elif len(values) == 1 and not many:
            request = WriteSingleRegisterRequest(
                dev_id=unit, transaction_id=number, address=address, registers=list(values)
            )
        else:
            request = WriteMultipleRegistersRequest(
                dev_id=unit, transaction_id=number, address=address, registers=list(values)
            )
        return self._framer.buildFrame(request)

    def check_written(self, message: bytes, request: bytes) -> None:
        """Return if a message says that what this frame of ``write_request`` asked for is done.

        :raises Refused: if it refuses.
        :raises Garbled: if it says anything else.
        """
        expected = request[_ECHO]
        if message[0] == expected[0] | _REFUSED and len(message) == 2:
            raise Refused(message[1])
        if message != expected:
            raise Garbled(
                f"{message[:8].hex(' ')} is no answer to a request to write {expected.hex(' ')}"
            )

    def first(self, data: bytes) -> tuple[Frame | None, int]:
        """The first frame in these bytes, and how many it takes; (None, 0) until it is whole.

        :raises Garbled: if they are no beginning of a frame.
        """
        if len(data) < _HEADER:
            return None, 0
        protocol = int.from_bytes(data[2:4], "big")
        length = int.from_bytes(data[4:6], "big")
        if protocol != 0 or length not in _LENGTHS:
            raise Garbled(f"what came is no Modbus frame: {data[:_HEADER].hex(' ')}")
        size = _HEADER - 1 + length
        if len(data) < size:
            return None, 0
        _, unit, number, message = self._framer.decode(data[:size])
        return Frame(number, unit, message), size

    def answer(self, message: bytes, table: Table, count: int) -> Sequence[int]:
        """The words or bits that a message gives.

        :raises Refused: if it refuses them.
        :raises Garbled: if it is no answer to a request for so many of that table.
        """
        function = _REQUESTS[table].function_code
        if message[0] == function | _REFUSED and len(message) == 2:
            raise Refused(message[1])
        size = (count + 7) // 8 if table.is_bits else count * 2
        if message[0] != function:
            raise Garbled(f"an answer of function {message[0]} to a request of {function}")
        if len(message) != 2 + size or message[1] != size:
            raise Garbled(f"a short or long answer: {len(message) - 2} bytes where {size} belong")
        answer = self._decoder.decode(message)
        if answer is None:
            raise Garbled(f"pymodbus cannot read the answer {message[:8].hex(' ')}")
        if table.is_bits:
            return [int(bit) for bit in answer.bits[:count]]
        return list(answer.registers)
