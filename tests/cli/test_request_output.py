"""Where ``smapd request`` writes, and what it says of arguments that no header can carry."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from smapd.cli import request
from smapd.cli.main import main


def test_a_pipe_or_device_is_written_to_and_stays_what_it_is(tmp_path: Path) -> None:
    """-o /dev/null, run by root, must not leave a file in the place of the device."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with request._output(str(pipe)) as out:
            out.write(b"answer")
        assert os.read(reader, 100) == b"answer"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_pipe_without_a_name_is_written_to() -> None:
    """-o /dev/stdout before a |, and -o >(gzip >file)."""
    reader, writer = os.pipe()
    try:
        with request._output(f"/dev/fd/{writer}") as out:
            out.write(b"answer")
        assert os.read(reader, 100) == b"answer"
    finally:
        os.close(reader)
        os.close(writer)


def test_a_daemon_that_goes_away_is_not_taken_for_a_bad_output() -> None:
    with pytest.raises(TimeoutError), request._output(os.devnull):
        raise TimeoutError("timed out")


def test_what_a_link_names_is_written_and_the_link_stays(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)

    with request._output(str(link)) as out:
        out.write(b"new")

    assert link.is_symlink()
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize(
    "args",
    [
        ["request", "a", "T", "--mime", "a\nb"],
        ["request", "a", "T", "--mime", "\u0436"],
        ["request", "a", "T\udcff"],
        ["events", "a\udcff"],
        ["asset", "remove", "a\udcff"],
    ],
)
def test_what_cannot_be_sent_is_one_sentence(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*args, "--url", "http://127.0.0.1:1"]) == 1
    assert capsys.readouterr().err.startswith("smapd: ")
