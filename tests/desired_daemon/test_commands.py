"""``smapd desired …`` against a process that serves /desired, and an agent in a third one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smapd.cli.desired_text import absence_lines

CHILD = Path(__file__).with_name("serve_child.py")
TOKEN = "0123456789abcdef0123456789abcdef"

LAMPS = """
import os
import pathlib
import time

from smapd.desired import CRUDHandler, PurgeableResource, ResourcePurged, provider, resource

WORLD = pathlib.Path(os.environ["LAMPS_WORLD"])


@resource("hall::Lamp", agent="host.name", id_attribute="name")
class Lamp(PurgeableResource):
    fields = ("name", "level", "text")

    @staticmethod
    def get_text(exporter, lamp):
        return exporter.upload_file(f"text of {lamp.name}", f"I am {lamp.name}")


@provider("hall::Lamp", name="lamps")
class LampHandler(CRUDHandler):
    def read_resource(self, ctx, resource):
        place = WORLD / resource.name
        if not place.exists():
            raise ResourcePurged
        resource.level, text = place.read_text().split(" ", 1)
        resource.level = int(resource.level)
        if text != self.get_file(resource.text).decode():
            resource.text = "another"

    def create_resource(self, ctx, resource):
        self.write(resource)
        ctx.set_created()

    def update_resource(self, ctx, changes, resource):
        self.write(resource)
        ctx.set_updated()

    def delete_resource(self, ctx, resource):
        (WORLD / resource.name).unlink()
        ctx.set_purged()

    def write(self, resource):
        if os.environ.get("LAMPS_SLOW"):
            time.sleep(float(os.environ["LAMPS_SLOW"]))
        text = self.get_file(resource.text).decode()
        (WORLD / resource.name).write_text(f"{resource.level} {text}")
"""

MODEL = """
import lamps

LEVEL = {level}


class Host:
    def __init__(self, name):
        self.name = name


class Lamp:
    purged = False
    purge_on_delete = False

    def __init__(self, host, name, requires=()):
        self.host, self.name, self.level, self.requires = host, name, LEVEL, requires


def model():
    host = Host("{agent}")
    first = Lamp(host, "one")
    return [host, first, *[Lamp(host, name, [first]) for name in {names}]]
