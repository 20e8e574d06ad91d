"""From entities to resources."""

import hashlib
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from smapd.desired import (
    Export,
    Exporter,
    Id,
    IgnoreResourceException,
    ManagedResource,
    PurgeableResource,
    Resource,
    deploy,
    provider,
    registry,
    resource,
)
from smapd.desired.handler import CRUDHandler
from smapd.errors import BadModel, VersionConflict


class Host:
    def __init__(self, name: str) -> None:
        self.name = name


class File:
    """An entity of the model; the resource class of the same name is made in each test."""

    def __init__(self, path: str, host: Host, **more: Any) -> None:
        self.path, self.host = path, host
        self.owner = "root"
        self.requires: list[Any] = []
        vars(self).update(more)


HOST = Host("host1")


def register(name: str = "std::File", base: type = Resource, **methods: Any) -> type[Resource]:
    fields = methods.pop("fields", ("path", "owner"))
    statics = {key: staticmethod(f) for key, f in methods.items()}
    cls = type("FileResource", (base,), {"fields": fields, **statics})
    return resource(name, agent="host.name", id_attribute="path")(cls)


def problems_of(*entities: object) -> BadModel:
    with pytest.raises(BadModel) as caught:
        Exporter().run(entities, 1)
    return caught.value


def test_an_entity_becomes_the_resource_of_its_type() -> None:
    """IM-04, IM-06: fields are attributes of the same name; the agent is found along the way."""
    register()

    export = Exporter().run([HOST, File("/a", HOST), File("/b", Host("host2"))], 7)

    assert [one.serialize() for one in export.resources] == [
        {"id": "std::File[host1,path=/a],v=7", "requires": [], "path": "/a", "owner": "root"},
        {"id": "std::File[host2,path=/b],v=7", "requires": [], "path": "/b", "owner": "root"},
    ]
    assert export.version == 7


def test_without_a_version_the_ids_have_none() -> None:
    register()

    export = Exporter().run([File("/a", HOST)])

    assert str(export.resources[0].id) == "std::File[host1,path=/a]"


def test_a_mapping_decides_over_the_attribute() -> None:
    """IM-05: it is handed the exporter and the entity; also for the field in the id."""
    seen: list[Any] = []

    def get_owner(exporter: Exporter, obj: Any) -> str:
        seen.append((exporter, obj))
        return obj.owner.upper()

    register(get_owner=get_owner, get_path=lambda _, obj: f"/mapped{obj.path}")
    exporter, entity = Exporter(), File("/a", HOST)

    export = exporter.run([entity], 1)

    assert export.resources[0].serialize()["owner"] == "ROOT"
    assert str(export.resources[0].id) == "std::File[host1,path=/mapped/a],v=1"
    assert seen == [(exporter, entity)]


def test_the_way_to_the_agent_goes_through_a_list_of_one() -> None:
    register()

    export = Exporter().run([File("/a", [HOST])])  # type: ignore[arg-type]

    assert export.resources[0].id.agent_name == "host1"


def test_a_subclass_of_an_entity_is_one_of_its_kind() -> None:
    register()

    class Special(File):
        pass

    assert len(Exporter().run([Special("/a", HOST)]).resources) == 1


def test_entity_type_says_which_of_two_it_is() -> None:
    register("std::File")
    register("web::File")

    failed = problems_of(File("/a", HOST))
    export = Exporter().run([File("/a", HOST, entity_type="web::File")], 1)

    assert "File '/a': it could be any of std::File, web::File: say which" in failed.problems[0]
    assert export.resources[0].id.entity_type == "web::File"


def test_a_field_that_holds_an_entity_is_refused() -> None:
    """IM-07: also inside a list or a dict, and one that is in no list of entities."""
    register()
    held = ({"x": [File("/c", HOST)]}, File("/d", HOST), HOST)

    for owner in held:
        failed = problems_of(HOST, File("/a", HOST, owner=owner))
        assert "File '/a': the field owner holds an entity, " in failed.problems[0]


def test_a_reference_to_another_resource_is_refused() -> None:
    """IM-07"""
    cls = register()

    class Slotted:
        __slots__ = ("path",)

    id_ = Id.parse_id("std::File[a,path=b]")
    for owner in (cls(id_), id_, [id_]):
        failed = problems_of(File("/a", HOST, owner=owner))
        assert "the field owner refers to another resource, std::File[a,path=b]" in str(failed)
    for owner in (Slotted.path, property()):
        failed = problems_of(File("/a", HOST, owner=owner))
        assert "a reference to a field of another class" in str(failed)


