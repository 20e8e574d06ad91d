"""Keys that an object of a body has twice."""

from __future__ import annotations

import gzip
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.errors import BadRequest
from smapd.http.doubled import NAMED_UP_TO, check_keys

READING = b'{"Readings":[[1,2]]}'


def is_doubled(text: bytes) -> bool:
    try:
        check_keys(text, orjson.loads(text))
    except BadRequest:
        return True
    return False


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (b'{"/l":%b,"/l":%b}' % (READING, READING), "/l"),
        (b'{"/l":{"Readings":[[1,2]],"Readings":[]}}', "Readings"),
        (b'{"/l":1,"\\u002fl":2}', "/l"),
        (b'{"a":1, "a" : 1}', "a"),
        (b'{"":1,"":1}', ""),
        (b'[[{"x":[{"b":{},"c":"::","b":":"}]}]]', "b"),
        (b'{"/t\xc3\xbcr":1,"/t\xc3\xbcr":2}', "/tür"),
        (b'{"a\\"":1,"b":"\\\\","a\\"":2}', 'a"'),
    ],
)
def test_the_key_that_comes_twice_is_named(text: bytes, key: str) -> None:
    """SEC-06: nothing of a body is dropped without a word."""
    with pytest.raises(BadRequest) as caught:
        check_keys(text, orjson.loads(text))

    assert caught.value.message == (
        f"The body has the key {key!r} twice in one object; only the last would count."
    )
    assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b"5",
        b'":"',
        b'{"a:b":"c:d","e":{":":":"}}',
        b'{"a":{"a":{"a":1}},"b":{"a":1}}',
        b'[{"a":1},{"a":1}]',
        b'{"Metadata":{"Links":[{"URL":"http://x"},{"URL":"http://y"}]},"x\\":":1}',
        b'{"\\\\":1,"\\"":2,"\\\\\\":":3}',
    ],
)
def test_keys_of_different_objects_and_colons_in_texts_are_fine(text: bytes) -> None:
    """SM-20: only a key twice in one object is refused."""
    check_keys(text, orjson.loads(text))


class Pairs(tuple[Any, ...]):
    """An object whose keys may come twice."""


VALUES = st.recursive(
    st.none() | st.integers(0, 9) | st.text(':"\\{}[],a', max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(st.tuples(st.text(':"\\a', max_size=1), inner), max_size=3).map(Pairs)
    ),
    max_leaves=12,
)


def written(value: Any) -> tuple[bytes, bool]:
    """The value as JSON, and whether a key comes twice in one object of it."""
    if isinstance(value, Pairs):
        inner = [(json.dumps(key).encode(), *written(one)) for key, one in value]
        text = b"{" + b", ".join(key + b" :" + one for key, one, _ in inner) + b"}"
        is_one = len({key for key, _, _ in inner}) < len(inner)
        return text, is_one or any(found for _, _, found in inner)
    if isinstance(value, list):
        parts = [written(one) for one in value]
        return b"[" + b",".join(p for p, _ in parts) + b"]", any(found for _, found in parts)
    return json.dumps(value).encode(), False


@given(VALUES)
def test_it_is_exact(value: Any) -> None:
    """SEC-06: each body with a doubled key is found, and no other."""
    text, expected = written(value)

    assert is_doubled(text) == expected


def test_in_a_long_body_the_key_is_not_looked_for() -> None:
    """SEC-06: looking takes a slow parser; the refusal is the same."""
    text = b'{"/l":%b,"x":"%b","/l":%b}' % (READING, b"x" * NAMED_UP_TO, READING)

    with pytest.raises(BadRequest, match="^The body has a key twice in one object;"):
        check_keys(text, orjson.loads(text))


@pytest.mark.parametrize("odd", [b"[" * 1000 + b"]" * 1000, b'{"":' * 1000 + b"0" + b"}" * 1000])
def test_what_the_slow_parser_does_not_take_is_refused_all_the_same(odd: bytes) -> None:
    """SEC-06: whatever comes, no 500."""
    text = b'{"x":%b,"a":1,"a":1}' % odd

    assert is_doubled(text)


@pytest.mark.parametrize("packed", [False, True])
def test_such_a_body_is_400_and_nothing_of_it_is_taken(served: Any, packed: bool) -> None:
    """SEC-06: POST /readings; plain or packed."""
    body = b'{"/a/n":{"Readings":[[1000,1]]},"/s":{"Readings":[]},"/a/n":{"Readings":[[2000,2]]}}'
    headers = {"Content-Encoding": "gzip"} if packed else {}

    answer = served.ask("POST", "/readings", headers, gzip.compress(body) if packed else body)

    assert answer.status == 400
    assert "'/a/n' twice" in answer.json["message"]
    assert served.tree.taken == 0
