"""A stand-in for psutil that answers what a test case recorded, one record a look."""

from __future__ import annotations

import builtins
from typing import Any


class Error(Exception):
    """As psutil.Error."""


class Fields(dict[str, Any]):
    """As one of psutil's named tuples: fields by attribute, and ``_asdict``."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def _asdict(self) -> dict[str, Any]:
        return dict(self)


class Recorded:
    """Has the functions of psutil that a record names.

    ``looks``: one dict a look, {function: answer}; a function that is absent answers as in the look
    before. An answer is a dict of fields, a list, or {"raises": "OSError", "text": "…"}.
    ``disk_partitions`` is {"all": […], "local": […]}, ``cpu_times`` {"total": …, "each": […]}.
    """

    Error = Error

    def __init__(self, looks: list[dict[str, Any]]) -> None:
        self._looks = [dict(looks[0])]
        for look in looks[1:]:
            self._looks.append(self._looks[-1] | look)
        self._at = 0

    def next(self) -> None:
        """Go on to the next look; the last one stays."""
        self._at = min(self._at + 1, len(self._looks) - 1)

    def _answer(self, name: str) -> Any:
        answer = self._looks[self._at][name]
        if isinstance(answer, dict) and "raises" in answer:
            kind = Error if answer["raises"] == "Error" else getattr(builtins, answer["raises"])
            raise kind(answer["text"])
        return answer

    def cpu_times(self, percpu: bool) -> Any:
        answer = self._answer("cpu_times")
        return [Fields(t) for t in answer["each"]] if percpu else Fields(answer["total"])

    def getloadavg(self) -> tuple[float, ...]:
        return tuple(self._answer("getloadavg"))

    def virtual_memory(self) -> Fields:
        return Fields(self._answer("virtual_memory"))

    def swap_memory(self) -> Fields:
        return Fields(self._answer("swap_memory"))

    def disk_partitions(self, all: bool) -> list[Fields]:
        return [Fields(p) for p in self._answer("disk_partitions")["all" if all else "local"]]

    def disk_usage(self, mount: str) -> Fields:
        usage = self._answer("disk_usage")[mount]
        if "raises" in usage:
            raise getattr(builtins, usage["raises"])(usage["text"])
        return Fields(usage)

    def disk_io_counters(self, perdisk: bool, nowrap: bool) -> Any:
        assert (perdisk, nowrap) == (True, False)
        answer = self._answer("disk_io_counters")
        return answer and {k: Fields(v) for k, v in answer.items()}

    def net_io_counters(self, pernic: bool, nowrap: bool) -> Any:
        assert (pernic, nowrap) == (True, False)
        answer = self._answer("net_io_counters")
        return answer and {k: Fields(v) for k, v in answer.items()}

    def sensors_temperatures(self) -> dict[str, list[Fields]]:
        answer = self._answer("sensors_temperatures")
        return {chip: [Fields(s) for s in sensors] for chip, sensors in answer.items()}

    def boot_time(self) -> float:
        return float(self._answer("boot_time"))

    def pids(self) -> list[int]:
        return list(self._answer("pids"))