def test_a_field_that_is_not_json_is_refused() -> None:
    register()

    failed = problems_of(File("/a", HOST, owner=b"root"))

    assert failed.problems == (
        "File '/a': the field owner holds bytes: hand them to exporter.upload_file, and keep the"
        " hash that it gives.",
    )


def test_files_go_along_by_their_hash() -> None:
    """IM-08: text as UTF-8; the name maps to the sha256."""

    def get_owner(exporter: Exporter, obj: Any) -> str:
        return exporter.upload_file("motd", "grüße")

    register(get_owner=get_owner)
    sha256 = hashlib.sha256("grüße".encode()).hexdigest()

    export = Exporter().run([File("/a", HOST), File("/b", HOST)], 1)

    assert export.resources[0].serialize()["owner"] == sha256
    assert export.files == {"motd": sha256}
    assert export.blobs == {sha256: "grüße".encode()}
    assert export.contents()["motd"] == export.contents()[sha256]


def test_the_same_name_with_other_bytes_is_a_conflict() -> None:
    """IM-08"""
    exporter = Exporter()
    exporter.upload_file("x", b"1")
    exporter.upload_file("x", b"1")

    with pytest.raises(VersionConflict, match="The file x has other bytes already"):
        exporter.upload_file("x", b"2")
    assert exporter.files == {"x": hashlib.sha256(b"1").hexdigest()}


@pytest.mark.parametrize(("name", "content"), [("", b""), (None, b""), ("x", 3), ("y" * 2000, b"")])
def test_what_is_no_file_is_refused(name: Any, content: Any) -> None:
    with pytest.raises(TypeError):
        Exporter().upload_file(name, content)


def test_a_conflict_in_a_mapping_is_a_problem_of_that_entity() -> None:
    register(get_owner=lambda e, obj: e.upload_file("same", obj.path))

    failed = problems_of(File("/a", HOST), File("/b", HOST))

    assert failed.problems == (
        "File '/b': get_owner failed: VersionConflict: The file same has other bytes already in"
        " this version.",
    )


def test_purgeable_entities_may_leave_their_words_out() -> None:
    """IM-09"""
    register(base=PurgeableResource)

    export = Exporter().run([File("/a", HOST), File("/b", HOST, purged=True, purge_on_delete=True)])

    told = [one.serialize() for one in export.resources]
    assert [(one["purged"], one["purge_on_delete"]) for one in told] == [
        (False, False),
        (True, True),
    ]


def test_what_is_not_managed_is_left_out() -> None:
    """IM-10"""
    register(base=ManagedResource)

    export = Exporter().run([File("/a", HOST, managed=False), File("/b", HOST, managed=True)])

    assert [one.id.attribute_value for one in export.resources] == ["/b"]
    assert export.ignored == ["File '/a' is left out: it is not managed."]


def test_an_ignored_resource_is_dropped_and_what_requires_it_goes_on() -> None:
    """IM-11"""

    def get_owner(_: Exporter, obj: Any) -> str:
        if obj.path == "/a":
            raise IgnoreResourceException("not here")
        return "root"

    register(get_owner=get_owner)
    first, second, third = File("/a", HOST), File("/b", HOST), File("/c", HOST)
    second.requires = [first]
    third.requires = [first, second, HOST]

    export = Exporter().run([third, second, first, HOST], 1)

    assert [one.id.attribute_value for one in export.resources] == ["/c", "/b"]
    assert {str(k): [str(v) for v in vs] for k, vs in export.requires.items()} == {
        "std::File[host1,path=/c],v=1": ["std::File[host1,path=/b],v=1"]
    }


@pytest.mark.parametrize("wrap", [list, tuple, set, lambda them: them[0]])
def test_requires_is_one_entity_or_several(wrap: Any) -> None:
    register()
    first = File("/a", HOST)
    second = File("/b", HOST, requires=wrap([first]))

    export = Exporter().run([second, first])

    assert export.resources[0].serialize()["requires"] == ["std::File[host1,path=/a]"]


def test_an_entity_given_twice_is_taken_once() -> None:
    register()
    one = File("/a", HOST)

    assert len(Exporter().run([one, one]).resources) == 1


