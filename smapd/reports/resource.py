"""What a report selects.

| ReportResource | selects |
| --- | --- |
| ``/+`` | everything |
| ``/hall/+`` · ``/hall`` | ``/hall`` and everything below it; a timeseries is selected alone |
| ``75503ac2-abf0-11e0-b7d6-0026bb56ec92`` | that timeseries, wherever its path moves |
| ``/hall/+ where Metadata/Location/City = Berkeley`` | the timeseries there for which that holds |

A condition names a key of Metadata, where that of a collection holds for all below it, or of
Properties: ``KEY = VALUE``, ``KEY != VALUE``, ``KEY like PATTERN`` with ``%`` for any letters, or
``has KEY``; several are joined by ``and``. Quotes around a value are taken off. Without a path in
front it is asked of everything; ``/hall/+/Metadata/Extra/Use = heating`` says the same as with
``where``, and ``/hall/+/Metadata/Extra/Use`` alone as with ``has``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from typing import Any, Final
from uuid import UUID

from smapd.core import SmapInstance, Timeseries
from smapd.values import Json

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_WHERE: Final = re.compile(
    r"(?P<place>/.*?|)(?:\s+where\s+|/\+/(?=Metadata/|Properties/))(?P<rest>.+)"
)
_AND: Final = re.compile(r"\s+and\s+", re.IGNORECASE)
_HAS: Final = re.compile(r"has\s+(?P<key>\S+)\Z", re.IGNORECASE)
_CLAUSE: Final = re.compile(r"(?P<key>[^\s=!]+)\s*(?P<word>=|!=|\slike\s)\s*(?P<value>.+)\Z", re.I)
_GROUPS: Final = ("Metadata/", "Properties/")

Condition = Callable[[Mapping[str, Json]], bool]


@dataclass(frozen=True, slots=True)
class Resource:
    """One parsed ReportResource. ``place``: path at and below which; "/" for everything.

    ``uuid``: of the one timeseries selected, else None. ``conditions``: all must hold.
    """

    text: str
    place: str = "/"
    uuid: UUID | None = None
    conditions: tuple[Condition, ...] = ()

    @property
    def is_all(self) -> bool:
        """Whether there is nothing that it does not select."""
        return self.place == "/" and self.uuid is None and not self.conditions

    def covers(self, path: str) -> bool:
        """Whether a path lies at or below its place."""
        place = self.place
        return place == "/" or path == place or path.startswith(place + "/")

    def selects(self, tree: SmapInstance, stream: Timeseries) -> bool:
        """Whether it selects this timeseries of the tree."""
        if self.uuid is not None:
            return stream.uuid == self.uuid
        if not self.covers(stream.path):
            return False
        if not self.conditions:
            return True
        known = {"Metadata": tree.metadata_of(stream.path), "Properties": stream.properties}
        return all(condition(known) for condition in self.conditions)

    def may_select(self, stream: UUID, path: str) -> bool:
        """Whether it selects a stream that is not in the tree, as far as can be known."""
        return stream == self.uuid if self.uuid is not None else self.covers(path)

    def shows(self, path: str) -> bool:
        """Whether the collection there is sent whole, above what is selected.

        With conditions every one is: what they say may stand there.
        """
        return self.uuid is None and (bool(self.conditions) or self.covers(path))

    def exists(self, tree: SmapInstance) -> bool:
        """Whether there is anything at its place now."""
        if self.uuid is not None:
            return tree.by_uuid(self.uuid) is not None
        return tree.get(self.place) is not None


def parse_resource(text: str) -> Resource:
    """Read a ReportResource.

    :raises ValueError: saying what is wrong, and what would do.
    """
    text = text.strip()
    if not text:
        raise ValueError("empty. Write /+ for everything, or a path.")
    if _UUID.match(text):
        return Resource(text, uuid=UUID(text))
    if text.startswith(_GROUPS) or text[:4].lower() == "has ":
        return Resource(text, conditions=_conditions(text))
    found = _WHERE.match(text)
    if found is not None:
        rest = found["rest"]
        if not _CLAUSE.match(rest) and " " not in rest and rest.startswith(_GROUPS):
            rest = f"has {rest}"
        return Resource(text, _place(found["place"]), conditions=_conditions(rest))
    return Resource(text, _place(text))


def _place(text: str) -> str:
    names = [name for name in text.split("/") if name]
    for i, name in enumerate(names):
        if name.startswith("+"):
            if i + 1 < len(names):
                raise ValueError(f"{text[:100]}: + stands at the end. Write /path/+.")
            names.pop()
    return "/" + "/".join(names)


def _conditions(text: str) -> tuple[Condition, ...]:
    return tuple(_condition(one.strip()) for one in _AND.split(text))


def _condition(text: str) -> Condition:
    found = _HAS.match(text)
    if found is not None:
        key = _key(found["key"])
        return lambda known: _look_up(known, key) is not None
    found = _CLAUSE.match(text)
    if found is None:
        raise ValueError(
            f"{text[:100]!r} is no condition. Write Metadata/Location/City = Berkeley, or has KEY."
        )
    key, word, value = _key(found["key"]), found["word"].strip().lower(), _bare(found["value"])
    if word == "=":
        return lambda known: value in _texts(_look_up(known, key))
    if word == "!=":
        return lambda known: value not in _texts(_look_up(known, key))
    pattern = re.compile(translate(_glob(value)))
    return lambda known: any(map(pattern.match, _texts(_look_up(known, key))))


def _key(text: str) -> tuple[str, ...]:
    key = tuple(text.split("/"))
    if not text.startswith(_GROUPS) or not all(key):
        raise ValueError(f"{text[:100]!r} is no key. Write Metadata/… or Properties/….")
    return key


def _bare(text: str) -> str:
    text = text.strip()
    if len(text) >= 2 and text[0] in "'\"" and text[-1] == text[0]:
        return text[1:-1]
    return text


def _glob(pattern: str) -> str:
    """SQL's % as fnmatch has it; what means something to fnmatch alone is taken as it stands."""
    return re.sub(r"([*?\[])", r"[\1]", pattern).replace("%", "*")


def _look_up(known: Any, key: tuple[str, ...]) -> Json:
    for name in key:
        if not isinstance(known, Mapping):
            return None
        known = known.get(name)
    return known


def _texts(value: Json) -> list[str]:
    if value is None or isinstance(value, Mapping):
        return []
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return [str(value)]