"""


class House:
    """A folder with a model, and the process that serves it."""

    def __init__(self, home: Path, token: str | None) -> None:
        self.home, self.token = home, token
        self.world = home / "world"
        self.world.mkdir()
        (home / "lamps.py").write_text(LAMPS)
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join([str(home), root, os.environ.get("PYTHONPATH", "")])
        self.env = {**os.environ, "PYTHONPATH": path, "LAMPS_WORLD": str(self.world)}
        if token is not None:
            self.env["SMAPD_TOKEN"] = token
        self.started: list[subprocess.Popen[Any]] = []
        self.url = ""

    def serve(self) -> None:
        command = [sys.executable, str(CHILD), str(self.home / "data")]
        child = self.spawn(command + ([self.token] if self.token else []), stdout=subprocess.PIPE)
        assert child.stdout is not None
        line = child.stdout.readline().decode()
        assert line.startswith("URL "), line
        self.url = line.split()[1]

    def spawn(self, command: list[str], **more: Any) -> subprocess.Popen[Any]:
        child = subprocess.Popen(command, cwd=self.home, env=self.env, **more)
        self.started.append(child)
        return child

    def agent(self, name: str, *more: str, **env: str) -> subprocess.Popen[Any]:
        command = [sys.executable, "-m", "smapd", "desired", "agent", name, "--url", self.url]
        self.env |= env
        return self.spawn([*command, "--handlers", "lamps", *more], stderr=subprocess.PIPE)

    def call(self, *words: str, status: int = 0) -> str:
        command = [sys.executable, "-m", "smapd", "desired", *words, "--url", self.url]
        done = subprocess.run(
            command, cwd=self.home, env=self.env, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def export(self, level: int, agent: str = "edge", names: str = "['two', 'three']") -> str:
        model = MODEL.format(level=level, agent=agent, names=names)
        (self.home / "model.py").write_text(model)
        return self.call("export", "model.py", "--note", f"level {level}")

    def levels(self) -> dict[str, str]:
        return {file.name: file.read_text() for file in sorted(self.world.iterdir())}

    def close(self) -> None:
        for child in self.started:
            if child.poll() is None:
                child.kill()
            child.wait(10)
            for pipe in (child.stdout, child.stderr):
                if pipe is not None:
                    pipe.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Any]:
    made: list[House] = []

    def make(token: str | None = None) -> House:
        one = House(tmp_path, token)
        made.append(one)
        one.serve()
        return one

    yield make
    for one in made:
        one.close()


def wait_until(is_so: Any, limit_s: float = 30.0) -> None:
    ends = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.05)


@pytest.mark.real
def test_from_a_model_to_the_devices_and_back(house: Any) -> None:
    """IM-01, IM-06, IM-08: export, plan, dry run, deploy, status, show, history, rollback."""
    home = house()

    assert "version 1: 3 resources, 3 files" in home.export(3)
    planned = home.call("plan")
    assert "+ hall::Lamp[edge,name=two]" in planned
    assert "3 added, 0 changed, 0 left out, 0 the same" in planned
    looked = home.call("deploy", "--dry-run")
    assert "+ hall::Lamp[edge,name=one] dry" in looked
    assert "3 would change" in looked
    assert home.levels() == {}
    done = home.call("deploy")
    assert "deploy 2 of version 1 is done: 3 deployed; 3 changed" in done
    assert home.levels()["two"] == "3 I am two"
    assert home.call("status").strip() == "version 1: 3 deployed"
    home.export(4)
    assert "level: 3 -> 4" in home.call("plan")
    assert "~ hall::Lamp[edge,name=one] deployed\n    level: 3 -> 4" in home.call("deploy", "2")
    assert "version 3 is as version 1" in home.call("rollback", "1")
    assert home.levels()["one"] == "3 I am one"
    past = home.call("history")
    assert "3*" in past
    assert "level 4" in past
    assert "1 (dry run)" in past
    shown = json.loads(home.call("show", "hall::Lamp[edge,name=one]", "--json"))
    assert (shown["state"], shown["version"]) == ("deployed", 3)
    assert "level: 4 -> 3" in home.call("history", "hall::Lamp[edge,name=one]")
    assert json.loads(home.call("show", "1", "--json"))["count"] == 3
    assert "edge" in home.call("agents")


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ({"absent": ["far"], "absent_count": 1}, "agent not connected: far; its resources are"),
        ({"absent": ["a", "b\x1b"], "absent_count": 2}, "agents not connected: a, b\\x1b; their"),
        ({"absent": ["a", "b"], "absent_count": 9}, "agents not connected: a, b and 7 more; their"),
    ],
)
def test_agents_that_are_not_connected_are_named(found: dict[str, Any], line: str) -> None:
    [told] = absence_lines(found)

    assert told.startswith(line)
    assert list(absence_lines({"absent": [], "absent_count": 0})) == []
    assert list(absence_lines({"state": "done"})) == []


@pytest.mark.real
def test_a_dry_run_says_at_once_who_is_not_connected(house: Any) -> None:
    """U-12: a deploy would wait 20 s for that agent."""
    home = house()
    home.export(3, agent="nobody")

    began_s = time.monotonic()
    told = home.call("deploy", "--dry-run", status=1)

    assert time.monotonic() - began_s < 10
    assert told.splitlines()[0] == ("agent not connected: nobody; its resources are not looked at")
    assert "3 unavailable; 0 would change" in told


@pytest.mark.real
def test_drift_is_mended_while_nobody_looks(house: Any) -> None:
    """U-12: and its timeseries shows when it was."""
    home = house()
    home.export(3)
    home.call("deploy")

    (home.world / "one").write_text("9 I am one")
    wait_until(lambda: home.levels()["one"] == "3 I am one")

    wait_until(lambda: "repair of version 1" in home.call("history", "hall::Lamp[edge,name=one]"))


@pytest.mark.real
def test_what_fails_is_told_and_the_exit_status_says_so(house: Any) -> None:
    home = house()
    (home.world / "one").mkdir()
    home.export(3)

    told = home.call("deploy", status=1)

    assert "! hall::Lamp[edge,name=one] failed: IsADirectoryError" in told
    assert "! hall::Lamp[edge,name=two] skipped: It requires hall::Lamp[edge,name=one]" in told
    assert "1 failed, 2 skipped" in home.call("status", status=1)
    log = home.call("history", "hall::Lamp[edge,name=one]", "--level", "error")
    assert "IsADirectoryError" in log
    assert "Traceback" in log
    assert "There is no version 9" in home.call("deploy", "9", status=1)


@pytest.mark.real
def test_an_agent_elsewhere_does_its_part(house: Any) -> None:
    """IM-14, IM-35: with the token; killed in the middle, its successor does the rest."""
    home = house(TOKEN)
    first = home.agent("far", "--threads", "1", LAMPS_SLOW="0.5")
    home.export(3, agent="far", names="['two', 'three', 'four']")
    home.call("deploy", "--no-wait")
    wait_until(lambda: "one" in home.levels())

    first.send_signal(signal.SIGKILL)
    first.wait(10)
    second = home.agent("far", "--threads", "2", LAMPS_SLOW="0")

    wait_until(lambda: "4 deployed" in home.call("history"), 60)
    assert home.levels()["four"] == "3 I am four"
    second.send_signal(signal.SIGTERM)
    assert second.wait(10) == 0


@pytest.mark.real
def test_an_agent_with_a_wrong_token_says_so_and_ends(house: Any) -> None:
    home = house(TOKEN)
    home.env["SMAPD_TOKEN"] = "wrong"

    child = home.agent("far")

    assert child.wait(20) == 1
    assert child.stderr is not None
    assert b"needs the token" in child.stderr.read()


@pytest.mark.real
def test_a_model_that_is_wrong_is_told_whole(house: Any) -> None:
    """IM-07: each thing that is wrong is a sentence; nothing is kept."""
    home = house()
    (home.home / "model.py").write_text("entities = 3")

    assert "gives no entities" in home.call("export", "model.py", status=1)
    assert "no such file" in home.call("export", "nothing.py", status=1)
    assert json.loads(home.call("history", "--json"))["versions"] == []
