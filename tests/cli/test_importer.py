"""What an import promises, against a daemon in memory that may be away, busy, or answer nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest

from smapd.cli import importer as importer_file
from smapd.cli.importer import AT_ONCE, PATIENCE_S, Importer, as_json
from smapd.cli.known import PAGE, Item
from smapd.cli.peer import Answered
from smapd.errors import NotRunning
from smapd.values import bad, uncertain
from tests.cli.memory_peer import MemoryPeer

STREAMS = {"/a": "double", "/b": "double"}


def items(*times: int) -> list[Item]:
    return [Item(ms, float(ms)) for ms in times]


def importer(daemon: MemoryPeer, **options: Any) -> tuple[Importer, list[str], list[float]]:
    said: list[str] = []
    paused: list[float] = []
    return Importer(daemon, said.append, pause=paused.append, **options), said, paused


def test_a_stream_goes_out_in_the_order_of_its_times() -> None:
    daemon = MemoryPeer(STREAMS)
    load, _, _ = importer(daemon)

    load.send({"/a": items(30, 10, 20), "/b": items(5)})

    assert daemon.held == {"/a": [[10, 10.0], [20, 20.0], [30, 30.0]], "/b": [[5, 5.0]]}
    assert (load.added, load.there) == (4, 0)


def test_what_the_daemon_holds_is_not_sent_again() -> None:
    """SM-35: idempotent."""
    daemon = MemoryPeer(STREAMS)
    importer(daemon)[0].send({"/a": items(10, 20)})
    again, _, _ = importer(daemon)

    again.send({"/a": items(10, 15, 20, 25)})

    assert daemon.held["/a"] == [[10, 10.0], [20, 20.0], [15, 15.0], [25, 25.0]]
    assert (again.added, again.there) == (2, 2)


def test_another_value_of_the_same_moment_is_sent() -> None:
    daemon = MemoryPeer(STREAMS)
    importer(daemon)[0].send({"/a": [Item(10, 1.0)]})

    importer(daemon)[0].send({"/a": [Item(10, 2.0)]})

    assert daemon.held["/a"] == [[10, 1.0], [10, 2.0]]


def test_a_stream_without_a_past_is_asked_about_once() -> None:
    daemon = MemoryPeer(STREAMS)
    load, _, _ = importer(daemon)

    for start in range(0, 1000, 100):
        load.send({"/a": items(*range(start, start + 100))})

    assert [path for path, _ in daemon.asked if path != "/status"] == ["/data/a"]


def test_a_long_past_is_asked_for_in_pages() -> None:
    daemon = MemoryPeer(STREAMS)
    everything = items(*range(3 * PAGE))
    importer(daemon, check=False)[0].send({"/a": everything})
    again, _, _ = importer(daemon, patient=False)

    again.send({"/a": everything})

    assert (again.added, again.there) == (0, 3 * PAGE)
    assert len(daemon.asked) <= 5


def test_a_daemon_that_is_away_is_waited_for() -> None:
    daemon = MemoryPeer(STREAMS, ["away", "away", 503])
    load, said, paused = importer(daemon)

    load.send({"/a": items(1, 2)})

    assert daemon.held["/a"] == [[1, 1.0], [2, 2.0]]
    assert len(paused) == 3
    assert paused == sorted(paused)
    assert len(said) == 1
    assert "connection refused. Waiting for it." in said[0]


def test_a_batch_whose_answer_was_lost_is_not_added_twice() -> None:
    """The daemon took it, and its answer did not come."""
    daemon = MemoryPeer(STREAMS, ["lost"])
    load, _, _ = importer(daemon)

    load.send({"/a": items(1, 2), "/b": items(3)})

    assert daemon.held == {"/a": [[1, 1.0], [2, 2.0]], "/b": [[3, 3.0]]}
    assert load.added + load.there == 3


def test_a_daemon_that_stays_away_ends_it() -> None:
    daemon = MemoryPeer(STREAMS, ["away"] * 10_000)
    load, _, paused = importer(daemon)

    with pytest.raises(NotRunning):
        load.send({"/a": items(1)})

    assert PATIENCE_S <= sum(paused) < PATIENCE_S + 60


def test_what_the_daemon_refuses_is_not_tried_again() -> None:
    daemon = MemoryPeer(STREAMS, [400])
    load, _, paused = importer(daemon)

    with pytest.raises(Answered):
        load.send({"/a": items(1)})

    assert (daemon.posts, paused) == ([], [])


def test_a_body_that_is_too_large_is_halved() -> None:
    daemon = MemoryPeer(STREAMS, [413, 413])
    load, _, _ = importer(daemon)

    load.send({"/a": items(1, 2, 3, 4)})

    assert daemon.held["/a"] == [[n, float(n)] for n in (1, 2, 3, 4)]
    assert [len(post["/a"]["Readings"]) for post in daemon.posts] == [1, 1, 2]
    assert load.added == 4


def test_long_texts_go_in_small_bodies() -> None:
    """What is beyond the limit of a daemon it may hang up on, and not answer 413."""
    daemon = MemoryPeer({"/a": "string"})
    load, _, _ = importer(daemon)

    load.send({"/a": [Item(n, "x" * 60_000) for n in range(100)]})

    assert len(daemon.held["/a"]) == 100
    assert max(len(str(post)) for post in daemon.posts) < 1_100_000


def test_after_half_of_what_a_report_keeps_it_waits_for_the_report() -> None:
    """Backfilled readings do not push undelivered ones out."""
    daemon = MemoryPeer(STREAMS)
    load, said, paused = importer(daemon)
    report = {"uuid": "u", "name": "[report 0]", "state": "sending", "readings": 0, "waiting": 5000}
    daemon.reports = [
        [],
        [report],
        [{**report, "readings": 3000, "waiting": 2000}],
        [{**report, "readings": 5000, "waiting": 10}],
    ]

    load.send({"/a": items(*range(AT_ONCE))})
    assert paused == []
    load.send({"/a": items(*range(AT_ONCE, AT_ONCE + 10))})

    assert len(paused) == 1
    assert "Waiting for [report 0]" in said[0]
    assert load.added == AT_ONCE + 10


@pytest.mark.parametrize("state", ["paused", "stopped", "removed"])
def test_a_report_that_delivers_nothing_is_not_waited_for(state: str) -> None:
    daemon = MemoryPeer(STREAMS)
    load, _, paused = importer(daemon)
    daemon.reports = [[{"uuid": "u", "state": state, "readings": 0, "waiting": 9000}]] * 9

    load.send({"/a": items(*range(AT_ONCE))})
    load.send({"/a": items(AT_ONCE)})

    assert paused == []


def test_a_report_that_starts_to_count_anew_is_still_waited_for() -> None:
    daemon = MemoryPeer(STREAMS)
    load, _, paused = importer(daemon)
    report = {"uuid": "u", "state": "sending"}
    daemon.reports = [
        [],
        [{**report, "readings": 900, "waiting": 100}],
        [{**report, "readings": 5, "waiting": 90}],
        [{**report, "readings": 95, "waiting": 7}],
    ]

    load.send({"/a": items(*range(AT_ONCE))})
    load.send({"/a": items(AT_ONCE)})

    assert len(paused) == 1


def test_a_body_has_what_json_has_no_number_for_and_qualities() -> None:
    found = as_json(
        [
            Item(1, math.nan),
            Item(2, None, bad("broken wire")),
            Item(3, 1.5, uncertain("old"), 7),
            Item(4, -math.inf),
        ]
    )

    assert found == {
        "Readings": [[1, None], [2, None], [3, 1.5, 7], [4, None]],
        "NonFinite": [[0, "NaN"], [3, "-Infinity"]],
        "Quality": [["good", ""], ["bad", "broken wire"], ["uncertain", "old"], ["good", ""]],
    }


def test_nan_that_is_there_is_known() -> None:
    class Nan(MemoryPeer):
        def get(self, path: str, query: Any = None) -> Any:
            node = super().get(path, query)
            return {**node, "Readings": [[5, None]], "NonFinite": [[0, "NaN"]]}

    load, _, _ = importer(Nan(STREAMS))

    load.send({"/a": [Item(5, math.nan)]})

    assert (load.added, load.there) == (0, 1)


def test_a_batch_counts_once_the_journal_has_committed_it() -> None:
    daemon = MemoryPeer(STREAMS)
    load, _, paused = importer(daemon)
    daemon.journal = [
        {"commits": 7, "uncommitted": 1},
        {"commits": 8, "uncommitted": 5},
        {"commits": 9, "uncommitted": 3},
        {"commits": 9, "uncommitted": 0},
    ]

    load.send({"/a": items(1)})

    assert len(paused) == 2


def test_a_daemon_that_was_started_anew_before_its_commit_is_sent_it_again() -> None:
    daemon = MemoryPeer(STREAMS)
    load, _, _ = importer(daemon)
    daemon.journal = [{"commits": 7, "uncommitted": 1}, {"commits": 0, "uncommitted": 0}]
    lose = daemon.held["/a"].clear
    load._pause = lambda seconds: lose() if daemon.journal else None

    load.send({"/a": items(1)})

    assert daemon.held["/a"] == [[1, 1.0]]
    assert len(daemon.posts) == 2


def test_the_pause_of_the_commands_is_one_that_waits() -> None:
    importer_file.wait(0.0)
    importer_file.wait(-1.0)
