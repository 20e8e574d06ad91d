import os
import pathlib
from collections.abc import Iterator

import pytest

import smapd
from smapd.errors import DataDirUnusable, NotRunning
from smapd.storage import Daemon, DataDir, daemon, read_daemon

HERE = Daemon(4711, "http://127.0.0.1:8080", "0.1.0")


@pytest.fixture
def opened(tmp_path: pathlib.Path) -> Iterator[DataDir]:
    directory = DataDir(tmp_path / "data")
    directory.open()
    yield directory
    directory.close()


def test_a_running_daemon_is_found_by_its_directory(opened: DataDir) -> None:
    """SM-40: several daemons on one host are told apart by their directories."""
    opened.write_daemon(HERE)

    assert read_daemon(opened.path) == HERE
    assert (opened.path / "daemon.json").stat().st_mode & 0o7777 == 0o600


def test_a_daemon_that_starts_is_known_by_its_pid(opened: DataDir) -> None:
    """SM-40: one without HTTP too."""
    assert read_daemon(opened.path) == Daemon(os.getpid(), "", smapd.__version__)


def test_what_is_written_later_counts(opened: DataDir) -> None:
    opened.write_daemon(Daemon(4711, "", "0.1.0"))
    opened.write_daemon(HERE)

    assert read_daemon(opened.path) == HERE


def test_no_daemon_is_found_after_close(opened: DataDir) -> None:
    opened.write_daemon(HERE)

    opened.close()

    with pytest.raises(NotRunning) as caught:
        read_daemon(opened.path)
    assert caught.value.message == f"no daemon runs on the data directory {opened.path}."
    assert not (opened.path / "daemon.json").exists()


def test_a_file_left_by_a_killed_daemon_is_no_daemon(opened: DataDir) -> None:
    opened.write_daemon(HERE)
    content = (opened.path / "daemon.json").read_bytes()
    opened.close()
    (opened.path / "daemon.json").write_bytes(content)

    with pytest.raises(NotRunning):
        read_daemon(opened.path)


def test_the_next_daemon_replaces_what_was_left(opened: DataDir) -> None:
    (opened.path / "daemon.json").write_text("{}")
    (opened.path / "daemon.json.new").write_text("{")

    opened.write_daemon(HERE)

    assert read_daemon(opened.path) == HERE


def test_a_directory_that_is_not_there_runs_no_daemon(tmp_path: pathlib.Path) -> None:
    with pytest.raises(NotRunning):
        read_daemon(tmp_path / "nothing")


def test_looking_does_not_keep_a_daemon_from_starting(opened: DataDir) -> None:
    opened.write_daemon(HERE)
    with open(opened.path / "daemon.json", "rb"):
        read_daemon(opened.path)

        opened.write_daemon(HERE)

    assert read_daemon(opened.path) == HERE


def test_a_pipe_in_its_place_is_no_daemon_and_not_waited_for(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "daemon.json")

    with pytest.raises(NotRunning):
        read_daemon(tmp_path)


def test_a_file_of_somebody_else_says_so(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(daemon, "open", refuse, raising=False)

    with pytest.raises(NotRunning) as caught:
        read_daemon(tmp_path)

    assert caught.value.message == f"{tmp_path / 'daemon.json'} cannot be read by this user."


def test_a_full_disk_is_one_sentence(opened: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(daemon.os, "write", full)

    with pytest.raises(DataDirUnusable) as caught:
        opened.write_daemon(HERE)

    assert caught.value.message == (
        f"data directory {opened.path}: daemon.json: no space left on device."
    )
