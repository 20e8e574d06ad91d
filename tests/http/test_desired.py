"""The routes of /desired, on a room that answers as told."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer
from zope.interface.verify import verifyObject

from smapd.errors import NoSuchBlob, NoSuchResource, NoSuchVersion
from smapd.interfaces import IDesired, IWatching
from smapd.values import ActionFilter

from .conftest import TOKEN, Served, parse, request_bytes

ID = "std::File[edge,path=/etc/motd]"


def action(seq: int) -> dict[str, Any]:
    return {"seq": seq, "resource": ID, "logs": []}


@implementer(IWatching)
class Watching:
    stopped = False

    def stop(self) -> None:
        self.stopped = True


@implementer(IDesired)
class Room:
    """Remembers what it was asked, and answers something of the right shape."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.files: dict[str, bytes] = {}
        self.found: list[Any] = []
        self.give: Any = None
        self.watching = Watching()
        self.job: Deferred[Any] = Deferred(lambda d: self.asked.append(("cancelled",)))

    def versions(self) -> Any:
        return succeed([{"version": 1}])

    def add(self, body: Any, *, token: bool) -> Any:
        self.asked.append(("add", body, token))
        return succeed(7)

    def version(self, n: int, after: int, limit: int) -> Any:
        self.asked.append(("version", n, after, limit))
        return succeed({"version": n}) if n == 7 else fail(NoSuchVersion(f"No version {n}."))

    def difference(self, n: int, other: int | None) -> Any:
        self.asked.append(("difference", n, other))
        return succeed({"to": n})

    def deploy(self, n: int, *, dry_run: bool, token: bool) -> Any:
        self.asked.append(("deploy", n, dry_run, token))
        return succeed(3)

    def deploys(self) -> Any:
        return [{"deploy": 3}]

    def deployed(self, d: int, after: int, limit: int) -> Any:
        self.asked.append(("deployed", d, after, limit))
        return succeed({"deploy": d, "results": []})

    def put_blob(self, sha256: str, data: bytes) -> Any:
        is_new = sha256 not in self.files
        self.files[sha256] = data
        return succeed(is_new)

    def blob(self, sha256: str) -> Any:
        data = self.files.get(sha256)
        return fail(NoSuchBlob(f"No blob {sha256}.")) if data is None else succeed(data)

    def resources(self, states: Any, after: int, limit: int) -> Any:
        self.asked.append(("resources", states, after, limit))
        return {"resources": [{"resource": ID}]}

    def check_facts(self, id: str) -> Any:
        self.asked.append(("facts", id))
        return succeed({"watts": 3})

    def resource(self, id: str) -> Any:
        return succeed({"resource": id}) if id == ID else fail(NoSuchResource(f"No {id}."))

    def actions(self, id: str, asked: ActionFilter) -> Any:
        self.asked.append(("actions", id, asked))
        return succeed(self.found)

    def follow(self, id: str, asked: ActionFilter, give: Any) -> Any:
        if id != ID:
            raise NoSuchResource(f"No {id}.")
        self.give = give
        return self.watching

    def agents(self) -> Any:
        return [{"name": "edge"}]

    def work(self, agent: str, body: Any) -> Any:
        self.asked.append(("work", agent, body))
        return self.job

    def results(self, agent: str, body: Any) -> Any:
        self.asked.append(("results", agent, body))
        return succeed({"taken": 1})

    def status(self) -> Any:
        return {}


@pytest.fixture
def room() -> Room:
    made = Room()
    assert verifyObject(IDesired, made)
    return made


@pytest.fixture
def served(serve: Any, room: Room) -> Served:
    made: Served = serve(desired=room)
    return made


def test_a_version_is_posted_and_answered_with_its_number(served: Served, room: Room) -> None:
    """IM-12: resources travel as JSON; 201 once they are kept."""
    answer = served.post("/desired/versions", {"resources": []})

    assert (answer.status, answer.json) == (201, {"version": 7})
    assert room.asked == [("add", {"resources": []}, False)]
    assert served.get("/desired/versions").json == {"versions": [{"version": 1}]}


def test_a_version_is_shown_in_pages(served: Served, room: Room) -> None:
    assert served.get("/desired/versions/7?after=10&limit=5").json == {"version": 7}
    assert room.asked == [("version", 7, 10, 5)]
    assert served.get("/desired/versions/8").status == 404
    assert served.get("/desired/versions/x").json["error"] == "not_found"
    assert served.get("/desired/versions/7?limit=x").json["error"] == "bad_request"


