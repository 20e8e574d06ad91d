"""Resources: what an entity of the model becomes so that a handler elsewhere can bring it about.

In JSON, a resource is its fields, its id and what it requires::

    {"id": "std::File[host1,path=/etc/motd],v=3",       without ,v= before it has a version
     "requires": ["std::Directory[host1,path=/etc]"],   never with a version: it is the same one
     "path": "/etc/motd", "owner": "root", …}           each field of its class, and no other key
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, Self, TypeVar

from smapd.errors import BadModel
from smapd.values import Json

from . import registry as classes
from .ids import Id
from .jsonable import as_json
from .registry import FrozenRegistry, ResourceType

R = TypeVar("R", bound="Resource")


class IgnoreResourceException(Exception):
    """Leave this resource out; raised by a ``get_…``. What requires it goes on without it."""


class Resource:
    """A thing to be brought into its desired state. Subclasses name their ``fields``.

    The fields of all bases belong to it too. A field's value is the entity's attribute of that
    name, or what a static method ``get_<field>(exporter, entity)`` gives; it is plain JSON, and
    holds no entity and nothing of another resource.
    """

    fields: ClassVar[Sequence[str]] = ()

    def __init__(self, _id: Id | str) -> None:
        """Every field is None at first.

        :raises ValueError: if that is no id.
        """
        self.id = _id if isinstance(_id, Id) else Id.parse_id(_id)
        self.requires: set[Id] = set()
        for name in type(self).fields:
            setattr(self, name, None)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        merged: dict[str, None] = {}
        for klass in reversed(cls.__mro__):
            own = vars(klass).get("fields", ())
            if isinstance(own, str) or not isinstance(own, Iterable):
                raise BadModel(
                    f"{klass.__qualname__}: fields is a list or tuple of names, not {own!r}."
                )
            merged.update(dict.fromkeys(own))
        for name in merged:
            _check_field(cls, name)
        cls.fields = tuple(merged)

    @property
    def version(self) -> int:
        """The version of the model that it belongs to; 0 for none yet."""
        return self.id.version

    def set_version(self, version: int) -> None:
        """Make it one of this version."""
        self.id = self.id.copy(version=version)

    def clone(self, **changes: Any) -> Self:
        """A copy, lists and dicts included, with these fields otherwise."""
        made = type(self).__new__(type(self))
        for name, value in vars(self).items():
            made.__dict__[name] = _copied(value)
        for name, value in changes.items():
            setattr(made, name, value)
        return made

    def serialize(self) -> dict[str, Json]:
        """Its JSON form.

        :raises ValueError: if a field holds what JSON cannot.
        """
        made: dict[str, Json] = {
            "id": str(self.id),
            "requires": sorted(one.resource_str() for one in self.requires),
        }
        for name in type(self).fields:
            made[name] = as_json(getattr(self, name), f"the field {name} of {self.id}")
        return made

    @classmethod
    def deserialize(cls, told: Mapping[str, Json], known: FrozenRegistry | None = None) -> Resource:
        """The resource that this JSON form tells of; keys that are no fields are passed over.

        ``known``: where its class is looked up; the classes registered now if None. A type that is
        not there is taken to be this class, unless that is plain ``Resource``.

        :raises ValueError: if it is none, if its class is not known, or a field is missing.
        """
        if not isinstance(told, Mapping) or "id" not in told:
            raise ValueError("a resource in JSON is an object with an id")
        id_ = Id.parse_id(told["id"])
        if known is None:
            found = classes.resource_type(id_.entity_type)
        else:
            found = known.resources.get(id_.entity_type)
        if found is None and cls is Resource:
            raise ValueError(f"there is no class of resources {id_.entity_type} for {id_}")
        made: Resource = (found.cls if found is not None else cls)(id_)
        for name in type(made).fields:
            if name not in told:
                raise ValueError(f"{id_} has no field {name}")
            setattr(made, name, _copied(told[name]))
        made.requires = {Id.parse_id(one, version=id_.version) for one in told.get("requires", ())}
        return made

    def __str__(self) -> str:
        return str(self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


_RESERVED: Final = frozenset((*vars(Resource), "id", "requires", "model", "unknowns", "is_type"))
"""What a field cannot be called: the class needs it, or users of the model's tools expect it."""


def _check_field(cls: type[Any], name: object) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        raise BadModel(f"{cls.__qualname__}: {name!r} is not the name of a field.")
    if name.startswith("_"):
        raise BadModel(f"{cls.__qualname__}: the field {name} may not begin with _.")
    if name in _RESERVED:
        raise BadModel(f"{cls.__qualname__}: {name} is reserved, and cannot be a field.")


class PurgeableResource(Resource):
    """A resource that can be made not to be: ``purged`` asks for that.

    ``purge_on_delete``: it is to go once the model has it no longer. An entity without one of the
    two has it as False.
    """

    fields = ("purged", "purge_on_delete")
    purged: bool
    purge_on_delete: bool

    @staticmethod
    def get_purged(_exporter: Any, obj: Any) -> Any:
        """The entity's word."""
        return getattr(obj, "purged", False)

    @staticmethod
    def get_purge_on_delete(_exporter: Any, obj: Any) -> Any:
        """The entity's word."""
        return getattr(obj, "purge_on_delete", False)


class ManagedResource(Resource):
    """A resource that is left alone while its entity says ``managed = False``."""

    fields = ("managed",)
    managed: bool

    @staticmethod
    def get_managed(_exporter: Any, obj: Any) -> Any:
        """The entity's word; True if it has none.

        :raises IgnoreResourceException: if it is not managed.
        """
        managed = getattr(obj, "managed", True)
        if not managed:
            raise IgnoreResourceException("it is not managed")
        return managed


def resource(name: str, agent: str, id_attribute: str) -> Callable[[type[R]], type[R]]:
    """Register a subclass of ``Resource`` as what entities of type ``name`` become.

    ``agent``: the entity's attribute that names the agent, or the way there, like ``host.name``.
    ``id_attribute``: the field that tells it from others of its type on that agent.

    :raises BadModel: if a name is none, or the class is not a resource.
    """

    def register(cls: type[R]) -> type[R]:
        if not (isinstance(cls, type) and issubclass(cls, Resource)):
            raise BadModel(f"@resource({name!r}): {cls!r} is not a subclass of Resource.")
        classes.add_resource(ResourceType(name, cls, agent, id_attribute))
        return cls

    try:
        Id(name, "agent", id_attribute, "value")
    except ValueError as problem:
        raise BadModel(f"@resource({name!r}): {problem}.") from None
    if not isinstance(agent, str) or not all(p.isidentifier() for p in agent.split(".")):
        raise BadModel(f"@resource({name!r}): agent = {agent!r} is no way like host.name.")
    return register


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_copied(one) for one in value]
    return set(value) if isinstance(value, set) else value
