"""Assets, events and requests of a real daemon: memory, kills, and what the programs see."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from smapd.testing import DaemonProcess

pytestmark = pytest.mark.real

PROGRAMS = """
import logging
from smapd.twin import (
    AssetEvent, Follower, FollowerCallbacks, Integrator, IntegratorCallbacks, NamedEventMixin,
    T2ProviderFailureReason, ThingRunner, field,
)

log = logging.getLogger(__name__)


class Measured(AssetEvent):
    @classmethod
    def _default_version(cls):
        return 1

    @classmethod
    def _known_versions(cls):
        fields = [field("n", "int"), field("text", "string", default="")]
        return {1: {"type": "record", "name": "Measured", "fields": fields}}


class Server(IntegratorCallbacks, ThingRunner):
    def __init__(self, config=None, **more):
        super().__init__(config=config, **more)
        self.api = Integrator(config["integrator"], self.client, self)

    def on_startup(self):
        self.api.start()

    def main(self):
        self.wait_for_shutdown()

    def on_shutdown(self, exc_info):
        self.api.stop()

    def on_asset_created(self, asset_id):
        log.warning("server has %s", asset_id)

    def on_asset_deleted(self, asset_id):
        log.warning("server lost %s", asset_id)

    def on_t2_request(self, request):
        if request.type_ == "Unknown":
            self.api.t2_respond_error(request, T2ProviderFailureReason.RESOURCE_UNKNOWN)
        elif request.type_ == "Raise":
            raise ValueError("a bug of the program's")
        elif request.type_ == "Half":
            with self.api.t2_respond_streamed(request, "text/plain") as write:
                write(b"half")
                raise ValueError("a bug in the middle")
        elif request.type_ == "Silent":
            self.kept = request  # one that is thrown away is a refusal
        elif request.type_ == "Ignored":
            pass
        else:
            with self.api.t2_respond_streamed(request, "application/x-megabytes") as write:
                for _ in range(int(request.data)):
                    if not write(bytes(2**20)):
                        break


class Reader(NamedEventMixin, FollowerCallbacks, ThingRunner):
    def __init__(self, config=None, **more):
        super().__init__(config=config, **more)
        self.api = Follower(config["follower"], self.client, self)

    def on_startup(self):
        self.api.start()

    def main(self):
        self.wait_for_shutdown()

    def on_shutdown(self, exc_info):
        self.api.stop()

    def on_asset_created(self, asset_id):
        pass

    def on_asset_deleted(self, asset_id):
        pass

    def do_measured(self, event):
        log.warning("reader got %s@%d", event.asset, event.offset)
        self.api.ack_event(event)

    def on_event_unmatched(self, event):
        pass


class Broken(Server):
    def main(self):
        raise ValueError("broken on purpose")


class Hanging(Reader):
    def do_measured(self, event):
        import time
        time.sleep(3600)
