"""From the machine's names (mount points, sensors, block devices) to names in the tree; pure."""

from __future__ import annotations

import re
import zlib
from collections.abc import Container, Iterable
from fnmatch import fnmatchcase

_MOST_LETTERS = 60
_PARTITION = re.compile(r"(.+?)p?[0-9]+")


def node_name(device: str, taken: Container[str] = ()) -> str:
    """A name for a device that reads well in a URL, and is none of those taken.

    ``/`` is ``rootfs``, ``/var/lib`` is ``var_lib``, ``Core 0`` is ``Core_0``. What was cut or
    clashes gets a checksum of the device's own name.
    """
    if device == "/":
        name = "rootfs"
    else:
        name = re.sub(r"[^\w.:@-]+", "_", device.strip("/")).lstrip(".") or "_"
    if len(name) > _MOST_LETTERS or name in taken:
        checksum = zlib.crc32(device.encode("utf-8", "surrogateescape"))
        name = f"{name[:_MOST_LETTERS]}-{checksum:08x}"
    return name


def is_partition(name: str, names: Container[str]) -> bool:
    """Whether a block device is a part of another one in the list: sda1, nvme0n1p2."""
    m = _PARTITION.fullmatch(name)
    return m is not None and m[1] in names


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of these names or patterns (``eth*``) fits; the case counts."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def plain(patterns: Iterable[str]) -> tuple[str, ...]:
    """Those that name one device, without ``*``, ``?`` or ``[``."""
    return tuple(p for p in patterns if not set(p) & set("*?["))
