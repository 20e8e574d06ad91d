"""The sections ``[/path]`` checked: which node each makes, and with what.

Ten thousand sections are read at a start, so what is common is read in one pass over a section's
keys, and lines are looked up only for what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from smapd.config.driver_sections import with_driver
from smapd.config.drivers import Finder
from smapd.config.metadata import read_metadata
from smapd.config.plan import FindDriver, NodeSection
from smapd.config.reader import Document, RawSection
from smapd.config.zones import is_zone
from smapd.core import DEFAULT_TIMEZONE, normalise, stream_uuid
from smapd.errors import BadPath, ConfigError, DriverFailed, MissingExtra
from smapd.options import boolean, integer, nearest, show
from smapd.options import uuid as read_uuid
from smapd.values import DATA_TYPES, Problem, Severity

LONGEST_TEXT: Final = 64 * 1024
LONGEST_KEY: Final = 4096
LARGEST_BUFFER: Final = 1_000_000

_OF_COLLECTION = ("type", "key", "uuid", "asset", "Description")
_OF_TIMESERIES = (
    *("type", "key", "uuid", "Description", "BufferSize", "Milliseconds"),
    *("Properties/UnitofMeasure", "Properties/ReadingType", "Properties/Timezone"),
)
_PLAIN_TYPES = (None, "Collection", "Timeseries")
_ASSET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-")
_FIELDS = {
    "Properties/UnitofMeasure": "unit",
    "Properties/ReadingType": "data_type",
    "Properties/Timezone": "timezone",
    "BufferSize": "buffersz",
    "Milliseconds": "milliseconds",
    "Description": "description",
}


class NodeReader:
    """Reads the node sections of one document; problems go to the document."""

    def __init__(self, doc: Document, find: FindDriver) -> None:
        self.doc, self.find = doc, Finder(find)
        self.sections: list[NodeSection] = []
        self.root_uuid: UUID | None = None
        self.default_timezone: str | None = None
        self._raw: dict[str, RawSection] = {}
        self._child: dict[str, str] = {}  # a path: one that a section declares below it
        self._drivers: dict[str, int] = {}  # path of a driver section: its line

    def read(self) -> None:
        """Read them all; then ``sections`` stands in the order in which to attach."""
        self._find_places()
        root = self._raw.get("/")
        if root is None:
            text = "no section [/]. Write one, with a uuid that the command smapd uuid prints."
            self.doc.problems.append(self._file_problem(text))
        else:
            zone = root.values.get("Properties/Timezone")
            if isinstance(zone, str) and zone:
                self.default_timezone = zone
        for path, raw in self._raw.items():
            self.sections.append(self._section(path, raw))
        if root is not None:
            self.root_uuid = self._section_of("/").uuid
            if self.root_uuid is None and "uuid" not in root.values:
                text = "missing. Write one that the command smapd uuid prints."
                self.doc.problem(root, "uuid", text)
        self._refuse_twins()
        self._order()

    def known_path(self, path: str) -> bool:
        """Whether there is such a path in the plan, or may be, below a driver."""
        return path in self._raw or path in self._child or self._driver_above(path) is not None

    # --- where each stands

    def _find_places(self) -> None:
        for raw in self.doc.sections:
            if not raw.name.startswith("/"):
                continue
            try:
                path = normalise(raw.name)
            except BadPath as e:
                self.doc.problem(raw, "", e.message.rpartition(": ")[2])
                continue
            if path in self._raw:
                there = self._raw[path]
                self.doc.problem(raw, "", f"the path is that of [{there.name}], {_at(there)}.")
                continue
            self._raw[path] = raw
            kind = raw.values.get("type")
            if isinstance(kind, str) and kind not in _PLAIN_TYPES:
                self._drivers[path] = raw.line
            while path != "/":
                child, path = path, path[: path.rfind("/")] or "/"
                if path in self._child:
                    break
                self._child[path] = child

    def _driver_above(self, path: str) -> str | None:
        """The nearest driver section above a path."""
        while self._drivers and path != "/":
            path = path[: path.rfind("/")] or "/"
            if path in self._drivers:
                return path
        return None

    # --- one section

    def _section(self, path: str, raw: RawSection) -> NodeSection:
        kind = raw.values.get("type")
        if kind is not None and not isinstance(kind, str):
            self.doc.problem(raw, "type", "one type is needed.", found=kind)
            kind = "Collection"
        if path in self._drivers:
            return self._driver(path, raw, str(kind))
        if path == "/":
            if kind == "Timeseries":
                self.doc.problem(raw, "type", "the root is a Collection, or a driver.", found=kind)
            kind = "Collection"
        if kind is None and path in self._child and not self._looks_like_timeseries(raw):
            kind = "Collection"
        if kind == "Collection":
            return self._collection(path, raw)
        if path in self._child:
            child = self._raw.get(self._child[path])
            below = f"[{child.name}], {_at(child)}," if child else f"{self._child[path]}"
            text = f"a Timeseries, yet {below} stands below it. Write type = Collection."
            self.doc.problem(raw, "", text)
        return self._timeseries(path, raw, kind is None)

    def _looks_like_timeseries(self, raw: RawSection) -> bool:
        return any(k in _OF_TIMESERIES and k not in _OF_COLLECTION for k in raw.values)

    def _timeseries(self, path: str, raw: RawSection, typeless: bool) -> NodeSection:
        fields: dict[str, Any] = {"raw": raw.values}
        metadata: list[tuple[str, Any]] = []
        for key, found in raw.values.items():
            if key.startswith("Metadata/"):
                metadata.append((key, found))
            elif not self._is_text(raw, key, found) or key == "type":
                continue
            elif key == "Properties/UnitofMeasure" or key == "Description":
                fields[_FIELDS[key]] = found
            elif key == "key" or key == "uuid":
                self._identity(raw, key, found, fields)
            elif key == "Properties/ReadingType":
                if found in DATA_TYPES:
                    fields["data_type"] = found
                else:
                    text = f"no such type.{_or_one_of(found, DATA_TYPES)}"
                    self.doc.problem(raw, key, text, found=found)
            elif key == "Properties/Timezone":
                self._zone(raw, found)
                fields["timezone"], fields["timezone_given"] = found, True
            elif key == "BufferSize":
                fields["buffersz"] = self._buffer(raw, found)
            elif key == "Milliseconds":
                try:
                    fields["milliseconds"] = boolean(found)
                except ValueError as e:
                    self.doc.problem(raw, key, str(e), found=found)
            elif key == "asset":
                self.doc.problem(raw, key, "only a Collection can be an asset.", found=found)
            else:
                self._unknown(raw, key, "a Timeseries", _OF_TIMESERIES)
        above = self._driver_above(path)
        if above is not None and (typeless or raw.line > self._drivers[above]):
            fields["behind"] = above
        if "timezone" not in fields and self.default_timezone is not None:
            fields["timezone"] = self.default_timezone
        if metadata:
            # what only tags a driver's node may stand on a collection, where lists are allowed
            strict = "behind" not in fields
            fields["metadata"] = read_metadata(self.doc, raw, metadata, strict=strict)
        return NodeSection(path, raw.line, "timeseries", **fields)

    def _collection(self, path: str, raw: RawSection) -> NodeSection:
        fields: dict[str, Any] = {"raw": raw.values}
        self._common(path, raw, fields)
        for key, found in raw.values.items():
            if key not in _OF_COLLECTION and not key.startswith("Metadata/"):
                if isinstance(found, dict):
                    self.doc.problem(raw, key, "a section in a section; only drivers take these.")
                elif not (path == "/" and key == "Properties/Timezone"):
                    self._unknown(raw, key, "a Collection", _OF_COLLECTION)
        above = self._driver_above(path)
        if above is not None and ("type" not in raw.values or raw.line > self._drivers[above]):
            fields["behind"] = above
        return NodeSection(path, raw.line, "collection", **fields)

    def _driver(self, path: str, raw: RawSection, name: str) -> NodeSection:
        fields: dict[str, Any] = {"raw": raw.values, "driver_name": name}
        self._common(path, raw, fields)
        section = NodeSection(path, raw.line, "driver", **fields)
        where = self.doc.where(raw)
        try:
            section = with_driver(section, self.find, where)
        except ConfigError as e:
            self.doc.problems.extend(e.problems)
        except (MissingExtra, DriverFailed) as e:
            # the world's fault, not the text's: this section alone waits, and is tried again
            why = e.message.partition("] ")[2] if isinstance(e, DriverFailed) else e.message
            section = replace(section, fault=why)
            text = f"{why} The section waits until that is mended."
            self.doc.problem(raw, "type", text, found=name, severity=Severity.WARNING)
        else:
            self.doc.problems.extend(section.warnings)
        return section

    def _common(self, path: str, raw: RawSection, fields: dict[str, Any]) -> None:
        """What collections and drivers share."""
        metadata = []
        for key, found in raw.values.items():
            if key.startswith("Metadata/"):
                metadata.append((key, found))
            elif key in _OF_COLLECTION and self._is_text(raw, key, found):
                if key == "asset":
                    if 0 < len(found) <= 128 and _ASSET.issuperset(found):
                        fields["asset"] = found
                    else:
                        text = "no asset id. Write 1 to 128 letters, digits or any of . _ : -"
                        self.doc.problem(raw, key, text, found=found)
                elif key == "Description":
                    fields["description"] = found
                elif key != "type":
                    self._identity(raw, key, found, fields)
            elif path == "/" and key == "Properties/Timezone" and self._is_text(raw, key, found):
                self._zone(raw, found)
                fields["timezone"], fields["timezone_given"] = found, True
        if metadata:
            fields["metadata"] = read_metadata(self.doc, raw, metadata, strict=False)

    # --- one key

    def _is_text(self, raw: RawSection, key: str, found: Any) -> bool:
        if type(found) is str:
            if len(found) <= LONGEST_TEXT // 4 or len(found.encode()) <= LONGEST_TEXT:
                return True
            self.doc.problem(raw, key, "longer than 64 KiB. Shorten it.")
        elif isinstance(found, dict):
            self.doc.problem(raw, key, "a section in a section; only drivers take these.")
        elif key in _OF_TIMESERIES or key in _OF_COLLECTION:
            quoted = '"' + ", ".join(found) + '"'
            text = f"a comma makes a list of it. Write quotes, like {quoted}."
            self.doc.problem(raw, key, text, found=found)
        else:
            return True  # an unknown key is worse than its comma
        return False

    def _identity(self, raw: RawSection, key: str, found: str, fields: dict[str, Any]) -> None:
        if key == "key":
            if 0 < len(found) <= LONGEST_KEY:
                fields["key"] = found
            else:
                self.doc.problem(raw, key, f"not 1 to {LONGEST_KEY} characters.", found=found)
            return
        try:
            fields["uuid"] = read_uuid(found)
        except ValueError as e:
            self.doc.problem(raw, key, str(e), found=found)

    def _zone(self, raw: RawSection, found: str) -> None:
        if not is_zone(found):
            text = "no such timezone on this machine; it is shown as it stands."
            self.doc.problem(
                raw, "Properties/Timezone", text, found=found, severity=Severity.WARNING
            )

    def _buffer(self, raw: RawSection, found: str) -> int:
        try:
            size = integer(found)
        except ValueError as e:
            self.doc.problem(raw, "BufferSize", str(e), found=found)
            return 1
        if not 1 <= size <= LARGEST_BUFFER:
            text = f"a buffer holds 1 to {LARGEST_BUFFER} readings."
            self.doc.problem(raw, "BufferSize", text, found=found)
            return 1
        return size

    def _unknown(self, raw: RawSection, key: str, owner: str, known: Iterable[str]) -> None:
        group, slash, rest = key.partition("/")
        close = nearest(key, known)
        if close is None and slash and nearest(group, ["Metadata"]):
            close = f"Metadata/{show(rest)}"
        hint = f" Did you mean {close}?" if close else ""
        if not hint and key.startswith("Properties/"):
            hint = " Only a Timeseries has it." if owner == "a Collection" else ""
        self.doc.problem(raw, key, f"no such key of {owner}.{hint}")

    # --- all of them

    def _refuse_twins(self) -> None:
        """Refuse streams and assets of one name; warn of drivers that share a namespace."""
        keys: dict[str, NodeSection] = {}
        uuids: dict[UUID, NodeSection] = {}
        spaces: dict[str | UUID, NodeSection] = {}
        assets: dict[str, NodeSection] = {}
        for section in self.sections:
            if section.asset is not None:
                twin = assets.setdefault(section.asset, section)
                if twin is not section:
                    self._twin(section, "asset", twin)
            if section.kind == "driver" and section.path != "/":
                place = section.uuid or section.key or section.path
                twin = spaces.setdefault(place, section)
                if twin is not section:
                    what = "uuid" if section.uuid else "key"
                    self._twin(section, what, twin, Severity.WARNING)
            if section.kind != "timeseries":
                continue
            if section.uuid is not None:
                # the root is a node as well, and its uuid the namespace of all that have a key
                of_root = section.uuid == self.root_uuid
                twin = self._section_of("/") if of_root else uuids.setdefault(section.uuid, section)
            elif section.key is not None or section.behind is None:
                twin = keys.setdefault(section.key or section.path, section)
            else:
                continue
            if twin is not section:
                what = "uuid" if section.uuid else "key"
                self._twin(section, what, twin)
        if uuids and self.root_uuid is not None:
            for key, section in keys.items():
                twin = uuids.get(stream_uuid(self.root_uuid, key, "utf-8"), section)
                if twin is not section:
                    self._twin(twin, "uuid", section)

    def _twin(
        self,
        section: NodeSection,
        key: str,
        twin: NodeSection,
        severity: Severity = Severity.ERROR,
    ) -> None:
        raw, there = self._raw[section.path], self._raw[twin.path]
        text = f"the {key} is that of [{there.name}] too, {_at(there)}. Give each its own."
        self.doc.problem(raw, key, text, found=raw.values.get(key, ""), severity=severity)

    def warn_of_defaults(self) -> None:
        """Name the timeseries that got a default without being told, in one sentence each."""
        made = [s for s in self.sections if s.kind == "timeseries" and s.behind is None]
        bare = [s.path for s in made if s.unit is None]
        if bare:
            text = f"{_some(bare)} without Properties/UnitofMeasure."
            self.doc.problems.append(self._file_problem(text, Severity.WARNING))
        if self.default_timezone is None:
            told = [s.path for s in made if s.timezone is None] + sorted(self._drivers)
            if told:
                text = (
                    f"{_some(told)} without Properties/Timezone: {DEFAULT_TIMEZONE} is taken. "
                    "Write Properties/Timezone in [/] for all."
                )
                self.doc.problems.append(self._file_problem(text, Severity.WARNING))

    def _order(self) -> None:
        late: dict[str, list[NodeSection]] = {}
        order: list[NodeSection] = []
        for section in sorted(self.sections, key=lambda s: s.path != "/"):
            driver = section.behind
            if driver is not None and self._drivers[driver] > section.line and driver != "/":
                late.setdefault(driver, []).append(section)
            else:
                order.append(section)
        self.sections = [t for s in order for t in (s, *late.get(s.path, ()))] if late else order

    def _section_of(self, path: str) -> NodeSection:
        return next(s for s in self.sections if s.path == path)

    def _file_problem(self, text: str, severity: Severity = Severity.ERROR) -> Problem:
        return Problem(text, self.doc.file, severity=severity)


def _at(raw: RawSection) -> str:
    return f"at line {raw.line}"


def _some(paths: list[str]) -> str:
    """How many sections, and the first three."""
    first = ", ".join(show(p) for p in paths[:3]) + (", …" if len(paths) > 3 else "")
    return f"{len(paths)} section{'s' * (len(paths) != 1)} ({first})"


def _or_one_of(found: str, known: Iterable[str]) -> str:
    known = list(known)
    close = nearest(found, known)
    return f" Did you mean {close}?" if close else f" Write one of {', '.join(known)}."
