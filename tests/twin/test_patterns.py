"""Patterns select assets; what is no id or pattern is refused."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.errors import BadRequest
from smapd.twin.patterns import Patterns, asset_id

IDS = st.text("abc1-_.:", min_size=1, max_size=8)
PATTERNS = st.text("abc1-_.:*?", min_size=1, max_size=8)


@given(st.lists(PATTERNS, min_size=1, max_size=5), IDS)
def test_they_match_as_file_names_do(patterns: list[str], asset: str) -> None:
    expected = any(fnmatch.fnmatchcase(asset, one) for one in patterns)

    assert (asset in Patterns(patterns)) is expected


def test_none_selects_nothing() -> None:
    assert "a" not in Patterns([])


@pytest.mark.parametrize("text", ["", "a b", "a/b", "[ab]", "ü", "x" * 129])
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="no asset id or pattern"):
        Patterns([text])


@pytest.mark.parametrize("text", ["a", "A.b_c:d-9", "x" * 128])
def test_an_id_is_an_id(text: str) -> None:
    assert asset_id(text) == text


@pytest.mark.parametrize("value", ["", "a\n", "a*", None, 7, "x" * 129])
def test_what_is_no_id_is_refused(value: object) -> None:
    with pytest.raises(BadRequest, match="no asset id"):
        asset_id(value)
