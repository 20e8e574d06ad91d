"""desired/builtin/file.py: std::File, as the guide to south bound integrations has it."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from smapd.desired import (
    Change,
    Exporter,
    HandlerContext,
    ResourceResult,
    ResourceState,
    deploy,
    registry,
)
from smapd.desired.builtin import File, Host
from smapd.desired.builtin.file import FileHandler

from .conftest import brought_about, failed

HOST = Host("edge")
ME = os.geteuid()

DOCUMENT = """
from smapd.desired import resource, Resource

@resource("std::File", agent="host.name", id_attribute="path")
class File(Resource):
    fields = ("path", "owner", "hash", "group", "permissions", "purged", "reload")

    @staticmethod
    def get_hash(exporter, obj):
        hash_id = md5sum(obj.content)
        exporter.upload_file(hash_id, obj.content)
        return hash_id

    @staticmethod
    def get_permissions(_, obj):
        return int(obj.mode)
"""

pytestmark = pytest.mark.real  # deploy() in memory works with threads


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "motd"


def bring(place: Path | str, *, dry_run: bool = False, **more: Any) -> ResourceResult:
    return brought_about(File(HOST, str(place), **more), dry_run=dry_run)


def done(result: ResourceResult, change: Change, *fields: str) -> None:
    assert result.status is ResourceState.DEPLOYED, result.reason
    assert (result.change, sorted(result.changes)) == (change, sorted(fields))


def mode(place: Path) -> int:
    return int(f"{stat.S_IMODE(place.stat().st_mode):o}")


def test_it_is_made_left_alone_changed_and_taken_away(place: Path) -> None:
    """IM-15 to IM-19, IM-21."""
    done(bring(place, content="hello", mode=640), Change.CREATED, "purged")
    assert (place.read_text(), mode(place)) == ("hello", 640)

    done(bring(place, content="hello", mode=640), Change.NOCHANGE)
    done(bring(place, content=b"\0\xff", mode=640), Change.UPDATED, "hash")
    assert place.read_bytes() == b"\0\xff"
    done(bring(place, content=b"\0\xff", mode=600), Change.UPDATED, "permissions")
    assert (place.read_bytes(), mode(place)) == (b"\0\xff", 600)

    done(bring(place, content=b"\0\xff", mode=600, purged=True), Change.PURGED, "purged")
    assert not place.exists()
    done(bring(place, purged=True), Change.NOCHANGE)


@pytest.mark.parametrize("own", ["md5", "sha1", "sha256", ""])
def test_the_document_s_resource_works_with_this_handler(place: Path, own: str) -> None:
    """IM-01, IM-05, IM-08: its source as printed but for the slips; the name is the reader's own,
    and need be no hash of anything."""

    def md5sum(content: str) -> str:
        if not own:
            return f"motd of {len(content)} letters"
        return hashlib.new(own, content.encode(), usedforsecurity=False).hexdigest()

    kind = registry.frozen().resources["std::File"]
    exec(DOCUMENT, {"md5sum": md5sum})
    assert registry.frozen().resources["std::File"] != kind

    done(bring(place, content="hello", mode="644"), Change.CREATED, "purged")
    done(bring(place, content="hello", mode="644"), Change.NOCHANGE)
    place.write_text("HELLO")
    changed = bring(place, content="hello", mode="644")
    done(changed, Change.UPDATED, "hash")
    assert changed.changes["hash"]["desired"] == md5sum("hello")
    assert changed.changes["hash"]["current"] != md5sum("hello")
    assert place.read_text() == "hello"


def test_its_json_has_the_fields_of_the_document_and_no_more() -> None:
    """IM-12: so an agent with this class takes what a model with the document's class sends."""
    (one,) = Exporter().run([File(HOST, "/etc/motd", "hello", owner="root")], 3).resources

    assert one.serialize() == {
        "id": "std::File[edge,path=/etc/motd],v=3",
        "requires": [],
        "path": "/etc/motd",
        "owner": "root",
        "hash": hashlib.sha256(b"hello").hexdigest(),
        "group": None,
        "permissions": 644,
        "purged": False,
        "reload": False,
    }


def test_a_dry_run_finds_the_differences_and_changes_nothing(place: Path) -> None:
    """IM-23"""
    place.write_text("a")
    place.chmod(0o600)

    found = bring(place, content="b", mode=644, dry_run=True)

    assert (found.status, found.change) == (ResourceState.DRY, Change.NOCHANGE)
    assert sorted(found.changes) == ["hash", "permissions"]
    assert (place.read_text(), mode(place)) == ("a", 600)


def test_what_the_model_does_not_name_stays_as_it_is(place: Path) -> None:
    """IM-25"""
    place.write_text("a")
    place.chmod(0o604)

    done(bring(place, mode=None), Change.NOCHANGE)
    done(bring(place, content="b", mode=None), Change.UPDATED, "hash")

    assert (place.read_text(), mode(place)) == ("b", 604)


