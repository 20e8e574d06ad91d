"""The tutorial's face of config files: ``load`` a tree from one, ``dump`` a tree into one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path

from twisted.logger import Logger

from smapd.assembly import TABLES, LoadedPlan
from smapd.config import (
    NodeSection,
    Plan,
    attach_section,
    finish_driver_section,
    load_plan,
    namespace,
    resolve,
    with_driver,
)
from smapd.config import dump as dump_text
from smapd.core import SmapInstance
from smapd.driver import DriverHost
from smapd.errors import ConfigError, DriverFailed, SmapError
from smapd.reporting import Reporting
from smapd.values import Problem

log = Logger()


def load(
    file: str | Path, sections: Collection[str] = (), *, data_dir: str | Path | None = None
) -> SmapInstance:
    """The tree of a config file, its drivers set up on this thread, in file order, not started.

    ``sections``: load these node sections alone, and [/]. ``data_dir``: where ``server.run`` keeps
    its data, in place of the file's own. ``server.run`` starts the drivers. One whose package,
    secret or ``setup`` fails is shown with its error at its place, and ``server.run`` tries it
    again; the sections below it wait for that.

    :raises ConfigError: with every problem of the text; nothing was made then.
    """
    plan = load_plan(file, tables=TABLES)
    if sections:
        _refuse_unknown(plan, sections)
        plan = plan.only(sections)
    if data_dir is not None:
        plan = replace(plan, server={**plan.server, "DataDir": Path(data_dir)})
    inst = SmapInstance(plan.root_uuid)
    inst.reports = Reporting()
    hosts: dict[str, DriverHost] = {}
    failed: set[str] = set()
    for section in plan.sections:
        if section.behind in failed:
            continue
        try:
            attach_section(inst, section)
        except SmapError as e:
            # only what stands in the way of a driver's nodes comes to this: a plan is checked
            log.warn("[{section}] is left out: {error}", section=section.path, error=str(e))
            failed.add(section.path)
            continue
        if section.kind == "driver":
            host = _set_up(inst, plan, section)
            if host is None:
                failed.add(section.path)
            else:
                hosts[section.path] = host
    values = {f.name: getattr(plan, f.name) for f in fields(Plan)}
    inst.plan = LoadedPlan(**values, hosts=hosts)
    return inst


def dump(inst: SmapInstance, file: str | Path) -> None:
    """Write a config file from which ``load`` makes this tree again; an old one is replaced whole.

    What drivers made is left to their sections, and secrets are written as their ``env:`` or
    ``file:`` references.

    :raises ConfigError: naming what a config file cannot hold, or a secret whose text stands in
        the config itself; the file is as it was then.
    :raises OSError: if the file cannot be written.
    """
    _replace(os.path.realpath(file), dump_text(inst, must_hold_all=True).encode("utf-8"))


def _refuse_unknown(plan: Plan, sections: Collection[str]) -> None:
    missing = [name for name in sections if plan.section(name) is None]
    if missing:
        raise ConfigError([Problem("no such section.", plan.file, section=m) for m in missing])


def _set_up(inst: SmapInstance, plan: Plan, section: NodeSection) -> DriverHost | None:
    """The host of a driver whose setup succeeded; None if something failed, which is shown."""
    before = _below(inst, section.path)
    try:
        if section.driver is None:
            section = with_driver(section)
        scope = inst.scope(section.path, namespace(plan, section))
        host = DriverHost(_class_of(section), scope, resolve(section))
        host.setup()
    except SmapError as e:
        for path in _below(inst, section.path) - before:
            inst.remove(path)
        inst.set_error(section.path, str(e))
        log.warn("[{driver}] is not set up: {error}", driver=section.path, error=str(e))
        return None
    finish_driver_section(inst, section)
    return host


def _class_of(section: NodeSection) -> type[object]:
    if section.driver is None:
        raise DriverFailed(section.path, "import", section.fault)
    return section.driver


def _below(inst: SmapInstance, path: str) -> set[str]:
    """The paths of the children of a driver's place."""
    collection = inst.get_collection(path)
    return {node.path for node in collection.nodes()} if collection else set()


def _replace(file: str, data: bytes) -> None:
    """Put a new file in the place of an old one; it is whole at every moment, after a crash too."""
    folder = os.path.dirname(file) or "."
    try:
        mode = os.stat(file).st_mode & 0o777
    except FileNotFoundError:
        mode = 0o600  # a config may name hosts and keys
    handle, draft = tempfile.mkstemp(prefix=".smapd-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as f:
            f.write(data)
            f.flush()
            os.fchmod(f.fileno(), mode)
            os.fsync(f.fileno())
        os.replace(draft, file)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(draft)
        raise
    folder_fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(folder_fd)
    finally:
        os.close(folder_fd)
