"""runtime/words.py: any exception becomes one bounded line, and none raises on the way."""

from __future__ import annotations

import pytest

from smapd.errors import DeviceUnavailable
from smapd.runtime.words import MOST_CHARACTERS, named, one_line, sentence_of, text_of


class Mute(Exception):
    def __str__(self) -> str:
        raise KeyError("no text")


def test_class_and_text_are_told() -> None:
    assert named(ValueError("not a number")) == "ValueError: not a number"
    assert named(TimeoutError()) == "TimeoutError"


@pytest.mark.parametrize("end", ["x", "\x1b", "\ud800", "é"])
def test_a_text_of_any_length_is_bounded(end: str) -> None:
    problem = ValueError("x" * 990 + end * 10_000_000)

    assert len(named(problem)) == MOST_CHARACTERS
    assert named(problem).endswith("…")
    assert len(text_of(problem, 20)) == 20


def test_a_text_that_just_fits_is_whole() -> None:
    assert one_line("x" * 20, 20) == "x" * 20
    assert one_line("x" * 21, 20) == "x" * 19 + "…"


def test_it_is_one_line_and_harmless_to_a_terminal() -> None:
    problem = ValueError("one\r\n  two\x1b[31m\x00three\u202e")

    assert named(problem) == "ValueError: one two\\x1b[31m\\x00three\\u202e"


def test_a_text_that_cannot_be_made_is_told_so() -> None:
    told = named(Mute())

    assert told == "Mute: (its text cannot be made: its __str__ raised KeyError)"


def test_ours_say_what_to_do_and_need_no_class() -> None:
    problem = DeviceUnavailable("no bus.", hint="Is it\nplugged in?")

    assert sentence_of(problem) == ("no bus.", "Is it plugged in?")
    assert sentence_of(OSError("gone")) == ("OSError: gone", "")
