"""What is read of the machine, as tables: one row a field of psutil, no code.

A group is a part of the machine. Some have devices (each core, file system, interface …), whose
rows are the same; the others stand for themselves. A stream's path is /GROUP/DEVICE/NAME or
/GROUP/NAME, its key GROUP:DEVICE:NAME or GROUP:NAME.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Kind(enum.Enum):
    """How a stream's value comes from its field."""

    GAUGE = "the field as it stands"
    COUNTER = "the field as it stands; it only grows, until the device or machine starts anew"
    RATE = "growth of the field by second"
    SHARE = "growth of the field, in percent of the growth of the device's field `total`"
    BUSY_MS = "growth of the field, which counts milliseconds, in percent of the time gone by"


@dataclass(frozen=True, slots=True)
class Row:
    """One stream: its name, the field it comes from and how, its unit and type."""

    name: str
    field: str
    kind: Kind
    unit: str
    data_type: str = "double"
    description: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """A part of the machine: the rows of each of its devices, or of itself."""

    name: str
    rows: tuple[Row, ...]
    has_devices: bool = True


def _counted(name: str, rate: str, field: str, unit: str, description: str) -> tuple[Row, Row]:
    """The two streams of a field that only grows: what it shows, and how fast."""
    per_second = unit + "/s"
    return (
        Row(name, field, Kind.COUNTER, unit, "long", f"{description}, in all"),
        Row(rate, field, Kind.RATE, per_second, "double", f"{description}, by second"),
    )


CPU = Group(
    "cpu",
    (
        Row("busy", "busy", Kind.SHARE, "%", description="time spent on anything"),
        Row("user", "user", Kind.SHARE, "%", description="time spent in programs"),
        Row("system", "system", Kind.SHARE, "%", description="time spent in the kernel"),
        Row("iowait", "iowait", Kind.SHARE, "%", description="idle, waiting for a disk"),
        Row("steal", "steal", Kind.SHARE, "%", description="time taken by the hypervisor"),
    ),
)

LOAD = Group(
    "load",
    (
        Row("1min", "1min", Kind.GAUGE, "processes", description="mean of one minute"),
        Row("5min", "5min", Kind.GAUGE, "processes", description="mean of five minutes"),
        Row("15min", "15min", Kind.GAUGE, "processes", description="mean of fifteen minutes"),
    ),
    has_devices=False,
)

MEMORY = Group(
    "memory",
    (
        Row("total", "total", Kind.GAUGE, "B", "long"),
        Row("available", "available", Kind.GAUGE, "B", "long", "could be had without swapping"),
        Row("used", "used", Kind.GAUGE, "B", "long"),
        Row("free", "free", Kind.GAUGE, "B", "long"),
        Row("buffers", "buffers", Kind.GAUGE, "B", "long"),
        Row("cached", "cached", Kind.GAUGE, "B", "long"),
        Row("percent", "percent", Kind.GAUGE, "%", description="what is not available"),
    ),
    has_devices=False,
)

SWAP = Group(
    "swap",
    (
        Row("total", "total", Kind.GAUGE, "B", "long"),
        Row("used", "used", Kind.GAUGE, "B", "long"),
        Row("free", "free", Kind.GAUGE, "B", "long"),
        Row("percent", "percent", Kind.GAUGE, "%", description="of the total that is used"),
        *_counted("in", "in_rate", "sin", "B", "read back from swap"),
        *_counted("out", "out_rate", "sout", "B", "written to swap"),
    ),
    has_devices=False,
)

DISK = Group(
    "disk",
    (
        Row("total", "total", Kind.GAUGE, "B", "long"),
        Row("used", "used", Kind.GAUGE, "B", "long"),
        Row("free", "free", Kind.GAUGE, "B", "long", "what a user without privileges may fill"),
        Row("percent", "percent", Kind.GAUGE, "%", description="used, of what a user may fill"),
    ),
)

DISKIO = Group(
    "diskio",
    (
        *_counted("read", "read_rate", "read_bytes", "B", "read from the device"),
        *_counted("written", "write_rate", "write_bytes", "B", "written to the device"),
        *_counted("reads", "reads_rate", "read_count", "operations", "read operations"),
        *_counted("writes", "writes_rate", "write_count", "operations", "write operations"),
        Row("busy", "busy_time", Kind.BUSY_MS, "%", description="time with an operation under way"),
    ),
)

NETWORK = Group(
    "network",
    (
        *_counted("received", "receive_rate", "bytes_recv", "B", "received"),
        *_counted("sent", "send_rate", "bytes_sent", "B", "sent"),
        *_counted("packets_in", "packets_in_rate", "packets_recv", "packets", "received"),
        *_counted("packets_out", "packets_out_rate", "packets_sent", "packets", "sent"),
        *_counted("errors_in", "errors_in_rate", "errin", "packets", "received damaged"),
        *_counted("errors_out", "errors_out_rate", "errout", "packets", "failed to be sent"),
        *_counted("drops_in", "drops_in_rate", "dropin", "packets", "received and dropped"),
        *_counted("drops_out", "drops_out_rate", "dropout", "packets", "dropped before sending"),
    ),
)

TEMPERATURE = Group(
    "temperature",
    (Row("current", "current", Kind.GAUGE, "C"),),
)

SYSTEM = Group(
    "system",
    (
        Row("uptime", "uptime", Kind.GAUGE, "s", "long", "since the machine started"),
        Row("processes", "processes", Kind.GAUGE, "processes", "long"),
    ),
    has_devices=False,
)

GROUPS = (CPU, LOAD, MEMORY, SWAP, DISK, DISKIO, NETWORK, TEMPERATURE, SYSTEM)
"""All of them, in the order in which their collections are made."""
