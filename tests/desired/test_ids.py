"""The ids of resources."""

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.desired import Id

LETTERS = st.characters(blacklist_categories=["Cc", "Cs"])
NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)


def test_an_id_is_read_and_written_both_ways() -> None:
    """IM-12"""
    id_ = Id.parse_id("ns::sub::Type[agent-1,path=/etc/x],v=17")

    assert (id_.entity_type, id_.agent_name, id_.attribute, id_.attribute_value, id_.version) == (
        "ns::sub::Type",
        "agent-1",
        "path",
        "/etc/x",
        17,
    )
    assert str(id_) == "ns::sub::Type[agent-1,path=/etc/x],v=17"
    assert id_.resource_str() == "ns::sub::Type[agent-1,path=/etc/x]"
    assert id_.resource_version_str() == str(id_)


def test_without_a_version_it_is_not_written() -> None:
    id_ = Id.parse_id("ns::Type[agent,attr=value]")

    assert id_.version == 0
    assert str(id_) == "ns::Type[agent,attr=value]"
    assert str(id_.copy(version=3)) == "ns::Type[agent,attr=value],v=3"
    assert Id.parse_id("ns::Type[agent,attr=value],v=4", version=9).version == 9


@given(
    kind=st.lists(NAMES, min_size=2, max_size=4).map("::".join),
    agent=st.text(LETTERS, min_size=1, max_size=20).filter(lambda t: "," not in t),
    attribute=st.text(LETTERS, min_size=1, max_size=20).filter(lambda t: not set(t) & set("=,[]")),
    value=st.text(LETTERS, min_size=1, max_size=40),
    version=st.integers(0, 10**17),
)
def test_every_id_comes_back_from_its_text(
    kind: str, agent: str, attribute: str, value: str, version: int
) -> None:
    """IM-12: whatever stands in the value, also what looks like the end of an id."""
    id_ = Id(kind, agent, attribute, value, version)

    assert Id.parse_id(str(id_)) == id_
    assert Id.parse_id(id_.resource_str()) == id_.copy(version=0)


@pytest.mark.parametrize("value", ["a],v=3", "x[agent,b=c]", "=", ",v=1", "]"])
def test_a_value_that_looks_like_an_end_is_kept(value: str) -> None:
    id_ = Id("a::B", "agent", "attr", value, 2)

    assert Id.parse_id(str(id_)) == id_
    assert Id.parse_id(id_.resource_str()).attribute_value == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "File[a,b=c]",
        "std::File",
        "std::File[a,b=c",
        "std::File[a,b=]",
        "std::File[,b=c]",
        "std::File[a,=c]",
        "std::File[a]",
        "std::File[a,b=c],v=",
        "std::File[a,b=c],v=-1",
        "std::File[a,b=c],v=x",
        "std::File[a,b=c] ",
        "std::File[a,b=c\nd]",
        "::File[a,b=c]",
        "std::[a,b=c]",
        "std::File[a,b=" + "x" * 3000 + "]",
    ],
)
def test_a_malformed_id_is_refused_with_what_one_looks_like(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        Id.parse_id(text)

    assert "std::File[host1,path=/etc/motd]" in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("other", [None, 3, b"std::File[a,b=c]"])
def test_what_is_no_text_is_refused_alike(other: object) -> None:
    with pytest.raises(ValueError, match="is not the id of a resource"):
        Id.parse_id(other)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        (("File", "a", "b", "c"), "type"),
        (("a::B", "a,b", "b", "c"), "agent"),
        (("a::B", "", "b", "c"), "agent"),
        (("a::B", "a", "b=", "c"), "attribute"),
        (("a::B", "a", "b", ""), "value"),
        (("a::B", "a", "b", "x\ny"), "value"),
        (("a::B", "a", "b", 3), "value"),
        (("a::B", "a", "b", "c", -1), "version"),
        (("a::B", "a", "b", "c", True), "version"),
        (("a::B", "a", "b", "x" * 3000), "2000"),
    ],
)
def test_a_part_that_could_not_be_read_back_is_refused(parts: tuple[str, ...], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Id(*parts)  # type: ignore[arg-type]


def test_ids_are_values() -> None:
    one, same = Id("a::B", "x", "n", "1", 2), Id.parse_id("a::B[x,n=1],v=2")

    assert one == same
    assert len({one, same, one.copy(version=3)}) == 2
    assert one != "a::B[x,n=1],v=2"
    assert pickle.loads(pickle.dumps(one)) == one
    assert copy.deepcopy(one) == one
    with pytest.raises(AttributeError, match="copy"):
        one.version = 4
