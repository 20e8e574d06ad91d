"""The recorded scenarios of reports, played on ours: content and order, not request boundaries."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from smapd import loader
from smapd.config import resolve
from smapd.reports import Definition
from smapd.testing import MemoryReadings, RecordingSink
from smapd.values import Accepted, Outcome, Payload, Retry

from .house import House, got

GOLDEN = Path(__file__).parent.parent / "golden"
SINK = "9"
T0_S = 1.0  # a commit each second, the first a second after the start, as the original flushed

MENDED = {
    ("values", "/instrument0/sensor0"): (
        ([1300000008000, 8], [1300000008900, 8]),  # a float keeps its milliseconds
        ([1300000006000, 2**70], None),  # beyond 64 bits: refused
    ),
    ("values", "/instrument0/double"): (
        ([1300000002000, 1e300], [[1300000001000, 2.0], [1300000002000, 1e300]]),  # an int fits
    ),
}
"""What the Mend table changes: (recorded, ours); None: it does not come."""


def scenarios() -> dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
    found: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
    for line in (GOLDEN / "reports.jsonl").read_text().splitlines():
        one = json.loads(line)
        if one.get("header"):
            found[one["scenario"]] = (one, [])
        else:
            found[one["scenario"]][1].append(one)
    return found


SCENARIOS = scenarios()


class World:
    """The places that reports go to, and whether each answers."""

    def __init__(self) -> None:
        self.is_down = False
        self.replies: dict[str, int] = {}
        self.accepted: list[tuple[str, Payload]] = []

    def sink(self, definition: Definition) -> RecordingSink:
        world = self

        class Sink(RecordingSink):
            def answer(self, payload: Payload, location: str) -> Outcome:
                path = "/" + location.partition("://")[2].partition("/")[2]
                if world.is_down:
                    return Retry(None, "connection refused")
                if world.replies.get(path, 200) != 200:
                    return Retry(None, "it answered 500", 500)
                world.accepted.append((path, payload))
                return Accepted()

        return Sink()


def start(scenario: dict[str, Any], folder: Path, before: House | None, world: World) -> House:
    """One daemon of the scenario's config, its drivers set up."""
    file = folder / "conf.ini"
    text = scenario["config"].replace("{SINK}", SINK).replace("{SCRIPT}", str(folder / "script"))
    file.write_text(text)
    inst = loader.load(file)
    sections = [(other.name, resolve(other)) for other in inst.plan.others]
    return House(sections, tree=inst, before=before, commits_at_once=False, make=world.sink)


def play(name: str, folder: Path) -> tuple[World, MemoryReadings]:
    scenario, _ = SCENARIOS[name]
    world, house = World(), None
    steps = [(step["t"], step["do"], step) for step in scenario["steps"]]
    now_s = 0.0
    next_flush_s = T0_S
    for at_s, do, _step in [*steps, (steps[-1][0] + 70.0, "end", {})]:
        while next_flush_s <= at_s:
            assert house is not None
            house.run.advance(next_flush_s - now_s)
            house.journal.commit()
            now_s, next_flush_s = next_flush_s, next_flush_s + 1.0
        if house is not None:
            house.run.advance(at_s - now_s)
        now_s = at_s
        if do == "start the daemon":
            house = start(scenario, folder, house, world)
        elif house is not None:
            step_of(house, world, do)
    assert house is not None
    return world, house.journal


def step_of(house: House, world: World, do: Any) -> None:
    if isinstance(do, str):
        words = do.split()
        if do in ("sink down", "sink up"):
            world.is_down = do == "sink down"
        elif words[0] == "sink":
            world.replies[words[1]] = int(words[3])
        elif do.startswith("stop the daemon"):
            house.journal.commit()  # a clean stop loses nothing
            house.stop()
        elif do == "DELETE":
            (uuid,) = house.reports.uuids()
            got(house.reports.delete(uuid))
        else:
            assert do == "end", do
    elif "add" in do:
        path, when, value = do["add"]
        house.tree.add("/instrument0" + path, when, value)
    elif "meta" in do:
        path, key, value = do["meta"]
        house.tree.set_metadata(
            "/instrument0" + path if path != "/" else "/instrument0", {key: value}
        )
    elif "POST /reports" in do:
        text = json.dumps(do["POST /reports"]).replace("{SINK}", SINK)
        got(house.reports.add(json.loads(text), local=True))
    else:
        raise AssertionError(do)


