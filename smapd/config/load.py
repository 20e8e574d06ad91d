"""A config file to a checked plan: everything wrong in the text is found in one run."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from smapd.config.drivers import find_driver
from smapd.config.nodes import NodeReader
from smapd.config.others import check_resources, read_others
from smapd.config.plan import FindDriver, Plan
from smapd.config.reader import Document, parse, read
from smapd.errors import ConfigError
from smapd.options import OptionTable, merge
from smapd.values import Problem, Severity


def load_plan(
    file: str | Path, *, tables: Iterable[OptionTable], drivers: FindDriver = find_driver
) -> Plan:
    """Read and check a config file. Imports the modules of its drivers; starts nothing.

    ``tables``: the option tables of all rooms. ``drivers``: gives the class of a ``type``.

    :raises ConfigError: with every problem of the text, warnings too, in the order of lines.
    """
    with _collection_paused():
        return _plan(read(file), tables, drivers)


def load_text(
    text: str, name: str, *, tables: Iterable[OptionTable], drivers: FindDriver = find_driver
) -> Plan:
    """As ``load_plan``, of a text; ``name`` is what problems call the file."""
    with _collection_paused():
        return _plan(parse(text, name), tables, drivers)


@contextmanager
def _collection_paused() -> Iterator[None]:
    """No garbage collection meanwhile: with 10,000 sections it was two fifths of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _plan(doc: Document, tables: Iterable[OptionTable], drivers: FindDriver) -> Plan:
    nodes = NodeReader(doc, drivers)
    nodes.read()
    others = read_others(doc, merge(tables))
    check_resources(doc, others, nodes.known_path)
    if nodes.root_uuid is None or any(p.severity is Severity.ERROR for p in doc.problems):
        raise ConfigError(_tidy(doc.problems))
    nodes.warn_of_defaults()
    return Plan(
        file=doc.file,
        root_uuid=nodes.root_uuid,
        default_timezone=nodes.default_timezone,
        sections=tuple(nodes.sections),
        server=others.server,
        listeners=tuple(others.listeners),
        others=tuple(others.others),
        plain=tuple(others.plain),
        warnings=tuple(_tidy(doc.problems)),
    )


def _tidy(problems: list[Problem]) -> list[Problem]:
    """In the order of lines, the file as a whole last; no warning where there is an error."""
    wrong = {(p.line, p.key) for p in problems if p.line and p.severity is Severity.ERROR}
    kept = [p for p in problems if p.severity is Severity.ERROR or (p.line, p.key) not in wrong]
    return sorted(kept, key=lambda p: p.line or 2**31)
