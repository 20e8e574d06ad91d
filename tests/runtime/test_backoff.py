"""runtime/backoff.py: the one policy of pauses."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.runtime import Backoff


def test_pauses_grow_by_half_from_one_second_to_sixty() -> None:
    backoff = Backoff(lambda: 0.5)

    pauses = [backoff.next() for _ in range(13)]

    assert pauses[:4] == [1.0, 1.5, 2.25, 3.375]
    assert pauses[-1] == 60.0
    assert all(b >= a for a, b in itertools.pairwise(pauses))


def test_reset_begins_anew() -> None:
    backoff = Backoff(lambda: 0.5)
    backoff.next()
    backoff.next()

    backoff.reset()

    assert (backoff.failures, backoff.next()) == (0, 1.0)


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=40))
def test_jitter_stays_within_a_fifth_and_below_sixty_seconds(numbers: list[float]) -> None:
    source = iter(numbers)
    plain, jittered = Backoff(lambda: 0.5), Backoff(lambda: next(source))

    for _ in numbers:
        middle, pause = plain.next(), jittered.next()
        assert 0.8 * middle - 1e-9 <= pause <= min(60.0, 1.2 * middle + 1e-9)


@pytest.mark.parametrize(
    "wrong", [{"first_s": 0}, {"factor": 0.5}, {"jitter": 1}, {"first_s": 5, "most_s": 4}]
)
def test_a_policy_without_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a backoff needs"):
        Backoff(lambda: 0.5, **wrong)
