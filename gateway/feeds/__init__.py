"""Live feeds: the ledger's entries on their way to systems outside, as they are written.

A :class:`Feed` reads behind its cursor and hands batches of :class:`Item` to a :class:`Sink`: syslog over TLS, signed
HTTP batches, a file that rotates, NATS JetStream or Kafka. :class:`Feeds` are those of the configuration, each in a
task of its own.

Promised: every entry that a feed wants, at least once and in the ledger's order, with ids to tell duplicates by,
however long its receiver was away and whatever crashed meanwhile; what was removed from the ledger before a feed came
to it is told of; no feed holds up or loses the ledger, or another one.
"""

from gateway.feeds.feed import Feed, Surroundings
from gateway.feeds.feeds import Feeds
from gateway.feeds.item import Facts, Item, Items
from gateway.feeds.reading import Gone
from gateway.feeds.sink import Sink
from gateway.feeds.sinks import open_sink, require_usable

__all__ = [
    "Facts",
    "Feed",
    "Feeds",
    "Gone",
    "Item",
    "Items",
    "Sink",
    "Surroundings",
    "open_sink",
    "require_usable",
]
