"""Rows and their line numbers, from files as loggers write them."""

from __future__ import annotations

import gzip
import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from smapd.cli.csv_mapping import REPORT, Mapping_
from smapd.cli.csv_source import LONGEST_LINE, Row, Source
from smapd.errors import SmapError

PLAIN = replace(REPORT, comment="#")


def rows(path: Path, data: bytes, mapping: Mapping_ = PLAIN, **options: bool) -> list[Row]:
    path.write_bytes(data)
    with Source(str(path), mapping, **options) as source:
        source.begin()
        return list(source)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "d.csv"


def test_rows_have_the_number_of_their_first_line(file: Path) -> None:
    found = rows(file, b'a,1\r\n\r\n# said\r\n"b\r\nc",2\r\nd,3')

    assert [(row.line, row.cells) for row in found] == [
        (1, ["a", "1"]),
        (4, ["b\r\nc", "2"]),
        (6, ["d", "3"]),
    ]


def test_header_and_lines_before_it_are_passed_over(file: Path) -> None:
    mapping = replace(PLAIN, header=True, skip_lines=2)
    file.write_bytes(b"\xef\xbb\xbfLogger 7\r\nserial 3\r\n a , b\r\n1,2\r\n")
    with Source(str(file), mapping) as source:
        source.begin()

        assert source.header == ["a", "b"]
        assert source.head == b"Logger 7\r\nserial 3\r\n a , b\r\n"
        assert [(row.line, row.cells) for row in source] == [(4, ["1", "2"])]


def test_a_quote_that_is_never_closed_is_one_bad_row(file: Path) -> None:
    found = rows(file, b'a,1\n"b,2\n' + b"c,3\n" * 300)

    assert [bool(row.error) for row in found] == [False, True] + [False] * 300
    assert found[1].line == 2


def test_a_quote_within_a_cell_is_a_letter(file: Path) -> None:
    found = rows(file, b'5" pipe,1\n6" pipe,2\n')

    assert [row.cells for row in found] == [['5" pipe', "1"], ['6" pipe', "2"]]


def test_bytes_that_are_no_text_make_one_bad_row(file: Path) -> None:
    found = rows(file, b"a,1\nb\xff,2\nc,3\n")

    assert [row.error for row in found] == ["", "it is not utf-8 (byte 2)", ""]
    assert found[1].raw == b"b\xff,2\n"


def test_a_line_without_end_is_one_bad_row_and_bounded(file: Path) -> None:
    found = rows(file, b"a,1\n" + b"x" * (3 * LONGEST_LINE) + b"\nb,2\n")

    assert [row.line for row in found] == [1, 2, 3]
    assert found[1].error == "it is longer than 256 KiB"
    assert len(found[1].raw) < 2000


def test_gzip_is_known_by_its_first_bytes(file: Path) -> None:
    found = rows(file, gzip.compress(b"a,1\n") + gzip.compress(b"b,2\n"))

    assert [row.cells for row in found] == [["a", "1"], ["b", "2"]]


def test_a_gzip_that_is_cut_short_gives_what_there_is(file: Path) -> None:
    file.write_bytes(gzip.compress(b"".join(b"a,%d\n" % n for n in range(100_000)))[:-20])
    with Source(str(file), PLAIN) as source:
        source.begin()
        found = list(source)

        assert found[0].cells == ["a", "0"]
        assert source.breaks_off == "it is cut short"


@pytest.mark.parametrize("packed", [False, True])
def test_a_second_look_goes_on_behind_the_first(file: Path, packed: bool) -> None:
    data = b"".join(b"a,%d\n" % n for n in range(50_000))
    file.write_bytes(gzip.compress(data) if packed else data)
    with Source(str(file), PLAIN) as source:
        source.begin()
        each = iter(source)
        for _ in range(30_000):
            next(each)
        mark = source.offset, source.line, source.digest
    with Source(str(file), PLAIN) as source:
        source.begin()

        assert source.skip_to(*mark)
        row = next(iter(source))

    assert (row.line, row.cells) == (30_001, ["a", "30000"])


@pytest.mark.parametrize("data", [b"a,1\nb,9\nc,3\n", b"a,1\n", b""])
def test_another_file_is_noticed(file: Path, data: bytes) -> None:
    file.write_bytes(b"a,1\nb,2\nc,3\n")
    with Source(str(file), PLAIN) as source:
        each = iter(source)
        next(each)
        next(each)
        mark = source.offset, source.line, source.digest
    file.write_bytes(data)

    with Source(str(file), PLAIN) as source:
        assert not source.skip_to(*mark)


def test_a_last_line_without_end_waits_if_the_file_grows(file: Path) -> None:
    assert len(rows(file, b"a,1\nb,2")) == 2
    assert len(rows(file, b"a,1\nb,2", growing=True)) == 1
    assert len(rows(file, b'a,1\n"b\n', growing=True)) == 1


def test_stdin_is_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(b"a,1\nb,2\n"))))

    with Source("-", PLAIN) as source:
        assert [row.cells[0] for row in source] == ["a", "b"]


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_what_cannot_be_opened_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(SmapError, match=r"(No such file|Is a directory)"):
        Source(str(tmp_path / name), PLAIN)


def test_an_empty_file_has_no_header(file: Path) -> None:
    with pytest.raises(SmapError, match="has no row that names its columns"):
        rows(file, b"", replace(PLAIN, header=True))
