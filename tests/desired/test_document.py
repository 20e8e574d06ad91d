"""The code of the document on south bound integrations, with its imports changed to ours.

The fragments stand here as they are printed but for two slips: ``get_permissions`` says ``x.mode``
where its parameter is called ``obj``, and ``md5sum`` is left to the reader. What a fragment leaves
out (the class around a method, the body behind ``# ...``) is made up here.
"""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from smapd.desired import (
    AgentCache,
    AgentSide,
    Change,
    CRUDHandler,
    Exporter,
    HandlerContext,
    PurgeableResource,
    ResourcePurged,
    ResourceState,
    deploy,
    provider,
)


def md5sum(content: str) -> str:
    """The reader's own."""
    return hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()


FRAGMENT_RESOURCE = """
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
        return int({obj}.mode)
"""

FRAGMENT_CACHES = """
from smapd.desired import cache

class Timed(Handler):
    @cache(timeout=120, ignore=["ctx"])
    def get_client_connection(self, ctx, device_id):
       return self.connect(device_id)

class ForVersion(Handler):
    @cache(timeout=120, ignore=["ctx"], for_version=True)
    def get_client_connection(self, ctx, device_id, version):
       return self.connect(device_id)

class Closing(Handler):
    @cache(timeout=120, ignore=["ctx"], for_version=True,
       call_on_delete=lambda connection:connection.close())
    def get_client_connection(self, ctx, device_id, version):
       return self.connect(device_id)
"""


class Host:
    name = "host1"


class Model:
    """The entities of the model."""

    class File:
        host = Host()
        owner = group = "root"
        purged = reload = False
        mode = "644"

        def __init__(self, path: str, content: str, **more: Any) -> None:
            self.path, self.content = path, content
            vars(self).update(more)


def define(**slips: str) -> None:
    exec(FRAGMENT_RESOURCE.replace("{obj}", slips.get("obj", "obj")), {"md5sum": md5sum})


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A handler for the document's files, on a directory."""
    define()

    @provider("std::File", name="posix_file")
    class PosixFile(CRUDHandler):
        def _place(self, resource: Any) -> Path:
            return tmp_path / resource.path.strip("/")

        def read_resource(self, ctx: HandlerContext, resource: Any) -> None:
            place = self._place(resource)
            if not place.exists():
                raise ResourcePurged
            resource.purged = False
            resource.hash = md5sum(place.read_text())
            resource.permissions = int(oct(place.stat().st_mode & 0o777)[2:])

        def create_resource(self, ctx: HandlerContext, resource: Any) -> None:
            ctx.debug(
                "Creating %(path)s with hash %(hash)s", path=resource.path, hash=resource.hash
            )
            content = self.get_file(resource.hash)
            assert content is not None
            self._place(resource).write_bytes(content)
            self._place(resource).chmod(int(str(resource.permissions), 8))
            ctx.set_created()

        def update_resource(self, ctx: HandlerContext, changes: Any, resource: Any) -> None:
            if "hash" in changes:
                content = self.get_file(resource.hash)
                assert content is not None
                self._place(resource).write_bytes(content)
            self._place(resource).chmod(int(str(resource.permissions), 8))
            ctx.set_updated()

        def delete_resource(self, ctx: HandlerContext, resource: Any) -> None:
            self._place(resource).unlink()
            ctx.set_purged()

    return tmp_path


def test_the_resource_of_the_document_is_exported() -> None:
    """IM-01, IM-02, IM-05, IM-06, IM-08"""
    define()

    export = Exporter().run([Model.File("/etc/motd", "hello")], 1)

    digest = md5sum("hello")
    assert [one.serialize() for one in export.resources] == [
        {
            "id": "std::File[host1,path=/etc/motd],v=1",
            "requires": [],
            "path": "/etc/motd",
            "owner": "root",
            "hash": digest,
            "group": "root",
            "permissions": 644,
            "purged": False,
            "reload": False,
        }
    ]
    assert export.files == {digest: hashlib.sha256(b"hello").hexdigest()}


def test_the_slip_is_one() -> None:
    """As printed, get_permissions reads a name that is nowhere defined."""
    define(obj="x")

    with pytest.raises(ValueError, match="get_permissions failed: NameError"):
        Exporter().run([Model.File("/a", "b")], 1)


@pytest.mark.real
def test_its_files_are_made_changed_left_alone_and_taken_away(files: Path) -> None:
    """IM-15 to IM-19, IM-21, IM-28"""
    place = files / "motd"

    def run(content: str, **more: Any) -> Any:
        export = Exporter().run([Model.File("/motd", content, **more)], 1)
        results = deploy(export.resources, export.requires, 1, files=export.contents())
        (result,) = results.values()
        assert result.status is ResourceState.DEPLOYED, result.reason
        return result

    made = run("hello")
    assert (made.change, place.read_text()) == (Change.CREATED, "hello")
    assert f"Creating /motd with hash {md5sum('hello')}" in [r.message for r in made.logs]
    assert run("hello").change is Change.NOCHANGE
    changed = run("bye", mode="600")
    assert (changed.change, place.read_text()) == (Change.UPDATED, "bye")
    assert sorted(changed.changes) == ["hash", "permissions"]
    assert place.stat().st_mode & 0o777 == 0o600
    assert run("bye", purged=True).change is Change.PURGED
    assert not place.exists()
    assert run("bye", purged=True).change is Change.NOCHANGE


def test_the_log_line_of_the_document() -> None:
    """IM-27, IM-28"""

    class ELB(PurgeableResource):
        fields = ("name",)

    class LoadBalancerHandler(CRUDHandler):
        def create_resource(self, ctx: HandlerContext, resource: ELB) -> None:
            sg_id = "sg-1"
            ctx.debug("Creating loadbalancer with security group %(sg)s", sg=sg_id)

    ctx = HandlerContext()
    LoadBalancerHandler().create_resource(ctx, ELB("aws::ELB[a,name=b]"))

    assert ctx.logs[0].message == "Creating loadbalancer with security group sg-1"
    assert ctx.logs[0].kwargs == {"sg": "sg-1"}


class Connection:
    closed = 0

    def close(self) -> None:
        self.closed += 1


class Handler(CRUDHandler):
    def connect(self, device_id: str) -> Connection:
        return Connection()


def cached(name: str, held: AgentCache) -> Any:
    names: dict[str, Any] = {"Handler": Handler}
    exec(FRAGMENT_CACHES, names)
    return names[name](AgentSide("edge", held))


def test_the_caches_of_the_document() -> None:
    """IM-39, IM-40, IM-41, IM-42, IM-43"""
    clock = Clock()
    held = AgentCache(clock)
    timed = cached("Timed", held).get_client_connection
    bound = cached("ForVersion", held).get_client_connection
    closing = cached("Closing", held).get_client_connection
    held.open_version(7)

    first = (timed(1, "d"), bound(1, "d", 7), closing(1, "d", 7))
    assert (timed(2, "d"), bound(2, "d", 7), closing(2, "d", version=7)) == first

    held.close_version(7)
    assert timed(1, "d") is first[0]
    assert bound(1, "d", 7) is not first[1]
    assert first[2].closed == 1
    clock.advance(120)
    assert timed(1, "d") is not first[0]
    assert first[2].closed == 1
