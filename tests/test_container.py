"""The container file: no engine runs here, so what it says is held against the tree."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from smapd.cli.main import main

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "contrib" / "Containerfile").read_text()


def lines(word: str) -> list[str]:
    joined = TEXT.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.startswith(word + " ")]


def test_what_it_copies_from_the_checkout_is_there() -> None:
    """P-18: a file that was moved would break the build."""
    for line in lines("COPY"):
        words = shlex.split(line)[1:]
        if not words[0].startswith("--from"):
            assert (ROOT / words[0]).exists(), line


def test_it_runs_as_its_own_user_with_its_data_in_a_volume() -> None:
    """P-18: not as root, and an update of the image loses nothing."""
    assert lines("USER")[-1] == "USER smapd"
    assert lines("VOLUME") == ["VOLUME /data"]
    assert '"--data-dir", "/data"' in lines("ENTRYPOINT")[0]


def test_the_commands_in_it_take_their_arguments() -> None:
    """P-18: the entry point and the health check name commands and options that there are."""
    found = re.findall(r'"(--[a-z-]+)"', TEXT)

    assert set(found) == {"--data-dir"}
    for command in ("run", "status"):
        with pytest.raises(SystemExit) as end:
            main([command, "--help"])
        assert end.value.code == 0
