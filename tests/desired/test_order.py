"""What is refused before anything runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.desired.order import check_order, rings
from smapd.errors import BadModel


def told(name: str, *requires: str, version: int = 0) -> dict[str, object]:
    behind = f",v={version}" if version else ""
    return {
        "id": f"a::B[x,n={name}]{behind}",
        "requires": [f"a::B[x,n={one}]{behind}" for one in requires],
    }


def problems_of(*resources: object) -> tuple[str, ...]:
    with pytest.raises(BadModel) as caught:
        check_order(resources)  # type: ignore[arg-type]
    return caught.value.problems


def test_the_requirements_by_id_without_version() -> None:
    found = check_order([told("1", "2", "2", "3", version=4), told("2"), told("3")])

    assert found == {
        "a::B[x,n=1]": ["a::B[x,n=2]", "a::B[x,n=3]"],
        "a::B[x,n=2]": [],
        "a::B[x,n=3]": [],
    }


def test_an_unknown_requirement_is_refused() -> None:
    assert problems_of(told("1", "2"), told("3", "1", "4")) == (
        "a::B[x,n=1] requires a::B[x,n=2], which is not in the model.",
        "a::B[x,n=3] requires a::B[x,n=4], which is not in the model.",
    )


def test_a_double_id_is_refused_whatever_its_version() -> None:
    assert problems_of(told("1"), told("1", version=3)) == (
        "a::B[x,n=1] is there twice: an id names one resource.",
    )


def test_a_ring_is_spelled_out() -> None:
    """IM-34"""
    assert problems_of(told("1", "2"), told("2", "3"), told("3", "1"), told("4", "1")) == (
        "A ring of requirements: a::B[x,n=1] requires a::B[x,n=2] requires a::B[x,n=3]"
        " requires a::B[x,n=1].",
    )


def test_what_requires_itself_is_a_ring() -> None:
    """IM-34"""
    assert problems_of(told("1", "1")) == (
        "A ring of requirements: a::B[x,n=1] requires a::B[x,n=1].",
    )


def test_a_long_ring_is_cut_and_long_chains_are_no_trouble() -> None:
    n = 50_000
    chain = [told(str(i), str(i + 1)) for i in range(n)]

    check_order([*chain, told(str(n))])
    (sentence,) = problems_of(*chain, told(str(n), "0"))

    assert f"requires … ({n + 1 - 20} more) … requires" in sentence
    assert len(sentence) < 1000


@pytest.mark.parametrize(
    ("resource", "sentence"),
    [
        (3, "Resource 0: it is not a JSON object."),
        ({}, "Resource 0: it has no id."),
        ({"id": 3}, "Resource 0: 3 is not the id of a resource"),
        ({"id": "a::B[x,y=z]", "requires": "a::B[x,y=z]"}, "requires of a::B[x,y=z] is not a list"),
        ({"id": "a::B[x,y=z]", "requires": ["x"]}, "in requires of a::B[x,y=z], 'x' is not the id"),
    ],
)
def test_what_is_no_resource_is_refused(resource: object, sentence: str) -> None:
    assert sentence in problems_of(resource)[0]


def test_many_problems_are_cut_short() -> None:
    found = problems_of(*(told(str(i), "missing") for i in range(500)))

    assert len(found) == 21
    assert found[-1] == "480 more of that kind."


@given(
    st.dictionaries(
        st.integers(0, 12), st.lists(st.integers(0, 12), max_size=4, unique=True), max_size=13
    )
)
def test_rings_are_found_as_by_taking_away_what_is_free(graph: dict[int, list[int]]) -> None:
    """IM-34: against the plain way, and each ring told is one."""
    requires = {str(a): [str(b) for b in bs if b in graph] for a, bs in graph.items()}
    left = {name: set(others) for name, others in requires.items()}
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]

    found = list(rings(requires))

    assert bool(found) == bool(left)
    for ring in found:
        assert ring[0] == ring[-1]
        assert len(set(ring)) == len(ring) - 1
        assert all(b in requires[a] for a, b in zip(ring, ring[1:], strict=False))
