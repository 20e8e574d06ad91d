"""A report's bodies of a reading of each stream: in columns, unless something must be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from smapd.core import SmapInstance, Timeseries
from smapd.reports import KnownStreams
from smapd.reports.composer import Composer
from smapd.reports.resource import parse_resource
from smapd.reports.selection import Selection
from smapd.values import Gap, OneByPath, OneEach, Payload, ReportBody, Run

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"


class Format:
    """Keeps the bodies."""

    whole = True

    def __init__(self) -> None:
        self.bodies: list[ReportBody] = []

    def encode(self, body: ReportBody) -> Payload:
        self.bodies.append(body)
        return Payload(b"")


class Report:
    """A composer over a tree of streams, none of them told yet."""

    def __init__(
        self, resource: str = "/+", streams: Sequence[str] = ("/a/x", "/a/y", "/b")
    ) -> None:
        self.tree = SmapInstance(ROOT, now=lambda: 1_700_000_000_000)
        self.streams: list[Timeseries] = [self.tree.add_timeseries(p, p, "V") for p in streams]
        numbers = {stream.uuid: i for i, stream in enumerate(self.streams)}
        known = KnownStreams(numbers.get)
        selection = Selection(parse_resource(resource), self.tree, known)
        self.format = Format()
        self.composer = Composer(self.tree, selection, self.format, is_new=False)
        self.seq = 0

    def each(self, *which: int) -> OneEach:
        """The next reading of each of these streams (all without), as a cursor gives them."""
        picked = list(which) or list(range(len(self.streams)))
        self.seq += 1
        return OneEach(
            [self.streams[i].uuid for i in picked],
            picked,
            [self.seq] * len(picked),
            [1_700_000_000_000 + self.seq] * len(picked),
            [float(self.seq)] * len(picked),
            [self.streams[i].path for i in picked],
        )

    def send(self, runs: Sequence[Run], gaps: Sequence[Gap] = (), taken: bool = True) -> Any:
        """The body that is made of these; None if there is none."""
        draft = self.composer.draft(runs, gaps, 5_000)
        if draft is None:
            return None
        if taken:
            draft.taken()
        return self.format.bodies[-1]


def shown(runs: Mapping[str, Sequence[Run]]) -> dict[str, list[float]]:
    return {path: [v for run in found for v in run.values] for path, found in runs.items()}  # type: ignore[misc]


def test_streams_that_were_told_go_in_columns() -> None:
    """P-12: nothing is looked at reading by reading."""
    report = Report()
    first = report.send(report.each())

    second = report.send(report.each())

    assert set(first.nodes) == {"/", "/a", "/a/x", "/a/y", "/b"}
    assert not isinstance(first.runs, OneByPath)
    assert isinstance(second.runs, OneByPath)
    assert second.nodes == {}
    assert shown(second.runs) == {"/a/x": [2.0], "/a/y": [2.0], "/b": [2.0]}


def test_one_stream_that_was_not_told_goes_whole_beside_the_others() -> None:
    """SM-24: metadata with the first readings of each stream."""
    report = Report()
    report.send(report.each(0, 1))

    body = report.send(report.each())

    assert "/b" in body.nodes
    assert "/a/x" not in body.nodes
    assert shown(body.runs) == {"/a/x": [2.0], "/a/y": [2.0], "/b": [2.0]}


def test_metadata_that_changed_goes_out_with_the_next_readings() -> None:
    """SM-24: also where all went in columns before."""
    report = Report()
    report.send(report.each())
    report.send(report.each())
    report.composer.changed("/a")

    body = report.send(report.each())

    assert {"/a", "/a/x", "/a/y"} <= set(body.nodes)
    assert isinstance(report.send(report.each()).runs, OneByPath)


def test_what_was_not_accepted_is_told_again() -> None:
    """SM-24: a body on its way that never arrives has told nothing."""
    report = Report()
    report.send(report.each(), taken=False)

    assert "/b" in report.send(report.each()).nodes


def test_a_report_on_a_part_leaves_the_rest_out() -> None:
    """SM-23: what its cursor gave beside it, for want of knowing, is not sent."""
    report = Report("/a/+")
    report.send(report.each())

    part = report.send(report.each())
    own = report.send(report.each(0, 1))

    assert shown(part.runs) == {"/a/x": [2.0], "/a/y": [2.0]}
    assert isinstance(own.runs, OneByPath)
    assert report.send(report.each(2)) is None


def test_two_streams_at_one_path_are_not_taken_for_one() -> None:
    """SM-22: one that left its place, and the one that took it, both have their readings."""
    report = Report()
    report.send(report.each())
    each = report.each(0, 1)
    each.paths[1] = each.paths[0]

    body = report.send(each)

    assert not isinstance(body.runs, OneByPath)
    assert shown(body.runs) == {"/a/x": [2.0, 2.0]}
