"""A version of the desired state: what a client posts, checked; numbered, and never changed again.

What is posted::

    {"resources": [{"id": "std::File[edge,path=/etc/motd]", "requires": [id, …], field: value, …}],
     "note": "why", "version": 7,             both optional; the number must be the next one
     "files": {name: sha256},                 or [[name, sha256], …]
     "handlers": {"std::File": hash},         the code that the model was made with
     "code": [{"wheel": sha256, "modules": ["acmecorp.handlers"]}]}

or ``{"from": 3}``: the resources of version 3 once more. Ids may carry ``,v=N``, and come back with
the version's own number. A resource with ``purge_on_delete`` that the version before had deployed,
and this one leaves out, is taken over with ``purged``: after all that it needed is purged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from smapd.errors import BadRequest, VersionConflict
from smapd.values import Json

from .blobs import is_sha256
from .ids import Id
from .jsonable import MOST_DEEP
from .order import check_order

MOST_RESOURCES: Final = 100_000
_LONGEST_ID: Final = 2_000
_LONGEST_NOTE: Final = 1_000
_MOST_NAMES: Final = 100_000
_KEYS: Final = frozenset(("resources", "note", "version", "files", "handlers", "code", "from"))


@dataclass(frozen=True, slots=True)
class Version:
    """One version. ``ids``: of its resources, without a version; ``requires``: by index.

    ``resources``: as they are stored and handed to agents, ids with ``,v=N``; do not change them.
    """

    number: int
    made_ms: int
    resources: Sequence[Json]
    note: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    handlers: Mapping[str, str] = field(default_factory=dict)
    code: Sequence[Json] = ()
    copy_of: int | None = None
    ids: Sequence[str] = field(init=False)
    agents: Sequence[str] = field(init=False)
    index: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        parsed = [Id.parse_id(one["id"]) for one in self.resources]
        ids = [one.resource_str() for one in parsed]
        object.__setattr__(self, "ids", ids)
        object.__setattr__(self, "agents", [one.agent_name for one in parsed])
        object.__setattr__(self, "index", {id_: i for i, id_ in enumerate(ids)})

    def requires(self, i: int) -> list[int]:
        """The indices of what resource ``i`` requires."""
        return [self.index[id_] for id_ in self.resources[i]["requires"]]

    def header(self) -> dict[str, Json]:
        """All but the resources, ready for JSON."""
        counts: dict[str, int] = {}
        for name in self.agents:
            counts[name] = counts.get(name, 0) + 1
        told: dict[str, Json] = {
            "version": self.number,
            "made_ms": self.made_ms,
            "note": self.note,
            "count": len(self.resources),
            "agents": counts,
            "files": dict(self.files),
            "handlers": dict(self.handlers),
            "code": list(self.code),
        }
        if self.copy_of is not None:
            told["copy_of"] = self.copy_of
        return told

    def blobs(self) -> Iterator[str]:
        """The names of the blobs that it needs."""
        yield from self.files.values()
        for one in self.code:
            yield one["wheel"]


def stored_version(header: Mapping[str, Json], resources: Sequence[Json]) -> Version:
    """A version as it was kept."""
    return Version(
        number=header["version"],
        made_ms=header["made_ms"],
        resources=resources,
        note=header["note"],
        files=header["files"],
        handlers=header["handlers"],
        code=header["code"],
        copy_of=header.get("copy_of"),
    )


def new_version(body: Any, number: int, made_ms: int, before: Version | None) -> Version:
    """Check what was posted, and give it its number.

    ``before``: the version that is deployed now, whose ``purge_on_delete`` is heeded.

    :raises BadRequest: naming the resource and what is wrong in it.
    :raises BadModel: for unknown requirements and rings, which are spelled out.
    :raises VersionConflict: if it claims another number, or gives one file name two contents.
    """
    if not isinstance(body, dict) or not isinstance(body.get("resources"), list):
        raise BadRequest('The body must be an object: {"resources": [{"id", "requires", …}]}.')
    for key in body:
        if key not in _KEYS:
            raise BadRequest(f"{str(key)[:80]!r} is no key of a version.")
    claimed = body.get("version")
    if claimed is not None and claimed != number:
        raise VersionConflict(
            f"The next version is {number}, not {str(claimed)[:40]}.",
            hint="Another version came meanwhile: look at it, and export again.",
        )
    resources = _resources(body["resources"], number)
    if before is not None:
        resources += _purged(before, {_bare(one["id"]) for one in resources}, number)
    check_order(resources)
    return Version(
        number=number,
        made_ms=made_ms,
        resources=resources,
        note=_text(body, "note", _LONGEST_NOTE),
        files=_files(body.get("files", {})),
        handlers=_names(body.get("handlers", {}), "handlers"),
        code=_code(body.get("code", [])),
    )


def copy_of(version: Version, number: int, made_ms: int, before: Version | None) -> Version:
    """The resources of an older version under a new number."""
    resources = [{**one, "id": f"{id_},v={number}"} for one, id_ in _pairs(version)]
    if before is not None:
        resources += _purged(before, set(version.ids), number)
    return Version(
        number=number,
        made_ms=made_ms,
        resources=resources,
        note=f"as version {version.number}",
        files=version.files,
        handlers=version.handlers,
        code=version.code,
        copy_of=version.number,
    )


def difference(old: Version | None, new: Version) -> dict[str, Json]:
    """What another version changes: ``added`` and ``removed`` ids, ``changed`` fields by id."""
    before = {} if old is None else {id_: one for one, id_ in _pairs(old)}
    after = {id_: one for one, id_ in _pairs(new)}
    changed: dict[str, Json] = {}
    for id_, one in after.items():
        was = before.get(id_)
        if was is None:
            continue
        names = sorted((set(one) | set(was)) - {"id"})
        found = {
            name: {"current": was.get(name), "desired": one.get(name)}
            for name in names
            if was.get(name) != one.get(name)
        }
        if found:
            changed[id_] = found
    return {
        "from": None if old is None else old.number,
        "to": new.number,
        "added": [id_ for id_ in after if id_ not in before],
        "removed": [id_ for id_ in before if id_ not in after],
        "changed": changed,
        "same": len(after) - len(changed) - sum(id_ not in before for id_ in after),
    }


# --- private


def _pairs(version: Version) -> Iterator[tuple[Json, str]]:
    return zip(version.resources, version.ids, strict=True)


def _bare(text: str) -> str:
    return Id.parse_id(text).resource_str()


def _resources(given: list[Any], number: int) -> list[dict[str, Json]]:
    if len(given) > MOST_RESOURCES:
        raise BadRequest(f"A version may have {MOST_RESOURCES} resources, not {len(given)}.")
    found: list[dict[str, Json]] = []
    seen: set[str] = set()
    for i, one in enumerate(given):
        if not isinstance(one, dict) or not isinstance(one.get("id"), str):
            raise BadRequest(f'Resource {i} of the body must be an object with an "id".')
        id_ = _id(one["id"], f"resource {i}")
        if id_ in seen:
            raise BadRequest(f"{id_} is there twice.")
        seen.add(id_)
        if _is_deep(one):
            raise BadRequest(f"{id_}: a value is nested more than {MOST_DEEP} deep.")
        requires = one.get("requires", [])
        if not isinstance(requires, list) or not all(isinstance(r, str) for r in requires):
            raise BadRequest(f"{id_}: requires must be a list of ids.")
        bare = list(dict.fromkeys(_id(r, f"requires of {id_}") for r in requires))
        found.append({**one, "id": f"{id_},v={number}", "requires": bare})
    return found


def _is_deep(resource: Mapping[str, Any]) -> bool:
    """Whether a field is deeper than what writes and compares it goes; level by level."""
    level = [one for one in resource.values() if isinstance(one, dict | list)]
    for _ in range(MOST_DEEP):
        if not level:
            return False
        level = [
            part
            for one in level
            for part in (one.values() if isinstance(one, dict) else one)
            if isinstance(part, dict | list)
        ]
    return bool(level)


def _id(text: str, where: str) -> str:
    if len(text) > _LONGEST_ID:
        raise BadRequest(f"{where}: an id may have {_LONGEST_ID} letters, not {len(text)}.")
    try:
        return _bare(text)
    except ValueError:
        raise BadRequest(
            f"{where}: {text[:200]!r} is no id of a resource.",
            hint="It is written ns::Type[agent,attribute=value].",
        ) from None


def _purged(before: Version, present: set[str], number: int) -> list[dict[str, Json]]:
    """What was deployed, is left out now, and wants to be purged then."""
    gone = {
        id_: one
        for one, id_ in _pairs(before)
        if id_ not in present and one.get("purge_on_delete") is True and one.get("purged") is False
    }
    found = []
    for id_, one in gone.items():
        needed_by = [other for other, that in gone.items() if id_ in that["requires"]]
        found.append({**one, "id": f"{id_},v={number}", "requires": needed_by, "purged": True})
    return found


def _text(body: Mapping[str, Any], key: str, longest: int) -> str:
    text = body.get(key, "")
    if not isinstance(text, str) or len(text) > longest:
        raise BadRequest(f"{key} must be a text of at most {longest} letters.")
    return text


def _files(given: Any) -> dict[str, str]:
    pairs = list(given.items()) if isinstance(given, dict) else given
    found: dict[str, str] = {}
    if not isinstance(pairs, list) or len(pairs) > _MOST_NAMES:
        raise BadRequest("files must be an object: {name: sha256}.")
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise BadRequest("files must be an object, or a list of [name, sha256].")
        name, sha256 = pair
        if not isinstance(name, str) or not is_sha256(sha256):
            raise BadRequest(f"files: {str(name)[:80]!r} has no sha256 of 64 hexadecimal digits.")
        if found.setdefault(name, sha256) != sha256:
            raise VersionConflict(f"The file name {name[:200]!r} stands for two contents.")
    return found


def _names(given: Any, what: str) -> dict[str, str]:
    if not isinstance(given, dict) or len(given) > _MOST_NAMES:
        raise BadRequest(f"{what} must be an object of texts.")
    for key, value in given.items():
        if not isinstance(value, str):
            raise BadRequest(f"{what}: {str(key)[:80]!r} must have a text.")
    return dict(given)


def _code(given: Any) -> list[Json]:
    if not isinstance(given, list) or len(given) > 100:
        raise BadRequest('code must be a list: [{"wheel": sha256, "modules": [name, …]}].')
    for one in given:
        modules = one.get("modules") if isinstance(one, dict) else None
        named = isinstance(modules, list) and all(isinstance(m, str) for m in modules)
        if not named or not is_sha256(one.get("wheel")):
            raise BadRequest('code must be a list: [{"wheel": sha256, "modules": [name, …]}].')
    return [{"wheel": one["wheel"], "modules": list(one["modules"])} for one in given]
