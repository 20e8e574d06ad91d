"""From a model, plain Python objects, to the resources and files that can be deployed.

An *entity* is any object. It becomes a resource if it is of a registered type: by its attribute
``entity_type``, like ``"std::File"``, or because its class, or one of its bases, has the type's
last name, like ``File``. All other objects are there to be referred to, as a host is by its files.

``requires`` of an entity names others that have to be deployed first. One that becomes no resource
is passed over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from twisted.python.failure import Failure

from smapd.errors import BadModel, VersionConflict
from smapd.runtime import attempt
from smapd.values import Json

from . import registry as classes
from .ids import Id
from .jsonable import as_json, text_of
from .order import MOST_PROBLEMS, check_order
from .registry import FrozenRegistry, ResourceType
from .resources import IgnoreResourceException, Resource

T = TypeVar("T")

_LONGEST_NAME: Final = 1000
_LONGEST_PROBLEM: Final = 300


@dataclass(frozen=True, slots=True)
class Export:
    """What came of a model.

    ``requires``: of each resource with requirements. ``files``: the sha256 of each name;
    ``blobs``: the bytes of each sha256. ``handlers``: the hash of the code that each type's
    handler had here. ``ignored``: entities that were to be left out, each a sentence.
    """

    version: int
    resources: list[Resource]
    requires: dict[Id, list[Id]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    handlers: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def contents(self) -> dict[str, bytes]:
        """The bytes of each file by its name, and by its sha256."""
        by_name = {name: self.blobs[sha256] for name, sha256 in self.files.items()}
        return {**by_name, **self.blobs}

    def as_json(self) -> dict[str, Json]:
        """The body of POST /desired/versions; the blobs go their own way."""
        return {
            "resources": [one.serialize() for one in self.resources],
            "files": dict(self.files),
            "handlers": dict(self.handlers),
        }


class Exporter:
    """Makes resources of entities; also what every ``get_<field>(exporter, entity)`` is handed.

    One thread at a time.
    """

    def __init__(self, registry: FrozenRegistry | None = None) -> None:
        """``registry``: the classes; those registered when ``run`` is called if None."""
        self._registry = registry
        self._known = registry if registry is not None else FrozenRegistry()
        self._fitting: dict[type, list[str]] = {}
        self.files: dict[str, str] = {}
        self.blobs: dict[str, bytes] = {}

    def upload_file(self, name: str, content: bytes | str) -> str:
        """Send these bytes along with the version under ``name``; text goes as UTF-8.

        Gives their sha256, by which ``get_file`` of a handler has them too.

        :raises VersionConflict: if there are other bytes of that name in this version.
        :raises TypeError: if that is neither bytes nor text.
        """
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
            raise TypeError(f"the name of a file is text of 1 to {_LONGEST_NAME} letters")
        if isinstance(content, str):
            content = content.encode("utf-8")
        if not isinstance(content, bytes | bytearray | memoryview):
            raise TypeError(f"a file is bytes or text, not {type(content).__name__}")
        data = bytes(content)
        sha256 = hashlib.sha256(data).hexdigest()
        if self.files.setdefault(name, sha256) != sha256:
            raise VersionConflict(
                f"The file {name} has other bytes already in this version.",
                hint="Give it another name; a hash of its bytes is a good one.",
            )
        self.blobs[sha256] = data
        return sha256

    def run(self, entities: Iterable[object], version: int = 0) -> Export:
        """The resources of these entities, in their order.

        ``version`` 0: they get their number from who keeps them. Only what is among ``entities``
        becomes a resource; an object that stands there twice is taken once.

        :raises BadModel: with a sentence for each thing that is wrong, wherever it is. Its
            attribute ``rest`` is the ``Export`` of what is sound, and needs nothing that is not.
        """
        self._known = self._registry if self._registry is not None else classes.frozen()
        self._fitting = {}
        self.files, self.blobs = {}, {}
        found = _Found(self, version)
        given = list({id(entity): entity for entity in entities}.values())
        entity_ids = {id(entity) for entity in given}
        for entity in given:
            found.take(entity, entity_ids)
        for entity in given:
            found.connect(entity)
        return found.finish()

    # --- for the file's other class

    def _type_of(self, entity: object) -> ResourceType | None:
        """:raises ValueError: if it could be of several."""
        explicit = getattr(entity, "entity_type", None)
        if isinstance(explicit, str):
            return self._known.resources.get(explicit)
        kind = type(entity)
        if kind not in self._fitting:
            self._fitting[kind] = self._names_for(kind)
        names = self._fitting[kind]
        if len(names) > 1:
            raise ValueError(
                f"it could be any of {', '.join(sorted(names))}: say which by its attribute"
                " entity_type"
            )
        return self._known.resources[names[0]] if names else None

    def _names_for(self, kind: type) -> list[str]:
        for klass in kind.__mro__[:-1]:
            last = klass.__name__
            names = [name for name in self._known.resources if name.rpartition("::")[2] == last]
            if names:
                return names
        return []

    def _result(self, resources: list[Resource], ignored: list[str], notes: list[str]) -> Export:
        used = {one.id.entity_type for one in resources}
        hashes = self._known.handler_hashes()
        return Export(
            version=resources[0].version if resources else 0,
            resources=resources,
            requires={one.id: sorted(one.requires, key=str) for one in resources if one.requires},
            files=dict(self.files),
            blobs=dict(self.blobs),
            handlers={name: hashes[name] for name in sorted(used & hashes.keys())},
            ignored=ignored,
            warnings=[*self._known.warnings, *notes],
        )


class _Found:
    """One run: what was found so far, and what is wrong."""

    def __init__(self, exporter: Exporter, version: int) -> None:
        self._exporter, self._version = exporter, version
        self._made: dict[int, Resource] = {}
        self._by_id: dict[str, Resource] = {}
        self._bad: set[int] = set()
        self._not_there: set[int] = set()
        self._problems: list[str] = []
        self._ignored: list[str] = []
        self._warnings: list[str] = []

    def take(self, entity: object, entity_ids: set[int]) -> None:
        made = _tried(self._make, entity, entity_ids)
        if isinstance(made, Failure):
            self._wrong(entity, made)
        elif made is None:
            self._not_there.add(id(entity))
        else:
            name = made.id.resource_str()
            if name in self._by_id:
                self._bad.add(id(entity))
                self._problems.append(
                    f"{name} is there twice: two entities of the model have the same agent and"
                    f" {made.id.attribute}."
                )
            else:
                self._by_id[name] = made
                self._made[id(entity)] = made

    def connect(self, entity: object) -> None:
        made = self._made.get(id(entity))
        if made is None:
            return
        wanted = _tried(_requirements, entity)
        if isinstance(wanted, Failure):
            self._wrong(entity, wanted)
            return
        for other in wanted:
            target = self._made.get(id(other))
            if target is not None:
                made.requires.add(target.id)
            elif id(other) in self._bad:
                self._bad.add(id(entity))
            elif id(other) not in self._not_there and self._is_resource(other):
                self._bad.add(id(entity))
                self._problems.append(
                    f"{made.id} requires {_shown(other)}, which is not in the model."
                )

    def finish(self) -> Export:
        left = [(key, one) for key, one in self._made.items() if key not in self._bad]
        resources = [one for _, one in left]
        if self._bad:
            resources = _sound(resources)
        try:
            check_order([_bones(one) for one in resources])
        except BadModel as problem:
            self._problems += problem.problems
            resources = []
        if self._not_there and not self._made and not self._problems and not self._ignored:
            self._warnings.append(
                f"None of the {len(self._not_there)} entities is of a type that is registered."
            )
        export = self._exporter._result(resources, self._ignored, self._warnings)
        if not self._problems:
            return export
        told = self._problems[:MOST_PROBLEMS]
        if len(self._problems) > len(told):
            told.append(f"{len(self._problems) - len(told)} more problems.")
        failed = BadModel(told)
        failed.rest = export
        raise failed

    # --- one entity

    def _make(self, entity: object, entity_ids: set[int]) -> Resource | None:
        kind = self._exporter._type_of(entity)
        if kind is None:
            return None
        try:
            agent = _follow(entity, kind.agent)
            value = self._field(kind, kind.id_attribute, entity, entity_ids)
            if value is None or isinstance(value, list | dict):
                raise ValueError(f"its {kind.id_attribute} is {value!r}, which names nothing")
            made: Resource = kind.cls(
                Id(kind.name, agent, kind.id_attribute, str(value), self._version)
            )
            for name in kind.cls.fields:
                got = value if name == kind.id_attribute else None
                if name != kind.id_attribute:
                    got = self._field(kind, name, entity, entity_ids)
                setattr(made, name, got)
        except IgnoreResourceException as why:
            reason = f": {why}" if str(why) else ""
            self._ignored.append(f"{_shown(entity)} is left out{reason}.")
            return None
        return made

    def _field(self, kind: ResourceType, name: str, entity: object, entity_ids: set[int]) -> Json:
        """:raises ValueError: with the sentence."""
        mapping = getattr(kind.cls, f"get_{name}", None)
        if mapping is not None:
            got = _tried(mapping, self._exporter, entity)
            if isinstance(got, Failure):
                if isinstance(got.value, IgnoreResourceException):
                    raise got.value
                raise ValueError(f"get_{name} failed: {_told(got)}") from got.value
        else:
            got = _tried(getattr, entity, name)
            if isinstance(got, Failure):
                if isinstance(got.value, AttributeError):
                    raise ValueError(f"it has no attribute {name}, and no get_{name} gives one")
                raise ValueError(f"its attribute {name} failed: {_told(got)}") from got.value
        _refuse_reference(got, name, entity_ids, self._is_resource)
        return as_json(got, f"the field {name}")

    def _is_resource(self, other: object) -> bool:
        kind = type(other)
        if kind.__module__ == "builtins":
            return False
        return not isinstance(_tried(self._exporter._type_of, other), Failure | None)

    def _wrong(self, entity: object, failure: Failure) -> None:
        self._bad.add(id(entity))
        self._made.pop(id(entity), None)
        told = str(failure.value) if isinstance(failure.value, ValueError) else _told(failure)
        self._problems.append(f"{_shown(entity)}: {told[:_LONGEST_PROBLEM].rstrip('.')}.")


def _refuse_reference(value: Any, name: str, entity_ids: set[int], is_resource: Any) -> None:
    """:raises ValueError: if an entity or another resource is in it, however deep within reason."""
    inside: list[tuple[Any, int]] = [(value, 0)]
    while inside:
        one, depth = inside.pop()
        if one is None or isinstance(one, str | int | float | bytes):
            continue
        if isinstance(one, Resource | Id):
            raise ValueError(
                f"the field {name} refers to another resource, {one}; say what it needs by requires"
            )
        if depth < 4 and isinstance(one, dict):
            inside += [(part, depth + 1) for part in one.values()]
        elif depth < 4 and isinstance(one, list | tuple | set | frozenset):
            inside += [(part, depth + 1) for part in one]
        elif id(one) in entity_ids or is_resource(one):
            raise ValueError(
                f"the field {name} holds an entity, {_shown(one)}; take a plain value of it"
            )


def _tried(f: Callable[..., T], *a: Any) -> T | Failure:
    """``attempt``, but for who wants to end the program that exports."""
    result = attempt(f, *a)
    if isinstance(result, Failure) and isinstance(result.value, KeyboardInterrupt):
        raise result.value
    return result


def _requirements(entity: object) -> Sequence[object]:
    wanted = getattr(entity, "requires", None)
    if wanted is None:
        return ()
    if isinstance(wanted, str | bytes):
        raise ValueError(f"its requires is the text {text_of(wanted, 80)!r}, not entities")
    found = list(wanted) if isinstance(wanted, Iterable) else [wanted]
    for one in found:
        if isinstance(one, str | bytes | int | float):
            raise ValueError(f"its requires holds {text_of(repr(one), 80)}, which is no entity")
    return found


def _follow(entity: object, way: str) -> str:
    """:raises ValueError: if the way does not lead to text."""
    here: Any = entity
    for name in way.split("."):
        if isinstance(here, list | tuple) and len(here) == 1:
            here = here[0]
        try:
            here = getattr(here, name)
        except AttributeError:
            raise ValueError(f"its agent is at {way}, and there is no {name} there") from None
    if not isinstance(here, str):
        raise ValueError(f"its agent, at {way}, is {text_of(here, 80)!r}, not text")
    return here


def _sound(resources: list[Resource]) -> list[Resource]:
    """Those that need only what is here, all the way down."""
    while True:
        there = {one.id for one in resources}
        kept = [one for one in resources if one.requires <= there]
        if len(kept) == len(resources):
            return kept
        resources = kept


def _bones(one: Resource) -> dict[str, Json]:
    return {"id": str(one.id), "requires": [str(other) for other in one.requires]}


def _told(failure: Failure) -> str:
    problem = failure.value
    text = " ".join(text_of(problem, _LONGEST_PROBLEM).split())
    return f"{type(problem).__name__}{': ' * bool(text)}{text}"


def _shown(entity: object) -> str:
    """An entity as an operator knows it: its class, and the first name it has."""
    kind = type(entity).__qualname__
    for name in ("name", "path", "id"):
        value = _tried(getattr, entity, name, None)
        if isinstance(value, str | int):
            return f"{kind} {text_of(value, 80)!r}"
    return f"{kind} {text_of(repr(entity) if isinstance(entity, str) else hex(id(entity)), 80)}"
