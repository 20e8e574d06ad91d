"""drivers/modbus/maps.py: files into registers, and a sentence for all that can be wrong. U-06."""

from __future__ import annotations

import contextlib
import pathlib
import re
from decimal import Decimal

import hypothesis.strategies as st
import pytest
from hypothesis import given

from smapd.drivers.modbus import maps
from smapd.drivers.modbus.maps import MOST_BYTES, MapError, load_map, parse_map
from smapd.drivers.modbus.registers import KINDS, Order, Register, Table

HEAD = "path,table,address,type,unit"


def wrong(text: str, name: str = "m.csv") -> str:
    with pytest.raises(MapError) as caught:
        parse_map(text, name)
    return str(caught.value)


def test_every_column_of_a_csv_file_counts() -> None:
    text = (
        "Path,Table,Address,Type,Order,Scale,Offset,No_Value,Unit,Key,Description\n"
        '/p,INPUT,0x10,UInt32,cdab,0.5,-3,0xffffffff,kW,power,"of all, in sum"\n'
    )

    assert parse_map(text, "m.csv") == (
        Register(
            "/p",
            Table.INPUT,
            16,
            KINDS["uint32"],
            Order.CDAB,
            None,
            Decimal("0.5"),
            Decimal(-3),
            0xFFFFFFFF,
            "kW",
            "power",
            "of all, in sum",
        ),
    )


def test_ini_file_says_the_same_as_a_csv_file() -> None:
    csv = HEAD + ",scale\n/a,input,0,int16,V,0.1\n/b,input,1,uint16,Hz,0.1\n/c,holding,7,int16,V,\n"
    ini = """
        # holds for all
        table = input
        type = int16
        scale = 0.1   # of what it counts
        unit = V
        [/a]
        address = 0
        [/b]  # the mains
        address = 1
        type = "uint16"
        unit = 'Hz'
        [/c]
        table = holding
        address = 7
        scale =
    """

    assert parse_map(ini, "m.ini") == parse_map(csv, "m.csv")


def test_semicolons_comments_and_blank_lines() -> None:
    text = f"# of the boiler\n\n{HEAD.replace(',', ' ; ')}\n# one\n/a ; input ; 1 ; int16 ; V\n\n"

    (register,) = parse_map(text, "m.CSV")

    assert (register.path, register.address, register.unit) == ("/a", 1, "V")


def test_coil_is_a_bool_without_being_told() -> None:
    (register,) = parse_map("path,table,address,unit\n/a,coil,1,1\n", "m.csv")

    assert register.kind is KINDS["bool"]


def test_everything_wrong_is_told_at_once_with_its_line() -> None:
    text = f"{HEAD}\n/a,input,x,int16,V\n# fine\n/b,input,1,int16,V\n/c,,1,int16,V\n"

    assert wrong(text) == (
        "m.csv: line 2: address = x: not a whole number. Write digits, or 0x and hexadecimal ones. "
        "m.csv: line 5: table: missing. Write one of coil, discrete, holding, input."
    )


def test_a_map_full_of_errors_tells_the_first_of_them() -> None:
    said = wrong(HEAD + "\n" + "/a,input,x,int16,V\n" * 100)

    assert said.count("not a whole number") == 10
    assert said.endswith("and 90 more")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a,input,0,int16,V", "path = a: not a path. Write one that begins with /, like /l1/vol"),
        (",input,0,int16,V", "path: missing. Write where its stream is"),
        ("/a,input,,int16,V", "address: missing. Write a number from 0 to 65535."),
        ("/a,input,-1,int16,V", "address = -1: not from 0 to 65535."),
        ("/a,input,65535,int32,V", "address = 65535: its int32 ends beyond 65535."),
        ("/a,input,0,int16,", "unit: missing. Write one, or 1 for a bare number."),
        ("/a,coil,0,int16,V", "type = int16: a coil is a bool, and nothing else."),
        ("/a,input,0,bool,1", "bit: missing. A bool of a register is one of its bits, 0 to 15."),
        ("/a,input,0,bool,1,16", "bit = 16: not from 0 to 15."),
        ("/a,input,0,int16,1,3", "bit = 3: only a bool of a holding or input register has one."),
        ("/a,input,0,int16,V,,0,1", "scale = 0: every reading would be the same."),
        ("/a,input,0,int16,V,,nan", "scale = nan: not a number. Write one like 0.1."),
        ("/a,input,0,int16,V,,1e99", "scale = 1e99: not a number."),
        ("/a,coil,0,bool,1,,2", "scale = 2: a bool has neither scale nor offset."),
        ("/a,coil,0,bool,1,,,,1", "no value = 1: a bool has none."),
        ("/a,input,0,int16,V,,,,70000", "no value = 70000: not from -32768 to 65535."),
        ("/a,input,0,int16,V,,,,,ACBD", "order = ACBD: not one of ABCD, CDAB, BADC, DCBA."),
        ("/a,input,0,int16,V,,,,,,more", "11 cells, but 10 columns. Put quotes around commas."),
        ("/z,input,0,int16,V", "path = /z: that of line 2 already."),
        ('/a,input,0,int16,"V', "unexpected end of data."),
    ],
)
def test_what_is_wrong_with_a_row_is_said(row: str, said: str) -> None:
    head = f"{HEAD},bit,scale,offset,no value,order\n/z,input,0,int16,V\n"

    assert f"m.csv: line 3: {said}" in wrong(head + row)