"""
CONFIG = """
[/]
uuid = 75503ac2-abf0-11f0-b4d8-8b6b4f7d2c13
[/press]
type = Collection
asset = press
[integrator server]
type = twin_programs.Server
T2 = yes
EventModules = twin_programs,
"""
READER = """
[follower reader]
type = twin_programs.Reader
EventModules = twin_programs,
"""
MIB = 2**20


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    (tmp_path / "twin_programs.py").write_text(PROGRAMS)
    return tmp_path


def eventually(what: Callable[[], object], daemon: DaemonProcess, limit_s: float = 20.0) -> None:
    """Wait for the world; a fixed number of looks."""
    for _ in range(int(limit_s / 0.05)):
        if what():
            return
        time.sleep(0.05)
    raise AssertionError(f"it did not happen:\n{daemon.text()}")


def serving(daemon: DaemonProcess) -> None:
    eventually(lambda: "server has press" in daemon.text(), daemon)


def post(daemon: DaemonProcess, path: str, value: Any) -> Any:
    body, kind = json.dumps(value).encode(), {"Content-Type": "application/json"}
    return daemon.request("POST", path, body, kind)


def test_an_answer_of_a_gigabyte_streams_through_a_small_daemon(programs: Path) -> None:
    """T2: POST …/requests/TYPE; nothing of it is gathered in the daemon."""
    with DaemonProcess(CONFIG, path=[programs]) as daemon:
        serving(daemon)
        process = psutil.Process(daemon.pid)
        before = process.memory_info().rss
        where = urlsplit(daemon.url)
        connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=60)
        connection.request("POST", "/assets/press/requests/Big", b"1024")
        answer = connection.getresponse()
        assert answer.headers["Content-Type"] == "application/x-megabytes"
        size, most = 0, before
        while data := answer.read(8 * MIB):
            size += len(data)
            most = max(most, process.memory_info().rss)
        connection.close()
    assert size == 1024 * MIB
    assert most - before < 48 * MIB


def test_a_requester_that_does_not_read_holds_little_and_is_let_go(programs: Path) -> None:
    """T2: a 10 GiB answer to a slow requester; when it goes, the provider is told."""
    with DaemonProcess(CONFIG, path=[programs]) as daemon:
        serving(daemon)
        process = psutil.Process(daemon.pid)
        before = process.memory_info().rss
        where = urlsplit(daemon.url)
        with socket.create_connection((str(where.hostname), where.port), 20) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            slow.sendall(
                b"POST /assets/press/requests/Big HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Length: 5\r\n\r\n10240"
            )
            for _ in range(64):
                assert slow.recv(65536)
            eventually(lambda: _requests(daemon)["open"] == 1, daemon)
            for _ in range(20):
                daemon.get("/status")
            assert process.memory_info().rss - before < 16 * MIB + 8 * MIB
        eventually(lambda: _requests(daemon)["open"] == 0, daemon)


def _requests(daemon: DaemonProcess) -> Any:
    return daemon.get("/status").json()["assets"]["requests"]


@pytest.mark.parametrize(
    ("type_", "status", "reason"),
    [
        ("Unknown", 404, "RESOURCE_UNKNOWN"),
        ("Raise", 502, "PROVIDER_FAILED"),
        ("Ignored", 501, "REQ_UNHANDLED"),
    ],
)
def test_what_goes_wrong_at_the_provider_has_its_status(
    programs: Path, type_: str, status: int, reason: str
) -> None:
    """FO-32: and the next request is served."""
    with DaemonProcess(CONFIG, path=[programs]) as daemon:
        serving(daemon)
        answer = daemon.request("POST", f"/assets/press/requests/{type_}")
        assert (answer.status, answer.json()["reason"]) == (status, reason)
        assert daemon.request("POST", "/assets/press/requests/Big", b"1").status == 200


def test_an_answer_that_breaks_off_is_never_taken_for_a_whole_one(programs: Path) -> None:
    """IN-30: the connection is cut; as lines, the last one says why."""
    with DaemonProcess(CONFIG, path=[programs]) as daemon:
        serving(daemon)
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            daemon.request("POST", "/assets/press/requests/Half")
        lines = {"Accept": "application/x-ndjson"}
        answer = daemon.request("POST", "/assets/press/requests/Half", headers=lines)
        told = [json.loads(line) for line in answer.body.splitlines()]
        assert told[0]["data"] == "aGFsZg=="
        assert told[-1]["reason"] == "PROVIDER_FAILED"


def test_a_provider_that_never_answers_ends_with_504(programs: Path) -> None:
    """FO-34: at the timeout that was asked for."""
    with DaemonProcess(CONFIG, path=[programs]) as daemon:
        serving(daemon)
        answer = daemon.request("POST", "/assets/press/requests/Silent?timeout=0.2")
        assert (answer.status, answer.json()["error"]) == (504, "t2_timeout")


def test_events_are_there_after_a_kill_and_an_embedded_follower_goes_on(programs: Path) -> None:
    """FO-19, FO-20, FO-23, FO-40: in the daemon as outside of it."""
    data = programs / "data"
    with DaemonProcess(CONFIG + READER, path=[programs], data_dir=data) as daemon:
        serving(daemon)
        for n in range(20):
            answer = post(daemon, "/assets/press/events", {"name": "Measured", "data": {"n": n}})
            assert answer.json() == {"offset": n}
        eventually(lambda: "reader got press@19" in daemon.text(), daemon)
        time.sleep(1.5)  # an ack is durable within a second, and nothing tells of it
        daemon.kill()
        mark = len(daemon.text())
        daemon.start()
        post(daemon, "/assets/press/events", {"name": "Measured", "data": {"n": 20}})
        eventually(lambda: "reader got press@20" in daemon.text()[mark:], daemon)
        assert "reader got press@0\n" not in daemon.text()[mark:]
        found = daemon.get("/assets/press/events?limit=1000").json()["events"]
        assert [one["data"]["n"] for one in found] == list(range(21))


def test_a_thing_that_raises_or_hangs_touches_no_other(programs: Path) -> None:
    """A section's trouble is its own: it is made anew, shown, and the stop is on time."""
    config = CONFIG + READER
    config += "[integrator broken]\ntype = twin_programs.Broken\n"
    config += "[follower hanging]\ntype = twin_programs.Hanging\nEventModules = twin_programs,\n"
    with DaemonProcess(config, path=[programs]) as daemon:
        serving(daemon)
        for n in range(200):
            post(daemon, "/assets/press/events", {"name": "Measured", "data": {"n": n}})
        eventually(lambda: "reader got press@199" in daemon.text(), daemon)
        eventually(lambda: "broken on purpose" in daemon.text(), daemon)
        things = {one["section"]: one for one in daemon.get("/status").json()["things"]}
        assert things["integrator broken"]["state"] != "running"
        assert "broken on purpose" in json.dumps(things["integrator broken"])
        assert things["follower reader"]["state"] == "running"
        began = time.monotonic()
        daemon.stop()
        assert time.monotonic() - began < 10


def test_a_config_with_a_thing_that_is_not_there_starts_all_the_same(programs: Path) -> None:
    """What fails in the world stops its section alone."""
    config = CONFIG + "[follower gone]\ntype = no_such_module.Reader\n"
    with DaemonProcess(config, path=[programs]) as daemon:
        serving(daemon)
        things = {one["section"]: one for one in daemon.get("/status").json()["things"]}
        assert "no_such_module" in json.dumps(things["follower gone"])


