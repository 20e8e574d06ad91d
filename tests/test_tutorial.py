"""docs/tutorial: each program runs as its reader runs it, and shows what the page says."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from smapd.testing import DaemonProcess

ROOT = Path(__file__).parent.parent
TUTORIAL = ROOT / "docs" / "tutorial"
PAGE = (TUTORIAL / "README.md").read_text("utf-8")
FILES = sorted(p.name for p in TUTORIAL.iterdir() if p.suffix in (".py", ".ini"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

NO_CONFIG = "[/]\nuuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92\n"
SENSOR0 = "b37e5c5f-e9b0-59a6-8275-08729beeff46"


@pytest.mark.parametrize("name", FILES)
def test_the_page_shows_the_file_itself(name: str) -> None:
    language = "ini" if name.endswith(".ini") else "python"
    text = (TUTORIAL / name).read_text("utf-8")

    assert f"`{name}`:\n\n```{language}\n{text}```\n" in PAGE


def test_no_line_is_too_long_and_every_link_leads_somewhere() -> None:
    long = [line for line in PAGE.splitlines() if len(line) > 120 and not line.startswith("|")]
    links = re.findall(r"\]\(([^)#\s]+)\)", FENCE.sub("", PAGE))

    assert long == []
    assert [link for link in links if not (TUTORIAL / link).exists()] == []


def test_every_misprint_of_the_originals_programs_is_named() -> None:
    """SM-14: the ones that a reader would stumble over."""
    misprints = PAGE.partition("## Misprints")[2]

    for misprint in ("selt", "self.t", "import util", "LoopingTask", "runFromThread", "print "):
        assert misprint in misprints


# --- as a reader would


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as s:
        return int(s.getsockname()[1])


def eventually(what: Callable[[], Any], limit_s: float = 15.0) -> Any:
    """Wait for the world; a fixed number of looks, each 50 ms apart."""
    for _ in range(int(limit_s / 0.05)):
        found = what()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen")


@contextmanager
def running(program: str) -> Iterator[DaemonProcess]:
    """The program under way in a copy of the folder, on a free port in place of 8080."""
    daemon = DaemonProcess(NO_CONFIG)
    try:
        shutil.copytree(TUTORIAL, daemon.home, dirs_exist_ok=True)
        text = (daemon.home / program).read_text("utf-8")
        port = free_port()
        text = text.replace("port=8080", f"port={port}")
        text = text.replace("server.run(inst)", f"server.run(inst, port={port})")
        assert str(port) in text
        (daemon.home / program).write_text(text, "utf-8")
        daemon.run([sys.executable, program])
        daemon.url = f"http://127.0.0.1:{port}"
        yield daemon
        assert daemon.stop(12) == 0
        assert "Traceback" not in daemon.text()
    finally:
        daemon.close()


def curl(daemon: DaemonProcess, path: str) -> Any:
    """``curl … | jprint``, with the programs themselves where there are any."""
    if shutil.which("curl") is None:
        return daemon.get(path).json()
    asked = subprocess.run(
        ["curl", "-sS", "--max-time", "20", daemon.url + path], capture_output=True, check=True
    )
    printed = subprocess.run(
        [sys.executable, str(ROOT / "bin" / "jprint")],
        input=asked.stdout,
        capture_output=True,
        check=True,
        timeout=20,
    )
    return json.loads(printed.stdout)


def newest(daemon: DaemonProcess, path: str) -> Any:
    readings = curl(daemon, path)["Readings"]
    return readings[-1][1] if readings else None


def shown(heading: str) -> Any:
    """The JSON that the page shows in a part of it."""
    part = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    (text,) = [m[2] for m in FENCE.finditer(part) if m[2].startswith("$ curl")]
    return json.loads(text.partition("\n")[2])


@pytest.mark.real
def test_the_first_source_is_served() -> None:
    """SM-01, SM-05: a tree made by a program, and what curl shows of it."""
    with running("first_source.py") as daemon:
        assert curl(daemon, "/data/sensor0") == shown("A first source")
        assert curl(daemon, "/data") == {"Contents": ["sensor0"]}


@pytest.mark.real
def test_the_function_is_called_once_a_second() -> None:
    """SM-08: what it prints comes as it is called."""
    with running("reading_value.py") as daemon:
        eventually(lambda: daemon.text().count("Reading value: 1") >= 2)


@pytest.mark.real
def test_readings_count_up() -> None:
    """SM-02, SM-08."""
    with running("adding_data.py") as daemon:
        first = eventually(lambda: newest(daemon, "/data/sensor0"))
        eventually(lambda: newest(daemon, "/data/sensor0") == first + 1)


@pytest.mark.real
def test_the_dump_is_the_file_that_the_page_shows(tmp_path: Path) -> None:
    """SM-10: letter by letter what sMAP's tutorial prints."""
    shutil.copytree(TUTORIAL, tmp_path, dirs_exist_ok=True)

    subprocess.run([sys.executable, "dump_tree.py"], cwd=tmp_path, check=True, timeout=60)

    written = (tmp_path / "conf.ini").read_text("utf-8")
    assert f"It leaves this in `conf.ini`:\n\n```ini\n{written}```\n" in PAGE


