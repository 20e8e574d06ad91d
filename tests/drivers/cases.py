"""Recorded cases of a driver family: a folder each, and no code for a new one.

``conf.ini`` is a config file with one driver, ``device.txt`` what the device answers, beat by beat,
``expected.json`` the readings that come of it, {path: [[ms, value or "bad: why"], …]}, and
``expected.err`` the sentence that is left at the end: of the config, a step or a poll. Without that
file there must be none. ``SMAPD_RECORD=1`` writes what came in place of comparing it.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable
from typing import Any, Protocol

from smapd.config import find_driver, load_plan
from smapd.errors import SmapError
from smapd.testing import DriverCase

MOST_SECONDS = 10_000


class Device(Protocol):
    """A device that answers what was recorded."""

    left: int
    """Answers that were not asked for yet."""


class FolderCases(DriverCase):
    """Plays the folders below ``testcases`` beside a test file; see ``cases``."""

    def connect(self, cls: type[Any], device: str) -> tuple[type[Any], Device]:
        """The driver, talking to a device that answers this; a family's test writes it."""
        raise NotImplementedError

    def play(self, case: pathlib.Path) -> tuple[dict[str, Any], str]:
        """(readings by path, the sentence that is left) of a case."""
        try:
            plan = load_plan(case / "conf.ini", tables=(), drivers=find_driver)
            (section,) = [s for s in plan.sections if s.kind == "driver"]
            assert section.driver is not None, section.fault
            text = (case / "device.txt").read_text("utf-8")
            cls, device = self.connect(section.driver, text)
            opts = {k: v for k, v in section.raw.items() if k != "type" and "/" not in k}
            self.load(cls, **opts)
            for _ in range(MOST_SECONDS):
                if not device.left:
                    break
                self.advance(1)
            assert not device.left, f"{device.left} answers were never asked for"
        except SmapError as error:
            return {}, str(error).replace(f"{case}{os.sep}", "")
        streams: dict[str, Any] = {}
        for stream in self.scope.streams:
            whole = self.journal.whole(stream.path)
            streams[stream.path.removeprefix(self.path)] = [
                [r.ms, r.value if r.value is not None else f"bad: {r.quality.reason}"]
                for r in whole
            ]
        (call,) = self.runtime.scheduler.status()
        return streams, call.get("error", "")

    def check(self, case: pathlib.Path) -> None:
        """Play it, and hold what came against what was expected."""
        streams, error = self.play(case)
        expected, sentence = case / "expected.json", case / "expected.err"
        if os.environ.get("SMAPD_RECORD") == "1":
            expected.write_text(_json(streams), "utf-8")
            sentence.unlink(missing_ok=True)
            if error:
                sentence.write_text(error + "\n", "utf-8")
        wanted = json.loads(expected.read_text("utf-8")) if expected.exists() else {}
        self.assertEqual(streams, wanted)
        self.assertEqual(error, sentence.read_text("utf-8").strip() if sentence.exists() else "")


def cases(where: pathlib.Path) -> Callable[[type[FolderCases]], type[FolderCases]]:
    """A class decorator: one test method for each folder in ``where``."""

    def fill(cls: type[FolderCases]) -> type[FolderCases]:
        for case in sorted(p for p in where.iterdir() if p.is_dir()):

            def test(self: FolderCases, case: pathlib.Path = case) -> None:
                self.check(case)

            setattr(cls, "test_" + case.name.replace(" ", "_"), test)
        return cls

    return fill


def _json(streams: dict[str, Any]) -> str:
    """One reading a line."""
    parts = []
    for path, rows in streams.items():
        lines = ",\n".join("  " + json.dumps(row) for row in rows)
        parts.append(f" {json.dumps(path)}: [\n{lines}\n ]" if rows else f" {json.dumps(path)}: []")
    return "{\n" + ",\n".join(parts) + "\n}\n"
