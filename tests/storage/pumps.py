"""A delivery over a journal in memory, with a sink that answers as told."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from smapd.core import SmapInstance
from smapd.interfaces import ISink
from smapd.storage import Delivery, DeliveryOptions, Draft, Target
from smapd.testing import FakeRuntime, MemoryReadings
from smapd.values import Accepted, Gap, Limits, Outcome, Payload, Run, Start

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"
NAME = UUID("3b2b9b0e-0000-11e1-8000-000000000001")

Answer = Callable[[list[int], str], Outcome | Deferred[Outcome]]


@implementer(ISink)
class ScriptedSink:
    """Answers with what ``answer(values, location)`` gives; keeps what it accepted."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer: Answer = answer or (lambda values, location: Accepted())
        self.tried: list[tuple[str, list[int]]] = []
        self.accepted: list[int] = []
        self.gaps: list[dict[str, Any]] = []
        self.open: Deferred[Outcome] | None = None
        self.is_closed = False

    def send(self, payload: Payload, location: str) -> Deferred[Outcome]:
        assert self.open is None, "two requests at once"
        body = json.loads(payload.body)
        self.tried.append((location, body["values"]))
        said = self.answer(body["values"], location)
        done = said if isinstance(said, Deferred) else succeed(said)
        self.open = None if done.called else done

        def over(result: Any) -> Any:
            self.open = None
            if isinstance(result, Accepted):
                self.accepted += body["values"]
                self.gaps += body["gaps"]
            return result

        return done.addBoth(over)

    def close(self) -> None:
        self.is_closed = True


class PlainSource:
    """Bodies of values and gaps, without a tree. ``news``: bodies to send before."""

    def __init__(self, gaps: bool = True) -> None:
        self.news = 0
        self.gaps = gaps
        self.skipped = 0

    def has_news(self) -> bool:
        return self.news > 0

    def skip_news(self) -> None:
        self.news = 0
        self.skipped += 1

    def draft(
        self, runs: Sequence[Run], gaps: Sequence[Gap], most_nodes: int, beat: bool
    ) -> Draft | None:
        if not runs and not gaps and not beat:
            return Draft(_body([], []), self._told)
        told = list(gaps) if self.gaps else []
        if not runs and not told and not beat:
            return None
        return Draft(_body([v for run in runs for v in run.values], told), lambda: None)

    def _told(self) -> None:
        self.news -= 1


def _body(values: list[Any], gaps: list[Gap]) -> Payload:
    told = [{"why": gap.why, "count": gap.count, "from": gap.from_seq} for gap in gaps]
    return Payload(json.dumps({"values": values, "gaps": told}).encode(), (), len(values))


class Pump:
    """A tree, a journal, a delivery."""

    def __init__(
        self,
        sink: ScriptedSink,
        *,
        locations: Sequence[str] = ("http://a/x",),
        options: DeliveryOptions | None = None,
        limits: Limits | None = None,
        journal: MemoryReadings | None = None,
        gaps: bool = True,
    ) -> None:
        self.run = FakeRuntime()
        self.tree = SmapInstance(ROOT, now=self.run.clock.wall_ms)
        if journal is None:
            journal = MemoryReadings(now_ms=self.run.clock.wall_ms)
        self.journal = journal
        self.tree.attach(self.journal)
        self.stream = self.tree.add_timeseries("/s", "s", "V")
        self.tree.add_timeseries("/t", "t", "V")
        self.sink, self.source = sink, PlainSource(gaps)
        self.missing: list[Gap] = []
        self.cursor = self.journal.cursor(str(NAME), None, Start.NEWEST, limits or Limits())
        self.delivery = Delivery(
            "report",
            self.cursor,
            self.source,
            sink,
            [Target(one, one) for one in locations],
            clock=self.run.clock,
            backoff=self.run.backoff(),
            faults=self.run.faults,
            options=options,
            missing=self.missing.extend,
        )

    def add(self, *values: int, path: str = "/s") -> None:
        """Readings, in one commit."""
        self.tree.add_many(path, [1_300_000_000 + value for value in values], list(values))