def test_same_key_twice_is_refused() -> None:
    said = wrong(HEAD + ",key\n/a,input,0,int16,V,k\n/b,input,1,int16,V,k\n")

    assert said == "m.csv: line 3: key = k: that of line 2 already."


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("", "m.csv", "m.csv: no register in it."),
        ("\n# nothing\n", "m.ini", "m.ini: no register in it."),
        (HEAD + ",adress\n", "m.csv", "line 1: adress: no such column. Did you mean address?"),
        (HEAD + ",unit\n", "m.csv", "line 1: column unit is there twice."),
        (HEAD + ",\n", "m.csv", "line 1: an empty name: no such column. There is path, table,"),
        ("[/a]\nwhat\n", "m.ini", "line 2: neither [path] nor key = value."),
        ("[/a]\nunit = V\nunit = W\n", "m.ini", "line 3: unit: given already."),
        ("[/a]\nadress = 1\n", "m.ini", "line 2: adress: no such column. Did you mean address?"),
        (HEAD, "m.txt", "m.txt: not a register map. One ends in .csv or .ini."),
    ],
)
def test_what_is_wrong_with_a_file_is_said(text: str, name: str, said: str) -> None:
    assert said in wrong(text, name)


@given(st.text(max_size=300), st.sampled_from([HEAD + "\n", "path,", "[/a]\n", ""]))
def test_no_text_brings_anything_but_a_map_or_its_error(text: str, before: str) -> None:
    for name in ("m.csv", "m.ini"):
        with contextlib.suppress(MapError):
            assert parse_map(before + text, name)


def test_map_that_comes_with_smapd_is_known_by_its_name() -> None:
    registers = load_map(pathlib.Path("three-phase-meter"))

    assert len(registers) == 21
    assert registers[0].path == "/l1/voltage"


def test_maps_of_the_readme_are_maps() -> None:
    readme = (pathlib.Path(maps.__file__).parent / "README.md").read_text()
    csv, writes = re.findall(r"```csv\n(.*?)```", readme, re.DOTALL)
    (ini,) = re.findall(r"```\n(table = .*?)```", readme, re.DOTALL)

    assert [r.path for r in parse_map(csv, "m.csv")][1:] == ["/frequency", "/pump/running"]
    assert [r.address for r in parse_map(ini, "m.ini")] == [0, 8]
    assert all(r.writable for r in parse_map(writes, "m.csv"))
    for column in maps.COLUMNS:
        assert re.search(rf"^\| .*\b{column}\b.* \|", readme, re.MULTILINE), column


def test_unknown_name_tells_those_there_are() -> None:
    with pytest.raises(MapError, match="no map of that name comes with smapd. There is three-pha"):
        load_map(pathlib.Path("two-phase-meter"))


def test_file_that_cannot_be_read_says_why(tmp_path: pathlib.Path) -> None:
    with pytest.raises(MapError, match=r"no\.csv: cannot be read: No such file or directory\."):
        load_map(tmp_path / "no.csv")
    (tmp_path / "latin.csv").write_bytes(b"path\n/a\n/\xe4\n")
    with pytest.raises(MapError, match=r"latin\.csv: line 3: not UTF-8"):
        load_map(tmp_path / "latin.csv")
    (tmp_path / "large.csv").write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(MapError, match="larger than 1 MiB"):
        load_map(tmp_path / "large.csv")


def test_byte_order_mark_of_a_spreadsheet_is_no_letter(tmp_path: pathlib.Path) -> None:
    (tmp_path / "m.csv").write_bytes(("\ufeff" + HEAD + "\r\n/a,input,1,int16,°C\r\n").encode())

    (register,) = load_map(tmp_path / "m.csv")

    assert (register.path, register.unit) == ("/a", "°C")