def test_a_file_that_has_no_content_in_the_model_is_not_made(place: Path) -> None:
    failed(bring(place), f"{place} is not there, and the model gives it no content.")


@pytest.mark.skipif(ME != 0, reason="only root gives files away")
def test_owner_and_group_are_set_by_name_and_by_number(place: Path) -> None:
    bring(place, content="a", owner="nobody", group="nogroup", mode=4755)
    found = place.stat()
    assert (found.st_uid, found.st_gid, mode(place)) == (65534, 65534, 4755)

    done(bring(place, content="a", owner="65534", group="65534", mode=4755), Change.NOCHANGE)
    done(bring(place, content="a", owner="0", mode=4755), Change.UPDATED, "owner")
    found = place.stat()
    assert (found.st_uid, found.st_gid, mode(place)) == (0, 65534, 4755)
    changed = bring(place, content="b", owner="root", group="root", mode=None)
    assert changed.changes["group"] == {"current": "nogroup", "desired": "root"}
    found = place.stat()
    assert (found.st_uid, found.st_gid, mode(place)) == (0, 0, 4755)


def test_a_user_or_group_that_is_not_here_is_named(place: Path) -> None:
    place.write_text("a")

    failed(bring(place, owner="no-such"), "There is no user no-such on this machine.")
    failed(bring(place, group="no-such"), "There is no group no-such on this machine.")


@pytest.mark.parametrize("purged", [False, True])
def test_what_is_no_file_is_left_alone(tmp_path: Path, purged: bool) -> None:
    """A link may lead anywhere, a pipe would hang, and a directory is not ours to empty."""
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")

    for name, what in (("link", "a symbolic link"), ("folder", "a directory"), ("pipe", "a pipe")):
        result = bring(tmp_path / name, content="x", purged=purged)
        failed(result, f"{tmp_path / name} is {what} and not a file; it is left alone.")

    assert target.read_text() == "precious"
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("etc/motd", "path = 'etc/motd' is not absolute: write one that begins with /."),
        ("/etc/../motd", "path = /etc/../motd is no plain path of a file: write it without"),
        ("/etc//motd", "path = /etc//motd is no plain path of a file: write it without"),
        ("/etc/", "path = /etc/ is no plain path of a file: write it without"),
        ("/", "path = / is no plain path of a file: write it without"),
    ],
)
def test_a_path_that_is_none_is_refused(path: str, said: str) -> None:
    result = bring(path, content="x")

    assert result.status is ResourceState.FAILED
    assert result.reason.startswith(f"NotDone: {said}")


def test_a_directory_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    place = tmp_path / "no" / "motd"

    failed(bring(place, content="x"), f"{place} cannot be written: No such file or directory.")


@pytest.mark.parametrize("given", [0o644, 0o755, 0o640, "rw", 88888, -1, True, "00644 "])
def test_a_mode_that_is_none_is_refused_when_the_model_is_exported(given: Any) -> None:
    """0o644 is 420 in Python: that would be r---w----."""
    with pytest.raises(ValueError, match="get_permissions failed: ValueError: mode = .* is none"):
        Exporter().run([File(HOST, "/a", "x", mode=given)], 1)


@pytest.mark.parametrize(
    ("given", "permissions"), [(644, 644), ("0644", 644), ("0o644", 644), ("420", 420), ("7", 7)]
)
def test_modes_are_octal_digits(given: Any, permissions: int) -> None:
    (one,) = Exporter().run([File(HOST, "/a", "x", mode=given)], 1).resources

    assert one.serialize()["permissions"] == permissions


def test_permissions_that_are_none_are_refused_by_the_handler(place: Path) -> None:
    (one,) = Exporter().run([File(HOST, str(place), "x")], 1).resources
    one.permissions = 999  # type: ignore[attr-defined]

    (result,) = deploy([one]).values()

    failed(result, "permissions = 999 is none: write the octal digits, like 644.")


def test_content_that_was_not_uploaded_is_named(place: Path) -> None:
    """A name that is the sha256 of what is there is believed without."""
    (one,) = Exporter().run([File(HOST, str(place), "x")], 1).resources
    digest = hashlib.sha256(b"x").hexdigest()

    (result,) = deploy([one]).values()
    failed(result, f"The content {digest} was not uploaded with this version.")

    place.write_text("x")
    place.chmod(0o644)
    (result,) = deploy([one]).values()
    done(result, Change.NOCHANGE)


def test_its_facts_are_size_and_age(place: Path) -> None:
    """IM-36"""
    place.write_text("hello")
    (one,) = Exporter().run([File(HOST, str(place), "x")], 1).resources

    facts = FileHandler().check_facts(HandlerContext(one), one)

    assert facts["size"] == 5
    assert facts["modified_ms"] == place.stat().st_mtime_ns // 1_000_000
