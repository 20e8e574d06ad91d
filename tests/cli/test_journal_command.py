"""``smapd journal`` on data directories of real daemons: sound, killed, and damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from smapd.cli import main
from smapd.cli.journal_files import Journal
from smapd.testing import DaemonProcess

pytestmark = pytest.mark.real

CONFIG = """\
[/]
uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92
Properties/Timezone = UTC
[/hall/t]
Properties/ReadingType = double
Properties/UnitofMeasure = C
[/text]
Properties/ReadingType = string
Properties/UnitofMeasure = none
"""
BATCHES, EACH = 10, 2_500  # beyond CommitReadings: a row each


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a daemon that was killed."""
    home = tmp_path_factory.mktemp("journal")
    with DaemonProcess(CONFIG, data_dir=home / "data") as daemon:
        for batch in range(BATCHES):
            start = batch * EACH
            readings = [[1000 * i + 1, i / 2] for i in range(start, start + EACH)]
            body = {"/hall/t": {"Readings": readings}, "/text": {"Readings": [[start, 'a,"b"']]}}
            daemon.request(
                "POST",
                "/readings",
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            while daemon.get("/status").json()["journal"]["uncommitted"]:
                pass  # the next batch is to be a row of its own
        daemon.kill()
    return home / "data"


@pytest.fixture
def data(recorded: Path, tmp_path: Path) -> Path:
    shutil.copytree(recorded, tmp_path / "data")
    return tmp_path / "data"


def snapshot(directory: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def test_what_a_killed_daemon_left_is_sound_and_left_as_it_is(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(data)

    assert main(["journal", "verify", str(data)]) == 0
    assert main(["journal", "inspect", str(data)]) == 0
    assert main(["journal", "export", str(data), "-o", str(data.parent / "x.csv")]) == 0

    assert snapshot(data) == before
    out = capsys.readouterr().out
    assert f"{BATCHES} rows, {BATCHES * (EACH + 1)} readings, all sound." in out
    assert f"{BATCHES * EACH} readings\n" in out


def test_all_of_it_is_exported_as_reports_in_csv_are(data: Path) -> None:
    file = data.parent / "x.csv"
    assert main(["journal", "export", str(data), "-o", str(file)]) == 0

    lines = file.read_text().splitlines()
    assert len(lines) == BATCHES * (EACH + 1)
    assert sum(line.endswith(",/hall/t,1.001,0.5") for line in lines) == 1
    assert sum(line.endswith(',/text,0,"a,""b"""') for line in lines) == 1


def test_streams_and_times_are_chosen(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--format", "json", "--stream", "/hall/+", "--from", "2", "--to", "4.001"]
    assert main(["journal", "export", str(data), *arguments]) == 0

    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["/hall/t"]["Readings"] == [[2001, 1.0], [3001, 1.5]]
    assert main(["journal", "export", str(data), "--stream", "/nope"]) == 1
    assert "there is no stream /nope." in capsys.readouterr().err


def test_inspect_tells_it_as_json(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", "inspect", str(data), "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert told["readings"] == BATCHES * (EACH + 1)
    assert [one["path"] for one in told["streams"]] == ["/hall/t", "/text"]
    assert told["segments"][0]["trouble"] == ""


def test_a_flipped_byte_of_a_row_is_found_and_the_rest_exported(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Journal(str(data)) as journal:
        row = list(journal.segments[0].rows())[4]
        assert row.head is not None
        body = journal.segments[0].segment
        assert body is not None
        (raw,) = body.db.execute("SELECT data FROM flush WHERE seq = ?", (row.flush,)).fetchone()
    flipped = 0
    for file in (data / "readings").iterdir():
        content = bytearray(file.read_bytes())
        at = content.find(raw[1000:1040])
        while at >= 0:
            content[at] ^= 0x10
            flipped += 1
            at = content.find(raw[1000:1040])
        file.write_bytes(content)
    assert flipped
    before = snapshot(data)

    assert main(["journal", "verify", str(data)]) == 1
    assert main(["journal", "export", str(data), "-o", str(data.parent / "x.csv")]) == 1

    said = capsys.readouterr()
    assert "not sound" in said.out
    assert "The next start of a daemon mends it" in said.err
    lines = (data.parent / "x.csv").read_text().splitlines()
    assert len(lines) == (BATCHES - 1) * (EACH + 1)
    assert snapshot(data) == before


def test_beside_a_running_daemon_it_does_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with DaemonProcess(CONFIG) as daemon:
        assert main(["journal", "inspect", str(daemon.data_dir)]) == 1

    assert "a daemon runs on" in capsys.readouterr().err


def test_while_it_reads_no_daemon_starts(data: Path) -> None:
    with Journal(str(data)):
        second = DaemonProcess(CONFIG, data_dir=data)
        second.spawn()

        assert second.wait() == 1
        assert "is in use by" in second.text()
        second.close()


def test_what_is_no_data_directory_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["journal", "verify", str(tmp_path)]) == 1

    assert f"smapd: {tmp_path} holds no readings.\n" in capsys.readouterr().err
