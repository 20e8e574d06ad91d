"""drivers/modbus/registers.py: words to readings and back. P-01: orders, types, scale."""

from __future__ import annotations

import struct
from decimal import Decimal

import hypothesis.strategies as st
import pytest
from hypothesis import given

from smapd.drivers.modbus.registers import BOOL, KINDS, NoValue, Order, Register, Table

RANGES = {
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}


def register(kind: str, **fields: object) -> Register:
    table = fields.pop("table", Table.HOLDING)
    return Register("/x", table, 0, KINDS[kind], **fields)  # type: ignore[arg-type]


@given(st.sampled_from(sorted(RANGES)), st.sampled_from(Order), st.data())
def test_whole_numbers_come_back_as_they_went(kind: str, order: Order, data: st.DataObject) -> None:
    row = register(kind, order=order)
    value = data.draw(st.integers(*RANGES[kind]))

    words = row.words(value)

    assert len(words) == row.count
    assert row.value(words) == value


@given(st.sampled_from(Order), st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_floats_come_back_as_they_went(order: Order, value: float) -> None:
    for kind in ("float32", "float64"):
        row = register(kind, order=order)

        assert row.value(row.words(value)) == value


@given(st.integers(0, 65535), st.integers(-6, 0))
def test_scaled_number_is_the_nearest_to_the_exact_one(raw: int, exponent: int) -> None:
    row = register("uint16", scale=Decimal(1).scaleb(exponent))

    assert row.value([raw]) == float(f"{raw}e{exponent}")


@pytest.mark.parametrize("raw", [0, 1, 0x1234, 0x7F7F, 0x8000, 0xFF00])
def test_two_words_are_what_struct_says(raw: int) -> None:
    words = [raw, 0x0102]
    value = register("float32").value(words)
    expected = struct.unpack(">f", struct.pack(">HH", *words))[0]

    assert value == expected


@pytest.mark.parametrize(
    ("kind", "scale", "offset", "data_type"),
    [
        ("uint16", "1", "0", "long"),
        ("uint16", "10", "-40", "long"),
        ("uint16", "0.1", "0", "double"),
        ("uint16", "1", "0.5", "double"),
        ("uint16", "1.0", "0", "long"),
        ("float32", "1", "0", "double"),
    ],
)
def test_whole_numbers_stay_long(kind: str, scale: str, offset: str, data_type: str) -> None:
    row = register(kind, scale=Decimal(scale), offset=Decimal(offset))

    value = row.value([1] * row.count)

    assert row.data_type == data_type
    assert isinstance(value, int if data_type == "long" else float)


def test_bool_is_a_long_whose_bit_is_0_or_1() -> None:
    coil = register("bool", table=Table.COIL)
    bits = [register("bool", bit=n).value([0b1000_0000_0000_0100]) for n in range(16)]

    assert (coil.value([1]), coil.value([0]), coil.data_type) == (1, 0, "long")
    assert [n for n, bit in enumerate(bits) if bit] == [2, 15]


@pytest.mark.parametrize("words", [(0x7FC0, 0), (0x7F80, 0), (0xFF80, 0)])
def test_nan_and_infinity_are_no_values(words: tuple[int, int]) -> None:
    with pytest.raises(NoValue, match=r"the device has no value \((nan|-?inf)\)"):
        register("float32").value(words)


def test_value_that_does_not_fit_is_refused_when_written() -> None:
    with pytest.raises(ValueError, match="70000 does not fit uint16 /x"):
        register("uint16").words(70000)
    with pytest.raises(ValueError, match="one bit of a word"):
        Register("/x", Table.INPUT, 0, BOOL, bit=3).words(1)