def test_assets_of_the_config_file_come_and_go_with_it(programs: Path) -> None:
    """IN-22: deleted while the integrator was away is told when it comes back."""
    data = programs / "data"
    more = CONFIG.replace("[integrator", "[/oven]\ntype = Collection\nasset = oven\n[integrator")
    with DaemonProcess(more, path=[programs], data_dir=data) as daemon:
        eventually(lambda: "server has oven" in daemon.text(), daemon)
        assert daemon.request("DELETE", "/assets/oven").status == 409
        assert post(daemon, "/assets", {"id": "press"}).status == 409
        assert post(daemon, "/assets", {"id": "by hand", "path": "/x"}).status == 400
        assert post(daemon, "/assets", {"id": "by-hand", "path": "/x"}).status == 201
        time.sleep(1.5)
        daemon.stop()
    with DaemonProcess(CONFIG, path=[programs], data_dir=data) as daemon:
        eventually(lambda: "server lost oven" in daemon.text(), daemon)
        ids = [one["id"] for one in daemon.get("/assets").json()["assets"]]
        assert ids == ["press", "by-hand"]
        assert daemon.get("/data/x").status == 200
        assert daemon.request("DELETE", "/assets/by-hand").status == 204
        eventually(lambda: "server lost by-hand" in daemon.text(), daemon)
        assert daemon.get("/data/x").status == 404


def test_who_waits_for_an_answer_is_told_of_the_stop(programs: Path) -> None:
    """T2: 503 SHUTDOWN, not a cut connection; a live look ends, and holds no stop up."""
    with DaemonProcess(CONFIG, path=[programs]) as daemon:
        serving(daemon)
        where = urlsplit(daemon.url)
        asked = http.client.HTTPConnection(str(where.hostname), where.port, timeout=20)
        asked.request("POST", "/assets/press/requests/Silent?timeout=60")
        look = http.client.HTTPConnection(str(where.hostname), where.port, timeout=20)
        look.request("GET", "/assets/press/events", headers={"Accept": "text/event-stream"})
        events = look.getresponse()
        eventually(lambda: _requests(daemon)["open"] == 1, daemon)
        assert daemon.child is not None
        daemon.child.terminate()
        answer = asked.getresponse()
        assert (answer.status, json.loads(answer.read())["reason"]) == (503, "SHUTDOWN")
        assert b"smapd is stopping" in events.read()
        for one in (answer, events, asked, look):
            one.close()
        assert daemon.wait() == 0


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ("[follower server]\ntype = twin_programs.Reader\n", "has the name server already"),
        ("[server]\nEventModules = no_such_module,\n", "event module no_such_module cannot be"),
    ],
)
def test_a_config_that_cannot_be_is_one_sentence_and_no_daemon(
    programs: Path, more: str, text: str
) -> None:
    """Bad input: exit status 78, no traceback, and no process that serves nothing."""
    daemon = DaemonProcess(CONFIG + more, path=[programs])
    try:
        daemon.spawn()
        assert daemon.wait() == 78
        assert text in daemon.text()
        assert "Traceback" not in daemon.text()
    finally:
        daemon.close()


DRIVER = """
import time
from smapd.desired import CRUDHandler, PurgeableResource, provider, resource
from smapd.driver import SmapDriver
from smapd.util import periodicSequentialCall


class Stuck(SmapDriver):
    def setup(self, opts):
        pass

    def start(self):
        periodicSequentialCall(time.sleep, 3600).start(1)




@resource("t::T", agent="agent", id_attribute="name")
class T(PurgeableResource):
    fields = ("name", "agent")


@provider("t::T", name="t")
class Handler(CRUDHandler):
    def read_resource(self, ctx, resource):
        time.sleep(3600)
"""
EVERYTHING_HANGS = """
[/stuck]
type = stuck_parts.Stuck
[follower hanging]
type = twin_programs.Hanging
EventModules = twin_programs,
[agent local]
Handlers = stuck_parts,
"""


def test_a_stop_is_on_time_though_a_driver_a_thing_and_a_handler_hang(programs: Path) -> None:
    """They are waited for side by side: ten seconds are for all, whatever hangs."""
    (programs / "stuck_parts.py").write_text(DRIVER)
    with DaemonProcess(CONFIG + EVERYTHING_HANGS, path=[programs]) as daemon:
        serving(daemon)
        post(daemon, "/assets/press/events", {"name": "Measured", "data": {"n": 1}})
        one = {"id": "t::T[local,name=a]", "name": "a", "agent": "local", "purged": False}
        one |= {"requires": [], "purge_on_delete": False}
        made = post(daemon, "/desired/versions", {"resources": [one]})
        assert made.status == 201, made.body
        assert post(daemon, "/desired/versions/1/deploy", {}).status == 202
        agents = "/desired/agents"
        eventually(lambda: daemon.get(agents).json()["agents"][0]["under_way"] == 1, daemon)
        eventually(lambda: daemon.get("/status").json()["threads"]["poll"]["busy"] == 1, daemon)
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 10