@pytest.mark.real
def test_the_nested_tree_is_loaded_and_the_stream_keeps_its_uuid() -> None:
    """SM-10, SM-01: the path moved, the key did not."""
    with running("serve_nested.py") as daemon:
        series = curl(daemon, "/data/instrument0/sensor0")
        instrument = curl(daemon, "/data/instrument0")

    assert series["uuid"] == SENSOR0
    assert series["Properties"]["UnitofMeasure"] == "V"
    assert instrument["Metadata"] == {"Instrument": {"Manufacturer": "sMAP Implementer Forum"}}


@pytest.mark.real
def test_a_driver_runs_by_hand() -> None:
    """SM-14: setup(inst, {}), start(), server.run(inst)."""
    with running("run_counter.py") as daemon:
        eventually(lambda: newest(daemon, "/data/sensor0") is not None)
        eventually(lambda: newest(daemon, "/data/sensor0") >= 2)


@pytest.mark.real
def test_drivers_run_from_a_config_file() -> None:
    """SM-14, SM-15: two drivers with the same paths and keys, and an option that reaches one."""
    with running("serve_drivers.py") as daemon:
        uuids = {curl(daemon, f"/data/instrument{n}/sensor0")["uuid"] for n in (0, 1)}
        eventually(lambda: (newest(daemon, "/data/instrument0/sensor0") or 0) >= 1)
        eventually(lambda: (newest(daemon, "/data/instrument1/sensor0") or 0) >= 10)

    assert len(uuids) == 2


@pytest.mark.real
@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".ini")])
def test_every_config_file_has_no_errors(name: str) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "smapd", "check", name],
        cwd=TUTORIAL,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert checked.returncode == 0, checked.stderr
    assert f"{name}: no errors" in checked.stdout


@pytest.mark.real
def test_run_driver_runs_the_california_iso_on_a_recorded_feed(tmp_path: Path) -> None:
    """SM-19: the tutorial's command, with the folder of recorded answers as its Uri."""
    columns = "INTERVALSTARTTIME_GMT,TAC_AREA_NAME,XML_DATA_ITEM,MW"
    row = "2026-01-01T10:00:00-00:00,CA ISO-TAC,SYS_FCST_ACT_MW,23342"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("SLD_FCST.csv", f"{columns}\n{row}\n")
    (tmp_path / "load.zip").write_bytes(data.getvalue())
    assert "$ run-driver smap.drivers.caiso.CaIsoDriver\n" in PAGE
    port = free_port()
    command = [sys.executable, str(ROOT / "bin" / "run-driver"), "-p", str(port)]
    command += ["smap.drivers.caiso.CaIsoDriver", f"Uri={tmp_path.as_uri()}", "Reports=load"]
    daemon = DaemonProcess(NO_CONFIG, env={"PYTHONDONTWRITEBYTECODE": "1", **os.environ})
    try:
        daemon.run(command)
        daemon.url = f"http://127.0.0.1:{port}"

        path = "/data/Load/Total%20Area/Actual"
        eventually(lambda: curl(daemon, path)["Readings"])
        assert curl(daemon, path)["Readings"] == [[1767261600000, 23342.0]]
        assert daemon.stop(12) == 0
    finally:
        daemon.close()
