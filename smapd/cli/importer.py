"""Sends readings of the past to a daemon: each once, in time order, without pushing others out.

Each batch is one ``POST /readings``, and durable before the next is sent; so fresh readings come in
between. What the daemon holds already is left out (`known`). A report keeps a
bounded number of readings of each stream for a consumer that is behind: after so many, the import
waits until the reports have delivered what came with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from smapd.errors import NotRunning, SmapError
from smapd.values import Json, Level

from .known import Item, Known
from .pause import pause as wait
from .peer import Answered, Peer

POST_S: Final = 60.0
"""How long one answer may take: it comes after a commit, and the disk may be slow."""
PATIENCE_S: Final = 600.0
"""How long a daemon may be away, or busy, before the import gives up."""
AT_ONCE: Final = 5_000
"""Readings of one stream that may wait in a report on our account; it keeps 10,000 in all."""
MOST_TEXT: Final = 1024 * 1024
"""Letters of texts in one body, which are up to twelve bytes each; a daemon takes 16 MiB."""
_FIRST_S: Final = 0.5
_LONGEST_S: Final = 15.0
_LOOK_S: Final = 1.0
_SETTLE_S: Final = 0.01
_AGAIN: Final = (429, 502, 503, 504, 507)

Batch = Mapping[str, Sequence[Item]]
"""Readings by path; each stream's are sent in the order of their times."""


class Importer:
    """One import into one daemon.

    ``note``: takes sentences for the operator. ``check``: leave out what the daemon holds.
    ``patient``: wait for reports. ``pause``: waits so many seconds.
    """

    def __init__(
        self,
        daemon: Peer,
        note: Callable[[str], None],
        *,
        check: bool = True,
        patient: bool = True,
        pause: Callable[[float], None] = wait,
    ) -> None:
        self.daemon, self._note, self._pause = daemon, note, pause
        daemon.timeout_s = POST_S
        self._known = Known(daemon) if check else None
        self._patient = patient
        self._ahead: dict[str, int] = {}
        self._doubtful = False  # something was sent, and no answer came
        self.added = 0
        """Readings that the daemon took."""
        self.there = 0
        """Readings that it held before."""

    def send(self, batch: Batch) -> None:
        """Have the daemon take all of it; durable when it returns.

        Waits for a daemon that is away or busy, and sends again what may not have got there.

        :raises NotRunning: if it stays away.
        :raises SmapError: with its sentence if it refuses the batch; nothing of that was taken.
        """
        ordered = {path: sorted(items, key=_time) for path, items in batch.items() if items}
        if not ordered:
            return
        fresh = self._retrying(lambda: self._missing(ordered), ordered)
        self.there += _count(ordered) - _count(fresh)
        if fresh:
            self._post(fresh)

    # --- inside

    def _missing(self, batch: Batch) -> dict[str, list[Item]]:
        if self._known is None:
            return {path: list(items) for path, items in batch.items()}
        left = {path: self._known.missing(path, items) for path, items in batch.items()}
        return {path: items for path, items in left.items() if items}

    def _post(self, batch: dict[str, list[Item]]) -> None:
        if _letters(batch) > MOST_TEXT and _count(batch) > 1:
            for half in _halves(batch):
                self._post(half)
            return
        if self._patient:
            self._let_reports_go(batch)
        body = {path: as_json(items) for path, items in batch.items()}
        try:
            left = self._retrying(lambda: self._sent(body, batch), batch)
        except Answered as error:
            if error.status != 413 or _count(batch) < 2:
                raise
            for half in _halves(batch):
                self._post(half)
            return
        for path, items in batch.items():
            self._ahead[path] = self._ahead.get(path, 0) + len(items)
        self.added += _count(batch) - left

    def _sent(self, body: dict[str, Json], batch: dict[str, list[Item]]) -> int:
        """Post it; how many of it were there already, after an attempt without an answer."""
        if self._doubtful and self._known is not None:
            before = _count(batch)
            batch = self._missing(batch)
            body = {path: as_json(items) for path, items in batch.items()}
            there = before - _count(batch)
            self.there += there
        else:
            there = 0
        if body:
            self.daemon.post("/readings", body)
            self._settle()
        return there

    def _settle(self) -> None:
        """Wait until the journal has committed what it had taken.

        :raises NotRunning: if the daemon was started anew meanwhile: it may have lost some of it.
        """
        first = self._journal()
        waited_s, step_s = 0.0, _SETTLE_S
        while first is not None:
            now = self._journal() if waited_s else first
            if now is None or now["commits"] < first["commits"]:
                raise NotRunning("the daemon was started anew.")
            # One commit may have been under way, without ours; the one behind it has them all.
            if not now["uncommitted"] or now["commits"] >= first["commits"] + 2:
                return
            if waited_s >= PATIENCE_S:
                why = now.get("error") or "the journal commits nothing"
                raise SmapError(f"{self.daemon.url}: {why}.")
            self._pause(step_s)
            waited_s += step_s
            step_s = min(step_s * 1.5, _LOOK_S)

    def _journal(self) -> dict[str, Any] | None:
        found = self._status().get("journal")
        has_all = isinstance(found, dict) and {"commits", "uncommitted"} <= found.keys()
        return found if has_all else None

    def _status(self) -> dict[str, Any]:
        found = self.daemon.get("/status")
        return found if isinstance(found, dict) else {}

    def _retrying(self, f: Callable[[], Any], batch: Batch) -> Any:
        waited_s, next_s, told = 0.0, _FIRST_S, False
        while True:
            try:
                found = f()
            except (NotRunning, Answered) as error:
                if isinstance(error, Answered) and error.status not in _AGAIN:
                    raise
                # Whether it was taken is not known where no answer came.
                if isinstance(error, NotRunning):
                    self._doubtful = True
                    if self._known is not None:
                        self._known.forget(batch)
                if waited_s >= PATIENCE_S:
                    raise
                if not told:
                    self._note(f"{error.message} Waiting for it.")
                    told = True
                asked = error.retry_after_s if isinstance(error, Answered) else None
                step_s = max(next_s, min(asked or 0.0, 60.0))
                self._pause(step_s)
                waited_s += step_s
                next_s = min(next_s * 1.5, _LONGEST_S)
            else:
                self._doubtful = False
                return found

    # --- reports that are behind

    def _let_reports_go(self, batch: Batch) -> None:
        """Wait, once a stream has so many on their way, until the reports have delivered them."""
        worst = max(self._ahead.get(path, 0) + len(items) for path, items in batch.items())
        if worst <= AT_ONCE:
            return
        self._ahead.clear()
        behind = {r["uuid"]: (r["readings"], r["waiting"]) for r in self._active() if r["waiting"]}
        told = False
        while behind:
            seen = {report["uuid"]: report for report in self._active()}
            for uuid, (sent, waiting) in list(behind.items()):
                now = seen.get(uuid)
                if now is None or not now["waiting"] or now["readings"] - sent >= waiting:
                    del behind[uuid]
                elif now["readings"] < sent:  # the daemon was started anew, and counts from 0
                    behind[uuid] = (now["readings"], now["waiting"])
            if not behind:
                return
            if not told:
                name = seen[next(iter(behind))].get("name", "a report")
                self._note(
                    f"Waiting for {name}, which has readings to deliver. (--no-wait goes on, and "
                    "the oldest that wait may be lost to it.)"
                )
                told = True
            self._pause(_LOOK_S)

    def _active(self) -> list[dict[str, Any]]:
        """The reports that deliver, as /status shows them."""
        found = self._retrying(self._status, {}).get("reports")
        shown = found if isinstance(found, list) else []
        return [
            report
            for report in shown
            if isinstance(report, dict)
            and report.get("state") not in ("paused", "stopped", "removed")
            and {"uuid", "readings", "waiting"} <= report.keys()
        ]


