"""What an answer means for the readings."""

import pytest

from smapd.sinks.http.answers import outcome, pause_s
from smapd.values import Accepted, Refused, Retry, TooLarge

NOW_MS = 1_700_000_000_000  # 2023-11-14T22:13:20Z


@pytest.mark.parametrize("status", [200, 201, 204])
def test_three_statuses_are_success(status: int) -> None:
    """SM-30: data leaves the buffer only after 200, 201 or 204."""
    assert outcome(status, "", "", None, NOW_MS) == Accepted()


def test_everything_else_comes_again() -> None:
    """SM-30."""
    others = set(range(200, 600)) - {200, 201, 204, 400, 413, 415, 422}

    assert {type(outcome(status, "", "", None, NOW_MS)) for status in others} == {Retry}


def test_what_speaks_of_the_body_is_told_apart() -> None:
    assert type(outcome(413, "", "", None, NOW_MS)) is TooLarge
    assert {type(outcome(status, "", "", None, NOW_MS)) for status in (400, 415, 422)} == {Refused}


@pytest.mark.parametrize(
    ("header", "pause"),
    [
        (None, None),
        ("5", 5.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("Tue, 14 Nov 2033 22:00:00 GMT", 3600.0),
        ("99999999999999999999", 3600.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("1.5", None),
        ("Tue, 99 Nov 2023 22:00:00 GMT", None),
        ("²", None),
    ],
)
def test_a_pause_is_seconds_or_a_date_and_at_most_an_hour(
    header: str | None, pause: float | None
) -> None:
    assert pause_s(header, NOW_MS) == pause


def test_a_long_or_strange_body_is_one_short_line() -> None:
    found = outcome(500, "Oh", "a\r\nb\x1b[31m" + "c" * 5000, None, NOW_MS)

    assert isinstance(found, Retry)
    assert found.why.startswith("it answered 500 Oh: a b [31mccc")
    assert len(found.why) < 250
