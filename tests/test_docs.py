"""What the documents say holds: their examples run, their links lead somewhere."""

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from smapd.assembly import TABLES
from smapd.cli.main import COMMANDS
from smapd.config import load_text
from smapd.testing import DaemonProcess
from tests.test_house import FLOORS

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    path
    for top in (ROOT, ROOT / "docs", ROOT / "drivers")
    for path in (top.rglob("*.md") if top.name == "drivers" else top.glob("*.md"))
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
FILE = re.compile(r"`([\w.-]+\.(?:py|ini))`")

ids = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


def blocks(document: Path, language: str) -> list[str]:
    return [m[2] for m in FENCE.finditer(document.read_text("utf-8")) if m[1] == language]


def in_code(document: Path) -> str:
    """What a document shows as code, in blocks and in lines."""
    text = document.read_text("utf-8")
    return "\n".join([m[2] for m in FENCE.finditer(text)] + re.findall(r"`([^`\n]+)`", text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_every_link_leads_to_a_file(document: Path) -> None:
    links = LINK.findall(FENCE.sub("", document.read_text("utf-8")))

    missing = [
        link
        for link in links
        if not link.startswith(("http://", "https://")) and not (document.parent / link).exists()
    ]

    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_every_command_exists(document: Path) -> None:
    code = in_code(document)

    assert set(re.findall(r"^(?:bin/)?smapd ([a-z]\S*)", code, re.MULTILINE)) <= {*COMMANDS, "for"}
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z]+)", code, re.MULTILINE)) <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_every_line_fits_a_screen(document: Path) -> None:
    long = [
        line
        for line in document.read_text("utf-8").splitlines()
        if len(line) > 120 and not line.startswith("|")
    ]

    assert long == []


def first_readings(daemon: DaemonProcess, tries: int) -> list[dict[str, Any]]:
    """The series, once each has a reading, or after so many looks."""
    for _ in range(tries):
        series = [n for n in daemon.get("/data/+").json().values() if "Readings" in n]
        if all(node["Readings"] for node in series):
            break
        time.sleep(0.05)  # ready comes before the first poll has ended; missed with both cores busy
    return series


@pytest.mark.parametrize("name", ["README.md", "docs/first-driver.md"])
@pytest.mark.real
def test_the_first_driver_runs_as_it_stands(name: str, tmp_path: Path) -> None:
    """The file names are those that the text gives; they lie beside each other."""
    document = ROOT / name
    files = FILE.findall(FENCE.sub("", document.read_text("utf-8")))
    driver, config = (next(f for f in files if f.endswith(end)) for end in (".py", ".ini"))
    (source,), (ini, *_) = blocks(document, "python"), blocks(document, "ini")
    (tmp_path / driver).write_text(source)
    (tmp_path / config).write_text(ini)

    checked = subprocess.run(
        [sys.executable, "-m", "smapd", "check", config],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    with DaemonProcess(tmp_path / config, path=[tmp_path]) as daemon:
        series = first_readings(daemon, tries=100)  # what they read is on every Linux
        assert daemon.stop() == 0
        said = daemon.text()

    assert (checked.returncode, checked.stderr) == (0, "")
    assert len(series) == 1
    assert len(series[0]["Readings"]) == 1
    assert "Traceback" not in said


def test_the_readme_calls_commands_by_name_only_once_they_are_on_the_path() -> None:
    before, _, _ = (ROOT / "README.md").read_text("utf-8").partition("## Install")

    code = "\n".join(m[2] for m in FENCE.finditer(before))
    assert re.findall(r"^(?:smapd|run-driver|uuid|jprint)\b", code, re.MULTILINE) == []
    assert 'PATH="$PWD/bin:$PATH"' in in_code(ROOT / "README.md")


def test_the_first_driver_fits_fifteen_lines() -> None:
    (source,) = blocks(ROOT / "README.md", "python")

    assert len([line for line in source.splitlines() if line.strip()]) <= 15


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_every_config_with_a_root_loads(document: Path, tmp_path: Path) -> None:
    for ini in blocks(document, "ini"):
        if "[/]" in ini and document.name not in ("README.md", "first-driver.md"):
            load_text(ini, document.name, tables=TABLES)


def test_the_floors_are_those_that_are_kept() -> None:
    """docs/architecture.md against tests/test_house.py, for the rooms that are there."""
    table: dict[int, set[str]] = {}
    for line in (ROOT / "docs" / "architecture.md").read_text("utf-8").splitlines():
        row = re.match(r"\| (\d) \| (.*) \|$", line)
        if row:
            table[int(row[1])] = {
                name.strip("/").removesuffix(".py") for name in re.findall(r"`([\w./]+)`", row[2])
            } - {"smapd.drivers"}

    there = {
        floor: {
            room
            for room in rooms
            if (ROOT / "smapd" / room).is_dir()
            or (ROOT / "smapd" / f"{room}.py").is_file()
            or room == "drivers"
        }
        - {"__main__"}
        for floor, rooms in FLOORS.items()
    }
    assert table == {floor: rooms for floor, rooms in there.items() if rooms}


def test_what_the_change_log_calls_released_is_the_version() -> None:
    import smapd

    newest = re.search(r"^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)

    assert newest is not None
    assert newest[1] == smapd.__version__


def test_the_licence_is_there_in_full() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")

    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
