"""Things that run inside the daemon: each on its own threads, whatever it does."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from smapd.errors import ConfigError, MissingExtra, SecretUnreadable
from smapd.runtime.program import Flag, Mailbox, seconds
from smapd.twin import (
    EmbeddedThings,
    EventTypes,
    Follower,
    FollowerCallbacks,
    Integrator,
    IntegratorCallbacks,
    NamedEventMixin,
    ThingRunner,
    ThingSection,
)
from smapd.twin.embedded import STOP_S, check_kind, find_thing, made
from tests.twin.programs import Home, Said, home, until

free = Mailbox[Any]  # what tests hand to a class that the daemon makes


class Talker(IntegratorCallbacks, ThingRunner):
    """Says one word of each asset."""

    made: list[Talker] = []  # emptied by the fixture

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config=config)
        self.config = config
        self.integrator = Integrator(config["integrator"], self.client, self)
        self.made.append(self)
        self.ends: list[Any] = []

    def on_startup(self) -> None:
        self.integrator.start()

    def main(self) -> None:
        self.wait_for_shutdown(30)

    def on_shutdown(self, exc_info: Any) -> None:
        self.ends.append(exc_info)
        self.integrator.stop()

    def on_asset_created(self, asset_id: str) -> None:
        self.integrator.publish_event(Said(asset_id, data={"words": self.config["config"]["word"]}))

    def on_asset_deleted(self, asset_id: str) -> None:
        pass


class Listener(NamedEventMixin, FollowerCallbacks, ThingRunner):
    """Keeps what was said; takes two configs, as older programs do."""

    made: list[Listener] = []  # emptied by the fixture

    def __init__(self, config: dict[str, Any], agent_config: dict[str, Any]) -> None:
        super().__init__(config=agent_config)
        self.follower = Follower(config["follower"], self.client, self)
        self.words: list[str] = []
        self.made.append(self)

    def on_startup(self) -> None:
        self.follower.start()

    def main(self) -> None:
        self.wait_for_shutdown()

    def on_shutdown(self, exc_info: Any) -> None:
        self.follower.stop()

    def on_asset_created(self, asset_id: str) -> None:
        pass

    def on_asset_deleted(self, asset_id: str) -> None:
        pass

    def do_said(self, event: Any) -> None:
        self.words.append(event.data["words"])
        self.follower.ack_event(event)


class Asks(Talker):
    """Asks how its threads are scheduled."""

    said: free = Mailbox()

    def main(self) -> None:
        self.said.put(("main", os.sched_getscheduler(0)))
        super().main()

    def on_asset_created(self, asset_id: str) -> None:
        self.said.put(("callback", os.sched_getscheduler(0)))


class Failing(ThingRunner):
    """Fails as often as it is told."""

    lives: list[int] = []  # emptied by the fixture

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config=config)

    def main(self) -> None:
        self.lives.append(1)
        if len(self.lives) < 3:
            raise ValueError("no luck")
        self.wait_for_shutdown()


class Hanging(ThingRunner):
    """Does not end."""

    until_free = Flag()

    def main(self) -> None:
        self.until_free.wait(60)

    def stop(self, timeout: float | None = None) -> bool:
        self.until_free.wait(60)
        return False


@pytest.fixture(autouse=True)
def _module(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = types.ModuleType("plant_things")
    for one in (Talker, Listener, Asks, Failing, Hanging):
        setattr(module, one.__name__, one)
        monkeypatch.setattr(one, "__module__", "plant_things")
    module.nothing = 5  # type: ignore[attr-defined]
    module.Said = Said  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "plant_things", module)
    for kept in (Talker.made, Listener.made, Failing.lives):
        kept.clear()
    Hanging.until_free.clear()
    yield
    Hanging.until_free.set()


def section(header: str, kind: str = "", **options: Any) -> ThingSection:
    kind = kind or header.partition(" ")[0]
    values = {"type": "plant_things.Talker", "T2": False, "Assets": ("*",), **options}
    return ThingSection(kind, header, lambda: values)


def things(at: Home, *sections: ThingSection, types_: EventTypes | None = None) -> EmbeddedThings:
    run = at.house.run
    run.threads.to_reactor = at.to_reactor  # type: ignore[method-assign]
    made_ = EmbeddedThings(at.house.twin.hub, run, types_)
    for one in sections:
        made_.add(one)
    at.to_reactor(made_.start)
    return made_


def stopped(at: Home, all_: EmbeddedThings) -> list[str]:
    """Stop them, and wait: the names left behind."""
    left: Mailbox[list[str]] = Mailbox()
    at.to_reactor(lambda: _none(all_.stop().addCallback(left.put)))
    return left.take(10)


def _none(d: Deferred[Any]) -> None:
    return None


def state(at: Home, all_: EmbeddedThings, n: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = at.to_reactor(all_.status)[n]
    return found


@pytest.mark.real
def test_an_integrator_and_a_follower_run_in_the_daemon() -> None:
    """IN-01, FO-01, IN-36: made, started, told of assets and stopped; own keys arrive."""
    with home("a", "b") as at:
        all_ = things(
            at,
            section("integrator radio", Word="hello"),
            section("follower desk", type="plant_things.Listener", EventModules=("plant_things",)),
        )
        until(lambda: Listener.made and len(Listener.made[0].words) == 2)
        shown = at.to_reactor(all_.status)
        left = stopped(at, all_)
        after = at.to_reactor(all_.status)

    assert Listener.made[0].words == ["hello", "hello"]
    assert [one["state"] for one in shown] == ["running", "running"]
    assert {one["section"]: one["connected"] for one in shown} == {
        "integrator radio": True,
        "follower desk": True,
    }
    assert left == []
    assert [one["state"] for one in after] == ["stopped", "stopped"]
    assert Talker.made[0].ends == [None]


@pytest.mark.real
@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="only Linux schedules so")
def test_the_threads_of_a_thing_do_not_take_the_cpu_from_the_reactor() -> None:
    """A flood of one touches neither the daemon nor its neighbours."""
    with home("a") as at:
        all_ = things(at, section("integrator asks", type="plant_things.Asks"))
        told = {Asks.said.take(10), Asks.said.take(10)}
        reactor = at.to_reactor(lambda: os.sched_getscheduler(0))
        stopped(at, all_)

    assert told == {("main", os.SCHED_BATCH), ("callback", os.SCHED_BATCH)}
    assert reactor == os.SCHED_OTHER


@pytest.mark.real
def test_one_that_raises_is_made_anew_with_backoff() -> None:
    """IN-11: after 1 s, and 1.5 s; the status says why."""
    with home() as at:
        all_ = things(at, section("integrator x", type="plant_things.Failing"))
        all_._things["integrator x"]._backoff._first_s = 0.01  # type: ignore[attr-defined]
        all_._things["integrator x"]._backoff._pause_s = 0.01  # type: ignore[attr-defined]
        until(lambda: len(Failing.lives) == 3 and state(at, all_)["state"] == "running")
        shown = state(at, all_)
        left = stopped(at, all_)

    assert (shown["starts"], shown["failures"], left) == (3, 2, [])


@pytest.mark.real
@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"type": "plant_things.Talkr"}, "Did you mean plant_things.Talker?"),
        ({"type": "no_such_module.X"}, "there is no module no_such_module"),
        ({"type": "plant_things.Failing", "EventModules": ("gone",)}, "the event module gone"),
        ({"type": "plant_things.Listener"}, "those of a follower. Write [follower bad]."),
        ({}, "KeyError: 'word'|"),
    ],
)
def test_one_that_cannot_be_made_says_why_and_stands_alone(
    options: dict[str, Any], why: str
) -> None:
    """Bad input: in its status, and its neighbour runs."""
    with home("a") as at:
        all_ = things(
            at,
            section("integrator bad", **options),
            section("integrator good", Word="x"),
            types_=EventTypes(),
        )
        until(lambda: state(at, all_, 1)["state"] == "running")
        if options:
            until(lambda: state(at, all_)["state"] == "failed")
        shown = state(at, all_)
        assert stopped(at, all_) == []

    assert why.partition("|")[0] in shown["why"] or not options
    assert "nothing was started" not in shown["why"]


@pytest.mark.real
def test_one_that_hangs_holds_up_the_stop_for_its_time_alone() -> None:
    """A hang touches neither the daemon nor its neighbours; it is named."""
    with home("a") as at:
        all_ = things(
            at,
            section("integrator stuck", type="plant_things.Hanging"),
            section("integrator good", Word="x"),
        )
        until(lambda: state(at, all_)["state"] == "running" and state(at, all_, 1)["connected"])
        began_s = seconds()
        left = stopped(at, all_)
        took_s = seconds() - began_s

    assert left == ["thing-stuck", "thing-stuck-calls"]
    assert took_s < STOP_S + 2
    assert Talker.made[0].ends == [None]


class Stuck(Talker):
    """Its callback does not return, and main fails."""

    fails = False
    hangs = Flag()

    def main(self) -> None:
        self.wait_for_shutdown(0.05)
        if self.fails:
            raise ValueError("no luck")
        super().main()

    def on_asset_created(self, asset_id: str) -> None:
        self.hangs.set()
        Hanging.until_free.wait(60)


@pytest.mark.real
def test_a_callback_that_hangs_is_left_behind_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the thing stops as it should."""
    monkeypatch.setattr(sys.modules["plant_things"], "Stuck", Stuck, raising=False)
    with home("a") as at:
        all_ = things(at, section("integrator x", type="plant_things.Stuck"))
        assert Stuck.hangs.wait(10)
        left = stopped(at, all_)
        shown = state(at, all_)

    assert left == ["thing-x-calls"]
    assert shown["state"] == "stopped"
    assert Talker.made[0].ends == [None]


