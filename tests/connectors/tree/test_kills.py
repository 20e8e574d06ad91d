"""A daemon with a connector that is killed again and again: what its server got.

The driver notes each value it adds, with the time; events count once their POST was answered. Value
= life * 1,000,000 + count.
"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import pytest

from smapd.testing.vantiq import VantiqServer
from tests.connectors.tree.plant import TREE, run, running, section
from tests.reports.test_kills import COMMIT_S, DRIVER, WINDOW_S

pytestmark = pytest.mark.real


async def lives(home: Path, kills: int, seed: int) -> None:
    """Live and be killed so often, then hold what arrived against what was added."""
    (home / "noting.py").write_text(DRIVER)
    notes = home / "notes"
    chance = random.Random(seed)
    killed_at: list[float] = []
    acknowledged: list[int] = []
    notified: list[dict[str, Any]] = []
    async with VantiqServer() as server:
        server.listen(lambda what: notified.append(what.get("notification", {})))
        text = TREE + section(server, "Notify = /d/+", "Assets = *", "Sequence = yes")
        text += f"[/d]\ntype = noting.Noting\nNotes = {notes}\n"
        for life in range(kills + 1):
            more = {"path": [home], "data_dir": home / "data", "env": {"LIFE": str(life)}}
            async with running(text, **more) as plant:
                found = (await plant.get("/status")).json()["events"]
                assert (found["notes"], found["lost"]) == ([], 0), "a kill is no damage"
                publishing = asyncio.create_task(publish(plant, acknowledged, life))
                if life < kills:
                    # the moment of the kill is what is tried
                    await asyncio.sleep(0.3 + 1.5 * chance.random())
                    await asyncio.to_thread(plant.daemon.kill)
                    killed_at.append(time.monotonic())
                else:
                    await asyncio.sleep(0.5)
                    publishing.cancel()
                    await asyncio.gather(publishing, return_exceptions=True)
                    await plant.becomes(lambda s: s["sources"][0]["events"]["waiting"] == 0)
                    await asyncio.sleep(0.5)  # for the last readings
                    assert await plant.stop() == 0
                await asyncio.gather(publishing, return_exceptions=True)
        assert server.complaints == []
    judge_readings(notified, notes, killed_at, kills)
    judge_events(notified, acknowledged, kills)


async def publish(plant: Any, acknowledged: list[int], life: int) -> None:
    """Publish events until the daemon is gone."""
    for n in range(100_000):
        try:
            acknowledged.append(await plant.publish("hall-1", "Made", {"life": life, "n": n}))
        except (OSError, AssertionError, ValueError):
            return


def judge_readings(
    notified: list[dict[str, Any]], notes: Path, killed_at: list[float], kills: int
) -> None:
    batches = [one for one in notified if one.get("path") == "/d/n"]
    by_seq: dict[int, int] = {}
    for one in batches:
        for i, (_ms, value) in enumerate(one["Readings"]):
            known = by_seq.setdefault(one["First"] + i, value)
            assert known == value, f"{one['First'] + i} came as two values"
    assert sorted(by_seq) == list(range(len(by_seq)))
    arrived = set(by_seq.values())
    for line in notes.read_text().splitlines():
        parts = line.split()
        if len(parts) == 2 and int(parts[0]) // 1_000_000 < kills:
            value, at = int(parts[0]), float(parts[1])
            if at < killed_at[value // 1_000_000] - COMMIT_S - WINDOW_S:
                assert value in arrived, f"{value}, added long before the kill, is lost"
    firsts = [one["First"] for one in batches]
    back = sum(b <= a for a, b in zip(firsts, firsts[1:], strict=False))
    assert back <= kills, f"{back} batches came again after {kills} kills"


def judge_events(notified: list[dict[str, Any]], acknowledged: list[int], kills: int) -> None:
    offsets = [one["offset"] for one in notified if one.get("asset") == "hall-1"]
    assert set(acknowledged) <= set(offsets), "an event that was acknowledged is lost"
    holes = sorted(set(range(max(offsets) + 1)) - set(offsets))
    assert not holes, f"events {holes} never came, though none of them was acknowledged"
    assert len(acknowledged) > kills
    back = sum(b <= a for a, b in zip(offsets, offsets[1:], strict=False))
    assert back <= kills, f"{back} batches of events came again after {kills} kills"


def test_three_kills_lose_nothing_and_repeat_at_most_one_batch(tmp_path: Path) -> None:
    """N-01: readings and events on their way to a source outlive a kill -9."""
    run(lives(tmp_path, kills=3, seed=20261120))


@pytest.mark.soak
def test_twenty_kills_lose_nothing_and_repeat_at_most_one_batch(tmp_path: Path) -> None:
    """N-01: the full count."""
    run(lives(tmp_path, kills=20, seed=6), within_s=400)
