"""What JSON can hold."""

import enum
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.desired.jsonable import MOST_DEEP, as_json, fitted


class Odd:
    def __str__(self) -> str:
        raise OSError("no text")


class Colour(enum.Enum):
    RED = 1


class Word(str, enum.Enum):  # noqa: UP042 - as older code has it
    A = "a"


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(blacklist_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_values_come_back_as_they_are(value: Any) -> None:
    assert as_json(value, "it") == value
    assert fitted(value) == value
    assert json.loads(orjson.dumps(as_json(value, "it"))) == value


def test_subclasses_become_plain() -> None:
    assert type(as_json(Word.A, "it")) is str
    assert as_json((1, (2,)), "it") == [1, [2]]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (float("nan"), "no word for"),
        (float("inf"), "no word for"),
        (2**63, "64 bits"),
        ({1: 2}, "the key '1', which is not text"),
        (b"x", "exporter.upload_file"),
        ({1, 2}, "a value of type set"),
        (Path("/x"), "an object of class PosixPath"),
        (Colour.RED, "an object of class Colour"),
        (Odd(), "an object of class Odd"),
        (print, "print, which was not called"),
        (property(), "a reference to a field of another class"),
        (int, "a value of type type"),
        ("\ud800", "not UTF-8"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_reason(value: Any, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        as_json([value], "the field x")

    assert str(caught.value).startswith("the field x[0] h")
    assert sentence in str(caught.value)


def test_what_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)

    with pytest.raises(ValueError, match=f"more than {MOST_DEEP} deep"):
        as_json(value, "x")
    assert orjson.dumps(fitted(value))


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (b"x", "b'x'"),
        (Path("/x"), "/x"),
        (float("nan"), "nan"),
        ([2**70, {1: Path("y")}], [hex(2**70), {"1": "y"}]),
        (Odd(), "<Odd whose text fails: OSError>"),
        ("\ud800!", "?!"),
    ],
)
def test_for_a_log_it_is_text_instead(value: Any, stored: Any) -> None:
    """IM-29"""
    assert fitted(value) == stored


@pytest.mark.parametrize(
    "value", [["x" * 1000] * 100_000, {str(i): i for i in range(100_000)}, "x" * 10_000_000]
)
def test_what_is_logged_is_bounded(value: Any) -> None:
    assert len(orjson.dumps(fitted(value))) < 1_000_000
