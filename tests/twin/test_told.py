"""What a program is told of assets, whatever the hub repeats."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from smapd.twin.told import Told


def told(*records: tuple[str, str, int]) -> list[str]:
    one = Told()
    return [what for record in records for what in one.record(*record)]


def test_the_same_record_again_says_nothing() -> None:
    """IN-20, IN-22: once."""
    made, gone = ("created", "a", 1), ("deleted", "a", 2)

    assert told(made, made, gone, gone, made) == ["created", "deleted"]


def test_one_that_was_made_again_while_away_is_told_in_order() -> None:
    """IN-21, IN-22: deleted, then created, whether or not the deletion comes by itself."""
    before, gone, again = ("created", "a", 1), ("deleted", "a", 2), ("created", "a", 3)

    assert told(before, again, gone, again) == ["created", "deleted", "created"]
    assert told(again, before, gone, again) == ["created", "deleted", "created"]
    assert told(before, gone, again) == ["created", "deleted", "created"]


def test_a_deletion_of_what_this_program_never_saw_is_told() -> None:
    """IN-22: it may have known it in its life before."""
    assert told(("deleted", "a", 2)) == ["deleted"]


def test_what_is_gone_is_known() -> None:
    """FO-12: until it is made again."""
    one = Told()
    assert not one.is_gone("a")
    one.record("deleted", "a", 2)
    assert one.is_gone("a")
    one.record("created", "a", 3)
    assert not one.is_gone("a")
    assert one.assets() == ["a"]


CHANGES = st.lists(st.sampled_from("abc"), max_size=12)
CUTS = st.lists(st.integers(0, 12), max_size=4)


@settings(max_examples=200, deadline=None)
@given(CHANGES, CUTS, st.integers(0, 3))
def test_whenever_the_connection_is_cut_each_change_is_told_once(
    changes: list[str], cuts: list[int], undone: int
) -> None:
    """IN-20 to IN-22: the hub tells what is there, then what is not dealt with; any cuts."""
    records: list[tuple[str, str, int]] = []
    there: dict[str, int] = {}
    one, heard = Told(), list[tuple[str, str]]()
    place = 0

    def say(record: tuple[str, str, int]) -> None:
        heard.extend((what, record[1]) for what in one.record(*record))

    for n, asset in enumerate(changes):
        kind = "deleted" if asset in there else "created"
        records.append((kind, asset, n))
        if kind == "created":
            there[asset] = n
        else:
            del there[asset]
        if n in cuts:  # away while more happens; some records were not dealt with
            continue
        for asset_, seq in sorted(there.items(), key=lambda item: item[1]):
            say(("created", asset_, seq))
        for record in records[max(0, place - undone) :]:
            say(record)
        place = len(records)
    for asset_, seq in sorted(there.items(), key=lambda item: item[1]):
        say(("created", asset_, seq))
    for record in records[max(0, place - undone) :]:
        say(record)

    assert sorted(one.assets()) == sorted(there)
    for asset in "abc":
        kinds = [kind for kind, about in heard if about == asset]
        expected = ["created", "deleted"] * len(kinds)
        assert kinds in (expected[: len(kinds)], expected[1 : len(kinds) + 1])
        assert (kinds[-1:] == ["created"]) == (asset in there)
