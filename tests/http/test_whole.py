"""Whole numbers of a body that have more than 64 bits."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.errors import BadRequest
from smapd.http.whole import check_whole_numbers


def is_refused(text: bytes) -> bool:
    try:
        check_whole_numbers(text)
    except BadRequest:
        return True
    return False


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b'{"/d":{"Readings":[[1,18446744073709551616]]}}', "18446744073709551616"),
        (b'{"/d":{"Readings":[[1,-9223372036854775809]]}}', "-9223372036854775809"),
        (b"18446744073709551616", "18446744073709551616"),
        (b"[ 99999999999999999999 ]", "99999999999999999999"),
        (b"[1" + b"0" * 60 + b"]", "1" + "0" * 39 + "..."),
    ],
)
def test_a_whole_number_beyond_64_bits_is_refused_and_named(text: bytes, number: str) -> None:
    """SM-06: the parser would make the nearest float of it, and say nothing."""
    with pytest.raises(BadRequest) as caught:
        check_whole_numbers(text)

    assert caught.value.message == (
        f"The body has the whole number {number}, which is beyond 64 bits."
    )
    assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        b"[18446744073709551615,-9223372036854775808,9223372036854775807]",
        b"[1795177837000000000,0.12345678901234567890123,1e-9999999999999999999]",
        b"[100000000000000000000.0,100000000000000000000e0,1E20]",
        b'{"99999999999999999999":"-99999999999999999999, 99999999999999999999"}',
        b'["\\"99999999999999999999,"]',
        b"{}",
    ],
)
def test_the_rest_passes(text: bytes) -> None:
    orjson.loads(text)

    check_whole_numbers(text)


WHOLE = st.integers(-(2**70), 2**70) | st.sampled_from([2**64, 2**64 - 1, -(2**63), -(2**63) - 1])
VALUES = st.recursive(
    WHOLE | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(VALUES)
def test_it_says_what_a_slow_parser_says(value: object) -> None:
    text = json.dumps(value).encode()
    wide = []

    def look(number: str) -> int:
        if not -(2**63) <= int(number) < 2**64:
            wide.append(number)
        return 0

    json.loads(text, parse_int=look)

    assert is_refused(text) == bool(wide)
