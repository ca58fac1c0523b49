"""What Prometheus may know: counts, never who or whose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class Metrics:
    """The gateway's own metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._decisions = Counter(
            "residency_decisions", "Decisions by effect and the rule shown.", ("effect", "rule"), registry=self.registry
        )
        self._closed = Counter(
            "residency_connections_closed", "Connections the gateway closed, by why.", ("why",), registry=self.registry
        )
        self._looked_up = Counter(
            "residency_tracker_lookups",
            "Look-ups at trackers, by how they ended.",
            ("tracker", "outcome"),
            registry=self.registry,
        )
        self._hooked = Counter(
            "residency_webhooks",
            "Webhooks of trackers, by the answer's status.",
            ("tracker", "status"),
            registry=self.registry,
        )
        self._fed = Counter(
            "residency_feed_failures", "Attempts of feeds that failed.", ("feed",), registry=self.registry
        )
        self._known: dict[tuple[str, str], Callable[[], None]] = {}

    def decided(self, effect: str, rule: str) -> None:
        """Count a decision."""
        count = self._known.get((effect, rule))
        if count is None:
            count = self._known[effect, rule] = self._decisions.labels(effect, rule).inc
        count()

    def closed(self, why: str) -> None:
        """Count a connection that the gateway closed on its client."""
        self._closed.labels(why).inc()

    def looked_up(self, tracker: str, outcome: str) -> None:
        """Count a look-up at a ticket system."""
        self._looked_up.labels(tracker, outcome).inc()

    def hooked(self, tracker: str, status: str) -> None:
        """Count a webhook of a ticket system."""
        self._hooked.labels(tracker, status).inc()

    def feed_failed(self, feed: str) -> None:
        """Count an attempt of a feed that failed."""
        self._fed.labels(feed).inc()

    def watch_each(self, name: str, about: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        """Expose values by a label; which there are is asked, too."""
        self.registry.register(_Each(name, about, label, read))

    def watch(self, name: str, about: str, read: Callable[[], float]) -> None:
        """Expose a value that is read when somebody asks."""
        Gauge(name, about, registry=self.registry).set_function(read)

    def exposition(self) -> bytes:
        """The text that a scrape receives."""
        return generate_latest(self.registry)


class _Each(Collector):
    """A gauge with a label whose values come and go."""

    def __init__(self, name: str, about: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        self._name, self._about, self._label, self._read = name, about, label, read

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily(self._name, self._about, labels=[self._label])

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._about, labels=[self._label])
        for value, measured in self._read().items():
            family.add_metric([value], measured)
        yield family