def test_a_difference_is_beside_the_deployed_one_or_another(served: Served, room: Room) -> None:
    served.get("/desired/versions/7/difference")
    served.get("/desired/versions/7/difference?from=2")

    assert room.asked == [("difference", 7, None), ("difference", 7, 2)]


@pytest.mark.parametrize(("body", "dry_run"), [(b"", False), (b'{"dry_run": true}', True)])
def test_a_deploy_is_begun(served: Served, room: Room, body: bytes, dry_run: bool) -> None:
    answer = served.ask("POST", "/desired/versions/7/deploy", body=body)

    assert answer.status == 202
    assert answer.json == {"version": 7, "deploy": 3, "dry_run": dry_run}
    assert room.asked == [("deploy", 7, dry_run, False)]


@pytest.mark.parametrize("body", [b"[]", b'{"dry_run": 1}', b'{"dryrun": true}', b"x"])
def test_a_deploy_refuses_what_it_does_not_know(served: Served, room: Room, body: bytes) -> None:
    assert served.ask("POST", "/desired/versions/7/deploy", body=body).status == 400
    assert room.asked == []


def test_deploys_are_shown(served: Served, room: Room) -> None:
    assert served.get("/desired/deploys").json == {"deploys": [{"deploy": 3}]}
    assert served.get("/desired/deploys/3?after=2").json == {"deploy": 3, "results": []}
    assert room.asked == [("deployed", 3, 2, 1000)]


def test_a_file_goes_there_and_back(served: Served, room: Room) -> None:
    """IM-08: bytes by their sha256; 201 when new, 200 when known."""
    data = bytes(range(256)) * 20
    name = hashlib.sha256(data).hexdigest()

    first = served.ask("PUT", f"/desired/blobs/{name}", body=data)
    again = served.ask("PUT", f"/desired/blobs/{name}", body=data)
    back = served.get(f"/desired/blobs/{name}")

    assert (first.status, again.status, back.status, back.body) == (201, 200, 200, data)
    assert back.headers["content-type"] == "application/octet-stream"
    assert served.get("/desired/blobs/" + "0" * 64).json["error"] == "no_such_blob"


@pytest.mark.parametrize(
    "target",
    [
        "/desired/resources/std::File[edge,path=/etc/motd]",
        "/desired/resources/std%3A%3AFile%5Bedge%2Cpath%3D%2Fetc%2Fmotd%5D",
    ],
)
def test_an_id_may_hold_slashes(served: Served, target: str) -> None:
    assert served.get(target).json == {"resource": ID}


def test_resources_are_listed_by_state(served: Served, room: Room) -> None:
    answer = served.get("/desired/resources?state=failed,running&after=3&limit=5")

    assert answer.json == {"resources": [{"resource": ID}]}
    assert room.asked == [("resources", ("failed", "running"), 3, 5)]
    assert served.get("/desired/resources?state=good").status == 400


def test_facts_are_asked_for(served: Served, room: Room) -> None:
    """IM-36."""
    answer = served.post(f"/desired/resources/{ID}/facts", None)

    assert answer.json == {"resource": ID, "facts": {"watts": 3}}
    assert room.asked == [("facts", ID)]


def test_actions_are_filtered(served: Served, room: Room) -> None:
    """IM-27: what was done, by level, kind, status, time and number."""
    room.found = [action(9), action(8)]

    query = "level=warning&kind=deploy,repair&status=failed&from=5&to=9&before=10&limit=2"
    answer = served.get(f"/desired/resources/{ID}/actions?{query}")

    assert answer.json == {"resource": ID, "actions": room.found, "next": {"before": 8}}
    wanted = ActionFilter(
        "warning", ("deploy", "repair"), ("failed",), from_ms=5, to_ms=9, before=10, limit=2
    )
    assert room.asked == [("actions", ID, wanted)]


@pytest.mark.parametrize("query", ["level=loud", "kind=x", "status=good", "order=up", "limit=2000"])
def test_a_filter_that_is_none_is_refused(served: Served, query: str) -> None:
    answer = served.get(f"/desired/resources/{ID}/actions?{query}")

    assert answer.status == 400
    assert query.partition("=")[0] in answer.json["message"]


def stream(served: Served, **headers: str) -> Any:
    wire = served.connect()
    given = {"Accept": "text/event-stream"} | {k.replace("_", "-"): v for k, v in headers.items()}
    wire.protocol.dataReceived(request_bytes("GET", f"/desired/resources/{ID}/actions", given))
    return wire


def sent(wire: Any) -> list[int]:
    """The numbers of the events that a client was sent."""
    return [int(line[4:]) for line in wire.value().split(b"\n") if line.startswith(b"id: ")]


