"""drivers/modbus/written.py, and the column ``write`` of a map: what may be written, what not."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
from hypothesis import given

from smapd.drivers.modbus.maps import MapError, parse_map
from smapd.drivers.modbus.registers import Register, Writable

HEAD = "path,table,address,type,scale,offset,bit,unit,key,write\n"


def one(row: str) -> Register:
    (register,) = parse_map(HEAD + row, "m.csv")
    return register


@pytest.mark.parametrize(
    ("row", "writable"),
    [
        ("/a,coil,0,,,,,1,,yes", Writable(0, 1)),
        ("/a,holding,0,uint16,,,,1,,yes", Writable(0, 65535)),
        ("/a,holding,0,int16,,,,1,,YES", Writable(-32768, 32767)),
        ("/a,holding,0,uint16,0.1,-40,,1,,yes", Writable(-40.0, 6513.5)),
        ("/a,holding,0,int16,-2,,,1,,yes", Writable(-65534, 65536)),
        ("/a,holding,0,uint64,,,,1,,yes", Writable(0, 2**63 - 1)),
        ("/a,holding,0,uint16,,,,1,,0..100", Writable(0, 100)),
        ("/a,holding,0,int16,0.5,,,1,,-7.5 .. 7.5", Writable(-7.5, 7.5)),
        ("/a,holding,0,float32,,,,1,,0..1", Writable(0.0, 1.0)),
        ("/a,holding,0,uint16,,,,1,,0|2| 4", Writable(0, 4, (0, 2, 4))),
        ("/a,holding,0,uint16,,,,1,,no", None),
        ("/a,holding,0,uint16,,,,1,,", None),
        ("/a,input,0,uint16,,,,1,,no", None),
    ],
)
def test_what_may_be_written(row: str, writable: Writable | None) -> None:
    assert one(row).writable == writable


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_a_float_may_be_written_as_far_as_it_goes(kind: str) -> None:
    register = one(f"/a,holding,0,{kind},,,,1,,yes")

    assert register.writable is not None
    assert register.value(register.words(register.writable.high)) > 1e38
    assert math.isfinite(register.value(register.words(register.writable.low)))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("/a,input,0,uint16,,,,1,,yes", "a register of the table input cannot be written."),
        ("/a,discrete,0,,,,,1,,yes", "a register of the table discrete cannot be written."),
        ("/a,holding,0,bool,,,3,1,,yes", "one bit cannot be written without the others"),
        ("/a,holding,0,uint16,,,,1,k,yes", "key = k: what can be written is named by its path"),
        ("/a,coil,0,,,,,1,,0..1", "a bool is written by yes."),
        ("/a,holding,0,uint16,,,,1,,1..0", "it goes down. Write the lower end first."),
        ("/a,holding,0,uint16,,,,1,,0..70000", "70000 does not fit uint16 /a."),
        ("/a,holding,0,uint16,,,,1,,-1..7", "-1 does not fit uint16 /a."),
        ("/a,holding,0,uint16,,,,1,,0..0.5", "the readings are whole numbers."),
        ("/a,holding,0,uint16,,,,1,,0..x", "no range. Write one like 0..100."),
        ("/a,holding,0,uint16,,,,1,,maybe", "neither yes, nor a range like 0..100, nor values"),
        ("/a,holding,0,uint16,,,,1,,0|x", "not whole numbers, with | between them."),
        ("/a,holding,0,uint16,0.1,,,1,,0|1", "single values are for whole numbers."),
        ("/a,holding,0,uint16,,,,1,," + "|".join(map(str, range(101))), "more than 100 values."),
    ],
)
def test_what_cannot_be_is_said(row: str, said: str) -> None:
    with pytest.raises(MapError) as caught:
        one(row)

    assert f"m.csv: line 2: {'' if said.startswith('key') else 'write = '}" in str(caught.value)
    assert said in str(caught.value)


@given(st.text("0123456789.|-+yes ", max_size=12))
def test_every_text_is_writable_or_an_error(text: str) -> None:
    try:
        register = one(f"/a,holding,0,int16,,,,1,,{text}")
    except MapError:
        return

    if register.writable is not None:
        for value in register.writable.values or (register.writable.low, register.writable.high):
            assert register.value(register.words(value)) == value
