"""Resource classes, their fields, and their JSON form."""

import pytest

from smapd.desired import (
    Id,
    ManagedResource,
    PurgeableResource,
    Resource,
    registry,
    resource,
)
from smapd.errors import BadModel

ID = "std::File[host1,path=/etc/motd]"


def make_file() -> type[Resource]:
    @resource("std::File", agent="host.name", id_attribute="path")
    class File(Resource):
        fields = ("path", "owner", "tags")

    return File


def test_the_decorator_registers_the_class_and_gives_it_back() -> None:
    """IM-01"""
    File = make_file()

    kind = registry.frozen().resources["std::File"]
    assert (kind.cls, kind.agent, kind.id_attribute) == (File, "host.name", "path")


@pytest.mark.parametrize("fields", [("a", "b"), ["a", "b"]])
def test_fields_are_a_tuple_or_a_list(fields: list[str]) -> None:
    """IM-02"""
    cls = type("R", (Resource,), {"fields": fields})

    assert cls.fields == ("a", "b")
    assert cls(Id.parse_id(ID)).a is None


def test_fields_of_parents_are_added() -> None:
    """IM-03: of all bases, and each once."""

    class Base(Resource):
        fields = ("a", "b")

    class Side(PurgeableResource):
        fields = ("s",)

    class Child(Base, Side):
        fields = ("b", "c")

    class Silent(Child):
        pass

    assert sorted(Child.fields) == ["a", "b", "c", "purge_on_delete", "purged", "s"]
    assert Silent.fields == Child.fields
    assert Base.fields == ("a", "b")


def test_the_two_bases_bring_their_fields() -> None:
    """IM-09, IM-10"""
    assert PurgeableResource.fields == ("purged", "purge_on_delete")
    assert ManagedResource.fields == ("managed",)


@pytest.mark.parametrize(
    "name", ["id", "version", "requires", "model", "clone", "serialize", "fields", "set_version"]
)
def test_a_reserved_field_name_is_refused(name: str) -> None:
    with pytest.raises(BadModel, match=f"R: {name} is reserved"):
        type("R", (Resource,), {"fields": (name,)})


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (("_x",), "the field _x may not begin with _"),
        (("a b",), "'a b' is not the name of a field"),
        ((3,), "3 is not the name of a field"),
        ("path", "fields is a list or tuple of names, not 'path'"),
        (7, "fields is a list or tuple of names, not 7"),
    ],
)
def test_what_is_no_field_name_is_refused(fields: object, sentence: str) -> None:
    with pytest.raises(BadModel, match=sentence):
        type("R", (Resource,), {"fields": fields})


@pytest.mark.parametrize(
    ("name", "agent", "attribute", "sentence"),
    [
        ("File", "host", "path", "not the type of an id"),
        ("std::File", "host..name", "path", "no way like host.name"),
        ("std::File", 3, "path", "no way like host.name"),
        ("std::File", "host", "a=b", "not the attribute of an id"),
    ],
)
def test_a_registration_that_cannot_work_is_refused(
    name: str, agent: str, attribute: str, sentence: str
) -> None:
    with pytest.raises(BadModel, match=sentence):
        resource(name, agent=agent, id_attribute=attribute)


def test_only_a_resource_class_is_registered() -> None:
    with pytest.raises(BadModel, match="not a subclass of Resource"):
        resource("std::File", agent="a", id_attribute="b")(dict)  # type: ignore[type-var]


def test_a_resource_travels_as_json() -> None:
    """IM-12"""
    File = make_file()
    one = File(Id.parse_id(ID, version=3))
    one.path, one.owner, one.tags = "/etc/motd", None, ("a", {"b": 1.5})
    one.requires = {Id.parse_id("std::Dir[host1,path=/etc],v=3")}

    told = one.serialize()

    assert told == {
        "id": f"{ID},v=3",
        "requires": ["std::Dir[host1,path=/etc]"],
        "path": "/etc/motd",
        "owner": None,
        "tags": ["a", {"b": 1.5}],
    }
    back = Resource.deserialize(told)
    assert type(back) is File
    assert back.serialize() == told
    assert back.requires == one.requires
    assert back.version == 3


def test_deserialize_says_what_is_wrong() -> None:
    File = make_file()
    with pytest.raises(ValueError, match="has no field owner"):
        Resource.deserialize({"id": ID, "path": "x"})
    with pytest.raises(ValueError, match="no class of resources std::Other"):
        Resource.deserialize({"id": "std::Other[a,b=c]"})
    with pytest.raises(ValueError, match="an object with an id"):
        Resource.deserialize({"path": "x"})
    with pytest.raises(ValueError, match="not the id of a resource"):
        Resource.deserialize({"id": "nonsense"})
    assert File.deserialize({"id": "std::Other[a,b=c]", "path": 1, "owner": 2, "tags": 3}).tags == 3


def test_a_clone_shares_nothing_with_the_original() -> None:
    """IM-15"""
    File = make_file()
    one = File(ID)
    one.path, one.tags = "/x", [{"deep": [1]}]

    other = one.clone(owner="root")
    other.tags[0]["deep"].append(2)
    other.requires.add(Id.parse_id(ID))

    assert (one.owner, one.tags, one.requires) == (None, [{"deep": [1]}], set())
    assert (other.owner, other.path, other.id) == ("root", "/x", one.id)


def test_set_version_leaves_the_rest_of_the_id() -> None:
    one = make_file()(ID)

    one.set_version(8)

    assert (str(one), one.version) == (f"{ID},v=8", 8)


def test_a_field_that_json_cannot_hold_is_named() -> None:
    one = make_file()(ID)
    one.tags = {"x": [object()]}

    with pytest.raises(ValueError, match=r"the field tags of std::File.*\['x'\]\[0\] holds"):
        one.serialize()
