"""IM-08: files by their sha256."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from smapd.desired.blobs import Blobs
from smapd.errors import BadRequest, NoSuchBlob

DATA = b"hello"
NAME = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    made = Blobs(tmp_path / "blobs", tmp_path / "quarantine")
    made.open()
    return made


def test_a_blob_is_read_back(blobs: Blobs) -> None:
    assert blobs.put(NAME, DATA)
    assert not blobs.put(NAME, DATA)

    assert blobs.get(NAME) == DATA
    assert (blobs.directory / NAME[:2] / NAME).is_file()
    assert blobs.missing([NAME, "0" * 64]) == ["0" * 64]


@pytest.mark.parametrize("name", ["", "x" * 64, NAME.upper(), "../../etc/passwd", NAME + "\n"])
def test_what_is_no_sha256_is_refused(blobs: Blobs, name: str) -> None:
    with pytest.raises(BadRequest, match="no name of a blob"):
        blobs.put(name, DATA)
    with pytest.raises(BadRequest, match="no name of a blob"):
        blobs.get(name)


def test_other_bytes_are_refused(blobs: Blobs) -> None:
    with pytest.raises(BadRequest, match=f"have the sha256 {NAME}, not {'0' * 64}"):
        blobs.put("0" * 64, DATA)


def test_a_damaged_blob_is_set_aside_and_may_come_again(blobs: Blobs) -> None:
    blobs.put(NAME, DATA)
    (blobs.directory / NAME[:2] / NAME).write_bytes(b"hellO")

    with pytest.raises(NoSuchBlob, match="was damaged"):
        blobs.get(NAME)

    assert blobs.damaged == 1
    assert list(blobs.quarantine.iterdir())
    assert blobs.put(NAME, DATA)
    assert blobs.get(NAME) == DATA


def test_what_a_crash_left_is_cleared_away(blobs: Blobs) -> None:
    blobs.put(NAME, DATA)
    left = blobs.directory / NAME[:2] / f".new-{NAME}"
    left.write_bytes(b"he")

    blobs.open()

    assert not left.exists()
    assert blobs.get(NAME) == DATA


def test_what_no_version_names_goes_after_a_while(blobs: Blobs) -> None:
    other = hashlib.sha256(b"other").hexdigest()
    blobs.put(NAME, DATA)
    blobs.put(other, b"other")

    assert blobs.sweep({NAME}, before_s=0.0) == 0
    assert blobs.sweep({NAME}, before_s=1e12) == 1

    assert blobs.get(NAME) == DATA
    with pytest.raises(NoSuchBlob, match="There is no blob"):
        blobs.get(other)
