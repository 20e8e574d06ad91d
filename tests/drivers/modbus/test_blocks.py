"""drivers/modbus/blocks.py: merged block reads. P-01, U-05."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from smapd.drivers.modbus.blocks import MOST_WORDS, Block, halves, merge
from smapd.drivers.modbus.registers import KINDS, Register, Table

KIND_NAMES = sorted(set(KINDS) - {"bool"})


def rows(*places: tuple[int, str], table: Table = Table.INPUT) -> list[Register]:
    return [Register(f"/r{n}", table, at, KINDS[kind]) for n, (at, kind) in enumerate(places)]


def shape(blocks: list[Block]) -> list[tuple[str, int, int]]:
    return [(b.table.value, b.address, b.count) for b in blocks]


def test_neighbours_share_a_read_and_others_do_not() -> None:
    found = merge(rows((10, "int32"), (4, "int16"), (12, "int16"), (5, "int64")))

    assert shape(found) == [("input", 4, 5), ("input", 10, 3)]


def test_tables_are_read_apart() -> None:
    both = rows((0, "int16")) + rows((1, "int16"), table=Table.HOLDING)

    assert shape(merge(both)) == [("holding", 1, 1), ("input", 0, 1)]


def test_gap_is_gone_over_when_allowed() -> None:
    three = rows((0, "int16"), (3, "int16"), (7, "int16"))

    assert shape(merge(three, gap=2)) == [("input", 0, 4), ("input", 7, 1)]
    assert shape(merge(three, gap=3)) == [("input", 0, 8)]


def test_coils_count_sixteen_to_a_word() -> None:
    coils = rows(*((n, "bool") for n in range(0, 2100, 2)), table=Table.COIL)

    assert shape(merge(coils, gap=1)) == [("coil", 0, 1999), ("coil", 2000, 99)]
    assert shape(merge(coils[:20], most=1, gap=1)) == [
        ("coil", 0, 15),
        ("coil", 16, 15),
        ("coil", 32, 7),
    ]


def test_two_readings_of_one_word_are_read_once() -> None:
    found = merge(rows((0, "float32"), (0, "uint32"), (1, "int16")))

    assert shape(found) == [("input", 0, 2)]


def test_halves_end_where_all_values_share_an_address() -> None:
    (block,) = merge(rows((0, "float32"), (0, "uint32"), (2, "int16")))

    low, high = halves(block)

    assert shape([low, high]) == [("input", 0, 2), ("input", 2, 1)]
    assert halves(low) == (low,)


@given(
    st.lists(
        st.tuples(st.integers(0, 300), st.sampled_from(KIND_NAMES), st.sampled_from(Table)),
        min_size=1,
    ),
    st.integers(1, MOST_WORDS),
    st.integers(0, MOST_WORDS),
)
def test_every_register_is_in_one_block_that_holds_it(
    places: list[tuple[int, str, Table]], most: int, gap: int
) -> None:
    registers = [
        Register(f"/r{n}", table, at, KINDS["bool" if table.is_bits else kind])
        for n, (at, kind, table) in enumerate(places)
    ]

    blocks = merge(registers, most, gap)

    got = [r for b in blocks for r in b.registers]
    assert sorted(r.path for r in got) == sorted(r.path for r in registers)
    for block in blocks:
        limit = min(most * 16, 2000) if block.table.is_bits else most
        widest = max(r.count for r in block.registers)
        assert block.count <= max(limit, widest)
        words = range(block.address, block.address + block.count)
        for register in block.registers:
            expected = list(range(register.address, register.end))
            assert list(block.words_of(register, words)) == expected
        for part in halves(block):
            assert {r.path for r in part.registers} <= {r.path for r in block.registers}
