"""A tree or a plan to the text of a config file that gives the same again.

Defaults are left out, and so is every secret: its reference is written, or a comment in the place
of its text. A URL that may hold a key stands in a file, which would not load without it; what is
printed shows its host alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from uuid import UUID

from smapd.config.metadata import what_is_wrong
from smapd.config.plan import NodeSection, OtherSection, Plan, is_structure
from smapd.config.syntax import write_name, write_value
from smapd.core import DEFAULT_TIMEZONE, Node, SmapInstance, Timeseries, stream_uuid
from smapd.errors import ConfigError
from smapd.options import SECRETIVE, SecretUrl
from smapd.values import Json, Problem

Pairs = Iterable[tuple[str, Any]]


_MAY_HOLD_KEY: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#]*(?:@|[^\s?#]*[?#])")


def dump(
    source: SmapInstance | Plan, *, must_hold_all: bool = False, for_show: bool = False
) -> str:
    """The text of a config file that loads as this.

    Of a tree that was loaded from a file, what its drivers make is left to their sections, which
    come out as they were; the other nodes are written as they are now. In a config file metadata
    is text: numbers come back as their digits. A driver that a program set up by itself is not
    known here; its timeseries are written as plain ones. ``must_hold_all``: a secret whose text
    stands in the config is refused, instead of left out with a comment. ``for_show``: for a screen
    and not for a file: a URL that may hold a key is left out like a secret; so is, in a section
    that no option table reads, what by its name or form may be one.

    :raises ConfigError: naming what a config file cannot hold.
    """
    writer = _Writer(must_hold_all, for_show)
    if isinstance(source, Plan):
        for section in source.sections:
            writer.node_section(section)
        plan: Plan | None = source
    else:
        plan = source.plan if isinstance(source.plan, Plan) else None
        _write_tree(writer, source, plan)
    for other in plan.plain if plan else ():
        writer.other(other)
    if writer.problems:
        raise ConfigError(writer.problems)
    return "\n".join(writer.blocks)


def _write_tree(writer: _Writer, inst: SmapInstance, plan: Plan | None) -> None:
    kept = {s.path: s for s in plan.sections if _is_kept(s)} if plan else {}
    drivers = {path for path, s in kept.items() if s.kind == "driver"}
    if "/" in drivers:  # the driver makes the whole tree
        for section in kept.values():
            writer.node_section(section)
        return
    behind: dict[str, list[NodeSection]] = {}
    for section in kept.values():
        if section.kind != "driver" and section.behind is not None:
            behind.setdefault(section.behind, []).append(section)

    def place(path: str) -> None:
        writer.node_section(kept.pop(path))
        for section in behind.get(path, ()):
            writer.node_section(kept.pop(section.path))

    below = ""
    for path, node in inst.walk("/"):
        if below and path.startswith(below):
            if path in kept and path in drivers:
                place(path)
            continue
        below = ""
        if path in drivers:
            place(path)
            below = path + "/"
        else:
            writer.node(node, inst)
    for path in [p for p in kept if p in drivers]:  # a driver whose place is not in the tree now
        place(path)


def _is_kept(section: NodeSection) -> bool:
    return section.kind == "driver" or section.behind is not None


class _Writer:
    """Collects sections as text, and what cannot be written."""

    def __init__(self, must_hold_all: bool, for_show: bool = False) -> None:
        self._must_hold_all, self._for_show = must_hold_all, for_show
        self.blocks: list[str] = []
        self.problems: list[Problem] = []

    def node_section(self, section: NodeSection) -> None:
        if section.kind == "driver":
            self._section(section.path, self._raw(section, checked=section.checked))
        elif section.kind == "collection":
            self._section(
                section.path,
                self._collection(
                    section.path,
                    [("key", section.key), ("uuid", _text_of(section.uuid))],
                    section.timezone if section.timezone_given else None,
                    section.asset,
                    section.description,
                    section.metadata,
                ),
            )
        else:
            # without a type it tags a driver's node, of whatever kind that is
            tag = section.behind is not None and "type" not in section.raw
            self._section(
                section.path,
                [
                    *([] if tag else [("type", "Timeseries")]),
                    ("key", section.key),
                    ("uuid", _text_of(section.uuid)),
                    *_properties(section, section.timezone_given, section.timezone),
                    *self._texts(section.path, section.metadata, not tag),
                ],
            )

    def node(self, node: Node, inst: SmapInstance) -> None:
        if isinstance(node, Timeseries):
            by_key = _uuid_by_key(inst, node.key or node.path) == node.uuid
            self._section(
                node.path,
                [
                    ("type", "Timeseries"),
                    ("key", None if by_key and node.key == node.path else node.key),
                    ("uuid", None if by_key else str(node.uuid)),
                    *_properties(node, self._zone_counts(node, inst), node.timezone),
                    *self._texts(node.path, node.metadata, True),
                ],
            )
            return
        root = node.path == "/"
        zone = inst.default_timezone
        self._section(
            node.path,
            self._collection(
                node.path,
                [("uuid", str(inst.uuid_root))] if root else [],
                zone if root and (zone != DEFAULT_TIMEZONE or _told(inst)) else None,
                node.asset,
                node.description,
                node.metadata,
            ),
        )

    def other(self, section: OtherSection) -> None:
        self._section(section.name, self._raw(section, checked=bool(section.kind)))

    def _zone_counts(self, node: Timeseries, inst: SmapInstance) -> bool:
        """Whether a stream's zone has to be written: the default may have changed after it."""
        return node.timezone_given or node.timezone != inst.default_timezone

    def _collection(
        self,
        path: str,
        names: list[tuple[str, str | None]],
        zone: str | None,
        asset: str | None,
        description: str | None,
        metadata: Mapping[str, Json] | None,
    ) -> Pairs:
        return [
            ("type", "Collection"),
            *names,
            ("asset", asset),
            ("Properties/Timezone", zone),
            ("Description", description),
            *self._texts(path, metadata, False),
        ]

    def _texts(self, path: str, metadata: Mapping[str, Json] | None, strict: bool) -> Pairs:
        """Metadata as pairs; ``strict``: for a timeseries, which a config file gives text alone."""
        for names, value in _leaves(metadata or {}):
            key = "Metadata/" + "/".join(names)
            wrong = what_is_wrong(list(names), value, strict=strict)
            if wrong:
                self.problems.append(Problem(wrong, section=path, key=key))
            elif isinstance(value, list) and not all(isinstance(v, str) for v in value):
                text = "a list that holds other things than text."
                self.problems.append(Problem(text, section=path, key=key))
            else:
                yield key, value

    def _raw(self, section: NodeSection | OtherSection, *, checked: bool) -> Pairs:
        for key, value in section.raw.items():
            if key in section.hidden:
                yield key, _Hidden()
            elif not self._for_show or (isinstance(section, NodeSection) and is_structure(key)):
                yield key, value
            elif key in section.urls:
                yield key, _shown_url(value)
            else:
                yield key, value if checked else _guessed(key, value)

    def _section(self, name: str, pairs: Pairs, depth: int = 1) -> None:
        lines = []
        try:
            lines.append("[" * depth + write_name(name, stop="]") + "]" * depth)
        except ValueError as e:
            self.problems.append(Problem(str(e), section=name))
        nested = []
        for key, value in pairs:
            if value is None:
                continue
            if isinstance(value, Mapping):
                nested.append((key, value))
                continue
            try:
                written = write_name(key, stop="=")
                if isinstance(value, _Hidden) and self._must_hold_all:
                    raise ValueError("a secret. Move it to env:NAME or file:PATH first.")
                if isinstance(value, _Hidden):
                    lines.append(f"# {written} = {value.shown}  (a secret: {_AGAIN})")
                else:
                    lines.append(f"{written} = {write_value(_as_text(value))}")
            except ValueError as e:
                self.problems.append(Problem(str(e), section=name, key=key))
        text = "".join(line + "\n" for line in lines)
        if depth == 1:
            self.blocks.append(text)
        else:
            self.blocks[-1] += text
        for key, value in nested:
            self._section(key, value.items(), depth + 1)


