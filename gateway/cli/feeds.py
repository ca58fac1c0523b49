"""``feeds``: how far the ledger's entries have come to systems outside, and putting a feed back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

import click
from click.shell_completion import CompletionItem

from gateway.cli.context import Operation, acting, as_json
from gateway.cli.output import show_many, show_one, tell
from gateway.errors import GatewayError, NotFound, UsageError
from gateway.ledger.reader import LedgerReader, Query
from gateway.settings import FeedSettings
from gateway.storage import PASSED_OVER, Cursor, FeedCursors

COLUMNS = ("name", "kind", "cursor", "lag", "moved", "failing_since", "problem", "passed_over")


def _names(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Names of feeds that begin so; none where the configuration cannot be read."""
    try:
        settings = Operation(context.find_root().params.get("config"), os.environ).settings
    except (GatewayError, OSError, ValueError):
        return []
    return [CompletionItem(feed.name) for feed in settings.feed if feed.name.startswith(begun)]


@click.group()
def feeds() -> None:
    """The ledger's feeds to systems outside, and how far each has come."""


@feeds.command(name="list")
@as_json
@click.pass_obj
def list_(operation: Operation, as_json: bool) -> None:
    """Each feed: the last entry that it is done with, how many it is behind, and what was wrong last.

    What it passed over last is entries that were removed from the ledger before it came to them.
    """
    cursors = FeedCursors(operation.state)
    with LedgerReader(operation.settings.ledger.path) as reader:
        size = reader.size()
        found = [
            {**_row(feed, cursors.find(feed.name), size), "passed_over": _passed_over(reader, feed.name)}
            for feed in operation.settings.feed
        ]
    show_many(found, COLUMNS, as_json=as_json, empty="no feeds")


@feeds.command()
@click.argument("name", shell_complete=_names)
@acting
@as_json
@click.pass_obj
def test(operation: Operation, name: str, actor: str, as_json: bool) -> None:
    """Send one entry to a feed's receiver now, and say what came of it.

    It is the entry that says that the feed was tried; a feed that is to have such entries sends it again.
    """
    feed = _feed(operation, name)
    operation.record("feed.test", name, actor=operation.actor(actor).name)
    key = str(operation.written[-1]["id"])
    sequence = asyncio.run(_send(operation, feed, key))
    show_one({"name": name, "kind": feed.kind, "sequence": sequence, "id": key}, as_json=as_json)


@feeds.command()
@click.argument("name", shell_complete=_names)
@click.option("--to", "to", required=True, metavar="SEQUENCE|start", help="The entry that it goes on with.")
@acting
@as_json
@click.pass_obj
def rewind(operation: Operation, name: str, to: str, actor: str, as_json: bool) -> None:
    """Let a feed go on with another entry: an earlier one is sent again, and a later one passes over what is between.

    It takes effect at once, in a running gateway too.
    """
    feed = _feed(operation, name)
    cursors = FeedCursors(operation.state)
    with LedgerReader(operation.settings.ledger.path) as reader:
        next_ = _sequence(to, reader.size())
    before = cursors.find(name)
    details = {"before": before.sequence + 1} if before else {}
    operation.record("feed.rewind", name, actor=operation.actor(actor).name, next=next_, **details)
    cursors.rewind(name, next_ - 1)
    show_one({"name": name, "kind": feed.kind, "next": next_}, as_json=as_json)
    tell(f"{name} goes on with entry {next_}", as_json=as_json)


def _feed(operation: Operation, name: str) -> FeedSettings:
    known = {feed.name: feed for feed in operation.settings.feed}
    if name not in known:
        raise NotFound(f"there is no feed {name!r}; expected a [[feed]]: {', '.join(known) or 'none'}")
    return known[name]


def _sequence(text: str, size: int) -> int:
    if text == "start":
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 19) or int(text) > size:
        raise UsageError(f"got {text!r}; expected start, or the sequence of an entry, at most {size}")
    return int(text)


async def _send(operation: Operation, feed: FeedSettings, key: str) -> int:
    """Send an entry of the ledger; its sequence."""
    from gateway.feeds import Items, open_sink
    from gateway.feeds.feed import failure

    with LedgerReader(operation.settings.ledger.path) as reader:
        sequence, body = reader.named(key)
        item = Items().item(reader, sequence, body)
    sink = open_sink(feed, node=operation.settings.gateway.node, clock=operation.clock)
    try:
        await sink.send([item])
    except Exception as error:
        raise failure(feed.name, error) from error
    finally:
        await sink.close()
    return sequence


def _passed_over(reader: LedgerReader, name: str) -> str:
    """The entries that a feed could not send, the last time that there were such; "" where there never were."""
    acts = reader.search(Query(kind="administrative", object=name, newest_first=True))
    told = next((entry["details"] for entry in acts if entry["act"] == PASSED_OVER), None)
    return f"{told['first']} to {told['last']}" if told else ""


def _row(feed: FeedSettings, cursor: Cursor | None, size: int) -> Mapping[str, object]:
    """One line; a feed that never began stands where it will begin."""
    begins = -1 if feed.begin == "start" else size - 1
    sequence = cursor.sequence if cursor else begins
    return {
        "name": feed.name,
        "kind": feed.kind,
        "cursor": sequence,
        "lag": max(0, size - 1 - sequence),
        "moved_us": cursor.moved_us if cursor else 0,
        "failing_since_us": cursor.failing_since_us if cursor else 0,
        "problem": cursor.problem if cursor else "",
    }
