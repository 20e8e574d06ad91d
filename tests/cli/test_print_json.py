import io
import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.cli import jprint

SERIES = (
    b'{"uuid":"c2f2cb69-25cc-544c-87cc-3b807c58f63a","Readings":[],"Properties":'
    b'{"UnitofMeasure":"V","Timezone":"America/Los_Angeles","ReadingType":"long"}}'
)
PRINTED = """\
{
  "Properties": {
    "ReadingType": "long",
    "Timezone": "America/Los_Angeles",
    "UnitofMeasure": "V"
  },
  "Readings": [],
  "uuid": "c2f2cb69-25cc-544c-87cc-3b807c58f63a"
}
"""


class Stdin:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def printed(
    data: bytes, monkeypatch: pytest.MonkeyPatch, encoding: str = "utf-8"
) -> tuple[int, str]:
    stdout = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdin", Stdin(data))
    monkeypatch.setattr(sys, "stdout", stdout)
    status = jprint([])
    stdout.flush()
    return status, stdout.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]


def test_it_prints_what_the_tutorial_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    """SM-21: sorted keys, two blanks further in for each level."""
    assert printed(SERIES, monkeypatch) == (0, PRINTED)


def test_a_file_can_be_named(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_bytes(SERIES)

    assert jprint([str(tmp_path / "a.json")]) == 0

    assert capsys.readouterr().out == PRINTED


def test_units_are_printed_as_they_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert printed(b'"\\u00b0C"', monkeypatch) == (0, '"°C"\n')


def test_a_terminal_without_the_letters_gets_json_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert printed('"°C"'.encode(), monkeypatch, "ascii") == (0, '"\\u00b0C"\n')


def test_half_a_letter_is_printed_escaped_where_utf8_cannot_hold_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert printed(b'"\\ud800"', monkeypatch) == (0, '"\\ud800"\n')


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "jprint: there is nothing to print; is the daemon running?\n"),
        (b" \n", "jprint: there is nothing to print; is the daemon running?\n"),
        (b"\xff\xfe\xff", "jprint: this is not JSON: it is not UTF-8 text.\n"),
        (b"[" * 200_000, "jprint: this is not JSON: it is nested too deeply.\n"),
        (
            b"[NaN]",
            "jprint: this is not JSON: it holds NaN; it begins with '[NaN]'.\n",
        ),
        (
            b"-Infinity",
            "jprint: this is not JSON: it holds -Infinity; it begins with '-Infinity'.\n",
        ),
        (
            b"1e999",
            "jprint: this is not JSON: it holds 1e999, which is beyond a double; "
            "it begins with '1e999'.\n",
        ),
        (
            b"<html>\x1b[2J",
            "jprint: this is not JSON: Expecting value: line 1 column 1 (char 0); "
            "it begins with '<html> [2J'.\n",
        ),
    ],
)
def test_what_is_not_json_is_refused_in_one_sentence(
    data: bytes,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, out = printed(data, monkeypatch)

    assert (status, out, capsys.readouterr().err) == (1, "", sentence)


def test_a_file_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert jprint(["/no/such.json"]) == 1

    assert capsys.readouterr().err == "jprint: /no/such.json: No such file or directory.\n"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_what_is_printed_is_the_same_value(value: Any) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        status, text = printed(json.dumps(value).encode(), monkeypatch)

    assert (status, json.loads(text)) == (0, value)
