"""What Prometheus may know: counts, never who or whose."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


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

    def watch(self, name: str, about: str, read: Callable[[], float]) -> None:
        """Expose a value that is read when somebody asks."""
        Gauge(name, about, registry=self.registry).set_function(read)

    def exposition(self) -> bytes:
        """The text that a scrape receives."""
        return generate_latest(self.registry)
