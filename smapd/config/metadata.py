"""``Metadata/Group/Field = value`` of one section to nested metadata."""

from __future__ import annotations

from typing import Any, Final

from smapd.config.reader import Document, RawSection
from smapd.values import Json, Severity

DEEPEST: Final = 16
MOST_KEYS: Final = 10_000

FLAT_GROUPS: Final = frozenset(("Extra", "Instrument", "Location", "Operator"))
"""The groups that sMAP knows; on a timeseries each holds fields of text, no deeper ones."""


def read_metadata(
    doc: Document, raw: RawSection, pairs: list[tuple[str, Any]], *, strict: bool
) -> dict[str, Json] | None:
    """Nested metadata; None if nothing is left. ``pairs``: keys with "Metadata/" in front.

    ``strict``: by sMAP's rules for a timeseries, no lists, and no nesting in the known groups.
    """
    result: dict[str, Json] = {}
    if len(pairs) > MOST_KEYS:
        doc.problem(raw, "", f"more than {MOST_KEYS} keys of metadata. Leave some out.")
        return None
    for key, found in pairs:
        names = key.split("/")[1:]
        text = what_is_wrong(names, found, strict=strict)
        if text:
            doc.problem(raw, key, text, found="" if isinstance(found, dict) else found)
            continue
        if not strict and isinstance(found, list) and len(found) > 1:
            text = "a comma makes a list of it. Write quotes if one text is meant."
            doc.problem(raw, key, text, found=found, severity=Severity.WARNING)
        group = result
        for name in names[:-1]:
            below = group.setdefault(name, {})
            if not isinstance(below, dict):
                text = f"{name} has a value of its own already. Leave out one of the two."
                doc.problem(raw, key, text, found=found)
                break
            group = below
        else:
            if names[-1] in group:
                text = f"{names[-1]} has fields below it already. Leave out one of the two."
                doc.problem(raw, key, text, found=found)
            else:
                group[names[-1]] = found
    return result or None


def what_is_wrong(names: list[str], found: Any, *, strict: bool) -> str:
    """The sentence on one key of metadata, split at its slashes; "" if all is well."""
    if isinstance(found, dict):
        return "a section in a section; write Metadata/Group/Field = value."
    if "" in names:
        return "a name is empty. Write Metadata/Group/Field."
    if len(names) > DEEPEST:
        return f"deeper than {DEEPEST} levels."
    if isinstance(found, str) and len(found.encode()) > 64 * 1024:
        return "longer than 64 KiB. Shorten it."
    if not strict:
        return ""
    if isinstance(found, list):
        quoted = '"' + ", ".join(map(str, found)) + '"'
        return f"a list, which a Timeseries' metadata cannot hold. Write quotes, like {quoted}."
    if names[0] in FLAT_GROUPS and len(names) == 1:
        return f"{names[0]} holds fields. Write Metadata/{names[0]}/Field = value."
    if names[0] in FLAT_GROUPS and len(names) > 2:
        return f"{names[0]} of a Timeseries holds text alone, nothing nested. Write one name less."
    if names[0] == "SourceName" and len(names) > 1:
        return "SourceName is one text. Write Metadata/SourceName = value."
    return ""
