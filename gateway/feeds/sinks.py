"""Which sink a ``[[feed]]`` names, and whether it can be used here."""

from __future__ import annotations

from importlib.util import find_spec

from gateway.clock import Clock
from gateway.errors import ConfigurationError
from gateway.feeds.file_sink import FileSink
from gateway.feeds.http_sink import HttpSink
from gateway.feeds.kafka_sink import KafkaSink
from gateway.feeds.nats_sink import NatsSink
from gateway.feeds.sink import Sink
from gateway.feeds.syslog_sink import SyslogSink
from gateway.feeds.tls import tls_context
from gateway.settings import FeedSettings

_CLIENTS = {"nats": "nats", "kafka": "aiokafka"}
"""What a kind imports that is installed as an extra."""


def open_sink(settings: FeedSettings, *, node: str, clock: Clock) -> Sink:
    """The sink of a feed.

    Raises:
        ConfigurationError: its client is not installed.
    """
    _require_client(settings)
    match settings.kind:
        case "syslog":
            return SyslogSink(settings, node)
        case "http":
            return HttpSink(settings, clock)
        case "file":
            return FileSink(settings, clock)
        case "nats":
            return NatsSink(settings)
        case "kafka":
            return KafkaSink(settings)


def require_usable(settings: FeedSettings) -> None:
    """That a feed's client is installed and its certificates can be read; nobody is asked.

    Raises:
        ConfigurationError: they cannot.
    """
    _require_client(settings)
    tls_context(settings)


def _require_client(settings: FeedSettings) -> None:
    client = _CLIENTS.get(settings.kind)
    if client and find_spec(client) is None:
        mend = f"install residency-gateway[{settings.kind}]"
        raise ConfigurationError([f"feed {settings.name}: {client}, which {settings.kind} needs, is missing; {mend}"])
