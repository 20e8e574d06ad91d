"""One source inside the daemon: sockets on one loop, the reactor on this thread, fake time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from smapd.connectors.tree.handler import UserHandlers
from smapd.connectors.vantiq import VantiqSettings
from smapd.connectors.vantiq.inside import REFUSED_S, VantiqPeer, error_of
from smapd.connectors.vantiq.probe import Health
from smapd.errors import AssetUnknown, ConfigError, SmapError
from smapd.runtime import Backoff, FaultLog
from smapd.testing.vantiq import Refuse, VantiqServer
from smapd.values import Accepted, Json, Problem, Retry
from tests.connectors.vantiq.harness import settings_of
from tests.runtime.conftest import Live

pytestmark = pytest.mark.real


class Inbound:
    """What the tree would say."""

    def __init__(self) -> None:
        self.asked: list[Json] = []
        self.published: list[Json] = []
        self.unknowns: list[Json] = []
        self.takes = True

    async def query(self, message: Mapping[str, Json], reply: Any) -> None:
        self.asked.append(dict(message))
        if "nix" in message:
            raise AssetUnknown("There is no asset nix.")
        if "empty" not in message:
            await reply.partial([{"n": 1}])
        await reply.complete()

    async def publish(self, message: Mapping[str, Json]) -> bool:
        self.published.append(dict(message))
        return self.takes

    async def unknown(self, message: Mapping[str, Json]) -> None:
        self.unknowns.append(dict(message))


class Rig:
    """A server, and a source of it, each on the loop of the daemon's sockets."""

    def __init__(self, live: Live) -> None:
        self.live, self.inbound = live, Inbound()
        self.server = VantiqServer()
        self.on_loop(self.server.start())
        self.asked: list[VantiqSettings | None] = []
        self.settings = settings_of(self.server)
        self.error: SmapError | None = None
        self.changes: list[str] = []
        self.faults = FaultLog(live.clock.seconds)

    def on_loop(self, coro: Any) -> Any:
        seen: list[Any] = []
        self.live.threads.to_loop(coro).addBoth(seen.append)
        self.live.until(lambda: seen)
        if hasattr(seen[0], "raiseException"):
            seen[0].raiseException()
        return seen[0]

    def peer(self, made: Callable[..., Any] | None = None) -> VantiqPeer:
        self.made = VantiqPeer(
            "pump",
            "[connector plant] source pump",
            settings=self._settings,
            made=made,
            inbound=self.inbound,
            health=Health(None),
            doors=self.live.threads,
            clock=self.live.clock,
            faults=self.faults,
            backoff=Backoff(lambda: 0.5),
            changed=lambda peer: self.changes.append(type(peer.state).__name__),
        )
        self.made.start()
        return self.made

    def _settings(self, refused: VantiqSettings | None) -> Deferred[VantiqSettings]:
        self.asked.append(refused)
        return fail(self.error) if self.error is not None else succeed(self.settings)

    def session(self) -> Any:
        found = self.on_loop(self.server.session("pump"))
        self.live.until(lambda: self.made.is_up)
        return found

    def sent(self, lines: Sequence[bytes]) -> Any:
        seen: list[Any] = []
        self.made.send(lines).addBoth(seen.append)
        self.live.until(lambda: seen)
        return seen[0]

    def close(self) -> None:
        done = self.made.stop()
        self.live.until(lambda: done.called)
        self.on_loop(self.server.stop())


@pytest.fixture
def rig() -> Iterator[Rig]:
    live = Live()
    rig = Rig(live)
    yield rig
    rig.close()
    live.close()


def test_lines_are_notifications_and_accepted_once_they_were_read(rig: Rig) -> None:
    """VQ-13."""
    rig.peer()
    session = rig.session()

    assert rig.sent([b'{"a":1}', b'{"b":[2]}']) == Accepted()

    assert list(session.notifications) == [{"a": 1}, {"b": [2]}]
    assert rig.made.status()["counters"]["notifications"] == 2


def test_without_a_connection_nothing_is_sent_and_it_is_said_why(rig: Rig) -> None:
    rig.peer()

    assert rig.sent([b"{}"]) == Retry(None, "not connected yet")


