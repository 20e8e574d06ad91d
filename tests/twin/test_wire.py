"""The wire: what is encoded is decoded, and what is no frame is refused with a sentence."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.errors import AssetUnknown, BadRequest, NameTaken, SmapError
from smapd.twin import wire
from smapd.twin.wire import Frame

HEADS = st.dictionaries(
    st.text(max_size=5), st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
)


@given(HEADS, st.binary(max_size=1000))
def test_a_frame_survives_the_wire(head: dict[str, object], body: bytes) -> None:
    frame = Frame({**head, "op": "x"}, body)

    assert wire.decode(wire.encode(frame)) == frame


def test_without_a_body_it_is_text() -> None:
    assert wire.encode(Frame({"op": "stop", "id": 1})) == '{"op":"stop","id":1}'


def test_with_a_body_it_is_binary() -> None:
    message = wire.encode(Frame({"op": "x"}, b"abc"))

    assert message == struct.pack(">I", 10) + b'{"op":"x"}abc'


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_whatever_comes_is_a_frame_or_bad_request(message: bytes | str) -> None:
    try:
        frame = wire.decode(message)
    except BadRequest:
        return
    assert isinstance(frame.head["op"], str)


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ("", "no JSON"),
        ("[]", "JSON object"),
        ('{"op": 3}', "text"),
        (b"\0\0", "four bytes"),
        (b"\0\0\0\x09{}", "no head of 9 bytes"),
        (b"\xff\xff\xff\xff{}", "no head"),
        ("x" * (wire.MESSAGE_BYTES + 1), "limit"),
    ],
)
def test_what_is_no_frame_says_why(message: bytes | str, what: str) -> None:
    with pytest.raises(BadRequest, match=what):
        wire.decode(message)


def test_too_large_a_frame_is_not_sent() -> None:
    with pytest.raises(BadRequest, match="too large"):
        wire.encode(Frame({"op": "x"}, bytes(wire.MESSAGE_BYTES)))
    with pytest.raises(BadRequest, match="too large"):
        wire.encode(Frame({"op": "x", "long": "y" * wire.HEAD_BYTES}))


@pytest.mark.parametrize(
    ("read", "what"),
    [
        (lambda: wire.text({"op": "o"}, "k"), "o: k is missing"),
        (lambda: wire.text({"op": "o", "k": 1}, "k"), "text"),
        (lambda: wire.text({"op": "o", "k": ""}, "k"), "text"),
        (lambda: wire.text({"op": "o", "k": "a\nb"}, "k"), "printable"),
        (lambda: wire.text({"op": "o", "k": "a" * 256}, "k"), "255"),
        (lambda: wire.whole({"op": "o", "k": True}, "k"), "whole number"),
        (lambda: wire.whole({"op": "o", "k": 1.0}, "k"), "whole number"),
        (lambda: wire.whole({"op": "o", "k": 2**63}, "k"), "whole number"),
        (lambda: wire.whole({"op": "o", "k": 0}, "k", least=1), "from 1"),
        (lambda: wire.seconds({"op": "o", "k": 0}, "k", 10), "above 0"),
        (lambda: wire.seconds({"op": "o", "k": True}, "k", 10), "above 0"),
        (lambda: wire.seconds({"op": "o", "k": float("nan")}, "k", 10), "above 0"),
        (lambda: wire.flag({"op": "o", "k": 1}, "k"), "true or false"),
        (lambda: wire.texts({"op": "o", "k": "a"}, "k", [], 3), "list"),
        (lambda: wire.texts({"op": "o", "k": ["a"] * 4}, "k", [], 3), "at most 3"),
        (lambda: wire.texts({"op": "o", "k": [1]}, "k", [], 3), "texts"),
    ],
)
def test_what_a_head_says_is_checked(read: object, what: str) -> None:
    with pytest.raises(BadRequest, match=what):
        read()


def test_an_error_crosses_the_wire_as_its_class() -> None:
    frame = wire.error(7, AssetUnknown("There is no asset x."))

    problem = wire.raised(frame)

    assert type(problem) is AssetUnknown
    assert (problem.message, problem.hint) == ("There is no asset x.", AssetUnknown.hint)
    assert type(wire.raised(wire.error(1, NameTaken()))) is NameTaken
    assert type(wire.raised(Frame({"op": "error", "error": "of tomorrow"}))) is SmapError
