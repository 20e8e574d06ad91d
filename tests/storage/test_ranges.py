"""The past of one stream: in pages, that together are the whole, and cost what they show."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from smapd.http.history import Range, page
from smapd.storage.parts import Info
from smapd.storage.store import Store
from smapd.values import Gap, Reading
from tests.storage.journals import Life, Settings, result

BEGIN_S = 1_600_000_000
KEEP = Settings(segment_bytes=90_000, min_free=0)


def pages(life: Life, index: int, limit: int, desc: bool) -> Iterator[tuple[Range, list, list]]:
    """What a client that follows Next is given."""
    asked = Range(0, 2**62, limit, desc, True)
    while True:
        found = life.journal.read_range(
            life.streams[index].uuid, asked.from_ms, asked.to_ms, limit + 1, desc
        )
        readings, gaps = result(found)
        shown, beside = page(asked, readings, gaps)
        yield asked, shown, gaps
        if "Next" not in beside:
            return
        edge = beside["Next"]
        asked = Range(*((0, edge) if desc else (edge, 2**62)), limit, desc, True)


def filled(home: Path, seed: int) -> tuple[Life, list[Reading], int]:
    """Several segments, some readings an hour old when they came, and some numbers missing."""
    rng = random.Random(seed)
    life = Life(home, 3, settings=KEEP)
    stream, missing = life.streams[1], 0
    every = []
    for i in range(600):
        if rng.random() < 0.02:
            stream.next_seq += 2
            missing += 2
        at_s = BEGIN_S + i * 10 - (3_600 if rng.random() < 0.1 else 0) + rng.random()
        for other in life.streams[::2]:
            other.add_many([BEGIN_S + i * 10] * 40, list(range(i, i + 40)))
        every.append((round(at_s * 1000), stream.next_seq))
        stream.add(at_s, stream.next_seq)
        life.tree.drain()
        if rng.random() < 0.8:
            life.commit()
    life.commit()
    assert len(life.journal.store.segments) > 4
    return life, [Reading(ms, seq, seq=seq) for ms, seq in every], missing


@pytest.mark.parametrize("desc", [False, True])
@pytest.mark.parametrize("limit", [1, 7, 100, 5_000])
def test_pages_put_together_are_the_whole(tmp_path: Path, limit: int, desc: bool) -> None:
    """SM-31: also where readings came late; each gap is on a page that it touches."""
    life, every, missing = filled(tmp_path, limit)
    readings: list[Reading] = []
    gaps: set[Gap] = set()
    for _asked, shown, told in pages(life, 1, limit, desc):
        readings += shown
        gaps.update(told)

    assert [(r.ms, r.value) for r in readings] == sorted(
        ((r.ms, r.value) for r in every), reverse=desc
    )
    assert sum(gap.count for gap in gaps) == missing
    assert {gap.why for gap in gaps} == {"queue"}
    life.stop()
    life = Life(tmp_path, 3, settings=KEEP)
    again = [r for _, shown, _ in pages(life, 1, limit, desc) for r in shown]
    assert again == readings
    life.stop()


@pytest.mark.parametrize("desc", [False, True])
def test_a_page_opens_the_files_that_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, desc: bool
) -> None:
    """Else the pages of a long past would take the square of its length."""
    life = Life(tmp_path, 3, settings=KEEP)
    for i in range(600):
        for stream in life.streams:
            stream.add_many([BEGIN_S + i * 10 + n / 10 for n in range(40)], [i] * 40)
        life.tree.drain()
        life.commit()
    files = len(life.journal.store.segments)
    assert files > 10
    opened: list[Info] = []
    real = Store.segment

    def segment(store: Store, info: Info) -> object:
        opened.append(info)
        return real(store, info)

    monkeypatch.setattr(Store, "segment", segment)
    each = []
    for _ in pages(life, 1, 2_000, desc):
        each.append(len(opened))
        opened.clear()

    assert len(each) == 12
    assert max(each) <= 3
    assert sum(each) <= files + 2 * len(each)
    life.stop()