@pytest.mark.real
def test_one_whose_callback_hangs_is_not_made_anew_before_it_returns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bounded: a thing has two threads, however often it fails."""
    monkeypatch.setattr(sys.modules["plant_things"], "Stuck", Stuck, raising=False)
    monkeypatch.setattr(Stuck, "fails", True)
    monkeypatch.setattr("smapd.twin.embedded.LOOK_S", 0.01)
    with home("a") as at:
        all_ = things(at, section("integrator x", type="plant_things.Stuck"))
        all_._things["integrator x"]._backoff._pause_s = 0.01  # type: ignore[attr-defined]
        until(lambda: "a callback of it still runs" in state(at, all_)["why"])
        starts = state(at, all_)["starts"]
        Hanging.until_free.set()
        until(lambda: state(at, all_)["starts"] == 2)
        assert stopped(at, all_) == []

    assert starts == 1


@pytest.mark.real
def test_a_section_can_be_added_and_removed_while_others_run() -> None:
    """For a reload: one section at a time."""
    with home("a") as at:
        all_ = things(at, section("integrator one", Word="x"))
        at.to_reactor(all_.add, section("integrator two", Word="y"))
        until(lambda: len(Talker.made) == 2 and state(at, all_, 1)["state"] == "running")
        left: Mailbox[list[str]] = Mailbox()
        at.to_reactor(lambda: _none(all_.remove("integrator one").addCallback(left.put)))

        assert left.take(10) == []
        assert [one["section"] for one in at.to_reactor(all_.status)] == ["integrator two"]
        assert stopped(at, all_) == []


def test_two_sections_of_one_name_are_refused() -> None:
    """They would share their places in the events."""
    from tests.twin.things import House

    house = House()
    all_ = EmbeddedThings(house.twin.hub, house.run)
    all_.add(section("integrator x"))

    with pytest.raises(ConfigError, match=r"\[integrator x\] has the name x already"):
        all_.add(section("follower x"))


def test_a_secret_that_cannot_be_read_stops_that_section_alone() -> None:
    """What fails in the world is shown and retried."""

    def resolve() -> dict[str, Any]:
        raise SecretUnreadable("environment variable X is not set.")

    from tests.twin.things import House

    house = House()
    all_ = EmbeddedThings(house.twin.hub, house.run)
    all_.add(ThingSection("integrator", "integrator x", resolve))
    thing = all_._things["integrator x"]
    thing._stopping.set()

    with pytest.raises(SecretUnreadable):
        thing._run_once()


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("plant_things.nothing", ConfigError, "it is no ThingRunner"),
        ("plant_things.Gone", ConfigError, "there is no such class"),
        ("Talker", ConfigError, "not a class. Write package.module.Class"),
        ("", ConfigError, "not a class"),
        ("gone.module.X", ConfigError, "there is no module gone"),
    ],
)
def test_a_type_that_is_no_class_is_named(name: str, error: type[Exception], text: str) -> None:
    """Bad input: the key type."""
    with pytest.raises(error, match=text):
        find_thing(name, "integrator x")


def test_a_missing_package_of_the_class_is_named(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bad input: and how to get it."""
    (tmp_path / "needs_sap.py").write_text("import no_such_sap_client\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(MissingExtra, match="no_such_sap_client, which is not installed"):
        find_thing("needs_sap.X")


def test_a_class_is_found_and_made_as_it_wants_its_config() -> None:
    """IN-36: one config, or two as older programs have it."""
    config = {"name": "x", "integrator": {}, "follower": {}, "config": {}}

    assert find_thing("plant_things:Talker") is Talker
    assert isinstance(made(Talker, config), Talker)
    assert isinstance(made(Listener, config), Listener)
    assert made(Hanging, config).client.name == "x"


def test_the_class_of_another_kind_is_refused_with_the_section_it_wants() -> None:
    """Bad input: in place of a KeyError of its own; one that is both may be anywhere."""
    both = type("Both", (FollowerCallbacks, IntegratorCallbacks, ThingRunner), {})

    with pytest.raises(ConfigError, match=r"of an integrator. Write \[integrator x\]"):
        check_kind(Talker, section("follower x"))
    with pytest.raises(ConfigError, match=r"of a follower. Write \[follower x\]"):
        check_kind(Listener, section("integrator x"))
    for found, header in (
        (Talker, "integrator x"),
        (Listener, "follower x"),
        (Talker, "thing x"),
        (both, "follower x"),
        (Failing, "follower x"),
    ):
        check_kind(found, section(header))


def test_one_that_has_nothing_left_to_do_is_not_left_behind() -> None:
    """Its thread may take a moment more to end, but holds nothing up."""
    from tests.twin.things import House

    house = House()
    all_ = EmbeddedThings(house.twin.hub, house.run)
    all_.add(section("integrator x", type="gone.X"))
    thing = all_._things["integrator x"]

    class Ending:
        """A thread that is about to end."""

        def is_alive(self) -> bool:
            return True

    told: list[list[str]] = []
    thing._thread = Ending()  # type: ignore[assignment]
    thing._stopping.set()
    all_.stop().addCallback(told.append)
    assert told == []
    thing._live()
    house.run.advance(0)

    assert told == [[]]