def test_every_problem_is_named_at_once_and_the_rest_is_there() -> None:
    """A get_ that raises, a missing attribute, a double id, an unknown requirement: one each."""

    def get_owner(_: Exporter, obj: Any) -> str:
        if obj.path == "/raises":
            raise ZeroDivisionError("oh")
        return str(obj.owner)

    register(get_owner=get_owner)
    away = File("/away", HOST)
    bare = File("/bare", HOST)
    del bare.path
    behind = File("/behind", HOST)
    raises, good = File("/raises", HOST), File("/good", HOST)
    behind.requires = [raises]
    further = File("/further", HOST, requires=[behind])

    failed = problems_of(
        further,
        raises,
        bare,
        File("/homeless", Host(3)),  # type: ignore[arg-type]
        File("/hostless", None),  # type: ignore[arg-type]
        File("/twice", HOST),
        File("/twice", HOST),
        File("/wants", HOST, requires=[away]),
        File("/text", HOST, requires="File /a"),
        behind,
        good,
    )

    assert list(failed.problems) == [
        "File '/raises': get_owner failed: ZeroDivisionError: oh.",
        f"File {hex(id(bare))}: it has no attribute path, and no get_path gives one.",
        "File '/homeless': its agent, at host.name, is '3', not text.",
        "File '/hostless': its agent is at host.name, and there is no name there.",
        "std::File[host1,path=/twice] is there twice: two entities of the model have the same"
        " agent and path.",
        "std::File[host1,path=/wants],v=1 requires File '/away', which is not in the model.",
        "File '/text': its requires is the text 'File /a', not entities.",
    ]
    rest = failed.rest
    assert isinstance(rest, Export)
    assert [one.id.attribute_value for one in rest.resources] == ["/twice", "/good"]


def test_a_ring_is_spelled_out() -> None:
    """IM-34"""
    register()
    a, b, c = (File(f"/{name}", HOST) for name in "abc")
    a.requires, b.requires, c.requires = [b], [c], [a]

    failed = problems_of(a, b, c)

    names = [f"std::File[host1,path=/{name}]" for name in "abca"]
    assert failed.problems == (f"A ring of requirements: {' requires '.join(names)}.",)


def test_many_problems_are_cut_short() -> None:
    register()

    failed = problems_of(*(File(f"/{i}", HOST, owner=b"") for i in range(100)))

    assert len(failed.problems) == 21
    assert failed.problems[-1] == "80 more problems."


@pytest.mark.parametrize("value", [None, "", [], "a\nb"])
def test_an_id_field_that_names_nothing_is_refused(value: Any) -> None:
    register()

    assert len(problems_of(File(value, HOST)).problems) == 1


def test_what_is_sent_is_json_with_the_hashes_of_the_handlers() -> None:
    """IM-12, IM-14"""
    register(get_owner=lambda e, _: e.upload_file("f", b"x"))
    provider("std::File", name="x")(type("H", (CRUDHandler,), {"__module__": __name__}))

    export = Exporter().run([File("/a", HOST)])
    told = export.as_json()

    assert orjson.loads(orjson.dumps(told)) == told
    assert sorted(told) == ["files", "handlers", "resources"]
    assert told["handlers"] == registry.frozen().handler_hashes()


def test_a_ctrl_c_in_the_model_ends_the_export() -> None:
    def get_owner(_: Exporter, obj: Any) -> str:
        raise KeyboardInterrupt

    register(get_owner=get_owner)

    with pytest.raises(KeyboardInterrupt):
        Exporter().run([File("/a", HOST)])


def test_an_exporter_may_have_a_registry_of_its_own() -> None:
    register()
    known = registry.frozen()
    registry.clear()

    assert len(Exporter(known).run([File("/a", HOST)]).resources) == 1
    assert Exporter().run([File("/a", HOST)]).resources == []


def test_any_object_is_an_entity() -> None:
    register()
    entity = SimpleNamespace(entity_type="std::File", path="/a", owner="o", host=HOST)

    assert len(Exporter().run([entity]).resources) == 1


def test_an_empty_model_is_one() -> None:
    export = Exporter().run([], 1)

    assert export.as_json() == {"resources": [], "files": {}, "handlers": {}}
    assert deploy(export.resources, export.requires, 1) == {}
