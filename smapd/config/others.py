"""The sections that are no nodes, each read by the option table of its kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from smapd.config.plan import OtherSection
from smapd.config.reader import Document, RawSection
from smapd.options import OptionTable, edit_distance, hidden_keys, open_urls, show
from smapd.values import Severity

TYPO: Final = 2
"""How many letters away an unknown section's name may be before it is taken for a known one."""

_MATCHES: Final = re.compile(r"\s*(?:Metadata/|Properties/|(?i:has ))")
"""What begins so is asked of everything, not of a place; conditions are the report's to read."""
_WHERE: Final = re.compile(r"\swhere\s")

_OF_NODES = ("type", "key", "uuid", "asset", "Description", "BufferSize")


@dataclass(slots=True)
class Others:
    """What the sections that are no nodes say; see ``Plan`` for the fields."""

    server: dict[str, Any] = field(default_factory=dict)
    listeners: list[Mapping[str, Any]] = field(default_factory=list)
    others: list[OtherSection] = field(default_factory=list)
    plain: list[OtherSection] = field(default_factory=list)


def read_others(doc: Document, tables: Mapping[str, OptionTable]) -> Others:
    """Read them all; problems go to the document. ``tables``: by section, as ``merge`` gives."""
    result = Others()
    if "server" in tables:
        # what [server] leaves out, and all of it where there is none
        result.server = tables["server"].parse({})[0]
    for raw in doc.sections:
        if raw.name.startswith("/"):
            continue
        table = _table_of(raw.name, tables)
        if table is None:
            _note_unknown(doc, raw, tables)
            result.plain.append(OtherSection("", raw.name, raw.line, {}, raw.values))
            continue
        values, problems = table.parse(raw.values, doc.where(raw))
        doc.problems.extend(problems)
        kind = table.section.removesuffix("*")
        hidden, urls = hidden_keys(table, raw.values), open_urls(table, raw.values)
        section = OtherSection(kind, raw.name, raw.line, values, raw.values, hidden, urls)
        result.plain.append(section)
        if raw.name == "server":
            result.server = values
        elif kind == "server":
            result.listeners.append(values)
        else:
            result.others.append(section)
    return result


def check_resources(doc: Document, others: Others, known: Callable[[str], bool]) -> None:
    """Refuse what is sent of a path that is nowhere in the plan, nor can come from a driver."""
    by_name = {raw.name: raw for raw in doc.sections}
    for section, key, resource in _resources(others.others):
        if "/" not in resource or _MATCHES.match(resource):
            continue
        place = _WHERE.split(resource, maxsplit=1)[0]
        names = [name for name in place.split("/") if name]
        plus = next((i for i, name in enumerate(names) if name.startswith("+")), len(names))
        path = "/" + "/".join(names[:plus])
        if not known(path):
            text = f"there is no {show(path)} in this file, and no driver above it."
            doc.problem(by_name[section.name], key, text, found=resource)


def _resources(sections: Iterable[OtherSection]) -> Iterator[tuple[OtherSection, str, str]]:
    """(section, key, text) of all that says whose readings are sent."""
    for section in sections:
        for key in ("ReportResource", "Notify"):
            found = section.options.get(key)
            if isinstance(found, str):
                yield section, key, found
        more = section.options.get("Notify*")
        for number, found in more.items() if isinstance(more, Mapping) else ():
            yield section, f"Notify{number}", found


def _table_of(name: str, tables: Mapping[str, OptionTable]) -> OptionTable | None:
    for section, table in tables.items():
        if section.endswith("*"):
            if name.startswith(section[:-1]):
                return table
        elif name == section or name.startswith(section + " "):
            return table
    return None


def _note_unknown(doc: Document, raw: RawSection, tables: Mapping[str, OptionTable]) -> None:
    word, blank, rest = raw.name.partition(" ")
    for section in tables:
        known = section.removesuffix("*")
        head = word if not section.endswith("*") else word.rstrip("0123456789")
        if edit_distance(head.lower(), known, TYPO) <= TYPO:
            meant = known + word[len(head) :] + blank + rest
            doc.problem(raw, "", f"no such section. Did you mean [{show(meant)}]?")
            return
    text = "no such section; it is skipped."
    if any(k in _OF_NODES or k.startswith(("Metadata/", "Properties/")) for k in raw.values):
        text += f" Did you mean [/{show(raw.name)}]?"
    doc.problem(raw, "", text, severity=Severity.WARNING)
