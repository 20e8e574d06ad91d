"""A row gives back what was put in, and nothing that was changed on the way."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.storage.packed import Columns, Singles, pack
from smapd.storage.rows import Damaged, Data, Head, RowGap
from smapd.values import Level, Quality

VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(max_size=5), st.booleans()
)
TIMES = st.integers(0, 2**45)
QUALITIES = st.one_of(
    st.none(), st.builds(Quality, st.sampled_from((Level.UNCERTAIN, Level.BAD)), st.text())
)


@st.composite
def columns(draw: st.DrawFn) -> Columns:
    n = draw(st.integers(1, 6))

    def some(of: st.SearchStrategy) -> list:
        return draw(st.lists(of, min_size=n, max_size=n))

    return Columns(
        draw(st.integers(0, 2**32 - 1)),
        draw(st.integers(0, 2**40)),
        some(TIMES),
        some(VALUES),
        some(QUALITIES) if draw(st.booleans()) else None,
        some(st.one_of(st.none(), st.integers())) if draw(st.booleans()) else None,
    )


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**40), TIMES, VALUES)),
    st.lists(columns()),
    st.integers(1, 2**40),
)
def test_what_is_packed_comes_back(
    singles: list[tuple[int, int, int, object]], runs: list[Columns], flush: int
) -> None:
    lists = [list(column) for column in zip(*singles, strict=True)]
    packed = pack(Singles(*lists) if lists else None, runs)
    gaps = [RowGap(7, None, None, 1, 2, 3, "disk")]

    head_bytes, data_bytes = packed.seal(flush, 99, gaps, [(1, "u", "/p", 5)])
    head = Head(head_bytes)
    data = Data(head, data_bytes)

    expected = [(n, s, 1) for n, s, _, _ in singles]
    expected += [(run.number, run.first_seq, len(run.ms)) for run in runs]
    assert list(head.runs()) == expected
    assert (head.flush, head.before, head.gaps()) == (flush, 99, gaps)
    assert head.streams() == [(1, "u", "/p", 5)]
    assert data.ms == [s[2] for s in singles] + [ms for run in runs for ms in run.ms]
    values = [s[3] for s in singles] + [value for run in runs for value in run.values]
    assert data.values == values
    assert list(map(type, data.values)) == list(map(type, values))
    quality, seqnos = data.notes() or ([None] * head.count, [None] * head.count)
    padded = [None] * len(singles)
    assert quality == padded + [q for r in runs for q in (r.quality or [None] * len(r.ms))]
    assert seqnos == padded + [n for r in runs for n in (r.seqnos or [None] * len(r.ms))]


def test_what_is_no_number_comes_back_too() -> None:
    packed = pack(None, [Columns(1, 0, [1, 2, 3], [math.nan, math.inf, 5])])
    head, data = packed.seal(1, 0)

    values = Data(Head(head), data).values

    assert math.isnan(values[0])  # type: ignore[arg-type]
    assert values[1:] == [math.inf, 5]


def test_every_flipped_bit_is_noticed() -> None:
    """SM-29: in a head or in data."""
    head, data = pack(None, [Columns(1, 0, [1, 2, 3], [1.5, 2.5, 3.5])]).seal(1, 0)

    for i in range(8 * len(head)):
        bad = bytearray(head)
        bad[i // 8] ^= 1 << i % 8
        with pytest.raises(Damaged):
            Head(bytes(bad))
    for i in range(8 * len(data)):
        bad = bytearray(data)
        bad[i // 8] ^= 1 << i % 8
        with pytest.raises(Damaged):
            Data(Head(head), bytes(bad))