def test_queries_are_answered_by_the_tree_and_errors_carry_our_codes(rig: Rig) -> None:
    """VQ-14, VQ-15."""
    rig.peer()
    session = rig.session()

    answers = rig.on_loop(session.query({"x": 1}))
    assert [(one.status, one.body) for one in answers] == [(100, [{"n": 1}]), (200, [])]
    (empty,) = rig.on_loop(session.query({"empty": 1}))
    assert (empty.status, empty.body) == (204, None)
    (failed,) = rig.on_loop(session.query({"nix": 1}))
    assert failed.body == error_of(AssetUnknown("There is no asset nix."))
    assert failed.body["messageCode"] == "smapd.asset_unknown"
    assert rig.server.complaints == []


def test_publishes_reach_the_tree_in_order_and_the_rest_is_counted(rig: Rig) -> None:
    rig.inbound.takes = False
    rig.peer()
    session = rig.session()

    for n in range(20):
        rig.on_loop(session.publish({"n": n}))
    rig.live.until(lambda: len(rig.inbound.unknowns) == 20)

    assert [one["n"] for one in rig.inbound.published] == list(range(20))


def test_a_refused_token_is_tried_again_with_what_is_read_anew(rig: Rig) -> None:
    """401 is not hammered, and mends itself once somebody has changed the token."""
    good = rig.settings
    rig.settings = settings_of(rig.server, token="old")
    rig.peer()
    rig.live.until(lambda: rig.faults.status())  # said once the connection has ended
    assert "token is not valid" in rig.made.why_down
    assert len(rig.server.attempts) == 1
    rig.live.clock.advance(REFUSED_S - 1)
    assert len(rig.asked) == 1

    refused, rig.settings = rig.settings, good
    rig.live.clock.advance(2)
    rig.session()

    assert rig.asked[1] is refused
    assert rig.faults.status() == []
    assert rig.made.status()["counters"]["connected"] == 1


def test_settings_that_cannot_be_had_are_asked_for_again(rig: Rig) -> None:
    rig.error = SmapError("file /run/token: No such file or directory.")
    rig.peer()
    assert rig.made.problem == rig.error.message
    assert rig.made.status()["problem"] == rig.error.message

    rig.error = None
    rig.live.clock.advance(2)
    rig.session()

    assert rig.made.problem == ""
    assert rig.faults.status() == []


def test_a_class_that_cannot_be_used_is_no_reason_to_say_that_nothing_was_started(
    rig: Rig,
) -> None:
    problem = Problem("there is no Pumps in pumps.", section="connector plant", key="Handler")

    async def make(connection: Any) -> UserHandlers:
        raise ConfigError([problem])

    rig.peer(make)
    rig.live.until(lambda: rig.made.problem)

    assert rig.made.problem == str(problem)


def test_close_by_the_users_class_is_final(rig: Rig) -> None:
    """VQ-16."""

    async def make(connection: Any) -> UserHandlers:
        async def query(context: Any, message: Any) -> Any:
            if "tree" in message:
                return NotImplemented
            await connection.send_query_response(context, 204, None)
            await connection.close()

        return UserHandlers(query=query)

    rig.peer(make)
    session = rig.session()
    (answer,) = rig.on_loop(session.query({"tree": 1}))[-1:]
    assert answer.status == 200

    rig.on_loop(session.query({}))
    rig.live.until(lambda: rig.changes[-1] == "Closed")
    rig.live.clock.advance(1000)

    assert len(rig.server.attempts) == 1
    assert rig.made.why_down == "it has ended"


def test_a_link_that_is_lost_in_a_batch_is_a_retry_and_comes_back(rig: Rig) -> None:
    rig.peer()
    session = rig.session()
    session.freeze()
    seen: list[Any] = []
    rig.made.send([b'{"a":1}']).addBoth(seen.append)
    rig.on_loop(_drop(session))
    rig.live.until(lambda: seen)

    assert isinstance(seen[0], Retry)
    again = rig.on_loop(rig.server.session("pump", after=session))
    rig.live.until(lambda: rig.made.is_up)
    assert rig.sent([b'{"a":1}']) == Accepted()
    assert again.secret == session.secret


async def _drop(session: Any) -> None:
    session.drop()


def test_a_stop_ends_what_is_tried_at_once(rig: Rig) -> None:
    rig.server.always(Refuse("http", 503))
    rig.peer()
    rig.live.until(lambda: "Waiting" in rig.changes)

    done = rig.made.stop()
    rig.live.until(lambda: done.called)

    assert rig.changes[-1] == "Closed"