class _Hidden:
    """Stands for the text of a secret; ``shown``: what of it may be seen."""

    def __init__(self, shown: str = "***") -> None:
        self.shown = shown


_AGAIN: Final = "set it again, as env:NAME"


def _shown_url(value: str) -> str | _Hidden:
    """A URL that has nothing behind its host, and no user before it, as it is; else hidden."""
    shown = repr(SecretUrl(value))
    return value if value.rstrip("/") == shown.removesuffix("/***") else _Hidden(shown)


def _guessed(key: str, value: Any) -> Any:
    """A value of a key that no table knows; hidden if it may be a secret."""
    if isinstance(value, Mapping):
        return {k: _guessed(k, v) for k, v in value.items()}
    texts = [value] if isinstance(value, str) else value
    if all(text.startswith(("env:", "file:")) for text in texts):
        return value
    if SECRETIVE.search(key) or any(map(_MAY_HOLD_KEY.match, texts)):
        return _Hidden()
    return value


def _properties(node: Any, zone_counts: bool, zone: str | None) -> Pairs:
    """The pairs of a timeseries or its section that differ from the defaults."""
    return [
        ("Properties/UnitofMeasure", node.unit),
        ("Properties/ReadingType", node.data_type if node.data_type != "long" else None),
        ("Properties/Timezone", zone if zone_counts else None),
        ("BufferSize", str(node.buffersz) if node.buffersz != 1 else None),
        ("Milliseconds", "yes" if node.milliseconds else None),
        ("Description", node.description),
    ]


def _told(inst: SmapInstance) -> bool:
    """Whether the file that the tree came from names the default zone itself."""
    return isinstance(inst.plan, Plan) and inst.plan.default_timezone is not None


def _text_of(uuid: UUID | None) -> str | None:
    return None if uuid is None else str(uuid)


def _uuid_by_key(inst: SmapInstance, key: str) -> UUID | None:
    """The uuid that a config file's reader gives this key."""
    try:
        return stream_uuid(inst.uuid_root, key, "utf-8")
    except ValueError:
        return None


def _leaves(
    metadata: Mapping[str, Json], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Json]]:
    for name, value in metadata.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name), value


def _as_text(value: Any) -> str | list[str]:
    if isinstance(value, str | list):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
