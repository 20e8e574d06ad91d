"""Mapping files: everything wrong in one is said at once, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from smapd.cli.csv_mapping import REPORT, TABLES, Rows, Stream, load_mapping
from smapd.errors import ConfigError

WIDE = """\
[csv]
Delimiter = ;
DecimalComma = yes
Missing = -, n/a
[time]
Column = Date, Time
Format = %d.%m.%Y %H:%M:%S
Zone = Europe/Berlin
[/hall/power]
Column = "P [kW]"
Scale = 1000
"""


def mapped(tmp_path: Path, text: str) -> object:
    (tmp_path / "map.ini").write_text(text)
    return load_mapping(str(tmp_path / "map.ini"))


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        mapped(tmp_path, text)
    return [str(p).removeprefix(f"{tmp_path}/") for p in caught.value.problems]


def test_a_column_for_each_stream(tmp_path: Path) -> None:
    (tmp_path / "map.ini").write_text(WIDE)

    found = load_mapping(str(tmp_path / "map.ini"))

    assert found.streams == (Stream("/hall/power", "P [kW]", None, 1000.0, 0.0, 9),)
    assert found.time_columns == ("Date", "Time")
    assert (found.delimiter, found.decimal_comma, found.header) == (";", True, True)
    assert found.missing == {"-", "n/a"}
    assert found.rows is None


def test_a_row_for_each_reading(tmp_path: Path) -> None:
    text = "[time]\nColumn = 1\nFormat = ms\n[rows]\nPathColumn = 2\nValueColumn = 3\n"
    (tmp_path / "map.ini").write_text(text + "[/t]\nTag = TI-1\n")

    found = load_mapping(str(tmp_path / "map.ini"))

    assert found.rows == Rows("2", None, "3", "")
    assert found.streams == (Stream("/t", None, "TI-1", line=7),)


def test_without_a_mapping_it_is_a_report_as_csv() -> None:
    assert REPORT.rows == Rows("2", "1", "4")
    assert not REPORT.header


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["map.ini: [time] is missing: it says which column is the time."]),
        (
            "[times]\nColumn = 1\n",
            [
                "map.ini:1: [times] no such section. Did you mean [time]?",
                "map.ini: [time] is missing: it says which column is the time.",
            ],
        ),
        (
            WIDE.replace("Zone =", "Zonne ="),
            [
                "map.ini:8: [time] Zonne: no such key of [time]. Did you mean Zone?",
            ],
        ),
        (
            WIDE.replace("Europe/Berlin", "Berlin"),
            [
                "map.ini:8: [time] Zone = Berlin: no such zone. "
                "Write one like Europe/Berlin, UTC or +01:00."
            ],
        ),
        (
            WIDE + "Tag = x\n",
            [
                "map.ini:9: [/hall/power] it has Column, or with [rows] Tag, and not both.",
                "map.ini:9: [/hall/power] Tag: Tag needs a section [rows].",
            ],
        ),
        (
            WIDE.replace("Delimiter = ;", "Delimiter = two"),
            [
                "map.ini:2: [csv] Delimiter = two: not one letter. Write one like ; or the word "
                "tab, comma or blank."
            ],
        ),
        (
            WIDE + "[rows]\nValueColumn = v\n",
            [
                "map.ini:9: [/hall/power] Column: with [rows] it has Tag: what the file calls it.",
                "map.ini:12: [rows] PathColumn: missing. It is the column of the path.",
            ],
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, said: list[str]) -> None:
    found = problems(tmp_path, text)

    assert set(said) <= set(found), found


def test_every_key_has_a_sentence() -> None:
    for table in TABLES:
        assert all(doc for _, _, _, doc in table.describe())


def test_a_utf16_file_is_refused_in_the_mapping(tmp_path: Path) -> None:
    (said,) = problems(tmp_path, WIDE.replace("[time]", "Encoding = utf-16\n[time]"))

    assert "Convert the file to UTF-8." in said


DOCUMENT = (Path(__file__).parent.parent.parent / "docs" / "importing.md").read_text("utf-8")


@pytest.mark.parametrize("number", [0, 1])
def test_the_mappings_of_the_document_are_ones_that_load(number: int, tmp_path: Path) -> None:
    blocks = DOCUMENT.split("```ini\n")[1:]

    mapped(tmp_path, blocks[number].partition("```")[0])


def test_the_document_names_every_key() -> None:
    for table in TABLES:
        for name in table.names():
            assert f"`{name}`" in DOCUMENT, name
