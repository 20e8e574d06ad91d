"""What assets promise on every event log: one history, also over a restart, and one life each."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from smapd.core import SmapInstance
from smapd.errors import AssetUnknown, StorageFull
from smapd.testing import FakeRuntime, MemoryDefinitions
from smapd.twin.twin import Twin

from ..twin.things import ROOT, PlainTypes, Thing


class Daemon:
    """A twin on the engine's log; ``again`` is the next start, with these assets in the config."""

    def __init__(
        self, engine: Any, *assets: str, definitions: MemoryDefinitions | None = None
    ) -> None:
        self.engine = engine
        self.run = getattr(engine, "run", None) or FakeRuntime()
        self.definitions = MemoryDefinitions() if definitions is None else definitions
        self.tree = SmapInstance(ROOT, now=self.run.clock.wall_ms)
        for asset in assets:
            self.tree.add_collection(f"/{asset}", asset=asset)
        run = self.run
        self.twin = Twin(
            self.tree,
            engine.log,
            self.definitions,
            PlainTypes(),
            run.clock,
            run.faults,
            run.backoff(),
        )
        engine.result(
            Deferred.fromCoroutine(self.twin.open({asset: f"/{asset}" for asset in assets}, ()))
        )

    def again(self, *assets: str) -> Daemon:
        self.twin.close()
        self.engine.restart()
        return Daemon(self.engine, *assets, definitions=self.definitions)

    def ids(self) -> list[str]:
        return [asset["id"] for asset in self.twin.assets()]

    def say(self, asset: str, words: str = "hi") -> int:
        return int(self.engine.result(self.twin.publish(asset, "Said", {"words": words})))

    def follower(self) -> Thing:
        thing = Thing(self, "f")
        assert thing.follow()["op"] == "ok"
        return thing


def test_assets_are_known_again_after_a_restart(engine: Any) -> None:
    daemon = Daemon(engine, "a", "b")
    engine.result(daemon.twin.create({"id": "c"}))

    again = daemon.again("a", "b")

    assert again.ids() == ["a", "b", "c"]
    assert again.twin.asset("c")["path"] == "/assets/c"


def test_what_is_gone_is_told_once(engine: Any) -> None:
    daemon = Daemon(engine, "a", "b")
    assert daemon.follower().assets() == [("created", "a"), ("created", "b")]

    again = daemon.again("b", "c")

    assert sorted(again.follower().assets()) == [
        ("created", "b"),
        ("created", "c"),
        ("deleted", "a"),
    ]
    assert again.again("b", "c").follower().assets() == [("created", "b"), ("created", "c")]


def test_events_outlive_a_restart_and_come_until_they_are_acknowledged(engine: Any) -> None:
    daemon = Daemon(engine, "a")
    assert [daemon.say("a") for _ in range(5)] == [0, 1, 2, 3, 4]
    thing = daemon.follower()
    thing.assets()
    assert thing.events() == [("a", n) for n in range(5)]
    thing.ack("a", 0, 1, 3)

    thing = daemon.again("a").follower()
    thing.assets()

    assert thing.events() == [("a", 2), ("a", 3), ("a", 4)]


def test_a_life_ends_with_the_asset(engine: Any) -> None:
    daemon = Daemon(engine)
    engine.result(daemon.twin.create({"id": "c"}))
    daemon.say("c")
    engine.result(daemon.twin.delete("c"))
    with pytest.raises(AssetUnknown):
        daemon.say("c")

    engine.result(daemon.twin.create({"id": "c"}))

    assert daemon.twin.asset("c")["base"] == 1
    assert daemon.say("c") == 1
    again = daemon.again()
    events, behind = engine.result(again.twin.events("c"))
    assert ([event["offset"] for event in events], behind) == ([1], 2)


def test_a_full_disk_makes_nothing_half(engine: Any) -> None:
    daemon = Daemon(engine, "a")
    engine.fill()

    with pytest.raises(StorageFull):
        engine.result(daemon.twin.create({"id": "c"}))
    with pytest.raises(StorageFull):
        daemon.say("a")

    engine.free()
    daemon.run.advance(61)
    assert daemon.ids() == ["a"]
    assert daemon.say("a") == 0


def test_a_publish_is_not_doubled_over_a_restart(engine: Any) -> None:
    daemon = Daemon(engine, "a")
    bom = Thing(daemon, "bom")
    assert bom.publish("a", dedupe="one")["offset"] == 0

    again = daemon.again("a")

    assert Thing(again, "bom").publish("a", dedupe="one")["offset"] == 0
    assert again.twin.asset("a")["next"] == 1
