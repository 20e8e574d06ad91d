"""The machine itself, read by psutil: numbers out, no tree and no options but names.

Each group of ``metrics.py`` has one method here, which answers {device: fields}; a group without
devices has the one device "". Everything blocks for as long as the kernel takes: microseconds,
except for the usage of a network file system whose server is gone.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from smapd.driver import MissingExtra
from smapd.util import now

from .derive import Fields
from .naming import is_partition, matches

# always full, and nobody can do anything about it
_IMAGES = frozenset({"squashfs", "iso9660", "udf", "erofs"})
_NO_DISKS = ("loop*", "ram*", "zram*", "fd*", "sr*")
_NO_NETWORKS = ("lo", "veth*", "ifb*", "dummy*")


class Unreadable(Exception):
    """The machine does not tell this; the text says why."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which devices to read; an empty part stands for the usual ones.

    ``disks``: mount points. ``devices``, ``interfaces``: names or patterns.
    """

    disks: Sequence[str] = ()
    devices: Sequence[str] = ()
    interfaces: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """One group at one moment: the fields of each device, and why others cannot be read."""

    found: Mapping[str, Fields]
    failed: Mapping[str, str]


def load_psutil() -> ModuleType:
    """The package psutil.

    :raises MissingExtra: if it is not installed.
    """
    try:
        import psutil
    except ImportError as e:
        raise MissingExtra(
            f"SystemDriver needs the package psutil ({e}).", hint="Install it: pip install psutil"
        ) from e
    module: ModuleType = psutil
    return module


class Machine:
    """Reads one machine through a module that has psutil's functions; from any one thread."""

    def __init__(
        self,
        psutil: Any,
        choice: Choice = Choice(),
        *,
        is_directory: Callable[[str], bool] = os.path.isdir,
        wall_s: Callable[[], int] = now,
    ) -> None:
        self._psutil = psutil
        self._choice = choice
        self._is_directory = is_directory
        self._wall_s = wall_s

    def read(self, group: str) -> Look:
        """Each device of a group that is there now.

        :raises Unreadable: if the group cannot be read at all.
        """
        reader: Callable[[], Iterator[tuple[str, Fields | str]]] = getattr(self, "_" + group)
        found: dict[str, Fields] = {}
        failed: dict[str, str] = {}
        # psutil parses what the kernel prints: on an odd kernel any of these comes out of it
        try:
            for name, fields in reader():
                if isinstance(fields, str):
                    failed[name] = fields
                else:
                    found[name] = fields
            return Look(found, failed)
        except (OSError, RuntimeError, ValueError, LookupError, AttributeError) as e:
            raise Unreadable(f"{type(e).__name__}: {e}") from e
        except self._psutil.Error as e:
            raise Unreadable(str(e)) from e

    def about(self) -> dict[str, str]:
        """What does not change: the machine's name and system, as metadata."""
        return {
            "Extra/Host": platform.node(),
            "Extra/System": f"{platform.system()} {platform.release()}",
        }

    def about_disk(self, mount: str) -> dict[str, str]:
        """Which device and file system is mounted there, as metadata."""
        found = self._mounts().get(mount)
        about = {"Extra/MountPoint": mount}
        if found is not None:
            about |= {"Extra/Device": found.device, "Extra/FileSystem": found.fstype}
        return about

    def _cpu(self) -> Iterator[tuple[str, Fields]]:
        yield "total", _times(self._psutil.cpu_times(percpu=False))
        for i, times in enumerate(self._psutil.cpu_times(percpu=True)):
            fields = _times(times)
            yield f"core{i}", {"busy": fields["busy"], "total": fields["total"]}

    def _load(self) -> Iterator[tuple[str, Fields]]:
        yield "", dict(zip(("1min", "5min", "15min"), self._psutil.getloadavg(), strict=True))

    def _memory(self) -> Iterator[tuple[str, Fields]]:
        yield "", self._psutil.virtual_memory()._asdict()

    def _swap(self) -> Iterator[tuple[str, Fields]]:
        yield "", self._psutil.swap_memory()._asdict()

    def _disk(self) -> Iterator[tuple[str, Fields | str]]:
        mounts = self._mounts()
        for mount in self._choice.disks or self._local(mounts):
            # an unmounted directory would show the numbers of the file system around it
            if mount not in mounts:
                yield mount, "not mounted"
                continue
            try:
                usage: Fields = self._psutil.disk_usage(mount)._asdict()
            except OSError as e:
                yield mount, e.strerror or str(e)  # the others are read
            else:
                yield mount, usage

    def _diskio(self) -> Iterator[tuple[str, Fields]]:
        found: Mapping[str, Any] = self._psutil.disk_io_counters(perdisk=True, nowrap=False) or {}
        chosen = self._choice.devices
        for name, counters in found.items():
            if (
                matches(name, chosen)
                if chosen
                else not (matches(name, _NO_DISKS) or is_partition(name, found))
            ):
                yield name, counters._asdict()

    def _network(self) -> Iterator[tuple[str, Fields]]:
        found: Mapping[str, Any] = self._psutil.net_io_counters(pernic=True, nowrap=False) or {}
        chosen = self._choice.interfaces
        for name, counters in found.items():
            if matches(name, chosen) if chosen else not matches(name, _NO_NETWORKS):
                yield name, counters._asdict()

    def _temperature(self) -> Iterator[tuple[str, Fields]]:
        read = getattr(self._psutil, "sensors_temperatures", None)
        for chip, sensors in (read() if read else {}).items():
            seen: dict[str, int] = {}
            for i, sensor in enumerate(sensors):
                label = f"{chip} {sensor.label or f'temp{i + 1}'}"
                seen[label] = n = seen.get(label, 0) + 1  # two chips of a kind share labels
                if sensor.current is not None:
                    yield label if n == 1 else f"{label} {n}", {"current": sensor.current}

    def _system(self) -> Iterator[tuple[str, Fields]]:
        yield (
            "",
            {
                "uptime": max(0.0, self._wall_s() - self._psutil.boot_time()),
                "processes": len(self._psutil.pids()),
            },
        )

    def _mounts(self) -> dict[str, Any]:
        return {p.mountpoint: p for p in self._psutil.disk_partitions(all=True)}

    def _local(self, mounts: Mapping[str, Any]) -> list[str]:
        """The usual mount points: / and one of each local file system, in order of name."""
        by_device: dict[str, str] = {}
        for part in self._psutil.disk_partitions(all=False):
            mount = part.mountpoint
            if part.fstype in _IMAGES or not self._is_directory(mount):
                continue
            known = by_device.get(part.device)
            if known is None or (len(mount), mount) < (len(known), known):
                by_device[part.device] = mount
        return sorted({*by_device.values(), *(["/"] if "/" in mounts else [])})


def _times(times: Any) -> dict[str, float]:
    """A processor's times in seconds, with ``total`` and ``busy`` added."""
    fields: dict[str, float] = times._asdict()
    # Linux counts a guest's time within user and nice already
    parts = {k: v for k, v in fields.items() if k not in ("guest", "guest_nice")}
    total = sum(parts.values())
    idle = fields.get("idle", 0.0) + fields.get("iowait", 0.0)
    return fields | {"total": total, "busy": total - idle}