def as_json(items: Sequence[Item]) -> dict[str, Json]:
    """One stream of a ``POST /readings`` body. JSON has no NaN: null, and the word beside it."""
    readings: list[list[Json]] = []
    unsaid: list[list[Json]] = []
    for i, (ms, value, _quality, seqno) in enumerate(items):
        if isinstance(value, float) and not math.isfinite(value):
            word = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
            unsaid.append([i, word])
            value = None
        readings.append([ms, value] if seqno is None else [ms, value, seqno])
    body: dict[str, Json] = {"Readings": readings}
    if unsaid:
        body["NonFinite"] = unsaid
    if any(item.quality is not None for item in items):
        body["Quality"] = [
            [Level.GOOD.label, ""] if q is None else [q.level.label, q.reason]
            for q in (item.quality for item in items)
        ]
    return body


def _time(item: Item) -> int:
    return item.ms


def _count(batch: Batch) -> int:
    return sum(map(len, batch.values()))


def _letters(batch: Batch) -> int:
    return sum(
        len(item.value) for items in batch.values() for item in items if isinstance(item.value, str)
    )


def _halves(batch: dict[str, list[Item]]) -> list[dict[str, list[Item]]]:
    """Two batches of about half the size, in order."""
    if len(batch) > 1:
        paths = list(batch)
        middle = len(paths) // 2
        return [{p: batch[p] for p in part} for part in (paths[:middle], paths[middle:])]
    ((path, items),) = batch.items()
    middle = len(items) // 2
    return [{path: items[:middle]}, {path: items[middle:]}]
