"""``/metrics``: what the daemon says of itself, as Prometheus reads it.

Format: the text format 0.0.4, https://prometheus.io/docs/instrumenting/exposition_formats/ .

prometheus-client writes it. It is imported with the first scrape, since most daemons are never
scraped, and is given a registry of ours: what drivers register in its own one is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from .metric_reads import Family, Kind
from .metric_table import FAMILIES
from .status_look import Look

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from .parts import HttpParts

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Writes the answer of one listener; on the reactor's thread. Nothing is done before asked."""

    def __init__(self, parts: HttpParts) -> None:
        self._parts = parts
        self._registry: CollectorRegistry | None = None
        self._write: Callable[[CollectorRegistry], bytes] | None = None

    def text(self) -> bytes:
        """All metrics as they are now, in UTF-8."""
        if self._registry is None or self._write is None:
            from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

            self._registry = CollectorRegistry(auto_describe=False)
            self._registry.register(Collector(self._look))
            ProcessCollector(registry=self._registry)
            self._write = generate_latest
        return self._write(self._registry)

    def _look(self) -> Mapping[str, Any]:
        parts = self._parts
        return {
            **parts.status.snapshot(),
            "version": parts.version,
            "ready": int(not parts.ready()),
            "healthy": int(not parts.healthy()),
        }


class Collector:
    """Turns a status into metrics, for prometheus-client to write. ``look``: gives the status."""

    def __init__(self, look: Callable[[], Mapping[str, Any]]) -> None:
        self._look = look
        self._falls: dict[str, tuple[float, float]] = {}

    def describe(self) -> list[Metric]:
        """Nothing: registering is not to look already."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Each metric of the table, those without a sample too: what there can be is seen."""
        look = Look(self._look())
        for family in FAMILIES:
            metric = _empty(family)
            for labels, value in family.read(look):
                if isinstance(value, Mapping):
                    bounds = [(_bound(bound_s), count) for bound_s, count in value["at_most"]]
                    bounds.append(("+Inf", value["count"]))
                    metric.add_metric(labels, bounds, value["sum_s"])
                else:
                    if family.may_fall:
                        value = self._kept(family.name, value)
                    metric.add_metric([_text(label) for label in labels], value)
            yield metric

    def _kept(self, name: str, value: float) -> float:
        """``value``, with what was lost each time that it fell: a call that ends takes its own."""
        before, lost = self._falls.get(name, (0.0, 0.0))
        if value < before:
            lost += before - value
        self._falls[name] = (value, lost)
        return value + lost


def _empty(family: Family) -> Any:
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    kinds = {
        Kind.COUNTER: CounterMetricFamily,
        Kind.GAUGE: GaugeMetricFamily,
        Kind.HISTOGRAM: HistogramMetricFamily,
    }
    return kinds[family.kind](family.name, family.doc, labels=family.labels)


def _bound(seconds: float) -> str:
    return str(float(seconds))


def _text(label: str) -> str:
    """As UTF-8 can have it: a path may hold half a surrogate pair."""
    return label if label.isascii() else label.encode("utf-8", "replace").decode("utf-8")
