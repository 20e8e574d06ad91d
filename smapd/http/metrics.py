"""``/metrics``: what the daemon says of itself, as Prometheus reads it.

Format: the text format 0.0.4, https://prometheus.io/docs/instrumenting/exposition_formats/ .

Our own families are written here: prometheus-client looks at each label of each sample with regular
expressions, which at 300 reports holds the reactor for 50 ms. It adds what it knows of the process;
it is imported with the first scrape, since most daemons are never scraped, and is given a registry
of ours: what drivers register in its own one is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from .metric_reads import Family
from .metric_table import FAMILIES
from .status_look import Look

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from .parts import HttpParts

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Writes the answer of one listener; on the reactor's thread. Nothing is done before asked."""

    def __init__(self, parts: HttpParts) -> None:
        self._parts = parts
        self._ours = Exposition(self._look)
        self._registry: CollectorRegistry | None = None
        self._write: Callable[[CollectorRegistry], bytes] | None = None

    def text(self) -> bytes:
        """All metrics as they are now, in UTF-8."""
        if self._registry is None or self._write is None:
            from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

            self._registry = CollectorRegistry(auto_describe=False)
            ProcessCollector(registry=self._registry)
            self._write = generate_latest
        return self._ours.text().encode() + self._write(self._registry)

    def _look(self) -> Mapping[str, Any]:
        parts = self._parts
        return {
            **parts.status.snapshot(),
            "version": parts.version,
            "ready": int(not parts.ready()),
            "healthy": int(not parts.healthy()),
        }


class Exposition:
    """Turns a status into metrics. ``look``: gives the status."""

    def __init__(self, look: Callable[[], Mapping[str, Any]]) -> None:
        self._look = look
        self._falls: dict[str, tuple[float, float]] = {}

    def text(self) -> str:
        """Each metric of the table, those without a sample too: what there can be is seen."""
        look = Look(self._look())
        lines: list[str] = []
        for family in FAMILIES:
            name = family.name
            lines.append(f"# HELP {name} {family.doc}\n# TYPE {name} {family.kind.value}\n")
            for labels, value in family.read(look):
                told = _labels(family, labels)
                if isinstance(value, Mapping):
                    lines += _histogram(name, told, value)
                else:
                    if family.may_fall:
                        value = self._kept(name, value)
                    lines.append(_line(name, told, value))
        return "".join(lines)

    def _kept(self, name: str, value: float) -> float:
        """``value``, with what was lost each time that it fell: a call that ends takes its own."""
        before, lost = self._falls.get(name, (0.0, 0.0))
        if value < before:
            lost += before - value
        self._falls[name] = (value, lost)
        return value + lost


def _line(name: str, labels: str, value: float) -> str:
    return f"{name}{{{labels}}} {float(value)!r}\n" if labels else f"{name} {float(value)!r}\n"


def _histogram(name: str, labels: str, value: Mapping[str, Any]) -> Iterator[str]:
    """What ``runtime.Durations`` shows."""
    before = labels + "," * bool(labels)
    for bound_s, count in value["at_most"]:
        yield _line(f"{name}_bucket", f'{before}le="{float(bound_s)!r}"', count)
    yield _line(f"{name}_bucket", f'{before}le="+Inf"', value["count"])
    yield _line(f"{name}_count", labels, value["count"])
    yield _line(f"{name}_sum", labels, value["sum_s"])


def _labels(family: Family, values: tuple[str, ...]) -> str:
    return ",".join(
        [f'{name}="{_text(value)}"' for name, value in zip(family.labels, values, strict=True)]
    )


def _text(label: str) -> str:
    """As UTF-8 can have it, a path may hold half a surrogate pair; escaped as the format says."""
    if label.isalnum() and label.isascii():
        return label
    if not label.isascii():
        label = label.encode("utf-8", "replace").decode("utf-8")
    return label.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
