"""The driver of the machine that it runs on: which streams there are, and what each beat adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.logger import Logger

from smapd.driver import BadReading, Option, SmapDriver, bad, duration, words
from smapd.util import periodicSequentialCall

from .derive import Fields, derive
from .machine import Choice, Look, Machine, Unreadable, load_psutil
from .metrics import GROUPS, Group, Row
from .naming import node_name, plain

MOST_DEVICES = 256
"""Of one group: a machine that makes interfaces all day must not grow the tree for ever."""

_NAMES = tuple(group.name for group in GROUPS)


class SystemDriver(SmapDriver):
    """Processors, load, memory, swap, file systems, disks, networks, temperatures, uptime."""

    OPTIONS = (
        Option("Rate", duration, "5s", "time between two looks", at_least="1s"),
        Option("Metrics", words, _NAMES, "which groups to read", choices=_NAMES),
        Option("Disks", words, (), "mount points to read; unset: each local file system"),
        Option(
            "Devices",
            words,
            (),
            "block devices to read, names or patterns like sd*; unset: each whole disk",
        ),
        Option(
            "Interfaces",
            words,
            (),
            "network interfaces to read, names or patterns like eth*; unset: each but lo, "
            "veth*, ifb* and dummy*",
        ),
    )

    log = Logger()

    def setup(self, opts: Mapping[str, Any]) -> None:
        self.every_s: float = opts["Rate"]
        choice = Choice(opts["Disks"], opts["Devices"], opts["Interfaces"])
        self.named = {
            "disk": choice.disks,
            "diskio": plain(choice.devices),
            "network": plain(choice.interfaces),
        }
        self.machine = self.open(choice)
        self.devices: dict[tuple[str, str], _Device] = {}
        self.full: set[str] = set()
        self.set_metadata("/", self.machine.about())
        self.groups = tuple(g for g in GROUPS if g.name in opts["Metrics"])
        for group in self.groups:
            self._find(group)

    def start(self) -> None:
        periodicSequentialCall(self.read).start(self.every_s)

    def open(self, choice: Choice) -> Machine:
        """The machine to read; a test gives another one."""
        return Machine(load_psutil(), choice)

    def read(self) -> None:
        """Look once; in a poll thread.

        :raises BadReading: after all the rest was added, if a group cannot be read, or a device
            named in the options is not there.
        """
        missing: list[str] = []
        for group in self.groups:
            try:
                look = self.machine.read(group.name)
            except Unreadable as e:
                missing.append(f"{group.name} ({e})")
                self._lose(group, Look({}, {}), str(e))
                continue
            at_s = self.seconds()
            for name, fields in look.found.items():
                device = self._device(group, name, fields)
                if device is not None:
                    self._report(device, fields, at_s)
            self._lose(group, look, "not there")
            for name in self.named.get(group.name, ()):
                if name not in look.found:
                    missing.append(f"{group.name} {name} ({look.failed.get(name, 'not there')})")
        if missing:
            raise BadReading("cannot read " + ", ".join(missing))

    def _find(self, group: Group) -> None:
        """Make the streams of what is there now, and of what the options name."""
        try:
            look = self.machine.read(group.name)
        except Unreadable as e:
            self.log.warn("cannot read {group}: {why}", group=group.name, why=str(e))
            look = Look({}, {})
        for name, fields in look.found.items():
            self._device(group, name, fields)
        for name in self.named.get(group.name, ()):
            self._device(group, name, None)

    def _device(self, group: Group, name: str, fields: Fields | None) -> _Device | None:
        """The known device of that name, else a new one with its streams.

        ``fields``: what it shows; only rows that have one get a stream. None: it was never seen,
        and each row gets one. The answer is None if there are too many already.
        """
        known = self.devices.get((group.name, name))
        if known is not None:
            return known
        if sum(g == group.name for g, _ in self.devices) >= MOST_DEVICES:
            if group.name not in self.full:
                self.full.add(group.name)
                self.log.warn(
                    "more than {most} of {group}: {name} and later ones are left out",
                    most=MOST_DEVICES,
                    group=group.name,
                    name=name,
                )
            return None
        base = f"/{group.name}"
        if group.has_devices:
            siblings = self.get_collection(base)
            base += "/" + node_name(name, siblings.children if siblings is not None else ())
        device = _Device(group, name, base, {})
        for row in group.rows:
            if fields is None or row.field in fields:
                key = ":".join(filter(None, (group.name, name, row.name)))
                self.add_timeseries(
                    f"{base}/{row.name}",
                    key,
                    row.unit,
                    data_type=row.data_type,
                    description=row.description or None,
                )
                device.paths[row] = f"{base}/{row.name}"
        self._describe(device)
        self.devices[group.name, name] = device
        return device

    def _describe(self, device: _Device) -> None:
        if device.group == "disk":
            self.set_metadata(device.base, self.machine.about_disk(device.name))

    def _report(self, device: _Device, fields: Fields, at_s: float) -> None:
        if device.lost:
            device.lost = ""
            device.before = None
            self.log.info("{device} is back", device=device.label)
            self._describe(device)  # another disk may be mounted there now
        elapsed_s = at_s - device.before_s
        for row, path in device.paths.items():
            value = derive(row, device.before, fields, elapsed_s)
            if value is not None:
                self.add(path, value)
        device.before, device.before_s = fields, at_s

    def _lose(self, group: Group, look: Look, otherwise: str) -> None:
        """Mark each known device that was not found, once, with why."""
        for (name_of_group, name), device in self.devices.items():
            if name_of_group == group.name and name not in look.found and not device.lost:
                device.lost = why = look.failed.get(name, otherwise)
                self.log.warn("lost {device}: {why}", device=device.label, why=why)
                for path in device.paths.values():
                    self.add(path, None, quality=bad(why))


class _Device:
    """One device, or a group without devices: its streams and what it showed last."""

    __slots__ = ("base", "before", "before_s", "group", "label", "lost", "name", "paths")

    def __init__(self, group: Group, name: str, base: str, paths: dict[Row, str]) -> None:
        self.group, self.name, self.base = group.name, name, base
        self.label = f"{group.name} {name}".strip()
        self.paths = paths
        self.before: Fields | None = None
        self.before_s = 0.0
        self.lost = ""
