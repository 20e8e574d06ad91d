"""Metadata: written flat or nested, merged, shared."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.core.metadata import POOL_SIZE, MetadataPool, inherited, merged, spread


def test_flat_and_nested_keys_say_the_same() -> None:
    flat = spread({"Extra/Foo": "bar", "Extra/Deep/er": 1, "SourceName": "x"})
    nested = spread({"Extra": {"Foo": "bar", "Deep/er": 1}, "SourceName": "x"})

    assert flat == nested == {"Extra": {"Foo": "bar", "Deep": {"er": 1}}, "SourceName": "x"}


def test_groups_merge_and_the_old_dict_stays_as_it_was() -> None:
    old = {"Extra": {"A": 1, "B": 2}, "SourceName": "x"}

    new = merged(old, spread({"Extra/B": 3, "Extra/C": 4, "SourceName": {"now": "a group"}}))

    assert new == {"Extra": {"A": 1, "B": 3, "C": 4}, "SourceName": {"now": "a group"}}
    assert old == {"Extra": {"A": 1, "B": 2}, "SourceName": "x"}


def test_none_takes_a_key_away_and_an_empty_group_with_it() -> None:
    old = spread({"Extra/A": 1, "Extra/B": 2, "Location/Room": "410"})

    assert merged(old, spread({"Extra/A": None, "Location/Room": None})) == {"Extra": {"B": 2}}
    assert merged(old, spread({"Extra": None, "Nope/No": None})) == {"Location": {"Room": "410"}}


def test_numpy_values_and_tuples_become_plain_json() -> None:
    found = spread({"a": np.float32(0.5), "b": np.arange(2), "c": (1, "x", [None, {"k": True}])})

    assert found == {"a": 0.5, "b": [0, 1], "c": [1, "x", [None, {"k": True}]]}
    orjson.dumps(found)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([], "Metadata is a dict like {'Extra/Foo': 'bar'}, not a list."),
        ({1: "x"}, "A metadata key is text, not an int."),
        ({"Extra//x": 1}, "The metadata key 'Extra//x' has an empty part; write Extra/Foo."),
        ({"": 1}, "The metadata key '' has an empty part; write Extra/Foo."),
        ({"/".join("x" * 17): 1}, f"The metadata key '{'/'.join('x' * 17)}' is deeper than 16"),
        ({"a": {"b": object()}}, "Metadata a/b is an object, which JSON cannot hold."),
        ({"a": float("nan")}, "Metadata a is nan, which JSON cannot hold."),
        ({"a": 2**64}, "Metadata a is a number of more than 64 bits."),
        ({"a": "\ud800"}, "Metadata a has a lone surrogate, and so no UTF-8 form."),
        ({"a": "x" * 70000}, "Metadata a has at most 65536 bytes; this has 70000."),
        ({"a\ud800": 1}, "The metadata key 'a\\ud800' has a lone surrogate"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_name(changes: Any, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        spread(changes)
    assert str(caught.value).startswith(said)


def test_the_nearer_node_wins() -> None:
    """SM-22: what a collection says holds below it, until a nearer one says otherwise."""
    chain = [{"Extra": {"A": 1, "B": 1}}, None, {"Extra": {"B": 2}}, {"SourceName": "x"}]

    assert inherited(chain) == {"Extra": {"A": 1, "B": 2}, "SourceName": "x"}


def test_equal_metadata_is_one_dict() -> None:
    pool = MetadataPool()
    first = pool.share({"Extra": {"A": 1}, "L": ["x"]})

    assert pool.share({"Extra": {"A": 1}, "L": ["x"]}) is first
    assert pool.share({"Extra": {"A": True}, "L": ["x"]}) is not first
    assert pool.share({"Extra": {"A": 1.0}, "L": ["x"]}) is not first
    assert pool.share({}) is None


def test_the_pool_forgets_when_full() -> None:
    pool = MetadataPool()
    for i in range(POOL_SIZE + 10):
        pool.share({"n": i})

    assert len(pool._known) == 10


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5))
def test_what_is_taken_can_be_sent(changes: dict[str, Any]) -> None:
    said = "Metadata was taken"
    try:
        found = merged(None, spread(changes))
    except ValueError as refused:
        said = str(refused)
    else:
        orjson.dumps(found)
    assert said.startswith(("The metadata key", "Metadata ", "A key in metadata"))