def readings(bodies: list[Any], path: str) -> list[Any]:
    return [r for body in bodies for r in body.get(path, {}).get("Readings", ())]


def mended(name: str, path: str, found: list[Any]) -> list[Any]:
    for recorded, ours in MENDED.get((name, path), ()):
        at = found.index(recorded)
        if ours is None:
            found[at : at + 1] = []
        elif isinstance(ours[0], list):
            found[at : at + 1] = ours
        else:
            found[at] = ours
    return found


def whole(body: Any, path: str) -> Any:
    """A node as it was told whole, without its readings; None where it was not."""
    node = {key: value for key, value in body[path].items() if key not in ("uuid", "Readings")}
    return node or None


JSON_SCENARIOS = sorted(set(SCENARIOS) - {"formats"})


@pytest.fixture(autouse=True)
def golden_drivers(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(GOLDEN / "configs"))
    yield
    sys.modules.pop("golden_drivers", None)


@pytest.mark.parametrize("name", JSON_SCENARIOS)
def test_a_recorded_scenario_brings_the_same_readings_and_metadata(
    name: str, tmp_path: Path
) -> None:
    """SM-26, SM-27, SM-29, SM-30: per consumer and stream, in the recorded order."""
    world, _ = play(name, tmp_path)
    recorded = [one for one in SCENARIOS[name][1] if one["replied"] == 200]
    places = {one["path"] for one in recorded}
    if name == "fallback":  # one consumer, reached by several ways
        places = {""}

    for place in places:
        theirs = [one["body"] for one in recorded if not place or one["path"] == place]
        ours = [json.loads(p.body) for path, p in world.accepted if not place or path == place]
        paths = {path for body in theirs for path in body}
        assert {path for body in ours for path in body} == paths

        for path in paths:
            assert readings(ours, path) == mended(name, path, readings(theirs, path)), path
            uuids = {body[path].get("uuid") for body in (*ours, *theirs) if path in body}
            assert len(uuids) == 1, path
            told = [w for body in ours if path in body and (w := whole(body, path))]
            asked = [w for body in theirs if path in body and (w := whole(body, path))]
            assert told[0] == asked[0], path
            assert told[-1] == asked[-1], path

        assert ours[0].keys() == theirs[0].keys()
        if not _restarted(name):
            assert_metadata_comes_first(ours)


def assert_metadata_comes_first(bodies: list[Any]) -> None:
    """No reading before its stream, and every collection above it, went out whole."""
    told: set[str] = set()
    for body in bodies:
        told |= {path for path in body if whole(body, path)}
        for path in body:
            above = path
            while above != "/":
                assert above in told, path
                above = above[: above.rfind("/")] or "/"


def _restarted(name: str) -> bool:
    return name.startswith("restart")


def test_the_first_report_scenario_has_the_recorded_bodies(tmp_path: Path) -> None:
    """SM-26: here even the boundaries fall together."""
    world, _ = play("first_report", tmp_path)

    assert [json.loads(payload.body) for _, payload in world.accepted] == [
        one["body"] for one in SCENARIOS["first_report"][1]
    ]


def test_each_recorded_format_brings_all_readings(tmp_path: Path) -> None:
    """SM-28: json, gzip-json, csv and gzip-avro on the same data."""
    import gzip

    world, _ = play("formats", tmp_path)
    sent = {
        place: [p for path, p in world.accepted if path == place]
        for place in ("/json", "/gzip-json", "/csv", "/gzip-avro")
    }
    recorded = [one["body"] for one in SCENARIOS["formats"][1] if one["path"] == "/json"]

    plain = [json.loads(payload.body) for payload in sent["/json"]]
    packed = [json.loads(gzip.decompress(payload.body)) for payload in sent["/gzip-json"]]

    assert plain == recorded
    assert packed == recorded
    assert b"".join(payload.body for payload in sent["/csv"]).count(b"\n") == 6
    assert len(sent["/gzip-avro"]) == len(recorded)
