"""What a register map says: one row a value of the device, and how its words become it; pure.

A device has four tables. Coils and discrete inputs are bits, holding and input registers words of
16 bits; each is counted from 0, as it is on the wire. A value of 32 or 64 bits takes two or four
words, first the most significant one, unless its order says otherwise.
"""

from __future__ import annotations

import enum
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

Number: TypeAlias = int | float


class Table(enum.Enum):
    """One of a device's four tables; the value is its name in a map."""

    COIL = "coil"
    DISCRETE = "discrete"
    HOLDING = "holding"
    INPUT = "input"

    @property
    def is_bits(self) -> bool:
        """Whether it holds bits rather than words."""
        return self in (Table.COIL, Table.DISCRETE)


class Order(enum.Enum):
    """How the bytes of a value lie on the wire: A is the most significant of a 32-bit one."""

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"

    @property
    def has_low_word_first(self) -> bool:
        """Whether the words come in reverse."""
        return self in (Order.CDAB, Order.DCBA)

    @property
    def has_low_byte_first(self) -> bool:
        """Whether the bytes within each word come in reverse."""
        return self in (Order.BADC, Order.DCBA)


@dataclass(frozen=True, slots=True)
class Kind:
    """A type: its name in a map, its format for ``struct``, how many words it takes."""

    name: str
    format: str
    words: int

    @property
    def is_float(self) -> bool:
        """Whether it has a fraction."""
        return self.format in "fd"


@dataclass(frozen=True, slots=True)
class Writable:
    """Which readings may be written: those from ``low`` to ``high``, or the listed ones alone."""

    low: Number = 0
    high: Number = 1
    values: tuple[int, ...] = ()


BOOL = Kind("bool", "H", 1)

KINDS = {
    kind.name: kind
    for kind in (
        BOOL,
        Kind("int16", "h", 1),
        Kind("uint16", "H", 1),
        Kind("int32", "i", 2),
        Kind("uint32", "I", 2),
        Kind("int64", "q", 4),
        Kind("uint64", "Q", 4),
        Kind("float32", "f", 2),
        Kind("float64", "d", 4),
    )
}


class NoValue(Exception):
    """The device has no value there; the text says how it says so."""


@dataclass(frozen=True, slots=True)
class Register:
    """One row: where a value lies, what it is, and what stream it fills.

    ``bit``: of a bool in a word, 0 the lowest. ``value × scale + offset`` is the reading.
    ``no_value``: the bits, as an unsigned number, by which the device says that it has no value.
    ``writable``: None for what is only read.
    """

    path: str
    table: Table
    address: int
    kind: Kind
    order: Order = Order.ABCD
    bit: int | None = None
    scale: Decimal = Decimal(1)
    offset: Decimal = Decimal(0)
    no_value: int | None = None
    unit: str = "1"
    key: str = ""
    description: str = ""
    writable: Writable | None = None

    @property
    def place(self) -> str:
        """Where it lies, for people."""
        return f"{self.table.value} {self.address}"

    @property
    def count(self) -> int:
        """How many words, or bits, of its table it takes."""
        return self.kind.words

    @property
    def end(self) -> int:
        """The address after its last."""
        return self.address + self.kind.words

    @property
    def data_type(self) -> str:
        """long for whole numbers, double where a fraction can come of it."""
        if self.kind.is_float or any(x % 1 for x in (self.scale, self.offset)):
            return "double"
        return "long"

    def value(self, words: Sequence[int]) -> Number:
        """The reading that these words (or this one bit, 0 or 1) stand for.

        :raises NoValue: for the words that mean none, and for NaN and infinity.
        """
        if self.kind is BOOL and self.table.is_bits:
            return int(bool(words[0]))
        data = self._bytes(words)
        bits = int.from_bytes(data, "big")
        if self.no_value is not None and bits == self.no_value:
            raise NoValue(f"the device has no value (0x{bits:0{len(data) * 2}x})")
        if self.kind is BOOL:
            return bits >> (self.bit or 0) & 1
        raw: Number = struct.unpack(">" + self.kind.format, data)[0]
        if isinstance(raw, float):
            if not math.isfinite(raw):
                raise NoValue(f"the device has no value ({raw})")
            return raw * float(self.scale) + float(self.offset)
        # exact: 2301 × 0.1 is 230.1 and not 230.10000000000002
        scaled = raw * self.scale + self.offset
        return int(scaled) if self.data_type == "long" else float(scaled)

    @property
    def step(self) -> float:
        """How far apart two readings are; 0 for a float."""
        return 0.0 if self.kind.is_float else abs(float(self.scale))

    def words(self, value: Number) -> tuple[int, ...]:
        """The words (or the one bit) in which a device has this reading, or the nearest one.

        :raises ValueError: if the value does not fit, or is one bit of a word.
        """
        if self.bit is not None:
            raise ValueError(f"{self.path} is one bit of a word")
        if self.kind is BOOL:
            return (int(bool(value)),)
        raw: Number
        if self.kind.is_float:
            raw = (value - float(self.offset)) / float(self.scale)
        else:
            raw = round((Decimal(value) - self.offset) / self.scale)
        try:
            data = struct.pack(">" + self.kind.format, raw)
        except (struct.error, OverflowError):
            raise ValueError(f"{value} does not fit {self.kind.name} {self.path}") from None
        words = struct.unpack(self._layout, data)
        return tuple(reversed(words)) if self.order.has_low_word_first else words

    def _bytes(self, words: Sequence[int]) -> bytes:
        in_order = reversed(words) if self.order.has_low_word_first else words
        return struct.pack(self._layout, *in_order)

    @property
    def _layout(self) -> str:
        return ("<" if self.order.has_low_byte_first else ">") + "H" * self.kind.words