def test_actions_come_live(served: Served, room: Room) -> None:
    """IM-27: over Server-Sent Events, each with its number."""
    wire = stream(served)
    room.give(action(5))

    head = wire.value().partition(b"\r\n\r\n")[0]
    assert b"Content-Type: text/event-stream" in head
    assert sent(wire) == [5]
    event = wire.value().partition(b"event: action\ndata: ")[2].partition(b"\n\n")[0]
    assert json.loads(event) == action(5)
    wire.loseConnection()
    assert room.watching.stopped


def test_a_client_that_comes_back_misses_nothing_and_gets_nothing_twice(
    served: Served, room: Room
) -> None:
    wait: Deferred[Any] = Deferred()
    room.actions = lambda id, asked: room.asked.append(asked) or wait  # type: ignore
    wire = stream(served, Last_Event_ID="5")
    room.give(action(7))
    room.give(action(8))

    wait.callback([action(6), action(7)])
    room.give(action(9))

    assert sent(wire) == [6, 7, 8, 9]
    assert (room.asked[0].after, room.asked[0].newest_first) == (5, False)
    wire.loseConnection()


def test_a_live_look_says_that_it_is_there(served: Served) -> None:
    wire = stream(served)
    before = wire.value().count(b": here\n\n")

    served.reactor.advance(16)

    assert wire.value().count(b": here\n\n") == before + 1
    wire.loseConnection()
    served.reactor.advance(60)  # no timer is left to fail


def test_a_client_that_takes_nothing_is_cut_off(served: Served, room: Room) -> None:
    wire = stream(served)
    wire.producer.pauseProducing()

    for seq in range(20):
        room.give({**action(seq), "text": "x" * 100_000})

    assert wire.is_aborted
    assert room.watching.stopped


def test_a_live_look_at_nothing_is_404(served: Served) -> None:
    answer = served.get("/desired/resources/std::File[a,b=c]/actions", Accept="text/event-stream")

    assert (answer.status, answer.json["error"]) == (404, "no_such_resource")


def test_an_agent_waits_for_work(served: Served, room: Room) -> None:
    wire = served.connect()
    wire.protocol.dataReceived(
        request_bytes("POST", "/desired/agents/edge/work", None, b'{"session": "s"}')
    )
    assert wire.value() == b""

    room.job.callback({"jobs": [1]})

    assert parse(wire.value()).json == {"jobs": [1]}
    assert room.asked == [("work", "edge", {"session": "s"})]


def test_an_agent_that_is_gone_waits_no_more(served: Served, room: Room) -> None:
    wire = served.connect()
    wire.protocol.dataReceived(
        request_bytes("POST", "/desired/agents/edge/work", None, b'{"session": "s"}')
    )

    wire.loseConnection()

    assert room.asked[-1] == ("cancelled",)
    assert served.site.counts.incidents == 0


def test_an_agent_tells_results(served: Served, room: Room) -> None:
    answer = served.post("/desired/agents/edge/results", {"results": []})

    assert answer.json == {"taken": 1}
    assert room.asked == [("results", "edge", {"results": []})]
    assert served.get("/desired/agents").json == {"agents": [{"name": "edge"}]}


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/desired/versions"),
        ("POST", "/desired/versions/7/deploy"),
        ("PUT", "/desired/blobs/" + "0" * 64),
        ("POST", "/desired/agents/edge/work"),
        ("POST", "/desired/agents/edge/results"),
    ],
)
def test_whoever_changes_something_needs_the_token(
    serve: Any, room: Room, method: str, target: str
) -> None:
    """IM-14: deploying, and an agent's part in it, need the token where there is one."""
    served = serve(desired=room, token=TOKEN)
    key = {"Authorization": f"Bearer {TOKEN.decode()}"}

    assert served.ask(method, target, body=b"{}").status == 401
    assert room.asked == []
    room.job.callback({})
    assert served.ask(method, target, key, b"{}").status in (200, 201, 202)


def test_that_a_token_was_presented_is_told_to_the_room(serve: Any, room: Room) -> None:
    served = serve(desired=room, token=TOKEN)
    key = {"Authorization": f"Bearer {TOKEN.decode()}"}

    served.ask("POST", "/desired/versions", key, b"{}")

    assert room.asked == [("add", {}, True)]


def test_without_the_room_it_is_not_served(serve: Any) -> None:
    answer = serve().get("/desired/versions")

    assert (answer.status, answer.json["error"]) == (503, "not_ready")
