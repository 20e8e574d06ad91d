"""When a consumer that stays away loses its first reading, as configured.

Before anything runs, the ``Rate`` of the drivers stands for how fast streams are: one reading of
each a poll. At the rate of now: `smapd.storage.Rates`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .definition import DEFAULT_KEPT
from .resource import parse_resource

READING_BYTES: Final = 20
"""What a reading takes in the journal, nearly: packed a flush at a time."""


@dataclass(frozen=True, slots=True)
class Outage:
    """How long a report's consumer may stay away before the first reading is lost.

    ``hours``: None if no time bounds it. ``bound``: the key that does. ``driver``, ``every_s``: the
    fastest one it sends from; "" and None if none says its Rate. ``size``: the bytes that may wait;
    ``size_key``: the key that says so. ``kept``: readings of a stream that may wait, if bounded.
    """

    hours: float | None
    bound: str
    driver: str
    every_s: float | None
    size: int
    size_key: str
    kept: int | None

    @property
    def readings(self) -> int:
        """How many the bytes hold, nearly."""
        return self.size // READING_BYTES

    @property
    def most_hz(self) -> float | None:
        """Readings a second, of all streams together, up to which the bytes last as long."""
        return None if not self.hours else self.readings / (self.hours * 3600)

    def sentence(self) -> str:
        """For people."""
        room = f"{self.size_key} has room for {_rounded(self.readings)} readings"
        if self.hours is None and self.kept is not None:
            return (
                f"an outage loses nothing until {self.kept} readings of a stream wait: "
                f"{_hours(self.kept)} at one a second; {room} in all."
            )
        if self.hours is None:
            return f"an outage loses nothing as long as {room}."
        why = self.bound
        if why == "MaxReadings":
            why = f"{self.kept} readings of a stream at one each {self.every_s:g} s ({self.driver})"
        most_hz = self.most_hz
        assert most_hz is not None
        return (
            f"an outage of {_hours(self.hours * 3600)} loses nothing: {why}; {room}, "
            f"enough for {_rounded(most_hz)} a second."
        )


def outage(options: Mapping[str, Any], rates: Mapping[str, float], max_bytes: int) -> Outage:
    """Of a report section, from its checked options.

    ``rates``: seconds between two readings of a stream, by the path of the driver's section.
    ``max_bytes``: [server] MaxBytes, which all reports share.
    """
    resource = parse_resource(options["ReportResource"])
    sent = {
        every_s: path
        for path, every_s in sorted(rates.items(), reverse=True)
        if resource.uuid is not None or resource.covers(path) or _is_above(path, resource.place)
    }
    every_s = min(sent, default=None)
    keeps = options["Keep"] is not None or options["KeepBytes"] is not None
    kept = options["MaxReadings"]
    if kept == DEFAULT_KEPT and keeps:
        kept = None
    sizes = {
        max_bytes: "[server] MaxBytes",
        options["MaxBytes"]: "MaxBytes",
        options["KeepBytes"]: "KeepBytes",
    }
    sizes.pop(None, None)
    size = min(sizes)
    bounds = [(options[key], key) for key in ("Keep", "MaxAge") if options[key] is not None]
    if kept is not None and every_s is not None:
        bounds.append((kept * every_s, "MaxReadings"))
    if not bounds:
        bound = sizes[size] if kept is None else "MaxReadings"
        return Outage(None, bound, "", None, size, sizes[size], kept)
    seconds, bound = min(bounds)
    driver = "" if every_s is None else sent[every_s]
    return Outage(seconds / 3600, bound, driver, every_s, size, sizes[size], kept)


def _is_above(path: str, place: str) -> bool:
    """Whether a driver's section lies above what is selected, which may be its own then."""
    return path == "/" or place.startswith(path + "/")


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 100 else f"{hours:.0f} h"


def _rounded(number: float) -> str:
    """Two or three digits of it: more would say what nobody knows."""
    for size, name in ((1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:.3g} {name}"
    return f"{float(f'{number:.2g}'):,.0f}" if number >= 10 else f"{number:.2g}"
